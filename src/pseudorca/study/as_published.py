"""The as-published column: the sixteen trainings of the study, with the switches of its scripts.

Four networks; the first network again with a weighted sampler; six learning rates; four momenta at the
best rate; and the final model at the best rate and momentum, which is tested on the test part. The
notes of the study count sixteen trainings and name fifteen. The sixteenth is assumed to be the final
model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pseudorca.embedding.drawing import clip_pictures
from pseudorca.errors import FoldError, HeadError
from pseudorca.frontends.base import Picture
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.progress import Progress
from pseudorca.recordings.folds import STUDY_SEED
from pseudorca.study.material import Material, Parts, Stages, study_parts
from pseudorca.study.networks import Layout, Network, Networks
from pseudorca.study.published import Scores, balanced_accuracy, scores_of
from pseudorca.study.settings import StudyOptions
from pseudorca.study.switches import CONTINUED, FIRST_CLIP, MARGINS, NAMES, POSITIVE, TRAINING_MODE
from pseudorca.study.training import Kept, Passes, Source, Training, train

BATCH = 64


@dataclass(frozen=True)
class Answers:
    """The scores of a model for clips.

    ``truth`` [shape=(n,)]: number of the class. ``scores`` [shape=(n, n_classes)]: natural logarithms
    of probabilities.

    Examples
    --------
    >>> answers = Answers(np.array([0, 1]), np.log([[0.9, 0.1], [0.6, 0.4]]))
    >>> answers.confusion.tolist(), answers.balanced_accuracy
    ([[1, 0], [1, 0]], 0.5)
    """

    truth: NDArray[np.int64]
    scores: NDArray[np.float64]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [shape=(n_classes, n_classes)]; rows are the truth."""
        counts = np.zeros((self.scores.shape[1],) * 2, dtype=np.int64)
        np.add.at(counts, (self.truth, self.scores.argmax(axis=1)), 1)
        return counts

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes."""
        return balanced_accuracy(self.confusion)

    @property
    def majority(self) -> float:
        """Accuracy of a model that always answers the most frequent class."""
        return float(np.bincount(self.truth).max() / len(self.truth))

    def published(self, positive: int) -> Scores:
        """Return the scores that the study printed, with ``positive`` as the positive class."""
        return scores_of(self.confusion, positive)


@dataclass(frozen=True)
class Tuning:
    """The trainings of the tuned network: Tables 4.2 to 4.5.

    ``weighted``, ``rates`` and ``momenta`` hold trainings, or reasons of failure.
    """

    weighted: Training | str
    rates: dict[float, Training | str]
    momenta: dict[float, Training | str]
    best_rate: float
    best_momentum: float
    final: Training
    test: Answers


@dataclass(frozen=True)
class Without:
    """The tuned network with one switch turned off."""

    parts: Parts
    positive: int
    tuning: Tuning


@dataclass(frozen=True)
class Published:
    """Everything of the as-published column."""

    switches: frozenset[str]
    positive: int
    parts: Parts
    networks: dict[str, Training | str]
    """Trainings by network, or reasons of failure."""
    tuned: str
    tuning: Tuning
    truth: NDArray[np.int64]
    unknown: pd.DataFrame
    """Unknown clips with ``decision`` and ``probability``."""
    exact: bool
    closeness: list[dict[str, Any]] = field(default_factory=list)
    """Training mode and its fast approximation, a row per network; empty without training mode."""
    without: dict[str, Without | str] = field(default_factory=dict)
    """The tuned network with one switch turned off, or a reason of failure. The fast approximation
    replaces training mode."""
    baseline: Tuning | None = None
    """The tuned network with all chosen switches, for comparison with ``without``."""

    def validation(self, training: Training) -> Answers:
        """Return the scores of a training for the validation part."""
        return Answers(self.truth[self.parts.validation], training.scores)


def positive_class(truth: NDArray[np.int64], switches: frozenset[str]) -> int:
    """Return the class of precision and recall: the second class, or the rarest without the switch.

    Parameters
    ----------
    truth : ndarray [shape=(n_clips,)], number of the class
    switches : frozenset of str

    Returns
    -------
    int

    Examples
    --------
    >>> positive_class(np.array([0, 1, 1]), frozenset())
    0
    """
    return 1 if POSITIVE in switches else int(np.bincount(truth).argmin())


def curve_probabilities(answers: Answers, column: int, switches: frozenset[str]) -> Any:
    """Return the probabilities of a class for the curves.

    With the switch ``first-clip``, the probability of the first clip replaces the probabilities of all
    clips in each batch of 64.

    Parameters
    ----------
    answers : Answers
    column : int, number of the class
    switches : frozenset of str

    Returns
    -------
    ndarray [shape=(n,)]

    Examples
    --------
    >>> answers = Answers(np.array([0, 1]), np.log([[0.9, 0.1], [0.6, 0.4]]))
    >>> curve_probabilities(answers, 0, frozenset({FIRST_CLIP})).round(1).tolist()
    [0.9, 0.9]
    """
    probabilities = np.exp(answers.scores[:, column])
    if FIRST_CLIP in switches:
        return probabilities[np.arange(len(probabilities)) // BATCH * BATCH]
    return probabilities


def run_published(
    material: Material,
    networks: Networks,
    options: StudyOptions,
    unknown: pd.DataFrame,
    kept: Path,
    stages: Stages,
) -> Published:
    """Compute the as-published column, with the effect of each switch on the tuned network.

    Parameters
    ----------
    material : Material, of two classes
    networks : Networks
    options : StudyOptions
    unknown : DataFrame, the unknown clips to predict
    kept : path of the folder for trainings
    stages : reports the progress of each stage

    Returns
    -------
    Published

    Raises
    ------
    HeadError
        If the final model cannot be trained.
    """
    switches, truth = options.as_published, material.truth
    parts = study_parts(material, switches)
    head = SoftmaxHead(n_epochs=options.n_epochs, seed=STUDY_SEED)
    runner = _Runner(material, networks, options, kept, stages)
    trained: dict[str, Training | str] = {}
    closeness = []
    for name in options.backbones:
        source = runner.source(name, switches)
        with stages(f"As published, Table 4.1, {name}") as update:
            try:
                training = runner.train(source, parts, head, progress=update)
                trained[name] = training
                if isinstance(source, Passes):
                    closeness.append(runner.closeness(name, training, parts, head))
            except HeadError as error:
                trained.setdefault(name, str(error))
    tuned = options.tuned
    source = runner.source(tuned, switches)
    exact = isinstance(source, Passes)
    tuning = runner.tune(source, parts, switches)
    predicted = runner.predict(tuned, source, tuning.final, unknown, switches)
    without = {name: runner.without(tuned, switches, name) for name in NAMES if name in switches}
    baseline = runner.tune(runner.kept(tuned, switches), parts, switches) if exact else tuning
    return Published(
        switches, positive_class(truth, switches), parts, trained, tuned, tuning, truth, predicted,
        exact, closeness, without, baseline,
    )  # fmt: skip


class _Runner:
    def __init__(
        self,
        material: Material,
        networks: Networks,
        options: StudyOptions,
        kept: Path,
        stages: Stages,
    ) -> None:
        self.material, self.networks, self.options = material, networks, options
        self.folder, self.stages = kept / "trainings", stages
        self._kept: dict[str, Kept] = {}
        self._passes: dict[str, Passes] = {}

    def network(self, name: str, switches: frozenset[str], *, exact: bool = False) -> Network:
        """Return a network with its training pictures."""
        layout: Layout = "wide" if MARGINS in switches else "tight"
        adapted = TRAINING_MODE in switches and not exact
        return self.networks.network(name, layout, adapted=adapted)

    def kept(self, name: str, switches: frozenset[str]) -> Kept:
        """Return embeddings that are computed once."""
        network = self.network(name, switches)
        if network.embedder_id not in self._kept:
            _, vectors = self.networks.embedded(network, self.material.clips)
            self._kept[network.embedder_id] = Kept(vectors, network.embedder_id)
        return self._kept[network.embedder_id]

    def source(self, name: str, switches: frozenset[str]) -> Source:
        """Return the network in training mode, if chosen and possible, else its embeddings."""
        exact = self.options.exact_training_mode and TRAINING_MODE in switches
        kept = self.kept(name, switches)  # also finds out whether the network can be adapted
        if not exact or name in self.networks.not_adapted:
            return kept
        network = self.network(name, switches, exact=True)
        if network.embedder_id not in self._passes:
            self._passes.clear()  # pictures of one network at a time
            pictures = self._pictures(network, self.material.clips)
            shown = list(pictures.values())
            passes = Passes(network.embedder.backbone, shown, network.embedder_id)
            self._passes[network.embedder_id] = passes
        return self._passes[network.embedder_id]

    def _pictures(self, network: Network, clips: pd.DataFrame) -> dict[str, Picture]:
        drawn = clip_pictures(clips, self.material.recordings, network.embedder)
        return {clip: picture for clip, picture in drawn if isinstance(picture, np.ndarray)}

    def train(
        self, source: Source, parts: Parts, head: SoftmaxHead, *,
        start: Training | None = None, progress: Progress | None = None,
    ) -> Training:  # fmt: skip
        return train(
            source, self.material.truth, len(self.material.classes), parts.training,
            parts.validation, head, start=start, kept=self.folder, progress=progress,
        )  # fmt: skip

    def tune(
        self, source: Source, parts: Parts, switches: frozenset[str], *, text: str = ""
    ) -> Tuning:
        """Compute Tables 4.2 to 4.4 of one network."""
        what = f"As published, Tables 4.2 to 4.4{f', {text}' if text else ''}"
        with self.stages(what) as update:
            return self._tune(source, parts, switches, update)

    def _tune(
        self, source: Source, parts: Parts, switches: frozenset[str], progress: Progress
    ) -> Tuning:
        options = self.options
        balanced: dict[str, Any] = {
            "n_epochs": options.n_epochs, "balance": "sampler", "seed": STUDY_SEED
        }  # fmt: skip
        n_epochs = options.n_epochs * (2 + len(options.rates) + len(options.momenta))
        n_before = 0
        last: Training | None = None

        def update(done: int, total: int) -> None:
            progress(n_before + done, n_epochs)

        def attempt(start: Training | None, **settings: Any) -> Training | str:
            nonlocal n_before, last
            head = SoftmaxHead(**balanced, **settings)
            try:
                last = self.train(source, parts, head, start=start, progress=update)
                return last
            except HeadError as error:
                return str(error)
            finally:
                n_before += options.n_epochs

        def previous_training() -> Training | None:
            return last if CONTINUED in switches else None

        weighted = attempt(None)
        rates = {rate: attempt(previous_training(), learning_rate=rate) for rate in options.rates}
        best_rate = _best(rates)
        momenta = {
            momentum: attempt(previous_training(), learning_rate=best_rate, momentum=momentum)
            for momentum in options.momenta
        }
        best_momentum = _best(momenta)
        last_training = attempt(
            previous_training(), learning_rate=best_rate, momentum=best_momentum
        )
        final = _trained(last_training, "the final model")
        vectors = self._judged(source, final, parts)
        test = Answers(self.material.truth[parts.test], final.log_probabilities(vectors))
        return Tuning(weighted, rates, momenta, best_rate, best_momentum, final, test)

    def without(self, name: str, switches: frozenset[str], switch: str) -> Without | str:
        """Compute Tables 4.2 to 4.4 with one switch turned off."""
        others = switches - {switch}
        try:
            parts = study_parts(self.material, others)
            tuning = self.tune(self.kept(name, others), parts, others, text=f"without {switch}")
        except (FoldError, HeadError) as error:
            return str(error)
        return Without(parts, positive_class(self.material.truth, others), tuning)

    def _judged(self, source: Source, final: Training, parts: Parts) -> torch.Tensor:
        source.restore(final.statistics, STUDY_SEED)
        return source.judge(torch.from_numpy(parts.test))

    def predict(
        self,
        name: str,
        source: Source,
        final: Training,
        unknown: pd.DataFrame,
        switches: frozenset[str],
    ) -> pd.DataFrame:
        """Predict unknown clips from tight pictures, for all layouts of training pictures."""
        learned_from = self.network(name, switches, exact=isinstance(source, Passes))
        network = learned_from.seeing("tight")
        if unknown.empty:
            return unknown.assign(decision="", probability=np.nan)
        if isinstance(source, Passes):
            pictures = self._pictures(network, unknown)
            unknown = unknown[unknown["clip_id"].isin(set(pictures))]
            source.restore(final.statistics, STUDY_SEED)
            vectors = source.judge_others(list(pictures.values()))
        else:
            unknown, vectors = self.networks.embedded(network, unknown)
        scores = final.log_probabilities(vectors)
        best = scores.argmax(axis=1)
        classes = np.array(self.material.classes, dtype=object)
        return unknown.assign(decision=classes[best], probability=np.exp(scores.max(axis=1)))

    def closeness(
        self, name: str, exact: Training, parts: Parts, head: SoftmaxHead
    ) -> dict[str, Any]:
        """Compare training mode with its fast approximation and with the pretrained network."""
        switches = self.options.as_published
        row: dict[str, Any] = {"network": name, "training mode": _accuracy(exact)}
        for what, switches_of_row in (
            ("adapted once", switches),
            ("as pretrained", switches - {TRAINING_MODE}),
        ):
            other = self.train(self.kept(name, switches_of_row), parts, head)
            is_equal = other.scores.argmax(axis=1) == exact.scores.argmax(axis=1)
            row[what] = _accuracy(other)
            row[f"{what}: named alike"] = float(is_equal.mean())
            gap = np.abs(np.exp(other.scores) - np.exp(exact.scores)).max(axis=1).mean()
            row[f"{what}: probability apart"] = float(gap)
        return row


def _trained(training: Training | str, what: str) -> Training:
    if isinstance(training, str):
        raise HeadError(f"{what}: {training}")
    return training


def _accuracy(training: Training) -> float:
    return training.history[training.best_epoch - 1]["validation_accuracy"]


def _best(trainings: Mapping[float, Training | str]) -> float:
    """Return the setting with the best validation accuracy; of equal settings the first."""
    accuracies = {s: _accuracy(t) for s, t in trainings.items() if isinstance(t, Training)}
    if not accuracies:
        raise HeadError(f"no setting could be trained: {next(iter(trainings.values()))}")
    return max(accuracies, key=lambda setting: accuracies[setting])

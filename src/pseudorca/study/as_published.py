"""The as-published column: the study's sixteen trainings, with the switches of its scripts.

Four networks; the first again with a weighted sampler; then six learning rates, four momenta at the
best of them, and the final model at the best of both, which is tried on the test part. The notes of
the study count sixteen trainings and name fifteen; the sixteenth is taken to be the final one.
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
    """What a model said of clips: truth [shape=(n,)], log-probabilities [shape=(n, n_classes)]."""

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
        return balanced_accuracy(self.confusion)

    @property
    def majority(self) -> float:
        """The accuracy of always naming the most frequent class."""
        return float(np.bincount(self.truth).max() / len(self.truth))

    def published(self, positive: int) -> Scores:
        return scores_of(self.confusion, positive)


@dataclass(frozen=True)
class Tuning:
    """The trainings of the tuned network: Tables 4.2 to 4.5.

    ``weighted``, ``rates`` and ``momenta`` hold a training or the reason why there is none.
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
    """A training, or the reason why there is none."""
    tuned: str
    tuning: Tuning
    truth: NDArray[np.int64]
    unknown: pd.DataFrame
    """Unknown clips with ``decision`` and ``probability``."""
    exact: bool
    closeness: list[dict[str, Any]] = field(default_factory=list)
    """Training mode against its fast approximation, a row per network; empty if not run."""
    without: dict[str, Without | str] = field(default_factory=dict)
    """The tuned network again with one switch turned off, or why that cannot be; training mode by
    its fast approximation."""
    baseline: Tuning | None = None
    """The same with all switches as chosen."""

    def validation(self, training: Training) -> Answers:
        return Answers(self.truth[self.parts.validation], training.scores)


def positive_class(truth: NDArray[np.int64], switches: frozenset[str]) -> int:
    """The class behind precision and recall: the second, or the rarest if that switch is off."""
    return 1 if POSITIVE in switches else int(np.bincount(truth).argmin())


def curve_probabilities(answers: Answers, column: int, switches: frozenset[str]) -> Any:
    """Probabilities of a class, as the curves take them.

    With the switch ``first-clip``, that of the first clip of each batch of 64 stands for the batch.

    Returns
    -------
    ndarray [shape=(n,)]
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
    """Make the as-published column, with the effect of each switch on the tuned network.

    Parameters
    ----------
    material : Material, of two classes
    networks : Networks
    options : StudyOptions
    unknown : DataFrame, the unknown clips to predict
    kept : path, keeps trainings
    stages : announces what takes time
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
                found = runner.train(source, parts, head, progress=update)
                trained[name] = found
                if isinstance(source, Passes):
                    closeness.append(runner.closeness(name, found, parts, head))
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
        """A network with its training pictures."""
        layout: Layout = "wide" if MARGINS in switches else "tight"
        adapted = TRAINING_MODE in switches and not exact
        return self.networks.network(name, layout, adapted=adapted)

    def kept(self, name: str, switches: frozenset[str]) -> Kept:
        """Embeddings made once."""
        network = self.network(name, switches)
        if network.embedder_id not in self._kept:
            _, vectors = self.networks.embedded(network, self.material.clips)
            self._kept[network.embedder_id] = Kept(vectors, network.embedder_id)
        return self._kept[network.embedder_id]

    def source(self, name: str, switches: frozenset[str]) -> Source:
        """The network in training mode if that is asked for and it has something to move."""
        exact = self.options.exact_training_mode and TRAINING_MODE in switches
        kept = self.kept(name, switches)  # says, too, whether the network can be adapted
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
        """Tables 4.2 to 4.4 of one network."""
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

        def after_the_last() -> Training | None:
            return last if CONTINUED in switches else None

        weighted = attempt(None)
        rates = {rate: attempt(after_the_last(), learning_rate=rate) for rate in options.rates}
        best_rate = _best(rates)
        momenta = {
            momentum: attempt(after_the_last(), learning_rate=best_rate, momentum=momentum)
            for momentum in options.momenta
        }
        best_momentum = _best(momenta)
        last_one = attempt(after_the_last(), learning_rate=best_rate, momentum=best_momentum)
        final = _trained(last_one, "the final model")
        vectors = self._judged(source, final, parts)
        test = Answers(self.material.truth[parts.test], final.log_probabilities(vectors))
        return Tuning(weighted, rates, momenta, best_rate, best_momentum, final, test)

    def without(self, name: str, switches: frozenset[str], switch: str) -> Without | str:
        """Tables 4.2 to 4.4 with one switch turned off."""
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
        """Predict unknown clips from tight pictures, whatever the network learned from."""
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
        """How close the fast approximation comes to training mode, and a plain network."""
        switches = self.options.as_published
        row: dict[str, Any] = {"network": name, "training mode": _accuracy(exact)}
        for what, chosen in (
            ("adapted once", switches),
            ("as pretrained", switches - {TRAINING_MODE}),
        ):
            other = self.train(self.kept(name, chosen), parts, head)
            same = other.scores.argmax(axis=1) == exact.scores.argmax(axis=1)
            row[what] = _accuracy(other)
            row[f"{what}: named alike"] = float(same.mean())
            gap = np.abs(np.exp(other.scores) - np.exp(exact.scores)).max(axis=1).mean()
            row[f"{what}: probability apart"] = float(gap)
        return row


def _trained(found: Training | str, what: str) -> Training:
    if isinstance(found, str):
        raise HeadError(f"{what}: {found}")
    return found


def _accuracy(training: Training) -> float:
    return training.history[training.best_epoch - 1]["validation_accuracy"]


def _best(trainings: Mapping[float, Training | str]) -> float:
    """The setting of the best validation accuracy, the first of equals."""
    found = {s: _accuracy(t) for s, t in trainings.items() if isinstance(t, Training)}
    if not found:
        raise HeadError(f"no setting could be trained: {next(iter(trainings.values()))}")
    return max(found, key=lambda setting: found[setting])

"""The as-published column: the sixteen trainings of the study, with the switches of its scripts.

Four networks; the first network again with a weighted sampler; six learning rates; four momenta at the
best rate; and the final model at the best rate and momentum, which is tested on the test part. The
notes of the study count sixteen trainings and name fifteen. The sixteenth is assumed to be the final
model.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pseudorca.embedding.drawing import clip_pictures
from pseudorca.errors import FoldError, HeadError
from pseudorca.evaluation.intervals import interval
from pseudorca.frontends.base import Picture
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.progress import Progress
from pseudorca.recordings.folds import STUDY_SEED
from pseudorca.study.material import Parts, study_parts
from pseudorca.study.networks import BATCH, Layout, Network, Networks
from pseudorca.study.settings import (
    CONTINUED,
    FIRST_CLIP,
    MARGINS,
    NAMES,
    POSITIVE,
    TRAINING_MODE,
)
from pseudorca.study.training import (
    Answers,
    FrozenNetwork,
    NetworkInTrainingMode,
    Training,
    Tuning,
    train,
    tune,
)


@dataclass(frozen=True)
class PublishedTuning(Tuning[Training]):
    """The trainings of the tuned network, with the final model of Table 4.4 and its test."""

    final: Training
    test: Answers


@dataclass(frozen=True)
class Published:
    """Everything of the as-published column. A failed training is a reason in words."""

    switches: frozenset[str]
    positive: int
    parts: Parts
    networks: dict[str, Training | str]
    """Trainings by network."""
    tuning: PublishedTuning
    test_interval: tuple[float, float]
    """The 95 % interval of the balanced accuracy of the test, over encounters."""
    unknown: pd.DataFrame
    """Unknown clips with ``decision`` and ``probability``."""
    baseline: PublishedTuning
    """The tuned network with all chosen switches, for comparison with ``without``."""
    closeness: list[dict[str, Any]] = field(default_factory=list)
    """Training mode and its fast approximation, a row per network; empty without training mode."""
    without: dict[str, PublishedTuning | str] = field(default_factory=dict)
    """The tuned network with one switch turned off. The fast approximation replaces training mode."""

    @property
    def exact(self) -> bool:
        """Whether the tuned network was trained with a pass per clip and epoch."""
        return self.baseline is not self.tuning


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


def curve_probabilities(
    answers: Answers, column: int, switches: frozenset[str]
) -> NDArray[np.float64]:
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


def run_published(networks: Networks, unknown: pd.DataFrame) -> Published:
    """Compute the as-published column, with the effect of each switch on the tuned network.

    Parameters
    ----------
    networks : Networks, with material of two classes
    unknown : DataFrame, the unknown clips to predict

    Returns
    -------
    Published

    Raises
    ------
    HeadError
        If the final model cannot be trained.
    """
    options, material = networks.options, networks.material
    switches, tuned = options.as_published, options.tuned
    parts = study_parts(material, switches)
    runner = _Runner(networks)
    trained: dict[str, Training | str] = {}
    closeness = []
    for name in options.backbones:
        source = runner.source(name, switches)
        with networks.stages(f"As published, Table 4.1, {name}") as update:
            head = SoftmaxHead(n_epochs=options.n_epochs, seed=STUDY_SEED)
            try:
                trained[name] = training = runner.train(source, parts, head, progress=update)
                if isinstance(source, NetworkInTrainingMode):
                    closeness.append(runner.closeness(name, training, parts, head))
            except HeadError as error:
                trained.setdefault(name, str(error))
    source = runner.source(tuned, switches)
    tuning = runner.tune(source, parts, switches)
    low, high, _ = interval(
        (tuning.test.scores.argmax(axis=1) == tuning.test.truth).astype(np.float64),
        tuning.test.truth, material.encounters[parts.test], len(material.classes),
    )  # fmt: skip
    predicted = runner.predict(source, tuning.final, unknown, switches)
    without = {name: runner.without(name) for name in NAMES if name in switches}
    baseline = tuning
    if isinstance(source, NetworkInTrainingMode):
        baseline = runner.tune(runner.frozen(tuned, switches), parts, switches)
    return Published(
        switches, positive_class(material.truth, switches), parts, trained, tuning, (low, high),
        predicted, baseline, closeness, without,
    )  # fmt: skip


class _Runner:
    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.material, self.options = networks.material, networks.options
        self._in_training_mode: dict[str, NetworkInTrainingMode] = {}

    def network(self, name: str, switches: frozenset[str], *, exact: bool = False) -> Network:
        """Return a network with its training pictures."""
        adapted = TRAINING_MODE in switches and not exact
        layout: Layout = "wide" if MARGINS in switches else "tight"
        return self.networks.network(name, layout, adapted=adapted)

    def frozen(self, name: str, switches: frozenset[str]) -> FrozenNetwork:
        """Return a network whose embeddings are computed once."""
        network = self.network(name, switches)
        _, vectors = self.networks.embedded(network, self.material.clips)
        return FrozenNetwork(vectors, network.embedder_id)

    def source(self, name: str, switches: frozenset[str]) -> FrozenNetwork:
        """Return the network in training mode, if chosen and possible, else the frozen network."""
        frozen = self.frozen(name, switches)  # also finds out whether the network can be adapted
        exact = self.options.exact_training_mode and TRAINING_MODE in switches
        if not exact or name in self.networks.not_adapted:
            return frozen
        network = self.network(name, switches, exact=True)
        key = network.embedder_id
        if key not in self._in_training_mode:
            self._in_training_mode.clear()  # pictures of one network at a time
            pictures = list(self._pictures(network, self.material.clips).values())
            self._in_training_mode[key] = NetworkInTrainingMode(
                network.embedder.backbone, pictures, key
            )
        return self._in_training_mode[key]

    def _pictures(self, network: Network, clips: pd.DataFrame) -> dict[str, Picture]:
        drawn = clip_pictures(clips, self.material.recordings, network.embedder)
        return {clip: picture for clip, picture in drawn if picture is not None}

    def train(
        self, source: FrozenNetwork, parts: Parts, head: SoftmaxHead, *,
        start: Training | None = None, progress: Progress | None = None,
    ) -> Training:  # fmt: skip
        return train(
            source, self.material.truth, len(self.material.classes), parts.training,
            parts.validation, head, start=start, kept=self.networks.kept / "trainings",
            progress=progress,
        )  # fmt: skip

    def tune(
        self, source: FrozenNetwork, parts: Parts, switches: frozenset[str], *, text: str = ""
    ) -> PublishedTuning:
        """Compute Tables 4.2 to 4.4 of one network."""
        options = self.options
        n_trainings = 2 + len(options.rates) + len(options.momenta)
        results: list[Training | str] = []

        def run(head: SoftmaxHead, _: str) -> Training | str:
            trained = [result for result in results if isinstance(result, Training)]
            start = trained[-1] if trained and CONTINUED in switches else None

            def update(epoch: int, n_epochs: int) -> None:
                progress(len(results) * n_epochs + epoch, n_trainings * n_epochs)

            result: Training | str
            try:
                result = self.train(source, parts, head, start=start, progress=update)
            except HeadError as error:
                result = str(error)
            results.append(result)
            return result

        with self.networks.stages(f"As published, Tables 4.2 to 4.4{text}") as progress:
            head = SoftmaxHead(n_epochs=options.n_epochs, balance="sampler", seed=STUDY_SEED)
            tuning = tune(options, head, run)
            rate, momentum = tuning.best_rate, tuning.best_momentum
            final = run(replace(head, learning_rate=rate, momentum=momentum), "final")
            if isinstance(final, str):
                raise HeadError(f"the final model: {final}")
            source.restore(final.statistics, STUDY_SEED)
            scores = final.log_probabilities(source.judge(torch.from_numpy(parts.test)))
        test = Answers(self.material.truth[parts.test], scores)
        return PublishedTuning(**vars(tuning), final=final, test=test)

    def without(self, switch: str) -> PublishedTuning | str:
        """Compute Tables 4.2 to 4.4 with one switch turned off."""
        others = self.options.as_published - {switch}
        try:
            parts = study_parts(self.material, others)
            frozen = self.frozen(self.options.tuned, others)
            return self.tune(frozen, parts, others, text=f", without {switch}")
        except (FoldError, HeadError) as error:
            return str(error)

    def predict(
        self,
        source: FrozenNetwork,
        final: Training,
        unknown: pd.DataFrame,
        switches: frozenset[str],
    ) -> pd.DataFrame:
        """Predict unknown clips from tight pictures, for all layouts of training pictures."""
        if unknown.empty:
            return unknown.assign(decision="", probability=np.nan)
        exact = isinstance(source, NetworkInTrainingMode)
        network = self.network(self.options.tuned, switches, exact=exact).seeing("tight")
        if isinstance(source, NetworkInTrainingMode):
            pictures = self._pictures(network, unknown)
            unknown = unknown[unknown["clip_id"].isin(set(pictures))]
            source.restore(final.statistics, STUDY_SEED)
            scores = final.log_probabilities(source.judge_pictures(list(pictures.values())))
        else:
            unknown, vectors = self.networks.embedded(network, unknown)
            scores = final.log_probabilities(vectors)
        classes = np.array(self.material.classes, dtype=object)
        return unknown.assign(
            decision=classes[scores.argmax(axis=1)], probability=np.exp(scores.max(axis=1))
        )

    def closeness(
        self, name: str, exact: Training, parts: Parts, head: SoftmaxHead
    ) -> dict[str, Any]:
        """Compare training mode with its fast approximation and with the pretrained network."""
        switches = self.options.as_published
        row: dict[str, Any] = {"network": name, "training mode": exact.score}
        for what, switches_of_row in (
            ("adapted once", switches),
            ("as pretrained", switches - {TRAINING_MODE}),
        ):
            other = self.train(self.frozen(name, switches_of_row), parts, head)
            is_equal = other.scores.argmax(axis=1) == exact.scores.argmax(axis=1)
            gap = np.abs(np.exp(other.scores) - np.exp(exact.scores)).max(axis=1)
            row |= {
                what: other.score,
                f"{what}: named alike": float(is_equal.mean()),
                f"{what}: probability apart": float(gap.mean()),
            }
        return row

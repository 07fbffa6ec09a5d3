"""A class of nothing: what the places of the recordings sound like when no animal is heard.

In: a training set with the embedding of the background of its own clips. Out: a trained head that
gives, besides the probabilities of the classes given that something is there, the probability that
nothing is. Backgrounds come from the clips of a training side alone, so that no test clip, no moment
and no encounter of a test side is heard.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import scipy.special

from pseudorca.learning.crossval import OutOfFold
from pseudorca.learning.dataset import Floats, Names, TrainingSet, Vectors
from pseudorca.learning.false_alarms import HIGHEST, NothingRule
from pseudorca.learning.heads.base import (
    Arrays,
    Head,
    TrainedHead,
    WrappingHead,
    arrays_with_kind,
    chosen_by,
    head_of_arrays,
)
from pseudorca.recordings.folds import Folds
from pseudorca.recordings.options import NOTHING

_LEAST_ENCOUNTERS = 2


@dataclass
class KnowsNothing(TrainedHead):
    """A head on the classes and on nothing; the probabilities of the classes leave nothing out.

    Examples
    --------
    >>> from pseudorca.learning.heads.base import LinearHead
    >>> weights, bias = np.array([[0.0], [0.0], [2.0]]), np.zeros(3)
    >>> head = LinearHead(["A", "B", "nothing"], np.zeros(1), np.ones(1), weights, bias)
    >>> knows = KnowsNothing(["A", "B"], head)
    >>> vectors = np.array([[0.0], [3.0]], dtype=np.float32)
    >>> np.exp(knows.log_probabilities(vectors)).tolist(), knows.p_nothing(vectors).round(2).tolist()
    ([[0.5, 0.5], [0.5, 0.5]], [0.33, 1.0])
    """

    kind: ClassVar[str] = "knows nothing"

    head: TrainedHead

    @property
    def knows_nothing(self) -> bool:
        """Whether the head learned what nothing sounds like."""
        return True

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings, given that something is there."""
        scores = self.head.log_probabilities(vectors)
        kept = [k for k, label in enumerate(self.head.classes) if label != NOTHING]
        return np.asarray(scipy.special.log_softmax(scores[:, kept], axis=1))

    def p_nothing(self, vectors: Vectors) -> Floats:
        """The probability that nothing is there [shape=(n,)]."""
        scores = self.head.log_probabilities(vectors)
        return np.asarray(np.exp(scores[:, self.head.classes.index(NOTHING)]))

    def arrays(self) -> Arrays:
        """The arrays of the head, and its kind."""
        return arrays_with_kind(self.head)

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild a head from the arrays of :meth:`arrays`."""
        return cls(classes, head_of_arrays(sorted([*classes, NOTHING]), arrays))


@dataclass(frozen=True)
class NothingHead(WrappingHead):
    """A head that also learns what nothing sounds like.

    Every encounter's background weighs alike, and all together as much as one class where classes are
    balanced. Settings are chosen on the clips themselves. Where fewer than two encounters have a
    background, the head is trained without.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> NothingHead(LogisticHead(c=1.0)).describe()
    'logistic regression (C = 1, classes weighted equally), with a class of nothing'
    """

    name: ClassVar[str] = "nothing"

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside to choose an epoch; nothing of them is learned from."""
        return self.head.chooses_epoch

    @property
    def chooses_settings(self) -> bool:
        """Whether training chooses settings in inner folds."""
        return self.head.chooses_settings

    @property
    def trains_together(self) -> bool:
        """Whether many trainings of the wrapped head cost less side by side."""
        return self.head.trains_together

    def settings(self) -> dict[str, Any]:
        """The settings of the wrapped head, and where nothing comes from."""
        return self.head.settings() | {"nothing": "background"}

    def describe(self) -> str:
        """How the head is trained, in words."""
        return f"{self.head.describe()}, with a class of nothing"

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on the clips and on their backgrounds.

        ``details["n_backgrounds"]`` is the number of backgrounds in the training.
        """
        backgrounds = data.backgrounds()
        if len(set(backgrounds.groups)) < _LEAST_ENCOUNTERS:
            return self.head.fit(data.without_nothing(), validation=validation)
        if self.head.chooses_settings:
            return self.fit_settled(data.without_nothing(), data, validation)
        trained = self.head.fit(data.with_nothing(), validation=validation)
        return _knowing(trained, len(backgrounds.labels))

    def fit_all(self, sides: Sequence[TrainingSet]) -> Sequence[TrainedHead]:
        """Train on each side; sides with the same settings go side by side."""
        plain = [side.without_nothing() for side in sides]
        backgrounds = [side.backgrounds().groups for side in sides]
        knows = [len(set(groups)) >= _LEAST_ENCOUNTERS for groups in backgrounds]
        if not self.head.chooses_settings:
            heard = [
                side.with_nothing() if with_it else without
                for side, without, with_it in zip(sides, plain, knows, strict=True)
            ]
            return [
                _knowing(trained, len(groups)) if with_it else trained
                for trained, groups, with_it in zip(
                    self.head.fit_all(heard), backgrounds, knows, strict=True
                )
            ]
        found = list(self.head.fit_all(plain))
        alike: dict[Head, list[int]] = {}
        for at in np.flatnonzero(knows).tolist():
            alike.setdefault(self.settled(found[at].details), []).append(at)
        for head, places in alike.items():
            trained = head.fit_all([sides[at] for at in places])
            for at, with_nothing in zip(places, trained, strict=True):
                found[at] = chosen_by(found[at], with_nothing)
        return found


def _knowing(trained: TrainedHead, n_backgrounds: int) -> KnowsNothing:
    """The head on the classes and on nothing that a training with backgrounds gave."""
    details = trained.details | {"n_backgrounds": n_backgrounds}
    classes = [label for label in trained.classes if label != NOTHING]
    return KnowsNothing(classes, trained, details=details)


def nothing_rule(
    scored: OutOfFold, encounters: Names, noise: TrainingSet | None
) -> NothingRule | None:
    """Choose when a clip holds nothing, on held-out backgrounds and noise.

    Parameters
    ----------
    scored : OutOfFold
    encounters : ndarray [shape=(n_clips,)], of the scored clips
    noise : TrainingSet or None, as it was cross-validated

    Returns
    -------
    NothingRule, or None if the head does not know nothing
    """
    p_nothing = scored.p_nothing_of_background
    if p_nothing is None:
        return None
    if noise is not None and scored.p_nothing_of_noise is not None:
        encounters = np.concatenate([encounters, noise.groups])
        p_nothing = np.concatenate([p_nothing, scored.p_nothing_of_noise], axis=1)
    return NothingRule.fit(p_nothing, encounters)


def nothing_rates(
    scored: OutOfFold, folds: Folds, noise: TrainingSet | None = None
) -> dict[str, Any]:
    """How often held-out clips, and their backgrounds, are called nothing.

    Parameters
    ----------
    scored : OutOfFold, by a head that knows nothing
    folds : Folds, of the scores
    noise : TrainingSet or None, as it was cross-validated

    Returns
    -------
    dict
        ``clips``: the share by class, every unit of the split weighing alike; ``backgrounds``: the
        same of all backgrounds, which were taken apart and are easier than real noise; ``noise``: the
        same of real noise, where there is any; at :data:`HIGHEST`
    """

    def share(p_nothing: Floats, units: Names) -> float | None:
        values = np.nanmean(np.where(np.isfinite(p_nothing), p_nothing > HIGHEST, np.nan), axis=0)
        there = np.isfinite(values)
        by_unit = pd.Series(values[there]).groupby(units[there]).mean()
        return float(by_unit.mean()) if len(by_unit) else None

    if scored.p_nothing is None or scored.p_nothing_of_background is None:
        return {}
    with warnings.catch_warnings():  # clips that are never tested
        warnings.simplefilter("ignore", RuntimeWarning)
        rates: dict[str, Any] = {
            "clips": {
                label: share(
                    scored.p_nothing[:, folds.labels == label], folds.units[folds.labels == label]
                )
                for label in scored.classes
            },
            "backgrounds": share(scored.p_nothing_of_background, folds.units),
        }
        if scored.p_nothing_of_noise is not None and noise is not None:
            rates["noise"] = share(scored.p_nothing_of_noise, noise.groups)
    return rates

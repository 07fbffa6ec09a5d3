"""A class of nothing: what the places of the recordings sound like when no animal is heard.

In: a training set with the embedding of the background of its own clips. Out: a trained head that
gives, besides the probabilities of the classes given that something is there, the probability that
nothing is. Backgrounds come from the clips of a training side alone, so that no test clip, no moment
and no encounter of a test side is heard.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from pseudorca.learning.crossval import OutOfFold
from pseudorca.learning.dataset import Floats, Ints, Names, TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Arrays,
    TrainedHead,
    WrappingHead,
    arrays_with_kind,
    head_of_arrays,
)
from pseudorca.recordings.folds import Folds
from pseudorca.recordings.options import NOTHING

HIGHEST = 0.5
"""A clip holds nothing if nothing is more probable than this, or than less where noise asks for it."""

FALSE_ALARMS = 0.05
"""Share of held-out backgrounds that may pass for something, every encounter weighing alike."""

_LEAST_ENCOUNTERS = 2
_LEVEL = 0.05  # one-sided, that noise alone does so
_STANDS_OUT = 0.01  # that noise reaches so low in any moment of a recording
_LEAST_MOMENTS = 60  # of a recording whose own noise is known
_LEAST_STANDING_OUT = 2
_LEAST_SPREAD = 0.1  # of the logits of a recording's noise


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
        details = trained.details | {"n_backgrounds": len(backgrounds.labels)}
        classes = [label for label in trained.classes if label != NOTHING]
        return KnowsNothing(classes, trained, details=details)


def nothing_rule(
    scored: OutOfFold, encounters: Names, noise: TrainingSet | None
) -> "NothingRule | None":
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


@dataclass(frozen=True)
class NothingRule:
    """When a clip holds nothing, and how many of many clips would hold something by noise alone.

    Examples
    --------
    >>> rule = NothingRule(0.5, ((0, 10), (1, 10)))
    >>> rule.holds_nothing(np.array([0.2, 0.7])).tolist()
    [False, True]
    >>> rule.by_noise(np.array([1, 3, 5]), np.array([4, 4, 4000])).tolist()
    [True, False, True]
    """

    threshold: float
    """A clip holds nothing if nothing is more probable than this."""
    alarms: tuple[tuple[int, int], ...]
    """For each held-out encounter: backgrounds that passed for something, and backgrounds."""

    @classmethod
    def fit(cls, p_nothing: Floats, encounters: Names) -> Self | None:
        """Choose the threshold on the backgrounds of held-out encounters.

        Parameters
        ----------
        p_nothing : ndarray [shape=(n_repeats, n_clips)]
            Of the background of each clip, by heads that never heard its encounter; NaN: no background
        encounters : ndarray [shape=(n_clips,)]

        Returns
        -------
        NothingRule, or None if there are no backgrounds
        """
        there = np.isfinite(p_nothing).any(axis=0)
        if not there.any():
            return None
        values = np.nanmean(p_nothing[:, there], axis=0)
        by_encounter = pd.Series(values).groupby(encounters[there])
        weights = 1 / by_encounter.transform("size").to_numpy(dtype=np.float64)
        order = np.argsort(values)
        reached = np.cumsum(weights[order]) / weights.sum()
        lowest = values[order][np.searchsorted(reached, FALSE_ALARMS)]
        threshold = float(min(HIGHEST, lowest))
        passed = pd.Series(values <= threshold).groupby(encounters[there])
        counts = zip(passed.sum().tolist(), passed.size().tolist(), strict=True)
        return cls(threshold, tuple((int(k), int(n)) for k, n in counts))

    def holds_nothing(self, p_nothing: Floats) -> NDArray[np.bool_]:
        """Whether each clip holds nothing."""
        return np.asarray(p_nothing > self.threshold)

    def stands_out(self, p_nothing: Floats) -> NDArray[np.bool_]:
        """Which moments of one recording stand out of the noise of that very recording.

        Most of a long recording is noise. Its logits of nothing are taken as normal, with the median
        and the upper half of the recording; a moment stands out if it holds something and noise of so
        many moments would hardly reach so low once (one-sided, 1 % over all moments).

        Parameters
        ----------
        p_nothing : ndarray [shape=(n_moments,)]

        Returns
        -------
        ndarray [shape=(n_moments,)]
            None stands out in a recording of fewer than 60 moments, and one alone does not
        """
        logits = scipy.special.logit(np.clip(p_nothing, 1e-9, 1 - 1e-9))
        none = np.zeros(len(logits), dtype=bool)
        if len(logits) < _LEAST_MOMENTS:
            return none
        middle = np.median(logits)
        above = logits[logits >= middle] - middle
        spread = max(float(np.sqrt(np.mean(above**2))), _LEAST_SPREAD)
        lowest = middle - spread * scipy.stats.norm.isf(_STANDS_OUT / len(logits))
        out = (logits < lowest) & ~self.holds_nothing(p_nothing)
        return out if out.sum() >= _LEAST_STANDING_OUT else none

    def p_by_noise(self, n_something: Ints, n_heard: Ints) -> Floats:
        """The probability that noise alone passes for something at least so often.

        Moments of one place are not independent: each encounter has a rate of its own. The rates are
        taken as a beta distribution, averaged over all such distributions by how well they explain the
        held-out encounters.

        Parameters
        ----------
        n_something, n_heard : ndarray [shape=(n_units,)]

        Returns
        -------
        ndarray [shape=(n_units,)]
        """
        rates, weights = self._rates
        tails = scipy.stats.binom.sf(n_something[:, None] - 1, n_heard[:, None], rates)
        return np.asarray(tails @ weights)

    def by_noise(self, n_something: Ints, n_heard: Ints) -> NDArray[np.bool_]:
        """Whether noise alone explains that so many of so many moments hold something.

        One moment alone is decided by the threshold.
        """
        explained = self.p_by_noise(n_something, n_heard) >= _LEVEL
        return (n_something > 0) & (n_heard > 1) & explained

    def is_usual(self, n_something: Ints, n_heard: Ints) -> NDArray[np.bool_]:
        """Whether noise has so many false alarms on average."""
        rate = np.mean([k / n for k, n in self.alarms])
        return np.asarray(n_something <= rate * n_heard)

    @cached_property
    def _rates(self) -> tuple[Floats, Floats]:
        """Rates of false alarms, and the probability that a new place has each."""
        k, n = np.array(self.alarms).T[:, :, None, None]
        mean = np.geomspace(0.002, 0.6, 24)[:, None]
        size = np.geomspace(1, 200, 12)
        a, b = mean * size, (1 - mean) * size
        said = np.sum(scipy.stats.betabinom.logpmf(k, n, a, b), axis=0)
        likely = np.exp(said - said.max())
        edges = scipy.special.expit(np.linspace(-12, 4, 81))
        reached = scipy.stats.beta.cdf(edges[:, None, None], a, b)
        weights = np.diff(np.tensordot(np.asarray(reached), likely / likely.sum()))
        return np.sqrt(edges[1:] * edges[:-1]), weights / np.sum(weights)

"""When a clip holds nothing, and how often noise passes for something.

In: the probability of nothing of clips that were held out, and of those to be decided. Out:
:class:`NothingRule`, which says which moments of a recording or an encounter hold something, and
whether noise alone explains them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from pseudorca.learning.dataset import Floats, Ints, Names

HIGHEST = 0.5
"""A clip holds nothing if nothing is more probable than this, or than less where noise asks for it."""

FALSE_ALARMS = 0.05
"""Share of held-out backgrounds that may pass for something, every encounter weighing alike."""

_LEVEL = 0.05  # one-sided, that noise alone does so
_STANDS_OUT = 0.01  # that noise reaches so low in any moment of a recording
_LEAST_MOMENTS = 60  # of a recording whose own noise is known
_LEAST_STANDING_OUT = 2
_LEAST_SPREAD = 0.1  # of the logits of a recording's noise


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
    def untried(cls) -> Self:
        """The rule where nothing could be held out: as if one background in twenty had passed."""
        return cls(HIGHEST, ((1, 20),))

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
        least = values[order][np.searchsorted(reached, FALSE_ALARMS, side="right")]
        threshold = float(min(HIGHEST, np.nextafter(least, 0)))  # this one is told
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

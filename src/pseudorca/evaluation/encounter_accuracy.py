"""Which encounters were named rightly: every comparison between feature sets rests on this.

In: out-of-fold scores of clips. Out: per encounter the share of repeats in which the encounter was
named rightly. The result equals that of :func:`pseudorca.learning.units.aggregate`. The groups are
looked up once, so that a permutation test is quick.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.learning.crossval import OutOfFold
from pseudorca.recordings.folds import OTHER


class EncounterMean:
    """Average clip scores to encounters.

    An encounter of several labels counts once per label. Attributes [shape=(n_encounters,)]:
    ``encounters`` are the names, ``units`` the independent units, ``first_clip`` a row of ``clips``
    for each encounter. A permutation moves whole encounters, so the attributes hold for any labels.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``; labelled clips only
    units : ndarray [shape=(n_clips,)], the independent unit: the encounter or something coarser

    Examples
    --------
    >>> clips = pd.DataFrame({"moment_id": ["m1", "m2"], "label": list("AB"), "encounter": list("ef")})
    >>> averager = EncounterMean(clips, clips["encounter"].to_numpy(dtype=object))
    >>> scores = np.log([[[0.9, 0.1], [0.6, 0.4]]])
    >>> averager.right(scores, ["A", "B"], clips["label"].to_numpy(dtype=object)).tolist()
    [1.0, 0.0]
    """

    def __init__(self, clips: pd.DataFrame, units: NDArray[np.object_]) -> None:
        moments = clips.groupby(["moment_id", "label"], sort=False)
        self._moment = moments.ngroup().to_numpy()
        by_moment = moments["encounter"].first().reset_index()
        self._encounter = by_moment.groupby(["encounter", "label"], sort=False).ngroup().to_numpy()
        of_clip = self._encounter[self._moment]
        self.first_clip = np.unique(of_clip, return_index=True)[1]
        self.encounters = clips["encounter"].to_numpy(dtype=object)[self.first_clip]
        self.units = units[self.first_clip]

    def right(
        self,
        log_probabilities: NDArray[np.float64],
        classes: list[str],
        labels: NDArray[np.object_],
    ) -> NDArray[np.float64]:
        """Share of repeats in which an encounter is named rightly.

        Parameters
        ----------
        log_probabilities : ndarray [shape=(n_repeats, n_clips, n_classes)], NaN where never tested
        classes : list of str
        labels : ndarray [shape=(n_clips,)], the labels that count as the truth

        Returns
        -------
        ndarray [shape=(n_encounters,)], 0 to 1; NaN if a repeat did not test the encounter
        """
        column = {label: k for k, label in enumerate(classes)}
        actual = np.array([column[label] for label in labels[self.first_clip]])
        shares = np.zeros(len(actual))
        for scores in log_probabilities:
            tested = ~np.isnan(scores[:, 0])
            by_moment = _means(scores[tested], self._moment[tested], len(self._encounter))
            scored = ~np.isnan(by_moment[:, 0])
            means = _means(by_moment[scored], self._encounter[scored], len(actual))
            right = (means.argmax(axis=1) == actual).astype(np.float64)
            right[np.isnan(means[:, 0])] = np.nan
            shares += right
        return shares / len(log_probabilities)

    def counted(self, right: NDArray[np.float64], labels: NDArray[np.object_]) -> NDArray[np.bool_]:
        """True for tested encounters of a population; False for other sounds."""
        return np.asarray(np.isfinite(right) & (labels[self.first_clip] != OTHER))

    def balanced_accuracy(self, right: NDArray[np.float64], labels: NDArray[np.object_]) -> float:
        """Mean over the populations of the share of encounters named rightly."""
        counted = self.counted(right, labels)
        of_unit = labels[self.first_clip][counted]
        return float(np.mean([right[counted][of_unit == label].mean() for label in set(of_unit)]))


def rightness(clips: pd.DataFrame, scored: OutOfFold, units: NDArray[np.object_]) -> pd.DataFrame:
    """Find which encounters were named rightly.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``; labelled clips only
    scored : OutOfFold
    units : ndarray [shape=(n_clips,)], the independent unit: the encounter or something coarser

    Returns
    -------
    DataFrame, a row per encounter and label
        ``encounter, label, unit, right`` (share of repeats). Only encounters that every repeat
        tested are returned.

    Examples
    --------
    >>> clips = pd.DataFrame({"moment_id": ["m1", "m2"], "label": list("AB"), "encounter": list("ef")})
    >>> scored = OutOfFold(["A", "B"], np.log([[[0.9, 0.1], [0.6, 0.4]]]))
    >>> rightness(clips, scored, clips["encounter"].to_numpy(dtype=object))["right"].tolist()
    [1.0, 0.0]
    """
    labels = clips["label"].to_numpy(dtype=object)
    averager = EncounterMean(clips, units)
    table = pd.DataFrame(
        {
            "encounter": averager.encounters,
            "label": labels[averager.first_clip],
            "unit": averager.units,
            "right": averager.right(scored.log_probabilities, scored.classes, labels),
        }
    )
    return table.dropna(subset="right").sort_values(["encounter", "label"], ignore_index=True)


def _means(values: NDArray[np.float64], groups: NDArray[Any], n_groups: int) -> NDArray[np.float64]:
    """Mean of the rows of each group; NaN where a group has none."""
    sums = [np.bincount(groups, weights=column, minlength=n_groups) for column in values.T]
    counts = np.bincount(groups, minlength=n_groups)[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.stack(sums, axis=1) / counts)

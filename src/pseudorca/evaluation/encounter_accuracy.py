"""Which encounters were named rightly: what every comparison between feature sets is made of.

In: out-of-fold scores of clips. Out: per encounter the share of repeats in which it was named rightly,
as :func:`pseudorca.learning.units.aggregate` would say, but quickly enough for a permutation
test: what belongs together is looked up once.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.learning.crossval import OutOfFold
from pseudorca.recordings.folds import OTHER


class EncounterMean:
    """Clip scores to encounters.

    An encounter of several labels is one per label; ``encounters``, ``units`` and ``first_clip``
    [shape=(n_encounters,)]: their names, what is independent, and a row of ``clips`` for each. Since
    permutations carry whole ones, these stay the same for any labels.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``; labelled clips only
    units : ndarray [shape=(n_clips,)], what is independent: the encounter or something coarser
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
        """Share of repeats in which an encounter is named rightly, NaN where not tested in all.

        Parameters
        ----------
        log_probabilities : ndarray [shape=(n_repeats, n_clips, n_classes)], NaN where never tested
        classes : list of str
        labels : ndarray [shape=(n_clips,)], those that count as the truth
        """
        column = {label: k for k, label in enumerate(classes)}
        actual = np.array([column[label] for label in labels[self.first_clip]])
        shares = np.zeros(len(actual))
        for scores in log_probabilities:
            tested = ~np.isnan(scores[:, 0])
            by_moment = _means(scores[tested], self._moment[tested], len(self._encounter))
            heard = ~np.isnan(by_moment[:, 0])
            means = _means(by_moment[heard], self._encounter[heard], len(actual))
            right = (means.argmax(axis=1) == actual).astype(np.float64)
            right[np.isnan(means[:, 0])] = np.nan
            shares += right
        return shares / len(log_probabilities)

    def counted(self, right: NDArray[np.float64], labels: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Encounters that are tested and of a population: other sounds are none."""
        return np.asarray(np.isfinite(right) & (labels[self.first_clip] != OTHER))

    def balanced_accuracy(self, right: NDArray[np.float64], labels: NDArray[np.object_]) -> float:
        """Mean over the populations of the share of encounters named rightly."""
        counted = self.counted(right, labels)
        of_unit = labels[self.first_clip][counted]
        return float(np.mean([right[counted][of_unit == label].mean() for label in set(of_unit)]))


def rightness(clips: pd.DataFrame, scored: OutOfFold, units: NDArray[np.object_]) -> pd.DataFrame:
    """Say which encounters were named rightly.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``; labelled clips only
    scored : OutOfFold
    units : ndarray [shape=(n_clips,)], what is independent: the encounter or something coarser

    Returns
    -------
    DataFrame, a row per encounter and label
        ``encounter, label, unit, right`` (share of repeats); encounters not tested in every repeat
        are left out.
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

"""Which encounters were named rightly: every comparison between feature sets rests on this.

In: out-of-fold scores of clips. Out: per encounter the share of repeats in which the encounter was
named rightly, and estimates with intervals: balanced accuracy, and the difference of two feature sets
on the same encounters. The shares equal those of :func:`pseudorca.learning.units.aggregate`. The
groups are looked up once, so that a permutation test is quick.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.evaluation.intervals import CONFIDENCE, interval
from pseudorca.learning.crossval import OutOfFold
from pseudorca.recordings.folds import OTHER

_N_RESAMPLES = 2000


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


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Examples
    --------
    >>> Estimate(0.8, 0.6, 0.9).as_dict()
    {'value': 0.8, 'low': 0.6, 'high': 0.9}
    """

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """The number and its interval by name."""
        return asdict(self)


def balanced_accuracy(right: pd.DataFrame) -> tuple[Estimate, str]:
    """Balanced accuracy by encounter with its interval.

    Parameters
    ----------
    right : DataFrame, a row per encounter: ``label, unit, right`` (share of repeats named rightly)

    Returns
    -------
    Estimate
    str, the method of the interval

    Examples
    --------
    >>> right = pd.DataFrame({"label": list("AABB"), "unit": list("abcd"), "right": [1.0, 0, 1, 1]})
    >>> balanced_accuracy(right)[0].value
    0.75
    """
    classes = sorted(set(right["label"]))
    actual = np.array([classes.index(label) for label in right["label"]])
    values = right["right"].to_numpy(dtype=np.float64)
    low, high, method = interval(values, actual, right["unit"].to_numpy(object), len(classes))
    value = float(right.groupby("label")["right"].mean().mean())
    return Estimate(value, low, high), method


def paired_difference(
    right: Mapping[str, NDArray[np.float64]],
    labels: NDArray[np.object_],
    units: NDArray[np.object_],
    *,
    model: str,
    controls: Sequence[str],
    seed: int = 0,
) -> Estimate:
    """Balanced accuracy of the model minus that of the best control, on the same encounters.

    Units are resampled within class. Each resample chooses the best control anew, so that the
    choice gives a control the same advantage in the resamples as in the data.

    Parameters
    ----------
    right : mapping from feature set to ndarray [shape=(n_encounters,)]
        Share of repeats in which an encounter was named rightly
    labels, units : ndarray [shape=(n_encounters,)]
        A unit is independent of the others; the encounters of a unit are drawn together
    model : str
    controls : sequence of str
    seed : int

    Returns
    -------
    Estimate, percentile bootstrap of 2,000 resamples

    Raises
    ------
    FoldError
        If there is no control.

    Examples
    --------
    >>> right = {"model": np.array([1.0, 1, 1, 1]), "rate": np.array([1.0, 0, 1, 0])}
    >>> labels, units = np.array(list("AABB"), dtype=object), np.array(list("abcd"), dtype=object)
    >>> paired_difference(right, labels, units, model="model", controls=["rate"]).value
    0.5
    """
    if not controls:
        raise FoldError(
            "no control to compare with: every fact is the same for all clips, and no clip has a "
            "background."
        )
    names = [model, *controls]
    values = np.stack([right[name] for name in names])
    rng = np.random.default_rng(seed)
    recalls = np.zeros((_N_RESAMPLES, len(names)))
    observed = np.zeros(len(names))
    classes = sorted(set(labels))
    for label in classes:
        of_label = labels == label
        _, unit = np.unique(units[of_label].astype(str), return_inverse=True)
        n_units = unit.max() + 1
        sums = np.stack([np.bincount(unit, row[of_label], n_units) for row in values])
        counts = np.bincount(unit, minlength=n_units)
        drawn = rng.integers(n_units, size=(_N_RESAMPLES, n_units))
        recalls += (sums[:, drawn].sum(axis=2) / counts[drawn].sum(axis=1)).T / len(classes)
        observed += values[:, of_label].mean(axis=1) / len(classes)
    differences = recalls[:, 0] - recalls[:, 1:].max(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Estimate(float(observed[0] - observed[1:].max()), float(low), float(high))


def resampled_statistics(
    table: pd.DataFrame, columns: Sequence[str], seed: int
) -> dict[str, Estimate]:
    """Means over encounters, then over classes, with intervals by resampling units within class.

    Parameters
    ----------
    table : DataFrame, a row per encounter: ``label``, ``unit`` (independent of the others) and
        ``columns``
    columns : sequence of str, the statistics
    seed : int

    Returns
    -------
    dict from column to Estimate, percentile bootstrap of 2,000 resamples

    Examples
    --------
    >>> table = pd.DataFrame({"label": list("AABB"), "unit": list("abcd"), "right": [1.0, 0, 1, 1]})
    >>> resampled_statistics(table, ["right"], seed=0)["right"].value
    0.75
    """
    rng = np.random.default_rng(seed)
    means = np.zeros((_N_RESAMPLES, len(columns)))
    value = np.zeros(len(columns))
    labels = sorted(set(table["label"]))
    for label in labels:
        of_label = table[table["label"] == label]
        by_unit = of_label.groupby("unit")[list(columns)]
        sums, counts = by_unit.sum().to_numpy(), by_unit.size().to_numpy()
        drawn = rng.integers(len(counts), size=(_N_RESAMPLES, len(counts)))
        share = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)[:, None]
        means += share / len(labels)
        value += of_label[list(columns)].mean().to_numpy() / len(labels)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return {
        name: Estimate(float(value[k]), float(low[k]), float(high[k]))
        for k, name in enumerate(columns)
    }

"""Two sets of scores on the same encounters: each estimate, and the difference, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.evaluation.intervals import interval

_N_RESAMPLES = 2000
_CONFIDENCE = 0.95


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
    tail = (1 - _CONFIDENCE) / 2
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
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return {
        name: Estimate(float(value[k]), float(low[k]), float(high[k]))
        for k, name in enumerate(columns)
    }

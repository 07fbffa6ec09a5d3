"""Stored scores to numbers with intervals: how often units are named rightly, how true claims are.

Convention: scores are out-of-fold log-probabilities. Every metric is computed on the pooled scores of
a repeat, never averaged over folds; repeats are averaged. The unit (clip, recording, encounter) and
the split are part of every result. The independent group is the encounter, or what the split keeps
whole if that is coarser. Intervals come from the number of groups, not from the number of clips.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from pseudorca.evaluation.intervals import interval, loss_interval, recall_interval
from pseudorca.learning.calibration import CalibratedUnits, encounter_weights
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import OTHER

MIN_ENCOUNTERS_ECE = 50
"""With fewer encounters, an expected calibration error depends more on the bins than on the scores."""

_BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True)
class UnitTruth:
    """Units with their true labels and their scores in each repeat.

    ``labels``, ``groups`` [shape=(n_units,)]; ``log_probabilities``
    [shape=(n_repeats, n_units, n_classes)].

    Examples
    --------
    >>> names = np.array(["e1", "e2"], dtype=object)
    >>> truth = UnitTruth(np.array(["A", "B"], dtype=object), names, np.log([[[0.9, 0.1], [0.6, 0.4]]]))
    >>> truth.log_probabilities.shape
    (1, 2, 2)
    """

    labels: NDArray[np.object_]
    groups: NDArray[np.object_]
    log_probabilities: NDArray[np.float64]


def measure(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    log_probabilities: NDArray[np.float64],
    classes: list[str],
    *,
    unit: str,
    split: str,
    groups: NDArray[np.object_],
) -> dict[str, Any]:
    """Compute all metrics for one unit.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    log_probabilities : ndarray [shape=(n_repeats, n_clips, n_classes)], NaN where never tested
    classes : list of str
    unit : ``clip``, ``recording`` or ``encounter``
    split : str, the split's name
    groups : ndarray [shape=(n_clips,)], the independent group

    Returns
    -------
    dict
        ``split, unit, n_units, n_groups, n_repeats, balanced_accuracy, ci_low, ci_high,
        interval_method, majority_baseline`` (1 / number of tested classes: what always naming one
        class scores in balanced accuracy), ``classes_tested, accuracy, majority_accuracy,
        precision, recall, f1, auc, average_precision`` (means over classes), ``log_loss, confusion``
        (rows: truth; columns: named; means over repeats), ``classes`` and ``per_class``. The class
        of other sounds stands in ``confusion`` and ``per_class`` only.

    Examples
    --------
    >>> clips = pd.DataFrame({
    ...     "recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"], "label": ["A", "B"],
    ...     "encounter": ["e1", "e2"], "start_s": 0.0, "end_s": 2.0,
    ... })
    >>> recordings = pd.DataFrame({"recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"]})
    >>> scores = np.log([[[0.9, 0.1], [0.6, 0.4]]])
    >>> groups = clips["encounter"].to_numpy(dtype=object)
    >>> result = measure(
    ...     clips, recordings, scores, ["A", "B"], unit="encounter", split="encounter", groups=groups
    ... )
    >>> result["balanced_accuracy"], result["confusion"]
    (0.5, [[1.0, 0.0], [1.0, 0.0]])
    """
    truth = unit_truth(clips, recordings, log_probabilities, unit=unit, groups=groups)
    n_classes = len(classes)
    actual = _columns(truth.labels, classes)
    named = truth.log_probabilities.argmax(axis=2)
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, (np.broadcast_to(actual, named.shape), named), 1.0)
    confusion /= len(named)
    right = (named == actual).mean(axis=0)

    n_right, n_actual, n_named = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = n_right / n_actual
        precision = np.nan_to_num(n_right / n_named)  # never named: 0
    f1 = np.where(n_actual > 0, 2 * n_right / np.maximum(n_named + n_actual, 1e-12), np.nan)
    is_population = np.array([label != OTHER for label in classes])
    auc, average_precision, log_loss = _of_probabilities(truth, actual, is_population)
    of_classes = {
        "precision": precision, "recall": recall, "f1": f1, "auc": auc,
        "average_precision": average_precision,
    }  # fmt: skip
    tested = np.isfinite(recall) & is_population
    of_population = tested[actual]
    low, high, method = interval(
        right[of_population], actual[of_population], truth.groups[of_population], n_classes
    )
    n_units = np.bincount(actual, minlength=n_classes)
    return {
        "split": split,
        "unit": unit,
        "n_units": int(of_population.sum()),
        "n_groups": len(set(truth.groups[of_population])),
        "n_repeats": len(named),
        "balanced_accuracy": float(recall[tested].mean()),
        "ci_low": low,
        "ci_high": high,
        "interval_method": method,
        "majority_baseline": 1 / int(tested.sum()),
        "classes_tested": [classes[k] for k in np.flatnonzero(tested)],
        "accuracy": float(right[of_population].mean()),
        "majority_accuracy": float(n_units[tested].max() / of_population.sum()),
        **{name: _mean(values[tested]) for name, values in of_classes.items()},
        "log_loss": log_loss,
        "classes": classes,
        "confusion": confusion.round(6).tolist(),
        "per_class": {
            label: _of_class(k, truth, actual, right, of_classes) for k, label in enumerate(classes)
        },
    }


def _columns(labels: Iterable[str], classes: list[str]) -> NDArray[np.int64]:
    """The place of each label among the classes."""
    return np.array([classes.index(label) for label in labels], dtype=np.int64)


def _of_probabilities(
    truth: UnitTruth, actual: NDArray[np.int64], is_population: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Area under the ROC curve and average precision per class (NaN if undefined), and the log loss."""
    n_classes = len(is_population)
    among, columns = is_population[actual], np.flatnonzero(is_population)
    log_probabilities = scipy.special.log_softmax(
        truth.log_probabilities[:, among][:, :, columns], axis=2
    )
    is_class = np.eye(n_classes, dtype=bool)[actual[among]]
    auc, average_precision = np.full((2, n_classes), np.nan)
    for place, k in enumerate(columns):
        if 0 < is_class[:, k].sum() < len(is_class):
            scores = np.exp(log_probabilities[:, :, place])
            auc[k] = np.mean([roc_auc_score(is_class[:, k], score) for score in scores])
            average_precision[k] = np.mean(
                [average_precision_score(is_class[:, k], score) for score in scores]
            )
    log_loss = -log_probabilities[:, is_class[:, columns]].mean()
    return auc, average_precision, float(log_loss)


def _of_class(
    k: int,
    truth: UnitTruth,
    actual: NDArray[np.int64],
    right: NDArray[np.float64],
    of_classes: dict[str, NDArray[np.float64]],
) -> dict[str, Any]:
    """Counts and metrics of one class, with an interval of its recall."""
    of_class = actual == k
    low = high = None
    if of_class.any():
        low, high = recall_interval(right[of_class], truth.groups[of_class])
    number = {
        name: float(values[k]) if np.isfinite(values[k]) else None
        for name, values in of_classes.items()
    }
    return {
        "n_units": int(of_class.sum()),
        "n_groups": len(set(truth.groups[of_class])),
        "recall": number.pop("recall"),
        "recall_low": low,
        "recall_high": high,
        **number,
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of the finite values; None without one."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def unit_truth(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    log_probabilities: NDArray[np.float64],
    *,
    unit: str,
    groups: NDArray[np.object_],
) -> UnitTruth:
    """Aggregate out-of-fold scores to units.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    log_probabilities : ndarray [shape=(n_repeats, n_clips, n_classes)], NaN where never tested
    unit : ``clip``, ``recording`` or ``encounter``
    groups : ndarray [shape=(n_clips,)], the independent group

    Returns
    -------
    UnitTruth, of the units that every repeat tested

    Examples
    --------
    >>> clips = pd.DataFrame({
    ...     "recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"], "label": ["A", "B"],
    ...     "encounter": ["e1", "e2"], "start_s": 0.0, "end_s": 2.0,
    ... })
    >>> recordings = pd.DataFrame({"recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"]})
    >>> scores = np.log([[[0.9, 0.1], [0.6, 0.4]]])
    >>> groups = clips["encounter"].to_numpy(dtype=object)
    >>> unit_truth(clips, recordings, scores, unit="encounter", groups=groups).labels.tolist()
    ['A', 'B']
    """
    by_repeat = [aggregate(clips, recordings, scores, unit) for scores in log_probabilities]
    keys = [units.table[["unit_id", "label"]].itertuples(index=False) for units in by_repeat]
    rows_of = [{key: row for row, key in enumerate(of_repeat)} for of_repeat in keys]
    # A unit that one repeat does not test is left out of every repeat.
    shared = sorted(set.intersection(*map(set, rows_of)))
    rows = [[row_of[key] for key in shared] for row_of in rows_of]
    table = by_repeat[0].table.iloc[rows[0]]
    column = "encounter" if unit == "encounter" else "recording_id"
    group_of = dict(zip(clips[column], groups, strict=True))
    return UnitTruth(
        table["label"].to_numpy(dtype=object),
        np.array([group_of[name] for name in table[column]], dtype=object),
        np.stack([units.log_probabilities[k] for units, k in zip(by_repeat, rows, strict=True)]),
    )


def reliability(units: CalibratedUnits) -> dict[str, Any]:
    """Judge the populations' probabilities, classes weighing equally, and encounters within a class.

    Parameters
    ----------
    units : CalibratedUnits
        The class of other sounds is left out.

    Returns
    -------
    dict
        ``log_loss, brier`` (multi-class: sum of squared errors, 0 to 2), each with ``_low`` and
        ``_high`` (95 %, see :func:`pseudorca.evaluation.intervals.loss_interval`; None where there
        are too few encounters for one) and ``_baseline`` (claiming the prior); ``interval_method``;
        ``bins``: rows ``low, high, claimed, happened, weight, n_encounters`` over all classes'
        claims; ``expected_calibration_error`` from 50 encounters on, else None; ``temperature``,
        ``dependence``, ``kind`` and ``n_encounters``.

    Examples
    --------
    >>> from pseudorca.learning.calibration import Calibrator
    >>> table = pd.DataFrame({
    ...     "unit_id": ["e1", "e2", "e3", "e4"], "label": ["A", "A", "B", "B"],
    ...     "encounter": ["e1", "e2", "e3", "e4"], "n_moments": 1, "repeat": 0, "fold": [0, 1, 0, 1],
    ... })
    >>> log_probabilities = np.log([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> units = CalibratedUnits(table, log_probabilities, ["A", "B"], Calibrator(["A", "B"]))
    >>> round(reliability(units)["brier"], 3)
    0.05
    """
    keep = (units.table["label"] != OTHER).to_numpy()
    columns = [k for k, label in enumerate(units.classes) if label != OTHER]
    table, classes = units.table[keep], [units.classes[k] for k in columns]
    log_probabilities = scipy.special.log_softmax(units.log_probabilities[keep][:, columns], axis=1)
    actual = _columns(table["label"], classes)
    labels = table["label"].to_numpy(dtype=object)
    encounters = table["encounter"].to_numpy(dtype=object)
    weights, n_encounters = encounter_weights(labels, encounters)
    claimed = np.exp(log_probabilities)
    is_class = np.eye(len(classes))[actual]
    n = len(classes)
    losses = (  # name, loss of each unit, loss of claiming the prior, highest possible loss
        ("log_loss", -log_probabilities[np.arange(len(actual)), actual], float(np.log(n)), np.inf),
        ("brier", ((claimed - is_class) ** 2).sum(axis=1), 1 - 1 / n, 2.0),
    )
    measures: dict[str, Any] = {}
    for name, values, baseline, highest in losses:
        low, high, method = loss_interval(
            values, labels, encounters, n_folds=table["fold"].nunique(), highest=highest
        )
        measures |= {
            name: float(weights @ values), f"{name}_low": low, f"{name}_high": high,
            f"{name}_baseline": baseline, "interval_method": method,
        }  # fmt: skip
    bins = _bins(claimed, is_class, weights, encounters)
    total = sum(n_encounters.values())
    error = None
    if total >= MIN_ENCOUNTERS_ECE:
        error = float(sum(b["weight"] * abs(b["claimed"] - b["happened"]) for b in bins))
    return measures | {
        "bins": bins,
        "expected_calibration_error": error,
        "temperature": units.calibrator.temperature,
        "dependence": units.calibrator.dependence,
        "kind": units.calibrator.kind,
        "n_encounters": total,
    }


def _bins(
    claimed: NDArray[np.float64],
    is_class: NDArray[np.float64],
    weights: NDArray[np.float64],
    encounters: NDArray[np.object_],
) -> list[dict[str, float]]:
    """Rows of the reliability diagram; bins without a claim are left out."""
    n_classes = claimed.shape[1]
    bin_of = np.clip(np.searchsorted(_BINS, claimed, side="right") - 1, 0, len(_BINS) - 2)
    claim_weights = np.broadcast_to(weights[:, None] / n_classes, claimed.shape)
    rows = []
    for k in range(len(_BINS) - 1):
        in_bin = bin_of == k
        weight = float(claim_weights[in_bin].sum())
        if weight > 0:
            rows.append(
                {
                    "low": float(_BINS[k]),
                    "high": float(_BINS[k + 1]),
                    "claimed": float(claim_weights[in_bin] @ claimed[in_bin] / weight),
                    "happened": float(claim_weights[in_bin] @ is_class[in_bin] / weight),
                    "weight": weight,
                    "n_encounters": len(set(encounters[in_bin.any(axis=1)])),
                }
            )
    return rows

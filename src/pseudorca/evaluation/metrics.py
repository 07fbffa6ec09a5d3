"""Stored scores to numbers with intervals.

Convention: scores are out-of-fold log-probabilities. Every metric is computed on the pooled scores of
a repeat, never averaged over folds; repeats are averaged. The unit (clip, recording, encounter) and
the split are part of every result. The independent group is the encounter, or what the split keeps
whole if that is coarser. Intervals come from the number of groups, not from the number of clips.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from pseudorca.evaluation.intervals import interval, recall_interval
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import OTHER


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
    column = {label: k for k, label in enumerate(classes)}
    actual = np.array([column[label] for label in truth.labels])
    named = truth.log_probabilities.argmax(axis=2)
    confusion = np.zeros((n_classes, n_classes))
    for answers in named:
        np.add.at(confusion, (actual, answers), 1.0)
    confusion /= len(named)
    right = (named == actual).mean(axis=0)

    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.diag(confusion) / confusion.sum(axis=1)
        precision = np.nan_to_num(np.diag(confusion) / confusion.sum(axis=0))  # never named: 0
    f1 = 2 * np.diag(confusion) / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1e-12)
    is_population = np.array([label != OTHER for label in classes])
    auc, average_precision, log_loss = _of_probabilities(truth, actual, is_population)
    tested = np.isfinite(recall) & is_population
    of_population = tested[actual]
    low, high, method = interval(
        right[of_population], actual[of_population], truth.groups[of_population], n_classes
    )
    n_units = np.bincount(actual, minlength=n_classes)
    per_class = _per_class(
        classes, truth, actual, right,
        {"recall": recall, "precision": precision, "f1": f1, "auc": auc,
         "average_precision": average_precision},
    )  # fmt: skip
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
        "classes_tested": [
            label for label, is_tested in zip(classes, tested, strict=True) if is_tested
        ],
        "accuracy": float(right[of_population].mean()),
        "majority_accuracy": float(n_units[tested].max() / of_population.sum()),
        "precision": _mean(precision[tested]),
        "recall": _mean(recall[tested]),
        "f1": float(f1[tested].mean()),
        "auc": _mean(auc[tested]),
        "average_precision": _mean(average_precision[tested]),
        "log_loss": log_loss,
        "classes": classes,
        "confusion": confusion.round(6).tolist(),
        "per_class": per_class,
    }


def _of_probabilities(
    truth: UnitTruth, actual: NDArray[np.int64], is_population: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Area under the ROC curve and average precision per class, and the log loss."""
    n_classes = len(is_population)
    among, columns = is_population[actual], np.flatnonzero(is_population)
    log_probabilities = scipy.special.log_softmax(
        truth.log_probabilities[:, among][:, :, columns], axis=2
    )
    probabilities = np.exp(log_probabilities)
    is_class = np.eye(n_classes, dtype=bool)[actual[among]]
    auc, average_precision = _ranking(probabilities, is_class, columns)
    log_loss = -log_probabilities[:, is_class[:, columns]].mean()
    return auc, average_precision, float(log_loss)


def _per_class(
    classes: list[str],
    truth: UnitTruth,
    actual: NDArray[np.int64],
    right: NDArray[np.float64],
    metrics: dict[str, NDArray[np.float64]],
) -> dict[str, dict[str, Any]]:
    """Counts and metrics of each class, with an interval of its recall."""
    n_units = np.bincount(actual, minlength=len(classes))
    recall = metrics["recall"]
    bounds = [
        recall_interval(right[actual == k], truth.groups[actual == k])
        if np.isfinite(recall[k])
        else (None, None)
        for k in range(len(classes))
    ]
    return {
        label: {
            "n_units": int(n_units[k]),
            "n_groups": len(set(truth.groups[actual == k])),
            "recall": _number(recall[k]),
            "recall_low": bounds[k][0],
            "recall_high": bounds[k][1],
            "precision": _number(metrics["precision"][k]),
            "f1": _number(metrics["f1"][k]) if np.isfinite(recall[k]) else None,
            "auc": _number(metrics["auc"][k]),
            "average_precision": _number(metrics["average_precision"][k]),
        }
        for k, label in enumerate(classes)
    }


def _ranking(
    probabilities: NDArray[np.float64], is_class: NDArray[np.bool_], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve and average precision per class; NaN where not defined."""
    auc = np.full(is_class.shape[1], np.nan)
    average_precision = np.full(is_class.shape[1], np.nan)
    for place, k in enumerate(columns):
        if 0 < is_class[:, k].sum() < len(is_class):
            scores = [of_repeat[:, place] for of_repeat in probabilities]
            auc[k] = np.mean([roc_auc_score(is_class[:, k], score) for score in scores])
            average_precision[k] = np.mean(
                [average_precision_score(is_class[:, k], score) for score in scores]
            )
    return auc, average_precision


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
    # A unit that one repeat does not test is left out of every repeat.
    shared = set.intersection(*(set(_unit_keys(units.table)) for units in by_repeat))
    group_of = dict(zip(clips["recording_id"], groups, strict=True))
    group_of_encounter = dict(zip(clips["encounter"], groups, strict=True))
    stacked = []
    for units in by_repeat:
        keys = _unit_keys(units.table)
        row_of = {key: row for row, key in enumerate(keys)}
        stacked.append(units.log_probabilities[[row_of[key] for key in sorted(shared)]])
    table = by_repeat[0].table
    row_of = {key: row for row, key in enumerate(_unit_keys(table))}
    table = table.iloc[[row_of[key] for key in sorted(shared)]]
    if unit == "encounter":
        independent = [group_of_encounter[name] for name in table["encounter"]]
    else:
        independent = [group_of[name] for name in table["recording_id"]]
    return UnitTruth(
        table["label"].to_numpy(dtype=object),
        np.array(independent, dtype=object),
        np.stack(stacked),
    )


def _unit_keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["unit_id"].astype(str), table["label"].astype(str), strict=True))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None

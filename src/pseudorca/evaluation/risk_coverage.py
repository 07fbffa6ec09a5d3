"""When to abstain: the share of units decided, and the share of wrong names, at each threshold.

In: the claimed probability of the named class, whether the name was right, and the encounter. Out: the
risk-coverage curve, and the threshold for a wanted error rate with the bound that can be claimed.
Encounters are counted, not clips. The results hold for the measured mix of encounters. An answer
``none of the classes`` names nothing: the answer is neither right nor wrong here. Only encounters of
populations can be covered. Other sounds that are named as a population are wrong.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pseudorca.evaluation.intervals import CONFIDENCE, upper_bound
from pseudorca.learning.calibration import CalibratedUnits
from pseudorca.recordings.folds import OTHER

COVERAGES = (1.0, 0.8, 0.6, 0.4, 0.2)
_LEAST = 0.5  # what is less probable is more probably wrong than right
"""Shares of the units that a threshold may leave decided: few, since each trial costs confidence."""


@dataclass(frozen=True)
class Threshold:
    """A threshold on the probability of the named class, with the error that can be claimed.

    ``max_error`` is the upper 95 % bound on the share of decided encounters that are wrong. The
    bound is valid after a choice among all thresholds tried. ``error`` is the observed share.

    Examples
    --------
    >>> Threshold(probability=0.8, coverage=0.6, error=0.0, max_error=0.12, n_encounters=24).coverage
    0.6
    """

    probability: float
    coverage: float
    error: float
    max_error: float
    n_encounters: int


def outcomes(units: CalibratedUnits, prior: NDArray[np.float64] | None = None) -> pd.DataFrame:
    """Name each unit in each repeat, with the claimed probability and whether the name is right.

    Parameters
    ----------
    units : CalibratedUnits
    prior : ndarray [shape=(n_classes,)] or None, how frequent the classes are; None: equally

    Returns
    -------
    DataFrame ``unit_id, label, encounter, repeat, fold, n_moments, named, probability, right``

    Examples
    --------
    >>> from pseudorca.learning.calibration import Calibrator
    >>> table = pd.DataFrame({
    ...     "unit_id": ["e1", "e2"], "label": ["A", "B"], "encounter": ["e1", "e2"], "n_moments": 1,
    ...     "repeat": 0, "fold": [0, 1],
    ... })
    >>> scores = np.log([[0.9, 0.1], [0.6, 0.4]])
    >>> outcome = outcomes(CalibratedUnits(table, scores, ["A", "B"], Calibrator(["A", "B"])))
    >>> outcome["right"].tolist()
    [True, False]
    """
    scores = units.log_probabilities if prior is None else units.log_probabilities + np.log(prior)
    best = scores.argmax(axis=1)
    total = np.logaddexp.reduce(scores, axis=1)
    named = np.array(units.classes, dtype=object)[best]
    return units.table.assign(
        named=named,
        probability=np.exp(scores[np.arange(len(best)), best] - total),
        right=named == units.table["label"].to_numpy(dtype=object),
    )


def risk_coverage(outcome: pd.DataFrame) -> pd.DataFrame:
    """Follow the error among the decided units from the surest one to all of them.

    Parameters
    ----------
    outcome : DataFrame as from :func:`outcomes`; encounters weigh equally

    Returns
    -------
    DataFrame ``probability`` (the lowest that is decided), ``coverage``, ``error``

    Examples
    --------
    >>> outcome = pd.DataFrame({
    ...     "encounter": ["e1", "e2"], "label": ["A", "B"], "named": ["A", "A"],
    ...     "probability": [0.9, 0.6], "right": [True, False], "repeat": 0, "fold": [0, 1],
    ... })
    >>> risk_coverage(outcome).to_numpy().tolist()
    [[0.9, 0.5, 0.0], [0.6, 1.0, 0.5]]
    """
    weights = _weights(outcome)
    total = weights[(outcome["label"] != OTHER).to_numpy()].sum()
    named = outcome.assign(weight=weights)[outcome["named"] != OTHER]
    weight = named["weight"].to_numpy(dtype=np.float64)
    curve = surest_first(
        named["probability"],
        {
            "decided": weight,
            "wrong": weight * ~named["right"].to_numpy(dtype=bool),
            "covered": weight * (named["label"] != OTHER).to_numpy(dtype=bool),
        },
    )
    return pd.DataFrame(
        {
            "probability": curve["threshold"],
            "coverage": curve["covered"] / total,
            "error": curve["wrong"] / curve["decided"],
        }
    )


def thresholds(outcome: pd.DataFrame) -> list[Threshold]:
    """Bound the error at each of the five coverages.

    Parameters
    ----------
    outcome : DataFrame as from :func:`outcomes`

    Returns
    -------
    list of Threshold, from deciding all to deciding few
        Bounds are exact (Clopper-Pearson). A decided encounter is one trial, whatever its number of
        clips and repeats. The confidence is 1 - 0.05 / 5 (Bonferroni), so that the best threshold
        may be picked.

    Examples
    --------
    >>> outcome = pd.DataFrame({
    ...     "encounter": ["e1", "e2"], "label": ["A", "B"], "named": ["A", "A"],
    ...     "probability": [0.9, 0.6], "right": [True, False], "repeat": 0, "fold": [0, 1],
    ... })
    >>> [threshold.coverage for threshold in thresholds(outcome)]
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """
    curve = risk_coverage(outcome)
    if curve.empty:  # nothing is ever named
        return [Threshold(0.0, 0.0, 0.0, 1.0, 0)]
    confidence = 1 - (1 - CONFIDENCE) / len(COVERAGES)
    n_rows = outcome.groupby("encounter").size()
    named = outcome[outcome["named"] != OTHER]
    bounded = []
    for coverage in COVERAGES:
        reached = curve[curve["coverage"] >= coverage - 1e-9]
        row = reached.iloc[0] if len(reached) else curve.iloc[-1]
        decided = named[named["probability"] >= row["probability"]]
        # An encounter decided in one repeat of three is a third of a trial.
        n = float((decided.groupby("encounter").size() / n_rows).sum())
        bounded.append(
            Threshold(
                float(row["probability"]) if coverage < 1 else 0.0,
                float(row["coverage"]),
                float(row["error"]),
                upper_bound(float(row["error"]) * n, n, confidence=confidence),
                round(n),
            )
        )
    return bounded


def threshold_for(max_error: float, candidates: list[Threshold]) -> Threshold | None:
    """Pick the threshold of the greatest coverage whose error is bounded by ``max_error``.

    Parameters
    ----------
    max_error : float, 0 to 1
    candidates : list of Threshold

    Returns
    -------
    Threshold, or None if no candidate has such a bound

    Examples
    --------
    >>> candidates = [Threshold(0.0, 1.0, 0.2, 0.4, 30), Threshold(0.8, 0.6, 0.0, 0.1, 18)]
    >>> threshold_for(0.15, candidates).coverage
    0.6
    """
    allowed = [threshold for threshold in candidates if threshold.max_error <= max_error]
    return max(allowed, key=lambda threshold: threshold.coverage, default=None)


def usual_threshold(outcome: pd.DataFrame, wrong_share: float) -> Threshold | None:
    """Find the lowest threshold above which at most a share of the names of held-out units is wrong.

    None is below one half: what is more probably wrong than right is no name.

    Parameters
    ----------
    outcome : DataFrame as from :func:`outcomes`
    wrong_share : float, 0 to 1

    Returns
    -------
    Threshold, or None if more than this share is wrong above every threshold, or no name reaches one
        half
        ``max_error`` is the upper 95 % bound for this threshold alone, not for a choice of many.

    Examples
    --------
    >>> outcome = pd.DataFrame({
    ...     "encounter": ["e1", "e2"], "label": ["A", "B"], "named": ["A", "A"],
    ...     "probability": [0.9, 0.6], "right": [True, False], "repeat": 0, "fold": [0, 1],
    ... })
    >>> usual_threshold(outcome, 0.25).probability, usual_threshold(outcome, 0.5).probability
    (0.9, 0.5)
    """
    curve = risk_coverage(outcome)
    curve = curve[curve["probability"] >= _LEAST]
    reached = curve[curve["error"] <= wrong_share + 1e-9]
    if reached.empty:
        return None
    row = reached.iloc[-1]
    is_least = row.name == curve.index[-1]
    named = outcome[outcome["named"] != OTHER]
    decided = named[named["probability"] >= row["probability"]]
    n_rows = outcome.groupby("encounter").size()
    n = float((decided.groupby("encounter").size() / n_rows).sum())
    return Threshold(
        _LEAST if is_least else float(row["probability"]),
        float(row["coverage"]),
        float(row["error"]),
        upper_bound(float(row["error"]) * n, n, confidence=CONFIDENCE),
        round(n),
    )


def abstention(outcome: pd.DataFrame, max_error: float) -> dict[str, Any]:
    """Measure a threshold for a wanted error rate on encounters that did not choose the threshold.

    Parameters
    ----------
    outcome : DataFrame as from :func:`outcomes`
    max_error : float, 0 to 1

    Returns
    -------
    dict
        ``max_error``, ``chosen`` (a :class:`Threshold` as a dict, or None), ``smallest_max_error``
        (the smallest bound that these encounters allow), ``candidates``, ``curve`` (rows of
        :func:`risk_coverage`, thinned), and ``held_out``: coverage and error when each fold's
        threshold is chosen on the other folds (None if no fold had a threshold).

    Examples
    --------
    >>> outcome = pd.DataFrame({
    ...     "encounter": ["e1", "e2"], "label": ["A", "B"], "named": ["A", "A"],
    ...     "probability": [0.9, 0.6], "right": [True, False], "repeat": 0, "fold": [0, 1],
    ... })
    >>> abstention(outcome, 0.1)["chosen"] is None
    True
    """
    candidates = thresholds(outcome)
    chosen = threshold_for(max_error, candidates)
    curve = risk_coverage(outcome)
    thin = np.unique(np.linspace(0, max(len(curve) - 1, 0), 100).round().astype(int))[: len(curve)]
    return {
        "max_error": max_error,
        "chosen": asdict(chosen) if chosen else None,
        "smallest_max_error": min(threshold.max_error for threshold in candidates),
        "candidates": [asdict(threshold) for threshold in candidates],
        "curve": curve.iloc[thin].to_dict("records"),
        "held_out": _held_out(outcome, max_error),
    }


def _held_out(outcome: pd.DataFrame, max_error: float) -> dict[str, float] | None:
    """Coverage and error when each fold's threshold is chosen on the other folds."""
    decided = []
    for _, of_repeat in outcome.groupby("repeat"):
        for fold in of_repeat["fold"].unique():
            test = of_repeat["fold"] == fold
            if test.all():
                continue
            chosen = threshold_for(max_error, thresholds(of_repeat[~test]))
            lowest = chosen.probability if chosen else np.inf
            decided.append(of_repeat[test].assign(decided=of_repeat["probability"] >= lowest))
    if not decided:
        return None
    rows = pd.concat(decided)
    weights = _weights(rows)
    is_population = (rows["label"] != OTHER).to_numpy(dtype=bool)
    kept = (rows["decided"] & (rows["named"] != OTHER)).to_numpy(dtype=bool)
    if not kept.any():
        return None
    wrong = ~rows["right"].to_numpy(dtype=bool)
    return {
        "coverage": float(weights[kept & is_population].sum() / weights[is_population].sum()),
        "error": float(weights[kept & wrong].sum() / weights[kept].sum()),
    }


def _weights(outcome: pd.DataFrame) -> NDArray[np.float64]:
    """Encounters weigh equally, however many units and repeats they have."""
    n_rows = outcome.groupby("encounter")["right"].transform("count")
    return np.asarray(1 / n_rows.to_numpy(dtype=np.float64))


def surest_first(claimed: ArrayLike, amounts: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Add amounts up from the surest unit on.

    Parameters
    ----------
    claimed : array [shape=(n_units,)], finite; a unit is decided if this is at least the threshold
    amounts : mapping from name to array [shape=(n_units,)]

    Returns
    -------
    DataFrame
        A row per distinct value of ``claimed``, the greatest first: ``threshold``, and for each name
        the sum over all units that are decided.

    Examples
    --------
    >>> surest_first([0.6, 0.9], {"n": [1, 1]}).to_numpy().tolist()
    [[0.9, 1.0], [0.6, 2.0]]
    """
    values = np.asarray(claimed, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)[: len(values)]
    sums = {name: np.cumsum(np.asarray(amount)[order])[ends] for name, amount in amounts.items()}
    return pd.DataFrame({"threshold": values[ends]} | sums)

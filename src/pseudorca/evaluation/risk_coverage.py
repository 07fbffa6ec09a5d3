"""When to say nothing: what is decided, and how much of it is wrong, at each threshold.

In: how probable the named class was claimed to be, whether it was right, and the encounter. Out: the
risk-coverage curve, and the threshold for a wanted error rate with the bound that can be claimed.
Encounters are counted, not clips; everything holds for the mix of encounters it was measured on. To
say ``none of the classes`` is not to name: it is never right or wrong here, and only the encounters of
populations can be covered; other sounds that are named as a population are wrong.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pseudorca.evaluation.intervals import upper_bound
from pseudorca.learning.held_out import CalibratedUnits
from pseudorca.recordings.folds import OTHER

COVERAGES = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Shares of the units that a threshold may leave decided: few, since each look costs confidence."""

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Threshold:
    """A threshold on the probability of the named class, and what can be claimed for it.

    ``max_error`` is the upper 95 % bound on the share of decided encounters that are wrong, valid
    for the choice among all thresholds tried; ``error`` is what was seen.
    """

    probability: float
    coverage: float
    error: float
    max_error: float
    n_encounters: int


def outcomes(units: CalibratedUnits, prior: NDArray[np.float64] | None = None) -> pd.DataFrame:
    """Say for each unit and repeat what would be named, how probable it was claimed, and if right.

    Returns
    -------
    DataFrame ``unit_id, label, encounter, repeat, fold, n_moments, named, probability, right``
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
    DataFrame ``probability`` (lowest one decided), ``coverage``, ``error``
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
        Bounds are exact (Clopper-Pearson), each decided encounter one trial however many clips or
        repeats it has, at 1 - 0.05 / 5 (Bonferroni), so that the best may be picked.
    """
    curve = risk_coverage(outcome)
    if curve.empty:  # nothing is ever named
        return [Threshold(0.0, 0.0, 0.0, 1.0, 0)]
    alpha = (1 - _CONFIDENCE) / len(COVERAGES)
    found = []
    for coverage in COVERAGES:
        reached = curve[curve["coverage"] >= coverage - 1e-9]
        row = reached.iloc[0] if len(reached) else curve.iloc[-1]
        decided = outcome[
            (outcome["probability"] >= row["probability"]) & (outcome["named"] != OTHER)
        ]
        # An encounter decided in one repeat of three is a third of a trial.
        share = decided.groupby("encounter").size() / outcome.groupby("encounter").size()
        n = float(share.sum())
        wrong = float(row["error"]) * n
        found.append(
            Threshold(
                float(row["probability"]) if coverage < 1 else 0.0,
                float(row["coverage"]),
                float(row["error"]),
                upper_bound(wrong, n, confidence=1 - alpha),
                round(n),
            )
        )
    return found


def threshold_for(max_error: float, candidates: list[Threshold]) -> Threshold | None:
    """The threshold that decides most among those whose error is bounded by ``max_error``, if any."""
    good = [one for one in candidates if one.max_error <= max_error]
    return max(good, key=lambda one: one.coverage, default=None)


def abstention(outcome: pd.DataFrame, max_error: float) -> dict[str, Any]:
    """What choosing a threshold for a wanted error rate does to encounters it was not chosen on.

    Parameters
    ----------
    outcome : DataFrame as from :func:`outcomes`
    max_error : float, 0 to 1

    Returns
    -------
    dict
        ``max_error``, ``chosen`` (a :class:`Threshold` as a dict, or None), ``smallest_max_error``
        (the smallest that can be claimed with these encounters), ``curve`` (rows of
        :func:`risk_coverage`, thinned), and ``held_out``: coverage and error where each fold's
        threshold was chosen on the other folds (None where no fold had one).
    """
    candidates = thresholds(outcome)
    chosen = threshold_for(max_error, candidates)
    curve = risk_coverage(outcome)
    thin = np.unique(np.linspace(0, max(len(curve) - 1, 0), 100).round().astype(int))[: len(curve)]
    return {
        "max_error": max_error,
        "chosen": asdict(chosen) if chosen else None,
        "smallest_max_error": min(one.max_error for one in candidates),
        "candidates": [asdict(one) for one in candidates],
        "curve": curve.iloc[thin].to_dict("records"),
        "held_out": _held_out(outcome, max_error),
    }


def _held_out(outcome: pd.DataFrame, max_error: float) -> dict[str, float] | None:
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
    population = (rows["label"] != OTHER).to_numpy(dtype=bool)
    kept = rows["decided"].to_numpy(dtype=bool) & (rows["named"] != OTHER).to_numpy(dtype=bool)
    if not kept.any():
        return None
    wrong = ~rows["right"].to_numpy(dtype=bool)
    return {
        "coverage": float(weights[kept & population].sum() / weights[population].sum()),
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
    """
    values = np.asarray(claimed, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)[: len(values)]
    sums = {name: np.cumsum(np.asarray(amount)[order])[ends] for name, amount in amounts.items()}
    return pd.DataFrame({"threshold": values[ends]} | sums)

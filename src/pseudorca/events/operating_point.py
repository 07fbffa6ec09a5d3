"""Thresholds on one score, and the claims that hold on surveys that did not choose the thresholds.

In: a score per event, whether it truly is the species, the survey. Out: a calibration, two thresholds
(from where it is called the species; below which it is called not the species), and counts with
one-sided exact bounds. Events are the independent units, and each counts once.

Every bound holds for events like those it was counted on: at their prevalence, of surveys like
theirs. :func:`precision_at` gives the precision at another prevalence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.evaluation.intervals import lower_bound, lower_bounds, upper_bound
from pseudorca.evaluation.risk_coverage import surest_first

Method = Literal["auto", "platt", "temperature", "isotonic"]

MIN_EVENTS_ISOTONIC = 50
"""Events per class from which ``auto`` is isotonic: below, it follows single events."""

_SMALLEST = 1e-3  # least distance from 0 and 1 of a share of a few hundred trees
_BINS = np.linspace(0, 1, 6)
_N_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Calibration:
    """Turns scores into probabilities, at the prevalence it was fitted at or another.

    ``log_odds``: scores are probabilities, and their log-odds are scaled. ``steps``: for an isotonic
    calibration, scores and the probabilities at these scores.

    Examples
    --------
    >>> calibration = Calibration("platt", log_odds=True, prevalence=0.5)
    >>> calibration.probabilities(np.array([0.2, 0.8])).round(3).tolist()
    [0.2, 0.8]
    """

    method: str
    log_odds: bool
    prevalence: float
    slope: float = 1.0
    intercept: float = 0.0
    steps: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def probabilities(self, scores: NDArray[np.float64], shift: float = 0.0) -> NDArray[np.float64]:
        """Turn scores into probabilities of the species.

        Parameters
        ----------
        scores : ndarray [shape=(n_events,)]
        shift : float, log-odds of the wanted prevalence minus those of the prevalence of the fit
        """
        if self.steps is not None:
            evidence = scipy.special.logit(np.interp(scores, *self.steps))
        else:
            evidence = self.slope * _evidence(scores, self.log_odds) + self.intercept
        return np.asarray(scipy.special.expit(evidence + shift))


@dataclass(frozen=True)
class OperatingPoint:
    """A score of ``label_from`` or more is called the species, a score below ``not_below`` is not.

    Examples
    --------
    >>> point = OperatingPoint(0.8, 0.3, Calibration("platt", log_odds=True, prevalence=0.5))
    >>> point.answers(np.array([0.9, 0.5, 0.1])).tolist()
    [1, 0, -1]
    """

    label_from: float
    not_below: float
    calibration: Calibration

    def answers(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """1: the species; -1: not the species; 0: undecided [shape=(n_events,)]."""
        return np.where(scores >= self.label_from, 1, np.where(scores < self.not_below, -1, 0))


@dataclass(frozen=True)
class OutOfSurvey:
    """Answers of operating points on surveys that they were not fitted on.

    All [shape=(n_events,)]: ``answers`` 1, 0 or -1; ``probabilities`` and ``baseline`` (the prevalence
    of the other surveys), NaN where the filter is not passed or the survey cannot be tested;
    ``tested``. ``points``: the operating point per survey; ``untestable``: surveys without which a
    class has no event.

    Examples
    --------
    >>> nothing = np.full(2, np.nan)
    >>> OutOfSurvey(np.zeros(2, int), nothing, nothing, np.zeros(2, bool), {}, ["2017"]).untestable
    ['2017']
    """

    answers: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    baseline: NDArray[np.float64]
    tested: NDArray[np.bool_]
    points: dict[str, OperatingPoint]
    untestable: list[str]


def rates(
    called: NDArray[np.bool_], positive: NDArray[np.bool_], *, confidence: float = 0.95
) -> dict[str, Any]:
    """Count calls against the truth.

    Parameters
    ----------
    called, positive : ndarray [shape=(n_events,)]
    confidence : float, of each one-sided bound by itself

    Returns
    -------
    dict
        ``n, n_positive, prevalence, n_called, n_right, n_false``; ``precision, recall`` with
        ``_low``; ``false_call_rate`` (of those that are not the species) with ``_high``. A share of
        nothing is None, and its bound 0 or 1.

    Examples
    --------
    >>> called, positive = np.array([True, True, False]), np.array([True, False, False])
    >>> rates(called, positive)["precision"]
    0.5
    """
    n, n_positive, n_called = len(positive), int(positive.sum()), int(called.sum())
    n_right = int((called & positive).sum())
    n_false, n_negative = n_called - n_right, n - n_positive
    return {
        "n": n,
        "n_positive": n_positive,
        "prevalence": _share(n_positive, n),
        "n_called": n_called,
        "n_right": n_right,
        "n_false": n_false,
        "precision": _share(n_right, n_called),
        "precision_low": lower_bound(n_right, n_called, confidence=confidence),
        "recall": _share(n_right, n_positive),
        "recall_low": lower_bound(n_right, n_positive, confidence=confidence),
        "false_call_rate": _share(n_false, n_negative),
        "false_call_rate_high": upper_bound(n_false, n_negative, confidence=confidence),
    }


def precision_at(
    counted: dict[str, Any], prevalences: Sequence[float], *, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Precision at other prevalences, by Bayes' rule.

    ``recall * p / (recall * p + false_call_rate * (1 - p))``, if the species is found and other
    sounds are mistaken for it as often as among the events counted.

    Parameters
    ----------
    counted : dict, of :func:`rates`
    prevalences : sequence of float, shares of the species among all events
    confidence : float
        Recall and false calls each get a bound with half of what is left to error, so that the
        precision at both bounds is one with this confidence.

    Returns
    -------
    list of dict ``prevalence, precision, precision_low``

    Examples
    --------
    >>> called, positive = np.array([True, True, False, False]), np.array([True, False, False, True])
    >>> precision_at(rates(called, positive), [0.5])[0]["precision"]
    0.5
    """
    half = 1 - (1 - confidence) / 2
    n_negative = counted["n"] - counted["n_positive"]
    recall_low = lower_bound(counted["n_right"], counted["n_positive"], confidence=half)
    false_high = upper_bound(counted["n_false"], n_negative, confidence=half)

    def precision(recall: float | None, false: float | None, p: float) -> float | None:
        if recall is None or false is None or recall * p + false * (1 - p) == 0:
            return None
        return recall * p / (recall * p + false * (1 - p))

    return [
        {
            "prevalence": p,
            "precision": precision(counted["recall"], counted["false_call_rate"], p),
            "precision_low": precision(recall_low, false_high, p),
        }
        for p in prevalences
    ]


def fit_calibration(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    *,
    method: Method = "auto",
    log_odds: bool = True,
) -> Calibration:
    """Fit probabilities to one score.

    Parameters
    ----------
    scores : ndarray [shape=(n_events,)], finite
    positive : ndarray [shape=(n_events,)], with both values in it
    method : ``platt`` (slope and intercept), ``temperature`` (slope), ``isotonic`` (any rising
        steps), or ``auto``: isotonic from 50 events in each class, else platt
    log_odds : bool, scores are probabilities

    Raises
    ------
    PseudorcaError
        If the method is unknown.

    References
    ----------
    .. [1] Platt 1999, "Probabilistic outputs for support vector machines": targets (n + 1) / (n + 2)
       and 1 / (n + 2) in place of 1 and 0, so that classes that do not overlap give no certainty.

    Examples
    --------
    >>> scores, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    >>> fit_calibration(scores, positive).method
    'platt'
    """
    if method not in get_args(Method):
        raise PseudorcaError(unknown_name("calibration", method, get_args(Method)))
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    share = n_positive / len(positive)
    if method == "auto":
        enough = min(n_positive, n_negative) >= MIN_EVENTS_ISOTONIC
        method = "isotonic" if enough else "platt"
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    if method == "isotonic":
        # The ends are as far from certain as Platt's targets.
        bound = float(target.min()), float(target.max())
        fitted = IsotonicRegression(y_min=bound[0], y_max=bound[1]).fit(scores, positive)
        steps = fitted.X_thresholds_, fitted.y_thresholds_
        return Calibration(method, log_odds, share, steps=steps)
    evidence = _evidence(scores, log_odds)
    scale = float(np.abs(evidence).max()) or 1.0
    # A target between 0 and 1 is an event that is both, with these weights.
    inputs = np.concatenate([evidence, evidence])[:, None] / scale
    model = LogisticRegression(
        C=np.inf, solver="newton-cholesky", fit_intercept=method == "platt", max_iter=1000
    )
    model.fit(inputs, np.repeat([True, False], len(scores)), np.concatenate([target, 1 - target]))
    intercept = float(np.ravel(model.intercept_)[0])
    return Calibration(method, log_odds, share, float(model.coef_[0, 0]) / scale, intercept)


def choose_threshold(
    scores: NDArray[np.float64],
    right: NDArray[np.bool_],
    *,
    wanted: float | None = None,
    confidence: float = 0.95,
) -> float:
    """Choose from which score on events are called.

    With ``wanted``, the lowest threshold down to which the lower bound of the share of right calls
    stays at least as high, from the first on that could reach it: going down in a fixed order and
    stopping at the first failure keeps the confidence whatever the number of thresholds. Without, or
    where none reaches it, the threshold whose lower bound is highest (which is a choice, not a claim).

    Parameters
    ----------
    scores : ndarray [shape=(n_events,)]
    right : ndarray [shape=(n_events,)], whether calling the event would be right
    wanted : float or None, share of calls that are right
    confidence : float

    Returns
    -------
    float, halfway between the last event called and the next

    References
    ----------
    .. [1] Angelopoulos et al. 2021, "Learn then test", arXiv:2110.01052 (fixed sequence testing).

    Examples
    --------
    >>> scores, right = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    >>> choose_threshold(scores, right)
    0.5
    """
    curve = surest_first(scores, {"n": np.ones(len(scores), dtype=np.int64), "n_right": right})
    descending, n_called = curve["threshold"].to_numpy(), curve["n"].to_numpy()
    low = lower_bounds(curve["n_right"], n_called, confidence=confidence)
    best = int(np.flatnonzero(low == low.max())[-1])
    if wanted is not None:
        possible = (1 - confidence) ** (1 / n_called) >= wanted
        first = int(possible.argmax()) if possible.any() else len(curve)
        failures = np.flatnonzero(low[first:] < wanted)
        last = first + int(failures[0]) - 1 if len(failures) else len(curve) - 1
        if last >= first:
            best = last
    return float(descending[best : best + 2].mean())


def fit_operating_point(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    *,
    wanted: float | None = None,
    confidence: float = 0.95,
    method: Method = "auto",
    log_odds: bool = True,
) -> OperatingPoint:
    """Fit calibration and both thresholds on the same events.

    Parameters
    ----------
    scores, positive : ndarray [shape=(n_events,)]
    wanted, confidence : see :func:`choose_threshold`
    method, log_odds : see :func:`fit_calibration`

    Returns
    -------
    OperatingPoint

    Examples
    --------
    >>> scores, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    >>> fit_operating_point(scores, positive).label_from
    0.5
    """
    label_from = choose_threshold(scores, positive, wanted=wanted, confidence=confidence)
    not_below = -choose_threshold(-scores, ~positive, wanted=wanted, confidence=confidence)
    if not_below == scores.max():  # all may be called not the species: the highest one, too
        not_below = float(np.nextafter(not_below, np.inf))
    calibration = fit_calibration(scores, positive, method=method, log_odds=log_odds)
    return OperatingPoint(label_from, min(not_below, label_from), calibration)


def leave_one_survey_out(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    surveys: NDArray[np.object_],
    passes: NDArray[np.bool_],
    **how: Any,
) -> OutOfSurvey:
    """Fit an operating point without each survey in turn, and apply it to that survey.

    Parameters
    ----------
    scores, positive, surveys, passes : ndarray [shape=(n_events,)]
        Verified events; those that do not pass the filter are undecided and fit nothing
    how : ``wanted, confidence, method, log_odds`` of :func:`fit_operating_point`

    Returns
    -------
    OutOfSurvey

    Raises
    ------
    PseudorcaError
        If no survey can be left out: the others must hold both what is the species and what is not.

    Examples
    --------
    >>> scores = np.array([0.1, 0.2, 0.8, 0.9, 0.3, 0.7])
    >>> surveys = np.array(["2017", "2017", "2017", "2017", "2023", "2023"], dtype=object)
    >>> held_out = leave_one_survey_out(scores, scores > 0.5, surveys, np.ones(6, dtype=bool))
    >>> held_out.answers.tolist()
    [-1, -1, 1, 1, -1, 1]
    """
    n = len(scores)
    answers, tested = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    probabilities, baseline = np.full(n, np.nan), np.full(n, np.nan)
    points: dict[str, OperatingPoint] = {}
    untestable: list[str] = []
    for survey in sorted(set(surveys)):
        in_survey = surveys == survey
        others = ~in_survey & passes
        if positive[others].all() or not positive[others].any():
            untestable.append(str(survey))
            continue
        point = fit_operating_point(scores[others], positive[others], **how)
        points[str(survey)] = point
        tested |= in_survey
        tested_here = in_survey & passes
        answers[tested_here] = point.answers(scores[tested_here])
        probabilities[tested_here] = point.calibration.probabilities(scores[tested_here])
        baseline[tested_here] = point.calibration.prevalence
    if not points:
        raise PseudorcaError(
            f"of the surveys {', '.join(untestable) or '(none)'} none can be left out: the verified "
            "events of the others must hold both the species and something else, after the filter. "
            "Give another column as survey, another filter, or more verified events."
        )
    return OutOfSurvey(answers, probabilities, baseline, tested, points, untestable)


def risk_coverage(
    scores: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    positive: NDArray[np.bool_],
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Count errors as more and more events are decided, the surest first.

    Parameters
    ----------
    scores : ndarray [shape=(n_events,)], NaN where the event is never called
    probabilities : ndarray [shape=(n_events,)], out of survey, NaN where the event is never decided
    positive : ndarray [shape=(n_events,)]
    confidence : float

    Returns
    -------
    DataFrame
        A row per threshold. ``kind``: ``calls`` (events of at least the score ``threshold`` are called
        the species) or ``answers`` (events for which one answer is at least as probable as
        ``threshold`` get it). ``n, coverage`` (share of all events), ``n_wrong, risk, risk_high`` (one
        sided, for this row by itself: the best of many rows is better than it deserves), ``recall``
        (of all that are the species).

    Examples
    --------
    >>> probabilities, positive = np.array([0.9, 0.6]), np.array([True, False])
    >>> curve = risk_coverage(probabilities, probabilities, positive)
    >>> curve.loc[curve["kind"] == "calls", ["threshold", "coverage", "risk"]].to_numpy().tolist()
    [[0.9, 0.5, 0.0], [0.6, 1.0, 0.5]]
    """
    sure = np.maximum(probabilities, 1 - probabilities)
    calls_all, answers_species = np.ones(len(positive), dtype=bool), probabilities >= 0.5
    tables = []
    for kind, order_by, called in (
        ("calls", scores, calls_all),
        ("answers", sure, answers_species),
    ):
        known = np.isfinite(order_by)
        counts = {"n": known, "n_wrong": called != positive, "n_found": called & positive}
        table = surest_first(
            order_by[known], {name: count[known].astype(np.int64) for name, count in counts.items()}
        )
        n, n_wrong = table["n"], table["n_wrong"]
        table.insert(2, "coverage", n / len(positive))
        table["risk"] = n_wrong / n
        table["risk_high"] = 1 - lower_bounds(n - n_wrong, n, confidence=confidence)
        table["recall"] = table.pop("n_found") / max(int(positive.sum()), 1)
        table.insert(0, "kind", kind)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def calibration_quality(
    probabilities: NDArray[np.float64],
    positive: NDArray[np.bool_],
    baseline: NDArray[np.float64],
) -> dict[str, Any]:
    """Compare probabilities with the truth.

    Parameters
    ----------
    probabilities, positive : ndarray [shape=(n_events,)]
    baseline : ndarray [shape=(n_events,)], the prevalence of the other surveys

    Returns
    -------
    dict
        ``n``; ``brier`` and ``log_loss`` (nats), each with ``_low`` and ``_high`` (95 %, events
        resampled) and ``_baseline``; ``bins``: rows ``low, high, n, n_positive, claimed, happened,
        happened_low, happened_high`` (exact, 95 % two-sided).

    Examples
    --------
    >>> probabilities, positive = np.array([0.9, 0.1]), np.array([True, False])
    >>> round(calibration_quality(probabilities, positive, np.array([0.5, 0.5]))["brier"], 3)
    0.01
    """
    rng = np.random.default_rng(_SEED)
    rows = rng.integers(len(positive), size=(_N_RESAMPLES, len(positive)))
    quality: dict[str, Any] = {"n": len(positive)}
    losses, of_baseline = _losses(probabilities, positive), _losses(baseline, positive)
    for name, values in losses.items():
        low, high = np.quantile(values[rows].mean(axis=1), [0.025, 0.975])
        quality |= {
            name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high),
            f"{name}_baseline": float(of_baseline[name].mean()),
        }  # fmt: skip
    bin_of = np.clip(np.searchsorted(_BINS, probabilities, side="right") - 1, 0, len(_BINS) - 2)
    quality["bins"] = []
    for k in np.unique(bin_of):
        in_bin = bin_of == k
        n, n_positive = int(in_bin.sum()), int(positive[in_bin].sum())
        row = {
            "low": float(_BINS[k]), "high": float(_BINS[k + 1]), "n": n, "n_positive": n_positive,
            "claimed": float(probabilities[in_bin].mean()), "happened": n_positive / n,
            "happened_low": lower_bound(n_positive, n, confidence=0.975),
            "happened_high": upper_bound(n_positive, n, confidence=0.975),
        }  # fmt: skip
        quality["bins"].append(row)
    return quality


def log_odds_shift(wanted: float, fitted: float) -> float:
    """Difference of the log-odds of two prevalences.

    Parameters
    ----------
    wanted, fitted : float, more than 0 and less than 1

    Returns
    -------
    float

    Examples
    --------
    >>> log_odds_shift(0.5, 0.5)
    0.0
    """
    return float(scipy.special.logit(wanted) - scipy.special.logit(fitted))


def _evidence(scores: NDArray[np.float64], log_odds: bool) -> NDArray[np.float64]:
    if not log_odds:
        return scores
    return np.asarray(scipy.special.logit(np.clip(scores, _SMALLEST, 1 - _SMALLEST)))


def _losses(
    probabilities: NDArray[np.float64], positive: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    return {
        "brier": (probabilities - positive) ** 2,
        "log_loss": -np.log(np.where(positive, probabilities, 1 - probabilities)),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

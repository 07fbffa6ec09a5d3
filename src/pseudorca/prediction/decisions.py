"""Scores of clips, recordings and encounters to decisions, or to the reason for no decision.

Channels of one moment are averaged first, so that six hydrophones are not six votes. Then
log-probabilities are averaged over the moments of a unit. A :class:`Rule` says when a unit stays
undecided: too few moments, too unlike the training clips, or not probable enough.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.evaluation.least_probability import usual_probability
from pseudorca.evaluation.options import USUAL_ERROR
from pseudorca.evaluation.risk_coverage import outcomes, threshold_for, thresholds
from pseudorca.learning.calibration import CalibratedUnits, Calibrator, Prior, make_prior
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.false_alarms import NothingRule
from pseudorca.learning.units import UNITS, UnitScores
from pseudorca.prediction.options import DecisionOptions
from pseudorca.recordings.naming import plain_encounters
from pseudorca.recordings.options import NOTHING
from pseudorca.store import TABLES
from pseudorca.values import plural

UNDECIDED = "undecided"

_NO_NAMES = (UNDECIDED, NOTHING)
_TOO_MANY_WRONG = "too many names of held-out encounters were wrong, however probable"
_SAME_PRIOR = 0.01
"""Priors whose shares differ by less than this are equal."""


@dataclass(frozen=True)
class Rule:
    """The conditions for naming a unit; a unit that fails one is ``undecided``, with the reason.

    Examples
    --------
    >>> Rule(Prior("uniform", np.array([0.5, 0.5])), min_probability=0.8).min_moments
    1
    """

    prior: Prior
    min_probability: float = 0.0
    min_moments: int = 1
    why_none: str = "the wanted error rate cannot be claimed"
    """The reason where ``min_probability`` is infinite."""
    max_novelty: float = 1.0
    """Greatest mean distance to training clips, as a multiple of the usual distance: 95 % of such units
    of new encounters lie within it (see :mod:`pseudorca.learning.novelty`)."""


def decision_rules(
    classifier: Classifier, options: DecisionOptions
) -> tuple[dict[str, Rule], dict[str, Any], list[str]]:
    """Choose the thresholds for each kind of unit.

    Parameters
    ----------
    classifier : Classifier
    options : DecisionOptions

    Returns
    -------
    rules : dict from kind of unit to Rule
    chosen : dict from kind of unit to its threshold as JSON values; empty where the
        user gave ``min_probability``
    notices : list of str, claims that the held-out encounters do not support

    Raises
    ------
    PseudorcaError
        If the prior cannot be read.
    """
    n_trained = classifier.training["n_encounters"]
    prior, trained = (
        make_prior(name, classifier.classes, n_trained) for name in (options.prior, "train")
    )
    differs = not np.allclose(prior.shares, trained.shares, atol=_SAME_PRIOR)
    rules, chosen, notices = {}, {}, []
    unclaimed: dict[str, Any] = {}
    for unit in UNITS:
        lowest = options.min_probability or 0.0
        if options.max_error is None and options.min_probability is None:
            lowest, chosen[unit] = usual_probability(_held_out(classifier, unit), prior.shares)
            if np.isinf(lowest):
                notices.append(
                    "Whatever the threshold, too many names of held-out encounters were wrong (more "
                    f"than {100 * USUAL_ERROR:.0f} %). Of some kinds of units all stay undecided, but "
                    "with --min-probability 0."
                )
        if options.max_error is not None:
            threshold = None
            units = _held_out(classifier, unit)
            if units is None:
                notices.append("Without held-out encounters no error rate can be claimed.")
            else:
                candidates = thresholds(outcomes(units, prior.shares))
                threshold = threshold_for(options.max_error, candidates)
                tightest = min(candidates, key=lambda candidate: candidate.max_error)
                chosen[unit] = {
                    "wanted": options.max_error,
                    "chosen": asdict(threshold) if threshold else None,
                    "smallest_that_can_be_claimed": tightest.max_error,
                    "holds_at": dict(zip(classifier.classes, trained.shares.tolist(), strict=True)),
                    "prior_differs": differs,
                }
                if threshold is None:
                    unclaimed[f"{unit}s"] = f"{tightest.max_error:.2f}"
                if threshold is not None and differs:
                    mix = ", ".join(
                        f"{label} {100 * share:.0f} %"
                        for label, share in zip(classifier.classes, trained.shares, strict=True)
                    )
                    notices.append(
                        f"That at most {options.max_error:g} of the names are wrong was counted among "
                        f"the training encounters ({mix}). The prior {prior.name} is another: where "
                        "the classes are that frequent, nothing is claimed."
                    )
            lowest = max(lowest, threshold.probability) if threshold else np.inf
            if unit in chosen:
                chosen[unit]["used"] = lowest if threshold else None
        least_moments = 1 if unit == "clip" else options.min_moments  # a clip is one moment
        why_none = Rule.why_none if options.max_error is not None else _TOO_MANY_WRONG
        rules[unit] = Rule(prior, lowest, least_moments, why_none, options.max_novelty)
    if unclaimed:
        smallest = ", ".join(f"{units} {rate}" for units, rate in unclaimed.items())
        notices.insert(
            0,
            f"With these held-out encounters nobody can claim that at most {options.max_error:g} of "
            "the names are wrong, so all stay undecided (smallest rate that can be claimed: "
            f"{smallest}).",
        )
    return rules, chosen, list(dict.fromkeys(notices))


def _held_out(classifier: Classifier, unit: str) -> CalibratedUnits | None:
    """The held-out units of a kind; None if the classifier has none."""
    held_out = classifier.held_out
    if held_out is None:
        return None
    of_unit = held_out[held_out["unit"] == unit]
    return CalibratedUnits.from_table(of_unit, classifier.calibrator(unit))


def usual_sentence(unit: str, threshold: Mapping[str, Any]) -> str:
    """Say which threshold was taken because the user named none, and what it costs.

    Parameters
    ----------
    unit : ``clip``, ``recording`` or ``encounter``
    threshold : mapping, of this kind of unit, as from :func:`decision_rules`

    Returns
    -------
    str

    Examples
    --------
    >>> usual_sentence("encounter", {"kind": "fixed", "probability": 0.6, "wanted": 0.25})
    'Encounters are named from probability 0.60 on: too few were held out to choose a threshold by.'
    """
    units, chosen = f"{unit.capitalize()}s", threshold.get("chosen")
    if threshold["kind"] == "fixed":
        return (
            f"{units} are named from probability {threshold['probability']:.2f} on: too few were held "
            "out to choose a threshold by."
        )
    if chosen is None:
        return (
            f"{units} all stay undecided: from one half on, whatever the threshold, more than "
            f"{100 * threshold['wanted']:.0f} % of the names of held-out ones were wrong, or none was "
            "so probable."
        )
    left = max(0.0, 100 * (1 - chosen["coverage"]))
    return (
        f"{units} are named from probability {chosen['probability']:.2f} on: of the names of held-out "
        f"ones {100 * chosen['error']:.0f} % were wrong (at most {100 * chosen['max_error']:.0f} %, "
        f"with 95 % confidence), and {left:.0f} % stayed undecided, every encounter weighing the same."
    )


def wanted_sentence(unit: str, threshold: Mapping[str, Any]) -> str:
    """Say which threshold keeps the error rate that the user wished, or that none does.

    Parameters
    ----------
    unit : ``clip``, ``recording`` or ``encounter``
    threshold : mapping, of this kind of unit, as from :func:`decision_rules`

    Returns
    -------
    str

    Examples
    --------
    >>> wanted_sentence("clip", {"wanted": 0.1, "chosen": None, "smallest_that_can_be_claimed": 0.3})
    'Clips all stay undecided: at most 10 % wrong names cannot be claimed, 30 % can.'
    """
    units, chosen = f"{unit.capitalize()}s", threshold["chosen"]
    if chosen is None:
        return (
            f"{units} all stay undecided: at most {100 * threshold['wanted']:.0f} % wrong names cannot "
            f"be claimed, {100 * threshold['smallest_that_can_be_claimed']:.0f} % can."
        )
    return (
        f"{units} are named from probability {threshold['used']:.2f} on: from "
        f"{chosen['probability']:.2f} on, {100 * chosen['error']:.0f} % of the names of "
        f"{plural(chosen['n_encounters'], 'held-out encounter')} were wrong; at most "
        f"{100 * chosen['max_error']:.0f} % are, with 95 % confidence, where the classes are as "
        "frequent as among the training encounters."
    )


def decide(
    units: UnitScores,
    calibrator: Calibrator,
    rule: Rule,
    *,
    unit: str,
    classifier_id: str,
    trained: Prior,
    split_id: str = "",
    set_name: str = "",
    nothing: NothingRule | None = None,
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Name the most probable class of each unit, or give the reason for no decision.

    Parameters
    ----------
    units : UnitScores
    calibrator : Calibrator, of this kind of unit
    rule : Rule
    unit : str, the kind of unit
    classifier_id, split_id, set_name : str
    trained : Prior, of the training encounters; decisions are compared with those at this prior
    nothing : NothingRule or None
        By which the units were made. A unit with no moment that holds something is ``nothing``; one
        with no more of them than noise alone explains stays undecided

    Returns
    -------
    decisions : DataFrame
        The table ``decisions``, with two more columns: ``most_probable``, and ``depends_on_prior``
        (whether the uniform prior or the prior of the training encounters names another class)
    probabilities : ndarray [shape=(n_units, n_classes)], calibrated, at the rule's prior

    Examples
    --------
    >>> table = pd.DataFrame({"unit_id": ["e1", "e2"], "n_moments": [3, 1]})
    >>> units = UnitScores(table, np.log([[0.9, 0.1], [0.6, 0.4]]))
    >>> uniform = Prior("uniform", np.array([0.5, 0.5]))
    >>> decisions, _ = decide(
    ...     units, Calibrator(["A", "B"]), Rule(uniform, min_probability=0.8), unit="encounter",
    ...     classifier_id="a1b2", trained=uniform,
    ... )
    >>> decisions["decision"].tolist()
    ['A', 'undecided']
    """
    n_moments = units.table["n_moments"].to_numpy(np.int64)
    classes = np.array(calibrator.classes, dtype=object)

    def at(prior: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return calibrator.log_probabilities(units.log_probabilities, n_moments, prior)

    log_probabilities = at(rule.prior.shares)
    best = log_probabilities.argmax(axis=1)
    table = units.table[["unit_id", "n_moments"]].copy()
    table["unit"] = unit
    table["classifier_id"] = classifier_id
    table["split_id"] = split_id
    table["set_name"] = set_name
    table["prior"] = rule.prior.name
    table["most_probable"] = classes[best]
    table["probability"] = np.exp(log_probabilities[np.arange(len(best)), best])
    table["depends_on_prior"] = (at(None).argmax(axis=1) != best) | (
        at(trained.shares).argmax(axis=1) != best
    )
    novelty = units.table["novelty"] if "novelty" in units.table else np.zeros(len(best))
    table["reason"] = [
        _reason(rule, n, far, probability)
        for n, far, probability in zip(n_moments, novelty, table["probability"], strict=True)
    ]
    if nothing is not None:
        counts = units.table[["n_something", "n_heard", "by_noise"]].itertuples(index=False)
        by_noise = [
            f"{some} of {heard} moments hold something, no more than noise alone explains"
            if explained
            else ""
            for some, heard, explained in counts
        ]
        table["reason"] = [
            "; ".join(filter(None, p)) for p in zip(table["reason"], by_noise, strict=True)
        ]
    table["decision"] = table["most_probable"].where(table["reason"] == "", UNDECIDED)
    if nothing is not None:
        is_nothing = (units.table["n_something"] == 0).to_numpy()
        table.loc[is_nothing, ["decision", "most_probable"]] = NOTHING
        table.loc[is_nothing, "reason"] = ""
        table.loc[is_nothing, "probability"] = units.table.loc[is_nothing, "p_nothing"]
        table["n_moments"] = units.table["n_heard"]  # all of them, of n_something that hold some
    columns = [*TABLES["decisions"], "most_probable", "depends_on_prior"]
    return table[columns], np.exp(log_probabilities)


def contradictions(encounters: pd.DataFrame, named: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Name the encounters that are called otherwise than more of their named recordings.

    Parameters
    ----------
    encounters : DataFrame with ``encounter`` and ``decision``
    named : mapping from encounter to the number of its recordings by decision

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> encounters = pd.DataFrame({"encounter": ["Sette_44"], "decision": ["Insular"]})
    >>> contradictions(encounters, {"Sette_44": {"Insular": 1, "Pelagic": 3, "undecided": 2}})
    ['Called otherwise than most of their named recordings: 1 encounter (Sette_44 Insular, its ...
    >>> contradictions(encounters, {"Sette_44": {"Insular": 3, "Pelagic": 1}})
    []
    """
    if encounters.empty:
        return []
    plain = plain_encounters(encounters["encounter"].astype(str))
    against = []
    for row in encounters.itertuples():
        of_recordings = named.get(str(row.encounter), {})
        counts = {label: n for label, n in of_recordings.items() if label not in _NO_NAMES}
        most = max(counts, key=lambda label: counts[label], default=None)
        if row.decision in _NO_NAMES or most is None:
            continue
        if counts[most] > counts.get(str(row.decision), 0):
            shares = ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))
            against.append(f"{plain[str(row.encounter)]} {row.decision}, its recordings {shares}")
    if not against:
        return []
    return [
        "Called otherwise than most of their named recordings: "
        f"{plural(len(against), 'encounter')} ({'; '.join(against)}). The answers contradict each "
        "other: listen to these, or leave them undecided."
    ]


def _reason(rule: Rule, n_moments: int, novelty: float, probability: float) -> str:
    """The reason why a unit is undecided; empty for a decided unit."""
    reasons = []
    if n_moments < rule.min_moments:
        reasons.append(f"{plural(n_moments, 'moment')}, fewer than {rule.min_moments}")
    if novelty > rule.max_novelty:
        reasons.append(f"unlike what was heard in training ({novelty:.2f} > {rule.max_novelty:g})")
    if np.isinf(rule.min_probability):
        reasons.append(rule.why_none)
    elif probability < rule.min_probability:
        reasons.append(f"probability {probability:.2f} below {rule.min_probability:.2f}")
    return "; ".join(reasons)

"""Operating points on a table of acoustic events that somebody else's classifier scored.

In: a table of events, read by :mod:`pseudorca.events.table`. Out: a folder with ``events`` (every
row with its probability and decision), ``operating_points`` (risk and coverage at every threshold),
``problems``, ``summary.json`` (what was counted, and what can be claimed) and the page
``events.html``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError
from pseudorca.events.operating_point import (
    Method,
    OperatingPoint,
    OutOfSurvey,
    calibration_quality,
    fit_operating_point,
    leave_one_survey_out,
    log_odds_shift,
    precision_at,
    rates,
    risk_coverage,
)
from pseudorca.events.page import write_events_page
from pseudorca.events.table import NOAA_FILTER, EventColumns, EventFilter, EventTable, read_events
from pseudorca.formats.whole import Format, write_tables, write_text
from pseudorca.results import Result, attention, counted
from pseudorca.store import package_versions
from pseudorca.values import plain_value, plural

PREVALENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Shares of the species among all events at which precision is shown beside that of the verified."""

FEW_POSITIVES = 10
"""Verified events of the species below which a survey by itself shows next to nothing."""

UNDECIDED = "undecided"


@dataclass(frozen=True)
class EventOptions:
    """The options of reading and deciding a table of events.

    ``label``: the species' name in decisions (empty: as in the column of the truth). ``at``: scores
    at which calls are counted, beside the classifier's own. ``wanted``: share of decisions that shall
    be right; where this is not shown by other surveys, events stay undecided (None: the thresholds
    with the highest lower bounds). ``confidence``: of one-sided bounds. ``prevalence``: share of the
    species among all events that probabilities and claims are for (None: that of the verified ones).

    Examples
    --------
    >>> EventOptions(wanted=0.9).confidence
    0.95
    """

    columns: EventColumns = field(default_factory=EventColumns)
    rules: EventFilter = NOAA_FILTER
    label: str = ""
    at: Sequence[float] = (0.9,)
    wanted: float | None = None
    confidence: float = 0.95
    prevalence: float | None = None
    method: Method = "auto"


@dataclass(frozen=True, eq=False, repr=False)
class EventsResult(Result):
    """Events that somebody else's classifier scored: decided, with what can be claimed."""

    details: dict[str, Any]
    """The content of ``summary.json``: ``n_*`` counts, ``fixed`` (rows: a rule that is not chosen here,
    and what it finds), ``agreement`` (of the filter with the table's own columns),
    ``operating_point`` (with ``label`` and ``not``: rates on surveys left out, and ``claim``, the
    share of right decisions that can be claimed for events to come), ``surveys``, ``calibration``,
    ``prevalences``, ``decisions``, ``settings``, ``versions``, ``problems``, ``notices``, ``output``
    and ``files``."""
    events: pd.DataFrame
    """A row per event: probability, decision and reason."""
    operating_points: pd.DataFrame
    """Risk and coverage at every threshold."""
    problems: pd.DataFrame
    page: Path
    """The HTML page about it."""

    @property
    def label(self) -> str:
        """The name of the species in the decisions."""
        return str(self.details["label"])

    @property
    def decisions(self) -> dict[str, int]:
        """Number of events by decision."""
        return dict(self.details["decisions"])

    @property
    def operating_point(self) -> dict[str, Any]:
        return dict(self.details["operating_point"])

    @property
    def claim(self) -> float:
        """The share of right calls of the species that can be claimed for events to come."""
        return float(self.details["operating_point"]["label"]["claim"])

    @property
    def notices(self) -> list[str]:
        return list(self.details["notices"])

    def as_json(self) -> dict[str, Any]:
        return self.details | {"page": str(self.page)}

    def summary(self) -> Sequence[str]:
        percent = 100 * self.details["operating_point"]["confidence"]
        return [
            f"More than {self.claim:.3f} of the events called {self.label} are right, as far as "
            f"surveys left out can show ({percent:.0f} % confidence).",
            f"{plural(len(self.events), 'event')}: {counted(self.decisions)}; open {self.page} in a "
            "browser.",
            attention(len(self.problems), self.notices),
        ]

    def main_table(self) -> pd.DataFrame:
        return self.events


def decide_events(
    path: str | Path,
    output: str | Path,
    *,
    options: EventOptions | None = None,
    kind: Format = "csv",
) -> EventsResult:
    """Decide the events of a table, say what can be claimed, and write tables and a page.

    Parameters
    ----------
    path : path of a CSV with a row per event
    output : folder, made if it is not there
    options : EventOptions; without, those for NOAA's false killer whales
    kind : ``csv`` or ``parquet``, the format of the tables

    Returns
    -------
    EventsResult

    Raises
    ------
    PseudorcaError
        If the table cannot be read, options make no sense, or verified events are too few to leave
        a survey out.
    """
    path, output = Path(path), Path(output)
    options = options or EventOptions()
    _check(options)
    table = read_events(path, options.columns, options.rules)
    events = table.events
    seen = events[events["verified"]]
    scores, positive, surveys, passes = _arrays(seen)
    if not positive.any() or positive.all():
        raise PseudorcaError(
            f"{path}: of {len(seen)} verified events {int(positive.sum())} are "
            f"{' or '.join(options.columns.positive)}: operating points need both these and others. "
            "Check which events count as verified, and what the truth's column calls the species."
        )
    # Scores that all lie from 0 to 1 are taken as probabilities.
    log_odds = bool(events["score"].dropna().between(0, 1).all())
    how: dict[str, Any] = {
        "wanted": options.wanted, "confidence": options.confidence, "method": options.method,
        "log_odds": log_odds,
    }  # fmt: skip
    held_out = leave_one_survey_out(scores, positive, surveys, passes, **how)
    final = fit_operating_point(scores[passes], positive[passes], **how)
    point = _operating_point(held_out, final, positive, options)
    decided = _decide(table, held_out, final, point, options)
    curve = risk_coverage(
        np.where(passes & held_out.tested, scores, np.nan), held_out.probabilities, positive,
        confidence=options.confidence,
    )  # fmt: skip
    tables = {"event": decided, "operating_point": curve, "problem": table.problems}
    write_tables(tables, output, kind=kind)

    is_known = np.isfinite(held_out.probabilities)
    quality = calibration_quality(
        held_out.probabilities[is_known], positive[is_known], held_out.baseline[is_known]
    )
    if log_odds:
        quality["brier_uncalibrated"] = float(((scores[is_known] - positive[is_known]) ** 2).mean())
    prevalence = float(positive.mean())
    counts = decided["decision"].value_counts()
    label = options.label or options.columns.positive[0]
    result: dict[str, Any] = {
        "input": str(path),
        "output": str(output),
        "files": {name: str(output / f"{name}s.{kind}") for name in tables},
        "label": label,
        "n_events": len(events),
        "n_problems": len(table.problems),
        "n_scored": int(events["score"].notna().sum()),
        "n_called": int(events["called"].sum()),
        "n_verified": len(seen),
        "n_positive": int(positive.sum()),
        "n_pass": int(events["passes"].sum()),
        "n_pass_unmeasured": int((events["passes"] & ~events["measured"]).sum()),
        "n_verified_pass": int(passes.sum()),
        "n_positive_pass": int((positive & passes).sum()),
        "prevalence": prevalence,
        "fixed": _fixed_points(events, options),
        "agreement": table.agreement,
        "operating_point": point,
        "surveys": _surveys(seen, held_out, options),
        "calibration": _about(final) | {"out_of_survey": quality},
        "prevalences": _at_prevalences(point["label"], options),
        "decisions": {
            name: int(counts.get(name, 0)) for name in (label, UNDECIDED, f"not {label}")
        },
        "settings": _settings(options),
        "versions": package_versions(),
        "problems": table.problems.to_dict("records"),
    }
    result["notices"] = _notices(result, held_out, final, options)
    write_text([json.dumps(result, indent=1, default=plain_value)], output / "summary.json")
    outcome = EventsResult(result, decided, curve, table.problems, output / "events.html")
    write_events_page(outcome.details, outcome.events, outcome.operating_points, outcome.page)
    return outcome


def _check(options: EventOptions) -> None:
    for name, value in (
        ("wanted", options.wanted),
        ("confidence", options.confidence),
        ("prevalence", options.prevalence),
    ):
        if value is not None and not 0 < value < 1:
            raise PseudorcaError(
                f"{name} is {value}: expected a share between 0 and 1, such as 0.9."
            )
    for score in options.at:
        if not np.isfinite(score):
            raise PseudorcaError(f"--at {score:g}: expected a score, such as 0.9.")
    if options.rules.min_signals < 1:
        raise PseudorcaError(f"--min-signals {options.rules.min_signals}: expected at least 1.")


def _arrays(
    seen: pd.DataFrame,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.object_], NDArray[np.bool_]]:
    return (
        seen["score"].to_numpy(dtype=np.float64),
        seen["positive"].to_numpy(dtype=bool),
        seen["survey"].to_numpy(dtype=object),
        seen["passes"].to_numpy(dtype=bool),
    )


def _fixed_points(events: pd.DataFrame, options: EventOptions) -> list[dict[str, Any]]:
    """Count the calls of fixed rules: no threshold is fitted to these events."""
    every = pd.Series(True, index=events.index)
    filters = {"none": every}
    if options.rules.signals:
        filters["signals"] = events["enough_signals"]
    if options.rules.limits:
        filters["sound"] = events["right_sound"]
    if len(filters) == 3:
        filters["both"] = events["passes"]
    cases = []
    if options.columns.called:
        cases += [(name, str(options.columns.called), events["called"]) for name in filters]
    for score in options.at:
        rule = f"{options.columns.score}>={score:g}"
        cases += [(name, rule, events["score"] >= score) for name in filters]
    rows = []
    for name, rule, description in cases:
        called = description & filters[name]
        seen = events["verified"]
        counted = rates(
            called[seen].to_numpy(dtype=bool), events.loc[seen, "positive"].to_numpy(dtype=bool),
            confidence=options.confidence,
        )  # fmt: skip
        rows.append({"filter": name, "rule": rule, "n_called_all": int(called.sum())} | counted)
    return rows


def _operating_point(
    held_out: OutOfSurvey,
    final: OperatingPoint,
    positive: NDArray[np.bool_],
    options: EventOptions,
) -> dict[str, Any]:
    """Count the calls by thresholds of the other surveys, and compare with the wanted share."""
    answers, truth = held_out.answers[held_out.tested], positive[held_out.tested]
    counts: dict[str, Any] = {"wanted": options.wanted, "confidence": options.confidence}
    for side, called, right in (("label", answers == 1, truth), ("not", answers == -1, ~truth)):
        counted = rates(called, right, confidence=options.confidence)
        claim = counted["precision_low"]
        if options.prevalence is not None:
            at = options.prevalence if side == "label" else 1 - options.prevalence
            claim = precision_at(counted, [at], confidence=options.confidence)[0]["precision_low"]
        claim = claim or 0.0
        shown = None
        if options.wanted is not None:
            shown = claim >= options.wanted
            # With all surveys the thresholds go as far as what is wanted allows, and no claim beyond.
            claim = min(claim, options.wanted)
        counts[side] = counted | {"claim": claim, "shown": shown}
    return counts | {
        "n_undecided": int((answers == 0).sum()),
        "label_from": final.label_from,
        "not_below": final.not_below,
        "claim_prevalence": options.prevalence or float(truth.mean()),
    }


def _at_prevalences(counted: dict[str, Any], options: EventOptions) -> list[dict[str, Any]]:
    """Precision by prevalence; at that of the events counted it is counted, without Bayes."""
    own = counted["prevalence"]
    others = {*PREVALENCES, options.prevalence or own} - {own}
    rows: list[dict[str, Any]] = list(
        precision_at(counted, sorted(others), confidence=options.confidence)
    )
    rows.append({"prevalence": own} | {n: counted[n] for n in ("precision", "precision_low")})
    return sorted(rows, key=lambda row: float(row["prevalence"]))


def _decide(
    table: EventTable,
    held_out: OutOfSurvey,
    final: OperatingPoint,
    result: dict[str, Any],
    options: EventOptions,
) -> pd.DataFrame:
    """Decide every event: verified ones by the operating point of the other surveys."""
    events = table.events
    scores = events["score"].to_numpy(dtype=np.float64)
    verified = events["verified"].to_numpy(dtype=bool)
    surveys = events["survey"].to_numpy(dtype=object)
    positive = events["positive"].to_numpy(dtype=bool)
    n = len(events)
    answers, out_of_survey = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    probability, prevalence = np.full(n, np.nan), np.full(n, np.nan)
    label_from, not_below = np.full(n, np.nan), np.full(n, np.nan)
    # A verified event takes no part in its own answer.
    cases = [(final, np.ones(n, dtype=bool), verified)]
    for survey, point in held_out.points.items():
        cases.append((point, verified & (surveys == survey), verified & (surveys != survey)))
    for k, (used, of_case, fitted_on) in enumerate(cases):
        share = float(positive[fitted_on].mean())
        shift = log_odds_shift(options.prevalence, share) if options.prevalence else 0.0
        answers[of_case] = used.answers(scores[of_case])
        probability[of_case] = used.calibration.probabilities(scores[of_case], shift)
        prevalence[of_case] = options.prevalence or share
        label_from[of_case], not_below[of_case] = used.label_from, used.not_below
        out_of_survey[of_case] = k > 0
    silenced = events["problem"].where(events["problem"] != "", events["failed"])
    is_silenced = (silenced != "").to_numpy(dtype=bool)
    probability[is_silenced], answers[is_silenced] = np.nan, 0
    reasons = [
        silence or _why(*each)
        for silence, *each in zip(silenced, scores, answers, label_from, not_below, strict=True)
    ]
    for answer, side in ((1, "label"), (-1, "not")):
        if result[side]["shown"] is False:
            for row in np.flatnonzero(answers == answer):
                reasons[row] += (
                    f", but that {options.wanted:g} of such answers are right is not shown"
                )
            answers[answers == answer] = 0
    label = options.label or options.columns.positive[0]
    names = {1: label, 0: UNDECIDED, -1: f"not {label}"}
    kept = ["row", "event", "survey", "score", "called", "verified", "positive"]
    return events[[*kept, "enough_signals", "right_sound"]].assign(
        probability=probability,
        prevalence=prevalence,
        out_of_survey=out_of_survey,
        decision=[names[int(answer)] for answer in answers],
        reason=reasons,
    )


def _why(score: float, answer: int, label_from: float, not_below: float) -> str:
    if answer == 1:
        return f"score {score:g} is at least {label_from:.4g}"
    if answer == -1:
        return f"score {score:g} is below {not_below:.4g}"
    return f"score {score:g} is between {not_below:.4g} and {label_from:.4g}"


def _surveys(
    seen: pd.DataFrame, held_out: OutOfSurvey, options: EventOptions
) -> list[dict[str, Any]]:
    """A row per survey: the classifier's own answers, and those of the other surveys' thresholds."""
    rows = []
    surveys = seen["survey"].to_numpy(dtype=object)
    positive = seen["positive"].to_numpy(dtype=bool)
    for survey in sorted(set(surveys)):
        of_survey = surveys == survey
        own = rates(seen["called"].to_numpy(dtype=bool)[of_survey], positive[of_survey])
        row: dict[str, Any] = {
            "survey": str(survey), "n": own["n"], "n_positive": own["n_positive"],
            "own_right": own["n_right"] if options.columns.called else None,
            "own_false": own["n_false"] if options.columns.called else None,
        }  # fmt: skip
        point = held_out.points.get(str(survey))
        if point is not None:
            called = held_out.answers[of_survey] == 1
            counted = rates(called, positive[of_survey], confidence=options.confidence)
            row |= {"label_from": point.label_from, "not_below": point.not_below}
            row |= {name: counted[name] for name in (
                "n_called", "n_right", "n_false", "precision_low", "recall", "recall_low",
            )}  # fmt: skip
            said_not = held_out.answers[of_survey] == -1
            row |= {
                "n_not": int(said_not.sum()),
                "n_missed": int((said_not & positive[of_survey]).sum()),
            }
        rows.append(row)
    return rows


def _about(final: OperatingPoint) -> dict[str, Any]:
    fitted = final.calibration
    return {
        "method": fitted.method,
        "scale": "log-odds of the score" if fitted.log_odds else "the score",
        "slope": None if fitted.steps is not None else fitted.slope,
        "intercept": None if fitted.steps is not None else fitted.intercept,
    }


def _settings(options: EventOptions) -> dict[str, Any]:
    columns, rules = options.columns, options.rules
    shown = {
        name: value for name, value in asdict(options).items() if name not in ("columns", "rules")
    }
    shown["columns"] = asdict(columns) | {
        "verified": [str(condition) for condition in columns.verified],
        "called": str(columns.called) if columns.called else None,
    }
    shown["filter"] = {
        "signals": list(rules.signals),
        "min_signals": rules.min_signals,
        "limits": [str(limit) for limit in rules.limits],
        "unmeasured_passes": rules.unmeasured_passes,
    }
    return shown


def _rarer(result: dict[str, Any]) -> str:
    rarer = [row for row in result["prevalences"] if row["prevalence"] <= result["prevalence"] / 2]
    if not rarer or rarer[-1]["precision_low"] is None:
        return ""
    return (
        f"At a share of {rarer[-1]['prevalence']:g} these events show a precision of more than "
        f"{rarer[-1]['precision_low']:.3f} only."
    )


def _notices(
    result: dict[str, Any], held_out: OutOfSurvey, final: OperatingPoint, options: EventOptions
) -> list[str]:
    point, label = result["operating_point"], result["label"]
    notices = [
        "Which events trained the classifier, and on which its filter was set, is unknown here: if "
        "any of the verified ones did, every number is better than it would be on new events. If you "
        "know them, leave them out by one more condition on verified events.",
        f"Shown for the share of {label} among the verified events ({result['prevalence']:.3f}), which "
        "are no random sample of all: where the species is rarer, more of the calls are false. "
        + _rarer(result),
    ]
    for side, name in (("label", label), ("not", f"not {label}")):
        if point[side]["shown"] is False:
            notices.append(
                f"That {options.wanted:g} of the events called {name} are right is not shown: "
                f"{point[side]['n_right']} of {point[side]['n_called']} were, on surveys left out, "
                f"which shows only more than {point[side]['claim']:.3f} at a share of the species of "
                f"{point['claim_prevalence']:.3g}. They are left undecided."
            )
    few = [row for row in result["surveys"] if row["n_positive"] < FEW_POSITIVES]
    if few:
        shown = ", ".join(f"{row['survey']} ({row['n_positive']})" for row in few)
        notices.append(
            f"Surveys with fewer than {FEW_POSITIVES} verified {label}: {shown}. Nothing can be said "
            "of them by themselves."
        )
    false = [row for row in result["surveys"] if row["own_false"] is not None]
    if len({bool(row["own_false"]) for row in false}) > 1:
        shown = ", ".join(
            f"{row['own_false']} of {row['n'] - row['n_positive']} in {row['survey']}"
            for row in false
        )
        notices.append(
            f"The classifier's own false calls are not spread evenly over the surveys ({shown}): a "
            "survey to come may be unlike all of these, and no bound covers that."
        )
    if held_out.untestable:
        notices.append(
            f"Surveys that could not be left out: {', '.join(held_out.untestable)}. The numbers do "
            "not cover them."
        )
    if final.calibration.steps is None and final.calibration.slope <= 0:
        notices.append(f"Higher scores are not likelier to be {label}: this score says nothing.")
    for row in result["agreement"]:
        if row["n_agree"] < row["n"]:
            notices.append(
                f"The filter's rule {row['rule']} agrees with the column {row['column']} in "
                f"{row['n_agree']} of {row['n']} rows."
            )
    if result["n_pass_unmeasured"]:
        notices.append(
            f"{result['n_pass_unmeasured']} events pass the filter with none of its quantities "
            "measured."
        )
    if result["n_problems"]:
        notices.append(
            f"{result['n_problems']} rows have problems: see {result['files']['problem']}."
        )
    return notices

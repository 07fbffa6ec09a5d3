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
from pseudorca.formats.whole import Format, table_name, write_tables, write_text
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
    at which calls are counted, beside the classifier's own. ``wanted``: share of decisions that must
    be right; events stay undecided if other surveys do not show this share (None: the thresholds
    with the highest lower bounds). ``confidence``: of one-sided bounds. ``prevalence``: share of the
    species among all events that probabilities and claims are for (None: that of the verified ones).

    Raises
    ------
    PseudorcaError
        If a share is not between 0 and 1, a score is not a number, or ``min_signals`` is below 1.

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

    def __post_init__(self) -> None:
        for name in ("wanted", "confidence", "prevalence"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise PseudorcaError(
                    f"{name} is {value}: expected a share between 0 and 1, such as 0.9."
                )
        for score in self.at:
            if not np.isfinite(score):
                raise PseudorcaError(f"--at {score:g}: expected a score, such as 0.9.")
        if self.rules.min_signals < 1:
            raise PseudorcaError(f"--min-signals {self.rules.min_signals}: expected at least 1.")

    @property
    def species(self) -> str:
        """The name of the species in the decisions."""
        return self.label or self.columns.positive[0]


@dataclass(frozen=True, eq=False, repr=False)
class EventsResult(Result):
    """Events that somebody else's classifier scored: decided, with what can be claimed.

    ``details``: the content of ``summary.json``: ``n_*`` counts, ``fixed`` (rows: a rule that is not
    chosen here, and its counts), ``agreement`` (of the filter with the table's own columns),
    ``operating_point`` (with ``label`` and ``not``: rates on surveys left out, and ``claim``, the share
    of right decisions that can be claimed for events to come), ``surveys``, ``calibration``,
    ``prevalences``, ``decisions``, ``settings``, ``versions``, ``problems``, ``notices``, ``output``
    and ``files``. ``events``: a row per event: probability, decision and reason.
    ``operating_points``: risk and coverage at every threshold. ``page``: the HTML page about it.

    Examples
    --------
    >>> details = {"label": "Pseudorca", "decisions": {"Pseudorca": 1}, "notices": [],
    ...            "operating_point": {"confidence": 0.95, "label": {"claim": 0.895}}}
    >>> events = pd.DataFrame({"event": ["E1"], "decision": ["Pseudorca"]})
    >>> result = EventsResult(details, events, events, events.iloc[:0], Path("events.html"))
    >>> result.claim
    0.895
    >>> print(result.summary()[1])
    1 event: Pseudorca 1; open events.html in a browser.
    """

    details: dict[str, Any]
    events: pd.DataFrame
    operating_points: pd.DataFrame
    problems: pd.DataFrame
    page: Path

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
        """Rates on surveys left out, the thresholds, and what can be claimed."""
        return dict(self.details["operating_point"])

    @property
    def claim(self) -> float:
        """The share of right calls of the species that can be claimed for events to come."""
        return float(self.operating_point["label"]["claim"])

    @property
    def notices(self) -> list[str]:
        """What the numbers do not cover, and what is odd about the table."""
        return list(self.details["notices"])

    def as_json(self) -> dict[str, Any]:
        """The content of ``summary.json``, and the path of the page."""
        return self.details | {"page": str(self.page)}

    def summary(self) -> Sequence[str]:
        """The claim, the number of events by decision, and the number of problems."""
        percent = 100 * self.operating_point["confidence"]
        return [
            f"More than {self.claim:.3f} of the events called {self.label} are right, as far as "
            f"surveys left out can show ({percent:.0f} % confidence).",
            f"{plural(len(self.events), 'event')}: {counted(self.decisions)}; open {self.page} in a "
            "browser.",
            attention(len(self.problems), self.notices),
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per event, as :attr:`events`."""
        return self.events


def decide_events(
    path: str | Path,
    output: str | Path,
    *,
    options: EventOptions | None = None,
    kind: Format = "csv",
) -> EventsResult:
    """Decide the events of a table, bound the share of right decisions, and write tables and a page.

    Parameters
    ----------
    path : path of a CSV with a row per event
    output : folder, made if it is not there
    options : EventOptions; without, those for NOAA's false killer whales
    kind : ``csv``, ``excel`` or ``parquet``, the format of the tables

    Returns
    -------
    EventsResult

    Raises
    ------
    PseudorcaError
        If the table cannot be read, or verified events are too few to leave a survey out.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> columns = EventColumns(event="id", score="p", truth="seen", positive=("whale",),
    ...                        survey="cruise", verified=(), called=None)
    >>> rows = [f"{cruise}{k},{k / 10},{'whale' if k > 5 else 'other'},{cruise}"
    ...         for cruise in "ABC" for k in range(10)]
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "events.csv"
    ...     _ = path.write_text("\\n".join(["id,p,seen,cruise", *rows]))
    ...     options = EventOptions(columns, EventFilter(), label="whale", at=())
    ...     result = decide_events(path, Path(folder) / "decided", options=options)
    >>> result.decisions
    {'whale': 12, 'undecided': 0, 'not whale': 18}
    >>> round(result.claim, 3)  # 12 of 12 calls right, on surveys left out
    0.779
    """
    path, output = Path(path), Path(output)
    options = options or EventOptions()
    table = read_events(path, options.columns, options.rules)
    events = table.events
    verified = events[events["verified"]]
    scores, positive, passes = (
        verified["score"].to_numpy(), verified["positive"].to_numpy(), verified["passes"].to_numpy()
    )  # fmt: skip
    if not positive.any() or positive.all():
        raise PseudorcaError(
            f"{path}: of {len(verified)} verified events {int(positive.sum())} are "
            f"{' or '.join(options.columns.positive)}: operating points need both these and others. "
            "Check which events count as verified, and what the truth's column calls the species."
        )
    # Scores that all lie from 0 to 1 are taken as probabilities.
    log_odds = bool(events["score"].dropna().between(0, 1).all())
    how: dict[str, Any] = {
        "wanted": options.wanted, "confidence": options.confidence, "method": options.method,
        "log_odds": log_odds,
    }  # fmt: skip
    surveys = verified["survey"].to_numpy(dtype=object)
    held_out = leave_one_survey_out(scores, positive, surveys, passes, **how)
    final = fit_operating_point(scores[passes], positive[passes], **how)
    point = _operating_point(held_out, final, positive, options)
    decided = _decide(events, held_out, final, point, options)
    curve = risk_coverage(
        np.where(passes & held_out.tested, scores, np.nan), held_out.probabilities, positive,
        confidence=options.confidence,
    )  # fmt: skip
    tables = {"event": decided, "operating_point": curve, "problem": table.problems}
    write_tables(tables, output, kind=kind)

    label = options.species
    details: dict[str, Any] = {
        "input": str(path),
        "output": str(output),
        "files": {name: str(output / table_name(name, kind)) for name in tables},
        "label": label,
        **_counts(table),
        "fixed": _fixed_points(events, options),
        "agreement": table.agreement,
        "operating_point": point,
        "surveys": _surveys(verified, held_out, options),
        "calibration": _calibration(final, held_out, scores, positive),
        "prevalences": _at_prevalences(point["label"], options),
        "decisions": {
            name: int((decided["decision"] == name).sum())
            for name in (label, UNDECIDED, f"not {label}")
        },
        "settings": _settings(options),
        "versions": package_versions(),
        "problems": table.problems.to_dict("records"),
    }
    details["notices"] = [*table.notices, *_notices(details, held_out, final, options)]
    write_text([json.dumps(details, indent=1, default=plain_value)], output / "summary.json")
    page = output / "events.html"
    write_events_page(details, decided, curve, page)
    return EventsResult(details, decided, curve, table.problems, page)


def _counts(table: EventTable) -> dict[str, Any]:
    events = table.events
    verified = events[events["verified"]]
    return {
        "n_events": len(events),
        "n_problems": len(table.problems),
        "n_scored": int(events["score"].notna().sum()),
        "n_called": int(events["called"].sum()),
        "n_verified": len(verified),
        "n_positive": int(events["positive"].sum()),
        "n_pass": int(events["passes"].sum()),
        "n_pass_unmeasured": int((events["passes"] & ~events["measured"]).sum()),
        "n_verified_pass": int(verified["passes"].sum()),
        "n_positive_pass": int((verified["positive"] & verified["passes"]).sum()),
        "prevalence": float(verified["positive"].mean()),
    }


def _calibration(
    final: OperatingPoint,
    held_out: OutOfSurvey,
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
) -> dict[str, Any]:
    """The calibration for events to come, and the quality of those of the surveys left out."""
    is_known = np.isfinite(held_out.probabilities)
    probabilities, positive = held_out.probabilities[is_known], positive[is_known]
    quality = calibration_quality(probabilities, positive, held_out.baseline[is_known])
    fitted, is_linear = final.calibration, final.calibration.steps is None
    if fitted.log_odds:
        quality["brier_uncalibrated"] = float(((scores[is_known] - positive) ** 2).mean())
    return {
        "method": fitted.method,
        "scale": "log-odds of the score" if fitted.log_odds else "the score",
        "slope": fitted.slope if is_linear else None,
        "intercept": fitted.intercept if is_linear else None,
        "out_of_survey": quality,
    }


def _fixed_points(events: pd.DataFrame, options: EventOptions) -> list[dict[str, Any]]:
    """Count the calls of fixed rules: no threshold is fitted to these events."""
    filters = {"none": pd.Series(True, index=events.index)}
    if options.rules.signals:
        filters["signals"] = events["enough_signals"]
    if options.rules.limits:
        filters["sound"] = events["right_sound"]
    if len(filters) == 3:
        filters["both"] = events["passes"]
    column, own_answer = options.columns.score, options.columns.called
    rules = [(str(own_answer), events["called"])] if own_answer else []
    rules += [(f"{column}>={score:g}", events["score"] >= score) for score in options.at]
    verified = events["verified"]
    positive = events.loc[verified, "positive"].to_numpy()
    rows = []
    for rule, answers in rules:
        for name, passes in filters.items():
            called = answers & passes
            counted = rates(called[verified].to_numpy(), positive, confidence=options.confidence)
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
    rows = precision_at(counted, list(others), confidence=options.confidence)
    rows.append({key: counted[key] for key in ("prevalence", "precision", "precision_low")})
    return sorted(rows, key=lambda row: float(row["prevalence"]))


def _decide(
    events: pd.DataFrame,
    held_out: OutOfSurvey,
    final: OperatingPoint,
    counted: dict[str, Any],
    options: EventOptions,
) -> pd.DataFrame:
    """Decide every event: verified ones by the operating point of the other surveys."""
    scores, verified = events["score"].to_numpy(), events["verified"].to_numpy()
    surveys, positive = events["survey"].to_numpy(dtype=object), events["positive"].to_numpy()
    n = len(events)
    answers, out_of_survey = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    probability, prevalence, label_from, not_below = np.full((4, n), np.nan)
    # A verified event takes no part in its own answer.
    cases = [(final, np.ones(n, dtype=bool), verified)]
    for survey, point in held_out.points.items():
        cases.append((point, verified & (surveys == survey), verified & (surveys != survey)))
    for point, of_case, fitted_on in cases:
        share = float(positive[fitted_on].mean())
        shift = log_odds_shift(options.prevalence, share) if options.prevalence else 0.0
        answers[of_case] = point.answers(scores[of_case])
        probability[of_case] = point.calibration.probabilities(scores[of_case], shift)
        prevalence[of_case] = options.prevalence or share
        label_from[of_case], not_below[of_case] = point.label_from, point.not_below
        out_of_survey[of_case] = point is not final
    silenced = events["problem"].where(events["problem"] != "", events["failed"])
    is_silenced = (silenced != "").to_numpy(dtype=bool)
    probability[is_silenced], answers[is_silenced] = np.nan, 0
    reasons = [
        silence or _why(*each)
        for silence, *each in zip(silenced, scores, answers, label_from, not_below, strict=True)
    ]
    for answer, side in ((1, "label"), (-1, "not")):
        if counted[side]["shown"] is False:
            unshown = f", but that {options.wanted:g} of such answers are right is not shown"
            for row in np.flatnonzero(answers == answer):
                reasons[row] += unshown
            answers[answers == answer] = 0
    names = {1: options.species, 0: UNDECIDED, -1: f"not {options.species}"}
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
    verified: pd.DataFrame, held_out: OutOfSurvey, options: EventOptions
) -> list[dict[str, Any]]:
    """A row per survey: the classifier's own answers, and those of the other surveys' thresholds."""
    rows = []
    surveys = verified["survey"].to_numpy(dtype=object)
    for survey in sorted(set(surveys)):
        of_survey = surveys == survey
        positive = verified["positive"].to_numpy()[of_survey]
        own = rates(verified["called"].to_numpy()[of_survey], positive)
        row: dict[str, Any] = {
            "survey": str(survey), "n": own["n"], "n_positive": own["n_positive"],
            "own_right": own["n_right"] if options.columns.called else None,
            "own_false": own["n_false"] if options.columns.called else None,
        }  # fmt: skip
        if point := held_out.points.get(str(survey)):
            answers = held_out.answers[of_survey]
            counted = rates(answers == 1, positive, confidence=options.confidence)
            row |= {"label_from": point.label_from, "not_below": point.not_below}
            row |= {name: counted[name] for name in (
                "n_called", "n_right", "n_false", "precision_low", "recall", "recall_low",
            )}  # fmt: skip
            called_not = answers == -1
            row["n_not"], row["n_missed"] = (
                int(called_not.sum()),
                int((called_not & positive).sum()),
            )
        rows.append(row)
    return rows


def _settings(options: EventOptions) -> dict[str, Any]:
    settings = asdict(options)
    columns, rules = settings.pop("columns"), settings.pop("rules")
    columns["verified"] = [str(condition) for condition in options.columns.verified]
    columns["called"] = str(options.columns.called) if options.columns.called else None
    rules["limits"] = [str(limit) for limit in options.rules.limits]
    del rules["compare"]
    return settings | {"columns": columns, "filter": rules}


def _notices(
    details: dict[str, Any], held_out: OutOfSurvey, final: OperatingPoint, options: EventOptions
) -> list[str]:
    point, label, surveys = details["operating_point"], details["label"], details["surveys"]
    rarer = ""
    for row in details["prevalences"]:
        if row["prevalence"] <= details["prevalence"] / 2 and row["precision_low"] is not None:
            rarer = (
                f"At a share of {row['prevalence']:g} these events show a precision of more than "
                f"{row['precision_low']:.3f} only."
            )
    notices = [
        "Which events trained the classifier, and on which its filter was set, is unknown here: if "
        "any of the verified ones did, every number is better than it would be on new events. If you "
        "know them, leave them out by one more condition on verified events.",
        f"Shown for the share of {label} among the verified events ({details['prevalence']:.3f}), "
        "which are no random sample of all: where the species is rarer, more of the calls are false. "
        + rarer,
    ]
    for side, name in (("label", label), ("not", f"not {label}")):
        if point[side]["shown"] is False:
            notices.append(
                f"That {options.wanted:g} of the events called {name} are right is not shown: "
                f"{point[side]['n_right']} of {point[side]['n_called']} were, on surveys left out, "
                f"which shows only more than {point[side]['claim']:.3f} at a share of the species of "
                f"{point['claim_prevalence']:.3g}. They are left undecided."
            )
    few = [row for row in surveys if row["n_positive"] < FEW_POSITIVES]
    if few:
        shown = ", ".join(f"{row['survey']} ({row['n_positive']})" for row in few)
        notices.append(
            f"Surveys with fewer than {FEW_POSITIVES} verified {label}: {shown}. Nothing can be said "
            "of them by themselves."
        )
    if options.columns.called and len({bool(row["own_false"]) for row in surveys}) > 1:
        shown = ", ".join(
            f"{row['own_false']} of {row['n'] - row['n_positive']} in {row['survey']}"
            for row in surveys
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
    notices += [
        f"The filter's rule {row['rule']} agrees with the column {row['column']} in "
        f"{row['n_agree']} of {row['n']} rows."
        for row in details["agreement"]
        if row["n_agree"] < row["n"]
    ]
    if n_unmeasured := details["n_pass_unmeasured"]:
        notices.append(
            f"{plural(n_unmeasured, 'event')} passed the filter with none of its quantities measured."
        )
    if details["n_problems"]:
        notices.append(
            f"Rows with problems: {details['n_problems']:,}; see {details['files']['problem']}."
        )
    return notices

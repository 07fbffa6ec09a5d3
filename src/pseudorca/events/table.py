"""A table of acoustic events scored by somebody else's classifier, read and filtered.

In: a table with a row per event, and which of its columns say what. Out: every row, in its order, with
its score, its truth where somebody saw the animals, and whether it has signals enough and sounds
like the species. A row that cannot be used stays, with its reason, and is a row in ``problems``.

Defaults are the columns and rules of NOAA's false killer whales: the table of the towed-array surveys
around Hawaii of 2017, 2023 and 2024, in which ``X33`` is the score and the code of the species.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.formats.user_tables import numbers_of, read_user_table
from pseudorca.store import problem_table, shown_problems

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Texts that say, where a number is expected, that nothing is known, whatever their case."""

_CONDITION = re.compile(r"\s*(?P<column>.+?)\s*(?P<operator>!=|>=|<=|==|=|<|>)\s*(?P<value>.*?)\s*")


@dataclass(frozen=True)
class Condition:
    """A comparison of a column with a value, such as ``vis_id!=999``.

    Texts are compared without regard to case; two numbers are compared as numbers.

    Examples
    --------
    >>> Condition.parse("score>=0.5").holds(["0.7", "0.2", "unknown"]).tolist()
    [True, False, False]
    """

    column: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``COLUMN=VALUE``, or with ``!=``, ``<``, ``<=``, ``>``, ``>=``.

        Raises
        ------
        PseudorcaError
            If the text is not a comparison, or an order comparison has no number.
        """
        parts = _CONDITION.fullmatch(text)
        if parts is None:
            raise PseudorcaError(
                f"condition {text!r}: expected COLUMN=VALUE, or !=, <, <=, > or >= in place of =, "
                "such as 'vis_id!=999'."
            )
        operator = parts["operator"].replace("==", "=")
        if operator not in ("=", "!=") and numbers_of(pd.Series([parts["value"]])).isna().any():
            raise PseudorcaError(f"condition {text!r}: {parts['value']!r} is not a number.")
        return cls(parts["column"], operator, parts["value"])

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"

    def holds(self, values: Iterable[str]) -> NDArray[np.bool_]:
        """Whether the comparison holds for each value; ``<`` and the like never hold for a text.

        Parameters
        ----------
        values : iterable of str, the column
        """
        texts = pd.Series([str(value).strip() for value in values], dtype=object)
        numbers, number = numbers_of(texts), float(numbers_of(pd.Series([self.value])).iloc[0])
        if self.operator in ("=", "!="):
            same = texts.str.casefold() == self.value.casefold()
            equal = np.asarray(same | (numbers == number), dtype=bool)
            return equal if self.operator == "=" else ~equal
        compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
        with np.errstate(invalid="ignore"):
            return np.asarray(compare[self.operator](numbers.to_numpy(), number), dtype=bool)


@dataclass(frozen=True)
class EventColumns:
    """The meaning of the columns of a table of events.

    ``verified``: conditions that all hold where the truth is known by another way than by ear (an
    empty tuple: wherever there is a truth). ``called``: the classifier's own answer, or None.
    ``missing``: texts that mean that nothing is known.

    Examples
    --------
    >>> EventColumns(survey="cruise").score
    'X33'
    """

    event: str = "event.id"
    score: str = "X33"
    truth: str = "original"
    positive: tuple[str, ...] = ("X33",)
    survey: str = "year"
    verified: tuple[Condition, ...] = (Condition("vis_id", "!=", "999"),)
    called: Condition | None = Condition("predicted", "=", "X33")
    missing: tuple[str, ...] = ("NA",)


@dataclass(frozen=True)
class EventFilter:
    """Rules by which events are left undecided.

    An event has signals enough if *one* of the columns ``signals`` (counts, one per detector) reaches
    ``min_signals``. It sounds like the species if every limit holds; a limit on a quantity that was
    not measured, such as the whistles of an event without whistles, holds unless
    ``unmeasured_passes`` is off. ``compare``: conditions on columns in which the table itself says
    what the rules ``signals`` and ``sound`` gave, to be checked against.

    Examples
    --------
    >>> EventFilter(signals=("numWhistles",)).min_signals
    20
    """

    signals: tuple[str, ...] = ()
    min_signals: int = 20
    limits: tuple[Condition, ...] = ()
    unmeasured_passes: bool = True
    compare: tuple[tuple[str, Condition], ...] = ()


NOAA_FILTER = EventFilter(
    signals=(*(f"numClicks_d{k}" for k in range(1, 6)), "numWhistles"),
    limits=(
        Condition("click_medPeakFreq_kHz", "<=", "22.4"),
        Condition("whistle_medBeginFreq_Hz", "<=", "8100"),
        Condition("whistle_percBeginFreq4to8kHz", ">=", "0.5"),
    ),
    compare=(
        ("signals", Condition("keepMDF", "=", "TRUE")),
        ("sound", Condition("keepSSF", "=", "TRUE")),
    ),
)
"""NOAA's rules for false killer whales. Clicks count per click detector, whistles by themselves."""

FILTERS = {"noaa-pseudorca": NOAA_FILTER, "none": EventFilter()}
"""Filters by name."""


@dataclass(frozen=True)
class EventTable:
    """All rows of a table of events.

    ``events``: ``row`` (1 is the first below the header), ``event, survey, score`` (NaN where there is
    none), ``called, verified, positive`` (False where not verified), ``enough_signals, right_sound,
    passes, measured`` (any quantity of a limit is known), ``failed`` (which rule failed, and by what),
    ``problem`` (why the row cannot be used, or empty). ``problems``: the table of that name.
    ``notices``: what the file was taken for, and what was odd in it.
    ``agreement``: per rule that the table has an own column for, ``rule, column, n, n_agree,
    n_only_ours, n_only_theirs``.

    Examples
    --------
    >>> EventTable(pd.DataFrame({"event": ["E1"]}), pd.DataFrame(), []).events["event"].tolist()
    ['E1']
    """

    events: pd.DataFrame
    problems: pd.DataFrame
    agreement: list[dict[str, Any]]
    notices: list[str] = field(default_factory=list)


def read_events(
    path: Path, columns: EventColumns | None = None, rules: EventFilter | None = None
) -> EventTable:
    """Read a table of events and apply the filter.

    Parameters
    ----------
    path : path of a table, see :func:`~pseudorca.formats.user_tables.read_user_table`
    columns : EventColumns; without, NOAA's
    rules : EventFilter; without, NOAA's for false killer whales

    Returns
    -------
    EventTable

    Raises
    ------
    TableError
        If the file cannot be read.
    PseudorcaError
        If the table holds no event, lacks a column, or no score is a number.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> columns = EventColumns(event="id", score="p", truth="seen", positive=("whale",),
    ...                        survey="cruise", verified=(), called=None)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "events.csv"
    ...     _ = path.write_text("id,p,seen,cruise\\nE1,0.9,whale,A\\nE2,0.2,other,B\\n")
    ...     table = read_events(path, columns, EventFilter())
    >>> table.events["positive"].tolist(), len(table.problems)
    ([True, False], 0)
    """
    columns = columns or EventColumns()
    rules = rules or NOAA_FILTER
    table = read_user_table(path, missing=columns.missing)
    if table.cells.empty:
        raise PseudorcaError(f"{path} holds no events: expected a header and a row per event.")
    raw = table.cells.reset_index(drop=True)
    odd = table.broken | table.short
    troubles = {
        row: ("broken row", odd[line]) for row, line in enumerate(table.cells.index) if line in odd
    }
    for name, what in _needed(columns, rules):
        if name not in raw:
            raise PseudorcaError(
                f"{path}: {what}: {unknown_name('column', name, raw.columns.astype(str))}"
            )
    events = pd.DataFrame({"row": np.arange(1, len(raw) + 1), "event": raw[columns.event]})

    def is_missing(name: str) -> NDArray[np.bool_]:
        return raw[name].eq("").to_numpy()

    def number(name: str, *, required: bool = False) -> pd.Series:
        values = table.numbers(name).reset_index(drop=True).where(np.isfinite)
        missing = raw[name].str.casefold().isin(MISSING).to_numpy()
        for row in np.flatnonzero(values.isna() & (~missing | required)).tolist():
            reason = "missing number" if missing[row] else "not a number"
            troubles.setdefault(row, (reason, f"{name}: {raw[name][row]!r}"))
        return values

    events["survey"] = raw[columns.survey]
    events["score"] = number(columns.score, required=True)
    if events["score"].isna().all():
        raise PseudorcaError(
            f"{path}: no score is a number: the column {columns.score} begins with "
            f"{raw[columns.score][0]!r}. Name the column that holds the scores."
        )
    events["called"] = columns.called.holds(raw[columns.called.column]) if columns.called else False
    counts = pd.DataFrame({name: number(name).fillna(0) for name in rules.signals})
    measured = {limit.column: number(limit.column) for limit in rules.limits}
    for row in np.flatnonzero(events["event"].duplicated()).tolist():
        detail = f"{columns.event}: {raw[columns.event][row]!r}"
        troubles.setdefault(row, ("event occurs twice", detail))

    verified = np.ones(len(raw), dtype=bool)
    for condition in columns.verified:
        verified &= condition.holds(raw[condition.column])
        if condition.operator == "!=":
            verified &= ~is_missing(condition.column)
    unknown, no_survey = is_missing(columns.truth), is_missing(columns.survey)
    whole = np.ones(len(raw), dtype=bool)
    whole[list(troubles)] = False
    lost = verified & whole & (no_survey | (unknown & bool(columns.verified)))
    lacking = {}  # rows that are decided, but prove nothing
    for row in np.flatnonzero(lost).tolist():
        name = columns.survey if no_survey[row] else columns.truth
        lacking[row] = ("proves nothing", f"verified, but {name} is missing")
    events["called"] &= whole
    events["verified"] = verified & ~unknown & ~no_survey & whole
    is_species = [
        Condition(columns.truth, "=", value).holds(raw[columns.truth]) for value in columns.positive
    ]
    events["positive"] = np.any(is_species, axis=0) & events["verified"]

    _apply(rules, events, counts, measured)
    events["passes"] &= whole
    events["score"] = events["score"].where(whole)
    described = {row: f"{reason} ({detail})" for row, (reason, detail) in troubles.items()}
    events["problem"] = [described.get(row, "") for row in events.index]
    rows = [
        (f"{path.name}, row {row + 1}, event {raw[columns.event][row]}", "events", *why)
        for row, why in sorted((troubles | lacking).items())
    ]
    problems = shown_problems(problem_table(rows))
    agreement = _agreement(rules, events, raw, whole)
    return EventTable(events, problems, agreement, table.notices)


def _apply(
    rules: EventFilter, events: pd.DataFrame, counts: pd.DataFrame, measured: dict[str, pd.Series]
) -> None:
    """Add the columns of the filter."""
    most = counts.max(axis=1) if rules.signals else pd.Series(np.inf, index=events.index)
    events["enough_signals"] = most >= rules.min_signals
    failed = [
        "" if enough else f"at most {n:.0f} signals in any detector, not {rules.min_signals}"
        for enough, n in zip(events["enough_signals"], most, strict=True)
    ]
    sound = np.ones(len(events), dtype=bool)
    for limit in rules.limits:
        values = measured[limit.column]
        holds = limit.holds(values.astype(str)) | (values.isna() & rules.unmeasured_passes)
        sound &= holds
        for row in np.flatnonzero(~holds):
            measured_text = "not measured" if pd.isna(values[row]) else f"{values[row]:g}"
            why = f"{limit.column} is {measured_text}, not {limit.operator} {limit.value}"
            failed[row] = f"{failed[row]}; {why}" if failed[row] else why
    events["right_sound"] = sound
    events["passes"] = events["enough_signals"] & events["right_sound"]
    known = [values.notna() for values in measured.values()]
    events["measured"] = np.any(known, axis=0) if known else True
    events["failed"] = failed


def _agreement(
    rules: EventFilter, events: pd.DataFrame, raw: pd.DataFrame, whole: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    ours = {"signals": "enough_signals", "sound": "right_sound"}
    rows = []
    for rule, condition in rules.compare:
        own_rule = events[ours[rule]].to_numpy()[whole]
        theirs = condition.holds(raw[condition.column])[whole]
        counts = {"n_agree": own_rule == theirs, "n_only_ours": own_rule & ~theirs}
        counts["n_only_theirs"] = theirs & ~own_rule
        row = {"rule": rule, "column": condition.column, "n": len(own_rule)}
        rows.append(row | {name: int(is_so.sum()) for name, is_so in counts.items()})
    return rows


def _needed(columns: EventColumns, rules: EventFilter) -> list[tuple[str, str]]:
    needed = [
        (columns.event, "the event's name"),
        (columns.score, "the score"),
        (columns.truth, "the truth"),
        (columns.survey, "the survey"),
    ]
    needed += [(condition.column, f"verified ({condition})") for condition in columns.verified]
    if columns.called:
        what = f"the classifier's own answer ({columns.called}; there need be none)"
        needed.append((columns.called.column, what))
    known = "; another filter, or 'none', needs other columns"
    needed += [(name, f"signals counted by the filter{known}") for name in rules.signals]
    needed += [(limit.column, f"limit of the filter ({limit}{known})") for limit in rules.limits]
    return needed + [
        (condition.column, f"what the table says of the filter ({condition}{known})")
        for _, condition in rules.compare
    ]

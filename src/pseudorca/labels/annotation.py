"""Annotations of clips, regions, recordings and encounters, and the labels that are in force.

In: values from a person, a journal or a CSV file. Out: an :class:`Annotation`, whose fields are the
columns of the table ``annotations`` and have been checked, and one label per unit and question, from
annotations in the order of writing. An adjudicated answer wins over an agreed answer. An agreed answer
wins over a single answer.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.store import TABLES
from pseudorca.values import nfc

Action = Literal["add", "adjudicate", "retract"]
Unit = Literal["clip", "region", "recording", "encounter"]
Question = Literal["content", "population", "quality"]
Basis = Literal["photo-id", "genetics", "sighting", "location", "tag", "heard"]
Standing = Literal["adjudicated", "agreed", "single", "disputed"]


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A row of the table ``annotations``. Unknown values are None.

    A clip alone does not tell the population. An answer to the question ``population`` therefore needs
    a ``basis``.

    Raises
    ------
    PseudorcaError
        If the value of a field is not allowed, or a field that the action needs is missing.

    Examples
    --------
    >>> row = Annotation(
    ...     annotator="Ana", unit="clip", unit_id="5f1c", question="content", answer="whistle"
    ... )
    >>> row.action
    'add'
    """

    annotation_id: str | None = None
    """None: the journal gives an id."""
    time_utc: str | None = None
    """ISO 8601; None: the journal gives the time."""
    annotator: str
    action: Action = "add"
    """``adjudicate`` is an answer that settles a disagreement between annotators."""
    replaces: str | None = None
    """The annotation that this one retracts or replaces."""
    unit: Unit | None = None
    unit_id: str | None = None
    recording_id: str | None = None
    channel: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    low_hz: float | None = None
    high_hz: float | None = None
    question: Question | None = None
    answer: str | None = None
    certainty: str | None = None
    basis: Basis | None = None
    note: str | None = None
    session_id: str | None = None
    sample_id: str | None = None
    p_offered: float | None = None
    """Probability with which this unit was offered to the annotator."""
    blind: bool | None = None
    """Whether the annotator answered without seeing an answer of a classifier."""
    shown: str | None = None
    """JSON: what the annotator saw."""
    source: str | None = None
    """JSON: the file and row of an import."""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if kind == "string" and value == "":
                object.__setattr__(self, name, None)
            elif name in _NAMES and value is not None:
                object.__setattr__(self, name, nfc(str(value)))
            elif kind == "float64" and value is not None and not math.isfinite(value):
                raise PseudorcaError(f"{name} of an annotation is {value}: expected a number.")
        for name, values in _VALUES.items():
            value = getattr(self, name)
            if value is not None and value not in values:
                raise PseudorcaError(unknown_name(f"{name} of an annotation", str(value), values))
        needed = ["annotator"]
        needed += (
            ["replaces"] if self.action == "retract" else ["unit", "unit_id", "question", "answer"]
        )
        if self.question == "population":
            needed.append("basis")
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise PseudorcaError(
                f"an annotation (action {self.action}, question {self.question}) lacks "
                f"{', '.join(missing)}. Give {' and '.join(missing)}."
            )
        for low, high in (("start_s", "end_s"), ("low_hz", "high_hz")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and not least < most:
                raise PseudorcaError(
                    f"an annotation from {low} {least:g} to {high} {most:g}: expected {low} below "
                    f"{high}."
                )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Annotation":
        """Make an annotation from a row of a journal or of a CSV file.

        Parameters
        ----------
        values : mapping from column to value; unknown columns are ignored

        Returns
        -------
        Annotation

        Raises
        ------
        PseudorcaError
            As the class itself, or if a number or a truth value cannot be read.

        Examples
        --------
        >>> row = {"annotator": "Ana", "action": "retract", "replaces": "5f1c", "start_s": ""}
        >>> Annotation.from_mapping(row).replaces
        '5f1c'
        """
        known = {}
        for name, kind in _KINDS.items():
            value = values.get(name)
            if value is None or value == "":
                continue
            try:
                known[name] = _READERS[kind](value)
            except (ValueError, TypeError, KeyError) as error:
                raise PseudorcaError(
                    f"{name} of an annotation is {value!r}: expected {_EXPECTED[kind]}."
                ) from error
        return cls(**{"annotator": ""} | known)


_KINDS = TABLES["annotations"]
_NAMES = ("annotator", "unit_id", "answer")  # compared in one form of Unicode
_VALUES = {
    "action": get_args(Action),
    "unit": get_args(Unit),
    "question": get_args(Question),
    "basis": get_args(Basis),
}
_TRUTH = {"true": True, "false": False}
_READERS: dict[str, Callable[[Any], Any]] = {
    "string": str,
    "float64": float,
    "bool": lambda value: _TRUTH[str(value).lower()],
}
_EXPECTED = {"string": "text", "float64": "a number", "bool": "true or false"}


@dataclass(frozen=True)
class Label:
    """The label of one unit for one question.

    Examples
    --------
    >>> row = Annotation(
    ...     annotator="Ana", unit="clip", unit_id="5f1c", question="content", answer="whistle"
    ... )
    >>> Label("whistle", "single", n_annotators=1, n_agree=1, last=row).last.annotator
    'Ana'
    """

    answer: str | None
    """None if annotators disagree and no answer was adjudicated."""
    standing: Standing
    n_annotators: int
    n_agree: int
    """Number of annotators whose last answer is this answer."""
    last: Annotation
    """The last annotation with this answer; of a disputed label, the last annotation of all."""


Key = tuple[str, str, str]
"""Unit, unit_id and question."""


def answers_in_force(rows: Iterable[Annotation]) -> list[Annotation]:
    """Leave out annotations that were retracted or replaced.

    A retraction that was itself retracted has no effect.

    Parameters
    ----------
    rows : iterable of Annotation, in the order in which they were written

    Returns
    -------
    list of Annotation, answers only, in the same order

    Examples
    --------
    >>> unit = {"unit": "clip", "unit_id": "5f1c", "question": "content"}
    >>> rows = [
    ...     Annotation(annotation_id="1", annotator="Ana", answer="whistle", **unit),
    ...     Annotation(annotation_id="2", annotator="Ana", action="retract", replaces="1"),
    ... ]
    >>> answers_in_force(rows)
    []
    """
    replaced_ids: set[str | None] = set()
    kept = []
    for row in reversed(list(rows)):
        if row.annotation_id in replaced_ids:
            continue
        if row.replaces is not None:
            replaced_ids.add(row.replaces)
        if row.action != "retract":
            kept.append(row)
    return kept[::-1]


def labels_in_force(rows: Iterable[Annotation]) -> dict[Key, Label]:
    """Fold a log into one label per unit and question.

    The last answer of each annotator counts. An answer is *agreed* if two or more annotators gave the
    answer, and every other answer has fewer annotators. The label of any other disagreement is
    *disputed*.

    Parameters
    ----------
    rows : iterable of Annotation, in the order in which they were written

    Returns
    -------
    dict from (unit, unit_id, question) to Label, in the order of the first answers

    Examples
    --------
    >>> unit = {"unit": "clip", "unit_id": "5f1c", "question": "content"}
    >>> rows = [
    ...     Annotation(annotation_id="1", annotator="Ana", answer="whistle", **unit),
    ...     Annotation(annotation_id="2", annotator="Ben", answer="whistle", **unit),
    ... ]
    >>> labels_in_force(rows)["clip", "5f1c", "content"].standing
    'agreed'
    """
    answers: dict[Key, list[Annotation]] = {}
    for row in answers_in_force(rows):
        key = (str(row.unit), str(row.unit_id), str(row.question))
        answers.setdefault(key, []).append(row)
    return {key: _settle(rows_of_key) for key, rows_of_key in answers.items()}


def _settle(answers: list[Annotation]) -> Label:
    last_of = {row.annotator: row for row in answers}
    votes = Counter(row.answer for row in last_of.values())
    if adjudicated := [row for row in answers if row.action == "adjudicate"]:
        last = adjudicated[-1]
        return Label(last.answer, "adjudicated", len(last_of), votes[last.answer], last)
    (answer, n_agree), *others = votes.most_common()
    if others and others[0][1] == n_agree:
        return Label(None, "disputed", len(last_of), n_agree, answers[-1])
    last = [row for row in answers if row.answer == answer and row is last_of[row.annotator]][-1]
    return Label(answer, "agreed" if n_agree > 1 else "single", len(last_of), n_agree, last)

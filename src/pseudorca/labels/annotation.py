"""One annotation of a clip, of a region in a clip, of a recording or of an encounter.

In: values from a person, a journal or a CSV file. Out: an :class:`Annotation`. Its fields are the
columns of the table ``annotations``, and every field has been checked.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.store import TABLES

Action = Literal["add", "adjudicate", "retract"]
Unit = Literal["clip", "region", "recording", "encounter"]
Question = Literal["content", "population", "quality"]
Basis = Literal["photo-id", "genetics", "sighting", "location", "tag", "heard"]


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

    def values(self) -> dict[str, Any]:
        """Return every field by the name of its column.

        Returns
        -------
        dict from str to str, float, bool or None
        """
        return asdict(self)


_KINDS = TABLES["annotations"]
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

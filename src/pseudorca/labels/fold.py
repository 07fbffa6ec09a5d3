"""Which label is in force: a fold over the log of annotations.

In: annotations in the order in which they were written. Out: one label per unit and question. An
adjudicated answer counts before one that annotators agree on, and that before a single one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pseudorca.labels.annotation import Annotation

Standing = Literal["adjudicated", "agreed", "single", "disputed"]


@dataclass(frozen=True)
class Label:
    """The label of one unit to one question.

    ``last`` is the annotation that gave the answer last; of a disputed label, the last of all.
    """

    answer: str | None
    """None where annotators disagree and nobody adjudicated."""
    standing: Standing
    n_annotators: int
    n_agree: int
    """Annotators whose last answer is this one."""
    last: Annotation


Key = tuple[str, str, str]
"""Unit, unit_id and question."""


def answers_in_force(rows: Iterable[Annotation]) -> list[Annotation]:
    """Leave out what was retracted or replaced.

    An annotation that is itself retracted retracts nothing.

    Parameters
    ----------
    rows : iterable of Annotation, in the order in which they were written

    Returns
    -------
    list of Annotation, answers only, in the same order
    """
    dead: set[str | None] = set()
    kept = []
    for row in reversed(list(rows)):
        if row.annotation_id in dead:
            continue
        if row.replaces is not None:
            dead.add(row.replaces)
        if row.action != "retract":
            kept.append(row)
    return kept[::-1]


def labels_in_force(rows: Iterable[Annotation]) -> dict[Key, Label]:
    """Fold a log into one label per unit and question.

    Of each annotator the last answer counts. An answer is *agreed* if two or more annotators gave
    it and fewer gave any other one. Where annotators disagree otherwise the label is *disputed*.

    Parameters
    ----------
    rows : iterable of Annotation, in the order in which they were written

    Returns
    -------
    dict from (unit, unit_id, question) to Label, in the order of the first answers

    Examples
    --------
    >>> about = {"unit": "clip", "unit_id": "5f1c", "question": "content"}
    >>> rows = [
    ...     Annotation(annotation_id="1", annotator="Ana", answer="whistle", **about),
    ...     Annotation(annotation_id="2", annotator="Ben", answer="whistle", **about),
    ... ]
    >>> labels_in_force(rows)["clip", "5f1c", "content"].standing
    'agreed'
    """
    answers: dict[Key, list[Annotation]] = {}
    for row in answers_in_force(rows):
        key = (str(row.unit), str(row.unit_id), str(row.question))
        answers.setdefault(key, []).append(row)
    return {key: _settle(given) for key, given in answers.items()}


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

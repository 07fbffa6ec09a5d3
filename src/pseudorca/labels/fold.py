"""Find the label in force, from the log of annotations.

In: annotations in the order of writing. Out: one label per unit and question. An adjudicated answer
wins over an agreed answer. An agreed answer wins over a single answer.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pseudorca.labels.annotation import Annotation

Standing = Literal["adjudicated", "agreed", "single", "disputed"]


@dataclass(frozen=True)
class Label:
    """The label of one unit for one question.

    ``last`` is the last annotation with this answer. The ``last`` of a disputed label is the last
    annotation of all.
    """

    answer: str | None
    """None if annotators disagree and no answer was adjudicated."""
    standing: Standing
    n_annotators: int
    n_agree: int
    """Number of annotators whose last answer is this answer."""
    last: Annotation


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

"""Evaluations as a project keeps them, and the choice of those that speak for a classifier.

In: rows of the tables ``evaluations`` and ``audits``. Out: :class:`Evidence`: the evaluation on
encounters never heard, the optimistic one beside it, and the audit. The report and the trust that
travels with a classifier choose by the same rule.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.folds import describe_split

_OPTIMISTIC_FIRST = ("random", "stratified", "recording", "recording_id", "study")
"""Optimistic splits; the first that was evaluated is compared with the honest one."""


@dataclass(frozen=True)
class Evaluation:
    """One row of the table ``evaluations``: a recipe under a split, with its results per unit.

    Examples
    --------
    >>> results = [{"unit": "encounter", "balanced_accuracy": 0.8}]
    >>> about = {"split": {"name": "encounter"}, "optimistic": False, "results": results}
    >>> evaluation = Evaluation("split id", "recipe id", "2026-01-01T00:00:00", about)
    >>> evaluation.split, evaluation.results["encounter"]["balanced_accuracy"]
    ('encounter', 0.8)
    """

    split_id: str
    recipe_id: str
    time_utc: str
    about: Mapping[str, Any]
    """The parsed column ``result``."""

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Parse a row of the table, as ``itertuples`` gives it."""
        about = json.loads(str(row.result))
        return cls(str(row.split_id), str(row.classifier_id), str(row.time_utc), about)

    @property
    def split(self) -> str:
        """The name of the split."""
        return str(self.about["split"]["name"])

    @property
    def optimistic(self) -> bool:
        """Whether training and test may share encounters."""
        return bool(self.about["optimistic"])

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Metrics by unit: ``clip``, ``recording``, ``encounter``."""
        return {str(result["unit"]): result for result in self.about["results"]}

    @property
    def recipe(self) -> dict[str, Any]:
        """Embedder and recipe as JSON values."""
        return dict(self.about["recipe"])

    @property
    def data_id(self) -> str:
        """An id of the clips that were used, with their labels and encounters."""
        return str(self.about.get("data"))

    @property
    def trainings(self) -> list[dict[str, Any]]:
        """What each training reported, a dict per training."""
        return list(self.about.get("trainings", ()))

    @property
    def head(self) -> str:
        """The recipe in words."""
        return Recipe.from_settings(self.about["recipe"]).describe()

    @property
    def method(self) -> str:
        """The split in words, such as ``split encounter, 5 folds, 3 repeats``."""
        return describe_split(self.about["split"])

    @property
    def labels_id(self) -> str | None:
        """An id of the labelled recordings at that time; None in results of earlier versions."""
        return self.about.get("labels")

    def is_comparable(self, other: "Evaluation") -> bool:
        """Whether the recipe and the labelled clips are the same, so that only the split differs."""
        return self.recipe == other.recipe and self.data_id == other.data_id


class Evidence(NamedTuple):
    """What speaks for a classifier, or against it. What does not exist is None."""

    honest: Evaluation | None
    """On encounters never heard."""
    optimistic: Evaluation | None
    """Of the same recipe and clips, with clips of one encounter on both sides."""
    audit: Mapping[str, Any] | None
    """The parsed column ``result`` of the latest audit of the same recipe and clips."""
    stricter: Evaluation | None = None
    """Of the same recipe and clips as a headline by encounter, with the fewest, coarser groups."""
    strangers: dict[str, Any] | None = None
    """What was found of animals of no class, of the same recipe and clips."""


def choose(
    evaluations: Iterable[Evaluation],
    audits: Sequence[Mapping[str, Any]],
    *,
    preference: Callable[[Evaluation], Any] = lambda evaluation: 0,
) -> Evidence:
    """Choose the evaluations and the audit that belong together.

    The headline is the evaluation on encounters never heard that is preferred most; among equals one
    that splits by encounter rather than by other groups, then the latest. Optimistic evaluation and
    audit are about its recipe and clips. Without a headline the audit is the latest.

    Parameters
    ----------
    evaluations : iterable of Evaluation
    audits : sequence of parsed audits, the latest first
    preference : callable, gives a value per evaluation; the highest is preferred

    Returns
    -------
    Evidence

    Examples
    --------
    >>> results = [{"unit": "encounter", "n_groups": 8}]
    >>> about = {"recipe": {}, "optimistic": False, "results": results}
    >>> by_day = Evaluation("d", "r", "2026", about | {"group_by": "day"})
    >>> by_encounter = Evaluation("e", "r", "2025", about | {"group_by": "encounter"})
    >>> choose([by_day, by_encounter], []).honest.split_id
    'e'
    """
    by_encounter = [one for one in evaluations if "encounter" in one.results]

    def rank(evaluation: Evaluation) -> tuple[Any, bool, str]:
        is_by_encounter = evaluation.about["group_by"] == "encounter"
        return preference(evaluation), is_by_encounter, evaluation.time_utc

    on_new = [one for one in by_encounter if not one.optimistic]
    honest = max(on_new, key=rank, default=None)
    if honest is None:
        return Evidence(None, None, next(iter(audits), None))
    order = {name: -place for place, name in enumerate(_OPTIMISTIC_FIRST)}
    optimistic = max(
        (one for one in by_encounter if one.optimistic and one.is_comparable(honest)),
        key=lambda one: (order.get(one.split, -len(order)), one.time_utc),
        default=None,
    )
    wanted = {"recipe": honest.recipe, "data": honest.about.get("data")}
    audit = next((a for a in audits if is_about(a, wanted)), None)
    alike = sorted(
        (one for one in on_new if one.is_comparable(honest)),
        key=lambda one: one.time_utc, reverse=True,
    )  # fmt: skip
    coarser = [one for one in alike if one.about["group_by"] != "encounter"]
    stricter = None
    if honest.about["group_by"] == "encounter":
        stricter = min(
            coarser, key=lambda one: int(one.results["encounter"]["n_groups"]), default=None
        )
    strangers = next(
        (dict(one.about["strangers"]) for one in alike if one.about.get("strangers")), None
    )
    return Evidence(honest, optimistic, audit, stricter, strangers)


def is_about(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a parsed evaluation or audit is of a recipe and clips.

    Examples
    --------
    >>> is_about({"recipe": {"head": "svm"}, "verdict": "animals"}, {"recipe": {"head": "svm"}})
    True
    """
    return {name: result.get(name) for name in wanted} == dict(wanted)

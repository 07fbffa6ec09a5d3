"""How far a classifier can be trusted: the headline of its evaluation and the verdict of its audit.

In: the tables ``evaluations`` and ``audits`` of a project. Out: :class:`Trust`, kept with each
classifier that was made by the recipe that was evaluated, so that it travels where the classifier goes
and stands wherever the classifier answers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from pseudorca.learning.classifier import read_record, save_trust
from pseudorca.learning.recipe import recipe_of
from pseudorca.store import CLASSIFIER_FOLDER, Store

NOT_AUDITED = "not audited"

_VERDICTS = {
    "animals": "animals",
    "recorder": "recorder: its answers must not be taken for the animals' own",
    "cannot tell": "cannot tell animals from recorders",
    NOT_AUDITED: NOT_AUDITED,
}


@dataclass(frozen=True)
class Trust:
    """What is known of a classifier's answers on encounters that it never heard.

    Examples
    --------
    >>> trust = Trust("encounter", 0.78, 0.59, 0.88, 0.5, 21, verdict="cannot tell")
    >>> trust.sentence()
    'encounters never heard: 0.78 [0.59, 0.88], chance 0.50; audit: cannot tell'
    >>> Trust().sentence()
    'never evaluated on encounters never heard; not audited'
    """

    split: str | None = None
    """The honest split of the headline; None: not evaluated."""
    balanced_accuracy: float | None = None
    """By encounter."""
    low: float | None = None
    """95 % interval, from the encounters."""
    high: float | None = None
    chance: float | None = None
    """What always naming one class scores."""
    n_encounters: int | None = None
    random_split: float | None = None
    """Balanced accuracy where clips of one encounter stand on both sides: a warning, no result."""
    verdict: str = NOT_AUDITED
    """Of the audit: ``animals``, ``recorder``, ``cannot tell``, or ``not audited``."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Self:
        """What :meth:`as_json` gave; nothing known where it is None."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in (values or {}).items() if name in names})

    def as_json(self) -> dict[str, Any]:
        """The values by name, as JSON values."""
        return asdict(self)

    @property
    def is_evaluated(self) -> bool:
        return self.balanced_accuracy is not None

    def sentence(self) -> str:
        """Headline and verdict in one line, to stand in brackets behind an answer."""
        audit = self.verdict if self.verdict == NOT_AUDITED else f"audit: {self.verdict}"
        if not self.is_evaluated:
            return f"never evaluated on encounters never heard; {audit}"
        held_out = "encounters" if self.split == "encounter" else f"encounters ({self.split})"
        return (
            f"{held_out} never heard: {self.balanced_accuracy:.2f} [{self.low:.2f}, "
            f"{self.high:.2f}], chance {self.chance:.2f}; {audit}"
        )

    def lines(self) -> list[str]:
        """The same in plain sentences, the warning first where there is one."""
        lines = []
        if self.is_evaluated:
            lines.append(
                f"Encounters never heard (split {self.split}): balanced accuracy by encounter "
                f"{self.balanced_accuracy:.2f}, 95 % interval {self.low:.2f} to {self.high:.2f}; "
                f"chance {self.chance:.2f}."
            )
        else:
            lines.append(
                "Nobody has measured how often this classifier is right: run pseudorca evaluate."
            )
        if self.verdict == NOT_AUDITED:
            lines.append("Not audited: it may hear recorders, not animals. Run pseudorca audit.")
        else:
            lines.append(f"Audit: {_VERDICTS.get(self.verdict, self.verdict)}.")
        return lines[::-1] if self.verdict == "recorder" else lines

    def columns(self) -> dict[str, Any]:
        """The columns that stand in every table of predictions."""
        return {
            "held_out_accuracy": self.balanced_accuracy,
            "held_out_low": self.low,
            "held_out_high": self.high,
            "held_out_split": self.split,
            "audit": self.verdict,
        }


def trust_in(store: Store, recipe: Mapping[str, Any], data_id: str) -> Trust:
    """What a project knows of classifiers of a recipe that learned from certain clips.

    Parameters
    ----------
    store : Store
    recipe : mapping, embedder and recipe as JSON values
    data_id : str, which clips were learned from, with which labels and encounters

    Returns
    -------
    Trust, from the latest evaluation by encounter (or by another honest split, if there is none) and
    the latest audit
    """
    wanted = {"recipe": dict(recipe), "data": data_id}
    evaluations = [
        result for result in _latest_first(store, "evaluations") if _is_about(result, wanted)
    ]
    audits = [result for result in _latest_first(store, "audits") if _is_about(result, wanted)]
    verdict = str(audits[0]["verdict"]) if audits else NOT_AUDITED
    honest = [result for result in evaluations if not result["optimistic"]]
    honest.sort(key=lambda result: result["group_by"] != "encounter")
    headline = next((row for result in honest for row in _by_encounter(result)), None)
    if headline is None:
        return Trust(verdict=verdict)
    random = [
        row["balanced_accuracy"]
        for result in evaluations
        if result["split"]["name"] == "random"
        for row in _by_encounter(result)
    ]
    return Trust(
        headline["split"],
        headline["balanced_accuracy"],
        headline["ci_low"],
        headline["ci_high"],
        headline["majority_baseline"],
        headline["n_units"],
        random[0] if random else None,
        verdict,
    )


def keep_trust(store: Store) -> None:
    """Keep with every classifier of a project what the project knows of it.

    Parameters
    ----------
    store : Store
    """
    for path in sorted((store.folder / CLASSIFIER_FOLDER).glob("*/classifier.json")):
        training = read_record(path.parent).get("training", {})
        if "data" not in training:
            continue
        trust = trust_in(store, recipe_of(training), training["data"])
        if trust != Trust():  # what a classifier from elsewhere brought with it stays
            save_trust(path.parent, trust.as_json())


def _latest_first(store: Store, table: str) -> Iterator[dict[str, Any]]:
    rows = store.read(table, columns=["time_utc", "result"])
    for text in rows.sort_values("time_utc", ascending=False, kind="stable")["result"]:
        yield json.loads(text)


def _is_about(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return {name: result.get(name) for name in wanted} == wanted


def _by_encounter(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for row in result["results"] if row["unit"] == "encounter"]

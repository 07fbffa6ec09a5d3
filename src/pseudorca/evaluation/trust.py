"""How far a classifier can be trusted: the headline of its evaluation and the verdict of its audit.

In: the tables ``evaluations`` and ``audits`` of a project. Out: :class:`Trust`, kept with each
classifier that was made by the recipe that was evaluated, so that it travels where the classifier goes
and stands wherever the classifier answers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from pseudorca.evaluation.kept import Evaluation, choose, is_about
from pseudorca.evaluation.strangers import strangers_in_words
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
    >>> Trust(
    ...     "encounter", 0.78, 0.59, 0.88, 0.5, 21, stricter_split="outing", stricter=0.63,
    ...     stricter_low=0.45, stricter_high=0.78,
    ... ).sentence()
    'encounters never heard: 0.78 [0.59, 0.88], by outing 0.63 [0.45, 0.78], chance 0.50; not audited'
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
    stricter_split: str | None = None
    """The strictest split that was evaluated beside the headline: that of the fewest groups."""
    stricter: float | None = None
    """Balanced accuracy by encounter under that split, with its 95 % interval."""
    stricter_low: float | None = None
    stricter_high: float | None = None
    strangers: dict[str, Any] | None = None
    """How often animals of no class are named, as from
    :func:`pseudorca.evaluation.strangers.ask_strangers`; None: never asked."""

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
        beside = ""
        if self.stricter is not None:
            beside = (
                f", by {self.stricter_split} {self.stricter:.2f} [{self.stricter_low:.2f}, "
                f"{self.stricter_high:.2f}]"
            )
        return (
            f"{held_out} never heard: {self.balanced_accuracy:.2f} [{self.low:.2f}, "
            f"{self.high:.2f}]{beside}, chance {self.chance:.2f}; {audit}"
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
        if self.stricter is not None:
            lines.append(
                f"Where whole groups by {self.stricter_split} were held out: "
                f"{100 * self.stricter:.0f} %, {100 * (self.stricter_low or 0):.0f} to "
                f"{100 * (self.stricter_high or 0):.0f} %. Quote that for another "
                f"{self.stricter_split}."
            )
        if self.strangers is not None:
            lines.append(strangers_in_words(self.strangers)[0])
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
            "stricter_accuracy": self.stricter,
            "stricter_low": self.stricter_low,
            "stricter_high": self.stricter_high,
            "stricter_split": self.stricter_split,
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
    Trust, from the latest evaluation by encounter (or by another honest split, if there is none), the
    strictest beside it (of the fewest groups, whatever its score; of several, the latest), and the
    latest audit
    """
    wanted = {"recipe": dict(recipe), "data": data_id}
    evaluations = map(Evaluation.from_row, store.read("evaluations").itertuples())
    evidence = choose(
        [evaluation for evaluation in evaluations if is_about(evaluation.about, wanted)],
        [audit for audit in _audits(store) if is_about(audit, wanted)],
    )
    verdict = str(evidence.audit["verdict"]) if evidence.audit else NOT_AUDITED
    if evidence.honest is None:
        return Trust(verdict=verdict)
    headline = evidence.honest.results["encounter"]
    optimistic = evidence.optimistic
    strict = evidence.stricter.results["encounter"] if evidence.stricter else {}
    return Trust(
        evidence.honest.split,
        headline["balanced_accuracy"],
        headline["ci_low"],
        headline["ci_high"],
        headline["majority_baseline"],
        headline["n_units"],
        optimistic.results["encounter"]["balanced_accuracy"] if optimistic else None,
        verdict,
        strict.get("split"),
        strict.get("balanced_accuracy"),
        strict.get("ci_low"),
        strict.get("ci_high"),
        evidence.strangers,
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


def _audits(store: Store) -> list[dict[str, Any]]:
    """All audits, parsed, the latest first."""
    rows = store.read("audits", columns=["time_utc", "result"])
    rows = rows.sort_values("time_utc", ascending=False, kind="stable")
    return [json.loads(text) for text in rows["result"]]

"""Everything that a report is made of, read from a project once.

In: a store. Out: :class:`Contents`, with the tables, the evaluations (parsed), the embedder's and the
classifiers' descriptions. What is missing is empty; what cannot be read becomes a problem of the
report, not its end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.embedding.known_embedders import EMBEDDERS_FOLDER, known_embedders
from pseudorca.errors import PseudorcaError
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.registry import front_end_from_settings
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.folds import describe_split
from pseudorca.store import CLASSIFIER_FOLDER, EMBEDDER_FOLDER, Store, shown_problems

_RECIPE = ("embedder_id", "head", "preparation", "views")

OPTIMISTIC_FIRST = ("random", "stratified", "recording", "recording_id", "study")
"""Optimistic splits, the one that is compared with the honest one first."""


@dataclass(frozen=True)
class Evaluation:
    """One row of ``evaluations``: a head under a split, with its results per unit."""

    split_id: str
    recipe_id: str
    time_utc: str
    about: Mapping[str, Any]

    @property
    def split(self) -> str:
        return str(self.about["split"]["name"])

    @property
    def optimistic(self) -> bool:
        """Whether clips of one encounter may stand on both sides."""
        return bool(self.about["optimistic"])

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Metrics by unit: ``clip``, ``recording``, ``encounter``."""
        return {str(result["unit"]): result for result in self.about["results"]}

    @property
    def data_id(self) -> str:
        """Which clips were learned from and tested, with which labels and encounters."""
        return str(self.about.get("data"))

    @property
    def trainings(self) -> list[dict[str, Any]]:
        return list(self.about.get("trainings", ()))

    @property
    def head(self) -> str:
        return Recipe.from_settings(self.about["recipe"]).describe()

    @property
    def method(self) -> str:
        """How the split was drawn, such as ``split encounter, 5 folds, 3 repeats``."""
        return describe_split(self.about["split"])


@dataclass
class Contents:
    """The tables and descriptions of one project, as far as there are any."""

    store: Store
    recordings: pd.DataFrame
    clips: pd.DataFrame
    problems: pd.DataFrame
    runs: pd.DataFrame
    evaluations: list[Evaluation]
    embedder: dict[str, Any] | None
    front_end: FrontEnd | None
    classifiers: dict[str, dict[str, Any]]
    networks: dict[str, str] = field(default_factory=dict)
    """Names of the networks that the project used, by embedder id."""
    trouble: list[dict[str, str]] = field(default_factory=list)
    """Problems met while reporting, rows like those of ``problems``."""

    @cached_property
    def labelled(self) -> pd.DataFrame:
        """The labelled recordings."""
        return self.recordings[self.recordings["label"].notna()].reset_index(drop=True)

    @cached_property
    def labelled_clips(self) -> pd.DataFrame:
        return self.clips[self.clips["label"].notna()].reset_index(drop=True)

    @cached_property
    def classes(self) -> list[str]:
        return sorted(map(str, self.labelled["label"].unique()))

    @property
    def argument(self) -> str:
        """The project folder as it is typed on a command line."""
        folder = str(self.store.folder)
        return f'"{folder}"' if " " in folder else folder

    def note_trouble(self, path: object, error: Exception) -> None:
        """Keep a problem that cost a figure or a paragraph."""
        reason = getattr(error, "reason", "") or type(error).__name__
        detail = getattr(error, "detail", "") or str(error)
        row = {"path": str(path), "stage": "report", "reason": reason, "detail": detail}
        if row not in self.trouble:
            self.trouble.append(row)


def read_project(store: Store) -> Contents:
    """Read what a report needs; only the tables of scores and decisions are left for later."""
    trouble: list[dict[str, str]] = []
    classifiers = {}
    for path in sorted((store.folder / CLASSIFIER_FOLDER).glob("*/classifier.json")):
        if record := _read_json(path, trouble):
            used = _read_json(path.with_name("embedder.json"), trouble) or {}
            classifiers[path.parent.name] = {"training": {}} | record | {"embedder": used}
    embedder = None
    if (path := store.folder / EMBEDDER_FOLDER / "embedder.json").exists():
        embedder = _read_json(path, trouble)
    project = Contents(
        store=store,
        recordings=store.read("recordings"),
        clips=store.read("clips"),
        problems=shown_problems(store.read("problems")),
        runs=store.read("runs"),
        evaluations=_evaluations(store, trouble),
        embedder=embedder,
        front_end=None,
        classifiers=classifiers,
        trouble=trouble,
    )
    try:
        project.networks = {each.embedder_id: each.name for each in known_embedders(store)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        project.note_trouble(store.folder / EMBEDDERS_FOLDER, error)
    for record in (embedder or {}, *(each["embedder"] for each in classifiers.values())):
        if members := record.get("members"):
            names = [str(member["backbone"]["name"]) for member in members]
            project.networks[str(record["embedder_id"])] = "+".join(names)
    if embedder is not None:
        try:
            project.front_end = front_end_from_settings(embedder["front_end"])
        except (PseudorcaError, KeyError, TypeError) as error:
            project.note_trouble(path, error)
    return project


def headline(project: Contents) -> Evaluation | None:
    """The evaluation that is named first: encounters never heard.

    Of those whose recipe (embedder and head) is that of the classifier that predicted last, else of
    any saved classifier, else of all: the one that splits by encounter before other groups, then the
    latest.
    """
    honest = [e for e in project.evaluations if not e.optimistic and "encounter" in e.results]

    last = asked_classifier(project)
    wanted = _recipe(project.classifiers[last]) if last is not None else None

    def rank(evaluation: Evaluation) -> tuple[bool, bool, bool, str]:
        recipe, by_encounter = evaluation.about["recipe"], evaluation.about["group_by"]
        saved = is_saved(project, evaluation)
        return recipe == wanted, saved, by_encounter == "encounter", evaluation.time_utc

    return max(honest, key=rank, default=None)


def asked_classifier(project: Contents) -> str | None:
    """The name of the saved classifier that ``predict`` asked last; None where there is none."""
    for run in reversed(list(project.runs.itertuples())):
        if run.verb == "predict":
            classifier_id = json.loads(str(run.settings)).get("classifier_id")
            names = (
                k for k, v in project.classifiers.items() if v.get("classifier_id") == classifier_id
            )
            return next(names, None)
    return None


def is_asked(project: Contents, evaluation: Evaluation) -> bool:
    """Whether an evaluation is about the classifier that predicted last, as far as there is one."""
    name = asked_classifier(project)
    return name is None or _recipe(project.classifiers[name]) == dict(evaluation.about["recipe"])


def network_of(project: Contents, evaluation: Evaluation) -> str:
    """The name of the network under an evaluation; its id where no name is known."""
    embedder_id = str(evaluation.about["recipe"]["embedder_id"])
    return project.networks.get(embedder_id, f"embedder {embedder_id}")


def is_saved(project: Contents, evaluation: Evaluation) -> bool:
    """Whether a saved classifier was made by the evaluated recipe."""
    return was_made_by(project, evaluation.about["recipe"])


def was_made_by(project: Contents, recipe: Mapping[str, Any]) -> bool:
    """Whether a saved classifier has this embedder, head and preparation."""
    return any(_recipe(about) == dict(recipe) for about in project.classifiers.values())


def typed(project: Contents, recipe: Mapping[str, Any] | None = None, **how: bool) -> str:
    """The options that a verb needs for a recipe; None: the latest saved classifier's.

    ``how`` as in :meth:`pseudorca.learning.recipe.Recipe.arguments`.
    """
    if recipe is None:
        saved = [about for about in project.classifiers.values() if "head" in about["training"]]
        if not saved:
            return ""
        recipe = _recipe(max(saved, key=lambda about: str(about["training"].get("time_utc"))))
    try:
        return Recipe.from_settings(recipe).arguments(**how)
    except (PseudorcaError, KeyError, TypeError) as error:
        project.note_trouble("classifiers", error)
        return ""


def _recipe(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """What ``evaluate`` would note of this classifier, as ``train`` noted it."""
    training = {"embedder_id": classifier["embedder"].get("embedder_id")} | classifier["training"]
    return {key: training[key] for key in _RECIPE if key in training}


def counterpart(project: Contents, honest: Evaluation) -> Evaluation | None:
    """The optimistic evaluation made alike, to show what a random split would have said."""
    same = [
        e
        for e in project.evaluations
        if e.optimistic and are_alike(e, honest) and "encounter" in e.results
    ]
    order = {name: place for place, name in enumerate(OPTIMISTIC_FIRST)}
    return min(same, key=lambda e: order.get(e.split, len(order)), default=None)


def are_alike(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations differ in the split alone: one recipe, the same labelled clips."""
    return one.recipe_id == other.recipe_id and one.data_id == other.data_id


def _evaluations(store: Store, trouble: list[dict[str, str]]) -> list[Evaluation]:
    """The evaluations, honest ones first, each kind from the latest to the oldest."""
    evaluations = []
    for row in store.read("evaluations").itertuples():
        try:
            evaluation = Evaluation(
                str(row.split_id),
                str(row.classifier_id),
                str(row.time_utc),
                json.loads(str(row.result)),
            )
            _ = evaluation.split, evaluation.optimistic, evaluation.results, evaluation.head
            evaluations.append(evaluation)
        except (ValueError, KeyError, TypeError) as error:
            detail = f"{row.split_id}: {error}"
            trouble.append(
                {
                    "path": "evaluations",
                    "stage": "report",
                    "reason": "cannot be read",
                    "detail": detail,
                }
            )
    evaluations.sort(key=lambda evaluation: evaluation.time_utc, reverse=True)
    evaluations.sort(key=lambda evaluation: evaluation.optimistic)
    return evaluations


def _read_json(path: Path, trouble: list[dict[str, str]]) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        row = {
            "path": str(path),
            "stage": "report",
            "reason": "cannot be read",
            "detail": str(error),
        }
        trouble.append(row)
        return None

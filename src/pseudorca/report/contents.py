"""Everything that a report shows, read from a project once.

In: a store. Out: :class:`Contents`, with the tables, the parsed evaluations, and the descriptions of
the embedder and the classifiers. What is missing is empty. What cannot be read becomes a problem of
the report, and the report goes on.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.embedding.known_embedders import EMBEDDERS_FOLDER, known_embedders
from pseudorca.errors import PseudorcaError
from pseudorca.evaluation.kept import Evaluation, Evidence, choose
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.registry import front_end_from_settings
from pseudorca.learning import recipe
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.manifest import labels_id
from pseudorca.recordings.naming import plain_encounters
from pseudorca.simulation.truth import true_populations
from pseudorca.store import CLASSIFIER_FOLDER, EMBEDDER_FOLDER, Store, shown_problems

_UNREADABLE = "cannot be read"

WIDE = 0.6
"""An interval of a share that is wider says next to nothing."""


@dataclass
class Contents:
    """The tables and descriptions of one project, and what the report has to say about itself.

    Examples
    --------
    >>> recordings = pd.DataFrame({"label": ["Pelagic", None, "Insular"]})
    >>> project = Contents(
    ...     store=None, recordings=recordings, clips=recordings, problems=None, runs=None
    ... )
    >>> project.classes, len(project.labelled)
    (['Insular', 'Pelagic'], 2)
    """

    store: Store
    recordings: pd.DataFrame
    clips: pd.DataFrame
    problems: pd.DataFrame
    runs: pd.DataFrame
    classifiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Descriptions of the saved classifiers, by name."""
    embedder: dict[str, Any] | None = None
    front_end: FrontEnd | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    """Honest ones first, each kind from the latest to the oldest."""
    audits: list[dict[str, Any]] = field(default_factory=list)
    """The parsed rows of the table ``audits`` with their ``time_utc``, the latest first."""
    networks: dict[str, str] = field(default_factory=dict)
    """Names of the networks that the project used, by embedder id."""
    trouble: list[dict[str, str]] = field(default_factory=list)
    """Problems of the report itself, rows like those of ``problems``."""
    notices: list[str] = field(default_factory=list)
    """Warnings of the sections, in the order in which sections are made."""

    @cached_property
    def labelled(self) -> pd.DataFrame:
        """The labelled recordings."""
        return self.recordings[self.recordings["label"].notna()].reset_index(drop=True)

    @cached_property
    def labelled_clips(self) -> pd.DataFrame:
        """The labelled clips."""
        return self.clips[self.clips["label"].notna()].reset_index(drop=True)

    @cached_property
    def classes(self) -> list[str]:
        """The labels of recordings, sorted."""
        return sorted(map(str, self.labelled["label"].unique()))

    @cached_property
    def encounter_names(self) -> dict[str, str]:
        """The plain name of each encounter that was scanned or predicted."""
        predicted = self.store.read("predicted", columns=["encounter"])["encounter"]
        names = pd.concat([self.recordings["encounter"], predicted]).dropna().astype(str)
        return plain_encounters(names.unique())

    def plain(self, encounter: object) -> str:
        """The one form in which the report names an encounter."""
        return self.encounter_names.get(str(encounter), str(encounter))

    @cached_property
    def truth(self) -> dict[str, str] | None:
        """What the encounters truly are; None unless the recordings are a simulated survey."""
        roots = self.recordings["root"].dropna().unique()
        return true_populations(str(roots[0])) if len(roots) == 1 else None

    @cached_property
    def labels_id(self) -> str:
        """An id of the labelled recordings that the project holds now."""
        return labels_id(self.store)

    def is_stale(self, labels_id: str | None) -> bool:
        """Whether the labelled recordings are others than those with the id, of an earlier result."""
        return labels_id not in (None, self.labels_id)

    @property
    def argument(self) -> str:
        """The project folder as it is typed on a command line."""
        folder = str(self.store.folder)
        return f'"{folder}"' if " " in folder else folder

    def note_trouble(
        self, path: object, error: Exception, *, reason: str = "", detail: str = ""
    ) -> None:
        """Keep an error that cost a figure or a paragraph, once.

        Parameters
        ----------
        path : path or str, the file or table that cannot be used
        error : Exception
        reason, detail : str; empty: those of the error
        """
        reason = reason or getattr(error, "reason", "") or type(error).__name__
        detail = detail or getattr(error, "detail", "") or str(error)
        row = {"path": str(path), "stage": "report", "reason": reason, "detail": detail}
        if row not in self.trouble:
            self.trouble.append(row)

    def changed_tables(self, versions: Mapping[str, int], noun: str, verb: str) -> list[str]:
        """Name the tables that have another version than an evaluation or audit used.

        Parameters
        ----------
        versions : mapping from table to its version then
        noun, verb : str, such as ``evaluation`` and ``evaluate``

        Returns
        -------
        list of str, a sentence per table
        """
        return [
            f"The table of {table} was written anew after this {noun} (version {version} then, {now} "
            f"now). If it changed, {verb} again."
            for table, version in versions.items()
            if (now := self.store.version(table)) != version
        ]


def read_project(store: Store) -> Contents:
    """Read what a report needs, except the large tables of scores and decisions.

    Parameters
    ----------
    store : Store

    Returns
    -------
    Contents

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     project = read_project(Store(f"{folder}/project", create=True))
    >>> project.classes, project.evaluations, project.trouble
    ([], [], [])
    """
    project = Contents(
        store,
        recordings=store.read("recordings"),
        clips=store.read("clips"),
        problems=shown_problems(store.read("problems")),
        runs=store.read("runs"),
    )
    for path in sorted((store.folder / CLASSIFIER_FOLDER).glob("*/classifier.json")):
        if record := _read_json(project, path):
            used = _read_json(project, path.with_name("embedder.json")) or {}
            project.classifiers[path.parent.name] = {"training": {}} | record | {"embedder": used}
    if (path := store.folder / EMBEDDER_FOLDER / "embedder.json").exists():
        project.embedder = _read_json(project, path)
    project.evaluations = _evaluations(project)
    project.audits = _audits(project)
    try:
        project.networks = {each.embedder_id: each.name for each in known_embedders(store)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        project.note_trouble(store.folder / EMBEDDERS_FOLDER, error)
    used_embedders = [about["embedder"] for about in project.classifiers.values()]
    for record in (project.embedder or {}, *used_embedders):
        if members := record.get("members"):
            names = [str(member["backbone"]["name"]) for member in members]
            project.networks[str(record["embedder_id"])] = "+".join(names)
    if project.embedder is not None:
        try:
            project.front_end = front_end_from_settings(project.embedder["front_end"])
        except (PseudorcaError, KeyError, TypeError) as error:
            project.note_trouble(path, error)
    return project


def evidence(project: Contents) -> Evidence:
    """Choose what the report says first: how good the classifier is, and what the audit found.

    Evaluations with the recipe (embedder and head) of the classifier that predicted last come first,
    then those of any saved classifier. One of other recordings or labels than the project holds now
    counts for nothing. The rest of the rule is that of :func:`pseudorca.evaluation.kept.choose`.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Evidence

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     project = read_project(Store(f"{folder}/project", create=True))
    >>> about = {"optimistic": False, "results": [{"unit": "encounter"}]}
    >>> about |= {"recipe": {"head": {"head": "svm"}}, "group_by": "encounter"}
    >>> project.evaluations = [Evaluation("a", "r", "2025", about), Evaluation("b", "r", "2026", about)]
    >>> project.labels_id = "of these recordings"
    >>> evidence(project).honest.split_id
    'b'
    """
    last = last_asked(project)
    wanted = recipe_of(project.classifiers[last]) if last is not None else None

    def preference(evaluation: Evaluation) -> tuple[bool, bool]:
        return evaluation.recipe == wanted, is_saved(project, evaluation.recipe)

    return choose(
        [each for each in project.evaluations if not project.is_stale(each.labels_id)],
        [audit for audit in project.audits if not project.is_stale(audit.get("labels"))],
        preference=preference,
    )


def predict_settings(project: Contents) -> Iterator[dict[str, Any]]:
    """Give the settings of every run of ``predict``, the last run first.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> runs = pd.DataFrame({"verb": ["predict", "scan"], "settings": ['{"gate_db": 12}', "{}"]})
    >>> list(predict_settings(SimpleNamespace(runs=runs)))
    [{'gate_db': 12}]
    """
    for run in reversed(list(project.runs.itertuples())):
        if run.verb == "predict":
            yield dict(json.loads(str(run.settings)))


def name_of(project: Contents, classifier_id: object) -> str | None:
    """Give the name of the saved classifier with an id; None if it is no longer saved.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> project = SimpleNamespace(classifiers={"mine": {"classifier_id": "c0ffee"}})
    >>> name_of(project, "c0ffee"), name_of(project, "a1b2c3")
    ('mine', None)
    """
    classifiers = project.classifiers.items()
    return next((k for k, v in classifiers if v.get("classifier_id") == classifier_id), None)


def last_asked(project: Contents) -> str | None:
    """Give the name of the saved classifier that the last ``predict`` used; None if there is none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> runs = pd.DataFrame({"verb": ["predict"], "settings": ['{"classifier_id": "c0ffee"}']})
    >>> classifiers = {"mine": {"classifier_id": "c0ffee"}}
    >>> last_asked(SimpleNamespace(runs=runs, classifiers=classifiers))
    'mine'
    """
    settings = next(predict_settings(project), None)
    return None if settings is None else name_of(project, settings.get("classifier_id"))


def network_of(project: Contents, evaluation: Evaluation) -> str:
    """Give the name of the network under an evaluation; its id if no name is known.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> evaluation = SimpleNamespace(about={"recipe": {"embedder_id": "5f1c"}})
    >>> network_of(SimpleNamespace(networks={"5f1c": "resnet50"}), evaluation)
    'resnet50'
    """
    embedder_id = str(evaluation.about["recipe"]["embedder_id"])
    return project.networks.get(embedder_id, f"embedder {embedder_id}")


def is_saved(project: Contents, recipe: Mapping[str, Any]) -> bool:
    """Check whether a saved classifier has the embedder, head and preparation of a recipe.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> training = {"head": {"head": "svm"}, "time_utc": "2026-01-01"}
    >>> saved = {"mine": {"embedder": {"embedder_id": "5f1c"}, "training": training}}
    >>> is_saved(
    ...     SimpleNamespace(classifiers=saved), {"embedder_id": "5f1c", "head": {"head": "svm"}}
    ... )
    True
    """
    return any(recipe_of(about) == dict(recipe) for about in project.classifiers.values())


def typed(project: Contents, recipe: Mapping[str, Any] | None = None, **how: bool) -> str:
    """Give the command line options for a recipe.

    Parameters
    ----------
    project : Contents
    recipe : mapping, the settings of the recipe; None: those of the latest saved classifier
    how : as in :meth:`pseudorca.learning.recipe.Recipe.arguments`

    Returns
    -------
    str, begins with a space; empty if there is no recipe or it cannot be read

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> typed(SimpleNamespace(classifiers={}))
    ''
    """
    if recipe is None:
        saved = [about for about in project.classifiers.values() if "head" in about["training"]]
        if not saved:
            return ""
        recipe = recipe_of(max(saved, key=lambda about: str(about["training"].get("time_utc"))))
    try:
        return Recipe.from_settings(recipe).arguments(**how)
    except (PseudorcaError, KeyError, TypeError) as error:
        project.note_trouble("classifiers", error)
        return ""


def recipe_in_words(project: Contents, recipe: Mapping[str, Any]) -> str:
    """Describe a recipe; ``not known`` if this version does not know one of its settings."""
    try:
        return Recipe.from_settings(recipe).describe()
    except (PseudorcaError, KeyError, TypeError) as error:
        project.note_trouble("classifiers", error)
        return "not known"


def recipe_of(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """Give the recipe of a saved classifier, as ``evaluate`` would store it.

    Examples
    --------
    >>> training = {"head": {"head": "svm"}, "time_utc": "2026-01-01"}
    >>> recipe_of({"embedder": {"embedder_id": "5f1c"}, "training": training})
    {'embedder_id': '5f1c', 'head': {'head': 'svm'}}
    """
    training = {"embedder_id": classifier["embedder"].get("embedder_id")} | classifier["training"]
    return recipe.recipe_of(training)


def minute(time_utc: str) -> str:
    """Shorten an ISO time to minutes.

    Examples
    --------
    >>> minute("2026-01-02T03:04:05+00:00")
    '2026-01-02 03:04'
    """
    return time_utc[:16].replace("T", " ")


def listed(names: Iterable[object], most: int) -> str:
    """List the first names, and say how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    texts = list(map(str, names))
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _evaluations(project: Contents) -> list[Evaluation]:
    """Parse the table of evaluations: honest ones first, each kind from the latest to the oldest."""
    evaluations = []
    for row in project.store.read("evaluations").itertuples():
        try:
            evaluation = Evaluation.from_row(row)
            _ = evaluation.split, evaluation.optimistic, evaluation.results, evaluation.head
            evaluations.append(evaluation)
        except (ValueError, KeyError, TypeError, PseudorcaError) as error:
            project.note_trouble(
                "evaluations", error, reason=_UNREADABLE, detail=f"{row.split_id}: {error}"
            )
    evaluations.sort(key=lambda evaluation: evaluation.time_utc, reverse=True)
    return sorted(evaluations, key=lambda evaluation: evaluation.optimistic)


def _audits(project: Contents) -> list[dict[str, Any]]:
    """Parse the table of audits, the latest first."""
    audits = []
    rows = project.store.read("audits").sort_values("time_utc", ascending=False, kind="stable")
    for row in rows.itertuples():
        try:
            audits.append({"time_utc": str(row.time_utc)} | dict(json.loads(str(row.result))))
        except ValueError as error:
            project.note_trouble("audits", error)
    return audits


def _read_json(project: Contents, path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        project.note_trouble(path, error, reason=_UNREADABLE, detail=str(error))
        return None

"""Train a classifier on all labelled clips, calibrate it on held-out encounters, and save it."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.embedding.augmentation.copies import view_set
from pseudorca.errors import ClassifierError, FoldError
from pseudorca.learning.calibration import CalibratedUnits, calibrate_out_of_fold, carried_prior
from pseudorca.learning.classifier import Classifier, is_name, saved_id
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import Names, TrainingSet
from pseudorca.learning.false_alarms import NothingRule
from pseudorca.learning.heads.base import Head, TrainedHead, fit_head
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.nothing import nothing_rule
from pseudorca.learning.novelty import Novelty, fit_novelty
from pseudorca.learning.recipe import Recipe, recipe_of
from pseudorca.learning.units import UNITS
from pseudorca.progress import Progress
from pseudorca.recordings.folds import Folds, Split, make_folds
from pseudorca.recordings.options import ClipOptions
from pseudorca.results import Result, attention, counted
from pseudorca.store import CLASSIFIER_FOLDER, Store, package_versions
from pseudorca.values import nfc

CALIBRATION = Split("encounter", n_folds=5, n_repeats=3)
"""How encounters are held out to calibrate a classifier and to choose its thresholds."""

_QUANTILE = 0.95  # share of new encounters within the usual distance
_CHOICES = ("c", "best_epoch", "pseudo_labels")


@dataclass(frozen=True, eq=False, repr=False)
class TrainResult(Result):
    """A saved classifier, with its recipe and the choices of the training.

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> embedder = Embedder(CommonFrontEnd(), load_backbone("logmel"), "cpu")
    >>> from pseudorca.learning.heads.base import LinearHead
    >>> n = embedder.backbone.embedding_size
    >>> head = LinearHead(["A", "B"], np.zeros(n), np.ones(n), np.zeros((2, n)), np.zeros(2))
    >>> classifier = Classifier(embedder, ClipOptions(), head)
    >>> TrainResult(classifier, Path("classifiers/first"), Recipe(), [], {}).name
    'first'
    """

    classifier: Classifier
    folder: Path
    recipe: Recipe
    notices: list[str]
    details: dict[str, Any]
    """What training chose: C, the best epoch, the moments that joined."""

    @property
    def name(self) -> str:
        """The name of the classifier in its project."""
        return self.folder.name

    @property
    def classifier_id(self) -> str:
        """Identifies everything that decides an answer of the classifier."""
        return self.classifier.classifier_id

    @property
    def classes(self) -> list[str]:
        """The classes of the scores, sorted."""
        return self.classifier.classes

    @property
    def network(self) -> str:
        """The name of the network (or networks) that the classifier hears by."""
        return "+".join(member.backbone.name for member in self.classifier.embedder.members)

    @property
    def settings(self) -> dict[str, Any]:
        """Embedder and recipe as JSON values, in the form of ``evaluate``."""
        return recipe_of(self.classifier.training)

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values: recipe, calibration, counts, choices of the training."""
        training, calibrators = self.classifier.training, self.classifier.calibrators
        counts = {key: training[key] for key in ("n_clips", "n_recordings", "n_encounters")}
        return {
            "notices": self.notices,
            "classifier": str(self.folder),
            "classifier_id": self.classifier_id,
            "classes": self.classes,
            "recipe": self.settings,
            "network": self.network,
            "head": self.recipe.settings()["head"],
            "preparation": self.recipe.preparation.settings(),
            "calibration": {unit: fitted.as_dict() for unit, fitted in calibrators.items()},
            **counts,
            **{key: self.details[key] for key in _CHOICES if key in self.details},
        }

    def summary(self) -> list[str]:
        """The folder, the recipe, and the number of encounters, in sentences."""
        n = self.classifier.training["n_encounters"]
        worth = "calibrated" if self.classifier.calibrators else "not calibrated"
        return [
            f"Saved {self.folder} ({self.classifier_id}): {self.recipe.describe()}.",
            f"Trained on encounters: {counted(n)}; probabilities are {worth}.",
            attention(0, self.notices),
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per class: its clips, recordings and encounters."""
        training = self.classifier.training
        counts = {name: training[f"n_{name}"] for name in ("clips", "recordings", "encounters")}
        return pd.DataFrame(counts).rename_axis("class").sort_index().reset_index()


def train_project(
    store: Store,
    recipe: Recipe,
    *,
    name: str = "classifier",
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> TrainResult:
    """Train a classifier on all labelled clips, calibrate it, and save it in the project.

    Parameters
    ----------
    store : Store
    recipe : Recipe
    name : str, of the classifier
    progress : callable (done, total) or None, over trainings
    stage : callable, takes a sentence on the current step

    Returns
    -------
    TrainResult

    Raises
    ------
    ClassifierError
        If the name is not a valid name of a classifier.
    HeadError
        If there is too little to learn from, or embeddings are missing.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import Embedder, save_embedder
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> from pseudorca.store import EMBEDDER_FOLDER, TABLES
    >>> names = [f"e{k}" for k in range(4)]
    >>> shared = {"recording_id": names, "moment_id": names, "encounter": names,
    ...           "label": ["A", "A", "B", "B"]}
    >>> clips = pd.DataFrame({"clip_id": names, **shared, "start_s": 0.0, "end_s": 3.0})
    >>> recordings = pd.DataFrame({**shared, "start_utc": pd.NaT, "metadata": "{}"})
    >>> embedder = Embedder(CommonFrontEnd(), load_backbone("logmel"), "cpu")
    >>> vectors = np.ones((4, embedder.backbone.embedding_size), np.float32)
    >>> vectors[2:] = 2.0
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.write("clips", clips.reindex(columns=list(TABLES["clips"])))
    ...     store.write("recordings", recordings.reindex(columns=list(TABLES["recordings"])))
    ...     save_embedder(embedder, store.folder / EMBEDDER_FOLDER)
    ...     store.append_vectors(embedder.embedder_id, names, vectors)
    ...     result = train_project(store, Recipe(LogisticHead(c=1.0), nothing="none"))
    >>> result.name, result.classes, sorted(result.classifier.calibrators)
    ('classifier', ['A', 'B'], ['clip', 'encounter', 'recording'])
    """
    name = nfc(name)
    if not is_name(name):
        raise ClassifierError(
            f"a classifier cannot be called {name!r}: use letters, digits, - and _."
        )
    labelled = LabelledProject.read(store, recipe, stage=stage, progress=progress)
    notices = list(labelled.notices)
    head = labelled.trainer(CALIBRATION)
    trained = fit_head(head, labelled.data)
    # A training through the network takes minutes.
    calibration = replace(CALIBRATION, n_repeats=1) if head.plain.trains_network else CALIBRATION
    folds, nothing = None, None
    units: dict[str, CalibratedUnits] = {}
    try:
        folds = make_folds(labelled.clips, labelled.recordings, calibration)
        units, nothing = _held_out(labelled, folds, head, progress)
    except FoldError as error:
        notices.insert(0, f"Probabilities are not calibrated, since {error}")
    classifier = _classifier(labelled, head, trained, folds if units else None, units)
    if trained.knows_nothing and nothing is None:
        nothing = NothingRule.untried()
        notices.append("What nothing sounds like was not tried on encounters that were held out.")
    classifier.nothing = nothing if trained.knows_nothing else None
    folder = store.folder / CLASSIFIER_FOLDER / name
    with _earlier_kept(folder, classifier.classifier_id) as kept:
        classifier.save(folder)
    notices += kept
    labelled.forget_trainings()
    settings = recipe.settings()["head"]
    settings |= {"name": name, "preparation": recipe.preparation.settings()}
    store.record_run("train", settings, ("recordings", "clips"), notices=notices)
    return TrainResult(classifier, folder, recipe, notices, trained.details)


@contextmanager
def _earlier_kept(folder: Path, classifier_id: str) -> Iterator[list[str]]:
    """Keep a copy of a classifier that is replaced under another name -> notices that say so."""
    earlier = saved_id(folder)
    if earlier is None or earlier == classifier_id:
        yield []
        return
    number = 1
    while (copy := folder.with_name(f"{folder.name} {number}")).exists():
        number += 1
    shutil.copytree(folder, copy)
    try:
        yield [f"The classifier that was called {folder.name} before is kept as {copy.name!r}."]
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise


def _classifier(
    labelled: LabelledProject,
    head: Head,
    trained: TrainedHead,
    folds: Folds | None,
    units: Mapping[str, CalibratedUnits],
) -> Classifier:
    """Assemble the classifier: the trained head, calibration, novelty, and a record of the training."""
    data, clips, recipe = labelled.data, labelled.clips, labelled.recipe
    named = {
        "clip": clips["moment_id"].to_numpy(dtype=object),
        "recording": data.recordings,
        "encounter": data.groups,
    }
    tuned, alone, vectors = trained.parted(data.vectors)
    novelty = fit_novelty(vectors, data.groups, named)
    if tuned is not None and folds is not None:
        novelty = _widened(novelty, head, labelled.grouped(folds), folds, named)
    embedder = tuned or labelled.embedder
    records = [part.as_table().assign(unit=unit) for unit, part in units.items()]
    test_views = recipe.preparation.test_views
    return Classifier(
        embedder,
        ClipOptions(**(labelled.store.setting("clips") or {})),
        alone,
        _training(labelled),
        calibrators={unit: part.calibrator for unit, part in units.items()},
        novelty=novelty,
        held_out=pd.concat(records) if records else None,
        preparation=recipe.preparation,
        views=view_set(labelled.store, embedder.embedder_id) if test_views else None,
    )


def _training(labelled: LabelledProject) -> dict[str, Any]:
    """The record of a training, as JSON values."""
    clips, store = labelled.clips, labelled.store
    noise = labelled.data.noise
    by_label = clips.groupby("label")
    return {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **labelled.settings(),
        **labelled.known_by,
        "n_clips": clips["label"].value_counts().to_dict(),
        "n_recordings": by_label["recording_id"].nunique().to_dict(),
        "n_encounters": by_label["encounter"].nunique().to_dict(),
        **({"n_noise": len(noise.labels)} if noise else {}),
        "recordings": sorted({*clips["recording_id"], *labelled.noise["recording_id"]}),
        "moments": sorted({*labelled.data.recordings, *(noise.recordings if noise else ())}),
        "encounters": sorted(clips["encounter"].unique()),
        "versions": package_versions(),
        "tables": {table: store.version(table) for table in ("recordings", "clips")},
    }


def _held_out(
    labelled: LabelledProject, folds: Folds, head: Head, progress: Progress | None
) -> tuple[dict[str, CalibratedUnits], NothingRule | None]:
    """Calibrated out-of-fold units of the recipe, by kind of unit, and when a clip holds nothing."""
    clips, recordings = labelled.clips, labelled.recordings
    data = labelled.grouped(folds)
    scored = cross_validate(data, folds, head, progress=progress)
    carried = carried_prior(head, labelled.data, scored.classes)
    nothing = nothing_rule(scored, clips["encounter"].to_numpy(dtype=object), data.noise)
    how: dict[str, Any] = {"p_nothing": scored.p_nothing, "rule": nothing}
    units = {
        unit: calibrate_out_of_fold(
            clips, recordings, scored.log_probabilities, folds, scored.classes, unit=unit,
            presupposed=carried, **how,
        )
        for unit in UNITS
    }  # fmt: skip
    return units, nothing


def _widened(
    novelty: Novelty, head: Head, data: TrainingSet, folds: Folds, units: Mapping[str, Names]
) -> Novelty:
    """Novelty with the usual distance of encounters that the network was not tuned on.

    A tuned network moves its training clips together, so that every new encounter would seem unlike
    them. The excess distance of new encounters is measured on each fold's test side, by the network
    that was tuned without that side. These trainings were done before and are kept.
    """
    ratios: dict[str, list[float]] = {kind: [] for kind in units}
    for _, _, train, test in folds:
        trained = fit_head(head, data.take(train))
        inside = {kind: names[train] for kind, names in units.items()}
        _, _, learned = trained.parted(data.vectors[train])
        _, _, tested = trained.parted(data.vectors[test])
        side = fit_novelty(learned, data.groups[train], inside)
        distances = pd.Series(side.distances(tested))
        for kind, names in units.items():
            of_unit = distances.groupby(names[test]).mean()
            ratios[kind] += (of_unit / side.usual[kind]).tolist()
    usual = {
        kind: distance * float(np.quantile(ratios[kind], _QUANTILE, method="higher"))
        for kind, distance in novelty.usual.items()
    }
    return replace(novelty, usual=usual)

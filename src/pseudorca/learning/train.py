"""All labelled clips to a saved classifier, calibrated on encounters it was made to miss."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from pseudorca.embedding.augmentation.copies import view_set
from pseudorca.embedding.joint import load_embedders
from pseudorca.errors import ClassifierError, FoldError
from pseudorca.learning.calibration import carried_prior
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet, labelled_clips
from pseudorca.learning.from_copies import learning_from
from pseudorca.learning.heads.base import Head, fit_head
from pseudorca.learning.heads.finetuned import FineTuned
from pseudorca.learning.held_out import CalibratedUnits, calibrate_out_of_fold
from pseudorca.learning.novelty import fit_novelty
from pseudorca.learning.preparation import PLAIN, Preparation, prepared_set
from pseudorca.learning.pseudo_labels import with_unlabelled
from pseudorca.learning.recipe import recipe_of
from pseudorca.learning.through_network import forget_trainings, through_network, widened
from pseudorca.learning.units import UNITS
from pseudorca.progress import Progress
from pseudorca.recordings.clips import ClipOptions, project_clips
from pseudorca.recordings.folds import Folds, Split, make_folds
from pseudorca.recordings.manifest import project_recordings
from pseudorca.store import CLASSIFIER_FOLDER, EMBEDDER_FOLDER, Store, package_versions

CALIBRATION = Split("encounter", n_folds=5, n_repeats=3)
"""How encounters are held out to calibrate a classifier and to choose its thresholds."""


def train_project(
    store: Store,
    head: Head,
    *,
    name: str = "classifier",
    preparation: Preparation = PLAIN,
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """Train a classifier on all labelled clips, calibrate it, and save it.

    ``preparation``: what is made of the embeddings first; the classifier does it to what it hears.
    """
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise ClassifierError(
            f"a classifier cannot be called {name!r}: use letters, digits, - and _."
        )
    embedder = load_embedders(store.folder / EMBEDDER_FOLDER)
    recordings = project_recordings(store)
    clips, notices = labelled_clips(project_clips(store), recordings, store, embedder.embedder_id)
    data, words = prepared_set(
        clips, recordings, store, embedder, preparation, labelled=project_clips(store)
    )
    notices += words
    head = with_unlabelled(
        head,
        clips,
        project_clips(store),
        recordings,
        store,
        embedder.embedder_id,
        CALIBRATION,
        preparation,
    )
    head, data = through_network(
        store, head, data, clips, recordings, embedder, preparation, stage=stage, progress=progress
    )
    learner = learning_from(head, preparation)
    trained = fit_head(learner, data)
    calibration = CALIBRATION
    if isinstance(trained, FineTuned):
        calibration = replace(CALIBRATION, n_repeats=1)  # each is a training through the network
    try:
        folds = make_folds(clips, recordings, calibration)
        units = _held_out(clips, recordings, data, folds, learner, progress)
    except FoldError as error:
        units = {}
        notices.append(f"Probabilities are not calibrated, since {error}")
    recipe = recipe_of(store, embedder.embedder_id, head, preparation)
    n_recordings = clips.groupby("label")["recording_id"].nunique()
    n_encounters = clips.groupby("label")["encounter"].nunique()
    training = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **recipe,
        "n_clips": {str(k): int(n) for k, n in clips["label"].value_counts().items()},
        "n_recordings": {str(k): int(n) for k, n in n_recordings.items()},
        "n_encounters": {str(k): int(n) for k, n in n_encounters.items()},
        "recordings": sorted(clips["recording_id"].unique()),
        "moments": sorted(set(data.recordings)),
        "encounters": sorted(clips["encounter"].unique()),
        "versions": package_versions(),
        "tables": {table: store.version(table) for table in ("recordings", "clips")},
    }
    options = ClipOptions(**(store.setting("clips") or {}))
    named = {
        "clip": clips["moment_id"].to_numpy(dtype=object),
        "recording": data.recordings,
        "encounter": data.groups,
    }
    if isinstance(trained, FineTuned):
        novelty = fit_novelty(trained.vectors(data.vectors), data.groups, named)
        if units:
            whole = replace(data, groups=folds.units)
            novelty = widened(novelty, head, whole, folds, named)
        embedder, trained = trained.embedder, trained.linear()
    else:
        novelty = fit_novelty(data.vectors, data.groups, named)
    classifier = Classifier(
        embedder,
        options,
        trained,
        training,
        calibrators={unit: made.calibrator for unit, made in units.items()},
        novelty=novelty,
        held_out=pd.concat([made.as_table().assign(unit=unit) for unit, made in units.items()])
        if units
        else None,
        preparation=preparation,
        views=view_set(store, embedder.embedder_id) if preparation.test_views else None,
    )
    folder = store.folder / CLASSIFIER_FOLDER / name
    classifier.save(folder)
    forget_trainings(head)
    about = {"name": name, "preparation": preparation.settings()}
    store.record_run("train", head.settings() | about, ("recordings", "clips"))
    shown = ("n_clips", "n_recordings", "n_encounters")
    result: dict[str, Any] = {
        "notices": notices,
        "classifier": str(folder),
        "classifier_id": classifier.classifier_id,
        "classes": classifier.classes,
        "recipe": recipe,
        "head": head.settings(),
        "preparation": preparation.settings(),
        "calibration": {unit: made.calibrator.as_dict() for unit, made in units.items()},
    }
    told = ("c", "best_epoch", "pseudo_labels")
    chosen = {key: trained.details[key] for key in told if key in trained.details}
    return result | {key: training[key] for key in shown} | chosen


def _held_out(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    data: TrainingSet,
    folds: Folds,
    head: Head,
    progress: Progress | None,
) -> dict[str, CalibratedUnits]:
    """What the same recipe says of each encounter when trained without it, by kind of unit."""
    scored = cross_validate(replace(data, groups=folds.units), folds, head, progress=progress)
    carried = carried_prior(head.settings(), data, scored.classes)
    return {
        unit: calibrate_out_of_fold(
            clips, recordings, scored.log_probabilities, folds, scored.classes, unit=unit,
            presupposed=carried,
        )
        for unit in UNITS
    }  # fmt: skip

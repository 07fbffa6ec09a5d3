"""All labelled clips to a saved classifier, calibrated on encounters it was made to miss."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from pseudorca.assessment.reliability import CalibratedUnits, calibrate_out_of_fold
from pseudorca.errors import ClassifierError, FoldError
from pseudorca.features.embedder import load_embedder
from pseudorca.learning.calibration import carried_prior
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.crossval import cross_validate, fit_head
from pseudorca.learning.heads import Head
from pseudorca.learning.novelty import fit_novelty
from pseudorca.learning.training_set import TrainingSet, labelled_clips, make_training_set
from pseudorca.prediction.decisions import UNITS
from pseudorca.recordings.clips import ClipOptions
from pseudorca.recordings.folds import Folds, Split, make_folds
from pseudorca.store import (
    CLASSIFIER_FOLDER,
    EMBEDDER_FOLDER,
    Store,
    package_versions,
)
from pseudorca.workflow.clips import project_clips
from pseudorca.workflow.project import Progress, project_recordings

CALIBRATION = Split("encounter", n_folds=5, n_repeats=3)
"""How encounters are held out to calibrate a classifier and to choose its thresholds."""


def train_project(
    store: Store,
    head: Head,
    *,
    name: str = "classifier",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a classifier on all labelled clips, calibrate it, and save it."""
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise ClassifierError(
            f"a classifier cannot be called {name!r}: use letters, digits, - and _."
        )
    embedder = load_embedder(store.folder / EMBEDDER_FOLDER)
    recordings = project_recordings(store)
    clips, notices = labelled_clips(project_clips(store), recordings, store, embedder.embedder_id)
    data = make_training_set(clips, recordings, store, embedder.embedder_id)
    trained = fit_head(head, data)
    try:
        folds = make_folds(clips, recordings, CALIBRATION)
        units = _held_out(clips, recordings, data, folds, head, progress)
    except FoldError as error:
        units = {}
        notices.append(f"Probabilities are not calibrated, since {error}")
    n_recordings = clips.groupby("label")["recording_id"].nunique()
    n_encounters = clips.groupby("label")["encounter"].nunique()
    training = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "head": head.settings(),
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
    classifier = Classifier(
        embedder,
        options,
        trained,
        training,
        calibrators={unit: made.calibrator for unit, made in units.items()},
        novelty=fit_novelty(
            data.vectors,
            data.groups,
            {
                "clip": clips["moment_id"].to_numpy(dtype=object),
                "recording": data.recordings,
                "encounter": data.groups,
            },
        ),
        held_out=pd.concat([made.as_table().assign(unit=unit) for unit, made in units.items()])
        if units
        else None,
    )
    folder = store.folder / CLASSIFIER_FOLDER / name
    classifier.save(folder)
    store.record_run("train", head.settings() | {"name": name}, ("recordings", "clips"))
    shown = ("n_clips", "n_recordings", "n_encounters")
    result: dict[str, Any] = {
        "notices": notices,
        "classifier": str(folder),
        "classifier_id": classifier.classifier_id,
        "classes": classifier.classes,
        "head": head.settings(),
        "calibration": {unit: made.calibrator.as_dict() for unit, made in units.items()},
    }
    chosen = {key: trained.details[key] for key in ("c", "best_epoch") if key in trained.details}
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

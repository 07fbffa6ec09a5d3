"""All labelled clips to a saved classifier."""

import re
from datetime import UTC, datetime
from typing import Any

from pseudorca.errors import ClassifierError
from pseudorca.features.embedding import load_embedder
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.crossval import fit_head
from pseudorca.learning.heads import Head
from pseudorca.learning.training_set import labelled_clips, make_training_set
from pseudorca.recordings.clips import ClipOptions
from pseudorca.store import (
    CLASSIFIER_FOLDER,
    EMBEDDER_FOLDER,
    Store,
    package_versions,
)
from pseudorca.workflow.clips import project_clips
from pseudorca.workflow.project import project_recordings


def train_project(store: Store, head: Head, *, name: str = "classifier") -> dict[str, Any]:
    """Train a classifier on all labelled clips and save it."""
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise ClassifierError(
            f"a classifier cannot be called {name!r}: use letters, digits, - and _."
        )
    embedder = load_embedder(store.folder / EMBEDDER_FOLDER)
    recordings = project_recordings(store)
    clips, notices = labelled_clips(project_clips(store), recordings, store, embedder.embedder_id)
    data = make_training_set(clips, recordings, store, embedder.embedder_id)
    trained = fit_head(head, data)
    n_recordings = clips.groupby("label")["recording_id"].nunique()
    n_encounters = clips.groupby("label")["encounter"].nunique()
    training = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "head": head.settings(),
        "prior": prior_of(head),
        "calibrated": False,
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
    classifier = Classifier(embedder, options, trained, training)
    folder = store.folder / CLASSIFIER_FOLDER / name
    classifier.save(folder)
    store.record_run("train", head.settings() | {"name": name}, ("recordings", "clips"))
    shown = ("n_clips", "n_recordings", "n_encounters", "prior")
    result: dict[str, Any] = {
        "notices": notices,
        "classifier": str(folder),
        "classifier_id": classifier.classifier_id,
        "classes": classifier.classes,
        "head": head.settings(),
    }
    chosen = {key: trained.details[key] for key in ("c", "best_epoch") if key in trained.details}
    return result | {key: training[key] for key in shown} | chosen


def prior_of(head: Head) -> str:
    """The class frequencies that a head's probabilities presuppose."""
    return "train" if head.settings()["balance"] == "none" else "uniform"

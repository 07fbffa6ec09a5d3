"""Recordings to scores and decisions by a saved classifier."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.errors import ManifestError, StoreError
from pseudorca.features.common import CommonFrontEnd
from pseudorca.features.embedder import Precision
from pseudorca.features.front_ends import resampling_notices
from pseudorca.learning.classifier import Classifier
from pseudorca.prediction.decisions import UNITS
from pseudorca.prediction.detections import find_detections
from pseudorca.prediction.effort import find_gaps, summarise_effort
from pseudorca.prediction.formats import write_predictions
from pseudorca.prediction.scores import Predictions
from pseudorca.prediction.scores import predict as predict_recordings
from pseudorca.recordings.manifest import PROBLEM_COLUMNS, ScanOptions, scan_files
from pseudorca.store import CLASSIFIER_FOLDER, PREDICTION_FOLDER, Store
from pseudorca.workflow.project import Progress, project_recordings
from pseudorca.workflow.rules import DecisionOptions, decision_rules


def predict_project(
    store: Store,
    paths: Sequence[Path] = (),
    *,
    name: str = "classifier",
    decision: DecisionOptions | None = None,
    output: Path | None = None,
    kinds: Sequence[str] = ("csv",),
    max_gap_s: float = 0.0,
    options: ScanOptions | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict on files and folders, or on the project's unlabelled recordings if none are given.

    ``kinds`` are names of :data:`pseudorca.prediction.formats.FORMATS`; clips of one name that lie
    no more than ``max_gap_s`` apart are one detection.
    """
    classifier = Classifier.load(
        store.folder / CLASSIFIER_FOLDER / name, device=device, precision=precision
    )
    rules, chosen, notices = decision_rules(classifier, decision or DecisionOptions())
    problems = pd.DataFrame(columns=list(PROBLEM_COLUMNS), dtype="string")
    if paths:
        manifest = scan_files(paths, options=options, n_workers=n_workers)
        recordings, problems = manifest.recordings, manifest.problems
    else:
        recordings = project_recordings(store)
        recordings = recordings[recordings["label"].isna()].reset_index(drop=True)
        if recordings.empty:
            raise ManifestError(
                "the project has no unlabelled recordings. Name files or folders to predict on."
            )
    heard = set(classifier.training.get("moments", ()))
    if n_heard := int(recordings["moment_id"].isin(heard).sum()):
        notices.append(
            f"{n_heard} of these {len(recordings)} recordings trained the classifier: what it says of "
            "them proves nothing (column in_training)."
        )
    notices += resampling_notices(recordings, classifier.embedder.front_end.sample_rate)
    found = predict_recordings(
        recordings,
        classifier,
        store,
        rules,
        batch_size=batch_size,
        n_workers=n_workers,
        progress=progress,
    )
    if not found.n_clips:
        notices.append("No clip could be scored: see the problems.")
    problems = pd.concat([problems, found.problems], ignore_index=True)
    folder = output or store.folder / PREDICTION_FOLDER
    files, n_detections = _write(found, recordings, problems, classifier, folder, kinds, max_gap_s)
    store.keep_setting(PREDICTION_FOLDER, str(folder.resolve()))
    key = {"classifier_id": classifier.classifier_id, "split_id": ""}
    store.replace("scores", found.scores, **key)
    store.replace("decisions", found.decisions, **key)
    store.record_run(
        "predict",
        {
            "paths": [str(path.resolve()) for path in paths],
            "name": name,
            "name_pattern": options.name_pattern if options else None,
            "time_format": options.time_format if options else None,
            "classifier_id": classifier.classifier_id,
            "decision": asdict(decision or DecisionOptions()),
            "thresholds": chosen,
        },
        ("scores", "decisions"),
    )
    said = {unit: found.tables[unit]["decision"].value_counts() for unit in UNITS}
    return {
        "n_files": len(recordings) + int((problems["stage"] == "scan").sum()),
        "n_clips": found.n_clips,
        "n_problems": len(problems),
        "n_detections": n_detections,
        "output": str(folder),
        "files": files,
        "classifier_id": classifier.classifier_id,
        "prior": rules["encounter"].prior.name,
        "calibrated": bool(classifier.calibrators),
        "thresholds": chosen,
        "n_encounters": len(found.tables["encounter"]),
        "recordings_per_class": _counts(said["recording"]),
        "encounters_per_class": _counts(said["encounter"]),
        "problems": problems.to_dict("records"),
        "notices": notices,
    }


def _write(
    found: Predictions,
    recordings: pd.DataFrame,
    problems: pd.DataFrame,
    classifier: Classifier,
    folder: Path,
    kinds: Sequence[str],
    max_gap_s: float,
) -> tuple[dict[str, int], int]:
    """Write the tables; returns the number of files of each kind, and of detections."""
    clips = found.tables["clip"]
    detections = find_detections(clips, recordings, max_gap_s=max_gap_s)
    effort = {
        period: summarise_effort(clips, recordings, detections, per=period)
        for period in ("hour", "day")
    }
    gaps = find_gaps(recordings)
    tables = found.tables | effort | {"detection": detections, "gap": gaps, "problem": problems}
    front_end, channels = classifier.embedder.front_end, classifier.clip_options.channels
    band_hz = None
    if isinstance(front_end, CommonFrontEnd):
        band_hz = (front_end.fmin_hz, front_end.fmax_hz)
    written = write_predictions(
        tables, recordings, folder, kinds=kinds, max_gap_s=max_gap_s, band_hz=band_hz,
        channel=int(channels) if channels.isdecimal() else 1,
    )  # fmt: skip
    return {kind: len(paths) for kind, paths in written.items()}, len(detections)


def _counts(said: pd.Series) -> dict[str, int]:
    return {str(label): int(n) for label, n in said.items()}


def decide_again(
    store: Store,
    *,
    decision: DecisionOptions,
    output: Path | None = None,
    kinds: Sequence[str] = ("csv",),
    max_gap_s: float = 0.0,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Decide anew on what was predicted last; embeddings are kept, so no sound is read again.

    Raises
    ------
    StoreError
        If nothing was predicted yet.
    """
    runs = store.read("runs", where="verb = 'predict'")
    if runs.empty:
        raise StoreError(
            f"nothing was predicted in {store.folder}. Run: pseudorca predict --project {store.folder}"
        )
    last = json.loads(str(runs.sort_values("time_utc", kind="stable")["settings"].iloc[-1]))
    return predict_project(
        store,
        [Path(path) for path in last["paths"]],
        name=last["name"],
        options=ScanOptions(name_pattern=last["name_pattern"], time_format=last["time_format"]),
        decision=decision,
        output=output,
        kinds=kinds,
        max_gap_s=max_gap_s,
        n_workers=n_workers,
        progress=progress,
    )

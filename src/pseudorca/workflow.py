"""The stages over a project folder: what each verb of the command line does, without the printing.

Every function takes a :class:`~pseudorca.store.Store`, calls one stage with plain tables, keeps the
result, and returns a dict of JSON values: the object that ``--json`` prints.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xxhash

from pseudorca.assessment.metrics import evaluate as compute_metrics
from pseudorca.errors import (
    ClassifierError,
    FrontEndError,
    ManifestError,
    SimulationError,
    unknown_name,
)
from pseudorca.features.backbones import adapt_batch_norm, backbone_info, load_backbone
from pseudorca.features.common import CommonFrontEnd, sounds_left_out, widest_band
from pseudorca.features.embedding import (
    Embedder,
    Precision,
    embed_clips,
    load_embedder,
    picture_batches,
    save_embedder,
)
from pseudorca.features.front_ends import band_notices, make_front_end, resampling_notices
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.crossval import cross_validate, fit_head
from pseudorca.learning.heads import Head
from pseudorca.learning.training_set import labelled_clips, make_training_set
from pseudorca.prediction.decisions import UNITS
from pseudorca.prediction.formats import Format, write_tables
from pseudorca.prediction.scores import predict as predict_recordings
from pseudorca.prediction.scores import score_table
from pseudorca.recordings.clips import ClipOptions, cut, read_raven
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.recordings.manifest import (
    PROBLEM_COLUMNS,
    Manifest,
    ScanOptions,
    full_path,
    scan,
    scan_files,
)
from pseudorca.recordings.notices import few_encounters
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.store import (
    CLASSIFIER_FOLDER,
    EMBEDDER_FOLDER,
    PREDICTION_FOLDER,
    Store,
    package_versions,
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EmbedderOptions:
    """Which front end and backbone make the embeddings."""

    backbone: str = "pseudorca_small"
    weights: str = "official"
    layer: str | None = None
    front_end: str = "common"
    band: str = "16k"
    settings: tuple[tuple[str, Any], ...] = ()
    """Other fields of the front end."""
    adapt_batch_norm: bool = False
    """Recompute batch-norm statistics once over the project's recordings."""


def scan_project(
    store: Store,
    folder: Path,
    options: ScanOptions,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scan a folder into ``recordings`` and ``problems``; what was scanned before is replaced."""
    manifest = scan(folder, options=options, n_workers=n_workers, progress=progress)
    problems = manifest.problems
    store.write("clips", cut(manifest.recordings.iloc[:0])[0])  # first: clips of what is gone
    store.write("problems", problems)
    store.write("recordings", manifest.recordings)
    settings = {"folder": str(folder.resolve())} | asdict(options)
    store.record_run("scan", settings, ("recordings", "problems"))
    return _scan_summary(manifest) | {"folder": settings["folder"]}


def clip_project(
    store: Store, options: ClipOptions, *, selections: Sequence[Path] = ()
) -> dict[str, Any]:
    """Cut the recordings into clips, or only the selections of Raven tables."""
    recordings = _recordings(store)
    chosen = read_raven(selections, recordings) if selections else None
    clips, problems = cut(recordings, options, selections=chosen)
    store.keep_setting("clips", asdict(options))
    store.keep_setting("selections", [str(path.resolve()) for path in selections])
    store.write("clips", clips)
    store.replace("problems", problems, stage="clips")
    store.record_run("clips", asdict(options), ("recordings", "clips"))
    by_class = clips["label"].fillna("unlabelled").value_counts()
    return {
        "n_clips": len(clips),
        "n_moments": int(clips["moment_id"].nunique()),
        "n_padded": int((clips["padded_s"] > 0).sum()),
        "clips_per_class": {str(label): int(n) for label, n in by_class.items()},
        "n_problems": len(problems),
        "problems": problems.to_dict("records"),
    }


def embed_project(
    store: Store,
    options: EmbedderOptions,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Embed all clips, labelled or not, and keep the embedder for the verbs that follow."""
    recordings, clips = _recordings(store), _clips(store)
    embedder = _make_embedder(store, options, recordings, clips, device, precision, progress)
    save_embedder(embedder, store.folder / EMBEDDER_FOLDER)
    result = embed_clips(
        clips,
        recordings,
        embedder,
        store,
        batch_size=batch_size,
        n_workers=n_workers,
        progress=progress,
    )
    store.replace("problems", result.problems, stage="embed")
    about = asdict(options) | {"device": embedder.device, "precision": embedder.precision}
    store.record_run("embed", about | embedder.description(), ("recordings", "clips"))
    backbone = embedder.backbone
    return {
        "embedder_id": embedder.embedder_id,
        "backbone": backbone.name,
        "layer": backbone.layer,
        "weights": backbone.weights_source,
        "weights_hash": backbone.weights_hash,
        "licence": backbone.licence,
        "embedding_size": backbone.embedding_size,
        "front_end": embedder.front_end.settings(),
        "device": embedder.device,
        "n_clips": result.n_clips,
        "n_new": result.n_new,
        "n_problems": len(result.problems),
        "problems": result.problems.to_dict("records"),
        "notices": resampling_notices(recordings, embedder.front_end.sample_rate)
        + band_notices(recordings, embedder.front_end),
    }


def train_project(store: Store, head: Head, *, name: str = "classifier") -> dict[str, Any]:
    """Train a classifier on all labelled clips and save it."""
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise ClassifierError(
            f"a classifier cannot be called {name!r}: use letters, digits, - and _."
        )
    embedder = load_embedder(store.folder / EMBEDDER_FOLDER)
    recordings = _recordings(store)
    clips, notices = labelled_clips(_clips(store), recordings, store, embedder.embedder_id)
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


def evaluate_project(
    store: Store,
    head: Head,
    splits: Sequence[Split],
    *,
    units: Sequence[str] = UNITS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Cross-validate a head under each split; scores and results are kept."""
    embedder = load_embedder(store.folder / EMBEDDER_FOLDER)
    recordings = _recordings(store)
    clips, left_out = labelled_clips(_clips(store), recordings, store, embedder.embedder_id)
    whole = make_training_set(clips, recordings, store, embedder.embedder_id)
    recipe = {"embedder_id": embedder.embedder_id, "head": head.settings()}
    recipe_id = _hash(
        recipe | {"clips": store.setting("clips"), "selections": store.setting("selections")}
    )
    results: list[dict[str, Any]] = []
    notices = left_out + few_encounters(recordings)
    notices += band_notices(recordings, embedder.front_end)
    for split in splits:
        folds = make_folds(clips, recordings, split)
        # Inner folds keep whole what the split keeps whole; what is independent is never less than
        # the encounter.
        independent = whole.groups if split.is_optimistic else folds.units
        data = replace(whole, groups=whole.recordings if split.is_optimistic else folds.units)
        scored = cross_validate(data, folds, head, progress=progress)
        split_id = _hash(asdict(split) | {"recipe": recipe_id, "clips": sorted(folds.clip_ids)})
        found = [
            compute_metrics(
                clips,
                recordings,
                scored.log_probabilities,
                scored.classes,
                unit=unit,
                split=split.name,
                groups=independent,
            )
            for unit in units
        ]
        tables = [
            score_table(
                clips, scores, scored.classes, recipe_id, split_id=split_id, repeat=k,
                fold=folds.test_fold[k],
            )
            for k, scores in enumerate(scored.log_probabilities)
        ]  # fmt: skip
        store.replace("scores", pd.concat(tables, ignore_index=True), split_id=split_id)
        about = {
            "split": asdict(split),
            "group_by": split.group_by,
            "independent": "encounter" if split.is_optimistic else split.group_by,
            "optimistic": split.is_optimistic,
            "recipe": recipe,
            "results": found,
            "not_testable": folds.not_testable,
            "n_straddling_moments": folds.n_straddling_moments,
            "trainings": scored.details,
            "versions": package_versions(),
            "tables": {table: store.version(table) for table in ("recordings", "clips")},
        }
        row = {
            "split_id": split_id,
            "classifier_id": recipe_id,
            "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "result": json.dumps(about, default=_plain),
        }
        store.replace("evaluations", pd.DataFrame([row]), split_id=split_id)
        results += [
            entry | {"split_id": split_id, "not_testable": folds.not_testable} for entry in found
        ]
        if folds.not_testable:
            notices.append(
                f"Split {split.name}: {', '.join(folds.not_testable)} cannot be tested, since a class "
                "would have nothing left to train on; the numbers do not cover them."
            )
        if folds.n_straddling_moments:
            notices.append(
                f"Split {split.name}: {folds.n_straddling_moments} moments stand on both sides "
                "(channels of one sound), as in the study."
            )
    shown = {"splits": [asdict(split) for split in splits], "head": head.settings()}
    store.record_run("evaluate", shown, ("recordings", "clips", "scores", "evaluations"))
    return {"results": results, "recipe": recipe, "classifier_id": recipe_id, "notices": notices}


def predict_project(
    store: Store,
    paths: Sequence[Path] = (),
    *,
    name: str = "classifier",
    output: Path | None = None,
    kind: Format = "csv",
    options: ScanOptions | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict on files and folders, or on the project's unlabelled recordings if none are given."""
    classifier = Classifier.load(
        store.folder / CLASSIFIER_FOLDER / name, device=device, precision=precision
    )
    notices: list[str] = []
    problems = pd.DataFrame(columns=list(PROBLEM_COLUMNS), dtype="string")
    if paths:
        manifest = scan_files(paths, options=options, n_workers=n_workers)
        recordings, problems = manifest.recordings, manifest.problems
    else:
        recordings = _recordings(store)
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
        batch_size=batch_size,
        n_workers=n_workers,
        progress=progress,
    )
    if not found.n_clips:
        notices.append("No clip could be scored: see the problems.")
    problems = pd.concat([problems, found.problems], ignore_index=True)
    folder = output or store.folder / PREDICTION_FOLDER
    write_tables(found.tables | {"problem": problems}, folder, kind=kind)
    store.keep_setting(PREDICTION_FOLDER, str(folder.resolve()))
    key = {"classifier_id": classifier.classifier_id, "split_id": ""}
    store.replace("scores", found.scores, **key)
    store.replace("decisions", found.decisions, **key)
    store.record_run(
        "predict",
        {"paths": [str(path) for path in paths], "classifier_id": classifier.classifier_id},
        ("scores", "decisions"),
    )
    said = found.tables["recording"]["decision"].value_counts()
    return {
        "n_files": len(recordings) + int((problems["stage"] == "scan").sum()),
        "n_clips": found.n_clips,
        "n_problems": len(problems),
        "output": str(folder),
        "classifier_id": classifier.classifier_id,
        "prior": classifier.training.get("prior", "train"),
        "n_encounters": len(found.tables["encounter"]),
        "recordings_per_class": {str(label): int(n) for label, n in said.items()},
        "problems": problems.to_dict("records"),
        "notices": notices,
    }


def folds_project(store: Store, split: Split) -> dict[str, Any]:
    """Make and verify a split, and say what stands where."""
    clips = _clips(store)
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    folds = make_folds(clips, _recordings(store), split)
    rows = []
    for repeat, fold, train, test in folds:
        counts = pd.Series(folds.labels[test]).value_counts()
        rows.append(
            {
                "repeat": repeat,
                "fold": fold,
                "n_train": len(train),
                "n_test": len(test),
                "n_test_groups": len(set(folds.units[test])),
                "test_per_class": {str(label): int(n) for label, n in counts.items()},
            }
        )
    return {
        "split": asdict(split),
        "group_by": split.group_by,
        "n_groups": len(set(folds.units)),
        "n_validation": int(folds.validation.sum()),
        "not_testable": folds.not_testable,
        "n_straddling_moments": folds.n_straddling_moments,
        "folds": rows,
    }


def simulate(
    out: Path,
    *,
    noise: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
    n_workers: int = 1,
    progress: Progress | None = None,
    **named: Any,
) -> dict[str, Any]:
    """Make a survey with known truth; ``named`` and ``settings`` are fields of SurveyConfig.

    Raises
    ------
    SimulationError
        If a setting is unknown or makes no sense, or the folder holds something else.
    """
    known = {field.name for field in fields(SurveyConfig)}
    given = dict(settings or {})
    for name, value in given.items():
        if name not in known:
            raise SimulationError(unknown_name("setting of a survey", name, known))
        if isinstance(value, list):
            given[name] = tuple(value)
    files: list[Path] = []
    for path in noise:
        found = scan_files([path]).recordings if path.is_dir() else None
        files += [path] if found is None else [full_path(row) for row in found.itertuples()]
    config = SurveyConfig(**(named | {"noise_files": tuple(files)} | given))
    summary = simulate_survey(out, config, n_workers=n_workers, progress=progress)
    return {
        "recordings": str(out / "recordings"),
        "truth": str(out / "truth"),
        "n_encounters": summary.n_encounters,
        "n_files": summary.n_files,
        "n_signals": summary.n_signals,
        "duration_s": summary.duration_s,
        "files_per_class": summary.n_clips_by_label,
    }


def prior_of(head: Head) -> str:
    """The class frequencies that a head's probabilities presuppose."""
    return "train" if head.settings()["balance"] == "none" else "uniform"


def _make_embedder(
    store: Store,
    options: EmbedderOptions,
    recordings: pd.DataFrame,
    clips: pd.DataFrame,
    device: str,
    precision: Precision,
    progress: Progress | None,
) -> Embedder:
    labelled = recordings[recordings["label"].notna()]
    rates = (labelled if len(labelled) else recordings)["sample_rate"]
    settings = dict(options.settings)
    if trained_with := backbone_info(options.backbone).front_end_settings:
        if options.front_end != CommonFrontEnd.name:
            raise FrontEndError(
                f"{options.backbone} was trained on pictures of the common front end, and the "
                f"{options.front_end} one draws others. Use --front-end common, or another backbone."
            )
        settings = dict(trained_with) | settings
    front_end = make_front_end(
        options.front_end, band=options.band, lowest_rate=int(rates.min()), settings=settings
    )
    backbone = load_backbone(options.backbone, weights=options.weights, layer=options.layer)
    embedder = Embedder(front_end, backbone, device, precision)
    if not options.adapt_batch_norm:
        return embedder
    batches = picture_batches(clips, recordings, embedder, progress=progress)
    return Embedder(front_end, adapt_batch_norm(embedder.backbone, batches), device, precision)


def _scan_summary(manifest: Manifest) -> dict[str, Any]:
    recordings, problems = manifest.recordings, manifest.problems
    labelled = recordings[recordings["label"].notna()]
    counts = labelled["label"].value_counts().sort_index()
    rates = {str(label): g["sample_rate"].tolist() for label, g in labelled.groupby("label")}
    notices = list(manifest.notices)
    summary: dict[str, Any] = {
        "n_recordings": len(recordings),
        "n_labelled": len(labelled),
        "n_unlabelled": len(recordings) - len(labelled),
        "classes": {str(label): int(n) for label, n in counts.items()},
        "n_encounters": int(recordings["encounter"].nunique()),
        "n_moments": int(recordings["moment_id"].nunique()),
        "duration_s": float(recordings["duration_s"].sum()),
        "n_problems": len(problems),
        "problems": problems.to_dict("records"),
        "n_other_files": manifest.n_other_files,
    }
    if rates:
        band = widest_band(rates)
        front_end = CommonFrontEnd.in_band(band, lowest_rate=min(map(min, rates.values())))
        left_out = sounds_left_out(front_end.fmax_hz)
        text = f"Widest band that 95 % of every class reaches: {band}"
        text += f" (to {front_end.fmax_hz / 1000:.1f} kHz)."
        if left_out:
            text += f" It leaves out {'; '.join(left_out)}."
        notices.append(text)
        summary["proposed_band"] = band
    return summary | {"notices": notices}


def _recordings(store: Store) -> pd.DataFrame:
    recordings = store.read("recordings")
    if recordings.empty:
        raise ManifestError(
            f"{store.folder} holds no recordings. Run: pseudorca scan FOLDER --project {store.folder}"
        )
    return recordings


def _clips(store: Store) -> pd.DataFrame:
    """The clips of the project, cut as the defaults say if nobody said otherwise."""
    clips = store.read("clips")
    if clips.empty:
        options = ClipOptions(**(store.setting("clips") or {}))
        clip_project(
            store, options, selections=[Path(p) for p in store.setting("selections") or ()]
        )
        clips = store.read("clips")
    return clips


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_plain)
    return xxhash.xxh3_128(text.encode()).hexdigest()[:20]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)

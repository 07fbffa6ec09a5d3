"""Recordings to scores and decisions by a saved classifier."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.embedding.computing import Computing
from pseudorca.embedding.gate import Gate
from pseudorca.errors import ClassifierError, FoldError, ManifestError, StoreError, unknown_name
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.classic import ClassicFrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.reach import heard_up_to_hz, resampling_notices
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.learning.classifier import Classifier
from pseudorca.prediction.detections import DetectionFinder
from pseudorca.prediction.effort import Effort, find_gaps
from pseudorca.prediction.files import PredictionFiles
from pseudorca.prediction.predictor import Predictions, Predictor
from pseudorca.prediction.rules import DecisionOptions, decision_rules
from pseudorca.progress import Progress
from pseudorca.recordings import places
from pseudorca.recordings.bands import COMMON
from pseudorca.recordings.folds import OTHER, group_values
from pseudorca.recordings.manifest import ScanOptions, project_recordings, scan_files
from pseudorca.recordings.timeline import timeline
from pseudorca.store import (
    CLASSIFIER_FOLDER,
    PREDICTION_FOLDER,
    Store,
    condition,
    problem_table,
    shown_problems,
)

_LONG_S = 60.0
_MOST_NAMES = 3  # of files and folders in the name of their set
_REACHED = ("all", COMMON)  # bands that every recording in training reached


def predict_project(
    store: Store,
    paths: Sequence[str | Path] = (),
    *,
    name: str = "classifier",
    set_name: str | None = None,
    decision: DecisionOptions | None = None,
    gate_db: float | None = None,
    output: Path | None = None,
    kinds: Sequence[str] = ("csv",),
    max_gap_s: float = 0.0,
    options: ScanOptions | None = None,
    computing: Computing | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict on files and folders, or on the project's unlabelled recordings if none are given.

    ``kinds`` are names of :data:`pseudorca.formats.registry.FORMATS`; clips of one name that lie
    no more than ``max_gap_s`` apart are one detection. Windows in which nothing stands out by
    ``gate_db`` decibels are passed over, and counted. ``progress`` is in seconds of sound. Where
    there is no clip that could be listened to, nothing is written: what was said last is kept.
    Predictions are kept under ``set_name`` (None: the name of the files or folders, or
    ``unlabelled``) and replace those of this set and this classifier alone.
    """
    computing = computing or Computing()
    classifier = _classifier(store, name, computing)
    cut_short: list[str] = []
    problems = problem_table([])
    if paths:
        manifest = scan_files(paths, options=options, n_threads=computing.n_threads)
        recordings, problems = manifest.recordings, manifest.problems
        if recordings.empty and problems.empty:
            raise ManifestError(f"no audio files in {', '.join(map(str, paths))}.")
        cut_short = manifest.cut_short
    else:
        recordings = project_recordings(store)
        recordings = recordings[recordings["label"].isna()].reset_index(drop=True)
        if recordings.empty:
            raise ManifestError(
                "the project has no unlabelled recordings. Name files or folders to predict on."
            )
    wishes = {"name": name, "gate_db": gate_db, "set_name": set_name or _set_name(paths)}
    said = _predict(
        store, classifier, recordings, problems, wishes, decision=decision, output=output,
        kinds=kinds, max_gap_s=max_gap_s, computing=computing, progress=progress,
    )  # fmt: skip
    return said | {"notices": cut_short + said["notices"]}


def decide_again(
    store: Store,
    *,
    decision: DecisionOptions,
    set_name: str | None = None,
    output: Path | None = None,
    kinds: Sequence[str] = ("csv",),
    max_gap_s: float = 0.0,
    computing: Computing | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Decide anew on what was predicted; embeddings are kept, so no sound is read again.

    ``set_name``: the set of predictions; None: the last one.

    Raises
    ------
    StoreError
        If nothing was predicted yet, or nothing under this name.
    """
    runs = store.read("runs", where="verb = 'predict'")
    if runs.empty:
        raise StoreError(
            f"nothing was predicted in {store.folder}. Run: pseudorca predict --project {store.folder}"
        )
    made = [json.loads(text) for text in runs.sort_values("time_utc", kind="stable")["settings"]]
    by_set = {settings["set_name"]: settings for settings in made}
    if set_name is not None and set_name not in by_set:
        raise StoreError(unknown_name("set of predictions", set_name, by_set))
    last = made[-1] if set_name is None else by_set[set_name]
    of_set = condition({"set_name": last["set_name"]})
    recordings, problems = (
        store.read(table, where=of_set).drop(columns="set_name")
        for table in ("predicted", "predicted_problems")
    )
    computing = computing or Computing()
    return _predict(
        store, _classifier(store, last["name"], computing), recordings, problems,
        {key: last[key] for key in ("name", "gate_db", "set_name")}, decision=decision,
        output=output, kinds=kinds, max_gap_s=max_gap_s, computing=computing, progress=progress,
    )  # fmt: skip


def _set_name(paths: Sequence[str | Path]) -> str:
    """What files and folders that are predicted together are called."""
    names = list(dict.fromkeys(_name_of(path) for path in paths))
    if len(names) > _MOST_NAMES:
        return f"{names[0]} and {len(names) - 1} more"
    return " + ".join(names) or "unlabelled"


def _name_of(path: str | Path) -> str:
    place = places.absolute(path)
    if places.is_remote(place):  # what follows may be a password
        place = place.partition("?")[0]
    return places.name_of(place)


def _replaced_notices(store: Store, set_name: str, roots: list[str]) -> list[str]:
    """Say that a set of the same name, of other recordings, was replaced."""
    key = condition({"set_name": set_name})
    before = sorted(set(store.read("predicted", where=key, columns=["root"])["root"]))
    if not before or before == roots:
        return []
    return [
        f"The set {set_name!r} held predictions on recordings of {', '.join(before)}; they were "
        "replaced. To keep both, give each a name with --set-name."
    ]


def _classifier(store: Store, name: str, computing: Computing) -> Classifier:
    folder = store.folder / CLASSIFIER_FOLDER / name
    return Classifier.load(folder, device=computing.device, precision=computing.precision)


def _predict(
    store: Store,
    classifier: Classifier,
    recordings: pd.DataFrame,
    problems: pd.DataFrame,
    wishes: dict[str, Any],
    *,
    decision: DecisionOptions | None,
    output: Path | None,
    kinds: Sequence[str],
    max_gap_s: float,
    computing: Computing,
    progress: Progress | None,
) -> dict[str, Any]:
    rules, chosen, notices = decision_rules(classifier, decision or DecisionOptions())
    front_end, gate_db = classifier.embedder.front_end, wishes["gate_db"]
    set_name = wishes["set_name"]
    if len(recordings):
        notices += _notices(recordings, classifier, is_gated=gate_db is not None)
    gate = None if gate_db is None else Gate.for_front_end(gate_db, front_end)
    folder = output or store.folder / PREDICTION_FOLDER
    with computing.workers() as workers:
        predictor = Predictor(
            classifier,
            store,
            rules,
            computing.batch_size,
            computing.n_threads,
            gate,
            workers,
            set_name,
        )
        said = _predict_all(predictor, recordings, problems, folder, kinds, max_gap_s, progress)
    made = classifier.preparation
    if made.centre != "none":
        notices.append(
            f"Embeddings are centred by {made.centre} over what is predicted together (about 4,096 "
            f"clips): what is said of a clip depends on the others. {said['n_small_groups']} groups "
            "have so few clips that little is left of them."
        )
    if not said["n_clips"] + said["n_quiet"]:
        notices.append(
            "No clip could be listened to: see the problems. Nothing was written; the tables of the "
            "last prediction, if there was one, are as they were."
        )
    else:
        store.keep_setting(PREDICTION_FOLDER, str(folder.resolve()))
        roots = sorted(set(recordings["root"]))
        notices += _replaced_notices(store, set_name, roots)
        for table, rows in (("predicted", recordings), ("predicted_problems", problems)):
            named = rows.assign(set_name=pd.Series(set_name, index=rows.index, dtype="string"))
            store.replace(table, named, set_name=set_name)
        asked = {
            "roots": roots,
            "classifier_id": classifier.classifier_id,
            "decision": asdict(decision or DecisionOptions()),
            "thresholds": chosen,
        }
        store.record_run("predict", wishes | asked, ("scores", "decisions"))
    return said | {
        "output": str(folder),
        "set_name": set_name,
        "classifier_id": classifier.classifier_id,
        "prior": rules["encounter"].prior.name,
        "calibrated": bool(classifier.calibrators),
        "thresholds": chosen,
        "notices": notices,
    }


def _notices(recordings: pd.DataFrame, classifier: Classifier, *, is_gated: bool) -> list[str]:
    """What a user should know of these recordings and this classifier."""
    heard = set(classifier.training.get("moments", ()))
    rates = dict.fromkeys(one.front_end.sample_rate for one in classifier.embedder.members)
    notices = [text for rate in rates for text in resampling_notices(recordings, rate)]
    if n_heard := int(recordings["moment_id"].isin(heard).sum()):
        notices.insert(
            0,
            f"{n_heard} of these {len(recordings)} recordings trained the classifier: what it says of "
            "them proves nothing (column in_training).",
        )
    notices += _centring_notices(recordings, classifier.preparation.centre)
    for member in classifier.embedder.members:
        front_end = member.front_end
        if isinstance(front_end, CommonFrontEnd | ClassicFrontEnd) and front_end.band in _REACHED:
            is_short = ~recordings["sample_rate"].map(front_end.reached_by).astype(bool)
            if is_short.any():
                notices.append(
                    f"{int(is_short.sum())} of these {len(recordings)} recordings do not reach as high "
                    f"as all in training did ({(heard_up_to_hz(front_end) or 0) / 1000:.1f} kHz): do "
                    "not take what is missing there for the animals."
                )
    knows_noise = is_gated or OTHER in classifier.classes
    if not knows_noise and (recordings["duration_s"] > _LONG_S).any():
        notices.append(
            "Long recordings mostly hold noise, and this classifier never heard any: it names it, too. "
            "Pass over windows without signal with --gate 12, or train with folders of noise (scan "
            "... --other Noise)."
        )
    return notices


def _centring_notices(recordings: pd.DataFrame, centre: str) -> list[str]:
    """Say how many recordings lack what embeddings are centred by; an error if all do."""
    if centre in ("none", "encounter", "recording"):
        return []
    try:
        values = group_values(recordings, recordings, centre)
    except FoldError as error:
        raise ClassifierError(
            f"this classifier's embeddings are centred by {centre}, and none of these recordings has "
            "one. Give it with --metadata, or train without --prepare centre."
        ) from error
    n_without = int((values == "encounter " + recordings["encounter"].astype(str)).sum())
    if not n_without:
        return []
    return [
        f"{n_without} of {len(recordings)} recordings have no {centre}: they are centred by encounter, "
        "which takes off what its animals have in common, too."
    ]


def _heard(front_end: FrontEnd) -> tuple[float, float] | None:
    """From where to where, in Hz, a classifier hears; None: all there is."""
    top_hz = heard_up_to_hz(front_end)
    if isinstance(front_end, SlowFrontEnd):
        low_hz = front_end.factor * getattr(front_end.front_end, "fmin_hz", 0.0)
    else:
        low_hz = getattr(front_end, "fmin_hz", 0.0)
    return None if top_hz is None else (low_hz, top_hz)


def _predict_all(
    predictor: Predictor,
    recordings: pd.DataFrame,
    problems: pd.DataFrame,
    folder: Path,
    kinds: Sequence[str],
    max_gap_s: float,
    progress: Progress | None,
) -> dict[str, Any]:
    """Predict portion by portion into the store and the files; returns what was said and counted."""
    classifier, store = predictor.classifier, predictor.store
    channels, band_hz = classifier.clip_options.channels, _heard(classifier.embedder.front_end)
    line = timeline(recordings)
    finder = DetectionFinder(recordings, max_gap_s=max_gap_s, line=line)
    labels = [label for label in classifier.classes if label != OTHER]
    effort = Effort(recordings, labels, line=line)
    per_recording: Counter[str] = Counter()
    problems = shown_problems(problems)
    n_clips = n_quiet = 0
    waiting: list[Predictions] = []
    written: dict[str, list[Path]] = {}
    encounters, detections = (pd.DataFrame(columns=["decision"]) for _ in range(2))
    with PredictionFiles(
        folder, recordings, kinds=kinds, max_gap_s=max_gap_s, band_hz=band_hz,
        channel=int(channels) if channels.isdecimal() else 1, line=line,
    ) as files:  # fmt: skip
        small: set[str] = set()
        for said in predictor.portions(recordings, line=line, progress=progress):
            problems = pd.concat([problems, shown_problems(said.problems)], ignore_index=True)
            small.update(said.small)
            waiting.append(said)
            is_first = not n_clips + n_quiet
            n_clips += said.n_clips
            n_quiet += len(said.quiet)
            if not n_clips + n_quiet:
                continue
            if is_first:  # before there is something to say, what was said last stays
                for table in ("scores", "decisions"):
                    store.delete(
                        table, classifier_id=classifier.classifier_id, split_id="",
                        set_name=predictor.set_name,
                    )  # fmt: skip
            for some in waiting:
                store.append("scores", some.scores)
                store.append("decisions", some.decisions)
                files.add(some.tables, some.recordings)
                finder.add(some.tables["clip"])
                effort.add(some.tables["clip"], some.quiet)
                per_recording.update(some.tables["recording"]["decision"].tolist())
            waiting.clear()
        if n_clips + n_quiet:
            encounters, decided = predictor.encounters()
            store.append("decisions", decided)
            detections = finder.table()
            written = files.finish(
                {
                    "encounter": encounters,
                    "hour": effort.table(detections, per="hour"),
                    "day": effort.table(detections, per="day"),
                    "detection": detections,
                    "gap": find_gaps(recordings, line=line),
                    "problem": problems,
                }
            )
    return {
        "n_files": len(recordings) + int((problems["stage"] == "scan").sum()),
        "n_clips": n_clips,
        "n_quiet": n_quiet,
        "n_problems": len(problems),
        "n_detections": len(detections),
        "n_small_groups": len(small),
        "files": {kind: len(paths) for kind, paths in written.items()},
        "n_encounters": len(encounters),
        "recordings_per_class": dict(sorted(per_recording.items())),
        "encounters_per_class": dict(sorted(Counter(encounters["decision"].tolist()).items())),
        "problems": problems.to_dict("records"),
    }

"""Recordings to scores and decisions by a saved classifier."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from pseudorca.access import created, locked
from pseudorca.embedding.cluster import workers_of
from pseudorca.embedding.gate import Gate
from pseudorca.embedding.options import Computing
from pseudorca.errors import (
    ClassifierError,
    ManifestError,
    PseudorcaError,
    StoreError,
    unknown_name,
)
from pseudorca.evaluation.trust import Trust
from pseudorca.learning.classifier import Classifier, is_name, saved_id
from pseudorca.prediction.decisions import Rule, contradictions, decision_rules
from pseudorca.prediction.detections import DetectionFinder
from pseudorca.prediction.effort import Effort, find_gaps
from pseudorca.prediction.files import PredictionFiles, check_formats
from pseudorca.prediction.options import CsvStyle, DecisionOptions, check_csv, check_gap
from pseudorca.prediction.predictor import Predictions, Predictor, with_trust
from pseudorca.prediction.result import PredictionResult, table_stamps
from pseudorca.prediction.sets import (
    check_set_name,
    default_folder,
    kept_place,
    last_settings,
    name_for,
    roots_of,
)
from pseudorca.prediction.suitability import (
    heard_hz,
    project_notices,
    rate_notices,
    suitability_notices,
)
from pseudorca.progress import Progress
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.manifest import Manifest, project_recordings, scan_files
from pseudorca.recordings.notices import silent_notice
from pseudorca.recordings.options import ScanOptions
from pseudorca.recordings.timeline import timeline
from pseudorca.store import (
    CLASSIFIER_FOLDER,
    Store,
    condition,
    named_set,
    problem_table,
    shown_problems,
)
from pseudorca.values import nfc

CLASSIFIER = "classifier"
"""The default name of a classifier."""


class SavedClassifier(Protocol):
    """An object with the folder of a saved classifier, such as the result of ``train``."""

    @property
    def folder(self) -> Path: ...


AnyClassifier = str | Path | Classifier | SavedClassifier
"""A name in the project, a folder, a classifier, or the result of ``train``."""


@dataclass(frozen=True)
class _Task:
    """A prediction to make: recordings, classifier and rules."""

    name: str | None
    """Name of the classifier in the project; None: the classifier is not of the project."""
    set_name: str
    classifier: Classifier
    recordings: pd.DataFrame
    problems: pd.DataFrame
    unusable: pd.DataFrame
    """Files with a problem whose length is known."""
    decision: DecisionOptions
    rules: dict[str, Rule]
    """Rule by kind of unit."""
    thresholds: dict[str, Any]
    gate_db: float | None
    max_gap_s: float
    notices: list[str]
    """Notices on the rules."""
    csv: CsvStyle
    of_files: list[str] = field(default_factory=list)
    """Notices on single files and names."""


def predict_project(
    store: Store,
    paths: Sequence[str | Path] = (),
    classifier: AnyClassifier = CLASSIFIER,
    *,
    set_name: str | None = None,
    decision: DecisionOptions | None = None,
    gate_db: float | None = None,
    output: Path | None = None,
    formats: Sequence[str] = ("csv",),
    csv: CsvStyle = "plain",
    max_gap_s: float = 0.0,
    options: ScanOptions | None = None,
    computing: Computing | None = None,
    working_folder: Path | None = None,
    progress: Progress | None = None,
) -> PredictionResult:
    """Predict on files and folders, or on the project's unlabelled recordings if none are given.

    If no clip can be read, nothing is written, and the last predictions are kept.

    Parameters
    ----------
    store : Store
    paths : list of paths and addresses of files and folders
    classifier : name in the project, folder, Classifier, or the result of ``train``
    set_name : str or None
        The name of the set. New predictions replace those of the same set and classifier only. None:
        the name of the files or folders, with a number if a set of other recordings has that name
        already; or ``unlabelled``
    decision : DecisionOptions or None
    gate_db : float or None
        Windows whose loudest sound exceeds the background by less are left out, and counted
    output : path or None, folder of the tables; None: ``predictions/SET`` in the project
    formats : names from :data:`pseudorca.formats.registry.FORMATS`
    csv : ``plain``, or ``excel``: with the mark of UTF-8, and no text runs as a formula
    max_gap_s : float, seconds
        Greatest gap between clips of one detection
    options : ScanOptions or None, how the names of the files are read
    computing : Computing or None
    working_folder : path or None
        A project that keeps embeddings, scores and decisions, created if missing, for a project that
        cannot be written to. None: ``store``
    progress : callable (done, total) or None, over seconds of sound

    Returns
    -------
    PredictionResult

    Raises
    ------
    ClassifierError
        If there is no such classifier, or it cannot be used on these recordings.
    ManifestError
        If there are no recordings to predict on.
    PseudorcaError
        If a format or a rule is not valid.
    """
    computing = computing or Computing()
    check_formats(formats)
    check_csv(csv, formats)
    check_gap(max_gap_s)
    _check_output(output)
    check_set_name(set_name)
    name, loaded = _find_classifier(store, classifier, computing)
    decision = decision or DecisionOptions()
    rules, thresholds, notices = decision_rules(loaded, decision)
    if gate_db is not None:
        Gate.for_front_end(gate_db, loaded.embedder.front_end)
    manifest = _task_recordings(store, paths, options, computing)
    recordings, problems = manifest.recordings, manifest.problems
    task = _Task(
        name, nfc(set_name or name_for(store, paths, recordings)), loaded, recordings, problems,
        manifest.unusable, decision, rules, thresholds, gate_db, max_gap_s,
        manifest.told + notices, csv, manifest.file_notices,
    )  # fmt: skip
    how: dict[str, Any] = {"formats": formats, "computing": computing, "progress": progress}
    if working_folder is None:
        return _predict(store, task, output or default_folder(store, task.set_name), **how)
    with created(working_folder) as kept:
        return _predict(kept, task, output or default_folder(kept, task.set_name), **how)


def decide_project(
    store: Store,
    *,
    set_name: str | None = None,
    decision: DecisionOptions | None = None,
    output: Path | None = None,
    formats: Sequence[str] = ("csv",),
    csv: CsvStyle = "plain",
    max_gap_s: float = 0.0,
    computing: Computing | None = None,
    progress: Progress | None = None,
) -> PredictionResult:
    """Decide anew on earlier predictions, from kept embeddings: no sound is read.

    Parameters
    ----------
    set_name : str or None
        The set of predictions; None: the last one
    store, decision, output, formats, csv, max_gap_s, computing, progress
        See :func:`predict_project`.

    Returns
    -------
    PredictionResult

    Raises
    ------
    StoreError
        If there are no predictions yet, or none of this set.
    """
    check_formats(formats)
    check_csv(csv, formats)
    check_gap(max_gap_s)
    _check_output(output)
    by_set = last_settings(store)
    if not by_set:
        raise StoreError(
            f"nothing was predicted in {store.folder}. Run: pseudorca predict --project {store.folder}"
        )
    set_name = set_name and nfc(set_name)
    if set_name is not None and set_name not in by_set:
        raise StoreError(unknown_name("set of predictions", set_name, by_set))
    last = by_set[set_name or list(by_set)[-1]]
    of_set = condition({"set_name": last["set_name"]})
    recordings, problems, unusable = (
        store.read(table, where=of_set).drop(columns="set_name")
        for table in ("predicted", "predicted_problems", "unusable")
    )
    computing = computing or Computing()
    name = _name_by_id(store).get(last["classifier_id"])
    if name is None:
        raise ClassifierError(
            f"the classifier {last['name']!r} that predicted the set {last['set_name']!r} "
            f"({last['classifier_id']}) is no longer in {store.folder}. "
            "Predict again: pseudorca predict"
        )
    _, classifier = _find_classifier(store, name, computing)
    decision = decision or DecisionOptions()
    rules, thresholds, notices = decision_rules(classifier, decision)
    task = _Task(
        name, last["set_name"], classifier, recordings, problems, unusable, decision, rules,
        thresholds,
        last["gate_db"], max_gap_s, notices, csv,
    )  # fmt: skip
    return _predict(
        store, task, output or default_folder(store, task.set_name), formats=formats,
        computing=computing, progress=progress,
    )  # fmt: skip


def _replaced_notices(store: Store, set_name: str, roots: list[str]) -> list[str]:
    """A notice if the set replaced one of the same name, of other recordings."""
    before = sorted(roots_of(store, set_name))
    if not before or before == roots:
        return []
    return [
        f"The set {set_name!r} held predictions on recordings of {', '.join(before)}; they were "
        "replaced. To keep both, give each a name of its own with --as."
    ]


def _check_output(output: Path | None) -> None:
    """PseudorcaError if the tables cannot go where they shall."""
    if output is not None and output.exists() and not output.is_dir():
        raise PseudorcaError(f"--out {output}: expected a folder, and it is a file.")


def _find_classifier(
    store: Store, classifier: AnyClassifier, computing: Computing
) -> tuple[str | None, Classifier]:
    """A classifier, and its name if it is one of the project."""
    if isinstance(classifier, Classifier):
        return None, classifier
    name = nfc(classifier) if isinstance(classifier, str) and is_name(classifier) else None
    place = (
        classifier if isinstance(classifier, str | Path) else getattr(classifier, "folder", None)
    )
    if not isinstance(place, str | Path):
        raise ClassifierError(
            f"classifier: expected its name, its folder, a Classifier or the result of train, got "
            f"{classifier!r}."
        )
    folder = store.folder / CLASSIFIER_FOLDER / name if name is not None else Path(place)
    return name, Classifier.load(folder, device=computing.device, precision=computing.precision)


def _kept_name(store: Store, task: _Task) -> str:
    """The name of the classifier in the project; a classifier from elsewhere is saved first."""
    folder, classifier_id = store.folder / CLASSIFIER_FOLDER, task.classifier.classifier_id
    if task.name is not None and saved_id(folder / task.name) == classifier_id:
        return task.name
    names = _name_by_id(store)
    if classifier_id in names:
        return names[classifier_id]
    name = task.name if task.name and task.name not in names.values() else classifier_id
    task.classifier.save(folder / name)
    return name


def _name_by_id(store: Store) -> dict[str | None, str]:
    """The names of the classifiers of a project, by their ids."""
    paths = sorted((store.folder / CLASSIFIER_FOLDER).glob("*/classifier.json"), reverse=True)
    return {saved_id(path.parent): path.parent.name for path in paths}


def _task_recordings(
    store: Store,
    paths: Sequence[str | Path],
    options: ScanOptions | None,
    computing: Computing,
) -> Manifest:
    """The recordings to predict on, and what is to say of them."""
    if paths:
        manifest = scan_files(paths, options=options, n_threads=computing.n_threads)
        if manifest.recordings.empty and manifest.problems.empty:
            raise ManifestError(f"no audio files in {', '.join(map(str, paths))}.")
        return manifest
    recordings = project_recordings(store)
    recordings = recordings[recordings["label"].isna()].reset_index(drop=True)
    if recordings.empty:
        raise ManifestError(
            "the project has no unlabelled recordings. Name files or folders to predict on."
        )
    unusable = store.read("unusable", where=condition({"set_name": ""}))
    unusable = unusable[unusable["label"].isna()].drop(columns="set_name")
    silent = recordings.loc[recordings["start_utc"].isna(), "path"].tolist()
    sources = recordings["time_source"].dropna().value_counts().to_dict()
    told = silent_notice(silent, sources, len(recordings))
    return Manifest(recordings, problem_table([]), [], 0, [], unusable, told)


def _predict(
    store: Store,
    task: _Task,
    folder: Path,
    *,
    formats: Sequence[str],
    computing: Computing,
    progress: Progress | None,
) -> PredictionResult:
    classifier, recordings = task.classifier, task.recordings
    answer = _answer(store, task, folder, formats, computing, progress, is_kept=True)
    notices = list(task.notices)
    if len(recordings):
        suited = suitability_notices(recordings, classifier, is_gated=task.gate_db is not None)
        notices = [*project_notices(store, classifier), *suited, *notices]
        notices += rate_notices(recordings, classifier)
    notices = [*contradictions(answer.encounters, answer.named), *notices, *task.of_files]
    preparation = classifier.preparation
    if preparation.centre != "none":
        notices.append(
            f"Embeddings are centred by {preparation.centre} over what is predicted together (about "
            f"4,096 clips): the prediction of a clip depends on the others. Groups of so few clips "
            f"that little is left of them: {answer.n_small_groups}."
        )
    if not answer.n_clips + answer.n_quiet:
        notices.insert(
            0,
            "No clip could be listened to: see the problems. Nothing was written; the tables of the "
            "last prediction, if there was one, are as they were.",
        )
    else:
        roots = sorted(set(recordings["root"]))
        notices = [*_replaced_notices(store, task.set_name, roots), *notices]
        given = {"predicted": recordings, "predicted_problems": task.problems,
                 "unusable": task.unusable}  # fmt: skip
        for table, rows in given.items():
            store.replace(table, named_set(rows, task.set_name), set_name=task.set_name)
        settings = {
            "name": _kept_name(store, task),
            "gate_db": task.gate_db,
            "set_name": task.set_name,
            "roots": roots,
            "output": kept_place(store, folder),
            "classifier_id": classifier.classifier_id,
            "decision": asdict(task.decision),
            "thresholds": task.thresholds,
        }
        store.record_run("predict", settings, ("scores", "decisions"), notices=notices)
    alone = replace(computing, n_workers=None, cluster=None)  # all clips are embedded already
    return PredictionResult(
        output=folder,
        set_name=task.set_name,
        classifier_id=classifier.classifier_id,
        classes=classifier.classes,
        prior=task.rules["encounter"].prior.name,
        calibrated=bool(classifier.calibrators),
        thresholds=task.thresholds,
        trust=Trust.from_json(classifier.trust),
        n_files=len(recordings) + int((answer.problems["stage"] == "scan").sum()),
        n_clips=answer.n_clips,
        n_quiet=answer.n_quiet,
        n_detections=answer.n_detections,
        n_small_groups=answer.n_small_groups,
        n_encounters=len(answer.encounters),
        files=answer.files,
        recordings_per_class=dict(sorted(answer.recordings_per_class.items())),
        encounters_per_class=dict(sorted(answer.encounters_per_class.items())),
        problems=answer.problems,
        notices=notices,
        _write=partial(_write_again, store, task, computing=alone),
        _stamps=table_stamps(answer.files),
    )


def _write_again(
    store: Store,
    task: _Task,
    folder: Path,
    *,
    formats: Sequence[str],
    computing: Computing,
    progress: Progress | None,
) -> dict[str, list[Path]]:
    """Write earlier predictions again, from kept embeddings; returns the files."""
    with locked(store):
        return _answer(store, task, folder, formats, computing, progress, is_kept=False).files


@dataclass
class _Answer:
    """Counts and problems so far, portion after portion."""

    problems: pd.DataFrame
    n_clips: int = 0
    n_quiet: int = 0
    encounters: pd.DataFrame = field(default_factory=pd.DataFrame)
    named: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By encounter: how many of its recordings have each name."""
    n_detections: int = 0
    n_small_groups: int = 0
    recordings_per_class: Counter[str] = field(default_factory=Counter)
    encounters_per_class: Counter[str] = field(default_factory=Counter)
    files: dict[str, list[Path]] = field(default_factory=dict)


def _answer(
    store: Store,
    task: _Task,
    folder: Path,
    formats: Sequence[str],
    computing: Computing,
    progress: Progress | None,
    *,
    is_kept: bool,
) -> _Answer:
    """Predict portion by portion into the files and, with ``is_kept``, into the store."""
    classifier, recordings = task.classifier, task.recordings
    front_end = classifier.embedder.front_end
    gate = None if task.gate_db is None else Gate.for_front_end(task.gate_db, front_end)
    line = timeline(recordings)
    finder = DetectionFinder(recordings, max_gap_s=task.max_gap_s, line=line)
    labels = [label for label in classifier.classes if label != OTHER]
    effort = Effort(recordings, labels, line=line)
    answer = _Answer(shown_problems(task.problems))
    waiting: list[Predictions] = []
    small: set[str] = set()
    channels = classifier.clip_options.channels
    with (
        workers_of(computing) as workers,
        PredictionFiles(
            folder, recordings, kinds=formats, max_gap_s=task.max_gap_s, band_hz=heard_hz(front_end),
            channel=int(channels) if channels.isdecimal() else 1, line=line,
            unusable=task.unusable, for_excel=task.csv == "excel",
            trust=Trust.from_json(classifier.trust),
        ) as files,
    ):  # fmt: skip
        predictor = Predictor(
            classifier,
            store,
            task.rules,
            computing.batch_size,
            computing.n_threads,
            gate,
            workers,
            task.set_name,
        )
        for predictions in predictor.portions(recordings, line=line, progress=progress):
            answer.problems = pd.concat(
                [answer.problems, shown_problems(predictions.problems)], ignore_index=True
            )
            small.update(predictions.small)
            waiting.append(predictions)
            is_first = not answer.n_clips + answer.n_quiet
            answer.n_clips += predictions.n_clips
            answer.n_quiet += len(predictions.quiet)
            if not answer.n_clips + answer.n_quiet:
                continue
            if is_first and is_kept:  # the last predictions stay until there are new ones
                for table in ("scores", "decisions"):
                    store.delete(
                        table, classifier_id=classifier.classifier_id, split_id="",
                        set_name=task.set_name,
                    )  # fmt: skip
            for portion in waiting:
                if is_kept:
                    store.append("scores", portion.scores)
                    store.append("decisions", portion.decisions)
                files.add(portion.tables, portion.recordings)
                finder.add(portion.tables["clip"])
                effort.add(portion.tables["clip"], portion.quiet)
                decided_as = portion.tables["recording"]["decision"]
                answer.recordings_per_class.update(decided_as.tolist())
                for encounter, name in zip(
                    portion.tables["recording"]["encounter"], decided_as, strict=True
                ):
                    answer.named[str(encounter)][str(name)] += 1
            waiting.clear()
        answer.n_small_groups = len(small)
        if not answer.n_clips + answer.n_quiet:
            return answer
        encounters, decided = predictor.encounters()
        if is_kept:
            store.append("decisions", decided)
        detections = finder.table()
        answer.encounters, answer.n_detections = encounters, len(detections)
        answer.encounters_per_class.update(encounters["decision"].tolist())
        trust = Trust.from_json(classifier.trust)
        answer.files = files.finish(
            {
                "encounter": encounters,
                "hour": with_trust(effort.table(detections, per="hour"), trust),
                "day": with_trust(effort.table(detections, per="day"), trust),
                "detection": with_trust(detections, trust),
                "gap": find_gaps(recordings, line=line),
                "problem": answer.problems,
            }
        )
    return answer

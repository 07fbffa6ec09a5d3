"""Scan folders of a survey: usable recordings, and files with problems.

In: a folder or its URL (class folders, encounter folders, audio files of any kind, also broken files),
and optionally a table of metadata. Out: a :class:`Manifest` with the tables ``recordings`` and
``problems``. Every audio file is in exactly one of the two tables. A folder that cannot be listed is
one problem. A file needs at most 32 MiB of memory per thread, whatever its header says.
"""

import json
import os
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import pandas as pd

from pseudorca.errors import AudioError, ManifestError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings import audio, places
from pseudorca.recordings.clocks import doubtful_times, read_zone
from pseudorca.recordings.headers import header_time
from pseudorca.recordings.metadata import Metadata, check_joins, join_metadata, read_metadata
from pseudorca.recordings.naming import (
    compile_pattern,
    cut_at_gaps,
    folded,
    moment_of,
    name_encounter,
    name_recorders,
    read_names,
    refuse_answers,
    time_fields,
)  # fmt: skip
from pseudorca.recordings.notices import (
    collection_notices,
    file_notices,
    format_notices,
    left_behind_notice,
    pattern_notices,
    spelling_notices,
    time_notices,
)
from pseudorca.recordings.options import NOTHING, ScanOptions
from pseudorca.recordings.places import Place
from pseudorca.store import Store, as_table
from pseudorca.values import hash_of, nfc

_T = TypeVar("_T")
_R = TypeVar("_R")

_REMOTE_WORKERS = 16
_FILES_AHEAD = 8  # per worker


@dataclass
class Manifest:
    """The result of a scan.

    Examples
    --------
    >>> manifest = Manifest(as_table("recordings", []), as_table("problems", []), ["Empty."], 3, [])
    >>> len(manifest.recordings), manifest.n_other_files
    (0, 3)
    """

    recordings: pd.DataFrame
    """A row per usable file."""
    problems: pd.DataFrame
    """A row per file that cannot be used."""
    notices: list[str]
    """Sentences about the whole collection."""
    n_other_files: int
    """Files that are not audio by their names (tables, pictures, notes)."""
    file_notices: list[str]
    """Those of the notices that are about single files: cut short, damaged, of formats nobody reads."""
    unusable: pd.DataFrame = field(default_factory=lambda: as_table("recordings", []))
    """The files with a problem whose length is known, in the columns of ``recordings``."""
    told: list[str] = field(default_factory=list)
    """Those about names, times and files left out, which ``predict`` gives, too."""


def scan(
    folder: Place,
    *,
    options: ScanOptions | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Find the recordings below a folder.

    Parameters
    ----------
    folder : path or URL
    options : ScanOptions or None
    n_threads : int or None
        Threads that read and hash. None takes one per core, and 16 for a URL.
    progress : callable (done, total) or None

    Returns
    -------
    Manifest

    Raises
    ------
    ManifestError
        If the folder does not exist or cannot be reached, the metadata cannot be joined, or one
        sound stands under two labels (unless ``options.on_conflict`` is ``drop``).

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import soundfile as sf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "Insular").mkdir()
    ...     sf.write(Path(folder, "Insular", "a.wav"), np.linspace(-0.5, 0.5, 8_000), 16_000)
    ...     Path(folder, "b.wav").touch()
    ...     manifest = scan(folder)
    >>> manifest.recordings[["path", "label", "duration_s"]].values.tolist()
    [['Insular/a.wav', 'Insular', 0.5]]
    >>> manifest.problems[["path", "reason"]].values.tolist()
    [['b.wav', 'empty file']]
    """
    options = options or ScanOptions()
    if not places.is_remote(folder) and not places.is_folder(folder):
        raise ManifestError(f"{folder} is not a folder. Give the folder that holds the recordings.")
    return _build([_walk(folder)], options, n_threads, progress)


def scan_files(
    paths: Sequence[Place],
    *,
    options: ScanOptions | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Scan files and folders for prediction: like :func:`scan`, but without labels.

    Equal names of folders below two of the given folders are two encounters, unless the names are of
    platform and number. A URL is a file if the URL ends like the name of an audio file.

    Parameters
    ----------
    paths : sequence of paths or URLs of audio files and folders
    options, n_threads, progress : see :func:`scan`

    Returns
    -------
    Manifest

    Raises
    ------
    ManifestError
        If a path does not exist, or a folder at a URL cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.wav")
    ...     path.touch()
    ...     scan_files([path]).problems[["path", "reason"]].values.tolist()
    [['a.wav', 'empty file']]
    """
    options = options or ScanOptions()
    sources = []
    files = [str(path) for path in paths if _is_audio_name(str(path))]
    twins = set(files) - set(_without_twins(files))
    for path in (path for path in paths if str(path) not in twins):
        is_remote = places.is_remote(path)
        is_remote_file = is_remote and _is_audio_name(str(path).partition("?")[0])
        if not is_remote_file and places.is_folder(path):
            sources.append(_walk(path))
        elif is_remote or os.path.lexists(path):
            root, name = places.split(path)
            sources.append(_Source(root, [name]))
        else:
            raise ManifestError(f"{path} does not exist. Give audio files or folders of them.")
    unlabelled = replace(options, labels=(), metadata=None, columns={}, missing=())
    roots_of = defaultdict(set)
    for source in sources:
        roots_of[places.name_of(source.root)].add(source.root)
    for source in sources:
        name = places.name_of(source.root)
        source.home = name if len(roots_of[name]) == 1 else source.root
    return _build(sources, unlabelled, n_threads, progress)


def full_path(recording: Any) -> Path | str:
    """Return the place of the file of a recording.

    Parameters
    ----------
    recording : row of the table ``recordings``

    Returns
    -------
    Path, or str for a URL

    Examples
    --------
    >>> row = pd.Series({"root": "s3://whales", "path": "a/b.wav"})
    >>> full_path(row)
    's3://whales/a/b.wav'
    """
    return places.join(recording.root, recording.path)


def check_unchanged(recording: Any, *, fingerprint: str | None = None) -> None:
    """Check that the file of a recording still holds the sound of the scan.

    An equal fingerprint is enough. Comparing fingerprints takes microseconds, or a request for a URL.
    Otherwise the file is read and hashed again, because a copy on another disk has another time and
    the same sound. Each version of a file is hashed once for all threads.

    Parameters
    ----------
    recording : row of the table ``recordings``
    fingerprint : str or None
        The present fingerprint, if an open reader has it; None: the fingerprint is looked up.

    Raises
    ------
    AudioError
        With reason ``changed since the scan``, or as :func:`audio.inspect` if the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.wav").write_bytes(b"RIFF")
    ...     now = audio.fingerprint(Path(folder, "a.wav"))
    ...     check_unchanged(pd.Series({"root": folder, "path": "a.wav", "fingerprint": now}))
    """
    place = full_path(recording)
    now = audio.fingerprint(place) if fingerprint is None else fingerprint
    if now == recording.fingerprint:
        return
    key = (str(place), now, recording.content_hash, recording.hash_kind)
    with _HASH_LOCKS[
        hash(key) % len(_HASH_LOCKS)
    ]:  # others wait for the thread that hashes this file
        problem = _what_changed(*key)
    if problem is not None:
        raise AudioError(*problem)


_HASH_LOCKS = tuple(threading.Lock() for _ in range(256))


@lru_cache(maxsize=1 << 16)
def _what_changed(
    place: str, fingerprint: str, content_hash: str, hash_kind: str
) -> tuple[str, str] | None:
    """Hash a version of a file again -> reason and detail of the problem, or None."""
    try:
        inspection = audio.inspect(place, full_hash=hash_kind == "samples")
    except AudioError as error:
        if places.is_remote(place) or error.reason == "cannot be opened":
            raise  # the error may be temporary, so the answer is not kept
        return error.reason, error.detail
    if inspection.content_hash == content_hash:
        return None
    return (
        "changed since the scan",
        f"the hash {content_hash[:12]} is now {inspection.content_hash[:12]}; scan again",
    )


@dataclass
class _Source:
    """The files of one folder."""

    root: str
    """Absolute path, or URL."""
    files: list[str]
    """Relative to ``root``, with forward slashes."""
    n_other: int = 0
    left_behind: Counter[str] = field(default_factory=Counter)
    """Files that systems left, by their folder or the beginning of their names."""
    n_left_audio: int = 0
    """Those of them that are audio by their names."""
    n_left_folders: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)
    home: str = ""
    """The name of the folder in the names of its encounters."""


def _walk(folder: Place) -> _Source:
    """List the audio files below a folder, and count the others."""
    source = _Source(places.absolute(folder), [])

    def refuse(path: str, why: str) -> None:
        source.problems.append(_problem(path, "cannot be opened", why))

    try:
        for listed in places.walk(source.root, refuse):
            if listed.is_left_behind:
                source.n_left_folders += 1
                _count_left(source, listed.files, listed.path)
                continue
            left = list(filter(places.is_left_behind, listed.files))
            if left:
                _count_left(source, left, "")
            if listed.is_empty and _is_audio_name(listed.path):
                source.files.append(listed.path)  # an empty folder named x.wav is a problem
            below = f"{listed.path}/" if listed.path else ""
            names = [n for n in listed.files if _is_audio_name(n) and not places.is_left_behind(n)]
            names = [n for n in _without_twins(names) if not _is_text(source.root, below + n)]
            source.files += [below + name for name in names]
            source.n_other += len(listed.files) - len(names)
    except OSError as error:
        raise ManifestError(
            f"{folder} cannot be listed: {places.why(error)}. Give a folder that can."
        ) from error
    source.files.sort()
    return source


def _count_left(source: _Source, files: Sequence[str], folder: str) -> None:
    """Count files that systems left, by the folder of the system that holds them."""
    top = next(filter(places.is_left_behind, folder.split("/")), "")
    for name in files:
        source.left_behind[top or ("._*" if name.startswith("._") else name)] += 1
        source.n_left_audio += _is_audio_name(name)


def _is_audio_name(name: str) -> bool:
    suffix = _suffix(name)
    return suffix in audio.SUFFIXES or suffix in audio.CONVERTERS


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  (a Path costs 10 times as much)


def _without_twins(names: Sequence[str]) -> list[str]:
    """Leave out what nobody reads and stands beside its own WAV: ``x.sud`` beside ``x.wav``."""
    if not any(_suffix(name) in audio.CONVERTERS for name in names):
        return list(names)
    read = {
        name[: -len(_suffix(name))].casefold() for name in names if _suffix(name) in audio.SUFFIXES
    }
    return [
        name for name in names
        if _suffix(name) in audio.SUFFIXES or name[: -len(_suffix(name))].casefold() not in read
    ]  # fmt: skip


def _is_text(root: str, path: str) -> bool:
    """Whether a ``.dat`` is a table, not the samples of a recorder."""
    if not path.lower().endswith(".dat") or places.is_remote(root):
        return False
    try:
        with Path(root, path).open("rb") as file:
            head = file.read(1_024)
    except OSError:
        return False
    return b"\0" not in head and head.isascii()


def _build(
    sources: Sequence[_Source],
    options: ScanOptions,
    n_threads: int | None,
    progress: Progress | None,
) -> Manifest:
    problems = [problem for source in sources for problem in source.problems]
    metadata = _read_table(options)
    problems += [_problem(*problem) for problem in (metadata.problems if metadata else ())]
    odd: list[tuple[str, audio.Inspection]] = []
    rows: list[dict[str, Any]] = []
    unusable: list[dict[str, Any]] = []
    files = [(source, path) for source in sources for path in source.files]
    # Names and tables are read and checked before any sound: contradictions are errors at once.
    zone = _zone(options, metadata)
    pattern = None if options.name_pattern is None else compile_pattern(options.name_pattern)
    names = [
        {"path": path, "root": source.root}
        | read_names(
            path,
            labels=options.all_labels,
            pattern=pattern,
            time_format=options.time_format,
            zone=zone,
            home=source.home,
        )
        for source, path in files
    ]
    refuse_answers({name["label"] for name in names} | (metadata.labels if metadata else set()))
    _check_other(options, names, metadata)
    _check_labels(options.all_labels, files)
    if metadata is not None:
        check_joins(names, metadata, options.time_zone)
    is_remote = any(places.is_remote(source.root) for source in sources)
    n_threads = n_threads or (_REMOTE_WORKERS if is_remote else os.cpu_count() or 1)
    with ThreadPoolExecutor(n_threads) as pool:
        inspections = _ahead(
            pool,
            lambda name: _look(name, zone, full_hash=options.full_hash),
            names,
            n_threads * _FILES_AHEAD,
        )
        for n_done, (name, inspection) in enumerate(zip(names, inspections, strict=True), 1):
            path = name["path"]
            if isinstance(inspection, AudioError):
                problems.append(_problem(path, inspection.reason, inspection.detail))
                unusable += _header(name, zone)
            else:
                rows.append(_row(inspection) | name)
                info = inspection.info
                if info.is_cut or info.n_hidden_frames or info.holes or inspection.bad_channels:
                    odd.append((path, inspection))
            if progress:
                progress(n_done, len(files))

    about_files = file_notices(odd) + format_notices(path for _, path in files)
    of_pattern = pattern_notices(options.name_pattern, [path for _, path in files])
    told, notices = _left_and_joined(sources), list(of_pattern)
    if metadata is not None:
        notices += join_metadata(rows, metadata, options.time_zone)
        with suppress(
            ManifestError
        ):  # what is odd was said of all files, or of those that are used
            join_metadata(unusable, metadata, options.time_zone)
    both = [*rows, *unusable]
    doubtful = doubtful_times(both)
    of_rows = {k: why for k, why in doubtful.items() if k < len(rows)}
    told += time_notices(rows, of_rows, is_zone_told=options.time_zone is not None)
    for k in doubtful:
        both[k] |= {"start_utc": None, "time_source": None}
    _name_all(both)
    unique = _drop_duplicates(_read_lookalikes(rows, problems), problems, options.on_conflict)
    unusable += _dropped_beside(rows, unique)
    rows = unique
    if options.cut_gaps_h is not None:
        notices += cut_at_gaps(rows, options.cut_gaps_h)
    for row in rows:
        row["moment_id"] = moment_of(row)
        row["metadata"] = json.dumps(row["metadata"], sort_keys=True)
    recordings = as_table("recordings", rows)
    of_nothing = {NOTHING, *map(folded, options.nothing)}
    labels = recordings["label"].fillna("").astype(object)
    is_noise = labels.map(folded).isin(of_nothing)
    notices += [*collection_notices(recordings[~is_noise]), *told, *about_files]
    n_other = sum(source.n_other for source in sources)
    for row in unusable:
        row |= {"recording_id": hash_of([row["root"], row["path"]]), "content_hash": None}
        row |= {"moment_id": moment_of(row), "metadata": "{}"}
    return Manifest(
        recordings, as_table("problems", problems), notices, n_other, about_files,
        as_table("recordings", unusable), of_pattern + told,
    )  # fmt: skip


def _left_and_joined(sources: Sequence[_Source]) -> list[str]:
    """Folders that are one in two forms of Unicode, and files that systems left behind."""
    return [
        *spelling_notices(path for source in sources for path in source.files),
        *left_behind_notice(
            sum((source.left_behind for source in sources), Counter()),
            sum(source.n_left_audio for source in sources),
            is_all=all(source.n_left_folders < places.MAX_LEFT_BEHIND for source in sources),
        ),
    ]


def _read_table(options: ScanOptions) -> Metadata | None:
    if options.metadata is None:
        return None
    return read_metadata(options.metadata, columns=options.columns, missing=options.missing)


def _zone(options: ScanOptions, metadata: Metadata | None) -> tzinfo | None:
    """The zone of clocks whose names give none; None: UTC, or a column of the metadata says it."""
    if options.time_zone is None or (
        metadata is not None and folded(options.time_zone) in metadata.columns
    ):
        return None
    return read_zone(options.time_zone)


def _name_all(rows: list[dict[str, Any]]) -> None:
    """Name encounters and recorders. Names that differ in case only are one: ``LASKER_AC_67``."""
    spelt: dict[str, str] = {}
    for row in rows:
        encounter = nfc(name_encounter(row))
        row["encounter"] = spelt.setdefault(folded(encounter), encounter)
    name_recorders(rows)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T], n_ahead: int
) -> Iterator[_R]:
    """Yield the result for each item, in order, with at most ``n_ahead`` items in work."""
    waiting: deque[Future[_R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= n_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _check_other(
    options: ScanOptions, names: Sequence[dict[str, Any]], metadata: Metadata | None
) -> None:
    """Check that a folder or the metadata has every name of ``--other``."""
    known = {name["label"] for name in names if name["label"]}
    known |= set() if metadata is None else metadata.labels
    spelt = set(map(folded, known))
    for other in options.other:
        if folded(other) not in spelt:
            folders = {folder for name in names for folder in name["below"]}
            raise ManifestError(
                unknown_name("folder of other sounds in --other", other, known or folders)
            )


def _check_labels(labels: tuple[str, ...] | None, files: Sequence[tuple[_Source, str]]) -> None:
    """Check that every class of ``--labels`` has a folder."""
    parents = {path.rpartition("/")[0] for _, path in files}
    folders = {part for parent in parents for part in parent.split("/") if part}
    known = set(map(folded, folders))
    for label in labels or ():
        if folded(label) not in known:
            raise ManifestError(unknown_name("class folder in --labels", label, folders))


def _look(
    name: dict[str, Any], zone: tzinfo | None, *, full_hash: bool
) -> audio.Inspection | AudioError:
    """Inspect a file. Where its name tells no time, that of its header is written into ``name``."""
    inspection = _inspect(name["root"], name["path"], full_hash=full_hash)
    if not isinstance(inspection, AudioError):
        _ask_header(name, zone)
    return inspection


def _ask_header(name: dict[str, Any], zone: tzinfo | None) -> None:
    if name["clock"] is None:
        found = header_time(places.join(name["root"], name["path"]))
        if found is not None:
            name |= time_fields(found.local, zone, found.source)


def _inspect(root: str, path: str, *, full_hash: bool) -> audio.Inspection | AudioError:
    try:
        f"{root}/{path}".encode()
        program = audio.CONVERTERS.get(PurePosixPath(path).suffix.lower())
        if program is not None:
            return AudioError("format not supported", f"convert it to WAV with {program}")
        return audio.inspect(places.join(root, path), full_hash=full_hash)
    except UnicodeEncodeError:
        return AudioError("name is not UTF-8", "rename the file or its folder")
    except AudioError as error:
        return error


def _row(inspection: audio.Inspection) -> dict[str, Any]:
    """Begin the row of a recording. The fields of an inspection have the names of columns."""
    return {
        **vars(inspection.info),
        **vars(inspection),
        "recording_id": inspection.content_hash[:20],
        "duration_s": inspection.info.duration_s,
        "holes": _seconds(inspection.info),
        "encounter": None,  # metadata may give the encounter
        "metadata": {},
    }


def _header(name: dict[str, Any], zone: tzinfo | None) -> list[dict[str, Any]]:
    """What the header of a file that cannot be used says, as a row; none if it says no length."""
    try:
        info = audio.probe(places.join(name["root"], name["path"]))
    except (AudioError, UnicodeEncodeError):
        return []
    if not info.n_frames:
        return []
    _ask_header(name, zone)
    row = {
        **vars(info), "duration_s": info.duration_s, "holes": _seconds(info), "encounter": None,
    }  # fmt: skip
    return [row | name]


def _dropped_beside(
    rows: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows that were dropped, but for copies of a file that is kept in another folder."""
    home = {row["content_hash"]: PurePosixPath(row["path"]).parent for row in kept}
    is_kept = {id(row) for row in kept}
    return [
        dict(row)
        for row in rows
        if id(row) not in is_kept
        and home.get(row["content_hash"]) in (None, PurePosixPath(row["path"]).parent)
    ]


def _seconds(info: audio.AudioInfo) -> str | None:
    """What is lost inside a recording, as JSON in seconds."""
    holes = [[start / info.sample_rate, end / info.sample_rate] for start, end in info.holes]
    return json.dumps(holes) if holes else None


def _read_lookalikes(
    rows: list[dict[str, Any]], problems: list[dict[str, str]]
) -> list[dict[str, Any]]:
    """Hash all samples of long recordings whose sizes, headers and blocks are equal."""
    n_alike = Counter(row["content_hash"] for row in rows)
    full_hashes: dict[str, set[str]] = defaultdict(set)
    kept = []
    for row in rows:
        if row["hash_kind"] == "blocks" and n_alike[row["content_hash"]] > 1:
            inspection = _inspect(row["root"], row["path"], full_hash=True)
            if isinstance(inspection, AudioError):
                problems.append(_problem(row["path"], inspection.reason, inspection.detail))
                continue
            row["full_hash"] = inspection.content_hash
            full_hashes[row["content_hash"]].add(inspection.content_hash)
        kept.append(row)
    for row in kept:
        if len(full_hashes[row["content_hash"]]) > 1:
            full_hash = row["full_hash"]
            row |= {"content_hash": full_hash, "hash_kind": "samples"}
            row["recording_id"] = full_hash[:20]
    return kept


def _drop_duplicates(
    rows: list[dict[str, Any]], problems: list[dict[str, str]], on_conflict: str
) -> list[dict[str, Any]]:
    """Leave out files with the sound of another file; ManifestError if their labels contradict."""
    by_hash = defaultdict(list)
    for row in rows:
        by_hash[row["content_hash"]].append(row)
    dropped = set()
    for content_hash, same in by_hash.items():
        labels = sorted({row["label"] for row in same if row["label"] is not None})
        if len(labels) > 1 and on_conflict == "error":
            first, other = (
                next(row["path"] for row in same if row["label"] == label) for label in labels[:2]
            )
            raise ManifestError(
                f"{len(labels)} classes hold the same recording (hash {content_hash[:12]}…): "
                f"{first} and {other}. Remove one, or pass --on-conflict drop to leave out both."
            )
        keep = min(same, key=lambda row: (row["label"] is None, row["path"]))
        for row in same:
            if len(labels) > 1:
                others = ", ".join(r["path"] for r in same if r is not row)
                problem = _problem(row["path"], "same sound under two labels", others)
            elif row is not keep:
                reason = f"duplicate of {keep['path']}"
                problem = _problem(row["path"], reason, "same decoded samples")
            else:
                continue
            problems.append(problem)
            dropped.add(id(row))
    return [row for row in rows if id(row) not in dropped]


def _problem(path: str, reason: str, detail: str) -> dict[str, str]:
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return {"path": shown, "stage": "scan", "reason": reason, "detail": detail}


def project_recordings(store: Store) -> pd.DataFrame:
    """Read the recordings of a project.

    Parameters
    ----------
    store : Store

    Returns
    -------
    DataFrame, the table ``recordings``

    Raises
    ------
    ManifestError
        If the project has no recordings.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     project_recordings(Store(folder, create=True))
    Traceback (most recent call last):
    pseudorca.errors.ManifestError: ... holds no recordings. Run: pseudorca scan ...
    """
    recordings = store.read("recordings")
    if recordings.empty:
        raise ManifestError(
            f"{store.folder} holds no recordings. Run: pseudorca scan FOLDER --project {store.folder}"
        )
    return recordings


def labels_id(store: Store) -> str:
    """Identify the labelled recordings of a project, with their labels and encounters.

    What was learned or measured under another id is about other recordings or other labels.

    Parameters
    ----------
    store : Store

    Returns
    -------
    str

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/whales", create=True)
    ...     labels_id(store) == labels_id(store)
    True
    """
    rows = store.read("recordings", columns=["recording_id", "label", "encounter"])
    rows = rows[rows["label"].notna()].sort_values(["recording_id", "label", "encounter"])
    labelled = rows.astype(str).to_numpy().tolist()
    not_classes = [sorted(store.setting(name) or []) for name in ("other", "nothing")]
    return hash_of([labelled, not_classes, *moments_id(store)])


def moments_id(store: Store) -> list[str]:
    """Identify the moments of a project whose recordings are dealt to other moments than before.

    Parameters
    ----------
    store : Store

    Returns
    -------
    list of str, an id; empty if no scan dealt the same recordings to other moments

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     moments_id(Store(folder, create=True))
    []
    """
    moments = store.setting("moments")
    return [] if moments is None else [str(moments)]


def labelled_and_noise(store: Store, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part clips or recordings with a label from those of folders that hold nothing.

    Parameters
    ----------
    store : Store
    rows : DataFrame with ``label``

    Returns
    -------
    labelled, noise : DataFrame, rows of ``rows``; unlabelled rows are in neither

    Examples
    --------
    >>> import tempfile
    >>> rows = pd.DataFrame({"label": ["Insular", "Noise", None]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.keep_setting("nothing", ["Noise"])
    ...     labelled, noise = labelled_and_noise(store, rows)
    >>> labelled["label"].tolist(), noise["label"].tolist()
    (['Insular'], ['Noise'])
    """
    is_noise = rows["label"].isin(store.setting("nothing") or [])
    return rows[rows["label"].notna() & ~is_noise], rows[is_noise]


def populations(store: Store, recordings: pd.DataFrame) -> pd.DataFrame:
    """Leave out the recordings of folders that hold none of the populations, or nothing.

    Parameters
    ----------
    store : Store
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    DataFrame, rows of ``recordings``

    Examples
    --------
    >>> import tempfile
    >>> recordings = pd.DataFrame({"label": ["Insular", "Noise"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.keep_setting("other", ["Noise"])
    ...     populations(store, recordings)["label"].tolist()
    ['Insular']
    """
    left_out = [*(store.setting("other") or []), *(store.setting("nothing") or [])]
    return recordings[~recordings["label"].isin(left_out)]

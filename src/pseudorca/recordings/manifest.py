"""Scan folders as they come back from sea: recordings, and problems with a reason each.

In: a folder (class folders, encounter folders, audio files of any kind, broken ones included) and
perhaps a table of metadata. Out: a :class:`Manifest` with the tables ``recordings`` and
``problems``. Every audio file ends up in exactly one of the two.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd
import xxhash

from pseudorca.errors import AudioError, ManifestError
from pseudorca.recordings import audio, naming

Progress = Callable[[int, int], None]
"""Called with (done, total)."""

RECORDING_COLUMNS = (
    "recording_id", "root", "path", "content_hash", "hash_kind", "format", "sample_rate",
    "n_channels", "n_frames", "duration_s", "peak", "start_utc", "label", "encounter", "platform",
    "channel", "selection", "moment_id", "metadata",
)  # fmt: skip
PROBLEM_COLUMNS = ("path", "stage", "reason", "detail")

MAX_ENCOUNTER_SPAN_H = 12.0
MIN_ENCOUNTERS = 4
"""Encounters in a class below which no conclusion about the population holds."""


@dataclass(frozen=True)
class ScanOptions:
    """How folders and names become labels, encounters and times."""

    labels: tuple[str, ...] | None = None
    """Folder names, at any depth, that are classes; None: every top-level folder is one."""
    metadata: Path | None = None
    """CSV joined by ``path``, ``file`` or ``encounter``; its other columns are kept."""
    name_pattern: str | None = None
    """A user's own regular expression over the path relative to the folder."""
    time_format: str | None = None
    full_hash: bool = False
    on_conflict: Literal["error", "drop"] = "error"
    """What to do about one sound under two labels."""
    cut_gaps_h: float | None = None
    """Cut encounters wherever two clips follow each other by more than this many hours."""


@dataclass
class Manifest:
    """What a scan found.

    ``recordings`` has a row per usable file, ``problems`` a row per file that cannot be used.
    ``notices`` are sentences about the collection as a whole that a user should read.
    """

    recordings: pd.DataFrame
    problems: pd.DataFrame
    notices: list[str] = field(default_factory=list)
    n_other_files: int = 0
    """Files that do not claim to be audio (tables, pictures, notes)."""


def scan(
    folder: str | os.PathLike[str],
    *,
    options: ScanOptions | None = None,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Find the recordings below a folder.

    Parameters
    ----------
    folder : path
    options : ScanOptions or None
    n_workers : int or None, threads that read and hash; None takes one per core
    progress : callable (done, total) or None

    Returns
    -------
    Manifest

    Raises
    ------
    ManifestError
        If the folder does not exist, the metadata cannot be joined, or one sound stands under two
        labels (unless ``options.on_conflict`` is ``drop``).
    """
    options = options or ScanOptions()
    root = Path(folder)
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder. Give the folder that holds the recordings.")
    files, n_other = _walk(root)
    return _build(root.resolve(), files, n_other, options, n_workers, progress)


def scan_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    options: ScanOptions | None = None,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Scan several files and folders for prediction: like :func:`scan`, and nothing gets a label.

    Raises
    ------
    ManifestError
        If a path does not exist.
    """
    options = options or ScanOptions()
    manifests = []
    for path in map(Path, paths):
        if path.is_dir():
            files, n_other = _walk(path)
            root = path.resolve()
        elif os.path.lexists(path):
            root, files, n_other = path.parent.resolve(), [path.name], 0
        else:
            raise ManifestError(f"{path} does not exist. Give audio files or folders of them.")
        unlabelled = ScanOptions(
            labels=(),
            name_pattern=options.name_pattern,
            time_format=options.time_format,
            full_hash=options.full_hash,
        )
        manifests.append(_build(root, files, n_other, unlabelled, n_workers, progress))
    recordings = pd.concat([m.recordings for m in manifests], ignore_index=True)
    problems = pd.concat([m.problems for m in manifests], ignore_index=True)
    again = recordings.duplicated("recording_id")
    if again.any():
        firsts = recordings.drop_duplicates("recording_id").set_index("recording_id")["path"]
        repeats = recordings[again]
        rows = [
            _problem(row.path, f"duplicate of {firsts[row.recording_id]}", "same sound given twice")
            for row in repeats.itertuples()
        ]
        problems = pd.concat([problems, _problem_table(rows)], ignore_index=True)
        recordings = recordings[~again].reset_index(drop=True)
    notices = [notice for manifest in manifests for notice in manifest.notices]
    return Manifest(recordings, problems, notices, sum(m.n_other_files for m in manifests))


def full_path(recording: Any) -> Path:
    """The file of one row of ``recordings``."""
    return Path(recording.root) / recording.path


def moment_id(*parts: object) -> str:
    """Identify one stretch of sound, however many channels heard it."""
    return xxhash.xxh3_128("\0".join(map(str, parts)).encode()).hexdigest()[:20]


def _walk(root: Path) -> tuple[list[str], int]:
    """List the audio files below ``root`` as sorted relative paths, and count the others."""
    files: list[str] = []
    n_other = 0
    seen = set()  # folders already entered, so that links cannot lead in circles
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        suffixed = [name for name in subfolders if _is_audio_name(name)]
        for name in [*names, *suffixed]:
            if name.startswith(".") or not _is_audio_name(name):
                n_other += 1
            elif name not in suffixed or not any((Path(folder) / name).iterdir()):
                files.append(os.path.relpath(os.path.join(folder, name), root))  # noqa: PTH118
    return sorted(path.replace(os.sep, "/") for path in files), n_other


def _is_audio_name(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (a Path costs 10 times as much)
    return suffix in audio.SUFFIXES or suffix in audio.UNSUPPORTED_SUFFIXES


def _build(
    root: Path,
    files: Sequence[str],
    n_other: int,
    options: ScanOptions,
    n_workers: int | None,
    progress: Progress | None,
) -> Manifest:
    problems: list[dict[str, str]] = []
    notices: list[str] = []
    rows: list[dict[str, Any]] = []
    pattern = naming.compile_pattern(options.name_pattern) if options.name_pattern else None

    def look(path: str) -> audio.Inspection | AudioError:
        try:
            return _inspect(root, path, full_hash=options.full_hash)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(n_workers or os.cpu_count()) as pool:
        for n_done, (path, found) in enumerate(zip(files, pool.map(look, files), strict=True), 1):
            if isinstance(found, AudioError):
                problems.append(_problem(path, found.reason, found.detail))
            else:
                rows.append(_row(root, path, found))
                if found.info.n_missing_frames:
                    missing_s = found.info.n_missing_frames / found.info.sample_rate
                    notices.append(
                        f"{path} is cut short: its header promises {missing_s:.1f} s more. The "
                        "part that is there is used."
                    )
            if progress:
                progress(n_done, len(files))

    for row in rows:
        _read_names(row, options, pattern)
    if options.metadata is not None:
        notices += _join_metadata(rows, options.metadata)
    for row in rows:
        _name_encounter(row)
    rows = _drop_duplicates(rows, problems, options.on_conflict)
    if options.cut_gaps_h is not None:
        notices += _cut_at_gaps(rows, options.cut_gaps_h)
    for row in rows:
        row["moment_id"] = _moment_of(row)
        row["metadata"] = json.dumps(row["metadata"], sort_keys=True)
    recordings = _recording_table(rows)
    notices += collection_notices(recordings)
    return Manifest(recordings, _problem_table(problems), notices, n_other)


def _inspect(root: Path, path: str, *, full_hash: bool) -> audio.Inspection:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise AudioError("name is not UTF-8", "rename the file") from error
    if PurePosixPath(path).suffix.lower() in audio.UNSUPPORTED_SUFFIXES:
        raise AudioError("format not supported", "convert it to WAV or FLAC")
    return audio.inspect(root / path, full_hash=full_hash)


def _row(root: Path, path: str, found: audio.Inspection) -> dict[str, Any]:
    return {
        "recording_id": found.content_hash[:20],
        "root": root.as_posix(),
        "path": path,
        "content_hash": found.content_hash,
        "hash_kind": found.hash_kind,
        "format": found.info.format,
        "sample_rate": found.info.sample_rate,
        "n_channels": found.info.n_channels,
        "n_frames": found.info.n_frames,
        "duration_s": found.info.duration_s,
        "peak": found.peak,
        "label": None,
        "encounter": None,
        "metadata": {},
    }


def _read_names(row: dict[str, Any], options: ScanOptions, pattern: Any) -> None:
    path = PurePosixPath(row["path"])
    folders = list(path.parts[:-1])
    row["label"], below = _label_of(folders, options.labels)
    text = str(path.with_suffix("")) if pattern else path.stem
    name = naming.parse_file_name(text, pattern=pattern, time_format=options.time_format)
    row["start_utc"], row["channel"] = name.start_utc, name.channel
    row["selection"], row["platform"] = name.selection, name.platform
    row["given_encounter"] = name.encounter
    # The innermost folder named by platform and number, else the outermost below the label: too
    # coarse an encounter is safe, too fine a one claims independence that is not there.
    known = [found for folder in reversed(folders) if (found := naming.parse_encounter(folder))]
    row["global_encounter"] = known[0].encounter if known else None
    row["local_encounter"] = below[0] if below else None
    if known and known[0].platform:
        row["platform"] = known[0].platform


def _label_of(
    folders: list[str], labels: tuple[str, ...] | None
) -> tuple[str | None, list[str]]:
    """Split the folders of a file into its label and what lies below it."""
    if not folders:
        return None, []
    if labels is None:
        top = folders[0]
        if top.lower() in naming.UNLABELLED_NAMES:
            return None, folders[1:]
        if naming.parse_encounter(top):  # a folder of one encounter is not a population
            return None, folders
        return top, folders[1:]
    by_lower = {label.lower(): label for label in labels}
    for depth, folder in enumerate(folders):
        if folder.lower() in by_lower:
            return by_lower[folder.lower()], folders[depth + 1 :]
    return None, folders[1:] if folders[0].lower() in naming.UNLABELLED_NAMES else folders


def _name_encounter(row: dict[str, Any]) -> None:
    given = row.pop("given_encounter", None)
    whole, local = row.pop("global_encounter"), row.pop("local_encounter")
    scope = row["label"] or "unlabelled"
    if row["encounter"]:  # from metadata
        return
    if given or whole:
        row["encounter"] = given or whole
    elif local:
        row["encounter"] = f"{scope}/{local}"
    elif row["start_utc"]:
        who = f"{row['platform']} " if row["platform"] else ""
        row["encounter"] = f"{scope}/{who}{row['start_utc']:%Y-%m-%d}"
    else:
        row["encounter"] = f"{scope}/(no encounter)"


def _moment_of(row: dict[str, Any]) -> str:
    # One recorder cannot begin two different sounds at one instant; without any sign of who recorded
    # or what was selected, equal times prove nothing.
    named = (row["platform"], row["channel"], row["selection"])
    if row["start_utc"] and any(part is not None for part in named):
        start = row["start_utc"].isoformat()
        return moment_id(row["platform"], row["encounter"], start, row["selection"])
    return moment_id(row["recording_id"])


def _join_metadata(rows: list[dict[str, Any]], metadata: Path) -> list[str]:
    """Add the columns of a CSV to the recordings it names; says what it changed."""
    try:
        table = pd.read_csv(metadata, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ManifestError(f"metadata {metadata} cannot be read as CSV: {error}") from error
    lower = {column.lower().strip(): column for column in table.columns}
    by_path = lower.get("path")
    by_file = next((lower[name] for name in ("file", "filename", "file_name") if name in lower), None)
    by_encounter = lower.get("encounter")
    key = by_path or by_file or by_encounter
    if key is None:
        raise ManifestError(
            f"metadata {metadata} has the columns {', '.join(table.columns)}; expected one of "
            "path, file or encounter to join it to the recordings."
        )
    entries: dict[str, dict[str, str]] = {}
    for entry in table.to_dict("records"):
        name = str(entry[key]).strip().replace("\\", "/")
        if name in entries and entries[name] != entry:
            raise ManifestError(f"metadata {metadata}: two different rows for {key} {name!r}.")
        entries[name] = {str(column): str(value).strip() for column, value in entry.items()}

    if key == by_file:
        names = Counter(PurePosixPath(row["path"]).name for row in rows)
        several = [name for name in entries if names[name] > 1]
        if several:
            raise ManifestError(
                f"metadata {metadata} joins by file name, but {names[several[0]]} recordings are "
                f"called {several[0]}. Give a column path with the path below the scanned folder."
            )
    used, relabelled = set(), 0
    for row in rows:
        if key == by_path:
            name = row["path"]
        elif key == by_file:
            name = PurePosixPath(row["path"]).name
        else:
            name = row["global_encounter"] or row["local_encounter"] or ""
        found = entries.get(name)
        if found is None:
            continue
        used.add(name)
        relabelled += _apply_metadata(row, found, lower, skip={key})
    notices = []
    if len(used) < len(rows) and key != by_encounter:
        notices.append(
            f"{metadata.name} names {len(used)} of {len(rows)} recordings; the others keep what "
            "their folders say."
        )
    if len(used) < len(entries):
        notices.append(
            f"{len(entries) - len(used)} of {len(entries)} rows of {metadata.name} name nothing "
            f"that was found (joined by {key})."
        )
    if relabelled:
        notices.append(f"{metadata.name} changed the label of {relabelled} recordings.")
    return notices


def _apply_metadata(
    row: dict[str, Any], entry: dict[str, str], lower: dict[str, str], skip: set[str | None]
) -> int:
    before = row["label"]
    label_column = lower.get("label") or lower.get("population")
    if label_column and (label := entry[label_column]):
        row["label"] = None if label.lower() in naming.UNLABELLED_NAMES else label
    if lower.get("encounter") not in skip | {None} and (encounter := entry[lower["encounter"]]):
        row["encounter"] = encounter
    if "encounter" in lower and lower["encounter"] in skip:
        row["encounter"] = entry[lower["encounter"]]
    if "platform" in lower and (platform := entry[lower["platform"]]):
        row["platform"] = platform
    if "start_utc" in lower and (start := entry[lower["start_utc"]]):
        try:
            row["start_utc"] = pd.to_datetime(start, utc=True).to_pydatetime()
        except ValueError as error:
            raise ManifestError(f"metadata: start_utc {start!r} of {row['path']} is not a time.") from error
    taken = {label_column, lower.get("path"), lower.get("encounter"), lower.get("platform")}
    row["metadata"] = {name: value for name, value in entry.items() if name not in taken}
    return int(row["label"] != before)


def _drop_duplicates(
    rows: list[dict[str, Any]], problems: list[dict[str, str]], on_conflict: str
) -> list[dict[str, Any]]:
    by_hash = defaultdict(list)
    for row in rows:
        by_hash[row["content_hash"]].append(row)
    dropped = set()
    for content_hash, same in by_hash.items():
        if len(same) == 1:
            continue
        labels = {row["label"] for row in same if row["label"] is not None}
        if len(labels) > 1:
            first = same[0]
            other = next(row for row in same if row["label"] not in (None, first["label"]))
            if on_conflict == "error":
                raise ManifestError(
                    f"{len(labels)} classes hold the same recording (hash {content_hash[:12]}…): "
                    f"{first['path']} and {other['path']}. Remove one, or pass --on-conflict drop "
                    "to leave out both."
                )
            for row in same:
                others = ", ".join(r["path"] for r in same if r is not row)
                problems.append(_problem(row["path"], "same sound under two labels", others))
                dropped.add(row["path"])
            continue
        keep = min(same, key=lambda row: (row["label"] is None, row["path"]))
        for row in same:
            if row is not keep:
                problems.append(
                    _problem(row["path"], f"duplicate of {keep['path']}", "same decoded samples")
                )
                dropped.add(row["path"])
    return [row for row in rows if row["path"] not in dropped]


def _cut_at_gaps(rows: list[dict[str, Any]], gap_h: float) -> list[str]:
    """Split encounters wherever their clips pause for more than ``gap_h`` hours."""
    notices = []
    by_encounter = defaultdict(list)
    for row in rows:
        if row["start_utc"] is not None:
            by_encounter[row["encounter"]].append(row)
    for encounter, members in by_encounter.items():
        members.sort(key=lambda row: row["start_utc"])
        part, parts = 1, [1]
        for earlier, later in zip(members, members[1:], strict=False):
            end = earlier["start_utc"] + timedelta(seconds=earlier["duration_s"])
            part += later["start_utc"] - end > timedelta(hours=gap_h)
            parts.append(part)
        if part > 1:
            for row, number in zip(members, parts, strict=True):
                row["encounter"] = f"{encounter}#{number}"
            notices.append(f"{encounter} was cut into {part} encounters at gaps over {gap_h:g} h.")
    return notices


def collection_notices(recordings: pd.DataFrame) -> list[str]:
    """Say what a user should know about a collection before anything is learned from it.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    list of str, one sentence or two each
    """
    if recordings.empty:
        return ["No usable recordings were found."]
    notices = []
    rates = recordings["sample_rate"].value_counts()
    if len(rates) > 1:
        shown = ", ".join(f"{rate / 1000:g} kHz ({n})" for rate, n in rates.head(8).items())
        notices.append(
            f"Mixed sample rates: {shown}{', ...' if len(rates) > 8 else ''}. The common front end "
            "brings all to one rate; the study front end does not, and then the rate can be a cue."
        )
    channels = recordings["n_channels"].value_counts()
    if len(channels) > 1:
        shown = ", ".join(f"{n} channel{'s' * (n > 1)} ({count})" for n, count in channels.items())
        notices.append(f"Mixed channel counts: {shown}.")
    labelled = recordings[recordings["label"].notna()]
    for encounter, group in labelled.groupby("encounter", sort=True):
        if group["label"].nunique() > 1:
            counts = ", ".join(f"{n} {label}" for label, n in group["label"].value_counts().items())
            notices.append(
                f"Mixed encounter {encounter}: {counts}. It stays one group in every split."
            )
    for encounter, group in recordings.dropna(subset="start_utc").groupby("encounter", sort=True):
        span_h = (group["start_utc"].max() - group["start_utc"].min()).total_seconds() / 3600
        if span_h > MAX_ENCOUNTER_SPAN_H:
            notices.append(
                f"{encounter} spans {span_h:.0f} hours; more than {MAX_ENCOUNTER_SPAN_H:g} is "
                "hardly one encounter. --cut-gaps HOURS cuts it where nothing was recorded."
            )
    for label, group in labelled.groupby("label", sort=True):
        n_encounters = group["encounter"].nunique()
        if n_encounters < MIN_ENCOUNTERS:
            notices.append(
                f"{label} has {n_encounters} encounter{'s' * (n_encounters != 1)}: too few to "
                f"conclude about the population (at least {MIN_ENCOUNTERS})."
            )
        loose = group["encounter"].str.endswith("/(no encounter)").sum()
        if loose:
            notices.append(
                f"{loose} recordings of {label} name no encounter and no time; they count as one. "
                "Put each encounter in a folder, or give --metadata with a column encounter."
            )
    return notices


def _recording_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(RECORDING_COLUMNS))
    for column in ("sample_rate", "n_channels", "n_frames"):
        table[column] = table[column].astype("int64")
    for column in ("duration_s", "peak"):
        table[column] = table[column].astype("float64")
    table["channel"] = table["channel"].astype("Int64")
    table["start_utc"] = pd.to_datetime(table["start_utc"], utc=True).astype("datetime64[us, UTC]")
    for column in RECORDING_COLUMNS:
        if table[column].dtype == object or str(table[column].dtype) == "str":
            table[column] = table[column].astype("string")
    return table


def _problem(path: str, reason: str, detail: str, stage: str = "scan") -> dict[str, str]:
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return {"path": shown, "stage": stage, "reason": reason, "detail": detail}


def _problem_table(rows: list[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(PROBLEM_COLUMNS), dtype="string")

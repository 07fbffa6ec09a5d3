"""Predictions as files that other programs read.

In: the tables of ``predict`` and the recordings. Out: files in one of the :data:`FORMATS`; each
appears whole or not at all. Text that a format cannot hold, such as a line break in a name, is
replaced by a sign that shows it (``␊``), never dropped.

Tables by which sounds are counted hold each moment once, at the first of its files; tables that are
laid over a sound to look at it exist for every file, those of the other channels too.
"""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
import xxhash
from pandas.api.types import is_numeric_dtype

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.detections import find_detections, is_named, timeline
from pseudorca.recordings.manifest import full_path

Format = Literal["csv", "parquet"]

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Begin File", "Begin Path", "File Offset (s)", "Decision", "Probability",
    "Max Probability", "Moments", "Encounter", "Start UTC",
)  # fmt: skip
"""Raven's own columns, then ours."""

_MAX_NAME_BYTES = 180
"""Of a file's name, so that ours with its endings stays below the 255 of most file systems."""


@dataclass(frozen=True)
class _Predicted:
    """What a format is written from."""

    tables: Mapping[str, pd.DataFrame]
    recordings: pd.DataFrame
    selections: pd.DataFrame
    """Detections that each lie within one file."""
    band_hz: tuple[float, float] | None
    channel: int


@dataclass(frozen=True)
class FileFormat:
    """A kind of file that predictions can be written as."""

    about: str
    write: Callable[[_Predicted, Path], list[Path]]


def write_predictions(
    tables: Mapping[str, pd.DataFrame],
    recordings: pd.DataFrame,
    folder: Path,
    *,
    kinds: Sequence[str] = ("csv",),
    max_gap_s: float | None = 0.0,
    band_hz: tuple[float, float] | None = None,
    channel: int = 1,
) -> dict[str, list[Path]]:
    """Write predictions in one or more formats.

    Parameters
    ----------
    tables : dict from name to table
        ``clip`` and ``encounter`` as in :class:`pseudorca.prediction.scores.Predictions`, ``problem``
        (files of which nothing could be said), and any others, which CSV and Parquet hold
    recordings : DataFrame, the table ``recordings``
    folder : path, made if it is not there
    kinds : names from :data:`FORMATS`
    max_gap_s : float or None, seconds
        By which Raven's and Audacity's selections are merged within a file, see
        :func:`pseudorca.prediction.detections.find_detections`
    band_hz : (low, high) or None
        What the classifier hears; the frequencies of Raven's selections. None: up to Nyquist, which
        they never exceed
    channel : int, from 1
        In which Raven shows the selections of recordings that have so many

    Returns
    -------
    dict from kind to the paths written

    Raises
    ------
    PseudorcaError
        If a format is unknown (before anything is written) or a file cannot be written.
    """
    for kind in kinds:
        if kind not in FORMATS:
            raise PseudorcaError(unknown_name("format", kind, FORMATS))
    selections = find_detections(
        tables["clip"], recordings, max_gap_s=max_gap_s, across_files=False
    )
    predicted = _Predicted(tables, recordings, selections, band_hz, channel)
    return {kind: FORMATS[kind].write(predicted, folder) for kind in kinds}


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, *, kind: Format = "csv"
) -> list[Path]:
    """Write one file per table, such as ``clip`` to ``clips.csv``; each appears whole or not at all.

    Parameters
    ----------
    tables : dict from unit to table
    folder : path, made if it is not there
    kind : ``csv`` (UTF-8, times in ISO 8601) or ``parquet``

    Returns
    -------
    list of the paths written

    Raises
    ------
    PseudorcaError
        If the format is unknown, or a file cannot be written.
    """
    if kind not in ("csv", "parquet"):
        raise PseudorcaError(unknown_name("format", kind, ("csv", "parquet")))
    return [_write_table(table, folder / f"{name}s.{kind}") for name, table in tables.items()]


def _write_opensoundscape(predicted: _Predicted, folder: Path) -> list[Path]:
    """Probabilities by (file, start, end). A file with a problem has a row without times and scores,
    as OpenSoundscape gives one to a file that it cannot read."""
    clips = _with_files(predicted.tables["clip"], predicted.recordings)
    classes = [name for name in clips.columns if name.startswith("p_")]
    index = {"start_s": "start_time", "end_s": "end_time"}
    table = clips[["file", *index, *classes]].rename(columns=index)
    problems = predicted.tables.get("problem")
    if problems is not None and len(problems):
        once = predicted.recordings.drop_duplicates("path", keep=False)
        known = dict(zip(once["path"], _full_paths(once), strict=True))
        failed = [known.get(path, path) for path in problems["path"].drop_duplicates()]
        table = pd.concat([table, pd.DataFrame({"file": failed})], ignore_index=True)
    table.columns = [*table.columns[:3], *(name.removeprefix("p_") for name in classes)]
    return [_write_table(table, folder / "opensoundscape.csv")]


def _write_birdnet(predicted: _Predicted, folder: Path) -> list[Path]:
    """Clips that were named; a population has no scientific name, so its label stands in both."""
    clips = predicted.tables["clip"]
    clips = _with_files(clips[is_named(clips["decision"])], predicted.recordings)
    columns = {
        "Start (s)": "start_s",
        "End (s)": "end_s",
        "Scientific name": "decision",
        "Common name": "decision",
        "Confidence": "probability",
        "File": "file",
    }
    table = pd.DataFrame({name: clips[column] for name, column in columns.items()})
    return [_write_table(table, folder / "birdnet.csv")]


def _write_banter(predicted: _Predicted, folder: Path) -> list[Path]:
    """Encounters as events. BANTER takes any third column for a predictor, and refuses events without
    a species, so the undecided are left to the other tables. R reads ``NA`` as unknown: a population
    of that name is written ``NA_``."""
    encounters = predicted.tables["encounter"]
    encounters = encounters[encounters["decision"] != UNDECIDED]
    species = encounters["decision"].replace("NA", "NA_")
    table = pd.DataFrame({"event.id": encounters["encounter"], "species": species})
    return [_write_table(table, folder / "banter.csv")]


def _write_audacity(predicted: _Predicted, folder: Path) -> list[Path]:
    """A label file per recording: start, end, decision."""
    recordings, by_file = predicted.recordings, _by_file(predicted)
    targets = _file_names(_stems(recordings), recordings["recording_id"])
    written = []
    for target, recording_id in zip(targets, recordings["recording_id"], strict=True):
        lines = [
            f"{row.start_s:.6f}\t{row.end_s:.6f}\t{_cell(row.decision)}\n"
            for row in by_file.get(recording_id, ())
        ]
        written.append(_write_text(lines, folder / "audacity" / f"{target}.txt"))
    return written


def _write_raven(predicted: _Predicted, folder: Path) -> list[Path]:
    """A selection table per recording, and one per deployment over all of its files."""
    recordings, by_file = predicted.recordings, _by_file(predicted)
    every: list[Any] = list(recordings.itertuples())
    written = []
    targets = _file_names(_stems(recordings), recordings["recording_id"])
    for target, recording in zip(targets, every, strict=True):
        rows = [(row, recording, 0.0) for row in by_file.get(recording.recording_id, ())]
        path = folder / "raven" / f"{target}.Table.1.selections.txt"
        written.append(_write_text(_raven_lines(rows, predicted), path))

    by_id = {recording.recording_id: recording for recording in every}
    line = timeline(recordings)
    deployments = list(line.groupby(["recorder", "sample_rate", "n_channels"], sort=True))
    n_kinds = Counter(str(recorder) for (recorder, *_), _ in deployments)
    names, ids = [], []
    for (recorder, rate, n_channels), _ in deployments:
        name = PurePosixPath(str(recorder)).name
        is_mixed = n_kinds[str(recorder)] > 1
        names.append(f"{name} {rate} Hz {n_channels} ch" if is_mixed else name)
        ids.append(xxhash.xxh3_64_hexdigest(f"{recorder}|{rate}|{n_channels}".encode())[:8])
    for target, (_, files) in zip(_file_names(names, ids), deployments, strict=True):
        rows = []
        before_s = files["duration_s"].cumsum() - files["duration_s"]
        for file, begins_s in zip(files.itertuples(), before_s, strict=True):
            recording = by_id[str(file.recording_id)]
            mine = by_file.get(recording.recording_id, ())
            rows += [(row, recording, float(begins_s)) for row in mine]
        path = folder / "raven_deployments" / f"{target}.Table.1.selections.txt"
        written.append(_write_text(_raven_lines(rows, predicted), path))
    return written


def _raven_lines(rows: Iterable[tuple[Any, Any, float]], predicted: _Predicted) -> Iterator[str]:
    """Lines of one table, of (selection, recording, seconds of sound in the files before it)."""
    yield "\t".join(RAVEN_COLUMNS) + "\n"
    for number, (row, recording, before_s) in enumerate(rows, 1):
        nyquist = float(recording.sample_rate) / 2
        low, high = predicted.band_hz or (0.0, nyquist)
        start = "" if pd.isna(row.start_utc) else row.start_utc.isoformat(timespec="milliseconds")
        cells = (
            number,
            "Spectrogram 1",
            min(predicted.channel, recording.n_channels),
            f"{before_s + row.start_s:.9f}",
            f"{before_s + row.end_s:.9f}",
            f"{low if low < nyquist else 0.0:.1f}",
            f"{min(high, nyquist):.1f}",
            PurePosixPath(recording.path).name,
            full_path(recording),
            f"{row.start_s:.9f}",
            row.decision,
            f"{row.mean_probability:.4f}",
            f"{row.max_probability:.4f}",
            row.n_moments,
            row.encounter,
            start,
        )
        yield "\t".join(map(_cell, cells)) + "\n"


def _by_file(predicted: _Predicted) -> dict[Any, list[Any]]:
    """Selections by recording, in order of time; those of a moment are in all of its files."""
    recordings, selections = predicted.recordings, predicted.selections
    if selections.empty:
        return {}
    moment_of = recordings.set_index("recording_id")["moment_id"]
    selections = selections.assign(moment_id=selections["recording_id"].map(moment_of))
    files = recordings[["moment_id", "recording_id", "duration_s"]]
    rows = selections.drop(columns=["recording_id", "duration_s"]).merge(files, on="moment_id")
    rows["end_s"] = np.minimum(rows["end_s"], rows["duration_s"])  # of another length, rarely
    rows = rows[rows["start_s"] < rows["end_s"]]
    by_file: dict[Any, list[Any]] = {}
    for row in rows.sort_values(["start_s", "end_s", "decision"], kind="stable").itertuples():
        by_file.setdefault(row.recording_id, []).append(row)
    return by_file


def _with_files(clips: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Clips with the whole path of their file as ``file``."""
    paths = dict(zip(recordings["recording_id"], _full_paths(recordings), strict=True))
    return clips.assign(file=[paths[recording] for recording in clips["recording_id"]])


def _full_paths(recordings: pd.DataFrame) -> list[str]:
    return [str(full_path(row)) for row in recordings.itertuples()]


def _stems(recordings: pd.DataFrame) -> list[str]:
    return [PurePosixPath(path).stem for path in recordings["path"]]


def _file_names(names: Iterable[str], ids: Iterable[str]) -> list[str]:
    """Names of files for names of things; those that no name tells apart bear their ids."""
    safe = [unicodedata.normalize("NFC", _visible(name)) for name in names]
    safe = [re.sub(r'[<>:"/\\|?*]', "_", name).strip(" .") or "_" for name in safe]
    short = [name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") for name in safe]
    n_alike = Counter(name.casefold() for name in short)
    return [
        f"{name}.{identity}" if n_alike[name.casefold()] > 1 or name != whole else name
        for name, whole, identity in zip(short, safe, ids, strict=True)
    ]


def _cell(value: Any) -> str:
    """A value for a table without quoting, where a quote at the beginning could be taken for one."""
    text = "" if pd.isna(value) else _visible(str(value))
    return f"”{text[1:]}" if text.startswith('"') else text


def _visible(text: str) -> str:
    """Replace tabs, line breaks and other control characters by signs that show them."""
    return re.sub(r"[\x00-\x1f]", lambda found: chr(0x2400 + ord(found[0])), text).replace(
        "\x7f", "␡"
    )


def _write_table(table: pd.DataFrame, target: Path) -> Path:
    with _whole(target) as part:
        if target.suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False, quoting=_quoting(table), errors="backslashreplace")
    return target


def _quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """Quote what needs it; all text where some holds a carriage return, which pandas leaves bare."""
    texts = [
        pd.Series(table.columns),
        *(c for _, c in table.items() if not is_numeric_dtype(c.dtype)),
    ]
    torn = any("\r" in value for text in texts for value in text.unique() if isinstance(value, str))
    return csv.QUOTE_NONNUMERIC if torn else csv.QUOTE_MINIMAL


def _write_text(lines: Iterable[str], target: Path) -> Path:
    with (
        _whole(target) as part,
        part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.writelines(lines)
    return target


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Give the path to write to, which becomes ``target`` if nothing went wrong, and else vanishes."""
    part = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PseudorcaError(
            f"{target} cannot be written: {error.strerror or error}. Mend that, or choose another "
            "folder with --out, and run it again."
        ) from error


def _as_tables(kind: Format) -> Callable[[_Predicted, Path], list[Path]]:
    return lambda predicted, folder: write_tables(predicted.tables, folder, kind=kind)


FORMATS: dict[str, FileFormat] = {
    "csv": FileFormat("a CSV per table", _as_tables("csv")),
    "parquet": FileFormat("a Parquet file per table", _as_tables("parquet")),
    "raven": FileFormat(
        "selection tables for Raven, per file and per deployment over its files", _write_raven
    ),
    "audacity": FileFormat("labels for Audacity, per file", _write_audacity),
    "opensoundscape": FileFormat(
        "OpenSoundscape's table of clips with a column per class", _write_opensoundscape
    ),
    "birdnet": FileFormat("a CSV of named clips as BirdNET-Analyzer writes it", _write_birdnet),
    "banter": FileFormat("BANTER's table of events", _write_banter),
}
"""Formats by name."""

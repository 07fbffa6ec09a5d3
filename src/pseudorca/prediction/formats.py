"""Predictions as files that other programs read.

In: the tables of ``predict``, portion by portion, and the recordings. Out: files in some of the
:data:`FORMATS`; each appears whole or not at all. Text that a format cannot hold, such as a line
break in a name, is replaced by a sign that shows it (``␊``), never dropped.

Tables by which sounds are counted hold each moment once, at the first of its files; tables that are
laid over a sound to look at it exist for every file, those of the other channels too.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
import pandas as pd
import xxhash

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.detections import find_detections, is_named, timeline
from pseudorca.prediction.files import Format, GrowingTable, write_tables, write_text, writing
from pseudorca.recordings.manifest import full_path

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Begin File", "Begin Path", "File Offset (s)", "Decision", "Probability",
    "Max Probability", "Moments", "Encounter", "Start UTC",
)  # fmt: skip
"""Raven's own columns, then ours."""

_INDEX = ".files.txt"  # of the files of the last run, and of one that was killed; a name per line
_MAX_NAME_BYTES = 180
"""Of a file's name, so that ours with its endings stays below the 255 of most file systems."""


class PredictionFiles:
    """Writes predictions in one or more formats, as they come in.

    A context: what was begun becomes files in :meth:`finish`, and vanishes if that is never reached.
    Files that an earlier run wrote to the folder and this one does not are removed.

    Parameters
    ----------
    folder : path, made if it is not there
    recordings : DataFrame, the table ``recordings``: all of them
    kinds : names from :data:`FORMATS`
    max_gap_s : float or None, seconds
        By which Raven's and Audacity's selections are merged within a file, see
        :class:`pseudorca.prediction.detections.DetectionFinder`
    band_hz : (low, high) or None
        What the classifier hears; the frequencies of Raven's selections. None: up to Nyquist, which
        they never exceed
    channel : int, from 1
        In which Raven shows the selections of recordings that have so many
    line : DataFrame or None
        The :func:`~pseudorca.prediction.detections.timeline` of the recordings, where it is there
        already

    Raises
    ------
    PseudorcaError
        If a format is unknown (before anything is written) or a file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        recordings: pd.DataFrame,
        *,
        kinds: Sequence[str] = ("csv",),
        max_gap_s: float | None = 0.0,
        band_hz: tuple[float, float] | None = None,
        channel: int = 1,
        line: pd.DataFrame | None = None,
    ) -> None:
        for kind in kinds:
            if kind not in FORMATS:
                raise PseudorcaError(unknown_name("format", kind, FORMATS))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)  # before all the work, if it cannot be made
        self._folder, self._recordings, self._max_gap_s = folder, recordings, max_gap_s
        self._about = _About(folder, recordings, band_hz, channel, line)
        self._writers = {kind: FORMATS[kind].writer(self._about) for kind in kinds}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.abandon()

    def add(self, tables: Mapping[str, pd.DataFrame], recordings: pd.DataFrame) -> None:
        """Take in the tables ``clip`` and ``recording`` of some recordings."""
        selections = find_detections(
            tables["clip"], recordings, max_gap_s=self._max_gap_s, across_files=False
        )
        some = _Portion(tables, recordings, selections)
        new: list[Path] = []
        for writer in self._writers.values():
            n_before = len(writer.written)
            writer.add(some)
            new += writer.written[n_before:]
        index = self._folder / _INDEX
        with writing(index):
            self._folder.mkdir(parents=True, exist_ok=True)
            with index.open("a", encoding="utf-8") as file:
                file.writelines(f"{name}\n" for name in self._names(new))

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Path]]:
        """Write what is known of all recordings, and let every file appear.

        Parameters
        ----------
        tables : dict from name to table
            ``encounter``, ``problem`` (files of which nothing could be said), and any others, which
            CSV and Parquet hold

        Returns
        -------
        dict from kind to the paths written
        """
        written = {kind: writer.finish(tables) for kind, writer in self._writers.items()}
        self._remove_others([path for paths in written.values() for path in paths])
        return written

    def _remove_others(self, written: list[Path]) -> None:
        index = self._folder / _INDEX
        with writing(index):
            before = index.read_text(encoding="utf-8").split("\n") if index.exists() else []
            names = self._names(written)
            for name in set(before) - {"", *names}:
                if ".." not in Path(name).parts and not Path(name).is_absolute():
                    (self._folder / name).unlink(missing_ok=True)
            write_text((f"{name}\n" for name in names), index)

    def _names(self, paths: Iterable[Path]) -> list[str]:
        return sorted(path.relative_to(self._folder).as_posix() for path in paths)


def write_predictions(
    tables: Mapping[str, pd.DataFrame],
    recordings: pd.DataFrame,
    folder: Path,
    **settings: Any,
) -> dict[str, list[Path]]:
    """Write predictions that are all there: see :class:`PredictionFiles` for the settings."""
    growing = ("clip", "recording")
    with PredictionFiles(folder, recordings, **settings) as files:
        files.add({name: tables[name] for name in growing if name in tables}, recordings)
        return files.finish({name: tables[name] for name in tables if name not in growing})


class _About:
    """What every format needs to know of a run."""

    def __init__(
        self,
        folder: Path,
        recordings: pd.DataFrame,
        band_hz: tuple[float, float] | None,
        channel: int,
        line: pd.DataFrame | None,
    ) -> None:
        self.folder, self.recordings = folder, recordings
        self.line = timeline(recordings) if line is None else line
        self.band_hz, self.channel = band_hz, channel
        ids = recordings["recording_id"]
        stems = [PurePosixPath(path).stem for path in recordings["path"]]
        self.target = dict(zip(ids, _file_names(stems, ids), strict=True))


@dataclass(frozen=True)
class _Portion:
    """What was said of some recordings."""

    tables: Mapping[str, pd.DataFrame]
    recordings: pd.DataFrame
    selections: pd.DataFrame
    """Detections that each lie within one file."""


class _Writer:
    """One format of one run."""

    def __init__(self, about: _About) -> None:
        self.about = about
        self.growing: dict[str, GrowingTable] = {}
        self.written: list[Path] = []
        self.is_finished = False

    def add(self, some: _Portion) -> None:
        """Take in some recordings."""

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
        """Let the files appear."""
        self.written += [table.finish() for table in self.growing.values()]
        self.is_finished = True
        return self.written

    def abandon(self) -> None:
        """Remove what was begun, if it was never finished."""
        for table in self.growing.values():
            table.abandon()
        if not self.is_finished:
            for path in self.written:
                path.unlink(missing_ok=True)

    def grow(self, name: str, table: pd.DataFrame) -> None:
        """Append to a table of the folder."""
        if name not in self.growing:
            self.growing[name] = GrowingTable(self.about.folder / name)
        self.growing[name].append(table)


class _Tables(_Writer):
    """A file per table."""

    kind: Format = "csv"

    def add(self, some: _Portion) -> None:
        for name, table in some.tables.items():
            self.grow(f"{name}s.{self.kind}", table)

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
        super().finish(tables)
        self.written += write_tables(tables, self.about.folder, kind=self.kind)
        return self.written


class _ParquetTables(_Tables):
    kind = "parquet"


class _OpenSoundscape(_Writer):
    """Probabilities by (file, start, end). A file with a problem has a row without times and scores,
    as OpenSoundscape gives one to a file that it cannot read."""

    name = "opensoundscape.csv"

    def add(self, some: _Portion) -> None:
        clips = _with_files(some.tables["clip"], some.recordings)
        classes = [name for name in clips.columns if name.startswith("p_")]
        index = {"start_s": "start_time", "end_s": "end_time"}
        table = clips[["file", *index, *classes]].rename(columns=index)
        table.columns = [*table.columns[:3], *(name.removeprefix("p_") for name in classes)]
        self.grow(self.name, table)

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
        problems = tables.get("problem")
        if problems is not None and len(problems) and self.name in self.growing:
            once = self.about.recordings.drop_duplicates("path", keep=False)
            known = dict(zip(once["path"], _full_paths(once), strict=True))
            failed = [known.get(path, path) for path in problems["path"].drop_duplicates()]
            columns = self.growing[self.name].columns
            self.grow(self.name, pd.DataFrame({"file": failed}).reindex(columns=columns))
        return super().finish(tables)


class _BirdNet(_Writer):
    """Clips that were named; a population has no scientific name, so its label stands in both."""

    def add(self, some: _Portion) -> None:
        clips = some.tables["clip"]
        clips = _with_files(clips[is_named(clips["decision"])], some.recordings)
        columns = {
            "Start (s)": "start_s",
            "End (s)": "end_s",
            "Scientific name": "decision",
            "Common name": "decision",
            "Confidence": "probability",
            "File": "file",
        }
        table = pd.DataFrame({name: clips[column] for name, column in columns.items()})
        self.grow("birdnet.csv", table)


class _Banter(_Writer):
    """Encounters as events. BANTER takes any third column for a predictor, and refuses events without
    a species, so the undecided are left to the other tables. R reads ``NA`` as unknown: a population
    of that name is written ``NA_``."""

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
        encounters = tables["encounter"]
        encounters = encounters[encounters["decision"] != UNDECIDED]
        species = encounters["decision"].replace("NA", "NA_")
        table = pd.DataFrame({"event.id": encounters["encounter"], "species": species})
        self.grow("banter.csv", table)
        return super().finish(tables)


class _Audacity(_Writer):
    """A label file per recording: start, end, decision."""

    def add(self, some: _Portion) -> None:
        by_file = _by_file(some.selections, some.recordings)
        for recording_id in some.recordings["recording_id"]:
            lines = [
                f"{row.start_s:.6f}\t{row.end_s:.6f}\t{_cell(row.decision)}\n"
                for row in by_file.get(recording_id, ())
            ]
            target = f"{self.about.target[recording_id]}.txt"
            self.written.append(write_text(lines, self.about.folder / "audacity" / target))


class _Raven(_Writer):
    """A selection table per recording, and one per deployment over all of its files."""

    def __init__(self, about: _About) -> None:
        super().__init__(about)
        self.by_file: dict[Any, list[Any]] = {}

    def add(self, some: _Portion) -> None:
        found = _by_file(some.selections, some.recordings)
        self.by_file |= found
        every: list[Any] = list(some.recordings.itertuples())
        for recording in every:
            rows = [(row, recording, 0.0) for row in found.get(recording.recording_id, ())]
            target = f"{self.about.target[recording.recording_id]}.Table.1.selections.txt"
            path = self.about.folder / "raven" / target
            self.written.append(write_text(_raven_lines(rows, self.about), path))

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
        every: list[Any] = list(self.about.recordings.itertuples())
        by_id = {recording.recording_id: recording for recording in every}
        line = self.about.line
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
                mine = self.by_file.get(recording.recording_id, ())
                rows += [(row, recording, float(begins_s)) for row in mine]
            path = self.about.folder / "raven_deployments" / f"{target}.Table.1.selections.txt"
            self.written.append(write_text(_raven_lines(rows, self.about), path))
        return super().finish(tables)


def _raven_lines(rows: Iterable[tuple[Any, Any, float]], about: _About) -> Iterator[str]:
    """Lines of one table, of (selection, recording, seconds of sound in the files before it)."""
    yield "\t".join(RAVEN_COLUMNS) + "\n"
    for number, (row, recording, before_s) in enumerate(rows, 1):
        nyquist = float(recording.sample_rate) / 2
        low, high = about.band_hz or (0.0, nyquist)
        start = "" if pd.isna(row.start_utc) else row.start_utc.isoformat(timespec="milliseconds")
        cells = (
            number,
            "Spectrogram 1",
            min(about.channel, recording.n_channels),
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


def _by_file(selections: pd.DataFrame, recordings: pd.DataFrame) -> dict[Any, list[Any]]:
    """Selections by recording, in order of time; those of a moment are in all of its files."""
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


@dataclass(frozen=True)
class FileFormat:
    """A kind of file that predictions can be written as."""

    about: str
    writer: type[_Writer]


FORMATS: dict[str, FileFormat] = {
    "csv": FileFormat("a CSV per table", _Tables),
    "parquet": FileFormat("a Parquet file per table", _ParquetTables),
    "raven": FileFormat(
        "selection tables for Raven, per file and per deployment over its files", _Raven
    ),
    "audacity": FileFormat("labels for Audacity, per file", _Audacity),
    "opensoundscape": FileFormat(
        "OpenSoundscape's table of clips with a column per class", _OpenSoundscape
    ),
    "birdnet": FileFormat("a CSV of named clips as BirdNET-Analyzer writes it", _BirdNet),
    "banter": FileFormat("BANTER's table of events", _Banter),
}
"""Formats by name."""

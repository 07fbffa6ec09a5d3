"""Raven selection tables: one table is read; tables per recording and per deployment are written."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from pseudorca.errors import ClipError
from pseudorca.formats.base import About, Portion, Writer, cell_text, file_names, grouped_by_file
from pseudorca.formats.whole import write_text

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Begin File", "Begin Path", "File Offset (s)", "Decision", "Probability",
    "Max Probability", "Moments", "Encounter", "Start UTC",
)  # fmt: skip
"""The columns of Raven, then those of pseudorca."""

_TIMES = ("Begin Time (s)", "End Time (s)")
# Two rows with equal values in these columns are two views of one selection.
_IDENTITY = ("Selection", "Channel", *_TIMES, "Begin Path", "Begin File", "File Offset (s)")


def read_selection_table(path: Path) -> pd.DataFrame:
    """Read one Raven selection table. A selection that has several views gives one row.

    Parameters
    ----------
    path : path of a tab-separated table

    Returns
    -------
    DataFrame with the columns of the file, times in seconds
        The index is the line number in the file. The header is line 1.

    Raises
    ------
    ClipError
        If the file cannot be read, or has no column of begin or end times.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.txt"
    ...     _ = path.write_text("Begin Time (s)\\tEnd Time (s)\\n0.5\\t2.0\\n")
    ...     read_selection_table(path).to_dict("index")
    {2: {'Begin Time (s)': 0.5, 'End Time (s)': 2.0}}
    """
    try:
        table = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(("Begin File", "Begin Path"), str))
        table.index = pd.Index(_line_numbers(path, table), name="line")
    except (OSError, ValueError) as error:
        raise ClipError(f"selection table {path} cannot be read: {error}") from error
    if missing := [column for column in _TIMES if column not in table.columns]:
        raise ClipError(
            f"{path} is not a Raven selection table: no column {' or '.join(missing)}; "
            f"got {', '.join(table.columns)}."
        )
    if "Selection" in table.columns:
        table = table.drop_duplicates([c for c in _IDENTITY if c in table.columns])
    return table


def _line_numbers(path: Path, table: pd.DataFrame) -> NDArray[np.int64]:
    """Find the line on which each row begins.

    pandas skips empty lines, and a quoted cell may contain line breaks.
    """
    lines = re.split(r"\r\n|\n|\r", path.read_text(encoding="utf-8", errors="replace"))
    filled = np.array([n for n, line in enumerate(lines, 1) if line.strip(" ")], dtype=np.int64)
    n_breaks = np.zeros(len(table), dtype=np.int64)
    for _, column in table.items():
        if not is_numeric_dtype(column.dtype):
            n_breaks += column.astype(str).str.count("\n").fillna(0).to_numpy(dtype=np.int64)
    places = 1 + np.arange(len(table)) + np.cumsum(n_breaks) - n_breaks
    return np.asarray(filled[np.minimum(places, len(filled) - 1)])


class Raven(Writer):
    """A selection table per recording, and one per deployment for all files of the deployment.

    Examples
    --------
    >>> import tempfile
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["r1"], "path": ["day1/a.wav"], "file": ["/data/day1/a.wav"],
    ...      "recorder": ["Sette"], "sample_rate": [96_000], "n_channels": [1], "duration_s": [9.0]}
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = Raven(About(Path(folder), recordings, None, 1, recordings))
    ...     writer.add(Portion({}, recordings, pd.DataFrame(), pd.DataFrame()))
    ...     [path.name for path in writer.finish({}, pd.DataFrame())]
    ['a.Table.1.selections.txt', 'Sette.Table.1.selections.txt']
    """

    def __init__(self, about: About) -> None:
        super().__init__(about)
        self.by_file: dict[Any, list[Any]] = {}

    def add(self, portion: Portion) -> None:
        """Write a table for every recording, also for one without detections."""
        by_file = grouped_by_file(portion.selections, portion.recordings)
        self.by_file |= by_file
        recordings: list[Any] = list(portion.recordings.itertuples())
        for recording in recordings:
            rows = [(row, recording, 0.0) for row in by_file.get(recording.recording_id, ())]
            target = f"{self.about.target[recording.recording_id]}.Table.1.selections.txt"
            path = self.about.folder / "raven" / target
            self.written.append(write_text(_raven_lines(rows, self.about), path))

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        """Write a table for every deployment: a recorder, sample rate and number of channels."""
        recordings: list[Any] = list(self.about.recordings.itertuples())
        by_id = {recording.recording_id: recording for recording in recordings}
        line = self.about.line
        deployments = list(line.groupby(["recorder", "sample_rate", "n_channels"], sort=True))
        n_kinds = Counter(str(recorder) for (recorder, *_), _ in deployments)
        names, ids = [], []
        for (recorder, rate, n_channels), _ in deployments:
            name = str(recorder)  # a platform, or a folder with or without a prefix
            name = PurePosixPath(name).name if re.match(r"/|\w+:", name) else name
            is_mixed = n_kinds[str(recorder)] > 1
            names.append(f"{name} {rate} Hz {n_channels} ch" if is_mixed else name)
            ids.append(xxhash.xxh3_64_hexdigest(f"{recorder}|{rate}|{n_channels}".encode())[:8])
        for target, (_, files) in zip(file_names(names, ids), deployments, strict=True):
            rows = []
            before_s = files["duration_s"].cumsum() - files["duration_s"]
            for file, begins_s in zip(files.itertuples(), before_s, strict=True):
                recording = by_id[str(file.recording_id)]
                selections = self.by_file.get(recording.recording_id, ())
                rows += [(row, recording, float(begins_s)) for row in selections]
            path = self.about.folder / "raven_deployments" / f"{target}.Table.1.selections.txt"
            self.written.append(write_text(_raven_lines(rows, self.about), path))
        return super().finish(tables, decided)


def _raven_lines(rows: Iterable[tuple[Any, Any, float]], about: About) -> Iterator[str]:
    """Write the lines of one table.

    ``rows``: selection, recording, and seconds of sound in the earlier files of the table.
    """
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
            recording.file,
            f"{row.start_s:.9f}",
            row.decision,
            f"{row.mean_probability:.4f}",
            f"{row.max_probability:.4f}",
            row.n_moments,
            row.encounter,
            start,
        )
        yield "\t".join(map(cell_text, cells)) + "\n"

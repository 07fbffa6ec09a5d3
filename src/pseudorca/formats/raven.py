"""Raven selection tables: one table is read; tables per recording and per deployment are written."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import xxhash

from pseudorca.errors import TableError
from pseudorca.formats.base import About, Portion, Writer, cell_text, file_names, grouped_by_file
from pseudorca.formats.user_tables import UserTable, numbers_of, read_user_table
from pseudorca.formats.whole import write_text

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Begin File", "Begin Path", "File Offset (s)", "Decision", "Probability",
    "Max Probability", "Moments", "Encounter", "Start UTC",
)  # fmt: skip
"""The columns of Raven, then those of pseudorca; those of what is known of the classifier follow."""

_TIMES = ("Begin Time (s)", "End Time (s)")
_LABEL_TRACK = (*_TIMES, "Annotation")
# Two rows with equal values in these columns are two views of one selection.
_IDENTITY = ("Selection", "Channel", *_TIMES, "Begin Path", "Begin File", "File Offset (s)")


def read_selection_table(path: Path) -> UserTable:
    """Read a Raven selection table, or a label track of Audacity, which has no header.

    A selection that has several views gives one row.

    Parameters
    ----------
    path : path of a table

    Returns
    -------
    UserTable
        Columns in Raven's spelling.

    Raises
    ------
    TableError
        If the file cannot be read, or has no column of begin or end times.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.txt"
    ...     _ = path.write_text("Begin Time (s)\\tEnd Time (s)\\n0,5\\t2,0\\n")
    ...     table = read_selection_table(path)
    >>> table.numbers("Begin Time (s)").to_dict()
    {2: 0.5}
    """
    table = read_user_table(path)
    if numbers_of(pd.Series([*table.cells.columns[:2]])).notna().sum() == 2:
        table = read_user_table(path, names=_LABEL_TRACK)
        is_band = table.cells[_TIMES[0]] == "\\"  # a second line tells the band of a label
        return replace(table, cells=table.cells[~is_band], short={})
    spelt = {re.sub(r"\W+", "", name).casefold(): name for name in RAVEN_COLUMNS}
    names = [spelt.get(re.sub(r"\W+", "", name).casefold(), name) for name in table.cells.columns]
    if missing := [column for column in _TIMES if column not in names]:
        raise TableError(
            f"{path} is not a Raven selection table: no column {' or '.join(missing)}; "
            f"got {', '.join(table.cells.columns)}."
        )
    cells = table.cells.set_axis(names, axis=1)
    if "Selection" in names:
        cells = cells.drop_duplicates([c for c in _IDENTITY if c in names])
    broken = {line: why for line, why in table.broken.items() if line in cells.index}
    return replace(table, cells=cells, broken=broken)


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
        """Write a table for every deployment: a recorder, sample rate and number of channels.

        Times go on over all files of a deployment, also over those that could not be used.
        """
        recordings: list[Any] = list(self.about.recordings.itertuples())
        by_id = {recording.recording_id: recording for recording in recordings}
        line = self.about.line
        is_used = line["recording_id"].isin(list(by_id))
        same = ["recorder", "sample_rate", "n_channels"]
        line = line[is_used.groupby([line[name] for name in same]).transform("any")]
        deployments = list(line.groupby(same, sort=True))
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
                selections = self.by_file.get(file.recording_id, ())
                recording = by_id.get(file.recording_id)
                rows += [(row, recording, float(begins_s)) for row in selections]
            path = self.about.folder / "raven_deployments" / f"{target}.Table.1.selections.txt"
            self.written.append(write_text(_raven_lines(rows, self.about), path))
        return super().finish(tables, decided)


def _raven_lines(rows: Iterable[tuple[Any, Any, float]], about: About) -> Iterator[str]:
    """Write the lines of one table.

    ``rows``: selection, recording, and seconds of sound in the earlier files of the table.
    """
    known = {name.replace("_", " ").title(): value for name, value in about.known.items()}
    yield "\t".join([*RAVEN_COLUMNS, *known]) + "\n"
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
            *known.values(),
        )
        yield "\t".join(map(cell_text, cells)) + "\n"

"""Selections of Raven tables as stretches of recordings."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.errors import ClipError
from pseudorca.formats.raven import read_selection_table
from pseudorca.recordings.manifest import full_path


def read_raven(paths: Iterable[Path], recordings: pd.DataFrame) -> pd.DataFrame:
    """Read Raven selection tables as stretches of known recordings.

    A table names its recording in ``Begin Path`` or ``Begin File``. Without these columns, a table
    ``x.Table.1.selections.txt`` belongs to the recording ``x``. ``File Offset (s)`` is used if the
    table has this column, because Begin Time continues over several files. The waveform row and the
    spectrogram row of one selection count once.

    Parameters
    ----------
    paths : paths of tab-separated tables
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    DataFrame with ``recording_id, channel, start_s, end_s``
        Channels count from 1. An empty channel means that the selection has no channel.

    Raises
    ------
    ClipError
        If a table lacks a column, or names a recording that was not scanned, or a name fits several
        recordings.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "x.Table.1.selections.txt"
    >>> _ = table.write_text("Begin Time (s)\\tEnd Time (s)\\n0.5\\t2.0\\n")
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["5f1c"], "root": ["/data"], "path": ["x.wav"], "n_channels": [1],
    ...      "duration_s": [9.0]}
    ... )
    >>> read_raven([table], recordings)[["recording_id", "start_s", "end_s"]].values.tolist()
    [['5f1c', 0.5, 2.0]]
    """
    recording_rows: list[Any] = list(recordings.itertuples())
    by_path = {str(full_path(row)).replace("\\", "/"): row for row in recording_rows}
    by_name: dict[str, list[Any]] = {}
    for row in recording_rows:
        for name in {Path(row.path).name.lower(), Path(row.path).stem.lower()}:
            by_name.setdefault(name, []).append(row)
    stretches: list[tuple[str, str, float, float]] = []
    for path in paths:
        table = read_selection_table(path)
        for number, line in zip(table.index, table.to_dict("records"), strict=True):
            recording = _named_recording(line, path, number, by_path, by_name)
            where = f"{path}, line {number}"
            begin = _number(line.get("File Offset (s)", line["Begin Time (s)"]), where)
            length = _number(line["End Time (s)"], where) - _number(line["Begin Time (s)"], where)
            end = min(begin + length, float(recording.duration_s))
            if not 0 <= begin < end:
                raise ClipError(
                    f"{where}: the selection from {begin:g} to {begin + length:g} s lies outside "
                    f"{recording.path} (0 to {recording.duration_s:.3f} s)."
                )
            stretches.append(
                (recording.recording_id, _raven_channel(line, recording, where), begin, end)
            )
    return pd.DataFrame(stretches, columns=["recording_id", "channel", "start_s", "end_s"])


def _number(cell: Any, where: str) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError) as error:
        raise ClipError(f"{where}: {cell!r} is not a number of seconds.") from error


def _raven_channel(line: dict[Any, Any], recording: Any, where: str) -> str:
    cell = line.get("Channel")
    if cell is None or pd.isna(cell) or recording.n_channels == 1:
        return ""
    channel = int(_number(cell, where))
    if not 1 <= channel <= recording.n_channels:
        raise ClipError(
            f"{where}: channel {channel} of {recording.path}, which has {recording.n_channels}."
        )
    return str(channel)


def _named_recording(
    line: dict[Any, Any],
    path: Path,
    number: int,
    by_path: dict[str, Any],
    by_name: dict[str, list[Any]],
) -> Any:
    where = f"{path}, line {number}"
    begin_path = line.get("Begin Path")
    begin_path = begin_path.replace("\\", "/") if isinstance(begin_path, str) else ""
    if begin_path in by_path:
        return by_path[begin_path]
    name = line.get("Begin File")
    if not isinstance(name, str):
        stem = path.name.split(".Table.")[0] if ".Table." in path.name else path.stem
        name = begin_path.rsplit("/", 1)[-1] or stem.removesuffix(".selections")
    matches = by_name.get(name.lower(), [])
    # The folders may have moved since then: the path below the scanned folder identifies the file.
    of_equal_path = [m for m in matches if f"/{begin_path}".lower().endswith(f"/{m.path}".lower())]
    matches = of_equal_path or matches
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise ClipError(
            f"{where}: no scanned recording is called {name!r}. Scan its folder first, or name it "
            "in a column Begin File."
        )
    raise ClipError(
        f"{where}: {len(matches)} recordings are called {name!r}, such as {matches[0].path} and "
        f"{matches[1].path}. Give the column Begin Path."
    )

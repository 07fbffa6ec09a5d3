"""Cut recordings into clips: windows of one length, whole files, or the rows of selection tables.

A clip is a half-open interval ``[start_s, end_s)`` of one recording, on one channel or the mean of
all. Where a recording or its last window is shorter than the window, the missing seconds are noted
in ``padded_s`` (duration can be a cue); the front end fills them as ``pad`` says.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xxhash

from pseudorca.errors import ClipError, unknown_name
from pseudorca.recordings.audio import MIN_FRAMES, Samples
from pseudorca.recordings.encounters import moment_id
from pseudorca.recordings.manifest import full_path

Pad = Literal["tile", "zero", "drop"]

CLIP_COLUMNS = (
    "clip_id", "recording_id", "moment_id", "channel", "start_s", "end_s", "padded_s", "pad",
    "label", "encounter",
)  # fmt: skip

MIN_WINDOW_S, MIN_HOP_S = 0.02, 0.005
"""Less holds no spectrogram, and a typing error would make millions of clips."""

_RAVEN_COLUMNS = ("Begin Time (s)", "End Time (s)")
# What makes two rows of a Raven table one selection, shown in two views.
_RAVEN_IDENTITY = (
    "Selection", "Channel", *_RAVEN_COLUMNS, "Begin Path", "Begin File", "File Offset (s)",
)  # fmt: skip

_ROUNDING = 1e-9
"""Seconds (or windows) by which sums of decimal fractions may miss what they stand for."""


@dataclass(frozen=True)
class ClipOptions:
    """How recordings are cut."""

    window_s: float | None = 3.0
    """Length of a clip in seconds; None: each recording (or selection) is one clip."""
    overlap_s: float = 0.0
    """Seconds shared by one window and the next."""
    max_per_recording: int | None = None
    """At most so many windows, spread evenly over the recording, overlapping if need be."""
    pad: Pad = "tile"
    """What fills a clip shorter than the window: itself again, zeros, or nothing (``drop``)."""
    min_fill: float = 0.5
    """The last, partial window is kept if at least this share of it is sound."""
    channels: str = "mean"
    """``mean`` of all, ``first``, ``each`` on its own, or the number of one, from 1."""

    def __post_init__(self) -> None:
        if self.window_s is not None and not MIN_WINDOW_S <= self.window_s < math.inf:
            raise ClipError(
                f"window of {self.window_s} s: expected at least {MIN_WINDOW_S} seconds."
            )
        if self.window_s is not None and not (
            0 <= self.overlap_s <= self.window_s - MIN_HOP_S + 1e-9
        ):
            raise ClipError(
                f"overlap of {self.overlap_s} s: expected 0 or more, and at least {MIN_HOP_S} s "
                f"less than the window of {self.window_s} s."
            )
        if self.max_per_recording is not None and self.max_per_recording < 1:
            raise ClipError(f"at most {self.max_per_recording} windows: expected 1 or more.")
        if self.pad not in ("tile", "zero", "drop"):
            raise ClipError(unknown_name("padding", self.pad, ("tile", "zero", "drop")))
        if not 0 < self.min_fill <= 1:
            raise ClipError(f"min_fill {self.min_fill}: expected a share above 0, up to 1.")
        named = self.channels in ("mean", "first", "each")
        if not named and not (self.channels.isdecimal() and int(self.channels) >= 1):
            raise ClipError(
                f"channels {self.channels!r}: expected mean, first, each, or a number from 1."
            )


def windows(duration_s: float, options: ClipOptions) -> list[tuple[float, float]]:
    """Place the windows of one stretch of sound.

    Parameters
    ----------
    duration_s : float, seconds
    options : ClipOptions

    Returns
    -------
    list of (start_s, end_s), half-open, in order, all within ``[0, duration_s)``. The last may be
    shorter than the window, and so may the only one of a stretch shorter than the window. Empty if
    padding is ``drop`` and the stretch is shorter than a window.
    """
    window_s = options.window_s
    if window_s is None:
        return [(0.0, duration_s)]
    if duration_s < window_s - _ROUNDING:
        return [] if options.pad == "drop" else [(0.0, duration_s)]
    hop_s = window_s - options.overlap_s
    if options.max_per_recording is not None:
        # Evenly spread: n windows whose first begins at the beginning and last ends at the end.
        n = min(options.max_per_recording, math.ceil(duration_s / hop_s - _ROUNDING))
        starts = np.linspace(0.0, max(0.0, duration_s - window_s), n).tolist()
        return [(start, min(start + window_s, duration_s)) for start in starts]
    n_full = math.floor((duration_s - window_s) / hop_s + _ROUNDING) + 1
    placed = [(k * hop_s, min(k * hop_s + window_s, duration_s)) for k in range(n_full)]
    start_s = n_full * hop_s
    is_new = duration_s - placed[-1][1] > _ROUNDING  # with overlap, all may have been heard already
    is_filled = duration_s - start_s >= options.min_fill * window_s - _ROUNDING
    if options.pad != "drop" and is_new and is_filled:
        placed.append((start_s, duration_s))
    return placed


def cut(
    recordings: pd.DataFrame,
    options: ClipOptions | None = None,
    *,
    selections: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut recordings into clips.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
    options : ClipOptions or None
    selections : DataFrame or None
        Rows ``recording_id, channel, start_s, end_s`` (see :func:`read_raven`); only these
        stretches are cut, each like a recording of its own. A channel that a selection names goes
        before ``options.channels``.

    Returns
    -------
    clips : DataFrame, the table ``clips``
    problems : DataFrame
        A row for every recording that gave no clip and every selection too short to use, with the
        reason.
    """
    options = options or ClipOptions()
    chosen: dict[str, list[Any]] | None = None
    if selections is not None:
        chosen = {str(k): list(g.itertuples()) for k, g in selections.groupby("recording_id")}
    rows: list[tuple[Any, ...]] = []
    problems: list[tuple[str, str, str, str]] = []
    every: Iterable[Any] = recordings.itertuples()
    for recording in every:
        try:
            channels = _channels(recording, options.channels)
        except ClipError as error:
            problems.append((recording.path, "clips", "no such channel", str(error)))
            continue
        stretches = [(0.0, float(recording.duration_s), channels)]
        if chosen is not None:
            stretches = [
                (row.start_s, row.end_s, [str(row.channel)] if row.channel else channels)
                for row in chosen.get(recording.recording_id, [])
            ]
        n_before, n_short = len(rows), 0
        for offset_s, until_s, heard in stretches:
            if round((until_s - offset_s) * recording.sample_rate) < MIN_FRAMES:
                n_short += 1
                detail = f"selection from {offset_s:g} to {until_s:g} s, need {MIN_FRAMES} samples"
                problems.append(
                    (recording.path, "clips", "shorter than one spectrogram frame", detail)
                )
                continue
            for start_s, end_s in windows(until_s - offset_s, options):
                for channel in heard:
                    rows.append(
                        _clip(recording, channel, offset_s + start_s, offset_s + end_s, options)
                    )
        if len(rows) == n_before and not n_short:
            reason = (
                "no selection" if chosen is not None and not stretches else "shorter than a clip"
            )
            problems.append(
                (
                    recording.path,
                    "clips",
                    reason,
                    f"{recording.duration_s:.3f} s, pad {options.pad}",
                )
            )
    clips = pd.DataFrame(rows, columns=list(CLIP_COLUMNS)).astype(
        dict.fromkeys(set(CLIP_COLUMNS) - {"start_s", "end_s", "padded_s"}, "string")
        | dict.fromkeys(("start_s", "end_s", "padded_s"), "float64")
    )
    clips = clips.drop_duplicates("clip_id", ignore_index=True)
    return clips, pd.DataFrame(
        problems, columns=["path", "stage", "reason", "detail"], dtype="string"
    )


def clip_samples(samples: Samples, channel: str, *, n_frames: int, pad: str) -> Samples:
    """Take a clip's channel from what was read, and fill it up to the length of the window.

    Parameters
    ----------
    samples : ndarray [shape=(n_channels, n)]
    channel : str, ``mean`` or a number from 1
    n_frames : int, samples the clip should have
    pad : ``tile`` or ``zero``

    Returns
    -------
    ndarray [shape=(n_frames,)], float32
    """
    mono = samples.mean(axis=0) if channel == "mean" else samples[int(channel) - 1]
    if len(mono) >= n_frames:
        return np.ascontiguousarray(mono[:n_frames])
    if pad == "zero":
        return np.pad(mono, (0, n_frames - len(mono)))
    return np.resize(mono, n_frames)


def read_raven(paths: Iterable[Path], recordings: pd.DataFrame) -> pd.DataFrame:
    """Read Raven selection tables as stretches of known recordings.

    A table names its recording in ``Begin Path`` or ``Begin File``; without these columns, a table
    ``x.Table.1.selections.txt`` belongs to the recording called ``x``. ``File Offset (s)`` is used
    where present, since Begin Time runs on over several files. The waveform and spectrogram rows of
    one selection count once.

    Parameters
    ----------
    paths : paths of tab-separated tables
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    DataFrame with ``recording_id, channel, start_s, end_s``; channel from 1

    Raises
    ------
    ClipError
        If a table lacks a column, or names a recording that was not scanned or two of one name.
    """
    every: list[Any] = list(recordings.itertuples())
    by_path = {full_path(row).as_posix(): row for row in every}
    by_name: dict[str, list[Any]] = {}
    for row in every:
        for name in {Path(row.path).name.lower(), Path(row.path).stem.lower()}:
            by_name.setdefault(name, []).append(row)
    found: list[tuple[str, str, float, float]] = []
    for path in paths:
        try:
            table = pd.read_csv(
                path, sep="\t", dtype=dict.fromkeys(("Begin File", "Begin Path"), str)
            )
        except (OSError, ValueError) as error:
            raise ClipError(f"selection table {path} cannot be read: {error}") from error
        missing = [column for column in _RAVEN_COLUMNS if column not in table.columns]
        if missing:
            raise ClipError(
                f"{path} is not a Raven selection table: no column {' or '.join(missing)}; "
                f"got {', '.join(table.columns)}."
            )
        if "Selection" in table.columns:
            table = table.drop_duplicates([c for c in _RAVEN_IDENTITY if c in table.columns])
        for number, line in enumerate(table.to_dict("records"), 2):
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
            found.append(
                (recording.recording_id, _raven_channel(line, recording, where), begin, end)
            )
    return pd.DataFrame(found, columns=["recording_id", "channel", "start_s", "end_s"])


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
    # The folders may stand elsewhere since: as much of the path as was scanned tells which it is.
    ends_so = [m for m in matches if f"/{begin_path}".lower().endswith(f"/{m.path}".lower())]
    matches = ends_so or matches
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


def _channels(recording: Any, policy: str) -> list[str]:
    n_channels = int(recording.n_channels)
    if policy == "each":
        return [str(number) for number in range(1, n_channels + 1)]
    if policy == "first" or (policy == "mean" and n_channels == 1):
        return ["1"]
    if policy == "mean":
        return ["mean"]
    if n_channels == 1 and not pd.isna(recording.channel):  # the name says which hydrophone it is
        if int(policy) != recording.channel:
            raise ClipError(f"channel {policy} was asked for, this file holds {recording.channel}")
        return ["1"]
    if int(policy) > n_channels:
        raise ClipError(f"channel {policy} was asked for, this file has {n_channels}")
    return [str(int(policy))]


def _clip(
    recording: Any, channel: str, start_s: float, end_s: float, options: ClipOptions
) -> tuple[Any, ...]:
    padded_s = max(0.0, (options.window_s or 0.0) - (end_s - start_s))
    if padded_s < 0.5 / recording.sample_rate:
        padded_s = 0.0
    text = f"{recording.recording_id}|{channel}|{start_s:.6f}|{end_s:.6f}|{padded_s:.6f}"
    if padded_s:
        text += f"|{options.pad}"
    return (
        xxhash.xxh3_128(text.encode()).hexdigest()[:20],
        recording.recording_id,
        moment_id(recording.moment_id, f"{start_s:.3f}"),
        channel,
        start_s,
        end_s,
        padded_s,
        options.pad if padded_s else "",
        recording.label,
        recording.encounter,
    )

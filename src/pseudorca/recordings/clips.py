"""Cut recordings into clips: windows of one length, whole files, or the rows of selection tables.

A clip is a half-open interval ``[start_s, end_s)`` of one recording, on one channel or the mean of
all channels. If a recording or its last window is shorter than the window, ``padded_s`` holds the
missing seconds, because duration can be a cue. The front end fills a clip as ``pad`` says.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import ClipError
from pseudorca.formats.raven import read_selection_table
from pseudorca.recordings.audio import MIN_FRAMES, Samples
from pseudorca.recordings.manifest import full_path, project_recordings
from pseudorca.recordings.naming import folded, moment_id
from pseudorca.recordings.options import ClipOptions
from pseudorca.results import Result, attention, counted
from pseudorca.store import TABLES, Store, problem_table, shown_problems
from pseudorca.values import nfc, plural

_ROUNDING = 1e-9
"""Rounding error of sums of decimal fractions, in seconds or windows."""


def windows(
    duration_s: float, options: ClipOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place the windows of one stretch of sound.

    Parameters
    ----------
    duration_s : float, seconds
    options : ClipOptions

    Returns
    -------
    starts_s, ends_s : ndarray [shape=(n,)], seconds
        Half-open windows, in order, all within ``[0, duration_s)``. The last window may be shorter
        than the others. A stretch shorter than the window gives one short window, or no window if
        padding is ``drop``.

    Examples
    --------
    >>> starts_s, ends_s = windows(7.0, ClipOptions(window_s=3.0, min_fill=0.3))
    >>> starts_s.tolist(), ends_s.tolist()
    ([0.0, 3.0, 6.0], [3.0, 6.0, 7.0])
    """
    window_s = options.window_s
    whole = np.zeros(1), np.full(1, duration_s)
    if window_s is None:
        return whole
    if duration_s < window_s - _ROUNDING:
        return (np.empty(0), np.empty(0)) if options.pad == "drop" else whole
    hop_s = window_s - options.overlap_s
    if options.max_per_recording is not None:
        # Evenly spread: n windows whose first begins at the beginning and last ends at the end.
        n = min(options.max_per_recording, math.ceil(duration_s / hop_s - _ROUNDING))
        starts_s = np.linspace(0.0, max(0.0, duration_s - window_s), n)
        return starts_s, np.minimum(starts_s + window_s, duration_s)
    n_full = math.floor((duration_s - window_s) / hop_s + _ROUNDING) + 1
    starts_s = np.arange(n_full + 1, dtype=np.float64) * hop_s
    ends_s = np.minimum(starts_s + window_s, duration_s)
    # With overlap, all sound of the last window may be in the window before.
    is_new = duration_s - ends_s[-2] > _ROUNDING
    is_filled = duration_s - starts_s[-1] >= options.min_fill * window_s - _ROUNDING
    n = n_full + (options.pad != "drop" and is_new and is_filled)
    return starts_s[:n], ends_s[:n]


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
        Rows ``recording_id, channel, start_s, end_s`` (see :func:`read_raven`). Only these stretches
        are cut, each like a recording. The channel of a selection wins over ``options.channels``.

    Returns
    -------
    clips : DataFrame, the table ``clips``
    problems : DataFrame
        A row with a reason for every recording without a clip and for every selection that is too
        short.

    Examples
    --------
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["5f1c"], "path": ["a.wav"], "moment_id": ["m"], "n_channels": [1],
    ...      "channel": [None], "sample_rate": [48_000], "duration_s": [7.0],
    ...      "label": ["Insular"], "encounter": ["Sette_44"]}
    ... )
    >>> clips, problems = cut(recordings)
    >>> clips["start_s"].tolist(), len(problems)
    ([0.0, 3.0], 0)
    """
    options = options or ClipOptions()
    selected: dict[str, list[Any]] | None = None
    if selections is not None:
        selected = {
            str(k): list(rows.itertuples()) for k, rows in selections.groupby("recording_id")
        }
    clips = _Clips(recordings, options)
    problems: list[tuple[str, str, str, str]] = []
    every: Iterable[Any] = recordings.itertuples()
    for position, recording in enumerate(every):
        try:
            channels = _channels(recording, options.channels)
        except ClipError as error:
            problems.append((recording.path, "clips", "no such channel", str(error)))
            continue
        stretches = [(0.0, float(recording.duration_s), channels)]
        if selected is not None:
            stretches = [
                (row.start_s, row.end_s, [str(row.channel)] if row.channel else channels)
                for row in selected.get(recording.recording_id, [])
            ]
        n_before, n_short = clips.n, 0
        for offset_s, until_s, channels_of_stretch in stretches:
            if round((until_s - offset_s) * recording.sample_rate) < MIN_FRAMES:
                n_short += 1
                reason = "shorter than one spectrogram frame"
                detail = f"selection from {offset_s:g} to {until_s:g} s, need {MIN_FRAMES} samples"
                problems.append((recording.path, "clips", reason, detail))
                continue
            starts_s, ends_s = windows(until_s - offset_s, options)
            clips.add(
                position, recording, channels_of_stretch, offset_s + starts_s, offset_s + ends_s
            )
        if clips.n == n_before and not n_short:
            reason = "shorter than a clip" if stretches else "no selection"
            detail = f"{recording.duration_s:.3f} s, pad {options.pad}"
            problems.append((recording.path, "clips", reason, detail))
    table = clips.table()
    # Windows of one recording differ, unless selections or a number of windows were given.
    if selections is not None or options.max_per_recording is not None:
        table = table.drop_duplicates("clip_id", ignore_index=True)
    return table, problem_table(problems)


def clip_samples(samples: Samples, channel: str, *, n_frames: int, pad: str) -> Samples:
    """Take one channel of a stretch, and fill the channel up to the length of the window.

    Parameters
    ----------
    samples : ndarray [shape=(n_channels, n)]
    channel : str, ``mean`` or a number from 1
    n_frames : int, samples of the clip
    pad : ``tile`` or ``zero``

    Returns
    -------
    ndarray [shape=(n_frames,)], float32

    Examples
    --------
    >>> samples = np.array([[1, 2], [3, 4]], dtype=np.float32)
    >>> clip_samples(samples, "mean", n_frames=3, pad="tile").tolist()
    [2.0, 3.0, 2.0]
    """
    mono = samples.mean(axis=0) if channel == "mean" else samples[int(channel) - 1]
    if len(mono) >= n_frames:
        return np.ascontiguousarray(mono[:n_frames])
    if pad == "zero":
        return np.pad(mono, (0, n_frames - len(mono)))
    return np.resize(mono, n_frames)


def _channels(recording: Any, policy: str) -> list[str]:
    n_channels = int(recording.n_channels)
    if policy == "each":
        return [str(number) for number in range(1, n_channels + 1)]
    if policy == "first" or (policy == "mean" and n_channels == 1):
        return ["1"]
    if policy == "mean":
        return ["mean"]
    if n_channels == 1 and not pd.isna(recording.channel):  # the file name gives the hydrophone
        if int(policy) != recording.channel:
            raise ClipError(f"channel {policy} was asked for, this file holds {recording.channel}")
        return ["1"]
    if int(policy) > n_channels:
        raise ClipError(f"channel {policy} was asked for, this file has {n_channels}")
    return [str(int(policy))]


class _Clips:
    """The table ``clips``, built stretch by stretch, in little memory: a year has ten million clips."""

    def __init__(self, recordings: pd.DataFrame, options: ClipOptions) -> None:
        self.n = 0
        self._recordings = recordings
        self._options = options
        self._channels: dict[str, int] = {}
        self._integers = [np.empty((2, 0), dtype=np.int32)]  # recording, channel
        self._seconds = [np.empty((3, 0))]  # start, end, padded
        self._ids = [pa.array([], pa.large_string())]
        self._moments = [pa.array([], pa.large_string())]

    def add(
        self,
        position: int,
        recording: Any,
        channels: list[str],
        starts_s: NDArray[np.float64],
        ends_s: NDArray[np.float64],
    ) -> None:
        """Add windows [shape=(n,)] of a recording for each channel. ``position``: its row."""
        padded_s = np.maximum(0.0, (self._options.window_s or 0.0) - (ends_s - starts_s))
        padded_s[padded_s < 0.5 / recording.sample_rate] = 0.0
        heads = [f"{recording.recording_id}|{channel}|" for channel in channels]
        ids, moments = [], []
        for start_s, end_s, missing_s in zip(
            starts_s.tolist(), ends_s.tolist(), padded_s.tolist(), strict=True
        ):
            missing = f"{missing_s:.6f}|{self._options.pad}" if missing_s else "0.000000"
            rest = f"{start_s:.6f}|{end_s:.6f}|{missing}"
            moment = moment_id(recording.moment_id, f"{start_s:.3f}")
            for head in heads:
                ids.append(xxhash.xxh3_128_hexdigest((head + rest).encode())[:20])
                moments.append(moment)
        codes = [self._channels.setdefault(channel, len(self._channels)) for channel in channels]
        places = np.full(len(ids), position)
        self._integers.append(np.array([places, np.tile(codes, len(starts_s))], dtype=np.int32))
        seconds = np.array([starts_s, ends_s, padded_s])
        self._seconds.append(np.repeat(seconds, len(channels), axis=1))
        self._ids.append(pa.array(ids, pa.large_string()))
        self._moments.append(pa.array(moments, pa.large_string()))
        self.n += len(ids)

    def table(self) -> pd.DataFrame:
        """Build the table, with the columns of each clip's recording."""
        position, channel = np.concatenate(self._integers, axis=1)
        start_s, end_s, padded_s = np.concatenate(self._seconds, axis=1)

        def of_recording(column: str) -> Any:
            return self._recordings[column].astype("string").array.take(position)

        channels = pd.array([*self._channels], dtype="string")
        pads = pd.array(["", self._options.pad], dtype="string")
        columns = {
            "clip_id": _strings(self._ids),
            "recording_id": of_recording("recording_id"),
            "moment_id": _strings(self._moments),
            "channel": channels.take(channel),
            "start_s": start_s,
            "end_s": end_s,
            "padded_s": padded_s,
            "pad": pads.take((padded_s > 0).astype(np.int8)),
            "label": of_recording("label"),
            "encounter": of_recording("encounter"),
        }
        return pd.DataFrame(columns, columns=list(TABLES["clips"]), copy=False)


def _strings(parts: list[pa.Array]) -> Any:
    text = pd.StringDtype()
    return pa.chunked_array(parts).combine_chunks().to_pandas(types_mapper=lambda _: text).array


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
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["5f1c"], "root": ["/data"], "path": ["x.wav"], "n_channels": [1],
    ...      "duration_s": [9.0]}
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.Table.1.selections.txt"
    ...     _ = path.write_text("Begin Time (s)\\tEnd Time (s)\\n0.5\\t2.0\\n")
    ...     table = read_raven([path], recordings)
    >>> table[["recording_id", "start_s", "end_s"]].values.tolist()
    [['5f1c', 0.5, 2.0]]
    """
    recording_rows: list[Any] = list(recordings.itertuples())
    by_path = {nfc(str(full_path(row)).replace("\\", "/")): row for row in recording_rows}
    by_name: dict[str, list[Any]] = {}
    for row in recording_rows:
        for name in {folded(Path(row.path).name), folded(Path(row.path).stem)}:
            by_name.setdefault(name, []).append(row)
    stretches: list[tuple[str, str, float, float]] = []
    for path in paths:
        table = read_selection_table(path)
        for number, line in zip(table.index, table.to_dict("records"), strict=True):
            where = f"{path}, line {number}"
            recording = _named_recording(line, path, where, by_path, by_name)
            start_s = _number(line.get("File Offset (s)", line["Begin Time (s)"]), where)
            length_s = _number(line["End Time (s)"], where) - _number(line["Begin Time (s)"], where)
            end_s = min(start_s + length_s, float(recording.duration_s))
            if not 0 <= start_s < end_s:
                raise ClipError(
                    f"{where}: the selection from {start_s:g} to {start_s + length_s:g} s lies "
                    f"outside {recording.path} (0 to {recording.duration_s:.3f} s)."
                )
            channel = _raven_channel(line, recording, where)
            stretches.append((recording.recording_id, channel, start_s, end_s))
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
    where: str,
    by_path: dict[str, Any],
    by_name: dict[str, list[Any]],
) -> Any:
    """Find the recording of one line of a table. ``where``: the line, for the message."""
    begin_path = line.get("Begin Path")
    begin_path = nfc(begin_path.replace("\\", "/")) if isinstance(begin_path, str) else ""
    if begin_path in by_path:
        return by_path[begin_path]
    name = line.get("Begin File")
    if not isinstance(name, str):
        stem = path.name.split(".Table.")[0] if ".Table." in path.name else path.stem
        name = begin_path.rsplit("/", 1)[-1] or stem.removesuffix(".selections")
    matches = by_name.get(folded(name), [])
    # The folders may have moved since then: the path below the scanned folder identifies the file.
    begin = folded(f"/{begin_path}")
    of_equal_path = [m for m in matches if begin.endswith(folded(f"/{m.path}"))]
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


@dataclass(frozen=True, eq=False, repr=False)
class ClipsResult(Result):
    """The clips of the recordings, and the recordings without a clip.

    Examples
    --------
    >>> clips = pd.DataFrame({"label": ["Insular"], "moment_id": ["m"], "padded_s": [0.0]})
    >>> print(ClipsResult(clips, problem_table([])))
    1 clip of 1 moment; 0 are shorter than the window and filled.
    Clips by class: Insular 1.
    No problems.
    """

    clips: pd.DataFrame
    problems: pd.DataFrame

    @property
    def clips_per_class(self) -> dict[str, int]:
        """Number of clips by class, the most frequent class first."""
        counts = self.clips["label"].fillna("unlabelled").value_counts()
        return {str(label): int(n) for label, n in counts.items()}

    @property
    def n_moments(self) -> int:
        """Number of moments of all clips."""
        return int(self.clips["moment_id"].nunique())

    @property
    def n_padded(self) -> int:
        """Number of clips that are shorter than the window and were filled."""
        return int((self.clips["padded_s"] > 0).sum())

    def as_json(self) -> dict[str, Any]:
        """The counts, and the problems."""
        return {
            "n_clips": len(self.clips),
            "n_moments": self.n_moments,
            "n_padded": self.n_padded,
            "clips_per_class": self.clips_per_class,
            "n_problems": len(self.problems),
            "problems": self.problems.to_dict("records"),
        }

    def summary(self) -> Sequence[str]:
        """The numbers of clips: of all, by class, and filled; the number of problems."""
        return [
            f"{plural(len(self.clips), 'clip')} of {plural(self.n_moments, 'moment')}; "
            f"{self.n_padded} are shorter than the window and filled.",
            f"Clips by class: {counted(self.clips_per_class)}.",
            attention(len(self.problems)),
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per class: the number of its clips."""
        return pd.DataFrame(self.clips_per_class.items(), columns=["class", "clips"])


def clips_project(
    store: Store, options: ClipOptions | None = None, *, selections: Sequence[Path] = ()
) -> ClipsResult:
    """Cut the recordings into clips, or only the selections of Raven tables.

    Parameters
    ----------
    store : Store
    options : ClipOptions or None
    selections : list of paths
        Raven selection tables, or folders of tables (``*.txt``, at any depth). Only these stretches
        are cut.

    Returns
    -------
    ClipsResult

    Raises
    ------
    ClipError
        As :func:`read_raven`.
    ManifestError
        If the project holds no recordings.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clips_project(Store(folder, create=True), ClipOptions(window_s=2.0))
    Traceback (most recent call last):
    pseudorca.errors.ManifestError: ... holds no recordings. Run: pseudorca scan ...
    """
    options = options or ClipOptions()
    tables = _selection_tables(selections)
    clips, problems = _cut_project(store, options, tables)
    store.keep_setting("clips", asdict(options))
    store.keep_setting("selections", [str(path.resolve()) for path in tables])
    store.write("clips", clips)
    store.replace("problems", problems, stage="clips")
    store.record_run("clips", asdict(options), ("recordings", "clips"))
    return ClipsResult(clips, shown_problems(problems))


def project_clips(store: Store) -> pd.DataFrame:
    """Read the clips of a project. A project without clips is cut first, and the clips are stored.

    Parameters
    ----------
    store : Store

    Returns
    -------
    DataFrame, the table ``clips``

    Raises
    ------
    ClipError, ManifestError
        As :func:`clips_project`.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.store import as_table
    >>> row = {"clip_id": "5f1c", "recording_id": "09ab", "start_s": 0.0, "end_s": 3.0}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.write("clips", as_table("clips", [row]))
    ...     project_clips(store)["clip_id"].tolist()
    ['5f1c']
    """
    clips = store.read("clips")
    if clips.empty:
        options, selections = _clip_settings(store)
        clips = clips_project(store, options, selections=selections).clips
    return clips


def read_clips(store: Store) -> pd.DataFrame:
    """Read the clips of a project like :func:`project_clips`, without writing.

    Parameters
    ----------
    store : Store

    Returns
    -------
    DataFrame, the table ``clips``

    Raises
    ------
    ClipError, ManifestError
        As :func:`clips_project`.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.store import as_table
    >>> row = {"clip_id": "5f1c", "recording_id": "09ab", "start_s": 0.0, "end_s": 3.0}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.write("clips", as_table("clips", [row]))
    ...     read_clips(store)["clip_id"].tolist()
    ['5f1c']
    """
    clips = store.read("clips")
    if clips.empty:
        clips, _ = _cut_project(store, *_clip_settings(store))
    return clips


def _clip_settings(store: Store) -> tuple[ClipOptions, list[Path]]:
    """Return the settings of the last cutting, or the defaults."""
    options = ClipOptions(**(store.setting("clips") or {}))
    return options, [Path(path) for path in store.setting("selections") or ()]


def _cut_project(
    store: Store, options: ClipOptions, tables: Sequence[Path]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables ``clips`` and ``problems``."""
    recordings = project_recordings(store)
    selections = read_raven(tables, recordings) if tables else None
    return cut(recordings, options, selections=selections)


def _selection_tables(paths: Sequence[Path]) -> list[Path]:
    """List the given tables, and the tables in the given folders. ClipError for a folder of none."""
    tables: list[Path] = []
    for path in paths:
        of_path = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
        if not of_path:
            raise ClipError(
                f"--selections {path}: expected Raven tables, and it holds no .txt file."
            )
        tables += of_path
    return tables


def sample_clips(clips: pd.DataFrame, recordings: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most ``most`` clips of each encounter, spread evenly in time.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    most : int, clips per encounter and label

    Returns
    -------
    DataFrame, rows of ``clips`` in their order

    Examples
    --------
    >>> clips = pd.DataFrame({"recording_id": "r1", "encounter": "e1", "label": "A", "channel": 0,
    ...                       "start_s": [0.0, 2.0, 4.0]})
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "start_utc": pd.NaT, "path": "a.wav"})
    >>> sample_clips(clips, recordings, 2)["start_s"].tolist()
    [0.0, 4.0]
    """
    start = recordings.set_index("recording_id")[["start_utc", "path"]]
    order = clips.join(start, on="recording_id").sort_values(
        ["start_utc", "path", "start_s", "channel"], na_position="last"
    )
    kept = []
    for _, of_encounter in order.groupby(["encounter", "label"], sort=False):
        rows = of_encounter.index.to_numpy()
        if len(rows) > most:
            rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
        kept.append(rows)
    return clips.loc[np.sort(np.concatenate(kept))].reset_index(drop=True)

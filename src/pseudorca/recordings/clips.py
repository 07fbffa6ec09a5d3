"""Cut recordings into clips: windows of one length, whole files, or the rows of selection tables.

A clip is a half-open interval ``[start_s, end_s)`` of one recording, on one channel or the mean of
all channels. If a recording or its last window is shorter than the window, ``padded_s`` holds the
missing seconds, because duration can be a cue. The front end fills a clip as ``pad`` says.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import AudioError, ClipError, TableError
from pseudorca.formats.raven import read_selection_table
from pseudorca.formats.user_tables import UserTable
from pseudorca.recordings.audio import MIN_FRAMES, Samples, mix
from pseudorca.recordings.manifest import project_recordings
from pseudorca.recordings.matching import Files
from pseudorca.recordings.naming import folded, moment_id
from pseudorca.recordings.options import ClipOptions
from pseudorca.recordings.timeline import heard
from pseudorca.results import NO_SELECTION, Result, attention, counted, n_without_selection
from pseudorca.store import TABLES, Store, problem_table, shown_problems
from pseudorca.values import plural

_ROUNDING = 1e-9
"""Rounding error of sums of decimal fractions, in seconds or windows."""

_SECONDS = ("Begin Time (s)", "End Time (s)", "File Offset (s)")
_TOLERANCE_S = 0.05  # a selection to the end of a file ends a little after it, where Raven rounds
_MOST_SHOWN = 5
_TABLE_ENDINGS = frozenset((".txt", ".csv", ".tsv", ".xlsx"))


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
        stretches = _around_holes(stretches, recording)
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
            reason = "shorter than a clip" if stretches else NO_SELECTION
            detail = f"{recording.duration_s:.3f} s, pad {options.pad}" if stretches else ""
            problems.append((recording.path, "clips", reason, detail))
    table = clips.table()
    # Windows of one recording differ, unless selections or a number of windows were given.
    if selections is not None or options.max_per_recording is not None:
        table = table.drop_duplicates("clip_id", ignore_index=True)
    return table, problem_table(problems)


def _around_holes(
    stretches: list[tuple[float, float, list[str]]], recording: Any
) -> list[tuple[float, float, list[str]]]:
    """Take what is lost inside a recording out of stretches; one that is lost becomes empty."""
    holes = getattr(recording, "holes", None)
    if holes is None or pd.isna(holes):
        return stretches
    sound, least_s = heard(float(recording.duration_s), holes), MIN_FRAMES / recording.sample_rate
    left = []
    for start_s, end_s, channels in stretches:
        parts = [(max(start_s, begin), min(end_s, end)) for begin, end in sound]
        parts = [part for part in parts if part[1] - part[0] >= least_s] or [(start_s, start_s)]
        left += [(*part, channels) for part in parts]
    return left


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
    mono = mix(samples) if channel == "mean" else samples[int(channel) - 1]
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


@dataclass(frozen=True, eq=False)
class Selections:
    """Stretches of known recordings that a person selected.

    Examples
    --------
    >>> Selections(pd.DataFrame(), [("a.txt", "clips", "no such recording", "x.wav")]).problems[0][2]
    'no such recording'
    """

    stretches: pd.DataFrame
    """``recording_id, channel, start_s, end_s``. Channels count from 1; an empty one is none."""
    problems: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Selections and tables that cannot be used: rows of ``problems``."""
    notices: list[str] = field(default_factory=list)
    """What the tables were taken for, and which files were passed over."""


def read_raven(
    paths: Iterable[Path], recordings: pd.DataFrame, *, unusable: Mapping[str, str] | None = None
) -> Selections:
    """Read selection tables of Raven, and label tracks of Audacity, as stretches of recordings.

    A table names its recording in ``Begin Path`` or ``Begin File``. Without these columns, a table
    ``x.Table.1.selections.txt`` belongs to the recording ``x``. ``File Offset (s)`` is used if the
    table has this column, because Begin Time continues over several files. The waveform row and the
    spectrogram row of one selection count once. A file that is no such table is passed over.

    Parameters
    ----------
    paths : paths of tables
    recordings : DataFrame, the table ``recordings``
    unusable : dict or None, files that scan could not use, and why

    Returns
    -------
    Selections

    Raises
    ------
    ClipError
        If none of the files is a table of selections.

    Examples
    --------
    >>> import tempfile
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["5f1c"], "root": ["/data"], "path": ["x.wav"], "n_channels": [1],
    ...      "duration_s": [9.0]}
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.Table.1.selections.txt"
    ...     _ = path.write_text("Begin Time (s)\\tEnd Time (s)\\n0.5\\t2.0\\n20\\t21\\n")
    ...     found = read_raven([path], recordings)
    >>> found.stretches[["recording_id", "start_s", "end_s"]].values.tolist()
    [['5f1c', 0.5, 2.0]]
    >>> found.problems[0][2]
    'selection outside the recording'
    """
    search = _Search(recordings, unusable or {})
    found = Selections(pd.DataFrame())
    stretches: list[tuple[str, str, float, float]] = []
    taken: Counter[str] = Counter()
    refused: list[str] = []
    passed_over: list[str] = []
    odd: list[str] = []
    cut_s: list[float] = []
    for path in paths:
        try:
            table = read_selection_table(path)
        except TableError as error:
            refused.append(str(error))
            if ".selections" in path.name.lower() and path.exists() and path.stat().st_size:
                found.problems.append((str(path), "clips", "no selection table", str(error)))
            else:
                passed_over.append(str(error))
            continue
        first, *more = table.notices
        taken[first.removeprefix(f"{path.name}: ")] += 1
        odd += more
        of_table, problems = _stretches(table, path, search)
        found.problems.extend(problems)
        for recording, channel, start_s, end_s in of_table:
            if end_s > recording.duration_s + _TOLERANCE_S:
                cut_s.append(end_s - recording.duration_s)
            end_s = min(end_s, float(recording.duration_s))
            stretches.append((recording.recording_id, channel, start_s, end_s))
    if refused and not taken:
        raise ClipError(f"--selections: no file is a table of selections: {refused[0]}")
    found.notices.extend(f"{plural(n, 'selection table')}: {kind}" for kind, n in taken.items())
    found.notices.extend(odd[:_MOST_SHOWN])
    if len(odd) > _MOST_SHOWN:
        found.notices.append(f"{len(odd) - _MOST_SHOWN} more such notices on other tables.")
    if passed_over:
        shown = " ".join(passed_over[:_MOST_SHOWN])
        found.notices.append(f"{plural(len(passed_over), 'file')} passed over: {shown}")
    if cut_s:
        found.notices.append(
            f"{plural(len(cut_s), 'selection')} went on after the end of the recording, by up to "
            f"{max(cut_s):.3g} s; the part that is there is used."
        )
    columns = ["recording_id", "channel", "start_s", "end_s"]
    return replace(found, stretches=pd.DataFrame(stretches, columns=columns))


def _stretches(
    table: UserTable, path: Path, search: "_Search"
) -> tuple[list[tuple[Any, str, float, float]], list[tuple[str, str, str, str]]]:
    """The selections of one table (recording, channel, begin, end), and its problems."""
    stretches = []
    problems = [
        (str(path), "clips", "broken row", f"line {line}: {why}; the selection is not used")
        for line, why in table.broken.items()
    ]
    seconds = {name: table.numbers(name) for name in _SECONDS if name in table.cells}
    strangers: Counter[tuple[str, str, str]] = Counter()
    for number, line in table.rows():
        name = _recording_name(line, path)
        recording = search.recording(name)
        if recording is None:
            strangers[search.why_none(name)] += 1
            continue
        try:
            numbers = {column: float(values.loc[number]) for column, values in seconds.items()}
            start_s, end_s = _span(numbers, line, recording)
            stretches.append((recording, _raven_channel(line, recording), start_s, end_s))
        except AudioError as error:
            where = f"{path.name}, line {number}: {error.detail}"
            problems.append((recording.path, "clips", error.reason, where))
    for (path_of, reason, why), n in strangers.items():
        detail = f"{plural(n, 'selection')} of {path.name}: {why}"
        problems.append((path_of or str(path), "clips", reason, detail))
    return stretches, problems


class _Search:
    """The recordings by what a table calls them, and the files that scan could not use."""

    def __init__(self, recordings: pd.DataFrame, unusable: Mapping[str, str]) -> None:
        self._rows: list[Any] = list(recordings.itertuples())
        self._files = Files((str(row.root), row.path) for row in self._rows)
        self._lost = [*unusable.items()]
        self._lost_files = Files(("", path) for path in unusable)

    def recording(self, name: str) -> Any:
        """The row of the recording of a name; None if there is none, or several."""
        places, _ = self._files.find(name, by_name=True)
        return self._rows[places[0]] if len(places) == 1 else None

    def why_none(self, name: str) -> tuple[str, str, str]:
        """Path, reason and detail of the problem that a name is of no recording, or of several."""
        places, _ = self._files.find(name, by_name=True)
        if places:
            shown = " and ".join(self._rows[place].path for place in places[:2])
            detail = (
                f"{len(places)} are called {name!r}, such as {shown}; give the column Begin Path"
            )
            return "", "several recordings of this name", detail
        lost, _ = self._lost_files.find(name, by_name=True)
        if lost:
            path, reason = self._lost[lost[0]]
            return path, "recording not usable", reason
        return "", "no such recording", f"no scanned recording is called {name!r}"


def _span(
    numbers: Mapping[str, float], line: Mapping[Any, str], recording: Any
) -> tuple[float, float]:
    """Begin and end of a selection in its file. AudioError with the reason if there is none."""
    for name, value in numbers.items():
        if not math.isfinite(value):
            detail = f"{name} is {line[name]!r}, no number of seconds"
            raise AudioError("selection without times", detail)
    begin_s = numbers["Begin Time (s)"]
    start_s = numbers.get("File Offset (s)", begin_s)
    end_s = start_s + numbers["End Time (s)"] - begin_s
    if not 0 <= start_s < min(end_s, float(recording.duration_s)):
        raise AudioError(
            "selection outside the recording",
            f"from {start_s:g} to {end_s:g} s, the recording has {recording.duration_s:.3f} s",
        )
    return start_s, end_s


def _raven_channel(line: Mapping[Any, str], recording: Any) -> str:
    cell = line.get("Channel", "")
    if not cell or recording.n_channels == 1:
        return ""
    whole = re.fullmatch(r"(\d+)([.,]0*)?", cell)
    if whole is None or not 1 <= int(whole[1]) <= recording.n_channels:
        detail = f"channel {cell}, the recording has {recording.n_channels}"
        raise AudioError("no such channel", detail)
    return str(int(whole[1]))


def _recording_name(line: Mapping[Any, str], path: Path) -> str:
    """What a line of a table, or else the name of the table, calls its recording."""
    begin_path, begin_file = line.get("Begin Path", ""), line.get("Begin File", "")
    if begin_path and (not begin_file or folded(begin_path).endswith(folded(begin_file))):
        return begin_path
    if begin_file:
        return begin_file
    stem = re.split(r"\.Table\.", path.name, flags=re.IGNORECASE)[0]
    return (path.stem if stem == path.name else stem).removesuffix(".selections")


@dataclass(frozen=True, eq=False, repr=False)
class ClipsResult(Result):
    """The clips of the recordings, and the recordings without a clip.

    Examples
    --------
    >>> clips = pd.DataFrame({"label": ["Insular"], "moment_id": ["m"], "padded_s": [0.0]})
    >>> print(ClipsResult(clips, problem_table([])))
    1 clip of 1 moment, 0 of them filled up to the window.
    Clips by class: Insular 1.
    No problems.
    """

    clips: pd.DataFrame
    problems: pd.DataFrame
    notices: list[str] = field(default_factory=list)

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

    @property
    def n_without_selection(self) -> int:
        """Number of recordings that were left out since no selection is of them."""
        return n_without_selection(self.problems)

    def as_json(self) -> dict[str, Any]:
        """The counts, and the problems."""
        return {
            "n_clips": len(self.clips),
            "n_moments": self.n_moments,
            "n_padded": self.n_padded,
            "clips_per_class": self.clips_per_class,
            "n_problems": len(self.problems) - self.n_without_selection,
            "n_without_selection": self.n_without_selection,
            "problems": self.problems.to_dict("records"),
            "notices": self.notices,
        }

    def summary(self) -> Sequence[str]:
        """The numbers of clips: of all, by class, and filled; the number of problems."""
        n = self.n_without_selection
        left_out = f" Without a selection: {plural(n, 'file')}." if n else ""
        return [
            f"{plural(len(self.clips), 'clip')} of {plural(self.n_moments, 'moment')}, "
            f"{self.n_padded:,} of them filled up to the window.",
            f"Clips by class: {counted(self.clips_per_class)}.",
            attention(len(self.problems) - n, self.notices) + left_out,
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
        Selection tables of Raven, label tracks of Audacity, or folders of them, at any depth. Only
        these stretches are cut.

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
    clips, problems, notices = _cut_project(store, options, tables)
    store.keep_setting("clips", asdict(options))
    store.keep_setting("selections", [str(path.resolve()) for path in tables])
    store.write("clips", clips)
    store.replace("problems", problems, stage="clips")
    store.record_run("clips", asdict(options), ("recordings", "clips"))
    return ClipsResult(clips, shown_problems(problems), notices)


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
        clips, *_ = _cut_project(store, *_clip_settings(store))
    return clips


def _clip_settings(store: Store) -> tuple[ClipOptions, list[Path]]:
    """Return the settings of the last cutting, or the defaults."""
    options = ClipOptions(**(store.setting("clips") or {}))
    return options, [Path(path) for path in store.setting("selections") or ()]


def _cut_project(
    store: Store, options: ClipOptions, tables: Sequence[Path]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The tables ``clips`` and ``problems``, and notices."""
    recordings = project_recordings(store)
    if not tables:
        return *cut(recordings, options), []
    scan = store.read("problems", where="stage = 'scan'")
    unusable = dict(zip(scan["path"], scan["reason"], strict=True))
    selections = read_raven(tables, recordings, unusable=unusable)
    clips, problems = cut(recordings, options, selections=selections.stretches)
    odd = problem_table(selections.problems)
    return clips, pd.concat([odd, problems], ignore_index=True), selections.notices


def _selection_tables(paths: Sequence[Path]) -> list[Path]:
    """List the given files, and those in the given folders that may be tables."""
    tables: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ClipError(f"--selections {path}: there is no such file or folder.")
        of_path = [path]
        if path.is_dir():
            of_path = sorted(
                file for file in path.rglob("*")
                if file.suffix.lower() in _TABLE_ENDINGS and not file.name.startswith((".", "~$"))
            )  # fmt: skip
        if not of_path:
            raise ClipError(
                f"--selections {path}: expected tables of selections, and it holds no .txt file."
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

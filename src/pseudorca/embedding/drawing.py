"""Clips to network inputs: files read ahead and pictures drawn in threads, in order."""

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.gate import Gate
from pseudorca.errors import AudioError
from pseudorca.frontends.base import Picture
from pseudorca.progress import Progress
from pseudorca.recordings import audio
from pseudorca.recordings.clips import clip_samples
from pseudorca.recordings.manifest import check_unchanged, full_path

if TYPE_CHECKING:
    import torch

UNIT_CLIPS = 256
"""Number of neighbouring clips in a unit of work; a batch stays inside a unit."""
_CLIPS_PER_TASK = 8
TASKS_AHEAD = 3  # per thread
_MOST_OPEN = 64  # files that can only be read forwards


@dataclass(frozen=True)
class Unit:
    """Clips to embed together, and their rows of ``recordings`` by id.

    Examples
    --------
    >>> Unit([SimpleNamespace(clip_id="c1", recording_id="r1")], {"r1": SimpleNamespace()}).clips
    [namespace(clip_id='c1', recording_id='r1')]
    """

    clips: list[SimpleNamespace]
    recordings: dict[str, SimpleNamespace]


def units_of(
    clips: pd.DataFrame, recordings: pd.DataFrame, done: Set[str], embedded: Set[str]
) -> Iterator[Unit]:
    """Cut a table of clips into units, without the clips that are done.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    done : set of str, ids of clips to leave out
    embedded : set of str
        Ids of clips with an embedding; such a clip that is not done only has to pass the gate

    Yields
    ------
    Unit

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": ["c1", "c2"], "recording_id": ["r1", "r1"]})
    >>> recordings = pd.DataFrame({"recording_id": ["r1"]})
    >>> [len(unit.clips) for unit in units_of(clips, recordings, {"c1"}, set())]
    [1]
    """
    used_recordings = recordings[recordings["recording_id"].isin(clips["recording_id"])]
    by_id = {row.recording_id: row for row in _rows(used_recordings)}
    for start in range(0, len(clips), UNIT_CLIPS):
        rows = clips.iloc[start : start + UNIT_CLIPS]
        rows = rows[~rows["clip_id"].isin(done)]
        if len(rows):
            todo = _rows(rows.assign(is_embedded=rows["clip_id"].isin(embedded)))
            used = dict.fromkeys(clip.recording_id for clip in todo)
            yield Unit(todo, {key: by_id[key] for key in used})


def _rows(table: pd.DataFrame) -> list[SimpleNamespace]:
    """The rows of a table as plain objects that can be sent to other processes."""
    return [
        SimpleNamespace(**{str(name): value for name, value in row.items()})
        for row in table.to_dict("records")
    ]


@dataclass(frozen=True)
class Drawn:
    """A clip that was read: the network input (None behind the gate), or the problem.

    Examples
    --------
    >>> Drawn("c1", "a.wav", problem=("a.wav", "embed", "silent", "")).picture is None
    True
    """

    clip_id: str
    path: str
    picture: Picture | None = None
    excess_db: float | None = None
    problem: tuple[str, str, str, str] | None = None


@contextmanager
def one_core_each(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads; in each thread torch uses one core.

    Parameters
    ----------
    n_threads : int

    Yields
    ------
    ThreadPoolExecutor

    Examples
    --------
    >>> import torch
    >>> with one_core_each(2) as pool:
    ...     pool.submit(torch.get_num_threads).result()
    1
    """
    import torch

    with (
        cores_given_back(),
        ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        yield pool


_cores_lock = threading.Lock()
_cores_before = [0, 0]
"""Number of open contexts of :func:`cores_given_back`, and torch's threads before the first."""


@contextmanager
def cores_given_back() -> Iterator[None]:
    """Restore torch's number of threads at the end of the context.

    Several threads may be in such contexts at the same time and leave them in any order. A call of
    ``set_num_threads`` in one thread holds for all later threads. So the restored number is the one
    from before the first context.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with cores_given_back():
    ...     torch.set_num_threads(1)
    >>> torch.get_num_threads() == before
    True
    """
    import torch

    with _cores_lock:
        if not _cores_before[0]:
            _cores_before[1] = torch.get_num_threads()
        _cores_before[0] += 1
    try:
        yield
    finally:
        with _cores_lock:
            _cores_before[0] -= 1
            torch.set_num_threads(_cores_before[1])


def picture_batches(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    *,
    batch_size: int = 32,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator["torch.Tensor"]:
    """Yield the network input of usable clips, uint8 [shape=(n, 3, height, width)], on the device.

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> from pseudorca.backbones import load_backbone
    >>> front_end = CommonFrontEnd(colours="grey", spread="range")
    >>> embedder = Embedder(front_end, load_backbone("pseudorca_small"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     batches = [batch.shape for batch in picture_batches(clips, recordings, embedder)]
    >>> batches
    [torch.Size([1, 3, 128, 372])]
    """
    import torch

    waiting: list[Picture] = []

    def batches() -> Iterator["torch.Tensor"]:
        for shape in sorted({picture.shape for picture in waiting}):
            alike = np.stack([picture for picture in waiting if picture.shape == shape])
            yield torch.from_numpy(alike).permute(0, 3, 1, 2).to(embedder.device)
        waiting.clear()

    drawn = clip_pictures(clips, recordings, embedder, n_threads=n_threads)
    for n_seen, (_, picture) in enumerate(drawn, 1):
        if picture is not None:
            waiting.append(picture)
        if len(waiting) == batch_size:
            yield from batches()
        if progress:
            progress(n_seen, len(clips))
    yield from batches()


def clip_pictures(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    *,
    n_threads: int | None = None,
) -> Iterator[tuple[str, Picture | None]]:
    """Draw the network input of clips, in the order of the clips, with threads reading ahead.

    Yields
    ------
    (clip_id, picture [shape=(height, width, 3)], uint8, or None if the clip cannot be used)

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     pictures = [picture.shape for _, picture in clip_pictures(clips, recordings, embedder)]
    >>> pictures
    [(1, 256)]
    """
    units = units_of(clips, recordings, set(), set())
    n_threads = n_threads or os.cpu_count() or 1
    with OpenFiles() as files, one_core_each(n_threads) as pool:
        ahead = n_threads * TASKS_AHEAD
        with closing(draw_ahead(units, embedder, None, files, pool, ahead)) as drawn_clips:
            for _, drawn in drawn_clips:
                yield drawn.clip_id, drawn.picture


def draw_ahead(
    units: Iterable[Unit],
    embedder: Embedder,
    gate: Gate | None,
    files: "OpenFiles",
    pool: ThreadPoolExecutor,
    most: int,
) -> Generator[tuple[int, Drawn], None, None]:
    """Draw the clips of units in order; threads work ahead.

    Parameters
    ----------
    units : iterable of Unit
    embedder : Embedder
    gate : Gate or None
    files : OpenFiles
    pool : ThreadPoolExecutor
    most : int, greatest number of tasks ahead

    Yields
    ------
    (number of the unit, Drawn)

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     units = units_of(clips, recordings, set(), set())
    ...     with OpenFiles() as files, one_core_each(2) as pool:
    ...         drawn = list(draw_ahead(units, embedder, None, files, pool, most=6))
    >>> [(unit, clip.picture.shape) for unit, clip in drawn]
    [(0, (1, 256))]
    """
    ahead: deque[tuple[int, Future[list[Drawn]]]] = deque()
    try:
        for number, unit in enumerate(units):
            for task in _tasks(unit.clips):  # neighbours in one recording share one open file
                recording = unit.recordings[task[0].recording_id]
                future = pool.submit(_draw, recording, task, embedder, gate, files)
                ahead.append((number, future))
                if len(ahead) >= most:
                    n, first = ahead.popleft()
                    yield from ((n, drawn_clip) for drawn_clip in first.result())
        while ahead:
            n, first = ahead.popleft()
            yield from ((n, drawn_clip) for drawn_clip in first.result())
    finally:
        for _, future in ahead:
            future.cancel()


def _tasks(clips: Sequence[SimpleNamespace]) -> Iterator[list[SimpleNamespace]]:
    for _, of_recording in groupby(clips, key=lambda clip: clip.recording_id):
        task = list(of_recording)
        for start in range(0, len(task), _CLIPS_PER_TASK):
            yield task[start : start + _CLIPS_PER_TASK]


class OpenFiles:
    """Keeps files that can only be read forwards open from one task to the next.

    A compressed file that is opened again must be decoded from its beginning.

    Examples
    --------
    >>> import soundfile
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     with OpenFiles() as files:
    ...         rate, sounds = files.read(next(recordings.itertuples()), list(clips.itertuples()))
    >>> rate, [len(sound) for sound in sounds]
    (32000, [96000])
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _OpenFile] = {}

    def __enter__(self) -> "OpenFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._open.values():
            held.close()

    def read(self, recording: Any, clips: Sequence[Any]) -> tuple[int, list[Any]]:
        """The sample rate of a recording, and the samples or the AudioError of each clip."""
        path = full_path(recording)
        if not audio.is_read_forwards(recording.format):
            with audio.Reader(path) as reader:
                check_unchanged(recording, fingerprint=reader.fingerprint)
                return _read(reader, clips)
        with self._using(recording.recording_id) as held, held.lock:
            if held.reader is None:
                held.reader = audio.Reader(path)
            check_unchanged(recording, fingerprint=held.reader.fingerprint)
            sounds = _read(held.reader, clips)
            if clips[-1].end_s >= recording.duration_s - 1e-6:
                held.close()
            return sounds

    @contextmanager
    def _using(self, recording_id: str) -> Iterator["_OpenFile"]:
        """The open file of a recording; no other thread closes the file meanwhile."""
        with self._lock:
            held = self._open.pop(recording_id, None) or _OpenFile()
            # Last in order: files that were used long ago are closed first.
            self._open[recording_id] = held
            held.n_users += 1
        try:
            yield held
        finally:
            with self._lock:
                held.n_users -= 1
                idle = [key for key, file in self._open.items() if not file.n_users]
                done = [key for key in idle if self._open[key].reader is None]
                n_over = max(0, len(self._open) - len(done) - _MOST_OPEN)
                # A file whose last window is not in the clips is never read to its end.
                forgotten = [key for key in idle if key not in done][:n_over]
                for key in (*done, *forgotten):
                    self._open.pop(key).close()


class _OpenFile:
    """A file that is read forwards, by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reader: audio.Reader | None = None
        self.n_users = 0
        """Threads that read it or wait for their turn; counted under the lock of all files."""

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None


def _read(reader: audio.Reader, clips: Sequence[Any]) -> tuple[int, list[Any]]:
    sounds: list[Any] = []
    for clip in clips:
        try:
            sounds.append(read_clip(reader, clip))
        except AudioError as error:
            sounds.append(error)
    return reader.info.sample_rate, sounds


def _draw(
    recording: Any, clips: list[Any], embedder: Embedder, gate: Gate | None, files: OpenFiles
) -> list[Drawn]:
    drawn: list[Drawn] = []
    try:
        rate, sounds = files.read(recording, clips)
    except AudioError as error:
        row = (recording.path, "embed", error.reason, error.detail)
        return [Drawn(clip.clip_id, recording.path, problem=row) for clip in clips]
    for clip, sound in zip(clips, sounds, strict=True):
        picture, excess_db = None, None
        try:
            if isinstance(sound, AudioError):
                raise sound
            if gate:
                excess_db = gate.excess_db(sound, sample_rate=rate)
            passes_gate = gate is None or excess_db is None or excess_db >= gate.min_excess_db
            if passes_gate and not clip.is_embedded:
                picture = embedder.network_input(sound, sample_rate=rate)
            drawn.append(Drawn(clip.clip_id, recording.path, picture, excess_db))
        except AudioError as error:
            detail = f"{clip.start_s:.3f} to {clip.end_s:.3f} s: {error.detail}"
            row = (recording.path, "embed", error.reason, detail)
            drawn.append(Drawn(clip.clip_id, recording.path, problem=row))
    return drawn


def read_clip(reader: audio.Reader, clip: Any) -> audio.Samples:
    """Read one row of ``clips`` from its open recording, filled up to its window.

    Returns
    -------
    ndarray [shape=(n_samples,)], float32, at the recording's own rate

    Raises
    ------
    AudioError
        If the stretch cannot be decoded, or is not finite or silent.

    Examples
    --------
    >>> import soundfile
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     with audio.Reader(f"{folder}/a.wav") as reader:
    ...         read_clip(reader, next(clips.itertuples())).shape
    (96000,)
    """
    rate = reader.info.sample_rate
    start = round(clip.start_s * rate)
    n_sound = min(round((clip.end_s - clip.start_s) * rate), reader.info.n_frames - start)
    samples = reader.read(start, n_sound)
    n_frames = n_sound + round(clip.padded_s * rate)
    waveform = clip_samples(samples, clip.channel, n_frames=n_frames, pad=clip.pad)
    audio.check_finite(waveform[None, :n_sound], offset_s=clip.start_s, sample_rate=rate)
    if waveform[0] == waveform.max() == waveform.min():
        raise AudioError("silent", "every sample of the clip is the same")
    return waveform

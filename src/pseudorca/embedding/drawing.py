"""Clips to network inputs: files read ahead and pictures drawn in threads, in order."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
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
from pseudorca.recordings import audio
from pseudorca.recordings.clips import clip_samples
from pseudorca.recordings.manifest import check_unchanged, full_path

if TYPE_CHECKING:
    import torch

UNIT_CLIPS = 256
"""Neighbouring clips that make up a unit of work; batches do not reach beyond it."""
_CLIPS_PER_TASK = 8
TASKS_AHEAD = 3  # per thread
_MOST_OPEN = 64  # files that are only read forwards


@dataclass(frozen=True)
class Unit:
    """Clips to embed together, and the rows of ``recordings`` they were cut from, by id."""

    clips: list[SimpleNamespace]
    recordings: dict[str, SimpleNamespace]


def units_of(
    clips: pd.DataFrame, recordings: pd.DataFrame, done: Set[str], embedded: Set[str]
) -> Iterator[Unit]:
    """The units of a table of clips, without the clips that are done.

    A clip that is not, though it is ``embedded``, has only to pass the gate.
    """
    heard = recordings[recordings["recording_id"].isin(clips["recording_id"])]
    by_id = {row.recording_id: row for row in _rows(heard)}
    for start in range(0, len(clips), UNIT_CLIPS):
        rows = clips.iloc[start : start + UNIT_CLIPS]
        rows = rows[~rows["clip_id"].isin(done)]
        if len(rows):
            todo = _rows(rows.assign(is_embedded=rows["clip_id"].isin(embedded)))
            used = dict.fromkeys(clip.recording_id for clip in todo)
            yield Unit(todo, {key: by_id[key] for key in used})


def _rows(table: pd.DataFrame) -> list[SimpleNamespace]:
    """The rows of a table as plain things that can be sent to other processes."""
    return [
        SimpleNamespace(**{str(name): value for name, value in row.items()})
        for row in table.to_dict("records")
    ]


@dataclass(frozen=True)
class Drawn:
    """A clip read and drawn: what the network takes, if it shall listen, or what went wrong."""

    clip_id: str
    path: str
    picture: Picture | None = None
    excess_db: float | None = None
    problem: tuple[str, str, str, str] | None = None


@contextmanager
def one_core_each(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch keeps to one core."""
    import torch

    with (
        cores_given_back(),
        ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        yield pool


_cores_lock = threading.Lock()
_cores_before = [0, 0]
"""Contexts of :func:`cores_given_back` that are open, and torch's cores before the first of them."""


@contextmanager
def cores_given_back() -> Iterator[None]:
    """Give torch back the cores it had, where threads keep to one core meanwhile.

    Threads may be in such contexts at the same time and leave them in any order. Torch takes the
    last word of any thread for all threads to come, so the number to give back is the one from before
    the first context.
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
    progress: Callable[[int, int], None] | None = None,
) -> Iterator["torch.Tensor"]:
    """Yield the network input of usable clips, uint8 [shape=(n, 3, height, width)], on the device."""
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
    """
    units = units_of(clips, recordings, set(), set())
    n_threads = n_threads or os.cpu_count() or 1
    with OpenFiles() as files, one_core_each(n_threads) as pool:
        ahead = n_threads * TASKS_AHEAD
        with closing(draw_ahead(units, embedder, None, files, pool, ahead)) as every:
            for _, drawn in every:
                yield drawn.clip_id, drawn.picture


def draw_ahead(
    units: Iterable[Unit],
    embedder: Embedder,
    gate: Gate | None,
    files: "OpenFiles",
    pool: ThreadPoolExecutor,
    most: int,
) -> Generator[tuple[int, Drawn], None, None]:
    """Draw the clips of units, in order, with the number of their unit; threads work ahead."""
    ahead: deque[tuple[int, Future[list[Drawn]]]] = deque()
    try:
        for number, unit in enumerate(units):
            for task in _tasks(unit.clips):  # neighbours in one recording share one open file
                recording = unit.recordings[task[0].recording_id]
                future = pool.submit(_draw, recording, task, embedder, gate, files)
                ahead.append((number, future))
                if len(ahead) >= most:
                    n, first = ahead.popleft()
                    yield from ((n, one) for one in first.result())
        while ahead:
            n, first = ahead.popleft()
            yield from ((n, one) for one in first.result())
    finally:
        for _, future in ahead:
            future.cancel()


def _tasks(clips: Sequence[SimpleNamespace]) -> Iterator[list[SimpleNamespace]]:
    for _, of_recording in groupby(clips, key=lambda clip: clip.recording_id):
        some = list(of_recording)
        for start in range(0, len(some), _CLIPS_PER_TASK):
            yield some[start : start + _CLIPS_PER_TASK]


class OpenFiles:
    """Files that can only be read forwards stay open from one task to the next.

    Reopening a compressed file means decoding it from its beginning.
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
            found = _read(held.reader, clips)
            if clips[-1].end_s >= recording.duration_s - 1e-6:
                held.close()
            return found

    @contextmanager
    def _using(self, recording_id: str) -> Iterator["_OpenFile"]:
        """The open file of a recording, which no other thread closes meanwhile."""
        with self._lock:
            held = self._open.pop(recording_id, None) or _OpenFile()
            self._open[recording_id] = held  # the last: those used long ago are closed first
            held.n_users += 1
        try:
            yield held
        finally:
            with self._lock:
                held.n_users -= 1
                idle = [key for key, one in self._open.items() if not one.n_users]
                done = [key for key in idle if self._open[key].reader is None]
                n_over = max(0, len(self._open) - len(done) - _MOST_OPEN)
                # Files whose last window was left out are never read to their end.
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
            is_heard = gate is None or excess_db is None or excess_db >= gate.min_excess_db
            if is_heard and not clip.is_embedded:
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
    """
    rate = reader.info.sample_rate
    start = round(clip.start_s * rate)
    n_sound = min(round((clip.end_s - clip.start_s) * rate), reader.info.n_frames - start)
    samples = reader.read(start, n_sound)
    audio.check_finite(samples, offset_s=clip.start_s, sample_rate=rate)
    n_frames = n_sound + round(clip.padded_s * rate)
    waveform = clip_samples(samples, clip.channel, n_frames=n_frames, pad=clip.pad)
    if waveform[0] == waveform.max() == waveform.min():
        raise AudioError("silent", "every sample of the clip is the same")
    return waveform

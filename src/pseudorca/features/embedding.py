"""Clips to embeddings: streamed, kept by content and settings, resumed where a run broke off.

In: the tables ``clips`` and ``recordings``, and an embedder. Out: one vector per clip in the store,
and a problem row for every clip that gave none. Threads read and draw pictures ahead of the network,
and run it too where there is no GPU. Training and prediction both pass through here.

Which clips pass the network together does not depend on what was done before, and they are committed
together: a run that was killed and run again gives the same numbers to the last digit.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pseudorca.errors import AudioError
from pseudorca.features.common import Picture
from pseudorca.features.embedder import Embedder
from pseudorca.features.gate import Gate
from pseudorca.recordings import audio
from pseudorca.recordings.clips import clip_samples
from pseudorca.recordings.manifest import check_unchanged, full_path
from pseudorca.store import Store

UNIT_CLIPS = 256
"""Neighbouring clips that make up a unit of work; batches do not reach beyond it."""

_BATCH_CPU, _BATCH_GPU = 8, 64
_CLIPS_PER_TASK = 8
_TASKS_AHEAD = 3  # per thread
_MOST_OPEN = 64  # files that are only read forwards
_COMMIT_CLIPS = 2048
_COMMIT_S = 10.0


@dataclass(frozen=True)
class Unit:
    """Clips to embed together, and the rows of ``recordings`` they were cut from, by id."""

    clips: list[SimpleNamespace]
    recordings: dict[str, SimpleNamespace]


@dataclass
class Outcome:
    """What came of some clips of a unit: vectors, what the gate measured, problems."""

    clip_ids: list[str]
    vectors: NDArray[np.float32]
    excess_db: dict[str, float] = field(default_factory=dict)
    """By how much the clips that passed the gate or not exceed their background."""
    problems: list[tuple[str, str, str, str]] = field(default_factory=list)
    n_clips: int = 0


class Workers(Protocol):
    """Where units are embedded, if not here (see :mod:`pseudorca.features.cluster`)."""

    def outcomes(
        self,
        units: Iterable[Unit],
        embedder: Embedder,
        *,
        gate: Gate | None,
        batch_size: int | None,
    ) -> Iterator[Outcome]: ...


@dataclass
class EmbedResult:
    """What an embedding run did."""

    n_clips: int
    n_new: int
    problems: pd.DataFrame
    embedded: set[str]
    """Clips that have an embedding, old or new."""
    quiet: set[str]
    """Clips that the gate left out."""


def embed_clips(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    store: Store,
    *,
    batch_size: int | None = None,
    n_threads: int | None = None,
    gate: Gate | None = None,
    workers: Workers | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbedResult:
    """Embed every clip that the store does not hold yet.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder
    store : Store
        Embeddings are committed every ten seconds; a killed run goes on from there.
    batch_size : int or None
        Pictures that pass the network together; None takes 8, or 64 on a GPU
    n_threads : int or None
        Threads that read, draw and, but on a GPU, run the network; None takes one per core
    gate : Gate or None, leaves out clips without signal
    workers : Workers or None, other processes that do the work
    progress : callable (done, total) or None, over the clips still to do

    Returns
    -------
    EmbedResult
        Its problems have one row per file that cannot be read, or per clip that cannot be used.
    """
    embedder_id = embedder.embedder_id
    gate_id = f"gate_{gate.gate_id}" if gate else ""
    ids = clips["clip_id"].tolist()
    embedded = store.embedded(embedder_id, ids)
    excess_db = _measured(ids, gate_id, store) if gate else dict.fromkeys(embedded, np.inf)
    least_db = gate.min_excess_db if gate else 0.0
    quiet = {clip_id for clip_id, excess in excess_db.items() if excess < least_db}
    done = quiet | (embedded & excess_db.keys())
    units = _units(clips, recordings, done, frozenset(embedded))
    n_todo = int((~clips["clip_id"].isin(done)).sum())
    problems: list[tuple[str, str, str, str]] = []
    new: list[Outcome] = []
    last_commit = time.monotonic()
    n_seen = n_new = 0

    def commit() -> None:
        nonlocal last_commit
        _keep(new, embedder_id, gate_id, store)
        new.clear()
        last_commit = time.monotonic()

    here = Here(n_threads)
    made = (workers or here).outcomes(units, embedder, gate=gate, batch_size=batch_size)
    try:
        for outcome in made:
            new.append(outcome)
            problems += outcome.problems
            quiet.update(key for key, excess in outcome.excess_db.items() if excess < least_db)
            embedded.update(outcome.clip_ids)
            n_new += len(outcome.clip_ids)
            n_waiting = sum(len(waiting.clip_ids) for waiting in new)
            if n_waiting >= _COMMIT_CLIPS or time.monotonic() - last_commit > _COMMIT_S:
                commit()
            n_seen += outcome.n_clips
            if progress:
                progress(n_seen, n_todo)
    finally:  # what was done is kept, whatever ends the run
        commit()
    table = pd.DataFrame(problems, columns=["path", "stage", "reason", "detail"], dtype="string")
    problem_table = table.drop_duplicates(ignore_index=True)
    return EmbedResult(len(clips), n_new, problem_table, embedded, quiet)


def _measured(ids: list[str], gate_id: str, store: Store) -> dict[str, float]:
    """What the gate measured before."""
    known = sorted(store.embedded(gate_id, ids))
    if not known:
        return {}
    return dict(zip(known, store.vectors(gate_id, known)[:, 0].tolist(), strict=True))


def _keep(new: Sequence[Outcome], embedder_id: str, gate_id: str, store: Store) -> None:
    """Commit vectors, and what the gate measured."""
    if ids := [clip_id for outcome in new for clip_id in outcome.clip_ids]:
        vectors = [outcome.vectors for outcome in new if outcome.clip_ids]
        store.append_vectors(embedder_id, ids, np.concatenate(vectors))
    if measured := {key: excess for outcome in new for key, excess in outcome.excess_db.items()}:
        excess_db = np.array(list(measured.values()), dtype=np.float32)[:, None]
        store.append_vectors(gate_id, list(measured), excess_db)


def _units(
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
class _Drawn:
    """A clip read and drawn: what the network takes, if it shall listen, or what went wrong."""

    clip_id: str
    path: str
    picture: Picture | None = None
    excess_db: float | None = None
    problem: tuple[str, str, str, str] | None = None


class Here:
    """Units embedded in this process: threads read and draw ahead of the network."""

    def __init__(self, n_threads: int | None = None) -> None:
        self.n_threads = n_threads

    def outcomes(
        self,
        units: Iterable[Unit],
        embedder: Embedder,
        *,
        gate: Gate | None,
        batch_size: int | None,
    ) -> Iterator[Outcome]:
        n_threads = self.n_threads or os.cpu_count() or 1
        batch_size = batch_size or (_BATCH_GPU if embedder.on_gpu else _BATCH_CPU)
        ahead: deque[Future[Outcome]] = deque()
        with ExitStack() as stack:
            files = stack.enter_context(_OpenFiles())  # closed once no thread reads any more
            # Each thread takes what is next, sound to read or a batch for the network, and leaves the
            # other cores to the others: layers split over cores would wait for one another.
            pool = stack.enter_context(_one_core_each(n_threads))
            network = stack.enter_context(ThreadPoolExecutor(1)) if embedder.on_gpu else pool
            stack.callback(lambda: [outcome.cancel() for outcome in ahead])
            drawn = stack.enter_context(
                closing(_draw_ahead(units, embedder, gate, files, pool, n_threads * _TASKS_AHEAD))
            )
            for _, of_unit in groupby(drawn, key=lambda pair: pair[0]):
                for batch in _batches((one for _, one in of_unit), batch_size):
                    ahead.append(network.submit(_embed_batch, batch, embedder))
                    if len(ahead) > n_threads:
                        yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()


@contextmanager
def _one_core_each(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch keeps to one core."""
    n_cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(n_cores)  # torch takes the last word for that of any thread to come


def _batches(drawn: Iterable[_Drawn], batch_size: int) -> Iterator[list[_Drawn]]:
    """Deal what was drawn of one unit: as many pictures as pass the network together, and the rest."""
    batch: list[_Drawn] = []
    n_pictures = 0
    for one in drawn:
        batch.append(one)
        n_pictures += one.picture is not None
        if n_pictures == batch_size:
            yield batch
            batch, n_pictures = [], 0
    if batch:
        yield batch


def _embed_batch(drawn: Sequence[_Drawn], embedder: Embedder) -> Outcome:
    """Pass what was drawn through the network."""
    made = Outcome([], np.empty((0, 0), dtype=np.float32), n_clips=len(drawn))
    made.problems = [one.problem for one in drawn if one.problem is not None]
    made.excess_db = {one.clip_id: one.excess_db for one in drawn if one.excess_db is not None}
    heard = [(one, one.picture) for one in drawn if one.picture is not None]
    if heard:
        vectors = embedder.embed([picture for _, picture in heard])
        good = np.asarray(np.isfinite(vectors).all(axis=1))
        for k, (one, _) in enumerate(heard):
            if good[k]:
                made.clip_ids.append(one.clip_id)
            else:
                detail = "the network gave numbers that are none"
                made.problems.append((one.path, "embed", "not finite", detail))
        made.vectors = vectors[good]
    return made


def picture_batches(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    *,
    batch_size: int = 32,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[torch.Tensor]:
    """Yield the network input of usable clips, uint8 [shape=(n, 3, height, width)], on the device."""
    waiting: list[Picture] = []

    def batches() -> Iterator[torch.Tensor]:
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
    units = _units(clips, recordings, set(), set())
    n_threads = n_threads or os.cpu_count() or 1
    with _OpenFiles() as files, _one_core_each(n_threads) as pool:
        ahead = n_threads * _TASKS_AHEAD
        with closing(_draw_ahead(units, embedder, None, files, pool, ahead)) as every:
            for _, drawn in every:
                yield drawn.clip_id, drawn.picture


def _draw_ahead(
    units: Iterable[Unit],
    embedder: Embedder,
    gate: Gate | None,
    files: "_OpenFiles",
    pool: ThreadPoolExecutor,
    most: int,
) -> Generator[tuple[int, _Drawn], None, None]:
    """Draw the clips of units, in order, with the number of their unit; threads work ahead."""
    ahead: deque[tuple[int, Future[list[_Drawn]]]] = deque()
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


class _OpenFiles:
    """Files that can only be read forwards stay open from one task to the next.

    Reopening a compressed file means decoding it from its beginning.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[threading.Lock, list[audio.Reader]]] = {}
        self._unchanged: dict[str, str] = {}

    def __enter__(self) -> "_OpenFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._open.values():
            for reader in held[1]:
                reader.close()

    def read(self, recording: Any, clips: Sequence[Any]) -> tuple[int, list[Any]]:
        """The sample rate of a recording, and the samples or the AudioError of each clip."""
        path = full_path(recording)
        if not audio.is_read_forwards(recording.format):
            with audio.Reader(path) as reader:
                self._check(reader, recording)
                return _read(reader, clips)
        with self._lock:
            lock, readers = self._open.setdefault(recording.recording_id, (threading.Lock(), []))
            while len(self._open) > _MOST_OPEN:  # files whose last window was left out
                old_lock, old = self._open.pop(next(iter(self._open)))
                with old_lock:
                    while old:
                        old.pop().close()
        with lock:
            if not readers:
                readers.append(audio.Reader(path))
            self._check(readers[0], recording)
            found = _read(readers[0], clips)
            if clips[-1].end_s >= recording.duration_s - 1e-6:
                readers.pop().close()
            return found

    def _check(self, reader: audio.Reader, recording: Any) -> None:
        """AudioError if this is another sound than was scanned, also if it became so meanwhile."""
        known = (recording.fingerprint, self._unchanged.get(recording.recording_id))
        if reader.fingerprint not in known:
            check_unchanged(recording)
            self._unchanged[recording.recording_id] = reader.fingerprint


def _read(reader: audio.Reader, clips: Sequence[Any]) -> tuple[int, list[Any]]:
    sounds: list[Any] = []
    for clip in clips:
        try:
            sounds.append(read_clip(reader, clip))
        except AudioError as error:
            sounds.append(error)
    return reader.info.sample_rate, sounds


def _draw(
    recording: Any, clips: list[Any], embedder: Embedder, gate: Gate | None, files: _OpenFiles
) -> list[_Drawn]:
    drawn: list[_Drawn] = []
    try:
        rate, sounds = files.read(recording, clips)
    except AudioError as error:
        row = (recording.path, "embed", error.reason, error.detail)
        return [_Drawn(clip.clip_id, recording.path, problem=row) for clip in clips]
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
            drawn.append(_Drawn(clip.clip_id, recording.path, picture, excess_db))
        except AudioError as error:
            detail = f"{clip.start_s:.3f} to {clip.end_s:.3f} s: {error.detail}"
            row = (recording.path, "embed", error.reason, detail)
            drawn.append(_Drawn(clip.clip_id, recording.path, problem=row))
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

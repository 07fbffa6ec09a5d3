"""Clips to embeddings: streamed, kept by content and settings, resumed where a run broke off.

In: the tables ``clips`` and ``recordings``, a front end and a backbone. Out: one vector per clip in
the store, and a problem row for every clip that gave none. Threads read and draw pictures ahead of
the network, so the network is what takes the time. Training and prediction both pass through here.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pseudorca.errors import AudioError
from pseudorca.features.common import Picture
from pseudorca.features.embedder import Embedder
from pseudorca.recordings import audio
from pseudorca.recordings.clips import clip_samples
from pseudorca.recordings.manifest import full_path
from pseudorca.store import Store

_CLIPS_PER_TASK = 16
_TASKS_AHEAD = 3  # per worker
_COMMIT_CLIPS = 2048
_COMMIT_S = 10.0


@dataclass
class EmbedResult:
    """What an embedding run did."""

    n_clips: int
    n_new: int
    problems: pd.DataFrame


def embed_clips(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    store: Store,
    *,
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbedResult:
    """Embed every clip that the store does not hold yet.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder
    store : Store
        Embeddings are committed every ten seconds; a killed run goes on from there.
    batch_size : int, pictures that pass the network together
    n_workers : int or None, threads that read and draw; None takes one per core
    progress : callable (done, total) or None, over the clips still to do

    Returns
    -------
    EmbedResult
        Its problems have one row per file that cannot be read, or per clip that cannot be used.
    """
    embedder_id = embedder.embedder_id
    done = store.embedded(embedder_id)
    todo = clips[~clips["clip_id"].isin(done)]
    problems: list[tuple[str, str, str, str]] = []
    waiting_ids: list[str] = []
    waiting: list[NDArray[np.float32]] = []
    last_commit = time.monotonic()
    n_seen = n_new = 0

    def commit() -> None:
        nonlocal last_commit
        if waiting:
            store.append_vectors(embedder_id, waiting_ids, np.concatenate(waiting))
            waiting_ids.clear()
            waiting.clear()
        last_commit = time.monotonic()

    pictures = clip_pictures(todo, recordings, embedder, n_workers=n_workers)
    while drawn := list(islice(pictures, batch_size)):
        good = [
            (clip_id, picture) for clip_id, picture in drawn if not isinstance(picture, _Failure)
        ]
        problems += [picture.row for _, picture in drawn if isinstance(picture, _Failure)]
        if good:
            waiting.append(embedder.embed([picture for _, picture in good]))
            waiting_ids += [clip_id for clip_id, _ in good]
            n_new += len(good)
        if len(waiting_ids) >= _COMMIT_CLIPS or time.monotonic() - last_commit > _COMMIT_S:
            commit()
        n_seen += len(drawn)
        if progress:
            progress(n_seen, len(todo))
    commit()
    table = pd.DataFrame(problems, columns=["path", "stage", "reason", "detail"], dtype="string")
    return EmbedResult(len(clips), n_new, table.drop_duplicates(ignore_index=True))


def picture_batches(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[torch.Tensor]:
    """Yield the network input of usable clips, uint8 [shape=(n, 3, height, width)], on the device."""
    pictures = clip_pictures(clips, recordings, embedder)
    n_seen = 0
    while drawn := list(islice(pictures, batch_size)):
        n_seen += len(drawn)
        good = [picture for _, picture in drawn if not isinstance(picture, _Failure)]
        for shape in sorted({picture.shape for picture in good}):
            alike = np.stack([picture for picture in good if picture.shape == shape])
            yield torch.from_numpy(alike).permute(0, 3, 1, 2).to(embedder.device)
        if progress:
            progress(n_seen, len(clips))


@dataclass(frozen=True)
class _Failure:
    row: tuple[str, str, str, str]


def clip_pictures(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    *,
    n_workers: int | None = None,
) -> Iterator[tuple[str, Picture | _Failure]]:
    """Draw the network input of clips, in the order of the clips, with threads reading ahead.

    Yields
    ------
    (clip_id, picture [shape=(height, width, 3)], uint8, or what went wrong)
    """
    by_id = {row.recording_id: row for row in recordings.itertuples()}
    rows = list(clips.itertuples())
    tasks: list[list[Any]] = []
    for row in rows:  # neighbours in one recording share one open file
        if (
            tasks
            and len(tasks[-1]) < _CLIPS_PER_TASK
            and tasks[-1][0].recording_id == row.recording_id
        ):
            tasks[-1].append(row)
        else:
            tasks.append([row])
    n_workers = n_workers or os.cpu_count() or 1
    ahead: deque[Future[list[tuple[str, Picture | _Failure]]]] = deque()
    with ThreadPoolExecutor(n_workers) as pool:
        try:
            for task in tasks:
                recording = by_id[task[0].recording_id]
                ahead.append(pool.submit(_draw, recording, task, embedder))
                if len(ahead) >= n_workers * _TASKS_AHEAD:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _draw(
    recording: Any, clips: list[Any], embedder: Embedder
) -> list[tuple[str, Picture | _Failure]]:
    drawn: list[tuple[str, Picture | _Failure]] = []
    try:
        with audio.Reader(full_path(recording)) as reader:
            found = (reader.info.sample_rate, reader.info.n_channels, reader.info.n_frames)
            expected = (recording.sample_rate, recording.n_channels, recording.n_frames)
            if found != expected:
                raise AudioError("changed since the scan", f"{expected} is now {found}; scan again")
            for clip in clips:
                try:
                    waveform = read_clip(reader, clip)
                    picture = embedder.network_input(waveform, sample_rate=found[0])
                except AudioError as error:
                    detail = f"{clip.start_s:.3f} to {clip.end_s:.3f} s: {error.detail}"
                    failure = _Failure((recording.path, "embed", error.reason, detail))
                    drawn.append((clip.clip_id, failure))
                else:
                    drawn.append((clip.clip_id, picture))
    except AudioError as error:
        failure = _Failure((recording.path, "embed", error.reason, error.detail))
        return [(clip.clip_id, failure) for clip in clips]
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

"""Clips taken apart in bulk: measured, and put together with the background of others.

In: tables of clips and recordings. Out: rows of numbers and embeddings in the store, by the id of the
settings that made them, so that a second run reads no audio and a killed one goes on.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.embedding.augmentation.apart import (
    N_BANDS,
    BackgroundFrontEnd,
    SoundParts,
    describe_sound,
    take_apart,
)
from pseudorca.embedding.drawing import read_clip
from pseudorca.errors import AudioError
from pseudorca.recordings import audio
from pseudorca.recordings.manifest import check_unchanged, full_path
from pseudorca.store import Store

_BATCH = 32
_COMMIT_S = 10.0

_MISSING = -1e9  # what stands for NaN in the store, which takes none

SOUND_WIDTH = 2 + 3 * N_BANDS
"""Numbers that :func:`pseudorca.embedding.augmentation.apart.describe_sound` gives per clip."""


def measure_sounds(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    front_end: BackgroundFrontEnd,
    store: Store,
    sound_id: str,
    *,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Describe the background, the whole and the signals of every clip.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    front_end : BackgroundFrontEnd, whose band and options count
    store : Store
    sound_id : str, under which the numbers are kept
    n_threads : int or None, threads that read and measure; None takes one per core
    progress : callable (done, total) or None, over the clips still to do

    Returns
    -------
    ndarray [shape=(n_clips, SOUND_WIDTH)]
        See :func:`pseudorca.embedding.augmentation.apart.describe_sound`. A clip that cannot be
        taken apart has 0 free frames and NaN elsewhere; where its file cannot be opened, or
        holds another sound than was scanned, that is not kept.
    """
    nothing = np.full(SOUND_WIDTH, np.nan, dtype=np.float32)
    nothing[:2] = 0.0

    def measure(clip: Any) -> NDArray[np.float32] | None:
        recording = by_id[clip.recording_id]
        try:
            reader = audio.Reader(full_path(recording))
        except AudioError:
            return None
        with reader:
            try:
                check_unchanged(recording, fingerprint=reader.fingerprint)
            except AudioError:
                return None
            try:
                return describe_sound(_apart(reader, clip, front_end), front_end.band_hz)
            except AudioError:
                return nothing

    by_id = rows_by_id(recordings)
    ids = clips["clip_id"].to_numpy(dtype=object)
    todo = clips[~clips["clip_id"].isin(store.embedded(sound_id, ids.tolist()))]

    def join(drawn: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        stacked: NDArray[np.float32] = np.nan_to_num(np.stack(drawn), nan=_MISSING)
        return stacked

    keep_measured(list(todo.itertuples()), measure, join, store, sound_id, n_threads, progress)
    there = np.isin(ids, list(store.embedded(sound_id, ids.tolist())))
    found = np.tile(nothing, (len(ids), 1))
    if there.any():
        found[there] = store.vectors(sound_id, ids[there].tolist())
    found[found == np.float32(_MISSING)] = np.nan
    return found


def keep_measured(
    todo: Sequence[Any],
    draw: Callable[[Any], Any],
    join: Callable[[list[Any]], NDArray[np.float32]],
    store: Store,
    name: str,
    n_threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Draw in threads, join in batches, commit every ten seconds; None is not kept."""
    ids: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    last = time.monotonic()
    n_done = 0
    for batch, drawn in _drawn_ahead(todo, draw, n_threads):
        made = [
            (one.clip_id, what) for one, what in zip(batch, drawn, strict=True) if what is not None
        ]
        if made:
            vectors.append(join([what for _, what in made]))
            ids += [clip_id for clip_id, _ in made]
        n_done += len(batch)
        if ids and (time.monotonic() - last > _COMMIT_S or n_done == len(todo)):
            store.append_vectors(name, ids, np.concatenate(vectors))
            ids, vectors, last = [], [], time.monotonic()
        if progress:
            progress(n_done, len(todo))


def _drawn_ahead(
    todo: Sequence[Any], draw: Callable[[Any], Any], n_threads: int | None
) -> Iterator[tuple[Sequence[Any], list[Any]]]:
    """Batches with what was drawn of them; the next is drawn while one is used."""
    batches = [todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH)]
    with ThreadPoolExecutor(n_threads or os.cpu_count()) as pool:
        ahead = [pool.submit(draw, one) for batch in batches[:1] for one in batch]
        for batch, following in zip(batches, [*batches[1:], []], strict=False):
            futures, ahead = ahead, [pool.submit(draw, one) for one in following]
            yield batch, [future.result() for future in futures]


def clip_parts(clip: Any, recording: Any, front_end: BackgroundFrontEnd) -> SoundParts:
    """Read a row of ``clips`` from its row of ``recordings``, and take it apart.

    Raises
    ------
    AudioError
        If the clip cannot be read, its file holds another sound than was scanned, or it is too short
        or too silent to be taken apart.
    """
    with audio.Reader(full_path(recording)) as reader:
        check_unchanged(recording, fingerprint=reader.fingerprint)
        return _apart(reader, clip, front_end)


def _apart(reader: audio.Reader, clip: Any, front_end: BackgroundFrontEnd) -> SoundParts:
    return take_apart(
        read_clip(reader, clip),
        sample_rate=reader.info.sample_rate,
        band_hz=front_end.band_hz,
        options=front_end.options,
    )


def rows_by_id(recordings: pd.DataFrame) -> dict[str, Any]:
    return {str(row.recording_id): row for row in recordings.itertuples()}

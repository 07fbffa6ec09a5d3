"""Measurements of the parts of many clips, kept in the store.

In: tables of clips and recordings. Out: rows of numbers in the store, by the id of the settings. A
second run reads no audio, and a killed run resumes.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
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
from pseudorca.embedding.drawing import one_core_each, read_clip
from pseudorca.errors import AudioError
from pseudorca.progress import Progress
from pseudorca.recordings import audio
from pseudorca.recordings.manifest import check_unchanged, full_path
from pseudorca.store import Store

_BATCH = 32
_COMMIT_S = 10.0

_MISSING = -1e9  # replaces NaN in the store, which takes finite numbers only

_SOUND_WIDTH = 2 + 3 * N_BANDS  # numbers of describe_sound


def measure_sounds(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    front_end: BackgroundFrontEnd,
    store: Store,
    sound_id: str,
    *,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Describe the background, the whole and the signals of every clip.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    front_end : BackgroundFrontEnd, with the band
    store : Store
    sound_id : str, the id of the numbers in the store
    n_threads : int or None, threads that read and measure; None takes one per core
    progress : callable (done, total) or None, over the clips still to do

    Returns
    -------
    ndarray [shape=(n_clips, 2 + 3 * N_BANDS)]
        See :func:`pseudorca.embedding.augmentation.apart.describe_sound`. A clip that cannot be
        taken apart has 0 free frames and NaN elsewhere. This is not kept if the file of the clip
        cannot be opened, or has changed since the scan.

    Examples
    --------
    >>> import soundfile
    >>> from pathlib import Path
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> front_end = BackgroundFrontEnd(CommonFrontEnd(), band_hz=(100.0, 15_040.0))
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     measure_sounds(clips, recordings, front_end, store, "sounds").shape
    (1, 74)
    """
    unmeasured = np.full(_SOUND_WIDTH, np.nan, dtype=np.float32)
    unmeasured[:2] = 0.0

    def measure(clip: Any) -> NDArray[np.float32] | None:
        recording = by_id[clip.recording_id]
        try:
            with audio.Reader(full_path(recording)) as reader:
                check_unchanged(recording, fingerprint=reader.fingerprint)
                try:
                    return describe_sound(_apart(reader, clip, front_end), front_end.band_hz)
                except AudioError:
                    return unmeasured
        except AudioError:  # the file cannot be opened, or has changed
            return None

    by_id = rows_by_id(recordings)
    ids = clips["clip_id"].to_numpy(dtype=object)
    todo = clips[~clips["clip_id"].isin(store.embedded(sound_id, ids.tolist()))]

    keep_measured(
        list(todo.itertuples()), measure,
        lambda values: np.nan_to_num(np.stack(values), nan=_MISSING),
        store, sound_id, n_threads, progress,
    )  # fmt: skip
    is_kept = np.isin(ids, list(store.embedded(sound_id, ids.tolist())))
    measured = np.tile(unmeasured, (len(ids), 1))
    if is_kept.any():
        measured[is_kept] = store.vectors(sound_id, ids[is_kept].tolist())
    measured[measured == np.float32(_MISSING)] = np.nan
    return measured


def keep_measured(
    todo: Sequence[Any],
    draw: Callable[[Any], Any],
    join: Callable[[list[Any]], NDArray[np.float32]],
    store: Store,
    name: str,
    n_threads: int | None,
    progress: Progress | None,
) -> None:
    """Compute rows in threads, join them in batches, and commit every ten seconds.

    Parameters
    ----------
    todo : sequence, items with ``clip_id``
    draw : callable, takes an item and returns its value, or None: the item is not kept
    join : callable, takes a list of values and returns an ndarray [shape=(n, width)]
    store : Store
    name : str, the id of the rows in the store
    n_threads : int or None; None: one per core
    progress : callable (done, total) or None, over items

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from types import SimpleNamespace
    >>> items = [SimpleNamespace(clip_id=f"c{k}", level=float(k)) for k in range(3)]
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder), create=True)
    ...     levels = lambda values: np.array(values, dtype=np.float32)[:, None]
    ...     keep_measured(items, lambda item: item.level, levels, store, "levels", 1, None)
    ...     store.vectors("levels", ["c2", "c0"]).tolist()
    [[2.0], [0.0]]
    """
    ids: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    last = time.monotonic()
    n_done = 0
    for batch, drawn in _drawn_ahead(todo, draw, n_threads):
        computed = [
            (item.clip_id, value)
            for item, value in zip(batch, drawn, strict=True)
            if value is not None
        ]
        if computed:
            vectors.append(join([value for _, value in computed]))
            ids += [clip_id for clip_id, _ in computed]
        n_done += len(batch)
        if ids and (time.monotonic() - last > _COMMIT_S or n_done == len(todo)):
            store.append_vectors(name, ids, np.concatenate(vectors))
            ids, vectors, last = [], [], time.monotonic()
        if progress:
            progress(n_done, len(todo))


def _drawn_ahead(
    todo: Sequence[Any], draw: Callable[[Any], Any], n_threads: int | None
) -> Iterator[tuple[Sequence[Any], list[Any]]]:
    """Batches with their values; the next batch is computed while one is used."""
    batches = [todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH)]
    with one_core_each(n_threads or os.cpu_count() or 1) as pool:
        ahead = [pool.submit(draw, item) for batch in batches[:1] for item in batch]
        for batch, following in zip(batches, [*batches[1:], []], strict=False):
            futures, ahead = ahead, [pool.submit(draw, item) for item in following]
            yield batch, [future.result() for future in futures]


def clip_parts(clip: Any, recording: Any, front_end: BackgroundFrontEnd) -> SoundParts:
    """Read a clip from its recording, and take it apart.

    Parameters
    ----------
    clip : row of ``clips``
    recording : row of ``recordings``
    front_end : BackgroundFrontEnd, with the band

    Returns
    -------
    SoundParts

    Raises
    ------
    AudioError
        If the clip cannot be read, the file has changed since the scan, or the clip is too short or
        silent.

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> front_end = BackgroundFrontEnd(CommonFrontEnd(), band_hz=(100.0, 15_040.0))
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     recording = rows_by_id(recordings)[clips["recording_id"][0]]
    ...     parts = clip_parts(next(clips.itertuples()), recording, front_end)
    >>> parts.has_background
    True
    """
    with audio.Reader(full_path(recording)) as reader:
        check_unchanged(recording, fingerprint=reader.fingerprint)
        return _apart(reader, clip, front_end)


def _apart(reader: audio.Reader, clip: Any, front_end: BackgroundFrontEnd) -> SoundParts:
    return take_apart(
        read_clip(reader, clip),
        sample_rate=reader.info.sample_rate,
        band_hz=front_end.band_hz,
    )


def rows_by_id(recordings: pd.DataFrame) -> dict[str, Any]:
    """The rows of ``recordings`` by id.

    Parameters
    ----------
    recordings : DataFrame, the table of this name

    Returns
    -------
    dict from recording_id to named tuple

    Examples
    --------
    >>> rows_by_id(pd.DataFrame({"recording_id": ["r1"], "label": ["A"]}))["r1"].label
    'A'
    """
    return {str(row.recording_id): row for row in recordings.itertuples()}

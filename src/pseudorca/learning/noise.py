"""What a project knows of nothing: backgrounds of labelled clips, and sound that holds no animal.

In: a store whose clips are embedded. Out: the embedding of the background of each clip, taken apart;
and unbroken noise: folders of noise (``scan --nothing``), and the stretches between the selections of
long recordings in which nothing stands out. All embeddings are kept, and computed once.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from pseudorca.embedding.augmentation.alterations import background_front_end
from pseudorca.embedding.embedder import AnyEmbedder
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import ClipError, TableError
from pseudorca.frontends.base import FrontEnd
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.progress import Progress
from pseudorca.recordings.clips import cut, read_raven, sample_clips
from pseudorca.recordings.manifest import labelled_and_noise
from pseudorca.recordings.options import NOTHING, ClipOptions
from pseudorca.store import Store

PER_ENCOUNTER = 10
"""Clips of an encounter whose background is heard, and as many stretches between its selections."""

_IN_VAIN = (
    "no frames without signal", "holds a signal", "too short to find frames without signal", "silent",
)  # fmt: skip
_MARGIN_S = 1.0  # between a selection and a stretch without one
_WINDOW_S = 3.0  # of stretches beside clips without a window of their own


def background_vectors(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    *,
    progress: Progress | None = None,
) -> Vectors:
    """Embed the background alone of some clips of each encounter, spread evenly over it.

    Parameters
    ----------
    clips, recordings : DataFrame, labelled clips, and the table ``recordings``
    embedder : Embedder or JointEmbedder
    store : Store
    progress : callable (done, total) or None, over clips

    Returns
    -------
    ndarray [shape=(n_clips, n_dimensions)], NaN for clips that were not asked for, or that have no
    frames without signal
    """
    hearing = embedder.hearing(background_front_end)
    asked = sample_clips(clips, recordings, PER_ENCOUNTER)
    ids = _heard(asked, recordings, hearing, store, progress)["clip_id"].tolist()
    vectors = np.full((len(clips), sum(store.widths(embedder.embedder_id))), np.nan, np.float32)
    if ids:
        rows = pd.Index(clips["clip_id"]).get_indexer(ids)
        vectors[rows] = store.vectors(hearing.embedder_id, ids)
    return vectors


def noise_set(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    *,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, TrainingSet | None]:
    """Embed unbroken sound without an animal.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder or JointEmbedder
    store : Store
    progress : callable (done, total) or None, over stretches between selections

    Returns
    -------
    noise : DataFrame, rows as of the table ``clips``
    data : TrainingSet, rows as in ``noise``; None if there is none
    """
    _, folders = labelled_and_noise(store, clips)
    there = store.embedded(embedder.embedder_id, folders["clip_id"].tolist())
    folders = folders[folders["clip_id"].isin(there)]
    hearing = embedder.hearing(_unbroken)
    stretches = quiet_stretches(clips, recordings, store)
    stretches = _heard(stretches, recordings, hearing, store, progress)
    parts = {embedder.embedder_id: folders, hearing.embedder_id: stretches}
    vectors = [store.vectors(key, of["clip_id"].tolist()) for key, of in parts.items() if len(of)]
    if not vectors:
        return folders, None
    noise = pd.concat([folders, stretches], ignore_index=True)
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    data = TrainingSet(
        np.concatenate(vectors),
        np.full(len(noise), NOTHING, dtype=object),
        noise["encounter"].to_numpy(dtype=object),
        np.array([moment_of[recording] for recording in noise["recording_id"]], dtype=object),
    )
    return noise, data


def quiet_stretches(clips: pd.DataFrame, recordings: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Cut windows between the selections of labelled recordings, some of each encounter.

    Whether a window is quiet is found when it is embedded.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    store : Store

    Returns
    -------
    DataFrame, as the table ``clips``; empty if the clips were not cut from selections, or the tables of
    selections cannot be read any more

    Examples
    --------
    >>> import tempfile
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1"], "path": ["a.wav"], "moment_id": ["m1"], "n_channels": [1],
    ...     "channel": [None], "sample_rate": [48_000], "duration_s": [20.0], "label": ["Insular"],
    ...     "encounter": ["e1"], "start_utc": [pd.NaT], "root": ["/data"],
    ... })
    >>> clips, _ = cut(recordings, ClipOptions(window_s=3.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "a.selections.txt")
    ...     _ = table.write_text("Begin Time (s)\\tEnd Time (s)\\n8\\t9\\n")
    ...     store = Store(f"{folder}/project", create=True)
    ...     none = quiet_stretches(clips, recordings, store)
    ...     store.keep_setting("selections", [str(table)])
    ...     quiet = quiet_stretches(clips, recordings, store)
    >>> len(none), quiet["start_s"].tolist()
    (0, [0.0, 3.0, 10.0, 13.0, 16.0])
    """
    labelled, _ = labelled_and_noise(store, clips)
    tables = [Path(path) for path in store.setting("selections") or ()]
    if not tables or labelled.empty:
        return clips.iloc[:0]
    try:
        selected = read_raven(tables, recordings)
    except (ClipError, TableError):
        return clips.iloc[:0]
    odd = {path for path, *_ in selected.problems}  # perhaps an animal is where nobody can read
    options = ClipOptions(**(store.setting("clips") or {}))
    window_s = options.window_s or _WINDOW_S
    options = replace(
        options, window_s=window_s, overlap_s=0.0, max_per_recording=None, pad="drop", min_fill=1.0
    )
    by_id = recordings.set_index("recording_id")
    length_of = by_id["duration_s"]
    is_odd = labelled["recording_id"].map(by_id["path"]).isin(odd)
    known = set(labelled.loc[~is_odd, "recording_id"])
    between = []
    for recording, of_recording in selected.stretches.groupby("recording_id"):
        if recording not in known:
            continue
        taken = [(-_MARGIN_S, -_MARGIN_S)]
        taken += sorted(zip(of_recording["start_s"], of_recording["end_s"], strict=True))
        taken.append((length_of[recording] + _MARGIN_S, np.inf))
        reached = -np.inf
        for (_, end_s), (start_s, _) in pairwise(taken):
            reached = max(reached, end_s)
            if start_s - reached >= window_s + 2 * _MARGIN_S:
                between.append((recording, "", reached + _MARGIN_S, start_s - _MARGIN_S))
    if not between:
        return clips.iloc[:0]
    stretches = pd.DataFrame(between, columns=["recording_id", "channel", "start_s", "end_s"])
    asked = recordings[recordings["recording_id"].isin(stretches["recording_id"])]
    windows, _ = cut(asked.reset_index(drop=True), options, selections=stretches)
    return sample_clips(windows, recordings, PER_ENCOUNTER)


def nothing_notices(data: TrainingSet) -> list[str]:
    """Say for which classes hardly anything is known of nothing.

    Parameters
    ----------
    data : TrainingSet

    Returns
    -------
    list of str
        Classes with backgrounds of fewer than two encounters
    """
    groups = data.backgrounds().groups
    few = [
        label
        for label in sorted(set(data.labels))
        if len(set(groups) & set(data.groups[data.labels == label])) < 2
    ]
    if not few:
        return []
    return [
        f"{', '.join(few)}: hardly any sound without signal in the clips of this class, so that what "
        "nothing sounds like comes from other places."
    ]


def _heard(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    hearing: AnyEmbedder,
    store: Store,
    progress: Progress | None,
) -> pd.DataFrame:
    """The clips that hold what is asked for, embedded. What was searched in vain is not read again."""
    if clips.empty:
        return clips
    setting = f"without_{hearing.embedder_id}"
    known = set(store.setting(setting) or ())
    asked = clips[~clips["clip_id"].isin(known)]
    result = embed_by_each(asked, recordings, hearing, store, progress=progress)
    in_vain = result.problems.loc[result.problems["reason"].isin(_IN_VAIN), "clip_id"]
    if len(in_vain):
        store.keep_setting(setting, sorted(known.union(map(str, in_vain))))
    return asked[asked["clip_id"].isin(result.embedded)]


def _unbroken(front_end: FrontEnd) -> FrontEnd:
    return background_front_end(front_end, unbroken=True)

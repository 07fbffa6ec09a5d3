"""Labelled clips with their embeddings: what a head learns from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import HeadError
from pseudorca.recordings.folds import OTHER
from pseudorca.store import Store

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """Altered copies of the clips of a training set.

    ``vectors`` [shape=(n_views, n_clips, n_dimensions)]; ``donors`` [shape=(n_views, n_clips)]: the
    encounter whose background was laid under the copy, or empty; ``encounters`` [shape=(n_clips,)].
    """

    vectors: Vectors
    donors: NDArray[np.object_]
    encounters: NDArray[np.object_]

    @property
    def may_be_learned(self) -> NDArray[np.bool_]:
        """Copies whose donor is itself among these encounters [shape=(n_views, n_clips)].

        A background from the other side of a split would tell the head what it is tested on.
        """
        return np.isin(self.donors, ["", *set(self.encounters)])


@dataclass(frozen=True)
class TrainingSet:
    """Embeddings with their labels, a row per clip.

    ``vectors`` [shape=(n_clips, n_dimensions)]; ``labels``, ``groups`` and ``recordings``
    [shape=(n_clips,)]: the population, what must stay together in an inner split (the encounter,
    unless something else is put in its place), and the recording, however many files or clips
    one moment gave.
    """

    vectors: Vectors
    labels: NDArray[np.object_]
    groups: NDArray[np.object_]
    recordings: NDArray[np.object_]
    blocks: tuple[int, ...] = ()
    """Widths of the embeddings that stand side by side in ``vectors``; empty where there is one."""
    views: Views | None = None
    """Altered copies to learn from, for :class:`pseudorca.learning.from_copies.ViewsHead`."""
    heard_again: Vectors | None = None
    """Altered copies of the clips [shape=(n, n_clips, n_dimensions)], over which a clip that is tested
    is averaged."""

    def take(self, rows: NDArray[np.int64]) -> "TrainingSet":
        """The same for some of the clips."""
        views = self.views and Views(
            self.views.vectors[:, rows], self.views.donors[:, rows], self.views.encounters[rows]
        )
        return TrainingSet(
            self.vectors[rows],
            self.labels[rows],
            self.groups[rows],
            self.recordings[rows],
            self.blocks,
            views,
            None if self.heard_again is None else self.heard_again[:, rows],
        )

    def with_views(self) -> "TrainingSet":
        """The clips with, below them, a row for each of their copies that may be learned from.

        A recording weighs once in training, and all clips of an encounter have as many copies; so a
        clip and its n copies weigh 1 / (n + 1) each of what the clip weighed.
        """
        if self.views is None:
            return self
        view, clip = np.nonzero(self.views.may_be_learned)

        def more(values: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([values, values[clip]])

        return replace(
            self,
            vectors=np.concatenate([self.vectors, self.views.vectors[view, clip]]),
            labels=more(self.labels),
            groups=more(self.groups),
            recordings=more(self.recordings),
            views=None,
            heard_again=None,
        )


def labelled_clips(
    clips: pd.DataFrame, recordings: pd.DataFrame, store: Store, embedder_id: str
) -> tuple[pd.DataFrame, list[str]]:
    """Take the labelled clips that have an embedding.

    Returns
    -------
    clips : DataFrame
        Labels given as ``--other`` are one class, ``none of the classes``.
    notices : list of str, which clips are left out because embedding them failed

    Raises
    ------
    HeadError
        If a clip has neither an embedding nor a problem that says why.
    """
    labelled = clips[clips["label"].notna()]
    done = labelled["clip_id"].isin(store.embedded(embedder_id, labelled["clip_id"].tolist()))
    missing = store.unexplained(embedder_id, labelled["clip_id"].tolist())
    if missing:
        raise HeadError(
            f"{len(missing)} of {len(labelled)} labelled clips are not embedded by {embedder_id}: the "
            "clips were cut anew, or embedding was stopped. Run: pseudorca embed"
        )
    notices = []
    if not done.all():
        counts = labelled[~done]["label"].value_counts().sort_index()
        shown = ", ".join(f"{label} {n}" for label, n in counts.items())
        notices.append(
            f"Left out, since embedding them failed (see problems): {shown}, of {len(labelled)} "
            "labelled clips."
        )
    labelled = labelled[done].reset_index(drop=True)
    others = labelled["label"].isin(store.setting("other") or [])
    return labelled.assign(label=labelled["label"].mask(others, OTHER)), notices


def make_training_set(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    store: Store,
    embedder_id: str,
) -> TrainingSet:
    """Put embeddings and labels side by side.

    Parameters
    ----------
    clips : DataFrame, rows of the table ``clips`` as from :func:`labelled_clips`
    recordings : DataFrame, the table ``recordings``
    store : Store
    embedder_id : str

    Returns
    -------
    TrainingSet, rows as in ``clips``

    Raises
    ------
    HeadError
        If no labelled clip has an embedding.
    """
    if clips.empty:
        raise HeadError(
            "no labelled clip has an embedding. Scan folders named by population, then run: "
            "pseudorca embed"
        )
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    moments = np.array([moment_of[recording] for recording in clips["recording_id"]], dtype=object)
    blocks = store.widths(embedder_id)
    return TrainingSet(
        store.vectors(embedder_id, clips["clip_id"].tolist()),
        clips["label"].to_numpy(dtype=object),
        clips["encounter"].to_numpy(dtype=object),
        moments,
        blocks if len(blocks) > 1 else (),
    )

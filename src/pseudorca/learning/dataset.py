"""Labelled clips with their embeddings: what a head learns from."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import HeadError
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.manifest import labelled_and_noise
from pseudorca.recordings.options import NOTHING
from pseudorca.store import Store

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Names = NDArray[np.object_]
"""Embeddings; other real numbers; numbers and rows of clips; labels, encounters and other text."""


@dataclass(frozen=True)
class Views:
    """Altered copies of the clips of a training set.

    ``vectors`` [shape=(n_views, n_clips, n_dimensions)]. ``donors`` [shape=(n_views, n_clips)]: the
    encounter whose background lies under the copy, or empty. ``encounters`` [shape=(n_clips,)].

    Examples
    --------
    >>> encounters = np.array(["e1", "e2"], dtype=object)
    >>> donors = np.array([["e2", "e9"]], dtype=object)
    >>> Views(np.zeros((1, 2, 3), np.float32), donors, encounters).may_be_learned.tolist()
    [[True, False]]
    """

    vectors: Vectors
    donors: Names
    encounters: Names

    @property
    def may_be_learned(self) -> NDArray[np.bool_]:
        """Copies whose donor is itself among these encounters [shape=(n_views, n_clips)].

        A background from the other side of a split would tell the head about the test side.
        """
        return np.isin(self.donors, ["", *set(self.encounters)])


@dataclass(frozen=True)
class TrainingSet:
    """Embeddings with their labels, a row per clip.

    ``vectors`` [shape=(n_clips, n_dimensions)]. ``labels`` [shape=(n_clips,)]: the population.
    ``groups`` [shape=(n_clips,)]: what an inner split keeps whole, usually the encounter.
    ``recordings`` [shape=(n_clips,)]: the recording; all files of one moment are one recording.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> data.take(np.array([0, 3])).labels.tolist()
    ['a', 'b']
    """

    vectors: Vectors
    labels: Names
    groups: Names
    recordings: Names
    blocks: tuple[int, ...] = ()
    """Widths of the embeddings that stand side by side in ``vectors``; empty where there is one."""
    views: Views | None = None
    """Altered copies to learn from, for :class:`pseudorca.learning.recipe.CopiesHead`."""
    heard_again: Vectors | None = None
    """Altered copies of the clips [shape=(n, n_clips, n_dimensions)]: the scores of a tested clip are
    averaged over its copies."""
    nothing: Vectors | None = None
    """The background of each clip alone [shape=(n_clips, n_dimensions)], NaN where there is none, for
    :class:`pseudorca.learning.nothing.NothingHead`."""
    noise: "TrainingSet | None" = None
    """Recordings in which no animal is heard. They go with every side that is taken, unless
    :meth:`without_noise_of` leaves some out."""
    noise_with: tuple[frozenset[str], ...] = ()
    """For each row of the noise the groups of clips with which it shares a moment, an encounter or
    another value; empty where it goes with none."""

    def take(self, rows: Ints) -> "TrainingSet":
        """The training set of these rows [shape=(n,)]."""
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
            None if self.nothing is None else self.nothing[rows],
            self.noise,
            self.noise_with,
        )

    def plus(self, other: "TrainingSet") -> "TrainingSet":
        """The clips of both sets, without altered copies."""
        nothing = None
        if self.nothing is not None:
            none_there = np.full_like(other.vectors, np.nan)
            nothing = np.concatenate([self.nothing, none_there])
        return TrainingSet(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.groups, other.groups]),
            np.concatenate([self.recordings, other.recordings]),
            self.blocks,
            nothing=nothing,
            noise=self.noise,
            noise_with=self.noise_with,
        )

    def backgrounds(self) -> "TrainingSet":
        """The backgrounds of the clips, and the noise, labelled as nothing.

        All of a group are one recording, so that every encounter weighs alike.
        """
        vectors, groups = [self.vectors[:0]], [self.groups[:0]]
        if self.nothing is not None:
            rows = np.isfinite(self.nothing[:, 0])
            vectors.append(self.nothing[rows])
            groups.append(self.groups[rows])
        if self.noise is not None:
            vectors.append(self.noise.vectors)
            groups.append(self.noise.groups)
        of_rows = np.concatenate(groups)
        labels = np.full(len(of_rows), NOTHING, dtype=object)
        recordings = np.array([f"nothing of {group}" for group in of_rows], dtype=object)
        return TrainingSet(np.concatenate(vectors), labels, of_rows, recordings, self.blocks)

    def without_noise_of(self, groups: Iterable[str]) -> "TrainingSet":
        """The clips with the noise that is of none of these groups."""
        if self.noise is None:
            return self
        kept = np.flatnonzero(~self.is_noise_of(groups))
        ties = tuple(self.noise_with[row] for row in kept) if self.noise_with else ()
        return replace(self, noise=self.noise.take(kept) if len(kept) else None, noise_with=ties)

    def is_noise_of(self, groups: Iterable[str]) -> NDArray[np.bool_]:
        """Which rows of the noise are of these groups, or go with one of them [shape=(n_noise,)]."""
        if self.noise is None:
            return np.zeros(0, dtype=bool)
        of = frozenset(groups)
        ties = self.noise_with or (frozenset[str](),) * len(self.noise.groups)
        pairs = zip(self.noise.groups, ties, strict=True)
        return np.array([group in of or not of.isdisjoint(tied) for group, tied in pairs], bool)

    def without_nothing(self) -> "TrainingSet":
        """The clips alone, without their backgrounds and without noise."""
        return replace(self, nothing=None, noise=None, noise_with=())

    def with_nothing(self) -> "TrainingSet":
        """The clips with their altered copies, and below them a row for each background."""
        backgrounds = self.backgrounds()
        both = self.plus(backgrounds).without_nothing()
        if self.views is None:
            return both
        n_views, n = len(self.views.vectors), len(backgrounds.labels)
        vectors = np.zeros((n_views, n, both.vectors.shape[1]), np.float32)
        donors = np.full((n_views, n), NOTHING, dtype=object)  # never learned from
        views = Views(
            np.concatenate([self.views.vectors, vectors], axis=1),
            np.concatenate([self.views.donors, donors], axis=1),
            np.concatenate([self.views.encounters, backgrounds.groups]),
        )
        return replace(both, views=views)

    def with_views(self) -> "TrainingSet":
        """The clips, and below the clips a row for each copy that may be learned from.

        A recording weighs once in training, and all clips of an encounter have the same number of
        copies. So a clip and its n copies weigh 1 / (n + 1) of the clip's weight each.
        """
        if self.views is None:
            return self
        view, clip = np.nonzero(self.views.may_be_learned)
        copies = self.views.vectors[view, clip]
        return self.plus(
            TrainingSet(copies, self.labels[clip], self.groups[clip], self.recordings[clip])
        )


def labelled_clips(
    clips: pd.DataFrame, recordings: pd.DataFrame, store: Store, embedder_id: str
) -> tuple[pd.DataFrame, list[str]]:
    """Take the labelled clips that have an embedding.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    store : Store
    embedder_id : str

    Returns
    -------
    clips : DataFrame
        Labels given as ``--other`` are one class, ``none of the classes``; those given as
        ``--nothing`` are left out.
    notices : list of str
        The number of clips that are left out because their embedding failed

    Raises
    ------
    HeadError
        If a clip has neither an embedding nor a row in ``problems``.

    Examples
    --------
    >>> import tempfile
    >>> names = ["c1", "c2"]
    >>> clips = pd.DataFrame({"clip_id": names, "recording_id": names, "encounter": ["e1", "e2"],
    ...                       "label": ["A", "B"]})
    >>> recordings = clips.assign(moment_id=names, metadata="{}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.append_vectors("embedder", names, np.zeros((2, 3), np.float32))
    ...     labelled, notices = labelled_clips(clips, recordings, store, "embedder")
    >>> labelled["label"].tolist(), notices
    (['A', 'B'], [])
    """
    labelled, _ = labelled_and_noise(store, clips)
    done = labelled["clip_id"].isin(store.embedded(embedder_id, labelled["clip_id"].tolist()))
    missing = store.unexplained(embedder_id, labelled["clip_id"].tolist())
    if missing:
        raise HeadError(
            f"{len(missing)} of {len(labelled)} labelled clips have no embedding by {embedder_id}: "
            "the clips were cut anew, or embedding was stopped. Run: pseudorca embed"
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
    clips: pd.DataFrame, recordings: pd.DataFrame, store: Store, embedder_id: str
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

    Examples
    --------
    >>> import tempfile
    >>> names = ["c1", "c2"]
    >>> clips = pd.DataFrame({"clip_id": names, "recording_id": names, "encounter": ["e1", "e2"],
    ...                       "label": ["A", "B"]})
    >>> recordings = clips.assign(moment_id=names, metadata="{}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.append_vectors("embedder", names, np.zeros((2, 3), np.float32))
    ...     data = make_training_set(clips, recordings, store, "embedder")
    >>> data.vectors.shape, data.groups.tolist()
    ((2, 3), ['e1', 'e2'])
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

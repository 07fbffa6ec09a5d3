"""The preparation of embeddings before a head learns from them, and prepared training sets.

In: a store with embeddings of clips, of their backgrounds and of their altered copies. Out: training
sets. Preparation may subtract the embedding of the clip's background or the mean of a recorder's
clips, and may add altered copies.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.embedding.augmentation.alterations import ViewFrontEnd, ViewOptions, plan_views
from pseudorca.embedding.augmentation.copies import (
    ViewSet,
    background_clips,
    embed_test_view,
    referring,
    view_set,
)
from pseudorca.embedding.embedder import AnyEmbedder
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import FoldError, HeadError, unknown_name
from pseudorca.learning.dataset import TrainingSet, Vectors, Views, make_training_set
from pseudorca.recordings.folds import group_values
from pseudorca.store import Store

Reference = Literal["none", "minus", "beside"]

FEW_CLIPS = 8
"""With fewer clips, the mean of a group depends mostly on the clip that is centred."""

_TINY = 1e-6


@dataclass(frozen=True)
class Preparation:
    """How embeddings are changed before a head learns from them.

    Raises
    ------
    HeadError
        If ``reference`` is unknown, or ``scale`` is set without ``centre``.

    Examples
    --------
    >>> Preparation.of(["views", "centre=platform"]).name
    'learned from views, centred by platform'
    """

    views: bool = False
    """Learn from the altered copies of ``embed --augment``, too."""
    test_views: bool = False
    """Average the scores of a clip and of its altered copies."""
    reference: Reference = "none"
    """``minus``: subtract the embedding of the clip's own background; ``beside``: append it."""
    centre: str = "none"
    """Subtract the mean over the clips of one ``platform``, ``encounter``, ``recording``, or value of
    any other column.

    Transductive: the tested clips, though not their labels, are part of the mean."""
    scale: bool = False
    """Scale each dimension to the same deviation in each of these groups, too."""

    def __post_init__(self) -> None:
        if self.reference not in get_args(Reference):
            raise HeadError(unknown_name("reference", self.reference, get_args(Reference)))
        if self.scale and self.centre == "none":
            raise HeadError("scale needs groups: add centre=platform, or another column.")

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Read ``views``, ``test-views``, ``scale``, ``reference=...``, ``centre=...``.

        Raises
        ------
        HeadError
            If a word is unknown, or one step is given twice with different values.
        """
        steps: dict[str, Any] = {}
        known = ("views", "test-views", "scale", "reference=", "centre=")
        for word in words:
            name, equals, value = word.partition("=")
            if f"{name}{equals}" not in known:
                raise HeadError(unknown_name("preparation", word, known))
            step = name.replace("-", "_")
            if equals and steps.get(step, value) != value:
                raise HeadError(
                    f"{name} is given twice: {name}={steps[step]} and {name}={value}. Give it once."
                )
            steps[step] = value if equals else True
        return cls(**steps)

    @property
    def name(self) -> str:
        """The preparation in words; empty if nothing is changed."""
        text_of = {
            "views": self.views and "learned from views",
            "test_views": self.test_views and "averaged over views",
            "reference": {"minus": "minus its background", "beside": "beside its background"}.get(
                self.reference
            ),
            "centre": self.centre != "none"
            and f"{'whitened' if self.scale else 'centred'} by {self.centre}",
        }
        return ", ".join(text for text in text_of.values() if text)

    @property
    def words(self) -> list[str]:
        """The words that :meth:`of` reads."""
        is_set = {
            "views": self.views,
            "test-views": self.test_views,
            f"reference={self.reference}": self.reference != "none",
            f"centre={self.centre}": self.centre != "none",
            "scale": self.scale,
        }
        return [word for word, applies in is_set.items() if applies]

    def settings(self) -> dict[str, Any]:
        return asdict(self)


PLAIN = Preparation()


def referred(vectors: Vectors, backgrounds: Vectors, reference: Reference) -> Vectors:
    """Refer embeddings to those of the clips' own backgrounds.

    Parameters
    ----------
    vectors, backgrounds : ndarray [shape=(..., n_clips, n_dimensions)]
    reference : ``none``, ``minus`` or ``beside``

    Returns
    -------
    ndarray [shape=(..., n_clips, n_dimensions or twice as many)]

    Examples
    --------
    >>> vectors, backgrounds = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    >>> referred(vectors, backgrounds, "minus").sum(), referred(vectors, backgrounds, "beside").shape
    (np.float32(0.0), (2, 6))
    """
    if reference == "minus":
        return vectors - backgrounds
    if reference == "beside":
        return np.concatenate([vectors, backgrounds], axis=-1)
    return vectors


def centred(vectors: Vectors, groups: NDArray[np.object_], *, scale: bool = False) -> Vectors:
    """Subtract the mean of each group; with ``scale``, divide by the deviation of the group.

    Parameters
    ----------
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    groups : ndarray [shape=(n_clips,)], such as the platform of each clip
    scale : bool
        A dimension in which a group does not vary stays 0.

    Returns
    -------
    ndarray [shape=(n_clips, n_dimensions)], float32

    Examples
    --------
    >>> vectors = np.array([[1.0], [3.0], [10.0], [12.0]], dtype=np.float32)
    >>> centred(vectors, np.array(["x", "x", "y", "y"], dtype=object))[:, 0].tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    values = np.array(vectors, dtype=np.float64)
    for group in set(groups):
        in_group = groups == group
        values[in_group] -= values[in_group].mean(axis=0)
        if scale:
            spread = values[in_group].std(axis=0)
            values[in_group] /= np.where(spread > _TINY, spread, 1.0)
    return values.astype(np.float32)


def small_groups(groups: NDArray[np.object_]) -> list[str]:
    """Names of groups of fewer than :data:`FEW_CLIPS` clips.

    Parameters
    ----------
    groups : ndarray [shape=(n_clips,)]

    Returns
    -------
    list of str, sorted

    Examples
    --------
    >>> small_groups(np.array(["x"] * 8 + ["y"], dtype=object))
    ['y']
    """
    names, counts = np.unique(groups.astype(str), return_counts=True)
    return [str(name) for name in names[counts < FEW_CLIPS]]


_MOST_MISSING = 0.1  # share of views that may have failed to be drawn


def prepared_set(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    store: Store,
    embedder: AnyEmbedder,
    preparation: Preparation = PLAIN,
    *,
    labelled: pd.DataFrame | None = None,
) -> tuple[TrainingSet, list[str]]:
    """Read embeddings and labels, and prepare the embeddings.

    Parameters
    ----------
    clips : DataFrame, rows of ``clips`` as from :func:`labelled_clips`
    recordings : DataFrame, the table ``recordings``
    store : Store
    embedder : Embedder or JointEmbedder, of the clips
    preparation : Preparation
    labelled : DataFrame or None
        All labelled clips of the project, from which copies draw backgrounds; None: ``clips``

    Returns
    -------
    data : TrainingSet, rows as in ``clips``
    notices : list of str

    Raises
    ------
    HeadError
        If embeddings of views or backgrounds are missing.
    """
    data = make_training_set(clips, recordings, store, embedder.embedder_id)
    if preparation == PLAIN:
        return data, []
    donors_from = clips if labelled is None else labelled[labelled["label"].notna()]
    donors_from = donors_from.reset_index(drop=True)
    reader = _PreparedReader(clips, recordings, store, embedder, preparation)
    prepared = reader.prepare(data.vectors)
    blocks = data.blocks
    if preparation.reference == "beside":
        blocks = (blocks or (data.vectors.shape[1],)) * 2
    views = test_copies = None
    if preparation.views:
        known = view_set(store, embedder.embedder_id)
        backgrounds = background_clips(donors_from, recordings, embedder, store)
        copies, donors = [], []
        for number in range(1, known.n_views + 1):
            plan = plan_views(
                donors_from, recordings, known.options, number, backgrounds, embedder.front_end
            )
            plan = plan.set_index("of_clip").loc[clips["clip_id"]].reset_index()
            copies.append(reader.view(plan, known.options, number, data.vectors))
            donors.append(plan["donor"].to_numpy(dtype=object))
        encounters = clips["encounter"].to_numpy(dtype=object)
        views = Views(np.stack(copies), np.stack(donors), encounters)
    if preparation.test_views:
        test_copies = reader.again(view_set(store, embedder.embedder_id), data.vectors)
    notices = [] if preparation.centre == "none" else centring_notices(preparation, reader.groups)
    if reader.n_instead:
        notices.append(
            f"{reader.n_instead} altered copies or backgrounds cannot be drawn, such as of clips that "
            "are too short; the embedding of the clip itself takes their place."
        )
    return replace(
        data, vectors=prepared, blocks=blocks, views=views, heard_again=test_copies
    ), notices


def prepared_vectors(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    store: Store,
    embedder: AnyEmbedder,
    preparation: Preparation,
    views: ViewSet | None,
    **how: Any,
) -> tuple[Vectors, Vectors | None, list[str]]:
    """Embed clips in every way that the classifier needs, and prepare the embeddings.

    Parameters
    ----------
    clips, recordings : DataFrame, clips with an embedding, and the table ``recordings``
    store : Store
    embedder : Embedder or JointEmbedder, of the clips
    preparation : Preparation
    views : ViewSet or None, with the test views to average
    how : see :func:`pseudorca.embedding.stream.embed_clips`

    Returns
    -------
    vectors : ndarray [shape=(n_clips, n)]
    test_copies : ndarray [shape=(n_test_views, n_clips, n)] or None
    small : list of str, groups of few clips whose mean was subtracted
    """
    plain = store.vectors(embedder.embedder_id, clips["clip_id"].tolist())
    if preparation == PLAIN or clips.empty:
        return plain, None, []
    hearings = [embedder]
    if preparation.reference != "none":
        hearings.append(referring(embedder))
        embed_by_each(clips, recordings, hearings[-1], store, **how)
    is_averaged = preparation.test_views and views is not None
    if is_averaged and views is not None:
        for number in range(1, views.n_test_views + 1):
            for hearing in hearings:
                embed_test_view(clips, recordings, hearing, store, views.options, number, **how)
    reader = _PreparedReader(clips, recordings, store, embedder, preparation, is_complete=False)
    test_copies = reader.again(views, plain) if is_averaged and views is not None else None
    small = small_groups(reader.groups) if preparation.centre != "none" else []
    return reader.prepare(plain), test_copies, small


def centring_notices(preparation: Preparation, groups: NDArray[np.object_]) -> list[str]:
    """Warnings on centring: the tested clips are part of the mean, and groups may be small.

    Parameters
    ----------
    preparation : Preparation, with ``centre``
    groups : ndarray [shape=(n_clips,)], the values of the column ``centre``

    Returns
    -------
    list of str, one notice

    Examples
    --------
    >>> groups = np.array(["x"] * 8, dtype=object)
    >>> centring_notices(Preparation(centre="platform"), groups)[0].split(":")[0]
    'Embeddings are centred by platform'
    """
    word = "whitened" if preparation.scale else "centred"
    text = (
        f"Embeddings are {word} by {preparation.centre}: the tested clips, though not their labels, "
        "are part of the mean (transductive)."
    )
    if preparation.centre in ("encounter", "recording"):
        text += (
            f" All clips of one {preparation.centre} are of one class, so the mean of the class is "
            "subtracted, too."
        )
    if small := small_groups(groups):
        text += (
            f" {len(small)} of {len(set(groups))} groups have fewer than {FEW_CLIPS} clips, so that "
            f"centring leaves little of their embeddings, such as {small[0]}."
        )
    return [text]


@dataclass
class _PreparedReader:
    """Reads embeddings of clips and of their views; all are referred and centred in the same way."""

    clips: pd.DataFrame
    recordings: pd.DataFrame
    store: Store
    embedder: AnyEmbedder
    preparation: Preparation
    is_complete: bool = True
    """True: more than a few missing embeddings are an error, since ``embed`` was not run for them."""

    def __post_init__(self) -> None:
        self.n_instead = 0
        centre = self.preparation.centre
        self.groups = np.array([], dtype=object)
        if centre == "none":
            return
        try:
            self.groups = group_values(self.clips, self.recordings, centre).to_numpy(dtype=object)
        except FoldError:
            if self.is_complete:
                raise
            # Prediction reads clips in portions, and a portion may have no value in the column.
            names = "encounter " + self.clips["encounter"].astype(str)
            self.groups = names.to_numpy(dtype=object)

    def prepare(self, plain: Vectors) -> Vectors:
        """Prepared embeddings of the clips."""
        ids = self.clips["clip_id"].tolist()
        return self._made(plain, self._backgrounds(self.embedder, ids, plain))

    def view(
        self, plan: pd.DataFrame, options: ViewOptions, number: int, plain: Vectors
    ) -> Vectors:
        """Prepared embeddings of one view; the clip replaces a copy that could not be drawn."""
        ids = plan["clip_id"].tolist()
        vectors = self._read(self._altered(self.embedder, options, number), ids, plain)
        if self.preparation.reference == "none":
            return self._made(vectors, vectors)
        hearing = self._altered(referring(self.embedder), options, number)
        return self._made(vectors, self._read(hearing, ids, vectors))

    def again(self, views: ViewSet, plain: Vectors) -> Vectors:
        """Prepared embeddings of all test views."""
        if not views.n_test_views:
            raise HeadError(
                "the clips have no test copies to average. Run: pseudorca embed --augment "
                f"{views.n_views} --test-views 4, with the same network"
            )
        prepared = []
        for number in range(1, views.n_test_views + 1):
            plan = plan_views(self.clips, self.recordings, views.options.alone(), number)
            prepared.append(self.view(plan, views.options.alone(), number, plain))
        return np.stack(prepared)

    def _altered(self, embedder: AnyEmbedder, options: ViewOptions, number: int) -> AnyEmbedder:
        return embedder.hearing(lambda front_end: ViewFrontEnd(front_end, options, number))

    def _backgrounds(self, embedder: AnyEmbedder, ids: list[str], plain: Vectors) -> Vectors:
        if self.preparation.reference == "none":
            return plain
        return self._read(referring(embedder), ids, plain)

    def _made(self, vectors: Vectors, backgrounds: Vectors) -> Vectors:
        prepared = referred(vectors, backgrounds, self.preparation.reference)
        if self.preparation.centre == "none":
            return prepared
        return centred(prepared, self.groups, scale=self.preparation.scale)

    def _read(self, hearing: AnyEmbedder, ids: list[str], instead: Vectors) -> Vectors:
        """Embeddings from the store; ``instead`` for clips that could not be drawn."""
        embedder_id = hearing.embedder_id
        there = np.isin(ids, list(self.store.embedded(embedder_id, ids)))
        missing = int((~there).sum())
        if self.is_complete and missing > _MOST_MISSING * len(ids) + 1:
            raise HeadError(
                f"{missing} of {len(ids)} clips lack an embedding that the preparation needs "
                f"({self.preparation.name}): embedding was stopped, or never asked for it. Run "
                "pseudorca embed with the same network and --augment, --test-views or --reference."
            )
        self.n_instead += missing
        vectors = instead.copy()
        if there.any():
            vectors[there] = self.store.vectors(
                embedder_id,
                [clip_id for clip_id, is_there in zip(ids, there, strict=True) if is_there],
            )
        return vectors

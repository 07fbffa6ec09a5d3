"""The preparation of embeddings before a head learns from them, and prepared training sets.

In: a store with embeddings of clips, of their backgrounds and of their altered copies. Out: training
sets. Preparation may subtract the embedding of the clip's background or the mean of a recorder's
clips, and may add altered copies.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd

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
from pseudorca.learning.dataset import Names, TrainingSet, Vectors, Views, make_training_set
from pseudorca.recordings.folds import group_values
from pseudorca.recordings.manifest import labelled_and_noise
from pseudorca.store import Store
from pseudorca.values import plural

Reference = Literal["none", "minus", "beside"]

FEW_CLIPS = 8
"""With fewer clips, the mean of a group depends mostly on the clip that is centred."""

_CONSTANT = 1e-6  # deviation up to which a dimension counts as constant
_MOST_MISSING = 0.1  # share of views that may have failed to be drawn


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
        changes = []
        if self.views:
            changes.append("learned from views")
        if self.test_views:
            changes.append("averaged over views")
        if self.reference != "none":
            changes.append(f"{self.reference} its background")
        if self.centre != "none":
            changes.append(f"{'whitened' if self.scale else 'centred'} by {self.centre}")
        return ", ".join(changes)

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
        """The steps as JSON values."""
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


def centred(vectors: Vectors, groups: Names, *, scale: bool = False) -> Vectors:
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
            values[in_group] /= np.where(spread > _CONSTANT, spread, 1.0)
    return values.astype(np.float32)


def small_groups(groups: Names) -> list[str]:
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

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> embedder = Embedder(CommonFrontEnd(), load_backbone("logmel"), "cpu")
    >>> names = ["c1", "c2"]
    >>> clips = pd.DataFrame({"clip_id": names, "recording_id": names, "encounter": ["e1", "e2"],
    ...                       "label": ["A", "B"]})
    >>> recordings = clips.assign(moment_id=names, metadata="{}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     vectors = np.ones((2, embedder.backbone.embedding_size), np.float32)
    ...     store.append_vectors(embedder.embedder_id, names, vectors)
    ...     centre = Preparation(centre="encounter")
    ...     data, notices = prepared_set(clips, recordings, store, embedder, centre)
    >>> float(np.abs(data.vectors).max()), notices[0].split(":")[0]
    (0.0, 'Embeddings are centred by encounter')
    """
    data = make_training_set(clips, recordings, store, embedder.embedder_id)
    if preparation == PLAIN:
        return data, []
    reader = _PreparedReader(clips, recordings, store, embedder, preparation)
    blocks, views, heard_again = data.blocks, None, None
    if preparation.reference == "beside":
        blocks = (blocks or (data.vectors.shape[1],)) * 2
    vectors = reader.clips_themselves(data.vectors)
    if preparation.views:
        donors_from = clips if labelled is None else labelled_and_noise(store, labelled)[0]
        views = reader.views(donors_from.reset_index(drop=True), data.vectors)
    if preparation.test_views:
        heard_again = reader.test_views(view_set(store, embedder.embedder_id), data.vectors)
    notices = []
    if preparation.centre != "none":
        notices.append(_centring_notice(preparation, reader.groups))
    if reader.n_instead:
        notices.append(
            f"Altered copies or backgrounds that cannot be drawn, such as of clips that are too short: "
            f"{reader.n_instead}; the embedding of the clip itself takes their place."
        )
    prepared = replace(data, vectors=vectors, blocks=blocks, views=views, heard_again=heard_again)
    return prepared, notices


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

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> embedder = Embedder(CommonFrontEnd(), load_backbone("logmel"), "cpu")
    >>> names = ["c1", "c2"]
    >>> clips = pd.DataFrame({"clip_id": names, "recording_id": names, "encounter": ["e1", "e2"],
    ...                       "label": ["A", "B"]})
    >>> recordings = clips.assign(moment_id=names, metadata="{}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     vectors = np.ones((2, embedder.backbone.embedding_size), np.float32)
    ...     store.append_vectors(embedder.embedder_id, names, vectors)
    ...     prepared = prepared_vectors(clips, recordings, store, embedder, PLAIN, None)
    >>> prepared[0].shape[0], prepared[1:]
    (2, (None, []))
    """
    plain = store.vectors(embedder.embedder_id, clips["clip_id"].tolist())
    if preparation == PLAIN:
        return plain, None, []
    hearings = [embedder]
    if preparation.reference != "none":
        hearings.append(referring(embedder))
        embed_by_each(clips, recordings, hearings[-1], store, **how)
    reader = _PreparedReader(clips, recordings, store, embedder, preparation, is_complete=False)
    test_copies = None
    if views is not None:
        for number in range(1, views.n_test_views + 1):
            for hearing in hearings:
                embed_test_view(clips, recordings, hearing, store, views.options, number, **how)
        test_copies = reader.test_views(views, plain)
    return reader.clips_themselves(plain), test_copies, small_groups(reader.groups)


def _centring_notice(preparation: Preparation, groups: Names) -> str:
    """A warning on centring: the tested clips are part of the mean, and groups may be small."""
    text = (
        f"Embeddings are {'whitened' if preparation.scale else 'centred'} by {preparation.centre}: "
        "the tested clips, though not their labels, are part of the mean (transductive)."
    )
    if preparation.centre in ("encounter", "recording"):
        text += (
            f" All clips of one {preparation.centre} are of one class, so the mean of the class is "
            "subtracted, too."
        )
    if small := small_groups(groups):
        text += (
            f" Groups with fewer than {FEW_CLIPS} clips, of whose embeddings centring leaves little: "
            f"{len(small)} of {len(set(groups))}, such as {small[0]}."
        )
    return text


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

    def clips_themselves(self, plain: Vectors) -> Vectors:
        """Prepared embeddings of the clips."""
        return self._prepared(plain, self.clips["clip_id"].tolist(), lambda embedder: embedder)

    def views(self, donors_from: pd.DataFrame, plain: Vectors) -> Views:
        """Prepared embeddings of the altered copies that may be learned from."""
        views = view_set(self.store, self.embedder.embedder_id)
        backgrounds = background_clips(donors_from, self.recordings, self.embedder, self.store)
        front_end = self.embedder.front_end
        copies, donors = [], []
        for number in range(1, views.n_views + 1):
            plan = plan_views(
                donors_from, self.recordings, views.options, number, backgrounds, front_end
            )
            plan = plan.set_index("of_clip").loc[self.clips["clip_id"]]
            copies.append(self._view(plan, views.options, number, plain))
            donors.append(plan["donor"].to_numpy(dtype=object))
        encounters = self.clips["encounter"].to_numpy(dtype=object)
        return Views(np.stack(copies), np.stack(donors), encounters)

    def test_views(self, views: ViewSet, plain: Vectors) -> Vectors:
        """Prepared embeddings of all test views [shape=(n_test_views, n_clips, n_dimensions)]."""
        if not views.n_test_views:
            raise HeadError(
                "the clips have no test copies to average. Run: pseudorca embed --augment "
                f"{views.n_views} --test-views 4, with the same network"
            )
        options = views.options.alone()
        prepared = []
        for number in range(1, views.n_test_views + 1):
            plan = plan_views(self.clips, self.recordings, options, number)
            prepared.append(self._view(plan, options, number, plain))
        return np.stack(prepared)

    def _view(
        self, plan: pd.DataFrame, options: ViewOptions, number: int, plain: Vectors
    ) -> Vectors:
        """Prepared embeddings of one view; the clip replaces a copy that could not be drawn."""

        def altered(embedder: AnyEmbedder) -> AnyEmbedder:
            return embedder.hearing(lambda front_end: ViewFrontEnd(front_end, options, number))

        ids = plan["clip_id"].tolist()
        return self._prepared(self._read(altered(self.embedder), ids, plain), ids, altered)

    def _prepared(
        self, vectors: Vectors, ids: list[str], altered: Callable[[AnyEmbedder], AnyEmbedder]
    ) -> Vectors:
        """Embeddings, referred to the backgrounds of the clips and centred."""
        if self.preparation.reference != "none":
            backgrounds = self._read(altered(referring(self.embedder)), ids, vectors)
            vectors = referred(vectors, backgrounds, self.preparation.reference)
        if self.preparation.centre != "none":
            vectors = centred(vectors, self.groups, scale=self.preparation.scale)
        return vectors

    def _read(self, hearing: AnyEmbedder, ids: list[str], instead: Vectors) -> Vectors:
        """Embeddings from the store; ``instead`` for clips that could not be drawn."""
        embedder_id = hearing.embedder_id
        there = np.isin(ids, list(self.store.embedded(embedder_id, ids)))
        missing = int((~there).sum())
        if self.is_complete and missing > _MOST_MISSING * len(ids) + 1:
            raise HeadError(
                f"{missing} of {plural(len(ids), 'clip')} without an embedding that the preparation "
                f"needs ({self.preparation.name}): embedding was stopped, or never asked for it. Run "
                "pseudorca embed with the same network and --augment, --test-views or --reference."
            )
        self.n_instead += missing
        vectors = instead.copy()
        if there.any():
            known = np.array(ids, dtype=object)[there].tolist()
            vectors[there] = self.store.vectors(embedder_id, known)
        return vectors

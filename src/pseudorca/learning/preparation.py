"""What is made of embeddings before a head learns from them, and training sets so prepared.

In: a store with embeddings of clips, of their backgrounds and of their altered copies. Out: training
sets whose vectors are less their background's, or less their recorder's mean, with copies beside.
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
    embed_test_view,
    project_seas,
    referring,
    view_set,
)
from pseudorca.embedding.joint import AnyEmbedder
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import FoldError, HeadError, unknown_name
from pseudorca.learning.dataset import TrainingSet, Vectors, Views, make_training_set
from pseudorca.recordings.folds import group_values
from pseudorca.store import Store

Reference = Literal["none", "minus", "beside"]

FEW_CLIPS = 8
"""With fewer clips a group's mean is mostly that of the clips themselves."""

_TINY = 1e-6


@dataclass(frozen=True)
class Preparation:
    """What is made of embeddings before a head learns from them."""

    views: bool = False
    """Learn from the altered copies that ``embed --augment`` made, too."""
    test_views: bool = False
    """Average what is said of a clip and of altered copies of it."""
    reference: Reference = "none"
    """``minus``: take off the embedding of the clip's own background; ``beside``: put it beside."""
    centre: str = "none"
    """Take off the mean over the clips of one ``platform``, ``encounter``, ``recording``, or value of
    any other column.

    Transductive: the clips that are asked about, though not their labels, have a part in it."""
    scale: bool = False
    """Bring each dimension to the same deviation in each of these groups, too."""

    def __post_init__(self) -> None:
        if self.reference not in get_args(Reference):
            raise HeadError(unknown_name("reference", self.reference, get_args(Reference)))
        if self.scale and self.centre == "none":
            raise HeadError(
                "scale is of groups that are centred: add centre=platform, or another column."
            )

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Read ``views``, ``test-views``, ``scale``, ``reference=...``, ``centre=...``.

        Raises
        ------
        HeadError
            If a word is unknown, or two words say two things of one step.
        """
        given: dict[str, Any] = {}
        known = ("views", "test-views", "scale", "reference=", "centre=")
        for word in words:
            name, equals, value = word.partition("=")
            if f"{name}{equals}" not in known:
                raise HeadError(unknown_name("preparation", word, known))
            step = name.replace("-", "_")
            if equals and given.get(step, value) != value:
                raise HeadError(
                    f"{name} is given twice: {name}={given[step]} and {name}={value}. Give it once."
                )
            given[step] = value if equals else True
        return cls(**given)

    @property
    def name(self) -> str:
        """In words, empty for none."""
        said = {
            "views": self.views and "learned from views",
            "test_views": self.test_views and "averaged over views",
            "reference": {"minus": "minus its background", "beside": "beside its background"}.get(
                self.reference
            ),
            "centre": self.centre != "none"
            and f"{'whitened' if self.scale else 'centred'} by {self.centre}",
        }
        return ", ".join(text for text in said.values() if text)

    @property
    def words(self) -> list[str]:
        """What :meth:`of` reads."""
        said = {
            "views": self.views,
            "test-views": self.test_views,
            f"reference={self.reference}": self.reference != "none",
            f"centre={self.centre}": self.centre != "none",
            "scale": self.scale,
        }
        return [word for word, is_said in said.items() if is_said]

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
    """
    if reference == "minus":
        return vectors - backgrounds
    if reference == "beside":
        return np.concatenate([vectors, backgrounds], axis=-1)
    return vectors


def centred(vectors: Vectors, groups: NDArray[np.object_], *, scale: bool = False) -> Vectors:
    """Take the mean of each group off, and with ``scale`` bring its deviation to 1.

    Parameters
    ----------
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    groups : ndarray [shape=(n_clips,)], such as the platform of each clip
    scale : bool
        A dimension in which a group does not vary stays 0.

    Returns
    -------
    ndarray [shape=(n_clips, n_dimensions)], float32
    """
    found = np.array(vectors, dtype=np.float64)
    for group in set(groups):
        mine = groups == group
        found[mine] -= found[mine].mean(axis=0)
        if scale:
            spread = found[mine].std(axis=0)
            found[mine] /= np.where(spread > _TINY, spread, 1.0)
    return found.astype(np.float32)


def small_groups(groups: NDArray[np.object_]) -> list[str]:
    """Groups of fewer than :data:`FEW_CLIPS` clips, by name."""
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
    """Put what heads learn from side by side with the labels.

    Parameters
    ----------
    clips : DataFrame, rows of ``clips`` as from :func:`labelled_clips`
    recordings : DataFrame, the table ``recordings``
    store : Store
    embedder : embedder of the clips
    preparation : Preparation
    labelled : DataFrame or None
        All labelled clips of the project, whose seas views draw from; None: ``clips``

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
    every = clips if labelled is None else labelled[labelled["label"].notna()]
    every = every.reset_index(drop=True)
    heard = _Heard(clips, recordings, store, embedder, preparation)
    made = heard.prepare(data.vectors)
    blocks = data.blocks
    if preparation.reference == "beside":
        blocks = (blocks or (data.vectors.shape[1],)) * 2
    views = again = None
    if preparation.views:
        known = view_set(store, embedder.embedder_id)
        seas = project_seas(every, recordings, embedder, store)
        found, donors = [], []
        for number in range(1, known.n_views + 1):
            plan = plan_views(every, recordings, known.options, number, seas, embedder.front_end)
            plan = plan.set_index("of_clip").loc[clips["clip_id"]].reset_index()
            found.append(heard.view(plan, known.options, number, data.vectors))
            donors.append(plan["donor"].to_numpy(dtype=object))
        encounters = clips["encounter"].to_numpy(dtype=object)
        views = Views(np.stack(found), np.stack(donors), encounters)
    if preparation.test_views:
        again = heard.again(view_set(store, embedder.embedder_id), data.vectors)
    notices = [] if preparation.centre == "none" else centring_notices(preparation, heard.groups)
    if heard.n_instead:
        notices.append(
            f"{heard.n_instead} altered copies or backgrounds cannot be drawn, such as of clips that "
            "are too short; the clip itself stands in their place."
        )
    return replace(data, vectors=made, blocks=blocks, views=views, heard_again=again), notices


def prepared_vectors(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    store: Store,
    embedder: AnyEmbedder,
    preparation: Preparation,
    views: ViewSet | None,
    **how: Any,
) -> tuple[Vectors, Vectors | None, list[str]]:
    """Embed what is predicted in every way the classifier needs, and prepare it.

    Parameters
    ----------
    clips, recordings : DataFrame, clips that are embedded, and the table ``recordings``
    store, embedder : the embedder of the clips
    preparation : Preparation
    views : ViewSet or None, whose test views are averaged over
    how : see :func:`pseudorca.embedding.stream.embed_clips`

    Returns
    -------
    vectors : ndarray [shape=(n_clips, n)]
    again : ndarray [shape=(n_test_views, n_clips, n)] or None
    small : list of str, groups of few clips by whose mean clips were centred
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
            for one in hearings:
                embed_test_view(clips, recordings, one, store, views.options, number, **how)
    heard = _Heard(clips, recordings, store, embedder, preparation, is_complete=False)
    again = heard.again(views, plain) if is_averaged and views is not None else None
    small = small_groups(heard.groups) if preparation.centre != "none" else []
    return heard.prepare(plain), again, small


def centring_notices(preparation: Preparation, groups: NDArray[np.object_]) -> list[str]:
    """Say what centring takes: clips that are asked about have a part in it, and small groups."""
    word = "whitened" if preparation.scale else "centred"
    text = (
        f"Embeddings are {word} by {preparation.centre}: the clips that are tested have a part in "
        "that, though not their labels (transductive)."
    )
    if preparation.centre in ("encounter", "recording"):
        text += (
            f" All clips of one {preparation.centre} are of one class, so what the class has in common "
            "is taken off, too."
        )
    if small := small_groups(groups):
        text += (
            f" {len(small)} of {len(set(groups))} groups have so few clips that little is left of "
            f"them, such as {small[0]}."
        )
    return [text]


@dataclass
class _Heard:
    """Embeddings of clips and of their views, referred and centred alike."""

    clips: pd.DataFrame
    recordings: pd.DataFrame
    store: Store
    embedder: AnyEmbedder
    preparation: Preparation
    is_complete: bool = True
    """Whether what is missing was never asked for, unless it is little."""

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
            # What is predicted comes in portions, and one of them may have no value at all.
            names = "encounter " + self.clips["encounter"].astype(str)
            self.groups = names.to_numpy(dtype=object)

    def prepare(self, plain: Vectors) -> Vectors:
        """Of the clips as they are."""
        ids = self.clips["clip_id"].tolist()
        return self._made(plain, self._backgrounds(self.embedder, ids, plain))

    def view(
        self, plan: pd.DataFrame, options: ViewOptions, number: int, plain: Vectors
    ) -> Vectors:
        """Of one view; a copy that could not be drawn is the clip itself."""
        ids = plan["clip_id"].tolist()
        found = self._read(self._altered(self.embedder, options, number), ids, plain)
        if self.preparation.reference == "none":
            return self._made(found, found)
        hearing = self._altered(referring(self.embedder), options, number)
        return self._made(found, self._read(hearing, ids, found))

    def again(self, views: ViewSet, plain: Vectors) -> Vectors:
        """Of all test views."""
        if not views.n_test_views:
            raise HeadError(
                "there are no copies of the clips to average over. Run: pseudorca embed --augment "
                f"{views.n_views} --test-views 4, with the same network"
            )
        made = []
        for number in range(1, views.n_test_views + 1):
            plan = plan_views(self.clips, self.recordings, views.options.alone(), number)
            made.append(self.view(plan, views.options.alone(), number, plain))
        return np.stack(made)

    def _altered(self, embedder: AnyEmbedder, options: ViewOptions, number: int) -> AnyEmbedder:
        return embedder.hearing(lambda heard: ViewFrontEnd(heard, options, number))

    def _backgrounds(self, embedder: AnyEmbedder, ids: list[str], plain: Vectors) -> Vectors:
        if self.preparation.reference == "none":
            return plain
        return self._read(referring(embedder), ids, plain)

    def _made(self, vectors: Vectors, backgrounds: Vectors) -> Vectors:
        found = referred(vectors, backgrounds, self.preparation.reference)
        if self.preparation.centre == "none":
            return found
        return centred(found, self.groups, scale=self.preparation.scale)

    def _read(self, hearing: AnyEmbedder, ids: list[str], instead: Vectors) -> Vectors:
        """What the store has, and ``instead`` for what could not be drawn."""
        embedder_id = hearing.embedder_id
        there = np.isin(ids, list(self.store.embedded(embedder_id, ids)))
        missing = int((~there).sum())
        if self.is_complete and missing > _MOST_MISSING * len(ids) + 1:
            raise HeadError(
                f"for {missing} of {len(ids)} clips there is nothing to prepare with "
                f"({self.preparation.name}): embedding was stopped, or never asked for it. Run "
                "pseudorca embed with the same network and --augment, --test-views or --reference."
            )
        self.n_instead += missing
        vectors = instead.copy()
        if there.any():
            vectors[there] = self.store.vectors(
                embedder_id, [one for one, is_there in zip(ids, there, strict=True) if is_there]
            )
        return vectors

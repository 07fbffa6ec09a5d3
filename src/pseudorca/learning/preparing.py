"""Embeddings made ready for a head: altered copies, backgrounds, and what is made of them.

In: clips, an embedder, and a :class:`~pseudorca.learning.centring.Preparation`. Out: in the store,
embeddings of views and of backgrounds, each under the id of the embedder that hears clips so; and
from there, what heads learn from and score. Training and prediction both pass through here.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import FoldError, HeadError
from pseudorca.features.augment import (
    ViewFrontEnd,
    ViewOptions,
    plan_views,
    read_seas,
    reference_front_end,
    sea_front_end,
)
from pseudorca.features.front_ends import FrontEnd
from pseudorca.features.joint import AnyEmbedder, embed_by_each
from pseudorca.features.parts import measure_sounds
from pseudorca.learning.centring import PLAIN, Preparation, centred, referred, small_groups
from pseudorca.learning.training_set import TrainingSet, Vectors, Views, make_training_set
from pseudorca.recordings.folds import group_values
from pseudorca.store import Store

_SETTING = "views"
_MOST_MISSING = 0.1  # share of views that may have failed to be drawn


@dataclass(frozen=True)
class ViewSet:
    """How many views of which kind a project or a classifier has."""

    options: ViewOptions
    n_views: int
    """To learn from."""
    n_test_views: int = 0
    """To be averaged over, without other encounters' seas."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what ``asdict`` gave."""
        options = values["options"] | {"rates": tuple(values["options"]["rates"])}
        return cls(ViewOptions(**options), values["n_views"], values["n_test_views"])


def keep_view_set(store: Store, embedder_id: str, views: ViewSet) -> None:
    """Note which views a project has of an embedder's clips."""
    known = store.setting(_SETTING) or {}
    store.keep_setting(_SETTING, known | {embedder_id: asdict(views)})


def view_set(store: Store, embedder_id: str) -> ViewSet:
    """The views that a project has. HeadError if it has none."""
    known = (store.setting(_SETTING) or {}).get(embedder_id)
    if known is None:
        raise HeadError(
            "there are no altered copies of the clips by this network. Run: pseudorca embed "
            "--augment 3, with the same network"
        )
    return ViewSet.from_dict(known)


def embed_views(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    views: ViewSet,
    *,
    with_backgrounds: bool = False,
    **how: Any,
) -> int:
    """Embed altered copies of labelled clips.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : embedder of the clips
    store : Store, keeps them, and that they are there
    views : ViewSet
    with_backgrounds : bool, also what each copy's own background sounds like
    how : see :func:`pseudorca.features.embedding.embed_clips`

    Returns
    -------
    int, how many were new
    """
    labelled = clips[clips["label"].notna()].reset_index(drop=True)
    hearings = [embedder, referring(embedder)] if with_backgrounds else [embedder]
    seas = _seas(labelled, recordings, embedder, store)
    n_new = 0
    for number in range(1, views.n_views + 1):
        plan = plan_views(labelled, recordings, views.options, number, seas, embedder.front_end)
        for one in hearings:
            n_new += _embed_view(
                plan, labelled, recordings, one, store, views.options, number, **how
            )
    for number in range(1, views.n_test_views + 1):
        for one in hearings:
            n_new += embed_test_view(labelled, recordings, one, store, views.options, number, **how)
    keep_view_set(store, embedder.embedder_id, views)
    return n_new


def embed_test_view(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    options: ViewOptions,
    number: int,
    **how: Any,
) -> int:
    """Embed the copies of clips that need no other encounter -> how many were new."""
    plan = plan_views(clips, recordings, options.alone(), number)
    return _embed_view(plan, clips, recordings, embedder, store, options.alone(), number, **how)


def referring(embedder: AnyEmbedder) -> AnyEmbedder:
    """The same networks, hearing of every clip its background alone."""
    return embedder.hearing(reference_front_end)


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
        seas = _seas(every, recordings, embedder, store)
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
    how : see :func:`pseudorca.features.embedding.embed_clips`

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


def _embed_view(
    plan: pd.DataFrame,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    options: ViewOptions,
    number: int,
    **how: Any,
) -> int:
    """Embed one view of all clips, those with the same sea together -> how many were new."""
    n_new = 0
    done = store.embedded(
        embedder.hearing(lambda heard: ViewFrontEnd(heard, options, number)).embedder_id,
        plan["clip_id"].tolist(),
    )
    for (sea_clips, is_rolled), some in plan.groupby(["sea_clips", "is_rolled"], sort=True):
        if some["clip_id"].isin(done).all():
            continue
        ids = [one for one in str(sea_clips).split(",") if one]
        seas = read_seas(ids, clips, recordings, embedder.front_end)

        def altered(heard: FrontEnd, seas: Any = seas, is_rolled: Any = is_rolled) -> FrontEnd:
            return ViewFrontEnd(heard, options, number, seas, bool(is_rolled))

        rows = some.reset_index(drop=True)
        n_new += embed_by_each(rows, recordings, embedder.hearing(altered), store, **how).n_new
    return n_new


def _seas(
    clips: pd.DataFrame, recordings: pd.DataFrame, embedder: AnyEmbedder, store: Store
) -> dict[str, list[str]]:
    """The clips of each encounter that have frames without signal."""
    front_end = sea_front_end(embedder.front_end)
    settings = json.dumps(front_end.settings()["background_only"], sort_keys=True)
    sound_id = f"sounds_{xxhash.xxh3_128_hexdigest(settings.encode())[:20]}"
    sounds = measure_sounds(clips, recordings, front_end, store, sound_id)
    free = clips[sounds[:, 0] > 0]
    return {str(name): _ids(some["clip_id"]) for name, some in free.groupby("encounter")}


def _ids(values: Iterable[Any]) -> list[str]:
    return [str(one) for one in values]

"""Which altered copies a project has, and how their embeddings are made."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import pandas as pd
import xxhash

from pseudorca.embedding.augmentation.alterations import (
    ViewFrontEnd,
    ViewOptions,
    plan_views,
    read_seas,
    reference_front_end,
    sea_front_end,
)
from pseudorca.embedding.augmentation.measured import measure_sounds
from pseudorca.embedding.joint import AnyEmbedder
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import HeadError
from pseudorca.frontends.base import FrontEnd
from pseudorca.store import Store

_SETTING = "views"


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
    how : see :func:`pseudorca.embedding.stream.embed_clips`

    Returns
    -------
    int, how many were new
    """
    labelled = clips[clips["label"].notna()].reset_index(drop=True)
    hearings = [embedder, referring(embedder)] if with_backgrounds else [embedder]
    seas = project_seas(labelled, recordings, embedder, store)
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


def project_seas(
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

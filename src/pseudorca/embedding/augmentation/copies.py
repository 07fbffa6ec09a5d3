"""The altered copies (views) of a project, and their embeddings."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Self

import pandas as pd

from pseudorca.embedding.augmentation.alterations import (
    ViewFrontEnd,
    ViewOptions,
    background_front_end,
    plan_views,
    read_backgrounds,
)
from pseudorca.embedding.augmentation.measured import measure_sounds
from pseudorca.embedding.embedder import AnyEmbedder
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import HeadError
from pseudorca.recordings.manifest import labelled_and_noise
from pseudorca.store import Store
from pseudorca.values import hash_of

_SETTING = "views"


@dataclass(frozen=True)
class ViewSet:
    """Kind and number of the views of a project or a classifier.

    Examples
    --------
    >>> views = ViewSet(ViewOptions(), n_views=3)
    >>> ViewSet.from_dict(asdict(views)) == views
    True
    """

    options: ViewOptions
    n_views: int
    """Views to learn from."""
    n_test_views: int = 0
    """Views whose scores are averaged; they have no background of another encounter."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a view set from ``asdict``."""
        options = values["options"] | {"rates": tuple(values["options"]["rates"])}
        return cls(ViewOptions(**options), values["n_views"], values["n_test_views"])


def keep_view_set(store: Store, embedder_id: str, views: ViewSet) -> None:
    """Save which views a project has of an embedder's clips.

    Parameters
    ----------
    store : Store
    embedder_id : str
    views : ViewSet

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder), create=True)
    ...     keep_view_set(store, "a1b2", ViewSet(ViewOptions(), n_views=3))
    ...     view_set(store, "a1b2").n_views
    3
    """
    known = store.setting(_SETTING) or {}
    store.keep_setting(_SETTING, known | {embedder_id: asdict(views)})


def view_set(store: Store, embedder_id: str) -> ViewSet:
    """The views of a project.

    Parameters
    ----------
    store : Store
    embedder_id : str

    Returns
    -------
    ViewSet

    Raises
    ------
    HeadError
        If the project has no views by this embedder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder), create=True)
    ...     keep_view_set(store, "a1b2", ViewSet(ViewOptions(), n_views=3))
    ...     view_set(store, "a1b2").n_views
    3
    """
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
    embedder : Embedder or JointEmbedder, of the clips
    store : Store
    views : ViewSet
    with_backgrounds : bool, embed the background of each copy, too
    how : see :func:`pseudorca.embedding.stream.embed_clips`

    Returns
    -------
    int, the number of new embeddings

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from pathlib import Path
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "Insular").mkdir()
    ...     soundfile.write(f"{folder}/Insular/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     views = ViewSet(ViewOptions(rates=(32_000,)), n_views=2)
    ...     embed_views(clips, recordings, embedder, store, views)
    2
    """
    labelled = labelled_and_noise(store, clips)[0].reset_index(drop=True)
    hearings = [embedder, referring(embedder)] if with_backgrounds else [embedder]
    backgrounds = background_clips(labelled, recordings, embedder, store)
    n_new = 0
    for number in range(1, views.n_views + 1):
        plan = plan_views(
            labelled, recordings, views.options, number, backgrounds, embedder.front_end
        )
        for hearing in hearings:
            n_new += _embed_view(
                plan, labelled, recordings, hearing, store, views.options, number, **how
            )
    for number in range(1, views.n_test_views + 1):
        for hearing in hearings:
            n_new += embed_test_view(
                labelled, recordings, hearing, store, views.options, number, **how
            )
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
    """Embed copies of clips that need no background of another encounter.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder or JointEmbedder
    store : Store
    options : ViewOptions
    number : int, the number of the view
    how : see :func:`pseudorca.embedding.stream.embed_clips`

    Returns
    -------
    int, the number of new embeddings

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from pathlib import Path
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     options = ViewOptions(rates=(32_000,))
    ...     embed_test_view(clips, recordings, embedder, store, options, number=1)
    1
    """
    plan = plan_views(clips, recordings, options.alone(), number)
    return _embed_view(plan, clips, recordings, embedder, store, options.alone(), number, **how)


def referring(embedder: AnyEmbedder) -> AnyEmbedder:
    """The same networks behind a front end that draws only the background of a clip.

    Parameters
    ----------
    embedder : Embedder or JointEmbedder

    Returns
    -------
    Embedder or JointEmbedder

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> referring(embedder).front_end.quietest
    True
    """
    return embedder.hearing(partial(background_front_end, quietest=True))


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
    """Embed one view of all clips, clips of one background together -> number of new embeddings."""
    n_new = 0
    plain = embedder.hearing(partial(ViewFrontEnd, options=options, view=number))
    done = store.embedded(plain.embedder_id, plan["clip_id"].tolist())
    by_background = plan.groupby(["background_clips", "is_rolled"], sort=True)
    for (clip_ids, is_rolled), planned in by_background:
        if planned["clip_id"].isin(done).all():
            continue
        ids = [clip_id for clip_id in str(clip_ids).split(",") if clip_id]
        altered = partial(
            ViewFrontEnd, options=options, view=number, is_rolled=bool(is_rolled),
            backgrounds=read_backgrounds(ids, clips, recordings, embedder.front_end),
        )  # fmt: skip
        rows = planned.reset_index(drop=True)
        n_new += embed_by_each(rows, recordings, embedder.hearing(altered), store, **how).n_new
    return n_new


def background_clips(
    clips: pd.DataFrame, recordings: pd.DataFrame, embedder: AnyEmbedder, store: Store
) -> dict[str, list[str]]:
    """Find the clips of each encounter that have frames without signal.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder or JointEmbedder
    store : Store, keeps the measurements

    Returns
    -------
    dict from encounter to list of clip ids

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from pathlib import Path
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     counts = background_clips(clips, recordings, embedder, store)
    >>> [len(ids) for ids in counts.values()]
    [1]
    """
    front_end = background_front_end(embedder.front_end)
    sound_id = f"sounds_{hash_of(front_end.settings()['background_only'])}"
    sounds = measure_sounds(clips, recordings, front_end, store, sound_id)
    free = clips[sounds[:, 0] > 0]
    return {str(name): ids.tolist() for name, ids in free.groupby("encounter")["clip_id"]}

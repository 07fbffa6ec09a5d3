"""Clips to embeddings."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pandas as pd

from pseudorca.backbones import (
    UNTRAINED,
    SoundBackbone,
    adapt_batch_norm,
    backbone_info,
    is_non_commercial,
    load_backbone,
)
from pseudorca.embedding.augmentation.alterations import ViewOptions
from pseudorca.embedding.augmentation.copies import ViewSet, embed_views, referring
from pseudorca.embedding.cluster import workers_of
from pseudorca.embedding.drawing import picture_batches
from pseudorca.embedding.embedder import AnyEmbedder, Embedder, JointEmbedder, save_embedders
from pseudorca.embedding.known_embedders import keep_embedder
from pseudorca.embedding.options import Computing, EmbedderOptions
from pseudorca.embedding.stream import embed_by_each, embed_clips, together
from pseudorca.errors import BackboneError, FrontEndError, unknown_name
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.reach import band_notices, resampling_notices
from pseudorca.frontends.registry import IN_BANDS, PICTURES, make_front_end
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.progress import Progress
from pseudorca.recordings.bands import COMMON
from pseudorca.recordings.clips import project_clips
from pseudorca.recordings.manifest import project_recordings
from pseudorca.results import Result, attention
from pseudorca.store import EMBEDDER_FOLDER, Store, shown_problems
from pseudorca.values import plural

_BAND = "16k"


@dataclass(frozen=True, eq=False, repr=False)
class EmbedResult(Result):
    """An embedder, and the clips of the project that it embedded.

    Examples
    --------
    >>> result = EmbedResult(
    ...     "a1b2", "toy", None, "random", "c3d4", "MIT", 8, {}, [], "cpu", n_clips=2, n_new=1,
    ...     n_new_views=0, n_new_backgrounds=0, problems=pd.DataFrame(), notices=[],
    ... )
    >>> print(result.summary()[0])
    2 clips, 1 newly embedded by toy (8 numbers each; MIT).
    """

    embedder_id: str
    backbone: str
    layer: str | None
    weights: str
    """Source of the weights."""
    weights_hash: str | None
    licence: str
    embedding_size: int
    front_end: dict[str, Any]
    """Settings of the front end."""
    members: list[dict[str, Any]]
    """Descriptions of the members of a joint embedder; empty for a single embedder."""
    device: str
    n_clips: int
    n_new: int
    """Clips that had no embedding before."""
    n_new_views: int
    """Altered copies that were newly embedded."""
    n_new_backgrounds: int
    problems: pd.DataFrame
    notices: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        problems, notices = values.pop("problems"), values.pop("notices")
        return values | {
            "n_problems": len(problems),
            "problems": problems.to_dict("records"),
            "notices": notices,
        }

    def summary(self) -> Sequence[str]:
        """Return the sentences of the summary."""
        after = f" after {self.layer}" if self.layer else ""
        return [
            f"{plural(self.n_clips, 'clip')}, {self.n_new:,} newly embedded by "
            f"{self.backbone}{after} ({self.embedding_size} numbers each; {self.licence}).",
            f"Newly embedded besides: {plural(self.n_new_views, 'altered copy')}, "
            f"{plural(self.n_new_backgrounds, 'background')}.",
            attention(len(self.problems), self.notices),
        ]


def embed_project(
    store: Store,
    options: EmbedderOptions | None = None,
    *,
    computing: Computing | None = None,
    progress: Progress | None = None,
) -> EmbedResult:
    """Embed all clips, labelled or not, and keep the embedder for later stages.

    Each of several networks embeds the clips by itself. Earlier embeddings are not computed again.

    Parameters
    ----------
    store : Store
    options : EmbedderOptions or None
    computing : Computing or None
    progress : callable (done, total) or None, over clips

    Returns
    -------
    EmbedResult

    Raises
    ------
    BackboneError
        If a network is unknown, or its weights are missing or do not fit.
    FrontEndError
        If the network does not take the output of the front end, or a setting is not valid.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import soundfile
    >>> from pseudorca.recordings.scan import scan_project
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     _ = scan_project(store, folder)
    ...     result = embed_project(store, EmbedderOptions("logmel"))
    >>> result.n_new, result.embedding_size
    (1, 256)
    """
    options = options or EmbedderOptions()
    computing = computing or Computing()
    recordings, clips = project_recordings(store), project_clips(store)
    networks = _of_each(options)
    views = _views(options, recordings)
    names = [_front_end_name(of_network) for of_network in networks]  # before any is loaded
    for name, of_network in zip(names, networks, strict=True):
        _check_settings(name, of_network, recordings)
    members = [
        _make_embedder(name, of_network, recordings, clips, computing, progress)
        for name, of_network in zip(names, networks, strict=True)
    ]
    embedder: AnyEmbedder = members[0] if len(members) == 1 else JointEmbedder(tuple(members))
    save_embedders(embedder, store.folder / EMBEDDER_FOLDER)
    results = []
    notices: list[str] = []
    with workers_of(computing) as workers:
        how: dict[str, Any] = {
            "batch_size": computing.batch_size, "n_threads": computing.n_threads,
            "workers": workers, "progress": progress,
        }  # fmt: skip
        for of_network, member in zip(networks, members, strict=True):
            keep_embedder(store, member)
            start_s = time.monotonic()
            result = embed_clips(clips, recordings, member, store, **how)
            store.replace(
                "problems", result.problems, stage="embed", embedder_id=member.embedder_id
            )
            settings = asdict(of_network) | {
                "device": member.device, "precision": member.precision,
                "embedder_id": member.embedder_id, "n_new": result.n_new,
                "seconds": time.monotonic() - start_s,
            }  # fmt: skip
            told = _notices(of_network, member, recordings, store)
            notices += told
            about = settings | member.description()
            store.record_run("embed", about, ("recordings", "clips"), notices=told)
            results.append(result)
        n_new_views, n_new_backgrounds = _embed_more(
            store, options, views, recordings, clips, embedder, **how
        )
    result = together(results)
    described = embedder.description()
    backbone = described["backbone"]
    return EmbedResult(
        embedder_id=embedder.embedder_id,
        backbone=backbone["name"],
        weights=backbone["weights_source"],
        **{
            key: backbone.get(key) for key in ("layer", "weights_hash", "licence", "embedding_size")
        },
        front_end=described["front_end"],
        members=described.get("members", []),
        device=embedder.device,
        n_clips=result.n_clips,
        n_new=result.n_new,
        n_new_views=n_new_views,
        n_new_backgrounds=n_new_backgrounds,
        problems=shown_problems(result.problems),
        notices=list(dict.fromkeys(notices)),
    )


def _views(options: EmbedderOptions, recordings: pd.DataFrame) -> ViewSet | None:
    """The altered copies that the options ask for, or None."""
    if not (options.n_views or options.n_test_views):
        return None
    rates = recordings[recordings["label"].notna()]["sample_rate"].tolist()
    view_options = ViewOptions.of(dict(options.view_settings), rates)
    return ViewSet(view_options, options.n_views, options.n_test_views)


def _embed_more(
    store: Store,
    options: EmbedderOptions,
    views: ViewSet | None,
    recordings: pd.DataFrame,
    clips: pd.DataFrame,
    embedder: AnyEmbedder,
    **how: Any,
) -> tuple[int, int]:
    """Embed altered copies and backgrounds of the labelled clips -> numbers of new ones."""
    labelled = clips[clips["label"].notna()].reset_index(drop=True)
    n_views = n_backgrounds = 0
    if options.reference:
        backgrounds = embed_by_each(labelled, recordings, referring(embedder), store, **how)
        n_backgrounds = backgrounds.n_new
    if views is not None:
        n_views = embed_views(
            labelled, recordings, embedder, store, views, with_backgrounds=options.reference, **how
        )
    return n_views, n_backgrounds


def _of_each(options: EmbedderOptions) -> list[EmbedderOptions]:
    """The options of each named network; BackboneError for options of a single network."""
    names = options.backbone.split("+")
    if len(names) == 1:
        return [options]
    single_only = {
        "--layer": options.layer, "--front-end": options.front_end, "--band": options.band,
        "--set": options.settings, "--adapt-batch-norm": options.adapt_batch_norm,
    }  # fmt: skip
    if extra := [option for option, value in single_only.items() if value]:
        raise BackboneError(
            f"{', '.join(extra)} with {len(names)} networks: each takes its own input. Leave it out, "
            "or embed with one network."
        )
    weights: dict[str, str] = {}
    if options.weights != "official":
        for text in options.weights.split(","):
            name, equals, path = text.partition("=")
            if not equals:
                raise BackboneError(
                    f"--weights {text!r} with {len(names)} networks: say whose, as {names[0]}=FILE."
                )
            if name not in names:
                raise BackboneError(unknown_name("network of --weights", name, names))
            if name in weights:
                raise BackboneError(
                    f"--weights {options.weights!r} names {name} twice: {weights[name]} and {path}. "
                    "Give each network once."
                )
            weights[name] = path
    return [
        replace(options, backbone=name, weights=weights.get(name, "official")) for name in names
    ]


def _notices(
    options: EmbedderOptions, embedder: Embedder, recordings: pd.DataFrame, store: Store
) -> list[str]:
    """What to know about the embeddings of one network."""
    backbone, front_end = embedder.backbone, embedder.front_end
    notices = []
    info = backbone_info(options.backbone)
    trained_on = info.front_end
    if options.band not in (None, _BAND, COMMON) and trained_on == CommonFrontEnd.name:
        notices.append(
            f"{options.backbone} was trained on pictures of the band {_BAND}; those of {options.band} "
            "are unlike any that it knows. Compare with another backbone before trusting it."
        )
    if options.settings and trained_on == CommonFrontEnd.name:
        changed = ", ".join(f"{key}={value}" for key, value in options.settings)
        notices.append(
            f"{options.backbone} was trained on other pictures; those with {changed} are unlike any "
            "that it knows. Compare with another backbone before trusting it."
        )
    if options.slow != 1:
        notices.append(
            f"Every clip is slowed {options.slow:g} times: the network hears {options.slow:g} kHz as "
            f"1 kHz, and a clip lasts {options.slow:g} times as long to it."
        )
    is_shifted = dict(options.view_settings).get("shift", True)
    if options.n_views and is_shifted and store.setting("selections"):
        notices.append(
            "Altered copies are cut up to half a clip before or after a selection, where something "
            "else may be heard. If that is likely here: --augment-set shift=false."
        )
    if backbone.weights_source == UNTRAINED:
        notices.append(
            f"{backbone.name} was never trained: its weights are random numbers, drawn from a fixed "
            "seed. It is a network to train (docs/backbones.md); without training, its embeddings "
            "are those of random filters."
        )
    if is_non_commercial(backbone.licence):
        notices.append(
            f"The weights of {backbone.name} are under {backbone.licence}: for non-commercial use "
            "only. They are part of every classifier trained on these embeddings."
        )
    notices += band_notices(recordings, front_end)
    return notices + resampling_notices(recordings, front_end.sample_rate)


def _make_embedder(
    front_end_name: str,
    options: EmbedderOptions,
    recordings: pd.DataFrame,
    clips: pd.DataFrame,
    computing: Computing,
    progress: Progress | None,
) -> Embedder:
    info = backbone_info(options.backbone)
    backbone = load_backbone(options.backbone, weights=options.weights, layer=options.layer)
    own = dict(backbone.front_end_settings or info.front_end_settings)
    front_end = _front_end(front_end_name, options, recordings, own)
    embedder = Embedder(front_end, backbone, computing.device, computing.precision)
    if not options.adapt_batch_norm:
        return embedder
    if isinstance(backbone, SoundBackbone):
        raise BackboneError(
            f"{backbone.name} takes sound; only networks on pictures are adapted to the recordings. "
            "Leave out --adapt-batch-norm, or use another backbone."
        )
    batches = picture_batches(
        clips, recordings, embedder, n_threads=computing.n_threads, progress=progress
    )
    return replace(embedder, backbone=adapt_batch_norm(embedder.backbone, batches))


def _front_end(
    name: str, options: EmbedderOptions, recordings: pd.DataFrame, own: Mapping[str, Any]
) -> FrontEnd:
    """The front end with the network's own settings, and those that a user wishes otherwise."""
    settings = dict(options.settings)
    kept = dict(own)
    if settings.get("levels") == "pcen":
        kept.pop("spread", None)  # PCEN has no decibels that colours could stand for
    labelled = recordings[recordings["label"].notna()]
    return make_front_end(
        name,
        band=options.band or _BAND,
        lowest_rate=int((labelled if len(labelled) else recordings)["sample_rate"].min()),
        settings=kept | settings,
        slow=options.slow,
    )


def _check_settings(name: str, options: EmbedderOptions, recordings: pd.DataFrame) -> None:
    """FrontEndError if a setting is unknown or not possible, before a network is loaded."""
    info, settings = backbone_info(options.backbone), dict(options.settings)
    if name in (*PICTURES, *IN_BANDS):
        _front_end(name, options, recordings, info.front_end_settings)
    elif fixed := sorted(settings.keys() - {"hop_s"}):
        raise FrontEndError(
            f"{', '.join(fixed)}: {info.name} was trained on one kind of input. What can be set is "
            "hop_s, the seconds from window to window in a clip that is longer than one."
        )


def _front_end_name(options: EmbedderOptions) -> str:
    """The chosen front end, or the network's own; FrontEndError if the two do not fit."""
    info = backbone_info(options.backbone)
    name = options.front_end or info.front_end or CommonFrontEnd.name
    if info.front_end is None and name not in PICTURES:
        raise FrontEndError(
            f"{info.name} takes pictures, and the {name} front end makes none. Use --front-end "
            f"{' or '.join(PICTURES)}, or another backbone."
        )
    if info.front_end is not None and name != info.front_end:
        kind = "pictures of" if info.front_end in PICTURES else "what is made by"
        raise FrontEndError(
            f"{info.name} was trained on {kind} the {info.front_end} front end, and the {name} one "
            f"makes something else. Leave out --front-end, or use another backbone."
        )
    if options.band is not None and name == StudyFrontEnd.name:
        raise FrontEndError(
            f"the {name} front end takes each recording at its own rate and has no band. "
            "Leave out --band, or use --front-end common."
        )
    if options.band is not None and name not in IN_BANDS:
        raise FrontEndError(
            f"{info.name} hears the band that it was trained on. Leave out --band; for higher sounds "
            "slow them down with --slow."
        )
    return name

"""Clips to embeddings."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from pseudorca.errors import BackboneError, FrontEndError
from pseudorca.features.backbones import (
    Backbone,
    BackboneInfo,
    SoundBackbone,
    adapt_batch_norm,
    backbone_info,
    load_backbone,
)
from pseudorca.features.common import CommonFrontEnd
from pseudorca.features.embedder import Embedder, Precision, save_embedder
from pseudorca.features.embedding import embed_clips, picture_batches
from pseudorca.features.front_ends import (
    IN_BANDS,
    PICTURES,
    FrontEnd,
    band_notices,
    make_front_end,
    resampling_notices,
)
from pseudorca.features.study import StudyFrontEnd
from pseudorca.store import EMBEDDER_FOLDER, Store
from pseudorca.workflow.clips import project_clips
from pseudorca.workflow.computing import Computing
from pseudorca.workflow.embedders import keep_embedder
from pseudorca.workflow.project import Progress, project_recordings

_BAND = "16k"


@dataclass(frozen=True)
class EmbedderOptions:
    """Which front end and backbone make the embeddings."""

    backbone: str = "pseudorca_small"
    weights: str = "official"
    layer: str | None = None
    front_end: str | None = None
    """None: the one that the network was trained with; for any on pictures the common one."""
    band: str | None = None
    """Of the common front end; None: 16k."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Other fields of the front end."""
    adapt_batch_norm: bool = False
    """Recompute batch-norm statistics once over the project's recordings."""
    slow: float = 1.0
    """Times that every clip is slowed down; 1: as it is."""


def embed_project(
    store: Store,
    options: EmbedderOptions,
    *,
    computing: Computing | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Embed all clips, labelled or not, and keep the embedder for the verbs that follow."""
    computing = computing or Computing()
    recordings, clips = project_recordings(store), project_clips(store)
    embedder = _make_embedder(
        store, options, recordings, clips, computing.device, computing.precision, progress
    )
    save_embedder(embedder, store.folder / EMBEDDER_FOLDER)
    keep_embedder(store, embedder)
    begun = time.monotonic()
    with computing.workers() as workers:
        result = embed_clips(
            clips, recordings, embedder, store, batch_size=computing.batch_size,
            n_threads=computing.n_threads, workers=workers, progress=progress,
        )  # fmt: skip
    took = {"n_new": result.n_new, "seconds": time.monotonic() - begun}
    store.replace("problems", result.problems, stage="embed")
    about = asdict(options) | {"device": embedder.device, "precision": embedder.precision}
    about |= {"embedder_id": embedder.embedder_id} | took
    store.record_run("embed", about | embedder.description(), ("recordings", "clips"))
    backbone = embedder.backbone
    return {
        "embedder_id": embedder.embedder_id,
        "backbone": backbone.name,
        "layer": backbone.layer,
        "weights": backbone.weights_source,
        "weights_hash": backbone.weights_hash,
        "licence": backbone.licence,
        "embedding_size": backbone.embedding_size,
        "front_end": embedder.front_end.settings(),
        "device": embedder.device,
        "n_clips": result.n_clips,
        "n_new": result.n_new,
        "n_problems": len(result.problems),
        "problems": result.problems.to_dict("records"),
        "notices": resampling_notices(recordings, embedder.front_end.sample_rate)
        + band_notices(recordings, embedder.front_end)
        + _trained_band_notices(options)
        + _slow_notices(options)
        + _licence_notices(backbone),
    }


def _trained_band_notices(options: EmbedderOptions) -> list[str]:
    trained_on = backbone_info(options.backbone).front_end
    if options.band in (None, _BAND) or trained_on != CommonFrontEnd.name:
        return []
    return [
        f"{options.backbone} was trained on pictures of the band {_BAND}; those of {options.band} are "
        "unlike any that it knows. Compare with another backbone before trusting it."
    ]


def _slow_notices(options: EmbedderOptions) -> list[str]:
    if options.slow == 1:
        return []
    return [
        f"every clip is slowed {options.slow:g} times: the network hears {options.slow:g} kHz as "
        f"1 kHz, and a clip lasts {options.slow:g} times as long to it."
    ]


def _licence_notices(backbone: Backbone) -> list[str]:
    if "BY-NC" not in backbone.licence:
        return []
    return [
        f"the weights of {backbone.name} are under {backbone.licence}: for non-commercial use only. "
        "They are part of every classifier trained on these embeddings."
    ]


def _make_embedder(
    store: Store,
    options: EmbedderOptions,
    recordings: pd.DataFrame,
    clips: pd.DataFrame,
    device: str,
    precision: Precision,
    progress: Progress | None,
) -> Embedder:
    info = backbone_info(options.backbone)
    name = _front_end_name(options, info)
    backbone = load_backbone(options.backbone, weights=options.weights, layer=options.layer)
    front_end = _front_end(name, options, backbone, info, recordings)
    embedder = Embedder(front_end, backbone, device, precision)
    if not options.adapt_batch_norm:
        return embedder
    if isinstance(backbone, SoundBackbone):
        raise BackboneError(
            f"{backbone.name} takes sound; only networks on pictures are adapted to the recordings. "
            "Leave out --adapt-batch-norm, or use another backbone."
        )
    batches = picture_batches(clips, recordings, embedder, progress=progress)
    return Embedder(front_end, adapt_batch_norm(embedder.backbone, batches), device, precision)


def _front_end_name(options: EmbedderOptions, info: BackboneInfo) -> str:
    """The front end wished for, or the network's own; one that the network cannot take is an error."""
    name = options.front_end or info.front_end or CommonFrontEnd.name
    if info.front_end is None and name not in PICTURES:
        raise FrontEndError(
            f"{info.name} takes pictures, and the {name} front end makes none. Use --front-end "
            f"{' or '.join(PICTURES)}, or another backbone."
        )
    if info.front_end is not None and name != info.front_end:
        made = "pictures of" if info.front_end in PICTURES else "what is made by"
        raise FrontEndError(
            f"{info.name} was trained on {made} the {info.front_end} front end, and the {name} one "
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


def _front_end(
    name: str,
    options: EmbedderOptions,
    backbone: Backbone,
    info: BackboneInfo,
    recordings: pd.DataFrame,
) -> FrontEnd:
    labelled = recordings[recordings["label"].notna()]
    rates = (labelled if len(labelled) else recordings)["sample_rate"]
    wished = dict(options.settings)
    fixed = sorted(wished.keys() - {"hop_s"})
    if fixed and name not in (*PICTURES, *IN_BANDS):
        raise FrontEndError(
            f"{', '.join(fixed)}: {info.name} was trained on one kind of input. What can be set is "
            "hop_s, the seconds from window to window in a clip that is longer than one."
        )
    trained_with = backbone.front_end_settings or info.front_end_settings
    return make_front_end(
        name,
        band=options.band or _BAND,
        lowest_rate=int(rates.min()),
        settings=dict(trained_with) | wished,
        slow=options.slow,
    )

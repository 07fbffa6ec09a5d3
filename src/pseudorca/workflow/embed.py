"""Clips to embeddings."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from pseudorca.errors import FrontEndError
from pseudorca.features.backbones import adapt_batch_norm, backbone_info, load_backbone
from pseudorca.features.common import CommonFrontEnd
from pseudorca.features.embedder import Embedder, Precision, save_embedder
from pseudorca.features.embedding import embed_clips, picture_batches
from pseudorca.features.front_ends import band_notices, make_front_end, resampling_notices
from pseudorca.store import EMBEDDER_FOLDER, Store
from pseudorca.workflow.clips import project_clips
from pseudorca.workflow.project import Progress, project_recordings

_BAND = "16k"


@dataclass(frozen=True)
class EmbedderOptions:
    """Which front end and backbone make the embeddings."""

    backbone: str = "pseudorca_small"
    weights: str = "official"
    layer: str | None = None
    front_end: str = "common"
    band: str | None = None
    """Of the common front end; None: 16k."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Other fields of the front end."""
    adapt_batch_norm: bool = False
    """Recompute batch-norm statistics once over the project's recordings."""


def embed_project(
    store: Store,
    options: EmbedderOptions,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Embed all clips, labelled or not, and keep the embedder for the verbs that follow."""
    recordings, clips = project_recordings(store), project_clips(store)
    embedder = _make_embedder(store, options, recordings, clips, device, precision, progress)
    save_embedder(embedder, store.folder / EMBEDDER_FOLDER)
    result = embed_clips(
        clips,
        recordings,
        embedder,
        store,
        batch_size=batch_size,
        n_workers=n_workers,
        progress=progress,
    )
    store.replace("problems", result.problems, stage="embed")
    about = asdict(options) | {"device": embedder.device, "precision": embedder.precision}
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
        + _trained_band_notices(options),
    }


def _trained_band_notices(options: EmbedderOptions) -> list[str]:
    if options.band in (None, _BAND) or not backbone_info(options.backbone).front_end_settings:
        return []
    return [
        f"{options.backbone} was trained on pictures of the band {_BAND}; those of {options.band} are "
        "unlike any that it knows. Compare with another backbone before trusting it."
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
    labelled = recordings[recordings["label"].notna()]
    rates = (labelled if len(labelled) else recordings)["sample_rate"]
    settings = dict(options.settings)
    if trained_with := backbone_info(options.backbone).front_end_settings:
        if options.front_end != CommonFrontEnd.name:
            raise FrontEndError(
                f"{options.backbone} was trained on pictures of the common front end, and the "
                f"{options.front_end} one draws others. Use --front-end common, or another backbone."
            )
        settings = dict(trained_with) | settings
    if options.band is not None and options.front_end != CommonFrontEnd.name:
        raise FrontEndError(
            f"the {options.front_end} front end takes each recording at its own rate and has no band. "
            "Leave out --band, or use --front-end common."
        )
    band = options.band or _BAND
    front_end = make_front_end(
        options.front_end, band=band, lowest_rate=int(rates.min()), settings=settings
    )
    backbone = load_backbone(options.backbone, weights=options.weights, layer=options.layer)
    embedder = Embedder(front_end, backbone, device, precision)
    if not options.adapt_batch_norm:
        return embedder
    batches = picture_batches(clips, recordings, embedder, progress=progress)
    return Embedder(front_end, adapt_batch_norm(embedder.backbone, batches), device, precision)

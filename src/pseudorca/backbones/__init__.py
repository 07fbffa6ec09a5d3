"""Pretrained networks without their classifiers: pictures or sound in, embeddings out.

A module per family states the input of its networks and the source of their weights. ``registry.py``
lists all networks by name. A description and the tensors rebuild a network.
Names that take torch are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

from pseudorca.backbones.families import (
    Family,
    backbone_families,
    embedding_size,
    extra_is_installed,
    sound_input,
    takes,
)
from pseudorca.backbones.info import UNTRAINED, BackboneInfo, OfficialWeights, is_non_commercial
from pseudorca.backbones.registry import (
    backbone_from_description,
    backbone_info,
    backbone_names,
    load_backbone,
)

if TYPE_CHECKING:
    from pseudorca.backbones.network import Backbone, SoundBackbone, adapt_batch_norm

__all__ = [
    "UNTRAINED",
    "Backbone",
    "BackboneInfo",
    "Family",
    "OfficialWeights",
    "SoundBackbone",
    "adapt_batch_norm",
    "backbone_families",
    "backbone_from_description",
    "backbone_info",
    "backbone_names",
    "embedding_size",
    "extra_is_installed",
    "is_non_commercial",
    "load_backbone",
    "sound_input",
    "takes",
]


def __getattr__(name: str) -> Any:
    if name in ("Backbone", "SoundBackbone", "adapt_batch_norm"):
        from pseudorca.backbones import network

        return getattr(network, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

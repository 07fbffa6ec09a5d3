"""Pretrained networks without their classifiers: pictures or sound in, embeddings out.

A module per family states the input of its networks and the source of their weights. ``registry.py``
lists all networks by name. A description and the tensors rebuild a network.
The names are imported when they are first used: most of them take torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pseudorca.backbones.adapting import adapt_batch_norm
    from pseudorca.backbones.families import (
        Family,
        backbone_families,
        embedding_size,
        extra_is_installed,
        sound_input,
        takes,
    )
    from pseudorca.backbones.info import UNTRAINED, BackboneInfo, OfficialWeights, is_non_commercial
    from pseudorca.backbones.network import Backbone, SoundBackbone
    from pseudorca.backbones.registry import (
        backbone_from_description,
        backbone_info,
        backbone_names,
        load_backbone,
    )

_HOMES = {
    "Backbone": "network",
    "BackboneInfo": "info",
    "Family": "families",
    "OfficialWeights": "info",
    "SoundBackbone": "network",
    "UNTRAINED": "info",
    "adapt_batch_norm": "adapting",
    "backbone_families": "families",
    "backbone_from_description": "registry",
    "backbone_info": "registry",
    "backbone_names": "registry",
    "embedding_size": "families",
    "extra_is_installed": "families",
    "is_non_commercial": "info",
    "load_backbone": "registry",
    "sound_input": "families",
    "takes": "families",
}

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
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

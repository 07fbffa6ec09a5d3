"""Pretrained networks without their classifiers: pictures or sound in, embeddings out.

A module per family states the input of its networks and the source of their weights. ``registry.py``
lists all networks by name. A description and the tensors rebuild a network.
"""

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

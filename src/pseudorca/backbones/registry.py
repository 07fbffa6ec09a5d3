"""The registry of pretrained networks, by name; a name with a colon asks a library for its network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pseudorca.backbones import birdnet_network as birdnet
from pseudorca.backbones import (
    efficientat,
    mobilenet_tf,
    perch,
    shipped,
    timm_networks,
    transformers_networks,
    vggish,
    vision,
    waveform,
    yamnet,
)
from pseudorca.backbones import passthrough as classic
from pseudorca.backbones.info import BackboneInfo, Spec, StateDict
from pseudorca.backbones.network import Backbone
from pseudorca.errors import BackboneError, unknown_name

_MODULES = (
    shipped, birdnet, efficientat, perch, vggish, waveform, yamnet, transformers_networks,
    mobilenet_tf, vision, classic,
)  # fmt: skip
_REGISTRY: dict[str, Spec] = {
    spec.info.name: spec for module in _MODULES for spec in module.specs()
}
_LIBRARIES: dict[str, Callable[[str], Spec]] = {
    timm_networks.PREFIX: timm_networks.spec,
    transformers_networks.PREFIX: transformers_networks.spec,
}


def backbone_names() -> list[str]:
    """List the networks of the registry; those of timm and transformers are named by prefix."""
    return sorted(_REGISTRY)


def backbone_info(name: str) -> BackboneInfo:
    """Tell what is known of a network, without building it.

    Raises
    ------
    BackboneError
        If it is unknown.
    MissingExtraError
        If the library that knows it is not installed.
    """
    return find(name).info


def load_backbone(
    name: str, *, weights: str | Path = "official", layer: str | None = None
) -> Backbone:
    """Build a network, load its weights, leave out what follows the embedding, and freeze it.

    Parameters
    ----------
    name : str
        One of :func:`backbone_names`; ``timm:NAME`` for any network of timm;
        ``transformers:NAME`` for an audio network on the Hugging Face hub
    weights : str or Path
        "official": ``IMAGENET1K_V1``, or the network's first set where that was never published
        (of ``pseudorca_small``: the file that comes with the package, without any download);
        another official set by name, such as ``IMAGENET1K_V2``; or a local file: of tensors
        (``.safetensors``, or ``.pt``/``.pth`` read without running code), for any number of
        classes, or ``.tflite``; of ``transformers:`` the folder of a checkpoint. A file with an
        official file's name is taken for that set, any other for one with the default input.
    layer : str, optional
        Cut after this layer (torchvision's node names: ``layer3``, ``features.4``) and average
        over space or tokens. By default the embedding is the input of the last layer.

    Returns
    -------
    Backbone, on the CPU, in evaluation mode, without gradients.

    Raises
    ------
    BackboneError
        If the network, weights or layer are unknown, the download fails, or the weights lack a
        tensor of the layers kept, or hold one of another shape, unknown, or not finite.
    MissingExtraError
        If what runs the network is not installed.
    """
    return find(name).load(weights, layer)


def backbone_from_description(description: Mapping[str, Any], state_dict: StateDict) -> Backbone:
    """Rebuild a backbone from its ``description()`` and ``state_dict()``, without any download.

    Raises
    ------
    BackboneError
        If a tensor is missing, unknown or of another shape, or the tensors are not those described.
    MissingExtraError
        If what runs the network is not installed.
    """
    try:
        name, told_hash = description["name"], description["weights_hash"]
        spec = find(name)
        if (version := description["version"]) != spec.info.version:
            raise BackboneError(
                f"{name} was saved in version {version}, and this pseudorca has version "
                f"{spec.info.version}, which gives other embeddings. Run pseudorca embed again, "
                "then train."
            )
        # In memory of their own, as when they were first loaded: the last digit of a convolution
        # depends on how its tensors are aligned.
        backbone = spec.rebuild(description, {key: t.clone() for key, t in state_dict.items()})
    except KeyError as error:
        raise BackboneError(f"the description of the backbone has no entry {error}.") from None
    if backbone.weights_hash != told_hash:
        raise BackboneError(
            f"the saved tensors of {name} are not those described: SHA-256 begins "
            f"{backbone.weights_hash[:12]}, expected {told_hash[:12]}. Save both together."
        )
    tensors = list(backbone.state_dict().values())  # none of classic features
    return backbone.to(tensors[0].device) if tensors else backbone  # the normalisation joins them


def find(name: str) -> Spec:
    """The entry of a network."""
    library, colon, inside = name.partition(":")
    if colon and library in _LIBRARIES:
        return _LIBRARIES[library](inside)
    if name not in _REGISTRY:
        known = [*_REGISTRY, *(f"{library}:NAME" for library in _LIBRARIES)]
        raise BackboneError(
            f"{unknown_name('backbone', name, known, shown=0)} All of them are listed by: pseudorca "
            "backbones"
        )
    return _REGISTRY[name]

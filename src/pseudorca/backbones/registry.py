"""The registry of pretrained networks, by name; a name with a colon asks a library for its network.

What is known of the networks comes from a file (see :mod:`pseudorca.backbones.known`), so that torch
is imported when a network is built. A new network is a module, a line there, and the file anew.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudorca.backbones.info import TIMM, TRANSFORMERS, BackboneInfo, Spec, StateDict
from pseudorca.backbones.known import known_networks
from pseudorca.errors import BackboneError, unknown_name

if TYPE_CHECKING:
    from pseudorca.backbones.network import Backbone

_LIBRARIES = {TIMM: "timm_networks", TRANSFORMERS: "transformers_networks"}


def backbone_names() -> list[str]:
    """List the networks of the registry; those of timm and transformers are named by prefix."""
    return sorted(known_networks())


def family_names() -> set[str]:
    """The families of networks; that of timm has networks by prefix alone."""
    return {known.info.family for known in known_networks().values()} | {TIMM}


def backbone_info(name: str) -> BackboneInfo:
    """Tell what is known of a network, without building it.

    Raises
    ------
    BackboneError
        If it is unknown.
    MissingExtraError
        If the library that knows it is not installed.
    """
    check_name(name)
    known = known_networks().get(name)
    return find(name).info if known is None else known.info


def load_backbone(
    name: str, *, weights: str | Path = "official", layer: str | None = None
) -> "Backbone":
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


def backbone_from_description(description: Mapping[str, Any], state_dict: StateDict) -> "Backbone":
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


def check_name(name: str) -> None:
    """Refuse a name that no registry entry and no library has; what a library knows is not asked.

    Parameters
    ----------
    name : str, as in :func:`load_backbone`

    Raises
    ------
    BackboneError
        If it is unknown.
    """
    library, colon, _ = name.partition(":")
    if name not in known_networks() and not (colon and library in _LIBRARIES):
        known = [*known_networks(), *(f"{library}:NAME" for library in _LIBRARIES)]
        raise BackboneError(
            f"{unknown_name('backbone', name, known, shown=0)} All of them are listed by: pseudorca "
            "backbones"
        )


def find(name: str) -> Spec:
    """The entry of a network; imports what builds it."""
    check_name(name)
    if name in known_networks():
        return known_networks()[name].spec()
    library, _, inside = name.partition(":")
    spec: Spec = import_module(f"pseudorca.backbones.{_LIBRARIES[library]}").spec(inside)
    return spec

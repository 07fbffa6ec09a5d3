"""The registry of pretrained networks by name. A name with a colon is a network of another library.

Modules of families say what their networks are, and torchvision says what its own are. All of that
is written once to ``known_networks.json``, so that the command line lists networks, and refuses a
wrong name, without importing torch. A new network is a module, its name in ``_MODULES`` here, and the
file anew (a test compares the file with the modules)::

    python -c "from pseudorca.backbones import registry; registry.write_known_networks()"
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudorca.backbones.info import (
    TIMM,
    TRANSFORMERS,
    BackboneInfo,
    OfficialWeights,
    Spec,
    StateDict,
)
from pseudorca.errors import BackboneError, unknown_name

if TYPE_CHECKING:
    from pseudorca.backbones.network import Backbone

_FILE = Path(__file__).parent / "known_networks.json"

_MODULES = (
    "small_network", "tflite", "efficientat", "vggish", "waveform", "transformers_networks",
    "mobilenet_tf", "vision", "passthrough",
)  # fmt: skip
_LIBRARIES = {TIMM: "timm_networks", TRANSFORMERS: "transformers_networks"}


@dataclass(frozen=True)
class KnownNetwork:
    """A network that is known by name, before the module that builds it is imported.

    Examples
    --------
    >>> known_networks()["vggish"].module
    'vggish'
    """

    module: str
    """Of this package."""
    embedding_size: int | None
    """Also of a network whose size its module finds out by building it; None: not before loading."""
    info: BackboneInfo

    def spec(self) -> Spec:
        """Import the module, and take the entry of this network."""
        return _specs_of(self.module)[self.info.name]


@cache
def _specs_of(module: str) -> dict[str, Spec]:
    """The entries of a module of this package, by name."""
    specs: list[Spec] = import_module(f"pseudorca.backbones.{module}").specs()
    return {spec.info.name: spec for spec in specs}


@cache
def known_networks() -> Mapping[str, KnownNetwork]:
    """What is known of every network of the registry.

    Returns
    -------
    dict from name to KnownNetwork, in the order of the modules

    Examples
    --------
    >>> known_networks()["resnet18"].embedding_size
    512
    """
    rows = json.loads(_FILE.read_text(encoding="utf-8"))
    return {
        name: KnownNetwork(row["module"], row["embedding_size"], _info(row["info"]))
        for name, row in rows.items()
    }


def described_networks() -> dict[str, KnownNetwork]:
    """What the modules themselves say; imports torch, and builds networks without memory.

    Examples
    --------
    >>> described_networks()["resnet18"].embedding_size  # doctest: +SKIP
    512
    """
    return {
        name: KnownNetwork(module, _size(spec), spec.info)
        for module in _MODULES
        for name, spec in _specs_of(module).items()
    }


def write_known_networks() -> None:
    """Write what the modules say to ``known_networks.json``.

    Examples
    --------
    >>> write_known_networks()  # doctest: +SKIP
    """
    rows = {name: asdict(network) for name, network in described_networks().items()}
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    _FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _size(spec: Spec) -> int | None:
    from pseudorca.backbones.torch_spec import TorchSpec

    if spec.info.embedding_size is None and isinstance(spec, TorchSpec):
        network, _ = spec.skeleton(spec.info.input_size)
        return spec.probe(network, spec.info.input_size, None)[1]
    return spec.info.embedding_size


def _info(row: dict[str, Any]) -> BackboneInfo:
    weights = tuple(OfficialWeights(**_with_tuples(known)) for known in row["weights"])
    return BackboneInfo(**_with_tuples(row | {"weights": weights}))


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists only."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def backbone_names() -> list[str]:
    """List the networks of the registry. Networks of timm and transformers are not listed.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "pseudorca_small" in backbone_names()
    True
    """
    return sorted(known_networks())


def family_names() -> set[str]:
    """The families of networks; that of timm has networks by prefix alone.

    Examples
    --------
    >>> "VGGish" in family_names()
    True
    """
    return {known.info.family for known in known_networks().values()} | {TIMM}


def backbone_info(name: str) -> BackboneInfo:
    """Return the facts about a network without building the network.

    Parameters
    ----------
    name : str, see :func:`load_backbone`

    Returns
    -------
    BackboneInfo

    Raises
    ------
    BackboneError
        If the network is unknown.
    MissingExtraError
        If the library of the network is not installed.

    Examples
    --------
    >>> backbone_info("vggish").embedding_size
    128
    """
    check_name(name)
    known = known_networks().get(name)
    return find(name).info if known is None else known.info


def load_backbone(
    name: str, *, weights: str | Path = "official", layer: str | None = None
) -> "Backbone":
    """Build a network, load its weights, remove the layers after the embedding, and freeze the rest.

    Parameters
    ----------
    name : str
        One of :func:`backbone_names`; ``timm:NAME`` for any network of timm;
        ``transformers:NAME`` for an audio network on the Hugging Face hub
    weights : str or Path
        "official": ``IMAGENET1K_V1``, or the first published set of the network. The weights of
        ``pseudorca_small`` are part of the package, and nothing is downloaded. The name of another
        official set, such as ``IMAGENET1K_V2``. Or a local file: tensors for any number of classes
        (``.safetensors``, or ``.pt``/``.pth`` without running code), or ``.tflite``; for
        ``transformers:`` the folder of a checkpoint. A file with the name of an official file is
        treated as this official set. Any other file has the default input.
    layer : str, optional
        The network is cut after this layer (node names of torchvision: ``layer3``, ``features.4``),
        and the output is averaged over space or tokens. By default the embedding is the input of
        the last layer.

    Returns
    -------
    Backbone, on the CPU, in evaluation mode, without gradients.

    Raises
    ------
    BackboneError
        If the network, the weights or the layer are unknown, the download fails, or a tensor is
        missing, unknown, not finite or of another shape.
    MissingExtraError
        If a package of the network is not installed.

    Examples
    --------
    >>> load_backbone("pseudorca_small").embedding_size
    1024
    """
    return find(name).load(weights, layer)


def backbone_from_description(description: Mapping[str, Any], state_dict: StateDict) -> "Backbone":
    """Rebuild a backbone from its ``description()`` and ``state_dict()``, without a download.

    Parameters
    ----------
    description : mapping
    state_dict : mapping from name to Tensor

    Returns
    -------
    Backbone

    Raises
    ------
    BackboneError
        If a tensor is missing, unknown or of another shape, or the hash of the tensors is another.
    MissingExtraError
        If a package of the network is not installed.

    Examples
    --------
    >>> backbone = load_backbone("pseudorca_small")
    >>> rebuilt = backbone_from_description(backbone.description(), backbone.state_dict())
    >>> rebuilt.weights_hash == backbone.weights_hash
    True
    """
    try:
        name, saved_hash = description["name"], description["weights_hash"]
        spec = find(name)
        if (version := description["version"]) != spec.info.version:
            raise BackboneError(
                f"{name} was saved in version {version}, and this pseudorca has version "
                f"{spec.info.version}, which gives other embeddings. Run pseudorca embed again, "
                "then train."
            )
        # The tensors are copied into new memory, as in the first loading: the last digit of a
        # convolution depends on the alignment of its tensors.
        backbone = spec.rebuild(description, {key: t.clone() for key, t in state_dict.items()})
    except KeyError as error:
        raise BackboneError(f"the description of the backbone has no entry {error}.") from None
    if backbone.weights_hash != saved_hash:
        raise BackboneError(
            f"the saved tensors of {name} are not those described: SHA-256 begins "
            f"{backbone.weights_hash[:12]}, expected {saved_hash[:12]}. Save both together."
        )
    tensors = list(backbone.state_dict().values())  # empty for classic features
    # The normalisation moves to the device of the tensors.
    return backbone.to(tensors[0].device) if tensors else backbone


def check_name(name: str) -> None:
    """Refuse a name that no registry entry and no library has; what a library knows is not asked.

    Parameters
    ----------
    name : str, as in :func:`load_backbone`

    Raises
    ------
    BackboneError
        If it is unknown.

    Examples
    --------
    >>> check_name("vggish")
    """
    library, colon, _ = name.partition(":")
    if name not in known_networks() and not (colon and library in _LIBRARIES):
        known = [*known_networks(), *(f"{library}:NAME" for library in _LIBRARIES)]
        raise BackboneError(
            f"{unknown_name('backbone', name, known, shown=0)} All of them are listed by: pseudorca "
            "backbones"
        )


def find(name: str) -> Spec:
    """The entry of a network; imports what builds it.

    Examples
    --------
    >>> find("vggish").info.embedding_size
    128
    """
    check_name(name)
    if name in known_networks():
        return known_networks()[name].spec()
    library, _, inside = name.partition(":")
    spec: Spec = import_module(f"pseudorca.backbones.{_LIBRARIES[library]}").spec(inside)
    return spec

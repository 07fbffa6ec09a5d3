"""Registry entries of torch modules: a function that builds the network, and a file of tensors.

The network is built without memory and cut: without the last layer, or after an earlier layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from pseudorca.backbones.info import (
    BackboneInfo,
    InputSize,
    OfficialWeights,
    StateDict,
    description_of,
    refuse_layer,
)
from pseudorca.backbones.network import Backbone, SoundBackbone, input_size_of, shape_of
from pseudorca.backbones.weights import (
    check_fit,
    choose_weights,
    clean,
    download,
    fill,
    read_tensors,
    restore,
)
from pseudorca.errors import BackboneError, unknown_name

_FRAMES = 300  # frames of a probe, for a network of any number of frames


@dataclass(frozen=True, kw_only=True)
class TorchSpec:
    """A registry entry for a network built by a function.

    Examples
    --------
    >>> info = BackboneInfo(
    ...     name="toy", family="toys", licence="MIT", source="here", n_parameters=9, weights=()
    ... )
    >>> spec = TorchSpec(info=info, build=lambda size: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)))
    >>> network, last_layer = spec.skeleton(None)
    >>> last_layer
    '1'
    """

    info: BackboneInfo
    build: Callable[[InputSize | None], nn.Module]  # input size -> the network
    local: OfficialWeights | None = None
    """The facts about a local file without an official name; None: those of the default weights,
    under an unknown licence."""
    fetch: Callable[[OfficialWeights], StateDict] = lambda known: read_tensors(download(known))
    sized_by: Callable[[StateDict], int | None] = lambda state: None  # tensors -> input size
    rename: Callable[[str], str] = str  # name of a tensor in the file -> name in the network
    unused: tuple[str, ...] = ()  # prefixes of tensors for training only
    has_layers: bool = True  # the network can be cut after an earlier layer
    has_head: bool = True  # the network is built with its last layer
    window_shape: tuple[int | None, ...] | None = None
    """Shape of one window of sound; None: the network takes pictures."""

    def load(self, weights: str | Path, layer: str | None) -> Backbone:
        """Build the network, load its tensors, and remove the layers after the embedding."""
        name = self.info.name
        preset, path = choose_weights(self.info, weights, self.local)
        origin = preset.name if path is None else path.name
        tensors = clean(self.fetch(preset) if path is None else read_tensors(path), origin)
        state = {self.rename(key): tensor for key, tensor in tensors.items()}
        if not self.has_layers:
            refuse_layer(name, layer)
        size = self.sized_by(state) or preset.input_size
        network, head = self.skeleton(size)
        expected = fill(network, state)
        trunk = _cut_after(network, head, layer, name)
        where = f"{origin} does not fit {name}" + (f" up to {layer}" if layer else "")
        unused = (*self.unused, f"{head}.") if head else self.unused
        check_fit(state, expected, list(trunk.state_dict()), unused, where)
        axes, embedding_size = self.probe(trunk, size, layer)
        description = description_of(
            self.info, embedding_size=embedding_size, weights_source=origin,
            licence=preset.licence, layer=layer, pooled_axes=axes,
        )  # fmt: skip
        if self.window_shape is not None:
            return SoundBackbone(trunk, description | {"window_shape": self.window_shape})
        preprocessing = {"input_size": size, "mean": preset.mean, "std": preset.std}
        return Backbone(trunk, description | preprocessing)

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> Backbone:
        """Build the network of a description, with saved tensors."""
        takes_sound = self.window_shape is not None
        size = None if takes_sound else input_size_of(description["input_size"])
        network, head = self.skeleton(size)
        trunk = _cut_after(network, head, description["layer"], self.info.name)
        return restore((SoundBackbone if takes_sound else Backbone)(trunk, description), state)

    def skeleton(self, size: InputSize | None) -> tuple[nn.Module, str | None]:
        """Build the empty network without its last layer -> network, name of the last layer."""
        with _NoInitialisation():
            network = self.build(size).eval()
        return network, _take_head(network) if self.has_head else None

    def probe(
        self, trunk: nn.Module, size: InputSize | None, layer: str | None
    ) -> tuple[list[int], int]:
        """Return the axes to average over and the size of the embedding."""
        if self.window_shape is not None:
            shape = tuple(n or _FRAMES for n in self.window_shape)
            return _probe(trunk, shape, layer, self.info.name, square=False)
        assert size is not None
        height, width = shape_of(size)
        return _probe(trunk, (3, height, width or height), layer, self.info.name, square=True)


class _NoInitialisation(TorchFunctionMode):
    """Build a network without memory and values, because the tensors come from a file.

    No random numbers are drawn. ``torch.device("meta")`` is not usable, because it affects every
    tensor, and RegNet computes its widths with tensors.

    Examples
    --------
    >>> with _NoInitialisation():
    ...     layer = nn.Linear(2, 3)
    >>> layer.weight.device.type
    'meta'
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        hollow = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
        return func(*args, **(kwargs or {}) | hollow)


def _take_head(network: nn.Module) -> str:
    """Replace the last layer of a network by identity.

    Parameters
    ----------
    network : nn.Module, changed in place

    Returns
    -------
    str, the name of the last layer

    Examples
    --------
    >>> _take_head(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2)))
    '2'
    """
    learned = (nn.Linear, nn.Conv2d)  # SqueezeNet classifies by convolution, then pools
    heads = [name for name, module in network.named_modules() if isinstance(module, learned)]
    network.set_submodule(heads[-1], nn.Identity())
    return str(heads[-1])


def _cut_after(network: nn.Module, head: str | None, layer: str | None, name: str) -> nn.Module:
    """Keep the part of a network up to a layer. The tensors keep their names.

    Parameters
    ----------
    network : nn.Module
    head : str or None, name of the last layer, see :func:`_take_head`
    layer : str or None, the layer to cut after; None returns the network unchanged
    name : str, name of the network, for the message

    Returns
    -------
    nn.Module; the result of a cut network is a dict with the entry ``features``

    Raises
    ------
    BackboneError
        If the network has no such layer.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
    >>> _cut_after(network, "2", "1", "toy")(torch.ones(1, 2))["features"].shape
    torch.Size([1, 3])
    """
    if layer is None:
        return network
    nodes = get_graph_node_names(network, suppress_diff_warning=True)[1]
    # "features.0.1" is part of "features" and "features.0". The first node is the input.
    paths = [node.split(".") for node in nodes[1 : nodes.index(head) if head else -1]]
    known = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    if layer not in known:
        modules = [n for n, _ in network.named_modules() if n in known and n.count(".") < 2]
        shown = modules if len(modules) <= 40 else [n for n in modules if "." not in n]
        raise BackboneError(unknown_name(f"layer of {name}", layer, shown))
    extractor = create_feature_extractor(network, {layer: "features"}, suppress_diff_warning=True)
    graph = extractor.eval().graph
    for node in reversed(graph.nodes):
        # torchvision keeps nodes that lead to an assertion, and every block of a transformer has one.
        if not node.users and node.op not in ("output", "placeholder"):
            graph.erase_node(node)
    # The module of torchvision also holds a training graph, and its deep copy is in training mode.
    return fx.GraphModule(extractor, graph)


def _probe(
    trunk: nn.Module, input_shape: tuple[int, ...], layer: str | None, name: str, *, square: bool
) -> tuple[list[int], int]:
    """Run a network with shapes only, to find its output.

    Parameters
    ----------
    trunk : nn.Module
    input_shape : of one input
    layer : str or None, the layer after which the network was cut
    name : str, of the network
    square : bool
        Whether maps are square. Square maps show whether channels are the first or the last axis.

    Returns
    -------
    axes : list of int, the axes to average over
    embedding_size : int

    Raises
    ------
    BackboneError
        If the output is neither vectors, nor tokens, nor maps.

    Examples
    --------
    >>> _probe(nn.Conv2d(3, 4, 1), (3, 8, 8), None, "toy", square=True)
    ([2, 3], 4)
    """
    tensors = dict(trunk.named_parameters()) | dict(trunk.named_buffers())
    hollow = {key: tensor.to("meta") for key, tensor in tensors.items()}
    with torch.no_grad():
        blank = torch.empty(2, *input_shape, device="meta")
        features = torch.func.functional_call(trunk, hollow, (blank,))
    features = features if layer is None else features["features"]
    match tuple(features.shape) if isinstance(features, Tensor) else ():
        case (2, channels):
            return [], channels
        case (2, _, channels):  # tokens
            return [1], channels
        case (2, channels, height, width) if height == width or not square:
            return [2, 3], channels
        case (2, height, width, channels) if height == width:  # Swin keeps channels last
            return [1, 2], channels
    got = getattr(features, "shape", type(features).__name__)
    raise BackboneError(
        f"layer {layer!r} of {name} gives {got} for 2 inputs, expected (2, channels), "
        "(2, tokens, channels) or maps. Name a layer that ends a block."
    )

"""Networks cut: without their last layer, or after an earlier one; built without memory or values."""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from pseudorca.errors import BackboneError, unknown_name


class NoInitialisation(TorchFunctionMode):
    """Build a network without memory or values: its tensors come from a file; no seed is used up.

    Not ``torch.device("meta")``, which is for every tensor: RegNet computes its widths with some.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        hollow = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
        return func(*args, **(kwargs or {}) | hollow)


def take_head(network: nn.Module) -> str:
    """Replace the last layer by identity -> its name."""
    learned = (nn.Linear, nn.Conv2d)  # SqueezeNet classifies by convolution, then pools
    heads = [name for name, module in network.named_modules() if isinstance(module, learned)]
    network.set_submodule(heads[-1], nn.Identity())
    return str(heads[-1])


def cut_after(network: nn.Module, head: str | None, layer: str | None, name: str) -> nn.Module:
    """Keep only what is computed up to a layer, with its tensors under their names."""
    if layer is None:
        return network
    nodes = get_graph_node_names(network, suppress_diff_warning=True)[1]
    # "features.0.1" belongs to "features", "features.0" and itself; the first node is the input.
    paths = [node.split(".") for node in nodes[1 : nodes.index(head) if head else -1]]
    known = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    if layer not in known:
        modules = [n for n, _ in network.named_modules() if n in known and n.count(".") < 2]
        shown = modules if len(modules) <= 40 else [n for n in modules if "." not in n]
        raise BackboneError(unknown_name(f"layer of {name}", layer, shown))
    extractor = create_feature_extractor(network, {layer: "features"}, suppress_diff_warning=True)
    graph = extractor.eval().graph
    for node in reversed(graph.nodes):
        # torchvision prunes too, but not what leads to an assertion: transformers have one a block.
        if not node.users and node.op not in ("output", "placeholder"):
            graph.erase_node(node)
    # torchvision's module holds a training graph too, and a deep copy of it wakes up in training.
    return fx.GraphModule(extractor, graph)


def probe(
    trunk: nn.Module, input_shape: tuple[int, ...], layer: str | None, name: str, *, square: bool
) -> tuple[list[int], int]:
    """Run a network on shapes alone -> the axes to average over, the size of the embedding.

    Parameters
    ----------
    trunk : nn.Module
    input_shape : of one input
    layer : str or None, after which the network is cut
    name : str, of the network
    square : bool, whether maps are square, which tells channels kept last from channels kept first
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

"""Registry entries of torch modules: a function that builds the network, and a file of tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pseudorca.backbones.cutting import NoInitialisation, cut_after, probe, take_head
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
)

_FRAMES = 300  # frames of a probe, for a network of any number of frames


def download_tensors(known: OfficialWeights) -> StateDict:
    """Download official weights into the cache of torch, and read them.

    Parameters
    ----------
    known : OfficialWeights

    Returns
    -------
    dict from name to Tensor

    Raises
    ------
    BackboneError
        If the download fails, or the file cannot be read.
    """
    return read_tensors(download(known))


@dataclass(frozen=True, kw_only=True)
class TorchSpec:
    """A registry entry for a network built by a function."""

    info: BackboneInfo
    local: OfficialWeights  # the facts about a local file without an official name
    build: Callable[[InputSize | None], nn.Module]  # input size -> the network
    fetch: Callable[[OfficialWeights], StateDict] = download_tensors
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
        trunk = cut_after(network, head, layer, name)
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
        name, layer = self.info.name, description["layer"]
        takes_sound = self.window_shape is not None
        size = None if takes_sound else input_size_of(description["input_size"])
        network, head = self.skeleton(size)
        trunk = cut_after(network, head, layer, name)
        backbone = (SoundBackbone if takes_sound else Backbone)(trunk, description)
        expected = fill(backbone, state)
        where = f"the saved tensors do not fit {name} as described"
        check_fit(state, expected, list(expected), (), where)
        return backbone

    def skeleton(self, size: InputSize | None) -> tuple[nn.Module, str | None]:
        """Build the empty network without its last layer -> network, name of the last layer."""
        with NoInitialisation():
            network = self.build(size).eval()
        return network, take_head(network) if self.has_head else None

    def probe(
        self, trunk: nn.Module, size: InputSize | None, layer: str | None
    ) -> tuple[list[int], int]:
        """Return the axes to average over and the size of the embedding."""
        if self.window_shape is not None:
            shape = tuple(n or _FRAMES for n in self.window_shape)
            return probe(trunk, shape, layer, self.info.name, square=False)
        assert size is not None
        height, width = shape_of(size)
        return probe(trunk, (3, height, width or height), layer, self.info.name, square=True)

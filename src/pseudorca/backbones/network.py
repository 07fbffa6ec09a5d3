"""A frozen pretrained network without its classifier: pictures or sound in, embeddings out.

:class:`Backbone` is what every network of the registry is, whatever runs it: a torch module with a
name, an ``embedding_size``, a ``weights_hash``, a ``licence`` and a ``source``, a ``description()``
and tensors that rebuild it, and ``__call__`` from a batch of network inputs to a batch of vectors.
The class itself takes pictures; :class:`SoundBackbone` takes what the network's own front end makes
of sound.
"""

import copy
import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from pseudorca.backbones.info import InputSize
from pseudorca.errors import BackboneError

# Counters, and constants that tracing adds to a cut network: in state dicts, without being weights.
NOT_WEIGHTS = re.compile(r"num_batches_tracked$|_tensor_constant\d+$")

_WINDOWS_PER_PASS = 64


class Backbone(nn.Module):
    """A frozen pretrained network without its classifier; made by :func:`load_backbone`.

    Its attributes are those of :meth:`description`: ``name``, ``layer``, ``input_size`` (pixels,
    see :attr:`input_shape`), ``embedding_size``, ``weights_hash``, ``weights_source``, ``licence``,
    ``source``.
    """

    mean: Tensor
    std: Tensor
    cpu_only: ClassVar[bool] = False
    """Whether what runs the network knows no other device."""
    front_end_settings: Mapping[str, Any] = MappingProxyType({})
    """Settings that the weights bring for their front end, where the registry cannot know them."""

    def __init__(self, network: nn.Module, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.name: str = description["name"]
        self.version: int = description["version"]
        self.layer: str | None = description["layer"]
        self.embedding_size: int = description["embedding_size"]
        self.pooled_axes: list[int] = list(description["pooled_axes"])
        self.weights_source: str = description["weights_source"]
        self.licence: str = description["licence"]
        self.source: str = description["source"]
        self._describe_input(description)
        self.eval().requires_grad_(False)

    def _describe_input(self, description: Mapping[str, Any]) -> None:
        self.input_size: InputSize = input_size_of(description["input_size"])
        self._normalisation = {key: list(description[key]) for key in ("mean", "std")}
        for key, values in self._normalisation.items():
            self.register_buffer(key, torch.tensor(values).view(3, 1, 1), persistent=False)

    @property
    def input_shape(self) -> tuple[int, int | None]:
        """Height and width of the pictures that the network takes; a width of None is any."""
        return shape_of(self.input_size)

    @property
    def weights_hash(self) -> str:
        """SHA-256 over the tensors in use, as they are now: names, types, shapes and bytes."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            if not NOT_WEIGHTS.search(name):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever is asked.

        A training loop asks every module. Statistics of a few clips of one recorder would then
        replace those of the pretrained network, and an embedding would depend on its neighbours in
        the batch. Gradients need no training mode.
        """
        return super().train(False)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Scale uint8 pictures [shape=(n, 3, height, width)] as the weights' authors did."""
        height, width = self.input_shape
        got = tuple(inputs.shape)
        expected = (len(inputs), 3, height, width if width is not None else got[-1])
        if inputs.dtype != torch.uint8 or got != expected:
            size = f"{height}, {'any width' if width is None else width}"
            raise BackboneError(
                f"{self.name} takes uint8 pictures of shape (n, 3, {size}), got "
                f"{inputs.dtype} {got}. Render them in this size, as bytes."
            )
        scaled = (inputs.to(torch.float32) / 255 - self.mean) / self.std
        return scaled.to(next(self.network.parameters()).dtype)

    def embed(self, normalised: Tensor) -> Tensor:
        """Embed what :meth:`normalise` made; gradients flow back to it."""
        features = self.network(normalised)
        features = features if self.layer is None else features["features"]
        pooled: Tensor = features.mean(self.pooled_axes) if self.pooled_axes else features
        return pooled.float()

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed a batch of what the network takes [shape=(n, ...)] -> float32 [(n, embedding_size)].

        Pictures are uint8 [shape=(n, 3, height, width)]; for sound see :class:`SoundBackbone`.
        """
        return self.embed(self.normalise(inputs))

    def description(self) -> dict[str, Any]:
        """Describe the backbone in JSON's terms, for :func:`backbone_from_description`."""
        told = [
            "name",
            "version",
            "layer",
            "embedding_size",
            "pooled_axes",
            "weights_hash",
        ]
        told += ["weights_source", "licence", "source"]
        described = {key: getattr(self, key) for key in told} | self._input_description()
        return copy.deepcopy(described)

    def _input_description(self) -> dict[str, Any]:
        return {"input_size": self.input_size} | self._normalisation


class SoundBackbone(Backbone):
    """A network on sound: a clip is one or more windows, and its vector the mean of theirs."""

    def _describe_input(self, description: Mapping[str, Any]) -> None:
        self.window_shape: list[int | None] = list(description["window_shape"])
        """Of one window, as the front end makes it; None stands for any number."""

    def normalise(self, inputs: Tensor) -> Tensor:
        """Check windows [shape=(n, n_windows, *window_shape)], float32, of n clips."""
        got = tuple(inputs.shape)
        fits = len(got) == 2 + len(self.window_shape) and all(
            wanted in (None, found)
            for wanted, found in zip(self.window_shape, got[2:], strict=True)
        )
        if inputs.dtype != torch.float32 or not fits:
            shape = ", ".join("any" if n is None else str(n) for n in self.window_shape)
            raise BackboneError(
                f"{self.name} takes float32 windows of shape (n, n_windows, {shape}), got "
                f"{inputs.dtype} {got}. Use the front end that belongs to it."
            )
        return inputs

    def embed(self, normalised: Tensor) -> Tensor:
        """Embed the windows of n clips, averaged; gradients flow back to them."""
        n, n_windows = normalised.shape[:2]
        parts = torch.split(normalised.flatten(0, 1), _WINDOWS_PER_PASS)
        vectors = torch.cat([super(SoundBackbone, self).embed(part) for part in parts])
        averaged: Tensor = vectors.view(n, n_windows, -1).mean(1)
        return averaged

    def _input_description(self) -> dict[str, Any]:
        return {"window_shape": self.window_shape}


def input_size_of(told: Any) -> InputSize:
    """An input size as JSON gives it back."""
    if isinstance(told, int):
        return told
    height, width = told
    return height, width


def shape_of(size: InputSize) -> tuple[int, int | None]:
    """Height and width of an input size."""
    return (size, size) if isinstance(size, int) else size

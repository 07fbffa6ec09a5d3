"""A frozen pretrained network without its classifier: pictures or sound in, embeddings out.

Every network of the registry is a :class:`Backbone`: a torch module with a name, an
``embedding_size``, a ``weights_hash``, a ``licence`` and a ``source``. Its ``description()`` and its
tensors rebuild the network. A call turns a batch of inputs into a batch of vectors. The class itself
takes pictures. :class:`SoundBackbone` takes windows from the front end of the network.
"""

import copy
import hashlib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pseudorca.backbones.info import InputSize
from pseudorca.errors import BackboneError

# Entries of state dicts that are not weights: counters, and constants from the tracing of a cut.
NOT_WEIGHTS = re.compile(r"num_batches_tracked$|_tensor_constant\d+$")

_WINDOWS_PER_PASS = 64


class Backbone(nn.Module):
    """A frozen pretrained network without its classifier. :func:`load_backbone` makes a backbone.

    Its attributes are those of :meth:`description`: ``name``, ``layer``, ``input_size`` (pixels,
    see :attr:`input_shape`), ``embedding_size``, ``weights_hash``, ``weights_source``, ``licence``,
    ``source``.

    Parameters
    ----------
    network : nn.Module, without its classifier
    description : mapping, as :meth:`description` returns

    Examples
    --------
    >>> description = {
    ...     "name": "toy", "version": 1, "layer": None, "embedding_size": 4, "pooled_axes": [2, 3],
    ...     "weights_source": "random", "licence": "MIT", "source": "here", "input_size": 8,
    ...     "mean": [0.5] * 3, "std": [0.5] * 3,
    ... }
    >>> backbone = Backbone(nn.Conv2d(3, 4, 1), description)
    >>> backbone(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([2, 4])
    """

    mean: Tensor
    std: Tensor
    cpu_only: ClassVar[bool] = False
    """Whether the network can run on the CPU only."""
    front_end_settings: Mapping[str, Any] = MappingProxyType({})
    """Settings of the front end from the weights, if the registry does not know the settings."""

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
        """Height and width of the pictures in pixels. A width of None stands for any width."""
        return shape_of(self.input_size)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the present tensors: names, types, shapes and bytes."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            if not NOT_WEIGHTS.search(name):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the argument is.

        A training loop calls this method of every module. In training mode, the statistics of a few
        clips of one recorder would replace the statistics of the pretrained network, and an embedding
        would depend on the other clips of the batch. Gradients do not need training mode.
        """
        return super().train(False)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Scale pictures like the authors of the weights.

        Parameters
        ----------
        inputs : Tensor [shape=(n, 3, height, width)], uint8

        Returns
        -------
        Tensor [shape=(n, 3, height, width)], of the type of the network's parameters

        Raises
        ------
        BackboneError
            If the type or the shape does not fit.
        """
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
        """Embed the result of :meth:`normalise` -> float32 [shape=(n, embedding_size)].

        Gradients flow back to the input.
        """
        features = self.network(normalised)
        features = features if self.layer is None else features["features"]
        pooled: Tensor = features.mean(self.pooled_axes) if self.pooled_axes else features
        return pooled.float()

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed a batch of inputs.

        Parameters
        ----------
        inputs : Tensor [shape=(n, ...)]
            Pictures are uint8 [shape=(n, 3, height, width)]. For sound see :class:`SoundBackbone`.

        Returns
        -------
        Tensor [shape=(n, embedding_size)], float32

        Raises
        ------
        BackboneError
            If the type or the shape of the inputs does not fit.
        """
        return self.embed(self.normalise(inputs))

    def description(self) -> dict[str, Any]:
        """Describe the backbone for :func:`backbone_from_description`.

        Returns
        -------
        dict of JSON values
        """
        keys = "name version layer embedding_size pooled_axes weights_hash weights_source".split()
        keys += ["licence", "source"]
        described = {key: getattr(self, key) for key in keys} | self._input_description()
        return copy.deepcopy(described)

    def _input_description(self) -> dict[str, Any]:
        return {"input_size": self.input_size} | self._normalisation


class SoundBackbone(Backbone):
    """A network on sound. The vector of a clip is the mean over the windows of the clip.

    Examples
    --------
    >>> description = {
    ...     "name": "toy", "version": 1, "layer": None, "embedding_size": 4, "pooled_axes": [],
    ...     "weights_source": "random", "licence": "MIT", "source": "here", "window_shape": [8],
    ... }
    >>> backbone = SoundBackbone(nn.Linear(8, 4), description)
    >>> backbone(torch.zeros(2, 3, 8)).shape
    torch.Size([2, 4])
    """

    def _describe_input(self, description: Mapping[str, Any]) -> None:
        self.window_shape: list[int | None] = list(description["window_shape"])
        """Shape of one window of the front end. None stands for any number."""

    def normalise(self, inputs: Tensor) -> Tensor:
        """Check the windows [shape=(n, n_windows, *window_shape)], float32, of n clips."""
        got = tuple(inputs.shape)
        fits = len(got) == 2 + len(self.window_shape) and all(
            expected in (None, size)
            for expected, size in zip(self.window_shape, got[2:], strict=True)
        )
        if inputs.dtype != torch.float32 or not fits:
            shape = ", ".join("any" if n is None else str(n) for n in self.window_shape)
            raise BackboneError(
                f"{self.name} takes float32 windows of shape (n, n_windows, {shape}), got "
                f"{inputs.dtype} {got}. Use the front end that belongs to it."
            )
        return inputs

    def embed(self, normalised: Tensor) -> Tensor:
        """Embed the windows of n clips, and average over the windows -> [shape=(n, embedding_size)].

        Gradients flow back to the windows.
        """
        n, n_windows = normalised.shape[:2]
        parts = torch.split(normalised.flatten(0, 1), _WINDOWS_PER_PASS)
        vectors = torch.cat([super(SoundBackbone, self).embed(part) for part in parts])
        averaged: Tensor = vectors.view(n, n_windows, -1).mean(1)
        return averaged

    def _input_description(self) -> dict[str, Any]:
        return {"window_shape": self.window_shape}


def input_size_of(value: Any) -> InputSize:
    """Convert the JSON value of an input size.

    Parameters
    ----------
    value : int, or list of two

    Returns
    -------
    int, or tuple (height, width) in pixels

    Examples
    --------
    >>> input_size_of([128, None])
    (128, None)
    """
    return value if isinstance(value, int) else (value[0], value[1])


def shape_of(size: InputSize) -> tuple[int, int | None]:
    """Return the height and the width of an input size.

    Parameters
    ----------
    size : int, or tuple (height, width) in pixels

    Returns
    -------
    (height, width); a width of None stands for any width

    Examples
    --------
    >>> shape_of(224), shape_of((128, None))
    ((224, 224), (128, None))
    """
    return (size, size) if isinstance(size, int) else size


def adapt_batch_norm(backbone: Backbone, batches: Iterable[Tensor]) -> Backbone:
    """Recompute the batch-normalisation statistics once over the recordings (AdaBN [1]_).

    The mean and the variance of each layer become the averages over the batches, weighted by the sizes
    of the batches. All other tensors stay unchanged.

    Parameters
    ----------
    backbone : Backbone, left unchanged
    batches : iterable of Tensor [shape=(n, ...)], inputs of the network, without labels

    Returns
    -------
    Backbone, a copy with the new statistics and therefore with another ``weights_hash``

    Raises
    ------
    BackboneError
        If the network has no batch normalisation that can be adapted, or there are no batches.

    References
    ----------
    .. [1] Li et al., "Revisiting batch normalization for practical domain adaptation", 2016.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    >>> description = {
    ...     "name": "toy", "version": 1, "layer": None, "embedding_size": 4, "pooled_axes": [2, 3],
    ...     "weights_source": "random", "licence": "MIT", "source": "here", "input_size": 8,
    ...     "mean": [0.5] * 3, "std": [0.5] * 3,
    ... }
    >>> backbone = Backbone(network, description)
    >>> pictures = torch.full((2, 3, 8, 8), 128, dtype=torch.uint8)
    >>> adapt_batch_norm(backbone, [pictures]).weights_source
    'random + adapted batch normalisation'
    """
    adapted = copy.deepcopy(backbone).eval()
    layers = [module for module in adapted.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        raise BackboneError(f"{backbone.name} has no batch normalisation to adapt.")
    if all(_is_folded(layer) for layer in layers):
        raise BackboneError(
            f"the batch normalisation of {backbone.name} is folded into the convolutions of "
            f"{backbone.weights_source}, so it cannot be adapted. Use weights that kept theirs."
        )
    momenta = [layer.momentum for layer in layers]
    n_seen, device = 0, next(adapted.parameters()).device
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    with torch.no_grad():
        for batch in batches:
            n_seen += len(batch)
            for layer in layers:
                layer.momentum = len(batch) / n_seen
            adapted(batch.to(device))
    if not n_seen:
        raise BackboneError("there are no pictures to adapt the batch normalisation to.")
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.eval().momentum = momentum
    adapted.weights_source += " + adapted batch normalisation"
    return adapted


def _is_folded(layer: _BatchNorm) -> bool:
    """Return whether a layer has only a bias: its scales are part of the convolution before."""
    mean, var = layer.running_mean, layer.running_var
    if mean is None or var is None or mean.any() or not layer.bias.any():
        return False
    return torch.allclose(var, torch.ones_like(var), atol=1e-3) and bool((layer.weight == 1).all())

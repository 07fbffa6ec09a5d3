"""Batch-normalisation statistics recomputed over the recordings."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pseudorca.backbones.network import Backbone
from pseudorca.errors import BackboneError


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

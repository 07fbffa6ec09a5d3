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

    Each layer's mean and variance become the average of those of the batches, weighted by the
    batches' sizes. Everything else stays as it is.

    Parameters
    ----------
    backbone : Backbone, left unchanged
    batches : iterable of Tensor [shape=(n, ...)], what the network takes, unlabelled

    Returns
    -------
    Backbone, a copy with the new statistics, hence with another ``weights_hash``.

    Raises
    ------
    BackboneError
        If the network has no batch normalisation that could be adapted, or there are no batches.

    References
    ----------
    .. [1] Li et al., "Revisiting batch normalization for practical domain adaptation", 2016.
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
    """Tell whether only a bias is left: the scales went into the convolution before."""
    mean, var = layer.running_mean, layer.running_var
    if mean is None or var is None or mean.any() or not layer.bias.any():
        return False
    return torch.allclose(var, torch.ones_like(var), atol=1e-3) and bool((layer.weight == 1).all())

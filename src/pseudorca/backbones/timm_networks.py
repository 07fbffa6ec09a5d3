"""All networks of timm, on pictures: ``timm:NAME``. timm itself removes the classifier."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pseudorca.backbones.info import TIMM as PREFIX
from pseudorca.backbones.info import (
    BackboneInfo,
    InputSize,
    OfficialWeights,
    StateDict,
    description_of,
    refuse_layer,
)
from pseudorca.backbones.network import Backbone, input_size_of, shape_of
from pseudorca.backbones.weights import (
    check_fit,
    choose_weights,
    clean,
    fill,
    read_tensors,
    restore,
)
from pseudorca.errors import BackboneError, MissingExtraError, unknown_name


def spec(name: str) -> "_TimmSpec":
    """Return the entry of a network from the tables of timm, without a download.

    Parameters
    ----------
    name : str, name of the network in timm

    Returns
    -------
    registry entry

    Raises
    ------
    MissingExtraError
        If timm is not installed.
    BackboneError
        If timm has no such network.

    Examples
    --------
    >>> spec("resnet18").info.input_size  # doctest: +SKIP
    224
    """
    if find_spec("timm") is None:
        raise MissingExtraError("timm", PREFIX)
    import timm

    architecture, _, tag = name.partition(".")
    exists = timm.is_model(architecture) and (not tag or timm.is_model_pretrained(name))
    known = timm.get_pretrained_cfg(name, allow_unregistered=False) if exists else None
    if known is None:
        raise BackboneError(unknown_name("network of timm", name, timm.list_models()))
    _, height, width = known.input_size
    size: InputSize = height if height == width else (height, width)
    licence = known.license or "unknown (see source)"
    page = f"https://huggingface.co/{known.hf_hub_id}" if known.hf_hub_id else str(known.url)
    official = OfficialWeights(
        name=known.tag or "default", url=page, licence=licence, input_size=size,
        mean=known.mean, std=known.std,
    )  # fmt: skip
    info = BackboneInfo(
        name=f"{PREFIX}:{name}",
        family="timm",
        input_size=size,
        licence=licence,
        source=f"timm: {page}",
        n_parameters=None,
        weights=(official,) if known.has_weights else (),
        extra=PREFIX,
    )
    classifier = known.classifier or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    local = replace(official, licence="unknown (local weights file)")
    around = tuple(f"{head.rpartition('.')[0] or head}." for head in heads)
    return _TimmSpec(info=info, local=local, heads=around)


@dataclass(frozen=True, kw_only=True)
class _TimmSpec:
    """A registry entry for a network of timm."""

    info: BackboneInfo
    local: OfficialWeights
    heads: tuple[str, ...]  # prefixes of the tensors of the classifier and around the classifier

    def load(self, weights: str | Path, layer: str | None) -> Backbone:
        """Let timm download the weights, or read a local file."""
        name = self.info.name
        refuse_layer(name, layer)
        known, path = choose_weights(self.info, weights, self.local)
        origin = known.name if path is None else path.name
        network = self._network(pretrained=path is None)
        if path is not None:
            state = clean(read_tensors(path), origin)
            expected = fill(network, state)
            check_fit(state, expected, list(expected), self.heads, f"{origin} does not fit {name}")
        assert known.input_size is not None
        height, width = shape_of(known.input_size)
        with torch.no_grad():
            embedding_size = network(torch.zeros(1, 3, height, width or height)).shape[1]
        description = description_of(
            self.info, embedding_size=embedding_size, weights_source=origin, licence=known.licence,
            input_size=known.input_size, mean=known.mean, std=known.std,
        )  # fmt: skip
        return Backbone(network, description)

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> Backbone:
        """Build the network of a description, with saved tensors."""
        if input_size_of(description["input_size"]) != self.info.input_size:
            raise BackboneError(
                f"{self.info.name} was saved for pictures of {description['input_size']} pixels, and "
                f"this version of timm takes {self.info.input_size}. Use the version that saved it."
            )
        return restore(Backbone(self._network(pretrained=False), description), state)

    def _network(self, *, pretrained: bool) -> nn.Module:
        import timm

        inside = self.info.name.removeprefix(f"{PREFIX}:")
        try:
            with torch.random.fork_rng(devices=[]):  # timm draws random weights first
                network: nn.Module = timm.create_model(inside, pretrained=pretrained, num_classes=0)
        except Exception as error:  # an error of the hub, the network or the disk
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise BackboneError(
                f"timm cannot make {inside}: {reason.rstrip('.')}. Without internet give a local file "
                "of its weights with --weights FILE."
            ) from None
        return network.eval()

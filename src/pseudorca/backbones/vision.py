"""Every classification network of torchvision, trained on ImageNet."""

import math
from dataclasses import replace
from typing import Any

import torchvision
from torch import nn

from pseudorca.backbones.info import BackboneInfo, InputSize, OfficialWeights, StateDict
from pseudorca.backbones.torch_spec import TorchSpec
from pseudorca.backbones.weights import download

FAMILY = "torchvision"


def specs() -> list[TorchSpec]:
    """Return an entry per network.

    Returns
    -------
    list of TorchSpec

    Examples
    --------
    >>> specs()[0].info.name
    'alexnet'
    """
    names = torchvision.models.list_models(torchvision.models)
    return [_spec(name) for name in names]


def _spec(name: str) -> TorchSpec:
    members = {member.name: member for member in torchvision.models.get_model_weights(name)}
    official = []
    for member in members.values():
        preset, terms = member.transforms(), member.meta.get("license")  # SWAG weights only
        official.append(
            OfficialWeights(
                name=member.name,
                url=member.url,
                licence=f"CC-BY-NC-4.0 ({terms})" if terms else "BSD-3-Clause",
                input_size=preset.crop_size[0],
                mean=tuple(preset.mean),
                std=tuple(preset.std),
                # Official files carry the start of their SHA-256 in their names.
                sha256=member.url.rpartition("-")[2].removesuffix(".pth"),
            )
        )
    default = official[0]  # IMAGENET1K_V1, as in the study, if it was published
    is_vit = name.startswith("vit_")
    arguments: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # without the auxiliary classifiers of the training
        arguments = {"transform_input": True, "aux_logits": False, "init_weights": False}

    def build(input_size: InputSize | None) -> nn.Module:
        sized = {"image_size": input_size} if is_vit else {}
        network: nn.Module = torchvision.models.get_model(name, weights=None, **arguments, **sized)
        return network

    def fetch(known: OfficialWeights) -> StateDict:
        """Download through torchvision, or read from the cache of torch."""
        member = members[known.name]
        state: StateDict = download(
            replace(known, name=str(member)),
            lambda cached: member.get_state_dict(
                progress=False, check_hash=True, weights_only=True, map_location="cpu"
            ),
        )
        return state

    return TorchSpec(
        info=BackboneInfo(
            name=name,
            family=FAMILY,
            input_size=default.input_size,
            licence=default.licence,
            source=f"torchvision: https://docs.pytorch.org/vision/stable/models.html ({name})",
            n_parameters=members[default.name].meta["num_params"],
            weights=tuple(official),
        ),
        build=build,
        fetch=fetch,
        sized_by=_vit_input_size if is_vit else lambda state: None,
        unused=("aux1.", "aux2.", "AuxLogits."),
    )


def _vit_input_size(state: StateDict) -> int | None:
    positions, patches = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if positions is None or patches is None or positions.ndim != 3:
        return None
    # One position belongs to the class token.
    return math.isqrt(positions.shape[1] - 1) * patches.shape[-1]

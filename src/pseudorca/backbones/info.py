"""What is known of a network before it is built, and what a registry entry can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from pseudorca.backbones.network import Backbone

InputSize = int | tuple[int, int | None]
"""Pixels of a square picture, or its height and width; a width of None stands for any."""

StateDict = Mapping[str, "Tensor"]

TIMM: Final = "timm"
TRANSFORMERS: Final = "transformers"
"""Libraries that know networks by a name of their own, such as ``timm:NAME``."""

UNTRAINED: Final = "UNTRAINED"
"""Name of the weights of a network that comes without any training."""


def is_non_commercial(licence: str) -> bool:
    """Whether a licence forbids commercial use, as Creative Commons' NC does."""
    return "-NC" in licence.upper()


@dataclass(frozen=True, kw_only=True)
class OfficialWeights:
    """One published set of weights; of a network on pictures, also those it was trained on."""

    name: str
    url: str
    licence: str
    input_size: InputSize | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sha256: str | None = None
    """Of the file, or how it begins; None where it was not published."""


@dataclass(frozen=True, kw_only=True)
class BackboneInfo:
    """What is known of a network before it is built; figures are those of its default weights."""

    name: str
    family: str
    licence: str
    source: str
    n_parameters: int | None
    weights: tuple[OfficialWeights, ...]  # the default first; empty where there is no download
    input_size: InputSize | None = None
    """Of pictures; None: the network takes sound."""
    embedding_size: int | None = None
    """None: known once it is built."""
    front_end: str | None = None
    """The only front end that makes what the network takes; None: any that draws pictures."""
    front_end_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of that front end, as the network was trained with."""
    extra: str | None = None
    """What has to be installed: ``pip install 'pseudorca[EXTRA]'``."""
    version: int = 1
    """Of a network's code in this package: another gives other embeddings from the same weights."""


class Spec(Protocol):
    """A registry entry. Another kind of network is another class with these three."""

    @property
    def info(self) -> BackboneInfo:
        """What is known before building."""

    def load(self, weights: str | Path, layer: str | None) -> "Backbone":
        """Build the network and load its weights; see :func:`load_backbone`."""

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> "Backbone":
        """Build the network that was described, with the tensors that were saved."""

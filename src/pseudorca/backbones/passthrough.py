"""Classic features as a backbone: the front end computes the features, and no network is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pseudorca.backbones.info import BackboneInfo, StateDict, description_of
from pseudorca.backbones.network import SoundBackbone
from pseudorca.errors import BackboneError
from pseudorca.frontends.classic import CLASSIC, ClassicFrontEnd

_NEED_LIBROSA = ("mfcc", "mfcc_frames", "lpc")


@dataclass(frozen=True)
class _ClassicSpec:
    """A registry entry for classic features. The backbone returns the vectors of the front end."""

    info: BackboneInfo

    def load(self, weights: str | Path, layer: str | None) -> SoundBackbone:
        """Build the backbone. Weights and layers are refused."""
        if str(weights) != "official" or layer is not None:
            raise BackboneError(
                f"{self.info.name} is no network: it has neither weights nor layers. Leave out "
                "--weights and --layer."
            )
        size = self.info.embedding_size
        description = description_of(
            self.info, embedding_size=size, weights_source="none", licence=self.info.licence,
            window_shape=[size],
        )  # fmt: skip
        return SoundBackbone(nn.Identity(), description)

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> SoundBackbone:
        """Build the backbone of a description."""
        return SoundBackbone(nn.Identity(), description)


def specs() -> list[_ClassicSpec]:
    """Return an entry per kind of features.

    Returns
    -------
    list of registry entries

    Examples
    --------
    >>> [spec.info.name for spec in specs()][:2]
    ['logmel', 'mean_spectrum']
    """
    return [
        _ClassicSpec(
            BackboneInfo(
                name=name,
                family="classic features",
                embedding_size=kind.n_features,
                licence="Apache-2.0",
                source=f"pseudorca itself, no network: {kind.source}",
                n_parameters=0,
                weights=(),
                front_end=ClassicFrontEnd.name,
                front_end_settings={"features": name},
                extra="classic" if name in _NEED_LIBROSA else None,
            )
        )
        for name, kind in CLASSIC.items()
    ]

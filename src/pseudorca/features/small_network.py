"""The network in the box: a small convolutional network for spectrograms of marine sound.

In: pictures of the common front end in grey, 256 levels over a stated range of decibels, of any
width. Out: an embedding that keeps where in frequency a sound was, and not when. It is trained by
``training/train_network.py`` on simulated sound alone; ``docs/model-cards`` says how well it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

FRONT_END: Final[Mapping[str, Any]] = {"colours": "grey", "spread": "range"}
"""Settings of the common front end that differ from its own: what the network was trained on."""

WEIGHTS: Final = Path(__file__).parent / "weights" / "pseudorca_small.safetensors"
WEIGHTS_SHA256: Final = "dc3e4876a9ee6c76f7e73c94903e67ecc14713ccb91e729a2f9add73a966537d"
N_MEMBERS: Final = 1  # networks side by side in the file
N_PARAMETERS: Final = 282_752
N_ROWS: Final = 128
RANGE_DB: Final = 80.0  # what 256 grey levels span


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one network."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels after each halving of both axes."""
    n_deep: int = 2
    """Of the last so many widths, each has one more convolution."""
    n_bands: int = 4
    """Frequency bands that the embedding keeps apart."""

    @property
    def embedding_size(self) -> int:
        return 2 * self.widths[-1] * self.n_bands


class SmallNetwork(nn.Module):
    """Levels, centred per clip, with a frequency coordinate, through four halvings; see the module.

    Pooled over time by mean and maximum, in ``n_bands`` bands of frequency.
    """

    def __init__(self, config: NetworkConfig, n_outputs: int = 1) -> None:
        super().__init__()
        self.config = config
        blocks: list[nn.Module] = [_convolution(2, config.widths[0], stride=2, kernel=5)]
        for before, after in pairwise(config.widths):
            blocks.append(_convolution(before, after, stride=2))
            if after in config.widths[-config.n_deep :]:
                blocks.append(_Residual(after))
        self.trunk = nn.Sequential(*blocks)
        self.head = nn.Linear(config.embedding_size, n_outputs)

    def maps(self, pictures: Tensor) -> Tensor:
        """Feature maps [shape=(n, channels, rows / 16, frames / 16)] of grey pictures in [0, 1].

        Levels become decibels about the mean of what is above the floor: gain is not told, nor how
        much of the picture the floor covers.
        """
        grey = pictures[:, :1]
        above = (grey > 0).to(grey.dtype)
        share = above.sum((1, 2, 3), keepdim=True).clamp(min=1.0)
        mean = grey.sum((1, 2, 3), keepdim=True) / share
        levels = ((grey - mean) * (RANGE_DB / 12.0)).clamp(min=-2.5)
        up = torch.linspace(1.0, -1.0, grey.shape[2], dtype=grey.dtype, device=grey.device)
        coordinate = up.view(1, 1, -1, 1).expand_as(levels)
        features: Tensor = self.trunk(torch.cat([levels, coordinate], 1))
        return features

    def pool(self, maps: Tensor) -> Tensor:
        """Embedding [shape=(n, embedding_size)] of feature maps."""
        n, channels, rows, frames = maps.shape
        bands = maps.view(n, channels, self.config.n_bands, rows // self.config.n_bands, frames)
        over_time = torch.cat([bands.mean((3, 4)), bands.mean(3).amax(3)], 1)
        return over_time.flatten(1)

    def forward(self, pictures: Tensor) -> Tensor:
        output: Tensor = self.head(self.pool(self.maps(pictures)))
        return output


class SideBySide(nn.Module):
    """Several networks of one shape, their embeddings one after the other."""

    def __init__(self, config: NetworkConfig, n_members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(SmallNetwork(config) for _ in range(n_members))
        for member in self.members:
            member.head = nn.Identity()  # it served training only
        self.head = nn.Linear(n_members * config.embedding_size, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        output: Tensor = self.head(torch.cat([member(pictures) for member in self.members], 1))
        return output


def build() -> nn.Module:
    """The network that is shipped, without its weights."""
    return SideBySide(NetworkConfig(), N_MEMBERS)


def _convolution(before: int, after: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """``relu(x + f(x))`` with one convolution: depth for little time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.norm(self.convolution(features))
        return torch.relu(features + changed)

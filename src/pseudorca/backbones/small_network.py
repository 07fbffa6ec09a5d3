"""The network in the box: a small convolutional network for spectrograms of marine sound.

In: pictures of the common front end in grey, 256 levels over a stated range of decibels, of any
width. Out: an embedding that keeps where in frequency a sound was, and not when. It is trained by
``training/train_network.py`` on simulated sound alone; ``docs/model-cards`` says how well it does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

FRONT_END: Final[Mapping[str, Any]] = {"colours": "grey", "spread": "range"}
"""Settings of the common front end that differ from its own: what the network was trained on."""

WEIGHTS: Final = Path(__file__).parent / "network_in_the_box" / "pseudorca_small.safetensors"
WEIGHTS_SHA256: Final = "70ad1508f7d76c4610617032f33d6882f2c2f4ffbe5ca6a51888cf380da4bb65"
VERSION: Final = 4  # 1 did not whiten the levels, 2 pooled otherwise, 3 was trained in fewer steps
N_MEMBERS: Final = 1  # networks side by side in the file
N_PARAMETERS: Final = 282_752
N_ROWS: Final = 128
RANGE_DB: Final = 80.0  # what 256 grey levels span
FMIN_HZ: Final = 100.0  # bottom of every band
FLOOR_DB: Final = 45.0  # below the root mean square


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one network."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels after each halving of both axes."""
    n_deep: int = 2
    """Of the last so many widths, each has one more convolution."""
    n_bands: int = 8
    """Frequency bands that the embedding keeps apart."""
    fmax_hz: float = 15_040.0
    """Top of the pictures' band."""

    @property
    def embedding_size(self) -> int:
        return self.widths[-1] * self.n_bands


class SmallNetwork(nn.Module):
    """Whitened levels with a frequency coordinate, through four halvings; see the module.

    Averaged over time in ``n_bands`` bands of frequency, and the square root taken: it keeps the
    few loudest features from deciding how far two clips are apart.
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
        """Feature maps [shape=(n, channels, rows / 16, frames / 16)] of grey pictures in [0, 1]."""
        grey = pictures[:, :1]
        levels = (whitened(grey, self.config.fmax_hz) + 25.0) / 12.0
        up = torch.linspace(1.0, -1.0, grey.shape[2], dtype=grey.dtype, device=grey.device)
        coordinate = up.view(1, 1, -1, 1).expand_as(grey)
        features: Tensor = self.trunk(torch.cat([levels, coordinate], 1))
        return features

    def pool(self, maps: Tensor) -> Tensor:
        """Embedding [shape=(n, embedding_size)] of feature maps."""
        n, channels, rows, frames = maps.shape
        bands = maps.view(n, channels, self.config.n_bands, rows // self.config.n_bands, frames)
        return (bands.mean((3, 4)) + 1e-6).sqrt().flatten(1)  # a slope at nothing, too

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


def row_centres_hz(n_rows: int, fmax_hz: float) -> Tensor:
    """Of the rows of the common front end's pictures, from top to bottom."""
    top, bottom = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (fmax_hz, FMIN_HZ))
    mel = torch.linspace(top, bottom, n_rows + 2)[1:-1]
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def whitened(grey: Tensor, fmax_hz: float = NetworkConfig.fmax_hz) -> Tensor:
    """Decibels about the clip's root mean square, after a pre-emphasis, of pictures in [0, 1].

    Noise of the sea and of tapes falls with frequency. As it is, it would decide what loud means;
    a rise by 6 dB an octave, and rows weighed by their bandwidth, leave that to the rest. Levels
    far below, and rows that the recording does not reach, end in a soft floor.
    """
    hz = row_centres_hz(grey.shape[2], fmax_hz).to(grey)
    emphasis_db = 20.0 * torch.log10(hz / 1000.0) + 10.0 * torch.log10(1.0 + hz / 700.0)
    above = (grey > 0).to(grey.dtype)
    decibels = grey * RANGE_DB + emphasis_db.view(1, 1, -1, 1)
    power = torch.exp(decibels * (math.log(10.0) / 10.0)) * above
    mean = power.sum((1, 2, 3), keepdim=True) / above.sum((1, 2, 3), keepdim=True).clamp(min=1.0)
    relative = torch.log(power / mean.clamp(min=1e-12) + 10.0 ** (-FLOOR_DB / 10.0))
    return relative * (10.0 / math.log(10.0))


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

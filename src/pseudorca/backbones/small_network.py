"""The network of the package: a small convolutional network for spectrograms of marine sound.

In: pictures of the common front end in grey, 256 levels over a stated range of decibels, of any
width. Out: an embedding that keeps the frequency of a sound and not its time. The program
``training/train_network.py`` trains the network on simulated sound only. ``docs/model-cards`` gives
the results.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pseudorca.backbones.info import BackboneInfo, OfficialWeights, StateDict
from pseudorca.backbones.torch_spec import TorchSpec
from pseudorca.backbones.weights import check_hash
from pseudorca.errors import BackboneError

FRONT_END: Final[Mapping[str, Any]] = {"colours": "grey", "spread": "range"}
"""Settings of the common front end that differ from its defaults, as in the training."""

WEIGHTS: Final = Path(__file__).parent / "network_in_the_box" / "pseudorca_small.safetensors"
WEIGHTS_SHA256: Final = "70ad1508f7d76c4610617032f33d6882f2c2f4ffbe5ca6a51888cf380da4bb65"
VERSION: Final = 4  # 1 did not whiten the levels, 2 pooled otherwise, 3 was trained in fewer steps
N_MEMBERS: Final = 1  # networks side by side in the file
N_PARAMETERS: Final = 282_752
N_ROWS: Final = 128
RANGE_DB: Final = 80.0  # range of the 256 grey levels
FMIN_HZ: Final = 100.0  # bottom of every band
FLOOR_DB: Final = 45.0  # below the root mean square

_SHIPPED = OfficialWeights(
    name=f"SIMULATED_V{VERSION}",
    url=WEIGHTS.name,
    licence="Apache-2.0",
    input_size=(N_ROWS, None),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    sha256=WEIGHTS_SHA256,
)


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one network.

    Examples
    --------
    >>> NetworkConfig().embedding_size
    1024
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels after each halving of both axes."""
    n_deep: int = 2
    """Number of the last widths that have one more convolution."""
    n_bands: int = 8
    """Frequency bands that are separate in the embedding."""
    fmax_hz: float = 15_040.0
    """Top of the pictures' band."""

    @property
    def embedding_size(self) -> int:
        """Dimensions of the embedding."""
        return self.widths[-1] * self.n_bands


class SmallNetwork(nn.Module):
    """Whitened levels and a frequency coordinate, through four convolutions that halve both axes.

    The maps are averaged over time in ``n_bands`` bands of frequency. Then the square root is taken,
    so that a few large features do not dominate the distance of two clips.

    Parameters
    ----------
    config : NetworkConfig
    n_outputs : int, outputs of the head of the training

    Examples
    --------
    >>> network = SmallNetwork(NetworkConfig()).eval()
    >>> network.pool(network.maps(torch.zeros(2, 3, 128, 64))).shape
    torch.Size([2, 1024])
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
        # The offset keeps the slope at 0 finite.
        return (bands.mean((3, 4)) + 1e-6).sqrt().flatten(1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the outputs of the head [shape=(n, n_outputs)]."""
        output: Tensor = self.head(self.pool(self.maps(pictures)))
        return output


class SideBySide(nn.Module):
    """Several networks of one shape, whose embeddings are concatenated.

    Parameters
    ----------
    config : NetworkConfig
    n_members : int

    Examples
    --------
    >>> network = SideBySide(NetworkConfig(), n_members=2).eval()
    >>> network(torch.zeros(1, 3, 128, 64)).shape
    torch.Size([1, 1])
    """

    def __init__(self, config: NetworkConfig, n_members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(SmallNetwork(config) for _ in range(n_members))
        for member in self.members:
            member.head = nn.Identity()  # the head is for training only
        self.head = nn.Linear(n_members * config.embedding_size, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the output of the last layer [shape=(n, 1)]."""
        output: Tensor = self.head(torch.cat([member(pictures) for member in self.members], 1))
        return output


def row_centres_hz(n_rows: int, fmax_hz: float) -> Tensor:
    """Return the centre frequencies of the rows of a picture, from top to bottom.

    Parameters
    ----------
    n_rows : int
    fmax_hz : float, top of the band

    Returns
    -------
    Tensor [shape=(n_rows,)], Hz

    Examples
    --------
    >>> row_centres_hz(2, 15_040.0).round().tolist()
    [5130.0, 1460.0]
    """
    top, bottom = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (fmax_hz, FMIN_HZ))
    mel = torch.linspace(top, bottom, n_rows + 2)[1:-1]
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def whitened(grey: Tensor, fmax_hz: float = NetworkConfig.fmax_hz) -> Tensor:
    """Convert pictures to decibels relative to the root mean square of the clip, after a pre-emphasis.

    Background noise and tape noise fall with frequency, and would dominate the mean level. A rise of
    6 dB per octave, and weights of rows by bandwidth, remove this effect. Levels far below the mean,
    and rows that the recording does not reach, end in a soft floor.

    Parameters
    ----------
    grey : Tensor [shape=(n, 1, n_rows, n_frames)], in [0, 1]
    fmax_hz : float, top of the band

    Returns
    -------
    Tensor of the same shape, dB

    Examples
    --------
    >>> whitened(torch.zeros(1, 1, 4, 2)).unique().tolist()
    [-45.0]
    """
    hz = row_centres_hz(grey.shape[2], fmax_hz).to(grey)
    emphasis_db = 20.0 * torch.log10(hz / 1000.0) + 10.0 * torch.log10(1.0 + hz / 700.0)
    above = (grey > 0).to(grey.dtype)
    decibels = grey * RANGE_DB + emphasis_db.view(1, 1, -1, 1)
    power = torch.exp(decibels * (math.log(10.0) / 10.0)) * above
    mean = power.sum((1, 2, 3), keepdim=True) / above.sum((1, 2, 3), keepdim=True).clamp(min=1.0)
    relative = torch.log(power / mean.clamp(min=1e-12) + 10.0 ** (-FLOOR_DB / 10.0))
    return relative * (10.0 / math.log(10.0))


def specs() -> list[TorchSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries

    Examples
    --------
    >>> [spec.info.name for spec in specs()]
    ['pseudorca_small']
    """
    info = BackboneInfo(
        name="pseudorca_small",
        family="pseudorca",
        input_size=_SHIPPED.input_size,
        embedding_size=NetworkConfig().embedding_size * N_MEMBERS,
        licence=_SHIPPED.licence,
        source="pseudorca itself: trained on simulated sound only "
        "(docs/model-cards/pseudorca_small.md)",
        n_parameters=N_PARAMETERS,
        weights=(_SHIPPED,),
        front_end="common",
        front_end_settings=FRONT_END,
        version=VERSION,
    )
    return [
        TorchSpec(
            info=info,
            build=lambda size: SideBySide(NetworkConfig(), N_MEMBERS),
            fetch=_read_shipped,
            has_layers=False,
        )
    ]


def _read_shipped(known: OfficialWeights) -> StateDict:
    path = WEIGHTS
    if not path.is_file():
        raise BackboneError(f"{path} is missing: install pseudorca again.")
    check_hash(path, str(known.sha256), "Install pseudorca again.")
    state: StateDict = load_file(path)
    return state


def _convolution(before: int, after: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """``relu(x + f(x))`` with one convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.norm(self.convolution(features))
        return torch.relu(features + changed)

"""A small network on the waveform itself, to be trained: it comes without any training.

In: a second of samples. Out: an embedding. A bank of filters, learned like all else, takes the place
of the spectrogram: convolution, power, averaged over a few milliseconds, logarithm. A residual
network in one dimension hears how the bands change over time. The filters begin as a bank of
band-passes on the mel scale; everything else begins as random numbers from a fixed seed, so that the
network without training is one and the same everywhere.

It has group normalisation in place of batch normalisation: nothing depends on the other clips of a
batch, so that it is the same network in training and in use.

References
----------
.. [1] Sainath, Weiss, Senior, Wilson and Vinyals 2015, "Learning the speech front-end with raw
   waveform CLDNNs", Interspeech: the filter bank, begun as an auditory one.
.. [2] Dai, Dai, Qu, Li and Das 2017, "Very deep convolutional neural networks for raw waveforms",
   ICASSP: residual convolutions in one dimension, halving time as they go.
.. [3] Zeghidour, Teboul, Quitry and Tagliasacchi 2021, "LEAF: a learnable frontend for audio
   classification", ICLR: Gabor filters on the mel scale to begin with.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudorca.backbones.info import UNTRAINED, BackboneInfo, OfficialWeights, StateDict
from pseudorca.backbones.torch_spec import TorchSpec

RATE: Final = 32_000  # Hz
N_SAMPLES: Final = RATE  # of a window: one second
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 15_000.0
_FLOOR = 1e-4  # of the window's mean power
_SEED = 0

_BEGINNING = OfficialWeights(name=UNTRAINED, url="", licence="Apache-2.0")


@dataclass(frozen=True)
class WaveformConfig:
    """The shape of the network; times in samples at :data:`RATE`."""

    n_filters: int = 64
    kernel: int = 256
    """Taps of a filter: 8 ms."""
    stride: int = 8
    """From output to output of the bank: 0.25 ms."""
    average: int = 20
    """Outputs whose power is averaged: 5 ms."""
    widths: tuple[int, ...] = (64, 96, 128, 192)
    """Channels; time is halved from each to the next."""
    n_blocks: int = 1
    """Residual blocks of each width."""

    @property
    def embedding_size(self) -> int:
        return 2 * self.widths[-1]


class WaveformNetwork(nn.Module):
    """Windows of samples [shape=(n, n_samples)] to embeddings [shape=(n, embedding_size)].

    A window is brought to a mean power of 1 first: gain and distance are no cue. Pooled over time by
    mean and maximum.
    """

    def __init__(self, config: WaveformConfig | None = None) -> None:
        super().__init__()
        self.config = config or WaveformConfig()
        made = self.config
        self.filters = nn.Conv1d(1, made.n_filters, made.kernel, made.stride, bias=False)
        self.norm = nn.GroupNorm(1, made.n_filters)
        blocks: list[nn.Module] = [_convolution(made.n_filters, made.widths[0], stride=1)]
        blocks += [_Residual(made.widths[0]) for _ in range(made.n_blocks)]
        for before, after in pairwise(made.widths):
            blocks.append(_convolution(before, after, stride=2))
            blocks += [_Residual(after) for _ in range(made.n_blocks)]
        self.trunk = nn.Sequential(*blocks)

    def bands(self, windows: Tensor) -> Tensor:
        """Levels of the filters over time [shape=(n, n_filters, n_frames)], natural logarithms."""
        centred = windows - windows.mean(1, keepdim=True)
        loudness = centred.square().mean(1, keepdim=True).clamp(min=1e-12).sqrt()
        heard = self.filters((centred / loudness).unsqueeze(1))
        power = nn.functional.avg_pool1d(heard.square(), self.config.average)
        return torch.log(power + _FLOOR)

    def forward(self, windows: Tensor) -> Tensor:
        maps: Tensor = self.trunk(self.norm(self.bands(windows)))
        return torch.cat([maps.mean(2), maps.amax(2)], 1)


def untrained(config: WaveformConfig | None = None, *, seed: int = _SEED) -> WaveformNetwork:
    """The network as it is before any training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = WaveformNetwork(config)
    n_filters, kernel = network.config.n_filters, network.config.kernel
    with torch.no_grad():
        network.filters.weight.copy_(torch.from_numpy(mel_filters(n_filters, kernel))[:, None])
    return network


def mel_filters(n_filters: int, n_taps: int) -> NDArray[np.float32]:
    """Band-passes with centres evenly spaced on the mel scale, each as wide as the next is far.

    Cosines under a Gaussian, with random phases from a fixed seed, which a filter's power does not
    show; each has a gain of 1 at its centre.

    Returns
    -------
    ndarray [shape=(n_filters, n_taps)], float32
    """
    low, high = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (_LOWEST_HZ, _HIGHEST_HZ))
    hz = 700.0 * (10.0 ** (np.linspace(low, high, n_filters + 2) / 2595.0) - 1.0)
    centre, width = hz[1:-1, None], (hz[2:] - hz[:-2])[:, None] / 2
    time_s = (np.arange(n_taps) - (n_taps - 1) / 2)[None] / RATE
    spread_s = np.minimum(0.265 / width, n_taps / RATE / 5)  # half the power at half the width
    phase = np.random.default_rng(_SEED).uniform(0, 2 * np.pi, (n_filters, 1))
    envelope = np.exp(-0.5 * (time_s / spread_s) ** 2)
    filters = envelope * np.cos(2 * np.pi * centre * time_s + phase)
    return np.asarray(2 * filters / envelope.sum(1, keepdims=True), dtype=np.float32)


def specs() -> list[TorchSpec]:
    """The one entry."""
    info = BackboneInfo(
        name="waveform_small",
        family="pseudorca, on the waveform",
        embedding_size=WaveformConfig().embedding_size,
        licence=_BEGINNING.licence,
        source="pseudorca itself: not trained, to be trained (docs/backbones.md)",
        n_parameters=560_064,
        weights=(_BEGINNING,),
        front_end="samples",
        front_end_settings={
            "sample_rate": RATE, "window_s": N_SAMPLES / RATE, "hop_s": 1.0, "fmax_hz": _HIGHEST_HZ,
        },
    )  # fmt: skip
    local = replace(_BEGINNING, name="local", licence="unknown (local weights file)")
    spec = TorchSpec(
        info=info,
        local=local,
        build=lambda size: WaveformNetwork(),
        fetch=_begin,
        has_layers=False,
        has_head=False,
        window_shape=(N_SAMPLES,),
    )
    return [spec]


def _begin(known: OfficialWeights) -> StateDict:
    state: StateDict = untrained().state_dict()
    return state


def _convolution(before: int, after: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(before, after, 3, stride, 1, bias=False),
        nn.GroupNorm(8, after),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """``relu(x + f(x))`` with two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, stride=1)
        self.second = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.norm(self.second(self.first(features)))
        return torch.relu(features + changed)

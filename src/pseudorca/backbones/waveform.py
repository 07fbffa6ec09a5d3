"""A small network on the waveform, without any training: fine-tuning trains the network.

In: a second of samples. Out: an embedding. A learned bank of filters replaces the spectrogram:
convolution, power, average over a few milliseconds, logarithm. A residual network in one dimension
follows the bands over time. The filters begin as band-passes on the mel scale. All other tensors begin
as random numbers from a fixed seed, so the untrained network is the same everywhere.

The network has group normalisation instead of batch normalisation. An embedding does not depend on the
other clips of a batch, so the network is the same in training and in use.

References
----------
.. [1] Sainath, Weiss, Senior, Wilson and Vinyals 2015, "Learning the speech front-end with raw
   waveform CLDNNs", Interspeech: a filter bank that begins as an auditory filter bank.
.. [2] Dai, Dai, Qu, Li and Das 2017, "Very deep convolutional neural networks for raw waveforms",
   ICASSP: residual convolutions in one dimension that halve time.
.. [3] Zeghidour, Teboul, Quitry and Tagliasacchi 2021, "LEAF: a learnable frontend for audio
   classification", ICLR: initial Gabor filters on the mel scale.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudorca.backbones.info import UNTRAINED, BackboneInfo, OfficialWeights
from pseudorca.backbones.torch_spec import TorchSpec

RATE: Final = 32_000  # Hz
N_SAMPLES: Final = RATE  # samples of a window: one second
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 15_000.0
_FLOOR = 1e-4  # share of the mean power of the window
_SEED = 0

_N_FILTERS = 64
_KERNEL = 256  # taps of a filter: 8 ms
_STRIDE = 8  # samples from output to output of the bank: 0.25 ms
_AVERAGE = 20  # outputs whose power is averaged: 5 ms
_WIDTHS = (64, 96, 128, 192)  # channels; time is halved from each to the next

_BEGINNING = OfficialWeights(name=UNTRAINED, url="", licence="Apache-2.0")


class WaveformNetwork(nn.Module):
    """Windows of samples [shape=(n, n_samples)] -> embeddings [shape=(n, embedding_size)].

    A window is first scaled to a mean power of 1, so gain and distance are no cues. The maps are
    pooled over time by mean and maximum.

    Examples
    --------
    >>> WaveformNetwork()(torch.zeros(1, 4_000)).shape
    torch.Size([1, 384])
    """

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, _N_FILTERS, _KERNEL, _STRIDE, bias=False)
        self.norm = nn.GroupNorm(1, _N_FILTERS)
        first = _WIDTHS[0]
        blocks: list[nn.Module] = [_convolution(_N_FILTERS, first, stride=1), _Residual(first)]
        for before, after in pairwise(_WIDTHS):
            blocks += [_convolution(before, after, stride=2), _Residual(after)]
        self.trunk = nn.Sequential(*blocks)

    def bands(self, windows: Tensor) -> Tensor:
        """Compute the natural logarithm of filter power [shape=(n, n_filters, n_frames)]."""
        centred = windows - windows.mean(1, keepdim=True)
        loudness = centred.square().mean(1, keepdim=True).clamp(min=1e-12).sqrt()
        filtered = self.filters((centred / loudness).unsqueeze(1))
        power = nn.functional.avg_pool1d(filtered.square(), _AVERAGE)
        return torch.log(power + _FLOOR)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows, as the docstring of the class says."""
        maps: Tensor = self.trunk(self.norm(self.bands(windows)))
        return torch.cat([maps.mean(2), maps.amax(2)], 1)


def untrained(*, seed: int = _SEED) -> WaveformNetwork:
    """Build the network before training.

    Parameters
    ----------
    seed : int

    Returns
    -------
    WaveformNetwork

    Examples
    --------
    >>> untrained().filters.weight.shape
    torch.Size([64, 1, 256])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = WaveformNetwork()
    with torch.no_grad():
        network.filters.weight.copy_(torch.from_numpy(mel_filters(_N_FILTERS, _KERNEL))[:, None])
    return network


def mel_filters(n_filters: int, n_taps: int) -> NDArray[np.float32]:
    """Make band-passes with evenly spaced centres on the mel scale. The width is the spacing.

    The filters are cosines under a Gaussian, with a gain of 1 at the centre. The phases are random
    numbers from a fixed seed: the power of a filter does not depend on its phase.

    Parameters
    ----------
    n_filters, n_taps : int

    Returns
    -------
    ndarray [shape=(n_filters, n_taps)], float32

    Examples
    --------
    >>> mel_filters(4, 256).shape
    (4, 256)
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
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries

    Examples
    --------
    >>> [spec.info.name for spec in specs()]
    ['waveform_small']
    """
    info = BackboneInfo(
        name="waveform_small",
        family="pseudorca, on the waveform",
        embedding_size=2 * _WIDTHS[-1],
        licence=_BEGINNING.licence,
        source="pseudorca itself: not trained, to be trained (docs/backbones.md)",
        n_parameters=560_064,
        weights=(_BEGINNING,),
        front_end="samples",
        front_end_settings={
            "sample_rate": RATE, "window_s": N_SAMPLES / RATE, "hop_s": 1.0, "fmax_hz": _HIGHEST_HZ,
        },
    )  # fmt: skip
    return [
        TorchSpec(
            info=info,
            build=lambda size: WaveformNetwork(),
            fetch=lambda known: untrained().state_dict(),
            has_layers=False,
            has_head=False,
            window_shape=(N_SAMPLES,),
        )
    ]


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

"""Front ends of networks that were trained on sound: the exact input of each network.

In: the samples of one clip at its native rate. Out: float32 windows [shape=(n_windows, ...)] of
samples, of log-mel levels or of the output of a feature extractor, as the authors of the network made
them. A clip that is longer than the
window of the network is cut into windows. The last window ends at the end of the clip. A shorter clip
is filled up with silence. The mean of the clip is subtracted first, because recorders have offsets.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from pseudorca.errors import (
    AudioError,
    BackboneError,
    FrontEndError,
    MissingExtraError,
    unknown_name,
)
from pseudorca.frontends.base import resample
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH

Windows = NDArray[np.float32]

EXTRACTORS = ("ASTFeatureExtractor", "Wav2Vec2FeatureExtractor")
"""Kinds of extractors of the library ``transformers`` that turn sound into one array."""

EMPTY_FILTERS = "At least one mel filter has all zero values"
"""A warning of ``transformers`` about the filters of AST."""

_AST_FRAME_S = 0.01
_EXTRACTOR_WINDOW_S = 10.0  # for an extractor that takes any length


def _at_rate(waveform: Samples, sample_rate: int, to_rate: int) -> Samples:
    """Resample one channel and subtract its mean.

    Parameters
    ----------
    waveform : ndarray [shape=(n_samples,)], float32
    sample_rate, to_rate : int, Hz

    Returns
    -------
    ndarray [shape=(n_resampled,)], float32

    Raises
    ------
    AudioError
        If the waveform is not one channel, not finite, or silent.

    Examples
    --------
    >>> _at_rate(np.array([1, 3], dtype=np.float32), 16_000, 16_000).tolist()
    [-1.0, 1.0]
    """
    if waveform.ndim != 1:
        raise AudioError("not one channel", f"got shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise AudioError("not finite", "the waveform holds NaN or infinite samples")
    if not np.ptp(waveform):
        raise AudioError("silent", "every sample of the clip is the same")
    resampled = resample(waveform, sample_rate, to_rate)
    samples: Samples = resampled - resampled.mean(dtype=np.float64).astype(np.float32)
    return samples


def cut_windows(samples: Samples, n_window: int, n_hop: int) -> Windows:
    """Cut samples into windows, as the docstring of the module says.

    Parameters
    ----------
    samples : ndarray [shape=(n_samples,)]
    n_window, n_hop : int, samples

    Returns
    -------
    ndarray [shape=(n_windows, n_window)]
        Every sample is in at least one window. Only a rest of less than a hundredth of a window is
        left out, because resampling may add such a rest.

    Examples
    --------
    >>> cut_windows(np.arange(5, dtype=np.float32), 3, 3).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    if len(samples) <= n_window:
        return np.pad(samples, (0, n_window - len(samples)))[np.newaxis]
    last = len(samples) - n_window
    starts = list(range(0, last + 1, n_hop))
    if last - starts[-1] >= max(1, n_window // 100):
        starts.append(last)
    return np.stack([samples[start : start + n_window] for start in starts])


@dataclass(frozen=True)
class _WindowFrontEnd:
    """What the front ends of this module share: their fields and their settings."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Changes with anything that changes a window."""

    sample_rate: int
    """Hz; every clip is resampled to this rate."""
    window_s: float
    hop_s: float
    fmax_hz: float
    """The highest frequency that the network uses."""

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= self.window_s:
            raise FrontEndError(
                f"windows of {self.window_s:g} s every {self.hop_s:g} s: expected 0 < hop <= window."
            )

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        return {"name": self.name, "version": self.version} | asdict(self)

    def _cut(self, waveform: Samples, sample_rate: int, *, fills_up: bool = True) -> Windows:
        """Cut a clip into windows; without ``fills_up`` a shorter clip is one window as it is."""
        samples = _at_rate(waveform, sample_rate, self.sample_rate)
        n_window, n_hop = (round(s * self.sample_rate) for s in (self.window_s, self.hop_s))
        return cut_windows(samples, n_window if fills_up else min(n_window, len(samples)), n_hop)


@dataclass(frozen=True)
class SamplesFrontEnd(_WindowFrontEnd):
    """Windows of samples, for networks that make their own spectrograms.

    Examples
    --------
    >>> front_end = SamplesFrontEnd(sample_rate=16_000, window_s=1.0, hop_s=1.0, fmax_hz=8_000.0)
    >>> noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    >>> front_end.picture(noise, sample_rate=16_000).shape
    (2, 16000)
    """

    name: ClassVar[str] = "samples"

    peak: float | None = None
    """Each window is centred and scaled to this peak; None: windows are not scaled."""

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Cut a clip [shape=(n_samples,)] into windows [shape=(n_windows, n)], float32."""
        windows = self._cut(waveform, sample_rate)
        if self.peak is not None:
            windows = windows - windows.mean(axis=1, keepdims=True)
            highest = np.abs(windows).max(axis=1, keepdims=True)
            windows = windows * (np.float32(self.peak) / np.maximum(highest, 1e-12))
        return np.asarray(windows, dtype=np.float32)


@dataclass(frozen=True)
class EfficientATFrontEnd(_WindowFrontEnd):
    """Log-mel spectrograms of the training of EfficientAT, of any length up to 10 s.

    Pre-emphasis 0.97; 25 ms windows (symmetric Hann) every 10 ms, centred, in a transform of 1024;
    power in 128 mel bands of Kaldi from 0 to 15 kHz; (ln(x + 1e-5) + 4.5) / 5.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    >>> EfficientATFrontEnd().picture(noise, sample_rate=32_000).shape
    (1, 128, 100)
    """

    name: ClassVar[str] = "efficientat"

    sample_rate: int = 32_000
    window_s: float = 10.0
    hop_s: float = 10.0
    """From window to window of a longer clip. A shorter clip gives one window of its own length."""
    fmax_hz: float = 15_000.0

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Turn a clip [shape=(n_samples,)] into levels [shape=(n_windows, 128, n_frames)], float32."""
        windows = self._cut(waveform, sample_rate, fills_up=False)
        return np.stack([self._levels(window) for window in windows])

    def _levels(self, samples: Samples) -> NDArray[np.float32]:
        n_fft, n_window, n_hop = 1024, 800, 320
        emphasised = samples[1:] - np.float32(0.97) * samples[:-1]
        if len(emphasised) <= n_fft // 2:
            raise AudioError(
                "shorter than one spectrogram frame", f"{len(samples)} of {n_fft // 2 + 2} samples"
            )
        centred = np.pad(emphasised, n_fft // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(centred, n_fft)[::n_hop]
        margin = (n_fft - n_window) // 2
        window = np.pad(_window(n_window, True), margin)
        spectrum = scipy.fft.rfft(frames * window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        filters = _mel_triangles(128, 0.0, self.fmax_hz, n_fft, self.sample_rate)
        levels = (np.log(filters @ power.T + np.float32(1e-5)) + 4.5) / 5
        return np.asarray(levels, dtype=np.float32)


@dataclass(frozen=True)
class VGGishFrontEnd(_WindowFrontEnd):
    """Log-mel patches of 0.96 s of the training of VGGish.

    25 ms windows (Hann) every 10 ms in a transform of 512; magnitude in 64 mel bands from 125 to
    7500 Hz; ln(x + 0.01); patches of 96 frames.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    >>> VGGishFrontEnd().picture(noise, sample_rate=16_000).shape
    (3, 96, 64)
    """

    name: ClassVar[str] = "vggish"

    sample_rate: int = 16_000
    window_s: float = 0.975
    """96 frames of 25 ms, 10 ms apart."""
    hop_s: float = 0.96
    fmax_hz: float = 7_500.0

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Turn a clip [shape=(n_samples,)] into patches [shape=(n_windows, 96, 64)], float32."""
        windows = self._cut(waveform, sample_rate)
        frames = np.lib.stride_tricks.sliding_window_view(windows, 400, axis=1)[:, ::160]
        magnitude = np.abs(scipy.fft.rfft(frames * _window(400, False), 512, axis=2))
        filters = _mel_triangles(64, 125.0, self.fmax_hz, 512, self.sample_rate)
        return np.asarray(np.log(magnitude @ filters.T + np.float32(0.01)), dtype=np.float32)


@dataclass(frozen=True)
class ExtractorFrontEnd(_WindowFrontEnd):
    """Windows through the feature extractor of an audio transformer, which also fills short windows.

    Examples
    --------
    >>> config = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000}
    >>> ExtractorFrontEnd.of(config).sample_rate
    16000
    """

    name: ClassVar[str] = "extractor"

    extractor: Mapping[str, Any]
    """Configuration of the extractor in the library ``transformers``."""

    @classmethod
    def of(cls, extractor: Mapping[str, Any]) -> Self:
        """Make the front end from the configuration of an extractor.

        Parameters
        ----------
        extractor : mapping, the configuration

        Returns
        -------
        ExtractorFrontEnd

        Raises
        ------
        BackboneError
            If the kind of the extractor is not one of :data:`EXTRACTORS`.

        Examples
        --------
        >>> config = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000}
        >>> ExtractorFrontEnd.of(config).window_s
        10.0
        """
        config = json.loads(json.dumps(extractor))
        kind = str(config.get("feature_extractor_type"))
        if kind not in EXTRACTORS:
            raise BackboneError(unknown_name("kind of feature extractor", kind, EXTRACTORS))
        rate = int(config["sampling_rate"])
        n_frames = config.get("max_length")
        window_s = n_frames * _AST_FRAME_S if kind == "ASTFeatureExtractor" else _EXTRACTOR_WINDOW_S
        return cls(rate, window_s, window_s, REACH * rate, config)

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        # Saved descriptions have the extractor first.
        first = {"name": self.name, "version": self.version, "extractor": {}}
        return first | super().settings()

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Turn a clip [shape=(n_samples,)] into an array [shape=(n_windows, ...)], float32."""
        windows = self._cut(waveform, sample_rate, fills_up=False)
        extracted = _extractor(json.dumps(self.extractor, sort_keys=True))(
            list(windows), sampling_rate=self.sample_rate, return_tensors="np"
        )
        return np.asarray(next(iter(extracted.values())), dtype=np.float32)


@lru_cache(maxsize=4)
def _mel_triangles(
    n_mels: int, fmin_hz: float, fmax_hz: float, n_fft: int, sample_rate: int
) -> NDArray[np.float32]:
    """Make filters that are triangles on the mel scale, 1127 ln(1 + f / 700), with a height of 1.

    The filters of :func:`pseudorca.frontends.common.filter_weights` are triangles in Hz. No filter
    uses the bin of 0 Hz.

    Parameters
    ----------
    n_mels : int
    fmin_hz, fmax_hz : float, outer edges of the lowest and highest triangle
    n_fft : int
    sample_rate : int, Hz

    Returns
    -------
    ndarray [shape=(n_mels, n_fft // 2 + 1)], float32

    Examples
    --------
    >>> _mel_triangles(4, 0.0, 4_000.0, 16, 8_000).shape
    (4, 9)
    """

    def mel(hz: Any) -> Any:
        return 1127.0 * np.log1p(np.asarray(hz) / 700.0)

    edges = np.linspace(mel(fmin_hz), mel(fmax_hz), n_mels + 2)
    bins = mel(np.arange(n_fft // 2 + 1) * (sample_rate / n_fft))
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[:, 0] = 0.0
    return np.asarray(filters, dtype=np.float32)


@lru_cache(maxsize=4)
def _window(n: int, is_symmetric: bool) -> NDArray[np.float32]:
    return np.asarray(scipy.signal.get_window("hann", n, fftbins=not is_symmetric), np.float32)


@lru_cache(maxsize=2)
def _extractor(config: str) -> Any:
    if find_spec("transformers") is None:
        raise MissingExtraError("transformers", "transformers")
    import transformers

    values = json.loads(config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EMPTY_FILTERS)
        return getattr(transformers, values["feature_extractor_type"]).from_dict(values)

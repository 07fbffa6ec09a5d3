"""Front ends of networks that were trained on sound: each network's own input, exactly.

In: the samples of one clip at its native rate. Out: float32 windows [shape=(n_windows, ...)] of
samples or of log-mel levels, as the network's authors made them. A clip longer than the network's
window is cut into windows, the last of which ends where the clip does; a shorter one is filled up
with silence. The clip's mean is taken off first: recorders have offsets.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from pseudorca.errors import AudioError, FrontEndError
from pseudorca.frontends.base import resample
from pseudorca.recordings.audio import Samples

Windows = NDArray[np.float32]

_VERSION = 1  # changes with anything that changes a window


def check_windows(window_s: float, hop_s: float) -> None:
    """Complain about windows that cannot be cut."""
    if not 0 < hop_s <= window_s:
        raise FrontEndError(
            f"windows of {window_s:g} s every {hop_s:g} s: expected 0 < hop <= window."
        )


def at_rate(waveform: Samples, sample_rate: int, to_rate: int) -> Samples:
    """Resample one channel [shape=(n_samples,)] and take its mean off.

    Raises
    ------
    AudioError
        If it is not one channel, not finite, or silent.
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
    """Cut samples into windows; see the module.

    Parameters
    ----------
    samples : ndarray [shape=(n_samples,)]
    n_window, n_hop : int, samples

    Returns
    -------
    ndarray [shape=(n_windows, n_window)]
        Every sample is in at least one of them, but for an end of less than a hundredth of a window,
        which is what resampling may add.
    """
    if len(samples) <= n_window:
        return np.pad(samples, (0, n_window - len(samples)))[np.newaxis]
    last = len(samples) - n_window
    starts = list(range(0, last + 1, n_hop))
    if last - starts[-1] >= max(1, n_window // 100):
        starts.append(last)
    return np.stack([samples[start : start + n_window] for start in starts])


@dataclass(frozen=True)
class SamplesFrontEnd:
    """Windows of samples, for networks that make their own spectrograms."""

    name: ClassVar[str] = "samples"

    sample_rate: int
    """Hz; every clip is resampled to it."""
    window_s: float
    hop_s: float
    fmax_hz: float
    """Up to where the network listens."""
    peak: float | None = None
    """Each window is centred and scaled to this peak; None: it stays as loud as it is."""

    def __post_init__(self) -> None:
        check_windows(self.window_s, self.hop_s)

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "version": _VERSION} | asdict(self)

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Cut a clip [shape=(n_samples,)] into windows [shape=(n_windows, n)], float32."""
        samples = at_rate(waveform, sample_rate, self.sample_rate)
        n_window, n_hop = (round(s * self.sample_rate) for s in (self.window_s, self.hop_s))
        windows = cut_windows(samples, n_window, n_hop)
        if self.peak is not None:
            windows = windows - windows.mean(axis=1, keepdims=True)
            highest = np.abs(windows).max(axis=1, keepdims=True)
            windows = windows * (np.float32(self.peak) / np.maximum(highest, 1e-12))
        return np.asarray(windows, dtype=np.float32)


@dataclass(frozen=True)
class EfficientATFrontEnd:
    """Log-mel spectrograms as EfficientAT was trained on them, of any length up to its 10 s.

    Pre-emphasis 0.97; 25 ms windows (symmetric Hann) every 10 ms, centred, in a transform of 1024;
    power in 128 of Kaldi's mel bands from 0 to 15 kHz; (ln(x + 1e-5) + 4.5) / 5.
    """

    name: ClassVar[str] = "efficientat"

    sample_rate: int = 32_000
    window_s: float = 10.0
    hop_s: float = 10.0
    """Between the windows of a clip that is longer than one; a shorter clip is one of its length."""
    fmax_hz: float = 15_000.0

    def __post_init__(self) -> None:
        check_windows(self.window_s, self.hop_s)

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "version": _VERSION} | asdict(self)

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Make of a clip [shape=(n_samples,)] levels [shape=(n_windows, 128, n_frames)], float32."""
        samples = at_rate(waveform, sample_rate, self.sample_rate)
        n_window, n_hop = (round(s * self.sample_rate) for s in (self.window_s, self.hop_s))
        windows = cut_windows(samples, min(n_window, len(samples)), n_hop)
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
        filters = mel_triangles(128, 0.0, self.fmax_hz, n_fft, self.sample_rate)
        levels = (np.log(filters @ power.T + np.float32(1e-5)) + 4.5) / 5
        return np.asarray(levels, dtype=np.float32)


@dataclass(frozen=True)
class VGGishFrontEnd:
    """Log-mel patches of 0.96 s as VGGish was trained on them.

    25 ms windows (Hann) every 10 ms in a transform of 512; magnitude in 64 mel bands from 125 to
    7500 Hz; ln(x + 0.01); patches of 96 frames.
    """

    name: ClassVar[str] = "vggish"

    sample_rate: int = 16_000
    window_s: float = 0.975
    """96 frames of 25 ms, 10 ms apart."""
    hop_s: float = 0.96
    fmax_hz: float = 7_500.0

    def __post_init__(self) -> None:
        check_windows(self.window_s, self.hop_s)

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "version": _VERSION} | asdict(self)

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Make of a clip [shape=(n_samples,)] patches [shape=(n_windows, 96, 64)], float32."""
        samples = at_rate(waveform, sample_rate, self.sample_rate)
        n_window, n_hop = (round(s * self.sample_rate) for s in (self.window_s, self.hop_s))
        windows = cut_windows(samples, n_window, n_hop)
        frames = np.lib.stride_tricks.sliding_window_view(windows, 400, axis=1)[:, ::160]
        magnitude = np.abs(scipy.fft.rfft(frames * _window(400, False), 512, axis=2))
        filters = mel_triangles(64, 125.0, self.fmax_hz, 512, self.sample_rate)
        return np.asarray(np.log(magnitude @ filters.T + np.float32(0.01)), dtype=np.float32)


@lru_cache(maxsize=4)
def mel_triangles(
    n_mels: int, fmin_hz: float, fmax_hz: float, n_fft: int, sample_rate: int
) -> NDArray[np.float32]:
    """Filters that are triangles on the mel scale, 1127 ln(1 + f / 700), with a height of 1.

    Unlike those of :func:`pseudorca.frontends.common.filter_weights`, which are triangles in Hz. The
    bin of 0 Hz counts in none.

    Returns
    -------
    ndarray [shape=(n_mels, n_fft // 2 + 1)], float32
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

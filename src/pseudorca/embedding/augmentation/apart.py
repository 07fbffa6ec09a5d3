"""Separate the signals of a clip from its background.

In: the samples of one clip. Out: the frames without a signal, background sound of any length made from
these frames, and the levels of both parts. An audit uses them to test whether a classifier hears
animals or recorders.

A frame is free of signal if no narrow line (whistles) and no wide band (clicks, burst pulses) exceeds
the clip's own background. A sound that lasts the whole clip at one frequency and one level cannot be
told from background.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import AudioError
from pseudorca.frontends.base import FrontEnd, Picture
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.reach import heard_up_to_hz
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH

N_BANDS = 24
"""Bands of :func:`describe_sound`, evenly spaced on the mel scale."""

_LOWEST_HZ = 100.0
PARTS_VERSION = 1  # a new number for every change to the free frames or to sound made of them


_FRAME_MS = 32.0  # length of a frame; frames overlap by half
_QUIET_SHARE = 0.25  # a frequency's background is this quantile of its power over the clip
_LINE_DB = 8.0  # excess from which three bins by three frames are a signal
_WIDE_DB = 3.0  # excess from which an eighth of the band is a signal
_GUARD_FRAMES = 1  # frames on each side of a signal that are not free
_MIN_FRAMES = 6  # a clip with fewer free frames has no background
_QUIETEST_SHARE = 0.25  # of the frames: background of a clip whose frames all hold a signal


@dataclass(frozen=True)
class SoundParts:
    """A clip, separated into signals and background; see :func:`take_apart`.

    ``spectrum`` [shape=(n_bins, n_frames)], complex. ``mask`` of the same shape, bool: the signals.
    ``is_free`` [shape=(n_frames,)]: frames without a signal. ``is_signal`` [shape=(n_frames,)]: frames
    with a signal. Frames beside a signal are neither. ``bins_hz`` [shape=(n_bins,)].

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> parts = take_apart(noise, sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> parts.spectrum.shape == parts.mask.shape == (len(parts.bins_hz), len(parts.is_free))
    True
    """

    waveform: Samples
    sample_rate: int
    spectrum: NDArray[np.complex128]
    mask: NDArray[np.bool_]
    is_free: NDArray[np.bool_]
    is_signal: NDArray[np.bool_]
    bins_hz: NDArray[np.float64]
    transform: scipy.signal.ShortTimeFFT

    @property
    def has_background(self) -> bool:
        """Whether the clip has free frames."""
        return bool(self.is_free.any())


def heard_band(front_end: FrontEnd, highest_rate: int) -> tuple[float, float]:
    """The band that a front end draws: its own, or the reach of the highest sample rate.

    Parameters
    ----------
    front_end : FrontEnd
    highest_rate : int, Hz

    Returns
    -------
    low, high : float, Hz

    Examples
    --------
    >>> heard_band(CommonFrontEnd(), 500_000)
    (100.0, 15040.0)
    """
    reach, top = REACH * highest_rate, heard_up_to_hz(front_end)
    if isinstance(front_end, CommonFrontEnd) and top is not None:
        return front_end.fmin_hz, top
    return min(_LOWEST_HZ, highest_rate / 100), reach if top is None else min(top, reach)


def take_apart(waveform: Samples, *, sample_rate: int, band_hz: tuple[float, float]) -> SoundParts:
    """Find the frames of a clip without a signal, and the signals in the other frames.

    Power is averaged over three bins and three frames. The background of a bin is a low quantile
    over the clip. A bin that exceeds the background by 8 dB is a signal. An eighth of the band
    (on the mel scale) is a signal if its mean ratio to the background exceeds the low quantile of
    this ratio by 3 dB.

    Parameters
    ----------
    waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
    sample_rate : int, Hz
    band_hz : (float, float), lowest and highest frequency of signals, Hz

    Returns
    -------
    SoundParts

    Raises
    ------
    AudioError
        If the waveform is shorter than four frames, or has no power in the band.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> parts = take_apart(noise, sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> parts.has_background
    True
    """
    samples = np.trim_zeros(waveform, "b")  # padding does not count as background
    n_fft = 2 * max(16, round(_FRAME_MS * 5e-4 * sample_rate))
    if len(samples) < 2.5 * n_fft:
        raise AudioError(
            "too short to find frames without signal", f"{len(samples)} of {5 * n_fft // 2} samples"
        )
    # The square root of Hann in analysis and synthesis: unchanged frames are rebuilt exactly.
    window = np.sqrt(scipy.signal.get_window("hann", n_fft))
    transform = scipy.signal.ShortTimeFFT(window, n_fft // 2, sample_rate, mfft=n_fft)
    spectrum = _stft(transform, samples.astype(np.float64) - samples.mean(dtype=np.float64))
    bins_hz = np.asarray(transform.f)
    top_hz = min(band_hz[1], REACH * sample_rate)
    in_band = (bins_hz >= min(band_hz[0], top_hz / 2)) & (bins_hz <= top_hz)
    power = spectrum.real[in_band] ** 2 + spectrum.imag[in_band] ** 2
    first, last = transform.lower_border_end[1], transform.upper_border_begin(len(samples))[1]
    offset = -transform.p_min
    inside = np.zeros(power.shape[1], dtype=bool)
    inside[first + offset : last + offset] = True
    if not power[:, inside].any():
        raise AudioError("silent", "no power in the band")
    inside &= power.any(axis=0)  # digital silence does not count as background
    smooth = scipy.ndimage.uniform_filter(power, size=3, mode="nearest")
    quiet = np.quantile(smooth[:, inside], _QUIET_SHARE, axis=1, keepdims=True)
    ratio = smooth / np.maximum(quiet, quiet.max() * 1e-12)
    is_above = ratio > 10 ** (_LINE_DB / 10)
    for rows in _eighths(bins_hz[in_band]):
        level = ratio[rows].mean(axis=0)
        excess = level / np.quantile(level[inside], _QUIET_SHARE)
        is_above[rows] |= excess > 10 ** (_WIDE_DB / 10)
    is_signal = is_above.any(axis=0) & inside
    near = scipy.ndimage.binary_dilation(is_signal, iterations=_GUARD_FRAMES)
    is_free = inside & ~near
    if is_free.sum() < _MIN_FRAMES or not _runs(is_free):
        is_free = np.zeros_like(is_free)
    mask = np.zeros(spectrum.shape, dtype=bool)
    mask[in_band] = scipy.ndimage.binary_dilation(is_above, np.ones((3, 3), dtype=bool))
    return SoundParts(samples, sample_rate, spectrum, mask, is_free, is_signal, bins_hz, transform)


def _stft(
    transform: scipy.signal.ShortTimeFFT, samples: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """``transform.stft(samples)`` with all frames at once, which takes a third of the time."""
    n_fft, hop, middle = transform.m_num, transform.hop, transform.m_num_mid
    n_frames = transform.p_max(len(samples)) - transform.p_min
    before = middle - transform.p_min * hop
    padded = np.zeros(max((n_frames - 1) * hop + n_fft, before + len(samples)))
    padded[before : before + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop][:n_frames]
    rolled = np.roll(frames * transform.win, -middle, axis=1)
    return np.ascontiguousarray(scipy.fft.rfft(rolled, axis=1).T)


def with_quietest(parts: SoundParts) -> SoundParts:
    """Mark the frames with the weakest signals as free, if a clip has no free frames.

    A quarter of the frames is marked, each with the frame after it, since a grain needs two frames in a
    row. Digital silence is marked last. A clip with free frames does not change.

    Parameters
    ----------
    parts : SoundParts

    Returns
    -------
    SoundParts, with free frames

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> parts = take_apart(noise, sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> silenced = replace(parts, is_free=np.zeros_like(parts.is_free))
    >>> with_quietest(silenced).has_background
    True
    """
    if parts.has_background:
        return parts
    inside = np.flatnonzero(_between(parts))
    power = np.abs(parts.spectrum[:, inside]) ** 2
    signal = np.where(power.any(axis=0), (power * parts.mask[:, inside]).sum(axis=0), np.inf)
    n_quiet = max(2, round(_QUIETEST_SHARE * len(inside)))
    is_free = np.zeros_like(parts.is_free)
    for k in np.argsort(signal, kind="stable")[:n_quiet]:
        is_free[inside[max(0, min(k, len(inside) - 2)) : k + 2]] = True
    return replace(parts, is_free=is_free)


def background_sound(parts: SoundParts, n_samples: int, *, seed: int) -> Samples:
    """Make background sound of any length from the free frames of a clip.

    Grains of one frame come from random places of the free stretches. The grains overlap by half under
    the square root of a Hann window, so that the power stays the same. The sound has no period, and
    does not show how much background the clip had.

    Parameters
    ----------
    parts : SoundParts with free frames
    n_samples : int
    seed : int

    Returns
    -------
    ndarray [shape=(n_samples,)], float32

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> parts = take_apart(noise, sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> background_sound(parts, 48_000, seed=0).shape
    (48000,)
    """
    rng = np.random.default_rng(seed)
    window, hop = np.asarray(parts.transform.win), parts.transform.hop
    n_fft = len(window)
    starts = []
    for first, last in _runs(parts.is_free):
        centre = (first + parts.transform.p_min) * hop
        begin = centre - n_fft // 2
        starts.append((begin, begin + (last - first) * hop))
    lengths = np.array([stop - start for start, stop in starts], dtype=np.float64)
    n_grains = -(-n_samples // hop) + 1
    run = rng.choice(len(starts), size=n_grains, p=lengths / lengths.sum())
    sound = np.zeros((n_grains + 1) * hop)
    for k, run_of_grain in enumerate(run):
        first, last = starts[run_of_grain]
        begin = int(rng.integers(first, last, endpoint=True))
        sound[k * hop : k * hop + n_fft] += parts.waveform[begin : begin + n_fft] * window
    return sound[hop : hop + n_samples].astype(np.float32)


def describe_sound(parts: SoundParts, band_hz: tuple[float, float]) -> NDArray[np.float32]:
    """Measure the levels of the parts of a clip.

    Parameters
    ----------
    parts : SoundParts
    band_hz : (float, float), Hz

    Returns
    -------
    ndarray [shape=(2 + 3 * N_BANDS,)], float32
        The number of free frames, and their share of all frames. Then, for each of ``N_BANDS`` bands:
        the level of the free frames (dB re full scale), the level of the whole clip (dB re full
        scale), and the excess of frames with signals over free frames (dB). NaN above the reach of
        the recording, and where such frames are missing.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> parts = take_apart(noise, sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> describe_sound(parts, (100.0, 15_000.0)).shape
    (74,)
    """
    edges = band_edges_hz(band_hz)
    power = parts.spectrum.real**2 + parts.spectrum.imag**2
    inside = parts.is_free | parts.is_signal | _between(parts)
    means = [
        power[:, frames].mean(axis=1) if frames.any() else np.full(len(power), np.nan)
        for frames in (parts.is_free, inside, parts.is_signal)
    ]
    scale = 1.0 / np.sum(np.asarray(parts.transform.win) ** 2) / len(parts.transform.win)
    reach = REACH * parts.sample_rate
    levels = np.full((3, N_BANDS), np.nan)
    bin_hz = parts.bins_hz[1] - parts.bins_hz[0]
    for k, (low, high) in enumerate(pairwise(edges)):
        if low >= reach:
            continue
        rows = (parts.bins_hz >= low - bin_hz / 2) & (parts.bins_hz < max(high, low + bin_hz))
        for kind, mean in enumerate(means):
            level = float(mean[rows].mean()) * scale
            levels[kind, k] = 10 * np.log10(max(level, 1e-20)) if np.isfinite(level) else np.nan
    free, whole, signal = levels
    counts = [float(parts.is_free.sum()), float(parts.is_free.mean())]
    return np.concatenate([counts, free, whole, signal - free]).astype(np.float32)


def band_edges_hz(band_hz: tuple[float, float], n_bands: int = N_BANDS) -> NDArray[np.float64]:
    """Edges of bands that are evenly spaced on the mel scale.

    Parameters
    ----------
    band_hz : (float, float), Hz
    n_bands : int

    Returns
    -------
    ndarray [shape=(n_bands + 1,)], Hz

    Examples
    --------
    >>> band_edges_hz((100.0, 15_000.0), 2).round().tolist()
    [100.0, 2844.0, 15000.0]
    """
    low, high = (2595 * np.log10(1 + np.array(band_hz) / 700)).tolist()
    return np.asarray(700 * (10 ** (np.linspace(low, high, n_bands + 1) / 2595) - 1))


@dataclass(frozen=True)
class BackgroundFrontEnd:
    """A front end that draws only the background of a clip, in the length of the clip.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    >>> front_end = BackgroundFrontEnd(CommonFrontEnd(), band_hz=(100.0, 15_040.0))
    >>> front_end.picture(noise, sample_rate=32_000).shape
    (128, 247, 3)
    """

    front_end: FrontEnd
    band_hz: tuple[float, float]
    quietest: bool = False
    """If no frame is free of signal, take the quietest frames; if a clip is too short, take the whole
    clip. Then every clip has a background, but the background may hold the animal."""
    unbroken: bool = False
    """Draw clips without any signal as they are, and no others."""

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz to which clips are resampled; None: clips are not resampled."""
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        background: dict[str, Any] = {
            "version": PARTS_VERSION, "band_hz": list(self.band_hz), "frame_ms": _FRAME_MS,
            "quiet_share": _QUIET_SHARE, "line_db": _LINE_DB, "wide_db": _WIDE_DB,
            "guard_frames": _GUARD_FRAMES, "min_frames": _MIN_FRAMES,
        }  # fmt: skip
        if self.quietest:
            background["quietest"] = _QUIETEST_SHARE
        if self.unbroken:
            background["unbroken"] = True
        return self.front_end.settings() | {"background_only": background}

    def picture(self, waveform: Samples, *, sample_rate: int) -> Picture:
        """Draw the background; AudioError ``no frames without signal`` if there is none."""
        try:
            parts = take_apart(waveform, sample_rate=sample_rate, band_hz=self.band_hz)
        except AudioError:
            if self.quietest:
                return self.front_end.picture(waveform, sample_rate=sample_rate)
            raise
        if self.unbroken:
            if parts.is_signal.any():
                raise AudioError("holds a signal", f"{parts.is_signal.sum()} frames")
            return self.front_end.picture(waveform, sample_rate=sample_rate)
        if self.quietest:
            parts = with_quietest(parts)
        if not parts.has_background:
            raise AudioError("no frames without signal", "every frame holds or touches a signal")
        sound = background_sound(parts, len(waveform), seed=seed_of(waveform))
        return self.front_end.picture(sound, sample_rate=sample_rate)


def seed_of(*waveforms: Samples) -> int:
    """A random seed from the samples, independent of the order of clips.

    Parameters
    ----------
    waveforms : ndarray [shape=(n_samples,)], one or more

    Returns
    -------
    int

    Examples
    --------
    >>> sound = np.zeros(8, dtype=np.float32)
    >>> seed_of(sound) == seed_of(sound.copy())
    True
    """
    digest = xxhash.xxh3_64()
    for waveform in waveforms:
        digest.update(np.ascontiguousarray(waveform).data)
    return int(digest.intdigest())


def _eighths(bins_hz: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Eighths of the band, evenly spaced on the mel scale; eighths without a bin are left out."""
    edges = band_edges_hz((float(bins_hz[0]), float(bins_hz[-1]) + 1e-6), 8)
    rows = [(bins_hz >= a) & (bins_hz < b) for a, b in pairwise(edges)]
    return [row for row in rows if row.any()]


def _runs(is_free: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last frame of every stretch of at least two free frames."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], is_free.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(steps[::2], steps[1::2], strict=True) if b - a > 1]


def _between(parts: SoundParts) -> NDArray[np.bool_]:
    """True for frames that lie completely inside the clip."""
    inside = np.zeros(len(parts.is_free), dtype=bool)
    first = parts.transform.lower_border_end[1] - parts.transform.p_min
    last = parts.transform.upper_border_begin(len(parts.waveform))[1] - parts.transform.p_min
    inside[first:last] = True
    return inside

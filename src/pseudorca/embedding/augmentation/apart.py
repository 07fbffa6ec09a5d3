"""Sound without the animals, and the animals without their sea: taking a clip apart.

In: the samples of one clip. Out: which frames hold no signal, a stretch of sound of any length made
of those frames alone, the spectra of both parts, and the signals of one clip laid over the background
of another. An audit asks with them whether a classifier hears animals or recorders.

A frame counts as free of signal if nothing in it stands out from what the same clip sounds like at
its quietest: no narrow line (whistles), and no wide band (clicks, burst pulses). A sound that lasts
the whole clip at one frequency and one level cannot be told from background.
"""

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
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
PARTS_VERSION = (
    1  # changes with anything that changes which frames are free, or what is made of them
)


@dataclass(frozen=True)
class BackgroundOptions:
    """How frames without signal are found."""

    frame_ms: float = 32.0
    """Length of a frame; frames overlap by half."""
    quiet_share: float = 0.25
    """A frequency's background is this quantile of its power over the clip."""
    line_db: float = 8.0
    """A signal if three bins by three frames have so much more than the background."""
    wide_db: float = 3.0
    """A signal if an eighth of the band has so much more than its background."""
    guard_frames: int = 1
    """Frames either side of a signal that are not free either."""
    min_frames: int = 6
    """Fewer free frames than this are none."""


QUIETEST_SHARE = 0.25
"""Share of a clip's frames that stand for its background where every frame holds a signal."""


@dataclass(frozen=True)
class SoundParts:
    """A clip taken apart.

    ``spectrum`` [shape=(n_bins, n_frames)], complex; ``mask`` of the same shape, bool: where the
    signals are; ``is_free``, ``is_signal`` [shape=(n_frames,)]: frames without any signal, and frames
    with one (those beside a signal are neither); ``bins_hz`` [shape=(n_bins,)].
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
        return bool(self.is_free.any())


def heard_band(front_end: FrontEnd, highest_rate: int) -> tuple[float, float]:
    """The band in Hz that a front end draws: its own, or up to what the highest rate reaches."""
    reach, top = REACH * highest_rate, heard_up_to_hz(front_end)
    if isinstance(front_end, CommonFrontEnd) and top is not None:
        return front_end.fmin_hz, top
    return min(_LOWEST_HZ, highest_rate / 100), reach if top is None else min(top, reach)


def take_apart(
    waveform: Samples,
    *,
    sample_rate: int,
    band_hz: tuple[float, float],
    options: BackgroundOptions | None = None,
) -> SoundParts:
    """Find the frames of a clip that hold no signal, and where the signals are in the others.

    Power is averaged over three bins and three frames. The background of a bin is a low quantile
    over the clip; a bin that exceeds it by ``line_db`` is a signal, and so is an eighth of the band
    (on the mel scale) whose mean ratio to the background exceeds its own low quantile by
    ``wide_db``.

    Parameters
    ----------
    waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
    sample_rate : int, Hz
    band_hz : lowest and highest frequency that count
    options : BackgroundOptions or None

    Returns
    -------
    SoundParts

    Raises
    ------
    AudioError
        If the waveform is shorter than four frames, or has no power in the band.
    """
    options = options or BackgroundOptions()
    samples = np.trim_zeros(waveform, "b")  # what a clip was filled up with is no background
    n_fft = 2 * max(16, round(options.frame_ms * 5e-4 * sample_rate))
    if len(samples) < 2.5 * n_fft:
        raise AudioError(
            "too short to find frames without signal", f"{len(samples)} of {5 * n_fft // 2} samples"
        )
    # The square root of Hann both ways: what is left alone comes back as it was.
    window = np.sqrt(scipy.signal.get_window("hann", n_fft))
    transform = scipy.signal.ShortTimeFFT(window, n_fft // 2, sample_rate, mfft=n_fft)
    spectrum = transform.stft(samples.astype(np.float64) - samples.mean(dtype=np.float64))
    bins_hz = np.asarray(transform.f)
    top_hz = min(band_hz[1], REACH * sample_rate)
    heard = (bins_hz >= min(band_hz[0], top_hz / 2)) & (bins_hz <= top_hz)
    power = spectrum.real[heard] ** 2 + spectrum.imag[heard] ** 2
    first, last = transform.lower_border_end[1], transform.upper_border_begin(len(samples))[1]
    offset = -transform.p_min
    inside = np.zeros(power.shape[1], dtype=bool)
    inside[first + offset : last + offset] = True
    if not power[:, inside].any():
        raise AudioError("silent", "no power in the band")
    inside &= power.any(axis=0)  # digital silence is no background
    smooth = scipy.ndimage.uniform_filter(power, size=3, mode="nearest")
    quiet = np.quantile(smooth[:, inside], options.quiet_share, axis=1, keepdims=True)
    ratio = smooth / np.maximum(quiet, quiet.max() * 1e-12)
    found = ratio > 10 ** (options.line_db / 10)
    for rows in _eighths(bins_hz[heard]):
        level = ratio[rows].mean(axis=0)
        excess = level / np.quantile(level[inside], options.quiet_share)
        found[rows] |= excess > 10 ** (options.wide_db / 10)
    is_signal = found.any(axis=0) & inside
    near = scipy.ndimage.binary_dilation(is_signal, iterations=options.guard_frames)
    is_free = inside & ~near
    if is_free.sum() < options.min_frames or not _runs(is_free):
        is_free = np.zeros_like(is_free)
    mask = np.zeros(spectrum.shape, dtype=bool)
    mask[heard] = scipy.ndimage.binary_dilation(found, np.ones((3, 3), dtype=bool))
    return SoundParts(samples, sample_rate, spectrum, mask, is_free, is_signal, bins_hz, transform)


def with_quietest(parts: SoundParts) -> SoundParts:
    """Take the quietest frames for free where none is: those whose signals have the least power.

    A quarter of the frames, with the one after each, since a grain needs two that follow each other;
    digital silence comes last. Clips that have free frames stay as they are.
    """
    if parts.has_background:
        return parts
    inside = np.flatnonzero(_between(parts))
    power = np.abs(parts.spectrum[:, inside]) ** 2
    signal = np.where(power.any(axis=0), (power * parts.mask[:, inside]).sum(axis=0), np.inf)
    n_quiet = max(2, round(QUIETEST_SHARE * len(inside)))
    is_free = np.zeros_like(parts.is_free)
    for k in np.argsort(signal, kind="stable")[:n_quiet]:
        is_free[inside[max(0, min(k, len(inside) - 2)) : k + 2]] = True
    return replace(parts, is_free=is_free)


def background_sound(parts: SoundParts, n_samples: int, *, seed: int) -> Samples:
    """Make sound of the free frames of a clip alone, as long as wanted.

    Grains of one frame, from random places of the free stretches, laid over one another by half under
    the square root of a Hann window, so that their powers add up to what they were. Nothing repeats
    with a period, and how much background there was does not show.

    Parameters
    ----------
    parts : SoundParts with free frames
    n_samples : int
    seed : int

    Returns
    -------
    ndarray [shape=(n_samples,)], float32
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
    made = np.zeros((n_grains + 1) * hop)
    for k, which in enumerate(run):
        first, last = starts[which]
        begin = int(rng.integers(first, last, endpoint=True))
        made[k * hop : k * hop + n_fft] += parts.waveform[begin : begin + n_fft] * window
    return made[hop : hop + n_samples].astype(np.float32)


def describe_sound(parts: SoundParts, band_hz: tuple[float, float]) -> NDArray[np.float32]:
    """Say in numbers what the parts of a clip sound like.

    Returns
    -------
    ndarray [shape=(2 + 3 * N_BANDS,)], float32
        Number of free frames; their share of all frames; then in ``N_BANDS`` bands the level of the
        free frames and of the whole clip in dB re full scale, and by how many dB frames with signals
        exceed free ones. NaN where the recording does not reach, or there are no such frames.
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
    """Edges in Hz [shape=(n_bands + 1,)] of bands evenly spaced on the mel scale."""
    low, high = (2595 * np.log10(1 + np.array(band_hz) / 700)).tolist()
    return np.asarray(700 * (10 ** (np.linspace(low, high, n_bands + 1) / 2595) - 1))


@dataclass(frozen=True)
class BackgroundFrontEnd:
    """A front end that draws a clip's background alone, as long as the clip."""

    front_end: FrontEnd
    band_hz: tuple[float, float]
    options: BackgroundOptions = BackgroundOptions()
    quietest: bool = False
    """Where no frame is free of signal, take the quietest, and where a clip is too short to tell, all
    of it: then every clip has a background, though the animal may be in it."""

    @property
    def sample_rate(self) -> int | None:
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        about = {"version": PARTS_VERSION, "band_hz": list(self.band_hz)} | asdict(self.options)
        if self.quietest:
            about["quietest"] = QUIETEST_SHARE
        return self.front_end.settings() | {"background_only": about}

    def picture(self, waveform: Samples, *, sample_rate: int) -> Picture:
        """Draw the background; AudioError ``no frames without signal`` if there is none."""
        try:
            parts = take_apart(
                waveform, sample_rate=sample_rate, band_hz=self.band_hz, options=self.options
            )
        except AudioError:
            if self.quietest:
                return self.front_end.picture(waveform, sample_rate=sample_rate)
            raise
        if self.quietest:
            parts = with_quietest(parts)
        if not parts.has_background:
            raise AudioError("no frames without signal", "every frame holds or touches a signal")
        sound = background_sound(parts, len(waveform), seed=seed_of(waveform))
        return self.front_end.picture(sound, sample_rate=sample_rate)


def seed_of(*waveforms: Samples) -> int:
    """A seed that comes from the sound itself, whatever the order of the clips."""
    digest = xxhash.xxh3_64()
    for waveform in waveforms:
        digest.update(np.ascontiguousarray(waveform).data)
    return int(digest.intdigest())


def _eighths(bins_hz: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Eighths of the band, evenly spaced on the mel scale; those without a bin left out."""
    edges = band_edges_hz((float(bins_hz[0]), float(bins_hz[-1]) + 1e-6), 8)
    rows = [(bins_hz >= a) & (bins_hz < b) for a, b in pairwise(edges)]
    return [row for row in rows if row.any()]


def _runs(is_free: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last frame of every stretch of at least two free frames."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], is_free.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(steps[::2], steps[1::2], strict=True) if b - a > 1]


def _between(parts: SoundParts) -> NDArray[np.bool_]:
    """Whole frames, at the edge of none."""
    inside = np.zeros(len(parts.is_free), dtype=bool)
    first = parts.transform.lower_border_end[1] - parts.transform.p_min
    last = parts.transform.upper_border_begin(len(parts.waveform))[1] - parts.transform.p_min
    inside[first:last] = True
    return inside

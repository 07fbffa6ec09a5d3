"""Plots of sound: waveform, spectrum and spectrogram, each on axes with units.

Levels are decibels relative to full scale unless a plot says otherwise. A channel has one colour in
all three. Long stretches are reduced to what can be seen (envelopes, pooled bins) before drawing.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.signal
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from pseudorca.pages.plots import GREY, INK, SMALL_PT, shown, style

N_COLOURS = 255
"""One below a byte: the last value of a palette is for what a recording does not reach."""

_TICKS_HZ = np.array([1, 2, 5]) * 10.0 ** np.arange(0, 6)[:, None]
_FLOOR = 1e-20  # of power: digital silence, -200 dB
_SPAN_DB = 110.0  # below the highest level, what a spectrum shows


class Levels(NamedTuple):
    """A spectrogram: decibels [shape=(n_rows, n_frames)], the lowest frequency first.

    ``rows_hz`` [shape=(n_rows,)] are the rows' centres; ``frames_s`` [shape=(n_frames,)] the frames'
    centres. Rows from ``n_reached`` on lie above what the recording holds.

    Examples
    --------
    >>> levels = Levels(np.zeros((2, 3)), np.array([50.0, 150.0]), np.arange(3.0), n_reached=2)
    >>> levels.db.shape
    (2, 3)
    """

    db: NDArray[np.floating]
    rows_hz: NDArray[np.float64]
    frames_s: NDArray[np.float64]
    n_reached: int


def waveforms(
    ax: Axes, samples: ArrayLike, *, sample_rate: int, colours: Sequence[str], start_s: float = 0.0
) -> Axes:
    """Draw channels over time, one below the other, each at the same scale.

    Parameters
    ----------
    ax : Axes
    samples : array [shape=(n_channels, n_samples)], full scale = 1
    sample_rate : int, Hz
    colours : sequence of str, one per channel
    start_s : float, time of the first sample

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = waveforms(
    ...     Figure().add_subplot(), np.zeros((1, 80)), sample_rate=8, colours=[INK], start_s=5.0
    ... )
    >>> [float(edge) for edge in ax.get_xlim()]
    [5.0, 15.0]
    """
    table = np.asarray(samples)
    peak = max(float(np.abs(table).max(initial=0.0)), 1e-9)
    for k, channel in enumerate(table):
        times, low, high = _envelope(channel, 700)
        seconds = start_s + times / sample_rate
        ax.fill_between(seconds, low - 2.1 * peak * k, high - 2.1 * peak * k,
                        color=colours[k], linewidth=0.5)  # fmt: skip
    names = [f"channel {k + 1}" for k in range(len(table))] if len(table) > 1 else [""]
    style(ax, x="time (s)", y="amplitude (re full scale)" if len(table) == 1 else "", grid="x")
    if len(table) > 1:
        ax.set_yticks([-2.1 * peak * k for k in range(len(table))], names, fontsize=SMALL_PT)
        for k, label in enumerate(ax.get_yticklabels()):
            label.set_color(colours[k])
        # With channels on top of each other an axis cannot hold numbers: a bar shows the scale.
        ax.set_title(f"largest sample: {peak:.2g} of full scale", fontsize=SMALL_PT, color=INK,
                     loc="right", pad=4)  # fmt: skip
    ax.set_xlim(start_s, start_s + table.shape[1] / sample_rate)
    ax.set_ylim(-2.1 * peak * (len(table) - 1) - 1.1 * peak, 1.1 * peak)
    return ax


def spectra(ax: Axes, samples: ArrayLike, *, sample_rate: int, colours: Sequence[str]) -> Axes:
    """Draw the magnitude spectrum of every channel over one axis of frequency.

    See :func:`magnitude_spectrum`.

    Parameters
    ----------
    ax : Axes
    samples : array [shape=(n_channels, n_samples)], full scale = 1
    sample_rate : int, Hz
    colours : sequence of str, one per channel

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> noise = np.random.default_rng(0).standard_normal((1, 800))
    >>> spectra(Figure().add_subplot(), noise, sample_rate=8_000, colours=[INK]).get_xlabel()
    'frequency (kHz)'
    """
    highest, lowest = -np.inf, np.inf
    for k, channel in enumerate(np.asarray(samples)):
        khz, level_db = magnitude_spectrum(channel, sample_rate=sample_rate)
        highest, lowest = max(highest, level_db.max()), min(lowest, level_db.min())
        ax.plot(khz, level_db, color=colours[k], linewidth=1.3, alpha=0.9)
    style(ax, x="frequency (kHz)", y="magnitude (dB re full scale)", grid="both")
    ax.set_ylim(max(lowest, highest - _SPAN_DB) - 4, highest + 4)
    ax.set_xscale("log")
    top = sample_rate / 2000
    ax.set_xlim(max(0.02, top / 4000), top)
    ticks = [f / 1000 for f in _TICKS_HZ.ravel() if ax.get_xlim()[0] <= f / 1000 <= top]
    if len(ticks) > 11:
        ticks = [tick for tick in ticks if f"{tick:.6f}".strip("0.")[:1] == "1"]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=SMALL_PT)
    ax.minorticks_off()
    return ax


def spectrogram(
    ax: Axes,
    levels: Levels,
    *,
    low: float,
    high: float,
    title: str = "",
    title_colour: str = INK,
    start_s: float = 0.0,
) -> AxesImage:
    """Draw a spectrogram with its axes; rows that the recording does not reach are grey.

    Rows keep the spacing they have (on a mel scale they are not equally many hertz apart).

    Parameters
    ----------
    ax : Axes
    levels : Levels
    low, high : float
        The levels at either end of the colour map
    title, title_colour : str
    start_s : float, time of the first sample

    Returns
    -------
    AxesImage, whose ``axes`` are ``ax``: what a colour bar needs

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> levels = Levels(np.zeros((2, 3)), np.array([50.0, 150.0]), np.arange(3.0), n_reached=2)
    >>> image = spectrogram(Figure().add_subplot(), levels, low=-80, high=0)
    >>> image.axes.get_ylabel()
    'frequency (kHz)'
    """
    palette = colormaps["viridis"].resampled(N_COLOURS).with_extremes(bad=GREY)
    visible = np.ma.masked_array(levels.db, np.zeros(levels.db.shape, dtype=bool))
    visible[levels.n_reached :] = np.ma.masked
    n_rows, n_frames = levels.db.shape
    hop = levels.frames_s[1] - levels.frames_s[0] if n_frames > 1 else 2 * levels.frames_s[0]
    image = ax.imshow(
        visible, cmap=palette, vmin=low, vmax=high, origin="lower", aspect="auto",
        interpolation="none",
        extent=(start_s + levels.frames_s[0] - hop / 2, start_s + levels.frames_s[-1] + hop / 2,
                -0.5, n_rows - 0.5),
    )  # fmt: skip
    style(ax, x="time (s)", y="frequency (kHz)")
    if title:
        ax.set_title(shown(title, 64), fontsize=SMALL_PT, color=title_colour, loc="left", pad=4)
    hertz = frequency_ticks(levels.rows_hz)
    rows = np.interp(hertz, levels.rows_hz, np.arange(n_rows))
    ax.set_yticks(rows, [f"{f / 1000:g}" for f in hertz], fontsize=SMALL_PT)
    return image


def frequency_ticks(rows_hz: NDArray[np.float64], *, most: int = 6) -> list[float]:
    """Choose round frequencies that are spread over the rows of a spectrogram.

    Parameters
    ----------
    rows_hz : ndarray [shape=(n_rows,)], the rows' centres, rising
    most : int, about how many are wanted at most

    Returns
    -------
    list of float, hertz

    Examples
    --------
    >>> frequency_ticks(np.linspace(0, 4_000, 100))
    [0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    """
    position = np.linspace(0, 1, len(rows_hz))
    low, high = float(rows_hz[0]), float(rows_hz[-1])
    if len(rows_hz) > 2 and abs(np.interp((low + high) / 2, rows_hz, position) - 0.5) < 0.05:
        step = next(s for s in _TICKS_HZ.ravel() if (high - low) / s <= most)
        return [float(f) for f in np.arange(0, high * 1.0001, step) if f >= low - step / 10]
    chosen: list[float] = []
    last = -1.0
    for hertz in _TICKS_HZ.ravel():
        if (
            low <= hertz <= high
            and (at := float(np.interp(hertz, rows_hz, position))) - last > 0.8 / most
        ):
            chosen.append(float(hertz))
            last = at
    return chosen


def magnitude_spectrum(
    samples: ArrayLike, *, sample_rate: int, n_bands: int = 180
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the magnitude of the Fourier transform: the largest in each of many bands.

    20 log10 (2 |sum_n w[n] x[n] exp(-2 pi i f n)| / sum w), with the Hann window w, so that a sine of
    full scale reads 0 dB. The bands are equally wide on a logarithmic axis. The largest value of
    each band is what a line through all bins would show.

    Parameters
    ----------
    samples : array [shape=(n_samples,)], full scale = 1
    sample_rate : int, Hz
    n_bands : int

    Returns
    -------
    khz, level_db : ndarray [shape=(<= n_bands,)]
        The bin with the largest magnitude of each band that holds a bin, and that magnitude

    Examples
    --------
    >>> sine = np.sin(2 * np.pi * 1_000 * np.arange(8_000) / 8_000)
    >>> khz, level_db = magnitude_spectrum(sine, sample_rate=8_000)
    >>> round(float(level_db.max()), 1)
    0.0
    """
    waveform = np.asarray(samples, dtype=np.float64)
    window = scipy.signal.get_window("hann", len(waveform))
    spectrum = scipy.fft.rfft((waveform - waveform.mean()) * window)
    power = (2 * np.abs(spectrum) / window.sum()) ** 2
    hertz = np.arange(len(power)) * (sample_rate / len(waveform))
    lowest = max(20.0, sample_rate / 8000, hertz[1])
    edges = np.searchsorted(hertz, np.geomspace(lowest, sample_rate / 2, n_bands + 1))
    edges[-1] = len(power)
    largest = [
        first + int(power[first:end].argmax()) for first, end in pairwise(edges) if end > first
    ]
    return hertz[largest] / 1000, 10 * np.log10(np.maximum(power[largest], _FLOOR))


def native_levels(samples: ArrayLike, *, sample_rate: int, as_in_study: bool = False) -> Levels:
    """Compute a spectrogram at a recording's own rate, reduced to what a page can show.

    Hann windows of about 16 ms (256 samples at least) that overlap by three quarters; or as the
    study: ``scipy.signal.spectrogram`` with its defaults (Tukey 0.25, 256 samples, overlap 32).

    Parameters
    ----------
    samples : array [shape=(n_samples,)], full scale = 1
    sample_rate : int, Hz
    as_in_study : bool

    Returns
    -------
    Levels, decibels re full scale

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(8_000)
    >>> native_levels(noise, sample_rate=8_000).n_reached > 0
    True
    """
    waveform = np.asarray(samples, dtype=np.float64)
    n = 1 << round(np.log2(max(256, sample_rate * 0.016)))
    n = min(n, max(32, len(waveform) // 4))
    hop, window = n // 4, scipy.signal.get_window("hann", n)
    if as_in_study:
        n, hop, window = 256, 224, scipy.signal.get_window(("tukey", 0.25), 256)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, n)[::hop]
    spectrum = scipy.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window, axis=1)
    power = (2 * np.abs(spectrum) / window.sum()) ** 2
    frames_s = (np.arange(len(power)) * hop + n / 2) / sample_rate
    power, frames_s = _pooled(power, frames_s, 480)
    turned, rows_hz = _pooled(power.T, np.arange(n // 2 + 1) * (sample_rate / n), 200)
    return Levels(10 * np.log10(np.maximum(turned, _FLOOR)), rows_hz, frames_s, len(rows_hz))


def _pooled(
    power: NDArray[np.float64], centres: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average neighbouring rows until at most ``most`` are left; a last, partial group is dropped."""
    size = -(-len(power) // most)
    n = len(power) // size
    if size == 1:
        return power, centres
    pooled = power[: n * size].reshape(n, size, -1).mean(axis=1)
    return pooled, centres[: n * size].reshape(n, size).mean(axis=1)


def _envelope(
    samples: NDArray[np.floating], most: int
) -> tuple[NDArray[np.float64], NDArray[np.floating], NDArray[np.floating]]:
    """Lowest and highest sample of each of at most ``most`` stretches, and their middles."""
    edges = np.linspace(0, len(samples), min(most, len(samples)) + 1).astype(np.intp)
    low = np.minimum.reduceat(samples, edges[:-1])
    high = np.maximum.reduceat(samples, edges[:-1])
    return (edges[:-1] + edges[1:]) / 2, low, high

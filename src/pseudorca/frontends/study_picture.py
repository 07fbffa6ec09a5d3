"""The picture that the networks of the original study received, computed instead of plotted.

The study drew each clip with Matplotlib: ``scipy.signal.spectrogram`` with its defaults, natural
log, ``pcolormesh`` in viridis on a figure of 12 x 8 inches, saved at 100 dpi without ticks. Here a
waveform goes in and the same pixels come out, without a figure. The rules of Matplotlib's renderer
Agg for cell borders, colours and the frame are few. A comment states each rule beside its lines.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import get_window

from pseudorca.errors import AudioError, FrontEndError, unknown_name
from pseudorca.values import plural

SEGMENT, HOP = 256, 224  # samples: SciPy's default frame, and an overlap of an eighth of it
N_FREQUENCIES = SEGMENT // 2 + 1
BLOCK = 256  # frames transformed at once: 2 MB of work space, however long the file

N_COLOURS = 256
SILENT = -1  # the last entry of the table of colours: for cells without power

N_ROWS, N_COLUMNS = 616, 930  # pixels of the axes: 77 % of 800 and 77.5 % of 1200
FAINT = 14  # Agg's cover (of 255) beside the frame's line: 0.8 pt are a pixel and 1/18 either side


class _Layout(NamedTuple):
    """The saved figure, and the axes' top left corner in it, in pixels."""

    height: int
    width: int
    top: int
    left: int


LAYOUTS = {"tight": _Layout(636, 950, 10, 10), "wide": _Layout(800, 1200, 96, 150)}


@dataclass(frozen=True)
class StudyFrontEnd:
    """Render a clip at its native rate as the study did: log power, min-max, viridis.

    Parameters
    ----------
    layout : {"tight", "wide"}
        ``"tight"``: the figure cropped around its axes (950 x 636 pixels, the size in the text of
        the study). ``"wide"``: the whole figure with margins (1200 x 800, the listing of the study).
    frame : bool
        False: no margin and no frame, one pixel per cell, and ``layout`` has no effect.
    log_offset : float, full scale squared per Hz
        Added to the power before the log; 0 in the study.

    Raises
    ------
    FrontEndError
        If the layout is unknown, or the offset is negative or not finite.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(48_000) / 10
    >>> StudyFrontEnd(layout="wide").picture(noise, sample_rate=96_000).shape
    (800, 1200, 3)
    """

    layout: Literal["tight", "wide"] = "tight"
    frame: bool = True
    log_offset: float = 0.0

    name: ClassVar[str] = "study"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise FrontEndError(unknown_name("layout", self.layout, LAYOUTS))
        if not 0 <= self.log_offset < np.inf:
            raise FrontEndError(
                f"log_offset is {self.log_offset}, expected a finite number not below 0: "
                "give 0 for the study's picture."
            )

    @property
    def sample_rate(self) -> None:
        """None: clips are not resampled."""
        return None

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        return {"name": self.name, **asdict(self)}

    def picture(self, waveform: NDArray[Any], *, sample_rate: float) -> NDArray[np.uint8]:
        """Render a waveform as an RGB picture, the highest frequency in the top row.

        colour = viridis[floor(256 (log p - min log p) / (max log p - min log p))], with the limits
        taken over all cells of power p > 0. Cells of p = 0 (digital silence) are white, because
        Matplotlib masks -inf. Equal power everywhere gives the first colour of viridis.

        The study read 16-bit integers. This function takes the same samples divided by 32768. The
        power of the study is 2**30 times as large. The min-max scaling removes this factor without
        rounding and with the same zeros. With a ``log_offset`` above 0 the scale matters.

        Parameters
        ----------
        waveform : array [shape=(n_samples,)], in [-1, 1]
            The mean of the channels.
        sample_rate : float, Hz

        Returns
        -------
        array [shape=(height, width, 3)], uint8
            (636, 950, 3) or (800, 1200, 3); without the frame (129, n_segments, 3). With the frame,
            256 to 479 samples give empty white axes: Matplotlib gives a single column no width.

        Raises
        ------
        AudioError
            If the waveform is shorter than one frame of 256 samples, not finite, or silent.

        Examples
        --------
        >>> noise = np.random.default_rng(0).normal(size=192_000).astype(np.float32)
        >>> StudyFrontEnd().picture(noise, sample_rate=192_000).shape
        (636, 950, 3)
        """
        layout, n_segments = LAYOUTS[self.layout], _n_segments(waveform)
        # The segment of each column of pixels. A long clip has more segments than columns.
        shown = (
            _segment_of_pixel(n_segments, sample_rate, layout.left)
            if self.frame
            else np.arange(n_segments)
        )
        power, low, high = _shown_power(waveform, sample_rate, shown, self.log_offset)
        colours = _colours().take(_colour_index(power, low, high).T[::-1], axis=0)
        return _framed(colours, layout) if self.frame else colours


def _n_segments(waveform: NDArray[Any]) -> int:
    """Check the waveform, and count the frames."""
    if waveform.ndim != 1:
        raise AudioError("not one channel", f"shape {waveform.shape}, expected (n_samples,)")
    if len(waveform) < SEGMENT:
        detail = f"{plural(len(waveform), 'sample')}, expected at least {SEGMENT}"
        raise AudioError("shorter than one spectrogram frame", detail)
    if not np.isfinite(waveform).all():
        n_bad = np.count_nonzero(~np.isfinite(waveform))
        raise AudioError("not finite", f"{n_bad} of {len(waveform)} samples are NaN or infinite")
    return (len(waveform) - SEGMENT) // HOP + 1


@cache
def _window() -> NDArray[np.float64]:
    """SciPy's window, scaled so that a bin squared is the density at a rate of 1 Hz."""
    window = np.asarray(get_window(("tukey", 0.25), SEGMENT), np.float64)
    window *= np.sqrt(2 / np.square(window).sum())
    return window


def _power_blocks(
    waveform: NDArray[Any], sample_rate: float
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (first segment, power [shape=(n, 129)]), as ``scipy.signal.spectrogram`` has it.

    p[t, f] = c |sum_n w[n] (x[n + 224 t] - mean_t) exp(-2 pi i f n / 256)|^2, with the Tukey window
    w of taper 0.25 and c = 2 / (sample_rate sum w^2), half of that at 0 Hz and Nyquist.

    Computed in float64, because the quietest cell of a clip sets the colours of all other cells. The
    rounding of float32, some 140 dB below the loudest bin of a frame, would change this cell.
    """
    window = _window() / np.sqrt(sample_rate)
    averaging = np.full(SEGMENT, 1 / SEGMENT)
    segments = np.lib.stride_tricks.sliding_window_view(waveform, SEGMENT)[::HOP]
    for first in range(0, len(segments), BLOCK):
        block = segments[first : first + BLOCK].astype(np.float64)
        block -= (block @ averaging)[:, np.newaxis]
        block *= window
        parts = np.fft.rfft(block, axis=1).view(np.float64)
        parts *= parts
        power = parts[:, ::2] + parts[:, 1::2]
        power[:, :: SEGMENT // 2] /= 2  # 0 Hz and Nyquist have no negative frequency
        yield first, power


def _shown_power(
    waveform: NDArray[Any], sample_rate: float, shown: NDArray[np.intp], log_offset: float
) -> tuple[NDArray[np.float64], float, float]:
    """Power of the shown segments [shape=(n_shown, 129)], and limits of all power above 0."""
    power = np.empty((len(shown), N_FREQUENCIES))
    low, high, n_done = np.inf, 0.0, 0
    for first, block in _power_blocks(waveform, sample_rate):
        if log_offset:
            block += log_offset
        least = block.min()
        if least == 0:
            least = block.min(where=block > 0, initial=np.inf)
        low, high = min(low, least), max(high, block.max())
        end = int(np.searchsorted(shown, first + len(block)))
        block.take(shown[n_done:end] - first, axis=0, out=power[n_done:end], mode="clip")
        n_done = end
    if high == 0:
        raise AudioError("silent", f"no frame of {SEGMENT} samples has any power")
    return power, low, high


def _colour_index(power: NDArray[np.float64], low: float, high: float) -> NDArray[np.intp]:
    """Entries of :func:`_colours`; overwrites ``power``."""
    with np.errstate(divide="ignore"):
        level = np.log(power, out=power)
    least, greatest = np.log(low), np.log(high)
    level -= least
    if greatest > least:
        level *= N_COLOURS / (greatest - least)
    np.maximum(level, SILENT, out=level)
    return level.astype(np.intp)


@cache
def _colours() -> NDArray[np.uint8]:
    """Viridis in Agg's bytes, its last colour again for the maximum, white [shape=(258, 3)]."""
    import matplotlib

    viridis = matplotlib.colormaps["viridis"](np.arange(N_COLOURS))[:, :3]
    table = np.vstack([viridis, viridis[-1:], np.ones((1, 3))])
    return np.asarray(np.floor(table * 255 + 0.5), np.uint8)


def _segment_of_pixel(n_segments: int, sample_rate: float, left: int) -> NDArray[np.intp]:
    """The segment that each column of pixels shows; empty if there is only one segment.

    Agg snaps the borders of a mesh to whole pixels, ``floor(x + 0.5)``, without smoothing. A pixel
    shows the cell over its centre, and no cell overwrites another. Borders often fall on a centre (if
    4 divides the number of segments), and rounding then decides. The arithmetic of the transforms of
    Matplotlib is therefore repeated to the last bit.
    """
    if n_segments == 1:
        return np.empty(0, dtype=np.intp)
    times = (SEGMENT / 2 + HOP * np.arange(n_segments)) / sample_rate
    half = np.diff(times) * 0.5
    edges = np.hstack((times[0] - half[0], times[:-1] + half, times[-1] + half[-1]))
    scale = 1 / (edges[-1] - edges[0])
    to_unit = np.array([[scale, 0, -edges[0] * scale], [0, 1, 0], [0, 0, 1]])
    to_pixels = np.array([[N_COLUMNS, 0, left], [0, 1, 0], [0, 0, 1.0]])
    stretch, _, shift = np.dot(to_pixels, to_unit)[0]
    borders = np.floor(edges * stretch + shift + 0.5)
    return np.searchsorted(borders, left + np.arange(N_COLUMNS), side="right") - 1


def _framed(colours: NDArray[np.uint8], layout: _Layout) -> NDArray[np.uint8]:
    """Stretch rows of cells [shape=(129, 930 or 0, 3)] over the axes of the saved figure."""
    canvas, top, left = _canvas(layout), layout.top, layout.left
    if colours.size == 0:
        return canvas.copy()
    # The frame's lines hide the axes' first row and column, and shade the pixels beside them.
    rows = np.repeat(canvas[np.newaxis, top + N_ROWS // 2], N_FREQUENCIES, axis=0)
    inside = rows[:, left + 1 : left + N_COLUMNS]
    inside[...] = colours[:, 1:]
    inside[:, [0, -1]] = _under_line(inside[:, [0, -1]], FAINT)
    # As for columns, but no border of the 129 cells falls on the centre of one of the 616 pixels.
    row_of_pixel = (2 * np.arange(1, N_ROWS) + 1) * N_FREQUENCIES // (2 * N_ROWS)
    picture = np.empty_like(canvas)
    picture[: top + 1], picture[top + N_ROWS :] = canvas[: top + 1], canvas[top + N_ROWS :]
    rows.take(row_of_pixel, axis=0, out=picture[top + 1 : top + N_ROWS], mode="clip")
    for row in (top + 1, top + N_ROWS - 1):
        beside = picture[row, left - 1 : left + N_COLUMNS + 2]
        beside[...] = _under_line(beside, np.rint(_line(N_COLUMNS) * (FAINT / 255)))
    return picture


def _line(length: int) -> NDArray[np.float64]:
    """Agg's cover along a line of the frame: snapped to pixels, with projecting ends."""
    cover = np.full((length + 3, 1), 255.0)
    cover[[0, -1]] = FAINT
    return cover


def _under_line(colour: NDArray[np.uint8], cover: Any) -> NDArray[np.uint8]:
    """Draw black over opaque pixels, in the integers of Agg's ``fixed_blender_rgba_plain``."""
    return np.asarray(colour * 255.0 * (256 - cover) // (65280 + cover), np.uint8)


@cache
def _canvas(layout: _Layout) -> NDArray[np.uint8]:
    """The white figure with its frame."""
    canvas = np.full((layout.height, layout.width, 3), 255, dtype=np.uint8)
    top, left = layout.top, layout.left
    bottom, right = top + N_ROWS, left + N_COLUMNS
    sides = [(top, bottom, left, left), (top, bottom, right, right)]
    ends = [(bottom, bottom, left, right), (top, top, left, right)]
    for y0, y1, x0, x1 in sides + ends:
        cover = np.rint(_line(y1 - y0) @ _line(x1 - x0).T / 255)[..., np.newaxis]
        line = canvas[y0 - 1 : y1 + 2, x0 - 1 : x1 + 2]
        line[...] = _under_line(line, cover)
    return canvas

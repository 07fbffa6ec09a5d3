"""The common front end: every recording in the same band, at the same resolution, as one picture.

In: the samples of one clip at its native rate. Out: an 8-bit RGB picture, frequency upwards, time to
the right. Recorders differ in rate and bandwidth, and a network can learn these differences instead
of the whales. Every recording is therefore brought to one stated rate and band. The rows that a
recording cannot reach are filled, so that they do not show where its band ends.

Networks take 8-bit pictures: a colour map has 256 colours, and a batch for a GPU has a quarter of the
bytes of float32.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.fft
import scipy.signal
import scipy.sparse
from numpy.typing import NDArray

from pseudorca.errors import AudioError, FrontEndError, unknown_name
from pseudorca.frontends.base import Picture, resample
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import BANDS, COMMON, REACH, top_hz

_CACHED_SAMPLES = 1 << 16  # samples of the frames that are transformed together: fits the cache
_VERSION = 1  # changes with anything that changes a picture


@dataclass(frozen=True)
class CommonFrontEnd:
    """Log-frequency spectrogram in one band for all recordings.

    Use :meth:`in_band` for a band by name. Resolution is stated in milliseconds, so the resolution is
    the same at every rate.

    Raises
    ------
    FrontEndError
        If the band, the frames or another setting is not possible.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=48_000).astype(np.float32)
    >>> CommonFrontEnd().picture(noise, sample_rate=48_000).shape
    (128, 122, 3)
    """

    name: ClassVar[str] = "common"

    band: str = "16k"
    sample_rate: int = 32_000
    """Hz; every clip is resampled to this rate."""
    fmin_hz: float = 100.0
    fmax_hz: float = REACH * 32_000
    n_rows: int = 128
    window_ms: float = 32.0
    hop_ms: float = 8.0
    scale: Literal["mel", "linear", "log"] = "mel"
    levels: Literal["db", "pcen"] = "db"
    range_db: float = 80.0
    """Levels that are further below the loudest level are cut off."""
    background: Literal["keep", "median", "quartile"] = "keep"
    """``median``, ``quartile``: the median or the lower quartile of each row is subtracted."""
    colours: Literal["viridis", "grey"] = "viridis"
    spread: Literal["clip", "range"] = "clip"
    """The range of the colours. ``clip``: from the lowest to the highest level of the clip. ``range``:
    ``range_db`` below the highest level, so a colour is equally many decibels in every clip."""
    reach_hz: float | None = None
    """Rows above this frequency stay empty, like the rows that a recording does not reach. None: all
    rows are drawn. With the lowest reach of all recordings, no row shows the reach of a recorder."""

    def __post_init__(self) -> None:
        if not 0 < self.fmin_hz < self.fmax_hz <= self.sample_rate / 2:
            raise FrontEndError(
                f"band from {self.fmin_hz:g} to {self.fmax_hz:g} Hz at {self.sample_rate} Hz: expected "
                f"0 < fmin < fmax <= {self.sample_rate / 2:g} Hz."
            )
        if not 0 < self.hop_ms <= self.window_ms:
            raise FrontEndError(
                f"window {self.window_ms} ms, hop {self.hop_ms} ms: expected 0 < hop <= window."
            )
        if self.reach_hz is not None and not self.fmin_hz < self.reach_hz:
            raise FrontEndError(
                f"drawn up to {self.reach_hz:g} Hz, in a band that begins at {self.fmin_hz:g} Hz: "
                "expected more."
            )
        if self.n_rows < 2 or self.range_db <= 0:
            raise FrontEndError(
                f"{self.n_rows} rows over {self.range_db} dB: expected 2 or more, over 0."
            )
        for kind, value, valid in (
            ("frequency scale", self.scale, ("mel", "linear", "log")),
            ("levels", self.levels, ("db", "pcen")),
            ("background", self.background, ("keep", "median", "quartile")),
            ("colours", self.colours, ("viridis", "grey")),
            ("spread", self.spread, ("clip", "range")),
        ):
            if value not in valid:
                raise FrontEndError(unknown_name(kind, value, valid))
        if self.spread == "range" and self.levels == "pcen":
            raise FrontEndError("spread 'range' is a range of decibels: use it with levels 'db'.")

    @classmethod
    def in_band(cls, band: str, *, lowest_rate: int | None = None, **settings: Any) -> Self:
        """Make the front end of a named band.

        Parameters
        ----------
        band : str
            ``16k``, ``48k``, ``96k``; ``all``: the rows end where every recording reaches;
            ``common``: the rows of ``16k``, and rows that not every recording reaches are empty
        lowest_rate : int or None
            Lowest sample rate in Hz among the labelled recordings; needed for ``all`` and ``common``
        settings : other fields

        Returns
        -------
        CommonFrontEnd

        Raises
        ------
        FrontEndError
            If the band is unknown, or the band needs ``lowest_rate`` and the rate is None.

        Examples
        --------
        >>> CommonFrontEnd.in_band("48k").fmax_hz
        45120.0
        """
        if band == COMMON:
            if lowest_rate is None:
                raise FrontEndError(
                    f"the band {band!r} needs the lowest sample rate of the recordings."
                )
            return cls(band=band, **({"reach_hz": REACH * lowest_rate} | settings))
        top = top_hz(band, lowest_rate)
        if band == "all":
            low = {"fmin_hz": min(100.0, top / 10), "sample_rate": lowest_rate, "fmax_hz": top}
            return cls(band=band, **(low | settings))
        return cls(band=band, **({"sample_rate": BANDS[band], "fmax_hz": top} | settings))

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        fields = asdict(self)
        if self.reach_hz is None:  # settings from before this field keep their ids
            del fields["reach_hz"]
        return {"name": self.name, "version": _VERSION} | fields

    def reached_by(self, sample_rate: float) -> bool:
        """Return whether recordings at a rate hold sound up to the highest row that is drawn.

        Parameters
        ----------
        sample_rate : float, Hz

        Returns
        -------
        bool
        """
        top_hz = self.fmax_hz if self.reach_hz is None else min(self.fmax_hz, self.reach_hz)
        return REACH * sample_rate >= top_hz * (1 - 1e-9)

    def levels_db(self, waveform: Samples, *, sample_rate: int) -> tuple[NDArray[np.float32], int]:
        """Compute the levels behind the picture.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz, of the waveform

        Returns
        -------
        levels : ndarray [shape=(n_rows, n_frames)], lowest frequency first
            Decibels re full scale, or PCEN levels
        n_reached : int
            Number of rows, from the bottom, that the recording reaches and that are drawn

        Raises
        ------
        AudioError
            If the waveform is shorter than one frame, not finite, or silent.
        """
        if waveform.ndim != 1:
            raise AudioError("not one channel", f"got shape {waveform.shape}")
        samples = resample(waveform, sample_rate, self.sample_rate)
        samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
        n_fft, hop = self._frame_sizes()
        if len(samples) < n_fft:
            raise AudioError(
                "shorter than one spectrogram frame", f"{len(samples)} of {n_fft} samples"
            )
        frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[::hop]
        weights, centres_hz = _filters(
            self.scale, self.n_rows, self.fmin_hz, self.fmax_hz, n_fft, self.sample_rate
        )
        reach_hz = min(REACH * sample_rate, self.reach_hz or np.inf)
        n_reached = max(1, int(np.searchsorted(centres_hz, reach_hz, side="right")))
        bands = np.empty((self.n_rows, len(frames)), dtype=np.float32)
        n_together = max(1, _CACHED_SAMPLES // n_fft)
        for first in range(0, len(frames), n_together):
            block = slice(first, first + n_together)
            spectrum = scipy.fft.rfft(frames[block] * _hann(n_fft), axis=1)
            bands[:, block] = weights @ (spectrum.real**2 + spectrum.imag**2).T
        if not np.isfinite(bands).all():
            raise AudioError("not finite", "the waveform holds NaN or infinite samples")
        if bands[:n_reached].max(initial=0.0) <= 0.0:
            raise AudioError("silent", "no power in the band")
        if self.levels == "pcen":
            levels = _pcen(bands, hop / self.sample_rate)
        else:
            levels = 10 * np.log10(np.maximum(bands, np.finfo(np.float32).tiny))
        if self.background == "median":
            levels = levels - np.median(levels, axis=1, keepdims=True)
        elif self.background == "quartile":
            levels = levels - np.quantile(levels, 0.25, axis=1, keepdims=True).astype(np.float32)
        return np.asarray(levels, dtype=np.float32), n_reached

    def picture(self, waveform: Samples, *, sample_rate: int) -> Picture:
        """Render a clip.

        Levels are cut off ``range_db`` below the loudest level, and spread over 256 colours (see
        ``spread``). High frequencies are on top. Rows above the reach of the recording have the
        lowest level.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz, of the waveform

        Returns
        -------
        ndarray [shape=(n_rows, n_frames, 3)], uint8

        Raises
        ------
        AudioError
            If the waveform is shorter than one frame, not finite, or silent.
        """
        return self.colour(*self.levels_db(waveform, sample_rate=sample_rate))

    def colour(self, levels: NDArray[np.float32], n_reached: int) -> Picture:
        """Turn the levels of :meth:`levels_db` into a picture.

        Parameters
        ----------
        levels : ndarray [shape=(n_rows, n_frames)]
        n_reached : int, rows that are drawn

        Returns
        -------
        ndarray [shape=(n_rows, n_frames, 3)], uint8
        """
        reached = levels[:n_reached]
        highest = reached.max()
        lowest = reached.min()
        if self.levels == "db":
            floor = highest - self.range_db
            lowest = floor if self.spread == "range" else max(lowest, floor)
        span = max(float(highest - lowest), 1e-9)
        index = np.clip((levels - lowest) * (255.999 / span), 0, 255).astype(np.uint8)
        index[n_reached:] = 0
        return np.asarray(np.take(colour_table(self.colours), index[::-1], axis=0))

    def _frame_sizes(self) -> tuple[int, int]:
        n_fft = max(2, round(self.window_ms * 1e-3 * self.sample_rate))
        return n_fft, max(1, round(self.hop_ms * 1e-3 * self.sample_rate))


def filter_weights(
    scale: str, n_rows: int, fmin_hz: float, fmax_hz: float, n_fft: int, sample_rate: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Make triangular filters, evenly spaced on a frequency scale. The sum of each filter is 1.

    The mel scale is 2595 log10(1 + f / 700), by O'Shaughnessy (the HTK form). A triangle that is
    narrower than a bin is widened to one bin on each side of its centre, so no row is empty.

    Parameters
    ----------
    scale : ``mel``, ``linear`` or ``log``
    n_rows : int
    fmin_hz, fmax_hz : float, outer edges of the lowest and highest triangle
    n_fft : int
    sample_rate : int, Hz

    Returns
    -------
    weights : ndarray [shape=(n_rows, n_fft // 2 + 1)], float32
    centres_hz : ndarray [shape=(n_rows,)]

    Examples
    --------
    >>> weights, centres_hz = filter_weights("linear", 3, 0.0, 4_000.0, 16, 8_000)
    >>> weights.shape, centres_hz.tolist()
    ((3, 9), [1000.0, 2000.0, 3000.0])
    """
    warp, unwarp = _SCALES[scale]
    edges = unwarp(np.linspace(warp(np.float64(fmin_hz)), warp(np.float64(fmax_hz)), n_rows + 2))
    bins_hz = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    bin_hz = sample_rate / n_fft
    centres = edges[1:-1]
    lower = np.minimum(edges[:-2], centres - bin_hz)[:, None]
    upper = np.maximum(edges[2:], centres + bin_hz)[:, None]
    rising = (bins_hz - lower) / (centres[:, None] - lower)
    falling = (upper - bins_hz) / (upper - centres[:, None])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32), centres


@lru_cache(maxsize=4)
def colour_table(name: str) -> NDArray[np.uint8]:
    """Return the 256 colours of a colour map.

    Parameters
    ----------
    name : ``grey``, or the name of a colour map of Matplotlib

    Returns
    -------
    ndarray [shape=(256, 3)], uint8

    Examples
    --------
    >>> colour_table("grey")[7].tolist()
    [7, 7, 7]
    """
    if name == "grey":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    import matplotlib

    table = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    return np.ascontiguousarray(table, dtype=np.uint8)


_Warp = Callable[[Any], Any]
_SCALES: dict[str, tuple[_Warp, _Warp]] = {
    "mel": (
        lambda hz: 2595 * np.log10(1 + hz / 700),
        lambda mel: 700 * (10 ** (mel / 2595) - 1),
    ),
    "linear": (lambda hz: hz, lambda hz: hz),
    "log": (np.log, np.exp),
}


@lru_cache(maxsize=8)
def _filters(*settings: Any) -> tuple[scipy.sparse.csr_array, NDArray[np.float64]]:
    """The cached, sparse form of :func:`filter_weights`: a triangle covers few bins."""
    weights, centres_hz = filter_weights(*settings)
    return scipy.sparse.csr_array(weights), centres_hz


@lru_cache(maxsize=8)
def _hann(n: int) -> NDArray[np.float32]:
    return np.asarray(scipy.signal.get_window("hann", n), dtype=np.float32)


def _pcen(bands: NDArray[np.float32], hop_s: float) -> NDArray[np.float32]:
    """Per-channel energy normalisation: (E / (eps + M)^gain + bias)^power - bias^power.

    M is E smoothed over time by a first-order filter (Wang et al. 2017, "Trainable frontend for
    robust and far-field keyword spotting"; settings of Lostanlen et al. 2019).
    """
    gain, bias, power, time_constant_s = 0.98, 2.0, 0.5, 0.4
    scaled = bands * np.float32(2.0**31)  # the published settings are for integer samples
    smooth = 1 - np.exp(-hop_s / time_constant_s)
    state = scaled[:, :1] * (1 - smooth)
    averaged, _ = scipy.signal.lfilter([smooth], [1, smooth - 1], scaled, axis=1, zi=state)
    levels = (scaled / (1e-6 + averaged) ** gain + bias) ** power - bias**power
    return np.asarray(levels, dtype=np.float32)

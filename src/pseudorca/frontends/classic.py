"""Classic features: measurements of sound from before neural networks, one vector per clip.

In: the samples of a clip. Out: statistics over the frames, of log-mel levels, cepstral coefficients or
linear prediction, in the same band for every recorder. Classic features have no weights and no
training. They are the baseline of a network. A front end computes them; the backbone passes the
vectors on.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pseudorca.errors import AudioError, FrontEndError, MissingExtraError, unknown_name
from pseudorca.frontends.base import resample
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.recordings.audio import Samples

Features = NDArray[np.float32]

N_COEFFICIENTS, N_FRAMES, ORDER = 13, 150, 16
"""Cepstral coefficients of a frame, with its level; frames of ``mfcc_frames``; order of the linear
prediction in samples."""

_VERSION = 1  # changes with anything that changes a feature
_SILENT_DB = 80.0  # frames further below the loudest frame are not predicted
_DELTA_FRAMES = 9


@dataclass(frozen=True)
class ClassicFrontEnd:
    """Features by name, of clips at one sample rate and in one band.

    ``logmel``: mean and standard deviation over time of each of 128 mel bands. The lowest level of the
    clip is 0, the highest is 1, as in the picture of the common front end.
    ``mean_spectrum``: mean power of each of 32 mel bands.
    ``mfcc``: mean, standard deviation and standard deviation of the slope of each coefficient.
    ``mfcc_frames``: the coefficients of each frame, one frame after the other, for heads for
    sequences. Clips of all lengths have equally many frames, by interpolation in time.
    ``lpc``: mean and standard deviation of the cepstrum of linear prediction, over frames that
    overlap by half.

    Levels are decibels below the highest level of the clip, so no feature shows the loudness of a
    recording. Bands that a recording does not reach have the lowest level, as in the common front end.

    Raises
    ------
    FrontEndError
        If the features are unknown, or a setting is not possible.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    >>> ClassicFrontEnd(features="logmel").picture(noise, sample_rate=32_000).shape
    (1, 256)
    """

    name: ClassVar[str] = "classic"

    features: str = "logmel"
    band: str = "16k"
    sample_rate: int = 32_000
    """Hz; every clip is resampled to this rate."""
    fmin_hz: float = 100.0
    fmax_hz: float = 15_040.0
    window_ms: float = 32.0
    hop_ms: float = 8.0
    range_db: float = 80.0
    """Levels that are further below the loudest level are cut off."""
    reach_hz: float | None = None
    """Bands above this frequency have the lowest level; see :class:`CommonFrontEnd`."""

    def __post_init__(self) -> None:
        if self.features not in CLASSIC:
            raise FrontEndError(unknown_name("classic features", self.features, CLASSIC))
        if self.features == "lpc" and self.reach_hz is not None:
            raise FrontEndError(
                "linear prediction hears all frequencies of its sample rate, so none can be left "
                "empty: use another band, such as all."
            )
        self._levels()  # refuses an impossible band or frame

    @classmethod
    def in_band(cls, band: str = "16k", *, lowest_rate: int | None = None, **settings: Any) -> Self:
        """Make the front end of a named band.

        Parameters
        ----------
        band, lowest_rate : see :meth:`CommonFrontEnd.in_band`
        settings : other fields

        Returns
        -------
        ClassicFrontEnd

        Raises
        ------
        FrontEndError
            As :meth:`CommonFrontEnd.in_band`.

        Examples
        --------
        >>> ClassicFrontEnd.in_band("48k", features="mean_spectrum").fmax_hz
        45120.0
        """
        common = CommonFrontEnd.in_band(band, lowest_rate=lowest_rate)
        taken = ("band", "sample_rate", "fmin_hz", "fmax_hz", "reach_hz")
        return cls(**({key: getattr(common, key) for key in taken} | settings))

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        fields = asdict(self)
        if self.reach_hz is None:  # settings from before this field keep their ids
            del fields["reach_hz"]
        return {"name": self.name, "version": _VERSION} | fields

    def reached_by(self, sample_rate: float) -> bool:
        """Return whether recordings at a rate in Hz hold sound up to the top of the band."""
        return self._levels().reached_by(sample_rate)

    def picture(self, waveform: Samples, *, sample_rate: int) -> Features:
        """Compute the features of a clip.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz, of the waveform

        Returns
        -------
        ndarray [shape=(1, n_features)], float32: one window for the whole clip

        Raises
        ------
        AudioError
            If the waveform is shorter than one frame, not finite, or silent.
        MissingExtraError
            If the features need librosa, and librosa is not installed.
        """
        vector = CLASSIC[self.features].compute(self, waveform, sample_rate)
        return np.asarray(vector, dtype=np.float32)[None]

    def levels(self, waveform: Samples, sample_rate: int) -> NDArray[np.float32]:
        """Compute mel levels in dB below the highest level of the clip.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz, of the waveform

        Returns
        -------
        ndarray [shape=(n_rows, n_frames)], float32
            Rows that the recording does not reach have the lowest level of the clip.
        """
        levels, n_reached = self._levels().levels_db(waveform, sample_rate=sample_rate)
        relative = np.maximum(levels - levels[:n_reached].max(), -self.range_db)
        relative[n_reached:] = relative[:n_reached].min()
        return np.asarray(relative, dtype=np.float32)

    def _levels(self) -> CommonFrontEnd:
        shared = {key: value for key, value in asdict(self).items() if key != "features"}
        return CommonFrontEnd(n_rows=CLASSIC[self.features].n_rows, **shared)


def _logmel(front_end: ClassicFrontEnd, waveform: Samples, sample_rate: int) -> Features:
    levels = front_end.levels(waveform, sample_rate)
    levels = 1 - levels / min(levels.min(), -1e-9)  # like the colours of the common front end
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1)])


def _mean_spectrum(front_end: ClassicFrontEnd, waveform: Samples, sample_rate: int) -> Features:
    power = 10 ** (front_end.levels(waveform, sample_rate) / 10)
    levels = 10 * np.log10(power.mean(axis=1))
    return np.asarray(levels - levels.max(), dtype=np.float32)


def _cepstra(front_end: ClassicFrontEnd, waveform: Samples, sample_rate: int) -> Features:
    """Mel-frequency cepstral coefficients [shape=(n_coefficients, n_frames)]."""
    levels = front_end.levels(waveform, sample_rate)
    coefficients = _librosa().feature.mfcc(S=levels, n_mfcc=N_COEFFICIENTS)
    return np.asarray(coefficients, dtype=np.float32)


def _mfcc(front_end: ClassicFrontEnd, waveform: Samples, sample_rate: int) -> Features:
    cepstra = _cepstra(front_end, waveform, sample_rate)
    slopes = _librosa().feature.delta(cepstra, width=_DELTA_FRAMES, mode="nearest")
    return np.concatenate([cepstra.mean(axis=1), cepstra.std(axis=1), slopes.std(axis=1)])


def _mfcc_frames(front_end: ClassicFrontEnd, waveform: Samples, sample_rate: int) -> Features:
    cepstra = _cepstra(front_end, waveform, sample_rate)
    new_times = np.linspace(0, cepstra.shape[1] - 1, N_FRAMES)
    frame_times = np.arange(cepstra.shape[1])
    frames = np.stack([np.interp(new_times, frame_times, row) for row in cepstra], axis=1)
    return np.asarray(frames.ravel(), dtype=np.float32)


def _lpc(front_end: ClassicFrontEnd, waveform: Samples, sample_rate: int) -> Features:
    """The cepstrum of 1 / A(z), by the recursion of Atal [1]_, over all frames with sound.

    References
    ----------
    .. [1] Atal 1974, "Effectiveness of linear prediction characteristics of the speech wave for
       automatic speaker identification and verification", JASA 55:1304.
    """
    if waveform.ndim != 1:
        raise AudioError("not one channel", f"got shape {waveform.shape}")
    rate = front_end.sample_rate
    samples = resample(waveform, sample_rate, rate).astype(np.float64)
    samples -= samples.mean()
    if not np.isfinite(samples).all():
        raise AudioError("not finite", "the waveform holds NaN or infinite samples")
    n_window = round(front_end.window_ms * 1e-3 * rate)
    if len(samples) < n_window:
        raise AudioError("shorter than one frame", f"{len(samples)} of {n_window} samples")
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_window)[:: n_window // 2]
    frames = frames * np.hanning(n_window)
    power = np.mean(frames**2, axis=1)
    has_sound = power > power.max() * 10 ** (-_SILENT_DB / 10)
    if not has_sound.any():
        raise AudioError("silent", "no power in the band")
    polynomials = _librosa().lpc(frames[has_sound], order=ORDER, axis=-1)
    cepstra = np.zeros((len(polynomials), ORDER + 1))
    for n in range(1, ORDER + 1):
        k = np.arange(1, n)
        cross = (k / n * cepstra[:, k] * polynomials[:, n - k]).sum(axis=1)
        cepstra[:, n] = -polynomials[:, n] - cross
    return np.concatenate([cepstra[:, 1:].mean(axis=0), cepstra[:, 1:].std(axis=0)])


def _librosa() -> Any:
    try:
        import librosa
    except ImportError as error:
        raise MissingExtraError("librosa", "classic") from error
    return librosa


@dataclass(frozen=True)
class _Kind:
    compute: Callable[[ClassicFrontEnd, Samples, int], Features]
    n_rows: int
    n_features: int
    source: str


CLASSIC: Mapping[str, _Kind] = {
    "logmel": _Kind(_logmel, 128, 256, "mean and deviation of log-mel levels over time"),
    "mean_spectrum": _Kind(_mean_spectrum, 32, 32, "mean power in 32 mel bands"),
    "mfcc": _Kind(
        _mfcc, 128, 3 * N_COEFFICIENTS, "statistics of mel-frequency cepstral coefficients"
    ),
    "mfcc_frames": _Kind(
        _mfcc_frames, 128, N_COEFFICIENTS * N_FRAMES, "mel-frequency cepstra frame by frame"
    ),
    "lpc": _Kind(_lpc, 128, 2 * ORDER, "statistics of the cepstrum of linear prediction"),
}
"""Classic features by name."""

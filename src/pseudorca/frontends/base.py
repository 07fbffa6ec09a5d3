"""The base of all front ends: the protocol, the type of a picture, and resampling."""

from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pseudorca.recordings.audio import Samples

Picture = NDArray[np.uint8]


def resample(waveform: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resample one channel with a band-limited polyphase filter (SoX resampler, HQ).

    Parameters
    ----------
    waveform : ndarray [shape=(n_samples,)], float32
    from_rate, to_rate : int, Hz

    Returns
    -------
    ndarray [shape=(n_resampled,)], float32

    Examples
    --------
    >>> resample(np.zeros(48_000, dtype=np.float32), 48_000, 16_000).shape
    (16000,)
    """
    if from_rate == to_rate:
        return waveform
    return np.asarray(soxr.resample(waveform, from_rate, to_rate), dtype=np.float32)


class FrontEnd(Protocol):
    """A front end turns the samples of a clip into the input of a backbone.

    Examples
    --------
    >>> class Loudness:
    ...     sample_rate = None
    ...     def picture(self, waveform, *, sample_rate):
    ...         return np.full((1, 1), np.square(waveform).mean(), dtype=np.float32)
    ...     def settings(self):
    ...         return {"name": "loudness"}
    >>> front_end: FrontEnd = Loudness()
    >>> front_end.picture(np.ones(8, dtype=np.float32), sample_rate=8_000).tolist()
    [[1.0]]
    """

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz to which clips are resampled; None: clips are not resampled."""

    def picture(self, waveform: Samples, *, sample_rate: int) -> NDArray[Any]:
        """Turn samples into a picture or into windows.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz, of the waveform

        Returns
        -------
        ndarray
            A picture is uint8 [shape=(height, width, 3)]. Windows are float32 [shape=(n_windows, ...)].

        Raises
        ------
        AudioError
            If the waveform is too short, not finite, or silent.
        """

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values.

        Returns
        -------
        dict
        """

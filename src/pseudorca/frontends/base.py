"""What all front ends share: the protocol, the type of a picture, and resampling."""

from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pseudorca.recordings.audio import Samples

Picture = NDArray[np.uint8]


def resample(waveform: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resample [shape=(n_samples,)] with a band-limited polyphase filter (SoX resampler, HQ)."""
    if from_rate == to_rate:
        return waveform
    return np.asarray(soxr.resample(waveform, from_rate, to_rate), dtype=np.float32)


class FrontEnd(Protocol):
    """What turns the samples of a clip into what a backbone takes."""

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz to which clips are resampled; None: each keeps its own."""

    def picture(self, waveform: Samples, *, sample_rate: int) -> NDArray[Any]:
        """Make of samples [shape=(n_samples,)] a picture or windows.

        A picture is uint8 [shape=(height, width, 3)]; windows are float32 [shape=(n_windows, ...)].
        """

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the result, as JSON values."""

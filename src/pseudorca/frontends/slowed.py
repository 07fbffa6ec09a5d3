"""Slowed playback (time expansion): high sounds are brought down into the band of a network.

A clip that is played four times slower sounds two octaves lower and lasts four times longer. A click
at 60 kHz then appears at 15 kHz. Any front end can be slowed. Times of the clip stay real times.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pseudorca.errors import FrontEndError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pseudorca.frontends.base import FrontEnd
    from pseudorca.recordings.audio import Samples


SLOWEST = 100.0


def check_slow(slow: float) -> None:
    """Check a factor of slowed playback.

    Parameters
    ----------
    slow : float, how many times slower; 1: as recorded

    Raises
    ------
    FrontEndError
        If the factor is out of range.

    Examples
    --------
    >>> check_slow(4.0)
    """
    if not 1 <= slow <= SLOWEST:
        raise FrontEndError(
            f"--slow {slow:g}: expected 1 (as recorded), or more, at most {SLOWEST:g} times slower."
        )


@dataclass(frozen=True)
class SlowFrontEnd:
    """A front end that receives every clip ``factor`` times slower.

    Raises
    ------
    FrontEndError
        If the factor is 1 or out of range.

    Examples
    --------
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> SlowFrontEnd(CommonFrontEnd(), 4.0).sample_rate
    128000
    """

    front_end: "FrontEnd"
    factor: float

    def __post_init__(self) -> None:
        if self.factor == 1:
            raise FrontEndError(f"--slow 1: expected more than 1, at most {SLOWEST:g}.")
        check_slow(self.factor)

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz, in real time, to which clips are resampled; None: clips are not resampled."""
        rate = self.front_end.sample_rate
        return None if rate is None else round(rate * self.factor)

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        return self.front_end.settings() | {"slow": self.factor}

    def picture(self, waveform: "Samples", *, sample_rate: int) -> "NDArray[Any]":
        """Run the front end on a clip [shape=(n_samples,)] at the slowed rate, rounded to whole Hz."""
        return self.front_end.picture(waveform, sample_rate=round(sample_rate / self.factor))

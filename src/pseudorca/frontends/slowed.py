"""Slowed playback (time expansion): what is too high for a network, brought down into its band.

A clip played four times slower sounds two octaves lower and lasts four times longer: a click at
60 kHz is heard at 15 kHz. Any front end works on it; the clip keeps its place in real time.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pseudorca.errors import FrontEndError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pseudorca.frontends.base import FrontEnd
    from pseudorca.recordings.audio import Samples


FASTEST, SLOWEST = 1.0, 100.0


def check_slow(slow: float) -> None:
    """FrontEndError unless clips can be played so many times slower; 1: as they are."""
    if not (slow == 1 or FASTEST < slow <= SLOWEST):
        raise FrontEndError(
            f"--slow {slow:g}: expected 1 (as recorded), or more, at most {SLOWEST:g} times slower."
        )


@dataclass(frozen=True)
class SlowFrontEnd:
    """A front end that hears every clip ``factor`` times slower."""

    front_end: "FrontEnd"
    factor: float

    def __post_init__(self) -> None:
        if self.factor == 1:
            raise FrontEndError(f"--slow 1: expected more than 1, at most {SLOWEST:g}.")
        check_slow(self.factor)

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz of real time to which clips are brought; None: each keeps its own."""
        rate = self.front_end.sample_rate
        return None if rate is None else round(rate * self.factor)

    def settings(self) -> dict[str, Any]:
        return self.front_end.settings() | {"slow": self.factor}

    def picture(self, waveform: "Samples", *, sample_rate: int) -> "NDArray[Any]":
        """Make of a clip [shape=(n_samples,)] what the front end makes of it at a lower rate.

        The slowed rate is rounded to whole Hz.
        """
        return self.front_end.picture(waveform, sample_rate=round(sample_rate / self.factor))

"""The settings of a simulated survey, and their allowed values."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pseudorca.errors import SimulationError
from pseudorca.simulation.recorders import recorder
from pseudorca.simulation.world import N_CHANNELS

MAX_LONG_SAMPLES: Final = 100_000_000  # needs about 2 GB of memory


@dataclass(frozen=True, kw_only=True)
class SurveyConfig:
    """Settings of a simulated survey. The defaults give a small survey in seconds on two cores.

    Parameters
    ----------
    seed : int
    n_encounters, n_clips : int
        Encounters and clips of the labelled part. A clip is a file: one moment on one channel.
    insular_clips, insular_encounters : float, 0 to 1
        Share of Insular in the labelled clips (HICEAS: 439 of 3,281) and encounters.
    northwestern : float, 0 to 1
        Share of a third population, in clips and encounters.
    n_unknown_encounters, n_unknown_clips : int
        Encounters and clips of the folder ``Unknown``. Only the truth holds their labels.
    unknown_other : float, 0 to 1
        Share of the encounters in ``Unknown`` with another species, a new species per encounter.
    effect : float
        Cohen's d between Insular and Pelagic in each trait that varies between populations; 0 makes
        the populations equal.
    encounter_signature : float, 0 to 1
        Correlation of the world (noise, gain, ranges) and of the animals between the clips of one
        encounter. At 0 every clip has its own, at 1 all clips share one. Noise never repeats.
    confound : float, 0 to 1
        Probability that an encounter has the recorder of its population instead of a random one.
    platforms, recorders : sequence of str
        Recorder k belongs to platform k (modulo their number) and to population k.
    sample_rate : int or None, Hz
        None: every recorder has its own rate.
    max_channels : int, 1 to 6
        A moment has between 1 and this number of channels, a file each.
    min_clip_s, max_clip_s : float, s
        A clip is cut around a whistle with a margin, within these lengths.
    min_snr_db : float, dB
        Least level of tonal signals above the noise in their band.
    n_long : int
        Number of long recordings in ``Unknown``, with a Raven table of all signals in the truth.
    long_s : float, s
    noise_files : sequence of Path
        Files of real noise to mix in; ``noise_share`` is the share of worlds with this noise.

    Raises
    ------
    SimulationError
        If a setting is out of its range, or settings contradict each other.

    Examples
    --------
    >>> SurveyConfig(n_encounters=4, n_clips=20).platforms
    ('Sette', 'Lasker')
    """

    seed: int = 0
    n_encounters: int = 16
    n_clips: int = 200
    insular_clips: float = 0.13
    insular_encounters: float = 0.3
    northwestern: float = 0.0
    n_unknown_encounters: int = 4
    n_unknown_clips: int = 24
    unknown_other: float = 0.0
    effect: float = 1.0
    encounter_signature: float = 0.7
    confound: float = 0.0
    platforms: tuple[str, ...] = ("Sette", "Lasker")
    recorders: tuple[str, ...] = ("array_500k", "array_192k")
    sample_rate: int | None = 96_000
    max_channels: int = 2
    min_clip_s: float = 0.9
    max_clip_s: float = 3.0
    min_snr_db: float = 3.0
    n_long: int = 0
    long_s: float = 60.0
    noise_files: tuple[Path, ...] = ()
    noise_share: float = 0.5

    def __post_init__(self) -> None:
        for name in _SHARES:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise SimulationError(
                    f"{name} is {value:g}, outside 0 to 1: did you give it in percent?"
                )
        if not (math.isfinite(self.effect) and self.effect >= 0.0):
            raise SimulationError(
                f"effect is {self.effect:g}: give standard deviations, 0 or more."
            )
        if not math.isfinite(self.min_snr_db):
            raise SimulationError(f"min_snr_db is {self.min_snr_db:g}: give decibels, such as 3.")
        for name, low in _LEAST.items():
            if getattr(self, name) < low:
                raise SimulationError(f"{name} is {getattr(self, name)}: at least {low}.")
        if self.insular_clips + self.northwestern > 1.0:
            raise SimulationError("insular_clips and northwestern come to more than 1.")
        if self.insular_encounters + self.northwestern > 1.0:
            raise SimulationError("insular_encounters and northwestern come to more than 1.")
        for clips, encounters in (
            (self.n_clips, self.n_encounters),
            (self.n_unknown_clips, self.n_unknown_encounters),
        ):
            if clips < encounters or (clips > 0 and encounters == 0):
                raise SimulationError(
                    f"{clips} clips cannot fill {encounters} encounters: at least one clip each."
                )
        if not 1 <= self.max_channels <= N_CHANNELS:
            raise SimulationError(f"max_channels is {self.max_channels}: 1 to {N_CHANNELS}.")
        if not 0.3 <= self.min_clip_s <= self.max_clip_s <= 60.0:
            raise SimulationError(
                f"clips of {self.min_clip_s:g} to {self.max_clip_s:g} s: give "
                "0.3 <= min_clip_s <= max_clip_s <= 60 (seconds, not milliseconds)."
            )
        if not 1.0 <= self.long_s <= 3600.0:
            raise SimulationError(f"long_s is {self.long_s:g} s: 1 to 3600.")
        if not self.platforms or not all(re.fullmatch(r"[A-Za-z0-9]+", p) for p in self.platforms):
            raise SimulationError(
                f"platforms {self.platforms}: one or more names of letters and digits, as they "
                "stand before _AC_ in folder names."
            )
        if not self.recorders:
            raise SimulationError("recorders is empty: name at least one.")
        rate = max(recorder(r, sample_rate=self.sample_rate).sample_rate for r in self.recorders)
        if self.n_long and self.long_s * rate * self.max_channels > MAX_LONG_SAMPLES:
            raise SimulationError(
                f"long recordings of {self.long_s:g} s, {rate} Hz and {self.max_channels} channels "
                f"hold more than {MAX_LONG_SAMPLES} samples. Lower long_s, max_channels or "
                "sample_rate."
            )


_SHARES: Final = (
    "insular_clips", "insular_encounters", "northwestern", "unknown_other", "encounter_signature",
    "confound", "noise_share",
)  # fmt: skip
_LEAST: Final = {
    "seed": 0, "n_encounters": 1, "n_clips": 1, "n_unknown_encounters": 0, "n_unknown_clips": 0,
    "n_long": 0,
}  # fmt: skip

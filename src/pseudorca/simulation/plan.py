"""The settings of a simulated survey, and the plan that follows from them: encounters, recorders, days.

Every encounter and every moment has a random stream of its own. The numbers of a stream do not change
if clips are added: the third moment of the second Insular encounter has the same sound in a survey of
20 clips and in a survey of 20,000 clips.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pseudorca.errors import SimulationError
from pseudorca.simulation.recorders import recorder
from pseudorca.simulation.species import POPULATIONS
from pseudorca.simulation.world import N_CHANNELS

MAX_LONG_SAMPLES: Final = 100_000_000  # needs about 2 GB of memory
SURVEY_START: Final = datetime(2017, 7, 6)  # HICEAS 2017
ENCOUNTER_S: Final = 7200
UNKNOWN: Final = "Unknown"
OTHER: Final = "Other"
_STREAM_UNKNOWN, _STREAM_LONG, _STREAM_PLAN = 100, 200, 300
_SHARES: Final = (
    "insular_clips", "insular_encounters", "northwestern", "unknown_other", "encounter_signature",
    "confound", "noise_share",
)  # fmt: skip
_LEAST: Final = {
    "seed": 0, "n_encounters": 1, "n_clips": 1, "n_unknown_encounters": 0, "n_unknown_clips": 0,
    "n_long": 0,
}  # fmt: skip


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
        for name in ("insular_clips", "insular_encounters"):
            if getattr(self, name) + self.northwestern > 1.0:
                raise SimulationError(f"{name} and northwestern come to more than 1.")
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


class _Draft(NamedTuple):
    """An encounter before it has a recorder, a day and a name."""

    label: str
    population: str
    stream: tuple[int, int]
    n_clips: int
    long_s: float


@dataclass(frozen=True)
class Encounter:
    """One encounter with one group: the names of its files, and its random stream.

    Examples
    --------
    >>> encounter = plan_survey(SurveyConfig(n_encounters=4, n_clips=20))[0]
    >>> len(encounter.slots) == encounter.n_clips
    True
    """

    label: str  # the folder
    population: str  # the truth
    stream: tuple[int, int]
    n_clips: int  # its files: 1 if it is a long recording
    long_s: float  # 0: clips
    name: str  # Sette_AC_12
    platform: str
    recorder: str
    own_recorder: bool  # chosen for the population (confound), not at random
    start: datetime
    slots: tuple[int, ...]  # start of each moment, in s from the start of the encounter


def encounter_rng(config: SurveyConfig, stream: tuple[int, ...]) -> np.random.Generator:
    """Return the random stream of an encounter or of a moment.

    Parameters
    ----------
    config : SurveyConfig
    stream : tuple of int, the numbers of the stream

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> rng, again = (encounter_rng(SurveyConfig(), (1, 2)) for _ in range(2))
    >>> rng.random() == again.random()
    True
    """
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=stream))


def plan_survey(config: SurveyConfig) -> list[Encounter]:
    """Plan the encounters of a survey.

    Parameters
    ----------
    config : SurveyConfig

    Returns
    -------
    list of Encounter, in order of time

    Raises
    ------
    SimulationError
        If an encounter has more clips than fit into two hours, or the shares of the populations leave
        too few encounters or clips.

    Examples
    --------
    >>> encounters = plan_survey(SurveyConfig(n_encounters=4, n_clips=20))
    >>> sum(encounter.n_clips for encounter in encounters if encounter.label != UNKNOWN)
    20
    """
    numbers = {}
    for name, encounter_share, clip_share in (
        ("Insular", config.insular_encounters, config.insular_clips),
        ("Northwestern", config.northwestern, config.northwestern),
    ):
        n_encounters = n_clips = 0
        if encounter_share > 0 and clip_share > 0:
            n_encounters = max(round(encounter_share * config.n_encounters), 1)
            n_clips = max(round(clip_share * config.n_clips), n_encounters)
        numbers[name] = (n_encounters, n_clips)
    left_encounters = config.n_encounters - sum(
        n_encounters for n_encounters, _ in numbers.values()
    )
    left_clips = config.n_clips - sum(n_clips for _, n_clips in numbers.values())
    if left_encounters < 0 or left_clips < left_encounters or (left_encounters == 0 < left_clips):
        taken = ", ".join(
            f"{name} {n_encounters} with {n_clips} clips"
            for name, (n_encounters, n_clips) in numbers.items()
            if n_encounters
        )
        raise SimulationError(
            f"{config.n_encounters} encounters and {config.n_clips} clips cannot be split as asked: "
            f"{taken} leave {left_encounters} and {left_clips} to Pelagic. "
            f"Ask for more {'encounters' if left_encounters <= 0 else 'clips'}."
        )
    numbers["Pelagic"] = (left_encounters, left_clips)
    groups = [(name, number, *numbers[name]) for number, name in enumerate(POPULATIONS)]
    groups.append((UNKNOWN, _STREAM_UNKNOWN, config.n_unknown_encounters, config.n_unknown_clips))
    drafts: list[_Draft] = []
    for label, number, n_encounters, n_clips in groups:
        streams = [(number, k) for k in range(n_encounters)]
        for stream, part in zip(streams, _clip_counts(config, streams, n_clips), strict=True):
            population = _hidden(config, stream) if label == UNKNOWN else label
            drafts.append(_Draft(label, population, stream, part, 0.0))
    for k in range(config.n_long):
        stream = (_STREAM_LONG, k)
        drafts.append(_Draft(UNKNOWN, _hidden(config, stream), stream, 1, config.long_s))
    return _schedule(config, drafts)


def _clip_counts(config: SurveyConfig, streams: Sequence[tuple[int, int]], total: int) -> list[int]:
    """Draw uneven numbers of clips per encounter, as in real surveys: at least 1, in all ``total``."""
    weights = [math.exp(encounter_rng(config, (*s, 0, 0)).normal(0.0, 0.5)) for s in streams]
    ideal = (total - len(weights)) * np.asarray(weights) / np.sum(weights)
    parts = 1 + np.floor(ideal).astype(int)
    order = np.argsort(np.floor(ideal) - ideal, kind="stable")  # the largest remainders first
    parts[order[: total - parts.sum()]] += 1
    return [int(part) for part in parts]


def _hidden(config: SurveyConfig, stream: tuple[int, int]) -> str:
    """Draw the population of an encounter in the folder ``Unknown``."""
    draw = encounter_rng(config, (*stream, 0, 1)).random(2)
    if draw[0] < config.unknown_other:
        return OTHER
    if draw[1] < config.insular_encounters:
        return "Insular"
    third = config.insular_encounters + config.northwestern
    return "Northwestern" if draw[1] < third else "Pelagic"


def _schedule(config: SurveyConfig, drafts: Sequence[_Draft]) -> list[Encounter]:
    """Give each encounter a recorder, a platform, a day and a number."""
    plan = encounter_rng(config, (_STREAM_PLAN, 0))
    days = np.cumsum(plan.integers(1, 4, len(drafts)))
    numbers = dict.fromkeys(config.platforms, 0)
    slot_s = math.ceil(config.max_clip_s) + 2
    encounters = []
    for position, (day, which) in enumerate(zip(days, plan.permutation(len(drafts)), strict=True)):
        draft = drafts[which]
        rng = encounter_rng(config, (*draft.stream, 0, 2))
        by_confound, recorder_number = rng.random(), int(rng.integers(len(config.recorders)))
        own = by_confound < config.confound and draft.population in POPULATIONS
        if own:
            recorder_number = list(POPULATIONS).index(draft.population) % len(config.recorders)
        platform = config.platforms[recorder_number % len(config.platforms)]
        numbers[platform] += int(np.random.default_rng([config.seed, position]).integers(1, 12))
        start_s = int(rng.integers(24 * 3600 - ENCOUNTER_S - math.ceil(draft.long_s) - 1))
        slots = rng.permutation(ENCOUNTER_S // slot_s) * slot_s
        if draft.n_clips > len(slots):
            raise SimulationError(
                f"{draft.n_clips} clips in one encounter: two hours hold {len(slots)} of "
                f"{config.max_clip_s:g} s. Ask for more encounters."
            )
        encounters.append(
            Encounter(
                **draft._asdict(),
                name=f"{platform}_AC_{numbers[platform]}",
                platform=platform,
                recorder=config.recorders[recorder_number],
                own_recorder=own,
                start=SURVEY_START + timedelta(days=int(day), seconds=start_s),
                slots=tuple(slots[: draft.n_clips].tolist()),
            )
        )
    return encounters

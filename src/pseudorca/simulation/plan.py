"""The plan of a survey: its encounters, their recorders, days and names.

Every encounter and every moment has a random stream of its own. The numbers of a stream do not change
if clips are added: the third moment of the second Insular encounter has the same sound in a survey of
20 clips and in a survey of 20,000 clips.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from pseudorca.errors import SimulationError
from pseudorca.simulation.config import SurveyConfig
from pseudorca.simulation.species import POPULATIONS

SURVEY_START: Final = datetime(2017, 7, 6)  # HICEAS 2017
ENCOUNTER_S: Final = 7200
UNKNOWN: Final = "Unknown"
OTHER: Final = "Other"
_STREAM_UNKNOWN, _STREAM_LONG, _STREAM_PLAN = 100, 200, 300


@dataclass(frozen=True)
class Encounter:
    """One encounter with one group: the names of its files, and its random stream."""

    name: str  # Sette_AC_12
    label: str  # the folder
    population: str  # the truth
    platform: str
    recorder: str
    own_recorder: bool  # chosen for the population (confound), not at random
    start: datetime
    stream: tuple[int, int]
    n_clips: int
    slots: tuple[int, ...]  # start of each moment, in s from the start of the encounter
    long_s: float  # 0: clips


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


def share_out(total: int, weights: Sequence[float]) -> list[int]:
    """Split a number by weights into integers of at least 1 (largest remainders).

    Parameters
    ----------
    total : int
    weights : sequence of float

    Returns
    -------
    list of int

    Raises
    ------
    SimulationError
        If there are more parts than ``total``.

    Examples
    --------
    >>> share_out(10, [1.0, 3.0])
    [3, 7]
    """
    parts = np.ones(len(weights), dtype=int)
    rest = total - len(weights)
    if not len(weights) or rest < 0:
        raise SimulationError(f"{total} clips cannot be shared among {len(weights)} encounters.")
    ideal = rest * np.asarray(weights) / np.sum(weights)
    parts += np.floor(ideal).astype(int)
    order = np.argsort(np.floor(ideal) - ideal, kind="stable")
    parts[order[: total - parts.sum()]] += 1
    return [int(part) for part in parts]


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
    drafts: list[tuple[str, str, tuple[int, int], int, float]] = []
    shares = {
        "Insular": (config.insular_encounters, config.insular_clips),
        "Northwestern": (config.northwestern, config.northwestern),
    }
    left_encounters, left_clips = config.n_encounters, config.n_clips
    numbers: dict[str, tuple[int, int]] = {}
    for name, (encounter_share, clip_share) in shares.items():
        wanted = round(encounter_share * config.n_encounters)
        n_encounters = max(wanted, 1) if encounter_share > 0 and clip_share > 0 else 0
        n_clips = max(round(clip_share * config.n_clips), n_encounters) if n_encounters else 0
        numbers[name] = (n_encounters, n_clips)
        left_encounters, left_clips = left_encounters - n_encounters, left_clips - n_clips
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
    for index, name in enumerate(POPULATIONS):
        n_encounters, n_clips = numbers[name]
        streams = [(index, k) for k in range(n_encounters)]
        for stream, part in zip(streams, _clip_counts(config, streams, n_clips), strict=True):
            drafts.append((name, name, stream, part, 0.0))
    streams = [(_STREAM_UNKNOWN, k) for k in range(config.n_unknown_encounters)]
    counts = _clip_counts(config, streams, config.n_unknown_clips)
    for stream, part in zip(streams, counts, strict=True):
        drafts.append((UNKNOWN, _hidden(config, stream), stream, part, 0.0))
    for k in range(config.n_long):
        stream = (_STREAM_LONG, k)
        drafts.append((UNKNOWN, _hidden(config, stream), stream, 1, config.long_s))
    return _schedule(config, drafts)


def _clip_counts(config: SurveyConfig, streams: Sequence[tuple[int, int]], total: int) -> list[int]:
    """Draw uneven numbers of clips per encounter, as in real surveys."""
    weights = [math.exp(encounter_rng(config, (*s, 0, 0)).normal(0.0, 0.5)) for s in streams]
    return share_out(total, weights) if streams else []


def _hidden(config: SurveyConfig, stream: tuple[int, int]) -> str:
    draw = encounter_rng(config, (*stream, 0, 1)).random(2)
    if draw[0] < config.unknown_other:
        return OTHER
    if draw[1] < config.insular_encounters:
        return "Insular"
    third = config.insular_encounters + config.northwestern
    return "Northwestern" if draw[1] < third else "Pelagic"


def _schedule(
    config: SurveyConfig, drafts: Sequence[tuple[str, str, tuple[int, int], int, float]]
) -> list[Encounter]:
    """Give each encounter a recorder, a platform, a day and a number."""
    plan = encounter_rng(config, (_STREAM_PLAN, 0))
    days = np.cumsum(plan.integers(1, 4, len(drafts)))
    numbers = dict.fromkeys(config.platforms, 0)
    slot_s = math.ceil(config.max_clip_s) + 2
    encounters = []
    for position, (day, which) in enumerate(zip(days, plan.permutation(len(drafts)), strict=True)):
        label, population, stream, n_clips, long_s = drafts[which]
        rng = encounter_rng(config, (*stream, 0, 2))
        by_confound, any_recorder = rng.random(), int(rng.integers(len(config.recorders)))
        own = by_confound < config.confound and population in POPULATIONS
        if own:
            any_recorder = list(POPULATIONS).index(population) % len(config.recorders)
        platform = config.platforms[any_recorder % len(config.platforms)]
        numbers[platform] += int(np.random.default_rng([config.seed, position]).integers(1, 12))
        start_s = int(rng.integers(24 * 3600 - ENCOUNTER_S - math.ceil(long_s) - 1))
        slots = rng.permutation(ENCOUNTER_S // slot_s) * slot_s
        if n_clips > len(slots):
            raise SimulationError(
                f"{n_clips} clips in one encounter: two hours hold {len(slots)} of "
                f"{config.max_clip_s:g} s. Ask for more encounters."
            )
        encounters.append(
            Encounter(
                name=f"{platform}_AC_{numbers[platform]}",
                label=label,
                population=population,
                platform=platform,
                recorder=config.recorders[any_recorder],
                own_recorder=own,
                start=SURVEY_START + timedelta(days=int(day), seconds=start_s),
                stream=stream,
                n_clips=n_clips,
                slots=tuple(int(slot) for slot in slots[:n_clips]),
                long_s=long_s,
            )
        )
    return encounters

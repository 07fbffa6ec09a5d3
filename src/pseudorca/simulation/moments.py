"""The moments of a survey: a moment is one stretch of sound, written as a file per channel.

Worker processes run :func:`simulate_moment`. The function draws from the random stream of the moment,
blended with the stream of its encounter, writes the files, and returns the rows of the truth.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import resample_poly

from pseudorca.formats.whole import whole_file
from pseudorca.simulation import animals, truth
from pseudorca.simulation.clip import record_scene
from pseudorca.simulation.plan import OTHER, Encounter, SurveyConfig, encounter_rng
from pseudorca.simulation.recorders import recorder
from pseudorca.simulation.species import Species, draw_virtual_species, population
from pseudorca.simulation.world import N_LATENTS, World, world_from_latents, world_row

LONG_ACTIVITY: Final = 0.2  # long recordings have fewer signals: they are not cut around signals
MARGIN_S: Final = (0.25, 0.8)  # margin before and after the whistle of a clip


class Task(NamedTuple):
    """One moment to simulate.

    Examples
    --------
    >>> from pseudorca.simulation.plan import plan_survey
    >>> config = SurveyConfig(n_encounters=4, n_clips=20)
    >>> Task(Path("survey"), config, plan_survey(config)[0], moment=0, channels=[1, 4]).channels
    [1, 4]
    """

    out: Path
    config: SurveyConfig
    encounter: Encounter
    moment: int
    channels: list[int]


def moments_of(out: Path, config: SurveyConfig, encounter: Encounter) -> Iterator[Task]:
    """List the moments of an encounter, until the encounter has all of its files.

    A moment has random channels, a file each. A long recording has all channels in one file.

    Parameters
    ----------
    out : path of the survey
    config : SurveyConfig
    encounter : Encounter

    Yields
    ------
    Task

    Examples
    --------
    >>> from pseudorca.simulation.plan import plan_survey
    >>> config = SurveyConfig(n_encounters=4, n_clips=20)
    >>> encounter = plan_survey(config)[0]
    >>> tasks = moments_of(Path("survey"), config, encounter)
    >>> sum(len(task.channels) for task in tasks) == encounter.n_clips
    True
    """
    n_channels = recorder(encounter.recorder).n_channels
    n_most = min(config.max_channels, n_channels)
    if encounter.long_s:
        yield Task(out, config, encounter, 0, list(range(1, n_most + 1)))
        return
    n_left, moment = encounter.n_clips, 0
    while n_left > 0:
        rng = encounter_rng(config, (*encounter.stream, 1, moment))
        n_kept = min(int(rng.integers(1, n_most + 1)), n_left)
        channels = (rng.permutation(n_channels) + 1)[:n_kept]
        yield Task(out, config, encounter, moment, sorted(channels.tolist()))
        n_left -= n_kept
        moment += 1


def shared_by_encounter(
    config: SurveyConfig, encounter: Encounter
) -> tuple[Species, NDArray[np.float64], animals.Group]:
    """Draw what the clips of an encounter have in common.

    Parameters
    ----------
    config : SurveyConfig
    encounter : Encounter

    Returns
    -------
    species : Species
    latents : ndarray [shape=(N_LATENTS,)], of the world
    group : Group

    Examples
    --------
    >>> from pseudorca.simulation.plan import plan_survey
    >>> config = SurveyConfig(n_encounters=4, n_clips=20)
    >>> species, latents, group = shared_by_encounter(config, plan_survey(config)[0])
    >>> species.name in ("Insular", "Pelagic"), latents.shape == (N_LATENTS,)
    (True, True)
    """
    rng = encounter_rng(config, (*encounter.stream, 0, 3))
    latents = rng.standard_normal(N_LATENTS)
    group = animals.draw_group(rng)
    if encounter.population == OTHER:
        species = draw_virtual_species(rng, name=OTHER)
    else:
        species = population(encounter.population, config.effect)
    return species, latents, group


def simulate_moment(task: Task) -> truth.Rows:
    """Simulate one moment, write its files, and return their truth.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Rows

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.simulation.plan import plan_survey
    >>> config = SurveyConfig(n_encounters=4, n_clips=20, sample_rate=8_000)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     rows = simulate_moment(Task(Path(out), config, plan_survey(config)[0], 0, [1, 4]))
    >>> [clip["channels"] for clip in rows.clips]
    ['1', '4']
    """
    config, encounter, channels = task.config, task.encounter, task.channels
    species, shared_latents, shared_group = shared_by_encounter(config, encounter)
    rng = encounter_rng(config, (*encounter.stream, 2, task.moment))
    likeness = config.encounter_signature
    own = rng.standard_normal(N_LATENTS)
    world = world_from_latents(np.sqrt(likeness) * shared_latents + np.sqrt(1 - likeness) * own)
    group = animals.blend_groups(shared_group, animals.draw_group(rng), likeness)
    device = recorder(encounter.recorder, sample_rate=config.sample_rate)
    if encounter.long_s:
        duration_s = encounter.long_s
        scene = animals.draw_scene(
            rng, species, group, duration_s, activity=LONG_ACTIVITY, require=("whistle",)
        )
    else:
        duration_s, scene = _cut_around_whistle(rng, species, group, config)
    noise_file = _noise_file(config, world)
    noise = _real_noise(rng, noise_file, device.sample_rate, duration_s)
    waveform, clip = record_scene(
        rng, scene, world, device, duration_s, channels=channels, min_snr_db=config.min_snr_db,
        noise=noise,
    )  # fmt: skip
    start = encounter.start + timedelta(seconds=encounter.slots[task.moment])
    stem = f"{start:%Y%m%d_%H%M%S}"
    if encounter.long_s:
        files = [(f"{stem}_000.wav", slice(None))]
    else:
        selection = task.moment % 99 + 1
        files = [
            (f"{stem}_ch{channel:02d}_sel{selection:02d}.wav", slice(row, row + 1))
            for row, channel in enumerate(channels)
        ]
    rows = truth.Rows([], [], [])
    for name, in_file in files:
        path = Path("recordings", encounter.label, encounter.name, name)
        _write_wav(task.out / path, waveform[in_file], device.sample_rate, device.bits)
        rows.clips.append(
            {
                "path": path.as_posix(),
                "label": encounter.label,
                "population": encounter.population,
                "encounter": encounter.name,
                "platform": encounter.platform,
                "recorder": device.name,
                "moment": task.moment,
                "channels": " ".join(str(channel) for channel in channels[in_file]),
                "start_utc": start.isoformat(timespec="seconds"),
                "duration_s": waveform.shape[1] / device.sample_rate,
                "sample_rate": device.sample_rate,
                "bits": device.bits,
                "n_signals": len(scene),
                "n_clipped": sum(clip["n_clipped"][channel] for channel in channels[in_file]),
                **world_row(world),
                "noise_file": noise_file,
            }
        )
        signals = [row for row in clip["signals"] if row["channel"] in channels[in_file]]
        for signal in signals:
            rows.signals.append({"path": path.as_posix(), **signal})
            number, channel = signal["signal"], signal["channel"]
            if number in clip["contours"]:
                times_s, frequency_hz = clip["contours"][number]
                times_s = times_s + signal["delay_s"]
                rows.contours.append(
                    truth.Contour(path.as_posix(), number, channel, times_s, frequency_hz)
                )
        if encounter.long_s:
            truth.write_raven(task.out, path, signals, encounter)
    return rows


def _cut_around_whistle(
    rng: np.random.Generator, species: Species, group: animals.Group, config: SurveyConfig
) -> tuple[float, list[animals.Signal]]:
    """Draw length and signals of a clip: one whistle with a margin, and other signals."""
    longest = config.max_clip_s - 0.2
    whistle = animals.draw_signal(
        rng, species, group, kind="whistle", duration_s=config.max_clip_s, max_s=longest
    )
    length_s = whistle.parameters["duration_s"]
    margin_s = float(rng.uniform(*MARGIN_S, 2).sum())
    duration_s = min(max(length_s + margin_s, config.min_clip_s), config.max_clip_s)
    start_s = float(rng.uniform(0.3, 0.7)) * (duration_s - length_s)
    others = animals.draw_scene(rng, species, group, duration_s)
    scene = [replace(whistle, start_s=start_s), *others]
    return duration_s, sorted(scene, key=lambda signal: signal.start_s)


def _noise_file(config: SurveyConfig, world: World) -> str:
    """Return the path of the real noise of a world; empty without real noise."""
    if not config.noise_files or world.noise_pick >= config.noise_share:
        return ""
    place = int(world.noise_pick / config.noise_share * len(config.noise_files))
    return str(config.noise_files[min(place, len(config.noise_files) - 1)])


def _real_noise(
    rng: np.random.Generator, path: str, sample_rate: int, duration_s: float
) -> NDArray[np.float32] | None:
    """Read a stretch of a noise file at the rate of the recorder. A short stretch is repeated."""
    position = float(rng.random())
    if not path:
        return None
    n_samples = round(duration_s * sample_rate)
    info = sf.info(path)
    n_wanted = min(int(np.ceil(duration_s * info.samplerate)) + 1, info.frames)
    first = int(position * (info.frames - n_wanted))
    samples, rate = sf.read(path, frames=n_wanted, start=first, dtype="float32", always_2d=True)
    ratio = Fraction(sample_rate, rate).limit_denominator(2000)
    noise = resample_poly(samples.mean(axis=1), ratio.numerator, ratio.denominator)
    return np.resize(np.asarray(noise, dtype=np.float32), n_samples)


def _write_wav(path: Path, waveform: NDArray[np.float32], sample_rate: int, bits: int) -> None:
    # Integers, so that the library neither scales nor rounds.
    if bits == 16:
        samples = (waveform.T * np.float32(2**15)).astype(np.int16)
    else:
        samples = (waveform.T * np.float32(2**23)).astype(np.int32) << 8
    with whole_file(path) as part:
        sf.write(part, samples, sample_rate, subtype=f"PCM_{bits}", format="WAV")

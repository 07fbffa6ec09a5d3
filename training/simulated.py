"""Simulated clips to train on: levels of the common front end beside what is true of them.

In: settings and a number. Out: the levels of one clip in decibels, as the product's own front end
computes them, and the signals that can be heard in it. Kept in a folder of plain arrays, a file per
block of clips, so that a run that was cut off goes on where it stopped.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pseudorca import simulation as sim
from pseudorca.backbones.small_network import FRONT_END
from pseudorca.errors import AudioError
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.recordings.bands import REACH
from pseudorca.simulation.signals import PULSED

FORMAT = 1  # changes with anything that changes a cached clip
BLOCK = 100
STEP_DB = 0.5  # of the kept levels
PARAMETERS = tuple(
    name for name in sim.TRAIT_NAMES if not name.endswith(("level_db", "burst_pulse.q"))
)
SIGNAL_COLUMNS = (
    6  # of a signal: kind, start, end, low, high, signal-to-noise ratio, then parameters
)
LOGARITHMIC = {name for name in PARAMETERS if sim.PSEUDORCA.traits[name].log}
RATES: dict[str, tuple[tuple[int, float], ...]] = {
    "16k": (
        (32_000, 0.52), (8_000, 0.04), (11_025, 0.04), (16_000, 0.08), (20_000, 0.06),
        (22_050, 0.08), (24_000, 0.06), (44_100, 0.04), (48_000, 0.04), (96_000, 0.04),
    ),
    "48k": ((96_000, 0.6), (32_000, 0.1), (48_000, 0.1), (64_000, 0.1), (192_000, 0.1)),
    "96k": ((192_000, 0.6), (48_000, 0.1), (96_000, 0.2), (128_000, 0.1)),
}  # fmt: skip
"""Sample rates in Hz, with their shares, of the recordings that a band is trained on."""


@dataclass(frozen=True)
class ClipSettings:
    """What decides the sound of a set of clips."""

    seed: int = 1
    n_clips: int = 8_000
    """A multiple of 100, the clips of a block."""
    n_species: int = 400
    band: str = "16k"
    clip_s: float = 3.0
    quiet_share: float = 0.15
    """Clips without any signal."""
    max_snr_db: float = 42.0
    natural_share: float = 0.2
    """Clips whose signals are as loud as level and distance make them."""
    recorders: Literal["drawn", "ideal"] = "drawn"
    """``ideal``: flat, silent and never overloaded, to see what the model of recorders is for."""

    @property
    def key(self) -> str:
        """Name of the set's folder; a set can grow, so the number of clips is not part of it."""
        told = {name: value for name, value in asdict(self).items() if name != "n_clips"}
        text = json.dumps(told | {"format": FORMAT}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def front_end(band: str = "16k") -> CommonFrontEnd:
    """The pictures of the network in the box."""
    return CommonFrontEnd.in_band(band, **FRONT_END)


def virtual_species(settings: ClipSettings, number: int) -> sim.Species:
    """Species ``number`` of a set; the same whatever clips are made."""
    rng = np.random.default_rng([settings.seed, 1, number])
    return sim.draw_virtual_species(rng, name=f"virtual {number}")


def draw_rate(rng: np.random.Generator, band: str) -> int:
    """The sample rate of some recording, in Hz."""
    rates, shares = zip(*RATES[band], strict=True)
    return int(rng.choice(rates, p=np.array(shares) / sum(shares)))


def ideal(recorder: sim.Recorder) -> sim.Recorder:
    """The same recorder without its limits: band, slope, noise of its own, overload."""
    return replace(
        recorder, bits=24, fmin_hz=1.0, fmin_order=1, fmax_hz=10.0 * recorder.sample_rate,
        fmax_order=1, slope_db=0.0, self_noise_db=-20.0, full_scale_db=200.0,
    )  # fmt: skip


def simulated_clip(settings: ClipSettings, number: int) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Clip ``number`` of a set.

    Returns
    -------
    levels : ndarray [shape=(n_rows, n_frames)], uint8
        Half decibels below 255 at the loudest
    truth : dict
        ``species``, ``n_reached`` (rows), ``signals``: a row per signal that is in the band
    """
    rng = np.random.default_rng([settings.seed, 2, number])
    species_number = int(rng.integers(settings.n_species))
    species = virtual_species(settings, species_number)
    rate = draw_rate(rng, settings.band)
    recorder = sim.draw_recorder(rng, sample_rate=rate)
    if settings.recorders == "ideal":
        recorder = ideal(recorder)
    world = sim.draw_world(rng)
    quiet = bool(rng.random() < settings.quiet_share)
    natural = bool(rng.random() < settings.natural_share)
    snr_db = float(rng.uniform(0.0, settings.max_snr_db))
    activity = 0.0 if quiet else float(np.exp(rng.normal(0.0, 0.5)))
    kinds = [kind for kind, per_s in species.rates.items() if per_s > 0]
    require = [] if quiet else [str(rng.choice(kinds))]
    waveform, truth = sim.simulate_clip(
        rng, species, world, recorder, settings.clip_s, activity=activity, require=require,
        snr_db=None if natural else snr_db,
    )  # fmt: skip
    pictures = front_end(settings.band)
    levels, n_reached = pictures.levels_db(waveform[0], sample_rate=rate)
    top = float(levels[:n_reached].max())
    kept = np.clip(np.rint(255 + (levels - top) / STEP_DB), 0, 255).astype(np.uint8)
    highest_hz = min(REACH * rate, pictures.fmax_hz, 2 * recorder.fmax_hz)
    signals = [row for row in truth["signals"] if row["low_hz"] < highest_hz]
    return kept, {"species": species_number, "n_reached": n_reached, "signals": signals}


def seen_gain_db(signals: NDArray[np.float32], pictures: CommonFrontEnd) -> NDArray[np.float64]:
    """By how much signals stand out more in the cells of the picture that they fill than in their band.

    A tone fills one row, which is wider than its band if it is flat and narrower if it sweeps. A
    pulse lasts far less than a window of the spectrogram: its power is spread over the time until the
    next one, or over the window where that is shorter. What lies below the picture stands out not
    at all.

    Parameters
    ----------
    signals : ndarray [shape=(n, 6 + n_parameters)], as in :class:`Clips`
    pictures : CommonFrontEnd

    Returns
    -------
    ndarray [shape=(n,)], dB
    """
    lowest, highest = (mel(hz) for hz in (pictures.fmin_hz, pictures.fmax_hz))
    row_mel = (highest - lowest) / (pictures.n_rows + 1)
    row_hz = row_mel * math.log(10.0) / 2595.0 * (700.0 + signals[:, 3:5].mean(1))
    gain_db = 10.0 * np.log10(np.maximum(signals[:, 4] - signals[:, 3], 10.0) / row_hz)
    gain_db = np.minimum(gain_db, 12.0)  # a steep sweep is short in every row
    window_s = 0.4 * pictures.window_ms * 1e-3  # that a Hann window weighs by its square
    for kind in PULSED:
        own = signals[:, 0] == sim.KINDS.index(kind)
        peak_hz, interval_s = (
            signals[own, SIGNAL_COLUMNS + PARAMETERS.index(f"{kind}.{name}")]
            for name in ("peak_hz", "interval_s")
        )
        pulse_s = np.maximum(2.0 / peak_hz, 1.0 / pictures.fmax_hz)
        gain_db[own] = 10.0 * np.log10(pulse_s / np.minimum(interval_s, window_s))
    gain_db[signals[:, 4] < pictures.fmin_hz] = -np.inf
    return gain_db


def mel(hz: float) -> float:
    """The scale of the pictures' rows."""
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def simulated_block(task: tuple[ClipSettings, int, Path]) -> None:
    """Write one block of clips, whole or not at all."""
    settings, block, folder = task
    levels, about, rows = [], [], []
    numbers = range(block * BLOCK, min((block + 1) * BLOCK, settings.n_clips))
    for number in numbers:
        try:
            picture, truth = simulated_clip(settings, number)
        except AudioError:  # a recorder so deaf that its clip is digital silence
            continue
        levels.append(picture)
        about.append((number, truth["species"], truth["n_reached"]))
        for row in truth["signals"]:
            place = sim.KINDS.index(row["kind"])
            names = [name.partition(".") for name in PARAMETERS]
            values = [row[n] if kind == row["kind"] else np.nan for kind, _, n in names]
            rows.append(
                [number, place]
                + [row[n] for n in ("start_s", "end_s", "low_hz", "high_hz", "snr_db")]
                + values
            )
    table = np.array(rows, dtype=np.float32).reshape(len(rows), 7 + len(PARAMETERS))
    target = folder / f"block_{block:05d}.npz"
    partial = target.with_suffix(".part.npz")
    np.savez(partial, levels=np.stack(levels), about=np.array(about, np.int64), signals=table)
    partial.replace(target)


def simulate(
    settings: ClipSettings,
    folder: Path,
    *,
    n_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make what is missing of a set of clips in a folder of its own under ``folder``."""
    home = folder / settings.key
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.json").write_text(json.dumps(asdict(settings), indent=2) + "\n")
    blocks = range(-(-settings.n_clips // BLOCK))
    todo = [n for n in blocks if not (home / f"block_{n:05d}.npz").exists()]
    tasks = [(settings, n, home) for n in todo]
    for done, _ in enumerate(_each(simulated_block, tasks, n_workers), start=1):
        if progress:
            progress(done, len(tasks))
    return home


def _each(function: Callable[[Any], Any], tasks: list[Any], n_workers: int) -> Iterator[Any]:
    if n_workers == 1:
        yield from map(function, tasks)
        return
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    ):  # of the processes yet to start
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(n_workers) as pool:
        yield from pool.map(function, tasks)


@dataclass(frozen=True)
class Clips:
    """A set of clips in memory.

    ``levels`` [shape=(n, n_rows, n_frames)], uint8; ``species``, ``n_reached`` [shape=(n,)];
    ``signals`` a list of arrays [shape=(n_signals, 6 + n_parameters)]: kind, start and end in s, low
    and high in Hz, signal-to-noise ratio in dB, parameters (NaN where of another kind).
    """

    levels: NDArray[np.uint8]
    species: NDArray[np.int64]
    n_reached: NDArray[np.int64]
    signals: list[NDArray[np.float32]]


def load_clips(home: Path, n_clips: int | None = None) -> Clips:
    """Read a folder that :func:`simulate` filled."""
    levels, about, signals = [], [], []
    for path in sorted(home.glob("block_?????.npz")):
        with np.load(path) as block:
            levels.append(block["levels"])
            about.append(block["about"])
            order = np.searchsorted(block["signals"][:, 0], [*block["about"][:, 0], np.inf])
            signals += [block["signals"][a:b, 1:] for a, b in pairwise(order)]
    table = np.concatenate(about)[:n_clips]
    return Clips(np.concatenate(levels)[:n_clips], table[:, 1], table[:, 2], signals[:n_clips])


@dataclass(frozen=True)
class SurveySettings:
    """A held-out survey of virtual species: what every choice is made on."""

    seed: int = 1000
    n_species: int = 6
    n_encounters: int = 4
    """Of each species; an encounter has its own animals, sea and recorder."""
    n_clips: int = 4
    """Of each encounter."""
    band: str = "16k"
    clip_s: float = 3.0
    shortest_s: float = 0.3
    """Half of the clips are recordings of this length or longer, repeated to fill ``clip_s``."""
    unlikeness: float = 0.5
    """How far the species' traits are from those of the first, as a share of that of two drawn
    independently. All make the same kinds of signal."""


@dataclass(frozen=True)
class SurveyClips:
    """Waveforms' levels of a held-out survey, a row per clip.

    ``levels`` and ``quiet`` [shape=(n, n_rows, n_frames)], float32 dB: with the animals, and the
    same sea through the same recorder without them.
    """

    levels: NDArray[np.float32]
    quiet: NDArray[np.float32]
    n_reached: NDArray[np.int64]
    species: NDArray[np.int64]
    encounter: NDArray[np.int64]


def nearer(species: sim.Species, first: sim.Species, unlikeness: float) -> sim.Species:
    """A species with its traits moved towards those of another, and the other's rates of signals."""
    traits = {}
    for name, trait in species.traits.items():
        centre, towards = trait.centre, first.traits[name].centre
        if trait.log:
            moved = towards * (centre / towards) ** unlikeness
        else:
            moved = towards + unlikeness * (centre - towards)
        traits[name] = trait._replace(centre=moved)
    return replace(species, traits=traits, rates=first.rates)


def cut_and_tiled(waveform: NDArray[np.float32], first: int, n: int) -> NDArray[np.float32]:
    """``n`` samples from ``first`` on, over and over, as long as all: as a short recording is seen."""
    return np.resize(waveform[first : first + n], len(waveform))


def simulated_survey(settings: SurveySettings) -> SurveyClips:
    """Make a held-out survey; its species are in no training set, since its seed differs."""
    rng = np.random.default_rng([settings.seed, 3])
    pictures = front_end(settings.band)
    every = [sim.draw_virtual_species(rng) for _ in range(settings.n_species)]
    every = [nearer(one, every[0], settings.unlikeness) for one in every]
    levels, quiet, about = [], [], []
    for number, one in enumerate(every):
        kinds = [kind for kind, per_s in one.rates.items() if per_s > 0]
        for encounter in range(settings.n_encounters):
            rate = draw_rate(rng, settings.band)
            recorder = sim.draw_recorder(rng, sample_rate=rate)
            world, group = sim.draw_world(rng), sim.draw_group(rng)
            for _ in range(settings.n_clips):
                snr_db = float(rng.uniform(3.0, 30.0))
                heard, truth = sim.simulate_clip(
                    rng, one, world, recorder, settings.clip_s, group=group,
                    require=[str(rng.choice(kinds))], snr_db=snr_db,
                )  # fmt: skip
                silent, _ = sim.simulate_clip(
                    rng,
                    one,
                    world,
                    recorder,
                    settings.clip_s,
                    group=group,
                    activity=0.0,
                )
                first, n = 0, heard.shape[1]
                if rng.random() < 0.5:  # a short recording, cut around some signal
                    length_s = float(rng.uniform(settings.shortest_s, settings.clip_s))
                    chosen = truth["signals"][int(rng.integers(len(truth["signals"])))]
                    middle_s = 0.5 * (chosen["start_s"] + chosen["end_s"])
                    n = round(length_s * rate)
                    first = int(np.clip(round(middle_s * rate) - n // 2, 0, heard.shape[1] - n))
                try:
                    pair = [
                        pictures.levels_db(cut_and_tiled(wave[0], first, n), sample_rate=rate)
                        for wave in (heard, silent)
                    ]
                except AudioError:
                    continue
                levels.append(pair[0][0])
                quiet.append(pair[1][0])
                about.append((pair[0][1], number, number * settings.n_encounters + encounter))
    table = np.array(about)
    return SurveyClips(np.stack(levels), np.stack(quiet), *table.T)

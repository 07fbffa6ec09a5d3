"""The background of a clip: ambient noise, flow, ship, electronics, and optional real noise.

Noise is drawn in the frequency domain: Gaussian numbers times the square root of a spectrum. This
needs one transform per channel. All channels record the same ship. Ambient noise, flow and self-noise
are independent between channels.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pseudorca.simulation.recorders import Recorder
from pseudorca.simulation.signals import Floats
from pseudorca.simulation.world import N_CHANNELS, World

BLOCK: Final = 4_000_000  # samples drawn together: limits the memory of a long recording
FADE: Final = 65_536  # samples of the crossfade between two blocks
TABLE: Final = 4096  # 2**12
GRID_POINTS: Final = 600


def _grid_hz(sample_rate: int) -> Floats:
    return np.geomspace(1.0, sample_rate / 2.0, GRID_POINTS)


def _power(level_db: Floats) -> Floats:
    return np.asarray(10.0 ** (level_db / 10.0))


def ambient_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Compute the ambient noise without the own ship: turbulence, distant ships, wind and heat.

    Parameters
    ----------
    world : World
    frequency_hz : ndarray, Hz

    Returns
    -------
    ndarray, dB re 1 uPa^2/Hz

    References
    ----------
    .. [1] G. M. Wenz, Acoustic ambient noise in the ocean, J. Acoust. Soc. Am. 34, 1936 (1962).
    .. [2] M. Stojanovic, On the relationship between capacity and distance in an underwater
       acoustic communication channel, ACM MC2R 11(4), 34 (2007): the empirical formulae of Coates.

    Examples
    --------
    >>> from pseudorca.simulation import draw_world
    >>> ambient_noise_db(draw_world(np.random.default_rng(0)), np.array([1_000.0])).round().tolist()
    [63.0]
    """
    khz = np.maximum(frequency_hz, 1.0) / 1000.0
    log = np.log10(khz)
    levels = (
        17.0 - 30.0 * log,
        40.0 + 20.0 * (world.shipping - 0.5) + 26.0 * log - 60.0 * np.log10(khz + 0.03),
        50.0 + 7.5 * np.sqrt(world.wind_m_s) + 20.0 * log - 40.0 * np.log10(khz + 0.4),
        -15.0 + 20.0 * log,
    )
    return np.asarray(10.0 * np.log10(sum(10.0 ** (level / 10.0) for level in levels)))


def _flow_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Noise of water around a towed hydrophone, and of its cable: strongest at low frequencies."""
    hz = np.maximum(frequency_hz, 1.0)
    flow = world.flow_db + world.flow_slope * np.log10(np.maximum(hz, 30.0) / 100.0)
    width = 0.2 * world.strum_hz
    strum = world.strum_db - 10.0 * np.log10(1.0 + ((hz - world.strum_hz) / width) ** 2)
    # The tail of the Lorentz curve would raise the whole spectrum, so the tail is cut off.
    strum -= 20.0 * np.log10(1.0 + (hz / (10.0 * world.strum_hz)) ** 2)
    return np.asarray(10.0 * np.log10(10.0 ** (flow / 10.0) + 10.0 ** (strum / 10.0)))


def _vessel_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Noise of a propeller by cavitation: flat below 100 Hz, then -20 dB per decade."""
    hz = np.maximum(frequency_hz, 100.0)
    return np.asarray(world.vessel_db - 20.0 * np.log10(hz / 1000.0))


def _recorded_power(world: World, recorder: Recorder, *, with_vessel: bool) -> Floats:
    """Power spectrum in a recording on the grid: ambient noise, flow, self-noise, perhaps the ship."""
    grid_hz = _grid_hz(recorder.sample_rate)
    sound = _power(ambient_noise_db(world, grid_hz)) + _power(_flow_noise_db(world, grid_hz))
    if with_vessel:
        sound += _power(_vessel_noise_db(world, grid_hz))
    self_noise = recorder.self_noise(grid_hz, offset_db=world.self_noise_db)
    return sound * recorder.response(grid_hz, world) ** 2 + _power(self_noise)


def noise_levels(world: World, recorder: Recorder, mixed_db: float | None = None) -> Floats:
    """Compute the spectrum level of the noise in a recording, on the grid of :func:`band_power`.

    Parameters
    ----------
    world : World
    recorder : Recorder
    mixed_db : float, optional, dB re 1 uPa
        Level of added real noise, which is assumed to be white.

    Returns
    -------
    ndarray [shape=(n,)], dB re 1 uPa^2/Hz, with the response of the recorder

    Examples
    --------
    >>> from pseudorca.simulation import RECORDERS, draw_world
    >>> world = draw_world(np.random.default_rng(0))
    >>> noise_levels(world, RECORDERS["drifter_96k"]).shape
    (600,)
    """
    total = _recorded_power(world, recorder, with_vessel=bool(world.vessel))
    if mixed_db is not None:
        total += 10.0 ** (mixed_db / 10.0) / (recorder.sample_rate / 2.0)
    return np.asarray(10.0 * np.log10(total))


def band_power(levels: Floats, low_hz: float, high_hz: float, sample_rate: int) -> float:
    """Compute the level of noise in a band.

    Parameters
    ----------
    levels : ndarray [shape=(n,)], as :func:`noise_levels` returns
    low_hz, high_hz : float, Hz
    sample_rate : int, Hz

    Returns
    -------
    float, dB re 1 uPa

    Examples
    --------
    >>> round(band_power(np.zeros(600), 1_000.0, 2_000.0, 48_000), 6)
    30.0
    """
    inside_hz = np.linspace(low_hz, high_hz, 33)
    spectrum = _power(np.interp(inside_hz, _grid_hz(sample_rate), levels))
    return float(10.0 * np.log10(np.mean(spectrum) * max(high_hz - low_hz, 1.0)))


def background_noise(
    rng: np.random.Generator,
    world: World,
    recorder: Recorder,
    n_samples: int,
    channels: Sequence[int],
    mixed: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Draw the background of one clip. A channel does not depend on which others are drawn.

    Parameters
    ----------
    rng : numpy.random.Generator
        Gives one seed per channel, and one seed for the noise that all channels share.
    world : World
    recorder : Recorder
    n_samples : int
    channels : sequence of int, from 1
    mixed : ndarray [shape=(n_samples,)], optional
        Real noise at the recorder's sample rate, mixed in at the world's ``noise_db``.

    Returns
    -------
    ndarray [shape=(n_channels, n_samples)], float32, uPa

    Examples
    --------
    >>> from pseudorca.simulation import RECORDERS, draw_world
    >>> rng = np.random.default_rng(0)
    >>> background_noise(rng, draw_world(rng), RECORDERS["drifter_96k"], 1_000, (1, 2)).shape
    (2, 1000)
    """
    sample_rate = recorder.sample_rate
    seeds = rng.integers(2**63, size=N_CHANNELS)
    bearing_cos = float(rng.uniform(-1.0, 1.0))
    ship_rng = np.random.default_rng(rng.integers(2**63))
    shared = _ship_noise(ship_rng, world, recorder, n_samples) if world.vessel else None
    if mixed is not None:
        rms = float(np.sqrt(np.mean(np.square(mixed, dtype=np.float64))))
        level = 10.0 ** (world.noise_db / 20.0) / max(rms, 1e-12)
        added = np.resize(mixed, n_samples) * np.float32(level)
        shared = added if shared is None else shared + added
    power = _recorded_power(world, recorder, with_vessel=False)
    number = np.arange(world.n_tones, dtype=np.float64)
    below = world.tone_hz * (number + 1.0) < 0.49 * sample_rate
    tones_db = (world.tone_db - 4.0 * number)[below]
    pressures = []
    for channel in channels:
        channel_rng = np.random.default_rng(seeds[channel - 1])
        pressure = coloured_noise(channel_rng, power, n_samples, sample_rate)
        if shared is not None:
            delay = round(recorder.delay_s(channel, bearing_cos) * sample_rate)
            pressure += np.roll(shared, delay)
        if world.n_tones:
            pressure += periodic(channel_rng, world.tone_hz, tones_db, n_samples, sample_rate)
        pressures.append(pressure)
    return np.stack(pressures)


def _ship_noise(
    rng: np.random.Generator, world: World, recorder: Recorder, n_samples: int
) -> NDArray[np.float32]:
    """Draw cavitation noise, modulated by the blades, and the lines of the propeller."""
    sample_rate = recorder.sample_rate
    grid_hz = _grid_hz(sample_rate)
    response = recorder.response(grid_hz, world)
    level = _power(_vessel_noise_db(world, grid_hz)) * response**2
    noise = coloured_noise(rng, level, n_samples, sample_rate)
    blade_hz = world.shaft_hz * world.n_blades
    swell_db = 20.0 * np.log10(world.cavitation_depth) - 6.0 * np.arange(3) - 3.0
    noise *= 1.0 + periodic(rng, blade_hz, swell_db, n_samples, sample_rate)
    lines_hz = blade_hz * np.arange(1.0, 25.0)
    lines_db = _vessel_noise_db(world, lines_hz) + world.lines_db - 0.6 * np.arange(24.0)
    lines_db = lines_db + 20.0 * np.log10(np.interp(lines_hz, grid_hz, response))
    noise += periodic(
        rng, blade_hz, lines_db[lines_hz < 0.49 * sample_rate], n_samples, sample_rate
    )
    return noise


def coloured_noise(
    rng: np.random.Generator, power: Floats, n_samples: int, sample_rate: int
) -> NDArray[np.float32]:
    """Draw Gaussian noise with a given spectrum.

    ``X_k = sqrt(S(f_k) sample_rate n / 4) (g + i g')``, whose inverse transform has the one-sided
    spectral density ``S``. Blocks of a long recording overlap with a cosine and a sine as weights,
    so the power stays constant.

    Parameters
    ----------
    rng : numpy.random.Generator
    power : ndarray [shape=(600,)], uPa^2/Hz
        On a geometric grid from 1 Hz to half the sample rate.
    n_samples : int
    sample_rate : int, Hz

    Returns
    -------
    ndarray [shape=(n_samples,)], float32, uPa

    Examples
    --------
    >>> coloured_noise(np.random.default_rng(0), np.ones(600), 1_000, 48_000).shape
    (1000,)
    """
    if n_samples <= BLOCK:
        return _noise_block(rng, power, n_samples, sample_rate)
    fade_in = np.sin(np.linspace(0.0, np.pi / 2.0, FADE)).astype(np.float32)
    pressure = np.zeros(n_samples, dtype=np.float32)
    for first in range(0, n_samples, BLOCK - FADE):
        block = _noise_block(rng, power, BLOCK, sample_rate)
        if first > 0:
            block[:FADE] *= fade_in
        block[-FADE:] *= fade_in[::-1]
        last = min(first + BLOCK, n_samples)
        pressure[first:last] += block[: last - first]
    return pressure


def _noise_block(
    rng: np.random.Generator, power: Floats, n_samples: int, sample_rate: int
) -> NDArray[np.float32]:
    n_fft = fft.next_fast_len(n_samples, real=True)
    frequency_hz = fft.rfftfreq(n_fft, 1.0 / sample_rate)
    amplitude = np.interp(frequency_hz, _grid_hz(sample_rate), np.sqrt(power))
    amplitude *= np.sqrt(0.25 * sample_rate * n_fft)
    amplitude[0] = 0.0
    spectrum = rng.standard_normal(2 * len(frequency_hz), dtype=np.float32).view(np.complex64)
    spectrum *= amplitude.astype(np.float32)
    return np.asarray(fft.irfft(spectrum, n_fft)[:n_samples], dtype=np.float32)


def periodic(
    rng: np.random.Generator,
    fundamental_hz: float,
    levels_db: Floats,
    n_samples: int,
    sample_rate: int,
) -> NDArray[np.float32]:
    """Sum harmonics with given levels and random phases.

    One period is computed as a table, and read at the running phase. The cost does not depend on the
    number of harmonics. The errors are 70 dB below the signal.

    Parameters
    ----------
    rng : numpy.random.Generator
    fundamental_hz : float, Hz
    levels_db : ndarray [shape=(n_harmonics,)], dB, root mean square
    n_samples : int
    sample_rate : int, Hz

    Returns
    -------
    ndarray [shape=(n_samples,)], float32

    Examples
    --------
    >>> hum = periodic(np.random.default_rng(0), 50.0, np.array([0.0]), 48_000, 48_000)
    >>> round(float(np.sqrt(np.mean(hum**2))), 3)
    1.0
    """
    period = np.zeros(TABLE)
    turn = np.arange(TABLE) * (2.0 * np.pi / TABLE)
    for number, level_db in enumerate(levels_db, start=1):
        amplitude = np.sqrt(2.0) * 10.0 ** (level_db / 20.0)
        period += amplitude * np.cos(number * turn + rng.uniform(0.0, 2.0 * np.pi))
    # A phase of 32 bits wraps by itself. Its upper 12 bits are the index in the table.
    step = np.uint32(round(fundamental_hz / sample_rate * 2**32) % 2**32)
    phase = np.arange(n_samples, dtype=np.uint32) * step
    return np.take(period.astype(np.float32), phase >> np.uint32(32 - 12))

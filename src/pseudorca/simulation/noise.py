"""The background of a clip: ambient noise, flow, ship, electronics, and optional real noise.

Noise is drawn in the frequency domain: Gaussian numbers times the square root of a spectrum. This
needs one transform per channel. All channels record the same ship. Ambient noise, flow and self-noise
are independent between channels.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pseudorca.simulation import world as environment
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


def _ambient(world: World, grid_hz: Floats) -> Floats:
    """Power of the noise of water and flow, without a ship."""
    water = _power(environment.sea_noise_db(world, grid_hz))
    return water + _power(environment.flow_noise_db(world, grid_hz))


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
    grid_hz = _grid_hz(recorder.sample_rate)
    sound = _ambient(world, grid_hz)
    if world.vessel:
        sound = sound + _power(environment.vessel_noise_db(world, grid_hz))
    total = sound * recorder.response(grid_hz, world) ** 2
    total += _power(recorder.self_noise(grid_hz, offset_db=world.self_noise_db))
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


class Noise:
    """The background of one clip, channel by channel.

    Parameters
    ----------
    rng : numpy.random.Generator
        Gives one seed per channel, and one seed for the noise that all channels share.
    world : World
    recorder : Recorder
    n_samples : int
    mixed : ndarray [shape=(n_samples,)], optional
        Real noise at the recorder's sample rate, of any level.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        world: World,
        recorder: Recorder,
        n_samples: int,
        mixed: NDArray[np.float32] | None = None,
    ) -> None:
        self._seeds = rng.integers(2**63, size=N_CHANNELS)
        self._world = world
        self._recorder = recorder
        self._n_samples = n_samples
        self.mixed_db = None if mixed is None else world.noise_db
        self._bearing_cos = float(rng.uniform(-1.0, 1.0))
        self._shared = self._ship(np.random.default_rng(rng.integers(2**63)))
        if mixed is not None:
            rms = float(np.sqrt(np.mean(np.square(mixed, dtype=np.float64))))
            level = 10.0 ** (world.noise_db / 20.0) / max(rms, 1e-12)
            added = np.resize(mixed, n_samples) * np.float32(level)
            self._shared = added if self._shared is None else self._shared + added

    def channel(self, channel: int) -> NDArray[np.float32]:
        """Draw the background of one channel.

        Parameters
        ----------
        channel : int, from 1

        Returns
        -------
        ndarray [shape=(n_samples,)], float32, uPa
        """
        rng = np.random.default_rng(self._seeds[channel - 1])
        world, recorder = self._world, self._recorder
        grid_hz = _grid_hz(recorder.sample_rate)
        sound = _ambient(world, grid_hz)
        sound *= recorder.response(grid_hz, world) ** 2
        sound += _power(recorder.self_noise(grid_hz, offset_db=world.self_noise_db))
        pressure = coloured_noise(rng, sound, self._n_samples, recorder.sample_rate)
        if self._shared is not None:
            delay = round(recorder.delay_s(channel, self._bearing_cos) * recorder.sample_rate)
            pressure += np.roll(self._shared, delay)
        if world.n_tones:
            tone_hz, tone_db = environment.tones(world)
            below = tone_hz < 0.49 * recorder.sample_rate
            pressure += periodic(
                rng, world.tone_hz, tone_db[below], self._n_samples, recorder.sample_rate
            )
        return pressure

    def _ship(self, rng: np.random.Generator) -> NDArray[np.float32] | None:
        """Draw cavitation noise, modulated by the blades, and the lines of the propeller."""
        world, recorder = self._world, self._recorder
        if not world.vessel:
            return None
        sample_rate = recorder.sample_rate
        grid_hz = _grid_hz(sample_rate)
        response = recorder.response(grid_hz, world)
        level = _power(environment.vessel_noise_db(world, grid_hz)) * response**2
        noise = coloured_noise(rng, level, self._n_samples, sample_rate)
        blade_hz = world.shaft_hz * world.n_blades
        swell_db = 20.0 * np.log10(world.cavitation_depth) - 6.0 * np.arange(3) - 3.0
        noise *= 1.0 + periodic(rng, blade_hz, swell_db, self._n_samples, sample_rate)
        lines_hz, lines_db = environment.vessel_lines(world)
        lines_db = lines_db + 20.0 * np.log10(np.interp(lines_hz, grid_hz, response))
        lines_db = lines_db[lines_hz < 0.49 * sample_rate]
        noise += periodic(rng, blade_hz, lines_db, self._n_samples, sample_rate)
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

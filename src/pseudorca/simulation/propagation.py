"""Propagation of sound from the animal to the hydrophone: absorption, spreading, and echoes."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudorca.simulation.signals import SOUND_SPEED, Floats
from pseudorca.simulation.world import World

SEA_TEMPERATURE_C: Final = 25.0  # Hawaii, near the surface
MAX_ECHO_S: Final = 0.05
BOTTOM_GAIN: Final = 0.35  # chosen


def absorption_db_per_km(frequency_hz: Floats) -> Floats:
    """Compute the absorption of sound by sea water (25 degrees C, salinity 35, pH 8, surface).

    Parameters
    ----------
    frequency_hz : ndarray, Hz

    Returns
    -------
    ndarray, dB/km

    References
    ----------
    .. [1] M. A. Ainslie and J. G. McColm, A simplified formula for viscous and chemical
       absorption in sea water, J. Acoust. Soc. Am. 103, 1671 (1998).

    Examples
    --------
    >>> absorption_db_per_km(np.array([10_000.0])).round(1).tolist()
    [0.7]
    """
    f2 = (frequency_hz / 1000.0) ** 2
    temperature = SEA_TEMPERATURE_C
    boric = 0.78 * np.exp(temperature / 26.0)
    magnesium = 42.0 * np.exp(temperature / 17.0)
    return np.asarray(
        0.106 * boric * f2 / (boric**2 + f2)
        + 0.52 * (1.0 + temperature / 43.0) * magnesium * f2 / (magnesium**2 + f2)
        + 0.00049 * f2 * np.exp(-temperature / 27.0)
    )


def spreading_loss_db(world: World, range_m: float) -> float:
    """Compute the loss by spreading: spherical up to the water depth, ``15 log10`` beyond.

    Parameters
    ----------
    world : World
    range_m : float, m

    Returns
    -------
    float, dB

    Examples
    --------
    >>> from pseudorca.simulation import draw_world
    >>> world = draw_world(np.random.default_rng(0))
    >>> spreading_loss_db(world, 10.0)
    20.0
    """
    near_m = min(range_m, world.water_depth_m)
    return float(20.0 * np.log10(max(near_m, 1.0)) + 15.0 * np.log10(range_m / near_m))


def wave_height_m(wind_m_s: float) -> float:
    """Compute the root mean square height of fully developed waves (Pierson and Moskowitz 1964).

    Parameters
    ----------
    wind_m_s : float, m/s

    Returns
    -------
    float, m, at most 1.5

    Examples
    --------
    >>> round(wave_height_m(10.0), 2)
    0.54
    """
    return min(0.25 * 0.21 * wind_m_s**2 / 9.81, 1.5)


class Path(NamedTuple):
    """One path of sound from the animal to the hydrophone."""

    delay_s: float  # delay after the direct path
    gain: float  # amplitude relative to the direct path
    roughness_m: float  # wave height times the sine of the grazing angle; 0 without surface


def paths(world: World, range_m: float) -> list[Path]:
    """List the paths of sound from the animal to the hydrophone. The direct path is first.

    Mirror sources: the surface (inverting), the bottom, and both. Paths that are later than 50 ms are
    left out, because their sound is separate from the direct sound.

    Parameters
    ----------
    world : World
    range_m : float, m

    Returns
    -------
    list of Path

    Examples
    --------
    >>> from pseudorca.simulation import draw_world
    >>> paths(draw_world(np.random.default_rng(0)), 500.0)[0]
    Path(delay_s=0.0, gain=1.0, roughness_m=0.0)
    """
    zs, zr, depth = world.source_depth_m, world.receiver_depth_m, world.water_depth_m
    depth = max(depth, 1.2 * max(zs, zr))
    surface = -(10.0 ** (-world.surface_loss_db / 20.0))
    direct_m = float(np.hypot(range_m, zs - zr))
    all_paths = [Path(0.0, 1.0, 0.0)]
    for height, gain, at_surface in (
        (zs + zr, surface, True),
        (2.0 * depth - zs - zr, BOTTOM_GAIN, False),
        (2.0 * depth + zs - zr, BOTTOM_GAIN * surface, True),
        (2.0 * depth - zs + zr, BOTTOM_GAIN * surface, True),
    ):
        path_m = float(np.hypot(range_m, height))
        delay_s = (path_m - direct_m) / SOUND_SPEED
        if delay_s < MAX_ECHO_S:
            rough_m = wave_height_m(world.wind_m_s) * height / path_m if at_surface else 0.0
            all_paths.append(Path(delay_s, gain * direct_m / path_m, rough_m))
    return all_paths


def transfer(world: World, frequency_hz: Floats, range_m: float) -> NDArray[np.complex64]:
    """Compute the transfer function of the water: spreading, absorption and echoes.

    A rough surface reflects ``exp(-2 (k h sin(grazing angle))^2)`` of the amplitude coherently. The
    scattered rest is left out.

    Parameters
    ----------
    world : World
    frequency_hz : ndarray [shape=(n,)], Hz
    range_m : float, m

    Returns
    -------
    ndarray [shape=(n,)], complex64
        Amplitude relative to 1 m. Only echoes are delayed.

    Examples
    --------
    >>> from pseudorca.simulation import draw_world
    >>> transfer(draw_world(np.random.default_rng(0)), np.array([5_000.0]), 500.0).shape
    (1,)
    """
    loss_db = absorption_db_per_km(frequency_hz) * (range_m / 1000.0)
    loss_db += spreading_loss_db(world, range_m)
    total = np.zeros(len(frequency_hz), dtype=np.complex64)
    for path in paths(world, range_m):
        # Turns are wrapped before the rounding to 32 bits.
        turns = np.remainder(frequency_hz * path.delay_s, 1.0)
        angle = (turns * (-2.0 * np.pi)).astype(np.float32)
        gain = np.float32(path.gain)
        if path.roughness_m > 0.0:
            wave_number = (2.0 * np.pi / SOUND_SPEED * path.roughness_m) * frequency_hz
            gain = gain * np.exp(-2.0 * wave_number.astype(np.float32) ** 2)
        total += gain * (np.cos(angle) + 1j * np.sin(angle)).astype(np.complex64)
    return np.asarray(total * (10.0 ** (-loss_db / 20.0)).astype(np.float32))

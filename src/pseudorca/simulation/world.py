"""The world of a clip: water, ship, electronics and geometry, and their noise.

A :class:`World` is one state of water, ship and electronics. A world is made from a vector of standard
normal numbers. Blending two vectors gives two worlds of any similarity. Levels are in dB re 1 uPa,
spectrum levels in dB re 1 uPa^2/Hz.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from scipy.special import ndtr

from pseudorca.simulation.signals import Floats

N_CHANNELS: Final = 6  # channels of the towed arrays of HICEAS
TONE_LINES: Final = 3
CHANNEL_SD_DB: Final = 1.5  # chosen
COLOUR_HZ: Final = np.geomspace(60.0, 120_000.0, 18)
COLOUR_SD_DB: Final = 3.0  # chosen: difference between deployments of one recorder


@dataclass(frozen=True)
class World:
    """State of the water, the ship, the electronics and the geometry of one clip."""

    wind_m_s: float
    shipping: float  # 0 to 1
    flow_db: float  # flow noise at 100 Hz
    flow_slope: float  # dB per decade, above 30 Hz
    strum_hz: float  # hum of the towing cable
    strum_db: float  # its peak
    vessel: int  # 1 if the propeller of a ship is audible, else 0
    vessel_db: float  # cavitation noise at 1 kHz
    shaft_hz: float
    n_blades: int
    lines_db: float  # propeller lines above the cavitation noise
    cavitation_depth: float  # 0 to 1: depth of the modulation by the blades
    n_tones: int  # electrical lines
    tone_hz: float  # the lowest line; the others are multiples
    tone_db: float
    gain_db: float  # of this deployment, added to the gain of the recorder
    tilt_db: float  # per decade, 0 at 10 kHz: hydrophone and cable
    self_noise_db: float  # added to the noise of the recorder
    range_m: float  # median distance of the animals
    source_depth_m: float
    receiver_depth_m: float
    water_depth_m: float
    surface_loss_db: float
    noise_pick: float  # 0 to 1: chooses one of the noise files
    noise_db: float  # level of that file, root mean square
    colour_db: tuple[float, ...]  # unevenness of hydrophone, cable and mounting, at COLOUR_HZ
    channel_db: tuple[float, ...]  # gain of each channel relative to the array

    def coloration_db(self, frequency_hz: Floats) -> Floats:
        """Compute the deviation of a deployment from the response of its recorder.

        Parameters
        ----------
        frequency_hz : ndarray [shape=(n,)], Hz

        Returns
        -------
        ndarray [shape=(n,)], dB
        """
        log_hz = np.log10(np.maximum(frequency_hz, 20.0))
        centres = np.log10(COLOUR_HZ)
        width = 0.65 * (centres[1] - centres[0])
        bumps = np.exp(-0.5 * ((log_hz[:, None] - centres) / width) ** 2)
        return np.asarray(bumps @ np.asarray(self.colour_db) + self.tilt_db * (log_hz - 4.0))


_Transform = Callable[[float], float]


def _normal(mean: float, sd: float) -> _Transform:
    return lambda z: mean + sd * z


def _log_normal(median: float, sd: float) -> _Transform:
    return lambda z: median * float(np.exp(sd * z))


def _uniform(low: float, high: float) -> _Transform:
    return lambda z: low + (high - low) * float(ndtr(z))


# The transformation of a standard normal number for each field. Wind, ranges and depths as on a towed
# survey off Hawaii; levels chosen so that noise floors are similar to the HICEAS clip.
_FIELDS: Final[dict[str, _Transform]] = {
    "wind_m_s": _log_normal(6.0, 0.4),
    "shipping": _uniform(0.0, 1.0),
    "flow_db": _normal(80.0, 6.0),
    "flow_slope": _normal(-23.0, 3.0),
    "strum_hz": _log_normal(18.0, 0.3),
    "strum_db": _normal(112.0, 6.0),
    "vessel": _uniform(0.0, 2.0),
    "vessel_db": _normal(60.0, 5.0),
    "shaft_hz": _log_normal(2.2, 0.25),
    "n_blades": _uniform(3.0, 6.0),
    "lines_db": _normal(14.0, 4.0),
    "cavitation_depth": _uniform(0.1, 0.7),
    "n_tones": _uniform(0.0, TONE_LINES + 1.0),
    "tone_hz": _log_normal(9000.0, 0.8),
    "tone_db": _normal(76.0, 5.0),
    "gain_db": _normal(0.0, 4.0),
    "tilt_db": _normal(0.0, 2.0),
    "self_noise_db": _normal(0.0, 3.0),
    "range_m": _log_normal(600.0, 0.45),
    "source_depth_m": _uniform(2.0, 40.0),
    "receiver_depth_m": _uniform(4.0, 12.0),
    "water_depth_m": _log_normal(800.0, 1.0),
    "surface_loss_db": _uniform(1.0, 6.0),
    "noise_pick": _uniform(0.0, 1.0),
    "noise_db": _normal(95.0, 5.0),
}
_WHOLE: Final = ("vessel", "n_blades", "n_tones")
N_LATENTS: Final = len(_FIELDS) + len(COLOUR_HZ) + N_CHANNELS


def world_from_latents(latents: Floats) -> World:
    """Make a world from a vector of standard normal numbers.

    Parameters
    ----------
    latents : ndarray [shape=(N_LATENTS,)]

    Returns
    -------
    World

    Examples
    --------
    >>> world_from_latents(np.zeros(N_LATENTS)).range_m
    600.0
    """
    values = {
        name: transform(float(z))
        for (name, transform), z in zip(_FIELDS.items(), latents, strict=False)
    }
    whole = {name: int(values[name]) for name in _WHOLE}
    colour, channels = np.split(latents[len(_FIELDS) :], [len(COLOUR_HZ)])
    return World(
        **{**values, **whole},  # type: ignore[arg-type]
        colour_db=tuple((COLOUR_SD_DB * colour).tolist()),
        channel_db=tuple((CHANNEL_SD_DB * channels).tolist()),
    )


def draw_world(rng: np.random.Generator) -> World:
    """Draw a world.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    World

    Examples
    --------
    >>> draw_world(np.random.default_rng(0)).wind_m_s > 0
    True
    """
    return world_from_latents(rng.standard_normal(N_LATENTS))


def world_row(world: World) -> dict[str, float]:
    """Convert a world to a row of a table. A tuple gives columns such as ``channel_db_1``.

    Parameters
    ----------
    world : World

    Returns
    -------
    dict from column to value

    Examples
    --------
    >>> world_row(draw_world(np.random.default_rng(0)))["n_tones"] in range(4)
    True
    """
    row = {field.name: getattr(world, field.name) for field in fields(world)}
    for name in ("colour_db", "channel_db"):
        for number, value in enumerate(row.pop(name), start=1):
            row[f"{name}_{number}"] = value
    return row


def sea_noise_db(world: World, frequency_hz: Floats) -> Floats:
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


def flow_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Compute the noise of water around a towed hydrophone, and of its cable: strongest at low Hz.

    Parameters
    ----------
    world : World
    frequency_hz : ndarray, Hz

    Returns
    -------
    ndarray, dB re 1 uPa^2/Hz
    """
    hz = np.maximum(frequency_hz, 1.0)
    flow = world.flow_db + world.flow_slope * np.log10(np.maximum(hz, 30.0) / 100.0)
    width = 0.2 * world.strum_hz
    strum = world.strum_db - 10.0 * np.log10(1.0 + ((hz - world.strum_hz) / width) ** 2)
    # The tail of the Lorentz curve would raise the whole spectrum, so the tail is cut off.
    strum -= 20.0 * np.log10(1.0 + (hz / (10.0 * world.strum_hz)) ** 2)
    return np.asarray(10.0 * np.log10(10.0 ** (flow / 10.0) + 10.0 ** (strum / 10.0)))


def vessel_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Compute the noise of a propeller by cavitation: flat below 100 Hz, then -20 dB per decade.

    Parameters
    ----------
    world : World
    frequency_hz : ndarray, Hz

    Returns
    -------
    ndarray, dB re 1 uPa^2/Hz
    """
    hz = np.maximum(frequency_hz, 100.0)
    return np.asarray(world.vessel_db - 20.0 * np.log10(hz / 1000.0))


def vessel_lines(world: World) -> tuple[Floats, Floats]:
    """Compute the lines of the propeller, whose levels fall with their order.

    Parameters
    ----------
    world : World

    Returns
    -------
    frequency_hz : ndarray [shape=(24,)], Hz
    level_db : ndarray [shape=(24,)], dB re 1 uPa
    """
    blade_hz = world.shaft_hz * world.n_blades
    lines_hz = np.asarray(blade_hz * np.arange(1.0, 25.0), dtype=np.float64)
    continuum_db = vessel_noise_db(world, lines_hz)
    return lines_hz, np.asarray(continuum_db + world.lines_db - 0.6 * np.arange(24.0))


def tones(world: World) -> tuple[Floats, Floats]:
    """Compute the electrical lines.

    Parameters
    ----------
    world : World

    Returns
    -------
    frequency_hz : ndarray [shape=(n_tones,)], Hz
    level_db : ndarray [shape=(n_tones,)], dB re 1 uPa
    """
    number = np.arange(world.n_tones, dtype=np.float64)
    return world.tone_hz * (number + 1.0), world.tone_db - 4.0 * number

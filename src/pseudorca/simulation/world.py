"""The sea between an animal and a hydrophone: what it takes away, echoes and adds.

A :class:`World` is one state of sea, ship and electronics. It is drawn from a vector of standard
normal numbers, so that two worlds can be made as alike as one likes by blending their vectors.
Levels are in dB re 1 uPa, spectrum levels in dB re 1 uPa^2/Hz.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pseudorca.simulation.signals import SOUND_SPEED, Floats

N_CHANNELS: Final = 6  # of the towed arrays of HICEAS
MAX_ECHO_S: Final = 0.05
BOTTOM_GAIN: Final = 0.35  # chosen
SEA_TEMPERATURE_C: Final = 25.0  # Hawaii, near the surface
TONE_LINES: Final = 3
CHANNEL_SD_DB: Final = 1.5  # chosen
COLOUR_HZ: Final = np.geomspace(60.0, 120_000.0, 18)
COLOUR_SD_DB: Final = 2.5  # chosen: how unlike two deployments of one recorder are


@dataclass(frozen=True)
class World:
    """State of the sea, the ship, the electronics and the geometry of one clip."""

    wind_m_s: float
    shipping: float  # 0 to 1
    flow_db: float  # flow noise at 100 Hz
    flow_slope: float  # dB per decade, above 30 Hz
    strum_hz: float  # hum of the towing cable
    strum_db: float  # its peak
    vessel: float  # 1 where a ship is near enough to hear its propeller, else 0
    vessel_db: float  # cavitation noise at 1 kHz
    shaft_hz: float
    n_blades: int
    lines_db: float  # propeller lines above the cavitation noise
    cavitation_depth: float  # 0 to 1: how strongly the blades modulate it
    n_tones: int  # electrical lines
    tone_hz: float  # the lowest; the others are multiples
    tone_db: float
    gain_db: float  # of this deployment, on top of the recorder's
    tilt_db: float  # per decade, about 10 kHz: hydrophone and cable
    self_noise_db: float  # on top of the recorder's
    range_m: float  # median distance of the animals
    source_depth_m: float
    receiver_depth_m: float
    water_depth_m: float
    surface_loss_db: float
    noise_pick: float  # 0 to 1: which of the given noise files
    noise_db: float  # level of that file, root mean square
    colour_db: tuple[float, ...]  # unevenness of hydrophone, cable and mounting, at COLOUR_HZ
    channel_db: tuple[float, ...]  # gain of each channel about the array's

    def coloration_db(self, frequency_hz: Floats) -> Floats:
        """Deviation of this deployment's response from its recorder's: slope and unevenness."""
        log_hz = np.log10(np.maximum(frequency_hz, 20.0))
        uneven = np.interp(log_hz, np.log10(COLOUR_HZ), self.colour_db)
        return np.asarray(uneven + self.tilt_db * (log_hz - 4.0))


_Transform = Callable[[float], float]


def _normal(mean: float, sd: float) -> _Transform:
    return lambda z: mean + sd * z


def _log_normal(median: float, sd: float) -> _Transform:
    return lambda z: median * float(np.exp(sd * z))


def _uniform(low: float, high: float) -> _Transform:
    return lambda z: low + (high - low) * float(ndtr(z))


# How each field follows from its standard normal number. Wind, ranges and depths as on a towed
# survey off Hawaii; levels chosen so that noise floors look like the HICEAS clip's.
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
    """The world that a vector of standard normal numbers stands for.

    Parameters
    ----------
    latents : ndarray [shape=(N_LATENTS,)]
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
    """A world like any other."""
    return world_from_latents(rng.standard_normal(N_LATENTS))


def world_row(world: World) -> dict[str, float]:
    """A world as the columns of a table, tuples spread over ``channel_db_1`` and on."""
    row = {field.name: getattr(world, field.name) for field in fields(world)}
    for name in ("colour_db", "channel_db"):
        for number, value in enumerate(row.pop(name), start=1):
            row[f"{name}_{number}"] = value
    return row


def absorption_db_per_km(frequency_hz: Floats) -> Floats:
    """Absorption of sound by sea water (25 degrees C, salinity 35, pH 8, at the surface).

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
    """Spherical out to the water's depth, ``15 log10`` beyond (between sphere and cylinder)."""
    near_m = min(range_m, world.water_depth_m)
    return float(20.0 * np.log10(max(near_m, 1.0)) + 15.0 * np.log10(range_m / near_m))


def wave_height_m(wind_m_s: float) -> float:
    """Root mean square height of a fully grown sea (Pierson and Moskowitz 1964), at most 1.5 m."""
    return min(0.25 * 0.21 * wind_m_s**2 / 9.81, 1.5)


class Path(NamedTuple):
    """One way from animal to hydrophone."""

    delay_s: float  # behind the direct one
    gain: float  # amplitude relative to the direct one
    roughness_m: float  # wave height times the sine of the grazing angle; 0 off the surface


def paths(world: World, range_m: float) -> list[Path]:
    """Ways from animal to hydrophone, the direct one first.

    Mirror sources: the surface (inverting), the bottom, and both; those later than 50 ms are left
    out, as they are other sounds by then.
    """
    zs, zr, depth = world.source_depth_m, world.receiver_depth_m, world.water_depth_m
    depth = max(depth, 1.2 * max(zs, zr))
    surface = -(10.0 ** (-world.surface_loss_db / 20.0))
    direct_m = float(np.hypot(range_m, zs - zr))
    found = [Path(0.0, 1.0, 0.0)]
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
            found.append(Path(delay_s, gain * direct_m / path_m, rough_m))
    return found


def transfer(world: World, frequency_hz: Floats, range_m: float) -> NDArray[np.complex64]:
    """What the sea makes of a spectrum on its way: spreading, absorption and echoes.

    A rough surface reflects ``exp(-2 (k h sin(grazing angle))^2)`` of the amplitude in one piece;
    the rest is scattered, and left out.

    Parameters
    ----------
    world : World
    frequency_hz : ndarray [shape=(n,)], Hz
    range_m : float, m

    Returns
    -------
    ndarray [shape=(n,)], complex amplitude relative to 1 m, delayed by the echoes alone.
    """
    loss_db = absorption_db_per_km(frequency_hz) * (range_m / 1000.0)
    loss_db += spreading_loss_db(world, range_m)
    total = np.zeros(len(frequency_hz), dtype=np.complex64)
    for path in paths(world, range_m):
        # Turns, wrapped before they are rounded to 32 bits.
        turns = np.remainder(frequency_hz * path.delay_s, 1.0)
        angle = (turns * (-2.0 * np.pi)).astype(np.float32)
        gain = np.float32(path.gain)
        if path.roughness_m > 0.0:
            wave_number = (2.0 * np.pi / SOUND_SPEED * path.roughness_m) * frequency_hz
            gain = gain * np.exp(-2.0 * wave_number.astype(np.float32) ** 2)
        total += gain * (np.cos(angle) + 1j * np.sin(angle)).astype(np.complex64)
    return np.asarray(total * (10.0 ** (-loss_db / 20.0)).astype(np.float32))


def sea_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Spectrum level of the sea without the ship: turbulence, distant ships, wind and heat.

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
    """Water streaming past a towed hydrophone, and its cable strumming: strongest at the bottom."""
    hz = np.maximum(frequency_hz, 1.0)
    flow = world.flow_db + world.flow_slope * np.log10(np.maximum(hz, 30.0) / 100.0)
    width = 0.2 * world.strum_hz
    strum = world.strum_db - 10.0 * np.log10(1.0 + ((hz - world.strum_hz) / width) ** 2)
    # The Lorentz curve's skirt would lift the whole spectrum: let it end.
    strum -= 20.0 * np.log10(1.0 + (hz / (10.0 * world.strum_hz)) ** 2)
    return np.asarray(10.0 * np.log10(10.0 ** (flow / 10.0) + 10.0 ** (strum / 10.0)))


def vessel_noise_db(world: World, frequency_hz: Floats) -> Floats:
    """Cavitation of a propeller: level below 100 Hz, then -20 dB per decade."""
    hz = np.maximum(frequency_hz, 100.0)
    return np.asarray(world.vessel_db - 20.0 * np.log10(hz / 1000.0))


def vessel_lines(world: World) -> tuple[Floats, Floats]:
    """Frequencies in Hz and levels in dB re 1 uPa of the propeller's lines, falling with order."""
    blade_hz = world.shaft_hz * world.n_blades
    lines_hz = np.asarray(blade_hz * np.arange(1.0, 25.0), dtype=np.float64)
    continuum_db = vessel_noise_db(world, lines_hz)
    return lines_hz, np.asarray(continuum_db + world.lines_db - 0.6 * np.arange(24.0))


def tones(world: World) -> tuple[Floats, Floats]:
    """Frequencies in Hz and levels in dB re 1 uPa of the electrical lines."""
    number = np.arange(world.n_tones, dtype=np.float64)
    return world.tone_hz * (number + 1.0), world.tone_db - 4.0 * number

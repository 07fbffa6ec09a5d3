"""The world of a clip: one state of the water, the ship, the electronics and the geometry.

A world is made from a vector of standard normal numbers. Blending two vectors gives two worlds of any
similarity. Levels are in dB re 1 uPa, spectrum levels in dB re 1 uPa^2/Hz.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Final, get_origin, get_type_hints

import numpy as np
from scipy.special import ndtr

from pseudorca.simulation.signals import Floats

N_CHANNELS: Final = 6  # channels of the towed arrays of HICEAS
CHANNEL_SD_DB: Final = 1.5  # chosen
COLOUR_HZ: Final = np.geomspace(60.0, 120_000.0, 18)
COLOUR_SD_DB: Final = 3.0  # chosen: difference between deployments of one recorder


def _normal(mean: float, sd: float) -> Callable[[float], float]:
    return lambda z: mean + sd * z


def _log_normal(median: float, sd: float) -> Callable[[float], float]:
    return lambda z: median * float(np.exp(sd * z))


def _uniform(low: float, high: float) -> Callable[[float], float]:
    return lambda z: low + (high - low) * float(ndtr(z))


@dataclass(frozen=True)
class World:
    """State of the water, the ship, the electronics and the geometry of one clip.

    The annotation of a field gives its distribution. Wind, ranges and depths are as on a towed survey
    off Hawaii; levels are chosen so that noise floors are similar to the HICEAS clip.

    Examples
    --------
    >>> draw_world(np.random.default_rng(0)).vessel in (0, 1)
    True
    """

    wind_m_s: Annotated[float, _log_normal(6.0, 0.4)]
    shipping: Annotated[float, _uniform(0.0, 1.0)]
    flow_db: Annotated[float, _normal(80.0, 6.0)]  # flow noise at 100 Hz
    flow_slope: Annotated[float, _normal(-23.0, 3.0)]  # dB per decade, above 30 Hz
    strum_hz: Annotated[float, _log_normal(18.0, 0.3)]  # hum of the towing cable
    strum_db: Annotated[float, _normal(112.0, 6.0)]  # its peak
    vessel: Annotated[int, _uniform(0.0, 2.0)]  # 1 if the propeller of a ship is audible, else 0
    vessel_db: Annotated[float, _normal(60.0, 5.0)]  # cavitation noise at 1 kHz
    shaft_hz: Annotated[float, _log_normal(2.2, 0.25)]
    n_blades: Annotated[int, _uniform(3.0, 6.0)]
    lines_db: Annotated[float, _normal(14.0, 4.0)]  # propeller lines above the cavitation noise
    cavitation_depth: Annotated[float, _uniform(0.1, 0.7)]  # 0 to 1: modulation by the blades
    n_tones: Annotated[int, _uniform(0.0, 4.0)]  # electrical lines, 0 to 3
    tone_hz: Annotated[float, _log_normal(9000.0, 0.8)]  # the lowest; the others are multiples
    tone_db: Annotated[float, _normal(76.0, 5.0)]
    gain_db: Annotated[float, _normal(0.0, 4.0)]  # of this deployment, added to the recorder's gain
    tilt_db: Annotated[float, _normal(0.0, 2.0)]  # per decade, 0 at 10 kHz: hydrophone and cable
    self_noise_db: Annotated[float, _normal(0.0, 3.0)]  # added to the noise of the recorder
    range_m: Annotated[float, _log_normal(600.0, 0.45)]  # median distance of the animals
    source_depth_m: Annotated[float, _uniform(2.0, 40.0)]
    receiver_depth_m: Annotated[float, _uniform(4.0, 12.0)]
    water_depth_m: Annotated[float, _log_normal(800.0, 1.0)]
    surface_loss_db: Annotated[float, _uniform(1.0, 6.0)]
    noise_pick: Annotated[float, _uniform(0.0, 1.0)]  # chooses one of the noise files
    noise_db: Annotated[float, _normal(95.0, 5.0)]  # level of that file, root mean square
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


# Type and distribution of each field that is one number, in the order of the latent numbers.
_DRAWN: Final = {
    name: (hint.__origin__, hint.__metadata__[0])
    for name, hint in get_type_hints(World, include_extras=True).items()
    if get_origin(hint) is Annotated
}
N_LATENTS: Final = len(_DRAWN) + len(COLOUR_HZ) + N_CHANNELS


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
        name: kind(distribution(float(z)))
        for (name, (kind, distribution)), z in zip(_DRAWN.items(), latents, strict=False)
    }
    colour, channels = np.split(latents[len(_DRAWN) :], [len(COLOUR_HZ)])
    return World(
        **values,
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
    row = asdict(world)
    for name in ("colour_db", "channel_db"):
        for number, value in enumerate(row.pop(name), start=1):
            row[f"{name}_{number}"] = value
    return row

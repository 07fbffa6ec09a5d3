"""Recorders: from sound pressure to samples.

A recorder has a band with a slope, adds its own noise, and converts pressure to integers that are
limited to full scale. In: pressure in micropascal. Out: samples in [-1, 1), on the grid of its bits.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pseudorca.errors import SimulationError, unknown_name
from pseudorca.simulation.signals import SOUND_SPEED, Floats
from pseudorca.simulation.world import N_CHANNELS, World

MIN_SAMPLE_RATE: Final = 500
MAX_SAMPLE_RATE: Final = 1_000_000


@dataclass(frozen=True)
class Recorder:
    """One type of recorder with its hydrophones.

    Raises
    ------
    SimulationError
        If a setting is out of its range.

    Examples
    --------
    >>> RECORDERS["array_192k"].delay_s(channel=3, bearing_cos=1.0)
    0.0033333333333333335
    """

    name: str
    sample_rate: int  # Hz
    bits: int  # 16 or 24
    fmin_hz: float  # high-pass, -3 dB
    fmin_order: int
    fmax_hz: float  # low-pass, -3 dB
    fmax_order: int
    slope_db: float  # per decade, 0 at 10 kHz
    self_noise_db: float  # dB re 1 uPa^2/Hz
    full_scale_db: float  # dB re 1 uPa of a sample of 1.0
    spacing_m: float  # between the channels of the array
    n_channels: int = N_CHANNELS

    def __post_init__(self) -> None:
        if not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE:
            raise SimulationError(
                f"recorder {self.name!r}: sample rate {self.sample_rate} Hz is outside "
                f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz: did you give it in kHz?"
            )
        if self.bits not in (16, 24):
            raise SimulationError(
                f"recorder {self.name!r}: {self.bits} bits cannot be written. Choose 16 or 24."
            )
        if not 1 <= self.n_channels <= N_CHANNELS:
            raise SimulationError(
                f"recorder {self.name!r}: {self.n_channels} channels. Choose 1 to {N_CHANNELS}."
            )
        if not 0.0 < self.fmin_hz < self.fmax_hz:
            raise SimulationError(
                f"recorder {self.name!r}: its band must have 0 < fmin_hz < fmax_hz, "
                f"got {self.fmin_hz:g} and {self.fmax_hz:g} Hz."
            )

    def response(self, frequency_hz: Floats, world: World) -> Floats:
        """Compute the amplitude response: Butterworth high-pass and low-pass, and a slope between.

        Parameters
        ----------
        frequency_hz : ndarray, Hz
        world : World
            Its coloration (of this specimen and deployment) is added to the response of the type.

        Returns
        -------
        ndarray, amplitude
        """
        hz = np.maximum(frequency_hz, 1e-3)
        high_pass = 1.0 / np.sqrt(1.0 + (self.fmin_hz / hz) ** (2 * self.fmin_order))
        slope_db = self.slope_db * np.log10(np.maximum(hz, 20.0) / 10_000.0)
        coloured = 10.0 ** ((slope_db + world.coloration_db(hz)) / 20.0)
        return np.asarray(high_pass * self._low_pass(hz) * coloured)

    def self_noise(self, frequency_hz: Floats, *, offset_db: float = 0.0) -> Floats:
        """Compute the noise of the electronics: white, and 1/f below 1 kHz.

        Parameters
        ----------
        frequency_hz : ndarray, Hz
        offset_db : float, dB

        Returns
        -------
        ndarray, dB re 1 uPa^2/Hz
        """
        hz = np.maximum(frequency_hz, 1.0)
        noise = self.self_noise_db + offset_db + 10.0 * np.log10(1.0 + 1000.0 / hz)
        return np.asarray(noise + 20.0 * np.log10(np.maximum(self._low_pass(hz), 1e-6)))

    def _low_pass(self, hz: Floats) -> Floats:
        # Tone and Pulses have no sound above half the sample rate.
        return np.asarray(1.0 / np.sqrt(1.0 + (hz / self.fmax_hz) ** (2 * self.fmax_order)))

    def delay_s(self, channel: int, bearing_cos: float) -> float:
        """Return the delay of a distant sound on a channel relative to channel 1.

        Parameters
        ----------
        channel : int, from 1
        bearing_cos : float, cosine of the bearing

        Returns
        -------
        float, seconds
        """
        return (channel - 1) * self.spacing_m * bearing_cos / SOUND_SPEED

    def digitise(
        self, pressure: NDArray[np.float32], world: World, channel: int
    ) -> tuple[NDArray[np.float32], int]:
        """Convert pressure to samples on the grid of ``bits``, limited to full scale.

        Parameters
        ----------
        pressure : ndarray [shape=(n,)], uPa
        world : World
            Its ``gain_db`` and ``channel_db`` are added to the gain of the recorder.
        channel : int, from 1

        Returns
        -------
        samples : ndarray [shape=(n,)], float32 in [-1, 1)
        n_clipped : int, samples beyond full scale
        """
        gain_db = world.gain_db + world.channel_db[channel - 1] - self.full_scale_db
        steps = 2 ** (self.bits - 1)  # every step is exact in 32-bit floating point
        samples = pressure * np.float32(steps * 10.0 ** (gain_db / 20.0))
        np.rint(samples, out=samples)
        n_clipped = 0
        if max(float(samples.max()), -float(samples.min())) >= steps:
            n_clipped = int(np.count_nonzero((samples < -steps) | (samples >= steps)))
            np.clip(samples, -steps, steps - 1, out=samples)
        samples *= np.float32(1.0 / steps)
        return samples, n_clipped


RECORDERS: Final[dict[str, Recorder]] = {
    recorder.name: recorder
    for recorder in (
        # Noise floor, slope and low-pass follow the HICEAS clip in ../shared/data.
        Recorder("array_500k", 500_000, 16, 8.0, 1, 110_000.0, 2, 0.0, 54.5, 153.0, 1.5),
        Recorder("array_192k", 192_000, 16, 900.0, 2, 75_000.0, 4, 4.0, 47.0, 151.0, 2.5),
        Recorder("drifter_96k", 96_000, 16, 20.0, 1, 38_000.0, 6, -3.0, 40.0, 150.0, 4.0, 2),
        Recorder("moored_24bit", 96_000, 24, 60.0, 2, 45_000.0, 8, 1.0, 36.0, 165.0, 1.0, 1),
    )
}


def recorder(name: str, *, sample_rate: int | None = None) -> Recorder:
    """Return a recorder by name.

    Parameters
    ----------
    name : str, one of :data:`RECORDERS`
    sample_rate : int or None, Hz; None: the rate of the recorder

    Returns
    -------
    Recorder

    Raises
    ------
    SimulationError
        If there is no recorder of this name, or the sample rate is not possible.

    Examples
    --------
    >>> recorder("array_500k", sample_rate=96_000).sample_rate
    96000
    """
    if name not in RECORDERS:
        raise SimulationError(unknown_name("recorder", name, RECORDERS))
    own = RECORDERS[name]
    return own if sample_rate is None else replace(own, sample_rate=sample_rate)


def draw_recorder(rng: np.random.Generator, *, sample_rate: int) -> Recorder:
    """Draw a virtual recorder from a wide range, for training that must not depend on recorders.

    Parameters
    ----------
    rng : numpy.random.Generator
    sample_rate : int, Hz

    Returns
    -------
    Recorder

    Examples
    --------
    >>> draw_recorder(np.random.default_rng(0), sample_rate=32_000).name
    'virtual'
    """
    nyquist = sample_rate / 2.0
    fmin_hz = float(np.exp(rng.uniform(np.log(2.0), np.log(0.02 * sample_rate))))
    fmax_hz = float(nyquist * np.exp(rng.uniform(np.log(0.2), np.log(1.5))))
    return Recorder(
        name="virtual",
        sample_rate=sample_rate,
        bits=int(rng.choice([16, 24])),
        fmin_hz=fmin_hz,
        fmin_order=int(rng.integers(1, 5)),
        fmax_hz=fmax_hz,
        fmax_order=int(rng.integers(1, 9)),
        slope_db=float(rng.normal(0.0, 5.0)),
        self_noise_db=float(rng.uniform(30.0, 60.0)),
        full_scale_db=float(rng.uniform(146.0, 172.0)),
        spacing_m=float(rng.uniform(0.5, 5.0)),
    )

"""Propagation of one sound from the animal to a recorder: absorption, spreading, and echoes.

In: sounds of :mod:`pseudorca.simulation.signals`. Out: pressures at the recorder, with their band and
power, and a function that adds a sound to a channel.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pseudorca.simulation.recorders import Recorder
from pseudorca.simulation.signals import SOUND_SPEED, Floats, Pulses, Tone
from pseudorca.simulation.world import World

WATER_TEMPERATURE_C: Final = 25.0  # Hawaii, near the surface
MAX_ECHO_S: Final = 0.05
BOTTOM_GAIN: Final = 0.35  # chosen
BAND_EDGE_DB: Final = 10.0  # the band of a pulse ends so far below the peak of its spectrum


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
    temperature = WATER_TEMPERATURE_C
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


class Path(NamedTuple):
    """One path of sound from the animal to the hydrophone.

    Examples
    --------
    >>> Path(delay_s=0.0, gain=1.0, roughness_m=0.0).gain  # the direct path
    1.0
    """

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
    # Root mean square height of fully developed waves (Pierson and Moskowitz 1964).
    wave_height_m = min(0.25 * 0.21 * world.wind_m_s**2 / 9.81, 1.5)
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
            rough_m = wave_height_m * height / path_m if at_surface else 0.0
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


class Received(NamedTuple):
    """A sound at the hydrophone.

    ``waveform`` is a tone, or one pulse at a gain of 1; ``lead`` is the number of samples before its
    time 0. The waveform is repeated at ``times_s`` (from the start of the signal) with ``gains``.
    ``low_hz`` and ``high_hz`` are the lowest and the highest frequency of the fundamental, or of the
    received pulse. ``power`` (uPa^2) is the mean square of a tone, or of a sine with the peak of a
    pulse.

    Examples
    --------
    >>> once = np.zeros(1), np.ones(1)
    >>> Received(np.ones(4, np.float32), 8_000, 0, *once, 900.0, 950.0, power=1.0).sample_rate
    8000
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    lead: int
    times_s: Floats
    gains: Floats
    low_hz: float
    high_hz: float
    power: float


def receive(sound: Tone | Pulses, world: World, recorder: Recorder, range_m: float) -> Received:
    """Compute a sound at the hydrophone, with the response of the recorder.

    Parameters
    ----------
    sound : Tone or Pulses
    world : World
    recorder : Recorder
    range_m : float, m

    Returns
    -------
    Received

    Examples
    --------
    >>> from pseudorca.simulation import RECORDERS, draw_world
    >>> times_s, hz = np.linspace(0.0, 1.0, 96_000), np.array([5_000.0, 5_000.0])
    >>> tone = Tone(np.sin(2 * np.pi * 5_000.0 * times_s).astype(np.float32), np.array([0.0, 1.0]), hz)
    >>> world = draw_world(np.random.default_rng(0))
    >>> received = receive(tone, world, RECORDERS["drifter_96k"], 500.0)
    >>> received.low_hz, received.high_hz
    (5000.0, 5010.0)
    """
    sample_rate = recorder.sample_rate
    if isinstance(sound, Tone):
        lead, times_s, gains = 0, np.zeros(1), np.ones(1)
        n_samples = len(sound.waveform)
        n_fft = fft.next_fast_len(n_samples + int(MAX_ECHO_S * sample_rate), real=True)
        spectrum = fft.rfft(sound.waveform, n_fft)
        waveform = _through(spectrum, n_fft, world, recorder, range_m)
        low_hz, high_hz = float(sound.contour_hz.min()), float(sound.contour_hz.max())
        power = float(np.mean(waveform[:n_samples].astype(np.float64) ** 2))
    else:
        times_s, gains = sound.times_s, sound.gains
        last_echo_s = max(path.delay_s for path in paths(world, range_m))
        lead = int(np.ceil(2.0 * sound.half_length_s * sample_rate)) + 8
        n_echo = int((last_echo_s + sound.echo_s) * sample_rate)
        n_fft = fft.next_fast_len(2 * lead + n_echo + 8, real=True)
        frequency_hz = fft.rfftfreq(n_fft, 1.0 / sample_rate)
        delay = np.exp((-2j * np.pi * lead / n_fft) * np.arange(len(frequency_hz)))
        spectrum = (sound.spectrum(frequency_hz) * delay * sample_rate).astype(np.complex64)
        waveform = _through(spectrum, n_fft, world, recorder, range_m)
        # Only the direct pulse: echoes turn the spectrum into a comb.
        low_hz, high_hz = _pulse_band(waveform[: 2 * lead], sample_rate)
        power = 0.5 * float(np.max(np.abs(waveform))) ** 2
    nyquist = sample_rate / 2.0
    low_hz, high_hz = min(low_hz, nyquist), min(max(high_hz, low_hz + 10.0), nyquist)
    return Received(waveform, sample_rate, lead, times_s, gains, low_hz, high_hz, power)


def _through(
    spectrum: NDArray[np.complex64], n_fft: int, world: World, recorder: Recorder, range_m: float
) -> NDArray[np.float32]:
    """Waveform of a spectrum after the water and the recorder."""
    frequency_hz = fft.rfftfreq(n_fft, 1.0 / recorder.sample_rate)
    grid_hz = np.geomspace(1.0, recorder.sample_rate / 2.0, 300)
    response = np.interp(frequency_hz, grid_hz, recorder.response(grid_hz, world))
    through = transfer(world, frequency_hz, range_m)
    through *= response.astype(np.float32)
    return np.asarray(fft.irfft(spectrum * through, n_fft), dtype=np.float32)


def _pulse_band(waveform: NDArray[np.float32], sample_rate: int) -> tuple[float, float]:
    """Lowest and highest frequency in Hz at which the spectrum of a pulse is strong."""
    n_fft = max(512, fft.next_fast_len(len(waveform), real=True))
    power = np.convolve(np.abs(fft.rfft(waveform, n_fft)) ** 2, np.ones(5) / 5.0, mode="same")
    strong = np.flatnonzero(power >= power.max() * 10.0 ** (-BAND_EDGE_DB / 10.0))
    return strong[0] * sample_rate / n_fft, strong[-1] * sample_rate / n_fft


def add(
    pressure: NDArray[np.float32], received: Received, *, start_s: float, gain_db: float
) -> None:
    """Add a received sound to a channel, in place. Samples outside the channel are left out.

    Parameters
    ----------
    pressure : ndarray [shape=(n_samples,)], float32, uPa, changed in place
    received : Received
    start_s : float, start of the signal in seconds
    gain_db : float, dB

    Examples
    --------
    >>> once = np.zeros(1), np.ones(1)
    >>> received = Received(np.ones(2, np.float32), 4, 0, *once, low_hz=0.0, high_hz=2.0, power=1.0)
    >>> pressure = np.zeros(4, np.float32)
    >>> add(pressure, received, start_s=0.75, gain_db=20.0)
    >>> pressure.tolist()
    [0.0, 0.0, 0.0, 10.0]
    """
    wave = received.waveform * np.float32(10.0 ** (gain_db / 20.0))
    for at_s, gain in zip(start_s + received.times_s, received.gains, strict=True):
        first = round(float(at_s) * received.sample_rate) - received.lead
        low, high = max(first, 0), min(first + len(wave), len(pressure))
        if low < high:
            pressure[low:high] += wave[low - first : high - first] * np.float32(gain)

"""One sound from the animal to the samples of a channel.

In: sounds of :mod:`pseudorca.simulation.signals`. Out: pressures at the recorder, with their band and
power, and a function that adds a sound to a channel.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pseudorca.simulation.propagation import MAX_ECHO_S, paths, transfer
from pseudorca.simulation.recorders import Recorder
from pseudorca.simulation.signals import Pulses, Tone
from pseudorca.simulation.world import World

BAND_EDGE_DB: Final = 10.0  # the band of a pulse ends so far below the peak of its spectrum


class Received(NamedTuple):
    """A sound at the hydrophone: pressure, and the number of samples before its time 0."""

    waveform: NDArray[np.float32]
    lead: int


def _through(
    spectrum: NDArray[np.complex64], n_fft: int, world: World, recorder: Recorder, range_m: float
) -> NDArray[np.float32]:
    frequency_hz = fft.rfftfreq(n_fft, 1.0 / recorder.sample_rate)
    grid_hz = np.geomspace(1.0, recorder.sample_rate / 2.0, 300)
    response = np.interp(frequency_hz, grid_hz, recorder.response(grid_hz, world))
    through = transfer(world, frequency_hz, range_m)
    through *= response.astype(np.float32)
    return np.asarray(fft.irfft(spectrum * through, n_fft), dtype=np.float32)


def receive(sound: Tone | Pulses, world: World, recorder: Recorder, range_m: float) -> Received:
    """Compute a tone at the hydrophone, or one pulse of a pulsed sound at a gain of 1.

    Parameters
    ----------
    sound : Tone or Pulses
    world : World
    recorder : Recorder
    range_m : float, m

    Returns
    -------
    Received
    """
    if isinstance(sound, Tone):
        return _receive_tone(sound, world, recorder, range_m)
    return _receive_pulse(sound, world, recorder, range_m)


def _receive_tone(sound: Tone, world: World, recorder: Recorder, range_m: float) -> Received:
    tail = int(MAX_ECHO_S * recorder.sample_rate)
    n_fft = fft.next_fast_len(len(sound.waveform) + tail, real=True)
    spectrum = fft.rfft(sound.waveform, n_fft)
    return Received(_through(spectrum, n_fft, world, recorder, range_m), 0)


def _receive_pulse(sound: Pulses, world: World, recorder: Recorder, range_m: float) -> Received:
    sample_rate = recorder.sample_rate
    last_echo_s = max(path.delay_s for path in paths(world, range_m))
    lead = int(np.ceil(2.0 * sound.half_length_s * sample_rate)) + 8
    n_fft = fft.next_fast_len(
        2 * lead + int((last_echo_s + sound.echo_s) * sample_rate) + 8, real=True
    )
    frequency_hz = fft.rfftfreq(n_fft, 1.0 / sample_rate)
    delay = np.exp((-2j * np.pi * lead / n_fft) * np.arange(len(frequency_hz)))
    spectrum = (sound.spectrum(frequency_hz) * delay * sample_rate).astype(np.complex64)
    return Received(_through(spectrum, n_fft, world, recorder, range_m), lead)


def add(
    pressure: NDArray[np.float32],
    received: Received,
    sound: Tone | Pulses,
    start_s: float,
    sample_rate: int,
    gain_db: float,
) -> None:
    """Add a received sound to a channel, in place. Samples outside the channel are left out.

    Parameters
    ----------
    pressure : ndarray [shape=(n_samples,)], float32, uPa, changed in place
    received : Received
    sound : Tone or Pulses
    start_s : float, seconds
    sample_rate : int, Hz
    gain_db : float, dB
    """
    gain = np.float32(10.0 ** (gain_db / 20.0))
    if isinstance(sound, Tone):
        times_s, gains = np.zeros(1), np.ones(1)
    else:
        times_s, gains = sound.times_s, sound.gains
    wave = received.waveform * gain
    for at_s, pulse_gain in zip(start_s + times_s, gains, strict=True):
        first = round(float(at_s) * sample_rate) - received.lead
        low, high = max(first, 0), min(first + len(wave), len(pressure))
        if low < high:
            pressure[low:high] += wave[low - first : high - first] * np.float32(pulse_gain)


def band(sound: Tone | Pulses, received: Received, sample_rate: int) -> tuple[float, float]:
    """Return the lowest and the highest frequency of the fundamental, or of the received pulse.

    Parameters
    ----------
    sound : Tone or Pulses
    received : Received
    sample_rate : int, Hz

    Returns
    -------
    low_hz, high_hz : float, Hz
    """
    nyquist = sample_rate / 2.0
    if isinstance(sound, Tone):
        low_hz, high_hz = float(sound.contour_hz.min()), float(sound.contour_hz.max())
    else:
        # Only the direct pulse: echoes turn the spectrum into a comb.
        direct = received.waveform[: 2 * received.lead]
        n_fft = max(512, fft.next_fast_len(len(direct), real=True))
        spectrum = np.abs(fft.rfft(direct, n_fft)) ** 2
        spectrum = np.convolve(spectrum, np.ones(5) / 5.0, mode="same")
        strong = np.flatnonzero(spectrum >= spectrum.max() * 10.0 ** (-BAND_EDGE_DB / 10.0))
        low_hz, high_hz = (float(k) * sample_rate / n_fft for k in (strong[0], strong[-1]))
    return min(low_hz, nyquist), min(max(high_hz, low_hz + 10.0), nyquist)


def power(sound: Tone | Pulses, received: Received) -> float:
    """Return the mean square of a tone, or of a sine with the peak of a pulse.

    Parameters
    ----------
    sound : Tone or Pulses
    received : Received

    Returns
    -------
    float, uPa^2
    """
    wave = received.waveform
    if isinstance(sound, Tone):
        return float(np.mean(wave[: len(sound.waveform)].astype(np.float64) ** 2))
    return 0.5 * float(np.max(np.abs(wave))) ** 2

"""The sound of a signal at one metre from the animal, in micropascal.

Tonal signals (whistle, call, moan) are a waveform with a contour. Pulsed signals (click train, burst
pulse) are times and gains of one pulse, and the pulse is a spectrum. Every rendering gives the same
sound: the small irregularities come from the seed ``texture`` of the signal.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pseudorca.simulation.animals import Signal

SOUND_SPEED: Final = 1500.0  # m/s
CONTOUR_STEP_S: Final = 0.002
PULSED: Final = ("click_train", "burst_pulse")
BEAM_RADIUS_M: Final = 0.04  # circular piston as a model of the melon; chosen, see Au 1993
BEAM_FLOOR_DB: Final = 42.0  # sound also leaves the head on other paths: chosen
MAX_HARMONICS: Final = 40
HARMONIC_FLOOR_DB: Final = 60.0
DECAYS_IN_35_DB: Final = 4.03  # ln(10) * 35 / 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tone:
    """A tonal signal: waveform at 1 m, and the contour of the fundamental.

    Examples
    --------
    >>> Tone(np.zeros(4, np.float32), np.array([0.0, 1.0]), np.array([5_000.0, 5_100.0])).contour_hz
    array([5000., 5100.])
    """

    waveform: NDArray[np.float32]  # [shape=(n,)], uPa
    contour_s: Floats  # [shape=(k,)], from the signal's start
    contour_hz: Floats  # [shape=(k,)]


@dataclass(frozen=True)
class Pulses:
    """A pulsed signal: one pulse, as a spectrum, repeated at given times and with given gains.

    Examples
    --------
    >>> pulse = Pulses(
    ...     times_s=np.zeros(1), gains=np.ones(1), peak_hz=40_000.0, decay_per_s=78_000.0,
    ...     peak_upa=1.0, angle_rad=0.0, echo_s=0.0, echo_gain=0.0,
    ... )
    >>> hz = np.array([20_000.0, 40_000.0, 60_000.0])
    >>> int(np.abs(pulse.spectrum(hz)).argmax())
    1
    """

    times_s: Floats  # [shape=(n_pulses,)], from the signal's start
    gains: Floats  # [shape=(n_pulses,)], relative to the loudest
    peak_hz: float
    decay_per_s: float  # of the envelope
    peak_upa: float  # peak pressure on the axis
    angle_rad: float  # between the animal's axis and the hydrophone
    echo_s: float  # delay of a reflection inside the head, off the axis
    echo_gain: float

    @property
    def half_length_s(self) -> float:
        """Seconds in which the envelope of a pulse falls by 35 dB."""
        return DECAYS_IN_35_DB / self.decay_per_s

    def spectrum(self, frequency_hz: Floats) -> NDArray[np.complex128]:
        """Compute the Fourier transform of a pulse that is centred on time 0.

        ``X(f) = A a / (a^2 + (2 pi (f - f_peak))^2) L(f) D(f, angle) E(f)``: an oscillation that
        rises and falls as ``exp(-a |t|)``, with ``a`` from the bandwidth (40 kHz and Q 2.5 make it
        30 us long at -10 dB, as measured); ``L``, which is 0 at 0 Hz; the beam of a circular piston
        in its Gaussian form ``D = exp(-(k r sin angle)^2 / 8)``, which removes high frequencies off
        the axis; and one reflection ``E = 1 + g exp(-2 pi i f tau)``.

        Parameters
        ----------
        frequency_hz : ndarray [shape=(n,)], Hz

        Returns
        -------
        ndarray [shape=(n,)], complex, uPa s

        References
        ----------
        .. [1] W. W. L. Au, The Sonar of Dolphins, Springer 1993 (piston model of the beam).
        """
        rate = self.decay_per_s
        turn = 2.0 * np.pi * (frequency_hz - self.peak_hz)
        pulse = self.peak_upa * rate / (rate**2 + turn**2)
        pulse *= frequency_hz**2 / (frequency_hz**2 + (0.1 * self.peak_hz) ** 2)
        ka = 2.0 * np.pi * frequency_hz * BEAM_RADIUS_M * np.sin(self.angle_rad) / SOUND_SPEED
        beam = np.maximum(np.exp(-(ka**2) / 8.0), 10.0 ** (-BEAM_FLOOR_DB / 20.0))
        echo = 1.0 + self.echo_gain * np.exp(-2j * np.pi * self.echo_s * frequency_hz)
        return np.asarray(pulse * beam * echo, dtype=np.complex128)


def contour(signal: Signal) -> tuple[Floats, Floats]:
    """Compute the frequency of the fundamental of a tonal signal over time.

    ``ln f(u) = ln f_start + sweep u^g + ripple sin(pi n u) + wander(u)``, with u from 0 to 1 over
    the duration and n the number of inflections (changes of sign of the slope; a strong sweep can
    remove them).

    Parameters
    ----------
    signal : Signal
        Of kind ``whistle``, ``call`` or ``moan``.

    Returns
    -------
    times_s, frequency_hz : ndarray [shape=(k,)], s from the signal's start and Hz, in steps of
        2 ms, the end included.

    Examples
    --------
    >>> whistle = Signal(
    ...     "whistle", 0, 0.0, {"duration_s": 0.5, "start_hz": 6_000.0, "sweep": 0.3,
    ...     "rolloff_db": 20.0, "level_db": 150.0}, texture=7,
    ... )
    >>> times_s, frequency_hz = contour(whistle)
    >>> float(times_s[-1]), round(float(frequency_hz[0]))
    (0.5, 6000)
    """
    parameters = signal.parameters
    texture = np.random.default_rng([signal.texture, 0])
    bend = float(np.exp(texture.normal(0.0, 0.3)))
    up = 1.0 if texture.random() < 0.5 else -1.0
    duration_s = parameters["duration_s"]
    n_steps = max(2, int(np.ceil(duration_s / CONTOUR_STEP_S)) + 1)
    times_s = np.linspace(0.0, duration_s, n_steps)
    u = times_s / duration_s
    knots = np.cumsum(texture.normal(0.0, 0.002, max(3, int(duration_s / 0.04) + 1)))
    log_hz = np.log(parameters.get("start_hz", parameters.get("pitch_hz", np.nan)))
    log_hz = log_hz + parameters["sweep"] * u**bend
    log_hz += (
        up * parameters.get("ripple", 0.0) * np.sin(np.pi * parameters.get("inflections", 0.0) * u)
    )
    log_hz += np.interp(u, np.linspace(0.0, 1.0, len(knots)), knots - knots[0])
    return times_s, np.exp(log_hz)


def _harmonic_gains(signal: Signal, frequency_hz: Floats) -> Floats:
    """Amplitude of each harmonic relative to the first: a constant fall, or the resonance of a call."""
    number = np.arange(1, MAX_HARMONICS + 1)
    if signal.kind != "call":
        return np.asarray(
            10.0 ** (-max(signal.parameters["rolloff_db"], 3.0) * (number - 1) / 20.0)
        )
    mean_hz = float(np.mean(frequency_hz))
    formant_hz = signal.parameters["formant_hz"]
    detune = (number * mean_hz - formant_hz) / (0.35 * formant_hz)
    gains = 1.0 / (1.0 + detune**2) + 0.15 / number
    return np.asarray(gains / gains.max())


def tone(signal: Signal, sample_rate: int) -> Tone:
    """Render a tonal signal: contour, harmonics and envelope.

    ``x(t) = a(t) sum_k g_k sin(k phi(t))`` with ``phi' = 2 pi f(t)``, scaled to the root mean
    square of ``level_db``. Harmonics fade out below the Nyquist frequency, so there is no aliasing.

    Parameters
    ----------
    signal : Signal, of kind ``whistle``, ``call`` or ``moan``
    sample_rate : int, Hz

    Returns
    -------
    Tone

    Examples
    --------
    >>> whistle = Signal(
    ...     "whistle", 0, 0.0, {"duration_s": 0.5, "start_hz": 6_000.0, "sweep": 0.3,
    ...     "rolloff_db": 20.0, "level_db": 150.0}, texture=7,
    ... )
    >>> waveform = tone(whistle, 48_000).waveform
    >>> waveform.shape, round(20 * float(np.log10(np.sqrt(np.mean(waveform**2)))))
    ((24000,), 150)
    """
    contour_s, contour_hz = contour(signal)
    n_samples = max(1, round(signal.parameters["duration_s"] * sample_rate))
    times_s = np.arange(n_samples) / sample_rate
    frequency_hz = np.interp(times_s, contour_s, contour_hz)
    phase = np.cumsum(frequency_hz) * (2.0 * np.pi / sample_rate)
    texture = np.random.default_rng([signal.texture, 1])
    phase = np.remainder(phase + texture.uniform(0.0, 2.0 * np.pi), 2.0 * np.pi)
    angle = phase.astype(np.float32)
    turn = (np.cos(angle) + 1j * np.sin(angle)).astype(np.complex64)
    gains = _harmonic_gains(signal, contour_hz)
    limit_hz = 0.49 * sample_rate
    power = turn.copy()
    waveform = np.zeros(n_samples, dtype=np.float32)
    for number, gain in enumerate(gains, start=1):
        if number > 1:
            if number * contour_hz.min() > limit_hz:
                break
            power *= turn
        if gain < 10.0 ** (-HARMONIC_FLOOR_DB / 20.0):
            continue
        part = power.imag * np.float32(gain)
        if number * contour_hz.max() > 0.9 * limit_hz:
            fade = np.clip((limit_hz - number * frequency_hz) / (0.1 * limit_hz), 0.0, 1.0)
            part = part * fade.astype(np.float32)
        waveform += part
    waveform *= _envelope(texture, n_samples, sample_rate)
    rms = float(np.sqrt(np.mean(waveform**2)))
    target = 10.0 ** (signal.parameters["level_db"] / 20.0)
    if rms > 0.0:
        waveform *= np.float32(target / rms)
    return Tone(waveform, contour_s, contour_hz)


def _envelope(
    texture: np.random.Generator, n_samples: int, sample_rate: int
) -> NDArray[np.float32]:
    """Draw the amplitude over time: soft ends, and slow changes of some 3 dB."""
    duration_s = n_samples / sample_rate
    grid = np.linspace(0.0, 1.0, max(5, min(400, int(duration_s / 0.005) + 1)))
    knots = np.exp(texture.normal(0.0, 0.3, max(3, int(duration_s / 0.06) + 1)))
    level = np.interp(grid, np.linspace(0.0, 1.0, len(knots)), knots)
    attack, decay = texture.uniform(0.04, 0.2, 2)
    rise = np.clip(np.minimum(grid / attack, (1.0 - grid) / decay), 0.0, 1.0)
    level *= np.sin(0.5 * np.pi * rise) ** 2
    return np.interp(np.linspace(0.0, 1.0, n_samples), grid, level).astype(np.float32)


def pulses(signal: Signal) -> Pulses:
    """Render a pulsed signal: times and gains of its pulses, and the shape of a pulse.

    Intervals wander slowly around the interval of the signal, and jitter by 3 %. The animal turns past
    the hydrophone, so a click train swells and fades. A burst pulse does so less. The angle to the
    axis is drawn once per signal: most trains are recorded from the side.

    Parameters
    ----------
    signal : Signal, of kind ``click_train`` or ``burst_pulse``

    Returns
    -------
    Pulses

    Examples
    --------
    >>> train = Signal(
    ...     "click_train", 0, 0.0, {"peak_hz": 40_000.0, "q": 2.5, "interval_s": 0.05,
    ...     "duration_s": 1.0, "level_db": 210.0}, texture=1,
    ... )
    >>> 10 < len(pulses(train).times_s) < 40
    True
    """
    parameters = signal.parameters
    texture = np.random.default_rng([signal.texture, 2])
    interval_s = parameters["interval_s"]
    duration_s = parameters["duration_s"]
    bandwidth_hz = parameters["peak_hz"] / parameters["q"]  # at -3 dB
    decay_per_s = float(np.pi * bandwidth_hz / np.sqrt(np.sqrt(2.0) - 1.0))
    half_s = DECAYS_IN_35_DB / decay_per_s
    room_s = max(duration_s - 2.0 * half_s, 0.0)
    n_most = int(1.6 * room_s / interval_s) + 2
    wander = np.cumsum(texture.normal(0.0, 0.04, n_most))
    steps = interval_s * np.exp(np.clip(wander, -0.4, 0.4) + texture.normal(0.0, 0.03, n_most))
    times_s = np.concatenate([[0.0], np.cumsum(steps)])
    times_s = times_s[times_s <= room_s] + min(half_s, duration_s / 2.0)
    swing_db = texture.uniform(6.0, 18.0) if signal.kind == "click_train" else 3.0
    peak_at = texture.uniform(0.2, 0.8)
    gains_db = -swing_db * (2.0 * (times_s / duration_s - peak_at)) ** 2
    gains_db += texture.normal(0.0, 1.2, len(times_s))
    # The minimum is half an oscillation after the peak, so peak to peak is 1 + trough.
    trough = np.exp(-decay_per_s / (2.0 * parameters["peak_hz"]))
    return Pulses(
        times_s=times_s,
        gains=10.0 ** ((gains_db - gains_db.max()) / 20.0),
        peak_hz=parameters["peak_hz"],
        decay_per_s=decay_per_s,
        peak_upa=10.0 ** (parameters["level_db"] / 20.0) / (1.0 + trough),
        angle_rad=float(np.deg2rad(min(abs(texture.normal(0.0, 60.0)), 90.0))),
        echo_s=float(texture.uniform(60e-6, 250e-6)),
        echo_gain=float(texture.uniform(0.1, 0.6)),
    )

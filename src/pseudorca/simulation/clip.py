"""One clip: a scene of signals, recorded in a world by a recorder, and the truth of the clip.

:func:`simulate_clip` draws a scene and records the scene. :func:`record_scene` records a given scene.
Both return samples, one row per channel, and a :class:`ClipTruth`.
"""

from collections.abc import Sequence
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from pseudorca.errors import SimulationError
from pseudorca.simulation.animals import Group, Signal, draw_group, draw_scene
from pseudorca.simulation.noise import background_noise, band_power, noise_levels
from pseudorca.simulation.propagation import add, receive
from pseudorca.simulation.recorders import Recorder
from pseudorca.simulation.signals import PULSED, Floats, Pulses, Tone, pulses, tone
from pseudorca.simulation.species import KINDS, TRAIT_NAMES, Species
from pseudorca.simulation.world import World

RANGE_SPREAD: Final = 0.3  # s.d. of ln(range) of signals around the range of the group


class ClipTruth(TypedDict):
    """The truth of a clip.

    ``signals``: a row per signal and channel, in order of time. ``contours``: by number of the tonal
    signal, times in s from the start of the clip on channel 1, and frequencies in Hz. ``presence``: by
    kind, whether the clip has a signal of the kind. ``parameters``: by trait, the mean over the signals
    of the kind (NaN without signals). ``n_clipped``: by channel, number of samples at full scale.

    Examples
    --------
    >>> ClipTruth(signals=[], contours={}, presence={}, parameters={}, n_clipped={1: 0})["n_clipped"]
    {1: 0}
    """

    signals: list[dict[str, Any]]
    contours: dict[int, tuple[Floats, Floats]]
    presence: dict[str, bool]
    parameters: dict[str, float]
    n_clipped: dict[int, int]


def simulate_clip(
    rng: np.random.Generator,
    species: Species,
    world: World,
    recorder: Recorder,
    duration_s: float,
    *,
    group: Group | None = None,
    channels: Sequence[int] = (1,),
    activity: float = 1.0,
    require: Sequence[str] = (),
    snr_db: float | None = None,
    min_snr_db: float | None = None,
    noise: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], ClipTruth]:
    """Draw the signals of a species and record them through a world.

    Parameters
    ----------
    rng : numpy.random.Generator
    species : Species
        For pretraining: :func:`~pseudorca.simulation.draw_virtual_species`.
    world : World
    recorder : Recorder
    duration_s : float, s
    group : Group, optional
        The animals; None draws a new group.
    channels : sequence of int, from 1
    activity : float
        Factor on the species' rates of signals.
    require : sequence of str
        Kinds of signals with at least one signal.
    snr_db : float, optional, dB
        Every signal has this signal-to-noise ratio (see ``snr_db`` in the truth). None: level and
        distance determine the ratio.
    min_snr_db : float, optional, dB
        Weaker tonal signals are raised to this ratio, because people cut clips around whistles that
        are visible.
    noise : ndarray [shape=(n_samples,)], optional
        Real noise at the recorder's sample rate, mixed in at the world's ``noise_db``.

    Returns
    -------
    waveform : ndarray [shape=(n_channels, n_samples)], float32 in [-1, 1)
    truth : ClipTruth

    Raises
    ------
    SimulationError
        If the recorder has no such channel, a kind is unknown, or the clip has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from pseudorca import simulation as sim
    >>> rng = np.random.default_rng(1)
    >>> recorder = sim.draw_recorder(rng, sample_rate=32_000)
    >>> waveform, truth = sim.simulate_clip(
    ...     rng, sim.draw_virtual_species(rng), sim.draw_world(rng), recorder, 3.0, snr_db=20.0
    ... )
    >>> waveform.shape
    (1, 96000)
    """
    _check(recorder, duration_s, channels)
    group = draw_group(rng) if group is None else group
    scene = draw_scene(rng, species, group, duration_s, activity=activity, require=require)
    return record_scene(
        rng,
        scene,
        world,
        recorder,
        duration_s,
        channels=channels,
        snr_db=snr_db,
        min_snr_db=min_snr_db,
        noise=noise,
    )


def record_scene(
    rng: np.random.Generator,
    scene: Sequence[Signal],
    world: World,
    recorder: Recorder,
    duration_s: float,
    *,
    channels: Sequence[int] = (1,),
    snr_db: float | None = None,
    min_snr_db: float | None = None,
    noise: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], ClipTruth]:
    """Record given signals.

    The samples of a channel do not depend on the other channels in ``channels``.

    Parameters
    ----------
    rng, world, recorder, duration_s, channels, snr_db, min_snr_db, noise : see :func:`simulate_clip`
    scene : sequence of Signal

    Returns
    -------
    waveform : ndarray [shape=(n_channels, n_samples)], float32 in [-1, 1)
    truth : ClipTruth

    Raises
    ------
    SimulationError
        If the recorder has no such channel, or the clip has no sample.

    Examples
    --------
    >>> from pseudorca import simulation as sim
    >>> rng, recorder = np.random.default_rng(0), sim.RECORDERS["drifter_96k"]
    >>> scene = sim.draw_scene(rng, sim.PSEUDORCA, sim.draw_group(rng), 1.0, require=("whistle",))
    >>> waveform, truth = record_scene(rng, scene, sim.draw_world(rng), recorder, 1.0)
    >>> waveform.shape, truth["presence"]["whistle"]
    ((1, 96000), True)
    """
    _check(recorder, duration_s, channels)
    sample_rate = recorder.sample_rate
    n_samples = round(duration_s * sample_rate)
    places = [
        (world.range_m * float(np.exp(rng.normal(0.0, RANGE_SPREAD))), rng.uniform(-1.0, 1.0))
        for _ in scene
    ]
    pressure = background_noise(rng, world, recorder, n_samples, channels, noise)
    levels = noise_levels(world, recorder, None if noise is None else world.noise_db)
    rows: list[dict[str, Any]] = []
    contours: dict[int, tuple[Floats, Floats]] = {}
    for number, (signal, (range_m, bearing_cos)) in enumerate(zip(scene, places, strict=True)):
        sound = pulses(signal) if signal.kind in PULSED else tone(signal, sample_rate)
        received = receive(sound, world, recorder, range_m)
        received_db = 10.0 * float(np.log10(max(received.power, 1e-30)))
        low_hz, high_hz = received.low_hz, received.high_hz
        natural_db = received_db - band_power(levels, low_hz, high_hz, sample_rate)
        gain_db = 0.0 if snr_db is None else snr_db - natural_db
        if isinstance(sound, Tone):
            contours[number] = (signal.start_s + sound.contour_s, sound.contour_hz)
            if min_snr_db is not None:
                gain_db = max(gain_db, min_snr_db - natural_db)
        measured = {
            "low_hz": low_hz,
            "high_hz": high_hz,
            "snr_db": natural_db + gain_db,
            "received_db": received_db + gain_db,
            "range_m": range_m,
            **_shape(sound),
            **signal.parameters,
            "level_db": signal.parameters["level_db"] + gain_db,
        }
        for channel, channel_pressure in zip(channels, pressure, strict=True):
            delay_s = recorder.delay_s(channel, bearing_cos)
            start_s, end_s = signal.start_s + delay_s, signal.end_s + delay_s
            add(channel_pressure, received, start_s=start_s, gain_db=gain_db)
            rows.append(
                {
                    "signal": number,
                    "kind": signal.kind,
                    "channel": channel,
                    "animal": signal.animal,
                    "delay_s": delay_s,
                    "start_s": min(max(start_s, 0.0), duration_s),
                    "end_s": min(max(end_s, 0.0), duration_s),
                    **measured,
                }
            )
    waveform = pressure  # digitised in place, since a long recording needs much memory
    n_clipped = {}
    for channel, samples in zip(channels, waveform, strict=True):
        samples[:], n_clipped[channel] = recorder.digitise(samples, world, channel)
    truth = ClipTruth(
        signals=rows,
        contours=contours,
        presence={kind: any(signal.kind == kind for signal in scene) for kind in KINDS},
        parameters=_mean_parameters(scene),
        n_clipped=n_clipped,
    )
    return waveform, truth


def _check(recorder: Recorder, duration_s: float, channels: Sequence[int]) -> None:
    if not (np.isfinite(duration_s) and duration_s * recorder.sample_rate >= 1.0):
        raise SimulationError(
            f"a clip of {duration_s} s has no sample at {recorder.sample_rate} Hz."
        )
    for channel in channels:
        if not 1 <= channel <= recorder.n_channels:
            raise SimulationError(
                f"channel {channel}: recorder {recorder.name!r} has channels 1 to "
                f"{recorder.n_channels}."
            )


def _shape(sound: Tone | Pulses) -> dict[str, float]:
    """Measurements of a contour (Oswald et al. 2007), or of a train of pulses."""
    if isinstance(sound, Pulses):
        return {"n_pulses": len(sound.times_s), "angle_deg": float(np.rad2deg(sound.angle_rad))}
    hz = sound.contour_hz
    return {
        "end_hz": float(hz[-1]),
        "min_hz": float(hz.min()),
        "max_hz": float(hz.max()),
        "mean_hz": float(hz.mean()),
    }


def _mean_parameters(scene: Sequence[Signal]) -> dict[str, float]:
    means = {}
    for name in TRAIT_NAMES:
        kind, _, short = name.partition(".")
        values = [signal.parameters[short] for signal in scene if signal.kind == kind]
        means[name] = float(np.mean(values)) if values else float("nan")
    return means

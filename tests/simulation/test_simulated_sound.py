"""Laws of single sounds, of background noise and of recorders."""

import numpy as np
import pytest
from scipy import signal as dsp

from pseudorca.errors import SimulationError
from pseudorca.simulation import RECORDERS, Recorder, Signal, World, draw_recorder, draw_world
from pseudorca.simulation import recorder as recorder_named
from pseudorca.simulation.noise import (
    GRID_POINTS,
    ambient_noise_db,
    background_noise,
    coloured_noise,
    noise_levels,
    periodic,
)
from pseudorca.simulation.propagation import (
    absorption_db_per_km,
    paths,
    spreading_loss_db,
    transfer,
)
from pseudorca.simulation.signals import Pulses, contour, pulses, tone
from pseudorca.simulation.world import N_LATENTS, world_from_latents

RATE = 96_000


def _whistle(**changes: float) -> Signal:
    parameters = {
        "start_hz": 6000.0, "sweep": 0.3, "duration_s": 0.5, "inflections": 2.0, "ripple": 0.05,
        "rolloff_db": 20.0, "level_db": 150.0, **changes,
    }  # fmt: skip
    return Signal("whistle", 0, 0.2, parameters, texture=7)


def _average_world() -> World:
    return world_from_latents(np.zeros(N_LATENTS))


def test_contour_starts_and_ends_where_its_parameters_say() -> None:
    times_s, hz = contour(_whistle())
    assert times_s[0] == 0.0
    assert times_s[-1] == pytest.approx(0.5)
    assert hz[0] == pytest.approx(6000.0)
    assert hz[-1] == pytest.approx(6000.0 * np.exp(0.3), rel=0.03)


@pytest.mark.parametrize("inflections", [0, 1, 2, 3])
def test_contour_has_the_inflections_it_is_asked_for(inflections: int) -> None:
    _, hz = contour(_whistle(sweep=0.0, ripple=0.2, inflections=float(inflections)))
    slope = np.sign(np.diff(dsp.savgol_filter(hz, 41, 2))[10:-10])
    assert np.count_nonzero(np.diff(slope[slope != 0])) == inflections or inflections == 0


def test_tone_has_the_level_it_is_asked_for_and_repeats() -> None:
    first, second = tone(_whistle(), RATE), tone(_whistle(), RATE)
    assert 20 * np.log10(np.sqrt(np.mean(first.waveform**2))) == pytest.approx(150.0, abs=0.01)
    assert np.array_equal(first.waveform, second.waveform)


def test_tone_above_half_the_sample_rate_does_not_alias() -> None:
    """Harmonics of 7 kHz at 17 kHz sampling: only what is below 8.3 kHz may sound."""
    sound = tone(_whistle(start_hz=7000.0, sweep=0.0, ripple=0.0, rolloff_db=3.0), 17_000)
    f, power = dsp.welch(sound.waveform, 17_000, nperseg=1024)
    assert power[(f < 6000.0)].max() < 1e-5 * power.max()


def _click_train() -> Pulses:
    parameters = {
        "peak_hz": 40_000.0, "q": 2.5, "interval_s": 0.05, "duration_s": 1.0, "level_db": 210.0
    }  # fmt: skip
    return pulses(Signal("click_train", 0, 0.0, parameters, texture=1))


def test_pulse_has_its_bandwidth_length_and_level() -> None:
    """Madsen et al. 2004: 40 kHz at Q 2 to 3 is a click of about 30 microseconds (-10 dB)."""
    train = _click_train()
    click = Pulses(
        **{**vars(train), "angle_rad": 0.0, "echo_gain": 0.0}  # on the axis, without reflection
    )
    rate, n = 2_000_000, 8192
    spectrum = click.spectrum(np.fft.rfftfreq(n, 1 / rate))
    power = np.abs(spectrum) ** 2
    strong = np.flatnonzero(power >= power.max() / 2) * rate / n
    assert strong[-1] - strong[0] == pytest.approx(16_000.0, rel=0.1)
    wave = np.fft.fftshift(np.fft.irfft(spectrum * rate, n))
    envelope = np.abs(dsp.hilbert(wave))
    assert np.count_nonzero(envelope > envelope.max() * 10 ** (-0.5)) / rate == pytest.approx(
        30e-6, rel=0.2
    )
    assert 20 * np.log10(np.ptp(wave)) == pytest.approx(210.0, abs=1.5)


def test_pulse_off_the_axis_is_weaker_and_lower() -> None:
    train = _click_train()
    hz = np.linspace(1000.0, 100_000.0, 2000)
    peaks, levels = [], []
    for angle in (0.0, 20.0, 50.0):
        click = Pulses(**{**vars(train), "angle_rad": np.deg2rad(angle), "echo_gain": 0.0})
        spectrum = np.abs(click.spectrum(hz))
        peaks.append(hz[spectrum.argmax()])
        levels.append(spectrum.max())
    assert peaks[0] > peaks[1] > peaks[2]
    assert levels[0] > levels[1] > levels[2]


def test_pulse_times_stay_inside_the_signal() -> None:
    train = _click_train()
    assert train.times_s.min() - train.half_length_s >= 0.0
    assert train.times_s.max() + train.half_length_s <= 1.0 + 1e-9
    assert np.median(np.diff(train.times_s)) == pytest.approx(0.05, rel=0.25)
    assert train.gains.max() == 1.0


def test_absorption_agrees_with_the_known_figure_at_40_khz() -> None:
    """In warm surface water 40 kHz loses 7 to 8 dB per km; 1 kHz next to nothing."""
    low, mid, high = absorption_db_per_km(np.array([1000.0, 40_000.0, 120_000.0]))
    assert low < 0.1
    assert mid == pytest.approx(7.4, abs=0.5)
    assert high > 4 * mid


def test_spreading_loss_is_spherical_near_and_grows_with_range() -> None:
    world = _average_world()
    assert spreading_loss_db(world, 100.0) == pytest.approx(40.0)
    losses = [spreading_loss_db(world, r) for r in (10.0, 100.0, 1000.0, 10_000.0)]
    assert losses == sorted(losses)


def test_transfer_without_echoes_is_spreading_and_absorption_alone() -> None:
    hz = np.linspace(100.0, 48_000.0, 500)
    world = draw_world(np.random.default_rng(5))
    all_paths = paths(world, 500.0)
    assert all_paths[0].delay_s == 0.0
    assert all(path.delay_s > 0.0 and abs(path.gain) < 1.0 for path in all_paths[1:])
    level_db = 20 * np.log10(np.abs(transfer(world, hz, 500.0)).mean())
    direct_db = -spreading_loss_db(world, 500.0) - absorption_db_per_km(hz).mean() / 2
    assert level_db == pytest.approx(direct_db, abs=3.0)


def test_ambient_noise_falls_with_frequency_and_rises_with_wind() -> None:
    hz = np.array([1000.0, 10_000.0, 50_000.0])
    latents = np.zeros(N_LATENTS)
    calm = ambient_noise_db(world_from_latents(latents), hz)
    latents[0] = 2.0
    rough = ambient_noise_db(world_from_latents(latents), hz)
    assert np.all(np.diff(calm) < 0.0)
    assert np.all(rough > calm)
    # Knudsen's sea state 3 (about 6 m/s) at 1 kHz is some 60 dB.
    assert calm[0] == pytest.approx(62.0, abs=4.0)


def test_coloured_noise_has_the_spectrum_it_is_asked_for() -> None:
    grid = np.geomspace(1.0, RATE / 2, GRID_POINTS)
    power = 10.0 ** ((80.0 - 20.0 * np.log10(grid / 1000.0)) / 10.0)
    noise = coloured_noise(np.random.default_rng(0), power, 10 * RATE, RATE)
    f, measured = dsp.welch(noise, RATE, nperseg=4096)
    inside = (f > 200.0) & (f < 45_000.0)
    wanted = np.interp(f[inside], grid, power)
    assert np.abs(10 * np.log10(measured[inside] / wanted)).max() < 2.0
    assert 10 * np.log10(np.mean(measured[inside] / wanted)) == pytest.approx(0.0, abs=0.1)


def test_coloured_noise_in_blocks_keeps_its_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pseudorca.simulation.noise.BLOCK", 60_000)
    monkeypatch.setattr("pseudorca.simulation.noise.FADE", 20_000)
    flat = np.ones(GRID_POINTS)
    noise = coloured_noise(np.random.default_rng(0), flat, 1_000_001, 2000)
    powers = [np.mean(part**2) for part in np.array_split(noise, 50)]
    assert np.max(powers) / np.min(powers) < 1.3
    assert np.mean(powers) == pytest.approx(1000.0, rel=0.02)


def test_noise_levels_tell_what_the_recorder_records() -> None:
    world = draw_world(np.random.default_rng(9))
    device = recorder_named("array_500k", sample_rate=RATE)
    (noise,) = background_noise(np.random.default_rng(1), world, device, 10 * RATE, (1,))
    f, measured = dsp.welch(noise, RATE, nperseg=4096)
    grid = np.geomspace(1.0, RATE / 2, GRID_POINTS)
    wanted_db = np.interp(f, grid, noise_levels(world, device))
    quiet = (f > 600.0) & (f < 45_000.0)
    error_db = np.median(10 * np.log10(measured[quiet]) - wanted_db[quiet])
    assert error_db == pytest.approx(0.0, abs=1.0)


def test_periodic_puts_its_lines_where_they_belong() -> None:
    wave = periodic(np.random.default_rng(0), 1000.0, np.array([60.0, 40.0]), RATE, RATE)
    level_db = 20 * np.log10(np.abs(np.fft.rfft(wave)) / RATE * np.sqrt(2) + 1e-9)
    assert level_db[1000] == pytest.approx(60.0, abs=0.1)
    assert level_db[2000] == pytest.approx(40.0, abs=0.1)
    level_db[[1000, 2000]] = -200.0
    assert level_db.max() < 0.0


@pytest.mark.parametrize("name", sorted(RECORDERS))
def test_recorder_response_is_3_db_down_at_its_corners(name: str) -> None:
    device, world = RECORDERS[name], _average_world()
    corners = np.array([device.fmin_hz, device.fmax_hz])
    slope_db = device.slope_db * np.log10(np.maximum(corners, 20.0) / 1e4)
    level_db = 20 * np.log10(device.response(corners, world)) - slope_db
    assert level_db == pytest.approx([-3.0, -3.0], abs=0.1)


@pytest.mark.parametrize("bits", [16, 24])
def test_digitise_rounds_to_the_grid_and_counts_what_it_cuts_off(bits: int) -> None:
    device = Recorder("test", RATE, bits, 10.0, 1, 40_000.0, 2, 0.0, 40.0, 100.0, 1.0)
    world = _average_world()
    pressure = np.array([0.0, 5e4, -5e4, 2e5, -2e5, 3e5], dtype=np.float32)  # 1e5 uPa is full scale
    samples, n_clipped = device.digitise(pressure, world, 1)
    assert n_clipped == 3
    assert samples.tolist() == [0.0, 0.5, -0.5, 1 - 2.0 ** (1 - bits), -1.0, 1 - 2.0 ** (1 - bits)]
    steps = samples.astype(np.float64) * 2 ** (bits - 1)
    assert np.array_equal(steps, np.rint(steps))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_rate": 96}, "kHz"),
        ({"bits": 12}, "16 or 24"),
        ({"fmin_hz": 50_000.0}, "fmin_hz < fmax_hz"),
        ({"n_channels": 0}, "channels"),
    ],
)
def test_recorder_with_impossible_settings_says_why(changes: dict[str, float], words: str) -> None:
    settings = {**vars(RECORDERS["drifter_96k"]), **changes}
    with pytest.raises(SimulationError, match=words):
        Recorder(**settings)


def test_recorder_of_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SimulationError, match="Did you mean 'array_192k'"):
        recorder_named("aray_192k")


def test_draw_recorder_makes_recorders_that_work() -> None:
    rng = np.random.default_rng(0)
    for sample_rate in (16_000, 96_000, 500_000):
        for _ in range(20):
            assert draw_recorder(rng, sample_rate=sample_rate).sample_rate == sample_rate

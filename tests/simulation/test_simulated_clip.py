"""Laws of a simulated clip: what its truth says is what its samples hold."""

import numpy as np
import pytest
from scipy import signal as dsp

from pseudorca.errors import SimulationError
from pseudorca.simulation import (
    KINDS,
    PSEUDORCA,
    TRAIT_NAMES,
    draw_recorder,
    draw_virtual_species,
    draw_world,
    recorder,
    simulate_clip,
)
from pseudorca.simulation.truth import SIGNAL_COLUMNS

RATE = 96_000


def _clip(seed: int, **settings: object):
    rng = np.random.default_rng(seed)
    world = draw_world(rng)
    device = recorder("array_500k", sample_rate=RATE)
    options = {"require": ("whistle",), **settings}
    return simulate_clip(rng, PSEUDORCA, world, device, 1.5, **options)


def test_simulate_clip_is_the_same_for_the_same_seed() -> None:
    first, truth = _clip(3, require=KINDS[:3])
    second, again = _clip(3, require=KINDS[:3])
    assert np.array_equal(first, second)
    assert truth["signals"] == again["signals"]


def test_simulate_clip_on_a_channel_does_not_depend_on_the_others() -> None:
    alone, _ = _clip(4, channels=(3,), require=KINDS[:3])
    among, truth = _clip(4, channels=(1, 3, 6), require=KINDS[:3])
    assert np.array_equal(alone[0], among[1])
    assert not np.array_equal(among[0], among[1])
    assert {row["channel"] for row in truth["signals"]} == {1, 3, 6}


def test_simulate_clip_contours_run_along_the_ridges_of_the_spectrogram() -> None:
    """At 30 dB, the loudest bin near the contour is on it, and far louder than elsewhere."""
    for seed in range(5):
        waveform, truth = _clip(seed, snr_db=30.0)
        n_fft = 2048
        hz, times_s, power = dsp.spectrogram(
            waveform[0], RATE, nperseg=n_fft, noverlap=n_fft - 256, window="hann"
        )
        band = (hz > 1500.0) & (hz < 24_000.0)
        for number, (contour_s, contour_hz) in truth["contours"].items():
            row = truth["signals"][number]
            middle = (times_s > row["start_s"] + 0.04) & (times_s < row["end_s"] - 0.04)
            if middle.sum() < 5:
                continue
            wanted = np.interp(times_s[middle], contour_s, contour_hz)
            near = band[:, None] & (np.abs(hz[:, None] - wanted) < 500.0)
            ridge = hz[np.where(near, power[:, middle], 0.0).argmax(axis=0)]
            # Echoes and fading can blot out a moment of a whistle, not most of it.
            assert np.median(np.abs(ridge - wanted)) < 2 * RATE / n_fft
            on = np.where(near, power[:, middle], 0.0).max(axis=0)
            assert 10 * np.log10(np.median(on) / np.median(power[band])) > 20.0


def test_simulate_clip_pulses_sound_when_the_truth_says() -> None:
    waveform, truth = _clip(8, require=("click_train",), snr_db=40.0)
    trains = [row for row in truth["signals"] if row["kind"] == "click_train"]
    sos = dsp.butter(4, 15_000.0, "high", fs=RATE, output="sos")
    high = np.abs(dsp.sosfilt(sos, waveform[0]))
    times_s = np.flatnonzero(high > 0.3 * high.max()) / RATE
    inside = np.zeros(len(times_s), dtype=bool)
    for row in trains:
        inside |= (times_s > row["start_s"] - 0.01) & (times_s < row["end_s"] + 0.06)  # echoes
    assert trains
    assert inside.all()


@pytest.mark.parametrize("seed", range(12))
def test_simulate_clip_of_any_species_world_and_recorder_is_sound_and_true(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample_rate = int(rng.choice([16_000, 32_000, 96_000, 192_000]))
    waveform, truth = simulate_clip(
        rng,
        draw_virtual_species(rng),
        draw_world(rng),
        draw_recorder(rng, sample_rate=sample_rate),
        1.0,
    )
    assert waveform.shape == (1, sample_rate)
    assert waveform.dtype == np.float32
    assert np.isfinite(waveform).all()
    assert -1.0 <= waveform.min() < waveform.max() < 1.0
    assert waveform.std() > 0.0
    at_limit = np.count_nonzero((waveform >= 1 - 2.0**-15) | (waveform <= -1.0))
    assert at_limit == truth["n_clipped"][1] or truth["n_clipped"][1] > 0 or at_limit < 3
    for row in truth["signals"]:
        assert 0.0 <= row["start_s"] < row["end_s"] <= 1.0
        assert set(row) <= set(SIGNAL_COLUMNS)
        assert 0.0 <= row["low_hz"] <= row["high_hz"] <= sample_rate / 2
    kinds = {row["kind"] for row in truth["signals"]}
    assert truth["presence"] == {kind: kind in kinds for kind in KINDS}
    assert set(truth["parameters"]) == set(TRAIT_NAMES)
    for name, value in truth["parameters"].items():
        assert np.isnan(value) != truth["presence"][name.partition(".")[0]]


def test_simulate_clip_snr_settings_rule_the_truth() -> None:
    _, truth = _clip(1, snr_db=12.0, require=KINDS[:3])
    assert [row["snr_db"] for row in truth["signals"]] == pytest.approx(
        [12.0] * len(truth["signals"])
    )
    _, truth = _clip(1, min_snr_db=25.0)
    assert all(row["snr_db"] >= 24.999 for row in truth["signals"] if row["kind"] == "whistle")


def test_simulate_clip_mixes_real_noise_at_the_level_of_the_world() -> None:
    hum = np.sin(np.arange(int(1.5 * RATE)) * (2 * np.pi * 12_345.0 / RATE)).astype(np.float32)
    with_noise, _ = _clip(2, noise=hum)
    without, _ = _clip(2)
    hz, power = dsp.welch(with_noise[0] - without[0], RATE, nperseg=4096)
    assert hz[power.argmax()] == pytest.approx(12_345.0, abs=30.0)


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan")])
def test_simulate_clip_without_samples_is_an_error(duration_s: float) -> None:
    rng = np.random.default_rng(0)
    device = recorder("array_192k")
    with pytest.raises(SimulationError, match="no sample"):
        simulate_clip(rng, PSEUDORCA, draw_world(rng), device, duration_s)


def test_simulate_clip_on_a_missing_channel_is_an_error() -> None:
    with pytest.raises(SimulationError, match="channels 1 to 6"):
        _clip(0, channels=(7,))

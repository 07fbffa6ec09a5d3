"""Laws of the front ends of networks on sound, of slowed playback, and of what is said of both."""

import numpy as np
import pandas as pd
import pytest
import torch

from pseudorca.backbones import backbone_info
from pseudorca.errors import AudioError, FrontEndError
from pseudorca.frontends.base import resample
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.reach import band_notices, heard_up_to_hz
from pseudorca.frontends.registry import front_end_from_settings, make_front_end
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.frontends.windows import (
    EfficientATFrontEnd,
    SamplesFrontEnd,
    VGGishFrontEnd,
    cut_windows,
)

RATE = 48_000
OWN = ["birdnet", "yamnet", "perch", "mn04_as", "vggish"]


def own_front_end(name: str, **settings):
    info = backbone_info(name)
    return make_front_end(info.front_end, settings=dict(info.front_end_settings) | settings)


def noise(duration_s: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(duration_s * rate))).astype(np.float32)


# Windows


@pytest.mark.parametrize("n_samples", [1, 7, 8, 9, 16, 17, 100])
@pytest.mark.parametrize("n_hop", [3, 8])
def test_every_sample_is_in_a_window_and_the_last_ends_with_the_clip(n_samples, n_hop):
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    windows = cut_windows(samples, 8, n_hop)
    assert windows.shape[1] == 8
    assert set(windows[windows > 0].tolist()) == set(samples.tolist())
    if n_samples < 8:
        assert len(windows) == 1
        assert (windows[0, n_samples:] == 0).all()
    else:
        assert (windows > 0).all()
        assert windows[-1, -1] == samples[-1]
    starts = windows[:, 0]
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= n_hop).all()


@pytest.mark.parametrize("rate", [16_000, 44_100, 81_920, 96_000, 500_000])
def test_a_clip_of_the_networks_window_is_one_window_at_every_rate(rate):
    for factor in (1, 3, 7):
        front_end = own_front_end("birdnet")
        front_end = front_end if factor == 1 else SlowFrontEnd(front_end, factor)
        clip = noise(3.0 / factor, rate)
        assert len(front_end.picture(clip, sample_rate=rate)) == 1
    assert len(cut_windows(np.ones(20_100), 10_000, 10_000)) == 3
    assert len(cut_windows(np.ones(20_099), 10_000, 10_000)) == 2


def test_one_window_at_the_networks_rate_is_the_clip_less_its_mean():
    front_end = own_front_end("birdnet")
    clip = noise(3.0) + np.float32(0.2)
    made = front_end.picture(clip, sample_rate=RATE)
    assert made.shape == (1, 144_000)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[0], clip - clip.mean(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "duration_s", "shape"),
    [
        ("birdnet", 1.0, (1, 144_000)),
        ("birdnet", 7.0, (3, 144_000)),
        ("yamnet", 0.5, (1, 15_600)),
        ("yamnet", 3.0, (6, 15_600)),
        ("perch", 12.0, (3, 160_000)),
        ("mn04_as", 3.0, (1, 128, 300)),
        ("mn04_as", 12.0, (2, 128, 1000)),
        ("vggish", 3.0, (4, 96, 64)),
    ],
)
def test_windows_have_the_shape_that_the_network_takes(name, duration_s, shape):
    made = own_front_end(name).picture(noise(duration_s), sample_rate=RATE)
    assert made.shape == shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()


def test_hop_can_be_chosen():
    clip = noise(9.0)
    assert len(own_front_end("birdnet", hop_s=1.0).picture(clip, sample_rate=RATE)) == 7
    with pytest.raises(FrontEndError, match="0 < hop <= window"):
        own_front_end("birdnet", hop_s=4.0)


def test_perchs_windows_are_centred_and_have_one_peak():
    front_end = own_front_end("perch")
    windows = front_end.picture(3 * noise(11.0, 32_000) + 0.5, sample_rate=32_000)
    np.testing.assert_allclose(np.abs(windows).max(axis=1), 0.25, rtol=1e-5)
    np.testing.assert_allclose(windows.mean(axis=1), 0, atol=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_unusable_clips_are_refused(name):
    front_end = own_front_end(name)
    with pytest.raises(AudioError, match="silent"):
        front_end.picture(np.full(RATE, 0.25, np.float32), sample_rate=RATE)
    broken = noise(1.0)
    broken[100] = np.nan
    with pytest.raises(AudioError, match="not finite"):
        front_end.picture(broken, sample_rate=RATE)
    with pytest.raises(AudioError, match="not one channel"):
        front_end.picture(noise(1.0).reshape(2, -1), sample_rate=RATE)


@pytest.mark.parametrize("name", OWN)
def test_settings_make_the_front_end_again(name):
    for slow in (1, 4):
        info = backbone_info(name)
        made = make_front_end(info.front_end, settings=info.front_end_settings, slow=slow)
        assert front_end_from_settings(made.settings()) == made


# Levels, against slow references


def test_efficientat_levels_equal_the_formula_of_its_authors():
    front_end, clip = EfficientATFrontEnd(), noise(1.3, 32_000)
    samples = torch.from_numpy(clip - clip.mean())
    emphasised = samples[1:] - 0.97 * samples[:-1]
    window = torch.hann_window(800, periodic=False)
    spectrum = torch.stft(emphasised, 1024, 320, 800, window, return_complex=True)
    filters = np.zeros((128, 513))
    mel = lambda hz: 1127 * np.log(1 + hz / 700)  # noqa: E731
    edges = np.linspace(mel(0), mel(15_000), 130)
    for band in range(128):
        low, centre, high = edges[band : band + 3]
        for k in range(513):
            at = mel(k * 32_000 / 1024)
            if low < at <= centre:
                filters[band, k] = (at - low) / (centre - low)
            elif centre < at < high:
                filters[band, k] = (high - at) / (high - centre)
    power = torch.from_numpy(filters).float() @ spectrum.abs() ** 2
    expected = ((power + 1e-5).log() + 4.5) / 5
    made = front_end.picture(clip, sample_rate=32_000)[0]
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-4)


def test_vggish_levels_equal_the_formula_of_its_authors():
    front_end, clip = VGGishFrontEnd(), noise(1.935, 16_000)
    samples = clip - clip.mean()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    n_frames = 1 + (len(samples) - 400) // 160
    magnitude = np.array(
        [
            np.abs(np.fft.rfft(samples[160 * k : 160 * k + 400] * window, 512))
            for k in range(n_frames)
        ]
    )
    mel = lambda hz: 1127 * np.log(1 + hz / 700)  # noqa: E731
    edges = np.linspace(mel(125), mel(7500), 66)
    bins = mel(np.linspace(0, 8000, 257))
    filters = np.zeros((257, 64))
    for band in range(64):
        low, centre, high = edges[band : band + 3]
        slopes = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
        filters[:, band] = np.maximum(0, slopes)
    filters[0] = 0
    expected = np.log(magnitude @ filters + 0.01)
    made = front_end.picture(clip, sample_rate=16_000)
    assert made.shape == (2, 96, 64)
    np.testing.assert_allclose(made.reshape(192, 64), expected[:192], atol=1e-4)


# Slowed playback


@pytest.mark.parametrize("inner", [CommonFrontEnd(), EfficientATFrontEnd()], ids=["common", "mn"])
def test_slowed_sound_is_the_sound_of_a_lower_rate(inner):
    clip = noise(1.0, 192_000)
    slowed = SlowFrontEnd(inner, 4)
    made = slowed.picture(clip, sample_rate=192_000)
    np.testing.assert_array_equal(made, inner.picture(clip, sample_rate=48_000))
    assert slowed.settings() != inner.settings()
    assert slowed.sample_rate == 4 * inner.sample_rate


def test_a_click_above_the_band_is_heard_when_it_is_slowed():
    rate, hz = 192_000, 48_000
    tone = np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)
    clip = tone + noise(1.0, rate) * np.float32(0.01)
    plain, slowed = SamplesFrontEnd(16_000, 0.975, 0.48, 7_500.0), own_front_end("yamnet")
    slowed = SlowFrontEnd(slowed, 8)
    assert heard_up_to_hz(slowed) == 60_000

    def loudest_hz(window):
        return np.fft.rfftfreq(len(window), 1 / 16_000)[np.abs(np.fft.rfft(window)).argmax()]

    lower = slowed.picture(clip, sample_rate=rate)
    assert loudest_hz(lower[0]) == pytest.approx(hz / 8, abs=2)
    assert plain.picture(clip, sample_rate=rate)[:, 500:-500].std() < 0.01
    assert len(lower) == pytest.approx(8 / 0.48, abs=2)  # a second lasts eight


def test_slowing_by_a_factor_that_makes_no_sense_is_refused():
    for factor in (0.5, -4, 1000):
        with pytest.raises(FrontEndError, match="--slow"):
            make_front_end("common", slow=factor)


# What is said


def recordings(rates: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"label": list(rates), "sample_rate": list(rates.values())})


def test_recordings_below_what_the_network_hears_are_told():
    table = recordings({"Insular": 16_000, "Pelagic": 96_000})
    (told,) = band_notices(table, own_front_end("birdnet"))
    assert "1 of 2 labelled recordings" in told
    assert "15.0 kHz" in told
    assert "goes with the label" in told
    assert band_notices(table, own_front_end("yamnet")) == []
    (told,) = band_notices(table, SlowFrontEnd(own_front_end("yamnet"), 4))
    assert "30.0 kHz" in told
    assert band_notices(recordings({"Insular": 32_000}), own_front_end("perch")) == []


def test_resampling_is_band_limited_before_a_network_hears_it():
    rate = 96_000
    tone = np.sin(2 * np.pi * 20_000 * np.arange(rate) / rate).astype(np.float32)
    assert np.abs(resample(tone, rate, 16_000)[500:-500]).max() < 1e-3

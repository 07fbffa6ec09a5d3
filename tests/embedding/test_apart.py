"""Taking clips apart: frames without signal, background as long as wanted, swapped backgrounds."""

import numpy as np
import pytest

from pseudorca.audit.audio_controls import BandFrontEnd, signal_sound, swap_background
from pseudorca.embedding.augmentation.apart import (
    N_BANDS,
    BackgroundFrontEnd,
    background_sound,
    band_edges_hz,
    describe_sound,
    heard_band,
    take_apart,
    with_quietest,
)
from pseudorca.errors import AudioError
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.study_picture import StudyFrontEnd

RATE = 32_000
BAND = (100.0, 15_000.0)


def noise(duration_s: float = 2.0, *, level: float = 0.01, seed: int = 0, rate: int = RATE):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(round(duration_s * rate))).astype(np.float32)


def with_whistle(sound, *, start_s=0.8, end_s=1.2, low_hz=5_000, high_hz=7_000, level=0.05):
    heard = sound.copy()
    first, last = round(start_s * RATE), round(end_s * RATE)
    phase = 2 * np.pi * np.cumsum(np.linspace(low_hz, high_hz, last - first)) / RATE
    heard[first:last] += (level * np.sin(phase)).astype(np.float32)
    return heard


def apart(sound, rate=RATE):
    return take_apart(sound, sample_rate=rate, band_hz=BAND)


def centres_s(parts):
    frames = np.arange(len(parts.is_free)) + parts.transform.p_min
    return frames * parts.transform.hop / parts.sample_rate


def level_db(sound):
    return 10 * np.log10(np.mean(sound.astype(np.float64) ** 2))


def test_take_apart_free_frames_never_touch_a_whistle():
    parts = apart(with_whistle(noise()))
    times = centres_s(parts)
    assert parts.is_free.sum() > 0.3 * len(times)
    assert not parts.is_free[(times > 0.79) & (times < 1.21)].any()
    assert parts.is_signal[(times > 0.83) & (times < 1.17)].all()


def test_take_apart_frames_beside_a_faint_tone_are_free_of_it_only_with_their_guard():
    rng = np.random.default_rng(0)
    n_held, n_unguarded = 0, 0
    for seed in range(20):
        sound, spans = noise(3.0, level=1.0, seed=seed), []
        for start_s in rng.uniform(0.2, 2.6, 3):
            first, last = round(start_s * RATE), round((start_s + 0.2) * RATE)
            tone = 2 * np.pi * rng.uniform(2_000, 10_000) * np.arange(last - first) / RATE
            sound[first:last] += 0.5 * np.sin(tone).astype(np.float32)
            spans.append((start_s, start_s + 0.2))
        parts = apart(sound)
        centre, half = centres_s(parts), parts.transform.mfft / 2 / RATE
        touches = np.zeros(len(centre), dtype=bool)
        for start_s, end_s in spans:
            touches |= (centre + half > start_s) & (centre - half < end_s)
        n_held += (touches & parts.is_free).sum()
        n_unguarded += (touches & ~parts.is_signal).sum()
    assert n_held == 0
    assert n_unguarded > 5  # frames that hold a bit of the tone, and do not stand out themselves


def test_take_apart_noise_alone_is_mostly_free():
    shares = [apart(noise(seed=seed)).is_free.mean() for seed in range(5)]
    assert min(shares) > 0.6


def test_take_apart_finds_clicks():
    sound = noise()
    rng = np.random.default_rng(1)
    for k in range(20_000, 40_000, 600):  # a train of clicks, one in every frame and more
        sound[k : k + 20] += (0.5 * rng.standard_normal(20)).astype(np.float32)
    parts = apart(sound)
    times = centres_s(parts)
    assert not parts.is_free[(times > 20_000 / RATE) & (times < 40_000 / RATE)].any()


def test_take_apart_clip_full_of_signals_has_no_background():
    sound = noise(level=0.001)
    for k, start in enumerate(np.arange(0.0, 1.9, 0.05)):
        low = 3_000 + 137 * (k * 7 % 40)
        sound = with_whistle(
            sound, start_s=start, end_s=start + 0.1, low_hz=low, high_hz=low + 2_000
        )
    parts = apart(sound)
    assert not parts.has_background
    drawing = BackgroundFrontEnd(CommonFrontEnd(), BAND)
    with pytest.raises(AudioError, match="no frames without signal"):
        drawing.picture(sound, sample_rate=RATE)


def test_take_apart_refuses_what_is_too_short_or_silent():
    with pytest.raises(AudioError, match="too short"):
        apart(noise(0.05))
    with pytest.raises(AudioError, match="too short"):
        apart(np.zeros(RATE, dtype=np.float32))
    with pytest.raises(AudioError, match="silent"):
        apart(np.full(RATE, 0.1, dtype=np.float32))


def test_take_apart_zeros_that_fill_a_clip_up_are_no_background():
    whole = apart(noise(1.0))
    filled = apart(np.concatenate([noise(1.0), np.zeros(2 * RATE, dtype=np.float32)]))
    np.testing.assert_array_equal(filled.is_free, whole.is_free)


def test_background_sound_keeps_level_and_leaves_the_whistle_out():
    sea = noise(level=0.01)
    made = background_sound(apart(with_whistle(sea, level=0.2)), 3 * RATE, seed=1)
    assert made.shape == (3 * RATE,)
    assert made.dtype == np.float32
    assert abs(level_db(made) - level_db(sea)) < 0.7
    power = np.abs(np.fft.rfft(made)) ** 2
    hertz = np.fft.rfftfreq(len(made), 1 / RATE)
    inside = power[(hertz > 5_000) & (hertz < 7_000)].mean()
    outside = power[(hertz > 9_000) & (hertz < 11_000)].mean()
    assert abs(10 * np.log10(inside / outside)) < 1.0


def test_background_sound_level_does_not_waver_between_grains():
    made = background_sound(apart(noise(4.0)), 8 * RATE, seed=0).astype(np.float64)
    levels = 10 * np.log10(np.mean(made.reshape(-1, RATE // 10) ** 2, axis=1))
    assert np.ptp(levels) < 2.0


def test_background_sound_does_not_repeat_itself():
    made = background_sound(apart(noise(1.0)), 4 * RATE, seed=2).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(made, 2 * len(made))) ** 2
    correlation = np.fft.irfft(spectrum)[: len(made)]
    assert np.abs(correlation[200:]).max() < 0.2 * correlation[0]


def test_background_sound_same_seed_same_sound():
    parts = apart(noise())
    first, again, other = (background_sound(parts, RATE, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_signal_sound_is_the_whistle_where_it_was():
    whistle = with_whistle(np.zeros(2 * RATE, dtype=np.float32))
    found = signal_sound(apart(with_whistle(noise(level=0.003))))
    assert found.shape == whistle.shape
    assert np.corrcoef(found, whistle)[0, 1] > 0.98
    assert level_db(found[: RATE // 2]) < level_db(whistle) - 30


def test_swap_background_keeps_how_far_signals_stand_out():
    quiet, loud = noise(level=0.003), noise(3.0, level=0.1, seed=7)
    signals = apart(with_whistle(quiet))
    swapped = swap_background(signals, apart(loud), seed=0)
    assert len(swapped) == len(quiet)
    before = level_db(with_whistle(quiet)[28_000:36_000]) - level_db(quiet)
    after = level_db(swapped[28_000:36_000]) - level_db(swapped[: RATE // 2])
    assert abs(after - before) < 1.5


def test_swap_background_has_the_rate_of_the_background():
    sea = take_apart(noise(rate=48_000), sample_rate=48_000, band_hz=BAND)
    swapped = swap_background(apart(with_whistle(noise())), sea, seed=0)
    assert len(swapped) == 2 * 48_000


def test_describe_sound_signals_exceed_the_background_where_they_are():
    told = describe_sound(apart(with_whistle(noise())), BAND)
    assert told.shape == (2 + 3 * N_BANDS,)
    excess = told[2 + 2 * N_BANDS :]
    edges = band_edges_hz(BAND)
    loudest = int(np.argmax(excess))
    assert 4_500 < edges[loudest] < 7_500
    assert excess[loudest] > 10
    assert np.abs(excess[edges[:-1] < 3_000]).max() < 4


def test_describe_sound_says_nothing_above_the_recordings_reach():
    told = describe_sound(take_apart(noise(rate=8_000), sample_rate=8_000, band_hz=BAND), BAND)
    background = told[2 : 2 + N_BANDS]
    edges = band_edges_hz(BAND)
    assert np.isnan(background[edges[:-1] >= 0.47 * 8_000]).all()
    assert np.isfinite(background[edges[1:] < 0.47 * 8_000]).all()


def test_background_front_end_draws_the_same_for_the_same_sound():
    drawing = BackgroundFrontEnd(CommonFrontEnd(), BAND)
    sound = with_whistle(noise())
    picture = drawing.picture(sound, sample_rate=RATE)
    np.testing.assert_array_equal(picture, drawing.picture(sound, sample_rate=RATE))
    assert picture.shape == CommonFrontEnd().picture(sound, sample_rate=RATE).shape
    assert drawing.settings() != CommonFrontEnd().settings()


def test_band_front_end_alone_and_left_out_make_up_the_picture():
    sound = with_whistle(noise())
    front_end = CommonFrontEnd(colours="grey", spread="range")
    whole = front_end.picture(sound, sample_rate=RATE)
    parts = [
        BandFrontEnd(front_end, 0.25, 0.5, keep).picture(sound, sample_rate=RATE)
        for keep in (True, False)
    ]
    np.testing.assert_array_equal(np.maximum(*parts), whole)
    n = len(whole)
    alone = parts[0][::-1]  # lowest frequency first
    assert (alone[: n // 4] == alone.min()).all()
    assert (alone[n // 2 :] == alone.min()).all()


def test_heard_band_is_the_front_ends_own_or_all():
    front_end = CommonFrontEnd()
    assert heard_band(front_end, 500_000) == (front_end.fmin_hz, front_end.fmax_hz)
    drawn = CommonFrontEnd.in_band("common", lowest_rate=10_000)
    assert heard_band(drawn, 500_000) == (drawn.fmin_hz, drawn.reach_hz)
    assert heard_band(StudyFrontEnd(), 500_000) == (100.0, 235_000.0)


def test_where_no_frame_is_free_the_quietest_stand_for_the_background():
    sound = with_whistle(noise(0.3), start_s=0.06, end_s=0.28, level=0.2)
    parts = apart(sound)
    assert not parts.has_background
    quiet = with_quietest(parts)
    assert quiet.has_background
    made = background_sound(quiet, 5_000, seed=0)
    assert len(made) == 5_000
    assert level_db(made) < level_db(sound) - 2
    usual = apart(with_whistle(noise()))
    assert with_quietest(usual) is usual


def test_every_clip_has_a_background_where_the_quietest_may_stand_for_it():
    front_end = BackgroundFrontEnd(CommonFrontEnd(), BAND, quietest=True)
    short = noise(0.06)
    np.testing.assert_array_equal(
        front_end.picture(short, sample_rate=RATE),
        CommonFrontEnd().picture(short, sample_rate=RATE),
    )
    strict = BackgroundFrontEnd(CommonFrontEnd(), BAND)
    with pytest.raises(AudioError):
        strict.picture(short, sample_rate=RATE)
    heard = with_whistle(noise())
    np.testing.assert_array_equal(
        front_end.picture(heard, sample_rate=RATE), strict.picture(heard, sample_rate=RATE)
    )
    assert front_end.settings() != strict.settings()

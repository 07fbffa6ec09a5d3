"""Laws of the common front end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import AudioError, FrontEndError
from pseudorca.frontends.base import resample
from pseudorca.frontends.common import CommonFrontEnd, colour_table, filter_weights
from pseudorca.frontends.registry import front_end_from_settings, make_front_end
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.recordings.bands import BANDS, sounds_left_out, widest_band


def tone(frequency_hz: float, sample_rate: int, duration_s: float = 1.0, noise: float = 1e-3):
    rng = np.random.default_rng(0)
    time = np.arange(round(duration_s * sample_rate)) / sample_rate
    wave = 0.3 * np.sin(2 * np.pi * frequency_hz * time) + noise * rng.standard_normal(len(time))
    return wave.astype(np.float32)


def level_picture(front_end: CommonFrontEnd, waveform, sample_rate: int):
    """The picture as colour indices [rows, columns], lowest frequency first."""
    grey = CommonFrontEnd(**{**vars(front_end), "colours": "grey"})
    return grey.picture(waveform, sample_rate=sample_rate)[::-1, :, 0]


@given(
    scale=st.sampled_from(["mel", "linear", "log"]),
    n_rows=st.integers(2, 256),
    n_fft=st.sampled_from([256, 512, 1000, 1024, 4096]),
    rate=st.sampled_from([2_000, 16_000, 32_000, 192_000]),
)
@settings(deadline=None, max_examples=60)
def test_filters_sum_to_one_and_none_is_empty(scale, n_rows, n_fft, rate):
    weights, centres = filter_weights(scale, n_rows, 50.0, 0.47 * rate, n_fft, rate)
    assert weights.shape == (n_rows, n_fft // 2 + 1)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
    assert (np.diff(centres) > 0).all()
    assert (weights >= 0).all()


def test_mel_filters_equal_the_textbook_ones_where_triangles_are_wide():
    rate, n_fft, n_rows, low, high = 32_000, 1024, 40, 100.0, 15_000.0
    weights, _ = filter_weights("mel", n_rows, low, high, n_fft, rate)
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), n_rows + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    for row in range(15, n_rows):  # far above the width of a bin
        left, centre, right = edges[row : row + 3]
        triangle = np.interp(bins, [left, centre, right], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(weights[row], triangle / triangle.sum(), atol=1e-6)


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000, 96_000, 192_000, 500_000])
def test_a_tone_shows_in_the_same_row_at_every_sample_rate(rate):
    front_end = CommonFrontEnd()
    rows = level_picture(front_end, tone(6_000, rate), rate).mean(axis=1)
    reference = level_picture(front_end, tone(6_000, 32_000), 32_000).mean(axis=1)
    assert rows.argmax() == reference.argmax()


def test_pictures_do_not_depend_on_gain():
    front_end = CommonFrontEnd()
    wave = tone(5_000, 48_000)
    loud = front_end.picture(wave, sample_rate=48_000)
    quiet = front_end.picture(wave * np.float32(2**-10), sample_rate=48_000)
    np.testing.assert_array_equal(loud, quiet)


def test_rows_that_the_rate_does_not_reach_are_filled_with_the_lowest_level():
    front_end = CommonFrontEnd()
    rows = level_picture(front_end, tone(3_000, 16_000, noise=0.05), 16_000)
    _, centres = filter_weights("mel", 128, 100.0, front_end.fmax_hz, 1024, 32_000)
    above = centres > 0.47 * 16_000
    assert (rows[above] == 0).all()
    assert rows[~above].min(axis=1).max() > 0
    assert not front_end.reached_by(16_000)
    assert front_end.reached_by(32_000)


def test_the_band_all_leaves_no_row_empty():
    front_end = CommonFrontEnd.in_band("all", lowest_rate=10_240)
    assert front_end.reached_by(10_240)
    rows = level_picture(front_end, tone(3_000, 10_240, noise=0.05), 10_240)
    assert rows.max(axis=1).min() > 0


@pytest.mark.parametrize("band", sorted(BANDS))
def test_bands_keep_their_resolution_in_milliseconds(band):
    front_end = CommonFrontEnd.in_band(band)
    picture = front_end.picture(tone(5_000, BANDS[band]), sample_rate=BANDS[band])
    expected = 1 + int((1000 - front_end.window_ms) // front_end.hop_ms)
    assert picture.shape == (128, expected, 3)
    assert picture.dtype == np.uint8


def test_the_highest_frequency_is_on_top():
    picture = CommonFrontEnd(colours="grey").picture(tone(14_000, 32_000), sample_rate=32_000)
    assert picture[:10].mean() > picture[-60:].mean()


def test_median_background_removes_a_steady_tone_and_keeps_a_short_one():
    rate = 32_000
    wave = tone(3_000, rate, 2.0)
    wave[rate : rate + 4_000] += tone(9_000, rate, 0.125)
    kept = level_picture(CommonFrontEnd(), wave, rate).mean(axis=1)
    removed = level_picture(CommonFrontEnd(background="median"), wave, rate)
    steady = kept.argmax()
    assert removed[steady].std() < removed[100:].std()
    short = removed[:, 128:140].mean(axis=1).argmax()
    assert short > steady


def test_pcen_and_grey_and_every_scale_draw():
    wave = tone(6_000, 48_000)
    for scale in ("mel", "linear", "log"):
        for levels in ("db", "pcen"):
            front_end = CommonFrontEnd(scale=scale, levels=levels)
            picture = front_end.picture(wave, sample_rate=48_000)
            assert picture.min() < picture.max()
    table = colour_table("grey")
    np.testing.assert_array_equal(table[:, 0], np.arange(256))


def test_resampling_keeps_a_tone_and_removes_what_lies_above_the_band():
    wave = resample(tone(3_000, 96_000), 96_000, 32_000)
    assert len(wave) == 32_000
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert spectrum.argmax() == 3_000
    high = resample(tone(30_000, 96_000, noise=0.0), 96_000, 32_000)
    assert np.abs(high[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(32_000, np.float32), "silent"),
        (np.full(32_000, 0.5, np.float32), "silent"),
        (np.full(32_000, np.nan, np.float32), "not finite"),
        (np.ones(500, np.float32), "shorter than one spectrogram frame"),
        (np.ones((2, 32_000), np.float32), "not one channel"),
    ],
)
def test_unusable_waveforms_are_refused_with_a_reason(waveform, reason):
    with pytest.raises(AudioError) as caught:
        CommonFrontEnd().picture(waveform, sample_rate=32_000)
    assert caught.value.reason == reason


def test_settings_rebuild_the_same_front_end():
    for front_end in (
        CommonFrontEnd.in_band("48k", levels="pcen"),
        CommonFrontEnd.in_band("all", lowest_rate=8_000),
        StudyFrontEnd(layout="wide"),
    ):
        assert front_end_from_settings(front_end.settings()) == front_end


def test_settings_of_another_version_are_refused():
    saved = CommonFrontEnd().settings() | {"version": 99}
    with pytest.raises(FrontEndError, match="use the version that saved it"):
        front_end_from_settings(saved)


@pytest.mark.parametrize(
    "settings_", [{"fmin_hz": 0.0}, {"hop_ms": 99.0}, {"scale": "bark"}, {"n_rows": 1}]
)
def test_settings_that_make_no_sense_are_refused(settings_):
    with pytest.raises(FrontEndError):
        CommonFrontEnd(**settings_)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(FrontEndError, match="Did you mean '16k'"):
        make_front_end("common", band="16kk")
    with pytest.raises(FrontEndError, match="Did you mean 'levels'"):
        make_front_end("common", settings={"level": "db"})


def test_the_widest_band_is_reached_by_nearly_all_of_every_class():
    assert widest_band({"a": [192_000] * 20, "b": [192_000] * 20}) == "96k"
    assert widest_band({"a": [192_000] * 20, "b": [96_000] * 20}) == "48k"
    assert widest_band({"a": [192_000] * 20, "b": [96_000] * 19 + [48_000]}) == "48k"
    assert widest_band({"a": [192_000] * 20, "b": [96_000] * 18 + [48_000] * 2}) == "16k"
    assert widest_band({"a": [192_000], "b": [8_000]}) == "all"
    assert len(sounds_left_out(15_040)) == 1
    assert "wholly" in sounds_left_out(15_040)[0]


def test_the_common_band_shows_of_no_recording_how_far_it_reaches():
    front_end = make_front_end("common", band="common", lowest_rate=16_000)
    empty = [
        (level_picture(front_end, tone(3_000, rate), rate) == 0).all(axis=1)
        for rate in (16_000, 32_000, 96_000)
    ]
    assert (empty[0] == empty[1]).all()
    assert (empty[0] == empty[2]).all()
    assert empty[0].any()
    assert front_end.reached_by(16_000)
    usual = level_picture(CommonFrontEnd(), tone(3_000, 32_000), 32_000)
    assert not (usual == 0).all(axis=1).any()


def test_settings_of_other_bands_are_what_they_were_and_all_can_be_made_again():
    assert "reach_hz" not in CommonFrontEnd().settings()
    for band in ("common", "all", "48k"):
        front_end = make_front_end("common", band=band, lowest_rate=20_000)
        assert front_end_from_settings(front_end.settings()) == front_end
    with pytest.raises(FrontEndError, match="lowest sample rate"):
        make_front_end("common", band="common")
    with pytest.raises(FrontEndError, match="begins at"):
        CommonFrontEnd(reach_hz=50.0)


def test_a_steady_hum_vanishes_with_the_background_of_its_row():
    steady = tone(2_000, 32_000, 2.0) + tone(6_000, 32_000, 2.0)
    steady[:16_000] += tone(4_000, 32_000, 0.5)
    for background in ("median", "quartile"):
        levels, _ = CommonFrontEnd(background=background).levels_db(steady, sample_rate=32_000)
        loudest = np.argsort(levels.max(axis=1))[-1]
        kept, _ = CommonFrontEnd().levels_db(steady, sample_rate=32_000)
        assert loudest == np.argmax(kept[:, :40].max(axis=1) - kept[:, -40:].max(axis=1))

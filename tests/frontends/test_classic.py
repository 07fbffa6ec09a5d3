"""Laws of classic features and of whistle contours."""

import librosa
import numpy as np
import pytest
import scipy.signal

from pseudorca.backbones import backbone_from_description, load_backbone
from pseudorca.embedding.embedder import Embedder, load_embedder, save_embedder
from pseudorca.embedding.gate import Gate
from pseudorca.errors import AudioError, BackboneError, FrontEndError, PseudorcaError
from pseudorca.formats.rocca import measure_contour, measure_contours, read_contours
from pseudorca.frontends.classic import CLASSIC, N_COEFFICIENTS, N_FRAMES, ClassicFrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.registry import front_end_from_settings, make_front_end
from pseudorca.recordings.bands import REACH

RATE = 32_000


@pytest.fixture(scope="module")
def sound():
    """Three seconds of a rising whistle in noise."""
    rng = np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    whistle = scipy.signal.chirp(time, 4_000, 3.0, 7_000)
    return (0.3 * whistle + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("name", CLASSIC)
def test_features_do_not_tell_how_loud_a_recording_is(name, sound):
    front_end = ClassicFrontEnd(features=name)
    quiet, loud = (front_end.picture(gain * sound, sample_rate=RATE) for gain in (0.1, 1.0))
    assert quiet.dtype == np.float32
    np.testing.assert_allclose(quiet, loud, atol=2e-3)


@pytest.mark.parametrize("name", CLASSIC)
def test_features_are_as_many_as_told_whatever_the_length_and_rate(name, sound):
    front_end, backbone = (
        make_front_end("classic", settings={"features": name}),
        load_backbone(name),
    )
    embedder = Embedder(front_end, backbone)
    inputs = [
        embedder.network_input(sound[:n], sample_rate=rate)
        for n, rate in ((2_000, RATE), (len(sound), RATE), (len(sound), 96_000))
    ]
    vectors = embedder.embed(inputs)
    assert vectors.shape == (3, CLASSIC[name].n_features)
    assert np.isfinite(vectors).all()


def test_in_the_common_band_no_feature_tells_how_far_a_recorder_reaches():
    rng = np.random.default_rng(2)
    wide = rng.standard_normal(3 * RATE).astype(np.float32)
    narrow = scipy.signal.resample_poly(wide, 1, 2).astype(np.float32)
    for name in ("logmel", "mean_spectrum", "mfcc", "mfcc_frames"):
        both = []
        for band in ("common", "16k"):
            front_end = ClassicFrontEnd.in_band(band, lowest_rate=RATE // 2, features=name)
            assert front_end_from_settings(front_end.settings()) == front_end
            a = front_end.picture(wide, sample_rate=RATE)
            b = front_end.picture(narrow, sample_rate=RATE // 2)
            both.append(np.abs(a - b).max())
        assert both[0] < 0.1 * both[1], name
    with pytest.raises(FrontEndError, match="linear prediction hears all"):
        ClassicFrontEnd.in_band("common", lowest_rate=RATE, features="lpc")
    gate = Gate.for_front_end(12, front_end=ClassicFrontEnd.in_band("common", lowest_rate=RATE))
    assert gate.front_end.reach_hz == REACH * RATE


def test_the_rate_of_a_recording_hardly_matters_within_the_band(sound):
    rng = np.random.default_rng(1)
    wide = scipy.signal.resample_poly(sound, 3, 1).astype(np.float32)
    for name in ("logmel", "mfcc"):
        front_end = ClassicFrontEnd(features=name)
        here = front_end.picture(sound, sample_rate=RATE)[0]
        there = front_end.picture(wide, sample_rate=3 * RATE)[0]
        other = front_end.picture(
            rng.standard_normal(len(sound)).astype(np.float32), sample_rate=RATE
        )
        assert np.abs(here - there).max() < 0.1 * np.abs(here - other[0]).max()


def test_logmel_is_mean_and_deviation_of_the_levels(sound):
    front_end = ClassicFrontEnd()
    levels = front_end.levels(sound, RATE)
    assert levels.shape[0] == 128
    assert levels.max() == 0.0
    assert levels.min() >= -80.0
    found = front_end.picture(sound, sample_rate=RATE)[0]
    shown = 1 - levels / levels.min()
    assert (shown.min(), shown.max()) == (0.0, 1.0)
    np.testing.assert_allclose(found, np.r_[shown.mean(axis=1), shown.std(axis=1)], atol=1e-5)


def test_logmel_is_what_the_common_picture_shows(sound):
    picture = CommonFrontEnd(colours="grey").picture(sound, sample_rate=RATE)[::-1, :, 0]
    found = ClassicFrontEnd().picture(sound, sample_rate=RATE)[0]
    np.testing.assert_allclose(found[:128], picture.mean(axis=1) / 255, atol=0.005)
    np.testing.assert_allclose(found[128:], picture.std(axis=1) / 255, atol=0.005)


def test_mfcc_frames_hold_the_coefficients_that_mfcc_sums_up(sound):
    frames = ClassicFrontEnd(features="mfcc_frames").picture(sound, sample_rate=RATE)[0]
    statistics = ClassicFrontEnd(features="mfcc").picture(sound, sample_rate=RATE)[0]
    by_frame = frames.reshape(N_FRAMES, N_COEFFICIENTS)
    np.testing.assert_allclose(
        by_frame.mean(axis=0), statistics[:N_COEFFICIENTS], rtol=0.05, atol=0.5
    )


def test_lpc_finds_the_cepstrum_of_the_filter_that_made_the_sound():
    rng = np.random.default_rng(0)
    polynomial = np.array([1.0, -1.2, 0.8])
    sound = scipy.signal.lfilter([1.0], polynomial, rng.standard_normal(4 * RATE))
    found = ClassicFrontEnd(features="lpc").picture(sound.astype(np.float32), sample_rate=RATE)[0]
    spectrum = -2 * np.log(np.abs(np.fft.rfft(polynomial, 4096)))
    cepstrum = np.fft.irfft(spectrum)[1:17]  # of a minimum-phase filter: half of its log power's
    np.testing.assert_allclose(found[:16], cepstrum, atol=0.05)


def test_cepstra_are_librosas(sound):
    front_end = ClassicFrontEnd(features="mfcc")
    expected = librosa.feature.mfcc(S=front_end.levels(sound, RATE), n_mfcc=N_COEFFICIENTS)
    found = front_end.picture(sound, sample_rate=RATE)[0]
    np.testing.assert_allclose(found[:N_COEFFICIENTS], expected.mean(axis=1), rtol=1e-4)


def test_classic_embedders_are_saved_and_loaded(tmp_path, sound):
    front_end = make_front_end("classic", band="48k", settings={"features": "mean_spectrum"})
    embedder = Embedder(front_end, load_backbone("mean_spectrum"))
    save_embedder(embedder, tmp_path)
    again = load_embedder(tmp_path)
    assert again.embedder_id == embedder.embedder_id
    assert again.front_end == front_end
    assert front_end_from_settings(front_end.settings()) == front_end
    first, second = (
        one.embed([one.network_input(sound, sample_rate=RATE)]) for one in (embedder, again)
    )
    np.testing.assert_array_equal(first, second)
    backbone = load_backbone("mean_spectrum")
    rebuilt = backbone_from_description(backbone.description(), backbone.state_dict())
    assert rebuilt.description() == backbone.description()


def test_bad_requests_say_what_to_do(sound):
    with pytest.raises(FrontEndError, match="Did you mean 'mfcc'"):
        ClassicFrontEnd(features="mfc")
    with pytest.raises(BackboneError, match="is no network"):
        load_backbone("mfcc", layer="layer3")
    for name in CLASSIC:
        front_end = ClassicFrontEnd(features=name)
        with pytest.raises(AudioError, match="shorter"):
            front_end.picture(sound[:100], sample_rate=RATE)
        with pytest.raises(AudioError, match="silent"):
            front_end.picture(np.zeros(RATE, np.float32), sample_rate=RATE)


def straight(begin_hz=8_000.0, end_hz=6_000.0, n=101, duration_s=0.5):
    return np.linspace(0, duration_s, n), np.linspace(begin_hz, end_hz, n)


def test_a_straight_contour_has_one_slope_and_no_inflection():
    found = measure_contour(*straight())
    assert found["freqSlopeMean"] == pytest.approx(-4_000)
    assert found["freqNegSlopeMean"] == pytest.approx(-4_000)
    assert found["freqAbsSlopeMean"] == pytest.approx(4_000)
    assert found["freqPosSlopeMean"] == 0
    assert (found["freqBeg"], found["freqEnd"]) == (8_000, 6_000)
    assert (found["freqQuarter1"], found["freqQuarter2"]) == (7_500, 7_000)
    assert found["freqCofm"] == pytest.approx(0.2)
    assert found["freqSweepDwnPercent"] == 100
    assert (found["numInflections"], found["freqNumSteps"]) == (0, 0)
    assert found["freqRelBw"] == pytest.approx(2 / 7)


def test_inflections_and_steps_are_counted():
    time_s = np.linspace(0, 1, 501)
    wave = 6_000 + 500 * np.sin(2 * np.pi * 3 * time_s)  # three periods: six turns
    found = measure_contour(time_s, wave)
    assert found["numInflections"] == 6
    assert found["inflMeanDelta"] == pytest.approx(1 / 6, abs=0.01)
    assert (found["numSweepsUpDwn"], found["numSweepsDwnUp"]) == (3, 3)
    stairs = np.array([5_000.0] * 10 + [6_000.0] * 10 + [5_000.0] * 10)
    found = measure_contour(np.arange(30) * 0.01, stairs)
    assert (found["freqStepUp"], found["freqStepDown"], found["freqNumSteps"]) == (1, 1, 2)
    assert (found["numSweepsFlatUp"], found["numSweepsUpFlat"]) == (1, 1)
    assert found["freqSweepFlatPercent"] == pytest.approx(100 * 27 / 29)


def test_a_contour_played_backwards_exchanges_begin_and_end():
    time_s, frequency_hz = straight()
    frequency_hz = frequency_hz + 200 * np.sin(40 * time_s)
    here, back = measure_contour(time_s, frequency_hz), measure_contour(time_s, frequency_hz[::-1])
    for name in ("freqMin", "freqMax", "freqMean", "freqCofm", "freqSpread", "numInflections"):
        assert here[name] == pytest.approx(back[name])
    assert here["freqBeg"] == back["freqEnd"]
    assert here["freqSlopeMean"] == pytest.approx(-back["freqSlopeMean"])
    assert here["numSweepsUpDwn"] == back["numSweepsUpDwn"]


def test_tables_may_hold_many_contours_in_any_order(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("contour,time_s,frequency_hz\nb,2,6000\na,1.5,5100\na,1.0,5000\nb,1,7000\n")
    table = measure_contours([path])
    assert table["contour"].tolist() == ["a", "b"]
    assert table["duration"].tolist() == [0.5, 1.0]
    assert table["freqSlopeMean"].tolist() == [200.0, -1000.0]


def test_bad_contours_are_named(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(PseudorcaError, match=r"has the columns a, b; expected a time"):
        read_contours(path)
    path.write_text("time_s,frequency_hz\n0,5000\n0.1,-3\n")
    with pytest.raises(PseudorcaError, match="line 3 has no time, or no frequency"):
        read_contours(path)
    path.write_text("time_s,frequency_hz\n0,5000\n")
    with pytest.raises(PseudorcaError, match=r"bad.csv, contour bad: 1 points"):
        measure_contours([path])


def test_the_real_contour_is_a_falling_whistle_of_false_killer_whales(hiceas_clip):
    (path,) = hiceas_clip.parent.glob("*ROCCA.csv")
    (found,) = measure_contours([path]).to_dict("records")
    assert found["n_points"] == 141  # of 142, two of one millisecond
    assert found["duration"] == pytest.approx(0.145)
    assert (found["freqBeg"], found["freqEnd"]) == (8300.78125, pytest.approx(7202.148438))
    assert (found["freqMin"], found["freqMax"]) == (found["freqEnd"], found["freqBeg"])
    assert found["freqPosSlopeMean"] == found["numInflections"] == found["freqNumSteps"] == 0
    assert found["freqSlopeMean"] < 0
    assert found["freqMean"] == pytest.approx(7703, abs=1)  # between 4 and 8 kHz, as their whistles

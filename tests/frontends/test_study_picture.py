"""The study's picture, held against Matplotlib drawing it: the slow reference is in this file."""

import io
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import scipy.signal
import soundfile
from numpy.typing import NDArray
from PIL import Image

from pseudorca.errors import AudioError, FrontEndError
from pseudorca.frontends import study_picture as study
from pseudorca.frontends.study_picture import StudyFrontEnd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

REAL_CLIP = (
    Path(__file__).parents[2].parent
    / "shared/data/hiceas-2017/Sette_AC_101/20170728_031259_ch05_sel02.wav"
)


def plotted(waveform: NDArray[Any], sample_rate: int, layout: str) -> NDArray[np.uint8]:
    """The study's own route, in float64 unless the waveform is of integers (as the study's was)."""
    if waveform.dtype == np.float32:
        waveform = waveform.astype(np.float64)
    frequencies, times, power = scipy.signal.spectrogram(waveform, sample_rate)
    plt.figure(figsize=(12, 8))
    with np.errstate(divide="ignore"):
        plt.pcolormesh(times, frequencies, np.log(power), cmap="viridis")
    plt.xticks([])
    plt.yticks([])
    file = io.BytesIO()
    plt.savefig(file, dpi=100, bbox_inches="tight" if layout == "tight" else None)
    plt.close()
    return np.asarray(Image.open(file).convert("RGB"))


def agreement(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The share of pixels equal in all three channels."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.uint8
    return float((a == b).all(axis=-1).mean())


def clip(n_samples: int, sample_rate: int, *, silences: bool = False) -> NDArray[np.float32]:
    """16-bit noise and a whistle; with ``silences``, digital zeros at the start and inside."""
    rng = np.random.default_rng(n_samples)
    time_s = np.arange(n_samples) / sample_rate
    whistle = np.sin(2 * np.pi * sample_rate * (0.1 * time_s + 0.001 * np.sin(20 * time_s)))
    samples = np.round(32767 * (0.05 * rng.standard_normal(n_samples) + 0.3 * whistle)) / 32768
    if silences:
        samples[: n_samples // 20] = 0
        samples[n_samples // 3 : n_samples // 2] = 0
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def real_clip() -> tuple[NDArray[np.int16], int]:
    if not REAL_CLIP.exists():
        pytest.skip(f"the HICEAS clip is not here: {REAL_CLIP}")
    return soundfile.read(REAL_CLIP, dtype="int16")


@pytest.mark.parametrize("layout", ["tight", "wide"])
@pytest.mark.parametrize(
    ("n_samples", "sample_rate"),
    [
        (300, 8000),  # a single segment: empty axes
        (480, 600),  # two
        (4000, 2000),
        (13_472, 192_000),  # 60: borders of cells fall on centres of pixels
        (22_050, 44_100),
        (138_912, 500_000),  # 620: again, two cells to three pixels
        (192_000, 192_000),  # 857, not quite a column of pixels for each
    ],
)
def test_picture_equals_matplotlib_at_any_rate_and_length(n_samples, sample_rate, layout):
    silences = n_samples >= 4000
    waveform = clip(n_samples, sample_rate, silences=silences)
    picture = StudyFrontEnd(layout=layout).picture(waveform, sample_rate=sample_rate)
    assert agreement(picture, plotted(waveform, sample_rate, layout)) >= 0.9999


@pytest.mark.parametrize(
    ("n_samples", "sample_rate"),
    [(416_672, 500_000), (500_000, 500_000), (30 * 16_000, 16_000), (30 * 600, 600)],
)
def test_picture_of_a_long_clip_equals_matplotlib(n_samples, sample_rate):
    waveform = clip(n_samples, sample_rate, silences=True)
    picture = StudyFrontEnd().picture(waveform, sample_rate=sample_rate)
    assert agreement(picture, plotted(waveform, sample_rate, "tight")) >= 0.9999


def test_picture_of_a_click_in_a_steep_spectrum_equals_matplotlib():
    # 24 bits of range: the quietest cells lie far below float32's rounding of the loudest.
    rng = np.random.default_rng(0)
    low_pass = scipy.signal.butter(8, 0.02, output="sos")
    waveform = 100 * scipy.signal.sosfilt(low_pass, 1e-3 * rng.standard_normal(50_000))
    waveform[30_000] += 0.5
    waveform = (np.round(waveform * 2**23) / 2**23).astype(np.float32)
    picture = StudyFrontEnd().picture(waveform, sample_rate=96_000)
    assert agreement(picture, plotted(waveform, 96_000, "tight")) >= 0.9999


@pytest.mark.parametrize("layout", ["tight", "wide"])
def test_picture_of_a_real_clip_equals_what_the_study_drew(real_clip, layout):
    integers, sample_rate = real_clip
    waveform = integers.astype(np.float32) / 32768
    picture = StudyFrontEnd(layout=layout).picture(waveform, sample_rate=sample_rate)
    assert agreement(picture, plotted(waveform, sample_rate, layout)) >= 0.9999
    # Given integers, SciPy rounds its window and the power to float32: a few pixels move.
    assert agreement(picture, plotted(integers, sample_rate, layout)) >= 0.999


@pytest.mark.parametrize("silences", [False, True])
def test_picture_is_the_same_from_integers_and_from_full_scale_one(silences):
    waveform = clip(22_050, 44_100, silences=silences)
    integers = np.round(waveform * 32768).astype(np.int16)
    for front_end in (StudyFrontEnd(), StudyFrontEnd(frame=False)):
        a, b = (front_end.picture(x, sample_rate=44_100) for x in (waveform, integers))
        np.testing.assert_array_equal(a, b)


def test_picture_does_not_depend_on_the_size_of_blocks(monkeypatch):
    waveform = clip(30_000, 96_000, silences=True)
    whole = StudyFrontEnd().picture(waveform, sample_rate=96_000)
    monkeypatch.setattr(study, "BLOCK", 7)
    np.testing.assert_array_equal(StudyFrontEnd().picture(waveform, sample_rate=96_000), whole)


@pytest.mark.parametrize("log_offset", [0.0, 1e-10])
def test_picture_without_frame_has_a_pixel_for_each_cell(log_offset):
    waveform = clip(22_050, 44_100, silences=True)
    _, _, power = scipy.signal.spectrogram(waveform.astype(np.float64), 44_100)
    with np.errstate(divide="ignore"):
        level = np.ma.masked_invalid(np.log(power + log_offset))
    level = (level - level.min()) / (level.max() - level.min())
    viridis = matplotlib.colormaps["viridis"].with_extremes(bad="white")
    expected = np.floor(viridis(level)[::-1, :, :3] * 255 + 0.5).astype(np.uint8)
    front_end = StudyFrontEnd(frame=False, log_offset=log_offset)
    assert agreement(front_end.picture(waveform, sample_rate=44_100), expected) >= 0.9999


def test_picture_of_equal_power_takes_the_first_colour():
    index = study._colour_index(np.array([[3.0, 3.0, 0.0]]), 3.0, 3.0)
    np.testing.assert_array_equal(index, [[0, 0, study.SILENT]])
    picture = StudyFrontEnd(frame=False, log_offset=1.0).picture(np.zeros(500), sample_rate=8000)
    assert (picture == [68, 1, 84]).all()


def test_power_equals_scipy_spectrogram():
    waveform = clip(200_000, 96_000)  # of more than one block
    _, _, expected = scipy.signal.spectrogram(waveform.astype(np.float64), 96_000)
    blocks = [block for _, block in study._power_blocks(waveform, 96_000)]
    assert len(blocks) > 1
    np.testing.assert_allclose(np.concatenate(blocks).T, expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.ones(255), "shorter than one spectrogram frame"),
        (np.array([]), "shorter than one spectrogram frame"),
        (np.r_[np.ones(999), np.nan], "not finite"),  # after the last whole frame
        (np.r_[np.inf, np.ones(999)], "not finite"),
        (np.zeros(1000), "silent"),
        (np.full(1000, 0.25), "silent"),  # the mean is removed
        (np.zeros(300), "silent"),
        (np.ones((2, 1000)), "not one channel"),
    ],
)
@pytest.mark.parametrize("frame", [True, False])
def test_picture_refuses_what_cannot_be_drawn(waveform, reason, frame):
    with pytest.raises(AudioError) as caught:
        StudyFrontEnd(frame=frame).picture(waveform.astype(np.float32), sample_rate=8000)
    assert caught.value.reason == reason


def test_front_end_refuses_settings_that_make_no_sense():
    with pytest.raises(FrontEndError, match="Did you mean 'tight'"):
        StudyFrontEnd(layout="tigth")  # type: ignore[arg-type]
    for log_offset in (-1e-10, np.nan, np.inf):
        with pytest.raises(FrontEndError, match="log_offset"):
            StudyFrontEnd(log_offset=log_offset)


def test_settings_survive_json_and_rebuild_the_front_end():
    front_end = StudyFrontEnd(layout="wide", frame=False, log_offset=1e-10)
    settings = json.loads(json.dumps(front_end.settings()))
    assert settings.pop("name") == front_end.name == "study"
    assert StudyFrontEnd(**settings) == front_end
    assert front_end.sample_rate is None

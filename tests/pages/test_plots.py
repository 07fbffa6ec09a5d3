"""Plots return their axes with labels and units, and show the numbers they are given."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.pages import plots
from pseudorca.pages.blocks import figure, inline_svg
from pseudorca.report import evaluation_plots, sound_plots, sounds

RATE = 8_000
COLOURS = {"Insular": plots.BLUE, "Pelagic": plots.ORANGE}
HISTORY = [{"epoch": e, "loss": 1 / e, "accuracy": 0.2 * e, "validation_loss": 2 / e,
            "validation_accuracy": 0.1 * e} for e in (1, 2, 3)]  # fmt: skip


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def tone(hz: float, *, duration_s: float = 1.0, amplitude: float = 1.0) -> np.ndarray:
    time = np.arange(round(duration_s * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def test_stacked_bars_end_at_their_totals(ax: Axes) -> None:
    counts = pd.DataFrame({"Insular": [3, 0], "Pelagic": [4, 5]}, index=["Sette", "Lasker"])
    assert plots.stacked_bars(ax, counts, colours=COLOURS, x="clips") is ax
    assert ax.get_xlabel() == "clips"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Sette", "Lasker"]
    assert [text.get_text() for text in ax.texts] == ["7", "5"]
    assert max(patch.get_x() + patch.get_width() for patch in ax.patches) == 7


def test_class_dots_show_every_value(ax: Axes) -> None:
    values = {"Insular": [0.2, 0.9, 0.9], "Pelagic": []}
    assert plots.class_dots(ax, values, colours=COLOURS, x="probability") is ax
    assert sum(len(dots.get_offsets()) for dots in ax.collections) == 3
    assert ax.get_xlabel() == "probability"


def test_intervals_fill_only_honest_dots(ax: Axes) -> None:
    rows = [evaluation_plots.Result("encounter", 0.6, 0.4, 0.7, 0.5, False),
            evaluation_plots.Result("random", 0.9, 0.8, 0.95, 0.5, True)]  # fmt: skip
    assert evaluation_plots.intervals(ax, rows) is ax
    filled = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert filled == [plots.BLUE, "#ffffff"]
    assert [text.get_text() for text in ax.texts] == ["0.60  [0.40, 0.70]", "0.90  [0.80, 0.95]"]
    assert "balanced accuracy" in ax.get_xlabel()


def test_batch_counts_stack_to_the_batch(ax: Axes) -> None:
    assert plots.batch_counts(ax, [[60, 4], [10, 2]], list(COLOURS), colours=COLOURS) is ax
    assert max(bar.get_y() + bar.get_height() for bar in ax.patches) == 64
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("batch of the first epoch", "clips in the batch")


def test_confusion_matrix_writes_shares_and_counts(ax: Axes) -> None:
    assert (
        evaluation_plots.confusion_matrix(ax, [[3, 1], [0, 2]], list(COLOURS), unit="encounters")
        is ax
    )
    shown = {text.get_text() for text in ax.texts}
    assert shown == {"75 %", "3", "25 %", "1", "100 %", "2"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("said of the encounters", "truth")


def test_confusion_matrix_of_a_class_never_tested_has_no_share(ax: Axes) -> None:
    evaluation_plots.confusion_matrix(ax, [[0, 0], [1, 1]], list(COLOURS))
    assert {text.get_text() for text in ax.texts} == {"50 %", "1"}


def test_curves_have_axes_from_0_to_1(ax: Axes) -> None:
    truth, scores = np.array([True, False, True]), [np.array([0.9, 0.4, 0.3])]
    assert (
        evaluation_plots.precision_recall(ax, truth, scores, colour=plots.BLUE, title="Pelagic")
        is ax
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("recall", "precision")
    other = Figure().subplots()
    assert evaluation_plots.threshold_curves(other, truth, scores) is other
    assert "threshold" in other.get_xlabel()
    for each in (ax, other):
        assert each.get_xlim()[0] < 0 < 1 < each.get_xlim()[1]


def test_repeats_become_a_mean_and_a_band(ax: Axes) -> None:
    truth = np.array([True, False, True])
    repeats = [np.array([0.9, 0.4, 0.3]), np.array([0.9, 0.2, 0.8])]
    evaluation_plots.precision_recall(ax, truth, repeats, colour=plots.BLUE)
    mean, share = ax.lines
    assert mean.get_ydata()[-1] == pytest.approx((2 / 3 + 1) / 2)
    assert set(share.get_ydata()) == {2 / 3}
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[np.isclose(corners[:, 0], 1.0), 1].min() == pytest.approx(2 / 3)
    assert corners[:, 1].max() == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20))
def test_precision_at_recall_is_the_best_that_a_threshold_reaches(
    units: list[tuple[float, bool]],
) -> None:
    scores = np.array([score for score, _ in units])
    truth = np.array([is_class for _, is_class in units])
    if not truth.any():
        return
    recalls = [0.0, 0.3, 0.5, 1.0]
    found = evaluation_plots.precision_at_recall(truth, scores, recalls)
    said = [scores >= threshold for threshold in scores]
    reached = [((few & truth).sum() / truth.sum(), (few & truth).sum() / few.sum()) for few in said]
    expected = [max(p for r, p in reached if r >= wanted - 1e-9) for wanted in recalls]
    np.testing.assert_allclose(found, expected)


def test_bounds_on_wrong_names_are_caps_and_no_bars(ax: Axes) -> None:
    curve = [{"coverage": share, "error": share / 4} for share in (0.5, 1.0)]
    candidates = [point | {"max_error": point["error"] + 0.2} for point in curve]
    evaluation_plots.risk_coverage_curve(ax, curve, candidates)
    caps = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert [line.get_ydata().tolist() for line in caps] == [[0.325, 0.45]]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 2
    assert "at most" in labels[1]


def test_contrast_is_that_of_the_clip_itself(ax: Axes) -> None:
    rng = np.random.default_rng(0)
    quiet, loud = rng.normal(-90, 2, (20, 20)), rng.normal(-20, 2, (20, 20))
    for db in (quiet, loud):
        low, high = sounds.own_contrast(db)
        assert db.min() < low < np.median(db)
        assert high >= low + 10
    low, high = sounds.own_contrast(np.concatenate([quiet, loud[:2]]))
    assert (low < -88, high > -20) == (True, True)


def test_repeated_sound_is_covered_to_the_end_of_the_clip(ax: Axes) -> None:
    ax.set_xlim(2.0, 5.0)
    sounds.grey_out(ax, 3.0, "repeated")
    (cover,) = ax.patches
    assert (cover.get_x(), cover.get_width()) == (3.0, 2.0)
    assert cover.get_alpha() > 0.5
    assert ax.get_xlim() == (2.0, 5.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20))
def test_precision_and_recall_at_thresholds_equal_counting(units: list[tuple[float, bool]]) -> None:
    probabilities = np.array([p for p, _ in units])
    truth = np.array([is_class for _, is_class in units])
    thresholds = np.linspace(0, 1, 11)
    precision, recall = evaluation_plots.precision_recall_at(truth, [probabilities], thresholds)
    for threshold, found, share in zip(thresholds, precision, recall, strict=True):
        said = probabilities >= threshold
        expected = (said & truth).sum() / said.sum() if said.any() else np.nan
        np.testing.assert_allclose(found, expected)
        np.testing.assert_allclose(share, (said & truth).sum() / max(truth.sum(), 1))


def test_history_marks_the_best_epoch(ax: Axes) -> None:
    assert evaluation_plots.history_curves(ax, [HISTORY], best_epochs=[3]) is ax
    dots = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[[3, pytest.approx(2 / 3)]]]
    assert ax.get_xlabel() == "epoch"


def test_history_without_validation_has_one_line(ax: Axes) -> None:
    evaluation_plots.history_curves(ax, [[{"epoch": 1, "loss": 1.0}]], best_epochs=[1])
    assert len(ax.lines) == 1


@given(st.text(max_size=60), st.integers(5, 40))
def test_shown_text_is_short_and_drawable(text: str, most: int) -> None:
    drawn = plots.shown(text, most)
    assert len(drawn.replace(r"\$", "$")) <= most
    assert "$" not in drawn.replace(r"\$", "")
    assert "\n" not in drawn


def test_few_colours_joins_the_smallest_columns() -> None:
    table = pd.DataFrame({f"class {k}": [k, 1] for k in range(20)})
    joined, colours = plots.few_colours(table)
    assert len(joined.columns) == len(colours) == len(plots.COLOURS)
    assert joined.columns[-1] == "13 other classes"
    assert (joined.sum(axis=1) == table.sum(axis=1)).all()


def test_waveforms_draw_each_channel_in_its_colour(ax: Axes) -> None:
    samples = np.stack([tone(50, amplitude=0.5), tone(80, amplitude=0.1)])
    colours = [plots.BLUE, plots.ORANGE]
    assert sound_plots.waveforms(ax, samples, sample_rate=RATE, colours=colours, start_s=2.0) is ax
    assert ax.get_xlim() == (2.0, 3.0)
    assert ax.get_xlabel() == "time (s)"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["channel 1", "channel 2"]
    assert [label.get_color() for label in ax.get_yticklabels()] == colours


@pytest.mark.parametrize("amplitude", [1.0, 0.01])
def test_magnitude_spectrum_of_a_tone_peaks_at_its_level(amplitude: float) -> None:
    khz, level_db = sound_plots.magnitude_spectrum(
        tone(1_000, amplitude=amplitude), sample_rate=RATE, n_bands=2_000
    )
    assert khz[level_db.argmax()] == pytest.approx(1.0, abs=0.002)
    assert level_db.max() == pytest.approx(20 * np.log10(amplitude), abs=0.1)


def test_spectra_are_labelled_with_units(ax: Axes) -> None:
    assert sound_plots.spectra(ax, [tone(500)], sample_rate=RATE, colours=[plots.BLUE]) is ax
    assert ax.get_xlabel() == "frequency (kHz)"
    assert ax.get_ylabel() == "magnitude (dB re full scale)"
    assert ax.get_xlim()[1] == RATE / 2000


@pytest.mark.parametrize("as_in_study", [True, False])
def test_native_levels_put_a_tone_in_its_row(as_in_study: bool) -> None:
    levels = sound_plots.native_levels(tone(2_000), sample_rate=RATE, as_in_study=as_in_study)
    assert levels.db.shape == (len(levels.rows_hz), len(levels.frames_s))
    assert levels.rows_hz[levels.db.mean(axis=1).argmax()] == pytest.approx(2_000, abs=40)
    assert levels.db.max() == pytest.approx(0, abs=0.2)
    assert 0 < levels.frames_s[0] < levels.frames_s[-1] < 1


def test_native_levels_stay_small() -> None:
    levels = sound_plots.native_levels(tone(100, duration_s=20), sample_rate=RATE)
    assert levels.db.size <= 200 * 480


def test_common_levels_have_the_front_ends_rows(ax: Axes) -> None:
    front_end = CommonFrontEnd.in_band("16k")
    levels = sounds.common_levels(front_end, tone(1_000), sample_rate=RATE)
    loudest = levels.rows_hz[levels.db[: levels.n_reached].mean(axis=1).argmax()]
    assert loudest == pytest.approx(1_000, rel=0.05)
    assert levels.rows_hz[levels.n_reached - 1] <= 0.47 * RATE
    image = sound_plots.spectrogram(ax, levels, low=-80, high=0, title="Pelagic")
    assert image.axes is ax
    assert np.ma.getmaskarray(image.get_array())[levels.n_reached :].all()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "frequency (kHz)")


@given(st.floats(50, 5_000), st.floats(6_000, 250_000), st.booleans())
def test_frequency_ticks_rise_within_the_rows(low: float, high: float, linear: bool) -> None:
    rows = np.linspace(low, high, 100) if linear else np.geomspace(low, high, 100)
    ticks = sound_plots.frequency_ticks(rows)
    assert 1 <= len(ticks) <= 8
    assert all(np.diff(ticks) > 0)
    assert low * 0.9 <= ticks[0] or ticks[0] == 0 or linear
    assert ticks[-1] <= high * 1.001


def test_inline_svg_is_the_same_every_time_and_shares_no_ids() -> None:
    def drawn(value: float) -> str:
        made = figure(2.0)
        plots.style(made.subplots(), x="time (s)", grid="both").plot([0, value])
        return inline_svg(made, description='a "line" <b>')

    first = drawn(1.0)
    assert first == drawn(1.0)
    assert "http" not in first
    assert "var(--ink)" in first
    assert "&lt;b&gt;" in first
    ids = [{part.split('"')[0] for part in text.split(' id="')[1:]} for text in (first, drawn(2.0))]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_example_clips_prefer_full_clips_of_different_encounters() -> None:
    rows = [("a1", "big", 0.0), ("a2", "big", 0.0), ("a3", "big", 0.0), ("b1", "small", 1.0)]
    clips = pd.DataFrame(
        {"clip_id": [r[0] for r in rows], "recording_id": [r[0] for r in rows], "label": "Pelagic",
         "encounter": [r[1] for r in rows], "padded_s": [r[2] for r in rows], "start_s": 0.0,
         "channel": "1"}
    )  # fmt: skip
    recordings = pd.DataFrame({"recording_id": clips["recording_id"], "root": "/", "sample_rate": 1,
                               "path": clips["clip_id"] + ".wav"})  # fmt: skip
    chosen = [row.clip_id for row in sounds.example_clips(clips, recordings, 2)]
    assert chosen[:2] == ["a2", "b1"]
    again = sounds.example_clips(clips.sample(frac=1, random_state=1), recordings, 2)
    assert [row.clip_id for row in again] == chosen

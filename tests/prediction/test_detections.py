"""Merging clips into detections, and what was listened to meanwhile."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import PseudorcaError
from pseudorca.prediction.detections import DETECTION_COLUMNS, find_detections
from pseudorca.prediction.effort import find_gaps
from pseudorca.recordings.manifest import scan
from pseudorca.recordings.timeline import timeline

from .conftest import summarise_effort

Make = Callable[..., pd.DataFrame]

# Three files that follow each other, one after a pause, and one of another recorder without a time.
FILES = (
    {"platform": "A", "start_utc": "2020-01-01T00:00:00", "duration_s": 20.0},
    {"platform": "A", "start_utc": "2020-01-01T00:00:20", "duration_s": 20.0},
    {"platform": "A", "start_utc": "2020-01-01T00:00:40", "duration_s": 20.0},
    {"platform": "A", "start_utc": "2020-01-01T00:02:00", "duration_s": 20.0},
    {"platform": "B", "duration_s": 20.0},
)
START = {0: 0.0, 1: 20.0, 2: 40.0, 3: 1_000.0, 4: 2_000.0}  # apart, if they do not follow

any_clips = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 19),
        st.integers(1, 6),
        st.sampled_from(["Insular", "Pelagic", "undecided"]),
        st.sampled_from([0.5, 0.61, 0.9]),
    ),
    max_size=30,
    unique_by=lambda row: row[:2],
)
gaps = st.sampled_from([0.0, 0.5, 1.0, 3.0, 25.0])


def drawn_clips(clips: Make, drawn: list[tuple[int, int, int, str, float]]) -> pd.DataFrame:
    rows = [(k, float(start), float(min(start + n, 20)), said) for k, start, n, said, _ in drawn]
    return clips(*rows, probabilities=[p for *_, p in drawn])


def spans(table: pd.DataFrame, end_of: str) -> list[tuple[str, float, float]]:
    """(decision, begin, end) on one line."""
    return [
        (
            row["decision"],
            START[int(row["recording_id"][3:])] + row["start_s"],
            START[int(row[end_of][3:])] + row["end_s"],
        )
        for row in table.to_dict("records")
    ]


@settings(max_examples=25, deadline=None)
@given(drawn=any_clips, max_gap_s=gaps)
def test_merging_keeps_the_laws(
    drawn: list[Any], max_gap_s: float, clips: Make, recordings: Make
) -> None:
    said, files = drawn_clips(clips, drawn), recordings(*FILES)
    found = find_detections(said, files, max_gap_s=max_gap_s)
    named = said[said["decision"] != "undecided"]
    placed = spans(found, "end_recording_id")

    # Nothing is lost or made up: every clip lies in one detection, which begins and ends with one.
    pieces = spans(named, "recording_id")
    for label, begin, end in pieces:
        assert sum(s == label and b <= begin and end <= e for s, b, e in placed) == 1
    assert {(s, b) for s, b, _ in placed} <= {(s, b) for s, b, _ in pieces}
    assert {(s, e) for s, _, e in placed} <= {(s, e) for s, _, e in pieces}
    assert (found["n_moments"].sum() if len(found) else 0) == len(named)
    summed = (found["mean_probability"] * found["n_moments"]).sum() if len(found) else 0
    assert summed == pytest.approx(named["probability"].sum() if len(named) else 0)

    # None overlap, and none are left that belong together.
    for label in ("Insular", "Pelagic"):
        mine = sorted((b, e) for s, b, e in placed if s == label)
        assert all(later - end > max_gap_s for (_, end), (later, _) in pairwise(mine))

    # The order of clips and recordings does not matter.
    shuffled = find_detections(
        said.sample(frac=1, random_state=1),
        files.sample(frac=1, random_state=2),
        max_gap_s=max_gap_s,
    )
    pd.testing.assert_frame_equal(found, shuffled)


@settings(max_examples=25, deadline=None)
@given(drawn=any_clips, max_gap_s=gaps)
def test_merging_again_changes_nothing(
    drawn: list[Any], max_gap_s: float, clips: Make, recordings: Make
) -> None:
    said, files = drawn_clips(clips, drawn), recordings(*FILES)
    once = find_detections(said, files, max_gap_s=max_gap_s, across_files=False)
    assert (once["recording_id"] == once["end_recording_id"]).all()
    again = once.assign(probability=once["mean_probability"])
    twice = find_detections(again, files, max_gap_s=max_gap_s, across_files=False)
    kept = [name for name in DETECTION_COLUMNS if name != "max_probability"]
    pd.testing.assert_frame_equal(once[kept], twice[kept])


@settings(max_examples=25, deadline=None)
@given(drawn=any_clips, low=gaps, high=gaps)
def test_a_wider_gap_never_gives_more_detections(
    drawn: list[Any], low: float, high: float, clips: Make, recordings: Make
) -> None:
    said, files = drawn_clips(clips, drawn), recordings(*FILES)
    low, high = sorted((low, high))
    numbers = [len(find_detections(said, files, max_gap_s=gap)) for gap in (None, low, high)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == (said["decision"].isin(["Insular", "Pelagic"])).sum()


def test_a_detection_runs_on_into_the_next_file(clips: Make, recordings: Make) -> None:
    said = clips(
        (0, 17.0, 20.0, "Insular"), (1, 0.0, 3.0, "Insular"), (1, 4.0, 7.0, "Insular"),
        (3, 0.0, 3.0, "Insular"),
        probabilities=[0.6, 0.7, 0.95, 0.8],
    )  # fmt: skip
    found = find_detections(said, recordings(*FILES), max_gap_s=1.0)
    first = found.iloc[0]
    assert (first["path"], first["start_s"], first["end_path"], first["end_s"]) == (
        "x0.wav", 17.0, "x1.wav", 7.0,
    )  # fmt: skip
    assert first["duration_s"] == 10.0
    assert first["n_moments"] == 3
    assert first["start_utc"] == pd.Timestamp("2020-01-01T00:00:17Z")
    assert first["end_utc"] == pd.Timestamp("2020-01-01T00:00:27Z")
    assert first["mean_probability"] == pytest.approx(0.75)
    assert first["max_probability"] == 0.95
    assert len(found) == 2  # over the pause nothing is bridged, however near the clips
    apart = find_detections(said, recordings(*FILES), max_gap_s=1.0, across_files=False)
    assert apart["end_path"].tolist() == ["x0.wav", "x1.wav", "x3.wav"]


def test_other_sounds_and_the_undecided_are_no_detections(clips: Make, recordings: Make) -> None:
    said = clips((0, 0.0, 3.0, "undecided"), (0, 3.0, 6.0, "none of the classes"))
    found = find_detections(said, recordings(*FILES))
    assert found.empty
    assert list(found.columns) == list(DETECTION_COLUMNS)
    assert find_detections(clips(), recordings(*FILES)).empty


def test_channels_of_a_moment_are_no_files_behind_each_other(clips: Make, recordings: Make) -> None:
    both = {"platform": "A", "duration_s": 20.0}
    files = recordings(
        both | {"start_utc": "2020-01-01T00:00:00", "moment_id": "m"},
        both | {"start_utc": "2020-01-01T00:00:00", "moment_id": "m"},
        both | {"start_utc": "2020-01-01T00:00:20", "moment_id": "n"},
        both | {"start_utc": "2020-01-01T00:00:20", "moment_id": "n"},
    )
    assert timeline(files)["run"].tolist() == [0, 0]
    # predict speaks of a moment by one of its files, whichever could be read.
    found = find_detections(clips((0, 17.0, 20.0, "Insular"), (3, 0.0, 3.0, "Insular")), files)
    assert found[["recording_id", "end_recording_id"]].values.tolist() == [["rec0", "rec3"]]
    assert found["n_moments"].tolist() == [2]


@pytest.mark.parametrize(
    ("second", "follows"),
    [
        ({"start_utc": "2020-01-01T00:00:20"}, True),
        ({"start_utc": "2020-01-01T00:00:21"}, True),  # names hold whole seconds
        ({"start_utc": "2020-01-01T00:00:19"}, True),
        ({"start_utc": "2020-01-01T00:00:22"}, False),
        ({"start_utc": "2020-01-01T00:00:00"}, False),
        ({"start_utc": None}, False),
        ({"start_utc": "2020-01-01T00:00:20", "platform": "B"}, False),
        ({"start_utc": "2020-01-01T00:00:20", "selection": "02"}, False),
    ],
)
def test_a_file_continues_another_if_their_clocks_touch(
    second: dict[str, Any], follows: bool, recordings: Make
) -> None:
    first = {"platform": "A", "start_utc": "2020-01-01T00:00:00", "duration_s": 20.0}
    line = timeline(recordings(first, first | {"recording_id": "rec1"} | second))
    assert (line["run"].nunique() == 1) == follows
    assert line["run_start_s"].max() == (20.0 if follows else 0.0)


def test_where_two_files_may_be_meant_none_continues(recordings: Make) -> None:
    a, b = {"start_utc": "2020-01-01T00:00:00"}, {"start_utc": "2020-01-01T00:05:00"}
    assert timeline(recordings(a, a, b))["run"].nunique() == 3
    assert timeline(recordings(a, b, b))["run"].nunique() == 3
    # In two folders they are two recorders.
    apart = recordings(a | {"path": "A/x.wav"}, a, b | {"path": "A/y.wav"})
    assert timeline(apart).groupby("recorder")["run"].nunique().to_dict() == {
        "/sea": 1,
        "/sea/A": 1,
    }


@pytest.mark.parametrize("gap", [-1.0, np.nan])
def test_a_gap_that_is_none_is_refused(gap: float, clips: Make, recordings: Make) -> None:
    with pytest.raises(PseudorcaError, match="expected seconds, 0 or more"):
        find_detections(clips(), recordings(*FILES), max_gap_s=gap)


# Effort


def test_effort_is_split_at_the_hour_and_counts_sound_once(clips: Make, recordings: Make) -> None:
    files = recordings(
        {"platform": "A", "start_utc": "2020-01-01T00:50:00", "duration_s": 3_600.0},
        {"platform": "A", "start_utc": "2020-01-01T01:40:00", "duration_s": 900.0},  # 10 min twice
        {"platform": "A", "start_utc": "2020-01-02T12:00:00", "duration_s": 60.0},
        {"platform": "B", "duration_s": 100.0},
        {"platform": "B", "duration_s": 50.0},
    )
    said = clips(
        (0, 597.0, 603.0, "Insular"), (0, 600.0, 606.0, "Insular"), (0, 606.0, 612.0, "Pelagic"),
        (2, 0.0, 6.0, "undecided"), (3, 0.0, 6.0, "Pelagic"), (4, 0.0, 6.0, "Pelagic"),
    )  # fmt: skip
    found = find_detections(said, files)
    hours = summarise_effort(said, files, found)
    assert hours["recorder"].tolist() == ["A", "A", "A", "B"]
    assert hours["start_utc"].dt.strftime("%d %H:%M").tolist()[:3] == [
        "01 00:00", "01 01:00", "02 12:00",
    ]  # fmt: skip
    assert hours["start_utc"].isna().tolist() == [False] * 3 + [True]
    assert hours["recorded_s"].tolist() == [600.0, 3_300.0, 60.0, 150.0]
    assert hours["listened_s"].tolist() == [3.0, 12.0, 6.0, 12.0]
    assert hours["detections_Insular"].tolist() == [1, 0, 0, 0]
    assert hours["detections_Pelagic"].tolist() == [0, 1, 0, 2]
    assert hours["seconds_Insular"].tolist() == [3.0, 6.0, 0.0, 0.0]
    assert hours["seconds_Pelagic"].tolist() == [0.0, 6.0, 0.0, 12.0]
    days = summarise_effort(said, files, found, per="day")
    assert days["recorded_s"].tolist() == [3_900.0, 60.0, 150.0]
    assert days["detections_Insular"].tolist() == [1, 0, 0]


@settings(max_examples=25, deadline=None)
@given(drawn=any_clips, per=st.sampled_from(["hour", "day"]))
def test_effort_adds_up(drawn: list[Any], per: Any, clips: Make, recordings: Make) -> None:
    said, files = drawn_clips(clips, drawn), recordings(*FILES)
    found = find_detections(said, files)
    table = summarise_effort(said, files, found, per=per)
    assert table["recorded_s"].sum() == 100.0
    assert (table["listened_s"] <= table["recorded_s"]).all()
    heard = {START[k] + s for k, start, n, _, _ in drawn for s in range(start, min(start + n, 20))}
    assert table["listened_s"].sum() == len(heard)
    for label in ("Insular", "Pelagic"):
        assert table[f"detections_{label}"].sum() == (found["decision"] == label).sum()
        assert (table[f"seconds_{label}"] <= table["listened_s"]).all()


def test_an_unknown_period_is_refused(clips: Make, recordings: Make) -> None:
    files = recordings(*FILES)
    with pytest.raises(PseudorcaError, match="unknown period 'week'"):
        summarise_effort(clips(), files, find_detections(clips(), files), per="week")


# Gaps


def test_gaps_are_where_no_file_of_the_recorder_was_running(recordings: Make) -> None:
    long = {"platform": "A", "start_utc": "2020-01-01T00:00:00", "duration_s": 100.0}
    short = long | {"start_utc": "2020-01-01T00:00:10", "duration_s": 10.0}
    other = long | {"platform": "B"}
    touching = long | {"start_utc": "2020-01-01T00:01:41"}
    late = long | {"start_utc": "2020-01-01T01:00:00.500", "path": "late.wav"}
    piece = long | {"start_utc": "2020-01-01T02:00:00", "selection": "02"}
    files = recordings(late, short, other, {"platform": "A"}, long, touching, piece)
    assert find_gaps(files).to_dict("records") == [
        {
            "recorder": "A",
            "start_utc": pd.Timestamp("2020-01-01T00:03:21Z"),
            "end_utc": pd.Timestamp("2020-01-01T01:00:00.500Z"),
            "gap_s": 3_399.5,
            "next_path": "late.wav",
        }
    ]
    assert find_gaps(recordings(long, {"platform": "A"})).empty
    assert find_gaps(recordings({})).empty


# Real recorders


@pytest.mark.slow
def test_soundtrap_files_are_one_run(hydrophones: Path) -> None:
    files = scan(hydrophones / "pypam_300s_8k").recordings
    line = timeline(files)
    assert line["run"].tolist() == [0, 0, 0]
    assert line["recorder"].tolist() == ["67416073"] * 3
    assert find_gaps(files).empty
    assert line["run_start_s"].tolist() == pytest.approx([0, 300.017125, 600.053625])

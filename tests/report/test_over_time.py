"""Detections over time: gaps stay blank, effort is grey, nothing is drawn that was not written."""

from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pseudorca.pages.blocks import Chart, Number, Table, Text
from pseudorca.report.contents import read_project
from pseudorca.report.over_time import detections_over_time, timeline
from pseudorca.store import Store

COLOURS = {"Insular": "#0072B2", "Pelagic": "#E69F00"}


def hours(start: str, n: int, recorder: str = "Sette") -> pd.DataFrame:
    """Every second hour half recorded, with one detection of each population."""
    start_utc = pd.date_range(start, periods=n, freq="2h", tz="UTC")
    return pd.DataFrame(
        {
            "start_utc": start_utc, "recorder": recorder, "recorded_s": 1800.0, "listened_s": 900.0,
            "quiet_s": 360.0,
            "detections_Insular": 1, "detections_Pelagic": 2, "seconds_Insular": 3.0,
            "seconds_Pelagic": 6.0,
        }
    )  # fmt: skip


def days(table: pd.DataFrame) -> pd.DataFrame:
    start = table["start_utc"].dt.floor("D")
    return table.assign(start_utc=start).groupby(["start_utc", "recorder"], as_index=False).sum()


def blocks_of(tmp_path, table: pd.DataFrame):
    folder = tmp_path / "predictions"
    folder.mkdir()
    table.to_csv(folder / "hours.csv", index=False)
    days(table).to_csv(folder / "days.csv", index=False)
    store = Store(tmp_path / "project", create=True)
    return timeline(read_project(store), folder, ["Insular", "Pelagic", "undecided"])


@pytest.mark.parametrize(
    ("n", "period"),
    [(1, "hour"), (36, "hour"), (37, "day"), (12 * 400, "day"), (12 * 401, "month")],
)
def test_periods_are_as_long_as_can_be_seen(tmp_path, n, period):
    block, _ = blocks_of(tmp_path, hours("2017-07-01", n))
    assert isinstance(block, Chart)
    assert f"Detections per {period} (UTC)" in block.caption
    assert f"{n / 4:,.1f} of {n / 2:,.1f} hours" in block.caption
    assert f"{n / 10:,.1f} hours without signal" in block.caption


def test_short_recordings_are_told_in_minutes(tmp_path):
    table = hours("2017-07-01", 2).assign(recorded_s=90.0, listened_s=60.0)
    assert "(2.0 of 3.0 minutes)" in blocks_of(tmp_path, table)[0].caption


@pytest.mark.parametrize("n", [4, 12 * 30, 12 * 401])
def test_seconds_stand_beside_counts_per_recorder(tmp_path, n):
    both = pd.concat([hours("2017-07-01", n), hours("2017-07-01", n, "Lasker")])
    table = blocks_of(tmp_path, both)[1]
    assert isinstance(table, Table)
    expected = [("Insular", n, 3.0 * n, 1 / 3), ("Pelagic", 2 * n, 6.0 * n, 2 / 3)]
    assert [row[0] for row in table.rows] == ["Lasker", "Lasker", "Sette", "Sette"]
    for row, (label, count, seconds, percent) in zip(table.rows, 2 * expected, strict=True):
        assert row[1:3] == (label, count)
        assert isinstance(row[3], Number)
        assert isinstance(row[4], Number)
        assert (row[3].value, row[4].value) == (seconds, pytest.approx(percent))


def test_no_tables_draw_nothing(tmp_path):
    store = Store(tmp_path / "project", create=True)
    assert timeline(read_project(store), tmp_path, ["Insular"]) == []


def test_files_without_a_time_are_said(tmp_path):
    table = hours("2017-07-01", 2)
    lost = table.iloc[:1].assign(start_utc=pd.NaT, recorded_s=7200.0)
    folder, store = tmp_path / "predictions", Store(tmp_path / "project", create=True)
    folder.mkdir()
    for known, expected in ((table, "2.0 hours in files without a time"), (table[:0], "not known")):
        for name, rows in (("hours", known), ("days", days(known))):
            pd.concat([rows, lost]).to_csv(folder / f"{name}.csv", index=False)
        block = timeline(read_project(store), folder, ["Insular", "Pelagic"])[0]
        text = block.text if isinstance(block, Text) else block.caption
        assert expected in text


def test_a_broken_table_is_a_problem_of_the_report(tmp_path):
    (tmp_path / "hours.csv").write_text("recorder\nSette\n")
    project = read_project(Store(tmp_path / "project", create=True))
    assert timeline(project, tmp_path, ["Insular"]) == []
    assert project.trouble[0]["stage"] == "report"


def test_bars_are_stacked_in_front_of_the_effort_and_gaps_stay_blank():
    table = hours("2017-07-01", 3)
    effort = table.assign(days=1 / 24, recorded_s=[30.0, 0.1, 60.0], listened_s=[15.0, 0.0, 60.0])
    counts = table[["detections_Insular", "detections_Pelagic"]].set_axis(list(COLOURS), axis=1)
    made = Figure()
    ax = detections_over_time(made.subplots(), effort, counts, colours=COLOURS, title="Sette")
    bars = sorted((bar.get_y(), bar.get_height()) for bar in ax.patches)
    assert bars == [(0, 1)] * 3 + [(1, 2)] * 3
    ground = next(one for one in made.axes if one is not ax)
    heights = [bar.get_height() for bar in ground.patches]
    assert ground.get_ylabel() == "seconds recorded"
    assert heights[:3] == [30, pytest.approx(3.6), 60]  # a tenth of a second can still be seen
    assert heights[3:] == [15, 0, 60]
    spans = {(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ground.patches}
    assert len(spans) == 3
    ends = sorted(spans)
    assert all(after[0] > before[1] for before, after in pairwise(ends))


@pytest.mark.parametrize(
    ("longest_s", "unit", "height"),
    [(45.0, "seconds", 45.0), (180.0, "minutes", 3.0), (7_200.0, "hours", 2.0)],
)
def test_effort_fills_the_axis_however_little_of_a_day_was_recorded(longest_s, unit, height):
    table = hours("2017-07-01", 21)
    effort = table.assign(days=1.0, recorded_s=longest_s, listened_s=longest_s)
    made = Figure()
    ax = detections_over_time(made.subplots(), effort, table[[]], colours={})
    ground = next(one for one in made.axes if one is not ax)
    assert ground.get_ylabel() == f"{unit} recorded"
    assert {bar.get_height() for bar in ground.patches} == {height}
    assert height >= 0.9 * ground.get_ylim()[1]

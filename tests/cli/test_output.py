"""What a terminal shows: three notices, whole cells, and files left out apart from problems."""

import pandas as pd
import pytest

from pseudorca.cli import output
from pseudorca.results import NO_SELECTION

NOTICES = [f"Notice {k}. Its second sentence." + " More." * 80 for k in range(5)]


def test_three_notices_are_shown_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_notices(NOTICES)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("*")] == [f"* Notice {k}." for k in range(3)]
    assert "2 more" in lines[-1]
    assert "--verbose" in lines[-1]


def test_verbose_shows_every_notice_whole(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_notices(NOTICES, verbose=True)
    assert capsys.readouterr().out.splitlines() == [f"* {notice}" for notice in NOTICES]


def test_a_notice_that_fits_in_a_line_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_notices(["First. Second."])
    assert capsys.readouterr().out == "* First. Second.\n"
    output.say_notices([])
    assert capsys.readouterr().out == ""


def test_no_cell_of_a_table_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/sea/" + "deployment/" * 60
    output.table(["set", "tables in"], [("mooring", path)])
    shown = "".join(capsys.readouterr().out.split())
    assert path in shown.replace("mooring", "")
    assert "…" not in shown


def test_files_without_a_selection_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [NO_SELECTION] * 223 + ["empty file"]
    rows = pd.DataFrame({"path": [f"{k}.wav" for k in range(224)], "reason": reasons, "detail": ""})
    output.say_problems(rows)
    shown = capsys.readouterr().out
    assert "1 problem" in shown
    assert "223 files" in shown
    assert shown.count(".wav") == 1
    output.say_problems(rows[:1])
    shown = capsys.readouterr().out
    assert "problem" not in shown
    assert "1 file " in shown


def test_every_problem_is_shown_where_all_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame(
        {"path": [f"{k}.wav" for k in range(24)], "reason": "empty file", "detail": ""}
    )
    output.say_problems(rows)
    assert capsys.readouterr().out.count(".wav") == 10
    output.say_problems(rows, verbose=True)
    assert capsys.readouterr().out.count(".wav") == 24

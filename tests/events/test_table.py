"""A table of events loses no row, says why a row cannot be used, and filters as NOAA does."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pseudorca.errors import PseudorcaError
from pseudorca.events.table import (
    FILTERS,
    NOAA_FILTER,
    Condition,
    EventColumns,
    EventFilter,
    read_events,
)

COLUMNS = EventColumns(
    event="id", score="p", truth="species", positive=("Pc",), survey="cruise",
    verified=(Condition.parse("seen=yes"),), called=None,
)  # fmt: skip
NOTHING = FILTERS["none"]


@pytest.fixture(scope="module")
def banter() -> Path:
    path = Path(__file__).parents[3] / "shared/data/hiceas-2017/acoustic_events_banter.csv"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return path


def write(folder: Path, text: str) -> Path:
    path = folder / "events.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=33", [True, True, False, False, False]),
        ("x!=33", [False, False, True, True, True]),
        ("x==abc", [False, False, False, True, False]),
        ("x < 40", [True, True, False, False, False]),
        ("x>=33.0", [True, True, True, False, False]),
    ],
)
def test_condition_compares_numbers_as_numbers_and_texts_without_case(text, expected):
    condition = Condition.parse(text)
    assert condition.column == "x"
    assert condition.holds(["33", "33.0", " 41", "ABC", ""]).tolist() == expected


@pytest.mark.parametrize("text", ["", "x", "=3", "x<many"])
def test_condition_that_compares_nothing_is_refused(text):
    with pytest.raises(PseudorcaError, match="condition"):
        Condition.parse(text)


def test_every_row_stays_and_broken_ones_say_why(tmp_path):
    path = write(
        tmp_path,
        "id,p,species,cruise,seen\n"
        "a,0.9,Pc,2017,yes\n"
        "b,,Pc,2017,yes\n"
        "c,high,Pc,2017,yes\n"
        "d,0.1,Tt,2017\n"
        "e,0.2,Tt,2017,yes,more\n"
        "f,inf,Tt,2017,yes\n"
        "a,0.3,Tt,2017,yes\n"
        "\n"
        "g,0.4,NA,2017,yes\n"
        "h,0.5,Tt,,yes\n"
        "i,0.6,Tt,2017,no\n",
    )
    table = read_events(path, COLUMNS, NOTHING)
    events = table.events
    assert events["event"].tolist() == ["a", "b", "c", "d", "e", "f", "a", "g", "h", "i"]
    assert events["row"].tolist() == list(range(1, 11))
    usable = ["a", "g", "h", "i"]
    assert events.loc[events["problem"] == "", "event"].tolist() == usable
    assert events.loc[events["score"].notna(), "event"].tolist() == usable
    assert events.loc[events["verified"], "event"].tolist() == ["a"]
    assert list(zip(table.problems["reason"], table.problems["detail"], strict=True)) == [
        ("missing number", "p: ''"),
        ("not a number", "p: 'high'"),
        ("broken row", "4 cells, the header has 5"),
        ("broken row", "6 cells, the header has 5"),
        ("not a number", "p: 'inf'"),
        ("event occurs twice", "id: 'a'"),
        ("proves nothing", "verified, but species is missing"),
        ("proves nothing", "verified, but cruise is missing"),
    ]
    assert table.problems["path"][0] == "events.csv, row 2, event b"


def test_an_open_quote_swallows_no_rows_and_is_told(tmp_path):
    path = write(
        tmp_path, 'id,p,species,cruise,seen\na,0.9,"Pc,2017,yes\nb,0.1,Tt,2017,yes\nc,0.1,Tt,1,no\n'
    )
    table = read_events(path, COLUMNS, NOTHING)
    assert table.events["score"].tolist() == [0.9, 0.1, 0.1]
    assert len(table.notices) == 2


def test_without_a_verified_condition_what_has_a_truth_is_verified(tmp_path):
    path = write(tmp_path, "id;p;species;cruise\na;0.9;Pc;1\nb;0.1;;1\nc;0.1;Tt;2\n")
    table = read_events(path, replace(COLUMNS, verified=()), NOTHING)
    assert table.events["verified"].tolist() == [True, False, True]
    assert table.events["positive"].tolist() == [True, False, False]
    assert table.problems.empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,q,species,cruise,seen\na,0.9,Pc,1,yes\n", "the score: unknown column 'p'"),
        ("id,p,spezies,cruise,seen\na,0.9,Pc,1,yes\n", "Did you mean 'spezies'"),
        ("id,p,p,species,cruise,seen\na,1,1,Pc,1,yes\n", "two columns of one name, 'p'"),
        ("id,p,species,cruise,seen\n", "holds no events"),
        ("", "holds no table"),
        ("id,p,species,cruise,seen\na,high,Pc,1,yes\n", "begins with 'high'"),
    ],
)
def test_table_that_cannot_be_used_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(PseudorcaError, match=message):
        read_events(write(tmp_path, text), COLUMNS, NOTHING)


def test_column_that_only_the_default_needs_says_that_it_can_go(tmp_path):
    path = write(tmp_path, "id,p,species,cruise,seen\na,0.9,Pc,1,yes\n")
    with pytest.raises(PseudorcaError, match="there need be none"):
        read_events(path, replace(COLUMNS, called=Condition.parse("said=Pc")), NOTHING)
    with pytest.raises(PseudorcaError, match="another filter, or 'none'"):
        read_events(path, COLUMNS, NOAA_FILTER)


def test_table_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(PseudorcaError, match="cannot be read"):
        read_events(tmp_path / "none.csv", COLUMNS, NOTHING)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "mac_roman"])
@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_any_writing_of_a_table_gives_the_same_events(encoding, line_end, tmp_path):
    lines = ("id;p;species;cruise;seen", "Kühn 1;0,9;Pc;1;yes", ";;;;", "b;0,125;Tt;1;yes",
             'c;1;None;2;"yes"')  # fmt: skip
    path = tmp_path / "events.csv"
    path.write_bytes(line_end.join(lines).encode(encoding))
    table = read_events(path, COLUMNS, NOTHING)
    assert table.events["event"].tolist() == ["Kühn 1", "b", "c"]
    assert table.events["score"].tolist() == [0.9, 0.125, 1.0]
    assert table.events["verified"].all()  # None is what somebody saw there
    assert table.problems.empty
    assert "semicolons" in table.notices[0]


def test_missing_truth_is_what_is_said_to_be(tmp_path):
    path = write(tmp_path, "id,p,species,cruise,seen\na,0.9,Pc,1,yes\nb,0.1,none,1,yes\n")
    assert read_events(path, COLUMNS, NOTHING).events["verified"].tolist() == [True, True]
    columns = replace(COLUMNS, missing=("none", "NA"))
    assert read_events(path, columns, NOTHING).events["verified"].tolist() == [True, False]


def test_filter_needs_one_detector_with_signals_enough_and_every_limit_that_was_measured(tmp_path):
    path = write(
        tmp_path,
        "id,p,species,cruise,seen,clicks,whistles,peak,start\n"
        "few,0.5,Pc,1,yes,10,19,20,7000\n"
        "clicks,0.5,Pc,1,yes,20,0,22.4,NA\n"
        "whistles,0.5,Pc,1,yes,NA,20,NA,8100\n"
        "high,0.5,Pc,1,yes,20,20,22.5,7000\n"
        "torn,0.5,Pc,1,yes,20,many,20,7000\n",
    )
    rules = EventFilter(
        signals=("clicks", "whistles"),
        limits=(Condition.parse("peak<=22.4"), Condition.parse("start<=8100")),
    )
    table = read_events(path, COLUMNS, rules)
    assert table.events["passes"].tolist() == [False, True, True, False, False]
    few, clicks, whistles, high = table.events["failed"].tolist()[:4]
    assert (clicks, whistles) == ("", "")
    assert re.search(r"19 signals.*20", few)
    assert re.search(r"peak.*22\.5.*<= 22\.4", high)
    assert table.events["problem"].tolist()[4] == "not a number (whistles: 'many')"
    strict = read_events(path, COLUMNS, replace(rules, unmeasured_passes=False)).events
    assert strict["passes"].tolist() == [False] * 5
    assert re.search(r"start.*<= 8100", strict["failed"][1])
    eager = read_events(path, COLUMNS, replace(rules, min_signals=19)).events
    assert eager["passes"].tolist() == [True, True, True, False, False]


def test_noaas_rules_are_those_of_the_tables_own_columns_in_every_row(banter):
    table = read_events(banter)
    assert len(table.events) == 1062
    assert table.problems.empty
    assert [(row["column"], row["n"], row["n_agree"]) for row in table.agreement] == [
        ("keepMDF", 1062, 1062), ("keepSSF", 1062, 1062),
    ]  # fmt: skip


def test_other_readings_of_noaas_rules_are_not_those_of_the_table(banter):
    def agree(rules: EventFilter) -> list[int]:
        return [int(row["n_agree"]) for row in read_events(banter, rules=rules).agreement]

    per_kind = replace(NOAA_FILTER, signals=("NClicks", "NWhistle", "NCep"))
    assert agree(per_kind) == [932, 1062]
    assert agree(replace(NOAA_FILTER, signals=("TS",))) == [876, 1062]
    clicks_together = replace(NOAA_FILTER, signals=("numClicks", "numWhistles"))
    assert agree(clicks_together) == [1001, 1062]
    assert agree(replace(NOAA_FILTER, unmeasured_passes=False)) == [1062, 762]


def test_published_counts_are_found(banter):
    events = read_events(banter).events
    called, enough, sound = (events[name] for name in ("called", "enough_signals", "right_sound"))
    assert called.sum() == 133
    assert (called & enough).sum() == 85
    assert (called & sound).sum() == 80
    assert (called & events["passes"]).sum() == 55
    assert (events["score"] >= 0.9).sum() == 12
    assert events["verified"].sum() == 257
    assert events["positive"].sum() == 31
    assert (events["positive"] & called).sum() == 30
    assert (events["verified"] & ~events["positive"] & called).sum() == 9
    per_survey = events[events["positive"]].groupby("survey").size().to_dict()
    assert per_survey == {"2017": 22, "2023": 5, "2024": 4}
    np.testing.assert_array_equal(called, events["score"] >= 0.5)


def test_order_of_rows_changes_nothing(banter, tmp_path):
    raw = pd.read_csv(banter, dtype=str, keep_default_na=False)
    shuffled = tmp_path / "shuffled.csv"
    raw.sample(frac=1, random_state=0).to_csv(shuffled, index=False)
    first = read_events(banter).events.drop(columns="row").sort_values("event")
    second = read_events(shuffled).events.drop(columns="row").sort_values("event")
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))

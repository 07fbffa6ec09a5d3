"""From a table of events to decisions, claims and a page: the real table, and somebody else's."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pseudorca.errors import PseudorcaError
from pseudorca.events.events import EventOptions, decide_events
from pseudorca.events.page import write_events_page
from pseudorca.events.table import FILTERS, Condition, EventColumns

BANTER = Path(__file__).parents[3] / "shared/data/hiceas-2017/acoustic_events_banter.csv"


@pytest.fixture(scope="module")
def banter() -> Path:
    if not BANTER.exists():
        pytest.skip(f"{BANTER} is missing")
    return BANTER


@pytest.fixture(scope="module")
def decided(banter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("decided")
    return decide_events(banter, folder, options=EventOptions(label="Pseudorca"))


@pytest.fixture
def others(tmp_path):
    """A table of other names: three cruises, a score from -10 to 10, truth where somebody looked."""
    rng = np.random.default_rng(0)
    n = 240
    is_whale = rng.random(n) < 0.3
    table = pd.DataFrame(
        {
            "encounter": [f"E{k}" for k in range(n)],
            "margin": (6 * (is_whale - 0.5) + rng.standard_normal(n)).round(3),
            "seen": np.where(rng.random(n) < 0.6, np.where(is_whale, "minke", "other"), ""),
            "cruise": rng.choice(["A", "B", "C"], n),
        }
    )
    path = tmp_path / "others.csv"
    table.to_csv(path, index=False)
    columns = EventColumns(
        event="encounter", score="margin", truth="seen", positive=("minke",), survey="cruise",
        verified=(), called=None,
    )  # fmt: skip
    return path, EventOptions(columns=columns, rules=FILTERS["none"], at=())


def test_published_counts_are_those_of_the_real_table(decided):
    found = {(row["filter"], row["rule"]): row for row in decided.details["fixed"]}
    called = {name: found[name, "predicted=X33"] for name in ("none", "signals", "sound", "both")}
    assert [row["n_called_all"] for row in called.values()] == [133, 85, 80, 55]
    assert found["none", "X33>=0.9"]["n_called_all"] == 12
    assert (called["none"]["n_positive"], called["none"]["n_right"]) == (31, 30)
    assert called["none"]["n_false"] == 9
    assert (called["both"]["n_right"], called["both"]["n_false"]) == (27, 0)
    assert [(row["n_agree"], row["n"]) for row in decided.details["agreement"]] == [
        (1062, 1062)
    ] * 2


def test_claim_on_the_real_table_is_that_of_27_calls_of_surveys_left_out(decided):
    label = decided.operating_point["label"]
    assert (label["n_called"], label["n_right"], label["n_positive"]) == (27, 27, 31)
    assert label["claim"] == pytest.approx(0.05 ** (1 / 27))
    assert label["recall"] == pytest.approx(27 / 31)
    assert decided.details["prevalence"] == pytest.approx(31 / 257)
    assert [(row["survey"], row["n_positive"]) for row in decided.details["surveys"]] == [
        ("2017", 22), ("2023", 5), ("2024", 4),
    ]  # fmt: skip
    assert sum(row["n_called"] for row in decided.details["surveys"]) == 27
    precision = [row["precision_low"] for row in decided.details["prevalences"]]
    assert precision == sorted(precision)
    assert "unknown here" in decided.notices[1]
    quality = decided.details["calibration"]["out_of_survey"]
    assert quality["brier"] < quality["brier_uncalibrated"] < quality["brier_baseline"]


def test_wanted_precision_that_27_calls_cannot_show_leaves_all_undecided(banter, tmp_path):
    refused = decide_events(banter, tmp_path / "a", options=EventOptions(wanted=0.9))
    assert refused.operating_point["label"]["shown"] is False
    assert refused.decisions["X33"] == 0
    assert any("0.9 of the events called X33 are right is not shown" in n for n in refused.notices)
    shown = decide_events(banter, tmp_path / "b", options=EventOptions(wanted=0.85))
    assert shown.operating_point["label"]["shown"] is True
    assert shown.decisions["X33"] > 0
    rarer = decide_events(
        banter, tmp_path / "c", options=EventOptions(wanted=0.85, prevalence=0.05)
    )
    assert rarer.operating_point["label"]["shown"] is False
    assert rarer.operating_point["label"]["claim"] < 0.85


def test_precision_by_ear_or_eye_is_what_was_published(banter, tmp_path):
    # NOAA counted what an analyst identified, by ear or by eye: 44 % of all calls, 95 % after filters.
    columns = replace(EventColumns(), truth="pc_ac", positive=("1",), verified=())
    result = decide_events(banter, tmp_path, options=EventOptions(columns=columns))
    found = {
        row["filter"]: row for row in result.details["fixed"] if row["rule"] == "predicted=X33"
    }
    assert (found["none"]["n_right"], found["none"]["n_called"]) == (58, 133)
    assert (found["both"]["n_right"], found["both"]["n_called"]) == (52, 55)


def test_events_table_holds_every_row_with_a_decision_and_a_reason(decided):
    events = decided.events
    assert len(events) == len(pd.read_csv(decided.details["files"]["event"])) == 1062
    assert events["reason"].notna().all()
    counts = events["decision"].value_counts().to_dict()
    assert counts == {name: n for name, n in decided.decisions.items() if n}
    verified = events[events["verified"]]
    assert verified["out_of_survey"].all()
    assert not events.loc[~events["verified"], "out_of_survey"].any()
    said = verified[verified["decision"] == "Pseudorca"]
    assert (len(said), int(said["positive"].sum())) == (27, 27)
    passing = events["enough_signals"] & events["right_sound"]
    assert (events.loc[~passing, "decision"] == "undecided").all()
    assert events["probability"].notna().equals(passing)
    assert set(decided.operating_points["kind"]) == {"calls", "answers"}


def test_summary_is_the_result_as_plain_json(decided):
    kept = json.loads((Path(decided.details["output"]) / "summary.json").read_text())
    assert kept | {"page": str(decided.page)} == json.loads(json.dumps(decided.as_json()))


def test_table_of_somebody_else_is_decided_by_its_own_columns(others, tmp_path):
    path, options = others
    result = decide_events(path, tmp_path / "out", options=options, kind="parquet")
    assert result.label == "minke"
    assert result.details["calibration"]["scale"] == "the score"
    label = result.operating_point["label"]
    assert label["n_right"] / label["n_called"] > 0.9
    events = pd.read_parquet(result.details["files"]["event"])
    truth = pd.read_csv(path)["seen"].fillna("")
    assert (events["verified"].to_numpy() == (truth != "").to_numpy()).all()
    assert result.page.read_text(encoding="utf-8").count("<svg ") == 4


def test_named_prevalence_moves_probabilities_and_is_named_in_every_row(others, tmp_path):
    path, options = others
    first = decide_events(path, tmp_path / "a", options=options)
    second = decide_events(path, tmp_path / "b", options=replace(options, prevalence=0.01))
    common, rare = (result.events for result in (first, second))
    assert (rare["prevalence"] == 0.01).all()
    assert (rare["probability"] < common["probability"]).all()
    assert second.operating_point["label"]["claim"] < first.operating_point["label"]["claim"]


def test_broken_rows_are_kept_undecided_with_their_reason(others, tmp_path):
    path, options = others
    lines = path.read_text().splitlines()
    lines[3] = "E2,,minke,A"
    lines[9] = "E8,1.5"
    path.write_text("\n".join(lines))
    result = decide_events(path, tmp_path / "out", options=options)
    assert (result.details["n_events"], len(result.problems), result.details["n_scored"]) == (
        240,
        2,
        238,
    )
    events = pd.read_csv(result.details["files"]["event"]).set_index("event")
    assert (events.loc[["E2", "E8"], "decision"] == "undecided").all()
    assert events.loc["E8", "reason"] == "broken row (2 cells, the header has 4)"
    assert len(pd.read_csv(result.details["files"]["problem"])) == 2
    assert "others.csv, row 3, event E2" in result.page.read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wanted": 90.0}, "wanted is 90.0: expected a share between 0 and 1"),
        ({"prevalence": 0.0}, "prevalence is 0.0"),
        ({"columns": {"positive": ("humpback",)}}, "0 are humpback"),
        ({"columns": {"survey": "crusie"}}, "survey: unknown column 'crusie'. Did you mean 'cruise'"),
        ({"columns": {"verified": (Condition.parse("cruise=A"),)}}, "none can be left out"),
        ({"method": "guess"}, "unknown calibration 'guess'"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_says_why(others, tmp_path, change, message):
    path, options = others
    if "columns" in change:
        change = {"columns": replace(options.columns, **change["columns"])}
    with pytest.raises(PseudorcaError, match=re.escape(message)):
        decide_events(path, tmp_path / "out", options=replace(options, **change))


def test_species_met_in_one_survey_only_gives_no_claim(others, tmp_path):
    path, options = others
    table = pd.read_csv(path)
    table.loc[table["seen"] == "minke", "cruise"] = "A"
    table.loc[table["seen"] == "other", "cruise"] = ["B", "C"] * 40 + ["B"] * (
        int((table["seen"] == "other").sum()) - 80
    )
    table.to_csv(path, index=False)
    result = decide_events(path, tmp_path / "out", options=replace(options, wanted=0.5))
    assert result.operating_point["label"]["claim"] == 0
    assert result.decisions["minke"] == 0
    assert any("could not be left out: A" in notice for notice in result.notices)
    assert result.page.exists()


def test_page_says_the_claim_and_what_it_does_not_cover(decided, tmp_path):
    html = decided.page.read_text(encoding="utf-8")
    assert html.count("<svg ") == 4
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))
    assert re.search(r"27 \w+ Pseudorca", text)
    assert "more than 0.895" in text
    assert "Which events trained the classifier" in text
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!#|data:)', html)
    with pytest.raises(PseudorcaError, match="Is a directory"):
        write_events_page(decided.details, decided.events, decided.operating_points, tmp_path)


def test_names_on_the_page_are_escaped(others, tmp_path):
    path, options = others
    result = decide_events(path, tmp_path / "out", options=replace(options, label="<b>x</b> $y$"))
    assert "<b>" not in result.page.read_text()

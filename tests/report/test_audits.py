"""The audit in the report: its verdict first, nothing claimed that was not found."""

import json
import re
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pseudorca.audit.section import answers_bar, band_intervals, excess_steps, forest
from pseudorca.pages.blocks import Chart, Commands, Headline, Notices, Text, count_figures
from pseudorca.pages.writing import render
from pseudorca.report.contents import read_project
from pseudorca.report.trust import audit_section
from pseudorca.store import Store

ODD = 'Insular <b>&"$x$'
SWAPPED = (
    "animal", "background", "neither", "nothing", "right_before", "right_rebuilt",
    "nothing_before", "nothing_rebuilt",
)  # fmt: skip


def made_up(verdict: str, **changes: Any) -> dict[str, Any]:
    """An audit as the workflow keeps it."""
    number = {"value": 0.7, "low": 0.5, "high": 0.9}
    row = number | {"p": 0.01, "interval_method": "exact", "n_encounters": 10}
    controls = [
        row | {"name": "model", "kind": "model"},
        row | {"name": "platform", "kind": "nuisance"},
        row | {"name": "level", "kind": "shown", "p": None},
        row | {"name": "random split", "kind": "optimistic", "p": None},
    ]
    judged = {
        "verdict": verdict,
        "p_nuisance": 0.01,
        "difference": number,
        "best_control": "platform",
    }
    said = ("beside evaluate", "facts and background", "leakage gap", "background swap", "bands",
            "recorder in the embeddings", "association")  # fmt: skip
    return judged | {
        "by_background_alone": judged, "p_model": 0.01, "smallest_p": 0.005, "n_permutations": 199,
        "enumerated": False, "chance": 0.5, "classes": [ODD, "Pelagic"], "n_encounters": 10,
        "n_clips": 40, "controls": controls, "summary": "Summary. On encounters never heard, ...",
        "explained": {name: f"Sentence about {name}." for name in said},
        "swap": dict.fromkeys(SWAPPED, number | {"value": 0.25}) | {"n_clips": 9},
        "bands": {
            "bands": [{"low_hz": 100.0, "high_hz": 2_000.0, "alone": number, "left_out": number}],
            "signal_edges_hz": [100.0, 900.0, 2_000.0],
            "signal_excess_db": {ODD: [1.0, None], "Pelagic": [2.0, 3.0]},
        },
        "associations": [
            {"name": "platform", "cramers_v": 0.3, "n_values": 2, "n_shared": 1,
             "labels": [ODD, "Pelagic"], "encounters": {"<Sette>": [3, 2], "Lasker": [0, 5]}},
            {"name": "day", "cramers_v": None, "n_values": 9, "n_shared": 0,
             "labels": [ODD, "Pelagic"], "encounters": {}},
        ],
        "split": {"name": "encounter", "n_folds": 5, "n_repeats": 1},
        "recipe": {"embedder_id": "madeup", "head": {"head": "logistic", "c": 0.01}},
        "options": {"within": None, "seed": 0, "clips_per_encounter": 20},
        "background_settings": {"line_db": 8.0}, "versions": {"numpy": "2"}, "notices": [],
        "tables": {"clips": 0},
    } | changes  # fmt: skip


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "project", create=True)


def section_of(store: Store, *audits: dict[str, Any]):
    rows = [
        {"audit_id": f"a{k}", "time_utc": f"2026-01-0{k + 1}T00:00:00", "result": json.dumps(one)}
        for k, one in enumerate(audits)
    ]
    if rows:
        store.write("audits", pd.DataFrame(rows))
    return audit_section(read_project(store))


def test_section_without_an_audit_says_what_to_run(store):
    section = section_of(store)
    assert any(isinstance(b, Commands) and "audit" in b.lines[0] for b in section.blocks)


def test_section_begins_with_the_verdict(store):
    first = section_of(store, made_up("recorder")).blocks[0]
    assert isinstance(first, Headline)
    assert "recorder" in first.verdict
    assert str(first.value) == "0.70"
    assert str(first.baseline) == "0.50"


def test_section_shows_the_latest_audit(store):
    section = section_of(store, made_up("recorder"), made_up("animals"))
    assert isinstance(section.blocks[0], Headline)
    assert section.blocks[0].verdict == ""


def test_section_has_every_figure_and_escapes_names(store):
    section = section_of(store, made_up("cannot tell"))
    assert count_figures([section]) == 4
    page = render([section], title="t", notices=[])
    assert "<b>" not in page
    assert "<Sette>" not in page
    assert "Sentence about background swap." in page


def test_section_of_a_quick_audit_has_the_forest_only(store):
    quick = made_up("recorder")
    for key in ("swap", "bands"):
        del quick[key]
    assert count_figures([section_of(store, quick)]) == 1


def test_section_says_that_backgrounds_could_not_be_swapped(store):
    section = section_of(store, made_up("recorder", swap=None))
    assert Text("Sentence about background swap.") in section.blocks
    assert sum(isinstance(block, Chart) for block in section.blocks) == 3


def test_section_says_that_a_network_without_pictures_has_no_bands(store):
    section = section_of(store, made_up("recorder", bands=None))
    assert Text("Sentence about bands.") in section.blocks


def test_section_warns_of_tables_that_changed_since(store):
    section = section_of(store, made_up("recorder", tables={"clips": 3}))
    (notices,) = [b for b in section.blocks if isinstance(b, Notices)]
    assert "clips" in notices.sentences[0]


@pytest.mark.parametrize("verdict", ["recorder", "cannot tell"])
def test_section_claims_no_animals_without_the_verdict(store, verdict):
    page = render([section_of(store, made_up(verdict))], title="t", notices=[]).lower()
    assert "knows the animal" not in page
    assert "knowing the animal" not in page


def test_section_without_controls_still_shows_the_model(store):
    none = {"p_nuisance": None, "difference": None, "best_control": None}
    section = section_of(store, made_up("cannot tell", **none))
    assert isinstance(section.blocks[0], Headline)
    assert section.blocks[0].compared == []


def test_forest_has_a_row_per_control_and_a_line_of_chance():
    kinds = ("model", "nuisance", "shown", "optimistic")
    number = {"value": 0.5, "low": 0.4, "high": 0.6}
    rows = [number | {"name": f"row {k}", "kind": kind} for k, kind in enumerate(kinds)]
    ax = forest(Figure().subplots(), rows, chance=0.25)
    assert [text.get_text() for text in ax.get_yticklabels()] == [row["name"] for row in rows]
    assert any(set(line.get_xdata()) == {0.25} for line in ax.lines)


def test_answers_bar_shares_add_up_to_one():
    ax = answers_bar(
        Figure().subplots(), [("a", {"animal": 0.5, "background": 0.3, "neither": 0.2})]
    )
    assert sum(patch.get_width() for patch in ax.patches) == pytest.approx(1.0)


def test_excess_steps_leave_unknown_bands_empty():
    ax = excess_steps(Figure().subplots(), [0.1, 1.0, 2.0], [1.0, None], colour="red", title="a")
    for steps in ax.patches:
        values, edges, _ = steps.get_data()
        assert values[0] == 1.0
        assert values[1] != values[1]
        assert list(edges) == [0.1, 1.0, 2.0]


def test_band_intervals_draw_both_kinds():
    number = {"value": 0.7, "low": 0.5, "high": 0.9}
    band = {"low_hz": 100.0, "high_hz": 2_000.0, "alone": number, "left_out": number}
    ax = band_intervals(Figure().subplots(), [band, band], chance=0.5, whole=0.8)
    assert len(ax.lines) == 2 * 2 * 2 + 2


def test_own_p_and_joint_p_are_told_apart(store):
    page = render([section_of(store, made_up("recorder", p_nuisance=0.03))], title="t", notices=[])
    assert "own p" in page
    assert re.search(r"joint p[^.]* 0\.030", " ".join(page.split()))
    assert "Sentence about beside evaluate." in page

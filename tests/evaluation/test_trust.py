"""What is known of a classifier: evaluation and audit of its own recipe and clips."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pseudorca.evaluation.trust import Trust, trust_in
from pseudorca.report.contents import evidence, read_project
from pseudorca.store import Store

RECIPE = {"embedder_id": "e", "head": {"head": "logistic"}}


def evaluation(
    split: str,
    value: float,
    time: str,
    *,
    recipe: dict = RECIPE,
    data: str = "d",
    n_groups: int = 12,
    optimistic: bool = False,
    **more: Any,
) -> dict[str, str]:
    row = {
        "unit": "encounter", "split": split, "balanced_accuracy": value, "ci_low": value - 0.1,
        "ci_high": value + 0.1, "majority_baseline": 0.5, "n_units": 12, "n_groups": n_groups,
    }  # fmt: skip
    result = {
        "recipe": recipe, "data": data, "split": {"name": split},
        "optimistic": optimistic or split == "random",
        "group_by": split, "results": [row | {"unit": "clip"}, row], **more,
    }  # fmt: skip
    return {
        "split_id": f"{split} {value} {time}", "classifier_id": "r", "time_utc": time,
        "result": json.dumps(result),
    }  # fmt: skip


def audit(verdict: str, time: str, *, recipe: dict = RECIPE, data: str = "d") -> dict[str, str]:
    result = {"recipe": recipe, "data": data, "verdict": verdict}
    return {"audit_id": verdict + time, "time_utc": time, "result": json.dumps(result)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "whales", create=True)


def test_nothing_is_known_of_a_classifier_that_nobody_evaluated(store: Store) -> None:
    store.append(
        "evaluations",
        pd.DataFrame(
            [
                evaluation("encounter", 0.9, "2026-01-01", recipe={"embedder_id": "other"}),
                evaluation("encounter", 0.9, "2026-01-01", data="other labels"),
            ]
        ),
    )
    store.append("audits", pd.DataFrame([audit("animals", "2026-01-01", data="other labels")]))
    trust = trust_in(store, RECIPE, "d")
    assert trust == Trust()
    assert "evaluate" in trust.lines()[0]
    assert set(trust.columns().values()) == {None, "not audited"}


def test_the_headline_is_by_encounter_and_the_latest(store: Store) -> None:
    rows = [
        evaluation("encounter", 0.6, "2026-01-01"),
        evaluation("encounter", 0.7, "2026-01-02"),
        evaluation("day", 0.8, "2026-01-03"),
        evaluation("random", 0.9, "2026-01-04"),
    ]
    store.append("evaluations", pd.DataFrame(rows))
    audits = [audit("animals", "2026-01-01"), audit("recorder", "2026-01-02")]
    store.append("audits", pd.DataFrame(audits))
    trust = trust_in(store, RECIPE, "d")
    assert (trust.split, trust.balanced_accuracy, trust.random_split) == ("encounter", 0.7, 0.9)
    assert (trust.low, trust.high, trust.chance) == (0.6, pytest.approx(0.8), 0.5)
    assert trust.verdict == "recorder"
    assert "recorder" in trust.lines()[0]  # the warning comes first
    assert Trust.from_json(json.loads(json.dumps(trust.as_json()))) == trust


def test_another_honest_split_stands_in_where_encounters_were_not_held_out(store: Store) -> None:
    rows = [evaluation("day", 0.8, "2026-01-03"), evaluation("random", 0.9, "2026-01-04")]
    store.append("evaluations", pd.DataFrame(rows))
    trust = trust_in(store, RECIPE, "d")
    assert trust.split == "day"
    assert trust.sentence().startswith("encounters (day) never heard: 0.80 [0.70, 0.90]")


def test_the_stricter_number_stands_beside_the_headline_by_groups_and_not_by_score(
    store: Store,
) -> None:
    rows = [
        evaluation("encounter", 0.8, "2026-01-01"),
        evaluation("day", 0.4, "2026-01-04", n_groups=9),
        evaluation("outing", 0.5, "2026-01-02", n_groups=4),
        evaluation("outing", 0.6, "2026-01-03", n_groups=4),
        evaluation("random", 0.1, "2026-01-05", n_groups=2),
    ]
    store.append("evaluations", pd.DataFrame(rows))
    trust = trust_in(store, RECIPE, "d")
    assert (trust.split, trust.balanced_accuracy) == ("encounter", 0.8)
    assert (trust.stricter_split, trust.stricter) == ("outing", 0.6)
    columns = trust.columns()
    assert (columns["stricter_split"], columns["stricter_accuracy"]) == ("outing", 0.6)
    assert (columns["stricter_low"], columns["stricter_high"]) == (0.5, 0.7)
    assert "0.60 [0.50, 0.70]" in trust.sentence()
    assert any("outing" in line for line in trust.lines())
    assert Trust.from_json(json.loads(json.dumps(trust.as_json()))) == trust


def test_what_is_known_of_strangers_travels(store: Store) -> None:
    found = {"can_tell": False, "species": None, "why_not": "there are 2 classes."}
    rows = [
        evaluation("encounter", 0.7, "2026-01-01", strangers=found),
        evaluation("encounter", 0.8, "2026-01-02"),
    ]
    store.append("evaluations", pd.DataFrame(rows))
    trust = trust_in(store, RECIPE, "d")
    assert (trust.balanced_accuracy, trust.strangers) == (0.8, found)
    assert any("2 classes" in line for line in trust.lines())


def test_the_report_and_the_classifier_are_told_the_same(store: Store) -> None:
    """By each split alone and by several, audited or not: one number, one warning, one verdict."""
    stored = {
        "encounter": evaluation("encounter", 0.6, "2026-01-01"),
        "day": evaluation("day", 0.8, "2026-01-03"),
        "random": evaluation("random", 0.9, "2026-01-04"),
        "stratified": evaluation("stratified", 0.95, "2026-01-05", optimistic=True),
        "other labels": evaluation("encounter", 0.99, "2026-01-06", data="other"),
    }
    audits = [audit("animals", "2026-01-02"), audit("recorder", "2026-01-03", data="other")]
    store.append("audits", pd.DataFrame(audits))
    found = []
    for names in (["day", "stratified"], ["day", "random", "stratified", "encounter"]):
        store.write("evaluations", pd.DataFrame([stored[name] for name in names]))
        trust, known = trust_in(store, RECIPE, "d"), evidence(read_project(store))
        numbers = [one.results["encounter"]["balanced_accuracy"] for one in known[:2]]
        assert [trust.balanced_accuracy, trust.random_split] == numbers
        assert trust.verdict == known.audit["verdict"] == "animals"
        found.append(numbers)
    assert found == [[0.8, 0.95], [0.6, 0.9]]

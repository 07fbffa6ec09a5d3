"""Strangers: what is said of animals of no class, by rules that nobody chose on them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import HeadError
from pseudorca.evaluation.strangers import (
    IN_FORCE,
    MOST_LOST,
    ask_strangers,
    lowest_limit,
    species_of,
    strangers_in_words,
)
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.folds import OTHER, Folds, Split

SPLIT = Split("encounter", n_folds=3)
CENTRES = {"A": (0, 0), "B": (6, 0), "C": (0, 6), "D": (6, 6)}


def project(
    classes: str = "ABC",
    *,
    species: dict[str, str] | None = None,
    moved: dict[str, tuple[float, float]] | None = None,
    n_encounters: int = 6,
) -> SimpleNamespace:
    """Classes in a plane, encounters of four clips; what ``ask_strangers`` reads of a project."""
    rng = np.random.default_rng(0)
    rows, vectors = [], []
    for label in classes:
        centre = np.array((moved or {}).get(label, CENTRES[label]), dtype=float)
        for encounter in range(n_encounters):
            own = 0.7 * rng.standard_normal(2)
            for clip in range(4):
                name = f"{label}{encounter}"
                entry = {} if species is None else {"species": species[label]}
                rows.append((f"{name}.{clip}", label, name, json.dumps(entry)))
                vectors.append(centre + own + 0.3 * rng.standard_normal(2))
    clips = pd.DataFrame(rows, columns=["clip_id", "label", "encounter", "metadata"])
    clips = clips.assign(
        recording_id=clips["clip_id"], moment_id=clips["clip_id"], start_s=0.0, end_s=3.0
    )
    names = (clips[column].to_numpy(dtype=object) for column in ("label", "encounter", "clip_id"))
    data = TrainingSet(np.array(vectors, dtype=np.float32), *names)
    recipe = Recipe(LogisticHead(c=1.0), nothing="none")

    def grouped(folds: Folds, strangers: pd.DataFrame) -> TrainingSet:
        rows = np.flatnonzero(np.isin(data.recordings, folds.clip_ids))
        return replace(read.data.take(rows), groups=folds.units)

    read = SimpleNamespace(
        grouped=grouped,
        clips=clips.drop(columns="metadata"),
        recordings=clips[["recording_id", "moment_id", "encounter", "metadata"]],
        data=data,
        recipe=recipe,
        trainer=lambda split: recipe.trainer(),
    )
    return read


def left_out(found: dict, species: str) -> dict:
    (row,) = [row for row in found["left_out"] if row["species"] == species]
    return row


def test_nothing_is_chosen_on_the_species_that_is_left_out() -> None:
    near, far = (ask_strangers(project(moved={"C": place}), SPLIT) for place in ((1, 1), (90, 90)))
    assert left_out(near, "C")["limit"] == left_out(far, "C")["limit"]
    share = [left_out(found, "C")["units"]["encounter"]["before"]["share"] for found in (near, far)]
    assert share[0] > share[1] == 0
    assert near["limit"]["chosen"] != left_out(near, "C")["limit"]  # that one heard all classes


def test_a_lower_limit_names_no_more_and_costs_the_known_little() -> None:
    found = ask_strangers(project("ABCD"), SPLIT)
    assert found["can_tell"]
    for unit in ("recording", "encounter"):
        rows = [*(row["units"][unit] for row in found["left_out"]), found["overall"][unit]]
        for row in rows:
            assert row["after"]["share"] <= row["before"]["share"]
            for when in row.values():
                assert 0 <= when["low"] <= when["share"] <= when["high"] <= 1
    known = found["known"]["encounter"]
    assert 0 <= known["before"] - known["after"] <= MOST_LOST + 1e-9
    assert found["limit"]["chosen"] <= found["limit"]["in_force"] == IN_FORCE
    assert [row["species"] for row in found["left_out"]] == list("ABCD")
    assert json.loads(json.dumps(found)) == found


def test_the_interval_takes_species_as_trials_not_encounters() -> None:
    few, many = (ask_strangers(project(n_encounters=n), SPLIT) for n in (4, 16))

    def width(found: dict) -> float:
        overall = found["overall"]["encounter"]["before"]
        return overall["high"] - overall["low"]

    assert min(width(few), width(many)) > 0.5  # three species, whatever the encounters
    assert "few" in strangers_in_words(many)[0]


@pytest.mark.parametrize(
    ("classes", "species"),
    [("AB", None), ("ABC", dict.fromkeys("ABC", "one")), ("ABC", {"A": "x", "B": "x", "C": "y"})],
)
def test_two_classes_or_populations_of_one_species_cannot_tell(classes: str, species: dict) -> None:
    found = ask_strangers(project(classes, species=species), SPLIT)
    assert not found["can_tell"]
    assert "limit" not in found
    (said,) = strangers_in_words(found)
    assert "cannot tell" in said
    assert "stays" in said


def test_populations_of_one_species_are_left_out_together() -> None:
    species = {"A": "x", "B": "x", "C": "y", "D": "z"}
    found = ask_strangers(project("ABCD", species=species), SPLIT)
    assert [row["classes"] for row in found["left_out"]] == [["A", "B"], ["C"], ["D"]]
    assert not set(left_out(found, "x")["named_as"]) & {"A", "B"}
    assert left_out(found, "x")["n"]["encounter"] == 12
    assert found["species"] == species
    assert len(strangers_in_words(found)) == 2  # nothing is taken for granted
    assumed = ask_strangers(project("ABCD"), SPLIT)
    assert assumed["species"] is None
    assert "taken as species" in strangers_in_words(assumed)[-1]


def test_other_sounds_are_learned_from_and_never_left_out() -> None:
    labelled = project("ABCD")
    labels = labelled.clips["label"].replace("D", OTHER)
    labelled.clips = labelled.clips.assign(label=labels)
    labelled.data = replace(labelled.data, labels=labels.to_numpy(dtype=object))
    found = ask_strangers(labelled, SPLIT)
    assert [row["species"] for row in found["left_out"]] == list("ABC")
    assert all(OTHER not in row["named_as"] for row in found["left_out"])


def test_a_species_without_which_nothing_can_be_held_out_is_named() -> None:
    labelled = project("ABCD", n_encounters=1)
    found = ask_strangers(labelled, SPLIT)
    assert not found["can_tell"]
    both = project("ABC")
    alone = both.clips["encounter"].where(both.clips["label"] == "A", both.clips["label"] + "0")
    both.clips = both.clips.assign(encounter=alone)
    both.recordings = both.recordings.assign(encounter=alone)
    both.data = replace(both.data, groups=alone.to_numpy(dtype=object))
    assert not ask_strangers(both, SPLIT)["can_tell"]


def test_a_head_that_trains_the_network_is_refused() -> None:
    labelled = project()
    labelled.recipe = Recipe(make_head("finetuned"), nothing="none")
    with pytest.raises(HeadError, match="hundreds"):
        ask_strangers(labelled, SPLIT)


def test_a_class_without_one_species_is_its_own() -> None:
    recordings = pd.DataFrame(
        {
            "recording_id": list("abcd"),
            "metadata": [json.dumps({"Species": s}) for s in ("x", "x", "y", "")],
        }
    )
    clips = pd.DataFrame({"recording_id": list("abcd"), "label": ["A", "B", "B", "C"]})
    assert species_of(clips, recordings, list("ABC")) == {"A": "x", "B": "B", "C": "C"}
    assert species_of(clips, recordings.assign(metadata="{}"), list("ABC")) is None


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_lowest_limit_is_the_lowest_that_costs_few_names(drawn: st.DataObject) -> None:
    n = drawn.draw(st.integers(1, 30))
    table = pd.DataFrame(
        {
            "encounter": [f"e{drawn.draw(st.integers(0, 9))}" for _ in range(n)],
            "named": [drawn.draw(st.sampled_from(["A", ""])) for _ in range(n)],
            "novelty": [drawn.draw(st.integers(1, 150)) / 100 for _ in range(n)],
        }
    )

    def named(limit: float) -> float:
        is_named = (table["named"] != "") & (table["novelty"] <= limit + 1e-9)
        return float(is_named.groupby(table["encounter"]).mean().mean())

    found = lowest_limit(table)
    assert found <= IN_FORCE
    assert named(IN_FORCE) - named(found) <= MOST_LOST + 1e-6
    if named(IN_FORCE) > MOST_LOST + 1e-6:  # else every limit costs little
        assert named(IN_FORCE) - named(found - 0.01) > MOST_LOST

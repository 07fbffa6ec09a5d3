"""What evaluate adds unasked: the strictest split, network and head, nothing; and asked: strangers."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pseudorca.cli import app
from pseudorca.errors import FoldError, HeadError
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.evaluation.options import EvaluateOptions
from pseudorca.evaluation.strangers import ask_strangers
from pseudorca.evaluation.trust import Trust
from pseudorca.learning.classifier import read_trust
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import CALIBRATION
from pseudorca.project import Project
from pseudorca.recordings.folds import Split
from pseudorca.store import Store

from .conftest import BACKBONE

RECIPE = Recipe(LogisticHead(c=0.01), nothing="none")
FEW = {"n_folds": 2, "n_repeats": 2, "progress": False}


def said(*typed: str) -> str:
    done = CliRunner().invoke(app, list(typed))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_strictest_split_stands_beside_the_one_by_encounter(embedded: Store) -> None:
    """Days join an encounter of each class; the one platform leaves a class nothing to learn from."""
    project = Project(embedded)
    project.train(RECIPE, progress=False)
    result = project.evaluate(RECIPE, ["encounter", "random"], n_permutations=3, **FEW)
    assert list(result) == ["encounter", "random", "day"]
    assert (result.stricter, result.as_json()["stricter"]) == ("day", "day")
    assert (result["day"].headline["n_groups"], result["day"].split.n_repeats) == (4, 1)
    assert "permutation" in result["encounter"].headline["inference"]
    assert "permutation" not in result["day"].headline["inference"]
    assert {row["split"] for row in result.as_json()["results"]} == {"encounter", "random", "day"}
    assert set(result.main_table()["split"]) == {"encounter", "random", "day"}
    (notice,) = [text for text in result.notices if text.startswith("Not testable")]
    assert "platform" in notice
    (line,) = result.which_to_quote()
    for split in ("encounter", "day"):
        assert f"{result[split].balanced_accuracy:.2f}" in line
    trust = Trust.from_json(read_trust(embedded.folder / "classifiers" / "classifier"))
    assert (trust.split, trust.stricter_split) == ("encounter", "day")
    assert trust.stricter == result["day"].balanced_accuracy
    predicted = project.predict(progress=False)
    assert set(predicted.encounters["stricter_split"]) == {"day"}
    assert set(predicted.encounters["stricter_accuracy"]) == {trust.stricter}


def test_the_strictest_split_is_left_out_where_it_is_not_wanted(embedded: Store) -> None:
    project = Project(embedded)
    for splits, how in (
        ("encounter", {"stricter": False}),
        ("random", {}),
        (["encounter", "day"], {}),
        (["encounter", "leave-one-day-out"], {}),
    ):
        result = project.evaluate(RECIPE, splits, **FEW, **how)
        assert result.stricter is None
        assert set(result) == {splits} if isinstance(splits, str) else set(splits)
        assert result.which_to_quote() == []


def with_species(store: Store, species: list[str]) -> None:
    """Three classes, each with the encounters of a third of what there was, by their ends."""
    recordings = store.read("recordings")
    is_second = (recordings["label"] == "Pelagic").fillna(value=False).astype(int)
    number = recordings["encounter"].str[-1].astype(int).to_numpy() + 4 * is_second.to_numpy()
    label = np.array(["A", "B", "C"])[number % 3]
    label = pd.array(np.where(recordings["label"].isna(), None, label), dtype="string")
    of = dict(zip("ABC", species, strict=True))
    metadata = [json.dumps({"species": of[name]}) if name in of else "{}" for name in label]
    clips = store.read("clips")
    by_id = dict(zip(recordings["recording_id"], label, strict=True))
    store.write("recordings", recordings.assign(label=label, metadata=metadata))
    labels = pd.array([by_id[each] for each in clips["recording_id"]], dtype="string")
    store.write("clips", clips.assign(label=labels))


def test_strangers_are_kept_with_the_evaluation_and_the_classifier(embedded: Store) -> None:
    with_species(embedded, ["x", "y", "z"])
    project = Project(embedded)
    project.train(RECIPE, progress=False)
    result = project.evaluate(RECIPE, strangers=True, **FEW)
    assert result.strangers is not None
    assert result.strangers["can_tell"]
    assert {row["species"] for row in result.strangers["left_out"]} == {"x", "y", "z"}
    assert result.as_json()["strangers"] == result.strangers
    stored = [json.loads(text) for text in embedded.read("evaluations")["result"]]
    (kept,) = [one["strangers"] for one in stored if "strangers" in one]
    assert kept == result.strangers
    trust = Trust.from_json(read_trust(embedded.folder / "classifiers" / "classifier"))
    assert trust.strangers == result.strangers
    assert project.evaluate(RECIPE, **FEW).strangers is None


@pytest.mark.parametrize("nothing", ["none", "background"])
def test_a_stranger_is_named_as_predict_would_name_it(embedded: Store, nothing: str) -> None:
    recipe = replace(RECIPE, nothing=nothing)
    with_species(embedded, ["x", "y", "z"])
    found = ask_strangers(LabelledProject.read(embedded, recipe), CALIBRATION)
    (row,) = [row for row in found["left_out"] if row["species"] == "z"]
    tables = {name: embedded.read(name) for name in ("recordings", "clips")}
    strangers = set(tables["recordings"].loc[tables["recordings"]["label"] == "C", "encounter"])
    for name, table in tables.items():
        known = table["label"].where(table["label"] != "C")
        embedded.write(name, table.assign(label=known.astype("string")))
    project = Project(embedded)
    project.train(recipe, progress=False)
    for when, limit in (("before", 1.0), ("after", row["limit"])):
        said = project.predict(max_novelty=limit, progress=False)
        for unit, table in (("encounter", said.encounters), ("recording", said.recordings)):
            of_strangers = table[table["encounter"].isin(strangers)]
            is_named = of_strangers["decision"].isin(["A", "B"])
            share = is_named.groupby(of_strangers["encounter"]).mean().mean()
            assert share == pytest.approx(row["units"][unit][when]["share"])
            assert len(of_strangers) == row["n"][unit]


def test_strangers_of_two_classes_cannot_tell_and_are_refused_where_nothing_is_held_out(
    embedded: Store,
) -> None:
    project = Project(embedded)
    result = project.evaluate(RECIPE, strangers=True, **FEW)
    assert result.strangers is not None
    assert not result.strangers["can_tell"]
    with pytest.raises(FoldError, match="--strangers"):
        project.evaluate(RECIPE, "random", strangers=True, **FEW)
    with pytest.raises(HeadError, match="hundreds"):
        evaluate_project(
            embedded, Recipe(make_head("finetuned"), nothing="none"), [Split()],
            EvaluateOptions(strangers=True),
        )  # fmt: skip


def test_evaluate_and_train_name_network_and_head(embedded: Store) -> None:
    typed = ["--project", str(embedded.folder), "--c", "0.01", "--nothing", "none"]
    few = ["--folds", "2", "--repeats", "1"]
    for text in (said("evaluate", *typed, *few), said("train", *typed)):
        (line,) = [line for line in text.splitlines() if line.startswith("Network")]
        assert BACKBONE in line
        assert "C = 0.01" in line
    told = json.loads(said("evaluate", *typed, *few, "--json"))
    assert told["network"] == BACKBONE
    assert json.loads(said("train", *typed, "--json"))["network"] == BACKBONE


def test_evaluate_says_how_often_nothing_is_called_where_the_recipe_knows_it(
    embedded: Store,
) -> None:
    typed = ["evaluate", "--project", str(embedded.folder), "--c", "0.01"]
    typed += ["--folds", "2", "--repeats", "1"]
    assert "called nothing" not in said(*typed, "--nothing", "none")
    assert "called nothing" in said(*typed, "--nothing", "background")
    rates = json.loads(said(*typed, "--nothing", "background", "--json"))["nothing"]
    assert set(rates) == {"encounter", "day"}
    assert set(rates["encounter"]["clips"]) == {"Insular", "Pelagic"}
    assert set(rates["encounter"]) == {"clips", "backgrounds"}


def test_an_unknown_split_is_refused_with_the_splits_there_are(embedded: Store) -> None:
    done = CliRunner().invoke(app, ["evaluate", "-p", str(embedded.folder), "--split", "foo"])
    for word in ("'foo'", "encounter", "random", "stratified", "study", "day"):
        assert word in str(done.exception)

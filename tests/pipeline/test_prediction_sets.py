"""Predictions bear the name of their set: a second set erases nothing of the first."""

import shutil
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from pseudorca.errors import ClassifierError, PseudorcaError, StoreError
from pseudorca.learning.classifier import saved_id
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import decide_project, predict_project
from pseudorca.prediction.sets import (
    kept_place,
    name_of_paths,
    prediction_sets,
    remove_prediction_set,
)
from pseudorca.report.report import report_project
from pseudorca.store import Store


@pytest.fixture
def predicted(embedded: Store, survey: Path) -> Store:
    """A project with predictions on its unlabelled recordings, and then on a folder."""
    train_project(embedded, Recipe(LogisticHead(c=0.01)))
    assert predict_project(embedded).set_name == "unlabelled"
    assert predict_project(embedded, [survey / "Insular"]).set_name == "Insular"
    return embedded


def of_set(store: Store, name: str) -> dict[str, pd.DataFrame]:
    tables = ("scores", "decisions", "predicted", "predicted_problems")
    return {table: store.read(table, where=f"set_name = '{name}'") for table in tables}


def encounters(store: Store, name: str) -> set[str]:
    decisions = of_set(store, name)["decisions"]
    return set(decisions.loc[decisions["unit"] == "encounter", "decision"])


def test_a_second_set_leaves_the_first_as_it_was(predicted: Store, survey: Path) -> None:
    first = of_set(predicted, "unlabelled")
    assert len(first["predicted"]) == len(of_set(predicted, "Insular")["predicted"]) == 12
    assert not first["scores"].empty
    assert not first["decisions"].empty
    predict_project(predicted, [survey / "Insular", survey / "Pelagic"], set_name="both")
    predict_project(predicted, [survey / "Insular"])
    for table, rows in of_set(predicted, "unlabelled").items():
        pd.testing.assert_frame_equal(rows, first[table])
    names = set(predicted.read("scores", where="split_id = ''")["set_name"])
    assert names == {"unlabelled", "Insular", "both"}


def test_deciding_takes_the_last_set_or_the_one_named(predicted: Store) -> None:
    undecided = DecisionOptions(min_probability=1.0)
    last = decide_project(predicted, decision=undecided)
    assert last.set_name == "Insular"
    assert encounters(predicted, "Insular") == {"undecided"}
    assert encounters(predicted, "unlabelled") == {"Insular"}
    named = decide_project(predicted, decision=undecided, set_name="unlabelled")
    assert (named.set_name, named.n_files) == ("unlabelled", 12)
    assert encounters(predicted, "unlabelled") == {"undecided"}
    with pytest.raises(StoreError, match=r"unknown set of predictions 'unlabeled'\. Did you mean"):
        decide_project(predicted, decision=undecided, set_name="unlabeled")


def test_another_folder_of_the_same_name_is_another_set(
    predicted: Store, survey: Path, tmp_path: Path
) -> None:
    shutil.copytree(survey / "Pelagic", tmp_path / "other" / "Insular")
    assert predict_project(predicted, [survey / "Insular"]).set_name == "Insular"
    first = of_set(predicted, "Insular")
    other = predict_project(predicted, [tmp_path / "other" / "Insular"])
    assert other.set_name == "Insular 2"
    for table, rows in of_set(predicted, "Insular").items():
        pd.testing.assert_frame_equal(rows, first[table])
    named = predict_project(predicted, [tmp_path / "other" / "Insular"], set_name="Insular")
    assert any("--as" in notice for notice in named.notices)


def test_each_set_has_tables_of_its_own(predicted: Store) -> None:
    folder = predicted.folder / "predictions"
    assert {path.name for path in folder.iterdir()} == {"unlabelled", "Insular"}
    table = pd.read_csv(folder / "unlabelled" / "encounters.csv")
    assert set(table["decision"]) == encounters(predicted, "unlabelled")


def test_sets_are_listed_and_removed(predicted: Store) -> None:
    sets = prediction_sets(predicted).sets.set_index("set_name")
    assert list(sets.index) == ["Insular", "unlabelled"]
    assert sets.loc["Insular", "encounters_per_class"] == {"Insular": 4}
    assert sets.loc["Insular", "n_recordings"] == 12
    remove_prediction_set(predicted, "Insular")
    assert all(rows.empty for rows in of_set(predicted, "Insular").values())
    assert not (predicted.folder / "predictions" / "Insular").exists()
    assert not of_set(predicted, "unlabelled")["scores"].empty
    assert decide_project(predicted).set_name == "unlabelled"
    with pytest.raises(StoreError, match="unknown set of predictions 'Insular'"):
        remove_prediction_set(predicted, "Insular")


def test_a_copied_project_finds_its_own_tables(predicted: Store, tmp_path: Path) -> None:
    predict_project(predicted, output=tmp_path / "elsewhere", set_name="kept outside")
    copy = Store(shutil.copytree(predicted.folder, tmp_path / "copy"))
    shutil.rmtree(predicted.folder)
    output = prediction_sets(copy).sets.set_index("set_name")["output"].map(Path)
    for name in ("unlabelled", "Insular"):
        assert output[name] == copy.folder / "predictions" / name
        assert (output[name] / "encounters.csv").exists()
    assert output["kept outside"] == tmp_path / "elsewhere"
    texts = copy.read("runs", where="verb = 'predict'")["settings"]
    assert sum(str(predicted.folder) in text for text in texts) == 0


def test_a_project_inside_the_folder_of_its_tables_is_copied_with_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "out" / "project", create=True)
    assert kept_place(store, tmp_path / "out") == ".."
    assert kept_place(store, tmp_path / "other") == str((tmp_path / "other").resolve())


def test_report_says_what_the_last_runs_said(predicted: Store, tmp_path: Path) -> None:
    wish = DecisionOptions(max_error=0.01)  # cannot be claimed, which is said
    said = predict_project(predicted, decision=wish).notices
    assert said
    report_project(predicted, tmp_path / "report.html")
    page = unescape((tmp_path / "report.html").read_text())
    for notice in said:
        assert notice in page


def test_the_name_of_a_set_holds_no_password_of_an_address() -> None:
    assert name_of_paths(["s3://sea/2021/mooring/"]) == "mooring"
    assert name_of_paths(["https://sea.org/a.wav?token=secret", "https://sea.org/b.wav"]) == (
        "a.wav + b.wav"
    )
    assert name_of_paths([f"{k}.wav" for k in range(5)]) == "0.wav and 4 more"
    assert name_of_paths([]) == "unlabelled"


def test_report_shows_the_last_set_and_names_the_others(predicted: Store, tmp_path: Path) -> None:
    report_project(predicted, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Shown is the set Insular" in page
    n_recordings = len(of_set(predicted, "Insular")["decisions"].query("unit == 'recording'"))
    assert f"was asked about {n_recordings} recordings of 4 encounters" in page


def test_a_classifier_that_is_trained_anew_leaves_the_earlier_one(predicted: Store) -> None:
    first = saved_id(predicted.folder / "classifiers" / "classifier")
    again = train_project(predicted, Recipe(LogisticHead(c=0.01)))
    assert again.classifier_id == first
    assert not any("is kept as" in notice for notice in again.notices)
    other = train_project(predicted, Recipe(LogisticHead(c=1.0)))
    assert any("'classifier 1'" in notice for notice in other.notices)
    assert saved_id(predicted.folder / "classifiers" / "classifier 1") == first
    assert decide_project(predicted).classifier_id == first  # who predicted decides
    shutil.rmtree(predicted.folder / "classifiers" / "classifier 1")
    with pytest.raises(ClassifierError, match="no longer in"):
        decide_project(predicted)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 81])
def test_a_name_of_a_set_fits_on_a_line(embedded: Store, name: str) -> None:
    with pytest.raises(PseudorcaError, match="--as"):
        predict_project(embedded, set_name=name)

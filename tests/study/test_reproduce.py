"""One folder in, one folder out: tables, figures and a report, whatever was interrupted."""

import json
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.errors import HeadError, ManifestError, PseudorcaError
from pseudorca.frontends.spectrograms import spectrograms_project
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.recordings import audio
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store
from pseudorca.study import as_published
from pseudorca.study.material import read_material
from pseudorca.study.reproduce import reproduce, silent
from pseudorca.study.settings import ALL, MARGINS, TRAINING_MODE, StudyOptions

from .conftest import BACKBONES, write_survey


@pytest.fixture(scope="module")
def done(survey, small, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    return out, reproduce(survey, out, StudyOptions(**small))


def tables_of(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((out / "tables").iterdir())}


def test_everything_of_the_study_is_there(done):
    out, result = done
    names = set(tables_of(out))
    assert {f"table_4_{k}.csv" for k in (1, 2, 4, 5, 6)} <= names
    assert {"table_4_3_rates.csv", "table_4_3_momenta.csv", "tables_5_1_and_5_2.csv",
            "switches.csv", "the_study_itself.csv"} <= names  # fmt: skip
    figures = {path.stem for path in (out / "figures").iterdir()}
    for number in ("1_4", "1_5", "4_1", "4_5", "3_2_and_4_3", "4_2_and_4_4_as_published"):
        assert any(number in name for name in figures), number
    page = result.report.read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', page)  # needs nothing else
    for text in (
        "as published",
        "told straight",
        "first-clip",
        "There&#39;s a",
        "Table 4.6",
        "0.9450",
    ):
        assert text in page
    assert result.sentences[0].startswith("As published, the final model names")
    json.dumps(result.as_json())


def test_both_columns_stand_side_by_side(done):
    out, _ = done
    table = pd.read_csv(out / "tables" / "table_4_1.csv")
    assert table["network"].tolist() == list(BACKBONES)
    for column in ("published_accuracy", "straight_clip_balanced_accuracy",
                   "straight_encounter_ci_low", "straight_clip_recall_Insular"):  # fmt: skip
        assert table[column].between(0, 1).all()
    confusion = pd.read_csv(out / "tables" / "tables_5_1_and_5_2.csv")
    final = confusion[(confusion["model"] == "final model, test")]
    row = pd.read_csv(out / "tables" / "table_4_4.csv").iloc[0]
    n = final["n"].sum()
    assert row["published_n"] == n
    right = final.loc[final["truth"] == final["said"], "n"].sum()
    assert row["published_accuracy"] == pytest.approx(right / n)


@pytest.mark.slow
def test_a_second_run_passes_no_picture_and_finds_the_same(done, survey, small):
    out, first = done
    before = tables_of(out)
    again = reproduce(survey, out, StudyOptions(**small))
    assert again.n_passes == {}
    assert again.side_by_side.equals(first.side_by_side)
    assert tables_of(out) == before


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(done, survey, small, tmp_path):
    class Killed(Exception):
        pass

    n_stages = 0

    @contextmanager
    def killing(text, /):
        nonlocal n_stages
        n_stages += 1
        if n_stages == 12:
            raise Killed
        yield lambda done, total: None

    out, options = tmp_path / "out", StudyOptions(**small)
    with pytest.raises(Killed):
        reproduce(survey, out, options, stages=killing)
    reproduce(survey, out, options)
    assert tables_of(out) == tables_of(done[0])


def test_local_weights_and_parts_are_said(done):
    _, result = done
    assert any("Local weights" in notice for notice in result.notices)
    assert any("no batch normalisation" in notice for notice in result.notices)


@pytest.mark.slow
def test_three_classes_are_told_straight_only(small, tmp_path):
    survey = write_survey(tmp_path / "survey", ("Insular", "Northwestern", "Pelagic"))
    options = StudyOptions(**small | {"backbones": BACKBONES[:1], "weights": {
        BACKBONES[0]: small["weights"][BACKBONES[0]]}})  # fmt: skip
    result = reproduce(survey, tmp_path / "out", options)
    assert result.as_published is None
    assert any("exactly two classes" in notice for notice in result.notices)
    assert (result.side_by_side["as published"] == "–").all()
    assert not (tmp_path / "out" / "tables" / "switches.csv").exists()
    assert "There is no" not in result.report.read_text()


def test_one_class_against_the_rest_makes_two(small, tmp_path):
    survey = write_survey(tmp_path / "survey", ("Insular", "Northwestern", "Pelagic"))
    store = Store(tmp_path / "p", create=True)
    options = StudyOptions(**small, against_rest="Pelagic", max_per_class=7)
    found = read_material(store, survey, options, silent)
    assert found.classes == ["Pelagic", "Rest"]
    assert found.clips["label"].value_counts().tolist() == [7, 7]
    assert found.clips.groupby("label")["encounter"].nunique().to_dict() == {
        "Pelagic": 3,
        "Rest": 6,
    }
    with pytest.raises(ManifestError, match="Did you mean 'Pelagic'"):
        read_material(store, survey, StudyOptions(**small, against_rest="Pelagics"), silent)


def test_a_folder_is_scanned_again_when_it_changed(small, tmp_path):
    survey = write_survey(tmp_path / "survey", ("Insular", "Pelagic"))
    store = Store(tmp_path / "p", create=True)
    options = StudyOptions(**small)
    n = len(read_material(store, survey, options, silent).clips)
    version = store.version("recordings")
    assert len(read_material(store, survey, options, silent).clips) == n
    assert store.version("recordings") == version
    next((survey / "Pelagic").rglob("*.wav")).unlink()
    assert len(read_material(store, survey, options, silent).clips) == n - 1


def test_options_that_make_no_sense_are_errors(weights):
    with pytest.raises(PseudorcaError, match="at least one"):
        StudyOptions(backbones=())
    with pytest.raises(PseudorcaError, match="not among the networks"):
        StudyOptions(backbones=("resnet18",), weights={"densenet121": "x.pth"})


def test_one_class_is_an_error(tmp_path, small):
    survey = write_survey(tmp_path / "survey", ("Insular",))
    with pytest.raises(ManifestError, match="at least 2 folders"):
        reproduce(survey, tmp_path / "out", StudyOptions(**small))


@pytest.mark.slow
def test_training_mode_is_run_and_compared_with_its_approximation(survey, small, tmp_path):
    options = StudyOptions(**small | {"exact_training_mode": True})
    result = reproduce(survey, tmp_path / "out", options)
    table = pd.read_csv(tmp_path / "out" / "tables" / "training_mode.csv")
    assert table["network"].tolist() == [BACKBONES[0]]  # the other has nothing to move
    assert table["adapted once: named alike"].between(0, 1).all()
    assert any("Training mode" in sentence and " %" in sentence for sentence in result.sentences)
    again = reproduce(survey, tmp_path / "out", options)
    assert again.side_by_side.equals(result.side_by_side)


def test_spectrograms_are_the_front_end_s_and_none_overwrites_another(survey, tmp_path):
    store = Store(tmp_path / "p", create=True)
    scan_project(store, survey, ScanOptions())
    found = spectrograms_project(store, tmp_path / "png")
    files = sorted((tmp_path / "png").rglob("*.png"))
    assert len(files) == found.n_pictures == 54
    assert found.pictures_per_class == {"Insular": 18, "Pelagic": 36}
    path = "Pelagic/Lasker_AC_11/20170711_031204_ch02_sel01.wav"
    samples = audio.read_segment(survey / path)[0]
    with Image.open(tmp_path / "png" / f"{path}.png") as image:
        assert image.size == (950, 636)
        expected = StudyFrontEnd().picture(samples, sample_rate=16_000)
        np.testing.assert_array_equal(np.asarray(image), expected)
    again = spectrograms_project(store, tmp_path / "png", unlabelled=True)
    assert again.n_new == 18
    assert (tmp_path / "png" / "Unknown").is_dir()


@pytest.mark.slow
def test_command_line(survey, weights, tmp_path):
    arguments = ["reproduce", str(survey), "--out", str(tmp_path / "out"), "--backbones",
                 BACKBONES[0], "--weights", f"{BACKBONES[0]}={weights[BACKBONES[0]]}", "--epochs",
                 "1", "--folds", "2", "--repeats", "1", "--unknown", "2", "--as-published",
                 "first-clip,positive-class"]  # fmt: skip
    found = CliRunner().invoke(cli.app, arguments)
    assert found.exit_code == 0, found.output
    assert "as published" in found.stdout
    assert (tmp_path / "out" / "report.html").exists()
    found = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert json.loads(found.stdout)["as_published"] == ["first-clip", "positive-class"]
    project = str(tmp_path / "out" / "project")
    out = str(tmp_path / "png")
    found = CliRunner().invoke(
        cli.app, ["spectrograms", "-p", project, "--out", out, "--layout", "wide"]
    )
    assert found.exit_code == 0, found.output
    assert "54 pictures" in found.stdout


@pytest.mark.slow
def test_real_recordings_fall_from_as_published_to_told_straight(watkins, shared_weights, tmp_path):
    network = "mobilenet_v2_tf"
    file = shared_weights / "mobilenet_v2_imagenet1001_coral.safetensors"
    options = StudyOptions(
        backbones=(network,), weights={network: str(file)}, against_rest="FalseKillerWhale",
        as_published=ALL - {MARGINS, TRAINING_MODE}, n_repeats=1,
    )  # fmt: skip
    reproduce(watkins, tmp_path / "out", options)
    row = pd.read_csv(tmp_path / "out" / "tables" / "table_4_4.csv").iloc[0]
    assert row["published_accuracy"] > 0.9
    assert row["published_balanced_accuracy"] > row["straight_encounter_balanced_accuracy"] + 0.2
    assert row["straight_encounter_ci_low"] < row["straight_encounter_majority_baseline"]


def test_a_training_of_table_4_1_that_diverges_is_a_marked_cell(
    survey, small, tmp_path, monkeypatch
):
    real = as_published.train

    def diverging(source, truth, n_classes, training, validation, head, **options):
        if head.balance == "none":
            raise HeadError("the loss is nan in epoch 1")
        return real(source, truth, n_classes, training, validation, head, **options)

    monkeypatch.setattr(as_published, "train", diverging)
    out = tmp_path / "out"
    result = reproduce(survey, out, StudyOptions(**small))
    table = pd.read_csv(out / "tables" / "table_4_1.csv")
    assert table["published_failed"].tolist() == ["the loss is nan in epoch 1"] * len(BACKBONES)
    assert table["straight_clip_balanced_accuracy"].notna().all()
    page = result.report.read_text()
    assert page.count("failed") >= 2 * len(BACKBONES)
    assert re.search(rf"{BACKBONES[0]}.*the loss is nan in epoch 1", page)

"""A class of nothing on recordings: learned once, kept with the classifier, said in every table."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import soxr

from pseudorca.errors import HeadError, ManifestError
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import predict_project
from pseudorca.project import Project
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.recordings.options import NOTHING
from pseudorca.store import Store

from .conftest import RATE, copied, whistle

RECIPE = Recipe(LogisticHead(c=0.01))
ALL = DecisionOptions(min_probability=0.0, max_novelty=1e9)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two populations that whistle for a third of each clip, and an Unknown folder."""
    root = tmp_path_factory.mktemp("pauses")
    rng = np.random.default_rng(0)
    for label, hz in (("Insular", 4_000), ("Pelagic", 8_000), ("Unknown", 4_000)):
        for encounter in range(4):
            folder = root / label / f"Lasker_AC_{label[0]}{encounter}"
            folder.mkdir(parents=True)
            for clip in range(4):
                sound = 0.02 * rng.standard_normal(3 * RATE)
                start = rng.integers(0, 2 * RATE)
                shift = rng.uniform(0.9, 1.1)
                sound[start : start + RATE] += whistle(hz * shift, 1.4 * hz * shift, 1.0, rng)
                name = f"201707{10 + encounter}_0312{clip:02d}.wav"
                sf.write(folder / name, sound, RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def listened_once(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose clips are embedded by the network in the box."""
    project = Project.create(
        tmp_path_factory.mktemp("listened") / "project", survey, progress=False
    )
    project.embed(progress=False)
    return project.folder


@pytest.fixture(scope="module")
def knowing_once(listened_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a classifier that knows nothing."""
    store = copied(listened_once, tmp_path_factory.mktemp("knowing") / "project")
    train_project(store, RECIPE)
    return store.folder


@pytest.fixture
def knowing(knowing_once: Path, tmp_path: Path) -> Store:
    return copied(knowing_once, tmp_path / "project")


def test_a_classifier_that_knows_nothing_is_read_back(knowing: Store) -> None:
    folder = knowing.folder / "classifiers" / "classifier"
    loaded = Classifier.load(folder, device="cpu")
    assert loaded.classes == ["Insular", "Pelagic"]
    assert loaded.nothing is not None
    assert 0 < loaded.nothing.threshold <= 0.5
    loaded.save(knowing.folder / "again")
    assert Classifier.load(knowing.folder / "again").classifier_id == loaded.classifier_id
    loaded.nothing = None
    assert loaded.classifier_id != Classifier.load(folder).classifier_id


def test_backgrounds_are_embedded_once(knowing: Store) -> None:
    tables = {path.name for path in knowing.folder.glob("*/embeddings_*")}
    train_project(knowing, RECIPE, name="again")
    assert {path.name for path in knowing.folder.glob("*/embeddings_*")} == tables


def test_noise_is_nothing_and_what_sounds_is_decided_over_what_holds_something(
    knowing: Store, survey: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    folder = tmp_path / "sea" / "noise"
    folder.mkdir(parents=True)
    sf.write(folder / "noise.wav", 0.02 * rng.standard_normal(12 * RATE), RATE)
    noise = predict_project(knowing, [tmp_path / "sea"], decision=ALL)
    assert set(noise.clips["decision"]) == {NOTHING}
    assert noise.encounters_per_class == {NOTHING: 1}
    assert noise.n_detections == 0
    row = noise.recordings.iloc[0]
    assert (row["n_something"], row["n_moments"], row["decision"]) == (0, 4, NOTHING)
    assert row["p_nothing"] > 0.5
    assert (row["most_probable"], row["probability"]) == (NOTHING, row["p_nothing"])
    assert "nothing" in noise.sentences()[0]
    whales = predict_project(
        knowing, [survey / "Unknown"], decision=ALL, formats=["csv", "opensoundscape"]
    )
    assert set(whales.encounters["decision"]) <= {"Insular", "Pelagic", "undecided"}
    assert (whales.clips["p_nothing"] < 0.5).mean() > 0.8
    shares = whales.clips[["p_Insular", "p_Pelagic"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1)
    (path,) = whales.files["opensoundscape"]
    assert {"Insular", "Pelagic"} <= set(pd.read_csv(path).columns)
    assert NOTHING not in pd.read_csv(path).columns


def test_without_it_the_tables_have_no_column_of_nothing(
    listened_once: Path, survey: Path, tmp_path: Path
) -> None:
    embedded = copied(listened_once, tmp_path / "project")
    train_project(embedded, Recipe(LogisticHead(c=0.01), nothing="none"))
    result = predict_project(embedded, [survey / "Unknown"])
    assert "p_nothing" not in result.clips
    assert Classifier.load(embedded.folder / "classifiers" / "classifier").nothing is None


def test_a_class_called_like_the_answer_is_refused(listened_once: Path, tmp_path: Path) -> None:
    store = copied(listened_once, tmp_path / "project")
    clips = store.read("clips")
    store.write("clips", clips.assign(label=clips["label"].replace("Insular", NOTHING)))
    with pytest.raises(HeadError, match="a class is called nothing"):
        train_project(store, RECIPE)


def with_noise(survey: Path, folder: Path, **names: str) -> Path:
    """The survey with a folder of noise for each name; each holds two encounters of three clips."""
    shutil.copytree(survey, folder)
    rng = np.random.default_rng(2)
    for name, platform in names.items():
        for encounter in range(2):
            place = folder / name / f"{platform}_AC_N{encounter}"
            place.mkdir(parents=True)
            for clip in range(3):
                sound = 0.02 * rng.standard_normal(3 * RATE)
                sf.write(place / f"201807{10 + encounter}_0312{clip:02d}.wav", sound, RATE)
    return folder


def test_folders_of_noise_teach_nothing_and_are_no_class(survey: Path, tmp_path: Path) -> None:
    place = with_noise(survey, tmp_path / "sea", Noise="Lasker", Nothing="Sette")
    project = Project.create(tmp_path / "project", place, nothing="noise", progress=False)
    assert project.store.setting("nothing") == ["Noise", "Nothing"]
    project.embed(progress=False)
    labelled = LabelledProject.read(project.store, RECIPE)
    assert set(labelled.clips["label"]) == {"Insular", "Pelagic"}
    assert labelled.data.noise is not None
    assert len(labelled.data.noise.labels) == 12
    assert set(project.folds().folds.labels) == {"Insular", "Pelagic"}
    evaluated = project.evaluate(RECIPE, stricter=False, progress=False)
    assert evaluated["encounter"].headline["n_units"] == 8
    stored = json.loads(project.store.read("evaluations")["result"].iloc[0])
    assert stored["nothing"]["noise"] > 0.8
    trained = project.train(RECIPE, progress=False)
    assert trained.classes == ["Insular", "Pelagic"]
    assert len(trained.classifier.nothing.alarms) == 12  # eight encounters and four of noise
    assert trained.classifier.training["n_noise"] == 12


def test_noise_of_an_encounter_is_held_out_with_it(survey: Path, tmp_path: Path) -> None:
    place = with_noise(survey, tmp_path / "sea", Noise="Lasker")
    for label, name in (("Noise", "N0"), ("Insular", "I0")):
        (place / label / f"Lasker_AC_{name}").rename(place / label / "Lasker_AC_67")
    project = Project.create(tmp_path / "project", place, nothing="Noise", progress=False)
    project.embed(backbone="logmel", progress=False)
    labelled = LabelledProject.read(project.store, RECIPE)
    folds = make_folds(labelled.clips, labelled.recordings, Split("encounter"))
    data = labelled.grouped(folds)
    unit = dict(zip(labelled.clips["encounter"], folds.units, strict=True))["Lasker_AC_67"]
    goes_with = dict(zip(labelled.noise["encounter"], data.noise_with, strict=True))
    assert sorted(goes_with.values(), key=len) == [frozenset(), frozenset({unit})]
    assert len(data.without_noise_of([unit]).noise.labels) == 3
    strangers = labelled.clips[labelled.clips["encounter"] == "Lasker_AC_67"]
    assert len(labelled.grouped(folds, strangers=strangers).noise.labels) == 3


def test_a_folder_called_like_noise_is_offered(survey: Path, tmp_path: Path) -> None:
    place = with_noise(survey, tmp_path / "sea", Noise="Lasker")
    project = Project.create(tmp_path / "project")
    found = project.scan(place)
    assert any("--nothing Noise" in text for text in found.notices)
    assert any("too few" in text and "Noise" in text for text in found.notices)
    for how in ({"nothing": "Noise"}, {"other": "Noise"}):
        notices = project.scan(place, **how, replace=True).notices
        assert not any("--nothing Noise" in text for text in notices)
        assert "nothing" not in how or not any("too few" in text for text in notices)
    for wrong in ({"nothing": "Rain"}, {"nothing": "noise", "other": "Noise"}):
        with pytest.raises(ManifestError):
            project.scan(place, **wrong)


def test_quiet_stretches_between_selections_teach_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = ["Selection\tBegin Time (s)\tEnd Time (s)\tChannel\tBegin Path"]
    for label, hz in (("Insular", 4_000), ("Pelagic", 8_000)):
        for encounter in range(3):
            path = f"{label}/Lasker_AC_{label[0]}{encounter}/201707{10 + encounter}_031200.wav"
            sound = 0.02 * rng.standard_normal(40 * RATE)
            for at_s in (5, 15, 30):
                start = at_s * RATE
                sound[start : start + RATE] += whistle(hz, 1.4 * hz, 1.0, rng)
            (tmp_path / "sea" / path).parent.mkdir(parents=True)
            sf.write(tmp_path / "sea" / path, sound, RATE, subtype="PCM_16")
            # the whistle at 30 s was overlooked
            lines += [f"{k}\t{at_s}\t{at_s + 1}\t1\t{path}" for k, at_s in ((1, 5), (2, 15))]
    table = tmp_path / "calls.selections.txt"
    table.write_text("\n".join(lines) + "\n")
    project = Project.create(tmp_path / "project", tmp_path / "sea", progress=False)
    project.clips(selections=table)
    project.embed(progress=False)
    labelled = LabelledProject.read(project.store, RECIPE)
    assert len(labelled.clips) == 12
    noise = labelled.noise
    assert set(noise["encounter"]) == set(labelled.clips["encounter"])
    for at_s in (5, 15, 30):  # whether selected or overlooked
        assert not ((noise["start_s"] < at_s + 1) & (noise["end_s"] > at_s)).any()
    data = labelled.grouped(make_folds(labelled.clips, labelled.recordings, Split("encounter")))
    assert all(len(tied) == 1 and tied <= set(data.groups) for tied in data.noise_with)
    assert LabelledProject.read(project.store, Recipe(nothing="none")).data.noise is None


@pytest.mark.slow
def test_an_hour_of_noise_is_nothing_and_three_faint_calls_in_it_are_named(
    watkins: Path, hydrophones: Path, tmp_path: Path
) -> None:
    """The sea floor and the calls are of recorders that the classifier never heard."""
    left_out = "1960_tape026"
    learned = tmp_path / "learned"
    shutil.copytree(watkins, learned, ignore=shutil.ignore_patterns("Unknown", left_out))
    project = Project.create(tmp_path / "project", learned, progress=False)
    project.embed(progress=False)
    project.train(Recipe(LogisticHead(c=0.01)), progress=False)
    sea_floor = sorted((hydrophones / "pypam_300s_8k").glob("*.flac"))
    rate = 8_000
    quarter = np.concatenate([sf.read(path)[0] for path in sea_floor])
    rolled = [np.roll(quarter, -k * rate) for k in range(4)]  # other windows each
    hour = np.concatenate(rolled)[: 3600 * rate]
    with_calls = hour.copy()
    for k, path in enumerate(sorted((watkins / "KillerWhale" / left_out).glob("*.flac"))[:3]):
        sound, own_rate = sf.read(path)
        call = soxr.resample(sound - sound.mean(), own_rate, rate)[: 3 * rate]
        at = (600 + 900 * k) * rate
        with_calls[at : at + len(call)] += call * quarter.std() / call.std()  # 0 dB
    for name, sound in (("noise", hour), ("calls", with_calls)):
        (tmp_path / "mooring" / name).mkdir(parents=True)
        sf.write(tmp_path / "mooring" / name / f"{name}.wav", sound, rate, subtype="PCM_24")
    said = project.predict(tmp_path / "mooring", progress=False)
    for table in (said.recordings, said.encounters):
        noise, calls = (
            table[table["encounter"].str.endswith(f"/{name}")].iloc[0]
            for name in ("noise", "calls")
        )
        assert (noise["decision"], noise["n_something"]) == (NOTHING, 0)
        assert (calls["decision"], calls["n_moments"]) == ("KillerWhale", 1200)
        assert 2 <= calls["n_something"] <= 6  # windows that hold a call, or a part of one

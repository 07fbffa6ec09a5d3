"""Altered copies, references and centring do the whole job: embed, train, predict, compare."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.audit.audit import audit_project
from pseudorca.audit.options import AuditOptions
from pseudorca.compare.compare import CompareOptions, compare_project
from pseudorca.embedding.augmentation.copies import referring
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import load_embedders
from pseudorca.embedding.options import Computing
from pseudorca.errors import ClassifierError, HeadError
from pseudorca.evaluation.encounter_accuracy import rightness
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import labelled_clips
from pseudorca.learning.heads.base import mean_said
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.preparation import Preparation, prepared_set
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.pages.blocks import Commands
from pseudorca.prediction import predictor as scores
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.report.answer import answer_section
from pseudorca.report.contents import evidence, is_saved, read_project
from pseudorca.store import EMBEDDER_FOLDER, Store

from .conftest import copied

HEAD = LogisticHead(c=0.1)
ALL = Preparation(views=True, test_views=True, reference="minus")
OPTIONS = EmbedderOptions("logmel", n_views=2, n_test_views=1, reference=True)


@pytest.fixture(scope="module")
def prepared_once(clipped_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = copied(clipped_once, tmp_path_factory.mktemp("prepared") / "project")
    embed_project(store, OPTIONS)
    return store.folder


@pytest.fixture
def prepared(prepared_once: Path, tmp_path: Path) -> Store:
    """A project with altered copies and backgrounds."""
    return copied(prepared_once, tmp_path / "project")


def labelled(store: Store, preparation: Preparation):
    embedder = load_embedders(store.folder / EMBEDDER_FOLDER)
    recordings, clips = store.read("recordings"), store.read("clips")
    mine, _ = labelled_clips(clips, recordings, store, embedder.embedder_id)
    data, notices = prepared_set(mine, recordings, store, embedder, preparation, labelled=clips)
    return mine, data, notices


def test_copies_are_made_once_and_made_good_where_some_are_missing(scanned: Store) -> None:
    clips_project(scanned, ClipOptions())
    first = embed_project(scanned, OPTIONS)
    n = int(scanned.read("clips")["label"].notna().sum())
    assert first.n_new_views == 3 * 2 * n  # each with its background
    assert first.n_new_backgrounds == n
    again = embed_project(scanned, OPTIONS)
    assert (again.n_new, again.n_new_views, again.n_new_backgrounds) == (0, 0, 0)
    more = embed_project(
        scanned, EmbedderOptions("logmel", n_views=3, n_test_views=1, reference=True)
    )
    assert more.n_new_views == 2 * n


@pytest.fixture
def taken_port() -> Iterator[None]:
    """The port of Dask's dashboard is taken, as by another run on this machine."""
    with socket.socket() as held:
        with suppress(OSError):  # taken indeed
            held.bind(("", 8787))
            held.listen()
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("taken_port")
def test_other_processes_make_the_same_copies(scanned: Store, survey: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    clips_project(scanned, ClipOptions())
    other = Store(shutil.copytree(scanned.folder, tmp_path / "other"))
    both = EmbedderOptions("logmel+mean_spectrum", n_views=1, n_test_views=1, reference=True)
    tables = []
    for store, computing in ((scanned, None), (other, Computing(n_workers=1))):
        embed_project(store, both, computing=computing)
        train_project(store, Recipe(HEAD, preparation=ALL))
        predict_project(store, [survey / "Insular"], computing=computing)
        names = store._database.list_tables(limit=1000).tables
        tables.append(
            {
                name: store._database.open_table(name).to_pandas().sort_values("clip_id")
                for name in names
                if name.startswith("embeddings_") or name == "scores"
            }
        )
    assert tables[0].keys() == tables[1].keys()
    for name, table in tables[0].items():
        assert table["clip_id"].tolist() == tables[1][name]["clip_id"].tolist()
        column = "score" if name == "scores" else "vector"
        values = [np.stack(one[name][column].to_numpy()) for one in tables]
        np.testing.assert_allclose(*values, atol=1e-5, err_msg=name)


def test_copies_differ_from_their_clips_and_stand_in_their_rows(prepared: Store) -> None:
    clips, data, _ = labelled(prepared, Preparation(views=True))
    assert data.views is not None
    assert data.views.vectors.shape == (2, *data.vectors.shape)
    assert (data.views.vectors != data.vectors).any(axis=2).all()
    own = clips["encounter"].to_numpy(dtype=object)
    assert (data.views.donors != own).all()
    # A copy is more like its clip than like the mean of all others.
    near = np.linalg.norm(data.views.vectors[0] - data.vectors, axis=1)
    far = np.linalg.norm(data.views.vectors[0] - data.vectors[::-1], axis=1)
    assert np.median(near) < np.median(far)
    some = clips.iloc[[3, 1]].reset_index(drop=True)
    embedder = load_embedders(prepared.folder / EMBEDDER_FOLDER)
    part, _ = prepared_set(
        some, prepared.read("recordings"), prepared, embedder, Preparation(views=True),
        labelled=prepared.read("clips"),
    )  # fmt: skip
    assert part.views is not None
    np.testing.assert_array_equal(part.views.vectors, data.views.vectors[:, [3, 1]])


@pytest.mark.parametrize(
    "made", [ALL, Preparation(reference="beside"), Preparation(centre="platform", scale=True)]
)
def test_training_and_prediction_prepare_alike(
    prepared: Store, survey: Path, made: Preparation
) -> None:
    said = train_project(prepared, Recipe(HEAD, preparation=made)).as_json()
    assert said["preparation"] == made.settings()
    classifier = Classifier.load(Path(said["classifier"]))
    assert classifier.preparation == made
    assert classifier.classifier_id == said["classifier_id"]
    clips, data, _ = labelled(prepared, made)
    expected = mean_said(classifier.head, data.vectors, data.heard_again)
    folders = [survey / "Insular", survey / "Pelagic"]
    predicted = predict_project(prepared, folders)
    assert predicted.n_clips == len(clips)
    scores = prepared.read("scores", where="split_id = ''")
    table = scores.pivot(index="clip_id", columns="population", values="score")
    found = table.loc[clips["clip_id"], classifier.classes].to_numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_lone_waveform_is_scored_only_where_it_is_enough(prepared: Store) -> None:
    sound = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    for made, is_enough in ((Preparation(reference="minus"), True), (ALL, False)):
        said = train_project(prepared, Recipe(HEAD, preparation=made)).as_json()
        classifier = Classifier.load(Path(said["classifier"]))
        if is_enough:
            scores = classifier.log_probabilities([sound], sample_rate=32_000)
            embedder = classifier.embedder
            behind = referring(embedder).vectors([sound], sample_rate=32_000)
            vectors = embedder.vectors([sound], sample_rate=32_000) - behind
            np.testing.assert_allclose(scores, classifier.head.log_probabilities(vectors))
        else:
            with pytest.raises(ClassifierError, match="pseudorca predict"):
                classifier.log_probabilities([sound], sample_rate=32_000)


def test_evaluate_tells_what_centring_takes_and_keeps_recipes_apart(prepared: Store) -> None:
    split = [Split("encounter", n_folds=2, n_repeats=1)]
    plain = evaluate_project(prepared, Recipe(HEAD), split).as_json()
    made = evaluate_project(
        prepared, Recipe(HEAD, preparation=Preparation(views=True, centre="encounter")), split
    ).as_json()
    assert plain["classifier_id"] != made["classifier_id"]
    assert any("transductive" in text for text in made["notices"])
    assert any("of one class" in text for text in made["notices"])
    again = evaluate_project(prepared, Recipe(HEAD), split).as_json()
    assert again["classifier_id"] == plain["classifier_id"]


def test_without_copies_there_is_a_word_on_how_to_get_them(embedded: Store) -> None:
    for made, word in (
        (Preparation(views=True), "--augment"),
        (Preparation(reference="minus"), "--reference"),
    ):
        with pytest.raises(HeadError, match=word):
            train_project(embedded, Recipe(HEAD, preparation=made))


def test_compare_puts_prepared_embeddings_beside_plain_ones(
    prepared: Store, tmp_path: Path
) -> None:
    options = CompareOptions(
        splits=(Split("encounter", n_folds=2, n_repeats=1),),
        prepare=(Preparation(views=True), Preparation(reference="minus")),
    )
    result = compare_project(prepared, options, tmp_path / "comparison").as_json()
    assert {"logmel", "logmel, learned from views", "logmel, minus its background"} <= set(
        result["variants"]
    )
    rows = [row for row in result["rows"] if row["variant"] == "logmel, minus its background"]
    assert any(row["difference"] is not None for row in rows)


def test_the_verbs_take_what_is_to_be_prepared(prepared: Store, survey: Path) -> None:
    project = ["--project", str(prepared.folder), "--json"]
    runner = CliRunner()

    def run(*words: str) -> dict[str, Any]:
        said = runner.invoke(cli.app, [*words, *project])
        assert said.exit_code == 0, said.output
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    again = run("embed", "--backbone", "logmel", "--augment", "2", "--test-views", "1",
                "--reference", "--augment-set", "gain_db=6")  # fmt: skip
    assert (again["n_new"], again["n_new_views"], again["n_new_backgrounds"]) == (0, 0, 0)
    wish = ("--prepare", "views,test-views", "--prepare", "reference=minus", "--c", "0.1")
    trained = run("train", *wish)
    assert trained["preparation"] == ALL.settings()
    told = runner.invoke(cli.app, ["train", *wish, *project[:2]]).stdout
    line = f"evaluate --project {project[1]} --c 0.1 --prepare views,test-views,reference=minus"
    assert line in told.replace("\n", "")
    shown = run("evaluate", *wish, "--folds", "2", "--repeats", "1")
    assert shown["recipe"]["preparation"] == ALL.settings()
    assert run("predict", str(survey / "Unknown"))["n_clips"] > 0


def test_the_report_tells_apart_what_was_prepared_otherwise(prepared: Store) -> None:
    split = [Split("encounter", n_folds=2, n_repeats=1)]
    made = Preparation(views=True, centre="platform")
    trained = train_project(prepared, Recipe(HEAD, preparation=made)).as_json()
    assert (
        Recipe.from_settings(trained["recipe"]).arguments()
        == " --c 0.1 --prepare views,centre=platform"
    )
    before = read_project(prepared)
    (step,) = [
        line
        for block in answer_section(before).blocks
        if isinstance(block, Commands)
        for line in block.lines
    ]
    assert step.endswith("--split encounter --split random --c 0.1 --prepare views,centre=platform")
    evaluate_project(prepared, Recipe(HEAD), split)
    (plain,) = read_project(prepared).evaluations
    assert not is_saved(read_project(prepared), plain.about["recipe"])
    evaluate_project(prepared, Recipe(HEAD, preparation=made), split)
    project = read_project(prepared)
    honest = evidence(project).honest
    assert honest is not None
    assert honest.recipe_id != plain.recipe_id
    assert is_saved(project, honest.about["recipe"])
    assert "learned from views, centred by platform" in honest.head
    embed_project(prepared, replace(OPTIONS, n_views=3))  # other copies, another recipe
    evaluate_project(prepared, Recipe(HEAD, preparation=made), split)
    others = [
        e for e in read_project(prepared).evaluations if not is_saved(project, e.about["recipe"])
    ]
    assert len(others) == 2


def test_a_classifier_that_cannot_be_written_leaves_the_one_that_was_there(
    prepared: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(train_project(prepared, Recipe(HEAD)).as_json()["classifier"])
    before = Classifier.load(first).classifier_id

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pseudorca.learning.classifier.save_file", full)
        with pytest.raises(ClassifierError, match="No space left"):
            train_project(prepared, Recipe(LogisticHead(c=1.0)))
    assert Classifier.load(first).classifier_id == before
    kept = set(first.iterdir())
    train_project(prepared, Recipe(LogisticHead(c=1.0)))
    assert Classifier.load(first).classifier_id != before
    assert set(first.iterdir()) == kept


def test_an_audit_hears_the_classifier_that_is_trained(prepared: Store) -> None:
    split = Split("encounter", 2)
    options = AuditOptions(n_permutations=20)
    plain = audit_project(prepared, Recipe(HEAD), split, options).as_json()
    made = audit_project(prepared, Recipe(HEAD, preparation=ALL), split, options).as_json()
    rows = [{row["name"]: row for row in one["controls"]} for one in (plain, made)]
    voting = [name for name, row in rows[0].items() if row["kind"] in ("nuisance", "shown")]
    assert len(voting) > 3
    for name in voting:  # what hears no animal stays as it is
        assert rows[0][name] == rows[1][name]
    assert made["audit_id"] != plain["audit_id"]
    assert made["recipe"]["preparation"] == ALL.settings()
    assert "swap" in plain
    assert "bands" in plain
    assert "swap" not in made
    assert "bands" not in made
    assert any("learned from views" in text for text in made["notices"])
    clips, data, _ = labelled(prepared, ALL)
    folds = make_folds(clips, prepared.read("recordings"), split)
    learner = Recipe(HEAD, preparation=ALL).trainer()
    scored = cross_validate(replace(data, groups=folds.units), folds, learner)
    right = rightness(clips, scored, folds.units).groupby("label")["right"].mean().mean()
    assert rows[1]["model"]["value"] == pytest.approx(right)
    evaluated = evaluate_project(prepared, Recipe(HEAD, preparation=ALL), [split]).as_json()
    again = audit_project(
        prepared, Recipe(HEAD, preparation=ALL), split, replace(options, quick=True)
    ).as_json()
    (result,) = [row for row in evaluated["results"] if row["unit"] == "encounter"]
    assert again["evaluated"]["balanced_accuracy"] == result["balanced_accuracy"]
    with pytest.raises(HeadError, match="train and evaluate"):
        audit_project(prepared, Recipe(make_head("finetuned")), split)


def test_the_choice_may_take_the_named_network_however_prepared(
    prepared: Store, tmp_path: Path
) -> None:
    options = CompareOptions(
        classic=("mean_spectrum",),
        splits=(Split("encounter", n_folds=2, n_repeats=1),),
        choose_among=("logmel",),
        prepare=(ALL, Preparation(reference="beside")),
    )
    result = compare_project(prepared, options, tmp_path).as_json()
    eligible = [name for name, one in result["variants"].items() if one["may_be_chosen"]]
    assert eligible == ["logmel", f"logmel, {ALL.name}", "logmel, beside its background"]
    plain, averaged, beside = (result["variants"][name] for name in eligible)
    assert any(f"mean_spectrum, {ALL.name} is left out" in text for text in result["notices"])
    assert averaged["clips_per_s"] == pytest.approx(plain["clips_per_s"] / 4)
    assert beside["embedding_size"] == 2 * plain["embedding_size"]


def test_a_portion_without_what_is_centred_by_does_not_end_a_prediction(
    prepared: Store, survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_project(prepared, Recipe(HEAD, preparation=Preparation(centre="platform")))
    monkeypatch.setattr(scores, "portions", partial(scores.portions, n_clips=1))
    strange = tmp_path / "strange" / "nobody knows"
    strange.mkdir(parents=True)
    sound = next((survey / "Unknown").glob("*/*.wav"))
    (strange / "cut.wav").write_bytes(sound.read_bytes())
    with pytest.raises(ClassifierError, match="centred by platform, and none"):
        predict_project(prepared, [strange])
    said = predict_project(prepared, [survey / "Pelagic", strange])
    assert said.n_clips > 0
    assert any("platform" in text and "1 of 13" in text for text in said.notices)

"""Altered copies, references and centring do the whole job: embed, train, predict, compare."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pseudorca import cli, workflow
from pseudorca.errors import ClassifierError, HeadError
from pseudorca.features.joint import load_embedders
from pseudorca.learning.centring import Preparation
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.crossval import mean_said
from pseudorca.learning.heads import LogisticHead
from pseudorca.learning.preparing import prepared_set, referring
from pseudorca.learning.training_set import labelled_clips
from pseudorca.recordings.clips import ClipOptions
from pseudorca.recordings.folds import Split
from pseudorca.store import EMBEDDER_FOLDER, Store

HEAD = LogisticHead(c=0.1)
ALL = Preparation(views=True, test_views=True, reference="minus")
OPTIONS = workflow.EmbedderOptions("logmel", n_views=2, n_test_views=1, reference=True)


@pytest.fixture
def prepared(scanned: Store) -> Store:
    """A project with altered copies and backgrounds."""
    workflow.clip_project(scanned, ClipOptions())
    workflow.embed_project(scanned, OPTIONS)
    return scanned


def labelled(store: Store, preparation: Preparation):
    embedder = load_embedders(store.folder / EMBEDDER_FOLDER)
    recordings, clips = store.read("recordings"), store.read("clips")
    mine, _ = labelled_clips(clips, recordings, store, embedder.embedder_id)
    data, notices = prepared_set(mine, recordings, store, embedder, preparation, labelled=clips)
    return mine, data, notices


def test_copies_are_made_once_and_made_good_where_some_are_missing(scanned: Store) -> None:
    workflow.clip_project(scanned, ClipOptions())
    first = workflow.embed_project(scanned, OPTIONS)
    n = int(scanned.read("clips")["label"].notna().sum())
    assert first["n_new_views"] == 3 * 2 * n  # each with its background
    assert first["n_new_backgrounds"] == n
    again = workflow.embed_project(scanned, OPTIONS)
    assert (again["n_new"], again["n_new_views"], again["n_new_backgrounds"]) == (0, 0, 0)
    more = workflow.embed_project(
        scanned, workflow.EmbedderOptions("logmel", n_views=3, n_test_views=1, reference=True)
    )
    assert more["n_new_views"] == 2 * n


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
    said = workflow.train_project(prepared, HEAD, preparation=made)
    assert said["preparation"] == made.settings()
    classifier = Classifier.load(Path(said["classifier"]))
    assert classifier.preparation == made
    assert classifier.classifier_id == said["classifier_id"]
    clips, data, _ = labelled(prepared, made)
    expected = mean_said(classifier.head, data.vectors, data.heard_again)
    folders = [survey / "Insular", survey / "Pelagic"]
    predicted = workflow.predict_project(prepared, folders)
    assert predicted["n_clips"] == len(clips)
    scores = prepared.read("scores", where="split_id = ''")
    table = scores.pivot(index="clip_id", columns="population", values="score")
    found = table.loc[clips["clip_id"], classifier.classes].to_numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_lone_waveform_is_scored_only_where_it_is_enough(prepared: Store) -> None:
    sound = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    for made, is_enough in ((Preparation(reference="minus"), True), (ALL, False)):
        said = workflow.train_project(prepared, HEAD, preparation=made)
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
    plain = workflow.evaluate_project(prepared, HEAD, split)
    made = workflow.evaluate_project(
        prepared, HEAD, split, preparation=Preparation(views=True, centre="encounter")
    )
    assert plain["classifier_id"] != made["classifier_id"]
    assert any("transductive" in text for text in made["notices"])
    assert any("of one class" in text for text in made["notices"])
    again = workflow.evaluate_project(prepared, HEAD, split)
    assert again["classifier_id"] == plain["classifier_id"]


def test_without_copies_there_is_a_word_on_how_to_get_them(embedded: Store) -> None:
    for made, word in (
        (Preparation(views=True), "--augment"),
        (Preparation(reference="minus"), "--reference"),
    ):
        with pytest.raises(HeadError, match=word):
            workflow.train_project(embedded, HEAD, preparation=made)


def test_compare_puts_prepared_embeddings_beside_plain_ones(
    prepared: Store, tmp_path: Path
) -> None:
    options = workflow.CompareOptions(
        splits=(Split("encounter", n_folds=2, n_repeats=1),),
        prepare=(Preparation(views=True), Preparation(reference="minus")),
    )
    result = workflow.compare_project(prepared, options, tmp_path / "comparison")
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
    shown = run("evaluate", *wish, "--folds", "2", "--repeats", "1")
    assert shown["recipe"]["preparation"] == ALL.settings()
    assert run("predict", str(survey / "Unknown"))["n_clips"] > 0

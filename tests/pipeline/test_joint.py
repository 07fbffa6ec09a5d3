"""Several networks side by side do the whole job: embed, train, evaluate, predict, decide, report."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.audit.audit import audit_project
from pseudorca.audit.options import AuditOptions
from pseudorca.embedding.drawing import read_clip
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import JointEmbedder, load_embedders
from pseudorca.embedding.known_embedders import known_embedders
from pseudorca.errors import BackboneError, HeadError
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.dataset import labelled_clips, make_training_set
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.pseudo_labels import PseudoLabels
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import decide_project, predict_project
from pseudorca.recordings import audio
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import full_path
from pseudorca.report.report import report_project
from pseudorca.store import EMBEDDER_FOLDER, Store

from .conftest import copied

JOINT = "logmel+mean_spectrum"
HEAD = LogisticHead(c=0.1)


@pytest.fixture(scope="module")
def joint_once(clipped_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = copied(clipped_once, tmp_path_factory.mktemp("joint") / "project")
    embed_project(store, EmbedderOptions(JOINT))
    return store.folder


@pytest.fixture
def joint(joint_once: Path, tmp_path: Path) -> Store:
    """A project embedded by two kinds of features side by side."""
    return copied(joint_once, tmp_path / "project")


def test_members_are_kept_by_themselves_and_nothing_is_computed_twice(scanned: Store) -> None:
    clips_project(scanned, ClipOptions())
    first = embed_project(scanned, EmbedderOptions("logmel"))
    both = embed_project(scanned, EmbedderOptions(JOINT))
    assert both.n_new == first.n_clips  # of the second member alone
    assert both.backbone == JOINT
    assert both.embedding_size == 288
    assert [one["backbone"]["name"] for one in both.members] == JOINT.split("+")
    assert {one.name for one in known_embedders(scanned)} == set(JOINT.split("+"))
    clips = scanned.read("clips")["clip_id"].tolist()
    assert scanned.embedded(both.embedder_id, clips) == set(clips)
    again = embed_project(scanned, EmbedderOptions(JOINT))
    assert (again.n_new, again.embedder_id) == (0, both.embedder_id)


def test_a_training_set_knows_where_one_embedding_ends(joint: Store) -> None:
    embedder = load_embedders(joint.folder / EMBEDDER_FOLDER)
    recordings = joint.read("recordings")
    clips, _ = labelled_clips(joint.read("clips"), recordings, joint, embedder.embedder_id)
    data = make_training_set(clips, recordings, joint, embedder.embedder_id)
    assert data.blocks == (256, 32)
    assert data.vectors.shape == (len(clips), 288)


@pytest.mark.parametrize("join", ["embeddings", "scores"])
def test_the_whole_job(joint: Store, tmp_path: Path, join) -> None:
    result = evaluate_project(joint, Recipe(HEAD, join), [Split("encounter", n_folds=2)]).as_json()
    assert {row["unit"] for row in result["results"]} == {"clip", "recording", "encounter"}
    trained = train_project(joint, Recipe(HEAD, join)).as_json()
    classifier = Classifier.load(Path(trained["classifier"]))
    assert isinstance(classifier.embedder, JointEmbedder)
    assert classifier.classifier_id == trained["classifier_id"]
    predicted = predict_project(joint)
    assert len(predicted.problems) == 0
    recordings = joint.read("recordings")
    clip = next(joint.read("clips", where="label IS NULL").itertuples())
    recording = next(recordings[recordings["recording_id"] == clip.recording_id].itertuples())
    with audio.Reader(full_path(recording)) as reader:
        sound = read_clip(reader, clip)
    scores = classifier.log_probabilities([sound], sample_rate=int(recording.sample_rate))[0]
    stored = joint.read("scores", where=f"split_id = '' AND clip_id = '{clip.clip_id}'")
    by_class = stored.set_index("population")["score"].loc[classifier.classes]
    np.testing.assert_allclose(by_class, scores, atol=1e-5)
    decided = decide_project(joint, decision=DecisionOptions(min_moments=2))
    assert decided.classifier_id == trained["classifier_id"]
    page = report_project(joint, tmp_path / "report.html")
    assert page.n_sections > 3
    text = (tmp_path / "report.html").read_text()
    assert "cannot be read" not in text
    assert "mean_spectrum" in text


def test_a_gate_passes_over_the_same_windows_for_every_member(joint: Store) -> None:
    train_project(joint, Recipe(HEAD))
    plain = predict_project(joint)
    gated = predict_project(joint, gate_db=199.0)
    assert gated.n_quiet == plain.n_clips
    assert gated.n_clips == 0


def test_what_is_one_networks_own_is_asked_of_one_alone(scanned: Store) -> None:
    clips_project(scanned, ClipOptions())
    for options, said in (
        (EmbedderOptions(JOINT, band="48k"), "--band with 2 networks"),
        (EmbedderOptions(JOINT, settings=(("hop_s", 1),)), "--set with 2 networks"),
        (EmbedderOptions(JOINT, weights="x.pt"), "say whose, as logmel=FILE"),
        (EmbedderOptions(JOINT, weights="mfcc=x.pt"), "unknown network of --weights"),
        (EmbedderOptions("logmel+logmel"), "two or more different"),
    ):
        with pytest.raises(BackboneError, match=said):
            embed_project(scanned, options)


def test_an_untrained_network_says_so(scanned: Store) -> None:
    clips_project(scanned, ClipOptions(max_per_recording=1))
    result = embed_project(scanned, EmbedderOptions("waveform_small"))
    assert any("never trained" in text for text in result.notices)
    assert len(result.problems) == 0


def test_pseudo_labels_join_from_the_unknown_folder(joint: Store) -> None:
    recipe = Recipe(HEAD, pseudo_labels=PseudoLabels(0.6))
    trained = train_project(joint, recipe).as_json()
    joined = trained["pseudo_labels"]["joined"]
    assert trained["pseudo_labels"]["n_moments"] == 12
    assert joined["Insular"] == 12  # as they were made
    result = evaluate_project(joint, recipe, [Split("encounter", n_folds=2)]).as_json()
    assert result["recipe"]["head"]["pseudo_labels"]["min_probability"] == 0.6


def test_without_unlabelled_recordings_pseudo_labels_are_an_error(joint: Store) -> None:
    clips = joint.read("clips")
    joint.write("clips", clips[clips["label"].notna()])
    with pytest.raises(HeadError, match="no unlabelled clips"):
        train_project(joint, Recipe(HEAD, pseudo_labels=PseudoLabels()))


@pytest.mark.slow
def test_an_audit_hears_all_members(joint: Store) -> None:
    options = AuditOptions(n_permutations=20)
    found = audit_project(joint, Recipe(HEAD), Split("encounter", n_folds=2), options).as_json()
    assert found["verdict"] in ("animals", "recorder", "cannot tell")
    names = {row["name"] for row in found["controls"]}
    assert {"model", "random split"} <= names
    assert found["bands"] is None
    assert "one network on pictures" in found["explained"]["bands"]
    again = audit_project(joint, Recipe(HEAD), Split("encounter", n_folds=2), options).as_json()
    assert again["controls"] == found["controls"]


@pytest.mark.slow
def test_the_verbs_take_several_networks(scanned: Store) -> None:
    project = ["--project", str(scanned.folder), "--json"]

    def run(*arguments: str) -> dict:
        result = CliRunner().invoke(cli.app, [*arguments, *project])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout[result.stdout.index("{") :])

    assert run("embed", "--backbone", JOINT)["backbone"] == JOINT
    scores = run("train", "--join", "scores", "--c", "0.1")
    assert scores["head"]["head"] == "mean"
    pseudo = run("evaluate", "--folds", "2", "--repeats", "1", "--pseudo-labels", "0.8")
    assert pseudo["recipe"]["head"]["pseudo_labels"]["min_probability"] == 0.8

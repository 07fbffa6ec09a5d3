"""The main job with networks on sound, and what they refuse."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.errors import BackboneError, FrontEndError
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import CLASSIFIER_FOLDER, Store

from .conftest import RATE, whistle

NETWORKS = {"yamnet": "yamnet_3959752.tflite", "mn04_as": "mn04_as_mAP_432.pt"}


@pytest.fixture
def cut(survey, tmp_path) -> Store:
    store = Store(tmp_path / "project", create=True)
    scan_project(store, survey, ScanOptions())
    clips_project(store, ClipOptions(window_s=2.0))
    return store


@pytest.mark.parametrize(("name", "slow"), [("yamnet", 1.0), ("mn04_as", 2.0)])
def test_main_job_with_a_network_on_sound(name, slow, cut, shared_weights):
    options = EmbedderOptions(name, str(shared_weights / NETWORKS[name]), slow=slow)
    made = embed_project(cut, options)
    assert len(made.problems) == 0
    assert made.n_new == made.n_clips > 0
    assert made.embedding_size == {"yamnet": 1024, "mn04_as": 384}[name]
    assert any("slowed 2 times" in notice for notice in made.notices) == (slow == 2)
    assert embed_project(cut, options).n_new == 0
    train_project(cut, Recipe(make_head("logistic", c=0.01)))
    said = predict_project(cut)
    assert len(said.problems) == 0
    classifier = Classifier.load(cut.folder / CLASSIFIER_FOLDER / "classifier", device="cpu")
    assert classifier.embedder.embedder_id == made.embedder_id
    rng = np.random.default_rng(7)
    sounds = [whistle(4_000, 7_000, 2.0, rng), whistle(8_000, 5_000, 2.0, rng)]
    scores = classifier.log_probabilities(sounds, sample_rate=RATE)
    assert [classifier.classes[k] for k in scores.argmax(axis=1)] == ["Insular", "Pelagic"]


def test_non_commercial_licence_is_told(cut):
    made = embed_project(cut, EmbedderOptions("birdnet"))
    assert made.licence == "CC BY-NC-SA 4.0"
    assert any("non-commercial use only" in notice for notice in made.notices)


def test_what_cannot_be_is_refused(cut, shared_weights):
    path = str(shared_weights / NETWORKS["yamnet"])
    wrong = {
        "the study one makes something else": {"front_end": "study"},
        "hears the band that it was trained on": {"band": "48k"},
        "What can be set is hop_s": {"settings": (("sample_rate", 32_000),)},
        "0 < hop <= window": {"settings": (("hop_s", 9.0),)},
        "--slow 0.5: expected 1": {"slow": 0.5},
    }
    for message, asked in wrong.items():
        with pytest.raises(FrontEndError, match=message):
            embed_project(cut, EmbedderOptions("yamnet", path, **asked))
    with pytest.raises(FrontEndError, match="resnet18 takes pictures, and the samples front end"):
        embed_project(cut, EmbedderOptions("resnet18", front_end="samples"))
    with pytest.raises(BackboneError, match="takes sound; only networks on pictures are adapted"):
        embed_project(cut, EmbedderOptions("yamnet", path, adapt_batch_norm=True))


def test_backbones_verb_lists_families_and_single_networks():
    runner = CliRunner()
    listed = json.loads(runner.invoke(cli.app, ["backbones", "--json"]).stdout)
    families = {family["family"]: family for family in listed["families"]}
    assert families["BirdNET"]["licences"] == ["CC BY-NC-SA 4.0"]
    assert families["BirdNET"]["installed"]
    assert families["EfficientAT"]["embedding_sizes"][0] == 384
    assert {"timm", "torchvision", "transformers"} <= set(families)
    assert len(listed["backbones"]) > 90
    one = json.loads(runner.invoke(cli.app, ["backbones", "yamnet", "--json"]).stdout)
    (row,) = one["backbones"]
    assert (row["sample_rate"], row["embedding_size"], row["extra"]) == (16_000, 1024, "tflite")
    assert "sound at 48 kHz, 3 s" in runner.invoke(cli.app, ["backbones"]).stdout
    assert "512" in runner.invoke(cli.app, ["backbones", "resnet18"]).stdout

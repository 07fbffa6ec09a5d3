"""A saved classifier is whole, or it is refused: every part that decides an answer counts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from pseudorca.backbones import load_backbone
from pseudorca.embedding.embedder import Embedder
from pseudorca.errors import ClassifierError
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.learning.calibration import Calibrator
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.base import LinearHead
from pseudorca.learning.novelty import Novelty
from pseudorca.learning.preparation import Preparation
from pseudorca.recordings.clips import ClipOptions

CLASSES = ["Insular", "Pelagic"]
PARTS = (
    "embedder.json",
    "embedder.safetensors",
    "head.safetensors",
    "held_out.parquet",
    "novelty.safetensors",
)


def held_out() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unit_id": ["a", "b"], "label": CLASSES, "encounter": ["a", "b"], "n_moments": [3, 4],
            "repeat": [0, 0], "fold": [0, 1], "log_p Insular": [-0.1, -2.0],
            "log_p Pelagic": [-2.35, -0.15], "unit": ["encounter"] * 2,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    embedder = Embedder(CommonFrontEnd(), load_backbone("pseudorca_small"), device="cpu")
    n = embedder.backbone.embedding_size
    rng = np.random.default_rng(0)
    head = LinearHead(CLASSES, np.zeros(n), np.ones(n), rng.normal(size=(2, n)), np.zeros(2))
    novelty = Novelty(np.zeros(n), np.eye(4, n), rng.normal(size=(9, 4)), {"encounter": 1.5})
    training = {"n_encounters": {"Insular": 3, "Pelagic": 5}, "moments": ["m1", "m2"]}
    return Classifier(
        embedder, ClipOptions(), head, training, {"clip": Calibrator(CLASSES, 1.5)}, novelty,
        held_out(),
    )  # fmt: skip


@pytest.fixture
def folder(classifier: Classifier, tmp_path: Path) -> Path:
    classifier.save(tmp_path / "saved")
    return tmp_path / "saved"


def test_classifier_id_survives_saving(classifier: Classifier, folder: Path) -> None:
    loaded = Classifier.load(folder, device="cpu")
    assert loaded.classifier_id == classifier.classifier_id
    assert {path.name for path in folder.iterdir()} == {"classifier.json", *PARTS}


def changed_head(classifier: Classifier) -> dict[str, Any]:
    head = classifier.head
    assert isinstance(head, LinearHead)
    return {"head": replace(head, bias=head.bias + 1e-9)}


def changed_novelty(classifier: Classifier) -> dict[str, Any]:
    assert classifier.novelty is not None
    return {"novelty": replace(classifier.novelty, usual={"encounter": 1.6})}


CHANGES: dict[str, Callable[[Classifier], dict[str, Any]]] = {
    "head": changed_head,
    "calibration": lambda c: {"calibrators": {"clip": Calibrator(CLASSES, 1.6)}},
    "clips": lambda c: {"clip_options": ClipOptions(window_s=2.0)},
    "front end": lambda c: {
        "embedder": replace(c.embedder, front_end=CommonFrontEnd(fmax_hz=7000.0))
    },
    "preparation": lambda c: {"preparation": Preparation(centre="platform")},
    "novelty": changed_novelty,
    "no novelty": lambda c: {"novelty": None},
    "held-out score": lambda c: {
        "held_out": held_out().assign(**{"log_p Insular": [-0.1, -2.0 - 1e-12]})
    },
    "held-out label": lambda c: {"held_out": held_out().assign(label=CLASSES[::-1])},
    "no held-out": lambda c: {"held_out": None},
    "prior of training": lambda c: {
        "training": c.training | {"n_encounters": {"Insular": 4, "Pelagic": 5}}
    },
    "heard in training": lambda c: {"training": c.training | {"moments": ["m1"]}},
}


@pytest.mark.parametrize("part", CHANGES)
def test_classifier_id_changes_with_every_part_that_decides(
    classifier: Classifier, part: str
) -> None:
    other = replace(classifier, **CHANGES[part](classifier))
    assert other.classifier_id != classifier.classifier_id


def test_classifier_id_is_not_changed_by_what_decides_nothing(classifier: Classifier) -> None:
    other = replace(classifier, training=classifier.training | {"time_utc": "2030-01-01"})
    assert other.classifier_id == classifier.classifier_id


@pytest.mark.parametrize("name", PARTS)
def test_load_names_the_file_that_was_changed(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ClassifierError, match=f"{name} is not the file"):
        Classifier.load(folder, device="cpu")


@pytest.mark.parametrize("name", PARTS)
def test_load_names_the_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ClassifierError, match=f"{name} cannot be read"):
        Classifier.load(folder, device="cpu")


@pytest.mark.parametrize("name", ["novelty.safetensors", "held_out.parquet"])
def test_load_names_a_file_of_another_classifier(
    classifier: Classifier, folder: Path, tmp_path: Path, name: str
) -> None:
    bare = tmp_path / "bare"
    replace(classifier, novelty=None, held_out=None).save(bare)
    shutil.copy(folder / name, bare / name)
    with pytest.raises(ClassifierError, match=f"{name} belongs to another classifier"):
        Classifier.load(bare, device="cpu")
    replace(classifier, novelty=None, held_out=None).save(bare)  # saving again mends it
    assert Classifier.load(bare, device="cpu").novelty is None


def test_load_refuses_a_part_that_reads_well_and_says_something_else(folder: Path) -> None:
    path = folder / "novelty.safetensors"
    arrays = load_file(path)
    save_file(arrays | {"usual encounter": np.array([99.0])}, path)
    with pytest.raises(ClassifierError, match=r"novelty\.safetensors"):
        Classifier.load(folder, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"n_encounters": {"Insular": 1, "Pelagic": 9}}},
        {"calibration": {}},
        {"files": {}},
        {"clips": {"window_s": 2.0}},
        {"clips": {"seconds": 2.0}},
        {"classes": None},
        {"views": 7},
    ],
)
def test_load_refuses_a_changed_description(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ClassifierError):
        Classifier.load(folder, device="cpu")

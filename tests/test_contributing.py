"""What CONTRIBUTING shows works as it stands: a head, an output format and a network, a module each."""

import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch
from safetensors.torch import save_file

from pseudorca.backbones import load_backbone
from pseudorca.backbones.registry import KnownNetwork, known_networks
from pseudorca.catalogue import Entry
from pseudorca.formats.registry import FORMATS
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads import base
from pseudorca.learning.heads.registry import HEADS, make_head
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.tuning import Tuning
from pseudorca.prediction.files import PredictionFiles

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that the page shows under a path, as if it lay there."""
    (text,) = [block for block in BLOCKS if block.splitlines()[0].endswith(f"/{name}.py")]
    package = text.splitlines()[0].removeprefix("# src/").rpartition("/")[0].replace("/", ".")
    made = ModuleType(f"{package}.{name}")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(importlib.import_module(package), name, made, raising=False)
    exec(compile(text, f"{name}.py", "exec"), made.__dict__)
    return made


def register(entries: Mapping[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the line of a registry that the page shows."""
    (line,) = [block for block in BLOCKS if block.startswith(f'"{name}": Entry(')]
    monkeypatch.setitem(entries, name, eval(f"{{{line}}}", {"Entry": Entry})[name])


def test_a_head_of_one_module_and_one_line_is_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    module("lda", monkeypatch)
    register(HEADS, "lda", monkeypatch)
    rng = np.random.default_rng(0)
    for n_classes in (2, 3):
        actual = np.arange(60) % n_classes
        vectors = np.eye(5)[actual] * 3 + rng.standard_normal((60, 5))
        labels = np.array(["a", "b", "c"], dtype=object)[actual]
        groups = np.array([f"E{k // 3}" for k in range(60)], dtype=object)
        rows = np.arange(60).astype(object)
        data = TrainingSet(vectors.astype(np.float32), labels, groups, rows)
        recipe = Recipe(make_head("lda", shrinkage=0.1), tuning=Tuning())
        trained = recipe.fit(data)
        scores = trained.log_probabilities(data.vectors)
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)
        named = np.array(trained.classes)[scores.argmax(axis=1)]
        assert (named == labels).mean() > 0.8
        assert Recipe.from_settings(recipe.settings()).describe() == recipe.describe()
    assert recipe.arguments() == " --head lda --tune grid"
    assert Recipe(make_head("lda", shrinkage=0.1)).arguments().endswith("shrinkage=0.1")


def test_a_trained_head_of_its_own_is_saved_as_its_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "KINDS", dict(base.KINDS))
    (text,) = [block for block in BLOCKS if "class NearestCentroid" in block]
    names = vars(base) | {"scipy": scipy, "np": np, "dataclass": dataclass, "__name__": "shown"}
    exec(text, names)
    head = names["NearestCentroid"](["a", "b"], np.array([[0.0, 0.0], [3.0, 3.0]]))
    vectors = np.array([[0.5, 0.0], [2.0, 3.0]], dtype=np.float32)
    scores = head.log_probabilities(vectors)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)
    assert scores.argmax(axis=1).tolist() == [0, 1]
    again = names["NearestCentroid"].from_arrays(["a", "b"], head.arrays())
    assert (again.log_probabilities(vectors) == scores).all()


def test_a_format_of_one_module_and_one_line_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module("sonic_visualiser", monkeypatch)
    register(FORMATS, "sonic_visualiser", monkeypatch)
    recordings = pd.DataFrame(
        {
            "recording_id": ["r"], "root": ["/sea"], "path": ["x.wav"], "sample_rate": [48_000],
            "n_channels": [1], "duration_s": [10.0], "start_utc": pd.to_datetime([None], utc=True),
            "platform": [None], "encounter": ["e"], "selection": [None], "moment_id": ["m"],
        }
    )  # fmt: skip
    clips = pd.DataFrame(
        {
            "path": ["x.wav"], "encounter": ["e"], "start_s": [3.0], "end_s": [6.0],
            "start_utc": pd.to_datetime([None], utc=True), "n_moments": [1],
            "decision": ["Insular"], "probability": [0.9], "recording_id": ["r"],
            "in_training": [False], "classifier_id": ["c"],
        }
    )  # fmt: skip
    encounters = pd.DataFrame({"encounter": ["e"], "decision": ["Insular"]})
    with PredictionFiles(tmp_path, recordings, kinds=("sonic_visualiser",)) as files:
        files.add({"clip": clips, "recording": clips}, recordings)
        written = files.finish({"encounter": encounters})
    (path,) = written["sonic_visualiser"]
    assert path.read_text() == "3.000000,3.000000,Insular\n"


def test_a_network_of_one_module_and_one_line_embeds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = module("plain_network", monkeypatch)
    (spec,) = made.specs()
    network_of = KnownNetwork("plain_network", spec.info.embedding_size, spec.info)
    monkeypatch.setitem(known_networks(), spec.info.name, network_of)
    network = made._network()
    assert sum(p.numel() for p in network.parameters()) == spec.info.n_parameters
    path = tmp_path / "plain.safetensors"
    save_file(network.state_dict(), path)
    backbone = load_backbone("plain_network", weights=path)
    with torch.inference_mode():
        vectors = backbone(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert vectors.shape == (2, spec.info.embedding_size)

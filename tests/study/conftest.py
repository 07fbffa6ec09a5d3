"""A small survey with the traps of the real one, small networks in files, and the study run on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
import torchvision
from safetensors.torch import save_file

from pseudorca.store import Store
from pseudorca.study.material import Material, read_material
from pseudorca.study.networks import Networks
from pseudorca.study.reproduce import silent
from pseudorca.study.settings import StudyOptions

RATE = 16_000
BACKBONES = ("shufflenet_v2_x0_5", "squeezenet1_1")  # with batch normalisation, and without


def write_survey(root: Path, classes: tuple[str, ...]) -> Path:
    """Three encounters a class, the last class more clips; two channels; a name that repeats."""
    rng = np.random.default_rng(0)
    for number, label in enumerate((*classes, "Unknown")):
        n_clips = 6 if label == classes[-1] else 3
        for encounter in range(3):
            folder = root / label / f"Lasker_AC_{10 * number + encounter}"
            folder.mkdir(parents=True)
            for clip in range(n_clips):
                time = np.arange(round((0.2 + 0.05 * clip) * RATE)) / RATE
                for channel in (1, 2):
                    sound = 0.3 * np.sin(2 * np.pi * 1000 * (number + 1) * time)
                    sound += 0.05 * rng.standard_normal(len(time))
                    day = 28 if clip == 0 else 10 + encounter  # the first: one name in all three
                    name = f"201707{day}_0312{clip:02d}_ch0{channel}_sel01.wav"
                    sf.write(folder / name, sound, RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_survey(tmp_path_factory.mktemp("survey"), ("Insular", "Pelagic"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Weights files as torchvision would download them, with random numbers in them."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in BACKBONES:
        torch.manual_seed(0)
        path = folder / f"{name}.safetensors"
        save_file(torchvision.models.get_model(name, weights=None).state_dict(), path)
        files[name] = str(path)
    return files


@pytest.fixture(scope="session")
def small(weights: dict[str, str]) -> dict[str, Any]:
    """Options that make a run short."""
    return {
        "backbones": BACKBONES, "weights": weights, "n_epochs": 2, "rates": (0.001, 0.01),
        "momenta": (0.9, 0.95), "n_folds": 2, "n_repeats": 1, "n_unknown": 4,
    }  # fmt: skip


@pytest.fixture(scope="session")
def material(
    survey: Path, small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Material:
    store = Store(tmp_path_factory.mktemp("material") / "project", create=True)
    return read_material(store, survey, StudyOptions(**small), silent)


@pytest.fixture
def networks(survey: Path, small: dict[str, Any], tmp_path: Path) -> Networks:
    store = Store(tmp_path / "project", create=True)
    options = StudyOptions(**small)
    found = read_material(store, survey, options, silent)
    return Networks(store, found, options, tmp_path / "kept", silent)

"""A small survey on disk, a small network in a file, and a project made of both."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import torchvision
from safetensors.torch import save_file

from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

RATE = 32_000
BACKBONE = "shufflenet_v2_x0_5"


def whistle(start_hz: float, end_hz: float, duration_s: float, rng: np.random.Generator):
    """A rising or falling tone in noise."""
    time = np.arange(round(duration_s * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(np.linspace(start_hz, end_hz, len(time))) / RATE
    return (0.3 * np.sin(phase) + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two populations, four encounters each, clips of 1 to 4 s, and an Unknown folder."""
    root = tmp_path_factory.mktemp("survey")
    rng = np.random.default_rng(0)
    for label, start_hz, end_hz, number in (
        ("Insular", 4_000, 7_000, 10),
        ("Pelagic", 8_000, 5_000, 50),
        ("Unknown", 4_000, 7_000, 90),
    ):
        for encounter in range(4):
            folder = root / label / f"Lasker_AC_{number + encounter}"
            folder.mkdir(parents=True)
            shift = rng.uniform(0.9, 1.1)
            for clip in range(3):
                sound = whistle(start_hz * shift, end_hz * shift, [1.0, 2.6, 4.0][clip], rng)
                name = f"201707{10 + encounter}_0312{clip:02d}_ch05_sel{clip:02d}.wav"
                sf.write(folder / name, sound, RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file as torchvision would download it, with random numbers in it."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(BACKBONE, weights=None)
    path = tmp_path_factory.mktemp("weights") / f"{BACKBONE}.safetensors"
    save_file(network.state_dict(), path)
    return path


def copied(project: Path, folder: Path) -> Store:
    """A project for one test, which may write into it."""
    return Store(shutil.copytree(project, folder))


@pytest.fixture(scope="session")
def scanned_once(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that ``scanned`` copies; tests change nothing in it."""
    store = Store(tmp_path_factory.mktemp("scanned") / "project", create=True)
    scan_project(store, survey, ScanOptions())
    return store.folder


@pytest.fixture(scope="session")
def clipped_once(scanned_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that ``clipped`` copies; tests change nothing in it."""
    store = copied(scanned_once, tmp_path_factory.mktemp("clipped") / "project")
    clips_project(store, ClipOptions())
    return store.folder


@pytest.fixture(scope="session")
def embedded_once(
    clipped_once: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The project that ``embedded`` copies; tests change nothing in it."""
    store = copied(clipped_once, tmp_path_factory.mktemp("embedded") / "project")
    embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    return store.folder


@pytest.fixture(scope="session")
def trained_once(embedded_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that ``trained`` copies; tests change nothing in it."""
    store = copied(embedded_once, tmp_path_factory.mktemp("trained") / "project")
    train_project(store, Recipe(LogisticHead()))
    return store.folder


@pytest.fixture
def scanned(scanned_once: Path, tmp_path: Path) -> Store:
    """A project that has been scanned and nothing else."""
    return copied(scanned_once, tmp_path / "project")


@pytest.fixture
def clipped(clipped_once: Path, tmp_path: Path) -> Store:
    """A project with clips of the default length."""
    return copied(clipped_once, tmp_path / "project")


@pytest.fixture
def embedded(embedded_once: Path, tmp_path: Path) -> Store:
    """A project with clips and embeddings."""
    return copied(embedded_once, tmp_path / "project")


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Store:
    """A project with a classifier."""
    return copied(trained_once, tmp_path / "project")

"""A small survey on disk, a small network in a file, and a project made of both."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import torchvision
from safetensors.torch import save_file

from pseudorca.embedding.embed import EmbedderOptions, embed_project
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


@pytest.fixture
def scanned(survey: Path, tmp_path: Path) -> Store:
    """A project that has been scanned and nothing else."""
    store = Store(tmp_path / "project", create=True)
    scan_project(store, survey, ScanOptions())
    return store


@pytest.fixture
def embedded(scanned: Store, weights: Path) -> Store:
    """A project with clips and embeddings."""
    clips_project(scanned, ClipOptions())
    embed_project(scanned, EmbedderOptions(BACKBONE, str(weights)))
    return scanned

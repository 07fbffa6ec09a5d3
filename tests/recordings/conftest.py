"""Sounds and folders of sounds, made up."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pseudorca.recordings.manifest import Manifest, ScanOptions, scan

RATE = 8_000


def noise(n_frames: int, n_channels: int = 1, *, seed: int = 0) -> NDArray[np.int16]:
    """Samples [shape=(n_frames, n_channels)] over the whole 16-bit range."""
    rng = np.random.default_rng(seed)
    return rng.integers(-(2**15), 2**15, (n_frames, n_channels), dtype=np.int16)


@pytest.fixture
def survey(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of recordings: ``survey("Insular/x.wav", ...)``, each its own sound.

    A number sets a recording's seed: ``survey(("a.wav", 1), ("b.wav", 1))`` holds one sound twice.
    """
    seeds = iter(range(1_000, 1_000_000))

    def make(*files: str | tuple[str, int], n_frames: int = 800, sample_rate: int = RATE) -> Path:
        root = tmp_path / "survey"
        root.mkdir(exist_ok=True)
        for file in files:
            name, seed = file if isinstance(file, tuple) else (file, next(seeds))
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, noise(n_frames, seed=seed), sample_rate)
        return root

    return make


@pytest.fixture
def scanned(survey: Callable[..., Path]) -> Callable[..., Manifest]:
    """Make a folder of recordings and scan it; options of the scan by name."""

    def make(*files: str | tuple[str, int], **options: object) -> Manifest:
        return scan(survey(*files), options=ScanOptions(**options), n_threads=1)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def scanned_watkins(watkins: Path) -> Manifest:
    """The real class folders, scanned once; tests change nothing in it."""
    return scan(watkins)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV from its lines."""

    def make(*lines: str) -> Path:
        path = tmp_path / "metadata.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make

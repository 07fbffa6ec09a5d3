"""Real recordings and weights, which live beside the project and never in it."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker for each core: threads of its own would take the cores of the others. These are read
    # when NumPy and torch load, here and in the processes that tests start.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

SHARED = Path(__file__).parents[2] / "shared"


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is missing: it holds real recordings that may not be copied here")
    return path


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of real network weights."""
    return _shared("weights")


@pytest.fixture(scope="session")
def watkins() -> Path:
    """Six species of toothed whales and an Unknown folder: 360 recordings, 35 encounters."""
    return _shared("data/watkins-odontocetes")


@pytest.fixture(scope="session")
def hydrophones() -> Path:
    """Recordings of many recorders, 600 Hz to 384 kHz, 1 to 6 channels, WAV, FLAC and MP3."""
    return _shared("data/hydrophones")


@pytest.fixture(scope="session")
def hiceas_clip() -> Path:
    """One clip of the survey's towed array: 500 kHz, 16 bit, 1.234 s, channel 5."""
    return _shared("data/hiceas-2017/Sette_AC_101/20170728_031259_ch05_sel02.wav")

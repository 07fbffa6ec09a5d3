"""What a command imports: help and refusals next to nothing, listing and cutting no torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pseudorca import cli
from pseudorca.backbones.registry import described_networks, known_networks

VERBS = sorted(command.callback.__name__ for command in cli.app.registered_commands)
HEAVY = {"torch", "pandas", "lancedb", "scipy", "matplotlib"}

SCRIPT = """
import json, sys
sys.argv[0] = "pseudorca"
from pseudorca import cli
try:
    cli.main()
    status = 0
except SystemExit as stop:
    status = stop.code or 0
sys.stderr.write("\\n" + json.dumps([status, sorted(name for name in sys.modules if "." not in name)]))
"""


def imported_by(arguments: list[str], folder: Path) -> tuple[int, set[str]]:
    """The exit status of a command in a process of its own, and the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}, check=True,
    )  # fmt: skip
    status, modules = json.loads(done.stderr.splitlines()[-1])
    return status, set(modules)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings in ``data`` and a project of them in ``project``."""
    folder = tmp_path_factory.mktemp("startup")
    rng = np.random.default_rng(0)
    for label in ("Insular", "Pelagic"):
        for number in (1, 2, 3):
            place = folder / "data" / label / f"{label[0]}ette_AC_{number}"
            place.mkdir(parents=True)
            sf.write(place / "20170728_031259.wav", 0.1 * rng.standard_normal(8_000), 8_000)
    assert imported_by(["scan", "data", "--project", "project"], folder)[0] == 0
    return folder


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_imports_nothing_heavy(verb, folder):
    status, modules = imported_by([*([verb] if verb else []), "--help"], folder)
    assert status == 0
    assert not modules & (HEAVY | {"numpy"})


REFUSED = [
    ["scan", "data", "-p", "project", "--cut-gaps", "nan"],
    ["scan", "data", "-p", "project", "--name-pattern", "x"],
    ["scan", "data", "-p", "project", "--nothing"],
    ["clips", "-p", "project", "--window", "0"],
    ["clips", "-p", "project", "--overlap", "3"],
    ["clips", "-p", "project", "--pad", "nobody"],
    ["folds", "-p", "project", "--group-by", "platform", "--split", "random"],
    ["folds", "-p", "project", "--folds", "1"],
    ["embed", "-p", "project", "--backbone", "nobody"],
    ["embed", "-p", "project", "--backbone", "resnet18+nobody"],
    ["embed", "-p", "project", "--slow", "0"],
    ["embed", "-p", "project", "--band", "17k"],
    ["embed", "-p", "project", "--front-end", "nobody"],
    ["embed", "-p", "project", "--augment-set", "gain_db=3"],
    ["embed", "-p", "project", "--set", "rows"],
    ["train", "-p", "project", "--head", "nobody"],
    ["train", "-p", "project", "--pseudo-labels", "much"],
    ["evaluate", "-p", "project", "--group-by", "platform", "--split", "random"],
    ["audit", "-p", "project", "--permutations", "3"],
    ["compare", "-p", "project", "--head", "nobody"],
    ["predict", "-p", "project", "--format", "nobody"],
    ["predict", "-p", "project", "--gate", "0"],
    ["predict", "-p", "project", "--max-gap", "nan"],
    ["predict", "-p", "project", "--max-error", "2"],
    ["predict", "-p", "project", "--min-probability", "3"],
    ["decide", "-p", "project", "--max-novelty", "0"],
    ["decide", "-p", "project", "--max-gap", "-1"],
    ["backbones", "nobody"],
    ["reproduce", "data", "--out", "study", "--unknown", "some"],
    ["nothing"],
]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_refused_option_imports_nothing_heavy(arguments, folder):
    status, modules = imported_by(arguments, folder)
    assert status == 2
    assert not modules & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", "data", "--project", "other"],
        ["clips", "--project", "project", "--window", "0.5"],
        ["folds", "--project", "project"],
        ["report", "--project", "project"],
        ["backbones"],
        ["backbones", "resnet18"],
        ["backbones", "torchvision"],
    ],
    ids=" ".join,
)
def test_verbs_without_a_network_import_no_torch(arguments, folder):
    status, modules = imported_by(arguments, folder)
    assert status == 0
    assert not modules & {"torch", "torchvision"}


@pytest.mark.slow
def test_known_networks_are_what_the_modules_say():
    assert dict(known_networks()) == described_networks()

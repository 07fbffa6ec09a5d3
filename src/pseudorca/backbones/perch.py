"""Perch 2.0, trained on the sounds of birds and other animals, for a local TFLite file.

It is published as a TensorFlow SavedModel, which needs TensorFlow; the same weights go around as
TFLite files, and one of these is what is read here.
"""

from pseudorca.backbones.info import BackboneInfo, OfficialWeights
from pseudorca.backbones.tflite import TFLiteSpec

RATE, WINDOW_S = 32_000, 5.0


def specs() -> list[TFLiteSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries
    """
    info = BackboneInfo(
        name="perch",
        family="Perch",
        embedding_size=1536,
        licence="Apache-2.0",
        source="Perch 2.0, Google DeepMind: "
        "https://www.kaggle.com/models/google/bird-vocalization-classifier (a SavedModel); as "
        "perch_v2.tflite: https://huggingface.co/justinchuby/Perch-onnx",
        n_parameters=None,
        weights=(),
        front_end="samples",
        front_end_settings={
            "sample_rate": RATE, "window_s": WINDOW_S, "hop_s": WINDOW_S, "fmax_hz": 16_000.0,
            "peak": 0.25,
        },
        extra="tflite",
    )  # fmt: skip
    local = OfficialWeights(name="local", url="", licence=info.licence)
    return [TFLiteSpec(info=info, n_samples=round(WINDOW_S * RATE), local=local)]

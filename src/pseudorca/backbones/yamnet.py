"""YAMNet, trained on AudioSet, as the TFLite file that takes samples."""

from dataclasses import replace

from pseudorca.backbones.info import BackboneInfo, OfficialWeights
from pseudorca.backbones.tflite import TFLiteSpec

RATE, N_SAMPLES = 16_000, 15_600  # 96 frames of 25 ms, 10 ms apart

_FILE = OfficialWeights(
    name="MediaPipe",
    url="https://storage.googleapis.com/mediapipe-models/audio_classifier/yamnet/float32/1/yamnet.tflite",
    licence="Apache-2.0",
    sha256="4d8b4a53282dc83ef04e3e7dbc4fbc98082e34e44ed798e16c3a0cdd4c584faf",
)


def specs() -> list[TFLiteSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries
    """
    info = BackboneInfo(
        name="yamnet",
        family="YAMNet",
        embedding_size=1024,
        licence=_FILE.licence,
        source="YAMNet, Google Research, with 8-bit weights for MediaPipe: "
        "https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
        n_parameters=None,
        weights=(_FILE,),
        front_end="samples",
        front_end_settings={
            "sample_rate": RATE, "window_s": N_SAMPLES / RATE, "hop_s": 0.48, "fmax_hz": 7_500.0,
        },
        extra="tflite",
    )  # fmt: skip
    local = replace(_FILE, name="local", sha256=None)
    return [TFLiteSpec(info=info, n_samples=N_SAMPLES, local=local)]

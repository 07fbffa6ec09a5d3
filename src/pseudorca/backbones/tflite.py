"""Networks in TFLite files, run by LiteRT on the CPU: samples in, embeddings out.

A file gives the scores of its classes; the embedding is the tensor before. So the file's list of
outputs is turned to that tensor as the file is loaded, and nothing else is changed: the runtime
does what it does for anybody, less the last layer.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudorca.backbones.info import BackboneInfo, OfficialWeights, StateDict
from pseudorca.backbones.network import Backbone, SoundBackbone
from pseudorca.backbones.weights import check_file, choose_weights, download
from pseudorca.errors import BackboneError, MissingExtraError

_SUFFIX = ".tflite"


class TFLiteNetwork(nn.Module):
    """A TFLite file as a module: windows [shape=(n, n_samples)] to vectors, one after the other.

    The file's bytes are its only tensor, so that they travel with a saved classifier, and to other
    processes. The runtime is set up once per process and file, at the first window.
    """

    file: Tensor

    def __init__(self, file: Tensor, embedding_size: int) -> None:
        super().__init__()
        self.register_buffer("file", file)
        self.embedding_size = embedding_size
        self.sha256 = hashlib.sha256(self.content()).hexdigest()

    def content(self) -> bytes:
        """The file."""
        return self.file.numpy().tobytes()

    def forward(self, windows: Tensor) -> Tensor:
        running = _running(self)
        vectors = [running.embed(window) for window in windows.numpy()]
        return torch.from_numpy(np.stack(vectors))


class TFLiteBackbone(SoundBackbone):
    """A backbone that LiteRT runs."""

    cpu_only: ClassVar[bool] = True
    network: TFLiteNetwork

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the file."""
        return self.network.sha256


@dataclass(frozen=True, kw_only=True)
class TFLiteSpec:
    """A registry entry for a TFLite file."""

    info: BackboneInfo
    n_samples: int  # of one window
    local: OfficialWeights  # what a local file is taken for, unless it has an official file's name
    fetch: Callable[[OfficialWeights], Path] = field(default=download)

    def load(self, weights: str | Path, layer: str | None) -> Backbone:
        """Read the file; see :func:`load_backbone`."""
        name = self.info.name
        if layer is not None:
            raise BackboneError(f"{name} is used whole: it has no layer {layer!r} to cut it after.")
        known, path = choose_weights(self.info, weights, self.local, (_SUFFIX,))
        origin = known.name if path is None else path.name
        if path is None:
            path = self.fetch(known)
        check_file(path)
        content = torch.from_numpy(np.fromfile(path, dtype=np.uint8))
        about: dict[str, Any] = {"name": name, "version": self.info.version, "layer": None}
        about |= {"embedding_size": self.info.embedding_size, "pooled_axes": []}
        about |= {"window_shape": [self.n_samples], "weights_source": origin}
        about |= {"licence": known.licence, "source": self.info.source}
        return self._backbone(about, content)

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> Backbone:
        """Take the file from the saved tensors."""
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
        made = TFLiteBackbone(TFLiteNetwork(content, size), description)
        _running(made.network).check_input((self.n_samples,), self.info.name)
        return made


class _Running:
    """One interpreter, used by one thread at a time."""

    def __init__(self, content: bytes, embedding_size: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        turned = _turned_to_embedding(content, embedding_size)
        self._interpreter = Interpreter(model_content=turned, num_threads=torch.get_num_threads())
        self._interpreter.allocate_tensors()
        given, made = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._shape = given[0]["index"], tuple(given[0]["shape"].tolist())
        self._output, (self._scale, self._zero) = made[0]["index"], made[0]["quantization"]
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
            found = self._interpreter.get_tensor(self._output).ravel()
        if self._scale:  # of a file whose numbers are whole ones
            return np.asarray((found.astype(np.float32) - self._zero) * self._scale, np.float32)
        return np.asarray(found, np.float32)


_ALL_RUNNING: dict[str, _Running] = {}
_SETTING_UP = threading.Lock()


def _running(network: TFLiteNetwork) -> _Running:
    """The interpreter of a file in this process."""
    with _SETTING_UP:
        if network.sha256 not in _ALL_RUNNING:
            _ALL_RUNNING[network.sha256] = _Running(network.content(), network.embedding_size)
        return _ALL_RUNNING[network.sha256]


def _turned_to_embedding(content: bytes, embedding_size: int) -> bytes:
    """Make the embedding the file's first output.

    It is the output of that size, where the file has one; else what its last fully connected layer
    takes.
    """
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    try:
        model = schema.Model.GetRootAs(changed)
        graph = model.Subgraphs(0)
        outputs = graph.OutputsAsNumpy()  # into the bytes themselves
        sizes = {int(tensor): _size(graph, tensor) for tensor in outputs}
        told = [tensor for tensor, size in sizes.items() if size == embedding_size]
        found = told[0] if told else _before_last_layer(schema, model, graph)
        size = 0 if found is None else _size(graph, found)
        if size == embedding_size:
            outputs[0] = found
    except Exception as error:  # whatever a damaged file leads the reader to
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BackboneError(f"this is no TFLite file ({reason}). Give the official one.") from None
    if size != embedding_size:
        raise BackboneError(
            f"this TFLite file has no embedding of {embedding_size} numbers: its outputs have "
            f"{sorted(sizes.values())}, and its last fully connected layer takes {size}. Give the "
            "file of this network."
        )
    return bytes(changed)


def _before_last_layer(schema: Any, model: Any, graph: Any) -> int | None:
    """The tensor that the last fully connected layer takes."""
    for number in reversed(range(graph.OperatorsLength())):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # older files have the latter
        if kind == schema.BuiltinOperator.FULLY_CONNECTED:
            return int(operator.InputsAsNumpy()[0])
    return None


def _size(graph: Any, tensor: int) -> int:
    return int(np.prod(graph.Tensors(tensor).ShapeAsNumpy()))

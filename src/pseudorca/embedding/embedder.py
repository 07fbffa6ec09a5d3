"""An embedder: a front end and a backbone, everything between the samples of a clip and its vector.

Training and prediction both use the embedder. The embedder is saved beside the classifier that was
trained on its embeddings.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError

from pseudorca.embedding.options import Precision
from pseudorca.errors import BackboneError, unknown_name
from pseudorca.formats.whole import whole_file, write_text
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.registry import front_end_from_settings
from pseudorca.recordings import audio

if TYPE_CHECKING:
    from pseudorca.backbones.network import Backbone

_FILE = "embedder"
# The hash of the weights identifies them, not their source.
_NOT_IN_ID = ("weights_source", "licence", "source")


@dataclass
class Embedder:
    """A front end and a backbone: everything between samples and embedding.

    Mixed precision (``auto`` on a GPU) rounds differently from ``float32``; the id stays the same.

    Raises
    ------
    BackboneError
        If the precision is unknown, or the device cannot be used.

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> front_end = ClassicFrontEnd.in_band("16k", features="logmel")
    >>> embedder = Embedder(front_end, load_backbone("logmel"), "cpu")
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> embedder.vectors([noise], sample_rate=32_000).shape
    (1, 256)
    """

    front_end: FrontEnd
    backbone: "Backbone"
    device: str = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        import torch

        if self.precision not in ("auto", "float32", "mixed"):
            raise BackboneError(
                unknown_name("precision", self.precision, ("auto", "float32", "mixed"))
            )
        if self.backbone.cpu_only and self.device not in ("auto", "cpu"):
            raise BackboneError(
                f"{self.backbone.name} runs on the CPU only: use --device auto or cpu, got "
                f"{self.device!r}."
            )
        if self.device == "auto":
            on_gpu = torch.cuda.is_available() and not self.backbone.cpu_only
            self.device = "cuda" if on_gpu else "cpu"
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise BackboneError(
                f"device {self.device!r} cannot be used ({reason}). Use auto, cpu or cuda."
            ) from error
        self.backbone = self.backbone.to(self.device)
        self.backbone.to(memory_format=torch.channels_last)

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def members(self) -> tuple["Embedder", ...]:
        """The embedder itself; see :class:`pseudorca.embedding.joint.JointEmbedder`."""
        return (self,)

    @property
    def embedder_id(self) -> str:
        """Identifies front end and weights; other settings or weights give another id."""
        described = self.description()
        described["backbone"] = {
            key: value for key, value in described["backbone"].items() if key not in _NOT_IN_ID
        }
        text = json.dumps(described, sort_keys=True)
        return xxhash.xxh3_128(text.encode()).hexdigest()[:20]

    def description(self) -> dict[str, Any]:
        """Everything that shapes an embedding, as JSON values."""
        from pseudorca.backbones.network import SoundBackbone

        described = {
            "front_end": self.front_end.settings(),
            "backbone": self.backbone.description(),
        }
        if isinstance(self.backbone, SoundBackbone):
            return described
        return described | {"resize": "bilinear, antialiased, 8 bit"}

    def network_input(self, waveform: audio.Samples, *, sample_rate: int) -> NDArray[Any]:
        """Turn samples [shape=(n_samples,)] into the input of the backbone.

        Returns
        -------
        ndarray
            A picture, uint8 [shape=(height, width, 3)], in the backbone's size; a backbone that takes
            any width gets the width of the spectrogram. Or windows of sound, float32
            [shape=(n_windows, ...)].
        """
        from pseudorca.backbones.network import SoundBackbone

        picture = self.front_end.picture(waveform, sample_rate=sample_rate)
        if isinstance(self.backbone, SoundBackbone):
            return picture
        height, width = self.backbone.input_shape
        size = (picture.shape[1] if width is None else width, height)
        if size == (picture.shape[1], picture.shape[0]):
            return picture
        image = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image)

    def embed(self, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Run the backbone over network inputs (:meth:`network_input`).

        Returns
        -------
        ndarray [shape=(n_clips, embedding_size)], float32
        """
        import torch

        if len({network_input.shape for network_input in inputs}) > 1:
            return self._embed_widths(inputs)
        batch = torch.from_numpy(np.stack(inputs))
        if batch.dtype == torch.uint8:  # pictures: colours first to torch, last in memory
            batch = batch.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if self.on_gpu:
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        mixed = self.precision == "mixed" or (self.precision == "auto" and self.on_gpu)
        kind = "cuda" if self.on_gpu else "cpu"
        dtype = torch.float16 if self.on_gpu else torch.bfloat16
        with torch.inference_mode(), torch.autocast(kind, dtype) if mixed else nullcontext():
            vectors = self.backbone(batch)
        return np.asarray(vectors.float().cpu().numpy())

    def vectors(
        self, waveforms: Sequence[audio.Samples], *, sample_rate: int
    ) -> NDArray[np.float32]:
        """Embed waveforms [shape=(n_samples,)] -> float32 [shape=(n_waveforms, embedding_size)]."""
        return self.embed(
            [self.network_input(waveform, sample_rate=sample_rate) for waveform in waveforms]
        )

    def hearing(self, change: Callable[[FrontEnd], FrontEnd]) -> "Embedder":
        """The same network behind a changed front end."""
        return replace(self, front_end=change(self.front_end))

    def _embed_widths(self, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Embed inputs of several shapes: a batch per shape; vectors in the order of the inputs."""
        vectors = np.empty((len(inputs), self.backbone.embedding_size), dtype=np.float32)
        for shape in sorted({network_input.shape for network_input in inputs}):
            rows = [row for row, network_input in enumerate(inputs) if network_input.shape == shape]
            vectors[rows] = self.embed([inputs[row] for row in rows])
        return vectors


def save_embedder(embedder: Embedder, folder: Path) -> None:
    """Write an embedder as ``embedder.json`` and ``embedder.safetensors``: data, no code.

    Parameters
    ----------
    embedder : Embedder
    folder : Path, created if missing

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> front_end = ClassicFrontEnd.in_band("16k", features="logmel")
    >>> embedder = Embedder(front_end, load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_embedder(embedder, Path(folder))
    ...     load_embedder(Path(folder), device="cpu").embedder_id == embedder.embedder_id
    True
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.cpu().contiguous() for name, tensor in embedder.backbone.state_dict().items()
    }
    with whole_file(folder / f"{_FILE}.safetensors") as part:
        save_file(state, part)
    write_description(embedder.embedder_id, embedder.description(), folder)


def write_description(embedder_id: str, description: Mapping[str, Any], folder: Path) -> None:
    """Write the description of an embedder as ``embedder.json``.

    Parameters
    ----------
    embedder_id : str
    description : mapping, JSON values
    folder : Path

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_description("a1b2", {"backbone": {}}, Path(folder))
    ...     read_description(Path(folder))
    {'embedder_id': 'a1b2', 'backbone': {}}
    """
    record = {"embedder_id": embedder_id} | dict(description)
    write_text([json.dumps(record, indent=2), "\n"], folder / f"{_FILE}.json")


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``embedder.json``.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict, JSON values; see :func:`write_description` for an example

    Raises
    ------
    BackboneError
        If the file cannot be read.
    """
    try:
        return dict(json.loads((folder / f"{_FILE}.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> BackboneError:
    return BackboneError(f"no embedder can be read from {folder} ({error}). Run: pseudorca embed")


def load_embedder(folder: Path, *, device: str = "auto", precision: Precision = "auto") -> Embedder:
    """Read an embedder that :func:`save_embedder` wrote.

    Parameters
    ----------
    folder : Path
    device : str
    precision : ``auto``, ``float32`` or ``mixed``

    Returns
    -------
    Embedder

    Raises
    ------
    BackboneError
        If a file is missing or damaged, the weights are not the saved weights, or the folder holds
        several networks side by side.

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> front_end = ClassicFrontEnd.in_band("16k", features="logmel")
    >>> embedder = Embedder(front_end, load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_embedder(embedder, Path(folder))
    ...     load_embedder(Path(folder), device="cpu").embedder_id == embedder.embedder_id
    True
    """
    from safetensors.torch import load_file

    from pseudorca.backbones.registry import backbone_from_description

    record = read_description(folder)
    if "members" in record:
        raise BackboneError(
            f"{folder} holds {len(record['members'])} networks side by side "
            f"({record['backbone']['name']}), and this needs a single one. Run pseudorca embed with "
            "one of them."
        )
    try:
        state = load_file(folder / f"{_FILE}.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    front_end = front_end_from_settings(record["front_end"])
    backbone = backbone_from_description(record["backbone"], state)
    embedder = Embedder(front_end, backbone, device, precision)
    if embedder.embedder_id != record["embedder_id"]:
        raise BackboneError(
            f"the embedder in {folder} was saved as {record['embedder_id']} and reads as "
            f"{embedder.embedder_id}: a file was changed. Run pseudorca embed again."
        )
    return embedder

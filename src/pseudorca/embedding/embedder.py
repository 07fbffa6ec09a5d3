"""An embedder: a front end and a backbone, everything between the samples of a clip and its vector.

Training and prediction both use the embedder. The embedder is saved beside the classifier that was
trained on its embeddings.

A joint embedder is several embedders side by side, used like a single embedder: the vectors of its
members are joined. The vectors of a member are stored under the id of the member, so that no vector is
computed twice. The id of the joint embedder is the ids of the members, joined by +; the store reads
the vectors side by side by this id.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError

from pseudorca.embedding.options import Precision
from pseudorca.errors import BackboneError, unknown_name
from pseudorca.formats.whole import whole_file, write_text
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.registry import front_end_from_settings
from pseudorca.recordings import audio
from pseudorca.store import joint_id
from pseudorca.values import hash_of

if TYPE_CHECKING:
    from pseudorca.backbones.network import Backbone

_FILE = "embedder"
_MEMBER = "member_{}"
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

        if self.precision not in get_args(Precision):
            raise BackboneError(unknown_name("precision", self.precision, get_args(Precision)))
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
        """Whether the network runs on a GPU."""
        return self.device.startswith("cuda")

    @property
    def members(self) -> tuple["Embedder", ...]:
        """The embedder itself; see :class:`JointEmbedder`."""
        return (self,)

    @property
    def embedder_id(self) -> str:
        """Identifies front end and weights; other settings or weights give another id."""
        described = self.description()
        described["backbone"] = {
            key: value for key, value in described["backbone"].items() if key not in _NOT_IN_ID
        }
        return hash_of(described)

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
        return self.sized(self.front_end.picture(waveform, sample_rate=sample_rate))

    def sized(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A picture of the front end in the size of the backbone; windows of sound as they are."""
        from pseudorca.backbones.network import SoundBackbone

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


@dataclass(frozen=True)
class JointEmbedder:
    """Two or more embedders; the vectors of the members are joined.

    Raises
    ------
    BackboneError
        If there are fewer than two members, or two members are equal.

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> names = ("logmel", "mean_spectrum")
    >>> joint = JointEmbedder(tuple(
    ...     Embedder(ClassicFrontEnd.in_band("16k", features=name), load_backbone(name), "cpu")
    ...     for name in names
    ... ))
    >>> joint.description()["backbone"]["name"]
    'logmel+mean_spectrum'
    """

    members: tuple[Embedder, ...]

    def __post_init__(self) -> None:
        ids = [member.embedder_id for member in self.members]
        if len(ids) < 2 or len(set(ids)) < len(ids):
            names = " + ".join(member.backbone.name for member in self.members)
            raise BackboneError(
                f"a joint embedder takes two or more different networks, got {names}."
            )

    @property
    def embedder_id(self) -> str:
        """The ids of the members, joined; the store reads the vectors side by side by this id."""
        return joint_id([member.embedder_id for member in self.members])

    @property
    def front_end(self) -> FrontEnd:
        """The front end of the first member; it sets the band of a gate and of exported tables."""
        return self.members[0].front_end

    @property
    def device(self) -> str:
        """The devices of the members, each named once."""
        return ", ".join(dict.fromkeys(member.device for member in self.members))

    def description(self) -> dict[str, Any]:
        """Everything that shapes an embedding, as JSON values: of the members, and joined."""
        described = [
            {"embedder_id": member.embedder_id} | member.description() for member in self.members
        ]
        backbones = [backbone["backbone"] for backbone in described]
        together: dict[str, Any] = {
            "name": "+".join(backbone["name"] for backbone in backbones),
            "embedding_size": sum(backbone["embedding_size"] for backbone in backbones),
        }
        for key in ("licence", "source", "weights_source"):
            together[key] = "; ".join(dict.fromkeys(backbone[key] for backbone in backbones))
        front_end = described[0]["front_end"]
        return {"front_end": front_end, "backbone": together, "members": described}

    def vectors(
        self, waveforms: Sequence[audio.Samples], *, sample_rate: int
    ) -> NDArray[np.float32]:
        """Embed waveforms [shape=(n_samples,)] -> float32 [shape=(n_waveforms, n_dimensions)]."""
        return np.hstack(
            [member.vectors(waveforms, sample_rate=sample_rate) for member in self.members]
        )

    def hearing(self, change: Callable[[FrontEnd], FrontEnd]) -> "JointEmbedder":
        """The same networks behind changed front ends."""
        return replace(self, members=tuple(member.hearing(change) for member in self.members))


AnyEmbedder = Embedder | JointEmbedder
"""One network, or several side by side; ``members`` has each."""


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
    _write_description(embedder.embedder_id, embedder.description(), folder)


def _write_description(embedder_id: str, description: Mapping[str, Any], folder: Path) -> None:
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
    ...     _write_description("a1b2", {"backbone": {}}, Path(folder))
    ...     _read_description(Path(folder))
    {'embedder_id': 'a1b2', 'backbone': {}}
    """
    record = {"embedder_id": embedder_id} | dict(description)
    write_text([json.dumps(record, indent=2), "\n"], folder / f"{_FILE}.json")


def _read_description(folder: Path) -> dict[str, Any]:
    """Read ``embedder.json``.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict, JSON values; see :func:`_write_description` for an example

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

    record = _read_description(folder)
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


def save_embedders(embedder: AnyEmbedder, folder: Path) -> None:
    """Write one embedder into a folder, or each member of a joint embedder into a folder below it.

    Parameters
    ----------
    embedder : Embedder or JointEmbedder
    folder : Path

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> front_end = ClassicFrontEnd.in_band("16k", features="logmel")
    >>> embedder = Embedder(front_end, load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_embedders(embedder, Path(folder))
    ...     load_embedders(Path(folder), device="cpu").embedder_id == embedder.embedder_id
    True
    """
    remove_embedders(folder)
    if isinstance(embedder, Embedder):
        save_embedder(embedder, folder)
        return
    for k, member in enumerate(embedder.members):
        save_embedder(member, folder / _MEMBER.format(k))
    _write_description(embedder.embedder_id, embedder.description(), folder)


def remove_embedders(folder: Path) -> None:
    """Remove the weights that :func:`save_embedders` wrote into a folder, if there are any.

    Parameters
    ----------
    folder : Path

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "member_0").mkdir()
    ...     remove_embedders(Path(folder))
    ...     (Path(folder) / "member_0").exists()
    False
    """
    for old in folder.glob(_MEMBER.format("*")):
        shutil.rmtree(old)
    (folder / "embedder.safetensors").unlink(missing_ok=True)


def load_embedders(
    folder: Path, *, device: str = "auto", precision: Precision = "auto"
) -> AnyEmbedder:
    """Read an embedder that :func:`save_embedders` wrote.

    Parameters
    ----------
    folder : Path
    device : str
    precision : ``auto``, ``float32`` or ``mixed``

    Returns
    -------
    Embedder or JointEmbedder

    Raises
    ------
    BackboneError
        If a file is missing or damaged, or the weights are not the saved weights.

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> front_end = ClassicFrontEnd.in_band("16k", features="logmel")
    >>> embedder = Embedder(front_end, load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_embedders(embedder, Path(folder))
    ...     load_embedders(Path(folder), device="cpu").embedder_id == embedder.embedder_id
    True
    """
    record = _read_description(folder)
    if "members" not in record:
        return load_embedder(folder, device=device, precision=precision)
    members = [
        load_embedder(folder / _MEMBER.format(k), device=device, precision=precision)
        for k in range(len(record["members"]))
    ]
    embedder = JointEmbedder(tuple(members))
    if embedder.embedder_id != record["embedder_id"]:
        raise BackboneError(
            f"the embedders in {folder} were saved as {record['embedder_id']} and read as "
            f"{embedder.embedder_id}: a file was changed. Run pseudorca embed again."
        )
    return embedder

"""Several embedders side by side, used like a single embedder.

In: members, each a front end and a backbone. Out: the vectors of all members, joined. The vectors of a
member are stored under the id of the member, so that no vector is computed twice. The id of the joint
embedder is the ids of the members, joined by +; the store reads the vectors side by side by this id.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudorca.embedding.embedder import (
    Embedder,
    load_embedder,
    read_description,
    save_embedder,
    write_description,
)
from pseudorca.embedding.options import Precision
from pseudorca.errors import BackboneError
from pseudorca.frontends.base import FrontEnd
from pseudorca.recordings.audio import Samples
from pseudorca.store import joint_id

_MEMBER = "member_{}"


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

    @property
    def precision(self) -> Precision:
        return self.members[0].precision

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

    def vectors(self, waveforms: Sequence[Samples], *, sample_rate: int) -> NDArray[np.float32]:
        """Embed waveforms [shape=(n_samples,)] -> float32 [shape=(n_waveforms, n_dimensions)]."""
        return np.hstack(
            [member.vectors(waveforms, sample_rate=sample_rate) for member in self.members]
        )

    def hearing(self, change: Callable[[FrontEnd], FrontEnd]) -> "JointEmbedder":
        """The same networks behind changed front ends."""
        return replace(self, members=tuple(member.hearing(change) for member in self.members))


AnyEmbedder = Embedder | JointEmbedder
"""One network, or several side by side; ``members`` has each."""


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
    write_description(embedder.embedder_id, embedder.description(), folder)


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
    record = read_description(folder)
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

"""Several embedders side by side: one thing that stands wherever a single embedder does.

In: members, each a front end and a backbone. Out: their vectors beside each other. Every member hears
a clip in its own way, and its vectors are kept under its own id, so nothing is computed twice; the id
of all is theirs joined by +, by which the store reads them side by side.
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
    """Two or more embedders, their vectors one after the other."""

    members: tuple[Embedder, ...]

    def __post_init__(self) -> None:
        ids = [member.embedder_id for member in self.members]
        if len(ids) < 2 or len(set(ids)) < len(ids):
            names = " + ".join(member.backbone.name for member in self.members)
            raise BackboneError(f"side by side stand two or more different networks, got {names}.")

    @property
    def embedder_id(self) -> str:
        """The ids of the members, joined: by it the store reads their vectors side by side."""
        return joint_id([member.embedder_id for member in self.members])

    @property
    def front_end(self) -> FrontEnd:
        """The first member's: a gate, and the band told to other programs, go by it."""
        return self.members[0].front_end

    @property
    def device(self) -> str:
        """Of each member, where they differ."""
        return ", ".join(dict.fromkeys(member.device for member in self.members))

    @property
    def precision(self) -> Precision:
        return self.members[0].precision

    def description(self) -> dict[str, Any]:
        """Everything that shapes an embedding, as JSON values: what the members are, and together."""
        described = [
            {"embedder_id": member.embedder_id} | member.description() for member in self.members
        ]
        backbones = [one["backbone"] for one in described]
        together: dict[str, Any] = {
            "name": "+".join(one["name"] for one in backbones),
            "embedding_size": sum(one["embedding_size"] for one in backbones),
        }
        for key in ("licence", "source", "weights_source"):
            together[key] = "; ".join(dict.fromkeys(one[key] for one in backbones))
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
    """Write one embedder as :func:`save_embedder` does, several into a folder each below this one."""
    remove_embedders(folder)
    if isinstance(embedder, Embedder):
        save_embedder(embedder, folder)
        return
    for k, member in enumerate(embedder.members):
        save_embedder(member, folder / _MEMBER.format(k))
    write_description(embedder.embedder_id, embedder.description(), folder)


def remove_embedders(folder: Path) -> None:
    """Remove the weights that :func:`save_embedders` wrote into a folder, if it did."""
    for old in folder.glob(_MEMBER.format("*")):
        shutil.rmtree(old)
    (folder / "embedder.safetensors").unlink(missing_ok=True)


def load_embedders(
    folder: Path, *, device: str = "auto", precision: Precision = "auto"
) -> AnyEmbedder:
    """Read what :func:`save_embedders` wrote.

    Raises
    ------
    BackboneError
        If a file is missing or damaged, or the weights are not those that were saved.
    """
    about = read_description(folder)
    if "members" not in about:
        return load_embedder(folder, device=device, precision=precision)
    members = [
        load_embedder(folder / _MEMBER.format(k), device=device, precision=precision)
        for k in range(len(about["members"]))
    ]
    embedder = JointEmbedder(tuple(members))
    if embedder.embedder_id != about["embedder_id"]:
        raise BackboneError(
            f"the embedders in {folder} were saved as {about['embedder_id']} and read as "
            f"{embedder.embedder_id}: a file was changed. Run pseudorca embed again."
        )
    return embedder

"""The networks of the study: pictures of clips -> embeddings, each picture once per network.

A network has the official weights of torchvision or the weights of a local file. Its batch-norm
statistics can be adapted once to the recordings. This approximates training mode (see
:mod:`pseudorca.study.training` for the slow original).
"""

from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pseudorca.backbones import adapt_batch_norm, load_backbone
from pseudorca.embedding.drawing import picture_batches
from pseudorca.embedding.embedder import Embedder, load_embedder, save_embedder
from pseudorca.embedding.stream import embed_clips
from pseudorca.errors import BackboneError
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.learning.dataset import Vectors
from pseudorca.recordings.folds import STUDY_SEED
from pseudorca.store import Store
from pseudorca.study.material import Material, Stages
from pseudorca.study.settings import StudyOptions
from pseudorca.values import hash_of

Layout = Literal["tight", "wide"]

BATCH = 64
ADAPTING_BATCHES = 10
"""Batches of 64 with a large weight in the moving statistics of torch (momentum 0.1)."""


@dataclass(frozen=True)
class Network:
    """A network with its pictures."""

    embedder: Embedder

    @cached_property
    def embedder_id(self) -> str:
        """The id of the embedder. Hashing the weights takes a while, so it is done once."""
        return self.embedder.embedder_id

    @property
    def layout(self) -> str:
        """Layout of the pictures."""
        return str(self.embedder.front_end.settings()["layout"])

    def seeing(self, layout: Layout) -> "Network":
        """Return the same network with pictures of another layout."""
        return Network(self.embedder.hearing(lambda _: StudyFrontEnd(layout=layout)))


@dataclass
class Networks:
    """The networks of one study and their embeddings, with all that a column of the study needs.

    Parameters
    ----------
    store : Store, keeps the embeddings
    material : Material
    options : StudyOptions
    kept : path of the folder for adapted networks, and for the trainings and results of both columns
    stages : reports the progress of each stage
    device, batch_size, n_threads : see :func:`pseudorca.embedding.stream.embed_clips`
    """

    store: Store
    material: Material
    options: StudyOptions
    kept: Path
    stages: Stages
    _: KW_ONLY
    device: str = "auto"
    batch_size: int | None = None
    n_threads: int | None = None
    not_adapted: dict[str, str] = field(default_factory=dict, init=False)
    """Networks that cannot be adapted, with reasons."""
    n_passes: dict[str, int] = field(default_factory=dict, init=False)
    """Pictures that went through each network in this run."""
    _networks: dict[tuple[str, Layout, bool], Network] = field(default_factory=dict, init=False)

    def network(self, name: str, layout: Layout, *, adapted: bool) -> Network:
        """Return a network with its pictures, as pretrained or adapted to the labelled clips.

        A network whose batch normalisation cannot be adapted is returned as pretrained, and is added
        to ``not_adapted``.

        Parameters
        ----------
        name : str, name of the backbone
        layout : ``tight`` or ``wide``
        adapted : bool

        Returns
        -------
        Network

        Raises
        ------
        BackboneError
            If the network is unknown, or its weights are not available or do not fit.
        """
        key = name, layout, adapted and name not in self.not_adapted
        if key not in self._networks:
            self._networks[key] = self._make(*key)
        return self._networks[key]

    def embed(self, network: Network, clips: pd.DataFrame) -> pd.DataFrame:
        """Embed the clips that are not in the store yet, and return the clips with an embedding.

        The reasons of the clips without an embedding are stored as problems.

        Parameters
        ----------
        network : Network
        clips : DataFrame

        Returns
        -------
        DataFrame
        """
        done = self.store.embedded(network.embedder_id)
        if not clips["clip_id"].isin(done).all():
            with self.stages(f"Embedding, {_described(network)}") as update:
                result = embed_clips(
                    clips, self.material.recordings, network.embedder, self.store,
                    batch_size=self.batch_size, n_threads=self.n_threads, progress=update,
                )  # fmt: skip
            self._count_passes(network, result.n_new)
            key = {"stage": "embed", "embedder_id": network.embedder_id}
            self.store.replace("problems", result.problems, **key)
            done = self.store.embedded(network.embedder_id)
        return clips[clips["clip_id"].isin(done)].reset_index(drop=True)

    def embedded(self, network: Network, clips: pd.DataFrame) -> tuple[pd.DataFrame, Vectors]:
        """Return the clips that can be embedded, with their embeddings.

        Parameters
        ----------
        network : Network
        clips : DataFrame

        Returns
        -------
        clips : DataFrame, the clips with an embedding
        vectors : ndarray [shape=(n_clips, n_dimensions)], float32
        """
        usable = self.embed(network, clips)
        if usable.empty:
            return usable, np.empty((0, network.embedder.backbone.embedding_size), np.float32)
        return usable, self.store.vectors(network.embedder_id, usable["clip_id"].tolist())

    def _make(self, name: str, layout: Layout, adapted: bool) -> Network:
        if adapted:
            plain = self.network(name, layout, adapted=False)
            try:
                return self._adapted(plain)
            except BackboneError as error:
                self.not_adapted[name] = str(error)
                return plain
        for other in self._networks:
            if other[0] == name and not other[2]:
                return self._networks[other].seeing(layout)
        backbone = load_backbone(name, weights=self.options.weights.get(name, "official"))
        return Network(Embedder(StudyFrontEnd(layout=layout), backbone, self.device))

    def _adapted(self, plain: Network) -> Network:
        clips = self.material.clips
        order = np.random.default_rng(STUDY_SEED).permutation(len(clips))
        sample = clips.iloc[order[: BATCH * ADAPTING_BATCHES]]
        key = hash_of([plain.embedder_id, sample["clip_id"].tolist(), BATCH])
        folder = self.kept / "adapted" / key
        if (folder / "embedder.json").exists():
            return Network(load_embedder(folder, device=self.device))
        with self.stages(f"Adapting, {_described(plain)}") as update:
            batches = picture_batches(
                sample, self.material.recordings, plain.embedder, batch_size=BATCH, progress=update
            )
            backbone = adapt_batch_norm(plain.embedder.backbone, batches)
        self._count_passes(plain, len(sample))
        embedder = Embedder(plain.embedder.front_end, backbone, self.device)
        save_embedder(embedder, folder)
        return Network(embedder)

    def _count_passes(self, network: Network, n: int) -> None:
        name = network.embedder.backbone.name
        self.n_passes[name] = self.n_passes.get(name, 0) + n


def _described(network: Network) -> str:
    backbone = network.embedder.backbone
    adapted = ", adapted statistics" if "adapted" in backbone.weights_source else ""
    return f"{backbone.name}, {network.layout} pictures{adapted}"

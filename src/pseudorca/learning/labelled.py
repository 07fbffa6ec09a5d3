"""The labelled clips of a project, prepared for a recipe. Every stage that learns reads them here.

In: a store and a recipe. Out: :class:`LabelledProject`: clips, recordings, the training set prepared
as the recipe says, and heads that are ready to train.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from pseudorca.embedding.augmentation.copies import view_set
from pseudorca.embedding.embedder import (
    AnyEmbedder,
    Embedder,
    JointEmbedder,
    load_embedder,
    load_embedders,
)
from pseudorca.embedding.known_embedders import known_embedders
from pseudorca.embedding.network_inputs import keep_inputs
from pseudorca.errors import HeadError, unknown_name
from pseudorca.learning.dataset import (
    Names,
    TrainingSet,
    labelled_clips,
)
from pseudorca.learning.heads.base import Head
from pseudorca.learning.heads.finetuned import FineTunedHead, Material
from pseudorca.learning.noise import background_vectors, noise_set, nothing_notices
from pseudorca.learning.preparation import prepared_set
from pseudorca.learning.pseudo_labels import unlabelled_clips
from pseudorca.learning.recipe import Recipe
from pseudorca.progress import Progress
from pseudorca.recordings.clips import project_clips
from pseudorca.recordings.folds import Folds, Split, group_values, joined
from pseudorca.recordings.manifest import labels_id, moments_id, project_recordings
from pseudorca.recordings.options import NOTHING
from pseudorca.store import EMBEDDER_FOLDER, Store
from pseudorca.values import hash_of

INPUTS_FOLDER = "inputs"
FINETUNING_FOLDER = "finetuning"
"""Folders inside a project: network inputs, and checkpoints of unfinished trainings."""


@dataclass(frozen=True)
class LabelledProject:
    """The clips, embeddings and head from which a recipe learns.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import save_embedder
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> from pseudorca.store import TABLES
    >>> names = [f"e{k}" for k in range(4)]
    >>> shared = {"recording_id": names, "moment_id": names, "encounter": names,
    ...           "label": ["A", "A", "B", "B"]}
    >>> clips = pd.DataFrame({"clip_id": names, **shared, "start_s": 0.0, "end_s": 3.0})
    >>> recordings = pd.DataFrame({**shared, "start_utc": pd.NaT, "metadata": "{}"})
    >>> embedder = Embedder(CommonFrontEnd(), load_backbone("logmel"), "cpu")
    >>> vectors = np.ones((4, embedder.backbone.embedding_size), np.float32)
    >>> vectors[2:] = 2.0
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder, create=True)
    ...     store.write("clips", clips.reindex(columns=list(TABLES["clips"])))
    ...     store.write("recordings", recordings.reindex(columns=list(TABLES["recordings"])))
    ...     save_embedder(embedder, store.folder / EMBEDDER_FOLDER)
    ...     store.append_vectors(embedder.embedder_id, names, vectors)
    ...     labelled = LabelledProject.read(store, Recipe(nothing="none"), device="cpu")
    >>> labelled.data.labels.tolist(), labelled.notices
    (['A', 'A', 'B', 'B'], [])
    """

    store: Store
    recipe: Recipe
    embedder: AnyEmbedder
    recordings: pd.DataFrame
    all_clips: pd.DataFrame
    """Labelled and unlabelled clips."""
    clips: pd.DataFrame
    """Labelled clips that have an embedding."""
    data: TrainingSet
    """Rows as in ``clips``."""
    head: Head
    """The recipe's head, with the network inputs of the project if the head trains the network."""
    notices: list[str]
    noise: pd.DataFrame
    """Clips in which no animal is heard; rows as in the noise of ``data``."""

    @classmethod
    def read(
        cls,
        store: Store,
        recipe: Recipe,
        *,
        device: str = "auto",
        check: Callable[[pd.DataFrame, pd.DataFrame], Any] = lambda clips, recordings: None,
        stage: Callable[[str], Any] = lambda text: None,
        progress: Progress | None = None,
    ) -> Self:
        """Read the labelled clips of a project and prepare them as the recipe says.

        Parameters
        ----------
        store : Store
        recipe : Recipe
        device : str, of the networks
        check : callable, takes the labelled clips and the recordings
            Raises an error before the slow part starts
        stage : callable, takes a sentence on the current step
        progress : callable (done, total) or None, over network inputs that have to be drawn

        Returns
        -------
        LabelledProject

        Raises
        ------
        HeadError
            If embeddings are missing, or the recipe does not go with the project's networks.
        """
        embedder = _embedder(store, recipe, device)
        recordings, all_clips = project_recordings(store), project_clips(store)
        clips, notices = labelled_clips(all_clips, recordings, store, embedder.embedder_id)
        check(clips, recordings)
        data, preparation_notices = prepared_set(
            clips, recordings, store, embedder, recipe.preparation, labelled=all_clips
        )
        head = recipe.head
        if isinstance(head, FineTunedHead):
            material = _material(store, embedder, clips, recordings, stage, progress)
            head = replace(head, material=material)
            data = replace(data, vectors=material.rows(), blocks=())
        notices += preparation_notices
        noise = clips.iloc[:0]
        if recipe.nothing != "none":
            if NOTHING in set(clips["label"]):
                raise HeadError(
                    f"a class is called {NOTHING}, and that is an answer of --nothing background: give "
                    "the folder another name, such as noise (scan ... --other noise)."
                )
            stage("Listening to the background of the labelled clips")
            nothing = background_vectors(clips, recordings, embedder, store, progress=progress)
            noise, heard = noise_set(all_clips, recordings, embedder, store, progress=progress)
            data = replace(data, nothing=nothing, noise=heard)
            notices += nothing_notices(data)
        return cls(
            store, recipe, embedder, recordings, all_clips, clips, data, head, notices, noise
        )

    @property
    def network(self) -> str:
        """The name of the network; of several, joined by ``+``."""
        return "+".join(member.backbone.name for member in self.embedder.members)

    def settings(self) -> dict[str, Any]:
        """Embedder and recipe as JSON values; equal for classifiers that are made in the same way."""
        recipe = self.recipe
        settings = {"embedder_id": self.embedder.embedder_id} | recipe.settings()
        if recipe.preparation.views or recipe.preparation.test_views:
            settings["views"] = asdict(view_set(self.store, self.embedder.embedder_id))
        return settings

    @property
    def recipe_id(self) -> str:
        """Equal for classifiers that are made in the same way, from clips cut in the same way."""
        cut = {name: self.store.setting(name) for name in ("clips", "selections")}
        return hash_of(self.settings() | cut)

    @property
    def data_id(self) -> str:
        """Equal for the same labelled clips, with the same labels, encounters and moments."""
        ids = self.clips[["clip_id", "label", "encounter"]].sort_values("clip_id")
        return hash_of([*ids.values.tolist(), *moments_id(self.store)])

    @property
    def known_by(self) -> dict[str, str]:
        """What tells whether a result is about these clips (``data``) and these labels (``labels``)."""
        return {"data": self.data_id, "labels": labels_id(self.store)}

    def grouped(
        self, folds: Folds, groups: Names | None = None, *, strangers: pd.DataFrame | None = None
    ) -> TrainingSet:
        """The training set for the folds of a split, with the noise that goes with its groups.

        Parameters
        ----------
        folds : Folds, of the labelled clips or of some of them
        groups : ndarray [shape=(n_clips,)] or None
            What an inner split keeps whole; None: the units of the folds
        strangers : DataFrame or None
            Labelled clips that must not be heard: noise that goes with them is left out

        Returns
        -------
        TrainingSet
            Noise of a moment, an encounter or a value of the split's column that clips have, too,
            goes with the groups of these clips, and is held out with any of them.
        """
        rows = pd.Index(self.clips["clip_id"]).get_indexer(folds.clip_ids)
        groups = folds.units if groups is None else groups
        data = replace(self.data.take(rows), groups=groups)
        if data.noise is None:
            return data
        kept = self.clips.iloc[rows]
        others = kept.iloc[:0] if strangers is None else strangers
        both = pd.concat([kept, others, self.noise])
        moment_of = dict(
            zip(self.recordings["recording_id"], self.recordings["moment_id"], strict=True)
        )
        values = group_values(both, self.recordings, folds.split.group_by).to_numpy(dtype=object)
        encounters = both["encounter"].to_numpy(dtype=object)
        shared = [both["recording_id"].map(moment_of).to_numpy(dtype=object), values]
        if not folds.split.is_optimistic:
            shared.append(encounters)
        n_clips, first = len(kept), len(kept) + len(others)
        ties: list[set[str]] = [set() for _ in range(len(self.noise))]
        is_strange = np.zeros(len(self.noise), dtype=bool)
        for names in shared:
            groups_of: dict[Any, set[str]] = {}
            for name, group in zip(names[:n_clips], groups, strict=True):
                groups_of.setdefault(name, set()).add(group)
            for tied, name in zip(ties, names[first:], strict=True):
                tied |= groups_of.get(name, set())
            is_strange |= np.isin(names[first:], names[n_clips:first])
        own = joined(values[first:], encounters[first:])
        noise = replace(data.noise, groups=own)
        data = replace(data, noise=noise, noise_with=tuple(map(frozenset, ties)))
        return data.without_noise_of(own[is_strange]) if is_strange.any() else data

    def trainer(self, split: Split) -> Head:
        """The recipe's head, ready for the training sides of a split."""
        unlabelled = None
        if self.recipe.pseudo_labels:
            unlabelled = unlabelled_clips(
                self.clips, self.all_clips, self.recordings, self.store,
                self.embedder.embedder_id, split,
            )  # fmt: skip
        storage = self.store.folder / "tuning.journal"
        return self.recipe.trainer(head=self.head, unlabelled=unlabelled, storage=storage)

    def forget_trainings(self) -> None:
        """Remove the checkpoints of unfinished trainings."""
        if isinstance(self.head, FineTunedHead):
            self.head.forget_trainings()


def _embedder(store: Store, recipe: Recipe, device: str) -> AnyEmbedder:
    """The embedders that the recipe names, or those of the last ``embed``."""
    if not recipe.embedders:
        return load_embedders(store.folder / EMBEDDER_FOLDER, device=device)
    known = {embedder.name: embedder for embedder in known_embedders(store)}
    for name in recipe.embedders:
        if name not in known:
            raise HeadError(unknown_name("embedder of this project", name, known))
    members = [load_embedder(known[name].folder, device=device) for name in recipe.embedders]
    return members[0] if len(members) == 1 else JointEmbedder(tuple(members))


def _material(
    store: Store,
    embedder: AnyEmbedder,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    stage: Callable[[str], Any],
    progress: Progress | None,
) -> Material:
    """The network and the network inputs, for a head that trains the network."""
    if not isinstance(embedder, Embedder):
        raise HeadError(
            f"the embedder joins {len(embedder.members)} networks, and fine-tuning takes one. "
            "Run pseudorca embed with one network."
        )
    folder = store.folder / INPUTS_FOLDER
    inputs = keep_inputs(clips, recordings, embedder, folder, tell=stage, progress=progress)
    encounters = clips["encounter"].to_numpy(dtype=object)
    return Material(
        embedder, inputs, tuple(clips["clip_id"]), encounters, store.folder / FINETUNING_FOLDER
    )

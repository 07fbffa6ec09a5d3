"""The labelled clips of a project, prepared for a recipe. Every stage that learns reads them here.

In: a store and a recipe. Out: :class:`LabelledProject`: clips, recordings, the training set prepared
as the recipe says, and heads that are ready to train.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from pseudorca.embedding.augmentation.alterations import background_front_end
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
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import HeadError, unknown_name
from pseudorca.learning.dataset import NOTHING, TrainingSet, Vectors, labelled_clips
from pseudorca.learning.heads.base import Head
from pseudorca.learning.heads.finetuned import FineTunedHead, Material
from pseudorca.learning.preparation import prepared_set
from pseudorca.learning.pseudo_labels import unlabelled_clips
from pseudorca.learning.recipe import Recipe
from pseudorca.progress import Progress
from pseudorca.recordings.clips import project_clips, sample_clips
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import labels_id, moments_id, project_recordings
from pseudorca.store import EMBEDDER_FOLDER, Store
from pseudorca.values import hash_of

BACKGROUNDS_PER_ENCOUNTER = 10
"""Clips of an encounter whose background is heard for the class of nothing."""

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
    ...     labelled = LabelledProject.read(store, Recipe(), device="cpu")
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
        if recipe.nothing != "none":
            if NOTHING in set(clips["label"]):
                raise HeadError(
                    f"a class is called {NOTHING}, and that is an answer of --nothing background: give "
                    "the folder another name, such as noise (scan ... --other noise)."
                )
            stage("Listening to the background of the labelled clips")
            nothing = background_vectors(clips, recordings, embedder, store, progress=progress)
            data = replace(data, nothing=nothing)
            notices += _nothing_notices(data)
        return cls(store, recipe, embedder, recordings, all_clips, clips, data, head, notices)

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


def background_vectors(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    *,
    progress: Progress | None = None,
) -> Vectors:
    """Embed the background alone of some clips of each encounter, spread evenly over it.

    Embeddings are kept, and computed once.

    Parameters
    ----------
    clips, recordings : DataFrame, labelled clips, and the table ``recordings``
    embedder : Embedder or JointEmbedder
    store : Store
    progress : callable (done, total) or None, over clips

    Returns
    -------
    ndarray [shape=(n_clips, n_dimensions)], NaN for clips that were not asked for, or that have no
    frames without signal
    """
    hearing = embedder.hearing(background_front_end)
    asked = sample_clips(clips, recordings, BACKGROUNDS_PER_ENCOUNTER)
    heard = embed_by_each(asked, recordings, hearing, store, progress=progress)
    ids = asked.loc[asked["clip_id"].isin(heard.embedded), "clip_id"].tolist()
    vectors = np.full((len(clips), sum(store.widths(embedder.embedder_id))), np.nan, np.float32)
    if ids:
        rows = pd.Index(clips["clip_id"]).get_indexer(ids)
        vectors[rows] = store.vectors(hearing.embedder_id, ids)
    return vectors


def _nothing_notices(data: TrainingSet) -> list[str]:
    """Classes with backgrounds of fewer than two encounters."""
    groups = data.backgrounds().groups
    few = [
        label
        for label in sorted(set(data.labels))
        if len(set(groups) & set(data.groups[data.labels == label])) < 2
    ]
    if not few:
        return []
    return [
        f"{', '.join(few)}: hardly any sound without signal in the clips of this class, so that what "
        "nothing sounds like comes from other places."
    ]


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

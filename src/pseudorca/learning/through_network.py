"""What a verb does beside the others' work where a head trains through the network."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.joint import AnyEmbedder
from pseudorca.embedding.network_inputs import keep_inputs
from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head, fit_head
from pseudorca.learning.heads.finetuned import FineTuned, FineTunedHead, Material
from pseudorca.learning.novelty import Novelty, fit_novelty
from pseudorca.learning.preparation import PLAIN, Preparation
from pseudorca.progress import Progress
from pseudorca.recordings.folds import Folds
from pseudorca.store import Store

INPUTS_FOLDER = "inputs"
FINETUNING_FOLDER = "finetuning"
"""Folders inside a project: network inputs, and what killed trainings need to go on."""

_QUANTILE = 0.95  # of new encounters that are not unlike the others


def through_network(
    store: Store,
    head: Head,
    data: TrainingSet,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    preparation: Preparation = PLAIN,
    *,
    stage: Callable[[str], Any] = lambda text: None,
    progress: Progress | None = None,
) -> tuple[Head, TrainingSet]:
    """Give a head that fine-tunes the network and what it takes of the clips; others pass as are.

    Parameters
    ----------
    store : Store
    head : Head
    data : TrainingSet, rows as in ``clips``
    clips, recordings : DataFrame, the tables of these names; labelled clips only
    embedder : Embedder
    preparation : Preparation, what was made of the embeddings
    stage : callable, takes a sentence on what is done now
    progress : callable (done, total) or None, over the clips to draw

    Returns
    -------
    Head, TrainingSet

    Raises
    ------
    HeadError
        If several networks stand side by side, or something is made of embeddings first.
    """
    if not isinstance(head, FineTunedHead):
        return head, data
    if not isinstance(embedder, Embedder):
        raise HeadError(
            f"{len(embedder.members)} networks stand side by side, and one is fine-tuned at a time. "
            "Run pseudorca embed with one of them."
        )
    if preparation != PLAIN:
        raise HeadError(
            "--head finetuned learns from pictures or sound, and --prepare is of embeddings. Leave "
            "one of them out; what fine-tuning changes in clips is said by --head-set (background, "
            "time_masks, mix_up, ...)."
        )
    folder = store.folder / INPUTS_FOLDER
    inputs = keep_inputs(clips, recordings, embedder, folder, tell=stage, progress=progress)
    encounters = clips["encounter"].to_numpy(dtype=object)
    ids = tuple(clips["clip_id"])
    material = Material(embedder, inputs, ids, encounters, store.folder / FINETUNING_FOLDER)
    rows = material.rows()
    return replace(head, material=material), replace(data, vectors=rows, blocks=())


def refuse_fine_tuning(head: Head) -> None:
    """Raise HeadError if a head trains the network, where hundreds of trainings would be needed."""
    if isinstance(head, FineTunedHead):
        raise HeadError(
            "--head finetuned works with pseudorca train and evaluate; here a training through the "
            "network would be done hundreds of times. Use another head."
        )


def widened(
    novelty: Novelty,
    head: Head,
    data: TrainingSet,
    folds: Folds,
    units: Mapping[str, NDArray[np.object_]],
) -> Novelty:
    """Novelty whose usual distance is that of encounters which the network was not tuned on.

    A tuned network draws the clips it learned from together, so that every new encounter would seem
    unlike them. How much farther new ones lie is measured on each fold's test side, by the network
    that was tuned without it.

    Parameters
    ----------
    novelty : Novelty, of the final network on all clips
    head : Head
    data : TrainingSet, as it was cross-validated on ``folds``; those trainings are not done again
    folds : Folds
    units : dict from kind of unit to the unit of each clip [shape=(n_clips,)]

    Returns
    -------
    Novelty
    """
    ratios: dict[str, list[float]] = {kind: [] for kind in units}
    for _, _, train, test in folds:
        trained = fit_head(head, data.take(train))
        assert isinstance(trained, FineTuned)
        inside = {kind: names[train] for kind, names in units.items()}
        found = fit_novelty(trained.vectors(data.vectors[train]), data.groups[train], inside)
        far = pd.Series(found.distances(trained.vectors(data.vectors[test])))
        for kind, names in units.items():
            ratios[kind] += (far.groupby(names[test]).mean() / found.usual[kind]).tolist()
    usual = {
        kind: far * float(np.quantile(ratios[kind], _QUANTILE, method="higher"))
        for kind, far in novelty.usual.items()
    }
    return replace(novelty, usual=usual)


def forget_trainings(head: Head) -> None:
    """Remove what a killed run would have needed: the verb that asked for these trainings is done.

    Those that another verb was killed in stay.
    """
    if not isinstance(head, FineTunedHead) or head.material is None:
        return
    for name in head.material.used:
        shutil.rmtree(head.material.folder / name, ignore_errors=True)
    if head.material.folder.exists() and not any(head.material.folder.iterdir()):
        head.material.folder.rmdir()

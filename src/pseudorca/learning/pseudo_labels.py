"""Pseudo-labels: a head that learns, besides, from unlabelled sounds that it is sure of.

In: a head, the labelled training side, and the unlabelled clips of the project. The head is trained on
what is labelled; unlabelled moments that it names with enough probability join the training under
that name, and it is trained once more (or several times). Out: a trained head like any other.

What is judged is labelled: unlabelled clips are never tested on. And nothing of the test side comes
in by this door: an unlabelled clip is left out if it shares its encounter, its moment or the group
that the split holds out with a labelled clip that is not on the training side.

References
----------
.. [1] Lee 2013, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural
   networks", ICML workshop on challenges in representation learning.
.. [2] Scudder 1965, "Probability of error of some adaptive pattern-recognition machines", IEEE Trans.
   Inf. Theory 11: the same long before: a machine's own confident errors are learned, too.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray

from pseudorca.errors import FoldError, HeadError
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.learning.heads.base import TrainedHead, WrappingHead, fit_head
from pseudorca.recordings.folds import Split, group_values
from pseudorca.store import Store


@dataclass(frozen=True)
class Unlabelled:
    """Unlabelled clips with their embeddings, and what of them goes with which labelled clip.

    ``vectors`` [shape=(n_clips, n_dimensions)]; ``moments`` [shape=(n_clips,)]: of their recordings;
    ``kin`` [shape=(n_clips, n_kinds)]: the encounter, the moment and the group of each, none of which
    may be on a test side. ``labelled_moments``, ``labelled_kin``: the same of all labelled clips.
    """

    vectors: Vectors
    moments: NDArray[np.object_]
    kin: NDArray[np.object_]
    labelled_moments: NDArray[np.object_]
    labelled_kin: NDArray[np.object_]

    def allowed(self, data: TrainingSet) -> NDArray[np.int64]:
        """Rows that have nothing in common with labelled clips outside a training side."""
        trained_on = set(data.recordings)
        outside = [moment not in trained_on for moment in self.labelled_moments]
        banned = [set(kind) for kind in self.labelled_kin[outside].T]
        kept = [not any(map(set.__contains__, banned, mine)) for mine in self.kin]
        return np.flatnonzero(kept)


@dataclass(frozen=True)
class PseudoLabels:
    """Which unlabelled moments join the training, and what they weigh."""

    min_probability: float = 0.9
    """A moment joins the training if the head gives one class so much; as it comes from the head, by
    the mean log-probability of the moment's clips, not calibrated."""
    n_rounds: int = 1
    """Times that the unlabelled moments are named anew and the head is trained anew."""
    weight: float = 1.0
    """What a moment that joined weighs, if a labelled one weighs 1: 1, 1/2, 1/3 and so on; what lies
    between goes to the nearest of these."""

    def __post_init__(self) -> None:
        if not 0 < self.min_probability < 1:
            raise HeadError(
                f"--pseudo-labels {self.min_probability:g}: expected a probability of more than 0 "
                "and less than 1, such as 0.9."
            )
        if self.n_rounds < 1 or not 0 < self.weight <= 1:
            raise HeadError(
                f"--pseudo-rounds {self.n_rounds}, --pseudo-weight {self.weight:g}: expected "
                "one round or more, and a weight of more than 0 and at most 1."
            )

    @property
    def n_as_one(self) -> int:
        """Moments that weigh as much as one labelled moment."""
        return max(1, round(1 / self.weight))

    def settings(self) -> dict[str, Any]:
        return {
            "min_probability": self.min_probability,
            "n_rounds": self.n_rounds,
            "weight": 1 / self.n_as_one,
        }


@dataclass(frozen=True)
class PseudoLabelHead(WrappingHead):
    """A head that learns, besides, from unlabelled moments that it is sure of."""

    name: ClassVar[str] = "pseudo-labels"

    pseudo_labels: PseudoLabels = PseudoLabels()
    unlabelled: Unlabelled | None = None

    def __post_init__(self) -> None:
        if self.head.plain.chooses_epoch:
            raise HeadError(
                f"the {self.head.plain.name} head chooses its epoch on clips kept aside, which "
                "pseudo-labels must not be: use another head with --pseudo-labels."
            )
        if self.balance == "none":
            raise HeadError(
                "without balance the head learns how frequent classes are, which moments that join "
                "would change: use --balance weights with --pseudo-labels."
            )

    def settings(self) -> dict[str, Any]:
        return self.head.settings() | {"pseudo_labels": self.pseudo_labels.settings()}

    def describe(self) -> str:
        least = self.pseudo_labels.min_probability
        return f"{self.head.describe()}, with pseudo-labels from a probability of {least:g}"

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train, name the unlabelled, train again; settings are those chosen on what is labelled.

        ``details["pseudo_labels"]`` counts the moments that might join, and those that did, by class.

        Raises
        ------
        HeadError
            If there are fewer than two classes, or no unlabelled clips were given.
        """
        if self.unlabelled is None:
            raise HeadError("pseudo-labels need the unlabelled clips of a project.")
        trained = fit_head(self.head, data)
        details = trained.details
        head = self.head.settled(details)
        rows = self.unlabelled.allowed(data)
        about: dict[str, Any] = {"n_moments": len(set(self.unlabelled.moments[rows])), "joined": {}}
        for _ in range(self.pseudo_labels.n_rounds):
            sure = self._sure(trained, rows) if len(rows) else {}
            about["joined"] = dict(sorted(Counter(sure.values()).items()))
            if not sure:
                break
            trained = fit_head(head, self._joined(data, sure, rows))
        return replace(trained, details=details | {"pseudo_labels": about})

    def _sure(self, trained: TrainedHead, rows: NDArray[np.int64]) -> dict[object, str]:
        """The moments that are named with enough probability, and their names."""
        assert self.unlabelled is not None
        scores = trained.log_probabilities(self.unlabelled.vectors[rows])
        means = pd.DataFrame(scores).groupby(self.unlabelled.moments[rows], sort=True).mean()
        named = scipy.special.log_softmax(means.to_numpy(), axis=1)
        best, highest = named.argmax(axis=1), named.max(axis=1)
        return {
            moment: trained.classes[best[k]]
            for k, moment in enumerate(means.index)
            if highest[k] >= np.log(self.pseudo_labels.min_probability)
        }

    def _joined(
        self, data: TrainingSet, sure: dict[object, str], rows: NDArray[np.int64]
    ) -> TrainingSet:
        """The training side with the moments that joined.

        Every recording weighs once in training. So several moments of one encounter and name are
        made one recording, where they shall weigh less.
        """
        assert self.unlabelled is not None
        moments = self.unlabelled.moments[rows]
        is_sure = np.array([moment in sure for moment in moments])
        rows, moments = rows[is_sure], moments[is_sure]
        labels = np.array([sure[moment] for moment in moments], dtype=object)
        encounters = self.unlabelled.kin[rows, 0]
        place: dict[tuple[object, object], dict[object, int]] = {}
        recordings = []
        for encounter, label, moment in zip(encounters, labels, moments, strict=True):
            of_kind = place.setdefault((encounter, label), {})
            number = of_kind.setdefault(moment, len(of_kind)) // self.pseudo_labels.n_as_one
            recordings.append(f"named {label} {encounter} {number}")
        groups = [f"named {encounter}" for encounter in encounters]
        return TrainingSet(
            np.concatenate([data.vectors, self.unlabelled.vectors[rows]]),
            np.concatenate([data.labels, labels]),
            np.concatenate([data.groups, np.array(groups, dtype=object)]),
            np.concatenate([data.recordings, np.array(recordings, dtype=object)]),
            data.blocks,
        )


def unlabelled_clips(
    labelled: pd.DataFrame,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    store: Store,
    embedder_id: str,
    split: Split,
) -> Unlabelled:
    """The unlabelled clips of a project, and what they have in common with the labelled ones.

    Parameters
    ----------
    labelled : DataFrame, rows of ``clips`` as from ``labelled_clips``
    clips, recordings : DataFrame, the tables of these names
    store : Store
    embedder_id : str
    split : Split, whose groups stay whole

    Raises
    ------
    HeadError
        If there are no unlabelled clips with an embedding.
    """
    others = clips[clips["label"].isna()]
    there = others["clip_id"].isin(store.embedded(embedder_id, others["clip_id"].tolist()))
    others = others[there].reset_index(drop=True)
    if others.empty:
        raise HeadError(
            "the project has no unlabelled clips to learn from: put recordings into a folder called "
            "Unknown, scan and embed again, or leave out --pseudo-labels."
        )
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))

    def kin(some: pd.DataFrame) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        moments = np.array([moment_of[one] for one in some["recording_id"]], dtype=object)
        columns = [some["encounter"].to_numpy(dtype=object), moments]
        try:
            columns.append(group_values(some, recordings, split.group_by).to_numpy(dtype=object))
        except FoldError:  # a column that only labelled recordings have
            columns.append(columns[0])
        return moments, np.stack(columns, axis=1)

    moments, mine = kin(others)
    labelled_moments, theirs = kin(labelled)
    vectors = store.vectors(embedder_id, others["clip_id"].tolist())
    return Unlabelled(vectors, moments, mine, labelled_moments, theirs)

"""Ensembles: embeddings side by side, and the mean of the scores of several heads.

In: training sets of the same clips by several embedders. Out: one training set whose vectors hold all
embeddings, from which any head learns. :class:`MeanHead` trains a head per embedding and averages
the log-probabilities. Both are trained, evaluated and saved like the head of a single embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import scipy.special

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import Floats, TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Arrays,
    Balance,
    Head,
    TrainedHead,
    arrays_with_kind,
    check_width,
    classes_of,
    fit_head,
    head_of_arrays,
    part,
    under,
)


def side_by_side(sets: Sequence[TrainingSet]) -> TrainingSet:
    """Put the embeddings of the same clips beside each other.

    Parameters
    ----------
    sets : sequence of TrainingSet, of the same clips in the same order

    Returns
    -------
    TrainingSet
        ``blocks`` holds the width of each embedding, so that each is standardised by itself, on the
        training side, and a longer embedding does not count for more.

    Raises
    ------
    HeadError
        If the sets are not of the same clips.

    Examples
    --------
    >>> labels = np.array(["a", "b"], dtype=object)
    >>> first = TrainingSet(np.zeros((2, 3), np.float32), labels, labels, labels)
    >>> second = TrainingSet(np.ones((2, 2), np.float32), labels, labels, labels)
    >>> joined = side_by_side([first, second])
    >>> joined.vectors.shape, joined.blocks
    ((2, 5), (3, 2))
    """
    first = sets[0]
    if any(not np.array_equal(data.labels, first.labels) for data in sets):
        raise HeadError("embeddings side by side must be of the same clips, row for row.")
    return TrainingSet(
        np.hstack([data.vectors for data in sets]),
        first.labels,
        first.groups,
        first.recordings,
        tuple(data.vectors.shape[1] for data in sets),
    )


def blocks_of(data: TrainingSet) -> list[TrainingSet]:
    """Split a training set into the embeddings that :func:`side_by_side` joined.

    Parameters
    ----------
    data : TrainingSet

    Returns
    -------
    list of TrainingSet, one per embedding

    Examples
    --------
    >>> labels = np.array(["a", "b"], dtype=object)
    >>> first = TrainingSet(np.zeros((2, 3), np.float32), labels, labels, labels)
    >>> second = TrainingSet(np.ones((2, 2), np.float32), labels, labels, labels)
    >>> joined = side_by_side([first, second])
    >>> [block.vectors.shape[1] for block in blocks_of(joined)]
    [3, 2]
    """
    edges = np.cumsum([0, *(data.blocks or (data.vectors.shape[1],))])
    return [
        replace(
            data,
            vectors=data.vectors[:, start:end],
            blocks=(),
            views=data.views and replace(data.views, vectors=data.views.vectors[..., start:end]),
            heard_again=None if data.heard_again is None else data.heard_again[..., start:end],
        )
        for start, end in pairwise(edges)
    ]


@dataclass
class TrainedMean(TrainedHead):
    """Heads on embeddings that stand side by side: the normalised mean of their log-probabilities.

    Examples
    --------
    >>> from pseudorca.learning.heads.base import LinearHead
    >>> head = LinearHead(["A", "B"], np.zeros(1), np.ones(1), np.array([[0.0], [2.0]]), np.zeros(2))
    >>> mean = TrainedMean(["A", "B"], [head, head], (1, 1))
    >>> mean.log_probabilities(np.array([[1.0, 1.0]], dtype=np.float32)).argmax()
    np.int64(1)
    """

    kind: ClassVar[str] = "mean"

    members: list[TrainedHead]
    blocks: tuple[int, ...]

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings; see :meth:`TrainedHead.log_probabilities`."""
        check_width(vectors, sum(self.blocks))
        parts = np.split(vectors, np.cumsum(self.blocks)[:-1], axis=1)
        scores = [
            member.log_probabilities(of_member)
            for member, of_member in zip(self.members, parts, strict=True)
        ]
        return np.asarray(scipy.special.log_softmax(np.mean(scores, axis=0), axis=1))

    def arrays(self) -> Arrays:
        """The arrays of all members; those of member 0 are called ``0.head.`` and their name."""
        arrays: Arrays = {"blocks": np.array(self.blocks)}
        for k, member in enumerate(self.members):
            arrays |= under(f"{k}", arrays_with_kind(member))
        return arrays

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild a head from the arrays of :meth:`arrays`."""
        blocks = tuple(int(n) for n in arrays["blocks"])
        members = []
        for k in range(len(blocks)):
            members.append(head_of_arrays(classes, part(f"{k}", arrays)))
        return cls(classes, members, blocks)


@dataclass(frozen=True)
class MeanHead(Head):
    """A head per embedding of a joint embedder; the scores are averaged.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> MeanHead((LogisticHead(c=1.0),)).describe()
    'mean of the scores of a head per network (logistic regression (C = 1, classes weighted equally))'
    """

    name: ClassVar[str] = "mean"

    heads: tuple[Head, ...]
    """One head for all embeddings, or one per embedding."""

    @property
    def balance(self) -> Balance:
        """The balance of the heads."""
        return self.heads[0].balance

    @property
    def plain(self) -> Head:
        """The innermost head of the first embedding."""
        return self.heads[0].plain

    def settings(self) -> dict[str, Any]:
        """The settings of every head, as JSON values."""
        members = [head.settings() for head in self.heads]
        return {"head": self.name, "balance": self.balance, "members": members}

    def describe(self) -> str:
        """How the heads are trained, in words."""
        members = dict.fromkeys(head.describe() for head in self.heads)
        return f"mean of the scores of a head per network ({', '.join(members)})"

    def settled(self, details: Mapping[str, Any]) -> Head:
        """A settled head per embedding."""
        members = details["members"]
        pairs = zip(self._heads(len(members)), members, strict=True)
        return replace(self, heads=tuple(head.settled(chosen) for head, chosen in pairs))

    def _heads(self, n: int) -> tuple[Head, ...]:
        return self.heads if len(self.heads) > 1 else self.heads * n

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedMean:
        """Train every member. HeadError if there are fewer than two classes."""
        parts = blocks_of(data)
        aside = [None] * len(parts) if validation is None else blocks_of(validation)
        members = [
            fit_head(head, block, validation=block_aside)
            for head, block, block_aside in zip(self._heads(len(parts)), parts, aside, strict=True)
        ]
        widths = tuple(block.vectors.shape[1] for block in parts)
        details = {"members": [member.details for member in members]}
        return TrainedMean(classes_of(data.labels), members, widths, details=details)

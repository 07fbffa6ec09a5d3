"""Ensembles: embeddings side by side, and the mean of what several heads say.

In: training sets of the same clips by several embedders. Out: one training set whose vectors hold
all of them, from which any head learns; :class:`MeanHead` trains a head on each by itself and averages
their log-probabilities. Either is trained, judged and saved as a single embedding's head is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import scipy.special
from numpy.typing import NDArray

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Arrays,
    Balance,
    Head,
    PlainHead,
    TrainedHead,
    check_width,
    classes_of,
    fit_head,
    load_trained,
    part,
    under,
)


def side_by_side(sets: Sequence[TrainingSet]) -> TrainingSet:
    """Put the embeddings of the same clips beside each other.

    Parameters
    ----------
    sets : sequence of TrainingSet, rows alike

    Returns
    -------
    TrainingSet
        Its ``blocks`` tell heads where one embedding ends, so that each is standardised by itself, on
        the training side, and none counts for more because it is longer.

    Raises
    ------
    HeadError
        If they are not of the same clips.
    """
    first = sets[0]
    if any(not np.array_equal(one.labels, first.labels) for one in sets):
        raise HeadError("embeddings side by side must be of the same clips, row for row.")
    return TrainingSet(
        np.hstack([one.vectors for one in sets]),
        first.labels,
        first.groups,
        first.recordings,
        tuple(one.vectors.shape[1] for one in sets),
    )


def blocks_of(data: TrainingSet) -> list[TrainingSet]:
    """The training sets that :func:`side_by_side` put together."""
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
    """Heads on embeddings that stand side by side: the normalised mean of their log-probabilities."""

    kind: ClassVar[str] = "mean"

    members: list[TrainedHead]
    blocks: tuple[int, ...]

    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        check_width(vectors, sum(self.blocks))
        edges = np.cumsum([0, *self.blocks])
        said = [
            member.log_probabilities(vectors[:, start:end])
            for member, (start, end) in zip(self.members, pairwise(edges), strict=True)
        ]
        return np.asarray(scipy.special.log_softmax(np.mean(said, axis=0), axis=1))

    def arrays(self) -> Arrays:
        found: Arrays = {"blocks": np.array(self.blocks)}
        for k, member in enumerate(self.members):
            kind = np.frombuffer(member.kind.encode(), dtype=np.uint8)
            found |= under(f"{k}", {"kind": kind.copy()} | under("head", member.arrays()))
        return found

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        blocks = tuple(int(n) for n in arrays["blocks"])
        members = []
        for k in range(len(blocks)):
            mine = part(f"{k}", arrays)
            kind = mine["kind"].tobytes().decode()
            members.append(load_trained(kind, classes, part("head", mine), {}))
        return cls(classes, members, blocks)


@dataclass(frozen=True)
class MeanHead(PlainHead):
    """A head of its own on each embedding that stands side by side; the mean of what they say."""

    name: ClassVar[str] = "mean"

    heads: tuple[Head, ...]
    """One for all embeddings, or one each."""

    @property
    def balance(self) -> Balance:
        return self.heads[0].balance

    @property
    def plain(self) -> Head:
        return self.heads[0].plain

    def settings(self) -> dict[str, Any]:
        members = [head.settings() for head in self.heads]
        return {"head": self.name, "balance": self.balance, "members": members}

    def describe(self) -> str:
        members = dict.fromkeys(head.describe() for head in self.heads)
        return f"mean of the scores of a head per network ({', '.join(members)})"

    def settled(self, details: Mapping[str, Any]) -> Head:
        members = details["members"]
        heads = self.heads if len(self.heads) > 1 else self.heads * len(members)
        settled = (head.settled(one) for head, one in zip(heads, members, strict=True))
        return replace(self, heads=tuple(settled))

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedMean:
        """Train every member. HeadError if there are fewer than two classes."""
        parts = blocks_of(data)
        heads = self.heads if len(self.heads) > 1 else self.heads * len(parts)
        if validation is None:
            members = [fit_head(head, one) for head, one in zip(heads, parts, strict=True)]
        else:
            aside = blocks_of(validation)
            members = [
                head.fit(one, validation=other)
                for head, one, other in zip(heads, parts, aside, strict=True)
            ]
        widths = tuple(one.vectors.shape[1] for one in parts)
        details = {"members": [member.details for member in members]}
        return TrainedMean(classes_of(data.labels), members, widths, details=details)

"""Trained heads: log-probabilities from embeddings, kept as arrays, so that loading runs no code.

And what all ways of training one share: weights of clips, standardisation, checks.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol, Self, cast

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pseudorca.errors import FoldError, HeadError, unknown_name
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.recordings.folds import assign_folds
from pseudorca.values import plain

Balance = Literal["none", "sampler", "weights"]
Space = Mapping[str, Sequence[float]]
"""Values to try, by setting."""
Arrays = dict[str, NDArray[Any]]

_MANY = 100  # numbers; classic features and facts of files are fewer, and not of one kind
_LEAST = 0.5  # of the median deviation
_STILL = 1e-8
_LINEAR = ("mean", "scale", "weights", "bias")
_KINDS: dict[str, type["TrainedHead"]] = {}


@dataclass
class TrainedHead(ABC):
    """What training gives. ``kind`` names how its arrays are to be read."""

    kind: ClassVar[str]

    classes: list[str]
    details: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """What training chose or saw: C, the best epoch, the history of losses."""

    def __init_subclass__(cls) -> None:
        _KINDS[cls.kind] = cls

    @abstractmethod
    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Score embeddings [shape=(n, n_dimensions)].

        Returns
        -------
        ndarray [shape=(n, n_classes)], natural logarithms; each row's exponentials sum to 1

        Raises
        ------
        HeadError
            If the embeddings have another width.
        """

    def parted(self, vectors: Vectors) -> "tuple[Any, TrainedHead, Vectors]":
        """The network that training changed, or None, the head alone, and its embeddings.

        Parameters
        ----------
        vectors : ndarray [shape=(n_clips, n)], what the head scores

        Returns
        -------
        embedder : Embedder or None
        head : TrainedHead, on the embeddings of that network
        vectors : ndarray [shape=(n_clips, n_dimensions)], these embeddings
        """
        return None, self, vectors

    @abstractmethod
    def arrays(self) -> Arrays:
        """Everything that :meth:`log_probabilities` needs beside the classes."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild what :meth:`arrays` gave."""


def load_trained(
    kind: str, classes: list[str], arrays: Arrays, details: dict[str, Any]
) -> TrainedHead:
    """Rebuild a trained head of a kind. HeadError if this version knows no such kind."""
    if kind not in _KINDS:
        raise HeadError(unknown_name("kind of trained head", kind, _KINDS))
    head = _KINDS[kind].from_arrays(classes, arrays)
    head.details = details
    return head


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Arrays named ``prefix.name``, to keep those of a part with those of the whole."""
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays that :func:`under` named."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): values
        for name, values in arrays.items()
        if name.startswith(start)
    }


@dataclass
class LinearHead(TrainedHead):
    """``log softmax(W (x - mean) / scale + b)``."""

    kind: ClassVar[str] = "linear"

    mean: NDArray[np.float64]
    """[shape=(n_dimensions,)]"""
    scale: NDArray[np.float64]
    """[shape=(n_dimensions,)]"""
    weights: NDArray[np.float64]
    """[shape=(n_classes, n_dimensions)]"""
    bias: NDArray[np.float64]
    """[shape=(n_classes,)]"""

    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        check_width(vectors, len(self.mean))
        logits = ((vectors - self.mean) / self.scale) @ self.weights.T + self.bias
        return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))

    def arrays(self) -> Arrays:
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _LINEAR}

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        return cls(classes, *(arrays[name] for name in _LINEAR))


class Head(Protocol):
    """A way to train a head, with its settings.

    A new head is a frozen dataclass that inherits :class:`PlainHead` and has a ``fit``; it overrides
    an attribute below only where its answer differs from the usual one.
    """

    name: ClassVar[str]

    @property
    def balance(self) -> Balance:
        """How classes of different size weigh."""

    @property
    def plain(self) -> "Head":
        """The head itself, without what is wrapped around it (tuning, copies, pseudo-labels)."""

    @property
    def space(self) -> Space:
        """Values of its settings that tuning tries; empty where nothing can be tuned."""

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside in training to choose an epoch."""

    @property
    def chooses_settings(self) -> bool:
        """Whether training chooses settings in inner folds."""

    @property
    def counts_clips(self) -> bool:
        """Whether every clip weighs once in training. The usual: every recording weighs once."""

    @property
    def trains_network(self) -> bool:
        """Whether training goes through the network, and takes more than embeddings."""

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on ``data``; ``validation`` chooses an epoch where the head has any."""

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the training, as JSON values."""

    def describe(self) -> str:
        """How the head is trained, in words."""

    def settled(self, details: Mapping[str, Any]) -> "Head":
        """The head with the settings that a training chose, as its ``details`` tell."""

    def penalised_as(self, n_clips: int, n_rows: int) -> "Head":
        """The head whose penalty weighs against ``n_rows`` rows as it did against ``n_clips``."""


@dataclass(frozen=True)
class PlainHead:
    """A head that is all of its fields, with the usual answers of a :class:`Head`."""

    name: ClassVar[str]
    title: ClassVar[str] = ""
    """The name as it stands in a sentence."""
    space: ClassVar[Space] = {}
    counts_clips: ClassVar[bool] = False
    trains_network: ClassVar[bool] = False

    @property
    def plain(self) -> Head:
        return cast(Head, self)

    @property
    def chooses_epoch(self) -> bool:
        return False

    @property
    def chooses_settings(self) -> bool:
        return False

    def settings(self) -> dict[str, Any]:
        return {"head": self.name} | asdict(self)

    def describe(self) -> str:
        shown = {
            key: value
            for key, value in self.settings().items()
            if key not in ("head", "balance", "seed") and value is not None
        }
        return f"{self.title or self.name} ({', '.join([*in_words(shown), balance_of(self)])})"

    def settled(self, details: Mapping[str, Any]) -> Head:
        return self.plain

    def penalised_as(self, n_clips: int, n_rows: int) -> Head:
        return self.plain


@dataclass(frozen=True)
class WrappingHead:
    """A head that does something around the training of another."""

    name: ClassVar[str]
    space: ClassVar[Space] = {}

    head: Head

    @property
    def balance(self) -> Balance:
        return self.head.balance

    @property
    def plain(self) -> Head:
        return self.head.plain

    @property
    def chooses_epoch(self) -> bool:
        return False

    @property
    def chooses_settings(self) -> bool:
        return self.head.chooses_settings

    @property
    def counts_clips(self) -> bool:
        return self.head.counts_clips

    @property
    def trains_network(self) -> bool:
        return self.head.trains_network

    def settings(self) -> dict[str, Any]:
        return self.head.settings()

    def describe(self) -> str:
        return self.head.describe()

    def settled(self, details: Mapping[str, Any]) -> Head:
        return cast(Head, replace(self, head=self.head.settled(details)))

    def penalised_as(self, n_clips: int, n_rows: int) -> Head:
        return cast(Head, replace(self, head=self.head.penalised_as(n_clips, n_rows)))


def in_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as people read them, such as ``n trees 500``."""
    return [f"{name.replace('_', ' ')} {plain(value)}" for name, value in settings.items()]


def balance_of(head: Any) -> str:
    """How a head balances the classes, in words."""
    return {
        "none": "classes as frequent as they are",
        "weights": "classes weighted equally",
        "sampler": "weighted random sampler",
    }[head.balance]


def recording_weights(data: TrainingSet, balance: Balance) -> NDArray[np.float64]:
    """Weigh clips so that each recording weighs once, and with ``weights`` each class the same.

    Returns
    -------
    ndarray [shape=(n_clips,)], with mean 1
    """
    weights = shares(data.recordings, np.ones(len(data.recordings)))
    if balance == "weights":
        weights = shares(data.labels, weights)
    return np.asarray(weights / weights.mean())


def shares(names: NDArray[np.object_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights scaled so that those of each name sum to 1."""
    code_of: dict[object, int] = {}
    codes = np.array([code_of.setdefault(name, len(code_of)) for name in names])
    return np.asarray(weights / np.bincount(codes, weights=weights)[codes])


def standardisation(data: TrainingSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each dimension, so that it varies by 1 over the clips.

    Some outputs of a network, as a rectifier leaves them, are 0 for nearly all clips. Brought to the
    same deviation as the others, such a one would outshout them all at the first clip that it
    answers to. So no dimension of an embedding (of :data:`_MANY` numbers or more, which are of one
    kind) is scaled as if it varied by less than half of what is usual there.

    Where embeddings stand side by side, each has the same total variance, however long it is.

    Returns
    -------
    mean, scale : ndarray [shape=(n_dimensions,)]
    """
    mean = data.vectors.mean(axis=0, dtype=np.float64)
    scale = data.vectors.std(axis=0, dtype=np.float64)
    edges = np.cumsum([0, *(data.blocks or (len(scale),))])
    for start, end in pairwise(edges):
        if end - start >= _MANY:
            usual = np.median(scale[start:end])
            if usual < _STILL and (scale[start:end] >= _STILL).any():  # most of them never move
                usual = np.median(scale[start:end][scale[start:end] >= _STILL])
            np.maximum(scale[start:end], _LEAST * usual, out=scale[start:end])
    scale[scale < _STILL] = 1.0  # a dimension that never moves says nothing
    if len(data.blocks) > 1:
        share = np.array(data.blocks) * len(data.blocks) / len(mean)
        scale *= np.repeat(np.sqrt(share), data.blocks)
    return mean, scale


def check_width(vectors: Vectors, n_dimensions: int) -> None:
    """Raise HeadError unless embeddings are [shape=(n, n_dimensions)]."""
    if vectors.ndim != 2 or vectors.shape[1] != n_dimensions:
        raise HeadError(
            f"embeddings of shape {vectors.shape}, this head takes (n, {n_dimensions}): "
            "they come from another embedder."
        )


def classes_of(labels: NDArray[np.object_]) -> list[str]:
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise HeadError(f"only {', '.join(classes) or 'nothing'} to learn from: need 2 classes.")
    return classes


def check_weighing(head: str, balance: str) -> None:
    """Raise HeadError unless the classes are balanced by weights, or not at all."""
    check_balance(balance)
    if balance == "sampler":
        raise HeadError(
            f"the {head} head sees all clips at once and draws no batches: use --balance weights or "
            "none with it, or --head softmax."
        )


def check_balance(balance: str) -> None:
    if balance not in ("none", "sampler", "weights"):
        raise HeadError(unknown_name("balance", balance, ("none", "sampler", "weights")))


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread within: these matrices are too small for more to pay."""
    return _blas().limit(limits=1)  # type: ignore[no-any-return]


@functools.cache
def _blas() -> Any:
    """The BLAS libraries in use: looking for them takes longer than a small fit."""
    return ThreadpoolController()


_VALIDATION_FOLDS = 5


def mean_said(trained: TrainedHead, vectors: Vectors, again: Vectors | None) -> NDArray[np.float64]:
    """Score clips, each the mean of what is said of it and of its altered copies, if it has any.

    Parameters
    ----------
    trained : TrainedHead
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    again : ndarray [shape=(n_copies, n_clips, n_dimensions)] or None

    Returns
    -------
    ndarray [shape=(n_clips, n_classes)], log-probabilities: their mean, made to sum to 1 again
    """
    said = trained.log_probabilities(vectors)
    if again is None:
        return said
    both = [said, *(trained.log_probabilities(copies) for copies in again)]
    return np.asarray(scipy.special.log_softmax(np.mean(both, axis=0), axis=1))


def fit_head(
    head: Head,
    data: TrainingSet,
    *,
    validation: NDArray[np.int64] | None = None,
    whole: TrainingSet | None = None,
) -> TrainedHead:
    """Train a head, keeping a fifth of the groups aside where it ``chooses_epoch`` by them.

    ``validation`` are rows of ``whole`` that the split has kept for this already.
    """
    if validation is not None and whole is not None:
        return head.fit(data, validation=whole.take(validation))
    if not head.chooses_epoch:
        return head.fit(data)
    # As many folds as the smallest class has groups, so that the fold kept aside holds each class
    # that can spare a group.
    n_groups = pd.DataFrame({"label": data.labels, "group": data.groups}).groupby("label")["group"]
    spare = [int(n) for n in n_groups.nunique() if n >= 2]
    if not spare:
        return head.fit(data)
    rng = np.random.default_rng([head.settings()["seed"], 2])
    try:
        inner = assign_folds(data.labels, data.groups, min(_VALIDATION_FOLDS, *spare), rng)
    except FoldError:
        return head.fit(data)
    kept, aside = np.flatnonzero(inner != 0), np.flatnonzero(inner == 0)
    return head.fit(data.take(kept), validation=data.take(aside))

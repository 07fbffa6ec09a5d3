"""Trained heads: log-probabilities from embeddings. A head is saved as arrays: loading runs no code.

The module also holds what all ways of training share: weights of clips, standardisation, checks.
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

_N_EMBEDDING = 100  # dimensions; classic features and facts of files have fewer, of several kinds
_LEAST = 0.5  # of the median deviation
_STILL = 1e-8
_LINEAR = ("mean", "scale", "weights", "bias")
_KINDS: dict[str, type["TrainedHead"]] = {}


@dataclass
class TrainedHead(ABC):
    """The result of a training. ``kind`` says how the arrays are read."""

    kind: ClassVar[str]

    classes: list[str]
    details: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """Choices and records of the training: C, the best epoch, the history of losses."""

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
        """Split into the network that training changed (or None), the head alone, and its embeddings.

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
        """All arrays that :meth:`log_probabilities` needs; the classes are saved apart."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild a head from the arrays of :meth:`arrays`."""


def load_trained(
    kind: str, classes: list[str], arrays: Arrays, details: dict[str, Any]
) -> TrainedHead:
    """Rebuild a trained head of a kind.

    Parameters
    ----------
    kind : str, as :attr:`TrainedHead.kind`
    classes : list of str
    arrays : dict from name to ndarray
    details : dict, choices and records of the training

    Returns
    -------
    TrainedHead

    Raises
    ------
    HeadError
        If this version does not know the kind.

    Examples
    --------
    >>> zeros = np.zeros((2, 3))
    >>> arrays = {"mean": zeros[0], "scale": zeros[0] + 1, "weights": zeros, "bias": zeros[:, 0]}
    >>> load_trained("linear", ["A", "B"], arrays, {}).classes
    ['A', 'B']
    """
    if kind not in _KINDS:
        raise HeadError(unknown_name("kind of trained head", kind, _KINDS))
    head = _KINDS[kind].from_arrays(classes, arrays)
    head.details = details
    return head


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Rename arrays to ``prefix.name``, so that a part is saved in one file with the whole.

    Parameters
    ----------
    prefix : str
    arrays : mapping from name to ndarray

    Returns
    -------
    dict from ``prefix.name`` to ndarray

    Examples
    --------
    >>> sorted(under("head", {"bias": np.zeros(2)}))
    ['head.bias']
    """
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays that :func:`under` renamed, under their own names.

    Parameters
    ----------
    prefix : str
    arrays : mapping from ``prefix.name`` to ndarray

    Returns
    -------
    dict from name to ndarray

    Examples
    --------
    >>> sorted(part("head", {"head.bias": np.zeros(2), "slope": np.ones(1)}))
    ['bias']
    """
    start = f"{prefix}."
    return {
        name.removeprefix(start): values
        for name, values in arrays.items()
        if name.startswith(start)
    }


@dataclass
class LinearHead(TrainedHead):
    """``log softmax(W (x - mean) / scale + b)``.

    Examples
    --------
    >>> head = LinearHead(["A", "B"], np.zeros(1), np.ones(1), np.array([[0.0], [2.0]]), np.zeros(2))
    >>> head.log_probabilities(np.array([[1.0]], dtype=np.float32)).argmax()
    np.int64(1)
    """

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

    A new head is a frozen dataclass that inherits :class:`PlainHead` and has a ``fit``. A head
    overrides only the attributes below that differ from those of :class:`PlainHead`.
    """

    name: ClassVar[str]

    @property
    def balance(self) -> Balance:
        """How classes of different size weigh."""

    @property
    def plain(self) -> "Head":
        """The innermost head, without wrappers (tuning, copies, pseudo-labels)."""

    @property
    def space(self) -> Space:
        """Values that tuning tries, by setting; empty if no setting can be tuned."""

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside in training to choose an epoch."""

    @property
    def chooses_settings(self) -> bool:
        """Whether training chooses settings in inner folds."""

    @property
    def counts_clips(self) -> bool:
        """True: every clip weighs once in training. False: every recording weighs once."""

    @property
    def trains_network(self) -> bool:
        """Whether training changes the network, and so needs more than embeddings."""

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on ``data``; ``validation`` chooses the epoch of a head with epochs."""

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the training, as JSON values."""

    def describe(self) -> str:
        """How the head is trained, in words."""

    def settled(self, details: Mapping[str, Any]) -> "Head":
        """The head with the settings that a training chose; ``details`` is of that training."""

    def penalised_as(self, n_clips: int, n_rows: int) -> "Head":
        """The head with its penalty rescaled from ``n_clips`` to ``n_rows`` training rows."""


@dataclass(frozen=True)
class PlainHead:
    """Base of a head without wrappers: the default answers of a :class:`Head`."""

    name: ClassVar[str]
    title: ClassVar[str] = ""
    """The name of the head in a sentence."""
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
    """Base of a head that wraps the training of another head."""

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
    """Settings as words, such as ``n trees 500``.

    Parameters
    ----------
    settings : mapping from name to value

    Returns
    -------
    list of str

    Examples
    --------
    >>> in_words({"n_trees": 500})
    ['n trees 500']
    """
    return [f"{name.replace('_', ' ')} {plain(value)}" for name, value in settings.items()]


def balance_of(head: Any) -> str:
    """How a head balances the classes, in words.

    Parameters
    ----------
    head : Head, or anything with ``balance``

    Returns
    -------
    str

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> balance_of(LogisticHead())
    'classes weighted equally'
    """
    return {
        "none": "classes as frequent as they are",
        "weights": "classes weighted equally",
        "sampler": "weighted random sampler",
    }[head.balance]


def recording_weights(data: TrainingSet, balance: Balance) -> NDArray[np.float64]:
    """Weigh clips so that each recording weighs once, and with ``weights`` each class the same.

    Parameters
    ----------
    data : TrainingSet
    balance : ``none``, ``sampler`` or ``weights``

    Returns
    -------
    ndarray [shape=(n_clips,)], with mean 1

    Examples
    --------
    >>> labels = np.array(["a", "a", "b"], dtype=object)
    >>> recordings = np.array(["r1", "r1", "r2"], dtype=object)
    >>> data = TrainingSet(np.array([[0.0], [2.0], [4.0]], np.float32), labels, labels, recordings)
    >>> recording_weights(data, "weights").tolist()
    [0.75, 0.75, 1.5]
    """
    weights = shares(data.recordings, np.ones(len(data.recordings)))
    if balance == "weights":
        weights = shares(data.labels, weights)
    return np.asarray(weights / weights.mean())


def shares(names: NDArray[np.object_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale weights so that the weights of each name sum to 1.

    Parameters
    ----------
    names, weights : ndarray [shape=(n,)]

    Returns
    -------
    ndarray [shape=(n,)]

    Examples
    --------
    >>> shares(np.array(["a", "a", "b"], dtype=object), np.ones(3)).tolist()
    [0.5, 0.5, 1.0]
    """
    code_of: dict[object, int] = {}
    codes = np.array([code_of.setdefault(name, len(code_of)) for name in names])
    return np.asarray(weights / np.bincount(codes, weights=weights)[codes])


def standardisation(data: TrainingSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each dimension, for a deviation of 1 over the clips.

    A rectifier leaves some outputs of a network at 0 for nearly all clips. Scaled to the deviation
    of the others, such an output would dominate the first clip where it is not 0. So no dimension of
    an embedding (100 dimensions or more, all of one kind) is scaled by less than half of the median
    deviation.

    Embeddings side by side get the same total variance each, whatever their number of dimensions.

    Parameters
    ----------
    data : TrainingSet

    Returns
    -------
    mean, scale : ndarray [shape=(n_dimensions,)]

    Examples
    --------
    >>> labels = np.array(["a", "a", "b"], dtype=object)
    >>> recordings = np.array(["r1", "r1", "r2"], dtype=object)
    >>> data = TrainingSet(np.array([[0.0], [2.0], [4.0]], np.float32), labels, labels, recordings)
    >>> mean, scale = standardisation(data)
    >>> mean.tolist(), scale.round(3).tolist()
    ([2.0], [1.633])
    """
    mean = data.vectors.mean(axis=0, dtype=np.float64)
    scale = data.vectors.std(axis=0, dtype=np.float64)
    edges = np.cumsum([0, *(data.blocks or (len(scale),))])
    for start, end in pairwise(edges):
        if end - start >= _N_EMBEDDING:
            median = np.median(scale[start:end])
            if (
                median < _STILL and (scale[start:end] >= _STILL).any()
            ):  # most dimensions are constant
                median = np.median(scale[start:end][scale[start:end] >= _STILL])
            np.maximum(scale[start:end], _LEAST * median, out=scale[start:end])
    scale[scale < _STILL] = 1.0  # a constant dimension holds no information
    if len(data.blocks) > 1:
        share = np.array(data.blocks) * len(data.blocks) / len(mean)
        scale *= np.repeat(np.sqrt(share), data.blocks)
    return mean, scale


def check_width(vectors: Vectors, n_dimensions: int) -> None:
    """Raise HeadError unless embeddings are [shape=(n, n_dimensions)].

    Parameters
    ----------
    vectors : ndarray
    n_dimensions : int, of the embeddings that the head was trained on

    Raises
    ------
    HeadError
        If the shape is another.

    Examples
    --------
    >>> check_width(np.zeros((2, 3), np.float32), 3)
    """
    if vectors.ndim != 2 or vectors.shape[1] != n_dimensions:
        raise HeadError(
            f"embeddings of shape {vectors.shape}, this head takes (n, {n_dimensions}): "
            "they come from another embedder."
        )


def classes_of(labels: NDArray[np.object_]) -> list[str]:
    """The classes among labels, sorted.

    Parameters
    ----------
    labels : ndarray [shape=(n_clips,)]

    Returns
    -------
    list of str

    Raises
    ------
    HeadError
        If there are fewer than two classes.

    Examples
    --------
    >>> classes_of(np.array(["b", "a", "b"], dtype=object))
    ['a', 'b']
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise HeadError(f"only {', '.join(classes) or 'nothing'} to learn from: need 2 classes.")
    return classes


def check_weighing(head: str, balance: str) -> None:
    """Raise HeadError unless the balance is ``weights`` or ``none``.

    Parameters
    ----------
    head : str, the name of the head
    balance : str

    Raises
    ------
    HeadError
        If the balance is ``sampler`` or unknown.

    Examples
    --------
    >>> check_weighing("svm", "weights")
    """
    check_balance(balance)
    if balance == "sampler":
        raise HeadError(
            f"the {head} head trains on all clips at once and draws no batches: use --balance weights "
            "or none with it, or --head softmax."
        )


def check_balance(balance: str) -> None:
    """Raise HeadError unless the balance is ``none``, ``sampler`` or ``weights``.

    Parameters
    ----------
    balance : str

    Raises
    ------
    HeadError
        If the balance is unknown.

    Examples
    --------
    >>> check_balance("sampler")
    """
    if balance not in ("none", "sampler", "weights"):
        raise HeadError(unknown_name("balance", balance, ("none", "sampler", "weights")))


def one_blas_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread: more threads do not speed up matrices of this size.

    Returns
    -------
    context manager

    Examples
    --------
    >>> with one_blas_thread():
    ...     product = np.ones((2, 2)) @ np.ones((2, 2))
    """
    return _blas().limit(limits=1)  # type: ignore[no-any-return]


@functools.cache
def _blas() -> Any:
    """The BLAS libraries in use, cached: the search takes longer than a small fit."""
    return ThreadpoolController()


_VALIDATION_FOLDS = 5


def mean_said(trained: TrainedHead, vectors: Vectors, again: Vectors | None) -> NDArray[np.float64]:
    """Score clips: the mean of the scores of each clip and of its altered copies.

    Parameters
    ----------
    trained : TrainedHead
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    again : ndarray [shape=(n_copies, n_clips, n_dimensions)] or None

    Returns
    -------
    ndarray [shape=(n_clips, n_classes)], the mean log-probabilities, normalised

    Examples
    --------
    >>> head = LinearHead(["A", "B"], np.zeros(1), np.ones(1), np.array([[0.0], [2.0]]), np.zeros(2))
    >>> clips = np.array([[1.0]], dtype=np.float32)
    >>> mean_said(head, clips, np.array([[[-1.0]]], dtype=np.float32)).round(3).tolist()
    [[-0.693, -0.693]]
    """
    scores = trained.log_probabilities(vectors)
    if again is None:
        return scores
    of_copies = [scores, *(trained.log_probabilities(copies) for copies in again)]
    return np.asarray(scipy.special.log_softmax(np.mean(of_copies, axis=0), axis=1))


def fit_head(
    head: Head,
    data: TrainingSet,
    *,
    validation: NDArray[np.int64] | None = None,
    whole: TrainingSet | None = None,
) -> TrainedHead:
    """Train a head; a head that ``chooses_epoch`` gets a fifth of the groups for validation.

    Parameters
    ----------
    head : Head
    data : TrainingSet
    validation : ndarray [shape=(n,)] or None, rows of ``whole`` that the split keeps for validation
    whole : TrainingSet or None

    Returns
    -------
    TrainedHead

    Raises
    ------
    HeadError
        If there are fewer than two classes.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> labels = np.array(["a", "a", "b"], dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(3).astype(object))
    >>> fit_head(LogisticHead(c=1.0), data).classes
    ['a', 'b']
    """
    if validation is not None and whole is not None:
        return head.fit(data, validation=whole.take(validation))
    if not head.chooses_epoch:
        return head.fit(data)
    # The number of folds is at most the number of groups of the smallest class, so that the
    # validation fold holds each class that has a group to spare.
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

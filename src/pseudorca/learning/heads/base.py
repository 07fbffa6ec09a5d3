"""What all heads share: the base classes, and weights of clips, standardisation, inner folds, checks.

A :class:`Head` is a way to train with its settings; its result, a :class:`TrainedHead`, gives
log-probabilities from embeddings. A trained head is saved as arrays: loading runs no code.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pseudorca.errors import FoldError, HeadError, unknown_name
from pseudorca.learning.dataset import Floats, Ints, Names, TrainingSet, Vectors
from pseudorca.recordings.folds import assign_folds
from pseudorca.values import check_types, plain

Balance = Literal["none", "sampler", "weights"]
Space = Mapping[str, Sequence[float]]
"""Values to try, by setting."""
Arrays = dict[str, NDArray[Any]]
KINDS: dict[str, type["TrainedHead"]] = {}
"""Trained heads by kind, of the modules that are imported."""

OPTIONS = {
    "balance": "--balance",
    "c": "--c",
    "learning_rate": "--learning-rate",
    "momentum": "--momentum",
    "n_epochs": "--epochs",
    "seed": "--seed",
}
"""Settings with an option of their own on the command line; others are given by ``--head-set``."""

_N_EMBEDDING = 100  # dimensions; classic features and facts of files have fewer, of several kinds
_LEAST = 0.5  # of the median deviation
_CONSTANT = 1e-8  # deviation below which a dimension counts as constant
_VALIDATION_FOLDS = 5
_CHOSEN = ("c", "inner_log_loss", "tuned", "trials")
_BALANCES = {
    "none": "classes as frequent as they are",
    "weights": "classes weighted equally",
    "sampler": "weighted random sampler",
}


@dataclass
class TrainedHead(ABC):
    """The result of a training. ``kind`` says how the arrays are read.

    A new kind is a dataclass with a ``kind`` that no other has, a field per array of numbers, and
    :meth:`log_probabilities`.

    Examples
    --------
    >>> head = LinearHead(["A", "B"], np.zeros(1), np.ones(1), np.array([[0.0], [2.0]]), np.zeros(2))
    >>> sorted(head.arrays())
    ['bias', 'mean', 'scale', 'weights']
    >>> LinearHead.from_arrays(["A", "B"], head.arrays()).log_probabilities(np.ones((3, 1))).shape
    (3, 2)
    """

    kind: ClassVar[str]

    classes: list[str]
    details: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """Choices and records of the training: C, the best epoch, the history of losses."""

    def __init_subclass__(cls) -> None:
        if "kind" not in vars(cls):
            raise TypeError(f"{cls.__qualname__}: give it a kind of its own, kind: ClassVar[str].")
        owner = KINDS.setdefault(cls.kind, cls)
        if (owner.__module__, owner.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"{cls.__qualname__}: the kind {cls.kind!r} is that of {owner.__qualname__} "
                f"({owner.__module__}), which reads what is saved under it. Choose another."
            )
        KINDS[cls.kind] = cls

    @abstractmethod
    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings [shape=(n, n_dimensions)].

        Returns
        -------
        ndarray [shape=(n, n_classes)], natural logarithms; each row's exponentials sum to 1

        Raises
        ------
        HeadError
            If the embeddings have another width.
        """

    def p_nothing(self, vectors: Vectors) -> Floats:
        """The probability that nothing is there [shape=(n,)]; 0 for heads that do not know nothing."""
        return np.zeros(len(vectors))

    @property
    def knows_nothing(self) -> bool:
        """Whether the head learned what nothing sounds like."""
        return False

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

    def arrays(self) -> Arrays:
        """All arrays that :meth:`log_probabilities` needs; the classes are saved apart."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            name: np.ascontiguousarray(value)
            for name, value in values.items()
            if isinstance(value, np.ndarray)
        }

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild a head from the arrays of :meth:`arrays`."""
        values: dict[str, Any] = {**arrays}
        return cls(classes, **values)


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


def part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
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


def arrays_with_kind(head: TrainedHead) -> Arrays:
    """The arrays of a head that is a part of another, with its kind; see :func:`head_of_arrays`."""
    kind = np.frombuffer(head.kind.encode(), dtype=np.uint8)
    return {"kind": kind.copy()} | under("head", head.arrays())


def head_of_arrays(classes: list[str], arrays: Mapping[str, NDArray[Any]]) -> TrainedHead:
    """Rebuild a head from the arrays of :func:`arrays_with_kind`."""
    kind = arrays["kind"].tobytes().decode()
    return KINDS[kind].from_arrays(classes, part("head", arrays))


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

    mean: Floats
    """[shape=(n_dimensions,)]"""
    scale: Floats
    """[shape=(n_dimensions,)]"""
    weights: Floats
    """[shape=(n_classes, n_dimensions)]"""
    bias: Floats
    """[shape=(n_classes,)]"""

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings; see :meth:`TrainedHead.log_probabilities`."""
        check_width(vectors, len(self.mean))
        logits = ((vectors - self.mean) / self.scale) @ self.weights.T + self.bias
        return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


@dataclass(frozen=True)
class Head(ABC):
    """A way to train a head; its fields are its settings.

    A new head is a frozen dataclass with settings, among them ``balance`` and ``seed``, and a
    :meth:`fit`. It overrides only those attributes below that differ.

    Raises
    ------
    HeadError
        If a setting is not of the type that its field states, or not among the values of a
        ``Literal``, or the balance is ``sampler`` and the head draws no batches.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> head = LogisticHead(c=0.1)
    >>> head.settings(), head.trains_network
    ({'head': 'logistic', 'c': 0.1, 'balance': 'weights', 'seed': 0}, False)
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    """The name of the head in a sentence."""
    space: ClassVar[Space] = {}
    """Values that tuning tries, by setting; empty if no setting can be tuned."""
    counts_clips: ClassVar[bool] = False
    """True: every clip weighs once in training. False: every recording weighs once."""
    draws_batches: ClassVar[bool] = False
    """Whether training draws batches, so that a sampler can balance the classes."""
    trains_network: ClassVar[bool] = False
    """Whether training changes the network, and so needs more than embeddings."""

    def __post_init__(self) -> None:
        check_types(self, HeadError, name=f"{self.name} head:")
        for entry in fields(self):
            valid, value = get_args(entry.type), getattr(self, entry.name)
            if get_origin(entry.type) is Literal and value not in valid:
                raise HeadError(unknown_name(entry.name, str(value), valid))
        if self.balance == "sampler" and not self.plain.draws_batches:
            raise HeadError(
                f"the {self.name} head trains on all clips at once and draws no batches: use "
                "--balance weights or none with it, or --head softmax."
            )

    @property
    @abstractmethod
    def balance(self) -> Balance:
        """How classes of different size weigh."""

    @abstractmethod
    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on ``data``; ``validation`` chooses the epoch of a head with epochs."""

    def fit_all(self, sides: Sequence[TrainingSet]) -> "Sequence[TrainedHead]":
        """Train on each of several training sides, such as those of a cross-validation."""
        return [self.fit(side) for side in sides]

    @property
    def plain(self) -> "Head":
        """The innermost head, without wrappers (tuning, copies, pseudo-labels)."""
        return self

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside in training to choose an epoch."""
        return False

    @property
    def chooses_settings(self) -> bool:
        """Whether training chooses settings in inner folds."""
        return False

    @property
    def trains_together(self) -> bool:
        """Whether :meth:`fit_all` costs less than a :meth:`fit` for each side."""
        return False

    @property
    def balance_in_words(self) -> str:
        """How the head balances the classes."""
        return _BALANCES[self.balance]

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the training, as JSON values."""
        return {"head": self.name} | asdict(self)

    def describe(self) -> str:
        """How the head is trained, in words."""
        shown = {
            key: value
            for key, value in self.settings().items()
            if key not in ("head", "balance", "seed") and value is not None
        }
        return f"{self.title or self.name} ({', '.join([*in_words(shown), self.balance_in_words])})"

    def settled(self, details: Mapping[str, Any]) -> "Head":
        """The head with the settings that a training chose; ``details`` is of that training."""
        return self

    def penalised_as(self, n_clips: int, n_rows: int) -> "Head":
        """The head with its penalty rescaled from ``n_clips`` to ``n_rows`` training rows."""
        return self


@dataclass(frozen=True)
class WrappingHead(Head):
    """Base of a head that wraps the training of another head.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> class Loud(WrappingHead):
    ...     name = "loud"
    ...     def fit(self, data, *, validation=None):
    ...         return self.head.fit(data, validation=validation)
    >>> Loud(LogisticHead(c=1.0)).describe()
    'logistic regression (C = 1, classes weighted equally)'
    """

    head: Head

    @property
    def balance(self) -> Balance:
        """The balance of the wrapped head."""
        return self.head.balance

    @property
    def plain(self) -> Head:
        """The innermost head."""
        return self.head.plain

    def settings(self) -> dict[str, Any]:
        """The settings of the wrapped head."""
        return self.head.settings()

    def describe(self) -> str:
        """The description of the wrapped head."""
        return self.head.describe()

    def settled(self, details: Mapping[str, Any]) -> Head:
        """The same wrapper around the settled head."""
        return replace(self, head=self.head.settled(details))

    def fit_settled(
        self, plain: TrainingSet, data: TrainingSet, validation: TrainingSet | None
    ) -> TrainedHead:
        """Choose settings on ``plain``, the clips themselves, then train on ``data`` with them.

        The details keep what was chosen, and of the choice nothing else.
        """
        chosen = fit_head(self.head, plain)
        trained = fit_head(self.settled(chosen.details), data, validation=validation)
        return chosen_by(chosen, trained)


def chosen_by(chosen: TrainedHead, trained: TrainedHead) -> TrainedHead:
    """The trained head; its details keep the choices of another training, and nothing else of it."""
    choices = {key: chosen.details[key] for key in _CHOSEN if key in chosen.details}
    return replace(trained, details=trained.details | choices)


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


def recording_weights(data: TrainingSet, balance: Balance) -> Floats:
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
    weights = _shares(data.recordings, np.ones(len(data.recordings)))
    if balance == "weights":
        weights = _shares(data.labels, weights)
    return np.asarray(weights / weights.mean())


def _shares(names: Names, weights: Floats) -> Floats:
    """Scale weights so that the weights of each name sum to 1; both [shape=(n,)]."""
    number_of = {name: k for k, name in enumerate(set(names.tolist()))}
    codes = np.array([number_of[name] for name in names.tolist()], dtype=np.int64)
    return np.asarray(weights / np.bincount(codes, weights=weights)[codes])


def standardisation(data: TrainingSet) -> tuple[Floats, Floats]:
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
    return standardised(data)[1:]


def standardised(data: TrainingSet) -> tuple[Floats, Floats, Floats]:
    """The embeddings of a training set, standardised by themselves.

    Parameters
    ----------
    data : TrainingSet

    Returns
    -------
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    mean, scale : ndarray [shape=(n_dimensions,)], see :func:`standardisation`

    Examples
    --------
    >>> names = np.array(["a", "b"], dtype=object)
    >>> data = TrainingSet(np.array([[0.0], [2.0]], np.float32), names, names, names)
    >>> standardised(data)[0].tolist()
    [[-1.0], [1.0]]
    """
    mean = data.vectors.mean(axis=0, dtype=np.float64)
    vectors = data.vectors - mean
    scale = np.sqrt(np.einsum("ij,ij->j", vectors, vectors) / len(vectors))
    for block in np.split(scale, np.cumsum(data.blocks)[:-1]):  # views of the scales
        varying = block[block >= _CONSTANT]
        if len(block) >= _N_EMBEDDING:
            most_are_constant = np.median(block) < _CONSTANT and len(varying)
            median = np.median(varying if most_are_constant else block)
            np.maximum(block, _LEAST * median, out=block)
    scale[scale < _CONSTANT] = 1.0  # a constant dimension holds no information
    if len(data.blocks) > 1:
        share = np.array(data.blocks) * len(data.blocks) / len(mean)
        scale *= np.repeat(np.sqrt(share), data.blocks)
    vectors /= scale
    return vectors, mean, scale


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


def classes_of(labels: Names) -> list[str]:
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


def class_numbers(labels: Names, classes: Sequence[str]) -> Ints:
    """The place of each label among the classes.

    Parameters
    ----------
    labels : ndarray [shape=(n_clips,)]
    classes : sequence of str

    Returns
    -------
    ndarray [shape=(n_clips,)]

    Raises
    ------
    KeyError
        If a label is not among the classes.

    Examples
    --------
    >>> class_numbers(np.array(["b", "a", "b"], dtype=object), ["a", "b"]).tolist()
    [1, 0, 1]
    """
    number_of = {label: k for k, label in enumerate(classes)}
    return np.array([number_of[label] for label in labels], dtype=np.int64)


def check_settings(
    settings: object, names: Sequence[str], is_valid: Callable[[Any], bool], expected: str
) -> None:
    """Raise HeadError if a setting is outside its range.

    Parameters
    ----------
    settings : object with an attribute per setting
    names : sequence of str, the settings to check
    is_valid : callable, takes a value
    expected : str, the range in words

    Raises
    ------
    HeadError
        If a value is not valid.

    Examples
    --------
    >>> from pseudorca.learning.heads.forest import ForestHead
    >>> check_settings(ForestHead(), ("n_trees",), lambda n: n >= 1, "at least 1")
    """
    for name in names:
        value = getattr(settings, name)
        if not is_valid(value):
            raise HeadError(f"{OPTIONS.get(name, name)} {value:g}: expected {expected}.")


def is_count(value: float) -> bool:
    """Whether a number is at least 1, and finite.

    >>> is_count(2), is_count(0)
    (True, False)
    """
    return 1 <= value < np.inf


def is_positive(value: float) -> bool:
    """Whether a number is more than 0, and finite.

    >>> is_positive(0.1), is_positive(0)
    (True, False)
    """
    return 0 < value < np.inf


def inner_sides(data: TrainingSet, n_folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Split a training side into inner folds that keep groups whole.

    Parameters
    ----------
    data : TrainingSet
    n_folds : int
    seed : int

    Returns
    -------
    list of (train, test), the rows of both sides of each fold

    Raises
    ------
    FoldError
        If no group can be left out without emptying a class.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> groups = np.array(["a1", "a2", "b1", "b2"], dtype=object)
    >>> data = TrainingSet(np.zeros((4, 1), np.float32), labels, groups, np.arange(4).astype(object))
    >>> [len(test) for _, test in inner_sides(data, n_folds=2, seed=0)]
    [2, 2]
    """
    rng = np.random.default_rng([seed, 1])
    folds = assign_folds(data.labels, data.groups, n_folds, rng)
    return [
        (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
        for fold in np.unique(folds[folds >= 0])
    ]


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


def mean_said(trained: TrainedHead, vectors: Vectors, again: Vectors | None) -> Floats:
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
    head: Head, data: TrainingSet, *, validation: TrainingSet | None = None
) -> TrainedHead:
    """Train a head; one that ``chooses_epoch`` gets a fifth of the groups for validation.

    Parameters
    ----------
    head : Head
    data : TrainingSet
    validation : TrainingSet or None
        Clips that the split keeps for validation; None: groups of ``data`` are kept aside if the head
        needs them

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
    if validation is not None or not head.chooses_epoch:
        return head.fit(data, validation=validation)
    # The number of folds is at most the number of groups of the smallest class, so that the
    # validation fold holds each class that has a group to spare.
    n_groups = pd.Series(data.groups).groupby(data.labels).nunique()
    try:
        rng = np.random.default_rng([head.settings()["seed"], 2])
        n_folds = min([_VALIDATION_FOLDS, *n_groups[n_groups >= 2]])
        inner = assign_folds(data.labels, data.groups, n_folds, rng)
    except FoldError:
        return head.fit(data)
    kept, aside = np.flatnonzero(inner != 0), np.flatnonzero(inner == 0)
    return head.fit(data.take(kept), validation=data.take(aside))


def fit_heads(
    head: Head, sides: Sequence[TrainingSet], validations: Sequence[TrainingSet | None]
) -> Sequence[TrainedHead]:
    """Train a head on each of several training sides, as :func:`fit_head` on one.

    Parameters
    ----------
    head : Head
    sides : sequence of TrainingSet
    validations : sequence of TrainingSet or None, for each side

    Returns
    -------
    sequence of TrainedHead

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
    >>> [trained.classes for trained in fit_heads(LogisticHead(c=1.0), [data, data], [None] * 2)]
    [['a', 'b'], ['a', 'b']]
    """
    if head.trains_together and not any(validations):
        return head.fit_all(sides)
    return [
        fit_head(head, side, validation=validation)
        for side, validation in zip(sides, validations, strict=True)
    ]

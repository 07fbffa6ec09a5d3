"""Logistic regression on standardised embeddings, its penalty chosen in inner folds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special

from pseudorca.errors import FoldError
from pseudorca.learning.dataset import Floats, TrainingSet
from pseudorca.learning.heads.base import (
    Balance,
    Head,
    LinearHead,
    Space,
    check_settings,
    class_numbers,
    classes_of,
    inner_sides,
    is_positive,
    one_blas_thread,
    recording_weights,
    standardisation,
)

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation strengths from which inner folds choose."""

_INNER_FOLDS = 3
_DEFAULT_C = 1e-2  # where a class has too few groups for inner folds
_TOLERANCE = 5e-5  # of the gradient: probabilities within about 1e-3
_DECREMENT = 1e-6  # of a Newton step; the remaining error is about its square
_MAX_NEWTON = 64  # dimensions, above which L-BFGS is quicker
_MAX_ROTATED = 400  # clips or dimensions, whichever are fewer
_MAX_STEPS = 30


@dataclass(frozen=True)
class LogisticHead(Head):
    """Logistic regression on standardised embeddings, with an L2 penalty of strength 1 / C.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> LogisticHead(c=1.0).fit(data).log_probabilities(vectors).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """

    name: ClassVar[str] = "logistic"
    space: ClassVar[Space] = {"c": C_GRID}

    c: float | None = None
    """None: chosen from ``C_GRID`` by log loss in inner folds that keep groups whole."""
    balance: Balance = "weights"
    """``weights``: each class weighs the same; ``none``: a class weighs as many as its recordings."""
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.c is not None:
            check_settings(self, ("c",), is_positive, "more than 0, and finite")

    @property
    def chooses_settings(self) -> bool:
        """Whether C is chosen in inner folds."""
        return self.c is None

    def describe(self) -> str:
        """How the head is trained, in words."""
        c = "C by inner folds" if self.c is None else f"C = {self.c:g}"
        return f"logistic regression ({c}, {self.balance_in_words})"

    def settled(self, details: Mapping[str, Any]) -> Head:
        """The head with the C that a training chose."""
        return replace(self, c=details["c"])

    def penalised_as(self, n_clips: int, n_rows: int) -> Head:
        """The head with C rescaled, so that the penalty weighs as much against a clip as before."""
        return self if self.c is None else replace(self, c=self.c * n_clips / n_rows)

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        """Train; each recording weighs once, whatever its number of clips.

        Raises
        ------
        HeadError
            If there are fewer than two classes.
        """
        classes = classes_of(data.labels)
        details: dict[str, Any] = {"n_clips": len(data.labels)}
        c = self.c
        with one_blas_thread():
            if c is None:
                losses = self._inner_losses(data)
                c = min(losses, key=lambda value: losses[value]) if losses else _DEFAULT_C
                details["inner_log_loss"] = {f"{value:g}": loss for value, loss in losses.items()}
            (head,) = logistic_path(data, (c,), self.balance, classes)
        details["c"] = c
        head.details = details
        return head

    def _inner_losses(self, data: TrainingSet) -> dict[float, float]:
        """Out-of-fold log loss for each C, every recording weighing once within its class."""
        try:
            sides = inner_sides(data, _INNER_FOLDS, self.seed)
        except FoldError:
            return {}
        classes = classes_of(data.labels)
        truth = class_numbers(data.labels, classes)
        weights = recording_weights(data, "weights")
        sums, total = dict.fromkeys(C_GRID, 0.0), 0.0
        for train, test in sides:
            heads = logistic_path(data.take(train), C_GRID, self.balance, classes)
            for c, head in zip(C_GRID, heads, strict=True):
                scores = head.log_probabilities(data.vectors[test])
                sums[c] -= float(weights[test] @ scores[np.arange(len(test)), truth[test]])
            total += float(weights[test].sum())
        return {c: loss / total for c, loss in sums.items()}


def logistic_path(
    data: TrainingSet, grid: Sequence[float], balance: Balance, classes: list[str]
) -> list[LinearHead]:
    """Fit a head for each C: minimise C times the weighted log loss plus half the squared weights.

    The minimum is that of scikit-learn's ``LogisticRegression(C=c)``. The checks and conversions of
    scikit-learn would take longer than these small fits.

    Parameters
    ----------
    data : TrainingSet
    grid : sequence of float, the values of C
    balance : ``weights`` or ``none``
    classes : list of str, sorted

    Returns
    -------
    list of LinearHead, one per C

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> weak, strong = logistic_path(data, (1.0, 0.01), "weights", ["a", "b"])
    >>> bool(abs(weak.weights).max() > abs(strong.weights).max())
    True
    """
    is_class = np.eye(len(classes))[class_numbers(data.labels, classes)]
    if len(classes) == 2:  # one row of coefficients, that of the second class
        is_class = is_class[:, 1:]
    mean, scale = standardisation(data)
    standard = (data.vectors - mean) / scale
    weights = recording_weights(data, balance)
    fits = None
    if len(classes) == 2 and standard.shape[1] <= _MAX_NEWTON:
        fits = _newton(standard, is_class[:, 0], weights, grid)
    if fits is None:
        features, back = _principal_axes(standard)
        features = np.hstack([features, np.ones((len(features), 1))])
        coefficients = np.zeros((is_class.shape[1], features.shape[1]))
        fits = []
        for c in grid:  # each fit starts at the solution of the previous C
            coefficients = _fit_logistic(features, is_class, weights, c, start=coefficients)
            fits.append(np.hstack([back(coefficients[:, :-1]), coefficients[:, -1:]]))
    if len(classes) == 2:
        fits = [np.vstack([-coefficients / 2, coefficients / 2]) for coefficients in fits]
    return [LinearHead(classes, mean, scale, f[:, :-1].copy(), f[:, -1].copy()) for f in fits]


def _newton(
    standard: Floats, is_second: Floats, weights: Floats, grid: Sequence[float]
) -> list[Floats] | None:
    """Fit two classes in few dimensions by Newton steps, all C at once; None if the steps diverge.

    Returns
    -------
    list of ndarray [shape=(1, n_dimensions + 1)], the bias last, one for each C
    """
    features = np.hstack([standard, np.ones((len(standard), 1))])
    shares = weights[:, None] / weights.sum()
    penalty = np.outer(1 / (np.array(grid) * weights.sum()), np.ones(features.shape[1]))
    penalty[:, -1] = 0.0
    coefficients = np.zeros_like(penalty)
    diagonal = np.arange(features.shape[1])
    for _ in range(_MAX_STEPS):
        probability = scipy.special.expit(features @ coefficients.T)
        gradient = (
            (probability - is_second[:, None]) * shares
        ).T @ features + coefficients * penalty
        curvature = (probability * (1 - probability) * shares).T
        hessian = (features.T * curvature[:, None, :]) @ features
        hessian[:, diagonal, diagonal] += penalty
        try:
            step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            return None
        coefficients -= step
        if (gradient * step).sum(axis=1).max() < _DECREMENT:
            return list(coefficients[:, None, :])
    return None


def _principal_axes(standard: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Rotate to uncorrelated axes; the second value takes coefficients back.

    An L2 penalty does not see a rotation, and directions in which no clip lies get no coefficient,
    so the solution stays the same. Embeddings vary a thousand times more along some axes than along
    others; with each axis scaled by itself the fit needs fewer steps. With many clips of many
    dimensions the rotation would cost more than it saves.
    """
    if min(standard.shape) > _MAX_ROTATED:
        return standard, lambda coefficients: coefficients
    if standard.shape[0] > standard.shape[1]:
        axes = np.linalg.eigh(standard.T @ standard)[1]
        return standard @ axes, lambda coefficients: coefficients @ axes.T
    squares, axes = np.linalg.eigh(standard @ standard.T)
    kept = squares > squares[-1] * 1e-12
    lengths, axes = np.sqrt(squares[kept]), axes[:, kept]
    return axes * lengths, lambda coefficients: ((coefficients / lengths) @ axes.T) @ standard


def _fit_logistic(
    features: Floats, is_class: Floats, weights: Floats, c: float, *, start: Floats
) -> Floats:
    """Any number of classes and any size: L-BFGS; the bias is free.

    Coefficients are scaled by the curvature that they have where all classes are equally probable,
    so that fewer steps are enough whatever C is.

    Parameters
    ----------
    features : ndarray [shape=(n_clips, n_axes + 1)], the last column 1
    is_class : ndarray [shape=(n_clips, n_classes)], or [shape=(n_clips, 1)] for two classes
    weights : ndarray [shape=(n_clips,)]
    c : float
    start : ndarray [shape=(n_classes or 1, n_axes + 1)], the bias last

    Returns
    -------
    ndarray, shape as ``start``
    """
    shares = weights[:, None] / weights.sum()
    penalty = np.full(features.shape[1], 1 / (c * weights.sum()))
    penalty[-1] = 0.0
    n_rows = is_class.shape[1]
    curvature = 1 / 4 if n_rows == 1 else (n_rows - 1) / n_rows**2
    scale = np.sqrt(penalty + curvature * (shares[:, 0] @ features**2))

    def objective(flat: Floats) -> tuple[float, Floats]:
        coefficients = flat.reshape(start.shape) / scale
        logits = features @ coefficients.T
        if n_rows == 1:
            probability = scipy.special.expit(logits)
            losses = np.logaddexp(0.0, logits) - is_class * logits
        else:
            logits -= logits.max(axis=1, keepdims=True)
            probability = np.exp(logits)
            sums = probability.sum(axis=1, keepdims=True)
            probability /= sums
            losses = np.log(sums) - (is_class * logits).sum(axis=1, keepdims=True)
        pull = coefficients * penalty
        gradient = ((probability - is_class) * shares).T @ features + pull
        loss = (shares * losses).sum() + (pull * coefficients).sum() / 2
        return float(loss), (gradient / scale).ravel()

    result = scipy.optimize.minimize(
        objective,
        (start * scale).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": _TOLERANCE, "ftol": 0, "maxiter": 1000},
    )
    return np.asarray(result.x.reshape(start.shape) / scale)

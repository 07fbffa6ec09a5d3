"""Logistic regression on standardised embeddings, its penalty chosen in inner folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pseudorca.errors import FoldError
from pseudorca.learning.dataset import Floats, Ints, TrainingSet
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
    standardised,
)
from pseudorca.learning.heads.logistic_fits import LogisticProblem, fit_logistic

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation strengths from which inner folds choose."""

_INNER_FOLDS = 3
_DEFAULT_C = 1e-2  # where a class has too few groups for inner folds
_RISE = 0.1  # of the inner log loss above its lowest: no larger C is tried


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

    @property
    def trains_together(self) -> bool:
        """True: see :mod:`pseudorca.learning.heads.logistic_fits`."""
        return True

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
        return self.fit_all([data])[0]

    def fit_all(self, sides: Sequence[TrainingSet]) -> list[LinearHead]:
        """Train on each side; the fits of all sides go side by side.

        ``details["inner_log_loss"]`` has the values of C that were tried, from the smallest up to the
        first at which the loss is well above its lowest.
        """
        classes = [classes_of(side.labels) for side in sides]
        with one_blas_thread():
            losses = [{} for _ in sides] if self.c is not None else self._inner_losses(sides)
            chosen = [self.c or min(of_side, key=of_side.__getitem__, default=_DEFAULT_C)
                      for of_side in losses]  # fmt: skip
            fits = [_Fit.of(*side, self.balance) for side in zip(sides, classes, strict=True)]
            found = fit_logistic([fit.problem for fit in fits], chosen)
        heads = []
        for fit, coefficients, c, of_side in zip(fits, found, chosen, losses, strict=True):
            head = fit.head(coefficients)
            head.details = {"n_clips": len(fit.problem.shares)}
            if self.c is None:
                shown = {f"{value:g}": loss for value, loss in of_side.items()}
                head.details["inner_log_loss"] = shown
            heads.append(replace(head, details=head.details | {"c": c}))
        return heads

    def _inner_losses(self, sides: Sequence[TrainingSet]) -> list[dict[float, float]]:
        """Out-of-fold log loss for each C, every recording weighing once within its class."""
        rounds = []
        for at, side in enumerate(sides):
            try:
                folds = inner_sides(side, _INNER_FOLDS, self.seed)
            except FoldError:
                continue
            weights = recording_weights(side, "weights")
            rounds += [_InnerRound.of(at, side, *rows, weights, self.balance) for rows in folds]
        losses: list[dict[float, float]] = [{} for _ in sides]
        start = None
        for c in C_GRID:
            found = fit_logistic([each.fit.problem for each in rounds], [c] * len(rounds), start)
            sums = np.zeros((2, len(sides)))
            for each, coefficients in zip(rounds, found, strict=True):
                sums[:, each.side] += each.loss(coefficients), each.weights.sum()
            kept = []
            for at in {each.side for each in rounds}:
                losses[at][c] = float(sums[0, at] / sums[1, at])
                if losses[at][c] <= min(losses[at].values()) + _RISE:
                    kept.append(at)
            going_on = [k for k, each in enumerate(rounds) if each.side in kept]
            rounds, start = [rounds[k] for k in going_on], [found[k] for k in going_on]
        return losses


@dataclass(frozen=True)
class _Fit:
    """A training side, standardised, as a problem to solve."""

    classes: list[str]
    mean: Floats
    scale: Floats
    problem: LogisticProblem

    @classmethod
    def of(cls, data: TrainingSet, classes: list[str], balance: Balance) -> "_Fit":
        standard, mean, scale = standardised(data)
        numbers, weights = class_numbers(data.labels, classes), recording_weights(data, balance)
        problem = LogisticProblem.of(standard, numbers, weights, len(classes))
        return cls(classes, mean, scale, problem)

    def weights_and_bias(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Of each class, for standardised vectors."""
        weights, bias = self.problem.weights_and_bias(coefficients)
        if len(self.classes) == 2:  # one row of coefficients, that of the second class
            halves = np.array([-0.5, 0.5])
            return halves[:, None] * weights, halves * bias
        return weights, bias

    def head(self, coefficients: Floats) -> LinearHead:
        """The trained head."""
        return LinearHead(self.classes, self.mean, self.scale, *self.weights_and_bias(coefficients))


@dataclass(frozen=True)
class _InnerRound:
    """An inner fold of a training side: a fit, and the clips that it is judged by."""

    side: int
    fit: _Fit
    standard: Floats
    numbers: Ints
    weights: Floats

    @classmethod
    def of(
        cls,
        side: int,
        data: TrainingSet,
        train: Ints,
        test: Ints,
        weights: Floats,
        balance: Balance,
    ) -> "_InnerRound":
        classes = classes_of(data.labels)
        fit = _Fit.of(data.take(train), classes, balance)
        standard = data.vectors[test] - fit.mean
        standard /= fit.scale
        return cls(side, fit, standard, class_numbers(data.labels[test], classes), weights[test])

    def loss(self, coefficients: Floats) -> float:
        """The weighted sum of the log loss of the clips."""
        weights, bias = self.fit.weights_and_bias(coefficients)
        scores = weights @ self.standard.T + bias[:, None]
        scores -= scores.max(axis=0)
        of_truth = scores[self.numbers, np.arange(len(self.numbers))]
        return float(self.weights @ (np.log(np.exp(scores).sum(axis=0)) - of_truth))

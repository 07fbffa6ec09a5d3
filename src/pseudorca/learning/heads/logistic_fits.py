"""Many penalised logistic regressions at once: one batch of quasi-Newton steps.

In: weighted clips and their classes, a :class:`LogisticProblem` per regression, and a C for each.
Out: coefficients at the minimum. A cross-validation, and much more a permutation test, fits hundreds
of small regressions: side by side they cost a fraction of what they cost one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import NDArray

from pseudorca.learning.dataset import Floats, Ints

TOLERANCE = 2e-4
"""A fit ends where the gradient is shorter than this, times the square root of the least curvature
(of the penalty, or of the bias): the mean loss is then about half the square of this (2e-8) above its
minimum, at most."""

_MEMORY = 5  # steps from which the curvature is known
_MAX_STEPS = 2000
_STEEPEST = 0.5  # of the slope at the start of a step: a steeper rise at its end went too far
_MAX_CUTS = 30
_JITTER = 1e-10  # of the mean square, on the diagonal of a matrix without full rank


@dataclass(frozen=True)
class LogisticProblem:
    """Weighted clips and their classes, along axes in which a fit is quick.

    Coefficients of a problem are [shape=(n_rows, n_axes + 1)], the bias last; ``n_rows`` is the number
    of classes, or 1 for two classes (the second against the first).

    Examples
    --------
    >>> standard = np.array([[-1.0], [-0.9], [0.9], [1.0]])
    >>> problem = LogisticProblem.of(standard, np.array([0, 0, 1, 1]), np.ones(4), 2)
    >>> (fit,) = fit_logistic([problem], [1.0])
    >>> problem.weights_and_bias(fit)[0].round(2).tolist()
    [[1.03]]
    """

    axes: Floats
    """[shape=(n_clips, n_axes)], centred by weight."""
    is_class: Floats
    """[shape=(n_rows, n_clips)]"""
    shares: Floats
    """The weights of the clips [shape=(n_clips,)], as shares of their sum."""
    total: float
    """The sum of the weights."""
    bias_scale: float
    """What stands beside the axes for the bias: about as long as the longest of them."""
    standard: Floats
    centre: Floats
    is_rotated: bool

    @classmethod
    def of(
        cls, standard: Floats, number: Ints, weights: Floats, n_classes: int
    ) -> "LogisticProblem":
        """Prepare a problem.

        An L2 penalty does not see a rotation: as many axes as clips hold everything, and with more than
        twice as many dimensions as clips the steps save more than the rotation costs.

        Parameters
        ----------
        standard : ndarray [shape=(n_clips, n_dimensions)], standardised embeddings
        number : ndarray [shape=(n_clips,)], the class of each clip
        weights : ndarray [shape=(n_clips,)]
        n_classes : int
        """
        is_class = (np.arange(n_classes)[:, None] == number).astype(np.float64)
        shares = weights / weights.sum()
        centre = shares @ standard
        axes, is_rotated = None, 2 * standard.shape[0] < standard.shape[1]
        if is_rotated:
            axes = _few_axes(standard, shares)
        if axes is None:
            axes, is_rotated = standard - centre, False
        spread = float(shares @ np.einsum("ij,ij->i", axes, axes))
        return cls(
            axes, is_class[1:] if n_classes == 2 else is_class, shares, float(weights.sum()),
            float(np.sqrt(spread / 4)) or 1.0, standard, centre, is_rotated,
        )  # fmt: skip

    def weights_and_bias(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Weights [shape=(n_rows, n_dimensions)] and bias [shape=(n_rows,)] of all dimensions."""
        along = coefficients[:, :-1]
        if self.is_rotated:
            of_clips = scipy.linalg.blas.dtrsm(1.0, self.axes, along.T, lower=True, trans_a=1).T
            along = of_clips @ self.standard - of_clips.sum(axis=1, keepdims=True) * self.centre
        along = np.ascontiguousarray(along)  # as it is read back, so that products are equal
        return along, coefficients[:, -1] * self.bias_scale - along @ self.centre


def _few_axes(standard: Floats, shares: Floats) -> Floats | None:
    """As many axes as clips, in which centred clips have the same products; None if that fails."""
    products = standard @ standard.T
    means = products @ shares
    products -= means[:, None] + (means - shares @ means)
    diagonal = np.einsum("ii->i", products)
    diagonal += _JITTER * diagonal.mean()
    axes, failed = scipy.linalg.lapack.dpotrf(products.T, lower=True, clean=True, overwrite_a=True)
    return None if failed else axes


def fit_logistic(
    problems: Sequence[LogisticProblem], c: Sequence[float], start: Sequence[Floats] | None = None
) -> list[Floats]:
    """Minimise, for each problem, C times the weighted log loss plus half the squared weights.

    The minimum is that of scikit-learn's ``LogisticRegression(C=c)``; the bias is free. The steps are
    those of L-BFGS [1]_, its vectors combined by their products [2]_.

    Parameters
    ----------
    problems : sequence of LogisticProblem
    c : sequence of float, for each problem
    start : sequence of coefficients, where to begin, or None: at 0

    Returns
    -------
    list of ndarray [shape=(n_rows, n_axes + 1)], the bias last

    References
    ----------
    .. [1] Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.4.
    .. [2] Chen, Wang and Zhou 2014, "Large-scale L-BFGS using MapReduce", NIPS 27.
    """
    fits: list[Floats] = [np.zeros(0)] * len(problems)
    alike: dict[tuple[int, int], list[int]] = {}  # by the size of their arrays
    for at, problem in enumerate(problems):
        size = len(problem.is_class), problem.axes.shape[1].bit_length()
        alike.setdefault(size, []).append(at)
    for places in alike.values():
        batch = _Batch(problems, np.asarray(c, dtype=np.float64), start, np.array(places))
        for _ in range(_MAX_STEPS):
            batch.finish(fits, batch.is_done())
            if not len(batch.places):
                break
            batch.step()
        batch.finish(fits, np.ones(len(batch.places), dtype=bool))
    return fits


class _Batch:
    """The unfinished fits, side by side: arrays with a row per fit, padded to the largest."""

    def __init__(
        self,
        all_problems: Sequence[LogisticProblem],
        c: Floats,
        start: Sequence[Floats] | None,
        places: Ints,
    ) -> None:
        problems = [all_problems[place] for place in places]
        n_fits, n_rows = len(problems), len(problems[0].is_class)
        n_clips = max(problem.axes.shape[0] for problem in problems)
        n_axes = max(problem.axes.shape[1] for problem in problems)
        self.places = places
        self.axes = [problem.axes for problem in problems]
        self.bias_scale = np.array([problem.bias_scale for problem in problems])
        self.penalty = 1 / (c[places] * [problem.total for problem in problems])
        of_bias = self.bias_scale**2 / (2 * n_rows + 2)  # at even probabilities, at least
        self.longest = TOLERANCE * np.sqrt(np.minimum(self.penalty, of_bias))
        self.is_class = np.zeros((n_fits, n_rows, n_clips))
        self.shares = np.zeros((n_fits, 1, n_clips))
        self.coefficients = np.zeros((n_fits, n_rows, n_axes + 1))
        for at, problem in enumerate(problems):
            n, width = problem.axes.shape
            self.is_class[at, :, :n], self.shares[at, 0, :n] = problem.is_class, problem.shares
            if start is not None:
                self.coefficients[at, :, [*range(width), -1]] = start[places[at]].T
        n_numbers = n_rows * (n_axes + 1)
        # Below each other: the latest steps, what they changed of the gradient, and the gradient.
        self.vectors = np.zeros((n_fits, 2 * _MEMORY + 1, n_numbers))
        self.products = np.zeros((n_fits, 2 * _MEMORY + 1, 2 * _MEMORY + 1))
        self.order: list[int] = []  # of the steps, the oldest first
        self.logits = self._along(self.coefficients)
        if start is not None:
            self._lengthen()
        self._keep_gradient(self._residuals(self.logits))

    def is_done(self) -> NDArray[np.bool_]:
        """The fits whose gradient is small enough."""
        return np.asarray(self.products[:, -1, -1] <= self.longest**2)

    def finish(self, fits: list[Floats], done: NDArray[np.bool_]) -> None:
        """Put finished fits in their places, and leave them out of the batch."""
        if not done.any():
            return
        for at in np.flatnonzero(done):
            width = self.axes[at].shape[1]
            fits[self.places[at]] = self.coefficients[at][:, [*range(width), -1]]
        kept = np.flatnonzero(~done)
        self.axes = [self.axes[at] for at in kept]
        for name in ("places", "bias_scale", "longest", "penalty", "is_class", "shares", "coefficients",
                     "vectors", "products", "logits"):  # fmt: skip
            setattr(self, name, getattr(self, name)[kept])

    def step(self) -> None:
        """One step of every fit, as long as the slope at its end allows."""
        direction = self._direction().reshape(self.coefficients.shape)
        ahead = self._along(direction)
        slope = _product(self.vectors[:, -1], direction)
        pull = self.penalty * _product(self.coefficients[..., :-1], direction[..., :-1])
        stiffness = self.penalty * _product(direction[..., :-1], direction[..., :-1])
        length = np.ones(len(slope))
        if not self.order:  # the first step knows no curvature: it takes that of the loss itself
            length = -slope / (stiffness + self._curvature(ahead))
        for _ in range(_MAX_CUTS):
            residuals = self._residuals(self.logits + length[:, None, None] * ahead)
            reached = _product(residuals, ahead) + pull + length * stiffness
            too_far = reached > -_STEEPEST * slope
            if not too_far.any():
                break
            length = np.where(too_far, length * slope / (slope - reached), length)
        taken = length[:, None, None] * direction
        self.logits += length[:, None, None] * ahead
        self.coefficients += taken
        before = self.vectors[:, -1].copy()
        at = len(self.order) if len(self.order) < _MEMORY else self.order.pop(0)
        self.order.append(at)
        self._keep_gradient(residuals)
        self.vectors[:, at] = taken.reshape(len(taken), -1)
        self.vectors[:, _MEMORY + at] = self.vectors[:, -1] - before
        new = [at, _MEMORY + at, 2 * _MEMORY]
        of_new = self.vectors @ self.vectors[:, new].transpose(0, 2, 1)
        self.products[:, :, new] = of_new
        self.products[:, new, :] = of_new.transpose(0, 2, 1)

    def _lengthen(self) -> None:
        """Stretch the coefficients of a smaller C: two Newton steps along themselves."""
        weights = self.coefficients[..., :-1]
        stiffness = self.penalty * _product(weights, weights)
        stretch, along = np.ones(len(stiffness)), self.logits.copy()
        for _ in range(2):
            slope = _product(self._residuals(self.logits), along) + stretch * stiffness
            bend = stiffness + self._curvature(along)
            stretch -= np.divide(slope, bend, out=np.zeros_like(bend), where=bend > 0)
            self.logits = stretch[:, None, None] * along
        self.coefficients *= stretch[:, None, None]

    def _along(self, coefficients: Floats) -> Floats:
        """What coefficients give each clip [shape=(n_fits, n_rows, n_clips)]."""
        logits = np.zeros(self.is_class.shape)
        for at, axes in enumerate(self.axes):
            n, width = axes.shape
            np.matmul(coefficients[at, :, :width], axes.T, out=logits[at, :, :n])
        logits += coefficients[:, :, -1:] * self.bias_scale[:, None, None]
        return logits

    def _residuals(self, logits: Floats) -> Floats:
        """Weighted probability minus truth [shape=(n_fits, n_rows, n_clips)]."""
        return (_probabilities(logits) - self.is_class) * self.shares

    def _curvature(self, ahead: Floats) -> Floats:
        """The second derivative of the loss along a direction [shape=(n_fits,)]."""
        probability = _probabilities(self.logits)
        moved = probability * ahead
        if probability.shape[1] == 1:
            return _product(moved * (1 - probability) * self.shares, ahead)
        return _product(
            (moved - probability * moved.sum(axis=1, keepdims=True)) * self.shares, ahead
        )

    def _keep_gradient(self, residuals: Floats) -> None:
        gradient = np.zeros(self.coefficients.shape)
        for at, axes in enumerate(self.axes):
            n, width = axes.shape
            np.matmul(residuals[at, :, :n], axes, out=gradient[at, :, :width])
        gradient[..., :-1] += self.penalty[:, None, None] * self.coefficients[..., :-1]
        gradient[..., -1] = residuals.sum(axis=2) * self.bias_scale[:, None]
        self.vectors[:, -1] = gradient.reshape(len(gradient), -1)
        self.products[:, -1, -1] = _product(gradient, gradient)

    def _direction(self) -> Floats:
        """Minus the gradient, divided by the curvature that the latest steps met."""
        share = np.zeros(self.products.shape[:2])  # of each vector
        share[:, -1] = -1.0
        if self.order:
            turn = np.zeros((_MEMORY, len(share)))
            bend = np.einsum("bii->ib", self.products[:, :_MEMORY, _MEMORY:-1])
            with np.errstate(divide="ignore"):
                inverse = np.where(bend > 0, 1 / bend, 0.0)
            for at in reversed(self.order):
                turn[at] = inverse[at] * _product(share, self.products[:, at])
                share[:, _MEMORY + at] -= turn[at]
            at = self.order[-1]
            change = self.products[:, _MEMORY + at, _MEMORY + at]
            share *= np.where(change > 0, bend[at] / np.where(change > 0, change, 1.0), 1.0)[
                :, None
            ]
            for at in self.order:
                back = inverse[at] * _product(share, self.products[:, _MEMORY + at])
                share[:, at] += turn[at] - back
        return np.asarray((share[:, None, :] @ self.vectors)[:, 0])


def _probabilities(logits: Floats) -> Floats:
    """Of each row; for one row, of the second class."""
    if logits.shape[1] == 1:
        return np.asarray(scipy.special.expit(logits))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return np.asarray(exponentials)


def _product(a: Floats, b: Floats) -> Floats:
    """The inner product of each fit's vectors [shape=(n_fits,)]."""
    return np.asarray((a.reshape(len(a), 1, -1) @ b.reshape(len(b), -1, 1))[:, 0, 0])

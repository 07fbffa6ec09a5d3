"""Support vector machines with a radial kernel, one per class against the rest."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Arrays,
    Balance,
    Head,
    PlainHead,
    Space,
    TrainedHead,
    check_weighing,
    check_width,
    classes_of,
    one_blas_thread,
    part,
    recording_weights,
    standardisation,
    under,
)
from pseudorca.learning.heads.score_scale import fit_slope, log_softmax


@dataclass
class _Machines:
    """What scikit-learn found: f_k(x) = sum_i a_ki exp(-gamma |x - x_i|²) + b_k, one k per class.

    Of two classes the second has the values of the first with the other sign.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    support: NDArray[np.float64]
    """[shape=(n_support, n_dimensions)], standardised"""
    coefficients: NDArray[np.float64]
    """[shape=(n_machines, n_support)]"""
    intercepts: NDArray[np.float64]
    """[shape=(n_machines,)]"""
    gamma: NDArray[np.float64]
    """[shape=(1,)]"""

    def values(self, vectors: Vectors) -> NDArray[np.float64]:
        kernel = rbf_kernel((vectors - self.mean) / self.scale, self.support, self.gamma[0])
        return np.asarray(kernel @ self.coefficients.T + self.intercepts)


@dataclass
class TrainedSvm(TrainedHead):
    """Machines, and what their values are worth."""

    kind: ClassVar[str] = "svm"

    machines: _Machines
    slope: NDArray[np.float64]
    """[shape=(1,)]"""

    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        check_width(vectors, len(self.machines.mean))
        values = self.machines.values(vectors)
        return log_softmax(values, self.slope[0], np.zeros(len(self.classes)))

    def arrays(self) -> Arrays:
        return under("svm", vars(self.machines)) | {"slope": self.slope}

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        return cls(classes, _Machines(**part("svm", arrays)), arrays["slope"])


@dataclass(frozen=True)
class SvmHead(PlainHead):
    """Support vector machines with the kernel exp(-width |x - y|² / n_dimensions).

    On standardised embeddings, one class against the rest; values become probabilities by
    :mod:`pseudorca.learning.heads.score_scale`. Each recording weighs once.
    """

    name: ClassVar[str] = "svm"
    title: ClassVar[str] = "support vector machines"
    space: ClassVar[Space] = {"c": (0.1, 1.0, 10.0, 100.0), "width": (0.03, 0.1, 0.3, 1.0)}

    c: float = 10.0
    """Inverse regularisation strength."""
    width: float = 0.1
    balance: Balance = "weights"
    """``weights``: each class weighs the same; ``none``: as many as it has recordings."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_weighing(self.name, self.balance)
        if not (0 < self.c < np.inf and 0 < self.width < np.inf):
            raise HeadError(
                f"--c {self.c:g}, width {self.width:g}: expected more than 0, and finite."
            )

    def penalised_as(self, n_clips: int, n_rows: int) -> Head:
        return replace(self, c=self.c * n_clips / n_rows)

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedSvm:
        """Train. HeadError if there are fewer than two classes."""
        classes = classes_of(data.labels)
        with one_blas_thread():
            slope, details = fit_slope(
                lambda side: self._machines(side).values, data,
                balance=self.balance, offset=np.zeros(len(classes)), seed=self.seed,
            )  # fmt: skip
            machines = self._machines(data)
        details |= {"n_clips": len(data.labels), "n_support": len(machines.support)}
        return TrainedSvm(classes, machines, np.array([slope]), details=details)

    def _machines(self, data: TrainingSet) -> _Machines:
        classes = classes_of(data.labels)
        mean, scale = standardisation(data)
        x = (data.vectors - mean) / scale
        gamma = self.width / x.shape[1]
        weights = recording_weights(data, self.balance)
        coefficients, intercepts = np.zeros((len(classes), len(x))), np.zeros(len(classes))
        for k in range(1 if len(classes) == 2 else len(classes)):
            machine = SVC(C=self.c, gamma=gamma)
            machine.fit(x, data.labels == classes[k], sample_weight=weights)
            coefficients[k, machine.support_] = machine.dual_coef_[0]
            intercepts[k] = machine.intercept_[0]
        if len(classes) == 2:
            coefficients[1], intercepts[1] = -coefficients[0], -intercepts[0]
        used = coefficients.any(axis=0)
        return _Machines(
            mean, scale, x[used], np.ascontiguousarray(coefficients[:, used]), intercepts,
            np.array([gamma]),
        )  # fmt: skip

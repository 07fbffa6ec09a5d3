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
class _SvmPerClass:
    """Values per class: f_k(x) = sum_i a_ki exp(-gamma |x - x_i|²) + b_k, one k per class.

    With two classes, the value of the second class is minus that of the first.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    support: NDArray[np.float64]
    """[shape=(n_support, n_dimensions)], standardised"""
    coefficients: NDArray[np.float64]
    """[shape=(n_svms, n_support)]"""
    intercepts: NDArray[np.float64]
    """[shape=(n_svms,)]"""
    gamma: NDArray[np.float64]
    """[shape=(1,)]"""

    def values(self, vectors: Vectors) -> NDArray[np.float64]:
        kernel = rbf_kernel((vectors - self.mean) / self.scale, self.support, self.gamma[0])
        return np.asarray(kernel @ self.coefficients.T + self.intercepts)


@dataclass
class TrainedSvm(TrainedHead):
    """An SVM per class, with the slope from their values to log-probabilities."""

    kind: ClassVar[str] = "svm"

    svms: _SvmPerClass
    slope: NDArray[np.float64]
    """[shape=(1,)]"""

    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        check_width(vectors, len(self.svms.mean))
        values = self.svms.values(vectors)
        return log_softmax(values, self.slope[0], np.zeros(len(self.classes)))

    def arrays(self) -> Arrays:
        return under("svm", vars(self.svms)) | {"slope": self.slope}

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        return cls(classes, _SvmPerClass(**part("svm", arrays)), arrays["slope"])


@dataclass(frozen=True)
class SvmHead(PlainHead):
    """Support vector machines with the kernel exp(-width |x - y|² / n_dimensions).

    On standardised embeddings, one class against the rest; values become probabilities by
    :mod:`pseudorca.learning.heads.score_scale`. Each recording weighs once.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> SvmHead().fit(data).log_probabilities(vectors).argmax(axis=1).tolist()
    [0, 0, 1, 1]
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
                lambda side: self._svms(side).values, data,
                balance=self.balance, offset=np.zeros(len(classes)), seed=self.seed,
            )  # fmt: skip
            svms = self._svms(data)
        details |= {"n_clips": len(data.labels), "n_support": len(svms.support)}
        return TrainedSvm(classes, svms, np.array([slope]), details=details)

    def _svms(self, data: TrainingSet) -> _SvmPerClass:
        classes = classes_of(data.labels)
        mean, scale = standardisation(data)
        x = (data.vectors - mean) / scale
        gamma = self.width / x.shape[1]
        weights = recording_weights(data, self.balance)
        coefficients, intercepts = np.zeros((len(classes), len(x))), np.zeros(len(classes))
        for k in range(1 if len(classes) == 2 else len(classes)):
            svm = SVC(C=self.c, gamma=gamma)
            svm.fit(x, data.labels == classes[k], sample_weight=weights)
            coefficients[k, svm.support_] = svm.dual_coef_[0]
            intercepts[k] = svm.intercept_[0]
        if len(classes) == 2:
            coefficients[1], intercepts[1] = -coefficients[0], -intercepts[0]
        used = coefficients.any(axis=0)
        return _SvmPerClass(
            mean, scale, x[used], np.ascontiguousarray(coefficients[:, used]), intercepts,
            np.array([gamma]),
        )  # fmt: skip

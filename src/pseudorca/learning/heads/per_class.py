"""A model per class: support vector machines, Gaussian mixtures, and hidden Markov models.

Each model gives a value: the signed distance from a boundary, or a log density. Values become
log-probabilities by one slope for all classes (after Platt). The values of a model on its own training
clips are too high. So the values are computed in inner folds that keep groups whole, the slope is
fitted to them, and the model is trained anew on all clips. More numbers, such as one for each pair of
classes, would be learned from few encounters: on 34 real encounters of six species, that cost the SVM a
fifth of the recordings that it named rightly, and the mixture half of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import scipy.optimize
import scipy.special
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.mixture import GaussianMixture
from sklearn.svm import SVC

from pseudorca.errors import FoldError, HeadError, MissingExtraError
from pseudorca.learning.dataset import Floats, Ints, TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Arrays,
    Balance,
    Head,
    Space,
    TrainedHead,
    check_settings,
    check_width,
    class_numbers,
    classes_of,
    inner_sides,
    is_count,
    is_positive,
    one_blas_thread,
    part,
    recording_weights,
    standardisation,
    under,
)

Values = Callable[[Vectors], Floats]
"""Embeddings [shape=(n, n_dimensions)] to values [shape=(n, n_classes)], the higher the likelier."""

_INNER_FOLDS = 3
_LOG_SLOPES = (-12.0, 12.0)  # of values that vary by 1
_MIN_FRAMES = 20
_FLOOR = 1e-2  # least variance, where all frames together have a variance of 1
_LEAST_PROBABILITY = 1e-10  # of a first state or a transition


@dataclass
class TrainedSvm(TrainedHead):
    """Values per class: f_k(x) = sum_i a_ki exp(-gamma |x - x_i|²) + b_k, one k per class.

    With two classes, the value of the second class is minus that of the first.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> SvmHead().fit(data).values(vectors).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """

    kind: ClassVar[str] = "svm"

    slope: Floats
    """[shape=(1,)], from values to log-probabilities"""
    mean: Floats
    scale: Floats
    support: Floats
    """[shape=(n_support, n_dimensions)], standardised"""
    coefficients: Floats
    """[shape=(n_svms, n_support)]"""
    intercepts: Floats
    """[shape=(n_svms,)]"""
    gamma: Floats
    """[shape=(1,)]"""

    def values(self, vectors: Vectors) -> Floats:
        """Values of embeddings [shape=(n, n_classes)], positive for the clips of the class."""
        kernel = rbf_kernel((vectors - self.mean) / self.scale, self.support, self.gamma[0])
        return np.asarray(kernel @ self.coefficients.T + self.intercepts)

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings; see :meth:`TrainedHead.log_probabilities`."""
        check_width(vectors, len(self.mean))
        return log_softmax(self.values(vectors), self.slope[0], np.zeros(len(self.classes)))

    def arrays(self) -> Arrays:
        """All arrays; those of the SVMs are called ``svm.`` and their name."""
        arrays = super().arrays()
        return {"slope": arrays.pop("slope")} | under("svm", arrays)

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild a head from the arrays of :meth:`arrays`."""
        return cls(classes, arrays["slope"], **part("svm", arrays))


@dataclass(frozen=True)
class SvmHead(Head):
    """Support vector machines with the kernel exp(-width |x - y|² / n_dimensions).

    On standardised embeddings, one class against the rest. Each recording weighs once.

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
        super().__post_init__()
        check_settings(self, ("c", "width"), is_positive, "more than 0, and finite")

    def penalised_as(self, n_clips: int, n_rows: int) -> Head:
        """The head with C rescaled, so that the penalty weighs as much against a clip as before."""
        return replace(self, c=self.c * n_clips / n_rows)

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedSvm:
        """Train. HeadError if there are fewer than two classes."""
        offset = np.zeros(len(classes_of(data.labels)))
        trained = _with_slope(self._svms, data, self, offset)
        trained.details["n_support"] = len(trained.support)
        return trained

    def _svms(self, data: TrainingSet) -> TrainedSvm:
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
        return TrainedSvm(
            classes, np.ones(1), mean, scale, x[used],
            np.ascontiguousarray(coefficients[:, used]), intercepts, np.array([gamma]),
        )  # fmt: skip


@dataclass
class TrainedDensities(TrainedHead):
    """A density per class over standardised frames, or over the principal axes of embeddings.

    The density of a clip under a class is not a probability of the class; the slope makes it one.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> GmmHead(n_components=1).fit(data).values(vectors).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """

    kind: ClassVar[str] = "densities"

    slope: Floats
    """[shape=(1,)], from log densities to log-probabilities"""
    log_prior: Floats
    """[shape=(n_classes,)]"""
    width: Ints
    """[shape=(1,)], dimensions of an embedding"""
    frame_size: Ints
    """[shape=(1,)]; 0: the embedding is not a sequence of frames"""
    mean: Floats
    axes: Floats
    """[shape=(n_dimensions, n_axes)]: frames or embeddings become ``(x - mean) @ axes``"""
    models: list[Arrays]
    """Per class: ``weights, means, variances``, or ``start, transitions, means, variances``."""

    def values(self, vectors: Vectors) -> Floats:
        """Log density per class, the mean over the frames [shape=(n, n_classes)]."""
        x = _frames(vectors, int(self.frame_size[0]))
        projected = (x - self.mean) @ self.axes
        return np.stack([_log_density(model, projected) for model in self.models], axis=1)

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings; see :meth:`TrainedHead.log_probabilities`."""
        check_width(vectors, int(self.width[0]))
        return log_softmax(self.values(vectors), self.slope[0], self.log_prior)

    def arrays(self) -> Arrays:
        """All arrays; those of the densities are called ``densities.`` and their name."""
        arrays = super().arrays()
        whole = {name: arrays.pop(name) for name in ("slope", "log_prior")}
        for k, model in enumerate(self.models):
            arrays |= under(f"class {k}", model)
        return whole | under("densities", arrays)

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        """Rebuild a head from the arrays of :meth:`arrays`."""
        own = part("densities", arrays)
        models = [part(f"class {k}", own) for k in range(len(classes))]
        named = {name: own[name] for name in ("width", "frame_size", "mean", "axes")}
        return cls(classes, arrays["slope"], arrays["log_prior"], **named, models=models)


@dataclass(frozen=True)
class GmmHead(Head):
    """A Gaussian mixture per class, on the principal axes of embeddings or on frames.

    Variances are diagonal and never below a hundredth of that of all clips. Every clip weighs the
    same in its class's density; the classes weigh as ``balance`` says.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> GmmHead(n_components=1).fit(data).log_probabilities(vectors).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """

    name: ClassVar[str] = "gmm"
    title: ClassVar[str] = "Gaussian mixtures"
    space: ClassVar[Space] = {"n_components": (1, 2, 4, 8), "n_axes": (5, 10, 20, 40)}

    n_components: int = 2
    n_axes: int = 20
    """Principal axes, each scaled to vary by 1; frames keep their own dimensions."""
    frame_size: int | None = None
    """Numbers of a frame where an embedding is a sequence of frames (``mfcc_frames``: 13)."""
    balance: Balance = "weights"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("n_components", "n_axes", *(("frame_size",) if self.frame_size else ()))
        check_settings(self, counts, is_count, "at least 1")

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedDensities:
        """Train. HeadError if there are fewer than two classes, or embeddings are not frames."""

        def density(x: Floats) -> Arrays:
            frames = x.reshape(-1, x.shape[-1])
            mixture = GaussianMixture(
                min(round(self.n_components), len(frames)), covariance_type="diag",
                reg_covar=_FLOOR, max_iter=500, random_state=self.seed,
            ).fit(frames)  # fmt: skip
            return {
                "weights": mixture.weights_, "means": mixture.means_, "variances": mixture.covariances_,
            }  # fmt: skip

        n_axes = None if self.frame_size else round(self.n_axes)
        return _fit_densities(data, density, self, self.frame_size or 0, n_axes)


@dataclass(frozen=True)
class HmmHead(Head):
    """A hidden Markov model with Gaussian states per class, on sequences of frames (hmmlearn).

    Examples
    --------
    >>> HmmHead(n_states=2).settings()["n_states"]
    2
    """

    name: ClassVar[str] = "hmm"
    title: ClassVar[str] = "hidden Markov models"
    space: ClassVar[Space] = {"n_states": (1, 2, 3, 5)}

    n_states: int = 3
    frame_size: int = 13
    """Numbers of a frame; ``mfcc_frames`` gives 13."""
    n_iterations: int = 20
    balance: Balance = "weights"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self, ("n_states", "frame_size", "n_iterations"), is_count, "at least 1")

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedDensities:
        """Train. HeadError if there are fewer than two classes, or embeddings are not frames."""

        def density(x: Floats) -> Arrays:
            n_clips, n_frames, n_dimensions = x.shape
            model = _hmmlearn().GaussianHMM(
                round(self.n_states), "diag", min_covar=_FLOOR, n_iter=self.n_iterations,
                random_state=self.seed,
            )  # fmt: skip
            model.fit(x.reshape(-1, n_dimensions), [n_frames] * n_clips)
            diagonal = np.diagonal(model.covars_, axis1=1, axis2=2)
            return {
                "start": _shares(model.startprob_),
                "transitions": _shares(model.transmat_),
                "means": model.means_,
                "variances": np.ascontiguousarray(np.maximum(diagonal, _FLOOR)),
            }

        return _fit_densities(data, density, self, self.frame_size, None)


def _fit_densities(
    data: TrainingSet,
    density: Callable[[Floats], Arrays],
    head: Head,
    frame_size: int,
    n_axes: int | None,
) -> TrainedDensities:
    classes = classes_of(data.labels)
    weights = recording_weights(data, head.balance)
    shares = np.array([weights[data.labels == label].sum() for label in classes])
    log_prior = np.log(shares / shares.sum())

    def fit(side: TrainingSet) -> TrainedDensities:
        x = _frames(side.vectors, frame_size)
        mean, axes = _axes(x, side, n_axes)
        projected = (x - mean) @ axes
        models = [density(projected[side.labels == label]) for label in classes]
        width, size = np.array([side.vectors.shape[1]]), np.array([frame_size])
        return TrainedDensities(classes, np.ones(1), log_prior, width, size, mean, axes, models)

    return _with_slope(fit, data, head, log_prior)


def _frames(vectors: Vectors, frame_size: int) -> Floats:
    """[shape=(n_clips, n_frames, frame_size)]; one frame, the embedding itself, if size is 0."""
    width = vectors.shape[1]
    size = frame_size or width
    if frame_size and (width % size or width // size < _MIN_FRAMES):
        raise HeadError(
            f"embeddings of {width} numbers are no sequence of {_MIN_FRAMES} or more frames of "
            f"{size}. Embed with --backbone mfcc_frames, or use another head."
        )
    return vectors.astype(np.float64).reshape(len(vectors), width // size, size)


def _axes(x: Floats, data: TrainingSet, n_axes: int | None) -> tuple[Floats, Floats]:
    """Mean, and the axes onto which frames are projected, each varying by 1."""
    if n_axes is None:
        flat = x.reshape(-1, x.shape[-1]).astype(np.float32)
        mean, scale = standardisation(replace(data, vectors=flat, blocks=()))
        return mean, np.diag(1 / scale)
    mean, scale = standardisation(data)
    standard = (x[:, 0] - mean) / scale
    _, lengths, rotation = np.linalg.svd(standard, full_matrices=False)
    kept = (lengths > lengths[0] * 1e-6).nonzero()[0][:n_axes]
    spread = lengths[kept] / np.sqrt(len(standard))
    return mean, np.ascontiguousarray((rotation[kept] / spread[:, None] / scale).T)


def _log_density(model: Arrays, x: Floats) -> Floats:
    """Mean over the frames of x [shape=(n_clips, n_frames, n_axes)] -> [shape=(n_clips,)]."""
    n_clips, n_frames, n_axes = x.shape
    if "start" not in model:
        mixture = GaussianMixture(len(model["weights"]), covariance_type="diag")
        mixture.weights_, mixture.means_ = model["weights"], model["means"]
        mixture.covariances_ = model["variances"]
        mixture.precisions_cholesky_ = 1 / np.sqrt(model["variances"])
        log_density = mixture.score_samples(x.reshape(-1, n_axes))
        return np.asarray(log_density.reshape(n_clips, n_frames).mean(axis=1))
    chain = _hmmlearn().GaussianHMM(len(model["start"]), "diag")
    chain.n_features = n_axes
    chain.startprob_, chain.transmat_ = model["start"], model["transitions"]
    chain.means_, chain.covars_ = model["means"], model["variances"]
    return np.array([chain.score(clip) / n_frames for clip in x])


def _shares(probabilities: Floats) -> Floats:
    """Normalise to a sum of 1, without zeros; a state that no clip visits has NaN or 0."""
    shares = np.nan_to_num(probabilities) + _LEAST_PROBABILITY
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _hmmlearn() -> Any:
    try:
        from hmmlearn import hmm
    except ImportError as error:
        raise MissingExtraError("hmmlearn", "classic") from error
    return hmm


_Trained = TypeVar("_Trained", TrainedSvm, TrainedDensities)


def _with_slope(
    fit: Callable[[TrainingSet], _Trained], data: TrainingSet, head: Head, offset: Floats
) -> _Trained:
    """Train on all clips, with the slope of values out of fold."""
    seed: int = head.settings()["seed"]
    with one_blas_thread():
        slope, details = fit_slope(
            lambda side: fit(side).values, data, balance=head.balance, offset=offset, seed=seed
        )
        trained = fit(data)
    details |= {"n_clips": len(data.labels)}
    return replace(trained, slope=np.array([slope]), details=details)


def fit_slope(
    fit: Callable[[TrainingSet], Values],
    data: TrainingSet,
    *,
    balance: Balance,
    offset: Floats,
    seed: int,
) -> tuple[float, dict[str, Any]]:
    """Fit the slope of a model's values: log probability = log softmax(slope * value + offset).

    Parameters
    ----------
    fit : callable, trains the model on a training side that holds every class
    data : TrainingSet
    balance : ``weights`` or ``none``, of the classes
    offset : ndarray [shape=(n_classes,)], log of the classes' prior
    seed : int

    Returns
    -------
    slope : float
    details : dict
        ``linked_out_of_fold``: False if a class has too few groups for inner folds. Then the slope
        is fitted to the values of training clips, and the probabilities are overconfident

    References
    ----------
    .. [1] Platt 1999, "Probabilistic outputs for support vector machines and comparisons to
       regularized likelihood methods", Advances in Large Margin Classifiers.
    .. [2] Guo et al. 2017, "On calibration of modern neural networks", ICML: one slope for all.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> groups = np.array(["a1", "a2", "b1", "b2"], dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, groups, np.arange(4).astype(object))
    >>> slope, details = fit_slope(
    ...     lambda side: lambda x: np.hstack([0.5 - x, x - 0.5]).astype(np.float64), data,
    ...     balance="weights", offset=np.zeros(2), seed=0,
    ... )
    >>> slope > 0, details
    (True, {'linked_out_of_fold': True})
    """
    classes = classes_of(data.labels)
    truth = class_numbers(data.labels, classes)
    try:
        sides = inner_sides(data, _INNER_FOLDS, seed)
        values = np.full((len(truth), len(classes)), np.nan)
        for train, test in sides:
            values[test] = fit(data.take(train))(data.vectors[test])
    except FoldError:
        sides, values = [], fit(data)(data.vectors)
    judged = np.isfinite(values).all(axis=1)
    values, truth = values[judged], truth[judged]
    weights = recording_weights(data, balance)[judged]
    spread = float((values - values.mean(axis=1, keepdims=True)).std()) or 1.0

    def loss(log_slope: float) -> float:
        scores = log_softmax(values, np.exp(log_slope) / spread, offset)
        return float(-(weights @ scores[np.arange(len(truth)), truth]) / weights.sum())

    best = scipy.optimize.minimize_scalar(loss, bounds=_LOG_SLOPES, method="bounded")
    return float(np.exp(best.x) / spread), {"linked_out_of_fold": bool(sides)}


def log_softmax(values: Floats, slope: float, offset: Floats) -> Floats:
    """Turn values into log-probabilities, with the slope of :func:`fit_slope`.

    Parameters
    ----------
    values : ndarray [shape=(n, n_classes)]
    slope : float
    offset : ndarray [shape=(n_classes,)], log of the classes' prior

    Returns
    -------
    ndarray [shape=(n, n_classes)], natural logarithms, normalised

    Examples
    --------
    >>> np.exp(log_softmax(np.zeros((1, 2)), 1.0, np.zeros(2))).tolist()
    [[0.5, 0.5]]
    """
    return np.asarray(scipy.special.log_softmax(slope * values + offset, axis=1))

"""A density per class: Gaussian mixtures, and hidden Markov models of a sequence of frames.

The density of a clip under a class is not a probability of the class. The scale from log densities to
log-probabilities is learned in inner folds (:mod:`pseudorca.learning.heads.score_scale`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from pseudorca.errors import HeadError, MissingExtraError
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Arrays,
    Balance,
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

_MIN_FRAMES = 20
_FLOOR = 1e-2  # least variance, where all frames together have a variance of 1
_LEAST_PROBABILITY = 1e-10  # of a first state or a transition


@dataclass
class _Densities:
    """A density per class over standardised frames, or over the principal axes of embeddings."""

    width: NDArray[np.int64]
    """[shape=(1,)], dimensions of an embedding"""
    frame_size: NDArray[np.int64]
    """[shape=(1,)]; 0: the embedding is not a sequence of frames"""
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    """[shape=(n_dimensions, n_axes)]: frames or embeddings become ``(x - mean) @ axes``"""
    models: list[Arrays]
    """Per class: ``weights, means, variances``, or ``start, transitions, means, variances``."""

    def values(self, vectors: Vectors) -> NDArray[np.float64]:
        """Log density per class, the mean over the frames [shape=(n, n_classes)]."""
        x = _frames(vectors, int(self.frame_size[0]))
        projected = (x - self.mean) @ self.axes
        densities = [_log_density(model, projected) for model in self.models]
        return np.stack(densities, axis=1)

    def arrays(self) -> Arrays:
        arrays = {key: getattr(self, key) for key in ("width", "frame_size", "mean", "axes")}
        for k, model in enumerate(self.models):
            arrays |= under(f"class {k}", model)
        return arrays

    @classmethod
    def from_arrays(cls, n_classes: int, arrays: Arrays) -> Self:
        models = [part(f"class {k}", arrays) for k in range(n_classes)]
        return cls(arrays["width"], arrays["frame_size"], arrays["mean"], arrays["axes"], models)


@dataclass
class TrainedDensities(TrainedHead):
    """Densities, with the slope from log densities to log-probabilities."""

    kind: ClassVar[str] = "densities"

    densities: _Densities
    slope: NDArray[np.float64]
    """[shape=(1,)]"""
    log_prior: NDArray[np.float64]
    """[shape=(n_classes,)]"""

    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        check_width(vectors, int(self.densities.width[0]))
        return log_softmax(self.densities.values(vectors), self.slope[0], self.log_prior)

    def arrays(self) -> Arrays:
        own = {"slope": self.slope, "log_prior": self.log_prior}
        return under("densities", self.densities.arrays()) | own

    @classmethod
    def from_arrays(cls, classes: list[str], arrays: Arrays) -> Self:
        densities = _Densities.from_arrays(len(classes), part("densities", arrays))
        return cls(classes, densities, arrays["slope"], arrays["log_prior"])


@dataclass(frozen=True)
class GmmHead(PlainHead):
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
        check_weighing(self.name, self.balance)
        counts = (self.n_components, self.n_axes, self.frame_size or 1)
        if not all(1 <= n < np.inf for n in counts):
            raise HeadError(
                f"n_components {counts[0]}, n_axes {counts[1]}, frame_size {counts[2]}: expected at "
                "least 1 of each."
            )

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedDensities:
        """Train. HeadError if there are fewer than two classes, or embeddings are not frames."""

        def density(x: NDArray[np.float64]) -> Arrays:
            frames = x.reshape(-1, x.shape[-1])
            mixture = GaussianMixture(
                min(round(self.n_components), len(frames)), covariance_type="diag",
                reg_covar=_FLOOR, max_iter=500, random_state=self.seed,
            ).fit(frames)  # fmt: skip
            return {
                "weights": mixture.weights_, "means": mixture.means_, "variances": mixture.covariances_,
            }  # fmt: skip

        n_axes = None if self.frame_size else round(self.n_axes)
        return _fit(data, density, self.frame_size or 0, n_axes, self.balance, self.seed)


@dataclass(frozen=True)
class HmmHead(PlainHead):
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
        check_weighing(self.name, self.balance)
        counts = (self.n_states, self.frame_size, self.n_iterations)
        if not all(1 <= n < np.inf for n in counts):
            raise HeadError(
                f"n_states {counts[0]}, frame_size {counts[1]}, n_iterations {counts[2]}: expected at "
                "least 1 of each."
            )

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedDensities:
        """Train. HeadError if there are fewer than two classes, or embeddings are not frames."""

        def density(x: NDArray[np.float64]) -> Arrays:
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

        return _fit(data, density, self.frame_size, None, self.balance, self.seed)


def _fit(
    data: TrainingSet,
    density: Callable[[NDArray[np.float64]], Arrays],
    frame_size: int,
    n_axes: int | None,
    balance: Balance,
    seed: int,
) -> TrainedDensities:
    classes = classes_of(data.labels)

    def fit(side: TrainingSet) -> _Densities:
        x = _frames(side.vectors, frame_size)
        mean, axes = _axes(x, side, n_axes)
        projected = (x - mean) @ axes
        models = [density(projected[side.labels == label]) for label in classes]
        width = np.array([side.vectors.shape[1]])
        return _Densities(width, np.array([frame_size]), mean, axes, models)

    weights = recording_weights(data, balance)
    shares = np.array([weights[data.labels == label].sum() for label in classes])
    log_prior = np.log(shares / shares.sum())
    with one_blas_thread():
        slope, details = fit_slope(
            lambda side: fit(side).values, data, balance=balance, offset=log_prior, seed=seed
        )
        densities = fit(data)
    details |= {"n_clips": len(data.labels)}
    return TrainedDensities(classes, densities, np.array([slope]), log_prior, details=details)


def _frames(vectors: Vectors, frame_size: int) -> NDArray[np.float64]:
    """[shape=(n_clips, n_frames, frame_size)]; one frame, the embedding itself, if size is 0."""
    width = vectors.shape[1]
    size = frame_size or width
    if frame_size and (width % size or width // size < _MIN_FRAMES):
        raise HeadError(
            f"embeddings of {width} numbers are no sequence of {_MIN_FRAMES} or more frames of "
            f"{size}. Embed with --backbone mfcc_frames, or use another head."
        )
    return vectors.astype(np.float64).reshape(len(vectors), width // size, size)


def _axes(
    x: NDArray[np.float64], data: TrainingSet, n_axes: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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


def _log_density(model: Arrays, x: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _shares(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalise to a sum of 1, without zeros; a state that no clip visits has NaN or 0."""
    shares = np.nan_to_num(probabilities) + _LEAST_PROBABILITY
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _hmmlearn() -> Any:
    try:
        from hmmlearn import hmm
    except ImportError as error:
        raise MissingExtraError("hmmlearn", "classic") from error
    return hmm

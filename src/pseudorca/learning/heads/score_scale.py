"""From a model's value per class to log-probabilities (after Platt).

The models are support vector machines and mixtures. The values of a model on its own training clips
are too high. So the values are computed in inner folds that keep groups whole, one slope is fitted to
them, and the model is trained anew on all clips. More numbers, such as one for each pair of classes,
would be learned from few encounters: on 34 real encounters of six species, that cost the SVM a fifth
of the recordings that it named rightly, and the mixture half of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.learning.dataset import TrainingSet, Vectors
from pseudorca.learning.heads.base import Balance, classes_of, recording_weights
from pseudorca.recordings.folds import assign_folds

Values = Callable[[Vectors], NDArray[np.float64]]
"""Embeddings [shape=(n, n_dimensions)] to values [shape=(n, n_classes)], the higher the likelier."""

_INNER_FOLDS = 3
_LOG_SLOPES = (-12.0, 12.0)  # of values that vary by 1


def fit_slope(
    fit: Callable[[TrainingSet], Values],
    data: TrainingSet,
    *,
    balance: Balance,
    offset: NDArray[np.float64],
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
    column = {label: k for k, label in enumerate(classes)}
    truth = np.array([column[label] for label in data.labels])
    values = np.full((len(truth), len(classes)), np.nan)
    try:
        rng = np.random.default_rng([seed, 1])
        folds = assign_folds(data.labels, data.groups, _INNER_FOLDS, rng)
        for fold in np.unique(folds[folds >= 0]):
            rows = np.flatnonzero(folds == fold)
            values[rows] = fit(data.take(np.flatnonzero(folds != fold)))(data.vectors[rows])
        out_of_fold = True
    except FoldError:
        values = fit(data)(data.vectors)
        out_of_fold = False
    judged = np.isfinite(values).all(axis=1)
    values, truth = values[judged], truth[judged]
    weights = recording_weights(data, balance)[judged]
    spread = float((values - values.mean(axis=1, keepdims=True)).std()) or 1.0

    def loss(log_slope: float) -> float:
        scores = log_softmax(values, np.exp(log_slope) / spread, offset)
        return float(-(weights @ scores[np.arange(len(truth)), truth]) / weights.sum())

    best = scipy.optimize.minimize_scalar(loss, bounds=_LOG_SLOPES, method="bounded")
    return float(np.exp(best.x) / spread), {"linked_out_of_fold": out_of_fold}


def log_softmax(
    values: NDArray[np.float64], slope: float, offset: NDArray[np.float64]
) -> NDArray[np.float64]:
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

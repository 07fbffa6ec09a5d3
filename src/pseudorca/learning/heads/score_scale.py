"""From the values that a machine gives each class to log-probabilities (Platt's way).

A machine's values on its own training clips are too good to say how far they can be trusted. So they
are computed in inner folds that keep groups whole, one slope says what they are worth, and the machine
is trained anew on everything. More numbers, such as one for each pair of classes, would have to be
learned from the few encounters there are: on 34 real encounters of six species that cost the machine
a fifth of the recordings it named rightly, and the mixture half of them.
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
    """Learn what a machine's values are worth: log probability = log softmax(slope * value + offset).

    Parameters
    ----------
    fit : callable, trains the machine on a training side that holds every class
    data : TrainingSet
    balance : ``weights`` or ``none``, of the classes
    offset : ndarray [shape=(n_classes,)], log of the classes' prior
    seed : int

    Returns
    -------
    slope : float
    details : dict
        ``linked_out_of_fold``: False where a class has too few groups for inner folds; then the slope
        knows only values of training clips, and probabilities are too sure

    References
    ----------
    .. [1] Platt 1999, "Probabilistic outputs for support vector machines and comparisons to
       regularized likelihood methods", Advances in Large Margin Classifiers.
    .. [2] Guo et al. 2017, "On calibration of modern neural networks", ICML: one slope for all.
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

    found = scipy.optimize.minimize_scalar(loss, bounds=_LOG_SLOPES, method="bounded")
    return float(np.exp(found.x) / spread), {"linked_out_of_fold": out_of_fold}


def log_softmax(
    values: NDArray[np.float64], slope: float, offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values [shape=(n, n_classes)] as log-probabilities, with the slope of :func:`fit_slope`."""
    return np.asarray(scipy.special.log_softmax(slope * values + offset, axis=1))

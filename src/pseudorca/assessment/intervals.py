"""Intervals: how far a share of rightly named encounters may lie from the truth.

In: how often each unit was named rightly, its class, and what is independent. Out: a 95 % interval
of balanced accuracy. One rule for all sizes, chosen by the power study (``benchmarks/README.md``):
resampling encounters covers the truth far less often than it says, and least where all are right.
"""

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from pseudorca.recordings.notices import MIN_ENCOUNTERS

_CONFIDENCE = 0.95


def interval(
    right: NDArray[np.float64],
    actual: NDArray[np.int64],
    groups: NDArray[np.object_],
    n_classes: int,
) -> tuple[float, float, str]:
    """95 % interval of balanced accuracy from the groups within each class.

    Each class's recall gets a binomial interval (:func:`recall_interval`); the classes are combined
    by the squares of the distances from their recalls [1]_.

    Parameters
    ----------
    right : ndarray [shape=(n_units,)], share of repeats in which a unit was named rightly
    actual : ndarray [shape=(n_units,)], its class
    groups : ndarray [shape=(n_units,)], what is independent
    n_classes : int

    Returns
    -------
    low, high : float
    method : str
        The rule, the groups per class, and whether they are too few to conclude anything from.

    References
    ----------
    .. [1] Zou and Donner 2008, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27:1693.
    """
    recalls, bounds, n_groups = [], [], []
    for k in range(n_classes):
        mine = actual == k
        if mine.any():
            recalls.append(right[mine].mean())
            bounds.append(recall_interval(right[mine], groups[mine]))
            n_groups.append(len(set(groups[mine])))
    recall, (low, high) = np.array(recalls), np.array(bounds).T
    below = np.sqrt(np.sum((recall - low) ** 2)) / len(recall)
    above = np.sqrt(np.sum((high - recall) ** 2)) / len(recall)
    method = f"binomial, {min(n_groups)} to {max(n_groups)} groups per class, combined"
    if min(n_groups) < MIN_ENCOUNTERS:
        method += "; too few encounters to conclude"
    return float(recall.mean() - below), float(recall.mean() + above), method


def recall_interval(right: NDArray[np.float64], groups: NDArray[np.object_]) -> tuple[float, float]:
    """95 % interval of one class's recall, with groups as the trials.

    Each bound lies midway between Clopper and Pearson's [1]_, too wide, and Jeffreys' [2]_, too
    narrow for encounters that were trained on to judge each other; where all are right, or all
    wrong, the bound is Clopper and Pearson's.

    There are as many trials as groups, however many units they hold and however often each was
    tested. Where groups are of unequal size there are effectively fewer [3]_: as many as would give
    the variance seen between groups, each group weighed by what it takes from the mean that it is
    compared with [4]_; never fewer than if all units of a group were alike. A number of right
    trials need not be whole.

    Parameters
    ----------
    right : ndarray [shape=(n_units,)], share of repeats in which a unit was named rightly
    groups : ndarray [shape=(n_units,)], what is independent

    Returns
    -------
    low, high : float

    References
    ----------
    .. [1] Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
       case of the binomial", Biometrika 26:404.
    .. [2] Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion", Statistical
       Science 16:101.
    .. [3] Korn and Graubard 1998, "Confidence intervals for proportions with small expected number
       of positive counts estimated from survey data", Survey Methodology 24:193.
    .. [4] MacKinnon and White 1985, "Some heteroskedasticity-consistent covariance matrix estimators
       with improved finite sample properties", Journal of Econometrics 29:305 (HC2).
    """
    _, group = np.unique(groups.astype(str), return_inverse=True)
    sizes = np.bincount(group)
    recall, n_groups = float(right.mean()), len(sizes)
    n_trials = float(n_groups)
    if 0 < recall < 1 and n_groups > 1:
        share = sizes / sizes.sum()
        off = share * (np.bincount(group, weights=right) / sizes - recall)
        variance = np.sum(off**2 / (1 - share)) * (1 - 1 / n_groups)
        alike = 1 / np.sum(share**2)
        seen = recall * (1 - recall) / max(variance, 1e-12)
        n_trials = float(np.clip(seen, alike, n_groups))
    n_right, n_wrong = recall * n_trials, (1 - recall) * n_trials
    tail, quantile = (1 - _CONFIDENCE) / 2, scipy.stats.beta.ppf
    low, high = 0.0, 1.0
    if n_right > 0:
        low = quantile(tail, n_right, n_wrong + 1)
    if n_wrong > 0:
        high = quantile(1 - tail, n_right + 1, n_wrong)
    if n_right > 0 and n_wrong > 0:
        low = (low + quantile(tail, n_right + 0.5, n_wrong + 0.5)) / 2
        high = (high + quantile(1 - tail, n_right + 0.5, n_wrong + 0.5)) / 2
    return float(low), float(high)

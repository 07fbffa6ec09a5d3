"""Intervals: how far a share of rightly named encounters may lie from the truth.

In: how often each unit was named rightly (or what its probabilities cost), its class, and what is
independent. Out: a 95 % interval of balanced accuracy, or of a mean loss. One rule for all sizes each,
chosen by the power study (``benchmarks/README.md``): resampling encounters covers the truth far less
often than it says, and least where all are right.
"""

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import ArrayLike, NDArray

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
    method = f"binomial, {_counts(n_groups)} groups per class, combined"
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
    .. [1] Clopper and Pearson 1934, see :func:`lower_bounds`.
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
    low = lower_bound(n_right, n_trials, confidence=1 - tail)
    high = upper_bound(n_right, n_trials, confidence=1 - tail)
    if n_right > 0 and n_wrong > 0:
        low = (low + quantile(tail, n_right + 0.5, n_wrong + 0.5)) / 2
        high = (high + quantile(1 - tail, n_right + 0.5, n_wrong + 0.5)) / 2
    return float(low), float(high)


def loss_interval(
    losses: NDArray[np.float64],
    labels: NDArray[np.object_],
    groups: NDArray[np.object_],
    *,
    n_folds: int,
    highest: float = np.inf,
) -> tuple[float | None, float | None, str]:
    """95 % interval of a mean loss (Brier score, log loss), classes and groups weighing equally.

    Student's t over the groups of each class, the classes combined by the squares of their half
    widths [1]_, on a logarithmic scale, since a loss is never negative and a few groups cost most of
    it. The variance is that of the groups times ``1 + n_folds / (n_folds - 1)``: groups of one fold
    share a classifier, and the training sides of all folds share most of their groups [2]_.

    Parameters
    ----------
    losses : ndarray [shape=(n_units,)], not negative
    labels, groups : ndarray [shape=(n_units,)], the class and what is independent
    n_folds : int, in which the units were tested
    highest : float, what a loss cannot exceed

    Returns
    -------
    low, high : float, None where a class has a single group or all were tested in one fold
    method : str

    References
    ----------
    .. [1] Zou and Donner 2008, see :func:`interval`.
    .. [2] Nadeau and Bengio 2003, "Inference for the generalization error", Machine Learning 52:239.
    """
    table = pd.DataFrame({"label": labels, "group": groups, "loss": losses})
    by_class = table.groupby(["label", "group"])["loss"].mean().groupby(level="label")
    n = by_class.size().to_numpy()
    method = f"Student's t, {_counts(n)} groups per class, combined, logarithmic"
    if n.min() < MIN_ENCOUNTERS:
        method += "; too few encounters to conclude"
    if n.min() < 2 or n_folds < 2:
        return None, None, method
    mean = float(by_class.mean().mean())
    shared = 1 + n_folds / (n_folds - 1)
    variance = shared * by_class.var().to_numpy() / n
    quantile = scipy.stats.t.ppf((1 + _CONFIDENCE) / 2, n - 1)
    half = float(np.sqrt(np.sum(quantile**2 * variance))) / len(n)
    factor = np.exp(half / mean) if mean > 0 else 1.0
    return float(mean / factor), float(min(mean * factor, highest)), method


def lower_bounds(n_yes: ArrayLike, n: ArrayLike, *, confidence: float) -> NDArray[np.float64]:
    """One-sided exact lower bounds of shares, 0 where none is yes [1]_.

    Parameters
    ----------
    n_yes, n : array [shape=(...,)], trials with this outcome, and all; need not be whole
    confidence : float, of each by itself

    References
    ----------
    .. [1] Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
       case of the binomial", Biometrika 26:404.
    """
    yes, every = np.asarray(n_yes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    # Where nothing is yes the distribution has no shape, and the bound is 0.
    found = scipy.stats.beta.ppf(1 - confidence, np.where(yes > 0, yes, 1.0), every - yes + 1)
    return np.where(yes > 0, found, 0.0)


def lower_bound(n_yes: float, n: float, *, confidence: float = _CONFIDENCE) -> float:
    """One-sided exact lower bound of a share, 0 if nothing was counted."""
    return float(lower_bounds(n_yes, n, confidence=confidence))


def upper_bound(n_yes: float, n: float, *, confidence: float = _CONFIDENCE) -> float:
    """One-sided exact upper bound of a share, 1 if nothing was counted."""
    return 1 - lower_bound(n - n_yes, n, confidence=confidence)


def _counts(n_groups: ArrayLike) -> str:
    """``8``, or ``4 to 8`` where classes differ."""
    fewest, most = np.min(n_groups), np.max(n_groups)
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"

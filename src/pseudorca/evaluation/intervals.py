"""Intervals: how far a share of rightly named encounters may lie from the truth.

In: per unit the share of repeats named rightly (or the loss), the class, and the independent group.
Out: a 95 % interval of balanced accuracy, or of a mean loss. Each interval has one rule for all sizes,
chosen by the power study (``benchmarks/README.md``). Resampling of encounters is not used: such an
interval covers the truth in far fewer than 95 % of cases, above all where all encounters are right.
"""

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from pseudorca.recordings.notices import MIN_ENCOUNTERS

CONFIDENCE = 0.95


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
    groups : ndarray [shape=(n_units,)], the independent group
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

    Examples
    --------
    >>> right, actual = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])
    >>> low, high, _ = interval(right, actual, np.array(["e1", "e2", "e3", "e4"], dtype=object), 2)
    >>> round(low, 2), round(high, 2)
    (0.27, 0.98)
    """
    recalls, bounds, n_groups = [], [], []
    for k in range(n_classes):
        of_class = actual == k
        if of_class.any():
            recalls.append(right[of_class].mean())
            bounds.append(recall_interval(right[of_class], groups[of_class]))
            n_groups.append(len(set(groups[of_class])))
    recall, (low, high) = np.array(recalls), np.array(bounds).T
    below = np.sqrt(np.sum((recall - low) ** 2)) / len(recall)
    above = np.sqrt(np.sum((high - recall) ** 2)) / len(recall)
    method = f"binomial, {_counts(n_groups)} groups per class, combined"
    if min(n_groups) < MIN_ENCOUNTERS:
        method += "; too few encounters to conclude"
    return float(recall.mean() - below), float(recall.mean() + above), method


def recall_interval(right: NDArray[np.float64], groups: NDArray[np.object_]) -> tuple[float, float]:
    """95 % interval of one class's recall, with groups as the trials.

    Each bound lies midway between the bounds of Clopper and Pearson [1]_ and of Jeffreys [2]_.
    Clopper and Pearson's bound is too wide. Jeffreys' bound is too narrow here, since encounters
    that train a head also judge the other encounters' heads. If all units are right, or all are wrong,
    the bound is Clopper and Pearson's.

    The number of trials is the number of groups; the number of units in a group does not count.
    Groups of unequal size give fewer effective trials [3]_: the number that would give the observed
    variance between groups. Each group is weighed by what the group takes from the mean [4]_. The
    number is never lower than with groups of identical units. The number of right trials need not
    be whole.

    Parameters
    ----------
    right : ndarray [shape=(n_units,)], share of repeats in which a unit was named rightly
    groups : ndarray [shape=(n_units,)], the independent group

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

    Examples
    --------
    >>> low, high = recall_interval(np.ones(8), np.array(list("abcdefgh"), dtype=object))
    >>> round(low, 3), high
    (0.631, 1.0)
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
    tail, quantile = (1 - CONFIDENCE) / 2, scipy.stats.beta.ppf
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

    The interval is Student's t over the groups of each class. The classes are combined by the
    squares of their half widths [1]_. The scale is logarithmic, since a loss is never negative and
    few groups make most of the loss. The variance of the groups is multiplied by
    ``1 + n_folds / (n_folds - 1)``: groups of one fold share a classifier, and the training sides
    of all folds share most of their groups [2]_.

    Parameters
    ----------
    losses : ndarray [shape=(n_units,)], not negative
    labels, groups : ndarray [shape=(n_units,)], the class and the independent group
    n_folds : int, in which the units were tested
    highest : float, what a loss cannot exceed

    Returns
    -------
    low, high : float, or None if a class has a single group or one fold tested all units
    method : str

    References
    ----------
    .. [1] Zou and Donner 2008, see :func:`interval`.
    .. [2] Nadeau and Bengio 2003, "Inference for the generalization error", Machine Learning 52:239.

    Examples
    --------
    >>> labels = np.array(["A", "A", "B", "B"], dtype=object)
    >>> groups = np.array(["e1", "e2", "e3", "e4"], dtype=object)
    >>> low, high, _ = loss_interval(np.array([0.1, 0.2, 0.1, 0.2]), labels, groups, n_folds=2)
    >>> low < 0.15 < high
    True
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
    quantile = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    half = float(np.sqrt(np.sum(quantile**2 * variance))) / len(n)
    factor = np.exp(half / mean) if mean > 0 else 1.0
    return float(mean / factor), float(min(mean * factor, highest)), method


def lower_bounds(n_yes: ArrayLike, n: ArrayLike, *, confidence: float) -> NDArray[np.float64]:
    """One-sided exact lower bounds of shares; 0 where no trial has the outcome [1]_.

    Parameters
    ----------
    n_yes, n : array [shape=(...,)], trials with this outcome, and all; need not be whole
    confidence : float, of each bound by itself

    Returns
    -------
    ndarray [shape=(...,)], 0 to 1

    References
    ----------
    .. [1] Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
       case of the binomial", Biometrika 26:404.

    Examples
    --------
    >>> lower_bounds([0, 8], [8, 8], confidence=0.95).round(3).tolist()
    [0.0, 0.688]
    """
    n_positive, n_trials = np.asarray(n_yes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    # The beta distribution needs a positive shape; without a positive trial the bound is 0.
    bounds = scipy.stats.beta.ppf(
        1 - confidence, np.where(n_positive > 0, n_positive, 1.0), n_trials - n_positive + 1
    )
    return np.where(n_positive > 0, bounds, 0.0)


def lower_bound(n_yes: float, n: float, *, confidence: float = CONFIDENCE) -> float:
    """One-sided exact lower bound of a share, 0 if nothing was counted.

    Parameters
    ----------
    n_yes, n : float, trials with this outcome, and all trials; need not be whole
    confidence : float, 0 to 1

    Returns
    -------
    float, 0 to 1

    Examples
    --------
    >>> round(lower_bound(8, 8), 3)
    0.688
    """
    return float(lower_bounds(n_yes, n, confidence=confidence))


def upper_bound(n_yes: float, n: float, *, confidence: float = CONFIDENCE) -> float:
    """One-sided exact upper bound of a share, 1 if nothing was counted.

    Parameters
    ----------
    n_yes, n : float, trials with this outcome, and all trials; need not be whole
    confidence : float, 0 to 1

    Returns
    -------
    float, 0 to 1

    Examples
    --------
    >>> round(upper_bound(0, 8), 3)
    0.312
    """
    return 1 - lower_bound(n - n_yes, n, confidence=confidence)


def _counts(n_groups: ArrayLike) -> str:
    """``8``, or ``4 to 8`` where classes differ."""
    fewest, most = np.min(n_groups), np.max(n_groups)
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"

"""Out-of-fold scores: every clip scored by a head that never saw its group.

In: a training set, verified folds and a head. Out: log-probabilities per repeat and clip. Choices
(C, the epoch) are made inside the training side; the test side is looked at once.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.learning.heads import Head, TrainedHead, one_blas_thread
from pseudorca.learning.training_set import TrainingSet, Vectors
from pseudorca.recordings.folds import Folds, assign_folds

_VALIDATION_FOLDS = 5


@dataclass
class OutOfFold:
    """Scores by heads that did not see what they score.

    ``log_probabilities`` [shape=(n_repeats, n_clips, n_classes)], NaN where a clip is never tested.
    ``details``: one dict per trained head, with ``repeat``, ``fold`` and what training chose.
    """

    classes: list[str]
    log_probabilities: NDArray[np.float64]
    details: list[dict[str, Any]] = field(default_factory=list)


def cross_validate(
    data: TrainingSet,
    folds: Folds,
    head: Head,
    *,
    choose: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OutOfFold:
    """Score every tested clip by a head trained on the other side.

    Parameters
    ----------
    data : TrainingSet, rows as in ``folds``
    folds : Folds
    head : Head
    choose : callable or None
        Takes the training rows of a fold and returns those to learn from; None: all of them
    progress : callable (done, total) or None, over trainings

    Returns
    -------
    OutOfFold

    Raises
    ------
    FoldError
        If data and folds do not have the same clips.
    """
    if len(data.labels) != len(folds.labels) or (data.labels != folds.labels).any():
        raise FoldError("the folds were made for other clips than the embeddings.")
    classes = sorted(set(data.labels))
    shape = (*folds.test_fold.shape, len(classes))
    scores = np.full(shape, np.nan)
    details = []
    rounds = list(folds)
    if choose:
        rounds = [(repeat, fold, choose(train), test) for repeat, fold, train, test in rounds]
    validation = np.flatnonzero(folds.validation) if folds.validation.any() else None

    def score(train: NDArray[np.int64], test: NDArray[np.int64]) -> tuple[Any, dict[str, Any]]:
        trained = fit_head(head, data.take(train), validation=validation, whole=data)
        tested = data.take(test)
        return mean_said(trained, tested.vectors, tested.heard_again), trained.details

    # A thread per training and one BLAS thread each: the matrices are too small to share.
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda split: score(*split[2:]), rounds)
        for n_done, (split, (found, about)) in enumerate(zip(rounds, done, strict=True), 1):
            repeat, fold, _, test = split
            scores[repeat, test] = found
            details.append({"repeat": repeat, "fold": fold} | about)
            if progress:
                progress(n_done, len(rounds))
    return OutOfFold(classes, scores, details)


def mean_said(trained: TrainedHead, vectors: Vectors, again: Vectors | None) -> NDArray[np.float64]:
    """Score clips, each the mean of what is said of it and of its altered copies, if it has any.

    Parameters
    ----------
    trained : TrainedHead
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    again : ndarray [shape=(n_copies, n_clips, n_dimensions)] or None

    Returns
    -------
    ndarray [shape=(n_clips, n_classes)], log-probabilities: their mean, made to sum to 1 again
    """
    said = trained.log_probabilities(vectors)
    if again is None:
        return said
    both = [said, *(trained.log_probabilities(copies) for copies in again)]
    return np.asarray(scipy.special.log_softmax(np.mean(both, axis=0), axis=1))


def fit_head(
    head: Head,
    data: TrainingSet,
    *,
    validation: NDArray[np.int64] | None = None,
    whole: TrainingSet | None = None,
) -> TrainedHead:
    """Train a head, keeping a fifth of the groups aside where it ``chooses_epoch`` by them.

    ``validation`` are rows of ``whole`` that the split has kept for this already.
    """
    if validation is not None and whole is not None:
        return head.fit(data, validation=whole.take(validation))
    if not getattr(head, "chooses_epoch", False):
        return head.fit(data)
    # As many folds as the smallest class has groups, so that the fold kept aside holds each class
    # that can spare a group.
    n_groups = pd.DataFrame({"label": data.labels, "group": data.groups}).groupby("label")["group"]
    spare = [int(n) for n in n_groups.nunique() if n >= 2]
    if not spare:
        return head.fit(data)
    rng = np.random.default_rng([head.settings()["seed"], 2])
    try:
        inner = assign_folds(data.labels, data.groups, min(_VALIDATION_FOLDS, *spare), rng)
    except FoldError:
        return head.fit(data)
    kept, aside = np.flatnonzero(inner != 0), np.flatnonzero(inner == 0)
    return head.fit(data.take(kept), validation=data.take(aside))

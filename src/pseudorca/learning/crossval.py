"""Out-of-fold scores: every clip scored by a head that never saw its group.

In: a training set, verified folds and a head. Out: log-probabilities per repeat and clip. Choices
(C, the epoch) are made inside the training side; the test side is scored once.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pseudorca.errors import FoldError
from pseudorca.learning.dataset import Floats, Ints, TrainingSet
from pseudorca.learning.heads.base import Head, fit_heads, mean_said, one_blas_thread
from pseudorca.recordings.folds import Folds

_TOGETHER = 2**23
"""Numbers in the embeddings of trainings that go side by side, at most."""


@dataclass
class OutOfFold:
    """Scores of clips, each by a head that did not train on the clip's group.

    ``log_probabilities`` [shape=(n_repeats, n_clips, n_classes)], NaN where a clip is never tested.
    ``details``: one dict per trained head, with ``repeat``, ``fold`` and the choices of the training.

    Examples
    --------
    >>> OutOfFold(["A", "B"], np.log([[[0.9, 0.1]]])).log_probabilities.shape
    (1, 1, 2)
    """

    classes: list[str]
    log_probabilities: Floats
    details: list[dict[str, Any]] = field(default_factory=list)
    p_nothing: Floats | None = None
    """The probability that a clip holds nothing [shape=(n_repeats, n_clips)]; None if the head does
    not know nothing, NaN where the head of a fold does not."""
    p_nothing_of_background: Floats | None = None
    """The same of the backgrounds of the clips, NaN where there is none."""
    p_nothing_of_noise: Floats | None = None
    """The same of real noise [shape=(n_repeats, n_noise)]; None if there is none."""


def cross_validate(
    data: TrainingSet,
    folds: Folds,
    head: Head,
    *,
    choose: Callable[[Ints], Ints] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OutOfFold:
    """Score every tested clip by a head trained on the other side.

    Parameters
    ----------
    data : TrainingSet, rows as in ``folds``
    folds : Folds
    head : Head
    choose : callable or None
        Takes the training rows of a fold and returns the rows to learn from; None: all rows
    progress : callable (done, total) or None, over trainings

    Returns
    -------
    OutOfFold

    Raises
    ------
    FoldError
        If data and folds do not have the same clips.

    Examples
    --------
    >>> import pandas as pd
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> from pseudorca.recordings.folds import Split, make_folds
    >>> names = [f"e{k}" for k in range(4)]
    >>> clips = pd.DataFrame({"clip_id": names, "recording_id": names, "moment_id": names,
    ...                       "encounter": names, "label": ["A", "A", "B", "B"]})
    >>> recordings = pd.DataFrame({"recording_id": names, "moment_id": names, "encounter": names,
    ...                            "metadata": "{}"})
    >>> folds = make_folds(clips, recordings, Split("encounter", n_folds=2, n_repeats=1))
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, folds.labels, folds.units, np.array(names, dtype=object))
    >>> scored = cross_validate(data, folds, LogisticHead(c=1.0))
    >>> scored.log_probabilities[0].argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    return cross_validate_all([(data, folds)], head, choose=choose, progress=progress)[0]


def cross_validate_all(
    tasks: Sequence[tuple[TrainingSet, Folds]],
    head: Head,
    *,
    choose: Callable[[Ints], Ints] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[OutOfFold]:
    """Cross-validate several training sets or folds, as :func:`cross_validate` does one.

    A head that ``trains_together`` trains them side by side.

    Parameters
    ----------
    tasks : sequence of (TrainingSet, Folds), rows as in the folds
    head, choose, progress : as in :func:`cross_validate`

    Returns
    -------
    list of OutOfFold, one per task

    Raises
    ------
    FoldError
        If data and folds do not have the same clips.
    """
    results = [_unscored(data, folds) for data, folds in tasks]
    # Choices draw random numbers: they are made in order, not in the threads.
    rounds = [
        (task, repeat, fold, choose(train) if choose else train, test)
        for task, (_, folds) in enumerate(tasks)
        for repeat, fold, train, test in folds
    ]
    n_threads, n_together = os.cpu_count() or 1, 1
    if head.trains_together:
        n_at_most = _TOGETHER // max(1, *(data.vectors.size for data, _ in tasks))
        n_together = max(1, min(n_at_most, math.ceil(len(rounds) / n_threads)))
    portions = [rounds[at : at + n_together] for at in range(0, len(rounds), n_together)]
    n_done = 0
    # A thread per portion and one BLAS thread each: the matrices are too small to share.
    with one_blas_thread(), ThreadPoolExecutor(n_threads) as pool:
        trained = pool.map(lambda portion: _scored(tasks, portion, head), portions)
        for portion, outcomes in zip(portions, trained, strict=True):
            for (task, repeat, fold, _, test), outcome in zip(portion, outcomes, strict=True):
                result, (scores, nothing, of_noise, chosen) = results[task], outcome
                result.log_probabilities[repeat, test] = scores
                if result.p_nothing is not None and result.p_nothing_of_background is not None:
                    result.p_nothing[repeat, test] = nothing[0]
                    result.p_nothing_of_background[repeat, test] = nothing[1]
                if result.p_nothing_of_noise is not None:
                    is_held_out = np.isfinite(of_noise)
                    result.p_nothing_of_noise[repeat, is_held_out] = of_noise[is_held_out]
                result.details.append({"repeat": repeat, "fold": fold} | chosen)
                n_done += 1
                if progress:
                    progress(n_done, len(rounds))
    return results


def _unscored(data: TrainingSet, folds: Folds) -> OutOfFold:
    """The result before any training."""
    if len(data.labels) != len(folds.labels) or (data.labels != folds.labels).any():
        raise FoldError(
            "the folds are of other clips than the embeddings. Make folds and training set "
            "from the same labelled clips."
        )
    classes = sorted(set(data.labels))
    result = OutOfFold(classes, np.full((*folds.test_fold.shape, len(classes)), np.nan))
    if data.nothing is not None or data.noise is not None:
        result.p_nothing = np.full(folds.test_fold.shape, np.nan)
        result.p_nothing_of_background = np.full(folds.test_fold.shape, np.nan)
    if data.noise is not None:
        result.p_nothing_of_noise = np.full((len(folds.test_fold), len(data.noise.labels)), np.nan)
    return result


def _scored(
    tasks: Sequence[tuple[TrainingSet, Folds]],
    portion: Sequence[tuple[int, int, int, Ints, Ints]],
    head: Head,
) -> list[tuple[Floats, Floats, Floats, dict[str, Any]]]:
    """Scores, probabilities of nothing (clips and backgrounds; noise), details of each training."""
    left_out = [
        _noise_left_out(*tasks[task], fold=fold, test=test) for task, _, fold, _, test in portion
    ]
    sides = [
        tasks[task][0].take(train).without_noise_of(out)
        for (task, _, _, train, _), out in zip(portion, left_out, strict=True)
    ]
    validations = [_validation(*tasks[task]) for task, *_ in portion]
    outcomes = []
    for (task, _, _, _, test), out, trained in zip(
        portion, left_out, fit_heads(head, sides, validations), strict=True
    ):
        data = tasks[task][0]
        tested = data.take(test)
        # A side with too few backgrounds gives a head that cannot say.
        p_nothing = np.full((2, len(test)), np.nan)
        if trained.knows_nothing:
            p_nothing[0] = trained.p_nothing(tested.vectors)
        if trained.knows_nothing and tested.nothing is not None:
            there = np.isfinite(tested.nothing[:, 0])
            p_nothing[1, there] = trained.p_nothing(tested.nothing[there])
        said = mean_said(trained, tested.vectors, tested.heard_again)
        of_noise = np.full(0 if data.noise is None else len(data.noise.labels), np.nan)
        if trained.knows_nothing and data.noise is not None:
            rows = data.is_noise_of(out)
            of_noise[rows] = trained.p_nothing(data.noise.vectors[rows])
        outcomes.append((said, p_nothing, of_noise, trained.details))
    return outcomes


def _noise_left_out(data: TrainingSet, folds: Folds, *, fold: int, test: Ints) -> set[str]:
    """Groups whose noise no head of a fold hears: those that are tested, and others in their turn."""
    if data.noise is None:
        return set()
    goes_with_none = np.array([not tied for tied in data.noise_with], dtype=bool)
    own = sorted(set(data.noise.groups[goes_with_none]))
    n_folds = int(folds.test_fold.max()) + 1
    return {*data.groups[test], *(name for k, name in enumerate(own) if k % n_folds == fold)}


def _validation(data: TrainingSet, folds: Folds) -> TrainingSet | None:
    """The clips that the split keeps for the choice of an epoch."""
    return data.take(np.flatnonzero(folds.validation)) if folds.validation.any() else None

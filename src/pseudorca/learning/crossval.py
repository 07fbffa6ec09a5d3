"""Out-of-fold scores: every clip scored by a head that never saw its group.

In: a training set, verified folds and a head. Out: log-probabilities per repeat and clip. Choices
(C, the epoch) are made inside the training side; the test side is scored once.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pseudorca.errors import FoldError
from pseudorca.learning.dataset import Floats, Ints, TrainingSet
from pseudorca.learning.heads.base import Head, fit_head, mean_said, one_blas_thread
from pseudorca.recordings.folds import Folds


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
    not know nothing."""
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
    if len(data.labels) != len(folds.labels) or (data.labels != folds.labels).any():
        raise FoldError(
            "the folds are of other clips than the embeddings. Make folds and training set "
            "from the same labelled clips."
        )
    classes = sorted(set(data.labels))
    scores = np.full((*folds.test_fold.shape, len(classes)), np.nan)
    knows = data.nothing is not None or data.noise is not None
    nothing = np.full((2, *folds.test_fold.shape), np.nan)  # of the clips, of their backgrounds
    noise = data.groups[:0] if data.noise is None else data.noise.groups
    own_noise = sorted(set(noise) - set(data.groups))  # goes with no clip: held out in turn
    of_noise = np.full((len(folds.test_fold), len(noise)), np.nan)
    details = []
    # Choices draw random numbers: they are made in order, not in the threads.
    rounds = [
        (repeat, fold, choose(train) if choose else train, test)
        for repeat, fold, train, test in folds
    ]
    validation = data.take(np.flatnonzero(folds.validation)) if folds.validation.any() else None

    n_folds = int(folds.test_fold.max()) + 1

    def score(split: tuple[int, int, Ints, Ints]) -> tuple[Floats, Floats, dict[str, Any]]:
        repeat, fold, train, test = split
        tested = data.take(test)
        turn = [name for k, name in enumerate(own_noise) if k % n_folds == fold]
        out = {*turn, *tested.groups}
        trained = fit_head(head, data.take(train).without_noise_of(out), validation=validation)
        if data.noise is not None:
            rows = np.isin(data.noise.groups, list(out))
            of_noise[repeat, rows] = trained.p_nothing(data.noise.vectors[rows])
        p_nothing = np.full((2, len(test)), np.nan)
        if knows:
            p_nothing[0] = trained.p_nothing(tested.vectors)
        if tested.nothing is not None:
            there = np.isfinite(tested.nothing[:, 0])
            p_nothing[1, there] = trained.p_nothing(tested.nothing[there])
        said = mean_said(trained, tested.vectors, tested.heard_again)
        return said, p_nothing, trained.details

    # A thread per training and one BLAS thread each: the matrices are too small to share.
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(score, rounds)
        for (repeat, fold, _, test), outcome in zip(rounds, done, strict=True):
            scores[repeat, test], nothing[:, repeat, test], chosen = outcome
            details.append({"repeat": repeat, "fold": fold} | chosen)
            if progress:
                progress(len(details), len(rounds))
    of_clips, of_backgrounds = nothing if knows else (None, None)
    heard_noise = None if data.noise is None else of_noise
    return OutOfFold(classes, scores, details, of_clips, of_backgrounds, heard_noise)

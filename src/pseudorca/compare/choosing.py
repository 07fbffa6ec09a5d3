"""Compare embeddings, heads and ensembles on the same encounters.

In: training sets of the same clips by several embedders, and heads. Out: the accuracy of each variant
under each split, the paired difference from a reference, and the accuracy of a choice in inner folds:
only this last number is not inflated by the choice.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from pseudorca.errors import FoldError
from pseudorca.evaluation.encounter_accuracy import Estimate, paired_difference
from pseudorca.evaluation.metrics import UnitTruth, measure, unit_truth
from pseudorca.learning.crossval import OutOfFold, cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import (
    Head,
    TrainedHead,
    WrappingHead,
    fit_head,
    mean_said,
    recording_weights,
)
from pseudorca.learning.heads.mean import MeanHead, side_by_side
from pseudorca.learning.units import UNITS
from pseudorca.progress import Progress
from pseudorca.recordings.folds import OTHER, Split, assign_folds, make_folds
from pseudorca.recordings.notices import MIN_ENCOUNTERS

Word = Literal["better", "worse", "no difference shown", "too few encounters"]

NESTED = "chosen in inner folds"

_INNER_FOLDS = 3


@dataclass(frozen=True)
class Variant:
    """One combination of embedders and head.

    ``members``: the embedders. With ``mean`` False, one head learns from all embeddings side by side;
    with ``mean`` True, each embedder has a head and the log-probabilities are averaged.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> Variant("both", ("logmel", "mean_spectrum"), LogisticHead(), mean=True).trainer().name
    'mean'
    """

    name: str
    members: tuple[str, ...]
    head: Head
    mean: bool = False

    def data(self, sets: Mapping[str, TrainingSet]) -> TrainingSet:
        """The training set: that of the one embedder, or those of all members side by side."""
        if len(self.members) == 1:
            return sets[self.members[0]]
        return side_by_side([sets[member] for member in self.members])

    def trainer(self) -> Head:
        """The head that is trained, on all embeddings or on those of each embedder."""
        return MeanHead((self.head,)) if self.mean else self.head


@dataclass
class Compared:
    """The comparison under one split.

    ``rows``: as from :func:`pseudorca.evaluation.metrics.measure`, with ``variant``, with
    ``difference, difference_low, difference_high`` (from the reference) and with ``word``.
    ``choices``: the variant that inner folds chose on each training side; empty for optimistic splits.

    Examples
    --------
    >>> Compared([], ["a", "b", "a"], []).chosen
    {'a': 2, 'b': 1}
    """

    rows: list[dict[str, Any]]
    choices: list[str]
    not_testable: list[str]

    @property
    def chosen(self) -> dict[str, int]:
        """How often each variant was chosen, the most frequent first."""
        return dict(Counter(self.choices).most_common())


def compare(
    sets: Mapping[str, TrainingSet],
    variants: Sequence[Variant],
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    split: Split,
    *,
    reference: str,
    choose_among: Collection[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Compared:
    """Compare variants under one split, all on the same folds.

    Under an honest split, a choice among the variants is nested: each training side chooses the variant
    with the lowest log loss in inner folds, and the choice is tested on the test side. The inner folds
    keep the split's units whole; every recording weighs once within its class, every class equally. The
    row of the choice is called :data:`NESTED`.

    Parameters
    ----------
    sets : mapping from embedder to TrainingSet, rows as in ``clips``
    variants : sequence of Variant
    clips, recordings : DataFrame, the tables of these names; labelled clips only
    split : Split
    reference : str, the variant from which differences are taken
    choose_among : names of the variants that the choice may take, or None: all
    seed : int, of inner folds and of the bootstrap
    progress : callable (done, total) or None, over trainings

    Returns
    -------
    Compared

    Raises
    ------
    FoldError
        If the split cannot be made, or there is nothing to compare, or to choose among.
    """
    if not variants:
        raise FoldError("nothing to compare: embed the clips with at least one embedder.")
    eligible = [
        variant.name for variant in variants if choose_among is None or variant.name in choose_among
    ]
    if not eligible:
        raise FoldError("nothing to choose among: name at least one of the variants.")
    folds = make_folds(clips, recordings, split)
    nested = not split.is_optimistic
    any_set = next(iter(sets.values()))
    # Inner folds keep the split's units whole. The independent unit is at least the encounter.
    independent = folds.units if nested else any_set.groups
    whole = folds.units if nested else any_set.recordings
    scored: dict[str, OutOfFold] = {}
    for k, variant in enumerate(variants):
        data = replace(variant.data(sets), groups=whole)
        head = variant.trainer()
        if nested and variant.name in eligible:
            head = _Judged(head, seed)

        def update(done: int, total: int, k: int = k) -> None:
            if progress:
                progress(k * total + done, len(variants) * total)

        scored[variant.name] = cross_validate(data, folds, head, progress=update)
    classes = scored[variants[0].name].classes
    scores_of = {name: result.log_probabilities for name, result in scored.items()}
    choices: list[str] = []
    if nested:
        of_choice = np.full_like(scores_of[variants[0].name], np.nan)
        for at, (repeat, _, _, test) in enumerate(folds):
            losses = {name: scored[name].details[at]["inner_log_loss_judged"] for name in eligible}
            best = min(losses, key=lambda name: losses[name])
            choices.append(best)
            of_choice[repeat, test] = scores_of[best][repeat, test]
        scores_of[NESTED] = of_choice
    rows = []
    for unit in UNITS:
        truths = {
            name: unit_truth(clips, recordings, scores, unit=unit, groups=independent)
            for name, scores in scores_of.items()
        }
        for name, scores in scores_of.items():
            row = measure(
                clips, recordings, scores, classes, unit=unit, split=split.name, groups=independent
            )
            row |= {"variant": name} | _against(truths, name, reference, classes, seed)
            if split.is_optimistic:  # what is remembered better is not better
                row["word"] = None
            rows.append(row)
    return Compared(rows, choices, folds.not_testable)


def _against(
    truths: Mapping[str, UnitTruth], name: str, reference: str, classes: list[str], seed: int
) -> dict[str, Any]:
    """The paired difference from the reference, and its word."""
    if name == reference:
        return dict.fromkeys(("difference", "difference_low", "difference_high", "word"))
    truth = truths[name]
    actual = np.array([classes.index(label) for label in truth.labels])
    counted = truth.labels != OTHER
    right = {
        key: (truths[key].log_probabilities.argmax(axis=2) == actual).mean(axis=0)[counted]
        for key in (name, reference)
    }
    labels, groups = truth.labels[counted], truth.groups[counted]
    difference = paired_difference(
        right, labels, groups, model=name, controls=[reference], seed=seed
    )
    n_groups = pd.DataFrame({"label": labels, "group": groups}).groupby("label")["group"].nunique()
    return {
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "word": word(difference, int(n_groups.min())),
    }


def word(difference: Estimate, n_groups: int) -> Word:
    """Name a difference: never ``better`` or ``worse`` if its interval includes 0.

    Parameters
    ----------
    difference : Estimate
    n_groups : int, independent groups of the smallest class

    Returns
    -------
    ``better``, ``worse``, ``no difference shown`` or ``too few encounters``

    Examples
    --------
    >>> word(Estimate(0.1, -0.1, 0.3), n_groups=20)
    'no difference shown'
    """
    if difference.low <= 0 <= difference.high:
        return "no difference shown"
    if n_groups < MIN_ENCOUNTERS:
        return "too few encounters"
    return "better" if difference.low > 0 else "worse"


@dataclass(frozen=True)
class _Judged(WrappingHead):
    """A head that records its log loss in inner folds of its training side.

    The inner folds use the settings that training on the whole side chose.
    """

    name: ClassVar[str] = "judged"

    seed: int = 0

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        trained = fit_head(self.head, data)
        head = self.head.settled(trained.details)
        losses = np.full(len(data.labels), np.nan)
        truth = np.array([trained.classes.index(label) for label in data.labels])
        try:
            rng = np.random.default_rng([self.seed, 4])
            folds = assign_folds(data.labels, data.groups, _INNER_FOLDS, rng)
        except FoldError:
            folds = np.full(len(truth), -1)
        for fold in np.unique(folds[folds >= 0]):
            test = np.flatnonzero(folds == fold)
            inner = fit_head(head, data.take(np.flatnonzero(folds != fold)))
            tested = data.take(test)
            scores = mean_said(inner, tested.vectors, tested.heard_again)
            losses[test] = -scores[np.arange(len(test)), truth[test]]
        judged = np.isfinite(losses)
        weights = recording_weights(data, "weights")
        loss = np.average(losses[judged], weights=weights[judged]) if judged.any() else np.inf
        return replace(trained, details=trained.details | {"inner_log_loss_judged": float(loss)})

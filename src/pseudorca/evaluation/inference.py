"""What the encounters can tell: permutation test, power note, learning curve.

In: labelled clips with their features, a split and a head. Out: how often permuted labels score as
well as the true labels, which accuracy these encounters could have shown, and whether more encounters
would help. Each permutation repeats the whole training (folds, balancing, tuning in inner folds), so
that every choice that looks at the labels is part of the test.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.evaluation.encounter_accuracy import EncounterMean
from pseudorca.learning.crossval import cross_validate, cross_validate_all
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head
from pseudorca.recordings.folds import OTHER, Folds, Split, deal_again, make_folds
from pseudorca.recordings.naming import plain_encounters
from pseudorca.values import plural

_LEVEL, _POWER = 0.05, 0.8
_TIE = 1e-9
"""Balanced accuracies closer than this are the same number, summed in another order."""
_TOGETHER = 2
"""Permutations that are trained side by side."""


@dataclass(frozen=True)
class Permutations:
    """Encounter-level balanced accuracy of each feature set, with true and with permuted labels.

    ``observed``: a number per feature set. ``null``: per feature set [shape=(n_permutations,)]; the
    same index is the same permutation in every feature set. ``right``: per feature set
    [shape=(n_encounters,)], the share of repeats in which an encounter was named rightly.
    ``encounters``, ``labels`` and ``units`` (the independent units) have the same rows as ``right``.

    Examples
    --------
    >>> names = np.array(["e1", "e2"], dtype=object)
    >>> test = Permutations(
    ...     {"model": 0.9}, {"model": np.array([0.5, 0.4, 0.95])}, {"model": np.array([1.0, 0.8])},
    ...     names, np.array(["A", "B"], dtype=object), names, n_assignments=100, enumerated=False,
    ... )
    >>> test.p_value("model")
    0.5
    """

    observed: dict[str, float]
    null: dict[str, NDArray[np.float64]]
    right: dict[str, NDArray[np.float64]]
    encounters: NDArray[np.object_]
    labels: NDArray[np.object_]
    units: NDArray[np.object_]
    n_assignments: int
    """Distinct ways to assign the labels, the observed one included."""
    enumerated: bool
    """True: ``null`` holds every assignment once. False: assignments are drawn at random."""
    n_alike: int = 1
    """Assignments that only exchange the names of equally frequent classes.

    Each scores as well as the observed assignment."""

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that this test can reach."""
        alike = self.n_alike / self.n_assignments
        if self.enumerated:
            return alike
        return max(alike, 1 / (len(next(iter(self.null.values()))) + 1))

    def p_value(self, name: str) -> float:
        """Share of permutations that score at least as well as the true labels.

        (b + 1) / (B + 1) for B permutations drawn at random, b / B where all are enumerated.
        """
        return self._p(self.observed[name], self.null[name])

    def p_value_max(self, names: Sequence[str]) -> float:
        """The p-value of the best of several feature sets, chosen again in every permutation."""
        best = np.max([self.null[name] for name in names], axis=0)
        return self._p(max(self.observed[name] for name in names), best)

    def _p(self, observed: float, null: NDArray[np.float64]) -> float:
        as_good = int((null >= observed - _TIE).sum())
        if self.enumerated:  # the observed assignment is among them
            return as_good / len(null)
        return (as_good + 1) / (len(null) + 1)


def permutation_test(
    data: Mapping[str, TrainingSet],
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    split: Split,
    head: Head,
    *,
    n_permutations: int = 199,
    seed: int = 0,
    within: NDArray[np.object_] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Permutations:
    """Test several feature sets of the same clips against labels permuted between groups.

    Labels of whole units are permuted. A unit is what the split keeps whole, or the encounter if
    the split is optimistic. A unit of several labels (a ship that met both populations) has no single
    label: the labels of its encounters are permuted inside the unit. An encounter of several labels
    keeps its labels, and so do other sounds. Each permutation draws the folds and trains anew.

    Parameters
    ----------
    data : mapping of feature set to TrainingSet, rows as in ``clips``
    clips, recordings : DataFrame, the tables of these names; labelled clips only
    split : Split
    head : Head
    n_permutations : int, drawn at random; if there are no more than this many, each is taken once
    seed : int
    within : ndarray [shape=(n_clips,)] or None; permute only between units of equal value (platform)
    progress : callable (done, total) or None, over permutations

    Returns
    -------
    Permutations

    Raises
    ------
    FoldError
        If the split cannot be made with the true labels, or a feature set has other clips.

    References
    ----------
    .. [1] Phipson and Smyth 2010, "Permutation p-values should never be zero", Statistical
       Applications in Genetics and Molecular Biology 9:39.
    .. [2] Westfall and Young 1993, "Resampling-based multiple testing": the maximum as statistic.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> names, labels = np.array([list("abcd"), list("AABB")], dtype=object)
    >>> columns = ["clip_id", "recording_id", "moment_id", "encounter"]
    >>> clips = pd.DataFrame({**dict.fromkeys(columns, names), "label": labels})
    >>> recordings, split = clips.assign(metadata="{}"), Split("encounter", n_folds=2)
    >>> data = TrainingSet(np.array([[0.0], [0.1], [1.0], [1.1]], np.float32), labels, names, names)
    >>> test = permutation_test({"model": data}, clips, recordings, split, LogisticHead(c=1.0))
    >>> test.observed["model"], test.n_assignments
    (1.0, 6)
    """
    labels = clips["label"].to_numpy(dtype=object)
    for name, feature_set in data.items():
        if not np.array_equal(feature_set.labels, labels):
            raise FoldError(f"feature set {name!r} was made for other clips, or other labels.")
    folds = make_folds(clips, recordings, split)
    units = _independent_units(clips, folds)
    averager = EncounterMean(clips, units)
    sets = {name: _kept_whole(feature_set, folds) for name, feature_set in data.items()}

    def rights(
        several: Sequence[NDArray[np.object_]], folds_of: Sequence[Folds]
    ) -> list[dict[str, NDArray[np.float64]]]:
        """The encounters that each feature set names rightly, for each assignment of the labels."""
        found: list[dict[str, NDArray[np.float64]]] = [{} for _ in several]
        for name, feature_set in sets.items():
            permuted = [replace(feature_set, labels=labels) for labels in several]
            scored = cross_validate_all(list(zip(permuted, folds_of, strict=True)), head)
            for of_labels, scores, truth in zip(found, scored, several, strict=True):
                of_labels[name] = averager.right(scores.log_probabilities, scores.classes, truth)
        return found

    (right,) = rights([labels], [folds])
    blocks = _blocks(labels, units, clips["encounter"].to_numpy(dtype=object), within)
    n_assignments = math.prod(block.n_assignments for block in blocks)
    enumerated = n_assignments <= n_permutations
    shuffles = _all(blocks, labels) if enumerated else _drawn(blocks, labels, n_permutations, seed)
    null: dict[str, list[float]] = {name: [] for name in sets}
    n_done, n_all = 0, min(n_assignments, n_permutations)
    while several := list(itertools.islice(shuffles, _TOGETHER if head.trains_together else 1)):
        n_done += len(several)
        testable, folds_of = [], []
        for permuted in several:
            try:
                folds_of.append(deal_again(folds, clips.assign(label=permuted)))
                testable.append(permuted)
            except FoldError:
                pass
        try:
            found = rights(testable, folds_of)
        except FoldError:
            found = []
        for name, values in null.items():
            values += [
                averager.balanced_accuracy(of_labels[name], permuted)
                for of_labels, permuted in zip(found, testable, strict=False)
            ]
            # A permutation that cannot be tested counts as good: the safe side.
            values += [np.inf] * (n_done - len(values))
        if progress:
            progress(n_done, n_all)
    tested = averager.counted(next(iter(right.values())), labels)
    return Permutations(
        {name: averager.balanced_accuracy(values, labels) for name, values in right.items()},
        {name: np.array(accuracies) for name, accuracies in null.items()},
        {name: values[tested] for name, values in right.items()},
        averager.encounters[tested],
        labels[averager.first_clip][tested],
        averager.units[tested],
        n_assignments,
        enumerated,
        _n_alike(blocks, labels),
    )


def _independent_units(clips: pd.DataFrame, folds: Folds) -> NDArray[np.object_]:
    """The independent unit of each clip: what the split keeps whole, at least the encounter."""
    return clips["encounter"].to_numpy(object) if folds.split.is_optimistic else folds.units


def _kept_whole(data: TrainingSet, folds: Folds) -> TrainingSet:
    """The training set with the groups that inner folds must keep whole, as the outer split does."""
    return replace(data, groups=data.recordings if folds.split.is_optimistic else folds.units)


def detectable(n_groups_per_class: Sequence[int]) -> dict[str, Any]:
    """Find the smallest balanced accuracy that these encounters could show: the power note.

    Each class has independent groups (encounters), each named rightly with the same probability.
    Under guessing this probability is 1 / number of classes. The distribution of balanced accuracy,
    a mean of binomial shares, is computed exactly (to five decimals). The critical value is the
    smallest value that guessing reaches with a probability of at most 0.05 (the level). The answer is
    the smallest probability that reaches the critical value with a probability of 0.8 (the power).

    Parameters
    ----------
    n_groups_per_class : sequence of int

    Returns
    -------
    dict
        ``detectable`` (smallest true balanced accuracy, None if even 1.0 is not significant),
        ``critical`` (smallest significant observed one, or None), ``level``, ``power``, ``method``.

    Examples
    --------
    >>> detectable([10, 10])["critical"]
    0.75
    """
    counts = [int(n) for n in n_groups_per_class]
    chance = 1 / len(counts)
    note: dict[str, Any] = {
        "detectable": None,
        "critical": None,
        "level": _LEVEL,
        "power": _POWER,
        "method": "exact binomial per class, every class recognised equally often",
    }
    values, shares = _mean_of_shares(counts, chance)
    tail = np.cumsum(shares[::-1])[::-1]
    significant = np.flatnonzero(tail <= _LEVEL)
    if not len(significant):
        return note
    critical = values[significant[0]]
    note["critical"] = float(critical)

    def reaches(probability: float) -> float:
        values, shares = _mean_of_shares(counts, probability)
        return float(shares[values >= critical - _TIE].sum())

    low, high = chance, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) >= _POWER else (middle, high)
    note["detectable"] = round(high, 3)
    return note


def learning_curve(
    data: TrainingSet,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    split: Split,
    head: Head,
    *,
    n_draws: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measure balanced accuracy by encounter when training uses fewer encounters per class.

    All encounters are tested, as in the evaluation. From each training side a fixed number of units
    per population is drawn at random. A unit is what the split keeps whole, usually the encounter.

    Parameters
    ----------
    data : TrainingSet, rows as in ``clips``
    clips, recordings : DataFrame, the tables of these names; labelled clips only
    split : Split
    head : Head
    n_draws : int, per size
        The sizes are up to six numbers of units per class, from 1 to as many as every training side
        has in its smallest class
    progress : callable (done, total) or None, over draws

    Returns
    -------
    DataFrame
        A row per draw: ``n_per_class, draw, balanced_accuracy``.

    Raises
    ------
    FoldError
        If the split cannot be made.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> names, labels = np.array([list("abcd"), list("AABB")], dtype=object)
    >>> columns = ["clip_id", "recording_id", "moment_id", "encounter"]
    >>> clips = pd.DataFrame({**dict.fromkeys(columns, names), "label": labels})
    >>> recordings, split = clips.assign(metadata="{}"), Split("encounter", n_folds=2)
    >>> data = TrainingSet(np.array([[0.0], [0.1], [1.0], [1.1]], np.float32), labels, names, names)
    >>> curve = learning_curve(data, clips, recordings, split, LogisticHead(c=1.0), n_draws=2)
    >>> curve["balanced_accuracy"].tolist()
    [1.0, 1.0]
    """
    folds = make_folds(clips, recordings, split)
    labels = folds.labels
    units = _independent_units(clips, folds)
    averager = EncounterMean(clips, units)
    data = _kept_whole(data, folds)
    populations = sorted(set(labels) - {OTHER})
    most = min(
        len(set(units[train][labels[train] == label]))
        for _, _, train, _ in folds
        for label in populations
    )
    sizes = sorted(set(np.geomspace(1, most, 6).round().astype(int).tolist()))
    rows = []
    for size, draw in itertools.product(sizes, range(n_draws)):
        rng = np.random.default_rng([0, size, draw])

        def fewer(train: NDArray[np.int64], size: int = size, rng: Any = rng) -> Any:
            kept = [train[labels[train] == OTHER]]
            for label in populations:
                of_label = train[labels[train] == label]
                members = np.array(sorted(set(units[of_label])), dtype=object)
                chosen = members[rng.permutation(len(members))[:size]]
                kept.append(of_label[np.isin(units[of_label], chosen)])
            return np.sort(np.concatenate(kept))

        scored = cross_validate(data, folds, head, choose=fewer)
        right = averager.right(scored.log_probabilities, scored.classes, labels)
        value = averager.balanced_accuracy(right, labels)
        rows.append({"n_per_class": size, "draw": draw, "balanced_accuracy": value})
        if progress:
            progress(len(rows), len(sizes) * n_draws)
    return pd.DataFrame(rows)


def mixed_encounters(clips: pd.DataFrame, most: int = 5) -> list[str]:
    """Name the encounters of several populations: their labels cannot be permuted.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``; labelled clips only
    most : int, the greatest number of encounters to name

    Returns
    -------
    list of str, empty or of one notice

    Examples
    --------
    >>> clips = pd.DataFrame({"encounter": ["e1", "e1", "e2"], "label": ["A", "B", "A"]})
    >>> mixed_encounters(clips)[0].split(".")[0]
    'Clips of several classes are in 1 of 2 encounters: e1 (1 A, 1 B)'
    """
    counts = clips[clips["label"] != OTHER].groupby(["encounter", "label"]).size().unstack()
    mixed = counts[counts.notna().sum(axis=1) > 1]
    if mixed.empty:
        return []
    plain = plain_encounters(map(str, counts.index))
    shown = [
        f"{plain[str(name)]} ({', '.join(f'{int(n)} {label}' for label, n in row.dropna().items())})"
        for name, row in mixed.head(most).iterrows()
    ]
    more = f" and {len(mixed) - most} more" if len(mixed) > most else ""
    text = (
        f"Clips of several classes are in {len(mixed)} of {plural(len(counts), 'encounter')}: "
        f"{', '.join(shown)}{more}. Each stays whole in every split, and its labels cannot be permuted"
    )
    if len(mixed) == len(counts):
        text += ": no test by permutation can show anything here"
    return [
        f"{text}. If folders of two classes only happen to have the same name, name them apart, or "
        "give --metadata with a column encounter."
    ]


@dataclass(frozen=True)
class _Block:
    """Carriers of labels that may be exchanged: rows of clips each, and the label of each."""

    rows: list[NDArray[np.int64]]
    labels: list[str]

    @property
    def n_assignments(self) -> int:
        counts = Counter(self.labels).values()
        return math.factorial(len(self.labels)) // math.prod(map(math.factorial, counts))


def _blocks(
    labels: NDArray[np.object_],
    units: NDArray[np.object_],
    encounters: NDArray[np.object_],
    within: NDArray[np.object_] | None,
) -> list[_Block]:
    """Groups of carriers that may exchange their labels."""
    clips = pd.DataFrame({"label": labels, "unit": units, "encounter": encounters})
    clips["stratum"] = "" if within is None else [str(value) for value in within]
    blocks: dict[tuple[str, ...], _Block] = {}
    for unit, unit_clips in clips.groupby("unit", sort=True):
        unit_clips = unit_clips[unit_clips["label"] != OTHER]
        whole = unit_clips["label"].nunique() == 1
        # A unit of one label moves as a whole; in a unit of several labels, its encounters move.
        for _, carrier in unit_clips.groupby("unit" if whole else "encounter", sort=True):
            if carrier["label"].nunique() != 1:
                continue
            strata = sorted(set(carrier["stratum"]))
            key = ("all", *strata) if whole else (f"in {unit}", *strata)
            block = blocks.setdefault(key, _Block([], []))
            block.rows.append(carrier.index.to_numpy())
            block.labels.append(carrier["label"].iloc[0])
    return list(blocks.values())


def _n_alike(blocks: Sequence[_Block], labels: NDArray[np.object_]) -> int:
    """Number of exchanges of class names that change neither a block's counts nor the fixed labels."""
    moved = np.zeros(len(labels), dtype=bool)
    for block in blocks:
        moved[np.concatenate(block.rows)] = True
    fixed = {str(label) for label in labels[~moved]}
    counts = [Counter(block.labels) for block in blocks]
    free = {label for block in blocks for label in block.labels} - fixed
    alike = Counter(tuple(count[label] for count in counts) for label in free)
    return math.prod(map(math.factorial, alike.values()))


def _assigned(
    labels: NDArray[np.object_], blocks: Sequence[_Block], names: Iterable[Iterable[str]]
) -> NDArray[np.object_]:
    """The labels of all clips when the carriers of each block get new names."""
    permuted = labels.copy()
    for block, of_block in zip(blocks, names, strict=True):
        for rows, name in zip(block.rows, of_block, strict=True):
            permuted[rows] = name
    return permuted


def _all(blocks: Sequence[_Block], labels: NDArray[np.object_]) -> Iterator[NDArray[np.object_]]:
    """Every distinct assignment of the labels once."""
    for names in itertools.product(*(_arrangements(Counter(block.labels)) for block in blocks)):
        yield _assigned(labels, blocks, names)


def _arrangements(left: Counter[str]) -> Iterator[list[str]]:
    """Every distinct order of the labels once."""
    if not left.total():
        yield []
        return
    for label in sorted(left):
        if left[label]:
            for rest in _arrangements(left - Counter([label])):
                yield [label, *rest]


def _drawn(
    blocks: Sequence[_Block], labels: NDArray[np.object_], n: int, seed: int
) -> Iterator[NDArray[np.object_]]:
    """Random assignments of the labels."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        names = [rng.permutation(np.array(block.labels, dtype=object)) for block in blocks]
        yield _assigned(labels, blocks, names)


def _mean_of_shares(
    counts: Sequence[int], probability: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, in rising order, and probabilities of the mean of binomial shares."""
    values, shares = np.zeros(1), np.ones(1)
    for n in counts:
        k = np.arange(n + 1)
        values = np.add.outer(values, k / n / len(counts)).ravel().round(5)
        shares = np.outer(shares, scipy.stats.binom.pmf(k, n, probability)).ravel()
        values, place = np.unique(values, return_inverse=True)
        shares = np.bincount(place, weights=shares).astype(np.float64)
    return values, shares

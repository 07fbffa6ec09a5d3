"""Split clips into training and test sides, and verify that a split keeps its promise.

Clips of one encounter share animals, background and recorder. A split with clips of one encounter on
both sides therefore measures memory. In: the tables ``clips`` and ``recordings``. Out: :class:`Folds`,
verified. A moment (one stretch of sound on any number of channels) always stays on one side, except
in the split of the study. That split counts its moments on both sides.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError, unknown_name
from pseudorca.recordings.clips import read_clips
from pseudorca.recordings.manifest import labelled_and_noise, project_recordings
from pseudorca.results import Result
from pseudorca.store import Store
from pseudorca.values import check_types, nfc, plural

OTHER = "none of the classes"
"""The class of folders that ``--other`` names: sounds of none of the populations."""

STUDY_SEED = 220029955
STUDY_SHARES = (0.6, 0.2, 0.2)  # training, validation, test

_LEAVE_ONE = "leave-one-"


@dataclass(frozen=True)
class Split:
    """A way to split, by name.

    ``random`` and ``stratified`` assign single moments to folds. ``recording``, ``encounter`` or any
    column of the metadata assigns whole groups. ``leave-one-encounter-out`` (or any other column)
    tests one group at a time. ``study`` is the random 60/20/20 split of the original study. Groups
    that share a moment stay together. Groups of a column that share an encounter stay together, too.

    Raises
    ------
    FoldError
        If there are fewer than 2 folds or no repeats.

    Examples
    --------
    >>> Split("leave-one-platform-out").group_by
    'platform'
    """

    name: str = "encounter"
    n_folds: int = 5
    n_repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self, FoldError)
        if self.n_folds < 2:
            raise FoldError(f"{plural(self.n_folds, 'fold')}: a split needs at least 2.")
        if self.n_repeats < 1:
            raise FoldError(f"{self.n_repeats} repeats: expected at least 1.")

    @classmethod
    def named(
        cls, name: str, *, n_folds: int = 5, n_repeats: int = 1, seed: int | None = None
    ) -> Self:
        """Make a split by name, with the settings that its name allows.

        The split of the study and leave-one-out splits are drawn once, whatever ``n_repeats`` says.

        Parameters
        ----------
        name : str
        n_folds, n_repeats : int
        seed : int or None; None: 0, or the seed of the study for the split of the study

        Returns
        -------
        Split

        Examples
        --------
        >>> Split.named("leave-one-encounter-out", n_repeats=3)
        Split(name='leave-one-encounter-out', n_folds=5, n_repeats=1, seed=0)
        """
        is_drawn_once = name == "study" or cls(name).leaves_one_out
        default_seed = STUDY_SEED if name == "study" else 0
        return cls(
            name, n_folds, 1 if is_drawn_once else n_repeats, default_seed if seed is None else seed
        )

    @property
    def leaves_one_out(self) -> bool:
        """Whether each fold tests one group."""
        return self.name.startswith(_LEAVE_ONE) and self.name.endswith("-out")

    @property
    def group_by(self) -> str:
        """The column of the groups that stay together."""
        if self.leaves_one_out:
            return self.name.removeprefix(_LEAVE_ONE).removesuffix("-out")
        return {"random": "moment_id", "stratified": "moment_id", "study": "clip_id"}.get(
            self.name, self.name
        )

    @property
    def is_optimistic(self) -> bool:
        """Whether clips of one encounter may be on both sides."""
        return self.name in ("random", "stratified", "study", "recording", "recording_id")


@dataclass
class Folds:
    """The fold of every clip. Iteration gives (repeat, fold, training rows, test rows).

    Examples
    --------
    >>> clips = np.array(["c1", "c2", "c3"], dtype=object)
    >>> labels = np.array(["Insular", "Pelagic", "Pelagic"], dtype=object)
    >>> test_fold, no_clip = np.array([[0, 0, 1]]), np.zeros(3, dtype=bool)
    >>> folds = Folds(Split("recording"), clips, labels, clips, clips, test_fold, no_clip)
    >>> [(fold, train.tolist(), test.tolist()) for repeat, fold, train, test in folds]
    [(0, [2], [0, 1]), (1, [0, 1], [2])]
    """

    split: Split
    clip_ids: NDArray[np.object_]
    """[shape=(n_clips,)], as ``labels``, ``groups`` and ``units``."""
    labels: NDArray[np.object_]
    groups: NDArray[np.object_]
    units: NDArray[np.object_]
    """Groups, joined if they share a moment or (unless the split is optimistic) an encounter. Units are
    assigned to folds as a whole."""
    test_fold: NDArray[np.int64]
    """[shape=(n_repeats, n_clips)], the fold in which a clip is tested; -1: always trained on."""
    validation: NDArray[np.bool_]
    """[shape=(n_clips,)], clips for the choice of an epoch, in the split of the study only."""
    not_testable: list[str] = field(default_factory=list)
    """Groups without which a class would be missing from training."""
    n_straddling_moments: int = 0
    """Moments on both sides; 0 in every split except that of the study."""

    def __iter__(self) -> Iterator[tuple[int, int, NDArray[np.int64], NDArray[np.int64]]]:
        """Yield (repeat, fold, training rows, test rows)."""
        for repeat, assigned in enumerate(self.test_fold):
            for fold in np.unique(assigned[assigned >= 0]):
                train = (assigned != fold) & ~self.validation
                yield repeat, int(fold), np.flatnonzero(train), np.flatnonzero(assigned == fold)


def refuse_same_names(splits: Sequence[Split]) -> None:
    """Refuse splits that no name tells apart, since results are looked up by the name of a split.

    Parameters
    ----------
    splits : sequence of Split

    Raises
    ------
    FoldError
        If two splits have one name.

    Examples
    --------
    >>> refuse_same_names([Split("encounter"), Split("random")])
    """
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        raise FoldError(
            f"splits {', '.join(names)}: expected a different name for each. Evaluate one after the "
            "other what differs in seed or folds alone."
        )


def group_values(clips: pd.DataFrame, recordings: pd.DataFrame, column: str) -> pd.Series:
    """Find the value of a grouping column for every clip.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    column : str
        A column of either table, ``day``, ``year``, or a column of the metadata

    Returns
    -------
    Series [shape=(n_clips,)] of str

    Raises
    ------
    FoldError
        If no table has the column, or no recording has a value in the column.

    Examples
    --------
    >>> recordings = pd.DataFrame({"recording_id": ["a"], "metadata": ['{"observer": "Ana"}']})
    >>> clips = pd.DataFrame({"recording_id": ["a"], "encounter": ["Sette_44"]})
    >>> group_values(clips, recordings, "observer").tolist()
    ['Ana']
    """
    column = nfc(column)
    if column in ("moment_id", "clip_id"):
        return clips[column].astype(object)
    if column == "recording":
        column = "recording_id"
    entries = _entries(recordings)
    if column in recordings.columns and column != "metadata":
        values = recordings[column].tolist()
    elif any(column in entry for entry in entries):
        values = [entry.get(column) for entry in entries]
    elif column in ("day", "year"):
        time_format = "%Y-%m-%d" if column == "day" else "%Y"
        values = recordings["start_utc"].dt.strftime(time_format).tolist()
    else:
        raise FoldError(unknown_name("grouping column", column, _columns(entries)))
    value_of = dict(zip(recordings["recording_id"], values, strict=True))
    clip_values = [value_of[recording_id] for recording_id in clips["recording_id"]]
    empty = [bool(pd.isna(value)) or value == "" for value in clip_values]
    if all(empty):
        raise FoldError(
            f"no recording has a {column}. Give it with --metadata, or split by another column."
        )
    # Clips without a value are grouped by encounter: they share no group, and no encounter is split.
    return pd.Series(
        [
            f"encounter {encounter}" if blank else str(value)
            for value, blank, encounter in zip(clip_values, empty, clips["encounter"], strict=True)
        ],
        index=clips.index,
        dtype=object,
    )


def _entries(recordings: pd.DataFrame) -> list[dict[str, Any]]:
    return [json.loads(text) for text in recordings["metadata"]]


def _columns(entries: Sequence[Mapping[str, Any]]) -> set[str]:
    """Columns that clips can be grouped by, as they are proposed to a user."""
    names = {"day", "encounter", "platform", "recorder", "recording", "sample_rate", "year"}
    return names.union(*entries)


def make_folds(clips: pd.DataFrame, recordings: pd.DataFrame, split: Split) -> Folds:
    """Split the labelled clips.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names; all clips have a label
    split : Split

    Returns
    -------
    Folds, verified

    Raises
    ------
    FoldError
        If there is no such split, there are fewer than two classes, or no group can be tested.

    Examples
    --------
    >>> encounters = ["I1", "I2", "P1", "P2"]
    >>> clips = pd.DataFrame(
    ...     {"clip_id": list("abcd"), "recording_id": list("ABCD"), "moment_id": list("1234"),
    ...      "label": ["Insular", "Insular", "Pelagic", "Pelagic"], "encounter": encounters}
    ... )
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": list("ABCD"), "moment_id": list("wxyz"), "encounter": encounters,
    ...      "metadata": "{}"}
    ... )
    >>> folds = make_folds(clips, recordings, Split("encounter", n_folds=2))
    >>> [len(test) for repeat, fold, train, test in folds]
    [2, 2]
    """
    if clips["label"].isna().any():
        raise FoldError("clips without a label cannot be split: leave them out first.")
    labels = clips["label"].to_numpy(dtype=object)
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise FoldError(
            f"{plural(len(classes), 'class')} found ({', '.join(classes) or 'none'}); "
            "a classifier needs at least 2 folders of labelled recordings."
        )
    if split.name == "study":
        return _study(clips, split)
    moments = clips["moment_id"].to_numpy(dtype=object)
    _check_name(recordings, split)
    groups = group_values(clips, recordings, split.group_by).to_numpy(dtype=object)
    # Different recordings may hold channels of one moment. These channels stay together, and all
    # clips of such recordings, too, because their windows may begin at different times.
    units = joined(groups, moments)
    units = joined(units, _shared_moments(clips, recordings, moments))
    if not split.is_optimistic:  # no column, such as the sample rate, splits an encounter
        units = joined(units, clips["encounter"].to_numpy(dtype=object))
    return _dealt(clips, split, groups, units)


def deal_again(folds: Folds, clips: pd.DataFrame) -> Folds:
    """Split the same clips as before, with other labels.

    Parameters
    ----------
    folds : Folds, of these clips
    clips : DataFrame, with the new labels

    Returns
    -------
    Folds, verified; as :func:`make_folds` would make them

    Raises
    ------
    FoldError
        If no group can be tested.

    Examples
    --------
    >>> encounters = ["I1", "I2", "P1", "P2"]
    >>> clips = pd.DataFrame(
    ...     {"clip_id": list("abcd"), "recording_id": list("ABCD"), "moment_id": list("1234"),
    ...      "label": ["Insular", "Insular", "Pelagic", "Pelagic"], "encounter": encounters}
    ... )
    >>> recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
    >>> folds = make_folds(clips, recordings, Split("encounter", n_folds=2))
    >>> deal_again(folds, clips.assign(label=clips["label"][::-1].to_numpy())).labels.tolist()
    ['Pelagic', 'Pelagic', 'Insular', 'Insular']
    """
    if folds.split.name == "study":
        return _study(clips, folds.split)
    return _dealt(clips, folds.split, folds.groups, folds.units)


def _dealt(
    clips: pd.DataFrame, split: Split, groups: NDArray[np.object_], units: NDArray[np.object_]
) -> Folds:
    """Assign the units to folds, and verify that."""
    labels = clips["label"].to_numpy(dtype=object)
    always_train = _sole_carriers(units, labels)
    test_fold = np.full((split.n_repeats, len(clips)), -1, dtype=np.int64)
    strata = labels if split.name != "random" else np.full(len(labels), "", dtype=object)
    for repeat in range(split.n_repeats):
        rng = np.random.default_rng([split.seed, repeat])
        if split.leaves_one_out:
            testable = sorted(set(units) - always_train)
            position = {unit: k for k, unit in enumerate(testable)}
            test_fold[repeat] = [position.get(unit, -1) for unit in units]
        else:
            test_fold[repeat] = _deal(units, labels, strata, always_train, split.n_folds, rng)
    not_testable = {
        str(group) for group, unit in zip(groups, units, strict=True) if unit in always_train
    }
    clip_ids = clips["clip_id"].to_numpy(dtype=object)
    validation = np.zeros(len(clips), dtype=bool)
    folds = Folds(
        split, clip_ids, labels, groups, units, test_fold, validation, sorted(not_testable)
    )
    verify(folds, clips)
    return folds


def _check_name(recordings: pd.DataFrame, split: Split) -> None:
    """FoldError with the splits there are, unless the split groups by a column that is there."""
    columns = _columns(_entries(recordings))
    if split.leaves_one_out or split.group_by in columns | set(recordings.columns) | {
        "moment_id",
        "clip_id",
    }:
        return
    names = columns | {"random", "stratified", "study", f"{_LEAVE_ONE}COLUMN-out"}
    raise FoldError(unknown_name("split", split.name, names))


def stricter_folds(
    clips: pd.DataFrame, recordings: pd.DataFrame, split: Split
) -> tuple[Folds | None, list[str]]:
    """Split by what joins encounters to the fewest groups: an outing, a day, a platform.

    A column of the metadata joins encounters if each encounter has one value of it. Every population
    must have two groups or more, so that one is left to learn from. The column with the fewest groups
    is taken (of several, the first in the alphabet), whatever the scores.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names; all clips have a label
    split : Split by encounter; folds and seed are taken from it, and one repeat

    Returns
    -------
    folds : Folds, or None if no column joins encounters in such a way
    not_testable : list of str
        The columns that join encounters, and leave a population a single group

    Examples
    --------
    >>> names = ["I1", "I2", "I3", "P1", "P2", "P3"]
    >>> clips = pd.DataFrame(
    ...     {"clip_id": names, "recording_id": names, "moment_id": names, "encounter": names,
    ...      "label": ["Insular"] * 3 + ["Pelagic"] * 3}
    ... )
    >>> outings = [1, 1, 2, 2, 3, 3]
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": names, "moment_id": names, "encounter": names, "platform": "Sette",
    ...      "start_utc": pd.NaT, "metadata": [f'{{"outing": "{n}"}}' for n in outings]}
    ... )
    >>> folds, not_testable = stricter_folds(clips, recordings, Split("encounter"))
    >>> folds.split.name, len(set(folds.units)), not_testable
    ('outing', 3, ['platform'])
    """
    made_of = set(recordings.columns) - {"platform"}  # facts of the files are for the audit
    own = set().union(*_entries(recordings)) - made_of
    n_encounters = len(set(make_folds(clips, recordings, split).units))
    best: Folds | None = None
    not_testable = []
    for column in sorted(own | {"platform", "day"}):
        try:
            values = group_values(clips, recordings, column)
        except FoldError:  # nothing has a value
            continue
        if column in own and (values.groupby(clips["encounter"]).nunique() > 1).any():
            continue
        units = joined(values.to_numpy(dtype=object), clips["encounter"].to_numpy(dtype=object))
        if len(set(units)) >= n_encounters:
            continue
        try:
            folds = make_folds(clips, recordings, replace(split, name=column, n_repeats=1))
        except FoldError:
            not_testable.append(column)
            continue
        n_units = (
            pd.Series(folds.units).groupby(folds.labels).nunique().drop(OTHER, errors="ignore")
        )
        if n_units.min() < 2:
            not_testable.append(column)
        elif best is None or len(set(folds.units)) < len(set(best.units)):
            best = folds
    return best, not_testable


def assign_folds(
    labels: NDArray[np.object_],
    groups: NDArray[np.object_],
    n_folds: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Assign whole groups to folds. Each class is spread as evenly as its groups allow.

    Parameters
    ----------
    labels, groups : ndarray [shape=(n_clips,)]
    n_folds : int
    rng : numpy Generator

    Returns
    -------
    ndarray [shape=(n_clips,)], int: the fold, or -1 for the only group of a class

    Raises
    ------
    FoldError
        If every class has a single group, or no assignment keeps every class in training.

    Examples
    --------
    >>> labels = np.array(["a", "a", "b", "b"], dtype=object)
    >>> groups = np.array(["1", "2", "3", "4"], dtype=object)
    >>> sorted(assign_folds(labels, groups, 2, np.random.default_rng(0)).tolist())
    [0, 0, 1, 1]
    """
    always_train = _sole_carriers(groups, labels)
    if len(always_train) == len(set(groups)):
        raise FoldError("every class has a single group: nothing can be held out.")
    return _deal(groups, labels, labels, always_train, n_folds, rng)


def verify(folds: Folds, clips: pd.DataFrame) -> None:
    """Check that folds keep the promise of their split.

    Parameters
    ----------
    folds : Folds
    clips : DataFrame, the clips that were split, row for row

    Raises
    ------
    FoldError
        If the folds belong to other clips, a repeat tests nothing, a class is missing from training,
        a clip for validation is tested, or a group or moment is on both sides. An encounter on both
        sides is an error, too, unless the split is optimistic.

    Examples
    --------
    >>> clips = pd.DataFrame(
    ...     {"clip_id": list("abcd"), "recording_id": list("ABCD"), "moment_id": list("1234"),
    ...      "label": ["Insular", "Insular", "Pelagic", "Pelagic"], "encounter": "one"}
    ... )
    >>> recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
    >>> folds = make_folds(clips, recordings, Split("recording", n_folds=2))
    >>> folds.split = Split("encounter", n_folds=2)
    >>> verify(folds, clips)
    Traceback (most recent call last):
    pseudorca.errors.FoldError: split 'encounter', repeat 0, fold 0: encounter one stands on both sides.
    """
    name = folds.split.name
    if not np.array_equal(folds.clip_ids, clips["clip_id"].to_numpy(dtype=object)):
        raise FoldError(f"split {name!r}: the folds were made for other clips.")
    if len(set(folds.clip_ids)) < len(folds.clip_ids):
        raise FoldError(f"split {name!r}: a clip stands in the table twice.")
    if not (folds.test_fold >= 0).any(axis=1).all():
        raise FoldError(
            f"the split {name!r} has nothing to test: no {folds.split.group_by} can be left out "
            "without emptying a class. Record more, or use a finer split (recording, random)."
        )
    tested = set(folds.labels[(folds.test_fold >= 0).any(axis=0)]) - {OTHER}
    if len(tested) < 2:
        raise FoldError(
            f"split {name!r} can test {', '.join(sorted(tested)) or 'nothing'} only: every other class "
            f"has a single {folds.split.group_by} and nothing else to train on. That measures "
            "nothing; record more, or use a finer split (recording, random)."
        )
    whole = {"group": folds.groups}
    if name != "study":
        whole["moment"] = clips["moment_id"].to_numpy(dtype=object)
    if not folds.split.is_optimistic:
        whole["encounter"] = clips["encounter"].to_numpy(dtype=object)
    classes = set(folds.labels)
    for repeat, fold, train, test in folds:
        where = f"split {name!r}, repeat {repeat}, fold {fold}"
        if missing := classes - set(folds.labels[train]):
            raise FoldError(f"{where}: no {', '.join(sorted(missing))} left to train on.")
        if folds.validation[test].any():
            raise FoldError(f"{where}: a clip kept for validation is tested.")
        for kind, values in whole.items():
            if both := set(values[train]) & set(values[test]):
                raise FoldError(f"{where}: {kind} {min(both)} stands on both sides.")


def _shared_moments(
    clips: pd.DataFrame, recordings: pd.DataFrame, moments: NDArray[np.object_]
) -> NDArray[np.object_]:
    """The moment of the recording if several recordings share it, else the moment of the clip."""
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    n_heard = Counter(moment_of.values())
    whole = [moment_of[recording] for recording in clips["recording_id"]]
    several = [n_heard[moment] > 1 for moment in whole]
    return np.where(several, np.array(whole, dtype=object), moments)


def joined(groups: NDArray[np.object_], ties: NDArray[np.object_]) -> NDArray[np.object_]:
    """Name every clip by the connected set of groups that share a tie (a moment, an encounter).

    The first group in the alphabet names a set, so the order of the clips does not matter.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group, names = pd.factorize(groups, sort=True)
    tie, tie_names = pd.factorize(ties)
    n_nodes = len(names) + len(tie_names)
    edges = coo_array((np.ones(len(group)), (group, len(names) + tie)), shape=(n_nodes, n_nodes))
    set_of = connected_components(edges, directed=False)[1][: len(names)]
    _, first = np.unique(set_of, return_index=True)
    return np.asarray(names[first[set_of[group]]])


def _sole_carriers(units: NDArray[np.object_], labels: NDArray[np.object_]) -> set[object]:
    """Find the units that are the only unit of a class."""
    units_of: dict[object, set[object]] = {}
    for unit, label in set(zip(units.tolist(), labels.tolist(), strict=True)):
        units_of.setdefault(label, set()).add(unit)
    return {next(iter(carriers)) for carriers in units_of.values() if len(carriers) == 1}


def _deal(
    units: NDArray[np.object_],
    labels: NDArray[np.object_],
    strata: NDArray[np.object_],
    always_train: set[object],
    n_folds: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Assign units to folds: the units of each stratum, in random order, to the smallest folds.

    A grouped splitter of scikit-learn can return a fold that removes a class from training. This
    assignment cannot, if a class has two units: a fold gets a second unit only after every fold has
    one unit.
    """
    names, unit = _numbered(units)
    kinds, kind = _numbered(strata)
    classes, label = (kinds, kind) if strata is labels else _numbered(labels)
    counts = np.zeros((len(names), len(kinds)))
    np.add.at(counts, (unit, kind), 1)
    # The stratum of a unit with mixed labels is its most frequent label.
    sizes, stratum_of = counts.sum(axis=1), counts.argmax(axis=1)
    kept = np.array([name in always_train for name in names])
    for _ in range(100):  # only mixed units can remove a class; then a new random order is tried
        fold_of = np.full(len(names), -1)
        n_clips = np.zeros(n_folds)
        for stratum in range(len(kinds)):
            members = np.flatnonzero((stratum_of == stratum) & ~kept)
            n_units = np.zeros(n_folds)
            for index in rng.permutation(len(members)):
                tie = rng.random(n_folds)
                fold = int(np.lexsort((tie, n_clips, n_units))[0])
                fold_of[members[index]] = fold
                n_units[fold] += 1
                n_clips[fold] += sizes[members[index]]
        assigned = fold_of[unit]
        held = np.zeros((n_folds + 1, len(classes)))
        np.add.at(held, (assigned, label), 1)  # the last row, index -1, is always trained on
        if (held[:n_folds] < held.sum(axis=0)).all():
            return assigned
    raise FoldError(
        "no assignment of the groups keeps every class in training: encounters of mixed labels leave a "
        "class to too few. Use a leave-one-...-out split, or fewer folds."
    )


def _numbered(values: NDArray[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """The values once each, sorted, and the place of each value among them."""
    names = sorted(set(values.tolist()))
    place = {name: k for k, name in enumerate(names)}
    return names, np.array([place[value] for value in values.tolist()], dtype=np.int64)


def _study(clips: pd.DataFrame, split: Split) -> Folds:
    """Assign single clips 60/20/20, as the study did. Channels of a moment may be on both sides."""
    clip_ids, labels, moments = (
        clips[column].to_numpy(dtype=object) for column in ("clip_id", "label", "moment_id")
    )
    n = len(clips)
    order = np.argsort(clip_ids)[np.random.default_rng(split.seed).permutation(n)]
    n_train, n_validation = round(n * STUDY_SHARES[0]), round(n * STUDY_SHARES[1])
    test_fold = np.full((1, n), -1, dtype=np.int64)
    test_fold[0, order[n_train + n_validation :]] = 0
    validation = np.zeros(n, dtype=bool)
    validation[order[n_train : n_train + n_validation]] = True
    is_test = test_fold[0] >= 0
    n_straddling = len(set(moments[is_test]) & set(moments[~is_test]))
    folds = Folds(
        split, clip_ids, labels, clip_ids, clip_ids, test_fold, validation, [], n_straddling
    )
    verify(folds, clips)
    return folds


def describe_split(split: Mapping[str, Any]) -> str:
    """Describe a split in words.

    Parameters
    ----------
    split : mapping with the fields of :class:`Split`

    Returns
    -------
    str

    Examples
    --------
    >>> describe_split(asdict(Split("encounter", n_repeats=3)))
    'split encounter, 5 folds, 3 repeats'
    """
    name, n_repeats = str(split["name"]), int(split["n_repeats"])
    text = f"split {name}"
    if name == "study":
        text += ", 60 % training, 20 % validation, 20 % test"
    elif not name.startswith(_LEAVE_ONE):
        text += f", {split['n_folds']} folds"
    if n_repeats > 1:
        text += f", {n_repeats} repeats"
    return text


@dataclass(frozen=True, eq=False, repr=False)
class FoldsResult(Result):
    """A split that was made and verified.

    Examples
    --------
    >>> clips = np.array(["c1", "c2"], dtype=object)
    >>> labels = np.array(["Insular", "Pelagic"], dtype=object)
    >>> test_fold, no_clip = np.array([[0, 1]]), np.zeros(2, dtype=bool)
    >>> folds = Folds(Split("recording"), clips, labels, clips, clips, test_fold, no_clip)
    >>> print(FoldsResult(folds))
    Verified: split recording, 5 folds, 2 groups by recording.
    Tested: 2 of 2 labelled clips.
    Groups that cannot be tested: none.
    """

    folds: Folds

    @property
    def split(self) -> Split:
        """The settings of the split."""
        return self.folds.split

    @property
    def n_groups(self) -> int:
        """Number of units that were assigned to folds."""
        return len(set(self.folds.units))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row per repeat and fold, with the number of tested clips by class."""
        rows = []
        for repeat, fold, train, test in self.folds:
            counts = pd.Series(self.folds.labels[test]).value_counts()
            rows.append(
                {
                    "repeat": repeat,
                    "fold": fold,
                    "n_train": len(train),
                    "n_test": len(test),
                    "n_test_groups": len(set(self.folds.units[test])),
                    "test_per_class": {str(label): int(n) for label, n in counts.items()},
                }
            )
        return rows

    def as_json(self) -> dict[str, Any]:
        """The split, its numbers of groups, and the sizes of both sides of every fold."""
        return {
            "split": asdict(self.split),
            "group_by": self.split.group_by,
            "n_groups": self.n_groups,
            "n_validation": int(self.folds.validation.sum()),
            "not_testable": self.folds.not_testable,
            "n_straddling_moments": self.folds.n_straddling_moments,
            "folds": self.rows,
        }

    def summary(self) -> Sequence[str]:
        """The split, the number of tested clips, and the groups that cannot be tested."""
        n_tested = int((self.folds.test_fold >= 0).any(axis=0).sum())
        left_out = ", ".join(self.folds.not_testable) or "none"
        return [
            f"Verified: {describe_split(asdict(self.split))}, {plural(self.n_groups, 'group')} by "
            f"{self.split.group_by}.",
            f"Tested: {n_tested} of {plural(len(self.folds.labels), 'labelled clip')}.",
            f"Groups that cannot be tested: {left_out}.",
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per repeat and fold: sizes of both sides, and number of tested clips of each class."""
        labels = sorted({str(label) for label in self.folds.labels})
        return pd.DataFrame(
            {key: value for key, value in row.items() if key != "test_per_class"}
            | {f"test_{label}": row["test_per_class"].get(label, 0) for label in labels}
            for row in self.rows
        )


def folds_project(store: Store, split: Split | None = None) -> FoldsResult:
    """Make and verify a split, without writing.

    Parameters
    ----------
    store : Store
    split : Split or None

    Returns
    -------
    FoldsResult

    Raises
    ------
    FoldError
        As :func:`make_folds`.
    ManifestError
        If the project holds no recordings.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     folds_project(Store(folder, create=True))
    Traceback (most recent call last):
    pseudorca.errors.ManifestError: ... holds no recordings. Run: pseudorca scan ...
    """
    clips = read_clips(store)
    clips = labelled_and_noise(store, clips)[0].reset_index(drop=True)
    return FoldsResult(make_folds(clips, project_recordings(store), split or Split()))

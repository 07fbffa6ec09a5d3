"""Animals or recorders: how the model compares with controls that hear no animal.

In: which encounters the model and each control named rightly, out of fold, under one split. Out: the
paired difference between them, what the answer follows when backgrounds are swapped, whether the
embeddings know the recorder, and a verdict that a reviewer can quote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.assessment.audit_words import LEVEL
from pseudorca.assessment.intervals import interval
from pseudorca.assessment.rightness import rightness
from pseudorca.errors import FoldError
from pseudorca.learning.crossval import cross_validate, fit_head
from pseudorca.learning.heads import Head
from pseudorca.learning.training_set import TrainingSet
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.recordings.notices import MIN_ENCOUNTERS

Verdict = Literal["animals", "recorder", "cannot tell"]

_N_RESAMPLES = 2000
_CONFIDENCE = 0.95
_MIN_SIDE = 2  # encounters of a platform below which it cannot be held out and learned


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def balanced_accuracy(right: pd.DataFrame) -> tuple[Estimate, str]:
    """Balanced accuracy by encounter with its interval, and how that was made."""
    classes = sorted(set(right["label"]))
    actual = np.array([classes.index(label) for label in right["label"]])
    values = right["right"].to_numpy(dtype=np.float64)
    low, high, method = interval(values, actual, right["unit"].to_numpy(object), len(classes))
    value = float(right.groupby("label")["right"].mean().mean())
    return Estimate(value, low, high), method


def paired_difference(
    right: Mapping[str, NDArray[np.float64]],
    labels: NDArray[np.object_],
    units: NDArray[np.object_],
    *,
    model: str,
    controls: Sequence[str],
    seed: int = 0,
) -> Estimate:
    """Balanced accuracy of the model minus that of the best control, on the same encounters.

    Units are resampled within class; the best control is chosen again in each resample, so that it
    gains no more from having been chosen here than it did there.

    Parameters
    ----------
    right : mapping from feature set to ndarray [shape=(n_encounters,)]
        Share of repeats in which an encounter was named rightly
    labels, units : ndarray [shape=(n_encounters,)]
        A unit is what is independent; its encounters are drawn together
    model : str
    controls : sequence of str
    seed : int

    Returns
    -------
    Estimate, percentile bootstrap of 2,000 resamples

    Raises
    ------
    FoldError
        If there is no control.
    """
    if not controls:
        raise FoldError("no control to compare with: every fact is the same and no background.")
    names = [model, *controls]
    values = np.stack([right[name] for name in names])
    rng = np.random.default_rng(seed)
    recalls = np.zeros((_N_RESAMPLES, len(names)))
    observed = np.zeros(len(names))
    classes = sorted(set(labels))
    for label in classes:
        mine = labels == label
        _, unit = np.unique(units[mine].astype(str), return_inverse=True)
        n_units = unit.max() + 1
        sums = np.stack([np.bincount(unit, row[mine], n_units) for row in values])
        counts = np.bincount(unit, minlength=n_units)
        drawn = rng.integers(n_units, size=(_N_RESAMPLES, n_units))
        recalls += (sums[:, drawn].sum(axis=2) / counts[drawn].sum(axis=1)).T / len(classes)
        observed += values[:, mine].mean(axis=1) / len(classes)
    differences = recalls[:, 0] - recalls[:, 1:].max(axis=1)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Estimate(float(observed[0] - observed[1:].max()), float(low), float(high))


def decide_verdict(
    *, p_nuisance: float, difference: Estimate, p_model: float, units_per_class: Mapping[str, int]
) -> Verdict:
    """Apply the rule.

    ``recorder``: the best nuisance control predicts the label (p < 0.05, the maximum over all of
    them as statistic), and the interval of model minus best control does not lie above 0.
    ``animals``: that interval lies above 0, the model's own p < 0.05, and every class has enough
    units (:data:`pseudorca.recordings.notices.MIN_ENCOUNTERS`) for an interval to mean anything.
    ``cannot tell``: everything else.

    Parameters
    ----------
    p_nuisance, p_model : float
    difference : Estimate, from :func:`paired_difference`
    units_per_class : mapping from label to the number of independent units
    """
    is_above = difference.low > 0
    if p_nuisance < LEVEL and not is_above:
        return "recorder"
    if is_above and p_model < LEVEL and min(units_per_class.values()) >= MIN_ENCOUNTERS:
        return "animals"
    return "cannot tell"


def leakage_gap(random: pd.DataFrame, honest: pd.DataFrame, *, seed: int = 0) -> Estimate:
    """Balanced accuracy by encounter, random split minus honest split, on the same encounters.

    Parameters
    ----------
    random, honest : DataFrame, as from :func:`pseudorca.assessment.rightness.rightness`
    seed : int
    """
    both = honest.merge(random, on=["encounter", "label"], suffixes=("", "_random"))
    return paired_difference(
        {"random": both["right_random"].to_numpy(), "honest": both["right"].to_numpy()},
        both["label"].to_numpy(dtype=object),
        both["unit"].to_numpy(dtype=object),
        model="random",
        controls=["honest"],
        seed=seed,
    )


def swap_partners(
    clips: pd.DataFrame,
    units: NDArray[np.object_],
    usable: NDArray[np.bool_],
    *,
    n_partners: int = 2,
    n_clips: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose whose signals go over whose background.

    Every encounter gets partners of other labels; both can be left out of training together without
    emptying a class.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``
    units : ndarray [shape=(n_clips,)], what must be left out together
    usable : ndarray [shape=(n_clips,)], bool: clips with signals and with free frames
    n_partners : int, per encounter
    n_clips : int, per encounter and partner
    seed : int

    Returns
    -------
    DataFrame, a row per swapped clip
        ``encounter, partner, signal_row, sea_row``: rows of ``clips``.
    """
    rng = np.random.default_rng(seed)
    labels = clips["label"].to_numpy(dtype=object)
    encounters = clips["encounter"].to_numpy(dtype=object)
    rows_of = {name: np.flatnonzero((encounters == name) & usable) for name in set(encounters)}
    label_of = dict(zip(encounters, labels, strict=True))
    unit_of = dict(zip(encounters, units, strict=True))
    named = sorted(name for name, rows in rows_of.items() if len(rows))
    rows = []
    for name in named:
        others = [other for other in named if label_of[other] != label_of[name]]
        chosen: list[str] = []
        for k in rng.permutation(len(others)):
            kept = ~np.isin(units, [unit_of[name], unit_of[others[k]]])
            if len(chosen) < n_partners and set(labels[kept]) == set(labels):
                chosen.append(others[k])
        for partner in chosen:
            mine = rng.permutation(rows_of[name])[:n_clips]
            theirs = rng.choice(rows_of[partner], len(mine))
            rows += [(name, partner, int(a), int(b)) for a, b in zip(mine, theirs, strict=True)]
    return pd.DataFrame(rows, columns=["encounter", "partner", "signal_row", "sea_row"])


def swap_outcome(
    data: TrainingSet,
    pairs: pd.DataFrame,
    swapped: NDArray[np.float32],
    rebuilt: NDArray[np.float32],
    head: Head,
    *,
    encounters: NDArray[np.object_],
    seed: int = 0,
) -> dict[str, Any]:
    """Ask heads that heard neither encounter what they make of swapped clips.

    Parameters
    ----------
    data : TrainingSet, its groups are what is left out together
    pairs : DataFrame, as from :func:`swap_partners`
    swapped, rebuilt : ndarray [shape=(n_pairs, n_dimensions)]
        The signals over the partner's background, and over their own
    head : Head
    encounters : ndarray [shape=(n_clips,)]
    seed : int

    Returns
    -------
    dict
        ``animal``, ``background``, ``neither``: shares of swapped clips that were given the label of
        the signals, of the background, of none of both, as :class:`Estimate` dicts (each encounter
        counts once, each class the same; units of the signals resampled); ``difference`` (animal
        minus background); ``right_before`` and ``right_rebuilt``: shares named rightly as recorded,
        and taken apart and put together over their own background; ``n_clips``, ``n_encounters``.
    """
    said = {kind: np.empty(len(pairs), dtype=object) for kind in ("swapped", "rebuilt", "before")}
    group_of = dict(zip(encounters, data.groups, strict=True))
    by_pair = pairs.reset_index(drop=True).groupby(["encounter", "partner"], sort=True)
    for (encounter, partner), mine in by_pair:
        left_out = [group_of[encounter], group_of[partner]]
        trained = fit_head(head, data.take(np.flatnonzero(~np.isin(data.groups, left_out))))
        rows = mine.index.to_numpy()
        originals = data.vectors[mine["signal_row"].to_numpy()]
        for kind, vectors in (
            ("swapped", swapped[rows]), ("rebuilt", rebuilt[rows]), ("before", originals),
        ):  # fmt: skip
            best = trained.log_probabilities(vectors).argmax(axis=1)
            said[kind][rows] = np.array(trained.classes, dtype=object)[best]
    animal = data.labels[pairs["signal_row"].to_numpy()]
    sea = data.labels[pairs["sea_row"].to_numpy()]
    shares = pd.DataFrame(
        {
            "encounter": pairs["encounter"].to_numpy(),
            "label": animal,
            "unit": data.groups[pairs["signal_row"].to_numpy()],
            "animal": (said["swapped"] == animal).astype(float),
            "background": (said["swapped"] == sea).astype(float),
            "right_before": (said["before"] == animal).astype(float),
            "right_rebuilt": (said["rebuilt"] == animal).astype(float),
        }
    )
    shares["neither"] = 1 - shares["animal"] - shares["background"]
    shares["difference"] = shares["animal"] - shares["background"]
    per_encounter = shares.groupby(["encounter", "label", "unit"], as_index=False).mean()
    kinds = ["animal", "background", "neither", "difference", "right_before", "right_rebuilt"]
    found = _resampled(per_encounter, kinds, seed)
    about = {"n_clips": len(pairs), "n_encounters": len(per_encounter)}
    return {kind: found[kind].as_dict() for kind in kinds} | about


def knows_recorder(
    data: TrainingSet,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    signature: NDArray[np.object_],
    split: Split,
    head: Head,
) -> list[dict[str, Any]]:
    """Within each label alone, can the embeddings tell where or with what it was recorded?

    Parameters
    ----------
    data : TrainingSet, rows as in ``clips``
    clips, recordings : DataFrame, the tables of these names
    signature : ndarray [shape=(n_clips,)], such as the platform; one value per encounter
    split : Split
    head : Head

    Returns
    -------
    list of dict
        For each label with at least two values of at least two encounters each: ``label, values,
        n_encounters, chance`` and balanced accuracy (``value, low, high``).
    """
    found = []
    for label in sorted(set(data.labels)):
        rows = np.flatnonzero(data.labels == label)
        table = pd.DataFrame({"value": signature[rows], "group": data.groups[rows]})
        spread = table.groupby("value")["group"].nunique()
        values = sorted(spread.index[spread >= _MIN_SIDE])
        rows = rows[np.isin(signature[rows], values)]
        if len(values) < 2:
            continue
        own = clips.iloc[rows].assign(label=signature[rows]).reset_index(drop=True)
        try:
            folds = make_folds(own, recordings, split)
        except FoldError:
            continue
        part = replace(data.take(rows), labels=signature[rows], groups=folds.units)
        scored = cross_validate(part, folds, head)
        right = rightness(own, scored, folds.units)
        estimate, _ = balanced_accuracy(right)
        about = {"label": label, "values": values, "n_encounters": len(right)}
        found.append(about | {"chance": 1 / len(values)} | estimate.as_dict())
    return found


def _resampled(table: pd.DataFrame, columns: Sequence[str], seed: int) -> dict[str, Estimate]:
    """Means over encounters, then classes, with intervals by resampling units within class."""
    rng = np.random.default_rng(seed)
    means = np.zeros((_N_RESAMPLES, len(columns)))
    value = np.zeros(len(columns))
    labels = sorted(set(table["label"]))
    for label in labels:
        mine = table[table["label"] == label]
        by_unit = mine.groupby("unit")[list(columns)]
        sums, counts = by_unit.sum().to_numpy(), by_unit.size().to_numpy()
        drawn = rng.integers(len(counts), size=(_N_RESAMPLES, len(counts)))
        share = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)[:, None]
        means += share / len(labels)
        value += mine[list(columns)].mean().to_numpy() / len(labels)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return {
        name: Estimate(float(value[k]), float(low[k]), float(high[k]))
        for k, name in enumerate(columns)
    }

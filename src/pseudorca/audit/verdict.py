"""Animals or recorders: how the model compares with controls that hear no animal.

In: the encounters that the model and each control named rightly, out of fold, under one split. Out: the
gap to a random split, whether the embeddings know the recorder, and a verdict that a reviewer can
quote.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.evaluation.encounter_accuracy import (
    Estimate,
    balanced_accuracy,
    paired_difference,
    rightness,
)
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.recordings.notices import MIN_ENCOUNTERS

LEVEL = 0.05
"""Significance level of both permutation tests."""

Verdict = Literal["animals", "recorder", "cannot tell"]
_MIN_SIDE = 2  # least number of encounters of a platform


def decide_verdict(
    *, p_nuisance: float, difference: Estimate, p_model: float, units_per_class: Mapping[str, int]
) -> Verdict:
    """Apply the rule.

    ``recorder``: the best nuisance control predicts the label (p < 0.05, with the maximum over all
    controls as the statistic), and the interval of model minus best control does not lie above 0.
    ``animals``: this interval lies above 0, the model's own p < 0.05, and every class has enough
    units for an interval (:data:`pseudorca.recordings.notices.MIN_ENCOUNTERS`).
    ``cannot tell``: every other case.

    Parameters
    ----------
    p_nuisance, p_model : float
    difference : Estimate, from :func:`paired_difference`
    units_per_class : mapping from label to the number of independent units

    Returns
    -------
    ``animals``, ``recorder`` or ``cannot tell``

    Examples
    --------
    >>> above = Estimate(0.3, 0.1, 0.5)
    >>> decide_verdict(
    ...     p_nuisance=0.4, difference=above, p_model=0.01, units_per_class={"A": 12, "B": 12}
    ... )
    'animals'
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
    random, honest : DataFrame, as from :func:`pseudorca.evaluation.encounter_accuracy.rightness`
    seed : int

    Returns
    -------
    Estimate

    Examples
    --------
    >>> names = {"encounter": list("abcd"), "label": list("AABB"), "unit": list("abcd")}
    >>> random = pd.DataFrame(names | {"right": [1.0, 1, 1, 1]})
    >>> honest = pd.DataFrame(names | {"right": [1.0, 0, 1, 0]})
    >>> leakage_gap(random, honest).value
    0.5
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


def knows_recorder(
    data: TrainingSet,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    signature: NDArray[np.object_],
    split: Split,
    head: Head,
) -> list[dict[str, Any]]:
    """Test whether the embeddings predict platform or recorder within each label.

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
    results = []
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
        row = {"label": label, "values": values, "n_encounters": len(right)}
        results.append(row | {"chance": 1 / len(values)} | estimate.as_dict())
    return results

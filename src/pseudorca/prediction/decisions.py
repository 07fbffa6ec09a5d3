"""Clip scores to decisions: per clip, recording and encounter.

Channels of one moment are averaged before anything is counted, so that six hydrophones are not six
votes; then log-probabilities are averaged over the moments of a unit.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError, unknown_name

UNITS = ("clip", "recording", "encounter")

DECISION_COLUMNS = (
    "unit", "unit_id", "classifier_id", "split_id", "prior", "decision", "probability", "n_moments",
    "reason",
)  # fmt: skip


@dataclass
class UnitScores:
    """Scores of the units of one kind.

    ``table`` has a row per unit: ``unit_id, label, encounter, n_moments`` and for a clip
    ``recording_id, start_s, end_s``. ``log_probabilities`` [shape=(n_units, n_classes)].
    """

    table: pd.DataFrame
    log_probabilities: NDArray[np.float64]


def aggregate(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    log_probabilities: NDArray[np.float64],
    unit: str,
) -> UnitScores:
    """Average clip scores over the channels of a moment, then over the moments of a unit.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    log_probabilities : ndarray [shape=(n_clips, n_classes)]
        Rows of NaN (never tested) are left out
    unit : ``clip`` (a moment), ``recording`` (files of one moment count as one) or ``encounter``
        An encounter of mixed labels is a unit per label.

    Returns
    -------
    UnitScores
        Log-probabilities are normalised: they are those of the geometric mean.
    """
    if unit not in UNITS:
        raise PseudorcaError(unknown_name("unit", unit, UNITS))
    scored = ~np.isnan(log_probabilities).any(axis=1)
    columns = ["recording_id", "moment_id", "label", "encounter", "start_s", "end_s"]
    rows = clips[columns][scored].reset_index(drop=True)
    names = [f"class {k}" for k in range(log_probabilities.shape[1])]
    rows = pd.concat([rows, pd.DataFrame(log_probabilities[scored], columns=names)], axis=1)
    rows["label"] = rows["label"].fillna("")
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    rows["recording_moment"] = [moment_of[recording] for recording in rows["recording_id"]]

    keys = ["moment_id", "label"]
    firsts = ["recording_id", "encounter", "start_s", "end_s", "recording_moment"]
    by_moment = rows.groupby(keys, sort=False)
    moments = pd.concat([by_moment[firsts].first(), by_moment[names].mean()], axis=1).reset_index()
    moments["n_moments"] = 1
    if unit == "clip":
        table = moments.rename(columns={"moment_id": "unit_id"})
    else:
        key = {"recording": "recording_moment", "encounter": "encounter"}[unit]
        moments["unit_id"] = moments[key]
        by_unit = moments.groupby(["unit_id", "label"], sort=False)
        kept = ["encounter"] + (["recording_id"] if unit == "recording" else [])
        table = pd.concat(
            [by_unit[kept].first(), by_unit["n_moments"].sum(), by_unit[names].mean()], axis=1
        ).reset_index()
    scores = scipy.special.log_softmax(table[names].to_numpy(dtype=np.float64), axis=1)
    return UnitScores(table.drop(columns=names), np.asarray(scores))


def decide(
    units: UnitScores,
    classes: list[str],
    *,
    unit: str,
    classifier_id: str,
    prior: str,
    split_id: str = "",
) -> pd.DataFrame:
    """Name the most probable population of each unit.

    Parameters
    ----------
    units : UnitScores
    classes : list of str
    unit : str, the kind of unit
    classifier_id, split_id : str
    prior : str
        The class frequencies that the probabilities presuppose: ``uniform`` or ``train``

    Returns
    -------
    DataFrame, the table ``decisions``
    """
    best = units.log_probabilities.argmax(axis=1)
    probability = np.exp(units.log_probabilities[np.arange(len(best)), best])
    table = units.table[["unit_id", "n_moments"]].copy()
    table["unit"] = unit
    table["classifier_id"] = classifier_id
    table["split_id"] = split_id
    table["prior"] = prior
    table["decision"] = [classes[k] for k in best]
    table["probability"] = probability
    table["reason"] = ""
    return table[list(DECISION_COLUMNS)]

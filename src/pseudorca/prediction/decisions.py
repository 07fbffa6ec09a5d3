"""Clip scores to decisions: per clip, recording and encounter, or none.

Channels of one moment are averaged before anything is counted, so that six hydrophones are not six
votes; then log-probabilities are averaged over the moments of a unit. A :class:`Rule` says when
nothing is decided: too few moments, too unlike what was heard in training, or not probable enough.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.learning.calibration import Calibrator, Prior

UNITS = ("clip", "recording", "encounter")
UNDECIDED = "undecided"

DECISION_COLUMNS = (
    "unit", "unit_id", "classifier_id", "split_id", "prior", "decision", "probability", "n_moments",
    "reason",
)  # fmt: skip


@dataclass
class UnitScores:
    """Scores of the units of one kind.

    ``table`` has a row per unit: ``unit_id, label, encounter, n_moments``, for a clip
    ``recording_id, start_s, end_s``, and ``novelty`` where it was given.
    ``log_probabilities`` [shape=(n_units, n_classes)].
    """

    table: pd.DataFrame
    log_probabilities: NDArray[np.float64]


def aggregate(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    log_probabilities: NDArray[np.float64],
    unit: str,
    *,
    novelty: NDArray[np.float64] | None = None,
) -> UnitScores:
    """Average clip scores over the channels of a moment, then over the moments of a unit.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    log_probabilities : ndarray [shape=(n_clips, n_classes)]
        Rows of NaN (never tested) are left out
    unit : ``clip`` (a moment), ``recording`` (files of one moment count as one) or ``encounter``
        An encounter of mixed labels is a unit per label.
    novelty : ndarray [shape=(n_clips,)] or None, averaged in the same way

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
    averaged = list(names)
    rows = pd.concat([rows, pd.DataFrame(log_probabilities[scored], columns=names)], axis=1)
    if novelty is not None:
        rows["novelty"] = novelty[scored]
        averaged.append("novelty")
    rows["label"] = rows["label"].fillna("")
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    rows["recording_moment"] = [moment_of[recording] for recording in rows["recording_id"]]

    keys = ["moment_id", "label"]
    firsts = ["recording_id", "encounter", "start_s", "end_s", "recording_moment"]
    by_moment = rows.groupby(keys, sort=False)
    moments = pd.concat(
        [by_moment[firsts].first(), by_moment[averaged].mean()], axis=1
    ).reset_index()
    moments["n_moments"] = 1
    if unit == "clip":
        table = moments.rename(columns={"moment_id": "unit_id"})
    else:
        key = {"recording": "recording_moment", "encounter": "encounter"}[unit]
        moments["unit_id"] = moments[key]
        by_unit = moments.groupby(["unit_id", "label"], sort=False)
        kept = ["encounter"] + (["recording_id"] if unit == "recording" else [])
        table = pd.concat(
            [by_unit[kept].first(), by_unit["n_moments"].sum(), by_unit[averaged].mean()], axis=1
        ).reset_index()
    scores = scipy.special.log_softmax(table[names].to_numpy(dtype=np.float64), axis=1)
    return UnitScores(table.drop(columns=names), np.asarray(scores))


def join_recordings(units: UnitScores) -> UnitScores:
    """Join the scores of recordings to those of their encounters, as :func:`aggregate` does of clips.

    Parameters
    ----------
    units : UnitScores of recordings

    Returns
    -------
    UnitScores of encounters
    """
    table = units.table.copy()
    n_moments = table["n_moments"].to_numpy(dtype=np.float64)[:, None]
    names = [f"class {k}" for k in range(units.log_probabilities.shape[1])]
    table[names] = units.log_probabilities * n_moments
    summed = [*names, "n_moments"]
    if "novelty" in table:
        table["novelty"] *= n_moments[:, 0]
        summed.append("novelty")
    table = table.assign(unit_id=table["encounter"])
    by_unit = table.groupby(["unit_id", "label"], sort=False)
    joined = pd.concat([by_unit[["encounter"]].first(), by_unit[summed].sum()], axis=1)
    joined = joined.reset_index()
    means = joined[names].to_numpy(dtype=np.float64) / joined[["n_moments"]].to_numpy()
    if "novelty" in joined:
        joined["novelty"] /= joined["n_moments"]
    scores = scipy.special.log_softmax(means, axis=1)
    return UnitScores(joined.drop(columns=names), np.asarray(scores))


@dataclass(frozen=True)
class Rule:
    """What it takes to be named; a unit that falls short is ``undecided``, with the reason."""

    prior: Prior
    min_probability: float = 0.0
    min_moments: int = 1
    max_novelty: float = 1.0
    """Mean distance to training clips, as a multiple of what 95 % of such units of new encounters of
    the classes keep (see :mod:`pseudorca.learning.novelty`)."""


def decide(
    units: UnitScores,
    calibrator: Calibrator,
    rule: Rule,
    *,
    unit: str,
    classifier_id: str,
    trained: Prior,
    split_id: str = "",
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Name the most probable population of each unit, or say why none.

    Parameters
    ----------
    units : UnitScores
    calibrator : Calibrator, of this kind of unit
    rule : Rule
    unit : str, the kind of unit
    classifier_id, split_id : str
    trained : Prior, the training encounters' own: decisions are compared with those it would give

    Returns
    -------
    decisions : DataFrame, the table ``decisions``, and ``most_probable`` and ``depends_on_prior``:
        whether the uniform prior or that of the training encounters would name another class
    probabilities : ndarray [shape=(n_units, n_classes)], calibrated, at the rule's prior
    """
    n_moments = units.table["n_moments"].to_numpy(np.int64)
    classes = np.array(calibrator.classes, dtype=object)

    def at(prior: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return calibrator.log_probabilities(units.log_probabilities, n_moments, prior)

    found = at(rule.prior.shares)
    best = found.argmax(axis=1)
    table = units.table[["unit_id", "n_moments"]].copy()
    table["unit"] = unit
    table["classifier_id"] = classifier_id
    table["split_id"] = split_id
    table["prior"] = rule.prior.name
    table["most_probable"] = classes[best]
    table["probability"] = np.exp(found[np.arange(len(best)), best])
    table["depends_on_prior"] = (at(None).argmax(axis=1) != best) | (
        at(trained.shares).argmax(axis=1) != best
    )
    novelty = units.table["novelty"] if "novelty" in units.table else np.zeros(len(best))
    table["reason"] = [
        _reason(rule, n, far, probability)
        for n, far, probability in zip(n_moments, novelty, table["probability"], strict=True)
    ]
    table["decision"] = table["most_probable"].where(table["reason"] == "", UNDECIDED)
    columns = [*DECISION_COLUMNS, "most_probable", "depends_on_prior"]
    return table[columns], np.exp(found)


def _reason(rule: Rule, n_moments: int, novelty: float, probability: float) -> str:
    """Why a unit is not decided; empty if it is."""
    reasons = []
    if n_moments < rule.min_moments:
        plural = "" if n_moments == 1 else "s"
        reasons.append(f"{n_moments} moment{plural}, fewer than {rule.min_moments}")
    if novelty > rule.max_novelty:
        reasons.append(f"unlike what was heard in training ({novelty:.2f} > {rule.max_novelty:g})")
    if np.isinf(rule.min_probability):
        reasons.append("the wanted error rate cannot be claimed")
    elif probability < rule.min_probability:
        reasons.append(f"probability {probability:.2f} below {rule.min_probability:.2f}")
    return "; ".join(reasons)

"""Scores of clips as a table, and joined to moments, recordings and encounters."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.special

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.learning.dataset import Floats, Ints
from pseudorca.store import TABLES

UNITS = ("clip", "recording", "encounter")


@dataclass
class UnitScores:
    """Scores of the units of one kind.

    ``table`` has a row per unit: ``unit_id, label, encounter, n_moments``. The table of clips has
    ``recording_id, start_s, end_s`` (seconds), too. The column ``novelty`` exists if novelty was
    aggregated. ``log_probabilities`` [shape=(n_units, n_classes)].

    Examples
    --------
    >>> table = pd.DataFrame({"unit_id": ["e1"], "label": "A", "encounter": "e1", "n_moments": 2})
    >>> UnitScores(table, np.log([[0.75, 0.25]])).log_probabilities.shape
    (1, 2)
    """

    table: pd.DataFrame
    log_probabilities: Floats


def aggregate(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    log_probabilities: Floats,
    unit: str,
    *,
    novelty: Floats | None = None,
    p_nothing: Floats | None = None,
    nothing_above: float = 1.0,
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
    p_nothing : ndarray [shape=(n_clips,)] or None, the probability that a clip holds nothing
    nothing_above : float
        A moment holds nothing if this is less than its mean probability of nothing. Recordings and
        encounters are averaged over the moments that hold something, if any does. The table then has
        ``p_nothing`` (mean over all moments), ``n_something`` and ``n_heard`` (moments that hold
        something, and all)

    Returns
    -------
    UnitScores
        Log-probabilities are normalised: the probabilities are the geometric mean over moments.

    Raises
    ------
    PseudorcaError
        If the unit is unknown.

    Examples
    --------
    >>> clips = pd.DataFrame({
    ...     "clip_id": ["c1", "c2"], "recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"],
    ...     "label": ["A", "A"], "encounter": ["e1", "e1"], "start_s": 0.0, "end_s": 2.0,
    ... })
    >>> recordings = pd.DataFrame({"recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"]})
    >>> scores = np.log([[0.9, 0.1], [0.5, 0.5]])
    >>> np.exp(aggregate(clips, recordings, scores, "encounter").log_probabilities).round(2).tolist()
    [[0.75, 0.25]]
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
    rows["p_nothing"] = 0.0 if p_nothing is None else p_nothing[scored]
    rows["label"] = rows["label"].fillna("")
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    rows["recording_moment"] = [moment_of[recording] for recording in rows["recording_id"]]

    keys = ["moment_id", "label"]
    firsts = ["recording_id", "encounter", "start_s", "end_s", "recording_moment"]
    by_moment = rows.groupby(keys, sort=False)
    moments = pd.concat(
        [by_moment[firsts].first(), by_moment[[*averaged, "p_nothing"]].mean()], axis=1
    ).reset_index()
    moments["n_moments"] = 1
    moments["n_something"] = (moments["p_nothing"] <= nothing_above).astype(np.int64)
    moments["n_heard"] = 1
    counts = ["n_something", "n_heard"]
    if unit == "clip":
        table = moments.rename(columns={"moment_id": "unit_id"})
    else:
        key = {"recording": "recording_moment", "encounter": "encounter"}[unit]
        moments["unit_id"] = moments[key]
        unit_keys = ["unit_id", "label"]
        has_some = moments.groupby(unit_keys, sort=False)["n_something"].transform("sum") > 0
        used = moments[(moments["n_something"] > 0) | ~has_some]
        by_unit = used.groupby(unit_keys, sort=False)
        kept = ["encounter"] + (["recording_id"] if unit == "recording" else [])
        table = pd.concat(
            [by_unit[kept].first(), by_unit["n_moments"].sum(), by_unit[averaged].mean()], axis=1
        )
        if p_nothing is not None:
            by_unit = moments.groupby(unit_keys, sort=False)
            table = table.join(by_unit[counts].sum()).join(by_unit["p_nothing"].mean())
        table = table.reset_index()
    if p_nothing is None:
        table = table.drop(columns=[*counts, "p_nothing"], errors="ignore")
    scores = scipy.special.log_softmax(table[names].to_numpy(dtype=np.float64), axis=1)
    return UnitScores(table.drop(columns=names), np.asarray(scores))


def join_recordings(units: UnitScores) -> UnitScores:
    """Join the scores of recordings to encounters; the result equals that of :func:`aggregate`.

    Parameters
    ----------
    units : UnitScores of recordings

    Returns
    -------
    UnitScores of encounters

    Examples
    --------
    >>> clips = pd.DataFrame({
    ...     "clip_id": ["c1", "c2"], "recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"],
    ...     "label": ["A", "A"], "encounter": ["e1", "e1"], "start_s": 0.0, "end_s": 2.0,
    ... })
    >>> recordings = pd.DataFrame({"recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"]})
    >>> scores = np.log([[0.9, 0.1], [0.5, 0.5]])
    >>> units = join_recordings(aggregate(clips, recordings, scores, "recording"))
    >>> np.exp(units.log_probabilities).round(2).tolist()
    [[0.75, 0.25]]
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
    counts = [name for name in ("n_something", "n_heard", "p_nothing") if name in table]
    if counts:
        table["p_nothing"] *= table["n_heard"]
    whole = table.groupby(["unit_id", "label"], sort=False)[counts].sum()
    if counts:
        whole["p_nothing"] /= whole["n_heard"]
        has_some = (
            table.groupby(["unit_id", "label"], sort=False)["n_something"].transform("sum") > 0
        )
        table = table[(table["n_something"] > 0) | ~has_some]
    by_unit = table.groupby(["unit_id", "label"], sort=False)
    joined = pd.concat([by_unit[["encounter"]].first(), by_unit[summed].sum()], axis=1)
    joined = joined.join(whole).reset_index()
    means = joined[names].to_numpy(dtype=np.float64) / joined[["n_moments"]].to_numpy()
    if "novelty" in joined:
        joined["novelty"] /= joined["n_moments"]
    scores = scipy.special.log_softmax(means, axis=1)
    return UnitScores(joined.drop(columns=names), np.asarray(scores))


def score_table(
    clips: pd.DataFrame,
    log_probabilities: Floats,
    classes: list[str],
    classifier_id: str,
    *,
    split_id: str = "",
    repeat: int = 0,
    fold: Ints | None = None,
    set_name: str = "",
) -> pd.DataFrame:
    """Lay scores out as the table ``scores``: a row per clip and population, natural logarithms.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``
    log_probabilities : ndarray [shape=(n_clips, n_classes)]; rows of NaN are left out
    classes : list of str
    classifier_id, split_id : str; ``split_id`` is empty for predictions
    repeat : int
    fold : ndarray [shape=(n_clips,)] or None
    set_name : str, the name of the predicted set; empty in an evaluation

    Returns
    -------
    DataFrame, the columns of the table ``scores``

    Examples
    --------
    >>> clips = pd.DataFrame({
    ...     "clip_id": ["c1", "c2"], "recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"],
    ...     "label": ["A", "A"], "encounter": ["e1", "e1"], "start_s": 0.0, "end_s": 2.0,
    ... })
    >>> recordings = pd.DataFrame({"recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"]})
    >>> scores = np.log([[0.9, 0.1], [0.5, 0.5]])
    >>> table = score_table(clips, scores, ["A", "B"], "a1b2")
    >>> table[["clip_id", "population"]].to_numpy().tolist()
    [['c1', 'A'], ['c1', 'B'], ['c2', 'A'], ['c2', 'B']]
    """
    scored = ~np.isnan(log_probabilities).any(axis=1)
    n = int(scored.sum())
    folds = np.zeros(len(clips), dtype=np.int64) if fold is None else fold
    columns = {
        "clip_id": np.repeat(clips["clip_id"].to_numpy(dtype=object)[scored], len(classes)),
        "classifier_id": classifier_id,
        "split_id": split_id,
        "repeat": repeat,
        "fold": np.repeat(folds[scored], len(classes)),
        "population": classes * n,
        "score": log_probabilities[scored].ravel(),
        "set_name": set_name,
    }
    return pd.DataFrame(columns, columns=list(TABLES["scores"]))

"""Scores of clips as a table, and joined to moments, recordings and encounters."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.special

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.learning.dataset import Floats, Ints
from pseudorca.learning.false_alarms import NothingRule
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
    rule: NothingRule | None = None,
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
    rule : NothingRule or None, given with ``p_nothing``
        Recordings and encounters are averaged over the moments that hold something (over those that
        stand out, where noise alone explains the others), and over all if none does. The table then
        has ``p_nothing`` (mean over all moments), ``n_something`` (moments that hold something; 0 if
        there are no more than noise has on average), ``n_heard`` (all moments) and ``by_noise``
        (whether noise alone explains them)

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
    if p_nothing is not None and rule is not None:
        rows["p_nothing"] = p_nothing[scored]
        averaged.append("p_nothing")
    rows["label"] = rows["label"].fillna("")
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))
    rows["recording_moment"] = [moment_of[recording] for recording in rows["recording_id"]]

    keys = ["moment_id", "label"]
    firsts = ["recording_id", "encounter", "start_s", "end_s", "recording_moment"]
    by_moment = rows.groupby(keys, sort=False)
    moments = pd.concat([by_moment[firsts].first(), by_moment[averaged].mean()], axis=1)
    moments = moments.reset_index().assign(n_moments=1)
    if unit == "clip":
        table = moments.rename(columns={"moment_id": "unit_id"})
        if rule is not None:
            holds_some = ~rule.holds_nothing(table["p_nothing"].to_numpy())
            table = table.assign(n_something=holds_some.astype(int), n_heard=1, by_noise=False)
    else:
        table = _recording_table(moments, averaged, rule)
    scores = scipy.special.log_softmax(table[names].to_numpy(dtype=np.float64), axis=1)
    units = UnitScores(table.drop(columns=names), np.asarray(scores))
    return join_recordings(units, rule) if unit == "encounter" else units


def _recording_table(
    moments: pd.DataFrame, averaged: list[str], rule: NothingRule | None
) -> pd.DataFrame:
    """Means over the moments of each recording that hold something, or over all."""
    keys = ["unit_id", "label"]
    moments = moments.assign(unit_id=moments["recording_moment"])
    by_unit = moments.groupby(keys, sort=False)
    firsts = by_unit[["encounter", "recording_id"]].first()
    if rule is None:
        of_all = [firsts, by_unit["n_moments"].sum(), by_unit[averaged].mean()]
        return pd.concat(of_all, axis=1).reset_index()
    moments["passed"] = ~rule.holds_nothing(moments["p_nothing"].to_numpy())
    moments["out"] = by_unit["p_nothing"].transform(lambda p: rule.stands_out(p.to_numpy()))
    by_unit = moments.groupby(keys, sort=False)
    counts = by_unit.agg(
        n_passed=("passed", "sum"), n_out=("out", "sum"), n_heard=("passed", "size"),
        p_nothing=("p_nothing", "mean"),
    )  # fmt: skip
    n_passed, n_heard = counts["n_passed"].to_numpy(), counts["n_heard"].to_numpy()
    by_noise = rule.by_noise(n_passed, n_heard)
    counts["stands_out"] = by_noise & (counts["n_out"].to_numpy() > 0)
    counts["by_noise"] = by_noise & ~counts["stands_out"]
    is_nothing = counts["by_noise"].to_numpy() & rule.is_usual(n_passed, n_heard)
    held = np.where(counts["stands_out"], counts["n_out"], np.where(is_nothing, 0, n_passed))
    counts["n_something"] = held
    place = pd.MultiIndex.from_frame(moments[keys])
    of_moment = counts.reindex(place)
    some = np.where(
        of_moment["stands_out"].to_numpy(dtype=bool), moments["out"].to_numpy(dtype=bool),
        moments["passed"].to_numpy(dtype=bool),
    )  # fmt: skip
    used = moments[some | (of_moment["n_something"] == 0).to_numpy(dtype=bool)]
    by_unit = used.groupby(keys, sort=False)
    means = by_unit[[name for name in averaged if name != "p_nothing"]].mean()
    table = pd.concat([firsts, by_unit["n_moments"].sum(), means], axis=1)
    return table.join(counts.drop(columns="n_out")).reset_index()


def join_recordings(units: UnitScores, rule: NothingRule | None = None) -> UnitScores:
    """Join the scores of recordings to encounters.

    Parameters
    ----------
    units : UnitScores of recordings
    rule : NothingRule or None, by which they were made

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
    keys = ["unit_id", "label"]
    table = units.table.copy()
    n_moments = table["n_moments"].to_numpy(dtype=np.float64)[:, None]
    names = [f"class {k}" for k in range(units.log_probabilities.shape[1])]
    table[names] = units.log_probabilities * n_moments
    summed = [*names, "n_moments"]
    if "novelty" in table:
        table["novelty"] *= n_moments[:, 0]
        summed.append("novelty")
    table = table.assign(unit_id=table["encounter"])
    whole = None
    if rule is not None:
        table, whole = _parts_that_hold_something(table, keys, rule)
    by_unit = table.groupby(keys, sort=False)
    joined = pd.concat([by_unit[["encounter"]].first(), by_unit[summed].sum()], axis=1)
    joined = (joined if whole is None else joined.join(whole)).reset_index()
    means = joined[names].to_numpy(dtype=np.float64) / joined[["n_moments"]].to_numpy()
    if "novelty" in joined:
        joined["novelty"] /= joined["n_moments"]
    scores = scipy.special.log_softmax(means, axis=1)
    return UnitScores(joined.drop(columns=names), np.asarray(scores))


def _parts_that_hold_something(
    table: pd.DataFrame, keys: list[str], rule: NothingRule
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The recordings over which each encounter is decided, and the counts of all its recordings."""
    table = table.assign(p_nothing=table["p_nothing"] * table["n_heard"])
    by_unit = table.groupby(keys, sort=False)
    whole = by_unit[["n_passed", "n_heard", "p_nothing"]].sum()
    whole["p_nothing"] /= whole["n_heard"]
    n_passed, n_heard = whole["n_passed"].to_numpy(), whole["n_heard"].to_numpy()
    by_noise = rule.by_noise(n_passed, n_heard)
    stands_out = by_noise & by_unit["stands_out"].any().to_numpy()
    whole["by_noise"] = by_noise & ~stands_out
    is_nothing = whole["by_noise"].to_numpy() & rule.is_usual(n_passed, n_heard)
    row_of = by_unit.ngroup().to_numpy()
    held = np.where(stands_out[row_of], table["n_something"] * table["stands_out"],
                    table["n_something"] * ~is_nothing[row_of])  # fmt: skip
    table = table.assign(n_something=held)
    n_something = table.groupby(keys, sort=False)["n_something"].sum()
    whole["n_something"] = n_something
    has_none = (n_something.to_numpy() == 0)[row_of]
    return table[(held > 0) | has_none], whole.drop(columns="n_passed")


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

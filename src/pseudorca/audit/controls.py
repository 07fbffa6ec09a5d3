"""Controls: what a classifier could learn without hearing the animals, and the verdict.

In: the audited clips, and measurements of their sound. Out: feature sets, a row per clip, for the same
split and head as the model; the association of the label with platform, recorder and day; the gap to
a random split; whether the embeddings know the recorder; and a verdict that a reviewer can quote.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.stats
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

Features = NDArray[np.float32]

FACTS = ("sample rate", "channels", "bit depth", "platform", "date")
"""Facts of a file that do not depend on the animals."""

SHOWN_FACTS = ("duration", "level")
"""Facts that may depend on the animals: a clip that is cut around a sound has the length and the peak
of the sound. These facts are shown and do not vote."""

LEVEL = 0.05
"""Significance level of both permutation tests."""

_METADATA = ("recorder", "outing", "site", "location", "year")
_MIN_SIDE = 2  # least number of encounters of a platform


@dataclass(frozen=True)
class AuditedClips:
    """The sampled clips of an audit with the model's embeddings, the split and the head.

    ``data``: prepared embeddings, as the model learns from them. ``plain``: embeddings without
    preparation. ``units`` [shape=(n_clips,)]: the independent units.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> clips = pd.DataFrame({"encounter": ["e1", "e2"]})
    >>> names = clips["encounter"].to_numpy(dtype=object)
    >>> data = TrainingSet(np.zeros((2, 4), np.float32), names, names, names)
    >>> audited = AuditedClips(clips, clips, data, data, names, Split(), LogisticHead())
    >>> audited.with_features(np.ones((2, 1), np.float32)).vectors.shape
    (2, 1)
    """

    clips: pd.DataFrame
    recordings: pd.DataFrame
    data: TrainingSet
    plain: TrainingSet
    units: NDArray[np.object_]
    split: Split
    head: Head

    @property
    def encounters(self) -> NDArray[np.object_]:
        """The encounter of each clip [shape=(n_clips,)]."""
        return self.clips["encounter"].to_numpy(dtype=object)

    @cached_property
    def facts(self) -> dict[str, Features]:
        """The facts of each clip's file (:func:`fact_features`)."""
        return fact_features(self.clips, self.recordings)

    def with_features(self, features: Features) -> TrainingSet:
        """The training set with other vectors [shape=(n_clips, n_columns)]."""
        same_width = features.shape[1] == self.plain.vectors.shape[1]
        return replace(self.plain, vectors=features, blocks=self.plain.blocks if same_width else ())

    def right(self, data: TrainingSet, split: Split | None = None) -> pd.DataFrame:
        """Cross-validate a feature set -> the encounters named rightly (:func:`rightness`)."""
        folds = make_folds(self.clips, self.recordings, split or self.split)
        groups = data.recordings if folds.split.is_optimistic else folds.units
        scored = cross_validate(replace(data, groups=groups), folds, self.head)
        return rightness(self.clips, scored, self.units)


def fact_features(clips: pd.DataFrame, recordings: pd.DataFrame) -> dict[str, Features]:
    """Turn the facts of each clip's file into numbers.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names

    Returns
    -------
    dict from fact to ndarray [shape=(n_clips, n_columns)], float32
        The facts of ``FACTS`` and ``SHOWN_FACTS`` that differ between clips. A fact of few values has
        a column per value. The date has columns for the day, the time of year and the time of day.
        A sample rate also has a column for its logarithm.

    Examples
    --------
    >>> clips = pd.DataFrame({"recording_id": ["r1", "r2"], "label": ["A", "B"],
    ...                       "encounter": ["e1", "e2"]})
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1", "r2"], "sample_rate": [96_000, 48_000], "n_channels": 1,
    ...     "format": "WAV/PCM_16", "platform": "Sette", "duration_s": 2.0, "peak": 0.5,
    ...     "start_utc": pd.to_datetime(["2017-07-10", "2017-07-10"], utc=True), "metadata": "{}",
    ... })
    >>> {name: columns.shape for name, columns in fact_features(clips, recordings).items()}
    {'sample rate': (2, 3)}
    """
    rows = _recording_rows(clips, recordings)
    features_of = {
        "sample rate": np.column_stack(
            [_one_hot(rows["sample_rate"]), np.log2(rows["sample_rate"].astype(float))]
        ),
        "channels": _one_hot(rows["n_channels"]),
        "bit depth": _one_hot(_sample_type(rows)),
        "platform": _one_hot(rows["platform"]),
        "date": _date(rows["start_utc"]),
        "duration": np.log(rows[["duration_s"]].to_numpy(dtype=float)),
        "level": 20 * np.log10(rows[["peak"]].to_numpy(dtype=float).clip(1e-9)),
    }
    varying = {
        name: columns[:, np.ptp(columns, axis=0) > 1e-9].astype(np.float32)
        for name, columns in features_of.items()
    }
    return {name: columns for name, columns in varying.items() if columns.shape[1]}


def recorder_signature(recordings: pd.DataFrame) -> pd.Series:
    """Sample rate, channels and sample type of each recording, as one text.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    Series of str, with the index of ``recordings``

    Examples
    --------
    >>> recordings = pd.DataFrame({"sample_rate": [44_100], "n_channels": 2, "format": "WAV/PCM_24"})
    >>> recorder_signature(recordings).tolist()
    ['44.1 kHz, 2 ch, PCM_24']
    """
    rate = (recordings["sample_rate"].astype(float) / 1000).map("{:g} kHz".format)
    channels = recordings["n_channels"].astype(str)
    return rate + ", " + channels + " ch, " + _sample_type(recordings)


def filled_in(features: Features, encounters: NDArray[np.object_]) -> Features:
    """Fill rows of NaN with the mean of their encounter, or else with the mean of all clips.

    No clip is dropped. A filled clip holds no information beyond its encounter. An encounter without
    any row holds none.

    Parameters
    ----------
    features : ndarray [shape=(n_clips, n_columns)], rows of NaN for missing
    encounters : ndarray [shape=(n_clips,)]

    Returns
    -------
    ndarray of the same shape, without NaN; zeros if every row is missing

    Examples
    --------
    >>> features = np.array([[1.0], [np.nan], [3.0]], dtype=np.float32)
    >>> filled_in(features, np.array(["e1", "e1", "e2"], dtype=object))[:, 0].tolist()
    [1.0, 1.0, 3.0]
    """
    filled = np.array(features, dtype=np.float32)
    empty = np.isnan(filled).any(axis=1)
    if empty.all():
        return np.zeros_like(filled)
    mean = filled[~empty].mean(axis=0)
    for encounter in set(encounters[empty]):
        in_encounter = encounters == encounter
        present = in_encounter & ~empty
        filled[in_encounter & empty] = filled[present].mean(axis=0) if present.any() else mean
    return filled


def band_levels(levels: Features) -> Features:
    """Fill bands above the reach of a recording with the lowest level of the clip.

    Parameters
    ----------
    levels : ndarray [shape=(n_clips, n_bands)], dB, NaN above the reach

    Returns
    -------
    ndarray of the same shape; rows of NaN stay

    Examples
    --------
    >>> band_levels(np.array([[-60.0, -70.0, np.nan]], dtype=np.float32)).tolist()
    [[-60.0, -70.0, -70.0]]
    """
    lowest = np.fmin.reduce(levels, axis=1, keepdims=True)
    return np.where(np.isnan(levels), lowest, levels)


def cramers_v(counts: NDArray[np.int64]) -> float | None:
    """Cramér's V of a table of counts, corrected for chance [1]_.

    Parameters
    ----------
    counts : ndarray [shape=(n_rows, n_columns)]

    Returns
    -------
    float, 0 to 1, or None if fewer than two rows or columns have counts

    References
    ----------
    .. [1] Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean
       Statistical Society 42:323.

    Examples
    --------
    >>> round(cramers_v(np.array([[9, 0], [0, 9]])), 2)
    1.0
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    r, k = table.shape
    n = table.sum()
    if min(r, k) < 2:
        return None
    phi2 = float(scipy.stats.chi2_contingency(table, correction=False).statistic / n)
    corrected = max(0.0, phi2 - (k - 1) * (r - 1) / (n - 1))
    rows, columns = (size - (size - 1) ** 2 / (n - 1) for size in (r, k))
    smaller = min(rows, columns) - 1
    return float(min(1.0, np.sqrt(corrected / smaller))) if smaller > 0 else None


def associations(clips: pd.DataFrame, recordings: pd.DataFrame) -> list[dict[str, Any]]:
    """Count encounters per label against platform, recorder and day.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names; labelled clips only

    Returns
    -------
    list of dict, JSON values
        For platform, recorder (:func:`recorder_signature`), day and year, and for the metadata
        outing, site, location and recorder, as far as known: ``name``; ``cramers_v``, 0 (no
        association) to 1 (the property determines the label), corrected for chance, None if there is
        a single value; ``n_values``; ``n_shared``, the number of values that occur with two labels or
        more; ``labels``; ``encounters``, per value the number of encounters of each label. An
        encounter with several values counts in each.

    Examples
    --------
    >>> clips = pd.DataFrame({"recording_id": ["r1", "r2"], "label": ["A", "B"],
    ...                       "encounter": ["e1", "e2"]})
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1", "r2"], "sample_rate": [96_000, 48_000], "n_channels": 1,
    ...     "format": "WAV/PCM_16", "platform": "Sette", "duration_s": 2.0, "peak": 0.5,
    ...     "start_utc": pd.to_datetime(["2017-07-10", "2017-07-10"], utc=True), "metadata": "{}",
    ... })
    >>> recorder = associations(clips, recordings)[1]
    >>> recorder["name"], recorder["encounters"]
    ('recorder', {'48 kHz, 1 ch, PCM_16': [0, 1], '96 kHz, 1 ch, PCM_16': [1, 0]})
    """
    rows = _recording_rows(clips, recordings)
    values = {
        "platform": rows["platform"],
        "recorder": recorder_signature(rows),
        "day": rows["start_utc"].dt.strftime("%Y-%m-%d"),
        "year": rows["start_utc"].dt.strftime("%Y"),
    }
    for column in _METADATA:
        entries = [json.loads(text).get(column) for text in rows["metadata"]]
        if any(entries):
            values[column] = pd.Series([value or None for value in entries], dtype=object)
    results = []
    for name, value in values.items():
        table = clips[["label", "encounter"]].assign(value=value.astype(object).to_numpy())
        once = table.dropna().drop_duplicates()
        if once.empty:
            continue
        counts = pd.crosstab(once["value"], once["label"])
        results.append(
            {
                "name": name,
                "cramers_v": cramers_v(counts.to_numpy()),
                "n_values": len(counts),
                "n_shared": int(((counts > 0).sum(axis=1) > 1).sum()),
                "labels": [str(label) for label in counts.columns],
                "encounters": {str(value): row.tolist() for value, row in counts.iterrows()},
            }
        )
    return results


def answerable(associated: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether the data can separate label and equipment.

    The data cannot, if platform or recorder has several values and no value occurs with two labels.

    Parameters
    ----------
    associated : sequence of mappings, as from :func:`associations`

    Returns
    -------
    bool
    str, a sentence with the reason

    Examples
    --------
    >>> answerable([{"name": "platform", "n_values": 2, "n_shared": 0}])[0]
    False
    """
    shared = []
    for fact in associated:
        name, n_values, n_shared = fact["name"], fact["n_values"], fact["n_shared"]
        if name not in ("platform", "recorder") or n_values < 2:
            continue
        if n_shared == 0:
            return False, (
                f"Every {name} met one label only: with these data nothing can tell the {name} from "
                "the animals. Record both populations with the same equipment."
            )
        shared.append(f"{n_shared} of {n_values} {name}s met more than one label")
    if shared:
        return True, f"{'; '.join(shared)}: equipment and animals can be told apart in principle."
    return True, "Platform and recorder are the same throughout, or not known from the files."


def decide_verdict(
    *, p_nuisance: float, difference: Estimate, p_model: float, units_per_class: Mapping[str, int]
) -> Literal["animals", "recorder", "cannot tell"]:
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


def knows_recorder(audited: AuditedClips, signature: NDArray[np.object_]) -> list[dict[str, Any]]:
    """Test whether the embeddings predict platform or recorder within each label.

    Parameters
    ----------
    audited : AuditedClips
    signature : ndarray [shape=(n_clips,)], such as the platform; one value per encounter

    Returns
    -------
    list of dict
        For each label with at least two values of at least two encounters each: ``label, values,
        n_encounters, chance`` and balanced accuracy (``value, low, high``).
    """
    data, results = audited.data, []
    for label in sorted(set(data.labels)):
        rows = np.flatnonzero(data.labels == label)
        table = pd.DataFrame({"value": signature[rows], "group": data.groups[rows]})
        spread = table.groupby("value")["group"].nunique()
        values = sorted(spread.index[spread >= _MIN_SIDE])
        if len(values) < 2:
            continue
        rows = rows[np.isin(signature[rows], values)]
        clips = audited.clips.iloc[rows].assign(label=signature[rows]).reset_index(drop=True)
        try:
            folds = make_folds(clips, audited.recordings, audited.split)
        except FoldError:
            continue
        part = replace(data.take(rows), labels=signature[rows], groups=folds.units)
        right = rightness(clips, cross_validate(part, folds, audited.head), folds.units)
        estimate, _ = balanced_accuracy(right)
        row = {"label": label, "values": values, "n_encounters": len(right)}
        results.append(row | {"chance": 1 / len(values)} | estimate.as_dict())
    return results


def _recording_rows(clips: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """The recording of each clip, row for row."""
    return recordings.set_index("recording_id").loc[clips["recording_id"]].reset_index()


def _sample_type(recordings: pd.DataFrame) -> pd.Series:
    """The sample type of each recording: ``PCM_24`` of the format ``WAV/PCM_24``."""
    return recordings["format"].str.rpartition("/")[2]


def _one_hot(values: pd.Series) -> NDArray[np.float64]:
    return pd.get_dummies(values.astype(object).fillna("").astype(str)).to_numpy(dtype=float)


def _date(start: pd.Series) -> NDArray[np.float64]:
    """Days since the first recording, and the circles of year and day; what is missing is average."""
    if start.isna().all():
        return np.zeros((len(start), 1))
    days = (start - start.min()).dt.total_seconds().to_numpy(dtype=float) / 86_400
    year = 2 * np.pi * start.dt.day_of_year.to_numpy(dtype=float, na_value=np.nan) / 365.25
    clock = start.dt.hour + start.dt.minute / 60
    hour = 2 * np.pi * clock.to_numpy(dtype=float, na_value=np.nan) / 24
    columns = np.column_stack([days, np.sin(year), np.cos(year), np.sin(hour), np.cos(hour)])
    missing = np.isnan(columns).any(axis=1)
    columns[missing] = columns[~missing].mean(axis=0)
    return np.column_stack([columns, missing.astype(float)])

"""Controls: what a classifier could learn without hearing the animals.

In: the tables ``clips`` and ``recordings``, and measurements of each clip's sound. Out: feature sets, a
row per clip, for the same split and head as the model; and the association of the label with platform,
recorder and day.
"""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Features = NDArray[np.float32]

FACTS = ("sample rate", "channels", "bit depth", "platform", "date")
"""Facts of a file that do not depend on the animals."""

SHOWN_FACTS = ("duration", "level")
"""Facts that may depend on the animals: a clip that is cut around a sound has the length and the peak
of the sound. These facts are shown and do not vote."""

_METADATA = ("recorder", "outing", "site", "location", "year")


@dataclass(frozen=True)
class Association:
    """Association of the label with a property of the recording, counted in encounters.

    ``counts``: a row per value, a column per label. ``cramers_v``: 0 (no association) to 1 (the
    property determines the label), corrected for chance; None if there is a single value.

    Examples
    --------
    >>> counts = pd.DataFrame({"A": [2, 0], "B": [1, 3]}, index=["Sette", "Lasker"])
    >>> Association("platform", counts, 0.4).n_shared
    1
    """

    name: str
    counts: pd.DataFrame
    cramers_v: float | None

    @property
    def n_shared(self) -> int:
        """Number of values that occur with two labels or more."""
        return int(((self.counts > 0).sum(axis=1) > 1).sum())


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
    """
    rows = _recording_rows(clips, recordings)
    rate, start = rows["sample_rate"].astype(float), rows["start_utc"]
    features_of = {
        "sample rate": np.column_stack([_one_hot(rows["sample_rate"]), np.log2(rate)]),
        "channels": _one_hot(rows["n_channels"]),
        "bit depth": _one_hot(rows["format"].map(bit_depth)),
        "platform": _one_hot(rows["platform"]),
        "date": _date(start),
        "duration": np.log(rows[["duration_s"]].to_numpy(dtype=float)),
        "level": 20 * np.log10(rows[["peak"]].to_numpy(dtype=float).clip(1e-9)),
    }
    varied = {name: _varying(columns) for name, columns in features_of.items()}
    return {name: columns for name, columns in varied.items() if columns.shape[1]}


def bit_depth(file_format: str) -> str:
    """The sample type of a format such as ``WAV/PCM_24``.

    Parameters
    ----------
    file_format : str

    Returns
    -------
    str

    Examples
    --------
    >>> bit_depth("WAV/PCM_24")
    'PCM_24'
    """
    return str(file_format).rpartition("/")[2]


def recorder_signature(recordings: pd.DataFrame) -> pd.Series:
    """Sample rate, channels and sample type of each recording, as one text.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    Series of str, with the index of ``recordings``
    """
    rate = (recordings["sample_rate"].astype(float) / 1000).map("{:g} kHz".format)
    depth = recordings["format"].map(bit_depth)
    return rate + ", " + recordings["n_channels"].astype(str) + " ch, " + depth


def filled_in(
    features: Features, encounters: NDArray[np.object_]
) -> tuple[Features, dict[str, int]]:
    """Fill rows of NaN with the mean of their encounter, or else with the mean of all clips.

    No clip is dropped. A filled clip holds no information beyond its encounter. An encounter without
    any row holds none.

    Parameters
    ----------
    features : ndarray [shape=(n_clips, n_columns)], rows of NaN for missing
    encounters : ndarray [shape=(n_clips,)]

    Returns
    -------
    features : ndarray of the same shape, without NaN
    counts : dict, the number of filled clips ``n_clips``, and of wholly filled ``n_encounters``

    Examples
    --------
    >>> features = np.array([[1.0], [np.nan], [3.0]], dtype=np.float32)
    >>> filled_in(features, np.array(["e1", "e1", "e2"], dtype=object))[0][:, 0].tolist()
    [1.0, 1.0, 3.0]
    """
    filled = np.array(features, dtype=np.float32)
    empty = np.isnan(filled).any(axis=1)
    counts = {"n_clips": int(empty.sum()), "n_encounters": 0}
    if empty.all():
        return np.zeros_like(filled), counts | {"n_encounters": len(set(encounters))}
    mean = filled[~empty].mean(axis=0)
    for encounter in sorted(set(encounters[empty])):
        in_encounter = encounters == encounter
        present = in_encounter & ~empty
        filled[in_encounter & empty] = filled[present].mean(axis=0) if present.any() else mean
        counts["n_encounters"] += not present.any()
    return filled, counts


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
    is_reached = np.isfinite(levels)
    lowest = np.where(is_reached, levels, np.inf).min(axis=1, keepdims=True)
    filled = np.where(is_reached, levels, lowest)
    filled[~is_reached.any(axis=1)] = np.nan
    return np.asarray(filled, dtype=np.float32)


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
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum() / n)
    corrected = max(0.0, phi2 - (k - 1) * (r - 1) / (n - 1))
    rows, columns = (size - (size - 1) ** 2 / (n - 1) for size in (r, k))
    smaller = min(rows, columns) - 1
    return float(min(1.0, np.sqrt(corrected / smaller))) if smaller > 0 else None


def associations(clips: pd.DataFrame, recordings: pd.DataFrame) -> list[Association]:
    """Count encounters per label against platform, recorder and day.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names; labelled clips only

    Returns
    -------
    list of Association
        For platform, recorder (:func:`recorder_signature`), day and year, and for the metadata
        outing, site, location and recorder, as far as known. An encounter with several values
        counts in each.
    """
    rows = _recording_rows(clips, recordings)
    start = rows["start_utc"]
    values = {
        "platform": rows["platform"],
        "recorder": recorder_signature(rows),
        "day": start.dt.strftime("%Y-%m-%d"),
        "year": start.dt.strftime("%Y"),
    }
    for column in _METADATA:
        entries = [json.loads(text).get(column) for text in rows["metadata"]]
        if any(entries):
            values[column] = pd.Series([value or None for value in entries], dtype=object)
    results = []
    for name, value in values.items():
        table = pd.DataFrame(
            {
                "value": value.astype(object).where(value.notna(), None).to_numpy(),
                "label": clips["label"].to_numpy(dtype=object),
                "encounter": clips["encounter"].to_numpy(dtype=object),
            }
        ).dropna()
        if table.empty:
            continue
        once = table.drop_duplicates()
        counts = pd.crosstab(once["value"], once["label"])
        results.append(Association(name, counts, cramers_v(counts.to_numpy())))
    return results


def answerable(found: list[Association]) -> tuple[bool, str]:
    """Whether the data can separate label and equipment.

    The data cannot, if platform or recorder has several values and no value occurs with two labels.

    Parameters
    ----------
    found : list of Association

    Returns
    -------
    bool
    str, a sentence with the reason

    Examples
    --------
    >>> counts = pd.DataFrame({"A": [2, 0], "B": [0, 3]}, index=["Sette", "Lasker"])
    >>> answerable([Association("platform", counts, 1.0)])[0]
    False
    """
    for fact in found:
        if fact.name not in ("platform", "recorder") or len(fact.counts) < 2:
            continue
        if fact.n_shared == 0:
            return False, (
                f"Every {fact.name} met one label only: with these data nothing can tell the "
                f"{fact.name} from the animals. Record both populations with the same equipment."
            )
    shared = [
        f"{fact.n_shared} of {len(fact.counts)} {fact.name}s met more than one label"
        for fact in found
        if fact.name in ("platform", "recorder") and len(fact.counts) > 1
    ]
    if shared:
        return True, f"{'; '.join(shared)}: equipment and animals can be told apart in principle."
    return True, "Platform and recorder are the same throughout, or not known from the files."


def _recording_rows(clips: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """The recording of each clip, row for row."""
    return recordings.set_index("recording_id").loc[clips["recording_id"]].reset_index()


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
    circles = [np.sin(year), np.cos(year), np.sin(hour), np.cos(hour)]
    columns = np.column_stack([days, *circles])
    missing = np.isnan(columns).any(axis=1)
    columns[missing] = columns[~missing].mean(axis=0)
    return np.column_stack([columns, missing.astype(float)])


def _varying(columns: NDArray[np.float64]) -> Features:
    """The columns that are not the same in every row."""
    return np.asarray(columns[:, np.ptp(columns, axis=0) > 1e-9], dtype=np.float32)

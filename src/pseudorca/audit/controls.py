"""Controls: what a classifier could learn without hearing the animals.

In: the tables ``clips`` and ``recordings``, and what was measured of each clip's sound. Out: feature
sets, a row per clip, that go through the same split and head as the model; and what stands in the
tables already: how the label goes with platform, recorder and day.
"""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Features = NDArray[np.float32]

FACTS = ("sample rate", "channels", "bit depth", "platform", "date")
"""Facts of a file that no animal has a part in."""

SHOWN_FACTS = ("duration", "level")
"""Facts that the animals may have a part in: a clip cut around a sound is as long as the sound, and
its peak is as high. They are shown and do not vote."""

_METADATA = ("recorder", "outing", "site", "location", "year")


@dataclass(frozen=True)
class Association:
    """How the label goes with something that is not the animal, counted in encounters.

    ``counts``: a row per value, a column per label. ``cramers_v``: 0 (nothing) to 1 (the one gives
    the other away), corrected for chance; None where there is a single value.
    """

    name: str
    counts: pd.DataFrame
    cramers_v: float | None

    @property
    def n_shared(self) -> int:
        """Values that occur with two labels or more."""
        return int(((self.counts > 0).sum(axis=1) > 1).sum())


def fact_features(clips: pd.DataFrame, recordings: pd.DataFrame) -> dict[str, Features]:
    """Lay the facts of each clip's file out as numbers.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names

    Returns
    -------
    dict from fact to ndarray [shape=(n_clips, n_columns)], float32
        Of ``FACTS`` and ``SHOWN_FACTS`` those that are not the same in all clips. A fact of few
        values has a column per value; the date is the day, the place in the year and in the day; a
        sample rate also stands as its logarithm.
    """
    rows = _recording_rows(clips, recordings)
    rate, start = rows["sample_rate"].astype(float), rows["start_utc"]
    found = {
        "sample rate": np.column_stack([_one_hot(rows["sample_rate"]), np.log2(rate)]),
        "channels": _one_hot(rows["n_channels"]),
        "bit depth": _one_hot(rows["format"].map(bit_depth)),
        "platform": _one_hot(rows["platform"]),
        "date": _date(start),
        "duration": np.log(rows[["duration_s"]].to_numpy(dtype=float)),
        "level": 20 * np.log10(rows[["peak"]].to_numpy(dtype=float).clip(1e-9)),
    }
    varied = {name: _varying(columns) for name, columns in found.items()}
    return {name: columns for name, columns in varied.items() if columns.shape[1]}


def bit_depth(file_format: str) -> str:
    """The sample type of a format such as ``WAV/PCM_24``."""
    return str(file_format).rpartition("/")[2]


def recorder_signature(recordings: pd.DataFrame) -> pd.Series:
    """What the files tell of the recorder: sample rate, channels and sample type, as one text."""
    rate = (recordings["sample_rate"].astype(float) / 1000).map("{:g} kHz".format)
    depth = recordings["format"].map(bit_depth)
    return rate + ", " + recordings["n_channels"].astype(str) + " ch, " + depth


def filled_in(
    features: Features, encounters: NDArray[np.object_]
) -> tuple[Features, dict[str, int]]:
    """Give clips without a row of their own (NaN) the mean of their encounter, else of all.

    A clip without background then says what its encounter says, and an encounter without any says
    nothing; no clip is dropped.

    Returns
    -------
    features : ndarray of the same shape, without NaN
    counts : dict with ``n_clips`` and ``n_encounters`` filled in (encounters: wholly)
    """
    filled = np.array(features, dtype=np.float32)
    empty = np.isnan(filled).any(axis=1)
    counts = {"n_clips": int(empty.sum()), "n_encounters": 0}
    if empty.all():
        return np.zeros_like(filled), counts | {"n_encounters": len(set(encounters))}
    mean = filled[~empty].mean(axis=0)
    for encounter in sorted(set(encounters[empty])):
        mine = encounters == encounter
        heard = mine & ~empty
        filled[mine & empty] = filled[heard].mean(axis=0) if heard.any() else mean
        counts["n_encounters"] += not heard.any()
    return filled, counts


def band_levels(levels: Features) -> Features:
    """Fill bands that a recording does not reach with the lowest of its own; rows of NaN stay."""
    heard = np.isfinite(levels)
    lowest = np.where(heard, levels, np.inf).min(axis=1, keepdims=True)
    filled = np.where(heard, levels, lowest)
    filled[~heard.any(axis=1)] = np.nan
    return np.asarray(filled, dtype=np.float32)


def cramers_v(counts: NDArray[np.int64]) -> float | None:
    """Association in a table of counts, corrected for what chance alone gives.

    Parameters
    ----------
    counts : ndarray [shape=(n_rows, n_columns)]

    Returns
    -------
    float, 0 to 1, or None if fewer than two rows or columns hold anything

    References
    ----------
    .. [1] Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean
       Statistical Society 42:323.
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

    Returns
    -------
    list of Association
        Of platform, recorder (:func:`recorder_signature`), day, year, and of the metadata outing,
        site, location and recorder, as far as known; an encounter with several values counts in
        each.
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
        said = [json.loads(text).get(column) for text in rows["metadata"]]
        if any(said):
            values[column] = pd.Series([value or None for value in said], dtype=object)
    found = []
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
        found.append(Association(name, counts, cramers_v(counts.to_numpy())))
    return found


def answerable(found: list[Association]) -> tuple[bool, str]:
    """Whether the data can tell label and equipment apart at all, and a sentence that says why.

    They cannot where platform or recorder has several values and none of them met two labels.
    """
    for one in found:
        if one.name not in ("platform", "recorder") or len(one.counts) < 2:
            continue
        if one.n_shared == 0:
            return False, (
                f"Every {one.name} met one label only: with these data nothing can tell the "
                f"{one.name} from the animals. Record both populations with the same equipment."
            )
    shared = [
        f"{one.n_shared} of {len(one.counts)} {one.name}s met more than one label"
        for one in found
        if one.name in ("platform", "recorder") and len(one.counts) > 1
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

"""How long was listened, what was heard per hour or day, and when nobody listened.

In: clips, recordings and detections. Out: a row per recorder and hour (or day) with effort, so that
no detection can be told from nobody listening. Time without a recording has no row there, and one
among the gaps.
"""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.prediction.detections import TOUCH_S, is_named, populations, timeline

Period = Literal["hour", "day"]

_MICROSECONDS = {"hour": 3_600_000_000, "day": 86_400_000_000}


def summarise_effort(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    detections: pd.DataFrame,
    *,
    per: Period = "hour",
) -> pd.DataFrame:
    """Count seconds of effort and detections per recorder and hour or day (UTC).

    Parameters
    ----------
    clips : DataFrame, the table ``clip`` of :class:`pseudorca.prediction.scores.Predictions`
    recordings : DataFrame, the table ``recordings``
    detections : DataFrame, from :func:`pseudorca.prediction.detections.find_detections`
    per : ``hour`` or ``day``

    Returns
    -------
    DataFrame
        ``start_utc, recorder``; ``recorded_s``, seconds in which the recorder ran, and
        ``listened_s``, seconds of which a clip was scored; per population ``detections_<label>``, the
        detections that begin in this hour, and ``seconds_<label>``, the seconds of clips of that name.
        Sound heard twice (by overlapping windows, channels or files) counts once. Recordings without
        a time are in a last row per recorder without a ``start_utc``.

    Raises
    ------
    PseudorcaError
        If ``per`` is unknown.
    """
    if per not in _MICROSECONDS:
        raise PseudorcaError(unknown_name("period", per, _MICROSECONDS))
    line = timeline(recordings)
    labels = populations(clips)
    files = pd.DataFrame(
        {"moment_id": line["moment_id"], "start_s": 0.0, "end_s": line["duration_s"]}
    )
    moment_of = recordings.set_index("recording_id")["moment_id"]
    heard = clips[["decision", "start_s", "end_s"]].assign(
        moment_id=moment_of.loc[clips["recording_id"]].to_numpy()
    )
    named = heard[is_named(heard["decision"])]
    parts = {"recorded_s": _seconds(files, line, per), "listened_s": _seconds(heard, line, per)}
    begun = _begun(detections, line, moment_of, per)
    for label in labels:
        of_label = begun[detections["decision"].to_numpy() == label]
        parts[f"detections_{label}"] = of_label.groupby(["recorder", "period"], dropna=False).size()
    for label in labels:
        parts[f"seconds_{label}"] = _seconds(named[named["decision"] == label], line, per)
    table = pd.DataFrame(parts).fillna(0.0).reset_index()
    counts = dict.fromkeys((f"detections_{label}" for label in labels), "int64")
    table = table.astype(counts | {"recorded_s": "float64", "listened_s": "float64"})
    table = table.rename(columns={"period": "start_utc"})
    table = table.sort_values(["start_utc", "recorder"], ignore_index=True)
    return table[["start_utc", "recorder", *parts]]


def find_gaps(recordings: pd.DataFrame) -> pd.DataFrame:
    """Find the times between the first and the last file of a recorder of which there is no sound.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
        Files without a time, and those that hold selections of a longer recording, tell nothing.

    Returns
    -------
    DataFrame
        A row per gap of more than :data:`pseudorca.prediction.detections.TOUCH_S` seconds:
        ``recorder, start_utc, end_utc, gap_s, next_path``, the file after it.
    """
    line = timeline(recordings[recordings["selection"].isna()])
    line = line[line["start_utc"].notna()]
    length = pd.to_timedelta(line["duration_s"], unit="s").dt.round("us")
    line = line.assign(until=line["start_utc"] + length)
    reached = line.groupby("recorder", sort=False)["until"].cummax()
    line["reached"] = reached.groupby(line["recorder"], sort=False).shift()
    line["gap_s"] = (line["start_utc"] - line["reached"]).dt.total_seconds()
    names = {
        "recorder": "recorder",
        "reached": "start_utc",
        "start_utc": "end_utc",
        "gap_s": "gap_s",
        "path": "next_path",
    }
    gaps = line.loc[line["gap_s"] > TOUCH_S, list(names)]
    return gaps.set_axis(list(names.values()), axis=1).reset_index(drop=True)


def _seconds(spans: pd.DataFrame, line: pd.DataFrame, per: Period) -> pd.Series:
    """Seconds per recorder and period that any of some spans of files covers.

    ``spans``: ``moment_id, start_s, end_s``. Without a time, files stand beside each other.
    """
    place = line.set_index("moment_id").loc[spans["moment_id"]]
    begin = (spans["start_s"].to_numpy(dtype=np.float64) * 1e6).round().astype(np.int64)
    end = (spans["end_s"].to_numpy(dtype=np.float64) * 1e6).round().astype(np.int64)
    is_timed = place["start_utc"].notna().to_numpy()
    clock = place["start_utc"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    since = np.where(is_timed, clock.astype(np.int64), 0)
    rows = pd.DataFrame(
        {
            "recorder": place["recorder"].to_numpy(dtype=object),
            # Sound of one recorder is one line, but for files of which nobody knows when they were.
            "apart": np.where(is_timed, "", place.index.to_numpy(dtype=object)),
            "is_timed": is_timed,
            "begin": begin + since,
            "end": end + since,
        }
    )
    rows = _union(rows[rows["end"] > rows["begin"]])
    length = np.where(rows["is_timed"], _MICROSECONDS[per], np.iinfo(np.int64).max)
    first = rows["begin"].to_numpy() // length
    n_periods = (rows["end"].to_numpy() - 1) // length - first + 1
    rows = rows.loc[rows.index.repeat(n_periods)]
    length = length.repeat(n_periods)
    within = np.arange(len(rows)) - (n_periods.cumsum() - n_periods).repeat(n_periods)
    opens = (first.repeat(n_periods) + within) * length
    covered = np.minimum(rows["end"], opens + length) - np.maximum(rows["begin"], opens)
    period = _times(np.where(rows["is_timed"], opens, np.iinfo(np.int64).min))
    cut = pd.DataFrame(
        {"recorder": rows["recorder"].array, "period": period, "s": covered.to_numpy() / 1e6}
    )
    return cut.groupby(["recorder", "period"], dropna=False)["s"].sum()


def _union(rows: pd.DataFrame) -> pd.DataFrame:
    """Join spans that touch or overlap."""
    same = ["recorder", "apart"]
    rows = rows.sort_values([*same, "begin"], ignore_index=True)
    reached = rows.groupby(same, sort=False)["end"].cummax()
    is_first = ~rows.duplicated(same) | (rows["begin"] > reached.shift())
    joined = rows.groupby(is_first.cumsum(), sort=False)
    return rows[is_first].assign(end=joined["end"].max().to_numpy()).reset_index(drop=True)


def _begun(
    detections: pd.DataFrame, line: pd.DataFrame, moment_of: pd.Series, per: Period
) -> pd.DataFrame:
    """The recorder of each detection, and the period in which it begins."""
    place = line.set_index("moment_id").loc[moment_of.loc[detections["recording_id"]]]
    offset = pd.to_timedelta(detections["start_s"].astype("float64"), unit="s").dt.round("us")
    begun = pd.Series(place["start_utc"].array) + offset.reset_index(drop=True)
    period = begun.dt.floor({"hour": "h", "day": "D"}[per]).astype("datetime64[us, UTC]")
    return pd.DataFrame({"recorder": place["recorder"].array, "period": period})


def _times(microseconds: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Times in UTC; the least integer is no time."""
    return pd.DatetimeIndex(microseconds.view("datetime64[us]")).tz_localize("UTC")

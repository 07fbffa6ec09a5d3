"""Effort and detections per hour or day, and the gaps between recordings.

In: clips, recordings and detections. Out: a row per recorder and hour (or day) with effort, so that an
hour without detections differs from an hour without listening. Time without a recording has a row in
the table of gaps, and none in the table of effort.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.recordings.clocks import with_local
from pseudorca.recordings.timeline import TOUCH_S, heard, timeline

Period = Literal["hour", "day"]

_FLOOR = {"hour": "h", "day": "D"}
_HOUR = 3_600_000_000  # microseconds


class Effort:
    """Counts seconds of effort and detections per recorder and hour (UTC), as the clips come in.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``, complete
    labels : the populations
    line : DataFrame or None
        The :func:`~pseudorca.recordings.timeline.timeline` of the recordings, if already computed

    Examples
    --------
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1"], "moment_id": ["m1"], "path": ["a.wav"], "platform": "Sette",
    ...     "encounter": "e1", "selection": None, "duration_s": 10.0, "root": "/data",
    ...     "sample_rate": 48_000, "n_channels": 1,
    ...     "start_utc": pd.to_datetime(["2017-07-28T03:12:00"], utc=True),
    ... })
    >>> effort = Effort(recordings, ["Insular"])
    >>> effort.add(pd.DataFrame({"recording_id": "r1", "start_s": [0.0], "end_s": [3.0],
    ...                          "decision": "undecided"}))
    >>> nothing = pd.DataFrame({"recording_id": [], "start_s": [], "decision": []})
    >>> effort.table(nothing)[["recorded_s", "listened_s", "seconds_Insular"]].to_numpy().tolist()
    [[10.0, 3.0, 0.0]]
    """

    def __init__(
        self,
        recordings: pd.DataFrame,
        labels: Sequence[str],
        *,
        line: pd.DataFrame | None = None,
    ) -> None:
        self._labels = list(labels)
        self._line = timeline(recordings) if line is None else line
        self._moment_of = recordings.set_index("recording_id")["moment_id"]
        self._parts: list[pd.DataFrame] = []

    def add(self, clips: pd.DataFrame, quiet: pd.DataFrame | None = None) -> None:
        """Add recordings; recordings that overlap in time are added together.

        Parameters
        ----------
        clips : DataFrame, the table ``clip`` of these recordings
        quiet : DataFrame or None, ``recording_id, start_s, end_s`` of windows that a gate left out
        """
        columns = ["recording_id", "start_s", "end_s"]
        scored = clips[[*columns, "decision"]]
        listened = scored if quiet is None else pd.concat([scored[columns], quiet[columns]])
        spans = {"listened_s": listened, "scored_s": scored}
        for label in self._labels:
            spans[f"seconds_{label}"] = scored[scored["decision"] == label]
        seconds = {name: self._seconds(rows) for name, rows in spans.items()}
        self._parts.append(pd.DataFrame(seconds).fillna(0.0).reset_index())

    def table(self, detections: pd.DataFrame, *, per: Period = "hour") -> pd.DataFrame:
        """The counts so far, as a table.

        Parameters
        ----------
        detections : DataFrame, of :class:`pseudorca.prediction.detections.DetectionFinder`
        per : ``hour`` or ``day``

        Returns
        -------
        DataFrame
            ``start_utc, recorder`` (and ``start_local``, if the zone of a recorder is known);
            ``recorded_s``: seconds of sound;
            ``listened_s``: seconds inside a window; ``quiet_s``: seconds inside windows that a gate
            left out. Per population, ``detections_<label>``: the number of detections that begin in
            this hour or day, and ``seconds_<label>``: the seconds of clips of that name. Sound that
            is covered twice (by overlapping windows, channels or files) counts once. Recordings
            without a time are in a last row per recorder, without a ``start_utc``.

        Raises
        ------
        PseudorcaError
            If ``per`` is unknown.
        """
        if per not in _FLOOR:
            raise PseudorcaError(unknown_name("period", per, _FLOOR))
        counts = [f"detections_{label}" for label in self._labels]
        seconds = [f"seconds_{label}" for label in self._labels]
        effort = ["recorded_s", "listened_s", "quiet_s"]
        recorded = self._seconds(_recorded(self._line)).rename("recorded_s").reset_index()
        begun = _begun(detections, self._line, self._moment_of)
        for label, count in zip(self._labels, counts, strict=True):
            begun[count] = (detections["decision"] == label).to_numpy(dtype=np.float64)
        table = pd.concat([recorded, *self._parts, begun], ignore_index=True)
        table = table.reindex(
            columns=["period", "recorder", *effort, "scored_s", *counts, *seconds]
        )
        table["period"] = table["period"].dt.floor(_FLOOR[per])
        table = table.groupby(["period", "recorder"], dropna=False).sum().reset_index()
        table["quiet_s"] = (table["listened_s"] - table["scored_s"]).round(6)
        table = table.rename(columns={"period": "start_utc"})
        table["start_utc"] = table["start_utc"].astype("datetime64[us, UTC]")
        table = table.sort_values(["start_utc", "recorder"], ignore_index=True)
        table = table[["start_utc", "recorder", *effort, *counts, *seconds]]
        table = table.astype(dict.fromkeys(counts, "int64"))
        known = self._line.dropna(subset="time_zone").groupby("recorder")["time_zone"].unique()
        zones = {recorder: zones[0] for recorder, zones in known.items() if len(zones) == 1}
        return with_local(table, table["recorder"].map(zones)) if zones else table

    def _seconds(self, spans: pd.DataFrame) -> pd.Series:
        """Seconds per recorder and hour that spans of recordings cover."""
        moments = self._moment_of.loc[spans["recording_id"]].to_numpy()
        return _seconds(spans.assign(moment_id=moments), self._line)


def find_gaps(recordings: pd.DataFrame, *, line: pd.DataFrame | None = None) -> pd.DataFrame:
    """Find the times without sound between the begin of the first and the end of the last file.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
        Files without a time, and selections of a longer recording, are left out
    line : DataFrame or None
        The :func:`~pseudorca.recordings.timeline.timeline` of the recordings, if already computed

    Returns
    -------
    DataFrame
        A row per gap of more than :data:`pseudorca.recordings.timeline.TOUCH_S` seconds between files,
        and per stretch that is lost inside a file: ``recorder, start_utc, end_utc, gap_s, next_path``
        (the file after the gap, or around it), and ``start_local, end_local`` if the zone of a
        recorder is known.

    Examples
    --------
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"], "path": ["a.wav", "b.wav"],
    ...     "platform": "Sette", "encounter": "e1", "selection": None, "duration_s": 10.0,
    ...     "root": "/data", "sample_rate": 48_000, "n_channels": 1,
    ...     "start_utc": pd.to_datetime(["2017-07-28T03:12:00", "2017-07-28T03:13:00"], utc=True),
    ... })
    >>> find_gaps(recordings)[["gap_s", "next_path"]].to_numpy().tolist()
    [[50.0, 'b.wav']]
    """
    line = timeline(recordings) if line is None else line
    has_zones = line["time_zone"].notna().any()
    line = line[line["start_utc"].notna() & line["selection"].isna()]
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
        "time_zone": "time_zone",
    }
    gaps = line.loc[line["gap_s"] > TOUCH_S, list(names)]
    gaps = gaps.set_axis(list(names.values()), axis=1).reset_index(drop=True)
    lost = _lost(line, list(names.values()))
    if len(lost):
        lost = lost.astype({name: gaps[name].dtype for name in ("start_utc", "end_utc")})
        gaps = pd.concat([gaps, lost], ignore_index=True)
        gaps = gaps.sort_values(["recorder", "start_utc"], ignore_index=True)
    zones = gaps.pop("time_zone")
    return with_local(gaps, zones) if has_zones else gaps


def _recorded(line: pd.DataFrame) -> pd.DataFrame:
    """The stretches of the files that hold sound: ``recording_id, start_s, end_s``."""
    hurt = line[line["holes"].notna()]
    whole = line[line["holes"].isna()]
    hurt_rows: Iterable[Any] = hurt.itertuples()
    rows = [
        (row.recording_id, start_s, end_s)
        for row in hurt_rows
        for start_s, end_s in heard(row.duration_s, row.holes)
    ]
    files = pd.DataFrame({"recording_id": whole["recording_id"], "start_s": 0.0})
    files["end_s"] = whole["duration_s"]
    if not rows:
        return files
    parts = pd.DataFrame(rows, columns=["recording_id", "start_s", "end_s"])
    return pd.concat([files, parts], ignore_index=True)


def _lost(line: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The gaps inside files. ``names``: of the columns, as :func:`find_gaps` makes them."""
    rows = []
    hurt: Iterable[Any] = line[line["holes"].notna()].itertuples()
    for row in hurt:
        for lost_s, until_s in json.loads(row.holes):
            start, end = (
                row.start_utc + pd.Timedelta(s, "s").round("us") for s in (lost_s, until_s)
            )
            gap_s = round(until_s - lost_s, 6)
            rows.append((row.recorder, start, end, gap_s, row.path, row.time_zone))
    return pd.DataFrame(rows, columns=names)


def _seconds(spans: pd.DataFrame, line: pd.DataFrame) -> pd.Series:
    """Seconds per recorder and hour that spans of files cover.

    ``spans``: ``moment_id, start_s, end_s``. Files without a time do not overlap others.
    """
    place = line.set_index("moment_id").loc[spans["moment_id"]]
    begin = (spans["start_s"].to_numpy(dtype=np.float64) * 1e6).round().astype(np.int64)
    end_s = np.minimum(spans["end_s"].to_numpy(dtype=np.float64), place["clock_s"].to_numpy())
    end = (end_s * 1e6).round().astype(np.int64)
    is_timed = place["start_utc"].notna().to_numpy()
    clock = place["start_utc"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    since = np.where(is_timed, clock.astype(np.int64), 0)
    rows = pd.DataFrame(
        {
            "recorder": place["recorder"].to_numpy(dtype=object),
            # Files of one recorder share a line of time; files without a time have one each.
            "apart": np.where(is_timed, "", place.index.to_numpy(dtype=object)),
            "is_timed": is_timed,
            "begin": begin + since,
            "end": end + since,
        }
    )
    rows = _union(rows[rows["end"] > rows["begin"]])
    length = np.where(rows["is_timed"], _HOUR, np.iinfo(np.int64).max)
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


def _begun(detections: pd.DataFrame, line: pd.DataFrame, moment_of: pd.Series) -> pd.DataFrame:
    """The recorder of each detection, and the hour in which it begins."""
    place = line.set_index("moment_id").loc[moment_of.loc[detections["recording_id"]]]
    offset = pd.to_timedelta(detections["start_s"].astype("float64"), unit="s").dt.round("us")
    begun = pd.Series(place["start_utc"].array) + offset.reset_index(drop=True)
    period = begun.dt.floor("h").astype("datetime64[us, UTC]")
    return pd.DataFrame({"recorder": place["recorder"].array, "period": period})


def _times(microseconds: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Times in UTC; the least integer gives NaT."""
    return pd.DatetimeIndex(microseconds.view("datetime64[us]")).tz_localize("UTC")

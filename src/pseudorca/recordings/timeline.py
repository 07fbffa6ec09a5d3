"""The files of each recorder in order of its clock, and which file continues which."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TOUCH_S = 1.0
"""A file begins where another ends if their clocks say so to this many seconds: names of recorders
hold whole seconds."""


def timeline(recordings: pd.DataFrame) -> pd.DataFrame:
    """Lay the recordings of each recorder behind one another.

    Files of one moment (its channels) count once; the first stands for all. A recorder is a platform
    or, where names tell of none, a folder. A file continues another of the same recorder if it begins
    where that one ends, to :data:`TOUCH_S`. If two files could be meant, or if files hold selections
    of a longer recording, none is taken to continue another.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    DataFrame
        A row per moment, ordered by recorder and time, those without a time last: ``moment_id,
        recording_id, path, selection, recorder, start_utc, duration_s, sample_rate, n_channels``;
        ``clock_s``,
        the seconds until the next file of its run begins, at most its length; and ``run`` (a number
        for all files that continue each other) with ``run_start_s``, the seconds of sound in it
        before this file.
    """
    columns = [
        "moment_id", "recording_id", "root", "path", "platform", "selection", "start_utc",
        "duration_s", "sample_rate", "n_channels",
    ]  # fmt: skip
    line = recordings.drop_duplicates("moment_id")[columns].reset_index(drop=True)
    line["start_utc"] = pd.to_datetime(line["start_utc"], utc=True).astype("datetime64[us, UTC]")
    line["recorder"] = [
        _folder(root, path) if pd.isna(platform) else str(platform)
        for root, path, platform in zip(line["root"], line["path"], line["platform"], strict=True)
    ]
    line = line.sort_values(["recorder", "start_utc", "path", "root"], ignore_index=True)
    line["clock_s"] = line["duration_s"]
    continues = np.full(len(line), -1)
    is_whole = line["start_utc"].notna() & line["selection"].isna()
    for _, files in line[is_whole].groupby("recorder", sort=False):
        places = files.index.to_numpy()
        starts = _microseconds(files["start_utc"]) / 1e6
        before, after = _links(starts, files["duration_s"].to_numpy(dtype=np.float64))
        continues[places[after]] = places[before]
        line.loc[places[before], "clock_s"] = np.minimum(
            line.loc[places[before], "duration_s"], starts[after] - starts[before]
        )
    runs, run_starts_s = [0] * len(line), [0.0] * len(line)
    durations = line["duration_s"].tolist()
    n_runs = 0
    for place, before in enumerate(continues.tolist()):
        if before < 0:
            runs[place], n_runs = n_runs, n_runs + 1
        else:
            runs[place] = runs[before]
            run_starts_s[place] = run_starts_s[before] + durations[before]
    line["run"], line["run_start_s"] = runs, run_starts_s
    return line.drop(columns=["root", "platform"])


def _folder(root: Any, path: Any) -> str:
    """The folder of a recording."""
    return PurePosixPath(str(root), str(path)).parent.as_posix()


def _links(
    starts: NDArray[np.float64], durations: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of files of which the second alone begins where the first alone ends."""
    ends = starts + durations
    low = np.searchsorted(starts, ends - TOUCH_S, side="left")
    low = np.maximum(low, np.searchsorted(starts, starts, side="right"))  # later than itself
    high = np.maximum(low, np.searchsorted(starts, ends + TOUCH_S, side="right"))
    steps = np.zeros(len(starts) + 1, dtype=np.int64)
    np.add.at(steps, low, 1)
    np.add.at(steps, high, -1)
    n_before = np.cumsum(steps)
    before = np.flatnonzero(high - low == 1)
    before = before[n_before[low[before]] == 1]
    return before, low[before]


def _microseconds(times: pd.Series) -> NDArray[np.int64]:
    clock = times.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    return np.asarray(clock.astype(np.int64))

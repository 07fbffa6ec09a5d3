"""The files of each recorder in order of its clock, and the runs of files without a gap."""

import json
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.values import nfc

TOUCH_S = 1.0
"""Largest difference in seconds between the end of a file and the begin of the file that continues it.
Names of recorders hold whole seconds."""


def timeline(recordings: pd.DataFrame) -> pd.DataFrame:
    """Put the recordings of each recorder in order of time.

    Files of one moment (its channels) count once, as the first of these files. A recorder is what the
    scan named: a platform or a folder, and the prefix of the names; without such a name, a platform or
    a folder. A file continues another file of the same
    recorder if the begin and the end agree to :data:`TOUCH_S`. A file with several candidates
    continues none of them. Selections of a longer recording continue nothing, either.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    DataFrame
        A row per moment, ordered by recorder and time. Files without a time come last. Columns:
        ``moment_id, recording_id, path, selection, recorder, start_utc, time_zone, duration_s,
        sample_rate, n_channels, holes``; ``clock_s``, the seconds until the next file of the run
        begins, at most the length of the file; ``run``, a number for all files that continue each
        other; and ``run_start_s``, the seconds of sound in the run before this file.

    Examples
    --------
    >>> recordings = pd.DataFrame(
    ...     {"moment_id": ["m1", "m2"], "recording_id": ["a", "b"], "root": "/data",
    ...      "path": ["a.wav", "b.wav"], "platform": "Sette", "selection": None,
    ...      "start_utc": pd.to_datetime(["2017-07-28T03:00", "2017-07-28T03:01"], utc=True),
    ...      "duration_s": 60.0, "sample_rate": 48_000, "n_channels": 1}
    ... )
    >>> timeline(recordings)[["recording_id", "run", "run_start_s"]].values.tolist()
    [['a', 0, 0.0], ['b', 0, 60.0]]
    """
    columns = [
        "moment_id", "recording_id", "root", "path", "platform", "recorder", "selection", "start_utc",
        "time_zone", "duration_s", "sample_rate", "n_channels", "holes",
    ]  # fmt: skip
    line = recordings.drop_duplicates("moment_id").reindex(columns=columns).reset_index(drop=True)
    line["start_utc"] = pd.to_datetime(line["start_utc"], utc=True).astype("datetime64[us, UTC]")
    folders = [
        nfc(PurePosixPath(str(root), str(path)).parent.as_posix())
        for root, path in zip(line["root"], line["path"], strict=True)
    ]
    named = line["recorder"].astype(object).fillna(line["platform"].astype(object))
    line["recorder"] = named.fillna(pd.Series(folders, dtype=object)).astype(str)
    line = line.sort_values(["recorder", "start_utc", "path", "root"], ignore_index=True)
    line["clock_s"] = line["duration_s"]
    continues = np.full(len(line), -1)
    is_whole = line["start_utc"].notna() & line["selection"].isna()
    for _, files in line[is_whole].groupby("recorder", sort=False):
        places = files.index.to_numpy()
        clock = files["start_utc"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
        starts = clock.astype(np.int64) / 1e6
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


def _links(
    starts: NDArray[np.float64], durations: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find pairs of files: only the second begins at the end of the first, and of no other file."""
    ends = starts + durations
    low = np.searchsorted(starts, ends - TOUCH_S, side="left")
    low = np.maximum(low, np.searchsorted(starts, starts, side="right"))  # no file continues itself
    high = np.maximum(low, np.searchsorted(starts, ends + TOUCH_S, side="right"))
    steps = np.zeros(len(starts) + 1, dtype=np.int64)
    np.add.at(steps, low, 1)
    np.add.at(steps, high, -1)
    n_before = np.cumsum(steps)
    before = np.flatnonzero(high - low == 1)
    before = before[n_before[low[before]] == 1]
    return before, low[before]


def heard(duration_s: float, holes: Any) -> list[tuple[float, float]]:
    """The stretches of a recording that are not lost.

    Parameters
    ----------
    duration_s : float, seconds
    holes : JSON as in the table ``recordings``, or null

    Returns
    -------
    list of (start, end) in seconds, in order

    Examples
    --------
    >>> heard(60.0, "[[10.0, 10.5]]"), heard(60.0, None)
    ([(0.0, 10.0), (10.5, 60.0)], [(0.0, 60.0)])
    """
    stretches, start = [], 0.0
    for lost, until in [] if pd.isna(holes) else json.loads(holes):
        stretches.append((start, lost))
        start = until
    stretches.append((start, duration_s))
    return [(start, end) for start, end in stretches if end > start]

"""Merge consecutive clips of one decision into a detection.

In: the clips of ``predict``, and their recordings. Out: a row per named stretch of sound; a detection
may run over files that one recorder wrote without a break. Moments are counted, whatever the number of
channels. Undecided clips are not detections.
"""

import numpy as np
import pandas as pd

from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.options import check_gap
from pseudorca.recordings.clocks import with_local
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.options import NOTHING
from pseudorca.recordings.timeline import timeline

DETECTION_COLUMNS = (
    "path", "start_s", "end_path", "end_s", "duration_s", "start_utc", "end_utc", "recorder",
    "encounter", "n_moments", "decision", "mean_probability", "max_probability", "in_training",
    "recording_id", "end_recording_id", "classifier_id",
)  # fmt: skip

# How the columns of clips are aggregated to those of a detection.
_COUNTED = {"n_moments": "sum", "summed": "sum", "max_probability": "max", "in_training": "any"}

_ROUNDING = 1e-6
"""Seconds of rounding error in sums of decimal fractions."""


class DetectionFinder:
    """Merges clips of one decision into detections, as the clips come in.

    Two clips of one decision are one detection if the gap between them is at most ``max_gap_s``.
    Detections of one population never overlap. Detections of two populations may overlap, if windows
    overlap or a gap is bridged.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``, complete
    max_gap_s : float or None
        Seconds; 0: clips that touch or overlap are merged; None: every clip is a detection
    across_files : bool
        Whether a detection may run from a file into the next file of the same recorder
        (see :func:`timeline`)
    line : DataFrame or None, the :func:`timeline` of these recordings, if already computed

    Raises
    ------
    PseudorcaError
        If the gap is negative or not finite.

    Examples
    --------
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1"], "moment_id": ["m1"], "path": ["a.wav"], "platform": "Sette",
    ...     "encounter": "e1", "selection": None, "duration_s": 10.0, "root": "/data",
    ...     "sample_rate": 48_000, "n_channels": 1,
    ...     "start_utc": pd.to_datetime(["2017-07-28T03:12:00"], utc=True),
    ... })
    >>> clips = pd.DataFrame({
    ...     "recording_id": "r1", "path": "a.wav", "encounter": "e1", "start_s": [0.0, 3.0],
    ...     "end_s": [3.0, 6.0], "n_moments": 1, "decision": "Insular", "probability": [0.8, 0.9],
    ...     "in_training": False, "classifier_id": "c",
    ... })
    >>> finder = DetectionFinder(recordings)
    >>> finder.add(clips)
    >>> finder.table()[["start_s", "end_s", "decision", "n_moments"]].to_numpy().tolist()
    [[0.0, 6.0, 'Insular', 2]]
    """

    def __init__(
        self,
        recordings: pd.DataFrame,
        *,
        max_gap_s: float | None = 0.0,
        across_files: bool = True,
        line: pd.DataFrame | None = None,
    ) -> None:
        check_gap(max_gap_s)
        self._max_gap_s = max_gap_s
        self._across_files = across_files
        line = timeline(recordings) if line is None else line
        self._line = line.assign(file=np.arange(len(line))).set_index("moment_id")
        self._moment_of = recordings.set_index("recording_id")["moment_id"]
        self._last_file = self._line.groupby("run")["file"].max()
        self._closed: list[pd.DataFrame] = []
        self._open: list[pd.DataFrame] = []

    def add(self, clips: pd.DataFrame) -> None:
        """Add the table ``clip`` of the next recordings, in the order of the timeline."""
        if clips.empty:
            return
        reached = self._line["file"].loc[self._moment_of.loc[clips["recording_id"]]].max()
        named = clips[is_named(clips["decision"])]
        if len(named):
            self._open.append(self._placed(named))
        if not self._open:
            return
        detections = self._merged(pd.concat(self._open, ignore_index=True))
        is_open = detections["run"].map(self._last_file) > reached
        self._closed.append(detections[~is_open])
        self._open = [detections[is_open]] if is_open.any() else []

    def table(self) -> pd.DataFrame:
        """The detections.

        Returns
        -------
        DataFrame
            Columns :data:`DETECTION_COLUMNS`, and ``start_local`` and ``end_local`` if the zone of a
            recorder is known. ``start_s`` is an offset in the file ``path``, ``end_s``
            in the file ``end_path``; ``mean_probability`` and ``max_probability`` are over moments.
            Ordered by recorder and time.
        """
        parts = [part for part in (*self._closed, *self._open) if len(part)]
        has_zones = self._line["time_zone"].notna().any()
        if not parts:
            nothing = pd.DataFrame(columns=list(DETECTION_COLUMNS), dtype="string")
            return with_local(nothing, nothing["path"]) if has_zones else nothing
        detections = pd.concat(parts, ignore_index=True)
        detections["duration_s"] = detections["finish"] - detections["begin"]
        mean = detections["summed"] / detections["n_moments"]
        detections["mean_probability"] = mean.clip(upper=detections["max_probability"])
        detections = detections.sort_values(
            ["run", "begin", "decision"], kind="stable", ignore_index=True
        )
        table = detections[list(DETECTION_COLUMNS)]
        return with_local(table, detections["time_zone"]) if has_zones else table

    def _placed(self, named: pd.DataFrame) -> pd.DataFrame:
        """Each clip as a detection; ``begin`` and ``finish`` are seconds in the run of files."""
        place = self._line.loc[self._moment_of.loc[named["recording_id"]]]
        same = ["path", "encounter", "start_s", "end_s", "n_moments", "decision", "in_training"]
        rows = named[[*same, "recording_id", "classifier_id"]].reset_index(drop=True)
        for column in ("run", "file", "recorder", "time_zone"):
            rows[column] = place[column].to_numpy()
        file_utc = pd.Series(place["start_utc"].array)
        offset = place["run_start_s"].to_numpy(dtype=np.float64)
        rows["begin"] = offset + rows["start_s"].to_numpy(dtype=np.float64)
        rows["finish"] = offset + rows["end_s"].to_numpy(dtype=np.float64)
        for end in ("start", "end"):
            rows[f"{end}_utc"] = file_utc + _offset(rows[f"{end}_s"])
        rows["end_path"], rows["end_recording_id"] = rows["path"], rows["recording_id"]
        rows["max_probability"] = named["probability"].to_numpy()
        rows["summed"] = rows["max_probability"] * rows["n_moments"]
        return rows

    def _merged(self, rows: pd.DataFrame) -> pd.DataFrame:
        same = ["run" if self._across_files else "file", "decision"]
        order = [*same, "begin", "finish", "max_probability", "recording_id"]
        rows = rows.sort_values(order, ignore_index=True)
        reached_s = rows.groupby(same, sort=False)["finish"].cummax()
        gap = rows["begin"] - reached_s.shift()
        apart = self._max_gap_s is None or gap > self._max_gap_s + _ROUNDING
        is_first = ~rows.duplicated(same) | apart
        by_detection = rows.groupby(is_first.cumsum(), sort=False)
        detections = rows[is_first].reset_index(drop=True)
        last = rows.loc[by_detection["finish"].idxmax()].reset_index(drop=True)
        for column in ("end_path", "end_s", "end_utc", "end_recording_id", "finish"):
            detections[column] = last[column]
        for column, how in _COUNTED.items():
            detections[column] = by_detection[column].agg(how).to_numpy()
        return detections


def find_detections(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    *,
    max_gap_s: float | None = 0.0,
    across_files: bool = True,
) -> pd.DataFrame:
    """Merge the table ``clip`` of all recordings into detections.

    Parameters
    ----------
    clips : DataFrame, the table ``clip`` of all recordings
    recordings : DataFrame, the table ``recordings``
    max_gap_s, across_files : see :class:`DetectionFinder`

    Returns
    -------
    DataFrame, see :meth:`DetectionFinder.table`

    Examples
    --------
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1"], "moment_id": ["m1"], "path": ["a.wav"], "platform": "Sette",
    ...     "encounter": "e1", "selection": None, "duration_s": 10.0, "root": "/data",
    ...     "sample_rate": 48_000, "n_channels": 1,
    ...     "start_utc": pd.to_datetime(["2017-07-28T03:12:00"], utc=True),
    ... })
    >>> clips = pd.DataFrame({
    ...     "recording_id": "r1", "path": "a.wav", "encounter": "e1", "start_s": [0.0, 3.0],
    ...     "end_s": [3.0, 6.0], "n_moments": 1, "decision": "Insular", "probability": [0.8, 0.9],
    ...     "in_training": False, "classifier_id": "c",
    ... })
    >>> find_detections(clips, recordings, max_gap_s=None)["duration_s"].tolist()
    [3.0, 3.0]
    """
    finder = DetectionFinder(recordings, max_gap_s=max_gap_s, across_files=across_files)
    finder.add(clips)
    return finder.table()


def _offset(seconds: pd.Series) -> pd.Series:
    return pd.to_timedelta(seconds.astype("float64"), unit="s").dt.round("us")


def is_named(decisions: pd.Series) -> pd.Series:
    """Whether each decision names a population: not undecided, not nothing, and not another sound.

    Parameters
    ----------
    decisions : Series of str

    Returns
    -------
    Series of bool

    Examples
    --------
    >>> is_named(pd.Series(["A", "undecided"])).tolist()
    [True, False]
    """
    return ~decisions.isin((UNDECIDED, OTHER, NOTHING))

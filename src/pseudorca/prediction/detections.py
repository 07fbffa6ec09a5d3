"""Clips of one decision that follow each other, as one detection.

In: the clips of ``predict`` and the recordings they were cut from. Out: a row per stretch of sound
that was named, over the borders of files where one recorder wrote them without a break. Moments are
counted, however many channels heard them; what is undecided is no detection.
"""

import numpy as np
import pandas as pd

from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.options import check_gap
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.timeline import timeline

DETECTION_COLUMNS = (
    "path", "start_s", "end_path", "end_s", "duration_s", "start_utc", "end_utc", "recorder",
    "encounter", "n_moments", "decision", "mean_probability", "max_probability", "in_training",
    "recording_id", "end_recording_id", "classifier_id",
)  # fmt: skip

# How columns of the parts of a detection make those of the whole.
_COUNTED = {"n_moments": "sum", "summed": "sum", "max_probability": "max", "in_training": "any"}

_ROUNDING = 1e-6
"""Seconds by which sums of decimal fractions may miss what they stand for."""


class DetectionFinder:
    """Merges clips of one decision into detections, as the clips come in.

    Two clips are one detection if nothing more than ``max_gap_s`` of the same sound lies between
    them. Detections of one population never overlap; those of two may, where windows overlap or a
    gap of the one is bridged.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``: all of them
    max_gap_s : float or None
        Seconds; 0: clips that touch or overlap are merged; None: every clip is a detection
    across_files : bool
        Whether a detection may run on from a file into the next of the same recorder
        (see :func:`timeline`)
    line : DataFrame or None, the :func:`timeline` of these recordings, where it is there already

    Raises
    ------
    PseudorcaError
        If the gap is negative or no number.
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
        """Take in the table ``clip`` of some recordings, which come in the order of the timeline."""
        if clips.empty:
            return
        reached = self._line["file"].loc[self._moment_of.loc[clips["recording_id"]]].max()
        named = clips[is_named(clips["decision"])]
        if len(named):
            self._open.append(self._placed(named))
        if not self._open:
            return
        found = self._merged(pd.concat(self._open, ignore_index=True))
        goes_on = found["run"].map(self._last_file) > reached
        self._closed.append(found[~goes_on])
        self._open = [found[goes_on]] if goes_on.any() else []

    def table(self) -> pd.DataFrame:
        """The detections.

        Returns
        -------
        DataFrame
            Columns :data:`DETECTION_COLUMNS`. ``start_s`` is an offset in the file ``path``, ``end_s``
            in the file ``end_path``; ``mean_probability`` and ``max_probability`` are over moments.
            Ordered by recorder and time.
        """
        parts = [part for part in (*self._closed, *self._open) if len(part)]
        if not parts:
            return pd.DataFrame(columns=list(DETECTION_COLUMNS), dtype="string")
        found = pd.concat(parts, ignore_index=True)
        found["duration_s"] = found["finish"] - found["begin"]
        mean = found["summed"] / found["n_moments"]
        found["mean_probability"] = mean.clip(upper=found["max_probability"])
        found = found.sort_values(["run", "begin", "decision"], kind="stable", ignore_index=True)
        return found[list(DETECTION_COLUMNS)]

    def _placed(self, named: pd.DataFrame) -> pd.DataFrame:
        """Clips as detections of their own: ``begin`` and ``finish`` are seconds in their run."""
        place = self._line.loc[self._moment_of.loc[named["recording_id"]]]
        same = ["path", "encounter", "start_s", "end_s", "n_moments", "decision", "in_training"]
        rows = named[[*same, "recording_id", "classifier_id"]].reset_index(drop=True)
        for column in ("run", "file", "recorder"):
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
        heard_until = rows.groupby(same, sort=False)["finish"].cummax()
        gap = rows["begin"] - heard_until.shift()
        apart = self._max_gap_s is None or gap > self._max_gap_s + _ROUNDING
        is_first = ~rows.duplicated(same) | apart
        by_detection = rows.groupby(is_first.cumsum(), sort=False)
        found = rows[is_first].reset_index(drop=True)
        last = rows.loc[by_detection["finish"].idxmax()].reset_index(drop=True)
        for column in ("end_path", "end_s", "end_utc", "end_recording_id", "finish"):
            found[column] = last[column]
        for column, how in _COUNTED.items():
            found[column] = by_detection[column].agg(how).to_numpy()
        return found


def find_detections(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    *,
    max_gap_s: float | None = 0.0,
    across_files: bool = True,
) -> pd.DataFrame:
    """Merge the table ``clip`` of all recordings into detections: see :class:`DetectionFinder`."""
    finder = DetectionFinder(recordings, max_gap_s=max_gap_s, across_files=across_files)
    finder.add(clips)
    return finder.table()


def _offset(seconds: pd.Series) -> pd.Series:
    return pd.to_timedelta(seconds.astype("float64"), unit="s").dt.round("us")


def is_named(decisions: pd.Series) -> pd.Series:
    """Whether each decision names a population: not undecided, and not another sound."""
    return ~decisions.isin((UNDECIDED, OTHER))


def populations(clips: pd.DataFrame) -> list[str]:
    """The classes of a table of predictions, without that of other sounds."""
    classes = [name.removeprefix("p_") for name in clips.columns if name.startswith("p_")]
    return [label for label in classes if label != OTHER]

"""Whistle contours that were traced with ROCCA: read, and measured in the way of ROCCA."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError
from pseudorca.formats.user_tables import read_user_table
from pseudorca.formats.whole import write_table
from pseudorca.results import Result
from pseudorca.values import plural

_TIMES = {"time [ms]": 1e-3, "time_ms": 1e-3, "time_s": 1.0, "time [s]": 1.0, "time": 1.0}
_FREQUENCIES = ("peak frequency [hz]", "frequency_hz", "frequency [hz]", "frequency")
_STEP = 0.1  # share of the frequency by which two neighbours differ in a step
_COFM_POINTS, _COFM_SCALE = 20, 10_000.0
_UP, _DOWN, _FLAT = 1, -1, 0


def read_contours(path: str | Path) -> pd.DataFrame:
    """Read a table of contours.

    Parameters
    ----------
    path : path of a table, see :func:`~pseudorca.formats.user_tables.read_user_table`
        A time (``Time [ms]`` as ROCCA writes it, ``time_ms`` or ``time_s``) and a frequency
        (``Peak Frequency [Hz]`` or ``frequency_hz``). A table with a column ``contour`` may hold
        several contours

    Returns
    -------
    DataFrame, in order of time
        ``contour`` (the name of the file if the table has no such column), ``time_s`` from the begin
        of the contour, and ``frequency_hz``. Points of equal time are averaged, because ROCCA rounds
        to milliseconds.

    Raises
    ------
    PseudorcaError
        If a column is missing, a value is not a number, or a frequency is not positive.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "whistle.csv"
    ...     _ = path.write_text("Time [ms],Peak Frequency [Hz]\\n40,5000\\n140,6000\\n")
    ...     read_contours(path).to_dict("list")
    {'contour': ['whistle', 'whistle'], 'time_s': [0.0, 0.1], 'frequency_hz': [5000.0, 6000.0]}
    """
    path = Path(path)
    table = read_user_table(path)
    for line, why in table.broken.items():
        raise PseudorcaError(f"{path}: line {line} has {why}.")
    by_name = {name.lower(): name for name in table.cells.columns}
    time = next((name for name in _TIMES if name in by_name), None)
    frequency = next((name for name in _FREQUENCIES if name in by_name), None)
    if time is None or frequency is None:
        raise PseudorcaError(
            f"{path} has the columns {', '.join(table.cells.columns)}; expected a time (such as "
            "Time [ms] or time_s) and a frequency (such as Peak Frequency [Hz] or frequency_hz)."
        )
    contour = table.cells[by_name["contour"]] if "contour" in by_name else path.stem
    contours = pd.DataFrame(
        {
            "contour": contour,
            "time_s": table.numbers(by_name[time]) * _TIMES[time],
            "frequency_hz": table.numbers(by_name[frequency]),
        }
    )
    values = contours[["time_s", "frequency_hz"]].to_numpy(np.float64)
    bad = ~np.isfinite(values).all(axis=1) | (values[:, 1] <= 0)
    if bad.any():
        raise PseudorcaError(
            f"{path}: line {contours.index[bad.argmax()]} has no time, or no frequency above 0 Hz."
        )
    contours = contours.groupby(["contour", "time_s"])["frequency_hz"].mean().reset_index()
    contours["time_s"] -= contours.groupby("contour")["time_s"].transform("min")
    return contours


def measure_contours(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Measure all contours of some tables.

    Parameters
    ----------
    paths : sequence of paths of tables, see :func:`read_contours`

    Returns
    -------
    DataFrame, a row per contour: ``file, contour, n_points`` and what :func:`measure_contour` gives

    Raises
    ------
    PseudorcaError
        As :func:`read_contours` and :func:`measure_contour`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "whistle.csv"
    ...     _ = path.write_text("time_s,frequency_hz\\n0.0,5000\\n0.1,6000\\n")
    ...     measure_contours([path])[["contour", "n_points", "duration"]].values.tolist()
    [['whistle', 2, 0.1]]
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        for name, contour in read_contours(path).groupby("contour", sort=True):
            try:
                measurements = measure_contour(
                    contour["time_s"].to_numpy(np.float64),
                    contour["frequency_hz"].to_numpy(np.float64),
                )
            except PseudorcaError as error:
                raise PseudorcaError(f"{path}, contour {name}: {error}") from error
            rows.append(
                {"file": str(path), "contour": name, "n_points": len(contour)} | measurements
            )
    return pd.DataFrame(rows)


def measure_contour(
    time_s: NDArray[np.float64], frequency_hz: NDArray[np.float64]
) -> dict[str, float]:
    """Measure one contour [1]_ [2]_.

    Parameters
    ----------
    time_s : ndarray [shape=(n_points,)], rising
    frequency_hz : ndarray [shape=(n_points,)]

    Returns
    -------
    dict from ROCCA's name of a measurement to its value
        Frequencies in Hz, slopes in Hz per second, times in seconds. ``freqSpread``: between the
        quartiles of the frequencies; ``freqQuarter1`` to ``3``: frequency at each quarter of the
        duration; ``freqCofm``: coefficient of frequency modulation [3]_, over 20 frequencies equally
        spaced in time. The slope before a point makes the point a sweep up, down or flat.
        ``numSweeps...`` count changes from one kind of sweep to another. ``...Percent`` are shares
        of the points. An inflection is a change of the sign of the slope; flat stretches are left
        out. ``infl...Delta`` are the times between inflections (0 with fewer than two). A step is a
        change of a tenth or more of the frequency between neighbours.

    Raises
    ------
    PseudorcaError
        If there are fewer than two points, or the times do not rise.

    References
    ----------
    .. [1] Oswald, Rankin, Barlow and Lammers 2007, "A tool for real-time acoustic species
       identification of delphinid whistles", JASA 122:587.
    .. [2] Oswald, Rankin, Barlow, Oswald and Lammers 2013, "Real-time Call Classification Algorithm
       (ROCCA)", in "Detection, Classification and Localization of Marine Mammals Using Passive
       Acoustics".
    .. [3] McCowan and Reiss 1995, "Quantitative comparison of whistle repertoires from captive adult
       bottlenose dolphins", Ethology 100:194.

    Examples
    --------
    >>> rising = measure_contour(np.array([0.0, 0.1, 0.2]), np.array([5000.0, 6000.0, 7000.0]))
    >>> rising["duration"], rising["freqRange"], rising["freqSweepUpPercent"]
    (0.2, 2000.0, 100.0)
    """
    steps_s = np.diff(time_s)
    if len(time_s) < 2 or (steps_s <= 0).any():
        raise PseudorcaError(
            f"{len(time_s)} points, times {'not rising' if len(time_s) > 1 else 'too few'}: a contour "
            "needs two or more points, each later than the one before."
        )
    changes = np.diff(frequency_hz)
    sweeps = np.sign(changes).astype(int)
    duration_s = float(time_s[-1])
    measurements = (
        {"duration": duration_s}
        | _frequency_measurements(time_s, frequency_hz)
        | _step_measurements(changes / frequency_hz[:-1], duration_s)
        | _slope_measurements(changes / steps_s)
        | _sweep_measurements(sweeps)
        | _inflection_measurements(time_s, sweeps)
    )
    return {name: float(value) + 0.0 for name, value in measurements.items()}  # no -0


def _frequency_measurements(
    time_s: NDArray[np.float64], frequency_hz: NDArray[np.float64]
) -> dict[str, Any]:
    f = frequency_hz
    low, high, centre = f.min(), f.max(), (f.min() + f.max()) / 2
    quarters = np.interp(time_s[0] + np.array([0.25, 0.5, 0.75]) * float(time_s[-1]), time_s, f)
    modulation = np.interp(np.linspace(time_s[0], time_s[-1], _COFM_POINTS), time_s, f)
    return {
        "freqBeg": f[0],
        "freqEnd": f[-1],
        "freqMin": low,
        "freqMax": high,
        "freqRange": high - low,
        "freqMean": f.mean(),
        "freqStdDev": f.std(ddof=1),
        "freqMedian": np.median(f),
        "freqCenter": centre,
        "freqRelBw": (high - low) / centre,
        "freqMaxMinRatio": high / low,
        "freqBegEndRatio": f[0] / f[-1],
        "freqQuarter1": quarters[0],
        "freqQuarter2": quarters[1],
        "freqQuarter3": quarters[2],
        "freqSpread": np.subtract(*np.quantile(f, [0.75, 0.25])),
        "freqCofm": np.abs(np.diff(modulation)).sum() / _COFM_SCALE,
    }


def _step_measurements(relative_changes: NDArray[np.float64], duration_s: float) -> dict[str, Any]:
    n_up = float((relative_changes >= _STEP).sum())
    n_down = float((relative_changes <= -_STEP).sum())
    return {
        "freqStepUp": n_up,
        "freqStepDown": n_down,
        "freqNumSteps": n_up + n_down,
        "stepDur": (n_up + n_down) / duration_s,
    }


def _slope_measurements(slopes: NDArray[np.float64]) -> dict[str, Any]:
    rising, falling = _mean(slopes[slopes > 0]), _mean(slopes[slopes < 0])
    return {
        "freqSlopeMean": slopes.mean(),
        "freqAbsSlopeMean": np.abs(slopes).mean(),
        "freqPosSlopeMean": rising,
        "freqNegSlopeMean": falling,
        "freqSlopeRatio": rising / falling if falling else 0.0,
    }


def _sweep_measurements(sweeps: NDArray[np.int_]) -> dict[str, Any]:
    def n_turns(before: int, after: int) -> float:
        return float(((sweeps[:-1] == before) & (sweeps[1:] == after)).sum())

    def percent(sweep: int) -> float:
        return 100.0 * float((sweeps == sweep).mean())

    return {
        "freqBegSweep": sweeps[0],
        "freqBegUp": sweeps[0] == _UP,
        "freqBegDwn": sweeps[0] == _DOWN,
        "freqEndSweep": sweeps[-1],
        "freqEndUp": sweeps[-1] == _UP,
        "freqEndDwn": sweeps[-1] == _DOWN,
        "numSweepsUpDwn": n_turns(_UP, _DOWN),
        "numSweepsDwnUp": n_turns(_DOWN, _UP),
        "numSweepsUpFlat": n_turns(_UP, _FLAT),
        "numSweepsDwnFlat": n_turns(_DOWN, _FLAT),
        "numSweepsFlatUp": n_turns(_FLAT, _UP),
        "numSweepsFlatDwn": n_turns(_FLAT, _DOWN),
        "freqSweepUpPercent": percent(_UP),
        "freqSweepDwnPercent": percent(_DOWN),
        "freqSweepFlatPercent": percent(_FLAT),
    }


def _inflection_measurements(
    time_s: NDArray[np.float64], sweeps: NDArray[np.int_]
) -> dict[str, Any]:
    moving = np.flatnonzero(sweeps)
    turns = moving[1:][sweeps[moving[1:]] != sweeps[moving[:-1]]]
    between_s = np.diff(time_s[turns]) if len(turns) > 1 else np.zeros(1)
    return {
        "numInflections": len(turns),
        "inflMaxDelta": between_s.max(),
        "inflMinDelta": between_s.min(),
        "inflMaxMinDelta": between_s.max() / between_s.min() if between_s.min() else 0.0,
        "inflMeanDelta": between_s.mean(),
        "inflStdDevDelta": between_s.std(ddof=1) if len(between_s) > 1 else 0.0,
        "inflMedianDelta": np.median(between_s),
        "inflDur": len(turns) / float(time_s[-1]),
    }


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class ContoursResult(Result):
    """Contours that were measured, and the file of their measurements.

    Examples
    --------
    >>> print(ContoursResult(Path("contours.csv"), 1, pd.DataFrame({"contour": ["whistle"]})))
    1 contour of 1 table measured.
    All measurements are in contours.csv.
    """

    output: Path
    n_tables: int
    contours: pd.DataFrame
    """A row per contour, see :func:`measure_contours`."""

    def as_json(self) -> dict[str, Any]:
        """The file, the counts, and every contour with its measurements."""
        return {
            "output": str(self.output),
            "n_tables": self.n_tables,
            "n_contours": len(self.contours),
            "contours": self.contours.to_dict("records"),
        }

    def summary(self) -> Sequence[str]:
        """The number of contours, and the file of their measurements."""
        return [
            f"{plural(len(self.contours), 'contour')} of {plural(self.n_tables, 'table')} measured.",
            f"All measurements are in {self.output}.",
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per contour."""
        return self.contours


def measure_contour_tables(
    paths: Sequence[str | Path], target: str | Path, *, for_excel: bool = False
) -> ContoursResult:
    """Measure every contour of some tables, and write a row for each into a CSV.

    Parameters
    ----------
    paths : list of paths of tables, see :func:`read_contours`
    target : path of the CSV
    for_excel : bool, see :class:`~pseudorca.formats.whole.GrowingTable`

    Returns
    -------
    ContoursResult

    Raises
    ------
    PseudorcaError
        As :func:`measure_contours`, or if the CSV cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "whistle.csv"
    ...     _ = path.write_text("time_s,frequency_hz\\n0.0,5000\\n0.1,6000\\n")
    ...     result = measure_contour_tables([path], Path(folder) / "contours.csv")
    ...     result.output.exists(), result.contours["freqMax"].tolist()
    (True, [6000.0])
    """
    contours = measure_contours(paths)
    target = Path(target)
    write_table(contours, target, for_excel=for_excel)
    return ContoursResult(target, len(paths), contours)

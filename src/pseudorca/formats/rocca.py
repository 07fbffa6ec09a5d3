"""Whistle contours traced with ROCCA: read, and measured as ROCCA measures them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import PseudorcaError
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
    path : CSV
        A time (``Time [ms]`` as ROCCA writes it, ``time_ms`` or ``time_s``) and a frequency
        (``Peak Frequency [Hz]`` or ``frequency_hz``); with a column ``contour`` a table may hold many

    Returns
    -------
    DataFrame ``contour`` (the file's name where there is no such column), ``time_s`` from the begin of
    the contour, ``frequency_hz``; in the order of time. Points of one time (ROCCA rounds to
    milliseconds) are averaged

    Raises
    ------
    PseudorcaError
        If a column is missing, or a value is no number or no frequency.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise PseudorcaError(f"{path} cannot be read as a table of contours: {error}") from error
    by_name = {str(column).strip().lower(): column for column in table.columns}
    time = next((name for name in _TIMES if name in by_name), None)
    frequency = next((name for name in _FREQUENCIES if name in by_name), None)
    if time is None or frequency is None:
        raise PseudorcaError(
            f"{path} has the columns {', '.join(map(str, table.columns))}; expected a time (such as "
            "Time [ms] or time_s) and a frequency (such as Peak Frequency [Hz] or frequency_hz)."
        )
    contour = table[by_name["contour"]].astype(str) if "contour" in by_name else path.stem
    found = pd.DataFrame(
        {
            "contour": contour,
            "time_s": pd.to_numeric(table[by_name[time]], errors="coerce") * _TIMES[time],
            "frequency_hz": pd.to_numeric(table[by_name[frequency]], errors="coerce"),
        }
    )
    values = found[["time_s", "frequency_hz"]].to_numpy(np.float64)
    bad = ~np.isfinite(values).all(axis=1) | (values[:, 1] <= 0)
    if bad.any():
        raise PseudorcaError(
            f"{path}: row {int(bad.argmax()) + 1} has no time, or no frequency above 0 Hz."
        )
    found = found.groupby(["contour", "time_s"])["frequency_hz"].mean().reset_index()
    found["time_s"] -= found.groupby("contour")["time_s"].transform("min")
    return found


def measure_contours(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Measure all contours of some tables.

    Returns
    -------
    DataFrame, a row per contour: ``file, contour, n_points`` and what :func:`measure_contour` gives

    Raises
    ------
    PseudorcaError
        As :func:`read_contours` and :func:`measure_contour`.
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        for name, one in read_contours(path).groupby("contour", sort=True):
            try:
                found = measure_contour(
                    one["time_s"].to_numpy(np.float64), one["frequency_hz"].to_numpy(np.float64)
                )
            except PseudorcaError as error:
                raise PseudorcaError(f"{path}, contour {name}: {error}") from error
            rows.append({"file": str(path), "contour": name, "n_points": len(one)} | found)
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
        spaced in time. A point is a sweep up, down or flat by the slope that leads to it;
        ``numSweepsUpDwn`` and its like count changes, the ``Percent`` are shares of the steps.
        An inflection is a change of the slope's sign, flat stretches left out; ``infl...Delta`` are
        the times between inflections (0 with fewer than two). A step is a change by a tenth or more
        of the frequency between neighbours.

    Raises
    ------
    PseudorcaError
        If there are fewer than two points, or time stands still or runs back.

    References
    ----------
    .. [1] Oswald, Rankin, Barlow and Lammers 2007, "A tool for real-time acoustic species
       identification of delphinid whistles", JASA 122:587.
    .. [2] Oswald, Rankin, Barlow, Oswald and Lammers 2013, "Real-time Call Classification Algorithm
       (ROCCA)", in "Detection, Classification and Localization of Marine Mammals Using Passive
       Acoustics".
    .. [3] McCowan and Reiss 1995, "Quantitative comparison of whistle repertoires from captive adult
       bottlenose dolphins", Ethology 100:194.
    """
    steps_s = np.diff(time_s)
    if len(time_s) < 2 or (steps_s <= 0).any():
        raise PseudorcaError(
            f"{len(time_s)} points, times {'not rising' if len(time_s) > 1 else 'too few'}: a contour "
            "needs two or more points, each later than the one before."
        )
    f, duration = frequency_hz, float(time_s[-1])
    changes = np.diff(f)
    slopes = changes / steps_s
    sweeps = np.sign(changes).astype(int)
    low, high, centre = f.min(), f.max(), (f.min() + f.max()) / 2
    quarters = np.interp(time_s[0] + np.array([0.25, 0.5, 0.75]) * duration, time_s, f)
    modulation = np.interp(np.linspace(time_s[0], time_s[-1], _COFM_POINTS), time_s, f)
    stepped = changes / f[:-1]
    rising, falling = slopes[slopes > 0], slopes[slopes < 0]
    negative = _mean(falling)

    moving = np.flatnonzero(sweeps)
    turns = moving[1:][sweeps[moving[1:]] != sweeps[moving[:-1]]]
    between = np.diff(time_s[turns]) if len(turns) > 1 else np.zeros(1)

    def turned(before: int, after: int) -> float:
        return float(((sweeps[:-1] == before) & (sweeps[1:] == after)).sum())

    def share(sweep: int) -> float:
        return 100.0 * float((sweeps == sweep).mean())

    n_up, n_down = float((stepped >= _STEP).sum()), float((stepped <= -_STEP).sum())
    found = {
        "duration": duration,
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
        "freqStepUp": n_up,
        "freqStepDown": n_down,
        "freqNumSteps": n_up + n_down,
        "stepDur": (n_up + n_down) / duration,
        "freqSlopeMean": slopes.mean(),
        "freqAbsSlopeMean": np.abs(slopes).mean(),
        "freqPosSlopeMean": _mean(rising),
        "freqNegSlopeMean": negative,
        "freqSlopeRatio": _mean(rising) / negative if negative else 0.0,
        "freqBegSweep": sweeps[0],
        "freqBegUp": sweeps[0] == _UP,
        "freqBegDwn": sweeps[0] == _DOWN,
        "freqEndSweep": sweeps[-1],
        "freqEndUp": sweeps[-1] == _UP,
        "freqEndDwn": sweeps[-1] == _DOWN,
        "numSweepsUpDwn": turned(_UP, _DOWN),
        "numSweepsDwnUp": turned(_DOWN, _UP),
        "numSweepsUpFlat": turned(_UP, _FLAT),
        "numSweepsDwnFlat": turned(_DOWN, _FLAT),
        "numSweepsFlatUp": turned(_FLAT, _UP),
        "numSweepsFlatDwn": turned(_FLAT, _DOWN),
        "freqSweepUpPercent": share(_UP),
        "freqSweepDwnPercent": share(_DOWN),
        "freqSweepFlatPercent": share(_FLAT),
        "numInflections": len(turns),
        "inflMaxDelta": between.max(),
        "inflMinDelta": between.min(),
        "inflMaxMinDelta": between.max() / between.min() if between.min() else 0.0,
        "inflMeanDelta": between.mean(),
        "inflStdDevDelta": between.std(ddof=1) if len(between) > 1 else 0.0,
        "inflMedianDelta": np.median(between),
        "inflDur": len(turns) / duration,
    }
    return {name: float(value) + 0.0 for name, value in found.items()}  # no -0


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class ContoursResult(Result):
    """Contours that were measured, and the file of their measurements."""

    output: Path
    n_tables: int
    contours: pd.DataFrame
    """A row per contour, see :func:`measure_contours`."""

    def as_json(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "n_tables": self.n_tables,
            "n_contours": len(self.contours),
            "contours": self.contours.to_dict("records"),
        }

    def summary(self) -> Sequence[str]:
        return [
            f"{plural(len(self.contours), 'contour')} of {plural(self.n_tables, 'table')} measured.",
            f"All measurements are in {self.output}.",
        ]

    def main_table(self) -> pd.DataFrame:
        return self.contours


def measure_contour_tables(paths: Sequence[str | Path], target: str | Path) -> ContoursResult:
    """Measure every contour of some tables, and write a row for each into a CSV.

    Parameters
    ----------
    paths : list of paths of tables, see :func:`read_contours`
    target : path of the CSV

    Returns
    -------
    ContoursResult

    Raises
    ------
    PseudorcaError
        As :func:`measure_contours`.
    """
    contours = measure_contours(paths)
    target = Path(target)
    write_table(contours, target)
    return ContoursResult(target, len(paths), contours)

"""The truth of a simulated survey, as tables in a folder of their own, without sound.

``truth/encounters.csv``, ``clips.csv`` (a row per file), ``signals.csv`` (a row per signal and
channel), ``contours.parquet``, ``survey.json`` (the settings), and Raven selection tables of the
long recordings under ``truth/raven``. ``docs/simulation.md`` describes the columns.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from pseudorca.errors import SimulationError
from pseudorca.formats.whole import whole_file, write_text
from pseudorca.simulation.plan import Encounter
from pseudorca.simulation.signals import Floats

FLOAT_FORMAT: Final = "%.9g"
# The columns do not depend on the drawn signals. Columns of other kinds are empty.
SIGNAL_COLUMNS: Final = (
    "path", "signal", "kind", "channel", "animal", "delay_s", "start_s", "end_s", "low_hz",
    "high_hz", "snr_db", "received_db", "range_m", "level_db", "duration_s", "start_hz", "end_hz",
    "min_hz", "max_hz", "mean_hz", "sweep", "inflections", "ripple", "rolloff_db", "peak_hz", "q",
    "interval_s", "n_pulses", "angle_deg", "pitch_hz", "formant_hz",
)  # fmt: skip


class Contour(NamedTuple):
    """The fundamental of a tonal signal on one channel of a file."""

    path: str
    signal: int
    channel: int
    times_s: Floats  # from the start of the file
    frequency_hz: Floats


def begin(out: Path, settings: Mapping[str, Any]) -> None:
    """Prepare the folder of a survey.

    Parameters
    ----------
    out : path of a new or empty folder, or of a folder with a survey of the same settings
    settings : mapping of JSON values

    Raises
    ------
    SimulationError
        If the folder holds other files.

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp())
    >>> begin(out, {"seed": 0})
    >>> sorted(path.name for path in out.iterdir())
    ['recordings', 'truth']
    """
    marker = out / "truth" / "survey.json"
    if out.exists():
        if not out.is_dir():
            raise SimulationError(f"{out} is a file: give a folder.")
        if any(out.iterdir()) and _settings_in(marker) != _plain(settings):
            raise SimulationError(
                f"{out} is not empty, and holds no survey of these settings. Give another folder, "
                "or remove this one."
            )
    marker.parent.mkdir(parents=True, exist_ok=True)
    (out / "recordings").mkdir(exist_ok=True)
    _write_settings(marker, settings, complete=False)


def write(
    out: Path,
    settings: Mapping[str, Any],
    *,
    encounters: Sequence[Mapping[str, Any]],
    clips: Sequence[Mapping[str, Any]],
    signals: Sequence[Mapping[str, Any]],
    contours: Sequence[Contour],
) -> None:
    """Write the tables of the truth, and then mark the survey as complete.

    Parameters
    ----------
    out : path of the survey
    settings : mapping of JSON values
    encounters, clips, signals : sequences of rows, as mappings
    contours : sequence of Contour
    """
    folder = out / "truth"
    for name, rows in (("encounters", encounters), ("clips", clips), ("signals", signals)):
        columns = list(SIGNAL_COLUMNS) if name == "signals" else None
        table = pd.DataFrame(list(rows), columns=columns)
        with whole_file(folder / f"{name}.csv") as part:
            table.to_csv(part, index=False, float_format=FLOAT_FORMAT)
    with whole_file(folder / "contours.parquet") as part:
        _contour_table(contours).to_parquet(part, index=False)
    _write_settings(folder / "survey.json", settings, complete=True)


def _contour_table(contours: Sequence[Contour]) -> pd.DataFrame:
    lengths = [len(contour.times_s) for contour in contours]
    columns: dict[str, Any] = {
        name: np.repeat([contour[place] for contour in contours], lengths)
        for place, name in enumerate(("path", "signal", "channel"))
    }
    columns["time_s"] = np.concatenate([contour.times_s for contour in contours])
    columns["frequency_hz"] = np.concatenate([contour.frequency_hz for contour in contours])
    return pd.DataFrame(columns)


def write_raven(
    out: Path,
    path: Path,
    signals: Sequence[Mapping[str, Any]],
    encounter: Encounter,
    sample_rate: int,
) -> None:
    """Write the signals of a long recording as a Raven selection table, under ``truth/raven``.

    Parameters
    ----------
    out : path of the survey
    path : path of the recording below ``out``
    signals : sequence of rows, as mappings
    encounter : Encounter
    sample_rate : int, Hz
    """
    rows = [
        {
            "Selection": number,
            "View": "Spectrogram 1",
            "Channel": signal["channel"],
            "Begin Time (s)": f"{signal['start_s']:.6f}",
            "End Time (s)": f"{signal['end_s']:.6f}",
            "Low Freq (Hz)": f"{signal['low_hz']:.1f}",
            "High Freq (Hz)": f"{min(signal['high_hz'], sample_rate / 2):.1f}",
            "Begin File": path.name,
            "Begin Path": path.as_posix(),
            "File Offset (s)": f"{signal['start_s']:.6f}",
            "Kind": signal["kind"],
            "Population": encounter.population,
            "Animal": signal["animal"],
            "SNR (dB)": f"{signal['snr_db']:.1f}",
        }
        for number, signal in enumerate(signals, start=1)
    ]
    folder = out / "truth" / "raven" / encounter.name
    table = pd.DataFrame(rows)
    target = folder / f"{path.stem}.Table.1.selections.txt"
    with whole_file(target) as part:
        table.to_csv(part, sep="\t", index=False, lineterminator="\n")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in the form that JSON gives back (tuples as lists)."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _settings_in(marker: Path) -> dict[str, Any] | None:
    try:
        settings: dict[str, Any] = json.loads(marker.read_text("utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings


def _write_settings(marker: Path, settings: Mapping[str, Any], *, complete: bool) -> None:
    text = json.dumps({"complete": complete, "settings": settings}, indent=2)
    write_text([text, "\n"], marker)

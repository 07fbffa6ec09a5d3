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
    """The fundamental of a tonal signal on one channel of a file.

    Examples
    --------
    >>> Contour("a.wav", 0, 1, np.array([0.0, 0.1]), np.array([6_000.0, 6_100.0])).path
    'a.wav'
    """

    path: str
    signal: int
    channel: int
    times_s: Floats  # from the start of the file
    frequency_hz: Floats


class Rows(NamedTuple):
    """Rows of the tables of the truth, from one moment or from many.

    Examples
    --------
    >>> Rows(clips=[{"path": "a.wav"}], signals=[], contours=[]).clips
    [{'path': 'a.wav'}]
    """

    clips: list[dict[str, Any]]
    signals: list[dict[str, Any]]
    contours: list[Contour]


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
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     begin(Path(folder), {"seed": 0})
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['recordings', 'truth']
    """
    marker = out / "truth" / "survey.json"
    if out.exists() and not out.is_dir():
        raise SimulationError(f"{out} is a file: give a folder.")
    if out.exists() and any(out.iterdir()) and _settings_in(marker) != settings:
        raise SimulationError(
            f"{out} is not empty, and holds no survey of these settings. Give another folder, "
            "or remove this one."
        )
    marker.parent.mkdir(parents=True, exist_ok=True)
    (out / "recordings").mkdir(exist_ok=True)
    _write_settings(marker, settings, complete=False)


def write(
    out: Path, settings: Mapping[str, Any], encounters: Sequence[Mapping[str, Any]], rows: Rows
) -> None:
    """Write the tables of the truth, and then mark the survey as complete.

    Parameters
    ----------
    out : path of the survey
    settings : mapping of JSON values
    encounters : sequence of rows, as mappings
    rows : Rows, with at least one contour

    Examples
    --------
    >>> import tempfile
    >>> contour = Contour("a.wav", 0, 1, np.array([0.0, 0.1]), np.array([6_000.0, 6_100.0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder), {"seed": 0}, [], Rows([], [], [contour]))
    ...     pd.read_parquet(Path(folder) / "truth" / "contours.parquet")["frequency_hz"].tolist()
    [6000.0, 6100.0]
    """
    folder = out / "truth"
    for name, table in (
        ("encounters", pd.DataFrame(list(encounters))),
        ("clips", pd.DataFrame(rows.clips)),
        ("signals", pd.DataFrame(rows.signals, columns=list(SIGNAL_COLUMNS))),
    ):
        with whole_file(folder / f"{name}.csv") as part:
            table.to_csv(part, index=False, float_format=FLOAT_FORMAT)
    lengths = [len(contour.times_s) for contour in rows.contours]
    paths, signals, channels, times_s, frequency_hz = zip(*rows.contours, strict=True)
    points = pd.DataFrame(
        {
            "path": np.repeat(paths, lengths),
            "signal": np.repeat(signals, lengths),
            "channel": np.repeat(channels, lengths),
            "time_s": np.concatenate(times_s),
            "frequency_hz": np.concatenate(frequency_hz),
        }
    )
    with whole_file(folder / "contours.parquet") as part:
        points.to_parquet(part, index=False)
    _write_settings(folder / "survey.json", settings, complete=True)


def write_raven(
    out: Path, path: Path, signals: Sequence[Mapping[str, Any]], encounter: Encounter
) -> None:
    """Write the signals of a long recording as a Raven selection table, under ``truth/raven``.

    Parameters
    ----------
    out : path of the survey
    path : path of the recording below ``out``
    signals : sequence of rows, as mappings
    encounter : Encounter

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.simulation.plan import SurveyConfig, plan_survey
    >>> encounter = plan_survey(SurveyConfig(n_encounters=4, n_clips=20))[0]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_raven(Path(folder), Path("a.wav"), [], encounter)
    ...     [path.name for path in Path(folder).rglob("*.txt")]
    ['a.Table.1.selections.txt']
    """
    rows = [
        {
            "Selection": number,
            "View": "Spectrogram 1",
            "Channel": signal["channel"],
            "Begin Time (s)": f"{signal['start_s']:.6f}",
            "End Time (s)": f"{signal['end_s']:.6f}",
            "Low Freq (Hz)": f"{signal['low_hz']:.1f}",
            "High Freq (Hz)": f"{signal['high_hz']:.1f}",
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
    with whole_file(folder / f"{path.stem}.Table.1.selections.txt") as part:
        pd.DataFrame(rows).to_csv(part, sep="\t", index=False, lineterminator="\n")


def true_populations(recordings: str | Path) -> dict[str, str] | None:
    """Read what the encounters of a simulated survey truly are.

    Parameters
    ----------
    recordings : path of the folder ``recordings`` of a survey

    Returns
    -------
    dict from encounter to population (``Other``: another species); None if the folder is of no
    survey that was simulated, or the survey is not complete

    Examples
    --------
    >>> true_populations("recordings of animals") is None
    True
    """
    folder = Path(recordings).parent / "truth"
    if Path(recordings).name != "recordings" or _settings_in(folder / "survey.json") is None:
        return None
    try:
        table = pd.read_csv(folder / "encounters.csv", dtype=str)
        return dict(zip(table["encounter"], table["population"], strict=True))
    except (OSError, ValueError, KeyError):
        return None


def _settings_in(marker: Path) -> dict[str, Any] | None:
    try:
        settings: dict[str, Any] = json.loads(marker.read_text("utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings


def _write_settings(marker: Path, settings: Mapping[str, Any], *, complete: bool) -> None:
    text = json.dumps({"complete": complete, "settings": settings}, indent=2)
    write_text([text, "\n"], marker)

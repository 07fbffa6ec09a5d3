"""The stage ``simulate``: a survey with known truth."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pseudorca.errors import SimulationError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings.manifest import full_path, scan_files
from pseudorca.simulation import SimulateResult, SurveyConfig, simulate_survey


def simulate(
    out: Path,
    *,
    noise: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
    n_workers: int = 1,
    progress: Progress | None = None,
    **named: Any,
) -> SimulateResult:
    """Write a survey with known truth, from settings of the command line.

    Parameters
    ----------
    out : path of a new folder
    noise : paths of recordings of noise to mix in, or of folders with such recordings
    settings : mapping from fields of SurveyConfig to JSON values
    n_workers : int, processes
    progress : callable (done, total) or None, over files
    named : fields of SurveyConfig

    Returns
    -------
    SimulateResult

    Raises
    ------
    SimulationError
        If a setting is unknown or not possible, or the folder holds other files.

    Examples
    --------
    >>> simulate(Path("new"), settings={"n_clip": 20})
    Traceback (most recent call last):
    pseudorca.errors.SimulationError: unknown setting of a survey 'n_clip'. Did you mean 'n_clips'? ...
    """
    known = {field.name for field in fields(SurveyConfig)}
    converted = dict(settings or {})
    for name, value in converted.items():
        if name not in known:
            raise SimulationError(unknown_name("setting of a survey", name, known))
        converted[name] = _as_declared(name, value)
        if name in named and named[name] not in (converted[name], getattr(SurveyConfig(), name)):
            raise SimulationError(
                f"{name} is given twice: {named[name]} by its own option, and {name}={value} among "
                "the settings. Leave one of them out."
            )
    files: list[Path] = []
    for path in noise:
        noise_recordings = scan_files([path]).recordings if path.is_dir() else None
        if noise_recordings is not None and noise_recordings.empty:
            raise SimulationError(f"noise folder {path} holds no recording that can be read.")
        files += (
            [path]
            if noise_recordings is None
            else [Path(full_path(row)) for row in noise_recordings.itertuples()]
        )
    config = SurveyConfig(**(named | {"noise_files": tuple(files)} | converted))
    return simulate_survey(out, config, n_workers=n_workers, progress=progress)


def _as_declared(name: str, value: Any) -> Any:
    """Convert the value of a setting to the type of its field in SurveyConfig."""
    usual = getattr(SurveyConfig(), name)
    if isinstance(usual, tuple):
        values = value if isinstance(value, list) else [value]
        if all(isinstance(name_or_path, str) for name_or_path in values):
            return tuple(map(Path, values)) if name == "noise_files" else tuple(values)
        expected = 'a name, or several as ["one", "two"]'
    elif name == "sample_rate" and (value is None or str(value).casefold() == "none"):
        return None
    elif isinstance(usual, int):
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and float(value).is_integer()
        ):
            return int(value)
        expected = "a whole number"
    else:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        expected = "a number"
    rate = ", or none for each recorder's own" if name == "sample_rate" else ""
    raise SimulationError(f"{name} is {value!r}: expected {expected}{rate}.")

"""Surveys with known truth."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pseudorca.errors import SimulationError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings.manifest import full_path, scan_files
from pseudorca.simulation import SurveyConfig, simulate_survey


def simulate(
    out: Path,
    *,
    noise: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
    n_workers: int = 1,
    progress: Progress | None = None,
    **named: Any,
) -> dict[str, Any]:
    """Make a survey with known truth; ``named`` and ``settings`` are fields of SurveyConfig.

    Raises
    ------
    SimulationError
        If a setting is unknown or makes no sense, or the folder holds something else.
    """
    known = {field.name for field in fields(SurveyConfig)}
    given = dict(settings or {})
    for name, value in given.items():
        if name not in known:
            raise SimulationError(unknown_name("setting of a survey", name, known))
        given[name] = _as_declared(name, value)
        if name in named and named[name] not in (given[name], getattr(SurveyConfig(), name)):
            raise SimulationError(
                f"{name} is given twice: {named[name]} by its own option, and {name}={value} among "
                "the settings. Leave one of them out."
            )
    files: list[Path] = []
    for path in noise:
        found = scan_files([path]).recordings if path.is_dir() else None
        if found is not None and found.empty:
            raise SimulationError(f"noise folder {path} holds no recording that can be read.")
        files += [path] if found is None else [Path(full_path(row)) for row in found.itertuples()]
    config = SurveyConfig(**(named | {"noise_files": tuple(files)} | given))
    summary = simulate_survey(out, config, n_workers=n_workers, progress=progress)
    return {
        "recordings": str(out / "recordings"),
        "truth": str(out / "truth"),
        "n_encounters": summary.n_encounters,
        "n_files": summary.n_files,
        "n_signals": summary.n_signals,
        "duration_s": summary.duration_s,
        "files_per_class": summary.n_clips_by_label,
    }


def _as_declared(name: str, value: Any) -> Any:
    """A setting that was typed, as the field of SurveyConfig that it is for takes it."""
    usual = getattr(SurveyConfig(), name)
    if isinstance(usual, tuple):
        values = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in values):
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

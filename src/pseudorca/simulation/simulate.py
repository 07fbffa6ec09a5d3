"""The stage ``simulate``: a survey with known truth; sound in ``recordings``, truth in ``truth``.

:func:`simulate_survey` takes settings and an empty folder. Equal settings give equal files and tables,
byte for byte, for any number of processes. :func:`simulate` takes the settings as the command line
gives them.
"""

import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import soundfile as sf

from pseudorca.errors import SimulationError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings.manifest import full_path, scan_files
from pseudorca.results import Result, counted
from pseudorca.simulation import truth
from pseudorca.simulation.moments import Task, moments_of, shared_by_encounter, simulate_moment
from pseudorca.simulation.plan import Encounter, SurveyConfig, plan_survey
from pseudorca.simulation.species import TRAIT_NAMES
from pseudorca.simulation.world import world_from_latents, world_row
from pseudorca.values import plural

SIMULATOR_VERSION: Final = 1  # goes up if equal settings give another sound


@dataclass(frozen=True, eq=False, repr=False)
class SimulateResult(Result):
    """A survey with known truth that was written.

    Examples
    --------
    >>> result = SimulateResult(Path("out"), 2, 12, 40, 18.0, {"Insular": 4, "Pelagic": 8})
    >>> print(result.summary()[1])
    Files by class: Insular 4, Pelagic 8.
    """

    out: Path
    n_encounters: int
    n_files: int
    n_signals: int
    duration_s: float
    files_per_class: dict[str, int]

    @property
    def recordings(self) -> Path:
        """The folder of the sound, with class folders as in a real survey."""
        return self.out / "recordings"

    @property
    def truth(self) -> Path:
        """The folder of the truth."""
        return self.out / "truth"

    def as_json(self) -> dict[str, Any]:
        """The two folders and the counts, as JSON values."""
        numbers = {name: value for name, value in vars(self).items() if name != "out"}
        return {"recordings": str(self.recordings), "truth": str(self.truth), **numbers}

    def summary(self) -> Sequence[str]:
        """Three sentences: files and encounters, files by class, and where the truth is."""
        return [
            f"{plural(self.n_files, 'file')} ({self.duration_s / 60:.1f} min) of "
            f"{plural(self.n_encounters, 'encounter')} in {self.recordings}.",
            f"Files by class: {counted(self.files_per_class)}.",
            f"The truth is in {self.truth}.",
        ]


def simulate_survey(
    out: str | Path,
    config: SurveyConfig | None = None,
    *,
    n_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SimulateResult:
    """Write a survey with known truth.

    Parameters
    ----------
    out : path
        A new or empty folder, or a folder with an incomplete survey of the same settings, which is
        then written again. Sound goes to ``out/recordings``, truth to ``out/truth``.
    config : SurveyConfig or None
    n_workers : int
        Number of processes. The result does not depend on this number. A script with more than one
        process must guard its start by ``if __name__ == "__main__":``.
    progress : callable (n_done, n_files)

    Returns
    -------
    SimulateResult

    Raises
    ------
    SimulationError
        If the folder holds other files, a noise file cannot be read, or the settings contradict each
        other.

    Examples
    --------
    >>> import tempfile
    >>> config = SurveyConfig(
    ...     n_encounters=2, n_clips=2, n_unknown_encounters=0, n_unknown_clips=0, max_channels=1,
    ...     sample_rate=16_000,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simulate_survey(folder, config).n_files
    2
    """
    config = SurveyConfig() if config is None else config
    out = Path(out)
    if n_workers < 1:
        raise SimulationError(f"n_workers is {n_workers}: at least 1.")
    for path in config.noise_files:
        try:
            sf.info(path)
        except (sf.LibsndfileError, OSError) as error:
            raise SimulationError(f"noise file {path} cannot be read: {error}") from error
    encounters = plan_survey(config)
    values = {"simulator_version": SIMULATOR_VERSION, **asdict(config)}
    settings = json.loads(json.dumps(values, default=str))  # tuples as lists, paths as text
    truth.begin(out, settings)
    tasks = [task for encounter in encounters for task in moments_of(out, config, encounter)]
    n_files = sum(encounter.n_clips for encounter in encounters)
    rows = truth.Rows([], [], [])
    for moment in _run(tasks, n_workers):
        rows.clips.extend(moment.clips)
        rows.signals.extend(moment.signals)
        rows.contours.extend(moment.contours)
        if progress is not None:
            progress(len(rows.clips), n_files)
    encounter_rows = [_encounter_row(config, encounter) for encounter in encounters]
    truth.write(out, settings, encounter_rows, rows)
    return SimulateResult(
        out=out,
        n_encounters=len(encounters),
        n_files=len(rows.clips),
        n_signals=len(rows.signals),
        duration_s=float(sum(row["duration_s"] for row in rows.clips)),
        files_per_class=dict(Counter(row["label"] for row in rows.clips)),
    )


def _run(tasks: list[Task], n_workers: int) -> Iterator[truth.Rows]:
    """Simulate the moments in order, in this process or in several."""
    if n_workers == 1:
        yield from map(simulate_moment, tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=spawn) as executor:
        chunk = max(1, min(16, len(tasks) // (4 * n_workers)))
        try:
            yield from executor.map(simulate_moment, tasks, chunksize=chunk)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _encounter_row(config: SurveyConfig, encounter: Encounter) -> dict[str, Any]:
    """The row of an encounter in ``encounters.csv``."""
    _, latents, group = shared_by_encounter(config, encounter)
    deviations = zip(TRAIT_NAMES, group.deviation.tolist(), strict=True)
    return {
        "encounter": encounter.name,
        "label": encounter.label,
        "population": encounter.population,
        "platform": encounter.platform,
        "recorder": encounter.recorder,
        "own_recorder": encounter.own_recorder,
        "start_utc": encounter.start.isoformat(timespec="seconds"),
        "n_files": encounter.n_clips,
        **world_row(world_from_latents(latents)),
        **{f"group.{name}": z for name, z in deviations},
    }


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
        if not path.is_dir():
            files.append(path)
            continue
        recordings = scan_files([path]).recordings
        if recordings.empty:
            raise SimulationError(f"noise folder {path} holds no recording that can be read.")
        files += [Path(full_path(row)) for row in recordings.itertuples()]
    config = SurveyConfig(**(named | {"noise_files": tuple(files)} | converted))
    return simulate_survey(out, config, n_workers=n_workers, progress=progress)


def _as_declared(name: str, value: Any) -> Any:
    """Convert the value of a setting to the type of its field in SurveyConfig."""
    usual = getattr(SurveyConfig(), name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(usual, tuple):
        values = value if isinstance(value, list) else [value]
        if all(isinstance(name_or_path, str) for name_or_path in values):
            return tuple(map(Path, values)) if name == "noise_files" else tuple(values)
        expected = 'a name, or several as ["one", "two"]'
    elif isinstance(usual, int):
        if is_number and float(value).is_integer():
            return int(value)
        expected = "a whole number"
        if name == "sample_rate":
            if str(value).casefold() == "none":
                return None
            expected += ", or none for each recorder's own"
    else:
        if is_number:
            return float(value)
        expected = "a number"
    raise SimulationError(f"{name} is {value!r}: expected {expected}.")

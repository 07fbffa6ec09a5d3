"""A whole survey on disk: sound in ``recordings``, truth in ``truth``.

:func:`simulate_survey` takes settings and an empty folder. Equal settings give equal files and tables,
byte for byte, for any number of processes.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import soundfile as sf

from pseudorca.errors import SimulationError
from pseudorca.results import Result, counted
from pseudorca.simulation import truth
from pseudorca.simulation.config import SurveyConfig
from pseudorca.simulation.moments import (
    Rows,
    Task,
    moments_of,
    shared_by_encounter,
    simulate_moment,
)
from pseudorca.simulation.plan import Encounter, plan_survey
from pseudorca.simulation.species import TRAIT_NAMES
from pseudorca.simulation.world import world_from_latents, world_row
from pseudorca.values import plural

SIMULATOR_VERSION: Final = 1  # goes up if equal settings give another sound


@dataclass(frozen=True, eq=False, repr=False)
class SimulateResult(Result):
    """A survey with known truth that was written."""

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
        return {
            "recordings": str(self.recordings),
            "truth": str(self.truth),
            "n_encounters": self.n_encounters,
            "n_files": self.n_files,
            "n_signals": self.n_signals,
            "duration_s": self.duration_s,
            "files_per_class": self.files_per_class,
        }

    def summary(self) -> Sequence[str]:
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
    >>> simulate_survey(tempfile.mkdtemp(), config).n_files
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
    settings = {"simulator_version": SIMULATOR_VERSION, **asdict(config)}
    settings["noise_files"] = [str(path) for path in config.noise_files]
    truth.begin(out, settings)
    tasks = [task for encounter in encounters for task in moments_of(out, config, encounter)]
    n_files = sum(1 if e.long_s else e.n_clips for e in encounters)
    clips: list[dict[str, Any]] = []
    signals: list[dict[str, Any]] = []
    contours: list[truth.Contour] = []
    for rows in _run(tasks, n_workers):
        clips += rows.clips
        signals += rows.signals
        contours += rows.contours
        if progress is not None:
            progress(len(clips), n_files)
    truth.write(
        out,
        settings,
        encounters=[_encounter_row(config, encounter) for encounter in encounters],
        clips=clips,
        signals=signals,
        contours=contours,
    )
    return SimulateResult(
        out=out,
        n_encounters=len(encounters),
        n_files=len(clips),
        n_signals=len(signals),
        duration_s=float(sum(row["duration_s"] for row in clips)),
        files_per_class=dict(Counter(row["label"] for row in clips)),
    )


def _run(tasks: list[Task], n_workers: int) -> Iterator[Rows]:
    if n_workers == 1:
        yield from map(simulate_moment, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context) as executor:
        chunk = max(1, min(16, len(tasks) // (4 * n_workers)))
        try:
            yield from executor.map(simulate_moment, tasks, chunksize=chunk)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _encounter_row(config: SurveyConfig, encounter: Encounter) -> dict[str, Any]:
    _, latents, group = shared_by_encounter(config, encounter)
    return {
        "encounter": encounter.name,
        "label": encounter.label,
        "population": encounter.population,
        "platform": encounter.platform,
        "recorder": encounter.recorder,
        "own_recorder": encounter.own_recorder,
        "start_utc": encounter.start.isoformat(timespec="seconds"),
        "n_files": 1 if encounter.long_s else encounter.n_clips,
        **world_row(world_from_latents(latents)),
        **{
            f"group.{name}": z
            for name, z in zip(TRAIT_NAMES, group.deviation.tolist(), strict=True)
        },
    }

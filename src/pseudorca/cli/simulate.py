"""The verb ``simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    OtherSettings,
    Seed,
    WorkerCount,
    settings_from,
)
from pseudorca.cli.output import done, say, table
from pseudorca.progress import progress_bar
from pseudorca.values import plural


def simulate(
    *,
    out: Annotated[Path, typer.Argument(help="New folder: gets recordings/ and truth/.")],
    effect: Annotated[
        float, typer.Option(help="Difference of the populations in standard deviations; 0: none.")
    ] = 1.0,
    encounter_signature: Annotated[
        float, typer.Option(help="0 to 1: how alike the clips of one encounter are.")
    ] = 0.7,
    confound: Annotated[
        float, typer.Option(help="0 to 1: how often a population has its own recorder.")
    ] = 0.0,
    encounters: Annotated[int, typer.Option(help="Labelled encounters.")] = 16,
    n_clips: Annotated[int, typer.Option("--clips", help="Labelled clips.")] = 200,
    noise: Annotated[
        list[Path] | None, typer.Option(help="Real noise to mix in: a file, or a folder of them.")
    ] = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    setting: OtherSettings = None,
    as_json: AsJson = False,
) -> None:
    """Make a survey whose truth is known, with the folders and names of a real one."""
    from pseudorca.simulation.simulate import simulate as simulate_survey

    with progress_bar("Simulating") as update:
        result = simulate_survey(
            out,
            seed=seed or 0,
            effect=effect,
            encounter_signature=encounter_signature,
            confound=confound,
            n_encounters=encounters,
            n_clips=n_clips,
            noise=tuple(noise or ()),
            settings=settings_from(setting),
            n_workers=workers or 1,
            progress=update,
        )
    if done(result, as_json):
        return
    say(
        f"{plural(result.n_files, 'file')} ({result.duration_s / 60:.1f} min) of "
        f"{plural(result.n_encounters, 'encounter')} in {result.recordings}; the truth is in "
        f"{result.truth}."
    )
    table(["class", "files"], result.files_per_class.items())

"""The verb ``predict``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    BatchSize,
    Device,
    Format,
    NamePattern,
    Precise,
    Precision,
    Project,
    TimeFormat,
    Workers,
    open_store,
)
from pseudorca.cli.output import done, progress, say, say_problems, table


def predict(
    project: Project,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files and folders. Without: the project's unlabelled recordings."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "classifier",
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.")] = None,
    output_format: Annotated[Format, typer.Option("--format", help="Of the tables.")] = Format.csv,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    device: Device = "auto",
    precision: Precise = Precision.auto,
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Say which population each clip, recording and encounter sounds like."""
    from pseudorca import workflow
    from pseudorca.recordings.manifest import ScanOptions

    options = ScanOptions(name_pattern=name_pattern, time_format=time_format)
    store = open_store(project)
    with progress("Predicting") as update:
        result = workflow.predict_project(
            store, tuple(paths or ()), name=name, output=out, kind=output_format.value,
            options=options, device=device, precision=precision.value, batch_size=batch_size,
            n_workers=workers, progress=update,
        )  # fmt: skip
    if done(result, as_json):
        return
    say(
        f"{result['n_files']} files, {result['n_clips']} clips, {result['n_encounters']} encounters."
    )
    table(["most probable", "recordings"], result["recordings_per_class"].items())
    say(
        f"Probabilities are not calibrated and presuppose a {result['prior']} prior. Tables are in "
        f"{result['output']}."
    )
    say_problems(result)

"""The verb ``scan``."""

from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    AsJson,
    Conflict,
    NamePattern,
    Project,
    Threads,
    TimeFormat,
    new_project,
    open_store,
)
from pseudorca.cli.output import done, say, say_problems, table
from pseudorca.progress import progress_bar


def scan(
    folder: Annotated[
        str, typer.Argument(help="Folder with class folders of recordings, or its URL (s3://...).")
    ],
    project: Project,
    labels: Annotated[
        str | None,
        typer.Option(help="Class folders, such as Insular,Pelagic. Without: the top folders."),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(
            help="Folders of other sounds, such as Noise,OtherSpecies: learned as none of the classes."
        ),
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(help="CSV joined by its column path, file or encounter.")
    ] = None,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    cut_gaps: Annotated[
        float | None, typer.Option(help="Cut encounters at pauses longer than this many hours.")
    ] = None,
    on_conflict: Annotated[
        Conflict, typer.Option(help="One sound under two labels: stop, or leave both out.")
    ] = Conflict.error,
    full_hash: Annotated[
        bool, typer.Option("--full-hash", help="Decode recordings over 10 minutes wholly, too.")
    ] = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Find the recordings below a folder, with their labels, encounters and problems.

    Where no recording could be used, the exit status is 1.
    """
    from pseudorca.recordings.manifest import ScanOptions

    options = ScanOptions(
        labels=tuple(name.strip() for name in labels.split(",")) if labels is not None else None,
        other=tuple(name.strip() for name in other.split(",")) if other is not None else (),
        metadata=metadata,
        name_pattern=name_pattern,
        time_format=time_format,
        full_hash=full_hash,
        on_conflict=on_conflict.value,
        cut_gaps_h=cut_gaps,
    )
    from pseudorca import project as workflow

    with new_project(project):
        store = open_store(project, create=True)
        with progress_bar("Reading recordings") as update:
            result = workflow.scan_project(
                store, folder, options, n_threads=threads, progress=update
            )
        _say(result, as_json)
        if not result["n_recordings"]:
            raise typer.Exit(1)


def _say(result: dict[str, Any], as_json: bool) -> None:
    if done(result, as_json):
        return
    hours = result["duration_s"] / 3600
    say(
        f"{result['n_recordings']} recordings ({hours:.2f} h): {result['n_labelled']} labelled, "
        f"{result['n_unlabelled']} unlabelled, in {result['n_encounters']} encounters."
    )
    table(["class", "recordings"], result["classes"].items())
    say_problems(result)

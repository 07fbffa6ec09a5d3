"""The verb ``scan``."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pseudorca.cli.options import (
    RARE,
    AsJson,
    ClassFolders,
    MetadataColumns,
    MetadataTable,
    MissingTexts,
    NamePattern,
    ProjectFolder,
    ThreadCount,
    TimeFormat,
    TimeZone,
    Verbose,
    columns_from,
    flag,
    names_from,
)
from pseudorca.cli.output import done, say, say_notices, say_problems, table

if TYPE_CHECKING:
    from pseudorca.recordings.scan import ScanResult


def scan(
    *,
    folder: Annotated[
        str, typer.Argument(help="Folder with class folders of recordings, or its URL (s3://...).")
    ],
    project: ProjectFolder,
    labels: ClassFolders = None,
    other: Annotated[
        str | None,
        typer.Option(
            help="Folders of other sounds, such as Noise,OtherSpecies: learned as none of the classes."
        ),
    ] = None,
    nothing: Annotated[
        str | None,
        typer.Option(
            help="Folders in which no animal is heard, such as Noise,Empty: they teach what nothing "
            "sounds like, and are no class."
        ),
    ] = None,
    metadata: MetadataTable = None,
    columns: MetadataColumns = None,
    cut_gaps: Annotated[
        float | None, typer.Option(help="Cut encounters at pauses longer than this many hours.")
    ] = None,
    threads: ThreadCount = None,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = None,
    missing: MissingTexts = None,
    on_conflict: Annotated[
        Literal["error", "drop"],
        typer.Option(
            help="One sound under two labels: stop, or leave both out.", rich_help_panel=RARE
        ),
    ] = "error",
    full_hash: Annotated[
        bool, flag("--full-hash", "Decode recordings over 10 minutes wholly, too.", panel=RARE)
    ] = False,
    replace: Annotated[
        bool,
        flag(
            "--replace",
            "Scan another folder, or other labels, into a project that holds results on the old ones.",
            panel=RARE,
        ),
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Find the recordings below a folder, with their labels, encounters and problems.

    Where no recording could be used, the exit status is 1.
    """
    from pseudorca.project import new_project
    from pseudorca.recordings.options import ScanOptions

    typed: dict[str, Any] = {
        "labels": names_from(labels),
        "other": names_from(other) or (),
        "nothing": names_from(nothing) or (),
        "metadata": metadata,
        "columns": columns_from(columns),
        "missing": tuple(missing or ()),
        "name_pattern": name_pattern,
        "time_format": time_format,
        "time_zone": time_zone,
        "full_hash": full_hash,
        "on_conflict": on_conflict,
        "cut_gaps_h": cut_gaps,
    }
    ScanOptions(**typed)  # refused before the project is made, or waited for
    with new_project(project) as whales:
        result = whales.scan(folder, **typed, replace=replace, n_threads=threads)
        if not done(result, as_json):
            _say(result, verbose=verbose)
        if not len(result.recordings):
            raise typer.Exit(1)


def _say(result: "ScanResult", *, verbose: bool) -> None:
    say(result.summary()[0])
    if result.classes:
        table(["class", "recordings"], result.classes.items())
    say_problems(result.problems, verbose=verbose)
    say_notices(result.notices, verbose=verbose)

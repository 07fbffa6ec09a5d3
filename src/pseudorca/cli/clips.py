"""The verb ``clips``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pseudorca.cli.options import (
    RARE,
    AsJson,
    ProjectFolder,
    Verbose,
    flag,
)
from pseudorca.cli.output import done, say, say_notices, say_problems, table

if TYPE_CHECKING:
    from pseudorca.recordings.clips import ClipsResult


def clips(
    *,
    project: ProjectFolder,
    window: Annotated[float, typer.Option(help="Seconds per clip.")] = 3.0,
    overlap: Annotated[float, typer.Option(help="Seconds shared by neighbours.")] = 0.0,
    whole: Annotated[bool, flag("--whole", "Each recording is one clip.")] = False,
    channels: Annotated[
        str, typer.Option(help="mean, first, each, or a channel's number from 1.")
    ] = "mean",
    selections: Annotated[
        list[Path] | None,
        typer.Option(
            help="Selection table of Raven, label track of Audacity, or a folder of them: cut these "
            "stretches only."
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--max-per-recording",
            min=1,
            help="At most so many clips of a recording, spread evenly over it.",
            rich_help_panel=RARE,
        ),
    ] = None,
    pad: Annotated[
        Literal["tile", "zero", "drop"],
        typer.Option(help="What fills clips that are too short.", rich_help_panel=RARE),
    ] = "tile",
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Cut recordings into clips: windows, whole files, or Raven selections.

    Where there is no clip, the exit status is 1.
    """
    from pseudorca.project import Project

    result = Project.open(project).clips(
        window_s=None if whole else window,
        overlap_s=0.0 if whole else overlap,
        max_per_recording=most,
        pad=pad,
        channels=channels,
        selections=selections or (),
    )
    if not done(result, as_json):
        _say(result, verbose=verbose)
    if not len(result.clips):
        raise typer.Exit(1)


def _say(result: "ClipsResult", *, verbose: bool) -> None:
    say(result.summary()[0])
    table(["class", "clips"], result.clips_per_class.items())
    say_problems(result.problems, verbose=verbose)
    say_notices(result.notices, verbose=verbose)

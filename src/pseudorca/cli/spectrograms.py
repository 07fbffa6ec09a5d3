"""The verb ``spectrograms``."""

from typing import Annotated, Literal

import typer

from pseudorca.cli.options import (
    AsJson,
    OutputFolder,
    ProjectFolder,
    ThreadCount,
    Verbose,
    flag,
)
from pseudorca.cli.output import done, say, say_problems
from pseudorca.values import plural


def spectrograms(
    *,
    project: ProjectFolder,
    out: OutputFolder,
    layout: Annotated[
        Literal["tight", "wide"],
        typer.Option(help="tight: 950 x 636. wide: 1200 x 800, with white margins."),
    ] = "tight",
    unlabelled: Annotated[
        bool, flag("--unlabelled", "Also the recordings without a label.")
    ] = False,
    threads: ThreadCount = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Write the original study's picture of every labelled recording as a PNG file."""
    from pseudorca.project import Project

    result = Project.open(project).spectrograms(
        out, layout=layout, unlabelled=unlabelled, n_threads=threads
    )
    if done(result, as_json):
        return
    say(f"{plural(result.n_pictures, 'picture')} in {result.output}, {result.n_new:,} of them new.")
    say_problems(result.problems, verbose=verbose)
    if not result.n_pictures:
        raise typer.Exit(1)

"""The verb ``spectrograms``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import AsJson, Project, Threads, open_store
from pseudorca.cli.output import done, say, say_problems
from pseudorca.progress import progress_bar


class Layout(StrEnum):
    tight = "tight"
    wide = "wide"


def spectrograms(
    project: Project,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    layout: Annotated[
        Layout, typer.Option(help="tight: 950 x 636. wide: 1200 x 800, with white margins.")
    ] = Layout.tight,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Also the recordings without a label.")
    ] = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Write the original study's picture of every labelled recording as a PNG file."""
    from pseudorca import project as workflow

    store = open_store(project)
    with progress_bar("Drawing") as update:
        result = workflow.spectrogram_project(
            store, out, layout=layout.value, unlabelled=unlabelled, n_threads=threads,
            progress=update,
        )  # fmt: skip
    if done(result, as_json):
        return
    say(f"{result['n_pictures']} pictures in {result['output']}, {result['n_new']} of them new.")
    say_problems(result)
    if not result["n_pictures"]:
        raise typer.Exit(1)

"""The verb ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import AsJson, ProjectFolder
from pseudorca.cli.output import done, say


def report(
    project: ProjectFolder,
    out: Annotated[Path | None, typer.Option(help="HTML file. Without: report.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything the project knows into one HTML file."""
    from pseudorca.project import Project

    result = Project.open(project).report(out)
    if done(result, as_json):
        return
    say(result.summary()[0])

"""The verb ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import AsJson, Project, open_store
from pseudorca.cli.output import done, say
from pseudorca.progress import progress_bar


def report(
    project: Project,
    out: Annotated[Path | None, typer.Option(help="HTML file. Without: report.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything the project knows into one HTML file."""
    from pseudorca.report.report import write_report

    target = out or project / "report.html"
    store = open_store(project)
    with progress_bar("Drawing") as update:
        result = write_report(store, target, progress=update)
    if done(result, as_json):
        return
    say(f"Open {result['output']} in a browser.")

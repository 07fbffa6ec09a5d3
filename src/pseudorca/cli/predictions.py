"""The verb ``predictions``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import AsJson, ProjectFolder
from pseudorca.cli.output import done, say, table
from pseudorca.results import counted


def predictions(
    *,
    project: ProjectFolder,
    remove: Annotated[
        str | None, typer.Option(help="Remove the set of this name, with its tables.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the sets of predictions of a project, or remove one."""
    from pseudorca.project import Project

    whales = Project.open(project)
    if remove is not None:
        whales.remove_predictions(remove)
    result = whales.predictions()
    if done(result, as_json):
        return
    say(result.summary()[0])
    rows = result.sets.to_dict("records")
    if rows:
        table(
            ["set", "predicted", "classifier", "recordings", "encounters", "tables in"],
            (
                (
                    row["set_name"], row["time_utc"], row["classifier"], row["n_recordings"],
                    counted(row["encounters_per_class"]), _place(whales.folder, row["output"]),
                )
                for row in rows
            ),
        )  # fmt: skip


def _place(project: Path, output: str) -> str:
    """Where tables lie, from the project if they are in it: short enough for a line."""
    place = Path(output)
    return str(place.relative_to(project) if place.is_relative_to(project) else place)

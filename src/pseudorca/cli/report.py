"""The verb ``report``."""

from pseudorca.cli.options import (
    AsJson,
    Output,
    ProjectFolder,
)
from pseudorca.cli.output import done, say


def report(
    *,
    project: ProjectFolder,
    out: Output = None,
    as_json: AsJson = False,
) -> None:
    """Write everything the project knows into one HTML file, report.html in the project."""
    from pseudorca.project import Project

    result = Project.open(project).report(out)
    if done(result, as_json):
        return
    say(result.summary()[0])

"""The verb ``decide``."""

from pseudorca.cli.options import (
    AsJson,
    DecisionGroup,
    ProjectFolder,
    ThreadCount,
    given,
    with_groups,
)
from pseudorca.cli.predict import say_predictions


@with_groups
def decide(
    *,
    project: ProjectFolder,
    decision: DecisionGroup,
    threads: ThreadCount = None,
    as_json: AsJson = False,
) -> None:
    """Decide again on what was predicted, without listening again."""
    from pseudorca.project import Project

    say_predictions(Project.open(project).decide(**given(decision), n_threads=threads), as_json)

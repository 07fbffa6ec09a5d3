"""The verb ``decide``."""

from pseudorca.cli.options import (
    AsJson,
    DecisionGroup,
    ProjectFolder,
    ThreadCount,
    Verbose,
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
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Decide again on what was predicted, without listening again."""
    from pseudorca.project import Project

    result = Project.open(project).decide(**given(decision), n_threads=threads)
    say_predictions(result, as_json, verbose=verbose)

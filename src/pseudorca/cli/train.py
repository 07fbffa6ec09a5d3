"""The verb ``train``."""

import shlex

from pseudorca.cli.options import (
    AsJson,
    ClassifierName,
    ProjectFolder,
    Seed,
    TunableRecipeGroup,
    Verbose,
    with_groups,
)
from pseudorca.cli.output import done, network_and_head, say, say_notices, table, tell


@with_groups
def train(
    *,
    project: ProjectFolder,
    name: ClassifierName = "classifier",
    seed: Seed = None,
    recipe: TunableRecipeGroup,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Train a classifier on all labelled clips and save it in the project."""
    from pseudorca.project import Project

    result = Project.open(project).train(recipe.make(seed), name=name, stage=tell)
    if done(result, as_json):
        return
    say_notices(result.notices, verbose=verbose)
    say(f"Saved {result.folder} ({result.classifier_id}), trained on:")
    rows = result.main_table()
    table(list(rows.columns), rows.itertuples(index=False))
    say(network_and_head(result.network, result.recipe))
    line = f"pseudorca evaluate --project {shlex.quote(str(project))}{result.recipe.arguments()}"
    say(f"How good it is, this does not say: run {line}")

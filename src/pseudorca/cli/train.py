"""The verb ``train``."""

import shlex
from typing import Annotated

import typer

from pseudorca.cli.options import AsJson, Project, Seed, open_store
from pseudorca.cli.output import done, say, say_notices, table
from pseudorca.cli.recipe_options import (
    TUNABLE_RECIPE_OPTIONS,
    TunableRecipeOptions,
    with_recipe_options,
)
from pseudorca.progress import progress_bar


@with_recipe_options
def train(
    project: Project,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "classifier",
    recipe: TunableRecipeOptions = TUNABLE_RECIPE_OPTIONS,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train a classifier on all labelled clips and save it in the project."""
    from pseudorca import project as workflow

    made = recipe.make(seed)
    store = open_store(project)
    with progress_bar("Training and calibrating") as update:
        result = workflow.train_project(
            store, made, name=name, progress=update, stage=lambda text: typer.echo(text, err=True)
        )
    if done(result, as_json):
        return
    say_notices(result.as_json())
    say(f"Saved {result.folder} ({result.classifier_id}), trained on:")
    rows = result.main_table()
    table(list(rows.columns), rows.itertuples(index=False))
    line = f"pseudorca evaluate --project {shlex.quote(str(project))}{made.arguments()}"
    say(f"How good it is, this does not say: run {line}")

"""The verb ``train``."""

import shlex
from typing import Annotated

import typer

from pseudorca.cli.head_options import TUNED_HEAD, TunedHeadOptions, with_head_options
from pseudorca.cli.options import AsJson, Prepare, Project, Seed, open_store, preparation_from
from pseudorca.cli.output import done, say, say_notices, table
from pseudorca.progress import progress_bar


@with_head_options
def train(
    project: Project,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "classifier",
    head: TunedHeadOptions = TUNED_HEAD,
    prepare: Prepare = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train a classifier on all labelled clips and save it in the project."""
    from pseudorca import project as workflow

    store = open_store(project)
    made = head.make_tuned(store, seed)
    with progress_bar("Training and calibrating") as update:
        result = workflow.train_project(
            store, made, name=name, preparation=preparation_from(prepare), progress=update,
            stage=lambda text: typer.echo(text, err=True),
        )  # fmt: skip
    if done(result, as_json):
        return
    say_notices(result)
    say(f"Saved {result['classifier']} ({result['classifier_id']}), trained on:")
    table(
        ["class", "clips", "recordings", "encounters"],
        (
            (label, n, result["n_recordings"][label], result["n_encounters"][label])
            for label, n in sorted(result["n_clips"].items())
        ),
    )
    from pseudorca.learning.recipe import arguments_of

    line = (
        f"pseudorca evaluate --project {shlex.quote(str(project))}{arguments_of(result['recipe'])}"
    )
    say(f"How good it is, this does not say: run {line}")

"""The verb ``decide``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    Format,
    MaxError,
    MaxNovelty,
    MinMoments,
    MinProbability,
    Prior,
    Project,
    Workers,
    decision_from,
    open_store,
)
from pseudorca.cli.output import done, progress
from pseudorca.cli.predict import say_predictions


def decide(
    project: Project,
    prior: Prior = "uniform",
    max_error: MaxError = None,
    min_probability: MinProbability = 0.0,
    min_moments: MinMoments = 1,
    max_novelty: MaxNovelty = 1.0,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.")] = None,
    output_format: Annotated[Format, typer.Option("--format", help="Of the tables.")] = Format.csv,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Decide again on what was predicted last: another prior, error rate or minimum."""
    from pseudorca import workflow

    decision = decision_from(prior, max_error, min_probability, min_moments, max_novelty)
    store = open_store(project)
    with progress("Deciding") as update:
        result = workflow.decide_again(
            store, decision=decision, output=out, kind=output_format.value, n_workers=workers,
            progress=update,
        )  # fmt: skip
    if not done(result, as_json):
        say_predictions(result)

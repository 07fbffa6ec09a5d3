"""The verb ``compare``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    SPLIT_HELP,
    AsJson,
    GroupBy,
    ProjectFolder,
    Repeats,
    Seed,
    splits_from,
)
from pseudorca.cli.output import done, say, say_notices, table, tell
from pseudorca.cli.recipe_options import Prepare, preparation_from


def compare(
    project: ProjectFolder,
    with_features: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Also classic features, computed if need be: logmel, mfcc, mfcc_frames, lpc, "
            "mean_spectrum. Several by commas.",
        ),
    ] = None,
    ensemble: Annotated[
        list[str] | None,
        typer.Option(help="Embedders joined by +, such as yamnet+mfcc. Repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only these embedders; without it, all that have embeddings."),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="logistic (default), svm, forest, gmm, hmm, softmax. Several by commas."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Differences are taken from this one; without it, the network in the box."
        ),
    ] = None,
    choose_among: Annotated[
        list[str] | None,
        typer.Option(
            "--choose-among",
            help="Embedders of which, alone or together, inner folds may choose; all; without it, "
            "those that may be used commercially. Several by commas.",
        ),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help=f"{SPLIT_HELP} Repeatable; the first is the headline.")
    ] = None,
    group_by: GroupBy = None,
    n_folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of a split.")] = 5,
    repeats: Repeats = 3,
    prepare: Prepare = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables and the page; in the project.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare all embedders of a project, and ensembles, on encounters never heard."""
    from pseudorca.compare.compare import CompareOptions
    from pseudorca.project import Project

    splits = splits_from(split or ["encounter"], group_by, n_folds, repeats, seed)
    options = CompareOptions(
        _words(with_features), tuple(ensemble or ()), _words(only), _words(head) or ("logistic",),
        against, tuple(splits), _words(choose_among), seed or 0,
        tuple(preparation_from([text]) for text in prepare or ()),
    )  # fmt: skip
    compared = Project.open(project).compare(options, out=out, stage=tell)
    if done(compared, as_json):
        return
    result = compared.as_json()
    name = result["headline_split"]
    for unit in ("encounter", "recording"):
        say(f"By {unit}, split {name}:")
        table(
            ["", "licence", "numbers", "clips/s", "balanced accuracy", "95 % interval", "random split",
             f"against {result['reference']}", "95 % interval", ""],
            _lines(result, name, unit),
        )  # fmt: skip
    say(result["summary"])
    say(f"Tables are in {result['output']}; open {result['files']['page']} in a browser.")
    say_notices(compared.notices)


def _words(given: list[str] | None) -> tuple[str, ...]:
    return tuple(word.strip() for text in given or () for word in text.split(",") if word.strip())


def _lines(result: dict[str, Any], split: str, unit: str) -> list[tuple[str, ...]]:
    random = {
        row["variant"]: row
        for row in result["rows"]
        if (row["split"], row["unit"]) == ("random", unit)
    }
    rows = [row for row in result["rows"] if (row["split"], row["unit"]) == (split, unit)]
    lines = []
    for row in sorted(rows, key=lambda row: -row["balanced_accuracy"]):
        beside = random.get(row["variant"])
        against: tuple[str, ...] = ("", "", "")
        if row["difference"] is not None:
            span = f"{row['difference_low']:+.2f} to {row['difference_high']:+.2f}"
            against = (f"{row['difference']:+.3f}", span, row["word"])
        lines.append(
            (
                row["variant"], row["licence"], str(row["embedding_size"] or ""),
                "" if row["clips_per_s"] is None else f"{row['clips_per_s']:.0f}",
                f"{row['balanced_accuracy']:.3f}", f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
                "" if beside is None else f"{beside['balanced_accuracy']:.3f}", *against,
            )
        )  # fmt: skip
    return lines

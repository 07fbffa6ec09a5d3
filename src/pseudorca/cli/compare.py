"""The verb ``compare``."""

from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    RARE,
    RECIPE,
    SPLIT_HELP,
    AsJson,
    FoldCount,
    GroupBy,
    Output,
    ProjectFolder,
    Repeats,
    Seed,
    check_names,
    splits_from,
    words_from,
)
from pseudorca.cli.output import done, say, say_notices, table, tell
from pseudorca.cli.recipe_options import HEAD_HELP, Prepare, preparation_from
from pseudorca.learning.heads.registry import HEADS


def compare(
    project: ProjectFolder,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these embedders; without it, all that have embeddings. Several by commas."
        ),
    ] = None,
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
    split: Annotated[list[str] | None, typer.Option(help=SPLIT_HELP)] = None,
    group_by: GroupBy = None,
    n_folds: FoldCount = 5,
    repeats: Repeats = 3,
    seed: Seed = None,
    out: Output = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="NAME", help=HEAD_HELP, rich_help_panel=RECIPE),
    ] = None,
    prepare: Prepare = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Differences are taken from this one; without it, the network in the box.",
            rich_help_panel=RARE,
        ),
    ] = None,
    choose_among: Annotated[
        list[str] | None,
        typer.Option(
            "--choose-among",
            help="Embedders of which, alone or together, inner folds may choose; all; without it, "
            "those that may be used commercially. Several by commas.",
            rich_help_panel=RARE,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare all embedders of a project, and ensembles, on encounters never heard."""
    heads = words_from(head) or ("logistic",)
    check_names("head", heads, HEADS)
    from pseudorca.compare.compare import CompareOptions
    from pseudorca.project import Project

    splits = splits_from(split or ["encounter"], group_by, n_folds, repeats, seed)
    options = CompareOptions(
        words_from(with_features), tuple(ensemble or ()), words_from(only), heads,
        against, tuple(splits), words_from(choose_among), seed or 0,
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

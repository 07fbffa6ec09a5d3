"""The verb ``compare``."""

from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    HEAD_HELP,
    SPLIT_HELP,
    AsJson,
    HeadName,
    Output,
    Prepare,
    ProjectFolder,
    SplitGroup,
    Verbose,
    preparation_from,
    rare_option,
    recipe_option,
    with_groups,
    words_from,
)
from pseudorca.cli.output import done, say, say_notices, table, tell


@with_groups
def compare(
    *,
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
    drawn: SplitGroup,
    out: Output = None,
    head: Annotated[
        list[HeadName] | None, recipe_option("--head", HEAD_HELP, metavar="NAME")
    ] = None,
    prepare: Prepare = None,
    against: Annotated[
        str | None,
        rare_option(
            "--against", "Differences are taken from this one; without it, the network in the box."
        ),
    ] = None,
    choose_among: Annotated[
        list[str] | None,
        rare_option(
            "--choose-among",
            "Embedders of which, alone or together, inner folds may choose; all; without it, "
            "those that may be used commercially. Several by commas.",
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Compare all embedders of a project, and ensembles, on encounters never heard."""
    from pseudorca.compare.compare import CompareOptions
    from pseudorca.project import Project

    splits = drawn.splits(split or ["encounter"])
    options = CompareOptions(
        words_from(with_features), tuple(ensemble or ()), words_from(only),
        tuple(head or ["logistic"]),
        against, tuple(splits), words_from(choose_among), drawn.seed or 0,
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
    say_notices(compared.notices, verbose=verbose)


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

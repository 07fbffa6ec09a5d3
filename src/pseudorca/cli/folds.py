"""The verb ``folds``."""

from typing import Annotated

import typer

from pseudorca.cli.options import SPLIT_HELP, AsJson, OneSplitGroup, ProjectFolder, with_groups
from pseudorca.cli.output import done, say, table
from pseudorca.values import plural


@with_groups
def folds(
    *,
    project: ProjectFolder,
    split: Annotated[str, typer.Option(help=SPLIT_HELP)] = "encounter",
    drawn: OneSplitGroup,
    as_json: AsJson = False,
) -> None:
    """Make a split, verify it, and show what stands on which side."""
    from pseudorca.project import Project

    chosen = drawn.splits([split])[0]
    result = Project.open(project).folds(chosen)
    if done(result, as_json):
        return
    say(f"Split {chosen.name}: {plural(result.n_groups, 'group')} by {chosen.group_by}, verified.")
    table(
        ["repeat", "fold", "train", "test", "test groups", "test clips per class"],
        (
            (
                row["repeat"], row["fold"], row["n_train"], row["n_test"], row["n_test_groups"],
                ", ".join(f"{label} {n}" for label, n in sorted(row["test_per_class"].items())),
            )
            for row in result.rows
        ),
    )  # fmt: skip
    if result.folds.not_testable:
        say(f"Not testable: {', '.join(result.folds.not_testable)}.")

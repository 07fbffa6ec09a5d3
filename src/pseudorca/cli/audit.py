"""The verb ``audit``."""

from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    PERMUTATIONS_HELP,
    SPLIT_HELP,
    AsJson,
    BatchSize,
    Device,
    OneSplitGroup,
    ProjectFolder,
    RecipeGroup,
    ThreadCount,
    Verbose,
    Within,
    flag,
    rare_option,
    with_groups,
)
from pseudorca.cli.output import done, say, say_notices, table, tell


@with_groups
def audit(
    *,
    project: ProjectFolder,
    split: Annotated[str, typer.Option(help=SPLIT_HELP)] = "encounter",
    drawn: OneSplitGroup,
    permutations: Annotated[
        int | None, typer.Option(min=20, help=f"{PERMUTATIONS_HELP} [default: 199, or 39 if quick]")
    ] = None,
    quick: Annotated[
        bool, flag("--quick", "Only what the verdict needs, with fewer shuffles.")
    ] = False,
    recipe: RecipeGroup,
    device: Device = "auto",
    batch_size: BatchSize = None,
    threads: ThreadCount = None,
    within: Within = None,
    clips_per_encounter: Annotated[
        int,
        rare_option(
            "--clips-per-encounter", "Clips of an encounter that are heard, at most.", min=1
        ),
    ] = 20,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Animals or recorders? Compare the classifier with controls that hear no animal."""
    from pseudorca.project import Project

    chosen, seed = drawn.splits([split])[0], drawn.seed
    audited = Project.open(project).audit(
        recipe.make(seed), split=chosen, seed=seed, n_permutations=permutations, within=within,
        clips_per_encounter=clips_per_encounter, quick=quick, device=device, batch_size=batch_size,
        n_threads=threads, stage=tell,
    )  # fmt: skip
    if done(audited, as_json):
        return
    result = audited.as_json()
    say(result["summary"])
    say(f"Audited: {result['audited']}.")
    table(
        ["", "votes", "balanced accuracy", "95 % interval", "own p"],
        (_line(row) for row in result["controls"]),
    )
    say(
        f"Chance is {result['chance']:.2f}. Own p: how often this row alone does as well with labels "
        f"shuffled between encounters.{_joint(result)}"
    )
    for name, sentence in result["explained"].items():
        say(f"{name}: {sentence}")
    say_notices(audited.notices, verbose=verbose)


def _joint(result: dict[str, Any]) -> str:
    """Which p the verdict takes."""
    if result["p_nuisance"] is None:
        return ""
    return (
        f" The verdict takes the joint p of those that vote, {result['p_nuisance']:.3f}: how often the "
        "best of them, whichever it is in a shuffle, does as well as the best one here."
    )


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    from pseudorca.audit.words import title

    return (
        title(row["name"]),
        "yes" if row["kind"] == "nuisance" else "",
        f"{row['value']:.3f}",
        f"{row['low']:.2f} to {row['high']:.2f}",
        "" if row["p"] is None else f"{row['p']:.3f}",
    )

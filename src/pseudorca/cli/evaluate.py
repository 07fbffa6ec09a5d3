"""The verb ``evaluate``."""

from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    MAX_ERROR_HELP,
    PERMUTATIONS_HELP,
    SPLIT_HELP,
    AsJson,
    ProjectFolder,
    SplitGroup,
    TunableRecipeGroup,
    Verbose,
    Within,
    flag,
    with_groups,
)
from pseudorca.cli.output import done, say, say_notices, table, tell
from pseudorca.values import plural


@with_groups
def evaluate(
    *,
    project: ProjectFolder,
    split: Annotated[list[str] | None, typer.Option(help=SPLIT_HELP)] = None,
    drawn: SplitGroup,
    max_error: Annotated[float, typer.Option("--max-error", help=MAX_ERROR_HELP)] = 0.1,
    permutations: Annotated[int, typer.Option(min=0, help=PERMUTATIONS_HELP)] = 0,
    learning_curve: Annotated[
        bool, flag("--learning-curve", "How the result grows with the encounters.")
    ] = False,
    recipe: TunableRecipeGroup,
    within: Within = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Cross-validate: how good is a classifier on encounters it never heard?"""
    from pseudorca.evaluation.options import EvaluateOptions
    from pseudorca.project import Project

    how: dict[str, Any] = {
        "max_error": max_error, "n_permutations": permutations, "within": within,
        "learning_curve": learning_curve,
    }  # fmt: skip
    EvaluateOptions(**how)  # refused before anything slow is imported
    splits = drawn.splits(split or ["encounter"])
    result = Project.open(project).evaluate(recipe.make(drawn.seed), splits, **how, stage=tell)
    if done(result, as_json):
        return
    from pseudorca.recordings.folds import Split

    def named(split: str) -> str:
        return f"{split} (optimistic)" if Split(split).is_optimistic else split

    rows = [row for split_result in result.values() for row in split_result.rows]
    table(
        ["split", "unit", "n", "groups", "balanced accuracy", "95 % interval", "baseline", "accuracy"],
        (
            (
                named(row["split"]), row["unit"], row["n_units"], row["n_groups"],
                f"{row['balanced_accuracy']:.3f}", f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
                f"{row['majority_baseline']:.3f}",
                f"{row['accuracy']:.3f} (majority {row['majority_accuracy']:.3f})",
            )
            for row in rows
        ),
    )  # fmt: skip
    say_headline(rows)
    say_notices(result.notices, verbose=verbose)


def say_headline(results: list[dict[str, Any]]) -> None:
    """One sentence on the honest number: encounters that were never heard, with its interval."""
    from pseudorca.recordings.folds import Split

    honest = [
        r for r in results if not Split(r["split"]).is_optimistic and r["unit"] == "encounter"
    ]
    for row in honest:
        say(
            f"Encounters never heard before (split {row['split']}): balanced accuracy "
            f"{row['balanced_accuracy']:.2f}, 95 % interval {row['ci_low']:.2f} to "
            f"{row['ci_high']:.2f} ({row['interval_method']}); always naming one class: "
            f"{row['majority_baseline']:.2f}."
        )
        _say_inference(row["inference"])
        _say_trust(row)
    if not honest:
        say("These splits are optimistic: clips of one encounter stand on both sides.")


def _say_trust(row: dict[str, Any]) -> None:
    """What the probabilities of encounters are worth, and what a wanted error rate would cost."""
    true, kept = row["reliability"], row["abstention"]
    say(
        f"Their calibrated probabilities: Brier score {_loss(true, 'brier')}, log loss "
        f"{_loss(true, 'log_loss')} ({true['interval_method']})."
    )
    if chosen := kept["chosen"]:
        say(
            f"With at most {100 * kept['max_error']:.0f} % of the names wrong, "
            f"{100 * chosen['coverage']:.0f} % of the encounters can be named (probability "
            f"{chosen['probability']:.2f} or more)."
        )
    else:
        say(
            f"No threshold keeps wrong names below {100 * kept['max_error']:.0f} % for sure with "
            "these encounters; the smallest rate that can be claimed is "
            f"{100 * kept['smallest_max_error']:.0f} %."
        )


def _loss(true: dict[str, Any], name: str) -> str:
    """A loss with its interval, beside that of knowing nothing."""
    interval = "too few encounters for an interval"
    if true[f"{name}_low"] is not None:
        interval = f"95 % interval {true[f'{name}_low']:.2f} to {true[f'{name}_high']:.2f}"
    return f"{true[name]:.2f} ({interval}; knowing nothing: {true[f'{name}_baseline']:.2f})"


def _say_inference(inference: dict[str, Any]) -> None:
    """What labels permuted between encounters reach, and what could have been seen at all."""
    if test := inference.get("permutation"):
        say(
            f"Labels permuted between encounters do as well with p = {test['p']:.3f} (smallest "
            f"possible with {test['n_permutations']}: {test['smallest_p']:.3f})."
        )
    power = inference["power"]
    if power["detectable"] is None:
        say("With so few encounters no result, however good, would be significant.")
    else:
        say(
            f"With these encounters a true balanced accuracy of {power['detectable']:.2f} or more "
            f"would have been seen ({100 * power['power']:.0f} % power)."
        )
    for n, value in _by_size(inference.get("learning_curve", [])).items():
        say(f"Learning from {plural(n, 'encounter')} per class: balanced accuracy {value:.2f}.")


def _by_size(curve: list[dict[str, Any]]) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for row in curve:
        values.setdefault(row["n_per_class"], []).append(row["balanced_accuracy"])
    return {n: sum(each) / len(each) for n, each in values.items()}

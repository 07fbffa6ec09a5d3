"""The verb ``evaluate``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

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
from pseudorca.cli.output import done, network_and_head, say, say_notices, table, tell
from pseudorca.values import plural

if TYPE_CHECKING:
    from pseudorca.evaluation.evaluate import EvaluateResult


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
    strangers: Annotated[
        bool,
        flag(
            "--strangers",
            "Leave each class out in turn: how often is an animal of no class named? For three "
            "classes or more that are species.",
        ),
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
        "learning_curve": learning_curve, "strangers": strangers,
    }  # fmt: skip
    EvaluateOptions(**how)  # refused before anything slow is imported
    splits = drawn.splits(split or ["encounter"])
    result = Project.open(project).evaluate(recipe.make(drawn.seed), splits, **how, stage=tell)
    if done(result, as_json):
        return
    from pseudorca.recordings.folds import Split

    def named(split: str) -> str:
        return f"{split} (optimistic)" if Split(split).is_optimistic else split

    say(network_and_head(result.network, result.recipe))
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
    _say_headline(rows, stricter=result.stricter)
    for line in result.which_to_quote():
        say(line)
    _say_nothing(result)
    if result.strangers is not None:
        _say_strangers(result.strangers)
    say_notices(result.notices, verbose=verbose)


def _say_nothing(result: "EvaluateResult") -> None:
    """How often held-out clips and backgrounds are called nothing, by the first split that tells."""
    for name, split in result.items():
        if (rates := split.nothing) and not split.is_optimistic:
            clips = ", ".join(
                f"{label} {share:.2f}"
                for label, share in rates["clips"].items()
                if share is not None
            )
            say(f"Held-out clips called nothing (split {name}): {clips}.")
            if rates["backgrounds"] is not None:
                say(
                    f"Held-out backgrounds called nothing: {rates['backgrounds']:.2f}. They were taken "
                    "apart, which is easier than real noise."
                )
            if (noise := rates.get("noise")) is not None:
                say(f"Held-out recordings of noise called nothing: {noise:.2f}.")
            return


def _say_strangers(found: Mapping[str, Any]) -> None:
    """A row for each species that was left out, and what follows."""
    from pseudorca.evaluation.strangers import strangers_in_words

    if found["can_tell"]:
        table(
            ["left out", "encounters", "named", "95 % interval", "limit chosen without it",
             "named with it", "recordings", "named", "named with limit", "most often as"],
            (_stranger_cells(row) for row in found["left_out"] if "units" in row),
        )  # fmt: skip
    for line in strangers_in_words(found):
        say(line)
    for row in found.get("left_out", ()):
        if "why_not" in row:
            say(f"{row['species']} was not left out: {row['why_not']}.")


def _stranger_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    encounter, recording = row["units"]["encounter"], row["units"]["recording"]
    before = encounter["before"]
    return (
        ", ".join(row["classes"]), row["n"]["encounter"], f"{before['share']:.2f}",
        f"{before['low']:.2f} to {before['high']:.2f}", f"{row['limit']:.2f}",
        f"{encounter['after']['share']:.2f}", row["n"]["recording"],
        f"{recording['before']['share']:.2f}", f"{recording['after']['share']:.2f}",
        next(iter(row["named_as"]), ""),
    )  # fmt: skip


def _say_headline(results: list[dict[str, Any]], *, stricter: str | None) -> None:
    """The honest numbers: encounters that were never heard, with interval; briefly the stricter."""
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
        if row["split"] != stricter:
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

"""The verb ``reproduce``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import (
    EPOCHS_HELP,
    RARE,
    RECIPE,
    AsJson,
    BatchSize,
    ClassFolders,
    Device,
    FoldCount,
    MetadataTable,
    NetworkWeights,
    OutputFolder,
    Repeats,
    ThreadCount,
    Verbose,
    flag,
    named_values,
)
from pseudorca.cli.output import done, say, say_notices, table
from pseudorca.errors import PseudorcaError
from pseudorca.progress import progress_bar


def reproduce(
    *,
    data: Annotated[Path, typer.Argument(help="Folder with class folders of recordings.")],
    out: OutputFolder,
    labels: ClassFolders = None,
    metadata: MetadataTable = None,
    against_rest: Annotated[
        str | None, typer.Option(help="One class against all others, as two classes.")
    ] = None,
    max_per_class: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many recordings a class, spread over encounters."),
    ] = None,
    unknown: Annotated[
        str, typer.Option(help="How many unknown recordings to predict, or all.")
    ] = "10",
    backbones: Annotated[
        str | None,
        typer.Option(
            help="Networks, the tuned one first. Without: resnet18, densenet121, googlenet, "
            "efficientnet_v2_s. Several by commas."
        ),
    ] = None,
    n_folds: FoldCount = 5,
    repeats: Repeats = 3,
    epochs: Annotated[int, typer.Option(min=1, help=EPOCHS_HELP, rich_help_panel=RECIPE)] = 24,
    device: Device = "auto",
    batch_size: BatchSize = None,
    threads: ThreadCount = None,
    weights: NetworkWeights = None,
    as_published: Annotated[
        str,
        typer.Option(
            help="Switches of the as-published column: all, none, names joined by commas, or names "
            "with a minus to leave them off. torn-encounters, wide-margins, training-mode, "
            "continued-weights, first-clip, positive-class, overwritten-pictures.",
            rich_help_panel=RARE,
        ),
    ] = "all",
    exact_training_mode: Annotated[
        bool,
        flag(
            "--exact-training-mode",
            "A pass through the network per clip and epoch, as in the study: slow. Without: "
            "batch-norm statistics are adapted once.",
            panel=RARE,
        ),
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Run the original study on your recordings: as it was published, and told straight."""
    if unknown != "all" and not unknown.isdecimal():
        raise PseudorcaError(f"--unknown {unknown!r}: expected a number, or all.")
    from pseudorca.study.published import NETWORKS
    from pseudorca.study.reproduce import reproduce as run
    from pseudorca.study.settings import StudyOptions, chosen_switches

    options = StudyOptions(
        backbones=tuple(_names(backbones)) if backbones is not None else NETWORKS,
        weights=named_values(weights or [], option="--weights", expected="NETWORK=FILE"),
        as_published=chosen_switches(as_published),
        exact_training_mode=exact_training_mode,
        labels=tuple(_names(labels)) if labels is not None else None,
        metadata=None if metadata is None else Path(metadata),
        against_rest=against_rest,
        max_per_class=max_per_class,
        n_unknown=None if unknown == "all" else int(unknown),
        n_epochs=epochs,
        n_folds=n_folds,
        n_repeats=repeats,
    )
    result = run(
        data, out, options, device=device, batch_size=batch_size, n_threads=threads,
        stages=progress_bar,
    )  # fmt: skip
    if done(result, as_json):
        return
    table(list(result.side_by_side.columns), result.side_by_side.to_numpy().tolist())
    for line in result.sentences:
        say(line)
    say_notices(result.notices, verbose=verbose)
    say(f"Open {result.report} in a browser; tables and figures are beside it.")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]

"""The verb ``predict``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pseudorca.cli.options import (
    AsJson,
    BatchSize,
    Cluster,
    Device,
    Formats,
    GateDb,
    MaxError,
    MaxGap,
    MaxNovelty,
    MinMoments,
    MinProbability,
    NamePattern,
    Precise,
    Precision,
    Prior,
    Project,
    Threads,
    TimeFormat,
    Workers,
    decision_from,
    kinds_from,
    open_store,
)
from pseudorca.cli.output import done, say, say_problems, table
from pseudorca.progress import progress_bar


def predict(
    project: Project,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, remote addresses. Without: the project's unlabelled recordings."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "classifier",
    set_name: Annotated[
        str | None,
        typer.Option(help="Name to keep the predictions under. Without: that of the folder."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.")] = None,
    output_format: Formats = None,
    max_gap: MaxGap = 0.0,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    prior: Prior = "uniform",
    max_error: MaxError = None,
    min_probability: MinProbability = 0.0,
    min_moments: MinMoments = 1,
    max_novelty: MaxNovelty = 1.0,
    gate: GateDb = None,
    device: Device = "auto",
    precision: Precise = Precision.auto,
    batch_size: BatchSize = None,
    threads: Threads = None,
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Say which population each clip, recording and encounter sounds like.

    Where no clip could be listened to, nothing is written, and the exit status is 1.
    """
    from pseudorca import project as workflow
    from pseudorca.recordings.manifest import ScanOptions

    options = ScanOptions(name_pattern=name_pattern, time_format=time_format)
    decision = decision_from(prior, max_error, min_probability, min_moments, max_novelty)
    computing = workflow.Computing(device, precision.value, batch_size, threads, workers, cluster)
    store = open_store(project)
    with progress_bar("Predicting") as update:
        result = workflow.predict_project(
            store, tuple(paths or ()), name=name, set_name=set_name, output=out,
            kinds=kinds_from(output_format), max_gap_s=max_gap, gate_db=gate, options=options,
            decision=decision, computing=computing, progress=update,
        )  # fmt: skip
    say_predictions(result, as_json)


def say_predictions(result: dict[str, Any], as_json: bool) -> None:
    """Print what was decided, and what the probabilities are worth; status 1 if there was nothing."""
    if not done(result, as_json):
        _say(result)
    if not result["n_clips"] + result["n_quiet"]:
        raise typer.Exit(1)


def _say(result: dict[str, Any]) -> None:
    n_quiet = result["n_quiet"]
    passed = f" ({n_quiet} more without signal, passed over)" if n_quiet else ""
    say(
        f"{result['n_files']} files, {result['n_clips']} clips{passed}, "
        f"{result['n_encounters']} encounters, "
        f"{result['n_detections']} detections."
    )
    counts = {unit: result[f"{unit}s_per_class"] for unit in ("recording", "encounter")}
    named = sorted(set().union(*counts.values()))
    table(
        ["decision", "recordings", "encounters"],
        ((name, *(counts[unit].get(name, 0) for unit in counts)) for name in named),
    )
    for unit, threshold in result["thresholds"].items():
        if chosen := threshold["chosen"]:
            say(
                f"{unit}s are named from probability {chosen['probability']:.2f} on: of "
                f"{chosen['n_encounters']} encounters of training, held out, that passes, "
                f"{100 * chosen['error']:.0f} % were wrong; at most "
                f"{100 * chosen['max_error']:.0f} % are, with 95 % confidence, where the classes are "
                "as frequent as among the training encounters."
            )
    if result["files"]:
        worth = "calibrated" if result["calibrated"] else "not calibrated"
        say(
            f"Probabilities are {worth} and presuppose a {result['prior']} prior. Tables are in "
            f"{result['output']}."
        )
    say_problems(result)

"""The verb ``predict``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    BatchSize,
    ClassifierName,
    ClusterAddress,
    Device,
    Formats,
    GateDb,
    MaxError,
    MaxGap,
    MaxNovelty,
    MinMoments,
    MinProbability,
    NamePattern,
    Output,
    PrecisionChoice,
    PrecisionName,
    PriorText,
    ProjectFolder,
    SetName,
    ThreadCount,
    TimeFormat,
    WorkerCount,
    formats_from,
)
from pseudorca.cli.output import done, say, say_notices, say_problems, table

if TYPE_CHECKING:
    from pseudorca.prediction.result import PredictionResult


def predict(
    project: ProjectFolder,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, remote addresses. Without: the project's unlabelled recordings."
        ),
    ] = None,
    name: ClassifierName = "classifier",
    set_name: SetName = None,
    prior: PriorText = "uniform",
    max_error: MaxError = None,
    gate: GateDb = None,
    out: Output = None,
    output_format: Formats = None,
    device: Device = "auto",
    precision: PrecisionChoice = PrecisionName.auto,
    batch_size: BatchSize = None,
    threads: ThreadCount = None,
    workers: WorkerCount = None,
    cluster: ClusterAddress = None,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    max_gap: MaxGap = 0.0,
    min_probability: MinProbability = 0.0,
    min_moments: MinMoments = 1,
    max_novelty: MaxNovelty = 1.0,
    as_json: AsJson = False,
) -> None:
    """Say which population each clip, recording and encounter sounds like.

    Where no clip could be listened to, nothing is written, and the exit status is 1.
    """
    from pseudorca.project import Project

    result = Project.open(project).predict(
        paths or None,
        name,
        set_name=set_name,
        prior=prior,
        max_error=max_error,
        min_probability=min_probability,
        min_moments=min_moments,
        max_novelty=max_novelty,
        gate_db=gate,
        out=out,
        formats=formats_from(output_format),
        max_gap_s=max_gap,
        name_pattern=name_pattern,
        time_format=time_format,
        device=device,
        precision=precision.value,
        batch_size=batch_size,
        n_threads=threads,
        n_workers=workers,
        cluster=cluster,
    )
    say_predictions(result, as_json)


def say_predictions(result: "PredictionResult", as_json: bool) -> None:
    """Print what was decided, and what the probabilities are worth; status 1 if there was nothing."""
    if not done(result, as_json):
        _say(result)
    if not result.n_clips + result.n_quiet:
        raise typer.Exit(1)


def _say(result: "PredictionResult") -> None:
    passed = f" ({result.n_quiet} more without signal, passed over)" if result.n_quiet else ""
    say(
        f"{result.n_files} files, {result.n_clips} clips{passed}, "
        f"{result.n_encounters} encounters, "
        f"{result.n_detections} detections."
    )
    recordings, encounters = result.recordings_per_class, result.encounters_per_class
    table(
        ["decision", "recordings", "encounters"],
        (
            (decision, recordings.get(decision, 0), encounters.get(decision, 0))
            for decision in sorted({*recordings, *encounters})
        ),
    )
    for unit, threshold in result.thresholds.items():
        if chosen := threshold["chosen"]:
            say(
                f"{unit}s are named from probability {chosen['probability']:.2f} on: of "
                f"{chosen['n_encounters']} encounters of training, held out, that passes, "
                f"{100 * chosen['error']:.0f} % were wrong; at most "
                f"{100 * chosen['max_error']:.0f} % are, with 95 % confidence, where the classes are "
                "as frequent as among the training encounters."
            )
    if result.files:
        worth = "calibrated" if result.calibrated else "not calibrated"
        say(
            f"Probabilities are {worth} and presuppose a {result.prior} prior. Tables are in "
            f"{result.output}."
        )
    say_problems(result.problems)
    say_notices(result.notices)

"""The verb ``predict``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    ClassifierName,
    ComputingGroup,
    DecisionGroup,
    GateDb,
    NamePattern,
    ProjectFolder,
    TimeFormat,
    TimeZone,
    Verbose,
    given,
    with_groups,
)
from pseudorca.cli.output import done, say, say_notices, say_problems, table
from pseudorca.values import plural

_FEW_FILES = 10
"""Of so many files each has a sentence of its own."""

if TYPE_CHECKING:
    from pseudorca.prediction.result import PredictionResult


@with_groups
def predict(
    *,
    project: ProjectFolder,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, remote addresses. Without: the project's unlabelled recordings."
        ),
    ] = None,
    name: ClassifierName = "classifier",
    decision: DecisionGroup,
    gate: GateDb = None,
    computing: ComputingGroup,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Say which population each clip, recording and encounter sounds like.

    Where no clip could be listened to, nothing is written, and the exit status is 1.
    """
    from pseudorca.project import Project

    result = Project.open(project).predict(
        paths or None, name, gate_db=gate, name_pattern=name_pattern, time_format=time_format,
        time_zone=time_zone, **given(decision), **given(computing),
    )  # fmt: skip
    say_predictions(result, as_json, verbose=verbose)


def say_predictions(result: "PredictionResult", as_json: bool, *, verbose: bool) -> None:
    """Print what was decided, and what the probabilities are worth; status 1 if there was nothing."""
    if not done(result, as_json):
        _say(result, verbose=verbose)
    if not result.n_clips + result.n_quiet:
        raise typer.Exit(1)


def _say(result: "PredictionResult", *, verbose: bool) -> None:
    passed = f" ({result.n_quiet:,} more without signal, passed over)" if result.n_quiet else ""
    say(
        f"{plural(result.n_files, 'file')}, {plural(result.n_clips, 'clip')}{passed}, "
        f"{plural(result.n_encounters, 'encounter')}, {plural(result.n_detections, 'detection')}."
    )
    recordings, encounters = result.recordings_per_class, result.encounters_per_class
    table(
        ["decision", "recordings", "encounters"],
        (
            (decision, recordings.get(decision, 0), encounters.get(decision, 0))
            for decision in sorted({*recordings, *encounters})
        ),
    )
    from pseudorca.prediction.decisions import usual_sentence, wanted_sentence

    for unit, threshold in result.thresholds.items():
        if "kind" not in threshold:
            say(wanted_sentence(unit, threshold))
        elif unit != "clip":
            say(usual_sentence(unit, threshold))
    if result.files:
        worth = "calibrated" if result.calibrated else "not calibrated"
        say(
            f"Probabilities are {worth} and presuppose the prior {result.prior}. Tables are in "
            f"{result.output}."
        )
    say_problems(result.problems, verbose=verbose)
    say_notices(result.notices, verbose=verbose)
    if result.n_clips and result.n_files <= _FEW_FILES:
        for sentence in result.sentences():
            say(sentence)
    for line in result.trust.lines():
        say(line)

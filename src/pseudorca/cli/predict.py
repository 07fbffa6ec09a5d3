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
    given,
    with_groups,
)
from pseudorca.cli.output import done, say, say_notices, say_problems, table

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
    from pseudorca.prediction.decisions import usual_sentence

    for unit, threshold in result.thresholds.items():
        chosen = threshold["chosen"]
        if "kind" in threshold:
            if unit != "clip":
                say(usual_sentence(unit, threshold))
        elif chosen:
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
    if result.n_clips and result.n_files <= _FEW_FILES:
        for sentence in result.sentences():
            say(sentence)
    for line in result.trust.lines():
        say(line)

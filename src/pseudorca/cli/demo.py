"""The verb ``demo``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pseudorca.cli.options import (
    AsJson,
    Output,
)
from pseudorca.cli.output import done, say, table, tell
from pseudorca.errors import ManifestError, PseudorcaError
from pseudorca.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from pseudorca.project import Project
    from pseudorca.recordings.scan import ScanResult

_T = TypeVar("_T")
_RIGHT = ("yes", "no", "left open")


def demo(
    *,
    data: Annotated[
        Path | None, typer.Argument(help="Your class folders. Without: a simulated survey.")
    ] = None,
    out: Output = None,
    as_json: AsJson = False,
) -> None:
    """Do the whole job once: scan, embed, train, evaluate, audit, predict, report. Needs no download.

    Without --out all of it is in the folder demo, and in demo_NAME for your folder NAME. What your
    recordings do not allow is left out, and said.
    """
    from pseudorca.project import new_project
    from pseudorca.simulation.simulate import simulate

    if out is None:  # a folder each: results of two collections do not belong into one report
        out = Path("demo" if data is None else f"demo_{data.resolve().name}")
    recordings = data or out / "survey" / "recordings"
    if data is None:
        tell("Simulating a survey")
        with progress_bar("Simulating a survey") as update:
            simulate(out / "survey", effect=2.0, progress=update)
    with new_project(out / "project") as project:
        tell("Reading recordings")
        scanned = project.scan(recordings)
        _check(scanned, recordings)
        result = _job(project, scanned, out / "report.html")
    if not done(result, as_json):
        _say(result, project.folder)


def _job(project: "Project", scanned: "ScanResult", page: Path) -> dict[str, Any]:
    """Everything after the scan, as far as the recordings allow it -> the result, as JSON values."""
    left_out: list[str] = []

    def attempt(step: str, do: Callable[[], _T]) -> _T | None:
        tell(step)
        try:
            return do()
        except PseudorcaError as error:
            left_out.append(f"{step}: {error}")
            return None

    tell("Listening through the network")
    embedded = project.embed()
    trained = attempt("Training", project.train)
    evaluated = [
        attempt(f"Evaluating, split {split}", partial(project.evaluate, splits=split))
        for split in ("encounter", "random")
    ]
    audited = attempt("Auditing, in its quick form", lambda: project.audit(quick=True))
    predicted = None
    if trained and len(scanned.recordings) > len(scanned.labelled):
        predicted = attempt("Predicting the unknown", project.predict)
    tell("Writing the report")
    report = project.report(page)
    nothing: dict[str, Any] = {"encounters_per_class": {}, "n_encounters": 0}
    honest, optimistic = (one and next(iter(one.values())).headline for one in evaluated)
    return {
        "n_recordings": len(scanned.recordings),
        "n_labelled": len(scanned.labelled),
        "n_problems": len(scanned.problems),
        "backbone": embedded.backbone,
        "by_encounter": honest,
        "random": optimistic,
        "verdict": audited.as_json()["verdict"] if audited else None,
        "predictions": nothing if predicted is None else predicted.as_json(),
        "beside_truth": [] if predicted is None else _beside_truth(scanned, predicted.encounters),
        "left_out": left_out,
        "output": str(report.output),
    }


def _beside_truth(scanned: "ScanResult", encounters: "pd.DataFrame") -> list[dict[str, Any]]:
    """Answers beside the hidden truth, where the survey was simulated."""
    from pseudorca.prediction.known_truth import beside_truth
    from pseudorca.simulation.truth import true_populations

    truth = true_populations(str(scanned.recordings["root"].iloc[0]))
    rows = [] if truth is None else beside_truth(encounters, truth).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _say(result: dict[str, Any], project: Path) -> None:
    """The answers beside the truth, how good, animals or recorders, and what to type next."""
    if rows := result["beside_truth"]:
        columns = ["encounter", "answer", "probability", "truth", "right"]
        table(
            ["unknown encounter", *columns[1:]],
            ([_cell(row[column]) for column in columns] for row in rows),
        )
        right, wrong, left_open = (sum(row["right"] == word for row in rows) for word in _RIGHT)
        say(
            f"Of {len(rows)} unknown encounters {right} right, {wrong} wrong, {left_open} left open."
        )
    else:
        counts = result["predictions"]["encounters_per_class"]
        named = ", ".join(f"{n} {label}" for label, n in counts.items())
        say(f"Unknown encounters ({sum(counts.values())}): {named or 'none'}.")
    n_bad = result["n_problems"]
    bad = f" ({n_bad} files cannot be used; the report says why)" if n_bad else ""
    say(f"{result['n_labelled']} labelled recordings{bad}, heard by {result['backbone']}.")
    if honest := result["by_encounter"]:
        say(
            f"How good: on encounters never heard, balanced accuracy "
            f"{honest['balanced_accuracy']:.2f} (95 % interval {honest['ci_low']:.2f} to "
            f"{honest['ci_high']:.2f}, guessing {honest['majority_baseline']:.2f})."
        )
    else:
        say("How good: not known, since no encounter could be held out.")
    if optimistic := result["random"]:
        say(f"Not to be quoted: a random split would say {optimistic['balanced_accuracy']:.2f}.")
    verdict = result["verdict"]
    say(f"Animals or recorders? {f'The quick audit says: {verdict}' if verdict else 'Not known'}.")
    for reason in result["left_out"]:
        say(f"Left out. {reason}")
    if rows:
        from pseudorca.report.found import HOME_GROUND

        say(HOME_GROUND)
    say(
        f"The project is {project}. Open {result['output']} in a browser. Then, on your recordings:"
    )
    say("  pseudorca demo FOLDER" if rows else f"  pseudorca predict --project {project} FILES")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _check(scanned: "ScanResult", folder: Path) -> None:
    """Raise ManifestError unless there are two populations to tell apart."""
    from pseudorca.recordings.notices import CLASS_FOLDERS

    if len(scanned.classes) < 2:
        raise ManifestError(
            f"{folder} holds {len(scanned.recordings)} usable recordings ({len(scanned.problems)} "
            f"cannot be used) of {len(scanned.classes)} populations, and telling apart takes at least "
            f"2: {CLASS_FOLDERS}"
        )

"""The verb ``demo``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pseudorca.cli.options import (
    AsJson,
    Output,
)
from pseudorca.cli.output import done, say
from pseudorca.errors import ManifestError
from pseudorca.progress import progress_bar

if TYPE_CHECKING:
    from pseudorca.recordings.scan import ScanResult


def demo(
    *,
    data: Annotated[
        Path | None, typer.Argument(help="Your class folders. Without: a simulated survey.")
    ] = None,
    out: Output = None,
    as_json: AsJson = False,
) -> None:
    """Do the whole job once: scan, embed, train, evaluate, predict, report. Needs no download.

    Without --out all of it is in the folder demo, and in demo_NAME for your folder NAME.
    """
    from pseudorca.project import new_project
    from pseudorca.simulation.simulate import simulate

    if out is None:  # a folder each: results of two collections do not belong into one report
        out = Path("demo" if data is None else f"demo_{data.resolve().name}")
    recordings = data or out / "survey" / "recordings"
    if data is None:
        with progress_bar("Simulating a survey") as update:
            simulate(out / "survey", effect=2.0, progress=update)
    with new_project(out / "project") as project:
        scanned = project.scan(recordings)
        _check(scanned, recordings)
        embedded = project.embed()
        project.train()
        evaluated = project.evaluate(splits=["encounter", "random"])
        unlabelled = len(scanned.recordings) - len(scanned.labelled)
        predicted = project.predict() if unlabelled else None
        report = project.report(out / "report.html")
    honest, optimistic = (evaluated[name].headline for name in ("encounter", "random"))
    nothing: dict[str, Any] = {"encounters_per_class": {}, "n_encounters": 0}
    result = {
        "n_recordings": len(scanned.recordings),
        "n_problems": len(scanned.problems),
        "backbone": embedded.backbone,
        "by_encounter": honest,
        "random": optimistic,
        "predictions": nothing if predicted is None else predicted.as_json(),
        "output": str(report.output),
    }
    if done(result, as_json):
        return
    n_bad = len(scanned.problems)
    bad = f" ({n_bad} files cannot be used; the report says why)" if n_bad else ""
    say(
        f"{len(scanned.labelled)} labelled recordings{bad} by {embedded.backbone}: on encounters "
        f"never heard, balanced accuracy {honest['balanced_accuracy']:.2f} (95 % interval "
        f"{honest['ci_low']:.2f} to {honest['ci_high']:.2f}, guessing "
        f"{honest['majority_baseline']:.2f}); a random split would say "
        f"{optimistic['balanced_accuracy']:.2f}."
    )
    counts = {} if predicted is None else predicted.encounters_per_class
    named = ", ".join(f"{n} {label}" for label, n in counts.items())
    say(f"Unknown encounters ({sum(counts.values())}): {named or 'none'}.")
    say(f"Open {report.output} in a browser.")


def _check(scanned: "ScanResult", folder: Path) -> None:
    """Raise ManifestError unless there are two populations to tell apart."""
    from pseudorca.recordings.notices import CLASS_FOLDERS

    if len(scanned.classes) < 2:
        raise ManifestError(
            f"{folder} holds {len(scanned.recordings)} usable recordings ({len(scanned.problems)} "
            f"cannot be used) of {len(scanned.classes)} populations, and telling apart takes at least "
            f"2: {CLASS_FOLDERS}"
        )

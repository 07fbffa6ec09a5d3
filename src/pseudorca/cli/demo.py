"""The verb ``demo``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pseudorca.cli.options import AsJson, new_project, open_store
from pseudorca.cli.output import done, say
from pseudorca.progress import progress_bar


def demo(
    data: Annotated[
        Path | None, typer.Argument(help="Your class folders. Without: a simulated survey.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for everything it makes: demo, and demo_NAME for your folder NAME."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Do the whole job once: scan, embed, train, evaluate, predict, report. Needs no download."""
    from pseudorca import project as workflow
    from pseudorca.errors import ManifestError
    from pseudorca.learning.recipe import Recipe
    from pseudorca.recordings.folds import Split
    from pseudorca.recordings.manifest import ScanOptions
    from pseudorca.report.report import write_report

    if out is None:  # a folder each: results of two collections do not belong into one report
        out = Path("demo" if data is None else f"demo_{data.resolve().name}")
    folder = data or out / "survey" / "recordings"
    if data is None:
        with progress_bar("Simulating a survey") as update:
            workflow.simulate(out / "survey", effect=2.0, progress=update)
    with new_project(out / "project"):
        store = open_store(out / "project", create=True)
        with progress_bar("Reading recordings") as update:
            scanned = workflow.scan_project(store, folder, ScanOptions(), progress=update)
        n_problems = scanned["n_problems"]
        if len(scanned["classes"]) < 2:
            raise ManifestError(
                f"{folder} holds {scanned['n_recordings']} usable recordings ({n_problems} cannot be "
                f"used) of {len(scanned['classes'])} populations, and telling apart takes at least 2. "
                "Put the recordings of each population in a folder of its own, with a folder per "
                "encounter inside, and give the folder that holds these."
            )
    with progress_bar("Embedding clips") as update:
        embedded = workflow.embed_project(store, workflow.EmbedderOptions(), progress=update)
    with progress_bar("Training and calibrating") as update:
        workflow.train_project(store, Recipe(), progress=update)
    with progress_bar("Training heads") as update:
        splits = [Split("encounter", n_repeats=3), Split("random", n_repeats=3)]
        evaluated = workflow.evaluate_project(store, Recipe(), splits, progress=update)
    said: dict[str, Any] = {"encounters_per_class": {}, "n_encounters": 0}
    if scanned["n_unlabelled"]:
        with progress_bar("Predicting") as update:
            said = workflow.predict_project(store, progress=update)
    with progress_bar("Drawing the report") as update:
        report = write_report(store, out / "report.html", progress=update)
    found = {name: split.unit("encounter") for name, split in evaluated.items()}
    result = {
        "n_recordings": scanned["n_recordings"],
        "n_problems": n_problems,
        "backbone": embedded["backbone"],
        "by_encounter": found["encounter"],
        "random": found["random"],
        "predictions": said,
        "output": report["output"],
    }
    if done(result, as_json):
        return
    honest, optimistic = found["encounter"], found["random"]
    bad = f" ({n_problems} files cannot be used; the report says why)" if n_problems else ""
    say(
        f"{scanned['n_labelled']} labelled recordings{bad} by {embedded['backbone']}: on encounters "
        f"never heard, balanced accuracy {honest['balanced_accuracy']:.2f} (95 % interval "
        f"{honest['ci_low']:.2f} to {honest['ci_high']:.2f}, guessing "
        f"{honest['majority_baseline']:.2f}); a random split would say "
        f"{optimistic['balanced_accuracy']:.2f}."
    )
    counts = ", ".join(f"{n} {label}" for label, n in said["encounters_per_class"].items())
    say(f"Unknown encounters ({said['n_encounters']}): {counts or 'none'}.")
    say(f"Open {report['output']} in a browser.")

"""Where the numbers come from: versions, settings, weights, tables, runs."""

import json
from collections.abc import Mapping
from typing import Any

from pseudorca.learning.recipe import Recipe
from pseudorca.pages.blocks import Block, Cell, Fold, Heading, Section, Settings, Table, Text
from pseudorca.recordings.folds import describe_split
from pseudorca.report.contents import Contents, Evaluation
from pseudorca.store import package_versions
from pseudorca.values import plain

_TABLES = ("recordings", "problems", "clips", "scores", "decisions", "evaluations", "runs")
_MOST_RUNS = 200


def provenance_section(project: Contents) -> Section:
    """List everything somebody would need to make the same numbers again.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section
    """
    section = Section("provenance", "Provenance")
    versions = package_versions()
    section.blocks += [
        Text(f"Project folder: {project.store.folder.resolve()}"),
        *_trouble(project),
        Heading("Packages"),
        Settings(list(versions.items())),
        Text(_other_versions(project, versions)),
    ]
    if (clips := project.store.setting("clips")) is not None:
        section.blocks += [Heading("Clips"), _settings(clips)]
    if project.embedder is not None:
        section.blocks += [Heading("Embedder"), *_embedder(project.embedder)]
    for name, record in project.classifiers.items():
        section.blocks += [Heading(f"Classifier {name}"), _classifier(record)]
    if project.evaluations:
        rows = [_evaluation(evaluation) for evaluation in project.evaluations]
        columns = ("evaluated (UTC)", "split", "seed", "head", "recipe", "split id")
        section.blocks += [Heading("Evaluations"), Table(columns, rows)]
    section.blocks += [
        Heading("Tables"),
        Settings([(table, f"version {project.store.version(table)}") for table in _TABLES]),
        Text("Every write makes a new version; 0 is a table that was never written."),
        *_runs(project),
    ]
    return section


def _trouble(project: Contents) -> list[Block]:
    if not project.trouble:
        return []
    rows = [(row["path"], row["reason"], row["detail"]) for row in project.trouble]
    return [
        Heading("Problems of this report"),
        Table(
            ("file", "reason", "detail"), rows, caption="What could not be read for this report."
        ),
    ]


def _settings(settings: Mapping[str, Any]) -> Settings:
    return Settings([(name, plain(value)) for name, value in settings.items()])


def _embedder(about: Mapping[str, Any]) -> list[Block]:
    if members := about.get("members"):
        return [block for member in members for block in _embedder(member)]
    backbone = dict(about.get("backbone", {}))
    rows = [("embedder id", plain(about.get("embedder_id")))]
    rows += [(f"front end: {name}", plain(v)) for name, v in about.get("front_end", {}).items()]
    rows += [("resize", plain(about.get("resize")))]
    rows += [(f"backbone: {name}", plain(value)) for name, value in backbone.items()]
    return [Settings(rows)]


def _classifier(about: Mapping[str, Any]) -> Settings:
    training = about.get("training", {})
    details = about.get("head", {})
    rows = [
        ("classifier id", plain(about.get("classifier_id"))),
        ("embedder id", plain(about.get("embedder", {}).get("embedder_id"))),
        ("made from embedder", plain(training.get("embedder_id"))),
        ("altered copies", plain(training.get("views"))),
        ("trained (UTC)", plain(training.get("time_utc"))),
        ("head", Recipe.from_settings(training).describe() if "head" in training else "not known"),
        ("seed", plain(training.get("head", {}).get("seed"))),
        ("calibrated", _calibration(about.get("calibration", {}))),
    ]
    rows += [(name, plain(details[name])) for name in ("c", "best_epoch") if name in details]
    for name, title in (("n_clips", "clips"), ("n_encounters", "encounters")):
        counts = training.get(name, {})
        rows.append((f"training {title}", ", ".join(f"{k} {counts[k]}" for k in sorted(counts))))
    rows.append(("versions", plain(training.get("versions"))))
    rows.append(("versions of the tables", plain(training.get("tables"))))
    return Settings(rows)


def _calibration(calibrators: Mapping[str, Any]) -> str:
    if not calibrators:
        return "no"
    return ", ".join(
        f"{unit}: temperature {calibrator['temperature']:.2f}, dependence {calibrator['dependence']:g}"
        + (", isotonic" if calibrator["isotonic"] else "")
        for unit, calibrator in calibrators.items()
    )


def _evaluation(evaluation: Evaluation) -> tuple[Cell, ...]:
    split, recipe = evaluation.about["split"], evaluation.about["recipe"]
    return (
        _minute(evaluation.time_utc),
        describe_split(split),
        str(split["seed"]),
        Recipe.from_settings(recipe).describe(),
        evaluation.recipe_id,
        evaluation.split_id,
    )


def _runs(project: Contents) -> list[Block]:
    runs = project.runs.iloc[::-1]
    rows = []
    for run in runs.head(_MOST_RUNS).itertuples():
        try:
            tables = json.loads(str(run.provenance)).get("tables", {})
        except ValueError:
            tables = {}
        left = ", ".join(f"{table} {version}" for table, version in tables.items())
        rows.append((_minute(str(run.time_utc)), str(run.verb), left, _readable(str(run.settings))))
    table = Table(
        ("time (UTC)", "verb", "tables and versions", "settings"),
        rows,
        n_more=len(runs) - len(rows),
        more="the table runs",
    )
    return [Heading("Runs"), Fold(f"{len(runs)} runs, the latest first", [table])]


def _other_versions(project: Contents, now: Mapping[str, str]) -> str:
    """Name the packages with which an evaluation was made by another version."""
    other = {
        f"{package} {version}"
        for evaluation in project.evaluations
        for package, version in evaluation.about.get("versions", {}).items()
        if now.get(package) != version
    }
    if not other:
        same = "The evaluations were made with the same versions."
        return same if project.evaluations else "The versions that this report was written with."
    return f"Some evaluations were made with other versions: {', '.join(sorted(other))}."


def _readable(settings: str) -> str:
    try:
        return plain(json.loads(settings))
    except ValueError:
        return settings


def _minute(time_utc: str) -> str:
    return time_utc[:16].replace("T", " ")

"""Where the numbers come from: versions, settings, weights, tables, runs."""

import json
from collections.abc import Mapping
from typing import Any

from pseudorca.evaluation.kept import Evaluation
from pseudorca.pages.blocks import Block, Cell, Fold, Heading, Section, Settings, Table, Text
from pseudorca.report.contents import Contents, minute, recipe_in_words
from pseudorca.store import package_versions
from pseudorca.values import plain, plural

_TABLES = ("recordings", "problems", "clips", "scores", "decisions", "evaluations", "runs")
_MOST_RUNS = 200


def provenance_section(project: Contents) -> Section:
    """List everything that is needed to compute the same numbers again.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = provenance_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[1].text
    'Packages'
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
        section.blocks += [Heading(f"Classifier {name}"), _classifier(project, record)]
    if project.evaluations:
        rows = [_evaluation(evaluation) for evaluation in project.evaluations]
        columns = ("evaluated (UTC)", "split", "seed", "head", "recipe", "split id")
        section.blocks += [Heading("Evaluations"), Table(columns, rows)]
    section.blocks += [
        Heading("Tables"),
        Settings([(table, f"version {project.store.version(table)}") for table in _TABLES]),
        Text("Every write makes a new version; 0 is a table that was never written."),
        *_told(project),
        *_runs(project),
    ]
    return section


def _trouble(project: Contents) -> list[Block]:
    if not project.trouble:
        return []
    rows = [(row["path"], row["reason"], row["detail"]) for row in project.trouble]
    caption = "What could not be read for this report."
    table = Table(("file", "reason", "detail"), rows, caption=caption)
    return [Heading("Problems of this report"), table]


def _settings(settings: Mapping[str, Any]) -> Settings:
    return Settings([(name, plain(value)) for name, value in settings.items()])


def _embedder(about: Mapping[str, Any]) -> list[Block]:
    if members := about.get("members"):
        return [block for member in members for block in _embedder(member)]
    values = {
        "embedder id": about.get("embedder_id"),
        **{f"front end: {name}": value for name, value in about.get("front_end", {}).items()},
        "resize": about.get("resize"),
        **{f"backbone: {name}": value for name, value in about.get("backbone", {}).items()},
    }
    return [_settings(values)]


def _classifier(project: Contents, about: Mapping[str, Any]) -> Settings:
    training, details = about.get("training", {}), about.get("head", {})
    values = {
        "classifier id": about.get("classifier_id"),
        "embedder id": about.get("embedder", {}).get("embedder_id"),
        "made from embedder": training.get("embedder_id"),
        "altered copies": training.get("views"),
        "trained (UTC)": training.get("time_utc"),
        "head": recipe_in_words(project, training) if "head" in training else "not known",
        "seed": training.get("head", {}).get("seed"),
        "calibrated": _calibration(about.get("calibration", {})),
        **{name: details[name] for name in ("c", "best_epoch") if name in details},
    }
    for name in ("clips", "encounters"):
        counts = training.get(f"n_{name}", {})
        values[f"training {name}"] = ", ".join(f"{k} {counts[k]}" for k in sorted(counts))
    values["versions"] = training.get("versions")
    values["versions of the tables"] = training.get("tables")
    return _settings(values)


def _calibration(calibrators: Mapping[str, Any]) -> str:
    texts = [
        f"{unit}: temperature {calibrator['temperature']:.2f}, dependence {calibrator['dependence']:g}"
        + (", isotonic" if calibrator["isotonic"] else "")
        for unit, calibrator in calibrators.items()
    ]
    return ", ".join(texts) or "no"


def _evaluation(evaluation: Evaluation) -> tuple[Cell, ...]:
    seed = str(evaluation.about["split"]["seed"])
    return (
        minute(evaluation.time_utc),
        evaluation.method,
        seed,
        evaluation.head,
        evaluation.recipe_id,
        evaluation.split_id,
    )


def _runs(project: Contents) -> list[Block]:
    runs = project.runs.iloc[::-1]
    rows = []
    for run in runs.head(_MOST_RUNS).itertuples():
        tables = (_parsed(run.provenance) or {}).get("tables", {})
        versions = ", ".join(f"{table} {version}" for table, version in tables.items())
        settings = _parsed(run.settings)
        text = str(run.settings) if settings is None else plain(settings)
        rows.append((minute(str(run.time_utc)), str(run.verb), versions, text))
    table = Table(
        ("time (UTC)", "verb", "tables and versions", "settings"),
        rows,
        n_more=len(runs) - len(rows),
        more="the table runs",
    )
    return [Heading("Runs"), Fold(f"{len(runs)} runs, the latest first", [table])]


def _told(project: Contents) -> list[Block]:
    """What each verb said besides its answer, when it ran last."""
    latest = project.runs.drop_duplicates("verb", keep="last")
    rows = [
        (minute(str(run.time_utc)), str(run.verb), notice)
        for run in latest.iloc[::-1].itertuples()
        for notice in (_parsed(run.provenance) or {}).get("notices", [])
    ]
    if not rows:
        return []
    title = f"{plural(len(rows), 'notice')} of the last run of each verb"
    return [Heading("Notices"), Fold(title, [Table(("time (UTC)", "verb", "notice"), rows)])]


def _parsed(text: object) -> Any:
    """The value of a JSON text; None if the text is no JSON."""
    try:
        return json.loads(str(text))
    except ValueError:
        return None


def _other_versions(project: Contents, now: Mapping[str, str]) -> str:
    """Name the packages that had another version when an evaluation was made."""
    other = {
        f"{package} {version}"
        for evaluation in project.evaluations
        for package, version in evaluation.about.get("versions", {}).items()
        if now.get(package) != version
    }
    if other:
        names = ", ".join(sorted(other))
        return f"Some evaluations were made with other versions: {names}."
    if project.evaluations:
        return "The evaluations were made with the same versions."
    return "The versions that this report was written with."

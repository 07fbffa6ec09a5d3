"""The predictions of a classifier on recordings without a label.

In: the table ``decisions`` and the files that ``predict`` wrote. Out: counts, probabilities and
tables, beside what they presuppose.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.ticker import FixedLocator

from pseudorca.pages.blocks import (
    Block,
    Cell,
    Chart,
    Commands,
    Notices,
    Number,
    Section,
    Table,
    Text,
    chart,
    figure,
    folded,
)
from pseudorca.pages.plots import (
    GREY,
    SOFT,
    class_colours,
    class_dots,
    few_colours,
    legend,
    stacked_bars,
)
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.sets import last_settings
from pseudorca.report.contents import Contents, headline, typed
from pseudorca.report.over_time import timeline
from pseudorca.values import plural

MOST_ROWS = 100
_MOST_CLASSES = 40
_MOST_BARS = 40


def prediction_section(project: Contents) -> Section:
    """Show what the latest classifier that was asked said of recordings and encounters.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section
    """
    section = Section("predictions", "Predictions on unknown recordings")
    # The table of decisions holds a row per clip too; those are never needed here.
    decisions = project.store.read("decisions", where="split_id = '' AND unit <> 'clip'")
    if decisions.empty:
        section.blocks += _nothing_predicted(project)
        return section
    classifier_id = _latest_classifier(project, decisions)
    set_name = str(_latest_settings(project, classifier_id).get("set_name", ""))
    more = _other_sets(project, decisions, set_name)
    decisions = decisions[decisions["set_name"] == set_name]
    others = decisions["classifier_id"].nunique() - 1
    decisions = decisions[decisions["classifier_id"] == classifier_id]
    name, record = _classifier(project, classifier_id)
    files = {unit: _written(project, unit, classifier_id) for unit in ("encounter", "recording")}
    classes = [str(label) for label in record.get("classes", [])]
    n_classes = len(classes)
    classes += sorted(set(map(str, decisions["decision"])) - set(classes))
    prior = ", ".join(sorted(set(map(str, decisions["prior"]))))
    calibrated = bool(record.get("calibration"))
    sentences = _what_it_means(prior, calibrated, n_classes) + _what_was_wished(
        project, classifier_id
    )
    if n_known := _n_known(files["recording"]):
        sentences.append(
            f"{n_known} of these recordings trained the classifier: what it says of them proves "
            "nothing."
        )
    if others:
        sentences.append(
            f"Answers of {plural(others, 'other classifier')} are in the table decisions."
        )
    sentences += more
    by_unit = {unit: decisions[decisions["unit"] == unit] for unit in ("encounter", "recording")}
    counted = " of ".join(plural(len(by_unit[unit]), unit) for unit in ("recording", "encounter"))
    section.blocks += [
        Text(f"{name} ({classifier_id}) was asked about {counted}.{_counted_once(files)}"),
        Notices(sentences),
        folded(_count_table(by_unit, classes)),
    ]
    if len(by_unit["recording"]):
        section.blocks.append(_dots(by_unit["recording"], classes, n_classes))
    if (encounters := files["encounter"]) is not None and len(encounters) <= _MOST_BARS:
        section.blocks.append(_bars(encounters, classes))
    if any(table is not None for table in files.values()):  # written with those by ``predict``
        section.blocks += timeline(project, _folder(project), classes)
    for unit in ("encounter", "recording"):
        section.blocks.append(_answers(unit, by_unit[unit], files[unit], classes, project))
    return section


def _other_sets(project: Contents, decisions: pd.DataFrame, set_name: str) -> list[str]:
    """Say which other sets of recordings were predicted, and how to see them."""
    names = sorted(set(map(str, decisions["set_name"])) - {set_name})
    if not names:
        return []
    return [
        f"Shown is the set {set_name}. Predictions on {plural(len(names), 'other set')} are kept: "
        f"{', '.join(names)}. To see one, run: pseudorca decide --project {project.argument} "
        f'--as "{names[0]}", then this report again.'
    ]


def _n_known(written: pd.DataFrame | None) -> int:
    if written is None or "in_training" not in written:
        return 0
    return int(written["in_training"].astype(bool).sum())


def _what_it_means(prior: str, calibrated: bool, n_classes: int) -> list[str]:
    meaning = {
        "uniform": "every class is taken to be equally frequent among the unknown",
        "train": "the classes are taken to be as frequent as among the training encounters",
    }.get(prior, "the frequencies that were given")
    worth = (
        "The probabilities are calibrated on encounters held out of training, as far as the unknown "
        "recordings are like these."
        if calibrated
        else "The probabilities are not calibrated: 0.9 does not mean right nine times in ten."
    )
    return [
        f"{worth} They presuppose the prior {prior} ({meaning}).",
        f"The classifier knows {n_classes} classes. What is too unlike anything heard in training is "
        "undecided; a sound of another species that resembles one of the classes is still called by "
        "its name.",
    ]


def _counted_once(files: Mapping[str, pd.DataFrame | None]) -> str:
    """Why there are fewer recordings than files, where there are."""
    written = files["recording"]
    if written is None or "path" not in written:
        return ""
    several = int(written["path"].astype(str).str.contains("; ", regex=False).sum())
    if not several:
        return ""
    return (
        " Files of one moment (channels of one sound) are one recording; of several files: "
        f"{several}."
    )


def _what_was_wished(project: Contents, classifier_id: str) -> list[str]:
    """What was listened to, and what it took to be named, when these recordings were asked about."""
    settings = _latest_settings(project, classifier_id)
    thresholds = settings.get("thresholds") or {}
    sentences = []
    if (gate_db := settings.get("gate_db")) is not None:
        sentences.append(
            f"Windows in which nothing stands out from their background by {gate_db:g} dB were passed "
            f"over (--gate {gate_db:g}): nothing is said of what is in them."
        )
    for unit in ("encounter", "recording"):
        if unit not in thresholds:
            continue
        wanted, threshold = thresholds[unit]["wanted"], thresholds[unit]["chosen"]
        if threshold:
            sentences.append(
                f"At most {100 * wanted:.0f} % wrong names were wished for: {unit}s are named from a "
                f"probability of {threshold['probability']:.2f} on."
            )
        else:
            least = thresholds[unit]["smallest_that_can_be_claimed"]
            sentences.append(
                f"At most {100 * wanted:.0f} % wrong names were wished for: of {unit}s nobody can "
                f"claim less than {100 * least:.0f} %, so all of them stay undecided, however probable."
            )
    return sentences


def _nothing_predicted(project: Contents) -> list[Block]:
    folder, n = project.argument, int(project.recordings["label"].isna().sum())
    steps = [f"pseudorca predict --project {folder}" + ("" if n else " FILES_OR_FOLDERS")]
    if not project.classifiers:
        honest = headline(project)
        how = typed(project, honest.about["recipe"]) if honest else ""
        steps.insert(0, f"pseudorca train --project {folder}{how}")
    text = f"Nothing was predicted. The project holds {plural(n, 'unlabelled recording')}."
    return [Text(text), Commands("To predict, run:", steps)]


def _latest_classifier(project: Contents, decisions: pd.DataFrame) -> str:
    there = set(map(str, decisions["classifier_id"]))
    for settings in _predict_runs(project):
        if (name := str(settings.get("classifier_id"))) in there:
            return name
    return sorted(there)[0]


def _latest_settings(project: Contents, classifier_id: str) -> dict[str, Any]:
    """The settings of the last run that asked this classifier."""
    runs = (run for run in _predict_runs(project) if run.get("classifier_id") == classifier_id)
    return next(runs, {})


def _predict_runs(project: Contents) -> Iterator[dict[str, Any]]:
    """Settings of the runs of ``predict``, the last one first."""
    for run in reversed(list(project.runs.itertuples())):
        if run.verb == "predict":
            yield dict(json.loads(str(run.settings)))


def _classifier(project: Contents, classifier_id: str) -> tuple[str, dict[str, Any]]:
    for name, record in project.classifiers.items():
        if record.get("classifier_id") == classifier_id:
            return f"Classifier “{name}”", record
    return "A classifier that is no longer saved", {}


def _count_table(by_unit: dict[str, pd.DataFrame], classes: list[str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for label in classes:
        cells: list[Cell] = [label]
        for table in by_unit.values():
            of_class = table[table["decision"] == label]
            mean = float(of_class["probability"].mean()) if len(of_class) else None
            cells += [len(of_class), Number(mean)]
        rows.append(tuple(cells))
    return Table(
        ("decision", "encounters", "mean probability", "recordings", "mean probability"),
        rows,
        caption="How often each answer was given, and the mean probability behind it.",
    )


def _dots(recordings: pd.DataFrame, classes: list[str], n_classes: int) -> Chart:
    named = [label for label in classes if (recordings["decision"] == label).any()][:_MOST_CLASSES]
    values = {
        label: recordings.loc[recordings["decision"] == label, "probability"].tolist()
        for label in named
    }
    chart_figure = figure(0.75 + 0.36 * len(named))
    ax = chart_figure.subplots()
    colours = class_colours(classes) | {UNDECIDED: GREY}
    class_dots(ax, values, colours=colours, x="probability of the most probable class")
    ax.set_xlim(0, 1.005)
    caption = (
        "Recordings by what was said of them, and the probability of their most probable class: a dot "
        "each, a bar at the mean, the number in brackets."
    )
    if n_classes:
        ax.axvline(1 / n_classes, color=SOFT, linestyle="--", linewidth=1.1)
        caption += f" Dashes: {1 / n_classes:.2f}, all {n_classes} classes equally probable."
    return chart(chart_figure, description=caption, caption=caption)


def _bars(encounters: pd.DataFrame, classes: list[str]) -> Chart:
    """Probabilities of all classes per encounter, as bars of length 1."""
    columns = [label for label in classes if f"p_{label}" in encounters]
    table = encounters[[f"p_{label}" for label in columns]].astype(float)
    table = table.set_axis(columns, axis=1).set_axis(encounters["encounter"].astype(str), axis=0)
    table, colours = few_colours(table)
    chart_figure = figure(1.05 + 0.24 * len(table))
    ax = chart_figure.subplots()
    stacked_bars(ax, table, colours=colours, x="probability", totals=False)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    legend(ax, colours, loc="lower left", bbox_to_anchor=(0, 1), ncols=6)
    caption = "Probability of every class for each encounter, decided or not."
    return chart(chart_figure, description=caption, caption=caption)


def _answers(
    unit: str,
    decisions: pd.DataFrame,
    written: pd.DataFrame | None,
    classes: list[str],
    project: Contents,
) -> Table:
    """A row per unit; from the file that ``predict`` wrote where there is one, for its paths."""
    if written is not None:
        rows = [
            _written_row(unit, row, classes) for row in written.head(MOST_ROWS).to_dict("records")
        ]
        n_all, where = len(written), str(_folder(project))
    else:
        paths = _paths(project)
        rows = [
            _stored_row(unit, row, paths) for row in decisions.head(MOST_ROWS).to_dict("records")
        ]
        n_all, where = len(decisions), "the table decisions"
    columns = ["encounter", "moments", "decision", "most probable", "probability", "next", "why"]
    if unit == "recording":
        columns.insert(0, "recording")
    caption = f"What was said of each {unit}, and why nothing where it is undecided."
    if written is not None:
        caption += f" Those of every class are in {where}."
    return Table(columns, rows, caption=caption, n_more=n_all - len(rows), more=where)


def _written_row(unit: str, row: dict[Any, Any], classes: list[str]) -> tuple[Cell, ...]:
    others = {
        label: float(row[f"p_{label}"])
        for label in classes
        if f"p_{label}" in row and label != row["most_probable"]
    }
    second = max(others, key=lambda label: others[label], default="")
    known = " (was in training)" if unit == "recording" and row.get("in_training") is True else ""
    cells: list[Cell] = [str(row["path"]) + known] if unit == "recording" else []
    cells += [str(row["encounter"]), int(row["n_moments"])]
    cells += [str(row["decision"]), str(row["most_probable"])]
    following = f"{second} {others[second]:.2f}" if second else ""
    return (*cells, Number(float(row["probability"])), following, str(row["reason"]))


def _stored_row(
    unit: str, row: dict[Any, Any], paths: dict[str, tuple[str, str]]
) -> tuple[Cell, ...]:
    name = str(row["unit_id"])
    cells: list[Cell] = list(paths.get(name, (name, ""))) if unit == "recording" else [name]
    cells += [int(row["n_moments"]), str(row["decision"]), ""]
    return (*cells, Number(float(row["probability"])), "", str(row["reason"]))


def _paths(project: Contents) -> dict[str, tuple[str, str]]:
    """Path and encounter by what decisions on recordings are keyed by, their moment."""
    recordings = project.recordings
    columns = (recordings[name] for name in ("moment_id", "path", "encounter"))
    return {str(m): (str(p), str(e)) for m, p, e in zip(*columns, strict=True)}


def _folder(project: Contents) -> Path:
    """Where ``predict`` wrote its tables last."""
    *_, last = last_settings(project.store).values()
    return Path(last["output"])


def _written(project: Contents, unit: str, classifier_id: str) -> pd.DataFrame | None:
    """The table that ``predict`` wrote beside the store, if it is this classifier's."""
    folder = _folder(project)
    for path in (folder / f"{unit}s.csv", folder / f"{unit}s.parquet"):
        if not path.exists():
            continue
        try:
            if path.suffix == ".csv":
                text = dict.fromkeys(
                    ("encounter", "decision", "most_probable", "reason", "path"), str
                )
                table = pd.read_csv(
                    path, dtype=text, keep_default_na=False, na_values={"start_utc": ""}
                )
            else:
                table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            project.note_trouble(path, error)
            continue
        if len(table) and set(map(str, table["classifier_id"])) == {classifier_id}:
            return table
    return None

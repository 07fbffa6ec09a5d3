"""The predictions of a classifier on recordings without a label.

In: the table ``decisions`` and the files that ``predict`` wrote. Out: counts, probabilities and
tables, with the assumptions behind them.
"""

from collections.abc import Mapping
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
from pseudorca.prediction.decisions import UNDECIDED, usual_sentence
from pseudorca.prediction.sets import last_settings
from pseudorca.report.contents import Contents, evidence, name_of, predict_settings, typed
from pseudorca.report.over_time import timeline, written_tables
from pseudorca.values import plural

_MOST_ROWS = 100
_MOST_CLASSES = 40
_MOST_BARS = 40
_UNITS = ("encounter", "recording")


def prediction_section(project: Contents) -> Section:
    """Show what the classifier that was used last said of recordings and encounters.

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
    ...     section = prediction_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'Nothing was predicted. The project holds 0 unlabelled recordings.'
    """
    section = Section("predictions", "Predictions on unknown recordings")
    # The table of decisions holds a row per clip too; those are never needed here.
    decisions = project.store.read("decisions", where="split_id = '' AND unit <> 'clip'")
    if decisions.empty:
        section.blocks += _nothing_predicted(project)
        return section
    classifier_id, settings = _latest_classifier(project, decisions)
    set_name = str(settings.get("set_name", ""))
    other_sets = sorted(set(map(str, decisions["set_name"])) - {set_name})
    decisions = decisions[decisions["set_name"] == set_name]
    n_others = decisions["classifier_id"].nunique() - 1
    decisions = decisions[decisions["classifier_id"] == classifier_id]
    saved_name = name_of(project, classifier_id)
    record = project.classifiers.get(saved_name or "", {})
    title = "A classifier that is no longer saved"
    if saved_name is not None:
        title = f"Classifier “{saved_name}”"
    files = {unit: _written(project, unit, classifier_id) for unit in _UNITS}
    trained = [str(label) for label in record.get("classes", [])]
    classes = trained + sorted(set(map(str, decisions["decision"])) - set(trained))
    prior = ", ".join(sorted(set(map(str, decisions["prior"]))))
    warnings, sentences = _what_it_means(prior, bool(record.get("calibration")), len(trained))
    sentences += _what_was_asked(settings)
    if n_known := _n_known(files["recording"]):
        warnings.append(
            f"{n_known} of these recordings trained the classifier: what it says of them proves "
            "nothing."
        )
    if n_others:
        sentences.append(
            f"Answers of {plural(n_others, 'other classifier')} are in the table decisions."
        )
    if other_sets:
        sentences.append(
            f"Shown is the set {set_name}. Predictions on {plural(len(other_sets), 'other set')} are "
            f"kept: {', '.join(other_sets)}. To see one, run: pseudorca decide --project "
            f'{project.argument} --as "{other_sets[0]}", then this report again.'
        )
    by_unit = {unit: decisions[decisions["unit"] == unit] for unit in _UNITS}
    counted = " of ".join(plural(len(by_unit[unit]), unit) for unit in ("recording", "encounter"))
    section.blocks += [
        Text(
            f"{title} ({classifier_id}) was asked about {counted}.{_counted_once(files)}",
            more=" ".join(sentences),
        ),
        Notices(warnings),
        folded(_count_table(by_unit, classes)),
    ]
    if len(by_unit["recording"]):
        section.blocks.append(_dots(by_unit["recording"], classes, len(trained)))
    if (encounters := files["encounter"]) is not None and len(encounters) <= _MOST_BARS:
        section.blocks.append(_bars(encounters, classes, project))
    if any(table is not None for table in files.values()):  # written with those by ``predict``
        section.blocks += timeline(project, _folder(project), classes)
    for unit in _UNITS:
        answers = _answers(unit, by_unit[unit], files[unit], classes, project)
        section.blocks.append(folded(answers))
    return section


def _n_known(written: pd.DataFrame | None) -> int:
    if written is None or "in_training" not in written:
        return 0
    return int(written["in_training"].astype(bool).sum())


def _what_it_means(prior: str, calibrated: bool, n_classes: int) -> tuple[list[str], list[str]]:
    """Warnings, and what else a reader of the probabilities should know."""
    meaning = {
        "uniform": "every class is taken to be equally frequent among the unknown",
        "train": "the classes are taken to be as frequent as among the training encounters",
    }.get(prior, "the frequencies that were given")
    warnings = [
        f"The classifier knows {plural(n_classes, 'class')}. A sound of another species that resembles "
        "one of them is called by its name."
    ]
    worth = "They were calibrated on encounters held out of training."
    if not calibrated:
        worth = ""
        warnings.append(
            "The probabilities are not calibrated: 0.9 does not mean right nine times in ten."
        )
    presupposed = f"The probabilities presuppose the prior {prior} ({meaning})."
    return warnings, [f"{presupposed} {worth}".strip()]


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


def _what_was_asked(settings: Mapping[str, Any]) -> list[str]:
    """What the run of ``predict`` listened to, and the error rate that names had to keep."""
    thresholds = settings.get("thresholds") or {}
    sentences = []
    if (gate_db := settings.get("gate_db")) is not None:
        sentences.append(
            f"Windows in which nothing stands out from their background by {gate_db:g} dB were passed "
            f"over (--gate {gate_db:g}): nothing is said of what is in them."
        )
    for unit in _UNITS:
        if (threshold := thresholds.get(unit)) is None:
            continue
        chosen = threshold["chosen"]
        if "kind" in threshold:
            sentences.append(usual_sentence(unit, threshold))
            continue
        text = f"At most {100 * threshold['wanted']:.0f} % wrong names were wished for: "
        if chosen:
            text += f"{unit}s are named from a probability of {chosen['probability']:.2f} on."
        else:
            least = threshold["smallest_that_can_be_claimed"]
            text += (
                f"of {unit}s nobody can claim less than {100 * least:.0f} %, so all of them stay "
                "undecided, however probable."
            )
        sentences.append(text)
    return sentences


def _nothing_predicted(project: Contents) -> list[Block]:
    folder, n = project.argument, int(project.recordings["label"].isna().sum())
    steps = [f"pseudorca predict --project {folder}" + ("" if n else " FILES_OR_FOLDERS")]
    if not project.classifiers:
        honest = evidence(project).honest
        how = typed(project, honest.recipe) if honest else ""
        steps.insert(0, f"pseudorca train --project {folder}{how}")
    text = f"Nothing was predicted. The project holds {plural(n, 'unlabelled recording')}."
    return [Text(text), Commands("To predict, run:", steps)]


def _latest_classifier(project: Contents, decisions: pd.DataFrame) -> tuple[str, dict[str, Any]]:
    """The classifier with decisions that was used last, and the settings of its last run."""
    known = set(map(str, decisions["classifier_id"]))
    for settings in predict_settings(project):
        if (classifier_id := str(settings.get("classifier_id"))) in known:
            return classifier_id, settings
    return min(known), {}


def _count_table(by_unit: dict[str, pd.DataFrame], classes: list[str]) -> Table:
    rows = []
    for label in classes:
        cells: list[Cell] = [label]
        for table in by_unit.values():
            probabilities = table.loc[table["decision"] == label, "probability"]
            mean = float(probabilities.mean()) if len(probabilities) else None
            cells += [len(probabilities), Number(mean)]
        rows.append(cells)
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


def _bars(encounters: pd.DataFrame, classes: list[str], project: Contents) -> Chart:
    """Probabilities of all classes per encounter, as bars of length 1."""
    columns = [label for label in classes if f"p_{label}" in encounters]
    table = encounters[[f"p_{label}" for label in columns]].astype(float)
    table = table.set_axis(columns, axis=1).set_axis(
        encounters["encounter"].map(project.plain), axis=0
    )
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
    """A row per unit; from the file that ``predict`` wrote if there is one, for its paths."""
    caption = f"What was said of each {unit}, and why nothing where it is undecided."
    if written is None:
        table, where = decisions, "the table decisions"
        rows = _like_written(unit, table.head(_MOST_ROWS), project.recordings)
    else:
        table, where = written, str(_folder(project))
        rows = table.head(_MOST_ROWS)
        caption += f" Those of every class are in {where}."
    cells = [_cells(unit, row, classes, project) for row in rows.to_dict("records")]
    columns = ["decision", "why", "probability", "most probable", "next", "moments", "encounter"]
    if unit == "recording":
        columns.insert(0, "recording")
    else:
        columns.insert(0, columns.pop())
    return Table(columns, cells, caption=caption, n_more=len(table) - len(cells), more=where)


def _like_written(unit: str, decisions: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Decisions with the columns of the files that ``predict`` writes, as far as they are known."""
    units = list(map(str, decisions["unit_id"]))
    if unit == "encounter":
        return decisions.assign(encounter=units, most_probable="")
    columns = (map(str, recordings[name]) for name in ("moment_id", "path", "encounter"))
    known = {moment: (path, encounter) for moment, path, encounter in zip(*columns, strict=True)}
    answered = [known.get(moment, (moment, "")) for moment in units]
    paths, encounters = ([pair[k] for pair in answered] for k in (0, 1))
    return decisions.assign(path=paths, encounter=encounters, most_probable="")


def _cells(unit: str, row: dict[Any, Any], classes: list[str], project: Contents) -> list[Cell]:
    cells: list[Cell] = []
    if unit == "recording":
        cells.append(str(row["path"]) + " (was in training)" * (row.get("in_training") is True))
    others = {
        label: float(row[f"p_{label}"])
        for label in classes
        if f"p_{label}" in row and label != row["most_probable"]
    }
    second = max(others, key=lambda label: others[label], default=None)
    following = f"{second} {others[second]:.2f}" if second else ""
    encounter = project.plain(row["encounter"])
    if unit == "encounter":
        cells.append(encounter)
    cells += [str(row["decision"]), str(row["reason"]), Number(float(row["probability"]))]
    cells += [str(row["most_probable"]), following, int(row["n_moments"])]
    return cells if unit == "encounter" else [*cells, encounter]


def _folder(project: Contents) -> Path:
    """Where ``predict`` wrote its tables last."""
    *_, last = last_settings(project.store).values()
    return Path(last["output"])


def _written(project: Contents, unit: str, classifier_id: str) -> pd.DataFrame | None:
    """The table of units that ``predict`` wrote beside the store, if it is of this classifier."""
    texts = dict.fromkeys(("encounter", "decision", "most_probable", "reason", "path"), str)
    for table in written_tables(
        project, _folder(project) / f"{unit}s", dtype=texts, keep_default_na=False,
        na_values={"start_utc": ""},
    ):  # fmt: skip
        if len(table) and set(map(str, table["classifier_id"])) == {classifier_id}:
            return table
    return None

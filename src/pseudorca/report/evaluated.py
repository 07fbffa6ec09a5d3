"""The evaluation in full: every result, then per split the classes, confusions, curves and losses.

Numbers come from the table ``evaluations`` without changes. Curves come from the table ``scores``,
aggregated to recordings by the same code that computed the numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pseudorca.evaluation.kept import Evaluation
from pseudorca.evaluation.metrics import UnitTruth, unit_truth
from pseudorca.pages.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Heading,
    Notices,
    Number,
    Section,
    Table,
    Text,
    chart,
    figure,
    folded,
    in_short,
    panels,
)
from pseudorca.pages.plots import BLUE, INK, SMALL_PT, VERMILLION, class_colours, keep_outer_labels
from pseudorca.report.contents import Contents, evidence, minute, network_of
from pseudorca.report.evaluation_plots import (
    confusion_matrix,
    history_curves,
    precision_recall,
    threshold_curves,
)

_MOST_EVALUATIONS = 8

_MOST_CLASSES = 12
"""Classes with their own curves and with counts in the confusion matrix; the tables have all."""


_NOT_CALIBRATED = "Precision and recall by threshold, before calibration"
_NO_THRESHOLDS = (
    "Not the thresholds of predict: these are probabilities as the head gives them. Calibrated ones "
    "are in the section What a probability is worth, and when to stay undecided."
)


def evaluation_section(project: Contents) -> Section:
    """Show all evaluations; the details of the first one are open.

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
    ...     section = evaluation_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'Nothing was evaluated in this project.'
    """
    section = Section("evaluation", "Evaluation")
    if not project.evaluations:
        section.blocks.append(Text("Nothing was evaluated in this project."))
        section.blocks += _trained_losses(project)
        return section
    first = evidence(project).honest
    ordered = sorted(project.evaluations, key=lambda e: e is not first)
    section.blocks += [
        in_short(
            "Balanced accuracy is the mean over classes of the share that was named rightly. Always "
            "naming one class scores 1 / number of classes. Accuracy is the share of all units; "
            "always naming the most frequent class scores the majority. All numbers are of scores "
            "out of fold, pooled over folds and averaged over repeats; log-probabilities are averaged "
            "over the channels of a moment, then over the moments of a recording or encounter. So "
            "files of one moment are one recording and one clip, and there may be fewer than files. "
            "Intervals come from the groups (encounters), however many clips there are. In optimistic "
            "splits, clips of one encounter stand on both sides."
        ),
        *_results_tables(project, ordered),
    ]
    for evaluation in ordered[:_MOST_EVALUATIONS]:
        kind = "optimistic" if evaluation.optimistic else "encounters never heard"
        name = evaluation.head.partition(" (")[0]
        title = f"Split {evaluation.split}: {kind}, {name} ({minute(evaluation.time_utc)} UTC)"
        blocks = _details(project, evaluation)
        section.blocks.append(Fold(title, blocks, is_open=evaluation is ordered[0]))
    if len(ordered) > _MOST_EVALUATIONS:
        n_more = len(ordered) - _MOST_EVALUATIONS
        section.blocks.append(Text(f"Of {n_more} more evaluations only the table above tells."))
    section.blocks += _trained_losses(project)
    return section


def _results_tables(project: Contents, evaluations: Sequence[Evaluation]) -> list[Table]:
    """All results: a table per recipe and data, a row per evaluation and unit, honest ones first."""
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault((evaluation.recipe_id, evaluation.data_id), []).append(evaluation)
    return [
        _results_table(project, same, like_first=key[1] == evaluations[0].data_id)
        for key, same in groups.items()
    ]


def _results_table(
    project: Contents, evaluations: Sequence[Evaluation], *, like_first: bool
) -> Table:
    units = ("encounter", "recording", "clip")
    results = [(e, e.results[unit]) for e in evaluations for unit in units if unit in e.results]
    methods = {result["interval_method"] for _, result in results}
    rows: list[tuple[Cell, ...]] = [
        (
            f"{evaluation.split} (optimistic)" if evaluation.optimistic else evaluation.split,
            result["unit"],
            result["n_units"],
            result["n_groups"],
            Number(result["balanced_accuracy"], 3),
            f"{result['ci_low']:.2f} to {result['ci_high']:.2f}",
            Number(result["majority_baseline"], 3),
            Number(result["accuracy"], 3),
            Number(result["majority_accuracy"], 3),
            *([result["interval_method"]] if len(methods) > 1 else []),
        )
        for evaluation, result in results
    ]
    columns = ["split", "unit", "units", "groups", "balanced accuracy", "95 % interval", "baseline"]
    columns += ["accuracy", "majority"] + ["interval by"] * (len(methods) > 1)
    first = evaluations[0]
    caption = f"All results of {network_of(project, first)}, {first.head}."
    if not like_first:
        caption += (
            " Of other clips, labels or encounters than the first table, so not to be compared with "
            f"it; evaluated {minute(first.time_utc)} UTC."
        )
    if len(methods) == 1:
        caption += f" Intervals: {methods.pop()}."
    return Table(columns, rows, caption=caption)


def _class_table(result: Mapping[str, Any]) -> Table:
    """Metrics of every class for one unit of one evaluation."""
    keys = ("recall", "precision", "f1", "auc", "average_precision")

    def cells(name: str, row: Mapping[str, Any], share: float | None) -> tuple[Cell, ...]:
        numbers = (Number(value, 3) for value in (*(row[key] for key in keys), share))
        return (name, row["n_units"], row["n_groups"], *numbers)

    n_units = max(result["n_units"], 1)
    rows = [cells(k, row, row["n_units"] / n_units) for k, row in result["per_class"].items()]
    rows.append(cells("mean of classes", result, None))
    return Table(
        ("class", f"{result['unit']}s", "groups", "recall", "precision", "F1", "AUC",
         "average precision", "share of all"),
        rows,
        caption=f"Per class, unit {result['unit']}, split {result['split']}. Chance: AUC 0.5; average "
        "precision, the share of all.",
    )  # fmt: skip


def _details(project: Contents, evaluation: Evaluation) -> list[Block]:
    record = evaluation.about
    text = f"{evaluation.method[0].upper()}{evaluation.method[1:]}; head: {evaluation.head}."
    blocks: list[Block] = [Text(text)]
    notices = []
    if evaluation.optimistic:
        notices.append(
            "Not to be quoted: clips of one encounter stand on both sides, so that the numbers say how "
            "well encounters are recognised that the classifier has heard."
        )
    if missing := record.get("not_testable"):
        notices.append(f"Not testable, so not covered: {', '.join(map(project.plain, missing))}.")
    if n := record.get("n_straddling_moments"):
        notices.append(f"{n} moments stand on both sides (channels of one sound), as in the study.")
    if notices:
        blocks.append(Notices(notices))
    results = [evaluation.results[u] for u in ("encounter", "recording") if u in evaluation.results]
    blocks += [folded(_class_table(result)) for result in results]
    if results:
        blocks += _confusions(evaluation.split, results)
    blocks += _curves(project, evaluation)
    trainings = [training for training in evaluation.trainings if training.get("history")]
    if trainings:
        histories = [training["history"] for training in trainings]
        best_epochs = [training.get("best_epoch") for training in trainings]
        blocks.append(_loss_chart(histories, best_epochs, f"split {evaluation.split}"))
    return blocks


def _confusions(split: str, results: Sequence[Mapping[str, Any]]) -> list[Block]:
    n = len(results[0]["classes"])
    if n <= 8:  # side by side
        size, groups = float(np.clip(2.2 + 0.45 * n, 3.0, 4.9)), [results]
    else:
        size, groups = float(np.clip(1.6 + 0.42 * n, 5.5, 9.5)), [[result] for result in results]
    blocks: list[Block] = []
    for shown in groups:
        chart_figure = figure(size, width_in=10.4 if len(shown) == 2 else max(5.2, size + 0.6))
        axes = chart_figure.subplots(1, len(shown), squeeze=False)[0]
        for ax, result in zip(axes, shown, strict=True):
            unit = f"{result['unit']}s"
            title = f"{result['n_units']} {unit}"
            confusion_matrix(ax, result["confusion"], result["classes"], title=title, unit=unit)
        repeats = shown[0]["n_repeats"]
        counted = f"the count (mean over {repeats} repeats)" if repeats > 1 else "the count"
        units = " and ".join(f"{result['unit']}s" for result in shown)
        caption = (
            f"Confusion matrix, split {split}, {units}. Rows: truth. Columns: what was "
            "said, in the same order. "
        )
        if n <= _MOST_CLASSES:
            caption += f"Colour and percentage: share of the row; below it, {counted}."
        else:
            caption += "Colour: share of the row. The most frequent confusions follow."
        blocks.append(chart(chart_figure, caption=caption))
    if n > _MOST_CLASSES:
        blocks.append(_frequent_confusions(results[-1]))
    return blocks


def _frequent_confusions(result: Mapping[str, Any]) -> Table:
    counts = np.array(result["confusion"])
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(counts, axis=None, kind="stable")[::-1][:20]
    rows = [
        (
            result["classes"][truth],
            result["classes"][named],
            Number(counts[truth, named], 1),
            Number(100 * counts[truth, named] / totals[truth], 0, " %"),
        )
        for truth, named in zip(*np.unravel_index(order, counts.shape), strict=True)
        if counts[truth, named] > 0
    ]
    return Table(
        ("truth", "said", f"{result['unit']}s", "share of the truth"),
        rows,
        caption=f"Most frequent confusions, split {result['split']}.",
    )


def _trained_losses(project: Contents) -> list[Block]:
    """Loss curves of the saved classifiers that were trained epoch by epoch."""
    blocks: list[Block] = []
    for name, about in project.classifiers.items():
        details = about.get("head", {})
        if history := details.get("history"):
            where = f"saved classifier {name}, trained on all labelled clips"
            if "validation_loss" in history[0]:
                where += " but those kept aside"
            blocks += [
                Heading(f"Training of the classifier {name}"),
                _loss_chart([history], [details.get("best_epoch")], where),
            ]
    return blocks


def recording_scores(project: Contents, evaluation: Evaluation) -> UnitTruth | None:
    """Aggregate the stored out-of-fold scores of an evaluation to recordings.

    Parameters
    ----------
    project : Contents
    evaluation : Evaluation

    Returns
    -------
    UnitTruth, with log-probabilities [shape=(n_repeats, n_recordings, n_classes)]
        None if the scores are gone, or labels or clips have changed since.

    Examples
    --------
    >>> recording_scores(None, Evaluation("split", "recipe", "2026", {"results": []})) is None
    True
    """
    result = evaluation.results.get("recording")
    if result is None:
        return None
    split_id = evaluation.split_id.replace("'", "''")
    scores = project.store.read("scores", where=f"split_id = '{split_id}'")
    clips = project.labelled_clips
    classes = [str(label) for label in result["classes"]]
    if scores.empty:
        return None
    rows = pd.Index(clips["clip_id"]).get_indexer(pd.Index(scores["clip_id"]))
    columns = pd.Index(classes).get_indexer(pd.Index(scores["population"]))
    if min(rows.min(), columns.min()) < 0:
        return None
    repeats = scores["repeat"].to_numpy(dtype=np.intp)
    table = np.full((int(repeats.max()) + 1, len(clips), len(classes)), np.nan)
    table[repeats, rows, columns] = scores["score"].to_numpy(dtype=np.float64)
    groups = clips["encounter"].to_numpy(dtype=object)
    truth = unit_truth(clips, project.recordings, table, unit="recording", groups=groups)
    counted = {label: int((truth.labels == label).sum()) for label in classes}
    if counted != {label: row["n_units"] for label, row in result["per_class"].items()}:
        return None  # labels or clips have changed since
    return truth


def _curves(project: Contents, evaluation: Evaluation) -> list[Block]:
    """Precision and recall of the classes, against each other and against the threshold."""
    truth = recording_scores(project, evaluation)
    if truth is None:
        why = "Curves are left out: its scores are missing, or clips and labels changed since."
        return [Notices([why])]
    result = evaluation.results["recording"]
    classes = [str(label) for label in result["classes"]]
    ranked = sorted(classes, key=lambda label: -result["per_class"][label]["n_units"])
    chosen = [c for c in classes if c in ranked[:_MOST_CLASSES] and (truth.labels == c).any()]
    if not chosen:
        return []
    colours = class_colours(classes)
    probabilities = np.exp(truth.log_probabilities)
    n_columns = min(len(chosen), 3)
    by_recall, by_threshold = (
        panels(
            len(chosen), n_columns=n_columns, row_in=2.35, margin_in=0.2, width_in=3.45 * n_columns
        )
        for _ in range(2)
    )
    for label, left, right in zip(chosen, by_recall[1], by_threshold[1], strict=True):
        is_class = truth.labels == label
        of_class = list(probabilities[:, :, classes.index(label)])
        precision_recall(left, is_class, of_class, colour=colours[label], title=label)
        value = result["per_class"][label]["average_precision"]
        if value is not None:
            left.set_title(f"AP {value:.2f}", fontsize=SMALL_PT, color=INK, loc="right", pad=6)
        threshold_curves(right, is_class, of_class, title=label)
    for _, axes in (by_recall, by_threshold):
        keep_outer_labels(axes, n_columns=n_columns, tick_labels=False)
    _legend(by_threshold[0], first="precision", second="recall")
    where = f"split {evaluation.split}, {result['n_units']} recordings"
    several = len(probabilities) > 1
    which = (
        "" if len(chosen) == len(classes) else f" The {len(chosen)} classes with most recordings."
    )
    band = "mean over repeats, and the band they span; " if several else ""
    thresholds = chart(
        by_threshold[0],
        description=f"Precision and recall per class against the threshold, {where}.",
        caption="Precision (solid) and recall (dashed) when every recording at or above a "
        f"probability is called the class, {where}{', means over repeats' if several else ''}. "
        f"Precision ends where no recording reaches the threshold.{which}",
    )
    return [
        chart(
            by_recall[0],
            description=f"Precision against recall per class, {where}.",
            caption=f"Precision against recall, {where}; {band}AP: average precision; dotted: the "
            f"class's share of all recordings, which guessing would reach.{which}",
        ),
        Fold(_NOT_CALIBRATED, [Notices([_NO_THRESHOLDS]), thresholds]),
    ]


def _legend(chart_figure: Figure, *, first: str, second: str) -> None:
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.6, label=first),
        Line2D([], [], color=VERMILLION, linestyle="--", linewidth=1.6, label=second),
    ]
    chart_figure.legend(
        handles=lines if second else lines[:1], loc="outside upper left", ncols=2, frameon=False,
        fontsize=SMALL_PT, labelcolor=INK,
    )  # fmt: skip


def _loss_chart(histories: Sequence[Any], best_epochs: Sequence[int | None], where: str) -> Chart:
    """Losses and accuracies over epochs, a thin line per training."""
    chart_figure = figure(3.1)
    values = (("loss", "cross-entropy (nats)"), ("accuracy", "accuracy (share of clips)"))
    for ax, (value, y) in zip(chart_figure.subplots(1, 2), values, strict=True):
        history_curves(ax, histories, value=value, best_epochs=best_epochs, title=value, y=y)
    has_validation = any(rows and "validation_loss" in rows[0] for rows in histories)
    _legend(chart_figure, first="training", second="validation" if has_validation else "")
    n = len(histories)
    several = f" of {n} trainings (thin) and their mean (thick)" if n > 1 else ""
    kept = (
        "Dots: the epoch that was kept, the first with the best accuracy on the validation side."
        if has_validation
        else "Without a validation side the last epoch was kept."
    )
    text = f"Losses and accuracies over epochs{several}, {where}. {kept}"
    return chart(chart_figure, caption=text)

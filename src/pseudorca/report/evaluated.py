"""The evaluation in full: every result, then per split the classes, confusions, curves and losses.

Numbers come from the table ``evaluations`` as they are; the curves from the table ``scores``,
aggregated to recordings by the code that made the numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pseudorca.pages.blocks import (
    Block,
    Cell,
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
)
from pseudorca.report.contents import Contents, Evaluation, headline, network_of
from pseudorca.report.curves import MOST_CLASSES, curves, loss_chart
from pseudorca.report.evaluation_plots import confusion_matrix

_MOST_EVALUATIONS = 8
_UNITS = ("encounter", "recording", "clip")


def evaluation_section(project: Contents) -> Section:
    """Show all evaluations; the first one, and its losses, open.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section
    """
    section = Section("evaluation", "Evaluation")
    if not project.evaluations:
        section.blocks.append(Text("Nothing was evaluated in this project."))
        section.blocks += _trained_losses(project)
        return section
    first = headline(project)
    ordered = sorted(project.evaluations, key=lambda e: e is not first)
    section.blocks += [
        Text(
            "Balanced accuracy is the mean over classes of the share that was named rightly; always "
            "naming one class scores 1 / number of classes. Accuracy is the share of all units; "
            "always naming the most frequent class scores the majority. All numbers are of scores "
            "out of fold, pooled over folds and averaged over repeats; log-probabilities are averaged "
            "over the channels of a moment, then over the moments of a recording or encounter. So "
            "files of one moment are one recording and one clip, and there may be fewer than files. "
            "Intervals come from the groups (encounters), however many clips there are. In optimistic "
            "splits, clips of one encounter stand on both sides."
        ),
        *results_tables(project, ordered),
    ]
    for evaluation in ordered[:_MOST_EVALUATIONS]:
        kind = "optimistic" if evaluation.optimistic else "encounters never heard"
        name, when = evaluation.head.partition(" (")[0], evaluation.time_utc[:16].replace("T", " ")
        title = f"Split {evaluation.split}: {kind}, {name} ({when} UTC)"
        blocks = _details(project, evaluation)
        section.blocks.append(Fold(title, blocks, is_open=evaluation is ordered[0]))
    if len(ordered) > _MOST_EVALUATIONS:
        n_more = len(ordered) - _MOST_EVALUATIONS
        section.blocks.append(Text(f"Of {n_more} more evaluations only the table above tells."))
    section.blocks += _trained_losses(project)
    return section


def results_tables(project: Contents, evaluations: Sequence[Evaluation]) -> list[Table]:
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
    results = [(e, e.results[unit]) for e in evaluations for unit in _UNITS if unit in e.results]
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
            f"it; evaluated {first.time_utc[:16].replace('T', ' ')} UTC."
        )
    if len(methods) == 1:
        caption += f" Intervals: {methods.pop()}."
    return Table(columns, rows, caption=caption)


def class_table(result: Mapping[str, Any]) -> Table:
    """Metrics of every class for one unit of one evaluation."""
    rows = [
        (
            label,
            row["n_units"],
            row["n_groups"],
            *(Number(row[key], 3) for key in ("recall", "precision", "f1", "auc")),
            Number(row["average_precision"], 3),
            Number(row["n_units"] / max(result["n_units"], 1), 3),
        )
        for label, row in result["per_class"].items()
    ]
    means = [Number(result[key], 3) for key in ("recall", "precision", "f1", "auc")]
    total = ("mean of classes", result["n_units"], result["n_groups"], *means)
    rows.append((*total, Number(result["average_precision"], 3), Number(None)))
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
    if evaluation.optimistic:
        text += (
            " Clips of one encounter stand on both sides: the numbers say how well encounters are "
            "recognised that the classifier has heard."
        )
    blocks: list[Block] = [Text(text)]
    notices = []
    if missing := record.get("not_testable"):
        notices.append(f"Not testable, so not covered: {', '.join(map(str, missing))}.")
    if n := record.get("n_straddling_moments"):
        notices.append(f"{n} moments stand on both sides (channels of one sound), as in the study.")
    if notices:
        blocks.append(Notices(notices))
    for unit in ("encounter", "recording"):
        if unit in evaluation.results:
            blocks.append(folded(class_table(evaluation.results[unit])))
    blocks += _confusions(evaluation)
    blocks += curves(project, evaluation)
    histories = [t["history"] for t in evaluation.trainings if t.get("history")]
    if histories:
        best = [t.get("best_epoch") for t in evaluation.trainings if t.get("history")]
        blocks.append(loss_chart(histories, best, f"split {evaluation.split}"))
    return blocks


def _confusions(evaluation: Evaluation) -> list[Block]:
    results = [evaluation.results[u] for u in ("encounter", "recording") if u in evaluation.results]
    if not results:
        return []
    n = len(results[0]["classes"])
    side_by_side = n <= 8
    size = float(
        np.clip(2.2 + 0.45 * n, 3.0, 4.9) if side_by_side else np.clip(1.6 + 0.42 * n, 5.5, 9.5)
    )
    charts: list[Block] = []
    for shown in [results] if side_by_side else [[result] for result in results]:
        chart_figure = figure(size, width_in=10.4 if len(shown) == 2 else max(5.2, size + 0.6))
        axes = chart_figure.subplots(1, len(shown), squeeze=False)[0]
        for ax, result in zip(axes, shown, strict=True):
            title = f"{result['n_units']} {result['unit']}s"
            confusion_matrix(
                ax, result["confusion"], result["classes"], title=title, unit=f"{result['unit']}s"
            )
        repeats = shown[0]["n_repeats"]
        counted = f"the count (mean over {repeats} repeats)" if repeats > 1 else "the count"
        units = " and ".join(f"{result['unit']}s" for result in shown)
        caption = (
            f"Confusion matrix, split {evaluation.split}, {units}. Rows: truth. Columns: what was "
            "said, in the same order. "
        )
        if n <= MOST_CLASSES:
            caption += f"Colour and percentage: share of the row; below it, {counted}."
        else:
            caption += "Colour: share of the row. The most frequent confusions follow."
        charts.append(chart(chart_figure, description=caption, caption=caption))
    if n > MOST_CLASSES:
        charts.append(_frequent_confusions(results[-1]))
    return charts


def _frequent_confusions(result: Mapping[str, Any]) -> Table:
    counts = np.array(result["confusion"])
    np.fill_diagonal(counts, 0)
    classes, totals = result["classes"], np.array(result["confusion"]).sum(axis=1)
    order = np.argsort(counts, axis=None, kind="stable")[::-1][:20]
    rows = []
    for truth, named in zip(*np.unravel_index(order, counts.shape), strict=True):
        if counts[truth, named] > 0:
            share = Number(100 * counts[truth, named] / totals[truth], 0, " %")
            rows.append((classes[truth], classes[named], Number(counts[truth, named], 1), share))
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
            where = f"saved classifier {name}, trained on all labelled clips but those kept aside"
            if "validation_loss" not in history[0]:
                where = f"saved classifier {name}, trained on all labelled clips"
            blocks += [
                Heading(f"Training of the classifier {name}"),
                loss_chart([history], [details.get("best_epoch")], where),
            ]
    return blocks

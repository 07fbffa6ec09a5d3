"""The evaluation in full: every result, then per split the classes, confusions, curves and losses.

Numbers come from the table ``evaluations`` as they are; the curves from the table ``scores``,
aggregated to recordings by the code that made the numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pseudorca.assessment.metrics import UnitTruth, unit_truth
from pseudorca.reporting.blocks import (
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
)
from pseudorca.reporting.plots import (
    BLUE,
    INK,
    SMALL_PT,
    VERMILLION,
    class_colours,
    confusion_matrix,
    history_curves,
    precision_recall,
    threshold_curves,
)
from pseudorca.reporting.project import Evaluation, Project, headline

MOST_CLASSES = 12
"""Classes that get curves of their own; the others are in the tables."""

_MOST_EVALUATIONS = 8
_UNITS = ("encounter", "recording", "clip")


def evaluation_section(project: Project) -> Section:
    """Show all evaluations; the first one, and its losses, open."""
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
            "over the channels of a moment, then over the moments of a recording or encounter. "
            "Intervals come from the groups (encounters), however many clips there are."
        ),
        *results_tables(ordered),
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


def results_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """All results: a table per recipe, a row per evaluation and unit, the honest ones first."""
    recipes: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        recipes.setdefault(evaluation.recipe_id, []).append(evaluation)
    return [_results_table(same) for same in recipes.values()]


def _results_table(evaluations: Sequence[Evaluation]) -> Table:
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
    caption = f"All results of {first.head}, embedder {first.about['recipe']['embedder_id']}."
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


def _details(project: Project, evaluation: Evaluation) -> list[Block]:
    about = evaluation.about
    text = f"{evaluation.method[0].upper()}{evaluation.method[1:]}; head: {evaluation.head}."
    if evaluation.optimistic:
        text += (
            " Clips of one encounter stand on both sides: the numbers say how well encounters are "
            "recognised that the classifier has heard."
        )
    blocks: list[Block] = [Text(text)]
    notices = []
    if missing := about.get("not_testable"):
        notices.append(f"Not testable, so not covered: {', '.join(map(str, missing))}.")
    if n := about.get("n_straddling_moments"):
        notices.append(f"{n} moments stand on both sides (channels of one sound), as in the study.")
    if notices:
        blocks.append(Notices(notices))
    for unit in ("encounter", "recording"):
        if unit in evaluation.results:
            blocks.append(folded(class_table(evaluation.results[unit])))
    blocks += _confusions(evaluation)
    blocks += _curves(project, evaluation)
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
    size = 4.9 if side_by_side else float(np.clip(1.6 + 0.42 * n, 5.5, 9.5))
    charts: list[Block] = []
    for shown in [results] if side_by_side else [[result] for result in results]:
        made = figure(size, width_in=10.4 if len(shown) == 2 else max(5.2, size + 0.6))
        axes = made.subplots(1, len(shown), squeeze=False)[0]
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
        charts.append(chart(made, description=caption, caption=caption))
    if n > MOST_CLASSES:
        charts.append(_frequent_confusions(results[-1]))
    return charts


def _frequent_confusions(result: Mapping[str, Any]) -> Table:
    counts = np.array(result["confusion"])
    np.fill_diagonal(counts, 0)
    classes, totals = result["classes"], np.array(result["confusion"]).sum(axis=1)
    order = np.argsort(counts, axis=None, kind="stable")[::-1][:20]
    rows = []
    for truth, said in zip(*np.unravel_index(order, counts.shape), strict=True):
        if counts[truth, said] > 0:
            share = Number(100 * counts[truth, said] / totals[truth], 0, " %")
            rows.append((classes[truth], classes[said], Number(counts[truth, said], 1), share))
    return Table(
        ("truth", "said", f"{result['unit']}s", "share of the truth"),
        rows,
        caption=f"Most frequent confusions, split {result['split']}.",
    )


def recording_scores(
    project: Project, evaluation: Evaluation
) -> tuple[list[str], UnitTruth] | None:
    """Out-of-fold scores per recording, or None where they no longer fit the clips.

    Returns
    -------
    classes : list of str
    UnitTruth, with log-probabilities [shape=(n_repeats, n_recordings, n_classes)]
    """
    result = evaluation.results.get("recording")
    if result is None:
        return None
    split_id = evaluation.split_id.replace("'", "''")
    scores = project.store.read("scores", where=f"split_id = '{split_id}'")
    clips = project.labelled_clips
    row_of = {clip_id: row for row, clip_id in enumerate(clips["clip_id"])}
    classes = [str(label) for label in result["classes"]]
    column_of = {label: column for column, label in enumerate(classes)}
    rows = scores["clip_id"].map(row_of)
    columns = scores["population"].map(column_of)
    if scores.empty or rows.isna().any() or columns.isna().any():
        return None
    repeats = scores["repeat"].to_numpy(dtype=np.intp)
    table = np.full((int(repeats.max()) + 1, len(clips), len(classes)), np.nan)
    place = repeats, rows.to_numpy(dtype=np.intp), columns.to_numpy(dtype=np.intp)
    table[place] = scores["score"].to_numpy(dtype=np.float64)
    groups = clips["encounter"].to_numpy(dtype=object)
    truth = unit_truth(clips, project.recordings, table, unit="recording", groups=groups)
    counted = {label: int((truth.labels == label).sum()) for label in classes}
    if counted != {label: row["n_units"] for label, row in result["per_class"].items()}:
        return None  # labels or clips have changed since
    return classes, truth


def _curves(project: Project, evaluation: Evaluation) -> list[Block]:
    found = recording_scores(project, evaluation)
    if found is None:
        why = "Curves are left out: its scores are missing, or clips and labels changed since."
        return [Notices([why])]
    classes, truth = found
    result = evaluation.results["recording"]
    ranked = sorted(classes, key=lambda label: -result["per_class"][label]["n_units"])
    chosen = [c for c in classes if c in ranked[:MOST_CLASSES] and (truth.labels == c).any()]
    if not chosen:
        return []
    colours = class_colours(classes)
    probabilities = np.exp(truth.log_probabilities)
    which = (
        "" if len(chosen) == len(classes) else f" The {len(chosen)} classes with most recordings."
    )
    where = f"split {evaluation.split}, {result['n_units']} recordings"
    lines = " a line per repeat;" if len(probabilities) > 1 else ""

    by_recall, axes = _grid(len(chosen))
    for ax, label in zip(axes, chosen, strict=True):
        column = classes.index(label)
        precision_recall(
            ax, truth.labels == label, list(probabilities[:, :, column]), colour=colours[label],
            title=label,
        )  # fmt: skip
        value = result["per_class"][label]["average_precision"]
        if value is not None:
            ax.set_title(f"AP {value:.2f}", fontsize=SMALL_PT, color=INK, loc="right", pad=6)
    _outer_labels(axes)
    by_threshold, axes = _grid(len(chosen))
    for ax, label in zip(axes, chosen, strict=True):
        column = classes.index(label)
        threshold_curves(ax, truth.labels == label, list(probabilities[:, :, column]), title=label)
    _outer_labels(axes)
    _legend(by_threshold, first="precision", second="recall")
    return [
        chart(
            by_recall,
            description=f"Precision against recall per class, {where}.",
            caption=f"Precision against recall, {where};{lines} AP: average precision; dotted: the "
            f"class's share of all recordings, which guessing would reach.{which}",
        ),
        chart(
            by_threshold,
            description=f"Precision and recall per class against the threshold, {where}.",
            caption=f"Precision (solid) and recall (dashed) when every recording at or above a "
            f"probability is called the class, {where}"
            f"{', means over repeats' if len(probabilities) > 1 else ''}. Precision ends where no "
            f"recording reaches the threshold. Probabilities are not calibrated.{which}",
        ),
    ]


def _grid(n: int) -> tuple[Figure, list[Axes]]:
    n_columns = min(n, 3)
    n_rows = -(-n // n_columns)
    made = figure(2.35 * n_rows + 0.2, width_in=3.45 * n_columns)
    axes = made.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_axis_off()
    return made, list(axes[:n])


def _outer_labels(axes: Sequence[Axes]) -> None:
    """Keep the labels of a grid of axes at its left and below the last panel of each column."""
    for k, ax in enumerate(axes):
        if k % 3:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if k + 3 < len(axes):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)


def _legend(made: Figure, *, first: str, second: str) -> None:
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.6, label=first),
        Line2D([], [], color=VERMILLION, linestyle="--", linewidth=1.6, label=second),
    ]
    made.legend(
        handles=lines if second else lines[:1], loc="outside upper left", ncols=2, frameon=False,
        fontsize=SMALL_PT, labelcolor=INK,
    )  # fmt: skip


def loss_chart(histories: Sequence[Any], best_epochs: Sequence[int | None], where: str) -> Chart:
    """Losses and accuracies over epochs, a thin line per training."""
    made = figure(3.1)
    left, right = made.subplots(1, 2)
    history_curves(
        left,
        histories,
        value="loss",
        best_epochs=best_epochs,
        title="loss",
        y="cross-entropy (nats)",
    )
    history_curves(
        right, histories, value="accuracy", best_epochs=best_epochs, title="accuracy",
        y="accuracy (share of clips)",
    )  # fmt: skip
    has_validation = any(rows and "validation_loss" in rows[0] for rows in histories)
    _legend(made, first="training", second="validation" if has_validation else "")
    n = len(histories)
    several = f" of {n} trainings (thin) and their mean (thick)" if n > 1 else ""
    kept = (
        "Dots: the epoch that was kept, the first with the best accuracy on the validation side."
        if has_validation
        else "Without a validation side the last epoch was kept."
    )
    text = f"Losses and accuracies over epochs{several}, {where}. {kept}"
    return chart(made, description=text, caption=text)


def _trained_losses(project: Project) -> list[Block]:
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

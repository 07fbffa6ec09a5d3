"""Curves of an evaluation: precision and recall of stored scores, losses of stored histories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pseudorca.evaluation.metrics import UnitTruth, unit_truth
from pseudorca.pages.blocks import Block, Chart, Notices, chart, figure
from pseudorca.pages.plots import BLUE, INK, SMALL_PT, VERMILLION, class_colours
from pseudorca.report.contents import Contents, Evaluation
from pseudorca.report.evaluation_plots import history_curves, precision_recall, threshold_curves

MOST_CLASSES = 12
"""Classes that get curves of their own; the others are in the tables."""


def recording_scores(
    project: Contents, evaluation: Evaluation
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


def curves(project: Contents, evaluation: Evaluation) -> list[Block]:
    scored = recording_scores(project, evaluation)
    if scored is None:
        why = "Curves are left out: its scores are missing, or clips and labels changed since."
        return [Notices([why])]
    classes, truth = scored
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
            "recording reaches the threshold. Probabilities as the head gives them, not calibrated."
            f"{which}",
        ),
    ]


def _grid(n: int) -> tuple[Figure, list[Axes]]:
    n_columns = min(n, 3)
    n_rows = -(-n // n_columns)
    chart_figure = figure(2.35 * n_rows + 0.2, width_in=3.45 * n_columns)
    axes = chart_figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_axis_off()
    return chart_figure, list(axes[:n])


def _outer_labels(axes: Sequence[Axes]) -> None:
    """Keep the labels of a grid of axes at its left and below the last panel of each column."""
    for k, ax in enumerate(axes):
        if k % 3:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if k + 3 < len(axes):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)


def _legend(chart_figure: Figure, *, first: str, second: str) -> None:
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.6, label=first),
        Line2D([], [], color=VERMILLION, linestyle="--", linewidth=1.6, label=second),
    ]
    chart_figure.legend(
        handles=lines if second else lines[:1], loc="outside upper left", ncols=2, frameon=False,
        fontsize=SMALL_PT, labelcolor=INK,
    )  # fmt: skip


def loss_chart(histories: Sequence[Any], best_epochs: Sequence[int | None], where: str) -> Chart:
    """Losses and accuracies over epochs, a thin line per training."""
    chart_figure = figure(3.1)
    left, right = chart_figure.subplots(1, 2)
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
    _legend(chart_figure, first="training", second="validation" if has_validation else "")
    n = len(histories)
    several = f" of {n} trainings (thin) and their mean (thick)" if n > 1 else ""
    kept = (
        "Dots: the epoch that was kept, the first with the best accuracy on the validation side."
        if has_validation
        else "Without a validation side the last epoch was kept."
    )
    text = f"Losses and accuracies over epochs{several}, {where}. {kept}"
    return chart(chart_figure, description=text, caption=text)

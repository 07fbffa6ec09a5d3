"""Plots of an evaluation: intervals, confusion matrices, calibration, curves.

Each takes axes and plain values, and returns the axes, like those in :mod:`pseudorca.pages.plots`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWN
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_curve

from pseudorca.pages.plots import (
    BLUE,
    INK,
    ORANGE,
    SMALL_PT,
    SOFT,
    VERMILLION,
    shown,
    style,
    whole_numbers,
)


class Result(NamedTuple):
    """One row of :func:`intervals`: balanced accuracy with its 95 % interval and baseline.

    Examples
    --------
    >>> Result("encounter", value=0.8, low=0.6, high=0.9, baseline=0.5, optimistic=False).high
    0.9
    """

    name: str
    value: float
    low: float
    high: float
    baseline: float
    optimistic: bool


def intervals(ax: Axes, results: Sequence[Result]) -> Axes:
    """Draw balanced accuracies with their 95 % intervals, one below the other.

    Filled dots: encounters never heard. Open dots: optimistic splits. Dashes: always naming one
    class.

    Parameters
    ----------
    ax : Axes
    results : sequence of Result, the first on top

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = intervals(Figure().add_subplot(), [Result("encounter", 0.8, 0.6, 0.9, 0.5, False)])
    """
    for row, result in enumerate(results):
        colour = ORANGE if result.optimistic else BLUE
        ax.plot([result.low, result.high], [row, row], color=colour, linewidth=2.2,
                solid_capstyle="butt")  # fmt: skip
        ax.plot(result.value, row, "o", markersize=7, color=colour, markeredgewidth=1.8,
                markerfacecolor="#ffffff" if result.optimistic else colour)  # fmt: skip
        ax.plot([result.baseline] * 2, [row - 0.38, row + 0.38], "--", color=SOFT, linewidth=1.1)
        ax.text(1.02, row, f"{result.value:.2f}  [{result.low:.2f}, {result.high:.2f}]",
                va="center", fontsize=SMALL_PT, color=INK, clip_on=False)  # fmt: skip
    style(ax, x="balanced accuracy, 0 to 1", grid="x", bare="y")
    ax.set_yticks(range(len(results)), [shown(r.name, 60) for r in results], fontsize=SMALL_PT)
    ax.set_xlim(0, 1)
    ax.set_ylim(len(results) - 0.4, -0.6)
    return ax


def confusion_matrix(
    ax: Axes, counts: ArrayLike, classes: Sequence[str], *, title: str = "", unit: str = "units"
) -> Axes:
    """Draw a confusion matrix. Rows are the truth; colour and percentage are the share of the row.

    Parameters
    ----------
    ax : Axes
    counts : array [shape=(n_classes, n_classes)], means over repeats
    classes : sequence of str
    title : str
    unit : str, plural, what is counted

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = confusion_matrix(Figure().add_subplot(), [[3, 1], [0, 2]], ["Insular", "Pelagic"])
    >>> [text.get_text() for text in ax.texts][:2]
    ['75 %', '3']
    """
    table = np.asarray(counts, dtype=np.float64)
    n = len(table)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    enlarge = max(1, 600 // n)  # so that smoothing blurs no cell into its neighbour
    ax.imshow(
        np.repeat(np.repeat(shares, enlarge, axis=0), enlarge, axis=1), cmap="Blues", vmin=0, vmax=1,
        extent=(-0.5, n - 0.5, n - 0.5, -0.5), interpolation="none", aspect="equal",
    )  # fmt: skip
    if n <= 12:
        digits = 0 if np.allclose(table, table.round(), atol=1e-4) else 1
        for i, j in np.ndindex(n, n):
            colour = "#fefefe" if shares[i, j] > 0.55 else "#1b242c"
            if table[i, j] > 0:
                ax.text(j, i - 0.04, f"{100 * shares[i, j]:.0f} %", ha="center", va="bottom",
                        fontsize=SMALL_PT, color=colour)  # fmt: skip
                ax.text(j, i + 0.06, f"{table[i, j]:.{digits}f}", ha="center", va="top",
                        fontsize=SMALL_PT - 1.5, color=colour)  # fmt: skip
    style(ax, x=f"said of the {unit}", y="truth", title=title, bare="both")
    if n <= 40:
        names = [shown(label, 22) for label in classes]
        slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(n), names, fontsize=SMALL_PT, **(slanted if n > 3 else {}))
        ax.set_yticks(range(n), names, fontsize=SMALL_PT)
    else:
        ax.set(xticks=[], yticks=[])
    return ax


def precision_recall(
    ax: Axes,
    is_class: NDArray[np.bool_],
    scores: Sequence[ArrayLike],
    *,
    colour: str,
    title: str = "",
) -> Axes:
    """Draw precision against recall of one class; of several repeats, their mean and their band.

    The band is as wide as the repeats. Of each repeat counts the best precision at a recall or a higher
    one.

    Parameters
    ----------
    ax : Axes
    is_class : ndarray [shape=(n_units,)], whether a unit truly is of the class
    scores : sequence of array [shape=(n_units,)], one per repeat; higher is more like the class
    colour : str
    title : str

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> is_class, repeats = np.array([True, False]), [[0.9, 0.2], [0.6, 0.7]]
    >>> ax = precision_recall(Figure().add_subplot(), is_class, repeats, colour=BLUE)
    >>> ax.lines[0].get_ydata()[[0, -1]].tolist(), len(ax.collections)
    ([0.75, 0.75], 1)
    """
    if len(scores) == 1:
        precision, recall, _ = precision_recall_curve(is_class, np.asarray(scores[0]))
        ax.step(recall[:-1], precision[:-1], where="post", color=colour, linewidth=1.6)
    else:
        grid = np.linspace(0, 1, 101)
        curves = np.array([precision_at_recall(is_class, repeat, grid) for repeat in scores])
        ax.fill_between(grid, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25,
                        linewidth=0)  # fmt: skip
        ax.plot(grid, curves.mean(axis=0), color=colour, linewidth=1.8)
    ax.axhline(float(np.mean(is_class)), color=SOFT, linestyle=":", linewidth=1.1)
    return _unit_square(ax, x="recall", y="precision", title=title)


def precision_at_recall(
    is_class: NDArray[np.bool_], scores: ArrayLike, recalls: ArrayLike
) -> NDArray[np.float64]:
    """Compute the best precision that has a recall or a higher one.

    Parameters
    ----------
    is_class : ndarray [shape=(n_units,)], whether a unit truly is of the class
    scores : array [shape=(n_units,)], higher is more like the class
    recalls : array [shape=(n_recalls,)], 0 to 1

    Returns
    -------
    ndarray [shape=(n_recalls,)]

    Examples
    --------
    >>> precision_at_recall(np.array([True, False, True]), [0.9, 0.5, 0.4], [0.5, 1.0]).round(2)
    array([1.  , 0.67])
    """
    precision, recall, _ = precision_recall_curve(is_class, np.asarray(scores))
    best = np.maximum.accumulate(precision[:-1])[::-1]  # recall falls along the curve
    at = np.searchsorted(recall[-2::-1], np.asarray(recalls) - 1e-9)
    return np.asarray(best[np.minimum(at, len(best) - 1)], dtype=np.float64)


def threshold_curves(
    ax: Axes, is_class: NDArray[np.bool_], probabilities: Sequence[ArrayLike], *, title: str = ""
) -> Axes:
    """Draw precision (solid) and recall (dashed) of one class against the threshold.

    Lines are means over repeats. Precision ends where no unit reaches the threshold in any repeat.

    Parameters
    ----------
    ax : Axes
    is_class : ndarray [shape=(n_units,)], whether a unit truly is of the class
    probabilities : sequence of array [shape=(n_units,)], one per repeat, 0 to 1
    title : str

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = threshold_curves(Figure().add_subplot(), np.array([True, False]), [[0.9, 0.2]])
    >>> ax.get_xlabel()
    'threshold on the probability'
    """
    thresholds = np.linspace(0, 1, 201)
    precision, recall = precision_recall_at(is_class, probabilities, thresholds)
    ax.plot(thresholds, precision, color=BLUE, linewidth=1.6)
    ax.plot(thresholds, recall, "--", color=VERMILLION, linewidth=1.6)
    return _unit_square(ax, x="threshold on the probability", y="share", title=title)


def precision_recall_at(
    is_class: NDArray[np.bool_], probabilities: Sequence[ArrayLike], thresholds: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute precision and recall if every unit at or above a threshold is called the class.

    Parameters
    ----------
    is_class : ndarray [shape=(n_units,)]
    probabilities : sequence of array [shape=(n_units,)], one per repeat
    thresholds : array [shape=(n_thresholds,)]

    Returns
    -------
    precision, recall : ndarray [shape=(n_thresholds,)]
        Means over repeats; precision over those in which a unit reaches the threshold, else NaN

    Examples
    --------
    >>> is_class = np.array([True, False, True])
    >>> precision, recall = precision_recall_at(is_class, [[0.9, 0.6, 0.2]], [0.5])
    >>> precision.tolist(), recall.tolist()
    ([0.5], [0.5])
    """
    steps = np.asarray(thresholds, dtype=np.float64)
    n_true = max(int(is_class.sum()), 1)
    precisions, recalls = [], []
    for repeat in probabilities:
        values = np.asarray(repeat, dtype=np.float64)
        n_said = len(values) - np.searchsorted(np.sort(values), steps)
        n_right = int(is_class.sum()) - np.searchsorted(np.sort(values[is_class]), steps)
        precisions.append(np.where(n_said > 0, n_right / np.maximum(n_said, 1), np.nan))
        recalls.append(n_right / n_true)
    stacked = np.stack(precisions)
    counted = np.isfinite(stacked).sum(axis=0)
    precision = np.where(counted > 0, np.nansum(stacked, axis=0) / np.maximum(counted, 1), np.nan)
    return precision, np.mean(recalls, axis=0)


def history_curves(
    ax: Axes, histories: Sequence[Sequence[Mapping[str, float]]], *, value: str = "loss",
    best_epochs: Sequence[int | None] = (), title: str = "", y: str = "",
) -> Axes:  # fmt: skip
    """Draw a quantity over epochs on both sides: a thin line per training, and a thick mean.

    Parameters
    ----------
    ax : Axes
    histories : sequence of histories, one per training: rows with ``epoch``, ``loss``, ``accuracy``
        and where there was a validation side ``validation_loss``, ``validation_accuracy``
    value : ``loss`` or ``accuracy``
    best_epochs : sequence of int, the epoch kept in each training, marked by a dot
    title, y : str

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> history = [{"epoch": 1, "loss": 0.7}, {"epoch": 2, "loss": 0.4}]
    >>> ax = history_curves(Figure().add_subplot(), [history])
    >>> ax.lines[0].get_ydata().tolist()
    [0.7, 0.4]
    """
    for key, colour, dash in ((value, BLUE, "-"), (f"validation_{value}", VERMILLION, "--")):
        lines = [[row[key] for row in rows] for rows in histories if rows and key in rows[0]]
        if not lines:
            continue
        n_epochs = min(map(len, lines))
        for line in lines if len(lines) > 1 else ():
            ax.plot(range(1, len(line) + 1), line, color=colour, linewidth=0.7, alpha=0.35)
        mean = np.mean([line[:n_epochs] for line in lines], axis=0)
        ax.plot(range(1, n_epochs + 1), mean, dash, color=colour, linewidth=1.8)
    for rows, best in zip(histories, best_epochs, strict=False):
        key = f"validation_{value}"
        if best and len(rows) >= best and key in rows[best - 1]:
            ax.plot(best, rows[best - 1][key], "o", color=VERMILLION, markersize=6.5,
                    markeredgecolor=INK, markeredgewidth=1.0)  # fmt: skip
    style(ax, x="epoch", y=y or value, title=title, grid="y")
    whole_numbers(ax)
    return ax


def reliability_diagram(ax: Axes, bins: Sequence[Mapping[str, float]]) -> Axes:
    """Draw the share of claims that came true against the claimed probability.

    Parameters
    ----------
    ax : Axes
    bins : sequence of dict ``claimed, happened, n_encounters``

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> bins = [{"claimed": 0.8, "happened": 0.7, "n_encounters": 12}]
    >>> ax = reliability_diagram(Figure().add_subplot(), bins)
    >>> ax.texts[0].get_text()
    '12'
    """
    ax.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1.1)
    claimed, happened = [b["claimed"] for b in bins], [b["happened"] for b in bins]
    ax.plot(claimed, happened, "o-", color=BLUE, linewidth=1.6, markersize=6)
    for row in bins:
        right = row["happened"] < row["claimed"]
        ax.annotate(
            f"{row['n_encounters']:.0f}", (row["claimed"], row["happened"]),
            xytext=(7 if right else -7, -3), textcoords="offset points",
            ha="left" if right else "right", fontsize=SMALL_PT, color=INK,
        )  # fmt: skip
    style(ax, x="probability that was claimed", y="share that was so", grid="both")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal")
    return ax


def risk_coverage_curve(
    ax: Axes, curve: Sequence[Mapping[str, float]], candidates: Sequence[Mapping[str, float]]
) -> Axes:
    """Draw the share of wrong names against the share that is named, the surest first.

    Parameters
    ----------
    ax : Axes
    curve : sequence of dict ``coverage, error``
    candidates : sequence of dict ``coverage, error, max_error``: where an upper bound is known

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> curve = [{"coverage": 0.5, "error": 0.1}, {"coverage": 1.0, "error": 0.3}]
    >>> candidates = [{"coverage": 1.0, "error": 0.3, "max_error": 0.5}]
    >>> ax = risk_coverage_curve(Figure().add_subplot(), curve, candidates)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['as counted', 'at most (95 % confidence)']
    """
    shares = [point["coverage"] for point in curve]
    ax.plot(shares, [p["error"] for p in curve], color=BLUE, linewidth=1.8, label="as counted")
    for row in candidates:
        ax.plot([row["coverage"]] * 2, [row["error"], row["max_error"]], ":", color=SOFT,
                linewidth=1.0)  # fmt: skip
    # A cap that points down: the truth lies below it.
    ax.plot([row["coverage"] for row in candidates], [row["max_error"] for row in candidates],
            marker=CARETDOWN, linestyle="none", color=VERMILLION, markersize=9,
            label="at most (95 % confidence)")  # fmt: skip
    ax.legend(loc="upper left", frameon=False, fontsize=SMALL_PT, labelcolor=INK)
    style(ax, x="share that is named, surest first", y="share of names that is wrong", grid="both")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1)
    return ax


def learning_curve_plot(ax: Axes, curve: Sequence[Mapping[str, float]]) -> Axes:
    """Draw balanced accuracy against the encounters per class that were learned from.

    Parameters
    ----------
    ax : Axes
    curve : sequence of dict ``n_per_class, balanced_accuracy``, one per draw

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> curve = [{"n_per_class": n, "balanced_accuracy": 0.5 + n / 20} for n in (1, 2, 4)]
    >>> ax = learning_curve_plot(Figure().add_subplot(), curve)
    """
    sizes = sorted({row["n_per_class"] for row in curve})
    draws = [[r["balanced_accuracy"] for r in curve if r["n_per_class"] == n] for n in sizes]
    ax.plot(sizes, [sum(values) / len(values) for values in draws], color=BLUE, linewidth=1.8)
    for n, values in zip(sizes, draws, strict=True):
        ax.plot([n] * len(values), values, "o", color=BLUE, markersize=4, alpha=0.6)
    style(ax, x="encounters per class learned from", y="balanced accuracy", grid="both")
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.02)
    whole_numbers(ax)
    return ax


def _unit_square(ax: Axes, *, x: str, y: str, title: str) -> Axes:
    style(ax, x=x, y=y, title=title, grid="both")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    return ax

"""Plots of a collection and of an evaluation: each takes axes and plain values, and returns the axes.

Nothing here reads files or keeps state: Matplotlib's objects are used directly, never pyplot. The
colours are Okabe and Ito's, which colour-blind readers tell apart, and no plot says by colour alone
what a label, an order or a dash does not say too. Plots of sound are in
:mod:`pseudorca.reporting.sound_plots`.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_curve

INK, SOFT, GRID = "#1f2933", "#52616f", "#d5dce3"
"""Text and axes; lesser text; grid lines. The report gives these three other values in the dark."""

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8a949e",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, GREY)
"""Okabe and Ito (2008), their black replaced by a grey that shows on dark paper too."""

FONT_PT, SMALL_PT = 9.0, 8.0


class Result(NamedTuple):
    """One row of :func:`intervals`: balanced accuracy with its 95 % interval and baseline."""

    name: str
    value: float
    low: float
    high: float
    baseline: float
    optimistic: bool


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Give each class a colour; from the ninth on colours come again."""
    return {label: COLOURS[k % len(COLOURS)] for k, label in enumerate(classes)}


def few_colours(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Join the smallest columns of a table into one if there are more columns than colours.

    Parameters
    ----------
    table : DataFrame, a column per class

    Returns
    -------
    table : DataFrame
        The same rows; at most as many columns as there are colours, the joined ones last
    colours : dict from column to colour, grey for the joined ones
    """
    table = table.set_axis(table.columns.astype(str), axis=1)
    if len(table.columns) <= len(COLOURS):
        return table, class_colours(list(table.columns))
    biggest = table.sum().nlargest(len(COLOURS) - 1).index
    is_kept = table.columns.isin(biggest)
    kept = table.loc[:, is_kept]
    name = f"{int((~is_kept).sum())} other classes"
    colours = class_colours(list(kept.columns)) | {name: GREY}
    return pd.concat([kept, table.loc[:, ~is_kept].sum(axis=1).rename(name)], axis=1), colours


def shown(text: object, most: int = 30) -> str:
    """Make any text safe to draw: short, on one line, without markup or missing glyphs.

    Parameters
    ----------
    text : object, such as a class name somebody typed
    most : int, characters; longer texts lose their middle
    """
    known = _glyphs()
    letters = [" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in str(text)]
    safe = "".join(
        letter if ord(letter) in known else "\N{REPLACEMENT CHARACTER}" for letter in letters
    )
    if len(safe) > most:
        head = (most - 1) * 2 // 3
        safe = f"{safe[:head]}…{safe[len(safe) - (most - 1 - head) :]}"
    return safe.replace("$", r"\$")  # Matplotlib reads $...$ as mathematics


def style(
    ax: Axes, *, x: str = "", y: str = "", title: str = "", grid: str = "", bare: str = ""
) -> Axes:
    """Give axes the look that all plots share.

    Parameters
    ----------
    ax : Axes
    x, y : str, labels of the axes, with units
    title : str
    grid : ``x``, ``y``, ``both`` or empty
    bare : ``x``, ``y``, ``both`` or empty; the axis loses its line and marks
    """
    for name, spine in ax.spines.items():
        along = "x" if name in ("bottom", "top") else "y"
        spine.set_visible(name in ("bottom", "left") and bare not in (along, "both"))
        spine.set(color=INK, linewidth=0.8)
    ax.tick_params(labelsize=SMALL_PT, colors=INK, width=0.8, length=3)
    for along, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        if bare in (along, "both"):
            axis.set_tick_params(length=0)
        if grid in (along, "both"):
            axis.grid(True, color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_facecolor("none")
    ax.set_xlabel(x, fontsize=FONT_PT, color=INK)
    ax.set_ylabel(y, fontsize=FONT_PT, color=INK)
    if title:
        ax.set_title(
            shown(title, 40), fontsize=FONT_PT, color=INK, loc="left", fontweight="bold", pad=6
        )
    return ax


def legend(target: Axes | Figure, entries: Mapping[str, str], **placing: Any) -> None:
    """Put a legend of coloured squares on axes or a figure: a mapping from label to colour."""
    target.legend(
        handles=[Patch(facecolor=colour) for colour in entries.values()],
        labels=[f" {shown(label)}" for label in entries],  # one that begins with _ would be hidden
        fontsize=SMALL_PT,
        frameon=False,
        labelcolor=INK,
        handlelength=0.9,
        handleheight=0.9,
        handletextpad=0.3,
        columnspacing=1.2,
        **placing,
    )


def stacked_bars(
    ax: Axes,
    counts: pd.DataFrame,
    *,
    colours: Mapping[str, str],
    x: str,
    title: str = "",
    totals: bool = True,
    most: int = 30,
) -> Axes:
    """Draw a horizontal bar per row, its classes one after the other, its total at the end.

    Parameters
    ----------
    ax : Axes
    counts : DataFrame
        A row per bar, the first on top; a column per class
    colours : mapping from class to colour
    x : str, label of the axis
    title : str
    totals : bool, write the total at the end of each bar
    most : int, letters of a row's name that are shown
    """
    rows = np.arange(len(counts))
    left = np.zeros(len(counts))
    for label in counts.columns:
        values = counts[label].to_numpy(dtype=np.float64)
        ax.barh(rows, values, 0.72, left, color=colours[str(label)], linewidth=0)
        left += values
    space = 0.01 * max(left.max(initial=0.0), 1.0)
    for row, total in enumerate(left if totals else ()):
        ax.text(total + space, row, f"{total:,.0f}", va="center", fontsize=SMALL_PT, color=INK)
    style(ax, x=x, title=title, grid="x", bare="y")
    ax.set_yticks(rows, [shown(name, most) for name in counts.index], fontsize=SMALL_PT)
    ax.set_ylim(len(counts) - 0.4, -0.6)
    ax.set_xlim(0, max(left.max(initial=0.0), 1.0) * 1.08)
    _whole_numbers(ax)
    return ax


def class_dots(
    ax: Axes, values: Mapping[str, Sequence[float]], *, colours: Mapping[str, str], x: str
) -> Axes:
    """Draw a dot per value on a line per class, with a bar at the mean.

    Parameters
    ----------
    ax : Axes
    values : mapping from class to its values, the first class on top
    colours : mapping from class to colour
    x : str, label of the axis
    """
    for row, (label, numbers) in enumerate(values.items()):
        ordered = np.sort(np.asarray(numbers, dtype=np.float64))
        around = row + 0.26 * np.sin(np.arange(len(ordered)) * 2.4)  # spread, the same every time
        ax.scatter(ordered, around, s=14, color=colours[label], alpha=0.75, linewidth=0)
        if len(ordered):
            ax.plot([ordered.mean()] * 2, [row - 0.4, row + 0.4], color=INK, linewidth=1.6)
    style(ax, x=x, grid="x", bare="y")
    names = [f"{shown(label)}  ({len(numbers)})" for label, numbers in values.items()]
    ax.set_yticks(range(len(names)), names, fontsize=SMALL_PT)
    ax.set_ylim(len(names) - 0.4, -0.6)
    return ax


def intervals(ax: Axes, results: Sequence[Result]) -> Axes:
    """Draw balanced accuracies with their 95 % intervals, one below the other.

    Filled dots: encounters never heard. Open dots: optimistic splits. Dashes: always naming one
    class.

    Parameters
    ----------
    ax : Axes
    results : sequence of Result, the first on top
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


def batch_counts(
    ax: Axes,
    counts: ArrayLike,
    classes: Sequence[str],
    *,
    colours: Mapping[str, str],
    title: str = "",
) -> Axes:
    """Draw how many clips of each class every batch of an epoch holds.

    Parameters
    ----------
    ax : Axes
    counts : array [shape=(n_batches, n_classes)]
    classes : sequence of str
    colours : mapping from class to colour
    title : str
    """
    table = np.asarray(counts, dtype=np.float64)
    batches = np.arange(1, len(table) + 1)
    bottom = np.zeros(len(table))
    for label, values in zip(classes, table.T, strict=True):
        ax.bar(batches, values, 0.85, bottom, color=colours[label], linewidth=0)
        bottom += values
    style(ax, x="batch of the first epoch", y="clips in the batch", title=title, grid="y")
    ax.set_xlim(0.4, len(table) + 0.6)
    _whole_numbers(ax)
    return ax


def confusion_matrix(
    ax: Axes, counts: ArrayLike, classes: Sequence[str], *, title: str = "", unit: str = "units"
) -> Axes:
    """Draw a confusion matrix: rows are the truth, colour and large figure the share of the row.

    Parameters
    ----------
    ax : Axes
    counts : array [shape=(n_classes, n_classes)], means over repeats
    classes : sequence of str
    title : str
    unit : str, plural, what is counted
    """
    table = np.asarray(counts, dtype=np.float64)
    n = len(table)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    enlarge = max(1, 900 // n)  # so that smoothing blurs no cell into its neighbour
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
        ax.set_xticks(range(n), names, fontsize=SMALL_PT, rotation=40, ha="right",
                      rotation_mode="anchor")  # fmt: skip
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
    """Draw precision against recall of one class, a line per repeat.

    Parameters
    ----------
    ax : Axes
    is_class : ndarray [shape=(n_units,)], whether a unit truly is of the class
    scores : sequence of array [shape=(n_units,)], one per repeat; higher is more like the class
    colour : str
    title : str
    """
    for repeat in scores:
        precision, recall, _ = precision_recall_curve(is_class, np.asarray(repeat))
        ax.step(recall[:-1], precision[:-1], where="post", color=colour, linewidth=1.6,
                alpha=max(0.35, 1 / len(scores) ** 0.5))  # fmt: skip
    ax.axhline(float(np.mean(is_class)), color=SOFT, linestyle=":", linewidth=1.1)
    return _unit_square(ax, x="recall", y="precision", title=title)


def threshold_curves(
    ax: Axes, is_class: NDArray[np.bool_], probabilities: Sequence[ArrayLike], *, title: str = ""
) -> Axes:
    """Draw precision (solid) and recall (dashed) of one class against the threshold.

    Means over repeats; precision ends where no unit reaches the threshold in any repeat.

    Parameters
    ----------
    ax : Axes
    is_class : ndarray [shape=(n_units,)], whether a unit truly is of the class
    probabilities : sequence of array [shape=(n_units,)], one per repeat, 0 to 1
    title : str
    """
    thresholds = np.linspace(0, 1, 201)
    precision, recall = precision_recall_at(is_class, probabilities, thresholds)
    ax.plot(thresholds, precision, color=BLUE, linewidth=1.6)
    ax.plot(thresholds, recall, "--", color=VERMILLION, linewidth=1.6)
    return _unit_square(ax, x="threshold on the probability", y="share", title=title)


def precision_recall_at(
    is_class: NDArray[np.bool_], probabilities: Sequence[ArrayLike], thresholds: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of one class where everything at or above a threshold counts as it.

    Parameters
    ----------
    is_class : ndarray [shape=(n_units,)]
    probabilities : sequence of array [shape=(n_units,)], one per repeat
    thresholds : array [shape=(n_thresholds,)]

    Returns
    -------
    precision, recall : ndarray [shape=(n_thresholds,)]
        Means over repeats; precision over those in which a unit reaches the threshold, else NaN
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
    """Draw a quantity over epochs on both sides: thin lines per training, thick their mean.

    Parameters
    ----------
    ax : Axes
    histories : sequence of histories, one per training: rows with ``epoch``, ``loss``, ``accuracy``
        and where there was a validation side ``validation_loss``, ``validation_accuracy``
    value : ``loss`` or ``accuracy``
    best_epochs : sequence of int, the epoch kept in each training, marked by a dot
    title, y : str
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
    _whole_numbers(ax)
    return ax


def _whole_numbers(ax: Axes) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, steps=[1, 2, 5, 10]))


def _unit_square(ax: Axes, *, x: str, y: str, title: str) -> Axes:
    style(ax, x=x, y=y, title=title, grid="both")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    return ax


@cache
def _glyphs() -> frozenset[int]:
    """The characters that Matplotlib's own font can draw."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())

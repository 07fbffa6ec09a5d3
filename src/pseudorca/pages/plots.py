"""Plots of a collection. Each function takes axes and plain values, and returns the axes.

No function reads files or keeps state. Matplotlib's objects are used directly, never pyplot. The
colours are those of Okabe and Ito, which colour-blind readers can tell apart. A label, an order or a
dash repeats what a colour says. Plots of evaluations are in
:mod:`pseudorca.report.evaluation_plots`, of sound in :mod:`pseudorca.report.sound_plots`.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

INK, SOFT, GRID = "#1f2933", "#52616f", "#d5dce3"
"""Text and axes; secondary text; grid lines. The page replaces these three colours in dark mode."""

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8a949e",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, GREY)
"""Okabe and Ito (2008). A grey that is visible on a dark page replaces their black."""

FONT_PT, SMALL_PT = 9.0, 8.0


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Give each class a colour. The ninth class has the colour of the first.

    Parameters
    ----------
    classes : sequence of str

    Returns
    -------
    dict from class to colour

    Examples
    --------
    >>> class_colours(["Insular", "Pelagic"])
    {'Insular': '#0072B2', 'Pelagic': '#E69F00'}
    """
    return {label: COLOURS[k % len(COLOURS)] for k, label in enumerate(classes)}


def few_colours(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Add up the smallest columns of a table if there are more columns than colours.

    Parameters
    ----------
    table : DataFrame, a column per class

    Returns
    -------
    table : DataFrame
        The same rows, with at most as many columns as there are colours. The sum of the smallest
        columns is the last column.
    colours : dict from column to colour, grey for the sum

    Examples
    --------
    >>> table, colours = few_colours(pd.DataFrame([range(10)], columns=list("abcdefghij")))
    >>> list(table.columns)[-2:], table.iloc[0, -1], colours["3 other classes"] == GREY
    (['j', '3 other classes'], np.int64(3), True)
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
    """Make a text safe to draw: short, on one line, without markup or missing glyphs.

    Parameters
    ----------
    text : object, such as the name of a class
    most : int, most characters; the middle of a longer text is left out

    Returns
    -------
    str

    Examples
    --------
    >>> shown("a class\\nwith a very long name", most=15), shown("$5")
    ('a class w… name', '\\\\$5')
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
    bare : ``x``, ``y``, ``both`` or empty; the axis has no line and no marks

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> style(Figure().add_subplot(), x="time (s)").get_xlabel()
    'time (s)'
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


def keep_outer_labels(axes: Sequence[Axes], *, n_columns: int, tick_labels: bool = True) -> None:
    """Remove the labels of axes except at the left and below the last panel of each column.

    Parameters
    ----------
    axes : sequence of Axes, panels row by row
    n_columns : int
    tick_labels : bool, False removes the numbers at the marks, too

    Examples
    --------
    >>> axes = Figure().subplots(1, 2)
    >>> _ = [style(ax, x="recall", y="precision") for ax in axes]
    >>> keep_outer_labels(axes, n_columns=2)
    >>> [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes]
    [('recall', 'precision'), ('recall', '')]
    """
    for k, ax in enumerate(axes):
        if k % n_columns:
            ax.set_ylabel("")
            ax.tick_params(labelleft=tick_labels)
        if k + n_columns < len(axes):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=tick_labels)


def legend(target: Axes | Figure, entries: Mapping[str, str], **placing: Any) -> None:
    """Add a legend of coloured squares.

    Parameters
    ----------
    target : Axes or Figure
    entries : mapping from label to colour
    placing : options of Matplotlib's ``legend``, such as ``loc``

    Examples
    --------
    >>> ax = Figure().add_subplot()
    >>> legend(ax, {"Insular": BLUE}, loc="upper left")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    [' Insular']
    """
    target.legend(
        handles=[Patch(facecolor=colour) for colour in entries.values()],
        # The space: Matplotlib hides labels that begin with _
        labels=[f" {shown(label)}" for label in entries],
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
    """Draw a horizontal bar per row. A bar is the classes one after the other, and its total.

    Parameters
    ----------
    ax : Axes
    counts : DataFrame
        A row per bar, the first on top; a column per class
    colours : mapping from class to colour
    x : str, label of the axis
    title : str
    totals : bool, write the total at the end of each bar
    most : int, most characters of a row's name

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> counts = pd.DataFrame({"Insular": [3], "Pelagic": [2]}, index=["Sette"])
    >>> ax = stacked_bars(
    ...     Figure().add_subplot(), counts, colours=class_colours(counts.columns), x="clips"
    ... )
    >>> [text.get_text() for text in ax.texts]
    ['5']
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
    whole_numbers(ax)
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

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> values = {"Insular": [1.0, 3.0]}
    >>> ax = class_dots(
    ...     Figure().add_subplot(), values, colours={"Insular": BLUE}, x="duration (s)"
    ... )
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Insular  (2)']
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


def batch_counts(
    ax: Axes,
    counts: ArrayLike,
    classes: Sequence[str],
    *,
    colours: Mapping[str, str],
    title: str = "",
) -> Axes:
    """Draw the number of clips of each class in every batch of an epoch.

    Parameters
    ----------
    ax : Axes
    counts : array [shape=(n_batches, n_classes)]
    classes : sequence of str
    colours : mapping from class to colour
    title : str

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> ax = batch_counts(
    ...     Figure().add_subplot(), [[3, 1], [2, 2]], ["a", "b"], colours={"a": BLUE, "b": SKY}
    ... )
    >>> len(ax.patches)
    4
    """
    table = np.asarray(counts, dtype=np.float64)
    batches = np.arange(1, len(table) + 1)
    bottom = np.zeros(len(table))
    for label, values in zip(classes, table.T, strict=True):
        ax.bar(batches, values, 0.85, bottom, color=colours[label], linewidth=0)
        bottom += values
    style(ax, x="batch of the first epoch", y="clips in the batch", title=title, grid="y")
    ax.set_xlim(0.4, len(table) + 0.6)
    whole_numbers(ax)
    whole_numbers(ax, along="y")
    return ax


def whole_numbers(ax: Axes, *, along: Literal["x", "y"] = "x") -> None:
    """Put the marks of an axis at whole numbers only.

    Parameters
    ----------
    ax : Axes
    along : ``x`` or ``y``

    Examples
    --------
    >>> ax = Figure().add_subplot()
    >>> _ = ax.set_xlim(0, 2)
    >>> whole_numbers(ax)
    >>> ax.get_xticks().tolist()
    [0.0, 1.0, 2.0]
    """
    axis = ax.xaxis if along == "x" else ax.yaxis
    axis.set_major_locator(MaxNLocator(9, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


@cache
def _glyphs() -> frozenset[int]:
    """The characters that Matplotlib's own font can draw."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())

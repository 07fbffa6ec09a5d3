"""Plots of an audit: model and controls on one axis, swapped backgrounds, bands.

Each function takes axes and plain values, and returns the axes (as in :mod:`pseudorca.pages.plots`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pseudorca.pages.plots import BLUE, GREY, INK, ORANGE, SMALL_PT, SOFT, VERMILLION, shown, style

PAPER = "#ffffff"

KINDS: dict[str, tuple[str, str, bool, str]] = {
    "model": ("o", BLUE, True, "the classifier"),
    "nuisance": ("s", VERMILLION, True, "no animal in it: votes"),
    "shown": ("D", GREY, False, "animals may have a part in it: does not vote"),
    "optimistic": ("o", ORANGE, False, "optimistic"),
}
"""Marker, colour, whether filled, and meaning of each kind of row."""


class ForestRow(NamedTuple):
    """A row of :func:`forest`: balanced accuracy with its 95 % interval.

    Examples
    --------
    >>> ForestRow("sample rate", "nuisance", 0.6, 0.4, 0.8).value
    0.6
    """

    name: str
    kind: str
    value: float
    low: float
    high: float


def forest(ax: Axes, rows: Sequence[ForestRow], *, chance: float) -> Axes:
    """Draw the model and every control on one axis, with intervals and the line of chance.

    Parameters
    ----------
    ax : Axes
    rows : sequence of ForestRow, the first on top
    chance : float, what guessing scores

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = forest(Figure().add_subplot(), [ForestRow("model", "model", 0.8, 0.6, 0.9)], chance=0.5)
    """
    for place, row in enumerate(rows):
        marker, colour, filled, _ = KINDS[row.kind]
        ax.plot([row.low, row.high], [place, place], color=colour, linewidth=2.0,
                solid_capstyle="butt")  # fmt: skip
        ax.plot(row.value, place, marker, markersize=7, color=colour, markeredgewidth=1.7,
                markerfacecolor=colour if filled else PAPER)  # fmt: skip
        ax.text(1.02, place, f"{row.value:.2f}  [{row.low:.2f}, {row.high:.2f}]", va="center",
                fontsize=SMALL_PT, color=INK, clip_on=False)  # fmt: skip
    ax.axvline(chance, color=SOFT, linestyle="--", linewidth=1.1)
    style(ax, x="balanced accuracy by encounter, 0 to 1 (dashes: chance)", grid="x", bare="y")
    ax.set_yticks(range(len(rows)), [shown(row.name, 60) for row in rows], fontsize=SMALL_PT)
    ax.set_xlim(0, 1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    handles = [
        Line2D([], [], color=KINDS[kind][1], marker=KINDS[kind][0], linewidth=2.0, markersize=6,
               markerfacecolor=KINDS[kind][1] if KINDS[kind][2] else PAPER)
        for kind in kinds
    ]  # fmt: skip
    ax.legend(
        handles, [KINDS[kind][3] for kind in kinds], loc="upper center", ncols=len(kinds),
        bbox_to_anchor=(0.35, -0.6 / max(0.25 * len(rows) + 0.4, 1)), frameon=False,
        fontsize=SMALL_PT, labelcolor=INK,
    )  # fmt: skip
    return ax


def answers_bar(ax: Axes, rows: Sequence[tuple[str, Mapping[str, float]]]) -> Axes:
    """Draw the shares of the answers for each row.

    Parameters
    ----------
    ax : Axes
    rows : sequence of (name, shares of ``animal``, ``background`` and ``neither``), first on top

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = answers_bar(
    ...     Figure().add_subplot(),
    ...     [("swapped", {"animal": 0.7, "background": 0.2, "neither": 0.1})],
    ... )
    """
    for place, (_, shares) in enumerate(rows):
        left = 0.0
        for kind, colour, hatch in (
            ("animal", BLUE, ""), ("background", VERMILLION, "///"), ("neither", GREY, "..."),
        ):  # fmt: skip
            share = shares.get(kind, 0.0)
            ax.barh(place, share, 0.6, left, color=colour, hatch=hatch, edgecolor=PAPER,
                    linewidth=0.6)  # fmt: skip
            if share >= 0.08:
                ax.text(left + share / 2, place, f" {100 * share:.0f} % ", ha="center", va="center",
                        fontsize=SMALL_PT, color="#fefefe",
                        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0})  # fmt: skip
            left += share
    style(ax, x="share of clips", grid="x", bare="y")
    ax.set_yticks(range(len(rows)), [shown(name, 60) for name, _ in rows], fontsize=SMALL_PT)
    ax.set_xlim(0, 1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    return ax


def excess_lines(
    ax: Axes,
    edges_khz: Sequence[float],
    excess_db: Mapping[str, Sequence[float | None]],
    *,
    colours: Mapping[str, str],
) -> Axes:
    """Draw the excess of each class's signals over the background, by frequency.

    Parameters
    ----------
    ax : Axes
    edges_khz : sequence of float, one more than there are bands
    excess_db : mapping from class to decibels per band, None if unknown
    colours : mapping from class to colour

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = excess_lines(Figure().add_subplot(), [0, 4, 8], {"A": [3.0, None]}, colours={"A": "black"})
    """
    for label, values in excess_db.items():
        heights = [float("nan") if value is None else value for value in values]
        ax.stairs(heights, edges_khz, baseline=None, color=colours[label], linewidth=1.6)
    style(ax, x="kHz", y="signals above background, dB", title="Where the animals' sounds are",
          grid="y")  # fmt: skip
    ax.set_xlim(edges_khz[0], edges_khz[-1])
    return ax


def band_intervals(
    ax: Axes,
    bands: Sequence[Mapping[str, Any]],
    *,
    chance: float,
    whole: float,
) -> Axes:
    """Draw the accuracy of each band alone, and of all other bands.

    Parameters
    ----------
    ax : Axes
    bands : sequence of dict with ``low_hz, high_hz`` and ``alone`` and ``left_out``, each with
        ``value, low, high``
    chance, whole : float, balanced accuracy of guessing and with all bands

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> estimate = {"value": 0.7, "low": 0.5, "high": 0.9}
    >>> ax = band_intervals(
    ...     Figure().add_subplot(), [{"low_hz": 0, "high_hz": 8000, "alone": estimate,
    ...                               "left_out": estimate}], chance=0.5, whole=0.9,
    ... )
    """
    for band in bands:
        low, high = band["low_hz"] / 1000, band["high_hz"] / 1000
        for kind, colour, dash, at in (("alone", BLUE, "-", 0.38), ("left_out", ORANGE, ":", 0.62)):
            estimate = band[kind]
            ax.plot([low, high], [estimate["value"]] * 2, dash, color=colour, linewidth=2.6,
                    solid_capstyle="butt")  # fmt: skip
            middle = low + at * (high - low)
            ax.plot([middle] * 2, [estimate["low"], estimate["high"]], color=colour, linewidth=1.1)
    ax.axhline(chance, color=SOFT, linestyle="--", linewidth=1.1)
    ax.axhline(whole, color=INK, linewidth=0.9)
    style(ax, x="kHz", y="balanced accuracy", title="Where the answer comes from", grid="y")
    ax.set_xlim(bands[0]["low_hz"] / 1000, bands[-1]["high_hz"] / 1000)
    ax.set_ylim(0, 1.02)
    handles = [
        Line2D([], [], color=BLUE, linewidth=2.6),
        Line2D([], [], color=ORANGE, linewidth=2.6, linestyle=":"),
        Line2D([], [], color=INK, linewidth=0.9),
        Line2D([], [], color=SOFT, linewidth=1.1, linestyle="--"),
    ]
    ax.legend(handles, ["this band alone", "all but this band", "all bands", "chance"], ncols=4,
              loc="upper center", bbox_to_anchor=(0.5, -0.22), frameon=False, fontsize=SMALL_PT,
              labelcolor=INK, handlelength=1.6, columnspacing=1.2)  # fmt: skip
    return ax

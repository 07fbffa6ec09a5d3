"""Figures of the events page: ax in, ax out."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pseudorca.pages.plots import BLUE, GREY, INK, ORANGE, SMALL_PT, SOFT, shown, style


def score_dots(ax: Axes, events: pd.DataFrame, *, label_from: float, not_below: float) -> Axes:
    """Draw the scores of verified events, a line per survey and truth.

    Filled: the species; open: something else; small and grey: left undecided by the filter. Solid
    line: from here on called; dashed: below this called not the species.

    Parameters
    ----------
    ax : Axes
    events : DataFrame with ``survey, score, positive`` and ``passes``
    label_from, not_below : float

    Returns
    -------
    Axes, the same
    """
    names = []
    for row, ((survey, is_species), of_line) in enumerate(
        events.groupby(["survey", "positive"], sort=True)
    ):
        names.append(f"{survey}: {'the species' if is_species else 'others'}  ({len(of_line)})")
        ordered = of_line.sort_values("score")
        around = row + 0.27 * np.sin(np.arange(len(ordered)) * 2.4)  # spread, the same every time
        for passes, size, colour in (
            (False, 9.0, GREY),
            (True, 24.0, BLUE if is_species else ORANGE),
        ):
            here = ordered["passes"].to_numpy(dtype=bool) == passes
            ax.scatter(
                ordered["score"].to_numpy()[here], around[here], s=size, linewidth=1.1,
                facecolor=colour if is_species else "none", edgecolor=colour,
            )  # fmt: skip
    ax.axvline(label_from, color=INK, linewidth=1.1)
    ax.axvline(not_below, color=INK, linewidth=1.1, linestyle="--")
    style(ax, x="score", grid="x", bare="y")
    ax.set_yticks(range(len(names)), [shown(name, 40) for name in names], fontsize=SMALL_PT)
    ax.set_ylim(len(names) - 0.4, -0.6)
    return ax


def risk_curve(ax: Axes, curve: pd.DataFrame, *, title: str, x: str) -> Axes:
    """Draw the share of wrong answers, and its upper bound, against the share of events answered.

    Parameters
    ----------
    ax : Axes
    curve : DataFrame with ``coverage, risk, risk_high``
    title, x : str

    Returns
    -------
    Axes, the same
    """
    ax.plot(curve["coverage"], curve["risk_high"], "--", color=SOFT, linewidth=1.2)
    ax.plot(curve["coverage"], curve["risk"], color=BLUE, linewidth=1.8)
    style(ax, x=x, y="share that is wrong", title=title, grid="both")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlim(0, max(float(curve["coverage"].max()), 0.01) * 1.03)
    return ax


def reliability_dots(ax: Axes, bins: list[dict[str, Any]]) -> Axes:
    """Draw how often events of about one probability were the species, with exact intervals.

    Parameters
    ----------
    ax : Axes
    bins : rows ``claimed, happened, happened_low, happened_high, n``

    Returns
    -------
    Axes, the same
    """
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1.0, linestyle=":")
    for row in bins:
        ax.plot([row["claimed"]] * 2, [row["happened_low"], row["happened_high"]], color=BLUE,
                linewidth=2.0, solid_capstyle="butt")  # fmt: skip
        ax.plot(row["claimed"], row["happened"], "o", color=BLUE, markersize=6.5)
        ax.annotate(f"{row['n']}", (row["claimed"], row["happened"]), (6, -3),
                    textcoords="offset points", fontsize=SMALL_PT, color=INK)  # fmt: skip
    style(ax, x="probability claimed", y="share that was the species", grid="both")
    ax.set(xlim=(-0.02, 1.06), ylim=(-0.02, 1.04))
    return ax


def prevalence_curve(ax: Axes, rows: list[dict[str, Any]], *, own: float) -> Axes:
    """Draw what precision is shown at which share of the species.

    Parameters
    ----------
    ax : Axes
    rows : ``prevalence, precision, precision_low``
    own : float, the share among the verified events, marked by a dot

    Returns
    -------
    Axes, the same
    """
    known = [row for row in rows if row["precision_low"] is not None]
    others = [row for row in known if row["prevalence"] != own]
    ax.plot([row["prevalence"] for row in others], [row["precision_low"] for row in others],
            "o-", color=BLUE, linewidth=1.6, markersize=4, markerfacecolor="#ffffff")  # fmt: skip
    for row in known:
        if row["prevalence"] == own:
            ax.plot(own, row["precision_low"], "o", color=BLUE, markersize=8)
    style(
        ax, x="share of the species among all events", y="precision shown (at least)", grid="both"
    )
    ax.set_xscale("log")
    ticks = [row["prevalence"] for row in others]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=SMALL_PT)
    ax.set_xticks([], minor=True)
    ax.set_ylim(0, 1.03)
    return ax

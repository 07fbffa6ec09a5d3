"""Plots of detections over time, before the time that was recorded and listened to.

Each takes axes and plain values, and returns the axes, like those in :mod:`pseudorca.reporting.plots`.
"""

from collections.abc import Mapping

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, PercentFormatter

from pseudorca.reporting.plots import GRID, SMALL_PT, SOFT, style, whole_numbers

_LISTENED_ALPHA = 0.28  # of the second grey, which must show by day and in the dark
_SLIVER = 0.04  # as high as the grey of a few seconds in a day stands, to be seen at all


def detections_over_time(
    ax: Axes,
    effort: pd.DataFrame,
    counts: pd.DataFrame,
    *,
    colours: Mapping[str, str],
    title: str = "",
) -> Axes:
    """Draw what was detected in each period in front of how much of it was recorded.

    Grey reaches as high as the share of the period that was recorded, darker as the share that was
    listened to; where nobody recorded, the ground stays blank. Coloured bars are detections.

    Parameters
    ----------
    ax : Axes
    effort : DataFrame
        A row per period with a recording: ``start_utc`` (datetime), ``days`` (its length),
        ``recorded`` and ``listened`` (shares of it, 0 to 1)
    counts : DataFrame, the same rows; a column of detections per population
    colours : mapping from population to colour
    title : str
    """
    left = mdates.date2num(effort["start_utc"])  # type: ignore[no-untyped-call]
    width = effort["days"].to_numpy(dtype=np.float64)
    ground = ax.twinx()
    ground.set_zorder(ax.get_zorder() - 1)
    for name, colour, alpha in (("recorded", GRID, 1.0), ("listened", SOFT, _LISTENED_ALPHA)):
        share = effort[name].to_numpy(dtype=np.float64)
        height = np.where(share > 0, np.maximum(share, _SLIVER), 0.0)
        ground.bar(left, height, width, align="edge", color=colour, alpha=alpha, linewidth=0)
    bottom = np.zeros(len(counts))
    for label in counts.columns:
        values = counts[label].to_numpy(dtype=np.float64)
        ax.bar(left + width / 2, values, 0.62 * width, bottom, color=colours[label], linewidth=0)
        bottom += values
    style(ax, y="detections", title=title)
    ax.set_ylim(0, max(float(bottom.max(initial=0.0)), 1.0) * 1.05)
    whole_numbers(ax, along="y")
    style(ground, y="recorded", bare="y")
    ground.set_ylim(0, 1.05)
    ground.yaxis.set_label_position("right")
    ground.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    ground.yaxis.set_major_formatter(PercentFormatter(1))
    locator = mdates.AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(
        mdates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )
    ax.xaxis.get_offset_text().set_fontsize(SMALL_PT)
    ax.patch.set_visible(False)
    return ax

"""Detections over time with effort, and the times without recordings.

In: the tables ``hours`` and ``days`` that ``predict`` wrote. Out: a figure with a panel per recorder,
so that silence is not taken for absence.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pseudorca.pages.blocks import Block, Cell, Number, Table, Text, chart, figure, folded
from pseudorca.pages.plots import (
    SMALL_PT,
    SOFT,
    class_colours,
    few_colours,
    legend,
    style,
    whole_numbers,
)
from pseudorca.report.contents import Contents

_ALPHA = {
    "recorded": 0.28,
    "listened": 0.4,
}  # of greys on top of each other, by day and in the dark
_SLIVER = 0.06  # the least height of grey, so that a few seconds in a day can be seen
_UNITS_OF_TIME = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
_MOST_DAYS_BY_HOUR = 3
_MOST_DAYS_BY_DAY = 400
_MOST_RECORDERS = 6


def detections_over_time(
    ax: Axes,
    effort: pd.DataFrame,
    counts: pd.DataFrame,
    *,
    colours: Mapping[str, str],
    title: str = "",
) -> Axes:
    """Draw the detections of each period in front of how much of it was recorded.

    Light grey is as high as the time that was recorded, dark grey as high as the time that was
    listened to, on an axis that ends at the longest: a minute a day fills it where no day has more.
    Periods without a recording stay blank. Coloured bars are detections.

    Parameters
    ----------
    ax : Axes
    effort : DataFrame
        A row per period with a recording: ``start_utc`` (datetime), ``days`` (its length),
        ``recorded_s`` and ``listened_s`` (seconds of it)
    counts : DataFrame, the same rows; a column of detections per population
    colours : mapping from population to colour
    title : str

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> hour = pd.Timestamp("2017-07-01", tz="UTC")
    >>> effort = pd.DataFrame(
    ...     {"start_utc": [hour], "days": 1 / 24, "recorded_s": 50.0, "listened_s": 20.0}
    ... )
    >>> counts = pd.DataFrame({"Pelagic": [3]})
    >>> ax = detections_over_time(
    ...     Figure().add_subplot(), effort, counts, colours={"Pelagic": SOFT}
    ... )
    >>> int(ax.patches[0].get_height())
    3
    """
    left = mdates.date2num(effort["start_utc"])  # type: ignore[no-untyped-call]
    width = effort["days"].to_numpy(dtype=np.float64)
    ground = ax.twinx()
    ground.set_zorder(ax.get_zorder() - 1)
    most_s = max(float(effort["recorded_s"].max()), 1.0)
    unit, unit_s = next(each for each in _UNITS_OF_TIME if most_s >= 2 * each[1] or each[1] == 1)
    for name, alpha in _ALPHA.items():
        seconds = effort[f"{name}_s"].to_numpy(dtype=np.float64)
        height = np.where(seconds > 0, np.maximum(seconds, _SLIVER * most_s), 0.0) / unit_s
        ground.bar(left, height, width, align="edge", color=SOFT, alpha=alpha, linewidth=0)
    bottom = np.zeros(len(counts))
    for label in counts.columns:
        values = counts[label].to_numpy(dtype=np.float64)
        ax.bar(left + width / 2, values, 0.62 * width, bottom, color=colours[label], linewidth=0)
        bottom += values
    style(ax, y="detections", title=title)
    ax.set_ylim(0, max(float(bottom.max(initial=0.0)), 1.0) * 1.05)
    whole_numbers(ax, along="y")
    style(ground, y=f"{unit} recorded", bare="y")
    ground.set_ylim(0, 1.05 * most_s / unit_s)
    ground.yaxis.set_label_position("right")
    ground.yaxis.set_major_locator(MaxNLocator(3))
    locator = mdates.AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(
        mdates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )
    ax.xaxis.get_offset_text().set_fontsize(SMALL_PT)
    ax.patch.set_visible(False)
    return ax


def timeline(project: Contents, folder: Path, classes: Sequence[str]) -> list[Block]:
    """Show when each population was detected, and when there was anything to detect it in.

    Parameters
    ----------
    project : Contents
    folder : path, where ``predict`` wrote its tables
    classes : sequence of str, the answers that have a colour in this section

    Returns
    -------
    list of Block, empty if there are no such tables

    Examples
    --------
    >>> timeline(None, Path("no such folder"), ["Insular", "Pelagic"])
    []
    """
    hours, days = (
        next(written_tables(project, folder / name, prepared=_with_times), None)
        for name in ("hours", "days")
    )
    if hours is None or days is None or days.empty:
        return []
    lost_s = float(days.loc[days["start_utc"].isna(), "recorded_s"].sum())
    hours, days = (table[table["start_utc"].notna()] for table in (hours, days))
    if days.empty:
        text = (
            "When the sounds were is not known: no file has a time in its name. --name-pattern tells "
            "how to read it."
        )
        return [Text(text)]
    period, table = _by_period(hours, days)
    prefix = "detections_"
    labels = [n.removeprefix(prefix) for n in map(str, table.columns) if n.startswith(prefix)]
    counts = table[[prefix + label for label in labels]].set_axis(labels, axis=1)
    counts, colours = few_colours(counts)
    if len(labels) == len(counts.columns):  # the colours of the other figures
        colours = {label: class_colours(list(classes))[label] for label in labels}
    by_recorder = counts.sum(axis=1).groupby(table["recorder"]).sum()
    recorders = by_recorder.sort_values(ascending=False, kind="stable").index
    shown = recorders[:_MOST_RECORDERS]
    chart_figure = figure(1.75 * len(shown) + 0.5)
    axes = chart_figure.subplots(len(shown), 1, squeeze=False, sharex=True)[:, 0]
    for ax, recorder in zip(axes, shown, strict=True):
        own = (table["recorder"] == recorder).to_numpy()
        title = str(recorder) or "recorder"
        detections_over_time(ax, table[own], counts[own], colours=colours, title=title)
    legend(chart_figure, colours, loc="outside upper left", ncols=6)
    noun, second = ("hours", 3600) if table["recorded_s"].sum() >= 1800 else ("minutes", 60)
    listened, recorded, quiet = (
        table[f"{name}_s"].sum() / second for name in ("listened", "recorded", "quiet")
    )
    caption = (
        f"Detections per {period} (UTC) of each population, by when they begin. Grey, on the right "
        f"axis: how much of the {period} was recorded, darker how much of it was listened to "
        f"({listened:,.1f} of {recorded:,.1f} {noun}); white: nobody recorded, and nothing could be "
        "heard. No bar where there is grey: listened, and nothing named."
    )
    if quiet:
        caption += f" {quiet:,.1f} {noun} without signal were listened to by the gate alone."
    if len(recorders) > len(shown):
        caption += f" The {len(shown)} recorders with most detections of {len(recorders)}."
    if lost_s:
        caption += f" {lost_s / second:,.1f} {noun} in files without a time are not shown."
    spoken = ", ".join(f"{label} {int(n)}" for label, n in counts.sum().items())
    description = f"Detections over time: {spoken}. {caption}"
    return [
        chart(chart_figure, description=description, caption=caption),
        folded(_time_named(table, labels)),
    ]


def _time_named(table: pd.DataFrame, labels: Sequence[str]) -> Table:
    """Detections and seconds of sound that were named, per recorder and population."""
    rows: list[tuple[Cell, ...]] = []
    for recorder, total in table.drop(columns="start_utc").groupby("recorder").sum().iterrows():
        for label in labels:
            n, seconds = int(total[f"detections_{label}"]), float(total[f"seconds_{label}"])
            percent = 100 * seconds / max(float(total["listened_s"]), 1e-9)
            name = str(recorder) or "recorder"
            rows.append((name, label, n, Number(seconds, 0), Number(percent, 1)))
    return Table(
        ("recorder", "population", "detections", "seconds", "% of what was listened to"),
        rows,
        caption="How much sound was named. Detections are of any length, so their seconds say more "
        "than their number.",
    )


def _by_period(hours: pd.DataFrame, days: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The table by hour, day or month, whichever can be seen, with the days of each period."""
    span_days = (days["start_utc"].max() - days["start_utc"].min()).days + 1
    if span_days <= _MOST_DAYS_BY_HOUR:
        period, table = "hour", hours.assign(days=1 / 24)
    elif span_days <= _MOST_DAYS_BY_DAY:
        period, table = "day", days.assign(days=1.0)
    else:
        period = "month"
        month = days["start_utc"].dt.tz_localize(None).dt.to_period("M")
        sums = days.drop(columns="start_utc").groupby([month, "recorder"]).sum().reset_index()
        table = sums.assign(
            start_utc=sums["start_utc"].dt.start_time.dt.tz_localize("UTC"),
            days=sums["start_utc"].dt.days_in_month.astype(float),
        )
    return period, table.reset_index(drop=True)


def written_tables(
    project: Contents,
    path: Path,
    *,
    prepared: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    **csv: Any,
) -> Iterator[pd.DataFrame]:
    """Read a table that ``predict`` wrote, as CSV and then as Parquet.

    Parameters
    ----------
    project : Contents, which notes what cannot be read
    path : path without a suffix
    prepared : callable, what is done to the table
    csv : options of ``pandas.read_csv``

    Yields
    ------
    DataFrame, of each file that is there and can be read

    Examples
    --------
    >>> list(written_tables(None, Path("no such folder", "hours")))
    []
    """
    for file in (path.with_suffix(".csv"), path.with_suffix(".parquet")):
        if file.exists():
            try:
                is_csv = file.suffix == ".csv"
                table = prepared(pd.read_csv(file, **csv) if is_csv else pd.read_parquet(file))
            except (OSError, ValueError, KeyError) as error:
                project.note_trouble(file, error)
            else:
                yield table


def _with_times(table: pd.DataFrame) -> pd.DataFrame:
    start = pd.to_datetime(table["start_utc"], utc=True)
    table = table.drop(columns="start_local", errors="ignore")
    return table.assign(start_utc=start, recorder=table["recorder"].fillna("").astype(str))

"""The page of ``compare``: every embedder on the same encounters, accuracy against speed.

In: the result of :func:`pseudorca.compare.compare.compare_project`. Out: a page in one file,
with the accuracy of a free choice first, and the same figure as a PNG.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from pseudorca.compare.choosing import NESTED
from pseudorca.formats.whole import whole_file
from pseudorca.pages.blocks import (
    Headline,
    Notices,
    Number,
    Section,
    Settings,
    Table,
    Text,
    chart,
    figure,
)
from pseudorca.pages.plots import BLUE, GREEN, GREY, INK, ORANGE, SMALL_PT, SOFT, shown, style
from pseudorca.pages.writing import write_page
from pseudorca.values import plural

_KINDS = {
    "network": ("o", BLUE),
    "no network": ("s", ORANGE),
    "side by side": ("D", GREEN),
    "mean of scores": ("^", GREEN),
}


def write_comparison(result: Mapping[str, Any], target: Path) -> dict[str, Any]:
    """Write the page, and the figure as ``accuracy_speed.png`` beside it.

    Parameters
    ----------
    result : mapping, as from ``compare_project``
    target : path of the HTML file; it appears whole or not at all

    Returns
    -------
    dict ``output, n_sections, n_figures, n_bytes, figure``

    Raises
    ------
    PseudorcaError
        If a file cannot be written.
    """
    sections = [_answer(result), *(_split(result, name) for name in result["splits"]), _how(result)]
    title = f"{result['n_compared']} ways to hear {', '.join(result['classes'])}"
    written = write_page(sections, target, title=title, notices=list(result["notices"]))
    picture = target.with_name("accuracy_speed.png")
    with whole_file(picture) as part:
        _headline_figure(result).savefig(part, format="png", dpi=150, facecolor="white")
    return written | {"figure": str(picture)}


def _accuracy_speed(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> Axes:
    """Draw balanced accuracy, with its interval, against clips per second.

    Variants are numbered from the best. Round: networks. Square: no network. Diamond: side by side.
    Triangle: mean of scores. Line: the choice in inner folds. Dotted line: guessing.

    Parameters
    ----------
    ax : Axes
    rows : sequence of mappings, one split and unit of ``compare_project``

    Returns
    -------
    Axes, the same
    """
    drawn = [row for row in rows if row["clips_per_s"] is not None]
    drawn.sort(key=lambda row: -row["balanced_accuracy"])
    for number, row in enumerate(drawn, 1):
        marker, colour = _KINDS[row["kind"]]
        value = row["balanced_accuracy"]
        ends = [[value - row["ci_low"]], [row["ci_high"] - value]]
        ax.errorbar(
            row["clips_per_s"], value, yerr=ends, fmt=marker, color=colour, markersize=6,
            elinewidth=0.9, capsize=0, label=f"{number}  {shown(row['variant'], 44)}",
        )  # fmt: skip
        side, place = (6, "left") if number % 2 else (-6, "right")
        ax.annotate(
            str(number), (row["clips_per_s"], value), xytext=(side, 2), ha=place,
            textcoords="offset points", fontsize=SMALL_PT, color=INK,
        )  # fmt: skip
    for row in rows:
        if row["variant"] == NESTED:
            ax.axhline(row["balanced_accuracy"], color=GREY, linewidth=1.2)
    ax.axhline(rows[0]["majority_baseline"], color=SOFT, linewidth=1.0, linestyle=":")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0, 1.02)
    ax.margins(x=0.1)
    ax.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=SMALL_PT, frameon=False,
        labelcolor=INK,
    )  # fmt: skip
    return style(ax, x="clips per second, from file to embedding", y="balanced accuracy", grid="y")


def _rows(result: Mapping[str, Any], split: str, unit: str) -> list[dict[str, Any]]:
    return [row for row in result["rows"] if (row["split"], row["unit"]) == (split, unit)]


def _headline_figure(result: Mapping[str, Any]) -> Figure:
    chart_figure = figure(4.2)
    _accuracy_speed(chart_figure.subplots(), _rows(result, result["headline_split"], "encounter"))
    return chart_figure


def _answer(result: Mapping[str, Any]) -> Section:
    split = result["headline_split"]
    row = next(r for r in _rows(result, split, "encounter") if r["variant"] == NESTED)
    headline = Headline(
        verdict="",
        value=Number(row["balanced_accuracy"]),
        what=f"balanced accuracy on encounters never heard (split {split}), if inner folds choose",
        low=Number(row["ci_low"]),
        high=Number(row["ci_high"]),
        method=row["interval_method"],
        baseline=Number(row["majority_baseline"]),
        about=f"{plural(result['n_recordings'], 'recording')}, "
        f"{plural(result['n_encounters'], 'encounter')}, {plural(len(result['classes']), 'class')}",
        compared=[result["summary"]],
    )
    speed = chart(
        _headline_figure(result),
        description="Balanced accuracy against clips per second.",
        caption="Balanced accuracy by encounter, with 95 % intervals, against speed on the computer "
        "that embedded. Round: networks; square: no network; diamond: embeddings side by side; "
        "triangle: mean of scores. Line: choosing in inner folds. Dotted: always naming one class. The "
        "best of many is too good by chance: the line is what to expect of it.",
    )
    notices = [Notices(result["notices"])] if result["notices"] else []
    return Section("answer", "What to expect", [headline, *notices, speed])


def _split(result: Mapping[str, Any], name: str) -> Section:
    section = Section(f"split-{name}", f"Split {name}")
    if result["splits"][name]["optimistic"]:
        section.title += " (optimistic)"
        section.blocks.append(
            Text(
                "Clips of one encounter stand on both sides. These numbers say how well recorders and "
                "days are remembered; they are here to be compared with the honest ones."
            )
        )
    columns = (
        "", "clips/s", "balanced accuracy", "from", "to", f"against {result['reference']}", "from",
        "to", "",
    )  # fmt: skip
    for unit in ("encounter", "recording", "clip"):
        rows = sorted(_rows(result, name, unit), key=lambda row: -row["balanced_accuracy"])
        cells = [
            (
                row["variant"], Number(row["clips_per_s"], 0), Number(row["balanced_accuracy"], 3),
                Number(row["ci_low"]), Number(row["ci_high"]),
                Number(row["difference"], 3), Number(row["difference_low"]),
                Number(row["difference_high"]), row["word"] or "",
            )
            for row in rows
        ]  # fmt: skip
        caption = (
            f"By {unit}: {rows[0]['n_units']} of them, {plural(rows[0]['n_groups'], 'group')}."
        )
        section.blocks.append(Table(columns, cells, caption=caption))
    if chosen := result["chosen"].get(name):
        caption = "What the training sides chose, one choice each."
        choices = list(chosen.items())
        section.blocks.append(Table(("chosen in inner folds", "times"), choices, caption=caption))
    return section


def _how(result: Mapping[str, Any]) -> Section:
    columns = ("", "kind", "numbers", "licence", "inner folds may choose it", "embedder")
    rows = [
        (
            name, variant["kind"], variant["embedding_size"], variant["licence"],
            "yes" if variant["may_be_chosen"] else "no",
            ", ".join(variant.get("embedder_ids", ())),
        )
        for name, variant in result["variants"].items()
    ]  # fmt: skip
    text = (
        "Differences are paired: the same encounters, resampled within class 2,000 times. "
        f"{result['n_compared'] - 1} comparisons were made, and of twenty such intervals one misses "
        "by chance. Nothing is called better or worse where the interval includes 0, or where a class "
        "has too few encounters."
    )
    versions = Settings([(key, str(value)) for key, value in result["versions"].items()])
    return Section("how", "What was compared", [Table(columns, rows), Text(text), versions])

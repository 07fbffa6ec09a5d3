"""The data that a project holds: what there is of each class, encounter and platform."""

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from pseudorca.frontends.reach import band_notices, resampling_notices
from pseudorca.pages.blocks import (
    Block,
    Facts,
    Fold,
    Notices,
    Number,
    Section,
    Table,
    Text,
    chart,
    figure,
    folded,
)
from pseudorca.pages.plots import (
    BLUE,
    COLOURS,
    class_colours,
    class_dots,
    few_colours,
    legend,
    stacked_bars,
)
from pseudorca.recordings.notices import collection_notices
from pseudorca.report.contents import Contents
from pseudorca.values import plural

_MOST_BARS = 40
_MOST_ROWS = 500
_MOST_COLUMNS = 12
_MOST_NOTICES = 8
_SHORT_TABLE = 12
_OTHERS = "other classes"


def data_section(project: Contents, notices: list[str]) -> Section:
    """Say what was recorded, what of it is labelled, and what could not be used."""
    section = Section("data", "The data")
    recordings, labelled = project.recordings, project.labelled
    unit, seconds = _time_unit(recordings)
    roots = ", ".join(sorted(set(map(str, recordings["root"])))) or "no folder"
    section.blocks += [
        Text(f"Scanned from {roots}."),
        Facts(
            [
                ("recordings", len(recordings)),
                ("labelled", len(labelled)),
                ("unlabelled", len(recordings) - len(labelled)),
                (unit, Number(recordings["duration_s"].sum() / seconds, 1)),
                ("classes", len(project.classes)),
                ("labelled encounters", int(labelled["encounter"].nunique())),
                ("clips", len(project.clips)),
                ("problems", len(project.problems)),
            ]
        ),
    ]
    sentences = []
    if project.front_end is not None:
        sentences += band_notices(recordings, project.front_end)
        sentences += resampling_notices(recordings, project.front_end.sample_rate)
    sentences += collection_notices(recordings)
    notices += sentences
    if sentences:
        section.blocks.append(Notices(sentences[:_MOST_NOTICES]))
    if more := sentences[_MOST_NOTICES:]:
        section.blocks.append(Fold(plural(len(more), "more notice"), [Notices(more)]))
    if len(labelled):
        section.blocks.append(folded(_class_table(project)))
        if len(project.labelled_clips):
            section.blocks += _clip_charts(project)
        section.blocks += _recorders(project)
    section.blocks += _problem_table(project)
    return section


def _class_table(project: Contents) -> Table:
    labelled, clips = project.labelled, project.labelled_clips
    unit, seconds = _time_unit(project.recordings)
    rows = []
    for label in project.classes:
        of_class = labelled[labelled["label"] == label]
        cut = clips[clips["label"] == label]
        rates = of_class["sample_rate"] / 1000
        span = f"{rates.min():g}" + (f" to {rates.max():g}" if rates.nunique() > 1 else "")
        padded = Number(100 * float((cut["padded_s"] > 0).mean()) if len(cut) else None, 0, " %")
        rows.append(
            (
                label,
                len(cut),
                len(of_class),
                int(of_class["encounter"].nunique()),
                Number(of_class["duration_s"].sum() / seconds, 1),
                Number(of_class["duration_s"].median(), 1),
                padded,
                span,
                _listed(of_class["n_channels"].unique()),
                _listed(of_class["platform"].dropna().unique()) or "not known",
            )
        )
    return Table(
        ("class", "clips", "recordings", "encounters", unit, "median length (s)",
         "clips filled up", "sample rates (kHz)", "channels", "platforms"),
        rows,
        caption="Labelled recordings. Filled up: shorter than the window, so that the missing seconds "
        "were added; where that differs between classes, length alone can tell them apart.",
    )  # fmt: skip


def _clip_charts(project: Contents) -> list[Block]:
    clips = project.labelled_clips.copy()
    platform_of = dict(
        zip(project.recordings["recording_id"], project.recordings["platform"], strict=True)
    )
    clips["platform"] = [platform_of.get(name) for name in clips["recording_id"]]
    clips["platform"] = clips["platform"].fillna("not known").astype(str)
    clips["label"] = clips["label"].astype(str)
    blocks = _class_and_platform_charts(clips, project.classes)
    by_encounter = pd.crosstab(clips["encounter"].astype(str), clips["label"])
    by_encounter = by_encounter.reindex(columns=project.classes, fill_value=0)
    # Classes one after the other, in each the largest encounter first.
    counts = by_encounter.to_numpy()
    order = sorted(
        range(len(counts)), key=lambda k: (int(counts[k].argmax()), -int(counts[k].sum()), k)
    )
    by_encounter, counts = by_encounter.iloc[order], counts[order]
    colours = class_colours(project.classes)
    how_many = plural(len(by_encounter), "encounter")
    if len(by_encounter) <= _MOST_BARS:
        names = [str(name) for name in by_encounter.index]
        if len(project.classes) > len(COLOURS):  # colours come again, so that names must tell
            classes = [project.classes[k] for k in counts.argmax(axis=1)]
            names = [
                name if name.startswith(f"{label}/") else f"{label}: {name}"
                for label, name in zip(classes, names, strict=True)
            ]
        chart_figure = figure(0.9 + 0.175 * len(by_encounter))
        ax = stacked_bars(
            chart_figure.subplots(),
            by_encounter.set_axis(names),
            colours=colours,
            x="clips",
            most=48,
        )
        if len(project.classes) <= len(COLOURS):
            legend(ax, colours, loc="lower left", bbox_to_anchor=(0, 1), ncols=6)
        caption = (
            f"Clips of each of the {how_many}. The encounter is what is independent: many clips "
        )
        caption += "of one are little more evidence than one."
    else:
        values = {
            label: [int(n) for n in by_encounter[label] if n > 0]
            for label in project.classes[:_MOST_BARS]
        }
        chart_figure = figure(0.8 + 0.3 * len(values))
        ax = class_dots(chart_figure.subplots(), values, colours=colours, x="clips of an encounter")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        caption = (
            f"Clips of {how_many}: a dot each, a bar at the mean; the number of encounters in "
        )
        caption += f"brackets.{_only(len(values), len(project.classes))}"
    blocks.append(chart(chart_figure, description=caption, caption=caption))
    rows = [
        (str(name), _listed([project.classes[k] for k in np.flatnonzero(row)]), int(row.sum()))
        for name, row in zip(by_encounter.index[:_MOST_ROWS], counts, strict=False)
    ]
    more = len(by_encounter) - len(rows)
    blocks.append(
        Fold(
            f"All {how_many} as a table",
            [Table(("encounter", "class", "clips"), rows, n_more=more, more="the table clips")],
        )
    )
    return blocks


def _class_and_platform_charts(clips: pd.DataFrame, classes: list[str]) -> list[Block]:
    counts = clips["label"].value_counts().reindex(classes, fill_value=0)
    per_class = counts if len(counts) <= _MOST_BARS else counts.nlargest(_MOST_BARS)
    diagonal = pd.DataFrame(np.diag(per_class), index=per_class.index, columns=per_class.index)
    colours = class_colours(classes)
    if len(classes) > len(COLOURS):
        colours = dict.fromkeys(classes, BLUE)
    per_platform = pd.crosstab(clips["platform"], clips["label"])
    per_platform = per_platform.reindex(columns=classes, fill_value=0)
    order = per_platform.sum(axis=1).sort_values(ascending=False, kind="stable").index
    per_platform, platform_colours = few_colours(per_platform.loc[order[:_MOST_BARS]])
    if list(order) == ["not known"]:
        chart_figure = figure(0.75 + 0.24 * len(diagonal))
        stacked_bars(
            chart_figure.subplots(), diagonal, colours=colours, x="clips", title="per class"
        )
        caption = (
            f"Labelled clips per class.{_only(len(per_class), len(classes))} No name or metadata says "
            "which platform recorded what, so that a platform that goes with a class would go "
            "unnoticed."
        )
        return [chart(chart_figure, description=caption, caption=caption)]
    crowded = len(classes) > len(COLOURS)
    caption = "Labelled clips per platform" + (
        "." if crowded else ", in the colours of the classes."
    )
    if max(len(diagonal), len(per_platform)) > _SHORT_TABLE or crowded:
        charts: list[Block] = []
        first = f"Labelled clips per class.{_only(len(per_class), len(classes))}"
        for table, colour_of, text in (
            (diagonal, colours, first), (per_platform, platform_colours, caption),
        ):  # fmt: skip
            chart_figure = figure(
                0.75 + 0.24 * len(table) + 0.4 * (table is not diagonal and crowded)
            )
            stacked_bars(chart_figure.subplots(), table, colours=colour_of, x="clips")
            if table is not diagonal and crowded:
                legend(chart_figure, colour_of, loc="outside lower center", ncols=4)
            charts.append(chart(chart_figure, description=text, caption=text))
        return charts
    n_rows = max(len(diagonal), len(per_platform))
    chart_figure = figure(0.75 + 0.24 * n_rows)
    left, right = chart_figure.subplots(1, 2)
    stacked_bars(left, diagonal, colours=colours, x="clips", title="per class", most=24)
    stacked_bars(right, per_platform, colours=colours, x="clips", title="per platform", most=24)
    for ax in (left, right):  # bars as thick on one side as on the other
        ax.set_ylim(n_rows - 0.4, -0.6)
    caption = "Labelled clips per class and per platform, in the same colours."
    return [chart(chart_figure, description=caption, caption=caption)]


def _recorders(project: Contents) -> list[Block]:
    """Sample rates and channels per class: where they go with the label, the recorder can be heard."""
    labelled, tables = project.labelled, []
    for column, name in (("sample_rate", "sample rate"), ("n_channels", "channels")):
        counts = pd.crosstab(labelled[column], labelled["label"].astype(str))
        if len(counts.columns) > _MOST_COLUMNS:
            biggest = counts.sum().nlargest(_MOST_COLUMNS).index
            rest = counts.drop(columns=biggest).sum(axis=1)
            counts = counts[sorted(biggest)].assign(**{_OTHERS: rest})
        unit = "kHz" if column == "sample_rate" else ""
        rows = [
            (Number(value / 1000, _decimals(value), " kHz") if unit else int(value), *map(int, row))
            for value, row in zip(counts.index, counts.to_numpy(), strict=True)
        ]
        if len(rows) > 1 or column == "sample_rate":
            tables.append(
                Table(
                    (name, *map(str, counts.columns)),
                    rows[:_MOST_ROWS],
                    caption=f"Recordings per {name} and class.",
                )
            )
    if not tables:
        return []
    return [
        Fold(
            "Sample rates and channels per class",
            [
                Text(
                    "Where a rate or a number of channels goes with a class, a classifier can know "
                    "the class by the recorder."
                ),
                *tables,
            ],
            is_open=all(len(table.rows) <= _SHORT_TABLE for table in tables),
        )
    ]


def _problem_table(project: Contents) -> list[Block]:
    problems = project.problems
    if problems.empty:
        return [Text("Problems: none. Every audio file that was found can be used.")]
    reasons = (
        problems["reason"].astype(str).str.replace(r"^duplicate of .*", "duplicate", regex=True)
    )
    counted = reasons.value_counts()
    text = f"{plural(len(problems), 'problem')}, everything else is unharmed: "
    text += ", ".join(f"{reason} ({n})" for reason, n in counted.items()) + "."
    rows = [
        tuple("" if pd.isna(cell) else str(cell) for cell in row)
        for row in problems[["path", "stage", "reason", "detail"]].to_numpy(dtype=object)
    ]
    table = Table(("file", "stage", "reason", "detail"), rows)
    if len(rows) <= _SHORT_TABLE:
        return [Text(text), table]
    return [Text(text), Fold(f"All {len(rows)} problems", [table])]


def _time_unit(recordings: pd.DataFrame) -> tuple[str, float]:
    """The unit in which a collection's time reads well, and its seconds."""
    return ("hours", 3600.0) if recordings["duration_s"].sum() > 36_000 else ("minutes", 60.0)


def _only(n_shown: int, n_all: int) -> str:
    return "" if n_shown >= n_all else f" Only {n_shown} of {n_all} classes are shown."


def _listed(values: object, most: int = 6) -> str:
    names = sorted(map(str, np.asarray(values, dtype=object)))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _decimals(value_hz: float) -> int:
    return next((d for d in range(4) if round(value_hz / 1000, d) * 1000 == value_hz), 3)

"""The data that a project holds: per class, encounter and platform, and in training batches.

Batches are drawn here by the rule that orders clips in training, without torch.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from pseudorca.frontends.reach import band_notices, resampling_notices
from pseudorca.pages.blocks import (
    Block,
    Cell,
    Chart,
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
    batch_counts,
    class_colours,
    class_dots,
    few_colours,
    legend,
    stacked_bars,
)
from pseudorca.recordings.notices import collection_notices
from pseudorca.report.contents import Contents, listed
from pseudorca.values import plural

_MOST_BARS = 40
_MOST_ROWS = 500
_MOST_COLUMNS = 12
_MOST_NOTICES = 8
_SHORT_TABLE = 12
_MOST_NAMES = 6
_MOST_BATCHES = 40
_BATCH_SIZE, _SEED = 64, 0  # of the batches that are shown: the study's size, and the order's seed


def data_section(project: Contents) -> Section:
    """Show what was recorded, what of it is labelled, and what could not be used.

    Parameters
    ----------
    project : Contents; gets the warnings of this section among its notices

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = data_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[1].facts[0]
    ('recordings', 0)
    """
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
    project.notices += sentences
    if sentences:
        section.blocks.append(Notices(sentences[:_MOST_NOTICES]))
    if more := sentences[_MOST_NOTICES:]:
        section.blocks.append(Fold(plural(len(more), "more notice"), [Notices(more)]))
    if len(labelled):
        section.blocks.append(folded(_class_table(project)))
        if len(project.labelled_clips):
            section.blocks += _clip_charts(project)
        section.blocks.append(_recorders(project))
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
                _sorted_names(of_class["n_channels"].unique()),
                _sorted_names(of_class["platform"].dropna().unique()) or "not known",
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
    recordings, clips, classes = project.recordings, project.labelled_clips, project.classes
    known = recordings[recordings["platform"].notna()]
    platform_of = dict(zip(known["recording_id"], known["platform"], strict=True))
    platforms = clips["recording_id"].map(lambda key: str(platform_of.get(key, "not known")))
    labels = clips["label"].astype(str)
    by_encounter = pd.crosstab(clips["encounter"].astype(str), labels)
    by_encounter = by_encounter.reindex(columns=classes, fill_value=0)
    # Classes one after the other, in each the largest encounter first.
    counts = by_encounter.to_numpy()
    by_encounter = by_encounter.iloc[np.lexsort((-counts.sum(axis=1), counts.argmax(axis=1)))]
    return [
        *_class_and_platform_charts(labels, platforms, classes),
        _encounter_chart(project, by_encounter),
        _encounter_table(project, by_encounter),
    ]


def _encounter_chart(project: Contents, by_encounter: pd.DataFrame) -> Chart:
    """A bar per encounter, or if there are too many a dot."""
    classes = project.classes
    colours = class_colours(classes)
    how_many = plural(len(by_encounter), "encounter")
    if len(by_encounter) <= _MOST_BARS:
        names = [project.plain(name) for name in by_encounter.index]
        crowded = len(classes) > len(COLOURS)
        if crowded:  # colours repeat, so the names must tell the class
            of_encounter = [classes[k] for k in by_encounter.to_numpy().argmax(axis=1)]
            names = [f"{label}: {name}" for label, name in zip(of_encounter, names, strict=True)]
        chart_figure = figure(0.9 + 0.175 * len(by_encounter))
        ax = chart_figure.subplots()
        stacked_bars(ax, by_encounter.set_axis(names), colours=colours, x="clips", most=48)
        if not crowded:
            legend(ax, colours, loc="lower left", bbox_to_anchor=(0, 1), ncols=6)
        caption = (
            f"Clips of each of the {how_many}. The encounter is what is independent: many clips of one "
            "are little more evidence than one."
        )
        return chart(chart_figure, caption=caption)
    values = {
        label: [int(n) for n in by_encounter[label] if n > 0] for label in classes[:_MOST_BARS]
    }
    chart_figure = figure(0.8 + 0.3 * len(values))
    ax = class_dots(chart_figure.subplots(), values, colours=colours, x="clips of an encounter")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    caption = (
        f"Clips of {how_many}: a dot each, a bar at the mean; the number of encounters in brackets."
        f"{_only(len(values), len(classes))}"
    )
    return chart(chart_figure, caption=caption)


def _encounter_table(project: Contents, by_encounter: pd.DataFrame) -> Fold:
    classes = project.classes
    rows = [
        (
            project.plain(name),
            _sorted_names(classes[k] for k in np.flatnonzero(row)),
            int(row.sum()),
        )
        for name, row in zip(by_encounter.index, by_encounter.to_numpy()[:_MOST_ROWS], strict=False)
    ]
    more = len(by_encounter) - len(rows)
    table = Table(("encounter", "class", "clips"), rows, n_more=more, more="the table clips")
    return Fold(f"All {plural(len(by_encounter), 'encounter')} as a table", [table])


def _class_and_platform_charts(
    labels: pd.Series, platforms: pd.Series, classes: list[str]
) -> list[Chart]:
    per_class = labels.value_counts().reindex(classes, fill_value=0)
    if len(per_class) > _MOST_BARS:
        per_class = per_class.nlargest(_MOST_BARS)
    diagonal = pd.DataFrame(np.diag(per_class), index=per_class.index, columns=per_class.index)
    crowded = len(classes) > len(COLOURS)
    colours = dict.fromkeys(classes, BLUE) if crowded else class_colours(classes)
    per_platform = pd.crosstab(platforms, labels).reindex(columns=classes, fill_value=0)
    order = per_platform.sum(axis=1).sort_values(ascending=False, kind="stable").index
    per_platform, platform_colours = few_colours(per_platform.loc[order[:_MOST_BARS]])
    n_rows = max(len(diagonal), len(per_platform))
    text = f"Labelled clips per class.{_only(len(per_class), len(classes))}"
    if list(order) == ["not known"]:
        text += (
            " No name or metadata says which platform recorded what, so that a platform that goes with "
            "a class would go unnoticed."
        )
        return [_bars(diagonal, colours, text, title="per class")]
    if n_rows > _SHORT_TABLE or crowded:
        in_colours = "." if crowded else ", in the colours of the classes."
        second = f"Labelled clips per platform{in_colours}"
        return [
            _bars(diagonal, colours, text),
            _bars(per_platform, platform_colours, second, has_legend=crowded),
        ]
    chart_figure = figure(0.75 + 0.24 * n_rows)
    left, right = chart_figure.subplots(1, 2)
    stacked_bars(left, diagonal, colours=colours, x="clips", title="per class", most=24)
    stacked_bars(right, per_platform, colours=colours, x="clips", title="per platform", most=24)
    for ax in (left, right):  # bars as thick on one side as on the other
        ax.set_ylim(n_rows - 0.4, -0.6)
    caption = "Labelled clips per class and per platform, in the same colours."
    return [chart(chart_figure, caption=caption)]


def _bars(
    table: pd.DataFrame,
    colours: dict[str, str],
    caption: str,
    *,
    title: str = "",
    has_legend: bool = False,
) -> Chart:
    chart_figure = figure(0.75 + 0.24 * len(table) + 0.4 * has_legend)
    stacked_bars(chart_figure.subplots(), table, colours=colours, x="clips", title=title)
    if has_legend:
        legend(chart_figure, colours, loc="outside lower center", ncols=4)
    return chart(chart_figure, caption=caption)


def _recorders(project: Contents) -> Fold:
    """Sample rates and channels per class: if they differ, a class can be known by the recorder."""
    labelled, tables = project.labelled, []
    for column, name in (("sample_rate", "sample rate"), ("n_channels", "channels")):
        counts = pd.crosstab(labelled[column], labelled["label"].astype(str))
        if len(counts.columns) > _MOST_COLUMNS:
            biggest = counts.sum().nlargest(_MOST_COLUMNS).index
            rest = counts.drop(columns=biggest).sum(axis=1)
            counts = counts[sorted(biggest)].assign(**{"other classes": rest})
        is_rate = column == "sample_rate"
        rows = [
            (Number(k / 1000, _decimals(k), " kHz") if is_rate else int(k), *map(int, row))
            for k, row in zip(counts.index, counts.to_numpy(), strict=True)
        ]
        if len(rows) > 1 or is_rate:
            columns = (name, *map(str, counts.columns))
            caption = f"Recordings per {name} and class."
            tables.append(Table(columns, rows[:_MOST_ROWS], caption=caption))
    text = (
        "Where a rate or a number of channels goes with a class, a classifier can know the class by "
        "the recorder."
    )
    is_short = all(len(table.rows) <= _SHORT_TABLE for table in tables)
    return Fold("Sample rates and channels per class", [Text(text), *tables], is_open=is_short)


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


def _sorted_names(values: Iterable[object]) -> str:
    return listed(sorted(map(str, values)), _MOST_NAMES)


def _decimals(value_hz: float) -> int:
    return next((d for d in range(4) if round(value_hz / 1000, d) * 1000 == value_hz), 3)


def balance_section(project: Contents) -> Section:
    """Show the classes in each batch of the first epoch, in random order and as the sampler draws.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = balance_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'Balancing takes clips of at least 2 classes.'
    """
    section = Section("balance", "Class balance in training batches")
    labels = project.labelled_clips["label"].to_numpy(dtype=object)
    if len(project.classes) < 2 or not len(labels):
        section.blocks.append(Text("Balancing takes clips of at least 2 classes."))
        return section
    classes, truth, n_of_class = np.unique(
        labels.astype(str), return_inverse=True, return_counts=True
    )
    orders = [_drawn_rows(truth, balanced=balanced) for balanced in (False, True)]
    before, after = (
        np.array(
            [
                np.bincount(truth[order[first : first + _BATCH_SIZE]], minlength=len(classes))
                for first in range(0, len(order), _BATCH_SIZE)
            ]
        )
        for order in orders
    )
    n, n_seen, n_full = (
        len(labels),
        len(set(orders[1].tolist())),
        max(1, len(labels) // _BATCH_SIZE),
    )
    rows: list[tuple[Cell, ...]] = []
    for k, label in enumerate(classes):
        means = (Number(counts[:n_full, k].mean(), 1) for counts in (before, after))
        rows.append((str(label), int(n_of_class[k]), *means))
    size = min(_BATCH_SIZE, n)
    section.blocks += [
        _batch_chart(before, after, classes.tolist()),
        folded(
            Table(
                ("class", "clips", f"per batch of {size}, random order", "weighted sampler"),
                rows,
                caption="Mean number of clips of each class in a full batch of the first epoch.",
            )
        ),
        Text(
            f"The sampler draws with replacement: {n} draws met {n_seen} of the {n} clips, those of "
            "small classes several times. It changes what the network learns from, not how much is "
            "known about a small class."
        ),
    ]
    return section


def _drawn_rows(truth: NDArray[np.intp], *, balanced: bool) -> NDArray[np.int64]:
    """The rows of one epoch in order, by the rule of the softmax head's ``batch_order``."""
    random = np.random.default_rng(_SEED)
    if not balanced:
        return random.permutation(len(truth))
    shares = 1 / np.bincount(truth)[truth]
    return random.choice(len(truth), len(truth), p=shares / shares.sum())


def _batch_chart(before: NDArray[np.int64], after: NDArray[np.int64], classes: list[str]) -> Chart:
    n_batches = len(before)
    both, colours = few_colours(pd.DataFrame(np.concatenate([before, after]), columns=classes))
    chart_figure = figure(3.3)
    axes = chart_figure.subplots(1, 2, sharey=True)
    titles = ("before: random order", "after: weighted random sampler")
    halves = both.iloc[:n_batches], both.iloc[n_batches:]
    for ax, half, title in zip(axes, halves, titles, strict=True):
        names = list(both.columns)
        batch_counts(ax, half[:_MOST_BATCHES].to_numpy(), names, colours=colours, title=title)
    axes[1].set_ylabel("")
    legend(chart_figure, colours, loc="outside lower center", ncols=min(6, len(colours)))
    which = f" The first {_MOST_BATCHES} of {n_batches}." if n_batches > _MOST_BATCHES else ""
    caption = (
        f"Clips of each class in the batches of {_BATCH_SIZE} of one epoch over all labelled clips, "
        f"seed {_SEED}: in random order, and as the weighted random sampler (--balance sampler) draws "
        f"them.{which} The last batch holds what is left over."
    )
    return chart(chart_figure, caption=caption)

"""The page about a table of events: what can be claimed of its calls, in one HTML file.

In: what :func:`pseudorca.events.events.decide_events` counted, and its tables. Out: a page that needs
nothing else, with the claim first and what it does not cover beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pseudorca.pages.blocks import (
    Block,
    Facts,
    Fold,
    Notices,
    Number,
    Section,
    Settings,
    Table,
    Text,
    chart,
    figure,
    folded,
)
from pseudorca.pages.plots import BLUE, GREY, INK, ORANGE, SMALL_PT, SOFT, shown, style
from pseudorca.pages.writing import write_page
from pseudorca.values import plural

_FILTERS = {
    "none": "no filter",
    "signals": "signals enough",
    "sound": "sounds like the species",
    "both": "both filters",
}
_MOST_PROBLEMS = 200


def write_events_page(
    result: Mapping[str, Any], events: pd.DataFrame, curve: pd.DataFrame, target: Path
) -> None:
    """Write the page.

    Parameters
    ----------
    result : mapping, the ``details`` of :class:`pseudorca.events.events.EventsResult`
    events : DataFrame, a row per event
    curve : DataFrame, risk and coverage at every threshold
    target : path of the HTML file; it appears whole or not at all

    Raises
    ------
    PseudorcaError
        If the file cannot be written.
    """
    sections = [
        _answer(result),
        _truth(result, events),
        _surveys(result, curve),
        _prevalence(result),
        _calibration(result),
        _filter(result),
        _provenance(result),
    ]
    title = f"{result['label']} in {Path(result['input']).name}"
    write_page(sections, target, title=title, notices=list(result["notices"]))


def _answer(result: Mapping[str, Any]) -> Section:
    point, label = result["operating_point"], result["label"]
    called, others, percent = point["label"], point["not"], 100 * point["confidence"]
    precision = (
        f"Of {called['n_called']} verified events called {label} by thresholds that the other surveys "
        f"set, {called['n_right']} were {label}. With {percent:g} % confidence this shows that more "
        f"than {called['precision_low']:.3f} of such calls are right, as long as {label} is "
        f"{called['prevalence']:.3f} of all events, as it is of the verified ones."
    )
    recall = (
        f"Of {called['n_positive']} verified events of {label}, {called['n_right']} were found: with "
        f"the same confidence, more than {called['recall_low']:.3f} are."
    )
    missed = (
        f"Of {others['n_called']} called not {label}, {others['n_right']} were not: more than "
        f"{others['precision_low']:.3f}. Nothing beyond these sentences is claimed."
    )
    facts: list[tuple[str, Any]] = [("events", result["n_events"])]
    for name, n in result["decisions"].items():
        facts.append((name if name == "undecided" else f"decided {name}", n))
    facts.append(("verified events", result["n_verified"]))
    facts.append((f"verified {label}", result["n_positive"]))
    rejected = result["n_scored"] - result["n_pass"]
    left_out = f"{plural(rejected, 'event')} left out by the filter, and " if rejected else ""
    undecided = (
        f"Undecided are {left_out}those whose score lies between the thresholds. Every event with "
        f"its decision and the reason: {Path(result['files']['event']).name}."
    )
    return Section(
        "answer",
        "What can be claimed",
        [
            *map(Text, (precision, recall, missed, *_wanted(point, label))),
            Facts(facts),
            Notices(list(result["notices"])),
            Text(undecided),
        ],
    )


def _wanted(point: Mapping[str, Any], label: str) -> list[str]:
    """For either answer, whether the wanted share of right decisions is shown."""
    if point["wanted"] is None:
        return []
    sentences = []
    for side, name in (("label", label), ("not", f"not {label}")):
        outcome = "This is shown."
        if not point[side]["shown"]:
            claim = point[side]["claim"]
            outcome = f"This is not shown: only {claim:.3f} is. They stay undecided."
        sentences.append(
            f"Wanted: {point['wanted']:g} of the events called {name} right, at a share of the species "
            f"of {point['claim_prevalence']:.3g}. {outcome}"
        )
    return sentences


def _truth(result: Mapping[str, Any], events: pd.DataFrame) -> Section:
    verified = events[events["verified"]]
    verified = verified.assign(passes=verified["enough_signals"] & verified["right_sound"])
    point, label = result["operating_point"], result["label"]
    label_from, not_below = point["label_from"], point["not_below"]
    chart_figure = figure(0.9 + 0.42 * verified.groupby(["survey", "positive"]).ngroups)
    _score_dots(chart_figure.subplots(), verified, label_from=label_from, not_below=not_below)
    handles = [
        Line2D([], [], marker="o", color=BLUE, linestyle="", label=shown(label)),
        Line2D([], [], marker="o", color=ORANGE, markerfacecolor="none", linestyle="",
               label="something else"),
        Line2D([], [], marker="o", color=GREY, markersize=3.5, linestyle="",
               label="left out by the filter"),
        Line2D([], [], color=INK, label="called from here on"),
        Line2D([], [], color=INK, linestyle="--", label=f"not {shown(label)} below"),
    ]  # fmt: skip
    chart_figure.legend(
        handles=handles, loc="outside upper left", ncols=5, frameon=False, fontsize=SMALL_PT,
        labelcolor=INK,
    )  # fmt: skip
    scores = chart(
        chart_figure,
        description=f"Scores of {len(verified)} verified events by survey and truth.",
        caption="A dot per verified event. The lines are the thresholds for events to come, chosen "
        f"on all surveys ({label_from:.3f} and {not_below:.3f}); what is claimed above was counted "
        "with those of the other surveys.",
    )
    rows = [
        (
            _FILTERS[row["filter"]], row["rule"], row["n_called_all"], row["n_called"],
            row["n_right"], row["n_false"], Number(row["precision"]),
            Number(row["precision_low"], 3), Number(row["recall"]), Number(row["recall_low"], 3),
        )
        for row in result["fixed"]
    ]  # fmt: skip
    columns = (
        "filter", "called if", "called, all", "called, verified", "right", "false", "precision",
        "at least", "recall", "at least",
    )  # fmt: skip
    caption = (
        "Rules that were not chosen here. Counts; precision and recall of the verified events, each "
        f"with its one-sided exact bound ({100 * point['confidence']:g} %). Recall is of all "
        f"{result['n_positive']} verified {label}, those left out by the filter included. Each bound "
        "is for its row: who picks the best row claims too much."
    )
    title = "Scores of the events whose truth is known"
    return Section("truth", title, [scores, Table(columns, rows, caption=caption)])


def _score_dots(ax: Axes, events: pd.DataFrame, *, label_from: float, not_below: float) -> Axes:
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


def _surveys(result: Mapping[str, Any], curve: pd.DataFrame) -> Section:
    columns = (
        "survey", "verified", result["label"], "own calls right", "false", "called from",
        "called", "right", "false", "recall", "called not", "missed",
    )  # fmt: skip
    rows = [
        (
            row["survey"], row["n"], row["n_positive"], row["own_right"], row["own_false"],
            Number(row.get("label_from"), 3), row.get("n_called"), row.get("n_right"),
            row.get("n_false"), Number(row.get("recall")), row.get("n_not"), row.get("n_missed"),
        )
        for row in result["surveys"]
    ]  # fmt: skip
    caption = (
        "A row per survey, with the threshold that the other surveys set. Own calls: the classifier's "
        "own answers, without filter. Missed: events of the species called not the species."
    )
    chart_figure = figure(3.2)
    for ax, kind, title, verb in zip(
        chart_figure.subplots(1, 2), ("calls", "answers"),
        (f"called {result['label']}", "either answer"), ("called", "answered"), strict=True,
    ):  # fmt: skip
        x = f"share of verified events {verb}"
        _risk_curve(ax, curve[curve["kind"] == kind], title=title, x=x)
    text = (
        "Risk and coverage. Left: the events of highest score are called, from few to all that pass "
        "the filter; right: either answer is given, the surest first, by probabilities that the other "
        "surveys calibrated. Dashed: upper bound of each point by itself."
    )
    return Section(
        "surveys",
        "Each survey judged by the others",
        [
            Table(columns, rows, caption=caption),
            chart(chart_figure, description=text, caption=text),
            Text(f"All thresholds are in {Path(result['files']['operating_point']).name}."),
        ],
    )


def _risk_curve(ax: Axes, curve: pd.DataFrame, *, title: str, x: str) -> Axes:
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


def _prevalence(result: Mapping[str, Any]) -> Section:
    own = result["operating_point"]["label"]["prevalence"]
    chart_figure = figure(2.9, width_in=7.0)
    _prevalence_curve(chart_figure.subplots(), result["prevalences"], own=own)
    precision = chart(
        chart_figure,
        description="Lower bound of precision against the share of the species.",
        caption="The precision that is shown (at least) if the species is another share of all "
        "events, by Bayes, if it is found and other sounds are mistaken for it as often as among "
        "the verified. Filled: the share among the verified events, where precision was counted; "
        "elsewhere it needs bounds of recall and of false calls at once, and is the lower for it.",
    )
    rows = [
        (
            Number(row["prevalence"], 3), Number(row["precision"]), Number(row["precision_low"], 3),
            "counted" if row["prevalence"] == own else "by Bayes",
        )
        for row in result["prevalences"]
    ]  # fmt: skip
    columns = ("share of the species", "precision seen", "shown: at least", "how")
    title = "If the species is rarer, or more common"
    return Section("prevalence", title, [precision, Table(columns, rows)])


def _prevalence_curve(ax: Axes, rows: list[dict[str, Any]], *, own: float) -> Axes:
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


def _calibration(result: Mapping[str, Any]) -> Section:
    quality = result["calibration"]["out_of_survey"]
    chart_figure = figure(3.4, width_in=4.6)
    _reliability_dots(chart_figure.subplots(), quality["bins"])
    reliability = chart(
        chart_figure,
        description="Share of events that were the species against the probability claimed.",
        caption=f"{quality['n']} verified events that pass the filter, by probabilities that the "
        "other surveys calibrated; number of events beside each dot, exact 95 % intervals. On the "
        "dotted line probabilities are true.",
    )
    rows = [
        (
            name, Number(quality[key], 3),
            f"{quality[f'{key}_low']:.3f} to {quality[f'{key}_high']:.3f}",
            Number(quality[f"{key}_baseline"], 3), Number(quality.get(f"{key}_uncalibrated"), 3),
        )
        for key, name in (("brier", "Brier score"), ("log_loss", "log loss (nats)"))
    ]  # fmt: skip
    columns = (
        "", "calibrated", "95 % interval", "saying the other surveys' share", "score as it is",
    )  # fmt: skip
    method = result["calibration"]["method"]
    caption = f"Lower is better. Method for events to come: {method}, fitted on all surveys."
    table = Table(columns, rows, caption=caption)
    return Section("calibration", "Are the probabilities true?", [reliability, table])


def _reliability_dots(ax: Axes, bins: list[dict[str, Any]]) -> Axes:
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


def _filter(result: Mapping[str, Any]) -> Section:
    rules = result["settings"]["filter"]
    settings = []
    if rules["signals"]:
        settings.append((f"at least {rules['min_signals']} in one of", ", ".join(rules["signals"])))
    if rules["limits"]:
        settings.append(("and all of", ", ".join(rules["limits"])))
        passing = "it holds" if rules["unmeasured_passes"] else "it fails"
        settings.append(("where a quantity was not measured", passing))
    blocks: list[Block] = [Settings(settings) if settings else Text("No filter was used.")]
    if result["agreement"]:
        columns = ("rule", "table's own column", "rows", "agree", "only ours", "only theirs")
        counts = ("column", "n", "n_agree", "n_only_ours", "n_only_theirs")
        rows = [
            (_FILTERS[row["rule"]], *(row[name] for name in counts)) for row in result["agreement"]
        ]
        caption = "The rules, computed here, against the table's own columns."
        blocks.append(Table(columns, rows, caption=caption))
    return Section("filter", "The filter", blocks)


def _provenance(result: Mapping[str, Any]) -> Section:
    settings = result["settings"]
    columns = {f"column: {name}": value for name, value in settings["columns"].items()}
    named = columns | {n: settings[n] for n in ("wanted", "confidence", "prevalence", "method")}
    blocks: list[Block] = [
        Text(f"Table: {result['input']}"),
        Settings([(name, _plain(value)) for name, value in named.items()]),
        Fold("Packages", [Settings(list(result["versions"].items()))]),
    ]
    if problems := result["problems"]:
        rows = [(row["path"], row["reason"], row["detail"]) for row in problems[:_MOST_PROBLEMS]]
        table = Table(
            ("row", "reason", "detail"), rows,
            caption="Rows with problems. They are kept in the table of events, and prove nothing.",
            n_more=len(problems) - _MOST_PROBLEMS, more=Path(result["files"]["problem"]).name,
        )  # fmt: skip
        blocks.append(folded(table))
    return Section("provenance", "Where the numbers come from", blocks)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)

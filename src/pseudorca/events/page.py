"""The page about a table of events: what can be claimed of its calls, in one HTML file.

In: what :func:`pseudorca.events.events.decide_events` counted, and its tables. Out: a page that needs
nothing else, with the claim first and what it does not cover beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from pseudorca.errors import PseudorcaError
from pseudorca.events.figures import prevalence_curve, reliability_dots, risk_curve, score_dots
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
from pseudorca.pages.plots import BLUE, GREY, INK, ORANGE, SMALL_PT, shown
from pseudorca.pages.writing import write_page

_FILTERS = {
    "none": "no filter",
    "signals": "signals enough",
    "sound": "sounds like the species",
    "both": "both filters",
}
_MOST_PROBLEMS = 200


def write_events_page(
    result: Mapping[str, Any], events: pd.DataFrame, curve: pd.DataFrame, target: Path
) -> dict[str, Any]:
    """Write the page.

    Parameters
    ----------
    result : mapping, the ``details`` of :class:`pseudorca.events.events.EventsResult`
    events : DataFrame, a row per event
    curve : DataFrame, risk and coverage at every threshold
    target : path of the HTML file; it appears whole or not at all

    Returns
    -------
    dict ``output, n_sections, n_figures, n_bytes``

    Raises
    ------
    PseudorcaError
        If ``target`` is a folder.
    """
    if target.is_dir():
        raise PseudorcaError(
            f"{target} is a folder. Give a file, such as {target / 'events.html'}."
        )
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
    return write_page(sections, target, title=title, notices=list(result["notices"]))


def _answer(result: Mapping[str, Any]) -> Section:
    point, label = result["operating_point"], result["label"]
    called, percent = point["label"], 100 * point["confidence"]
    section = Section("answer", "What can be claimed")
    found = (
        f"Of {called['n_called']} verified events called {label} by thresholds that the other surveys "
        f"set, {called['n_right']} were {label}. With {percent:g} % confidence this shows that more "
        f"than {called['precision_low']:.3f} of such calls are right, as long as {label} is "
        f"{called['prevalence']:.3f} of all events, as it is of the verified ones."
    )
    recall = (
        f"Of {called['n_positive']} verified events of {label}, {called['n_right']} were found: with "
        f"the same confidence, more than {called['recall_low']:.3f} are."
    )
    others = point["not"]
    missed = (
        f"Of {others['n_called']} called not {label}, {others['n_right']} were not: more than "
        f"{others['precision_low']:.3f}. Nothing beyond these sentences is claimed."
    )
    section.blocks += [Text(found), Text(recall), Text(missed), *_wanted(result)]
    counts = result["decisions"]
    facts: list[tuple[str, Any]] = [("events", result["n_events"])]
    facts += [(f"decided {name}" if name != "undecided" else name, n) for name, n in counts.items()]
    facts += [
        ("verified events", result["n_verified"]),
        (f"verified {label}", result["n_positive"]),
    ]
    section.blocks += [Facts(facts), Notices(list(result["notices"]))]
    rejected = result["n_scored"] - result["n_pass"]
    left_out = f"{rejected:,} events that the filter leaves out, and " if rejected else ""
    section.blocks.append(
        Text(
            f"Undecided are {left_out}those whose score lies between the thresholds. Every event with "
            f"its decision and the reason: {Path(result['files']['event']).name}."
        )
    )
    return section


def _wanted(result: Mapping[str, Any]) -> list[Block]:
    point, label = result["operating_point"], result["label"]
    if point["wanted"] is None:
        return []
    sentences = []
    for side, name in (("label", label), ("not", f"not {label}")):
        claim = point[side]["claim"]
        line = (
            "This is shown."
            if point[side]["shown"]
            else f"This is not shown: only {claim:.3f} is. They stay undecided."
        )
        sentences.append(
            f"Wanted: {point['wanted']:g} of the events called {name} right, at a share of the species "
            f"of {point['claim_prevalence']:.3g}. {line}"
        )
    return [Text(sentence) for sentence in sentences]


def _truth(result: Mapping[str, Any], events: pd.DataFrame) -> Section:
    section = Section("truth", "Scores of the events whose truth is known")
    seen = events[events["verified"].astype(bool)].assign(
        passes=lambda rows: rows["enough_signals"] & rows["right_sound"]
    )
    point, label = result["operating_point"], result["label"]
    n_lines = seen.groupby(["survey", "positive"]).ngroups
    chart_figure = figure(0.9 + 0.42 * n_lines)
    score_dots(
        chart_figure.subplots(), seen, label_from=point["label_from"], not_below=point["not_below"]
    )
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
    section.blocks.append(
        chart(
            chart_figure,
            description=f"Scores of {len(seen)} verified events by survey and truth.",
            caption="A dot per verified event. The lines are the thresholds for events to come, chosen "
            f"on all surveys ({point['label_from']:.3f} and {point['not_below']:.3f}); what is claimed "
            "above was counted with those of the other surveys.",
        )
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
        f"with its one-sided exact bound ({100 * result['operating_point']['confidence']:g} %). Recall "
        f"is of all {result['n_positive']} verified {label}, those left out by the filter included. "
        "Each bound is for its row: who picks the best row claims too much."
    )
    section.blocks.append(Table(columns, rows, caption=caption))
    return section


def _surveys(result: Mapping[str, Any], curve: pd.DataFrame) -> Section:
    section = Section("surveys", "Each survey judged by the others")
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
    section.blocks.append(Table(columns, rows, caption=caption))
    chart_figure = figure(3.2)
    left, right = chart_figure.subplots(1, 2)
    risk_curve(
        left, curve[curve["kind"] == "calls"], title=f"called {result['label']}",
        x="share of verified events called",
    )  # fmt: skip
    risk_curve(
        right, curve[curve["kind"] == "answers"], title="either answer",
        x="share of verified events answered",
    )  # fmt: skip
    text = (
        "Risk and coverage. Left: the events of highest score are called, from few to all that pass "
        "the filter; right: either answer is given, the surest first, by probabilities that the other "
        "surveys calibrated. Dashed: upper bound of each point by itself."
    )
    section.blocks.append(chart(chart_figure, description=text, caption=text))
    name = Path(result["files"]["operating_point"]).name
    section.blocks.append(Text(f"All thresholds are in {name}."))
    return section


def _prevalence(result: Mapping[str, Any]) -> Section:
    section = Section("prevalence", "If the species is rarer, or more common")
    own = result["operating_point"]["label"]["prevalence"]
    chart_figure = figure(2.9, width_in=7.0)
    prevalence_curve(chart_figure.subplots(), result["prevalences"], own=own)
    section.blocks.append(
        chart(
            chart_figure,
            description="Lower bound of precision against the share of the species.",
            caption="The precision that is shown (at least) if the species is another share of all "
            "events, by Bayes, if it is found and other sounds are mistaken for it as often as among "
            "the verified. Filled: the share among the verified events, where precision was counted; "
            "elsewhere it needs bounds of recall and of false calls at once, and is the lower for it.",
        )
    )
    rows = [
        (
            Number(row["prevalence"], 3),
            Number(row["precision"]),
            Number(row["precision_low"], 3),
            "counted" if row["prevalence"] == own else "by Bayes",
        )
        for row in result["prevalences"]
    ]
    columns = ("share of the species", "precision seen", "shown: at least", "how")
    section.blocks.append(Table(columns, rows))
    return section


def _calibration(result: Mapping[str, Any]) -> Section:
    section = Section("calibration", "Are the probabilities true?")
    quality = result["calibration"]["out_of_survey"]
    chart_figure = figure(3.4, width_in=4.6)
    reliability_dots(chart_figure.subplots(), quality["bins"])
    section.blocks.append(
        chart(
            chart_figure,
            description="Share of events that were the species against the probability claimed.",
            caption=f"{quality['n']} verified events that pass the filter, by probabilities that the "
            "other surveys calibrated; number of events beside each dot, exact 95 % intervals. On the "
            "dotted line probabilities are true.",
        )
    )
    rows = [
        (
            name,
            Number(quality[key], 3),
            f"{quality[f'{key}_low']:.3f} to {quality[f'{key}_high']:.3f}",
            Number(quality[f"{key}_baseline"], 3),
            Number(quality.get(f"{key}_uncalibrated"), 3),
        )
        for key, name in (("brier", "Brier score"), ("log_loss", "log loss (nats)"))
    ]
    columns = (
        "",
        "calibrated",
        "95 % interval",
        "saying the other surveys' share",
        "score as it is",
    )
    method = result["calibration"]["method"]
    caption = f"Lower is better. Method for events to come: {method}, fitted on all surveys."
    section.blocks.append(Table(columns, rows, caption=caption))
    return section


def _filter(result: Mapping[str, Any]) -> Section:
    section = Section("filter", "The filter")
    rules = result["settings"]["filter"]
    settings = []
    if rules["signals"]:
        settings.append((f"at least {rules['min_signals']} in one of", ", ".join(rules["signals"])))
    if rules["limits"]:
        settings.append(("and all of", ", ".join(rules["limits"])))
        passing = "it holds" if rules["unmeasured_passes"] else "it fails"
        settings.append(("where a quantity was not measured", passing))
    section.blocks.append(Settings(settings) if settings else Text("No filter was used."))
    if result["agreement"]:
        columns = ("rule", "table's own column", "rows", "agree", "only ours", "only theirs")
        rows = [
            (
                _FILTERS[row["rule"]], row["column"], row["n"], row["n_agree"], row["n_only_ours"],
                row["n_only_theirs"],
            )
            for row in result["agreement"]
        ]  # fmt: skip
        section.blocks.append(
            Table(
                columns, rows, caption="The rules, computed here, against the table's own columns."
            )
        )
    return section


def _provenance(result: Mapping[str, Any]) -> Section:
    section = Section("provenance", "Where the numbers come from")
    settings = result["settings"]
    columns = {f"column: {name}": value for name, value in settings["columns"].items()}
    named = columns | {n: settings[n] for n in ("wanted", "confidence", "prevalence", "method")}
    section.blocks += [
        Text(f"Table: {result['input']}"),
        Settings([(name, _plain(value)) for name, value in named.items()]),
        Fold("Packages", [Settings(list(result["versions"].items()))]),
    ]
    if result["problems"]:
        rows = [(row["path"], row["reason"], row["detail"]) for row in result["problems"]]
        more = len(rows) - _MOST_PROBLEMS
        caption = "Rows with problems. They are kept in the table of events, and prove nothing."
        table = Table(
            ("row", "reason", "detail"), rows[:_MOST_PROBLEMS], caption=caption, n_more=more,
            more=Path(result["files"]["problem"]).name,
        )  # fmt: skip
        section.blocks.append(folded(table))
    return section


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)

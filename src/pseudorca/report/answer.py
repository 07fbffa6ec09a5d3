"""The first section of the report: the honest number, and beside it the optimistic one.

The honest number is the balanced accuracy on encounters never heard, with its interval and baseline.
The optimistic number follows, with its warning. All numbers come from the table ``evaluations``.
"""

from collections.abc import Mapping
from typing import Any

from pseudorca.evaluation.kept import Evaluation
from pseudorca.pages.blocks import (
    Block,
    Chart,
    Commands,
    Headline,
    Notices,
    Number,
    Section,
    Text,
    chart,
    figure,
    in_short,
)
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.notices import MIN_ENCOUNTERS
from pseudorca.report.contents import (
    WIDE,
    Contents,
    evidence,
    is_saved,
    last_asked,
    listed,
    network_of,
    recipe_of,
    typed,
)
from pseudorca.report.evaluation_plots import Result, intervals
from pseudorca.values import plural

_AUDITED = {
    "recorder": "The audit says recorder",
    "cannot tell": "The audit cannot tell animals from recorders",
}
_MOST_NAMES = 8
_MOST_ROWS = 8


def answer_section(project: Contents) -> Section:
    """Say how far the classifier can be trusted, or what to run to find out.

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
    ...     section = answer_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].verdict
    'Not evaluated on encounters never heard'
    """
    section = Section("answer", "How far can the answer be trusted?")
    honest, optimistic, audit, *_ = evidence(project)
    if honest is None:
        section.blocks += _nothing_known(project)
        return section
    result = honest.results["encounter"]
    section.blocks.append(
        Headline(
            verdict=_verdict(honest, audit),
            value=Number(result["balanced_accuracy"]),
            what="balanced accuracy on encounters never heard",
            low=Number(result["ci_low"]),
            high=Number(result["ci_high"]),
            method=result["interval_method"],
            baseline=Number(result["majority_baseline"]),
            about=f"{honest.method}; {plural(result['n_units'], 'encounter')} of "
            f"{plural(len(result['classes']), 'class')}; {network_of(project, honest)}; {honest.head}",
            compared=_lower(project, honest),
        )
    )
    warnings = _warnings(project, honest)
    project.notices += warnings
    warnings = [*_optimistic(optimistic, honest), *warnings]
    if warnings:
        section.blocks.append(Notices(warnings))
    section.blocks += [_in_words(honest), _overview(project, honest)]
    if inference := _inference(honest):
        section.blocks.append(inference)
    if audit:
        section.blocks.append(
            in_short(f"{audit['summary']} {audit['explained']['beside evaluate']}")
        )
    return section


def _warnings(project: Contents, evaluation: Evaluation) -> list[str]:
    """What a reader must know before quoting an evaluation."""
    record, recipe = evaluation.about, evaluation.about["recipe"]
    per_class = evaluation.results["encounter"]["per_class"]
    warnings = []
    result = evaluation.results["encounter"]
    if result["ci_high"] - result["ci_low"] > WIDE:
        warnings.append(
            f"An interval from {result['ci_low']:.2f} to {result['ci_high']:.2f} says next to nothing."
        )
    if few := _too_few(evaluation):
        warnings.append(
            f"Too few encounters to conclude: {few} (at least {MIN_ENCOUNTERS} are needed, and "
            "that is the least, not enough). What one pod, one day or one recorder did cannot be "
            "told from what the population does."
        )
    if missing := record.get("not_testable"):
        warnings.append(
            f"The number does not cover {plural(len(missing), 'group')} that could not be tested, "
            "since a class would have had nothing left to train on: "
            f"{listed(map(project.plain, missing), _MOST_NAMES)}."
        )
    absent = [label for label, row in per_class.items() if row["recall"] is None and label != OTHER]
    if per_class.get(OTHER, {"recall": 1})["recall"] is None:
        warnings.append(
            "How well other sounds are told from the populations was not tested: all of them are one "
            "encounter. Put each source of noise in a folder of its own."
        )
    if absent:
        names = listed(absent, _MOST_NAMES)
        warnings.append(f"No encounter of {names} was tested; the mean is over the others.")
    warnings += project.changed_tables(record.get("tables", {}), "evaluation", "evaluate")
    asked = last_asked(project)
    if project.classifiers and not is_saved(project, recipe):
        warnings.append(
            f"No saved classifier was trained the way that was evaluated ({evaluation.head}, "
            f"{network_of(project, evaluation)}): this number is not about it."
        )
    elif asked is not None and recipe_of(project.classifiers[asked]) != dict(recipe):
        warnings.append(
            f"The predictions below are by the classifier {asked}, which was not evaluated; this "
            f"number is about another ({network_of(project, evaluation)}, {evaluation.head})."
        )
    return warnings


def _verdict(evaluation: Evaluation, audit: Mapping[str, Any] | None) -> str:
    """What must be read before the number; empty where nothing stands against it."""
    result = evaluation.results["encounter"]
    if _too_few(evaluation):
        return "Too few encounters to conclude"
    if not _is_better(result):
        return "Not shown to be better than always naming one class"
    if audit is None:
        return "Not audited: it may be the recorders"
    return "" if audit["verdict"] == "animals" else _AUDITED[audit["verdict"]]


def _is_better(result: Mapping[str, Any]) -> bool:
    """Whether value and interval lie above always naming one class."""
    return bool(min(result["ci_low"], result["balanced_accuracy"]) > result["majority_baseline"])


def _too_few(evaluation: Evaluation) -> str:
    """The classes with too few encounters, with their numbers."""
    rows = evaluation.results["encounter"]["per_class"].items()
    few = [
        f"{name} has {row['n_groups']}"
        for name, row in rows
        if row["n_groups"] < MIN_ENCOUNTERS and name != OTHER
    ]
    return listed(few, _MOST_NAMES)


def _in_words(evaluation: Evaluation) -> Text:
    result = evaluation.results["encounter"]
    line = (
        f"Of 100 encounters of a class, all classes alike, about "
        f"{100 * result['balanced_accuracy']:.0f} were named rightly; always naming one class would "
        f"score {100 * result['majority_baseline']:.0f}."
    )
    more = "The classifier had heard nothing else of these encounters. "
    if _is_better(result):
        more += (
            "The interval lies above naming one class: something in the sound seems to tell the "
            "classes apart"
            + (", but so few encounters can mislead. " if _too_few(evaluation) else ". ")
            + "Whether it is the animals is another question: the recorder, the noise of the sea and "
            "the length of the clips may do it too, which the section Animals or recorders? is about."
        )
    else:
        more += "The interval includes that of naming one class: nothing was shown."
    return Text(line, more=more)


def _inference(evaluation: Evaluation) -> Text | None:
    """How often permuted labels do as well, and what could have been seen at all."""
    inference = evaluation.about.get("inference", {})
    sentences = []
    if test := inference.get("permutation"):
        where = f" within each {test['within']}" if test["within"] else ""
        how = "all" if test["enumerated"] else f"{test['n_permutations']}"
        sentences.append(
            f"Labels permuted between encounters{where} ({how} permutations, everything trained "
            f"anew) do as well with p = {test['p']:.3f}; no p below {test['smallest_p']:.3f} could "
            "have come out."
        )
    if power := inference.get("power"):
        if power["detectable"] is None:
            sentences.append(
                "With so few encounters no result, however good, would be significant at "
                f"{power['level']:g}."
            )
        else:
            sentences.append(
                f"With these encounters a true balanced accuracy of {power['detectable']:.2f} or more "
                f"would have been seen to lie above guessing ({100 * power['power']:.0f} % power, "
                f"level {power['level']:g}); what is smaller may be there and not show."
            )
    if not sentences:
        return None
    return Text(sentences[0], more=" ".join(sentences[1:]))


def _lower(project: Contents, honest: Evaluation) -> list[str]:
    """Other honest evaluations of the same recipe with a lower number: they hold out more."""
    value = honest.results["encounter"]["balanced_accuracy"]
    sentences = []
    for other in project.evaluations:
        result = other.results.get("encounter")
        if other.optimistic or result is None or not other.is_comparable(honest):
            continue
        if result["balanced_accuracy"] < value:
            better = _is_better(result)
            sentences.append(
                f"Lower where other things are held out: {result['balanced_accuracy']:.2f}, 95 % "
                f"interval {result['ci_low']:.2f} to {result['ci_high']:.2f}, with the split "
                f"{other.split} ({result['n_groups']} groups)"
                + ("." if better else ": not shown to be better than always naming one class.")
            )
    return sentences


def _optimistic(optimistic: Evaluation | None, honest: Evaluation) -> list[str]:
    """The optimistic number, in a sentence that cannot be quoted without its warning."""
    if optimistic is None:
        return []
    value, result = (
        optimistic.results["encounter"]["balanced_accuracy"],
        honest.results["encounter"],
    )
    text = (
        f"Optimistic, not to be quoted as performance: {value:.2f} with the {optimistic.split} split, "
        "where clips of one encounter stand on both sides. The gap: "
        f"{value - result['balanced_accuracy']:+.2f}"
    )
    if value <= result["ci_high"]:
        return [f"{text}, no more than these encounters can tell from none."]
    return [
        f"{text}. That much is gained by knowing the encounter, and would be gone on the next voyage."
    ]


def _overview(project: Contents, honest: Evaluation) -> Chart:
    chosen = [honest] + [e for e in project.evaluations if e is not honest]
    rows = []
    for evaluation in chosen:
        result = evaluation.results.get("encounter")
        if result is not None and evaluation.is_comparable(honest):
            kind = "optimistic" if evaluation.optimistic else "never heard"
            keys = ("balanced_accuracy", "ci_low", "ci_high", "majority_baseline")
            value, low, high, baseline = (result[key] for key in keys)
            name = f"{evaluation.split} split ({kind})"
            rows.append(Result(name, value, low, high, baseline, evaluation.optimistic))
    rows = rows[:_MOST_ROWS]
    chart_figure = figure(0.62 + 0.3 * len(rows), width_in=8.2)
    intervals(chart_figure.subplots(), rows)
    spoken = "; ".join(f"{r.name}: {r.value:.2f}, {r.low:.2f} to {r.high:.2f}" for r in rows)
    return chart(
        chart_figure,
        description=f"Balanced accuracy per encounter with 95 % intervals. {spoken}.",
        caption="Balanced accuracy per encounter with 95 % intervals. Filled: encounters never heard. "
        "Open: optimistic splits, with clips of one encounter on both sides. Dashes: always naming "
        "one class. The same clips, embeddings and head in every row.",
    )


def _nothing_known(project: Contents) -> list[Block]:
    folder = project.argument
    how = typed(project)
    steps = [f"pseudorca evaluate --project {folder} --split encounter --split random{how}"]
    if project.embedder is None:
        steps.insert(0, f"pseudorca embed --project {folder}")
    if any(project.is_stale(each.labels_id) for each in project.evaluations):
        text = (
            "Not known of what the project holds now: it was evaluated on other recordings, or with "
            "other labels. Evaluate again."
        )
    elif project.evaluations:
        text = (
            "Not known: this project was evaluated under optimistic splits only, in which clips of "
            "one encounter stand on both sides. Their numbers are further down; they say nothing "
            "about encounters never heard."
        )
    elif len(project.classes) < 2:
        text = (
            f"Not known, and it cannot be known yet: {plural(len(project.classes), 'class')} with "
            "labelled recordings, and telling apart takes at least 2. Put the recordings of each "
            "population in a folder of its own."
        )
        steps = ["pseudorca scan FOLDER --project NEW_FOLDER"]
    else:
        text = (
            "Not known: nothing was evaluated in this project. Whatever a classifier says of a "
            "recording, nobody has measured how often it is right."
        )
    project.notices.append(text)
    return [
        Headline(verdict="Not evaluated on encounters never heard"),
        Text(text),
        Commands("To find out, run:", steps),
    ]

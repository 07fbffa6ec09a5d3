"""How far to trust a probability, and whether the animals or the recorders were learned.

In: the calibrated probabilities of the headline evaluation, out of fold, and the latest audit. Out: the
reliability diagram, the risk-coverage curve, what a wanted error rate would leave undecided, and the
verdict of the audit with its warnings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pseudorca.audit.section import verdict_blocks
from pseudorca.pages.blocks import (
    Block,
    Cell,
    Chart,
    Commands,
    Heading,
    Notices,
    Number,
    Section,
    Table,
    Text,
    chart,
    figure,
)
from pseudorca.report.contents import (
    Contents,
    evidence,
    is_saved,
    recipe_in_words,
    typed,
)
from pseudorca.report.evaluation_plots import (
    learning_curve_plot,
    reliability_diagram,
    risk_coverage_curve,
)


def trust_section(project: Contents) -> Section:
    """Show what the probabilities and the thresholds of the headline evaluation are worth.

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
    ...     section = trust_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'Not known yet.'
    """
    section = Section("trust", "What a probability is worth, and when to stay undecided")
    honest = evidence(project).honest
    by_unit = {
        unit: honest.results[unit]
        for unit in ("encounter", "recording")
        if honest and "reliability" in honest.results.get(unit, {})
    }
    if not by_unit:
        line = f"pseudorca evaluate --project {project.argument} --split encounter{typed(project)}"
        section.blocks += [Text("Not known yet."), Commands("To find out, run:", [line])]
        return section
    section.blocks += _in_words(by_unit)
    for unit, result in by_unit.items():
        section.blocks.append(_figures(unit, result))
    section.blocks += [_table_of_scores(by_unit), *(_thresholds(u, r) for u, r in by_unit.items())]
    if honest and (curve := honest.about.get("inference", {}).get("learning_curve")):
        section.blocks += [Heading("Would more encounters help?"), _learning_curve(curve)]
    return section


def _in_words(by_unit: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    unit, result = next(iter(by_unit.items()))
    true, kept = result["reliability"], result["abstention"]
    more = (
        "Each encounter's probabilities were calibrated on other encounters, every class and every "
        "encounter weighing the same, so they presuppose that the classes are equally frequent. "
    )
    wanted = f"at most {100 * kept['max_error']:.0f} % of the names wrong"
    warnings = []
    if true["brier_high"] is not None and true["brier_high"] < true["brier_baseline"]:
        share = 1 - true["brier"] / true["brier_baseline"]
        more += (
            "They are better than knowing nothing: the Brier score, which is how far the probabilities "
            f"lie from what was true, is {100 * share:.0f} % lower than that of saying "
            f"{1 - true['brier_baseline']:.2f} for every class."
        )
    else:
        warnings.append(
            "The probabilities are not shown to be better than saying the same for every class."
        )
    chosen = kept["chosen"]
    if chosen and chosen["probability"] == 0:
        line = f"With {wanted}, every {unit} can be named."
    elif chosen:
        line = (
            f"With {wanted}, {100 * chosen['coverage']:.0f} % of the {unit}s can be named: those with "
            f"a probability of {chosen['probability']:.2f} or more."
        )
    else:
        line = (
            f"The smallest share of wrong names that can be claimed is "
            f"{100 * kept['smallest_max_error']:.0f} %."
        )
        warnings.append(
            f"With these encounters nobody can claim {wanted}, whatever is left undecided."
        )
    return [Text(line, more=more), *([Notices(warnings)] if warnings else [])]


def _figures(unit: str, result: Mapping[str, Any]) -> Chart:
    chart_figure = figure(3.4, width_in=9.4)
    left, right = chart_figure.subplots(1, 2)
    true, kept = result["reliability"], result["abstention"]
    reliability_diagram(left, true["bins"])
    risk_coverage_curve(right, kept["curve"], kept["candidates"])
    spoken = "; ".join(
        f"claimed {b['claimed']:.2f}, happened {b['happened']:.2f} ({b['n_encounters']} encounters)"
        for b in true["bins"]
    )
    return chart(
        chart_figure,
        description=f"Reliability and risk-coverage by {unit}. {spoken}.",
        caption=f"By {unit}. Left: of all that was called so probable, the share that was so; small "
        "figures: encounters behind a dot; on the diagonal probabilities are true. Right: share of "
        f"wrong names when only the surest {unit}s are named: as counted (line), and the upper bound "
        "that holds with 95 % confidence for all five together (caps: the truth lies below them).",
    )


def _table_of_scores(by_unit: Mapping[str, Mapping[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for unit, result in by_unit.items():
        true = result["reliability"]
        for name, key in (("Brier score", "brier"), ("log loss", "log_loss")):
            low, high, baseline = (true[f"{key}_{what}"] for what in ("low", "high", "baseline"))
            between, worth = _loss_in_words(low, high, baseline)
            rows.append((unit, name, Number(true[key], 3), between, Number(baseline, 3), worth))
        error = true["expected_calibration_error"]
        if error is not None:
            cells = ("expected calibration error", Number(error, 3), "", Number(0, 0), "")
            rows.append((unit, *cells))
    unit, result = next(iter(by_unit.items()))
    true = result["reliability"]
    return Table(
        ("unit", "what", "value", "95 % interval", "knowing nothing", "so"),
        rows,
        caption=f"Lower is better. Intervals: {true['interval_method']}. The calibrator "
        f"of {unit}s ({true['kind']}) divides what the head says by {true['temperature']:.2f} and "
        f"takes the moments of one {unit} to depend on each other by {true['dependence']:g} (0: each "
        "is news; 1: all say the same).",
    )


def _loss_in_words(low: float | None, high: float | None, baseline: float) -> tuple[str, str]:
    """An interval of a score of which lower is better, and what it says.

    Examples
    --------
    >>> _loss_in_words(0.01, 2.0, 0.5)
    ('0.01 to 2.00', 'says nothing: from almost perfect to far worse than knowing nothing')
    """
    if low is None or high is None:
        return "too few encounters", "says nothing: too few encounters"
    between = f"{low:.2f} to {high:.2f}"
    if high < baseline:
        return between, "better than knowing nothing"
    if low > baseline:
        return between, "worse than knowing nothing"
    if low < 0.25 * baseline and high > 1.5 * baseline:
        return between, "says nothing: from almost perfect to far worse than knowing nothing"
    return between, "not shown to be better than knowing nothing"


def _learning_curve(curve: Sequence[Mapping[str, float]]) -> Chart:
    chart_figure = figure(3.2, width_in=5.2)
    learning_curve_plot(chart_figure.subplots(), curve)
    n_draws = len({row["draw"] for row in curve})
    return chart(
        chart_figure,
        description="Balanced accuracy by encounter against the encounters learned from.",
        caption="Balanced accuracy by encounter where only so many encounters per class are learned "
        f"from: {n_draws} random draws each (dots) and their mean (line). A line that still rises "
        "says that more encounters would help; one that is flat, that something else is missing.",
    )


def _thresholds(unit: str, result: Mapping[str, Any]) -> Table:
    kept = result["abstention"]
    rows = []
    for candidate in kept["candidates"]:
        shares = (candidate[key] for key in ("coverage", "error", "max_error"))
        named, wrong, at_most = (Number(100 * share, 0, " %") for share in shares)
        probability = Number(candidate["probability"])
        rows.append((named, probability, candidate["n_encounters"], wrong, at_most))
    caption = (
        f"What is wrong among the {unit}s that are named, and the upper bound that can be claimed."
    )
    if held_out := kept["held_out"]:
        caption += (
            f" Where each fold's threshold was chosen on the other folds for at most "
            f"{100 * kept['max_error']:.0f} % wrong, {100 * held_out['coverage']:.0f} % were named and "
            f"{100 * held_out['error']:.0f} % of these wrongly."
        )
    columns = ("named", "probability at least", "encounters", "wrong", "wrong at most")
    return Table(columns, rows, caption=caption)


def audit_section(project: Contents) -> Section:
    """Show the audit of the first screen (else the latest) and what changed since, or how to make one.

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
    ...     section = audit_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[1].why
    'To find out, run:'
    """
    section = Section("audit", "Animals or recorders?")
    findings = evidence(project).audit or next(iter(project.audits), None)
    if findings is None:
        line = f"pseudorca audit --project {project.argument}{typed(project, for_audit=True)}"
        section.blocks += [
            Text(
                "Not known: nobody has asked how well the classes can be told apart without hearing "
                "the animals, by the facts of the files and the noise between the sounds alone."
            ),
            Commands("To find out, run:", [line]),
        ]
        return section
    section.blocks += verdict_blocks(
        findings, len(project.audits), _audit_warnings(project, findings)
    )
    return section


def _audit_warnings(project: Contents, findings: Mapping[str, Any]) -> list[Block]:
    sentences, recipe = list(findings["notices"]), findings["recipe"]
    if project.classifiers and not is_saved(project, recipe):
        sentences.append(
            f"No saved classifier was trained the way that was audited "
            f"({recipe_in_words(project, recipe)}): this is not about it."
        )
    sentences += project.changed_tables(findings["tables"], "audit", "audit")
    embedder = (project.embedder or {}).get("embedder_id")
    if embedder is not None and embedder != recipe["embedder_id"]:
        sentences.append("The embeddings were made anew after this audit: audit again.")
    return [Notices(sentences)] if sentences else []

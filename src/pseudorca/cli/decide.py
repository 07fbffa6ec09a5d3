"""The verb ``decide``: again on what was predicted, or on events that another classifier scored."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pseudorca.cli.options import (
    AsJson,
    Formats,
    MaxError,
    MaxGap,
    MaxNovelty,
    MinMoments,
    MinProbability,
    Prior,
    Threads,
    decision_from,
    kinds_from,
    open_store,
)
from pseudorca.cli.output import done, say, say_problems, table
from pseudorca.cli.predict import say_predictions
from pseudorca.errors import PseudorcaError
from pseudorca.progress import progress_bar


def decide(
    project: Annotated[
        Path | None, typer.Option("--project", "-p", help="Project folder with predictions.")
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            help="Instead: a CSV of events that another classifier scored (options below)."
        ),
    ] = None,
    set_name: Annotated[
        str | None, typer.Option(help="Set of predictions to decide on. Without: the last one.")
    ] = None,
    prior: Prior = "uniform",
    max_error: MaxError = None,
    min_probability: MinProbability = 0.0,
    min_moments: MinMoments = 1,
    max_novelty: MaxNovelty = 1.0,
    event: Annotated[str, typer.Option(help="events: column with the event's name.")] = "event.id",
    score: Annotated[str, typer.Option(help="events: column with the score, 0 to 1.")] = "X33",
    truth: Annotated[str, typer.Option(help="events: column with the true species.")] = "original",
    positive: Annotated[
        list[str] | None, typer.Option(help="events: the species there. Repeatable. Without: X33.")
    ] = None,
    survey: Annotated[str, typer.Option(help="events: column that is left out in turn.")] = "year",
    verified: Annotated[
        list[str] | None,
        typer.Option(
            help="events: where the truth is known by sight, such as 'vis_id!=999' (which is meant "
            "without it), or all. Repeatable: all must hold."
        ),
    ] = None,
    called: Annotated[
        str, typer.Option(help="events: where the classifier itself named the species, or none.")
    ] = "predicted=X33",
    event_filter: Annotated[
        str, typer.Option("--filter", help="events: noaa-pseudorca, none, or own (see --signals).")
    ] = "noaa-pseudorca",
    signals: Annotated[
        list[str] | None, typer.Option(help="events, filter own: column that counts signals.")
    ] = None,
    min_signals: Annotated[
        int, typer.Option(help="events, filter own: needed in one of them.")
    ] = 20,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="events, filter own: condition such as 'peak_khz<=22.4'."),
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(help="events: count calls at this score too. Without: 0.9."),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="events: share of calls that must be right, shown on surveys left out."),
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="events: share of the species among all events.")
    ] = None,
    label: Annotated[str, typer.Option(help="events: the species' name in the decisions.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.")] = None,
    output_format: Formats = None,
    max_gap: MaxGap = 0.0,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Decide again on what was predicted, or on a table of events scored by others."""
    from pseudorca import project as workflow

    if (project is None) == (events is None):
        raise PseudorcaError("give either --project FOLDER or --events FILE.")
    if project is not None:
        decision = decision_from(prior, max_error, min_probability, min_moments, max_novelty)
        store = open_store(project)
        with progress_bar("Deciding") as update:
            result = workflow.decide_again(
                store, decision=decision, set_name=set_name, output=out,
                kinds=kinds_from(output_format), max_gap_s=max_gap,
                computing=workflow.Computing(n_threads=threads), progress=update,
            )  # fmt: skip
        say_predictions(result, as_json)
        return

    from pseudorca.errors import unknown_name
    from pseudorca.events.page import write_events_report
    from pseudorca.events.table import FILTERS, Condition, EventColumns, EventFilter

    assert events is not None
    rules = FILTERS | {
        "own": EventFilter(
            tuple(signals or ()), min_signals, tuple(map(Condition.parse, limit or ()))
        )
    }
    if event_filter not in rules:
        raise PseudorcaError(unknown_name("filter", event_filter, rules))
    known = EventColumns()
    columns = EventColumns(
        event,
        score,
        truth,
        tuple(positive) if positive else known.positive,
        survey,
        known.verified
        if verified is None
        else tuple(Condition.parse(text) for text in verified if text != "all"),
        None if called == "none" else Condition.parse(called),
    )
    options = workflow.EventOptions(
        columns, rules[event_filter], label, tuple(at or (0.9,)), precision, prevalence=prevalence
    )
    folder = out or Path(f"{events.stem}_decided")
    kinds = kinds_from(output_format)
    if len(kinds) > 1 or kinds[0] not in ("csv", "parquet"):
        raise PseudorcaError(f"events are written as csv or parquet, not {', '.join(kinds)}.")
    kind: Literal["csv", "parquet"] = "parquet" if kinds[0] == "parquet" else "csv"
    result = workflow.decide_events(events, folder, options=options, kind=kind)
    page = write_events_report(result, folder / "events.html")
    result = result | {"page": page["output"]}
    if not done(result, as_json):
        _say_events(result)


def _say_events(result: dict[str, Any]) -> None:
    name, point = result["label"], result["operating_point"]
    say(
        f"{result['n_events']} events, {result['n_called']} called {name} by their classifier; "
        f"{result['n_verified']} verified, {result['n_positive']} of them {name}."
    )
    table(
        ["rule", "filter", "called", "of verified", "right", "false", "precision more than", "recall"],
        (
            (
                row["rule"], row["filter"], row["n_called_all"], row["n_called"], row["n_right"],
                row["n_false"], f"{row['precision_low']:.3f}",
                f"{row['recall']:.2f} (more than {row['recall_low']:.2f})",
            )
            for row in result["fixed"]
        ),
    )  # fmt: skip
    found = point["label"]
    if found["precision_low"] is None or found["recall"] is None:
        say(f"No survey with {name} could be left out: nothing can be claimed.")
    else:
        _say_claim(result)
    table(["decision", "events"], result["decisions"].items())
    say(f"Tables are in {result['output']}; open {result['page']} in a browser.")
    say_problems(result)


def _say_claim(result: dict[str, Any]) -> None:
    name, point = result["label"], result["operating_point"]
    found = point["label"]
    say(
        f"Each survey by the thresholds of the others: {found['n_called']} called, "
        f"{found['n_right']} right, so a precision of more than {found['precision_low']:.3f} "
        f"({100 * point['confidence']:.0f} % confidence) where {found['prevalence']:.3f} of the events "
        f"are {name}; recall {found['recall']:.2f}, more than {found['recall_low']:.2f}."
    )
    table(
        [f"where {name} are this share of events", "precision more than", ""],
        (
            (
                f"{row['prevalence']:.3f}",
                f"{row['precision_low']:.3f}",
                "counted" if row["prevalence"] == found["prevalence"] else "by Bayes, two bounds",
            )
            for row in result["prevalences"]
        ),
    )

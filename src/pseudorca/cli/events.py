"""The verb ``events``: decisions on a table of events that another classifier scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    CsvStyle,
    Formats,
    MissingTexts,
    Output,
    Verbose,
    rare_option,
    with_groups,
)
from pseudorca.cli.output import done, say, say_notices, say_problems, table
from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.values import plural

if TYPE_CHECKING:
    from pseudorca.events.events import EventsResult
    from pseudorca.events.table import EventColumns, EventFilter
    from pseudorca.formats.whole import Format


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of a table of events."""

    event: Annotated[str, typer.Option(help="Column with the event's name.")] = "event.id"
    score: Annotated[str, typer.Option(help="Column with the score, 0 to 1.")] = "X33"
    truth: Annotated[str, typer.Option(help="Column with the true species.")] = "original"
    positive: Annotated[
        list[str] | None, typer.Option(help="The species there. Repeatable. Without: X33.")
    ] = None
    survey: Annotated[str, typer.Option(help="Column that is left out in turn.")] = "year"
    verified: Annotated[
        list[str] | None,
        rare_option(
            "--verified",
            "Where the truth is known by sight, such as 'vis_id!=999' (which is meant "
            "without it), or all. Repeatable: all must hold.",
        ),
    ] = None
    called: Annotated[
        str, rare_option("--called", "Where the classifier itself named the species, or none.")
    ] = "predicted=X33"
    missing: MissingTexts = None

    def columns(self) -> "EventColumns":
        """The columns. PseudorcaError if a condition cannot be read."""
        from pseudorca.events.table import Condition, EventColumns

        usual = EventColumns()
        return EventColumns(
            self.event,
            self.score,
            self.truth,
            tuple(self.positive) if self.positive else usual.positive,
            self.survey,
            usual.verified
            if self.verified is None
            else tuple(Condition.parse(text) for text in self.verified if text != "all"),
            None if self.called == "none" else Condition.parse(self.called),
            usual.missing if self.missing is None else tuple(self.missing),
        )


@dataclass(frozen=True)
class FilterGroup:
    """Which events count."""

    event_filter: Annotated[
        str, rare_option("--filter", "noaa-pseudorca, none, or own (see --signals).")
    ] = "noaa-pseudorca"
    signals: Annotated[
        list[str] | None,
        rare_option("--signals", "With --filter own: column that counts signals. Repeatable."),
    ] = None
    min_signals: Annotated[
        int,
        rare_option("--min-signals", "With --filter own: how many are needed in one of them."),
    ] = 20
    limit: Annotated[
        list[str] | None,
        rare_option(
            "--limit", "With --filter own: condition such as 'peak_khz<=22.4'. Repeatable."
        ),
    ] = None

    def rule(self) -> "EventFilter":
        """The filter. PseudorcaError if there is none of this name."""
        from pseudorca.events.table import FILTERS, Condition, EventFilter

        limits = tuple(map(Condition.parse, self.limit or ()))
        rules = FILTERS | {"own": EventFilter(tuple(self.signals or ()), self.min_signals, limits)}
        if self.event_filter not in rules:
            raise PseudorcaError(unknown_name("filter", self.event_filter, rules))
        return rules[self.event_filter]


@with_groups
def events(
    *,
    file: Annotated[
        Path, typer.Argument(help="Table with a row per event that another classifier scored.")
    ],
    columns: ColumnGroup,
    min_precision: Annotated[
        float | None,
        typer.Option(help="Share of calls that must be right, shown on surveys left out."),
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of the species among all events.")
    ] = None,
    label: Annotated[str, typer.Option(help="The species' name in the decisions.")] = "",
    out: Output = None,
    output_format: Formats = None,
    filtered: FilterGroup,
    at: Annotated[
        list[float] | None,
        rare_option("--at", "Count calls at this score too. Without: 0.9. Repeatable."),
    ] = None,
    csv: CsvStyle = "plain",
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Decide events that another classifier scored, and say what can be claimed of its calls."""
    from pseudorca.events.events import EventOptions, decide_events
    from pseudorca.prediction.options import check_csv

    rule = filtered.rule()
    options = EventOptions(
        columns.columns(), rule, label, tuple(at or (0.9,)), min_precision, prevalence=prevalence
    )
    formats = output_format or ["csv"]
    if len(formats) > 1 or formats[0] not in ("csv", "parquet"):
        raise PseudorcaError(f"events are written as csv or parquet, not {', '.join(formats)}.")
    check_csv(csv, formats)
    kind: Format = "parquet" if formats[0] == "parquet" else "excel" if csv == "excel" else "csv"
    result = decide_events(file, out or Path(f"{file.stem}_decided"), options=options, kind=kind)
    if not done(result, as_json):
        _say(result, verbose=verbose)


def _say(result: "EventsResult", *, verbose: bool) -> None:
    details, name = result.details, result.label
    point = result.operating_point["label"]
    say(
        f"{plural(details['n_events'], 'event')}, {details['n_called']} called {name} by their "
        f"classifier; {details['n_verified']} verified, {details['n_positive']} of them {name}."
    )
    table(
        ["rule", "filter", "called", "of verified", "right", "false", "precision more than", "recall"],
        (
            (
                row["rule"], row["filter"], row["n_called_all"], row["n_called"], row["n_right"],
                row["n_false"], f"{row['precision_low']:.3f}",
                f"{row['recall']:.2f} (more than {row['recall_low']:.2f})",
            )
            for row in details["fixed"]
        ),
    )  # fmt: skip
    if point["precision_low"] is None or point["recall"] is None:
        say(f"No survey with {name} could be left out: nothing can be claimed.")
    else:
        _say_claim(result)
    table(["decision", "events"], result.decisions.items())
    say(f"Tables are in {details['output']}; open {result.page} in a browser.")
    say_problems(result.problems, verbose=verbose)
    say_notices(result.notices, verbose=verbose)


def _say_claim(result: "EventsResult") -> None:
    name, percent = result.label, 100 * result.operating_point["confidence"]
    point = result.operating_point["label"]
    say(
        f"Each survey by the thresholds of the others: {point['n_called']} called, "
        f"{point['n_right']} right, so a precision of more than {point['precision_low']:.3f} "
        f"({percent:.0f} % confidence) where {point['prevalence']:.3f} of the events "
        f"are {name}; recall {point['recall']:.2f}, more than {point['recall_low']:.2f}."
    )
    table(
        [f"where {name} are this share of events", "precision more than", ""],
        (
            (
                f"{row['prevalence']:.3f}",
                f"{row['precision_low']:.3f}",
                "counted" if row["prevalence"] == point["prevalence"] else "by Bayes, two bounds",
            )
            for row in result.details["prevalences"]
        ),
    )

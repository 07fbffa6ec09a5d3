"""What verbs print: readable on stdout, or with ``--json`` one object; progress goes to stderr."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pseudorca.results import NO_SELECTION, Result, n_without_selection
from pseudorca.values import first_sentence, plural

if TYPE_CHECKING:
    import pandas as pd

    from pseudorca.learning.recipe import Recipe

_MOST_NOTICES = 3
_MOST_ROWS = 10  # of problems

# Through a pipe nothing wraps at the 80 columns that rich would assume.
_out = Console(width=None if sys.stdout.isatty() else 200)


def done(result: Result | dict[str, Any], as_json: bool) -> bool:
    """Print the result as one JSON object if that is asked for; returns whether it is."""
    if as_json:
        values = result.as_json() if isinstance(result, Result) else result
        typer.echo(json.dumps(values, default=str))
    return as_json


def say(text: str) -> None:
    _out.print(text, highlight=False, soft_wrap=True, markup=False)


def table(columns: list[str], rows: Any) -> None:
    """Print a table; what is wider than the terminal goes on in the next line, nothing is cut off."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    _out.print(table, highlight=False)


def say_problems(problems: "pd.DataFrame", *, verbose: bool = False) -> None:
    """Count the problems, and print the first rows of the table; with ``verbose`` all of them.

    Files without a selection were left out on purpose, and are counted apart.
    """
    n_left_out = n_without_selection(problems)
    rows = problems[problems["reason"] != NO_SELECTION].to_dict("records")
    if rows:
        say(f"{plural(len(rows), 'problem')}, everything else is unharmed:")
        shown = rows if verbose else rows[:_MOST_ROWS]
        table(
            ["file", "reason", "detail"],
            ((row["path"], row["reason"], row["detail"]) for row in shown),
        )
        if len(rows) > len(shown):
            say(f"... and {len(rows) - len(shown):,} more (--verbose shows all).")
    if n_left_out:
        say(f"{plural(n_left_out, 'file')} without a selection, left out as asked.")


def say_notices(notices: Sequence[str], *, verbose: bool = False) -> None:
    """Print three notices, each in a line or its first sentence; with ``verbose`` all, whole.

    Stages give the notices that matter most first.
    """
    shown = list(notices) if verbose else [_line(notice) for notice in notices[:_MOST_NOTICES]]
    for notice in shown:
        say(f"* {notice}")
    if n_more := len(notices) - len(shown):
        say(f"... and {plural(n_more, 'more notice')} (--verbose shows all).")
    elif shown != list(notices):
        say("(--verbose says more of this.)")


def _line(notice: str) -> str:
    return notice if len(notice) + 2 <= _out.width else first_sentence(notice)


def network_and_head(network: str, recipe: "Recipe") -> str:
    """The line that says which network and head a result speaks of."""
    return f"Network {network}; {recipe.describe()}."


def tell(text: str) -> None:
    """Say on stderr what is done now."""
    typer.echo(f"{text} ...", err=True)

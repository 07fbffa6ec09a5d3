"""What verbs print: readable on stdout, or with ``--json`` one object; progress goes to stderr."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pseudorca.results import Result

if TYPE_CHECKING:
    import pandas as pd

    from pseudorca.learning.recipe import Recipe

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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    _out.print(table, highlight=False)


def say_problems(problems: "pd.DataFrame", most: int = 10) -> None:
    """Print the first rows of a table of problems."""
    rows = problems.to_dict("records")
    if rows:
        say(f"{len(rows)} problems, everything else is unharmed:")
        table(
            ["file", "reason", "detail"],
            ((row["path"], row["reason"], row["detail"]) for row in rows[:most]),
        )
        if len(rows) > most:
            say(f"... and {len(rows) - most} more (--json shows all).")


def say_notices(notices: Sequence[str]) -> None:
    for notice in notices:
        say(f"* {notice}")


def network_and_head(network: str, recipe: "Recipe") -> str:
    """The line that says which network and head a result speaks of."""
    return f"Network {network}; {recipe.describe()}."


def tell(text: str) -> None:
    """Say on stderr what is done now."""
    typer.echo(f"{text} ...", err=True)

"""The base class of the results of all verbs: a summary in words, a main table, and JSON values.

A result is a small frozen dataclass in the module of its stage. Results with many rows are pandas
tables. This module knows no table and no stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from pseudorca.values import plural

if TYPE_CHECKING:
    import pandas as pd

NO_SELECTION = "no selection"
"""The reason in a table of problems for a file that was left out, since no selection is of it."""

MOST_ROWS = 20
"""Rows of the main table that a notebook shows."""


class Result(ABC):
    """The result of one verb.

    ``str(result)`` is a summary of at most three lines, the answer first. A notebook shows the
    summary and the main table. :meth:`as_json` gives the object that ``--json`` prints.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, eq=False, repr=False)
    ... class CountResult(Result):
    ...     n_files: int
    ...     def as_json(self):
    ...         return {"n_files": self.n_files}
    ...     def summary(self):
    ...         return [f"{self.n_files} files."]
    >>> result = CountResult(3)
    >>> print(result)
    3 files.
    >>> result
    <CountResult: 3 files.>
    """

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """The result as JSON values, with the keys that ``--json`` prints.

        Returns
        -------
        dict from str to JSON values
        """

    @abstractmethod
    def summary(self) -> Sequence[str]:
        """The result in one to three sentences, the answer first.

        Returns
        -------
        list of str, a line each
        """

    def main_table(self) -> "pd.DataFrame | None":
        """The table that answers the question of the verb; None if a result has no table.

        Returns
        -------
        DataFrame or None
        """
        return None

    def __str__(self) -> str:
        return "\n".join(self.summary())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()[0]}>"

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.summary())
        table = self.main_table()
        if table is None or table.empty:
            return lines
        n_more = len(table) - MOST_ROWS
        more = f"<p>... and {plural(n_more, 'row')} more.</p>" if n_more > 0 else ""
        return f"{lines}{table.head(MOST_ROWS).to_html(index=False, border=0)}{more}"


def attention(n_problems: int, notices: Sequence[str] = ()) -> str:
    """Count the problems and notices of a result, and name their attributes.

    Parameters
    ----------
    n_problems : int, rows of the table ``problems``
    notices : list of str

    Returns
    -------
    str, one sentence

    Examples
    --------
    >>> attention(2, ["Mixed sample rates: ..."])
    '2 problems (see .problems), 1 notice (see .notices).'
    >>> attention(0)
    'No problems.'
    """
    problems = f"{plural(n_problems, 'problem')} (see .problems)" if n_problems else "No problems"
    counted_notices = f", {plural(len(notices), 'notice')} (see .notices)" if notices else ""
    return f"{problems}{counted_notices}."


def n_without_selection(problems: "pd.DataFrame") -> int:
    """Count the files that were left out since no selection is of them: no problem of the sound.

    Parameters
    ----------
    problems : DataFrame with ``reason``

    Returns
    -------
    int

    Examples
    --------
    >>> import pandas as pd
    >>> n_without_selection(pd.DataFrame({"reason": [NO_SELECTION, "empty file"]}))
    1
    """
    return int((problems["reason"] == NO_SELECTION).sum())


def counted(counts: "dict[str, int]") -> str:
    """Write counts by name in one line.

    Parameters
    ----------
    counts : dict from name to count

    Returns
    -------
    str

    Examples
    --------
    >>> counted({"Insular": 12, "Pelagic": 9})
    'Insular 12, Pelagic 9'
    """
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"

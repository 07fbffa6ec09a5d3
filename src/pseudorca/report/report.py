"""The report: everything a project knows, in one HTML file that needs nothing else.

In: a project. Out: a page with its figures inside it, that loads nothing, runs nothing, and shows on
paper, by day and in the dark. The honest number stands first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.errors import PseudorcaError
from pseudorca.pages.blocks import Section
from pseudorca.pages.writing import write_page
from pseudorca.progress import Progress
from pseudorca.report.answer import answer_section
from pseudorca.report.audits import audit_section
from pseudorca.report.balance import balance_section
from pseudorca.report.collection import data_section
from pseudorca.report.contents import Contents, read_project
from pseudorca.report.evaluated import evaluation_section
from pseudorca.report.predictions import prediction_section
from pseudorca.report.provenance import provenance_section
from pseudorca.report.sounds import examples_section, three_sides_section
from pseudorca.report.trust import trust_section
from pseudorca.results import Result, attention
from pseudorca.store import Store
from pseudorca.values import plural


@dataclass(frozen=True, eq=False, repr=False)
class ReportResult(Result):
    """A report that was written."""

    output: Path
    """The HTML file."""
    n_sections: int
    n_figures: int
    n_bytes: int
    problems: pd.DataFrame
    """What could not be read for the report, rows like those of the table ``problems``."""
    notices: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "n_sections": self.n_sections,
            "n_figures": self.n_figures,
            "n_bytes": self.n_bytes,
            "problems": self.problems.to_dict("records"),
            "notices": self.notices,
        }

    def summary(self) -> Sequence[str]:
        return [
            f"Open {self.output} in a browser.",
            f"{plural(self.n_sections, 'section')}, {plural(self.n_figures, 'figure')}, "
            f"{self.n_bytes / 1e6:.1f} MB.",
            attention(len(self.problems), self.notices),
        ]

    def main_table(self) -> pd.DataFrame:
        """What could not be read."""
        return self.problems


def report_project(store: Store, target: Path, *, progress: Progress | None = None) -> ReportResult:
    """Write a project's report.

    Parameters
    ----------
    store : Store
    target : path of the HTML file; it appears whole or not at all
    progress : callable (done, total) or None, over sections

    Returns
    -------
    ReportResult

    Raises
    ------
    PseudorcaError
        If ``target`` is a folder.
    """
    target = Path(target)
    if target.is_dir():
        raise PseudorcaError(
            f"{target} is a folder. Give a file, such as {target / 'report.html'}."
        )
    project = read_project(store)
    notices: list[str] = []
    makers: list[Callable[[Contents], Section]] = [
        lambda p: answer_section(p, notices),
        lambda p: data_section(p, notices),
        examples_section,
        three_sides_section,
        balance_section,
        evaluation_section,
        trust_section,
        audit_section,
        prediction_section,
        provenance_section,
    ]
    sections = []
    for n_done, make in enumerate(makers, 1):
        sections.append(make(project))
        if progress:
            progress(n_done, len(makers))
    written = write_page(sections, target, title=store.folder.resolve().name, notices=notices)
    return ReportResult(
        target,
        written["n_sections"],
        written["n_figures"],
        written["n_bytes"],
        pd.DataFrame(
            project.trouble, columns=["path", "stage", "reason", "detail"], dtype="string"
        ),
        list(dict.fromkeys(notices)),
    )

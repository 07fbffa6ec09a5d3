"""The report: everything that a project knows, in one HTML file that needs no other file.

In: a project. Out: a page with its figures inside. It loads nothing, runs nothing, and is readable on
paper, in light mode and in dark mode. The honest number comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.errors import PseudorcaError
from pseudorca.pages.writing import write_page
from pseudorca.progress import Progress
from pseudorca.report.answer import answer_section
from pseudorca.report.collection import balance_section, data_section
from pseudorca.report.contents import read_project
from pseudorca.report.evaluated import evaluation_section
from pseudorca.report.found import HOME_GROUND, truth_section
from pseudorca.report.predictions import prediction_section
from pseudorca.report.provenance import provenance_section
from pseudorca.report.sounds import examples_section, three_sides_section
from pseudorca.report.summary import summary_section
from pseudorca.report.trust import audit_section, trust_section
from pseudorca.results import Result, attention
from pseudorca.store import Store
from pseudorca.values import plural

_OPEN = (summary_section, examples_section)
"""Sections that are seen at once; all others open on a click."""

_SECTIONS = (
    *_OPEN,
    answer_section,
    audit_section,
    prediction_section,
    trust_section,
    evaluation_section,
    data_section,
    three_sides_section,
    balance_section,
    provenance_section,
)
"""In the order of the questions: what, how good, animals or recorders; then how it came about."""


@dataclass(frozen=True, eq=False, repr=False)
class ReportResult(Result):
    """A report that was written.

    Examples
    --------
    >>> no_problems = pd.DataFrame(columns=["path", "stage", "reason", "detail"])
    >>> result = ReportResult(Path("report.html"), 10, 12, 1_500_000, no_problems, [])
    >>> print(result.summary()[1])
    10 sections, 12 figures, 1.5 MB.
    """

    output: Path
    """The HTML file."""
    n_sections: int
    n_figures: int
    n_bytes: int
    problems: pd.DataFrame
    """What could not be read for the report, rows like those of the table ``problems``."""
    notices: list[str]

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values; ``problems`` is a list of rows."""
        problems = self.problems.to_dict("records")
        return vars(self) | {"output": str(self.output), "problems": problems}

    def summary(self) -> Sequence[str]:
        """Where the report is, its size, and what needs attention."""
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
    """Write the report of a project.

    Parameters
    ----------
    store : Store
    target : path of the HTML file; the file is complete or not there at all
    progress : callable (done, total) or None, over sections

    Returns
    -------
    ReportResult

    Raises
    ------
    PseudorcaError
        If ``target`` is a folder, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/project", create=True)
    ...     result = report_project(store, Path(folder, "report.html"))
    >>> result.n_sections, len(result.problems)
    (11, 0)
    """
    target = Path(target)
    if target.is_dir():
        raise PseudorcaError(
            f"{target} is a folder. Give a file, such as {target / 'report.html'}."
        )
    project = read_project(store)
    makers = list(_SECTIONS)
    title, about = store.folder.resolve().name, ""
    if project.truth is not None:
        makers.insert(len(_OPEN), truth_section)
        title, about = f"{title}: simulated, home ground", HOME_GROUND
    sections = []
    for n_done, make in enumerate(makers, 1):
        sections.append(replace(make(project), is_folded=make not in _OPEN))
        if progress:
            progress(n_done, len(makers))
    page = write_page(sections, target, title=title, notices=project.notices, about=about)
    columns = ["path", "stage", "reason", "detail"]
    problems = pd.DataFrame(project.trouble, columns=columns, dtype="string")
    notices = list(dict.fromkeys(project.notices))
    return ReportResult(**page | {"output": target}, problems=problems, notices=notices)

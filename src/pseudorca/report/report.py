"""The report: everything a project knows, in one HTML file that needs nothing else.

In: a project. Out: a page with its figures inside it, that loads nothing, runs nothing, and shows on
paper, by day and in the dark. The honest number stands first.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pseudorca.errors import PseudorcaError
from pseudorca.pages.blocks import Section
from pseudorca.pages.writing import write_page
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
from pseudorca.store import Store


def write_report(
    store: Store, target: Path, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Write a project's report.

    Parameters
    ----------
    store : Store
    target : path of the HTML file; it appears whole or not at all
    progress : callable (done, total) or None, over sections

    Returns
    -------
    dict
        ``output`` (the file), ``n_sections``, ``n_figures``, ``n_bytes``, ``problems`` (rows like
        those of the table ``problems``: what could not be read for the report) and ``notices``.

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
    return written | {"problems": project.trouble, "notices": list(dict.fromkeys(notices))}

"""The report: everything a project knows, in one HTML file that needs nothing else.

In: a project. Out: a page with its figures inside it, that loads nothing, runs nothing, and shows on
paper, by day and in the dark. The honest number stands first.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from pseudorca._version import __version__
from pseudorca.errors import PseudorcaError
from pseudorca.reporting.answer import answer_section
from pseudorca.reporting.audit import audit_section
from pseudorca.reporting.balance import balance_section
from pseudorca.reporting.blocks import Number, Section, count_figures
from pseudorca.reporting.collection import data_section
from pseudorca.reporting.evaluation import evaluation_section
from pseudorca.reporting.predictions import prediction_section
from pseudorca.reporting.project import Project, read_project
from pseudorca.reporting.provenance import provenance_section
from pseudorca.reporting.sounds import examples_section, three_sides_section
from pseudorca.reporting.trust import trust_section
from pseudorca.store import Store

TEMPLATE = "report.html.jinja"


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
    makers: list[Callable[[Project], Section]] = [
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


def write_page(
    sections: list[Section], target: Path, *, title: str, notices: list[str]
) -> dict[str, Any]:
    """Write sections as one HTML file, which appears whole or not at all.

    Returns
    -------
    dict ``output, n_sections, n_figures, n_bytes``
    """
    page = render(sections, title=title, notices=notices)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(target)
    return {
        "output": str(target),
        "n_sections": len(sections),
        "n_figures": count_figures(sections),
        "n_bytes": len(page.encode()),
    }


def render(sections: list[Section], *, title: str, notices: list[str]) -> str:
    """Make the page; everything that people named is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pseudorca.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.tests["figures"] = lambda cell: isinstance(cell, Number)
    return environment.get_template(TEMPLATE).render(
        sections=sections,
        title=title,
        n_notices=len(notices),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )

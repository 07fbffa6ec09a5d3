"""Sections to one HTML file that needs nothing beside it."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from pseudorca._version import __version__
from pseudorca.errors import PseudorcaError
from pseudorca.pages.blocks import Number, Section, count_figures

TEMPLATE = "report.html.jinja"


def write_page(
    sections: list[Section], target: Path, *, title: str, notices: list[str]
) -> dict[str, Any]:
    """Write sections as one HTML file, which appears whole or not at all.

    Returns
    -------
    dict ``output, n_sections, n_figures, n_bytes``

    Raises
    ------
    PseudorcaError
        If the file cannot be written.
    """
    page = render(sections, title=title, notices=notices)
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise PseudorcaError(
            f"{target} cannot be written: {error.strerror or error}. Choose another place with --out."
        ) from error
    return {
        "output": str(target),
        "n_sections": len(sections),
        "n_figures": count_figures(sections),
        "n_bytes": len(page.encode()),
    }


def render(sections: list[Section], *, title: str, notices: list[str]) -> str:
    """Make the page; everything that people named is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pseudorca.pages"),
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

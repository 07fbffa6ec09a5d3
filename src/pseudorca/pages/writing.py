"""Write sections as one HTML file without any other files."""

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
    sections: list[Section], target: Path, *, title: str, notices: list[str], about: str = ""
) -> dict[str, Any]:
    """Write sections as one HTML file. The file is complete or not there at all.

    Parameters
    ----------
    sections : list of Section
    target : path of the file; its folder is created if necessary
    title : str
    notices : list of str; the page shows their number
    about : str, a line under the title

    Returns
    -------
    dict ``output, n_sections, n_figures, n_bytes``

    Raises
    ------
    PseudorcaError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "page.html"
    >>> page = write_page([Section("a", "Answer")], target, title="Whales", notices=[])
    >>> page["n_sections"], page["n_bytes"] == target.stat().st_size
    (1, True)
    """
    page = render(sections, title=title, notices=notices, about=about)
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


def render(sections: list[Section], *, title: str, notices: list[str], about: str = "") -> str:
    """Make the HTML of a page. All text is escaped.

    Parameters
    ----------
    sections : list of Section
    title : str
    notices : list of str; the page shows their number
    about : str, a line under the title

    Returns
    -------
    str, HTML

    Examples
    --------
    >>> "a &lt; b" in render([Section("a", "a < b")], title="Whales", notices=[])
    True
    """
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
        about=about,
        n_notices=len(notices),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )

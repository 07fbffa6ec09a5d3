"""The report of the study: both columns side by side, in one HTML file without other files."""

from collections.abc import Sequence

from pseudorca.pages.writing import write_page as write_html
from pseudorca.study.page_frame import (
    answer_section,
    data_section,
    own_numbers_section,
    provenance_section,
    switches_section,
)
from pseudorca.study.page_parts import Page
from pseudorca.study.page_tables import (
    final_section,
    imbalance_section,
    networks_section,
    settings_section,
    unknown_section,
)

_NOT_TWO = (
    "The study's numbers presuppose exactly two classes (one is positive), so with {n} classes there "
    "is no as-published column: everything here is told straight."
)


def write_page(
    page: Page, rows: Sequence[tuple[str, str, str]], sentences: Sequence[str]
) -> tuple[int, list[str]]:
    """Draw the figures and write the report.

    Parameters
    ----------
    page : Page
    rows : list of (what, as published, told straight), both columns side by side
    sentences : list of str, what changed from one column to the other

    Returns
    -------
    n_figures : int
    notices : list of str
    """
    notices = _notices(page)
    sections = [
        answer_section(page, list(rows), list(sentences), notices),
        *([switches_section(page, page.published)] if page.published is not None else []),
        data_section(page),
        networks_section(page),
        imbalance_section(page),
        settings_section(page),
        final_section(page),
        unknown_section(page),
        own_numbers_section(page),
        provenance_section(page),
    ]
    title = "The original study, repeated"
    written = write_html(sections, page.folders.report, title=title, notices=notices)
    return int(written["n_figures"]), notices


def _notices(page: Page) -> list[str]:
    notices = []
    if page.published is None:
        notices.append(_NOT_TWO.format(n=len(page.classes)))
    notices += page.straight.notices
    notices += [
        f"{name} was run as pretrained where training mode was asked for: {why}"
        for name, why in page.networks.not_adapted.items()
    ]
    local = [
        f"{name} ({file})" for name, file in page.options.weights.items() if file != "official"
    ]
    if local:
        notices.append(
            f"Local weights, not the study's: {', '.join(local)}. Numbers of these networks are not "
            "those of the official weights."
        )
    if page.options.max_per_class is not None:
        notices.append(
            f"A part of the recordings only: at most {page.options.max_per_class} a class "
            "(--max-per-class)."
        )
    return notices + page.material.notices

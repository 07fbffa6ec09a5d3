"""The report of the study: both columns side by side, in one HTML file that needs nothing else."""

from collections.abc import Mapping
from typing import Any

from pseudorca.pages.writing import write_page as write_html
from pseudorca.study.as_published import Published
from pseudorca.study.figures import Figures
from pseudorca.study.material import Material
from pseudorca.study.networks import Networks
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
from pseudorca.study.settings import Folders, StudyOptions
from pseudorca.study.straight import Straight
from pseudorca.study.tables import Tables
from pseudorca.study.words import side_by_side, what_changed

_NOT_TWO = (
    "The study's numbers presuppose exactly two classes (one is positive), so with {n} classes there "
    "is no as-published column: everything here is told straight."
)


def write_page(
    folders: Folders,
    material: Material,
    options: StudyOptions,
    networks: Networks,
    straight: Straight,
    published: Published | None,
    tables: Tables,
    took: Mapping[str, float],
) -> dict[str, Any]:
    """Draw the figures and write the report.

    Returns
    -------
    dict of JSON values, what ``reproduce --json`` prints
    """
    figures = Figures(folders.figures)
    page = Page(folders, material, options, networks, straight, published, tables, took, figures)
    notices = _notices(page)
    rows = side_by_side(material, straight, published)
    sentences = what_changed(material, straight, published)
    sections = [
        answer_section(page, rows, sentences, notices),
        *([switches_section(page, published)] if published is not None else []),
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
    written = write_html(sections, folders.report, title=title, notices=notices)
    return {
        "report": str(folders.report),
        "tables": str(folders.tables),
        "figures": str(folders.figures),
        "project": str(folders.project),
        "classes": material.classes,
        "n_clips": len(material.clips),
        "n_figures": written["n_figures"],
        "as_published": sorted(published.switches) if published is not None else None,
        "side_by_side": [list(row) for row in rows],
        "sentences": sentences,
        "notices": notices,
        "n_passes": networks.n_passes,
        "took_s": {text: round(seconds, 2) for text, seconds in took.items()},
    }


def _notices(page: Page) -> list[str]:
    found = []
    if page.published is None:
        found.append(_NOT_TWO.format(n=len(page.classes)))
    found += page.straight.notices
    found += [
        f"{name} was run as pretrained where training mode was asked for: {why}"
        for name, why in page.networks.not_adapted.items()
    ]
    local = [
        f"{name} ({file})" for name, file in page.options.weights.items() if file != "official"
    ]
    if local:
        found.append(
            f"Local weights, not the study's: {', '.join(local)}. Numbers of these networks are not "
            "those of the official weights."
        )
    if page.options.max_per_class is not None:
        found.append(
            f"A part of the recordings only: at most {page.options.max_per_class} a class "
            "(--max-per-class)."
        )
    return found + page.material.notices

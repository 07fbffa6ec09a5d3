"""The base of the sections of the study's report: their data, and tables of both columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.pages.blocks import Block, Cell, Notices, Number, Table
from pseudorca.study.as_published import Published
from pseudorca.study.figures import Figures
from pseudorca.study.material import Material
from pseudorca.study.networks import Networks
from pseudorca.study.settings import Folders, StudyOptions
from pseudorca.study.straight import Straight
from pseudorca.study.switches import NAMES
from pseudorca.study.tables import Tables

_MAJORITY = "published_majority_accuracy"
_MOST_RECALLS = 4
"""Most classes for which tables have a recall of each class."""


@dataclass(frozen=True)
class Page:
    """The data of all sections."""

    folders: Folders
    material: Material
    options: StudyOptions
    networks: Networks
    straight: Straight
    published: Published | None
    tables: Tables
    took: Mapping[str, float]
    """Seconds of each stage."""
    figures: Figures

    @property
    def classes(self) -> list[str]:
        """The classes of the study."""
        return self.material.classes


def both_columns(page: Page, name: str, key: str) -> list[Block]:
    """Make a table of both columns side by side.

    Parameters
    ----------
    page : Page
    name : str, name of the table
    key : str, the column that names the rows

    Returns
    -------
    list of blocks
    """
    frame, published = page.tables[name], page.published
    columns = [key.replace("_", " ")]
    cells: list[Callable[[Mapping[Any, Any]], Cell]] = [lambda row: _shown(row[key])]
    caption = ""
    if published is not None:
        label = page.classes[published.positive]
        columns += [
            "as published: accuracy", f"precision of {label}", f"recall of {label}",
            "(its balanced accuracy)",
        ]  # fmt: skip
        cells += [
            _published_number(column, digits)
            for column, digits in (
                ("accuracy", 4), ("precision", 4), ("recall", 4), ("balanced_accuracy", 3),
            )
        ]  # fmt: skip
        shares = frame.reindex(columns=[_MAJORITY])[_MAJORITY].dropna()
        majority = sorted({f"{value:.4f}" for value in shares})
        if majority:
            ends = " to ".join(dict.fromkeys([majority[0], majority[-1]]))
            caption = f"{ends} as published, "
    columns += ["told straight: balanced accuracy by clip", "by encounter", "accuracy"]
    cells += [_interval("clip"), _interval("encounter"), _number("straight_clip_accuracy", 3)]
    for label in page.classes if len(page.classes) <= _MOST_RECALLS else []:
        columns.append(f"recall of {label}")
        cells.append(_number(f"straight_clip_recall_{label}", 2))
    straight = page.straight.no_sound.clip
    caption = (
        f"Always naming the most frequent class: accuracy {caption}{straight['majority_accuracy']:.3f} "
        f"told straight, balanced accuracy {straight['majority_baseline']:.2f}."
    )
    rows = [[cell(row) for cell in cells] for row in frame.to_dict("records")]
    return [Table(columns, rows, caption=caption), *_failures(frame, key)]


def _number(column: str, digits: int) -> Callable[[Mapping[Any, Any]], Cell]:
    return lambda row: Number(row.get(column), digits)


def _published_number(column: str, digits: int) -> Callable[[Mapping[Any, Any]], Cell]:
    """A number of the as-published column, or that the training failed."""

    def cell(row: Mapping[Any, Any]) -> Cell:
        failed = pd.notna(row.get("published_failed"))
        return "failed" if failed else Number(row.get(f"published_{column}"), digits)

    return cell


def _interval(unit: str) -> Callable[[Mapping[Any, Any]], Cell]:
    def cell(row: Mapping[Any, Any]) -> Cell:
        if pd.notna(row.get("straight_failed")):
            return "failed"
        value, low, high = (
            row.get(f"straight_{unit}_{key}", np.nan)
            for key in ("balanced_accuracy", "ci_low", "ci_high")
        )
        return "–" if np.isnan(value) else f"{value:.3f} [{low:.2f}, {high:.2f}]"

    return cell


def _failures(frame: pd.DataFrame, key: str) -> list[Block]:
    failures = []
    for column in ("published_failed", "straight_failed"):
        if column in frame:
            failed = frame[frame[column].notna()]
            side = "as published" if column.startswith("published") else "told straight"
            failures += [
                f"{_shown(row[key])}, {side}: {row[column]}" for row in failed.to_dict("records")
            ]
    return [Notices(failures)] if failures else []


def how_straight(straight: Straight) -> str:
    """Describe the split of the told-straight column in words.

    Parameters
    ----------
    straight : Straight

    Returns
    -------
    str
    """
    split = straight.split
    kept = "encounters whole" if straight.encounters_whole else "moments whole, encounters torn"
    again = f", {split.n_repeats} times" if split.n_repeats > 1 else ""
    return f"{split.n_folds} folds{again}, {kept}, every setting from a fresh start"


def listed(switches: frozenset[str]) -> str:
    """List switches in their order.

    Parameters
    ----------
    switches : frozenset of str

    Returns
    -------
    str

    Examples
    --------
    >>> listed(frozenset({"first-clip", "wide-margins"})), listed(frozenset())
    ('wide-margins, first-clip', 'none')
    """
    return ", ".join(name for name in NAMES if name in switches) or "none"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)

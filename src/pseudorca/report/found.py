"""What was said of unknown encounters, set by set; beside the truth, where a survey was simulated."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pseudorca.pages.blocks import Facts, Number, Section, Table, Text, folded
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.known_truth import LEFT_OPEN, beside_truth
from pseudorca.prediction.sets import last_settings
from pseudorca.recordings.options import NOTHING
from pseudorca.report.contents import Contents
from pseudorca.store import condition

HOME_GROUND = (
    "Home ground: the sounds, and those from which the network in the box learned, come from one "
    "simulator. Nothing of this is about real animals."
)


def said_of(project: Contents, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Read what the classifier that was asked last said of the encounters of a set.

    Parameters
    ----------
    project : Contents
    settings : mapping, those of the run of ``predict``, as from ``last_settings``

    Returns
    -------
    DataFrame, rows of ``decisions``: what is named first, the surest on top; the undecided last
    """
    key = {name: str(settings[name]) for name in ("set_name", "classifier_id")}
    where = condition({"split_id": "", "unit": "encounter"} | key)
    decisions = project.store.read("decisions", where=where)
    rank = decisions["decision"].map({UNDECIDED: 2, NOTHING: 1}).fillna(0)
    ordered = decisions.assign(rank=rank).sort_values(
        ["rank", "probability"], ascending=[True, False], kind="stable"
    )
    return ordered.drop(columns="rank").reset_index(drop=True)


def compared_with_truth(project: Contents) -> pd.DataFrame:
    """Put what was said of the encounters of the last set beside what they truly are.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    DataFrame, as from :func:`pseudorca.prediction.known_truth.beside_truth`; empty unless the
        recordings are a simulated survey
    """
    sets = last_settings(project.store)
    if not sets or project.truth is None:
        return beside_truth(pd.DataFrame(columns=["encounter", "decision", "probability"]), {})
    said = said_of(project, list(sets.values())[-1])
    return beside_truth(said.rename(columns={"unit_id": "encounter"}), project.truth)


def truth_section(project: Contents) -> Section:
    """Show the answers on unknown encounters beside the hidden truth of a simulated survey.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = truth_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'Nothing was predicted of which the truth is known.'
    """
    section = Section("truth", "The answers beside the hidden truth")
    table = compared_with_truth(project)
    if table.empty:
        section.blocks.append(Text("Nothing was predicted of which the truth is known."))
        return section
    counts = table["right"].value_counts()
    rows = [
        (
            project.plain(row["encounter"]), row["answer"], Number(row["probability"]),
            row["truth"], row["right"],
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    columns = ("unknown encounter", "answer", "probability", "truth", "right")
    section.blocks += [
        Text(HOME_GROUND),
        Facts([(name, int(counts.get(key, 0))) for name, key in _COUNTED]),
        folded(Table(columns, rows, caption="Answers and truth. Left open: nobody was misled.")),
    ]
    return section


_COUNTED = (("right", "yes"), ("wrong", "no"), (LEFT_OPEN, LEFT_OPEN))

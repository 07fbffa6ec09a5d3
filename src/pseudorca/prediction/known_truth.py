"""Answers beside the truth, where it is known: the unknown encounters of a simulated survey."""

from collections.abc import Mapping

import pandas as pd

from pseudorca.prediction.detections import is_named
from pseudorca.simulation.plan import OTHER

LEFT_OPEN = "left open"


def beside_truth(encounters: pd.DataFrame, truth: Mapping[str, str]) -> pd.DataFrame:
    """Put what was said of encounters beside what they truly are.

    Parameters
    ----------
    encounters : DataFrame, with ``encounter``, ``decision`` and ``probability``
    truth : mapping from encounter to population, as from
        :func:`pseudorca.simulation.truth.true_populations`

    Returns
    -------
    DataFrame ``encounter, answer, probability, truth, right``, a row per encounter whose truth is
        known. ``right`` is ``yes``, ``no`` or ``left open``: another species is rightly not named.

    Examples
    --------
    >>> said = {"encounter": ["a", "b"], "decision": ["Insular", "undecided"], "probability": 0.9}
    >>> beside_truth(pd.DataFrame(said), {"a": "Pelagic", "b": "Other"})["right"].tolist()
    ['no', 'yes']
    """
    known = {name.casefold(): population for name, population in truth.items()}
    own = [  # without the class folder, and without the number of a part that was cut at gaps
        name.casefold().rsplit("/", 1)[-1].partition("#")[0]
        for name in map(str, encounters["encounter"])
    ]
    table = pd.DataFrame(
        {
            "encounter": encounters["encounter"],
            "answer": encounters["decision"],
            "probability": encounters["probability"].astype(float),
            "truth": pd.Series([known.get(name) for name in own], encounters.index, dtype=object),
        }
    )
    named, is_other = is_named(table["answer"]), table["truth"] == OTHER
    right = pd.Series("no", index=table.index).mask(~named, LEFT_OPEN)
    right = right.mask((~named & is_other) | (table["answer"] == table["truth"]), "yes")
    return table.assign(right=right)[table["truth"].notna()].reset_index(drop=True)

"""What is decided and what of it is wrong, from the surest unit to all of them.

In: how sure each unit is, and amounts to add up. Out: their sums at every threshold, which both kinds
of risk-coverage curve and the choice of a threshold are made from.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def surest_first(claimed: ArrayLike, amounts: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Add amounts up from the surest unit on.

    Parameters
    ----------
    claimed : array [shape=(n_units,)], finite; a unit is decided if this is at least the threshold
    amounts : mapping from name to array [shape=(n_units,)]

    Returns
    -------
    DataFrame
        A row per distinct value of ``claimed``, the greatest first: ``threshold``, and for each name
        the sum over all units that are decided.
    """
    values = np.asarray(claimed, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)[: len(values)]
    sums = {name: np.cumsum(np.asarray(amount)[order])[ends] for name, amount in amounts.items()}
    return pd.DataFrame({"threshold": values[ends]} | sums)

"""What it takes to be named where the user wishes nothing: the least probability of a name.

In: calibrated probabilities of encounters that were held out. Out: the lowest probability at which few
enough of their names were wrong, or a fixed one where too few were held out.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudorca.evaluation.options import USUAL_ERROR
from pseudorca.evaluation.risk_coverage import outcomes, usual_threshold
from pseudorca.learning.calibration import CalibratedUnits

FALLBACK = 0.55
"""The least probability of a name where there are too few held-out encounters to choose one.

Chosen on simulated surveys (``benchmarks/README.md``): the lowest at which, whatever there is to tell
apart among 2, 3 or 6 classes, at most a quarter of the encounters get a wrong name.
"""

LEAST_ENCOUNTERS = 8
"""Held-out encounters from which on a threshold is chosen."""


def usual_probability(
    units: CalibratedUnits | None, prior: NDArray[np.float64]
) -> tuple[float, dict[str, Any]]:
    """Choose the least probability of a name on held-out units.

    Parameters
    ----------
    units : CalibratedUnits of one kind, or None if nothing was held out
    prior : ndarray [shape=(n_classes,)], how frequent the classes are

    Returns
    -------
    lowest : float; infinite if too many names are wrong above every threshold
    about : dict
        ``wanted``, ``kind`` (``usual``, or ``fixed`` with its ``probability``) and ``chosen`` (a
        :class:`pseudorca.evaluation.risk_coverage.Threshold` as a dict, or None)

    Examples
    --------
    >>> usual_probability(None, np.array([0.5, 0.5]))[1]["kind"]
    'fixed'
    """
    about: dict[str, Any] = {"wanted": USUAL_ERROR, "kind": "usual", "chosen": None}
    if units is None or units.table["encounter"].nunique() < LEAST_ENCOUNTERS:
        return FALLBACK, about | {"kind": "fixed", "probability": FALLBACK}
    threshold = usual_threshold(outcomes(units, prior), USUAL_ERROR)
    if threshold is None:
        return np.inf, about
    return threshold.probability, about | {"chosen": asdict(threshold)}

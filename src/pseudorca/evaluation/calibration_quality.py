"""Are the probabilities true? Calibrated probabilities of units that calibrator and head never saw.

In: :class:`CalibratedUnits`, from out-of-fold scores. Out: Brier score and log loss with intervals
over encounters, and per bin of claimed probability the share of claims that came true.
"""

from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from pseudorca.evaluation.intervals import loss_interval
from pseudorca.learning.calibration import CalibratedUnits, encounter_weights
from pseudorca.recordings.folds import OTHER

MIN_ENCOUNTERS_ECE = 50
"""With fewer encounters, an expected calibration error depends more on the bins than on the scores."""

_BINS = np.linspace(0, 1, 6)


def reliability(units: CalibratedUnits) -> dict[str, Any]:
    """Judge the populations' probabilities, classes weighing equally, and encounters within a class.

    Parameters
    ----------
    units : CalibratedUnits
        The class of other sounds is left out.

    Returns
    -------
    dict
        ``log_loss, brier`` (multi-class: sum of squared errors, 0 to 2), each with ``_low`` and
        ``_high`` (95 %, see :func:`pseudorca.evaluation.intervals.loss_interval`; None where there
        are too few encounters for one) and ``_baseline`` (saying the prior); ``interval_method``;
        ``bins``: rows ``low, high, claimed, happened, n_encounters`` over all classes' claims;
        ``expected_calibration_error`` from 50 encounters on, else None; ``temperature``,
        ``dependence``, ``kind`` and ``n_encounters``.

    Examples
    --------
    >>> import pandas as pd
    >>> from pseudorca.learning.calibration import Calibrator
    >>> table = pd.DataFrame({
    ...     "unit_id": ["e1", "e2", "e3", "e4"], "label": ["A", "A", "B", "B"],
    ...     "encounter": ["e1", "e2", "e3", "e4"], "n_moments": 1, "repeat": 0, "fold": [0, 1, 0, 1],
    ... })
    >>> log_probabilities = np.log([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> units = CalibratedUnits(table, log_probabilities, ["A", "B"], Calibrator(["A", "B"]))
    >>> round(reliability(units)["brier"], 3)
    0.05
    """
    keep = (units.table["label"] != OTHER).to_numpy()
    columns = [k for k, label in enumerate(units.classes) if label != OTHER]
    table, classes = units.table[keep], [units.classes[k] for k in columns]
    log_probabilities = scipy.special.log_softmax(units.log_probabilities[keep][:, columns], axis=1)
    column = {label: k for k, label in enumerate(classes)}
    actual = np.array([column[label] for label in table["label"]])
    labels = table["label"].to_numpy(dtype=object)
    encounters = table["encounter"].to_numpy(dtype=object)
    weights, n_encounters = encounter_weights(labels, encounters)
    claimed = np.exp(log_probabilities)
    is_class = np.eye(len(classes))[actual]
    losses = {
        "log_loss": -log_probabilities[np.arange(len(actual)), actual],
        "brier": ((claimed - is_class) ** 2).sum(axis=1),
    }
    n, n_folds = len(classes), table["fold"].nunique()
    baseline = {"log_loss": float(np.log(n)), "brier": 1 - 1 / n}
    highest = {"log_loss": np.inf, "brier": 2.0}
    measures: dict[str, Any] = {}
    for name, values in losses.items():
        low, high, method = loss_interval(
            values, labels, encounters, n_folds=n_folds, highest=highest[name]
        )
        measures |= {
            name: float(weights @ values), f"{name}_low": low, f"{name}_high": high,
            f"{name}_baseline": baseline[name], "interval_method": method,
        }  # fmt: skip
    bins = _bins(claimed, is_class, weights, encounters)
    total = sum(n_encounters.values())
    error = None
    if total >= MIN_ENCOUNTERS_ECE:
        error = float(sum(b["weight"] * abs(b["claimed"] - b["happened"]) for b in bins))
    return measures | {
        "bins": bins,
        "expected_calibration_error": error,
        "temperature": units.calibrator.temperature,
        "dependence": units.calibrator.dependence,
        "kind": units.calibrator.kind,
        "n_encounters": total,
    }


def _bins(
    claimed: NDArray[np.float64],
    is_class: NDArray[np.float64],
    weights: NDArray[np.float64],
    encounters: NDArray[np.object_],
) -> list[dict[str, float]]:
    """Rows of the reliability diagram; bins without a claim are left out."""
    n_classes = claimed.shape[1]
    bin_of = np.clip(np.searchsorted(_BINS, claimed, side="right") - 1, 0, len(_BINS) - 2)
    claim_weights = np.broadcast_to(weights[:, None] / n_classes, claimed.shape)
    rows = []
    for k in range(len(_BINS) - 1):
        in_bin = bin_of == k
        weight = float(claim_weights[in_bin].sum())
        if weight > 0:
            rows.append(
                {
                    "low": float(_BINS[k]),
                    "high": float(_BINS[k + 1]),
                    "claimed": float(claim_weights[in_bin] @ claimed[in_bin] / weight),
                    "happened": float(claim_weights[in_bin] @ is_class[in_bin] / weight),
                    "weight": weight,
                    "n_encounters": len(set(encounters[in_bin.any(axis=1)])),
                }
            )
    return rows

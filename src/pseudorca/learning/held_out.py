"""Calibrated probabilities of units that neither head nor calibrator has seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.learning.calibration import Calibrator, fit_calibrator
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import Folds


@dataclass(frozen=True)
class CalibratedUnits:
    """Units of one kind with the probabilities that were claimed of them, one row per repeat and unit.

    ``table``: ``unit_id, label, encounter, n_moments, repeat, fold``.
    ``log_probabilities`` [shape=(n_rows, n_classes)], at the uniform prior.
    """

    table: pd.DataFrame
    log_probabilities: NDArray[np.float64]
    classes: list[str]
    calibrator: Calibrator
    """Fitted on all of them, for recordings to come."""

    def as_table(self) -> pd.DataFrame:
        """One table, with a column per class."""
        names = [f"log_p {label}" for label in self.classes]
        scores = pd.DataFrame(self.log_probabilities, columns=names, index=self.table.index)
        return pd.concat([self.table, scores], axis=1)

    @classmethod
    def from_table(cls, table: pd.DataFrame, calibrator: Calibrator) -> "CalibratedUnits":
        """Read what :meth:`as_table` made."""
        names = [f"log_p {label}" for label in calibrator.classes]
        scores = table[names].to_numpy(dtype=np.float64)
        return cls(table.drop(columns=names), scores, calibrator.classes, calibrator)


def calibrate_out_of_fold(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    log_probabilities: NDArray[np.float64],
    folds: Folds,
    classes: Sequence[str],
    *,
    unit: str,
    presupposed: NDArray[np.float64] | None = None,
) -> CalibratedUnits:
    """Calibrate each fold's units by a calibrator fitted on the other folds.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    log_probabilities : ndarray [shape=(n_repeats, n_clips, n_classes)], out of fold
    folds : Folds, those of the scores
    classes : list of str
    unit : ``clip``, ``recording`` or ``encounter``
    presupposed : ndarray [shape=(n_classes,)], the prior the scores carry; None: uniform
    """
    tables, scores, found = [], [], []
    for repeat, said in enumerate(log_probabilities):
        units = aggregate(clips, recordings, said, unit)
        fold_of = dict(zip(clips["encounter"], folds.test_fold[repeat], strict=True))
        table = units.table[["unit_id", "label", "encounter", "n_moments"]].copy()
        table["repeat"], table["fold"] = repeat, [fold_of[name] for name in table["encounter"]]
        calibrated = np.empty_like(units.log_probabilities)
        for fold in table["fold"].unique():
            test = (table["fold"] == fold).to_numpy()
            fitted = _fit(table[~test], units.log_probabilities[~test], classes, presupposed)
            calibrated[test] = fitted.log_probabilities(
                units.log_probabilities[test], table.loc[test, "n_moments"].to_numpy(np.int64)
            )
        tables.append(table)
        scores.append(units.log_probabilities)
        found.append(calibrated)
    table = pd.concat(tables, ignore_index=True)
    final = _fit(table, np.concatenate(scores), classes, presupposed)
    return CalibratedUnits(table, np.concatenate(found), list(classes), final)


def _fit(
    table: pd.DataFrame,
    scores: NDArray[np.float64],
    classes: Sequence[str],
    presupposed: NDArray[np.float64] | None,
) -> Calibrator:
    if table.empty:  # a split that can hold out one unit only
        return Calibrator(
            list(classes), presupposed=[] if presupposed is None else presupposed.tolist()
        )
    return fit_calibrator(
        scores,
        table["n_moments"].to_numpy(np.int64),
        table["label"].to_numpy(dtype=object),
        table["encounter"].to_numpy(dtype=object),
        classes,
        presupposed=presupposed,
    )

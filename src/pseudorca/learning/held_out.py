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
    """Units of one kind with their calibrated probabilities, one row per repeat and unit.

    ``table``: ``unit_id, label, encounter, n_moments, repeat, fold``.
    ``log_probabilities`` [shape=(n_rows, n_classes)], at the uniform prior.

    Examples
    --------
    >>> table = pd.DataFrame({"unit_id": ["e1"], "label": "A", "encounter": "e1", "n_moments": 1})
    >>> units = CalibratedUnits(table, np.log([[0.75, 0.25]]), ["A", "B"], Calibrator(["A", "B"]))
    >>> units.as_table().columns[-2:].tolist()
    ['log_p A', 'log_p B']
    """

    table: pd.DataFrame
    log_probabilities: NDArray[np.float64]
    classes: list[str]
    calibrator: Calibrator
    """Fitted on all units, for new recordings."""

    def as_table(self) -> pd.DataFrame:
        """One table, with a column per class."""
        names = [f"log_p {label}" for label in self.classes]
        scores = pd.DataFrame(self.log_probabilities, columns=names, index=self.table.index)
        return pd.concat([self.table, scores], axis=1)

    @classmethod
    def from_table(cls, table: pd.DataFrame, calibrator: Calibrator) -> "CalibratedUnits":
        """Rebuild the units from the table of :meth:`as_table`."""
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
    """Calibrate each fold's units with a calibrator that is fitted on the other folds.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    log_probabilities : ndarray [shape=(n_repeats, n_clips, n_classes)], out of fold
    folds : Folds, of the scores
    classes : list of str
    unit : ``clip``, ``recording`` or ``encounter``
    presupposed : ndarray [shape=(n_classes,)], the prior that the scores carry; None: uniform

    Returns
    -------
    CalibratedUnits, of all repeats

    Examples
    --------
    >>> from pseudorca.recordings.folds import Split, make_folds
    >>> names = [f"e{k}" for k in range(4)]
    >>> clips = pd.DataFrame({
    ...     "clip_id": names, "recording_id": names, "moment_id": names, "encounter": names,
    ...     "label": ["A", "A", "B", "B"], "start_s": 0.0, "end_s": 2.0,
    ... })
    >>> recordings = pd.DataFrame({"recording_id": names, "moment_id": names, "encounter": names,
    ...                            "metadata": "{}"})
    >>> folds = make_folds(clips, recordings, Split("encounter", n_folds=2, n_repeats=1))
    >>> scores = np.log([[[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]]])
    >>> units = calibrate_out_of_fold(clips, recordings, scores, folds, ["A", "B"], unit="encounter")
    >>> units.table["label"].tolist()
    ['A', 'A', 'B', 'B']
    """
    tables, scores, calibrated_scores = [], [], []
    for repeat, clip_scores in enumerate(log_probabilities):
        units = aggregate(clips, recordings, clip_scores, unit)
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
        calibrated_scores.append(calibrated)
    table = pd.concat(tables, ignore_index=True)
    calibrator = _fit(table, np.concatenate(scores), classes, presupposed)
    return CalibratedUnits(table, np.concatenate(calibrated_scores), list(classes), calibrator)


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

"""Scores to calibrated probabilities at a named prior.

In: log-probabilities of units (mean over the moments), the number of moments, and the labels. All
scores are out of fold: the classifier never trained on the encounters that it scores. Out: a
:class:`Calibrator` per kind of unit, a few numbers that the classifier keeps; and calibrated
probabilities of units that neither head nor calibrator has seen.

The moments of an encounter are not independent. The log-probabilities of independent moments would add
up; identical moments are worth their mean. The design effect stands between the two:
``n / (1 + (n - 1) * dependence)`` moments' worth of evidence, with the dependence fitted beside the
temperature.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
from sklearn.isotonic import IsotonicRegression

from pseudorca.errors import PseudorcaError
from pseudorca.learning.dataset import Floats, Ints, Names, TrainingSet
from pseudorca.learning.false_alarms import NothingRule
from pseudorca.learning.heads.base import Head, class_numbers
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import OTHER, Folds
from pseudorca.values import nfc

MIN_ENCOUNTERS_ISOTONIC = 50
"""Encounters per class from which isotonic regression is used; with fewer it fits single encounters."""

Kind = Literal["temperature", "isotonic"]

_DEPENDENCES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
_LOG_TEMPERATURES = (np.log(0.05), np.log(100.0))
_ROUNDED = 0.01 + 1e-9  # how far rounded shares may miss a sum of 1
_SMALLEST = 1e-6  # isotonic regression on few encounters may give 0


@dataclass(frozen=True)
class Calibrator:
    """Turns the mean log-probabilities of units into probabilities at any prior.

    ``log_softmax(evidence / temperature + log prior)``. The evidence is the head's score, less the
    prior that the score presupposes, times the worth of the unit's moments. With enough encounters,
    isotonic regression of each class against the rest follows. Before the prior, the result is mixed
    with a uniform distribution, as if one more encounter of unknown class had been seen: n encounters
    cannot show that something is rarer than about one in n (Laplace's rule of succession).

    Examples
    --------
    >>> calibrator = Calibrator(["A", "B"], temperature=2.0)
    >>> scores = np.log([[0.8, 0.2]])
    >>> np.exp(calibrator.log_probabilities(scores, np.array([1]))).round(3).tolist()
    [[0.667, 0.333]]
    """

    classes: list[str]
    temperature: float = 1.0
    dependence: float = 1.0
    """0: moments are independent; 1: all moments of a unit are identical."""
    presupposed: list[float] = field(default_factory=list)
    """The prior that the head's scores carry [shape=(n_classes,)]; empty: uniform."""
    isotonic: list[tuple[list[float], list[float]]] = field(default_factory=list)
    """Per class: probability before, probability after; empty if only the temperature is fitted."""
    n_encounters: int = 0
    """Encounters that the calibrator was fitted on."""

    @property
    def kind(self) -> Kind:
        """What was fitted: ``temperature`` alone, or ``isotonic`` regression, too."""
        return "isotonic" if self.isotonic else "temperature"

    def log_probabilities(
        self, scores: Floats, n_moments: Ints, prior: Floats | None = None
    ) -> Floats:
        """Calibrate the scores of units.

        Parameters
        ----------
        scores : ndarray [shape=(n_units, n_classes)], mean log-probability over the moments
        n_moments : ndarray [shape=(n_units,)]
        prior : ndarray [shape=(n_classes,)], how frequent the classes are; None: equally

        Returns
        -------
        ndarray [shape=(n_units, n_classes)], natural logarithms, normalised
        """
        evidence = self._evidence(scores, n_moments)
        calibrated = scipy.special.log_softmax(evidence / self.temperature, axis=1)
        if self.isotonic:
            calibrated = np.exp(calibrated)
            for k, (before, after) in enumerate(self.isotonic):
                calibrated[:, k] = np.interp(calibrated[:, k], before, after)
            calibrated = np.log(np.maximum(calibrated, _SMALLEST))
        if n := self.n_encounters:
            calibrated = scipy.special.log_softmax(calibrated, axis=1)
            calibrated = np.log((n * np.exp(calibrated) + 1 / len(self.classes)) / (n + 1))
        if prior is not None:
            calibrated = calibrated + np.log(prior)
        return np.asarray(scipy.special.log_softmax(calibrated, axis=1))

    def as_dict(self) -> dict[str, Any]:
        """The arguments of the calibrator, as JSON values."""
        return asdict(self)

    def _evidence(self, scores: Floats, n_moments: Ints) -> Floats:
        if self.presupposed:
            scores = scores - np.log(self.presupposed)
        worth = n_moments / (1 + (n_moments - 1) * self.dependence)
        return np.asarray(scores * worth[:, None])


def fit_calibrator(
    scores: Floats,
    n_moments: Ints,
    labels: Names,
    encounters: Names,
    classes: Sequence[str],
    *,
    presupposed: Floats | None = None,
) -> Calibrator:
    """Fit a calibrator to out-of-fold scores; classes weigh equally, and encounters within a class.

    Parameters
    ----------
    scores : ndarray [shape=(n_units, n_classes)], mean log-probability over the moments
    n_moments : ndarray [shape=(n_units,)]
    labels, encounters : ndarray [shape=(n_units,)]
    classes : list of str, the columns of ``scores``
    presupposed : ndarray [shape=(n_classes,)], the prior that the scores carry; None: uniform

    Returns
    -------
    Calibrator
        Temperature and dependence minimise the log loss. The targets are smoothed by one encounter
        of unknown class (after [1]_), so that few encounters without an error do not give certainty.
        Isotonic regression is used from 50 encounters in every class. Without units, the calibrator
        is an identity.

    References
    ----------
    .. [1] Platt 1999, "Probabilistic outputs for support vector machines".
    .. [2] Guo et al. 2017, "On calibration of modern neural networks", ICML.
    .. [3] Kish 1965, "Survey sampling": the design effect.

    Examples
    --------
    >>> labels = np.array(["A", "A", "B", "B"], dtype=object)
    >>> encounters = np.array(["e1", "e2", "e3", "e4"], dtype=object)
    >>> scores = np.log([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> n_moments = np.ones(4, dtype=np.int64)
    >>> fit_calibrator(scores, n_moments, labels, encounters, ["A", "B"]).kind
    'temperature'
    """
    classes = list(classes)
    carried = [] if presupposed is None else [float(value) for value in presupposed]
    if not len(labels):  # a split that can hold out one unit only
        return Calibrator(classes, presupposed=carried)
    actual = class_numbers(labels, classes)
    weights, n_encounters = encounter_weights(labels, encounters)
    # As if one more encounter, of unknown class, had been recorded.
    n = sum(n_encounters.values())
    targets = (n * np.eye(len(classes))[actual] + 1 / len(classes)) / (n + 1)

    def fitted(dependence: float) -> tuple[float, float]:
        evidence = Calibrator(classes, 1.0, dependence, carried)._evidence(scores, n_moments)

        def loss(log_temperature: float) -> float:
            claimed = scipy.special.log_softmax(evidence / np.exp(log_temperature), axis=1)
            return float(-weights @ (targets * claimed).sum(axis=1))

        best = scipy.optimize.minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded")
        return float(best.fun), float(np.exp(best.x))

    tried = {dependence: fitted(dependence) for dependence in _DEPENDENCES}
    # Where the dependence has no effect (all units have one moment), take moments as identical.
    dependence = min(reversed(_DEPENDENCES), key=lambda value: round(tried[value][0], 9))
    by_temperature = Calibrator(classes, tried[dependence][1], dependence, carried, n_encounters=n)
    if min(n_encounters.get(label, 0) for label in classes) < MIN_ENCOUNTERS_ISOTONIC:
        return by_temperature
    before = np.exp(by_temperature.log_probabilities(scores, n_moments))
    curves = []
    for k in range(len(classes)):
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        curve.fit(before[:, k], (actual == k).astype(float), sample_weight=weights)
        curves.append((curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist()))
    return replace(by_temperature, isotonic=curves)


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
    log_probabilities: Floats
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
    log_probabilities: Floats,
    folds: Folds,
    classes: Sequence[str],
    *,
    unit: str,
    presupposed: Floats | None = None,
    p_nothing: Floats | None = None,
    rule: NothingRule | None = None,
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
    p_nothing : ndarray [shape=(n_repeats, n_clips)] or None, out of fold
    rule : NothingRule or None, see :func:`pseudorca.learning.units.aggregate`

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

    def fit(table: pd.DataFrame, scores: Floats) -> Calibrator:
        n_moments = table["n_moments"].to_numpy(np.int64)
        labels = table["label"].to_numpy(dtype=object)
        encounters = table["encounter"].to_numpy(dtype=object)
        return fit_calibrator(
            scores, n_moments, labels, encounters, classes, presupposed=presupposed
        )

    tables, scores, calibrated_scores = [], [], []
    for repeat, clip_scores in enumerate(log_probabilities):
        units = aggregate(
            clips, recordings, clip_scores, unit,
            p_nothing=None if p_nothing is None else p_nothing[repeat], rule=rule,
        )  # fmt: skip
        fold_of = dict(zip(clips["encounter"], folds.test_fold[repeat], strict=True))
        table = units.table[["unit_id", "label", "encounter", "n_moments"]].copy()
        table["repeat"], table["fold"] = repeat, table["encounter"].map(fold_of)
        calibrated = np.empty_like(units.log_probabilities)
        for fold in table["fold"].unique():
            test = (table["fold"] == fold).to_numpy()
            fitted = fit(table[~test], units.log_probabilities[~test])
            calibrated[test] = fitted.log_probabilities(
                units.log_probabilities[test], table.loc[test, "n_moments"].to_numpy(np.int64)
            )
        tables.append(table)
        scores.append(units.log_probabilities)
        calibrated_scores.append(calibrated)
    table = pd.concat(tables, ignore_index=True)
    calibrator = fit(table, np.concatenate(scores))
    return CalibratedUnits(table, np.concatenate(calibrated_scores), list(classes), calibrator)


def carried_prior(head: Head, data: TrainingSet, classes: Sequence[str]) -> Floats | None:
    """The class frequencies that a head's scores presuppose; None: every class the same.

    Parameters
    ----------
    head : Head
    data : TrainingSet
    classes : list of str

    Returns
    -------
    ndarray [shape=(n_classes,)] or None

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> labels = np.array(list("aaab"), dtype=object)
    >>> data = TrainingSet(np.zeros((4, 2), np.float32), labels, labels, np.arange(4).astype(object))
    >>> carried_prior(LogisticHead(balance="none"), data, ["a", "b"]).tolist()
    [0.75, 0.25]
    """
    if head.balance != "none":
        return None
    labels = data.labels.tolist()
    if not head.plain.counts_clips:
        labels = [label for label, _ in set(zip(data.labels, data.recordings, strict=True))]
    counts = np.array([labels.count(label) for label in classes], dtype=np.float64)
    return np.asarray(counts / counts.sum())


def encounter_weights(labels: Names, encounters: Names) -> tuple[Floats, dict[str, int]]:
    """Weigh units so that classes weigh equally, and encounters equally within a class.

    Parameters
    ----------
    labels, encounters : ndarray [shape=(n_units,)]

    Returns
    -------
    weights : ndarray [shape=(n_units,)], with sum 1
    n_encounters : dict from class to its number of encounters

    Examples
    --------
    >>> labels = np.array(["A", "A", "B"], dtype=object)
    >>> encounters = np.array(["e1", "e1", "e2"], dtype=object)
    >>> encounter_weights(labels, encounters)[0].tolist()
    [0.25, 0.25, 0.5]
    """
    pairs = list(zip(labels, encounters, strict=True))
    n_units = Counter(pairs)
    n_encounters = dict(Counter(label for label, _ in n_units))
    weights = np.array([1 / (n_units[pair] * n_encounters[pair[0]]) for pair in pairs])
    return weights / weights.sum(), n_encounters


@dataclass(frozen=True)
class Prior:
    """A named prior: how frequent the classes are where a probability holds.

    ``shares`` [shape=(n_classes,)] sums to 1.

    Examples
    --------
    >>> Prior("uniform", np.array([0.5, 0.5])).shares.sum()
    np.float64(1.0)
    """

    name: str
    shares: Floats


def make_prior(text: str, classes: Sequence[str], trained: Mapping[str, int]) -> Prior:
    """Read a prior: ``uniform``, ``train`` or ``Insular=0.14,Pelagic=0.86``.

    Parameters
    ----------
    text : str
    classes : list of str
    trained : dict from class to its number of training encounters, for ``train``

    Returns
    -------
    Prior
        Shares that were rounded (their sum is within 0.01 of 1) are scaled to a sum of 1.

    Raises
    ------
    PseudorcaError
        If a class is missing, unknown or given twice, a share is not positive, or the shares do not
        add up to 1.

    Examples
    --------
    >>> make_prior("Insular=0.14,Pelagic=0.86", ["Insular", "Pelagic"], {}).shares.tolist()
    [0.14, 0.86]
    """
    if text == "uniform":
        return Prior(text, np.full(len(classes), 1 / len(classes)))
    if text == "train":
        counts = np.array([float(trained[label]) for label in classes])
        return Prior(text, counts / counts.sum())
    share_of: dict[str, float] = {}
    spelt = {nfc(label): label for label in classes}
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        label = spelt.get(nfc(name.strip()), name.strip())
        if equals and label in share_of:
            raise PseudorcaError(
                f"prior {text!r}: {label} is given twice. Give each class once "
                f"({', '.join(classes)})."
            )
        try:
            share_of[label] = float(value if equals else "")
        except ValueError:
            raise PseudorcaError(
                f"prior {text!r}: expected uniform, train, or shares such as "
                f"{','.join(f'{label}={1 / len(classes):.2g}' for label in classes)}."
            ) from None
    without_other = OTHER in classes and set(share_of) == set(classes) - {OTHER}
    if set(share_of) != set(classes) and not without_other:
        missing = ", ".join(sorted(set(classes) - set(share_of))) or "none"
        unknown = ", ".join(sorted(set(share_of) - set(classes))) or "none"
        raise PseudorcaError(
            f"prior {text!r}: give each class once ({', '.join(classes)}). Missing: {missing}; "
            f"unknown: {unknown}."
        )
    wrong = {label: share for label, share in share_of.items() if not 0 < share < np.inf}
    if wrong:
        shown = ", ".join(f"{label}={share:g}" for label, share in wrong.items())
        raise PseudorcaError(f"prior {text!r}: got {shown}, expected shares of more than 0.")
    total = sum(share_of.values())
    if abs(total - 1) > _ROUNDED:
        scaled = ",".join(f"{label}={share / total:.3g}" for label, share in share_of.items())
        raise PseudorcaError(
            f"prior {text!r}: the shares add up to {total:.4g}, expected 1. If these are counts or "
            f"odds, give {scaled}."
        )
    share_of = {label: share / total for label, share in share_of.items()}
    if without_other:  # nobody knows how much noise there is
        share_of = {label: share * (1 - 1 / len(classes)) for label, share in share_of.items()}
        share_of[OTHER] = 1 / len(classes)
    shares = np.array([share_of[label] for label in classes])
    return Prior(",".join(f"{c}={s:.3g}" for c, s in zip(classes, shares, strict=True)), shares)

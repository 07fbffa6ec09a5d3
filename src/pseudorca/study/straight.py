"""The told-straight column: the same networks and settings, on encounters that were not in training.

In: embeddings and the settings of the study. Out: out-of-fold scores under repeated folds of whole
encounters, the metrics of both classes, and balanced accuracy with an interval over encounters. Two
baselines are a model that always answers one class, and a classifier without sound. Every setting is
trained from a fresh start.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError, HeadError
from pseudorca.evaluation.metrics import measure
from pseudorca.formats.whole import whole_file, write_text
from pseudorca.learning.calibration import fit_calibrator
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet, make_training_set
from pseudorca.learning.heads.base import Head, LinearHead, fit_head
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import Folds, Split, make_folds
from pseudorca.study.material import Material, Stages
from pseudorca.study.networks import Networks
from pseudorca.study.settings import StudyOptions
from pseudorca.values import hash_of, plain_value

UNITS = ("clip", "encounter")
"""A clip is a moment here: its channels are averaged, because channels are not extra evidence."""

NO_SOUND = "sample rate, channels, duration and peak"
"""The features of the classifier without sound. If clips were cut around sounds, the animals influence
duration and peak. The classifier therefore measures more than the recorder alone."""


@dataclass(frozen=True)
class ChosenSoftmaxHead(SoftmaxHead):
    """The head of the study, with rate and momentum that are chosen inside the training side.

    The rate with the best balanced accuracy on the validation clips is chosen first, then the best
    momentum at this rate.
    """

    name: ClassVar[str] = "softmax, chosen"

    rates: tuple[float, ...] = ()
    momenta: tuple[float, ...] = ()

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        """Train a head per setting, and return the best head.

        Parameters
        ----------
        data : TrainingSet
        validation : TrainingSet or None; None: the training clips judge the settings

        Returns
        -------
        LinearHead

        Raises
        ------
        HeadError
            If every rate diverges.
        """
        plain = SoftmaxHead(
            n_epochs=self.n_epochs, balance=self.balance, batch_size=self.batch_size, seed=self.seed
        )
        judged = data if validation is None else validation
        trained_heads: dict[tuple[float, float], tuple[float, LinearHead]] = {}

        def attempt(rate: float, momentum: float) -> None:
            head = replace(plain, learning_rate=rate, momentum=momentum)
            with suppress(HeadError):  # this setting diverges
                trained = head.fit(data, validation=validation)
                trained_heads[rate, momentum] = _balanced_accuracy(trained, judged), trained

        def best() -> tuple[float, float]:
            if not trained_heads:
                raise HeadError("no learning rate could be trained: every one diverged.")
            return max(trained_heads, key=lambda setting: trained_heads[setting][0])

        for rate in self.rates:
            attempt(rate, plain.momentum)
        best_rate = best()[0]
        for momentum in self.momenta:
            attempt(best_rate, momentum)
        chosen = best()
        head = trained_heads[chosen][1]
        head.details |= {"learning_rate": chosen[0], "momentum": chosen[1]}
        return head


@dataclass(frozen=True)
class Honest:
    """Out-of-fold results of one recipe.

    ``results`` by unit (see :func:`pseudorca.evaluation.metrics.measure`); ``scores``
    [shape=(n_repeats, n_clips, n_classes)], natural logarithms, NaN for clips that are never tested.
    """

    results: dict[str, dict[str, Any]]
    scores: NDArray[np.float64]
    trainings: list[dict[str, Any]]

    @property
    def clip(self) -> dict[str, Any]:
        """Results by clip."""
        return self.results["clip"]

    @property
    def encounter(self) -> dict[str, Any]:
        """Results by encounter."""
        return self.results["encounter"]


@dataclass(frozen=True)
class Straight:
    """Everything of the told-straight column. A failed training is a reason in words."""

    split: Split
    folds: Folds
    networks: dict[str, Honest | str]
    tuned: str
    weighted: Honest | str
    rates: dict[float, Honest | str]
    momenta: dict[float, Honest | str]
    best_rate: float
    best_momentum: float
    final: Honest | str
    """Rate and momentum are chosen inside each training side."""
    logistic: Honest
    no_sound: Honest
    unknown: pd.DataFrame
    """Unknown clips with ``decision`` and ``probability``, also of their encounters."""
    notices: list[str] = field(default_factory=list)

    @property
    def encounters_whole(self) -> bool:
        """Whether no encounter is on both sides."""
        return not self.split.is_optimistic


def run_straight(
    material: Material,
    networks: Networks,
    options: StudyOptions,
    unknown: pd.DataFrame,
    kept: Path,
    stages: Stages,
) -> Straight:
    """Compute the told-straight column.

    Parameters
    ----------
    material : Material
    networks : Networks
    options : StudyOptions
    unknown : DataFrame, the unknown clips to predict
    kept : path of the folder for results
    stages : reports the progress of each stage

    Returns
    -------
    Straight

    Raises
    ------
    HeadError
        If no setting can be trained.
    """
    split, folds, notices = _folds(material, options)
    runner = _Runner(material, networks, split, folds, kept / "straight", stages)
    plain = SoftmaxHead(n_epochs=options.n_epochs)
    balanced: dict[str, Any] = {"n_epochs": options.n_epochs, "balance": "sampler"}
    by_network = {
        name: runner.run(runner.data(name), plain, f"Table 4.1, {name}")
        for name in options.backbones
    }
    tuned = runner.data(options.tuned)
    weighted = runner.run(tuned, SoftmaxHead(**balanced), "Table 4.2")
    rates = {
        rate: runner.run(tuned, SoftmaxHead(learning_rate=rate, **balanced), f"rate {rate:g}")
        for rate in options.rates
    }
    best_rate = _best(rates)
    momenta = {
        momentum: runner.run(
            tuned,
            SoftmaxHead(learning_rate=best_rate, momentum=momentum, **balanced),
            f"momentum {momentum:g}",
        )
        for momentum in options.momenta
    }
    best_momentum = _best(momenta)
    nested = ChosenSoftmaxHead(rates=options.rates, momenta=options.momenta, **balanced)
    final = runner.run(tuned, nested, "settings chosen inside")
    logistic = runner.run(tuned, LogisticHead(), "logistic regression")
    no_sound = runner.run(runner.without_listening(), LogisticHead(), "without listening")
    assert isinstance(logistic, Honest)
    assert isinstance(no_sound, Honest)
    head = SoftmaxHead(learning_rate=best_rate, momentum=best_momentum, **balanced)
    # At least one rate was trained in every fold, so a rate can be chosen inside each fold. The scores
    # of the setting with the best scores would be too optimistic.
    assert isinstance(final, Honest)
    predicted = runner.predict(options.tuned, tuned, head, final, unknown)
    return Straight(
        split, folds, by_network, options.tuned, weighted, rates, momenta, best_rate, best_momentum,
        final, logistic, no_sound, predicted, notices,
    )  # fmt: skip


def _folds(material: Material, options: StudyOptions) -> tuple[Split, Folds, list[str]]:
    """Split by whole encounters. If this is not possible, split by moments, with a warning."""
    clips, recordings = material.clips, material.recordings
    split = Split("encounter", options.n_folds, options.n_repeats)
    try:
        return split, make_folds(clips, recordings, split), []
    except FoldError as error:
        moments = Split("stratified", options.n_folds, options.n_repeats)
        why = (
            f"Encounters cannot be kept whole ({error}) So the told-straight column splits by moment: "
            "clips of one encounter stand on both sides there, too, and it is not what encounters "
            "never heard would give."
        )
        return moments, make_folds(clips, recordings, moments), [why]


class _Runner:
    def __init__(
        self,
        material: Material,
        networks: Networks,
        split: Split,
        folds: Folds,
        folder: Path,
        stages: Stages,
    ) -> None:
        self.material, self.networks = material, networks
        self.split, self.folds, self.folder, self.stages = split, folds, folder, stages

    def data(self, name: str) -> tuple[TrainingSet, str]:
        """Return embeddings of tight pictures by the pretrained network, and their id."""
        network = self.networks.network(name, "tight", adapted=False)
        self.networks.embed(network, self.material.clips)
        data = make_training_set(
            self.material.clips, self.material.recordings, self.networks.store, network.embedder_id
        )
        return self._grouped(data), network.embedder_id

    def without_listening(self) -> tuple[TrainingSet, str]:
        """Return values of the headers of recordings in place of embeddings."""
        by_id = self.material.recordings.set_index("recording_id")
        rows = by_id.loc[self.material.clips["recording_id"]]
        vectors = np.column_stack([
            np.log(rows["sample_rate"]), rows["n_channels"], np.log(rows["duration_s"]),
            np.log(np.maximum(rows["peak"], 1e-9)),
        ]).astype(np.float32)  # fmt: skip
        labels = self.material.clips["label"].to_numpy(dtype=object)
        encounters = self.material.clips["encounter"].to_numpy(dtype=object)
        moments = rows["moment_id"].to_numpy(dtype=object)
        return self._grouped(TrainingSet(vectors, labels, encounters, moments)), "no sound"

    def _grouped(self, data: TrainingSet) -> TrainingSet:
        """Set the groups of inner folds to the groups of the split."""
        groups = data.recordings if self.split.is_optimistic else self.folds.units
        return replace(data, groups=groups)

    def run(self, data: tuple[TrainingSet, str], head: Head, what: str) -> Honest | str:
        """Cross-validate a head, or read kept results. A failure returns its reason."""
        vectors, identity = data
        key = hash_of([
            identity, head.settings(), asdict(self.split), self.folds.clip_ids.tolist(),
            self.folds.labels.tolist(), self.folds.units.tolist(),
        ])  # fmt: skip
        if (kept_results := _read(self.folder, key)) is not None:
            return kept_results
        with self.stages(f"Told straight, {what}") as update:
            try:
                scored = cross_validate(vectors, self.folds, head, progress=update)
            except HeadError as error:
                return str(error)
        results = self._measured(scored.log_probabilities, scored.classes, scored.details)
        _write(self.folder, key, results)
        return results

    def _measured(
        self, scores: NDArray[np.float64], classes: list[str], trainings: list[dict[str, Any]]
    ) -> Honest:
        clips = self.material.clips
        independent = (
            clips["encounter"].to_numpy(dtype=object)
            if self.split.is_optimistic
            else self.folds.units
        )
        results = {
            unit: measure(
                clips, self.material.recordings, scores, classes, unit=unit, split=self.split.name,
                groups=independent,
            )
            for unit in UNITS
        }  # fmt: skip
        return Honest(results, scores, trainings)

    def predict(
        self,
        name: str,
        data: tuple[TrainingSet, str],
        head: SoftmaxHead,
        out_of_fold: Honest,
        unknown: pd.DataFrame,
    ) -> pd.DataFrame:
        """Predict unknown clips, and their encounters from the chosen clips.

        Probabilities are calibrated by ``out_of_fold`` scores of heads whose settings were chosen
        inside each training side. Probabilities assume equally frequent classes.
        """
        network = self.networks.network(name, "tight", adapted=False)
        embedded, vectors = self.networks.embedded(network, unknown)
        if embedded.empty:
            columns = ["decision", "probability", "encounter_decision", "encounter_probability"]
            return embedded.reindex(columns=[*embedded.columns, *columns, "encounter_in_training"])
        trained = fit_head(head, data[0])
        scores = trained.log_probabilities(vectors)
        predictions = embedded.copy()
        for unit, prefix in (("clip", ""), ("encounter", "encounter_")):
            decision, probability = self._calibrated(
                out_of_fold, trained.classes, embedded, scores, unit
            )
            predictions[f"{prefix}decision"] = decision
            predictions[f"{prefix}probability"] = probability
        training_encounters = set(self.material.clips["encounter"])
        predictions["encounter_in_training"] = (
            embedded["encounter"].isin(training_encounters).tolist()
        )
        return predictions

    def _calibrated(
        self,
        out_of_fold: Honest,
        classes: list[str],
        clips: pd.DataFrame,
        scores: NDArray[np.float64],
        unit: str,
    ) -> tuple[list[str], list[float]]:
        """Decision and probability of the unit of each clip, calibrated on out-of-fold scores."""
        recordings = self.material.recordings
        units_of_repeats = [
            aggregate(self.material.clips, recordings, s, unit) for s in out_of_fold.scores
        ]
        table = pd.concat([units.table for units in units_of_repeats], ignore_index=True)
        calibrator = fit_calibrator(
            np.concatenate([units.log_probabilities for units in units_of_repeats]),
            table["n_moments"].to_numpy(dtype=np.int64),
            table["label"].to_numpy(dtype=object),
            table["encounter"].to_numpy(dtype=object),
            classes,
        )
        units = aggregate(clips, recordings, scores, unit)
        n_moments = units.table["n_moments"].to_numpy(dtype=np.int64)
        calibrated = calibrator.log_probabilities(units.log_probabilities, n_moments)
        row_of = {name: row for row, name in enumerate(units.table["unit_id"])}
        names = clips["moment_id" if unit == "clip" else "encounter"]
        rows = [row_of[name] for name in names]
        best = calibrated.argmax(axis=1)
        return [classes[best[row]] for row in rows], np.exp(calibrated.max(axis=1))[rows].tolist()


def _balanced_accuracy(head: LinearHead, data: TrainingSet) -> float:
    best = head.log_probabilities(data.vectors).argmax(axis=1)
    predicted = np.array(head.classes, dtype=object)[best]
    return float(pd.Series(predicted == data.labels).groupby(data.labels).mean().mean())


def _best(results_by_setting: dict[float, Honest | str]) -> float:
    """Return the setting with the best balanced accuracy by clip; of equal settings the first."""
    accuracies = {
        s: h.clip["balanced_accuracy"]
        for s, h in results_by_setting.items()
        if isinstance(h, Honest)
    }
    if not accuracies:
        raise HeadError(f"no setting could be trained: {next(iter(results_by_setting.values()))}")
    return max(accuracies, key=lambda setting: accuracies[setting])


def _write(folder: Path, key: str, honest: Honest) -> None:
    with whole_file(folder / f"{key}.npy") as part, part.open("wb") as file:
        np.save(file, honest.scores)
    values = {"results": honest.results, "trainings": honest.trainings}
    write_text([json.dumps(values, default=plain_value)], folder / f"{key}.json")


def _read(folder: Path, key: str) -> Honest | None:
    try:
        values = json.loads((folder / f"{key}.json").read_text())
        scores = np.load(folder / f"{key}.npy")
    except (OSError, ValueError):
        return None
    return Honest(values["results"], scores, values["trainings"])

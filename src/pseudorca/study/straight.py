"""The told-straight column: the same networks and settings, on encounters that were not in training.

In: embeddings and the settings of the study. Out: out-of-fold scores under repeated folds of whole
encounters, the metrics of both classes, and balanced accuracy with an interval over encounters. Two
baselines are a model that always answers one class, and a classifier without sound. Every setting is
trained from a fresh start.
"""

import json
from collections.abc import Iterable
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
from pseudorca.learning.calibration import calibrate_out_of_fold
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet, make_training_set
from pseudorca.learning.heads.base import Head, LinearHead, fit_head
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import Folds, Split, make_folds
from pseudorca.study.material import Material
from pseudorca.study.networks import Networks
from pseudorca.study.settings import StudyOptions
from pseudorca.study.training import Tuning, tune
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

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> head = ChosenSoftmaxHead(n_epochs=3, rates=(1e-9, 1.0), momenta=(0.9,))
    >>> head.fit(data).details["learning_rate"]
    1.0
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

        def best_of(settings: Iterable[tuple[float, float]]) -> tuple[float, float]:
            for rate, momentum in settings:
                head = replace(plain, learning_rate=rate, momentum=momentum)
                with suppress(HeadError):  # this setting diverges
                    trained = head.fit(data, validation=validation)
                    trained_heads[rate, momentum] = _balanced_accuracy(trained, judged), trained
            if not trained_heads:
                raise HeadError("no learning rate could be trained: every one diverged.")
            return max(trained_heads, key=lambda setting: trained_heads[setting][0])

        best_rate, _ = best_of((rate, plain.momentum) for rate in self.rates)
        chosen = best_of((best_rate, momentum) for momentum in self.momenta)
        head = trained_heads[chosen][1]
        head.details |= {"learning_rate": chosen[0], "momentum": chosen[1]}
        return head


@dataclass(frozen=True)
class Honest:
    """Out-of-fold results of one recipe.

    ``results`` by unit (see :func:`pseudorca.evaluation.metrics.measure`); ``scores``
    [shape=(n_repeats, n_clips, n_classes)], natural logarithms, NaN for clips that are never tested.
    ``trainings``: a dict per trained head (see :class:`pseudorca.learning.crossval.OutOfFold`).

    Examples
    --------
    >>> Honest({"clip": {"balanced_accuracy": 0.75}}, np.log([[[0.9, 0.1]]]), []).score
    0.75
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

    @property
    def confusion(self) -> list[list[float]]:
        """Mean counts of clips over the repeats; rows are the truth."""
        return self.clip["confusion"]  # type: ignore[no-any-return]

    @property
    def score(self) -> float:
        """The balanced accuracy by clip, by which settings are chosen."""
        return float(self.clip["balanced_accuracy"])


@dataclass(frozen=True)
class Straight:
    """Everything of the told-straight column. A failed training is a reason in words."""

    split: Split
    networks: dict[str, Honest | str]
    tuning: Tuning[Honest]
    final: Honest
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


def run_straight(networks: Networks, unknown: pd.DataFrame) -> Straight:
    """Compute the told-straight column.

    Parameters
    ----------
    networks : Networks
    unknown : DataFrame, the unknown clips to predict

    Returns
    -------
    Straight

    Raises
    ------
    HeadError
        If no setting can be trained.
    """
    options = networks.options
    folds, notices = _folds(networks.material, options)
    runner = _Runner(networks, folds)
    plain = SoftmaxHead(n_epochs=options.n_epochs)
    balanced = replace(plain, balance="sampler")
    by_network = {
        name: runner.run(*runner.data(name), plain, f"Table 4.1, {name}")
        for name in options.backbones
    }
    data, identity = runner.data(options.tuned)
    tuning = tune(options, balanced, lambda head, what: runner.run(data, identity, head, what))
    nested = ChosenSoftmaxHead(
        n_epochs=options.n_epochs, balance="sampler", rates=options.rates, momenta=options.momenta
    )
    final = runner.run(data, identity, nested, "settings chosen inside")
    logistic = runner.run(data, identity, LogisticHead(), "logistic regression")
    headers = replace(data, vectors=_header_values(networks.material))
    no_sound = runner.run(headers, "no sound", LogisticHead(), "without listening")
    # At least one rate was trained in every fold, so a rate can be chosen inside each fold. The scores
    # of the setting with the best scores would be too optimistic.
    assert isinstance(final, Honest)
    assert isinstance(logistic, Honest)
    assert isinstance(no_sound, Honest)
    head = replace(balanced, learning_rate=tuning.best_rate, momentum=tuning.best_momentum)
    predicted = runner.predict(data, head, final, unknown)
    return Straight(folds.split, by_network, tuning, final, logistic, no_sound, predicted, notices)


def _folds(material: Material, options: StudyOptions) -> tuple[Folds, list[str]]:
    """Split by whole encounters. If this is not possible, split by moments, with a warning."""

    def by(name: str) -> Folds:
        split = Split(name, options.n_folds, options.n_repeats)
        return make_folds(material.clips, material.recordings, split)

    try:
        return by("encounter"), []
    except FoldError as error:
        why = (
            f"Encounters cannot be kept whole ({error}) So the told-straight column splits by moment: "
            "clips of one encounter stand on both sides there, too, and it is not what encounters "
            "never heard would give."
        )
        return by("stratified"), [why]


def _header_values(material: Material) -> NDArray[np.float32]:
    """Return values of the headers of recordings in place of embeddings [shape=(n_clips, 4)]."""
    by_id = material.recordings.set_index("recording_id")
    rows = by_id.loc[material.clips["recording_id"]]
    return np.column_stack([
        np.log(rows["sample_rate"]), rows["n_channels"], np.log(rows["duration_s"]),
        np.log(np.maximum(rows["peak"], 1e-9)),
    ]).astype(np.float32)  # fmt: skip


class _Runner:
    def __init__(self, networks: Networks, folds: Folds) -> None:
        self.networks, self.material, self.folds = networks, networks.material, folds
        self.folder = networks.kept / "straight"

    def data(self, name: str) -> tuple[TrainingSet, str]:
        """Return embeddings of tight pictures by the pretrained network, and their id."""
        network = self.networks.network(name, "tight", adapted=False)
        self.networks.embed(network, self.material.clips)
        data = make_training_set(
            self.material.clips, self.material.recordings, self.networks.store, network.embedder_id
        )
        # The groups of inner folds are the groups of the split.
        groups = data.recordings if self.folds.split.is_optimistic else self.folds.units
        return replace(data, groups=groups), network.embedder_id

    def run(self, data: TrainingSet, identity: str, head: Head, what: str) -> Honest | str:
        """Cross-validate a head, or read kept results. A failure returns its reason."""
        folds = self.folds
        key = hash_of([
            identity, head.settings(), asdict(folds.split), folds.clip_ids.tolist(),
            folds.labels.tolist(), folds.units.tolist(),
        ])  # fmt: skip
        if (kept_results := _read(self.folder, key)) is not None:
            return kept_results
        with self.networks.stages(f"Told straight, {what}") as update:
            try:
                scored = cross_validate(data, folds, head, progress=update)
            except HeadError as error:
                return str(error)
        groups = self.material.encounters if folds.split.is_optimistic else folds.units
        results = {
            unit: measure(
                self.material.clips, self.material.recordings, scored.log_probabilities,
                scored.classes, unit=unit, split=folds.split.name, groups=groups,
            )
            for unit in UNITS
        }  # fmt: skip
        honest = Honest(results, scored.log_probabilities, scored.details)
        _write(self.folder, key, honest)
        return honest

    def predict(
        self, data: TrainingSet, head: SoftmaxHead, out_of_fold: Honest, unknown: pd.DataFrame
    ) -> pd.DataFrame:
        """Predict unknown clips, and their encounters from the chosen clips.

        Probabilities are calibrated by ``out_of_fold`` scores of heads whose settings were chosen
        inside each training side. Probabilities assume equally frequent classes.
        """
        material = self.material
        network = self.networks.network(self.networks.options.tuned, "tight", adapted=False)
        embedded, vectors = self.networks.embedded(network, unknown)
        if embedded.empty:
            columns = ["decision", "probability", "encounter_decision", "encounter_probability"]
            return embedded.reindex(columns=[*embedded.columns, *columns, "encounter_in_training"])
        trained = fit_head(head, data)
        classes = np.array(trained.classes, dtype=object)
        scores = trained.log_probabilities(vectors)
        predictions = embedded.copy()
        for unit, prefix, name in (
            ("clip", "", "moment_id"), ("encounter", "encounter_", "encounter"),
        ):  # fmt: skip
            calibrator = calibrate_out_of_fold(
                material.clips, material.recordings, out_of_fold.scores, self.folds,
                trained.classes, unit=unit,
            ).calibrator  # fmt: skip
            units = aggregate(embedded, material.recordings, scores, unit)
            n_moments = units.table["n_moments"].to_numpy(dtype=np.int64)
            calibrated = calibrator.log_probabilities(units.log_probabilities, n_moments)
            row_of = {unit_id: row for row, unit_id in enumerate(units.table["unit_id"])}
            of_clips = calibrated[[row_of[unit_id] for unit_id in embedded[name]]]
            predictions[f"{prefix}decision"] = classes[of_clips.argmax(axis=1)]
            predictions[f"{prefix}probability"] = np.exp(of_clips.max(axis=1))
        in_training = embedded["encounter"].isin(set(material.clips["encounter"]))
        return predictions.assign(encounter_in_training=in_training)


def _balanced_accuracy(head: LinearHead, data: TrainingSet) -> float:
    best = head.log_probabilities(data.vectors).argmax(axis=1)
    predicted = np.array(head.classes, dtype=object)[best]
    return float(pd.Series(predicted == data.labels).groupby(data.labels).mean().mean())


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

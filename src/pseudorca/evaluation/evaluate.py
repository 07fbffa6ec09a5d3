"""Cross-validation of a recipe under each split; scores and results are kept."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError, PseudorcaError, unknown_name
from pseudorca.evaluation.inference import (
    detectable,
    learning_curve,
    mixed_encounters,
    permutation_test,
)
from pseudorca.evaluation.metrics import measure, reliability
from pseudorca.evaluation.options import EvaluateOptions
from pseudorca.evaluation.risk_coverage import abstention, outcomes
from pseudorca.evaluation.strangers import ask_strangers
from pseudorca.frontends.reach import band_notices
from pseudorca.learning.calibration import calibrate_out_of_fold, carried_prior
from pseudorca.learning.crossval import OutOfFold, cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.nothing import nothing_rates
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.units import UNITS, score_table
from pseudorca.progress import Progress
from pseudorca.recordings.folds import (
    OTHER,
    Folds,
    Split,
    group_values,
    make_folds,
    refuse_same_names,
    stricter_folds,
)
from pseudorca.recordings.manifest import populations
from pseudorca.recordings.notices import few_encounters
from pseudorca.results import Result
from pseudorca.store import Store, package_versions
from pseudorca.values import hash_of, plain_value, plural


@dataclass(frozen=True, eq=False, repr=False)
class SplitResult(Result):
    """How good a recipe is under one split; the headline is about encounters.

    Examples
    --------
    >>> row = {"unit": "encounter", "balanced_accuracy": 0.8, "ci_low": 0.6, "ci_high": 0.9}
    >>> SplitResult(Split("encounter"), [row]).interval
    (0.6, 0.9)
    """

    split: Split
    rows: list[dict[str, Any]]
    """Metrics by unit, as from :func:`pseudorca.evaluation.metrics.measure`, with those of
    probabilities where the split is honest."""
    nothing: dict[str, Any] = field(default_factory=dict)
    """How often held-out clips (``clips``, by class) and ``backgrounds`` are called nothing; empty
    without a class of nothing."""

    def unit(self, name: str) -> dict[str, Any]:
        """The metrics of one unit: ``clip``, ``recording`` or ``encounter``."""
        rows = {str(row["unit"]): row for row in self.rows}
        if name not in rows:
            raise PseudorcaError(unknown_name("unit", name, rows))
        return rows[name]

    @property
    def is_optimistic(self) -> bool:
        """Whether clips of one encounter are on both sides of the split."""
        return self.split.is_optimistic

    @property
    def headline(self) -> dict[str, Any]:
        """The metrics of encounters."""
        return self.unit("encounter")

    @property
    def balanced_accuracy(self) -> float:
        """Mean over the classes of the share of encounters that were named rightly."""
        return float(self.headline["balanced_accuracy"])

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of :attr:`balanced_accuracy`, from the encounters."""
        return float(self.headline["ci_low"]), float(self.headline["ci_high"])

    @property
    def baseline(self) -> float:
        """What always naming one class scores."""
        return float(self.headline["majority_baseline"])

    def as_json(self) -> dict[str, Any]:
        """The metrics by unit; see :meth:`pseudorca.results.Result.as_json`."""
        return {"results": self.rows}

    def summary(self) -> list[str]:
        """One sentence: balanced accuracy by encounter, with its interval and its baseline."""
        low, high = self.interval
        name = f"split {self.split.name}"
        if self.is_optimistic:
            return [
                f"Optimistic ({name}: clips of one encounter stand on both sides): balanced accuracy "
                f"{self.balanced_accuracy:.2f}."
            ]
        return [
            f"Encounters never heard before ({name}): balanced accuracy "
            f"{self.balanced_accuracy:.2f}, 95 % interval {low:.2f} to {high:.2f}; always naming one "
            f"class: {self.baseline:.2f}."
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per unit: numbers of units and groups, accuracies, interval and baselines."""
        columns = ("unit", "n_units", "n_groups", "balanced_accuracy", "ci_low", "ci_high",
                   "majority_baseline", "accuracy", "majority_accuracy")  # fmt: skip
        return pd.DataFrame(self.rows).loc[:, list(columns)]


@dataclass(frozen=True, eq=False, repr=False)
class EvaluateResult(Result, Mapping[str, SplitResult]):
    """How good a recipe is, by the name of each split.

    Examples
    --------
    >>> row = {"unit": "encounter", "balanced_accuracy": 0.8, "ci_low": 0.6, "ci_high": 0.9}
    >>> split = SplitResult(Split("encounter"), [row])
    >>> result = EvaluateResult(
    ...     {"encounter": split}, Recipe(), {}, "5f1c", notices=[], network="pseudorca_small"
    ... )
    >>> result["encounter"].balanced_accuracy
    0.8
    """

    splits: dict[str, SplitResult]
    recipe: Recipe
    recipe_settings: dict[str, Any]
    """Embedder and recipe as JSON values."""
    recipe_id: str
    notices: list[str]
    network: str
    """The name of the network (or networks) that was heard."""
    stricter: str | None = None
    """The split by what joins encounters to the fewest groups, shown beside the one by encounter."""
    strangers: dict[str, Any] | None = None
    """How often animals of no class are named, as from
    :func:`pseudorca.evaluation.strangers.ask_strangers`; None if that was not asked."""

    def __getitem__(self, name: str) -> SplitResult:
        if name not in self.splits:
            raise PseudorcaError(unknown_name("split evaluated here", name, self.splits))
        return self.splits[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __len__(self) -> int:
        return len(self.splits)

    def as_json(self) -> dict[str, Any]:
        """The metrics of all splits, the recipe and the notices, as JSON values."""
        return {
            "results": [row for split in self.splits.values() for row in split.rows],
            "recipe": self.recipe_settings,
            "classifier_id": self.recipe_id,
            "notices": self.notices,
            "network": self.network,
            "stricter": self.stricter,
            "nothing": {
                name: split.nothing for name, split in self.splits.items() if split.nothing
            },
            "strangers": self.strangers,
        }

    def summary(self) -> list[str]:
        """One sentence per split, honest splits first."""
        splits = sorted(self.splits.values(), key=lambda split: split.is_optimistic)
        return [line for split in splits for line in split.summary()]

    def main_table(self) -> pd.DataFrame:
        """A row per split and unit."""
        tables = [split.main_table().assign(split=name) for name, split in self.splits.items()]
        table = pd.concat(tables, ignore_index=True)
        return table[["split", *table.columns.drop("split")]]

    def which_to_quote(self) -> list[str]:
        """What the split by encounter and the stricter one are to be quoted for, in a sentence."""
        if self.stricter is None:
            return []
        usual, strict = self["encounter"], self[self.stricter]
        low, high = strict.interval
        groups = plural(strict.headline["n_groups"], "group")
        return [
            f"Quote {usual.balanced_accuracy:.2f} (by encounter) for new encounters where these were "
            f"made, and {strict.balanced_accuracy:.2f} [{low:.2f}, {high:.2f}] for another "
            f"{self.stricter} ({groups}: the strictest split that these data know, one draw of its "
            f"folds by the same recipe; --split {self.stricter} draws it as often as the other)."
        ]


def evaluate_project(
    store: Store,
    recipe: Recipe,
    splits: Sequence[Split],
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> EvaluateResult:
    """Cross-validate a recipe under each split; scores and results are kept.

    Honest splits give three more results: how true the calibrated probabilities are, which
    coverage a wanted error rate leaves, and which accuracy these encounters could have shown.

    Parameters
    ----------
    store : Store
    recipe : Recipe
    splits : sequence of Split
    options : EvaluateOptions or None
    progress : callable (done, total) or None, over trainings
    stage : callable, takes a sentence on the current step

    Returns
    -------
    EvaluateResult, a result per split

    Raises
    ------
    HeadError
        If there is too little to learn from, or embeddings are missing.
    FoldError
        If a split cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder) / "project", create=True)
    ...     evaluate_project(store, Recipe(), [Split("encounter"), Split("encounter", n_folds=3)])
    Traceback (most recent call last):
    pseudorca.errors.FoldError: splits encounter, encounter: expected a different name for each. ...
    """
    options = options or EvaluateOptions()
    refuse_same_names(splits)
    folds_of: list[Folds] = []
    honest = next((split for split in splits if not split.is_optimistic), None)
    if options.strangers:
        recipe.check_learns_from_embeddings()
        if honest is None:
            raise FoldError(
                "--strangers holds encounters out: ask for a split that keeps them whole, such as "
                "--split encounter."
            )

    def check(clips: pd.DataFrame, recordings: pd.DataFrame) -> None:
        folds_of.extend(make_folds(clips, recordings, split) for split in splits)
        if options.within is not None:
            group_values(clips, recordings, options.within)

    labelled = LabelledProject.read(store, recipe, check=check, stage=stage, progress=progress)
    results: dict[str, SplitResult] = {}
    notices = labelled.notices + _collection_notices(labelled)
    strict, strict_notices = _stricter(labelled, splits) if options.stricter else (None, [])
    notices += strict_notices
    strangers: dict[str, Any] | None = None
    if options.strangers and honest is not None:
        stage("Leaving each class out in turn")
        strangers = ask_strangers(labelled, replace(honest, n_repeats=1), progress=progress)
        stage("Cross-validating")
    for folds in [*folds_of, *([strict] if strict else [])]:
        split, how = folds.split, options
        if folds is strict:
            how = replace(options, n_permutations=0, learning_curve=False)
        asked = strangers if split == honest else None
        result = _evaluate_split(labelled, folds, how, progress, strangers=asked)
        shared = {key: result[key] for key in ("split_id", "not_testable", "inference")}
        rows = [row | shared for row in result["results"]]
        results[split.name] = SplitResult(split, rows, result.get("nothing", {}))
        notices += _split_notices(folds)
    labelled.forget_trainings()
    shown = {"splits": [asdict(split) for split in splits], "head": recipe.settings()["head"]}
    tables = ("recordings", "clips", "scores", "evaluations")
    store.record_run("evaluate", shown, tables, notices=notices)
    return EvaluateResult(
        results, recipe, labelled.settings(), labelled.recipe_id, notices, labelled.network,
        strict.split.name if strict else None, strangers,
    )  # fmt: skip


def _stricter(labelled: LabelledProject, splits: Sequence[Split]) -> tuple[Folds | None, list[str]]:
    """The strictest split that the data know, beside the one by encounter, and notices.

    None where no split by encounter is asked, or a coarser one is asked anyway.
    """
    honest = {split.group_by: split for split in splits if not split.is_optimistic}
    if set(honest) != {"encounter"} or "encounter" not in {split.name for split in splits}:
        return None, []
    folds, not_testable = stricter_folds(labelled.clips, labelled.recordings, honest["encounter"])
    notices = []
    if not_testable:
        notices.append(
            f"Not testable as stricter splits: {', '.join(not_testable)}. They join encounters, and "
            "leave a class a single group, so that nothing would be left to learn from."
        )
    if folds is not None and labelled.head.plain.trains_network:
        name = folds.split.name
        notices.append(
            f"Not shown, since each fold trains the network: the stricter split. --split {name} does."
        )
        return None, notices
    return folds, notices


def _evaluate_split(
    labelled: LabelledProject,
    folds: Folds,
    options: EvaluateOptions,
    progress: Progress | None,
    *,
    strangers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Cross-validate under one split and keep scores and result -> the result, as JSON values."""
    split, store, clips = folds.split, labelled.store, labelled.clips
    # Inner folds keep the split's units whole. The independent unit is at least the encounter.
    prepared = labelled.data
    independent = prepared.groups if split.is_optimistic else folds.units
    data = labelled.grouped(folds, prepared.recordings if split.is_optimistic else None)
    head = labelled.trainer(split)
    scored = cross_validate(data, folds, head, progress=progress)
    split_id = hash_of(
        asdict(split) | {"recipe": labelled.recipe_id, "clips": sorted(folds.clip_ids)}
    )
    tables = [
        score_table(
            clips, scores, scored.classes, labelled.recipe_id, split_id=split_id, repeat=k,
            fold=folds.test_fold[k],
        )
        for k, scores in enumerate(scored.log_probabilities)
    ]  # fmt: skip
    store.replace("scores", pd.concat(tables, ignore_index=True), split_id=split_id)
    inference: dict[str, Any] = {}
    if not split.is_optimistic:
        inference = _inference(labelled, data, folds, head, options, progress)
    result = {
        "split": asdict(split),
        "group_by": split.group_by,
        "independent": "encounter" if split.is_optimistic else split.group_by,
        "optimistic": split.is_optimistic,
        "recipe": labelled.settings(),
        **labelled.known_by,
        "results": _unit_results(labelled, folds, scored, independent, head, options),
        "not_testable": folds.not_testable,
        "n_straddling_moments": folds.n_straddling_moments,
        "trainings": scored.details,
        "inference": inference,
        "nothing": nothing_rates(scored, folds, data.noise),
        **({"strangers": strangers} if strangers is not None else {}),
        "versions": package_versions(),
        "tables": {table: store.version(table) for table in ("recordings", "clips")},
    }
    row = {
        "split_id": split_id,
        "classifier_id": labelled.recipe_id,
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": json.dumps(result, default=plain_value),
    }
    store.replace("evaluations", pd.DataFrame([row]), split_id=split_id)
    return {"split_id": split_id} | result


def _unit_results(
    labelled: LabelledProject,
    folds: Folds,
    scored: OutOfFold,
    independent: NDArray[np.object_],
    head: Head,
    options: EvaluateOptions,
) -> list[dict[str, Any]]:
    """The metrics by clip, recording and encounter; with those of probabilities for honest splits."""
    clips, recordings, split = labelled.clips, labelled.recordings, folds.split
    scores, classes = scored.log_probabilities, scored.classes
    rows = [
        measure(clips, recordings, scores, classes, unit=unit, split=split.name, groups=independent)
        for unit in UNITS
    ]
    if split.is_optimistic:
        return rows
    carried = carried_prior(head, labelled.data, classes)
    for row in rows:
        calibrated = calibrate_out_of_fold(
            clips, recordings, scores, folds, classes, unit=row["unit"], presupposed=carried
        )
        row["reliability"] = reliability(calibrated)
        row["abstention"] = abstention(outcomes(calibrated), options.max_error)
    return rows


def _collection_notices(labelled: LabelledProject) -> list[str]:
    """Warnings on the recordings that hold for every split."""
    asked = populations(labelled.store, labelled.recordings)
    notices = few_encounters(asked) + mixed_encounters(labelled.clips)
    bands = [band_notices(asked, member.front_end) for member in labelled.embedder.members]
    return notices + list(dict.fromkeys(text for texts in bands for text in texts))


def _split_notices(folds: Folds) -> Iterator[str]:
    """Warnings on the folds of one split."""
    split = folds.split
    if folds.not_testable:
        yield (
            f"Split {split.name}: {', '.join(folds.not_testable)} cannot be tested, since a class "
            "would have nothing left to train on; the numbers do not cover them."
        )
    n_values, n_units = len(set(folds.groups)), len(set(folds.units))
    if not split.is_optimistic and n_units < n_values:
        yield (
            f"Split {split.name}: {plural(n_values, 'value')} of {split.group_by} dealt as "
            f"{plural(n_units, 'group')}, since an encounter or a moment is never torn apart."
        )
    if folds.n_straddling_moments:
        yield (
            f"Split {split.name}: moments that stand on both sides (channels of one sound), as in the "
            f"study: {folds.n_straddling_moments}."
        )


def _inference(
    labelled: LabelledProject,
    data: TrainingSet,
    folds: Folds,
    head: Head,
    options: EvaluateOptions,
    progress: Progress | None,
) -> dict[str, Any]:
    """Power, permutation test and learning curve, as JSON values of the table ``evaluations``."""
    clips, recordings = labelled.clips, labelled.recordings
    tested = (folds.test_fold >= 0).all(axis=0) & (folds.labels != OTHER)
    table = pd.DataFrame({"label": folds.labels[tested], "unit": folds.units[tested]})
    counts = table.groupby("label")["unit"].nunique()
    inference: dict[str, Any] = {"power": detectable(counts.tolist())}
    if options.n_permutations:
        strata = None
        if options.within is not None:
            strata = group_values(clips, recordings, options.within).to_numpy(dtype=object)
        test = permutation_test(
            {"model": data}, clips, recordings, folds.split, head,
            n_permutations=options.n_permutations, within=strata, progress=progress,
        )  # fmt: skip
        inference["permutation"] = {
            "p": test.p_value("model"),
            "smallest_p": test.smallest_p,
            "n_permutations": len(test.null["model"]),
            "enumerated": test.enumerated,
            "within": options.within,
            "null": test.null["model"].round(4).tolist(),
        }
    if options.learning_curve:
        curve = learning_curve(data, clips, recordings, folds.split, head, progress=progress)
        inference["learning_curve"] = curve.to_dict("records")
    return inference

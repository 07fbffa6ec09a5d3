"""Cross-validation under each split; scores and results are kept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from pseudorca.embedding.joint import load_embedders
from pseudorca.errors import PseudorcaError
from pseudorca.evaluation.calibration_quality import reliability
from pseudorca.evaluation.inference import (
    detectable,
    learning_curve,
    mixed_encounters,
    permutation_test,
)
from pseudorca.evaluation.metrics import measure
from pseudorca.evaluation.risk_coverage import abstention, outcomes
from pseudorca.frontends.reach import band_notices
from pseudorca.learning.calibration import carried_prior
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet, labelled_clips
from pseudorca.learning.from_copies import learning_from
from pseudorca.learning.heads.base import Head
from pseudorca.learning.held_out import calibrate_out_of_fold
from pseudorca.learning.preparation import PLAIN, Preparation, prepared_set
from pseudorca.learning.pseudo_labels import with_unlabelled
from pseudorca.learning.recipe import recipe_of
from pseudorca.learning.through_network import forget_trainings, through_network
from pseudorca.learning.units import UNITS, score_table
from pseudorca.progress import Progress
from pseudorca.recordings.clips import project_clips
from pseudorca.recordings.folds import OTHER, Folds, Split, group_values, make_folds
from pseudorca.recordings.manifest import populations, project_recordings
from pseudorca.recordings.notices import few_encounters
from pseudorca.store import EMBEDDER_FOLDER, Store, package_versions
from pseudorca.values import hash_of, plain_value


def evaluate_project(
    store: Store,
    head: Head,
    splits: Sequence[Split],
    *,
    units: Sequence[str] = UNITS,
    max_error: float = 0.1,
    n_permutations: int = 0,
    within: str | None = None,
    learning: bool = False,
    preparation: Preparation = PLAIN,
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """Cross-validate a head under each split; scores and results are kept.

    Honest splits also tell how true calibrated probabilities are, what naming only the surer ones
    does to a wanted error rate (``max_error``), and what these encounters could have shown; if asked,
    how often labels permuted between encounters (only ``within`` the values of a column) do as well,
    and how the result grows with the number of encounters (``learning``). ``preparation``: what is
    made of the embeddings first.
    """
    if not 0 < max_error < 1:
        raise PseudorcaError(
            f"--max-error {max_error:g}: expected a share, more than 0 and less than 1."
        )
    embedder = load_embedders(store.folder / EMBEDDER_FOLDER)
    recordings = project_recordings(store)
    clips, left_out = labelled_clips(project_clips(store), recordings, store, embedder.embedder_id)
    folds_of = [(split, make_folds(clips, recordings, split)) for split in splits]
    if within is not None:
        group_values(clips, recordings, within)  # a column that is not there is an error at once
    whole, words = prepared_set(
        clips, recordings, store, embedder, preparation, labelled=project_clips(store)
    )
    recipe = recipe_of(store, embedder.embedder_id, head, preparation)
    recipe_id = hash_of(
        recipe | {"clips": store.setting("clips"), "selections": store.setting("selections")}
    )
    head, whole = through_network(
        store, head, whole, clips, recordings, embedder, preparation, stage=stage, progress=progress
    )
    data_id = hash_of(
        clips[["clip_id", "label", "encounter"]].sort_values("clip_id").values.tolist()
    )
    results: list[dict[str, Any]] = []
    notices = left_out + words + few_encounters(populations(store, recordings))
    notices += mixed_encounters(clips)
    bands = [band_notices(recordings, member.front_end) for member in embedder.members]
    notices += dict.fromkeys(text for texts in bands for text in texts)
    for split, folds in folds_of:
        # Inner folds keep whole what the split keeps whole; what is independent is never less than
        # the encounter.
        independent = whole.groups if split.is_optimistic else folds.units
        data = replace(whole, groups=whole.recordings if split.is_optimistic else folds.units)
        head = with_unlabelled(
            head,
            clips,
            project_clips(store),
            recordings,
            store,
            embedder.embedder_id,
            split,
            preparation,
        )
        learner = learning_from(head, preparation)
        scored = cross_validate(data, folds, learner, progress=progress)
        split_id = hash_of(asdict(split) | {"recipe": recipe_id, "clips": sorted(folds.clip_ids)})
        found = [
            measure(
                clips,
                recordings,
                scored.log_probabilities,
                scored.classes,
                unit=unit,
                split=split.name,
                groups=independent,
            )
            for unit in units
        ]
        if not split.is_optimistic:
            carried = carried_prior(head.settings(), data, scored.classes)
            for entry in found:
                calibrated = calibrate_out_of_fold(
                    clips, recordings, scored.log_probabilities, folds, scored.classes,
                    unit=entry["unit"], presupposed=carried,
                )  # fmt: skip
                entry["reliability"] = reliability(calibrated)
                entry["abstention"] = abstention(outcomes(calibrated), max_error)
        tables = [
            score_table(
                clips, scores, scored.classes, recipe_id, split_id=split_id, repeat=k,
                fold=folds.test_fold[k],
            )
            for k, scores in enumerate(scored.log_probabilities)
        ]  # fmt: skip
        store.replace("scores", pd.concat(tables, ignore_index=True), split_id=split_id)
        about = {
            "split": asdict(split),
            "group_by": split.group_by,
            "independent": "encounter" if split.is_optimistic else split.group_by,
            "optimistic": split.is_optimistic,
            "recipe": recipe,
            "data": data_id,
            "results": found,
            "not_testable": folds.not_testable,
            "n_straddling_moments": folds.n_straddling_moments,
            "trainings": scored.details,
            "inference": {}
            if split.is_optimistic
            else _inference(
                data, clips, recordings, folds, learner, n_permutations, within, learning, progress
            ),
            "versions": package_versions(),
            "tables": {table: store.version(table) for table in ("recordings", "clips")},
        }
        row = {
            "split_id": split_id,
            "classifier_id": recipe_id,
            "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "result": json.dumps(about, default=plain_value),
        }
        store.replace("evaluations", pd.DataFrame([row]), split_id=split_id)
        shared = {
            "split_id": split_id,
            "not_testable": folds.not_testable,
            "inference": about["inference"],
        }
        results += [entry | shared for entry in found]
        if folds.not_testable:
            notices.append(
                f"Split {split.name}: {', '.join(folds.not_testable)} cannot be tested, since a class "
                "would have nothing left to train on; the numbers do not cover them."
            )
        n_values, n_units = len(set(folds.groups)), len(set(folds.units))
        if not split.is_optimistic and n_units < n_values:
            notices.append(
                f"Split {split.name}: {n_values} values of {split.group_by} are dealt as {n_units} "
                "groups, since an encounter or a moment is never torn apart."
            )
        if folds.n_straddling_moments:
            notices.append(
                f"Split {split.name}: {folds.n_straddling_moments} moments stand on both sides "
                "(channels of one sound), as in the study."
            )
    forget_trainings(head)
    shown = {"splits": [asdict(split) for split in splits], "head": head.settings()}
    store.record_run("evaluate", shown, ("recordings", "clips", "scores", "evaluations"))
    return {"results": results, "recipe": recipe, "classifier_id": recipe_id, "notices": notices}


def _inference(
    data: TrainingSet,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    folds: Folds,
    head: Head,
    n_permutations: int,
    within: str | None,
    learning: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """What these encounters can tell: JSON values, as they stand in the table ``evaluations``."""
    tested = (folds.test_fold >= 0).all(axis=0) & (folds.labels != OTHER)
    table = pd.DataFrame({"label": folds.labels[tested], "unit": folds.units[tested]})
    counts = table.groupby("label")["unit"].nunique()
    found: dict[str, Any] = {"power": detectable(counts.tolist())}
    if n_permutations:
        strata = None
        if within is not None:
            strata = group_values(clips, recordings, within).to_numpy(dtype=object)
        test = permutation_test(
            {"model": data}, clips, recordings, folds.split, head,
            n_permutations=n_permutations, within=strata, progress=progress,
        )  # fmt: skip
        found["permutation"] = {
            "p": test.p_value("model"),
            "smallest_p": test.smallest_p,
            "n_permutations": len(test.null["model"]),
            "enumerated": test.enumerated,
            "within": within,
            "null": test.null["model"].round(4).tolist(),
        }
    if learning:
        curve = learning_curve(data, clips, recordings, folds.split, head, progress=progress)
        found["learning_curve"] = curve.to_dict("records")
    return found

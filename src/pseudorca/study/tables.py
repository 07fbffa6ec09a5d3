"""The tables of the study, both columns side by side: a row per model or setting, as CSV files.

Names with ``published_`` belong to the as-published column, and are empty without this column. Names
with ``straight_`` belong to the told-straight column. Shares are 0 to 1.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.formats.whole import write_table
from pseudorca.learning.heads.base import Balance
from pseudorca.learning.heads.softmax import batch_order
from pseudorca.recordings.folds import STUDY_SEED
from pseudorca.study.as_published import BATCH, Answers, Published, Tuning, Without
from pseudorca.study.material import Material
from pseudorca.study.published import (
    PRINTED,
    accuracies_behind,
    balanced_accuracy,
    matrices_behind,
    scores_of,
)
from pseudorca.study.settings import StudyOptions
from pseudorca.study.straight import Honest, Straight
from pseudorca.study.switches import SWITCHES
from pseudorca.study.training import Training

Tables = dict[str, pd.DataFrame]

_FAILED = "failed"


def study_tables(
    material: Material, options: StudyOptions, straight: Straight, published: Published | None
) -> Tables:
    """Make all tables of the study.

    Parameters
    ----------
    material : Material
    options : StudyOptions
    straight : Straight
    published : Published or None; None if there are more than two classes

    Returns
    -------
    dict from name of the file to DataFrame
    """
    p, tuning = published, (published.tuning if published else None)
    best = tuning.momenta[tuning.best_momentum] if tuning else None
    networks = [
        {"network": name}
        | _published(p, p.networks[name] if p else None)
        | _straight(straight.networks[name])
        for name in options.backbones
    ]
    sampler = [
        {"model": "as frequent as they are"} | _published(p, p.networks[p.tuned] if p else None)
        | _straight(straight.networks[straight.tuned]),
        {"model": "weighted sampler"} | _published(p, tuning.weighted if tuning else None)
        | _straight(straight.weighted),
    ]  # fmt: skip
    rates = [
        {"learning_rate": rate}
        | _published(p, tuning.rates[rate] if tuning else None)
        | _straight(honest)
        for rate, honest in straight.rates.items()
    ]
    momenta = [
        {"learning_rate": straight.best_rate, "momentum": momentum}
        | ({"published_learning_rate": tuning.best_rate} if tuning else {})
        | _published(p, tuning.momenta[momentum] if tuning else None) | _straight(honest)
        for momentum, honest in straight.momenta.items()
    ]  # fmt: skip
    final = (
        {"model": "final model"}
        | _answers(p, tuning.test if tuning else None)
        | _straight(straight.final)
    )
    others = [
        {"model": "logistic regression"} | _straight(straight.logistic),
        {"model": "without listening"} | _straight(straight.no_sound),
    ]
    summary = [
        {"row": straight.tuned} | sampler[0],
        {"row": "weighted sampler"} | sampler[1],
        {"row": "best rate, momentum"}
        | _published(p, best)
        | _straight(straight.momenta[straight.best_momentum]),
        {"row": "final, test"} | final,
    ]
    tables = {
        "table_4_1": networks,
        "table_4_2": sampler,
        "table_4_3_rates": rates,
        "table_4_3_momenta": momenta,
        "table_4_4": [final, *others],
        "table_4_5": [
            {key: value for key, value in row.items() if key != "model"} for row in summary
        ],
        "tables_5_1_and_5_2": _confusions(material, straight, p),
        "table_4_6": unknown_rows(material, straight, p),
        "figures_3_2_and_4_3": batch_rows(material, p),
        "figure_4_5": _losses(straight, p),
        "the_study_itself": study_numbers(),
    }
    if p is not None:
        tables["switches"] = switch_rows(p)
        if p.closeness:
            tables["training_mode"] = p.closeness
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def write_study_tables(tables: Tables, folder: Path) -> None:
    """Write each table as CSV. Each file is complete or not there at all.

    Parameters
    ----------
    tables : dict from name to DataFrame
    folder : path, created if necessary

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_study_tables({"table_4_1": pd.DataFrame({"network": ["resnet18"]})}, folder)
    >>> [path.name for path in folder.iterdir()]
    ['table_4_1.csv']
    """
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv")


def sentence(decision: str, probability: float) -> str:
    """Write the sentence of the study for an unknown file.

    Parameters
    ----------
    decision : str, a class
    probability : float, 0 to 1

    Returns
    -------
    str

    Examples
    --------
    >>> sentence("Pelagic", 0.987)
    "There's a 98.7 % chance that this audio file belongs to the Pelagic group."
    """
    return (
        f"There's a {100 * probability:.1f} % chance that this audio file belongs to the "
        f"{decision} group."
    )


def unknown_rows(
    material: Material, straight: Straight, published: Published | None
) -> list[dict[str, Any]]:
    """Make Table 4.6: the predictions of both columns for the unknown clips."""
    before = {}
    if published is not None:
        predicted: Iterable[Any] = published.unknown.itertuples()
        before = {row.clip_id: (row.decision, float(row.probability)) for row in predicted}
    rows = []
    paths = material.paths(straight.unknown)
    unknown_clips: Iterable[Any] = straight.unknown.itertuples()
    for path, row in zip(paths, unknown_clips, strict=True):
        entry: dict[str, Any] = {"path": path, "encounter": row.encounter}
        if row.clip_id in before:
            decision, probability = before[row.clip_id]
            entry |= {
                "published_decision": decision,
                "published_probability": probability,
                "published_sentence": sentence(str(decision), probability),
            }
        rows.append(
            entry
            | {
                "straight_decision": row.decision,
                "straight_probability": row.probability,
                "straight_encounter_decision": row.encounter_decision,
                "straight_encounter_probability": row.encounter_probability,
                "encounter_in_training": row.encounter_in_training,
            }
        )
    return rows


def batch_rows(material: Material, published: Published | None) -> list[dict[str, Any]]:
    """Make the data of Figures 3.2 and 4.3: clips of each class in the batches of the first epoch."""
    import torch

    def drawn(balance: Balance) -> list[list[int]]:
        truth = torch.from_numpy(material.truth)
        order = batch_order(truth, balance, torch.Generator().manual_seed(STUDY_SEED))
        return [
            torch.bincount(truth[rows], minlength=len(material.classes)).tolist()
            for rows in torch.split(order, BATCH)
        ]

    before = published.networks[published.tuned] if published is not None else ""
    after = published.tuning.weighted if published is not None else ""
    cases: tuple[tuple[str, Training | str, Balance], ...] = (
        ("random", before, "none"), ("weighted sampler", after, "sampler"),
    )  # fmt: skip
    return [
        {"order": order, "batch": number} | dict(zip(material.classes, counts, strict=True))
        for order, training, balance in cases
        for number, counts in enumerate(
            training.batches if isinstance(training, Training) else drawn(balance), 1
        )
    ]


def switch_rows(published: Published) -> list[dict[str, Any]]:
    """List the switches with their sentences, and the test of the final model without each switch."""
    rows: list[dict[str, Any]] = []
    if published.baseline is not None:
        rows.append(
            {"switch": "(all that are on)", "on": True}
            | _test(published.baseline, published.positive)
        )
    for switch in SWITCHES:
        row: dict[str, Any] = {
            "switch": switch.name, "on": switch.name in published.switches,
            "what_the_scripts_did": switch.done, "what_it_does_to_the_result": switch.effect,
        }  # fmt: skip
        without = published.without.get(switch.name)
        if isinstance(without, Without):
            row |= _test(without.tuning, without.positive)
        elif without is not None:
            row["cannot_be_turned_off"] = without
        rows.append(row)
    return rows


def study_numbers() -> list[dict[str, Any]]:
    """List the printed numbers of the study, and numbers from its confusion matrices.

    Returns
    -------
    list of dict, rows of a table

    Examples
    --------
    >>> study_numbers()[0]["model"]
    'ResNet-18'
    """
    rows = []
    for row in PRINTED:
        entry: dict[str, Any] = {
            "table": row.table, "model": row.what, "side": row.side,
            "printed_accuracy": row.printed.accuracy, "printed_precision": row.printed.precision,
            "printed_recall": row.printed.recall,
            "possible": bool(matrices_behind(row)),
            "accuracy_of_precision_and_recall": next(iter(accuracies_behind(row)), None),
            "majority_accuracy": row.n_pelagic / (row.n_insular + row.n_pelagic),
        }  # fmt: skip
        right = matrices_behind(row)
        confusion: Any = row.confusion
        if confusion is None and len(right) == 1:
            insular, pelagic = right[0]
            confusion = [[insular, row.n_insular - insular], [row.n_pelagic - pelagic, pelagic]]
        if confusion is not None:
            scores = scores_of(confusion)
            entry |= {
                "accuracy": scores.accuracy, "precision": scores.precision,
                "recall": scores.recall, "insular_recall": scores_of(confusion, 0).recall,
                "balanced_accuracy": balanced_accuracy(confusion),
            }  # fmt: skip
        rows.append(entry)
    return rows


def _published(published: Published | None, training: Training | str | None) -> dict[str, Any]:
    if published is None or training is None:
        return {}
    if isinstance(training, str):
        return {f"published_{_FAILED}": training}
    return _answers(published, published.validation(training)) | {
        "published_best_epoch": training.best_epoch
    }


def _answers(published: Published | None, answers: Answers | None) -> dict[str, Any]:
    if published is None or answers is None:
        return {}
    scores = answers.published(published.positive)
    return {
        "published_accuracy": scores.accuracy, "published_precision": scores.precision,
        "published_recall": scores.recall, "published_n": len(answers.truth),
        "published_majority_accuracy": answers.majority,
        "published_balanced_accuracy": answers.balanced_accuracy,
    }  # fmt: skip


def _test(tuning: Tuning, positive: int) -> dict[str, Any]:
    scores = tuning.test.published(positive)
    return {
        "test_accuracy": scores.accuracy, "test_precision": scores.precision,
        "test_recall": scores.recall, "test_balanced_accuracy": tuning.test.balanced_accuracy,
        "test_n": len(tuning.test.truth), "best_rate": tuning.best_rate,
        "best_momentum": tuning.best_momentum,
    }  # fmt: skip


def _straight(honest: Honest | str) -> dict[str, Any]:
    if isinstance(honest, str):
        return {f"straight_{_FAILED}": honest}
    columns: dict[str, Any] = {}
    for unit in ("clip", "encounter"):
        result = honest.results[unit]
        columns |= {
            f"straight_{unit}_{key}": result[key]
            for key in (
                "accuracy", "majority_accuracy", "balanced_accuracy", "ci_low", "ci_high",
                "majority_baseline", "n_units", "n_groups",
            )
        }  # fmt: skip
        for label, row in result["per_class"].items():
            columns |= {
                f"straight_{unit}_{key}_{label}": row[key] for key in ("recall", "precision")
            }
    return columns


def _confusions(
    material: Material, straight: Straight, published: Published | None
) -> list[dict[str, Any]]:
    rows = []

    def add(column: str, model: str, unit: str, counts: Any) -> None:
        for i, truth in enumerate(material.classes):
            for j, predicted in enumerate(material.classes):
                rows.append({
                    "column": column, "model": model, "unit": unit, "truth": truth, "said": predicted,
                    "n": float(np.asarray(counts)[i][j]),
                })  # fmt: skip

    if published is not None:
        tuning = published.tuning
        for name, training in (*published.networks.items(), ("weighted sampler", tuning.weighted)):
            if isinstance(training, Training):
                counts = published.validation(training).confusion
                add("as published", f"{name}, validation", "clip", counts)
        add("as published", "final model, test", "clip", tuning.test.confusion)
    models = {
        **straight.networks, "weighted sampler": straight.weighted, "final model": straight.final
    }  # fmt: skip
    for name, honest in models.items():
        if isinstance(honest, Honest):
            for unit, result in honest.results.items():
                add("told straight", name, unit, result["confusion"])
    return rows


def _losses(straight: Straight, published: Published | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def add(column: str, setting: str, value: float, result: Any) -> None:
        if isinstance(result, Training):
            rows.extend({"column": column, setting: value} | entry for entry in result.history)
        elif isinstance(result, Honest):
            for training_of_fold in result.trainings:
                keys = {
                    "column": column,
                    setting: value,
                    "repeat": training_of_fold["repeat"],
                    "fold": training_of_fold["fold"],
                }
                rows.extend(keys | entry for entry in training_of_fold["history"])

    if published is not None:
        for rate, training in published.tuning.rates.items():
            add("as published", "learning_rate", rate, training)
        for momentum, training in published.tuning.momenta.items():
            add("as published", "momentum", momentum, training)
    for rate, honest in straight.rates.items():
        add("told straight", "learning_rate", rate, honest)
    for momentum, honest in straight.momenta.items():
        add("told straight", "momentum", momentum, honest)
    return rows

"""The tables of the study, both columns side by side: a row per model or setting, as CSV files.

Names with ``published_`` belong to the as-published column, and are empty without this column. Names
with ``straight_`` belong to the told-straight column. Shares are 0 to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pseudorca.learning.heads.base import Balance
from pseudorca.learning.heads.softmax import batch_order
from pseudorca.recordings.folds import STUDY_SEED
from pseudorca.study.as_published import Published, PublishedTuning, positive_class
from pseudorca.study.material import Material
from pseudorca.study.networks import BATCH, Networks
from pseudorca.study.published import study_numbers
from pseudorca.study.settings import SWITCHES, StudyOptions
from pseudorca.study.straight import Honest, Straight
from pseudorca.study.training import Answers, Training, Tuning

KEYS = {
    "table_4_1": "network",
    "table_4_2": "model",
    "table_4_3_rates": "learning_rate",
    "table_4_3_momenta": "momentum",
    "table_4_4": "model",
    "table_4_5": "row",
}
"""The tables with both columns, and the column that names their rows."""


@dataclass(frozen=True)
class Study:
    """Both columns of the study, with the networks, the material and the settings behind them."""

    networks: Networks
    straight: Straight
    published: Published | None
    """None if there are more than two classes."""
    out: Path
    """The folder of the report, with the folders ``tables``, ``figures`` and ``project``."""
    took: Mapping[str, float]
    """Seconds of each stage."""

    @property
    def material(self) -> Material:
        """The recordings and clips."""
        return self.networks.material

    @property
    def options(self) -> StudyOptions:
        """The settings."""
        return self.networks.options

    @property
    def classes(self) -> list[str]:
        """The classes, in alphabetical order."""
        return self.material.classes

    @property
    def tunings(self) -> dict[str, Tuning[Any]]:
        """Tables 4.2 and 4.3 of each column."""
        published = {"as published": self.published.tuning} if self.published is not None else {}
        return {**published, "told straight": self.straight.tuning}

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables, by the names of their files."""
        return _tables(self)


def _tables(study: Study) -> dict[str, pd.DataFrame]:
    straight, published, tuned = study.straight, study.published, study.options.tuned
    positive = 0 if published is None else published.positive
    before = {} if published is None else _models(published, published.tuning.test, tuned)
    after = _models(straight, straight.final, tuned)
    after["table_4_4"] |= {
        "logistic regression": straight.logistic, "without listening": straight.no_sound
    }  # fmt: skip
    rows = {
        name: [
            {KEYS[name]: key}
            | _published(before.get(name, {}).get(key), positive)
            | _straight(honest)
            for key, honest in models.items()
        ]
        for name, models in after.items()
    }
    rows |= {
        "tables_5_1_and_5_2": _confusions(study),
        "table_4_6": _unknown(study),
        "figures_3_2_and_4_3": _batches(study),
        "figure_4_5": _losses(study),
        "the_study_itself": study_numbers(),
    }
    if published is not None:
        rows["switches"] = _switches(published, study.material)
        if published.closeness:
            rows["training_mode"] = published.closeness
    tables = {name: pd.DataFrame(entries) for name, entries in rows.items()}
    momenta = tables["table_4_3_momenta"]
    momenta.insert(0, "learning_rate", straight.tuning.best_rate)
    if published is not None:
        momenta.insert(2, "published_learning_rate", published.tuning.best_rate)
    return tables


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


def _models(
    column: Published | Straight, final: Answers | Honest, tuned: str
) -> dict[str, dict[Any, Any]]:
    """Return the results of one column by table and row."""
    tuning = column.tuning
    before, weighted = column.networks[tuned], tuning.weighted
    return {
        "table_4_1": {**column.networks},
        "table_4_2": {"as frequent as they are": before, "weighted sampler": weighted},
        "table_4_3_rates": {**tuning.rates},
        "table_4_3_momenta": {**tuning.momenta},
        "table_4_4": {"final model": final},
        "table_4_5": {
            tuned: before,
            "weighted sampler": weighted,
            "best rate, momentum": tuning.momenta[tuning.best_momentum],
            "final, test": final,
        },
    }


def _published(result: Answers | str | None, positive: int) -> dict[str, Any]:
    if result is None:
        return {}
    if isinstance(result, str):
        return {"published_failed": result}
    columns = result.published(positive)._asdict() | {
        "n": len(result.truth),
        "majority_accuracy": result.majority,
        "balanced_accuracy": result.balanced_accuracy,
    }
    if isinstance(result, Training):
        columns["best_epoch"] = result.best_epoch
    return {f"published_{name}": value for name, value in columns.items()}


def _straight(honest: Honest | str) -> dict[str, Any]:
    if isinstance(honest, str):
        return {"straight_failed": honest}
    columns: dict[str, Any] = {}
    for unit, result in honest.results.items():
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


def _unknown(study: Study) -> list[dict[str, Any]]:
    """Make Table 4.6: the predictions of both columns for the unknown clips."""
    before = {}
    if study.published is not None:
        before = {
            clip["clip_id"]: {
                "published_decision": clip["decision"],
                "published_probability": clip["probability"],
                "published_sentence": sentence(clip["decision"], clip["probability"]),
            }
            for clip in study.published.unknown.to_dict("records")
        }
    unknown = study.straight.unknown
    columns = ("decision", "probability", "encounter_decision", "encounter_probability")
    return [
        {"path": path, "encounter": clip["encounter"]}
        | before.get(clip["clip_id"], {})
        | {f"straight_{column}": clip[column] for column in columns}
        | {"encounter_in_training": clip["encounter_in_training"]}
        for path, clip in zip(
            study.material.paths(unknown), unknown.to_dict("records"), strict=True
        )
    ]


def _batches(study: Study) -> list[dict[str, Any]]:
    """Make the data of Figures 3.2 and 4.3: clips of each class in the batches of the first epoch."""
    published = study.published
    trainings: dict[str, Training | str] = {}
    if published is not None:
        trainings["random"] = published.networks[study.options.tuned]
        trainings["weighted sampler"] = published.tuning.weighted
    truth = torch.from_numpy(study.material.truth)
    balances: dict[str, Balance] = {"random": "none", "weighted sampler": "sampler"}
    rows: list[dict[str, Any]] = []
    for order, balance in balances.items():
        training = trainings.get(order)
        if isinstance(training, Training):
            batches = training.batches
        else:
            drawn = batch_order(truth, balance, torch.Generator().manual_seed(STUDY_SEED))
            batches = [
                torch.bincount(truth[batch], minlength=len(study.classes)).tolist()
                for batch in torch.split(drawn, BATCH)
            ]
        rows += [
            {"order": order, "batch": number} | dict(zip(study.classes, counts, strict=True))
            for number, counts in enumerate(batches, 1)
        ]
    return rows


def _switches(published: Published, material: Material) -> list[dict[str, Any]]:
    """List the switches with their sentences, and the test of the final model without each switch."""
    rows: list[dict[str, Any]] = [
        {"switch": "(all that are on)", "on": True} | _test(published.baseline, published.positive)
    ]
    for switch in SWITCHES:
        row: dict[str, Any] = {
            "switch": switch.name, "on": switch.name in published.switches,
            "what_the_scripts_did": switch.done, "what_it_does_to_the_result": switch.effect,
        }  # fmt: skip
        without = published.without.get(switch.name)
        if isinstance(without, PublishedTuning):
            row |= _test(
                without, positive_class(material.truth, published.switches - {switch.name})
            )
        elif without is not None:
            row["cannot_be_turned_off"] = without
        rows.append(row)
    return rows


def _test(tuning: PublishedTuning, positive: int) -> dict[str, Any]:
    scores = tuning.test.published(positive)._asdict()
    return {f"test_{name}": value for name, value in scores.items()} | {
        "test_balanced_accuracy": tuning.test.balanced_accuracy,
        "test_n": len(tuning.test.truth),
        "best_rate": tuning.best_rate,
        "best_momentum": tuning.best_momentum,
    }


def _confusions(study: Study) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def add(column: str, model: str, unit: str, counts: Any) -> None:
        rows.extend(
            {"column": column, "model": model, "unit": unit, "truth": truth, "said": predicted,
             "n": float(n)}
            for truth, of_class in zip(study.classes, np.asarray(counts), strict=True)
            for predicted, n in zip(study.classes, of_class, strict=True)
        )  # fmt: skip

    published, straight = study.published, study.straight
    if published is not None:
        trainings = {**published.networks, "weighted sampler": published.tuning.weighted}
        for name, training in trainings.items():
            if isinstance(training, Training):
                add("as published", f"{name}, validation", "clip", training.confusion)
        add("as published", "final model, test", "clip", published.tuning.test.confusion)
    models = {
        **straight.networks, "weighted sampler": straight.tuning.weighted,
        "final model": straight.final,
    }  # fmt: skip
    for name, honest in models.items():
        if isinstance(honest, Honest):
            for unit, result in honest.results.items():
                add("told straight", name, unit, result["confusion"])
    return rows


def _losses(study: Study) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for column, tuning in study.tunings.items():
        for setting, value, result in tuning.settings:
            for training in [] if isinstance(result, str) else result.trainings:
                keys = {"column": column, setting: value}
                keys |= {key: training[key] for key in ("repeat", "fold") if key in training}
                rows.extend(keys | entry for entry in training["history"])
    return rows

"""Recordings to scores: the same clips, front end, backbone and store that training used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.features.embedding import embed_clips
from pseudorca.learning.calibration import make_prior
from pseudorca.learning.classifier import Classifier
from pseudorca.prediction.decisions import (
    DECISION_COLUMNS,
    UNITS,
    Rule,
    UnitScores,
    aggregate,
    decide,
)
from pseudorca.recordings.clips import cut
from pseudorca.store import Store


@dataclass
class Predictions:
    """What a classifier said about recordings.

    ``tables`` has one table per unit (clip, recording, encounter) with the decision or why there is
    none, the most probable class, and ``p_<population>`` columns; ``decisions`` and ``scores`` are
    the store's tables.
    """

    tables: dict[str, pd.DataFrame]
    decisions: pd.DataFrame
    scores: pd.DataFrame
    problems: pd.DataFrame
    n_clips: int


def predict(
    recordings: pd.DataFrame,
    classifier: Classifier,
    store: Store,
    rules: Mapping[str, Rule],
    *,
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Score recordings and decide per clip, recording and encounter.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
    classifier : Classifier
    store : Store, keeps the embeddings
    rules : dict from kind of unit to what it takes to be decided
    batch_size, n_workers, progress : see :func:`pseudorca.features.embedding.embed_clips`

    Returns
    -------
    Predictions
    """
    clips, uncut = cut(recordings, classifier.clip_options)
    embedder = classifier.embedder
    result = embed_clips(
        clips,
        recordings,
        embedder,
        store,
        batch_size=batch_size,
        n_workers=n_workers,
        progress=progress,
    )
    embedded = store.embedded(embedder.embedder_id)
    clips = clips[clips["clip_id"].isin(embedded)].reset_index(drop=True)
    classes = classifier.classes
    log_probabilities, novelty = np.empty((0, len(classes))), np.zeros(len(clips))
    if len(clips):
        vectors = store.vectors(embedder.embedder_id, clips["clip_id"].tolist())
        log_probabilities = classifier.head.log_probabilities(vectors)
        if classifier.novelty is not None:
            novelty = classifier.novelty.distances(vectors)
    trained = make_prior("train", classes, classifier.training["n_encounters"])
    heard = {key: set(classifier.training.get(key, ())) for key in ("moments", "encounters")}
    tables, decisions = {}, []
    for unit in UNITS:
        units = aggregate(clips, recordings, log_probabilities, unit, novelty=novelty)
        if classifier.novelty is not None:
            units.table["novelty"] /= classifier.novelty.usual[unit]
        decided, probabilities = decide(
            units, classifier.calibrator(unit), rules[unit], unit=unit,
            classifier_id=classifier.classifier_id, trained=trained,
        )  # fmt: skip
        decisions.append(decided[list(DECISION_COLUMNS)])
        tables[unit] = _readable(units, decided, probabilities, recordings, classes, heard)
    return Predictions(
        tables=tables,
        decisions=pd.concat(decisions, ignore_index=True),
        scores=score_table(clips, log_probabilities, classes, classifier.classifier_id),
        problems=pd.concat([uncut, result.problems], ignore_index=True),
        n_clips=len(clips),
    )


def score_table(
    clips: pd.DataFrame,
    log_probabilities: NDArray[np.float64],
    classes: list[str],
    classifier_id: str,
    *,
    split_id: str = "",
    repeat: int = 0,
    fold: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Lay scores out as the table ``scores``: a row per clip and population, natural logarithms.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``
    log_probabilities : ndarray [shape=(n_clips, n_classes)]; rows of NaN are left out
    classes : list of str
    classifier_id, split_id : str; ``split_id`` is empty for predictions
    repeat : int
    fold : ndarray [shape=(n_clips,)] or None
    """
    scored = ~np.isnan(log_probabilities).any(axis=1)
    n = int(scored.sum())
    folds = np.zeros(len(clips), dtype=np.int64) if fold is None else fold
    return pd.DataFrame(
        {
            "clip_id": np.repeat(clips["clip_id"].to_numpy(dtype=object)[scored], len(classes)),
            "classifier_id": classifier_id,
            "split_id": split_id,
            "repeat": repeat,
            "fold": np.repeat(folds[scored], len(classes)),
            "population": classes * n,
            "score": log_probabilities[scored].ravel(),
        }
    )


def _readable(
    units: UnitScores,
    decided: pd.DataFrame,
    probabilities: NDArray[np.float64],
    recordings: pd.DataFrame,
    classes: list[str],
    heard: dict[str, set[str]],
) -> pd.DataFrame:
    """A table for people: where it is, what was decided, how probable each population is."""
    table = units.table.copy()
    order = [
        "path", "encounter", "start_s", "end_s", "start_utc", "n_moments", "decision", "reason",
        "most_probable", "probability", "prior", "depends_on_prior", "novelty",
        *[f"p_{label}" for label in classes], "in_training", "recording_id", "classifier_id",
    ]  # fmt: skip
    if table.empty:  # pandas gives empty columns types of its own choice
        return pd.DataFrame(columns=order, dtype="string")
    if "recording_id" in table:
        by_id = recordings.set_index("recording_id")
        moment = table["recording_id"].map(by_id["moment_id"])
        # Files of one moment (its channels) share a row; all of them are named.
        together = recordings.groupby("moment_id", sort=False)["path"].agg("; ".join)
        table["path"] = moment.map(together)
        table["in_training"] = moment.isin(heard["moments"])
        start = table["recording_id"].map(by_id["start_utc"])
        table["start_utc"] = pd.to_datetime(start, utc=True).astype("datetime64[us, UTC]")
        if "start_s" in table:
            table["start_utc"] += pd.to_timedelta(table["start_s"].astype("float64"), unit="s")
    else:
        table["in_training"] = table["encounter"].isin(heard["encounters"])
    said = ("decision", "reason", "most_probable", "probability", "prior", "depends_on_prior")
    table = table.assign(**{column: decided[column] for column in said})
    for k, label in enumerate(classes):
        table[f"p_{label}"] = probabilities[:, k]
    table["classifier_id"] = decided["classifier_id"]
    return table[[column for column in order if column in table]]

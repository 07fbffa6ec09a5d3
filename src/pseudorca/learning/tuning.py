"""Choose a head's settings in inner folds.

In: a training side, a head and the values to try. Out: the best settings and a table of all trials.
Tuning uses only inner folds of the training side, so a tuned head may be cross-validated:
:class:`TunedHead` tunes anew inside each training side. There are two searches. The original study's
search tries one setting after another. Optuna's search keeps its trials in a file, and resumes after a
stop.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd
import xxhash

from pseudorca.errors import FoldError, HeadError, MissingExtraError, unknown_name
from pseudorca.learning.dataset import Ints, TrainingSet
from pseudorca.learning.heads.base import (
    Head,
    Space,
    TrainedHead,
    WrappingHead,
    class_numbers,
    classes_of,
    fit_head,
    inner_sides,
    recording_weights,
)
from pseudorca.learning.heads.registry import make_head

Search = Literal["grid", "optuna"]

_LOG_FROM = 10.0  # ratio of the highest to the lowest value from which optuna searches by ratios


@dataclass(frozen=True)
class Tuned:
    """The result of a tuning.

    ``settings``: the best settings. ``trials``: a row per trial, with its settings and ``log_loss``.

    Examples
    --------
    >>> Tuned({"c": 0.1}, pd.DataFrame({"c": [0.1, 1.0], "log_loss": [0.3, 0.5]})).settings
    {'c': 0.1}
    """

    settings: dict[str, float]
    trials: pd.DataFrame


@dataclass(frozen=True)
class Tuning:
    """How settings of a head are chosen.

    Raises
    ------
    HeadError
        If the search is unknown.

    Examples
    --------
    >>> Tuning(space={"c": [0.1, 1.0]}).tried(make_head("logistic"))
    {'c': [0.1, 1.0]}
    """

    search: Search = "grid"
    """``grid`` tries one setting after another, as the study did: all values of the first setting,
    then all values of the second at the best value of the first. ``optuna`` tries any values between
    the lowest and the highest (on a log scale if these differ tenfold), guided by earlier trials."""
    space: Space | None = None
    """Values to try, by setting; None: the head's ``space``."""
    n_trials: int = 30
    """Trials of optuna, including trials in the storage."""
    n_folds: int = 3

    def __post_init__(self) -> None:
        if self.search not in get_args(Search):
            raise HeadError(unknown_name("search", self.search, get_args(Search)))

    def tried(self, head: Head) -> Space:
        """The values to try for a head.

        Raises
        ------
        HeadError
            If there is no value to try, or a value is not valid.
        """
        space = self._space(head)
        if not space or not all(len(values) for values in space.values()):
            raise HeadError(
                f"nothing to tune of the {head.name} head: name at least one value for each setting, "
                "or leave the tuning out."
            )
        for name, values in space.items():  # before any trial
            for value in values:
                _with(head, {name: value})
        return space

    def settings(self, head: Head) -> dict[str, Any]:
        """The options of the tuning that shape the training, as JSON values."""
        space = {name: list(values) for name, values in self._space(head).items()}
        settings = {"search": self.search, "space": space, "n_folds": self.n_folds}
        return settings | ({"n_trials": self.n_trials} if self.search == "optuna" else {})

    def _space(self, head: Head) -> Space:
        return head.space if self.space is None else self.space


def tune(
    data: TrainingSet, head: Head, tuning: Tuning | None = None, *, storage: Path | None = None
) -> Tuned:
    """Find the settings with the lowest log loss out of fold.

    Every recording weighs once within its class, and all classes weigh equally. The folds keep the
    groups of ``data.groups`` whole. All trials use the same folds.

    Parameters
    ----------
    data : TrainingSet
    head : Head
        Settings that are not tried keep their values
    tuning : Tuning or None; None: ``Tuning()``
    storage : Path or None
        A file that keeps optuna's trials; a second call with the same data and options resumes

    Returns
    -------
    Tuned

    Raises
    ------
    HeadError
        If there is no value to try, a value is not valid, or no trial gives a finite loss.
    FoldError
        If no group can be left out without emptying a class.
    MissingExtraError
        If optuna is asked for and not installed.

    Examples
    --------
    >>> labels = np.array(list("aaaabbbb"), dtype=object)
    >>> groups = np.array(["a1", "a1", "a2", "a2", "b1", "b1", "b2", "b2"], dtype=object)
    >>> vectors = np.arange(8, dtype=np.float32)[:, None]
    >>> data = TrainingSet(vectors, labels, groups, np.arange(8).astype(object))
    >>> tuned = tune(data, make_head("logistic"), Tuning(space={"c": [0.01, 1.0]}, n_folds=2))
    >>> tuned.settings
    {'c': 1.0}
    """
    tuning = tuning or Tuning()
    space = tuning.tried(head)
    classes_of(data.labels)  # refuses a single class
    settings = head.settings()
    sides = inner_sides(data, tuning.n_folds, settings["seed"])

    def loss(tried: Mapping[str, float]) -> float:
        return _log_loss(data, sides, _with(head, tried))

    if tuning.search == "grid":
        rows = _in_turn(space, loss)
    else:
        question = tuning.settings(head)
        n_trials = question.pop("n_trials")  # more of them answer the same question
        study = _study(storage, _study_name(data, settings | {"tuned": question}))
        rows = _by_optuna(space, loss, n_trials, settings["seed"], study)
    trials = pd.DataFrame(rows)
    best = trials.iloc[int(trials["log_loss"].to_numpy().argmin())]
    if not np.isfinite(best["log_loss"]):
        raise HeadError(
            f"no trial of {', '.join(space)} gives a finite loss: try lower learning rates, or "
            "standardise the embeddings."
        )
    return Tuned({name: float(best[name]) for name in space}, trials)


def _with(head: Head, settings: Mapping[str, float]) -> Head:
    """The head with other settings. HeadError if one is not the head's."""
    others = {name: value for name, value in vars(head).items() if name not in settings}
    # A search gives real numbers; a count of trees is a whole one.
    whole = {field.name for field in fields(head) if field.type is int}
    tried = {name: round(v) if name in whole else v for name, v in settings.items()}
    return make_head(head.name, **others, **tried)


@dataclass(frozen=True)
class TunedHead(WrappingHead):
    """A head that tunes its settings inside its training set.

    If a class has too few groups for inner folds, the head keeps its own settings.

    Examples
    --------
    >>> TunedHead(make_head("logistic")).describe()
    'logistic (c by grid in inner folds, classes weighted equally)'
    """

    name: ClassVar[str] = "tuned"

    tuning: Tuning = Tuning()
    storage: Path | None = None
    """See :func:`tune`."""

    @property
    def chooses_settings(self) -> bool:
        """True: settings are chosen anew in each training."""
        return True

    def settings(self) -> dict[str, Any]:
        """The settings that are not tuned, and the options of the tuning."""
        tuning_settings = self.tuning.settings(self.head)
        fixed = {k: v for k, v in self.head.settings().items() if k not in tuning_settings["space"]}
        return fixed | {"tuned": tuning_settings}

    def describe(self) -> str:
        """What is tuned, and how, in words."""
        tuning_settings = self.tuning.settings(self.head)
        names, search = ", ".join(tuning_settings["space"]), tuning_settings["search"]
        return f"{self.head.name} ({names} by {search} in inner folds, {self.balance_in_words})"

    def settled(self, details: Mapping[str, Any]) -> Head:
        """The head with the settings that a tuning chose."""
        return _with(self.head, details["tuned"])

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Tune on ``data`` alone, then train with the best settings.

        ``details["tuned"]`` holds the chosen settings, ``details["trials"]`` every trial.

        Raises
        ------
        HeadError
            As :func:`tune`, and if there are fewer than two classes.
        """
        try:
            tuned = tune(data, self.head, self.tuning, storage=self.storage)
        except FoldError:
            tuned = Tuned({}, pd.DataFrame())
        trials = [  # an infinite loss is no JSON value
            {str(key): value if np.isfinite(value) else None for key, value in row.items()}
            for row in tuned.trials.to_dict("records")
        ]
        trained = fit_head(_with(self.head, tuned.settings), data, validation=validation)
        details = trained.details | {"tuned": tuned.settings, "trials": trials}
        return replace(trained, details=details)


def _log_loss(data: TrainingSet, sides: list[tuple[Ints, Ints]], head: Head) -> float:
    """Out-of-fold log loss; infinite where training does not converge."""
    truth = class_numbers(data.labels, classes_of(data.labels))
    weights = recording_weights(data, "weights")
    losses = np.zeros(len(truth))
    for train, test in sides:
        try:
            trained = fit_head(head, data.take(train))
        except HeadError:  # the loss grew without bound
            return float("inf")
        scores = trained.log_probabilities(data.vectors[test])
        losses[test] = -scores[np.arange(len(test)), truth[test]]
    tested = np.sort(np.concatenate([test for _, test in sides]))
    return float(np.average(losses[tested], weights=weights[tested]))


def _in_turn(space: Space, loss: Callable[[Mapping[str, float]], float]) -> list[dict[str, float]]:
    """Try all values of one setting after another; earlier settings are at their best value."""
    rows: list[dict[str, float]] = []
    at = {name: float(values[0]) for name, values in space.items()}
    for name, values in space.items():
        for value in values:
            settings = at | {name: float(value)}
            if not any(settings.items() <= row.items() for row in rows):
                rows.append(settings | {"log_loss": loss(settings)})
        best = min(rows, key=lambda row: row["log_loss"])
        at = {name: best[name] for name in at}
    return rows


def _study(storage: Path | None, name: str) -> Any:
    """Optuna's study; one of this name in the storage is resumed."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    except ImportError as error:
        raise MissingExtraError("optuna", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = None
    if storage is not None:
        storage.parent.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(str(storage), lock_obj=JournalFileOpenLock(str(storage)))
        kept = optuna.storages.JournalStorage(backend)
    return optuna.create_study(storage=kept, study_name=name, load_if_exists=True)


def _by_optuna(
    space: Space, loss: Callable[[Mapping[str, float]], float], n_trials: int, seed: int, study: Any
) -> list[dict[str, float]]:
    """Optuna's search; earlier trials of the study count."""
    import optuna

    def complete() -> list[Any]:
        return study.get_trials(states=[optuna.trial.TrialState.COMPLETE])  # type: ignore[no-any-return]

    # With the same seed, a resumed search would draw the first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(complete()))

    def objective(trial: Any) -> float:
        settings = {}
        for setting, values in space.items():
            low, high = min(values), max(values)
            by_ratio = low > 0 and high / low >= _LOG_FROM
            settings[setting] = trial.suggest_float(setting, low, high, log=by_ratio)
        return loss(settings)

    study.optimize(objective, n_trials=max(0, n_trials - len(complete())))
    return [trial.params | {"log_loss": trial.values[0]} for trial in complete()]


def _study_name(data: TrainingSet, question: Mapping[str, Any]) -> str:
    """Identifies clips, labels, groups and question."""
    digest = xxhash.xxh3_128(np.ascontiguousarray(data.vectors).tobytes())
    for names in (data.labels, data.groups, data.recordings):
        digest.update(json.dumps([str(name) for name in names]).encode())
    digest.update(json.dumps(question, default=list, sort_keys=True).encode())
    return str(digest.hexdigest()[:20])

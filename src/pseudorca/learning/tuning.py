"""Choose a head's settings in inner folds.

In: a training side, a head's name and the values to try. Out: the best settings and a table of all
trials. Only inner folds of the training side are looked at, so a tuned head may be cross-validated
like any other: :class:`TunedHead` tunes anew inside each training side. Two searches: the original
study's (one setting after another, each at the best of those before), and optuna's, which keeps its
trials in a file and goes on where it was stopped.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import xxhash

from pseudorca.errors import FoldError, HeadError, MissingExtraError, unknown_name
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head, TrainedHead, fit_head, recording_weights
from pseudorca.learning.heads.logistic import C_GRID, LogisticHead
from pseudorca.learning.heads.mean import MeanHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.recordings.folds import assign_folds

Search = Literal["grid", "optuna"]
Space = Mapping[str, Sequence[float]]

SPACES: dict[str, Space] = {
    "logistic": {"c": C_GRID},
    "softmax": {
        "learning_rate": (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1),
        "momentum": (0.90, 0.95, 0.97, 0.99),
    },
    "svm": {"c": (0.1, 1.0, 10.0, 100.0), "width": (0.03, 0.1, 0.3, 1.0)},
    "forest": {"min_leaf": (1, 3, 10), "features_share": (0.02, 0.1, 0.3)},
    "gmm": {"n_components": (1, 2, 4, 8), "n_axes": (5, 10, 20, 40)},
    "hmm": {"n_states": (1, 2, 3, 5)},
}
"""Values to try, by head; the softmax head's are the original study's."""

_LOG_FROM = 10.0  # ratio of the highest to the lowest value from which optuna searches by ratios


@dataclass(frozen=True)
class Tuned:
    """``settings``: the best; ``trials``: a row per trial, its settings and ``log_loss``."""

    settings: dict[str, float]
    trials: pd.DataFrame


def tune(
    data: TrainingSet,
    head_name: str,
    *,
    space: Space | None = None,
    fixed: Mapping[str, Any] | None = None,
    search: Search = "grid",
    n_trials: int = 30,
    n_folds: int = 3,
    seed: int = 0,
    storage: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Find the settings with the lowest log loss out of fold.

    Every recording weighs once within its class, every class the same. The folds keep whole what
    ``data.groups`` names, and are the same for all trials.

    Parameters
    ----------
    data : TrainingSet
    head_name : one of ``SPACES``
    space : mapping of setting to the values to try, or None: those of ``SPACES``
    fixed : mapping or None
        Settings that stay as they are, such as ``balance``
    search : ``grid`` or ``optuna``
        ``grid`` takes one setting after another, as the study did: all values of the first, then all
        of the second at the best first. ``optuna`` takes any values between the lowest and the
        highest (by ratios where these differ tenfold), guided by the trials so far
    n_trials : int, of optuna, those in the storage included
    n_folds : int
    seed : int
    storage : Path or None
        A file that keeps optuna's trials; the same question asked again goes on from them
    progress : callable (done, total) or None, over trials

    Returns
    -------
    Tuned

    Raises
    ------
    HeadError
        If a name or setting is unknown, there is nothing to try, or no trial gives a finite loss.
    FoldError
        If no group can be left out without emptying a class.
    MissingExtraError
        If optuna is asked for and not installed.
    """
    if head_name not in SPACES:
        raise HeadError(unknown_name("head", head_name, SPACES))
    if search not in ("grid", "optuna"):
        raise HeadError(unknown_name("search", search, ("grid", "optuna")))
    tried = dict(SPACES[head_name] if space is None else space)
    given = dict(fixed or {})
    if not tried or not all(len(values) for values in tried.values()):
        raise HeadError("nothing to try: give at least one value for each setting.")
    if both := sorted(set(tried) & set(given)):
        raise HeadError(f"{', '.join(both)} cannot be both fixed and tried.")
    for name, values in tried.items():  # bad settings are complained of before any trial
        for value in values:
            make_head(head_name, **given, **{name: value})
    if len(set(data.labels)) < 2:
        raise HeadError("only one class to learn from: need 2.")
    folds = assign_folds(data.labels, data.groups, n_folds, np.random.default_rng([seed, 1]))

    def loss(settings: Mapping[str, float]) -> float:
        return _log_loss(data, folds, head_name, {"seed": seed} | given | dict(settings))

    if search == "grid":
        rows = _in_turn(tried, loss, progress)
    else:
        question: dict[str, Any] = {"head": head_name, "fixed": given, "space": tried}
        question |= {"folds": n_folds, "seed": seed}
        rows = _by_optuna(tried, loss, n_trials, seed, storage, _name(data, question), progress)
    trials = pd.DataFrame(rows)
    best = trials.iloc[int(trials["log_loss"].to_numpy().argmin())]
    if not np.isfinite(best["log_loss"]):
        raise HeadError(
            f"no trial of {', '.join(tried)} gives a finite loss: try lower learning rates, or "
            "standardise the embeddings."
        )
    return Tuned({name: float(best[name]) for name in tried}, trials)


@dataclass(frozen=True)
class TunedHead:
    """A head whose settings are tuned inside whatever it is trained on.

    ``fixed``, ``space``, ``search``, ``n_trials``, ``n_folds``, ``seed`` and ``storage`` as in
    :func:`tune`. Where a class has too few groups for inner folds, the head's own defaults are taken.
    """

    name: ClassVar[str] = "tuned"

    head_name: str = "softmax"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    space: Space | None = None
    search: Search = "grid"
    n_trials: int = 30
    n_folds: int = 3
    seed: int = 0
    storage: Path | None = None

    def settings(self) -> dict[str, Any]:
        plain = make_head(self.head_name, **self.fixed).settings() | {"seed": self.seed}
        tried = SPACES[self.head_name] if self.space is None else self.space
        about: dict[str, Any] = {
            "search": self.search,
            "space": {name: list(values) for name, values in tried.items()},
            "n_folds": self.n_folds,
        }
        if self.search == "optuna":
            about["n_trials"] = self.n_trials
        return {key: value for key, value in plain.items() if key not in tried} | {"tuned": about}

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Tune on ``data`` alone, then train with the best settings.

        ``details["tuned"]`` holds what was chosen, ``details["trials"]`` every trial.

        Raises
        ------
        HeadError
            As :func:`tune`, and if there are fewer than two classes.
        """
        chosen: dict[str, float] = {}
        trials: list[dict[str, Any]] = []
        try:
            tuned = tune(
                data,
                self.head_name,
                space=self.space,
                fixed=self.fixed,
                search=self.search,
                n_trials=self.n_trials,
                n_folds=self.n_folds,
                seed=self.seed,
                storage=self.storage,
            )
        except FoldError:
            pass
        else:
            chosen = tuned.settings
            trials = [  # an infinite loss is no JSON value
                {str(key): value if np.isfinite(value) else None for key, value in row.items()}
                for row in tuned.trials.to_dict("records")
            ]
        head = make_head(self.head_name, **({"seed": self.seed} | dict(self.fixed) | chosen))
        if validation is not None:
            trained = head.fit(data, validation=validation)
        else:
            trained = fit_head(head, data)
        return replace(trained, details=trained.details | {"tuned": chosen, "trials": trials})


@functools.singledispatch
def settled(head: Head, details: Mapping[str, Any]) -> Head:
    """The head with the settings that its training chose, so that it can be trained without choosing.

    Parameters
    ----------
    head : Head
    details : mapping, of the trained head
    """
    return head


@settled.register
def _logistic(head: LogisticHead, details: Mapping[str, Any]) -> Head:
    return replace(head, c=details["c"])


@settled.register
def _tuned(head: TunedHead, details: Mapping[str, Any]) -> Head:
    chosen = {"seed": head.seed} | dict(head.fixed) | details["tuned"]
    return make_head(head.head_name, **chosen)


@settled.register
def _mean(head: MeanHead, details: Mapping[str, Any]) -> Head:
    members = details["members"]
    heads = head.heads if len(head.heads) > 1 else head.heads * len(members)
    return MeanHead(tuple(settled(h, d) for h, d in zip(heads, members, strict=True)))


def _log_loss(data: TrainingSet, folds: Any, head_name: str, settings: Mapping[str, Any]) -> float:
    """Out-of-fold log loss; infinite where training does not converge."""
    column = {label: k for k, label in enumerate(sorted(set(data.labels)))}
    truth = np.array([column[label] for label in data.labels])
    weights = recording_weights(data, "weights")
    tested = np.flatnonzero(folds >= 0)
    losses = np.zeros(len(truth))
    for fold in np.unique(folds[tested]):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        try:
            trained = fit_head(make_head(head_name, **settings), data.take(train))
        except HeadError:  # the loss grew without bound
            return float("inf")
        scores = trained.log_probabilities(data.vectors[test])
        losses[test] = -scores[np.arange(len(test)), truth[test]]
    return float(np.average(losses[tested], weights=weights[tested]))


def _in_turn(
    space: Space,
    loss: Callable[[Mapping[str, float]], float],
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, float]]:
    """All values of one setting after another, the settings before at their best."""
    rows: list[dict[str, float]] = []
    at = {name: float(values[0]) for name, values in space.items()}
    total = sum(len(values) for values in space.values()) - len(space) + 1
    for name, values in space.items():
        for value in values:
            settings = at | {name: float(value)}
            if any(all(row[key] == settings[key] for key in settings) for row in rows):
                continue
            rows.append(settings | {"log_loss": loss(settings)})
            if progress:
                progress(len(rows), total)
        best = min(rows, key=lambda row: row["log_loss"])
        at = {name: best[name] for name in at}
    return rows


def _by_optuna(
    space: Space,
    loss: Callable[[Mapping[str, float]], float],
    n_trials: int,
    seed: int,
    storage: Path | None,
    name: str,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, float]]:
    """Optuna's search, gone on with where the storage holds trials of the same question."""
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
    study = optuna.create_study(storage=kept, study_name=name, load_if_exists=True)
    done = [t for t in study.get_trials() if t.state == optuna.trial.TrialState.COMPLETE]
    # Another seed after a resumption, or the first trials would be drawn again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(done))

    def objective(trial: Any) -> float:
        settings = {}
        for setting, values in space.items():
            low, high = min(values), max(values)
            by_ratio = low > 0 and high / low >= _LOG_FROM
            settings[setting] = trial.suggest_float(setting, low, high, log=by_ratio)
        return loss(settings)

    for n_done in range(len(done), n_trials):
        study.optimize(objective, n_trials=1)
        if progress:
            progress(n_done + 1, n_trials)
    complete = [t for t in study.get_trials() if t.state == optuna.trial.TrialState.COMPLETE]
    return [t.params | {"log_loss": t.values[0]} for t in complete]


def _name(data: TrainingSet, question: Mapping[str, Any]) -> str:
    """The same only for the same clips, labels, groups and question."""
    digest = xxhash.xxh3_128(np.ascontiguousarray(data.vectors).tobytes())
    for names in (data.labels, data.groups, data.recordings):
        digest.update(json.dumps([str(name) for name in names]).encode())
    digest.update(json.dumps(question, default=list, sort_keys=True).encode())
    return str(digest.hexdigest()[:20])

"""Heads: small classifiers on embeddings.

In: embeddings, labels, and who belongs together. Out: a :class:`LinearHead`, which standardises an
embedding and gives a log-probability per population. Two ways to train one: regularised logistic
regression, and the original study's softmax layer trained by stochastic gradient descent. Both end
as the same few arrays, so a saved classifier runs no code.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pseudorca.errors import FoldError, HeadError, unknown_name
from pseudorca.learning.training_set import TrainingSet, Vectors
from pseudorca.recordings.folds import assign_folds

Balance = Literal["none", "sampler", "weights"]

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation strengths that inner folds choose from."""

_INNER_FOLDS = 3
_DEFAULT_C = 1e-2  # where a class has too few groups for inner folds
_TOLERANCE = 5e-5  # of the gradient: probabilities within about 1e-3
_DECREMENT = 1e-6  # of a Newton step; what is left after it is about its square
_MAX_NEWTON = 64  # dimensions, above which L-BFGS is quicker
_MAX_ROTATED = 400  # clips or dimensions, whichever are fewer
_MAX_STEPS = 30


@dataclass
class LinearHead:
    """``log softmax(W (x - mean) / scale + b)``: a trained head."""

    classes: list[str]
    mean: NDArray[np.float64]
    """[shape=(n_dimensions,)]"""
    scale: NDArray[np.float64]
    """[shape=(n_dimensions,)]"""
    weights: NDArray[np.float64]
    """[shape=(n_classes, n_dimensions)]"""
    bias: NDArray[np.float64]
    """[shape=(n_classes,)]"""
    details: dict[str, Any] = field(default_factory=dict)
    """What training chose or saw: C, the best epoch, the history of losses."""

    def log_probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Score embeddings [shape=(n, n_dimensions)].

        Returns
        -------
        ndarray [shape=(n, n_classes)], natural logarithms; each row's exponentials sum to 1

        Raises
        ------
        HeadError
            If the embeddings have another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise HeadError(
                f"embeddings of shape {vectors.shape}, this head takes (n, {len(self.mean)}): "
                "they come from another embedder."
            )
        logits = ((vectors - self.mean) / self.scale) @ self.weights.T + self.bias
        return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


class Head(Protocol):
    """A way to train a :class:`LinearHead`."""

    name: ClassVar[str]

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        """Train on ``data``; ``validation`` chooses an epoch where the head has any."""

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the training, as JSON values."""


@dataclass(frozen=True)
class LogisticHead:
    """Logistic regression on standardised embeddings, with an L2 penalty of strength 1 / C."""

    name: ClassVar[str] = "logistic"

    c: float | None = None
    """None: chosen from ``C_GRID`` by log loss in inner folds that keep groups whole."""
    balance: Balance = "weights"
    """``weights``: each class weighs the same; ``none``: as many as it has recordings."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.balance == "sampler":
            raise HeadError(
                "the logistic head sees all clips at once and draws no batches: "
                "use --balance weights or none with it, or --head softmax."
            )
        _check_balance(self.balance)
        if self.c is not None and not 0 < self.c < np.inf:
            raise HeadError(f"C = {self.c}: expected more than 0, and finite.")

    def settings(self) -> dict[str, Any]:
        return {"head": self.name} | asdict(self)

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        """Train; each recording weighs once, however many clips it gave.

        Raises
        ------
        HeadError
            If there are fewer than two classes.
        """
        classes = _classes(data.labels)
        details: dict[str, Any] = {"n_clips": len(data.labels)}
        c = self.c
        with one_blas_thread():
            if c is None:
                losses = self._inner_losses(data)
                c = min(losses, key=lambda value: losses[value]) if losses else _DEFAULT_C
                details["inner_log_loss"] = {f"{value:g}": loss for value, loss in losses.items()}
            (head,) = _logistic_path(data, (c,), self.balance, classes)
        details["c"] = c
        head.details = details
        return head

    def _inner_losses(self, data: TrainingSet) -> dict[float, float]:
        """Out-of-fold log loss for each C, every recording weighing once within its class."""
        rng = np.random.default_rng([self.seed, 1])
        try:
            folds = assign_folds(data.labels, data.groups, _INNER_FOLDS, rng)
        except FoldError:
            return {}
        classes = _classes(data.labels)
        column = {label: k for k, label in enumerate(classes)}
        truth = np.array([column[label] for label in data.labels])
        weights = recording_weights(data, "weights")
        sums, total = dict.fromkeys(C_GRID, 0.0), 0.0
        for fold in np.unique(folds[folds >= 0]):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            heads = _logistic_path(data.take(train), C_GRID, self.balance, classes)
            for c, head in zip(C_GRID, heads, strict=True):
                scores = head.log_probabilities(data.vectors[test])
                sums[c] -= float(weights[test] @ scores[np.arange(len(test)), truth[test]])
            total += float(weights[test].sum())
        return {c: loss / total for c, loss in sums.items()} if total else {}


@dataclass(frozen=True)
class SoftmaxHead:
    """The study's head: one softmax layer, stochastic gradient descent, step decay, best epoch.

    Trained on kept embeddings instead of pictures, which with a frozen network is the same.
    """

    name: ClassVar[str] = "softmax"

    learning_rate: float = 0.001
    momentum: float = 0.9
    n_epochs: int = 24
    step_epochs: int = 7
    decay: float = 0.1
    batch_size: int = 64
    balance: Balance = "none"
    """``sampler``: draw clips with replacement so that batches hold the classes equally."""
    standardise: bool = False
    """The study did not."""
    seed: int = 0

    def __post_init__(self) -> None:
        _check_balance(self.balance)
        if self.learning_rate <= 0 or not 0 <= self.momentum < 1:
            raise HeadError(
                f"learning rate {self.learning_rate}, momentum {self.momentum}: expected more than "
                "0, and 0 up to 1."
            )
        if min(self.n_epochs, self.step_epochs, self.batch_size) < 1:
            raise HeadError("epochs, decay step and batch size must be at least 1.")

    def settings(self) -> dict[str, Any]:
        return {"head": self.name} | asdict(self)

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        """Train; the epoch with the best accuracy on ``validation`` is kept, or the last if None.

        ``details["history"]`` holds a row per epoch: losses and accuracies on both sides.
        ``details["batches"]`` holds the class counts of each batch of the first epoch.

        Raises
        ------
        HeadError
            If there are fewer than two classes, or the loss is no longer finite.
        """
        classes = _classes(data.labels)
        column = {label: k for k, label in enumerate(classes)}
        mean, scale = _standardisation(data.vectors) if self.standardise else (0.0, 1.0)
        n_dimensions = data.vectors.shape[1]
        mean, scale = np.broadcast_to(mean, n_dimensions), np.broadcast_to(scale, n_dimensions)
        x = torch.from_numpy(((data.vectors - mean) / scale).astype(np.float32))
        y = torch.tensor([column[label] for label in data.labels])
        held_out = None
        if validation is not None and len(validation.labels):
            held_out = (
                torch.from_numpy(((validation.vectors - mean) / scale).astype(np.float32)),
                torch.tensor([column[label] for label in validation.labels]),
            )
        random = torch.Generator().manual_seed(self.seed)
        layer = torch.nn.Linear(n_dimensions, len(classes))
        bound = 1 / np.sqrt(n_dimensions)  # torch's own initialisation, from our generator
        for parameter in layer.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound, generator=random)
        class_weights = len(y) / (len(classes) * torch.bincount(y, minlength=len(classes)).float())
        loss_of = torch.nn.CrossEntropyLoss(class_weights if self.balance == "weights" else None)
        optimiser = torch.optim.SGD(layer.parameters(), self.learning_rate, self.momentum)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, self.step_epochs, self.decay)

        history, batches = [], []
        best_score, best = -np.inf, {}
        for epoch in range(1, self.n_epochs + 1):
            order = batch_order(y, self.balance, random)
            loss_sum = n_right = 0.0
            for rows in order.split(self.batch_size):  # type: ignore[no-untyped-call]
                if epoch == 1:
                    batches.append(torch.bincount(y[rows], minlength=len(classes)).tolist())
                logits = layer(x[rows])
                loss = loss_of(logits, y[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                loss_sum += loss.item() * len(rows)
                n_right += (logits.argmax(1) == y[rows]).sum().item()
            schedule.step()
            entry = {"epoch": epoch, "loss": loss_sum / len(y), "accuracy": n_right / len(y)}
            if not np.isfinite(entry["loss"]):
                raise HeadError(
                    f"the loss is {entry['loss']} in epoch {epoch}: lower the learning rate of "
                    f"{self.learning_rate}, or standardise the embeddings."
                )
            score = float(epoch)
            if held_out is not None:
                with torch.no_grad():
                    logits = layer(held_out[0])
                entry["validation_loss"] = loss_of(logits, held_out[1]).item()
                score = (logits.argmax(1) == held_out[1]).float().mean().item()
                entry["validation_accuracy"] = score
            history.append(entry)
            if score > best_score:
                best_score = score
                best = {name: value.clone() for name, value in layer.state_dict().items()}
                best_epoch = epoch
        details = {
            "n_clips": len(y), "best_epoch": best_epoch, "history": history, "batches": batches,
        }  # fmt: skip
        return LinearHead(
            classes,
            np.array(mean, dtype=np.float64),
            np.array(scale, dtype=np.float64),
            best["weight"].double().numpy(),
            best["bias"].double().numpy(),
            details,
        )


HEADS: dict[str, type[LogisticHead] | type[SoftmaxHead]] = {
    LogisticHead.name: LogisticHead,
    SoftmaxHead.name: SoftmaxHead,
}


def make_head(name: str, **settings: Any) -> Head:
    """Make a head by name; settings that are None take the head's own default.

    Raises
    ------
    HeadError
        If the name is unknown, or a setting does not belong to this head.
    """
    if name not in HEADS:
        raise HeadError(unknown_name("head", name, HEADS))
    given = {key: value for key, value in settings.items() if value is not None}
    known = {field.name for field in fields(HEADS[name])}
    if strange := sorted(set(given) - known):
        raise HeadError(
            f"the {name} head has no setting {', '.join(strange)}; it has {', '.join(sorted(known))}."
        )
    return HEADS[name](**given)


def batch_order(classes: torch.Tensor, balance: Balance, random: torch.Generator) -> torch.Tensor:
    """Draw the order in which clips pass in one epoch; batches are cut from it.

    Parameters
    ----------
    classes : Tensor [shape=(n_clips,)], int64, the class of each clip, every class present
    balance : str
        ``sampler`` draws with replacement so that the classes come equally often; otherwise each
        clip passes once, in random order
    random : torch Generator

    Returns
    -------
    Tensor [shape=(n_clips,)], int64, rows
    """
    if balance != "sampler":
        return torch.randperm(len(classes), generator=random)
    n_per_class = torch.bincount(classes).float()
    class_weights = len(classes) / (len(n_per_class) * n_per_class)
    return torch.multinomial(class_weights[classes], len(classes), True, generator=random)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread within: these matrices are too small for more to pay."""
    return _blas().limit(limits=1)  # type: ignore[no-any-return]


@functools.cache
def _blas() -> Any:
    """The BLAS libraries in use: looking for them takes longer than a small fit."""
    return ThreadpoolController()


def recording_weights(data: TrainingSet, balance: Balance) -> NDArray[np.float64]:
    """Weigh clips so that each recording weighs once, and with ``weights`` each class the same.

    Returns
    -------
    ndarray [shape=(n_clips,)], with mean 1
    """
    weights = _shares(data.recordings, np.ones(len(data.recordings)))
    if balance == "weights":
        weights = _shares(data.labels, weights)
    return np.asarray(weights / weights.mean())


def _shares(names: NDArray[np.object_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights scaled so that those of each name sum to 1."""
    code_of: dict[object, int] = {}
    codes = np.array([code_of.setdefault(name, len(code_of)) for name in names])
    return np.asarray(weights / np.bincount(codes, weights=weights)[codes])


def _logistic_path(
    data: TrainingSet, grid: Sequence[float], balance: Balance, classes: list[str]
) -> list[LinearHead]:
    """Fit for each C: the minimum of C times the weighted log loss plus half the squared weights.

    The same minimum as scikit-learn's ``LogisticRegression(C=c)``, whose checks and conversions
    take longer than these small fits.
    """
    column = {label: k for k, label in enumerate(classes)}
    is_class = np.eye(len(classes))[[column[label] for label in data.labels]]
    if len(classes) == 2:  # one row of coefficients, that of the second class
        is_class = is_class[:, 1:]
    mean, scale = _standardisation(data.vectors)
    standard = (data.vectors - mean) / scale
    weights = recording_weights(data, balance)
    fits = None
    if len(classes) == 2 and standard.shape[1] <= _MAX_NEWTON:
        fits = _newton(standard, is_class[:, 0], weights, grid)
    if fits is None:
        features, back = _principal_axes(standard)
        features = np.hstack([features, np.ones((len(features), 1))])
        found = np.zeros((is_class.shape[1], features.shape[1]))
        fits = []
        for c in grid:  # each from where the last ended
            found = _fit_logistic(features, is_class, weights, c, start=found)
            fits.append(np.hstack([back(found[:, :-1]), found[:, -1:]]))
    if len(classes) == 2:
        fits = [np.vstack([-found / 2, found / 2]) for found in fits]
    return [LinearHead(classes, mean, scale, f[:, :-1].copy(), f[:, -1].copy()) for f in fits]


def _newton(
    standard: NDArray[np.float64],
    is_second: NDArray[np.float64],
    weights: NDArray[np.float64],
    grid: Sequence[float],
) -> list[NDArray[np.float64]] | None:
    """Two classes and few dimensions: Newton's steps for all C at once; None if they run astray.

    Returns
    -------
    list of ndarray [shape=(1, n_dimensions + 1)], the bias last, one for each C
    """
    features = np.hstack([standard, np.ones((len(standard), 1))])
    shares = weights[:, None] / weights.sum()
    penalty = np.outer(1 / (np.array(grid) * weights.sum()), np.ones(features.shape[1]))
    penalty[:, -1] = 0.0
    found = np.zeros_like(penalty)
    diagonal = np.arange(features.shape[1])
    for _ in range(_MAX_STEPS):
        probability = scipy.special.expit(features @ found.T)
        gradient = ((probability - is_second[:, None]) * shares).T @ features + found * penalty
        curvature = (probability * (1 - probability) * shares).T
        hessian = (features.T * curvature[:, None, :]) @ features
        hessian[:, diagonal, diagonal] += penalty
        try:
            step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            return None
        found -= step
        if (gradient * step).sum(axis=1).max() < _DECREMENT:
            return list(found[:, None, :])
    return None


def _principal_axes(
    standard: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Rotate to uncorrelated axes; the second value takes coefficients back.

    An L2 penalty does not see a rotation, and directions in which no clip lies get no coefficient,
    so the solution stays the same. Embeddings vary a thousand times more along some axes than along
    others; with each axis scaled by itself the fit needs fewer steps. With many clips of many
    dimensions the rotation would cost more than it saves.
    """
    if min(standard.shape) > _MAX_ROTATED:
        return standard, lambda found: found
    if standard.shape[0] > standard.shape[1]:
        axes = np.linalg.eigh(standard.T @ standard)[1]
        return standard @ axes, lambda found: found @ axes.T
    squares, axes = np.linalg.eigh(standard @ standard.T)
    kept = squares > squares[-1] * 1e-12
    lengths, axes = np.sqrt(squares[kept]), axes[:, kept]
    return axes * lengths, lambda found: ((found / lengths) @ axes.T) @ standard


def _fit_logistic(
    features: NDArray[np.float64],
    is_class: NDArray[np.float64],
    weights: NDArray[np.float64],
    c: float,
    *,
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Any number of classes and any size: L-BFGS; the bias is free.

    Coefficients are scaled by the curvature that they have where all classes are equally probable,
    so that fewer steps are enough whatever C is.

    Parameters
    ----------
    features : ndarray [shape=(n_clips, n_axes + 1)], the last column 1
    is_class : ndarray [shape=(n_clips, n_classes)], or [shape=(n_clips, 1)] for two classes
    weights : ndarray [shape=(n_clips,)]
    c : float
    start : ndarray [shape=(n_classes or 1, n_axes + 1)], the bias last

    Returns
    -------
    ndarray, shape as ``start``
    """
    shares = weights[:, None] / weights.sum()
    penalty = np.full(features.shape[1], 1 / (c * weights.sum()))
    penalty[-1] = 0.0
    n_rows = is_class.shape[1]
    curvature = 1 / 4 if n_rows == 1 else (n_rows - 1) / n_rows**2
    scale = np.sqrt(penalty + curvature * (shares[:, 0] @ features**2))

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        found = flat.reshape(start.shape) / scale
        logits = features @ found.T
        if n_rows == 1:
            probability = scipy.special.expit(logits)
            losses = np.logaddexp(0.0, logits) - is_class * logits
        else:
            logits -= logits.max(axis=1, keepdims=True)
            probability = np.exp(logits)
            sums = probability.sum(axis=1, keepdims=True)
            probability /= sums
            losses = np.log(sums) - (is_class * logits).sum(axis=1, keepdims=True)
        pull = found * penalty
        gradient = ((probability - is_class) * shares).T @ features + pull
        loss = (shares * losses).sum() + (pull * found).sum() / 2
        return float(loss), (gradient / scale).ravel()

    result = scipy.optimize.minimize(
        objective,
        (start * scale).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": _TOLERANCE, "ftol": 0, "maxiter": 1000},
    )
    return np.asarray(result.x.reshape(start.shape) / scale)


def _standardisation(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = vectors.std(axis=0, dtype=np.float64)
    scale[scale < 1e-8] = 1.0  # a dimension that never moves says nothing
    return mean, scale


def _classes(labels: NDArray[np.object_]) -> list[str]:
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise HeadError(f"only {', '.join(classes) or 'nothing'} to learn from: need 2 classes.")
    return classes


def _check_balance(balance: str) -> None:
    if balance not in ("none", "sampler", "weights"):
        raise HeadError(unknown_name("balance", balance, ("none", "sampler", "weights")))

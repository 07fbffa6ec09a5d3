"""The training loop of the study, on kept embeddings or with a pass through the network per clip.

A frozen network gives the same embedding in every epoch, so each clip passes once. In training mode,
batch-norm layers use the statistics of the batch and move their own statistics, and dropout and
stochastic depth are random. Every clip then passes in every epoch, as in the study. The loop is the
same in both cases. A training may begin with the weights and statistics of another training.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pseudorca.backbones import Backbone
from pseudorca.errors import HeadError
from pseudorca.formats.whole import whole_file, write_text
from pseudorca.frontends.base import Picture
from pseudorca.learning.heads.softmax import SoftmaxHead, batch_order
from pseudorca.progress import Progress
from pseudorca.study.published import Scores, balanced_accuracy, scores_of
from pseudorca.study.settings import StudyOptions
from pseudorca.values import hash_of, plural

Rows = NDArray[np.int64]

_LAYER, _STATISTICS, _SCORES = "layer.", "statistics.", "scores"


class FrozenNetwork:
    """A network whose embeddings are computed once.

    Parameters
    ----------
    vectors : ndarray [shape=(n_clips, n_dimensions)], float32
    identity : str, an id of everything that determines the embeddings

    Examples
    --------
    >>> FrozenNetwork(np.eye(3, dtype=np.float32), "toy").learn(torch.tensor([2])).tolist()
    [[0.0, 0.0, 1.0]]
    """

    def __init__(self, vectors: NDArray[np.float32], identity: str) -> None:
        self.n_dimensions = vectors.shape[1]
        self.identity = identity
        self._vectors = torch.from_numpy(vectors)

    def learn(self, rows: Tensor) -> Tensor:
        """Return embeddings of a training batch [shape=(n_rows, n_dimensions)]."""
        return self._vectors[rows]

    def judge(self, rows: Tensor) -> Tensor:
        """Return embeddings of other clips [shape=(n_rows, n_dimensions)]."""
        return self._vectors[rows]

    def statistics(self) -> dict[str, Tensor]:
        """Return the statistics of the network that training has changed."""
        return {}

    def restore(self, statistics: dict[str, Tensor], seed: int) -> None:
        """Set the statistics; empty: the pretrained statistics. ``seed`` is the seed of dropout."""


class NetworkInTrainingMode(FrozenNetwork):
    """A network with frozen weights in training mode: every batch passes through it each time.

    Parameters
    ----------
    backbone : Backbone, left unchanged
    pictures : sequence of arrays [shape=(height, width, 3)], uint8, one per clip
    identity : str
    """

    def __init__(self, backbone: Backbone, pictures: Sequence[Picture], identity: str) -> None:
        self.n_dimensions = backbone.embedding_size
        self.identity = f"{identity}, training mode"
        self._backbone = copy.deepcopy(backbone)
        self._fresh = {name: value.clone() for name, value in self._backbone.named_buffers()}
        self._pictures = _stacked(pictures)

    def learn(self, rows: Tensor) -> Tensor:
        """Return embeddings of a training batch, and move the statistics."""
        return self._embed(self._pictures[rows], training=True)

    def judge(self, rows: Tensor) -> Tensor:
        """Return embeddings of other clips, with the present statistics."""
        batches = torch.split(rows, 64)
        return torch.cat([self._embed(self._pictures[b], training=False) for b in batches])

    def judge_pictures(self, pictures: Sequence[Picture]) -> Tensor:
        """Return embeddings of other pictures, with the present statistics."""
        batches = torch.split(_stacked(pictures), 64)
        return torch.cat([self._embed(batch, training=False) for batch in batches])

    def statistics(self) -> dict[str, Tensor]:
        """Return the statistics that training has changed."""
        return {
            name: value.clone()
            for name, value in self._backbone.named_buffers()
            if not torch.equal(value, self._fresh[name])
        }

    def restore(self, statistics: dict[str, Tensor], seed: int) -> None:
        """Set the statistics, the pretrained ones where none are given, and the seed of dropout."""
        torch.manual_seed(seed)
        for name, value in self._backbone.named_buffers():
            value.copy_(statistics.get(name, self._fresh[name]))

    def _embed(self, pictures: Tensor, *, training: bool) -> Tensor:
        self._backbone.network.train(training)
        with torch.no_grad():
            vectors: Tensor = self._backbone(pictures.to(self._backbone.mean.device)).cpu()
        return vectors


@dataclass(frozen=True)
class Answers:
    """The scores of a model for clips.

    ``truth`` [shape=(n,)]: number of the class. ``scores`` [shape=(n, n_classes)]: natural logarithms
    of probabilities.

    Examples
    --------
    >>> answers = Answers(np.array([0, 1]), np.log([[0.9, 0.1], [0.6, 0.4]]))
    >>> answers.confusion.tolist(), answers.balanced_accuracy
    ([[1, 0], [1, 0]], 0.5)
    """

    truth: NDArray[np.int64]
    scores: NDArray[np.float64]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [shape=(n_classes, n_classes)]; rows are the truth."""
        counts = np.zeros((self.scores.shape[1],) * 2, dtype=np.int64)
        np.add.at(counts, (self.truth, self.scores.argmax(axis=1)), 1)
        return counts

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes."""
        return balanced_accuracy(self.confusion)

    @property
    def majority(self) -> float:
        """Accuracy of a model that always answers the most frequent class."""
        return float(np.bincount(self.truth).max() / len(self.truth))

    def published(self, positive: int) -> Scores:
        """Return the scores that the study printed, with ``positive`` as the positive class."""
        return scores_of(self.confusion, positive)


@dataclass(frozen=True)
class Training(Answers):
    """One training of the study: the answers for the validation clips in its best epoch.

    ``history``: a row per epoch. ``batches``: class counts of each batch of the first epoch.
    ``layer``: ``weight`` [shape=(n_classes, n_dimensions)] and ``bias``.
    """

    key: str
    settings: dict[str, Any]
    best_epoch: int
    history: list[dict[str, float]]
    batches: list[list[int]]
    layer: dict[str, Tensor]
    statistics: dict[str, Tensor]

    @property
    def score(self) -> float:
        """The validation accuracy, by which the study chose its settings."""
        return self.history[self.best_epoch - 1]["validation_accuracy"]

    @property
    def trainings(self) -> list[dict[str, Any]]:
        """The history and the best epoch, as of the trainings of the told-straight column."""
        return [{"history": self.history, "best_epoch": self.best_epoch}]

    def log_probabilities(self, vectors: NDArray[np.float32] | Tensor) -> NDArray[np.float64]:
        """Score embeddings [shape=(n, n_dimensions)] -> [shape=(n, n_classes)]."""
        weight, bias = self.layer["weight"].double(), self.layer["bias"].double()
        logits = torch.as_tensor(vectors).double() @ weight.T + bias
        return np.asarray(torch.log_softmax(logits, dim=1).numpy())


class Result(Protocol):
    """The result of one setting, in either column."""

    @property
    def score(self) -> float:
        """The number by which the settings are chosen: the higher, the better."""

    @property
    def trainings(self) -> list[dict[str, Any]]:
        """The trainings behind the result, each with ``history`` and ``best_epoch``."""


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Tuning(Generic[R]):
    """The results of Tables 4.2 and 4.3 in one column, or the reasons why a training failed.

    Examples
    --------
    >>> tuning = Tuning("failed", {0.01: "failed"}, {0.9: "failed"}, 0.01, 0.9)
    >>> tuning.settings
    [('learning_rate', 0.01, 'failed'), ('momentum', 0.9, 'failed')]
    """

    weighted: R | str
    rates: dict[float, R | str]
    momenta: dict[float, R | str]
    """The momenta at the best rate."""
    best_rate: float
    best_momentum: float

    @property
    def settings(self) -> list[tuple[str, float, R | str]]:
        """Table 4.3: name of the setting, its value, its result."""
        return [
            *(("learning_rate", rate, result) for rate, result in self.rates.items()),
            *(("momentum", momentum, result) for momentum, result in self.momenta.items()),
        ]


def tune(
    options: StudyOptions, head: SoftmaxHead, run: Callable[[SoftmaxHead, str], R | str]
) -> Tuning[R]:
    """Compute Tables 4.2 and 4.3: the weighted sampler, the rates, the momenta at the best rate.

    Parameters
    ----------
    options : StudyOptions
    head : SoftmaxHead, with the weighted sampler
    run : callable (head, name of the setting) that returns the result, or the reason of a failure

    Returns
    -------
    Tuning

    Raises
    ------
    HeadError
        If no rate, or no momentum, could be trained.

    Examples
    --------
    >>> source, rows = FrozenNetwork(np.eye(4, dtype=np.float32), "toy"), np.arange(4)
    >>> def run(head, name):
    ...     return train(source, np.array([0, 0, 1, 1]), 2, rows, rows, head)
    >>> options = StudyOptions(rates=(1e-9, 1.0), momenta=(0.9,))
    >>> tune(options, SoftmaxHead(n_epochs=3, balance="sampler"), run).best_rate
    1.0
    """
    weighted = run(head, "Table 4.2")
    rates = {
        rate: run(replace(head, learning_rate=rate), f"rate {rate:g}") for rate in options.rates
    }
    best_rate = _best(rates)
    head = replace(head, learning_rate=best_rate)
    momenta = {
        momentum: run(replace(head, momentum=momentum), f"momentum {momentum:g}")
        for momentum in options.momenta
    }
    return Tuning(weighted, rates, momenta, best_rate, _best(momenta))


def _best(results: Mapping[float, R | str]) -> float:
    """Return the setting with the best score; of equal settings the first."""
    scores = {s: result.score for s, result in results.items() if not isinstance(result, str)}
    if not scores:
        raise HeadError(f"no setting could be trained: {next(iter(results.values()))}")
    return max(scores, key=lambda setting: scores[setting])


def train(
    source: FrozenNetwork,
    truth: NDArray[np.int64],
    n_classes: int,
    training: Rows,
    validation: Rows,
    head: SoftmaxHead,
    *,
    start: Training | None = None,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train the last layer like the study. The epoch of the best validation accuracy is kept.

    A fresh training on kept embeddings is equal to :meth:`SoftmaxHead.fit`.

    Parameters
    ----------
    source : FrozenNetwork, also in training mode
    truth : ndarray [shape=(n_clips,)], the class of each clip
    n_classes : int
    training, validation : ndarray of int, rows of clips
    head : SoftmaxHead, the settings
    start : Training or None
        Begin with the weights and statistics of this training; None: a fresh start
    kept : path or None
        Folder of trainings: a kept training is read, a new training is written
    progress : callable (done, total) or None, over epochs

    Returns
    -------
    Training

    Raises
    ------
    HeadError
        If the loss is not finite, or there are no training clips or no validation clips.

    Examples
    --------
    >>> source = FrozenNetwork(np.eye(4, dtype=np.float32), "toy")
    >>> rows = np.arange(4)
    >>> head = SoftmaxHead(n_epochs=2)
    >>> train(source, np.array([0, 0, 1, 1]), 2, rows, rows, head).scores.shape
    (4, 2)
    """
    if not len(training) or not len(validation):
        raise HeadError(
            f"{plural(len(training), 'clip')} to train on and {len(validation)} to choose the epoch "
            "by: the study's split needs some of both. Give more recordings."
        )
    began = start.key if start else "fresh"
    rows_of = {"training": training.tolist(), "validation": validation.tolist()}
    key = hash_of([source.identity, rows_of, truth.tolist(), n_classes, head.settings(), began])
    if kept is not None and (kept_training := _read(kept, key, truth[validation])) is not None:
        return kept_training
    trained = _train(
        source, truth, n_classes, training, validation, head,
        start=start, key=key, progress=progress,
    )  # fmt: skip
    if kept is not None:
        _write(kept, trained)
    return trained


def _train(
    source: FrozenNetwork,
    truth: NDArray[np.int64],
    n_classes: int,
    training: Rows,
    validation: Rows,
    head: SoftmaxHead,
    *,
    start: Training | None,
    key: str,
    progress: Progress | None,
) -> Training:
    random = torch.Generator().manual_seed(head.seed)
    layer = torch.nn.Linear(source.n_dimensions, n_classes)
    if start is None:
        bound = 1 / np.sqrt(source.n_dimensions)
        for parameter in layer.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound, generator=random)
    else:
        layer.load_state_dict(start.layer)
    source.restore(start.statistics if start else {}, head.seed)
    rows, judged = torch.from_numpy(training), torch.from_numpy(validation)
    y, y_judged = torch.from_numpy(truth[training]), torch.from_numpy(truth[validation])
    loss_of = torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(layer.parameters(), head.learning_rate, head.momentum)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, head.step_epochs, head.decay)
    present = torch.unique(y, return_inverse=True)[1]  # a class may have no clip here
    history: list[dict[str, float]] = []
    batches: list[list[int]] = []
    settings = head.settings() | {"began": start.key if start else "fresh"}
    best: Training | None = None
    for epoch in range(1, head.n_epochs + 1):
        loss_sum = n_right = 0.0
        for batch in batch_order(present, head.balance, random).split(head.batch_size):  # type: ignore[no-untyped-call]
            if epoch == 1:
                batches.append(torch.bincount(y[batch], minlength=n_classes).tolist())
            logits = layer(source.learn(rows[batch]))
            loss = loss_of(logits, y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss_sum += loss.item() * len(batch)
            n_right += (logits.argmax(1) == y[batch]).sum().item()
        schedule.step()
        if not np.isfinite(loss_sum):
            raise HeadError(
                f"the loss is {loss_sum} in epoch {epoch}: lower the learning rate of "
                f"{head.learning_rate}, or check the weights of the network."
            )
        with torch.no_grad():
            logits = layer(source.judge(judged))
        accuracy = (logits.argmax(1) == y_judged).float().mean().item()
        history.append({
            "epoch": epoch, "loss": loss_sum / len(y), "accuracy": n_right / len(y),
            "validation_loss": loss_of(logits, y_judged).item(), "validation_accuracy": accuracy,
        })  # fmt: skip
        if best is None or accuracy > best.score:
            scores = np.asarray(torch.log_softmax(logits.double(), dim=1).numpy())
            best = Training(
                truth[validation], scores, key, settings, epoch, history, batches,
                {name: value.clone() for name, value in layer.state_dict().items()},
                source.statistics(),
            )  # fmt: skip
        if progress:
            progress(epoch, head.n_epochs)
    assert best is not None
    return best


def _write(folder: Path, training: Training) -> None:
    """Write a training. The JSON is written last, so an incomplete training is not read."""
    tensors = {f"{_LAYER}{name}": value for name, value in training.layer.items()}
    tensors |= {f"{_STATISTICS}{name}": value for name, value in training.statistics.items()}
    tensors[_SCORES] = torch.from_numpy(training.scores)
    plain = {name: value.contiguous().clone() for name, value in tensors.items()}
    with whole_file(folder / f"{training.key}.safetensors") as part:
        save_file(plain, part)
    values = {
        "settings": training.settings, "best_epoch": training.best_epoch,
        "history": training.history, "batches": training.batches,
    }  # fmt: skip
    write_text([json.dumps(values)], folder / f"{training.key}.json")


def _read(folder: Path, key: str, truth: NDArray[np.int64]) -> Training | None:
    try:
        values = json.loads((folder / f"{key}.json").read_text())
        tensors = load_file(folder / f"{key}.safetensors")
    except (OSError, ValueError, SafetensorError):
        return None

    def under(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    scores = tensors[_SCORES].numpy()
    return Training(
        truth, scores, key, layer=under(_LAYER), statistics=under(_STATISTICS), **values
    )


def _stacked(pictures: Sequence[Picture]) -> Tensor:
    """Return pictures as the network takes them: colours first, and last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

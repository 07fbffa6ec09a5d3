"""The training loop of the study, on kept embeddings or with a pass through the network per clip.

A frozen network gives the same embedding in every epoch, so each clip passes once. In training mode,
batch-norm layers use the statistics of the batch and move their own statistics, and dropout and
stochastic depth are random. Every clip then passes in every epoch, as in the study. The loop is the
same in both cases. A training may begin with the weights and statistics of another training.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
from pseudorca.values import hash_of

Rows = NDArray[np.int64]

_LAYER, _STATISTICS, _SCORES = "layer.", "statistics.", "scores"


class Source(Protocol):
    """The source of the embeddings for training and for validation."""

    @property
    def identity(self) -> str:
        """An id of everything that determines the embeddings."""

    @property
    def n_dimensions(self) -> int: ...

    def learn(self, rows: Tensor) -> Tensor:
        """Return embeddings of a training batch [shape=(n_rows, n_dimensions)]."""

    def judge(self, rows: Tensor) -> Tensor:
        """Return embeddings of other clips [shape=(n_rows, n_dimensions)]."""

    def statistics(self) -> dict[str, Tensor]:
        """Return the statistics of the network that training has changed."""

    def restore(self, statistics: dict[str, Tensor], seed: int) -> None:
        """Set the statistics; empty: the pretrained statistics. ``seed`` is the seed of dropout."""


class Kept:
    """Embeddings that are computed once.

    Parameters
    ----------
    vectors : ndarray [shape=(n_clips, n_dimensions)], float32
    identity : str

    Examples
    --------
    >>> Kept(np.eye(3, dtype=np.float32), "toy").learn(torch.tensor([2])).tolist()
    [[0.0, 0.0, 1.0]]
    """

    def __init__(self, vectors: NDArray[np.float32], identity: str) -> None:
        self._vectors = torch.from_numpy(vectors)
        self.identity = identity

    @property
    def n_dimensions(self) -> int:
        return int(self._vectors.shape[1])

    def learn(self, rows: Tensor) -> Tensor:
        return self._vectors[rows]

    def judge(self, rows: Tensor) -> Tensor:
        return self._vectors[rows]

    def statistics(self) -> dict[str, Tensor]:
        return {}

    def restore(self, statistics: dict[str, Tensor], seed: int) -> None:
        pass


class Passes:
    """A network in training mode: every batch passes through the network each time.

    Parameters
    ----------
    backbone : Backbone, left unchanged
    pictures : sequence of arrays [shape=(height, width, 3)], uint8, one per clip
    identity : str
    """

    def __init__(self, backbone: Backbone, pictures: Sequence[Picture], identity: str) -> None:
        self._backbone = copy.deepcopy(backbone)
        self._fresh = {name: value.clone() for name, value in self._backbone.named_buffers()}
        stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        self._pictures = stacked.contiguous(memory_format=torch.channels_last)
        self.identity = f"{identity}, training mode"
        self.n_passes = 0

    @property
    def n_dimensions(self) -> int:
        return self._backbone.embedding_size

    def learn(self, rows: Tensor) -> Tensor:
        return self._embed(rows, training=True)

    def judge(self, rows: Tensor) -> Tensor:
        parts = torch.split(rows, 64)
        return torch.cat([self._embed(part, training=False) for part in parts])

    def judge_others(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Embed other pictures with the present statistics."""
        own_pictures = self._pictures
        self._pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        vectors = self.judge(torch.arange(len(pictures))).numpy()
        self._pictures = own_pictures
        return vectors

    def statistics(self) -> dict[str, Tensor]:
        return {
            name: value.clone()
            for name, value in self._backbone.named_buffers()
            if not torch.equal(value, self._fresh[name])
        }

    def restore(self, statistics: dict[str, Tensor], seed: int) -> None:
        torch.manual_seed(seed)
        for name, value in self._backbone.named_buffers():
            value.copy_(statistics.get(name, self._fresh[name]))

    def _embed(self, rows: Tensor, *, training: bool) -> Tensor:
        self._backbone.network.train(training)
        device = self._backbone.mean.device
        with torch.no_grad():
            vectors: Tensor = self._backbone(self._pictures[rows].to(device)).cpu()
        self.n_passes += len(rows)
        return vectors


@dataclass(frozen=True)
class Training:
    """The result of one training of the study, from its best epoch on the validation side.

    ``layer``: ``weight`` [shape=(n_classes, n_dimensions)] and ``bias``. ``scores``: natural
    logarithms of probabilities of the validation clips [shape=(n_validation, n_classes)].
    ``history``: a row per epoch. ``batches``: class counts of each batch of the first epoch.
    """

    key: str
    settings: dict[str, Any]
    best_epoch: int
    history: list[dict[str, float]]
    batches: list[list[int]]
    scores: NDArray[np.float64]
    layer: dict[str, Tensor]
    statistics: dict[str, Tensor]

    def log_probabilities(self, vectors: NDArray[np.float32] | Tensor) -> NDArray[np.float64]:
        """Score embeddings [shape=(n, n_dimensions)] -> [shape=(n, n_classes)]."""
        weight, bias = self.layer["weight"].double(), self.layer["bias"].double()
        logits = torch.as_tensor(vectors).double() @ weight.T + bias
        return np.asarray(torch.log_softmax(logits, dim=1).numpy())


def train(
    source: Source,
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
    source : Source
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
    >>> source = Kept(np.eye(4, dtype=np.float32), "toy")
    >>> rows = np.arange(4)
    >>> head = SoftmaxHead(n_epochs=2)
    >>> train(source, np.array([0, 0, 1, 1]), 2, rows, rows, head).scores.shape
    (4, 2)
    """
    if not len(training) or not len(validation):
        raise HeadError(
            f"{len(training)} clips to train on and {len(validation)} to choose the epoch by: the "
            "study's split needs some of both. Give more recordings."
        )
    began = start.key if start else "fresh"
    rows_of = {"training": training.tolist(), "validation": validation.tolist()}
    key = hash_of([source.identity, rows_of, truth.tolist(), n_classes, head.settings(), began])
    if kept is not None and (kept_training := _read(kept, key)) is not None:
        return kept_training
    trained = _train(
        source, truth, n_classes, training, validation, head,
        start=start, key=key, progress=progress,
    )  # fmt: skip
    if kept is not None:
        _write(kept, trained)
    return trained


def _train(
    source: Source,
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
    best: dict[str, Any] = {"accuracy": -1.0}
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
        if accuracy > best["accuracy"]:
            best = {
                "accuracy": accuracy,
                "epoch": epoch,
                "layer": {name: value.clone() for name, value in layer.state_dict().items()},
                "statistics": source.statistics(),
                "scores": np.asarray(torch.log_softmax(logits.double(), dim=1).numpy()),
            }
        if progress:
            progress(epoch, head.n_epochs)
    settings = head.settings() | {"began": start.key if start else "fresh"}
    return Training(
        key, settings, best["epoch"], history, batches, best["scores"], best["layer"],
        best["statistics"],
    )  # fmt: skip


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


def _read(folder: Path, key: str) -> Training | None:
    try:
        values = json.loads((folder / f"{key}.json").read_text())
        tensors = load_file(folder / f"{key}.safetensors")
    except (OSError, ValueError, SafetensorError):
        return None

    def under(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    return Training(
        key,
        values["settings"],
        values["best_epoch"],
        values["history"],
        values["batches"],
        tensors[_SCORES].numpy(),
        under(_LAYER),
        under(_STATISTICS),
    )

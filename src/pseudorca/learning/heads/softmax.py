"""The original study's head: a softmax layer trained by stochastic gradient descent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import (
    Balance,
    Head,
    LinearHead,
    Space,
    check_settings,
    class_numbers,
    classes_of,
    is_count,
    is_positive,
    standardisation,
)
from pseudorca.values import plural

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SoftmaxHead(Head):
    """The study's head: one softmax layer, stochastic gradient descent, step decay, best epoch.

    The head trains on stored embeddings instead of pictures; with a frozen network the result is
    the same.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> SoftmaxHead(n_epochs=2).fit(data).details["n_clips"]
    4
    """

    name: ClassVar[str] = "softmax"
    counts_clips: ClassVar[bool] = True
    draws_batches: ClassVar[bool] = True
    space: ClassVar[Space] = {
        "learning_rate": (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1),
        "momentum": (0.90, 0.95, 0.97, 0.99),
    }
    """The original study's values."""

    learning_rate: float = 0.001
    momentum: float = 0.9
    n_epochs: int = 24
    step_epochs: int = 7
    decay: float = 0.1
    batch_size: int = 64
    balance: Balance = "none"
    """``sampler``: draw clips with replacement so that batches hold the classes equally."""
    standardise: bool = False
    """Whether to standardise embeddings; the study did not."""
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self, ("learning_rate",), is_positive, "more than 0, and finite")
        check_settings(self, ("momentum",), lambda x: 0 <= x < 1, "from 0 up to 1")
        check_settings(self, ("n_epochs", "step_epochs", "batch_size"), is_count, "at least 1")

    @property
    def chooses_epoch(self) -> bool:
        """True: the epoch with the best accuracy on the validation side is kept."""
        return True

    def describe(self) -> str:
        """How the head is trained, in words."""
        return (
            f"softmax by SGD (learning rate {self.learning_rate:g}, momentum {self.momentum:g}, "
            f"{plural(self.n_epochs, 'epoch')}, {self.balance_in_words})"
        )

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        """Train; the epoch with the best accuracy on ``validation`` is kept, or the last if None.

        ``details["history"]`` holds a row per epoch: losses and accuracies on both sides.
        ``details["batches"]`` holds the class counts of each batch of the first epoch.

        Raises
        ------
        HeadError
            If there are fewer than two classes, or the loss is no longer finite.
        """
        import torch

        classes = classes_of(data.labels)
        n_dimensions = data.vectors.shape[1]
        mean, scale = np.zeros(n_dimensions), np.ones(n_dimensions)
        if self.standardise:
            mean, scale = standardisation(data)

        def tensors(side: TrainingSet) -> tuple[torch.Tensor, torch.Tensor]:
            standard = ((side.vectors - mean) / scale).astype(np.float32)
            return torch.from_numpy(standard), torch.from_numpy(class_numbers(side.labels, classes))

        x, y = tensors(data)
        held_out = (
            tensors(validation) if validation is not None and len(validation.labels) else None
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
            mean,
            scale,
            best["weight"].double().numpy(),
            best["bias"].double().numpy(),
            details=details,
        )


def batch_order(
    classes: "torch.Tensor", balance: Balance, random: "torch.Generator"
) -> "torch.Tensor":
    """Draw the order of the clips in one epoch; batches are cut from this order.

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

    Examples
    --------
    >>> import torch
    >>> rows = batch_order(torch.tensor([0, 0, 1]), "none", torch.Generator().manual_seed(0))
    >>> sorted(rows.tolist())
    [0, 1, 2]
    """
    import torch

    if balance != "sampler":
        return torch.randperm(len(classes), generator=random)
    n_per_class = torch.bincount(classes).float()
    class_weights = len(classes) / (len(n_per_class) * n_per_class)
    return torch.multinomial(class_weights[classes], len(classes), True, generator=random)

"""The training loop: epochs over the clips of one training side, with a checkpoint after each.

In: a network, network inputs, and settings. Out: a file with the tensors of the best epoch and the
history. Lightning handles devices (CPU, one or several GPUs, mixed precision). Random numbers depend
on seed, epoch and batch, so that a killed and resumed training ends, on a CPU, in the same numbers to
the last bit.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pseudorca.embedding.drawing import cores_given_back
from pseudorca.embedding.network_inputs import ClipInputs
from pseudorca.errors import HeadError, MissingExtraError
from pseudorca.learning.dataset import Floats, Ints, Names
from pseudorca.learning.heads.finetuned.changes import change, draw_changes, mix_targets
from pseudorca.learning.heads.finetuned.tuned_network import State, TunedNetwork, shapes_apart

if TYPE_CHECKING:
    from pseudorca.learning.heads.finetuned.head import FineTunedHead


_CHECKPOINT, _DONE = "checkpoint.pt", "done.pt"
_TOGETHER = 64  # clips per batch outside training
_ORDER, _CHANGES = 1, 2  # streams of random numbers

_ONE_AT_A_TIME = threading.Lock()
"""Held by a training that uses more than one core."""


@dataclass(frozen=True)
class Side:
    """Clips of the training, or of the validation that chooses the epoch.

    ``rows``: places in the inputs; ``classes``: numbers of the classes; ``weights``: of the clips,
    with mean 1. Each [shape=(n_clips,)].

    Examples
    --------
    >>> Side(np.arange(2), np.array([0, 1]), np.ones(2)).classes.tolist()
    [0, 1]
    """

    rows: Ints
    classes: Ints
    weights: Floats


@dataclass(frozen=True)
class Job:
    """Everything that a process needs for a training."""

    settings: "FineTunedHead"
    inputs: ClipInputs
    groups: Names
    """Of all clips [shape=(n_inputs,)]: backgrounds come from other groups."""
    n_classes: int
    training: Side
    validation: Side | None
    n_epochs: int
    """Epochs to train; the schedule of the rate covers the epochs of the settings."""
    folder: Path


@dataclass
class Course:
    """The progress of a training; the checkpoint holds it beside network and optimiser.

    Examples
    --------
    >>> Course([], {}, 0, math.inf).best_epoch
    0
    """

    history: list[dict[str, float]]
    best: State
    best_epoch: int
    best_loss: float


def train(job: Job, network: TunedNetwork) -> Course:
    """Train a network, resume a training, or read the result of a finished training.

    Parameters
    ----------
    job : Job
    network : TunedNetwork, as training begins; its state after the call is undefined

    Returns
    -------
    Course
        Epoch 0 is the network before training; without ``validation`` the last epoch is the best.

    Raises
    ------
    MissingExtraError
        If Lightning is not installed.
    HeadError
        If the loss is no longer finite.
    """
    done = job.folder / _DONE
    if not done.exists():
        job.folder.mkdir(parents=True, exist_ok=True)
        fabric = _fabric(job.settings)
        alone = fabric.device.type == "cpu" and fabric.world_size == 1
        with _one_core() if alone else _ONE_AT_A_TIME:
            fabric.launch(partial(_run, job=job), network)
        (job.folder / _CHECKPOINT).unlink(missing_ok=True)
    return Course(**torch.load(done, weights_only=True))


def embed_rows(
    network: torch.nn.Module, inputs: ClipInputs, rows: Ints, device: str | torch.device
) -> Tensor:
    """Run a network over clips of any shapes, in batches of one shape.

    Parameters
    ----------
    network : Module
    inputs : ClipInputs
    rows : ndarray [shape=(n,)], rows of ``inputs``
    device : str or device

    Returns
    -------
    Tensor [shape=(n, ...)], float32, on the CPU
    """
    output_of: dict[int, Tensor] = {}
    with torch.inference_mode():
        for of_shape in shapes_apart(inputs.shapes, rows):
            for start in range(0, len(of_shape), _TOGETHER):
                batch = of_shape[start : start + _TOGETHER]
                outputs = network(_in_network_memory(inputs.batch(batch).to(device))).float().cpu()
                output_of |= zip(batch.tolist(), outputs, strict=True)
    return torch.stack([output_of[row] for row in rows.tolist()])


def batches(job: Job, epoch: int) -> list[Ints]:
    """Deal the clips of the training side into batches.

    Clips of one shape are dealt into batches of nearly equal size. With ``balance="sampler"``, clips
    are drawn with replacement, so that the classes come equally often.

    Parameters
    ----------
    job : Job
    epoch : int

    Returns
    -------
    list of ndarray, places in ``job.training``
    """
    rng = np.random.default_rng([job.settings.seed, epoch, _ORDER])
    side = job.training
    order = rng.permutation(len(side.rows))
    if job.settings.balance == "sampler":
        shares = 1.0 / np.bincount(side.classes, minlength=job.n_classes)[side.classes]
        order = rng.choice(len(side.rows), len(side.rows), p=shares / shares.sum())
    dealt: list[Ints] = []
    shapes = tuple(job.inputs.shapes[row] for row in side.rows)
    for places in shapes_apart(shapes, order):
        dealt += np.array_split(places, math.ceil(len(places) / job.settings.batch_size))
    return [dealt[k] for k in rng.permutation(len(dealt))]


def rate_factor(settings: "FineTunedHead", passed: float) -> float:
    """The share of the learning rate at a point of the training: warm-up, then cosine.

    Parameters
    ----------
    settings : FineTunedHead
    passed : float, share of all epochs that have passed, 0 to 1

    Returns
    -------
    float, 0 to 1

    References
    ----------
    .. [1] Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", ICLR.

    Examples
    --------
    >>> from pseudorca.learning.heads.finetuned.head import FineTunedHead
    >>> rate_factor(FineTunedHead(warm_up=0.1), 0.1)
    1.0
    """
    if passed < settings.warm_up:
        return passed / settings.warm_up
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (passed - settings.warm_up) / (1 - settings.warm_up)))


def loss_per_clip(logits: Tensor, targets: Tensor, settings: "FineTunedHead") -> Tensor:
    """Cross-entropy, or focal loss, of each clip [shape=(n,)].

    The focal loss weighs each class's term by ``(1 - p) ** focal_gamma``.

    Parameters
    ----------
    logits : Tensor [shape=(n, n_classes)]
    targets : Tensor [shape=(n, n_classes)], probabilities
    settings : FineTunedHead

    Returns
    -------
    Tensor [shape=(n,)]

    References
    ----------
    .. [1] Lin et al. 2017, "Focal loss for dense object detection", ICCV.

    Examples
    --------
    >>> from pseudorca.learning.heads.finetuned.head import FineTunedHead
    >>> loss_per_clip(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), FineTunedHead()).round(decimals=3)
    tensor([0.6930])
    """
    smooth = settings.label_smoothing
    smoothed = (1 - smooth) * targets + smooth / targets.shape[1]
    log_p = torch.log_softmax(logits, 1)
    terms = -smoothed * log_p
    if settings.loss == "focal":
        terms = terms * (1 - log_p.exp()) ** settings.focal_gamma
    return terms.sum(1)


def _fabric(settings: "FineTunedHead") -> Any:
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        raise MissingExtraError("lightning", "finetune") from error
    on_gpu = settings.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    mixed = settings.precision == "mixed" or (settings.precision == "auto" and on_gpu)
    has_bfloat = not on_gpu or torch.cuda.is_bf16_supported()
    return Fabric(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy="ddp_spawn" if settings.devices > 1 else "auto",
        precision=("bf16-mixed" if has_bfloat else "16-mixed") if mixed else "32-true",
    )


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep a training to the core of its thread: others run beside it."""
    with cores_given_back():
        torch.set_num_threads(1)
        yield


def _run(fabric: Any, network: TunedNetwork, job: Job) -> None:
    """Train in this process, one of ``fabric.world_size``; the first process writes the files."""
    settings = job.settings
    start = network.learned()
    optimiser = _optimiser(network, settings)
    model, optimiser = fabric.setup(network, optimiser)
    course = Course([], start, 0, math.inf)
    checkpoint = job.folder / _CHECKPOINT
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_learned(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        course = Course(**saved["course"])
    elif job.validation is not None:
        course.best_loss = _judge(model, job, job.validation, fabric.device)["validation_loss"]
    for epoch in range(len(course.history) + 1, job.n_epochs + 1):
        waited = epoch - 1 - course.best_epoch
        if job.validation is not None and 0 < settings.patience <= waited:
            break
        entry = {"epoch": float(epoch)} | _epoch(fabric, model, optimiser, job, epoch)
        if not math.isfinite(entry["loss"]):
            raise HeadError(
                f"the loss is {entry['loss']} in epoch {epoch}: lower the learning rate of "
                f"{settings.learning_rate:g}."
            )
        if job.validation is not None:
            entry |= _judge(model, job, job.validation, fabric.device)
            entry = fabric.broadcast(entry)  # all processes stop together
        course.history.append(entry)
        loss = entry.get("validation_loss", -math.inf)
        if loss < course.best_loss or job.validation is None:
            course.best, course.best_epoch, course.best_loss = network.learned(), epoch, loss
        state = {"network": network.learned(), "optimiser": optimiser.state_dict()}
        fabric.barrier()  # all processes have read the checkpoint before it is replaced
        if fabric.is_global_zero:
            _write(state | {"course": vars(course)}, checkpoint)
    if fabric.is_global_zero:
        _write(vars(course), job.folder / _DONE)
    fabric.barrier()


def _epoch(fabric: Any, model: Any, optimiser: Any, job: Job, epoch: int) -> dict[str, float]:
    """Pass all clips once -> mean loss, and the share that was named rightly."""
    settings = job.settings
    model.train()
    own_part = slice(fabric.global_rank, None, fabric.world_size)
    dealt = batches(job, epoch)
    sums = torch.zeros(3, dtype=torch.float64)
    for number, places in enumerate(dealt):
        passed = (epoch - 1 + (number + 1) / len(dealt)) / settings.n_epochs
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * rate_factor(settings, passed)
        rng = np.random.default_rng([settings.seed, epoch, _CHANGES, number])
        inputs, targets = _changed(job, places, own_part, rng, fabric.device)
        kept = _dropout(settings.dropout, (len(places), len(model.mean)), rng)
        logits = model(inputs, None if kept is None else kept[own_part].to(fabric.device))
        weights = torch.from_numpy(job.training.weights[places[own_part]]).to(targets)
        losses = loss_per_clip(logits.float(), targets, settings) * weights
        # Gradients are averaged over the processes, each of which has its part of the batch.
        fabric.backward(losses.sum() * fabric.world_size / len(places))
        if settings.gradient_norm:
            fabric.clip_gradients(
                model, optimiser, max_norm=settings.gradient_norm, error_if_nonfinite=False
            )
        optimiser.step()
        optimiser.zero_grad()
        n_right = (logits.argmax(1) == targets.argmax(1)).sum().item()
        sums += torch.tensor([losses.sum().item(), n_right, len(targets)], dtype=torch.float64)
    loss, right, n_seen = fabric.all_reduce(sums.float(), reduce_op="sum").tolist()
    return {"loss": loss / n_seen, "accuracy": right / n_seen}


def _changed(
    job: Job, places: Ints, own_part: slice, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A process's part of a batch, changed at random -> network inputs, probabilities of classes."""
    settings, side, inputs = job.settings, job.training, job.inputs
    rows = side.rows[places]
    pool = side.rows[[inputs.shapes[row] == inputs.shapes[rows[0]] for row in side.rows]]
    changes = draw_changes(settings, rows, pool, job.groups, rng).take(own_part)
    class_of = dict(zip(side.rows.tolist(), side.classes.tolist(), strict=True))

    def targets_of(of_rows: Ints) -> Tensor:
        classes = torch.tensor([class_of[row] for row in of_rows.tolist()], device=device)
        return torch.nn.functional.one_hot(classes, job.n_classes).float()

    targets = targets_of(rows[own_part])
    partners = behind = None
    if settings.mix_up:
        partners = inputs.batch(changes.partner).to(device)
        targets = mix_targets(targets, targets_of(changes.partner), changes)
    if settings.background:
        behind = inputs.batch(changes.behind).to(device)
    own = inputs.batch(rows[own_part]).to(device)
    return _in_network_memory(
        change(own, partners, behind, changes, is_grey=inputs.is_grey)
    ), targets


def _dropout(share: float, shape: tuple[int, int], rng: np.random.Generator) -> Tensor | None:
    """Factors of dropout for the embeddings of a batch; None: no dropout."""
    if not share:
        return None
    kept = rng.random(shape, dtype=np.float32) >= share
    return torch.from_numpy(kept / np.float32(1 - share))


def _judge(model: Any, job: Job, side: Side, device: torch.device) -> dict[str, float]:
    """Weighted log loss and accuracy on the validation clips."""
    model.eval()
    log_p = torch.log_softmax(embed_rows(model, job.inputs, side.rows, device), 1).numpy()
    losses = -log_p[np.arange(len(log_p)), side.classes]
    return {
        "validation_loss": float(np.average(losses, weights=side.weights)),
        "validation_accuracy": float((log_p.argmax(1) == side.classes).mean()),
    }


def _optimiser(network: TunedNetwork, settings: "FineTunedHead") -> torch.optim.Optimizer:
    rates = network.rates(settings.learning_rate, settings.layer_decay, settings.head_rate)
    groups = []
    for name, rate in rates.items():
        parameter = network.get_parameter(name)
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0  # norms and biases have none
        groups.append({"params": [parameter], "lr": rate, "rate": rate, "weight_decay": decay})
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum)
    return torch.optim.AdamW(groups, foreach=False)


def _in_network_memory(inputs: Tensor) -> Tensor:
    """Pictures with the colours last in memory: convolutions are faster so."""
    if inputs.dtype != torch.uint8:
        # A copy in torch's own memory: the last digit depends on the alignment.
        return inputs.clone()
    return inputs.contiguous(memory_format=torch.channels_last)


def _write(values: dict[str, Any], path: Path) -> None:
    """Write a file that is either whole or absent."""
    partial = path.with_suffix(".partial")
    torch.save(values, partial)
    partial.replace(path)

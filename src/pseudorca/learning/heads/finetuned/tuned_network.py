"""A pretrained network and a linear layer as one network that learns.

In: a backbone, and a head trained on its frozen embeddings. Out: :class:`TunedNetwork`. Its
parameters are grouped in stages, so that only the last stages learn, or earlier ones more slowly.
"""

import copy
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pseudorca.backbones import Backbone
from pseudorca.errors import BackboneError, HeadError
from pseudorca.learning.heads.base import Arrays, LinearHead

State = dict[str, Tensor]

_RANDOM = threading.Lock()  # torch's own generator is shared by all threads
_TOKEN_SPREAD = 0.02


class TunedNetwork(nn.Module):
    """A backbone, standardisation, dropout and a linear layer.

    Parameters
    ----------
    backbone : Backbone, on the CPU; a copy is made
    head : LinearHead, the start of the last layer
    stages : ``all``, ``none``, or the number of last stages that learn
    learns_statistics : bool, whether the statistics of batch normalisation follow the batches
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, backbone: Backbone, head: LinearHead, *, stages: str | int, learns_statistics: bool
    ) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.learns_statistics = learns_statistics
        self.register_buffer("mean", torch.from_numpy(head.mean).float())
        self.register_buffer("scale", torch.from_numpy(head.scale).float())
        self.linear = nn.Linear(len(head.mean), len(head.classes))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(head.weights))
            self.linear.bias.copy_(torch.from_numpy(head.bias))
        self.stages = stages_of(self.backbone.network)
        self.n_learning = _n_learning(stages, len(self.stages), backbone.name)
        parameters = dict(self.backbone.network.named_parameters())
        if not parameters and stages != "none":
            raise BackboneError(
                f"{backbone.name} has nothing that could learn: it does not run in torch. Fine-tune "
                "another backbone, or train a head on its embeddings."
            )
        for names in self.stages[len(self.stages) - self.n_learning :]:
            for name in names:
                parameters[name].requires_grad_(True)

    def train(self, mode: bool = True) -> "TunedNetwork":
        """Switch batch normalisation to training, if its statistics learn; no other layer changes."""
        super().train(mode)
        if self.learns_statistics:
            for layer in self.backbone.modules():
                if isinstance(layer, _BatchNorm):
                    layer.train(mode)
        return self

    def forward(self, inputs: Tensor, kept: Tensor | None = None) -> Tensor:
        """Logits [shape=(n, n_classes)] of network inputs.

        ``kept`` [shape=(n, embedding_size)]: factors of dropout, or None.
        """
        standard = (self.backbone(inputs) - self.mean) / self.scale
        logits: Tensor = self.linear(standard if kept is None else standard * kept)
        return logits

    def rates(self, learning_rate: float, layer_decay: float, head_rate: float) -> dict[str, float]:
        """Learning rate of each parameter; each earlier stage has ``layer_decay`` times the rate."""
        rates = {f"linear.{name}": head_rate for name, _ in self.linear.named_parameters()}
        for depth, names in enumerate(reversed(self.stages[len(self.stages) - self.n_learning :])):
            rates |= {f"backbone.network.{n}": learning_rate * layer_decay**depth for n in names}
        return rates

    def learned(self) -> State:
        """Copies of all tensors that training can change, on the CPU."""
        state: State = {n: value for n, value in self.named_parameters() if value.requires_grad}
        if self.learns_statistics:
            statistics = ("running_mean", "running_var", "num_batches_tracked")
            state |= {
                name: value
                for name, value in self.backbone.named_buffers(prefix="backbone")
                if name.rpartition(".")[2] in statistics
            }
        return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}

    def load_learned(self, state: State) -> None:
        """Load the tensors of :meth:`learned`."""
        self.load_state_dict(state, strict=False)

    def linear_arrays(self) -> Arrays:
        """The arrays of the last layer, as those of a :class:`LinearHead` on the embeddings."""
        tensors = {
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.linear.weight,
            "bias": self.linear.bias,
        }
        return {
            name: np.array(values.detach().cpu().double().numpy())
            for name, values in tensors.items()
        }


def blend(start: State, end: State, share: float) -> State:
    """Interpolate between two states; integer tensors are taken from the end.

    Parameters
    ----------
    start, end : dict from name to Tensor
    share : float, 0: the start; 1: the end

    Returns
    -------
    dict from name to Tensor

    References
    ----------
    .. [1] Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", CVPR.

    Examples
    --------
    >>> blend({"w": torch.zeros(1)}, {"w": torch.ones(1)}, 0.25)["w"].item()
    0.25
    """
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in end.items()
    }


def stages_of(network: nn.Module) -> list[list[str]]:
    """Names of a network's parameters, in stages from its input to its output.

    A stage is a block of a stack of blocks, or a layer outside a stack. Parameters that belong to no
    layer (a class token) are the first stage.

    Parameters
    ----------
    network : Module

    Returns
    -------
    list of list of str

    Examples
    --------
    >>> stages_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)))
    [['0.weight', '0.bias'], ['1.weight', '1.bias']]
    """
    prefixes = _blocks(network, "", is_root=True)
    stages: list[list[str]] = [[] for _ in prefixes]
    loose: list[str] = []
    for name, _ in network.named_parameters():
        in_stage = [k for k, prefix in enumerate(prefixes) if name.startswith(f"{prefix}.")]
        (stages[in_stage[0]] if in_stage else loose).append(name)
    return [names for names in (loose, *stages) if names]


def _blocks(module: nn.Module, prefix: str, *, is_root: bool = False) -> list[str]:
    children = [
        (f"{prefix}.{name}" if prefix else name, child)
        for name, child in module.named_children()
        if any(True for _ in child.parameters())
    ]
    holds_a_stack = _is_stack(module) or any(_is_stack(child) for _, child in children)
    if not children or not (is_root or holds_a_stack):
        return [prefix]
    is_root = is_root and len(children) == 1
    return [block for name, child in children for block in _blocks(child, name, is_root=is_root)]


def _is_stack(module: nn.Module) -> bool:
    """Whether a module is a list of two or more blocks, each more than a few plain layers in a row."""
    children = dict(module.named_children())
    blocks = [child for child in children.values() if _is_block(child)]
    return len(blocks) >= 2 and all(name[-1].isdecimal() for name in children)


def _is_block(module: nn.Module) -> bool:
    children = list(module.children())
    is_row = isinstance(module, nn.Sequential) and not any(
        list(child.children()) for child in children
    )
    return bool(children) and not is_row


def _n_learning(stages: str | int, n_stages: int, name: str) -> int:
    if stages == "all":
        return n_stages
    if stages == "none":
        return 0
    if not isinstance(stages, int) or not 0 <= stages <= n_stages:
        raise HeadError(
            f"stages {stages!r}: {name} has {n_stages}. Give all, none, or the number of last stages."
        )
    return stages


def begun_anew(backbone: Backbone, seed: int) -> Backbone:
    """Copy a backbone with random weights, as its layers initialise them.

    Parameters
    ----------
    backbone : Backbone
    seed : int

    Returns
    -------
    Backbone
    """
    fresh = copy.deepcopy(backbone)
    with _RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.network.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                nn.init.trunc_normal_(parameter, std=_TOKEN_SPREAD)
    return fresh


def has_batch_norm(backbone: nn.Module) -> bool:
    """Whether a backbone has a layer of batch normalisation.

    Parameters
    ----------
    backbone : Module

    Returns
    -------
    bool

    Examples
    --------
    >>> has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    True
    """
    return any(isinstance(module, _BatchNorm) for module in backbone.modules())


def shapes_apart(shapes: Sequence[tuple[int, ...]], rows: Any) -> list[Any]:
    """Group rows by shape, since a batch holds clips of one shape.

    Parameters
    ----------
    shapes : sequence of tuple of int, of all clips
    rows : sequence of int

    Returns
    -------
    list of ndarray, in the order in which the shapes first appear

    Examples
    --------
    >>> [rows.tolist() for rows in shapes_apart([(1, 2), (1, 3), (1, 2)], [0, 1, 2])]
    [[0, 2], [1]]
    """
    kinds = {shapes[row]: None for row in rows}
    return [np.array([row for row in rows if shapes[row] == kind]) for kind in kinds]

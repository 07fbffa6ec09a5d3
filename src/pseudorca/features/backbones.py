"""The registry of pretrained networks: uint8 pictures in, embeddings out.

A backbone is a pretrained network without its classifier, cut before its last layer or after an
earlier one. Its weights come from torchvision's own download, from a local file, or with the
package; a description and the tensors rebuild it.
"""

import copy
import hashlib
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from pseudorca.errors import BackboneError, unknown_name
from pseudorca.features import small_network

StateDict = Mapping[str, Tensor]
InputSize = int | tuple[int, int | None]
"""Pixels of a square picture, or its height and width; a width of None stands for any."""
# Names that older files, the official downloads among them, give to tensors of today's networks.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
# Counters, and constants that tracing adds to a cut network: in state dicts, without being weights.
_NOT_WEIGHTS = re.compile(r"num_batches_tracked$|_tensor_constant\d+$")
_torch_load = partial(torch.load, map_location="cpu", weights_only=True)  # runs no code of the file
_READERS: dict[str, Callable[[Path], Any]]
_READERS = {".safetensors": load_file, ".pt": _torch_load, ".pth": _torch_load}


@dataclass(frozen=True, kw_only=True)
class OfficialWeights:
    """One published set of weights, and the pictures it was trained on."""

    name: str
    url: str
    licence: str
    input_size: InputSize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str | None = None
    """Of a file that comes with the package."""


@dataclass(frozen=True, kw_only=True)
class BackboneInfo:
    """What is known of a network before it is built; figures are those of its default weights."""

    name: str
    input_size: InputSize
    licence: str
    source: str
    n_parameters: int | None
    weights: tuple[OfficialWeights, ...]  # the default first; empty where there is no download
    front_end_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the common front end that the network was trained with."""
    version: int = 1
    """Of a network's code in this package: another gives other embeddings from the same weights."""


@dataclass(frozen=True, kw_only=True)
class _Spec:
    """A registry entry. Another kind of network is another entry with functions of its own."""

    info: BackboneInfo
    local: OfficialWeights  # what a local file is taken for, unless it has an official file's name
    build: Callable[[InputSize], nn.Module]  # input size -> the whole network
    fetch: Callable[[OfficialWeights], StateDict] = lambda known: {}
    sized_by: Callable[[StateDict], int | None] = lambda state: None  # input size told by tensors
    unused: tuple[str, ...] = ()  # prefixes of tensors that served training only
    has_layers: bool = True  # can be cut after an earlier layer


class Backbone(nn.Module):
    """A frozen pretrained network without its classifier; made by :func:`load_backbone`.

    Its attributes are those of :meth:`description`: ``name``, ``layer``, ``input_size`` (pixels,
    see :attr:`input_shape`), ``embedding_size``, ``weights_hash``, ``weights_source``, ``licence``,
    ``source``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.name: str = description["name"]
        self.version: int = description["version"]
        self.layer: str | None = description["layer"]
        self.input_size: InputSize = _input_size(description["input_size"])
        self.embedding_size: int = description["embedding_size"]
        self.pooled_axes: list[int] = list(description["pooled_axes"])
        self.weights_source: str = description["weights_source"]
        self.licence: str = description["licence"]
        self.source: str = description["source"]
        self._normalisation = {key: list(description[key]) for key in ("mean", "std")}
        for key, values in self._normalisation.items():
            self.register_buffer(key, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    @property
    def input_shape(self) -> tuple[int, int | None]:
        """Height and width of the pictures that the network takes; a width of None is any."""
        return _shape(self.input_size)

    @property
    def weights_hash(self) -> str:
        """SHA-256 over the tensors in use, as they are now: names, types, shapes and bytes."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            if not _NOT_WEIGHTS.search(name):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever is asked.

        A training loop asks every module. Statistics of a few clips of one recorder would then
        replace those of the pretrained network, and an embedding would depend on its neighbours in
        the batch. Gradients need no training mode.
        """
        return super().train(False)

    def normalise(self, pictures: Tensor) -> Tensor:
        """Scale uint8 pictures [shape=(n, 3, height, width)] as the weights' authors did."""
        height, width = self.input_shape
        got = tuple(pictures.shape)
        expected = (len(pictures), 3, height, width if width is not None else got[-1])
        if pictures.dtype != torch.uint8 or got != expected:
            size = f"{height}, {'any width' if width is None else width}"
            raise BackboneError(
                f"{self.name} takes uint8 pictures of shape (n, 3, {size}), got "
                f"{pictures.dtype} {got}. Render them in this size, as bytes."
            )
        scaled = (pictures.to(torch.float32) / 255 - self.mean) / self.std
        return scaled.to(next(self.network.parameters()).dtype)

    def embed(self, normalised: Tensor) -> Tensor:
        """Embed normalised pictures; gradients flow back to them."""
        features = self.network(normalised)
        features = features if self.layer is None else features["features"]
        pooled: Tensor = features.mean(self.pooled_axes) if self.pooled_axes else features
        return pooled.float()

    def forward(self, pictures: Tensor) -> Tensor:
        """Embed uint8 pictures [shape=(n, 3, height, width)] -> float32 [(n, embedding_size)]."""
        return self.embed(self.normalise(pictures))

    def description(self) -> dict[str, Any]:
        """Describe the backbone in JSON's terms, for :func:`backbone_from_description`."""
        told = [
            "name",
            "version",
            "layer",
            "input_size",
            "embedding_size",
            "pooled_axes",
            "weights_hash",
        ]
        told += ["weights_source", "licence", "source"]
        return copy.deepcopy({key: getattr(self, key) for key in told} | self._normalisation)


def backbone_names() -> list[str]:
    """List the networks of the registry."""
    return sorted(_REGISTRY)


def backbone_info(name: str) -> BackboneInfo:
    """Tell what is known of a network, without building it. BackboneError if it is unknown."""
    return _spec(name).info


def load_backbone(
    name: str, *, weights: str | Path = "official", layer: str | None = None
) -> Backbone:
    """Build a network, load its weights, leave out what follows the embedding, and freeze it.

    Parameters
    ----------
    name : str, one of :func:`backbone_names`
    weights : str or Path
        "official": ``IMAGENET1K_V1``, or the network's first set where that was never published
        (of ``pseudorca_small``: the file that comes with the package, without any download);
        another official set by name, such as ``IMAGENET1K_V2``; or a local file of tensors
        (``.safetensors``, or ``.pt``/``.pth`` read without running code), for any number of
        classes. A file with an official file's name is taken for that set, any other for one with
        the default input size and normalisation.
    layer : str, optional
        Cut after this layer (torchvision's node names: ``layer3``, ``features.4``) and average
        over space or tokens. By default the embedding is the input of the last layer.

    Returns
    -------
    Backbone, on the CPU, in evaluation mode, without gradients.

    Raises
    ------
    BackboneError
        If the network, weights or layer are unknown, the download fails, or the weights lack a
        tensor of the layers kept, or hold one of another shape, unknown, or not finite.
    """
    spec = _spec(name)
    state, preset, origin = _find_weights(spec, weights)
    state = _clean(state, origin)
    if layer is not None and not spec.has_layers:
        raise BackboneError(f"{name} is used whole: it has no layer {layer!r} to cut it after.")
    size = spec.sized_by(state) or preset.input_size
    network, head = _skeleton(spec, size)
    expected = _fill(network, state)
    trunk = _cut(network, head, layer, name)
    where = f"{origin} does not fit {name}" + (f" up to {layer}" if layer else "")
    _check_fit(state, expected, list(trunk.state_dict()), (f"{head}.", *spec.unused), where)
    axes, embedding_size = _probe(trunk, size, layer, name)
    description: dict[str, Any] = {"name": name, "layer": layer, "input_size": size}
    description |= {"version": spec.info.version}
    description |= {"embedding_size": embedding_size, "pooled_axes": axes, "mean": preset.mean}
    description |= {"std": preset.std, "weights_source": origin, "licence": preset.licence}
    return Backbone(trunk, description | {"source": spec.info.source})


def backbone_from_description(description: Mapping[str, Any], state_dict: StateDict) -> Backbone:
    """Rebuild a backbone from its ``description()`` and ``state_dict()``, without any download.

    Raises
    ------
    BackboneError
        If a tensor is missing, unknown or of another shape, or the tensors are not those described.
    """
    try:
        name, told_hash = description["name"], description["weights_hash"]
        if (version := description["version"]) != _spec(name).info.version:
            raise BackboneError(
                f"{name} was saved in version {version}, and this pseudorca has version "
                f"{_spec(name).info.version}, which gives other embeddings. Run pseudorca embed again, "
                "then train."
            )
        network, head = _skeleton(_spec(name), _input_size(description["input_size"]))
        backbone = Backbone(_cut(network, head, description["layer"], name), description)
    except KeyError as error:
        raise BackboneError(f"the description of the backbone has no entry {error}.") from None
    expected = _fill(backbone, state_dict)
    where = f"the saved tensors do not fit {name} as described"
    _check_fit(state_dict, expected, list(expected), (), where)
    if backbone.weights_hash != told_hash:
        raise BackboneError(
            f"the saved tensors of {name} are not those described: SHA-256 begins "
            f"{backbone.weights_hash[:12]}, expected {told_hash[:12]}. Save both together."
        )
    return backbone.to(next(backbone.parameters()).device)  # the normalisation joins the tensors


def adapt_batch_norm(backbone: Backbone, batches: Iterable[Tensor]) -> Backbone:
    """Recompute the batch-normalisation statistics once over the recordings (AdaBN [1]_).

    Each layer's mean and variance become the average of those of the batches, weighted by the
    batches' sizes. Everything else stays as it is.

    Parameters
    ----------
    backbone : Backbone, left unchanged
    batches : iterable of Tensor [shape=(n, 3, size, size)], uint8, unlabelled

    Returns
    -------
    Backbone, a copy with the new statistics, hence with another ``weights_hash``.

    Raises
    ------
    BackboneError
        If the network has no batch normalisation that could be adapted, or there are no batches.

    References
    ----------
    .. [1] Li et al., "Revisiting batch normalization for practical domain adaptation", 2016.
    """
    adapted = copy.deepcopy(backbone).eval()
    layers = [module for module in adapted.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        raise BackboneError(f"{backbone.name} has no batch normalisation to adapt.")
    if all(_is_folded(layer) for layer in layers):
        raise BackboneError(
            f"the batch normalisation of {backbone.name} is folded into the convolutions of "
            f"{backbone.weights_source}, so it cannot be adapted. Use weights that kept theirs."
        )
    momenta = [layer.momentum for layer in layers]
    n_seen = 0
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    with torch.no_grad():
        for batch in batches:
            n_seen += len(batch)
            for layer in layers:
                layer.momentum = len(batch) / n_seen
            adapted(batch.to(adapted.mean.device))
    if not n_seen:
        raise BackboneError("there are no pictures to adapt the batch normalisation to.")
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.eval().momentum = momentum
    adapted.weights_source += " + adapted batch normalisation"
    return adapted


def _is_folded(layer: _BatchNorm) -> bool:
    """Tell whether only a bias is left: the scales went into the convolution before."""
    mean, var = layer.running_mean, layer.running_var
    if mean is None or var is None or mean.any() or not layer.bias.any():
        return False
    return torch.allclose(var, torch.ones_like(var), atol=1e-3) and bool((layer.weight == 1).all())


def _spec(name: str) -> _Spec:
    if name not in _REGISTRY:
        raise BackboneError(unknown_name("backbone", name, _REGISTRY))
    return _REGISTRY[name]


def _find_weights(spec: _Spec, weights: str | Path) -> tuple[StateDict, OfficialWeights, str]:
    """Read the weights asked for -> tensors, what is known of the set, its name."""
    info, path = spec.info, Path(weights).expanduser()
    official = {known.name: known for known in info.weights}
    if info.weights:
        official["official"] = info.weights[0]
    if str(weights) in official:
        known = official[str(weights)]
        return spec.fetch(known), known, known.name
    if path.suffix in _READERS:
        by_file = {Path(known.url).name: known for known in info.weights}
        return _read(path), by_file.get(path.name, spec.local), path.name
    if not official:
        raise BackboneError(
            f"{info.name} has no official download. Give a local file of its weights with "
            f"--weights FILE (.safetensors, .pt, .pth). Source: {info.source}."
        )
    valid = [*official, "a file (.safetensors, .pt, .pth)"]
    raise BackboneError(unknown_name(f"weights of {info.name}:", str(weights), valid))


def _read(path: Path) -> StateDict:
    if not path.is_file():
        raise BackboneError(f"no such weights file: {path}.")
    try:
        content = _READERS[path.suffix](path)
    except Exception as error:  # a damaged file can raise anything while it is unpickled
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BackboneError(
            f"{path} cannot be read as plain tensors: {reason} Save a state dict, as .safetensors "
            "or with torch.save(network.state_dict(), FILE)."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return content if isinstance(content, Mapping) else {}


def _fetch(member: Any, known: OfficialWeights) -> StateDict:
    """Download through torchvision, or read from torch's cache."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url).name
    expected = cached.stem.rpartition("-")[2]  # official files carry the start of their SHA-256
    if cached.is_file():  # torch checks what it downloads, but trusts what it finds in the cache
        with cached.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if not found.startswith(expected):
            raise BackboneError(
                f"{cached} is damaged: its SHA-256 begins {found[: len(expected)]}, expected "
                f"{expected}. Delete it, and it is downloaded again from {known.url}."
            )
    try:
        with redirect_stdout(sys.stderr):  # torch prints where it downloads from
            state: StateDict = member.get_state_dict(
                progress=False, check_hash=True, weights_only=True, map_location="cpu"
            )
    except (OSError, RuntimeError, HTTPException, UnpicklingError) as error:
        raise BackboneError(
            f"the weights {member} could not be downloaded from {known.url}: {error}. Give a local "
            f"copy with --weights FILE, or put it at {cached}."
        ) from None
    return state


def _clean(state: StateDict, origin: str) -> dict[str, Tensor]:
    """Keep the tensors, under today's names, as float32."""
    clean = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            name = key.removeprefix("module.")
            for old, new in _RENAMED:
                name = old.sub(new, name)
            clean[name] = value.detach().float() if value.is_floating_point() else value
    if not clean:
        raise BackboneError(f"{origin} holds no tensors, at its top or in 'state_dict' or 'model'.")
    return clean


class _NoInitialisation(TorchFunctionMode):
    """Build a network without memory or values: its tensors come from a file; no seed is used up.

    Not ``torch.device("meta")``, which is for every tensor: RegNet computes its widths with some.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        hollow = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
        return func(*args, **(kwargs or {}) | hollow)


def _skeleton(spec: _Spec, input_size: InputSize) -> tuple[nn.Module, str]:
    """Build a network with its last layer replaced by identity -> network, that layer's name."""
    with _NoInitialisation():
        network = spec.build(input_size).eval()
    learned = (nn.Linear, nn.Conv2d)  # SqueezeNet classifies by convolution, then pools
    head = [name for name, module in network.named_modules() if isinstance(module, learned)][-1]
    network.set_submodule(head, nn.Identity())
    return network, head


def _cut(network: nn.Module, head: str, layer: str | None, name: str) -> nn.Module:
    """Keep only what is computed up to a layer, with its tensors under their names."""
    if layer is None:
        return network
    nodes = get_graph_node_names(network, suppress_diff_warning=True)[1]
    # "features.0.1" belongs to "features", "features.0" and itself; the first node is the input.
    paths = [node.split(".") for node in nodes[1 : nodes.index(head)]]
    known = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    if layer not in known:
        modules = [n for n, _ in network.named_modules() if n in known and n.count(".") < 2]
        shown = modules if len(modules) <= 40 else [n for n in modules if "." not in n]
        raise BackboneError(unknown_name(f"layer of {name}", layer, shown))
    extractor = create_feature_extractor(network, {layer: "features"}, suppress_diff_warning=True)
    graph = extractor.eval().graph
    for node in reversed(graph.nodes):
        # torchvision prunes too, but not what leads to an assertion: transformers have one a block.
        if not node.users and node.op not in ("output", "placeholder"):
            graph.erase_node(node)
    # torchvision's module holds a training graph too, and a deep copy of it wakes up in training.
    return fx.GraphModule(extractor, graph)


def _fill(module: nn.Module, state: StateDict) -> dict[str, torch.Size]:
    """Put in the tensors that fit -> the shapes expected. What did not fit stays empty."""
    tensors = module.state_dict()  # carries versions, without which MNASNet refuses to load
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    tensors.update({name: t for name, t in state.items() if shapes.get(name) == t.shape})
    module.load_state_dict(tensors, assign=True)
    return shapes


def _check_fit(
    state: StateDict,
    expected: Mapping[str, torch.Size],
    kept: list[str],
    ignored: tuple[str, ...],
    where: str,
) -> None:
    """Refuse tensors that are missing, misshapen or not finite in the kept part, or unknown."""
    kept = [n for n in kept if not _NOT_WEIGHTS.search(n)]
    there = [n for n in kept if n in state]
    misshapen = [n for n in there if state[n].shape != expected[n]]
    faults = {
        "missing": [n for n in kept if n not in state],
        "of another shape": [
            f"{n}: got {list(state[n].shape)}, expected {list(expected[n])}" for n in misshapen
        ],
        "unknown": [
            n
            for n in state
            if n not in expected and not n.startswith(ignored) and not _NOT_WEIGHTS.search(n)
        ],
        "not finite": [n for n in there if not state[n].isfinite().all()],
    }
    told = [
        f"{len(names)} {fault} ({'; '.join(names[:4])}{'; ...' if len(names) > 4 else ''})"
        for fault, names in faults.items()
        if names
    ]
    if told:
        raise BackboneError(
            f"{where}: {', '.join(told)}. Check that these are weights of this network; if they "
            "are complete only up to some layer, cut the network after that one (--layer)."
        )


def _probe(
    trunk: nn.Module, size: InputSize, layer: str | None, name: str
) -> tuple[list[int], int]:
    """Run a network on shapes alone -> the axes to average over, the size of the embedding."""
    tensors = dict(trunk.named_parameters()) | dict(trunk.named_buffers())
    hollow = {key: tensor.to("meta") for key, tensor in tensors.items()}
    height, width = _shape(size)
    with torch.no_grad():
        blank = torch.empty(2, 3, height, width or height, device="meta")
        features = torch.func.functional_call(trunk, hollow, (blank,))
    features = features if layer is None else features["features"]
    match tuple(features.shape) if isinstance(features, Tensor) else ():
        case (2, channels):
            return [], channels
        case (2, _, channels):  # tokens
            return [1], channels
        case (2, channels, height, width) if height == width:
            return [2, 3], channels
        case (2, height, width, channels) if height == width:  # Swin keeps channels last
            return [1, 2], channels
    got = getattr(features, "shape", type(features).__name__)
    raise BackboneError(
        f"layer {layer!r} of {name} gives {got} for 2 pictures, expected (2, channels), "
        "(2, tokens, channels) or square maps. Name a layer that ends a block."
    )


class _EndPaddedConv2d(nn.Conv2d):
    """TensorFlow's 3x3 convolution of stride 2 on an even size: zeros after the last pixel only.

    Output i sees pixels 2i to 2i + 2; torch's symmetric padding would show it 2i - 1 to 2i + 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(input, (0, 1, 0, 1)))


def _input_size(told: Any) -> InputSize:
    """An input size as JSON gives it back."""
    if isinstance(told, int):
        return told
    height, width = told
    return height, width


def _shape(size: InputSize) -> tuple[int, int | None]:
    return (size, size) if isinstance(size, int) else size


def _build_mobilenet_v2_tf(input_size: InputSize) -> nn.Module:
    network: nn.Module = torchvision.models.mobilenet_v2(num_classes=1001)
    for name, old in list(network.named_modules()):
        if isinstance(old, nn.Conv2d) and old.stride == (2, 2):
            sizes = (old.in_channels, old.out_channels, 3, 2)
            network.set_submodule(name, _EndPaddedConv2d(*sizes, groups=old.groups, bias=False))
    return network


def _vit_input_size(state: StateDict) -> int | None:
    positions, patches = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if positions is None or patches is None or positions.ndim != 3:
        return None
    return math.isqrt(positions.shape[1] - 1) * patches.shape[-1]  # one position is the class's


def _torchvision_spec(name: str) -> _Spec:
    members = {member.name: member for member in torchvision.models.get_model_weights(name)}
    official = []
    for member in members.values():
        preset, terms = member.transforms(), member.meta.get("license")  # told of SWAG weights only
        official.append(
            OfficialWeights(
                name=member.name,
                url=member.url,
                licence=f"CC-BY-NC-4.0 ({terms})" if terms else "BSD-3-Clause",
                input_size=preset.crop_size[0],
                mean=tuple(preset.mean),
                std=tuple(preset.std),
            )
        )
    default = official[0]  # IMAGENET1K_V1, which the study used, wherever that was published
    is_vit = name.startswith("vit_")
    arguments: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # as trained, less the classifiers that only helped
        arguments = {"transform_input": True, "aux_logits": False, "init_weights": False}

    def build(input_size: InputSize) -> nn.Module:
        sized = {"image_size": input_size} if is_vit else {}
        network: nn.Module = torchvision.models.get_model(name, weights=None, **arguments, **sized)
        return network

    return _Spec(
        info=BackboneInfo(
            name=name,
            input_size=default.input_size,
            licence=default.licence,
            source=f"torchvision: https://docs.pytorch.org/vision/stable/models.html ({name})",
            n_parameters=members[default.name].meta["num_params"],
            weights=tuple(official),
        ),
        local=replace(default, name="local", url="", licence="unknown (local weights file)"),
        build=build,
        fetch=lambda known: _fetch(members[known.name], known),
        sized_by=_vit_input_size if is_vit else lambda state: None,
        unused=("aux1.", "aux2.", "AuxLogits."),
    )


_MOBILENET_V2_TF = BackboneInfo(
    name="mobilenet_v2_tf",
    input_size=224,
    licence="Apache-2.0",
    source="Google's ImageNet MobileNetV2 1.0 224 (1001 classes, the first is background), "
    "dequantised from the Coral Edge TPU release: https://coral.ai/models/image-classification/",
    n_parameters=3_506_153,
    weights=(),
)
_HALF = (0.5, 0.5, 0.5)  # (x / 255 - 0.5) / 0.5 = x / 127.5 - 1
_LOCAL_TF = OfficialWeights(
    name="local", url="", licence="Apache-2.0", input_size=224, mean=_HALF, std=_HALF
)


def _fetch_shipped(known: OfficialWeights) -> StateDict:
    """Read the file that comes with the package."""
    path = small_network.WEIGHTS
    if not path.is_file():
        raise BackboneError(f"{path} is missing: install pseudorca again.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != known.sha256:
        raise BackboneError(
            f"{path} is damaged: its SHA-256 begins {found[:12]}, expected "
            f"{str(known.sha256)[:12]}. Install pseudorca again."
        )
    state: StateDict = load_file(path)
    return state


_SHIPPED = OfficialWeights(
    name="SIMULATED_V2",
    url=small_network.WEIGHTS.name,
    licence="Apache-2.0",
    input_size=(small_network.N_ROWS, None),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    sha256=small_network.WEIGHTS_SHA256,
)
_PSEUDORCA_SMALL = BackboneInfo(
    name="pseudorca_small",
    input_size=_SHIPPED.input_size,
    licence=_SHIPPED.licence,
    source="pseudorca itself: trained on simulated sound only (docs/model-cards/pseudorca_small.md)",
    n_parameters=small_network.N_PARAMETERS,
    weights=(_SHIPPED,),
    front_end_settings=small_network.FRONT_END,
    version=small_network.VERSION,
)
_SPECS = [_torchvision_spec(name) for name in torchvision.models.list_models(torchvision.models)]
_SPECS.append(_Spec(info=_MOBILENET_V2_TF, local=_LOCAL_TF, build=_build_mobilenet_v2_tf))
_SPECS.append(
    _Spec(
        info=_PSEUDORCA_SMALL,
        local=replace(_SHIPPED, name="local", licence="unknown (local weights file)", sha256=None),
        build=lambda size: small_network.build(),
        fetch=_fetch_shipped,
        has_layers=False,
    )
)
_REGISTRY = {spec.info.name: spec for spec in _SPECS}

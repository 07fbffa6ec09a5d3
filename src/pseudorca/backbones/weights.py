"""Files of weights: find, download, read without running code, and check.

In: the name of a set of weights, or a path. Out: tensors in a network. Tensors that are missing,
unknown, not finite or of another shape are an error that names the tensors.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pseudorca.backbones.info import BackboneInfo, OfficialWeights, StateDict
from pseudorca.backbones.network import NOT_WEIGHTS, Backbone
from pseudorca.errors import BackboneError, unknown_name

# Names of tensors in older files, such as the official downloads, and names in present networks.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
_torch_load = partial(torch.load, map_location="cpu", weights_only=True)  # runs no code of the file
_READERS: dict[str, Callable[[Path], Any]] = {
    ".safetensors": load_file, ".pt": _torch_load, ".pth": _torch_load,
}  # fmt: skip
TENSOR_FILES = tuple(_READERS)
"""Endings of files of tensors."""


def choose_weights(
    info: BackboneInfo,
    weights: str | Path,
    local: OfficialWeights | None = None,
    kinds: tuple[str, ...] = TENSOR_FILES,
) -> tuple[OfficialWeights, Path | None]:
    """Find the chosen set of weights.

    Parameters
    ----------
    info : BackboneInfo
    weights : "official", the name of an official set, or a path
    local : OfficialWeights or None
        The facts about a file without the name of an official file. None: those of the default
        weights, but for the licence, which is unknown
    kinds : tuple of str, endings of files

    Returns
    -------
    known : OfficialWeights, the facts about the weights
    path : Path of a local file, or None for official weights

    Raises
    ------
    BackboneError
        If the network has no such weights.

    Examples
    --------
    >>> known = OfficialWeights(name="V1", url="https://example.org/a.pt", licence="MIT")
    >>> info = BackboneInfo(
    ...     name="toy", family="toys", licence="MIT", source="here", n_parameters=9, weights=(known,)
    ... )
    >>> choose_weights(info, "official") == (known, None)
    True
    >>> choose_weights(info, "mine.pt")[0].licence
    'unknown (local weights file)'
    """
    path = Path(weights).expanduser()
    official = {known.name: known for known in info.weights}
    if info.weights:
        official["official"] = info.weights[0]
    if str(weights) in official:
        return official[str(weights)], None
    if path.suffix in kinds:
        by_file = {Path(known.url).name: known for known in info.weights}
        unknown = "unknown (local weights file)"
        return by_file.get(path.name) or local or replace(info.weights[0], licence=unknown), path
    if not official:
        raise BackboneError(
            f"{info.name} has no official download. Give a local file of its weights with "
            f"--weights FILE ({', '.join(kinds)}). Source: {info.source}."
        )
    valid = [*official, f"a file ({', '.join(kinds)})"]
    raise BackboneError(unknown_name(f"weights of {info.name}:", str(weights), valid))


def read_tensors(path: Path) -> StateDict:
    """Read a file of tensors. The tensors may be below ``state_dict`` or ``model``.

    Parameters
    ----------
    path : path of a file with one of the endings :data:`TENSOR_FILES`

    Returns
    -------
    dict from name to Tensor

    Raises
    ------
    BackboneError
        If the file does not exist, or cannot be read as plain tensors.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x.pt"
    >>> torch.save({"state_dict": {"weight": torch.ones(2)}}, path)
    >>> read_tensors(path)["weight"].tolist()
    [1.0, 1.0]
    """
    check_file(path)
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


def check_file(path: Path) -> None:
    """Check that a file of weights exists.

    Parameters
    ----------
    path : path of the file

    Raises
    ------
    BackboneError
        If the file does not exist.

    Examples
    --------
    >>> check_file(Path(__file__))
    """
    if not path.is_file():
        raise BackboneError(f"no such weights file: {path}.")


def check_hash(path: Path, expected: str, what_to_do: str) -> None:
    """Check the SHA-256 of a file.

    Parameters
    ----------
    path : path of the file
    expected : str, the SHA-256 or its beginning
    what_to_do : str, a sentence for the message

    Raises
    ------
    BackboneError
        If the SHA-256 begins differently.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x.pt"
    >>> _ = path.write_bytes(b"")
    >>> check_hash(path, "e3b0c442", "Download it again.")
    """
    with path.open("rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if not actual.startswith(expected):
        raise BackboneError(
            f"{path} is damaged: its SHA-256 begins {actual[: min(len(expected), 12)]}, expected "
            f"{expected[:12]}. {what_to_do}"
        )


def download(known: OfficialWeights, fetch: Callable[[Path], Any] | None = None) -> Any:
    """Download official weights into the cache of torch, or find them there. Check the SHA-256.

    ``TORCH_HOME`` moves the cache.

    Parameters
    ----------
    known : OfficialWeights
    fetch : callable or None, downloads to a path and returns any value; None: the path is returned

    Returns
    -------
    Path, or the value of ``fetch``

    Raises
    ------
    BackboneError
        If the download fails, or the file differs from the published file.

    Examples
    --------
    >>> known = OfficialWeights(name="V1", url="https://example.org/a.pt", licence="MIT")
    >>> download(known, fetch=lambda path: path.name)
    'a.pt'
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url).name
    if cached.is_file() and known.sha256:  # torch checks a download but not its cache
        again = f"Delete it, and it is downloaded again from {known.url}."
        check_hash(cached, known.sha256, again)
    try:
        with redirect_stdout(sys.stderr):  # torch prints the address
            if fetch is not None:
                return fetch(cached)
            if not cached.is_file():
                cached.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(known.url, str(cached), known.sha256, progress=False)
            return cached
    except (OSError, RuntimeError, HTTPException, UnpicklingError) as error:
        raise BackboneError(
            f"the weights {known.name} could not be downloaded from {known.url}: {error}. Give a "
            f"local copy with --weights FILE, or put it at {cached}."
        ) from None


def clean(state: StateDict, origin: str) -> dict[str, Tensor]:
    """Keep the tensors of a file, under their present names, as float32.

    Parameters
    ----------
    state : mapping from name to Tensor or other values
    origin : str, name of the file, for the message

    Returns
    -------
    dict from name to Tensor

    Raises
    ------
    BackboneError
        If the file holds no tensors.

    Examples
    --------
    >>> clean({"module.weight": torch.ones(2, dtype=torch.float64), "epoch": 3}, "x.pt")
    {'weight': tensor([1., 1.])}
    """
    tensors = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            name = key.removeprefix("module.")
            for old, new in _RENAMED:
                name = old.sub(new, name)
            value = value.detach().clone(memory_format=torch.contiguous_format)
            tensors[name] = value.float() if value.is_floating_point() else value
    if not tensors:
        raise BackboneError(f"{origin} holds no tensors, at its top or in 'state_dict' or 'model'.")
    return tensors


def fill(module: nn.Module, state: StateDict) -> dict[str, torch.Size]:
    """Load the tensors that fit into a module. Other tensors of the module stay empty.

    Parameters
    ----------
    module : nn.Module, changed in place
    state : mapping from name to Tensor

    Returns
    -------
    dict from name to the expected shape

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> fill(layer, {"weight": torch.ones(1, 2)})["bias"], layer.weight.tolist()
    (torch.Size([1]), [[1.0, 1.0]])
    """
    tensors = module.state_dict()  # holds versions that MNASNet needs for loading
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    tensors.update({name: t for name, t in state.items() if shapes.get(name) == t.shape})
    module.load_state_dict(tensors, assign=True)
    return shapes


def check_fit(
    state: StateDict,
    expected: Mapping[str, torch.Size],
    kept: list[str],
    ignored: tuple[str, ...],
    where: str,
) -> None:
    """Check that tensors fit a network.

    Parameters
    ----------
    state : mapping from name to Tensor
    expected : mapping from name to shape, as :func:`fill` returns
    kept : list of str, names of the tensors in the kept part of the network
    ignored : tuple of str, prefixes of tensors that may be unknown
    where : str, begin of the message

    Raises
    ------
    BackboneError
        If a kept tensor is missing, not finite or of another shape, or a tensor is unknown.

    Examples
    --------
    >>> check_fit({"w": torch.ones(2)}, {"w": torch.Size([2])}, ["w"], (), "x.pt does not fit")
    """
    kept = [n for n in kept if not NOT_WEIGHTS.search(n)]
    present = [n for n in kept if n in state]
    misshapen = [n for n in present if state[n].shape != expected[n]]
    faults = {
        "missing": [n for n in kept if n not in state],
        "of another shape": [
            f"{n}: got {list(state[n].shape)}, expected {list(expected[n])}" for n in misshapen
        ],
        "unknown": [
            n
            for n in state
            if n not in expected and not n.startswith(ignored) and not NOT_WEIGHTS.search(n)
        ],
        "not finite": [n for n in present if not state[n].isfinite().all()],
    }
    messages = [
        f"{len(names)} {fault} ({'; '.join(names[:4])}{'; ...' if len(names) > 4 else ''})"
        for fault, names in faults.items()
        if names
    ]
    if messages:
        raise BackboneError(
            f"{where}: {', '.join(messages)}. Check that these are weights of this network; if they "
            "are complete only up to some layer, cut the network after that one (--layer)."
        )


def restore(backbone: Backbone, state: StateDict) -> Backbone:
    """Load saved tensors into a backbone that was built from its description.

    Parameters
    ----------
    backbone : Backbone, changed in place
    state : mapping from name to Tensor, as ``state_dict()`` of the saved backbone

    Returns
    -------
    Backbone, the same object

    Raises
    ------
    BackboneError
        If a tensor is missing, unknown, not finite or of another shape.

    Examples
    --------
    >>> description = {
    ...     "name": "toy", "version": 1, "layer": None, "embedding_size": 4, "pooled_axes": [2, 3],
    ...     "weights_source": "random", "licence": "MIT", "source": "here", "input_size": 8,
    ...     "mean": [0.5] * 3, "std": [0.5] * 3,
    ... }
    >>> saved = Backbone(nn.Conv2d(3, 4, 1), description)
    >>> restored = restore(Backbone(nn.Conv2d(3, 4, 1), description), saved.state_dict())
    >>> restored.weights_hash == saved.weights_hash
    True
    """
    expected = fill(backbone, state)
    where = f"the saved tensors do not fit {backbone.name} as described"
    check_fit(state, expected, list(expected), (), where)
    return backbone

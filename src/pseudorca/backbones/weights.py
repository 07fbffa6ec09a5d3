"""Weights files: found in the package, on disk or by download; read without running code; checked.

What fits a network goes in; what is missing, misshapen, unknown or not finite is an error that names
the tensors.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pseudorca.backbones.info import BackboneInfo, OfficialWeights, StateDict
from pseudorca.backbones.network import NOT_WEIGHTS
from pseudorca.errors import BackboneError, unknown_name

# Names that older files, the official downloads among them, give to tensors of today's networks.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
_torch_load = partial(torch.load, map_location="cpu", weights_only=True)  # runs no code of the file
_READERS: dict[str, Callable[[Path], Any]]
_READERS = {".safetensors": load_file, ".pt": _torch_load, ".pth": _torch_load}
TENSOR_FILES = tuple(_READERS)
"""How the names of files of tensors end."""


def choose_weights(
    info: BackboneInfo,
    weights: str | Path,
    local: OfficialWeights,
    kinds: tuple[str, ...] = TENSOR_FILES,
) -> tuple[OfficialWeights, Path | None]:
    """Find out which weights are asked for -> what is known of them, and a local file's path.

    Parameters
    ----------
    info : BackboneInfo
    weights : "official", the name of an official set, or a path
    local : what a file is taken for, unless it has an official file's name
    kinds : how names of files may end
    """
    path = Path(weights).expanduser()
    official = {known.name: known for known in info.weights}
    if info.weights:
        official["official"] = info.weights[0]
    if str(weights) in official:
        return official[str(weights)], None
    if path.suffix in kinds:
        by_file = {Path(known.url).name: known for known in info.weights}
        return by_file.get(path.name, local), path
    if not official:
        raise BackboneError(
            f"{info.name} has no official download. Give a local file of its weights with "
            f"--weights FILE ({', '.join(kinds)}). Source: {info.source}."
        )
    valid = [*official, f"a file ({', '.join(kinds)})"]
    raise BackboneError(unknown_name(f"weights of {info.name}:", str(weights), valid))


def read_tensors(path: Path) -> StateDict:
    """Read a file of tensors, alone or below ``state_dict`` or ``model``."""
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
    """Complain about a weights file that is not there."""
    if not path.is_file():
        raise BackboneError(f"no such weights file: {path}.")


def cached_path(known: OfficialWeights) -> Path:
    """Where a download is kept: torch's own cache, which ``TORCH_HOME`` moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url).name


def check_hash(path: Path, expected: str, what_to_do: str) -> None:
    """Complain about a file whose SHA-256 does not begin as expected."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(expected):
        raise BackboneError(
            f"{path} is damaged: its SHA-256 begins {found[: min(len(expected), 12)]}, expected "
            f"{expected[:12]}. {what_to_do}"
        )


def download(known: OfficialWeights, fetch: Callable[[Path], Any] | None = None) -> Any:
    """Download official weights into torch's cache, or find them there, and check their SHA-256.

    Parameters
    ----------
    known : OfficialWeights
    fetch : callable or None, downloads to a path and returns what is wanted; None: the path itself

    Raises
    ------
    BackboneError
        If the download fails, or the file is not the one that was published.
    """
    cached = cached_path(known)
    if cached.is_file() and known.sha256:  # torch checks a download, but trusts its cache
        again = f"Delete it, and it is downloaded again from {known.url}."
        check_hash(cached, known.sha256, again)
    try:
        with redirect_stdout(sys.stderr):  # torch prints where it downloads from
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
    """Keep the tensors, under today's names, as float32."""
    clean = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            name = key.removeprefix("module.")
            for old, new in _RENAMED:
                name = old.sub(new, name)
            value = value.detach().clone(memory_format=torch.contiguous_format)
            clean[name] = value.float() if value.is_floating_point() else value
    if not clean:
        raise BackboneError(f"{origin} holds no tensors, at its top or in 'state_dict' or 'model'.")
    return clean


def fill(module: nn.Module, state: StateDict) -> dict[str, torch.Size]:
    """Put in the tensors that fit -> the shapes expected. What did not fit stays empty."""
    tensors = module.state_dict()  # carries versions, without which MNASNet refuses to load
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
    """Refuse tensors that are missing, misshapen or not finite in the kept part, or unknown."""
    kept = [n for n in kept if not NOT_WEIGHTS.search(n)]
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
            if n not in expected and not n.startswith(ignored) and not NOT_WEIGHTS.search(n)
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

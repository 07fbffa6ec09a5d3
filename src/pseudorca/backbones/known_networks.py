"""What is known of every network of the registry, read from a file: no torch has to be imported.

Modules of families say what their networks are, and torchvision says what its own are. All of that
is written once to ``known_networks.json``, so that the command line lists networks, and refuses a
wrong name, at once. A test compares the file with the modules. After a change of a module run::

    python -m pseudorca.backbones.known_networks
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pseudorca.backbones.info import BackboneInfo, OfficialWeights, Spec

FILE = Path(__file__).parent / "known_networks.json"

_MODULES = (
    "shipped", "birdnet_network", "efficientat", "perch", "vggish", "waveform", "yamnet",
    "transformers_networks", "mobilenet_tf", "vision", "passthrough",
)  # fmt: skip


@dataclass(frozen=True)
class KnownNetwork:
    """A network that is known by name, before the module that builds it is imported."""

    module: str
    """Of this package."""
    embedding_size: int | None
    """Also of a network whose size its module finds out by building it; None: not before loading."""
    info: BackboneInfo

    def spec(self) -> Spec:
        """Import the module, and take the entry of this network."""
        return specs_of(self.module)[self.info.name]


@cache
def specs_of(module: str) -> dict[str, Spec]:
    """The entries of a module of this package, by name."""
    specs: list[Spec] = import_module(f"pseudorca.backbones.{module}").specs()
    return {spec.info.name: spec for spec in specs}


@cache
def known_networks() -> Mapping[str, KnownNetwork]:
    """What is known of every network of the registry.

    Returns
    -------
    dict from name to KnownNetwork, in the order of the modules

    Examples
    --------
    >>> known_networks()["resnet18"].embedding_size
    512
    """
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: KnownNetwork(row["module"], row["embedding_size"], _info(row["info"]))
        for name, row in rows.items()
    }


def described_networks() -> dict[str, KnownNetwork]:
    """What the modules themselves say; imports torch, and builds networks without memory."""
    return {
        name: KnownNetwork(module, _size(spec), spec.info)
        for module in _MODULES
        for name, spec in specs_of(module).items()
    }


def write_known_networks() -> None:
    """Write what the modules say to :data:`FILE`."""
    rows = {name: asdict(network) for name, network in described_networks().items()}
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _size(spec: Spec) -> int | None:
    from pseudorca.backbones.torch_spec import TorchSpec

    if spec.info.embedding_size is None and isinstance(spec, TorchSpec):
        network, _ = spec.skeleton(spec.info.input_size)
        return spec.probe(network, spec.info.input_size, None)[1]
    return spec.info.embedding_size


def _info(row: dict[str, Any]) -> BackboneInfo:
    weights = tuple(OfficialWeights(**_with_tuples(known)) for known in row["weights"])
    return BackboneInfo(**_with_tuples(row | {"weights": weights}))


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists only."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


if __name__ == "__main__":
    write_known_networks()

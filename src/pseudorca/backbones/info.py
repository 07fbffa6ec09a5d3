"""The facts about a network before it is built, and the protocol of a registry entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from pseudorca.errors import BackboneError

if TYPE_CHECKING:
    from torch import Tensor

    from pseudorca.backbones.network import Backbone

InputSize = int | tuple[int, int | None]
"""Pixels of a square picture, or its height and width; a width of None stands for any."""

StateDict = Mapping[str, "Tensor"]

TIMM: Final = "timm"
TRANSFORMERS: Final = "transformers"
"""Libraries that know networks by a name of their own, such as ``timm:NAME``."""

UNTRAINED: Final = "UNTRAINED"
"""Name of the weights of a network that comes without any training."""


def is_non_commercial(licence: str) -> bool:
    """Return whether a licence forbids commercial use, such as NC of Creative Commons.

    Parameters
    ----------
    licence : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_non_commercial("CC BY-NC-SA 4.0"), is_non_commercial("MIT")
    (True, False)
    """
    return "-NC" in licence.upper()


@dataclass(frozen=True, kw_only=True)
class OfficialWeights:
    """One published set of weights. For networks on pictures, also the pictures of the training.

    Examples
    --------
    >>> known = OfficialWeights(name="V1", url="https://example.org/a.pt", licence="MIT")
    >>> known.sha256 is None
    True
    """

    name: str
    url: str
    licence: str
    input_size: InputSize | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sha256: str | None = None
    """SHA-256 of the file, or its beginning; None if no hash was published."""


@dataclass(frozen=True, kw_only=True)
class BackboneInfo:
    """The facts about a network before it is built. Numbers are those of its default weights.

    Examples
    --------
    >>> info = BackboneInfo(
    ...     name="toy", family="toys", licence="MIT", source="here", n_parameters=9, weights=()
    ... )
    >>> info.embedding_size is None
    True
    """

    name: str
    family: str
    licence: str
    source: str
    n_parameters: int | None
    weights: tuple[OfficialWeights, ...]  # the default is first; empty without a download
    input_size: InputSize | None = None
    """Size of pictures in pixels; None: the network takes sound."""
    embedding_size: int | None = None
    """None: known only after building."""
    front_end: str | None = None
    """The only front end for the network; None: any front end that draws pictures."""
    front_end_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of this front end in the training of the network."""
    extra: str | None = None
    """The extra to install: ``pip install 'pseudorca[EXTRA]'``."""
    version: int = 1
    """Version of the code of the network: another version gives other embeddings with equal weights."""


def description_of(
    info: BackboneInfo,
    *,
    embedding_size: int | None,
    weights_source: str,
    licence: str,
    layer: str | None = None,
    pooled_axes: Sequence[int] = (),
    **network_input: Any,
) -> dict[str, Any]:
    """Describe a network for :class:`~pseudorca.backbones.network.Backbone`.

    Parameters
    ----------
    info : BackboneInfo
    embedding_size : int
    weights_source : str, name of the set or of the file
    licence : str, of the weights
    layer : str or None, the layer after which the network was cut
    pooled_axes : sequence of int, axes to average over
    network_input : ``input_size``, ``mean`` and ``std`` of pictures, or ``window_shape`` of sound

    Returns
    -------
    dict

    Examples
    --------
    >>> info = BackboneInfo(
    ...     name="toy", family="toys", licence="MIT", source="here", n_parameters=1, weights=()
    ... )
    >>> description_of(info, embedding_size=4, weights_source="x.pt", licence="MIT")["layer"] is None
    True
    """
    return {
        "name": info.name,
        "version": info.version,
        "source": info.source,
        "embedding_size": embedding_size,
        "weights_source": weights_source,
        "licence": licence,
        "layer": layer,
        "pooled_axes": list(pooled_axes),
    } | network_input


def refuse_layer(name: str, layer: str | None) -> None:
    """Check that no layer is given for a network that cannot be cut.

    Parameters
    ----------
    name : str, name of the network
    layer : str or None

    Raises
    ------
    BackboneError
        If a layer is given.

    Examples
    --------
    >>> refuse_layer("perch", None)
    """
    if layer is not None:
        raise BackboneError(f"{name} is used whole: it has no layer {layer!r} to cut it after.")


class Spec(Protocol):
    """A registry entry. Every kind of network is a class with these three members.

    Examples
    --------
    >>> from pseudorca.backbones.registry import find
    >>> spec = find("logmel")
    >>> spec.load("official", None).embedding_size == spec.info.embedding_size
    True
    """

    @property
    def info(self) -> BackboneInfo:
        """The facts about the network."""

    def load(self, weights: str | Path, layer: str | None) -> "Backbone":
        """Build the network and load its weights. See :func:`load_backbone`."""

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> "Backbone":
        """Build the network of a description, with saved tensors."""

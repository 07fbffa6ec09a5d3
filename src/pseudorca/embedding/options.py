"""What a user wishes of embeddings, checked before a network or a table is read.

In: names and numbers as they are typed. Out: options that make sense. This module imports neither
torch nor pandas, so that a wrong option is refused at once.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pseudorca.backbones.registry import check_name
from pseudorca.errors import FrontEndError
from pseudorca.frontends.slowed import check_slow
from pseudorca.recordings.bands import check_band
from pseudorca.values import check_types

Precision = Literal["auto", "float32", "mixed"]


@dataclass(frozen=True)
class EmbedderOptions:
    """Which front end and backbone make the embeddings.

    Raises
    ------
    BackboneError, FrontEndError
        If a name is unknown, or a number is outside its range.

    Examples
    --------
    >>> EmbedderOptions(backbone="logmel", n_views=3).band is None
    True
    """

    backbone: str = "pseudorca_small"
    """Name of the backbone; names joined by + give a joint embedder."""
    weights: str = "official"
    """``official`` or a file; with several backbones ``NAME=FILE``, joined by commas."""
    layer: str | None = None
    front_end: str | None = None
    """None: the front end of the network's training; for networks on any pictures the common one."""
    band: str | None = None
    """Band of the common front end; None: 16k."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Other fields of the front end."""
    adapt_batch_norm: bool = False
    """Recompute batch-norm statistics once over the project's recordings."""
    slow: float = 1.0
    """Factor by which every clip is slowed down; 1: original speed."""
    n_views: int = 0
    """Altered copies of every labelled clip to learn from."""
    n_test_views: int = 0
    """Altered copies whose scores are averaged for a tested clip."""
    view_settings: tuple[tuple[str, Any], ...] = ()
    """What is altered: fields of :class:`pseudorca.embedding.augmentation.alterations.ViewOptions`."""
    reference: bool = False
    """Embed the background of every labelled clip, too."""

    def __post_init__(self) -> None:
        check_types(self, FrontEndError)
        for name in self.backbone.split("+"):
            check_name(name)
        check_slow(self.slow)
        if self.band is not None:
            check_band(self.band)
        for option, n in (("--augment", self.n_views), ("--test-views", self.n_test_views)):
            if n < 0:
                raise FrontEndError(f"{option} {n}: expected 0 or more altered copies.")
        if self.view_settings and not (self.n_views or self.n_test_views):
            raise FrontEndError("settings of altered copies without any: add --augment 3.")


@dataclass(frozen=True)
class Computing:
    """Where and how embeddings are computed; no option changes the embeddings.

    Examples
    --------
    >>> Computing(device="cpu", n_threads=2).precision
    'auto'
    """

    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int | None = None
    n_threads: int | None = None
    """Threads that read, draw and run the network; None: one per core."""
    n_workers: int | None = None
    """Processes on this computer; None: this process alone."""
    cluster: str | None = None
    """Address of a Dask scheduler whose workers compute."""


def check_gate(min_excess_db: float) -> None:
    """Check the threshold of a gate.

    Parameters
    ----------
    min_excess_db : float, decibels

    Raises
    ------
    FrontEndError
        If the threshold is not more than 0 and less than 200.

    Examples
    --------
    >>> check_gate(12.0)
    """
    if not 0 < min_excess_db < 200:
        raise FrontEndError(
            f"--gate {min_excess_db:g}: expected decibels, more than 0 and less "
            "than 200, such as 12. White noise alone reaches 9 to 11."
        )

"""What ``reproduce`` can be told, and where it puts what it makes."""

from dataclasses import dataclass, field
from pathlib import Path

from pseudorca.errors import PseudorcaError
from pseudorca.study.published import MOMENTA, NETWORKS, RATES
from pseudorca.study.switches import ALL


@dataclass(frozen=True)
class StudyOptions:
    """How the study is repeated; the defaults are the study's settings."""

    backbones: tuple[str, ...] = NETWORKS
    """The first is the one that is tuned, as ResNet-18 was."""
    weights: dict[str, str] = field(default_factory=dict)
    """Local weights files by network; ``official`` for the others."""
    as_published: frozenset[str] = ALL
    exact_training_mode: bool = False
    """A pass through the network per clip and epoch, instead of adapting its statistics once."""
    labels: tuple[str, ...] | None = None
    metadata: Path | None = None
    against_rest: str | None = None
    """Make it two classes: this one, and all others as ``Rest``."""
    max_per_class: int | None = None
    """At most so many recordings a class, spread over its encounters."""
    n_unknown: int | None = 10
    """Unknown recordings that are predicted; None: all."""
    n_epochs: int = 24
    rates: tuple[float, ...] = RATES
    momenta: tuple[float, ...] = MOMENTA
    n_folds: int = 5
    n_repeats: int = 3

    def __post_init__(self) -> None:
        if not self.backbones or len(set(self.backbones)) < len(self.backbones):
            raise PseudorcaError(
                f"networks {', '.join(self.backbones) or '(none)'}: name at least one, each once."
            )
        if strange := sorted(set(self.weights) - set(self.backbones)):
            raise PseudorcaError(
                f"weights for {', '.join(strange)}, which are not among the networks "
                f"{', '.join(self.backbones)}. Name them with --backbones, too."
            )
        if self.max_per_class is not None and self.max_per_class < 1:
            raise PseudorcaError(f"{self.max_per_class} recordings per class: expected at least 1.")

    @property
    def tuned(self) -> str:
        return self.backbones[0]


@dataclass(frozen=True)
class Folders:
    """The places in the folder that ``reproduce`` makes."""

    out: Path

    @property
    def project(self) -> Path:
        return self.out / "project"

    @property
    def kept(self) -> Path:
        """What a killed run goes on from, beside the project's embeddings."""
        return self.out / "kept"

    @property
    def tables(self) -> Path:
        return self.out / "tables"

    @property
    def figures(self) -> Path:
        return self.out / "figures"

    @property
    def report(self) -> Path:
        return self.out / "report.html"

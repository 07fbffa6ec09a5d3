"""The settings of ``reproduce``, and the folders of its results."""

from dataclasses import dataclass, field
from pathlib import Path

from pseudorca.errors import PseudorcaError
from pseudorca.study.published import MOMENTA, NETWORKS, RATES
from pseudorca.study.switches import ALL


@dataclass(frozen=True)
class StudyOptions:
    """The settings of the repeated study. The defaults are the settings of the study.

    Raises
    ------
    PseudorcaError
        If a setting is not valid.

    Examples
    --------
    >>> StudyOptions(backbones=("resnet18",)).tuned
    'resnet18'
    """

    backbones: tuple[str, ...] = NETWORKS
    """The first network is tuned, like ResNet-18 in the study."""
    weights: dict[str, str] = field(default_factory=dict)
    """Local files of weights by network. Other networks have the official weights."""
    as_published: frozenset[str] = ALL
    exact_training_mode: bool = False
    """One pass through the network per clip and epoch, instead of statistics that are adapted once."""
    labels: tuple[str, ...] | None = None
    metadata: Path | None = None
    against_rest: str | None = None
    """Use two classes: this class, and all other classes as ``Rest``."""
    max_per_class: int | None = None
    """Most recordings of a class, spread over its encounters."""
    n_unknown: int | None = 10
    """Number of unknown recordings to predict; None: all."""
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
        """The network that is tuned."""
        return self.backbones[0]


@dataclass(frozen=True)
class Folders:
    """The paths in the folder of ``reproduce``."""

    out: Path

    @property
    def project(self) -> Path:
        """The project with the embeddings."""
        return self.out / "project"

    @property
    def kept(self) -> Path:
        """Trainings and results from which a killed run continues."""
        return self.out / "kept"

    @property
    def tables(self) -> Path:
        """The tables as CSV."""
        return self.out / "tables"

    @property
    def figures(self) -> Path:
        """The figures as PNG."""
        return self.out / "figures"

    @property
    def report(self) -> Path:
        """The report as HTML."""
        return self.out / "report.html"

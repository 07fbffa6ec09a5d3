"""What a user wishes of an evaluation, checked before anything slow is imported."""

from dataclasses import dataclass

from pseudorca.errors import PseudorcaError
from pseudorca.values import check_types

USUAL_ERROR = 0.25
"""The share of wrong names among held-out encounters that a name may cost by default."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of an evaluation besides the metrics.

    Raises
    ------
    PseudorcaError
        If ``max_error`` is not more than 0 and less than 1.

    Examples
    --------
    >>> EvaluateOptions(max_error=0.05).n_permutations
    0
    """

    max_error: float = 0.1
    """The wanted share of wrong names: the evaluation shows what this wish costs in coverage."""
    n_permutations: int = 0
    """Number of permutations of the labels between encounters; 0: no permutation test."""
    within: str | None = None
    """Permute only within the values of this column."""
    learning_curve: bool = False
    """Whether to measure how the result grows with the number of encounters."""
    strangers: bool = False
    """Whether to leave each species out in turn, and to ask how often its animals are named."""
    stricter: bool = False
    """Whether to show beside the split by encounter the strictest one that the data know."""

    def __post_init__(self) -> None:
        check_types(self, PseudorcaError)
        if not 0 < self.max_error < 1:
            raise PseudorcaError(
                f"--max-error {self.max_error:g}: expected a share, more than 0 and less than 1."
            )

"""What a user wishes of an audit, checked before anything slow is imported."""

from dataclasses import dataclass

from pseudorca.errors import PseudorcaError
from pseudorca.values import check_types

MIN_PERMUTATIONS = 20
"""With fewer permutations no p can be below 0.05."""

N_PERMUTATIONS, N_QUICK = 199, 39
"""Permutations of a whole audit, and of a quick one, unless another number is asked for."""


@dataclass(frozen=True)
class AuditOptions:
    """Options of an audit.

    ``within``: labels are permuted only between units of equal value in this column, such as platform.
    ``clips_per_encounter``: greatest number of clips per encounter, spread evenly over the encounter.
    ``quick``: compute only what the verdict needs: the model, the facts and the background.

    Raises
    ------
    PseudorcaError
        If there are fewer than 20 permutations, or less than 1 clip.

    Examples
    --------
    >>> AuditOptions(n_permutations=99).clips_per_encounter
    20
    """

    n_permutations: int = N_PERMUTATIONS
    seed: int = 0
    within: str | None = None
    clips_per_encounter: int = 20
    quick: bool = False

    def __post_init__(self) -> None:
        check_types(self, PseudorcaError)
        if self.n_permutations < MIN_PERMUTATIONS:
            raise PseudorcaError(
                f"--permutations {self.n_permutations}: expected at least {MIN_PERMUTATIONS}, since "
                "with fewer no p is below 0.05 and the verdict could only be: cannot tell."
            )
        if self.clips_per_encounter < 1:
            raise PseudorcaError(
                f"--clips-per-encounter {self.clips_per_encounter}: expected at least 1."
            )

"""What a user wishes of predictions, checked before a classifier or a table is read.

In: numbers as they are typed. Out: options that make sense. This module imports neither torch nor
pandas, so that a wrong option is refused at once.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.values import check_types

CsvStyle = Literal["plain", "excel"]
"""Whether CSV tables are for programs, or for Excel."""


@dataclass(frozen=True)
class DecisionOptions:
    """When something is named, and when it stays undecided.

    Examples
    --------
    >>> DecisionOptions(prior="Insular=0.14,Pelagic=0.86", min_probability=0.8).min_moments
    1
    """

    prior: str = "uniform"
    """``uniform``, ``train`` (as many as there are training encounters) or shares by class."""
    max_error: float | None = None
    """The largest share of wrong names wanted among what is named; None: name everything."""
    min_probability: float | None = None
    """Less probable than this stays undecided; None: chosen for each kind of unit so that at most
    :data:`~pseudorca.evaluation.options.USUAL_ERROR` of the names of held-out encounters were wrong;
    0: none is undecided for it."""
    min_moments: int = 1
    """Of recordings and encounters; a clip is one moment."""
    max_novelty: float = 1.0

    def __post_init__(self) -> None:
        check_types(self, PseudorcaError)
        if self.max_error is not None and not 0 < self.max_error < 1:
            raise PseudorcaError(
                f"--max-error {self.max_error:g}: expected a share, more than 0 and less than 1."
            )
        if self.min_probability is not None and not 0 <= self.min_probability <= 1:
            raise PseudorcaError(f"--min-probability {self.min_probability:g}: expected 0 to 1.")
        if self.min_moments < 1:
            raise PseudorcaError(f"--min-moments {self.min_moments}: expected at least 1.")
        if not self.max_novelty > 0:
            raise PseudorcaError(f"--max-novelty {self.max_novelty:g}: expected more than 0.")


def check_csv(csv: str, formats: Collection[str]) -> None:
    """PseudorcaError unless this is a style of CSV tables, and such are among the formats.

    Examples
    --------
    >>> check_csv("excel", ["csv", "raven"])
    """
    if csv not in get_args(CsvStyle):
        raise PseudorcaError(unknown_name("--csv", csv, get_args(CsvStyle)))
    if csv == "excel" and "csv" not in formats:
        raise PseudorcaError(
            f"--csv excel is about CSV, and the formats are {', '.join(formats)}. Add --format csv."
        )


def prior_text(prior: str | Mapping[str, float]) -> str:
    """Write a prior as it is typed.

    Parameters
    ----------
    prior : ``uniform``, ``train``, shares as text or as a mapping from class to share

    Returns
    -------
    str

    Raises
    ------
    PseudorcaError
        If it is none of these.

    Examples
    --------
    >>> prior_text({"Insular": 0.14, "Pelagic": 0.86})
    'Insular=0.14,Pelagic=0.86'
    """
    if isinstance(prior, str):
        return prior
    try:
        return ",".join(f"{label}={float(share)!r}" for label, share in prior.items())
    except (AttributeError, TypeError, ValueError):
        raise PseudorcaError(
            f"prior: expected uniform, train, or a share by class such as "
            f'{{"Insular": 0.14, "Pelagic": 0.86}}, got {prior!r}.'
        ) from None


def check_gap(max_gap_s: float | None) -> None:
    """PseudorcaError unless this is a number of seconds, or None.

    Examples
    --------
    >>> check_gap(2.5)
    """
    if max_gap_s is not None and not 0 <= max_gap_s < math.inf:
        raise PseudorcaError(f"--max-gap {max_gap_s:g}: expected seconds, 0 or more and finite.")

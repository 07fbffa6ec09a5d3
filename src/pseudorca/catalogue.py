"""What the registries hold: things by name, imported when they are first used.

So the command line can list names, and refuse a wrong one, without importing what stands behind them.
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One thing that a registry knows by name.

    Parameters
    ----------
    where : str
        ``package.module:Name`` of the thing itself
    help : str
        What it is, in a few words

    Examples
    --------
    >>> Entry("math:floor", "down to a whole number").load()(2.7)
    2
    """

    where: str
    help: str

    def load(self) -> Any:
        """Import the thing."""
        return resolve_name(self.where)

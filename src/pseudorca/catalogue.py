"""The entries of registries: objects by name, imported when they are first used.

The command line can list the names, and refuse a wrong name, without importing the objects.
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One object that a registry knows by name.

    Parameters
    ----------
    where : str
        ``package.module:Name`` of the object
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
        """Import the object."""
        return resolve_name(self.where)

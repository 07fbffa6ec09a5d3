"""Which population or species of whale made this sound, and how far can that answer be trusted?"""

from pseudorca._version import __version__

__all__ = ["__version__"]

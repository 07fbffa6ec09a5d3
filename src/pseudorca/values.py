"""Settings as JSON values, as ids, and in plain words."""

import json
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> str:
    """Write a setting in plain words.

    Parameters
    ----------
    value : any JSON value

    Returns
    -------
    str

    Examples
    --------
    >>> plain({"pad": "tile", "overlap_s": None, "whole": True})
    'pad: tile, overlap_s: none, whole: yes'
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        inside = ", ".join(
            f"{name}: {{{plain(entry)}}}"
            if isinstance(entry, Mapping)
            else f"{name}: {plain(entry)}"
            for name, entry in value.items()
        )
        return inside or "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    return str(value)


def plural(n: int, noun: str) -> str:
    """Write a count with its noun.

    Parameters
    ----------
    n : int
    noun : str, in the singular

    Returns
    -------
    str

    Examples
    --------
    >>> plural(1, "encounter"), plural(2000, "class")
    ('1 encounter', '2,000 classes')
    """
    ending = "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending if n != 1 else ''}"


def hash_of(value: Any) -> str:
    """Hash a JSON value. Equal values have equal hashes, whatever the order of their keys.

    Parameters
    ----------
    value : any JSON value; NumPy numbers and arrays are allowed

    Returns
    -------
    str, 20 hexadecimal digits

    Examples
    --------
    >>> hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
    True
    """
    import xxhash

    text = json.dumps(value, sort_keys=True, default=plain_value)
    return xxhash.xxh3_128(text.encode()).hexdigest()[:20]


def plain_value(value: Any) -> Any:
    """Convert a value that JSON does not know.

    Parameters
    ----------
    value : NumPy number or array, or any other object

    Returns
    -------
    int, float, bool or list of these; of any other object its text

    Examples
    --------
    >>> import numpy as np
    >>> plain_value(np.arange(3)), plain_value(np.float64(0.5))
    ([0, 1, 2], 0.5)
    """
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)

"""Settings as JSON values, as ids, and as people read them."""

import json
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> str:
    """Write a setting as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        inside = ", ".join(
            f"{name}: {{{plain(each)}}}" if isinstance(each, Mapping) else f"{name}: {plain(each)}"
            for name, each in value.items()
        )
        return inside or "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    return str(value)


def plural(n: int, noun: str) -> str:
    """Write a count with its noun, such as ``1 encounter`` or ``2 classes``."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending if n != 1 else ''}"


def hash_of(value: Any) -> str:
    import xxhash

    text = json.dumps(value, sort_keys=True, default=plain_value)
    return xxhash.xxh3_128(text.encode()).hexdigest()[:20]


def plain_value(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)

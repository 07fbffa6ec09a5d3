"""Settings as JSON values, as ids, and in plain words."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from numbers import Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin


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


def nfc(text: str) -> str:
    """Write a text in the one form of Unicode (NFC) in which names are compared.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> nfc("La\\u0304na\\u02bbi") == nfc("L\\u0101na\\u02bbi")
    True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


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
    >>> plural(1, "encounter"), plural(2000, "class"), plural(0, "altered copy")
    ('1 encounter', '2,000 classes', '0 altered copies')
    """
    if n == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{n:,} {noun[:-1]}ies"
    return f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def first_sentence(text: str) -> str:
    """The first sentence of a text.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> first_sentence("a.wav is cut short: 3.2 s are missing. The rest is used.")
    'a.wav is cut short: 3.2 s are missing.'
    """
    first, full_stop, rest = text.partition(". ")
    return f"{first}." if full_stop and rest else text


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


def check_types(thing: Any, error: type[Exception], *, name: str = "") -> None:
    """Refuse a dataclass whose fields are not of the types that they state.

    Text, numbers, yes or no, names of a choice, sequences and classes are checked. Whole numbers
    pass for real ones, 2.0 for 2, and those of NumPy for those of Python. Other types pass.

    Parameters
    ----------
    thing : dataclass
    error : type of the exception
    name : str, what stands before the name of a field in a message, such as ``--head-set``

    Raises
    ------
    error
        If a field is of another type.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Window:
    ...     length_s: float
    ...     pad: Literal["tile", "zero"] = "tile"
    >>> check_types(Window(3), ValueError)
    >>> check_types(Window("3"), ValueError)
    Traceback (most recent call last):
    ValueError: length_s: expected a number, got '3' (str).
    """
    hints = _hints(type(thing))
    for field in fields(thing):
        value, hint = getattr(thing, field.name), hints.get(field.name, Any)
        if not _is_of(value, hint):
            label = f"{name} {field.name}".strip()
            raise error(
                f"{label}: expected {_in_words(hint)}, got {value!r} ({type(value).__name__})."
            )


def _hints(cls: type) -> dict[str, Any]:
    """The types of fields; names that stand for type checkers alone are Any."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        known = vars(sys.modules[base.__module__])
        for name, hint in vars(base).get("__annotations__", {}).items():
            try:
                hints[name] = eval(hint, known) if isinstance(hint, str) else hint
            except NameError:
                hints[name] = Any
    return hints


def _is_of(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_of(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments or isinstance(value, str)  # names: the owner says which
    if hint in (None, NoneType):
        return value is None
    if hint is bool:
        return type(value).__name__ in ("bool", "bool_") or value in (0, 1)
    if hint in (int, float):
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        return is_number and (hint is float or float(value).is_integer())
    if hint is str:
        return isinstance(value, str)
    if origin in (tuple, list, Sequence):
        return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    kind = origin or hint
    return (
        not isinstance(kind, type)
        or getattr(kind, "_is_protocol", False)
        or isinstance(value, kind)
    )


def _in_words(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_in_words(each) for each in arguments))
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    words = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text",
        None: "None", NoneType: "None", tuple: "a list", list: "a list", Sequence: "a list",
    }  # fmt: skip
    return words.get(origin or hint) or str(getattr(hint, "__name__", hint))

"""The parts of a file of sound as its header lists them: chunks of RIFF, RF64, W64, AIFF, CAF, FLAC.

In: a path or URL. Out: the name, place and claimed size of each part; no sound is decoded here.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from pseudorca.recordings import places
from pseudorca.recordings.places import Place

Opened = places.RemoteFile | BufferedReader

_MOST_CHUNKS = 4_096
_RIFFS = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">", b"FORM": ">"}


class Chunk(NamedTuple):
    """One part of a file.

    Examples
    --------
    >>> Chunk(b"data", 44, 1_800).start
    44
    """

    name: bytes
    """Four bytes, or the number of a FLAC block."""
    start: int
    """Of the content, in bytes from the beginning of the file."""
    size: int
    """Bytes of the content, as the header claims."""


@contextmanager
def opened(place: Place) -> Iterator[Opened]:
    """Open the bytes of a file.

    Parameters
    ----------
    place : path or URL

    Yields
    ------
    BufferedReader or RemoteFile

    Raises
    ------
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.wav").write_bytes(b"RIFF....WAVE")
    ...     with opened(Path(folder, "a.wav")) as file:
    ...         read_at(file, 8, 4)
    b'WAVE'
    """
    remote = places.is_remote(place)
    with closing(places.RemoteFile(str(place)) if remote else Path(place).open("rb")) as file:
        yield file


def read_at(file: Opened, start: int, n_bytes: int) -> bytes:
    """Read bytes at a place, fewer at the end of the file.

    Parameters
    ----------
    file : see :func:`opened`
    start : int, bytes from the beginning
    n_bytes : int

    Returns
    -------
    bytes
    """
    content = bytearray(n_bytes)
    file.seek(start)
    del content[file.readinto(content) :]
    return bytes(content)


def size_of(file: Opened) -> int:
    """Return the size of an open file in bytes."""
    return file.seek(0, os.SEEK_END)


def chunks(file: Opened) -> Iterator[Chunk]:
    """List the parts of a file in order, as far as their claimed sizes lead.

    Parameters
    ----------
    file : see :func:`opened`

    Yields
    ------
    Chunk
        Nothing for a file of another kind. At most 4,096.

    Examples
    --------
    >>> import tempfile
    >>> import soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", [0.1, 0.2], 8_000)
    ...     with opened(f"{folder}/a.wav") as file:
    ...         [(chunk.name, chunk.size) for chunk in chunks(file)]
    [(b'fmt ', 16), (b'data', 4)]
    """
    n_bytes, magic = size_of(file), read_at(file, 0, 4)
    order = _RIFFS.get(magic, "")
    position = {b"riff": 40, b"caff": 8, b"fLaC": 4}.get(magic, 12 if order else n_bytes)
    for _ in range(_MOST_CHUNKS):
        head = read_at(file, position, 24) if position < n_bytes else b""
        if len(head) < (24 if magic == b"riff" else 4 if magic == b"fLaC" else 8):
            return
        if magic == b"riff":  # a GUID that begins with the name, and a size that counts itself
            name, start = head[:4], position + 24
            size = max(0, struct.unpack_from("<Q", head, 16)[0] - 24)
            position = start + size + -size % 8
        elif magic == b"caff":
            name, start = head[:4], position + 12
            size = struct.unpack_from(">Q", head.ljust(12, b"\0"), 4)[0]
            position = start + size
        elif magic == b"fLaC":
            name, start = bytes([head[0] & 0x7F]), position + 4
            size = int.from_bytes(head[1:4], "big")
            position = n_bytes if head[0] & 0x80 else start + size
        else:
            name, start = head[:4], position + 8
            size = struct.unpack_from(order + "I", head, 4)[0]
            position = start + size + size % 2
        yield Chunk(name, start, size)

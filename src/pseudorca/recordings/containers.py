"""The bytes of a file of sound: its chunks as the header lists them, and views of it as other bytes.

In: a path or URL of a RIFF, RF64, W64, AIFF, CAF or FLAC file. No sound is decoded here.
"""

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from pseudorca.recordings import places
from pseudorca.recordings.places import Place

Opened = places.RemoteFile | BufferedReader
Part = bytes | tuple[int, int]
"""Bytes, or the place of the first byte in a file and of the byte after the last."""

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


def open_bytes(place: Place) -> Opened:
    """Open the bytes of a file; OSError if that fails. :func:`opened` closes it again.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    BufferedReader or RemoteFile

    Examples
    --------
    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe_file("/whales/b.wav", b"RIFF....WAVE")
    >>> file = open_bytes("memory://whales/b.wav")
    >>> read_at(file, 8, 99)
    b'WAVE'
    >>> file.close()
    """
    if places.is_remote(place):
        return places.RemoteFile(str(place))
    return Path(place).open("rb")


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
    with closing(open_bytes(place)) as file:
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

    Examples
    --------
    >>> import io
    >>> read_at(BufferedReader(io.BytesIO(b"RIFF....WAVE")), 8, 99)
    b'WAVE'
    """
    file.seek(start)
    if isinstance(file, BufferedReader):
        return file.read(n_bytes)
    content = bytearray(min(n_bytes, max(0, file.size - start)))
    del content[file.readinto(content) :]
    return bytes(content)


def size_of(file: Opened) -> int:
    """Return the size of an open file in bytes.

    Parameters
    ----------
    file : see :func:`opened`

    Returns
    -------
    int

    Examples
    --------
    >>> import io
    >>> size_of(BufferedReader(io.BytesIO(b"RIFF")))
    4
    """
    return file.seek(0, os.SEEK_END)


def chunks(file: Opened, position: int = 0) -> Iterator[Chunk]:
    """List the parts of a file in order, as far as their claimed sizes lead.

    Parameters
    ----------
    file : see :func:`opened`
    position : int, where the first of them begins; 0: after the head of the file

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
    first = {b"riff": 40, b"caff": 8, b"fLaC": 4}.get(magic, 12 if order else n_bytes)
    position = position or first
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


class View:
    """A file seen as other bytes.

    Parameters
    ----------
    file : open file, closed with the view
    parts : sequence of Part

    Examples
    --------
    >>> import io
    >>> view = View(io.BufferedReader(io.BytesIO(b"..sound..")), [b"head ", (2, 7)])
    >>> buffer = bytearray(99)
    >>> bytes(buffer[: view.readinto(buffer)])
    b'head sound'
    """

    def __init__(self, file: Opened, parts: Sequence[Part]) -> None:
        self.file = file
        self._parts = parts
        sizes = (len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts)
        self._ends = list(accumulate(sizes))
        self._position = 0

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in bytes."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._ends[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: places.Writable) -> int:
        """Fill a buffer of bytes up to the end of the view -> the number of bytes."""
        n_read = 0
        while n_read < len(buffer) and self._position < self._ends[-1]:
            k = bisect_right(self._ends, self._position)
            part, left = self._parts[k], self._ends[k] - self._position
            n_bytes = min(left, len(buffer) - n_read)
            if isinstance(part, bytes):
                content = part[len(part) - left :][:n_bytes]
            else:
                content = read_at(self.file, part[1] - left, n_bytes)
            if not content:
                break
            buffer[n_read : n_read + len(content)] = content
            n_read += len(content)
            self._position += len(content)
        return n_read

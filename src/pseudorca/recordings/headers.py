"""The start of a recording as its header tells it, for names that tell no time.

In: a file of sound. Out: the time and its source: the ``harp`` chunk of an XWAV, GUANO, Wildlife
Acoustics' ``wamd``, AudioMoth's comment, or a broadcast WAV's ``bext``.
"""

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pandas as pd

from pseudorca.recordings.containers import Chunk, Opened, chunks, opened, read_at
from pseudorca.recordings.places import Place

_MOST_BYTES = 1 << 16  # of one chunk

_AUDIOMOTH = re.compile(
    rb"Recorded at (\d\d:\d\d:\d\d(?:\.\d{1,6})?) (\d\d)/(\d\d)/(\d{4})"
    rb"(?: \(UTC(?:([+-])(\d{1,2})(?::?(\d\d))?)?\))?"
)
_BEXT = re.compile(rb"(\d{4})[-_:. /](\d\d)[-_:. /](\d\d)(\d\d)[-_:. ](\d\d)[-_:. ](\d\d)")
_HARP_RAW_FILE = 56  # bytes of the harp chunk before its list of raw files


@dataclass(frozen=True)
class HeaderTime:
    """The start of a recording, and where it stands.

    Examples
    --------
    >>> HeaderTime(None, datetime(2021, 3, 1, 18, 0), "bext").start_utc is None
    True
    """

    start_utc: pd.Timestamp | None
    """In UTC; None if the header tells no zone."""
    local: datetime | None
    """As the header writes it: with its zone if it tells one, else without."""
    source: str
    """``harp``, ``guano``, ``wamd``, ``audiomoth`` or ``bext``."""


def header_time(path: Place) -> HeaderTime | None:
    """Read the start of a recording from its header.

    Parameters
    ----------
    path : path or URL of an audio file

    Returns
    -------
    HeaderTime or None
        Of several times, the one whose zone is known, then the first in the order of
        :attr:`HeaderTime.source`. None if the header tells no time, or an impossible one, or if the
        file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> guano = b"GUANO|Version: 1.0\\nTimestamp: 2021-03-01T18:00:00-10:00\\n"
    >>> chunk = b"guan" + struct.pack("<I", len(guano)) + guano
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
    ...     _ = file.write(b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WAVE" + chunk)
    ...     file.flush()
    ...     header_time(file.name).start_utc
    Timestamp('2021-03-02 04:00:00+0000', tz='UTC')
    """
    found: dict[str, datetime] = {}
    with suppress(OSError), opened(path) as file:
        for chunk in _told(file):
            source, read = _READERS[chunk.name.lower()]
            with suppress(ValueError, struct.error):  # an impossible date, a chunk cut short
                time = read(read_at(file, chunk.start, min(chunk.size, _MOST_BYTES)))
                if time is not None:
                    found.setdefault(source, time)
    if not found:
        return None
    order = [source for source, _ in _READERS.values()]
    source = min(found, key=lambda name: (found[name].tzinfo is None, order.index(name)))
    local = found[source]
    utc = None if local.tzinfo is None else pd.Timestamp(local.astimezone(UTC)).as_unit("us")
    return HeaderTime(utc, local, source)


def _told(file: Opened) -> Iterator[Chunk]:
    """The parts of a header that may tell a time. FLAC keeps those of a WAV in blocks of their own."""
    if read_at(file, 0, 4) == b"OggS":
        yield Chunk(b"anno", 0, _MOST_BYTES)
    for chunk in chunks(file):
        if chunk.name == b"\x02" and read_at(file, chunk.start, 4) == b"riff":
            head = read_at(file, chunk.start + 4, 8)
            chunk = Chunk(head[:4], chunk.start + 12, chunk.size - 12)
        if chunk.name.lower() in _READERS:
            yield chunk


def _harp(body: bytes) -> datetime:
    *date, ticks_ms = struct.unpack_from("<6BH", body, _HARP_RAW_FILE)
    year, month, day, hour, minute, second = date
    at = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    return at + timedelta(milliseconds=ticks_ms)


def _guano(body: bytes) -> datetime | None:
    found = re.search(rb"^Timestamp:(.+)$", body, re.MULTILINE)
    return found and _iso(found[1])


def _wamd(body: bytes) -> datetime | None:
    position = 0
    while position + 6 <= len(body):
        kind, size = struct.unpack_from("<HI", body, position)
        if kind == 5:
            return _iso(body[position + 6 : position + 6 + size])
        position += 6 + size
    return None


def _comment(body: bytes) -> datetime | None:
    found = _AUDIOMOTH.search(body)
    if not found:
        return None
    time, day, month, year, sign, *offset = (part and part.decode() for part in found.groups())
    hours, minutes = (int(part or 0) for part in offset)
    ahead = timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1)
    # The first firmware wrote no zone, and meant UTC.
    return _iso(f"{year}-{month}-{day}T{time}".encode()).replace(tzinfo=timezone(ahead))


def _bext(body: bytes) -> datetime | None:
    found = _BEXT.match(body, 320)  # after description, originator and reference
    if not found:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    return datetime(year, month, day, hour, minute, second)


def _iso(text: bytes) -> datetime:
    """ValueError for what is no time."""
    return datetime.fromisoformat(text.strip(b" \0\r\n").decode())


_READERS: dict[bytes, tuple[str, Callable[[bytes], datetime | None]]] = {
    b"harp": ("harp", _harp),
    b"guan": ("guano", _guano),
    b"wamd": ("wamd", _wamd),
    b"list": ("audiomoth", _comment),
    b"anno": ("audiomoth", _comment),  # AIFF
    b"\x04": ("audiomoth", _comment),  # FLAC
    b"bext": ("bext", _bext),
}

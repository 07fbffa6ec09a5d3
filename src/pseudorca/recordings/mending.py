"""Headers that do not tell how much sound a file holds, and a view of the file whose header does.

Sizes wrap at 4 GiB, are never written after a power loss, or stand for "unknown" in a stream. In: an
open file. Out: where the sound lies, and the bytes that libsndfile shall see instead.
"""

import struct
from dataclasses import dataclass

from pseudorca.recordings.containers import Chunk, Opened, View, chunks, read_at, size_of

_WRAP = 1 << 32
_PLACEHOLDERS = (1 << 31, _WRAP, (1 << 31) - (1 << 16), _WRAP - (1 << 16))
"""Programs write one of these, or up to 4 kB less, before they know the size."""
_UNKNOWN = 1 << 62
"""Sizes of 64 bits from here on stand for "unknown", too."""
_FEW = 32
"""So few bytes behind the sound are padding or rubbish, whatever they hold."""

_AFTER_THE_SOUND = frozenset(
    name.ljust(4)
    for name in (
        b"LIST list bext iXML guan wamd harp id3 ID3 JUNK junk FLLR PAD fact PEAK cue smpl inst DISP "
        b"_PMX axml cart acid umid levl afsp chna plst COMM MARK INST COMT NAME AUTH ANNO (c) APPL "
        b"CHAN SAUR info strg uuid free peak"
    ).split()
)
"""Parts that stand behind the sound, the last of them perhaps cut short."""
_W64 = {
    name: bytes.fromhex(code)
    for name, code in (
        ("riff", "726966662e91cf11a5d628db04c10000"), ("wave", "77617665f3acd3118cd100c04f8edb8a"),
        ("fmt ", "666d7420f3acd3118cd100c04f8edb8a"), ("data", "64617461f3acd3118cd100c04f8edb8a"),
    )
}  # fmt: skip
_AU_ENCODINGS = {
    "ULAW": 1, "PCM_S8": 2, "PCM_16": 3, "PCM_24": 4, "PCM_32": 5, "FLOAT": 6, "DOUBLE": 7, "ALAW": 27,
}  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """Where the sound of a file lies, in bytes.

    Examples
    --------
    >>> Sound(start=44, claimed=0, size=1_800, is_streamed=False).n_hidden
    1800
    """

    start: int
    claimed: int
    """As the header says."""
    size: int
    """As the file holds."""
    is_streamed: bool
    """The size in the header is no size."""
    fields: tuple[tuple[int, str, int], ...] = ()
    """Fields of the header: place, format of :mod:`struct`, and value if the header were right."""

    @property
    def n_hidden(self) -> int:
        """Bytes that the header does not tell of."""
        return 0 if self.is_streamed else max(0, self.size - self.claimed)

    @property
    def n_missing(self) -> int:
        """Bytes that the header promises beyond the end of the file."""
        return 0 if self.is_streamed else max(0, self.claimed - self.size)


def find_sound(file: Opened) -> Sound | None:
    """Find where the sound of a file lies, whatever its header says of its size.

    Parameters
    ----------
    file : open WAV (also extensible, RF64, W64), AIFF, AU or CAF

    Returns
    -------
    Sound or None
        None if the file is of another kind, or holds no sound.

    Examples
    --------
    >>> import io
    >>> head = struct.pack("<4sI4s4sI16s4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, bytes(16), b"data", 0)
    >>> find_sound(io.BufferedReader(io.BytesIO(head + b"sound" * 20))).size
    100
    """
    magic, n_bytes = read_at(file, 0, 4), size_of(file)
    if magic in (b".snd", b"dns."):
        order = ">" if magic == b".snd" else "<"
        start, claimed = struct.unpack(order + "II", read_at(file, 4, 8).ljust(8, b"\0"))
        size = _size(file, start, claimed, n_bytes)
        is_streamed = _is_placeholder(claimed, start)
        return Sound(start, claimed, size, is_streamed, ((8, order + "I", _WRAP - 1),))
    big: Chunk | None = None
    for chunk in chunks(file):
        if chunk.name == b"ds64":
            big = chunk
        if chunk.name in (b"data", b"SSND"):
            return _of_chunk(file, magic, chunk, big, n_bytes)
    return None


def _of_chunk(file: Opened, magic: bytes, chunk: Chunk, big: Chunk | None, n_bytes: int) -> Sound:
    start, claimed = chunk.start, chunk.size
    if magic in (b"riff", b"caff"):
        more = 24 if magic == b"riff" else 4  # the size counts these bytes, too
        if magic == b"caff":
            start, claimed = start + 4, claimed - 4
        is_streamed = chunk.size >= _UNKNOWN
        size = _size(file, start, max(0, claimed), n_bytes)
        field = (chunk.start - 8, "<Q" if magic == b"riff" else ">Q", size + more)
        return Sound(start, max(0, claimed), size, is_streamed, (field,))
    if big is not None:
        if claimed == _WRAP - 1:
            claimed = struct.unpack("<Q", read_at(file, big.start + 8, 8))[0]
        size = _size(file, start, claimed, n_bytes)
        fields = ((chunk.start - 4, "<I", _WRAP - 1), (big.start + 8, "<Q", size))
        is_streamed = claimed >= _UNKNOWN or _is_placeholder(claimed, start)
        return Sound(start, claimed, size, is_streamed, fields)
    order, more = "<" if magic in (b"RIFF", b"RF64", b"BW64") else ">", 0
    if chunk.name == b"SSND":
        more = 8 + int.from_bytes(read_at(file, start, 4), "big")
        if more > n_bytes - start:
            more = 8
        start, claimed = start + more, max(0, claimed - more)
    is_streamed = any(_is_placeholder(size, start) for size in (claimed, chunk.size))
    size = _size(file, start, claimed, n_bytes)
    return Sound(start, claimed, size, is_streamed, ((chunk.start - 4, order + "I", size + more),))


def _size(file: Opened, start: int, claimed: int, n_bytes: int) -> int:
    """The bytes of sound: as the header says if the file goes on after them, else to the end."""
    there = max(0, n_bytes - start)
    for k in range(max(0, there - claimed) // _WRAP, -1, -1):
        size = claimed + k * _WRAP
        if size <= there and _is_behind_the_sound(file, start + size, n_bytes):
            return size
    return there


def _is_behind_the_sound(file: Opened, position: int, n_bytes: int) -> bool:
    """Whether nothing more of the sound begins at a position: the end, other chunks, tags, padding."""
    if n_bytes - position <= _FEW:
        return True
    even = position + position % 2  # one byte may pad the sound
    if any(read_at(file, at, 3) in (b"TAG", b"ID3", b"APE") for at in (position, even)):
        return True
    step = max(1, (n_bytes - even) // 16)
    values: set[int] = set()
    for at in range(even, n_bytes, step):
        values.update(read_at(file, at, 4_096))
        if len(values) > 1:
            break
    else:
        return True  # one value throughout, as in space that was reserved
    for first in (position, even, position + -position % 8):
        found = list(chunks(file, first))
        if not found:
            continue
        end = found[-1].start + found[-1].size
        if found[0].name in _AFTER_THE_SOUND or (
            all(32 <= letter < 127 for chunk in found for letter in chunk.name)
            and n_bytes - _FEW <= end <= n_bytes + 1
        ):
            return True
    return False


def _is_placeholder(size: int, start: int) -> bool:
    """Whether a size, or that of the whole file, is no size."""
    return any(0 <= top - value <= 4_096 for value in (size, size + start) for top in _PLACEHOLDERS)


def mended(file: Opened, sound: Sound, subtype: str, sample_rate: int, n_channels: int) -> View:
    """View a file with a header that tells how much sound it holds.

    Parameters
    ----------
    file : open file
    sound : Sound, of this file
    subtype, sample_rate, n_channels : as libsndfile reads them; used for AIFF over 4 GiB

    Returns
    -------
    View

    Examples
    --------
    >>> import io
    >>> head = struct.pack("<4sI4s4sI16s4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, bytes(16), b"data", 0)
    >>> file = io.BufferedReader(io.BytesIO(head + b"sound" * 20))
    >>> view, buffer = mended(file, find_sound(file), "PCM_16", 48_000, 1), bytearray(44)
    >>> view.readinto(buffer), int.from_bytes(buffer[40:], "little")
    (44, 100)
    """
    end = sound.start + sound.size
    magic = read_at(file, 0, 4)
    if all(value < 1 << 8 * struct.calcsize(code) for _, code, value in sound.fields):
        head = bytearray(read_at(file, 0, sound.start).replace(b"BW64", b"RF64", 1))
        for place, code, value in sound.fields:
            struct.pack_into(code, head, place, value)
        return View(file, [bytes(head), (sound.start, end)])
    found = {chunk.name: chunk for chunk in chunks(file) if chunk.start < sound.start}
    if magic == b"FORM":
        common = found[b"COMM"]
        order, name = (">", b".snd")
        if read_at(file, common.start + 18, 4) == b"sowt":
            order, name = "<", b"dns."
        about = (24, _WRAP - 1, _AU_ENCODINGS.get(subtype, 0), sample_rate, n_channels)
        au = name + struct.pack(order + "5I", *about)
        return View(file, [au, (sound.start, end)])
    form = read_at(file, found[b"fmt "].start, found[b"fmt "].size)
    kinds = _W64["fmt "] + struct.pack("<Q", 24 + len(form)) + form + bytes(-len(form) % 8)
    data = _W64["data"] + struct.pack("<Q", 24 + sound.size)
    n_bytes = 40 + len(kinds) + len(data) + sound.size
    w64 = _W64["riff"] + struct.pack("<Q", n_bytes) + _W64["wave"] + kinds + data
    return View(file, [w64, (sound.start, end)])

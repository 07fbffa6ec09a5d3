"""What is lost inside a compressed file, and views of the rest in which time is right.

A decoder of OGG or MP3 passes over a lost sector without a word, and all later sound comes too early.
In: the place of a file. Out: pieces that a decoder reads one by one (OGG, whose pages tell their time),
or the file with silence in the place of lost frames (MP3, whose frames are of one length). FLAC tells
its losses; where it can be read again, the heads of its frames say.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import soundfile as sf

from pseudorca.recordings.containers import (
    Opened,
    Part,
    View,
    open_bytes,
    opened,
    read_at,
    size_of,
)

_BLOCK = 1 << 20
_SHORTEST_PAGE, _USUAL_PAGE = 27, 1 << 13

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_MPEG_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}  # fmt: skip
"""Bit rates by version (2: also 2.5) and layer."""
_MPEG_RATES = {0: (11_025, 12_000, 8_000), 2: (22_050, 24_000, 16_000), 3: (44_100, 48_000, 32_000)}
_BLURRED_FRAMES = 2
"""Frames beside lost ones that decode wrongly: they take bits from their neighbours."""


_LONGEST_FLAC_HEAD = 17


def _crc_8(value: int) -> int:
    for _ in range(8):
        value = value << 1 ^ (0x107 if value & 0x80 else 0)
    return value


_CRC_8 = tuple(_crc_8(value) for value in range(256))

_OPUS_CONVERGES_S = 0.08
"""A decoder of Opus needs so long until it sounds as if it had begun at the beginning."""

LOSES_SILENTLY = frozenset("VORBIS OPUS MPEG_LAYER_I MPEG_LAYER_II MPEG_LAYER_III".split())
"""Codecs, as libsndfile calls them, whose decoders pass over what is lost."""


@dataclass(frozen=True)
class Rest:
    """What is left of a file that has lost some of its middle or its end.

    Examples
    --------
    >>> Rest((((0, 9_000),), (b"head", (9_500, 20_000))), (0, 60_000), ((50_000, 60_000),)).firsts
    (0, 60000)
    """

    pieces: tuple[tuple[Part, ...], ...]
    """What a decoder shall read, piece by piece."""
    firsts: tuple[int, ...]
    """The sample of the recording with which each piece begins."""
    holes: tuple[tuple[int, int], ...]
    """What is no sound of the recording: the first sample, and the one after the last."""
    n_frames: int | None = None
    """Samples of the recording; None if the decoder knows."""
    is_cut: bool = False
    """The end is missing, too; nothing tells how much."""


@lru_cache(maxsize=4096)
def rest_of(place: str, fingerprint: str, subtype: str, sample_rate: int) -> Rest | None:
    """Find what is left of this version of a file, if some of it is lost.

    Parameters
    ----------
    place : path or URL
    fingerprint : str, the version of the file
    subtype : one of :data:`LOSES_SILENTLY`
    sample_rate : int, Hz

    Returns
    -------
    Rest or None
        None if nothing is lost.

    Raises
    ------
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(f"{folder}/a.ogg", [0.0, 0.5] * 5_000, 48_000)
    ...     rest_of(f"{folder}/a.ogg", "1", "VORBIS", 48_000) is None
    True
    """
    with opened(place) as file:
        if subtype not in ("VORBIS", "OPUS"):
            return _filled_mp3(file)
        pieces, is_cut = _ogg_pieces(file)
        whole = ((0, size_of(file)),)
        before = 0 if subtype == "VORBIS" else int.from_bytes(read_at(file, 38, 2), "little")
    if len(pieces) < 2:
        return Rest((whole,), (0,), (), is_cut=True) if is_cut else None
    tick = sample_rate / (sample_rate if subtype == "VORBIS" else 48_000)
    converging = 0 if subtype == "VORBIS" else round(_OPUS_CONVERGES_S * sample_rate)
    kept: list[tuple[Part, ...]] = []
    firsts: list[int] = []
    holes: list[tuple[int, int]] = []
    end = 0
    for parts, last_granule in pieces:
        n_frames = _n_frames(place, parts)
        first = 0
        if kept:  # libsndfile takes what lies before the beginning off the length of every piece
            first = round((last_granule - 2 * before) * tick) - n_frames
            holes.append((end, first + converging))
        if n_frames > converging:
            kept.append(parts)
            firsts.append(first)
            end = first + n_frames
        elif kept:
            holes.pop()
    return Rest(tuple(kept), tuple(firsts), tuple(holes), end, is_cut) if kept else None


def _n_frames(place: str, parts: tuple[Part, ...]) -> int:
    """Samples of a piece; 0 for one that is too short for its codec."""
    try:
        with closing(View(open_bytes(place), parts)) as view, sf.SoundFile(view) as file:
            return int(file.frames)
    except sf.LibsndfileError:
        return 0


def _ogg_pieces(file: Opened) -> tuple[list[tuple[tuple[Part, ...], int]], bool]:
    """Runs of pages without a loss between them, with the time at the end of each; is the end lost?

    No runs if nothing is lost in the middle, if the file holds several streams, or if its head is lost.
    """
    pages = list(_pages(file))
    if not pages or len({page.serial for page in pages}) > 1:
        return [], False
    is_cut = not pages[-1].is_last
    n_head = next((k for k, page in enumerate(pages) if page.granule > 0), len(pages))
    runs: list[list[_Page]] = [[]]
    for before, page in zip([None, *pages], pages, strict=False):
        if before and (page.number != before.number + 1 or page.start != before.end):
            runs.append([])
        runs[-1].append(page)
    if len(runs) == 1 or len(runs[0]) < n_head or not n_head:
        return [], is_cut
    head = read_at(file, 0, pages[n_head - 1].end)
    pieces: list[tuple[tuple[Part, ...], int]] = []
    for k, run in enumerate(runs):
        granules = [page.granule for page in run if page.granule > 0]
        if granules:
            span = (run[0].start, run[-1].end)
            pieces.append(((head, span) if k else (span,), granules[-1]))
    return pieces, is_cut


@dataclass(frozen=True)
class _Page:
    start: int
    end: int
    granule: int
    serial: int
    number: int
    is_last: bool


def _pages(file: Opened) -> Iterator[_Page]:
    """The pages of an OGG file whose check sums are right."""
    position, n_bytes = 0, size_of(file)
    while position + _SHORTEST_PAGE <= n_bytes:
        head = read_at(file, position, _USUAL_PAGE)
        if head[:4] == b"OggS":
            table = head[_SHORTEST_PAGE : _SHORTEST_PAGE + head[26]]
            size = _SHORTEST_PAGE + len(table) + sum(table)
            page = head[:size] if size <= len(head) else read_at(file, position, size)
            granule, serial, number, check = struct.unpack_from("<qIII", head, 6)
            if len(page) == size and _ogg_check(page[:22] + bytes(4) + page[26:]) == check:
                yield _Page(position, position + size, granule, serial, number, bool(head[5] & 4))
                position += size
                continue
        after = read_at(file, position + 1, _BLOCK)
        found = after.find(b"OggS")
        position += 1 + (found if found >= 0 else max(1, len(after) - 3))


def _ogg_check(page: bytes) -> int:
    """The check sum of OGG is the common CRC-32 with the bits of all bytes reversed."""
    check = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{check:032b}"[::-1], 2)


def _filled_mp3(file: Opened) -> Rest | None:
    """Put silence in the place of the lost frames of an MP3; None if nothing is lost.

    How many frames are lost, the table at the head of the file tells, else the bytes between the
    frames and the mean length of a frame.
    """
    runs = _runs_of_frames(file)
    n_bytes = size_of(file)
    is_cut = bool(runs) and runs[-1].end > n_bytes
    if len(runs) < 2:
        return Rest((((0, n_bytes),),), (0,), (), is_cut=True) if is_cut else None
    first = runs[0]
    promised = _promised_frames(read_at(file, first.start, 200))
    n_found = sum(run.n_frames for run in runs) - (promised is not None)
    mean_bytes = sum(run.end - run.start for run in runs) / sum(run.n_frames for run in runs)
    lost_bytes = [after.start - before.end for before, after in pairwise(runs)]
    n_lost = [max(1, round(n / mean_bytes)) for n in lost_bytes]
    if promised is not None and not is_cut and promised - n_found >= len(n_lost):
        share = (promised - n_found) / sum(n_lost)  # sectors may have been left out, too
        ends = [round(sum(n_lost[: k + 1]) * share) for k in range(len(n_lost))]
        n_lost = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    parts: list[Part] = [(0, first.end)]
    holes = []
    position = first.n_frames - (promised is not None)
    for n, run in zip(n_lost, runs[1:], strict=True):
        silence = bytes([first.head[0], first.head[1] | 1, *first.head[2:]])  # no check sum
        parts += [silence.ljust(_frame(silence)[0], b"\0") * n, (run.start, min(run.end, n_bytes))]
        hole = (position - _BLURRED_FRAMES, position + n + _BLURRED_FRAMES)
        holes.append((max(0, hole[0]) * first.n_samples, hole[1] * first.n_samples))
        position += n + run.n_frames
    return Rest((tuple(parts),), (0,), _joined(holes), is_cut=is_cut)


def _joined(holes: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for start, end in holes:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


@dataclass
class _Run:
    """Frames one after the other."""

    start: int
    end: int
    n_frames: int
    head: bytes
    n_samples: int
    """In a frame."""


def _runs_of_frames(file: Opened) -> list[_Run]:
    """The frames of an MP3, as runs between which bytes are no frames."""
    runs: list[_Run] = []
    n_bytes, position, start, block = size_of(file), 0, 0, b""

    def at(place: int, n: int) -> bytes:
        nonlocal start, block
        if not start <= place <= place + n <= start + len(block):
            start, block = place, read_at(file, place, _BLOCK)
        return block[place - start : place - start + n]

    is_run = False
    while position + 4 <= n_bytes:
        head = at(position, 10)
        length, n_samples = _frame(head)
        alike = not runs or head[1] & 0xFE == runs[0].head[1] & 0xFE
        if length and alike and (is_run or _frame(at(position + length, 4))[0]):
            if not is_run:
                runs.append(_Run(position, position, 0, head[:4], n_samples))
            is_run = True
            position += length
            runs[-1].end = position
            runs[-1].n_frames += 1
            continue
        tag = _tag_bytes(head)
        if tag and is_run:  # a second recording behind the first
            runs[-1].end = position + tag
        is_run = is_run and bool(tag)
        position += tag or 1
    if len(runs) > 1 and runs[-1].n_frames < 2:
        runs.pop()
    return runs


def _tag_bytes(head: bytes) -> int:
    """The length of what is no sound and no damage: tags of titles."""
    if head[:3] == b"ID3" and len(head) == 10:
        return 10 + sum(byte << 7 * (3 - k) for k, byte in enumerate(head[6:10]))
    return 128 if head[:3] == b"TAG" else 0


def _frame(head: bytes) -> tuple[int, int]:
    """The bytes and samples of the frame that a header begins; (0, 0) for what is no header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0, 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbps_code, rate_code, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or kbps_code in (0, 15) or rate_code == 3:
        return 0, 0
    rate = _MPEG_RATES[version][rate_code]
    kbps = _MPEG_KBPS[1 if version == 3 else 2, layer][kbps_code - 1]
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4, 384
    n_samples = 576 if layer == 3 and version != 3 else 1_152
    return n_samples * 125 * kbps // rate + padding, n_samples


def _promised_frames(frame: bytes) -> int | None:
    """The number of frames behind a first frame that holds the table of its encoder, if it does."""
    for name in (b"Xing", b"Info"):
        place = frame.find(name)
        if place >= 0 and len(frame) >= place + 12:
            flags, n_frames = struct.unpack_from(">II", frame, place + 4)
            return n_frames if flags & 1 else None
    return None


def flac_frames(file: Opened, position: int = 0) -> list[tuple[int, int]]:
    """Find where the frames of a FLAC file begin and end in time.

    Parameters
    ----------
    file : open file
    position : int, the byte to begin at

    Returns
    -------
    list of (first sample, sample after the last) of each frame whose head is whole, in order

    Examples
    --------
    >>> import io
    >>> sound = io.BytesIO()
    >>> sf.write(sound, [0.0, 0.5] * 5_000, 48_000, format="FLAC")
    >>> flac_frames(io.BufferedReader(sound))
    [(0, 4096), (4096, 8192), (8192, 10000)]
    """
    stream = _flac_stream(file)
    n_samples = int.from_bytes(read_at(file, stream + 10, 2), "big")  # if frames are of one length
    found: list[tuple[int, int]] = []
    alike, n_bytes = b"", size_of(file)
    while position + _LONGEST_FLAC_HEAD < n_bytes:
        block = read_at(file, position, _BLOCK)
        place = -1
        while (place := block.find(b"\xff", place + 1)) >= 0:
            head = block[place : place + _LONGEST_FLAC_HEAD]
            frame = _flac_frame(head, n_samples)
            if frame is None or (found and frame[0] < found[-1][1]):
                continue
            kind = bytes([head[1], head[2] & 15, head[3] & 15])
            alike = alike or kind
            if kind == alike:
                found.append(frame)
        position += max(1, len(block) - _LONGEST_FLAC_HEAD + 1)
    return found


def flac_of_known_length(file: Opened) -> list[Part]:
    """View a FLAC file that was streamed with a head that tells its length.

    Parameters
    ----------
    file : open file, whose head tells no length

    Returns
    -------
    list of Part, empty if no frame is found near the end

    Examples
    --------
    >>> import io
    >>> sound = io.BytesIO()
    >>> sf.write(sound, [0.0, 0.5] * 5_000, 48_000, format="FLAC")
    >>> head, _ = flac_of_known_length(io.BufferedReader(sound))
    >>> int.from_bytes(head[-4:], "big")
    10000
    """
    n_bytes, stream = size_of(file), _flac_stream(file)
    frames = flac_frames(file, max(0, n_bytes - 4 * _BLOCK))
    if not frames:
        return []
    head = bytearray(read_at(file, 0, stream + 26))
    length = int.from_bytes(head[-5:], "big") & ~((1 << 36) - 1) | frames[-1][1]
    head[-5:] = length.to_bytes(5, "big")
    return [bytes(head), (stream + 26, n_bytes)]


def _flac_stream(file: Opened) -> int:
    """Where the stream begins: behind tags of titles, which stand first in some files."""
    return max(0, read_at(file, 0, _BLOCK).find(b"fLaC"))


def _flac_frame(head: bytes, n_samples: int) -> tuple[int, int] | None:
    """First sample, and the one after the last, of a frame; None for what is no whole head."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    length_code, rate_code = head[2] >> 4, head[2] & 15
    n_ones = 8 - (head[4] ^ 0xFF).bit_length()  # the number is written as in UTF-8
    number, n_more = head[4] & 0x7F >> n_ones, max(0, n_ones - 1)
    for byte in head[5 : 5 + n_more]:
        number = number << 6 | byte & 0x3F
    n_length = {6: 1, 7: 2}.get(length_code, 0)
    n_head = 5 + n_more + n_length + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    check = 0
    for byte in head[:n_head]:
        check = _CRC_8[check ^ byte]
    if not length_code or n_head >= len(head) or check != head[n_head]:
        return None
    length = 1 + int.from_bytes(head[5 + n_more : 5 + n_more + n_length], "big")
    if not n_length:
        known = 192 if length_code == 1 else 576 << length_code - 2
        length = 256 << length_code - 8 if length_code >= 8 else known
    first = number if head[1] & 1 else number * n_samples
    return first, first + length

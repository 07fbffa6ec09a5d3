"""Bad files of every kind: a folder of them, each of its own sound, for the laws of the scan.

:func:`sound_files` and :func:`broken_files` give bytes by name; :func:`write_corpus` lays them out
below a folder together with what only a file system can get wrong.
"""

import contextlib
import io
import math
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

RATE = 8_000
N_FRAMES = 900

CONTAINERS = {
    "wav": ("WAV", "PCM_16"), "float.wav": ("WAV", "FLOAT"), "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "wavex.wav": ("WAVEX", "PCM_24"), "rf64": ("RF64", "PCM_16"), "w64": ("W64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"), "aiff": ("AIFF", "PCM_16"), "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"), "caf": ("CAF", "PCM_16"),
    "alac.caf": ("CAF", "ALAC_16"), "au": ("AU", "PCM_16"),
}  # fmt: skip
STRANGERS = (
    "AVR", "SVX", "MAT4", "MAT5", "MPC2K", "PAF", "PVF", "SDS", "IRCAM", "VOC", "NIST", "WVE",
)  # fmt: skip
"""Containers that libsndfile reads, too, and that nobody records whales in."""

_seeds = iter(range(1 << 30))


def noise(n_frames: int = N_FRAMES, n_channels: int = 1) -> NDArray[np.int16]:
    """A sound of its own each time, int16 [shape=(n_frames, n_channels)]."""
    rng = np.random.default_rng(next(_seeds))
    return rng.integers(-(2**14), 2**14, (n_frames, n_channels), dtype=np.int16)


def encode(
    container: str, subtype: str | None = None, *, n_channels: int = 1, n_frames: int = N_FRAMES
) -> bytes:
    """A whole, good file."""
    buffer = io.BytesIO()
    rate = 48_000 if subtype == "OPUS" else RATE
    sf.write(buffer, noise(n_frames, n_channels), rate, subtype, format=container)
    return buffer.getvalue()


# Files by hand


def chunk(name: bytes, body: bytes, *, size: int | None = None, pad: bool = True) -> bytes:
    """A RIFF chunk; ``size`` is what it claims."""
    padding = b"\0" * (len(body) % 2) if pad else b""
    return name + struct.pack("<I", len(body) if size is None else size) + body + padding


def riff(*chunks: bytes, size: int | None = None, form: bytes = b"WAVE") -> bytes:
    """A RIFF file of chunks."""
    body = form + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def fmt(
    *, tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16,
    byte_rate: int | None = None, align: int | None = None, more: bytes = b"", size: int | None = None,
) -> bytes:  # fmt: skip
    """The chunk that says what the samples are."""
    align = channels * bits // 8 % 65536 if align is None else align
    byte_rate = rate * align % (1 << 32) if byte_rate is None else byte_rate
    body = struct.pack("<HHIIHH", tag, channels, rate, byte_rate, align, bits) + more
    return chunk(b"fmt ", body, size=size)


def data(*, size: int | None = None, pad: bool = True, n_bytes: int | None = None) -> bytes:
    """The chunk with the samples."""
    return chunk(b"data", noise().tobytes()[:n_bytes], size=size, pad=pad)


def patched(content: bytes, offset: int, new: bytes) -> bytes:
    """The bytes with some of them overwritten."""
    return content[:offset] + new + content[offset + len(new) :]


def boundaries(content: bytes) -> list[int]:
    """Where the parts of a header begin and end, by container; the sound itself is one part."""
    magic = content[:4]
    marks = {1, 4, 8, 12}
    if magic in (b"RIFF", b"RF64", b"FORM"):
        order = ">" if magic == b"FORM" else "<"
        position = 12
        while position + 8 <= len(content):
            size = struct.unpack(order + "I", content[position + 4 : position + 8])[0]
            marks |= {position, position + 4, position + 8, position + 8 + min(size, 10) // 2}
            position += 8 + size + size % 2
            marks.add(position)
    elif magic == b"riff":  # W64
        marks |= {16, 24, 40}
        position = 40
        while position + 24 <= len(content):
            size = struct.unpack("<Q", content[position + 16 : position + 24])[0]
            marks |= {position, position + 16, position + 24, position + 26}
            position += max(size + 7 & ~7, 24)
    elif magic == b"caff":
        position = 8
        while position + 12 <= len(content):
            size = struct.unpack(">q", content[position + 4 : position + 12])[0]
            marks |= {position, position + 4, position + 12, position + 14}
            position += 12 + max(size, 0)
    elif magic == b"fLaC":
        position, last = 4, False
        while not last and position + 4 <= len(content):
            last = bool(content[position] & 0x80)
            size = int.from_bytes(content[position + 1 : position + 4], "big")
            marks |= {position, position + 1, position + 4, position + 4 + size // 2}
            position += 4 + size
        marks |= {position, position + 2, position + 6, (position + len(content)) // 2}
    elif magic == b"OggS":
        position = 0
        while position + 27 <= len(content):
            n_segments = content[position + 26]
            table = content[position + 27 : position + 27 + n_segments]
            marks |= {position, position + 14, position + 26, position + 27 + n_segments}
            position += 27 + n_segments + sum(table)
    elif magic == b".snd":
        marks |= {16, 20, 23, 24, 25}
    else:  # MP3: a frame header, side information, the tag of the encoder
        marks |= {2, 6, 36, 40, 100, 200, len(content) // 2}
    return sorted(mark for mark in marks if 0 < mark < len(content))


def truncated() -> Iterator[tuple[str, bytes]]:
    """Every container, cut off at every boundary of its header."""
    for suffix, (container, subtype) in CONTAINERS.items():
        content = encode(container, subtype, n_channels=2)
        for mark in boundaries(content):
            again = encode(container, subtype, n_channels=2)  # its own sound
            yield f"truncated/{mark:05d}.{suffix}", again[:mark]
    for container in STRANGERS:
        content = encode(container, "PCM_16" if container not in ("SVX", "WVE") else None)
        for mark in (8, 60, 600):
            yield f"truncated/{container}_{mark}.wav", content[:mark]
        yield f"whole/{container}.wav", content


def headers() -> Iterator[tuple[str, bytes]]:
    """Whole files whose headers lie."""
    whole = N_FRAMES * 2
    extensible = struct.pack("<HHI", 22, 16, 4) + bytes.fromhex("0100000000001000800000aa00389b71")
    wavs = {f"channels_{n}": riff(fmt(channels=n), data()) for n in (0, 3, 65, 1024, 1025, 65535)}
    wavs |= {
        f"rate_{rate}": riff(fmt(rate=rate), data())
        for rate in (0, 1, 49, 1_000_001, 2**31 - 1, 2**31, 2**32 - 1)
    }
    wavs |= {
        f"bits_{b}": riff(fmt(bits=b), data()) for b in (0, 1, 7, 12, 13, 20, 33, 64, 255, 65535)
    }
    wavs |= {f"align_{n}": riff(fmt(align=n), data()) for n in (0, 1, 3, 7, 65535)}
    wavs |= {f"byte_rate_{n}": riff(fmt(byte_rate=n), data()) for n in (0, 1, 2**32 - 1)}
    wavs |= {
        f"tag_{tag:04x}": riff(fmt(tag=tag, bits=bits), data())
        for tag, bits in ((0, 16), (2, 4), (3, 16), (6, 16), (0x11, 4), (0x31, 0), (0x50, 16),
                          (0x55, 16), (0x64, 3), (0x161, 16), (0x674F, 16), (0xFFFE, 16), (0xFFFF, 16))
    }  # fmt: skip
    wavs |= {
        f"fmt_size_{n}": riff(fmt(size=n), data()) for n in (0, 2, 14, 15, 17, 40, 2**31, 2**32 - 1)
    }
    wavs |= {f"riff_size_{n}": riff(fmt(), data(), size=n) for n in (0, 3, 40, whole, 2**32 - 1)}
    wavs |= {
        f"data_size_{n}": riff(fmt(), data(size=n))
        for n in (0, 1, 511, whole - 1, whole + 1, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
    }
    wavs |= {
        "extensible_odd_mask": riff(fmt(tag=0xFFFE, more=extensible), data()),
        "extensible_unknown_guid": riff(fmt(tag=0xFFFE, more=extensible[:-1] + b"?"), data()),
        "extensible_claims_64k": riff(fmt(tag=0xFFFE, more=b"\xff\xff" + extensible[2:]), data()),
        "adpcm_no_blocks": riff(
            fmt(tag=0x11, bits=4, align=0, more=struct.pack("<HH", 2, 0)), data()
        ),
        "adpcm_huge_block": riff(
            fmt(tag=0x11, bits=4, align=65535, more=struct.pack("<HH", 2, 65535)), data()
        ),
        "ms_adpcm_no_coefficients": riff(
            fmt(tag=2, bits=4, align=256, more=struct.pack("<HHH", 4, 500, 0)), data()
        ),
        "ms_adpcm_many_coefficients": riff(
            fmt(tag=2, bits=4, align=256, more=struct.pack("<HHH", 32, 500, 65535)), data()
        ),
    }
    for name, content in wavs.items():
        yield f"headers/{name}.wav", content

    def patch(
        suffix: str, name: str, changes: dict[str, tuple[int, bytes]]
    ) -> Iterator[tuple[str, bytes]]:
        for change, (offset, new) in changes.items():
            content = encode(*CONTAINERS[suffix])
            start = content.index(name.encode("latin1")) if name else 0
            yield f"headers/{suffix}_{change}.{suffix}", patched(content, start + offset, new)

    maximum = b"\xff" * 8
    yield from patch("flac", "", {
        "no_blocks": (8, bytes(4)), "huge_block": (8, b"\xff" * 4), "no_rate": (18, bytes(3)),
        "top_rate": (18, b"\xff\xff\xff"), "claims_2^36": (21, b"\xff" * 5),
        "no_length": (21, b"\x70" + bytes(4)), "other_md5": (26, bytes(range(16))),
        "block_claims_16_MiB": (43, b"\xff\xff\xff"), "unknown_block": (42, b"\x7e"),
        "invalid_block": (42, b"\xff"), "streaminfo_twice": (42, b"\x00"),
    })  # fmt: skip
    yield from patch("aiff", "COMM", {
        "no_channels": (8, bytes(2)), "claims_2^32": (10, b"\xff" * 4), "no_bits": (14, bytes(2)),
        "many_bits": (14, b"\xff\xff"), "no_rate": (16, bytes(10)),
        "endless_rate": (16, b"\x7f\xff" + bytes(8)),
        "negative_rate": (16, b"\xc0\x0e"), "top_rate": (16, b"\x40\x3e" + maximum),
        "size_0": (4, bytes(4)),
        "size_max": (4, b"\xff" * 4),
    })  # fmt: skip
    yield from patch("aiff", "SSND", {
        "sound_size_0": (4, bytes(4)), "sound_size_max": (4, b"\xff" * 4),
        "offset_max": (8, b"\xff" * 4),
        "block_max": (12, b"\xff" * 4),
    })  # fmt: skip
    yield from patch("w64", "", {
        "size_0": (16, bytes(8)), "size_max": (16, maximum), "fmt_size_0": (56, bytes(8)),
        "fmt_size_max": (56, maximum), "no_channels": (66, bytes(2)),
    })  # fmt: skip
    yield from patch("rf64", "ds64", {
        "sizes_max": (8, maximum * 3), "sizes_0": (8, bytes(24)), "table_max": (32, b"\xff" * 4),
        "size_max": (4, b"\xff" * 4), "gone": (0, b"JUNK"),
    })  # fmt: skip
    yield from patch("caf", "desc", {
        "nan_rate": (12, struct.pack(">d", math.nan)),
        "endless_rate": (12, struct.pack(">d", math.inf)),
        "negative_rate": (12, struct.pack(">d", -8000.0)), "no_rate": (12, bytes(8)),
        "huge_rate": (12, struct.pack(">d", 1e300)), "no_packet": (28, bytes(8)),
        "no_channels": (36, bytes(4)),
        "channels_max": (36, b"\xff" * 4), "no_bits": (40, bytes(4)),
        "size_max": (4, b"\x7f" + maximum[1:]),
        "size_negative": (4, maximum),
    })  # fmt: skip
    yield from patch("caf", "data", {
        "data_size_max": (4, b"\x7f" + maximum[1:]), "data_size_-2": (4, maximum[:7] + b"\xfe"),
    })  # fmt: skip
    yield from patch("alac.caf", "pakt", {
        "packets_max": (12, b"\x7f" + maximum[1:]), "frames_max": (20, b"\x7f" + maximum[1:]),
        "table_max": (4, b"\x7f" + maximum[1:]),
    })  # fmt: skip
    yield from patch(
        "alac.caf", "kuki", {"cookie_0": (12, bytes(24)), "cookie_max": (12, b"\xff" * 24)}
    )
    yield from patch("au", "", {
        "offset_0": (4, bytes(4)), "offset_max": (4, b"\xff" * 4), "size_unknown": (8, b"\xff" * 4),
        "size_0": (8, bytes(4)), "encoding_0": (12, bytes(4)), "encoding_23": (12, b"\0\0\0\x17"),
        "no_rate": (16, bytes(4)), "rate_max": (16, b"\xff" * 4), "no_channels": (20, bytes(4)),
        "channels_max": (20, b"\xff" * 4),
    })  # fmt: skip
    yield from patch("ogg", "", {
        "version": (4, b"\x09"), "serial": (14, b"zzzz"), "no_segments": (26, b"\0"),
        "many_segments": (26, b"\xff"), "no_channels": (39, b"\0"), "many_channels": (39, b"\xff"),
        "no_rate": (40, bytes(4)), "blocksizes": (56, b"\x1d"), "granule": (6, maximum),
    })  # fmt: skip
    yield from patch("opus", "", {
        "no_channels": (37, b"\0"), "many_channels": (37, b"\xff"), "preskip": (38, b"\xff\xff"),
        "family": (46, b"\xff"), "granule": (6, maximum),
    })  # fmt: skip
    mp3 = encode(*CONTAINERS["mp3"])
    yield "headers/id3_claims_256_MiB.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + mp3
    yield "headers/id3_alone.mp3", b"ID3\x04\0\0\0\0\x07\x76" + bytes(1014)
    yield "headers/junk_first.mp3", bytes(5_000) + encode(*CONTAINERS["mp3"])
    yield "headers/sync_only.mp3", b"\xff\xfb" * 3_000
    yield "headers/two_rates.mp3", encode(*CONTAINERS["mp3"]) + _mp3(16_000, 1)
    yield "headers/two_channel_counts.mp3", encode(*CONTAINERS["mp3"]) + _mp3(RATE, 2)
    yield "headers/id3_before.flac", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + encode("FLAC")
    yield "headers/chained.ogg", encode("OGG", "VORBIS") + encode("OGG", "VORBIS")
    yield (
        "headers/chained_stereo.ogg",
        encode("OGG", "VORBIS") + encode("OGG", "VORBIS", n_channels=2),
    )


def _mp3(rate: int, n_channels: int) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, noise(n_channels=n_channels), rate, format="MP3")
    return buffer.getvalue()


def chunks() -> Iterator[tuple[str, bytes]]:
    """WAV files of strange parts."""
    text = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"pseudo")
    made = {
        "unknown_before_fmt": riff(chunk(b"what", bytes(10)), fmt(), data()),
        "unknown_between": riff(fmt(), chunk(b"what", bytes(10)), data()),
        "unknown_after": riff(fmt(), data(), chunk(b"what", bytes(10))),
        "odd_padded": riff(fmt(), chunk(b"what", bytes(11)), data()),
        "odd_before_fmt": riff(chunk(b"what", bytes(11), pad=False), fmt(), data()),
        "odd_between": riff(fmt(), chunk(b"what", bytes(11), pad=False), data()),
        "odd_data_then_more": riff(fmt(), data(n_bytes=1001, pad=False), text),
        "huge_unknown_before": riff(fmt(), chunk(b"what", bytes(10), size=2**32 - 1), data()),
        "huge_unknown_after": riff(fmt(), data(), chunk(b"what", bytes(10), size=2**32 - 1)),
        "huge_list": riff(fmt(), chunk(b"LIST", b"INFO", size=2**31), data()),
        "list_entry_too_long": riff(fmt(), chunk(b"LIST", b"INFOISFT\xff\xff\xff\x7fab"), data()),
        "list_of_lists": riff(fmt(), chunk(b"LIST", b"LIST" * 500), data()),
        "two_formats": riff(fmt(), fmt(channels=2, rate=96_000), data()),
        "two_sounds": riff(fmt(), data(), data()),
        "sound_first": riff(data(), fmt()),
        "no_format": riff(data()),
        "no_sound": riff(fmt()),
        "no_chunks": riff(),
        "name_of_zeros": riff(fmt(), chunk(bytes(4), bytes(8)), data()),
        "name_of_ones": riff(fmt(), chunk(b"\xff" * 4, bytes(8)), data()),
        "thousands": riff(fmt(), *[chunk(b"what", b"")] * 20_000, data()),
        "a_big_one": riff(fmt(), chunk(b"JUNK", bytes(3_000_000)), data()),
        "cue_max": riff(fmt(), chunk(b"cue ", struct.pack("<I", 2**32 - 1) + bytes(24)), data()),

        "cue_many": riff(fmt(), chunk(b"cue ", struct.pack("<I", 5_000) + bytes(24 * 5_000)), data()),
        "loops_max": riff(fmt(), chunk(b"smpl", bytes(28) + b"\xff" * 8 + bytes(24)), data()),
        "bext_short": riff(fmt(), chunk(b"bext", bytes(17)), data()),
        "bext_huge": riff(fmt(), chunk(b"bext", bytes(602), size=2**31 - 1), data()),
        "peak_wrong": riff(fmt(), chunk(b"PEAK", bytes(3)), data()),
        "fact_max": riff(fmt(tag=6, bits=8), chunk(b"fact", b"\xff" * 4), data()),
        "acid_short": riff(fmt(), chunk(b"acid", bytes(2)), data()),
        "inst_short": riff(fmt(), chunk(b"inst", bytes(1)), data()),
        "cart_huge": riff(fmt(), chunk(b"cart", bytes(100), size=2**31 - 1), data()),
        "aligned_to_3": riff(fmt(channels=1, bits=24, align=4), data()),
        "big_endian": b"RIFX" + riff(fmt(), data())[4:],
        "wrong_form": riff(fmt(), data(), form=b"AVI "),
        "trailing_junk": riff(fmt(), data()) + os.urandom(777),
        "zeros_behind": riff(fmt(), data()) + bytes(100_000),
    }  # fmt: skip
    for name, content in made.items():
        yield f"chunks/{name}.wav", content


def contents() -> Iterator[tuple[str, bytes]]:
    """Sounds that are none, and things that are no sound."""

    def floats(samples: NDArray[np.generic], subtype: str = "FLOAT") -> bytes:
        buffer = io.BytesIO()
        sf.write(buffer, samples, RATE, subtype, format="WAV")
        return buffer.getvalue()

    for value in (math.nan, math.inf, -math.inf):
        for subtype in ("FLOAT", "DOUBLE"):
            samples = noise()[:, 0] / 2.0**15
            samples[450] = value
            yield f"contents/{value}_{subtype}.wav", floats(samples, subtype)
    yield "contents/all_nan.wav", floats(np.full(N_FRAMES, math.nan))
    yield "contents/largest_float.wav", floats(noise()[:, 0] * 1e34)
    yield "contents/beyond_float.wav", floats(noise()[:, 0] * 1e300, "DOUBLE")
    yield "contents/denormal.wav", floats((noise()[:, 0] * 1e-45).astype(np.float32))
    yield "contents/silent.wav", floats(np.zeros(N_FRAMES))
    yield "contents/constant.wav", floats(np.full(N_FRAMES, 0.25))
    for n in (0, 1, 255):
        yield f"contents/{n}_samples.wav", floats(noise(n)[:, 0] / 2.0**15)
    strangers = {
        "empty": b"", "text": b"recorded on Tuesday\n" * 40, "page": b"<!doctype html><html>" * 50,
        "zip": b"PK\x03\x04" + os.urandom(800), "png": b"\x89PNG\r\n\x1a\n" + os.urandom(800),
        "pdf": b"%PDF-1.7\n" + os.urandom(800), "json": b'{"clip": 1}' * 90,
        "gzip": b"\x1f\x8b\x08" + os.urandom(800),
        "random": os.urandom(5_000), "zeros": bytes(300_000), "ones": b"\xff" * 5_000,
        "video": riff(form=b"AVI "),
        "picture": riff(b"VP8 " + os.urandom(700), form=b"WEBP"),
        "midi": b"MThd\0\0\0\x06\0\x01" + bytes(90),
        "mp4": b"\0\0\0\x20ftypM4A " + os.urandom(800), "link_file": b"[InternetShortcut]\n",
        "byte": b"R",
        "git_lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "matlab": b"MATLAB 5.0 MAT-file" + os.urandom(900),
        "bom": b"\xef\xbb\xbfRIFF" + os.urandom(200),
        "flac_word": b"fLaC" + os.urandom(900), "ogg_word": b"OggS" + os.urandom(900),
        "snd_word": b".snd" + os.urandom(900),
        "caf_word": b"caff\0\1\0\0" + os.urandom(900), "form_word": b"FORM" + os.urandom(900),
    }  # fmt: skip
    for name, content in strangers.items():
        yield f"contents/{name}.wav", content
    yield "contents/wrong_ending.wav", encode("FLAC")
    yield "contents/wrong_ending.flac", encode("WAV")
    yield "contents/not_decodable.m4a", os.urandom(500)


def sizes() -> Iterator[tuple[str, bytes]]:
    """Every container whose header tells another size than the file holds, and strange codecs."""
    fields = {
        "wav": (b"data", 4, "<I"), "float.wav": (b"data", 4, "<I"), "adpcm.wav": (b"data", 4, "<I"),
        "wavex.wav": (b"data", 4, "<I"), "rf64": (b"ds64", 16, "<Q"), "w64": (b"data", 16, "<Q"),
        "aiff": (b"SSND", 4, ">I"), "caf": (b"data", 4, ">Q"), "au": (b".snd", 8, ">I"),
    }  # fmt: skip
    for suffix, (name, offset, code) in fields.items():
        top = (1 << 8 * struct.calcsize(code)) - 1
        for size in (0, 3, 700, top // 2, top // 2 - 36, top - 36, top, top - 4_095):
            whole = encode(*CONTAINERS[suffix])
            place = whole.index(name) + offset
            yield f"sizes/{size:x}.{suffix}", patched(whole, place, struct.pack(code, size))
    for before in (
        chunk(b"FLLR", bytes(4_044)),
        chunk(b"bext", bytes(602)),
        chunk(b"LIST", b"INFO"),
    ):
        for size in (0, 36):
            name = before[:4].decode()
            yield f"sizes/lost_{name}_{size}.wav", riff(fmt(), before, data(size=0), size=size)
    for codec in ("GSM610", "NMS_ADPCM_32", "G721_32"):
        yield f"sizes/{codec}.wav", encode("WAV", codec)
    yield "sizes/bw64.wav", b"BW64" + encode("RF64")[4:]


def lost() -> Iterator[tuple[str, bytes]]:
    """Compressed files without a part of their middle or their end."""
    for suffix in ("flac", "ogg", "opus", "mp3", "alac.caf"):
        for share in (0.3, 0.6, 0.9):
            for n in (64, 512, 4_096):
                whole = encode(*CONTAINERS[suffix], n_frames=20 * N_FRAMES)
                at = int(share * len(whole))
                behind = whole[at + n :]
                yield f"lost/zeros_{share}_{n}.{suffix}", whole[:at] + bytes(n) + behind
                whole = encode(*CONTAINERS[suffix], n_frames=20 * N_FRAMES)
                yield f"lost/out_{share}_{n}.{suffix}", whole[:at] + whole[at + n :]
            whole = encode(*CONTAINERS[suffix], n_frames=20 * N_FRAMES)
            yield f"lost/end_{share}.{suffix}", whole[: int(share * len(whole))]


def broken_files() -> dict[str, bytes]:
    """Every file that bytes alone describe, by its name; no two hold the same sound."""
    return {
        name: content
        for family in (truncated, headers, chunks, contents, sizes, lost)
        for name, content in family()
    }


def flipped(content: bytes, rng: np.random.Generator, *, n_header: int = 256) -> bytes:
    """Bytes of the header changed at random, perhaps cut off or run together."""
    found = bytearray(content)
    for _ in range(rng.integers(1, 8)):
        place = int(rng.integers(min(n_header, len(found))))
        extreme = int(rng.choice([0, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
        found[place : place + int(rng.choice([1, 1, 2, 4]))] = bytes([extreme])
    if rng.random() < 0.3:
        del found[int(rng.integers(1, len(found))) :]
    return bytes(found)


def flipped_files(n: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """``n`` files with damaged headers, by name."""
    rng = np.random.default_rng(seed)
    kinds = list(CONTAINERS.items())
    for k in range(n):
        suffix, kind = kinds[k % len(kinds)]
        yield f"flipped/{k:05d}.{suffix}", flipped(encode(*kind, n_channels=1 + k % 2), rng)


def write_corpus(root: Path) -> set[str]:
    """Lay the corpus out below a folder; returns the paths as the tables of a scan spell them."""
    expected = set()
    for name, content in broken_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        expected.add(name)
    for name, make in _FILE_SYSTEM.items():
        path = root / "places" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        expected.add(f"places/{name}")
    for raw in _NAMES:
        path = root / "names" / os.fsdecode(raw)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode("WAV"))
        expected.add((b"names/" + raw).decode("utf-8", "backslashreplace"))
    return expected


def bury(
    root: Path, *, n_characters: int = 10_000, name: str = "d", file: str = "deep.wav"
) -> None:
    """Make a good recording below folders with a path longer than any call may name."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(n_characters // (len(name) + 1)):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    opened = os.open(file, os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(opened, encode("WAV"))
    os.close(opened)
    os.close(here)


def _socket(path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's address holds 107 characters
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _unreadable(path: Path) -> None:
    path.write_bytes(encode("WAV"))
    path.chmod(0)


def _sparse(path: Path) -> None:
    path.write_bytes(riff(fmt(), chunk(b"data", b"", size=100_000_000)))
    os.truncate(path, 100_000_044)


_FILE_SYSTEM: dict[str, Callable[[Path], object]] = {
    "unreadable.wav": _unreadable,
    "dangling.wav": lambda path: path.symlink_to("nowhere.wav"),
    "to_itself.wav": lambda path: path.symlink_to(path.name),
    "ring_1.wav": lambda path: path.symlink_to("ring_2.wav"),
    "ring_2.wav": lambda path: path.symlink_to("ring_1.wav"),
    "fifo.wav": os.mkfifo,
    "socket.wav": _socket,
    "device.wav": lambda path: path.symlink_to("/dev/zero"),
    "folder.wav": lambda path: path.mkdir(),
    "to_a_good_one.wav": lambda path: path.symlink_to("../names/plain.wav"),
    "hours_of_nothing.wav": _sparse,
}

_NAMES = (
    b"plain.wav", b"with space.wav", b" leading.wav", b"two\nlines.wav", b"tab\there.wav",
    b"carriage\rreturn.wav", b"bell\x07.wav", b"quote'\".wav", b"-dash.wav", b"--help.wav", b"%20.wav",
    b"a;b&c|d.wav", b"$(x).wav", b"back\\slash.wav", b"*.wav", b"[a].wav", b"comma,here.wav", b"#.wav",
    b"caf\xe9.wav", b"\xff\xfe.wav", b"half\xc3.wav", b"caf\xc3\xa9.wav", b"cafe\xcc\x81.wav",
    "クジラ.wav".encode(), "🐋.wav".encode(), "‮vaw.wav".encode(), b"n" * 251 + b".wav",
    b"folder \n of lines/x.wav", b"caf\xe9/x.wav", b"UPPER.WAV", b"dots..wav", b"many.dots.in.it.wav",
    b"x.wav.flac", b"CON.wav", b"~.wav",
)  # fmt: skip

"""Headers that tell less, or more, than the file holds: container x codec x size field."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pseudorca.errors import AudioError
from pseudorca.recordings import audio
from pseudorca.recordings.manifest import ScanOptions, scan

from . import corpus

N_FRAMES = 3_000
WRAP = 1 << 32


@dataclass(frozen=True)
class Field:
    """Where a container keeps the size of its sound: after this name, by so many bytes."""

    name: bytes
    offset: int
    code: str
    counts: int = 0
    """Bytes that the size counts besides the sound."""


FIELDS = {
    "WAV": Field(b"data", 4, "<I"), "WAVEX": Field(b"data", 4, "<I"), "RF64": Field(b"ds64", 16, "<Q"),
    "W64": Field(b"data", 16, "<Q", 24), "AIFF": Field(b"SSND", 4, ">I", 8),
    "AU": Field(b".snd", 8, ">I"), "CAF": Field(b"data", 4, ">Q", 4),
}  # fmt: skip
EXACT = ["PCM_16", "PCM_24", "FLOAT", "ULAW"]
OTHER = {
    "WAV": ["PCM_U8", "IMA_ADPCM", "MS_ADPCM", "GSM610"], "W64": ["IMA_ADPCM"], "CAF": ["PCM_S8"],
    "AIFF": ["PCM_U8", "IMA_ADPCM", "DWVW_16"], "AU": ["G721_32", "ALAW"], "RF64": [], "WAVEX": [],
}  # fmt: skip
KINDS = [(container, codec) for container in FIELDS for codec in EXACT + OTHER[container]]


def content(container: str, codec: str, *, n_channels: int = 1, endian: str | None = None) -> bytes:
    buffer = io.BytesIO()
    samples = corpus.noise(N_FRAMES, n_channels)
    if codec not in ("PCM_16", "PCM_24"):
        samples = samples // 8  # coarse codecs need room
    sf.write(buffer, samples, 8_000, codec, endian, container)
    return buffer.getvalue()


def place_of(whole: bytes, field: Field) -> int:
    return whole.index(field.name) + field.offset


def claiming(whole: bytes, field: Field, size: int) -> bytes:
    """The file with another size of sound in its header."""
    return corpus.patched(whole, place_of(whole, field), struct.pack(field.code, size))


def size_in(whole: bytes, field: Field) -> int:
    return int(struct.unpack_from(field.code, whole, place_of(whole, field))[0])


def unknown_sizes(field: Field) -> list[int]:
    """What programs write that stream, and know no size."""
    if field.code[1] == "Q":
        return [2**64 - 1, 2**63 - 1, 2**63]
    tops = [2**32 - 1, 2**31 - 1]
    return [
        *tops,
        2**31,
        *(top - 36 for top in tops),
        0x7FFFF000,
        0x7FFFFF00,
        2**32 - 4,
        0xFFFF0000,
    ]


@pytest.mark.parametrize(("container", "codec"), KINDS, ids="-".join)
def test_sizes_that_tell_of_less_are_read_to_the_end(
    container: str, codec: str, tmp_path: Path
) -> None:
    field, path = FIELDS[container], tmp_path / "x.wav"
    whole = content(container, codec)
    path.write_bytes(whole)
    expected = audio.read_segment(path)
    for size in {0, 1, field.counts, field.counts + 8, size_in(whole, field) // 2 + 1}:
        path.write_bytes(claiming(whole, field, size))
        found = audio.inspect(path)
        assert found.info.n_frames == expected.shape[1], size
        assert found.info.format == f"{container}/{codec}"
        assert found.info.n_missing_frames == 0
        told = max(0, size - field.counts) / (size_in(whole, field) - field.counts)
        hidden = found.info.n_hidden_frames / expected.shape[1]
        assert hidden == pytest.approx(1 - told, abs=0.02), size
        assert np.array_equal(audio.read_segment(path), expected), size


@pytest.mark.parametrize(("container", "codec"), KINDS, ids="-".join)
def test_sizes_of_a_stream_miss_nothing(container: str, codec: str, tmp_path: Path) -> None:
    field, path = FIELDS[container], tmp_path / "x.wav"
    whole = content(container, codec)
    path.write_bytes(whole)
    expected = audio.read_segment(path)
    for size in unknown_sizes(field):
        path.write_bytes(claiming(whole, field, size))
        info = audio.inspect(path).info
        assert (info.n_missing_frames, info.n_hidden_frames, info.is_cut) == (0, 0, False), hex(
            size
        )
        assert np.array_equal(audio.read_segment(path), expected), hex(size)


@pytest.mark.parametrize("container", FIELDS)
@pytest.mark.parametrize("more", [1, 2, 4_000])
def test_sizes_that_promise_more_say_how_much(container: str, more: int, tmp_path: Path) -> None:
    field, path = FIELDS[container], tmp_path / "x.wav"
    whole = content(container, "PCM_16")
    path.write_bytes(claiming(whole, field, size_in(whole, field) + more))
    info = audio.inspect(path).info
    assert (info.n_frames, info.n_missing_frames) == (N_FRAMES, more // 2)
    assert info.is_cut is (more > 1)


@pytest.mark.parametrize("container", FIELDS)
@pytest.mark.parametrize("endian", [None, "LITTLE"])
def test_sizes_wrapped_at_4_gib_lose_nothing(
    container: str, endian: str | None, tmp_path: Path
) -> None:
    if endian and container not in ("AIFF", "CAF"):
        return  # little-endian already, or under another name
    field, path, n_bytes = FIELDS[container], tmp_path / "x.wav", WRAP + 64_000
    whole = content(container, "PCM_16", endian=endian)
    start = len(whole) - 2 * N_FRAMES
    samples = np.frombuffer(whole[start : start + 2 * N_FRAMES], dtype=np.int16)
    order = "<i2" if endian or container in ("WAV", "WAVEX", "RF64", "W64") else ">i2"
    with path.open("wb") as file:  # a sparse file: it takes a few kB of the disk
        file.write(claiming(whole, field, 64_000 + field.counts)[:start])
        file.write(samples.tobytes())
        file.truncate(start + n_bytes)
        file.seek(start + n_bytes - 2_000)
        file.write(np.arange(1_000).astype(order).tobytes())
    with audio.Reader(path) as reader:
        assert reader.info.n_frames == n_bytes // 2
        assert reader.info.n_hidden_frames == pytest.approx(WRAP // 2, abs=1)
        assert reader.info.format == f"{container}/PCM_16"
        end = reader.read(n_bytes // 2 - 1_000, 1_000)[0]
        assert np.array_equal(end * 2**15, np.arange(1_000))
        assert np.array_equal(reader.read(0, 9)[0] * 2**15, samples[:9].view(order))


def test_bw64_is_rf64_by_another_name(tmp_path: Path) -> None:
    whole = content("RF64", "PCM_24")
    (tmp_path / "x.wav").write_bytes(whole)
    expected = audio.read_segment(tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes(b"BW64" + whole[4:])
    assert np.array_equal(audio.read_segment(tmp_path / "x.wav"), expected)


BEFORE = {
    "plain": b"",
    "FLLR": corpus.chunk(b"FLLR", bytes(4_044)),
    "LIST": corpus.chunk(
        b"LIST", b"INFO" + corpus.chunk(b"ICMT", b"Recorded at noon by AudioMoth ")
    ),
    "bext": corpus.chunk(b"bext", bytes(602)),
    "several": corpus.chunk(b"JUNK", bytes(27)) + corpus.chunk(b"bext", bytes(602)),
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("riff_size", [0, 36, 2**32 - 1, None])
@pytest.mark.parametrize("size", [0, 2**32 - 1])
def test_sizes_lost_with_the_power_leave_the_sound(
    before: str, riff_size: int | None, size: int, tmp_path: Path
) -> None:
    samples = corpus.noise(N_FRAMES, 2)
    sound = corpus.chunk(b"data", samples.tobytes(), size=size)
    head = corpus.fmt(channels=2) + BEFORE[before]
    (tmp_path / "x.wav").write_bytes(corpus.riff(head, sound, size=riff_size))
    assert audio.inspect(tmp_path / "x.wav").info.n_frames == N_FRAMES
    found = audio.read_segment(tmp_path / "x.wav")
    assert np.array_equal(found, samples.T / np.float32(2**15))


BEHIND = {
    "nothing": b"", "a list": corpus.chunk(b"LIST", b"INFO" + corpus.chunk(b"ISFT", b"pseudo")),
    "two chunks": corpus.chunk(b"guan", b"GUANO|Version: 1.0") + corpus.chunk(b"wamd", bytes(50)),
    "an unknown chunk": corpus.chunk(b"qwer", bytes(99)), "zeros": bytes(70_000),
    "a chunk cut short": corpus.chunk(b"LIST", bytes(40), size=4_000), "rubbish": b"\x81\x92\xa3",
    "erased flash": b"\xff" * 5_000, "a tag": b"TAG".ljust(128, b"x"),
}  # fmt: skip


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("n_frames", [N_FRAMES, N_FRAMES + 1])
def test_sizes_that_are_right_end_the_sound(behind: str, n_frames: int, tmp_path: Path) -> None:
    samples = corpus.noise(n_frames)[:, 0] // 256
    head = corpus.fmt(bits=8)
    sound = corpus.chunk(b"data", (samples + 128).astype(np.uint8).tobytes())
    (tmp_path / "x.wav").write_bytes(corpus.riff(head, sound, BEHIND[behind]))
    info = audio.inspect(tmp_path / "x.wav").info
    assert (info.n_frames, info.n_hidden_frames, info.is_cut) == (n_frames, 0, False)


def test_sizes_of_no_sound_stay_no_sound(tmp_path: Path) -> None:
    for name, behind in BEHIND.items():
        if name == "a chunk cut short":
            continue
        (tmp_path / "x.wav").write_bytes(
            corpus.riff(corpus.fmt(), corpus.chunk(b"data", b""), behind)
        )
        with pytest.raises(AudioError, match="no samples"):
            audio.inspect(tmp_path / "x.wav")


def test_notices_of_one_kind_are_one_line(tmp_path: Path) -> None:
    field = FIELDS["WAV"]
    makers: dict[str, Callable[[bytes], bytes]] = {
        "streamed": lambda whole: claiming(whole, field, 2**32 - 1),
        "unclosed": lambda whole: claiming(whole, field, 0),
        "cut": lambda whole: whole[:-2_000],
    }
    for name, make in makers.items():
        for k in range(30):
            (tmp_path / f"{name}_{k:02d}.wav").write_bytes(make(content("WAV", "PCM_16")))
    found = scan(tmp_path, options=ScanOptions(labels=()))
    assert len(found.recordings) == 90
    assert found.problems.empty
    assert len(found.file_notices) == 2
    unclosed, cut = found.file_notices
    assert "30 files" in unclosed
    assert f"{30 * N_FRAMES / 8_000:.1f} s" in unclosed
    assert "30 files" in cut
    assert f"{30 * 1_000 / 8_000:.1f} s" in cut
    assert not any("streamed" in notice for notice in found.notices)


# Codecs that cannot go to a place


@pytest.mark.parametrize(
    ("container", "codec"),
    [(c, codec) for c in FIELDS for codec in sf.available_subtypes(c) if codec != "DWVW_12"],
    ids="-".join,
)
def test_every_codec_is_read_where_it_was_asked_for(
    container: str, codec: str, tmp_path: Path
) -> None:
    if (container, codec) == ("WAV", "MPEG_LAYER_III"):
        return  # read, not written
    path = tmp_path / "x.wav"
    path.write_bytes(content(container, codec))
    whole = audio.read_segment(path)
    assert audio.inspect(path).info.n_frames == whole.shape[1] >= N_FRAMES
    with audio.Reader(path) as reader:
        for start in (0, 2_000, 100, 2_900, 0):
            assert np.array_equal(reader.read(start, 90), whole[:, start : start + 90])

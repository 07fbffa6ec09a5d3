"""The start of a recording from its header, whatever the container."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudorca.recordings.headers import header_time

from . import corpus

HAWAII = timezone(timedelta(hours=-10))
START = datetime(2018, 3, 21, 14, 5, 9, tzinfo=HAWAII)


def harp(time: datetime) -> bytes:
    utc = time.astimezone(UTC)
    ticks = utc.microsecond // 1_000
    date = (utc.year - 2000, utc.month, utc.day, utc.hour, utc.minute, utc.second)
    raw = struct.pack("<6BHIIIIB7x", *date, ticks, 0, 0, 0, 200_000, 1)
    about = struct.pack(
        "<B10s4s4s8sB8sHiih8x", 1, b"2.10", b"DL41", b"K", b"HAWAII", 1, b"", 1, 0, 0, 0
    )
    return corpus.chunk(b"harp", about + raw)


def guano(time: datetime) -> bytes:
    text = f"GUANO|Version: 1.0\r\nMake: Someone\r\nTimestamp: {time.isoformat()}\r\nNote: x\r\n"
    return corpus.chunk(b"guan", text.encode())


def wamd(time: datetime) -> bytes:
    entries = {0: b"\x01\0", 1: b"SM4", 5: time.isoformat(sep=" ").encode(), 6: b"WGS84,21,-157"}
    return corpus.chunk(
        b"wamd", b"".join(struct.pack("<HI", k, len(v)) + v for k, v in entries.items())
    )


def comment(time: datetime) -> bytes:
    offset = time.utcoffset() or timedelta(0)
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    zone = f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")
    text = f"Recorded at {time:%H:%M:%S %d/%m/%Y} (UTC{zone if minutes else ''}) by AudioMoth 24E1"
    words = text.encode() + b" at medium gain while battery was 4.2V.\0"
    return corpus.chunk(b"LIST", b"INFO" + corpus.chunk(b"ICMT", words))


def bext(time: datetime) -> bytes:
    text = f"{time:%Y-%m-%d%H:%M:%S}".encode()
    return corpus.chunk(b"bext", bytes(320) + text + bytes(264))


SOURCES: dict[str, Callable[[datetime], bytes]] = {
    "harp": harp, "guano": guano, "wamd": wamd, "audiomoth": comment, "bext": bext,
}  # fmt: skip


def as_wav(chunk: bytes) -> bytes:
    return corpus.riff(corpus.fmt(), chunk, corpus.data())


def as_wav_behind_the_sound(chunk: bytes) -> bytes:
    return corpus.riff(corpus.fmt(), corpus.data(), chunk)


def as_w64(chunk: bytes) -> bytes:
    whole = corpus.encode("W64")
    guid = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
    body = chunk[8:] + bytes(-len(chunk[8:]) % 8)
    named = chunk[:4].lower() + guid + struct.pack("<Q", len(chunk[8:]) + 24) + body
    return whole[:40] + named + whole[40:]


def as_flac(chunk: bytes) -> bytes:
    """As ``flac --keep-foreign-metadata`` writes it."""
    whole = corpus.encode("FLAC")
    body = b"riff" + chunk
    return whole[:42] + b"\x02" + len(body).to_bytes(3, "big") + body + whole[42:]


CONTAINERS = [as_wav, as_wav_behind_the_sound, as_w64, as_flac]


@pytest.mark.parametrize("contain", CONTAINERS, ids=lambda contain: contain.__name__)
@pytest.mark.parametrize("source", SOURCES)
def test_header_time_is_what_was_written_in_every_container(
    source: str, contain: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(contain(SOURCES[source](START)))
    found = header_time(path)
    assert found is not None
    assert found.source == source
    if source == "bext":
        assert (found.start_utc, found.local) == (None, START.replace(tzinfo=None))
    else:
        assert found.start_utc == pd.Timestamp(START)
        assert found.local == START


@given(
    time=st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)),
    minutes=st.sampled_from([0, 60, -600, 330, 345, 720, -210]),
    source=st.sampled_from([*SOURCES]),
)
def test_header_time_round_trips_every_time_and_zone(
    time: datetime, minutes: int, source: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    zoned = time.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    path = tmp_path_factory.getbasetemp() / "header.wav"
    utc = zoned.astimezone(UTC)
    if not 2000 <= utc.year <= 2099:
        return
    path.write_bytes(as_wav(SOURCES[source](zoned)))
    found = header_time(path)
    assert found is not None
    assert found.local is not None
    if source == "bext":
        assert found.local == zoned.replace(tzinfo=None)
    else:
        assert found.start_utc == pd.Timestamp(utc)


def test_header_time_takes_the_zone_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(as_wav(bext(START) + comment(START)))
    found = header_time(tmp_path / "x.wav")
    assert found is not None
    assert found.source == "audiomoth"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        (b"Recorded at 20:05:00 05/06/2018 by AudioMoth 24E1", datetime(2018, 6, 5, 20, 5)),
        (b"Recorded at 20:05:00 05/06/2018 (UTC) by AudioMoth", datetime(2018, 6, 5, 20, 5)),
        (
            b"Recorded at 20:05:00.500 05/06/2018 (UTC-10) by",
            datetime(2018, 6, 6, 6, 5, 0, 500_000),
        ),
        (b"Recorded at 20:05:00 05/06/2018 (UTC+5:30) by A", datetime(2018, 6, 5, 14, 35)),
        (b"Recorded at 20:05:00 05/06/2018 (UTC-0330) by A", datetime(2018, 6, 5, 23, 35)),
    ],
)
def test_header_time_reads_every_wording_of_audiomoth(
    text: bytes, utc: datetime, tmp_path: Path
) -> None:
    listed = corpus.chunk(b"LIST", b"INFO" + corpus.chunk(b"ICMT", text))
    (tmp_path / "x.wav").write_bytes(as_wav(listed))
    found = header_time(tmp_path / "x.wav")
    assert found is not None
    assert found.start_utc == pd.Timestamp(utc, tz="UTC")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"RIFF", b"hello" * 99, corpus.riff(corpus.fmt(), corpus.data()),
        as_wav(bext(START).replace(b"2018-03-21", b"0000-00-00")),
        as_wav(guano(START).replace(b"2018-03-21", b"yesterday!")),
        as_wav(corpus.chunk(b"harp", b"\1\2")),
        as_wav(corpus.chunk(b"harp", bytes(88))),
        as_wav(corpus.chunk(b"wamd", b"\5\0\xff\xff\xff\xff12")),
        as_wav(corpus.chunk(b"bext", bytes(12), size=2**32 - 1)),
        as_wav(corpus.chunk(b"LIST", b"INFOICMT")),
    ],
)  # fmt: skip
def test_header_time_of_a_header_without_a_time_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    assert header_time(tmp_path / "x.wav") is None
    assert header_time(tmp_path / "missing.wav") is None


def test_header_time_reads_every_file_of_the_corpus(tmp_path: Path) -> None:
    for number, content in enumerate(corpus.broken_files().values()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        assert header_time(path) is None

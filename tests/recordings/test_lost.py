"""Compressed files that are cut off, or have lost a sector: what is left is in its place."""

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pseudorca.errors import AudioError
from pseudorca.prediction.effort import Effort, find_gaps
from pseudorca.recordings import audio
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.manifest import ScanOptions, scan
from pseudorca.recordings.timeline import timeline

SECONDS = 12
KINDS = [
    ("FLAC", "PCM_16", 8_000), ("FLAC", "PCM_24", 48_000), ("OGG", "VORBIS", 44_100),
    ("OGG", "OPUS", 48_000), ("OGG", "OPUS", 16_000), ("MP3", "MPEG_LAYER_III", 48_000),
    ("MP3", "MPEG_LAYER_III", 16_000),
]  # fmt: skip


@cache
def whole_file(container: str, codec: str, rate: int) -> bytes:
    """A rising tone in noise, so that every stretch is unlike the others."""
    rng = np.random.default_rng(0)
    time_s = np.arange(rate * SECONDS) / rate
    samples = 0.2 * np.sin(2 * np.pi * (400 * time_s + 80 * time_s**2))
    samples += 0.05 * rng.standard_normal(len(samples))
    buffer = io.BytesIO()
    with sf.SoundFile(buffer, "w", rate, 1, codec, format=container) as file:
        for start in range(0, len(samples), 10_000):
            file.write(samples[start : start + 10_000])
    return buffer.getvalue()


def zeroed(share: float, n: int) -> Callable[[bytes], bytes]:
    def hurt(whole: bytes) -> bytes:
        at = int(len(whole) * share)
        return whole[:at] + bytes(n) + whole[at + n :]

    return hurt


def left_out(whole: bytes) -> bytes:
    at = len(whole) // 2
    return whole[:at] + whole[at + 4_096 :]


def scrambled(whole: bytes) -> bytes:
    at = len(whole) // 3
    return whole[:at] + np.random.default_rng(3).bytes(4_096) + whole[at + 4_096 :]


HURTS: dict[str, Callable[[bytes], bytes]] = {
    "sector of 512": zeroed(0.5, 512),
    "sector of 4096": zeroed(0.5, 4_096),
    "two sectors": lambda whole: zeroed(0.3, 1_024)(zeroed(0.7, 1_024)(whole)),
    "a fifth": lambda whole: zeroed(0.4, len(whole) // 5)(whole),
    "sector left out": left_out,
    "sector scrambled": scrambled,
    "sector and end": lambda whole: scrambled(whole)[: int(0.8 * len(whole))],
}


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize(("container", "codec", "rate"), KINDS, ids=str)
@pytest.mark.parametrize("name", HURTS)
def test_sound_before_and_after_a_loss_is_in_its_place(
    name: str, container: str, codec: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{container.lower()}"
    content = whole_file(container, codec, rate)
    path.write_bytes(content)
    whole = audio.read_segment(path)[0]
    path.write_bytes(HURTS[name](content))
    info = audio.inspect(path).info
    assert info.is_cut is (name == "sector and end")
    assert info.holes
    lost = sum(end - start for start, end in info.holes)
    hurt_share = {"a fifth": 0.2, "two sectors": 2_048 / len(content)}.get(
        name, 4_096 / len(content)
    )
    assert 0 < lost / len(whole) < hurt_share + (0.4 if container == "OGG" else 0.25)
    if not info.is_cut:
        assert info.n_frames == pytest.approx(len(whole), abs=0.01 * rate)
    step, n_read = rate // 5, 0
    with audio.Reader(path) as reader:
        for start, end in info.holes:
            with pytest.raises(AudioError, match="damaged"):
                reader.read(start, end - start)
        starts = list(range(0, info.n_frames - step, step))
        for start in [*starts, *starts[::-5]]:
            if any(start < b and start + step > a for a, b in info.holes):
                continue
            found = reader.read(start, step)[0]
            if not (container == "MP3" and info.is_cut):  # nothing tells how many frames are lost
                assert likeness(found, whole[start : start + step]) > 0.9, start
            n_read += 1
    assert n_read > 5


@pytest.mark.parametrize(("container", "codec", "rate"), KINDS, ids=str)
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_a_file_cut_off_keeps_what_can_be_decoded(
    share: float, container: str, codec: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{container.lower()}"
    content = whole_file(container, codec, rate)
    path.write_bytes(content)
    whole = audio.read_segment(path)[0]
    path.write_bytes(content[: int(share * len(content))])
    info = audio.inspect(path).info
    assert info.is_cut
    assert info.holes == ()
    assert info.n_frames == pytest.approx(share * len(whole), abs=1.2 * rate)
    if container != "OGG":  # which tells no length
        assert info.n_frames + info.n_missing_frames == len(whole)
    found = audio.read_segment(path, n_frames=info.n_frames)[0]
    n = info.n_frames - rate // 4
    assert likeness(found[:n], whole[:n]) > 0.99


@pytest.mark.parametrize(("container", "codec", "rate"), KINDS, ids=str)
def test_whole_files_have_lost_nothing(
    container: str, codec: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{container.lower()}"
    behind = {"MP3": b"TAG".ljust(128, b"x")}.get(container, b"")
    path.write_bytes(whole_file(container, codec, rate) + behind)
    info = audio.inspect(path).info
    assert (info.holes, info.is_cut, info.n_missing_frames) == ((), False, 0)
    assert info.n_frames == rate * SECONDS


@pytest.mark.parametrize("before", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_a_streamed_flac_that_tells_no_length_is_read_whole(
    rate: int, before: bytes, tmp_path: Path
) -> None:
    content = bytearray(whole_file("FLAC", "PCM_16", rate))
    (tmp_path / "whole.flac").write_bytes(content)
    content[21] &= 0xF0
    content[22:42] = bytes(20)  # the length, and the check sum that is not known either
    (tmp_path / "x.flac").write_bytes(before + content)
    info = audio.inspect(tmp_path / "x.flac").info
    assert (info.n_frames, info.is_cut, info.holes) == (rate * SECONDS, False, ())
    whole = audio.read_segment(tmp_path / "whole.flac")
    assert np.array_equal(audio.read_segment(tmp_path / "x.flac"), whole)
    (tmp_path / "x.flac").write_bytes(before + zeroed(0.5, 4_096)(bytes(content)))
    hurt = audio.inspect(tmp_path / "x.flac").info
    assert hurt.n_frames == rate * SECONDS
    assert len(hurt.holes) == 1


def test_a_long_flac_cut_off_at_95_percent_keeps_95_percent(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-3_000, 3_000, 720 * 2_000, dtype=np.int16)
    sf.write(tmp_path / "x.flac", samples, 2_000)
    content = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(content[: int(0.95 * len(content))])
    found = scan(tmp_path)
    assert found.problems.empty
    assert found.recordings["duration_s"][0] == pytest.approx(0.95 * 720, abs=6)
    (told,) = found.file_notices
    assert "x.flac" in told


# What follows from it


def hurt_survey(root: Path) -> pd.DataFrame:
    """Two files of one recorder, 12 s each with 30 s between them; the first has lost its middle."""
    content = whole_file("FLAC", "PCM_16", 8_000)
    (root / "Sette_44").mkdir(parents=True)
    (root / "Sette_44/20170728_031200.flac").write_bytes(zeroed(0.45, 9_000)(content))
    samples = np.random.default_rng(1).normal(0, 0.1, 8_000 * SECONDS)
    sf.write(root / "Sette_44/20170728_031242.flac", samples, 8_000)
    found = scan(root, options=ScanOptions(labels=()))
    assert found.problems.empty
    assert any("20170728_031200.flac" in notice for notice in found.notices)
    return found.recordings.sort_values("path", ignore_index=True)


def test_no_clip_lies_in_a_hole(tmp_path: Path) -> None:
    recordings = hurt_survey(tmp_path)
    ((lost, until),) = json.loads(recordings["holes"][0])
    for window_s in (0.5, 3.0, None):
        clips, _ = cut(recordings, ClipOptions(window_s=window_s, pad="drop"))
        of_hurt = clips[clips["recording_id"] == recordings["recording_id"][0]]
        assert len(of_hurt)
        assert ((of_hurt["end_s"] <= lost) | (of_hurt["start_s"] >= until)).all()
        assert (of_hurt["start_s"] >= until).any()
    selections = pd.DataFrame(
        {"recording_id": recordings["recording_id"][0], "channel": "", "end_s": [2.0, until - 0.1],
         "start_s": [1.0, lost + 0.1]}
    )  # fmt: skip
    clips, problems = cut(recordings, ClipOptions(window_s=None), selections=selections)
    assert clips[["start_s", "end_s"]].to_numpy().tolist() == [[1.0, 2.0]]
    assert recordings["path"][0] in problems["path"].tolist()


def test_a_hole_is_a_gap_and_no_effort(tmp_path: Path) -> None:
    recordings = hurt_survey(tmp_path)
    ((lost, until),) = json.loads(recordings["holes"][0])
    gaps = find_gaps(recordings)
    assert gaps["gap_s"].tolist() == pytest.approx([until - lost, 30.0])
    begin = pd.Timestamp("2017-07-28T03:12:00Z")
    assert (gaps["start_utc"][0] - begin).total_seconds() == pytest.approx(lost, abs=1e-5)
    assert (gaps["end_utc"][0] - begin).total_seconds() == pytest.approx(until, abs=1e-5)
    effort = Effort(recordings, ["Insular"], line=timeline(recordings))
    clips, _ = cut(recordings, ClipOptions(window_s=0.5))
    effort.add(clips.assign(decision="undecided"))
    nothing = pd.DataFrame({"recording_id": [], "start_s": [], "decision": []})
    table = effort.table(nothing)
    assert table["recorded_s"].sum() == pytest.approx(2 * SECONDS - (until - lost))
    assert table["listened_s"].sum() <= table["recorded_s"].sum() + 1e-9

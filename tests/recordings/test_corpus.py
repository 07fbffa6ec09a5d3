"""Bad files of every kind: each is a recording or a problem, and nothing else happens."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import AudioError
from pseudorca.recordings import audio, places
from pseudorca.recordings.manifest import ScanOptions, scan

from . import corpus

LIMIT_S = 300
"""A scan of the corpus takes a few seconds; one that hangs takes for ever."""

_SCAN = """
import json, re, sys
from pathlib import Path
import soundfile, pandas, pyarrow
from pseudorca.recordings.manifest import ScanOptions, scan
def memory(name):
    found = re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024
before = memory("VmRSS")
found = scan(sys.argv[1], options=ScanOptions(labels=()), n_threads=2)
print(json.dumps({
    "recordings": found.recordings["path"].tolist(),
    "problems": found.problems[["path", "reason", "detail"]].values.tolist(),
    "grown_mb": memory("VmHWM") - before,
}))
"""


@dataclass(frozen=True)
class Scanned:
    recordings: list[str]
    problems: list[list[str]]
    grown_mb: float

    @property
    def told(self) -> Counter[str]:
        return Counter(self.recordings) + Counter(path for path, _, _ in self.problems)


def scan_apart(root: Path) -> Scanned:
    """Scan in a process of its own: a crash or a hang there fails the test, not the tests."""
    done = subprocess.run(
        [sys.executable, "-c", _SCAN, root], capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return Scanned(**json.loads(done.stdout))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    root = tmp_path_factory.mktemp("corpus")
    return root, corpus.write_corpus(root)


@pytest.fixture(scope="module")
def scanned(laid_out: tuple[Path, set[str]]) -> Scanned:
    return scan_apart(laid_out[0])


def test_the_corpus_holds_over_two_hundred_distinct_files() -> None:
    contents = {hashlib.sha256(content).digest() for content in corpus.broken_files().values()}
    assert len(contents) > 450


def test_every_bad_file_is_told_once(laid_out: tuple[Path, set[str]], scanned: Scanned) -> None:
    assert scanned.told == Counter(laid_out[1])


def test_every_problem_has_a_reason_and_a_detail(scanned: Scanned) -> None:
    assert all(reason and detail for _, reason, detail in scanned.problems)
    reasons = {reason for _, reason, _ in scanned.problems if not reason.startswith("duplicate of")}
    assert reasons == {
        "cannot be opened", "empty file", "not audio", "damaged", "no samples", "impossible header",
        "shorter than one spectrogram frame", "not finite", "silent", "format not supported",
        "name is not UTF-8",
    }  # fmt: skip


def test_what_can_be_read_is_read(scanned: Scanned) -> None:
    names = (
        "unknown_before_fmt", "unknown_between", "unknown_after", "odd_padded", "a_big_one",
        "odd_data_then_more", "trailing_junk",
    )  # fmt: skip
    readable = {f"whole/{name}.wav" for name in corpus.STRANGERS}
    readable |= {f"chunks/{name}.wav" for name in names}
    readable |= {"names/two\nlines.wav", "names/クジラ.wav", "names/-dash.wav", "names/UPPER.WAV"}
    readable |= {name for name in scanned.told if name.startswith("sizes/")}
    readable |= {f"lost/zeros_0.6_512.{suffix}" for suffix in ("flac", "ogg", "mp3")}
    readable |= {"contents/wrong_ending.wav", "headers/id3_before.flac", "names/%20.wav"}
    assert readable <= set(scanned.recordings)


def test_bad_files_take_no_more_memory_than_stated(scanned: Scanned) -> None:
    assert scanned.grown_mb < 2 * 32  # threads


def test_many_channels_take_no_more_memory_than_one(tmp_path: Path) -> None:
    for n_channels in (1, 64):
        folder = tmp_path / str(n_channels)
        folder.mkdir()
        samples = corpus.noise(1 << 21, 1).reshape(-1, n_channels)
        audio_bytes = corpus.riff(
            corpus.fmt(channels=n_channels), corpus.chunk(b"data", samples.tobytes())
        )
        (folder / "x.wav").write_bytes(audio_bytes)
        assert scan_apart(folder).grown_mb < 32


@pytest.mark.slow
def test_thousands_of_flipped_headers_are_told_once(tmp_path: Path) -> None:
    for name, content in corpus.flipped_files(3_000, seed=int.from_bytes(os.urandom(4), "big")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    found = scan_apart(tmp_path)
    assert sum(found.told.values()) == len(found.told) == 3_000
    assert found.grown_mb < 2 * 32


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    return {
        suffix: corpus.encode(*kind, n_channels=2) for suffix, kind in corpus.CONTAINERS.items()
    }


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_headers_are_read_or_refused(
    data: st.DataObject, whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix = data.draw(st.sampled_from(sorted(corpus.CONTAINERS)))
    content = bytearray(whole[suffix])
    places_of_fields = st.integers(0, min(300, len(content)) - 1)
    fields = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from(
            [b"\0", b"\xff", b"\x7f\xff", b"\x80\0", b"\xff" * 4, bytes(4), b"\xff" * 8]
        ),
    )
    for place, field in data.draw(st.lists(st.tuples(places_of_fields, fields), max_size=6)):
        content[place : place + len(field)] = field
    del content[data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content)))) :]
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(content)
    try:
        found = audio.inspect(path)
    except AudioError as error:
        refused = (error.reason, error.detail)
        assert all(refused)
    else:
        bad = [channel - 1 for channel, _ in found.bad_channels]
        edges = [0, *(edge for hole in found.info.holes for edge in hole), found.info.n_frames]
        with audio.Reader(path) as reader:
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                samples = reader.read(start, end - start)
                assert samples.shape == (found.info.n_channels, end - start)
                assert np.isfinite(np.delete(samples, bad, axis=0)).all()


# Trees


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder for trees that shutil cannot remove."""
    root = tmp_path / "deep"
    root.mkdir()
    yield root
    subprocess.run(["rm", "-rf", root], check=True)


def test_folders_in_folders_are_followed_as_deep_as_paths_go(deep: Path) -> None:
    corpus.bury(deep, n_characters=2_400)
    found = scan(deep)
    assert found.recordings["path"].tolist() == ["d/" * 1_200 + "deep.wav"]
    assert found.problems.empty


@pytest.mark.parametrize("length", [40, 255])
def test_what_lies_deeper_than_a_path_can_name_is_told_with_its_folder(
    length: int, deep: Path
) -> None:
    corpus.bury(deep, name="d" * length)
    (deep / "x.wav").write_bytes(corpus.encode("WAV"))
    found = scan(deep)
    assert found.recordings["path"].tolist() == ["x.wav"]
    assert found.problems[["reason", "detail"]].values.tolist() == [
        ["cannot be opened", "File name too long"]
    ]
    assert 3_500 < len(found.problems["path"].iloc[0]) < 4_200


def test_a_file_whose_own_path_is_too_long_is_a_problem(deep: Path) -> None:
    corpus.bury(deep, n_characters=4_090 - len(str(deep)), name="d" * 100, file="x" * 240 + ".wav")
    found = scan(deep)
    assert found.problems["detail"].tolist() == ["File name too long"]
    assert found.recordings.empty


def test_links_that_multiply_come_to_an_end(tmp_path: Path) -> None:
    for k in range(30):  # a thousand million paths
        (tmp_path / f"f{k}").mkdir()
        if k:
            (tmp_path / f"f{k - 1}/a").symlink_to(tmp_path / f"f{k}")
            (tmp_path / f"f{k - 1}/b").symlink_to(tmp_path / f"f{k}")
    (tmp_path / "f29/x.wav").write_bytes(corpus.encode("WAV"))
    found = scan(tmp_path, options=ScanOptions(labels=()))
    assert len(found.recordings) == 1
    reasons = Counter(found.problems["reason"].str.partition(" of ")[0])
    assert reasons["duplicate"] == places.MAX_VISITS - 1
    assert 0 < reasons["cannot be opened"] <= 30
    assert set(reasons) == {"duplicate", "cannot be opened"}


# What is left goes all the way


@pytest.mark.slow
def test_what_survives_the_scan_is_embedded_and_predicted_on_without_a_crash(
    laid_out: tuple[Path, set[str]], tmp_path: Path
) -> None:
    root, expected = laid_out

    def pseudorca(*arguments: str | Path) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", "from pseudorca.cli import main; main()", *arguments,
             "--project", tmp_path / "project", "--json"],
            capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2_000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = pseudorca("scan", root, "--on-conflict", "drop")
    assert found["n_recordings"] + found["n_problems"] == len(expected)
    embedded = pseudorca("embed")
    # A recording with a hole gives a clip on each side of it.
    assert embedded["n_new"] + embedded["n_problems"] >= found["n_recordings"]
    pseudorca("train")
    predicted = pseudorca("predict", root)
    assert predicted["n_files"] == len(expected)
    assert predicted["n_clips"] + predicted["n_problems"] >= len(expected)

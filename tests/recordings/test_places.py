"""Recordings at URLs: the same as on the disk, and only the parts that are read travel."""

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from pseudorca.errors import AudioError, ManifestError, MissingExtraError
from pseudorca.recordings import audio, places
from pseudorca.recordings.manifest import ScanOptions, check_unchanged, full_path, scan, scan_files

from . import corpus

BLOCK = 1 << 18


class _Handler(SimpleHTTPRequestHandler):
    """The standard library's server, with ranges, a count of bytes, and faults on demand."""

    protocol_version = "HTTP/1.1"
    server: "Web"

    def log_message(self, *_: object) -> None: ...

    def send_head(self) -> Any:
        self.server.n_requests += 1
        if self.server.faults:
            fault = self.server.faults.pop(0)
            if fault == "say nothing":
                time.sleep(0.5)
            if fault in ("hang up", "say nothing"):
                self.close_connection = True
                return None
            self.send_error(int(fault))
            return None
        path = Path(self.translate_path(self.path))
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not (span and path.is_file() and self.server.has_ranges):
            return super().send_head()
        start, end = int(span[1]), min(int(span[2]), path.stat().st_size - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{path.stat().st_size}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.server.n_bytes += (
            end - start + 1
        )  # first: the test may go on as soon as it has the bytes
        with path.open("rb") as file:
            file.seek(start)
            self.wfile.write(file.read(end + 1 - start))
        return None

    def list_directory(self, path: Any) -> Any:
        if self.server.page is None:
            return super().list_directory(path)
        body = self.server.page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None


class Web(ThreadingHTTPServer):
    """A folder on the web."""

    daemon_threads = True
    has_ranges = True
    n_bytes = n_requests = 0
    page: str | None = None

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.faults: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None: ...


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Serve ``tmp_path / "survey"``."""
    monkeypatch.setattr(places, "_WAITS_S", (0.0, 0.0))
    (tmp_path / "survey").mkdir()
    server = Web(tmp_path / "survey")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def memory() -> Iterator[Callable[[Path], str]]:
    """Copy a folder to ``memory://``; returns its URL."""
    system = fsspec.filesystem("memory")

    def put(folder: Path) -> str:
        if system.exists("/bucket"):
            system.rm("/bucket", recursive=True)
        system.put(str(folder), "/bucket/survey", recursive=True)
        return "memory://bucket/survey"

    yield put
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)


def make_survey(root: Path) -> Path:
    """A survey of every container, with names that a web address must quote, and bad files."""
    files = {
        f"Insular/Lasker_AC_{k}/20170728_03{k:02d}00_ch01_sel01.{suffix}": corpus.encode(*kind)
        for k, (suffix, kind) in enumerate(corpus.CONTAINERS.items())
    }
    files |= {
        "Pelagic/False killer whale #3/day 1/50 % & more+.wav": corpus.encode("WAV"),
        "Pelagic/Käse/クジラ.flac": corpus.encode("FLAC"),
        "Pelagic/e/empty.wav": b"",
        "Pelagic/e/text.wav": b"recorded on Tuesday",
        "Pelagic/e/cut.flac": corpus.encode("FLAC")[:600],
        "Pelagic/e/old.m4a": b"?",
        "Pelagic/notes.txt": b"?",
        ".hidden/x.wav": corpus.encode("WAV"),
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def comparable(recordings: pd.DataFrame) -> pd.DataFrame:
    return recordings.drop(columns=["root", "fingerprint"])


@pytest.mark.parametrize("where", ["memory", "web"])
def test_a_remote_folder_scans_like_a_local_one(
    where: str, web: Web, memory: Callable[[Path], str], tmp_path: Path
) -> None:
    root = make_survey(tmp_path / "survey")
    here = scan(root)
    there = scan(web.url if where == "web" else memory(root))
    assert len(here.recordings) == len(corpus.CONTAINERS) + 2
    pd.testing.assert_frame_equal(comparable(there.recordings), comparable(here.recordings))
    pd.testing.assert_frame_equal(there.problems, here.problems)
    assert there.notices == here.notices
    assert there.n_other_files == here.n_other_files
    for row in there.recordings.itertuples():
        local = audio.read_segment(root / row.path)
        assert np.array_equal(audio.read_segment(full_path(row)), local)


def test_real_recordings_are_the_same_on_the_web(web: Web, hydrophones: Path) -> None:
    root = Path(web.RequestHandlerClass.keywords["directory"])  # type: ignore[attr-defined]
    for folder in ("whaledr_ooi", "pypam_300s_8k"):
        shutil.copytree(hydrophones / folder, root / folder)
    here, there = scan(root), scan(web.url)
    assert len(here.recordings) >= 4
    pd.testing.assert_frame_equal(comparable(there.recordings), comparable(here.recordings))


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_stretches_of_remote_files_equal_those_of_local_ones(
    suffix: str, web: Web, tmp_path: Path
) -> None:
    path = tmp_path / f"survey/x.{suffix}"
    container, subtype = corpus.CONTAINERS[suffix]
    with sf.SoundFile(path, "w", 8_000, 2, format=container, subtype=subtype) as file:
        for _ in range(60):
            file.write(corpus.noise(10_000, 2))
    with audio.Reader(path) as here, audio.Reader(f"{web.url}/x.{suffix}") as there:
        assert there.info == here.info
        for start, n in [(0, 10), (599_000, 1_000), (3, 200_000), (300_000, 5_000), (0, 600_000)]:
            assert np.array_equal(there.read(start, n), here.read(start, n))


def test_only_what_is_read_travels(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "survey/x.wav"
    sf.write(path, corpus.noise(64_000_000 // 8), 8_000)
    size = path.stat().st_size
    assert audio.probe(f"{web.url}/x.wav").duration_s == 1_000
    assert web.n_bytes <= 2 * BLOCK
    web.n_bytes = 0
    audio.read_segment(f"{web.url}/x.wav", start_frame=5_000_000, n_frames=24_000)
    assert web.n_bytes <= 3 * BLOCK
    web.n_bytes = web.n_requests = 0
    audio.read_segment(f"{web.url}/x.wav")
    assert web.n_bytes == size
    assert web.n_requests < 20


def test_long_remote_recordings_are_hashed_by_parts(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "survey/x.wav"
    sf.write(path, corpus.noise(61_000_000), 100_000)
    found = audio.inspect(f"{web.url}/x.wav")
    assert found.hash_kind == "blocks"
    assert found.content_hash == audio.inspect(path).content_hash
    assert web.n_bytes < path.stat().st_size / 5


def test_files_by_their_url_are_predicted_on(web: Web, tmp_path: Path) -> None:
    root = make_survey(tmp_path / "survey")
    name = "Pelagic/False killer whale #3/day 1/50 % & more+.wav"
    urls = [str(places.join(web.url, name)), f"{web.url}/Insular/Lasker_AC_0/"]
    there = scan_files(urls)
    here = scan_files([root / name, root / "Insular/Lasker_AC_0"])
    pd.testing.assert_frame_equal(comparable(there.recordings), comparable(here.recordings))
    assert there.recordings["label"].isna().all()
    for row in there.recordings.itertuples():
        assert audio.probe(full_path(row)).n_frames == corpus.N_FRAMES


def test_a_query_stays_with_its_file(web: Web, tmp_path: Path) -> None:
    (tmp_path / "survey/x y.wav").write_bytes(corpus.encode("WAV"))
    found = scan_files([f"{web.url}/x%20y.wav?token=a%2Fb"])
    assert found.problems.empty
    assert found.recordings["path"].tolist() == ["x%20y.wav?token=a%2Fb"]


def test_remote_metadata_is_joined(memory: Callable[[Path], str], tmp_path: Path) -> None:
    root = make_survey(tmp_path / "survey")
    (root / "sightings.csv").write_text("encounter,ship\nLasker_AC_0,Reuben Lasker\n")
    url = memory(root)
    found = scan(url, options=ScanOptions(metadata=f"{url}/sightings.csv"))
    assert found.recordings["metadata"].str.contains("Reuben Lasker").sum() == 1
    with pytest.raises(ManifestError, match="cannot be read"):
        scan(url, options=ScanOptions(metadata=f"{url}/nothing.csv"))


class _Bucket(_Handler):
    """As much of Amazon's S3 as a public bucket needs to be read: its files are its keys."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if "list-type" not in query:
            self.path = url.path.removeprefix("/bucket")
            return super().do_GET()
        root = Path(self.directory)
        prefix = query.get("prefix", [""])[0]
        found = [f"{path.relative_to(root)}" for path in sorted(root.rglob("*")) if path.is_file()]
        below = [key.removeprefix(prefix) for key in found if key.startswith(prefix)]
        folders = sorted({key.split("/")[0] for key in below if "/" in key})
        body = "<ListBucketResult><IsTruncated>false</IsTruncated>"
        for key in (key for key in below if "/" not in key):
            body += (
                f"<Contents><Key>{escape(prefix + key)}</Key><ETag>1</ETag><StorageClass>STANDARD"
                f"</StorageClass><LastModified>2026-01-01T00:00:00Z</LastModified>"
                f"<Size>{(root / (prefix + key)).stat().st_size}</Size></Contents>"
            )
        for folder in folders:
            body += f"<CommonPrefixes><Prefix>{escape(prefix + folder)}/</Prefix></CommonPrefixes>"
        data = (body + "</ListBucketResult>").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def do_HEAD(self) -> None:
        self.path = urlsplit(self.path).path.removeprefix("/bucket")
        super().do_HEAD()


def test_a_bucket_scans_like_a_folder(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_survey(tmp_path / "survey")
    web.RequestHandlerClass = partial(_Bucket, directory=str(root))  # type: ignore[assignment]
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": web.url, "anon": True})
    here, there = scan(root), scan("s3://bucket/")
    assert set(there.recordings["root"]) == {"s3://bucket"}
    pd.testing.assert_frame_equal(comparable(there.recordings), comparable(here.recordings))
    pd.testing.assert_frame_equal(there.problems, here.problems)
    below = scan("s3://bucket/Insular")
    assert set(below.recordings["path"]) == set(scan(root / "Insular").recordings["path"])


# What a web page links to


def test_a_web_page_leads_nowhere_but_down(web: Web, tmp_path: Path) -> None:
    (tmp_path / "survey/data").mkdir()
    (tmp_path / "survey/data/x.wav").write_bytes(corpus.encode("WAV"))
    web.page = (
        '<a href="../">up</a><a href="/">top</a><a href="?C=N;O=D">Name</a><a href="x.wav">x</a>'
        '<a href="/data/x.wav">x again</a><a href="/data/">here</a><a href="/elsewhere/y.wav">y</a>'
        '<a href="https://example.invalid/z.wav">z</a><a href="mailto:whale@sea">w</a>'
    )
    found = scan(f"{web.url}/data/")
    assert found.recordings["path"].tolist() == ["x.wav"]
    assert found.problems.empty


# Faults


def test_a_fault_of_a_moment_is_tried_again(web: Web, tmp_path: Path) -> None:
    (tmp_path / "survey/x.wav").write_bytes(corpus.encode("WAV"))
    with audio.Reader(f"{web.url}/x.wav") as reader:
        assert reader.info.n_frames == corpus.N_FRAMES
    n_requests = web.n_requests
    web.n_requests = 0
    web.faults = ["503", "503", "503", "hang up"]
    assert audio.probe(f"{web.url}/x.wav").n_frames == corpus.N_FRAMES
    assert web.n_requests > n_requests


@pytest.mark.parametrize("fault", ["503", "hang up", "403"])
def test_a_fault_that_stays_is_a_problem_of_its_file(fault: str, web: Web, tmp_path: Path) -> None:
    path = tmp_path / "survey/x.wav"
    sf.write(path, corpus.noise(2_000_000), 8_000)
    with audio.Reader(f"{web.url}/x.wav") as reader:
        web.faults = [fault] * 1_000
        with pytest.raises(AudioError) as caught:
            reader.read(1_000_000, 500)
    assert caught.value.reason == "cannot be read"
    assert caught.value.detail
    found = scan_files([f"{web.url}/x.wav"])
    assert found.problems["reason"].tolist() == ["cannot be opened"]
    with pytest.raises(ManifestError, match="cannot be listed"):
        scan(web.url)


def test_a_server_that_says_nothing_is_not_waited_for(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "survey/x.wav").write_bytes(corpus.encode("WAV"))
    monkeypatch.setattr(places, "_SILENCE_S", 0.1)
    web.faults = ["say nothing"] * 1_000
    found = scan_files([f"{web.url}/x.wav"])
    assert found.problems["reason"].tolist() == ["cannot be opened"]
    assert found.problems["detail"].str.contains("(?i)time.?out").all()


def test_a_file_that_is_not_there_is_a_problem(web: Web) -> None:
    found = scan_files([f"{web.url}/x.wav"])
    assert found.problems[["path", "reason", "detail"]].values.tolist() == [
        ["x.wav", "cannot be opened", "No such file or directory"]
    ]


def test_a_server_without_ranges_is_no_reason_to_copy_all(web: Web, tmp_path: Path) -> None:
    sf.write(tmp_path / "survey/x.wav", corpus.noise(8_000_000), 8_000)
    web.has_ranges = False
    with pytest.raises(AudioError, match="range") as caught:
        audio.inspect(f"{web.url}/x.wav")
    assert caught.value.reason == "cannot be read"


def test_a_missing_package_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, protocol in (("s3fs", "s3"), ("gcsfs", "gs"), ("aiohttp", "https")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)  # type: ignore[attr-defined]
    for url in ("s3://bucket", "https://host"):
        with pytest.raises(MissingExtraError, match=r"pip install 'pseudorca\[remote\]'"):
            scan(url)
        with pytest.raises(MissingExtraError, match="remote"):
            audio.probe(f"{url}/x.wav")
    with pytest.raises(ManifestError, match="pip install gcsfs"):
        scan("gs://bucket")


def test_an_unknown_protocol_is_an_error() -> None:
    with pytest.raises(ManifestError, match=r"zork.*Expected a path"):
        scan("zork://bucket/folder")


def test_local_paths_never_pass_through_fsspec(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = make_survey(tmp_path / "survey")
    monkeypatch.setattr(places, "_connect", None)
    assert len(scan(root).recordings) == len(corpus.CONTAINERS) + 2
    assert len(scan_files([str(root / "Insular")]).recordings) == len(corpus.CONTAINERS)


# Names of places


@pytest.mark.parametrize(
    ("place", "is_remote"),
    [("s3://bucket/x", True), ("https://a.b/x", True), ("memory://x", True), ("C:/x", False),
     ("C:\\x", False), ("/a/b", False), ("a:b", False), ("s3:/bucket", False), (Path("x"), False)],
)  # fmt: skip
def test_urls_are_told_from_paths(place: str | Path, is_remote: bool) -> None:
    assert places.is_remote(place) == is_remote


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/a b/x%20#?.wav", "gs://bucket/x.wav", "https://host/a%20b/50%25%20%C3%A4.wav",
     "https://host:8080/x.wav?token=a%2Fb&y=z", "sftp://me@host/x/y.wav"],
)  # fmt: skip
def test_a_split_url_is_joined_again(url: str) -> None:
    assert places.join(*places.split(url)) == url


def test_a_split_path_is_joined_again(tmp_path: Path) -> None:
    assert places.join(*places.split(tmp_path / "a b/50%25.wav")) == tmp_path / "a b/50%25.wav"


# Files that change


@pytest.mark.parametrize("where", ["local", "memory", "web"])
def test_a_fingerprint_changes_with_the_file(
    where: str, web: Web, memory: Callable[[Path], str], tmp_path: Path
) -> None:
    path = tmp_path / "survey/x.wav"
    sf.write(path, corpus.noise(2_000), 8_000)

    def place() -> Path | str:
        if where == "memory":
            return f"{memory(path.parent)}/x.wav"
        return path if where == "local" else f"{web.url}/x.wav"

    at = place()
    before = audio.fingerprint(at)
    assert audio.fingerprint(at) == before
    with audio.Reader(at) as reader:
        assert reader.fingerprint == before
    assert audio.inspect(at).fingerprint == before
    sf.write(path, corpus.noise(2_001), 8_000)
    assert audio.fingerprint(place()) != before
    path.unlink()
    fsspec.filesystem("memory").store.clear()
    with pytest.raises(AudioError, match="cannot be opened"):
        audio.fingerprint(at)


def test_a_file_that_grows_while_it_is_read_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.wav"
    sf.write(path, corpus.noise(2_000), 8_000)
    read = audio.Reader.read

    def read_and_grow(reader: audio.Reader, start: int, n_frames: int) -> audio.Samples:
        with path.open("ab") as file:
            file.write(bytes(100))
        return read(reader, start, n_frames)

    monkeypatch.setattr(audio.Reader, "read", read_and_grow)
    found = scan(tmp_path)
    assert found.recordings.empty
    assert found.problems["reason"].tolist() == ["changed while it was read"]


def test_a_recording_is_unchanged_if_its_sound_is(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    samples = corpus.noise(2_000)
    sf.write(path, samples, 8_000)
    row = next(scan(tmp_path).recordings.itertuples())
    check_unchanged(row)
    shutil.copy(path, tmp_path / "copy")  # another time, the same sound
    (tmp_path / "copy").replace(path)
    assert audio.fingerprint(path) != row.fingerprint
    check_unchanged(row)
    samples[1_000] += 1
    sf.write(path, samples, 8_000)
    with pytest.raises(AudioError, match="changed since the scan"):
        check_unchanged(row)
    path.unlink()
    with pytest.raises(AudioError, match="cannot be opened"):
        check_unchanged(row)

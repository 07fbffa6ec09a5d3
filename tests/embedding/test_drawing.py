"""Files that are read by several threads: hashed once, closed once; torch gets its cores back."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from pseudorca.embedding import drawing
from pseudorca.embedding.augmentation.apart import BackgroundFrontEnd
from pseudorca.embedding.augmentation.measured import measure_sounds
from pseudorca.errors import AudioError
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.learning.heads.finetuned import loop
from pseudorca.recordings import audio, manifest
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.manifest import scan
from pseudorca.store import Store

RATE = 16_000


def write(path: Path, *, seed: int, seconds: float = 20.0) -> None:
    rng = np.random.default_rng(seed)
    sf.write(path, 0.1 * rng.standard_normal(round(seconds * RATE)), RATE)


@pytest.fixture
def n_hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were hashed, a name per time."""
    seen: list[str] = []
    inspect = audio.inspect

    def counted(path, **how):  # type: ignore[no-untyped-def]
        seen.append(Path(path).name)
        return inspect(path, **how)

    monkeypatch.setattr(manifest.audio, "inspect", counted)
    return seen


def changed_collection(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Recordings and clips; since the scan ``copied`` has another time, ``other`` another sound."""
    (folder / "a").mkdir()
    for seed, name in enumerate(("same", "copied", "other")):
        write(folder / "a" / f"{name}.wav", seed=seed)
    recordings = scan(folder).recordings
    shutil.copy(folder / "a" / "copied.wav", folder / "new")
    (folder / "new").replace(folder / "a" / "copied.wav")
    write(folder / "a" / "other.wav", seed=99)
    for name in ("copied", "other"):
        os.utime(folder / "a" / f"{name}.wav", (1e9, 1e9))
    return recordings, cut(recordings, ClipOptions(window_s=0.5))[0]


def read_all(recordings: pd.DataFrame, clips: pd.DataFrame, *, n_threads: int) -> dict[str, int]:
    """Read 8 clips at a time in threads -> how many could be read, by file."""
    by_id = {row.recording_id: row for row in recordings.itertuples()}
    tasks = [
        list(rows.iloc[start : start + 8].itertuples())
        for _, rows in clips.groupby("recording_id")
        for start in range(0, len(rows), 8)
    ]
    read = dict.fromkeys((Path(path).stem for path in recordings["path"]), 0)

    def take(task):  # type: ignore[no-untyped-def]
        recording = by_id[task[0].recording_id]
        name = Path(recording.path).stem
        if name == "other":
            with pytest.raises(AudioError, match="changed since the scan"):
                files.read(recording, task)
            return name, 0
        return name, len(files.read(recording, task)[1])

    with drawing.OpenFiles() as files, ThreadPoolExecutor(n_threads) as pool:
        for name, n in pool.map(take, tasks):
            read[name] += n
    return read


@pytest.mark.parametrize("n_threads", [1, 8])
def test_open_files_hash_a_changed_file_once(
    tmp_path: Path, n_hashed: list[str], n_threads: int
) -> None:
    recordings, clips = changed_collection(tmp_path)
    n_hashed.clear()
    for _ in range(2):  # a second network that listens to the same files
        read = read_all(recordings, clips, n_threads=n_threads)
        assert read == {"same": 40, "copied": 40, "other": 0}
    assert sorted(n_hashed) == ["copied.wav", "other.wav"]


def test_measure_sounds_hashes_a_changed_file_once(tmp_path: Path, n_hashed: list[str]) -> None:
    (tmp_path / "data").mkdir()
    recordings, clips = changed_collection(tmp_path / "data")
    n_hashed.clear()
    store = Store(tmp_path / "project", create=True)
    front_end = BackgroundFrontEnd(CommonFrontEnd(), (100.0, 7_000.0))
    measured = measure_sounds(clips, recordings, front_end, store, "sounds", n_threads=4)
    assert sorted(n_hashed) == ["copied.wav", "other.wav"]
    other = recordings.loc[recordings["path"] == "a/other.wav", "recording_id"].iloc[0]
    is_other = (clips["recording_id"] == other).to_numpy()
    assert not measured[is_other, 0].any()
    assert measured[~is_other, 0].any()


def test_check_unchanged_remembers_a_file_that_cannot_be_decoded(
    tmp_path: Path, n_hashed: list[str]
) -> None:
    write(tmp_path / "x.wav", seed=0)
    recording = next(scan(tmp_path).recordings.itertuples())
    (tmp_path / "x.wav").write_bytes(b"no sound at all, and never was" * 100)
    n_hashed.clear()
    for _ in range(3):
        with pytest.raises(AudioError):
            manifest.check_unchanged(recording)
    assert n_hashed == ["x.wav"]


def test_check_unchanged_asks_again_once_the_file_is_another(
    tmp_path: Path, n_hashed: list[str]
) -> None:
    write(tmp_path / "x.wav", seed=0)
    shutil.copy(tmp_path / "x.wav", tmp_path / "kept")
    recording = next(scan(tmp_path).recordings.itertuples())
    write(tmp_path / "x.wav", seed=1)
    with pytest.raises(AudioError, match="changed since the scan"):
        manifest.check_unchanged(recording)
    (tmp_path / "kept").replace(tmp_path / "x.wav")  # put back
    manifest.check_unchanged(recording)


def test_open_files_orphan_no_reader_where_threads_push_files_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        sound = 0.1 * rng.standard_normal(4 * RATE)
        sf.write(tmp_path / "a" / f"{k}.ogg", sound, RATE, format="OGG")
    recordings = scan(tmp_path).recordings
    by_id = {row.recording_id: row for row in recordings.itertuples()}
    clips = cut(recordings, ClipOptions(window_s=0.5))[0]
    clips = clips[clips["end_s"] < 3.9]  # the end of no file is read
    monkeypatch.setattr(drawing, "_MOST_OPEN", 1)
    is_open: set[audio.Reader] = set()
    lock = threading.Lock()

    class Counted(audio.Reader):
        def __init__(self, path) -> None:  # type: ignore[no-untyped-def]
            super().__init__(path)
            with lock:
                is_open.add(self)

        def close(self) -> None:
            super().close()
            with lock:
                is_open.discard(self)

    monkeypatch.setattr(drawing.audio, "Reader", Counted)
    tasks = list(clips.sample(frac=1, random_state=0).itertuples())
    with drawing.OpenFiles() as files:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda c: files.read(by_id[c.recording_id], [c]), tasks))
        assert len(is_open) <= 1
    assert not is_open
    assert all(rate == RATE and isinstance(sounds[0], np.ndarray) for rate, sounds in found)


def test_open_files_never_close_a_file_that_another_thread_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "_MOST_OPEN", 1)
    files = drawing.OpenFiles()
    with files._using("first") as held:
        with files._using("second") as other:
            other.reader = SimpleNamespace(close=lambda: None)  # type: ignore[assignment]
        with files._using("third"):
            pass
        with files._using("first") as again:
            assert again is held


def _cores_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("leaves_last", [0, 1])
@pytest.mark.parametrize("context", [loop._one_core, lambda: drawing.one_core_each(2)])
def test_torch_has_its_cores_again_whichever_thread_ends_last(context, leaves_last: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    entered, may_leave = ([threading.Event() for _ in range(2)] for _ in range(2))

    def work(number: int) -> None:
        with context():
            torch.set_num_threads(1)
            entered[number].set()
            may_leave[number].wait(20)

    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
        for k in range(2):
            threads[k].start()
            assert entered[k].wait(20)
        for k in (1 - leaves_last, leaves_last):
            may_leave[k].set()
            threads[k].join()
        assert _cores_of_a_new_thread() == 3
    finally:
        torch.set_num_threads(before)

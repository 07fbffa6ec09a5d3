"""Laws of embedding: what must not change a vector, and what a broken run leaves behind."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from pseudorca.backbones import load_backbone
from pseudorca.embedding import drawing
from pseudorca.embedding.drawing import clip_pictures, read_clip
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import Embedder, load_embedder, save_embedder
from pseudorca.embedding.stream import embed_clips
from pseudorca.errors import BackboneError, FrontEndError
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.recordings import audio
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.manifest import full_path, scan, scan_files
from pseudorca.store import Store

from .conftest import BACKBONE, RATE


@pytest.fixture(scope="module")
def embedder(weights: Path) -> Embedder:
    return Embedder(CommonFrontEnd(), load_backbone(BACKBONE, weights=weights))


@pytest.fixture(scope="module")
def tables(survey: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    recordings = scan(survey).recordings
    return cut(recordings, ClipOptions())[0], recordings


def vectors(tables, embedder, folder, **options):
    clips, recordings = tables
    store = Store(folder, create=True)
    result = embed_clips(clips, recordings, embedder, store, **options)
    assert result.n_new == len(clips)
    return store.vectors(embedder.embedder_id, clips["clip_id"].tolist())


def test_batch_size_order_and_workers_change_no_embedding(tables, embedder, tmp_path):
    plain = vectors(tables, embedder, tmp_path / "a", batch_size=32, n_threads=1)
    single = vectors(tables, embedder, tmp_path / "b", batch_size=1, n_threads=4)
    clips, recordings = tables
    order = np.random.default_rng(0).permutation(len(clips))
    shuffled = vectors((clips.iloc[order], recordings), embedder, tmp_path / "c", batch_size=7)
    scale = np.abs(plain).max()
    np.testing.assert_allclose(single, plain, atol=1e-5 * scale)
    np.testing.assert_allclose(shuffled, plain[order], atol=1e-5 * scale)


def test_pictures_are_the_same_to_the_bit_whatever_the_workers(tables, embedder):
    clips, recordings = tables
    one = list(clip_pictures(clips, recordings, embedder, n_threads=1))
    many = list(clip_pictures(clips, recordings, embedder, n_threads=8))
    assert [clip_id for clip_id, _ in one] == clips["clip_id"].tolist()
    for (_, a), (_, b) in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_done_is_kept_when_a_batch_fails(tables, embedder, tmp_path, monkeypatch):
    clips, recordings = tables
    store, whole = Store(tmp_path / "p", create=True), Embedder.embed

    def fails_at_the_end(self, pictures):
        if len(pictures) < 4:
            raise RuntimeError("out of memory")
        return whole(self, pictures)

    monkeypatch.setattr(Embedder, "embed", fails_at_the_end)
    size = next(n for n in range(4, 9) if len(clips) % n in (1, 2, 3))
    with pytest.raises(RuntimeError, match="out of memory"):
        embed_clips(clips, recordings, embedder, store, batch_size=size)
    assert len(store.embedded(embedder.embedder_id)) == len(clips) // size * size


def test_a_second_run_embeds_nothing(tables, embedder, tmp_path):
    clips, recordings = tables
    store = Store(tmp_path / "p", create=True)
    assert embed_clips(clips.iloc[:5], recordings, embedder, store).n_new == 5
    assert embed_clips(clips, recordings, embedder, store).n_new == len(clips) - 5
    assert embed_clips(clips, recordings, embedder, store).n_new == 0
    assert len(store.embedded(embedder.embedder_id)) == len(clips)


def test_a_killed_run_resumes_to_the_same_table(tables, embedder, survey, weights, tmp_path):
    project = tmp_path / "p"
    script = (
        "import sys, pseudorca.embedding.stream as e\n"
        "e._COMMIT_CLIPS = 3\n"
        "from pseudorca.embedding.options import Computing\n"
        "from pseudorca.embedding.embed import EmbedderOptions, embed_project\n"
        "from pseudorca.recordings.scan import scan_project\n"
        "from pseudorca.store import Store\n"
        "from pseudorca.recordings.manifest import ScanOptions\n"
        "from pathlib import Path\n"
        "s = Store(sys.argv[1], create=True)\n"
        "scan_project(s, Path(sys.argv[2]), ScanOptions())\n"
        "o = EmbedderOptions(sys.argv[4], sys.argv[3])\n"
        "embed_project(s, o, computing=Computing(batch_size=1))\n"
    )
    arguments = [sys.executable, "-c", script, str(project), str(survey), str(weights), BACKBONE]
    process = subprocess.Popen(arguments)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if len(Store(project).embedded(embedder.embedder_id)) >= 3:
                break
        except Exception:  # the project is being made
            pass
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    clips, recordings = tables
    store = Store(project)
    n_before = len(store.embedded(embedder.embedder_id))
    result = embed_clips(clips, recordings, embedder, store)
    assert n_before >= 3
    assert result.n_new == len(clips) - n_before
    resumed = store.vectors(embedder.embedder_id, clips["clip_id"].tolist())
    whole = vectors(tables, embedder, tmp_path / "whole")
    np.testing.assert_allclose(resumed, whole, atol=1e-5 * np.abs(whole).max())


def test_bad_clips_become_problems_and_spare_their_neighbours(embedder, tmp_path):
    rng = np.random.default_rng(1)
    good = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    gap = np.concatenate([np.tile(good, 3), np.zeros(3 * RATE, np.float32), np.tile(good, 3)])
    folder = tmp_path / "A" / "day1"
    folder.mkdir(parents=True)
    for name, sound in (("good", good), ("gap", gap), ("gone", good * 0.5), ("new", good * 0.3)):
        sf.write(folder / f"{name}.wav", sound, RATE, subtype="FLOAT")
    recordings = scan(tmp_path).recordings
    clips, _ = cut(recordings, ClipOptions())
    (folder / "gone.wav").unlink()
    sf.write(folder / "new.wav", good[: RATE // 2], RATE)
    store = Store(tmp_path / "project", create=True)
    result = embed_clips(clips, recordings, embedder, store)
    reasons = dict(zip(result.problems["path"], result.problems["reason"], strict=True))
    assert reasons == {
        "A/day1/gap.wav": "silent",
        "A/day1/gone.wav": "cannot be opened",
        "A/day1/new.wav": "changed since the scan",
    }
    assert result.n_new == 3  # good, and gap before and after its silence
    assert len(store.embedded(embedder.embedder_id)) == 3


def test_stored_and_direct_paths_give_the_same_input(tables, embedder):
    clips, recordings = tables
    by_id = {row.recording_id: row for row in recordings.itertuples()}
    drawn = dict(clip_pictures(clips, recordings, embedder))
    for clip in clips.itertuples():
        with audio.Reader(full_path(by_id[clip.recording_id])) as reader:
            waveform = read_clip(reader, clip)
        direct = embedder.network_input(waveform, sample_rate=RATE)
        np.testing.assert_array_equal(direct, drawn[clip.clip_id])


def test_settings_and_weights_change_the_id_and_nothing_else_does(weights, tmp_path):
    backbone = load_backbone(BACKBONE, weights=weights)
    base = Embedder(CommonFrontEnd(), backbone).embedder_id
    assert Embedder(CommonFrontEnd(), load_backbone(BACKBONE, weights=weights)).embedder_id == base
    moved = tmp_path / "other-name.safetensors"
    moved.write_bytes(weights.read_bytes())
    renamed = Embedder(CommonFrontEnd(), load_backbone(BACKBONE, weights=moved))
    assert renamed.embedder_id == base
    others = [
        Embedder(CommonFrontEnd(n_rows=64), backbone),
        Embedder(CommonFrontEnd.in_band("48k"), backbone),
        Embedder(StudyFrontEnd(), backbone),
        Embedder(CommonFrontEnd(), load_backbone(BACKBONE, weights=weights, layer="stage3")),
    ]
    assert len({base, *(other.embedder_id for other in others)}) == 5


def test_saved_embedders_come_back_and_changed_files_are_refused(embedder, tmp_path):
    save_embedder(embedder, tmp_path)
    again = load_embedder(tmp_path)
    assert again.embedder_id == embedder.embedder_id
    noise = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    picture = embedder.network_input(noise, sample_rate=RATE)
    np.testing.assert_array_equal(again.embed([picture]), embedder.embed([picture]))
    with pytest.raises(BackboneError, match="Run: pseudorca embed"):
        load_embedder(tmp_path / "nothing")
    path = tmp_path / "embedder.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BackboneError, match="are not those described"):
        load_embedder(tmp_path)
    save_embedder(embedder, tmp_path)
    about = tmp_path / "embedder.json"
    about.write_text(about.read_text().replace('"n_rows": 128', '"n_rows": 127'))
    with pytest.raises(BackboneError, match="a file was changed"):
        load_embedder(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_mixed_precision_on_a_gpu_stays_close_to_float32(weights):
    noise = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    found = {}
    for device, precision in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "mixed")):
        backbone = load_backbone(BACKBONE, weights=weights)
        made = Embedder(CommonFrontEnd(), backbone, device, precision)
        found[device, precision] = made.embed([made.network_input(noise, sample_rate=RATE)])
    reference = found["cpu", "float32"]
    scale = np.abs(reference).max()
    np.testing.assert_allclose(found["cuda", "float32"], reference, atol=1e-3 * scale)
    np.testing.assert_allclose(found["cuda", "mixed"], reference, atol=2e-2 * scale)


def test_no_file_is_closed_while_a_thread_reads_it(embedder, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "a.ogg", 0.1 * rng.standard_normal(30 * RATE), RATE, format="OGG")
    recordings = scan_files([tmp_path]).recordings
    clips, _ = cut(recordings, ClipOptions(window_s=1.0))
    reading, closed_meanwhile = threading.Event(), []
    read, close = drawing._read, audio.Reader.close

    def slowly(*arguments):
        reading.set()
        time.sleep(0.2)
        found = read(*arguments)
        reading.clear()
        return found

    def noted(self):
        closed_meanwhile.append(reading.is_set())
        close(self)

    monkeypatch.setattr(drawing, "_read", slowly)
    monkeypatch.setattr(audio.Reader, "close", noted)
    pictures = clip_pictures(clips, recordings, embedder, n_threads=1)
    next(pictures)
    reading.wait()
    pictures.close()
    assert closed_meanwhile == [False]


def test_threads_of_others_keep_their_cores(tables, embedder):
    clips, recordings = tables
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(clip_pictures(clips, recordings, embedder, n_threads=2))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_end_when_the_reader_of_pictures_stops_early(tables, embedder):
    clips, recordings = tables
    before = threading.active_count()
    pictures = clip_pictures(clips, recordings, embedder, n_threads=4)
    next(pictures)
    pictures.close()
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("pseudorca_small", {"rows": 3}),
        ("pseudorca_small", {"n_rows": 1}),
        ("pseudorca_small", {"levels": "pcem"}),
        ("resnet18", {"window_ms": -1.0}),
        ("logmel", {"rows": 3}),
        ("mn04_as", {"levels": "pcen"}),
    ],
)
def test_settings_of_the_front_end_are_refused_before_a_network_is_loaded(
    scanned: Store, monkeypatch: pytest.MonkeyPatch, backbone: str, settings: dict
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("the network was loaded")

    monkeypatch.setattr("pseudorca.embedding.embed.load_backbone", loaded)
    with pytest.raises(FrontEndError):
        embed_project(scanned, EmbedderOptions(backbone, settings=tuple(settings.items())))


def test_the_network_in_the_box_takes_other_levels_and_says_that_it_knows_none(
    scanned: Store,
) -> None:
    for settings in ({"levels": "pcen", "scale": "log"}, {"background": "median"}):
        options = EmbedderOptions("pseudorca_small", settings=tuple(settings.items()))
        result = embed_project(scanned, options)
        assert result.n_new == len(scanned.read("recordings"))
        assert {name: result.front_end[name] for name in settings} == settings
        assert any(all(name in notice for name in settings) for notice in result.notices)
    plain = embed_project(scanned, EmbedderOptions("pseudorca_small"))
    assert not any("unlike any" in notice for notice in plain.notices)

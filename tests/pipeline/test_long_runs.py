"""Long recordings: portions, the gate, kills, other processes, full disks, files that change."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from pseudorca.access import locked
from pseudorca.embedding import cluster, drawing
from pseudorca.embedding import stream as embedding
from pseudorca.embedding.gate import Gate
from pseudorca.embedding.options import Computing
from pseudorca.errors import FrontEndError, PseudorcaError, StoreError
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.frontends.windows import EfficientATFrontEnd
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.preparation import PLAIN
from pseudorca.prediction import predictor as scores
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import decide_project, predict_project
from pseudorca.prediction.predictor import portions
from pseudorca.prediction.suitability import heard_hz, suitability_notices
from pseudorca.recordings.clips import ClipOptions
from pseudorca.recordings.manifest import scan_files
from pseudorca.store import CLASSIFIER_FOLDER, Store

RATE = 32_000


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of a recorder, a minute each, a break before the last; whistles now and then."""
    folder = tmp_path_factory.mktemp("deployment") / "mooring"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for k, clock in enumerate(("031200", "031300", "031500")):
        sound = 0.01 * rng.standard_normal(60 * RATE)
        for start_s in (5.0, 20.0 + k, 50.0, 59.0):
            t = np.arange(RATE) / RATE
            tone = 0.3 * np.sin(2 * np.pi * (4_000 * t + 1_000 * t**2))
            first = round(start_s * RATE)
            sound[first : first + RATE] += tone[: len(sound) - first]
        sf.write(folder / f"5678.210610{clock}.wav", sound, RATE, subtype="PCM_16")
    return folder


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv"))}


def same(first: Path, second: Path, *, exact: bool = False) -> None:
    a, b = tables(first), tables(second)
    assert a.keys() == b.keys()
    for name in a:
        pd.testing.assert_frame_equal(a[name], b[name], check_exact=exact, obj=name)


def test_portions_hold_whole_recordings_in_the_order_of_the_clock(deployment: Path) -> None:
    recordings = scan_files([deployment]).recordings.sample(frac=1, random_state=0)
    dealt = list(portions(recordings, ClipOptions(), n_clips=25))
    assert [len(part) for part in dealt] == [1, 1, 1]
    assert [part["start_utc"].iloc[0] for part in dealt] == sorted(recordings["start_utc"])
    together = list(portions(recordings, ClipOptions(), n_clips=40))
    assert [len(part) for part in together] == [2, 1]
    late = recordings.assign(start_utc=recordings["start_utc"].min())  # all at once: no border
    assert [len(part) for part in portions(late, ClipOptions(), n_clips=1)] == [3]


def test_how_a_run_is_dealt_does_not_show(
    trained: Store, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = predict_project(trained, [deployment], output=tmp_path / "whole", max_gap_s=5)
    stored = trained.read("scores").sort_values(["clip_id", "population"], ignore_index=True)
    monkeypatch.setattr(scores, "PORTION_CLIPS", 1)
    monkeypatch.setattr(portions, "__kwdefaults__", {"n_clips": 1})
    again = predict_project(trained, [deployment], output=tmp_path / "dealt", max_gap_s=5)
    assert {**said.as_json(), "output": ""} == {**again.as_json(), "output": ""}
    same(tmp_path / "whole", tmp_path / "dealt")
    now = trained.read("scores").sort_values(["clip_id", "population"], ignore_index=True)
    pd.testing.assert_frame_equal(stored, now)
    detections = tables(tmp_path / "whole")["detections"]
    assert (detections["path"] != detections["end_path"]).any()  # over the border of two files
    assert tables(tmp_path / "whole")["gaps"]["gap_s"].tolist() == [60.0]


def test_files_that_run_into_the_next_by_their_clocks_are_dealt_all_the_same(
    hydrophones: Path,
) -> None:
    recordings = scan_files([hydrophones / "pypam_300s_8k"]).recordings  # 300.02 s every 300 s
    assert [len(part) for part in portions(recordings, ClipOptions(), n_clips=1)] == [1, 1, 1]


# The gate


def test_the_gate_hears_whistles_and_clicks_and_no_noise() -> None:
    rng = np.random.default_rng(0)
    gate = Gate(12.0)
    noise = [rng.standard_normal(3 * RATE).astype(np.float32) for _ in range(20)]
    assert max(gate.excess_db(one, sample_rate=RATE) for one in noise) < 12
    t = np.arange(RATE // 2) / RATE
    whistle = noise[0].copy()
    whistle[RATE : RATE + len(t)] += 2 * np.sin(2 * np.pi * (5_000 * t + 2_000 * t**2))
    assert gate.excess_db(whistle, sample_rate=RATE) > 15
    clicks = noise[1].copy()
    clicks[RATE :: RATE // 20] += 200.0
    assert gate.excess_db(clicks, sample_rate=RATE) > 15
    louder = gate.excess_db(100 * whistle, sample_rate=RATE)
    assert louder == pytest.approx(gate.excess_db(whistle, sample_rate=RATE), abs=0.01)


def test_a_gate_is_in_the_band_of_its_front_end() -> None:
    front_end = CommonFrontEnd.in_band("48k", levels="pcen")
    gate = Gate.for_front_end(12.0, front_end)
    assert (gate.front_end.fmax_hz, gate.front_end.levels) == (front_end.fmax_hz, "db")
    assert gate.gate_id == Gate.for_front_end(20.0, front_end).gate_id
    assert gate.gate_id != Gate(12.0).gate_id
    with pytest.raises(FrontEndError, match="such as 12"):
        Gate(0.0)


def test_windows_without_signal_are_counted_and_not_scored(
    trained: Store, deployment: Path, tmp_path: Path
) -> None:
    everything = predict_project(trained, [deployment], output=tmp_path / "all")
    gated = predict_project(trained, [deployment], gate_db=12.0, output=tmp_path / "gated")
    assert everything.n_quiet == 0
    assert gated.n_clips + gated.n_quiet == everything.n_clips
    assert 0 < gated.n_clips <= 20
    hours = tables(tmp_path / "gated")["hours"]
    assert hours["listened_s"].sum() == pytest.approx(180.0)
    assert hours["quiet_s"].sum() == pytest.approx(3.0 * gated.n_quiet)
    clips = tables(tmp_path / "all")["clips"].set_index(["path", "start_s"])
    kept = tables(tmp_path / "gated")["clips"].set_index(["path", "start_s"])
    pd.testing.assert_frame_equal(kept, clips.loc[kept.index], check_dtype=False)
    # The same whether the windows were embedded before or not, and decided again.
    again = decide_project(trained, decision=DecisionOptions(), output=tmp_path / "again")
    assert again.n_quiet == gated.n_quiet
    same(tmp_path / "gated", tmp_path / "again", exact=True)


def test_a_gate_on_a_fresh_project_saves_the_network(
    trained: Store, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    classifier = Classifier.load(trained.folder / CLASSIFIER_FOLDER / "classifier")
    embed = type(classifier.embedder).embed
    monkeypatch.setattr(
        type(classifier.embedder),
        "embed",
        lambda self, pictures: (heard.append(len(pictures)), embed(self, pictures))[1],
    )
    first = predict_project(trained, [deployment], gate_db=12.0, output=tmp_path / "a")
    assert sum(heard) == first.n_clips
    wider = predict_project(trained, [deployment], gate_db=1.0, output=tmp_path / "b")
    assert wider.n_quiet == 0
    assert sum(heard) == wider.n_clips


def test_the_gate_measures_as_the_store_keeps_it() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        noise = rng.standard_normal(RATE).astype(np.float32)
        excess_db = Gate(12).excess_db(noise, sample_rate=RATE)
        assert excess_db == float(np.float32(excess_db))


def test_raven_is_told_the_band_that_is_heard() -> None:
    reach = CommonFrontEnd.in_band("common", lowest_rate=16_000)
    assert heard_hz(CommonFrontEnd()) == (100, 15_040)
    assert heard_hz(reach) == (100, 7_520)
    assert heard_hz(SlowFrontEnd(reach, 4)) == (400, 4 * 7_520)
    assert heard_hz(EfficientATFrontEnd()) == (0, 15_000)
    assert heard_hz(StudyFrontEnd()) is None


def test_recordings_that_reach_less_far_than_those_in_training_are_told() -> None:
    table = pd.DataFrame(
        {
            "sample_rate": [8_000, 16_000],
            "moment_id": ["a", "b"],
            "recording_id": ["a", "b"],
            "duration_s": [1.0, 1.0],
        }
    )
    for band, n_told in (("common", 1), ("all", 1), ("16k", 0)):
        front_end = CommonFrontEnd.in_band(band, lowest_rate=16_000)
        member = SimpleNamespace(front_end=front_end)
        classifier = SimpleNamespace(
            embedder=SimpleNamespace(members=(member,)), training={}, classes=["Insular"],
            preparation=PLAIN, nothing=None,
        )  # fmt: skip
        told = suitability_notices(table, classifier, is_gated=False)  # type: ignore[arg-type]
        assert sum("all in training" in text and "1 of 2" in text for text in told) == n_told


def test_drop_outs_and_padding_are_no_background() -> None:
    rng = np.random.default_rng(0)
    gate = Gate(12.0)
    for share in np.arange(0.1, 0.95, 0.1):
        noise = rng.standard_normal(3 * RATE).astype(np.float32)
        noise[round(share * len(noise)) :] = 0.0
        assert gate.excess_db(noise, sample_rate=RATE) < 12


def test_a_recording_with_a_drop_out_goes_through_the_gate(trained: Store, tmp_path: Path) -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal(30 * RATE)
    sound[4 * RATE : 5 * RATE] = 0.0
    sf.write(tmp_path / "x.wav", sound, RATE)
    said = predict_project(trained, [tmp_path / "x.wav"], gate_db=12.0)
    assert (said.n_clips, said.n_quiet, len(said.problems)) == (0, 10, 0)


def test_the_gate_hears_what_a_slowed_network_hears() -> None:
    rng = np.random.default_rng(0)
    rate = 192_000
    sound = rng.standard_normal(3 * rate).astype(np.float32)
    t = np.arange(rate // 2) / rate
    sound[rate : rate + len(t)] += 3 * np.sin(2 * np.pi * (30_000 * t + 1_000 * t**2))
    slowed = Gate.for_front_end(12.0, SlowFrontEnd(CommonFrontEnd(), 4.0))
    assert slowed.excess_db(sound, sample_rate=rate) > 20
    assert slowed.gate_id != Gate(12.0).gate_id


# Reading


def test_compressed_files_do_not_use_up_the_open_files(
    trained: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    for k in range(12):  # the last second of each is left out, so its end is never read
        sf.write(tmp_path / f"{k}.ogg", 0.1 * rng.standard_normal(4 * RATE), RATE, format="OGG")
    monkeypatch.setattr(drawing, "_MOST_OPEN", 3)
    n_open: list[int] = []
    read = drawing.OpenFiles.read

    def counted(self, *rest):  # type: ignore[no-untyped-def]
        found = read(self, *rest)
        n_open.append(sum(held.reader is not None for held in self._open.values()))
        return found

    monkeypatch.setattr(drawing.OpenFiles, "read", counted)
    said = predict_project(trained, [tmp_path], computing=Computing(n_threads=1))
    assert (said.n_clips, len(said.problems)) == (12, 0)
    assert max(n_open) <= 3


def test_compressed_files_are_decoded_once(
    trained: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "in" / "20170710_031200.ogg"
    path.parent.mkdir()
    with sf.SoundFile(path, "w", RATE, 1, format="OGG") as file:
        for _ in range(200):  # libsndfile's encoder breaks on much at once
            file.write(0.1 * rng.standard_normal(RATE))
    monkeypatch.setattr(drawing, "_CLIPS_PER_TASK", 4)
    opened: list[str] = []
    reader = drawing.audio.Reader
    monkeypatch.setattr(
        drawing.audio, "Reader", lambda path: (opened.append(str(path)), reader(path))[1]
    )
    classifier = Classifier.load(trained.folder / CLASSIFIER_FOLDER / "classifier")
    recordings = scan_files([path]).recordings
    opened.clear()
    clips, _ = scores.cut(recordings, classifier.clip_options)
    embedding.embed_clips(clips, recordings, classifier.embedder, trained, n_threads=2)
    assert len(opened) == 1
    with reader(path) as whole:  # the samples of a late window, read on its own
        alone = drawing.read_clip(whole, clips.iloc[40])
    vectors = trained.vectors(classifier.embedder.embedder_id, [clips["clip_id"].iloc[40]])
    drawn = classifier.embedder.network_input(alone, sample_rate=RATE)
    np.testing.assert_allclose(vectors, classifier.embedder.embed([drawn]), atol=1e-4)


def test_a_file_that_changes_during_the_run_is_a_problem(
    trained: Store, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "mooring"
    copy.mkdir()
    for path in deployment.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    first, second, third = sorted(copy.iterdir())
    draw, done = drawing._draw, []

    def changing(recording, *rest):  # type: ignore[no-untyped-def]
        if not done:
            done.append(True)
            content = bytearray(second.read_bytes())
            content[1000:2000] = bytes(1000)
            time.sleep(0.02)
            second.write_bytes(content)
            third.unlink()
        return draw(recording, *rest)

    monkeypatch.setattr(drawing, "_draw", changing)
    computing = Computing(n_threads=1)
    said = predict_project(trained, [copy], output=tmp_path / "out", computing=computing)
    reasons = dict(zip(said.problems["path"], said.problems["reason"], strict=True))
    assert reasons == {
        second.name: "changed since the scan",
        third.name: "cannot be opened",
    }
    assert said.n_files == 3
    assert set(tables(tmp_path / "out")["clips"]["path"]) == {first.name}


# Nothing lost

_SLOWLY = (
    "import sys, time; from pseudorca.embedding import drawing, embedder, stream;"
    "stream._COMMIT_S = 0.05; drawing.UNIT_CLIPS = 16; embed = embedder.Embedder.embed;"
    "embedder.Embedder.embed = lambda self, x: (time.sleep(0.05), embed(self, x))[1];"
    "from pseudorca.cli import main; sys.argv = ['pseudorca', *sys.argv[1:]]; main()"
)


def run(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SLOWLY, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def killed_often(
    project: Store, deployment: Path, out: Path, n_kills: int, rng: np.random.Generator
) -> list[int]:
    """Predict, killed at random moments, then to the end -> windows kept at each kill."""
    arguments = ("predict", deployment, "--project", project.folder, "--out", out)
    arguments = (*arguments, "--batch-size", "4", "--threads", "1", "--gate", "5")
    kept = []
    for _ in range(n_kills):
        process, before = run(*arguments), n_kept(project)
        while process.poll() is None and n_kept(project) == before:
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept.append(n_kept(project))
    process = run(*arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return kept


def n_kept(project: Store) -> int:
    """Windows in all tables of embeddings and of the gate."""
    store = Store(project.folder)
    tables = store._database.list_tables(limit=1000).tables
    of_windows = [name for name in tables if name.startswith("embeddings_")]
    return sum(store._database.open_table(name).count_rows() for name in of_windows)


def clips_once(project: Store) -> None:
    """No window is there twice in any table of embeddings or scores."""
    scores_kept = project.read("scores")
    assert not scores_kept.duplicated(["clip_id", "classifier_id", "split_id", "population"]).any()
    for name in project._database.list_tables(limit=1000).tables:
        if name.startswith(("embeddings_", "gate_")):
            ids = project._database.open_table(name).to_arrow()["clip_id"].to_pylist()
            assert len(ids) == len(set(ids))


@pytest.mark.slow
@pytest.mark.parametrize("n_kills", [3])
def test_killed_at_any_moment_and_run_again_the_tables_are_the_same(
    trained: Store, deployment: Path, tmp_path: Path, n_kills: int
) -> None:
    reference = tmp_path / "reference"
    shutil.copytree(trained.folder, reference)
    reference_store, n_before = Store(reference), n_kept(trained)
    killed_often(reference_store, deployment, tmp_path / "straight", 0, np.random.default_rng())
    rng = np.random.default_rng(n_kills)
    n_windows = n_kept(reference_store)
    kept = killed_often(trained, deployment, tmp_path / "killed", n_kills, rng)
    assert any(n_before < n < n_windows for n in kept)  # hit in the middle of its work
    same(tmp_path / "straight", tmp_path / "killed", exact=True)
    clips_once(trained)


@pytest.mark.slow
def test_workers_give_the_same_tables_even_if_one_is_killed(
    trained: Store, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "UNIT_CLIPS", 4)  # 15 units, most of them open when it dies
    monkeypatch.setattr(cluster, "_UNITS_AHEAD", 2)
    pytest.importorskip("distributed")
    from distributed import LocalCluster

    reference = Store(shutil.copytree(trained.folder, tmp_path / "reference"))
    predict_project(reference, [deployment], output=tmp_path / "straight")
    with LocalCluster(
        n_workers=3,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",  # None would take port 8787, as other tests do
        scheduler_kwargs={"dashboard": False},
        silence_logs=50,
    ) as local:
        pids = [worker["pid"] for worker in _workers(local)]
        killed: list[int] = []

        def progress(done: int, total: int) -> None:
            if not killed and done:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        said = predict_project(
            trained, [deployment], output=tmp_path / "cluster", progress=progress,
            computing=Computing(cluster=local.scheduler_address),
        )  # fmt: skip
    assert killed
    assert said.problems.empty
    same(tmp_path / "straight", tmp_path / "cluster")
    clips_once(trained)


def _workers(local) -> list[dict[str, int]]:  # type: ignore[no-untyped-def]
    from distributed import Client

    with Client(local.scheduler_address) as client:
        found = client.run(os.getpid)
    return [{"pid": pid} for pid in found.values()]


def test_two_ways_to_compute_are_one_too_many(trained: Store, deployment: Path) -> None:
    computing = Computing(n_workers=2, cluster="tcp://127.0.0.1:1")
    with pytest.raises(PseudorcaError, match="choose one"):
        predict_project(trained, [deployment], computing=computing)


def test_a_second_process_waits_and_says_so(scanned: Store, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", "from pseudorca.cli import main; main()", "clips"]
    arguments += ["--project", str(scanned.folder)]
    with locked(scanned):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert b"Another pseudorca works on" in process.stderr.readline()
        assert process.poll() is None
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"clips" in out


def test_a_full_disk_stops_in_plain_words(
    trained: Store, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, n_calls = Store.append_vectors, []

    def full(self: Store, *rest: object) -> None:
        n_calls.append(1)
        if len(n_calls) > 1:
            with self._writing("embeddings"):
                raise OSError(28, "No space left on device")
        append(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "append_vectors", full)
    monkeypatch.setattr(embedding, "_COMMIT_S", 0.0)
    computing = Computing(batch_size=8)
    with pytest.raises(StoreError, match=r"no space left on device.*goes on from there"):
        predict_project(trained, [deployment], output=tmp_path / "out", computing=computing)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    monkeypatch.undo()
    assert predict_project(trained, [deployment]).n_clips == 60


def test_decide_does_not_look_at_the_files_again(
    trained: Store, deployment: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "mooring"
    copy.mkdir()
    for path in deployment.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    first = predict_project(trained, [copy], output=tmp_path / "a")
    for path in copy.iterdir():
        path.unlink()
    again = decide_project(trained, decision=DecisionOptions(), output=tmp_path / "b")
    assert {**first.as_json(), "output": ""} == {**again.as_json(), "output": ""}
    same(tmp_path / "a", tmp_path / "b", exact=True)
    run_of = json.loads(trained.read("runs").iloc[-1]["settings"])
    assert run_of["roots"] == [str(copy)]

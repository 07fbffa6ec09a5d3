"""Fine-tuning as a user meets it: train, evaluate, predict, stopped and run again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pseudorca.backbones import load_backbone
from pseudorca.compare.compare import CompareOptions, compare_project
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import Embedder, load_embedders
from pseudorca.embedding.network_inputs import keep_inputs
from pseudorca.errors import AudioError, HeadError, StoreError
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.frontends.classic import ClassicFrontEnd
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings import audio
from pseudorca.recordings.folds import Split
from pseudorca.report.contents import is_saved, read_project
from pseudorca.store import EMBEDDER_FOLDER, Store

from .conftest import RATE, copied

QUICK = make_head("finetuned", n_epochs=2, stages=2)


@pytest.fixture(scope="module")
def embedded_once(clipped_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project embedded by the network in the box."""
    store = copied(clipped_once, tmp_path_factory.mktemp("embedded") / "project")
    embed_project(store, EmbedderOptions())
    return store.folder


def embedder_of(store: Store):
    return load_embedders(store.folder / EMBEDDER_FOLDER)


def test_network_inputs_are_kept_as_they_are_drawn_and_only_once(embedded: Store, survey, tmp_path):
    clips, recordings = embedded.read("clips"), embedded.read("recordings")
    embedder = embedder_of(embedded)
    said: list[str] = []
    half = keep_inputs(clips.iloc[:10], recordings, embedder, tmp_path, tell=said.append)
    data, index = half.path, half.path.with_suffix(".jsonl")
    with data.open("ab") as file:
        file.write(b"what a kill left")
    with index.open("a") as file:
        file.write('["half a li')
    before = data.stat().st_size
    drawn: list[int] = []
    inputs = keep_inputs(
        clips, recordings, embedder, tmp_path, tell=said.append,
        progress=lambda done, total: drawn.append(total),
    )  # fmt: skip
    assert set(drawn) == {len(clips) - 10}
    assert len(said) == 2
    assert "10 clips, about" in said[0]
    assert data.stat().st_size > before
    row = recordings.set_index("recording_id").loc[clips["recording_id"].iloc[-1]]
    path = Path(row["root"]) / row["path"]
    with audio.Reader(path) as reader:
        from pseudorca.embedding.drawing import read_clip

        sound = read_clip(reader, clips.iloc[-1])
        rate = reader.info.sample_rate
    picture = embedder.network_input(sound, sample_rate=rate)
    kept = inputs.batch([len(clips) - 1])[0]
    np.testing.assert_array_equal(kept.permute(1, 2, 0).numpy(), picture)
    again = keep_inputs(clips, recordings, embedder, tmp_path, tell=said.append)
    assert len(said) == 2
    np.testing.assert_array_equal(again.offsets, inputs.offsets)


def test_a_recording_that_vanished_is_told(embedded: Store, tmp_path: Path) -> None:
    recordings = embedded.read("recordings").assign(root=str(tmp_path / "gone"))
    with pytest.raises(AudioError, match="cannot be drawn"):
        keep_inputs(embedded.read("clips"), recordings, embedder_of(embedded), tmp_path)


def test_a_full_disk_stops_in_plain_words(embedded: Store, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # a limit stands for the disk's end
    clips, recordings = embedded.read("clips"), embedded.read("recordings")
    features = Embedder(ClassicFrontEnd.in_band("16k"), load_backbone("logmel"), "cpu")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
        with pytest.raises(StoreError, match="Make room, then run the same command again"):
            keep_inputs(clips, recordings, features, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    inputs = keep_inputs(clips, recordings, features, tmp_path)
    assert inputs.batch(range(len(clips))).shape == (len(clips), 1, 256)


def test_evaluate_and_train_through_the_network_and_predict(embedded: Store, survey: Path) -> None:
    said: list[str] = []
    result = evaluate_project(
        embedded, Recipe(QUICK), [Split("encounter", n_folds=2, n_repeats=1)], stage=said.append
    ).as_json()
    assert {row["unit"] for row in result["results"]} == {"clip", "recording", "encounter"}
    assert result["recipe"]["head"]["head"] == "finetuned"
    about = json.loads(embedded.read("evaluations")["result"].iloc[0])
    assert all(len(one["history"]) == 2 for one in about["trainings"])
    assert len(said) == 1
    assert not (embedded.folder / "finetuning").exists()

    frozen = embedder_of(embedded)
    trained = train_project(embedded, Recipe(QUICK), stage=said.append).as_json()
    assert len(said) == 1  # the inputs are there
    assert "notices" in trained
    classifier = Classifier.load(Path(trained["classifier"]))
    assert classifier.embedder.embedder_id != frozen.embedder_id
    assert embedder_of(embedded).embedder_id == frozen.embedder_id
    assert np.isfinite(list(classifier.novelty.usual.values())).all()
    project = read_project(embedded)
    assert is_saved(project, project.evaluations[0].about["recipe"])
    assert "fine-tuned (the last 2 of its stages" in project.evaluations[0].head
    assert not (embedded.folder / "finetuning").exists()
    predict_project(embedded, [survey / "Unknown"])
    name = "Lasker_AC_90/20170710_031202_ch05_sel02.wav"
    with audio.Reader(survey / "Unknown" / name) as reader:
        sound = reader.read(0, 3 * RATE).ravel()
    told = classifier.log_probabilities([sound], sample_rate=RATE)[0]
    rows = embedded.read("scores", where="split_id = ''")
    scores = rows.pivot(index="clip_id", columns="population", values="score")
    assert np.abs(scores[classifier.classes] - told).max(axis=1).min() < 1e-4


def test_what_another_verb_was_killed_in_stays(embedded: Store) -> None:
    other = embedded.folder / "finetuning" / "of another verb"
    other.mkdir(parents=True)
    train_project(embedded, Recipe(make_head("logistic", c=0.1)))
    split = [Split("encounter", n_folds=2, n_repeats=1)]
    evaluate_project(embedded, Recipe(make_head("finetuned", n_epochs=1, stages=1)), split)
    assert list((embedded.folder / "finetuning").iterdir()) == [other]


def test_several_networks_and_other_verbs_refuse_it_in_words(embedded: Store) -> None:
    with pytest.raises(HeadError, match="train and evaluate"):
        compare_project(embedded, CompareOptions(heads=("finetuned",)), embedded.folder / "c")


_TRAIN = """
import sys
from pseudorca.cli import main
sys.argv[1:] = ["train", "--project", sys.argv[1], "--head", "finetuned", "--epochs", "3",
                "--head-set", "stages=1", "--head-set", "background=0.5"]
main()
"""


def run(project: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _TRAIN, str(project)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def arrays_of(project: Path) -> dict[str, np.ndarray]:
    folder = project / "classifiers" / "classifier"
    return load_file(folder / "embedder.safetensors") | load_file(folder / "head.safetensors")


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_the_weights_are_the_same(embedded: Store) -> None:
    project = embedded.folder
    assert run(project).wait() == 0
    expected = arrays_of(project)
    n_kills = 0
    while n_kills < 2:
        process = run(project)
        seen: set[tuple[Path, int]] = set()
        while process.poll() is None and len(seen) < 2:  # at the second epoch of what it does now
            found = (project / "finetuning").glob("*/checkpoint.pt")
            seen |= {(path, path.stat().st_mtime_ns) for path in found if path.exists()}
            time.sleep(0.002)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        n_kills += 1
        assert list((project / "finetuning").iterdir())
    assert run(project).wait() == 0
    assert n_kills > 0
    found = arrays_of(project)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(values, found[name], err_msg=name)

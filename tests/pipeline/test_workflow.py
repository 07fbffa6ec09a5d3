"""The whole job on a small survey: every stage after the other, and laws across stages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.embedding import drawing
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.errors import AudioError, ClassifierError, HeadError, ManifestError, StoreError
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings import audio
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

from .conftest import BACKBONE, RATE, whistle


def test_the_whole_job_runs_and_names_the_unknown(trained: Store) -> None:
    result = predict_project(trained)
    assert (result.n_files, len(result.problems)) == (12, 0)
    assert result.prior == "uniform"
    recordings, encounters = result.recordings, result.encounters
    assert len(recordings) == 12
    assert len(encounters) == 4
    assert set(encounters["decision"]) == {"Insular"}  # as they were made
    assert not recordings["in_training"].any()
    assert (recordings["n_moments"] == [1, 1, 1] * 4).all()
    np.testing.assert_allclose(recordings["p_Insular"] + recordings["p_Pelagic"], 1.0)
    decisions = trained.read("decisions")
    assert set(decisions["unit"]) == {"clip", "recording", "encounter"}
    assert len(trained.read("scores", where="split_id = ''")) == 2 * result.n_clips


def test_training_path_equals_prediction_path(trained: Store, survey: Path) -> None:
    """The number behind a clip in training is the number that prediction gives, to the bit."""
    classifier = Classifier.load(trained.folder / "classifiers" / "classifier")
    clips = trained.read("clips")
    labelled = clips[clips["label"].notna()].reset_index(drop=True)
    stored = trained.vectors(classifier.embedder.embedder_id, labelled["clip_id"].tolist())
    predict_project(trained, [survey])
    scores = trained.read("scores", where="split_id = ''")
    predicted = scores.set_index(["clip_id", "population"])["score"]
    expected = classifier.head.log_probabilities(stored)
    for clip_id, row in zip(labelled["clip_id"], expected, strict=True):
        for label, score in zip(classifier.classes, row, strict=True):
            assert predicted[clip_id, label] == score


def test_a_fresh_project_predicts_the_same_numbers(
    trained: Store, survey: Path, tmp_path: Path
) -> None:
    first = predict_project(trained, [survey / "Unknown"], output=tmp_path / "a")
    elsewhere = Store(tmp_path / "elsewhere", create=True)
    (tmp_path / "elsewhere" / "classifiers").mkdir()
    (trained.folder / "classifiers" / "classifier").rename(
        elsewhere.folder / "classifiers" / "classifier"
    )
    second = predict_project(elsewhere, [survey / "Unknown"], output=tmp_path / "b")
    assert first.n_clips == second.n_clips
    a, b = (pd.read_csv(tmp_path / name / "clips.csv") for name in "ab")
    np.testing.assert_allclose(a["p_Insular"], b["p_Insular"], atol=1e-5)


def test_waveforms_score_as_their_clips_do(trained: Store, survey: Path) -> None:
    classifier = Classifier.load(trained.folder / "classifiers" / "classifier")
    path = sorted((survey / "Unknown").rglob("*_sel00.wav"))[0]
    waveform = audio.read_segment(path)[0]
    tiled = np.resize(waveform, 3 * RATE)
    direct = classifier.log_probabilities([tiled], sample_rate=RATE)
    predict_project(trained, [path])
    stored = trained.read("scores", where="split_id = ''").set_index("population")["score"]
    np.testing.assert_allclose(direct[0], stored[classifier.classes], rtol=1e-4)


def test_predicting_on_training_recordings_is_said_so(trained: Store, survey: Path) -> None:
    result = predict_project(trained, [survey / "Insular"])
    assert any("in_training" in notice for notice in result.notices)
    assert result.clips["in_training"].all()


def test_unknown_is_never_trained_on(trained: Store) -> None:
    classifier = Classifier.load(trained.folder / "classifiers" / "classifier")
    recordings = trained.read("recordings").set_index("recording_id")
    used = recordings.loc[classifier.training["recordings"]]
    assert used["label"].notna().all()
    assert not used["path"].str.startswith("Unknown").any()


def test_evaluation_keeps_scores_and_results(embedded: Store) -> None:
    splits = [Split("encounter", 4, 2), Split("random", 4, 2), Split("leave-one-encounter-out")]
    result = evaluate_project(embedded, Recipe(LogisticHead()), splits).as_json()
    keys = set(
        "split unit n_units n_groups balanced_accuracy ci_low ci_high interval_method "
        "majority_baseline accuracy majority_accuracy per_class".split()
    )
    assert len(result["results"]) == 9
    for row in result["results"]:
        assert keys <= set(row)
        assert row["ci_low"] <= row["balanced_accuracy"] <= row["ci_high"]
        assert row["majority_baseline"] == 0.5
    by_unit = {row["unit"]: row["n_units"] for row in result["results"][:3]}
    assert by_unit == {"clip": 24, "recording": 24, "encounter": 8}
    assert result["results"][2]["balanced_accuracy"] == 1.0  # the two whistles are unlike
    stored = [json.loads(text) for text in embedded.read("evaluations")["result"]]
    assert [entry["split"]["name"] for entry in stored] == [split.name for split in splits]
    scores = embedded.read("scores")
    assert len(scores) == (24 * 2) * (2 + 2 + 1)
    evaluate_project(embedded, Recipe(LogisticHead()), splits)  # again: replaced, not added
    assert len(embedded.read("scores")) == len(scores)
    assert len(embedded.read("evaluations")) == 3


def test_softmax_study_split_and_sampler_run(embedded: Store) -> None:
    head = SoftmaxHead(learning_rate=0.01, balance="sampler")
    result = evaluate_project(embedded, Recipe(head), [Split("study", seed=220029955)]).as_json()
    assert result["results"][0]["n_units"] == round(0.2 * 24)
    made = train_project(embedded, Recipe(head), name="softmax").as_json()
    assert 1 <= made["best_epoch"] <= 24


def test_channels_each_are_scored_and_counted_once(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, low in (("A", 4_000), ("B", 8_000)):
        for day in range(3):
            folder = tmp_path / "data" / label / f"day{day}"
            folder.mkdir(parents=True)
            one = whistle(low, low + 2_000, 3.0, rng)
            noise = 0.02 * rng.standard_normal((len(one), 4)).astype(np.float32)
            sf.write(folder / "x.wav", one[:, None] + noise, RATE, subtype="FLOAT")
    store = Store(tmp_path / "p", create=True)
    scan_project(store, tmp_path / "data", ScanOptions())
    cut = clips_project(store, ClipOptions(channels="each"))
    assert (len(cut.clips), cut.n_moments) == (24, 6)
    embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    result = evaluate_project(store, Recipe(LogisticHead()), [Split("random", 3)]).as_json()
    assert {row["unit"]: row["n_units"] for row in result["results"]} == {
        "clip": 6, "recording": 6, "encounter": 6,
    }  # fmt: skip


def test_adapting_batch_norm_gives_another_embedder(embedded: Store, weights: Path) -> None:
    plain = embed_project(embedded, EmbedderOptions(BACKBONE, str(weights)))
    options = EmbedderOptions(BACKBONE, str(weights), adapt_batch_norm=True)
    adapted = embed_project(embedded, options)
    assert adapted.embedder_id != plain.embedder_id
    again = embed_project(embedded, options)
    assert (again.embedder_id, again.n_new) == (adapted.embedder_id, 0)
    train_project(embedded, Recipe(LogisticHead()))
    predict_project(embedded)


def test_reaching_the_band_with_the_label_is_warned_about(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, rate in (("A", 16_000), ("B", 48_000)):
        for day in range(3):
            folder = tmp_path / "data" / label / f"day{day}"
            folder.mkdir(parents=True)
            sound = 0.1 * rng.standard_normal(rate)
            sf.write(folder / "x.wav", sound, rate, subtype="PCM_16")
    store = Store(tmp_path / "p", create=True)
    scanned = scan_project(store, tmp_path / "data", ScanOptions())
    assert scanned.proposed_band == "all"
    assert any("Mixed sample rates" in notice for notice in scanned.notices)
    made = embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    assert any("to 32 kHz" in notice for notice in made.notices)
    result = evaluate_project(store, Recipe(LogisticHead()), [Split("encounter", 3)]).as_json()
    assert any("goes with the label" in notice for notice in result["notices"])
    wide = EmbedderOptions(BACKBONE, str(weights), band="all")
    assert embed_project(store, wide).front_end["fmax_hz"] == 0.45 * 16_000
    result = evaluate_project(store, Recipe(LogisticHead()), [Split("encounter", 3)]).as_json()
    assert not any("goes with the label" in notice for notice in result["notices"])


def test_a_damaged_classifier_is_refused(trained: Store) -> None:
    folder = trained.folder / "classifiers" / "classifier"
    about = json.loads((folder / "classifier.json").read_text())
    about["clips"]["window_s"] = 2.0
    (folder / "classifier.json").write_text(json.dumps(about))
    with pytest.raises(ClassifierError, match=r"classifier\.json was changed"):
        Classifier.load(folder)
    (folder / "classifier.json").write_text("{}")
    with pytest.raises(ClassifierError, match="format None"):
        Classifier.load(folder)
    (folder / "classifier.json").write_text("{")
    with pytest.raises(ClassifierError, match="Run: pseudorca train"):
        Classifier.load(folder)


def test_a_saved_classifier_holds_data_only(trained: Store) -> None:
    folder = trained.folder / "classifiers" / "classifier"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors", ".parquet"}


def test_verbs_out_of_order_say_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Begin with: pseudorca scan"):
        Store(tmp_path / "nothing")
    store = Store(tmp_path / "p", create=True)
    with pytest.raises(ManifestError, match="Run: pseudorca scan"):
        clips_project(store, ClipOptions())
    with pytest.raises(ClassifierError, match="Run: pseudorca train"):
        predict_project(store)


def test_scanning_again_keeps_embeddings_and_options(embedded: Store, survey: Path, weights: Path):
    clips_project(embedded, ClipOptions(window_s=2.0))
    embed_project(embedded, EmbedderOptions(BACKBONE, str(weights)))
    scan_project(embedded, survey, ScanOptions())
    result = embed_project(embedded, EmbedderOptions(BACKBONE, str(weights)))
    assert result.n_new == 0
    assert embedded.setting("clips")["window_s"] == 2.0


def test_clips_cut_anew_must_be_embedded_before_training(embedded: Store) -> None:
    clips_project(embedded, ClipOptions(overlap_s=1.5))
    with pytest.raises(HeadError, match="labelled clips have no embedding"):
        train_project(embedded, Recipe(LogisticHead()))
    with pytest.raises(HeadError, match="Run: pseudorca embed"):
        evaluate_project(embedded, Recipe(LogisticHead()), [Split("encounter", 4)])


def test_a_recording_that_failed_to_embed_is_left_out_aloud(
    scanned: Store, survey: Path, weights: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(survey, copy)
    scan_project(scanned, copy, ScanOptions())
    next((copy / "Pelagic").rglob("*.wav")).unlink()
    made = embed_project(scanned, EmbedderOptions(BACKBONE, str(weights)))
    assert len(made.problems) == 1
    result = evaluate_project(scanned, Recipe(LogisticHead()), [Split("encounter", 4)]).as_json()
    assert any(
        notice.startswith("Left out") and "Pelagic 1" in notice for notice in result["notices"]
    )


def test_predicting_on_bad_files_only_keeps_what_was_said_last(
    trained: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = predict_project(trained, formats=("csv", "audacity"))
    names = ("scores", "decisions", "predicted", "predicted_problems", "runs")

    def state() -> tuple[dict[str, bytes], dict[str, int]]:
        files = [path for path in last.output.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files}, {
            name: trained.version(name) for name in names
        }

    before = state()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.wav").write_text("not audio")
    (bad / "empty.wav").touch()
    result = predict_project(trained, [bad])
    assert (result.n_files, result.n_clips, len(result.problems)) == (2, 0, 2)
    assert any("Nothing was written" in notice for notice in result.notices)
    assert set(result.problems["reason"]) == {"not audio", "empty file"}
    assert result.files == {}
    assert state() == before
    told = CliRunner().invoke(cli.app, ["predict", str(bad), "--project", str(trained.folder)])
    assert told.exit_code == 1
    assert "Nothing was written" in told.stdout
    assert "Tables are in" not in told.stdout

    def unreadable(*_: object) -> None:
        raise AudioError("cannot be opened", "gone")

    monkeypatch.setattr(drawing.OpenFiles, "read", unreadable)  # where the header was good
    for name in list(trained._database.list_tables(limit=1000).tables):
        if name.startswith("embeddings_"):
            trained._database.drop_table(name)
    again = predict_project(trained, formats=("csv", "audacity"))
    assert (again.n_clips, again.files) == (0, {})
    assert len(again.problems) > 0
    assert state() == before


def test_another_channel_of_a_trained_moment_counts_as_heard(
    trained: Store, survey: Path, tmp_path
):
    source = sorted((survey / "Insular" / "Lasker_AC_10").glob("*.wav"))[0]
    sound, rate = sf.read(source)
    folder = tmp_path / "new" / "Lasker_AC_10"
    folder.mkdir(parents=True)
    sf.write(folder / source.name.replace("_ch05_", "_ch02_"), 0.9 * sound[::-1], rate)
    result = predict_project(trained, [folder])
    assert any("in_training" in notice for notice in result.notices)
    for table in ("clips", "recordings", "encounters"):
        assert pd.read_csv(result.output / f"{table}.csv")["in_training"].all()


def test_a_name_cannot_leave_the_project(embedded: Store) -> None:
    with pytest.raises(ClassifierError, match="cannot be called"):
        train_project(embedded, Recipe(LogisticHead()), name="../../evil")

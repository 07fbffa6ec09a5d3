"""The main job on real recordings with real weights."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

SHARED = Path(__file__).parents[2].parent / "shared"
WATKINS = SHARED / "data" / "watkins-odontocetes"
WEIGHTS = SHARED / "weights" / "mobilenet_v2_imagenet1001_coral.safetensors"

pytestmark = pytest.mark.skipif(
    not (WATKINS.exists() and WEIGHTS.exists()), reason="real recordings or weights are not here"
)
runner = CliRunner()


def run(*arguments: str) -> dict:
    result = runner.invoke(cli.app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
def test_the_readmes_commands_do_the_whole_job_on_real_recordings(tmp_path):
    project = ("--project", str(tmp_path / "whales"))
    scanned = run("scan", str(WATKINS), *project)
    assert (scanned["n_recordings"], scanned["n_labelled"], scanned["n_unlabelled"]) == (
        360,
        304,
        56,
    )
    assert len(scanned["classes"]) == 6
    assert (scanned["n_encounters"], scanned["n_problems"]) == (35, 0)
    embedded = run("embed", *project, "--backbone", "mobilenet_v2_tf", "--weights", str(WEIGHTS))
    assert embedded["n_new"] == embedded["n_clips"]
    run("train", *project)
    results = run("evaluate", *project, "--split", "encounter", "--split", "random")["results"]
    found = {(row["split"], row["unit"]): row for row in results}
    honest, optimistic = found["encounter", "recording"], found["random", "recording"]
    assert 0.35 < honest["balanced_accuracy"] < 0.7
    assert optimistic["balanced_accuracy"] > 0.8
    assert honest["majority_baseline"] == pytest.approx(1 / 6)
    assert found["encounter", "encounter"]["n_units"] == 34
    predicted = run("predict", *project)
    assert (predicted["n_files"], predicted["n_problems"]) == (56, 0)
    assert len(pd.read_csv(Path(predicted["output"]) / "encounters.csv")) == 1
    report = run("report", *project)
    html = Path(report["output"]).read_text()
    assert f"{found['encounter', 'encounter']['balanced_accuracy']:.2f}" in html


def test_any_rate_channel_count_and_format_goes_through(tmp_path):
    """500 kHz, six 24-bit channels, MP3, 600 Hz: scan, embed and predict."""
    data = SHARED / "data"
    files = [
        data / "hiceas-2017/Sette_AC_101/20170728_031259_ch05_sel02.wav",
        data / "hydrophones/array_6ch_32k_24bit/AMAR173.20190920T163858Z_6ch.flac",
        sorted((data / "hydrophones/whaledr_ooi").glob("*.mp3"))[0],
        data / "hydrophones/finback_600hz/finback_whale.wav",
    ]
    training = tmp_path / "training"
    for label, folder in (("FalseKillerWhale", "1995_tape003"), ("Beluga", "1962_tape018")):
        (training / label).mkdir(parents=True)
        (training / label / folder).symlink_to(WATKINS / label / folder)
    store = Store(tmp_path / "p", create=True)
    scan_project(store, training, ScanOptions())
    options = EmbedderOptions("mobilenet_v2_tf", str(WEIGHTS))
    embed_project(store, options)
    train_project(store, Recipe(LogisticHead(c=0.01)))
    result = predict_project(store, files)
    assert (result.n_files, len(result.problems)) == (4, 0)
    said = pd.read_csv(result.output / "recordings.csv")
    assert len(said) == 4
    clips = pd.read_csv(result.output / "clips.csv", parse_dates=["start_utc"])
    assert clips.groupby("path").size().tolist() == [1, 6, 100, 150]
    hiceas = clips[clips["path"].str.contains("sel02")].iloc[0]
    assert str(hiceas["start_utc"]) == "2017-07-28 03:12:59+00:00"
    assert said["probability"].between(0.5, 1.0).all()


@pytest.mark.slow
def test_long_files_keep_their_clock_in_every_table(tmp_path):
    """A 900 s buoy, three files of one SoundTrap, a 300 s MP3, six channels."""
    hydrophones = SHARED / "data" / "hydrophones"
    buoy = hydrophones / "pamguard_examples/NOPP6_EST_20090329_121500.wav"
    mp3 = sorted((hydrophones / "whaledr_ooi").glob("*.mp3"))[0]
    six = hydrophones / "array_6ch_32k_24bit/AMAR173.20190920T163858Z_6ch.flac"
    soundtrap = hydrophones / "pypam_300s_8k"
    training = tmp_path / "training"
    for label, folder in (("FalseKillerWhale", "1995_tape003"), ("Beluga", "1962_tape018")):
        (training / label).mkdir(parents=True)
        (training / label / folder).symlink_to(WATKINS / label / folder)
    store = Store(tmp_path / "p", create=True)
    scan_project(store, training, ScanOptions())
    embed_project(store, EmbedderOptions())
    train_project(store, Recipe(LogisticHead(c=0.01)))
    out = tmp_path / "out"
    result = predict_project(
        store, [buoy, mp3, six, soundtrap], output=out, formats=("csv", "raven"), max_gap_s=None,
        decision=DecisionOptions(max_novelty=1e9),
    )  # fmt: skip
    assert (result.n_files, len(result.problems)) == (6, 0)

    clips = pd.read_csv(out / "clips.csv", parse_dates=["start_utc"])
    first_times = {
        buoy.name: "2009-03-29 12:15:00+00:00",
        mp3.name: "2018-11-15 05:00:00+00:00",
        six.name: "2019-09-20 16:38:58+00:00",
        "67416073.210610034155.flac": "2021-06-10 03:41:55+00:00",
    }
    lengths = {buoy.name: 300, mp3.name: 100, six.name: 6, "67416073.210610034155.flac": 100}
    for name, clock in first_times.items():
        of_file = clips[clips["path"].str.endswith(name)]
        assert len(of_file) == lengths[name]
        assert str(of_file["start_utc"].iloc[0]) == clock
        offset = of_file["start_utc"] - of_file["start_utc"].iloc[0]
        assert (offset.dt.total_seconds() == of_file["start_s"]).all()
        assert (of_file["n_moments"] == 1).all()  # six channels are one moment

    hours = pd.read_csv(out / "hours.csv", parse_dates=["start_utc"])
    trap = hours[hours["recorder"].astype(str) == "67416073"]
    assert trap["recorded_s"].sum() == pytest.approx(900.012375)  # clocks overlap
    assert trap["start_utc"].astype(str).tolist() == ["2021-06-10 03:00:00+00:00"]
    gaps = pd.read_csv(out / "gaps.csv")
    assert "67416073" not in gaps["recorder"].astype(str).tolist()  # one deployment, no gap

    detections = pd.read_csv(out / "detections.csv")
    table = pd.read_csv(
        out / "raven_deployments/67416073.Table.1.selections.txt",
        sep="\t",
        dtype={"Begin File": str},
    )
    assert table["Selection"].tolist() == list(range(1, len(table) + 1))
    assert set(table["View"]) == {"Spectrogram 1"}
    assert set(table["Channel"]) == {1}
    starts = {
        "67416073.210610033655.flac": 0.0,
        "67416073.210610034155.flac": 300.017125,
        "67416073.210610034655.flac": 600.053625,
    }
    begins = table["Begin File"].map(starts) + table["File Offset (s)"]
    assert (table["Begin Time (s)"] - begins).abs().max() < 1e-6
    length = table["End Time (s)"] - table["Begin Time (s)"]
    assert length.between(1.5 - 1e-6, 3 + 1e-6).all()
    assert (table["Low Freq (Hz)"] == 100).all()
    assert (table["High Freq (Hz)"] == 4000).all()  # Nyquist, though the classifier hears higher
    assert all(Path(path).exists() for path in table["Begin Path"])
    clock = pd.to_datetime(table["Start UTC"])
    since = (clock - pd.Timestamp("2021-06-10 03:36:55+00:00")).dt.total_seconds()
    assert (since - table["Begin Time (s)"]).abs().max() < 0.1  # clocks are in whole seconds
    assert set(table["Decision"]) <= {"FalseKillerWhale", "Beluga"}
    assert table["Probability"].between(0.5, 1).all()
    assert (table["Probability"] <= table["Max Probability"]).all()
    assert (table["Moments"] == 1).all()
    assert len(table) == detections["path"].str.contains("67416073").sum()
    of_six = pd.read_csv(out / f"raven/{six.stem}.Table.1.selections.txt", sep="\t")
    assert (of_six["High Freq (Hz)"] <= 16_000).all()

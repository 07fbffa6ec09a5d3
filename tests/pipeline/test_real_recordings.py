"""The main job on real recordings with real weights."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pseudorca import cli, workflow
from pseudorca.learning.heads import LogisticHead
from pseudorca.recordings.manifest import ScanOptions
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
        next((data / "hydrophones/whaledr_ooi").glob("*.mp3")),
        data / "hydrophones/finback_600hz/finback_whale.wav",
    ]
    training = tmp_path / "training"
    for label, folder in (("FalseKillerWhale", "1995_tape003"), ("Beluga", "1962_tape018")):
        (training / label).mkdir(parents=True)
        (training / label / folder).symlink_to(WATKINS / label / folder)
    store = Store(tmp_path / "p", create=True)
    workflow.scan_project(store, training, ScanOptions())
    options = workflow.EmbedderOptions("mobilenet_v2_tf", str(WEIGHTS))
    workflow.embed_project(store, options)
    workflow.train_project(store, LogisticHead(c=0.01))
    result = workflow.predict_project(store, files)
    assert (result["n_files"], result["n_problems"]) == (4, 0)
    said = pd.read_csv(Path(result["output"]) / "recordings.csv")
    assert len(said) == 4
    clips = pd.read_csv(Path(result["output"]) / "clips.csv", parse_dates=["start_utc"])
    assert clips.groupby("path").size().tolist() == [1, 6, 100, 150]
    hiceas = clips[clips["path"].str.contains("sel02")].iloc[0]
    assert str(hiceas["start_utc"]) == "2017-07-28 03:12:59+00:00"
    assert said["probability"].between(0.5, 1.0).all()

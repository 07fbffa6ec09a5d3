"""The audit over a project: what it finds, what it keeps, and what it reads only once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from typer.testing import CliRunner

from pseudorca.audit.audit import audit_project
from pseudorca.audit.options import AuditOptions
from pseudorca.cli import app
from pseudorca.embedding.augmentation import measured as parts
from pseudorca.embedding.augmentation.apart import BackgroundFrontEnd
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import load_embedders
from pseudorca.errors import AudioError, FoldError
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings import audio
from pseudorca.recordings.clips import ClipOptions, clips_project, sample_clips
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.store import Store

RATE, BACKBONE = 32_000, "shufflenet_v2_x0_5"
HEAD, SPLIT = LogisticHead(c=0.01), Split("encounter", 3)
OPTIONS = AuditOptions(n_permutations=20)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Store:
    """Whistles in noise, five encounters of each class; one clip is signal from end to end."""
    root = tmp_path_factory.mktemp("audited")
    rng = np.random.default_rng(0)
    for label, low_hz in (("Insular", 4_000), ("Pelagic", 8_000)):
        for encounter in range(5):
            ship = "Sette" if encounter % 2 else "Lasker"
            folder = root / "survey" / label / f"{ship}_AC_{low_hz // 100 + encounter}"
            folder.mkdir(parents=True)
            for clip in range(2):
                sound = 0.01 * rng.standard_normal(2 * RATE)
                time = np.arange(RATE // 2) / RATE
                whistle = 0.1 * np.sin(2 * np.pi * (low_hz * time + 1_000 * time**2))
                every = (label, encounter, clip) == ("Pelagic", 0, 0)
                for k, first in enumerate(range(0, 2 * RATE - len(time), RATE // 10)):
                    if k == 5 or every:
                        shift = np.sin(2 * np.pi * (low_hz + 131 * k) * time) if every else 0
                        sound[first : first + len(time)] += whistle + 0.1 * shift
                name = f"201707{10 + encounter}_0312{clip:02d}_ch05_sel{clip:02d}.wav"
                sf.write(folder / name, sound, RATE, subtype="PCM_16")
    store = Store(root / "project", create=True)
    scan_project(store, root / "survey", ScanOptions())
    clips_project(store, ClipOptions())
    embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    return store


@pytest.fixture(scope="module")
def audited(project: Store) -> dict:
    return audit_project(project, Recipe(HEAD), SPLIT, OPTIONS).as_json()


def test_audit_has_every_control_and_says_who_votes(audited):
    kinds = {row["name"]: row["kind"] for row in audited["controls"]}
    assert kinds == {
        "model": "model", "all facts": "nuisance", "platform": "nuisance", "date": "nuisance",
        "background level and spectrum": "nuisance", "background through the network": "nuisance",
        "level": "shown", "mean spectrum of the whole clip": "shown", "random split": "optimistic",
    }  # fmt: skip
    for row in audited["controls"]:
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["p"] is None) == (row["kind"] in ("shown", "optimistic"))
    assert audited["verdict"] == "animals"
    assert audited["n_encounters"] == 10
    assert audited["swap"]["n_clips"] > 0
    assert len(audited["bands"]["bands"]) == 5


def test_audit_names_clips_without_background(audited):
    assert audited["background"]["n_clips_without"] >= 1
    assert any("no frames without signal" in notice for notice in audited["notices"])


def test_audit_is_kept_with_where_it_comes_from(project, audited):
    (row,) = project.read("audits").itertuples()
    kept = json.loads(row.result)
    assert row.audit_id == audited["audit_id"]
    assert kept["verdict"] == audited["verdict"]
    assert kept["options"]["seed"] == 0
    assert kept["recipe"]["head"] == HEAD.settings() | {"nothing": "background"}
    assert {"numpy", "torch", "pseudorca"} <= set(kept["versions"])
    assert kept["tables"]["clips"] == project.version("clips")
    assert "audit" in set(project.read("runs")["verb"])


def test_audit_again_says_the_same_and_reads_no_audio(project, audited, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a second audit read audio")

    monkeypatch.setattr(audio.Reader, "__init__", refuse)
    again = audit_project(project, Recipe(HEAD), SPLIT, OPTIONS).as_json()
    assert again["controls"] == audited["controls"]
    assert again["swap"] == audited["swap"]
    assert len(project.read("audits")) == 1


def test_measuring_goes_on_where_it_was_killed(project, audited, monkeypatch):
    clips, recordings = project.read("clips"), project.read("recordings")
    front_end = BackgroundFrontEnd(load_embedders(
        project.folder / "embedder").front_end, (100.0, 15_000.0))  # fmt: skip
    monkeypatch.setattr(parts, "_BATCH", 4)
    monkeypatch.setattr(parts, "_COMMIT_S", -1.0)
    real, seen = parts.describe_sound, []

    def dying(*arguments):
        seen.append(1)
        if len(seen) > 8:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(parts, "describe_sound", dying)
    with pytest.raises(KeyboardInterrupt):
        parts.measure_sounds(clips, recordings, front_end, project, "sounds_killed")
    n_kept = len(project.embedded("sounds_killed"))
    assert 0 < n_kept < len(clips)
    seen.clear()
    monkeypatch.setattr(parts, "describe_sound", lambda *a: seen.append(1) or real(*a))
    resumed = parts.measure_sounds(clips, recordings, front_end, project, "sounds_killed")
    assert len(seen) == len(clips) - n_kept
    whole = parts.measure_sounds(clips, recordings, front_end, project, "sounds_whole")
    np.testing.assert_array_equal(resumed, whole)


def test_what_is_away_or_another_is_measured_when_it_is_back_by_as_many_threads_as_wished(
    project, monkeypatch
):
    clips, recordings = project.read("clips").iloc[:6], project.read("recordings")
    front_end = BackgroundFrontEnd(load_embedders(
        project.folder / "embedder").front_end, (100.0, 15_000.0))  # fmt: skip
    n_threads = []
    pool = parts.one_core_each
    monkeypatch.setattr(parts, "one_core_each", lambda n: n_threads.append(n) or pool(n))

    def measure():
        return parts.measure_sounds(
            clips, recordings, front_end, project, "sounds_away", n_threads=3
        )

    def away(*_):
        raise AudioError("cannot be opened", "no such file")

    with monkeypatch.context() as patched:
        patched.setattr(parts.audio, "Reader", away)
        nothing = measure()
    assert (nothing[:, 0] == 0).all()
    was = recordings
    recordings = was.assign(fingerprint="another", content_hash="0" * 32)
    assert (measure()[:, 0] == 0).all()
    assert project.embedded("sounds_away") == set()
    recordings = was
    assert (measure()[:, 0] > 0).any()
    assert len(project.embedded("sounds_away")) == 6
    assert n_threads == [3, 3, 3]


def test_audit_refuses_a_split_that_tears_encounters_apart(project):
    with pytest.raises(FoldError, match="both sides"):
        audit_project(project, Recipe(HEAD), Split("random", 3), OPTIONS)


def test_audit_verb_prints_one_json_object(project, audited):
    arguments = ["audit", "--project", str(project.folder), "--permutations", "20", "--folds", "3"]
    arguments += ["--c", "0.01", "--quick", "--within", "platform", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["options"]["within"] == "platform"
    assert found["options"]["quick"]
    assert "swap" not in found


def test_audit_verb_says_the_summary_first(project, audited):
    arguments = ["audit", "--project", str(project.folder), "--permutations", "20", "--folds", "3"]
    done = CliRunner().invoke(app, [*arguments, "--c", "0.01"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(audited["summary"][:40])
    assert "shufflenet_v2_x0_5; logistic regression (C = 0.01" in done.stdout
    assert "the background through the same network" in done.stdout


def test_sample_clips_takes_at_most_so_many_of_each_encounter_spread_evenly():
    clips = pd.DataFrame(
        {
            "clip_id": [f"c{k}" for k in range(13)],
            "recording_id": ["a"] * 10 + ["b"] * 3,
            "encounter": ["e"] * 10 + ["f"] * 3,
            "label": "Insular",
            "start_s": [float(k) for k in range(10)] + [0.0, 1.0, 2.0],
            "channel": "1",
        }
    )
    recordings = pd.DataFrame(
        {"recording_id": ["a", "b"], "path": ["x", "y"], "start_utc": [pd.NaT, pd.NaT]}
    )
    kept = sample_clips(clips, recordings, 4)
    assert list(kept["clip_id"]) == ["c0", "c3", "c6", "c9", "c10", "c11", "c12"]
    pd.testing.assert_frame_equal(sample_clips(clips, recordings, 99), clips)


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "confound"), [(0.0, 1.0), (0.0, 0.0), (3.0, 0.0)])
def test_audit_of_a_simulated_survey_is_right_about_the_recorder(tmp_path, effect, confound):
    config = SurveyConfig(
        seed=7, n_encounters=16, n_clips=96, insular_clips=0.5, insular_encounters=0.5,
        n_unknown_encounters=0, n_unknown_clips=0, effect=effect, confound=confound, max_channels=1,
    )  # fmt: skip
    simulate_survey(tmp_path / "survey", config)
    store = Store(tmp_path / "project", create=True)
    scan_project(store, tmp_path / "survey" / "recordings", ScanOptions())
    clips_project(store, ClipOptions())
    embed_project(store, EmbedderOptions())
    options = AuditOptions(n_permutations=39, quick=True)
    found = audit_project(store, Recipe(HEAD), Split("encounter"), options).as_json()
    assert (found["verdict"] == "recorder") == (confound == 1.0)
    if not effect:
        assert found["verdict"] != "animals"
    assert found["answerable"] == (confound == 0.0)

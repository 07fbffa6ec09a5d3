"""What evaluate, audit and decide must say of awkward surveys: names that meet, silence, priors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from typer.testing import CliRunner

from pseudorca.audit.audit import audit_project
from pseudorca.audit.options import AuditOptions
from pseudorca.cli import app
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.decisions import decision_rules
from pseudorca.prediction.options import DecisionOptions
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

from .conftest import BACKBONE, RATE, whistle

HEAD, SPLIT = LogisticHead(c=0.01), Split("encounter", n_folds=2)


def project(root: Path, weights: Path, folder_of: dict[str, str], *, silent: str = "") -> Store:
    """Two clips in each of four encounters a class, two more where a recording goes on in silence."""
    rng = np.random.default_rng(0)
    for label, (start_hz, end_hz) in (("Insular", (4e3, 7e3)), ("Pelagic", (8e3, 5e3))):
        for encounter in range(4):
            folder = root / "survey" / label / f"{folder_of[label]}{encounter}"
            folder.mkdir(parents=True)
            for clip in range(2):
                noise = 0.02 * rng.standard_normal(RATE * 5 // 2)
                sound = np.concatenate([whistle(start_hz, end_hz, 0.5, rng), noise])
                if f"{label}{encounter}{clip}" == silent:
                    sound = np.concatenate([sound, np.zeros(6 * RATE)])
                    sound[-RATE] = 2**-15  # one bit of the last clip is set
                sf.write(folder / f"{label}{encounter}{clip}.wav", sound, RATE, subtype="PCM_16")
    store = Store(root / "project", create=True)
    scan_project(store, root / "survey", ScanOptions())
    clips_project(store, ClipOptions())
    embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    return store


def test_folders_of_equal_names_in_two_classes_are_said(tmp_path: Path, weights: Path) -> None:
    store = project(tmp_path, weights, {"Insular": "Enc", "Pelagic": "Enc"})
    found = evaluate_project(store, Recipe(HEAD), [SPLIT]).as_json()
    audited = audit_project(store, Recipe(HEAD), SPLIT, AuditOptions(20, quick=True)).as_json()
    for result in (found, audited):
        (notice,) = [text for text in result["notices"] if "Clips of several classes" in text]
        assert "4 of 4 encounters" in notice
        assert "Enc0 (2 Insular, 2 Pelagic)" in notice
        assert "permutation" in notice
    assert audited["smallest_p"] == 1


def test_silent_clips_stop_no_audit(tmp_path: Path, weights: Path) -> None:
    """One without any sample is left out and said; one of a single bit is heard."""
    store = project(tmp_path, weights, {"Insular": "A_", "Pelagic": "B_"}, silent="Insular21")
    found = audit_project(store, Recipe(HEAD), SPLIT, AuditOptions(20)).as_json()
    assert (found["n_clips"], len(store.read("clips"))) == (17, 18)
    assert any(
        text.startswith("Left out, since embedding them failed") for text in found["notices"]
    )
    assert not any("several classes" in text for text in found["notices"])
    for row in found["controls"]:
        assert row["low"] <= row["value"] <= row["high"]


def test_the_audit_says_what_evaluate_said_of_the_same_recipe(
    tmp_path: Path, weights: Path
) -> None:
    store = project(tmp_path, weights, {"Insular": "A_", "Pelagic": "B_"})
    options = AuditOptions(20, clips_per_encounter=1, quick=True)
    assert audit_project(store, Recipe(HEAD), SPLIT, options).as_json()["evaluated"] is None
    found = evaluate_project(store, Recipe(HEAD), [replace(SPLIT, n_repeats=2)]).as_json()
    (row,) = [one for one in found["results"] if one["unit"] == "encounter"]
    audited = audit_project(store, Recipe(HEAD), SPLIT, options).as_json()
    assert audited["evaluated"]["balanced_accuracy"] == row["balanced_accuracy"]
    said = audited["explained"]["beside evaluate"]
    for fact in ("1 draw", "8 of 16", "at most 1 ", "2 draws"):
        assert fact in said


def test_a_bound_on_wrong_names_is_flagged_at_another_prior_than_training_s(
    embedded: Store,
) -> None:
    train_project(embedded, Recipe(HEAD))
    classifier = Classifier.load(embedded.folder / "classifiers" / "classifier")
    wanted = {"max_error": 0.9}

    def chosen(prior: str) -> tuple[dict, list[str]]:
        _, found, notices = decision_rules(classifier, DecisionOptions(prior=prior, **wanted))
        return found["encounter"], notices

    for prior in ("train", "uniform"):  # four encounters of each class: the same
        found, notices = chosen(prior)
        assert found["chosen"] is not None
        assert not found["prior_differs"]
        assert notices == []
    found, notices = chosen("Insular=0.1,Pelagic=0.9")
    assert found["prior_differs"]
    assert found["holds_at"] == {"Insular": 0.5, "Pelagic": 0.5}
    (notice,) = notices
    assert "Insular 50 %, Pelagic 50 %" in notice
    assert "Insular=0.1,Pelagic=0.9" in notice
    assert decision_rules(classifier, DecisionOptions(prior="Insular=0.1,Pelagic=0.9"))[2] == []


@pytest.mark.parametrize("as_json", [False, True])
def test_events_whose_species_was_met_in_one_survey_only_claim_nothing(
    tmp_path: Path, as_json: bool
) -> None:
    table = pd.DataFrame(
        {
            "event": [f"E{k}" for k in range(60)],
            "score": np.linspace(0, 1, 60),
            "seen": ["other"] * 40 + ["minke"] * 20,
            "cruise": ["A", "B"] * 20 + ["C"] * 20,
        }
    )
    table.to_csv(tmp_path / "events.csv", index=False)
    arguments = ["events", str(tmp_path / "events.csv"), "--out", str(tmp_path / "out")]
    arguments += ["--event", "event", "--score", "score", "--truth", "seen", "--positive", "minke"]
    arguments += ["--survey", "cruise", "--verified", "all", "--called", "none", "--filter", "none"]
    done = CliRunner().invoke(app, arguments + ["--json"] * as_json)
    assert done.exit_code == 0, done.output
    if as_json:
        found = json.loads(done.stdout)
        assert found["operating_point"]["label"]["claim"] == 0
    else:
        assert "minke could be left out" in done.stdout
    assert (tmp_path / "out" / "events.html").exists()

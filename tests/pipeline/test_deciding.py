"""From training to decisions: calibration, priors, abstention and folders of other sounds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.errors import ManifestError, PseudorcaError, StoreError
from pseudorca.evaluation import least_probability
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.decisions import wanted_sentence
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import decide_project, predict_project
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import OTHER, Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

from .conftest import BACKBONE, RATE, copied


@pytest.fixture(scope="module")
def trained_once(embedded_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = copied(embedded_once, tmp_path_factory.mktemp("trained") / "project")
    train_project(store, Recipe(LogisticHead(c=0.01)))
    return store.folder


def test_a_classifier_comes_back_with_its_calibration(trained: Store) -> None:
    folder = trained.folder / "classifiers" / "classifier"
    classifier = Classifier.load(folder)
    assert set(classifier.calibrators) == {"clip", "recording", "encounter"}
    assert classifier.calibrators["encounter"].n_encounters == 8
    assert classifier.novelty is not None
    # Each of the 8 labelled encounters was held out once in each of 3 repeats.
    held_out = classifier.held_out
    assert held_out is not None
    assert (held_out["unit"] == "encounter").sum() == 24
    other = Classifier.load(folder)
    other.calibrators = {}
    assert other.classifier_id != classifier.classifier_id


def test_another_prior_changes_the_odds_and_reads_no_sound(
    trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    uniform = predict_project(trained).encounters
    monkeypatch.setattr("pseudorca.recordings.audio.Reader", None)
    result = decide_project(trained, decision=DecisionOptions(prior="Insular=0.1,Pelagic=0.9"))
    assert result.prior == "Insular=0.1,Pelagic=0.9"
    shifted = result.encounters
    odds = shifted["p_Insular"] / shifted["p_Pelagic"]
    before = uniform["p_Insular"] / uniform["p_Pelagic"]
    np.testing.assert_allclose(odds, before / 9)


def test_an_error_rate_that_cannot_be_claimed_leaves_all_undecided(trained: Store) -> None:
    result = predict_project(trained, decision=DecisionOptions(max_error=0.01))
    assert result.encounters_per_class == {"undecided": 4}
    assert result.thresholds["encounter"]["chosen"] is None
    assert any("smallest rate that can be claimed" in notice for notice in result.notices)
    assert set(result.encounters["reason"]) == {"the wanted error rate cannot be claimed"}
    claimed = result.thresholds["encounter"]["smallest_that_can_be_claimed"]
    assert claimed >= 1 - 0.01 ** (1 / 8)  # 8 encounters, none wrong, five looks
    result = decide_project(trained, decision=DecisionOptions(max_error=claimed + 0.01))
    assert result.encounters_per_class == {"Insular": 4}


def test_the_threshold_that_was_used_is_said_for_every_kind_of_unit(trained: Store) -> None:
    claimed = predict_project(trained, decision=DecisionOptions(max_error=0.01))
    wanted = max(t["smallest_that_can_be_claimed"] for t in claimed.thresholds.values()) + 0.01
    both = DecisionOptions(max_error=wanted, min_probability=0.97)
    thresholds = decide_project(trained, decision=both).thresholds
    assert set(thresholds) == {"clip", "recording", "encounter"}
    for unit, threshold in thresholds.items():
        assert threshold["used"] == max(0.97, threshold["chosen"]["probability"])
        assert "0.97" in wanted_sentence(unit, threshold)
    for unit, threshold in claimed.thresholds.items():
        assert threshold["used"] is None
        assert f"{100 * threshold['smallest_that_can_be_claimed']:.0f} %" in wanted_sentence(
            unit, threshold
        )


def test_what_is_unlike_training_is_undecided(trained: Store) -> None:
    result = predict_project(trained, decision=DecisionOptions(max_novelty=1e-3))
    assert result.recordings_per_class == {"undecided": 12}
    assert result.encounters["reason"].str.contains("unlike what was heard").all()


def test_few_moments_are_undecided(trained: Store) -> None:
    result = predict_project(trained, decision=DecisionOptions(min_moments=3))
    # Recordings of 1 to 4 s are one clip of 3 s or two.
    assert result.recordings_per_class == {"undecided": 12}
    assert result.encounters_per_class == {"Insular": 4}


@pytest.mark.parametrize(
    "wrong",
    [{"max_error": 0.0}, {"max_error": 1.0}, {"min_probability": 1.5}, {"min_moments": 0},
     {"max_novelty": 0.0}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(PseudorcaError, match="expected"):
        DecisionOptions(**wrong)


def test_deciding_needs_a_prediction(trained: Store) -> None:
    with pytest.raises(StoreError, match="pseudorca predict"):
        decide_project(trained, decision=DecisionOptions())


@pytest.fixture
def with_noise(survey: Path, tmp_path: Path, weights: Path) -> Store:
    """The survey with a folder of noise that is no population."""
    root = tmp_path / "recordings"
    root.mkdir()
    for label in ("Insular", "Pelagic", "Unknown"):
        (root / label).symlink_to(survey / label)
    rng = np.random.default_rng(1)
    for k in range(4):
        folder = root / "Noise" / f"passage{k}"
        folder.mkdir(parents=True)
        for n in range(3):
            sf.write(folder / f"{n}.wav", 0.3 * rng.standard_normal(3 * RATE), RATE)
    store = Store(tmp_path / "project", create=True)
    scan_project(store, root, ScanOptions(other=("noise",)))
    clips_project(store, ClipOptions())
    embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    return store


def test_other_sounds_are_none_of_the_classes(with_noise: Store, tmp_path: Path) -> None:
    recipe = Recipe(LogisticHead(c=0.01), nothing="none")  # else it may be called nothing, too
    result = train_project(with_noise, recipe).as_json()
    assert set(result["classes"]) == {"Insular", "Pelagic", OTHER}
    sound = 0.3 * np.random.default_rng(9).standard_normal(3 * RATE)
    sf.write(tmp_path / "noise.wav", sound, RATE)
    said = predict_project(with_noise, [tmp_path / "noise.wav"])
    assert said.recordings_per_class == {OTHER: 1}
    found = evaluate_project(
        with_noise, Recipe(LogisticHead(c=0.01)), [Split("encounter")]
    ).as_json()
    (row,) = [r for r in found["results"] if r["unit"] == "encounter"]
    assert set(row["per_class"]) == {"Insular", "Pelagic", OTHER}
    assert row["classes_tested"] == ["Insular", "Pelagic"]
    assert row["majority_baseline"] == 0.5  # of the populations
    recalls = [row["per_class"][label]["recall"] for label in ("Insular", "Pelagic")]
    assert row["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_a_folder_of_other_sounds_must_be_there(survey: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "project", create=True)
    with pytest.raises(ManifestError, match="Did you mean 'Pelagic'"):
        scan_project(store, survey, ScanOptions(other=("Pelagik",)))


def test_by_default_a_quarter_of_the_names_of_held_out_encounters_may_be_wrong(
    trained: Store,
) -> None:
    asked = predict_project(trained, decision=DecisionOptions(min_probability=0.0))
    assert asked.thresholds == {}
    usual = predict_project(trained)
    threshold = usual.thresholds["encounter"]
    if threshold["kind"] == "usual" and threshold["chosen"]:
        assert threshold["chosen"]["error"] <= 0.25
        least = threshold["chosen"]["probability"]
    else:
        least = threshold.get("probability", np.inf)
    named = usual.encounters["decision"] != "undecided"
    assert (usual.encounters.loc[named, "probability"] >= least).all()
    assert usual.as_json()["thresholds"]["encounter"]["wanted"] == 0.25


def test_a_fixed_threshold_stands_in_where_too_few_encounters_were_held_out(
    trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(least_probability, "LEAST_ENCOUNTERS", 10_000)
    result = predict_project(trained)
    assert {t["kind"] for t in result.thresholds.values()} == {"fixed"}
    named = result.encounters["decision"] != "undecided"
    assert (result.encounters.loc[named, "probability"] >= least_probability.FALLBACK).all()
    reasons = result.encounters.loc[~named, "reason"]
    assert all(
        f"{least_probability.FALLBACK:.2f}" in reason or "unlike" in reason for reason in reasons
    )

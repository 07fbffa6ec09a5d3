"""Told straight: encounters whole, settings chosen inside, a fresh start for each."""

import numpy as np
import pytest

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.study import straight
from pseudorca.study.material import Material, chosen_unknown
from pseudorca.study.straight import ChosenSoftmaxHead, Honest, _folds, run_straight


def training_set(rng, n):
    labels = np.where(np.arange(n) % 4 == 0, "Insular", "Pelagic").astype(object)
    vectors = rng.standard_normal((n, 6)) + 2.0 * (labels == "Insular")[:, None]
    rows = np.arange(n).astype(object)
    return TrainingSet(vectors.astype(np.float32), labels, rows, rows)


def test_chosen_settings_are_the_best_on_the_clips_kept_aside():
    rng = np.random.default_rng(0)
    data, aside = training_set(rng, 80), training_set(rng, 40)
    rates, momenta = (1e-6, 0.05), (0.9, 0.95)
    head = ChosenSoftmaxHead(n_epochs=4, rates=rates, momenta=momenta, balance="sampler")
    found = head.fit(data, validation=aside)
    assert found.details["learning_rate"] == 0.05

    def score(rate, momentum):
        one = SoftmaxHead(n_epochs=4, learning_rate=rate, momentum=momentum, balance="sampler")
        said = one.fit(data, validation=aside).log_probabilities(aside.vectors).argmax(axis=1)
        right = np.array(["Insular", "Pelagic"], dtype=object)[said] == aside.labels
        return np.mean([right[aside.labels == label].mean() for label in ("Insular", "Pelagic")])

    chosen = found.details["learning_rate"], found.details["momentum"]
    assert score(*chosen) == max(score(r, 0.9) for r in rates) or chosen[1] != 0.9
    assert score(*chosen) >= max(score(0.05, m) for m in momenta)


def test_settings_that_all_diverge_are_an_error():
    data = training_set(np.random.default_rng(0), 40)
    huge = TrainingSet(data.vectors * np.float32(1e30), data.labels, data.groups, data.recordings)
    with pytest.raises(HeadError, match="diverged"):
        ChosenSoftmaxHead(n_epochs=2, rates=(1e30,), momenta=(0.9,)).fit(huge, validation=huge)


def test_no_encounter_is_tested_by_a_model_that_heard_it(networks):
    unknown = chosen_unknown(networks.material, 3)
    found = run_straight(networks, unknown)
    assert found.encounters_whole
    encounters = networks.material.clips["encounter"].to_numpy()
    folds, _ = _folds(networks.material, networks.options)
    for _, _, train, test in folds:
        assert not set(encounters[train]) & set(encounters[test])
    assert isinstance(found.final, Honest)
    clip = found.final.clip
    assert clip["n_units"] == networks.material.clips["moment_id"].nunique()
    assert clip["n_groups"] == networks.material.clips["encounter"].nunique()
    assert set(clip["per_class"]) == {"Insular", "Pelagic"}
    assert len(found.unknown) == 3
    assert not found.unknown["encounter_in_training"].any()
    again = run_straight(networks, unknown)
    np.testing.assert_array_equal(again.final.scores, found.final.scores)
    assert again.final.results == found.final.results


def test_classes_of_one_encounter_are_split_by_moment_with_a_warning(material, networks):
    clips = material.clips[material.clips["encounter"].str.endswith(("0", "Lasker_AC_11"))]
    clips = clips[~clips["encounter"].duplicated() | (clips["encounter"] != "")]
    first = clips.groupby("label")["encounter"].transform("first")
    few = clips[clips["encounter"] == first].reset_index(drop=True)
    lone = Material(material.recordings, few, material.unknown, material.classes, [])
    folds, notices = _folds(lone, networks.options)
    assert folds.split.is_optimistic
    (notice,) = notices
    assert "moment" in notice
    assert folds.n_straddling_moments == 0


def test_unknown_clips_are_calibrated_on_scores_of_settings_chosen_inside(networks, monkeypatch):
    """Scores of the setting that looked best on them would promise too much."""
    seen = []
    real = straight._Runner.predict
    monkeypatch.setattr(
        straight._Runner, "predict", lambda self, *rest: seen.append(rest[2]) or real(self, *rest)
    )
    found = run_straight(networks, chosen_unknown(networks.material, 3))
    (used,) = seen
    assert used is found.final
    settings = {(t["learning_rate"], t["momentum"]) for t in used.trainings}
    assert len(used.trainings) == 2  # two folds, each with a choice of its own
    assert all(rate in networks.options.rates for rate, _ in settings)

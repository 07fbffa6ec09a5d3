"""Laws of tuning: choices are made on the training side alone, and can be gone on with."""

import json

import numpy as np
import pandas as pd
import pytest

from pseudorca.errors import HeadError
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import C_GRID, LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.tuning import TunedHead, Tuning, tune
from pseudorca.recordings.folds import Split, make_folds


def make_set(n_encounters=12, n_per=8, d=10, shift=1.0, seed=0):
    rng = np.random.default_rng(seed)
    of = np.arange(n_encounters).repeat(n_per)
    actual = of % 2
    vectors = shift * np.where(actual, 1, -1)[:, None] * np.eye(d)[0]
    vectors = vectors + 0.5 * rng.standard_normal((n_encounters, d))[of]
    vectors = vectors + rng.standard_normal(vectors.shape)
    return TrainingSet(
        vectors.astype(np.float32),
        np.array(["a", "b"], dtype=object)[actual],
        np.array([f"E{e}" for e in of], dtype=object),
        np.array([f"r{i}" for i in range(len(of))], dtype=object),
    )


def test_tuning_c_by_the_grid_is_what_the_logistic_head_does_by_itself():
    data = make_set()
    own = LogisticHead(seed=3).fit(data)
    tuned = tune(data, LogisticHead(seed=3))
    assert tuned.settings == {"c": own.details["c"]}
    losses = dict(zip(tuned.trials["c"], tuned.trials["log_loss"], strict=True))
    for c in C_GRID:
        assert losses[c] == pytest.approx(own.details["inner_log_loss"][f"{c:g}"], abs=1e-4)


def test_the_grid_takes_one_setting_after_another_as_the_study_did():
    trials = tune(make_set(), SoftmaxHead(n_epochs=3, standardise=True)).trials
    rates, momenta = SoftmaxHead.space.values()
    assert len(trials) == len(rates) + len(momenta) - 1
    first = trials.iloc[: len(rates)]
    assert first["learning_rate"].tolist() == list(rates)
    assert set(first["momentum"]) == {momenta[0]}
    best = first.loc[first["log_loss"].idxmin(), "learning_rate"]
    assert set(trials["learning_rate"].iloc[len(rates) :]) == {best}
    assert set(trials["momentum"]) == set(momenta)


def test_a_rate_that_diverges_is_not_chosen():
    tuned = tune(make_set(), SoftmaxHead(), Tuning(space={"learning_rate": (0.01, 1e38)}))
    assert tuned.settings == {"learning_rate": 0.01}
    assert np.isinf(tuned.trials["log_loss"].iloc[1])
    with pytest.raises(HeadError, match="no trial of learning_rate gives a finite loss"):
        tune(make_set(), SoftmaxHead(), Tuning(space={"learning_rate": (1e38,)}))


def test_a_tuned_head_never_sees_the_test_side():
    data = make_set()
    rows = np.flatnonzero(data.groups != "E0")
    head = TunedHead(SoftmaxHead(n_epochs=3), Tuning(space={"learning_rate": (0.01, 0.1)}))
    spoilt = data.vectors.copy()
    spoilt[data.groups == "E0"] += 50
    other = TrainingSet(spoilt, data.labels, data.groups, data.recordings)
    once, again = head.fit(data.take(rows)), head.fit(other.take(rows))
    np.testing.assert_array_equal(once.weights, again.weights)
    assert once.details["tuned"] == again.details["tuned"]


def test_a_tuned_head_is_cross_validated_like_any_other_and_says_what_it_chose():
    data = make_set()
    clips = pd.DataFrame(
        {
            "clip_id": data.recordings,
            "recording_id": data.recordings,
            "moment_id": data.recordings,
            "label": data.labels,
            "encounter": data.groups,
        }
    )
    recordings = clips.assign(metadata=json.dumps({}))
    folds = make_folds(clips, recordings, Split("encounter", n_folds=3))
    head = TunedHead(LogisticHead(balance="none"))
    scored = cross_validate(data, folds, head)
    assert np.isfinite(scored.log_probabilities).all()
    assert all(about["tuned"]["c"] in C_GRID for about in scored.details)
    assert all(len(about["trials"]) == len(C_GRID) for about in scored.details)
    settings = head.settings()
    assert settings["balance"] == "none"
    assert settings["tuned"]["space"] == {"c": list(C_GRID)}
    assert "c" not in settings
    json.dumps(settings)


def test_too_few_groups_for_inner_folds_leave_the_heads_own_settings():
    data = make_set(n_encounters=2)
    trained = TunedHead(SoftmaxHead(n_epochs=2)).fit(data)
    assert trained.details["tuned"] == {}
    assert trained.details["trials"] == []


def test_bad_requests_say_what_to_do():
    data = make_set()
    head = LogisticHead()
    with pytest.raises(HeadError, match="unknown search 'gird'"):
        Tuning("gird")
    for space in ({"c": ()}, {}):
        with pytest.raises(HeadError, match="nothing to tune of the logistic head"):
            tune(data, head, Tuning(space=space))
    with pytest.raises(HeadError, match="has no setting momentum"):
        tune(data, head, Tuning(space={"momentum": (0.9,)}))
    with pytest.raises(HeadError, match="expected more than 0"):
        tune(data, head, Tuning(space={"c": (1.0, -1.0)}))
    with pytest.raises(HeadError, match="need 2"):
        tune(data.take(np.flatnonzero(data.labels == "a")), head)


def test_optuna_searches_between_the_lowest_and_the_highest_value():
    pytest.importorskip("optuna")
    found = tune(make_set(), LogisticHead(), Tuning("optuna", n_trials=8))
    assert len(found.trials) == 8
    assert found.trials["c"].between(C_GRID[0], C_GRID[-1]).all()
    assert found.settings["c"] == found.trials.loc[found.trials["log_loss"].idxmin(), "c"]


def test_optuna_goes_on_where_it_was_stopped(tmp_path):
    pytest.importorskip("optuna")
    data, storage = make_set(), tmp_path / "project" / "tuning.log"
    stopped = tune(data, LogisticHead(), Tuning("optuna", n_trials=3), storage=storage)
    whole = tune(data, LogisticHead(), Tuning("optuna", n_trials=5), storage=storage)
    assert len(whole.trials) == 5
    pd.testing.assert_frame_equal(whole.trials.iloc[:3], stopped.trials)
    assert whole.trials["c"].nunique() == 5  # no trial is made twice
    again = tune(data, LogisticHead(), Tuning("optuna", n_trials=5), storage=storage)
    pd.testing.assert_frame_equal(again.trials, whole.trials)
    other = tune(make_set(seed=1), LogisticHead(), Tuning("optuna", n_trials=2), storage=storage)
    assert len(other.trials) == 2  # other clips are another question


def test_optuna_bears_trials_that_diverge():
    pytest.importorskip("optuna")
    space = {"learning_rate": (0.001, 1e38)}
    tuned = tune(make_set(), SoftmaxHead(), Tuning("optuna", space, n_trials=6))
    assert len(tuned.trials) == 6
    assert np.isfinite(tuned.trials["log_loss"].min())


def test_a_penalty_that_was_given_as_a_whole_number_is_tuned_over_real_ones() -> None:
    labels = np.array(list("aaaabbbb"), dtype=object)
    groups = np.array(["a1", "a1", "a2", "a2", "b1", "b1", "b2", "b2"], dtype=object)
    vectors = np.arange(8, dtype=np.float32)[:, None]
    data = TrainingSet(vectors, labels, groups, np.arange(8).astype(object))
    tuned = tune(data, make_head("svm", c=1), Tuning(space={"c": [0.25, 0.5]}, n_folds=2))
    assert tuned.settings["c"] in (0.25, 0.5)
    head = TunedHead(make_head("svm", c=1), Tuning(space={"c": [0.25]}, n_folds=2))
    assert head.settled({"tuned": {"c": 0.25}}).c == 0.25

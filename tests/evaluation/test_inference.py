"""Laws of the permutation test, the power note and the learning curve."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pseudorca.errors import FoldError
from pseudorca.evaluation.inference import (
    Permutations,
    _blocks,
    detectable,
    learning_curve,
    mixed_encounters,
    permutation_test,
)
from pseudorca.evaluation.metrics import measure
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.recordings.folds import OTHER, Split, deal_again, make_folds

QUICK = LogisticHead(c=0.01)


def survey(labels, n_per=3, d=6, population=0.0, encounter=0.5, seed=0, outing=None):
    """An encounter per label, its clips, and embeddings as population + encounter + clip."""
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(d)
    rows, vectors = [], []
    for e, label in enumerate(labels):
        own = rng.standard_normal(d) * encounter + population * direction * (label == "A")
        for k in range(n_per):
            day = e if outing is None else outing[e]
            rows.append((f"c{e}.{k}", f"r{e}.{k}", f"m{e}.{k}", label, f"E{e:02d}", f"day {day}"))
            vectors.append(own + rng.standard_normal(d))
    columns = ["clip_id", "recording_id", "moment_id", "label", "encounter", "outing"]
    clips = pd.DataFrame(rows, columns=columns)
    clips[["start_s", "end_s"]] = 0.0, 3.0
    recordings = clips[["recording_id", "moment_id", "label", "encounter"]].copy()
    recordings["metadata"] = [json.dumps({"outing": value}) for value in clips["outing"]]
    names = clips["label"].to_numpy(dtype=object)
    data = TrainingSet(
        np.array(vectors, dtype=np.float32),
        names,
        clips["encounter"].to_numpy(dtype=object),
        clips["recording_id"].to_numpy(dtype=object),
    )
    return clips, recordings, data


def test_the_observed_statistic_is_the_one_that_evaluate_reports():
    clips, recordings, data = survey("AB" * 7, population=0.8)
    clips.loc[0:1, "moment_id"] = "m0.0"  # channels of a moment
    recordings["moment_id"] = clips["moment_id"]
    split = Split("encounter", n_folds=4, n_repeats=3)
    test = permutation_test({"x": data}, clips, recordings, split, QUICK, n_permutations=1)
    folds = make_folds(clips, recordings, split)
    scores = cross_validate(data, folds, QUICK).log_probabilities
    result = measure(
        clips, recordings, scores, ["A", "B"], unit="encounter", split="encounter",
        groups=data.groups,
    )  # fmt: skip
    assert test.observed["x"] == pytest.approx(result["balanced_accuracy"])
    recalls = [test.right["x"][test.labels == label].mean() for label in "AB"]
    assert np.mean(recalls) == pytest.approx(result["balanced_accuracy"])
    assert set(test.encounters) == set(clips["encounter"])


def test_labels_that_were_permuted_never_beat_what_is_separable():
    clips, recordings, data = survey("AB" * 6, population=4.0)
    noise = survey("AB" * 6, seed=1)[2]
    test = permutation_test(
        {"signal": data, "noise": noise}, clips, recordings, Split(), QUICK, n_permutations=39
    )
    assert test.smallest_p == 1 / 40
    assert test.p_value("signal") <= 2 / 40  # the same labels with their names exchanged may come
    assert test.p_value("noise") > 0.05
    assert test.p_value_max(["noise", "signal"]) <= 2 / 40
    assert test.n_assignments == math.comb(12, 6)
    assert not test.enumerated


def test_the_maximum_is_never_more_significant_than_its_best_member_alone():
    clips, recordings, _ = survey("AB" * 5)
    sets = {f"s{k}": survey("AB" * 5, population=k / 3, seed=k)[2] for k in range(4)}
    test = permutation_test(sets, clips, recordings, Split(), QUICK, n_permutations=29)
    best = max(test.observed, key=lambda name: test.observed[name])
    assert test.p_value_max(list(sets)) >= test.p_value(best)


def test_few_assignments_are_enumerated_each_once():
    clips, recordings, data = survey("AABBB", population=4.0, encounter=0.1)
    split = Split("encounter", n_folds=2)
    test = permutation_test({"x": data}, clips, recordings, split, QUICK, n_permutations=10)
    assert test.enumerated
    assert test.n_assignments == len(test.null["x"]) == math.comb(5, 2)
    assert test.smallest_p == 1 / 10
    # The observed assignment is among them, and p the share that is at least as good.
    assert test.observed["x"] in test.null["x"]
    assert test.p_value("x") == np.mean(test.null["x"] >= test.observed["x"])


def test_every_permutation_moves_whole_units(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pseudorca.evaluation.inference.deal_again",
        lambda folds, clips: (seen.append(clips["label"].to_numpy()), deal_again(folds, clips))[1],
    )
    outing = [0, 0, 1, 2, 2, 3, 4, 5]
    clips, recordings, data = survey("AABAABBB", outing=outing)
    permutation_test(
        {"x": data}, clips, recordings, Split("outing", n_folds=2), QUICK, n_permutations=20
    )
    of_outing = clips["outing"].to_numpy()
    for labels in seen:
        assert all(len(set(labels[of_outing == day])) == 1 for day in set(of_outing))
        per_day = sorted(labels[of_outing == day][0] for day in set(of_outing))
        assert per_day == ["A", "A", "B", "B", "B", "B"]
    assert len({tuple(labels) for labels in seen}) == math.comb(6, 2)  # all of them: 15 <= 20


def test_a_unit_of_several_labels_permutes_its_encounters_inside():
    # Two ships met both populations: labels stay on board.
    outing = [0, 0, 0, 0, 1, 1, 1, 1]
    clips, recordings, data = survey("AABBABBB", outing=outing)
    split = Split("leave-one-outing-out")
    test = permutation_test({"x": data}, clips, recordings, split, QUICK, n_permutations=30)
    assert test.n_assignments == math.comb(4, 2) * 4
    assert test.enumerated
    assert set(test.units) == {"day 0", "day 1"}


def test_an_encounter_of_several_labels_keeps_them():
    clips, recordings, data = survey("AAABBB")
    clips.loc[0, "label"] = "B"
    mixed = TrainingSet(
        data.vectors, clips["label"].to_numpy(dtype=object), data.groups, data.recordings
    )
    split = Split("encounter", n_folds=2)
    test = permutation_test({"x": mixed}, clips, recordings, split, QUICK, n_permutations=10)
    assert test.n_assignments == math.comb(5, 2)
    assert len(test.encounters) == 7  # the mixed encounter is a unit per label


def test_other_sounds_are_learned_but_neither_permuted_nor_counted():
    clips, recordings, data = survey(["A", "A", "B", "B", OTHER, OTHER, OTHER], population=4.0)
    split = Split("encounter", n_folds=2)
    test = permutation_test({"x": data}, clips, recordings, split, QUICK, n_permutations=10)
    assert test.n_assignments == math.comb(4, 2)
    assert sorted(set(test.labels)) == ["A", "B"]
    scores = cross_validate(data, make_folds(clips, recordings, split), QUICK)
    result = measure(
        clips, recordings, scores.log_probabilities, scores.classes, unit="encounter",
        split="encounter", groups=data.groups,
    )  # fmt: skip
    assert test.observed["x"] == pytest.approx(result["balanced_accuracy"])
    curve = learning_curve(data, clips, recordings, split, QUICK, n_draws=2)
    assert curve["n_per_class"].unique().tolist() == [1]


def test_within_platforms_only_their_own_labels_are_exchanged():
    clips, recordings, data = survey("AABBAB")
    platform = np.array(["x", "x", "x", "y", "y", "y"], dtype=object).repeat(3)
    split = Split("encounter", n_folds=2)
    test = permutation_test(
        {"x": data}, clips, recordings, split, QUICK, n_permutations=50, within=platform
    )
    assert test.n_assignments == 3 * 3
    # A platform that goes with the label leaves nothing to permute, and nothing to conclude.
    confounded = clips["label"].to_numpy(dtype=object)
    test = permutation_test(
        {"x": data}, clips, recordings, split, QUICK, n_permutations=50, within=confounded
    )
    assert test.n_assignments == 1
    assert test.p_value("x") == test.smallest_p == 1.0


def test_the_same_seed_gives_the_same_permutations_to_all_feature_sets():
    clips, recordings, data = survey("AB" * 5)
    once = permutation_test(
        {"x": data, "y": data}, clips, recordings, Split(), QUICK, n_permutations=9, seed=3
    )
    np.testing.assert_array_equal(once.null["x"], once.null["y"])
    again = permutation_test(
        {"x": data}, clips, recordings, Split(), QUICK, n_permutations=9, seed=3
    )
    np.testing.assert_array_equal(once.null["x"], again.null["x"])


def test_optimistic_splits_are_tested_between_encounters_too():
    # A recorder's mark on every encounter: split at random it looks like the population.
    clips, recordings, data = survey("AB" * 5, n_per=6, d=32, encounter=4.0)
    split = Split("random", n_folds=3)
    head = LogisticHead(c=1.0)
    test = permutation_test({"x": data}, clips, recordings, split, head, n_permutations=19)
    assert test.observed["x"] > 0.9
    assert test.p_value("x") > 0.05  # any labels of the encounters are learned as well


def test_other_clips_are_refused():
    clips, recordings, _ = survey("AABB")
    with pytest.raises(FoldError, match="feature set 'x' was made for other clips"):
        permutation_test({"x": survey("ABAB")[2]}, clips, recordings, Split(), QUICK)


def test_p_values_by_hand():
    null = {"x": np.array([0.5, 0.6, 0.7]), "y": np.array([0.9, 0.1, 0.2])}
    empty = np.array([], dtype=object)
    drawn = Permutations({"x": 0.6, "y": 0.3}, null, {}, empty, empty, empty, 20, False)
    assert drawn.p_value("x") == 3 / 4
    assert drawn.p_value("y") == 2 / 4
    assert drawn.p_value_max(["x", "y"]) == 4 / 4
    assert drawn.smallest_p == 1 / 4


@pytest.mark.slow
def test_the_level_is_kept_without_effect():
    p_values = []
    for seed in range(60):
        clips, recordings, data = survey("AB" * 4, seed=seed)
        split = Split("encounter", n_folds=3, seed=seed)
        test = permutation_test(
            {"x": data}, clips, recordings, split, QUICK, n_permutations=19, seed=seed
        )
        p_values.append(test.p_value("x"))
    assert np.mean(np.array(p_values) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("counts", [(3, 3), (4, 4), (3, 5), (2, 3, 4)])
def test_detectable_is_what_adding_up_all_outcomes_gives(counts):
    note = detectable(counts)

    def probability_of(threshold, share):
        outcomes = itertools.product(*[range(n + 1) for n in counts])
        return sum(
            math.prod(scipy.stats.binom.pmf(k, n, share) for k, n in zip(ks, counts, strict=True))
            for ks in outcomes
            if np.mean([k / n for k, n in zip(ks, counts, strict=True)]) >= threshold - 1e-4
        )

    chance = 1 / len(counts)
    assert probability_of(note["critical"], chance) <= 0.05
    assert probability_of(note["critical"], note["detectable"]) == pytest.approx(0.8, abs=0.01)


def test_detectable_falls_with_more_encounters_and_says_when_nothing_would_do():
    shares = [detectable([n, n])["detectable"] for n in (3, 6, 12, 24)]
    assert shares == sorted(shares, reverse=True)
    assert detectable([2, 2])["detectable"] is None


def test_the_learning_curve_rises_and_ends_at_what_evaluation_gives():
    clips, recordings, data = survey("AB" * 12, population=1.2, encounter=0.8)
    split = Split("encounter", n_folds=4)
    curve = learning_curve(data, clips, recordings, split, QUICK, n_draws=4)
    means = curve.groupby("n_per_class")["balanced_accuracy"].mean()
    assert means.index[0] == 1
    assert means.index[-1] == 9  # of 12 in a class, a fold of 4 tests 3
    assert means.iloc[-1] > means.iloc[0] + 0.05
    whole = permutation_test({"x": data}, clips, recordings, split, QUICK, n_permutations=1)
    last = curve.loc[curve["n_per_class"] == 9, "balanced_accuracy"]
    assert last.to_numpy() == pytest.approx(whole.observed["x"])
    assert (curve.groupby("n_per_class").size() == 4).all()


def test_the_smallest_p_is_that_of_perfect_features():
    """Equally many encounters: exchanging the names of the classes is as good as the truth."""
    split = Split("encounter", n_folds=3)
    clips, recordings, data = survey("AAABBB", population=9.0, encounter=0.01)
    test = permutation_test({"x": data}, clips, recordings, split, QUICK, n_permutations=20)
    assert test.enumerated
    assert test.p_value("x") == pytest.approx(test.smallest_p) == 2 / 20


def test_other_sounds_on_the_same_ship_do_not_stop_its_label_from_moving():
    clips = survey("AABB", population=4.0, encounter=0.1)[0]
    noise = clips.iloc[::3].assign(label=OTHER)
    noise["clip_id"] = noise["moment_id"] = noise["clip_id"] + "-noise"
    both = pd.concat([clips, noise], ignore_index=True)
    units = both["encounter"].to_numpy(dtype=object)
    labels = both["label"].to_numpy(dtype=object)
    (block,) = _blocks(labels, units, units, None)
    assert block.n_assignments == math.comb(4, 2)


def test_encounters_of_several_labels_are_named():
    clips = survey("AABB")[0]
    assert mixed_encounters(clips) == []
    noise = clips.iloc[:1].assign(label=OTHER)
    assert mixed_encounters(pd.concat([clips, noise])) == []
    clips.loc[0, "label"] = "B"
    (notice,) = mixed_encounters(clips)
    assert "1 of 4" in notice
    assert "E00 (2 A, 1 B)" in notice
    assert "permutation" not in notice
    clips["label"] = ["A", "A", "B"] * 4
    (notice,) = mixed_encounters(clips, most=2)
    assert "E01 (2 A, 1 B) and 2 more" in notice
    assert "permutation" in notice

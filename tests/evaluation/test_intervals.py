"""Laws of the intervals, against scipy and by drawing outcomes."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pseudorca.evaluation.intervals import interval, loss_interval, recall_interval


def names(groups):
    return np.array([f"g{g}" for g in groups], dtype=object)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_one_class_lies_midway_between_clopper_pearson_and_jeffreys(case):
    n_right, n = case
    right = np.arange(n) < n_right
    bounds = interval(right.astype(float), np.zeros(n, dtype=int), names(range(n)), 1)
    exact = scipy.stats.binomtest(n_right, n).proportion_ci(method="exact")
    expected = (exact.low, exact.high)
    if 0 < n_right < n:
        low, high = scipy.stats.beta.ppf([0.025, 0.975], n_right + 0.5, n - n_right + 0.5)
        expected = ((exact.low + low) / 2, (exact.high + high) / 2)
    assert bounds[:2] == pytest.approx(expected)


@pytest.mark.parametrize(
    "sizes", [(4, 4), (8, 8), (16, 16), (4, 28), (3,) * 6, (6,) * 6, (3, 12, 7)]
)
@pytest.mark.parametrize("recall", ["chance", 0.7, 0.9, 0.98])
def test_independent_encounters_are_covered_as_often_as_said(sizes, recall):
    share = 1 / len(sizes) if recall == "chance" else recall
    rng = np.random.default_rng(0)
    actual = np.repeat(np.arange(len(sizes)), sizes)
    covered = []
    for _ in range(400):
        right = (rng.random(len(actual)) < share).astype(float)
        low, high, _ = interval(right, actual, names(range(len(actual))), len(sizes))
        covered.append(low <= share <= high)
    assert np.mean(covered) >= 0.88  # lowest of these: a recall of 0.9 of 3 in each of 6


def test_the_interval_holds_the_estimate_and_stays_within_0_and_1():
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = rng.integers(1, 12, size=rng.integers(1, 5))
        actual = np.repeat(np.arange(len(sizes)), sizes)
        right = rng.integers(0, 4, size=len(actual)) / 3
        groups = names(actual * 100 + rng.integers(0, 5, size=len(actual)))
        low, high, _ = interval(right, actual, groups, len(sizes))
        point = np.mean([right[actual == k].mean() for k in range(len(sizes))])
        assert 0 <= low <= point <= high <= 1


def test_there_is_no_jump_as_encounters_are_added():
    widths = []
    for n in range(7, 40):
        right = np.tile([1.0, 1.0, 1.0, 0.0], 10)[:n]
        actual = np.repeat([0, 1], n)
        low, high, _ = interval(np.tile(right, 2), actual, names(range(2 * n)), 2)
        widths.append(high - low)
    assert np.abs(np.diff(widths)).max() < 0.04  # an encounter more, rightly or wrongly named
    assert widths[-1] < 0.6 * widths[0]


def test_all_right_is_not_certainty():
    actual = np.repeat([0, 1], 8)
    low, high, method = interval(np.ones(16), actual, names(range(16)), 2)
    assert high == 1.0
    assert 0.6 < low < 0.8
    assert "binomial" in method
    assert "8 groups" in method
    assert "too few" not in method


def test_clips_of_a_group_are_not_more_evidence():
    right = np.array([1, 1, 1, 0, 1, 0, 1, 1], dtype=float)
    once = recall_interval(right, names(range(8)))
    often = recall_interval(right.repeat(50), names(np.arange(8).repeat(50)))
    assert often == pytest.approx(once)


def test_repeats_that_agree_and_repeats_that_differ_give_no_more_evidence_than_groups():
    whole = recall_interval(np.array([1, 1, 1, 0, 0, 0.0]), names(range(6)))
    parts = recall_interval(np.full(6, 0.5), names(range(6)))
    assert parts == pytest.approx(whole)


def test_one_large_group_counts_for_more_than_many_small_ones():
    groups = np.concatenate([np.zeros(73, dtype=int), np.arange(1, 8)])
    right = np.concatenate([np.zeros(73), np.ones(7)])  # the large group is wholly wrong
    low, high = recall_interval(right, names(groups))
    low_even, high_even = recall_interval(np.full(8, right.mean()), names(range(8)))
    assert high - low > high_even - low_even + 0.3


def test_fewer_than_four_groups_are_said_to_be_too_few():
    actual = np.repeat([0, 1], [3, 9])
    *_, method = interval(np.ones(12), actual, names(range(12)), 2)
    assert "3 to 9 groups" in method
    assert "too few" in method


def losses_of(n_first, n_second, seed=0):
    rng = np.random.default_rng(seed)
    n = n_first + n_second
    labels = np.repeat(["A", "B"], [n_first, n_second]).astype(object)
    return rng.gamma(1.0, 0.3, n), labels, np.arange(n).astype(object)


def test_loss_interval_weighs_classes_and_encounters_alike():
    losses, labels, groups = losses_of(4, 8)
    low, high, method = loss_interval(losses, labels, groups, n_folds=5)
    again = [np.repeat(values, 3) for values in (losses, labels, groups)]
    assert loss_interval(*again, n_folds=5) == pytest.approx((low, high, method))
    mean = (losses[:4].mean() + losses[4:].mean()) / 2
    assert low < mean < high
    assert np.sqrt(low * high) == pytest.approx(mean)  # the same factor on either side
    assert "4 to 8 groups" in method


def test_loss_interval_never_leaves_what_a_loss_can_be():
    losses, labels, groups = losses_of(4, 4)
    low, high, _ = loss_interval(losses, labels, groups, n_folds=5, highest=0.5)
    assert low > 0
    assert high == 0.5
    assert loss_interval(0 * losses, labels, groups, n_folds=5)[:2] == (0, 0)


def test_loss_interval_is_wider_with_fewer_folds_and_none_without_two():
    data = losses_of(6, 6)
    widths = [np.subtract(*loss_interval(*data, n_folds=k)[1::-1]) for k in (12, 5, 2)]
    assert widths == sorted(widths)
    assert loss_interval(*data, n_folds=1)[:2] == (None, None)
    low, high, method = loss_interval(*losses_of(1, 8), n_folds=5)
    assert (low, high) == (None, None)
    assert "too few" in method


def test_loss_interval_covers_the_truth_of_skewed_losses():
    """Without shared training it must cover more than it says: 200 surveys of 8 and 8 encounters."""
    held = 0
    for seed in range(200):
        low, high, _ = loss_interval(*losses_of(8, 8, seed), n_folds=5)
        held += low <= 0.3 <= high
    assert held / 200 > 0.95

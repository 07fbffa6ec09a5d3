"""Laws of thresholds, bounds and calibration on one score."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from pseudorca.errors import PseudorcaError
from pseudorca.evaluation.intervals import lower_bound, upper_bound
from pseudorca.events.operating_point import (
    calibration_quality,
    choose_threshold,
    fit_calibration,
    fit_operating_point,
    leave_one_survey_out,
    log_odds_shift,
    precision_at,
    rates,
    risk_coverage,
)


def survey_like(n=200, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    scores = scipy.special.expit(spread * (positive - 0.5) + rng.standard_normal(n))
    return scores, positive


def test_27_calls_without_error_show_only_more_than_0895():
    assert lower_bound(27, 27) == pytest.approx(0.05 ** (1 / 27))
    assert round(lower_bound(27, 27), 3) == 0.895
    assert round(upper_bound(0, 27), 3) == 0.105


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.5, 0.99))
@settings(deadline=None)
def test_bounds_are_those_of_scipys_exact_interval(n_yes, n_no, confidence):
    n = n_yes + n_no
    low, high = (f(n_yes, n, confidence=confidence) for f in (lower_bound, upper_bound))
    if n == 0:
        assert (low, high) == (0, 1)
        return
    test = scipy.stats.binomtest(n_yes, n, alternative="greater")
    assert low == pytest.approx(test.proportion_ci(confidence, "exact").low, abs=1e-9)
    test = scipy.stats.binomtest(n_yes, n, alternative="less")
    assert high == pytest.approx(test.proportion_ci(confidence, "exact").high, abs=1e-9)


def test_rates_by_pencil_and_paper():
    called = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    positive = np.array([1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    found = rates(called, positive)
    assert (found["n_called"], found["n_right"], found["n_false"]) == (3, 2, 1)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["false_call_rate"] == pytest.approx(1 / 5)
    nothing = rates(np.zeros(8, dtype=bool), positive)
    assert (nothing["precision"], nothing["precision_low"]) == (None, 0.0)


def test_precision_at_its_own_prevalence_is_what_was_counted_and_its_bound_is_the_wider():
    called = np.array([1] * 30 + [0] + [1] * 9 + [0] * 217, dtype=bool)
    positive = np.array([1] * 31 + [0] * 226, dtype=bool)
    counted = rates(called, positive)
    (own,) = precision_at(counted, [31 / 257])
    assert own["precision"] == pytest.approx(30 / 39)
    assert own["precision_low"] < counted["precision_low"]
    rows = precision_at(counted, [0.01, 0.1, 0.5, 0.99])
    for key in ("precision", "precision_low"):
        values = [row[key] for row in rows]
        assert values == sorted(values)
    assert rows[0]["precision"] < 0.2


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
def test_calibration_keeps_the_order_and_mends_overconfidence(method):
    rng = np.random.default_rng(1)
    truth_odds = rng.normal(0, 1.5, 4000)
    positive = rng.random(4000) < scipy.special.expit(truth_odds)
    scores = scipy.special.expit(3 * truth_odds)  # three times too sure
    fitted = fit_calibration(scores[:2000], positive[:2000], method=method)
    found = fitted.probabilities(scores[2000:])
    order = np.argsort(scores[2000:])
    assert (np.diff(found[order]) >= -1e-12).all()
    before = brier_score_loss(positive[2000:], scores[2000:])
    assert brier_score_loss(positive[2000:], found) < before - 0.01
    if method != "isotonic":
        assert fitted.slope == pytest.approx(1 / 3, rel=0.15)


def test_calibration_is_isotonic_only_with_50_events_in_each_class():
    scores, positive = survey_like(400)
    assert fit_calibration(scores, positive).method == "isotonic"
    few = np.flatnonzero(positive)[:49]
    rows = np.concatenate([few, np.flatnonzero(~positive)])
    assert fit_calibration(scores[rows], positive[rows]).method == "platt"
    with pytest.raises(PseudorcaError, match="unknown calibration 'plat'"):
        fit_calibration(scores, positive, method="plat")


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
def test_classes_that_do_not_overlap_give_no_certainty(method):
    scores = np.concatenate([np.linspace(0, 0.3, 20), np.linspace(0.7, 1, 10)])
    found = fit_calibration(scores, scores > 0.5, method=method).probabilities(scores)
    assert (found > 0).all()
    assert (found < 1).all()
    assert np.isfinite(found).all()


def test_scores_that_are_no_probabilities_are_calibrated_whatever_their_scale():
    scores, positive = survey_like()
    odds = scipy.special.logit(scores)
    first = fit_calibration(odds, positive, method="platt", log_odds=False)
    second = fit_calibration(1e6 * odds, positive, method="platt", log_odds=False)
    np.testing.assert_allclose(
        first.probabilities(odds), second.probabilities(1e6 * odds), atol=1e-6
    )


def test_shift_moves_the_odds_from_one_prevalence_to_another():
    scores, positive = survey_like()
    fitted = fit_calibration(scores, positive, method="platt")
    before = fitted.probabilities(scores)
    after = fitted.probabilities(scores, log_odds_shift(0.01, fitted.prevalence))
    expected = before / (1 - before) * (0.01 / 0.99) * (1 - fitted.prevalence) / fitted.prevalence
    np.testing.assert_allclose(after / (1 - after), expected)


def test_threshold_without_a_wish_is_where_the_lower_bound_is_highest():
    scores, positive = survey_like(60, seed=3)
    found = choose_threshold(scores, positive)
    mine = rates(scores >= found, positive)["precision_low"]
    assert mine == max(rates(scores >= t, positive)["precision_low"] for t in scores)


def test_threshold_stands_halfway_between_what_is_called_and_what_is_not():
    scores = np.array([0.9, 0.8, 0.7, 0.3, 0.2])
    assert choose_threshold(scores, scores > 0.5) == pytest.approx(0.5)
    assert choose_threshold(scores, np.ones(5, dtype=bool)) == 0.2
    ties = np.array([0.9, 0.9, 0.4, 0.4])
    assert choose_threshold(ties, np.array([True, True, False, False])) == pytest.approx(0.65)


@pytest.mark.slow
def test_wanted_precision_is_missed_by_chance_only_as_often_as_the_confidence_allows():
    rng = np.random.default_rng(0)
    wanted, misses, reached = 0.8, 0, 0
    population = rng.random(200_000)  # the score is the probability
    for _ in range(400):
        scores = rng.random(80)
        positive = rng.random(80) < scores
        found = choose_threshold(scores, positive, wanted=wanted)
        if rates(scores >= found, positive)["precision_low"] < wanted:
            continue  # not reached: nothing is claimed
        reached += 1
        misses += population[population >= found].mean() < wanted
    assert reached > 40
    assert misses / 400 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.slow
def test_precision_claimed_from_surveys_left_out_holds_for_events_to_come():
    # 257 events of three surveys, 12 % of them the species, as in the table the module was made for.
    rng = np.random.default_rng(0)
    surveys = np.repeat(["a", "b", "c"], [142, 103, 12]).astype(object)
    every = np.ones(257, dtype=bool)
    misses, n = 0, 150
    for _ in range(n):
        positive = rng.random(257) < 0.12
        scores = 3 * (positive - 0.5) + rng.standard_normal(257)
        how = {"method": "platt", "log_odds": False}
        held_out = leave_one_survey_out(scores, positive, surveys, every, **how)
        claim = rates(held_out.answers == 1, positive)["precision_low"]
        final = fit_operating_point(scores, positive, **how).label_from
        right, false = scipy.stats.norm.sf(final - 1.5), scipy.stats.norm.sf(final + 1.5)
        misses += claim > 0.12 * right / (0.12 * right + 0.88 * false)
    assert misses / n < 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)


def test_wanted_precision_lowers_the_threshold_where_it_can_be_shown():
    scores, positive = survey_like(400, spread=4)
    best = choose_threshold(scores, positive)
    lower = choose_threshold(scores, positive, wanted=0.8)
    assert lower < best
    assert rates(scores >= lower, positive)["precision_low"] >= 0.8
    assert choose_threshold(scores, positive, wanted=0.9999) == best


def test_the_two_answers_never_overlap():
    for seed in range(20):
        scores, positive = survey_like(40, seed=seed)
        point = fit_operating_point(scores, positive, wanted=0.3)
        assert point.not_below <= point.label_from
        answers = point.answers(scores)
        assert ((answers == 1) == (scores >= point.label_from)).all()
        assert (scores[answers == -1] < point.not_below).all()


def test_a_survey_has_no_say_in_its_own_answers():
    scores, positive = survey_like(150)
    surveys = np.repeat(["a", "b", "c"], 50).astype(object)
    passes = np.ones(150, dtype=bool)
    passes[::7] = False
    first = leave_one_survey_out(scores, positive, surveys, passes)
    turned = np.where(surveys == "a", ~positive, positive)
    second = leave_one_survey_out(scores, turned, surveys, passes)
    mine = surveys == "a"
    np.testing.assert_array_equal(first.answers[mine], second.answers[mine])
    np.testing.assert_array_equal(first.probabilities[mine], second.probabilities[mine])
    assert (first.answers[~passes] == 0).all()
    assert np.isnan(first.probabilities[~passes]).all()
    assert np.isfinite(first.probabilities[passes]).all()


def test_survey_that_holds_all_of_a_class_cannot_be_left_out():
    scores, positive = survey_like(90)
    surveys = np.where(positive, "a", np.where(np.arange(90) % 2, "b", "c")).astype(object)
    every = np.ones(90, dtype=bool)
    found = leave_one_survey_out(scores, positive, surveys, every)
    assert found.untestable == ["a"]
    np.testing.assert_array_equal(found.tested, ~positive)
    with pytest.raises(PseudorcaError, match="none can be left out"):
        leave_one_survey_out(scores, positive, np.full(90, "a", dtype=object), every)


def test_risk_is_one_less_precision_and_coverage_grows():
    scores, positive = survey_like(80)
    curve = risk_coverage(scores, scores, positive)
    calls = curve[curve["kind"] == "calls"]
    for row in calls.itertuples():
        found = rates(scores >= row.threshold, positive)
        assert row.n == found["n_called"]
        assert row.risk == pytest.approx(1 - found["precision"])
        assert row.risk_high == pytest.approx(1 - found["precision_low"])
        assert row.recall == pytest.approx(found["recall"])
    assert (np.diff(calls["coverage"]) > 0).all()
    answers = curve[curve["kind"] == "answers"]
    assert answers["coverage"].iloc[-1] == 1
    assert answers["risk"].iloc[-1] == pytest.approx(((scores >= 0.5) != positive).mean())
    nothing = risk_coverage(np.full(80, np.nan), np.full(80, np.nan), positive)
    assert nothing.empty


def test_quality_is_scikit_learns_and_bins_hold_every_event():
    scores, positive = survey_like()
    found = calibration_quality(scores, positive, np.full(200, 0.3))
    assert found["brier"] == pytest.approx(brier_score_loss(positive, scores))
    assert found["log_loss"] == pytest.approx(log_loss(positive, scores))
    assert found["brier_low"] < found["brier"] < found["brier_high"]
    assert sum(row["n"] for row in found["bins"]) == 200
    assert all(
        row["happened_low"] <= row["happened"] <= row["happened_high"] for row in found["bins"]
    )

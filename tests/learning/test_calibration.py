"""Calibrated probabilities hold what they claim, at any prior."""

import json

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from pseudorca.errors import PseudorcaError
from pseudorca.learning.calibration import (
    Calibrator,
    carried_prior,
    encounter_weights,
    fit_calibrator,
    make_prior,
)
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import MeanHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.recordings.folds import OTHER

CLASSES = ["Insular", "Pelagic"]


def overconfident(n: int, *, factor: float = 4.0, n_classes: int = 2, seed: int = 0):
    """Units whose scores exaggerate the log-odds that truth was drawn by."""
    rng = np.random.default_rng(seed)
    true = scipy.special.log_softmax(1.5 * rng.standard_normal((n, n_classes)), axis=1)
    actual = np.array([rng.choice(n_classes, p=np.exp(row)) for row in true])
    classes = [f"class {k}" for k in range(n_classes)]
    labels = np.array(classes, dtype=object)[actual]
    encounters = np.array([f"encounter {k}" for k in range(n)], dtype=object)
    return scipy.special.log_softmax(factor * true, axis=1), labels, encounters, classes, true


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_temperature_undoes_exaggeration(n_classes):
    scores, labels, encounters, classes, true = overconfident(3000, n_classes=n_classes)
    ones = np.ones(len(labels), dtype=np.int64)
    some = slice(0, None, 70)  # under 50 encounters: temperature only
    made = fit_calibrator(scores[some], ones[some], labels[some], encounters[some], classes)
    assert made.kind == "temperature"
    assert 2 < made.temperature < 9
    made = fit_calibrator(scores, ones, labels, encounters, classes)
    assert made.kind == "isotonic"
    assert made.temperature == pytest.approx(4, rel=0.15)
    assert np.abs(np.exp(made.log_probabilities(scores, ones)) - np.exp(true)).mean() < 0.06


def test_dependence_is_found():
    """Units of many independent moments add up; units of repeated ones do not."""
    rng = np.random.default_rng(1)
    n, k = 400, 8
    actual = rng.integers(2, size=n)
    sign = np.where(actual == 1, 1.0, -1.0)
    own = 0.5 * sign[:, None] + rng.standard_normal((n, k))  # log-odds = own, by design
    labels = np.array(CLASSES, dtype=object)[actual]
    encounters = np.array([str(i) for i in range(n)], dtype=object)
    counts = np.where(np.arange(n) % 2, 1, k)
    independent = np.where(counts == 1, own[:, 0], own.mean(axis=1))
    same = own[:, 0]
    found = {}
    for name, odds in (("independent", independent), ("same", same)):
        scores = scipy.special.log_softmax(np.stack([0 * odds, odds], axis=1), axis=1)
        found[name] = fit_calibrator(scores, counts, labels, encounters, CLASSES).dependence
    assert found["independent"] <= 0.1
    assert found["same"] >= 0.75


def test_a_few_encounters_without_error_promise_no_certainty():
    scores = scipy.special.log_softmax(np.array([[9.0, 0]] * 4 + [[0, 9.0]] * 4), axis=1)
    labels = np.array(["Insular"] * 4 + ["Pelagic"] * 4, dtype=object)
    encounters = np.array([str(k) for k in range(8)], dtype=object)
    ones = np.ones(8, dtype=np.int64)
    made = fit_calibrator(scores, ones, labels, encounters, CLASSES)
    # One encounter more, of unknown class: 8.5 of 9 where the fit saw such scores, and drawn in once
    # more by the mixture, beyond which no score goes.
    highest = (8 * 8.5 / 9 + 0.5) / 9
    assert np.exp(made.log_probabilities(scores, ones)).max() == pytest.approx(highest, abs=1e-3)
    surest = np.exp(made.log_probabilities(100 * scores, ones))
    assert surest.max() == pytest.approx(8.5 / 9, abs=1e-6)
    assert surest.min() == pytest.approx(0.5 / 9, abs=1e-6)


def test_scores_that_say_nothing_become_the_prior():
    rng = np.random.default_rng(2)
    scores = scipy.special.log_softmax(3 * rng.standard_normal((400, 2)), axis=1)
    labels = rng.permutation(np.array(["Insular"] * 40 + ["Pelagic"] * 360, dtype=object))
    encounters = np.array([str(k) for k in range(400)], dtype=object)
    ones = np.ones(400, dtype=np.int64)
    made = fit_calibrator(scores[:80], ones[:80], labels[:80], encounters[:80], CLASSES)
    found = made.log_probabilities(scores, ones, np.array([0.14, 0.86]))
    assert np.exp(found[:, 0]).mean() == pytest.approx(0.14, abs=0.05)


def test_the_prior_is_an_offset_and_the_carried_one_is_taken_away():
    scores = np.log(np.array([[0.3, 0.7], [0.9, 0.1]]))
    ones = np.ones(2, dtype=np.int64)
    plain = Calibrator(CLASSES)
    at = np.exp(plain.log_probabilities(scores, ones, np.array([0.2, 0.8])))
    np.testing.assert_allclose(at[0], np.array([0.06, 0.56]) / 0.62)
    carrying = Calibrator(CLASSES, presupposed=[0.2, 0.8])
    again = np.exp(carrying.log_probabilities(scores, ones, np.array([0.2, 0.8])))
    np.testing.assert_allclose(again, np.exp(scores))


def test_it_survives_json():
    scores, labels, encounters, classes, _ = overconfident(300)
    ones = np.ones(300, dtype=np.int64)
    made = fit_calibrator(scores, ones, labels, encounters, classes)
    again = Calibrator(**json.loads(json.dumps(made.as_dict())))
    np.testing.assert_array_equal(
        made.log_probabilities(scores, ones), again.log_probabilities(scores, ones)
    )


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=30))
def test_classes_weigh_equally_and_encounters_within_a_class(pairs):
    labels = np.array([label for label, _ in pairs], dtype=object)
    encounters = np.array([label + name for label, name in pairs], dtype=object)
    weights, counts = encounter_weights(labels, encounters)
    assert weights.sum() == pytest.approx(1)
    for label in set(labels):
        mine = labels == label
        assert weights[mine].sum() == pytest.approx(1 / len(set(labels)))
        for encounter in set(encounters[mine]):
            share = weights[encounters == encounter].sum()
            assert share == pytest.approx(1 / len(set(labels)) / counts[label])


def test_priors_are_read():
    counts = {"Insular": 5, "Pelagic": 15}
    np.testing.assert_allclose(make_prior("uniform", CLASSES, counts).shares, [0.5, 0.5])
    np.testing.assert_allclose(make_prior("train", CLASSES, counts).shares, [0.25, 0.75])
    given = make_prior("Pelagic=0.75, Insular=0.25", CLASSES, counts)
    np.testing.assert_allclose(given.shares, [0.25, 0.75])
    assert given.name == "Insular=0.25,Pelagic=0.75"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("even", "expected uniform, train, or shares"),
        ("Insular=0.1", "Missing: Pelagic; unknown: none"),
        ("Insular=0.1,Pelagik=0.9", "Missing: Pelagic; unknown: Pelagik"),
        ("Insular=0,Pelagic=1", "more than 0"),
        ("Insular=nan,Pelagic=1", "more than 0"),
        ("Insular=much,Pelagic=1", "expected uniform"),
        ("Insular=0.2,Insular=0.9,Pelagic=0.1", "Insular is given twice"),
        ("Insular=0.5,Pelagic=0.5,Insular=0.5", "Insular is given twice"),
        ("Insular=1.5,Pelagic=0.5", "add up to 2, expected 1.*Insular=0.75,Pelagic=0.25"),
        ("Insular=14,Pelagic=86", "add up to 100, expected 1.*Insular=0.14,Pelagic=0.86"),
        ("Insular=0.1,Pelagic=0.88", "add up to 0.98"),
        ("Insular=-0.5,Pelagic=1.5", "got Insular=-0.5, expected shares of more than 0"),
        ("Insular=inf,Pelagic=0.5", "more than 0"),
    ],
)
def test_priors_that_make_no_sense_are_refused(text, expected):
    with pytest.raises(PseudorcaError, match=expected):
        make_prior(text, CLASSES, {"Insular": 1, "Pelagic": 1})


def test_make_prior_scales_shares_that_were_rounded():
    classes = ["a", "b", "c"]
    thirds = make_prior("a=0.33,b=0.33,c=0.33", classes, {})
    np.testing.assert_allclose(thirds.shares, 1 / 3)
    upwards = make_prior("a=0.33,b=0.33,c=0.35", classes, {})
    np.testing.assert_allclose(upwards.shares.sum(), 1.0)


def test_make_prior_without_other_sounds_adds_up_to_1_too():
    classes = ["Insular", "Pelagic", OTHER]
    with pytest.raises(PseudorcaError, match="add up to 2"):
        make_prior("Insular=1.5,Pelagic=0.5", classes, dict.fromkeys(classes, 1))


def test_what_a_head_presupposes():
    labels = np.array(["Insular"] * 2 + ["Pelagic"] * 6, dtype=object)
    recordings = np.array(list("aabcdeff"), dtype=object)
    data = TrainingSet(np.zeros((8, 2), np.float32), labels, labels, recordings)
    assert carried_prior(LogisticHead(), data, CLASSES) is None
    unweighted = carried_prior(LogisticHead(balance="none"), data, CLASSES)
    np.testing.assert_allclose(unweighted, [1 / 6, 5 / 6])  # recordings
    softmax = carried_prior(SoftmaxHead(), data, CLASSES)
    np.testing.assert_allclose(softmax, [0.25, 0.75])  # clips
    assert carried_prior(SoftmaxHead(balance="sampler"), data, CLASSES) is None


def test_heads_of_several_networks_presuppose_what_one_of_them_does():
    labels = np.array(["Insular", "Pelagic", "Pelagic", "Pelagic"], dtype=object)
    moments = np.array(["a", "b", "b", "c"], dtype=object)
    data = TrainingSet(np.zeros((4, 2), np.float32), labels, labels, moments)
    for head in (LogisticHead(balance="none"), SoftmaxHead(), LogisticHead()):
        alone = carried_prior(head, data, ["Insular", "Pelagic"])
        joined = carried_prior(MeanHead((head,)), data, ["Insular", "Pelagic"])
        np.testing.assert_equal(joined, alone)


def test_a_prior_of_the_populations_leaves_other_sounds_their_share():
    classes = ["Insular", "Pelagic", OTHER]
    found = make_prior("Insular=0.14,Pelagic=0.86", classes, dict.fromkeys(classes, 1))
    np.testing.assert_allclose(found.shares, [0.14 * 2 / 3, 0.86 * 2 / 3, 1 / 3])

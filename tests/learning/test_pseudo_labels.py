"""Laws of pseudo-labels: only what is sure joins, nothing of the test side, one head like any other."""

import numpy as np
import pandas as pd
import pytest

from pseudorca.errors import HeadError
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import MeanHead
from pseudorca.learning.heads.registry import load_trained
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.pseudo_labels import PseudoLabelHead, PseudoLabels, Unlabelled
from pseudorca.learning.tuning import TunedHead
from pseudorca.recordings.folds import Split, make_folds

INNER = LogisticHead(c=100.0)


def sounds(labels, seed=0, spread=0.3, apart=4.0):
    rng = np.random.default_rng(seed)
    sign = np.where(np.array(labels) == "Pelagic", 1.0, -1.0)
    vectors = spread * rng.standard_normal((len(labels), 3))
    vectors[:, 0] += apart * sign / 2
    return vectors.astype(np.float32)


def names(prefix, n, per=1):
    return np.array([f"{prefix}{k // per}" for k in range(n)], dtype=object)


@pytest.fixture
def labelled():
    labels = np.array(["Insular", "Pelagic"] * 6, dtype=object)
    return TrainingSet(sounds(labels), labels, names("e", 12), names("m", 12))


def unlabelled(data, truth, encounters=None, moments=None, seed=1, **how):
    n = len(truth)
    moments = names("u", n) if moments is None else moments
    encounters = names("x", n) if encounters is None else encounters
    kin = np.stack([encounters, moments], axis=1)
    mine = np.stack([data.groups, data.recordings], axis=1)
    return Unlabelled(sounds(truth, seed, **how), kin, mine)


def test_sure_moments_join_and_unsure_ones_do_not(labelled):
    truth = ["Insular"] * 4 + ["Pelagic"] * 3
    others = unlabelled(labelled, truth)
    others.vectors[0] = 0.0  # between the classes
    trained = PseudoLabelHead(INNER, PseudoLabels(0.9), others).fit(labelled)
    about = trained.details["pseudo_labels"]
    assert about == {"n_moments": 7, "joined": {"Insular": 3, "Pelagic": 3}}
    plain = INNER.fit(labelled)
    assert not np.allclose(trained.weights, plain.weights)


def test_if_nothing_is_sure_the_head_is_the_plain_one(labelled):
    others = unlabelled(labelled, ["Insular"] * 4, apart=0.0, spread=0.01)
    trained = PseudoLabelHead(INNER, PseudoLabels(0.9), others).fit(labelled)
    np.testing.assert_array_equal(trained.weights, INNER.fit(labelled).weights)
    assert trained.details["pseudo_labels"] == {"n_moments": 4, "joined": {}}


def test_joining_is_training_on_them_under_their_names(labelled):
    truth = np.array(["Insular", "Pelagic", "Pelagic"], dtype=object)
    others = unlabelled(labelled, truth)
    trained = PseudoLabelHead(INNER, PseudoLabels(0.5), others).fit(labelled)
    by_hand = INNER.fit(
        TrainingSet(
            np.concatenate([labelled.vectors, others.vectors]),
            np.concatenate([labelled.labels, truth]),
            np.concatenate([labelled.groups, names("x", 3)]),
            np.concatenate([labelled.recordings, names("u", 3)]),
        )
    )
    np.testing.assert_allclose(trained.weights, by_hand.weights, atol=1e-6)


def test_settings_are_chosen_on_what_is_labelled(labelled):
    others = unlabelled(labelled, ["Insular", "Pelagic"] * 10)
    trained = PseudoLabelHead(LogisticHead(), PseudoLabels(0.9), others).fit(labelled)
    assert trained.details["c"] == LogisticHead().fit(labelled).details["c"]


def test_a_weight_of_a_half_makes_two_moments_of_an_encounter_weigh_as_one(labelled):
    truth = ["Pelagic"] * 5
    others = unlabelled(labelled, truth, encounters=names("x", 5, 3))  # of three and two moments
    for weight, told, n_recordings in ((1.0, 1.0, 5), (0.5, 0.5, 3), (0.4, 0.5, 3), (0.2, 0.2, 2)):
        seen = []

        class Spy(LogisticHead):
            def fit(self, data, *, validation=None, seen=seen):
                seen.append(data)
                return super().fit(data, validation=validation)

        head = PseudoLabelHead(Spy(c=100.0), PseudoLabels(0.5, weight=weight), others)
        head.fit(labelled)
        joined = seen[-1].recordings[len(labelled.labels) :]
        assert len(joined) == 5
        assert len(set(joined)) == n_recordings
        assert head.settings()["pseudo_labels"]["weight"] == told


def test_nothing_of_the_test_side_comes_in(labelled):
    encounters = np.array(["e0", "e1", "x"], dtype=object)
    others = unlabelled(labelled, ["Insular", "Pelagic", "Insular"], encounters)
    train = np.arange(1, 12)  # the first encounter is held out
    assert others.allowed(labelled.take(train)).tolist() == [1, 2]
    assert others.allowed(labelled).tolist() == [0, 1, 2]
    moments = np.array(["u0", "m5", "u2"], dtype=object)  # another channel of a moment
    others = unlabelled(labelled, ["Insular"] * 3, moments=moments)
    assert others.allowed(labelled.take(np.delete(np.arange(12), 5))).tolist() == [0, 2]


def test_what_the_hidden_sounds_of_a_held_out_encounter_are_changes_no_score():
    rows = [(f"{label}{k}", label) for label in ("Insular", "Pelagic") for k in range(4)]
    clips = pd.DataFrame(rows, columns=["encounter", "label"])
    clips = clips.assign(
        clip_id="c " + clips["encounter"], recording_id="r " + clips["encounter"],
        moment_id="m " + clips["encounter"], start_s=0.0, end_s=1.0, metadata="{}",
        start_utc=pd.NaT, sample_rate=96_000, platform="P",
    )  # fmt: skip
    labels = clips["label"].to_numpy(object)
    data = TrainingSet(
        sounds(labels), labels, clips["encounter"].to_numpy(object),
        clips["moment_id"].to_numpy(object),
    )  # fmt: skip
    folds = make_folds(clips, clips, Split("leave-one-encounter-out"))
    found = []
    for truth in ("Insular", "Pelagic"):  # unlabelled clips of the encounter that is tested
        others = unlabelled(data, [truth] * 5, encounters=np.array(["Insular0"] * 5, dtype=object))
        head = PseudoLabelHead(INNER, PseudoLabels(0.5), others)
        found.append(cross_validate(data, folds, head).log_probabilities[0])
    tested = clips["encounter"].to_numpy() == "Insular0"
    np.testing.assert_array_equal(found[0][tested], found[1][tested])
    assert not np.allclose(found[0][~tested], found[1][~tested])


def test_it_is_saved_as_the_head_inside_is(labelled):
    others = unlabelled(labelled, ["Insular", "Pelagic"])
    trained = PseudoLabelHead(INNER, unlabelled=others).fit(labelled)
    again = load_trained(trained.kind, trained.classes, trained.arrays(), trained.details)
    scores = [one.log_probabilities(labelled.vectors) for one in (trained, again)]
    np.testing.assert_array_equal(*scores)


def test_senseless_settings_are_refused(labelled):
    for settings in ({"min_probability": 1.0}, {"n_rounds": 0}, {"weight": 0.0}, {"weight": 2.0}):
        with pytest.raises(HeadError, match="expected"):
            PseudoLabels(**settings)
    for head in (SoftmaxHead(), TunedHead(SoftmaxHead()), MeanHead((SoftmaxHead(),))):
        with pytest.raises(HeadError, match="chooses its epoch"):
            PseudoLabelHead(head)
    unbalanced = LogisticHead(balance="none")
    for head in (unbalanced, MeanHead((unbalanced,)), TunedHead(unbalanced)):
        with pytest.raises(HeadError, match="how frequent classes are"):
            PseudoLabelHead(head)
    with pytest.raises(HeadError, match="need the unlabelled clips"):
        PseudoLabelHead(INNER).fit(labelled)

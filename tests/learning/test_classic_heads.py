"""Laws of the classic heads and of ensembles: parity with the libraries, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from pseudorca.errors import HeadError
from pseudorca.learning.calibration import carried_prior
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import recording_weights, standardisation
from pseudorca.learning.heads.forest import ForestHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import MeanHead, blocks_of, side_by_side
from pseudorca.learning.heads.per_class import GmmHead, HmmHead, SvmHead, fit_slope, log_softmax
from pseudorca.learning.heads.registry import load_trained, make_head
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.tuning import TunedHead, Tuning, tune

from .conftest import make_set

CLASSIC = [SvmHead(), ForestHead(n_trees=30), GmmHead(n_axes=5), HmmHead(n_states=2, frame_size=3)]


def make_sequences(n=90, n_frames=30, frame_size=3, n_classes=2, seed=0):
    """Frames that rise and fall: slowly in the first class, quickly in the second."""
    rng = np.random.default_rng(seed)
    actual = np.arange(n) % n_classes
    time = np.arange(n_frames)
    period = np.array([30, 6, 12])[actual]
    wave = np.sign(np.sin(2 * np.pi * (time[None] / period[:, None] + rng.random((n, 1)))))
    frames = wave[:, :, None] * np.ones(frame_size) + 0.3 * rng.standard_normal(
        (n, n_frames, frame_size)
    )
    names = np.array(["a", "b", "c"], dtype=object)
    return TrainingSet(
        frames.reshape(n, -1).astype(np.float32),
        names[actual],
        np.array([f"{names[k]}{i % 10}" for i, k in enumerate(actual)], dtype=object),
        np.array([f"r{i}" for i in range(n)], dtype=object),
    )


def data_for(head, n_classes=3, **settings):
    if isinstance(head, HmmHead):
        return make_sequences(n_classes=n_classes)
    return make_set(n_classes=n_classes, **settings)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("head", CLASSIC, ids=lambda head: head.name)
def test_classic_heads_learn_what_is_separable_and_give_probabilities(head, n_classes):
    data = data_for(head, n_classes, shift=4.0)
    trained = head.fit(data)
    scores = trained.log_probabilities(data.vectors)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1.0)
    said = np.array(trained.classes)[scores.argmax(axis=1)]
    assert (said == data.labels).mean() > 0.95


@pytest.mark.parametrize("head", [*CLASSIC, LogisticHead()], ids=lambda head: head.name)
def test_a_trained_head_is_kept_as_arrays_to_the_bit(head):
    data = data_for(head)
    trained = head.fit(data)
    kept = load(save(trained.arrays()))
    again = load_trained(trained.kind, trained.classes, kept, trained.details)
    scores = trained.log_probabilities(data.vectors)
    np.testing.assert_array_equal(scores, again.log_probabilities(data.vectors))
    with pytest.raises(HeadError, match="another embedder"):
        again.log_probabilities(data.vectors[:, :-1])


@pytest.mark.parametrize("head", CLASSIC, ids=lambda head: head.name)
def test_classic_training_is_deterministic_by_seed(head):
    data = data_for(head)
    once, again = (head.fit(data).log_probabilities(data.vectors) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_the_forest_is_scikit_learns():
    data = make_set(n=200, shift=0.5)
    trained = ForestHead(n_trees=40, seed=3).fit(data)
    own = RandomForestClassifier(40, random_state=3).fit(
        data.vectors, data.labels.astype(str), sample_weight=recording_weights(data, "weights")
    )
    other = make_set(n=100, shift=0.5, seed=1).vectors
    shares = np.exp(trained.log_probabilities(other)) * 41 / 40 - 1 / (40 * 3)
    np.testing.assert_allclose(shares, own.predict_proba(other), atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_svms_are_scikit_learns(n_classes):
    data = make_set(n_classes=n_classes, shift=0.5)
    trained = SvmHead(c=2.0, width=0.5).fit(data)
    mean, scale = standardisation(data)
    x = (data.vectors - mean) / scale
    weights = recording_weights(data, "weights")
    for k, label in enumerate(trained.classes):
        machine = SVC(C=2.0, gamma=0.5 / x.shape[1])
        machine.fit(x, data.labels == label, sample_weight=weights)
        found = trained.values(data.vectors)[:, k]
        np.testing.assert_allclose(found, machine.decision_function(x), atol=1e-3)


def test_the_slope_knows_what_values_out_of_fold_are_worth():
    data = make_set(n=400, n_classes=2, d=2)
    nothing = np.zeros(2)

    def told(strength):
        def fit(side):
            rng = np.random.default_rng(len(side.labels))

            def values(vectors):
                noise = rng.standard_normal((len(vectors), 2))
                truth = (vectors[:, :1] > 0) * [-1.0, 1.0]
                return 10 * (strength * truth + noise)

            return values

        labels = np.where(data.vectors[:, 0] > 0, "b", "a").astype(object)
        return fit_slope(fit, replace(data, labels=labels), balance="none", offset=nothing, seed=0)[
            0
        ]

    # Noise of deviation 1 in each value: the log odds of a shift of 2 s are 2 s per unit.
    assert told(1.0) == pytest.approx(0.1, rel=0.3)
    assert told(0.0) < 0.02
    scores = log_softmax(np.array([[0.0, 1.0]]), 2.0, np.log([0.5, 0.5]))
    np.testing.assert_allclose(np.diff(scores), 2.0)


def test_classes_that_are_balanced_by_weights_start_from_the_same_prior():
    data = make_set(n=300, n_classes=2, imbalance=[0.1, 0.9], shift=0.0)
    for head in (GmmHead(n_axes=3, n_components=1), SvmHead(), ForestHead(n_trees=50)):
        plain = replace(head, balance="none").fit(data).log_probabilities(data.vectors)
        balanced = head.fit(data).log_probabilities(data.vectors)
        rare = data.labels == "a"
        assert balanced[~rare, 0].mean() > plain[~rare, 0].mean()


def test_a_markov_model_hears_the_order_that_a_mixture_does_not():
    data = make_sequences(n=80)
    train, test = data.take(np.arange(40)), data.take(np.arange(40, 80))
    right = {}
    for head in (HmmHead(n_states=2, frame_size=3), GmmHead(frame_size=3)):
        scores = head.fit(train).log_probabilities(test.vectors)
        right[head.name] = (np.array(["a", "b"])[scores.argmax(axis=1)] == test.labels).mean()
    assert right["hmm"] > 0.95
    assert right["gmm"] < 0.8


def test_sequences_are_asked_for_where_embeddings_are_none():
    with pytest.raises(HeadError, match="Embed with --backbone mfcc_frames"):
        HmmHead().fit(make_set(d=39))
    with pytest.raises(HeadError, match="use --balance weights or none"):
        make_head("svm", balance="sampler")


@pytest.mark.parametrize("name", ["svm", "forest", "gmm", "hmm"])
def test_settings_of_classic_heads_can_be_tuned(name):
    known = make_head(name).space
    assert set(known) <= set(make_head(name).settings())
    data = make_sequences(n=36) if name == "hmm" else make_set(n=60)
    space = {setting: values[:2] for setting, values in known.items()}
    fixed = {"n_trees": 10} if name == "forest" else {"frame_size": 3} if name == "hmm" else {}
    plain, tuning = make_head(name, **fixed), Tuning(space=space)
    tuned = tune(data, plain, tuning)
    assert set(tuned.settings) == set(space)
    trained = TunedHead(plain, tuning).fit(data)
    head = TunedHead(plain, tuning).settled(trained.details)
    scores = head.fit(data).log_probabilities(data.vectors)
    np.testing.assert_allclose(scores, trained.log_probabilities(data.vectors))


def pair():
    first = make_set(shift=1.0)
    rng = np.random.default_rng(5)
    second = replace(first, vectors=rng.standard_normal((120, 200)).astype(np.float32))
    return first, second


def test_embeddings_side_by_side_have_the_same_say_however_long_they_are():
    both = side_by_side(pair())
    assert both.blocks == (20, 200)
    mean, scale = standardisation(both)
    spread = ((both.vectors - mean) / scale).var(axis=0)
    assert spread[:20].sum() == pytest.approx(110)
    assert spread[20:].sum() == pytest.approx(110)
    for one, part in zip(pair(), blocks_of(both.take(np.arange(50))), strict=True):
        np.testing.assert_array_equal(one.vectors[:50], part.vectors)
        assert part.blocks == ()


def test_noise_side_by_side_costs_less_than_noise_that_is_counted_by_its_length():
    both = side_by_side(pair())
    held_out = make_set(shift=1.0, seed=0, n=120)
    rng = np.random.default_rng(6)
    noise = rng.standard_normal((120, 200)).astype(np.float32)
    vectors = np.hstack([held_out.vectors + 0.5 * rng.standard_normal((120, 20)), noise])
    losses = []
    for data in (both, replace(both, blocks=())):
        scores = LogisticHead(c=0.1).fit(data).log_probabilities(vectors.astype(np.float32))
        column = np.searchsorted(["a", "b", "c"], held_out.labels.astype(str))
        losses.append(-scores[np.arange(120), column].mean())
    assert losses[0] < losses[1]


def test_the_mean_of_scores_is_that_of_its_members():
    both = side_by_side(pair())
    head = MeanHead((LogisticHead(c=0.1), ForestHead(n_trees=10)))
    trained = head.fit(both)
    said = [
        one.fit(part).log_probabilities(part.vectors)
        for one, part in zip(head.heads, blocks_of(both), strict=True)
    ]
    expected = np.mean(said, axis=0)
    expected -= np.logaddexp.reduce(expected, axis=1, keepdims=True)
    found = trained.log_probabilities(both.vectors)
    np.testing.assert_allclose(found, expected)
    again = load_trained("mean", trained.classes, load(save(trained.arrays())), {})
    np.testing.assert_array_equal(found, again.log_probabilities(both.vectors))


def test_settled_heads_choose_nothing_more():
    both = side_by_side(pair())
    head = MeanHead((LogisticHead(),))
    trained = head.fit(both)
    fixed = head.settled(trained.details)
    assert [member.c for member in fixed.heads] == [d["c"] for d in trained.details["members"]]
    np.testing.assert_allclose(
        fixed.fit(both).log_probabilities(both.vectors), trained.log_probabilities(both.vectors)
    )
    assert SoftmaxHead().settled({}) == SoftmaxHead()


def test_ensembles_of_other_clips_are_refused():
    first, second = pair()
    with pytest.raises(HeadError, match="the same clips"):
        side_by_side([first, second.take(np.arange(100))])


@pytest.mark.parametrize("name", ["svm", "forest", "gmm", "hmm", "logistic"])
def test_unbalanced_heads_carry_the_frequencies_of_recordings(name):
    data = make_set(n=40, n_classes=2)
    often = data.take(np.r_[np.arange(40), np.zeros(60, int)])  # one recording 61 times
    carried = carried_prior(make_head(name, balance="none"), often, ["a", "b"])
    np.testing.assert_allclose(carried[0], (data.labels == "a").mean())
    assert carried_prior(make_head(name), often, ["a", "b"]) is None

"""Laws of the heads."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pseudorca.errors import HeadError
from pseudorca.learning.heads.base import recording_weights
from pseudorca.learning.heads.logistic import C_GRID, LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.recordings.folds import assign_folds

from .conftest import make_set


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("head", [LogisticHead(), SoftmaxHead(learning_rate=0.05)])
def test_heads_learn_what_is_separable_and_give_probabilities(head, n_classes):
    data = make_set(n_classes=n_classes, shift=4.0)
    trained = head.fit(data)
    scores = trained.log_probabilities(data.vectors)
    assert trained.classes == sorted(set(data.labels))
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1.0)
    said = np.array(trained.classes)[scores.argmax(axis=1)]
    assert (said == data.labels).mean() > 0.95


@pytest.mark.parametrize("c", C_GRID)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("n", "d"), [(200, 10), (40, 100), (120, 100), (500, 100)])
def test_logistic_head_is_scikit_learns_minimum(n, d, n_classes, c):
    data = make_set(n=n, d=d, n_classes=n_classes, shift=0.5)
    data = data.take(np.r_[np.arange(n), [0, 0, 1]])  # clips that are alike, recordings of several
    trained = LogisticHead(c=c).fit(data)
    x = data.vectors.astype(np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    plain = LogisticRegression(C=c, tol=1e-8, max_iter=5000)
    plain.fit(x, data.labels.astype(str), sample_weight=recording_weights(data, "weights"))
    np.testing.assert_allclose(
        np.exp(trained.log_probabilities(data.vectors)), plain.predict_proba(x), atol=1e-3
    )


def test_logistic_heads_of_the_inner_folds_are_those_fitted_one_by_one():
    data = make_set(n=150, n_classes=2)
    losses = LogisticHead().fit(data).details["inner_log_loss"]
    folds = assign_folds(data.labels, data.groups, 3, np.random.default_rng([0, 1]))
    weights = recording_weights(data, "weights")
    actual = (data.labels == "b").astype(int)
    for c in C_GRID:
        scores = np.zeros(len(actual))
        for fold in range(3):
            head = LogisticHead(c=c).fit(data.take(np.flatnonzero(folds != fold)))
            found = head.log_probabilities(data.vectors)
            scores = np.where(folds == fold, found[np.arange(len(actual)), actual], scores)
        assert losses[f"{c:g}"] == pytest.approx(-np.average(scores, weights=weights), abs=1e-3)


def test_logistic_head_bears_a_dimension_that_never_moves_and_classes_far_apart():
    data = make_set(n=60, n_classes=2, shift=50.0)
    vectors = np.hstack([data.vectors, np.ones((60, 1), np.float32)])
    trained = LogisticHead(c=1e6).fit(replace(data, vectors=vectors))
    scores = trained.log_probabilities(vectors)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == (data.labels == "b")).all()


def test_a_recording_weighs_once_however_many_clips_it_gave():
    data = make_set(n=60, n_classes=2, shift=0.5)
    rows = np.concatenate([np.arange(60), np.zeros(25, dtype=int)])  # one recording 26 times
    often = data.take(rows)
    weights = recording_weights(often, "none")
    first = often.recordings == often.recordings[0]
    assert weights[first].sum() == pytest.approx(weights[~first][0])
    head = LogisticHead(c=0.1, balance="none")
    once, many = head.fit(data), head.fit(often)
    # Standardisation sees the clips, so the two agree only roughly; unweighted they would not.
    assert np.abs(once.bias - many.bias).max() < 0.35


def test_balanced_weights_give_every_class_the_same_say():
    data = make_set(n=200, n_classes=2, imbalance=[0.1, 0.9])
    weights = recording_weights(data, "weights")
    sums = [weights[data.labels == label].sum() for label in ("a", "b")]
    assert sums[0] == pytest.approx(sums[1])
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("balance", ["sampler", "weights"])
def test_balancing_raises_the_recall_of_the_rare_class(balance):
    data = make_set(n=600, n_classes=2, shift=0.4, imbalance=[0.1, 0.9])
    rare = data.labels == "a"

    def recall(head):
        return (head.fit(data).log_probabilities(data.vectors)[rare].argmax(axis=1) == 0).mean()

    plain = SoftmaxHead(learning_rate=0.01, balance="none")
    assert recall(SoftmaxHead(learning_rate=0.01, balance=balance)) > recall(plain) + 0.1


def test_sampler_batches_hold_the_classes_equally():
    data = make_set(n=640, n_classes=2, imbalance=[0.13, 0.87])
    batches = np.array(SoftmaxHead(balance="sampler", n_epochs=1).fit(data).details["batches"])
    plain = np.array(SoftmaxHead(balance="none", n_epochs=1).fit(data).details["batches"])
    assert abs(batches[:, 0].sum() / batches.sum() - 0.5) < 0.06
    assert plain[:, 0].sum() == (data.labels == "a").sum()
    assert batches.sum(axis=1).tolist() == [64] * 10


def test_softmax_keeps_the_epoch_that_validates_best():
    data, held_out = make_set(shift=1.0, seed=1), make_set(shift=1.0, seed=1)
    trained = SoftmaxHead(learning_rate=0.02).fit(data, validation=held_out)
    history = trained.details["history"]
    best = max(entry["validation_accuracy"] for entry in history)
    chosen = history[trained.details["best_epoch"] - 1]
    assert chosen["validation_accuracy"] == best
    said = np.array(trained.classes)[trained.log_probabilities(held_out.vectors).argmax(axis=1)]
    assert (said == held_out.labels).mean() == pytest.approx(best)


def test_step_decay_follows_the_study():
    # 24 epochs at 0.001 with a decay of 0.1 every 7: after 21 epochs hardly anything moves.
    data = make_set(n=640)
    history = SoftmaxHead(learning_rate=0.05).fit(data).details["history"]
    losses = [entry["loss"] for entry in history]
    assert len(losses) == 24
    assert abs(losses[23] - losses[21]) < abs(losses[1] - losses[0]) / 5


@pytest.mark.parametrize("head", [LogisticHead(), SoftmaxHead(), SoftmaxHead(balance="sampler")])
def test_training_is_deterministic_by_seed(head):
    data = make_set()
    np.testing.assert_array_equal(head.fit(data).weights, head.fit(data).weights)


def test_bad_requests_say_what_to_do():
    data = make_set(n_classes=2)
    with pytest.raises(HeadError, match="use --balance weights"):
        LogisticHead(balance="sampler")
    with pytest.raises(HeadError, match="Did you mean 'logistic'"):
        make_head("logistics")
    with pytest.raises(HeadError, match="has no setting momentum"):
        make_head("logistic", momentum=0.9)
    with pytest.raises(HeadError, match="need 2 classes"):
        LogisticHead().fit(data.take(np.flatnonzero(data.labels == "a")))
    with pytest.raises(HeadError, match="lower the learning rate"):
        SoftmaxHead(learning_rate=1e38).fit(data)
    with pytest.raises(HeadError, match="another embedder"):
        LogisticHead(c=1.0).fit(data).log_probabilities(np.zeros((1, 3), np.float32))

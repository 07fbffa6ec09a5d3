"""The study's training loop: the same as the head's, resumable, and honest about the slow way."""

import numpy as np
import pytest
import torch

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.study import training
from pseudorca.study.training import FrozenNetwork, train

HEAD = SoftmaxHead(n_epochs=5, learning_rate=0.01, batch_size=16, seed=3)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    truth = (np.arange(90) % 3 == 0).astype(np.int64)
    vectors = (rng.standard_normal((90, 12)) + truth[:, None]).astype(np.float32)
    return vectors, truth, np.arange(60), np.arange(60, 90)


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_a_fresh_training_on_kept_embeddings_is_the_head_s_own(data, balance):
    vectors, truth, rows, judged = data
    head = SoftmaxHead(n_epochs=5, learning_rate=0.01, batch_size=16, seed=3, balance=balance)
    found = train(FrozenNetwork(vectors, "x"), truth, 2, rows, judged, head)
    labels = np.array(["a", "b"], dtype=object)[truth]
    whole = TrainingSet(vectors, labels, labels, np.arange(90).astype(object))
    expected = head.fit(whole.take(rows), validation=whole.take(judged))
    np.testing.assert_allclose(found.layer["weight"].numpy(), expected.weights, rtol=1e-6)
    np.testing.assert_allclose(found.layer["bias"].numpy(), expected.bias, rtol=1e-6)
    assert found.best_epoch == expected.details["best_epoch"]
    assert found.batches == expected.details["batches"]
    assert found.history == expected.details["history"]
    scores = expected.log_probabilities(vectors[judged])
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_a_kept_training_is_read_and_not_made_again(data, tmp_path, monkeypatch):
    vectors, truth, rows, judged = data
    source = FrozenNetwork(vectors, "x")
    first = train(source, truth, 2, rows, judged, HEAD, kept=tmp_path)
    after = train(source, truth, 2, rows, judged, HEAD, start=first, kept=tmp_path)
    monkeypatch.setattr(training, "_train", lambda *a, **k: pytest.fail("trained again"))
    again = train(source, truth, 2, rows, judged, HEAD, kept=tmp_path)
    assert again.key == first.key
    assert again.history == first.history
    assert torch.equal(again.layer["weight"], first.layer["weight"])
    np.testing.assert_array_equal(again.scores, first.scores)
    assert train(source, truth, 2, rows, judged, HEAD, start=again, kept=tmp_path).key == after.key


def test_other_settings_embeddings_or_rows_are_another_training(data):
    vectors, truth, rows, judged = data
    keys = {
        train(FrozenNetwork(vectors, "x"), truth, 2, rows, judged, HEAD).key,
        train(FrozenNetwork(vectors, "y"), truth, 2, rows, judged, HEAD).key,
        train(FrozenNetwork(vectors, "x"), truth, 2, rows[1:], judged, HEAD).key,
        train(FrozenNetwork(vectors, "x"), truth, 2, rows, judged, SoftmaxHead(n_epochs=4)).key,
    }
    assert len(keys) == 4


def test_a_half_written_training_is_made_again(data, tmp_path):
    vectors, truth, rows, judged = data
    made = train(FrozenNetwork(vectors, "x"), truth, 2, rows, judged, HEAD, kept=tmp_path)
    (tmp_path / f"{made.key}.safetensors").write_bytes(b"cut off")
    again = train(FrozenNetwork(vectors, "x"), truth, 2, rows, judged, HEAD, kept=tmp_path)
    assert torch.equal(again.layer["weight"], made.layer["weight"])


def test_a_class_may_be_missing_in_training(data):
    vectors, truth, _, judged = data
    rows = np.flatnonzero(truth[:60] == 0)
    found = train(
        FrozenNetwork(vectors, "x"),
        truth,
        2,
        rows,
        judged,
        SoftmaxHead(n_epochs=1, balance="sampler"),
    )
    assert found.scores.shape == (30, 2)


def test_a_training_that_diverges_or_has_nothing_to_learn_says_so(data):
    vectors, truth, rows, judged = data
    with pytest.raises(HeadError, match="lower the learning rate"):
        train(
            FrozenNetwork(vectors * 1e30, "x"),
            truth,
            2,
            rows,
            judged,
            SoftmaxHead(learning_rate=1e30),
        )
    with pytest.raises(HeadError, match="needs some of both"):
        train(FrozenNetwork(vectors, "x"), truth, 2, rows, judged[:0], HEAD)

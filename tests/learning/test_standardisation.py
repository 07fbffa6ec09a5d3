"""Laws of standardising embeddings: each dimension counts the same, but for those that sleep."""

import numpy as np
import pytest

from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import standardisation
from pseudorca.learning.heads.logistic import LogisticHead


def make_set(vectors, blocks=()):
    n = len(vectors)
    names = np.array([str(k) for k in range(n)], dtype=object)
    labels = np.array(["Insular", "Pelagic"] * (n // 2), dtype=object)
    return TrainingSet(vectors.astype(np.float32), labels, names, names, blocks)


def test_dimensions_that_vary_alike_are_brought_to_the_same_deviation():
    vectors = np.random.default_rng(0).standard_normal((40, 200)) * np.linspace(1, 2, 200)
    mean, scale = standardisation(make_set(vectors))
    np.testing.assert_allclose(((vectors - mean) / scale).std(axis=0), 1.0, rtol=1e-5)


def test_a_dimension_that_sleeps_is_not_blown_up():
    vectors = np.random.default_rng(0).standard_normal((40, 200))
    vectors[:, 0] = 0.0
    vectors[3, 0] = 1e-4
    _, scale = standardisation(make_set(vectors))
    assert scale[0] == pytest.approx(0.5 * np.median(scale[1:]), rel=0.02)


def test_where_most_dimensions_never_move_the_others_say_what_is_usual():
    vectors = np.zeros((40, 200))
    vectors[:, :60] = np.random.default_rng(0).standard_normal((40, 60))
    vectors[3, 60] = 1e-4
    _, scale = standardisation(make_set(vectors))
    assert scale[60] > 0.3
    assert np.isfinite(vectors / scale).all()


def test_few_numbers_of_different_kinds_keep_their_own_scales():
    vectors = np.random.default_rng(0).standard_normal((40, 3)) * [1e-3, 1.0, 1e4]
    _, scale = standardisation(make_set(vectors))
    np.testing.assert_allclose(scale, vectors.std(axis=0), rtol=1e-5)


def test_each_of_two_embeddings_has_its_own_usual_deviation():
    rng = np.random.default_rng(0)
    small, large = 1e-3 * rng.standard_normal((40, 150)), rng.standard_normal((40, 300))
    _, scale = standardisation(make_set(np.hstack([small, large]), (150, 300)))
    standard = np.hstack([small, large]) / scale
    shares = [standard[:, :150].var(axis=0).sum(), standard[:, 150:].var(axis=0).sum()]
    assert shares[0] == pytest.approx(shares[1], rel=1e-3)


def test_what_wakes_up_on_the_test_side_does_not_decide():
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.standard_normal((60, 200)))
    vectors[1::2, :20] += 1.0  # Pelagic
    vectors[:, 100:] = 0.0
    vectors[0, 100:] = 1e-3 * rng.random(100)  # one Insular clip that it answers to, faintly
    head = LogisticHead(c=1.0).fit(make_set(vectors))
    heard = np.abs(rng.standard_normal((20, 200)))
    heard[:, :20] += 1.0
    heard[:, 100:] = rng.random((20, 100))
    named = head.log_probabilities(heard.astype(np.float32)).argmax(axis=1)
    assert (named == 1).mean() > 0.8

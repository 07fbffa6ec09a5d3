"""Many logistic regressions at once reach the minima that a slow reference finds one by one."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from pseudorca.learning.dataset import Floats, Ints, TrainingSet
from pseudorca.learning.heads.base import classes_of, inner_sides, standardisation
from pseudorca.learning.heads.logistic import C_GRID, LogisticHead
from pseudorca.learning.heads.logistic_fits import TOLERANCE, LogisticProblem, fit_logistic


def problem(
    rng: np.random.Generator, n: int, d: int, k: int, apart: float
) -> tuple[Floats, Ints, Floats]:
    """Standardised vectors around a centre for each class, classes, and unequal weights."""
    number = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    centres = rng.normal(size=(k, d)) * apart
    spread = np.geomspace(3.0, 0.01, d)  # some directions vary far more than others
    vectors = centres[number] + rng.normal(size=(n, d)) * spread
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std()
    vectors[:, 0] = 0.0  # a constant column
    return vectors, number, rng.uniform(0.2, 3.0, n)


def loss_of(
    standard: Floats, number: Ints, weights: Floats, c: float, coefficients: Floats, bias: Floats
) -> float:
    """The mean weighted log loss, and the penalty beside it."""
    logits = standard @ coefficients.T + bias
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    scores = scipy.special.log_softmax(logits, axis=1)[np.arange(len(number)), number]
    total = weights.sum()
    return float(-(weights @ scores) / total + (coefficients**2).sum() / (2 * c * total))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(8, 60),
    d=st.integers(2, 90),
    k=st.sampled_from([2, 3, 6]),
    apart=st.sampled_from([0.0, 0.3, 5.0]),
    c=st.sampled_from([1e-6, 1e-4, 1e-2, 1.0, 1e3]),
)
def test_fit_logistic_reaches_the_minimum_of_a_slow_reference(
    seed: int, n: int, d: int, k: int, apart: float, c: float
) -> None:
    standard, number, weights = problem(np.random.default_rng(seed), n, d, k, apart)
    own = LogisticProblem.of(standard, number, weights, k)
    coefficients, bias = own.weights_and_bias(fit_logistic([own], [c])[0])
    reference = LogisticRegression(C=c, tol=1e-9, max_iter=50_000)
    reference.fit(standard, number, sample_weight=weights)
    found = loss_of(standard, number, weights, c, coefficients, bias)
    least = loss_of(standard, number, weights, c, reference.coef_, reference.intercept_)
    # The penalty alone bends the loss enough to bound what is left; the bias has none.
    assert found <= least + 2 * TOLERANCE**2 + 1e-5
    if c <= 1.0:
        logits = standard @ coefficients.T + bias
        expected = reference.predict_proba(standard)
        shown = (
            scipy.special.softmax(logits, axis=1)
            if k > 2
            else np.hstack([scipy.special.expit(-logits), scipy.special.expit(logits)])
        )
        assert np.abs(shown - expected).max() < 5e-3


def test_fit_logistic_ends_with_the_gradient_that_it_promises() -> None:
    standard, number, weights = problem(np.random.default_rng(0), 40, 60, 3, 0.3)
    own = LogisticProblem.of(standard, number, weights, 3)
    for c in C_GRID:
        (fit,) = fit_logistic([own], [c])
        logits = own.axes @ fit[:, :-1].T + fit[:, -1] * own.bias_scale
        residuals = (scipy.special.softmax(logits, axis=1).T - own.is_class) * own.shares
        penalty = 1 / (c * weights.sum())
        gradient = np.hstack(
            [
                residuals @ own.axes + penalty * fit[:, :-1],
                residuals.sum(axis=1, keepdims=True) * own.bias_scale,
            ]
        )
        assert np.linalg.norm(gradient) <= TOLERANCE * np.sqrt(penalty) * (1 + 1e-6)


def test_a_fit_does_not_depend_on_its_companions() -> None:
    rng = np.random.default_rng(1)
    shapes = [(30, 50, 3), (45, 50, 3), (25, 4, 3), (40, 60, 2), (12, 9, 2)]
    problems = [LogisticProblem.of(*problem(rng, n, d, k, 0.5), k) for n, d, k in shapes]
    grid = [1e-3, 1.0, 0.1, 1e-2, 10.0]
    together = fit_logistic(problems, grid)
    for own, c, fit in zip(problems, grid, together, strict=True):
        (alone,) = fit_logistic([own], [c])
        np.testing.assert_allclose(fit, alone, rtol=1e-6, atol=1e-8)


def test_a_start_from_another_c_leads_to_the_same_minimum() -> None:
    own = LogisticProblem.of(*problem(np.random.default_rng(2), 50, 80, 6, 0.5), 6)
    start = fit_logistic([own], [1e-3])
    (warm,), (cold,) = fit_logistic([own], [1.0], start), fit_logistic([own], [1.0])
    for one, other in zip(own.weights_and_bias(warm), own.weights_and_bias(cold), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2)


def survey(seed: int, n_classes: int = 3, n_dimensions: int = 40) -> TrainingSet:
    rng = np.random.default_rng(seed)
    encounter = np.repeat(np.arange(5 * n_classes), 6)
    number = encounter % n_classes
    vectors = rng.normal(size=(len(number), n_dimensions))
    vectors += rng.normal(size=(encounter.max() + 1, n_dimensions))[encounter]
    vectors[:, 0] += number
    names = np.array([f"e{k}" for k in encounter], dtype=object)
    labels = np.array(list("ABCDEF"), dtype=object)[number]
    return TrainingSet(
        vectors.astype(np.float32), labels, names, np.arange(len(number)).astype(object)
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_c_that_is_chosen_is_the_best_of_the_whole_grid(seed: int, n_classes: int) -> None:
    data = survey(seed, n_classes)
    number = np.searchsorted(classes_of(data.labels), data.labels.astype(str))
    losses = dict.fromkeys(C_GRID, 0.0)
    for train, test in inner_sides(data, 3, 0):
        side = data.take(train)
        mean, scale = standardisation(side)
        for c in C_GRID:  # each encounter has 6 recordings, so all weigh alike
            weights = np.bincount(number[train])[number[train]].max() / np.bincount(number[train])
            reference = LogisticRegression(C=c, tol=1e-8, max_iter=20_000)
            of_clip = weights[number[train]]
            reference.fit(
                (side.vectors - mean) / scale, side.labels.astype(str),
                sample_weight=of_clip / of_clip.mean(),
            )  # fmt: skip
            scores = reference.predict_log_proba((data.vectors[test] - mean) / scale)
            losses[c] -= scores[np.arange(len(test)), number[test]].sum()
    details = LogisticHead().fit(data).details
    assert details["c"] == min(losses, key=losses.__getitem__)
    for c, loss in details["inner_log_loss"].items():
        assert loss == pytest.approx(losses[float(c)] / len(data.labels), abs=2e-3)


def test_fit_all_gives_each_side_what_fit_gives_it_alone() -> None:
    sides = [survey(seed, k, d) for seed, k, d in ((0, 3, 40), (1, 3, 200), (2, 2, 40), (3, 3, 8))]
    head = LogisticHead()
    for side, trained in zip(sides, head.fit_all(sides), strict=True):
        alone = head.fit(side)
        assert trained.details["c"] == alone.details["c"]
        assert trained.classes == alone.classes
        np.testing.assert_allclose(
            trained.log_probabilities(side.vectors),
            alone.log_probabilities(side.vectors),
            atol=1e-6,
        )

"""Laws of cross-validation: nothing of the test side reaches the training side."""

import numpy as np
import pytest

from pseudorca.errors import FoldError
from pseudorca.evaluation.metrics import measure
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.recordings.folds import Split, make_folds

from .conftest import survey


def balanced_accuracy(clips, recordings, data, split, head=None, unit="clip"):
    folds = make_folds(clips, recordings, Split(split, n_folds=4, n_repeats=2))
    scored = cross_validate(data, folds, head or LogisticHead(c=0.01))
    return measure(
        clips, recordings, scored.log_probabilities, scored.classes,
        unit=unit, split=split, groups=data.groups,
    )["balanced_accuracy"]  # fmt: skip


def test_encounter_signatures_fool_the_random_split_and_not_the_grouped_one():
    grouped, random = [], []
    for seed in range(4):
        made = survey(n_encounters=16, d=64, encounter=2.0, seed=seed)
        random.append(balanced_accuracy(*made, "random"))
        grouped.append(balanced_accuracy(*made, "encounter"))
    assert np.mean(random) > 0.9
    assert abs(np.mean(grouped) - 0.5) < 0.15


def test_real_populations_are_found_by_encounter():
    assert balanced_accuracy(*survey(population=1.5, encounter=0.3), "encounter") > 0.9


@pytest.mark.parametrize("head", [LogisticHead(), SoftmaxHead(standardise=True)])
def test_shuffled_labels_score_at_chance(head):
    scores = []
    for seed in range(6):
        clips, recordings, data = survey(population=2.0, seed=seed)
        shuffled = np.random.default_rng(seed).permutation(data.labels)
        clips["label"] = shuffled
        fresh = TrainingSet(data.vectors, shuffled, data.recordings, data.recordings)
        scores.append(balanced_accuracy(clips, recordings, fresh, "recording", head))
    assert abs(np.mean(scores) - 0.5) < 0.1


def test_scores_of_a_clip_do_not_depend_on_its_own_label_or_fold_mates():
    clips, recordings, data = survey(population=1.0)
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4))
    scored = cross_validate(data, folds, LogisticHead(c=0.01)).log_probabilities[0]
    test = folds.test_fold[0] == 0
    changed = data.vectors.copy()
    changed[np.flatnonzero(test)[1:]] += 100.0  # the other test clips turn into something else
    other = TrainingSet(changed, data.labels, data.groups, data.recordings)
    again = cross_validate(other, folds, LogisticHead(c=0.01)).log_probabilities[0]
    first = np.flatnonzero(test)[0]
    np.testing.assert_allclose(scored[first], again[first])


def test_every_tested_clip_is_scored_once_per_repeat_and_reports_its_training():
    clips, recordings, data = survey()
    folds = make_folds(clips, recordings, Split("encounter", n_folds=3, n_repeats=2))
    scored = cross_validate(data, folds, LogisticHead())
    assert np.isfinite(scored.log_probabilities).all()
    assert [(d["repeat"], d["fold"]) for d in scored.details] == [
        (repeat, fold) for repeat in range(2) for fold in range(3)
    ]
    assert all("c" in d and "inner_log_loss" in d for d in scored.details)


def test_the_study_split_trains_validates_and_tests_on_its_own_parts():
    clips, recordings, data = survey(n_encounters=20, population=1.0)
    folds = make_folds(clips, recordings, Split("study", seed=220029955))
    scored = cross_validate(data, folds, SoftmaxHead(learning_rate=0.01))
    tested = np.isfinite(scored.log_probabilities[0]).all(axis=1)
    assert tested.sum() == round(0.2 * len(clips))
    assert scored.details[0]["n_clips"] == round(0.6 * len(clips))
    assert "validation_loss" in scored.details[0]["history"][0]


def test_folds_of_other_clips_are_refused():
    clips, recordings, data = survey()
    folds = make_folds(clips, recordings, Split("encounter", n_folds=3))
    with pytest.raises(FoldError, match="other clips"):
        cross_validate(data.take(np.arange(10)), folds, LogisticHead())

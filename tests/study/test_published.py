"""The study's arithmetic: its printed numbers follow from its own confusion matrices, or do not."""

import numpy as np
import pytest

from pseudorca.study.published import (
    MOMENTUM_ACCURACIES,
    POSITIVE,
    PRINTED,
    RATE_ACCURACIES,
    accuracies_behind,
    balanced_accuracy,
    contradictions,
    matrices_behind,
    recall_interval,
    scores_of,
    study_numbers,
)
from pseudorca.study.tables import sentence
from pseudorca.study.training import Answers

BY_NAME = {row.what: row for row in PRINTED}
WITH_MATRIX = [row for row in PRINTED if row.confusion is not None]


def answers_of(confusion) -> Answers:
    """Labels and scores, in a mixed order, whose confusion matrix is the one given."""
    truth, said = [], []
    for i, j in np.ndindex(2, 2):
        truth += [i] * confusion[i][j]
        said += [j] * confusion[i][j]
    order = np.random.default_rng(0).permutation(len(truth))
    scores = np.log(np.where(np.eye(2)[np.array(said)] > 0, 0.8, 0.2))
    return Answers(np.array(truth)[order], scores[order])


@pytest.mark.parametrize("row", WITH_MATRIX, ids=lambda row: row.what)
def test_printed_precision_and_recall_follow_from_the_matrices(row):
    found = answers_of(row.confusion).published(POSITIVE)
    assert found == scores_of(row.confusion)
    # One printed figure (.9700, of .96989) is off by one in the last place.
    assert found.precision == pytest.approx(row.printed.precision, abs=1.2e-4)
    assert found.recall == pytest.approx(row.printed.recall, abs=0.5e-4)


@pytest.mark.parametrize("row", WITH_MATRIX, ids=lambda row: row.what)
def test_printed_accuracy_follows_from_the_matrices_but_for_resnet(row):
    found = answers_of(row.confusion).published(POSITIVE).accuracy
    if row.what == "ResNet-18":
        assert found == pytest.approx(522 / 564)
        assert row.printed.accuracy == pytest.approx(521 / 564, abs=0.5e-4)
    else:
        assert found == pytest.approx(row.printed.accuracy, abs=0.5e-4)


def test_the_positive_class_is_pelagic():
    final = BY_NAME["final model"]
    assert scores_of(final.confusion, 1).recall == pytest.approx(477 / 490)
    assert scores_of(final.confusion, 0).recall == pytest.approx(48 / 74)
    assert scores_of(final.confusion, 0).precision == pytest.approx(48 / 61)
    assert balanced_accuracy(final.confusion) == pytest.approx((48 / 74 + 477 / 490) / 2)
    assert np.round(recall_interval(48, 74), 2).tolist() == [0.54, 0.75]


def test_rows_without_a_matrix_leave_one_or_none():
    assert matrices_behind(BY_NAME["final model"]) == [(48, 477)]
    assert matrices_behind(BY_NAME["DenseNet-121"]) == [(28, 488)]
    assert matrices_behind(BY_NAME["GoogLeNet"]) == [(5, 489)]
    assert matrices_behind(BY_NAME["ResNet-18"]) == []
    best = BY_NAME["ResNet-18, learning rate 0.01"]
    assert matrices_behind(best) == []
    assert accuracies_behind(best) == pytest.approx([533 / 564])
    assert round(533 / 564, 4) == RATE_ACCURACIES[0.005]


def test_accuracies_of_the_settings_are_whole_clips_of_564():
    for accuracy in (*RATE_ACCURACIES.values(), *MOMENTUM_ACCURACIES.values()):
        n_right = round(accuracy * 564)
        assert n_right / 564 == pytest.approx(accuracy, abs=0.5e-4)


def test_naming_everything_pelagic_scores_as_efficientnet_did():
    row = BY_NAME["EfficientNetV2-S"]
    assert row.printed.accuracy == pytest.approx(489 / 564, abs=0.5e-4)
    assert balanced_accuracy(row.confusion) == 0.5


def test_precision_is_zero_where_a_class_was_never_named():
    assert scores_of([[5, 0], [3, 0]]).precision == 0
    assert np.isnan(scores_of([[5, 1], [0, 0]]).recall)


def test_contradictions_are_told_with_their_numbers():
    text = " ".join(contradictions(study_numbers()))
    for number in (
        "0.9238",
        "0.9255",
        "0.9450",
        "0.9309",
        ".9389",
        "86.7 %",
        "86.9 %",
        "0.65",
        "0.81",
    ):
        assert number in text


def test_the_sentence_is_the_study_s():
    assert sentence("Insular", 0.7066) == (
        "There's a 70.7 % chance that this audio file belongs to the Insular group."
    )

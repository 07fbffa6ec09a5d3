"""Laws of the metrics, against plain scikit-learn and pencil and paper."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from pseudorca.evaluation.intervals import recall_interval
from pseudorca.evaluation.metrics import measure


def tables(labels, encounters, moments=None):
    n = len(labels)
    clips = pd.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(n)],
            "recording_id": [f"r{i}" for i in range(n)],
            "moment_id": moments if moments is not None else [f"m{i}" for i in range(n)],
            "label": labels,
            "encounter": encounters,
            "start_s": 0.0,
            "end_s": 3.0,
        }
    )
    recordings = clips[["recording_id", "moment_id"]].copy()
    return clips, recordings


def run(labels, encounters, scores, unit="clip", moments=None, classes=("A", "B")):
    clips, recordings = tables(labels, encounters, moments)
    return measure(
        clips, recordings, np.asarray(scores), list(classes),
        unit=unit, split="encounter", groups=clips["encounter"].to_numpy(dtype=object),
    )  # fmt: skip


def random_case(n=60, n_classes=3, seed=0, n_repeats=1):
    rng = np.random.default_rng(seed)
    classes = ["A", "B", "C"][:n_classes]
    labels = np.array(classes * n)[:n]
    logits = rng.standard_normal((n_repeats, n, n_classes))
    logits[:, np.arange(n), [classes.index(label) for label in labels]] += 1.0
    scores = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return labels, [f"E{i // 3}" for i in range(n)], scores, classes


def test_metrics_equal_scikit_learn():
    labels, encounters, scores, classes = random_case()
    result = run(labels, encounters, scores, classes=classes)
    named = np.array(classes)[scores[0].argmax(axis=1)]
    assert result["accuracy"] == pytest.approx(sk.accuracy_score(labels, named))
    assert result["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, named))
    np.testing.assert_allclose(result["confusion"], sk.confusion_matrix(labels, named))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, named)
    for k, label in enumerate(classes):
        mine = result["per_class"][label]
        assert mine["precision"] == pytest.approx(precision[k])
        assert mine["recall"] == pytest.approx(recall[k])
        assert mine["f1"] == pytest.approx(f1[k])
        assert mine["auc"] == pytest.approx(
            sk.roc_auc_score(labels == label, np.exp(scores[0][:, k]))
        )
        assert mine["average_precision"] == pytest.approx(
            sk.average_precision_score(labels == label, np.exp(scores[0][:, k]))
        )
    assert result["log_loss"] == pytest.approx(sk.log_loss(labels, np.exp(scores[0])))


def test_the_studys_confusion_matrix_gives_its_printed_numbers_for_pelagic():
    # Table 4.4: [[48, 26], [13, 477]], rows Insular, Pelagic; accuracy .9309, precision .9483,
    # recall .9735. The positive class was Pelagic; Insular, the one that matters, has 48/74.
    labels = ["Insular"] * 74 + ["Pelagic"] * 490
    named = [0] * 48 + [1] * 26 + [0] * 13 + [1] * 477
    scores = np.log(np.where(np.eye(2)[named] > 0, 0.9, 0.1))[None]
    result = run(labels, [f"E{i}" for i in range(564)], scores, classes=("Insular", "Pelagic"))
    assert result["confusion"] == [[48, 26], [13, 477]]
    assert round(result["accuracy"], 4) == 0.9309
    pelagic, insular = result["per_class"]["Pelagic"], result["per_class"]["Insular"]
    assert round(pelagic["precision"], 4) == 0.9483
    assert round(pelagic["recall"], 4) == 0.9735
    assert round(insular["recall"], 2) == 0.65
    assert round(result["balanced_accuracy"], 2) == 0.81
    assert round(result["majority_accuracy"], 3) == 0.869
    assert result["majority_baseline"] == 0.5


def test_channels_of_a_moment_count_once():
    labels, encounters = ["A"] * 6 + ["B"] * 2, ["E1"] * 6 + ["E2"] * 2
    scores = np.log([[[0.9, 0.1]] * 5 + [[0.6, 0.4]] + [[0.2, 0.8], [0.3, 0.7]]])
    one_moment = ["m1"] * 6 + ["m2", "m3"]
    for unit in ("clip", "recording"):
        result = run(labels, encounters, scores, unit=unit, moments=one_moment)
        assert result["n_units"] == 3
        assert result["per_class"]["A"]["n_units"] == 1


def test_units_are_averaged_as_log_probabilities():
    labels, encounters = ["A", "A", "B"], ["E1", "E1", "E2"]
    scores = np.log(
        [[[0.51, 0.49], [0.01, 0.99], [0.1, 0.9]]]
    )  # one sure voice outweighs a weak one
    result = run(labels, encounters, scores, unit="encounter")
    assert result["confusion"] == [[0, 1], [0, 1]]
    assert result["n_units"] == 2


def test_untested_clips_are_left_out():
    labels, encounters, scores, classes = random_case(n_repeats=2)
    scores[:, :6] = np.nan
    result = run(labels, encounters, scores, classes=classes)
    assert result["n_units"] == 54
    assert result["n_groups"] == 18


def test_repeats_are_averaged_and_add_no_evidence():
    labels, encounters, scores, classes = random_case()
    once = run(labels, encounters, scores, classes=classes)
    many = run(labels, encounters, np.concatenate([scores] * 5), classes=classes)
    assert many["n_units"] == once["n_units"]
    for key in ("balanced_accuracy", "accuracy", "auc", "ci_low", "ci_high"):
        assert many[key] == pytest.approx(once[key])


def test_order_of_the_clips_changes_nothing():
    labels, encounters, scores, classes = random_case(n_repeats=2)
    clips, recordings = tables(labels, encounters)
    order = np.random.default_rng(1).permutation(len(clips))

    def go(rows):
        part = clips.iloc[rows].reset_index(drop=True)
        return measure(
            part, recordings, scores[:, rows], classes, unit="encounter", split="x",
            groups=part["encounter"].to_numpy(dtype=object),
        )  # fmt: skip

    straight, shuffled = go(np.arange(len(clips))), go(order)
    assert straight["balanced_accuracy"] == pytest.approx(shuffled["balanced_accuracy"])
    assert straight["confusion"] == shuffled["confusion"]
    assert straight["ci_low"] == pytest.approx(shuffled["ci_low"])


def test_each_class_has_the_interval_of_its_recall():
    labels, encounters = ["A"] * 6 + ["B"] * 4, [f"E{i}" for i in range(10)]
    scores = np.log([[[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5])
    result = run(labels, encounters, scores, unit="encounter")
    of_a = result["per_class"]["A"]
    right, groups = np.array([1, 1, 1, 1, 1, 0.0]), np.array(encounters[:6], dtype=object)
    assert (of_a["recall_low"], of_a["recall_high"]) == recall_interval(right, groups)


def test_fewer_than_four_encounters_in_a_class_are_said_to_be_too_few():
    scores = np.log([[[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 4])
    encounters = [f"E{i}" for i in range(8)]
    enough = run(["A"] * 4 + ["B"] * 4, encounters, scores, unit="encounter")
    assert "too few" not in enough["interval_method"]
    few = run(["A"] * 3 + ["B"] * 5, encounters, scores, unit="encounter")
    assert "too few" in few["interval_method"]
    assert few["ci_low"] < few["balanced_accuracy"] < few["ci_high"]

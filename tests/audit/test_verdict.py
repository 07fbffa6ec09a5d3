"""The audit's statistics: paired differences, the rule, swaps, and what is said of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pseudorca.audit.audio_controls import swap_outcome, swap_partners
from pseudorca.audit.controls import AuditedClips, decide_verdict, knows_recorder, leakage_gap
from pseudorca.audit.words import sentences, title
from pseudorca.errors import FoldError
from pseudorca.evaluation.encounter_accuracy import (
    Estimate,
    balanced_accuracy,
    paired_difference,
    rightness,
)
from pseudorca.learning.crossval import OutOfFold
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.nothing import NothingHead
from pseudorca.recordings.folds import Split

N = 8
LABELS = np.array(["Insular"] * N + ["Pelagic"] * N, dtype=object)
UNITS = np.array([f"e{k:02d}" for k in range(2 * N)], dtype=object)
HEAD = LogisticHead(c=1.0)


def compare(model, *controls, units=UNITS, **options):
    right = {"model": np.asarray(model, float)}
    right |= {f"c{k}": np.asarray(one, float) for k, one in enumerate(controls)}
    names = list(right)[1:]
    return paired_difference(right, LABELS, units, model="model", controls=names, **options)


def survey(n_encounters=N, n_clips=4, seed=0):
    """Clips and recordings of two labels, with a platform that alternates within each."""
    rows = []
    for label in ("Insular", "Pelagic"):
        for encounter in range(n_encounters):
            for clip in range(n_clips):
                name = f"{label}/{encounter}"
                rows.append((f"{name}/{clip}", name, label, f"P{encounter % 2}"))
    table = pd.DataFrame(rows, columns=["clip_id", "encounter", "label", "platform"])
    table = table.assign(
        recording_id="r " + table["clip_id"], moment_id="m " + table["clip_id"], start_s=0.0,
        end_s=1.0, metadata="{}", start_utc=pd.NaT, sample_rate=96_000,
    )  # fmt: skip
    return table, table.rename(columns={"label": "truth"})


def training_set(clips, vectors):
    return TrainingSet(
        np.asarray(vectors, dtype=np.float32),
        clips["label"].to_numpy(object),
        clips["encounter"].to_numpy(object),
        clips["recording_id"].to_numpy(object),
    )


def audited(clips, recordings, vectors, n_folds):
    data = training_set(clips, vectors)
    return AuditedClips(
        clips, recordings, data, data, data.groups, Split("encounter", n_folds), HEAD
    )


def test_paired_difference_of_the_same_answers_is_nothing():
    right = np.tile([1.0, 0.0], N)
    assert compare(right, right) == Estimate(0.0, 0.0, 0.0)


def test_paired_difference_lies_above_zero_where_the_model_does_better():
    found = compare(np.ones(2 * N), np.tile([1.0, 0.0], N))
    assert found.value == pytest.approx(0.5)
    assert 0 < found.low < found.value < found.high


def test_paired_difference_more_controls_never_raise_it():
    rng = np.random.default_rng(0)
    model, *controls = (rng.integers(2, size=2 * N) for _ in range(5))
    few, many = compare(model, *controls[:1]), compare(model, *controls)
    assert many.value <= few.value
    assert many.low <= few.low
    assert many.high <= few.high


def test_paired_difference_weighs_classes_alike():
    labels = np.array(["Insular"] * 2 + ["Pelagic"] * 10, dtype=object)
    right = {"model": (labels == "Insular") * 1.0, "c": (labels == "Pelagic") * 1.0}
    units = np.arange(12).astype(str).astype(object)
    found = paired_difference(right, labels, units, model="model", controls=["c"])
    assert found.value == 0.0


def test_paired_difference_coarser_units_widen_it():
    rng = np.random.default_rng(1)
    days = rng.integers(2, size=N).repeat(2)
    fine = compare(days, np.zeros(2 * N))
    coarse = compare(days, np.zeros(2 * N), units=np.repeat(UNITS[:N], 2))
    assert coarse.high - coarse.low > fine.high - fine.low


def test_paired_difference_without_controls_is_refused():
    with pytest.raises(FoldError, match="no control"):
        compare(np.ones(2 * N))


@pytest.mark.parametrize(
    ("p_nuisance", "low", "p_model", "n", "verdict"),
    [
        (0.01, -0.1, 0.01, 8, "recorder"),
        (0.01, 0.0, 0.01, 8, "recorder"),
        (0.01, -0.1, 0.90, 2, "recorder"),
        (0.01, 0.1, 0.01, 8, "animals"),
        (0.50, 0.1, 0.01, 8, "animals"),
        (0.50, 0.1, 0.01, 3, "cannot tell"),
        (0.50, 0.1, 0.05, 8, "cannot tell"),
        (0.05, -0.1, 0.01, 8, "cannot tell"),
        (0.50, -0.1, 0.01, 8, "cannot tell"),
    ],
)
def test_verdict_follows_the_rule(p_nuisance, low, p_model, n, verdict):
    found = decide_verdict(
        p_nuisance=p_nuisance, difference=Estimate(low, low, 0.5), p_model=p_model,
        units_per_class={"Insular": n, "Pelagic": 20},
    )  # fmt: skip
    assert found == verdict


def test_rightness_averages_repeats_and_leaves_out_what_is_not_tested():
    clips, _ = survey(2, 2)
    scores = np.full((2, len(clips), 2), np.log(0.5))
    is_pelagic = (clips["label"] == "Pelagic").to_numpy()
    scores[0, ~is_pelagic, 0] = scores[0, is_pelagic, 1] = np.log(0.9)  # all right
    scores[1, ~is_pelagic, 1] = scores[1, is_pelagic, 0] = np.log(0.9)  # all wrong
    scores[1, clips["encounter"] == "Pelagic/1"] = np.nan
    scored = OutOfFold(["Insular", "Pelagic"], scores)
    found = rightness(clips, scored, clips["encounter"].to_numpy(object))
    assert list(found["encounter"]) == ["Insular/0", "Insular/1", "Pelagic/0"]
    assert (found["right"] == 0.5).all()
    assert list(found["unit"]) == list(found["encounter"])


def test_balanced_accuracy_is_inside_its_interval():
    right = pd.DataFrame({"label": LABELS, "unit": UNITS, "right": np.tile([1.0, 0.5], N)})
    estimate, method = balanced_accuracy(right)
    assert estimate.low < estimate.value == 0.75 < estimate.high
    assert "8" in method


def test_leakage_gap_compares_the_same_encounters():
    honest = pd.DataFrame(
        {"encounter": UNITS, "label": LABELS, "unit": UNITS, "right": np.tile([1.0, 0.0], N)}
    )
    more = pd.DataFrame({"encounter": ["x"], "label": ["Insular"], "unit": ["x"], "right": [0.0]})
    random = pd.concat([honest.assign(right=1.0), more], ignore_index=True)
    gap = leakage_gap(random, honest)
    assert gap.value == pytest.approx(0.5)
    assert gap.low > 0


def test_swap_partners_are_of_another_label_and_empty_no_class():
    clips, _ = survey(3, 6)
    units = clips["encounter"].to_numpy(object)
    pairs = swap_partners(clips, units, np.ones(len(clips), bool))
    labels = clips["label"].to_numpy(object)
    assert (labels[pairs["signal_row"]] != labels[pairs["background_row"]]).all()
    assert pairs.groupby("encounter")["partner"].nunique().eq(2).all()
    assert pairs.groupby(["encounter", "partner"]).size().eq(4).all()
    for _, one in pairs.iterrows():
        kept = ~np.isin(units, [one["encounter"], one["partner"]])
        assert set(labels[kept]) == set(labels)


def test_swap_partners_none_where_a_class_has_one_unit():
    clips, _ = survey(1)
    pairs = swap_partners(clips, clips["encounter"].to_numpy(object), np.ones(len(clips), bool))
    assert pairs.empty


def test_swap_partners_take_usable_clips_only():
    clips, _ = survey(4)
    usable = np.arange(len(clips)) % 2 == 0
    pairs = swap_partners(clips, clips["encounter"].to_numpy(object), usable)
    assert usable[pairs["signal_row"]].all()
    assert usable[pairs["background_row"]].all()


@pytest.mark.parametrize("follows", ["signal_row", "background_row"])
def test_swap_outcome_tells_what_the_answer_follows(follows):
    clips, recordings = survey(6)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(clips), 4)) * 0.3
    vectors[:, 0] += np.where(clips["label"] == "Pelagic", 3.0, -3.0)
    sample = audited(clips, recordings, vectors, 4)
    pairs = swap_partners(clips, sample.units, np.ones(len(clips), bool))
    swapped, rebuilt = (sample.data.vectors[pairs[row]] for row in (follows, "signal_row"))
    found = swap_outcome(sample, pairs, swapped, rebuilt)
    animal, background = found["animal"]["value"], found["background"]["value"]
    assert (animal, background) == ((1.0, 0.0) if follows == "signal_row" else (0.0, 1.0))
    assert found["difference"]["value"] == animal - background
    assert found["right_before"]["value"] == found["right_rebuilt"]["value"] == 1.0
    assert found["n_clips"] == len(pairs)


def test_swapped_clips_called_nothing_are_an_outcome_of_their_own():
    clips, recordings = survey(6)
    vectors = np.random.default_rng(0).standard_normal((len(clips), 4)) * 0.3
    vectors[:, 0] += np.where(clips["label"] == "Pelagic", 3.0, -3.0)
    vectors[:, 1] += 3.0
    sample = audited(clips, recordings, vectors, 4)
    quiet = sample.data.vectors.copy()
    quiet[:, :2] -= [0.0, 3.0]
    quiet[:, 0] *= 0.1
    knows = replace(
        sample, data=replace(sample.data, nothing=quiet), head=NothingHead(LogisticHead(c=1.0))
    )
    pairs = swap_partners(clips, sample.units, np.ones(len(clips), bool))
    rebuilt = knows.data.vectors[pairs["signal_row"]]
    found = swap_outcome(knows, pairs, quiet[pairs["signal_row"]], rebuilt)
    assert found["nothing"]["value"] > 0.9
    assert found["nothing_before"]["value"] == found["nothing_rebuilt"]["value"] == 0.0
    outcomes = ("animal", "background", "neither", "nothing")
    assert sum(found[name]["value"] for name in outcomes) == pytest.approx(1.0)


def test_knows_recorder_finds_the_platform_within_a_label_if_it_is_there():
    clips, recordings = survey(8)
    rng = np.random.default_rng(0)
    platform = recordings["platform"].to_numpy(object)
    plain = rng.standard_normal((len(clips), 4))
    heard = plain.copy()
    heard[:, 0] += np.where(platform == "P1", 6.0, 0.0)
    for vectors, expected in ((heard, 1.0), (plain, None)):
        found = knows_recorder(audited(clips, recordings, vectors, 4), platform)
        assert [row["label"] for row in found] == ["Insular", "Pelagic"]
        assert all(row["chance"] == 0.5 for row in found)
        if expected:
            assert all(row["value"] == expected for row in found)
        else:
            assert all(row["low"] < 0.5 for row in found)


def test_knows_recorder_says_nothing_of_a_label_with_one_platform():
    clips, recordings = survey(4)
    one = np.full(len(clips), "P0", dtype=object)
    sample = audited(clips, recordings, np.zeros((len(clips), 2)), 2)
    assert knows_recorder(sample, one) == []


def found_with(verdict, **changes):
    row = {"kind": "nuisance", "value": 0.8, "low": 0.6, "high": 0.9, "p": 0.01}
    gap = {"value": 0.1, "low": 0.01, "high": 0.2}
    return {
        "verdict": verdict, "p_model": 0.01, "p_nuisance": 0.01, "smallest_p": 0.005,
        "n_permutations": 199, "enumerated": False, "chance": 0.5, "best_control": "platform",
        "difference": gap, "units_per_class": {"Insular": 3, "Pelagic": 9}, "why": "Why.",
        "associations": [], "background": {"median_share_free": 0.4, "n_clips_without": 2},
        "controls": [row | {"name": "model", "kind": "model"}, row | {"name": "platform"}],
        "n_clips": 40, "n_labelled_clips": 90, "evaluated": None,
        "heard": {"n_repeats": 1, "clips_per_encounter": 20, "without_others": False},
    } | changes  # fmt: skip


@pytest.mark.parametrize("verdict", ["recorder", "cannot tell", "animals"])
def test_sentences_begin_with_the_verdict_and_hold_the_numbers(verdict):
    summary = sentences(found_with(verdict))["summary"]
    assert summary.lower().startswith(verdict)
    assert "0.80 [0.60, 0.90]" in summary
    assert title("platform") in summary


@pytest.mark.parametrize("verdict", ["recorder", "cannot tell"])
def test_sentences_claim_no_animals_without_the_verdict(verdict):
    swap = {
        k: {"value": 0.5, "low": 0.4, "high": 0.6}
        for k in ("animal", "background", "nothing", "right_before", "right_rebuilt", "difference")
    }
    said = sentences(found_with(verdict, swap=swap | {"n_clips": 9}, leakage_gap={
        "value": 0.2, "low": 0.1, "high": 0.3}, recorder_in_embeddings=[]))  # fmt: skip
    text = " ".join([said["summary"], *said["explained"].values()]).lower()
    assert "knows the animal" not in text
    assert "animals: the classifier" not in text


def test_sentences_name_the_classes_with_too_few_encounters():
    assert "Insular 3" in sentences(found_with("cannot tell"))["summary"]


def test_sentences_without_any_control_say_so():
    none = {"best_control": None, "p_nuisance": None, "difference": None}
    said = sentences(found_with("cannot tell", **none))
    assert said["summary"].lower().startswith("cannot tell")
    assert "all facts" in said["summary"]
    assert title("platform") not in said["summary"]
    assert "no clip" in said["explained"]["facts and background"]


def test_sentences_tell_why_evaluate_gives_another_number():
    """Repeats and clips heard differ: both recipes are named, and which number to quote."""
    alone = sentences(found_with("animals"))["explained"]["beside evaluate"]
    for number in ("0.80 [0.60, 0.90]", "1 draw", "40 of 90", "20"):
        assert number in alone
    evaluated = {
        "balanced_accuracy": 0.71, "ci_low": 0.5, "ci_high": 0.85, "n_repeats": 3, "n_units": 12,
        "n_folds": 5,
    }  # fmt: skip
    both = sentences(found_with("animals", evaluated=evaluated))["explained"]["beside evaluate"]
    for number in ("0.71 [0.50, 0.85]", "3 draws", "12 encounters"):
        assert number in both
        assert number not in alone


def test_sentences_call_the_p_of_several_controls_joint():
    row = {"kind": "nuisance", "value": 0.8, "low": 0.6, "high": 0.9, "p": 0.004}
    rows = [
        row | {"name": "model", "kind": "model"},
        row | {"name": "platform"},
        row | {"name": "date"},
    ]
    said = sentences(found_with("recorder", controls=rows))
    assert "joint p = 0.010" in said["summary"]
    assert "joint p = 0.010" in said["explained"]["facts and background"]
    assert "0.004" not in said["summary"]


def test_a_quick_audit_says_how_small_its_p_can_be():
    said = sentences(found_with("recorder", quick=True))["explained"]
    found = found_with("recorder", quick=True)
    assert f"{found['smallest_p']:.3f}" in said["quick"]
    assert str(found["n_permutations"]) in said["quick"]
    assert "quick" not in sentences(found_with("recorder"))["explained"]

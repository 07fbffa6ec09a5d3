"""What is claimed of errors holds, and what cannot be claimed is said."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats

from pseudorca.evaluation.metrics import reliability
from pseudorca.evaluation.risk_coverage import (
    abstention,
    outcomes,
    risk_coverage,
    threshold_for,
    thresholds,
    usual_threshold,
)
from pseudorca.learning.calibration import CalibratedUnits, Calibrator, calibrate_out_of_fold
from pseudorca.recordings.folds import OTHER, Split, make_folds


def drawn_units(n: int, *, seed: int = 0, n_repeats: int = 1) -> pd.DataFrame:
    """Units that are right as often as they claim."""
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.5, 1, n)
    table = pd.DataFrame(
        {
            "unit_id": [str(k) for k in range(n)],
            "encounter": [str(k) for k in range(n)],
            "label": "Insular",
            "named": "Insular",
            "fold": np.arange(n) % 4,
            "repeat": 0,
            "probability": probability,
            "right": rng.uniform(size=n) < probability,
        }
    )
    return pd.concat([table.assign(repeat=k) for k in range(n_repeats)], ignore_index=True)


def test_the_curve_ends_at_everything_and_its_error():
    table = drawn_units(200)
    curve = risk_coverage(table)
    assert curve["coverage"].iloc[-1] == pytest.approx(1)
    assert curve["error"].iloc[-1] == pytest.approx(1 - table["right"].mean())
    assert (np.diff(curve["coverage"]) > 0).all()
    assert (np.diff(curve["probability"]) < 0).all()


def test_encounters_count_and_not_their_clips():
    one = drawn_units(30)
    ten = pd.concat([one] * 10, ignore_index=True)
    for other in (ten, drawn_units(30, n_repeats=3)):
        for mine, theirs in zip(thresholds(one), thresholds(other), strict=True):
            assert asdict(mine) == pytest.approx(asdict(theirs))


def test_27_without_error_show_no_more_than_they_can():
    table = drawn_units(27).assign(right=True)
    everything = thresholds(table)[0]
    assert everything.n_encounters == 27
    assert everything.max_error == pytest.approx(1 - 0.01 ** (1 / 27))  # five looks at 0.05
    result = abstention(table, 0.05)
    assert result["chosen"] is None
    assert result["smallest_max_error"] == pytest.approx(everything.max_error)
    assert threshold_for(0.2, thresholds(table)) == everything


def test_the_claimed_rate_is_rarely_exceeded():
    """Of many surveys, at most 5 % may choose a threshold whose true error is above the wanted."""
    wanted, n_surveys = 0.2, 400
    exceeded = chosen = 0
    for seed in range(n_surveys):
        result = threshold_for(wanted, thresholds(drawn_units(60, seed=seed)))
        if result is not None:
            chosen += 1
            lowest = max(result.probability, 0.5)
            exceeded += 1 - (1 + lowest) / 2 > wanted  # the mean of what is above the threshold
    assert chosen > 40
    assert exceeded <= scipy.stats.binom.ppf(0.999, n_surveys, 0.05)


def test_priors_move_what_is_named():
    scores = np.log(np.array([[0.6, 0.4], [0.2, 0.8]]))
    table = pd.DataFrame(
        {"unit_id": ["a", "b"], "label": ["Insular", "Pelagic"], "encounter": ["a", "b"],
         "n_moments": 1, "repeat": 0, "fold": 0}
    )  # fmt: skip
    units = CalibratedUnits(
        table, scores, ["Insular", "Pelagic"], Calibrator(["Insular", "Pelagic"])
    )
    assert outcomes(units)["named"].tolist() == ["Insular", "Pelagic"]
    at = outcomes(units, np.array([0.1, 0.9]))
    assert at["named"].tolist() == ["Pelagic", "Pelagic"]
    assert at["probability"].iloc[0] == pytest.approx(0.36 / 0.42)
    assert at["right"].tolist() == [False, True]
    again = CalibratedUnits.from_table(units.as_table(), units.calibrator)
    pd.testing.assert_frame_equal(again.table, units.table)
    np.testing.assert_array_equal(again.log_probabilities, units.log_probabilities)


@pytest.fixture
def survey():
    """Clips of 24 encounters, and scores that exaggerate."""
    rng = np.random.default_rng(5)
    rows = [
        (f"{label}{k}", label, f"{label}{k}-{clip}")
        for label in ("Insular", "Pelagic") for k in range(12) for clip in range(3)
    ]  # fmt: skip
    clips = pd.DataFrame(rows, columns=["encounter", "label", "clip_id"])
    clips = clips.assign(
        recording_id=clips["clip_id"], moment_id=clips["clip_id"], start_s=0.0, end_s=1.0
    )
    recordings = clips[["recording_id", "moment_id", "label", "encounter"]].assign(metadata="{}")
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4, n_repeats=2))
    sign = np.where(clips["label"] == "Insular", 1.0, -1.0)
    own = dict(zip(clips["encounter"].unique(), rng.standard_normal(24), strict=True))
    odds = 15 * (sign + clips["encounter"].map(own).to_numpy())
    scores = -np.logaddexp(0, np.stack([-odds, odds], axis=1))
    return clips, recordings, np.stack([scores, scores]), folds


@pytest.mark.parametrize("unit", ["clip", "recording", "encounter"])
def test_calibrating_out_of_fold_improves_the_log_loss(survey, unit):
    clips, recordings, scores, folds = survey
    units = calibrate_out_of_fold(
        clips, recordings, scores, folds, ["Insular", "Pelagic"], unit=unit
    )
    result = reliability(units)
    column = (clips["label"] == "Pelagic").astype(int).to_numpy()
    raw = -scores[0][np.arange(len(clips)), column].mean()
    assert result["log_loss"] < raw
    assert result["log_loss_low"] <= result["log_loss"] <= result["log_loss_high"]
    assert result["brier"] < result["brier_baseline"] == 0.5
    assert result["expected_calibration_error"] is None  # 24 encounters
    assert result["n_encounters"] == 24
    assert sum(b["weight"] for b in result["bins"]) == pytest.approx(1)


def test_an_encounter_is_calibrated_without_itself(survey):
    """Changing what is said of one fold leaves that fold's calibrators as they were."""
    clips, recordings, scores, folds = survey
    classes = ["Insular", "Pelagic"]
    one = slice(0, 1)
    first = folds.__class__(**{**vars(folds), "test_fold": folds.test_fold[one]})
    before = calibrate_out_of_fold(clips, recordings, scores[one], first, classes, unit="clip")
    flipped = scores[one].copy()
    other = folds.test_fold[0] != 0
    rows = np.flatnonzero(~other)
    flipped[0, rows[0]] = flipped[0, rows[0], ::-1]
    after = calibrate_out_of_fold(clips, recordings, flipped, first, classes, unit="clip")
    same = (before.table["fold"] == 0).to_numpy()
    unchanged = np.ones(same.sum(), dtype=bool)
    unchanged[0] = False
    np.testing.assert_array_equal(
        before.log_probabilities[same][unchanged], after.log_probabilities[same][unchanged]
    )
    assert (before.log_probabilities[~same] != after.log_probabilities[~same]).any()


def with_noise(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The same with encounters of other sounds, all of them surely called so."""
    noise = drawn_units(n, seed=99).assign(label=OTHER, named=OTHER, right=True, probability=0.999)
    noise["encounter"] = "noise " + noise["encounter"]
    return pd.concat([table, noise], ignore_index=True)


def test_other_sounds_called_so_change_no_bound():
    """To say none of the classes is not to name: noise must not dilute the share of wrong names."""
    table = drawn_units(40, seed=3)
    for mine, theirs in zip(thresholds(table), thresholds(with_noise(table, 200)), strict=True):
        assert asdict(mine) == pytest.approx(asdict(theirs))


def test_other_sounds_named_as_a_population_are_wrong_names():
    table = drawn_units(40, seed=3).assign(right=True)
    strange = drawn_units(10, seed=4).assign(label=OTHER, right=False)
    strange["encounter"] = "noise " + strange["encounter"]
    everything = thresholds(pd.concat([table, strange], ignore_index=True))[0]
    assert everything.error == pytest.approx(0.2)
    assert everything.coverage == pytest.approx(1)  # of the populations' encounters


def test_where_nothing_is_named_nothing_is_claimed():
    table = drawn_units(5).assign(named=OTHER, right=False)
    assert threshold_for(0.9, thresholds(table)) is None
    assert abstention(table, 0.1)["curve"] == []


def test_other_sounds_change_no_score_of_the_populations():
    rng = np.random.default_rng(0)
    classes = ["Insular", "Pelagic", OTHER]
    labels = np.array(["Insular", "Pelagic"] * 10)
    odds = rng.standard_normal(20)
    scores = np.stack([odds, -odds, np.full(20, -9.0)], axis=1)
    rows = pd.DataFrame(
        {"unit_id": range(20), "label": labels, "encounter": [f"e{k}" for k in range(20)],
         "n_moments": 1, "repeat": 0, "fold": 0}
    )  # fmt: skip
    noise = rows.assign(label=OTHER, encounter=[f"n{k}" for k in range(20)])
    easy = np.tile([-9.0, -9.0, 0.0], (20, 1))

    def judged(table: pd.DataFrame, values: np.ndarray) -> dict:
        result = scipy.special.log_softmax(values, axis=1)
        return reliability(CalibratedUnits(table, result, classes, Calibrator(classes)))

    alone = judged(rows, scores)
    both = judged(pd.concat([rows, noise], ignore_index=True), np.concatenate([scores, easy]))
    assert alone == both
    assert alone["brier_baseline"] == 0.5


def encounters_of(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Encounters of two classes, a clip each, and what an overconfident head says of them."""
    labels = np.repeat(["Insular", "Pelagic"], n)
    names = [f"e{k}" for k in range(2 * n)]
    clips = pd.DataFrame({"clip_id": names, "label": labels, "encounter": names})
    clips = clips.assign(recording_id=names, moment_id=names, start_s=0.0, end_s=1.0)
    odds = 4 * (np.where(labels == "Insular", 0.7, -0.7) + rng.standard_normal(2 * n))
    return clips, -np.logaddexp(0, np.stack([-odds, odds], axis=1))


def test_the_interval_of_the_brier_score_holds_the_truth_of_encounters_to_come():
    classes, n_surveys, held = ["Insular", "Pelagic"], 40, 0
    for seed in range(n_surveys):
        rng = np.random.default_rng(seed)
        clips, scores = encounters_of(rng, 8)
        recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
        folds = make_folds(clips, recordings, Split("encounter", n_folds=4))
        units = calibrate_out_of_fold(
            clips, recordings, scores[None], folds, classes, unit="encounter"
        )
        result = reliability(units)
        fresh, fresh_scores = encounters_of(rng, 500)
        claimed = np.exp(
            units.calibrator.log_probabilities(fresh_scores, np.ones(1000, dtype=np.int64))
        )
        true = np.eye(2)[(fresh["label"] == "Pelagic").astype(int)]
        held += (
            result["brier_low"]
            <= ((claimed - true) ** 2).sum(axis=1).mean()
            <= result["brier_high"]
        )
    assert held / n_surveys >= 0.9


def test_a_split_with_one_testable_unit_leaves_probabilities_as_they_are(survey):
    """Nothing else is held out that a calibrator could learn from, and no interval can be given."""
    clips, recordings, scores, folds = survey
    only = folds.test_fold[:1].copy()
    mine = clips["encounter"].isin(["Insular0", "Pelagic0"]).to_numpy()
    only[0] = np.where(mine, 0, -1)
    one = folds.__class__(**{**vars(folds), "test_fold": only})
    only_scores = np.where(mine[:, None], scores[:1], np.nan)
    units = calibrate_out_of_fold(
        clips, recordings, only_scores, one, ["Insular", "Pelagic"], unit="encounter"
    )
    assert len(units.table) == 2
    raw = np.stack(
        [scores[0][clips["encounter"] == name].mean(axis=0) for name in ("Insular0", "Pelagic0")]
    )
    np.testing.assert_allclose(units.log_probabilities, scipy.special.log_softmax(raw, axis=1))
    result = reliability(units)
    assert np.isfinite(result["brier"])
    assert (result["brier_low"], result["brier_high"]) == (None, None)
    assert "too few encounters" in result["interval_method"]
    assert abstention(outcomes(units), 0.1)["held_out"] is None


def held_out(probabilities: list[float], right: list[bool]) -> pd.DataFrame:
    n = len(right)
    return pd.DataFrame(
        {
            "encounter": [f"e{k}" for k in range(n)], "label": "A",
            "named": ["A" if is_right else "B" for is_right in right],
            "probability": probabilities, "right": right, "repeat": 0, "fold": 0,
        }
    )  # fmt: skip


def test_the_usual_threshold_is_the_lowest_at_which_few_enough_names_are_wrong() -> None:
    outcome = held_out([0.9, 0.8, 0.7, 0.6, 0.5], [True, True, False, True, False])
    usual = usual_threshold(outcome, 0.25)
    assert (usual.probability, usual.error, usual.coverage, usual.n_encounters) == (
        0.6,
        0.25,
        0.8,
        4,
    )
    assert usual.max_error == pytest.approx(scipy.stats.beta.ppf(0.95, 2, 3))
    assert usual_threshold(outcome, 0.4).probability == 0.5
    assert usual_threshold(outcome, 0.1).probability == 0.8


def test_what_is_more_probably_wrong_than_right_is_no_name() -> None:
    outcome = held_out([0.9, 0.8, 0.45, 0.3], [True, True, True, True])
    usual = usual_threshold(outcome, 0.25)
    assert (usual.probability, usual.coverage, usual.error) == (0.5, 0.5, 0.0)
    assert usual_threshold(held_out([0.4, 0.3], [True, True]), 0.25) is None


def test_there_is_no_usual_threshold_where_even_the_surest_is_wrong() -> None:
    assert usual_threshold(held_out([0.9, 0.8], [False, False]), 0.25) is None

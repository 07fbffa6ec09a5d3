"""What is named, what stays undecided, and why."""

import numpy as np
import pandas as pd
import pytest

from pseudorca.learning.calibration import Calibrator, Prior
from pseudorca.learning.units import UnitScores, aggregate
from pseudorca.prediction.decisions import Rule, contradictions, decide

CLASSES = ["Insular", "Pelagic"]
UNIFORM = Prior("uniform", np.array([0.5, 0.5]))
TRAIN = Prior("train", np.array([0.14, 0.86]))


def units(*rows: tuple[float, int, float]) -> UnitScores:
    """Units given as (probability of Insular, moments, novelty)."""
    table = pd.DataFrame(
        {
            "unit_id": [f"u{k}" for k in range(len(rows))],
            "n_moments": [n for _, n, _ in rows],
            "novelty": [far for *_, far in rows],
        }
    )
    p = np.array([probability for probability, *_ in rows])
    return UnitScores(table, np.log(np.stack([p, 1 - p], axis=1)))


def said(rule: Rule, *rows: tuple[float, int, float]) -> pd.DataFrame:
    found, _ = decide(
        units(*rows), Calibrator(CLASSES), rule, unit="encounter", classifier_id="c", trained=TRAIN
    )
    return found


def test_the_most_probable_is_named_and_its_prior_too():
    table = said(Rule(UNIFORM), (0.7, 3, 0.5), (0.01, 1, 0.9))
    assert table["decision"].tolist() == ["Insular", "Pelagic"]
    assert table["prior"].tolist() == ["uniform", "uniform"]
    np.testing.assert_allclose(table["probability"], [0.7, 0.99])
    # Were Pelagic as frequent as in training, the first would be called Pelagic.
    assert table["depends_on_prior"].tolist() == [True, False]


def test_at_another_prior_the_odds_shift():
    table = said(Rule(TRAIN), (0.7, 3, 0.5))
    assert table["decision"].tolist() == ["Pelagic"]
    odds = 0.3 / 0.7 * 0.86 / 0.14
    assert table["probability"].iloc[0] == pytest.approx(odds / (1 + odds))


@pytest.mark.parametrize(
    ("rule", "row", "reason"),
    [
        (Rule(UNIFORM, min_moments=5), (0.9, 4, 0.5), "4 moments, fewer than 5"),
        (Rule(UNIFORM, min_probability=0.8), (0.75, 9, 0.5), "probability 0.75 below 0.80"),
        (Rule(UNIFORM), (0.9, 9, 1.4), "unlike what was heard in training"),
        (Rule(UNIFORM, min_probability=np.inf), (0.99, 9, 0.5), "cannot be claimed"),
    ],
)
def test_what_falls_short_is_undecided_with_the_reason(rule, row, reason):
    table = said(rule, row)
    assert table["decision"].tolist() == ["undecided"]
    assert table["most_probable"].tolist() == ["Insular"]
    assert reason in table["reason"].iloc[0]


def test_all_reasons_are_given():
    table = said(Rule(UNIFORM, 0.95, 5), (0.9, 4, 1.4))
    assert table["reason"].iloc[0].count(";") == 2


def test_novelty_is_averaged_as_scores_are():
    """Channels of a moment count once, moments of a unit equally."""
    clips = pd.DataFrame(
        {
            "recording_id": ["a", "b", "c"], "moment_id": ["m", "m", "n"], "label": None,
            "encounter": "e", "start_s": 0.0, "end_s": 1.0,
        }
    )  # fmt: skip
    recordings = pd.DataFrame({"recording_id": ["a", "b", "c"], "moment_id": ["m", "m", "n"]})
    scores = np.log(np.full((3, 2), 0.5))
    novelty = np.array([1.0, 3.0, 0.0])
    by_moment = aggregate(clips, recordings, scores, "clip", novelty=novelty)
    assert by_moment.table["novelty"].tolist() == [2.0, 0.0]
    by_encounter = aggregate(clips, recordings, scores, "encounter", novelty=novelty)
    assert by_encounter.table["novelty"].tolist() == [1.0]
    assert "novelty" not in aggregate(clips, recordings, scores, "clip").table


def test_an_encounter_called_otherwise_than_its_recordings_is_said() -> None:
    encounters = pd.DataFrame(
        {"encounter": ["Sette_44", "A/day1", "Sette_45", "Sette_46", "Sette_47"],
         "decision": ["Insular", "Pelagic", "Insular", "undecided", "Insular"]}
    )  # fmt: skip
    named = {
        "Sette_44": {"Insular": 1, "Pelagic": 3, "undecided": 9},
        "A/day1": {"Insular": 2},
        "Sette_45": {"Insular": 2, "Pelagic": 2},
        "Sette_46": {"Pelagic": 5},
        "Sette_47": {"undecided": 4},
    }
    (notice,) = contradictions(encounters, named)
    for fact in ("2 encounters", "Sette_44 Insular", "Pelagic 3", "day1 Pelagic", "Insular 2"):
        assert fact in notice
    for agreeing in ("Sette_45", "Sette_46", "Sette_47"):
        assert agreeing not in notice
    assert contradictions(encounters[2:], named) == []
    assert contradictions(encounters[:0], {}) == []

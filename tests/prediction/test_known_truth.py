"""Answers beside the hidden truth of a simulated survey."""

import pandas as pd

from pseudorca.prediction.known_truth import beside_truth


def test_answers_beside_truth_tell_wrong_from_left_open() -> None:
    truth = {"S_1": "Insular", "S_2": "Pelagic", "S_3": "Pelagic", "S_4": "Other", "S_5": "Other"}
    said = [
        ("Unknown/s_1", "Insular", "yes"), ("S_2#1", "Insular", "no"),
        ("S_3", "undecided", "left open"),
        ("S_4", "nothing", "yes"), ("S_5", "Pelagic", "no"), ("S_1", "a species of no survey", "no"),
        ("not of the survey", "Pelagic", None),
    ]  # fmt: skip
    encounters = pd.DataFrame(said, columns=["encounter", "decision", "_"]).assign(probability=0.9)
    judged = beside_truth(encounters, truth)
    assert judged["right"].tolist() == [right for *_, right in said if right]
    assert beside_truth(encounters, {}).empty
    assert beside_truth(encounters[:0], truth).empty

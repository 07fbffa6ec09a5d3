"""A class of nothing comes from the training side alone, and stands in no population number."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import HeadError
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import NOTHING, TrainingSet, Views
from pseudorca.learning.heads.base import Head, LinearHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import load_trained, make_head
from pseudorca.learning.nothing import KnowsNothing, NothingHead, NothingRule
from pseudorca.learning.preparation import Preparation
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.tuning import Tuning
from pseudorca.learning.units import aggregate, join_recordings
from pseudorca.recordings.folds import Split, make_folds

N_ENCOUNTERS, N_CLIPS = 8, 6


def survey(seed: int = 0) -> tuple[TrainingSet, pd.DataFrame, pd.DataFrame]:
    """Two classes along one axis, nothing along another, every encounter with an offset of its own."""
    rng = np.random.default_rng(seed)
    encounter = np.repeat(np.arange(N_ENCOUNTERS), N_CLIPS)
    is_a = encounter % 2 == 0
    offset = 0.3 * rng.standard_normal((N_ENCOUNTERS, 3))[encounter]
    vectors = offset + 0.3 * rng.standard_normal((len(encounter), 3))
    nothing = vectors.copy()
    vectors[:, 0] += np.where(is_a, 2, -2)
    vectors[:, 1] += 3
    nothing[rng.random(len(encounter)) < 0.3] = np.nan
    names = np.array([f"e{k}" for k in encounter], dtype=object)
    labels = np.where(is_a, "A", "B").astype(object)
    ids = [f"c{k}" for k in range(len(encounter))]
    clips = pd.DataFrame(
        {
            "clip_id": ids, "recording_id": ids, "moment_id": ids, "encounter": names,
            "label": labels, "start_s": 0.0, "end_s": 3.0,
        }
    )  # fmt: skip
    recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
    data = TrainingSet(
        vectors.astype(np.float32), labels, names, np.array(ids, dtype=object),
        nothing=nothing.astype(np.float32),
    )  # fmt: skip
    return data, clips, recordings


class Spy(LogisticHead):
    """Keeps what it was trained on."""

    seen: ClassVar[list[TrainingSet]] = []

    def fit_all(self, sides: Sequence[TrainingSet]) -> list[LinearHead]:
        self.seen.extend(sides)
        return super().fit_all(sides)


@pytest.mark.parametrize("split", ["encounter", "leave-one-encounter-out"])
def test_no_background_of_a_test_side_is_learned_from(split: str) -> None:
    data, clips, recordings = survey()
    folds = make_folds(clips, recordings, Split(split, n_folds=4))
    Spy.seen = []
    cross_validate(replace(data, groups=folds.units), folds, NothingHead(Spy(c=1.0)))
    sides = {frozenset(set(data.groups) - set(data.groups[test])) for *_, test in folds}
    assert len(Spy.seen) == len(list(folds))
    for trained in Spy.seen:
        backgrounds = trained.labels == NOTHING
        assert backgrounds.any()
        side = frozenset(trained.groups[~backgrounds])
        assert side in sides
        assert set(trained.groups[backgrounds]) <= side
        of_side = np.isin(data.groups, list(side)) & np.isfinite(data.nothing[:, 0])
        np.testing.assert_array_equal(trained.vectors[backgrounds], data.nothing[of_side])


def test_nothing_is_told_and_stands_in_no_population_number() -> None:
    data, clips, recordings = survey()
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4))
    scored = cross_validate(
        replace(data, groups=folds.units), folds, NothingHead(LogisticHead(c=1.0))
    )
    assert scored.classes == ["A", "B"]
    np.testing.assert_allclose(np.exp(scored.log_probabilities).sum(axis=2), 1)
    assert (scored.p_nothing < 0.5).mean() > 0.95
    heard = np.isfinite(scored.p_nothing_of_background)
    assert (heard == np.isfinite(data.nothing[:, 0])).all()
    assert (scored.p_nothing_of_background[heard] > 0.5).mean() > 0.95
    named = np.array(scored.classes)[scored.log_probabilities[0].argmax(axis=1)]
    assert (named == data.labels).mean() > 0.95


def test_every_encounter_weighs_alike_whatever_its_number_of_backgrounds() -> None:
    data, *_ = survey()
    backgrounds = data.backgrounds()
    assert set(backgrounds.recordings) == {f"nothing of e{k}" for k in range(N_ENCOUNTERS)}


@pytest.mark.parametrize(
    "head",
    [
        LogisticHead(), make_head("svm"), make_head("forest", n_trees=5), make_head("gmm"),
        make_head("softmax", n_epochs=3),
    ],
    ids=lambda head: head.name,
)  # fmt: skip
def test_any_head_learns_nothing_and_is_saved(head: Head) -> None:
    data, *_ = survey()
    trained = Recipe(head, nothing="background").fit(data)
    assert trained.classes == ["A", "B"]
    again = load_trained(trained.kind, trained.classes, trained.arrays(), trained.details)
    np.testing.assert_array_equal(again.p_nothing(data.vectors), trained.p_nothing(data.vectors))
    np.testing.assert_array_equal(
        again.log_probabilities(data.vectors), trained.log_probabilities(data.vectors)
    )
    assert Recipe(head).fit(data).p_nothing(data.vectors).max() == 0


def test_settings_are_chosen_without_nothing() -> None:
    data, *_ = survey()
    plain, knows = Recipe().fit(data), Recipe(nothing="background").fit(data)
    assert knows.details["c"] == plain.details["c"]
    assert knows.details["n_backgrounds"] == int(np.isfinite(data.nothing[:, 0]).sum())
    tuned = Recipe(tuning=Tuning(), nothing="background").fit(data)
    assert isinstance(tuned, KnowsNothing)
    assert tuned.details["tuned"] == Recipe(tuning=Tuning()).fit(data).details["tuned"]


def test_altered_copies_are_learned_beside_nothing() -> None:
    data, *_ = survey()
    views = Views(data.vectors[None] + 0.1, np.full((1, len(data.labels)), ""), data.groups)
    both = replace(data, views=views).with_nothing()
    n = int(np.isfinite(data.nothing[:, 0]).sum())
    assert len(both.with_views().labels) == 2 * len(data.labels) + n


def test_where_hardly_any_background_is_there_the_head_does_without() -> None:
    data, *_ = survey()
    alone = np.where((data.groups == "e0")[:, None], data.nothing, np.nan).astype(np.float32)
    trained = Recipe(nothing="background").fit(replace(data, nothing=alone))
    assert trained.p_nothing(data.vectors).max() == 0


def test_a_recipe_with_nothing_says_so_and_is_read_back() -> None:
    recipe = Recipe(nothing="background")
    assert recipe.arguments() == " --nothing background"
    assert "nothing" in recipe.describe()
    assert Recipe.from_settings(recipe.settings()) == recipe
    assert recipe.id != Recipe().id
    for wrong in (
        {"nothing": "silence"},
        {"nothing": "background", "preparation": Preparation(centre="platform")},
    ):
        with pytest.raises(HeadError, match="nothing"):
            Recipe(**wrong)


def test_few_backgrounds_of_held_out_encounters_pass_for_something() -> None:
    rng = np.random.default_rng(0)
    encounters = np.repeat([f"e{k}" for k in range(20)], 10).astype(object)
    p_nothing = rng.beta(4, 2, (3, 200))
    rule = NothingRule.fit(p_nothing, encounters)
    passed = ~rule.holds_nothing(p_nothing.mean(axis=0))
    assert passed.mean() <= 0.055
    assert sum(k for k, _ in rule.alarms) == passed.sum()
    assert NothingRule.fit(np.full((3, 200), np.nan), encounters) is None


@given(st.integers(1, 40), st.data())
@settings(max_examples=50, deadline=None)
def test_more_that_holds_something_is_less_likely_by_noise(
    n_heard: int, drawn: st.DataObject
) -> None:
    rule = NothingRule(0.5, ((0, 10), (1, 10), (4, 10)))
    n = drawn.draw(st.integers(1, n_heard))
    assert rule.p_by_noise(n, n_heard) <= rule.p_by_noise(n - 1, n_heard)
    assert rule.p_by_noise(0, n_heard) == 1


def test_recordings_and_encounters_are_decided_over_what_holds_something() -> None:
    clips = pd.DataFrame(
        {
            "clip_id": list("abcd"), "recording_id": ["r1", "r1", "r2", "r2"],
            "moment_id": list("abcd"), "label": "A", "encounter": "e1",
            "start_s": [0.0, 3.0, 0.0, 3.0], "end_s": [3.0, 6.0, 3.0, 6.0],
        }
    )  # fmt: skip
    recordings = pd.DataFrame({"recording_id": ["r1", "r2"], "moment_id": ["m1", "m2"]})
    scores = np.log([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    p_nothing = np.array([0.1, 0.9, 0.8, 0.7])
    how = {"p_nothing": p_nothing, "nothing_above": 0.5}
    by_recording = aggregate(clips, recordings, scores, "recording", **how)
    assert by_recording.table["n_something"].tolist() == [1, 0]
    assert np.exp(by_recording.log_probabilities[:, 0]).round(6).tolist() == [0.9, 0.2]
    encounter = aggregate(clips, recordings, scores, "encounter", **how)
    joined = join_recordings(by_recording)
    for units in (encounter, joined):
        row = units.table.iloc[0]
        assert (row["n_something"], row["n_heard"], row["n_moments"]) == (1, 4, 1)
        assert row["p_nothing"] == pytest.approx(p_nothing.mean())
        assert np.exp(units.log_probabilities[0]).tolist() == pytest.approx([0.9, 0.1])

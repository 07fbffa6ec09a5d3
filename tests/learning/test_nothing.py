"""A class of nothing comes from the training side alone, and stands in no population number."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import HeadError
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet, Views
from pseudorca.learning.false_alarms import NothingRule
from pseudorca.learning.heads.base import Head, LinearHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import load_trained, make_head
from pseudorca.learning.nothing import KnowsNothing, NothingHead, nothing_rule
from pseudorca.learning.preparation import Preparation
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.tuning import Tuning
from pseudorca.learning.units import aggregate, join_recordings
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.recordings.options import NOTHING

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
    assert Recipe(head, nothing="none").fit(data).p_nothing(data.vectors).max() == 0


def test_settings_are_chosen_without_nothing() -> None:
    data, *_ = survey()
    plain, knows = Recipe(nothing="none").fit(data), Recipe().fit(data)
    assert knows.details["c"] == plain.details["c"]
    assert knows.details["n_backgrounds"] == int(np.isfinite(data.nothing[:, 0]).sum())
    tuned = Recipe(tuning=Tuning()).fit(data)
    assert isinstance(tuned, KnowsNothing)
    without = Recipe(tuning=Tuning(), nothing="none").fit(data)
    assert tuned.details["tuned"] == without.details["tuned"]


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
    recipe, without = Recipe(), Recipe(nothing="none")
    assert (recipe.nothing, recipe.arguments()) == ("background", "")
    assert without.arguments() == " --nothing none"
    assert "nothing" in recipe.describe()
    assert "nothing" not in without.describe()
    for made in (recipe, without):
        assert Recipe.from_settings(made.settings()) == made
    assert recipe.id != without.id
    assert Recipe(preparation=Preparation(centre="platform")).nothing == "none"
    assert Recipe(make_head("finetuned")).nothing == "none"
    for wrong in (
        {"nothing": "silence"},
        {"nothing": "background", "preparation": Preparation(centre="platform")},
    ):
        with pytest.raises(HeadError, match="nothing"):
            Recipe(**wrong)


def noise(names: list[str], n: int = 3) -> TrainingSet:
    groups = np.repeat(names, n).astype(object)
    vectors = np.random.default_rng(1).standard_normal((len(groups), 3)).astype(np.float32)
    return TrainingSet(vectors, np.full(len(groups), NOTHING, dtype=object), groups, groups)


@pytest.mark.parametrize("split", ["encounter", "leave-one-encounter-out"])
def test_noise_is_scored_by_heads_that_never_heard_it_nor_its_group(split: str) -> None:
    data, clips, recordings = survey()
    folds = make_folds(clips, recordings, Split(split, n_folds=4))
    sea = noise(["calm", "rain", "ships", "e0", "e3"])  # two go with encounters of animals
    ties = tuple(frozenset({name} & {"e0", "e3"}) for name in sea.groups)
    data = replace(data, groups=folds.units, noise=sea, noise_with=ties)
    Spy.seen = []
    scored = cross_validate(data, folds, NothingHead(Spy(c=1.0)))
    assert scored.p_nothing_of_noise is not None
    assert np.isfinite(scored.p_nothing_of_noise).all()
    for trained in Spy.seen:
        learned = trained.groups[trained.labels != NOTHING]
        of_noise = np.isin(trained.vectors, sea.vectors).all(axis=1)
        left_out = set(sea.groups) - set(trained.groups[of_noise])
        assert left_out & {"e0", "e3"} == {"e0", "e3"} - set(learned)
    assert {name for t in Spy.seen for name in set(sea.groups) - set(t.groups)} == set(sea.groups)
    everything = NothingHead(Spy(c=1.0)).fit(data)
    assert everything.details["n_backgrounds"] == len(data.backgrounds().labels)
    assert set(sea.groups) <= set(Spy.seen[-1].groups)


def test_noise_alone_teaches_nothing_and_settings_are_chosen_without_it() -> None:
    data, *_ = survey()
    alone = replace(data, nothing=None, noise=noise(["calm", "rain"]))
    trained = NothingHead(LogisticHead()).fit(alone)
    assert trained.classes == ["A", "B"]
    assert trained.p_nothing(alone.noise.vectors).mean() > trained.p_nothing(data.vectors).mean()
    assert trained.details["c"] == LogisticHead().fit(alone.without_nothing()).details["c"]


def test_few_backgrounds_of_held_out_encounters_pass_for_something() -> None:
    rng = np.random.default_rng(0)
    encounters = np.repeat([f"e{k}" for k in range(20)], 10).astype(object)
    p_nothing = rng.beta(4, 2, (3, 200))
    rule = NothingRule.fit(p_nothing, encounters)
    passed = ~rule.holds_nothing(p_nothing.mean(axis=0))
    assert passed.mean() <= 0.055
    assert sum(k for k, _ in rule.alarms) == passed.sum()
    assert NothingRule.fit(np.full((3, 200), np.nan), encounters) is None


@given(st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_more_that_holds_something_is_less_likely_by_noise(n_heard: int) -> None:
    rule = NothingRule(0.5, ((0, 10), (1, 10), (4, 10)))
    counts = np.arange(n_heard + 1)
    explained = rule.p_by_noise(counts, np.full_like(counts, n_heard))
    assert (np.diff(explained) <= 0).all()
    assert explained[0] == pytest.approx(1)


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
    rule = NothingRule(0.5, ((0, 40),) * 20)
    how = {"p_nothing": p_nothing, "rule": rule}
    by_recording = aggregate(clips, recordings, scores, "recording", **how)
    assert by_recording.table["n_something"].tolist() == [1, 0]
    assert np.exp(by_recording.log_probabilities[:, 0]).round(6).tolist() == [0.9, 0.2]
    encounter = aggregate(clips, recordings, scores, "encounter", **how)
    joined = join_recordings(by_recording, rule)
    for units in (encounter, joined):
        row = units.table.iloc[0]
        assert (row["n_something"], row["n_heard"], row["n_moments"]) == (1, 4, 1)
        assert row["p_nothing"] == pytest.approx(p_nothing.mean())
        assert np.exp(units.log_probabilities[0]).tolist() == pytest.approx([0.9, 0.1])


def heard(p_nothing: np.ndarray, n_recordings: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips of recordings of one encounter, dealt in order."""
    ids = [f"c{k}" for k in range(len(p_nothing))]
    recording = [f"r{k * n_recordings // len(ids)}" for k in range(len(ids))]
    clips = pd.DataFrame(
        {
            "clip_id": ids, "recording_id": recording, "moment_id": ids, "label": "",
            "encounter": "e1", "start_s": 0.0, "end_s": 3.0,
        }
    )  # fmt: skip
    recordings = pd.DataFrame({"recording_id": sorted(set(recording))})
    return clips, recordings.assign(moment_id=recordings["recording_id"])


RULE = NothingRule(0.3, tuple((int(k % 4 == 0), 8) for k in range(30)))
"""About 3 % of the backgrounds of held-out encounters pass for something."""


@pytest.mark.parametrize("n_recordings", [1, 4])
@pytest.mark.parametrize("unit", ["recording", "encounter"])
def test_long_noise_is_nothing_although_some_of_it_passes(unit: str, n_recordings: int) -> None:
    rng = np.random.default_rng(0)
    p_nothing = scipy.special.expit(rng.normal(1.0, 1.0, 1200))  # 3 % below .3
    assert 20 < (p_nothing < RULE.threshold).sum() < 60
    clips, recordings = heard(p_nothing, n_recordings)
    scores = np.log(np.full((1200, 2), 0.5))
    table = aggregate(clips, recordings, scores, unit, p_nothing=p_nothing, rule=RULE).table
    assert (table["n_something"] == 0).mean() >= 0.75


@pytest.mark.parametrize("n_recordings", [1, 4])
def test_few_calls_in_long_noise_are_what_decides(n_recordings: int) -> None:
    rng = np.random.default_rng(0)
    p_nothing = scipy.special.expit(rng.normal(1.0, 1.0, 1200))
    calls = [100, 107, 120]
    p_nothing[calls] = 0.005
    scores = np.log(np.tile([0.2, 0.8], (1200, 1)))
    scores[calls] = np.log([0.9, 0.1])
    clips, recordings = heard(p_nothing, n_recordings)
    units = aggregate(clips, recordings, scores, "encounter", p_nothing=p_nothing, rule=RULE)
    row = units.table.iloc[0]
    assert (row["n_something"], row["n_heard"], row["by_noise"]) == (3, 1200, False)
    assert np.exp(units.log_probabilities[0]).tolist() == pytest.approx([0.9, 0.1])
    alone = p_nothing.copy()
    alone[calls[1:]] = 0.8
    units = aggregate(clips, recordings, scores, "encounter", p_nothing=alone, rule=RULE)
    assert units.table["n_something"].iloc[0] != 1  # one moment that stands out is not enough


def test_sound_throughout_is_decided_over_all_that_holds_something() -> None:
    p_nothing = np.full(300, 0.05)
    p_nothing[:60] = 0.9
    clips, recordings = heard(p_nothing)
    scores = np.log(np.full((300, 2), 0.5))
    row = aggregate(
        clips, recordings, scores, "encounter", p_nothing=p_nothing, rule=RULE
    ).table.iloc[0]
    assert (row["n_something"], row["by_noise"]) == (240, False)


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), min_size=2, max_size=12),
    st.integers(1, 500),
)
@settings(max_examples=50, deadline=None)
def test_the_rates_of_new_places_are_a_distribution_near_what_was_held_out(
    drawn: list[tuple[int, int]], n_heard: int
) -> None:
    alarms = tuple((min(k, n), n) for k, n in drawn)
    rule = NothingRule(0.5, alarms)
    _, weights = rule._rates
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    never = NothingRule(0.5, tuple((0, n) for _, n in alarms))
    some = np.array([1 + n_heard // 2])
    assert (
        never.p_by_noise(some, np.array([n_heard]))
        <= rule.p_by_noise(some, np.array([n_heard])) + 1e-9
    )


def test_noise_that_goes_with_two_groups_is_held_out_with_either() -> None:
    data, *_ = survey()
    ties = (frozenset({"e1", "e2"}), frozenset[str](), frozenset({"e2"}))
    both = replace(data, noise=noise(["a", "b", "c"], 1), noise_with=ties)
    left = {
        name: both.without_noise_of([name]).noise.groups.tolist() for name in ("e1", "e2", "e5")
    }
    assert left == {"e1": ["b", "c"], "e2": ["b"], "e5": ["a", "b", "c"]}
    assert both.without_noise_of(["e2", "b"]).noise is None


def test_a_fold_whose_head_knows_nothing_of_nothing_does_not_say_so() -> None:
    data, clips, recordings = survey()
    heard = np.isin(data.groups, ["e0", "e1"])[:, None]
    few = replace(data, nothing=np.where(heard, data.nothing, np.nan).astype(np.float32))
    folds = make_folds(clips, recordings, Split("leave-one-encounter-out"))
    scored = cross_validate(
        replace(few, groups=folds.units), folds, NothingHead(LogisticHead(c=1.0))
    )
    assert np.isnan(scored.p_nothing_of_background).all()  # without e0 or e1 one encounter is left
    is_known = ~np.isin(data.groups, ["e0", "e1"])
    assert np.isfinite(scored.p_nothing[0, is_known]).all()
    assert nothing_rule(scored, data.groups, None) is None


@pytest.mark.parametrize("unit", ["clip", "recording", "encounter"])
def test_no_clips_are_no_units(unit: str) -> None:
    clips, recordings = heard(np.full(3, 0.5))
    units = aggregate(
        clips.iloc[:0], recordings, np.empty((0, 2)), unit, p_nothing=np.empty(0), rule=RULE
    )
    assert len(units.table) == len(units.log_probabilities) == 0

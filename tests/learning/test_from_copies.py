"""Laws of learning from altered copies: nothing of what is held out is heard in them."""

from dataclasses import replace

import numpy as np
import pytest

from pseudorca.errors import HeadError
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet, Views
from pseudorca.learning.heads.base import fit_head, mean_said, recording_weights
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import side_by_side
from pseudorca.learning.heads.per_class import GmmHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.preparation import Preparation, centred, referred, small_groups
from pseudorca.learning.recipe import CopiesHead, Recipe
from pseudorca.learning.tuning import TunedHead
from pseudorca.recordings.folds import Split, make_folds

from .conftest import survey

HEAD = LogisticHead(c=0.01)


def with_copies(data: TrainingSet, n_views: int = 2, *, noise: float = 1.0) -> TrainingSet:
    """Each encounter's copies have the sea of the next but one (or two) after it."""
    rng = np.random.default_rng(5)
    names = sorted(set(data.groups))
    place = {name: k for k, name in enumerate(names)}
    vectors = data.vectors + noise * rng.standard_normal((n_views, *data.vectors.shape))
    donors = np.array(
        [
            [names[(place[group] + view + 2) % len(names)] for group in data.groups]
            for view in range(n_views)
        ],
        dtype=object,
    )
    return replace(data, views=Views(vectors.astype(np.float32), donors, data.groups))


def test_copies_with_a_sea_from_the_other_side_are_left_out():
    _, _, data = survey()
    data = with_copies(data)
    train = np.flatnonzero(~np.isin(data.groups, ["E0", "E1", "E2"]))
    side = data.take(train)
    assert side.views is not None
    kept = side.views.may_be_learned
    assert not kept.all()
    assert not np.isin(side.views.donors[kept], ["E0", "E1", "E2"]).any()
    assert len(side.with_views().labels) == len(train) + kept.sum()


def test_what_was_held_out_changes_nothing_that_is_learned():
    clips, recordings, data = survey(population=0.7, encounter=0.5)
    data = with_copies(data)
    assert data.views is not None
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4, n_repeats=1))
    usual = cross_validate(data, folds, CopiesHead(HEAD)).log_probabilities
    for _, _, _, test in list(folds)[:2]:
        held_out = set(data.groups[test])
        spoilt = data.views.vectors.copy()
        spoilt[np.isin(data.views.donors, list(held_out))] = 1e3  # heard there: must not be learned
        spoilt[:, test] = -1e3
        changed = replace(data, views=replace(data.views, vectors=spoilt))
        found = cross_validate(changed, folds, CopiesHead(HEAD)).log_probabilities
        np.testing.assert_array_equal(found[0, test], usual[0, test])


def test_a_clip_and_its_copies_weigh_what_the_clip_weighed():
    _, _, data = survey(n_per=4)
    data = replace(data, recordings=np.array([f"r{k // 3}" for k in range(len(data.labels))]))
    data = replace(data, recordings=data.recordings.astype(object), groups=data.groups)
    whole = np.array([f"{g}{r}" for g, r in zip(data.groups, data.recordings, strict=True)], object)
    data = with_copies(replace(data, recordings=whole))
    seen = data.take(np.flatnonzero(data.groups != "E3"))
    assert seen.views is not None
    both = seen.with_views()
    _, clip = np.nonzero(seen.views.may_be_learned)
    weights = recording_weights(both, "none")
    of_clip = np.bincount(np.concatenate([np.arange(len(seen.labels)), clip]), weights=weights)
    alone = recording_weights(seen, "none")
    np.testing.assert_allclose(of_clip / of_clip.mean(), alone / alone.mean())


def test_without_copies_the_head_learns_as_ever():
    clips, recordings, data = survey(population=1.0)
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4, n_repeats=1))
    plain = cross_validate(data, folds, HEAD).log_probabilities
    np.testing.assert_array_equal(
        cross_validate(data, folds, CopiesHead(HEAD)).log_probabilities, plain
    )


def test_copies_that_vary_what_encounters_vary_help_on_new_encounters():
    gains = []
    for seed in range(3):
        clips, recordings, data = survey(n_encounters=8, n_per=16, d=48, population=0.4, seed=seed)
        rng = np.random.default_rng(seed)
        axes = np.linalg.qr(rng.standard_normal((48, 12)))[0].T  # along which recorders differ
        encounters = sorted(set(data.groups))
        own = {name: 5 * rng.standard_normal(12) @ axes for name in encounters}
        vectors = data.vectors + np.stack([own[group] for group in data.groups])
        copies = vectors + 5 * rng.standard_normal((4, len(vectors), 12)) @ axes
        donors = np.full(copies.shape[:2], "", dtype=object)
        data = replace(
            data,
            vectors=vectors.astype(np.float32),
            views=Views(copies.astype(np.float32), donors, data.groups),
        )
        folds = make_folds(clips, recordings, Split("encounter", n_folds=4, n_repeats=2))
        truth = (data.labels == "B").astype(int)
        right = [
            (cross_validate(data, folds, head).log_probabilities.argmax(axis=2) == truth).mean()
            for head in (CopiesHead(LogisticHead(c=1.0)), LogisticHead(c=1.0))
        ]
        gains.append(right[0] - right[1])
    assert np.mean(gains) > 0.05


def test_a_tested_clip_is_the_mean_of_itself_and_its_copies():
    clips, recordings, data = survey(population=1.0)
    again = np.stack([data.vectors + 1, data.vectors - 2]).astype(np.float32)
    heard = replace(data, heard_again=again)
    trained = HEAD.fit(data)
    said = mean_said(trained, heard.vectors, again)
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1.0)
    each = np.stack([trained.log_probabilities(v) for v in (data.vectors, *again)])
    expected = each.mean(axis=0)
    expected -= np.logaddexp.reduce(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(said, expected)
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4, n_repeats=1))
    scored = cross_validate(heard, folds, HEAD).log_probabilities
    assert (scored != cross_validate(data, folds, HEAD).log_probabilities).any()
    same = replace(data, heard_again=np.stack([data.vectors] * 2))
    np.testing.assert_allclose(
        cross_validate(same, folds, HEAD).log_probabilities,
        cross_validate(data, folds, HEAD).log_probabilities,
        atol=1e-12,
    )


def test_taking_rows_takes_their_copies():
    _, _, data = survey()
    data = replace(with_copies(data), heard_again=np.stack([data.vectors] * 3))
    rows = np.array([5, 2, 90])
    some = data.take(rows)
    assert some.views is not None
    assert data.views is not None
    np.testing.assert_array_equal(some.views.vectors, data.views.vectors[:, rows])
    np.testing.assert_array_equal(some.heard_again, np.stack([data.vectors[rows]] * 3))


def test_centred_groups_have_no_mean_and_whitened_ones_one_deviation():
    rng = np.random.default_rng(0)
    groups = np.array(["a"] * 30 + ["b"] * 50, dtype=object)
    vectors = rng.standard_normal((80, 5)).astype(np.float32)
    vectors[:30] = 4 * vectors[:30] + 7
    vectors[:, 4] = 3.0
    found = centred(vectors, groups, scale=True)
    for group in ("a", "b"):
        np.testing.assert_allclose(found[groups == group].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(found[groups == group, :4].std(axis=0), 1, atol=1e-4)
    assert (found[:, 4] == 0).all()
    plain = centred(vectors, groups)
    np.testing.assert_allclose(plain[:30].std(axis=0), vectors[:30].std(axis=0), rtol=1e-5)


def test_centring_depends_on_no_order_and_names_small_groups():
    rng = np.random.default_rng(1)
    groups = np.array(list("abcabcaabb") * 3, dtype=object)
    vectors = rng.standard_normal((30, 4)).astype(np.float32)
    order = rng.permutation(30)
    np.testing.assert_allclose(
        centred(vectors[order], groups[order]), centred(vectors, groups)[order], atol=1e-6
    )
    assert small_groups(groups) == ["c"]


def test_references_take_off_or_stand_beside():
    one, other = np.ones((2, 3, 4), np.float32), np.full((2, 3, 4), 0.25, np.float32)
    assert (referred(one, other, "minus") == 0.75).all()
    assert referred(one, other, "beside").shape == (2, 3, 8)
    assert referred(one, other, "none") is one


def test_preparations_are_read_from_words():
    made = Preparation.of(["views", "test-views", "reference=minus", "centre=platform", "scale"])
    assert made == Preparation(True, True, "minus", "platform", True)
    assert made.name == (
        "learned from views, averaged over views, minus its background, whitened by platform"
    )
    assert Preparation.of([]).name == ""
    for words in (["view"], ["reference=with"], ["reference"], ["scale"], ["views=2"]):
        with pytest.raises(HeadError):
            Preparation.of(words)


def test_only_views_change_the_head():
    assert Recipe(HEAD, preparation=Preparation(centre="platform")).trainer() is HEAD
    with_copies = Recipe(HEAD, preparation=Preparation(views=True)).trainer()
    assert with_copies.settings() == HEAD.settings() | {"views": True}


@pytest.mark.parametrize("head", [LogisticHead(), TunedHead(LogisticHead()), TunedHead(GmmHead())])
def test_settings_are_chosen_on_clips_that_no_copy_is_of(head):
    _, _, data = survey(population=0.6, encounter=1.0)
    trained = CopiesHead(head).fit(with_copies(data, noise=30.0))
    chosen = fit_head(head, data).details
    assert trained.details["n_views"] > 0
    for name in ("c", "tuned"):
        assert trained.details.get(name) == chosen.get(name)


def test_every_network_chooses_on_its_own_clips_and_learns_from_its_own_copies():
    _, _, first = survey(population=0.6, encounter=1.0)
    _, _, second = survey(population=0.3, seed=1)
    one, other = with_copies(first, noise=30.0), with_copies(second)
    assert one.views is not None
    assert other.views is not None
    both = np.concatenate([one.views.vectors, other.views.vectors], axis=2)
    data = replace(side_by_side([one, other]), views=replace(one.views, vectors=both))
    head = Recipe(join="scores", preparation=Preparation(views=True)).trainer()
    members = head.fit(data).members
    for member, alone in zip(members, (one, other), strict=True):
        expected = CopiesHead(LogisticHead()).fit(alone)
        np.testing.assert_array_equal(member.weights, expected.weights)
        assert member.details["c"] == LogisticHead().fit(alone).details["c"]


def test_groups_kept_aside_for_the_epoch_are_not_heard_in_any_copy():
    _, _, data = survey(population=0.6)
    data = with_copies(data)
    assert data.views is not None
    seen = []

    class Spy(SoftmaxHead):
        def fit(self, data, *, validation=None):
            seen.append((data, validation))
            return super().fit(data, validation=validation)

    fit_head(CopiesHead(Spy(n_epochs=2)), data)
    ((learned, aside),) = seen
    held = set(aside.groups)
    assert held
    assert len(aside.labels) == np.isin(data.groups, list(held)).sum()  # clips, no copies
    kept = data.take(np.flatnonzero(~np.isin(data.groups, list(held))))
    assert kept.views is not None
    assert len(learned.labels) == len(kept.labels) + kept.views.may_be_learned.sum()
    assert not held & set(learned.groups)
    heard = set(kept.views.donors[kept.views.may_be_learned])
    assert not held & heard


def test_a_validation_side_of_the_split_leaves_the_choice_as_it_is():
    _, _, data = survey(population=0.6, encounter=1.0)
    data = with_copies(data, noise=30.0)
    train = np.flatnonzero(~np.isin(data.groups, ["E0", "E1"]))
    aside = data.take(np.flatnonzero(np.isin(data.groups, ["E0", "E1"])))
    side = data.take(train)
    usual = CopiesHead(LogisticHead()).fit(side)
    np.testing.assert_array_equal(
        CopiesHead(LogisticHead()).fit(side, validation=aside).weights, usual.weights
    )


def test_a_settled_head_learns_the_same_and_chooses_nothing():
    _, _, data = survey(population=0.6, encounter=1.0)
    data = with_copies(data)
    trained = CopiesHead(LogisticHead()).fit(data)
    head = CopiesHead(LogisticHead()).settled(trained.details)
    assert head == CopiesHead(LogisticHead(c=trained.details["c"]))
    again = head.fit(data)
    np.testing.assert_array_equal(again.weights, trained.weights)
    assert again.details["c"] == trained.details["c"]
    assert "inner_log_loss" not in again.details


def test_with_a_head_per_network_a_background_has_no_say_of_its_own():
    with pytest.raises(HeadError, match="--join scores"):
        Recipe(HEAD, "scores", preparation=Preparation(reference="beside"))

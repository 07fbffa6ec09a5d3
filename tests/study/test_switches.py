"""Each switch of the as-published column changes what its sentence says, and nothing else."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from pseudorca.embedding.drawing import clip_pictures
from pseudorca.errors import PseudorcaError
from pseudorca.recordings.folds import STUDY_SEED
from pseudorca.study import tables
from pseudorca.study.as_published import (
    PublishedTuning,
    _Runner,
    curve_probabilities,
    positive_class,
    run_published,
)
from pseudorca.study.material import chosen_unknown, study_parts
from pseudorca.study.settings import (
    ALL,
    CONTINUED,
    FIRST_CLIP,
    MARGINS,
    NAMES,
    OVERWRITTEN,
    POSITIVE,
    SWITCHES,
    TORN,
    TRAINING_MODE,
    chosen_switches,
)
from pseudorca.study.training import Answers, NetworkInTrainingMode

NET = "shufflenet_v2_x0_5"


@pytest.fixture
def runner(networks) -> _Runner:
    networks.options = replace(networks.options, exact_training_mode=True)
    return _Runner(networks)


def test_switches_are_chosen_by_name():
    assert chosen_switches("all") == ALL
    assert chosen_switches("none") == frozenset()
    assert chosen_switches("first-clip, torn-encounters") == {FIRST_CLIP, TORN}
    assert chosen_switches("-wide-margins") == ALL - {MARGINS}
    with pytest.raises(PseudorcaError, match="Did you mean 'first-clip'"):
        chosen_switches("first-clips")
    assert len(SWITCHES) == len(ALL) == 7
    assert all(switch.done and switch.effect for switch in SWITCHES)


def test_torn_encounters_puts_them_and_their_moments_on_several_sides(material):
    torn = study_parts(material, frozenset({TORN}))
    whole = study_parts(material, frozenset())
    assert torn.n_torn_encounters > 0
    assert torn.n_torn_moments > 0
    assert (whole.n_torn_encounters, whole.n_torn_moments) == (0, 0)
    sides = [set(material.clips["encounter"].iloc[rows]) for rows in (whole.training, whole.test)]
    assert not sides[0] & sides[1]
    n = len(material.clips)
    assert (len(torn.training), len(torn.validation)) == (round(0.6 * n), round(0.2 * n))


def test_every_clip_is_in_one_part_whatever_the_switches(material):
    for switches in (frozenset(), frozenset({TORN})):
        parts = study_parts(material, switches)
        rows = np.concatenate([parts.training, parts.validation, parts.test])
        assert sorted(rows) == list(range(len(material.clips)))


def test_overwritten_pictures_loses_clips_of_one_name_within_a_class(material):
    parts = study_parts(material, frozenset({OVERWRITTEN, TORN}))
    kept = np.concatenate([parts.training, parts.validation, parts.test])
    paths = material.paths(material.clips)
    names = [(path.split("/")[0], path.split("/")[-1]) for path in paths]
    assert len(kept) == len(set(names)) == len(names) - parts.n_overwritten
    assert parts.n_overwritten == 8  # in each class, of three encounters, a name on two channels
    last = {name: row for row, name in sorted(enumerate(names), key=lambda e: paths[e[0]])}
    assert set(kept) == set(last.values())


def test_wide_margins_learns_from_wide_pictures_and_predicts_from_tight_ones(runner):
    on, off = frozenset({MARGINS}), frozenset()
    wide, tight = runner.network(NET, on), runner.network(NET, off)
    assert (wide.layout, tight.layout) == ("wide", "tight")
    clips = runner.material.clips.iloc[:1]
    ((_, picture),) = clip_pictures(clips, runner.material.recordings, wide.embedder)
    assert (picture[:20] == 255).all()  # 96 of 800 rows, at 224
    learned = runner.frozen(NET, on).learn(torch.arange(len(runner.material.clips)))
    parts = study_parts(runner.material, frozenset())
    final = runner.tune(runner.frozen(NET, on), parts, on).final
    unknown = chosen_unknown(runner.material, 2)
    told = runner.predict(runner.frozen(NET, on), final, unknown, on)
    _, seen = runner.networks.embedded(tight, unknown)
    np.testing.assert_allclose(
        told["probability"], np.exp(final.log_probabilities(seen).max(axis=1))
    )
    assert learned.shape == (len(runner.material.clips), final.layer["weight"].shape[1])


def test_training_mode_moves_statistics_and_makes_a_clip_depend_on_its_batch(runner):
    on = frozenset({TRAINING_MODE})
    source = runner.source(NET, on)
    assert isinstance(source, NetworkInTrainingMode)
    one, other = torch.arange(8), torch.tensor([0, 20, 21, 22, 23, 24, 25, 26])
    source.restore({}, 0)
    assert not source.statistics()
    alone = source.judge(one)
    assert torch.equal(alone, source.judge(one))
    assert not torch.allclose(source.learn(one)[0], source.learn(other)[0], atol=1e-6)
    moved = source.statistics()
    assert any("running_mean" in name for name in moved)
    assert not torch.allclose(source.judge(one), alone, atol=1e-6)
    source.restore({}, 0)
    assert torch.equal(source.judge(one), alone)
    source.restore(moved, 0)
    assert source.statistics().keys() == moved.keys()


def test_training_mode_off_leaves_the_network_as_pretrained(runner):
    on, off = (runner.network(NET, s) for s in (frozenset({TRAINING_MODE}), frozenset()))
    plain = runner.networks.network(NET, "tight", adapted=False)
    assert off.embedder_id == plain.embedder_id
    assert on.embedder.backbone.weights_hash != plain.embedder.backbone.weights_hash
    source = runner.source(NET, frozenset())
    rows = torch.arange(4)
    assert torch.equal(source.learn(rows), source.judge(rows))
    assert source.statistics() == {}


def test_a_network_without_batch_normalisation_is_left_as_pretrained_and_said_so(runner):
    found = runner.network("squeezenet1_1", frozenset({TRAINING_MODE}))
    plain = runner.networks.network("squeezenet1_1", "tight", adapted=False)
    assert found.embedder_id == plain.embedder_id
    assert "no batch normalisation" in runner.networks.not_adapted["squeezenet1_1"]


def test_continued_weights_begin_with_what_the_last_training_left(runner):
    parts = study_parts(runner.material, frozenset({TORN}))
    source = runner.frozen(NET, frozenset())
    on = runner.tune(source, parts, frozenset({CONTINUED}))
    off = runner.tune(source, parts, frozenset())
    chain = [on.weighted, *on.rates.values(), *on.momenta.values(), on.final]
    assert chain[0].settings["began"] == "fresh"
    for before, after in pairwise(chain):
        assert after.settings["began"] == before.key
    fresh = [off.weighted, *off.rates.values(), *off.momenta.values(), off.final]
    assert {training.settings["began"] for training in fresh} == {"fresh"}
    first_losses = [training.history[0]["loss"] for training in chain[1:-1]]
    assert not np.allclose(first_losses, [t.history[0]["loss"] for t in fresh[1:-1]])
    assert torch.equal(chain[0].layer["weight"], fresh[0].layer["weight"])


def test_first_clip_stands_for_its_batch_of_64():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 150)
    answers = Answers(rng.integers(0, 2, 150), np.log(np.stack([1 - p, p], axis=1)))
    on = curve_probabilities(answers, 1, frozenset({FIRST_CLIP}))
    np.testing.assert_allclose(on, np.repeat(p[[0, 64, 128]], [64, 64, 22]))
    np.testing.assert_allclose(curve_probabilities(answers, 1, frozenset()), p)


def test_positive_class_is_the_second_or_the_rarest():
    truth = np.array([0, 0, 1, 1, 1])
    assert positive_class(truth, frozenset({POSITIVE})) == 1
    assert positive_class(truth, frozenset()) == 0
    scores = np.log(np.full((5, 2), [0.1, 0.9]))  # everything is named the second class
    answers = Answers(truth, scores)
    assert answers.published(1)[1:] == (0.6, 1.0)
    assert answers.published(0)[1:] == (0.0, 0.0)
    assert answers.published(1).accuracy == answers.published(0).accuracy == answers.majority


def test_each_switch_is_measured_by_turning_it_off_alone(networks):
    found = run_published(networks, chosen_unknown(networks.material, 3))
    assert set(found.without) == set(NAMES) == set(found.switches)
    assert all(isinstance(tuning, PublishedTuning) for tuning in found.without.values())
    truth = networks.material.truth
    for moved in (TORN, OVERWRITTEN):  # another test part, as without the switch
        parts = study_parts(networks.material, ALL - {moved})
        np.testing.assert_array_equal(found.without[moved].test.truth, truth[parts.test])
    for same in (FIRST_CLIP, POSITIVE):  # these change what is told, not what is trained
        assert found.without[same].final.key == found.tuning.final.key
    for other in (TORN, OVERWRITTEN, MARGINS, TRAINING_MODE, CONTINUED):
        assert found.without[other].final.key != found.tuning.final.key
    rows = {row["switch"]: row for row in tables._switches(found, networks.material)}
    assert found.positive == 1
    assert rows[POSITIVE]["test_recall"] == found.tuning.test.published(0).recall
    assert len(found.unknown) == 3
    assert found.unknown["probability"].between(0.5, 1).all()
    assert found.tuning.final.settings["seed"] == STUDY_SEED

"""Laws of comparing: the same folds for all, honest words, and a choice that pays for itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pseudorca.compare.choosing import NESTED, Variant, compare, word
from pseudorca.errors import FoldError
from pseudorca.evaluation.encounter_accuracy import Estimate
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.forest import ForestHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.units import UNITS
from pseudorca.recordings.folds import Split, make_folds

ENCOUNTER = Split("encounter", n_folds=4, n_repeats=2)
HEAD = LogisticHead(c=0.1)


def survey(n_encounters=8, n_clips=3):
    rows = [
        (f"{label}/{encounter}/{clip}", f"{label}/{encounter}", label)
        for label in ("Insular", "Pelagic")
        for encounter in range(n_encounters)
        for clip in range(n_clips)
    ]
    table = pd.DataFrame(rows, columns=["clip_id", "encounter", "label"])
    clips = table.assign(
        recording_id="r " + table["clip_id"], moment_id="m " + table["clip_id"], start_s=0.0,
        end_s=1.0, metadata="{}", start_utc=pd.NaT, sample_rate=96_000, platform="P",
    )  # fmt: skip
    return clips, clips.rename(columns={"label": "truth"})


def hears(clips, strength, seed=0, width=4):
    """Embeddings that hold the label by so much, the encounter by 1, and noise."""
    rng = np.random.default_rng(seed)
    sign = np.where(clips["label"] == "Pelagic", 1.0, -1.0)
    code = clips["encounter"].astype("category").cat.codes.to_numpy()
    places = rng.standard_normal((code.max() + 1, width))
    vectors = places[code] + 0.3 * rng.standard_normal((len(clips), width))
    vectors[:, 0] += strength * sign
    return TrainingSet(
        vectors.astype(np.float32),
        clips["label"].to_numpy(object),
        clips["encounter"].to_numpy(object),
        clips["recording_id"].to_numpy(object),
    )


def rows_of(compared, unit="encounter"):
    return {row["variant"]: row for row in compared.rows if row["unit"] == unit}


@pytest.fixture(scope="module")
def found():
    clips, recordings = survey()
    sets = {"good": hears(clips, 4.0), "deaf": hears(clips, 0.0, seed=1, width=6)}
    variants = [
        Variant("good", ("good",), HEAD),
        Variant("deaf", ("deaf",), HEAD),
        Variant("both", ("good", "deaf"), HEAD),
        Variant("mean", ("good", "deaf"), HEAD, mean=True),
    ]
    return compare(sets, variants, clips, recordings, ENCOUNTER, reference="deaf")


def test_what_hears_the_label_is_better_than_what_does_not(found):
    rows = rows_of(found)
    assert rows["good"]["balanced_accuracy"] > 0.95
    assert rows["good"]["word"] == "better"
    assert rows["good"]["difference_low"] > 0
    assert rows["deaf"]["word"] is rows["deaf"]["difference"] is None
    difference = rows["good"]["balanced_accuracy"] - rows["deaf"]["balanced_accuracy"]
    assert rows["good"]["difference"] == pytest.approx(difference)


def test_every_unit_is_reported_for_every_variant_and_for_the_choice(found):
    for unit in UNITS:
        assert set(rows_of(found, unit)) == {"good", "deaf", "both", "mean", NESTED}
    assert sum(found.chosen.values()) == len(found.choices) == 8
    assert "deaf" not in found.chosen
    assert rows_of(found)[NESTED]["balanced_accuracy"] > 0.9


def test_the_choice_takes_only_what_it_may():
    clips, recordings = survey()
    sets = {"good": hears(clips, 4.0), "deaf": hears(clips, 0.0, seed=1)}
    variants = [Variant(name, (name,), HEAD) for name in sets]
    found = compare(
        sets, variants, clips, recordings, ENCOUNTER, reference="good", choose_among=["deaf"]
    )
    rows = rows_of(found)
    assert found.chosen == {"deaf": 8}
    assert rows[NESTED]["balanced_accuracy"] == rows["deaf"]["balanced_accuracy"]
    assert rows["good"]["balanced_accuracy"] > 0.95
    with pytest.raises(FoldError, match="nothing to choose among"):
        compare(sets, variants, clips, recordings, ENCOUNTER, reference="good", choose_among=[])


def test_a_single_variant_scores_as_it_does_alone_and_so_does_choosing_it():
    clips, recordings = survey()
    sets = {"one": hears(clips, 1.0)}
    variants = [Variant("one", ("one",), LogisticHead())]
    found = compare(sets, variants, clips, recordings, ENCOUNTER, reference="one")
    folds = make_folds(clips, recordings, ENCOUNTER)
    alone = cross_validate(replace(sets["one"], groups=folds.units), folds, LogisticHead())
    rows = rows_of(found, "clip")
    assert rows["one"]["log_loss"] == pytest.approx(rows[NESTED]["log_loss"])
    column = {label: k for k, label in enumerate(alone.classes)}
    truth = [column[label] for label in clips["label"]]
    scores = alone.log_probabilities[:, np.arange(len(truth)), truth]
    assert rows["one"]["log_loss"] == pytest.approx(-scores.mean())


def test_the_choice_hears_clips_as_often_as_the_test_does():
    clips, recordings = survey()
    clear = hears(clips, 6.0).vectors
    averaged = replace(hears(clips, 0.3), heard_again=np.stack([clear] * 4))
    sets = {"averaged": averaged, "fair": hears(clips, 1.0, seed=1)}
    variants = [Variant(name, (name,), HEAD) for name in sets]
    found = compare(sets, variants, clips, recordings, ENCOUNTER, reference="fair")
    rows = rows_of(found)
    assert rows["averaged"]["log_loss"] < rows["fair"]["log_loss"]
    assert found.chosen == {"averaged": 8}


def test_choosing_among_many_that_hear_nothing_gains_nothing():
    clips, recordings = survey(n_encounters=6, n_clips=2)
    best, chosen = [], []
    for seed in range(8):
        sets = {f"v{k}": hears(clips, 0.0, seed=100 * seed + k) for k in range(6)}
        variants = [Variant(name, (name,), HEAD) for name in sets]
        split = Split("encounter", n_folds=3, seed=seed)
        rows = rows_of(compare(sets, variants, clips, recordings, split, reference="v0"))
        chosen.append(rows.pop(NESTED)["balanced_accuracy"])
        best.append(max(row["balanced_accuracy"] for row in rows.values()))
    assert np.mean(best) > 0.6  # what the reader of a table would quote
    assert abs(np.mean(chosen) - 0.5) < 0.12


def test_the_choice_never_sees_the_test_side():
    clips, recordings = survey(n_encounters=4)
    sets = {"a": hears(clips, 0.5), "b": hears(clips, 0.5, seed=1)}
    variants = [Variant(name, (name,), HEAD) for name in sets]
    split = Split("leave-one-encounter-out")
    before = compare(sets, variants, clips, recordings, split, reference="a")
    last = clips["encounter"].to_numpy() == "Pelagic/3"
    spoilt = {name: replace(one, vectors=one.vectors.copy()) for name, one in sets.items()}
    for one in spoilt.values():
        one.vectors[last] = 30 * np.random.default_rng(0).standard_normal((3, 4))
    after = compare(spoilt, variants, clips, recordings, split, reference="a")
    # The last fold tests the last encounter: the only training that does not see it.
    assert len(before.choices) == 8
    assert before.choices[-1] == after.choices[-1]
    losses = [one.rows[0]["log_loss"] for one in (before, after)]
    assert losses[0] != losses[1]


def test_the_random_split_has_no_choice_and_calls_nothing_better():
    clips, recordings = survey()
    sets = {"good": hears(clips, 4.0), "deaf": hears(clips, 0.0, seed=1)}
    variants = [Variant(name, (name,), HEAD) for name in sets]
    found = compare(sets, variants, clips, recordings, Split("random"), reference="deaf")
    assert found.choices == []
    assert NESTED not in rows_of(found)
    assert {row["word"] for row in found.rows} == {None}


def test_heads_are_compared_like_embeddings():
    clips, recordings = survey()
    sets = {"one": hears(clips, 2.0)}
    variants = [Variant(h.name, ("one",), h) for h in (HEAD, ForestHead(n_trees=20))]
    found = compare(sets, variants, clips, recordings, ENCOUNTER, reference="logistic")
    assert set(rows_of(found)) == {"logistic", "forest", NESTED}


@pytest.mark.parametrize(
    ("low", "high", "n_groups", "expected"),
    [
        (0.01, 0.2, 8, "better"),
        (-0.2, -0.01, 8, "worse"),
        (-0.1, 0.1, 8, "no difference shown"),
        (0.0, 0.2, 8, "no difference shown"),
        (0.01, 0.2, 3, "too few encounters"),
        (-0.1, 0.1, 3, "no difference shown"),
    ],
)
def test_better_is_never_said_where_the_interval_holds_0(low, high, n_groups, expected):
    assert word(Estimate((low + high) / 2, low, high), n_groups) == expected


def test_nothing_to_compare_is_an_error():
    clips, recordings = survey()
    with pytest.raises(FoldError, match="nothing to compare"):
        compare({}, [], clips, recordings, ENCOUNTER, reference="x")

"""Sounds unlike anything in training stand out; a new encounter of the same animals does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pseudorca.learning import novelty
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.novelty import Novelty, fit_novelty, held_out_novelty
from pseudorca.recordings.folds import Split, make_folds


def survey(n_encounters: int, n_clips: int, *, seed: int, shift: float = 0.0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_encounters, 20)) + shift
    vectors = np.repeat(centres, n_clips, axis=0) + rng.standard_normal(
        (n_encounters * n_clips, 20)
    )
    names = np.repeat([f"encounter {k}" for k in range(n_encounters)], n_clips)
    return vectors.astype(np.float32), names.astype(object)


def fitted(vectors, encounters) -> Novelty:
    clips = np.array([str(k) for k in range(len(vectors))], dtype=object)
    return fit_novelty(vectors, encounters, {"clip": clips, "encounter": encounters})


def test_new_encounters_are_usual_and_other_sounds_are_not():
    vectors, encounters = survey(20, 15, seed=0)
    made = fitted(vectors, encounters)
    new = made.distances(survey(20, 15, seed=1)[0])
    assert 0.85 < np.mean(new <= made.usual["clip"]) < 0.995
    by_encounter = new.reshape(20, 15).mean(axis=1)
    assert np.mean(by_encounter <= made.usual["encounter"]) >= 0.8
    assert made.usual["encounter"] < made.usual["clip"]
    strange = made.distances(survey(5, 15, seed=2, shift=6)[0])
    assert (strange > made.usual["clip"]).all()


def test_it_survives_the_disk():
    vectors, encounters = survey(6, 10, seed=3)
    made = fitted(vectors, encounters)
    again = Novelty.from_arrays(made.arrays())
    assert again.usual == made.usual
    np.testing.assert_allclose(made.distances(vectors), again.distances(vectors))


def test_a_large_training_set_is_thinned_evenly(monkeypatch):
    monkeypatch.setattr(novelty, "MAX_REFERENCE", 60)
    vectors, encounters = survey(6, 50, seed=4)
    few = np.concatenate([vectors, survey(1, 3, seed=5)[0]])
    names = np.concatenate([encounters, np.array(["small"] * 3, dtype=object)])
    kept = novelty._even_sample(names, 60)
    counts = {name: int((names[kept] == name).sum()) for name in set(names)}
    assert sum(counts.values()) == 60
    assert counts.pop("small") == 3
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(fitted(few, names).reference) == 60


@pytest.mark.parametrize("n_clips", [2, 4])
def test_a_single_encounter_does_not_fail(n_clips):
    vectors, encounters = survey(1, n_clips, seed=6)
    made = fitted(vectors, encounters)
    assert np.isfinite(made.distances(vectors)).all()


def test_how_far_a_held_out_clip_is_depends_on_the_training_side_alone() -> None:
    vectors, encounters = survey(8, 6, seed=0)
    ids = np.array([f"c{k}" for k in range(len(vectors))], dtype=object)
    labels = np.where(np.repeat(np.arange(8), 6) % 2, "A", "B").astype(object)
    clips = pd.DataFrame(
        {"clip_id": ids, "recording_id": ids, "moment_id": ids, "encounter": encounters}
    ).assign(label=labels)
    recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
    folds = make_folds(clips, recordings, Split("encounter", n_folds=4, n_repeats=2))
    data, units = TrainingSet(vectors, labels, encounters, ids), {"encounter": encounters}
    before = held_out_novelty(data, folds, units)["encounter"]
    assert before.shape == folds.test_fold.shape
    assert np.isfinite(before).all()
    first, *others = np.flatnonzero(folds.test_fold[0] == 0)
    far = vectors.copy()
    far[others] += 100
    after = held_out_novelty(replace(data, vectors=far), folds, units)["encounter"]
    assert after[0, first] == before[0, first]
    assert (after[0, others] > before[0, others]).all()

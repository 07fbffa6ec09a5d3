"""Training sets and surveys, made up."""

import json

import numpy as np
import pandas as pd

from pseudorca.learning.dataset import TrainingSet


def make_set(n=120, d=20, n_classes=3, shift=2.0, seed=0, imbalance=None):
    """Clouds of vectors, one for each class; classes have up to five encounters."""
    rng = np.random.default_rng(seed)
    share = imbalance or [1 / n_classes] * n_classes
    actual = rng.choice(n_classes, size=n, p=share)
    actual[:n_classes] = range(n_classes)
    centres = rng.standard_normal((n_classes, d))
    vectors = shift * centres[actual] / np.sqrt(d) * 3 + rng.standard_normal((n, d))
    names = np.array(["a", "b", "c", "d"], dtype=object)
    groups = np.array([f"{names[k]}{i % 5}" for i, k in enumerate(actual)], dtype=object)
    recordings = np.array([f"r{i}" for i in range(n)], dtype=object)
    return TrainingSet(vectors.astype(np.float32), names[actual], groups, recordings)


def survey(n_encounters=12, n_per=8, d=16, population=0.0, encounter=0.0, seed=0):
    """Embeddings as population + encounter + clip effects, with their tables."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((2, d)) * population
    rows, vectors = [], []
    for e in range(n_encounters):
        label = e % 2
        own = rng.standard_normal(d) * encounter
        for k in range(n_per):
            rows.append((f"c{e}.{k}", f"r{e}.{k}", f"m{e}.{k}", ["A", "B"][label], f"E{e}"))
            vectors.append(centres[label] + own + rng.standard_normal(d))
    clips = pd.DataFrame(
        rows, columns=["clip_id", "recording_id", "moment_id", "label", "encounter"]
    )
    clips[["start_s", "end_s"]] = 0.0, 3.0
    recordings = clips[["recording_id", "label", "encounter"]].copy()
    recordings["moment_id"] = clips["moment_id"]
    recordings["metadata"] = json.dumps({})
    data = TrainingSet(
        np.array(vectors, dtype=np.float32),
        clips["label"].to_numpy(dtype=object),
        clips["encounter"].to_numpy(dtype=object),
        clips["recording_id"].to_numpy(dtype=object),
    )
    return clips, recordings, data

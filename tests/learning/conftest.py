"""Training sets, made up."""

import numpy as np

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

"""A random forest: grown by scikit-learn, saved as arrays."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from pseudorca.learning.dataset import Floats, Ints, TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Balance,
    Head,
    Space,
    TrainedHead,
    check_settings,
    check_width,
    class_numbers,
    classes_of,
    is_count,
    recording_weights,
)


@dataclass
class TrainedForest(TrainedHead):
    """Trees, one after the other: a clip goes left at a node if ``feature`` is at most ``threshold``.

    One more tree of uniform probabilities keeps every probability above 0.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> trained = ForestHead(n_trees=3).fit(data)
    >>> trained.roots.shape, trained.shares.shape[1]
    ((3,), 2)
    """

    kind: ClassVar[str] = "forest"

    roots: Ints
    """[shape=(n_trees,)], the first node of each tree"""
    left: Ints
    """[shape=(n_nodes,)], the node to the left; a leaf points to itself"""
    right: Ints
    feature: Ints
    threshold: Floats
    shares: Floats
    """[shape=(n_nodes, n_classes)], class shares among the training clips at the node"""
    width: Ints
    """[shape=(1,)], dimensions of an embedding"""

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score embeddings; see :meth:`TrainedHead.log_probabilities`."""
        check_width(vectors, int(self.width[0]))
        x = np.asarray(vectors, dtype=np.float32)  # as scikit-learn compares
        rows = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        while (self.left[node] != node).any():
            goes_left = x[rows, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        total = self.shares[node].sum(axis=1) + 1 / len(self.classes)
        return np.asarray(np.log(total / (len(self.roots) + 1)))


@dataclass(frozen=True)
class ForestHead(Head):
    """Random forest [1]_; each recording weighs once.

    References
    ----------
    .. [1] Breiman 2001, "Random forests", Machine Learning 45:5.

    Examples
    --------
    >>> labels = np.array(list("aabb"), dtype=object)
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> data = TrainingSet(vectors, labels, labels, np.arange(4).astype(object))
    >>> ForestHead(n_trees=10).fit(data).log_probabilities(vectors).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """

    name: ClassVar[str] = "forest"
    title: ClassVar[str] = "random forest"
    space: ClassVar[Space] = {"min_leaf": (1, 3, 10), "features_share": (0.02, 0.1, 0.3)}

    n_trees: int = 500
    min_leaf: int = 1
    """Least number of clips in a leaf."""
    features_share: float | None = None
    """Share of the dimensions from which a split chooses; None: the square root of their number."""
    balance: Balance = "weights"
    """``weights``: each class weighs the same; ``none``: a class weighs as many as its recordings."""
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self, ("n_trees", "min_leaf"), is_count, "at least 1")
        if self.features_share is not None:
            check_settings(self, ("features_share",), lambda x: 0 < x <= 1, "more than 0, up to 1")

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedForest:
        """Train. HeadError if there are fewer than two classes."""
        classes = classes_of(data.labels)
        grown = RandomForestClassifier(
            n_estimators=round(self.n_trees),
            min_samples_leaf=round(self.min_leaf),
            max_features=self.features_share or "sqrt",
            random_state=self.seed,
        ).fit(
            data.vectors,
            class_numbers(data.labels, classes),
            sample_weight=recording_weights(data, self.balance),
        )
        trees = [estimator.tree_ for estimator in grown.estimators_]
        sizes = [tree.node_count for tree in trees]
        roots = np.cumsum([0, *sizes])[:-1]
        node, root = np.arange(sum(sizes)), np.repeat(roots, sizes)

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(tree, name) for tree in trees])

        left, right = joined("children_left"), joined("children_right")
        values = joined("value")[:, 0, :]
        return TrainedForest(
            classes,
            roots,
            np.where(left < 0, node, left + root),
            np.where(right < 0, node, right + root),
            np.maximum(joined("feature"), 0),
            joined("threshold"),
            values / values.sum(axis=1, keepdims=True),
            np.array([data.vectors.shape[1]]),
            details={"n_clips": len(data.labels), "n_nodes": len(node)},
        )

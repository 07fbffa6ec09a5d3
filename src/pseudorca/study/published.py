"""What the original study printed, and what follows from it.

The numbers are those of its tables (2024, false killer whales of Hawaii, 564 clips in validation and
as many in the test). Rows of a confusion matrix are the truth, Insular then Pelagic. From a matrix
follow accuracy, precision and recall; from a printed row follow the matrices that could have given it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

CLASSES = ("Insular", "Pelagic")
POSITIVE = 1
"""The column whose precision and recall the study printed: Pelagic."""

RATES = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1)
MOMENTA = (0.90, 0.95, 0.97, 0.99)
"""The settings of Table 4.3, in its order."""

NETWORKS = ("resnet18", "densenet121", "googlenet", "efficientnet_v2_s")
"""The networks of Table 4.1, by torchvision's names; the first is the one that was tuned."""


class Scores(NamedTuple):
    """What the study printed of a model."""

    accuracy: float
    precision: float
    recall: float


@dataclass(frozen=True)
class PrintedRow:
    """A row of the study's tables, and the confusion matrix it printed for it, if any."""

    table: str
    what: str
    side: str
    n_insular: int
    n_pelagic: int
    printed: Scores
    confusion: tuple[tuple[int, int], tuple[int, int]] | None = None


PRINTED = (
    PrintedRow("4.1", "ResNet-18", "validation", 75, 489, Scores(0.9238, 0.9273, 0.9918),
               ((37, 38), (4, 485))),
    PrintedRow("4.1", "DenseNet-121", "validation", 75, 489, Scores(0.9149, 0.9122, 0.9980)),
    PrintedRow("4.1", "GoogLeNet", "validation", 75, 489, Scores(0.8759, 0.8748, 1.0)),
    PrintedRow("4.1", "EfficientNetV2-S", "validation", 75, 489, Scores(0.8670, 0.8670, 1.0),
               ((0, 75), (0, 489))),
    PrintedRow("4.2", "ResNet-18, weighted sampler", "validation", 75, 489,
               Scores(0.9078, 0.9700, 0.9223), ((61, 14), (38, 451))),
    PrintedRow("4.5", "ResNet-18, learning rate 0.01", "validation", 75, 489,
               Scores(0.9486, 0.9617, 0.9755)),
    PrintedRow("4.4", "final model", "test", 74, 490, Scores(0.9309, 0.9483, 0.9735),
               ((48, 26), (13, 477))),
)  # fmt: skip

RATE_ACCURACIES = (0.9131, 0.9291, 0.9450, 0.9486, 0.9433, 0.9220)
MOMENTUM_ACCURACIES = (0.9415, 0.9486, 0.9486, 0.9468)
"""Table 4.3, in the order of ``RATES`` and ``MOMENTA``."""

_LAST_PLACE = 1.001e-4


def scores_of(confusion: ArrayLike, positive: int = POSITIVE) -> Scores:
    """Accuracy, and precision and recall of one class, from a confusion matrix.

    Parameters
    ----------
    confusion : array [shape=(2, 2)] or larger, counts; rows are the truth
    positive : int, the class whose precision and recall are meant

    Returns
    -------
    Scores
        Precision is 0 where the class was never named; NaN where there is nothing to count.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    right = counts[positive, positive]
    said, true = counts[:, positive].sum(), counts[positive].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return Scores(
            float(np.trace(counts) / counts.sum()),
            float(right / said) if said else 0.0,
            float(right / true),
        )


def balanced_accuracy(confusion: ArrayLike) -> float:
    """Mean over the classes that are there of the share that was named rightly."""
    counts = np.asarray(confusion, dtype=np.float64)
    there = counts.sum(axis=1) > 0
    return float((np.diag(counts)[there] / counts.sum(axis=1)[there]).mean())


def recall_interval(n_right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's formula, as if clips were independent (they are not)."""
    found = scipy.stats.binomtest(n_right, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def matrices_behind(row: PrintedRow) -> list[tuple[int, int]]:
    """All (Insular right, Pelagic right) that give a printed row; none: the row contradicts itself.

    Printed figures may miss what they stand for, rounded, by one in the fourth place.
    """
    near = [_near(found, told) for found, told in zip(_every(row), row.printed, strict=True)]
    return [(int(i), int(p)) for i, p in np.argwhere(np.logical_and.reduce(near))]


def accuracies_behind(row: PrintedRow) -> list[float]:
    """The accuracies that go with a row's precision and recall, whatever accuracy it prints."""
    accuracy, precision, recall = _every(row)
    near = _near(precision, row.printed.precision) & _near(recall, row.printed.recall)
    return sorted(float(value) for value in np.unique(accuracy[near]))


def _every(row: PrintedRow) -> tuple[NDArray[np.float64], ...]:
    """Accuracy, precision, recall of every matrix [shape=(n_insular + 1, n_pelagic + 1)]."""
    insular = np.arange(row.n_insular + 1.0)[:, np.newaxis]
    pelagic = np.arange(row.n_pelagic + 1.0)
    said = np.maximum(row.n_insular - insular + pelagic, 1)
    accuracy = (insular + pelagic) / (row.n_insular + row.n_pelagic)
    recall = np.broadcast_to(pelagic / row.n_pelagic, accuracy.shape)
    return accuracy, pelagic / said, recall


def _near(found: NDArray[np.float64], printed: float) -> NDArray[np.bool_]:
    return np.abs(found.round(4) - printed) < _LAST_PLACE

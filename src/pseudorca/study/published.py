"""The printed numbers of the original study, and their consequences.

The numbers are those of its tables (2024, false killer whales of Hawaii, 564 clips in validation and
564 clips in the test). Rows of a confusion matrix are the truth, Insular then Pelagic. A matrix gives
accuracy, precision and recall. A printed row gives the matrices that fit the row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

POSITIVE = 1
"""The class of the printed precision and recall: Pelagic."""

RATE_ACCURACIES = {
    0.0005: 0.9131, 0.001: 0.9291, 0.005: 0.9450, 0.01: 0.9486, 0.05: 0.9433, 0.1: 0.9220
}  # fmt: skip
MOMENTUM_ACCURACIES = {0.90: 0.9415, 0.95: 0.9486, 0.97: 0.9486, 0.99: 0.9468}
"""Table 4.3, in its order: the printed accuracies by learning rate and by momentum."""

NETWORKS = ("resnet18", "densenet121", "googlenet", "efficientnet_v2_s")
"""The networks of Table 4.1, by the names of torchvision. The first network was tuned."""


class Scores(NamedTuple):
    """The scores that the study printed for a model.

    Examples
    --------
    >>> Scores(0.93, 0.95, 0.97).recall
    0.97
    """

    accuracy: float
    precision: float
    recall: float


@dataclass(frozen=True)
class PrintedRow:
    """A row of the tables of the study, with the printed confusion matrix or None.

    Examples
    --------
    >>> PrintedRow("4.1", "GoogLeNet", "validation", 75, 489, Scores(0.8759, 0.8748, 1.0)).side
    'validation'
    """

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

_LAST_PLACE = 1.001e-4


def scores_of(confusion: ArrayLike, positive: int = POSITIVE) -> Scores:
    """Compute accuracy, and precision and recall of one class, from a confusion matrix.

    Parameters
    ----------
    confusion : array [shape=(2, 2)] or larger, counts; rows are the truth
    positive : int, the class of precision and recall

    Returns
    -------
    Scores
        Precision is 0 if the class was never predicted. Recall is NaN if the class has no clips.

    Examples
    --------
    >>> scores_of([[1, 1], [0, 2]])
    Scores(accuracy=0.75, precision=0.6666666666666666, recall=1.0)
    """
    counts = np.asarray(confusion, dtype=np.float64)
    right = counts[positive, positive]
    n_predicted, n_true = counts[:, positive].sum(), counts[positive].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return Scores(
            float(np.trace(counts) / counts.sum()),
            float(right / n_predicted) if n_predicted else 0.0,
            float(right / n_true),
        )


def balanced_accuracy(confusion: ArrayLike) -> float:
    """Compute the mean recall over the classes with clips.

    Parameters
    ----------
    confusion : array [shape=(n_classes, n_classes)], counts; rows are the truth

    Returns
    -------
    float

    Examples
    --------
    >>> balanced_accuracy([[1, 1], [0, 2]])
    0.75
    """
    counts = np.asarray(confusion, dtype=np.float64)
    has_clips = counts.sum(axis=1) > 0
    return float((np.diag(counts)[has_clips] / counts.sum(axis=1)[has_clips]).mean())


def recall_interval(n_right: int, n: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share by Wilson's formula.

    The formula assumes independent clips, but clips of one encounter are not independent.

    Parameters
    ----------
    n_right, n : int

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> [round(end, 2) for end in recall_interval(8, 10)]
    [0.49, 0.94]
    """
    wilson = scipy.stats.binomtest(n_right, n).proportion_ci(method="wilson")
    return float(wilson.low), float(wilson.high)


def matrices_behind(row: PrintedRow) -> list[tuple[int, int]]:
    """Find all confusion matrices that give a printed row.

    A printed number may differ by one in the fourth decimal place. No matrix fits a row that
    contradicts itself.

    Parameters
    ----------
    row : PrintedRow

    Returns
    -------
    list of (Insular right, Pelagic right), counts

    Examples
    --------
    >>> matrices_behind(PRINTED[4])
    [(61, 451)]
    """
    near = [
        _near(values, printed) for values, printed in zip(_every(row), row.printed, strict=True)
    ]
    return [(int(i), int(p)) for i, p in np.argwhere(np.logical_and.reduce(near))]


def accuracies_behind(row: PrintedRow) -> list[float]:
    """Find the accuracies that fit the precision and the recall of a row, without its accuracy.

    Parameters
    ----------
    row : PrintedRow

    Returns
    -------
    list of float

    Examples
    --------
    >>> [round(accuracy, 4) for accuracy in accuracies_behind(PRINTED[0])]
    [0.9255]
    """
    accuracy, precision, recall = _every(row)
    near = _near(precision, row.printed.precision) & _near(recall, row.printed.recall)
    return sorted(float(value) for value in np.unique(accuracy[near]))


def study_numbers() -> list[dict[str, Any]]:
    """List the printed numbers of the study, and numbers from its confusion matrices.

    Returns
    -------
    list of dict, rows of a table

    Examples
    --------
    >>> study_numbers()[0]["model"]
    'ResNet-18'
    """
    rows = []
    for row in PRINTED:
        possible = matrices_behind(row)
        entry: dict[str, Any] = {
            "table": row.table, "model": row.what, "side": row.side,
            **{f"printed_{name}": value for name, value in row.printed._asdict().items()},
            "possible": bool(possible),
            "accuracy_of_precision_and_recall": next(iter(accuracies_behind(row)), None),
            "majority_accuracy": row.n_pelagic / (row.n_insular + row.n_pelagic),
        }  # fmt: skip
        confusion: Any = row.confusion
        if confusion is None and len(possible) == 1:
            insular, pelagic = possible[0]
            confusion = [[insular, row.n_insular - insular], [row.n_pelagic - pelagic, pelagic]]
        if confusion is not None:
            entry |= scores_of(confusion)._asdict() | {
                "insular_recall": scores_of(confusion, 0).recall,
                "balanced_accuracy": balanced_accuracy(confusion),
            }
        rows.append(entry)
    return rows


def contradictions(rows: Iterable[Mapping[Any, Any]]) -> list[str]:
    """List contradictions between the printed numbers of the study.

    Parameters
    ----------
    rows : list of rows, as :func:`study_numbers` returns

    Returns
    -------
    list of str

    Examples
    --------
    >>> contradictions(study_numbers())[-1]
    'EfficientNetV2-S names every clip Pelagic: accuracy and precision .8670, recall 1.'
    """
    by_model = {row["model"]: row for row in rows}
    resnet, best = by_model["ResNet-18"], by_model["ResNet-18, learning rate 0.01"]
    final = by_model["final model"]
    return [
        f"ResNet-18 stands with accuracy {resnet['printed_accuracy']:.4f} in Table 4.1 and .9256 "
        f"elsewhere; its confusion matrix gives {resnet['accuracy']:.4f}.",
        f"The best learning rate's row prints {best['printed_accuracy']:.4f} / "
        f"{best['printed_precision']:.4f} / {best['printed_recall']:.4f}. No confusion matrix of 75 "
        "and 489 clips has all three: this precision with this recall means accuracy "
        f"{best['accuracy_of_precision_and_recall']:.4f}, which Table 4.3 prints for rate 0.005.",
        f"The final model has {final['printed_accuracy']:.4f} in the table and .9389 in the text; its "
        f"confusion matrix gives {final['accuracy']:.4f}.",
        "The majority class is given as 86.7 % and 87.6 %; it is "
        f"{100 * resnet['majority_accuracy']:.1f} % in validation and "
        f"{100 * final['majority_accuracy']:.1f} % in the test.",
        "Text and table axes call Insular positive; precision and recall are Pelagic's. For Insular, "
        f"recall in the test is 48 of 74 = {final['insular_recall']:.2f}, and balanced accuracy "
        f"{final['balanced_accuracy']:.2f}.",
        "Training pictures are saved without the tight margin in the listing (1200 x 800), and are "
        "950 x 636 in the text.",
        "EfficientNetV2-S names every clip Pelagic: accuracy and precision .8670, recall 1.",
    ]


def _every(row: PrintedRow) -> tuple[NDArray[np.float64], ...]:
    """Accuracy, precision and recall of all matrices [shape=(n_insular + 1, n_pelagic + 1)]."""
    insular = np.arange(row.n_insular + 1.0)[:, np.newaxis]
    pelagic = np.arange(row.n_pelagic + 1.0)
    n_predicted = np.maximum(row.n_insular - insular + pelagic, 1)
    accuracy = (insular + pelagic) / (row.n_insular + row.n_pelagic)
    recall = np.broadcast_to(pelagic / row.n_pelagic, accuracy.shape)
    return accuracy, pelagic / n_predicted, recall


def _near(values: NDArray[np.float64], printed: float) -> NDArray[np.bool_]:
    return np.abs(values.round(4) - printed) < _LAST_PLACE

"""Pseudo-labels: a head also learns from unlabelled sounds that it names with high probability.

In: a head, the labelled training side, and the unlabelled clips of the project. The head is trained on
the labelled clips. Unlabelled moments that the head names with enough probability join the training
under that name. The head is then trained once more (or several times). Out: a trained head.

Only labelled clips are tested. The test side stays unknown to the head: an unlabelled clip is left out
if the clip shares its encounter, its moment or the group of the split with a labelled clip that is not
on the training side.

References
----------
.. [1] Lee 2013, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural
   networks", ICML workshop on challenges in representation learning.
.. [2] Scudder 1965, "Probability of error of some adaptive pattern-recognition machines", IEEE Trans.
   Inf. Theory 11: an early form. A model learns its own confident errors, too.
"""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.special

from pseudorca.errors import FoldError, HeadError
from pseudorca.learning.dataset import Floats, Ints, Names, TrainingSet, Vectors
from pseudorca.learning.heads.base import TrainedHead, WrappingHead, fit_head
from pseudorca.recordings.folds import Split, group_values
from pseudorca.store import Store

_ENCOUNTER, _MOMENT = 0, 1  # columns of the origins of clips


@dataclass(frozen=True)
class Unlabelled:
    """Unlabelled clips with their embeddings, and their relation to the labelled clips.

    ``vectors`` [shape=(n_clips, n_dimensions)]. ``origins`` [shape=(n_clips, n_kinds)]: the encounter,
    the moment and the group of each clip; none may be on a test side. ``labelled_origins``: the same
    for all labelled clips.

    Examples
    --------
    >>> origins = np.array([["e1", "m1"], ["e2", "m2"]], dtype=object)
    >>> labelled_origins = np.array([["e8", "m8"], ["e2", "m9"]], dtype=object)
    >>> unlabelled = Unlabelled(np.zeros((2, 3), np.float32), origins, labelled_origins)
    >>> labels = np.array(["A"], dtype=object)
    >>> trained_on = TrainingSet(np.zeros((1, 3), np.float32), labels, labels,
    ...                          np.array(["m8"], dtype=object))
    >>> unlabelled.allowed(trained_on).tolist()
    [0]
    """

    vectors: Vectors
    origins: Names
    labelled_origins: Names

    def allowed(self, data: TrainingSet) -> Ints:
        """Rows [shape=(n,)] without a common origin with the labelled clips outside a training side."""
        trained_on = set(data.recordings)
        outside = [moment not in trained_on for moment in self.labelled_origins[:, _MOMENT]]
        banned = [set(kind) for kind in self.labelled_origins[outside].T]
        kept = [not any(map(set.__contains__, banned, own)) for own in self.origins]
        return np.flatnonzero(kept)


@dataclass(frozen=True)
class PseudoLabels:
    """Which unlabelled moments join the training, and with which weight.

    Raises
    ------
    HeadError
        If a value is outside its range.

    Examples
    --------
    >>> PseudoLabels(weight=0.4).settings()["weight"]
    0.5
    """

    min_probability: float = 0.9
    """A moment joins the training if the head gives one class at least this probability. The
    probability is not calibrated; it comes from the mean log-probability of the moment's clips."""
    n_rounds: int = 1
    """Times that the unlabelled moments are named anew and the head is trained anew."""
    weight: float = 1.0
    """Weight of a moment that joined, relative to a labelled moment: 1, 1/2, 1/3 and so on. Other
    values are rounded to the nearest of these."""

    def __post_init__(self) -> None:
        if not 0 < self.min_probability < 1:
            raise HeadError(
                f"--pseudo-labels {self.min_probability:g}: expected a probability of more than 0 "
                "and less than 1, such as 0.9."
            )
        if self.n_rounds < 1 or not 0 < self.weight <= 1:
            raise HeadError(
                f"--pseudo-rounds {self.n_rounds}, --pseudo-weight {self.weight:g}: expected "
                "one round or more, and a weight of more than 0 and at most 1."
            )

    @property
    def n_as_one(self) -> int:
        """Moments that weigh as much as one labelled moment."""
        return max(1, round(1 / self.weight))

    def settings(self) -> dict[str, Any]:
        """The values as they are applied: ``weight`` is rounded."""
        return asdict(self) | {"weight": 1 / self.n_as_one}


@dataclass(frozen=True)
class PseudoLabelHead(WrappingHead):
    """A head that also learns from unlabelled moments that it names with high probability.

    Raises
    ------
    HeadError
        If the head chooses its epoch, or learns how frequent the classes are.

    Examples
    --------
    >>> from pseudorca.learning.heads.logistic import LogisticHead
    >>> PseudoLabelHead(LogisticHead(c=1.0), PseudoLabels(0.8)).describe().split(", ")[-1]
    'with pseudo-labels from a probability of 0.8'
    """

    name: ClassVar[str] = "pseudo-labels"

    pseudo_labels: PseudoLabels = PseudoLabels()
    unlabelled: Unlabelled | None = None

    def __post_init__(self) -> None:
        if self.head.plain.chooses_epoch:
            raise HeadError(
                f"the {self.head.plain.name} head chooses its epoch on clips kept aside, which "
                "pseudo-labels must not be: use another head with --pseudo-labels."
            )
        if self.balance == "none":
            raise HeadError(
                "without balance the head learns how frequent classes are, and moments that join "
                "change the frequencies: use --balance weights with --pseudo-labels."
            )

    def settings(self) -> dict[str, Any]:
        """The settings of the wrapped head, and those of the pseudo-labels."""
        return self.head.settings() | {"pseudo_labels": self.pseudo_labels.settings()}

    def describe(self) -> str:
        """How the head is trained, in words."""
        least = self.pseudo_labels.min_probability
        return f"{self.head.describe()}, with pseudo-labels from a probability of {least:g}"

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train, name the unlabelled moments, train again; settings are chosen on labelled clips.

        ``details["pseudo_labels"]`` counts the candidate moments, and the moments that joined by class.

        Raises
        ------
        HeadError
            If there are fewer than two classes, or no unlabelled clips were given.
        """
        if self.unlabelled is None:
            raise HeadError("pseudo-labels need the unlabelled clips of a project.")
        trained = fit_head(self.head, data)
        details = trained.details
        head = self.head.settled(details)
        rows = self.unlabelled.allowed(data)
        moments = self.unlabelled.origins[rows, _MOMENT]
        counts: dict[str, Any] = {"n_moments": len(set(moments)), "joined": {}}
        for _ in range(self.pseudo_labels.n_rounds if len(rows) else 0):
            scores = trained.log_probabilities(self.unlabelled.vectors[rows])
            name_of_moment = self._confident(trained.classes, scores, moments)
            counts["joined"] = dict(sorted(Counter(name_of_moment.values()).items()))
            if not name_of_moment:
                break
            trained = fit_head(
                head, data.plus(self._joining(self.unlabelled, rows, name_of_moment))
            )
        return replace(trained, details=details | {"pseudo_labels": counts})

    def _confident(self, classes: list[str], scores: Floats, moments: Names) -> dict[object, str]:
        """Names of the moments that the head names with enough probability."""
        means = pd.DataFrame(scores).groupby(moments, sort=True).mean()
        named = scipy.special.log_softmax(means.to_numpy(), axis=1)
        best, highest = named.argmax(axis=1), named.max(axis=1)
        return {
            moment: classes[best[k]]
            for k, moment in enumerate(means.index)
            if highest[k] >= np.log(self.pseudo_labels.min_probability)
        }

    def _joining(
        self, unlabelled: Unlabelled, rows: Ints, name_of_moment: dict[object, str]
    ) -> TrainingSet:
        """The moments that join the training side, under their names.

        Every recording weighs once in training. For a lower weight, several moments of one encounter
        and name are joined to one recording.
        """
        rows = rows[[moment in name_of_moment for moment in unlabelled.origins[rows, _MOMENT]]]
        place: dict[tuple[object, str], dict[object, int]] = {}
        labels, groups, recordings = [], [], []
        for encounter, moment in unlabelled.origins[rows][:, [_ENCOUNTER, _MOMENT]]:
            label = name_of_moment[moment]
            of_kind = place.setdefault((encounter, label), {})
            number = of_kind.setdefault(moment, len(of_kind)) // self.pseudo_labels.n_as_one
            labels.append(label)
            groups.append(f"named {encounter}")
            recordings.append(f"named {label} {encounter} {number}")
        return TrainingSet(
            unlabelled.vectors[rows],
            np.array(labels, dtype=object),
            np.array(groups, dtype=object),
            np.array(recordings, dtype=object),
        )


def unlabelled_clips(
    labelled: pd.DataFrame,
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    store: Store,
    embedder_id: str,
    split: Split,
) -> Unlabelled:
    """Read the unlabelled clips of a project, and their relation to the labelled clips.

    Parameters
    ----------
    labelled : DataFrame, rows of ``clips`` as from ``labelled_clips``
    clips, recordings : DataFrame, the tables of these names
    store : Store
    embedder_id : str
    split : Split, whose groups stay whole

    Returns
    -------
    Unlabelled

    Raises
    ------
    HeadError
        If there are no unlabelled clips with an embedding.
    """
    others = clips[clips["label"].isna()]
    there = others["clip_id"].isin(store.embedded(embedder_id, others["clip_id"].tolist()))
    others = others[there].reset_index(drop=True)
    if others.empty:
        raise HeadError(
            "the project has no unlabelled clips to learn from: put recordings into a folder called "
            "Unknown, scan and embed again, or leave out --pseudo-labels."
        )
    moment_of = dict(zip(recordings["recording_id"], recordings["moment_id"], strict=True))

    def origins(of_clips: pd.DataFrame) -> Names:
        encounters = of_clips["encounter"].to_numpy(dtype=object)
        moments = np.array([moment_of[name] for name in of_clips["recording_id"]], dtype=object)
        try:
            groups = group_values(of_clips, recordings, split.group_by).to_numpy(dtype=object)
        except FoldError:  # a column that only labelled recordings have
            groups = encounters
        return np.stack([encounters, moments, groups], axis=1)

    vectors = store.vectors(embedder_id, others["clip_id"].tolist())
    return Unlabelled(vectors, origins(others), origins(labelled))

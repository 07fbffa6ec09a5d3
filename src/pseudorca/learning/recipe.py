"""A recipe: everything that makes two classifiers alike, apart from the recordings.

In: a head and what is done around it. Out: a :class:`Recipe`, which fits, says in words what it does,
gives back what is typed on the command line for it, and has an id.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pseudorca.errors import HeadError, unknown_name
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.from_copies import CopiesHead
from pseudorca.learning.heads.base import Head, TrainedHead, fit_head
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import MeanHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.preparation import PLAIN, Preparation
from pseudorca.learning.pseudo_labels import PseudoLabelHead, PseudoLabels, Unlabelled
from pseudorca.learning.tuning import TunedHead, Tuning
from pseudorca.values import hash_of

Join = Literal["embeddings", "scores"]

_OPTIONS = {
    "balance": "--balance",
    "c": "--c",
    "learning_rate": "--learning-rate",
    "momentum": "--momentum",
    "n_epochs": "--epochs",
    "seed": "--seed",
}


@dataclass(frozen=True)
class Recipe:
    """How a classifier is made from the labelled clips of a project.

    Parameters
    ----------
    head : Head
        The small classifier on embeddings
    join : ``embeddings`` or ``scores``
        Where several networks stand side by side: one head on all of their embeddings, or a head
        each and the mean of their scores
    tuning : Tuning or None
        Choose settings of the head in inner folds
    preparation : Preparation
        What is made of embeddings first: altered copies, the clip's own background, centring
    pseudo_labels : PseudoLabels or None
        Learn from unlabelled clips, too
    embedders : tuple of str
        Names of embedders that the project has used (several stand side by side); empty: what the
        last ``embed`` used

    Raises
    ------
    HeadError
        If two parts do not go together.

    Examples
    --------
    >>> recipe = Recipe(head=LogisticHead(c=0.1), preparation=Preparation(centre="platform"))
    >>> recipe.describe()
    'logistic regression (C = 0.1, classes weighted equally); embeddings centred by platform'
    >>> recipe.arguments()
    ' --c 0.1 --prepare centre=platform'
    """

    head: Head = field(default_factory=LogisticHead)
    join: Join = "embeddings"
    tuning: Tuning | None = None
    preparation: Preparation = PLAIN
    pseudo_labels: PseudoLabels | None = None
    embedders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.join not in get_args(Join):
            raise HeadError(unknown_name("way to join networks", self.join, get_args(Join)))
        if self.tuning:
            self.tuning.tried(self.head)
        if self.head.trains_network:
            self._check_that_network_can_be_trained()
        if self.pseudo_labels and self.preparation != PLAIN:
            raise HeadError(
                "--pseudo-labels are given to embeddings as they are: leave out --prepare, or "
                "--pseudo-labels."
            )
        if self.join == "scores" and self.preparation.reference == "beside":
            raise HeadError(
                "with --join scores a clip's background beside it would have a head, and a say, of "
                "its own. Use --prepare reference=minus, or --join embeddings."
            )
        self._judged()  # what goes together is checked by the heads, too

    def fit(self, data: TrainingSet) -> TrainedHead:
        """Train on labelled clips.

        Parameters
        ----------
        data : TrainingSet
            Prepared as the recipe says (:func:`pseudorca.learning.preparation.prepared_set`)

        Returns
        -------
        TrainedHead

        Raises
        ------
        HeadError
            If there are fewer than two classes, or the head takes more than a training set
            (unlabelled clips, the network itself): then :meth:`pseudorca.Project.train` fits it.

        Examples
        --------
        >>> import numpy as np
        >>> names = np.array(["a", "a", "b", "b"], dtype=object)
        >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
        >>> recordings = np.arange(4).astype(object)
        >>> data = TrainingSet(vectors, names, names, recordings)
        >>> trained = Recipe(head=LogisticHead(c=1.0)).fit(data)
        >>> trained.classes, trained.log_probabilities(vectors).shape
        (['a', 'b'], (4, 2))
        """
        return fit_head(self.trainer(), data)

    def trainer(
        self,
        *,
        head: Head | None = None,
        unlabelled: Unlabelled | None = None,
        storage: Path | None = None,
    ) -> Head:
        """The head with everything around it that the recipe says.

        Parameters
        ----------
        head : Head or None
            In place of the recipe's: the same with what it needs of a project
        unlabelled : Unlabelled or None, for pseudo-labels
        storage : Path or None, keeps the trials of a tuning
        """
        return self._around(
            head or self.head, unlabelled, storage, with_copies=self.preparation.views
        )

    def settings(self) -> dict[str, Any]:
        """What makes classifiers alike, as JSON values; read back by :meth:`from_settings`."""
        settings: dict[str, Any] = {"head": self._judged().settings()}
        if self.preparation != PLAIN:
            settings["preparation"] = self.preparation.settings()
        return settings

    @property
    def id(self) -> str:
        """The same for recipes that make classifiers alike, whatever embedder is under them."""
        return hash_of(self.settings())

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Read what :meth:`settings` gave.

        Raises
        ------
        HeadError
            If a head or a setting is unknown to this version.

        Examples
        --------
        >>> recipe = Recipe(join="scores", tuning=Tuning())
        >>> Recipe.from_settings(recipe.settings()).describe() == recipe.describe()
        True
        """
        values = dict(settings["head"])
        pseudo = values.pop("pseudo_labels", None)
        join: Join = "embeddings"
        if values["head"] == MeanHead.name:
            join, values = "scores", dict(values["members"][0])
        about = values.pop("tuned", None)
        head = make_head(values.pop("head"), **values)
        return cls(
            head,
            join,
            None if about is None else Tuning(**about),
            Preparation(**settings.get("preparation", {})),
            None if pseudo is None else PseudoLabels(**pseudo),
        )

    def describe(self) -> str:
        """How the head is trained, and on what is made of the embeddings, in words."""
        prepared = self.preparation.name
        return self._judged().describe() + (f"; embeddings {prepared}" if prepared else "")

    def arguments(self, *, for_audit: bool = False) -> str:
        """What is typed after ``train`` or ``evaluate`` for this recipe.

        Parameters
        ----------
        for_audit : bool
            What ``audit`` takes: it neither tunes nor trains through the network

        Returns
        -------
        str
            With a space before; empty for what is done without options
        """
        words: list[str] = []
        if not (for_audit and self.head.trains_network):
            words += self._head_words()
        if self.join == "scores":
            words += ["--join", "scores"]
        if self.tuning and not for_audit:
            words += ["--tune", self.tuning.search]
        if self.pseudo_labels and not for_audit:
            pseudo = self.pseudo_labels.settings()
            words += ["--pseudo-labels", f"{pseudo['min_probability']:g}"]
            words += ["--pseudo-rounds", str(pseudo["n_rounds"])] * (pseudo["n_rounds"] > 1)
            words += ["--pseudo-weight", f"{pseudo['weight']:.3g}"] * (pseudo["weight"] < 1)
        if self.preparation.words:
            words += ["--prepare", ",".join(self.preparation.words)]
        return f" {shlex.join(words)}" if words else ""

    def check_learns_from_embeddings(self) -> None:
        """Raise HeadError where hundreds of trainings through the network would be needed."""
        if self.head.trains_network:
            raise HeadError(
                f"--head {self.head.name} works with pseudorca train and evaluate; here a training "
                "through the network would be done hundreds of times. Use another head."
            )

    def _judged(self) -> Head:
        """The head as it is kept and described: copies of clips are told by the preparation."""
        return self._around(self.head, None, None, with_copies=False)

    def _around(
        self, head: Head, unlabelled: Unlabelled | None, storage: Path | None, *, with_copies: bool
    ) -> Head:
        if self.tuning:
            head = TunedHead(head, self.tuning, storage)
        if with_copies:
            head = CopiesHead(head)
        if self.join == "scores":
            head = MeanHead((head,))
        if self.pseudo_labels:
            head = PseudoLabelHead(head, self.pseudo_labels, unlabelled)
        return head

    def _check_that_network_can_be_trained(self) -> None:
        name = f"--head {self.head.name}"
        if self.preparation != PLAIN:
            raise HeadError(
                f"{name} learns from pictures or sound, and --prepare is of embeddings. Leave one of "
                "them out; what fine-tuning changes in clips is said by --head-set (background, "
                "time_masks, mix_up, ...)."
            )
        if self.tuning or self.join == "scores" or self.pseudo_labels:
            raise HeadError(
                f"{name} goes through one network and needs more than embeddings: it works without "
                "--tune, --join scores and --pseudo-labels. Use another head here."
            )

    def _head_words(self) -> list[str]:
        settings, usual = self.head.settings(), make_head(self.head.name).settings()
        words = [] if self.head.name == LogisticHead.name else ["--head", self.head.name]
        tuned = self.tuning.tried(self.head) if self.tuning else {}
        held = set(self.head.space) - set(tuned) if self.tuning else set()
        for key, value in settings.items():
            if key == "head" or key in tuned or (value == usual[key] and key not in held):
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            words += [_OPTIONS[key], text] if key in _OPTIONS else ["--head-set", f"{key}={text}"]
        return words

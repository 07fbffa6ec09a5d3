"""A recipe: how a classifier is made, apart from the recordings.

In: a head, and the steps around the head. Out: a :class:`Recipe`. A recipe fits a head, describes
itself in words, gives its command-line arguments, and has an id.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from pseudorca.errors import HeadError, unknown_name
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import OPTIONS, Head, TrainedHead, WrappingHead, fit_head
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import MeanHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.nothing import NothingHead
from pseudorca.learning.preparation import PLAIN, Preparation
from pseudorca.learning.pseudo_labels import PseudoLabelHead, PseudoLabels, Unlabelled
from pseudorca.learning.tuning import TunedHead, Tuning
from pseudorca.values import check_types, hash_of

Join = Literal["embeddings", "scores"]
Nothing = Literal["none", "background"]


@dataclass(frozen=True)
class CopiesHead(WrappingHead):
    """A head that learns from clips and from their altered copies.

    Which copies may be learned from depends on the test side, so each training side is put together
    anew. Settings are chosen on the clips themselves, in inner folds that no copy enters; with the
    copies each clip then weighs as much against a penalty as before.

    Examples
    --------
    >>> CopiesHead(LogisticHead(c=1.0)).settings()["views"]
    True
    """

    name: ClassVar[str] = "copies"

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside to choose an epoch; nothing of them is learned from."""
        return self.head.chooses_epoch

    def settings(self) -> dict[str, Any]:
        """The settings of the wrapped head, and ``views``."""
        return self.head.settings() | {"views": True}

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on :meth:`TrainingSet.with_views`; a validation side has no copies.

        ``details["n_views"]`` is the number of copies in the training.
        """
        if self.head.chooses_settings:
            return self.fit_settled(replace(data, views=None, heard_again=None), data, validation)
        with_copies = data.with_views()
        n_clips, n_rows = len(data.labels), len(with_copies.labels)
        trained = self.head.penalised_as(n_clips, n_rows).fit(with_copies, validation=validation)
        details = trained.details | {"n_views": n_rows - n_clips}
        if "c" in details:  # as the recipe names it
            details["c"] = self.head.settings()["c"]
        return replace(trained, details=details)


@dataclass(frozen=True)
class Recipe:
    """How a classifier is made from the labelled clips of a project.

    Parameters
    ----------
    head : Head
        The small classifier on embeddings
    join : ``embeddings`` or ``scores``
        For several networks side by side. ``embeddings``: one head on all embeddings. ``scores``: a
        head per network, and the mean of their scores
    tuning : Tuning or None
        Choose settings of the head in inner folds
    preparation : Preparation
        Changes to the embeddings: altered copies, the clip's own background, centring
    pseudo_labels : PseudoLabels or None
        Learn from unlabelled clips, too
    embedders : tuple of str
        Names of embedders that the project has used (several stand side by side); empty: what the
        last ``embed`` used
    nothing : ``background``, ``none`` or None
        Whether the head also learns what nothing sounds like: from the background of the clips, and
        from folders of noise. None: wherever it learns from embeddings as they are

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
    nothing: Nothing | None = None

    def __post_init__(self) -> None:
        check_types(self, HeadError, name="Recipe:")
        if self.nothing is None:
            object.__setattr__(self, "nothing", self._usual_nothing)
        if self.join not in get_args(Join):
            raise HeadError(unknown_name("way to join networks", self.join, get_args(Join)))
        if self.nothing not in get_args(Nothing):
            raise HeadError(unknown_name("class of nothing", str(self.nothing), get_args(Nothing)))
        if self.nothing != "none" and self.preparation != PLAIN:
            raise HeadError(
                "--nothing background learns from embeddings as they are: leave out --prepare, or "
                "--nothing."
            )
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
                "with --join scores the background beside a clip would get a head of its own. Use "
                "--prepare reference=minus, or --join embeddings."
            )
        self.trainer(with_copies=False)  # the heads check, too, which parts go together

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
        with_copies: bool = True,
    ) -> Head:
        """Wrap the head in the steps of the recipe.

        Parameters
        ----------
        head : Head or None
            The recipe's head with material of a project; None: the recipe's head
        unlabelled : Unlabelled or None, for pseudo-labels
        storage : Path or None, keeps the trials of a tuning
        with_copies : bool
            False: without the step that learns from altered copies, which the preparation describes

        Returns
        -------
        Head
        """
        head = head or self.head
        if self.tuning:
            head = TunedHead(head, self.tuning, storage)
        if with_copies and self.preparation.views:
            head = CopiesHead(head)
        if self.join == "scores":
            head = MeanHead((head,))
        if self.nothing != "none":
            head = NothingHead(head)
        if self.pseudo_labels:
            head = PseudoLabelHead(head, self.pseudo_labels, unlabelled)
        return head

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the training, as JSON values; :meth:`from_settings` reads them."""
        settings: dict[str, Any] = {"head": self.trainer(with_copies=False).settings()}
        if self.preparation != PLAIN:
            settings["preparation"] = self.preparation.settings()
        return settings

    @property
    def id(self) -> str:
        """Equal for recipes of equal settings, whatever the embedder."""
        return hash_of(self.settings())

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Rebuild the recipe from :meth:`settings`.

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
        pseudo_labels = values.pop("pseudo_labels", None)
        nothing: Nothing = values.pop("nothing", "none")
        join: Join = "embeddings"
        if values["head"] == MeanHead.name:
            join, values = "scores", dict(values["members"][0])
        tuning = values.pop("tuned", None)
        head = make_head(values.pop("head"), **values)
        return cls(
            head,
            join,
            None if tuning is None else Tuning(**tuning),
            Preparation(**settings.get("preparation", {})),
            None if pseudo_labels is None else PseudoLabels(**pseudo_labels),
            nothing=nothing,
        )

    def describe(self) -> str:
        """The training of the head and the preparation of the embeddings, in words."""
        head, prepared = self.trainer(with_copies=False).describe(), self.preparation.name
        return f"{head}; embeddings {prepared}" if prepared else head

    def arguments(self, *, for_audit: bool = False) -> str:
        """The command-line options of ``train`` or ``evaluate`` for this recipe.

        Parameters
        ----------
        for_audit : bool
            The options of ``audit``, which neither tunes nor trains the network

        Returns
        -------
        str
            Begins with a space; empty if no option is needed
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
        if self.nothing != self._usual_nothing:
            words += ["--nothing", str(self.nothing)]
        if self.preparation.words:
            words += ["--prepare", ",".join(self.preparation.words)]
        return f" {shlex.join(words)}" if words else ""

    def check_learns_from_embeddings(self) -> None:
        """Raise HeadError if the head trains the network: the caller trains hundreds of times."""
        if self.head.trains_network:
            raise HeadError(
                f"--head {self.head.name} works with pseudorca train and evaluate; this command "
                "would train the network hundreds of times. Use another head."
            )

    @property
    def _usual_nothing(self) -> Nothing:
        as_they_are = self.preparation == PLAIN and not self.head.trains_network
        return "background" if as_they_are else "none"

    def _check_that_network_can_be_trained(self) -> None:
        name = f"--head {self.head.name}"
        if self.preparation != PLAIN:
            raise HeadError(
                f"{name} learns from pictures or sound, and --prepare changes embeddings. Leave one of "
                "them out. For fine-tuning, --head-set changes the clips (background, time_masks, "
                "mix_up, ...)."
            )
        if self.tuning or self.join == "scores" or self.pseudo_labels or self.nothing != "none":
            raise HeadError(
                f"{name} goes through one network and needs more than embeddings: it works without "
                "--tune, --join scores, --pseudo-labels and --nothing. Use another head here."
            )

    def _head_words(self) -> list[str]:
        settings, defaults = self.head.settings(), make_head(self.head.name).settings()
        words = [] if self.head.name == LogisticHead.name else ["--head", self.head.name]
        tuned = self.tuning.tried(self.head) if self.tuning else {}
        tunable = set(self.head.space) - set(tuned) if self.tuning else set()
        for key, value in settings.items():
            if key == "head" or key in tuned or (value == defaults[key] and key not in tunable):
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            words += [OPTIONS[key], text] if key in OPTIONS else ["--head-set", f"{key}={text}"]
        return words


def recipe_of(training: Mapping[str, Any]) -> dict[str, Any]:
    """Embedder and recipe in the record of a training, as ``evaluate`` and ``audit`` note them.

    Parameters
    ----------
    training : mapping

    Returns
    -------
    dict

    Examples
    --------
    >>> recipe_of({"embedder_id": "e", "head": {"head": "logistic"}, "n_clips": {"A": 3}})
    {'embedder_id': 'e', 'head': {'head': 'logistic'}}
    """
    names = ("embedder_id", "head", "preparation", "views")
    return {name: training[name] for name in names if name in training}

"""Fine-tuning as a head: settings, and a ``fit`` that trains through the backbone.

In: a training set whose vectors are row numbers into kept network inputs. Out: :class:`FineTuned`,
which scores with its own copy of the network. Folds, calibration, tests and tables treat it like any
other head. Every training side starts from the pretrained weights.
"""

import copy
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.network_inputs import ClipInputs
from pseudorca.errors import HeadError
from pseudorca.learning.dataset import Floats, Ints, Names, TrainingSet, Vectors
from pseudorca.learning.heads.base import (
    Balance,
    Head,
    LinearHead,
    check_settings,
    class_numbers,
    classes_of,
    in_words,
    is_positive,
    recording_weights,
    standardisation,
)
from pseudorca.learning.heads.finetuned.changes import Augmentation
from pseudorca.learning.heads.finetuned.loop import Course, Job, Side, embed_rows, train
from pseudorca.learning.heads.finetuned.tuned_network import (
    TunedNetwork,
    begun_anew,
    blend,
    has_batch_norm,
)
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.values import hash_of, plural

_NOT_SETTINGS = ("material", "precision", "accelerator", "devices")


@dataclass(frozen=True)
class Material:
    """The network to fine-tune, with the network inputs of the clips."""

    embedder: Embedder
    """The pretrained network behind its front end."""
    inputs: ClipInputs
    clip_ids: tuple[str, ...]
    """Ids of the clips, in the order of ``inputs``."""
    groups: Names
    """Encounters of the clips; a background comes from another encounter."""
    folder: Path
    """Holds the checkpoints, in a folder per training."""
    used: set[str] = field(default_factory=set, compare=False)
    """Names of the folders of the trainings of this run."""

    def rows(self) -> Vectors:
        """Row numbers of all clips [shape=(n_clips, 1)], in place of embeddings."""
        return np.arange(len(self.clip_ids), dtype=np.float32)[:, None]


@dataclass
class FineTuned(LinearHead):
    """A linear head on its own copy of the network; it scores row numbers of kept network inputs."""

    kind: ClassVar[str] = "finetuned"

    embedder: Embedder = field(kw_only=True)
    inputs: ClipInputs = field(kw_only=True)

    def vectors(self, rows: Vectors) -> Vectors:
        """Embeddings by the tuned network [shape=(n, embedding_size)] of row numbers [(n, 1)]."""
        return _vectors(self.embedder, self.inputs, _numbers(rows))

    def log_probabilities(self, vectors: Vectors) -> Floats:
        """Score row numbers [shape=(n, 1)] of kept network inputs."""
        return super().log_probabilities(self.vectors(vectors))

    def parted(self, vectors: Vectors) -> tuple[Embedder, LinearHead, Vectors]:
        """The tuned network, the linear head, and the embeddings of the network."""
        head = LinearHead(self.classes, **self.arrays(), details=self.details)
        return self.embedder, head, self.vectors(vectors)


@dataclass(frozen=True, kw_only=True)
class FineTunedHead(Augmentation, Head):
    """Fine-tuning through the backbone, from a linear head on its frozen embeddings.

    References
    ----------
    .. [1] Kumar et al. 2022, "Fine-tuning can distort pretrained features and underperform
       out-of-distribution", ICLR: the head first, then all.
    .. [2] Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", CVPR: the mean of the
       weights before and after.

    Examples
    --------
    >>> FineTunedHead(n_epochs=3, stages=2).describe().split(", learning")[0]
    'the network fine-tuned (the last 2 of its stages'
    """

    name: ClassVar[str] = "finetuned"
    draws_batches: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    stages: str | int = "all"
    """Stages of the network that learn: ``all``, ``none``, or the number of last stages."""
    learning_rate: float = 3e-4
    """Learning rate of the last stage."""
    head_learning_rate: float | None = None
    """Learning rate of the linear layer; None: a tenth of ``learning_rate``, or the same rate if the
    layer starts at zero."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each stage to the stage before it."""
    n_epochs: int = 8
    batch_size: int = 32
    optimiser: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    """Of ``sgd``."""
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: float = 0.1
    """Share of the epochs in which the rate rises from 0."""
    gradient_norm: float = 1.0
    """Longer gradients are cut to this norm; 0: no gradient is cut."""
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    focal_gamma: float = 2.0
    label_smoothing: float = 0.0
    balance: Balance = "weights"
    """``weights``: each class weighs the same, each recording once; ``sampler``: batches hold the
    classes equally; ``none``."""
    dropout: float = 0.0
    """Share of the embedding that dropout removes before the last layer."""
    patience: int = 0
    """Epochs without a lower validation loss after which the training stops, at the best epoch; 0: no
    validation, all encounters train for all epochs."""
    refit: bool = True
    """After ``patience`` chose an epoch, train on all encounters up to that epoch."""
    batch_norm: Literal["auto", "frozen", "learn"] = "auto"
    """Statistics of batch normalisation; ``auto``: the statistics learn only with ``start=random``."""
    start: Literal["pretrained", "random"] = "pretrained"
    head_start: Literal["logistic", "zero"] = "logistic"
    """The last layer starts as logistic regression on the frozen embeddings, or at 0."""
    tuned_share: float | None = None
    """Share of the way from the weights before fine-tuning to the weights after; None: 0.5, or 1 from
    random weights."""
    seed: int = 0
    precision: Literal["auto", "float32", "mixed"] = "auto"
    accelerator: str = "auto"
    devices: int = 1
    material: Material | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        Augmentation.__post_init__(self)
        Head.__post_init__(self)
        positive = ("learning_rate", "layer_decay", "n_epochs", "batch_size", "devices")
        check_settings(self, positive, is_positive, "more than 0, and finite")
        not_negative = ("weight_decay", "gradient_norm", "focal_gamma", "patience")
        check_settings(self, not_negative, lambda x: 0 <= x < np.inf, "0 or more, and finite")
        shares = ("momentum", "label_smoothing", "dropout", "warm_up")
        check_settings(self, shares, lambda x: 0 <= x < 1, "from 0 up to 1")
        if self.tuned_share is not None:
            check_settings(self, ("tuned_share",), lambda x: 0 < x <= 1, "more than 0, at most 1")
        if self.start == "random" and (self.stages != "all" or self.head_start == "logistic"):
            raise HeadError(
                "from random weights all stages have to learn, and logistic regression on random "
                "embeddings is useless: use stages=all and head_start=zero with start=random."
            )

    @property
    def head_rate(self) -> float:
        """Learning rate of the last layer."""
        share = 0.1 if self.head_start == "logistic" else 1.0
        return self.head_learning_rate or share * self.learning_rate

    @property
    def _share(self) -> float:
        if self.tuned_share is not None:
            return self.tuned_share
        return 0.5 if self.start == "pretrained" else 1.0

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside to choose an epoch."""
        return self.patience > 0

    def describe(self) -> str:
        """The main settings, and all settings that differ from the defaults."""
        main = ("stages", "learning_rate", "n_epochs", "tuned_share", "head", "balance", "seed")
        defaults = FineTunedHead().settings()
        unusual = {
            key: value
            for key, value in self.settings().items()
            if key not in main and value != defaults[key]
        }
        stages = self.stages if self.stages in ("all", "none") else f"the last {self.stages}"
        words = [
            f"{stages} of its stages",
            f"learning rate {self.learning_rate:g}",
            f"{plural(self.n_epochs, 'epoch')}",
            "all the way" if self._share == 1 else f"{self._share:g} of the way",
            self.balance_in_words,
            *in_words(unusual),
        ]
        return f"the network fine-tuned ({', '.join(words)})"

    def forget_trainings(self) -> None:
        """Remove the checkpoints of this run, since the run is finished.

        Checkpoints of another run that was killed stay.
        """
        if self.material is None:
            return
        for name in self.material.used:
            shutil.rmtree(self.material.folder / name, ignore_errors=True)
        if self.material.folder.exists() and not any(self.material.folder.iterdir()):
            self.material.folder.rmdir()

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the training; not where it runs."""
        values = {key: value for key, value in vars(self).items() if key not in _NOT_SETTINGS}
        return {"head": self.name} | values

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> FineTuned:
        """Fine-tune on ``data``; ``validation`` chooses the epoch.

        ``details["history"]`` holds a row per epoch: losses and accuracies on both sides.

        Raises
        ------
        HeadError
            If there are fewer than two classes, the vectors are not row numbers of kept inputs, or
            the loss is no longer finite.
        BackboneError
            If the network does not run in torch.
        MissingExtraError
            If Lightning is not installed.
        """
        if self.material is None:
            raise HeadError(
                "fine-tuning goes through the network and needs more than embeddings: it works with "
                "pseudorca train and evaluate, without --tune, --join scores and --pseudo-labels. Use "
                "another head here."
            )
        if validation is None or not len(validation.labels):
            return self._finished(data, *self._trained(data, None, self.n_epochs))
        network, course = self._trained(data, validation, self.n_epochs)
        if self.refit:
            data = data.plus(validation)
            network, last = self._trained(data, None, course.best_epoch)
            course = replace(last, history=course.history, best_epoch=course.best_epoch)
        return self._finished(data, network, course)

    def _trained(
        self, data: TrainingSet, validation: TrainingSet | None, n_epochs: int
    ) -> tuple[TunedNetwork, Course]:
        """The network with the weights of the best epoch, and the course of the training."""
        material = self.material
        assert material is not None
        classes = classes_of(data.labels)
        key = self._key(material, data, validation, n_epochs)
        material.used.add(key)
        network = self._begin(data, material)
        begun = network.learned()
        job = Job(
            replace(self, material=None),
            material.inputs,
            material.groups,
            len(classes),
            _side(data, classes, self.balance),
            None if validation is None else _side(validation, classes, "weights"),
            n_epochs,
            material.folder / key,
        )
        course = train(job, network)
        network.to("cpu").load_learned(blend(begun, course.best, self._share))
        return network.eval(), course

    def _begin(self, data: TrainingSet, material: Material) -> TunedNetwork:
        """The network before training: the pretrained network, and a head on its embeddings."""
        backbone = copy.deepcopy(material.embedder.backbone).to("cpu")
        if self.start == "random":
            backbone = begun_anew(backbone, self.seed)
        embedder = replace(material.embedder, backbone=backbone)
        vectors = _vectors(embedder, material.inputs, _numbers(data.vectors))
        frozen = TrainingSet(vectors, data.labels, data.groups, data.recordings)
        if self.head_start == "logistic":
            weighing: Balance = "none" if self.balance == "none" else "weights"
            head = LogisticHead(balance=weighing, seed=self.seed).fit(frozen)
        else:
            classes = classes_of(data.labels)
            mean, scale = standardisation(frozen)
            zeros = np.zeros((len(classes), len(mean)))
            head = LinearHead(classes, mean, scale, zeros, zeros[:, 0].copy())
        learns = {"auto": self.start == "random", "learn": True, "frozen": False}[self.batch_norm]
        return TunedNetwork(
            backbone.to("cpu"),
            head,
            stages=self.stages,
            learns_statistics=learns and has_batch_norm(backbone),
        )

    def _finished(self, data: TrainingSet, network: TunedNetwork, course: Course) -> FineTuned:
        material = self.material
        assert material is not None
        details = {
            "n_clips": len(data.labels),
            "best_epoch": course.best_epoch,
            "history": course.history,
        }
        backbone = network.backbone.requires_grad_(False)
        if network.n_learning or network.learns_statistics:
            backbone.weights_source += " + fine-tuned"
        embedder = replace(material.embedder, backbone=backbone)
        return FineTuned(
            classes_of(data.labels), **network.linear_arrays(), details=details,
            embedder=embedder, inputs=material.inputs,
        )  # fmt: skip

    def _key(
        self, material: Material, data: TrainingSet, validation: TrainingSet | None, n_epochs: int
    ) -> str:
        """Identifies the training; ``tuned_share`` is applied after the training."""
        shaping = {k: value for k, value in self.settings().items() if k != "tuned_share"}
        question: list[Any] = [shaping, material.embedder.embedder_id, n_epochs]
        for side in (data, validation):
            if side is not None:
                rows = _numbers(side.vectors)
                ids = [material.clip_ids[row] for row in rows]
                names = (side.labels, side.groups, side.recordings, material.groups[rows])
                question.append([ids, *([str(name) for name in column] for column in names)])
        return hash_of(question)


def _side(data: TrainingSet, classes: list[str], balance: Balance) -> Side:
    sampled = balance == "sampler"
    weights = np.ones(len(data.labels)) if sampled else recording_weights(data, balance)
    return Side(_numbers(data.vectors), class_numbers(data.labels, classes), weights)


def _numbers(vectors: Vectors) -> Ints:
    """Row numbers, in place of embeddings."""
    if vectors.ndim != 2 or vectors.shape[1] != 1:
        raise HeadError(
            f"vectors of shape {vectors.shape}: fine-tuning takes row numbers of kept network inputs "
            "(n, 1), which pseudorca train and evaluate make."
        )
    return vectors[:, 0].astype(np.int64)


def _vectors(embedder: Embedder, inputs: ClipInputs, rows: Ints) -> Vectors:
    return np.asarray(embed_rows(embedder.backbone, inputs, rows, embedder.device).numpy())

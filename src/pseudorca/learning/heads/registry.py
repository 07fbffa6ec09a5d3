"""Heads by name: small classifiers on embeddings. A new head is a module and a line here.

In: a name and settings. Out: a :class:`~pseudorca.learning.heads.base.Head`, whose ``fit`` takes
embeddings, labels and groups, and returns a trained head with a log-probability per population.
A head is imported when it is first used.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pseudorca.catalogue import Entry
from pseudorca.errors import HeadError, unknown_name

if TYPE_CHECKING:
    from pseudorca.learning.heads.base import Arrays, Head, TrainedHead

_ROOM = "pseudorca.learning.heads"

HEADS: Mapping[str, Entry] = {
    "logistic": Entry(f"{_ROOM}.logistic:LogisticHead", "logistic regression"),
    "softmax": Entry(f"{_ROOM}.softmax:SoftmaxHead", "softmax trained by SGD, as in the study"),
    "svm": Entry(f"{_ROOM}.per_class:SvmHead", "support vector machines"),
    "forest": Entry(f"{_ROOM}.forest:ForestHead", "random forest"),
    "gmm": Entry(f"{_ROOM}.per_class:GmmHead", "Gaussian mixtures"),
    "hmm": Entry(f"{_ROOM}.per_class:HmmHead", "hidden Markov models on --backbone mfcc_frames"),
    "finetuned": Entry(f"{_ROOM}.finetuned:FineTunedHead", "training through the network"),
}


def load_trained(
    kind: str, classes: list[str], arrays: "Arrays", details: dict[str, Any]
) -> "TrainedHead":
    """Rebuild a trained head of a kind, whichever module knows how its arrays are read.

    Parameters
    ----------
    kind : str, as ``TrainedHead.kind``
    classes : list of str
    arrays : dict from name to ndarray, as from ``TrainedHead.arrays``
    details : dict, choices and records of the training

    Returns
    -------
    TrainedHead

    Raises
    ------
    HeadError
        If this version does not know the kind.

    Examples
    --------
    >>> import numpy as np
    >>> zeros = np.zeros((2, 3))
    >>> arrays = {"mean": zeros[0], "scale": zeros[0] + 1, "weights": zeros, "bias": zeros[:, 0]}
    >>> load_trained("linear", ["A", "B"], arrays, {}).classes
    ['A', 'B']
    """
    from pseudorca.learning.heads import base, mean  # noqa: F401

    if kind != base.LinearHead.kind:  # a module says how its arrays are read when it is imported
        for entry in HEADS.values():
            entry.load()
    if kind not in base.KINDS:
        raise HeadError(unknown_name("kind of trained head", kind, base.KINDS))
    head = base.KINDS[kind].from_arrays(classes, arrays)
    head.details = details
    return head


def make_head(name: str, **settings: Any) -> "Head":
    """Make a head by name.

    Parameters
    ----------
    name : str, of :data:`HEADS`
    settings : the settings of the head; None: the head's own default

    Returns
    -------
    Head

    Raises
    ------
    HeadError
        If the name is unknown, or a setting does not belong to this head or makes no sense.

    Examples
    --------
    >>> make_head("logistic", c=0.1).describe()
    'logistic regression (C = 0.1, classes weighted equally)'
    """
    if name not in HEADS:
        raise HeadError(unknown_name("head", name, HEADS))
    head_class = HEADS[name].load()
    chosen = {key: value for key, value in settings.items() if value is not None}
    known = {field.name for field in fields(head_class)}
    if unknown := sorted(set(chosen) - known):
        raise HeadError(
            f"the {name} head has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}."
        )
    try:
        head: Head = head_class(**chosen)
    except TypeError as error:  # words where numbers belong
        raise HeadError(f"settings {chosen} of the {name} head: {error}") from error
    return head

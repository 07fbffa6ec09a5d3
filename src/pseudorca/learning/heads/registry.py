"""Heads by name: small classifiers on embeddings.

In: a name and settings. Out: a :class:`Head`, whose ``fit`` takes embeddings, labels and who belongs
together, and gives a :class:`TrainedHead` with a log-probability per population.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pseudorca.errors import HeadError, unknown_name
from pseudorca.learning.heads.base import Head
from pseudorca.learning.heads.finetuned import FineTunedHead
from pseudorca.learning.heads.forest import ForestHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mixtures import GmmHead, HmmHead
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.heads.svm import SvmHead

HEADS: Mapping[str, type[Any]] = {
    head.name: head
    for head in (LogisticHead, SoftmaxHead, SvmHead, ForestHead, GmmHead, HmmHead, FineTunedHead)
}


def make_head(name: str, **settings: Any) -> Head:
    """Make a head by name; settings that are None take the head's own default.

    Raises
    ------
    HeadError
        If the name is unknown, or a setting does not belong to this head or makes no sense.
    """
    if name not in HEADS:
        raise HeadError(unknown_name("head", name, HEADS))
    given = {key: value for key, value in settings.items() if value is not None}
    known = {field.name for field in fields(HEADS[name])}
    if strange := sorted(set(given) - known):
        raise HeadError(
            f"the {name} head has no setting {', '.join(strange)}; it has {', '.join(sorted(known))}."
        )
    try:
        made: Head = HEADS[name](**given)
    except TypeError as error:  # words where numbers belong
        raise HeadError(f"settings {given} of the {name} head: {error}") from error
    return made

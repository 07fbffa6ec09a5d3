"""Options of the head: written once, given to every verb that trains one."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_type_hints

from pseudorca.cli.options import (
    Balancing,
    Epochs,
    HeadKind,
    HeadName,
    HeadSettings,
    Join,
    Joining,
    Momentum,
    PseudoLabels,
    PseudoRounds,
    PseudoWeight,
    Rate,
    Strength,
    Tune,
    head_from,
    settings_from,
    tuned_head_from,
)
from pseudorca.errors import PseudorcaError

if TYPE_CHECKING:
    from pseudorca.learning.heads.base import Head
    from pseudorca.store import Store


Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class HeadOptions:
    """How a head is trained, as it was typed."""

    head: HeadName = HeadKind.logistic
    balance: Balancing = None
    c: Strength = None
    learning_rate: Rate = None
    momentum: Momentum = None
    epochs: Epochs = None
    head_set: HeadSettings = None
    join: Join = Joining.embeddings

    def make(self, seed: int | None) -> "Head":
        """The head with these settings."""
        made = head_from(
            self.head, self.balance, self.c, self.learning_rate, self.momentum, self.epochs, seed,
            settings_from(self.head_set or [], option="--head-set"),
        )  # fmt: skip
        return self._joining(made)

    def _joining(self, head: "Head") -> "Head":
        """One such head for every network, where their scores are to be averaged."""
        if self.join == Joining.embeddings:
            return head
        from pseudorca.learning.heads.mean import MeanHead

        return MeanHead((head,))


@dataclass(frozen=True)
class TunedHeadOptions(HeadOptions):
    """The same, for verbs that may choose settings in inner folds."""

    tune: Tune = None
    pseudo_labels: PseudoLabels = None
    pseudo_rounds: PseudoRounds = 1
    pseudo_weight: PseudoWeight = 1.0

    def make_tuned(self, store: "Store", seed: int | None) -> "Head":
        """The head with these settings, those that were not given tuned if that is wished."""
        made = tuned_head_from(
            self.tune, store, self.head, self.balance, self.c, self.learning_rate, self.momentum,
            self.epochs, seed, settings_from(self.head_set or [], option="--head-set"),
        )  # fmt: skip
        joined = self._joining(made)
        if self.pseudo_labels is None:
            if self.pseudo_rounds != 1 or self.pseudo_weight != 1:
                raise PseudorcaError(
                    "--pseudo-rounds and --pseudo-weight are of --pseudo-labels: give it, too (0.9)."
                )
            return joined
        from pseudorca.learning.pseudo_labels import PseudoLabelHead

        return PseudoLabelHead(joined, self.pseudo_labels, self.pseudo_rounds, self.pseudo_weight)


HEAD, TUNED_HEAD = HeadOptions(), TunedHeadOptions()
"""Nothing typed."""


def with_head_options(verb: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Give a verb, in place of its parameter ``head``, an option per field of that one's class.

    typer knows flat parameters only; it reads the signature that is made here.
    """
    hints = get_type_hints(verb, include_extras=True)
    options = hints["head"]
    own = get_type_hints(options, include_extras=True)
    shown: list[inspect.Parameter] = []
    for one in inspect.signature(verb).parameters.values():
        if one.name == "head":
            shown += [
                inspect.Parameter(
                    field.name, one.kind, default=field.default, annotation=own[field.name]
                )
                for field in fields(options)
            ]
        else:
            shown.append(one.replace(annotation=hints[one.name]))

    @functools.wraps(verb)
    def called(*args: Parameters.args, **given: Parameters.kwargs) -> Returned:
        head = {field.name: given.pop(field.name) for field in fields(options)}
        return verb(*args, **{**given, "head": options(**head)})

    about: Any = called
    about.__signature__ = inspect.Signature(shown)
    about.__annotations__ = {one.name: one.annotation for one in shown}
    return called

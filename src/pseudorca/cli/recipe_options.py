"""Options of a recipe: written once, given to every verb that takes one."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast, get_type_hints

import typer

from pseudorca.cli.options import RECIPE, one_of, refuse_twice, settings_from
from pseudorca.errors import PseudorcaError
from pseudorca.learning.heads.registry import HEADS

if TYPE_CHECKING:
    from pseudorca.learning.preparation import Preparation
    from pseudorca.learning.recipe import Recipe

    HeadName = str
    BalanceName = str
    JoinName = str
    SearchName = str
else:
    HeadName, BalanceName = one_of(HEADS), one_of(("none", "sampler", "weights"))
    JoinName, SearchName = one_of(("embeddings", "scores")), one_of(("grid", "optuna"))

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

EPOCHS_HELP = "Epochs of a training. softmax and reproduce: 24; finetuned: 8."

HEAD_HELP = (
    "The classifier on embeddings; compare takes several by commas: "
    + "; ".join(f"{name}, {entry.help}" for name, entry in HEADS.items())
    + "."
)

Prepare = Annotated[
    list[str] | None,
    typer.Option(
        "--prepare",
        help="What is made of embeddings first, several by commas: views (learn from the altered "
        "copies of embed --augment), test-views (average over those of embed --test-views), "
        "reference=minus or beside (the clip's own background, of embed --reference), "
        "centre=platform or another column (transductive), scale.",
        rich_help_panel=RECIPE,
    ),
]


@dataclass(frozen=True)
class RecipeOptions:
    """A recipe as it is typed."""

    head: Annotated[
        HeadName,
        typer.Option(
            "--head",
            metavar="NAME",
            help=HEAD_HELP,
            rich_help_panel=RECIPE,
        ),
    ] = "logistic"
    balance: Annotated[
        BalanceName | None,
        typer.Option(
            "--balance",
            help="Class imbalance: none, sampler (weighted random batches; softmax), or class weights. "
            "Without it: none for softmax (as in the study), weights for all others.",
            rich_help_panel=RECIPE,
        ),
    ] = None
    c: Annotated[
        float | None,
        typer.Option(
            "--c",
            help="Inverse penalty. logistic: chosen by inner folds without it; svm: 10.",
            rich_help_panel=RECIPE,
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", help="softmax: 0.001; finetuned: 0.0003.", rich_help_panel=RECIPE
        ),
    ] = None
    momentum: Annotated[
        float | None,
        typer.Option(
            "--momentum",
            help="softmax: 0.9; finetuned with optimiser=sgd: 0.9.",
            rich_help_panel=RECIPE,
        ),
    ] = None
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help=EPOCHS_HELP, rich_help_panel=RECIPE),
    ] = None
    head_set: Annotated[
        list[str] | None,
        typer.Option(
            "--head-set",
            help="Another setting of the head, such as n_trees=1000. Repeatable.",
            rich_help_panel=RECIPE,
        ),
    ] = None
    join: Annotated[
        JoinName,
        typer.Option(
            "--join",
            help="Several networks (embed --backbone A+B): one head on their embeddings side by side, "
            "or a head each and the mean of their scores.",
            rich_help_panel=RECIPE,
        ),
    ] = "embeddings"
    prepare: Prepare = None

    def make(self, seed: int | None) -> "Recipe":
        """The recipe. HeadError if its parts do not go together."""
        from pseudorca.learning.heads.registry import make_head
        from pseudorca.learning.recipe import Join, Recipe

        typed = self._typed()
        refuse_twice({"seed": seed}, tuple(typed.items()), option="--head-set")
        if seed is not None:
            typed["seed"] = seed
        head = make_head(str(self.head), **typed)
        return Recipe(
            head,
            cast(Join, str(self.join)),
            preparation=preparation_from(self.prepare),
            **self._more(),
        )

    def _typed(self) -> dict[str, Any]:
        """The settings of the head that were typed."""
        named = {
            "balance": self.balance and str(self.balance),
            "c": self.c,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "n_epochs": self.epochs,
        }
        typed = {name: value for name, value in named.items() if value is not None}
        others = settings_from(self.head_set or [], option="--head-set")
        if "name" in dict(others):
            raise PseudorcaError("--head-set name=...: a head is named by --head.")
        refuse_twice(typed, others, option="--head-set")
        return typed | dict(others)

    def _more(self) -> Mapping[str, Any]:
        """Parts that only some verbs take."""
        return {}


@dataclass(frozen=True)
class TunableRecipeOptions(RecipeOptions):
    """The same, for verbs that may choose settings in inner folds."""

    tune: Annotated[
        SearchName | None,
        typer.Option(
            "--tune",
            help="Choose the settings of the head that were not given in inner folds, anew for every "
            "training side: grid (the study's values) or optuna (kept in the project; goes on when "
            "run again).",
            rich_help_panel=RECIPE,
        ),
    ] = None
    pseudo_labels: Annotated[
        float | None,
        typer.Option(
            "--pseudo-labels",
            help="Learn from unlabelled moments, too, that the head names with at least this "
            "probability (0.9); moments of encounters held out stay out.",
            rich_help_panel=RECIPE,
        ),
    ] = None
    pseudo_rounds: Annotated[
        int,
        typer.Option(
            "--pseudo-rounds",
            min=1,
            help="Times that the unlabelled moments are named anew.",
            rich_help_panel=RECIPE,
        ),
    ] = 1
    pseudo_weight: Annotated[
        float,
        typer.Option(
            "--pseudo-weight",
            help="What a moment named so weighs beside a labelled moment.",
            rich_help_panel=RECIPE,
        ),
    ] = 1.0

    def _more(self) -> Mapping[str, Any]:
        from pseudorca.learning.pseudo_labels import PseudoLabels
        from pseudorca.learning.tuning import Search, Tuning

        more: dict[str, Any] = {}
        if self.pseudo_labels is not None:
            more["pseudo_labels"] = PseudoLabels(
                self.pseudo_labels, self.pseudo_rounds, self.pseudo_weight
            )
        elif self.pseudo_rounds != 1 or self.pseudo_weight != 1:
            raise PseudorcaError(
                "--pseudo-rounds and --pseudo-weight are of --pseudo-labels: give it, too (0.9)."
            )
        if self.tune is not None:
            space, typed = HEADS[str(self.head)].load().space, self._typed()
            untyped = {name: values for name, values in space.items() if name not in typed}
            more["tuning"] = Tuning(cast(Search, str(self.tune)), untyped)
        return more


RECIPE_OPTIONS, TUNABLE_RECIPE_OPTIONS = RecipeOptions(), TunableRecipeOptions()
"""Nothing typed."""


def preparation_from(texts: list[str] | None) -> "Preparation":
    """What ``--prepare`` says."""
    from pseudorca.learning.preparation import Preparation

    words = [word.strip() for text in texts or () for word in text.split(",")]
    return Preparation.of([word for word in words if word])


def with_recipe_options(verb: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Give a verb, in place of its parameter ``recipe``, an option per field of that one's class.

    typer knows flat parameters only; it reads the signature that is made here.
    """
    hints = get_type_hints(verb, include_extras=True)
    options = hints["recipe"]
    own = get_type_hints(options, include_extras=True)
    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb).parameters.values():
        if parameter.name == "recipe":
            shown += [
                inspect.Parameter(
                    field.name, parameter.kind, default=field.default, annotation=own[field.name]
                )
                for field in fields(options)
            ]
        else:
            shown.append(parameter.replace(annotation=hints[parameter.name]))

    @functools.wraps(verb)
    def called(*args: Parameters.args, **given: Parameters.kwargs) -> Returned:
        recipe = {field.name: given.pop(field.name) for field in fields(options)}
        return verb(*args, **{**given, "recipe": options(**recipe)})

    flat: Any = called
    flat.__signature__ = inspect.Signature(shown)
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return called

"""Options that several verbs share, and what the typed values stand for.

An option has one name, one type and one help text, whichever verbs take it. Options that belong
together are the fields of one dataclass, a group; :func:`with_groups` gives a verb an option for each
field. Options that are not for every day stand in a panel of the help: the recipe, where and how it is
computed, and what is rarely needed. Choices come from the registries.
"""

import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeVar, cast, get_type_hints

import typer

from pseudorca.errors import HeadError, PseudorcaError
from pseudorca.formats.registry import FORMATS
from pseudorca.learning.heads.registry import HEADS

if TYPE_CHECKING:
    from pseudorca.learning.preparation import Preparation
    from pseudorca.learning.recipe import Recipe
    from pseudorca.recordings.folds import Split

RECIPE, COMPUTING, RARE = "Recipe", "Computing", "Rarely needed"
"""Panels of the help texts; without one, an option is for every day."""

PANELS = (None, RECIPE, COMPUTING, RARE)
"""The panels in the order in which a verb shows them."""

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def flag(name: str, text: str, *, panel: str | None = None) -> Any:
    """An option that is given or not, and takes no value: its help shows none."""
    return typer.Option(name, help=text, metavar="", rich_help_panel=panel)


def option(name: str, text: str, *, panel: str | None = None, **more: Any) -> Any:
    """An option that takes a value."""
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


recipe_option = functools.partial(option, panel=RECIPE)
computing_option = functools.partial(option, panel=COMPUTING)
rare_option = functools.partial(option, panel=RARE)

if TYPE_CHECKING:
    FormatName = str
    HeadName = str
else:
    FormatName = StrEnum("FormatName", {name: name for name in FORMATS})
    HeadName = StrEnum("HeadName", {name: name for name in HEADS})

# Help texts of options that differ between verbs in their type or in what they are without.

SPLIT_HELP = (
    "encounter (default), random, stratified, recording, study (its 60/20/20), any column, or "
    "leave-one-COLUMN-out such as leave-one-encounter-out. Repeatable in evaluate and compare; "
    "compare takes the first for the headline."
)
OUTPUT_HELP = (
    "Where to write: a folder, made if need be. Of report the HTML file, of contours the CSV file."
)
PERMUTATIONS_HELP = (
    "Test the result against this many shuffles of the labels. With fewer than 20 "
    "no p is below 0.05."
)
MAX_ERROR_HELP = (
    "Largest share of wrong names among what is named, for sure (an upper 95 % bound). evaluate "
    "shows what it would do; without it, predict and decide name all that their other options let "
    "pass."
)
EPOCHS_HELP = "Epochs of a training. softmax and reproduce: 24; finetuned: 8."
HEAD_HELP = (
    "The classifier on embeddings; repeatable in compare: "
    + "; ".join(f"{name}, {entry.help}" for name, entry in HEADS.items())
    + "."
)

# Options for every day.

ProjectFolder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.")]
AsJson = Annotated[bool, flag("--json", "Print one JSON object to stdout.")]
Verbose = Annotated[
    bool, flag("--verbose", "Print every notice and problem, not only those that matter most.")
]
Output = Annotated[Path | None, option("--out", OUTPUT_HELP)]
OutputFolder = Annotated[Path, option("--out", OUTPUT_HELP)]
ClassifierName = Annotated[str, option("--name", "Name of the classifier.")]
ClassFolders = Annotated[
    str | None,
    option("--labels", "Class folders, such as Insular,Pelagic. Without: the top folders."),
]
MetadataTable = Annotated[
    str | None,
    option("--metadata", "Table (CSV, .xlsx) joined by its column path, file or encounter."),
]
MetadataColumns = Annotated[
    list[str] | None,
    option(
        "--columns",
        "What columns of --metadata mean, such as path=Filename,label=Population; also file, "
        "encounter, platform, start_utc. Repeatable.",
    ),
]
MissingTexts = Annotated[
    list[str] | None,
    option(
        "--missing",
        "Text that means in the table that nothing is known, such as NA (events: NA without it). "
        "Repeatable.",
        panel=RARE,
    ),
]
GroupBy = Annotated[
    str | None,
    option("--group-by", "Split by this column: recording, platform, day, or one of the metadata."),
]
FoldCount = Annotated[int, option("--folds", "Folds of a split.", min=2)]
Repeats = Annotated[int, option("--repeats", "Times the split is drawn anew.", min=1)]
Seed = Annotated[int | None, option("--seed", "Seed of whatever is random.", min=0)]
GateDb = Annotated[
    float | None,
    option(
        "--gate",
        "Pass over windows whose loudest sound exceeds their background by fewer decibels; "
        "white noise alone reaches 9 to 11, so 12 is a cautious gate.",
    ),
]
SetName = Annotated[
    str | None,
    option(
        "--as",
        "Name of the set of predictions, such as mooring_2021. Without: in predict that of the "
        "folder, in decide the last one.",
    ),
]
Formats = Annotated[
    list[FormatName] | None,
    option(
        "--format",
        "Files of what is said, repeatable: "
        + "; ".join(f"{name}, {entry.help}" for name, entry in FORMATS.items())
        + ". Without: csv.",
        metavar="NAME",
    ),
]
CsvStyle = Annotated[
    Literal["plain", "excel"],
    option(
        "--csv",
        "plain: CSV for programs; excel: CSV for Excel, with the mark of UTF-8, and an apostrophe "
        "before text that would run as a formula.",
        panel=RARE,
    ),
]

# Where and how it is computed.

Device = Annotated[str, computing_option("--device", "auto, cpu, or cuda (cuda:1, ...).")]
BatchSize = Annotated[
    int | None,
    computing_option(
        "--batch-size", "Pictures per pass through the network; 8, or 64 on a GPU.", min=1
    ),
]
ThreadCount = Annotated[
    int | None, computing_option("--threads", "Threads that do the work; one per core.", min=1)
]
WorkerCount = Annotated[
    int | None,
    computing_option(
        "--workers", "Processes on this machine that do the work; without it, this one.", min=1
    ),
]

# The recipe, and what is rarely needed.

Prepare = Annotated[
    list[str] | None,
    recipe_option(
        "--prepare",
        "What is made of embeddings first, several by commas: views (learn from the altered "
        "copies of embed --augment), test-views (average over those of embed --test-views), "
        "reference=minus or beside (the clip's own background, of embed --reference), "
        "centre=platform or another column (transductive), scale.",
    ),
]
NetworkWeights = Annotated[
    list[str] | None,
    rare_option(
        "--weights",
        "official, the name of official weights, or a file or folder; of several networks "
        "NETWORK=FILE. Repeatable.",
    ),
]
OtherSettings = Annotated[
    list[str] | None,
    rare_option(
        "--set",
        "Another setting: of the front end, such as levels=pcen, or of a simulated survey, such "
        "as sample_rate=192000. Repeatable.",
    ),
]
NamePattern = Annotated[
    str | None,
    rare_option(
        "--name-pattern",
        "Your own regular expression over paths, with the groups start, platform, encounter, "
        "channel or selection, such as '(?P<start>\\d{12})'.",
    ),
]
TimeFormat = Annotated[
    str | None,
    rare_option("--time-format", "strptime format of the group start, such as %y%m%d%H%M%S."),
]
TimeZone = Annotated[
    str | None,
    rare_option(
        "--time-zone",
        "Zone of the recorders' clocks where names give none: Pacific/Honolulu, -10, or (scan) a "
        "column of the metadata. Without: UTC.",
    ),
]
Within = Annotated[
    str | None,
    rare_option(
        "--within",
        "Shuffle labels only within equal values of this column, such as platform.",
    ),
]


@dataclass(frozen=True)
class ComputingGroup:
    """Where and how a network runs over recordings."""

    device: Device = "auto"
    precision: Annotated[
        Literal["auto", "float32", "mixed"],
        computing_option("--precision", "auto: mixed precision on a GPU, float32 elsewhere."),
    ] = "auto"
    batch_size: BatchSize = None
    n_threads: ThreadCount = None
    n_workers: WorkerCount = None
    cluster: Annotated[
        str | None,
        computing_option(
            "--cluster",
            "Address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do it.",
        ),
    ] = None


@dataclass(frozen=True)
class DecisionGroup:
    """When something is named, and where the answers are written."""

    set_name: SetName = None
    prior: Annotated[
        str,
        option(
            "--prior",
            "How frequent the classes are where these recordings come from: uniform, train (as many "
            "as there are training encounters), or shares: Insular=0.14,Pelagic=0.86",
        ),
    ] = "uniform"
    max_error: Annotated[float | None, option("--max-error", MAX_ERROR_HELP)] = None
    out: Output = None
    formats: Formats = None
    csv: CsvStyle = "plain"
    max_gap_s: Annotated[
        float,
        rare_option("--max-gap", "Seconds between clips of one name that are one detection."),
    ] = 0.0
    min_probability: Annotated[
        float | None,
        rare_option(
            "--min-probability",
            "Less probable than this stays undecided. Without: one half, or more, so that at most a "
            "quarter of the names of held-out encounters were wrong.",
        ),
    ] = None
    min_moments: Annotated[
        int, rare_option("--min-moments", "With fewer moments it stays undecided.", min=1)
    ] = 1
    max_novelty: Annotated[
        float,
        rare_option(
            "--max-novelty",
            "What is farther from all training sounds stays undecided; 1: farther than about "
            "95 % of new encounters of the classes are.",
        ),
    ] = 1.0


@dataclass(frozen=True)
class SplitGroup:
    """How a split that is named is drawn."""

    group_by: GroupBy = None
    n_folds: FoldCount = 5
    repeats: Repeats = 3
    seed: Seed = None

    def splits(self, names: list[str]) -> list["Split"]:
        """The splits of these names. PseudorcaError if ``--group-by`` fits none of them."""
        group = self.group_by
        if group is not None and not any("encounter" in name for name in names):
            raise PseudorcaError(
                f"--group-by {group} takes the place of the encounter in --split encounter or "
                f"leave-one-encounter-out; {', '.join(names)} names none. Leave one of the two out."
            )
        from pseudorca.recordings.folds import Split

        return [
            Split.named(
                name if group is None else name.replace("encounter", group),
                n_folds=self.n_folds, n_repeats=self.repeats, seed=self.seed,
            )
            for name in names
        ]  # fmt: skip


@dataclass(frozen=True)
class OneSplitGroup(SplitGroup):
    """The same, for verbs that draw their split once."""

    repeats: Repeats = 1


@dataclass(frozen=True)
class RecipeGroup:
    """A recipe as it is typed."""

    head: Annotated[HeadName, recipe_option("--head", HEAD_HELP, metavar="NAME")] = "logistic"
    balance: Annotated[
        Literal["none", "sampler", "weights"] | None,
        recipe_option(
            "--balance",
            "Class imbalance: none, sampler (weighted random batches; softmax), or class weights. "
            "Without it: none for softmax (as in the study), weights for all others.",
        ),
    ] = None
    c: Annotated[
        float | None,
        recipe_option(
            "--c",
            "Inverse penalty. logistic: chosen by inner folds without it; svm: 10.",
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        recipe_option(
            "--learning-rate",
            "softmax: 0.001; finetuned: 0.0003.",
        ),
    ] = None
    momentum: Annotated[
        float | None,
        recipe_option(
            "--momentum",
            "softmax: 0.9; finetuned with optimiser=sgd: 0.9.",
        ),
    ] = None
    epochs: Annotated[int | None, recipe_option("--epochs", EPOCHS_HELP, min=1)] = None
    head_set: Annotated[
        list[str] | None,
        recipe_option(
            "--head-set", "Another setting of the head, such as n_trees=1000. Repeatable."
        ),
    ] = None
    join: Annotated[
        Literal["embeddings", "scores"],
        recipe_option(
            "--join",
            "Several networks (embed --backbone A+B): one head on their embeddings side by side, "
            "or a head each and the mean of their scores.",
        ),
    ] = "embeddings"
    prepare: Prepare = None
    nothing: Annotated[
        Literal["background", "none"] | None,
        recipe_option(
            "--nothing",
            "background: also learn what nothing sounds like, from the background of the labelled "
            "clips and from folders of noise; an answer of its own. The default, but for --prepare "
            "and --head finetuned.",
        ),
    ] = None

    def make(self, seed: int | None) -> "Recipe":
        """The recipe. HeadError if its parts do not go together."""
        typed = self._typed()
        refuse_twice({"seed": seed}, typed, option="--head-set")
        if seed is not None:
            typed["seed"] = seed
        from pseudorca.learning.heads.registry import make_head
        from pseudorca.learning.recipe import Recipe

        return Recipe(
            make_head(self.head, **typed),
            self.join,
            preparation=preparation_from(self.prepare),
            nothing=self.nothing,
            **self._more(),
        )

    def _typed(self) -> dict[str, Any]:
        """The settings of the head that were typed."""
        named = {
            "balance": self.balance,
            "c": self.c,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "n_epochs": self.epochs,
        }
        typed = {name: value for name, value in named.items() if value is not None}
        for option, value in (("--c", self.c), ("--learning-rate", self.learning_rate)):
            if value is not None and not 0 < value < math.inf:
                raise HeadError(f"{option} {value:g}: expected more than 0, and finite.")
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise HeadError(f"--momentum {self.momentum:g}: expected from 0 up to 1.")
        others = settings_from(self.head_set, option="--head-set")
        if "name" in others:
            raise PseudorcaError("--head-set name=...: a head is named by --head.")
        refuse_twice(typed, others, option="--head-set")
        return typed | others

    def _more(self) -> Mapping[str, Any]:
        """Parts that only some verbs take."""
        return {}


@dataclass(frozen=True)
class TunableRecipeGroup(RecipeGroup):
    """The same, for verbs that may choose settings in inner folds."""

    tune: Annotated[
        Literal["grid", "optuna"] | None,
        recipe_option(
            "--tune",
            "Choose the settings of the head that were not given in inner folds, anew for every "
            "training side: grid (the study's values) or optuna (kept in the project; goes on when "
            "run again).",
        ),
    ] = None
    pseudo_labels: Annotated[
        float | None,
        recipe_option(
            "--pseudo-labels",
            "Learn from unlabelled moments, too, that the head names with at least this "
            "probability (0.9); moments of encounters held out stay out.",
        ),
    ] = None
    pseudo_rounds: Annotated[
        int,
        recipe_option(
            "--pseudo-rounds", "Times that the unlabelled moments are named anew.", min=1
        ),
    ] = 1
    pseudo_weight: Annotated[
        float,
        recipe_option("--pseudo-weight", "What a moment named so weighs beside a labelled moment."),
    ] = 1.0

    def _more(self) -> Mapping[str, Any]:
        from pseudorca.learning.pseudo_labels import PseudoLabels
        from pseudorca.learning.tuning import Tuning

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
            space, typed = HEADS[self.head].load().space, self._typed()
            untyped = {name: values for name, values in space.items() if name not in typed}
            more["tuning"] = Tuning(self.tune, untyped)
        return more


def with_groups(verb: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Give a verb, in place of each parameter that is a group, an option per field of the group.

    typer knows flat parameters only; it reads the signature that is made here, in which the options
    stand in the order of their panels, ``--json`` last.
    """
    hints = get_type_hints(verb, include_extras=True)
    parameters = inspect.signature(verb).parameters
    groups = {name: hints[name] for name in parameters if is_dataclass(hints[name])}
    shown: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        if name in groups:
            own = get_type_hints(groups[name], include_extras=True)
            shown += [
                inspect.Parameter(
                    field.name, parameter.kind, default=field.default, annotation=own[field.name]
                )
                for field in fields(groups[name])
            ]
        else:
            shown.append(parameter.replace(annotation=hints[name]))
    shown.sort(key=_place_in_help)

    @functools.wraps(verb)
    def called(*args: Parameters.args, **typed: Parameters.kwargs) -> Returned:
        values: dict[str, Any] = dict(typed)
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return cast(Returned, cast(Any, verb)(*args, **values))

    flat: Any = called
    flat.__signature__ = inspect.Signature(shown)
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return called


def _place_in_help(parameter: inspect.Parameter) -> tuple[bool, int]:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    panel = getattr(metadata[0], "rich_help_panel", None) if metadata else None
    return parameter.name in ("verbose", "as_json"), PANELS.index(panel)


def given(group: Any) -> dict[str, Any]:
    """What was typed of a group, as arguments of a method of the project."""
    return {name: value for name, value in vars(group).items() if value is not None}


def preparation_from(texts: list[str] | None) -> "Preparation":
    """What ``--prepare`` says."""
    from pseudorca.learning.preparation import Preparation

    return Preparation.of(list(words_from(texts)))


def refuse_twice(named: Mapping[str, Any], settings: Mapping[str, Any], *, option: str) -> None:
    """PseudorcaError if a setting that has an option of its own is also given among the settings."""
    for name, value in settings.items():
        if named.get(name) is not None:
            raise PseudorcaError(
                f"{name} is given twice: {named[name]} by its own option, and {option} "
                f"{name}={value}. Leave one of them out."
            )


def settings_from(texts: list[str] | None, *, option: str = "--set") -> dict[str, Any]:
    """Read settings such as ``levels=pcen`` or ``rows=64``: JSON values where they are, else text."""
    settings: dict[str, Any] = {}
    for name, value in named_values(texts, option=option).items():
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def named_values(
    texts: list[str] | None, *, option: str, expected: str = "NAME=VALUE"
) -> dict[str, str]:
    """Read texts such as ``levels=pcen``; PseudorcaError if one has no name, or one is named twice."""
    values: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise PseudorcaError(f"{option} {text!r}: expected {expected}.")
        if name in values:
            raise PseudorcaError(
                f"{option} names {name} twice: {name}={values[name]} and {name}={value}. Give it once."
            )
        values[name] = value
    return values


def columns_from(texts: list[str] | None) -> dict[str, str]:
    """What ``--columns`` says; a name of a column may hold commas."""
    parts = [part for text in texts or () for part in re.split(r",(?=\s*\w+\s*=)", text)]
    return named_values(parts, option="--columns", expected="MEANING=COLUMN")


def names_from(text: str | None) -> tuple[str, ...] | None:
    """Names that are given in one text with commas; None where nothing is given."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def words_from(texts: list[str] | None) -> tuple[str, ...]:
    """Words that are given in several texts, with commas."""
    return tuple(word.strip() for text in texts or () for word in text.split(",") if word.strip())

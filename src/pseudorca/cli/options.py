"""Options that several verbs share, and what they make of them."""

import json
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pseudorca.errors import PseudorcaError

if TYPE_CHECKING:
    from pseudorca.learning.heads.base import Head
    from pseudorca.learning.preparation import Preparation
    from pseudorca.recordings.folds import Split
    from pseudorca.store import Store


class Padding(StrEnum):
    tile = "tile"
    zero = "zero"
    drop = "drop"


class HeadKind(StrEnum):
    logistic = "logistic"
    softmax = "softmax"
    svm = "svm"
    forest = "forest"
    gmm = "gmm"
    hmm = "hmm"
    finetuned = "finetuned"


class Joining(StrEnum):
    embeddings = "embeddings"
    scores = "scores"


class Balance(StrEnum):
    none = "none"
    sampler = "sampler"
    weights = "weights"


class PrecisionName(StrEnum):
    auto = "auto"
    float32 = "float32"
    mixed = "mixed"


class Search(StrEnum):
    grid = "grid"
    optuna = "optuna"


class Conflict(StrEnum):
    error = "error"
    drop = "drop"


class FormatName(StrEnum):
    csv = "csv"
    parquet = "parquet"
    raven = "raven"
    audacity = "audacity"
    opensoundscape = "opensoundscape"
    birdnet = "birdnet"
    banter = "banter"


ProjectFolder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.")]
Project = ProjectFolder  # until the verbs train, evaluate, compare and audit call Project

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]

Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads that do the work; one per core.")
]

WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes on this machine that do the work; without it, this one."
    ),
]

ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do it.",
    ),
]

GateDb = Annotated[
    float | None,
    typer.Option(
        "--gate",
        help="Pass over windows whose loudest sound exceeds their background by fewer decibels; "
        "white noise alone reaches 9 to 11, so 12 is a cautious gate.",
    ),
]

NamePattern = Annotated[
    str | None,
    typer.Option(
        help="Your own regular expression over paths, with the groups start, platform, encounter, "
        "channel or selection, such as '(?P<platform>rec\\d+)_(?P<start>\\d{12})'."
    ),
]

TimeFormat = Annotated[
    str | None, typer.Option(help="strptime format of the group start, such as %y%m%d%H%M%S (UTC).")
]

Device = Annotated[str, typer.Option(help="auto, cpu, or cuda (cuda:1, ...).")]

PrecisionChoice = Annotated[
    PrecisionName, typer.Option(help="auto: mixed precision on a GPU, float32 elsewhere.")
]

BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Pictures per pass through the network; 8, or 64 on a GPU."),
]

HeadName = Annotated[
    HeadKind,
    typer.Option(
        "--head",
        help="logistic regression; softmax trained by SGD as in the study; svm, forest, gmm; hmm on "
        "the frames of --backbone mfcc_frames; finetuned trains through the network (see "
        "docs/finetuning.md).",
    ),
]

Balancing = Annotated[
    Balance | None,
    typer.Option(
        "--balance",
        help="Class imbalance: none, sampler (weighted random batches; softmax), or class weights. "
        "Without it: weights for logistic, none for softmax (as in the study).",
    ),
]

Strength = Annotated[
    float | None,
    typer.Option(
        "--c", help="Inverse penalty. logistic: chosen by inner folds without it; svm: 10."
    ),
]

Rate = Annotated[
    float | None, typer.Option("--learning-rate", help="softmax: 0.001; finetuned: 0.0003.")
]

Momentum = Annotated[
    float | None,
    typer.Option("--momentum", help="softmax: 0.9; finetuned with optimiser=sgd: 0.9."),
]

Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="softmax: 24; finetuned: 8.")]

HeadSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--head-set", help="Another setting of the head, such as n_trees=1000. Repeatable."
    ),
]

Tune = Annotated[
    Search | None,
    typer.Option(
        "--tune",
        help="Choose the head's settings in inner folds, anew for every training side: grid (the "
        "study's values) or optuna (kept in the project; goes on when run again).",
    ),
]

Join = Annotated[
    Joining,
    typer.Option(
        "--join",
        help="Several networks (embed --backbone A+B): one head on their embeddings side by side, or "
        "a head each and the mean of their scores.",
    ),
]

PseudoLabels = Annotated[
    float | None,
    typer.Option(
        "--pseudo-labels",
        help="Learn from unlabelled moments, too, that the head names with at least this probability "
        "(0.9); those of encounters held out stay out.",
    ),
]

PseudoRounds = Annotated[
    int, typer.Option("--pseudo-rounds", min=1, help="Times that the unlabelled are named anew.")
]

PseudoWeight = Annotated[
    float,
    typer.Option("--pseudo-weight", help="What a moment so named weighs beside a labelled one."),
]

Prepare = Annotated[
    list[str] | None,
    typer.Option(
        "--prepare",
        help="What is made of embeddings first, several by commas: views (learn from the altered "
        "copies of embed --augment), test-views (average over those of embed --test-views), "
        "reference=minus or beside (the clip's own background, of embed --reference), "
        "centre=platform or another column (transductive), scale.",
    ),
]

Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of whatever is random.")]

Repeats = Annotated[int, typer.Option(min=1, help="Times the split is drawn anew.")]

GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by", help="Split by this column: recording, platform, day, or one of the metadata."
    ),
]

PriorText = Annotated[
    str,
    typer.Option(
        "--prior",
        help="How frequent the classes are where these recordings come from: uniform, train (as many "
        "as there are training encounters), or shares such as Insular=0.14,Pelagic=0.86.",
    ),
]

Formats = Annotated[
    list[FormatName] | None,
    typer.Option("--format", help="Of what is written. Repeatable. Without: csv."),
]

MaxGap = Annotated[
    float,
    typer.Option("--max-gap", help="Seconds between clips of one name that are one detection."),
]

MaxError = Annotated[
    float | None,
    typer.Option(
        "--max-error",
        help="Name only so much that at most this share of the names is wrong, for sure (an upper "
        "95 % bound). Without: everything is named that the other options let pass.",
    ),
]

MinProbability = Annotated[
    float, typer.Option("--min-probability", help="Less probable than this stays undecided.")
]

MinMoments = Annotated[
    int, typer.Option("--min-moments", min=1, help="With fewer moments it stays undecided.")
]

MaxNovelty = Annotated[
    float,
    typer.Option(
        "--max-novelty",
        help="What is farther from all training sounds stays undecided; 1: farther than about "
        "95 % of new encounters of the classes are.",
    ),
]

SPLIT_HELP = (
    "encounter (default), random, stratified, recording, study (the study's 60/20/20), any column, "
    "or leave-one-COLUMN-out such as leave-one-encounter-out."
)


_open_projects = ExitStack()


def open_store(project: Path) -> Any:
    """Open a project for a verb that does not call Project yet: train, evaluate, compare, audit."""
    from pseudorca.access import locked
    from pseudorca.store import Store

    return _open_projects.enter_context(locked(Store(project)))


def close_projects() -> None:
    """Let other processes have the projects of :func:`open_store`."""
    _open_projects.close()


def head_from(
    name: HeadKind,
    balance: Balance | None,
    c: float | None,
    learning_rate: float | None,
    momentum: float | None,
    epochs: int | None,
    seed: int | None,
    settings: tuple[tuple[str, Any], ...] = (),
) -> "Head":
    from pseudorca.learning.heads.registry import make_head

    named = {
        "balance": balance.value if balance else None,
        "c": c,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "n_epochs": epochs,
        "seed": seed,
    }
    return make_head(name.value, **(named | dict(settings)))


def tuned_head_from(
    search: Search | None,
    store: "Store",
    name: HeadKind,
    balance: Balance | None,
    c: float | None,
    learning_rate: float | None,
    momentum: float | None,
    epochs: int | None,
    seed: int | None,
    settings: tuple[tuple[str, Any], ...] = (),
) -> "Head":
    """The head of :func:`head_from`, its settings that were not given tuned if that is wished."""
    if search is None:
        return head_from(name, balance, c, learning_rate, momentum, epochs, seed, settings)
    from pseudorca.learning.tuning import SPACES, TunedHead

    if name.value not in SPACES:
        raise PseudorcaError(
            f"--tune does not choose the settings of the {name.value} head. Give them by --head-set, "
            "or leave out --tune."
        )
    wished = {
        "balance": balance.value if balance else None,
        "c": c,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "n_epochs": epochs,
    }
    given = {setting: value for setting, value in wished.items() if value is not None}
    given |= dict(settings)
    space = {s: values for s, values in SPACES[name.value].items() if s not in given}
    return TunedHead(
        name.value, given, space, search=search.value, seed=seed or 0,
        storage=store.folder / "tuning.journal",
    )  # fmt: skip


def splits_from(
    names: list[str], group_by: str | None, n_folds: int, n_repeats: int, seed: int | None
) -> list["Split"]:
    from pseudorca.recordings.folds import Split

    if group_by is not None:
        if not any("encounter" in name for name in names):
            raise PseudorcaError(
                f"--group-by {group_by} takes the place of the encounter in --split encounter or "
                f"leave-one-encounter-out; {', '.join(names)} names none. Leave one of the two out."
            )
        names = [
            name.replace("encounter", group_by) if "encounter" in name else name for name in names
        ]
    return [Split.named(name, n_folds=n_folds, n_repeats=n_repeats, seed=seed) for name in names]


def preparation_from(texts: list[str] | None) -> "Preparation":
    from pseudorca.learning.preparation import Preparation

    words = [word.strip() for text in texts or () for word in text.split(",")]
    return Preparation.of([word for word in words if word])


def settings_from(texts: list[str], *, option: str = "--set") -> tuple[tuple[str, Any], ...]:
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise PseudorcaError(f"{option} {text!r}: expected NAME=VALUE.")
        try:
            found.append((name, json.loads(value)))
        except ValueError:
            found.append((name, value))
    return tuple(found)


def names_from(text: str | None) -> list[str] | None:
    """Names that are given in one text with commas; None where nothing is given."""
    return None if text is None else [name.strip() for name in text.split(",")]


def formats_from(formats: list[FormatName] | None) -> list[str]:
    """The formats asked for; without any, CSV."""
    return [name.value for name in formats or [FormatName.csv]]

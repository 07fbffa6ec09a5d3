"""Options that several verbs share, and what they make of them.

An option has one name, one type and one help text, whichever verbs take it. Options that are not for
every day stand in a panel of the help: the recipe, where and how it is computed, and what is rarely
needed. Choices come from the registries.
"""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.formats.registry import FORMATS

if TYPE_CHECKING:
    from pseudorca.recordings.folds import Split

RECIPE, COMPUTING, RARE = "Recipe", "Computing", "Rarely needed"
"""Panels of the help texts; without one, an option is for every day."""

DEFAULT_FORMAT = "csv"


def one_of(names: Iterable[str]) -> Any:
    """The type of an option that takes one of these names."""
    return StrEnum("Name", {name: name for name in names})


def flag(name: str, text: str, *, panel: str | None = None) -> Any:
    """An option that is given or not, and takes no value: its help shows none."""
    return typer.Option(name, help=text, metavar="", rich_help_panel=panel)


if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = one_of(FORMATS)


class Padding(StrEnum):
    tile = "tile"
    zero = "zero"
    drop = "drop"


class PrecisionName(StrEnum):
    auto = "auto"
    float32 = "float32"
    mixed = "mixed"


class Conflict(StrEnum):
    error = "error"
    drop = "drop"


SPLIT_HELP = (
    "encounter (default), random, stratified, recording, study (its 60/20/20), any column, or "
    "leave-one-COLUMN-out such as leave-one-encounter-out. Repeatable in evaluate and compare; "
    "compare takes the first for the headline."
)

# For every day

ProjectFolder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.")]

AsJson = Annotated[bool, flag("--json", "Print one JSON object to stdout.")]

OUTPUT_HELP = (
    "Where to write: a folder, made if need be. Of report the HTML file, of contours the CSV file."
)

Output = Annotated[Path | None, typer.Option("--out", help=OUTPUT_HELP)]

OutputFolder = Annotated[Path, typer.Option("--out", help=OUTPUT_HELP)]

ClassifierName = Annotated[str, typer.Option("--name", help="Name of the classifier.")]

SetName = Annotated[
    str | None,
    typer.Option(
        "--set-name",
        help="Name of the set of predictions. Without: in predict that of the folder, in decide the "
        "last one.",
    ),
]

ClassFolders = Annotated[
    str | None,
    typer.Option(
        "--labels", help="Class folders, such as Insular,Pelagic. Without: the top folders."
    ),
]

MetadataTable = Annotated[
    str | None,
    typer.Option("--metadata", help="CSV joined by its column path, file or encounter."),
]

GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by", help="Split by this column: recording, platform, day, or one of the metadata."
    ),
]

FoldCount = Annotated[int, typer.Option("--folds", min=2, help="Folds of a split.")]

Repeats = Annotated[int, typer.Option("--repeats", min=1, help="Times the split is drawn anew.")]

Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of whatever is random.")]

PERMUTATIONS_HELP = (
    "Test the result against this many shuffles of the labels; 199 take minutes. With fewer than 20 "
    "no p is below 0.05."
)

MAX_ERROR_HELP = (
    "Largest share of wrong names among what is named, for sure (an upper 95 % bound). evaluate "
    "shows what it would do; without it, predict and decide name all that their other options let "
    "pass."
)

MaxError = Annotated[float | None, typer.Option("--max-error", help=MAX_ERROR_HELP)]

PriorText = Annotated[
    str,
    typer.Option(
        "--prior",
        help="How frequent the classes are where these recordings come from: uniform, train (as many "
        "as there are training encounters), or shares: Insular=0.14,Pelagic=0.86",
    ),
]

Formats = Annotated[
    list[FormatName] | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Files of what is said, repeatable: "
        + "; ".join(f"{name}, {entry.help}" for name, entry in FORMATS.items())
        + f". Without: {DEFAULT_FORMAT}.",
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

# Where and how it is computed

Device = Annotated[
    str,
    typer.Option("--device", help="auto, cpu, or cuda (cuda:1, ...).", rich_help_panel=COMPUTING),
]

PrecisionChoice = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        help="auto: mixed precision on a GPU, float32 elsewhere.",
        rich_help_panel=COMPUTING,
    ),
]

BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Pictures per pass through the network; 8, or 64 on a GPU.",
        rich_help_panel=COMPUTING,
    ),
]

ThreadCount = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="Threads that do the work; one per core.",
        rich_help_panel=COMPUTING,
    ),
]

WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Processes on this machine that do the work; without it, this one.",
        rich_help_panel=COMPUTING,
    ),
]

ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do it.",
        rich_help_panel=COMPUTING,
    ),
]

# Rarely needed

NetworkWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help="official, the name of official weights, or a file or folder; of several networks "
        "NETWORK=FILE. Repeatable.",
        rich_help_panel=RARE,
    ),
]

OtherSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Another setting: of the front end, such as levels=pcen, or of a simulated survey, such "
        "as sample_rate=192000. Repeatable.",
        rich_help_panel=RARE,
    ),
]

NamePattern = Annotated[
    str | None,
    typer.Option(
        "--name-pattern",
        help="Your own regular expression over paths, with the groups start, platform, encounter, "
        "channel or selection, such as '(?P<start>\\d{12})'.",
        rich_help_panel=RARE,
    ),
]

TimeFormat = Annotated[
    str | None,
    typer.Option(
        "--time-format",
        help="strptime format of the group start, such as %y%m%d%H%M%S (UTC).",
        rich_help_panel=RARE,
    ),
]

Within = Annotated[
    str | None,
    typer.Option(
        "--within",
        help="Shuffle labels only within equal values of this column, such as platform.",
        rich_help_panel=RARE,
    ),
]

MaxGap = Annotated[
    float,
    typer.Option(
        "--max-gap",
        help="Seconds between clips of one name that are one detection.",
        rich_help_panel=RARE,
    ),
]

MinProbability = Annotated[
    float,
    typer.Option(
        "--min-probability",
        help="Less probable than this stays undecided.",
        rich_help_panel=RARE,
    ),
]

MinMoments = Annotated[
    int,
    typer.Option(
        "--min-moments",
        min=1,
        help="With fewer moments it stays undecided.",
        rich_help_panel=RARE,
    ),
]

MaxNovelty = Annotated[
    float,
    typer.Option(
        "--max-novelty",
        help="What is farther from all training sounds stays undecided; 1: farther than about "
        "95 % of new encounters of the classes are.",
        rich_help_panel=RARE,
    ),
]


def refuse_twice(
    named: dict[str, Any], settings: tuple[tuple[str, Any], ...], *, option: str
) -> None:
    """PseudorcaError if a setting that has an option of its own is also given among the settings."""
    for name, value in settings:
        if named.get(name) is not None:
            raise PseudorcaError(
                f"{name} is given twice: {named[name]} by its own option, and {option} "
                f"{name}={value}. Leave one of them out."
            )


def splits_from(
    names: list[str], group_by: str | None, n_folds: int, n_repeats: int, seed: int | None
) -> list["Split"]:
    if group_by is not None:
        if not any("encounter" in name for name in names):
            raise PseudorcaError(
                f"--group-by {group_by} takes the place of the encounter in --split encounter or "
                f"leave-one-encounter-out; {', '.join(names)} names none. Leave one of the two out."
            )
        names = [
            name.replace("encounter", group_by) if "encounter" in name else name for name in names
        ]
    from pseudorca.recordings.folds import Split

    return [Split.named(name, n_folds=n_folds, n_repeats=n_repeats, seed=seed) for name in names]


def settings_from(texts: list[str], *, option: str = "--set") -> tuple[tuple[str, Any], ...]:
    found: list[tuple[str, Any]] = []
    for name, value in named_values(texts, option=option).items():
        try:
            found.append((name, json.loads(value)))
        except ValueError:
            found.append((name, value))
    return tuple(found)


def named_values(texts: list[str], *, option: str, expected: str = "NAME=VALUE") -> dict[str, str]:
    """Read texts such as ``levels=pcen``; PseudorcaError if one has no name, or one is named twice."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise PseudorcaError(f"{option} {text!r}: expected {expected}.")
        if name in values:
            raise PseudorcaError(
                f"{option} names {name} twice: {name}={values[name]} and {name}={value}. Give it once."
            )
        values[name] = value
    return values


def names_from(text: str | None) -> list[str] | None:
    """Names that are given in one text with commas; None where nothing is given."""
    return None if text is None else [name.strip() for name in text.split(",")]


def words_from(texts: list[str] | None) -> tuple[str, ...]:
    """Words that are given in several texts, with commas."""
    return tuple(word.strip() for text in texts or () for word in text.split(",") if word.strip())


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """PseudorcaError if a name is none of the known ones."""
    known = tuple(known)
    for name in names:
        if name not in known:
            raise PseudorcaError(unknown_name(kind, name, known))


def formats_from(formats: list[FormatName] | None) -> list[str]:
    """The formats asked for; without any, CSV."""
    return [str(name) for name in formats or [DEFAULT_FORMAT]]

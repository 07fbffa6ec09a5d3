"""Options that several verbs share, and what they make of them."""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pseudorca.errors import PseudorcaError

if TYPE_CHECKING:
    from pseudorca.recordings.folds import Split


def one_of(names: Iterable[str]) -> Any:
    """The type of an option that takes one of these names."""
    return StrEnum("Name", {name: name for name in names})


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


class FormatName(StrEnum):
    csv = "csv"
    parquet = "parquet"
    raven = "raven"
    audacity = "audacity"
    opensoundscape = "opensoundscape"
    birdnet = "birdnet"
    banter = "banter"


EVERYDAY, RECIPE, COMPUTING, RARE = "Everyday", "Recipe", "Computing", "Rarely needed"
"""Panels of the help texts."""

ProjectFolder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.")]

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


def formats_from(formats: list[FormatName] | None) -> list[str]:
    """The formats asked for; without any, CSV."""
    return [name.value for name in formats or [FormatName.csv]]

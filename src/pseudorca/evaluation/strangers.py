"""How often an animal of no class is named, and how far a novelty limit can keep it from being named.

Each species is left out in turn: a classifier learns and is calibrated without it, and is then asked
about it, by the rules that ``predict`` follows by default. In: the labelled clips. Out: the share of
strangers that get a name, with intervals from the species and their encounters, and the lowest limit on
novelty that costs the known classes few names. The limit of a species left out is chosen without it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError
from pseudorca.evaluation.intervals import recall_interval
from pseudorca.evaluation.least_probability import usual_probability
from pseudorca.evaluation.risk_coverage import outcomes
from pseudorca.learning.calibration import Calibrator, calibrate_out_of_fold, carried_prior
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import Floats, Names, TrainingSet
from pseudorca.learning.false_alarms import NothingRule
from pseudorca.learning.heads.base import Head, fit_head, mean_said
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.nothing import nothing_rule
from pseudorca.learning.novelty import fit_novelty, held_out_novelty
from pseudorca.learning.units import aggregate
from pseudorca.progress import Progress
from pseudorca.recordings.folds import OTHER, Folds, Split, make_folds

IN_FORCE = 1.0
"""The limit on novelty that ``predict`` takes by default."""

MOST_LOST = 0.05
"""Share of held-out encounters of known classes that a lower limit may leave without a name."""

LEAST_SPECIES = 3
FEW_SPECIES = 10
"""With fewer, an interval says little about the species that were never heard."""

_UNITS = ("recording", "encounter")
_NO_NAME = ""


def ask_strangers(
    labelled: LabelledProject, split: Split, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Leave each species out in turn and ask how often its animals are named.

    Parameters
    ----------
    labelled : LabelledProject
    split : Split by encounter or coarser: how known encounters are held out
    progress : callable (done, total) or None, over trainings

    Returns
    -------
    dict of JSON values
        ``can_tell`` and ``why_not``; ``species`` (class to species, None where the classes are taken
        as species); ``limit`` (``in_force``, ``chosen``, and ``fall``: how much less is named of known
        encounters by limits chosen on others); ``known`` (by kind of unit, the share that is named
        ``before`` and ``after``, at the limit in force and at the chosen one); ``left_out`` (a dict
        per species) and ``overall`` (species as trials) with the same of strangers

    Raises
    ------
    HeadError
        If the head trains the network itself.
    """
    labelled.recipe.check_learns_from_embeddings()
    classes = sorted(set(labelled.clips["label"]) - {OTHER})
    known_species = species_of(labelled.clips, labelled.recordings, classes)
    species_by_class = known_species or {label: label for label in classes}
    species = sorted(set(species_by_class.values()))
    found: dict[str, Any] = {"can_tell": False, "species": known_species}
    if len(species) < LEAST_SPECIES:
        return found | {"why_not": _why_not(classes, species, known_species is not None)}
    labels = labelled.clips["label"].to_numpy(dtype=object)
    of_species = np.array([species_by_class.get(label, OTHER) for label in labels], dtype=object)
    everything = _Side.of(labelled, split, np.ones(len(labels), dtype=bool))
    sides = {name: _Side.of(labelled, split, of_species != name) for name in species}
    count = _counter([everything, *(side for side in sides.values() if side)], progress)
    if everything is None:
        return found | {"why_not": "no encounter can be held out, so no limit can be chosen."}
    held_out, _ = everything.held_out(count)
    rows = [_left_out(sides[name], name, species_by_class, count) for name in species]
    asked = [row for row in rows if "units" in row]
    if len(asked) < LEAST_SPECIES:
        return found | {"why_not": "too few species can be left out.", "left_out": rows}
    chosen = lowest_limit(held_out["encounter"])
    return found | {
        "can_tell": True,
        "why_not": "",
        "n_trainings": count.n_done,
        "limit": {
            "in_force": IN_FORCE,
            "chosen": chosen,
            "fall": _fall_elsewhere(held_out["encounter"]),
        },
        "known": {
            unit: {when: _share_named(table, limit) for when, limit in _whens(chosen)}
            for unit, table in held_out.items()
        },
        "left_out": rows,
        "overall": {unit: _overall(asked, unit) for unit in _UNITS},
    }


def species_of(
    clips: pd.DataFrame, recordings: pd.DataFrame, classes: Sequence[str]
) -> dict[str, str] | None:
    """Find the species of each class in the column ``species`` of the metadata.

    Parameters
    ----------
    clips, recordings : DataFrame, labelled clips, and the table ``recordings``
    classes : list of str

    Returns
    -------
    dict from class to species, or None if the metadata have no such column
        A class without a species, or with several, is its own.

    Examples
    --------
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "metadata": ['{"species": "Orcinus orca"}']})
    >>> clips = pd.DataFrame({"recording_id": ["r1"], "label": ["Residents"]})
    >>> species_of(clips, recordings, ["Residents"])
    {'Residents': 'Orcinus orca'}
    """
    entries = [json.loads(text) for text in recordings["metadata"]]
    (column, *_) = [
        *(name for entry in entries for name in entry if name.casefold() == "species"), None
    ]  # fmt: skip
    if column is None:
        return None
    values = dict(zip(recordings["recording_id"], entries, strict=True))
    named: dict[str, set[str]] = {label: set() for label in classes}
    for label, recording in zip(clips["label"], clips["recording_id"], strict=True):
        if label in named:
            named[label].add(str(values[recording].get(column, "")).strip())
    return {
        label: next(iter(names)) if len(names) == 1 and "" not in names else label
        for label, names in named.items()
    }


def lowest_limit(table: pd.DataFrame) -> float:
    """Find the lowest limit on novelty that leaves few known encounters without their name.

    A lower limit never names more strangers, so the lowest one that the known classes allow is best.

    Parameters
    ----------
    table : DataFrame ``encounter, named, novelty``, of held-out units; ``named`` is empty where a unit
        gets no name whatever the limit

    Returns
    -------
    float, at most :data:`IN_FORCE`, in hundredths; that, if nothing is named

    Examples
    --------
    >>> names = [f"e{k}" for k in range(40)]
    >>> table = pd.DataFrame({"encounter": names, "named": "A", "novelty": np.linspace(0.2, 1, 40)})
    >>> lowest_limit(table)
    0.96
    """
    by_encounter = table.groupby("encounter")["named"]
    weight = 1 / by_encounter.transform("size") / by_encounter.ngroups
    is_named = (table["named"] != _NO_NAME) & (table["novelty"] <= IN_FORCE)
    if not is_named.any():
        return IN_FORCE
    kept = weight[is_named].groupby(table["novelty"]).sum().cumsum()
    lowest = kept.index[(kept >= kept.iloc[-1] - MOST_LOST - 1e-9).argmax()]
    return float(np.clip(np.ceil(100 * lowest - 1e-9) / 100, 0.01, IN_FORCE))


def strangers_in_words(found: Mapping[str, Any]) -> list[str]:
    """Say what :func:`ask_strangers` found.

    Parameters
    ----------
    found : mapping, as from :func:`ask_strangers`

    Returns
    -------
    list of str, a sentence or two each

    Examples
    --------
    >>> strangers_in_words({"can_tell": False, "why_not": "there are 2 classes."})
    ['Strangers: cannot tell, since there are 2 classes. The limit on novelty stays.']
    """
    if not found["can_tell"]:
        return [f"Strangers: cannot tell, since {found['why_not']} The limit on novelty stays."]
    limit, overall = found["limit"], found["overall"]["encounter"]
    n = sum("units" in row for row in found["left_out"])
    few = ": few, so it says little of other species" if n < FEW_SPECIES else ""
    lines = [
        f"Strangers: {100 * overall['before']['share']:.0f} % of the encounters of a species that is "
        f"no class are named, 95 % interval {100 * overall['before']['low']:.0f} to "
        f"{100 * overall['before']['high']:.0f} % ({n} species, each left out in turn{few})."
    ]
    if limit["chosen"] < limit["in_force"]:
        known = found["known"]["encounter"]
        lines.append(
            f"With --max-novelty {limit['chosen']:g} (predict, decide) "
            f"{100 * overall['after']['share']:.0f} % are (limits chosen without the species); of "
            f"known encounters, held out, {100 * known['after']:.0f} % instead of "
            f"{100 * known['before']:.0f} % are named, and by limits chosen on others "
            f"{100 * limit['fall']:.0f} % less."
        )
    else:
        lines.append(
            f"No lower limit on novelty costs the known classes at most {100 * MOST_LOST:.0f} % of "
            "their encounters' names: the limit stays."
        )
    if found["species"] is None:
        lines.append(
            "The classes are taken as species, since the metadata have no column species. If they are "
            "populations of one, this says nothing of other species."
        )
    return lines


@dataclass
class _Counter:
    """Counts trainings over several cross-validations."""

    progress: Progress
    n_all: int
    n_done: int = 0

    def one(self, *_: int) -> None:
        self.n_done += 1
        self.progress(self.n_done, self.n_all)


def _counter(sides: Sequence["_Side | None"], progress: Progress | None) -> _Counter:
    n_all = sum(len(list(side.folds)) + 1 for side in sides if side is not None) - 1
    return _Counter(progress or (lambda done, total: None), n_all)


@dataclass(frozen=True)
class _Rule:
    """What it takes to be named, of one kind of unit."""

    calibrator: Calibrator
    least_probability: float


@dataclass(frozen=True)
class _Side:
    """The clips of the classes that are known, and those of a species that is not."""

    recordings: pd.DataFrame
    clips: pd.DataFrame
    data: TrainingSet
    grouped: TrainingSet
    """The same in the units of the folds, with noise of other encounters than the strangers'."""
    folds: Folds
    head: Head
    other_clips: pd.DataFrame
    others: TrainingSet

    @classmethod
    def of(
        cls, labelled: LabelledProject, split: Split, is_known: NDArray[np.bool_]
    ) -> "_Side | None":
        """The side of these clips; None if no encounter can be held out of it."""
        encounters = labelled.clips["encounter"]
        is_apart = ~encounters.isin(encounters[~is_known]).to_numpy()  # none of a mixed encounter
        known, others = np.flatnonzero(is_known & is_apart), np.flatnonzero(~is_known)
        clips = labelled.clips.iloc[known].reset_index(drop=True)
        try:
            folds = make_folds(clips, labelled.recordings, split)
        except FoldError:
            return None
        other_clips = labelled.clips.iloc[others].reset_index(drop=True)
        grouped = labelled.grouped(folds, strangers=other_clips)
        return cls(
            labelled.recordings, clips, labelled.data.take(known), grouped, folds,
            labelled.trainer(split), other_clips, labelled.data.take(others),
        )  # fmt: skip

    @property
    def units(self) -> dict[str, Names]:
        return {"recording": self.data.recordings, "encounter": self.data.groups}

    def held_out(
        self, count: _Counter
    ) -> tuple[dict[str, pd.DataFrame], tuple[dict[str, _Rule], NothingRule | None]]:
        """What known units get as names when they are held out, and the rules of naming."""
        folds, recordings, clips = self.folds, self.recordings, self.clips
        said = cross_validate(self.grouped, folds, self.head, progress=count.one)
        encounters = clips["encounter"].to_numpy(dtype=object)
        nothing = nothing_rule(said, encounters, self.grouped.noise)
        novelty = held_out_novelty(self.data, folds, self.units)
        carried = carried_prior(self.head, self.data, said.classes)
        tables, rules = {}, {}
        for unit in _UNITS:
            units = calibrate_out_of_fold(
                clips, recordings, said.log_probabilities, folds, said.classes, unit=unit,
                presupposed=carried, p_nothing=said.p_nothing, rule=nothing,
            )  # fmt: skip
            lowest, _ = usual_probability(units, np.full(len(said.classes), 1.0))
            rules[unit] = _Rule(units.calibrator, lowest)
            heard = pd.concat(
                aggregate(
                    clips, recordings, said.log_probabilities[k], unit, novelty=novelty[unit][k],
                    p_nothing=None if said.p_nothing is None else said.p_nothing[k],
                    rule=nothing,
                ).table
                for k in range(len(said.log_probabilities))
            )  # fmt: skip
            table = outcomes(units).reset_index(drop=True)
            shared = [name for name in heard if name not in table]
            table = table.join(heard[shared].reset_index(drop=True))
            tables[unit] = _with_names(table[table["label"] != OTHER], lowest)
        return tables, (rules, nothing)

    def asked(
        self, rules: Mapping[str, _Rule], nothing: NothingRule | None, count: _Counter
    ) -> dict[str, pd.DataFrame]:
        """What strangers get as names."""
        trained = fit_head(self.head, self.grouped)
        novelty = fit_novelty(self.data.vectors, self.data.groups, self.units)
        scores = mean_said(trained, self.others.vectors, self.others.heard_again)
        distances = novelty.distances(self.others.vectors)
        tables = {}
        for unit, rule in rules.items():
            units = aggregate(
                self.other_clips, self.recordings, scores, unit,
                novelty=distances / novelty.usual[unit],
                p_nothing=trained.p_nothing(self.others.vectors), rule=nothing,
            )  # fmt: skip
            n_moments = units.table["n_moments"].to_numpy(np.int64)
            said = rule.calibrator.log_probabilities(units.log_probabilities, n_moments)
            best = said.argmax(axis=1)
            table = units.table.assign(
                named=np.array(trained.classes, dtype=object)[best],
                probability=np.exp(said[np.arange(len(best)), best]),
            )
            tables[unit] = _with_names(table, rule.least_probability)
        count.one()
        return tables


def _with_names(table: pd.DataFrame, least_probability: float) -> pd.DataFrame:
    """Leave the name empty where a unit gets none, whatever the limit on novelty."""
    is_named = (table["probability"] >= least_probability) & (table["named"] != OTHER)
    if "n_something" in table:
        is_named &= (table["n_something"] > 0) & ~table["by_noise"].astype(bool)
    return table.assign(named=table["named"].where(is_named, _NO_NAME))


def _left_out(
    side: _Side | None, species: str, species_by_class: Mapping[str, str], count: _Counter
) -> dict[str, Any]:
    """The row of one species: how much of it is named by a classifier that never heard it."""
    classes = [label for label, name in species_by_class.items() if name == species]
    row: dict[str, Any] = {"species": species, "classes": classes}
    if side is None:
        return row | {"why_not": "without it no encounter can be held out"}
    held_out, (rules, nothing) = side.held_out(count)
    chosen = lowest_limit(held_out["encounter"])
    asked = side.asked(rules, nothing, count)
    named = asked["encounter"].loc[asked["encounter"]["novelty"] <= IN_FORCE, "named"]
    return row | {
        "limit": chosen,
        "n": {unit: len(table) for unit, table in asked.items()},
        "named_as": named[named != _NO_NAME].value_counts().to_dict(),
        "units": {
            unit: {when: _with_interval(table, limit) for when, limit in _whens(chosen)}
            for unit, table in asked.items()
        },
    }


def _whens(chosen: float) -> Iterator[tuple[str, float]]:
    yield from (("before", IN_FORCE), ("after", chosen))


def _by_encounter(table: pd.DataFrame, limit: float) -> pd.Series:
    """The share of the units of each encounter that are named."""
    is_named = (table["named"] != _NO_NAME) & (table["novelty"] <= limit + 1e-9)
    return is_named.groupby(table["encounter"]).mean()


def _share_named(table: pd.DataFrame, limit: float) -> float:
    """The share of units that are named, every encounter weighing the same."""
    return float(_by_encounter(table, limit).mean())


def _with_interval(table: pd.DataFrame, limit: float) -> dict[str, float]:
    shares = _by_encounter(table, limit)
    return _shares(shares.to_numpy(), shares.index.to_numpy(dtype=object))


def _overall(rows: Sequence[Mapping[str, Any]], unit: str) -> dict[str, dict[str, float]]:
    """The mean over the species. Each is one trial: those that come will be of other species."""
    species = np.array([row["species"] for row in rows], dtype=object)
    return {
        when: _shares(np.array([row["units"][unit][when]["share"] for row in rows]), species)
        for when in ("before", "after")
    }


def _shares(shares: Floats, trials: Names) -> dict[str, float]:
    low, high = recall_interval(shares, trials)
    return {"share": float(shares.mean()), "low": low, "high": high}


def _fall_elsewhere(table: pd.DataFrame) -> float:
    """How much less is named where the limit was chosen on the encounters of the other folds."""
    before, after = [], []
    for _, of_repeat in table.groupby("repeat"):
        for fold in of_repeat["fold"].unique():
            test = of_repeat["fold"] == fold
            if test.all():
                continue
            limit = lowest_limit(of_repeat[~test])
            before.append(_by_encounter(of_repeat[test], IN_FORCE))
            after.append(_by_encounter(of_repeat[test], limit))
    if not before:
        return 0.0
    return float(pd.concat(before).mean() - pd.concat(after).mean())


def _why_not(classes: Sequence[str], species: Sequence[str], is_said: bool) -> str:
    """Why these classes cannot tell how strangers fare."""
    if is_said:
        return (
            f"the {len(classes)} classes are populations of {len(species)} species "
            f"({', '.join(species)}, by the column species), and it takes {LEAST_SPECIES} species: one "
            "left out, two to learn from."
        )
    return (
        f"there are {len(classes)} classes, and it takes {LEAST_SPECIES} that are species: one left "
        "out, two to learn from."
    )

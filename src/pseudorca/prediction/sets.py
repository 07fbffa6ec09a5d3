"""Sets of predictions: which a project holds, what they are called, and how one is removed.

A set is what was predicted together, such as a deployment. It has a name and a folder of tables; no set
replaces another one.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xxhash

from pseudorca.errors import PseudorcaError, StoreError, unknown_name
from pseudorca.recordings import places
from pseudorca.results import Result
from pseudorca.store import PREDICTION_FOLDER, Store, condition
from pseudorca.values import nfc, plural

UNLABELLED = "unlabelled"
"""The name of the set of the project's own recordings without a label."""

_LONGEST = 80
_MOST_NAMES = 3  # of files and folders in the name of their set
_COLUMNS = (
    "set_name", "time_utc", "classifier", "n_recordings", "encounters_per_class", "roots", "output",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class PredictionSetsResult(Result):
    """The sets of predictions of a project."""

    sets: pd.DataFrame
    """A row per set, the latest first: ``set_name, time_utc, classifier, n_recordings,
    encounters_per_class, roots, output``."""

    def as_json(self) -> dict[str, Any]:
        return {"sets": self.sets.to_dict("records")}

    def summary(self) -> Sequence[str]:
        names = ", ".join(self.sets["set_name"]) or "none"
        return [f"{plural(len(self.sets), 'set')} of predictions: {names}."]

    def main_table(self) -> pd.DataFrame:
        return self.sets


def prediction_sets(store: Store) -> PredictionSetsResult:
    """List the sets of predictions of a project.

    Parameters
    ----------
    store : Store

    Returns
    -------
    PredictionSetsResult

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(prediction_sets(Store(f"{folder}/whales", create=True)))
    0 sets of predictions: none.
    """
    decided = store.read("decisions", where="split_id = '' AND unit = 'encounter'")
    predicted = store.read("predicted", columns=["set_name", "root"])
    n_recordings = predicted["set_name"].value_counts()
    rows = []
    for set_name, settings in reversed(last_settings(store).items()):
        is_of_set = decided["set_name"] == set_name
        of_last = is_of_set & (decided["classifier_id"] == settings["classifier_id"])
        counts = decided.loc[of_last, "decision"].value_counts().sort_index()
        rows.append(
            {
                "set_name": set_name,
                "time_utc": settings["time_utc"],
                "classifier": settings["name"],
                "n_recordings": int(n_recordings.get(set_name, 0)),
                "encounters_per_class": {str(name): int(n) for name, n in counts.items()},
                "roots": settings["roots"],
                "output": settings["output"],
            }
        )
    return PredictionSetsResult(pd.DataFrame(rows, columns=list(_COLUMNS)))


def last_settings(store: Store) -> dict[str, dict[str, Any]]:
    """How each set of predictions was last made, by the name of the set.

    Parameters
    ----------
    store : Store

    Returns
    -------
    dict from name to settings, the set that was made last at the end

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     last_settings(Store(f"{folder}/whales", create=True))
    {}
    """
    there = set(store.read("predicted", columns=["set_name"])["set_name"])
    runs = store.read("runs", where="verb = 'predict'")
    settings_of: dict[str, dict[str, Any]] = {}
    for run in runs.sort_values("time_utc", kind="stable").itertuples():
        settings = json.loads(str(run.settings)) | {"time_utc": str(run.time_utc)}
        place = settings.get("output", PREDICTION_FOLDER)  # below the project, if it is relative
        settings["output"] = os.path.normpath(store.folder / place)
        if settings["set_name"] in there:
            settings_of.pop(settings["set_name"], None)
            settings_of[settings["set_name"]] = settings
    return settings_of


def remove_prediction_set(store: Store, set_name: str) -> None:
    """Remove a set of predictions: its scores, its decisions, and its tables inside the project.

    Embeddings stay, so that the same recordings are predicted again in seconds.

    Parameters
    ----------
    store : Store
    set_name : str

    Raises
    ------
    StoreError
        If there is no such set.
    """
    known, set_name = last_settings(store), nfc(set_name)
    if set_name not in known:
        raise StoreError(unknown_name("set of predictions", set_name, known))
    for table in ("scores", "decisions"):
        store.delete(table, split_id="", set_name=set_name)
    for table in ("predicted", "predicted_problems", "unusable"):
        store.delete(table, set_name=set_name)
    shutil.rmtree(default_folder(store, set_name), ignore_errors=True)


def default_folder(store: Store, set_name: str) -> Path:
    """The folder inside the project for the tables of a set.

    Parameters
    ----------
    store : Store
    set_name : str

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/whales", create=True)
    ...     [default_folder(store, name).name for name in ("mooring_2021", "a/b")]
    ['mooring_2021', 'a_b-48f71e']
    """
    plain = "".join(sign if sign.isalnum() or sign in "-_. " else "_" for sign in set_name)
    plain = plain.strip(". -")[:_LONGEST]
    if plain != set_name:  # two names must not share a folder
        plain = f"{plain}-{xxhash.xxh3_64_hexdigest(set_name.encode())[:6]}"
    return store.folder / PREDICTION_FOLDER / plain


def kept_place(store: Store, folder: Path) -> str:
    """Where tables lie, as a project remembers it: from itself, if both are copied together.

    Parameters
    ----------
    store : Store
    folder : Path, of the tables

    Returns
    -------
    str, relative to the project if one of the two folders holds the other; else absolute

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/whales", create=True)
    ...     kept_place(store, Path(folder, "whales", "predictions", "mooring"))
    'predictions/mooring'
    """
    own, there = store.folder.resolve(), folder.resolve()
    if own in there.parents or there in own.parents:
        return Path(os.path.relpath(there, own)).as_posix()
    return str(there)


def check_set_name(set_name: str | None) -> None:
    """Refuse a name of a set that cannot be shown in a line.

    Parameters
    ----------
    set_name : str or None; None: a name will be made

    Raises
    ------
    PseudorcaError
        If the name is empty, longer than 80 characters, or holds a line break.

    Examples
    --------
    >>> check_set_name("mooring 2021")
    """
    if set_name is not None and not (set_name.strip() and set_name.isprintable()
                                     and len(set_name) <= _LONGEST):  # fmt: skip
        raise PseudorcaError(
            f"--as {set_name[:40]!r}: expected a name of 1 to {_LONGEST} characters on one line."
        )


def name_for(store: Store, paths: Sequence[str | Path], recordings: pd.DataFrame) -> str:
    """A name for the set of these files and folders, that no set of other recordings has.

    Parameters
    ----------
    store : Store
    paths : list of paths and addresses; empty: the unlabelled recordings of the project
    recordings : DataFrame, their table ``recordings``

    Returns
    -------
    str

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/whales", create=True)
    ...     recordings = pd.DataFrame({"root": ["/sea/2021/mooring"]})
    ...     name_for(store, ["/sea/2021/mooring"], recordings)
    'mooring'
    """
    name = name_of_paths(paths)
    roots, number, candidate = set(recordings["root"]), 1, name
    while paths and (held := roots_of(store, candidate)) and held != roots:
        number += 1
        candidate = f"{name} {number}"
    return candidate


def name_of_paths(paths: Sequence[str | Path]) -> str:
    """The name of a set of files and folders, after the files and folders.

    Parameters
    ----------
    paths : list of paths and addresses

    Returns
    -------
    str

    Examples
    --------
    >>> name_of_paths(["2021/mooring/", "https://sea.org/b.wav?token=secret"])
    'mooring + b.wav'
    """
    names = list(dict.fromkeys(_name_of(path) for path in paths))
    if len(names) > _MOST_NAMES:
        return f"{names[0]} and {len(names) - 1} more"
    return " + ".join(names) or UNLABELLED


def roots_of(store: Store, set_name: str) -> set[str]:
    """The folders of the recordings of a set; empty if there is no such set.

    Parameters
    ----------
    store : Store
    set_name : str

    Returns
    -------
    set of str

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     roots_of(Store(f"{folder}/whales", create=True), "mooring")
    set()
    """
    key = condition({"set_name": set_name})
    return set(store.read("predicted", where=key, columns=["root"])["root"])


def _name_of(path: str | Path) -> str:
    place = places.absolute(path)
    if places.is_remote(place):  # the query may hold a password
        place = place.partition("?")[0]
    return nfc(places.name_of(place))

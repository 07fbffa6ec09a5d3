"""The study's material: recordings with two or more classes, each a clip of its own.

In: a folder of class folders, or whatever ``scan`` reads. Out: the project's tables, and the parts
in which the study used them. A folder that did not change is not scanned again.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FoldError, ManifestError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings.clips import clips_project
from pseudorca.recordings.folds import STUDY_SEED, STUDY_SHARES, Split, assign_folds, make_folds
from pseudorca.recordings.notices import collection_notices
from pseudorca.recordings.options import ClipOptions, ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store
from pseudorca.study.settings import OVERWRITTEN, TORN, StudyOptions
from pseudorca.values import hash_of, nfc

REST = "Rest"
"""The class of all others where one is held against them."""

_SCANNED = "study_scan"
_DEALS = 30


Stages = Callable[[str], AbstractContextManager[Progress]]
"""Called with the name of a stage of the work. The context takes the progress (done, total)."""


@dataclass(frozen=True)
class Material:
    """The recordings and clips of the study, a clip per recording.

    ``clips`` are the labelled ones, ``unknown`` the others; ``classes`` in alphabetical order.

    Examples
    --------
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["Pelagic/a.wav"]})
    >>> clips = pd.DataFrame({"recording_id": ["r1"], "label": "Pelagic", "encounter": "e1"})
    >>> material = Material(recordings, clips, clips[:0], ["Insular", "Pelagic"], [])
    >>> material.truth.tolist(), material.paths(clips).tolist()
    ([1], ['Pelagic/a.wav'])
    """

    recordings: pd.DataFrame
    clips: pd.DataFrame
    unknown: pd.DataFrame
    classes: list[str]
    notices: list[str]

    @property
    def truth(self) -> NDArray[np.int64]:
        """The column of each labelled clip's class [shape=(n_clips,)]."""
        return pd.Categorical(self.clips["label"], self.classes).codes.astype(np.int64)

    @property
    def encounters(self) -> NDArray[np.object_]:
        """The encounter of each labelled clip [shape=(n_clips,)]."""
        return self.clips["encounter"].to_numpy(dtype=object)

    def paths(self, clips: pd.DataFrame) -> pd.Series:
        """Return the path of the recording of each clip."""
        path_of = dict(zip(self.recordings["recording_id"], self.recordings["path"], strict=True))
        return clips["recording_id"].map(path_of)


@dataclass(frozen=True)
class Parts:
    """Rows of the labelled clips in each part of the study's split. A clip may be in no part.

    Examples
    --------
    >>> training, validation, test = np.arange(3), np.array([3]), np.array([4])
    >>> Parts(training, validation, test, 0, 1, 2).n_torn_encounters
    1
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    n_overwritten: int
    """Clips whose picture was overwritten by another picture of the same name."""
    n_torn_encounters: int
    n_torn_moments: int
    """Encounters and moments in more than one part."""


def read_material(store: Store, data: Path, options: StudyOptions, stages: Stages) -> Material:
    """Scan the folder if it has changed, cut one clip per recording, and select the recordings.

    Parameters
    ----------
    store : Store of the project
    data : path of the folder of recordings
    options : StudyOptions
    stages : reports the progress of each stage

    Returns
    -------
    Material

    Raises
    ------
    ManifestError
        If there are fewer than two classes.
    """
    scan_options = ScanOptions(labels=options.labels, metadata=options.metadata)
    mark = hash_of([
        str(data.resolve()), asdict(scan_options), [options.against_rest, options.max_per_class],
        _files(data, options.metadata),
    ])  # fmt: skip
    if store.setting(_SCANNED) != mark:
        with stages("Reading recordings") as update:
            scan_project(store, data, scan_options, progress=update)
        recordings = _asked_for(store.read("recordings"), options)
        store.write("recordings", recordings)
        clips_project(store, ClipOptions(window_s=None))
        store.keep_setting(_SCANNED, mark)
    recordings, clips = store.read("recordings"), store.read("clips")
    labelled = clips["label"].notna()
    classes = sorted(map(str, clips.loc[labelled, "label"].unique()))
    if len(classes) < 2:
        raise ManifestError(
            f"{len(classes)} class{'es' * (len(classes) != 1)} in {data} "
            f"({', '.join(classes) or 'none'}): the study needs at least 2 folders of labelled "
            "recordings."
        )
    return Material(
        recordings,
        clips[labelled].reset_index(drop=True),
        clips[~labelled].reset_index(drop=True),
        classes,
        collection_notices(recordings),
    )


def study_parts(material: Material, switches: frozenset[str]) -> Parts:
    """Split 60/20/20 like the study, or by whole encounters if the switch is off.

    Parameters
    ----------
    material : Material
    switches : frozenset of str

    Returns
    -------
    Parts

    Raises
    ------
    FoldError
        If the switch is off, and no split by encounters keeps every class in training.
    """
    clips = material.clips
    kept = _not_overwritten(material) if OVERWRITTEN in switches else np.arange(len(clips))
    drawn = clips.iloc[kept].reset_index(drop=True)
    if TORN in switches:
        folds = make_folds(drawn, material.recordings, Split("study", seed=STUDY_SEED))
        part = np.where(folds.test_fold[0] >= 0, 2, np.where(folds.validation, 1, 0))
    else:
        part = _whole_encounters(drawn)

    def n_torn(column: str) -> int:
        return int((pd.Series(part).groupby(drawn[column].to_numpy()).nunique() > 1).sum())

    return Parts(
        training=kept[part == 0],
        validation=kept[part == 1],
        test=kept[part == 2],
        n_overwritten=len(clips) - len(kept),
        n_torn_encounters=n_torn("encounter"),
        n_torn_moments=n_torn("moment_id"),
    )


def chosen_unknown(material: Material, n: int | None) -> pd.DataFrame:
    """Choose the unknown clips to predict: all clips, or a random sample.

    Parameters
    ----------
    material : Material
    n : int or None, number of clips; None: all

    Returns
    -------
    DataFrame, rows of ``material.unknown``, in order of their paths

    Examples
    --------
    >>> ids = ["r1", "r2"]
    >>> recordings = pd.DataFrame({"recording_id": ids, "path": ["Unknown/b.wav", "Unknown/a.wav"]})
    >>> clips = pd.DataFrame({"recording_id": ids})
    >>> material = Material(recordings, clips[:0], clips, ["Insular", "Pelagic"], [])
    >>> chosen_unknown(material, None)["recording_id"].tolist()
    ['r2', 'r1']
    """
    ordered = material.unknown.assign(path=material.paths(material.unknown)).sort_values("path")
    if n is not None and n < len(ordered):
        rows = np.random.default_rng(STUDY_SEED).choice(len(ordered), n, replace=False)
        ordered = ordered.iloc[np.sort(rows)]
    return ordered.drop(columns="path").reset_index(drop=True)


def _not_overwritten(material: Material) -> NDArray[np.int64]:
    """Return the rows whose picture is the last picture of its name in its class."""
    paths = material.paths(material.clips).sort_values(kind="stable")
    names = paths.map(lambda path: PurePosixPath(path).stem)
    pictures = pd.DataFrame({"label": material.clips["label"].loc[paths.index], "name": names})
    last = pictures.drop_duplicates(keep="last")
    return np.sort(last.index.to_numpy(dtype=np.int64))


def _whole_encounters(clips: pd.DataFrame) -> NDArray[np.int64]:
    """Assign whole encounters to the three parts, so that each class is in most parts."""
    labels = clips["label"].to_numpy(dtype=object)
    groups = clips["encounter"].to_numpy(dtype=object)
    column = np.unique(labels.astype(str), return_inverse=True)[1]
    best, best_score = None, (-1, -np.inf)
    # A part with a fifth of the encounters is possible only with enough encounters.
    for n_folds, deal in product((5, 4, 3), range(_DEALS)):
        folds = assign_folds(labels, groups, n_folds, np.random.default_rng([STUDY_SEED, deal]))
        part = np.where(folds == 0, 1, np.where(folds == 1, 2, 0))
        counts = np.bincount(3 * column + part, minlength=3 * (column.max() + 1)).reshape(-1, 3)
        if not counts[:, 0].all():
            continue
        apart = np.abs(counts.sum(axis=0) / len(part) - STUDY_SHARES).sum()
        score = int((counts > 0).sum()), -float(apart)
        if score > best_score:
            best, best_score = part, score
    if best is None:
        raise FoldError(
            "no split by whole encounters keeps every class in training. Leave the switch "
            f"{TORN} on."
        )
    return best


def _asked_for(recordings: pd.DataFrame, options: StudyOptions) -> pd.DataFrame:
    if options.against_rest is not None:
        known = set(recordings["label"].dropna())
        one = nfc(options.against_rest)
        if one not in known:
            raise ManifestError(unknown_name("class", one, known))
        other = recordings["label"].notna() & (recordings["label"] != one)
        recordings = recordings.assign(label=recordings["label"].mask(other, REST))
    if options.max_per_class is not None:
        recordings = _fewer(recordings, options.max_per_class)
    return recordings.reset_index(drop=True)


def _fewer(recordings: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most ``most`` recordings per class: the first of every encounter, then the second, ..."""
    ordered = recordings.sort_values("path")
    label = ordered["label"].fillna("")
    rank = ordered.groupby([label, ordered["encounter"]]).cumcount()
    ordered = ordered.assign(rank=rank).sort_values(["rank", "path"])
    kept = ordered.groupby(ordered["label"].fillna("")).head(most)
    return recordings.loc[recordings.index.isin(kept.index)]


def _files(data: Path, metadata: Path | None) -> list[tuple[str, int, int]]:
    """Return name, size and time of every file. A change in a folder changes this list."""
    if not data.is_dir():
        raise ManifestError(f"{data} is not a folder. Give the folder that holds the recordings.")
    paths = [Path(folder, name) for folder, _, names in os.walk(data) for name in names]
    statuses = [(os.path.relpath(path, data), path.lstat()) for path in paths]
    if metadata is not None and metadata.exists():
        statuses.append((str(metadata), metadata.stat()))
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in statuses)

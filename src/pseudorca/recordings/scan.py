"""The stage ``scan``: folders to the tables ``recordings`` and ``problems``."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from pseudorca.errors import ManifestError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings.bands import sounds_left_out, top_hz, widest_band
from pseudorca.recordings.clips import cut
from pseudorca.recordings.manifest import Manifest, scan
from pseudorca.recordings.naming import folded
from pseudorca.recordings.options import NOTHING, ScanOptions
from pseudorca.recordings.places import Place, absolute
from pseudorca.recordings.rescan import (
    changed_labels,
    label_text,
    moments_changed,
    scan_changes,
)
from pseudorca.results import Result, attention, counted
from pseudorca.store import CLASSIFIER_FOLDER, Store, named_set, shown_problems
from pseudorca.values import plural

_LIKE_NOISE = {
    "ambient", "background", "empty", "negative", "negatives", "no_whale", "no whale", "noise",
    "none", "silence", "sea",
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class ScanResult(Result):
    """The recordings below a folder, and the files that cannot be used.

    Examples
    --------
    >>> recordings = pd.DataFrame(
    ...     {"label": ["Insular", None], "encounter": ["Sette_44", "day1"], "duration_s": 1800.0}
    ... )
    >>> print(ScanResult("/data", recordings, pd.DataFrame(), [], 0, "16k"))
    2 recordings (1.00 h): 1 labelled, 1 unlabelled, in 2 encounters.
    Recordings by class: Insular 1.
    No problems.
    """

    folder: str
    """Absolute path, or URL."""
    recordings: pd.DataFrame
    problems: pd.DataFrame
    notices: list[str]
    """What matters most first."""
    n_other_files: int
    """Files that are not audio by their names."""
    proposed_band: str | None
    """The widest band that 95 % of every class reaches; None without labels."""

    @property
    def labelled(self) -> pd.DataFrame:
        """The recordings with a label."""
        return self.recordings[self.recordings["label"].notna()]

    @property
    def classes(self) -> dict[str, int]:
        """Number of recordings by class."""
        counts = self.labelled["label"].value_counts().sort_index()
        return {str(label): int(n) for label, n in counts.items()}

    @property
    def duration_s(self) -> float:
        """Seconds of all recordings together."""
        return float(self.recordings["duration_s"].sum())

    @property
    def n_encounters(self) -> int:
        """Number of encounters."""
        return int(self.recordings["encounter"].nunique())

    def as_json(self) -> dict[str, Any]:
        """The counts, the problems, the notices and the proposed band."""
        n_labelled = len(self.labelled)
        values: dict[str, Any] = {
            "n_recordings": len(self.recordings),
            "n_labelled": n_labelled,
            "n_unlabelled": len(self.recordings) - n_labelled,
            "classes": self.classes,
            "n_encounters": self.n_encounters,
            "n_moments": int(self.recordings["moment_id"].nunique()),
            "duration_s": self.duration_s,
            "n_problems": len(self.problems),
            "problems": self.problems.to_dict("records"),
            "n_other_files": self.n_other_files,
        }
        if self.proposed_band is not None:
            values["proposed_band"] = self.proposed_band
        return values | {"notices": self.notices, "folder": self.folder}

    def summary(self) -> Sequence[str]:
        """The numbers of recordings: of all, and by class; the numbers of problems and notices."""
        n, n_labelled = len(self.recordings), len(self.labelled)
        return [
            f"{plural(n, 'recording')} ({self.duration_s / 3600:.2f} h): {n_labelled} labelled, "
            f"{n - n_labelled} unlabelled, in {plural(self.n_encounters, 'encounter')}.",
            f"Recordings by class: {counted(self.classes)}.",
            attention(len(self.problems), self.notices),
        ]

    def main_table(self) -> pd.DataFrame:
        """A row per class: its recordings, encounters and hours."""
        by_class = self.labelled.groupby("label", sort=True)
        return by_class.agg(
            recordings=("recording_id", "size"),
            encounters=("encounter", "nunique"),
            hours=("duration_s", lambda seconds: seconds.sum() / 3600),
        ).reset_index(names="class")


def scan_project(
    store: Store,
    folder: Place,
    options: ScanOptions | None = None,
    *,
    replace: bool = False,
    annotated: Iterable[tuple[str, str]] = (),
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> ScanResult:
    """Scan a folder into ``recordings`` and ``problems``. The new tables replace the old ones.

    Parameters
    ----------
    store : Store
    folder : path or URL
    options : ScanOptions or None
    replace : bool
        Scan another folder, or other labels, into a project that holds results on the old ones
    annotated : iterable of (unit, unit_id)
        What people gave labels to; it is said if a unit is not there after the scan
    n_threads : int or None, see :func:`pseudorca.recordings.manifest.scan`
    progress : callable (done, total) or None, over files

    Returns
    -------
    ScanResult

    Raises
    ------
    ManifestError
        As :func:`pseudorca.recordings.manifest.scan`, or if a folder of other sounds does not exist, or
        if results of the project would no longer fit and ``replace`` is not given.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/whales", create=True)
    ...     print(scan_project(store, folder).notices[1])
    No usable recordings were found.
    """
    options = options or ScanOptions()
    manifest = scan(folder, options=options, n_threads=n_threads, progress=progress)
    is_noise = manifest.recordings["label"].isin(_nothing_labels(manifest.recordings, options))
    band, about_band = _proposed_band(manifest.recordings[~is_noise])
    of_files = set(manifest.file_notices)  # on single files: after those on all of them
    notices = [text for text in manifest.notices if text not in of_files]
    notices += [
        *_noise_notices(manifest.recordings, options), *about_band, *manifest.file_notices,
    ]  # fmt: skip
    if manifest.recordings.empty and manifest.problems.empty:
        notices.insert(
            0,
            f"There is no audio file below {folder}. Nothing was written; what the project held is as "
            "it was. Give the folder that holds the recordings.",
        )
    else:
        before = store.read("recordings")
        changes = scan_changes(before, manifest.recordings, annotated)
        held = _results_held(store)
        if not replace:
            _refuse_misfits(store, before, manifest, folder, changes, held)
        if changes and held:
            changes.append(
                f"{', '.join(held)} of this project {'is' if len(held) == 1 else 'are'} of the "
                "recordings as they were; where what it learned from changed, it is marked as stale."
            )
        notices += changes
        moments = moments_changed(before, manifest.recordings)
        _keep(store, manifest, options, folder, notices)
        if moments is not None:
            store.keep_setting("moments", moments)
    return ScanResult(
        folder=absolute(folder),
        recordings=manifest.recordings,
        problems=shown_problems(manifest.problems),
        notices=notices,
        n_other_files=manifest.n_other_files,
        proposed_band=band,
    )


def _results_held(store: Store) -> list[str]:
    """How many results of each kind a project holds."""
    results = {
        "classifier": len(list((store.folder / CLASSIFIER_FOLDER).glob("*/classifier.json"))),
        "evaluation": len(store.read("evaluations", columns=["split_id"])),
        "audit": len(store.read("audits", columns=["audit_id"])),
    }
    return [plural(n, noun) for noun, n in results.items() if n]


def _refuse_misfits(
    store: Store,
    before: pd.DataFrame,
    manifest: Manifest,
    folder: Place,
    changes: Sequence[str],
    held: Sequence[str],
) -> None:
    """ManifestError if the project holds results on another folder, or on other labels."""
    if before.empty or not held:
        return
    now = manifest.recordings
    is_elsewhere = not before["recording_id"].isin(now["recording_id"]).any()
    other = changed_labels(before, now)
    if is_elsewhere or set(before["root"]) != set(now["root"]):
        roots = ", ".join(sorted(set(before["root"])))
        why = f"{plural(len(before), 'recording')} of {roots}"
    elif len(other):
        first = other.iloc[0]
        why = (
            f"other labels ({len(other)} differ, such as {first['path']}: "
            f"{label_text(first['label'])}, now {label_text(first['label_now'], first['label'])})"
        )
    else:
        return
    raise ManifestError(
        f"{store.folder} holds {', '.join(held)} made from {why}. After a scan of "
        f"{absolute(folder)} they would no longer fit. Begin another project, or say --replace: "
        f"they stay, marked as of other recordings. {' '.join(changes)}".rstrip()
    )


def _keep(
    store: Store, manifest: Manifest, options: ScanOptions, folder: Place, notices: list[str]
) -> None:
    """Replace the tables of the project."""
    others = _spelt(manifest.recordings, options.other, "folder of other sounds")
    nothing = _nothing_labels(manifest.recordings, options)
    problems = pd.concat([manifest.problems, _problems_kept(store, manifest.recordings)])
    store.write("clips", cut(manifest.recordings.iloc[:0])[0])  # first: clips of old recordings
    store.write("problems", problems)
    store.write("recordings", manifest.recordings)
    store.replace("unusable", named_set(manifest.unusable, ""), set_name="")
    store.keep_setting("other", others)
    store.keep_setting("nothing", nothing)
    settings = {"folder": absolute(folder)} | asdict(options)
    store.record_run("scan", settings, ("recordings", "problems"), notices=notices)


def _problems_kept(store: Store, recordings: pd.DataFrame) -> pd.DataFrame:
    """The problems of later stages whose recordings still exist.

    Embeddings stay after a scan, so the reasons for missing embeddings stay, too. Clips are cut again.
    """
    problems = store.read("problems", where="stage NOT IN ('scan', 'clips')")
    clips = store.read("clips", columns=["clip_id", "recording_id"])
    gone = clips.loc[~clips["recording_id"].isin(recordings["recording_id"]), "clip_id"]
    is_there = problems["path"].isin(recordings["path"]) & ~problems["clip_id"].isin(gone)
    return problems[is_there]


def _spelt(recordings: pd.DataFrame, names: Sequence[str], what: str) -> list[str]:
    """Labels in the spelling of the folders. ManifestError if there is no such folder."""
    spelt = {folded(str(label)): str(label) for label in recordings["label"].dropna()}
    for name in names:
        if folded(name) not in spelt:
            raise ManifestError(unknown_name(what, name, spelt.values()))
    return sorted(spelt[folded(name)] for name in names)


def _nothing_labels(recordings: pd.DataFrame, options: ScanOptions) -> list[str]:
    """The labels of folders that hold nothing: those that were named, and one called nothing."""
    labels = [str(label) for label in recordings["label"].dropna().unique()]
    called = [label for label in labels if folded(label) == NOTHING]
    return sorted({*_spelt(recordings, options.nothing, "folder of nothing"), *called})


def _noise_notices(recordings: pd.DataFrame, options: ScanOptions) -> list[str]:
    """Folders that are no class, and those that are called like noise and would be learned as one."""
    nothing = _nothing_labels(recordings, options)
    given = {folded(name) for name in options.all_labels or options.other + options.nothing}
    labels = sorted(str(label) for label in recordings["label"].dropna().unique())
    offered = [name for name in labels if folded(name) in _LIKE_NOISE - given]
    are = "is no class, and teaches" if len(nothing) == 1 else "are no classes, and teach"
    notices = [f"{', '.join(nothing)} {are} what nothing sounds like."] if nothing else []
    return notices + [
        f"{name} is learned as a class. If no animal is heard there: --nothing {name} teaches what "
        f"nothing sounds like; if other animals are: --other {name}."
        for name in offered
    ]


def _proposed_band(recordings: pd.DataFrame) -> tuple[str | None, list[str]]:
    """The widest band that 95 % of every class reaches, and a notice about sounds above the band."""
    labelled = recordings[recordings["label"].notna()]
    rates = {str(label): g["sample_rate"].tolist() for label, g in labelled.groupby("label")}
    if not rates:
        return None, []
    band = widest_band(rates)
    fmax_hz = top_hz(band, min(map(min, rates.values())))
    left_out = sounds_left_out(fmax_hz)
    if band == "all":
        text = (
            f"No named band is reached by 95 % of the recordings of every class: --band all ends where "
            f"every recording reaches, at {fmax_hz / 1000:.1f} kHz."
        )
    else:
        text = (
            f"The widest band that 95 % of the recordings of every class reach is {band} (up to "
            f"{fmax_hz / 1000:.1f} kHz)."
        )
    if left_out:
        text += f" It leaves out {'; '.join(left_out)}."
    return band, [text]

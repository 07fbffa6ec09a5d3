"""Folders to the tables ``recordings`` and ``problems``."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from pseudorca.errors import ManifestError, unknown_name
from pseudorca.progress import Progress
from pseudorca.recordings.bands import sounds_left_out, top_hz, widest_band
from pseudorca.recordings.clips import cut
from pseudorca.recordings.manifest import Manifest, ScanOptions, scan
from pseudorca.recordings.places import Place, absolute
from pseudorca.store import Store, shown_problems


def scan_project(
    store: Store,
    folder: Place,
    options: ScanOptions,
    *,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scan a folder (path or URL) into ``recordings`` and ``problems``, in place of what was there."""
    manifest = scan(folder, options=options, n_threads=n_threads, progress=progress)
    problems = manifest.problems
    if manifest.recordings.empty and problems.empty:
        summary = _scan_summary(manifest) | {"folder": absolute(folder)}
        summary["notices"].append(
            f"There is no audio file below {folder}. Nothing was written; what the project held is as "
            "it was. Give the folder that holds the recordings."
        )
        return summary
    others = _other_labels(manifest.recordings, options)
    problems = pd.concat([manifest.problems, _problems_kept(store, manifest.recordings)])
    store.write("clips", cut(manifest.recordings.iloc[:0])[0])  # first: clips of what is gone
    store.write("problems", problems)
    store.write("recordings", manifest.recordings)
    store.keep_setting("other", others)
    settings = {"folder": absolute(folder)} | asdict(options)
    store.record_run("scan", settings, ("recordings", "problems"))
    return _scan_summary(manifest) | {"folder": settings["folder"]}


def _problems_kept(store: Store, recordings: pd.DataFrame) -> pd.DataFrame:
    """The problems of later stages whose recordings are still there.

    Embeddings outlive a scan, so the reasons why some are missing must, too. Clips are cut anew.
    """
    problems = store.read("problems", where="stage NOT IN ('scan', 'clips')")
    clips = store.read("clips", columns=["clip_id", "recording_id"])
    gone = clips.loc[~clips["recording_id"].isin(recordings["recording_id"]), "clip_id"]
    is_there = problems["path"].isin(recordings["path"]) & ~problems["clip_id"].isin(gone)
    return problems[is_there]


def _other_labels(recordings: pd.DataFrame, options: ScanOptions) -> list[str]:
    """The labels that stand for none of the populations, as they are spelt in the folders."""
    spelt = {str(label).casefold(): str(label) for label in recordings["label"].dropna()}
    for name in options.other:
        if name.casefold() not in spelt:
            raise ManifestError(unknown_name("folder of other sounds", name, spelt.values()))
    return sorted(spelt[name.casefold()] for name in options.other)


def _scan_summary(manifest: Manifest) -> dict[str, Any]:
    recordings, problems = manifest.recordings, manifest.problems
    labelled = recordings[recordings["label"].notna()]
    counts = labelled["label"].value_counts().sort_index()
    rates = {str(label): g["sample_rate"].tolist() for label, g in labelled.groupby("label")}
    notices = list(manifest.notices)
    summary: dict[str, Any] = {
        "n_recordings": len(recordings),
        "n_labelled": len(labelled),
        "n_unlabelled": len(recordings) - len(labelled),
        "classes": {str(label): int(n) for label, n in counts.items()},
        "n_encounters": int(recordings["encounter"].nunique()),
        "n_moments": int(recordings["moment_id"].nunique()),
        "duration_s": float(recordings["duration_s"].sum()),
        "n_problems": len(problems),
        "problems": shown_problems(problems).to_dict("records"),
        "n_other_files": manifest.n_other_files,
    }
    if rates:
        band = widest_band(rates)
        fmax_hz = top_hz(band, min(map(min, rates.values())))
        left_out = sounds_left_out(fmax_hz)
        text = f"Widest band that 95 % of every class reaches: {band}"
        text += f" (to {fmax_hz / 1000:.1f} kHz)."
        if left_out:
            text += f" It leaves out {'; '.join(left_out)}."
        notices.append(text)
        summary["proposed_band"] = band
    return summary | {"notices": notices}

"""Notices about a collection, before training."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pandas as pd

from pseudorca.recordings.audio import CONVERTERS, Inspection
from pseudorca.values import plural

MAX_ENCOUNTER_SPAN_H = 12.0
MIN_ENCOUNTERS = 4
"""Fewest encounters of a class for a conclusion about the population."""


def collection_notices(recordings: pd.DataFrame) -> list[str]:
    """Describe properties of a collection that can mislead a classifier.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    list of str, one or two sentences each

    Examples
    --------
    >>> collection_notices(pd.DataFrame())
    ['No usable recordings were found.']
    """
    if recordings.empty:
        return ["No usable recordings were found."]
    notices = []
    rates = Counter(recordings["sample_rate"].tolist())
    if len(rates) > 1:
        shown = ", ".join(f"{rate / 1000:g} kHz ({n})" for rate, n in rates.most_common(8))
        notices.append(
            f"Mixed sample rates: {shown}{', ...' if len(rates) > 8 else ''}. The common front end "
            "brings all to one rate; the study front end does not, and then the rate can be a cue."
        )
    channels = Counter(recordings["n_channels"].tolist())
    if len(channels) > 1:
        shown = ", ".join(f"{n} channel{'s' * (n > 1)} ({k})" for n, k in channels.most_common())
        notices.append(f"Mixed channel counts: {shown}.")
    labelled = recordings[recordings["label"].notna()]
    if labelled["label"].nunique() == 1:
        notices.append(
            f"Only one class, {labelled['label'].iloc[0]}: a classifier needs two to tell apart. Add a "
            "folder of another population, or of something else as --other."
        )
    spellings = labelled.drop_duplicates("label").groupby(labelled["label"].str.casefold())["label"]
    for _, labels in spellings:
        if len(labels) > 1:
            notices.append(
                f"The classes {' and '.join(sorted(labels))} differ in case only; they count as "
                f"{len(labels)} populations."
            )
    for encounter, group in labelled.groupby("encounter", sort=True):
        if group["label"].nunique() > 1:
            counts = ", ".join(f"{n} {label}" for label, n in group["label"].value_counts().items())
            notices.append(
                f"Mixed encounter {encounter}: {counts}. It stays one group in every split."
            )
    for encounter, group in recordings.dropna(subset="start_utc").groupby("encounter", sort=True):
        span_h = (group["start_utc"].max() - group["start_utc"].min()).total_seconds() / 3600
        if span_h > MAX_ENCOUNTER_SPAN_H:
            notices.append(
                f"{encounter} spans {span_h:.0f} hours; more than {MAX_ENCOUNTER_SPAN_H:g} is "
                "hardly one encounter. --cut-gaps HOURS cuts it where nothing was recorded."
            )
    notices += few_encounters(recordings)
    loose = labelled["encounter"].str.endswith("/(no encounter)")
    if loose.any():
        of = ", ".join(sorted(labelled.loc[loose, "label"].unique()))
        notices.append(
            f"Without encounter and without time: {loose.sum()} recordings of {of}; those of a class "
            "count as one encounter. Put each encounter in a folder, or give --metadata with a "
            "column encounter."
        )
    return notices


def few_encounters(recordings: pd.DataFrame) -> list[str]:
    """Name the classes with too few encounters for a conclusion.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> few_encounters(pd.DataFrame({"label": ["Insular"], "encounter": ["Sette_44"]}))
    ['Fewer than 4 encounters: Insular 1. That is too few to conclude about a population.']
    """
    labelled = recordings[recordings["label"].notna()]
    encounters = labelled.groupby("label", sort=True)["encounter"].nunique()
    few = {label: n for label, n in encounters.items() if n < MIN_ENCOUNTERS}
    if not few:
        return []
    shown = ", ".join(f"{label} {n}" for label, n in few.items())
    return [
        f"Fewer than {MIN_ENCOUNTERS} encounters: {shown}. That is too few to conclude about a "
        "population."
    ]


def file_notices(inspected: Sequence[tuple[str, Inspection]]) -> list[str]:
    """Say what was found out about files that are not as they should be, a line for each kind.

    Parameters
    ----------
    inspected : sequence of (path, Inspection)

    Returns
    -------
    list of str

    Examples
    --------
    >>> from pseudorca.recordings.audio import AudioInfo
    >>> info = AudioInfo("WAV/PCM_16", 8_000, n_channels=1, n_frames=8_000, n_hidden_frames=8_000)
    >>> file_notices([("a.wav", Inspection(info, "5f1c", "samples", 0.5, "16044:0"))])
    ['1 file holds 1.0 s more than its header tells, and was read to its end: a.wav.']
    """
    seconds: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    channels: defaultdict[str, list[str]] = defaultdict(list)
    for path, found in inspected:
        info, rate = found.info, found.info.sample_rate
        if info.is_cut:
            kind = "cut" if info.n_missing_frames else "open"
            seconds[kind].append((path, info.n_missing_frames / rate))
        if info.n_hidden_frames:
            seconds["hidden"].append((path, info.n_hidden_frames / rate))
        if info.holes:
            lost = sum(end - start for start, end in info.holes) / rate
            seconds["holes"].append((path, lost))
        for what in dict.fromkeys(what for _, what in found.bad_channels):
            numbers = ", ".join(str(number) for number, of in found.bad_channels if of == what)
            channels[what].append(f"{path} ({numbers})")
    notices = []
    if files := seconds["hidden"]:
        n, is_one = plural(len(files), "file"), len(files) == 1
        notices.append(
            f"{n} {'holds' if is_one else 'hold'} {_length(files)} more than "
            f"{'its header tells' if is_one else 'their headers tell'}, and "
            f"{'was read to its end' if is_one else 'were read to their ends'}: {_names(files)}."
        )
    if files := seconds["cut"]:
        notices.append(
            f"{plural(len(files), 'file')} cut short, {_length(files)} missing at the end; what is "
            f"there is used: {_names(files)}."
        )
    if files := seconds["open"]:
        notices.append(
            f"{plural(len(files), 'file')} cut short, how much is missing is not known; what is there "
            f"is used: {_names(files)}."
        )
    if files := seconds["holes"]:
        notices.append(
            f"{plural(len(files), 'file')} damaged inside, {_length(files)} lost; what lies before and "
            f"after is used, the rest is a gap: {_names(files)}."
        )
    for what, paths in channels.items():
        notices.append(
            f"{plural(len(paths), 'file')} with channels that hold {what}; the other channels are "
            f"used: {_first(paths)}."
        )
    return notices


def format_notices(paths: Iterable[str]) -> list[str]:
    """Count the files that nobody but their maker reads, and name the programs that convert them.

    Parameters
    ----------
    paths : names of files

    Returns
    -------
    list of str

    Examples
    --------
    >>> format_notices(["a.wac", "b.WAC", "c.wav"])
    ['2 files .wac cannot be read. Convert them to WAV with Kaleidoscope.']
    """
    counts = Counter(PurePosixPath(path).suffix.lower() for path in paths)
    return [
        f"{plural(n, 'file')} {suffix} cannot be read. Convert {'it' if n == 1 else 'them'} to WAV "
        f"with {CONVERTERS[suffix]}."
        for suffix, n in sorted(counts.items())
        if suffix in CONVERTERS
    ]


def _length(files: Sequence[tuple[str, float]]) -> str:
    total_s = sum(seconds for _, seconds in files)
    return f"{total_s:.1f} s" if total_s < 3600 else f"{total_s / 3600:.1f} h"


def _names(files: Sequence[tuple[str, float]]) -> str:
    return _first([path for path, _ in files])


def _first(paths: Sequence[str], n: int = 3) -> str:
    """The first names of a list."""
    shown = [os.fsencode(path).decode("utf-8", "backslashreplace") for path in paths[:n]]
    return ", ".join(shown) + (", ..." if len(paths) > n else "")

"""Notices about a collection, before training."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pandas as pd

from pseudorca.recordings.audio import CONVERTERS, Inspection
from pseudorca.recordings.naming import compile_pattern, plain_encounters
from pseudorca.values import plural

CLASS_FOLDERS = (
    "put the recordings of each population in a folder of its own, with a folder per encounter inside, "
    "and give the folder that holds these."
)
"""What to do where there are too few classes."""

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
    list of str, one or two sentences each, what matters most first

    Examples
    --------
    >>> collection_notices(pd.DataFrame())
    ['No usable recordings were found.']
    """
    if recordings.empty:
        return ["No usable recordings were found."]
    labelled = recordings[recordings["label"].notna()]
    notices = [*_class_notices(labelled), *few_encounters(recordings)]
    plain = plain_encounters(recordings["encounter"].astype(str))
    loose = labelled["encounter"].str.endswith("/(no encounter)")
    if loose.any():
        of = ", ".join(sorted(labelled.loc[loose, "label"].unique()))
        notices.append(
            f"Without encounter and without time: {plural(int(loose.sum()), 'recording')} of {of}; "
            "those of a class count as one encounter. Put each encounter in a folder, or give "
            "--metadata with a column encounter."
        )
    mixed = []
    for encounter, group in labelled.groupby("encounter", sort=True):
        if group["label"].nunique() > 1:
            counts = ", ".join(f"{n} {label}" for label, n in group["label"].value_counts().items())
            mixed.append(f"{plain[str(encounter)]} ({counts})")
    if mixed:
        notices.append(
            f"Mixed encounters, with recordings of several classes: {len(mixed)}; each stays one group "
            f"in every split. They are {', '.join(mixed)}."
        )
    rates = Counter(recordings["sample_rate"].tolist())
    if len(rates) > 1:
        shown = ", ".join(f"{rate / 1000:g} kHz ({n})" for rate, n in rates.most_common(8))
        more = f" and {len(rates) - 8} more" if len(rates) > 8 else ""
        notices.append(
            f"Mixed sample rates: {shown}{more}. The common front end "
            "brings all to one rate; the study front end does not, and then the rate can be a cue."
        )
    long = []
    for encounter, group in recordings.dropna(subset="start_utc").groupby("encounter", sort=True):
        span_h = (group["start_utc"].max() - group["start_utc"].min()).total_seconds() / 3600
        if span_h > MAX_ENCOUNTER_SPAN_H:
            long.append(f"{plain[str(encounter)]} ({span_h:.0f} hours)")
    if long:
        notices.append(
            f"Encounters over {MAX_ENCOUNTER_SPAN_H:g} hours, hardly one encounter each: {len(long)}; "
            f"--cut-gaps HOURS cuts them where nothing was recorded. Long are {', '.join(long)}."
        )
    channels = Counter(recordings["n_channels"].tolist())
    if len(channels) > 1:
        shown = ", ".join(f"{plural(n, 'channel')} ({k})" for n, k in channels.most_common())
        notices.append(f"Mixed channel counts: {shown}.")
    return notices


def _class_notices(labelled: pd.DataFrame) -> list[str]:
    """No class, one class, or classes that may be one."""
    notices = []
    if labelled.empty:
        notices.append(
            f"No class folder was found, so that no recording has a label: {CLASS_FOLDERS} Or name "
            "the classes with --labels, or give --metadata with a column label."
        )
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
                f"{plural(len(labels), 'population')}."
            )
    return notices


def pattern_notices(pattern: str | None, paths: Sequence[str]) -> list[str]:
    """Say how many paths a user's pattern did not match, if any.

    Parameters
    ----------
    pattern : str or None, the regular expression of ``--name-pattern``
    paths : sequence of str, relative to the scanned folder

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> pattern_notices("(?P<platform>rec[0-9])", ["rec1/a.wav", "tape/b.wav"])
    ['--name-pattern matches 1 of 2 paths; the others, such as tape/b, are read as usual.']
    """
    if pattern is None or not paths:
        return []
    compiled = compile_pattern(pattern)
    read = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    unmatched = [text for text in read if not compiled.search(text)]
    if not unmatched:
        return []
    if len(unmatched) == len(read):
        return [
            f"--name-pattern matches none of {plural(len(read), 'path')}, such as {read[0]}: it had no "
            "effect. It is searched in the path below the folder, without the ending."
        ]
    return [
        f"--name-pattern matches {len(read) - len(unmatched)} of {plural(len(read), 'path')}; the "
        f"others, such as {unmatched[0]}, are read as usual."
    ]


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
    ['Fewer than 4 encounters, too few to conclude about a population: Insular 1.']
    """
    labelled = recordings[recordings["label"].notna()]
    encounters = labelled.groupby("label", sort=True)["encounter"].nunique()
    few = {label: n for label, n in encounters.items() if n < MIN_ENCOUNTERS}
    if not few:
        return []
    shown = ", ".join(f"{label} {n}" for label, n in few.items())
    return [
        f"Fewer than {MIN_ENCOUNTERS} encounters, too few to conclude about a population: {shown}."
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

"""Notices about a collection: its times, spellings, files left out; its classes before training."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from pseudorca.recordings.audio import CONVERTERS, Inspection
from pseudorca.recordings.clocks import odd_hour, read_zone
from pseudorca.recordings.naming import compile_pattern, folded, plain_encounters
from pseudorca.recordings.stamps import zone_word
from pseudorca.values import nfc, plural

CLASS_FOLDERS = (
    "put the recordings of each population in a folder of its own, with a folder per encounter inside, "
    "and give the folder that holds these."
)
"""What to do where there are too few classes."""

_MOST_EXAMPLES = 3
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
    spellings = labelled.drop_duplicates("label").groupby(labelled["label"].map(folded))["label"]
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


def time_notices(
    rows: Sequence[Mapping[str, Any]], doubtful: Mapping[int, str], *, is_zone_told: bool = False
) -> list[str]:
    """Say which names tell no time, two times, or a time that cannot be right.

    Parameters
    ----------
    rows : sequence of dict
        ``path``, and the entries of :func:`~pseudorca.recordings.naming.read_names`
    doubtful : dict from the number of a row to the reason why its time is not believed
    is_zone_told : bool, whether a user said in which zone the clocks are

    Returns
    -------
    list of str, a notice of each kind at most

    Examples
    --------
    >>> from pseudorca.recordings.naming import read_names
    >>> names = ("a.wav", "20170728_031259.wav")
    >>> time_notices([{"path": name} | read_names(name) for name in names], {})
    ['1 of 2 names tells no time (a.wav): its sound ...
    """
    notices = []
    unread = [row for row in rows if row["readings"] and not row["start_utc"]]
    if unread:
        shown = [f"{_name(row)} ({' or '.join(map(_shown, row['readings']))})" for row in unread]
        notices.append(
            f"{_of(len(unread), len(rows), 'name')} can be read in several ways and "
            f"{'gives' if len(unread) == 1 else 'give'} no time: {_some(shown)}. Say which is meant "
            "with --name-pattern and --time-format."
        )
    if doubtful:
        shown = [
            f"{_name(rows[k])} ({_shown(rows[k]['clock'])}, {why})" for k, why in doubtful.items()
        ]
        notices.append(
            f"{_of(len(doubtful), len(rows), 'time')} cannot be right and "
            f"{'is' if len(doubtful) == 1 else 'are'} left out: {_some(shown)}. A column start_utc in "
            "--metadata says when these were recorded."
        )
    silent = [
        row["path"]
        for k, row in enumerate(rows)
        if not row["start_utc"] and not row["readings"] and k not in doubtful
    ]
    sources = Counter(row["time_source"] for row in rows)
    notices += silent_notice(silent, sources, len(rows))
    odd: dict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for k, row in enumerate(rows):
        clock = row["clock"]
        if k not in doubtful and clock and row["time_zone"] and clock.tzinfo is None:
            odd[odd_hour(clock, read_zone(row["time_zone"]))].append(row)
    for how, what in (
        ("twice", "comes twice, as daylight saving ends: the first is taken"),
        ("never", "never comes, as daylight saving begins: the clock did not follow it"),
    ):
        if of_kind := odd[how]:
            shown = [f"{_name(row)} ({row['time_zone']})" for row in of_kind]
            notices.append(
                f"{_of(len(of_kind), len(rows), 'recording')} "
                f"{'begins' if len(of_kind) == 1 else 'begin'} in an hour that {what}: {_some(shown)}. "
                "If the clock stays as it is all year, give its offset as --time-zone, such as -10."
            )
    words = Counter(
        word
        for row in rows
        if not is_zone_told and row["time_source"] == "name" and not row["time_zone"]
        and row["clock"].tzinfo is None
        and (word := zone_word(_name(row).rsplit(".", 1)[0]))
    )  # fmt: skip
    for word, n in words.items():
        notices.append(
            f"{_of(n, len(rows), 'name')} {'holds' if n == 1 else 'hold'} {word}, which may be the "
            "zone of the clock; the times are taken as UTC. If they are not, say so with --time-zone."
        )
    return notices


def silent_notice(paths: Sequence[str], sources: Mapping[Any, int], n: int) -> list[str]:
    """Say how many names tell no time, and where the time stands instead.

    Parameters
    ----------
    paths : sequence of str, of the recordings without a time
    sources : dict from source of a time to the number of recordings
    n : int, all recordings

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> silent_notice([], {"harp": 2, "name": 1}, 3)
    ['2 of 3 names tell no time; the headers do (harp 2).']
    """
    headers = {
        str(source): number
        for source, number in sources.items()
        if number and isinstance(source, str) and source not in ("name", "metadata")
    }
    n_silent = len(paths) + sum(headers.values())
    if not n_silent:
        return []
    text = f"{n_silent} of {n} names {'tells' if n_silent == 1 else 'tell'} no time"
    if headers:
        counts = ", ".join(f"{source} {number}" for source, number in sorted(headers.items()))
        whose = "headers" if not paths else f"headers of {sum(headers.values())}"
        text += f"; the {whose} do ({counts})"
    if not paths:
        return [f"{text}."]
    shown = _some([path.rpartition("/")[2] for path in paths])
    its = "its sound is" if len(paths) == 1 else "their sound is"
    return [
        f"{text} ({shown}): {its} in no hour, no gap and no day, and joins no other file. Say how "
        "to read the names with --name-pattern and --time-format, or give start_utc in --metadata."
    ]


def spelling_notices(paths: Iterable[str]) -> list[str]:
    """Say which folders are one, as their names differ in their form of Unicode only.

    Parameters
    ----------
    paths : iterable of str, of files, as they are stored

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> spelling_notices(["L\\u0101nai/a.wav", "La\\u0304nai/b.wav"])
    ['Folders whose names look alike and are stored in several forms of Unicode are one: ...
    """
    forms = defaultdict(set)
    for folder in {path.rpartition("/")[0] for path in paths}:
        for part in folder.split("/"):
            if not part.isascii():
                forms[nfc(part)].add(part)
    joined = [f"{name} ({len(of)} forms)" for name, of in sorted(forms.items()) if len(of) > 1]
    if not joined:
        return []
    return [
        "Folders whose names look alike and are stored in several forms of Unicode are one: "
        f"{_some(joined)}."
    ]


def left_behind_notice(
    by_place: Mapping[str, int], n_audio: int, *, is_all: bool = True
) -> list[str]:
    """Say how many files of operating systems and storage boxes were passed over.

    Parameters
    ----------
    by_place : dict from the folder (or the kind of file) to the number of files
    n_audio : int, those of them that are audio by their names; without any nothing is said
    is_all : bool, whether all such folders were listed

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> left_behind_notice({"$RECYCLE.BIN": 2}, 2)
    ['2 files that systems leave behind were passed over: $RECYCLE.BIN 2.']
    """
    if not n_audio:
        return []
    n = sum(by_place.values())
    of_them = "" if n == n_audio else f" ({n_audio} of them audio by their names)"
    shown = ", ".join(f"{place} {number}" for place, number in Counter(by_place).most_common(8))
    were = (
        "file that systems leave behind was" if n == 1 else "files that systems leave behind were"
    )
    least = "" if is_all else "At least "
    return [
        f"{least}{n} {were} passed over{of_them}: {shown}{', ...' if len(by_place) > 8 else ''}."
    ]


def _name(row: Mapping[str, Any]) -> str:
    return str(row["path"]).rpartition("/")[2]


def _shown(time: datetime) -> str:
    return time.isoformat(sep=" ")


def _of(n: int, of: int, noun: str) -> str:
    return f"{n} of {plural(of, noun)}"


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_MOST_EXAMPLES]) + (", ..." if len(texts) > _MOST_EXAMPLES else "")

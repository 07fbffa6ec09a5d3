"""The label, encounter and moment of a recording, from folders, names and the clock.

In: the path of a recording below the scanned folder. Out: entries of the row of the recording. The
row is a dict with the columns of ``recordings`` and values that only this module needs. If names
allow several encounters, the coarser encounter is taken: an encounter that is too fine would claim
independence that does not exist.
"""

from collections import defaultdict
from datetime import timedelta
from pathlib import PurePosixPath
from re import Pattern
from typing import Any

import xxhash

from pseudorca.recordings import naming


def read_names(
    path: str,
    *,
    labels: tuple[str, ...] | None = None,
    pattern: Pattern[str] | None = None,
    time_format: str | None = None,
    home: str = "",
) -> dict[str, Any]:
    """Read the folders and the name of one file.

    Parameters
    ----------
    path : str, relative to the scanned folder, with forward slashes
    labels : tuple of str or None
        Names of folders, at any depth, that are classes; None: every top-level folder is a class
    pattern, time_format : see :func:`pseudorca.recordings.naming.parse_file_name`
    home : str, name of the scanned folder, if this folder may be an encounter; else empty

    Returns
    -------
    dict
        ``label, start_utc, channel, selection, platform``. For :func:`name_encounter` and the
        metadata: ``class_folder`` (the top-level folder that is the label; None if ``labels`` is
        given), ``below`` (the folders below the label), ``named_encounter`` (by platform and number,
        or by the user's pattern), ``local_encounter``, and ``scope``, in which the local encounter is
        unique.

    Examples
    --------
    >>> row = read_names("Insular/Sette_44/20170728_031259_ch1.wav")
    >>> row["label"], row["named_encounter"], row["channel"], row["start_utc"].isoformat()
    ('Insular', 'Sette_44', 1, '2017-07-28T03:12:59+00:00')
    """
    file = PurePosixPath(path)
    above, label_folder, below = _around_label(list(file.parts[:-1]), labels)
    text = str(file.with_suffix("")) if pattern else file.stem
    name = naming.parse_file_name(text, pattern=pattern, time_format=time_format)
    known = _known_encounter([home.rsplit("/", 1)[-1], *above], below)
    is_class = label_folder is not None and label_folder.lower() not in naming.UNLABELLED_NAMES
    label = label_folder if is_class else None
    return {
        "label": label,
        "start_utc": name.start_utc,
        "channel": name.channel,
        "selection": name.selection,
        "platform": (known and known.platform) or name.platform,
        "class_folder": label if labels is None else None,
        "below": below,
        "named_encounter": name.encounter or (known and known.encounter),
        "local_encounter": below[0] if below else None,
        # By folder, not by label: metadata that relabels one file must not split its encounter.
        "scope": "/".join(part for part in (label or "unlabelled", home) if part),
    }


def name_encounter(row: dict[str, Any]) -> str:
    """Name the encounter of a row: by its own entry, else by its folder, else by its day.

    Parameters
    ----------
    row : dict, as :func:`read_names` returns, with ``encounter`` of the metadata or None

    Returns
    -------
    str

    Examples
    --------
    >>> name_encounter({"encounter": None} | read_names("Insular/day1/a.wav"))
    'Insular/day1'
    """
    if encounter := row["encounter"] or row["named_encounter"]:
        return str(encounter)
    if row["local_encounter"]:
        return f"{row['scope']}/{row['local_encounter']}"
    if row["start_utc"]:
        platform = f"{row['platform']} " if row["platform"] else ""
        return f"{row['scope']}/{platform}{row['start_utc']:%Y-%m-%d}"
    return f"{row['scope']}/(no encounter)"


def moment_id(*parts: object) -> str:
    """Make the id of a moment: one stretch of sound on any number of channels.

    Parameters
    ----------
    parts : values that identify the moment

    Returns
    -------
    str, 20 hexadecimal digits

    Examples
    --------
    >>> moment_id("Sette", "Sette_44", 3) == moment_id("Sette", "Sette_44", "3")
    True
    """
    return xxhash.xxh3_128_hexdigest("\0".join(map(str, parts)).encode())[:20]


def moment_of(row: dict[str, Any]) -> str:
    """Make the id of the moment of a recording. Files of several channels may share a moment.

    Parameters
    ----------
    row : dict with ``start_utc, channel, platform, encounter, selection, recording_id``

    Returns
    -------
    str, 20 hexadecimal digits

    Examples
    --------
    >>> row = {"start_utc": None, "channel": None, "recording_id": "5f1c"}
    >>> moment_of(row) == moment_id("5f1c")
    True
    """
    # Only a channel in the name shows that another file may hold the same sound. Files with equal
    # times and without channels may be two sounds of the same second.
    if row["start_utc"] and row["channel"] is not None:
        start = row["start_utc"].isoformat()
        return moment_id(row["platform"], row["encounter"], start, row["selection"])
    return moment_id(row["recording_id"])


def cut_at_gaps(rows: list[dict[str, Any]], gap_h: float) -> list[str]:
    """Split encounters at gaps without a recording. The entry ``encounter`` of the rows changes.

    Parameters
    ----------
    rows : list of dict with ``encounter, start_utc, duration_s``
    gap_h : float, hours; longer gaps split an encounter

    Returns
    -------
    list of str, a sentence for every encounter with such a gap

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> rows = [
    ...     {"encounter": "A", "start_utc": datetime(2017, 7, day, tzinfo=UTC), "duration_s": 60.0}
    ...     for day in (1, 2)
    ... ]
    >>> _ = cut_at_gaps(rows, 6.0)
    >>> [row["encounter"] for row in rows]
    ['A#1', 'A#2']
    """
    notices = []
    by_encounter = defaultdict(list)
    for row in rows:
        by_encounter[row["encounter"]].append(row)
    for encounter, members in by_encounter.items():
        timed = sorted((row for row in members if row["start_utc"]), key=lambda r: r["start_utc"])
        part, parts, quiet_since = 0, [], None
        for row in timed:
            if quiet_since is None or row["start_utc"] - quiet_since > timedelta(hours=gap_h):
                part += 1
            parts.append(part)
            end = row["start_utc"] + timedelta(seconds=row["duration_s"])
            quiet_since = max(quiet_since or end, end)
        if part < 2:
            continue
        if len(timed) < len(members):
            notices.append(
                f"{encounter} has gaps over {gap_h:g} h but was not cut: "
                f"{len(members) - len(timed)} of its recordings have no time."
            )
            continue
        for row, number in zip(timed, parts, strict=True):
            row["encounter"] = f"{encounter}#{number}"
        notices.append(f"{encounter} was cut into {part} encounters at gaps over {gap_h:g} h.")
    return notices


def _around_label(
    folders: list[str], labels: tuple[str, ...] | None
) -> tuple[list[str], str | None, list[str]]:
    """Split the folders of a file into those above its label folder, that folder, those below."""
    for depth in range(len(folders) - 1, -1, -1):  # a folder "Unknown" inside a class unlabels it
        if folders[depth].lower() in naming.UNLABELLED_NAMES:
            return folders[:depth], folders[depth], folders[depth + 1 :]
    if labels is None:
        known = naming.parse_encounter(folders[0]) if folders else None
        if not folders or (known and known.is_survey_name):  # an encounter is not a population
            return [], None, folders
        return [], folders[0], folders[1:]
    by_lower = {label.lower(): label for label in labels}
    for depth, folder in enumerate(folders):
        if folder.lower() in by_lower:
            return folders[:depth], by_lower[folder.lower()], folders[depth + 1 :]
    return [], None, folders


def _known_encounter(above: list[str], below: list[str]) -> naming.EncounterName | None:
    """Find the encounter named by platform and number.

    The pattern of a survey counts in any folder, and the innermost folder wins. A word with a number
    counts only below the label, and the outermost folder wins.
    """
    for folder in reversed([*above, *below]):
        known = naming.parse_encounter(folder)
        if known and known.is_survey_name:
            return known
    return next(filter(None, map(naming.parse_encounter, below)), None)

"""The label, encounter, time and moment of a recording, from the names of its folders and its file.

A file name gives start time (UTC), platform, channel and selection. A folder name gives the label, or
the encounter and its platform. A value that a name does not give stays None: nothing is guessed. If
names allow several encounters, the coarser encounter is taken: an encounter that is too fine would
claim independence that does not exist. The row of a recording is a dict with the columns of
``recordings`` and values that only a scan needs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import xxhash

from pseudorca.errors import ManifestError
from pseudorca.values import plural

UNLABELLED_NAMES = frozenset({"unknown", "unlabelled", "unlabeled", "unidentified", "unid"})
"""Names of folders (lower case) whose recordings have an unknown population."""


@dataclass(frozen=True)
class FileName:
    """The values in one file name.

    Examples
    --------
    >>> parse_file_name("tape 1") == FileName()
    True
    """

    start_utc: datetime | None = None
    platform: str | None = None
    encounter: str | None = None
    channel: int | None = None
    """Hydrophone number as written in the name."""
    selection: str | None = None


@dataclass(frozen=True)
class EncounterName:
    """The encounter of one folder name.

    Examples
    --------
    >>> parse_encounter("1961_tape021") == EncounterName("1961_tape021", is_survey_name=True)
    True
    """

    encounter: str
    platform: str | None = None
    is_survey_name: bool = False
    """Whether the name has the pattern of a survey (``Lasker_AC_67``, ``1961_tape021``)."""


_NO_ENCOUNTER = "(no encounter)"

_DATE = r"(?:19|20)\d{2}[01]\d[0-3]\d"
_CLOCK = r"[0-2]\d[0-5]\d[0-5]\d"
_PREFIX = r"^(?:(?P<platform>.+?)[_.-])?"

# Specific patterns come first. Each pattern matches the beginning of a file name. Names of HICEAS clips
# are names of a Song Meter with channel and selection at the end.
_TIME_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE), time_format)
    for pattern, time_format in (
        # PAMGuard
        (rf"{_PREFIX}(?P<start>{_DATE}_{_CLOCK}_\d{{3}})(?!\d)", "%Y%m%d_%H%M%S_%f"),
        # AMAR
        (
            rf"^(?P<platform>AMAR\d+)\.(?:(?P<channel>\d{{1,2}})\.)?(?P<start>{_DATE}T{_CLOCK}Z)",
            "%Y%m%dT%H%M%SZ",
        ),
        # ISO 8601
        (rf"{_PREFIX}(?P<start>{_DATE}T{_CLOCK})Z?(?!\d)", "%Y%m%dT%H%M%S"),
        # icListen
        (rf"{_PREFIX}(?P<start>{_DATE}-{_CLOCK})(?!\d)", "%Y%m%d-%H%M%S"),
        # Song Meter, AudioMoth, HICEAS clip
        (rf"{_PREFIX}(?P<start>{_DATE}_{_CLOCK})Z?(?!\d)", "%Y%m%d_%H%M%S"),
        # SoundTrap
        (rf"^(?P<platform>\d{{3,}})\.(?P<start>\d{{6}}{_CLOCK})(?!\d)", "%y%m%d%H%M%S"),
        # icListen, short year
        (rf"^(?P<platform>.+?)_(?P<start>\d{{6}}-{_CLOCK})(?!\d)", "%y%m%d-%H%M%S"),
        # Ocean Observatories
        (
            r"^(?P<platform>.+?)_(?P<start>(?:19|20)\d{2}_\d{2}_\d{2}-\d{2}_\d{2})(?!\d)",
            "%Y_%m_%d-%H_%M",
        ),
    )
)
_CHANNEL = re.compile(r"[_.-]ch(?P<channel>\d+)(?![^_.-])", re.IGNORECASE)
_SELECTION = re.compile(r"[_.-]sel(?P<selection>[^_.-]+)", re.IGNORECASE)

_AC_ENCOUNTER = re.compile(r"^(?P<platform>[A-Za-z][\w-]*?)_AC_?\d+\w?$", re.IGNORECASE)
_TAPE_ENCOUNTER = re.compile(r"^(?:19|20)\d{2}_tape\d+$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?P<platform>[A-Za-z]{2,})[_-]?(?!(?:19|20)\d\d$)(?P<number>\d{1,5})$")
# A numbered folder with one of these names is unique in its class only: Insular/day1, Pelagic/day1.
_COMMON_WORDS = frozenset(
    "ac array batch ch channel clan class clip cruise date day deployment dir disc disk ecotype "
    "encounter event file folder group hyd hydrophone leg month night part pod pop population rec "
    "recording sample school season sel selection session set sighting site species station sub "
    "subset survey tape test track train trip type unit val week year".split()
)


def parse_file_name(
    stem: str, *, pattern: re.Pattern[str] | None = None, time_format: str | None = None
) -> FileName:
    """Read a file name.

    Parameters
    ----------
    stem : str, file name without its ending; with ``pattern`` the relative path
    pattern : compiled regular expression or None
        A user's pattern, tried first, with any of the named groups ``start``, ``platform``,
        ``encounter``, ``channel``, ``selection``
    time_format : str or None, strptime format of the group ``start``

    Returns
    -------
    FileName

    Raises
    ------
    ManifestError
        If the start or the channel of the user's pattern cannot be read.

    Examples
    --------
    >>> name = parse_file_name("Sette_20170728_031259_ch3")
    >>> name.platform, name.channel, f"{name.start_utc:%H:%M}"
    ('Sette', 3, '03:12')
    """
    if pattern is not None and (match := pattern.search(stem)):
        return _user_fields(stem, match, time_format)
    name = stem.rsplit("/", 1)[-1]
    for known, known_format in _TIME_PATTERNS:
        match = known.search(name)
        start = _parse_time(match["start"], known_format) if match else None
        if match and start:
            groups = match.groupdict()
            for marker in (_CHANNEL, _SELECTION):
                if behind := marker.search(name, match.end()):
                    groups |= behind.groupdict()
            return FileName(
                start_utc=start,
                platform=groups.get("platform"),
                channel=int(groups["channel"]) if groups.get("channel") else None,
                selection=groups.get("selection"),
            )
    return FileName()


def parse_encounter(folder: str) -> EncounterName | None:
    """Read an encounter from one folder name with a platform and a number.

    Parameters
    ----------
    folder : str, one folder name, such as ``Lasker_AC_67``, ``1961_tape021`` or ``Sette_44``

    Returns
    -------
    EncounterName or None
        None if the name is not of platform and number. ``Sette_2017`` is a year, and ``day3`` is
        unique in its class only.

    Examples
    --------
    >>> parse_encounter("Sette_44").platform, parse_encounter("Sette_2017")
    ('Sette', None)
    """
    if match := _AC_ENCOUNTER.match(folder):
        return EncounterName(folder, match["platform"], is_survey_name=True)
    if _TAPE_ENCOUNTER.match(folder):
        return EncounterName(folder, is_survey_name=True)
    if (match := _NUMBERED.match(folder)) and match["platform"].lower() not in _COMMON_WORDS:
        return EncounterName(folder, match["platform"])
    return None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a user's pattern for file names.

    Parameters
    ----------
    pattern : str, a regular expression with named groups

    Returns
    -------
    re.Pattern

    Raises
    ------
    ManifestError
        If the text is not a regular expression, or has no or unknown named groups.

    Examples
    --------
    >>> compile_pattern(r"(?P<platform>[a-z]+)_(?P<start>\\d{8})").groups
    2
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ManifestError(
            f"--name-pattern {pattern!r} is not a regular expression: {error}."
        ) from error
    known = {"start", "platform", "encounter", "channel", "selection"}
    groups = set(compiled.groupindex)
    if not groups or groups - known:
        raise ManifestError(
            f"--name-pattern {pattern!r} has the named groups {sorted(groups) or 'none'}; expected "
            f"one or more of {sorted(known)}, written like (?P<start>\\d{{8}})."
        )
    return compiled


def check_time_format(time_format: str) -> None:
    """Check a strptime format, such as ``%Y%m%d``.

    Parameters
    ----------
    time_format : str

    Raises
    ------
    ManifestError
        If the text is not a strptime format.

    Examples
    --------
    >>> check_time_format("%Y%m%d")
    """
    problem = "it has no directive"
    if "%" in time_format:
        try:
            datetime.strptime("", time_format)
            return
        except (ValueError, re.error) as error:  # re.error: a directive appears twice
            problem = str(error)
        if "does not match format" in problem:  # all directives are known
            return
    raise ManifestError(
        f"--time-format {time_format!r} is not a strptime format: {problem}. Expected one such as "
        "%Y%m%d_%H%M%S."
    )


def _user_fields(text: str, match: re.Match[str], time_format: str | None) -> FileName:
    groups = {name: value for name, value in match.groupdict().items() if value}
    start, channel = None, None
    if "start" in groups:
        formats = (time_format,) if time_format else ("%Y%m%d_%H%M%S", "%Y%m%dT%H%M%S")
        start = _parse_time(groups["start"], *formats)
        if start is None:
            raise ManifestError(
                f"{text}: the start {groups['start']!r} found by --name-pattern does not fit "
                f"{' or '.join(formats)}. Give its strptime format with --time-format."
            )
    if "channel" in groups:
        if not groups["channel"].isdecimal():
            raise ManifestError(
                f"{text}: the channel {groups['channel']!r} found by --name-pattern is not a number."
            )
        channel = int(groups["channel"])
    return FileName(
        start, groups.get("platform"), groups.get("encounter"), channel, groups.get("selection")
    )


def _parse_time(text: str, *formats: str) -> datetime | None:
    for time_format in formats:
        try:
            time = datetime.strptime(text, time_format)
        except ValueError:
            continue
        if 1950 <= time.year <= 2100:
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return None


def read_names(
    path: str,
    *,
    labels: tuple[str, ...] | None = None,
    pattern: re.Pattern[str] | None = None,
    time_format: str | None = None,
    home: str = "",
) -> dict[str, Any]:
    """Read the folders and the name of one file.

    Parameters
    ----------
    path : str, relative to the scanned folder, with forward slashes
    labels : tuple of str or None
        Names of folders, at any depth, that are classes; None: every top-level folder is a class
    pattern, time_format : see :func:`parse_file_name`
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
    name = parse_file_name(text, pattern=pattern, time_format=time_format)
    known = _known_encounter([home.rsplit("/", 1)[-1], *above], below)
    is_unlabelled = label_folder is None or label_folder.lower() in UNLABELLED_NAMES
    label = None if is_unlabelled else label_folder
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
    return f"{row['scope']}/{_NO_ENCOUNTER}"


def plain_encounters(names: Iterable[str]) -> dict[str, str]:
    """Name encounters for readers by their own folder, without the class folder above it.

    Where two folders are called alike, and where there is no folder, the whole name stays.

    Parameters
    ----------
    names : iterable of str, encounters as tables name them

    Returns
    -------
    dict from name to plain name

    Examples
    --------
    >>> plain_encounters(["KillerWhale/1997_Keiko", "A/day1", "B/day1"])
    {'KillerWhale/1997_Keiko': '1997_Keiko', 'A/day1': 'A/day1', 'B/day1': 'B/day1'}
    """
    own = {name: name.rsplit("/", 1)[-1] for name in dict.fromkeys(names)}
    counts = Counter(text.casefold() for text in own.values())
    return {
        name: text if counts[text.casefold()] == 1 and text not in ("", _NO_ENCOUNTER) else name
        for name, text in own.items()
    }


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
    list of str, what was cut, and what was not and why

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
    by_encounter = defaultdict(list)
    for row in rows:
        by_encounter[row["encounter"]].append(row)
    plain = plain_encounters(by_encounter)
    cut, kept = [], []
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
            kept.append(f"{plain[encounter]} ({len(members) - len(timed)} of {len(members)})")
            continue
        for row, number in zip(timed, parts, strict=True):
            row["encounter"] = f"{encounter}#{number}"
        cut.append(f"{plain[encounter]} into {part}")
    n = plural(len(by_encounter), "encounter")
    notices = []
    if kept:
        notices.append(
            f"--cut-gaps {gap_h:g} did not cut {len(kept)} of {n} that have such gaps, since some of "
            f"their recordings have no time. Without time: {', '.join(kept)}."
        )
    if cut:
        notices.append(f"--cut-gaps {gap_h:g} cut {len(cut)} of {n}. Cut: {', '.join(cut)}.")
    elif not kept:
        n_untimed = sum(row["start_utc"] is None for row in rows)
        untimed = f"{n_untimed} of {plural(len(rows), 'recording')} have no time, and tell no pause"
        why = f"no pause is longer than {gap_h:g} h" if n_untimed < len(rows) else untimed
        rest = f" {untimed}." if 0 < n_untimed < len(rows) else ""
        notices.append(f"--cut-gaps {gap_h:g} cut none of {n}: {why}.{rest}")
    return notices


def _around_label(
    folders: list[str], labels: tuple[str, ...] | None
) -> tuple[list[str], str | None, list[str]]:
    """Split the folders of a file into those above its label folder, that folder, those below."""
    for depth in range(len(folders) - 1, -1, -1):  # a folder "Unknown" inside a class unlabels it
        if folders[depth].lower() in UNLABELLED_NAMES:
            return folders[:depth], folders[depth], folders[depth + 1 :]
    if labels is None:
        known = parse_encounter(folders[0]) if folders else None
        if not folders or (known and known.is_survey_name):  # an encounter is not a population
            return [], None, folders
        return [], folders[0], folders[1:]
    by_lower = {label.lower(): label for label in labels}
    for depth, folder in enumerate(folders):
        if folder.lower() in by_lower:
            return folders[:depth], by_lower[folder.lower()], folders[depth + 1 :]
    return [], None, folders


def _known_encounter(above: list[str], below: list[str]) -> EncounterName | None:
    """Find the encounter named by platform and number.

    The pattern of a survey counts in any folder, and the innermost folder wins. A word with a number
    counts only below the label, and the outermost folder wins.
    """
    for folder in reversed([*above, *below]):
        known = parse_encounter(folder)
        if known and known.is_survey_name:
            return known
    return next(filter(None, map(parse_encounter, below)), None)

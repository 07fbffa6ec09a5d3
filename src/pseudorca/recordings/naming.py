"""The label, encounter, time and moment of a recording, from the names of its folders and its file.

A file name gives start time, platform, channel and selection. A folder name gives the label, or the
encounter and its platform. A value that a name does not give stays None: nothing is guessed, and a name
that can be read in two ways gives none. If names allow several encounters, the coarser encounter is
taken: an encounter that is too fine would claim independence that does not exist. Names are compared in
one form of Unicode (NFC). The row of a recording is a dict with the columns of ``recordings`` and
values that only a scan needs.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from posixpath import splitext
from typing import Any

import xxhash

from pseudorca.errors import ManifestError
from pseudorca.recordings.clocks import in_utc
from pseudorca.recordings.stamps import DELIMITERS, FIRST_YEAR, LAST_YEAR, find_stamps
from pseudorca.values import nfc, plural

UNLABELLED_NAMES = frozenset({"unknown", "unlabelled", "unlabeled", "unidentified", "unid"})
"""Names of folders (lower case) whose recordings have an unknown population."""


ANSWERS = {
    "undecided": "pseudorca says so of what it cannot name",
    "none of the classes": "pseudorca says so of the sounds of --other",
}
"""Names that no class may have, since they are answers, and why."""


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
    clock: datetime | None = field(default=None, compare=False)
    """The time as written in the name; with an offset if the name gives its zone."""
    readings: tuple[datetime, ...] = field(default=(), compare=False)
    """The times that a name may mean that can be read in several ways."""
    rest: str = field(default="", compare=False)
    """The name without its channel."""
    is_own: bool = field(default=False, compare=False)
    """Whether a user's own pattern read it."""


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

_CHANNEL = re.compile(
    r"(?<![A-Za-z0-9])(?:ch|chn|chan|channel|hyd|hydro|hydrophone|hphone|mic|microphone|sensor|element)"
    r"[ _.-]?(?P<channel>\d{1,3})(?:[ _]?of[ _]?\d{1,3})?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_AMAR = re.compile(
    r"^AMAR\d+(?P<channel_part>\.(?P<channel>\d{1,2}))(?:\.\d{4,6})?"
    r"\.(?=\d{4}(?:0\d|1[0-2])\d\dT)",
    re.IGNORECASE,
)
_DAY = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?:[-_.]\d\d)?(?:[-_. ]|$)"
)
_DAY_FOLDER = re.compile(r"(?:19|20)\d\d([-_. ]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])")
_SELECTION = re.compile(r"[ _.-]sel(?P<selection>[^_. -]+)", re.IGNORECASE)
_SELECTION_BEFORE = re.compile(
    r"(?<![A-Za-z0-9])sel(?P<selection>\d+)(?=[ _.-])[ _.-]", re.IGNORECASE
)

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


def folded(text: str) -> str:
    """Write a text so that names of any case and form of Unicode are equal.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> folded("CAF\u00c9") == folded("cafe\u0301")
    True
    """
    return nfc(nfc(text).casefold())


def refuse_answers(labels: Iterable[str | None]) -> None:
    """Refuse a class that is called like an answer, in any case and form of Unicode.

    Parameters
    ----------
    labels : iterable of str or None

    Raises
    ------
    ManifestError
        If a label is one of :data:`ANSWERS`.

    Examples
    --------
    >>> refuse_answers(["Insular", None])
    >>> refuse_answers(["Undecided"])
    Traceback (most recent call last):
    pseudorca.errors.ManifestError: a class is called 'Undecided', and pseudorca says so of ...
    """
    for label in filter(None, labels):
        plain = unicodedata.normalize("NFKC", label).casefold()
        plain = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
        plain = " ".join(re.split(r"[\s_\-]+", plain.strip(" _-")))
        if plain in ANSWERS:
            raise ManifestError(
                f"a class is called {label!r}, and {ANSWERS[plain]}: an answer could not be told from "
                "the class. Rename the folder, or the label in the metadata. Recordings of an "
                "unknown class lie in a folder Unknown."
            )


def time_fields(clock: datetime | None, zone: tzinfo | None, source: str | None) -> dict[str, Any]:
    """Make the entries of a row that tell its time.

    Parameters
    ----------
    clock : datetime or None
        The time of the recorder's clock; with an offset, or in ``zone``
    zone : tzinfo or None
        None: UTC
    source : str or None, what told the time

    Returns
    -------
    dict
        ``clock``; ``start_utc``; ``time_zone``, None where no zone but UTC is known; ``time_source``

    Examples
    --------
    >>> from zoneinfo import ZoneInfo
    >>> time_fields(datetime(2017, 7, 28, 3), ZoneInfo("Pacific/Honolulu"), "name")["time_zone"]
    'Pacific/Honolulu'
    """
    start_utc = None if clock is None else in_utc(clock, zone)
    known = zone if clock is None or clock.tzinfo in (None, UTC) else clock.tzinfo
    return {
        "clock": clock,
        "start_utc": start_utc,
        "time_zone": None if known in (None, UTC) else str(known),
        "time_source": source if start_utc else None,
    }


def parse_file_name(
    stem: str,
    *,
    pattern: re.Pattern[str] | None = None,
    time_format: str | None = None,
    zone: tzinfo | None = None,
) -> FileName:
    """Read a file name.

    Parameters
    ----------
    stem : str, file name without its ending; with ``pattern`` the relative path
    pattern : compiled regular expression or None
        A user's pattern, tried first, with any of the named groups ``start``, ``platform``,
        ``encounter``, ``channel``, ``selection``
    time_format : str or None, strptime format of the group ``start``
    zone : tzinfo or None
        The zone of the recorder's clock, for names that give none; None: UTC

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
    stem = nfc(stem)
    if pattern is not None and (match := pattern.search(stem)):
        return _user_fields(stem, match, time_format, zone)
    name, channel = _without_channel(stem.rsplit("/", 1)[-1])
    stamps = find_stamps(name)
    if len(stamps) != 1:
        readings = tuple(stamp.time for stamp in stamps)
        return FileName(channel=channel, readings=readings, rest=name)
    (stamp,) = stamps
    before, behind = name[: stamp.begin], name[stamp.end :]
    if selection := _SELECTION.search(behind):
        behind = behind[: selection.start()] + behind[selection.end() :]
    elif selection := _SELECTION_BEFORE.search(before):
        before = before[: selection.start()] + before[selection.end() :]
    return FileName(
        start_utc=in_utc(stamp.time, zone),
        platform=_DAY.sub("", before).strip(DELIMITERS) or None,  # a day tells nobody
        channel=channel,
        selection=selection["selection"] if selection else None,
        clock=stamp.time,
        rest=name,
    )


def _without_channel(name: str) -> tuple[str, int | None]:
    """Take the channel out of a name. Two channels of different numbers are none."""
    if amar := _AMAR.match(name):
        begin, end = amar.span("channel_part")
        return name[:begin] + name[end:], int(amar["channel"])
    found = list(_CHANNEL.finditer(name))
    if len({int(match["channel"]) for match in found}) != 1:
        return name, None
    for match in reversed(found):
        before, behind = name[: match.start()], name[match.end() :]
        if not before or before[-1] in DELIMITERS:
            behind = behind[1:] if behind[:1] in tuple(DELIMITERS) else behind
        name = before + behind
    return name.rstrip(DELIMITERS) or name, int(found[0]["channel"])


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


def _user_fields(
    text: str, match: re.Match[str], time_format: str | None, zone: tzinfo | None
) -> FileName:
    groups = {name: value for name, value in match.groupdict().items() if value}
    clock, channel = None, None
    if "start" in groups:
        formats = (time_format,) if time_format else ("%Y%m%d_%H%M%S", "%Y%m%dT%H%M%S")
        clock = _parse_time(groups["start"], *formats)
        if clock is None:
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
        begin, end = match.span("channel")
        text = text[:begin] + text[end:]
    return FileName(
        start_utc=None if clock is None else in_utc(clock, zone),
        platform=groups.get("platform"),
        encounter=groups.get("encounter"),
        channel=channel,
        selection=groups.get("selection"),
        clock=clock,
        rest=text.rsplit("/", 1)[-1],
        is_own=True,
    )


def _parse_time(text: str, *formats: str) -> datetime | None:
    for time_format in formats:
        try:
            time = datetime.strptime(text, time_format)
        except ValueError:
            continue
        if FIRST_YEAR <= time.year <= LAST_YEAR:
            return time
    return None


def read_names(
    path: str,
    *,
    labels: tuple[str, ...] | None = None,
    pattern: re.Pattern[str] | None = None,
    time_format: str | None = None,
    zone: tzinfo | None = None,
    home: str = "",
) -> dict[str, Any]:
    """Read the folders and the name of one file.

    Parameters
    ----------
    path : str, relative to the scanned folder, with forward slashes
    labels : tuple of str or None
        Names of folders, at any depth, that are classes; None: every top-level folder is a class
    pattern, time_format, zone : see :func:`parse_file_name`
    home : str, name of the scanned folder, if this folder may be an encounter; else empty

    Returns
    -------
    dict
        ``label, start_utc, channel, selection, platform``. For :func:`name_encounter`,
        :func:`name_recorders`, :func:`moment_of` and the metadata: ``class_folder`` (the top-level
        folder that is the label; None if ``labels`` is given), ``below`` (the folders below the label),
        ``named_encounter`` (by platform and number, or by the user's pattern), ``local_encounter``, and
        ``scope``, in which the local encounter is unique; ``folder`` (without a folder of one channel),
        ``home`` (without folders that are days, either),
        ``place`` (its part that neither label nor encounter tell), ``told_platform`` (by folders or a
        user's pattern), ``prefix`` (of the name), ``readings`` and ``rest``. The time as
        :func:`time_fields`.

    Examples
    --------
    >>> row = read_names("Insular/Sette_44/20170728_031259_ch1.wav")
    >>> row["label"], row["named_encounter"], row["channel"], row["start_utc"].isoformat()
    ('Insular', 'Sette_44', 1, '2017-07-28T03:12:59+00:00')
    """
    folder, _, file = nfc(path).rpartition("/")
    above, label, below, known = _read_folders(folder, labels, home)
    stem = splitext(file)[0]
    text = f"{folder}/{stem}".removeprefix("/") if pattern else stem
    name = parse_file_name(text, pattern=pattern, time_format=time_format, zone=zone)
    channel, within = name.channel, below
    if channel is None and name.clock and below and (only := _CHANNEL.fullmatch(below[-1])):
        channel, within = int(only["channel"]), below[:-1]
        folder = folder.rpartition("/")[0]
    return time_fields(name.clock, zone, "name") | {
        "label": label,
        "channel": channel,
        "selection": name.selection,
        "platform": (known and known.platform) or name.platform,
        "class_folder": label if labels is None else None,
        "below": below,
        "named_encounter": name.encounter or (known and known.encounter),
        "local_encounter": within[0] if within else None,
        # By folder, not by label: metadata that relabels one file must not split its encounter.
        "scope": "/".join(part for part in (label or "unlabelled", nfc(home)) if part),
        "folder": folder,
        "home": _without_days(folder),
        "place": "/".join([*above, *within[1:]]),
        "told_platform": (known and known.platform) or (name.platform if name.is_own else None),
        "prefix": None if name.is_own else name.platform,
        "readings": name.readings,
        "rest": name.rest,
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


def name_recorders(rows: Sequence[dict[str, Any]]) -> None:
    """Name the recorder of each row: its platform or folder, and the prefix of its names.

    Two recorders may write one prefix, so the folder counts unless a platform is told. The entry
    ``recorder`` of the rows is set: the prefix alone where one folder has it, else with as much of the
    folder as tells the recorders apart. It is None where the folder of the file is all that is known.

    Parameters
    ----------
    rows : sequence of dict, as :func:`read_names` returns, with ``root``

    Examples
    --------
    >>> rows = [
    ...     {"root": "/data", "path": path} | read_names(path, labels=())
    ...     for path in ("Lasker/PAM_20170728_031200.wav", "Sette/PAM_20170728_031200.wav")
    ... ]
    >>> name_recorders(rows)
    >>> [row["recorder"] for row in rows]
    ['Lasker/PAM', 'Sette/PAM']
    """
    keys: list[tuple[str, str]] = []
    spelt: dict[str, str] = {}
    homes: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        platform, prefix = row["told_platform"], row["prefix"] or ""
        if platform and folded(prefix) == folded(platform):
            prefix = ""
        home = platform or nfc("/".join(part for part in (str(row["root"]), row["home"]) if part))
        key = folded(platform) if platform else home
        keys.append((folded(prefix), key))
        spelt.setdefault(folded(prefix), prefix)
        homes[folded(prefix)].setdefault(key, home)
    shown = {("", home): name for home, name in homes.pop("", {}).items()}
    for prefix, of_prefix in homes.items():
        for home, apart in zip(of_prefix, _apart(list(of_prefix.values())), strict=True):
            shown[prefix, home] = f"{apart}/{spelt[prefix]}" if apart else spelt[prefix]
    for row, (prefix, home) in zip(rows, keys, strict=True):
        is_its_folder = row["home"] == nfc(row["path"]).rpartition("/")[0]
        is_named = prefix or row["told_platform"] or not is_its_folder
        row["recorder"] = shown[prefix, home] if is_named else None


def _apart(folders: Sequence[str]) -> list[str]:
    """The last parts of each folder, as many as tell all folders apart."""
    parts = [folder.split("/") for folder in folders]
    for n in range(max(map(len, parts)) + 1):
        ends = ["/".join(part[len(part) - n :] if n <= len(part) else part) for part in parts]
        if len(set(ends)) == len(set(folders)):
            return ends
    return list(folders)


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
    row : dict
        As :func:`read_names` returns, with ``encounter, recording_id, n_frames, sample_rate``

    Returns
    -------
    str, 20 hexadecimal digits

    Examples
    --------
    >>> row = {"channel": None, "recording_id": "5f1c"}
    >>> moment_of(row) == moment_id("5f1c")
    True
    """
    # Only a channel in the name shows that another file may hold the same sound. Files with equal
    # times and without channels may be two sounds of the same second.
    if row["channel"] is None:
        return moment_id(row["recording_id"])
    platform, prefix = row["told_platform"], row["prefix"]
    if platform and prefix and folded(platform) == folded(prefix):
        prefix = None
    parts = [part for part in (platform or row["place"], prefix) if part]
    who = "/".join(parts) or None
    if start := row["start_utc"] or row["clock"]:
        named = folded(row["rest"])  # two sites of one second are two moments
        return moment_id(who, row["encounter"], start.isoformat(), row["selection"], named)
    # Without a time: equal names but for the channel, and equal lengths.
    length = (row["n_frames"], row["sample_rate"])
    return moment_id(who, row["encounter"], row["folder"], row["rest"], *length)


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
    spelt = {folded(label): nfc(label) for label in labels}
    for depth, folder in enumerate(folders):
        if folded(folder) in spelt:
            return folders[:depth], spelt[folded(folder)], folders[depth + 1 :]
    return [], None, folders


@lru_cache(maxsize=1 << 14)
def _without_days(folder: str) -> str:
    """The folder that holds a folder for each day, such as ``20170728``."""
    above, _, last = folder.rpartition("/")
    return _without_days(above) if _DAY_FOLDER.fullmatch(last) else folder


@lru_cache(maxsize=1 << 14)
def _read_folders(
    folder: str, labels: tuple[str, ...] | None, home: str
) -> tuple[list[str], str | None, list[str], EncounterName | None]:
    """The folders above the label, the label, the folders below, and the encounter by name."""
    above, label, below = _around_label(folder.split("/") if folder else [], labels)
    known = _known_encounter([home.rsplit("/", 1)[-1], *above], below)
    is_unlabelled = label is None or label.lower() in UNLABELLED_NAMES
    return above, None if is_unlabelled else label, below, known


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

"""Read names of files of recorders, and names of encounter folders.

A file name gives start time (UTC), platform, channel and selection. A folder name gives the encounter
and its platform. A value that a name does not give stays None: nothing is guessed.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pseudorca.errors import ManifestError

UNLABELLED_NAMES = frozenset({"unknown", "unlabelled", "unlabeled", "unidentified", "unid"})
"""Names of folders (lower case) whose recordings have an unknown population."""


@dataclass(frozen=True)
class FileName:
    """The values in one file name."""

    start_utc: datetime | None = None
    platform: str | None = None
    encounter: str | None = None
    channel: int | None = None
    """Hydrophone number as written in the name."""
    selection: str | None = None


@dataclass(frozen=True)
class EncounterName:
    """The encounter of one folder name."""

    encounter: str
    platform: str | None = None
    is_survey_name: bool = False
    """Whether the name has the pattern of a survey (``Lasker_AC_67``, ``1961_tape021``)."""


@dataclass(frozen=True)
class _TimePattern:
    recorder: str
    pattern: re.Pattern[str]
    formats: tuple[str, ...]


def _time_pattern(recorder: str, pattern: str, *formats: str) -> _TimePattern:
    return _TimePattern(recorder, re.compile(pattern, re.IGNORECASE), formats)


_DATE = r"(?:19|20)\d{2}[01]\d[0-3]\d"
_CLOCK = r"[0-2]\d[0-5]\d[0-5]\d"
_PREFIX = r"^(?:(?P<platform>.+?)[_.-])?"

# Specific patterns come first. Each pattern matches the beginning of a file name. Names of HICEAS clips
# are names of a Song Meter with channel and selection at the end.
_TIME_PATTERNS = (
    _time_pattern(
        "PAMGuard", rf"{_PREFIX}(?P<start>{_DATE}_{_CLOCK}_\d{{3}})(?!\d)", "%Y%m%d_%H%M%S_%f"
    ),
    _time_pattern(
        "AMAR",
        rf"^(?P<platform>AMAR\d+)\.(?:(?P<channel>\d{{1,2}})\.)?(?P<start>{_DATE}T{_CLOCK}Z)",
        "%Y%m%dT%H%M%SZ",
    ),
    _time_pattern("ISO 8601", rf"{_PREFIX}(?P<start>{_DATE}T{_CLOCK})Z?(?!\d)", "%Y%m%dT%H%M%S"),
    _time_pattern("icListen", rf"{_PREFIX}(?P<start>{_DATE}-{_CLOCK})(?!\d)", "%Y%m%d-%H%M%S"),
    _time_pattern(
        "Song Meter, AudioMoth, HICEAS clip",
        rf"{_PREFIX}(?P<start>{_DATE}_{_CLOCK})Z?(?!\d)",
        "%Y%m%d_%H%M%S",
    ),
    _time_pattern(
        "SoundTrap", rf"^(?P<platform>\d{{3,}})\.(?P<start>\d{{6}}{_CLOCK})(?!\d)", "%y%m%d%H%M%S"
    ),
    _time_pattern(
        "icListen, short year",
        rf"^(?P<platform>.+?)_(?P<start>\d{{6}}-{_CLOCK})(?!\d)",
        "%y%m%d-%H%M%S",
    ),
    _time_pattern(
        "Ocean Observatories",
        r"^(?P<platform>.+?)_(?P<start>(?:19|20)\d{2}_\d{2}_\d{2}-\d{2}_\d{2})(?!\d)",
        "%Y_%m_%d-%H_%M",
    ),
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
    for known in _TIME_PATTERNS:
        match = known.pattern.search(name)
        start = _parse_time(match["start"], known.formats) if match else None
        if match and start:
            rest = name[match.end() :]
            channel = match.groupdict().get("channel")
            if channel_match := _CHANNEL.search(rest):
                channel = channel_match["channel"]
            selection = _SELECTION.search(rest)
            return FileName(
                start_utc=start,
                platform=match.groupdict().get("platform"),
                channel=int(channel) if channel else None,
                selection=selection["selection"] if selection else None,
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
    if "%" not in time_format:
        raise ManifestError(_no_time_format(time_format, "it has no directive"))
    try:
        datetime.strptime("", time_format)
    except ValueError as error:
        if "directive" in str(error) or "stray" in str(error):
            raise ManifestError(_no_time_format(time_format, str(error))) from error
    except re.error as error:  # a directive appears twice
        raise ManifestError(_no_time_format(time_format, str(error))) from error


def _no_time_format(time_format: str, why: str) -> str:
    return (
        f"--time-format {time_format!r} is not a strptime format: {why}. Expected one such as "
        "%Y%m%d_%H%M%S."
    )


def _user_fields(text: str, match: re.Match[str], time_format: str | None) -> FileName:
    groups = {name: value for name, value in match.groupdict().items() if value}
    start, channel = None, None
    if "start" in groups:
        formats = (time_format,) if time_format else ("%Y%m%d_%H%M%S", "%Y%m%dT%H%M%S")
        start = _parse_time(groups["start"], formats)
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


def _parse_time(text: str, formats: tuple[str, ...]) -> datetime | None:
    for time_format in formats:
        try:
            time = datetime.strptime(text, time_format)
        except ValueError:
            continue
        if 1950 <= time.year <= 2100:
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return None

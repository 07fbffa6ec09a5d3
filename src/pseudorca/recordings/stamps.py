"""Time stamps in the names of files.

In: the name of a file without its ending. Out: every reading of a time in the name, at the place where
it stands. A name that can be read in two ways has two readings: which of them is meant is not guessed
here, and nowhere else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

FIRST_YEAR, LAST_YEAR = 1950, 2100
"""Years of recordings. Other years make no time of a name."""

DELIMITERS = " _.-()[]{},;"


@dataclass(frozen=True)
class Stamp:
    """One reading of a time in a name.

    Examples
    --------
    >>> Stamp(datetime(2018, 3, 21), 12, 25).time.year
    2018
    """

    time: datetime
    """The clock of the recorder; with an offset if the name gives its zone."""
    begin: int
    end: int
    """Where it stands in the name."""


_JOIN = r"(?P<join>[ _]at[ _]|[ _.\-]{0,2}[Tt]?[ _.\-]{0,2})"
_CLOCK = r"(?P<h>\d\d)(?P<mi>\d\d)(?P<s>\d\d)"
_APART = r"(?P<h>\d\d)(?P<c>[-_.: hH])(?P<mi>\d\d)(?:(?P=c)|[mM])(?P<s>\d\d)[sS]?"
_FRACTION = r"(?:[.,](?P<f>\d{1,9})|_(?P<g>\d{9}|\d{6}|\d{3})(?![_-]\d{6})|-(?P<g3>\d{3}))?(?!\d)"
_YEAR_FIRST = r"(?P<y>(?:19|20)\d\d)(?P<a>[-_. ])(?P<mo>\d\d)(?P=a)(?P<d>\d\d)"

# What is surest stands first. A place of the name that one pattern has read is not read by a later one.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # PAMGuard, Song Meter, AudioMoth, icListen, AMAR, ISO 8601
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<mo>\d\d)(?P<d>\d\d)" + _JOIN + _CLOCK + _FRACTION,
        # SoundTrap: a serial number, a point, and twelve digits
        r"(?<!\d)\d{3,}\.(?P<at>(?P<yy>\d\d)(?P<mo>\d\d)(?P<d>\d\d)" + _CLOCK + r")(?!\d)",
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<mo>\d\d)(?P<d>\d\d)" + _JOIN + _APART + _FRACTION,
        # 2018-03-21_00-00-00, 2018 03 21 000000
        r"(?<!\d)" + _YEAR_FIRST + _JOIN + _APART + _FRACTION,
        r"(?<!\d)" + _YEAR_FIRST + _JOIN + _CLOCK + _FRACTION,
        # 21-03-2018_00-00-00: the day first, or the month
        r"(?<!\d)(?P<x1>\d\d)(?P<a>[-_. ])(?P<x2>\d\d)(?P=a)(?P<y>(?:19|20)\d\d)"
        + _JOIN + _APART + _FRACTION,
        r"(?<!\d)(?P<x1>\d\d)(?P<a>[-_. ])(?P<x2>\d\d)(?P=a)(?P<y>(?:19|20)\d\d)"
        + _JOIN + _CLOCK + _FRACTION,
        # Ocean Observatories: no seconds
        r"(?<!\d)" + _YEAR_FIRST
        + r"(?P<join>[ _-]|[Tt])(?P<h>\d\d)(?P<c>[-_.: h])(?P<mi>\d\d)(?!\d|(?P=c)\d)",
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<mo>\d\d)(?P<d>\d\d)(?P<join>[Tt])(?P<h>\d\d)(?P<mi>\d\d)(?!\d)",
        # HARP, WISPR, Seaglider, icListen with a short year
        r"(?<![A-Za-z\d])(?P<yy>\d\d)(?P<mo>\d\d)(?P<d>\d\d)(?P<join>[_\- ]|[Tt])" + _CLOCK + _FRACTION,
        # 18-03-21_00-00-00: three orders of year, month and day
        r"(?<![A-Za-z\d])(?<!\d[-_. ])(?P<x1>\d\d)(?P<a>[-_. ])(?P<x2>\d\d)(?P=a)(?P<x3>\d\d)"
        r"(?P<join>[ _-]|[Tt])" + _APART + _FRACTION,
        # Twelve digits: with a short year, or without seconds
        r"(?<![A-Za-z\d])(?P<twelve>\d{12})(?!\d)",
    )
)  # fmt: skip

_ZONE = re.compile(
    r"[ _]?(?:(?P<word>Z|z|UTC|GMT|utc|gmt|[A-Z]{3,4})(?P<by>[+\-−]\d{1,2}(?:[:_]?\d\d)?)?"
    r"|(?P<sign>[+\-−])(?P<hours>\d\d)(?:[:_]?(?P<minutes>\d\d))?)(?![A-Za-z\d])"
)
_HALF = re.compile(r"[ _.]?(?P<half>[AaPp])\.?[Mm]\.?(?![A-Za-z\d])")
_QUARTERS = (0, 15, 30, 45)
_MOST_HOURS = 14

ZONE_WORDS = {
    "HST": (-10,), "AKST": (-9,), "AKDT": (-8,), "PDT": (-7,), "EDT": (-4,), "NZST": (12,),
    "NZDT": (13,), "JST": (9,), "AEST": (10,), "AEDT": (11,), "AWST": (8,), "CEST": (2,),
    "CET": (1,), "EEST": (3,), "EET": (2,), "PST": (-8, 8), "MST": (-7, 8), "MDT": (-6,),
    "CST": (-6, 8, -5), "CDT": (-5, -4), "EST": (-5, 10), "AST": (-4, 3), "ADT": (-3,),
    "BST": (1, 6), "IST": (5.5, 1, 2), "SST": (-11, 8), "NST": (-3.5,), "BRT": (-3,),
    "SAST": (2,), "WET": (0,), "WEST": (1,), "MSK": (3,), "HKT": (8,), "KST": (9,),
}  # fmt: skip
"""Abbreviations of time zones, and the hours from UTC that each may mean."""


_LEAST = 12
"""Fewest digits of a pattern."""
_WORD = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(ZONE_WORDS)})(?![A-Za-z])")


def find_stamps(name: str) -> list[Stamp]:
    """Read every time in a name.

    Parameters
    ----------
    name : str, without its ending

    Returns
    -------
    list of Stamp
        Empty without a time. Readings of one instant are one stamp. Two and more stamps: the name can
        be read in several ways.

    Examples
    --------
    >>> [stamp.time.isoformat() for stamp in find_stamps("HAWAII_K_20_180321_000000.x")]
    ['2018-03-21T00:00:00']
    >>> [stamp.time.isoformat() for stamp in find_stamps("20240404T060200+1000_REC")]
    ['2024-04-04T06:02:00+10:00']
    >>> [stamp.time.isoformat() for stamp in find_stamps("03-04-2018_000000")]
    ['2018-04-03T00:00:00', '2018-03-04T00:00:00']
    """
    found: dict[datetime, Stamp] = {}
    left, n_left = name, len(name)
    for pattern in _PATTERNS:
        if n_left < _LEAST or (found and sum(map(str.isdigit, left)) < _LEAST):
            break
        for match in pattern.finditer(left):
            begin = match.start("at") if "at" in pattern.groupindex else match.start()
            times = list(_times(match))
            if not times:
                continue
            half = _HALF.match(name, match.end())
            if half and all(1 <= time.hour <= 12 for time in times):
                times = [_of_half(time, half["half"]) for time in times]
            zones, end = _zones(name, half.end() if half else match.end(), match)
            for time in times:
                for zone in zones:
                    stamp = Stamp(time.replace(tzinfo=zone), begin, end)
                    found.setdefault(stamp.time, stamp)
            left = left[:begin] + "\0" * (end - begin) + left[end:]
            n_left -= end - begin
    return list(found.values())


def zone_word(name: str) -> str | None:
    """Return an abbreviation that stands in a name and may be its time zone.

    Parameters
    ----------
    name : str

    Returns
    -------
    str or None

    Examples
    --------
    >>> zone_word("NOPP6_EST_20090329_121500"), zone_word("Sette_20170728_031259")
    ('EST', None)
    """
    found = _WORD.search(name)
    return found[0] if found else None


def _times(match: re.Match[str]) -> Iterator[datetime]:
    """The times that one match can mean."""
    groups = match.groupdict()
    if digits := groups.get("twelve"):
        pairs = [int(digits[k : k + 2]) for k in range(0, 12, 2)]
        yield from _valid(_long(pairs[0]), *pairs[1:])
        yield from _valid(100 * pairs[0] + pairs[1], *pairs[2:], 0)
        return
    clock = [int(groups[part] or 0) if part in groups else 0 for part in ("h", "mi", "s")]
    fraction = groups.get("f") or groups.get("g") or groups.get("g3") or ""
    microseconds = int(fraction[:6].ljust(6, "0"))
    for date in dict.fromkeys(_dates(groups)):
        yield from _valid(*date, *clock, microseconds)


def _dates(groups: dict[str, str | None]) -> Iterator[tuple[int, int, int]]:
    """Year, month and day, in every order that the pattern allows."""
    written = [int(text) for name in ("x1", "x2", "x3") if (text := groups.get(name))]
    long = groups.get("y")
    if len(written) == 3:
        orders = ((0, 1, 2), (2, 1, 0), (2, 0, 1))  # as 18-03-21, 21-03-18, 03-21-18
        for year, month, day in orders:
            yield _long(written[year]), written[month], written[day]
    elif written:
        for day, month in permutations(written):
            yield int(long or ""), month, day
    else:
        year = int(long) if long else _long(int(groups["yy"] or ""))
        yield year, int(groups["mo"] or ""), int(groups["d"] or "")


def _valid(*parts: int) -> Iterator[datetime]:
    if FIRST_YEAR <= parts[0] <= LAST_YEAR:
        try:
            yield datetime(*parts)  # type: ignore[arg-type]
        except ValueError:
            return


def _long(year: int) -> int:
    """Write a short year with four digits, as strptime does."""
    return year + (1900 if year >= 69 else 2000)


def _of_half(time: datetime, half: str) -> datetime:
    """The time of a clock of twelve hours."""
    return time.replace(hour=time.hour % 12 + 12 * (half in "Pp"))


def _zones(name: str, end: int, match: re.Match[str]) -> tuple[list[timezone | None], int]:
    """The zones that may stand behind a time (None: no zone), and where the time ends."""
    found = _ZONE.match(name, end)
    if not found:
        return [None], end
    if word := found["word"]:
        if word.upper() in ("Z", "UTC", "GMT"):
            by = found["by"]
            if by is None:
                return [UTC], found.end()
            zone = offset(by)
            return ([zone], found.end()) if zone else ([None], end)
        hours = ZONE_WORDS.get(word)
        if hours is None or found["by"]:
            return [None], end
        return [timezone(timedelta(hours=hour)) for hour in hours], found.end()
    zone = offset(found[0].lstrip(" _").replace("_", ""))
    if zone is None:
        return [None], end
    is_iso = "t" in (match.groupdict().get("join") or "").lower()
    if found["minutes"] is None and found["sign"] != "+" and not is_iso:
        return [None, zone], found.end()  # 20170728_031259-05: a zone, or a number
    return [zone], found.end()


def offset(text: str) -> timezone | None:
    """Read an offset from UTC, such as ``+10:00``, ``-1000`` or ``+10``.

    Parameters
    ----------
    text : str

    Returns
    -------
    timezone or None
        None if it is no offset: more than 14 hours, or no quarter of an hour.

    Examples
    --------
    >>> offset("-09:30"), offset("+9999")
    (datetime.timezone(datetime.timedelta(days=-1, seconds=52200)), None)
    """
    match = re.fullmatch(r"([+\-−])(\d{1,2})(?:[:_]?(\d\d))?", text)
    if not match:
        return None
    hours, minutes = int(match[2]), int(match[3] or 0)
    if minutes not in _QUARTERS or 60 * hours + minutes > 60 * _MOST_HOURS:
        return None
    amount = timedelta(hours=hours, minutes=minutes)
    return timezone(amount if match[1] == "+" else -amount)

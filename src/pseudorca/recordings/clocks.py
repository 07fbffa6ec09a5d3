"""The clocks of recorders: their time zones, and clocks that nobody set.

In: the time of a recorder's clock as its file names give it, and the zone that a user names. Out: times
in UTC, local times beside them, and the reasons why a time cannot be right.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pseudorca.errors import ManifestError, unknown_name
from pseudorca.recordings.stamps import offset

if TYPE_CHECKING:
    import pandas as pd

_UNSET_YEARS = {1970: 2, 1980: 7, 2000: 2}
"""Years in which a clock begins that was never set, and the days within which its first file lies (GPS
begins on 6 January 1980)."""
_OLD = datetime(1990, 1, 1, tzinfo=UTC)
_NEAR = timedelta(days=3653)
_RUN = timedelta(days=31)
_BEFORE = timedelta(days=60)
_DAY = timedelta(days=1)


@lru_cache(maxsize=256)
def read_zone(text: str, option: str = "--time-zone") -> tzinfo:
    """Read a time zone.

    Parameters
    ----------
    text : str
        A name such as ``Pacific/Honolulu``, an offset such as ``-10``, ``+09:30`` or ``UTC-10``, or
        ``UTC``
    option : str, where the text stands, for the message

    Returns
    -------
    tzinfo

    Raises
    ------
    ManifestError
        If there is no such zone.

    Examples
    --------
    >>> datetime(2017, 7, 28, tzinfo=read_zone("Pacific/Honolulu")).astimezone(UTC).hour
    10
    >>> str(read_zone("-10:00"))
    'UTC-10:00'
    """
    stripped = text.strip()
    by = stripped[3:].strip() if stripped.upper()[:3] in ("UTC", "GMT") else stripped
    if stripped.upper() in ("Z", "UTC", "GMT"):
        return UTC
    if (fixed := offset(by)) is not None:
        return fixed
    for name in (stripped, _spelt().get(stripped.casefold().replace(" ", "_"))):
        try:
            if name:
                return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    raise ManifestError(
        unknown_name(f"time zone in {option}", text, available_timezones(), shown=0)
        + " Expected a name such as Pacific/Honolulu, or an offset such as -10 or +09:30."
    )


@lru_cache(maxsize=1)
def _spelt() -> dict[str, str]:
    return {name.casefold(): name for name in available_timezones()}


def in_utc(clock: datetime, zone: tzinfo | None) -> datetime:
    """Turn the time of a clock into UTC. Of an hour that comes twice, the first is taken.

    Parameters
    ----------
    clock : datetime, with an offset or without
    zone : tzinfo or None
        The zone of a clock without an offset; None: UTC

    Returns
    -------
    datetime, in UTC

    Examples
    --------
    >>> in_utc(datetime(2017, 7, 28, 3), read_zone("Pacific/Honolulu")).hour
    13
    """
    if clock.tzinfo is None:
        clock = clock.replace(tzinfo=zone or UTC)
    return clock.astimezone(UTC)


def odd_hour(clock: datetime, zone: tzinfo) -> Literal["twice", "never"] | None:
    """Return whether the clocks of a zone show a time twice, or never, as daylight saving changes.

    Parameters
    ----------
    clock : datetime, without an offset
    zone : tzinfo

    Returns
    -------
    str or None

    Examples
    --------
    >>> zone = read_zone("America/New_York")
    >>> odd_hour(datetime(2017, 11, 5, 1, 30), zone), odd_hour(datetime(2017, 3, 12, 2, 30), zone)
    ('twice', 'never')
    """
    first, second = (clock.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first == second or first is None or second is None:
        return None
    return "twice" if first > second else "never"


def local_times(times: "pd.Series", zones: "pd.Series") -> "pd.Series":
    """Write times as the clocks of their zones show them.

    Parameters
    ----------
    times : Series of UTC times
    zones : Series of str, as :func:`read_zone` reads them; missing where no zone is known

    Returns
    -------
    Series of str
        ISO 8601 with the offset; missing where the time or its zone is not known

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.Series(pd.to_datetime(["2017-07-28T03:12:59", None], utc=True))
    >>> local_times(times, pd.Series(["Pacific/Honolulu", None])).iloc[0]
    '2017-07-27T17:12:59-10:00'
    """
    import pandas as pd

    zones = zones.astype(object).set_axis(times.index)
    texts = pd.Series(None, index=times.index, dtype="string")
    for zone in zones.dropna().unique():
        rows = (zones == zone) & times.notna()
        shown = times[rows].dt.tz_convert(read_zone(zone))
        texts[rows] = [time.isoformat() for time in shown]
    return texts


def with_local(table: "pd.DataFrame", zones: "pd.Series") -> "pd.DataFrame":
    """Put the local time beside each time in UTC: ``start_local`` beside ``start_utc``.

    Parameters
    ----------
    table : DataFrame with ``start_utc`` or ``end_utc`` or both
    zones : Series of str, a zone per row; missing where none is known

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"start_utc": pd.to_datetime(["2017-07-28T03:00"], utc=True), "n": 1})
    >>> list(with_local(table, pd.Series(["UTC-10:00"])))
    ['start_utc', 'start_local', 'n']
    """
    there = [column for column in ("start_utc", "end_utc") if column in table]
    table = table.copy()
    for column in there:
        place = list(table.columns).index(there[-1]) + 1 + there.index(column)
        name = column.replace("_utc", "_local")
        table.insert(place, name, local_times(table[column], zones.set_axis(table.index)))
    return table


def doubtful_times(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Find recordings whose clock was not set, by the times of the other recordings.

    A clock that was never set begins in 1970, 1980 or 2000: a file of its first days is doubtful, with
    all that follow it closely, unless other files of its folder lead up to that day. A time before
    1990 is doubtful without another of its folder within ten years (or, if no other file of the folder
    has a time, of the whole scan). So is a time in the future.

    Parameters
    ----------
    rows : sequence of dict
        ``start_utc``; ``clock``, the time as it is written; ``root`` and ``folder``;
        ``time_source``: what metadata say is believed

    Returns
    -------
    dict from the number of a row to the reason

    Examples
    --------
    >>> rows = [
    ...     {"start_utc": datetime(year, 1, 1, tzinfo=UTC), "root": "", "folder": "", "time_source": ""}
    ...     for year in (1970, 2021, 2021)
    ... ]
    >>> doubtful_times(rows)
    {0: 'a clock that was not set'}
    """
    now = datetime.now(UTC) + _DAY
    timed = [k for k, row in enumerate(rows) if row["start_utc"]]
    last_unset = datetime(max(_UNSET_YEARS), 1, 31, tzinfo=UTC)
    if not any(rows[k]["start_utc"] < last_unset or rows[k]["start_utc"] > now for k in timed):
        return {}
    doubtful: dict[int, str] = {}
    by_folder = defaultdict(list)
    for k in timed:
        if rows[k]["time_source"] == "metadata" or rows[k]["start_utc"] <= now:
            by_folder[rows[k]["root"], rows[k]["folder"]].append(k)
        else:
            doubtful[k] = "a time in the future"
    for of_folder in by_folder.values():
        for k in _never_set(sorted(of_folder, key=lambda k: rows[k]["start_utc"]), rows):
            doubtful[k] = "a clock that was not set"
    everywhere = sorted({rows[k]["start_utc"] for k in timed if k not in doubtful})
    for of_folder in by_folder.values():
        sure = sorted({rows[k]["start_utc"] for k in of_folder if k not in doubtful})
        for k in of_folder:
            start = rows[k]["start_utc"]
            if k in doubtful or start >= _OLD or rows[k]["time_source"] == "metadata":
                continue
            if not _has_neighbour(start, sure if len(sure) > 1 else everywhere):
                doubtful[k] = "a time before 1990 without another near it"
    return {k: why for k, why in sorted(doubtful.items()) if rows[k]["time_source"] != "metadata"}


def _never_set(in_order: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The files of one folder whose clock began where clocks begin that were never set."""
    times = [rows[k]["start_utc"] for k in in_order]
    found: list[int] = []
    for year, n_days in _UNSET_YEARS.items():
        begin = datetime(year, 1, 1, tzinfo=UTC)
        closes = begin + n_days * _DAY
        shown = (
            [
                time,
                (rows[k].get("clock") or time).replace(tzinfo=UTC),
            ]  # in UTC, and as it is written
            for k, time in zip(in_order, times, strict=True)
        )
        first = next(
            (n for n, both in enumerate(shown) if any(begin <= t < closes for t in both)), None
        )
        if first is not None:
            leads_up = first > 0 and times[first] - times[first - 1] < _BEFORE
            last = first
            while not leads_up and last + 1 < len(times) and times[last + 1] - times[last] < _RUN:
                last += 1
            found += [] if leads_up else in_order[first : last + 1]
        elif (
            year < _OLD.year
        ):  # no recorder of those years wrote such names: where do the others lie?
            first, last = (bisect_left(times, begin.replace(year=y)) for y in (year, year + 1))
            around = times[:first] + times[last:]
            if first < last and times[-1] >= _OLD:
                is_near = any(abs(times[first] - time) < _NEAR for time in around)
                found += [] if is_near else in_order[first:last]
    return found


def _has_neighbour(start: datetime, times: Sequence[datetime]) -> bool:
    """Whether another of the times lies near. ``times``: sorted, with the time itself."""
    place = bisect_left(times, start)
    return any(
        0 <= k < len(times) and k != place and abs(times[k] - start) < _NEAR
        for k in (place - 1, place + 1)
    )

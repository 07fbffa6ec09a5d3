"""Zones of clocks, and clocks that nobody set."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import ManifestError
from pseudorca.recordings.clocks import (
    doubtful_times,
    in_utc,
    local_times,
    odd_hour,
    read_zone,
    with_local,
)

ZONES = (
    "Pacific/Honolulu",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Europe/Paris",
)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("Pacific/Honolulu", -10), ("pacific/honolulu", -10), (" Pacific/Honolulu ", -10),
        ("-10", -10), ("-10:00", -10), ("-1000", -10), ("+10", 10), ("+9:30", 9.5), ("UTC-10", -10),
        ("GMT+1", 1), ("utc", 0), ("Z", 0), ("HST", -10), ("Asia/Kathmandu", 5.75),
    ],
)  # fmt: skip
def test_a_zone_is_a_name_or_an_offset(text: str, hours: float) -> None:
    zone = read_zone(text)
    assert zone.utcoffset(datetime(2017, 7, 28)) == timedelta(hours=hours)
    again = read_zone(str(zone))
    assert again.utcoffset(datetime(2017, 1, 28)) == zone.utcoffset(datetime(2017, 1, 28))


@pytest.mark.parametrize("text", ["Pacific/Honululu", "Hawaii time", "+99", "+10:07", "", "../etc"])
def test_what_is_no_zone_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="--time-zone"):
        read_zone(text)


def test_a_zone_that_is_misspelt_is_guessed_at() -> None:
    with pytest.raises(ManifestError, match="Did you mean 'Pacific/Honolulu'"):
        read_zone("Pacific/Honululu")


@settings(max_examples=200, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    clock=st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)),
)
def test_utc_and_back_gives_the_clock_but_for_hours_that_never_come(
    zone: str, clock: datetime
) -> None:
    utc = in_utc(clock, read_zone(zone))
    back = utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert (back == clock) == (odd_hour(clock, read_zone(zone)) != "never")


@settings(max_examples=100, deadline=None)
@given(
    zone=st.sampled_from(ZONES), instant=st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1))
)
def test_an_hour_that_comes_twice_is_known_from_both_of_its_times(
    zone: str, instant: datetime
) -> None:
    utc = instant.replace(tzinfo=UTC)
    clock = utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    first = in_utc(clock.replace(fold=0), read_zone(zone))
    assert first <= utc
    assert (odd_hour(clock.replace(fold=0), read_zone(zone)) == "twice") == (
        first != in_utc(clock.replace(fold=1), read_zone(zone))
    )


def test_local_times_stand_beside_utc_where_a_zone_is_known() -> None:
    times = pd.to_datetime(
        ["2017-07-28T03:12:59", "2017-07-28T03:12:59", None, "2018-01-01T00:00:00"], utc=True
    )
    zones = pd.Series(["Pacific/Honolulu", None, "UTC+10:00", "America/New_York"], dtype="string")
    local = local_times(pd.Series(times), zones)
    assert local.fillna("").tolist() == [
        "2017-07-27T17:12:59-10:00", "", "", "2017-12-31T19:00:00-05:00",
    ]  # fmt: skip
    table = with_local(
        pd.DataFrame({"recorder": "A", "start_utc": times, "end_utc": times, "n": 1}), zones
    )
    assert list(table) == ["recorder", "start_utc", "end_utc", "start_local", "end_local", "n"]
    assert table["end_local"].equals(table["start_local"])


# Clocks that were not set


def files(*times: str, folder: str = "a", source: str = "name") -> list[dict[str, Any]]:
    return [
        {
            "start_utc": datetime.fromisoformat(time).replace(tzinfo=UTC), "root": "/sea",
            "folder": folder, "time_source": source,
        }
        for time in times
    ]  # fmt: skip


OF_2021 = ("2021-06-10T03:12:00", "2021-06-10T03:17:00")


@pytest.mark.parametrize(
    "unset",
    [
        ("1970-01-01T00:00:12",),
        ("1970-01-01T00:00:12", "1970-01-01T00:05:12"),
        ("1980-01-01T00:00:00",),
        ("1980-01-06T00:00:09",),  # where GPS begins
        ("2000-01-01T00:00:30",),
        ("2000-01-01T10:00:30",),
        ("1970-01-01T00:00:12", "1970-01-20T00:00:12", "1970-02-10T00:00:12"),  # it ran on
        ("1970-03-01T00:00:00", "1970-03-02T00:00:00"),
        ("1985-07-03T12:00:00",),  # before 1990, and alone
        ("2090-01-01T00:00:00",),
    ],
)
def test_a_clock_that_was_not_set_is_doubtful_among_set_ones(unset: tuple[str, ...]) -> None:
    assert list(doubtful_times(files(*unset, *OF_2021))) == list(range(len(unset)))
    assert list(doubtful_times(files(*OF_2021, *unset))) == list(range(2, 2 + len(unset)))


def test_a_clock_that_was_not_set_is_known_in_any_zone() -> None:
    for zone, written in ((10, "1970-01-01T00:00:12"), (-10, "1969-12-31T14:00:12")):
        clock = datetime.fromisoformat(written).replace(tzinfo=timezone(timedelta(hours=zone)))
        (unset,) = files("1970-01-01T00:00:12")
        unset |= {"clock": clock, "start_utc": clock.astimezone(UTC)}
        assert list(doubtful_times([unset, *files(*OF_2021)])) == [0]


def test_a_recorder_that_was_never_set_is_doubtful_throughout() -> None:
    times = [f"1970-01-01T00:{minute:02d}:12" for minute in range(0, 60, 5)]
    assert len(doubtful_times(files(*times))) == 12


@pytest.mark.parametrize(
    "real",
    [
        ("1961-03-12T10:15:00", "1961-03-12T10:20:00"),
        (
            "1958-03-12T10:15:00",
            "1966-03-12T10:15:00",
            "1975-01-01T00:00:00",
            "1984-01-01T00:00:00",
        ),
        ("1970-06-12T10:15:00", "1971-03-12T10:15:00"),
        ("1989-12-31T23:50:00", "1990-01-01T00:00:00"),
        ("1999-12-31T23:30:00", "2000-01-01T00:00:00", "2000-01-01T00:30:00"),
        ("2000-01-15T08:00:00", "2000-06-01T00:00:00", *OF_2021),
        OF_2021,
    ],
)
def test_real_recordings_of_old_are_fine(real: tuple[str, ...]) -> None:
    assert doubtful_times(files(*real)) == {}


def test_neighbours_are_those_of_the_folder_first() -> None:
    tapes = files("1961-03-12T10:15:00", folder="a") + files("1963-03-12T10:15:00", folder="b")
    assert doubtful_times(tapes) == {}  # one each: the whole scan is looked at
    assert list(doubtful_times(tapes[:1])) == [0]
    mixed = files("1961-03-12T10:15:00", *OF_2021, folder="c") + files("1962-03-12T10:15:00")
    assert list(doubtful_times(mixed)) == [0]


def test_what_metadata_say_is_believed() -> None:
    told = files("1970-01-01T00:00:12", "2090-01-01T00:00:00", source="metadata")
    assert doubtful_times(told + files(*OF_2021)) == {}

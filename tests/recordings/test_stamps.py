"""Times in names: what every recorder writes is read, what can be read twice is not."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.recordings.naming import FileName, parse_file_name
from pseudorca.recordings.stamps import find_stamps, zone_word

# What each recorder writes, from a time; and the finest step of its clock.
SECOND, MINUTE, MILLISECOND, MICROSECOND = "second", "minute", "millisecond", "microsecond"
RECORDERS: dict[str, tuple[Callable[[datetime], str], str]] = {
    "pamguard": (lambda t: f"PAM_{t:%Y%m%d_%H%M%S}_{t.microsecond // 1000:03d}", MILLISECOND),
    "soundtrap": (lambda t: f"67416073.{t:%y%m%d%H%M%S}", SECOND),
    "soundtrap of a site": (lambda t: f"Kona_67416073.{t:%y%m%d%H%M%S}", SECOND),
    "soundtrap of a dotted site": (lambda t: f"Kona.671.{t:%y%m%d%H%M%S}", SECOND),
    "song meter": (lambda t: f"SM304_0+1_{t:%Y%m%d_%H%M%S}", SECOND),
    "audiomoth": (lambda t: f"{t:%Y%m%d_%H%M%S}", SECOND),
    "audiomoth triggered": (lambda t: f"{t:%Y%m%d_%H%M%S}T", SECOND),
    "iclisten": (lambda t: f"SBW1559_{t:%Y%m%d-%H%M%S}", SECOND),
    "iclisten, short year": (lambda t: f"SBW1559_{t:%y%m%d-%H%M%S}", SECOND),
    "amar": (lambda t: f"AMAR668.{t:%Y%m%dT%H%M%S}Z", SECOND),
    "harp": (lambda t: f"HAWAII_K_20_{t:%y%m%d_%H%M%S}.x", SECOND),
    "harp, decimated": (lambda t: f"SOCAL_H_65_01_{t:%y%m%d_%H%M%S}.d100.x", SECOND),
    "harp of a disk": (lambda t: f"HAWAII18K_disk01_{t:%y%m%d_%H%M%S}.x", SECOND),
    "wispr": (lambda t: f"WISPR_{t:%y%m%d_%H%M%S}", SECOND),
    "seaglider": (lambda t: f"sg607_{t:%y%m%d-%H%M%S}", SECOND),
    "pmar": (lambda t: f"{t:%y%m%d-%H%M%S.%f}", MICROSECOND),
    "separated": (lambda t: f"{t:%Y-%m-%d_%H-%M-%S}", SECOND),
    "of a phone": (lambda t: f"Kona {t:%Y-%m-%d %H.%M.%S}", SECOND),
    "of blanks": (lambda t: f"POD1234 {t:%Y %m %d %H %M %S}", SECOND),
    "ooi": (lambda t: f"OO_HYEA2_YDH_{t:%Y_%m_%d-%H_%M}", MINUTE),
    "ooi to the microsecond": (lambda t: f"OO-HYEA2--YDH-{t:%Y-%m-%dT%H:%M:%S.%f}", MICROSECOND),
    "iso": (lambda t: f"A_{t:%Y%m%dT%H%M%S}", SECOND),
    "iso to the minute": (lambda t: f"A_{t:%Y%m%dT%H%M}Z", MINUTE),
    "fourteen digits": (lambda t: f"rec-{t:%Y%m%d%H%M%S}", SECOND),
    "glued": (lambda t: f"REC{t:%Y%m%d_%H%M%S}", SECOND),
    "with letters": (lambda t: f"{t:%Y%m%d_%Hh%Mm%Ss}", SECOND),
}
STEPS = {
    SECOND: {"microsecond": 0},
    MINUTE: {"second": 0, "microsecond": 0},
    MILLISECOND: {},
    MICROSECOND: {},
}
# Short years of 1969 to 2068 are written by strftime and read back.
times = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31))


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("name", RECORDERS)
@given(time=times)
def test_the_names_of_every_recorder_are_read(name: str, time: datetime) -> None:
    write, step = RECORDERS[name]
    time = time.replace(**STEPS[step])
    if step == MILLISECOND:
        time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    (stamp,) = find_stamps(write(time))
    assert stamp.time.replace(tzinfo=None) == time


TIME = datetime(2018, 11, 23, 13, 59, 58, 885_000)


@pytest.mark.parametrize("name", RECORDERS)
def test_no_recorder_s_rule_reads_another_time_from_the_name_of_another(name: str) -> None:
    """The rules are tried on every name alike, so one reading is what all of them give together."""
    write, step = RECORDERS[name]
    (stamp,) = find_stamps(write(TIME))
    assert stamp.time.replace(tzinfo=None).replace(second=0, microsecond=0) == TIME.replace(
        second=0, microsecond=0
    )
    for before, behind in product(("", "Kona_", "H1-"), ("", "_REC", "_v2", "_1")):
        if step != MINUTE and behind != "_1":
            (again,) = find_stamps(f"{before}{write(TIME)}{behind}")
            assert again.time == stamp.time


PREFIXES = ("", "PAM", "SM304", "Oscar-Elton", "site 3", "NOPP6_A", "H12")
DATES = ("%Y%m%d", "%Y-%m-%d", "%Y_%m_%d")
CLOCKS = ("%H%M%S", "%H-%M-%S", "%H_%M_%S", "%H.%M.%S")
JOINS = ("_", "-", "T", " ", ".", "__")
FRACTIONS = ("", ".885", "_885", ".885000", ",885")
ZONES = {
    "": None, "Z": 0, "_UTC": 0, " UTC": 0, "GMT": 0, "+1000": 10, "-1000": -10, "+10": 10,
    "+0930": 9.5, "-0330": -3.5, "_UTC-10": -10, "UTC+5": 5, "_HST": -10, "+10:00": 10,
    "+0000": 0, "-1200": -12, "+1400": 14,
}  # fmt: skip
CHANNELS = (
    "ch{}", "ch0{}", "CH{}", "channel{}", "channel_0{}", "hyd{}", "Hydrophone {}", "chan-{}",
    "Ch.{}", "mic{}", "ch{}of9",
)  # fmt: skip

any_name = st.fixed_dictionaries(
    {
        "time": times.map(lambda t: t.replace(microsecond=885_000)),
        "prefix": st.sampled_from(PREFIXES),
        "date": st.sampled_from(DATES),
        "clock": st.sampled_from(CLOCKS),
        "join": st.sampled_from(JOINS),
        "fraction": st.sampled_from(FRACTIONS),
        "zone": st.sampled_from(sorted(ZONES)),
        "channel": st.none() | st.tuples(st.sampled_from(CHANNELS), st.integers(1, 9)),
        "place": st.sampled_from(("first", "before", "behind")),
        "separator": st.sampled_from("_-. "),
        "selection": st.none() | st.integers(0, 99),
    }
)


def write(parts: dict[str, object]) -> str:
    """A name of these parts."""
    time, between = parts["time"], str(parts["separator"])
    stamp = f"{time:{parts['date']}}{parts['join']}{time:{parts['clock']}}"
    stamp += f"{parts['fraction']}{parts['zone']}"
    words = [str(parts["prefix"]), stamp]
    if parts["channel"]:
        pattern, number = parts["channel"]  # type: ignore[misc]
        place = {"first": 0, "before": 1, "behind": 2}[str(parts["place"])]
        words.insert(place, pattern.format(number))
    if parts["selection"] is not None:
        words.append(f"sel{parts['selection']:02d}")
    return between.join(word for word in words if word)


@settings(max_examples=600, deadline=None)
@given(parts=any_name)
def test_prefix_zone_separator_channel_and_fraction_round_trip(parts: dict[str, object]) -> None:
    name = write(parts)
    hours = ZONES[str(parts["zone"])]
    time: datetime = parts["time"] if parts["fraction"] else parts["time"].replace(microsecond=0)  # type: ignore[attr-defined,assignment]
    zone = UTC if hours is None else timezone(timedelta(hours=hours))
    prefix = str(parts["prefix"]) or None
    channel = parts["channel"][1] if parts["channel"] else None  # type: ignore[index]
    selection = None if parts["selection"] is None else f"{parts['selection']:02d}"
    found = parse_file_name(name)
    expected = FileName(time.replace(tzinfo=zone).astimezone(UTC), prefix, None, channel, selection)
    assert found == expected, name


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(RECORDERS)),
    channels=st.lists(
        st.tuples(st.sampled_from(CHANNELS), st.integers(1, 9)), min_size=2, max_size=4
    ),
    first=st.booleans(),
    separator=st.sampled_from("_-. "),
)
def test_the_name_without_its_channel_is_one_for_all_channels(
    name: str, channels: list[tuple[str, int]], first: bool, separator: str
) -> None:
    stamp = RECORDERS[name][0](TIME)
    rests = set()
    for pattern, number in channels:
        words = [pattern.format(number), stamp]
        found = parse_file_name(separator.join(words if first else words[::-1]))
        assert found.channel == number
        rests.add((found.rest, found.start_utc, found.platform))
    assert rests == {(stamp, find_start(stamp), parse_file_name(stamp).platform)}


def find_start(name: str) -> datetime | None:
    return parse_file_name(name).start_utc


@pytest.mark.parametrize(
    ("name", "n_readings"),
    [
        ("03-04-2018_000000", 2),  # the 3rd of April, the 4th of March
        ("03_04_2018_00_00_00", 2),
        ("18-03-21_00-00-00", 2),
        ("10-11-12_00-00-00", 3),
        ("20170728_031200_20170728_031300", 2),  # from and to
        ("20170728_031200-170728_041300", 2),
        ("20170728_031200-05", 2),  # five hours behind, or the fifth
        ("20170728_031200_EST", 2),  # of America, or of Australia
        ("201012101112", 2),
        ("SM3_20170728_031200_WISPR_180321_000000", 2),
    ],
)
def test_a_name_of_two_readings_tells_no_time(name: str, n_readings: int) -> None:
    found = parse_file_name(name)
    assert found.start_utc is None
    assert len(found.readings) == n_readings


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("21-03-2018_000000", datetime(2018, 3, 21)),  # no month is called 21
        ("03-21-2018_000000", datetime(2018, 3, 21)),
        ("03-03-2018_000000", datetime(2018, 3, 3)),
        ("210610033655", datetime(2021, 6, 10, 3, 36, 55)),
        ("Kona_67416073_210610033655", datetime(2021, 6, 10, 3, 36, 55)),
        ("20170728T031200-05", datetime(2017, 7, 28, 8, 12)),  # ISO 8601
        ("20170728_031259-0001", datetime(2017, 7, 28, 3, 12, 59)),  # a number, no zone
        ("20170728_031259-9900", datetime(2017, 7, 28, 3, 12, 59)),
        ("20170728_ch2_031259", datetime(2017, 7, 28, 3, 12, 59)),
        ("Kona 2018-03-21 at 03.12.59 PM", datetime(2018, 3, 21, 15, 12, 59)),
        ("2018-03-21_12-12-59_am", datetime(2018, 3, 21, 0, 12, 59)),
        ("2018-03-21_15-12-59_PM", datetime(2018, 3, 21, 15, 12, 59)),
        ("(ch1) 20170728_031259 [a]", datetime(2017, 7, 28, 3, 12, 59)),
    ],
)
def test_what_only_one_reading_allows_is_read(name: str, start: datetime) -> None:
    assert find_start(name) == start.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    ["ch_20170728_031259", "hyd-2018-03-21_00-00-00", "AMAR173.20190920T163858Z_6ch", "PAMch1_x",
     "hyd2_20170728_031259_ch1", "march12_20170728_031259", "ch1234_20170728_031259"],
)  # fmt: skip
def test_what_is_no_channel_or_two_is_none(name: str) -> None:
    assert parse_file_name(name).channel is None


def test_a_zone_before_the_time_is_only_told() -> None:
    assert find_start("NOPP6_EST_20090329_121500") == datetime(2009, 3, 29, 12, 15, tzinfo=UTC)
    assert zone_word("NOPP6_EST_20090329_121500") == "EST"
    assert zone_word("WEST_20090329_121500") == "WEST"
    assert zone_word("Best_20090329_121500") is None


@settings(max_examples=300, deadline=None)
@given(text=st.from_regex(r"[A-Za-z0-9_. +-]{0,40}", fullmatch=True))
def test_any_name_gives_times_that_stand_in_it(text: str) -> None:
    for stamp in find_stamps(text):
        assert 1950 <= stamp.time.year <= 2100
        digits = re.sub(r"\D", "", text[stamp.begin : stamp.end])
        assert f"{stamp.time:%d}" in digits
        assert f"{stamp.time:%H%M}" in digits

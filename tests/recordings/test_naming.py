"""What names say, and what they must not be made to say."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import ManifestError
from pseudorca.recordings.naming import (
    FileName,
    compile_pattern,
    parse_encounter,
    parse_file_name,
    plain_encounters,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stem", "start", "platform", "channel", "selection"),
    [
        # PAMGuard
        ("20200623_000152_885", utc(2020, 6, 23, 0, 1, 52, 885_000), None, None, None),
        ("DUB_20200623_000152_885", utc(2020, 6, 23, 0, 1, 52, 885_000), "DUB", None, None),
        # SoundTrap
        ("67416073.210610033655", utc(2021, 6, 10, 3, 36, 55), "67416073", None, None),
        ("805331232.180102235959", utc(2018, 1, 2, 23, 59, 59), "805331232", None, None),
        # Song Meter, AudioMoth
        ("SM304_20170728_031259", utc(2017, 7, 28, 3, 12, 59), "SM304", None, None),
        ("NOPP6_EST_20090329_121500", utc(2009, 3, 29, 12, 15), "NOPP6_EST", None, None),
        ("20170728_031259Z", utc(2017, 7, 28, 3, 12, 59), None, None, None),
        ("20170728_031259", utc(2017, 7, 28, 3, 12, 59), None, None, None),
        # icListen
        ("SBW1559_20170728-031259", utc(2017, 7, 28, 3, 12, 59), "SBW1559", None, None),
        ("SBW1559_170728-031259", utc(2017, 7, 28, 3, 12, 59), "SBW1559", None, None),
        # AMAR
        ("AMAR668.9.20210823T231318Z", utc(2021, 8, 23, 23, 13, 18), "AMAR668", 9, None),
        ("AMAR173.20190920T163858Z_6ch", utc(2019, 9, 20, 16, 38, 58), "AMAR173", None, None),
        # HICEAS clips
        ("20170728_031259_ch05_sel02", utc(2017, 7, 28, 3, 12, 59), None, 5, "02"),
        ("20170728_031259_ch12", utc(2017, 7, 28, 3, 12, 59), None, 12, None),
        ("20170728_031259_sel02", utc(2017, 7, 28, 3, 12, 59), None, None, "02"),
        ("Sette_20170728_031259_CH05_SEL02", utc(2017, 7, 28, 3, 12, 59), "Sette", 5, "02"),
        ("20170728_031259_885_ch05_sel02", utc(2017, 7, 28, 3, 12, 59, 885_000), None, 5, "02"),
        # Ocean Observatories
        ("OO_HYEA2_2018_11_15-05_00", utc(2018, 11, 15, 5, 0), "OO_HYEA2", None, None),
    ],
)
def test_file_names_of_known_recorders_are_read(
    stem: str, start: datetime, platform: str | None, channel: int | None, selection: str | None
) -> None:
    assert parse_file_name(stem) == FileName(start, platform, None, channel, selection)


@pytest.mark.parametrize(
    "stem",
    [
        "20171399_031259_sel02",  # month 13
        "20170230_031259",  # 30 February
        "20170728_241259",  # hour 24
        "20170728_036059",  # minute 60
        "67416073.211310033655",
        "SBW1559_20170728-251259",
        "AMAR668.9.20211323T231318Z",
        "62018001",  # Watkins: a tape and a cut
        "6202200E",
        "1234567890123456",
        "120170728_031259",
        "20170728_0312591",
        "live000",
        "x",
        "",
    ],
)
def test_names_without_a_possible_time_say_nothing(stem: str) -> None:
    assert parse_file_name(stem) == FileName()


@settings(max_examples=100, deadline=None)
@given(
    start=st.datetimes(datetime(1950, 1, 1), datetime(2099, 12, 31)),
    channel=st.none() | st.integers(0, 64),
    selection=st.none() | st.integers(0, 999),
    platform=st.none() | st.from_regex(r"[A-Za-z][A-Za-z]{0,10}", fullmatch=True),
)
def test_hiceas_names_round_trip(
    start: datetime, channel: int | None, selection: int | None, platform: str | None
) -> None:
    start = start.replace(microsecond=0)
    stem = f"{platform}_" if platform else ""
    stem += f"{start:%Y%m%d_%H%M%S}"
    stem += f"_ch{channel:02d}" if channel is not None else ""
    stem += f"_sel{selection:02d}" if selection is not None else ""
    assert parse_file_name(stem) == FileName(
        start.replace(tzinfo=UTC),
        platform,
        None,
        channel,
        f"{selection:02d}" if selection is not None else None,
    )


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_file_name_and_a_folder_name(text: str) -> None:
    found = parse_file_name(text)
    assert found.start_utc is None or 1950 <= found.start_utc.year <= 2100
    parse_encounter(text)


# The user's own pattern


def test_own_pattern_goes_before_the_known_ones() -> None:
    pattern = compile_pattern(
        r"(?P<platform>\w+)/E(?P<encounter>\d+)/(?P<start>\d{14})-h(?P<channel>\d)-(?P<selection>\w+)"
    )
    found = parse_file_name(
        "Insular/kona/E7/20170728031259-h3-b", pattern=pattern, time_format="%Y%m%d%H%M%S"
    )
    assert found == FileName(utc(2017, 7, 28, 3, 12, 59), "kona", "7", 3, "b")


def test_own_pattern_that_finds_nothing_leaves_the_known_ones() -> None:
    pattern = compile_pattern(r"^cut(?P<start>\d{14})$")
    found = parse_file_name("Insular/20170728_031259_ch05_sel02", pattern=pattern)
    assert found == FileName(utc(2017, 7, 28, 3, 12, 59), None, None, 5, "02")


def test_own_time_format_may_name_a_time_zone() -> None:
    pattern = compile_pattern(r"(?P<start>\d{8}T\d{6}[+-]\d{4})")
    found = parse_file_name("20170728T031259-1000", pattern=pattern, time_format="%Y%m%dT%H%M%S%z")
    assert found.start_utc == datetime(
        2017, 7, 28, 3, 12, 59, tzinfo=timezone(timedelta(hours=-10))
    )
    assert found.start_utc.tzinfo is UTC


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("(?P<start>", "not a regular expression"),
        (r"\d+", "named groups none"),
        (r"(?P<begin>\d+)", "begin"),
    ],
)
def test_senseless_patterns_are_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        compile_pattern(pattern)


def test_a_start_that_does_not_fit_its_format_is_an_error() -> None:
    pattern = compile_pattern(r"(?P<start>\d{8})")
    with pytest.raises(ManifestError, match="--time-format"):
        parse_file_name("28072017", pattern=pattern, time_format="%Y%m%d")


def test_a_channel_that_is_no_number_is_an_error() -> None:
    pattern = compile_pattern(r"h(?P<channel>\S)")
    for text in ("hA", "h²"):
        with pytest.raises(ManifestError, match="not a number"):
            parse_file_name(text, pattern=pattern)


# Encounters


@pytest.mark.parametrize(
    ("folder", "platform", "is_survey_name"),
    [
        ("Lasker_AC_67", "Lasker", True),
        ("Sette_AC_256", "Sette", True),
        ("Oscar-Elton_Sette_AC_44b", "Oscar-Elton_Sette", True),
        ("sette_ac12", "sette", True),
        ("1961_tape021", None, True),
        ("Sette_44", "Sette", False),
        ("Lasker67", "Lasker", False),
    ],
)
def test_encounters_named_by_platform_and_number_are_read(
    folder: str, platform: str | None, is_survey_name: bool
) -> None:
    found = parse_encounter(folder)
    assert found is not None
    assert (found.encounter, found.platform) == (folder, platform)
    assert found.is_survey_name == is_survey_name


@pytest.mark.parametrize(
    "folder",
    ["day1", "Day_2", "hyd3", "ch05", "Clan1", "pop2", "Sette_2017", "HICEAS2017", "1997_Keiko",
     "1989-92_Norway", "Insular", "67", "x3", ""],
)  # fmt: skip
def test_other_folders_are_no_encounters_by_name(folder: str) -> None:
    assert parse_encounter(folder) is None


def test_the_names_of_real_recordings_are_read(hydrophones: Path, hiceas_clip: Path) -> None:
    tape = sorted((hydrophones / "pypam_300s_8k").glob("*.flac"))
    starts = [parse_file_name(path.stem).start_utc for path in tape]
    assert starts[0] == utc(2021, 6, 10, 3, 36, 55)
    assert [b - a for a, b in pairwise(starts)] == [timedelta(minutes=5)] * 2
    clip = parse_file_name(hiceas_clip.stem)
    assert (clip.start_utc, clip.channel, clip.selection) == (utc(2017, 7, 28, 3, 12, 59), 5, "02")
    mp3 = next((hydrophones / "whaledr_ooi").glob("*.mp3"))
    assert parse_file_name(mp3.stem).start_utc == utc(2018, 11, 15, 5)


def test_plain_encounters_have_one_form_and_stay_different():
    names = [
        "KillerWhale/1997_Keiko",
        "1960_tape026",
        "unlabelled/mooring/day 2",
        "A/(no encounter)",
    ]
    plain = plain_encounters(names)
    assert list(plain.values()) == ["1997_Keiko", "1960_tape026", "day 2", "A/(no encounter)"]
    alike = plain_encounters(["Insular/day1", "Pelagic/Day1", "Pelagic/day2"])
    assert list(alike.values()) == ["Insular/day1", "Pelagic/Day1", "day2"]


@given(st.lists(st.text(alphabet="aAb/", min_size=1, max_size=5)))
def test_plain_encounters_never_join_two(names):
    plain = plain_encounters(names)
    assert set(plain) == set(names)
    assert len(set(plain.values())) == len(set(names))

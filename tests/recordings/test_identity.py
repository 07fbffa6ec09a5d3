"""Who recorded what, and when: recorders, moments, names in any form of Unicode, what systems leave."""

import json
import struct
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import soundfile as sf

from pseudorca.errors import ManifestError
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.effort import Effort, find_gaps
from pseudorca.recordings.clips import read_raven
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.manifest import Manifest, scan, scan_files
from pseudorca.recordings.naming import ANSWERS
from pseudorca.recordings.options import ScanOptions
from pseudorca.recordings.places import is_left_behind
from pseudorca.recordings.rescan import moments_changed, scan_changes
from pseudorca.recordings.timeline import timeline

from .conftest import noise

Survey = Callable[..., Path]
Scanned = Callable[..., Manifest]
NOTHING = pd.DataFrame({"recording_id": [], "start_s": [], "decision": []})


def write(root: Path, *names: str, seconds: float = 6.0) -> Path:
    """Recordings of some seconds, each with its own sound."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, noise(round(seconds * 1_000), seed=seed), 1_000, format="WAV")
    return root


def recorded_s(found: Manifest) -> dict[str, float]:
    table = Effort(found.recordings, []).table(NOTHING)
    return table.groupby("recorder")["recorded_s"].sum().to_dict()


def notice(found: Manifest, word: str) -> str:
    (text,) = [text for text in found.notices if word in text]
    return text


# Recorders

START = datetime(2017, 7, 28, 3, 12)
PREFIXED = {
    "pamguard": "PAM_{:%Y%m%d_%H%M%S}_000", "song meter": "SM4_{:%Y%m%d_%H%M%S}",
    "soundtrap": "5146.{:%y%m%d%H%M%S}", "harp": "HAWAII_K_20_{:%y%m%d_%H%M%S}.x",
    "wispr": "WISPR_{:%y%m%d_%H%M%S}", "amar": "AMAR9.{:%Y%m%dT%H%M%S}Z", "none": "{:%Y%m%d_%H%M%S}",
    "separated": "Kona {:%Y-%m-%d_%H-%M-%S}", "iclisten": "SBW1_{:%Y%m%d-%H%M%S}",
}  # fmt: skip


def names_of(pattern: str, ships: tuple[str, ...], starts_s: tuple[int, ...]) -> list[str]:
    return [
        f"{ship}/{pattern.format(START + timedelta(seconds=s))}.wav"
        for ship in ships
        for s in starts_s
    ]


@pytest.mark.parametrize("recorder", PREFIXED)
def test_two_folders_of_one_prefix_are_two_recorders(recorder: str, tmp_path: Path) -> None:
    pattern = PREFIXED[recorder]
    root = write(tmp_path, *names_of(pattern, ("Lasker", "Sette"), (0, 6, 12)))
    found = scan_files([root])
    line = timeline(found.recordings)
    assert line.groupby("recorder")["run"].nunique().tolist() == [1, 1]
    assert sorted(recorded_s(found).values()) == [18.0, 18.0]
    shown = set(line["recorder"])
    assert {Path(name.removesuffix("/" + name.rsplit("/", 1)[-1])).name for name in shown} <= {
        "Lasker", "Sette", tmp_path.name,
    }  # fmt: skip
    after = write(tmp_path / "after", *names_of(pattern, ("Lasker",), (0,)),
                  *names_of(pattern, ("Sette",), (6,)))  # fmt: skip
    line = timeline(scan_files([after]).recordings)
    assert line["run"].nunique() == 2


def test_a_recorder_of_one_folder_is_called_by_its_prefix(tmp_path: Path) -> None:
    root = write(tmp_path, *names_of(PREFIXED["pamguard"], ("Lasker", "Sette"), (0,)),
                 *names_of("X_{:%Y%m%d_%H%M%S}", ("Sette",), (0,)))  # fmt: skip
    found = scan_files([root])
    assert sorted(found.recordings["recorder"]) == ["Lasker/PAM", "Sette/PAM", "X"]


def test_a_platform_that_is_told_joins_folders(tmp_path: Path) -> None:
    names = ("Lasker_AC_1/20170728_031200.wav", "Lasker_AC_2/20170728_031206.wav")
    line = timeline(scan_files([write(tmp_path, *names)]).recordings)
    assert (set(line["recorder"]), line["run"].nunique()) == ({"Lasker"}, 1)
    two = [f"Lasker_AC_1/{prefix}_20170728_031200.wav" for prefix in ("A", "B")]
    assert sorted(recorded_s(scan_files([write(tmp_path / "two", *two)])).values()) == [6.0, 6.0]


@pytest.mark.parametrize("day", ["%Y%m%d", "%Y-%m-%d", "%Y_%m_%d"])
@pytest.mark.parametrize("prefix", ["PAM_", ""])
def test_a_folder_for_each_day_divides_no_recorder(day: str, prefix: str, tmp_path: Path) -> None:
    starts = [datetime(2017, 7, 28, 23, 59, 54), datetime(2017, 7, 29)]
    names = [f"{ship}/{t:{day}}/{prefix}{t:%Y%m%d_%H%M%S}.wav" for ship in "AB" for t in starts]
    line = timeline(scan_files([write(tmp_path, *names)]).recordings)
    assert line.groupby("recorder")["run"].nunique().tolist() == [1, 1]


def test_a_gap_of_one_recorder_is_none_of_another(tmp_path: Path) -> None:
    root = write(tmp_path, *names_of("PAM_{:%Y%m%d_%H%M%S}", ("Lasker",), (0, 60)),
                 *names_of("PAM_{:%Y%m%d_%H%M%S}", ("Sette",), (30,)))  # fmt: skip
    gaps = find_gaps(scan_files([root]).recordings)
    assert gaps[["recorder", "gap_s"]].values.tolist() == [["Lasker/PAM", 54.0]]


# Channels

STAMPS = (
    "20170728_0312{:02d}", "170728-0312{:02d}", "2017-07-28 03-12-{:02d}", "20170728T0312{:02d}Z",
    "PAM_20170728_0312{:02d}_000", "5146.1707280312{:02d}",
)  # fmt: skip
CHANNELS = ("ch{}", "ch0{}", "CH{}", "channel{}", "hyd{}", "Hydrophone_{}", "chan-{}")


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("is_first", [False, True])
def test_channels_of_one_time_are_one_moment(
    stamp: str, channel: str, is_first: bool, tmp_path: Path
) -> None:
    separator = " " if is_first else "_"
    names = []
    for s, number in product((0, 6), (1, 2, 3, 4)):
        words = [stamp.format(s), channel.format(number)]
        names.append(separator.join(words[::-1] if is_first else words) + ".wav")
    found = scan_files([write(tmp_path, *names)])
    assert len(found.recordings) == 8
    assert found.recordings["moment_id"].nunique() == 2
    assert found.recordings["encounter"].nunique() == 1
    assert sorted(found.recordings["channel"]) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert list(recorded_s(found).values()) == [12.0]


def test_a_folder_for_each_channel_is_one_recorder(tmp_path: Path) -> None:
    root = write(tmp_path, *(f"Mooring/hyd{k}/20170728_031200.wav" for k in (1, 2)))
    found = scan(root, options=ScanOptions(labels=()))
    assert found.recordings["moment_id"].nunique() == 1
    assert set(found.recordings["encounter"]) == {"unlabelled/Mooring"}
    assert list(recorded_s(found).values()) == [6.0]


def test_channels_without_a_time_are_one_moment_if_their_lengths_agree(tmp_path: Path) -> None:
    root = write(tmp_path, "tape7 ch1.wav", "tape7 ch2.wav", "tape8 ch1.wav", "b/tape7 ch3.wav")
    write(root, "tape7 ch4.wav", seconds=5.0)
    found = scan_files([root])
    moments = found.recordings.groupby("moment_id")["path"].apply(sorted)
    assert sorted(map(len, moments)) == [1, 1, 1, 2]
    assert ["tape7 ch1.wav", "tape7 ch2.wav"] in moments.tolist()


def test_simultaneous_channels_of_two_recorders_are_two_moments(tmp_path: Path) -> None:
    names = [f"day1/{ship}/PAM_20170728_031200_ch{k}.wav" for ship in "AB" for k in (1, 2)]
    root = write(tmp_path, *(f"Insular/{name}" for name in names))
    found = scan(root)
    assert found.recordings["moment_id"].nunique() == 2
    assert sorted(recorded_s(found).values()) == [6.0, 6.0]


# Unicode

COMPOSED = unicodedata.normalize("NFC", "Lānaʻi")
DECOMPOSED = unicodedata.normalize("NFD", "Lānaʻi")


def test_names_of_two_forms_are_one_class_one_encounter_and_one_recorder(scanned: Scanned) -> None:
    files = [
        f"{name}/{name}_{k}/20170728_031{k}00.wav" for k, name in enumerate((COMPOSED, DECOMPOSED))
    ]
    found = scanned(*files, f"{COMPOSED}/x.wav", f"{DECOMPOSED}/y.wav", "Other/z.wav")
    assert set(found.recordings["label"]) == {COMPOSED, "Other"}
    assert COMPOSED in notice(found, "Unicode")
    assert "2 forms" in notice(found, "Unicode")
    assert sorted(found.recordings["path"]) == sorted(
        [*files, f"{COMPOSED}/x.wav", f"{DECOMPOSED}/y.wav", "Other/z.wav"]
    )
    line = timeline(found.recordings)
    assert line.loc[line["path"].str.endswith(("x.wav", "y.wav")), "recorder"].nunique() == 1


@pytest.mark.parametrize(("option", "folder"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED),
                                                (DECOMPOSED.upper(), COMPOSED)])  # fmt: skip
def test_options_and_tables_name_folders_in_any_form(
    option: str, folder: str, scanned: Scanned, table: Callable[..., Path]
) -> None:
    found = scanned(f"a/{folder}/x.wav", f"b/Noise {folder}/{folder}.wav",
                    labels=(option,), other=(f"noise {option}",))  # fmt: skip
    assert sorted(found.recordings["label"].fillna("")) == sorted(
        [unicodedata.normalize("NFC", option), unicodedata.normalize("NFC", f"noise {option}")]
    )
    path = table("path,label,site", f"b/Noise {option}/{option}.wav,{option},{option}")
    if option[-2:] == folder[-2:]:  # the case of a path counts
        found = scanned(metadata=path)
        row = found.recordings.set_index("label").loc[unicodedata.normalize("NFC", option)]
        assert json.loads(row["metadata"])["site"] == unicodedata.normalize("NFC", option)


def test_selections_name_files_in_any_form(scanned: Scanned, tmp_path: Path) -> None:
    found = scanned(f"A/{DECOMPOSED}.wav", f"B/{DECOMPOSED}.wav")
    path = tmp_path / "x.txt"
    for name in (f"/old/A/{COMPOSED}.wav", f"C:\\old\\A\\{COMPOSED}.wav"):
        path.write_text(f"Begin Time (s)\tEnd Time (s)\tBegin Path\n0.0\t0.05\t{name}\n")
        read = read_raven([path], found.recordings)
        (wanted,) = found.recordings.loc[
            found.recordings["path"].str.startswith("A"), "recording_id"
        ]
        assert read.stretches["recording_id"].tolist() == [wanted]


# What systems leave


LEFT = ["$RECYCLE.BIN/S-1-5-21", "#recycle/Insular", "@eaDir", ".Trash-1000/files", "__MACOSX/Insular",
        "System Volume Information", "lost+found", ".Spotlight-V100", "RECYCLER/S-1", ".fseventsd",
        "#snapshot/Insular", "@Recycle", "FOUND.000", "LOST.DIR", "Insular/@eaDir/x.wav",
        "Insular/e/.AppleDouble", "@tmp"]  # fmt: skip


@pytest.mark.parametrize("folder", LEFT)
@pytest.mark.parametrize("is_lower", [False, True])
def test_what_systems_leave_is_passed_over_and_counted(
    folder: str, is_lower: bool, tmp_path: Path
) -> None:
    folder = folder.lower() if is_lower else folder
    write(tmp_path, "Insular/e/x.wav")
    write(tmp_path, f"{folder}/x.wav", f"{folder}/deep/er/y.wav", "Insular/e/._x.wav")
    (tmp_path / folder / "desktop.ini").write_text("x")
    for found in (scan(tmp_path), scan_files([tmp_path])):
        assert len(found.recordings) == 1
        assert found.problems.empty
        assert notice(found, "leave behind").startswith("4 files")
        assert "3 of them audio" in notice(found, "leave behind")
        assert notice(found, "leave behind") in found.told


def test_folders_of_systems_are_not_listed_without_end(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudorca.recordings.places.MAX_LEFT_BEHIND", 3)
    root = survey("Insular/e/x.wav", *(f"#snapshot/{k}/x.wav" for k in range(9)))
    assert notice(scan(root), "leave behind").startswith("At least 2 files")


def test_thumbnails_alone_are_not_worth_a_notice(survey: Survey) -> None:
    root = survey("Insular/e/x.wav")
    (root / "Insular/Thumbs.db").write_text("x")
    assert not any("leave behind" in text for text in scan(root).notices)


@pytest.mark.parametrize(
    "name", ["Insular", "recycle", "Trash", "eaDir", "found", "$ignore", "@Kona"]
)
def test_a_folder_of_a_person_is_none_of_a_system(name: str) -> None:
    assert not is_left_behind(name)


def test_what_is_given_by_name_is_taken(survey: Survey) -> None:
    root = survey("#recycle/x.wav")
    assert len(scan_files([root / "#recycle/x.wav"]).recordings) == 1
    assert len(scan_files([root / "#recycle"]).recordings) == 1


# Classes that are called like answers


def test_the_answers_are_those_of_decisions() -> None:
    assert set(ANSWERS) == {UNDECIDED, OTHER}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(
    "written",
    [str, str.upper, str.title, lambda t: t.replace(" ", "_"), lambda t: f" {t} ",
     lambda t: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in t),  # full width
     lambda t: f"{t[0]}\u00ad{t[1:]}", lambda t: t.replace("e", "\u212f")],
)  # fmt: skip
def test_a_class_called_like_an_answer_is_refused(
    answer: str, written: Callable[[str], str], scanned: Scanned, table: Callable[..., Path]
) -> None:
    name = written(answer)
    path = table("encounter,label", f"e,{name}")
    with pytest.raises(ManifestError, match="answer"):
        scanned("Insular/e/z.wav", metadata=path)
    with pytest.raises(ManifestError, match="answer"):
        scanned(f"{name}/e/x.wav")
    with pytest.raises(ManifestError, match="answer"):
        ScanOptions(labels=(name,))


# Time


def start(found: Manifest) -> list[str]:
    return [time.isoformat() for time in found.recordings.sort_values("path")["start_utc"]]


def test_a_zone_in_the_name_is_heeded(scanned: Scanned) -> None:
    found = scanned("Insular/20240404T060200+1000_REC.wav")
    assert start(found) == ["2024-04-03T20:02:00+00:00"]
    assert found.recordings["time_zone"].tolist() == ["UTC+10:00"]


def test_a_zone_of_the_user_holds_where_names_give_none(scanned: Scanned) -> None:
    found = scanned(
        "A/20170728_031259.wav", "A/20170728_031259Z.wav", "A/20170728_031259+1000.wav", "A/x.wav",
        time_zone="Pacific/Honolulu",
    )  # fmt: skip
    times = dict(zip(found.recordings["path"], found.recordings["start_utc"], strict=True))
    assert times["A/20170728_031259.wav"] == pd.Timestamp("2017-07-28T13:12:59Z")
    assert times["A/20170728_031259Z.wav"] == pd.Timestamp("2017-07-28T03:12:59Z")
    assert times["A/20170728_031259+1000.wav"] == pd.Timestamp("2017-07-27T17:12:59Z")
    assert pd.isna(times["A/x.wav"])


@pytest.mark.parametrize(
    ("header", "option"), [("time_zone", None), ("TZ", "tz"), ("Zone", "zone")]
)
def test_a_column_of_the_metadata_gives_zones(
    header: str, option: str | None, scanned: Scanned, table: Callable[..., Path]
) -> None:
    path = table(
        f"file,{header},start_utc", "20170728_031259.wav,Pacific/Honolulu,",
        "20170728_041259.wav,+09:30,", "20170728_051259.wav,,",
        "20170728_061259.wav,,2017-07-28T06:12:59-10:00",
    )  # fmt: skip
    found = scanned(
        *(f"A/20170728_0{h}1259.wav" for h in (3, 4, 5, 6)), metadata=path, time_zone=option
    )
    assert start(found) == [
        "2017-07-28T13:12:59+00:00", "2017-07-27T18:42:59+00:00", "2017-07-28T05:12:59+00:00",
        "2017-07-28T16:12:59+00:00",
    ]  # fmt: skip
    assert found.recordings["time_zone"].fillna("").tolist() == [
        "Pacific/Honolulu", "UTC+09:30", "", "UTC-10:00",
    ]  # fmt: skip


def test_a_wrong_zone_is_refused_before_any_sound_is_read(
    scanned: Scanned, table: Callable[..., Path]
) -> None:
    with pytest.raises(ManifestError, match="Honolulu"):
        ScanOptions(time_zone="Honululu")
    with pytest.raises(ManifestError, match="time zone"):
        scanned(
            "A/20170728_031259.wav", metadata=table("file,time_zone", "20170728_031259.wav,Kona")
        )
    with pytest.raises(ManifestError, match="zone"):
        scanned(
            "A/20170728_031259.wav", metadata=table("file", "20170728_031259.wav"), time_zone="tz"
        )


def test_hours_that_come_twice_or_never_are_said(scanned: Scanned) -> None:
    found = scanned(
        "A/20171105_013000.wav", "A/20170312_023000.wav", "A/20170728_031259.wav",
        time_zone="America/New_York",
    )  # fmt: skip
    assert "20171105_013000.wav" in notice(found, "twice")
    assert "1 of 3" in notice(found, "twice")
    assert "20170312_023000.wav" in notice(found, "never comes")
    assert start(found)[-1] == "2017-11-05T05:30:00+00:00"  # the first of the two


def test_names_that_tell_no_time_are_counted(scanned: Scanned) -> None:
    for found in (scanned("A/a.wav", "A/b.wav", "A/c.wav", "A/d.wav"),):
        assert notice(found, "no time").startswith("4 of 4 names tell no time")
    found = scanned("A/20170728_031259.wav")
    assert notice(found, "no time").startswith("4 of 5 names tell no time")
    assert notice(found, "no time") in found.told


def test_headers_tell_the_time_where_names_are_silent(survey: Survey) -> None:
    root = survey("A/x.wav", "A/20170728_031259.wav", "A/03-04-2018_000000.wav")
    guano = b"GUANO|Version: 1.0\nTimestamp: 2018-03-21T04:00:00-10:00\n"
    for name in ("x.wav", "20170728_031259.wav", "03-04-2018_000000.wav"):
        content = (root / "A" / name).read_bytes()
        body = (
            content[12:]
            + b"guan"
            + struct.pack("<I", len(guano))
            + guano
            + b"\0" * (len(guano) % 2)
        )
        (root / "A" / name).write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    found = scan(root)
    assert start(found) == [
        "2018-03-21T14:00:00+00:00", "2017-07-28T03:12:59+00:00", "2018-03-21T14:00:00+00:00",
    ]  # fmt: skip
    by_path = found.recordings.set_index("path")
    assert by_path["time_source"].to_dict() == {
        "A/x.wav": "guano", "A/20170728_031259.wav": "name", "A/03-04-2018_000000.wav": "guano",
    }  # fmt: skip
    assert by_path.loc["A/x.wav", "time_zone"] == "UTC-10:00"
    assert "guano 2" in notice(found, "no time")


def test_a_name_of_two_readings_is_a_notice_and_no_time(scanned: Scanned) -> None:
    found = scanned("A/03-04-2018_000000.wav", "A/20170728_031259.wav")
    assert found.recordings["start_utc"].isna().sum() == 1
    for fact in ("1 of 2 names", "03-04-2018_000000.wav", "2018-04-03", "2018-03-04"):
        assert fact in notice(found, "several ways")


def test_an_unset_clock_joins_no_timeline(scanned: Scanned) -> None:
    files = ["19700101_000012.WAV", "20210610_031200.WAV", "20210610_031300.WAV"]
    found = scanned(*(f"A/{name}" for name in files))
    assert found.recordings["start_utc"].isna().tolist() == [True, False, False]
    assert not found.recordings["encounter"].str.contains("1970").any()
    assert find_gaps(found.recordings)["gap_s"].max() < 60
    for fact in ("1 of 3 times", "19700101_000012.WAV", "1970-01-01 00:00:12"):
        assert fact in notice(found, "cannot be right")


def test_channels_of_an_unset_clock_are_one_moment(scanned: Scanned) -> None:
    found = scanned(
        "A/19700101_000012_ch1.wav", "A/19700101_000012_ch2.wav", "A/20210610_031200_ch1.wav"
    )
    assert found.recordings["moment_id"].nunique() == 2


# A project that was scanned before


def test_what_a_scan_changes_is_said_of_each_recording() -> None:
    before = pd.DataFrame(
        {
            "recording_id": ["a", "b", "c", "d"], "path": ["ch1.wav", "ch2.wav", "x.wav", "bin.wav"],
            "label": ["A", "A", DECOMPOSED, "$RECYCLE.BIN"], "encounter": ["ch1", "ch2", "e", "f"],
            "moment_id": ["m", "n", "o", "p"],
        }
    )  # fmt: skip
    now = before.iloc[:3].assign(
        label=["A", "A", COMPOSED], encounter=["day", "day", "e"], moment_id=["z", "z", "y"]
    )
    told = scan_changes(before, now, [("encounter", "ch1"), ("recording", "d"), ("encounter", "e")])
    assert [text.split()[0] for text in told] == [
        "Labels",
        "Encounters",
        "Moments",
        "1",
        "Labels",
        "Labels",
    ]
    labels, encounters, moments, gone, lost, lost_recording = told
    assert "another form" in labels
    assert "ch1 is now day" in encounters
    assert "2 moments and are 1" in moments
    assert "bin.wav" in gone
    assert "ch1 (now day)" in lost
    assert "1 recording" in lost_recording


def test_other_ids_of_the_same_moments_are_no_change() -> None:
    before = pd.DataFrame(
        {
            "recording_id": ["a", "b"],
            "path": "x.wav",
            "label": "A",
            "encounter": "e",
            "moment_id": ["m", "m"],
        }
    )
    now = before.assign(moment_id="other")
    assert scan_changes(before, now) == []
    assert moments_changed(before, now) is None
    assert moments_changed(before, now.assign(moment_id=["m", "n"])) is not None
    assert scan_changes(before, before.assign(recording_id=["c", "d"])) == []

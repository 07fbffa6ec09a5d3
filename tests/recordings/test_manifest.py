"""Folders as they come back from sea, and what a scan makes of them."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from pseudorca.errors import ManifestError
from pseudorca.recordings.audio import CONVERTERS
from pseudorca.recordings.manifest import Manifest, ScanOptions, full_path, scan, scan_files
from pseudorca.recordings.notices import CLASS_FOLDERS
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store, shown_problems

Survey = Callable[..., Path]
Scanned = Callable[..., Manifest]


def column(manifest: Manifest, name: str) -> dict[str, object]:
    """A column of the recordings by path; None where it is missing."""
    values = manifest.recordings[name].astype(object)
    values = values.where(values.notna(), None)
    return dict(zip(manifest.recordings["path"], values, strict=True))


def moments(manifest: Manifest) -> list[list[str]]:
    """The paths that share each moment."""
    groups = manifest.recordings.groupby("moment_id")["path"].apply(sorted)
    return sorted(groups.tolist())


# Labels


def test_labels_come_from_the_top_folders(scanned: Scanned) -> None:
    found = scanned("Insular/a/x.wav", "Pelagic/b/c/y.wav", "Pelagic/z.wav", "loose.wav")
    assert column(found, "label") == {
        "Insular/a/x.wav": "Insular",
        "Pelagic/b/c/y.wav": "Pelagic",
        "Pelagic/z.wav": "Pelagic",
        "loose.wav": None,
    }


@pytest.mark.parametrize(
    "name", ["Unknown", "unknown", "UNLABELLED", "Unlabeled", "unidentified", "UnID"]
)
def test_unknown_folders_are_unlabelled_at_any_depth(name: str, scanned: Scanned) -> None:
    files = [f"{name}/x.wav", f"{name}/Lasker_AC_1/x.wav", f"Insular/{name}/x.wav", "Insular/y.wav"]
    assert list(column(scanned(*files), "label").values()).count("Insular") == 1
    labels = column(scanned(*files, labels=("Insular", "Lasker_AC_1", name)), "label")
    assert [path for path, label in labels.items() if label] == ["Insular/y.wav"]


def test_named_labels_are_found_at_any_depth_and_in_any_case(scanned: Scanned) -> None:
    found = scanned(
        "2017/insular/Lasker_AC_1/x.wav",
        "2017/Pelagic/y.wav",
        "2017/Hybrid/z.wav",
        labels=("Insular", "Pelagic"),
    )
    assert column(found, "label") == {
        "2017/Hybrid/z.wav": None,
        "2017/Pelagic/y.wav": "Pelagic",
        "2017/insular/Lasker_AC_1/x.wav": "Insular",
    }


def test_an_encounter_on_top_is_not_a_population(scanned: Scanned) -> None:
    found = scanned("Sette_AC_101/x.wav", "Pop1/y.wav", "Clan2/z.wav")
    assert column(found, "label") == {
        "Clan2/z.wav": "Clan2",
        "Pop1/y.wav": "Pop1",
        "Sette_AC_101/x.wav": None,
    }
    assert column(found, "encounter")["Sette_AC_101/x.wav"] == "Sette_AC_101"


# Encounters


def test_an_encounter_by_platform_and_number_is_one_wherever_it_stands(scanned: Scanned) -> None:
    found = scanned(
        "Insular/Lasker_AC_67/x.wav",
        "Pelagic/Lasker_AC_67/y.wav",
        "Pelagic/leg1/lasker_ac_67/z.wav",
        "Unknown/Lasker_AC_67/u.wav",
    )
    assert set(column(found, "encounter").values()) == {"Lasker_AC_67"}
    assert column(found, "platform")["Insular/Lasker_AC_67/x.wav"] == "Lasker"
    (mixed,) = [notice for notice in found.notices if "Mixed encounter" in notice]
    for fact in ("Lasker_AC_67", "2 Pelagic", "1 Insular"):
        assert fact in mixed


def test_other_folder_names_are_encounters_within_their_label(scanned: Scanned) -> None:
    found = scanned("Insular/day1/x.wav", "Pelagic/day1/y.wav", "Unknown/day1/z.wav")
    assert list(column(found, "encounter").values()) == [
        "Insular/day1", "Pelagic/day1", "unlabelled/day1"
    ]  # fmt: skip
    assert not any("Mixed encounter" in notice for notice in found.notices)


@pytest.mark.parametrize("inner", ["hyd1", "sub_3", "clip7", "AMAR12", "Sette_44"])
def test_folders_inside_an_encounter_do_not_divide_it(inner: str, scanned: Scanned) -> None:
    found = scanned(
        "Insular/Lasker_AC_67/x.wav",
        f"Insular/Lasker_AC_67/{inner}/y.wav",
        "Insular/day1/a.wav",
        "Insular/day1/part2/b.wav",
    )
    assert set(column(found, "encounter").values()) == {"Lasker_AC_67", "Insular/day1"}


def test_files_without_a_folder_are_grouped_by_recorder_and_day(scanned: Scanned) -> None:
    found = scanned(
        "Insular/67416073.210610033655.wav",
        "Insular/67416073.210610233655.wav",
        "Insular/67416073.210611003655.wav",
        "Insular/99999999.210610033655.wav",
        "Insular/20170728_031259_ch05_sel02.wav",
        "Insular/x.wav",
        "Pelagic/y.wav",
    )
    assert set(column(found, "encounter").values()) == {
        "Insular/67416073 2021-06-10",
        "Insular/67416073 2021-06-11",
        "Insular/99999999 2021-06-10",
        "Insular/2017-07-28",
        "Insular/(no encounter)",
        "Pelagic/(no encounter)",
    }
    assert any("2 recordings of Insular, Pelagic" in notice for notice in found.notices)


def test_own_pattern_names_encounters(scanned: Scanned) -> None:
    found = scanned(
        "Insular/x-e7-20170728.wav",
        "Pelagic/y-e7-20170729.wav",
        name_pattern=r"-(?P<encounter>e\d)-(?P<start>\d{8})",
        time_format="%Y%m%d",
    )
    assert set(column(found, "encounter").values()) == {"e7"}
    assert found.recordings["start_utc"].dt.day.tolist() == [28, 29]


# Moments


def test_channels_of_one_selection_are_one_moment(scanned: Scanned) -> None:
    found = scanned(
        "Insular/Lasker_AC_67/20170728_031259_ch05_sel02.wav",
        "Insular/Lasker_AC_67/20170728_031259_ch03_sel02.wav",
        "Insular/Lasker_AC_67/20170728_031259_ch03_sel01.wav",
        "Insular/Lasker_AC_67/20170728_031300_ch03_sel02.wav",
        "Insular/Sette_AC_67/20170728_031259_ch05_sel02.wav",
        "Insular/Lasker_AC_67/hyd6/20170728_031259_ch06_sel02.wav",
    )
    assert sorted(map(len, moments(found))) == [1, 1, 1, 3]
    assert found.recordings["recording_id"].is_unique


def test_a_mixed_encounter_keeps_its_moments(scanned: Scanned) -> None:
    found = scanned(
        "Insular/Lasker_AC_67/20170728_031259_ch05_sel02.wav",
        "Pelagic/Lasker_AC_67/20170728_031259_ch03_sel02.wav",
    )
    assert len(moments(found)) == 1


@pytest.mark.parametrize(
    "files",
    [
        ("Insular/day1/20170728_031259_ch05_sel02.wav", "Pelagic/day1/20170728_031259_ch05_sel02.wav"),
        ("Insular/day1/20170728_031259_ch05_sel02.wav", "Insular/day2/20170728_031259_ch03_sel02.wav"),
        ("Insular/day1/a_20170728_031259.wav", "Insular/day1/b_20170728_031259.wav"),
        ("Insular/day1/20170728_031259.wav", "Insular/day1/a/20170728_031259.wav"),
        ("Insular/day1/x.wav", "Insular/day1/y.wav"),
        ("Insular/day1/x_sel02.wav", "Insular/day1/y_sel02.wav"),
    ],
)  # fmt: skip
def test_strangers_of_one_name_or_time_are_not_one_moment(
    files: tuple[str, ...], scanned: Scanned
) -> None:
    assert len(moments(scanned(*files))) == len(files)


def test_equal_times_without_a_channel_in_the_name_are_no_proof_of_one_moment(
    hydrophones: Path,
) -> None:
    found = scan(hydrophones / "array_6ch_32k_24bit")
    assert len(found.recordings) == 2
    assert len(moments(found)) == 2


def test_ids_do_not_depend_on_the_path(scanned: Scanned, tmp_path: Path) -> None:
    first = scanned("Insular/day1/x.wav", "Insular/Lasker_AC_1/20170728_031259_ch05_sel02.wav")
    shutil.move(tmp_path / "survey", tmp_path / "elsewhere")
    second = scan(tmp_path / "elsewhere")
    for name in ("recording_id", "moment_id", "encounter"):
        assert column(first, name) == column(second, name)
    assert set(second.recordings["root"]) == {(tmp_path / "elsewhere").as_posix()}


# Duplicates


def test_the_first_of_duplicates_by_path_is_kept(scanned: Scanned) -> None:
    found = scanned(("Insular/b/x.wav", 1), ("Insular/a/y.flac", 1), ("Insular/c/z.wav", 1))
    assert found.recordings["path"].tolist() == ["Insular/a/y.flac"]
    assert found.problems[["path", "reason"]].values.tolist() == [
        ["Insular/b/x.wav", "duplicate of Insular/a/y.flac"],
        ["Insular/c/z.wav", "duplicate of Insular/a/y.flac"],
    ]


def test_an_unlabelled_duplicate_gives_way(scanned: Scanned) -> None:
    found = scanned(("A/x.wav", 1), ("Unknown/x.wav", 1), labels=("A",))
    assert column(found, "label") == {"A/x.wav": "A"}
    found = scanned(("Unknown/a.wav", 2), ("Zebra/b.wav", 2))
    assert "Zebra/b.wav" in column(found, "label")
    assert "duplicate of Zebra/b.wav" in set(found.problems["reason"])


def test_one_sound_under_two_labels_is_an_error_with_both_paths(scanned: Scanned) -> None:
    files = [("A_unknown/a.wav", 1), ("Insular/x.wav", 1), ("Pelagic/y.flac", 1), "Pelagic/z.wav"]
    with pytest.raises(ManifestError, match=r"Insular/x\.wav and Pelagic/y\.flac"):
        scanned(*files, labels=("Insular", "Pelagic"))


def test_one_sound_under_two_labels_can_be_left_out(scanned: Scanned) -> None:
    found = scanned(
        ("Insular/x.wav", 1), ("Pelagic/y.flac", 1), ("Unknown/u.wav", 1), "Pelagic/z.wav",
        on_conflict="drop",
    )  # fmt: skip
    assert found.recordings["path"].tolist() == ["Pelagic/z.wav"]
    assert set(found.problems["reason"]) == {"same sound under two labels"}
    detail = dict(zip(found.problems["path"], found.problems["detail"], strict=True))
    assert detail["Insular/x.wav"] == "Pelagic/y.flac, Unknown/u.wav"


def test_same_name_in_two_encounters_is_two_recordings(scanned: Scanned) -> None:
    name = "20170728_031259_ch05_sel02.wav"
    found = scanned(f"Pelagic/Lasker_AC_1/{name}", f"Pelagic/Lasker_AC_2/{name}")
    assert found.recordings["recording_id"].nunique() == 2
    assert found.problems.empty


def test_long_recordings_that_differ_between_hashed_blocks_are_both_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(-1_000, 1_000, 5_000_000, dtype=np.int16)
    sf.write(tmp_path / "a.wav", samples, 8_000)
    sf.write(tmp_path / "b.wav", samples, 8_000)
    found = scan(tmp_path)
    assert found.problems["reason"].tolist() == ["duplicate of a.wav"]
    assert found.recordings["hash_kind"].tolist() == ["blocks"]
    samples[40_000] += 1  # no block lies here
    sf.write(tmp_path / "b.wav", samples, 8_000)
    found = scan(tmp_path)
    assert found.problems.empty
    assert found.recordings["recording_id"].nunique() == 2
    assert set(found.recordings["hash_kind"]) == {"samples"}


# Gaps


def test_encounters_over_twelve_hours_are_warned_about_and_can_be_cut(scanned: Scanned) -> None:
    files = [
        f"Insular/Lasker_AC_1/2017{day}_{hour:02d}0000_ch01_sel{sel:02d}.wav"
        for day, hour, sel in [("0728", 0, 1), ("0728", 0, 2), ("0728", 5, 1), ("0728", 23, 1),
                               ("0729", 1, 1)]
    ]  # fmt: skip
    found = scanned(*files)
    assert any("Lasker_AC_1" in notice and "25 hours" in notice for notice in found.notices)
    found = scanned(*files, cut_gaps_h=6)
    assert Counter(column(found, "encounter").values()) == {"Lasker_AC_1#1": 3, "Lasker_AC_1#2": 2}
    assert any("Lasker_AC_1 into 2" in notice for notice in found.notices)
    assert not any("25 hours" in notice for notice in found.notices)
    found = scanned(*files, cut_gaps_h=18)
    assert set(column(found, "encounter").values()) == {"Lasker_AC_1"}


def test_encounters_with_recordings_of_no_time_are_not_cut(scanned: Scanned) -> None:
    found = scanned(
        "Insular/e/20170728_000000.wav", "Insular/e/20170729_000000.wav", "Insular/e/x.wav",
        cut_gaps_h=6,
    )  # fmt: skip
    assert set(column(found, "encounter").values()) == {"Insular/e"}
    assert any("--cut-gaps" in notice and "e (1 of 3)" in notice for notice in found.notices)


def test_cutting_that_finds_no_gap_is_said(scanned: Scanned) -> None:
    files = ("Insular/e/20170728_000000.wav", "Insular/e/20170728_010000.wav", "Insular/f/x.wav")
    (said,) = [notice for notice in scanned(*files, cut_gaps_h=6).notices if "--cut-gaps" in notice]
    assert "none of 2 encounters" in said
    assert "1 of 3" in said  # has no time
    assert not any("--cut-gaps" in notice for notice in scanned(*files).notices)


def test_a_pattern_says_how_many_paths_it_does_not_match(scanned: Scanned) -> None:
    files = ("Insular/e/rec1.wav", "Insular/e/rec2.wav", "Insular/e/tape.wav")

    def said(pattern: str) -> list[str]:
        found = scanned(*files, name_pattern=pattern)
        return [notice for notice in found.notices if notice.startswith("--name-pattern")]

    assert said(r"(?P<platform>rec|tape)") == []
    (some,) = said(r"(?P<platform>rec)")
    assert "2 of 3" in some
    assert "Insular/e/tape" in some
    (none,) = said(r"(?P<platform>mooring)")
    assert "none of 3" in none


def test_recordings_without_class_folders_are_told_how_to_lay_them(scanned: Scanned) -> None:
    assert CLASS_FOLDERS in scanned("x.wav", "Sette_AC_41/y.wav").notices[0]
    assert not any(CLASS_FOLDERS in notice for notice in scanned("A/e/x.wav", "B/f/y.wav").notices)


def test_files_that_are_cut_short_hide_no_notice_on_all(survey: Survey) -> None:
    root = survey(*(f"Insular/e/{k}.wav" for k in range(5)))
    for path in root.glob("Insular/e/*.wav"):
        path.write_bytes(path.read_bytes()[:-400])
    notices = scan_project(Store(root / "project", create=True), root).notices
    assert len(notices) > 1
    assert "5 files cut short" in notices[-1]
    assert not any("cut short" in notice for notice in notices[:-1])


def test_a_gap_begins_where_the_longest_recording_ends(survey: Survey) -> None:
    survey("Insular/e/20170728_000000.wav", n_frames=60 * 3_600, sample_rate=60)  # an hour
    root = survey("Insular/e/20170728_000100.wav", "Insular/e/20170728_010030.wav")
    found = scan(root, options=ScanOptions(cut_gaps_h=0.5))
    assert set(column(found, "encounter").values()) == {"Insular/e"}


# What a user is told


def test_mixed_rates_and_channel_counts_are_said(survey: Survey) -> None:
    survey("Insular/a/x.wav", "Insular/a/y.wav", sample_rate=500_000)
    root = survey("Insular/a/z.wav", sample_rate=192_000)
    sf.write(
        root / "Insular/a/stereo.wav", np.random.default_rng(0).normal(0, 0.1, (800, 2)), 500_000
    )
    notices = "\n".join(scan(root).notices)
    assert "500 kHz (3), 192 kHz (1)" in notices
    assert "1 channel (3), 2 channels (1)" in notices


def test_one_rate_is_not_called_mixed(scanned: Scanned) -> None:
    assert not any("Mixed" in notice for notice in scanned("A/e/x.wav", "A/f/y.wav").notices)


def test_classes_of_few_encounters_are_warned_about(scanned: Scanned) -> None:
    files = [f"Insular/Lasker_AC_{k}/x.wav" for k in range(3)]
    files += [f"Pelagic/Sette_AC_{k}/x.wav" for k in range(4)]
    (few,) = [notice for notice in scanned(*files).notices if "too few" in notice]
    assert "Insular 3" in few
    assert "Pelagic" not in few


def test_classes_that_differ_in_case_only_are_said(scanned: Scanned) -> None:
    found = scanned("Insular/e/x.wav", "INSULAR/e/y.wav")
    assert any("INSULAR and Insular" in notice for notice in found.notices)


def test_a_truncated_recording_is_kept_with_a_notice(survey: Survey) -> None:
    root = survey("Insular/x.wav")
    path = root / "Insular/x.wav"
    path.write_bytes(path.read_bytes()[:-800])
    found = scan(root)
    assert found.recordings["n_frames"].tolist() == [400]
    (told,) = [notice for notice in found.notices if "Insular/x.wav" in notice]
    assert "0.1 s" in told  # 400 of 800 samples at 8 kHz


def test_an_empty_folder_gives_empty_tables(tmp_path: Path) -> None:
    found = scan(tmp_path)
    assert (len(found.recordings), len(found.problems)) == (0, 0)
    (notice,) = found.notices
    assert "No usable recordings" in notice
    full = scan_files([tmp_path, tmp_path])
    assert list(full.recordings.columns) == list(found.recordings.columns)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a folder"):
        scan(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="does not exist"):
        scan_files([tmp_path / "nowhere"])


# Broken files and odd trees


def test_bad_files_among_good_ones_are_problems_and_nothing_else_is_harmed(survey: Survey) -> None:
    good = [f"{label}/Lasker_AC_{k}/x{k}.wav" for label in ("Insular", "Pelagic") for k in range(4)]
    root = survey(*good, n_frames=50_000)
    before = scan(root).recordings
    folder = root / "Insular/Lasker_AC_0"
    flac = bytearray()
    sf.write(folder / "corrupt.flac", np.random.default_rng(0).normal(0, 0.1, 50_000), 8_000)
    flac[:] = (folder / "corrupt.flac").read_bytes()
    flac[20_000:22_000] = bytes(2_000)
    (folder / "corrupt.flac").write_bytes(flac)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("recorded on Tuesday\n")
    sf.write(folder / "silent.wav", np.zeros(50_000), 8_000)
    (folder / "unreadable.wav").symlink_to("/nowhere/at/all.wav")
    after = scan(root)
    is_hurt = after.recordings["holes"].notna()
    assert after.recordings.loc[is_hurt, "path"].tolist() == ["Insular/Lasker_AC_0/corrupt.flac"]
    pd.testing.assert_frame_equal(after.recordings[~is_hurt].reset_index(drop=True), before)
    assert dict(zip(after.problems["path"], after.problems["reason"], strict=True)) == {
        "Insular/Lasker_AC_0/empty.wav": "empty file",
        "Insular/Lasker_AC_0/silent.wav": "silent",
        "Insular/Lasker_AC_0/text.wav": "not audio",
        "Insular/Lasker_AC_0/unreadable.wav": "cannot be opened",
    }
    assert set(after.problems["stage"]) == {"scan"}
    assert after.problems["detail"].str.len().gt(0).all()


def test_every_audio_file_is_a_recording_or_a_problem(survey: Survey) -> None:
    root = survey("A/x.WAV", "A/y.Flac", "A/deep/er/z.AIFF", ("A/b.wav", 1), ("A/c.wav", 1))
    (root / "A/old.m4a").write_bytes(b"whatever")
    (root / "A/folder.wav").mkdir()
    (root / "A/tape.wav").mkdir()
    survey("A/tape.wav/inside.wav")
    (root / "notes.txt").write_text("x")
    (root / "A/.hidden.wav").write_text("x")
    (root / "A/.cache").mkdir()
    (root / "A/.cache/x.wav").write_text("x")
    found = scan(root)
    told = found.recordings["path"].tolist() + found.problems["path"].tolist()
    assert Counter(told) == Counter(
        ["A/x.WAV", "A/y.Flac", "A/deep/er/z.AIFF", "A/b.wav", "A/c.wav", "A/old.m4a",
         "A/folder.wav", "A/tape.wav/inside.wav"]
    )  # fmt: skip
    reasons = dict(zip(found.problems["path"], found.problems["reason"], strict=True))
    assert reasons["A/old.m4a"] == "format not supported"
    assert reasons["A/folder.wav"] == "cannot be opened"
    assert found.n_other_files == 2


@pytest.mark.parametrize("suffix", sorted(CONVERTERS))
def test_formats_that_nobody_reads_are_counted_and_named_with_a_program(
    suffix: str, survey: Survey
) -> None:
    root = survey("A/e/x.wav")
    for k in range(3):
        (root / f"A/e/raw_{k}{suffix if k else suffix.upper()}").write_bytes(bytes(range(256)))
    found = scan(root)
    assert found.problems["reason"].tolist() == ["format not supported"] * 3
    assert all(CONVERTERS[suffix] in detail for detail in found.problems["detail"])
    (told,) = found.file_notices
    assert "3 files" in told
    assert suffix in told
    assert CONVERTERS[suffix] in told


@pytest.mark.parametrize("suffix", [".sud", ".SUD", ".x3", ".wac"])
def test_what_nobody_reads_beside_its_own_wav_is_no_problem(suffix: str, survey: Survey) -> None:
    root = survey("A/e/x.wav", "A/f/y.wav")
    for path in (f"A/e/x{suffix}", f"A/f/x{suffix}", f"A/f/Y{suffix}"):
        (root / path).write_bytes(b"1234")
    found = scan(root)
    assert found.problems["path"].tolist() == [f"A/f/x{suffix}"]
    assert found.n_other_files == 2
    given = scan_files([root / "A/e/x.wav", root / f"A/e/x{suffix}"])
    assert (len(given.recordings), len(given.problems)) == (1, 0)


def test_a_dat_of_text_is_no_recording(survey: Survey) -> None:
    root = survey("A/e/x.wav")
    (root / "A/e/track.dat").write_text("21.3 -157.9 2017-07-28T03:12\n" * 50)
    found = scan(root)
    assert found.problems.empty
    assert found.n_other_files == 1


def test_links_in_circles_end(survey: Survey) -> None:
    root = survey("A/e/x.wav", "B/f/y.wav")
    (root / "A/e/up").symlink_to(root)
    (root / "A/e/self").symlink_to(root / "A/e")
    (root / "B/f/loop").symlink_to("loop")
    found = scan(root)
    assert set(found.recordings["path"]) >= {"A/e/x.wav", "B/f/y.wav"}
    assert found.recordings["recording_id"].nunique() == 2


def test_folders_that_link_to_each_other_end(survey: Survey) -> None:
    root = survey("A/x.wav", "B/y.wav")
    (root / "A/b").symlink_to(root / "B")
    (root / "B/a").symlink_to(root / "A")
    with pytest.raises(ManifestError, match="2 classes hold the same recording"):
        scan(root)


def test_a_linked_folder_does_not_hide_the_real_one(survey: Survey) -> None:
    root = survey("Unknown/Lasker_AC_1/x.wav", "Insular/y.wav")
    (root / "Insular/Lasker_AC_1").symlink_to(root / "Unknown/Lasker_AC_1")
    found = scan(root)
    assert column(found, "label") == {
        "Insular/Lasker_AC_1/x.wav": "Insular",
        "Insular/y.wav": "Insular",
    }
    assert found.problems["path"].tolist() == ["Unknown/Lasker_AC_1/x.wav"]


def test_a_folder_that_cannot_be_listed_is_a_problem(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = survey("A/e/x.wav", "B/f/y.wav")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("B/f"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = scan(root)
    assert found.recordings["path"].tolist() == ["A/e/x.wav"]
    assert shown_problems(found.problems).values.tolist() == [
        ["B/f", "scan", "cannot be opened", "Permission denied"]
    ]


@pytest.mark.parametrize("name", [b"A/caf\xe9.wav", b"A/caf\xe9/x.wav"])
def test_names_that_are_not_utf_8_are_problems(name: bytes, survey: Survey) -> None:
    root = survey("A/x.wav", "A/y.wav")
    path = root / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    (root / "A/y.wav").rename(path)
    found = scan(root)
    assert found.recordings["path"].tolist() == ["A/x.wav"]
    assert found.problems["reason"].tolist() == ["name is not UTF-8"]
    found.problems["path"].iloc[0].encode()


def test_workers_change_nothing(survey: Survey) -> None:
    root = survey(*(f"A/Lasker_AC_{k % 5}/x{k}.wav" for k in range(40)))
    for k in range(3):
        (root / f"A/empty{k}.wav").touch()
    seen: list[tuple[int, int]] = []
    one = scan(root, n_threads=1, progress=lambda done, total: seen.append((done, total)))
    many = scan(root, n_threads=8)
    pd.testing.assert_frame_equal(one.recordings, many.recordings)
    pd.testing.assert_frame_equal(one.problems, many.problems)
    assert seen == [(k, 43) for k in range(1, 44)]


# Files and folders to predict on


def test_files_to_predict_on_have_no_label(survey: Survey) -> None:
    root = survey("Insular/Lasker_AC_1/x.wav", "Pelagic/day1/y.wav")
    found = scan_files([root / "Insular", root / "Pelagic/day1/y.wav"])
    assert column(found, "label") == {"Lasker_AC_1/x.wav": None, "y.wav": None}
    assert [full_path(row).exists() for row in found.recordings.itertuples()] == [True, True]


def test_strangers_to_predict_on_are_not_one_encounter(survey: Survey) -> None:
    name = "20170728_031259_ch05_sel02.wav"
    files = [
        "a/x.wav", "b/y.wav", f"a/{name}", f"b/{name}", "c/Lasker_AC_1/z.wav", "a/day1/x.wav",
        "b/day1/x.wav", "2017/rec/x.wav", "2018/rec/x.wav",
    ]  # fmt: skip
    root = survey(*files)
    given = [root / file for file in files[:5]]
    given += [root / folder for folder in ("a/day1", "b/day1", "2017/rec", "2018/rec")]
    found = scan_files(given)
    assert len(found.recordings) == len(files)
    assert found.recordings["encounter"].nunique() == len(files)
    assert found.recordings["moment_id"].nunique() == len(files)
    found = scan_files([root / "a", root / "b"])
    by_encounter = found.recordings.groupby("encounter")["path"].apply(list).to_dict()
    assert by_encounter == {
        "unlabelled/a/(no encounter)": ["x.wav"],
        "unlabelled/b/(no encounter)": ["y.wav"],
        "unlabelled/a/2017-07-28": [name],
        "unlabelled/b/2017-07-28": [name],
        "unlabelled/a/day1": ["day1/x.wav"],
        "unlabelled/b/day1": ["day1/x.wav"],
    }


def test_the_folder_given_may_be_the_encounter(survey: Survey) -> None:
    root = survey("Unknown/Lasker_AC_1/x.wav", "Unknown/Lasker_AC_1/y.wav")
    for given in ([root / "Unknown/Lasker_AC_1"], sorted((root / "Unknown").rglob("*.wav"))):
        assert set(column(scan_files(given), "encounter").values()) == {"Lasker_AC_1"}
    assert set(scan_files([root / "Unknown"]).recordings["platform"]) == {"Lasker"}


def test_what_is_given_twice_is_predicted_once(survey: Survey) -> None:
    root = survey("a/x.wav", "b/y.wav")
    (root / "b/text.wav").write_text("x")
    found = scan_files([root, root / "a/x.wav", root / "b"])
    assert found.recordings["path"].tolist() == ["a/x.wav", "b/y.wav"]
    reasons = found.problems.groupby("reason")["path"].apply(sorted).to_dict()
    assert reasons == {
        "duplicate of a/x.wav": ["x.wav"],
        "duplicate of b/y.wav": ["y.wav"],
        "not audio": ["b/text.wav", "text.wav"],
    }


def test_anything_given_by_name_is_a_recording_or_a_problem(survey: Survey) -> None:
    root = survey("a/x.wav")
    (root / "notes.txt").write_text("hello")
    (root / "x.raw").write_bytes(bytes(1_000))
    (root / "gone.wav").symlink_to("nowhere")
    found = scan_files([root / "notes.txt", root / "x.raw", root / "gone.wav", root / "a/x.wav"])
    assert len(found.recordings) == 1
    assert found.problems["reason"].tolist() == ["not audio", "not audio", "cannot be opened"]


# Real recordings


def test_watkins_is_counted_right(scanned_watkins: Manifest) -> None:
    found = scanned_watkins
    recordings = found.recordings
    labelled = recordings[recordings["label"].notna()]
    assert (len(recordings), len(labelled), len(found.problems)) == (360, 304, 0)
    assert labelled["label"].value_counts().to_dict() == {
        "Beluga": 49, "FalseKillerWhale": 59, "KillerWhale": 35, "LongFinnedPilotWhale": 58,
        "ShortFinnedPilotWhale": 61, "SpermWhale": 42,
    }  # fmt: skip
    assert labelled["encounter"].nunique() == 34
    assert recordings["encounter"].nunique() == 35
    assert recordings["moment_id"].is_unique
    assert found.n_other_files == 1
    assert any("Mixed sample rates" in notice for notice in found.notices)
    assert any("FalseKillerWhale 3, ShortFinnedPilotWhale 3." in note for note in found.notices)


def test_real_recordings_of_every_kind_are_found(hydrophones: Path) -> None:
    found = scan(hydrophones)
    formats = {name.split("/")[0] for name in found.recordings["format"]}
    assert formats == {"WAV", "FLAC", "MP3"}
    assert found.recordings["sample_rate"].min() == 600
    assert found.recordings["n_channels"].max() == 6
    # The ship passages came as zeros throughout.
    assert set(found.problems["reason"]) <= {"silent"}
    assert found.problems["path"].str.startswith("deepship_vessels_32k/").all()

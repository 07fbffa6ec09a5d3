"""What a table of metadata says of recordings, and what it must not be taken to say."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pseudorca.errors import ManifestError, TableError
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.folds import Split, group_values, make_folds
from pseudorca.recordings.manifest import Manifest, ScanOptions, scan

Scanned = Callable[..., Manifest]
Table = Callable[..., Path]


def column(manifest: Manifest, name: str) -> dict[str, object]:
    """A column of the recordings by path; None where it is missing."""
    values = manifest.recordings[name].astype(object)
    values = values.where(values.notna(), None)
    return dict(zip(manifest.recordings["path"], values, strict=True))


def kept(manifest: Manifest) -> dict[str, dict[str, str]]:
    """The other columns by path."""
    return {
        path: json.loads(text)
        for path, text in zip(
            manifest.recordings["path"], manifest.recordings["metadata"], strict=True
        )
    }


FILES = ("Insular/day1/x.wav", "Insular/day2/y.wav", "Pelagic/Lasker_AC_7/z.wav", "Unknown/e/u.wav")


def test_join_by_path_goes_before_folders_and_keeps_other_columns(
    scanned: Scanned, table: Table
) -> None:
    path = table(
        "Path,Population,Encounter,platform,start_utc,Outing,site ",
        "Insular/day1/x.wav,Pelagic,Lasker_AC_9,Lasker,2017-07-28T03:12:59,A,Kona",
        r".\Insular\day2\y.wav,,,,2017-07-28T03:12:59-10:00, B ,",
        "Unknown/e/u.wav,Insular,,,,C,Maui",
    )
    found = scanned(*FILES, metadata=path)
    assert column(found, "label") == {
        "Insular/day1/x.wav": "Pelagic",
        "Insular/day2/y.wav": "Insular",
        "Pelagic/Lasker_AC_7/z.wav": "Pelagic",
        "Unknown/e/u.wav": "Insular",
    }
    assert column(found, "encounter") == {
        "Insular/day1/x.wav": "Lasker_AC_9",
        "Insular/day2/y.wav": "Insular/day2",
        "Pelagic/Lasker_AC_7/z.wav": "Lasker_AC_7",
        "Unknown/e/u.wav": "unlabelled/e",
    }
    assert column(found, "platform")["Insular/day1/x.wav"] == "Lasker"
    starts = column(found, "start_utc")
    assert starts["Insular/day1/x.wav"] == pd.Timestamp("2017-07-28T03:12:59Z")
    assert starts["Insular/day2/y.wav"] == pd.Timestamp("2017-07-28T13:12:59Z")
    assert kept(found)["Insular/day1/x.wav"] == {
        "start_utc": "2017-07-28T03:12:59", "Outing": "A", "site": "Kona"
    }  # fmt: skip
    assert kept(found)["Insular/day2/y.wav"]["Outing"] == "B"
    assert kept(found)["Pelagic/Lasker_AC_7/z.wav"] == {}
    notices = "\n".join(found.notices)
    assert "names 3 of 4 recordings" in notices
    assert "label of 2 recordings" in notices


@pytest.mark.parametrize("header", ["file", "Filename", "FILE_NAME"])
def test_join_by_file_name(header: str, scanned: Scanned, table: Table) -> None:
    found = scanned(*FILES, metadata=table(f"{header},label", "x.wav,Hybrid", "gone.wav,Insular"))
    assert column(found, "label")["Insular/day1/x.wav"] == "Hybrid"
    assert any("1 of 2 rows of metadata.csv" in notice for notice in found.notices)


def test_file_names_that_repeat_cannot_be_joined_by(scanned: Scanned, table: Table) -> None:
    files = ("Insular/day1/x.wav", "Insular/day2/x.wav", "Insular/day2/y.wav")
    with pytest.raises(ManifestError, match=r"2 recordings are called x\.wav"):
        scanned(*files, metadata=table("file,label", "x.wav,Pelagic"))
    found = scanned(*files, metadata=table("file,label", "y.wav,Pelagic"))
    assert column(found, "label")["Insular/day2/y.wav"] == "Pelagic"


def test_join_by_encounter_labels_the_encounter(scanned: Scanned, table: Table) -> None:
    path = table(
        "encounter,population,sighting",
        "Lasker_AC_7,Insular,S1",
        "day1,Pelagic,S2",
        "unlabelled/e,Pelagic,S3",
    )
    found = scanned(*FILES, metadata=path)
    assert column(found, "label") == {
        "Insular/day1/x.wav": "Pelagic",
        "Insular/day2/y.wav": "Insular",
        "Pelagic/Lasker_AC_7/z.wav": "Insular",
        "Unknown/e/u.wav": "Pelagic",
    }
    assert kept(found)["Pelagic/Lasker_AC_7/z.wav"] == {"sighting": "S1"}


@pytest.mark.parametrize(
    "files",
    [
        ("enc_a/x.wav", "enc_a/sub/x2.wav", "enc_b/y.wav", "enc_c/z.wav", "Lasker_AC_1/w.wav"),
        ("2017/enc_a/x.wav", "2017/enc_a/sub/x2.wav", "2018/enc_b/y.wav", "2018/enc_c/z.wav"),
    ],
)
def test_encounters_with_their_labels_in_a_table_only(
    files: tuple[str, ...], scanned: Scanned, table: Table
) -> None:
    path = table("encounter,population", "enc_a,Insular", "enc_b,Pelagic", "Lasker_AC_1,Pelagic")
    labels = () if files[0].startswith("20") else None
    found = scanned(*files, metadata=path, labels=labels)
    by_encounter: dict[str, set[object]] = {}
    for row in found.recordings.itertuples():
        label = None if pd.isna(row.label) else row.label
        by_encounter.setdefault(row.encounter.split("/")[-1], set()).add(label)
    assert by_encounter["enc_a"] == {"Insular"}
    assert by_encounter["enc_b"] == {"Pelagic"}
    # A folder that the table does not name is not a population called enc_c.
    assert by_encounter.get("enc_c", by_encounter.get("2018")) == {None}
    if labels is None:
        assert any("unlabelled" in n and "1 recording." in n for n in found.notices)


def test_an_encounter_name_under_two_labels_is_ambiguous(scanned: Scanned, table: Table) -> None:
    files = ("Insular/day1/x.wav", "Pelagic/day1/y.wav")
    with pytest.raises(ManifestError, match="Insular/day1 and Pelagic/day1"):
        scanned(*files, metadata=table("encounter,population", "day1,Insular"))
    found = scanned(*files, metadata=table("encounter,population", "Pelagic/day1,Insular"))
    assert set(column(found, "label").values()) == {"Insular"}
    assert found.recordings["encounter"].nunique() == 2


def test_relabelling_one_file_does_not_tear_its_encounter(scanned: Scanned, table: Table) -> None:
    files = ("Insular/day1/x.wav", "Insular/day1/y.wav", "Pelagic/day1/z.wav")
    found = scanned(*files, metadata=table("path,label", "Insular/day1/x.wav,Pelagic"))
    encounters = column(found, "encounter")
    assert encounters["Insular/day1/x.wav"] == encounters["Insular/day1/y.wav"]
    assert encounters["Insular/day1/x.wav"] != encounters["Pelagic/day1/z.wav"]
    assert any("Insular/day1 (1 Pelagic, 1 Insular)" in notice for notice in found.notices)


@pytest.mark.parametrize("missing", ["", "NA", "NaN", "N/A", "-"])
def test_missing_cells_are_no_values(missing: str, scanned: Scanned, table: Table) -> None:
    path = table(
        "path,population,encounter,start_utc,outing",
        f"Insular/day1/x.wav,{missing},{missing},{missing},{missing}",
        "Pelagic/Lasker_AC_7/z.wav,Pelagic,Lasker_AC_7,,A",
    )
    found = scanned(*FILES, metadata=path, missing=(missing,))
    assert column(found, "label")["Insular/day1/x.wav"] == "Insular"
    assert column(found, "encounter")["Insular/day1/x.wav"] == "Insular/day1"
    assert kept(found)["Insular/day1/x.wav"]["outing"] == ""


@pytest.mark.parametrize("label", ["NA", "None", "null", "nan", "N/A"])
def test_a_word_for_nothing_is_a_label_and_told(label: str, scanned: Scanned, table: Table) -> None:
    found = scanned(*FILES, metadata=table("path,label", f"Unknown/e/u.wav,{label}"))
    assert column(found, "label")["Unknown/e/u.wav"] == label
    assert any(f"--missing {label}" in notice for notice in found.notices)


@pytest.mark.parametrize("name", ["unknown", "UNID", "Unlabelled"])
def test_unknown_in_the_table_unlabels(name: str, scanned: Scanned, table: Table) -> None:
    found = scanned(*FILES, metadata=table("path,label", f"Insular/day1/x.wav,{name}"))
    assert column(found, "label")["Insular/day1/x.wav"] is None
    assert any("1 rows unlabelled" in notice for notice in found.notices)


def test_a_row_without_an_encounter_names_no_recording(scanned: Scanned, table: Table) -> None:
    found = scanned(
        "Insular/x.wav", "Pelagic/e/y.wav",
        metadata=table("encounter,population", ",Pelagic", "e,Insular"),
    )  # fmt: skip
    assert column(found, "label") == {"Insular/x.wav": "Insular", "Pelagic/e/y.wav": "Insular"}


def test_rows_said_twice_must_agree(scanned: Scanned, table: Table) -> None:
    twice = ("encounter,population", "day1,Pelagic", "day1 ,Pelagic ")
    assert len(scanned(*FILES, metadata=table(*twice)).recordings) == 4
    with pytest.raises(ManifestError, match="two different rows for encounter 'day1'"):
        scanned(*FILES, metadata=table(*twice, "day1,Insular"))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("label,site", "Insular,x"), "has the columns label, site; expected one of path"),
        (("Pfad,label", "/data/Insular/day2/x.wav,Pelagic"), "has the columns Pfad, label"),
        (("File path,label", "Insular/day1/x.wav,Pelagic"), "--columns path=File path"),
        (("path,label", "/data/Insular/day2/x.wav,Pelagic"), "names none of the 4 recordings"),
        (("path,label", "/data/Insular/day2/x.wav,Pelagic"), "--columns file=path"),
        (("encounter,label", "cruise9,Pelagic"), "names none of the 4 recordings"),
        (("path,label",), "names none"),
        (("path,start_utc", "Insular/day1/x.wav,28/07/2017"), "is not a time like"),
        (("path,start_utc", "Insular/day1/x.wav,7/8/2017 3:12"), "is not a time like"),
    ],
)
def test_tables_that_cannot_be_joined_are_errors(
    lines: tuple[str, ...], complaint: str, scanned: Scanned, table: Table
) -> None:
    with pytest.raises(ManifestError, match=complaint):
        scanned(*FILES, metadata=table(*lines))


def test_a_missing_or_unreadable_table_is_an_error(scanned: Scanned, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        scanned(*FILES, metadata=tmp_path / "nowhere.csv")
    (tmp_path / "twice.csv").write_text("path,label,Label\nInsular/day1/x.wav,Pelagic,Insular\n")
    with pytest.raises(TableError, match="two columns of one name"):
        scanned(*FILES, metadata=tmp_path / "twice.csv")


def test_a_broken_row_is_a_problem_and_the_others_are_joined(
    scanned: Scanned, table: Table
) -> None:
    found = scanned(
        *FILES,
        metadata=table(
            "path,note,label", "Insular/day1/x.wav,heard, faintly,Pelagic",
            "Insular/day2/y.wav,faint,Pelagic", "Unknown/e/u.wav,seen",
        ),
    )  # fmt: skip
    assert column(found, "label")["Insular/day1/x.wav"] == "Insular"
    assert column(found, "label")["Insular/day2/y.wav"] == "Pelagic"
    assert found.problems[["path", "reason"]].values.tolist() == [
        ["metadata.csv, line 2", "broken row"]
    ]
    assert kept(found)["Unknown/e/u.wav"] == {"note": "seen"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac_roman"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_any_writing_of_a_table_gives_the_same_labels(
    delimiter: str, encoding: str, line_end: str, scanned: Scanned, tmp_path: Path
) -> None:
    rows = (
        ("Filename", "Population", "Sighting", "Depth", "Note"),
        ("Insular/day1/x.wav", "Québec", "S1", '"21,5"', '"whistle?'),
        ("", "", "", "", ""),
        ("Insular/day2/y.wav", "Tromsø", "S2", '"3,0"', "faint"),
        ("Unknown/e/u.wav", "Québec", "S3", '"0,25"', '"burst"?'),
    )
    path = tmp_path / "sightings.csv"
    text = line_end.join(delimiter.join(row) for row in rows)
    path.write_bytes(text.encode(encoding))
    columns = {"path": "Filename", "label": "Population", "encounter": "Sighting"}
    found = scanned(*FILES, metadata=path, columns=columns)
    assert column(found, "label") == {
        "Insular/day1/x.wav": "Québec", "Insular/day2/y.wav": "Tromsø",
        "Pelagic/Lasker_AC_7/z.wav": "Pelagic", "Unknown/e/u.wav": "Québec",
    }  # fmt: skip
    assert column(found, "encounter")["Unknown/e/u.wav"] == "S3"
    assert kept(found)["Insular/day1/x.wav"]["Depth"] == "21,5"
    assert (
        sum("sightings.csv: " in notice and "Filename" in notice for notice in found.notices) == 1
    )


ELSEWHERE = (
    "/Volumes/Disk/HICEAS/{}", "/Users/me/{}", "../{}",
    "C:\\data\\{}", "\\\\server\\share\\{}", ".\\{}",
    "Macintosh HD:field:{}", "survey/{}", "{}",
)  # fmt: skip


@pytest.mark.parametrize("header", ["path", "file", "Filename"])
@pytest.mark.parametrize("shape", ELSEWHERE)
def test_paths_of_other_machines_join_by_their_ends(
    shape: str, header: str, scanned: Scanned, table: Table
) -> None:
    files = ("Insular/day1/x.wav", "Pelagic/day1/x.wav", "Pelagic/day2/x.wav")
    between = ":" if "HD:" in shape else "\\" if "\\" in shape else "/"
    rows = [
        f"{shape.format(file.replace('/', between))},{label}"
        for file, label in zip(files, ("A", "B", "C"), strict=True)
    ]
    found = scanned(*files, metadata=table(f"{header},label", *rows))
    assert list(column(found, "label").values()) == ["A", "B", "C"]


def test_a_path_of_another_folder_is_not_joined(scanned: Scanned, table: Table) -> None:
    files = ("tape2/001.wav", "tape3/001.wav")
    rows = ("D:/tapes/tape7/001.wav,A", "D:/tapes/tape2/001.wav,B")
    found = scanned(*files, metadata=table("path,label", *rows), labels=())
    assert list(column(found, "label").values()) == ["B", None]


@pytest.mark.parametrize("root", ["/data/survey", "D:\\survey"])
def test_the_row_with_the_longest_common_end_wins(
    root: str, scanned: Scanned, table: Table
) -> None:
    rows = (f"{root}/x.wav,A", "elsewhere/x.wav,B")
    found = scanned("x.wav", "Insular/y.wav", metadata=table("path,label", *rows))
    assert column(found, "label")["x.wav"] == "A"
    with pytest.raises(ManifestError, match="two different rows"):
        scanned("x.wav", metadata=table("path,label", "one/x.wav,A", "two/x.wav,B"))


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"path": "Filenam"}, "Did you mean 'Filename'"),
        ({"name": "Filename"}, "unknown meaning"),
        ({"label": "Population"}, "--columns path=Filename_2017"),
    ],
)
def test_columns_that_are_not_there_are_guessed_at(
    columns: dict[str, str], complaint: str, scanned: Scanned, table: Table
) -> None:
    name = "Filename_2017" if "label" in columns else "Filename"
    path = table(f"{name},Population", "x.wav,A")
    with pytest.raises(ManifestError, match=complaint):
        scanned(*FILES, metadata=path, columns=columns)


def test_a_byte_order_mark_is_not_part_of_a_column(scanned: Scanned, tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes("path,label\r\nInsular/day1/x.wav,Pelagic\r\n".encode("utf-8-sig"))
    assert column(scanned(*FILES, metadata=path), "label")["Insular/day1/x.wav"] == "Pelagic"


def test_real_metadata_groups_by_outing(watkins: Path, scanned_watkins: Manifest) -> None:
    found = scan(watkins, options=ScanOptions(metadata=watkins / "metadata.csv"))
    assert column(found, "label") == column(scanned_watkins, "label")
    assert found.recordings["encounter"].nunique() == 35
    assert not any("changed the label" in notice for notice in found.notices)
    clips = cut(found.recordings, ClipOptions(max_per_recording=10))[0]
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    outings = group_values(clips, found.recordings, "outing")
    assert 10 < outings.nunique() < 34
    folds = make_folds(clips, found.recordings, Split("leave-one-outing-out"))
    for _, _, train, test in folds:
        assert len(set(outings[test])) == 1
        assert not set(outings[train]) & set(outings[test])

"""What is written reads back: to the same times, the same names, whole or not at all."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import PseudorcaError
from pseudorca.evaluation.trust import Trust
from pseudorca.formats.raven import RAVEN_COLUMNS
from pseudorca.formats.registry import FORMATS
from pseudorca.formats.whole import write_tables
from pseudorca.learning.calibration import Calibrator, Prior
from pseudorca.learning.units import aggregate
from pseudorca.prediction import files as formats
from pseudorca.prediction.decisions import Rule, decide
from pseudorca.prediction.detections import find_detections
from pseudorca.prediction.files import PredictionFiles, read_table
from pseudorca.prediction.options import check_csv
from pseudorca.prediction.predictor import _readable
from pseudorca.recordings.clips import ClipOptions, cut, read_raven
from pseudorca.recordings.manifest import scan_files
from pseudorca.store import problem_table, shown_problems

from .conftest import summarise_effort, write_predictions

Make = Callable[..., pd.DataFrame]

ODD = [
    "a,b",
    'say "hi"',
    "tab\there",
    "line\nbreak",
    "feed\rback",
    "Nai‘a 鯨 é",
    "=1+1",
    " spaces ",
]

NO_PROBLEMS = shown_problems(problem_table([]))


def tables(clips: pd.DataFrame, problems: pd.DataFrame = NO_PROBLEMS) -> dict[str, pd.DataFrame]:
    encounters = pd.DataFrame(
        {
            "encounter": ["Sette_AC_1", "Sette_AC_2", "Sette_AC_3"],
            "decision": ["Insular", "undecided", "NA"],
            "n_moments": [3, 1, 9],
        }
    )
    return {"clip": clips, "encounter": encounters, "problem": problems}


def read_tabs(path: Path) -> list[list[str]]:
    """Cells as a program reads them that knows no quotes."""
    return [line.split("\t") for line in path.read_text("utf-8").removesuffix("\n").split("\n")]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def survey(recordings: Make) -> pd.DataFrame:
    """Two files that follow each other at 48 kHz, one at 600 Hz, one without a time."""
    day = {"platform": "A", "duration_s": 20.5}
    return recordings(
        day | {"start_utc": "2020-01-01T00:00:00"},
        day | {"start_utc": "2020-01-01T00:00:20"},
        day | {"start_utc": "2020-01-01T01:00:00", "sample_rate": 600},
        {"path": "B/x0.wav", "duration_s": 9.0, "n_channels": 6},
    )


@pytest.fixture
def said(clips: Make) -> pd.DataFrame:
    return clips(
        (0, 0.0, 3.0, "Insular"), (0, 3.0, 6.0, "Insular"), (0, 6.0, 9.0, "undecided"),
        (0, 15.0, 18.0, "Pelagic"), (1, 0.25, 3.25, "Pelagic"), (2, 3.0, 6.0, "Insular"),
        (3, 3.0, 6.0, "Insular"), (3, 6.0, 9.0, "none of the classes"),
        probabilities=[0.6, 0.8, 0.5, 0.9, 0.7, 0.95, 0.66, 0.7],
    )  # fmt: skip


# CSV and Parquet


def test_tables_read_back_with_any_text(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"path": [f"{odd}.wav" for odd in ODD], "p_a,b": np.linspace(0, 1, len(ODD))}
    )
    assert write_tables({"clip": table}, tmp_path) == [tmp_path / "clips.csv"]
    write_tables({"clip": table}, tmp_path, kind="parquet")
    assert [row[0] for row in read_csv(tmp_path / "clips.csv")[1:]] == table["path"].tolist()
    for back in (pd.read_csv(tmp_path / "clips.csv"), pd.read_parquet(tmp_path / "clips.parquet")):
        pd.testing.assert_frame_equal(back, table, check_dtype=False)


def test_an_unknown_format_is_refused_before_anything_is_written(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    with pytest.raises(PseudorcaError, match=r"unknown format 'csb'\. Did you mean 'csv'"):
        write_tables({}, tmp_path, kind="csb")
    with pytest.raises(PseudorcaError, match=r"unknown format 'Raven'\. Did you mean 'raven'"):
        write_predictions(tables(said), survey, tmp_path / "new", kinds=("csv", "Raven"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_appears_whole_or_not_at_all(
    kind: str,
    tmp_path: Path,
    said: pd.DataFrame,
    survey: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = write_predictions(tables(said), survey, tmp_path, kinds=(kind,))[kind]
    before = {path: path.read_bytes() for path in written}

    def there() -> list[Path]:
        return [path for path in tmp_path.rglob("[!.]*") if path.is_file()]

    assert sorted(before) == sorted(there())

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats.Path, "replace", full)
    with pytest.raises(PseudorcaError, match=r"cannot be written: No space left on device.*--out"):
        write_predictions(tables(said[:1]), survey, tmp_path, kinds=(kind,))
    assert {path: path.read_bytes() for path in there()} == before


def test_files_of_a_killed_run_do_not_outlive_the_next(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    killed = PredictionFiles(tmp_path, survey, kinds=("raven", "audacity"))  # never left
    killed.add({"clip": said}, survey)
    written = [*tmp_path.glob("raven/*.txt"), *tmp_path.glob("audacity/*.txt")]
    assert len(written) == 2 * len(survey)
    write_predictions(tables(said), survey, tmp_path, kinds=("csv",))
    assert not any(path.exists() for path in written)


def test_files_of_another_format_do_not_outlive_the_run_that_replaces_them(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    old = write_predictions(tables(said), survey, tmp_path, kinds=("csv", "raven", "audacity"))
    new = write_predictions(tables(said), survey, tmp_path, kinds=("csv", "audacity"))
    assert not any(path.exists() for path in old["raven"])
    assert all(path.exists() for paths in new.values() for path in paths)
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_portions_make_the_files_that_all_at_once_make(
    kind: str, tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    written = write_predictions(tables(said), survey, tmp_path / "a", kinds=(kind,))[kind]
    with PredictionFiles(tmp_path / "b", survey, kinds=(kind,)) as files:
        for recording in survey["recording_id"]:
            some = survey[survey["recording_id"] == recording]
            files.add({"clip": said[said["recording_id"] == recording]}, some)
        rest = {name: table for name, table in tables(said).items() if name != "clip"}
        again = files.finish(rest)[kind]

    def text(folder: str, paths: list[Path]) -> dict[str, list[str]]:
        read = {p: p.read_text().splitlines() for p in paths if p.suffix != ".parquet"}
        read |= {
            p: pd.read_parquet(p).to_csv().splitlines() for p in paths if p.suffix == ".parquet"
        }
        return {p.relative_to(tmp_path / folder).as_posix(): lines for p, lines in read.items()}

    assert text("a", written) == text("b", again)


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_said_is_written_too(
    kind: str, tmp_path: Path, clips: Make, survey: pd.DataFrame
) -> None:
    nothing = {"clip": clips(), "encounter": pd.DataFrame(columns=["encounter", "decision"])}
    written = write_predictions(nothing, survey, tmp_path, kinds=(kind,))[kind]
    assert written
    assert all(path.exists() for path in written)


# How far to trust the names

TRUST = Trust("encounter", 0.78, 0.59, 0.88, 0.5, 21, verdict="recorder")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_verdict_stands_beside_every_format_of_another_program(
    kind: str, tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    write_predictions(tables(said), survey, tmp_path, kinds=(kind,), trust=TRUST)
    readme = tmp_path / "README.md"
    assert readme.exists() == (kind not in ("csv", "parquet"))
    if readme.exists():
        text = readme.read_text()
        for fact in ("recorder", "0.78", "0.59", "0.88", kind):
            assert fact in text
        write_predictions(tables(said), survey, tmp_path, kinds=("csv",), trust=TRUST)
        assert not readme.exists()


def test_the_verdict_stands_in_columns_where_a_format_has_room(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    kinds = tuple(FORMATS)
    written = write_predictions(tables(said), survey, tmp_path, kinds=kinds, trust=TRUST)
    expected = {"Held Out Accuracy": "0.78", "Held Out Low": "0.59", "Held Out High": "0.88",
                "Held Out Split": "encounter", "Stricter Accuracy": "", "Stricter Low": "",
                "Stricter High": "", "Stricter Split": "", "Audit": "recorder"}  # fmt: skip
    for path in written["raven"]:
        header, *rows = read_tabs(path)
        assert header == [*RAVEN_COLUMNS, *expected]
        assert all(row[len(RAVEN_COLUMNS) :] == [*expected.values()] for row in rows)
    header, *rows = read_csv(written["birdnet"][0])
    assert header[6:] == list(TRUST.columns())
    assert all(row[6:] == [*expected.values()] for row in rows)
    assert rows
    # These have no room: a column more would be a class, a predictor or a part of a label.
    assert len(read_csv(written["banter"][0])[0]) == 2
    assert not set(TRUST.columns()) & set(read_csv(written["opensoundscape"][0])[0])
    assert all(len(row) == 3 for path in written["audacity"] for row in read_tabs(path) if row[0])
    # What is known changes nothing of what reads back.
    per_file = [path for path in written["raven"] if path.parent.name == "raven"]
    plain = write_predictions(tables(said), survey, tmp_path / "plain", kinds=("raven",))["raven"]
    plain = [path for path in plain if path.parent.name == "raven"]
    both = (read_raven(paths, survey).stretches for paths in (per_file, plain))
    pd.testing.assert_frame_equal(*both)


def test_a_classifier_that_nobody_tried_says_so(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    written = write_predictions(tables(said), survey, tmp_path, kinds=("raven",), trust=Trust())
    header, *rows = read_tabs(written["raven"][0])
    assert all(dict(zip(header, row, strict=True))["Audit"] == "not audited" for row in rows)
    assert "pseudorca audit" in (tmp_path / "README.md").read_text()


# Raven


def test_raven_tables_read_back_to_the_same_times(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    paths = write_predictions(
        tables(said), survey, tmp_path, kinds=("raven",), max_gap_s=None
    )["raven"]  # fmt: skip
    per_file = [path for path in paths if path.parent.name == "raven"]
    assert len(per_file) == len(survey)  # where nothing was heard, an empty one says so
    expected = said[said["decision"].isin(["Insular", "Pelagic"])]
    expected = list(
        expected[["recording_id", "start_s", "end_s"]].itertuples(index=False, name=None)
    )
    for tables_read in (per_file, [path for path in paths if path not in per_file]):
        back = read_raven(tables_read, survey).stretches
        assert set(back["channel"]) == {"", "1"}
        back = back.sort_values(["recording_id", "start_s"])
        found = list(back[["recording_id", "start_s", "end_s"]].itertuples(index=False, name=None))
        assert found == expected


def test_ravens_columns_say_what_raven_expects(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    write_predictions(
        tables(said), survey, tmp_path, kinds=("raven",), band_hz=(100.0, 15_040.0), channel=2
    )
    folder = tmp_path / "raven"
    names = [path.name for path in sorted(folder.iterdir())]
    assert names == [
        "x0.rec0.Table.1.selections.txt", "x0.rec3.Table.1.selections.txt",
        "x1.Table.1.selections.txt", "x2.Table.1.selections.txt",
    ]  # fmt: skip
    assert read_tabs(folder / "x1.Table.1.selections.txt") == [
        list(RAVEN_COLUMNS),
        ["1", "Spectrogram 1", "1", "0.250000000", "3.250000000", "100.0", "15040.0", "x1.wav",
         "/sea/x1.wav", "0.250000000", "Pelagic", "0.7000", "0.7000", "1", "e",
         "2020-01-01T00:00:20.250+00:00"],
    ]  # fmt: skip
    merged = read_tabs(folder / names[0])[1]
    assert merged[3:5] == ["0.000000000", "6.000000000"]
    assert merged[10:14] == ["Insular", "0.7000", "0.8000", "2"]
    assert read_tabs(folder / names[1])[1][2] == "2"  # of six channels the one that was heard
    assert read_tabs(folder / "x2.Table.1.selections.txt")[1][5:7] == ["100.0", "300.0"]


def test_begin_time_runs_on_over_the_files_of_a_deployment(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    write_predictions(tables(said), survey, tmp_path, kinds=("raven",))
    folder = tmp_path / "raven_deployments"
    assert sorted(path.name.split(".Table")[0] for path in folder.iterdir()) == [
        "A 48000 Hz 1 ch", "A 600 Hz 1 ch", "B",
    ]  # fmt: skip
    rows = read_tabs(folder / "A 48000 Hz 1 ch.Table.1.selections.txt")[1:]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [row[3] for row in rows] == ["0.000000000", "15.000000000", "20.750000000"]
    assert [row[7] for row in rows] == ["x0.wav", "x0.wav", "x1.wav"]
    assert [row[9] for row in rows] == ["0.000000000", "15.000000000", "0.250000000"]


@pytest.mark.parametrize("odd", ["silent", "none", "short", "copy", "nan"])
def test_every_file_of_a_deployment_counts_usable_or_not(
    odd: str, tmp_path: Path, clips: Make
) -> None:
    sounds = np.random.default_rng(0).normal(0, 0.1, (4, 48_000))
    lengths = [6.0, 6.0, 6.0, 6.0]
    if odd == "silent":
        sounds[1] = 0
    elif odd == "copy":
        sounds[1] = sounds[0]
    elif odd == "nan":
        sounds[1, 5] = np.nan
    folder = tmp_path / "Sette"
    folder.mkdir()
    for k, sound in enumerate(sounds):
        path = folder / f"PAM_20170728_0312{6 * k:02d}_000.wav"
        sound = sound[:100] if (odd, k) == ("short", 1) else sound
        sf.write(path, sound, 8_000, "FLOAT")
        if (odd, k) == ("none", 1):
            path.write_bytes(b"")
    lengths[1] = {"none": 0.0, "short": 100 / 8_000}.get(odd, 6.0)
    found = scan_files([folder])
    assert len(found.recordings) == 3
    files = found.recordings.sort_values("path", ignore_index=True)
    said = clips((0, 0.0, 3.0, "Insular"), (1, 0.0, 3.0, "Insular"), (2, 1.0, 3.0, "Insular"))
    said["recording_id"] = files["recording_id"].tolist()
    write_predictions(
        tables(said), files, tmp_path / "out", kinds=("raven",), unusable=found.unusable
    )
    (path,) = (tmp_path / "out" / "raven_deployments").iterdir()
    begins = [float(row[3]) for row in read_tabs(path)[1:]]
    places = [0, 2, 3] if found.problems["path"].str.contains("_031206_").all() else [1, 2, 3]
    ends = np.cumsum([0.0, *lengths])
    assert begins == pytest.approx([ends[place] + start for place, start in zip(
        places, (0.0, 0.0, 1.0), strict=True)])  # fmt: skip


def test_an_unusable_channel_of_a_usable_moment_counts_once(tmp_path: Path, clips: Make) -> None:
    rng = np.random.default_rng(0)
    for second in ("00", "06"):
        for channel in (1, 2):
            sound = rng.normal(0, 0.1, 48_000) * (channel == 1)
            sf.write(tmp_path / f"Sette_20170728_0312{second}_ch{channel}.wav", sound, 8_000)
    found = scan_files([tmp_path])
    files = found.recordings.sort_values("path", ignore_index=True)
    said = clips((0, 0.0, 3.0, "Insular"), (1, 0.0, 3.0, "Insular"))
    said["recording_id"] = files["recording_id"].tolist()
    write_predictions(
        tables(said), files, tmp_path / "out", kinds=("raven",), unusable=found.unusable
    )
    (path,) = (tmp_path / "out" / "raven_deployments").iterdir()
    assert len(found.unusable) == 2
    assert [float(row[3]) for row in read_tabs(path)[1:]] == [0.0, 6.0]


def test_a_copy_in_another_folder_counts_once(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 8_000)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sf.write(tmp_path / folder / "PAM_20170728_031200_000.wav", sound, 8_000)
    found = scan_files([tmp_path])
    assert len(found.recordings) == len(found.problems) == 1
    assert found.unusable.empty


def runs(cell: str) -> bool:
    """Whether a spreadsheet runs a cell: what it begins with, unless it is a number."""
    begins = cell.strip()[:1] in tuple("=+-@") or cell[:1] in tuple("\t\r\n")
    return begins and not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell)


FORMULAS = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    " =1",
    "'=1",
    "-",
    "a=b",
)


@pytest.mark.parametrize("odd", [*ODD, *FORMULAS])
def test_no_cell_for_excel_runs_and_all_are_read_back(
    odd: str, tmp_path: Path, clips: Make, recordings: Make
) -> None:
    files = recordings({"path": f"{odd}.wav", "platform": odd, "encounter": odd})
    said = clips((0, 0.5, 3.0, odd)).assign(
        encounter=odd, path=f"{odd}.wav", novelty=-0.5, **{f"p_{odd}": 0.9}
    )
    written = write_predictions(tables(said), files, tmp_path, kinds=("csv",), for_excel=True)
    for path in written["csv"]:
        assert path.read_bytes().startswith(b"\xef\xbb\xbf")
        assert path.read_bytes().count(b"\xef\xbb\xbf") == 1
        assert not any(runs(cell) for row in read_csv(path) for cell in row)
    raw = pd.read_csv(tmp_path / "clips.csv")
    assert raw["novelty"].tolist() == [-0.5]
    _, back = read_table(tmp_path, "clip", ["csv"])
    assert back["path"].tolist() == [f"{odd}.wav"]
    assert back["encounter"].tolist() == [odd]


def test_two_recorders_of_one_prefix_are_two_deployments(
    tmp_path: Path, clips: Make, recordings: Make
) -> None:
    files = recordings(
        {"path": "Lasker/PAM_x.wav", "recorder": "Lasker/PAM", "platform": "PAM"},
        {"path": "Sette/PAM_x.wav", "recorder": "Sette/PAM", "platform": "PAM"},
    )
    said = clips((0, 0.0, 3.0, "Insular"), (1, 0.0, 3.0, "Insular"))
    write_predictions(tables(said), files, tmp_path, kinds=("raven",))
    names = {path.name.split(".Table")[0] for path in (tmp_path / "raven_deployments").iterdir()}
    assert names == {"Lasker_PAM", "Sette_PAM"}


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([50, 600, 8_000, 500_000]),
    low=st.floats(0, 1e5),
    width=st.floats(1, 1e5),
)
def test_no_selection_lies_above_nyquist(
    rate: int,
    low: float,
    width: float,
    tmp_path_factory: pytest.TempPathFactory,
    clips: Make,
    recordings: Make,
) -> None:
    files = recordings({"sample_rate": rate})
    folder = tmp_path_factory.mktemp("raven")
    path = write_predictions(
        tables(clips((0, 0.0, 3.0, "Insular"))), files, folder, kinds=("raven",),
        band_hz=(low, low + width),
    )["raven"][0]  # fmt: skip
    cells = read_tabs(path)[1]
    assert 0 <= float(cells[5]) <= float(cells[6]) <= rate / 2


def test_channels_of_a_moment_each_have_a_table_and_count_once(
    tmp_path: Path, clips: Make, recordings: Make
) -> None:
    both = {"platform": "A", "start_utc": "2020-01-01T00:00:00", "moment_id": "m"}
    files = recordings(both | {"path": "x_ch01.wav"}, both | {"path": "x_ch02.wav"})
    write_predictions(
        tables(clips((0, 0.0, 3.0, "Insular"))), files, tmp_path,
        kinds=("raven", "audacity", "birdnet", "opensoundscape"),
    )  # fmt: skip
    for name in ("x_ch01", "x_ch02"):
        rows = read_tabs(tmp_path / "raven" / f"{name}.Table.1.selections.txt")
        assert [row[8] for row in rows[1:]] == [f"/sea/{name}.wav"]
        assert (tmp_path / "audacity" / f"{name}.txt").read_text() == (
            "0.000000\t3.000000\tInsular\n"
        )
    assert len(read_tabs(tmp_path / "raven_deployments" / "A.Table.1.selections.txt")) == 2
    assert len(read_csv(tmp_path / "birdnet.csv")) == 2
    assert len(read_csv(tmp_path / "opensoundscape.csv")) == 2


@pytest.mark.parametrize("odd", [*ODD, '"quoted"', "back\\slash", "bell\x07", "\\rank"])
def test_odd_names_survive_or_are_replaced_in_sight(
    odd: str, tmp_path: Path, clips: Make, recordings: Make
) -> None:
    files = recordings({"path": f"{odd}/{odd}.wav", "platform": odd, "encounter": odd})
    said = clips((0, 0.5, 3.0, odd)).assign(encounter=odd)
    written = write_predictions(tables(said), files, tmp_path, kinds=tuple(FORMATS))
    audacity = read_tabs(written["audacity"][0])
    assert [len(row) for row in audacity] == [3]
    for path in written["raven"]:
        rows = read_tabs(path)
        assert [len(row) for row in rows] == [len(RAVEN_COLUMNS)] * 2
        shown = rows[1][10]
        assert len(shown) == len(odd)
        assert shown == audacity[0][2]
        if not set(odd) & set('\t\n\r\x07"'):
            assert (shown, rows[1][8]) == (odd, f"/sea/{odd}/{odd}.wav")
            assert read_raven([path], files).stretches["start_s"].tolist() == [0.5]
        # Programs that know quotes read the same cells.
        assert pd.read_csv(path, sep="\t").loc[0, "Decision"].strip() == shown.strip()
    birdnet = read_csv(written["birdnet"][0])[1]
    assert birdnet == ["0.5", "3.0", odd, odd, "0.9", f"/sea/{odd}/{odd}.wav"]
    assert read_csv(written["opensoundscape"][0])[1][0] == f"/sea/{odd}/{odd}.wav"


def test_long_and_like_names_do_not_overwrite_each_other(
    tmp_path: Path, clips: Make, recordings: Make
) -> None:
    names = [
        "a/x.wav",
        "b/X.WAV",
        "c/é.wav",
        "d/e\u0301.wav",
        f"{'鯨' * 83}1.wav",
        f"{'鯨' * 83}2.wav",
    ]
    files = recordings(*({"path": name} for name in names))
    written = write_predictions(tables(clips()), files, tmp_path, kinds=("audacity",))["audacity"]
    assert len({path.name.casefold() for path in written}) == len(names)
    assert all(path.exists() for path in written)


# The others


def test_opensoundscape_has_nan_where_a_file_failed(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    problems = pd.DataFrame(
        {
            "path": ["gone.wav", "x2.wav", "x2.wav"], "stage": "embed", "reason": "r", "detail": "",
        }
    )  # fmt: skip
    path = write_predictions(tables(said, problems), survey, tmp_path, kinds=("opensoundscape",))[
        "opensoundscape"
    ][0]
    table = pd.read_csv(path, index_col=[0, 1, 2])
    assert table.index.names == ["file", "start_time", "end_time"]
    assert list(table.columns) == ["Insular", "Pelagic"]
    assert len(table) == len(said) + 2
    assert table.loc[("/sea/x0.wav", 3.0, 6.0), "Insular"].item() == 0.8
    failed = table[table["Insular"].isna()]
    assert failed.index.get_level_values("file").tolist() == ["gone.wav", "/sea/x2.wav"]
    assert failed.index.get_level_values("start_time").isna().all()


def test_birdnet_holds_what_was_named(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    write_predictions(tables(said), survey, tmp_path, kinds=("birdnet",))
    rows = read_csv(tmp_path / "birdnet.csv")
    assert rows[0] == [
        "Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File",
    ]  # fmt: skip
    assert rows[1] == ["0.0", "3.0", "Insular", "Insular", "0.6", "/sea/x0.wav"]
    assert len(rows) == 1 + 6


def test_banter_has_two_columns_and_only_events_with_a_species(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    write_predictions(tables(said), survey, tmp_path, kinds=("banter",))
    assert read_csv(tmp_path / "banter.csv") == [
        ["event.id", "species"], ["Sette_AC_1", "Insular"], ["Sette_AC_3", "NA_"],
    ]  # fmt: skip


def test_audacity_labels_are_start_end_name(
    tmp_path: Path, said: pd.DataFrame, survey: pd.DataFrame
) -> None:
    write_predictions(tables(said), survey, tmp_path, kinds=("audacity",))
    assert (tmp_path / "audacity" / "x0.rec0.txt").read_text("utf-8") == (
        "0.000000\t6.000000\tInsular\n15.000000\t18.000000\tPelagic\n"
    )


# Real recorders


@pytest.mark.slow
def test_real_recordings_of_many_kinds_read_back(tmp_path: Path, hydrophones: Path) -> None:
    """Scores are drawn; tables, times and files are as in ``predict``."""
    folders = ("pypam_300s_8k", "array_6ch_32k_24bit", "whaledr_ooi", "finback_600hz")
    found = scan_files([hydrophones / name for name in folders])
    files, classes = found.recordings, ["Insular", "Pelagic"]
    clips, _ = cut(files, ClipOptions())
    p = np.random.default_rng(1).beta(0.4, 0.4, size=len(clips)).clip(1e-6, 1 - 1e-6)
    by_unit = {}
    for unit in ("clip", "encounter"):
        units = aggregate(clips, files, np.log(np.stack([p, 1 - p], axis=1)), unit)
        half = Prior("uniform", np.array([0.5, 0.5]))
        decided, probabilities = decide(
            units, Calibrator(classes), Rule(half, min_probability=0.8),
            unit=unit, classifier_id="c", trained=half,
        )  # fmt: skip
        heard: dict[str, set[str]] = {
            "moments": set(), "encounters": set(), "recordings": set(),
        }  # fmt: skip
        known = files if unit == "clip" else None
        by_unit[unit] = _readable(units, decided, probabilities, known, classes, heard)
    said = by_unit["clip"]
    detections = find_detections(said, files, max_gap_s=3.0)
    ran_on = detections[detections["recording_id"] != detections["end_recording_id"]]
    assert set(ran_on["recorder"]) == {"67416073"}
    for period in ("hour", "day"):
        by_unit[period] = summarise_effort(said, files, detections, per=period)
        recorded = by_unit[period].groupby("recorder")["recorded_s"].sum()
        # Of three files of five minutes, each ends a little after the next one begins.
        assert recorded["67416073"] == pytest.approx(900.012375)
    written = write_predictions(
        by_unit | {"detection": detections, "problem": found.problems}, files, tmp_path,
        kinds=tuple(FORMATS), max_gap_s=3.0, band_hz=(100.0, 15_040.0),
    )  # fmt: skip

    within = find_detections(said, files, max_gap_s=3.0, across_files=False)
    expected = within[["recording_id", "start_s", "end_s"]].sort_values(["recording_id", "start_s"])
    per_file = [path for path in written["raven"] if path.parent.name == "raven"]
    for paths in (per_file, [path for path in written["raven"] if path not in per_file]):
        back = read_raven(paths, files).stretches.sort_values(["recording_id", "start_s"])
        assert back["recording_id"].tolist() == expected["recording_id"].tolist()
        np.testing.assert_allclose(back["start_s"], expected["start_s"], atol=1e-9)
        np.testing.assert_allclose(back["end_s"], expected["end_s"], atol=1e-9)
    rate_of = files.set_index("path")["sample_rate"]
    for path in written["raven"]:
        table = pd.read_csv(path, sep="\t")
        rates = table["Begin Path"].map(lambda whole: rate_of[Path(whole).name])
        assert (table["High Freq (Hz)"] == np.minimum(15_040, rates / 2)).all()
        assert table["Selection"].tolist() == list(range(1, len(table) + 1))
        assert (table["Begin Time (s)"] < table["End Time (s)"]).all()
    back = pd.read_csv(written["opensoundscape"][0], index_col=[0, 1, 2])
    np.testing.assert_allclose(back.to_numpy(), said[["p_Insular", "p_Pelagic"]].to_numpy())


def test_a_style_of_csv_needs_csv() -> None:
    check_csv("plain", ["parquet"])
    for csv_style, kinds in (("excel", ["parquet"]), ("exel", ["csv"])):
        with pytest.raises(PseudorcaError, match="--csv"):
            check_csv(csv_style, kinds)

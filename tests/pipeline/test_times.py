"""Local times, names without a time, and projects of versions that knew neither."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pseudorca.prediction.predict import decide_project, predict_project
from pseudorca.recordings.options import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.recordings.timeline import timeline
from pseudorca.store import Store

ADDED = ["time_zone", "time_source", "recorder"]


def test_tables_give_local_time_beside_utc_where_a_zone_is_known(
    trained: Store, survey: Path
) -> None:
    options = ScanOptions(time_zone="Pacific/Honolulu")
    result = predict_project(trained, [survey / "Unknown"], options=options, max_gap_s=1.0)
    assert len(result.clips)
    for table in ("clips", "recordings", "detections", "hours", "days", "gaps"):
        rows = pd.read_csv(result.output / f"{table}.csv")
        for end in ("start", "end") if table in ("detections", "gaps") else ("start",):
            utc = pd.to_datetime(rows[f"{end}_utc"], utc=True, format="ISO8601")
            local = pd.to_datetime(rows[f"{end}_local"], utc=True, format="ISO8601")
            assert (utc == local).all()
            assert rows[f"{end}_local"].str.endswith("-10:00").all()
    first = result.recordings.sort_values("path").iloc[0]
    assert first["start_local"] == "2017-07-10T03:12:00-10:00"
    again = decide_project(trained)
    assert again.clips["start_local"].tolist() == result.clips["start_local"].tolist()


def test_tables_without_a_zone_hold_no_local_time(trained: Store, survey: Path) -> None:
    result = predict_project(trained, [survey / "Unknown"])
    for table in ("clips", "recordings", "detections", "hours", "gaps"):
        assert "start_local" not in pd.read_csv(result.output / f"{table}.csv")


def test_predict_says_what_names_do_not_tell(trained: Store, survey: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mooring"
    folder.mkdir()
    (folder / "$RECYCLE.BIN").mkdir()
    for k, path in enumerate(sorted((survey / "Unknown").rglob("*.wav"))[:4]):
        shutil.copy(path, folder / f"tape_{k}.wav")
        shutil.copy(path, folder / "$RECYCLE.BIN" / f"old_{k}.wav")
    result = predict_project(trained, [folder])
    assert any(text.startswith("4 of 4 names tell no time") for text in result.notices)
    assert any(text.startswith("4 files that systems leave") for text in result.notices)
    scan_project(trained, folder, ScanOptions(labels=()), replace=True)
    result = predict_project(trained)  # the project's own
    assert any(text.startswith("4 of 4 names tell no time") for text in result.notices)


@pytest.mark.parametrize("table", ["recordings", "predicted"])
def test_a_project_from_before_these_columns_is_read_and_written(
    table: str, trained: Store, survey: Path
) -> None:
    predict_project(trained, [survey / "Unknown"], set_name="first")
    old = trained._database.open_table(table).to_arrow().drop_columns(ADDED)
    trained._database.create_table(table, old, mode="overwrite")
    rows = trained.read(table)
    assert rows[ADDED].isna().all(axis=None)
    assert set(timeline(rows)["recorder"]) == {"Lasker"}
    predict_project(trained, [survey / "Unknown" / "Lasker_AC_90"], set_name="second")
    assert decide_project(trained, set_name="first").n_encounters == 4
    scan_project(trained, survey)
    assert set(trained.read("recordings")["recorder"]) == {"Lasker"}

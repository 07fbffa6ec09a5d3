"""A project's tables: what is written comes back, whatever happens in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pseudorca.access import locked
from pseudorca.errors import StoreError
from pseudorca.recordings.clips import cut
from pseudorca.recordings.manifest import scan
from pseudorca.store import Store, problem_table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "project", create=True)


def problems(
    *paths: str | None, stage: str = "scan", reason: str | None = "silent"
) -> pd.DataFrame:
    rows = [(path, stage, reason, "") for path in paths]
    return problem_table(rows)


TABLES: dict[str, pd.DataFrame] = {
    "recordings": pd.DataFrame(
        {
            "recording_id": ["a", "b"], "root": "/sea", "path": ["Insular/x.wav", "Ünï/ç\\'\"x.wav"],
            "content_hash": ["aa", "bb"], "hash_kind": ["samples", "blocks"], "format": "WAV/PCM_24",
            "sample_rate": [50, 1_000_000], "n_channels": [1, 64], "n_frames": [256, 2**40],
            "duration_s": [5.12, 1e6 / 3], "peak": [1e-9, 37.5],
            "start_utc": pd.to_datetime([None, "2017-07-28T03:12:59.885123Z"], utc=True).astype(
                "datetime64[us, UTC]"
            ),
            "time_zone": [None, "Pacific/Honolulu"], "time_source": [None, "name"],
            "label": [None, "Insular"], "encounter": "Insular/day1", "platform": [None, "Lasker"],
            "recorder": [None, "Lasker/PAM"],
            "channel": pd.array([None, 5], dtype="Int64"), "selection": [None, "02"],
            "moment_id": ["m", "n"], "fingerprint": ["1 2", None],
            "metadata": ['{"site": "Kona \\u00e9"}', "{}"], "holes": [None, "[[0.5, 2.25]]"],
        }
    ),
    "problems": problems("x.wav", None, "", reason=None),
    "clips": pd.DataFrame(
        {
            "clip_id": ["c", "d"], "recording_id": "a", "moment_id": "m", "channel": ["mean", "1"],
            "start_s": [0.0, 1 / 3], "end_s": [3.0, 1e5], "padded_s": [0.0, 0.1], "pad": ["", "tile"],
            "label": [None, None], "encounter": "e",
        }
    ),
    "scores": pd.DataFrame(
        {
            "clip_id": ["c", "d"], "classifier_id": "k", "split_id": "", "repeat": [0, 4],
            "fold": [-1, 2], "population": "Insular", "score": [-0.1, -np.inf],
            "set_name": ["", "mooring 'A'"],
        }
    ),
    "decisions": pd.DataFrame(
        {
            "unit": ["clip"], "unit_id": ["c"], "classifier_id": ["k"], "split_id": [""],
            "prior": ["uniform"], "decision": ["undecided"], "probability": [np.nan],
            "n_moments": [3], "reason": [None], "set_name": [""],
        }
    ),
    "evaluations": pd.DataFrame(
        {"split_id": ["s"], "classifier_id": ["k"], "time_utc": ["t"], "result": ["x" * 100_000]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_come_back_as_they_were_written(name: str, store: Store) -> None:
    rows = TABLES[name]
    for _ in range(2):
        store.write(name, rows[rows.columns[::-1]])
        found = store.read(name)
        assert sorted(found.columns) == sorted(rows.columns)
        pd.testing.assert_frame_equal(
            found[rows.columns], rows.astype(found[rows.columns].dtypes.to_dict())
        )
    store.append(name, rows)
    assert len(store.read(name)) == 2 * len(rows)
    store.write(name, store.read(name))
    assert len(store.read(name)) == 2 * len(rows)
    store.write(name, rows.iloc[:0])
    empty = store.read(name)
    assert empty.empty
    assert empty.dtypes.to_dict() == found.dtypes.to_dict()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_was_never_written_is_empty(name: str, store: Store) -> None:
    found = store.read(name)
    assert found.empty
    store.write(name, TABLES[name].iloc[:0])
    written = store.read(name)
    assert written.dtypes.to_dict() == found.dtypes.to_dict()
    assert store.read(name, columns=list(found.columns[:2])).shape == (0, 2)


def test_a_real_scan_and_its_clips_come_back(store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("Insular/Lasker_AC_1/20170728_031259_ch05_sel02.wav", "Unknown/x.wav", "y.wav"):
        path = tmp_path / "survey" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, rng.normal(0, 0.1, 40_000), 8_000)
    (tmp_path / "survey/empty.wav").touch()
    found = scan(tmp_path / "survey")
    clips, _ = cut(found.recordings)
    for name, rows in (
        ("recordings", found.recordings), ("problems", found.problems), ("clips", clips)
    ):  # fmt: skip
        store.write(name, rows)
        pd.testing.assert_frame_equal(store.read(name), rows)
    again, _ = cut(store.read("recordings"))
    pd.testing.assert_frame_equal(again, clips)


def test_rows_keep_their_order(store: Store) -> None:
    paths = [f"{k:05d}.wav" for k in np.random.default_rng(0).permutation(3_000)]
    for start in range(0, 3_000, 500):
        store.append("problems", problems(*paths[start : start + 500]))
    assert store.read("problems")["path"].tolist() == paths


def test_conditions_and_columns_select(store: Store) -> None:
    store.write("problems", problems(*(f"{k}.wav" for k in range(50))))
    store.append("problems", problems("x.wav", stage="embed"))
    found = store.read("problems", where="stage = 'embed'", columns=["reason", "path"])
    assert found.values.tolist() == [["silent", "x.wav"]]
    assert len(store.read("problems", where="stage = 'scan'")) == 50


def test_replace_touches_only_its_key(store: Store) -> None:
    store.write("problems", problems("a", None, reason=None))
    store.replace("problems", problems("b", "c", stage="clips"), stage="clips")
    store.replace("problems", problems("d", stage="embed"), stage="embed")
    assert store.read("problems")["path"].fillna("-").tolist() == ["a", "-", "b", "c", "d"]
    store.replace("problems", problems("e", stage="clips"), stage="clips")
    assert store.read("problems")["path"].fillna("-").tolist() == ["a", "-", "d", "e"]
    store.replace("problems", problems(), stage="clips")
    store.replace("problems", problems(), stage="never")
    assert store.read("problems")["path"].fillna("-").tolist() == ["a", "-", "d"]
    store.replace("problems", problems("f", reason=None), stage="embed", reason="silent")
    assert store.read("problems")["path"].fillna("-").tolist() == ["a", "-", "f"]
    store.replace("problems", problems("g"), reason="silent")
    assert store.read("problems")["path"].fillna("-").tolist() == ["a", "-", "f", "g"]


def test_replace_reads_no_table_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{k:05d}.wav" for k in np.random.default_rng(0).permutation(20_000)]
    store.write("problems", problems(*paths))
    store.append("problems", problems(None, stage="embed"))
    store.append("problems", problems("x", stage="embed", reason=None))
    version = store.version("problems")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "read", None)
        store.replace("problems", problems("y", stage="embed"), stage="embed", reason="silent")
    found = store.read("problems")
    assert found["path"].tolist() == [*paths, "x", "y"]
    assert store.version("problems") == version + 1


def test_versions_increase_with_every_write(store: Store) -> None:
    seen = [store.version("problems")]
    assert seen == [0]
    for change in (
        lambda: store.write("problems", problems("a")),
        lambda: store.append("problems", problems("b")),
        lambda: store.write("problems", problems("c")),
        lambda: store.replace("problems", problems("d"), stage="scan"),
        lambda: store.write("problems", problems()),
    ):
        change()
        seen.append(store.version("problems"))
    assert seen == sorted(set(seen))
    store.append("problems", problems())
    assert store.version("problems") == seen[-1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda rows: rows.assign(start_s="soon"),
        lambda rows: rows.drop(columns="pad"),
        lambda rows: rows.assign(clip_id=[{}, []]),
    ],
)
def test_a_write_that_fails_leaves_the_old_table(
    damage: Callable[[pd.DataFrame], pd.DataFrame], store: Store
) -> None:
    store.write("clips", TABLES["clips"])
    before, version = store.read("clips"), store.version("clips")
    for change in (
        lambda rows: store.write("clips", rows),
        lambda rows: store.append("clips", rows),
        lambda rows: store.replace("clips", rows, clip_id="c"),
    ):
        with pytest.raises((KeyError, ValueError, TypeError)):
            change(damage(TABLES["clips"]))
        pd.testing.assert_frame_equal(store.read("clips"), before)
        assert store.version("clips") == version


# Embeddings


def vectors(n: int, width: int, *, seed: int = 0) -> tuple[list[str], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [f"clip{k}" for k in range(n)], rng.normal(size=(n, width)).astype(np.float32)


def test_vectors_come_back_in_the_order_asked_for(store: Store) -> None:
    ids, values = vectors(5_000, 7)
    for start in range(0, 5_000, 1_000):
        stretch = slice(start, start + 1_000)
        store.append_vectors("resnet18", ids[stretch], values[stretch])
    assert store.embedded("resnet18") == set(ids)
    order = np.random.default_rng(1).permutation(5_000)[:3_000]
    found = store.vectors("resnet18", [ids[k] for k in order])
    assert found.dtype == np.float32
    assert np.array_equal(found, values[order])
    assert store.vectors("resnet18", [ids[3], ids[3]]).tolist() == values[[3, 3]].tolist()
    assert store.vectors("resnet18", []).shape == (0, 7)


def test_strided_and_wider_vectors_are_stored_by_value(store: Store) -> None:
    ids, values = vectors(4, 6)
    store.append_vectors("e", ids, np.asfortranarray(values)[:, ::2].astype(np.float64))
    assert np.array_equal(store.vectors("e", ids), values[:, ::2])


def test_embedders_of_two_widths_live_side_by_side(store: Store) -> None:
    ids, narrow = vectors(20, 3)
    _, wide = vectors(20, 1_280, seed=1)
    store.append_vectors("narrow", ids, narrow)
    store.append_vectors("wide", ids[:15], wide[:15])
    assert np.array_equal(store.vectors("narrow", ids), narrow)
    assert np.array_equal(store.vectors("wide", ids[:15]), wide[:15])
    assert store.embedded("wide") == set(ids[:15])
    with pytest.raises(ValueError, match="cast"):
        store.append_vectors("wide", ["x"], narrow[:1])
    assert np.array_equal(store.vectors("wide", ids[:15]), wide[:15])


def test_missing_vectors_are_an_error_that_says_how_many(store: Store) -> None:
    assert store.embedded("e") == set()
    with pytest.raises(StoreError, match="no embeddings by e"):
        store.vectors("e", ["a"])
    ids, values = vectors(3, 2)
    store.append_vectors("e", [], values[:0])
    assert store.embedded("e") == set()
    assert store.vectors("e", []).shape == (0, 2)
    store.append_vectors("e", ids, values)
    with pytest.raises(StoreError, match=r"2 of 4 clips have no embedding by e, such as y\. Run"):
        store.vectors("e", [ids[0], "y", "z", ids[1]])


# Projects


def test_another_process_sees_what_was_written(store: Store) -> None:
    store.write("problems", problems("a"))
    other = Store(store.folder)
    assert other.read("problems")["path"].tolist() == ["a"]
    other.append("problems", problems("b"))
    assert store.read("problems")["path"].tolist() == ["a", "b"]


def test_settings_are_left_for_the_next_verb(store: Store) -> None:
    assert store.setting("clips") is None
    store.keep_setting("clips", {"window_s": None, "pad": "tile"})
    store.keep_setting("other", [1, 2])
    assert Store(store.folder).setting("clips") == {"window_s": None, "pad": "tile"}
    assert Store(store.folder, create=True).setting("other") == [1, 2]


def test_runs_are_recorded_with_versions_of_packages_and_tables(store: Store) -> None:
    store.write("problems", problems("a"))
    store.write("problems", problems("b"))
    store.record_run("scan", {"folder": Path("/sea"), "seed": 3}, ("recordings", "problems"))
    store.record_run("clips", {}, ())
    runs = store.read("runs")
    assert runs["verb"].tolist() == ["scan", "clips"]
    assert json.loads(runs["settings"][0]) == {"folder": "/sea", "seed": 3}
    provenance = json.loads(runs["provenance"][0])
    assert provenance["tables"] == {"recordings": 0, "problems": 2}
    assert {"pseudorca", "python", "torch", "numpy"} <= set(provenance["versions"])


def test_other_folders_are_no_projects(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a pseudorca project"):
        Store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is not a pseudorca project"):
        Store(tmp_path)
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(StoreError, match="is not empty"):
        Store(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]
    with pytest.raises(StoreError, match="cannot be made"):
        Store(tmp_path / "thesis.doc", create=True)
    with pytest.raises(StoreError, match="cannot be made"):
        Store(tmp_path / "thesis.doc/project", create=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"format": 1}', "project of format 1, this version reads format 3"),
        (
            '{"format": 2}',
            "format 2, .* Run: pseudorca scan RECORDINGS --project NEW; pseudorca embed",
        ),
        ('{"format": 4}', "format 4, .* Update pseudorca"),
        ("{}", "format None"),
        ("", "cannot be read"),
        ("[1, 2]", "cannot be read"),
        ('{"format": 3', "cannot be read"),
    ],
)
def test_projects_of_another_format_are_refused(text: str, complaint: str, store: Store) -> None:
    store.write("problems", problems("a"))
    settings = store.folder / "project.json"
    kept = settings.read_text()
    settings.write_text(text)
    for create in (False, True):
        with pytest.raises(StoreError, match=complaint):
            Store(store.folder, create=create)
    settings.write_text(kept)
    assert Store(store.folder).read("problems")["path"].tolist() == ["a"]


WRITER = """
import sys
import numpy as np
from pseudorca.store import Store, problem_table
store = Store(sys.argv[1])
store.write("problems", problem_table([("kept", "t", "silent", "")]))
k = 0
while True:
    ids = [f"{k}-{row}" for row in range(200)]
    store.append_vectors("e", ids, np.full((200, 64), k, dtype=np.float32))
    store.replace("problems", problem_table([(i, "s", str(k), "") for i in ids]), stage="s")
    print(k, flush=True)
    k += 1
"""


def test_a_killed_writer_leaves_whole_tables_that_go_on(store: Store) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.folder)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for k in range(5):
        assert writer.stdout.readline() == f"{k}\n"
    time.sleep(0.013)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()

    found = Store(store.folder)
    done = found.embedded("e")
    batches = {int(clip_id.split("-")[0]) for clip_id in done}
    assert batches == set(range(len(batches)))
    assert len(batches) >= 5
    assert len(done) == 200 * len(batches)
    ids = sorted(done)
    values = found.vectors("e", ids)
    assert (values == np.array([float(clip_id.split("-")[0]) for clip_id in ids])[:, None]).all()
    problems_left = found.read("problems")
    assert problems_left["stage"].tolist() == ["t"] + 200 * ["s"]
    assert problems_left["reason"][1:].nunique() == 1
    found.append_vectors("e", ["next"], np.zeros((1, 64), dtype=np.float32))
    assert found.embedded("e") == done | {"next"}


def test_an_older_project_is_refused_with_what_can_be_kept(store: Store) -> None:
    (store.folder / "project.json").write_text('{"format": 2}')
    with pytest.raises(StoreError) as without:
        Store(store.folder)
    assert "Kept" not in str(without.value)
    for name in ("classifiers", "labels"):
        (store.folder / name).mkdir()
    with pytest.raises(StoreError, match=r"Kept are: classifiers/ and labels/\.") as refused:
        Store(store.folder)
    assert f"cp -r {store.folder}/classifiers NEW/" in str(refused.value)


# Reading without a right to write


def test_importing_the_store_loads_nothing_heavy() -> None:
    code = (
        "import sys, pseudorca.store;"
        "assert not {'torch', 'pandas', 'lancedb', 'pyarrow', 'filelock'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


READER = """
import os, sys
from pathlib import Path
from pseudorca.store import Store
folder = Path(sys.argv[1])
def read():
    store = Store(folder)
    assert store.setting("clips") == 3
    assert store.read("problems")["path"].tolist() == ["a", "b"]
    assert store.read("clips").empty
    assert store.version("problems") == 2 and store.version("clips") == 0
    assert store.embedded("e") == {"c"}
    assert store.vectors("e", ["c"]).tolist() == [[1.0, 2.0]]
    assert store.unexplained("e", ["c", "d"]) == {"d"}
before = sorted(folder.rglob("*"))
read()  # imports what is needed: without rights, Python's own files may be out of reach
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    (folder / "new").touch()
except PermissionError:
    pass
else:
    raise SystemExit("the folder can be written to: nothing is tested")
read()
assert sorted(folder.rglob("*")) == before
print("read")
"""


@pytest.fixture
def read_only(store: Store) -> Iterator[Path]:
    """A project of which nothing may be written, also by users who may enter its folder."""
    store.keep_setting("clips", 3)
    store.write("problems", problems("a"))
    store.append("problems", problems("b"))
    store.append_vectors("e", ["c"], np.array([[1, 2]], dtype=np.float32))
    with tempfile.TemporaryDirectory() as there:
        Path(there).chmod(0o755)
        folder = Path(there) / "project"
        shutil.copytree(store.folder, folder)
        inside = [folder, *folder.rglob("*")]
        for path in inside:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in inside:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_project_is_read_where_nothing_may_be_written(read_only: Path) -> None:
    reader = subprocess.run(
        [sys.executable, "-c", READER, str(read_only)], capture_output=True, text=True, check=False
    )
    assert (reader.stdout, reader.returncode) == ("read\n", 0), reader.stderr


def test_an_empty_project_is_read_without_making_a_folder(store: Store) -> None:
    assert store.read("clips").empty
    assert store.embedded("e") == set()
    assert sorted(path.name for path in store.folder.iterdir()) == ["project.json"]


def test_a_project_is_read_while_another_process_writes(store: Store) -> None:
    store.write("problems", problems("a"))
    with locked(store):
        code = "import sys; from pseudorca.store import Store; Store(sys.argv[1]).read('problems')"
        subprocess.run([sys.executable, "-c", code, str(store.folder)], check=True, timeout=60)


KEEPER = """
import sys
from pseudorca.store import Store
store = Store(sys.argv[1])
for k in range(40):
    store.keep_setting(f"{sys.argv[2]}{k}", k)
"""


def test_settings_of_two_processes_are_all_kept(store: Store) -> None:
    keepers = [
        subprocess.Popen([sys.executable, "-c", KEEPER, str(store.folder), name]) for name in "ab"
    ]
    assert [keeper.wait(60) for keeper in keepers] == [0, 0]
    assert all(store.setting(f"{name}{k}") == k for name in "ab" for k in range(40))

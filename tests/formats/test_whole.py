"""Files appear whole or not at all, whoever writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pseudorca.backbones import load_backbone
from pseudorca.embedding.embedder import Embedder
from pseudorca.errors import BackboneError, PseudorcaError
from pseudorca.formats.rocca import measure_contour_tables
from pseudorca.formats.whole import whole_file, write_table, write_text
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.simulation import moments, truth


def contours(folder: Path) -> Path:
    path = folder / "contour.csv"
    times = np.arange(20) * 1000
    table = pd.DataFrame({"Time [ms]": times, "Peak Frequency [Hz]": 5000.0 + times})
    table.to_csv(path, index=False)
    return path


def test_whole_file_leaves_what_was_there_where_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.txt"
    with whole_file(target) as part:
        part.write_text("first")

    def fails_half_way() -> None:
        with whole_file(target) as part:
            part.write_text("seco")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_half_way()
    assert target.read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["result.txt"]


def test_whole_file_names_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PseudorcaError, match=r"file.result\.txt cannot be written"):
        write_text(["text"], tmp_path / "file" / "result.txt")


def half(self: Any, path: Any, *_: Any, **__: Any) -> None:
    """What a full disk leaves."""
    Path(path).write_text("ha")
    raise OSError(28, "No space left on device")


WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "table": lambda folder, data: write_table(pd.DataFrame({"a": [1]}), folder / "a.csv"),
    "contours": lambda folder, data: measure_contour_tables([data], folder / "a.csv"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_tables_are_as_they_were_where_the_disk_is_full(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    data = contours(tmp_path)
    WRITERS[writer](folder, data)
    before = (folder / "a.csv").read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(PseudorcaError, match="No space left"):
        WRITERS[writer](folder, data)
    assert [path.name for path in folder.iterdir()] == ["a.csv"]
    assert (folder / "a.csv").read_bytes() == before


def test_simulated_wave_files_are_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = np.zeros((1, 100), dtype=np.float32)
    moments._write_wav(tmp_path / "x.wav", sound, 8_000, 16)
    before = (tmp_path / "x.wav").read_bytes()
    monkeypatch.setattr(moments.sf, "write", lambda path, *a, **k: half(None, path))
    with pytest.raises(PseudorcaError, match="No space left"):
        moments._write_wav(tmp_path / "x.wav", sound, 8_000, 16)
    assert (tmp_path / "x.wav").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_truth_tables_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth.begin(tmp_path / "s", {"seed": 0})
    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(PseudorcaError, match="No space left"):
        truth.write(tmp_path / "s", {"seed": 0}, [], truth.Rows([], [], []))
    assert [path.name for path in (tmp_path / "s" / "truth").iterdir()] == ["survey.json"]


def test_unknown_precision_is_an_error_of_the_network() -> None:
    with pytest.raises(BackboneError, match="unknown precision 'half'"):
        Embedder(CommonFrontEnd(), load_backbone("pseudorca_small"), precision="half")  # type: ignore[arg-type]

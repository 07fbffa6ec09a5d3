"""The notebooks of the documentation run as they are written."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_runs(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    said = names["said"]
    assert len(said.encounters) == 4
    assert (tmp_path / "report.html").is_file()
    assert list((tmp_path / "out" / "raven").iterdir())
    for text in (str(names["result"]), names["result"]._repr_html_()):
        assert "95 % interval" in text
    low, high = names["result"]["encounter"].interval
    assert low < names["result"]["encounter"].balanced_accuracy < high

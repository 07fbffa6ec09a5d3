"""Tables of whistle contours to a table of measurements."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pseudorca.features.contours import measure_contours


def measure_contour_tables(paths: Sequence[Path], target: Path) -> dict[str, Any]:
    """Measure every contour, and write a row for each into a CSV."""
    table = measure_contours(paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(target, index=False)
    return {
        "output": str(target),
        "n_tables": len(paths),
        "n_contours": len(table),
        "contours": table.to_dict("records"),
    }

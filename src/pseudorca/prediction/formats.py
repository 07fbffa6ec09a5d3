"""Predictions as files that other programs read."""

from pathlib import Path
from typing import Literal

import pandas as pd

from pseudorca.errors import PseudorcaError, unknown_name

Format = Literal["csv", "parquet"]


def write_tables(tables: dict[str, pd.DataFrame], folder: Path, *, kind: Format = "csv") -> None:
    """Write one file per table, such as ``clip`` to ``clips.csv``; each appears whole or not at all.

    Parameters
    ----------
    tables : dict from unit to table
    folder : path, made if it is not there
    kind : ``csv`` (UTF-8, times in ISO 8601) or ``parquet``

    Raises
    ------
    PseudorcaError
        If the format is unknown.
    """
    if kind not in ("csv", "parquet"):
        raise PseudorcaError(unknown_name("format", kind, ("csv", "parquet")))
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        target = folder / f"{name}s.{kind}"
        partial = target.with_suffix(".partial")
        if kind == "csv":
            table.to_csv(partial, index=False)
        else:
            table.to_parquet(partial, index=False)
        partial.replace(target)

"""Tables and texts as files that appear whole or not at all.

In: tables, all at once or growing, or lines of text. Out: CSV, Parquet or text files. Each is written
under another name first, so that a run that was killed leaves what was there before.
"""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pandas.api.types import is_numeric_dtype

from pseudorca.errors import PseudorcaError, unknown_name

Format = Literal["csv", "parquet"]


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, *, kind: Format = "csv"
) -> list[Path]:
    """Write one file per table, such as ``clip`` to ``clips.csv``; each appears whole or not at all.

    Parameters
    ----------
    tables : dict from unit to table
    folder : path, made if it is not there
    kind : ``csv`` (UTF-8, times in ISO 8601) or ``parquet``

    Returns
    -------
    list of the paths written

    Raises
    ------
    PseudorcaError
        If the format is unknown, or a file cannot be written.
    """
    if kind not in ("csv", "parquet"):
        raise PseudorcaError(unknown_name("format", kind, ("csv", "parquet")))
    return [write_table(table, folder / f"{name}s.{kind}") for name, table in tables.items()]


class GrowingTable:
    """A CSV or Parquet file that is appended to, and appears when it is finished."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(f"{target.name}.partial")
        self.columns: list[str] = []
        self._empty: pd.DataFrame | None = None
        self._parquet: Any = None
        self._is_begun = False

    def append(self, table: pd.DataFrame) -> None:
        """Add rows; the first table that has any says the columns' types."""
        self.columns = list(table.columns)
        if table.empty and self._empty is None:
            self._empty = table
        if len(table):
            self._write(table)

    def finish(self) -> Path:
        """Let the file appear, in place of what was there before."""
        if not self._is_begun and self._empty is not None:
            self._write(self._empty)
        with writing(self.target):
            if self._parquet is not None:
                self._parquet.close()
                self._parquet = None
            self.part.replace(self.target)
        return self.target

    def abandon(self) -> None:
        """Remove what was begun."""
        if self._parquet is not None:
            self._parquet.close()
            self._parquet = None
        self.part.unlink(missing_ok=True)

    def _write(self, table: pd.DataFrame) -> None:
        with writing(self.target):
            is_first, self._is_begun = not self._is_begun, True
            if is_first:
                self.target.parent.mkdir(parents=True, exist_ok=True)
            if self.target.suffix == ".parquet":
                self._write_parquet(table)
            else:
                table.to_csv(
                    self.part, mode="w" if is_first else "a", header=is_first, index=False,
                    quoting=_quoting(table), errors="backslashreplace",
                )  # fmt: skip

    def _write_parquet(self, table: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._parquet is None:
            rows = pa.Table.from_pandas(table, preserve_index=False)
            self._parquet = pq.ParquetWriter(self.part, rows.schema)
        else:
            rows = pa.Table.from_pandas(table, schema=self._parquet.schema, preserve_index=False)
        self._parquet.write_table(rows)


def write_table(table: pd.DataFrame, target: Path) -> Path:
    """Write one table as CSV, or as Parquet where the name ends so; it appears whole or not at all.

    Raises
    ------
    PseudorcaError
        If the file cannot be written.
    """
    growing = GrowingTable(target)
    try:
        growing.append(table)
        return growing.finish()
    finally:
        growing.abandon()


def _quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """Quote what needs it; all text where some holds a carriage return, which pandas leaves bare."""
    texts = [
        pd.Series(table.columns),
        *(c for _, c in table.items() if not is_numeric_dtype(c.dtype)),
    ]
    torn = any("\r" in value for text in texts for value in text.unique() if isinstance(value, str))
    return csv.QUOTE_NONNUMERIC if torn else csv.QUOTE_MINIMAL


def write_text(lines: Iterable[str], target: Path) -> Path:
    """Write lines, in UTF-8; the file appears whole or not at all."""
    with (
        whole_file(target) as part,
        part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.writelines(lines)
    return target


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give the path to write to, which becomes ``target`` if nothing went wrong, and else vanishes.

    Parameters
    ----------
    target : path of the file; its folder is made if it is not there

    Raises
    ------
    PseudorcaError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "answer.txt") as part:
    ...     _ = part.write_text("42")
    >>> [path.name for path in folder.iterdir()]
    ['answer.txt']
    """
    part = target.with_name(f"{target.name}.partial")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Where what is done inside fails, remove the folder, unless it was there before.

    Parameters
    ----------
    folder : path; folders above it that are made inside go with it

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "new" / "project"
    >>> try:
    ...     with removed_on_failure(folder):
    ...         folder.mkdir(parents=True)
    ...         raise ValueError
    ... except ValueError:
    ...     folder.parent.exists()
    False
    """
    new = new_folder(folder)
    try:
        yield
    except BaseException:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)
        raise


def new_folder(folder: Path) -> Path | None:
    """The topmost of the folders that have to be made for this one; None if it is there."""
    folder = folder.absolute()
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    return missing[-1] if missing else None


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say why a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise PseudorcaError(
            f"{target} cannot be written: {error.strerror or error}. Mend that, or choose another "
            "folder with --out, and run it again."
        ) from error

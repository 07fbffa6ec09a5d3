"""Tables and texts as files that are complete or not there at all.

In: whole tables, tables that grow, or lines of text. Out: CSV, Parquet or text files. Each file is
first written under another name, so a killed run leaves the previous file unchanged.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from pseudorca.errors import PseudorcaError, unknown_name

Format = Literal["csv", "parquet", "excel"]
"""Kinds of tables. ``excel`` is CSV that Excel opens as it is meant."""

_FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠]|'*[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, *, kind: Format = "csv"
) -> list[Path]:
    """Write one file per table, such as ``clip`` to ``clips.csv``. Each file is complete or not there.

    Parameters
    ----------
    tables : dict from unit to table
    folder : path, created if necessary
    kind : ``csv`` (UTF-8, times in ISO 8601), ``parquet``, or ``excel`` (CSV with the mark of UTF-8, in
        which no text runs as a formula, see :func:`guarded`)

    Returns
    -------
    list of the paths written

    Raises
    ------
    PseudorcaError
        If the format is unknown, or a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame({"clip_id": ["5f1c"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_tables({"clip": table}, Path(folder))]
    ['clips.csv']
    """
    if kind not in get_args(Format):
        raise PseudorcaError(unknown_name("format", kind, get_args(Format)))
    return [
        write_table(table, folder / table_name(name, kind), for_excel=kind == "excel")
        for name, table in tables.items()
    ]


def table_name(unit: str, kind: Format) -> str:
    """The name of the file of a table.

    Parameters
    ----------
    unit : str, such as ``clip``
    kind : ``csv``, ``parquet`` or ``excel``

    Returns
    -------
    str

    Examples
    --------
    >>> table_name("clip", "excel")
    'clips.csv'
    """
    return f"{unit}s.{'csv' if kind == 'excel' else kind}"


def guarded(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula (``= + - @``).

    Numbers stay as they are. :func:`unguarded` gives the text back.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> guarded("=1+1.wav"), guarded("-0.5"), unguarded(guarded("'@x")) == "'@x"
    ("'=1+1.wav", '-0.5', True)
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """Take off the apostrophe of :func:`guarded`.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> unguarded("'=1+1.wav"), unguarded("'90s")
    ('=1+1.wav', "'90s")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


class GrowingTable:
    """A CSV or Parquet file that grows by appended tables, and appears when it is finished.

    Parameters
    ----------
    target : path of the file; a name that ends in ``.parquet`` gives Parquet
    for_excel : bool, write the mark of UTF-8, and let no text run as a formula

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     growing = GrowingTable(Path(folder) / "clips.csv")
    ...     growing.append(pd.DataFrame({"clip_id": ["5f1c"]}))
    ...     growing.target.exists(), growing.finish().read_text()
    (False, 'clip_id\\n5f1c\\n')
    """

    def __init__(self, target: Path, *, for_excel: bool = False) -> None:
        self.target, self.for_excel = target, for_excel
        self.part = target.with_name(f"{target.name}.partial")
        self.columns: list[str] = []
        self._empty: pd.DataFrame | None = None
        self._parquet: Any = None
        self._is_begun = False

    def append(self, table: pd.DataFrame) -> None:
        """Append rows. The first table with rows determines the types of the columns."""
        self.columns = list(table.columns)
        if table.empty and self._empty is None:
            self._empty = table
        if len(table):
            self._write(table)

    def finish(self) -> Path:
        """Move the complete file to its target, and replace an older file."""
        if not self._is_begun and self._empty is not None:
            self._write(self._empty)
        with writing(self.target):
            self._close()
            self.part.replace(self.target)
        return self.target

    def abandon(self) -> None:
        """Remove the incomplete file."""
        self._close()
        self.part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._parquet is not None:
            self._parquet.close()  # a second close has no effect

    def _write(self, table: pd.DataFrame) -> None:
        with writing(self.target):
            is_first, self._is_begun = not self._is_begun, True
            if is_first:
                self.target.parent.mkdir(parents=True, exist_ok=True)
            if self.target.suffix == ".parquet":
                self._write_parquet(table)
            else:
                table = _guarded_table(table) if self.for_excel else table
                table.to_csv(
                    self.part, mode="w" if is_first else "a", header=is_first, index=False,
                    quoting=_quoting(table), errors="backslashreplace",
                    encoding="utf-8-sig" if is_first and self.for_excel else "utf-8",
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


def _guarded_table(table: pd.DataFrame) -> pd.DataFrame:
    def shown(value: Any) -> Any:
        return guarded(value) if isinstance(value, str) else value

    texts = {
        str(name): column.astype(object).map(shown)
        for name, column in table.items()
        if not is_numeric_dtype(column.dtype) and not is_datetime64_any_dtype(column.dtype)
    }
    return table.assign(**texts).rename(columns=shown)


def write_table(table: pd.DataFrame, target: Path, *, for_excel: bool = False) -> Path:
    """Write one table as CSV, or as Parquet. The file is complete or not there at all.

    Parameters
    ----------
    table : DataFrame
    target : path of the file; a name that ends in ``.parquet`` gives Parquet
    for_excel : bool, see :class:`GrowingTable`

    Returns
    -------
    Path, the target

    Raises
    ------
    PseudorcaError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "clips.csv"
    ...     write_table(pd.DataFrame({"clip_id": ["5f1c"]}), target).read_text()
    'clip_id\\n5f1c\\n'
    """
    growing = GrowingTable(target, for_excel=for_excel)
    try:
        growing.append(table)
        return growing.finish()
    finally:
        growing.abandon()


def _quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """Choose the quoting. All text is quoted if one cell has a carriage return.

    pandas does not quote carriage returns by itself.
    """
    texts = [
        pd.Series(table.columns),
        *(c for _, c in table.items() if not is_numeric_dtype(c.dtype)),
    ]
    torn = any("\r" in value for text in texts for value in text.unique() if isinstance(value, str))
    return csv.QUOTE_NONNUMERIC if torn else csv.QUOTE_MINIMAL


def write_text(lines: Iterable[str], target: Path) -> Path:
    """Write lines of text in UTF-8. The file is complete or not there at all.

    Parameters
    ----------
    lines : iterable of str, with their line ends
    target : path of the file

    Returns
    -------
    Path, the target

    Raises
    ------
    PseudorcaError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(["0.0\\t1.0\\n"], Path(folder) / "labels.txt").read_text()
    '0.0\\t1.0\\n'
    """
    with (
        whole_file(target) as part,
        part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.writelines(lines)
    return target


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a temporary path. The file there replaces ``target``, or is removed after an error.

    Parameters
    ----------
    target : path of the file; its folder is created if necessary

    Yields
    ------
    Path to write to

    Raises
    ------
    PseudorcaError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "answer.txt") as part:
    ...         _ = part.write_text("42")
    ...     [path.name for path in Path(folder).iterdir()]
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


def new_folder(folder: Path) -> Path | None:
    """Find the topmost folder that has to be created for a folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Path or None; None if the folder exists

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = Path(parent, "new", "project")
    ...     new_folder(folder) == Path(parent, "new"), new_folder(Path(parent))
    (True, None)
    """
    folder = folder.absolute()
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    return missing[-1] if missing else None


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an OSError of the code inside into an error for the user.

    Parameters
    ----------
    target : path of the file that is written

    Raises
    ------
    PseudorcaError
        If the code inside raises an OSError.

    Examples
    --------
    >>> with writing(Path("out/clips.csv")):
    ...     raise PermissionError(13, "Permission denied")
    Traceback (most recent call last):
    pseudorca.errors.PseudorcaError: out/clips.csv cannot be written: Permission denied. ...
    """
    try:
        yield
    except OSError as error:
        raise PseudorcaError(
            f"{target} cannot be written: {error.strerror or error}. Correct this, or choose another "
            "folder with --out, and run again."
        ) from error

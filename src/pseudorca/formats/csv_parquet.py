"""Predictions as one table per unit: CSV or Parquet."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pseudorca.formats.base import Portion, Writer
from pseudorca.formats.whole import Format, write_tables


class CsvTables(Writer):
    """A CSV file per table."""

    kind: Format = "csv"

    def add(self, portion: Portion) -> None:
        for name, table in portion.tables.items():
            self.grow(f"{name}s.{self.kind}", table)

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        super().finish(tables, decided)
        self.written += write_tables(tables, self.about.folder, kind=self.kind)
        return self.written


class ParquetTables(CsvTables):
    """A Parquet file per table."""

    kind = "parquet"

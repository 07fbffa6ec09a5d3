"""Formats by name. A new format is a module with a writer, and a line here."""

from dataclasses import dataclass

from pseudorca.formats.audacity import Audacity
from pseudorca.formats.banter import Banter
from pseudorca.formats.base import Writer
from pseudorca.formats.birdnet import BirdNet
from pseudorca.formats.csv_parquet import CsvTables, ParquetTables
from pseudorca.formats.opensoundscape import OpenSoundscape
from pseudorca.formats.raven import Raven


@dataclass(frozen=True)
class FileFormat:
    """A kind of file that predictions can be written as."""

    about: str
    writer: type[Writer]


FORMATS: dict[str, FileFormat] = {
    "csv": FileFormat("a CSV per table", CsvTables),
    "parquet": FileFormat("a Parquet file per table", ParquetTables),
    "raven": FileFormat(
        "selection tables for Raven, per file and per deployment over its files", Raven
    ),
    "audacity": FileFormat("labels for Audacity, per file", Audacity),
    "opensoundscape": FileFormat(
        "OpenSoundscape's table of clips with a column per class", OpenSoundscape
    ),
    "birdnet": FileFormat("a CSV of named clips as BirdNET-Analyzer writes it", BirdNet),
    "banter": FileFormat("BANTER's table of events", Banter),
}
"""Formats by name."""

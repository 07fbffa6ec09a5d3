"""Formats by name. A new format needs a writer, and a line here."""

from collections.abc import Mapping

from pseudorca.catalogue import Entry

_TABLES = "pseudorca.formats.tables"

FORMATS: Mapping[str, Entry] = {
    "csv": Entry(f"{_TABLES}:CsvTables", "a CSV per table"),
    "parquet": Entry(f"{_TABLES}:ParquetTables", "a Parquet file per table"),
    "raven": Entry("pseudorca.formats.raven:Raven", "Raven's selections, per file and deployment"),
    "audacity": Entry(f"{_TABLES}:Audacity", "Audacity's labels, per file"),
    "opensoundscape": Entry(
        f"{_TABLES}:OpenSoundscape", "OpenSoundscape's clips, a column per class"
    ),
    "birdnet": Entry(f"{_TABLES}:BirdNet", "named clips as BirdNET-Analyzer writes them"),
    "banter": Entry(f"{_TABLES}:Banter", "BANTER's table of events"),
}
"""Writers of predictions by name; :class:`pseudorca.formats.base.Writer` says what one does."""

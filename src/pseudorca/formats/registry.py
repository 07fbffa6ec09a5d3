"""Formats by name. A new format needs a module with a writer, and a line here."""

from collections.abc import Mapping

from pseudorca.catalogue import Entry

_ROOM = "pseudorca.formats"

FORMATS: Mapping[str, Entry] = {
    "csv": Entry(f"{_ROOM}.csv_parquet:CsvTables", "a CSV per table"),
    "parquet": Entry(f"{_ROOM}.csv_parquet:ParquetTables", "a Parquet file per table"),
    "raven": Entry(f"{_ROOM}.raven:Raven", "Raven's selections, per file and deployment"),
    "audacity": Entry(f"{_ROOM}.audacity:Audacity", "Audacity's labels, per file"),
    "opensoundscape": Entry(
        f"{_ROOM}.opensoundscape:OpenSoundscape", "OpenSoundscape's clips, a column per class"
    ),
    "birdnet": Entry(f"{_ROOM}.birdnet:BirdNet", "named clips as BirdNET-Analyzer writes them"),
    "banter": Entry(f"{_ROOM}.banter:Banter", "BANTER's table of events"),
}
"""Writers of predictions by name; :class:`pseudorca.formats.base.Writer` says what one does."""

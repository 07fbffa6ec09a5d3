"""Formats by name. A new format needs a module with a writer, and a line here."""

from pseudorca.formats.audacity import Audacity
from pseudorca.formats.banter import Banter
from pseudorca.formats.base import Writer
from pseudorca.formats.birdnet import BirdNet
from pseudorca.formats.csv_parquet import CsvTables, ParquetTables
from pseudorca.formats.opensoundscape import OpenSoundscape
from pseudorca.formats.raven import Raven

FORMATS: dict[str, type[Writer]] = {
    "csv": CsvTables,
    "parquet": ParquetTables,
    "raven": Raven,
    "audacity": Audacity,
    "opensoundscape": OpenSoundscape,
    "birdnet": BirdNet,
    "banter": Banter,
}
"""Writers by the name of their format."""

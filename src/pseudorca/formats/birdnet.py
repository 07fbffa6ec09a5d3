"""BirdNET result tables: a row per named clip."""

import pandas as pd

from pseudorca.formats.base import Portion, Writer, with_files


class BirdNet(Writer):
    """Clips that were named; a population has no scientific name, so its label stands in both."""

    def add(self, some: Portion) -> None:
        clips = with_files(some.named, some.recordings)
        columns = {
            "Start (s)": "start_s",
            "End (s)": "end_s",
            "Scientific name": "decision",
            "Common name": "decision",
            "Confidence": "probability",
            "File": "file",
        }
        table = pd.DataFrame({name: clips[column] for name, column in columns.items()})
        self.grow("birdnet.csv", table)

"""BirdNET result tables: a row per named clip."""

import pandas as pd

from pseudorca.formats.base import Portion, Writer, with_files


class BirdNet(Writer):
    """A CSV of clips with a decision. The label is written as scientific and as common name."""

    def add(self, portion: Portion) -> None:
        clips = with_files(portion.named, portion.recordings)
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

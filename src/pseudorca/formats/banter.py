"""BANTER event tables: event and species, as NOAA's scripts read them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pseudorca.formats.base import Writer


class Banter(Writer):
    """A CSV of events. An event is an encounter with a decision.

    BANTER reads a third column as a predictor, so the table has two columns. BANTER refuses events
    without a species, so undecided encounters are left out. R reads ``NA`` as a missing value, so a
    population of that name is written as ``NA_``.
    """

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        species = decided["decision"].replace("NA", "NA_")
        table = pd.DataFrame({"event.id": decided["encounter"], "species": species})
        self.grow("banter.csv", table)
        return super().finish(tables, decided)

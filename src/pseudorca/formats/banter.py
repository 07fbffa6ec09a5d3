"""BANTER event tables: event and species, as NOAA's scripts read them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pseudorca.formats.base import Writer


class Banter(Writer):
    """Encounters as events. BANTER takes any third column for a predictor, and refuses events without
    a species, so the undecided are left to the other tables. R reads ``NA`` as unknown: a population
    of that name is written ``NA_``."""

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        species = decided["decision"].replace("NA", "NA_")
        table = pd.DataFrame({"event.id": decided["encounter"], "species": species})
        self.grow("banter.csv", table)
        return super().finish(tables, decided)

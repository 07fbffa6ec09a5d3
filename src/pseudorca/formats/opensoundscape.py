"""OpenSoundscape scores: a row per clip, a column per class, empty where a file failed."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pseudorca.formats.base import Portion, Writer, with_files


class OpenSoundscape(Writer):
    """Probabilities by (file, start, end). A file with a problem has a row without times and scores,
    as OpenSoundscape gives one to a file that it cannot read."""

    name = "opensoundscape.csv"

    def add(self, some: Portion) -> None:
        clips = with_files(some.tables["clip"], some.recordings)
        classes = [name for name in clips.columns if name.startswith("p_")]
        index = {"start_s": "start_time", "end_s": "end_time"}
        table = clips[["file", *index, *classes]].rename(columns=index)
        table.columns = [*table.columns[:3], *(name.removeprefix("p_") for name in classes)]
        self.grow(self.name, table)

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        problems = tables.get("problem")
        if problems is not None and len(problems) and self.name in self.growing:
            once = self.about.recordings.drop_duplicates("path", keep=False)
            known = dict(zip(once["path"], once["file"], strict=True))
            failed = [known.get(path, path) for path in problems["path"].drop_duplicates()]
            columns = self.growing[self.name].columns
            self.grow(self.name, pd.DataFrame({"file": failed}).reindex(columns=columns))
        return super().finish(tables, decided)

"""OpenSoundscape scores: a row per clip, a column per class, empty where a file failed."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pseudorca.formats.base import Portion, Writer, with_files


class OpenSoundscape(Writer):
    """A CSV of probabilities by (file, start, end).

    A file with a problem has one row without times and scores. OpenSoundscape writes such a row for a
    file that it cannot read.
    """

    name = "opensoundscape.csv"

    def add(self, portion: Portion) -> None:
        clips = with_files(portion.tables["clip"], portion.recordings)
        classes = [name for name in clips.columns if name.startswith("p_")]
        index = {"start_s": "start_time", "end_s": "end_time"}
        table = clips[["file", *index, *classes]].rename(columns=index)
        table.columns = [*table.columns[:3], *(name.removeprefix("p_") for name in classes)]
        self.grow(self.name, table)

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        problems = tables.get("problem")
        if problems is not None and len(problems) and self.name in self.growing:
            unique = self.about.recordings.drop_duplicates("path", keep=False)
            known = dict(zip(unique["path"], unique["file"], strict=True))
            failed = [known.get(path, path) for path in problems["path"].drop_duplicates()]
            columns = self.growing[self.name].columns
            self.grow(self.name, pd.DataFrame({"file": failed}).reindex(columns=columns))
        return super().finish(tables, decided)

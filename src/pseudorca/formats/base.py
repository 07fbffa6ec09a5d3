"""What all formats of one run share: the portion that is written, and names that are safe as files."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.formats.whole import GrowingTable

_MAX_NAME_BYTES = 180
"""Of a file's name, so that ours with its endings stays below the 255 of most file systems."""


class About:
    """What every format needs to know of a run.

    Parameters
    ----------
    folder : Path
    recordings : DataFrame
        The table ``recordings`` with the whole path of each file as ``file``
    band_hz : (low, high) or None
    channel : int, from 1
    line : DataFrame
        The recordings in order of each recorder's clock: ``recording_id``, ``recorder``,
        ``sample_rate``, ``n_channels``, ``duration_s``
    """

    def __init__(
        self,
        folder: Path,
        recordings: pd.DataFrame,
        band_hz: tuple[float, float] | None,
        channel: int,
        line: pd.DataFrame,
    ) -> None:
        self.folder, self.recordings, self.line = folder, recordings, line
        self.band_hz, self.channel = band_hz, channel
        ids = recordings["recording_id"]
        stems = [PurePosixPath(path).stem for path in recordings["path"]]
        self.target = dict(zip(ids, file_names(stems, ids), strict=True))


@dataclass(frozen=True)
class Portion:
    """What was said of some recordings."""

    tables: Mapping[str, pd.DataFrame]
    recordings: pd.DataFrame
    selections: pd.DataFrame
    """Detections that each lie within one file."""
    named: pd.DataFrame
    """The clips that were given a name of a population."""


class Writer:
    """One format of one run."""

    def __init__(self, about: About) -> None:
        self.about = about
        self.growing: dict[str, GrowingTable] = {}
        self.written: list[Path] = []
        self.is_finished = False

    def add(self, some: Portion) -> None:
        """Take in some recordings."""

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        """Let the files appear. ``decided``: the encounters that are not undecided."""
        self.written += [table.finish() for table in self.growing.values()]
        self.is_finished = True
        return self.written

    def abandon(self) -> None:
        """Remove what was begun, if it was never finished."""
        for table in self.growing.values():
            table.abandon()
        if not self.is_finished:
            for path in self.written:
                path.unlink(missing_ok=True)

    def grow(self, name: str, table: pd.DataFrame) -> None:
        """Append to a table of the folder."""
        if name not in self.growing:
            self.growing[name] = GrowingTable(self.about.folder / name)
        self.growing[name].append(table)


def grouped_by_file(selections: pd.DataFrame, recordings: pd.DataFrame) -> dict[Any, list[Any]]:
    """Selections by recording, in order of time; those of a moment are in all of its files."""
    if selections.empty:
        return {}
    moment_of = recordings.set_index("recording_id")["moment_id"]
    selections = selections.assign(moment_id=selections["recording_id"].map(moment_of))
    files = recordings[["moment_id", "recording_id", "duration_s"]]
    rows = selections.drop(columns=["recording_id", "duration_s"]).merge(files, on="moment_id")
    rows["end_s"] = np.minimum(rows["end_s"], rows["duration_s"])  # of another length, rarely
    rows = rows[rows["start_s"] < rows["end_s"]]
    by_file: dict[Any, list[Any]] = {}
    for row in rows.sort_values(["start_s", "end_s", "decision"], kind="stable").itertuples():
        by_file.setdefault(row.recording_id, []).append(row)
    return by_file


def with_files(clips: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Clips with the whole path of their file as ``file``."""
    return clips.assign(
        file=clips["recording_id"].map(recordings.set_index("recording_id")["file"])
    )


def file_names(names: Iterable[str], ids: Iterable[str]) -> list[str]:
    """Names of files for names of things; those that no name tells apart bear their ids."""
    safe = [unicodedata.normalize("NFC", _visible(name)) for name in names]
    safe = [re.sub(r'[<>:"/\\|?*]', "_", name).strip(" .") or "_" for name in safe]
    short = [name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") for name in safe]
    n_alike = Counter(name.casefold() for name in short)
    return [
        f"{name}.{identity}" if n_alike[name.casefold()] > 1 or name != whole else name
        for name, whole, identity in zip(short, safe, ids, strict=True)
    ]


def cell_text(value: Any) -> str:
    """A value for a table without quoting, where a quote at the beginning could be taken for one."""
    text = "" if pd.isna(value) else _visible(str(value))
    return f"”{text[1:]}" if text.startswith('"') else text


def _visible(text: str) -> str:
    """Replace tabs, line breaks and other control characters by signs that show them."""
    return re.sub(r"[\x00-\x1f]", lambda found: chr(0x2400 + ord(found[0])), text).replace(
        "\x7f", "␡"
    )

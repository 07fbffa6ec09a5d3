"""The base of all formats: a writer, the data that a writer receives, and safe file names."""

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
"""Length of a file name without endings: most file systems allow 255 bytes in all."""


class About:
    """The settings of one run of prediction that every format needs.

    Parameters
    ----------
    folder : Path
    recordings : DataFrame
        The table ``recordings`` with the full path of each file as ``file``
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
    """The predictions for some recordings.

    ``tables``: tables by unit. ``recordings``: rows of the table ``recordings`` with the full path of
    each file as ``file``.
    """

    tables: Mapping[str, pd.DataFrame]
    recordings: pd.DataFrame
    selections: pd.DataFrame
    """Detections. Each detection lies within one file."""
    named: pd.DataFrame
    """The clips whose decision is a population."""


class Writer:
    """One format of one run."""

    def __init__(self, about: About) -> None:
        self.about = about
        self.growing: dict[str, GrowingTable] = {}
        self.written: list[Path] = []
        self.is_finished = False

    def add(self, portion: Portion) -> None:
        """Add the predictions for some recordings."""

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        """Complete the files.

        Parameters
        ----------
        tables : dict from unit to table, of the whole run
        decided : DataFrame, the encounters with a decision

        Returns
        -------
        list of the paths written
        """
        self.written += [table.finish() for table in self.growing.values()]
        self.is_finished = True
        return self.written

    def abandon(self) -> None:
        """Remove all files, unless :meth:`finish` has completed them."""
        for table in self.growing.values():
            table.abandon()
        if not self.is_finished:
            for path in self.written:
                path.unlink(missing_ok=True)

    def grow(self, name: str, table: pd.DataFrame) -> None:
        """Append rows to a file.

        Parameters
        ----------
        name : str, name of the file in the folder of the run
        table : DataFrame
        """
        if name not in self.growing:
            self.growing[name] = GrowingTable(self.about.folder / name)
        self.growing[name].append(table)


def grouped_by_file(selections: pd.DataFrame, recordings: pd.DataFrame) -> dict[Any, list[Any]]:
    """Group selections by recording, in order of time.

    Several files may hold the channels of one moment. A selection belongs to all of these files.

    Parameters
    ----------
    selections : DataFrame with ``recording_id, start_s, end_s, decision``
    recordings : DataFrame with ``recording_id, moment_id, duration_s``

    Returns
    -------
    dict from recording_id to rows of ``selections`` as named tuples

    Examples
    --------
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["a", "b"], "moment_id": ["m", "m"], "duration_s": [4.0, 4.0]}
    ... )
    >>> selections = pd.DataFrame(
    ...     {"recording_id": ["a"], "start_s": [1.0], "end_s": [2.0], "duration_s": [4.0],
    ...      "decision": ["Insular"]}
    ... )
    >>> {name: len(rows) for name, rows in grouped_by_file(selections, recordings).items()}
    {'a': 1, 'b': 1}
    """
    if selections.empty:
        return {}
    moment_of = recordings.set_index("recording_id")["moment_id"]
    selections = selections.assign(moment_id=selections["recording_id"].map(moment_of))
    files = recordings[["moment_id", "recording_id", "duration_s"]]
    rows = selections.drop(columns=["recording_id", "duration_s"]).merge(files, on="moment_id")
    rows["end_s"] = np.minimum(rows["end_s"], rows["duration_s"])  # files of a moment may differ
    rows = rows[rows["start_s"] < rows["end_s"]]
    by_file: dict[Any, list[Any]] = {}
    for row in rows.sort_values(["start_s", "end_s", "decision"], kind="stable").itertuples():
        by_file.setdefault(row.recording_id, []).append(row)
    return by_file


def with_files(clips: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Add the full path of the recording to each clip.

    Parameters
    ----------
    clips : DataFrame with ``recording_id``
    recordings : DataFrame with ``recording_id, file``

    Returns
    -------
    DataFrame, the clips with a column ``file``

    Examples
    --------
    >>> recordings = pd.DataFrame({"recording_id": ["a"], "file": ["/sea/a.wav"]})
    >>> with_files(pd.DataFrame({"recording_id": ["a"]}), recordings)["file"].tolist()
    ['/sea/a.wav']
    """
    return clips.assign(
        file=clips["recording_id"].map(recordings.set_index("recording_id")["file"])
    )


def file_names(names: Iterable[str], ids: Iterable[str]) -> list[str]:
    """Make file names that all common file systems accept. An id is added to equal names.

    Parameters
    ----------
    names : iterable of str
    ids : iterable of str, one per name

    Returns
    -------
    list of str

    Examples
    --------
    >>> file_names(["a:b", "tape", "Tape"], ["1", "2", "3"])
    ['a_b', 'tape.2', 'Tape.3']
    """
    safe = [unicodedata.normalize("NFC", _visible(name)) for name in names]
    safe = [re.sub(r'[<>:"/\\|?*]', "_", name).strip(" .") or "_" for name in safe]
    shortened = [name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") for name in safe]
    n_alike = Counter(name.casefold() for name in shortened)
    return [
        f"{name}.{identity}" if n_alike[name.casefold()] > 1 or name != whole else name
        for name, whole, identity in zip(shortened, safe, ids, strict=True)
    ]


def cell_text(value: Any) -> str:
    """Write a value into a table that has no quoting.

    Control characters become visible signs. A quotation mark at the beginning is replaced, because
    a reader could take the mark for the begin of a quoted cell.

    Parameters
    ----------
    value : any scalar; a missing value gives an empty text

    Returns
    -------
    str

    Examples
    --------
    >>> cell_text("a\\tb"), cell_text(None)
    ('a␉b', '')
    """
    text = "" if pd.isna(value) else _visible(str(value))
    return f"”{text[1:]}" if text.startswith('"') else text


def _visible(text: str) -> str:
    """Replace control characters, such as tabs and line breaks, by visible signs."""
    return re.sub(r"[\x00-\x1f]", lambda character: chr(0x2400 + ord(character[0])), text).replace(
        "\x7f", "␡"
    )

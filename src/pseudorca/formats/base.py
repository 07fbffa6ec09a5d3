"""The base of all formats: a writer, the data that a writer receives, and safe file names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.formats.whole import GrowingTable

_MAX_NAME_BYTES = 180
"""Length of a file name without endings: most file systems allow 255 bytes in all."""

_VISIBLE = {code: 0x2400 + code for code in range(0x20)} | {0x7F: "␡"}
"""Visible signs of control characters, such as tabs and line breaks."""


@dataclass(frozen=True, eq=False)
class About:
    """The settings of one run of prediction that every format needs.

    Examples
    --------
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["day1/a.wav"]})
    >>> About(Path("out"), recordings, (0.0, 15_040.0), 1, line=pd.DataFrame()).target
    {'r1': 'a'}
    """

    folder: Path
    recordings: pd.DataFrame
    """The table ``recordings`` with the full path of each file as ``file``."""
    band_hz: tuple[float, float] | None
    """Lowest and highest frequency."""
    channel: int
    """From 1."""
    line: pd.DataFrame
    """The recordings, and files that cannot be used, in order of each recorder's clock:
    ``recording_id``, ``recorder``, ``sample_rate``, ``n_channels``, ``duration_s``."""
    for_excel: bool = False
    """Whether the CSV tables are for Excel."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the classifier, such as its accuracy and the audit's verdict, by column."""

    @cached_property
    def target(self) -> dict[Any, str]:
        """The name of the file of each recording, without its ending, by ``recording_id``."""
        ids = self.recordings["recording_id"]
        stems = [PurePosixPath(path).stem for path in self.recordings["path"]]
        return dict(zip(ids, file_names(stems, ids), strict=True))


@dataclass(frozen=True, eq=False)
class Portion:
    """The predictions for some recordings.

    Examples
    --------
    >>> clips = pd.DataFrame({"recording_id": ["r1"], "decision": ["Insular"]})
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "file": ["/data/a.wav"]})
    >>> portion = Portion({"clip": clips}, recordings, selections=clips[:0], named=clips)
    >>> portion.named["decision"].tolist()
    ['Insular']
    """

    tables: Mapping[str, pd.DataFrame]
    """Tables by unit."""
    recordings: pd.DataFrame
    """Rows of the table ``recordings`` with the full path of each file as ``file``."""
    selections: pd.DataFrame
    """Detections. Each detection lies within one file."""
    named: pd.DataFrame
    """The clips whose decision is a population."""


class Writer:
    """One format of one run. A format overrides :meth:`add`, :meth:`finish` or both.

    Parameters
    ----------
    about : About

    Examples
    --------
    >>> import tempfile
    >>> class ClipTable(Writer):
    ...     def add(self, portion):
    ...         self.grow("clips.csv", portion.tables["clip"])
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["a.wav"]})
    >>> clips = pd.DataFrame({"decision": ["Insular"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = ClipTable(About(Path(folder), recordings, None, 1, recordings))
    ...     writer.add(Portion({"clip": clips}, recordings, clips[:0], clips))
    ...     (path,) = writer.finish({}, clips)
    ...     path.read_text()
    'decision\\nInsular\\n'
    """

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

    def grow(self, name: str, table: pd.DataFrame, *, for_excel: bool = False) -> None:
        """Append rows to a file.

        Parameters
        ----------
        name : str, name of the file in the folder of the run
        table : DataFrame
        for_excel : bool, see :class:`~pseudorca.formats.whole.GrowingTable`
        """
        if name not in self.growing:
            target = self.about.folder / name
            self.growing[name] = GrowingTable(target, for_excel=for_excel)
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
    safe = [unicodedata.normalize("NFC", name.translate(_VISIBLE)) for name in names]
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
    text = "" if pd.isna(value) else str(value).translate(_VISIBLE)
    return f"”{text[1:]}" if text.startswith('"') else text

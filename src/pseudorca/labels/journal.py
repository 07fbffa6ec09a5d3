"""The journal of labels: an append-only file with one JSON line per annotation.

In: annotations. Out: the same annotations in the order of writing. A line is on the disk before its
annotation counts as saved. The database gives no such guarantee. Labels cannot be computed again, so
the journal is readable in projects of every format.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pseudorca.errors import PseudorcaError, StoreError
from pseudorca.labels.annotation import Annotation
from pseudorca.store import LABEL_FOLDER

_JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Journal:
    """The content of a journal.

    ``rows``: the annotations in the order of writing, each id once. ``notices``: a sentence for every
    line that cannot be read. Such a line stays in the file.
    """

    rows: Sequence[Annotation]
    notices: Sequence[str]


def journal_path(folder: str | os.PathLike[str]) -> Path:
    """Return the path of the journal of a project.

    Parameters
    ----------
    folder : path of the project folder

    Returns
    -------
    Path

    Examples
    --------
    >>> journal_path("whales").as_posix()
    'whales/labels/journal.jsonl'
    """
    return Path(folder) / LABEL_FOLDER / _JOURNAL


def read_journal(folder: str | os.PathLike[str]) -> Journal:
    """Read the labels of a project folder of any format, older ones included.

    Parameters
    ----------
    folder : path of the project folder

    Returns
    -------
    Journal, empty if the project has no labels

    Raises
    ------
    StoreError
        If the file exists and cannot be opened.

    Examples
    --------
    >>> read_journal("no such folder").rows
    ()
    """
    path = journal_path(folder)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Journal((), ())
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    rows: dict[str, Annotation] = {}
    notices = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = Annotation.from_mapping(dict(json.loads(line)))
            if row.annotation_id is None:
                raise PseudorcaError("the annotation has no annotation_id")
            rows.setdefault(row.annotation_id, row)
        except (ValueError, TypeError, PseudorcaError) as error:
            is_last = number == len(lines)
            why = "the program was stopped while it wrote it" if is_last else str(error)
            notices.append(
                f"Line {number} of {path} cannot be read and is left out: {why}. The line stays in "
                "the file. Correct the line with a text editor, or give the answer again."
            )
    return Journal(tuple(rows.values()), tuple(notices))


def append_lines(folder: str | os.PathLike[str], rows: Iterable[Annotation]) -> None:
    """Append annotations to a journal. The annotations are on the disk when the function returns.

    The caller holds the lock of the labels.

    Parameters
    ----------
    folder : path of the project folder
    rows : iterable of Annotation

    Raises
    ------
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     retraction = Annotation(
    ...         annotation_id="1", annotator="Ana", action="retract", replaces="0"
    ...     )
    ...     append_lines(folder, [retraction])
    ...     len(read_journal(folder).rows)
    1
    """
    path = journal_path(folder)
    text = "".join(
        json.dumps({name: value for name, value in row.values().items() if value is not None})
        + "\n"
        for row in rows
    )
    try:
        path.parent.mkdir(exist_ok=True)
        is_new = not path.exists()
        with path.open("ab+") as file:
            if _is_torn(file):
                text = "\n" + text  # an incomplete line stays a separate line
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            for parent in (path.parent, path.parent.parent):
                _sync_folder(parent)
    except OSError as error:
        raise StoreError(
            f"the label was not saved: {path} cannot be written: {error.strerror or error}. Make "
            "room or give yourself permission, then answer again."
        ) from error


def _is_torn(file: BinaryIO) -> bool:
    """Return whether the last line of a file has no line end. The file is opened at its end."""
    if not file.tell():
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _sync_folder(folder: Path) -> None:
    """Write the directory entry of a new file to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

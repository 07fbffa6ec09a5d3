"""The labels of a project: add, retract, export and import annotations; labels in force.

In: annotations, one by one or from a CSV file. Out: the log of annotations, and the label in force of
every unit. The annotations are in the journal, an append-only file with one JSON line per annotation.
A line is on the disk before its annotation counts as saved. The database gives no such guarantee.
Labels cannot be computed again, so the journal is readable in projects of every format. The table
``annotations`` is a copy of the journal for queries of the database.
"""

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pseudorca.errors import PseudorcaError, StoreError, unknown_name
from pseudorca.formats.user_tables import read_user_table
from pseudorca.formats.whole import write_text
from pseudorca.labels.annotation import Annotation, labels_in_force
from pseudorca.store import LABEL_FOLDER, TABLES, Store, as_table
from pseudorca.values import hash_of

if TYPE_CHECKING:
    import pandas as pd

_JOURNAL = "journal.jsonl"
_LOCK = ".lock"
_LABEL_COLUMNS = (
    "unit", "unit_id", "question", "answer", "standing", "n_annotators", "n_agree", "annotation_id",
    "annotator", "time_utc", "basis", "certainty", "blind", "recording_id", "channel", "start_s",
    "end_s", "low_hz", "high_hz",
)  # fmt: skip


@dataclass(frozen=True)
class Journal:
    """The content of a journal.

    Examples
    --------
    >>> journal = read_journal("no such folder")
    >>> journal == Journal(rows=(), notices=())
    True
    """

    rows: Sequence[Annotation]
    """The annotations in the order of writing, each id once."""
    notices: Sequence[str]
    """A sentence for every line that cannot be read. Such a line stays in the file."""


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
        json.dumps({name: value for name, value in asdict(row).items() if value is not None}) + "\n"
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


class Labels:
    """The labels of one project.

    The labels have their own lock. A label can be saved while a classifier is trained.

    Parameters
    ----------
    store : Store

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     labels = Labels(Store(f"{folder}/whales", create=True))
    ...     whistle = Annotation(
    ...         annotator="Ana", unit="clip", unit_id="5f1c", question="content", answer="whistle"
    ...     )
    ...     annotation_id = labels.add(whistle)
    ...     labels.in_force()["answer"].tolist()
    ['whistle']
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def notices(self) -> Sequence[str]:
        """Sentences about lines of the journal that cannot be read."""
        return read_journal(self.store.folder).notices

    def log(self) -> "pd.DataFrame":
        """Return all annotations in the order of writing.

        Returns
        -------
        DataFrame with the columns of the table ``annotations``
        """
        return as_table("annotations", map(asdict, read_journal(self.store.folder).rows))

    def add(self, annotation: Annotation) -> str:
        """Save an annotation. The annotation is on the disk when the method returns.

        Parameters
        ----------
        annotation : Annotation
            An id or a time that is None is set here.

        Returns
        -------
        str, the annotation_id

        Raises
        ------
        PseudorcaError
            If the annotation to replace is not in the log, or the id exists already.
        StoreError
            If the annotation cannot be written.
        """
        row = replace(
            annotation,
            annotation_id=annotation.annotation_id or uuid.uuid4().hex[:20],
            time_utc=annotation.time_utc or _now(),
        )
        assert row.annotation_id is not None
        with self._locked():
            if annotation.replaces is not None or annotation.annotation_id is not None:
                known = {old.annotation_id for old in read_journal(self.store.folder).rows}
                if row.annotation_id in known:
                    raise PseudorcaError(
                        f"the annotation {row.annotation_id} is in the log already. Leave its id "
                        "out, or give a new one."
                    )
                if row.replaces is not None and row.replaces not in known:
                    names = [name for name in known if name is not None]
                    raise PseudorcaError(
                        unknown_name("annotation to replace", row.replaces, names, shown=3)
                    )
            append_lines(self.store.folder, [row])
        return row.annotation_id

    def retract(self, annotation_id: str, *, annotator: str, note: str | None = None) -> str:
        """Retract an annotation. The annotation stays in the log.

        Parameters
        ----------
        annotation_id : str, of an answer, or of a retraction to undo
        annotator : str, the person who retracts
        note : str or None

        Returns
        -------
        str, the id of the retraction

        Raises
        ------
        PseudorcaError
            If no annotation has this id.
        """
        return self.add(
            Annotation(annotator=annotator, action="retract", replaces=annotation_id, note=note)
        )

    def in_force(self) -> "pd.DataFrame":
        """Return the labels in force.

        Returns
        -------
        DataFrame, a row per unit and question
            ``answer`` is null if ``standing`` is ``disputed``. ``annotation_id`` and all columns
            behind it describe the last annotation with this answer. See
            :func:`pseudorca.labels.annotation.labels_in_force`.
        """
        import pandas as pd

        labels = labels_in_force(read_journal(self.store.folder).rows).values()
        table = as_table(
            "annotations", [asdict(label.last) | {"answer": label.answer} for label in labels]
        )
        table["standing"] = pd.array([label.standing for label in labels], dtype="string")
        for name in ("n_annotators", "n_agree"):
            table[name] = pd.array([getattr(label, name) for label in labels], dtype="int64")
        return table[list(_LABEL_COLUMNS)]

    def sync(self) -> int:
        """Write the table ``annotations`` from the journal.

        Call this method at the end of a session: a commit per label would make thousands of files.

        Returns
        -------
        int, number of rows
        """
        with self._locked():
            log = self.log()
            self.store.write("annotations", log)
        return len(log)

    def export_csv(self, target: str | os.PathLike[str]) -> Path:
        """Write the whole log as a CSV file (UTF-8), which :meth:`import_csv` reads back.

        Parameters
        ----------
        target : path of the file

        Returns
        -------
        Path, the file

        Raises
        ------
        PseudorcaError
            If the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, list(TABLES["annotations"]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(map(asdict, read_journal(self.store.folder).rows))
        return write_text([text.getvalue()], Path(target))

    def import_csv(self, source: str | os.PathLike[str], *, annotator: str | None = None) -> int:
        """Add the rows of a CSV file to the log. One wrong row stops the whole import.

        A row whose id is in the log is skipped, so a file is imported only once. The id of a row
        without an id is a hash of the row.

        Parameters
        ----------
        source : path of a table, see :func:`~pseudorca.formats.user_tables.read_user_table`
            Columns as in the table ``annotations``. The columns unit, unit_id, question and answer
            are required, and annotator unless the argument is given. Other columns are ignored.
        annotator : str or None, for rows without an annotator

        Returns
        -------
        int, number of new annotations

        Raises
        ------
        PseudorcaError
            If the file cannot be read, or a row is not a valid annotation.
        """
        path = Path(source)
        rows = []
        for number, line in _lines_of(path):
            values: dict[str, Any] = {"annotator": annotator}
            values |= {name: value for name, value in line.items() if value}
            values.setdefault("annotation_id", hash_of(values))
            values.setdefault("source", json.dumps({"file": path.name, "row": number}))
            values.setdefault("time_utc", _now())
            try:
                rows.append(Annotation.from_mapping(values))
            except PseudorcaError as error:
                raise PseudorcaError(f"{path}, line {number}: {error}") from error
        with self._locked():
            known = {row.annotation_id for row in read_journal(self.store.folder).rows}
            new = {row.annotation_id: row for row in rows if row.annotation_id not in known}
            if new:
                append_lines(self.store.folder, new.values())
        return len(new)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the labels against other writers."""
        from filelock import FileLock

        folder = journal_path(self.store.folder).parent
        lock = FileLock(folder / _LOCK)
        try:
            folder.mkdir(exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise StoreError(
                f"labels in {folder} cannot be saved: {error.strerror or error}. Copy the project "
                "to where you may write."
            ) from error
        try:
            yield
        finally:
            lock.release()


def _lines_of(path: Path) -> Iterator[tuple[int, dict[Any, str]]]:
    """The rows of a table, by line. Of an exported log every sign is kept."""
    exported = ",".join(f'"{name}"' for name in TABLES["annotations"]).encode()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PseudorcaError(f"{path} cannot be read: {error.strerror or error}.") from error
    if data.startswith(exported):
        text = io.StringIO(data.decode("utf-8", "backslashreplace"), newline="")
        yield from enumerate(csv.DictReader(text), 2)
        return
    table = read_user_table(path, data)
    for number, why in table.broken.items():
        raise PseudorcaError(f"{path}, line {number}: {why}. Quote a cell that holds a comma.")
    yield from table.rows()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

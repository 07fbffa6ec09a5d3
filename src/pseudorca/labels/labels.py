"""The labels of a project: add, retract, export and import annotations; labels in force.

In: annotations, one by one or from a CSV file. Out: the log of annotations, and the label in force of
every unit. The journal holds the annotations. The table ``annotations`` is a copy of the journal for
queries of the database.
"""

import csv
import io
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudorca.errors import PseudorcaError, StoreError, unknown_name
from pseudorca.formats.whole import write_text
from pseudorca.labels.annotation import Annotation
from pseudorca.labels.fold import labels_in_force
from pseudorca.labels.journal import append_lines, journal_path, read_journal
from pseudorca.store import TABLES, Store
from pseudorca.values import hash_of

if TYPE_CHECKING:
    import pandas as pd

_LOCK = ".lock"
_LABEL_COLUMNS = (
    "unit", "unit_id", "question", "answer", "standing", "n_annotators", "n_agree", "annotation_id",
    "annotator", "time_utc", "basis", "certainty", "blind", "recording_id", "channel", "start_s",
    "end_s", "low_hz", "high_hz",
)  # fmt: skip


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
        rows = [row.values() for row in read_journal(self.store.folder).rows]
        return _table(rows, list(TABLES["annotations"]))

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
            :func:`pseudorca.labels.fold.labels_in_force`.
        """
        rows = []
        for (unit, unit_id, question), label in labels_in_force(
            read_journal(self.store.folder).rows
        ).items():
            row = label.last.values()
            row |= {"unit": unit, "unit_id": unit_id, "question": question}
            row |= {"answer": label.answer, "standing": label.standing}
            row |= {"n_annotators": label.n_annotators, "n_agree": label.n_agree}
            rows.append(row)
        table = _table(rows, list(_LABEL_COLUMNS))
        return table.astype({"n_annotators": "int64", "n_agree": "int64", "standing": "string"})

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
        writer.writerows(row.values() for row in read_journal(self.store.folder).rows)
        return write_text([text.getvalue()], Path(target))

    def import_csv(self, source: str | os.PathLike[str], *, annotator: str | None = None) -> int:
        """Add the rows of a CSV file to the log. One wrong row stops the whole import.

        A row whose id is in the log is skipped, so a file is imported only once. The id of a row
        without an id is a hash of the row.

        Parameters
        ----------
        source : path of a CSV file (UTF-8)
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
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                lines = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise PseudorcaError(f"{path} cannot be read: {error}. Give a CSV in UTF-8.") from error
        rows = []
        for number, line in enumerate(lines, 2):
            values: dict[str, Any] = {"annotator": annotator}
            values |= {name: value for name, value in line.items() if value}
            values.setdefault("annotation_id", hash_of(values))
            values.setdefault("source", json.dumps({"file": path.name, "row": number}))
            values.setdefault("time_utc", _now())
            try:
                rows.append(Annotation.from_mapping(values))
            except PseudorcaError as error:
                raise PseudorcaError(f"{path}, row {number}: {error}") from error
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _table(rows: Sequence[dict[str, Any]], columns: list[str]) -> "pd.DataFrame":
    """Lay rows out as a table whose columns have the types of ``annotations``."""
    import pandas as pd

    types = {"string": "string", "float64": "float64", "bool": "boolean"}
    kinds = TABLES["annotations"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({name: types[kinds[name]] for name in columns if name in kinds})

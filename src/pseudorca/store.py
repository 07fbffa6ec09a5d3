"""A project folder: one embedded database of the project's tables, and what was run to make them.

In: pandas tables and float32 vectors. Out: the same tables and vectors, after any crash. Each table
has a version number. Every write is one LanceDB commit, so a killed run leaves complete tables.
Each embedder has a table of its own, because its vectors have one width. The key is the clip.
"""

import errno
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pseudorca._version import __version__
from pseudorca.errors import StoreError
from pseudorca.values import plural

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


FORMAT = 3
"""Version of the layout. A project of another format is refused and never misread."""

EMBEDDER_FOLDER = "embedder"
CLASSIFIER_FOLDER = "classifiers"
PREDICTION_FOLDER = "predictions"
LABEL_FOLDER = "labels"
"""Folders inside a project beside its tables."""

SETTINGS_FILE, LOCK_FILE = "project.json", ".lock"
"""Files of a project: the settings that verbs keep, and the lock of the project."""

_DATABASE = "tables"
_SETTINGS_LOCK = ".settings.lock"
_COMMITS_PER_INDEX = 64  # every commit adds a fragment, and each query reads all fragments
_IDS_PER_QUERY = 1024
_JOINT = "+"  # between the ids of embedders whose vectors are concatenated
_TEXT, _REAL, _WHOLE, _FLAG = "string", "float64", "int64", "bool"

TABLES: dict[str, dict[str, str]] = {
    "recordings": {
        "recording_id": _TEXT, "root": _TEXT, "path": _TEXT, "content_hash": _TEXT,
        "hash_kind": _TEXT, "format": _TEXT, "sample_rate": _WHOLE, "n_channels": _WHOLE,
        "n_frames": _WHOLE, "duration_s": _REAL, "peak": _REAL, "start_utc": "time",
        "time_zone": _TEXT, "time_source": _TEXT, "label": _TEXT, "encounter": _TEXT,
        "platform": _TEXT, "recorder": _TEXT, "channel": _WHOLE, "selection": _TEXT,
        "moment_id": _TEXT, "fingerprint": _TEXT, "metadata": _TEXT, "holes": _TEXT,
    },
    "problems": {
        "path": _TEXT, "stage": _TEXT, "reason": _TEXT, "detail": _TEXT, "clip_id": _TEXT,
        "embedder_id": _TEXT,
    },
    "clips": {
        "clip_id": _TEXT, "recording_id": _TEXT, "moment_id": _TEXT, "channel": _TEXT,
        "start_s": _REAL, "end_s": _REAL, "padded_s": _REAL, "pad": _TEXT, "label": _TEXT,
        "encounter": _TEXT,
    },
    "scores": {
        "clip_id": _TEXT, "classifier_id": _TEXT, "split_id": _TEXT, "repeat": _WHOLE,
        "fold": _WHOLE, "population": _TEXT, "score": _REAL, "set_name": _TEXT,
    },
    "decisions": {
        "unit": _TEXT, "unit_id": _TEXT, "classifier_id": _TEXT, "split_id": _TEXT, "prior": _TEXT,
        "decision": _TEXT, "probability": _REAL, "n_moments": _WHOLE, "reason": _TEXT,
        "set_name": _TEXT,
    },
    "predicted": {},
    "predicted_problems": {},
    "unusable": {},
    "evaluations": {"split_id": _TEXT, "classifier_id": _TEXT, "time_utc": _TEXT, "result": _TEXT},
    "audits": {"audit_id": _TEXT, "time_utc": _TEXT, "result": _TEXT},
    "annotations": {
        "annotation_id": _TEXT, "time_utc": _TEXT, "annotator": _TEXT, "action": _TEXT,
        "replaces": _TEXT, "unit": _TEXT, "unit_id": _TEXT, "recording_id": _TEXT,
        "channel": _TEXT, "start_s": _REAL, "end_s": _REAL, "low_hz": _REAL, "high_hz": _REAL,
        "question": _TEXT, "answer": _TEXT, "certainty": _TEXT, "basis": _TEXT, "note": _TEXT,
        "session_id": _TEXT, "sample_id": _TEXT, "p_offered": _REAL, "blind": _FLAG,
        "shown": _TEXT, "source": _TEXT,
    },
    "runs": {"verb": _TEXT, "time_utc": _TEXT, "settings": _TEXT, "provenance": _TEXT},
}  # fmt: skip
TABLES["predicted"] = TABLES["unusable"] = TABLES["recordings"] | {"set_name": _TEXT}
TABLES["predicted_problems"] = TABLES["problems"] | {"set_name": _TEXT}
"""Columns of every table and their types, stated here and nowhere else.

``recordings``: ``holes`` is a JSON list of [start, end] in seconds, lost inside the file; null if none.
``problems``: ``clip_id`` and ``embedder_id`` are null if a whole file failed before any embedding.
``set_name``: the name of the recordings that were predicted together; empty for the scores of an
evaluation.
"""

_SHOWN = ("path", "stage", "reason", "detail")


class Store:
    """The tables of one project.

    Parameters
    ----------
    folder : path of the project folder
    create : bool, make the folder if it is not there

    Raises
    ------
    StoreError
        If the folder is not a project, or one of another format.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/whales", create=True)
    ...     store.append_vectors("5f1c", ["clip1", "clip2"], np.eye(2, 4, dtype=np.float32))
    ...     store.embedded("5f1c") == {"clip1", "clip2"}, store.vectors("5f1c", ["clip2"]).shape
    (True, (1, 4))
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = False) -> None:
        self.folder = Path(folder)
        settings = self.folder / SETTINGS_FILE
        if not settings.exists():
            if not create:
                raise StoreError(
                    f"{self.folder} is not a pseudorca project. Begin with: "
                    f"pseudorca scan FOLDER --project {self.folder}"
                )
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise StoreError(
                    f"{self.folder} is not empty and is no pseudorca project. Choose a new folder."
                )
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                settings.write_text(json.dumps({"format": FORMAT, "pseudorca": __version__}) + "\n")
            except OSError as error:
                raise StoreError(f"{self.folder} cannot be made: {error.strerror}.") from error
        made_as = _read_settings(settings).get("format")
        if made_as != FORMAT:
            raise StoreError(_refusal(self.folder, made_as))

    def is_untouched(self) -> bool:
        """Return whether nothing was ever written in the project."""
        names = {path.name for path in self.folder.iterdir()} - {LOCK_FILE, _SETTINGS_LOCK}
        settings = _read_settings(self.folder / SETTINGS_FILE)
        return names == {SETTINGS_FILE} and settings.keys() == {"format", "pseudorca"}

    @cached_property
    def _database(self) -> Any:
        os.environ.setdefault("LANCEDB_LOG", "error")  # LanceDB warns about every new table
        import lancedb

        return lancedb.connect(self.folder / _DATABASE)

    def read(
        self, table: str, *, where: str | None = None, columns: Sequence[str] | None = None
    ) -> "pd.DataFrame":
        """Read a table, or the rows that an SQL condition selects.

        Parameters
        ----------
        table : str, name of the table
        where : str or None, an SQL condition, see :func:`condition`
        columns : sequence of str or None, the columns to read; None reads all columns

        Returns
        -------
        DataFrame, without rows if the table was never written
            Columns that this version added since then are null.
        """
        wanted = list(columns or TABLES[table])
        if not self._has(table):
            return as_table(table, []).loc[:, wanted]
        opened = self._database.open_table(table)
        query = opened.search()
        if where is not None:
            query = query.where(where)
        there = [column for column in wanted if column in opened.schema.names]
        return _frame(_completed(query.select(there).to_arrow(), wanted, table))

    def write(self, table: str, rows: "pd.DataFrame") -> None:
        """Replace a table in one commit."""
        with self._writing(table):
            self._database.create_table(table, _arrow(table, rows), mode="overwrite")

    def append(self, table: str, rows: "pd.DataFrame") -> None:
        """Add rows in one commit."""
        if rows.empty:
            return
        if self._has(table):
            with self._writing(table):
                self._complete(table).add(_arrow(table, rows))
        else:
            self.write(table, rows)

    def delete(self, table: str, **key: str) -> None:
        """Delete the rows whose columns equal ``key``, in one commit."""
        if self._has(table):
            with self._writing(table):
                self._database.open_table(table).delete(condition(key))

    def replace(self, table: str, rows: "pd.DataFrame", **key: str) -> None:
        """Replace the rows whose columns equal ``key`` by ``rows``, in one commit.

        The other rows are copied in batches, so a table of any length needs the same memory.

        Parameters
        ----------
        table : str, name of the table
        rows : DataFrame, the new rows, with the columns of the table
        key : values by column
        """
        if not self._has(table):
            self.write(table, rows)
            return
        old, matching = self._complete(table), condition(key)
        if not old.count_rows(matching):
            self.append(table, rows)
            return
        import pyarrow as pa

        new = _arrow(table, rows)

        def batches() -> Iterator[pa.RecordBatch]:
            others = f"NOT coalesce({matching}, false)"  # a comparison with null is null
            yield from old.search().where(others).select(list(TABLES[table])).to_batches()
            yield from new.to_batches()

        with self._writing(table):
            batches_in_order = pa.RecordBatchReader.from_batches(new.schema, batches())
            self._database.create_table(table, batches_in_order, mode="overwrite")

    def _complete(self, table: str) -> Any:
        """Open a table to write into it. Text columns that it was made without are added."""
        opened = self._database.open_table(table)
        missing = [name for name in TABLES[table] if name not in opened.schema.names]
        if missing:
            opened.add_columns(dict.fromkeys(missing, "cast(NULL as string)"))
            opened = self._database.open_table(table)
        return opened

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Explain why a write failed. All earlier commits stay."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            full = os.strerror(errno.ENOSPC)
            if full not in str(error) and getattr(error, "errno", None) != errno.ENOSPC:
                raise
            raise StoreError(
                f"{what} of {self.folder} cannot be written: {full.lower()}. All that was written "
                "before is kept. Make room, then run the same command again: it goes on from there."
            ) from error

    def setting(self, name: str) -> Any:
        """Return a setting that an earlier verb kept, or None."""
        return _read_settings(self.folder / SETTINGS_FILE).get(name)

    def keep_setting(self, name: str, value: Any) -> None:
        """Keep a JSON value for later verbs."""
        from filelock import FileLock

        path = self.folder / SETTINGS_FILE
        partial = path.with_suffix(".partial")
        # The settings have their own lock, because another verb may hold the project lock for hours.
        with self._writing(SETTINGS_FILE), FileLock(self.folder / _SETTINGS_LOCK):
            settings = _read_settings(path) | {name: value}
            partial.write_text(json.dumps(settings, indent=2) + "\n")
            partial.replace(path)

    def version(self, table: str) -> int:
        """Return the version of a table; 0 if the table was never written."""
        return int(self._database.open_table(table).version) if self._has(table) else 0

    def append_vectors(
        self, embedder_id: str, clip_ids: Sequence[str], vectors: NDArray[np.float32]
    ) -> None:
        """Add embeddings in one commit.

        Parameters
        ----------
        embedder_id : str
        clip_ids : sequence of str [shape=(n_clips,)]
        vectors : ndarray [shape=(n_clips, n_dimensions)], float32
        """
        import pyarrow as pa

        width = vectors.shape[1]
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
        rows = pa.table(
            {
                "clip_id": pa.array(clip_ids, pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, width),
            }
        )
        name = _vector_table(embedder_id)
        with self._writing("embeddings"):
            if not self._has(name):
                self._database.create_table(name, rows)
                return
            table = self._database.open_table(name)
            table.add(rows)
            if table.version % _COMMITS_PER_INDEX == 0:
                from lancedb.index import BTree

                table.create_index("clip_id", config=BTree(), replace=True)

    def embedded(self, embedder_id: str, clip_ids: Sequence[str] | None = None) -> set[str]:
        """Return the clips that have an embedding.

        Parameters
        ----------
        embedder_id : str; a joint id counts only clips that all of its members have embedded
        clip_ids : sequence of str or None
            The clips to look for; None looks for all clips.

        Returns
        -------
        set of str
        """
        parts = member_ids(embedder_id)
        if len(parts) > 1:
            return set.intersection(*(self.embedded(part, clip_ids) for part in parts))
        name = _vector_table(embedder_id)
        if not self._has(name):
            return set()
        table = self._database.open_table(name)
        if clip_ids is None:
            every = table.search().select(["clip_id"]).to_arrow()
            return set(every["clip_id"].to_pylist())
        embedded_ids: set[str] = set()
        for start in range(0, len(clip_ids), _IDS_PER_QUERY):
            ids = clip_ids[start : start + _IDS_PER_QUERY]
            query = table.search().where(_among(ids)).select(["clip_id"])
            embedded_ids.update(query.to_arrow()["clip_id"].to_pylist())
        return embedded_ids

    def unexplained(self, embedder_id: str, clip_ids: Sequence[str]) -> set[str]:
        """Return the clips that have neither an embedding nor a row in ``problems``.

        Each member of a joint id is checked alone. A clip that one network could not use may be
        usable by another network.

        Parameters
        ----------
        embedder_id : str, joint or not
        clip_ids : sequence of str

        Returns
        -------
        set of str
        """
        missing: set[str] = set()
        for part in member_ids(embedder_id):
            without = set(clip_ids) - self.embedded(part, clip_ids)
            if without:
                key = condition({"stage": "embed", "embedder_id": part})
                failed = self.read("problems", where=key, columns=["clip_id"])
                missing |= without - set(failed["clip_id"].dropna())
        return missing

    def vectors(self, embedder_id: str, clip_ids: Sequence[str]) -> NDArray[np.float32]:
        """Read embeddings in the order of ``clip_ids``.

        Parameters
        ----------
        embedder_id : str; the vectors of the members of a joint id are concatenated
        clip_ids : sequence of str

        Returns
        -------
        ndarray [shape=(n_clips, n_dimensions)], float32

        Raises
        ------
        StoreError
            If a clip has no embedding.
        """
        parts = member_ids(embedder_id)
        if len(parts) > 1:
            return np.hstack([self.vectors(part, clip_ids) for part in parts])
        name = _vector_table(embedder_id)
        if not self._has(name):
            raise StoreError(
                f"no embeddings by {embedder_id} in {self.folder}. Run: pseudorca embed"
            )
        table = self._database.open_table(name)
        width = table.schema.field("vector").type.list_size
        vectors = np.empty((len(clip_ids), width), dtype=np.float32)
        missing: list[str] = []
        for start in range(0, len(clip_ids), _IDS_PER_QUERY):
            ids = clip_ids[start : start + _IDS_PER_QUERY]
            rows = table.search().where(_among(ids)).to_arrow()
            row_of = {clip_id: row for row, clip_id in enumerate(rows["clip_id"].to_pylist())}
            missing += [clip_id for clip_id in ids if clip_id not in row_of]
            if missing:
                continue
            matrix = rows["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
            vectors[start : start + len(ids)] = matrix[[row_of[clip_id] for clip_id in ids]]
        if missing:
            raise StoreError(
                f"{len(missing)} of {plural(len(clip_ids), 'clip')} have no embedding by "
                f"{embedder_id}, such as {missing[0]}. Run: pseudorca embed"
            )
        return vectors

    def widths(self, embedder_id: str) -> tuple[int, ...]:
        """Return the number of dimensions of each member of an embedder id, joint or not."""
        tables = [_vector_table(part) for part in member_ids(embedder_id)]
        return tuple(
            self._database.open_table(name).schema.field("vector").type.list_size for name in tables
        )

    def record_run(
        self,
        verb: str,
        settings: Mapping[str, Any],
        tables: Iterable[str],
        *,
        notices: Sequence[str] = (),
    ) -> None:
        """Add a row to ``runs``: settings, versions of packages and of written tables, notices."""
        provenance = {
            "notices": list(notices),
            "versions": package_versions(),
            "tables": {table: self.version(table) for table in tables},
        }
        row = {
            "verb": verb,
            "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": json.dumps(settings, sort_keys=True, default=str),
            "provenance": json.dumps(provenance, sort_keys=True),
        }
        self.append("runs", as_table("runs", [row]))

    def _has(self, name: str) -> bool:
        if not (self.folder / _DATABASE).is_dir():  # connecting would create the folder
            return False
        return name in self._database.list_tables(limit=1_000_000).tables


def joint_id(embedder_ids: Sequence[str]) -> str:
    """Join the ids of embedders whose vectors are concatenated.

    Parameters
    ----------
    embedder_ids : sequence of str

    Returns
    -------
    str, see :func:`member_ids`

    Examples
    --------
    >>> joint_id(["5f1c", "09ab"])
    '5f1c+09ab'
    """
    return _JOINT.join(embedder_ids)


def member_ids(embedder_id: str) -> list[str]:
    """Split a joint id into the ids of its members. The only member of another id is the id itself.

    Parameters
    ----------
    embedder_id : str

    Returns
    -------
    list of str

    Examples
    --------
    >>> member_ids("5f1c+09ab")
    ['5f1c', '09ab']
    """
    return embedder_id.split(_JOINT)


def as_table(name: str, rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Lay rows out as one of the tables, with the columns and types that :data:`TABLES` states.

    Parameters
    ----------
    name : str, name of the table
    rows : iterable of dict from column to value
        Missing values are null. Entries that are no columns are left out.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> as_table("runs", [{"verb": "scan", "n_files": 3}])[["verb", "settings"]].values.tolist()
    [['scan', <NA>]]
    """
    import pyarrow as pa

    return _frame(pa.Table.from_pylist(list(rows), schema=_schema(name)))


def problem_table(
    rows: Iterable[Sequence[str]], *, embedder_id: str | None = None
) -> "pd.DataFrame":
    """Make the table ``problems``.

    Parameters
    ----------
    rows : iterable of (path, stage, reason, detail), or of these and a clip's id
    embedder_id : str or None, the embedder that could not use the clips

    Returns
    -------
    DataFrame, text columns; unknown values are null

    Examples
    --------
    >>> problem_table([("a.wav", "clips", "no such channel", "channel 3")])["clip_id"].isna().all()
    np.True_
    """
    columns = (*_SHOWN, "clip_id")
    fields = [{**dict(zip(columns, row, strict=False)), "embedder_id": embedder_id} for row in rows]
    return as_table("problems", fields)


def named_set(rows: "pd.DataFrame", set_name: str) -> "pd.DataFrame":
    """Add the name of a set of predictions to rows; an empty name stands for the project's own.

    Parameters
    ----------
    rows : DataFrame
    set_name : str

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> named_set(as_table("problems", [{"path": "a.wav"}]), "mooring")["set_name"].tolist()
    ['mooring']
    """
    import pandas as pd

    return rows.assign(set_name=pd.Series(set_name, index=rows.index, dtype="string"))


def shown_problems(problems: "pd.DataFrame") -> "pd.DataFrame":
    """Reduce problems to what a user reads: path, stage, reason and detail.

    A file that cannot be read has one row per clip and embedder in the store, but is shown once.

    Parameters
    ----------
    problems : DataFrame, the table ``problems``

    Returns
    -------
    DataFrame, columns path, stage, reason, detail; equal problems of several clips are one row

    Examples
    --------
    >>> lost = ("a.wav", "embed", "cannot be opened", "")
    >>> len(shown_problems(problem_table([(*lost, "clip1"), (*lost, "clip2")])))
    1
    """
    shown = problems[list(_SHOWN)]
    is_repeated = shown.duplicated() & problems["clip_id"].notna()
    return shown[~is_repeated].reset_index(drop=True)


def package_versions() -> dict[str, str]:
    """Return the versions of pseudorca, Python and the packages that influence the numbers.

    Returns
    -------
    dict from package to version

    Examples
    --------
    >>> package_versions()["pseudorca"] == __version__
    True
    """
    packages = ("numpy", "scipy", "soxr", "soundfile", "scikit-learn", "torch", "torchvision")
    versions = {"pseudorca": __version__, "python": platform.python_version()}
    return versions | {package: metadata.version(package) for package in packages}


def _refusal(folder: Path, made_as: object) -> str:
    """Write the message for a project of another format, with the parts that can be kept."""
    text = f"{folder} is a project of format {made_as}, this version reads format {FORMAT}."
    if not isinstance(made_as, int) or made_as > FORMAT:
        return (
            f"{text} A newer version made it, or the file {SETTINGS_FILE} was changed. "
            "Update pseudorca."
        )
    kept = [name for name in (CLASSIFIER_FOLDER, LABEL_FOLDER) if (folder / name).is_dir()]
    copied = "".join(f"; cp -r {folder / name} NEW/" for name in kept)
    use = f" Kept are: {' and '.join(f'{name}/' for name in kept)}." if kept else ""
    return (
        f"{text}{use} Tables and embeddings must be computed again, into a new folder. Run: "
        f"pseudorca scan RECORDINGS --project NEW; pseudorca embed --project NEW{copied}"
    )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}). Scan again into a new folder."
        ) from error


def condition(key: Mapping[str, str]) -> str:
    """Write the SQL condition that columns equal values.

    Parameters
    ----------
    key : mapping from column to value

    Returns
    -------
    str

    Examples
    --------
    >>> condition({"stage": "embed", "clip_id": "a'b"})
    "stage = 'embed' AND clip_id = 'a''b'"
    """
    return " AND ".join(f"{column} = {_quoted(value)}" for column, value in key.items())


def _among(clip_ids: Sequence[str]) -> str:
    return f"clip_id IN ({', '.join(map(_quoted, clip_ids))})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _vector_table(embedder_id: str) -> str:
    return f"embeddings_{embedder_id}"


def _schema(table: str) -> "pa.Schema":
    import pyarrow as pa

    types = {"time": pa.timestamp("us", tz="UTC")}  # other types have the names of PyArrow
    return pa.schema([(name, types.get(kind, kind)) for name, kind in TABLES[table].items()])


def _arrow(table: str, rows: "pd.DataFrame") -> "pa.Table":
    import pyarrow as pa

    columns = list(TABLES[table])
    return pa.Table.from_pandas(rows[columns], schema=_schema(table), preserve_index=False)


def _completed(rows: "pa.Table", columns: Sequence[str], table: str) -> "pa.Table":
    """The columns in order; those that are not there are null."""
    import pyarrow as pa

    schema = _schema(table)
    for name in columns:
        if name not in rows.column_names:
            rows = rows.append_column(
                schema.field(name), pa.nulls(len(rows), schema.field(name).type)
            )
    return rows.select(list(columns))


def _frame(rows: "pa.Table") -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.string(): pd.StringDtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = rows.to_pandas(types_mapper=nullable.get)
    if "channel" in frame and not isinstance(frame["channel"].dtype, pd.StringDtype):
        frame["channel"] = frame["channel"].astype("Int64")
    return frame

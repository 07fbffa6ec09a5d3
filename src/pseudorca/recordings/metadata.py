"""Join a table of metadata to recordings: populations, encounters, times, columns to group by.

In: the rows of a scan, and a CSV with one of the columns ``path``, ``file`` or ``encounter``. The rows
are changed in place. The columns ``label`` (or ``population``), ``encounter``, ``platform`` and
``start_utc`` of the CSV win over folders and names; ``time_zone`` is the zone of clocks whose names
give none. Other columns are kept in ``metadata``. Names are compared in one form of Unicode.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Literal

import pandas as pd

from pseudorca.errors import ManifestError
from pseudorca.recordings import places
from pseudorca.recordings.clocks import read_zone
from pseudorca.recordings.naming import UNLABELLED_NAMES, time_fields
from pseudorca.recordings.places import Place
from pseudorca.values import nfc

Kind = Literal["path", "file", "encounter"]

_KINDS: dict[str, Kind] = {
    "path": "path", "file": "file", "filename": "file", "file_name": "file", "encounter": "encounter",
}  # fmt: skip
"""Columns that join a table to recordings, the first choice first, and what their values name."""


@dataclass(frozen=True)
class Metadata:
    """A table of metadata that can be joined to recordings.

    Examples
    --------
    >>> entries = {"Sette_44": {"encounter": "Sette_44", "Label": "Insular"}}
    >>> columns = {"encounter": "encounter", "label": "Label"}
    >>> Metadata("metadata.csv", "encounter", "encounter", columns, entries).labels
    {'Insular'}
    """

    place: Place
    key: str
    """The column that joins the table to the recordings."""
    kind: Kind
    """What the values in the column ``key`` name."""
    columns: dict[str, str]
    """Names of columns in lower case -> names in the table."""
    entries: dict[str, dict[str, str]]
    """Rows by their value in the column ``key``."""

    @property
    def label_column(self) -> str | None:
        """The column of the labels; None if the table has no such column."""
        return self.columns.get("label") or self.columns.get("population")

    @property
    def labels(self) -> set[str]:
        """All labels in the table."""
        if self.label_column is None:
            return set()
        return {entry[self.label_column] for entry in self.entries.values()} - {""}


def read_metadata(metadata: Place) -> Metadata:
    """Read a CSV of metadata.

    Parameters
    ----------
    metadata : path or URL of a CSV

    Returns
    -------
    Metadata

    Raises
    ------
    ManifestError
        If the CSV cannot be read, has no column to join by, or contradicts itself.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/metadata.csv"
    ...     pd.DataFrame({"encounter": ["Sette_44"], "population": ["Insular"]}).to_csv(path)
    ...     read_metadata(path).labels
    {'Insular'}
    """
    table, columns = _read(metadata)
    name = next((name for name in _KINDS if name in columns), None)
    if name is None:
        raise ManifestError(
            f"metadata {metadata} has the columns {', '.join(table.columns)}; expected one of "
            "path, file or encounter to join it to the recordings."
        )
    key = columns[name]
    entries: dict[str, dict[str, str]] = {}
    for record in table.to_dict("records"):
        entry = {str(column): nfc(str(value)) for column, value in record.items()}
        value = entry[key].replace("\\", "/").removeprefix("./")
        if value and entries.setdefault(value, entry) != entry:
            raise ManifestError(f"metadata {metadata}: two different rows for {key} {value!r}.")
    return Metadata(metadata, key, _KINDS[name], columns, entries)


def check_joins(
    rows: Sequence[Mapping[str, Any]], table: Metadata, time_zone: str | None = None
) -> None:
    """Check that a table names at least one file, and that its times and zones can be read.

    Parameters
    ----------
    rows : sequence of dict
        ``path``, and the entries of :func:`~pseudorca.recordings.naming.read_names`
    table : Metadata
    time_zone : str or None, see :func:`zone_column`

    Raises
    ------
    ManifestError
        If the table names none of the files, or a time or a zone of a file cannot be read.

    Examples
    --------
    >>> table = Metadata("m.csv", "file", "file", {"file": "file"}, {"a.wav": {"file": "a.wav"}})
    >>> check_joins([{"path": "Insular/a.wav"}], table)
    >>> check_joins([{"path": "Insular/b.wav"}], table)
    Traceback (most recent call last):
    pseudorca.errors.ManifestError: metadata m.csv names none of the 1 recordings ...
    """
    named = _named(rows, table)
    if rows and not any(name in table.entries for name in named):
        raise _names_nothing(rows, table)
    start_column = table.columns.get("start_utc")
    in_zone = zone_column(table, time_zone)
    for row, name in zip(rows, named, strict=True):
        entry = table.entries.get(name, {})
        if start_column is not None and (start := entry.get(start_column)):
            _time(start, row["path"])
        if in_zone is not None and (zone := entry.get(in_zone)):
            read_zone(zone, f"the column {in_zone} of {table.place}")


def zone_column(table: Metadata, time_zone: str | None) -> str | None:
    """Return the column of the zones of recorders.

    Parameters
    ----------
    table : Metadata
    time_zone : str or None, the name of the column that a user gave, or of a zone

    Returns
    -------
    str or None
        That column, else ``time_zone``; None if the table has neither

    Examples
    --------
    >>> zone_column(Metadata("m.csv", "file", "file", {"tz": "TZ"}, {}), "tz")
    'TZ'
    """
    return table.columns.get((time_zone or "").lower()) or table.columns.get("time_zone")


def join_metadata(
    rows: list[dict[str, Any]], table: Metadata, time_zone: str | None = None
) -> list[str]:
    """Add the columns of a table to the recordings it names.

    Parameters
    ----------
    rows : list of dict, as from a scan; changed in place
    table : Metadata
    time_zone : str or None, see :func:`zone_column`

    Returns
    -------
    list of str, notices about the join

    Raises
    ------
    ManifestError
        If the table names none of the recordings, or one name of the table fits several recordings or
        encounters.

    Examples
    --------
    >>> from pseudorca.recordings.naming import read_names
    >>> row = {"path": "Sette_44/a.wav", "encounter": None} | read_names("Sette_44/a.wav")
    >>> entries = {"Sette_44": {"encounter": "Sette_44", "label": "Insular"}}
    >>> columns = {"encounter": "encounter", "label": "label"}
    >>> join_metadata([row], Metadata("m.csv", "encounter", "encounter", columns, entries))
    ['m.csv changed the label of 1 recordings.']
    >>> row["label"]
    'Insular'
    """
    entries = table.entries
    named = _named(rows, table)
    if table.kind == "file":
        _refuse_ambiguous_files(named, table)
    elif table.kind == "encounter":
        _refuse_ambiguous_encounters(rows, named, table)
    used = {name for name in named if name in entries}
    if rows and not used:
        raise _names_nothing(rows, table)
    relabelled = 0
    for row, name in zip(rows, named, strict=True):
        if name in entries:
            before = row["label"]
            _apply(row, name, table, zone_column(table, time_zone))
            relabelled += row["label"] != before
    notices = []
    table_name = places.name_of(table.place)
    if any(name == row["class_folder"] for row, name in zip(rows, named, strict=True)):
        strangers = [r for r, name in zip(rows, named, strict=True) if name not in entries]
        for row in strangers:
            _unclass(row)
        if strangers:
            notices.append(
                f"The top-level folders are encounters in {table_name}; {len(strangers)} "
                "recordings of other folders are unlabelled. --labels names folders that are classes."
            )
    n_joined = sum(name in entries for name in named)
    if n_joined < len(rows):
        notices.append(
            f"{table_name} names {n_joined} of {len(rows)} recordings; the others keep what "
            "their folders say."
        )
    if len(used) < len(entries):
        notices.append(
            f"{len(entries) - len(used)} of {len(entries)} rows of {table_name} name nothing "
            f"that was found (joined by {table.key})."
        )
    if relabelled:
        notices.append(f"{table_name} changed the label of {relabelled} recordings.")
    return notices


def _named(rows: Sequence[Mapping[str, Any]], table: Metadata) -> list[str]:
    """Find the name of each recording in the table."""
    if table.kind == "path":
        return [nfc(row["path"]) for row in rows]
    if table.kind == "file":
        return [nfc(PurePosixPath(row["path"]).name) for row in rows]
    return [_named_encounter(row, table.entries) for row in rows]


def _names_nothing(rows: Sequence[Mapping[str, Any]], table: Metadata) -> ManifestError:
    first = rows[0]
    if table.kind == "encounter":
        example = str(first["named_encounter"] or first["local_encounter"] or first["class_folder"])
    else:
        (example,) = _named([first], table)
    return ManifestError(
        f"metadata {table.place} names none of the {len(rows)} recordings in its column {table.key}: "
        f"it has {next(iter(table.entries), 'no entry')!r}, the scan has {example!r}."
    )


def _read(metadata: Place) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read the table as text. Missing values, also the ``NA`` of R, become empty text."""
    try:
        table = pd.read_csv(BytesIO(places.read_bytes(metadata)), dtype=str).fillna("")
    except (OSError, ValueError) as error:
        raise ManifestError(f"metadata {metadata} cannot be read as CSV: {error}") from error
    table.columns = table.columns.astype(str).str.strip().map(nfc)
    for column in table.columns:
        table[column] = table[column].str.strip()
    columns = {str(column).lower(): str(column) for column in table.columns}
    if len(columns) < table.shape[1]:
        raise ManifestError(f"metadata {metadata} has two columns of one name.")
    return table, columns


def _refuse_ambiguous_files(named: list[str], table: Metadata) -> None:
    for name, n_files in Counter(named).items():
        if n_files > 1 and name in table.entries:
            raise ManifestError(
                f"metadata {table.place} joins by file name, but {n_files} recordings are called "
                f"{name}. Give a column path with the path below the scanned folder."
            )


def _named_encounter(row: Mapping[str, Any], entries: dict[str, dict[str, str]]) -> str:
    """Find the name of the encounter of a row in the table: its own name, or the name of a folder."""
    candidates = [
        row["named_encounter"],
        f"{row['scope']}/{row['local_encounter']}",
        *reversed(row["below"]),
        row["class_folder"],
    ]
    return next((name for name in candidates if name in entries), "")


def _refuse_ambiguous_encounters(
    rows: list[dict[str, Any]], named: list[str], table: Metadata
) -> None:
    """Refuse a name of the table that fits folders of two labels: these are two encounters."""
    scopes = defaultdict(set)
    for row, name in zip(rows, named, strict=True):
        if name in row["below"] and name != row["named_encounter"]:
            scopes[name].add(row["scope"])
    for name, several in scopes.items():
        if len(several) > 1:
            shown = " and ".join(f"{scope}/{name}" for scope in sorted(several))
            raise ManifestError(
                f"metadata {table.place} joins by encounter, but {name} is {shown}. Write it so in the "
                "column encounter, or give a column path."
            )


def _unclass(row: dict[str, Any]) -> None:
    """Turn the top-level folder of a row from a class into an encounter."""
    if row["class_folder"]:
        row["named_encounter"] = row["named_encounter"] or row["class_folder"]
        row["label"] = None


def _apply(row: dict[str, Any], name: str, table: Metadata, in_zone: str | None) -> None:
    """Write what the table says of a recording into its row. ``name``: its name in the table."""
    entry = table.entries[name]
    values = {lower: entry[column] for lower, column in table.columns.items()}
    if table.kind == "encounter":
        if name == row["class_folder"]:
            _unclass(row)
        elif name in row["below"]:
            row["local_encounter"] = name
    elif values.get("encounter"):
        row["encounter"] = values["encounter"]
    if table.label_column and (label := entry[table.label_column]):
        row["label"] = None if label.lower() in UNLABELLED_NAMES else label
    if values.get("platform"):
        row["platform"] = row["told_platform"] = values["platform"]
    zone = read_zone(entry[in_zone]) if in_zone and entry[in_zone] else None
    clock = row.get("clock")
    if zone is not None and clock is not None and clock.tzinfo is None:
        row |= time_fields(clock, zone, row["time_source"])
    if values.get("start_utc"):
        before = row.get("time_zone")
        zone = zone or (read_zone(before) if before else None)
        row |= time_fields(_time(values["start_utc"], row["path"]), zone, "metadata")
    taken = {table.label_column, *map(table.columns.get, ("path", "encounter", "platform"))}
    row["metadata"] = {column: value for column, value in entry.items() if column not in taken}


def _time(text: str, path: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ManifestError(
            f"metadata: start_utc {text!r} of {path} is not a time like 2017-07-28T03:12:59."
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time

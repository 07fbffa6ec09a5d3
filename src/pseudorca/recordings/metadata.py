"""Join a table of metadata to recordings: populations, encounters, times, columns to group by.

In: the rows of a scan, and a table with one of the columns ``path``, ``file`` or ``encounter``. The
rows are changed in place. The columns ``label`` (or ``population``), ``encounter``, ``platform`` and
``start_utc`` of the table win over folders and names; ``time_zone`` is the zone of clocks whose names
give none. Other columns are kept in ``metadata``. Names are compared in one form of Unicode.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from pseudorca.errors import ManifestError, unknown_name
from pseudorca.formats.user_tables import UserTable, read_user_table
from pseudorca.recordings import places
from pseudorca.recordings.audio import SUFFIXES
from pseudorca.recordings.clocks import read_zone
from pseudorca.recordings.matching import Files
from pseudorca.recordings.naming import UNLABELLED_NAMES, folded, time_fields
from pseudorca.recordings.places import Place
from pseudorca.values import plural

Kind = Literal["path", "file", "encounter"]

_KINDS: dict[str, Kind] = {
    "path": "path", "file": "file", "filename": "file", "file_name": "file", "encounter": "encounter",
}  # fmt: skip
"""Columns that join a table to recordings, the first choice first, and what their values name."""

_LABEL_WORDS = ("label", "population", "species", "class")
_SAY_MISSING = frozenset("na n/a nan none null #n/a".split())


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
    """Names of columns in lower case, or what they mean -> names in the table."""
    entries: dict[str, dict[str, str]]
    """Rows by their value in the column ``key``."""
    notices: list[str] = field(default_factory=list)
    """What the table was taken for, and what was odd in it."""
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    """Rows that cannot be used: place, reason, detail."""

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


def read_metadata(
    metadata: Place, *, columns: Mapping[str, str] | None = None, missing: Sequence[str] = ()
) -> Metadata:
    """Read a table of metadata.

    Parameters
    ----------
    metadata : path or URL of a CSV of any kind, or a workbook (see
        :func:`~pseudorca.formats.user_tables.read_user_table`)
    columns : dict or None, names of its columns by what they mean, such as ``{"path": "Filename"}``
    missing : cells of these texts are empty; without, every text is a value

    Returns
    -------
    Metadata

    Raises
    ------
    TableError
        If the file is no table.
    ManifestError
        If the file cannot be read, has no column to join by, lacks one that is named, or contradicts
        itself.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sightings.csv")
    ...     _ = path.write_text("Sighting;Population\\nSette_44;Insular\\n")
    ...     read_metadata(path, columns={"encounter": "Sighting"}).labels
    {'Insular'}
    """
    try:
        data = places.read_bytes(metadata)
    except OSError as error:
        raise ManifestError(
            f"metadata {metadata} cannot be read as CSV or .xlsx: {places.why(error)}."
        ) from error
    table = read_user_table(str(metadata), data, missing=missing)
    known = _columns(metadata, table, columns or {})
    name = next((name for name in _KINDS if name in (columns or {})), None)
    name = name or next((name for name in _KINDS if name in known), None)
    if name is None:
        raise ManifestError(_no_key(metadata, table))
    key = known[name]
    entries: dict[str, dict[str, str]] = {}
    for _, entry in table.rows():
        value = entry[key].replace("\\", "/").removeprefix("./")
        if value and entries.setdefault(value, entry) != entry:
            raise ManifestError(f"metadata {metadata}: two different rows for {key} {value!r}.")
    title = places.name_of(metadata)
    problems = [
        (f"{title}, line {line}", "broken row", f"{why}; the row is not used")
        for line, why in table.broken.items()
    ]
    if "population" in known:
        known.setdefault("label", known["population"])
    meanings = ("label", "encounter", "platform", "start_utc", "time_zone")
    said = [f"{name} is {known[name]}" for name in meanings if known.get(name, key) != key]
    taken, *odd = table.notices
    notices = ["; ".join([taken.rstrip("."), f"joined by {key}", *said]) + "."]
    notices += [*odd, *_doubtful(title, table, known)]
    return Metadata(metadata, key, _KINDS[name], known, entries, notices, problems)


def _columns(metadata: Place, table: UserTable, given: Mapping[str, str]) -> dict[str, str]:
    """Names in lower case, also without blanks and signs, and what is given -> names in the table."""
    names = [str(name) for name in table.cells.columns]
    by_lower = {folded(name): name for name in names}
    known = {re.sub(r"[^\w]+", "_", lower).strip("_"): name for lower, name in by_lower.items()}
    known |= by_lower
    for meaning, name in given.items():
        if folded(name) not in by_lower:
            raise ManifestError(f"metadata {metadata}: {unknown_name('column', name, names)}")
        known[meaning] = by_lower[folded(name)]
    return known


def _no_key(metadata: Place, table: UserTable) -> str:
    """The message about a table without a column to join by, with the likeliest one."""
    cells, endings = table.cells, tuple(SUFFIXES)
    names = [str(name) for name in cells.columns]
    likely = [
        ("path", name) for name in names if cells[name].str.lower().str.endswith(endings).any()
    ]
    likely += [(kind, name) for kind in _KINDS for name in _like(kind, names)]
    kind, name = likely[0] if likely else ("path", "COLUMN")
    return (
        f"metadata {metadata} has the columns {', '.join(names)}; expected one of path, file or "
        f"encounter to join it to the recordings. Say which one it is: --columns "
        f"{_KINDS.get(kind, kind)}={name}"
    )


def _like(meaning: str, names: Iterable[str]) -> list[str]:
    """The names that hold a word or are spelt nearly so."""
    lower = {folded(name): name for name in names}
    near = difflib.get_close_matches(meaning, lower, 1, 0.75)
    return [name for known, name in lower.items() if meaning in known or known in near]


def _doubtful(title: str, table: UserTable, known: Mapping[str, str]) -> list[str]:
    """Notices about cells that may mean that nothing is known."""
    notices = []
    names = [str(name) for name in table.cells.columns]
    used = dict.fromkeys(
        known[name] for name in ("label", "encounter", "platform") if name in known
    )
    for column in used:
        cells = table.whole[column]
        counts = cells[cells.str.casefold().isin(_SAY_MISSING)].value_counts()
        for text, n in counts.items():
            notices.append(
                f"{title} says {text!r} in {n} cells of {column}; it is taken as a name. If it means "
                f"that nothing is known: --missing {text}."
            )
    if label := known.get("label"):
        n = int(table.whole[label].str.lower().isin(UNLABELLED_NAMES).sum())
        if n:
            notices.append(f"{title} leaves {n} rows unlabelled by words such as unknown.")
    elif likely := [name for word in _LABEL_WORDS for name in _like(word, names)]:
        notices.append(
            f"{title} gives no label: no column is called label or population. If {likely[0]} is "
            f"one: --columns label={likely[0]}."
        )
    return notices


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
    pseudorca.errors.ManifestError: metadata m.csv names none of the 1 recording ...
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
    return table.columns.get(folded(time_zone or "")) or table.columns.get("time_zone")


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
    ['m.csv changed the label of 1 recording.']
    >>> row["label"]
    'Insular'
    """
    entries = table.entries
    named = _named(rows, table)
    if table.kind == "encounter":
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
    notices = [*table.notices]
    table_name = places.name_of(table.place)
    if any(name == row["class_folder"] for row, name in zip(rows, named, strict=True)):
        strangers = [r for r, name in zip(rows, named, strict=True) if name not in entries]
        for row in strangers:
            _unclass(row)
        if strangers:
            notices.append(
                f"The top-level folders are encounters in {table_name}; of other folders, and so "
                f"unlabelled: {plural(len(strangers), 'recording')}. --labels names folders that are "
                "classes."
            )
    n_joined = sum(name in entries for name in named)
    if n_joined < len(rows):
        notices.append(
            f"{table_name} names {n_joined} of {plural(len(rows), 'recording')}; the others keep what "
            "their folders say."
        )
    if len(used) < len(entries):
        notices.append(
            f"Nothing was found for {len(entries) - len(used)} of {plural(len(entries), 'row')} of "
            f"{table_name} (joined by {table.key})."
        )
    if relabelled:
        notices.append(f"{table_name} changed the label of {plural(relabelled, 'recording')}.")
    return notices


def _named(rows: Sequence[Mapping[str, Any]], table: Metadata) -> list[str]:
    """Find the name of each recording in the table."""
    if table.kind == "encounter":
        return [_named_encounter(row, table.entries) for row in rows]
    files = Files((str(row.get("root", "")), row["path"]) for row in rows)
    named, agreeing = [""] * len(rows), [0] * len(rows)
    for name, entry in table.entries.items():
        found, n_parts = files.find(name, by_name=table.kind == "file")
        if len(found) > 1:
            first, second, *_ = (rows[place]["path"] for place in found)
            raise ManifestError(
                f"metadata {table.place}: {len(found)} recordings are called {name}, such as {first} "
                f"and {second}. Give a column path with the path below the scanned folder."
            )
        for place in found:
            before = table.entries.get(named[place])
            if n_parts == agreeing[place] and before and not _agree(before, entry, table.key):
                raise ManifestError(
                    f"metadata {table.place}: two different rows for {rows[place]['path']}: "
                    f"{named[place]} and {name}."
                )
            if n_parts > agreeing[place]:
                named[place], agreeing[place] = name, n_parts
    return named


def _agree(one: dict[str, str], other: dict[str, str], key: str) -> bool:
    return all(value == other[column] for column, value in one.items() if column != key)


def _names_nothing(rows: Sequence[Mapping[str, Any]], table: Metadata) -> ManifestError:
    first = rows[0]
    example, hint = str(first["path"]), ""
    if table.kind == "encounter":
        example = str(first["named_encounter"] or first["local_encounter"] or first["class_folder"])
    elif table.kind == "path" and {PurePosixPath(row["path"]).name for row in rows} & {
        PurePosixPath(name).name for name in table.entries
    }:
        hint = f" Names of files agree, folders do not: --columns file={table.key} joins by names."
    return ManifestError(
        f"metadata {table.place} names none of the {plural(len(rows), 'recording')} in its column "
        f"{table.key}: it has {next(iter(table.entries), 'no entry')!r}, the scan has "
        f"{example!r}.{hint}"
    )


def _named_encounter(row: Mapping[str, Any], entries: Mapping[str, dict[str, str]]) -> str:
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
    values = {meaning: entry[column] for meaning, column in table.columns.items()}
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

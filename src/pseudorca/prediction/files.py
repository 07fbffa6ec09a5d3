"""Predictions as files that other programs read.

In: the tables of ``predict``, portion by portion, and the recordings. Out: files in some of the
:data:`FORMATS`; each appears whole or not at all. Text that a format cannot hold, such as a line
break in a name, is replaced by a sign that shows it (``␊``), never dropped.

Tables by which sounds are counted hold each moment once, at the first of its files; tables that are
laid over a sound to look at it exist for every file, those of the other channels too.
"""

import codecs
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pandas as pd

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.evaluation.trust import Trust
from pseudorca.formats.base import About, Portion
from pseudorca.formats.registry import FORMATS
from pseudorca.formats.whole import new_folder, unguarded, write_text, writing
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.detections import find_detections, is_named
from pseudorca.recordings.manifest import full_path
from pseudorca.recordings.timeline import timeline

TABLE_FORMATS = ("parquet", "csv")
"""Formats that hold every table, the one that is read first."""

_TEXTS = frozenset(
    "path end_path encounter decision reason most_probable prior recorder recording_id "
    "end_recording_id classifier_id stage detail held_out_split stricter_split audit start_local "
    "end_local".split()
)
_TIMES = frozenset(("start_utc", "end_utc"))

_README = "README.md"
_INDEX = ".files.txt"  # of the files of the last run, and of one that was killed; a name per line


class PredictionFiles:
    """Writes predictions in one or more formats, as they come in.

    The class is a context. Files appear in :meth:`finish`; without :meth:`finish`, partial files are
    removed, and the folder, too, if it is new. Files of an earlier run that this run does not write
    are removed.

    Parameters
    ----------
    folder : path, created if missing
    recordings : DataFrame, the table ``recordings``, complete
    kinds : names from :data:`FORMATS`
    max_gap_s : float or None, seconds
        Greatest gap inside a selection of Raven and Audacity, within a file, see
        :class:`pseudorca.prediction.detections.DetectionFinder`
    band_hz : (low, high) or None
        The band of the classifier, in Hz: the frequencies of Raven's selections, cut at Nyquist.
        None: up to Nyquist
    channel : int, from 1
        The channel of Raven's selections, in recordings that have this channel
    line : DataFrame or None
        The :func:`~pseudorca.recordings.timeline.timeline` of the recordings, if already computed
    unusable : DataFrame or None
        Files that cannot be used: they count in the times of Raven's deployments
    for_excel : bool
        CSV tables have the mark of UTF-8, and no text in them runs as a formula
    trust : Trust or None
        What is known of the classifier. It goes into columns where a format takes some; beside the
        formats of other programs the file ``README.md`` says it, too

    Raises
    ------
    PseudorcaError
        If a format is unknown (before anything is written) or a file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        recordings: pd.DataFrame,
        *,
        kinds: Sequence[str] = ("csv",),
        max_gap_s: float | None = 0.0,
        band_hz: tuple[float, float] | None = None,
        channel: int = 1,
        line: pd.DataFrame | None = None,
        unusable: pd.DataFrame | None = None,
        for_excel: bool = False,
        trust: Trust | None = None,
    ) -> None:
        check_formats(kinds)
        self._new = new_folder(folder)  # removed if no predictions are written
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)  # fails before the work starts
        self._folder, self._recordings, self._max_gap_s = folder, recordings, max_gap_s
        if unusable is not None and len(unusable):
            line = timeline(pd.concat([recordings, unusable], ignore_index=True))
        line = timeline(recordings) if line is None else line
        self._trust = trust
        known = trust.columns() if trust else {}
        self._about = About(
            folder, _with_paths(recordings), band_hz, channel, line, for_excel, known
        )
        self._writers = {kind: FORMATS[kind].load()(self._about) for kind in kinds}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.abandon()
        if self._new is not None:
            shutil.rmtree(self._new, ignore_errors=True)

    def add(self, tables: Mapping[str, pd.DataFrame], recordings: pd.DataFrame) -> None:
        """Add the tables ``clip`` and ``recording`` of the next recordings."""
        selections = find_detections(
            tables["clip"], recordings, max_gap_s=self._max_gap_s, across_files=False
        )
        clips = tables["clip"]
        portion = Portion(
            tables, _with_paths(recordings), selections, clips[is_named(clips["decision"])]
        )
        new: list[Path] = []
        for writer in self._writers.values():
            n_before = len(writer.written)
            writer.add(portion)
            new += writer.written[n_before:]
        index = self._folder / _INDEX
        with writing(index):
            self._folder.mkdir(parents=True, exist_ok=True)
            with index.open("a", encoding="utf-8") as file:
                file.writelines(f"{name}\n" for name in self._names(new))

    def finish(self, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Path]]:
        """Write the tables of all recordings, and let every file appear.

        Parameters
        ----------
        tables : dict from name to table
            ``encounter``, ``problem`` (files without a prediction), and other tables for CSV and
            Parquet

        Returns
        -------
        dict from kind to the paths written
        """
        encounters = tables["encounter"]
        decided = encounters[encounters["decision"] != UNDECIDED]
        written = {kind: writer.finish(tables, decided) for kind, writer in self._writers.items()}
        files = [path for paths in written.values() for path in paths]
        others = [kind for kind in written if kind not in TABLE_FORMATS]
        if self._trust and others:
            files.append(write_text(_readme(others, self._trust), self._folder / _README))
        self._remove_others(files)
        self._new = None
        return written

    def _remove_others(self, written: list[Path]) -> None:
        index = self._folder / _INDEX
        with writing(index):
            before = index.read_text(encoding="utf-8").split("\n") if index.exists() else []
            names = self._names(written)
            for name in set(before) - {"", *names}:
                if ".." not in Path(name).parts and not Path(name).is_absolute():
                    (self._folder / name).unlink(missing_ok=True)
            write_text((f"{name}\n" for name in names), index)

    def _names(self, paths: Iterable[Path]) -> list[str]:
        return sorted(path.relative_to(self._folder).as_posix() for path in paths)


def _readme(kinds: Sequence[str], trust: Trust) -> Iterator[str]:
    """The lines of the file that says to readers of other programs' tables what the names are worth."""
    yield "# How far to trust these names\n"
    yield f"pseudorca gave them ({', '.join(kinds)}).\n\n"
    yield from (f"- {line}\n" for line in trust.lines())
    yield (
        "\nTables of Raven and BirdNET have this in columns of their own; Audacity, OpenSoundscape "
        "and BANTER have no place for it.\n"
    )


def check_formats(formats: Iterable[str]) -> None:
    """Check names of formats.

    Parameters
    ----------
    formats : iterable of str

    Raises
    ------
    PseudorcaError
        If a format is unknown.

    Examples
    --------
    >>> check_formats(["csv", "raven"])
    """
    for name in formats:
        if name not in FORMATS:
            raise PseudorcaError(unknown_name("format", name, FORMATS))


def with_tables(formats: Sequence[str]) -> tuple[str, ...]:
    """Add a format that holds tables, if there is none: reports and results read tables.

    Parameters
    ----------
    formats : sequence of str

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> with_tables(["raven"])
    ('csv', 'raven')
    >>> with_tables(["raven", "parquet"])
    ('raven', 'parquet')
    """
    tables = () if "parquet" in formats else ("csv",)
    return tuple(dict.fromkeys((*tables, *formats)))


def read_table(folder: Path, unit: str, formats: Collection[str]) -> tuple[Path, pd.DataFrame]:
    """Read a table of predictions that was written as Parquet or CSV.

    Parameters
    ----------
    folder : path of the predictions
    unit : ``clip``, ``recording``, ``encounter``, ``detection`` and the like
    formats : the formats written, one of them ``parquet`` or ``csv``

    Returns
    -------
    path : Path, the file
    table : DataFrame

    Raises
    ------
    PseudorcaError
        If the file is missing, or cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "clips.csv").write_text("path,decision\\na.wav,A\\n")
    ...     _, table = read_table(Path(folder), "clip", ["csv"])
    >>> table["decision"].tolist()
    ['A']
    """
    path = folder / f"{unit}s.{'parquet' if 'parquet' in formats else 'csv'}"
    try:
        if path.suffix == ".parquet":
            return path, pd.read_parquet(path)
        with path.open("rb") as file:
            is_for_excel = file.read(3) == codecs.BOM_UTF8
        columns = pd.read_csv(path, nrows=0).columns
        texts = dict.fromkeys(_TEXTS.intersection(columns), "string")
        table = pd.read_csv(
            path, dtype=texts, keep_default_na=False,
            na_values={column: [""] for column in columns if column not in texts},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise PseudorcaError(f"{path} cannot be read: {error}. Predict again.") from error
    if is_for_excel:
        shown = {column: table[column].map(unguarded, na_action="ignore") for column in texts}
        table = table.assign(**shown).rename(columns=unguarded)
    for column in _TIMES.intersection(columns):
        times = pd.to_datetime(table[column], utc=True, format="ISO8601")
        table[column] = times.astype("datetime64[us, UTC]")
    return path, table


def _with_paths(recordings: pd.DataFrame) -> pd.DataFrame:
    """Recordings with the whole path of each as ``file``."""
    return recordings.assign(file=[str(full_path(row)) for row in recordings.itertuples()])

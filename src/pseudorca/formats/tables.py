"""Predictions as plain tables: CSV and Parquet, and the tables of other programs.

The other programs are Audacity, BANTER, BirdNET and OpenSoundscape.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pseudorca.formats.base import Portion, Writer, cell_text, grouped_by_file
from pseudorca.formats.whole import Format, write_tables, write_text


class CsvTables(Writer):
    """A CSV file per table: clips, recordings, encounters, problems and others.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.formats.base import About
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["a.wav"]})
    >>> clips = pd.DataFrame({"clip_id": ["c1"], "decision": ["Insular"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = CsvTables(About(Path(folder), recordings, None, 1, recordings))
    ...     writer.add(Portion({"clip": clips}, recordings, clips[:0], clips))
    ...     (path,) = writer.finish({}, clips)
    ...     path.read_text()
    'clip_id,decision\\nc1,Insular\\n'
    """

    kind: Format = "csv"

    def add(self, portion: Portion) -> None:
        """Append the tables of clips and recordings."""
        for name, table in portion.tables.items():
            self.grow(f"{name}s.{self.kind}", table, for_excel=self.about.for_excel)

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        """Complete the tables that grew, and write all other tables."""
        super().finish(tables, decided)
        kind: Format = "excel" if self.about.for_excel and self.kind == "csv" else self.kind
        self.written += write_tables(tables, self.about.folder, kind=kind)
        return self.written


class ParquetTables(CsvTables):
    """A Parquet file per table.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.formats.base import About
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["a.wav"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = ParquetTables(About(Path(folder), recordings, None, 1, recordings))
    ...     [path.name for path in writer.finish({"encounter": recordings}, recordings)]
    ['encounters.parquet']
    """

    kind = "parquet"


class Audacity(Writer):
    """A label track per recording: start, end and decision, separated by tabs.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.formats.base import About
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["r1"], "path": ["a.wav"], "moment_id": ["m"], "duration_s": [9.0]}
    ... )
    >>> columns = ["recording_id", "start_s", "end_s", "duration_s", "decision"]
    >>> selections = pd.DataFrame([["r1", 3.0, 6.0, 9.0, "Insular"]], columns=columns)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = Audacity(About(Path(folder), recordings, None, 1, recordings))
    ...     writer.add(Portion({}, recordings, selections, selections))
    ...     (path,) = writer.finish({}, selections)
    ...     path.read_text()
    '3.000000\\t6.000000\\tInsular\\n'
    """

    def add(self, portion: Portion) -> None:
        """Write a label track for every recording, also for one without detections."""
        by_file = grouped_by_file(portion.selections, portion.recordings)
        for recording_id in portion.recordings["recording_id"]:
            lines = [
                f"{row.start_s:.6f}\t{row.end_s:.6f}\t{cell_text(row.decision)}\n"
                for row in by_file.get(recording_id, ())
            ]
            target = f"{self.about.target[recording_id]}.txt"
            self.written.append(write_text(lines, self.about.folder / "audacity" / target))


class Banter(Writer):
    """A CSV of events, as NOAA's scripts read it. An event is an encounter with a decision.

    BANTER reads a third column as a predictor, so the table has two columns. BANTER refuses events
    without a species, so undecided encounters are left out. R reads ``NA`` as a missing value, so a
    population of that name is written as ``NA_``.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.formats.base import About
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["a.wav"]})
    >>> decided = pd.DataFrame({"encounter": ["Sette_44"], "decision": ["Insular"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = Banter(About(Path(folder), recordings, None, 1, recordings))
    ...     (path,) = writer.finish({}, decided)
    ...     path.read_text()
    'event.id,species\\nSette_44,Insular\\n'
    """

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        """Write the encounters with a decision."""
        species = decided["decision"].replace("NA", "NA_")
        table = pd.DataFrame({"event.id": decided["encounter"], "species": species})
        self.grow("banter.csv", table)
        return super().finish(tables, decided)


class BirdNet(Writer):
    """A CSV of clips with a decision. The label is written as scientific and as common name.

    What is known of the classifier follows in further columns, as BirdNET-Analyzer's own do.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.formats.base import About
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["a.wav"], "file": ["/data/a.wav"]})
    >>> columns = ["recording_id", "start_s", "end_s", "decision", "probability", "p_Insular"]
    >>> clips = pd.DataFrame([["r1", 0.0, 3.0, "Insular", 0.9, 0.9]], columns=columns)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = BirdNet(About(Path(folder), recordings, None, 1, recordings))
    ...     writer.add(Portion({"clip": clips}, recordings, clips[:0], clips))
    ...     (path,) = writer.finish({}, clips)
    ...     print(path.read_text())
    Start (s),End (s),Scientific name,Common name,Confidence,File
    0.0,3.0,Insular,Insular,0.9,/data/a.wav
    <BLANKLINE>
    """

    def add(self, portion: Portion) -> None:
        """Append the clips whose decision is a population."""
        clips = _with_files(portion.named, portion.recordings)
        columns = {
            "Start (s)": "start_s",
            "End (s)": "end_s",
            "Scientific name": "decision",
            "Common name": "decision",
            "Confidence": "probability",
            "File": "file",
        }
        table = pd.DataFrame({name: clips[column] for name, column in columns.items()})
        self.grow("birdnet.csv", table.assign(**self.about.known))


class OpenSoundscape(Writer):
    """A CSV of probabilities by (file, start, end), with a column per class.

    A file with a problem has one row without times and scores. OpenSoundscape writes such a row for a
    file that it cannot read.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.formats.base import About
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "path": ["a.wav"], "file": ["/data/a.wav"]})
    >>> columns = ["recording_id", "start_s", "end_s", "decision", "probability", "p_Insular"]
    >>> clips = pd.DataFrame([["r1", 0.0, 3.0, "Insular", 0.9, 0.9]], columns=columns)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = OpenSoundscape(About(Path(folder), recordings, None, 1, recordings))
    ...     writer.add(Portion({"clip": clips}, recordings, clips[:0], clips))
    ...     (path,) = writer.finish({}, clips)
    ...     path.read_text()
    'file,start_time,end_time,Insular\\n/data/a.wav,0.0,3.0,0.9\\n'
    """

    name = "opensoundscape.csv"

    def add(self, portion: Portion) -> None:
        """Append the probabilities of all clips."""
        clips = _with_files(portion.tables["clip"], portion.recordings)
        classes = [name for name in clips.columns if name.startswith("p_") and name != "p_nothing"]
        index = {"start_s": "start_time", "end_s": "end_time"}
        table = clips[["file", *index, *classes]].rename(columns=index)
        table.columns = [*table.columns[:3], *(name.removeprefix("p_") for name in classes)]
        self.grow(self.name, table)

    def finish(self, tables: Mapping[str, pd.DataFrame], decided: pd.DataFrame) -> list[Path]:
        """Append a row for every file with a problem."""
        problems = tables.get("problem")
        if problems is not None and len(problems) and self.name in self.growing:
            unique = self.about.recordings.drop_duplicates("path", keep=False)
            known = dict(zip(unique["path"], unique["file"], strict=True))
            failed = [known.get(path, path) for path in problems["path"].drop_duplicates()]
            columns = self.growing[self.name].columns
            self.grow(self.name, pd.DataFrame({"file": failed}).reindex(columns=columns))
        return super().finish(tables, decided)


def _with_files(clips: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Add the full path of the recording to each clip, as the column ``file``."""
    file_of = recordings.set_index("recording_id")["file"]
    return clips.assign(file=clips["recording_id"].map(file_of))

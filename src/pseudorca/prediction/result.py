"""What a classifier said of recordings, as a typed result.

In: what was counted, the folder of the tables, and the way to write them again. Out: the tables, read
when they are first asked for, and files in other formats.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from pseudorca.errors import PseudorcaError
from pseudorca.evaluation.trust import Trust
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.detections import DETECTION_COLUMNS
from pseudorca.prediction.files import TABLE_FORMATS, check_formats, read_table
from pseudorca.prediction.predictor import answer_columns
from pseudorca.progress import ProgressChoice, shown_progress
from pseudorca.recordings.folds import OTHER
from pseudorca.recordings.naming import plain_encounters
from pseudorca.recordings.options import NOTHING
from pseudorca.results import Result, attention, counted
from pseudorca.values import plural


@dataclass(frozen=True, eq=False, repr=False)
class PredictionResult(Result):
    """What a classifier said of recordings.

    The tables :attr:`clips`, :attr:`recordings`, :attr:`encounters` and :attr:`detections` are read
    from the folder of predictions when they are first asked for.
    """

    output: Path
    """The folder of the predictions."""
    set_name: str
    """The name that the recordings are kept under."""
    classifier_id: str
    classes: list[str]
    prior: str
    calibrated: bool
    trust: Trust
    """What is known of the classifier's answers on encounters that it never heard."""
    thresholds: dict[str, Any]
    """By kind of unit: the probability from which it is named, and what can be claimed."""
    n_files: int
    n_clips: int
    n_quiet: int
    """Windows without signal, which were passed over."""
    n_detections: int
    n_small_groups: int
    """Groups of few clips by whose mean embeddings were centred."""
    n_encounters: int
    files: dict[str, list[Path]]
    """The files written, by format."""
    recordings_per_class: dict[str, int]
    encounters_per_class: dict[str, int]
    problems: pd.DataFrame
    notices: list[str]
    _write: Callable[..., dict[str, list[Path]]]
    _stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Time and size of the files, by which a table is known to be that of this prediction."""

    @cached_property
    def clips(self) -> pd.DataFrame:
        """A row per clip: decision, probability of every class, place and time."""
        return self._table("clip", answer_columns(self.classes))

    @cached_property
    def recordings(self) -> pd.DataFrame:
        """A row per recording, like :attr:`clips`."""
        return self._table("recording", answer_columns(self.classes))

    @cached_property
    def encounters(self) -> pd.DataFrame:
        """A row per encounter, like :attr:`clips`."""
        return self._table("encounter", answer_columns(self.classes))

    @cached_property
    def detections(self) -> pd.DataFrame:
        """A row per stretch of sound that was named."""
        return self._table("detection", DETECTION_COLUMNS)

    def write(
        self,
        folder: str | Path,
        *,
        formats: Sequence[str] = ("csv",),
        progress: ProgressChoice = None,
    ) -> list[Path]:
        """Write the predictions in other formats, decided alike, from the embeddings that are kept.

        Parameters
        ----------
        folder : path, made if it is not there
        formats : names from :data:`pseudorca.formats.registry.FORMATS`
        progress : None (a bar), False (nothing) or callable (done, total), over seconds of sound

        Returns
        -------
        list of the paths written

        Raises
        ------
        PseudorcaError
            If a format is unknown, or a file cannot be written.
        """
        check_formats(formats)
        folder, asked = Path(folder), tuple(dict.fromkeys(formats))
        is_own = folder.resolve() == self.output.resolve()
        if is_own:  # the other formats there stay
            folder, formats = self.output, tuple(dict.fromkeys([*self.files, *asked]))
        with shown_progress(progress, "Writing") as update:
            written = self._write(folder, formats=tuple(formats), progress=update)
        if is_own:
            self._stamps.update(table_stamps(written))
        return [path for kind in asked for path in written.get(kind, [])]

    def sentences(self) -> list[str]:
        """One sentence per recording: what it sounds like, how probable that is, how far to trust it.

        Returns
        -------
        list of str, in the order of :attr:`recordings`
        """
        sentences = []
        parts = (part.rpartition("=") for part in self.prior.split(",") if "=" in part)
        shares = {label.strip(): share.strip() for label, _, share in parts}
        for row in self.recordings.to_dict("records"):
            name, percent = _file_names(str(row["path"])), 100 * float(row["probability"])
            prior = shares.get(str(row["most_probable"]), self.prior)
            known = f"prior {prior}; {self.trust.sentence()}"
            if row["in_training"]:
                known = f"it trained the classifier, so this proves nothing; {known}"
            if row["decision"] == UNDECIDED:
                sentences.append(f"{name} is undecided: {row['reason']} ({known}).")
            elif row["decision"] == NOTHING:
                sentences.append(
                    f"In {name} no class is heard, but background or an animal of no class "
                    f"(probability of {NOTHING!r}: {100 * float(row['p_nothing']):.1f} %; {known})."
                )
            elif row["decision"] == OTHER:
                sentences.append(
                    f"{name} is none of the classes, with a probability of {percent:.1f} % ({known})."
                )
            else:
                sentences.append(
                    f"There is a {percent:.1f} % chance that {name} is {row['decision']} ({known})."
                )
        return sentences

    def as_json(self) -> dict[str, Any]:
        return {
            "n_files": self.n_files,
            "n_clips": self.n_clips,
            "n_quiet": self.n_quiet,
            "n_problems": len(self.problems),
            "n_detections": self.n_detections,
            "n_small_groups": self.n_small_groups,
            "files": {kind: len(paths) for kind, paths in self.files.items()},
            "n_encounters": self.n_encounters,
            "recordings_per_class": self.recordings_per_class,
            "encounters_per_class": self.encounters_per_class,
            "problems": self.problems.to_dict("records"),
            "output": str(self.output),
            "set_name": self.set_name,
            "classifier_id": self.classifier_id,
            "prior": self.prior,
            "calibrated": self.calibrated,
            "trust": self.trust.as_json(),
            "thresholds": self.thresholds,
            "notices": self.notices,
        }

    def summary(self) -> Sequence[str]:
        worth = "calibrated" if self.calibrated else "not calibrated"
        return [
            f"{plural(self.n_encounters, 'encounter')}: {counted(self.encounters_per_class)}; "
            f"probabilities are {worth} and presuppose the prior {self.prior}.",
            f"{plural(self.n_files, 'file')}, {plural(self.n_clips, 'clip')}, "
            f"{plural(self.n_detections, 'detection')}; tables are in {self.output}.",
            f"Classifier: {self.trust.sentence()}. {attention(len(self.problems), self.notices)}",
        ]

    def main_table(self) -> pd.DataFrame | None:
        """The decisions on encounters; None where a later prediction has overwritten them."""
        wanted = ("encounter", "n_moments", "decision", "probability", "reason")
        try:
            said = self.encounters
        except PseudorcaError:
            return None
        plain = plain_encounters(said["encounter"].astype(str))
        table = said[[column for column in wanted if column in said]]
        return table.assign(encounter=said["encounter"].astype(str).map(plain))

    def _table(self, unit: str, columns: Iterable[str]) -> pd.DataFrame:
        if not self.files:
            return pd.DataFrame(columns=list(columns), dtype="string")
        if not set(TABLE_FORMATS).intersection(self.files):
            raise PseudorcaError(
                f"{self.output} holds the predictions as {', '.join(self.files)}, which have no table "
                f'of {unit}s. Write it: result.write(FOLDER, formats=["csv"]).'
            )
        path, table = read_table(self.output, unit, self.files)
        if _stamp(path) != self._stamps[path]:
            raise PseudorcaError(
                f"{path} was changed since this prediction, perhaps by a later one. Predict again, or "
                'write this one: result.write(FOLDER, formats=["csv"]).'
            )
        return table


def _file_names(paths: str) -> str:
    """The name of a file; of several that hold the channels of one moment, the first of them."""
    first, *others = paths.split("; ")
    name = PurePath(first).name
    return f"{name} (with {plural(len(others), 'other channel')})" if others else name


def table_stamps(files: Mapping[str, Sequence[Path]]) -> dict[Path, tuple[int, int]]:
    """The stamp of every table that was written.

    Examples
    --------
    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile(suffix=".csv") as file:
    ...     len(table_stamps({"csv": [Path(file.name)], "raven": [Path("selections.txt")]}))
    1
    """
    return {path: _stamp(path) for kind in TABLE_FORMATS for path in files.get(kind, ())}


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is written anew."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size

"""Recordings to scores: the same clips, front end, backbone and store that training used.

Recordings pass through in portions, so that years of sound need no more memory than hours. For
encounters, which may span portions, a row per recording is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.embedding.gate import Gate
from pseudorca.embedding.stream import Workers, embed_by_each
from pseudorca.evaluation.trust import Trust
from pseudorca.learning.calibration import Prior, make_prior
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.base import mean_said
from pseudorca.learning.preparation import PLAIN, prepared_vectors
from pseudorca.learning.units import UnitScores, aggregate, join_recordings, score_table
from pseudorca.prediction.decisions import Rule, decide
from pseudorca.recordings.clips import cut
from pseudorca.recordings.clocks import local_times
from pseudorca.recordings.options import ClipOptions
from pseudorca.recordings.timeline import timeline
from pseudorca.store import TABLES, Store

PORTION_CLIPS = 4096
"""Approximate number of clips that are scored, decided and written together; recordings stay whole."""

_SCORED_TOGETHER = 1024
_TRUST_TYPES = {
    f"{of}_{what}": "float64"
    for of in ("held_out", "stricter")
    for what in ("accuracy", "low", "high")
}


@dataclass
class Predictions:
    """The predictions of a classifier on recordings.

    ``tables`` has one table per unit (clip, recording, encounter) with the decision or the reason for
    none, the most probable class, and ``p_<population>`` columns. ``decisions`` and ``scores`` are the
    store's tables. ``quiet`` has the clips that a gate left out.
    """

    tables: dict[str, pd.DataFrame]
    decisions: pd.DataFrame
    scores: pd.DataFrame
    problems: pd.DataFrame
    quiet: pd.DataFrame
    recordings: pd.DataFrame
    """The recordings of these predictions."""
    small: list[str] = field(default_factory=list)
    """Groups of few clips whose mean was subtracted from embeddings."""

    @property
    def n_clips(self) -> int:
        return len(self.tables["clip"])


@dataclass
class Predictor:
    """Scores recordings portion by portion and decides per clip, recording and encounter.

    Parameters
    ----------
    classifier : Classifier
    store : Store, keeps the embeddings
    rules : dict from kind of unit to Rule
    batch_size, n_threads, gate, workers : see :func:`pseudorca.embedding.stream.embed_clips`
    set_name : str, the name under which scores and decisions are kept
    """

    classifier: Classifier
    store: Store
    rules: Mapping[str, Rule]
    batch_size: int | None = None
    n_threads: int | None = None
    gate: Gate | None = None
    workers: Workers | None = None
    set_name: str = ""
    _heard: list[UnitScores] = field(default_factory=list, init=False)
    _has_zones: bool = field(default=False, init=False)

    def portions(
        self,
        recordings: pd.DataFrame,
        *,
        line: pd.DataFrame | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Predictions]:
        """Predict clips and recordings, in the order of the recorders' clocks.

        Parameters
        ----------
        recordings : DataFrame, the table ``recordings``
        line : DataFrame or None, see :func:`portions`
        progress : callable (seconds done, seconds in all) or None

        Yields
        ------
        Predictions of a portion of the recordings, without the table of encounters
        """
        self._has_zones = "time_zone" in recordings and bool(recordings["time_zone"].notna().any())
        total_s = recordings["duration_s"].sum()
        before_s = 0.0
        for portion in portions(recordings, self.classifier.clip_options, line=line):
            length_s = float(portion["duration_s"].sum())

            def progress_within(
                done: int, todo: int, *, since: float = before_s, s: float = length_s
            ) -> None:
                if progress:
                    progress(round(since + s * done / max(todo, 1)), round(total_s))

            yield self._predict(portion, progress_within)
            before_s += length_s
            if progress:
                progress(round(before_s), round(total_s))

    def encounters(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Predict the encounters of all portions so far -> table, and rows of ``decisions``."""
        classes = self.classifier.classes
        if not self._heard:
            units = UnitScores(_NO_UNITS.copy(), np.empty((0, len(classes))))
        else:
            table = pd.concat([units_of.table for units_of in self._heard], ignore_index=True)
            scores = np.concatenate([units_of.log_probabilities for units_of in self._heard])
            units = join_recordings(UnitScores(table, scores), self.classifier.nothing)
        return self._decide(units, "encounter", None)

    def _predict(
        self, recordings: pd.DataFrame, progress: Callable[[int, int], None]
    ) -> Predictions:
        classifier, store = self.classifier, self.store
        clips, uncut = cut(recordings, classifier.clip_options)
        embedder = classifier.embedder
        result = embed_by_each(
            clips, recordings, embedder, store, batch_size=self.batch_size,
            n_threads=self.n_threads, gate=self.gate, workers=self.workers, progress=progress,
        )  # fmt: skip
        is_quiet = clips["clip_id"].isin(result.quiet)
        quiet = clips.loc[is_quiet, ["recording_id", "start_s", "end_s"]]
        there = clips["clip_id"].isin(result.embedded)
        clips = clips[there & ~is_quiet].reset_index(drop=True)
        log_probabilities, novelty, p_nothing, small = self._score(clips, recordings)
        tables, decisions = {}, []
        for unit in ("clip", "recording"):
            units = aggregate(
                clips, recordings, log_probabilities, unit, novelty=novelty,
                p_nothing=p_nothing, rule=classifier.nothing,
            )  # fmt: skip
            if unit == "recording" and len(units.table):
                kept = UnitScores(units.table.copy(), units.log_probabilities)
                self._heard.append(kept)
            tables[unit], decided = self._decide(units, unit, recordings)
            decisions.append(decided)
        return Predictions(
            tables=tables,
            decisions=pd.concat(decisions, ignore_index=True),
            scores=score_table(
                clips,
                log_probabilities,
                classifier.classes,
                classifier.classifier_id,
                set_name=self.set_name,
            ),
            problems=pd.concat([uncut, result.problems], ignore_index=True),
            quiet=quiet,
            recordings=recordings,
            small=small,
        )

    def _score(
        self, clips: pd.DataFrame, recordings: pd.DataFrame
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], list[str]]:
        """Log-probabilities [shape=(n_clips, n_classes)], novelty and probability of nothing
        [shape=(n_clips,)], small groups.

        Centring uses the mean over these clips, those of one portion.
        """
        classifier = self.classifier
        log_probabilities = np.empty((len(clips), len(classifier.classes)))
        novelty, p_nothing = np.zeros(len(clips)), np.zeros(len(clips))
        if clips.empty:
            return log_probabilities, novelty, p_nothing, []
        is_plain = classifier.preparation == PLAIN
        n_together = _SCORED_TOGETHER if is_plain else len(clips)
        small: list[str] = []
        for start in range(0, len(clips), n_together):
            rows = slice(start, start + n_together)
            vectors, test_copies, small = prepared_vectors(
                clips.iloc[rows].reset_index(drop=True), recordings, self.store,
                classifier.embedder, classifier.preparation, classifier.views,
                batch_size=self.batch_size, n_threads=self.n_threads, workers=self.workers,
            )  # fmt: skip
            log_probabilities[rows] = mean_said(classifier.head, vectors, test_copies)
            p_nothing[rows] = classifier.head.p_nothing(vectors)
            if classifier.novelty is not None:
                novelty[rows] = classifier.novelty.distances(vectors)
        return log_probabilities, novelty, p_nothing, small

    def _decide(
        self, units: UnitScores, unit: str, recordings: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        classifier = self.classifier
        training = classifier.training
        trained: Prior = make_prior("train", classifier.classes, training["n_encounters"])
        if classifier.novelty is not None and "novelty" in units.table:
            units.table["novelty"] = units.table["novelty"] / classifier.novelty.usual[unit]
        decided, probabilities = decide(
            units, classifier.calibrator(unit), self.rules[unit], unit=unit,
            classifier_id=classifier.classifier_id, trained=trained, set_name=self.set_name,
            nothing=classifier.nothing,
        )  # fmt: skip
        trained_on = {key: set(training.get(key, ())) for key in _TRAINED_ON}
        table = _readable(units, decided, probabilities, recordings, classifier.classes, trained_on)
        if recordings is not None and self._has_zones:
            zones = recordings.set_index("recording_id")["time_zone"]
            local = local_times(table["start_utc"], table["recording_id"].map(zones))
            table.insert(list(table.columns).index("start_utc") + 1, "start_local", local)
        table = with_trust(table, Trust.from_json(classifier.trust))
        return table, decided[list(TABLES["decisions"])]


_TRAINED_ON = ("moments", "encounters", "recordings")
_NO_UNITS = pd.DataFrame(
    columns=["unit_id", "label", "encounter", "n_moments", "novelty", "p_nothing", "n_something",
             "n_heard", "by_noise"]
)  # fmt: skip


def portions(
    recordings: pd.DataFrame,
    options: ClipOptions,
    *,
    n_clips: int = PORTION_CLIPS,
    line: pd.DataFrame | None = None,
) -> Iterator[pd.DataFrame]:
    """Deal recordings, in the order of the recorders' clocks, into portions of about ``n_clips``.

    Files of one moment (its channels), and files that overlap in time, stay together.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
    options : ClipOptions
    n_clips : int
    line : DataFrame or None
        The :func:`~pseudorca.recordings.timeline.timeline` of the recordings, if already computed

    Yields
    ------
    DataFrame, rows of ``recordings``

    Examples
    --------
    >>> recordings = pd.DataFrame({
    ...     "recording_id": ["r1"], "moment_id": ["m1"], "path": ["a.wav"], "platform": "Sette",
    ...     "encounter": "e1", "selection": None, "duration_s": 10.0, "root": "/data",
    ...     "sample_rate": 48_000, "n_channels": 1,
    ...     "start_utc": pd.to_datetime(["2017-07-28T03:12:00"], utc=True),
    ... })
    >>> [len(portion) for portion in portions(recordings, ClipOptions(window_s=3.0))]
    [1]
    """
    if recordings.empty:
        yield recordings
        return
    line = timeline(recordings) if line is None else line
    end = line["start_utc"] + pd.to_timedelta(line["clock_s"], unit="s").dt.round("us")
    reached = end.groupby(line["recorder"], sort=False).cummax().shift()
    overlaps = (line["recorder"] == line["recorder"].shift()) & (line["start_utc"] < reached)
    block_of = (~overlaps).cumsum().set_axis(line["moment_id"])
    rows = recordings.assign(block=recordings["moment_id"].map(block_of).to_numpy())
    rows = rows.sort_values("block", kind="stable")
    n_per_window = rows["n_channels"] if options.channels == "each" else 1
    if options.window_s is None:
        n_windows = pd.Series(1.0, index=rows.index)
    else:
        n_windows = np.ceil(rows["duration_s"] / (options.window_s - options.overlap_s))
        if options.max_per_recording is not None:
            n_windows = n_windows.clip(upper=options.max_per_recording)
    by_block = (n_windows * n_per_window).groupby(rows["block"], sort=False).sum()
    number, n_held, portion_of = 0, 0.0, {}
    for block, n in by_block.items():
        if n_held and n_held + n > n_clips:
            number, n_held = number + 1, 0.0
        portion_of[block] = number
        n_held += n
    rows["portion"] = rows["block"].map(portion_of)
    for _, portion in rows.groupby("portion", sort=True):
        yield portion.drop(columns=["block", "portion"]).reset_index(drop=True)


def answer_columns(classes: Sequence[str]) -> list[str]:
    """The columns of the tables of clips, recordings and encounters; a table may lack some.

    Parameters
    ----------
    classes : sequence of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> [name for name in answer_columns(["A"]) if name.startswith("p_")]
    ['p_nothing', 'p_A']
    """
    return [
        "path", "encounter", "start_s", "end_s", "start_utc", "n_moments", "decision", "reason",
        "most_probable", "probability", "prior", "depends_on_prior", "novelty", "p_nothing",
        "n_something",
        *[f"p_{label}" for label in classes], "in_training", "recording_id", "classifier_id",
        *Trust().columns(),
    ]  # fmt: skip


def with_trust(table: pd.DataFrame, trust: Trust) -> pd.DataFrame:
    """Add to a table of answers what is known of the classifier that gave them.

    Parameters
    ----------
    table : DataFrame
    trust : Trust

    Returns
    -------
    DataFrame, with the columns of :meth:`Trust.columns`

    Examples
    --------
    >>> with_trust(pd.DataFrame({"decision": ["A"]}), Trust(verdict="recorder"))["audit"].tolist()
    ['recorder']
    """
    return table.assign(
        **{
            name: pd.Series(value, index=table.index, dtype=_TRUST_TYPES.get(name, "string"))
            for name, value in trust.columns().items()
        }
    )


def _readable(
    units: UnitScores,
    decided: pd.DataFrame,
    probabilities: NDArray[np.float64],
    recordings: pd.DataFrame | None,
    classes: list[str],
    trained_on: dict[str, set[str]],
) -> pd.DataFrame:
    """A readable table: place and time, decision, and the probability of each population."""
    table = units.table.copy()
    order = answer_columns(classes)
    if table.empty:  # pandas would choose the types of empty columns
        return pd.DataFrame(columns=order, dtype="string")
    if recordings is not None:
        by_id = recordings.set_index("recording_id")
        moment = table["recording_id"].map(by_id["moment_id"])
        # Files of one moment (its channels) share a row; all of them are named.
        paths = recordings.groupby("moment_id", sort=False)["path"].agg("; ".join)
        table["path"] = moment.map(paths)
        # A channel's moment has another name where the folders differ; the sound is the same.
        is_known = recordings["recording_id"].isin(trained_on["recordings"])
        known = {*trained_on["moments"], *recordings.loc[is_known, "moment_id"]}
        table["in_training"] = moment.isin(known)
        start = table["recording_id"].map(by_id["start_utc"])
        table["start_utc"] = pd.to_datetime(start, utc=True).astype("datetime64[us, UTC]")
        if "start_s" in table:
            table["start_utc"] += pd.to_timedelta(table["start_s"].astype("float64"), unit="s")
    else:
        table["in_training"] = table["encounter"].isin(trained_on["encounters"])
    answers = (
        "n_moments",
        "decision",
        "reason",
        "most_probable",
        "probability",
        "prior",
        "depends_on_prior",
    )
    table = table.assign(**{column: decided[column] for column in answers})
    for k, label in enumerate(classes):
        table[f"p_{label}"] = probabilities[:, k]
    table["classifier_id"] = decided["classifier_id"]
    texts = ("path", "encounter", "decision", "reason", "most_probable", "prior", "recording_id")
    table = table.astype({text: "string" for text in (*texts, "classifier_id") if text in table})
    return table[[column for column in order if column in table]]

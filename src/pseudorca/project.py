"""The front door: a project folder, with a method per verb and a typed result from each.

In: recordings. Out: what a classifier says of them, and how far to trust it. Stages are imported when
a method is called, and after its options are checked, so that this module costs nothing, a wrong
option is refused at once, and ``scan`` loads no torch. A method that writes keeps other processes and
threads out of the project while it runs; the others take no lock, and work on a project that cannot
be written to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pseudorca.errors import FoldError, HeadError, ManifestError, StoreError
from pseudorca.progress import ProgressChoice, shown_progress, shown_stages

if TYPE_CHECKING:
    import pandas as pd

    from pseudorca.audit.audit import AuditResult
    from pseudorca.compare.compare import CompareOptions, CompareResult
    from pseudorca.embedding.embed import EmbedResult
    from pseudorca.embedding.options import Precision
    from pseudorca.evaluation.evaluate import EvaluateResult
    from pseudorca.frontends.spectrograms import SpectrogramsResult
    from pseudorca.labels.labels import Labels
    from pseudorca.learning.recipe import Recipe
    from pseudorca.learning.train import TrainResult
    from pseudorca.prediction.asking import Classifier
    from pseudorca.prediction.options import CsvStyle
    from pseudorca.prediction.predict import AnyClassifier
    from pseudorca.prediction.result import PredictionResult
    from pseudorca.prediction.sets import PredictionSetsResult
    from pseudorca.recordings.clips import ClipsResult
    from pseudorca.recordings.folds import FoldsResult, Split
    from pseudorca.recordings.options import Pad, ScanOptions
    from pseudorca.recordings.scan import ScanResult
    from pseudorca.report.report import ReportResult
    from pseudorca.store import Store
    from pseudorca.study.reproduce import ReproduceResult
    from pseudorca.study.settings import StudyOptions

Location = str | PathLike[str]
"""A path."""

Prior = str | Mapping[str, float]
"""``uniform``, ``train``, shares as text (``Insular=0.14,Pelagic=0.86``) or as a mapping."""

Announce = Callable[[str], Any]
"""Takes a line about the step that begins."""


class Project:
    """A folder of recordings, embeddings, classifiers and results.

    Make one with :meth:`create`, open it again with :meth:`open`. Every verb of the command line is
    a method here, with a typed result that prints as a summary.

    Parameters
    ----------
    store : Store, the open folder

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np, soundfile as sf
    >>> folder = TemporaryDirectory()
    >>> noise = np.random.default_rng(0).standard_normal(16_000) / 10
    >>> for number, label in enumerate(("Insular", "Pelagic"), 1):
    ...     place = Path(folder.name, "recordings", label, f"Sette_AC_{number}")
    ...     place.mkdir(parents=True)
    ...     sf.write(place / f"{label}.wav", noise / number, 8_000)
    >>> whales = Project.create(f"{folder.name}/whales")
    >>> print(whales.scan(f"{folder.name}/recordings", progress=False))
    2 recordings (0.00 h): 2 labelled, 0 unlabelled, in 2 encounters.
    Recordings by class: Insular 1, Pelagic 1.
    No problems, 3 notices (see .notices).
    >>> whales.clips(window_s=1.0)
    <ClipsResult: 4 clips of 4 moments, 0 of them filled up to the window.>
    >>> folder.cleanup()
    """

    def __init__(self, store: "Store") -> None:
        self.store = store

    @classmethod
    def create(
        cls,
        folder: Location,
        recordings: Location | None = None,
        *,
        other: Sequence[str] = (),
        nothing: Sequence[str] = (),
        labels: Sequence[str] | None = None,
        metadata: Location | None = None,
        columns: Mapping[str, str] | None = None,
        missing: Sequence[str] = (),
        name_pattern: str | None = None,
        time_format: str | None = None,
        time_zone: str | None = None,
        full_hash: bool = False,
        on_conflict: Literal["error", "drop"] = "error",
        cut_gaps_h: float | None = None,
        n_threads: int | None = None,
        progress: ProgressChoice = None,
    ) -> Self:
        """Make a project, and scan recordings into it if they are given.

        A project that is there already is opened, and scanned anew. If the scan fails, no new folder
        is left behind.

        Parameters
        ----------
        folder : path of the project folder
        recordings : path or URL of the folder with class folders of recordings, or None
        other, nothing, labels, metadata, columns, missing, name_pattern, time_format, time_zone
            See :meth:`scan`.
        full_hash, on_conflict, cut_gaps_h
            See :meth:`scan`.
        n_threads, progress
            See :meth:`scan`.

        Returns
        -------
        Project

        Raises
        ------
        StoreError
            If the folder holds something else, or cannot be made.
        ManifestError
            As :meth:`scan`.
        """
        how: dict[str, Any] = {
            "other": other, "nothing": nothing, "labels": labels, "metadata": metadata,
            "columns": columns, "missing": missing, "name_pattern": name_pattern,
            "time_format": time_format, "time_zone": time_zone, "full_hash": full_hash,
            "on_conflict": on_conflict, "cut_gaps_h": cut_gaps_h,
        }  # fmt: skip
        options = _scan_options(**how)  # refused before the project is made, or waited for
        if recordings is None and options != _scan_options():
            raise ManifestError(
                "how recordings are scanned was given, and no recordings. Give both, or scan later."
            )
        with new_project(folder) as project:
            if recordings is not None:
                project.scan(recordings, **how, n_threads=n_threads, progress=progress)
        return cls(project.store)

    @classmethod
    def open(cls, folder: Location) -> Self:
        """Open a project that is there.

        Parameters
        ----------
        folder : path of the project folder

        Returns
        -------
        Project

        Raises
        ------
        StoreError
            If the folder is no project, or one of another format.
        """
        from pseudorca.store import Store

        return cls(Store(folder))

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.store.folder

    @property
    def is_read_only(self) -> bool:
        """Whether the folder can be read and not written to."""
        from pseudorca.access import is_read_only

        return is_read_only(self.folder)

    @property
    def recordings(self) -> "pd.DataFrame":
        """The table of the recordings that were scanned."""
        return self.store.read("recordings")

    @property
    def problems(self) -> "pd.DataFrame":
        """Everything that could not be used: path, stage, reason and detail."""
        from pseudorca.store import shown_problems

        return shown_problems(self.store.read("problems"))

    @property
    def labels(self) -> "Labels":
        """What people said of clips and encounters: the journal of the project."""
        from pseudorca.labels.labels import Labels

        return Labels(self.store)

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes and threads out of the project during several steps.

        Every method that writes does so by itself.
        """
        from pseudorca.access import locked

        with locked(self.store):
            yield

    def scan(
        self,
        recordings: Location,
        *,
        other: Sequence[str] = (),
        nothing: Sequence[str] = (),
        labels: Sequence[str] | None = None,
        metadata: Location | None = None,
        columns: Mapping[str, str] | None = None,
        missing: Sequence[str] = (),
        name_pattern: str | None = None,
        time_format: str | None = None,
        time_zone: str | None = None,
        full_hash: bool = False,
        on_conflict: Literal["error", "drop"] = "error",
        cut_gaps_h: float | None = None,
        replace: bool = False,
        n_threads: int | None = None,
        progress: ProgressChoice = None,
    ) -> "ScanResult":
        """Find the recordings below a folder, with their labels, encounters and problems.

        Parameters
        ----------
        recordings : path or URL of the folder with class folders of recordings
        other : folders that hold none of the populations asked about, such as ``["Ships"]``
        nothing : folders in which no animal is heard, such as ``["Noise"]``: they teach what nothing
            sounds like, and are no class
        labels : class folders at any depth; None: the top folders
        metadata : path or URL of a table joined by its column ``path``, ``file`` or ``encounter``
        columns : what its columns mean, such as ``{"path": "Filename", "label": "Population"}``
        missing : texts that mean there that nothing is known, such as ``["NA"]``
        name_pattern : regular expression over paths, with groups such as ``platform`` and ``start``
        time_format : strptime format of the group ``start``
        time_zone : zone of the recorders' clocks where names give none, such as
            ``Pacific/Honolulu`` or ``-10``, or a column of the metadata; None: UTC
        full_hash : decode recordings over 10 minutes wholly, too
        on_conflict : one sound under two labels is an ``error``, or both are left out (``drop``)
        cut_gaps_h : hours; encounters are cut at longer pauses
        replace : scan another folder, or other labels, into a project that holds results
        n_threads : threads that read; None: one per core
        progress : None (a bar), False (nothing) or callable (done, total), over files

        Returns
        -------
        ScanResult

        Raises
        ------
        ManifestError
            If the folder, the metadata or the labels contradict each other, or if results of the
            project would no longer fit and ``replace`` is not given.
        TableError
            If the metadata are no table.
        """
        options = _scan_options(
            labels=labels, other=other, nothing=nothing, metadata=metadata, columns=columns,
            missing=missing, name_pattern=name_pattern, time_format=time_format,
            time_zone=time_zone, full_hash=full_hash, on_conflict=on_conflict,
            cut_gaps_h=cut_gaps_h,
        )  # fmt: skip
        from pseudorca.labels.annotation import labels_in_force
        from pseudorca.labels.labels import read_journal
        from pseudorca.recordings.scan import scan_project

        journal = read_journal(self.folder)
        annotated = {(unit, unit_id) for unit, unit_id, _ in labels_in_force(journal.rows)}
        with self.locked(), shown_progress(progress, "Reading recordings") as update:
            return scan_project(
                self.store, _place(recordings), options, replace=replace, annotated=annotated,
                n_threads=n_threads, progress=update,
            )  # fmt: skip

    def clips(
        self,
        *,
        window_s: float | None = 3.0,
        overlap_s: float = 0.0,
        max_per_recording: int | None = None,
        pad: "Pad" = "tile",
        min_fill: float = 0.5,
        channels: str = "mean",
        selections: Location | Sequence[Location] = (),
    ) -> "ClipsResult":
        """Cut recordings into clips: windows, whole files, or Raven selections.

        Parameters
        ----------
        window_s : seconds; None: each recording (or selection) is one clip
        overlap_s : seconds shared by neighbours
        max_per_recording : at most so many windows, spread evenly over the recording
        pad : ``tile``, ``zero`` or ``drop``: what fills a clip shorter than the window
        min_fill : share of the last, partial window that has to be sound
        channels : ``mean``, ``first``, ``each``, or a number from 1
        selections : Raven selection tables, or folders of them: only these stretches are cut

        Returns
        -------
        ClipsResult

        Raises
        ------
        ClipError
            If an option makes no sense, or a selection table cannot be read.
        """
        from pseudorca.recordings.options import ClipOptions

        options = ClipOptions(window_s, overlap_s, max_per_recording, pad, min_fill, channels)
        from pseudorca.recordings.clips import clips_project

        with self.locked():
            return clips_project(
                self.store, options, selections=[Path(place) for place in _places(selections)]
            )

    def folds(
        self,
        split: "str | Split" = "encounter",
        *,
        n_folds: int = 5,
        n_repeats: int = 1,
        seed: int | None = None,
    ) -> "FoldsResult":
        """Make a split, verify it, and say what stands on which side. Nothing is written.

        Parameters
        ----------
        split : Split, or its name: ``encounter``, ``random``, ``stratified``, ``study``, any column,
            or ``leave-one-COLUMN-out``
        n_folds, n_repeats, seed : of a split given by name

        Returns
        -------
        FoldsResult

        Raises
        ------
        FoldError
            If the split cannot be made.
        """
        from pseudorca.recordings.folds import folds_project

        return folds_project(self.store, _split(split, n_folds, n_repeats, seed))

    def embed(
        self,
        backbone: str = "pseudorca_small",
        *,
        weights: Location = "official",
        layer: str | None = None,
        front_end: str | None = None,
        band: str | None = None,
        settings: Mapping[str, Any] | None = None,
        adapt_batch_norm: bool = False,
        slow: float = 1.0,
        n_views: int = 0,
        n_test_views: int = 0,
        view_settings: Mapping[str, Any] | None = None,
        reference: bool = False,
        device: str = "auto",
        precision: "Precision" = "auto",
        batch_size: int | None = None,
        n_threads: int | None = None,
        n_workers: int | None = None,
        cluster: str | None = None,
        progress: ProgressChoice = None,
    ) -> "EmbedResult":
        """Turn clips into embeddings with a pretrained network. Goes on where it was stopped.

        Parameters
        ----------
        backbone : network, by name; several side by side: ``A+B``
        weights : ``official``, the name of official weights, or a file or folder
        layer : take the embedding after this earlier layer
        front_end : ``common`` or ``study``, for networks on pictures; None: the network's own
        band : ``16k``, ``48k``, ``96k``, ``all`` or ``common``; None: ``16k``
        settings : other fields of the front end
        adapt_batch_norm : recompute batch-norm statistics over these recordings
        slow : times that every clip is slowed down
        n_views : altered copies of every labelled clip to learn from
        n_test_views : altered copies over which a clip that is tested is averaged
        view_settings : what is altered in them, such as ``{"gain_db": 6}``
        reference : embed the background of every labelled clip, too
        device : ``auto``, ``cpu`` or ``cuda``
        precision : ``auto``, ``float32`` or ``mixed``
        batch_size : pictures per pass through the network
        n_threads : threads; None: one per core
        n_workers : processes on this machine; None: this one
        cluster : address of a Dask scheduler whose workers do it
        progress : None (a bar), False (nothing) or callable (done, total), over clips

        Returns
        -------
        EmbedResult

        Raises
        ------
        BackboneError, FrontEndError
            If the network or its input cannot be had.
        """
        from pseudorca.embedding.options import Computing, EmbedderOptions

        options = EmbedderOptions(
            backbone,
            str(weights),
            layer,
            front_end,
            band,
            tuple((settings or {}).items()),
            adapt_batch_norm,
            slow,
            n_views,
            n_test_views,
            tuple((view_settings or {}).items()),
            reference,
        )
        computing = Computing(device, precision, batch_size, n_threads, n_workers, cluster)
        from pseudorca.embedding.embed import embed_project

        with self.locked(), shown_progress(progress, "Embedding clips") as update:
            return embed_project(self.store, options, computing=computing, progress=update)

    def train(
        self,
        recipe: "Recipe | None" = None,
        *,
        name: str = "classifier",
        progress: ProgressChoice = None,
        stage: Announce = lambda text: None,
    ) -> "TrainResult":
        """Train a classifier on all labelled clips, calibrate it, and save it in the project.

        Parameters
        ----------
        recipe : Recipe or None, the usual one: logistic regression
        name : of the classifier
        progress : None (a bar), False (nothing) or callable (done, total), over trainings
        stage : takes a sentence on what is done now

        Returns
        -------
        TrainResult

        Raises
        ------
        ClassifierError
            If the name cannot be one.
        HeadError
            If there is too little to learn from, or embeddings are missing.
        """
        from pseudorca.evaluation.trust import keep_trust
        from pseudorca.learning.classifier import read_trust
        from pseudorca.learning.train import train_project

        with self.locked(), shown_progress(progress, "Training and calibrating") as update:
            result = train_project(
                self.store, _recipe(recipe), name=name, progress=update, stage=stage
            )
            keep_trust(self.store)
            result.classifier.trust = read_trust(result.folder)
            return result

    def evaluate(
        self,
        recipe: "Recipe | None" = None,
        splits: "str | Split | Sequence[str | Split]" = ("encounter",),
        *,
        n_folds: int = 5,
        n_repeats: int = 3,
        seed: int | None = None,
        max_error: float = 0.1,
        n_permutations: int = 0,
        within: str | None = None,
        learning_curve: bool = False,
        strangers: bool = False,
        stricter: bool = True,
        progress: ProgressChoice = None,
        stage: Announce = lambda text: None,
    ) -> "EvaluateResult":
        """Cross-validate: how good is a classifier on encounters that it never heard?

        Parameters
        ----------
        recipe : Recipe or None, the usual one: logistic regression
        splits : splits, or their names; the result is looked up by these names
        n_folds, n_repeats, seed : of splits given by name
        max_error : show what naming with at most this share of wrong names would do
        n_permutations : test the result against so many permutations of the labels
        within : permute only within the values of this column
        learning_curve : how the result grows with the number of encounters
        strangers : leave each species out in turn, and ask how often its animals are named
        stricter : show beside the split by encounter the strictest one that the data know, by what
            joins encounters to the fewest groups (outing, day, platform); one draw of its folds
        progress : None (a bar), False (nothing) or callable (done, total), over trainings
        stage : takes a sentence on what is done now

        Returns
        -------
        EvaluateResult

        Raises
        ------
        FoldError
            If a split cannot be made.
        HeadError
            If there is too little to learn from, or embeddings are missing.
        """
        from pseudorca.evaluation.options import EvaluateOptions

        options = EvaluateOptions(
            max_error=max_error, n_permutations=n_permutations, within=within,
            learning_curve=learning_curve, strangers=strangers, stricter=stricter,
        )  # fmt: skip
        given = [splits] if isinstance(splits, str) or not isinstance(splits, Sequence) else splits
        asked = [_split(split, n_folds, n_repeats, seed) for split in given]
        if not asked:
            raise FoldError("splits is empty: name at least one split, such as encounter.")
        from pseudorca.evaluation.evaluate import evaluate_project
        from pseudorca.evaluation.trust import keep_trust

        with self.locked(), shown_progress(progress, "Training heads") as update:
            result = evaluate_project(
                self.store, _recipe(recipe), asked, options, progress=update, stage=stage
            )
            keep_trust(self.store)
            return result

    def compare(
        self,
        options: "CompareOptions | None" = None,
        *,
        out: Location | None = None,
        progress: ProgressChoice = None,
        stage: Announce = lambda text: None,
    ) -> "CompareResult":
        """Compare all embedders of the project, and ensembles, on encounters never heard.

        Parameters
        ----------
        options : CompareOptions or None
            What is compared, and how; None: all embedders, by encounter
        out : folder of tables and page; None: ``comparison`` in the project
        progress : None (a bar), False (nothing) or callable (done, total), over trainings
        stage : takes a sentence on what is done now

        Returns
        -------
        CompareResult

        Raises
        ------
        PseudorcaError
            If a name is unknown, or there is nothing to compare.
        """
        from pseudorca.compare.compare import CompareOptions, compare_project

        folder = self.folder / "comparison" if out is None else Path(out)
        with self.locked(), shown_progress(progress, "Comparing") as update:
            return compare_project(
                self.store, options or CompareOptions(), folder, progress=update, stage=stage
            )

    def audit(
        self,
        recipe: "Recipe | None" = None,
        *,
        split: "str | Split" = "encounter",
        n_folds: int = 5,
        n_repeats: int = 1,
        seed: int | None = None,
        n_permutations: int | None = None,
        within: str | None = None,
        clips_per_encounter: int = 20,
        quick: bool = False,
        device: str = "auto",
        batch_size: int | None = None,
        n_threads: int | None = None,
        progress: ProgressChoice = None,
        stage: Announce = lambda text: None,
    ) -> "AuditResult":
        """Animals or recorders? Compare the classifier with controls that hear no animal.

        Parameters
        ----------
        recipe : Recipe or None, the usual one: logistic regression
        split : split, or its name: an honest one
        n_folds, n_repeats, seed : of a split given by name; the seed draws the permutations, too
        n_permutations : shuffles of the labels, None: 199, or 39 if quick; with fewer than 20 no p
            is below 0.05
        within : shuffle labels only within equal values of this column
        clips_per_encounter : clips of an encounter that are heard, at most
        quick : only what the verdict needs: the facts of the files and the background
        device, batch_size, n_threads : as in :meth:`embed`
        progress : None (a bar), False (nothing) or callable (done, total)
        stage : takes a sentence on what is done now

        Returns
        -------
        AuditResult

        Raises
        ------
        FoldError
            If the split tears encounters apart.
        HeadError
            If the head trains the network itself.
        """
        from pseudorca.audit.options import N_PERMUTATIONS, N_QUICK, AuditOptions
        from pseudorca.embedding.options import Computing

        if n_permutations is None:
            n_permutations = N_QUICK if quick else N_PERMUTATIONS
        options = AuditOptions(n_permutations, seed or 0, within, clips_per_encounter, quick)
        asked = _split(split, n_folds, n_repeats, seed)
        computing = Computing(device, batch_size=batch_size, n_threads=n_threads)
        from pseudorca.audit.audit import audit_project
        from pseudorca.evaluation.trust import keep_trust

        with self.locked(), shown_stages(progress, "Auditing", stage) as (update, begin):
            result = audit_project(
                self.store, _recipe(recipe), asked, options, computing=computing,
                progress=update, stage=begin,
            )  # fmt: skip
            keep_trust(self.store)
            return result

    def predict(
        self,
        paths: Location | Sequence[Location] | None = None,
        classifier: "AnyClassifier | None" = None,
        *,
        set_name: str | None = None,
        prior: Prior = "uniform",
        max_error: float | None = None,
        min_probability: float | None = None,
        min_moments: int = 1,
        max_novelty: float = 1.0,
        gate_db: float | None = None,
        out: Location | None = None,
        formats: Sequence[str] = ("csv",),
        csv: "CsvStyle" = "plain",
        max_gap_s: float = 0.0,
        name_pattern: str | None = None,
        time_format: str | None = None,
        time_zone: str | None = None,
        device: str = "auto",
        precision: "Precision" = "auto",
        batch_size: int | None = None,
        n_threads: int | None = None,
        n_workers: int | None = None,
        cluster: str | None = None,
        progress: ProgressChoice = None,
    ) -> "PredictionResult":
        """Say which population each clip, recording and encounter sounds like.

        On a project that cannot be written to, ``out`` must be given; what a run needs to go on
        after it was stopped is then kept in the project ``out/project``.

        Parameters
        ----------
        paths : files, folders and remote addresses; None: the unlabelled recordings of the project
        classifier : name in the project, folder, Classifier, or the result of :meth:`train`; None:
            the one called ``classifier``
        set_name : name to keep the predictions under; None: that of the files or folders
        prior : how frequent the classes are there: ``uniform``, ``train``, or shares by class
        max_error : name only so much that at most this share of the names is wrong
        min_probability : less probable than this stays undecided; None: one half, or more, so that at
            most a quarter of the names of held-out encounters were wrong; 0: none is undecided for it
        min_moments : with fewer moments it stays undecided
        max_novelty : what is farther from all training sounds stays undecided
        gate_db : decibels by which a window must exceed its background
        out : folder of the tables; None: ``predictions`` in the project
        formats : names of formats; a table (CSV, or Parquet) is always among them
        csv : ``plain``, or ``excel``: with the mark of UTF-8, and no text runs as a formula
        max_gap_s : seconds between clips of one name that are one detection
        name_pattern, time_format, time_zone : as in :meth:`scan`, for the names of the files
        device, precision, batch_size, n_threads, n_workers, cluster : as in :meth:`embed`
        progress : None (a bar), False (nothing) or callable (done, total), over seconds of sound

        Returns
        -------
        PredictionResult

        Raises
        ------
        ClassifierError
            If there is no such classifier.
        ManifestError
            If there are no recordings to predict on.
        StoreError
            If the project cannot be written to, and ``out`` is not given.
        """
        from pseudorca.embedding.options import Computing, check_gate
        from pseudorca.prediction.options import DecisionOptions, check_gap, prior_text
        from pseudorca.recordings.options import ScanOptions

        output = None if out is None else Path(out)
        working_folder = None
        if self.is_read_only:
            if output is None:
                raise self._needs_out("predict", "FOLDER")
            working_folder = output / "project"
        decision = DecisionOptions(
            prior_text(prior), max_error, min_probability, min_moments, max_novelty
        )
        computing = Computing(device, precision, batch_size, n_threads, n_workers, cluster)
        options = ScanOptions(
            name_pattern=name_pattern, time_format=time_format, time_zone=time_zone
        )
        check_gap(max_gap_s)
        if gate_db is not None:
            check_gate(gate_db)
        from pseudorca.prediction.files import with_tables
        from pseudorca.prediction.predict import CLASSIFIER, predict_project

        lock = self.locked() if working_folder is None else nullcontext()
        with lock, shown_progress(progress, "Predicting") as update:
            return predict_project(
                self.store, _places(paths), classifier or CLASSIFIER, set_name=set_name,
                decision=decision, gate_db=gate_db, output=output,
                formats=with_tables(_names(formats) or ("csv",)), csv=csv, max_gap_s=max_gap_s,
                options=options, computing=computing, working_folder=working_folder,
                progress=update,
            )  # fmt: skip

    def classifier(self, name: str = "classifier", *, device: str = "auto") -> "Classifier":
        """Load a classifier of the project, to ask it about files without keeping anything.

        Parameters
        ----------
        name : of the classifier
        device : ``auto``, ``cpu`` or ``cuda``

        Returns
        -------
        Classifier
            Its method ``predict`` takes files, and writes to no project

        Raises
        ------
        ClassifierError
            If there is no such classifier.
        """
        from pseudorca.prediction.asking import Classifier
        from pseudorca.store import CLASSIFIER_FOLDER

        return Classifier.load(self.folder / CLASSIFIER_FOLDER / name, device=device)

    def decide(
        self,
        *,
        set_name: str | None = None,
        prior: Prior = "uniform",
        max_error: float | None = None,
        min_probability: float | None = None,
        min_moments: int = 1,
        max_novelty: float = 1.0,
        out: Location | None = None,
        formats: Sequence[str] = ("csv",),
        csv: "CsvStyle" = "plain",
        max_gap_s: float = 0.0,
        n_threads: int | None = None,
        progress: ProgressChoice = None,
    ) -> "PredictionResult":
        """Decide again on what was predicted; no sound is read again.

        Parameters
        ----------
        set_name : the set of predictions; None: the last one
        prior, max_error, min_probability, min_moments, max_novelty, out, formats, csv, max_gap_s
            As in :meth:`predict`.
        n_threads : threads; None: one per core
        progress : None (a bar), False (nothing) or callable (done, total), over seconds of sound

        Returns
        -------
        PredictionResult

        Raises
        ------
        StoreError
            If nothing was predicted yet, or nothing under this name.
        """
        from pseudorca.embedding.options import Computing
        from pseudorca.prediction.options import DecisionOptions, check_gap, prior_text

        decision = DecisionOptions(
            prior_text(prior), max_error, min_probability, min_moments, max_novelty
        )
        check_gap(max_gap_s)
        from pseudorca.prediction.files import with_tables
        from pseudorca.prediction.predict import decide_project

        with self.locked(), shown_progress(progress, "Deciding") as update:
            return decide_project(
                self.store, set_name=set_name, decision=decision,
                output=None if out is None else Path(out),
                formats=with_tables(_names(formats) or ("csv",)), csv=csv, max_gap_s=max_gap_s,
                computing=Computing(n_threads=n_threads), progress=update,
            )  # fmt: skip

    def predictions(self) -> "PredictionSetsResult":
        """List the sets of predictions of the project.

        Returns
        -------
        PredictionSetsResult
        """
        from pseudorca.prediction.sets import prediction_sets

        return prediction_sets(self.store)

    def remove_predictions(self, set_name: str) -> None:
        """Remove a set of predictions, with its tables inside the project; embeddings stay.

        Parameters
        ----------
        set_name : name of the set

        Raises
        ------
        StoreError
            If there is no such set.
        """
        from pseudorca.prediction.sets import remove_prediction_set

        with self.locked():
            remove_prediction_set(self.store, set_name)

    def report(
        self, out: Location | None = None, *, progress: ProgressChoice = None
    ) -> "ReportResult":
        """Write everything the project knows into one HTML file.

        Parameters
        ----------
        out : path of the HTML file; None: ``report.html`` in the project
        progress : None (a bar), False (nothing) or callable (done, total), over sections

        Returns
        -------
        ReportResult

        Raises
        ------
        PseudorcaError
            If ``out`` is a folder, or cannot be written.
        StoreError
            If the project cannot be written to, and ``out`` is not given.
        """
        from pseudorca.report.report import report_project

        if out is None and self.is_read_only:
            raise self._needs_out("report", "FILE")
        target = self.folder / "report.html" if out is None else Path(out)
        with shown_progress(progress, "Drawing") as update:
            return report_project(self.store, target, progress=update)

    def _needs_out(self, verb: str, kind: str) -> StoreError:
        return StoreError(
            f"{self.folder} cannot be written to. Say where the result goes: {verb}(out={kind}), or "
            f"--out {kind} on the command line."
        )

    def spectrograms(
        self,
        out: Location,
        *,
        layout: Literal["tight", "wide"] = "tight",
        unlabelled: bool = False,
        n_threads: int | None = None,
        progress: ProgressChoice = None,
    ) -> "SpectrogramsResult":
        """Write the original study's picture of every labelled recording as a PNG file.

        Parameters
        ----------
        out : folder of the pictures
        layout : ``tight`` (950 x 636) or ``wide`` (1200 x 800, with white margins)
        unlabelled : also the recordings without a label
        n_threads : threads; None: one per core
        progress : None (a bar), False (nothing) or callable (done, total), over recordings

        Returns
        -------
        SpectrogramsResult
        """
        from pseudorca.frontends.spectrograms import spectrograms_project

        with self.locked(), shown_progress(progress, "Drawing") as update:
            return spectrograms_project(
                self.store, Path(out), layout=layout, unlabelled=unlabelled, n_threads=n_threads,
                progress=update,
            )  # fmt: skip

    def reproduce(
        self,
        out: Location | None = None,
        *,
        options: "StudyOptions | None" = None,
        device: str = "auto",
        batch_size: int | None = None,
        n_threads: int | None = None,
        progress: ProgressChoice = None,
    ) -> "ReproduceResult":
        """Run the original study on the recordings of this project: as published, and told straight.

        The study has a project of its own in ``out``; nothing is written to this one's tables.

        Parameters
        ----------
        out : folder of the report, tables and figures; None: ``study`` in the project
        options : StudyOptions or None
        device, batch_size, n_threads : as in :meth:`embed`
        progress : None (a bar per step), False (nothing) or callable (done, total)

        Returns
        -------
        ReproduceResult

        Raises
        ------
        StoreError
            If the recordings were not scanned from one folder of this machine.
        """
        from pseudorca.study.reproduce import reproduce

        roots = sorted(set(self.recordings["root"]))
        if len(roots) != 1 or not Path(roots[0]).is_dir():
            raise StoreError(
                f"the recordings of {self.folder} lie in {', '.join(roots) or 'no folder'}: the study "
                "takes one folder of this machine. Scan it first."
            )
        return reproduce(
            Path(roots[0]), self.folder / "study" if out is None else Path(out), options,
            device=device, batch_size=batch_size, n_threads=n_threads,
            stages=lambda text: shown_progress(progress, text),
        )  # fmt: skip


@contextmanager
def new_project(folder: Location) -> Iterator[Project]:
    """Open a project, made if it is not there; a new one vanishes again if the work on it fails.

    The project is locked meanwhile. Embeddings that were kept are never thrown away.

    Parameters
    ----------
    folder : path of the project folder

    Yields
    ------
    Project

    Raises
    ------
    StoreError
        If the folder holds something else, or cannot be made.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, new_project(f"{folder}/whales") as whales:
    ...     len(whales.recordings)
    0
    """
    from pseudorca.access import created

    with created(folder) as store:
        yield Project(store)


def _scan_options(
    *,
    labels: Sequence[str] | None = None,
    other: Sequence[str] = (),
    nothing: Sequence[str] = (),
    metadata: Location | None = None,
    columns: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    **more: Any,
) -> "ScanOptions":
    from pseudorca.recordings.options import ScanOptions

    return ScanOptions(
        labels=None if labels is None else _names(labels),
        other=_names(other),
        nothing=_names(nothing),
        metadata=None if metadata is None else _place(metadata),
        columns=dict(columns or {}),
        missing=_names(missing),
        **more,
    )


def _place(place: Location) -> Path | str:
    """A path, or an address as it is."""
    return place if isinstance(place, str) else Path(place)


def _places(paths: Location | Sequence[Location] | None) -> list[Path | str]:
    if paths is None:
        return []
    return [_place(paths)] if isinstance(paths, str | PathLike) else [_place(p) for p in paths]


def _split(split: "str | Split", n_folds: int, n_repeats: int, seed: int | None) -> "Split":
    from pseudorca.recordings.folds import Split

    if isinstance(split, Split):
        return split
    return Split.named(split, n_folds=n_folds, n_repeats=n_repeats, seed=seed)


def _recipe(recipe: "Recipe | None") -> "Recipe":
    """The recipe, or the usual one."""
    from pseudorca.learning.recipe import Recipe

    if recipe is None:
        return Recipe()
    if not isinstance(recipe, Recipe):
        raise HeadError(
            f"recipe: expected a Recipe, got {recipe!r}. Put a head into one: "
            "Recipe(head=LogisticHead())."
        )
    return recipe


def _names(names: Sequence[str] | None) -> tuple[str, ...]:
    """Several names; one alone counts as a list of one."""
    return (names,) if isinstance(names, str) else tuple(names or ())

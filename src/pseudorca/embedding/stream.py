"""Clips to embeddings: streamed, stored by content and settings, resumed after a stop.

In: the tables ``clips`` and ``recordings``, and an embedder. Out: one vector per clip in the store, and
a problem row for every clip without a vector. Threads read and draw pictures ahead of the network; on
the CPU, the threads also run the network. Training and prediction both use this module.

The clips of a batch do not depend on earlier runs, and a batch is committed as a whole: a killed and
resumed run gives the same numbers to the last digit.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.embedding.drawing import (
    TASKS_AHEAD,
    Drawn,
    OpenFiles,
    Unit,
    draw_ahead,
    one_core_each,
    units_of,
)
from pseudorca.embedding.embedder import AnyEmbedder, Embedder
from pseudorca.embedding.gate import Gate
from pseudorca.progress import Progress
from pseudorca.store import Store, problem_table

_BATCH_CPU, _BATCH_GPU = 8, 64
_COMMIT_CLIPS = 2048
_COMMIT_S = 10.0


@dataclass
class Outcome:
    """The result for a part of a unit: vectors, excesses measured by the gate, problems.

    ``vectors`` [shape=(n, embedding_size)] has a row per id in ``clip_ids``. ``n_clips`` is the number
    of clips that were tried.

    Examples
    --------
    >>> first = Outcome(["c1"], np.zeros((1, 4), dtype=np.float32), n_clips=1)
    >>> second = Outcome(problems=[("a.wav", "embed", "silent", "", "c2")], n_clips=1)
    >>> joined = Outcome.joined([first, second])
    >>> joined.n_clips, joined.vectors.shape
    (2, (1, 4))
    """

    clip_ids: list[str] = field(default_factory=list)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    excess_db: dict[str, float] = field(default_factory=dict)
    """Excess over the background in decibels, of all clips that the gate measured."""
    problems: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    """Rows (path, stage, reason, detail, clip_id)."""
    n_clips: int = 0

    @classmethod
    def joined(cls, parts: Sequence["Outcome"]) -> "Outcome":
        """Join the outcomes of parts of the clips, in their order."""
        vectors = [part.vectors for part in parts if part.clip_ids]
        together = cls(
            clip_ids=[clip_id for part in parts for clip_id in part.clip_ids],
            excess_db={key: excess for part in parts for key, excess in part.excess_db.items()},
            problems=[row for part in parts for row in part.problems],
            n_clips=sum(part.n_clips for part in parts),
        )
        if vectors:
            together.vectors = np.concatenate(vectors)
        return together


class Workers(Protocol):
    """Other processes that embed units (see :mod:`pseudorca.embedding.cluster`).

    Examples
    --------
    >>> class Nobody:
    ...     def outcomes(self, units, embedder, *, gate, batch_size):
    ...         yield from ()
    >>> workers: Workers = Nobody()
    """

    def outcomes(
        self,
        units: Iterable[Unit],
        embedder: Embedder,
        *,
        gate: Gate | None,
        batch_size: int | None,
    ) -> Iterator[Outcome]:
        """Embed units, and yield their outcomes in the order of completion."""


@dataclass
class Embedded:
    """The result of embedding clips, by one embedder or a joint one.

    Examples
    --------
    >>> Embedded(2, 1, problem_table([], embedder_id="a1b2"), {"c1", "c2"}, set()).n_new
    1
    """

    n_clips: int
    n_new: int
    problems: pd.DataFrame
    embedded: set[str]
    """Clips that have an embedding, old or new."""
    quiet: set[str]
    """Clips that the gate left out."""


def embed_clips(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    store: Store,
    *,
    batch_size: int | None = None,
    n_threads: int | None = None,
    gate: Gate | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Embed every clip that the store does not hold yet.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder
    store : Store
        Embeddings are committed every ten seconds; a killed run resumes from the last commit
    batch_size : int or None
        Pictures in a batch; None: 8, or 64 on a GPU
    n_threads : int or None
        Threads that read, draw and, without a GPU, run the network; None: one per core
    gate : Gate or None; a gate leaves out clips without signal
    workers : Workers or None, other processes that compute
    progress : callable (done, total) or None, over the clips still to do

    Returns
    -------
    Embedded
        ``problems`` has one row per clip without an embedding.

    Examples
    --------
    >>> import soundfile
    >>> from pathlib import Path
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     result = embed_clips(clips, recordings, embedder, store)
    ...     store.vectors(embedder.embedder_id, clips["clip_id"].tolist()).shape
    (1, 256)
    >>> result.n_new
    1
    """
    embedder_id = embedder.embedder_id
    gate_id = f"gate_{gate.gate_id}" if gate else ""
    ids = clips["clip_id"].tolist()
    embedded = store.embedded(embedder_id, ids)
    excess_db = _measured(ids, gate_id, store) if gate else dict.fromkeys(embedded, np.inf)
    least_db = gate.min_excess_db if gate else 0.0
    quiet = {clip_id for clip_id, excess in excess_db.items() if excess < least_db}
    done = quiet | (embedded & excess_db.keys())
    units = units_of(clips, recordings, done, frozenset(embedded))
    n_todo = int((~clips["clip_id"].isin(done)).sum())
    problems: list[tuple[str, str, str, str, str]] = []
    new: list[Outcome] = []  # not committed yet
    last_commit = time.monotonic()
    n_seen = n_new = 0

    def commit() -> None:
        nonlocal last_commit
        outcome = Outcome.joined(new)
        if outcome.clip_ids:
            store.append_vectors(embedder_id, outcome.clip_ids, outcome.vectors)
        if outcome.excess_db:
            excesses = np.array(list(outcome.excess_db.values()), dtype=np.float32)[:, None]
            store.append_vectors(gate_id, list(outcome.excess_db), excesses)
        new.clear()
        last_commit = time.monotonic()

    embed = workers.outcomes if workers else partial(embed_units, n_threads=n_threads)
    outcomes = embed(units, embedder, gate=gate, batch_size=batch_size)
    try:
        for outcome in outcomes:
            new.append(outcome)
            problems += outcome.problems
            quiet.update(key for key, excess in outcome.excess_db.items() if excess < least_db)
            embedded.update(outcome.clip_ids)
            n_new += len(outcome.clip_ids)
            n_waiting = sum(len(waiting.clip_ids) for waiting in new)
            if n_waiting >= _COMMIT_CLIPS or time.monotonic() - last_commit > _COMMIT_S:
                commit()
            n_seen += outcome.n_clips
            if progress:
                progress(n_seen, n_todo)
    finally:  # finished clips are kept, even after an error
        commit()
    table = problem_table(dict.fromkeys(problems), embedder_id=embedder_id)
    return Embedded(len(clips), n_new, table, embedded, quiet)


def _measured(ids: list[str], gate_id: str, store: Store) -> dict[str, float]:
    """Excesses of the gate from earlier runs, in decibels."""
    known = sorted(store.embedded(gate_id, ids))
    if not known:
        return {}
    return dict(zip(known, store.vectors(gate_id, known)[:, 0].tolist(), strict=True))


def embed_units(
    units: Iterable[Unit],
    embedder: Embedder,
    *,
    gate: Gate | None,
    batch_size: int | None,
    n_threads: int | None,
) -> Iterator[Outcome]:
    """Embed units in this process: threads read and draw ahead of the network.

    Parameters
    ----------
    units : iterable of Unit
    embedder : Embedder
    gate, batch_size, n_threads : see :func:`embed_clips`

    Yields
    ------
    Outcome
        One per batch, in the order of the clips

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     units = units_of(clips, recordings, set(), set())
    ...     parts = embed_units(units, embedder, gate=None, batch_size=None, n_threads=2)
    ...     [outcome.vectors.shape for outcome in parts]
    [(1, 256)]
    """
    n_threads = n_threads or os.cpu_count() or 1
    batch_size = batch_size or (_BATCH_GPU if embedder.on_gpu else _BATCH_CPU)
    ahead: deque[Future[Outcome]] = deque()
    with ExitStack() as stack:
        files = stack.enter_context(OpenFiles())  # closed once no thread reads any more
        # Each thread takes the next task, sound to read or a batch for the network, and keeps to
        # one core: layers that are split over cores would wait for one another.
        pool = stack.enter_context(one_core_each(n_threads))
        network = stack.enter_context(ThreadPoolExecutor(1)) if embedder.on_gpu else pool
        stack.callback(lambda: [outcome.cancel() for outcome in ahead])
        drawn = stack.enter_context(
            closing(draw_ahead(units, embedder, gate, files, pool, n_threads * TASKS_AHEAD))
        )
        for _, of_unit in groupby(drawn, key=lambda pair: pair[0]):
            for batch in _batches((drawn_clip for _, drawn_clip in of_unit), batch_size):
                ahead.append(network.submit(_embed_batch, batch, embedder))
                if len(ahead) > n_threads:
                    yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _batches(drawn: Iterable[Drawn], batch_size: int) -> Iterator[list[Drawn]]:
    """Group the drawn clips of one unit into batches of ``batch_size`` pictures, and a rest."""
    batch: list[Drawn] = []
    n_pictures = 0
    for clip in drawn:
        batch.append(clip)
        n_pictures += clip.picture is not None
        if n_pictures == batch_size:
            yield batch
            batch, n_pictures = [], 0
    if batch:
        yield batch


def _embed_batch(drawn: Sequence[Drawn], embedder: Embedder) -> Outcome:
    """Run the network over drawn clips."""
    outcome = Outcome(n_clips=len(drawn))
    outcome.problems = [(*clip.problem, clip.clip_id) for clip in drawn if clip.problem is not None]
    outcome.excess_db = {
        clip.clip_id: clip.excess_db for clip in drawn if clip.excess_db is not None
    }
    pictures = [(clip, clip.picture) for clip in drawn if clip.picture is not None]
    if pictures:
        vectors = embedder.embed([picture for _, picture in pictures])
        is_finite = np.asarray(np.isfinite(vectors).all(axis=1))
        for k, (clip, _) in enumerate(pictures):
            if is_finite[k]:
                outcome.clip_ids.append(clip.clip_id)
            else:
                detail = "the network returned NaN or infinity"
                outcome.problems.append((clip.path, "embed", "not finite", detail, clip.clip_id))
        outcome.vectors = vectors[is_finite]
    return outcome


def embed_by_each(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: AnyEmbedder,
    store: Store,
    *,
    progress: Progress | None = None,
    **how: Any,
) -> Embedded:
    """Embed clips by every member, one after the other; each member reads the recordings itself.

    Parameters
    ----------
    clips, recordings, embedder, store, progress, how
        See :func:`pseudorca.embedding.stream.embed_clips`. A gate measures every clip once.

    Returns
    -------
    Embedded
        ``embedded`` holds the clips that every member could embed.

    Examples
    --------
    >>> import soundfile
    >>> from pathlib import Path
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     embed_by_each(clips, recordings, embedder, store).n_new
    1
    """
    n_members = len(embedder.members)
    results = []
    for k, member in enumerate(embedder.members):

        def update(done: int, total: int, k: int = k) -> None:
            if progress:
                progress(k * total + done, n_members * total)

        results.append(embed_clips(clips, recordings, member, store, progress=update, **how))
    return together(results)


def together(results: Sequence[Embedded]) -> Embedded:
    """Join the results of the members for the same clips.

    Parameters
    ----------
    results : sequence of Embedded, one per member

    Returns
    -------
    Embedded
        ``embedded``: clips that every member embedded; ``quiet``: clips that any gate left out.

    Examples
    --------
    >>> none = problem_table([], embedder_id="a1b2")
    >>> first = Embedded(2, 2, none, {"c1", "c2"}, set())
    >>> second = Embedded(2, 1, none, {"c1"}, {"c2"})
    >>> together([first, second]).embedded
    {'c1'}
    """
    problems = pd.concat([result.problems for result in results], ignore_index=True)
    return Embedded(
        n_clips=results[0].n_clips,
        n_new=sum(result.n_new for result in results),
        problems=problems.drop_duplicates(ignore_index=True),
        embedded=set.intersection(*(result.embedded for result in results)),
        quiet=set.union(*(result.quiet for result in results)),
    )

"""The part of an audit that reads audio: backgrounds, single bands, swapped backgrounds.

In: the sampled clips of an audit, and the embedder. Out: feature sets for the controls. All embeddings
and measurements are kept in the store, so that a second audit reads no audio.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.audit.swaps import embed_swaps, swap_outcome, swap_partners
from pseudorca.embedding.augmentation.apart import (
    N_BANDS,
    PARTS_VERSION,
    BackgroundFrontEnd,
    band_edges_hz,
    heard_band,
)
from pseudorca.embedding.augmentation.measured import measure_sounds
from pseudorca.embedding.embedder import AnyEmbedder
from pseudorca.embedding.stream import embed_by_each
from pseudorca.evaluation.encounter_accuracy import rightness
from pseudorca.evaluation.paired import balanced_accuracy
from pseudorca.frontends.base import FrontEnd, Picture
from pseudorca.frontends.common import CommonFrontEnd, colour_table
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head
from pseudorca.progress import Progress
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.store import Store
from pseudorca.values import hash_of

N_PICTURE_BANDS = 5
"""Number of bands of the picture; each is tested alone and left out."""

PICTURES = (CommonFrontEnd, StudyFrontEnd)
"""Front ends whose pictures have a row per frequency."""


@dataclass
class Heard:
    """The material of an audit: the sampled clips with the model's embeddings, and the split.

    ``data``: prepared embeddings, as the model learns from them. ``plain``: embeddings without
    preparation. ``units`` [shape=(n_clips,)]: the independent units.
    """

    clips: pd.DataFrame
    recordings: pd.DataFrame
    data: TrainingSet
    plain: TrainingSet
    units: NDArray[np.object_]
    split: Split
    head: Head

    @property
    def encounters(self) -> NDArray[np.object_]:
        return self.clips["encounter"].to_numpy(dtype=object)

    def with_features(self, features: NDArray[np.float32]) -> TrainingSet:
        same = features.shape[1] == self.plain.vectors.shape[1]
        return replace(self.plain, vectors=features, blocks=self.plain.blocks if same else ())

    def right(self, data: TrainingSet, split: Split | None = None) -> pd.DataFrame:
        """Cross-validate a feature set -> the encounters named rightly (:func:`rightness`)."""
        folds = make_folds(self.clips, self.recordings, split or self.split)
        groups = data.recordings if folds.split.is_optimistic else folds.units
        scored = cross_validate(replace(data, groups=groups), folds, self.head)
        return rightness(self.clips, scored, self.units)


class Listening:
    """Reads audio for an audit; all results are kept in the store."""

    def __init__(
        self, store: Store, embedder: AnyEmbedder, heard: Heard, batch_size: int | None,
        n_threads: int | None, progress: Progress | None, stage: Callable[[str], Any],
    ) -> None:  # fmt: skip
        self.store, self.embedder, self.heard = store, embedder, heard
        self.batch_size, self.n_threads, self.progress = batch_size, n_threads, progress
        self.stage = stage
        highest = int(heard.recordings["sample_rate"].max())
        bands = [heard_band(member.front_end, highest) for member in embedder.members]
        self.band_hz = min(low for low, _ in bands), max(high for _, high in bands)
        self.front_end = self._background(embedder.front_end)

    def _background(self, front_end: FrontEnd) -> BackgroundFrontEnd:
        """A front end for the background alone; every member uses the same frames."""
        return BackgroundFrontEnd(front_end, self.band_hz)

    def sounds(self) -> NDArray[np.float32]:
        """Measurements of each clip (:func:`measure_sounds`)."""
        sound_id = f"sounds_{hash_of(self.front_end.settings()['background_only'])}"
        return measure_sounds(
            self.heard.clips, self.heard.recordings, self.front_end, self.store, sound_id,
            n_threads=self.n_threads, progress=self.progress,
        )  # fmt: skip

    def background(self, sound: NDArray[np.float32]) -> dict[str, Any]:
        """Embeddings of the background alone (NaN for none), with counts and notices."""
        clips, encounters = self.heard.clips, self.heard.encounters
        free = sound[:, 0] > 0
        vectors = np.full((len(clips), self.heard.plain.vectors.shape[1]), np.nan, np.float32)
        if free.any():
            vectors[free] = self._embed(self._background, clips[free])
        free &= np.isfinite(vectors[:, 0])  # a background of zeros cannot be drawn
        without = clips[~free]
        silent = sorted(set(encounters) - set(encounters[free]))
        share = float(np.median(sound[free, 1])) if free.any() else 0.0
        counts = without["label"].value_counts().sort_index()
        per_class = {str(label): int(n) for label, n in counts.items()}
        summary = {
            "n_clips_without": len(without),
            "encounters_without": silent,
            "clips_without_per_class": per_class,
            "median_share_free": share,
        }
        notices = []
        if len(without):
            shown = ", ".join(f"{k} {n}" for k, n in per_class.items())
            text = (
                f"{len(without)} of {len(clips)} clips have no frames without signal ({shown}); in the "
                "background controls they count as the mean of their encounter's other clips."
            )
            if silent:
                text += (
                    f" No clip has any in {', '.join(silent)}: there these controls know nothing."
                )
            notices.append(text)
        return {"vectors": vectors, "about": summary, "notices": notices}

    def bands(self, sound: NDArray[np.float32]) -> dict[str, Any] | None:
        """The accuracy of each band of the picture alone and left out, and the levels of signals.

        None unless the embedder is one network on pictures of :data:`PICTURES`: a band is a set of
        rows of such a picture.
        """
        shown = self.embedder.front_end
        if len(self.embedder.members) > 1 or not isinstance(shown, PICTURES):
            return None
        edges = np.linspace(0, 1, N_PICTURE_BANDS + 1)
        hz = _edges_hz(shown, edges, self.heard.recordings)
        rows = []
        for k, (low, high) in enumerate(pairwise(edges)):
            entry: dict[str, Any] = {"low_hz": hz[k], "high_hz": hz[k + 1]}
            for keep, name in ((True, "alone"), (False, "left_out")):
                self.stage(f"Listening to one band at a time ({2 * k + 1 + (not keep)} of "
                           f"{2 * N_PICTURE_BANDS})")  # fmt: skip
                drawn = partial(BandFrontEnd, low=float(low), high=float(high), keep=keep)
                features = self._embed(drawn, self.heard.clips)
                estimate, _ = balanced_accuracy(
                    self.heard.right(self.heard.with_features(features))
                )
                entry[name] = estimate.as_dict()
            rows.append(entry)
        excess = pd.DataFrame(sound[:, 2 + 2 * N_BANDS :])
        by_label = excess.groupby(self.heard.data.labels).median()
        return {
            "bands": rows,
            "signal_edges_hz": band_edges_hz(self.front_end.band_hz).tolist(),
            "signal_excess_db": {
                str(label): [float(x) if np.isfinite(x) else None for x in row]
                for label, row in zip(by_label.index, by_label.to_numpy(), strict=True)
            },
        }

    def swap(self, sound: NDArray[np.float32], seed: int) -> dict[str, Any] | None:
        """Answers on swapped clips, by heads that trained on neither encounter; None without pairs."""
        heard = self.heard
        usable = (sound[:, 0] > 0) & np.isfinite(sound[:, -N_BANDS:]).any(axis=1)
        pairs = swap_partners(heard.clips, heard.units, usable, seed=seed)
        if pairs.empty:
            return None
        ids = heard.clips["clip_id"].to_numpy(dtype=object)
        signals, seas = ids[pairs["signal_row"]], ids[pairs["sea_row"]]
        both = [*zip(signals, seas, strict=True), *zip(signals, signals, strict=True)]
        vectors = np.hstack(
            [
                embed_swaps(
                    both, heard.clips, heard.recordings, member, self.front_end, self.store,
                    f"swaps_{hash_of(member.hearing(self._background).embedder_id)}",
                    n_threads=self.n_threads, progress=self.progress,
                )
                for member in self.embedder.members
            ]
        )  # fmt: skip
        swapped, rebuilt = vectors[: len(pairs)], vectors[len(pairs) :]
        return swap_outcome(
            heard.data, pairs, swapped, rebuilt, heard.head, encounters=heard.encounters, seed=seed
        )

    def _embed(
        self, change: Callable[[FrontEnd], FrontEnd], clips: pd.DataFrame
    ) -> NDArray[np.float32]:
        """Embed clips behind changed front ends; NaN for clips that cannot be drawn."""
        embedder = self.embedder.hearing(change)
        embed_by_each(
            clips, self.heard.recordings, embedder, self.store, batch_size=self.batch_size,
            n_threads=self.n_threads, progress=self.progress,
        )  # fmt: skip
        ids = clips["clip_id"].to_numpy(dtype=object)
        there = np.isin(ids, list(self.store.embedded(embedder.embedder_id, ids.tolist())))
        vectors = np.full((len(ids), self.heard.plain.vectors.shape[1]), np.nan, np.float32)
        if there.any():
            vectors[there] = self.store.vectors(embedder.embedder_id, ids[there].tolist())
        return vectors


def _edges_hz(
    front_end: FrontEnd, shares: NDArray[np.float64], recordings: pd.DataFrame
) -> list[float]:
    """Frequencies in Hz at shares of a picture's height."""
    if isinstance(front_end, CommonFrontEnd):
        if front_end.scale == "mel":
            n = len(shares) - 1
            return [float(hz) for hz in band_edges_hz((front_end.fmin_hz, front_end.fmax_hz), n)]
        low, high = front_end.fmin_hz, front_end.fmax_hz
        if front_end.scale == "log":
            return [float(low * (high / low) ** share) for share in shares]
        return [float(low + (high - low) * share) for share in shares]
    return [float(recordings["sample_rate"].median() / 2 * share) for share in shares]


@dataclass(frozen=True)
class BandFrontEnd:
    """A front end that draws only the rows inside or outside a band; other rows have the lowest colour.

    Examples
    --------
    >>> BandFrontEnd(CommonFrontEnd(), low=0.0, high=0.2, keep=True).settings()["rows"]["high"]
    0.2
    """

    front_end: FrontEnd
    low: float
    high: float
    """Shares of the picture's height, from the bottom: the band."""
    keep: bool
    """True: draw the band only; False: draw all but the band."""

    @property
    def sample_rate(self) -> int | None:
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        rows = {"version": PARTS_VERSION, "low": self.low, "high": self.high, "keep": self.keep}
        return self.front_end.settings() | {"rows": rows}

    def picture(self, waveform: Samples, *, sample_rate: int) -> Picture:
        """Draw the picture with the rows in or outside the band at the lowest colour."""
        whole = self.front_end.picture(waveform, sample_rate=sample_rate)
        n_rows = len(whole)
        above = np.arange(n_rows)[::-1] + 0.5  # the top row of a picture is the highest frequency
        inside = (above >= self.low * n_rows) & (above < self.high * n_rows)
        blank = ~inside if self.keep else inside
        drawn = whole.copy()
        drawn[blank] = colour_table(getattr(self.front_end, "colours", "viridis"))[0]
        return drawn

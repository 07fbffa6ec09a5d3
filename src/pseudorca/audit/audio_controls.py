"""The part of an audit that reads audio: backgrounds, single bands, swapped backgrounds.

In: the sampled clips of an audit, and the embedder. Out: feature sets for the controls, and the answers
of a classifier on swapped clips. All embeddings and measurements are kept in the store, so that a
second audit reads no audio.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.audit.controls import AuditedClips
from pseudorca.embedding.augmentation.apart import (
    PARTS_VERSION,
    BackgroundFrontEnd,
    SoundParts,
    background_sound,
    band_edges_hz,
    heard_band,
    seed_of,
)
from pseudorca.embedding.augmentation.measured import (
    clip_parts,
    keep_measured,
    measure_sounds,
    rows_by_id,
)
from pseudorca.embedding.drawing import read_clip
from pseudorca.embedding.embedder import AnyEmbedder, Embedder
from pseudorca.embedding.options import Computing
from pseudorca.embedding.stream import embed_by_each
from pseudorca.errors import AudioError
from pseudorca.evaluation.encounter_accuracy import balanced_accuracy, resampled_statistics
from pseudorca.frontends.base import FrontEnd, Picture, resample
from pseudorca.frontends.common import CommonFrontEnd, colour_table
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.learning.false_alarms import HIGHEST
from pseudorca.learning.heads.base import fit_head
from pseudorca.progress import Progress
from pseudorca.recordings import audio
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH
from pseudorca.recordings.manifest import check_unchanged, full_path
from pseudorca.recordings.options import NOTHING
from pseudorca.store import Store
from pseudorca.values import hash_of

N_PICTURE_BANDS = 5
"""Number of bands of the picture; each is tested alone and left out."""

_N_PARTNERS = 2  # of each encounter
_N_SWAPPED = 4  # most clips of an encounter with one partner
_N_APART = 16  # clips that are kept taken apart


@dataclass(frozen=True)
class AuditSounds:
    """Feature sets and answers that need the audio of the audited clips, kept in the store.

    ``progress``: callable (done, total) or None, over clips. ``stage``: callable, takes a sentence on
    the current step.
    """

    store: Store
    embedder: AnyEmbedder
    audited: AuditedClips
    computing: Computing
    progress: Progress | None
    stage: Callable[[str], Any]

    @cached_property
    def front_end(self) -> BackgroundFrontEnd:
        """Draws the background alone."""
        return self._background_of(self.embedder.front_end)

    @cached_property
    def measured(self) -> NDArray[np.float32]:
        """Measurements of each clip (:func:`measure_sounds`)."""
        self.stage("Looking for frames without signal")
        sound_id = f"sounds_{hash_of(self.front_end.settings()['background_only'])}"
        return measure_sounds(
            self.audited.clips, self.audited.recordings, self.front_end, self.store, sound_id,
            n_threads=self.computing.n_threads, progress=self.progress,
        )  # fmt: skip

    @property
    def levels_db(self) -> list[NDArray[np.float32]]:
        """Levels of the background and of the whole clip, and the excess of signals over background.

        Each [shape=(n_clips, N_BANDS)], decibels, NaN above the reach of a recording.
        """
        return np.split(self.measured[:, 2:], 3, axis=1)

    @property
    def has_background(self) -> NDArray[np.bool_]:
        """Clips with frames without signal [shape=(n_clips,)]."""
        return self.measured[:, 0] > 0

    def background(self) -> tuple[NDArray[np.float32], dict[str, Any], list[str]]:
        """Embed the background alone.

        Returns
        -------
        vectors : ndarray [shape=(n_clips, n_dimensions)], NaN where there is no background
        counts : dict, JSON values: the clips and encounters without background
        notices : list of str
        """
        clips, encounters, free = self.audited.clips, self.audited.encounters, self.has_background
        self.stage("Listening to the background alone")
        vectors = self._embed(self._background_of, free)
        free &= np.isfinite(vectors[:, 0])  # a background of zeros cannot be drawn
        silent = sorted(set(encounters) - set(encounters[free]))
        per_class = clips[~free]["label"].value_counts().sort_index()
        counts = {
            "n_clips_without": int((~free).sum()),
            "encounters_without": silent,
            "clips_without_per_class": {str(label): int(n) for label, n in per_class.items()},
            "median_share_free": float(np.median(self.measured[free, 1])) if free.any() else 0.0,
        }
        if free.all():
            return vectors, counts, []
        shown = ", ".join(f"{label} {n}" for label, n in per_class.items())
        notice = (
            f"{(~free).sum()} of {len(clips)} clips have no frames without signal ({shown}); in the "
            "background controls they count as the mean of their encounter's other clips."
        )
        if silent:
            notice += f" No clip has any in {', '.join(silent)}: there these controls know nothing."
        return vectors, counts, [notice]

    def bands(self) -> dict[str, Any] | None:
        """The accuracy of each band of the picture alone and left out, and the levels of signals.

        None unless the embedder is one network on pictures with a row per frequency: a band is a set
        of rows of such a picture.
        """
        front_end, audited = self.embedder.front_end, self.audited
        has_rows = isinstance(front_end, CommonFrontEnd | StudyFrontEnd)
        if len(self.embedder.members) > 1 or not has_rows:
            return None
        edges = np.linspace(0, 1, N_PICTURE_BANDS + 1)
        hz = _edges_hz(front_end, edges, audited.recordings)
        rows = []
        self.stage("Listening to one band at a time")
        kinds = [(*band, keep) for band in pairwise(edges.tolist()) for keep in (True, False)]
        heard = dict(zip(kinds, self._embed_bands(kinds), strict=True))
        for k, band in enumerate(pairwise(edges.tolist())):
            row: dict[str, Any] = {"low_hz": hz[k], "high_hz": hz[k + 1]}
            for keep, name in ((True, "alone"), (False, "left_out")):
                features = audited.with_features(heard[*band, keep])
                row[name] = balanced_accuracy(audited.right(features))[0].as_dict()
            rows.append(row)
        excess = pd.DataFrame(self.levels_db[2]).groupby(audited.data.labels).median()
        return {
            "bands": rows,
            "signal_edges_hz": band_edges_hz(self.front_end.band_hz).tolist(),
            "signal_excess_db": {
                str(label): [float(level) if np.isfinite(level) else None for level in levels]
                for label, levels in zip(excess.index, excess.to_numpy(), strict=True)
            },
        }

    def swap(self, seed: int) -> dict[str, Any] | None:
        """Answers on swapped clips, by heads that trained on neither encounter; None without pairs."""
        audited = self.audited
        has_signals = np.isfinite(self.levels_db[2]).any(axis=1)
        pairs = swap_partners(
            audited.clips, audited.units, self.has_background & has_signals, seed=seed
        )
        if pairs.empty:
            return None
        self.stage("Swapping backgrounds")
        ids = audited.clips["clip_id"].to_numpy(dtype=object)
        signals, backgrounds = ids[pairs["signal_row"]], ids[pairs["background_row"]]
        both = [*zip(signals, backgrounds, strict=True), *zip(signals, signals, strict=True)]
        vectors = np.hstack([self._embed_swaps(both, member) for member in self.embedder.members])
        swapped, rebuilt = np.split(vectors, 2)
        return swap_outcome(audited, pairs, swapped, rebuilt, seed=seed)

    def _background_of(self, front_end: FrontEnd) -> BackgroundFrontEnd:
        """A front end for the background alone; every member uses the same frames."""
        highest = int(self.audited.recordings["sample_rate"].max())
        bands = [heard_band(member.front_end, highest) for member in self.embedder.members]
        band_hz = min(low for low, _ in bands), max(high for _, high in bands)
        return BackgroundFrontEnd(front_end, band_hz)

    def _embed(
        self, change: Callable[[FrontEnd], FrontEnd], wanted: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Embed the wanted clips behind changed front ends; NaN for clips that cannot be drawn."""
        clips = self.audited.clips
        vectors = np.full((len(clips), self.audited.plain.vectors.shape[1]), np.nan, np.float32)
        if not wanted.any():
            return vectors
        embedder = self.embedder.hearing(change)
        embed_by_each(
            clips[wanted], self.audited.recordings, embedder, self.store, progress=self.progress,
            batch_size=self.computing.batch_size, n_threads=self.computing.n_threads,
        )  # fmt: skip
        ids = clips["clip_id"].to_numpy(dtype=object)
        embedded = self.store.embedded(embedder.embedder_id, ids[wanted].tolist())
        if embedded:
            rows = np.isin(ids, list(embedded))
            vectors[rows] = self.store.vectors(embedder.embedder_id, ids[rows].tolist())
        return vectors

    def _embed_bands(self, kinds: list[tuple[float, float, bool]]) -> list[NDArray[np.float32]]:
        """Embed each clip once for each (low, high, keep) of :class:`BandFrontEnd`; NaN where it fails.

        Each clip is read and drawn once.
        """
        (member,) = self.embedder.members
        recording_of, clips = rows_by_id(self.audited.recordings), self.audited.clips
        bands = [BandFrontEnd(member.front_end, low, high, keep) for low, high, keep in kinds]

        def embed(clip: Any) -> NDArray[np.float32] | None:
            recording = recording_of[clip.recording_id]
            try:
                with audio.Reader(full_path(recording)) as reader:
                    check_unchanged(recording, fingerprint=reader.fingerprint)
                    rate, waveform = reader.info.sample_rate, read_clip(reader, clip)
                picture = member.front_end.picture(waveform, sample_rate=rate)
            except AudioError:
                return None
            pictures = [member.sized(band.blanked(picture)) for band in bands]
            return np.concatenate(list(member.embed(pictures)))

        settings = [band.settings() for band in bands]
        bands_id = f"bands_{hash_of([member.embedder_id, settings])}"
        ids = clips["clip_id"].to_numpy(dtype=object)
        todo = clips[~clips["clip_id"].isin(self.store.embedded(bands_id, ids.tolist()))]
        keep_measured(
            list(todo.itertuples()), embed, np.stack, self.store, bands_id,
            self.computing.n_threads, self.progress,
        )  # fmt: skip
        is_kept = np.isin(ids, list(self.store.embedded(bands_id, ids.tolist())))
        width = len(kinds) * self.audited.plain.vectors.shape[1]
        vectors = np.full((len(ids), width), np.nan, np.float32)
        if is_kept.any():
            vectors[is_kept] = self.store.vectors(bands_id, ids[is_kept].tolist())
        return np.hsplit(vectors, len(kinds))

    def _embed_swaps(self, pairs: list[tuple[str, str]], embedder: Embedder) -> NDArray[np.float32]:
        """Embed the signals of one clip over the background of another.

        ``pairs``: ids of the clips with the signals and with the background, both with free frames. A
        clip that is paired with itself is rebuilt.
        """
        recording_of = rows_by_id(self.audited.recordings)
        clip_of: dict[str, Any] = {str(row.clip_id): row for row in self.audited.clips.itertuples()}

        @lru_cache(_N_APART)
        def apart(clip_id: str) -> SoundParts:
            clip = clip_of[clip_id]
            return clip_parts(clip, recording_of[clip.recording_id], self.front_end)

        def embed(pair: _Pair) -> NDArray[np.float32]:
            signals, background = apart(pair.signals), apart(pair.background)
            seed = seed_of(signals.waveform, background.waveform)
            sound = swap_background(signals, background, seed=seed)
            return np.asarray(embedder.vectors([sound], sample_rate=background.sample_rate)[0])

        swap_id = f"swaps_{hash_of(embedder.hearing(self._background_of).embedder_id)}"
        ids = ["|".join(pair) for pair in pairs]
        kept = self.store.embedded(swap_id)
        named = dict(zip(ids, pairs, strict=True))
        todo = [_Pair(name, *pair) for name, pair in named.items() if name not in kept]
        first = {pair.signals: at for at, pair in reversed([*enumerate(todo)])}
        todo.sort(key=lambda pair: first[pair.signals])  # so that few clips are taken apart twice
        keep_measured(
            todo, embed, np.stack, self.store, swap_id, self.computing.n_threads, self.progress
        )
        return self.store.vectors(swap_id, ids)


class _Pair(NamedTuple):
    """A pair of clips with one id, as :func:`keep_measured` needs it."""

    clip_id: str
    signals: str
    background: str


def swap_partners(
    clips: pd.DataFrame,
    units: NDArray[np.object_],
    usable: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose pairs of clips: the signals of one, the background of the other.

    Every encounter gets two partners of other labels, and at most four of its clips swap with each.
    Both encounters of a pair can be left out of training
    without emptying a class.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``
    units : ndarray [shape=(n_clips,)], what must be left out together
    usable : ndarray [shape=(n_clips,)], bool: clips with signals and with free frames
    seed : int

    Returns
    -------
    DataFrame, a row per swapped clip
        ``encounter, partner, signal_row, background_row``: rows of ``clips``.

    Examples
    --------
    >>> clips = pd.DataFrame({"label": list("AABB"), "encounter": ["e1", "e2", "e3", "e4"]})
    >>> units = clips["encounter"].to_numpy(dtype=object)
    >>> pairs = swap_partners(clips, units, np.ones(4, dtype=bool))
    >>> len(pairs), set(pairs["partner"]) <= set(units)
    (8, True)
    """
    rng = np.random.default_rng(seed)
    labels = clips["label"].to_numpy(dtype=object)
    encounters = clips["encounter"].to_numpy(dtype=object)
    label_of = dict(zip(encounters, labels, strict=True))
    unit_of = dict(zip(encounters, units, strict=True))
    rows_of = {name: np.flatnonzero((encounters == name) & usable) for name in sorted(label_of)}
    rows_of = {name: rows for name, rows in rows_of.items() if len(rows)}
    pairs = []
    for name in rows_of:
        others = [other for other in rows_of if label_of[other] != label_of[name]]
        partners: list[str] = []
        for k in rng.permutation(len(others)):
            kept = ~np.isin(units, [unit_of[name], unit_of[others[k]]])
            if len(partners) < _N_PARTNERS and set(labels[kept]) == set(labels):
                partners.append(others[k])
        for partner in partners:
            signal_rows = rng.permutation(rows_of[name])[:_N_SWAPPED].tolist()
            background_rows = rng.choice(rows_of[partner], len(signal_rows)).tolist()
            both = zip(signal_rows, background_rows, strict=True)
            pairs += [(name, partner, *rows) for rows in both]
    return pd.DataFrame(pairs, columns=["encounter", "partner", "signal_row", "background_row"])


def swap_outcome(
    audited: AuditedClips,
    pairs: pd.DataFrame,
    swapped: NDArray[np.float32],
    rebuilt: NDArray[np.float32],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Score swapped clips with heads that trained on neither encounter.

    Parameters
    ----------
    audited : AuditedClips; a group of ``data`` is left out as a whole
    pairs : DataFrame, as from :func:`swap_partners`
    swapped, rebuilt : ndarray [shape=(n_pairs, n_dimensions)]
        The signals over the partner's background, and over their own
    seed : int

    Returns
    -------
    dict
        ``animal``, ``background``, ``neither``, ``nothing``: shares of swapped clips that get the
        label of the signals, of the background, another label, or are called nothing, as
        :class:`Estimate` dicts. Each encounter counts once, each class equally; units of the signals
        are resampled. ``difference``: animal minus background. ``right_before`` and
        ``right_rebuilt``: shares named rightly as recorded, and rebuilt over their own background;
        ``nothing_before`` and ``nothing_rebuilt`` are called nothing. ``n_clips``, ``n_encounters``.
    """
    data = audited.data
    signal_rows = pairs["signal_row"].to_numpy()
    vectors_of = {"swapped": swapped, "rebuilt": rebuilt, "before": data.vectors[signal_rows]}
    label_of = {kind: np.empty(len(pairs), dtype=object) for kind in vectors_of}
    group_of = dict(zip(audited.encounters, data.groups, strict=True))
    for (encounter, partner), of_pair in pairs.groupby(["encounter", "partner"]):
        rows = of_pair.index.to_numpy()
        is_left_out = np.isin(data.groups, [group_of[encounter], group_of[partner]])
        learned = data.take(np.flatnonzero(~is_left_out))
        trained = fit_head(audited.head, learned.without_noise_of(data.groups[is_left_out]))
        for kind, vectors in vectors_of.items():
            best = trained.log_probabilities(vectors[rows]).argmax(axis=1)
            named = np.array(trained.classes, dtype=object)[best]
            label_of[kind][rows] = np.where(
                trained.p_nothing(vectors[rows]) > HIGHEST, NOTHING, named
            )
    animal = data.labels[signal_rows]
    background = data.labels[pairs["background_row"].to_numpy()]
    shares = pd.DataFrame(
        {
            "encounter": pairs["encounter"].to_numpy(),
            "label": animal,
            "unit": data.groups[signal_rows],
            "animal": (label_of["swapped"] == animal).astype(float),
            "background": (label_of["swapped"] == background).astype(float),
            "right_before": (label_of["before"] == animal).astype(float),
            "right_rebuilt": (label_of["rebuilt"] == animal).astype(float),
            "nothing": (label_of["swapped"] == NOTHING).astype(float),
            "nothing_before": (label_of["before"] == NOTHING).astype(float),
            "nothing_rebuilt": (label_of["rebuilt"] == NOTHING).astype(float),
        }
    )
    shares["neither"] = 1 - shares["animal"] - shares["background"] - shares["nothing"]
    shares["difference"] = shares["animal"] - shares["background"]
    per_encounter = shares.groupby(["encounter", "label", "unit"], as_index=False).mean()
    kinds = [str(name) for name in shares if name not in ("encounter", "label", "unit")]
    estimates = resampled_statistics(per_encounter, kinds, seed)
    counts = {"n_clips": len(pairs), "n_encounters": len(per_encounter)}
    return {kind: estimates[kind].as_dict() for kind in kinds} | counts


def signal_sound(parts: SoundParts) -> Samples:
    """The signals of a clip without its background.

    Parameters
    ----------
    parts : SoundParts

    Returns
    -------
    ndarray [shape=(n_samples,)], float32

    Examples
    --------
    >>> from pseudorca.embedding.augmentation.apart import take_apart
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> parts = take_apart(noise, sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> bool(np.std(signal_sound(parts)) < 0.2 * np.std(noise))
    True
    """
    sound = parts.transform.istft(parts.spectrum * parts.mask, k1=len(parts.waveform))
    return np.asarray(sound, dtype=np.float32)


def swap_background(signals: SoundParts, background: SoundParts, *, seed: int) -> Samples:
    """Lay the signals of one clip over the background of another.

    The sample rate is that of the background, as its recorder would have stored the signals. The
    background is scaled so that the excess of the signals stays the same: the same background power in
    the bins of the signals.

    Parameters
    ----------
    signals : SoundParts with signals and free frames
    background : SoundParts with free frames
    seed : int

    Returns
    -------
    ndarray [shape=(n_samples,)], float32, at ``background.sample_rate``, as long as ``signals``

    References
    ----------
    .. [1] Stowell, Petruskova, Salek and Linhart 2019, "Automatic acoustic identification of
       individuals in multiple species: improving identification across recording conditions",
       J. R. Soc. Interface 16:20180940.

    Examples
    --------
    >>> from pseudorca.embedding.augmentation.apart import take_apart
    >>> noise = np.random.default_rng(0).standard_normal((2, 64_000)).astype(np.float32)
    >>> signals = take_apart(noise[0], sample_rate=64_000, band_hz=(100.0, 15_000.0))
    >>> background = take_apart(noise[1], sample_rate=32_000, band_hz=(100.0, 15_000.0))
    >>> swap_background(signals, background, seed=0).shape  # one second at the background's rate
    (32000,)
    """
    sound = resample(signal_sound(signals), signals.sample_rate, background.sample_rate)
    below = background_sound(background, len(sound), seed=seed)
    return np.asarray(sound + _level_ratio(signals, background) * below, dtype=np.float32)


def _level_ratio(signals: SoundParts, background: SoundParts) -> float:
    """Factor that scales the other background to the level of the signals' own background."""
    weight = signals.mask.mean(axis=1)

    def level(parts: SoundParts) -> NDArray[np.float64]:
        power = np.abs(parts.spectrum[:, parts.is_free]) ** 2
        scale = np.sum(np.asarray(parts.transform.win) ** 2) * parts.sample_rate
        return np.asarray(np.interp(signals.bins_hz, parts.bins_hz, power.mean(axis=1) / scale))

    shared = weight * (signals.bins_hz <= REACH * background.sample_rate)
    own, other = (np.sum(shared * level(parts)) for parts in (signals, background))
    return float(np.sqrt(own / other)) if other > 0 and own > 0 else 1.0


def _edges_hz(
    front_end: FrontEnd, shares: NDArray[np.float64], recordings: pd.DataFrame
) -> list[float]:
    """Frequencies in Hz at shares of a picture's height."""
    if not isinstance(front_end, CommonFrontEnd):
        return [float(recordings["sample_rate"].median() / 2 * share) for share in shares]
    low, high = front_end.fmin_hz, front_end.fmax_hz
    if front_end.scale == "mel":
        return [float(hz) for hz in band_edges_hz((low, high), len(shares) - 1)]
    if front_end.scale == "log":
        return [float(low * (high / low) ** share) for share in shares]
    return [float(low + (high - low) * share) for share in shares]


@dataclass(frozen=True)
class BandFrontEnd:
    """A front end that draws only the rows inside or outside a band; other rows have the lowest colour.

    ``low`` and ``high``: the band, in shares of the picture's height from the bottom. ``keep``: True
    draws the band only, False all but the band.

    Examples
    --------
    >>> BandFrontEnd(CommonFrontEnd(), low=0.0, high=0.2, keep=True).settings()["rows"]["high"]
    0.2
    """

    front_end: FrontEnd
    low: float
    high: float
    keep: bool

    @property
    def sample_rate(self) -> int | None:
        """The sample rate of the front end, Hz."""
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the picture, as JSON values."""
        rows = {"version": PARTS_VERSION, "low": self.low, "high": self.high, "keep": self.keep}
        return self.front_end.settings() | {"rows": rows}

    def picture(self, waveform: Samples, *, sample_rate: int) -> Picture:
        """Draw the picture with the rows in or outside the band at the lowest colour."""
        return self.blanked(self.front_end.picture(waveform, sample_rate=sample_rate))

    def blanked(self, picture: Picture) -> Picture:
        """The picture with the rows in or outside the band at the lowest colour."""
        picture = picture.copy()
        n_rows = len(picture)
        above = np.arange(n_rows)[::-1] + 0.5  # the top row of a picture is the highest frequency
        inside = (above >= self.low * n_rows) & (above < self.high * n_rows)
        blank = ~inside if self.keep else inside
        picture[blank] = colour_table(getattr(self.front_end, "colours", "viridis"))[0]
        return picture

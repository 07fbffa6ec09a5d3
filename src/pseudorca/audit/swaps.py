"""Signals of one clip over the background of another, and what a classifier then says."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.embedding.augmentation.apart import (
    BackgroundFrontEnd,
    SoundParts,
    background_sound,
    seed_of,
)
from pseudorca.embedding.augmentation.measured import clip_parts, keep_measured, rows_by_id
from pseudorca.embedding.embedder import Embedder
from pseudorca.evaluation.paired import resampled_statistics
from pseudorca.frontends.base import resample
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head, fit_head
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH
from pseudorca.store import Store


def swap_partners(
    clips: pd.DataFrame,
    units: NDArray[np.object_],
    usable: NDArray[np.bool_],
    *,
    n_partners: int = 2,
    n_clips: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose whose signals go over whose background.

    Every encounter gets partners of other labels; both can be left out of training together without
    emptying a class.

    Parameters
    ----------
    clips : DataFrame, the table ``clips``
    units : ndarray [shape=(n_clips,)], what must be left out together
    usable : ndarray [shape=(n_clips,)], bool: clips with signals and with free frames
    n_partners : int, per encounter
    n_clips : int, per encounter and partner
    seed : int

    Returns
    -------
    DataFrame, a row per swapped clip
        ``encounter, partner, signal_row, sea_row``: rows of ``clips``.
    """
    rng = np.random.default_rng(seed)
    labels = clips["label"].to_numpy(dtype=object)
    encounters = clips["encounter"].to_numpy(dtype=object)
    rows_of = {name: np.flatnonzero((encounters == name) & usable) for name in set(encounters)}
    label_of = dict(zip(encounters, labels, strict=True))
    unit_of = dict(zip(encounters, units, strict=True))
    named = sorted(name for name, rows in rows_of.items() if len(rows))
    rows = []
    for name in named:
        others = [other for other in named if label_of[other] != label_of[name]]
        chosen: list[str] = []
        for k in rng.permutation(len(others)):
            kept = ~np.isin(units, [unit_of[name], unit_of[others[k]]])
            if len(chosen) < n_partners and set(labels[kept]) == set(labels):
                chosen.append(others[k])
        for partner in chosen:
            mine = rng.permutation(rows_of[name])[:n_clips]
            theirs = rng.choice(rows_of[partner], len(mine))
            rows += [(name, partner, int(a), int(b)) for a, b in zip(mine, theirs, strict=True)]
    return pd.DataFrame(rows, columns=["encounter", "partner", "signal_row", "sea_row"])


def swap_outcome(
    data: TrainingSet,
    pairs: pd.DataFrame,
    swapped: NDArray[np.float32],
    rebuilt: NDArray[np.float32],
    head: Head,
    *,
    encounters: NDArray[np.object_],
    seed: int = 0,
) -> dict[str, Any]:
    """Ask heads that heard neither encounter what they make of swapped clips.

    Parameters
    ----------
    data : TrainingSet, its groups are what is left out together
    pairs : DataFrame, as from :func:`swap_partners`
    swapped, rebuilt : ndarray [shape=(n_pairs, n_dimensions)]
        The signals over the partner's background, and over their own
    head : Head
    encounters : ndarray [shape=(n_clips,)]
    seed : int

    Returns
    -------
    dict
        ``animal``, ``background``, ``neither``: shares of swapped clips that were given the label of
        the signals, of the background, of none of both, as :class:`Estimate` dicts (each encounter
        counts once, each class the same; units of the signals resampled); ``difference`` (animal
        minus background); ``right_before`` and ``right_rebuilt``: shares named rightly as recorded,
        and taken apart and put together over their own background; ``n_clips``, ``n_encounters``.
    """
    said = {kind: np.empty(len(pairs), dtype=object) for kind in ("swapped", "rebuilt", "before")}
    group_of = dict(zip(encounters, data.groups, strict=True))
    by_pair = pairs.reset_index(drop=True).groupby(["encounter", "partner"], sort=True)
    for (encounter, partner), mine in by_pair:
        left_out = [group_of[encounter], group_of[partner]]
        trained = fit_head(head, data.take(np.flatnonzero(~np.isin(data.groups, left_out))))
        rows = mine.index.to_numpy()
        originals = data.vectors[mine["signal_row"].to_numpy()]
        for kind, vectors in (
            ("swapped", swapped[rows]), ("rebuilt", rebuilt[rows]), ("before", originals),
        ):  # fmt: skip
            best = trained.log_probabilities(vectors).argmax(axis=1)
            said[kind][rows] = np.array(trained.classes, dtype=object)[best]
    animal = data.labels[pairs["signal_row"].to_numpy()]
    sea = data.labels[pairs["sea_row"].to_numpy()]
    shares = pd.DataFrame(
        {
            "encounter": pairs["encounter"].to_numpy(),
            "label": animal,
            "unit": data.groups[pairs["signal_row"].to_numpy()],
            "animal": (said["swapped"] == animal).astype(float),
            "background": (said["swapped"] == sea).astype(float),
            "right_before": (said["before"] == animal).astype(float),
            "right_rebuilt": (said["rebuilt"] == animal).astype(float),
        }
    )
    shares["neither"] = 1 - shares["animal"] - shares["background"]
    shares["difference"] = shares["animal"] - shares["background"]
    per_encounter = shares.groupby(["encounter", "label", "unit"], as_index=False).mean()
    kinds = ["animal", "background", "neither", "difference", "right_before", "right_rebuilt"]
    found = resampled_statistics(per_encounter, kinds, seed)
    about = {"n_clips": len(pairs), "n_encounters": len(per_encounter)}
    return {kind: found[kind].as_dict() for kind in kinds} | about


def signal_sound(parts: SoundParts) -> Samples:
    """The signals of a clip without what lies between them [shape=(n_samples,)], float32."""
    sound = parts.transform.istft(parts.spectrum * parts.mask, k1=len(parts.waveform))
    return np.asarray(sound, dtype=np.float32)


def swap_background(signals: SoundParts, sea: SoundParts, *, seed: int) -> Samples:
    """Lay the signals of one clip over the background of another.

    At the sample rate of the background, as its recorder would have kept the signals. The background
    is brought to the level at which the signals stand out from it as much as they did: the same power
    in the bins where the signals are.

    Parameters
    ----------
    signals : SoundParts with signals and free frames
    sea : SoundParts with free frames
    seed : int

    Returns
    -------
    ndarray [shape=(n_samples,)], float32, at ``sea.sample_rate``, as long as ``signals``

    References
    ----------
    .. [1] Stowell, Petruskova, Salek and Linhart 2019, "Automatic acoustic identification of
       individuals in multiple species: improving identification across recording conditions",
       J. R. Soc. Interface 16:20180940.
    """
    sound = resample(signal_sound(signals), signals.sample_rate, sea.sample_rate)
    background = background_sound(sea, len(sound), seed=seed)
    return np.asarray(sound + _level_ratio(signals, sea) * background, dtype=np.float32)


def _level_ratio(signals: SoundParts, sea: SoundParts) -> float:
    """Amplitude by which the sea's background is brought to that of the signals' own clip."""
    weight = signals.mask.mean(axis=1)

    def level(parts: SoundParts) -> NDArray[np.float64]:
        power = np.abs(parts.spectrum[:, parts.is_free]) ** 2
        scale = np.sum(np.asarray(parts.transform.win) ** 2) * parts.sample_rate
        return np.asarray(np.interp(signals.bins_hz, parts.bins_hz, power.mean(axis=1) / scale))

    shared = weight * (signals.bins_hz <= REACH * sea.sample_rate)
    wanted, found = (np.sum(shared * level(parts)) for parts in (signals, sea))
    return float(np.sqrt(wanted / found)) if found > 0 and wanted > 0 else 1.0


def embed_swaps(
    pairs: Sequence[tuple[str, str]],
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    front_end: BackgroundFrontEnd,
    store: Store,
    swap_id: str,
    *,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Embed the signals of one clip over the background of another.

    Parameters
    ----------
    pairs : sequence of (clip_id of the signals, clip_id of the background)
        Both with free frames. A clip paired with itself is taken apart and put together again.
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder
    front_end : BackgroundFrontEnd of the embedder's front end
    store : Store
    swap_id : str, under which the embeddings are kept
    n_threads : int or None, threads that read and draw; None takes one per core
    progress : callable (done, total) or None, over the pairs still to do

    Returns
    -------
    ndarray [shape=(n_pairs, n_dimensions)]
    """
    by_id = rows_by_id(recordings)
    clip_of: dict[str, Any] = {str(row.clip_id): row for row in clips.itertuples()}

    def parts_of(clip: Any) -> SoundParts:
        return clip_parts(clip, by_id[clip.recording_id], front_end)

    def draw(pair: tuple[str, str]) -> NDArray[np.uint8]:
        signals, sea = (parts_of(clip_of[clip_id]) for clip_id in pair)
        seed = seed_of(signals.waveform, sea.waveform)
        sound = swap_background(signals, sea, seed=seed)
        return embedder.network_input(sound, sample_rate=sea.sample_rate)

    kept = store.embedded(swap_id)
    todo = [_Pair("|".join(pair), pair) for pair in dict.fromkeys(pairs)]
    todo = [pair for pair in todo if pair.clip_id not in kept]
    keep_measured(
        todo, lambda one: draw(one.pair), embedder.embed, store, swap_id, n_threads, progress
    )
    return store.vectors(swap_id, ["|".join(pair) for pair in pairs])


class _Pair:
    """What :func:`_keep` needs of a pair of clips: one id for both."""

    def __init__(self, clip_id: str, pair: tuple[str, str]) -> None:
        self.clip_id, self.pair = clip_id, pair

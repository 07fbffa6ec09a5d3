"""Signals of one clip over the background of another, and the answers of a classifier on them."""

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
from pseudorca.evaluation.encounter_accuracy import resampled_statistics
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
    """Choose pairs of clips: the signals of one, the background of the other.

    Every encounter gets partners of other labels. Both encounters of a pair can be left out of training
    without emptying a class.

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

    Examples
    --------
    >>> clips = pd.DataFrame({"label": list("AABB"), "encounter": ["e1", "e2", "e3", "e4"]})
    >>> units = clips["encounter"].to_numpy(dtype=object)
    >>> pairs = swap_partners(clips, units, np.ones(4, dtype=bool), n_partners=1)
    >>> len(pairs), set(pairs["partner"]) <= set(units)
    (4, True)
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
            signal_rows = rng.permutation(rows_of[name])[:n_clips]
            theirs = rng.choice(rows_of[partner], len(signal_rows))
            rows += [
                (name, partner, int(a), int(b)) for a, b in zip(signal_rows, theirs, strict=True)
            ]
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
    """Score swapped clips with heads that trained on neither encounter.

    Parameters
    ----------
    data : TrainingSet; a group is left out as a whole
    pairs : DataFrame, as from :func:`swap_partners`
    swapped, rebuilt : ndarray [shape=(n_pairs, n_dimensions)]
        The signals over the partner's background, and over their own
    head : Head
    encounters : ndarray [shape=(n_clips,)]
    seed : int

    Returns
    -------
    dict
        ``animal``, ``background``, ``neither``: shares of swapped clips that get the label of the
        signals, of the background, or another label, as :class:`Estimate` dicts. Each encounter
        counts once, each class equally; units of the signals are resampled. ``difference``: animal
        minus background. ``right_before`` and ``right_rebuilt``: shares named rightly as recorded,
        and rebuilt over their own background. ``n_clips``, ``n_encounters``.
    """
    label_of = {
        kind: np.empty(len(pairs), dtype=object) for kind in ("swapped", "rebuilt", "before")
    }
    group_of = dict(zip(encounters, data.groups, strict=True))
    by_pair = pairs.reset_index(drop=True).groupby(["encounter", "partner"], sort=True)
    for (encounter, partner), of_pair in by_pair:
        left_out = [group_of[encounter], group_of[partner]]
        trained = fit_head(head, data.take(np.flatnonzero(~np.isin(data.groups, left_out))))
        rows = of_pair.index.to_numpy()
        originals = data.vectors[of_pair["signal_row"].to_numpy()]
        for kind, vectors in (
            ("swapped", swapped[rows]), ("rebuilt", rebuilt[rows]), ("before", originals),
        ):  # fmt: skip
            best = trained.log_probabilities(vectors).argmax(axis=1)
            label_of[kind][rows] = np.array(trained.classes, dtype=object)[best]
    animal = data.labels[pairs["signal_row"].to_numpy()]
    sea = data.labels[pairs["sea_row"].to_numpy()]
    shares = pd.DataFrame(
        {
            "encounter": pairs["encounter"].to_numpy(),
            "label": animal,
            "unit": data.groups[pairs["signal_row"].to_numpy()],
            "animal": (label_of["swapped"] == animal).astype(float),
            "background": (label_of["swapped"] == sea).astype(float),
            "right_before": (label_of["before"] == animal).astype(float),
            "right_rebuilt": (label_of["rebuilt"] == animal).astype(float),
        }
    )
    shares["neither"] = 1 - shares["animal"] - shares["background"]
    shares["difference"] = shares["animal"] - shares["background"]
    per_encounter = shares.groupby(["encounter", "label", "unit"], as_index=False).mean()
    kinds = ["animal", "background", "neither", "difference", "right_before", "right_rebuilt"]
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
    """
    sound = parts.transform.istft(parts.spectrum * parts.mask, k1=len(parts.waveform))
    return np.asarray(sound, dtype=np.float32)


def swap_background(signals: SoundParts, sea: SoundParts, *, seed: int) -> Samples:
    """Lay the signals of one clip over the background of another.

    The sample rate is that of the background, as its recorder would have stored the signals. The
    background is scaled so that the excess of the signals stays the same: the same background power in
    the bins of the signals.

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
    """Factor that scales the other background to the level of the signals' own background."""
    weight = signals.mask.mean(axis=1)

    def level(parts: SoundParts) -> NDArray[np.float64]:
        power = np.abs(parts.spectrum[:, parts.is_free]) ** 2
        scale = np.sum(np.asarray(parts.transform.win) ** 2) * parts.sample_rate
        return np.asarray(np.interp(signals.bins_hz, parts.bins_hz, power.mean(axis=1) / scale))

    shared = weight * (signals.bins_hz <= REACH * sea.sample_rate)
    own, other = (np.sum(shared * level(parts)) for parts in (signals, sea))
    return float(np.sqrt(own / other)) if other > 0 and own > 0 else 1.0


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
        Both clips have free frames. A clip that is paired with itself is rebuilt
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder
    front_end : BackgroundFrontEnd of the embedder's front end
    store : Store
    swap_id : str, the id of the embeddings in the store
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
    """A pair of clips with one id, as :func:`keep_measured` needs it."""

    def __init__(self, clip_id: str, pair: tuple[str, str]) -> None:
        self.clip_id, self.pair = clip_id, pair

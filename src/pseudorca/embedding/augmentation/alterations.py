"""Altered copies of clips, called views: the same animals through another recorder, in another sea.

In: clips, and what may be altered: level, time, the sea behind the animals, the recorder's response and
its bandwidth. Out: a front end that alters the sound before the network's own draws it, so that views
pass the same path to the store as the clips; and a plan of which clips get which sea. A head that
learns from views cannot lean on what they change.

Everything drawn at random comes from the clip itself, the number of the view and the seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.fft
import xxhash
from numpy.typing import NDArray

from pseudorca.embedding.augmentation.apart import (
    BackgroundFrontEnd,
    background_sound,
    heard_band,
    seed_of,
)
from pseudorca.embedding.augmentation.measured import clip_parts
from pseudorca.errors import AudioError, FrontEndError, unknown_name
from pseudorca.frontends.base import FrontEnd, resample
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH

SEAS_PER_VIEW = 2
"""Clips of the other encounter whose backgrounds a view draws from."""

_SEA_S = 5.0  # of background kept of each
_BELOW_DB = 20.0  # range over which the level of the other sea is drawn
_PIVOT_HZ = 4_000.0  # where an equalised sound keeps its level
_MIN_SHIFT_S = 0.05
_HIGHEST_RATE = 1_000_000  # Hz; no recording is above
_VERSION = 1  # changes with anything that changes a view


@dataclass(frozen=True)
class ViewOptions:
    """What is altered in a view, and by how much."""

    gain_db: float = 6.0
    """Louder or fainter by up to so many decibels."""
    shift: bool = True
    """Cut up to half a clip earlier or later, where the recording has room for a tenth of it; where
    it has none, the clip is rolled: its end comes before its beginning."""
    background_db: float | None = 6.0
    """Lay the background of another encounter under the clip, from so many decibels to 20 more below
    the clip's own level in the band; None: none."""
    bandlimit: bool = True
    """Bring the clip to a lower sample rate, drawn among those of ``rates`` and its own."""
    slope_db: float = 3.0
    """Tilt the response by up to so many decibels per octave, up or down."""
    rates: tuple[int, ...] = ()
    """Sample rates in Hz of the collection."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("gain_db", "slope_db", "background_db"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 100
            ):
                raise FrontEndError(
                    f"{name} = {value!r} of the augmentation: expected decibels from 0 to 100."
                )
        for name in ("shift", "bandlimit"):
            if not isinstance(getattr(self, name), bool):
                raise FrontEndError(
                    f"{name} = {getattr(self, name)!r} of the augmentation: expected true or false."
                )

    @classmethod
    def of(cls, given: Mapping[str, Any], rates: Sequence[int]) -> Self:
        """Options by name, for a collection of these sample rates. FrontEndError if one is unknown."""
        known = [field.name for field in fields(cls) if field.name != "rates"]
        for name in given:
            if name not in known:
                raise FrontEndError(unknown_name("setting of the augmentation", name, known))
        made = cls(rates=tuple(sorted({int(rate) for rate in rates})), **given)
        below = None if made.background_db is None else float(made.background_db)
        return replace(  # 6 and 6.0 are the same views
            made, gain_db=float(made.gain_db), slope_db=float(made.slope_db), background_db=below
        )

    def alone(self) -> Self:
        """The same without other encounters' seas: what can be done to a clip of unknown origin."""
        return replace(self, background_db=None)


@dataclass(frozen=True)
class Sea:
    """Background of another encounter: ``waveform`` [shape=(n_samples,)] at ``sample_rate`` Hz."""

    waveform: Samples
    sample_rate: int


@dataclass(frozen=True)
class ViewFrontEnd:
    """A front end that hears clips altered.

    Which seas it may lay under them, and whether clips are rolled, comes from :func:`plan_views` and
    stands in the ids of the views; the rest is in :meth:`settings`.
    """

    front_end: FrontEnd
    options: ViewOptions
    view: int
    seas: tuple[Sea, ...] = ()
    is_rolled: bool = False

    @property
    def sample_rate(self) -> int | None:
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        about = {"version": _VERSION, "number": self.view} | asdict(self.options)
        return self.front_end.settings() | {"view": about}

    def picture(self, waveform: Samples, *, sample_rate: int) -> NDArray[Any]:
        """Draw the altered clip; see :meth:`altered`."""
        sound, rate = self.altered(waveform, sample_rate=sample_rate)
        return self.front_end.picture(sound, sample_rate=rate)

    def altered(self, waveform: Samples, *, sample_rate: int) -> tuple[Samples, int]:
        """Alter a clip: roll, lay a sea under it, tilt, bring to a lower rate, louder or fainter.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz

        Returns
        -------
        waveform : ndarray [shape=(n,)], float32
        sample_rate : int, Hz, the same or a lower one

        Raises
        ------
        AudioError
            If the clip has no power in the band.
        """
        options = self.options
        seed = [options.seed, self.view, seed_of(waveform)]
        rng = np.random.default_rng(seed)
        # All draws are made, whatever is used: one option changes nothing about the others.
        gain_db, slope_db = rng.uniform(-1, 1, 2) * (options.gain_db, options.slope_db)
        roll, which, below, place, rate_share = rng.uniform(size=5)
        sound = np.asarray(waveform, dtype=np.float32)
        if self.is_rolled:
            sound = np.roll(sound, int(roll * len(sound)))
        if self.seas and options.background_db is not None:
            sea = self.seas[int(which * len(self.seas))]
            below_db = options.background_db + _BELOW_DB * below
            sound = _over_sea(sound, sample_rate, sea, below_db, place, _band(self.front_end))
        if slope_db:
            sound = _tilted(sound, sample_rate, slope_db)
        rate = sample_rate
        if options.bandlimit:
            lower = [one for one in options.rates if one < sample_rate]
            rate = [*lower, sample_rate][int(rate_share * (len(lower) + 1))]
            sound = resample(sound, sample_rate, rate)
        return (sound * np.float32(10 ** (gain_db / 20))).astype(np.float32), rate


def plan_views(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    options: ViewOptions,
    view: int,
    seas: Mapping[str, Sequence[str]] | None = None,
    front_end: FrontEnd | None = None,
) -> pd.DataFrame:
    """Say where each clip's view is cut, and whose sea is laid under it.

    All clips of an encounter get the sea of one other encounter, on another platform where there is
    one: so a view that may not be learned from, since that encounter is held out, is left out for all.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    options : ViewOptions
    view : int, the number of the view
    seas : mapping from encounter to ids of clips with a background, or None where there are none
    front_end : FrontEnd or None, in whose band these backgrounds were found

    Returns
    -------
    DataFrame
        ``clips`` with ``start_s``, ``end_s`` moved, ``clip_id`` that of the view, and the columns
        ``of_clip``, ``donor`` (the other encounter, or empty), ``sea_clips`` (ids joined by commas),
        ``is_rolled``.
    """
    found = clips.reset_index(drop=True).copy()
    found["of_clip"] = found["clip_id"]
    duration_s = found["recording_id"].map(recordings.set_index("recording_id")["duration_s"])
    length_s = (found["end_s"] - found["start_s"]).to_numpy(dtype=np.float64)
    start_s = found["start_s"].to_numpy(dtype=np.float64)
    end_s = duration_s.to_numpy(dtype=np.float64)
    lowest = np.maximum(0.0, start_s - length_s / 2)
    highest = np.minimum(end_s - length_s, start_s + length_s / 2)
    whole = found["padded_s"].to_numpy(dtype=np.float64) == 0
    has_room = whole & (highest - lowest >= np.maximum(_MIN_SHIFT_S, length_s / 10))
    if options.shift:
        share = np.array([_draw(options, view, clip_id) for clip_id in found["of_clip"]])
        moved = np.where(has_room, lowest + share * (highest - lowest), start_s)
        found["start_s"], found["end_s"] = moved, moved + length_s
    found["is_rolled"] = options.shift & ~has_room
    donor_of = _donors(clips, recordings, options, view, seas or {})
    found["donor"] = [donor_of[encounter] for encounter in found["encounter"]]
    found["sea_clips"] = [
        ",".join(_seas_of(donor, options, view, seas or {})) for donor in found["donor"]
    ]
    band = None if front_end is None else _band(front_end)
    heard = [f"{clips_of} in {band}" if clips_of else "" for clips_of in found["sea_clips"]]
    found["clip_id"] = [
        _digest(one.of_clip, f"{one.start_s:.9f}", one.is_rolled, sea)
        for one, sea in zip(found.itertuples(), heard, strict=True)
    ]
    return found


def read_seas(
    clip_ids: Sequence[str], clips: pd.DataFrame, recordings: pd.DataFrame, front_end: FrontEnd
) -> tuple[Sea, ...]:
    """Read the backgrounds of clips: five seconds each, of frames without signal alone.

    Parameters
    ----------
    clip_ids : sequence of str, clips with such frames
    clips, recordings : DataFrame, the tables of these names
    front_end : FrontEnd, in whose band signals are looked for
    """
    heard = sea_front_end(front_end)
    rows = clips.set_index("clip_id", drop=False).loc[list(clip_ids)]
    by_id = {str(row.recording_id): row for row in recordings.itertuples()}
    found = []
    for clip in rows.itertuples():
        parts = clip_parts(clip, by_id[str(clip.recording_id)], heard)
        n_samples = round(_SEA_S * parts.sample_rate)
        sound = background_sound(parts, n_samples, seed=seed_of(parts.waveform))
        found.append(Sea(sound, parts.sample_rate))
    return tuple(found)


def sea_front_end(front_end: FrontEnd) -> BackgroundFrontEnd:
    """In which band, and how, frames without signal are looked for."""
    return BackgroundFrontEnd(front_end, _band(front_end))


def reference_front_end(front_end: FrontEnd) -> BackgroundFrontEnd:
    """What draws the background of every clip, for embeddings that are referred to it."""
    return BackgroundFrontEnd(front_end, _band(front_end), quietest=True)


def _band(front_end: FrontEnd) -> tuple[float, float]:
    if isinstance(front_end, BackgroundFrontEnd):
        return front_end.band_hz
    return heard_band(front_end, _HIGHEST_RATE)


def _over_sea(
    sound: Samples,
    sample_rate: int,
    sea: Sea,
    below_db: float,
    place: float,
    band_hz: tuple[float, float],
) -> Samples:
    """Lay a stretch of a sea under a clip, so far below it in the band that both reach."""
    other = resample(sea.waveform, sea.sample_rate, sample_rate)
    other = np.resize(np.roll(other, int(place * len(other))), len(sound))
    top_hz = min(band_hz[1], REACH * min(sample_rate, sea.sample_rate))
    band = min(band_hz[0], top_hz / 2), top_hz
    mine, theirs = _level(sound, sample_rate, band), _level(other, sample_rate, band)
    if mine <= 0:
        raise AudioError("silent", "no power in the band")
    if theirs <= 0:
        return sound
    ratio = np.float32(mine / theirs * 10 ** (-below_db / 20))
    return np.asarray(sound + ratio * other, dtype=np.float32)


def _level(sound: Samples, sample_rate: int, band_hz: tuple[float, float]) -> float:
    """Root of the power in a band."""
    spectrum = scipy.fft.rfft(sound.astype(np.float64))
    bins_hz = scipy.fft.rfftfreq(len(sound), 1 / sample_rate)
    heard = (bins_hz >= band_hz[0]) & (bins_hz <= band_hz[1])
    return float(np.sqrt((np.abs(spectrum[heard]) ** 2).sum()))


def _tilted(sound: Samples, sample_rate: int, slope_db: float) -> Samples:
    """A response that rises by ``slope_db`` per octave, from 100 Hz up."""
    n = scipy.fft.next_fast_len(len(sound), real=True)
    spectrum = scipy.fft.rfft(sound.astype(np.float64), n)
    bins_hz = np.maximum(scipy.fft.rfftfreq(n, 1 / sample_rate), 100.0)
    response = 10 ** (slope_db * np.log2(bins_hz / _PIVOT_HZ) / 20)
    return np.asarray(scipy.fft.irfft(spectrum * response, n)[: len(sound)], dtype=np.float32)


def _donors(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    options: ViewOptions,
    view: int,
    seas: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Whose sea the clips of each encounter get; empty where there is no other."""
    encounters = sorted(set(clips["encounter"]))
    if options.background_db is None:
        return dict.fromkeys(encounters, "")
    platform = clips["recording_id"].map(recordings.set_index("recording_id")["platform"])
    platforms = platform.astype(object).fillna("").groupby(clips["encounter"]).agg(set)
    there = sorted(name for name, of_encounter in seas.items() if len(of_encounter))
    found = {}
    for encounter in encounters:
        others = [name for name in there if name != encounter]
        elsewhere = [
            name for name in others
            if name in platforms and not platforms[name] & platforms[encounter]
        ]  # fmt: skip
        among = elsewhere or others
        share = _draw(options, view, encounter)
        found[encounter] = among[int(share * len(among))] if among else ""
    return found


def _seas_of(
    encounter: str, options: ViewOptions, view: int, seas: Mapping[str, Sequence[str]]
) -> list[str]:
    order = sorted(seas.get(encounter, ()), key=lambda one: _digest(options.seed, view, one))
    return sorted(order[:SEAS_PER_VIEW])


def _draw(options: ViewOptions, view: int, what: str) -> float:
    """A number from 0 up to 1 that comes from what it is for."""
    return int(_digest(options.seed, view, what), 16) / 16**16


def _digest(*parts: object) -> str:
    return xxhash.xxh3_64_hexdigest("|".join(map(str, parts)).encode())

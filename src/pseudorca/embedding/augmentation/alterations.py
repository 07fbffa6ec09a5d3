"""Altered copies of clips, called views: the same animals with another recorder and background.

In: clips, and the kinds of alteration: level, time, background, the recorder's response and bandwidth.
Out: a front end that alters the sound before the network's own front end draws it, so that views take
the same path to the store as clips; and a plan of the background for each clip. A head that learns
from views cannot rely on what the views change.

All random numbers depend on the clip itself, the number of the view and the seed.
"""

from collections.abc import Iterable, Mapping, Sequence
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
from pseudorca.embedding.augmentation.measured import clip_parts, rows_by_id
from pseudorca.errors import AudioError, FrontEndError, unknown_name
from pseudorca.frontends.base import FrontEnd, resample
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH

_CLIPS_PER_VIEW = 2  # clips of the other encounter from which a view draws its background
_BACKGROUND_S = 5.0  # seconds of background per clip
_BELOW_DB = 20.0  # range of the random level of the other background
_PIVOT_HZ = 4_000.0  # where an equalised sound keeps its level
_MIN_SHIFT_S = 0.05
_HIGHEST_RATE = 1_000_000  # Hz; above every recorder's rate
_VERSION = 1  # a new number for every change to a view


@dataclass(frozen=True)
class ViewOptions:
    """The alterations of a view.

    Raises
    ------
    FrontEndError
        If a value is outside its range.

    Examples
    --------
    >>> ViewOptions.of({"gain_db": 3}, rates=[48_000, 96_000, 48_000]).rates
    (48000, 96000)
    """

    gain_db: float = 6.0
    """Greatest change of level in decibels, up or down."""
    shift: bool = True
    """Cut the clip up to half its length earlier or later, if the recording has room for a tenth of
    the length. Otherwise the clip is rolled: its end comes before its beginning."""
    background_db: float | None = 6.0
    """Add the background of another encounter to the clip. The level of the background is this many
    decibels, up to 20 more, below the level of the clip in the band. None: no background."""
    bandlimit: bool = True
    """Resample the clip to a lower rate, drawn from ``rates`` and its own rate."""
    slope_db: float = 3.0
    """Greatest tilt of the response in decibels per octave, up or down."""
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
    def of(cls, settings: Mapping[str, Any], rates: Sequence[int]) -> Self:
        """Options by name, for a collection of these sample rates. FrontEndError if one is unknown."""
        known = [field.name for field in fields(cls) if field.name != "rates"]
        for name in settings:
            if name not in known:
                raise FrontEndError(unknown_name("setting of the augmentation", name, known))
        options = cls(rates=tuple(sorted({int(rate) for rate in rates})), **settings)
        below = None if options.background_db is None else float(options.background_db)
        return replace(  # 6 and 6.0 are the same views
            options,
            gain_db=float(options.gain_db),
            slope_db=float(options.slope_db),
            background_db=below,
        )

    def alone(self) -> Self:
        """The same without backgrounds of other encounters, for a clip of unknown encounter."""
        return replace(self, background_db=None)


@dataclass(frozen=True)
class OtherBackground:
    """Background of another encounter: ``waveform`` [shape=(n_samples,)] at ``sample_rate`` Hz.

    Examples
    --------
    >>> OtherBackground(np.zeros(8, dtype=np.float32), sample_rate=48_000).sample_rate
    48000
    """

    waveform: Samples
    sample_rate: int


@dataclass(frozen=True)
class ViewFrontEnd:
    """A front end that alters a clip before another front end draws it.

    ``backgrounds`` and ``is_rolled`` come from :func:`plan_views` and are part of the ids of the views;
    all other settings are in :meth:`settings`.

    Examples
    --------
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> front_end = ViewFrontEnd(CommonFrontEnd(), ViewOptions(rates=(16_000,)), view=1)
    >>> noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    >>> front_end.altered(noise, sample_rate=16_000)[1]
    16000
    """

    front_end: FrontEnd
    options: ViewOptions
    view: int
    backgrounds: tuple[OtherBackground, ...] = ()
    is_rolled: bool = False

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz to which clips are resampled; None: clips are not resampled."""
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        view = {"version": _VERSION, "number": self.view} | asdict(self.options)
        return self.front_end.settings() | {"view": view}

    def picture(self, waveform: Samples, *, sample_rate: int) -> NDArray[Any]:
        """Draw the altered clip; see :meth:`altered`."""
        sound, rate = self.altered(waveform, sample_rate=sample_rate)
        return self.front_end.picture(sound, sample_rate=rate)

    def altered(self, waveform: Samples, *, sample_rate: int) -> tuple[Samples, int]:
        """Alter a clip: roll, add a background, tilt the response, resample, change the level.

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
        # All numbers are drawn in every case, so that one option does not change the others.
        gain_db, slope_db = rng.uniform(-1, 1, 2) * (options.gain_db, options.slope_db)
        roll, clip_share, below, place_share, rate_share = rng.uniform(size=5)
        sound = np.asarray(waveform, dtype=np.float32)
        if self.is_rolled:
            sound = np.roll(sound, int(roll * len(sound)))
        if self.backgrounds and options.background_db is not None:
            other = self.backgrounds[int(clip_share * len(self.backgrounds))]
            below_db = options.background_db + _BELOW_DB * below
            band_hz = _band(self.front_end)
            sound = _with_background(sound, sample_rate, other, below_db, place_share, band_hz)
        if slope_db:
            sound = _tilted(sound, sample_rate, slope_db)
        rate = sample_rate
        if options.bandlimit:
            lower = [other_rate for other_rate in options.rates if other_rate < sample_rate]
            rate = [*lower, sample_rate][int(rate_share * (len(lower) + 1))]
            sound = resample(sound, sample_rate, rate)
        return (sound * np.float32(10 ** (gain_db / 20))).astype(np.float32), rate


def plan_views(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    options: ViewOptions,
    view: int,
    background_clips: Mapping[str, Sequence[str]] | None = None,
    front_end: FrontEnd | None = None,
) -> pd.DataFrame:
    """Plan where the view of each clip is cut, and which background is added.

    All clips of an encounter get the background of one other encounter, from another platform if there
    is one. If that other encounter is held out, the view is left out for all clips of the encounter.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    options : ViewOptions
    view : int, the number of the view
    background_clips : mapping from encounter to ids of clips with a background, or None
    front_end : FrontEnd or None, whose band the backgrounds were found in

    Returns
    -------
    DataFrame
        ``clips`` with ``start_s``, ``end_s`` moved, ``clip_id`` that of the view, and the columns
        ``of_clip``, ``donor`` (the other encounter, or empty), ``background_clips`` (ids joined by
        commas), ``is_rolled``.

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": ["c1"], "recording_id": ["r1"], "encounter": ["e1"],
    ...                       "start_s": [4.0], "end_s": [6.0], "padded_s": [0.0]})
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "duration_s": [10.0], "platform": ["p"]})
    >>> plan = plan_views(clips, recordings, ViewOptions(), view=1)
    >>> bool(plan["start_s"].between(3, 5).all()), plan["donor"].tolist()
    (True, [''])
    """
    plan = clips.reset_index(drop=True).copy()
    plan["of_clip"] = plan["clip_id"]
    duration_s = plan["recording_id"].map(recordings.set_index("recording_id")["duration_s"])
    length_s = (plan["end_s"] - plan["start_s"]).to_numpy(dtype=np.float64)
    start_s = plan["start_s"].to_numpy(dtype=np.float64)
    end_s = duration_s.to_numpy(dtype=np.float64)
    lowest = np.maximum(0.0, start_s - length_s / 2)
    highest = np.minimum(end_s - length_s, start_s + length_s / 2)
    whole = plan["padded_s"].to_numpy(dtype=np.float64) == 0
    has_room = whole & (highest - lowest >= np.maximum(_MIN_SHIFT_S, length_s / 10))
    if options.shift:
        share = np.array([_draw(options, view, clip_id) for clip_id in plan["of_clip"]])
        moved = np.where(has_room, lowest + share * (highest - lowest), start_s)
        plan["start_s"], plan["end_s"] = moved, moved + length_s
    plan["is_rolled"] = options.shift & ~has_room
    clips_of = background_clips or {}
    plan["donor"] = plan["encounter"].map(_donors(clips, recordings, options, view, clips_of))
    plan["background_clips"] = [
        ",".join(_chosen(clips_of.get(donor, ()), options, view)) for donor in plan["donor"]
    ]
    band = None if front_end is None else _band(front_end)
    rows: Iterable[Any] = plan.itertuples()
    plan["clip_id"] = [
        _digest(
            row.of_clip, f"{row.start_s:.9f}", row.is_rolled,
            f"{row.background_clips} in {band}" if row.background_clips else "",
        )
        for row in rows
    ]  # fmt: skip
    return plan


def read_backgrounds(
    clip_ids: Sequence[str], clips: pd.DataFrame, recordings: pd.DataFrame, front_end: FrontEnd
) -> tuple[OtherBackground, ...]:
    """Read backgrounds: five seconds per clip, made from frames without signal.

    Parameters
    ----------
    clip_ids : sequence of str, clips with frames without signal
    clips, recordings : DataFrame, the tables of these names
    front_end : FrontEnd, whose band is searched for signals

    Returns
    -------
    tuple of OtherBackground, one per clip id

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     ids = clips["clip_id"].tolist()
    ...     (background,) = read_backgrounds(ids, clips, recordings, CommonFrontEnd())
    >>> len(background.waveform) / background.sample_rate
    5.0
    """
    of_background = background_front_end(front_end)
    rows = clips.set_index("clip_id", drop=False).loc[list(clip_ids)]
    by_id = rows_by_id(recordings)
    backgrounds = []
    for clip in rows.itertuples():
        parts = clip_parts(clip, by_id[str(clip.recording_id)], of_background)
        n_samples = round(_BACKGROUND_S * parts.sample_rate)
        sound = background_sound(parts, n_samples, seed=seed_of(parts.waveform))
        backgrounds.append(OtherBackground(sound, parts.sample_rate))
    return tuple(backgrounds)


def background_front_end(
    front_end: FrontEnd, *, quietest: bool = False, unbroken: bool = False
) -> BackgroundFrontEnd:
    """A front end that draws the background of a clip, in the band of another front end.

    Parameters
    ----------
    front_end : FrontEnd, of the network
    quietest : bool
        True: every clip has a background, as a reference for embeddings. False: a clip without free
        frames has none
    unbroken : bool
        True: clips without any signal are drawn as they are, and no others

    Returns
    -------
    BackgroundFrontEnd

    Examples
    --------
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> background_front_end(CommonFrontEnd()).band_hz
    (100.0, 15040.0)
    """
    return BackgroundFrontEnd(front_end, _band(front_end), quietest=quietest, unbroken=unbroken)


def _band(front_end: FrontEnd) -> tuple[float, float]:
    if isinstance(front_end, BackgroundFrontEnd):
        return front_end.band_hz
    return heard_band(front_end, _HIGHEST_RATE)


def _with_background(
    sound: Samples,
    sample_rate: int,
    other: OtherBackground,
    below_db: float,
    place: float,
    band_hz: tuple[float, float],
) -> Samples:
    """Add a stretch of background to a clip, ``below_db`` below the clip in the shared band."""
    background = resample(other.waveform, other.sample_rate, sample_rate)
    background = np.resize(np.roll(background, int(place * len(background))), len(sound))
    top_hz = min(band_hz[1], REACH * min(sample_rate, other.sample_rate))
    band = min(band_hz[0], top_hz / 2), top_hz
    level, background_level = (_level(x, sample_rate, band) for x in (sound, background))
    if level <= 0:
        raise AudioError("silent", "no power in the band")
    if background_level <= 0:
        return sound
    ratio = np.float32(level / background_level * 10 ** (-below_db / 20))
    return np.asarray(sound + ratio * background, dtype=np.float32)


def _level(sound: Samples, sample_rate: int, band_hz: tuple[float, float]) -> float:
    """Root of the power in a band."""
    spectrum = scipy.fft.rfft(sound.astype(np.float64))
    bins_hz = scipy.fft.rfftfreq(len(sound), 1 / sample_rate)
    in_band = (bins_hz >= band_hz[0]) & (bins_hz <= band_hz[1])
    return float(np.sqrt((np.abs(spectrum[in_band]) ** 2).sum()))


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
    background_clips: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """The encounter that gives the background, by encounter; empty without another encounter."""
    encounters = sorted(set(clips["encounter"]))
    if options.background_db is None:
        return dict.fromkeys(encounters, "")
    platform = clips["recording_id"].map(recordings.set_index("recording_id")["platform"])
    platforms = platform.astype(object).fillna("").groupby(clips["encounter"]).agg(set)
    with_background = sorted(name for name, clip_ids in background_clips.items() if len(clip_ids))
    donor_of = {}
    for encounter in encounters:
        others = [name for name in with_background if name != encounter]
        elsewhere = [
            name for name in others
            if name in platforms and not platforms[name] & platforms[encounter]
        ]  # fmt: skip
        among = elsewhere or others
        share = _draw(options, view, encounter)
        donor_of[encounter] = among[int(share * len(among))] if among else ""
    return donor_of


def _chosen(clip_ids: Sequence[str], options: ViewOptions, view: int) -> list[str]:
    order = sorted(clip_ids, key=lambda clip_id: _digest(options.seed, view, clip_id))
    return sorted(order[:_CLIPS_PER_VIEW])


def _draw(options: ViewOptions, view: int, what: str) -> float:
    """A number from 0 up to 1 that depends on seed, view and ``what``."""
    return int(_digest(options.seed, view, what), 16) / 16**16


def _digest(*parts: object) -> str:
    return xxhash.xxh3_64_hexdigest("|".join(map(str, parts)).encode())

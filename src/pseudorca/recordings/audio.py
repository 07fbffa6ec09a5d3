"""Read audio files: the header, a stretch of samples, and a check of the whole file.

In: every format that libsndfile opens (WAV with its variants, FLAC, AIFF, OGG, MP3, ...). Out: float32
samples in [-1, 1] that were never wrapped, clipped or resampled. Files are read in pieces, so a day
of audio needs no more memory than a minute. Files at a URL are downloaded in pieces, too.
"""

import os
import stat
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import soundfile as sf
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import AudioError
from pseudorca.recordings import places
from pseudorca.recordings.containers import Opened, View, open_bytes, opened
from pseudorca.recordings.lost import (
    LOSES_SILENTLY,
    Rest,
    flac_frames,
    flac_of_known_length,
    rest_of,
)
from pseudorca.recordings.mending import Sound, find_sound, mended
from pseudorca.recordings.places import Place
from pseudorca.values import plural

Samples = NDArray[np.float32]

SUFFIXES = frozenset(
    ".wav .wave .rf64 .bwf .w64 .flac .aif .aiff .aifc .ogg .oga .opus .mp3 .caf .au .snd".split()
)
"""File name endings that are read as audio, in any case."""

CONVERTERS: dict[str, str] = {
    ".sud": "SoundTrap Host", ".wac": "Kaleidoscope", ".w4v": "Kaleidoscope", ".hrp": "Triton",
    ".x3": "the X3 tools of the recorder's maker", ".x3a": "the X3 tools of the recorder's maker",
    ".dsg": "DSG2wav", ".dat": "the program that came with the recorder",
    **dict.fromkeys(".m4a .mp4 .aac .wma .wv .ape .amr .dff .dsf .ac3 .mka".split(), "ffmpeg"),
}  # fmt: skip
"""Endings of audio that libsndfile cannot decode, and what converts it. These files become problems."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 50, 1_000_000  # Hz
MAX_CHANNELS = 64
MIN_FRAMES = 256
"""The spectrogram frame of the study, in samples. No front end can use a shorter recording."""

_ENDLESS = 1 << 48  # samples; more stand for "unknown"

LONG_RECORDING_S = 600.0
"""Longer recordings are hashed by evenly spaced blocks, unless ``full_hash`` is set."""

_BLOCK_SAMPLES = 1 << 19  # of all channels together
_COUNTED_FRAMES = 1 << 14
_N_HASHED_BLOCKS = 64
_HASHED_BLOCK_FRAMES = 1 << 15

_LONGEST_NAME = 1_000
"""Most bytes of a path for libsndfile (limit 1,023). Files with longer paths are opened here."""

_SIZED = frozenset(("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"))
"""Containers whose header tells the size of the sound, see :mod:`pseudorca.recordings.mending`."""
_SAMPLE_BYTES = {
    "PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4,
    "DOUBLE": 8,
}  # fmt: skip

# A seek in these formats finds the wrong samples (issue 885 of libsndfile; mpg123 seeks "fuzzily" by
# the table of an MP3) or fails, so the files are only read forwards.
_FORWARD_ONLY = frozenset(
    "VORBIS OPUS MPEG_LAYER_I MPEG_LAYER_II MPEG_LAYER_III GSM610 G721_32 G723_24 G723_40 NMS_ADPCM_16 "
    "NMS_ADPCM_24 NMS_ADPCM_32 DWVW_12 DWVW_16 DWVW_24".split()
)


@dataclass(frozen=True)
class AudioInfo:
    """The content of the header of one audio file.

    Examples
    --------
    >>> AudioInfo("WAV/PCM_24", sample_rate=48_000, n_channels=2, n_frames=96_000).duration_s
    2.0
    """

    format: str
    """Container and sample type, such as ``WAV/PCM_24``."""
    sample_rate: int
    """Hz."""
    n_channels: int
    n_frames: int
    """Samples per channel."""
    n_missing_frames: int = 0
    """Samples per channel that the header promises beyond the end of the file."""
    n_hidden_frames: int = 0
    """Samples per channel that the file holds and the header does not tell of."""
    holes: tuple[tuple[int, int], ...] = ()
    """Stretches that are lost inside the file: the first sample, and the one after the last."""
    is_cut: bool = False
    """The end of the file is missing; ``n_missing_frames`` tells how much if the header does."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_frames / self.sample_rate


@dataclass(frozen=True)
class Inspection:
    """One audio file that was read and can be used, see :func:`inspect`.

    Examples
    --------
    >>> info = AudioInfo("WAV/PCM_16", sample_rate=8_000, n_channels=1, n_frames=16_000)
    >>> Inspection(info, "5f1c", "samples", peak=0.5, fingerprint="32044:0").info.duration_s
    2.0
    """

    info: AudioInfo
    content_hash: str
    hash_kind: str
    """``samples`` (every decoded sample) or ``blocks`` (size, header, evenly spaced blocks)."""
    peak: float
    """Largest absolute sample, full scale = 1."""
    fingerprint: str
    """The version of the file that was read, see :func:`fingerprint`."""
    bad_channels: tuple[tuple[int, str], ...] = ()
    """Channels, from 1, that hold no usable sound beside others that do, and what they hold."""


def probe(path: Place) -> AudioInfo:
    """Read the header of an audio file.

    Parameters
    ----------
    path : path or URL of an audio file

    Returns
    -------
    AudioInfo

    Raises
    ------
    AudioError
        If the file cannot be opened, is empty, is not audio, or has an impossible header.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.wav"
    ...     sf.write(path, np.zeros((8_000, 2)), 16_000)
    ...     probe(path).duration_s, probe(path).n_channels
    (0.5, 2)
    """
    with _open(path) as file:
        return _info(file)


class Reader:
    """An open audio file, to read several stretches of the file.

    Parameters
    ----------
    path : path or URL of an audio file

    Attributes
    ----------
    info : AudioInfo
    n_bytes : int, size of the file
    fingerprint : str, the version of the open file (see :func:`fingerprint`)

    Raises
    ------
    AudioError
        If the file cannot be opened or has an impossible header.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.wav"
    ...     sf.write(path, np.zeros((8_000, 2)), 16_000)
    ...     with Reader(path) as reader:
    ...         reader.read(4_000, 256).shape
    (2, 256)
    """

    def __init__(self, path: Place) -> None:
        self._path = path
        self._file = _open(path)
        self.n_bytes, self.fingerprint = self._file.n_bytes, self._file.fingerprint
        try:
            self.info = _info(self._file)
        except AudioError:
            self._file.close()
            raise
        self._piece = 0
        self._position = 0
        # The last samples of a file that is only read forwards: the next stretch may begin in them.
        self._held_from = 0
        self._block_frames = _BLOCK_SAMPLES // self.info.n_channels
        self._held = np.empty((self.info.n_channels, 0), dtype=np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start_frame: int, n_frames: int) -> Samples:
        """Read one stretch of the file.

        Parameters
        ----------
        start_frame : int, samples from the beginning
        n_frames : int, samples per channel

        Returns
        -------
        ndarray [shape=(n_channels, n_frames)], float32, full scale = 1

        Raises
        ------
        AudioError
            If the stretch cannot be decoded, or the file ends before the end of the stretch.
        """
        if start_frame < 0 or n_frames < 0:
            detail = f"{n_frames} samples from sample {start_frame} on"
            raise AudioError("outside the recording", detail)
        for lost, until in self.info.holes:
            if n_frames and start_frame < until and start_frame + n_frames > lost:
                rate = self.info.sample_rate
                detail = f"{lost / rate:.3f} to {until / rate:.3f} s of the recording are lost"
                raise AudioError("damaged", detail)
        if self._file.codec in _FORWARD_ONLY:
            return self._read_forwards(start_frame, n_frames)
        if self._position != start_frame:
            try:
                self._file.seek(start_frame)
            except (sf.LibsndfileError, RuntimeError) as error:
                self._file.check()
                self._reopen()
                raise _damaged(start_frame) from error
        return self._decode(start_frame, n_frames)

    def _reopen(self, piece: int = 0) -> None:
        """Begin again: a decoder that failed, or that only reads forwards, cannot go back."""
        self._file.close()
        self._file = _open(self._path, piece)
        self._piece = piece
        self._held_from = self._position = self._file.firsts[piece]
        self._held = self._held[:, :0]

    def _read_forwards(self, start_frame: int, n_frames: int) -> Samples:
        piece = bisect_right(self._file.firsts, start_frame) - 1
        if start_frame < self._held_from or piece != self._piece:
            self._reopen(piece)
        position = self._held_from + self._held.shape[1]
        while position < start_frame:
            self._held = self._decode(position, min(self._block_frames, start_frame - position))
            position += self._held.shape[1]
        samples = self._held[:, self._held.shape[1] - (position - start_frame) :]
        if (n_new := start_frame + n_frames - position) > 0:
            samples = np.concatenate([samples, self._decode(position, n_new)], axis=1)
        self._held_from, self._held = start_frame, samples
        return samples[:, :n_frames].copy()

    def _decode(self, start_frame: int, n_frames: int) -> Samples:
        try:
            samples = self._file.read(n_frames, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, RuntimeError) as error:
            self._file.check()
            self._reopen()
            raise _damaged(start_frame) from error
        self._file.check()
        self._position = start_frame + len(samples)
        if len(samples) < n_frames:
            raise AudioError(
                "damaged",
                f"breaks off at sample {start_frame + len(samples)}, "
                f"the header promises {start_frame + n_frames}",
            )
        return np.asarray(samples.T)


def is_read_forwards(format: str) -> bool:
    """Return whether files of a format are only read forwards.

    Parameters
    ----------
    format : str, as in :class:`AudioInfo`

    Returns
    -------
    bool

    Examples
    --------
    >>> is_read_forwards("OGG/VORBIS"), is_read_forwards("WAV/PCM_16")
    (True, False)
    """
    return format.rpartition("/")[2] in _FORWARD_ONLY


def read_segment(path: Place, *, start_frame: int = 0, n_frames: int | None = None) -> Samples:
    """Read one stretch of a file, all channels.

    Parameters
    ----------
    path : path or URL of an audio file
    start_frame : int, samples from the beginning
    n_frames : int or None, samples per channel; None reads to the end

    Returns
    -------
    ndarray [shape=(n_channels, n_frames)], float32, full scale = 1

    Raises
    ------
    AudioError
        If the file cannot be read, or ends before the end of the stretch.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.wav"
    ...     sf.write(path, np.full((1_000, 1), 0.5), 16_000)
    ...     read_segment(path, start_frame=900).max()
    np.float32(0.5)
    """
    with Reader(path) as reader:
        wanted = reader.info.n_frames - start_frame if n_frames is None else n_frames
        return reader.read(start_frame, wanted)


def inspect(path: Place, *, full_hash: bool = False) -> Inspection:
    """Read a file once, check that it can be used, and hash its sound.

    The hash covers the decoded samples, the rate and the number of channels, so the same sound as
    WAV and as FLAC has one hash. Recordings over ten minutes are hashed by file size, header and 64
    evenly spaced blocks, unless ``full_hash`` is set or all blocks are silent. A file needs at most
    32 MiB of memory, whatever its header says.

    Parameters
    ----------
    path : path or URL of an audio file
    full_hash : bool, decode every sample of a long recording, too

    Returns
    -------
    Inspection

    Raises
    ------
    AudioError
        With reason ``cannot be opened``, ``cannot be read`` (the network failed), ``empty file``,
        ``not audio``, ``damaged``, ``no samples``, ``impossible header``, ``shorter than one
        spectrogram frame``, ``not finite``, ``silent`` or ``changed while it was read``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.wav"
    ...     sf.write(path, np.linspace(-0.5, 0.25, 1_000), 16_000)
    ...     inspect(path).peak, inspect(path).hash_kind
    (0.5, 'samples')
    """
    try:
        return _inspect(path, full_hash=full_hash)
    except AudioError as error:
        if error.reason != "damaged":
            raise
        holes = _find_holes(path)
        if not holes:
            raise
        return _inspect(path, full_hash=full_hash, found=holes)


def _inspect(
    path: Place, *, full_hash: bool, found: tuple[tuple[int, int], ...] = ()
) -> Inspection:
    """Inspect a file; ``found``: stretches that cannot be decoded, the last perhaps its end."""
    with Reader(path) as reader:
        info = reader.info
        if found and found[-1][1] == info.n_frames:
            n_lost = info.n_frames - found[-1][0]
            info = replace(
                info, n_frames=found[-1][0], n_missing_frames=info.n_missing_frames + n_lost,
                is_cut=True,
            )  # fmt: skip
            found = found[:-1]
        if found:
            info = replace(info, holes=info.holes + found)
        if info.n_frames < MIN_FRAMES:
            reason = "no samples" if info.n_frames == 0 else "shorter than one spectrogram frame"
            if info.is_cut:
                reason = "damaged"
            raise AudioError(
                reason, f"{plural(info.n_frames, 'sample')}, need at least {MIN_FRAMES}"
            )
        by_blocks = info.duration_s > LONG_RECORDING_S and not full_hash
        digest = xxhash.xxh3_128(f"{info.sample_rate}:{info.n_channels}".encode())
        if info.holes:
            digest.update(str(info.holes).encode())
        if by_blocks:
            digest.update(f":{info.n_frames}:{reader.n_bytes}".encode())
            length = min(_HASHED_BLOCK_FRAMES, info.n_frames // _N_HASHED_BLOCKS)
            starts = np.linspace(0, info.n_frames - length, _N_HASHED_BLOCKS)
            spans = [(int(start), length) for start in starts]
        else:
            block_frames = _BLOCK_SAMPLES // info.n_channels
            spans = [
                (start, min(block_frames, info.n_frames - start))
                for start in range(0, info.n_frames, block_frames)
            ]
        if info.holes:
            spans = _around(spans, info.holes)
        lowest = np.full(info.n_channels, np.inf)
        highest = np.full(info.n_channels, -np.inf)
        is_finite = np.full(info.n_channels, True)
        not_finite: AudioError | None = None
        for start, n_frames in spans:
            samples = reader.read(start, n_frames)
            try:
                check_finite(
                    samples, offset_s=start / info.sample_rate, sample_rate=info.sample_rate
                )
            except AudioError as error:
                not_finite = not_finite or error
                is_finite &= np.isfinite(samples).all(axis=1)
            with np.errstate(invalid="ignore"):
                lowest = np.minimum(lowest, samples.min(axis=1))
                highest = np.maximum(highest, samples.max(axis=1))
            samples += 0.0  # -0.0 and 0.0 are the same sound
            digest.update(np.ascontiguousarray(samples.T).data)
    if fingerprint(path) != reader.fingerprint:
        raise AudioError("changed while it was read", "scan again when it is finished")
    if not_finite is not None and not is_finite.any():
        raise not_finite
    usable = np.flatnonzero(is_finite & (highest > lowest))
    if not len(usable):
        if by_blocks:  # silent blocks say nothing about the samples between them
            return _inspect(path, full_hash=True, found=found)
        level = highest[is_finite][-1]
        raise AudioError("silent", f"every sample of every channel is {level:g}")
    bad_channels = tuple(
        (k + 1, "one value" if is_finite[k] else "NaN or infinity")
        for k in (
            set(range(info.n_channels)) - set(usable) if len(usable) < info.n_channels else ()
        )
        if not (by_blocks and is_finite[k])
    )
    return Inspection(
        info,
        digest.hexdigest(),
        hash_kind="blocks" if by_blocks else "samples",
        peak=float(max(-lowest[usable].min(), highest[usable].max())),
        fingerprint=reader.fingerprint,
        bad_channels=bad_channels,
    )


def _around(
    spans: Iterable[tuple[int, int]], holes: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Take holes out of spans (start, length)."""
    for lost, until in holes:
        sides = (
            side
            for start, n in spans
            for side in (
                (start, min(n, lost - start)),
                (max(start, until), start + n - max(start, until)),
            )
        )
        spans = [(start, n) for start, n in sides if n > 0]
    return list(spans)


def _find_holes(path: Place) -> tuple[tuple[int, int], ...]:
    """Find what cannot be decoded of a FLAC file; the last hole may be its end."""
    holes: list[tuple[int, int]] = []
    with Reader(path) as reader:
        n_frames = reader.info.n_frames
        if not reader.info.format.startswith("FLAC/"):
            return ()

        with opened(path) as file:
            frames = [frame for frame in flac_frames(file) if frame[0] < n_frames]
        nexts = [*(first for first, _ in frames), n_frames]
        for (head, end), after in zip([(0, 0), *frames], nexts, strict=True):
            start, end = head, min(after, end)  # frames may be lost behind it
            while start < after:
                try:
                    reader.read(start, end - start)
                except AudioError:
                    end = after if start > head else end
                    begin = holes.pop()[0] if holes and holes[-1][1] == start else start
                    holes.append((begin, end))
                start, end = end, min(after, end + _HASHED_BLOCK_FRAMES)
    return tuple(holes)


def fingerprint(path: Place) -> str:
    """Identify the version of a file without reading the file.

    Parameters
    ----------
    path : path or URL

    Returns
    -------
    str, see :func:`pseudorca.recordings.places.fingerprint`

    Raises
    ------
    AudioError
        With reason ``cannot be opened``, if the file does not exist or cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.wav"
    ...     _ = path.write_bytes(b"RIFF")
    ...     fingerprint(path).startswith("4:")
    True
    """
    try:
        return places.fingerprint(path)
    except OSError as error:
        raise AudioError("cannot be opened", places.why(error)) from error


def check_finite(samples: Samples, *, offset_s: float, sample_rate: int) -> None:
    """Check that no sample is NaN or infinite.

    Parameters
    ----------
    samples : ndarray [shape=(n_channels, n)]
    offset_s : float, seconds before the first sample, for the message
    sample_rate : int, Hz

    Raises
    ------
    AudioError
        With reason ``not finite``.

    Examples
    --------
    >>> check_finite(np.array([[0, np.nan]], dtype=np.float32), offset_s=0.0, sample_rate=10)
    Traceback (most recent call last):
    pseudorca.errors.AudioError: not finite: 1 bad samples, the first at 0.100 s
    """
    # One pass without a temporary array: a sum is finite exactly if no term is NaN or infinite.
    # float32 samples cannot overflow a float64 sum.
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        if np.isfinite(samples.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(samples).all(axis=0)
    first_s = offset_s + int(np.argmax(bad)) / sample_rate
    raise AudioError("not finite", f"{int(bad.sum())} bad samples, the first at {first_s:.3f} s")


def mix(samples: Samples) -> Samples:
    """Average the channels; one that holds NaN or infinity is left out if others do not.

    Parameters
    ----------
    samples : ndarray [shape=(n_channels, n)]

    Returns
    -------
    ndarray [shape=(n,)], float32

    Examples
    --------
    >>> mix(np.array([[1, 2], [3, 4], [np.nan, 0]], dtype=np.float32)).tolist()
    [2.0, 3.0]
    """
    with np.errstate(invalid="ignore"):
        mono = samples.mean(axis=0)
        if len(samples) > 1 and not np.isfinite(mono.sum(dtype=np.float64)):
            is_finite = np.isfinite(samples).all(axis=1)
            if is_finite.any():
                mono = samples[is_finite].mean(axis=0)
    return np.asarray(mono)


class _File(sf.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file of soundfile, without the seek that soundfile does after every read."""

    def __init__(
        self, place: Place, source: Place | Opened | View, n_bytes: int, fingerprint: str
    ) -> None:
        self.place = place
        self.source = source
        self.n_bytes = n_bytes
        self.fingerprint = fingerprint
        self.sound: Sound | None = None
        """Where the sound lies, if its header was doubted."""
        super().__init__(source)
        self.container, self.codec = str(self.format), str(self.subtype)
        self.rest: Rest | None = None
        """The file is a piece of this, and has lost some of its middle."""

    def seekable(self) -> bool:
        return self.codec not in _FORWARD_ONLY and bool(super().seekable())

    def close(self) -> None:
        super().close()
        if isinstance(self.source, Opened | View):
            self.source.close()

    def release(self) -> None:
        """Close what libsndfile holds, not the source."""
        super().close()

    def check(self) -> None:
        """Raise AudioError if the network failed: for libsndfile, the file then seems to end."""
        source = self.source.file if isinstance(self.source, View) else self.source
        if isinstance(source, places.RemoteFile) and source.failure:
            raise AudioError("cannot be read", source.failure)

    @property
    def firsts(self) -> tuple[int, ...]:
        """The samples of the recording with which its pieces begin."""
        return self.rest.firsts if self.rest else (0,)

    @property
    def is_plain(self) -> bool:
        """Whether nothing can hide in the file: its bytes are the shortest header and the samples."""
        if self.container not in _SIZED:
            return True
        n_header = self.n_bytes - self.frames * self.channels * _SAMPLE_BYTES.get(self.codec, 0)
        return 44 <= n_header <= 46 and "(should be" not in self.extra_info


def _open(path: Place, piece: int = 0) -> _File:
    """Open a file, or a piece of one that has lost some of its middle."""
    source, n_bytes, version = _find(path)
    try:
        if n_bytes == 0:
            raise AudioError("empty file", "0 bytes")
        file = _sound_file(path, source, n_bytes, version)
        file.check()
    except AudioError:
        if isinstance(source, Opened):
            source.close()
        raise
    is_endless = file.container == "FLAC" and file.frames > _ENDLESS
    if not is_endless and file.codec not in LOSES_SILENTLY:
        return file
    try:
        if is_endless:
            return _of_known_length(file)
        rest = rest_of(str(path), version, file.codec, int(file.samplerate))
        if rest is None:
            return file
        file.close()
        file = _File(path, View(open_bytes(path), rest.pieces[piece]), n_bytes, version)
    except sf.LibsndfileError as error:
        raise _damaged(0) from error
    except OSError as error:
        raise AudioError("cannot be opened", places.why(error)) from error
    file.rest = rest
    return file


def _of_known_length(file: _File) -> _File:
    """Open a FLAC file that was streamed by a head that tells how long it is."""
    with opened(file.place) as raw:
        parts = flac_of_known_length(raw)
    if not parts:
        return file
    file.close()
    view = View(open_bytes(file.place), parts)
    return _File(file.place, view, file.n_bytes, file.fingerprint)


def _find(path: Place) -> tuple[Place | Opened, int, str]:
    """Find what soundfile can open, the size in bytes, and the version of the file."""
    try:
        if places.is_remote(path):
            remote = places.RemoteFile(str(path))
            return remote, remote.size, remote.fingerprint
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe could block for ever
            raise AudioError("cannot be opened", "a folder or device, not a file")
        is_long = len(os.fsencode(path)) > _LONGEST_NAME
        source = Path(path).open("rb") if is_long else path  # noqa: SIM115  (the file closes it)
    except OSError as error:
        raise AudioError("cannot be opened", places.why(error)) from error
    return source, status.st_size, places.version(status)


def _sound_file(place: Place, source: Place | Opened, n_bytes: int, version: str) -> _File:
    try:
        file = _File(place, source, n_bytes, version)
    except TypeError as error:  # soundfile needs the format of a .raw file
        raise AudioError("not audio", "samples without a header") from error
    except sf.LibsndfileError as error:
        mended_file = _mended(place, source, n_bytes, version, None)
        if mended_file is not None:
            return mended_file
        if not isinstance(source, Opened):
            try:
                with Path(source).open("rb") as raw:
                    raw.read(1)
            except OSError as cause:
                raise AudioError("cannot be opened", places.why(cause)) from cause
        if isinstance(source, places.RemoteFile) and source.failure:
            raise AudioError("cannot be read", source.failure) from error
        raise AudioError("not audio", str(error.error_string).strip()) from error
    if file.is_plain:
        return file
    return _mended(place, source, n_bytes, version, file) or file


def _mended(
    place: Place, source: Place | Opened, n_bytes: int, version: str, file: _File | None
) -> _File | None:
    """Open a file by a header that tells how much sound it holds; None where its own does.

    ``file``: as libsndfile opens it, if it does.
    """
    try:
        raw = source if isinstance(source, Opened) else open_bytes(source)
    except OSError:
        return None
    kept, position = None, raw.tell()
    try:
        sound = find_sound(raw)
        if sound is None or not sound.size or (file is not None and _agrees(file, sound)):
            return None
        kinds = ("", 0, 0) if file is None else (file.codec, file.samplerate, file.channels)
        kept = _File(place, mended(raw, sound, *kinds), n_bytes, version)
        kept.sound = sound
        kept.container = kept.container if file is None else file.container
    except (sf.LibsndfileError, struct.error, KeyError):  # a header that is worse than its size
        return None
    finally:
        if kept is None and raw is source:
            raw.seek(position)  # libsndfile reads on from here
        elif kept is None:
            raw.close()
    if file is not None:
        file.release()
    return kept


def _agrees(file: _File, sound: Sound) -> bool:
    """Whether libsndfile reads all of the sound; notes how much the header promises besides."""
    frame_bytes = _SAMPLE_BYTES.get(file.codec, 0) * file.channels
    agrees = (
        file.frames == sound.size // frame_bytes if frame_bytes else sound.claimed == sound.size
    )
    file.sound = sound if agrees else None
    return bool(agrees)


def _info(file: _File) -> AudioInfo:
    n_frames, n_missing_frames, n_hidden_frames = int(file.frames), 0, 0
    if file.sound is not None and file.sound.size:
        n_missing_frames = n_frames * file.sound.n_missing // file.sound.size
        n_hidden_frames = n_frames * file.sound.n_hidden // file.sound.size
    holes = file.rest.holes if file.rest else ()
    if file.rest and file.rest.n_frames is not None:
        n_frames = file.rest.n_frames
    if file.container == "MP3":  # the header of an MP3 may be an estimate
        n_promised, n_frames = n_frames, _count_frames(str(file.place), file.fingerprint)
        n_missing_frames = max(0, n_promised - n_frames)
    info = AudioInfo(
        format=f"{file.container}/{file.codec}",
        sample_rate=int(file.samplerate),
        n_channels=int(file.channels),
        n_frames=n_frames,
        n_missing_frames=n_missing_frames,
        n_hidden_frames=n_hidden_frames,
        holes=holes,
        is_cut=n_missing_frames > 0 or (file.rest is not None and file.rest.is_cut),
    )
    if not MIN_SAMPLE_RATE <= info.sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            "impossible header",
            f"sample rate {info.sample_rate} Hz, expected {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}",
        )
    if not 1 <= info.n_channels <= MAX_CHANNELS:
        raise AudioError(
            "impossible header",
            f"{plural(info.n_channels, 'channel')}, expected 1 to {MAX_CHANNELS}",
        )
    if info.n_frames > _ENDLESS:
        raise AudioError("impossible header", "the header does not say how long the recording is")
    return info


@lru_cache(maxsize=4096)
def _count_frames(path: str, fingerprint: str) -> int:
    """Count the samples per channel of this version of a file, as far as it can be decoded."""
    n_frames = 0
    with _open(path) as file:
        try:
            while n_read := len(file.read(_COUNTED_FRAMES, dtype="float32")):
                n_frames += n_read
        except sf.LibsndfileError:
            pass
        file.check()
    return n_frames


def _damaged(frame: int) -> AudioError:
    return AudioError("damaged", f"cannot be decoded from sample {frame} on")

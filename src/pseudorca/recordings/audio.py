"""Read audio files: what a file is, a piece of it, and whether it can be used at all.

Everything libsndfile opens comes in (WAV with its variants, FLAC, AIFF, OGG, MP3, ...); out come
float32 samples in [-1, 1] that were never wrapped, clipped or resampled. Files are read in pieces,
so a day of audio needs no more memory than a minute.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile as sf
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import AudioError

Samples = NDArray[np.float32]

SUFFIXES = frozenset(
    ".wav .wave .rf64 .bwf .w64 .flac .aif .aiff .aifc .ogg .oga .opus .mp3 .caf .au .snd".split()
)
"""File name endings that are read as audio, in any case."""

UNSUPPORTED_SUFFIXES = frozenset(".m4a .mp4 .aac .wma .wv .ape .amr .dff .dsf .sud .wac".split())
"""Endings of audio that libsndfile cannot decode: these files are problems, not strangers."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 50, 1_000_000  # Hz
MAX_CHANNELS = 64
MIN_FRAMES = 256
"""The study's spectrogram frame, in samples: no front end can use less."""

LONG_RECORDING_S = 600.0
"""Recordings longer than this are hashed by evenly spaced blocks unless a full hash is asked for."""

_BLOCK_FRAMES = 1 << 19
_N_HASHED_BLOCKS = 64
_HASHED_BLOCK_FRAMES = 1 << 15


@dataclass(frozen=True)
class AudioInfo:
    """What the header of one audio file says."""

    format: str
    """Container and sample type, such as ``WAV/PCM_24``."""
    sample_rate: int
    """Hz."""
    n_channels: int
    n_frames: int
    """Samples per channel."""
    n_missing_frames: int = 0
    """Samples per channel that the header promises beyond the end of the file."""

    @property
    def duration_s(self) -> float:
        return self.n_frames / self.sample_rate


@dataclass(frozen=True)
class Inspection:
    """One audio file, read and found usable."""

    info: AudioInfo
    content_hash: str
    hash_kind: str
    """``samples`` (every decoded sample) or ``blocks`` (size, header, evenly spaced blocks)."""
    peak: float
    """Largest absolute sample read, full scale = 1."""


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Read the header of an audio file.

    Parameters
    ----------
    path : path of an audio file

    Returns
    -------
    AudioInfo

    Raises
    ------
    AudioError
        If the file cannot be opened, is empty, is not audio, or its header makes no sense.
    """
    with _open(path) as file:
        return _info(file)


class Reader:
    """An open file, for reading several stretches of it.

    Parameters
    ----------
    path : path of an audio file

    Raises
    ------
    AudioError
        If the file cannot be opened or its header makes no sense.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = _open(path)
        try:
            self.info = _info(self._file)
        except AudioError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, start_frame: int, n_frames: int) -> Samples:
        """Read samples [shape=(n_channels, n_frames)], float32, full scale = 1.

        Raises
        ------
        AudioError
            If the file cannot be decoded there, or ends before the stretch does.
        """
        return _read(self._file, start_frame, n_frames)


def read_segment(
    path: str | os.PathLike[str], *, start_frame: int = 0, n_frames: int | None = None
) -> Samples:
    """Read one stretch of a file, all channels.

    Parameters
    ----------
    path : path of an audio file
    start_frame : int, samples from the beginning
    n_frames : int or None, samples per channel; None reads to the end

    Returns
    -------
    ndarray [shape=(n_channels, n_frames)], float32, full scale = 1

    Raises
    ------
    AudioError
        If the file cannot be read or ends before the stretch does.
    """
    with Reader(path) as reader:
        wanted = reader.info.n_frames - start_frame if n_frames is None else n_frames
        return reader.read(start_frame, wanted)


def read_blocks(path: str | os.PathLike[str], *, n_frames: int = _BLOCK_FRAMES) -> Iterator[Samples]:
    """Read a file from beginning to end in blocks.

    Parameters
    ----------
    path : path of an audio file
    n_frames : int, samples per channel in a block

    Yields
    ------
    ndarray [shape=(n_channels, <= n_frames)], float32, full scale = 1

    Raises
    ------
    AudioError
        If the file cannot be read, or breaks off before its header says.
    """
    with _open(path) as file:
        total = _info(file).n_frames
        for start in range(0, total, n_frames):
            yield _read(file, start, min(n_frames, total - start), seek=False)


def inspect(path: str | os.PathLike[str], *, full_hash: bool = False) -> Inspection:
    """Read a file once, check that it can be used, and hash its sound.

    The hash covers the decoded samples, the rate and the number of channels, so the same sound as
    WAV and as FLAC has one hash. Recordings over ten minutes are hashed by file size, header and 64
    evenly spaced blocks, unless ``full_hash``.

    Parameters
    ----------
    path : path of an audio file
    full_hash : bool, decode all of a long recording too

    Returns
    -------
    Inspection

    Raises
    ------
    AudioError
        With reason ``cannot be opened``, ``empty file``, ``not audio``, ``damaged``, ``no samples``,
        ``impossible header``, ``shorter than one spectrogram frame``, ``not finite`` or ``silent``.
    """
    with _open(path) as file:
        info = _info(file)
        if info.n_frames < MIN_FRAMES:
            reason = "no samples" if info.n_frames == 0 else "shorter than one spectrogram frame"
            raise AudioError(reason, f"{info.n_frames} samples, need at least {MIN_FRAMES}")
        by_blocks = info.duration_s > LONG_RECORDING_S and not full_hash
        digest = xxhash.xxh3_128(f"{info.sample_rate}:{info.n_channels}".encode())
        if by_blocks:
            digest.update(f":{info.n_frames}:{Path(path).stat().st_size}".encode())
            starts = np.linspace(0, info.n_frames - _HASHED_BLOCK_FRAMES, _N_HASHED_BLOCKS)
            spans = [(int(start), _HASHED_BLOCK_FRAMES) for start in starts]
        else:
            spans = [
                (start, min(_BLOCK_FRAMES, info.n_frames - start))
                for start in range(0, info.n_frames, _BLOCK_FRAMES)
            ]
        peak, lowest, highest = 0.0, np.full(info.n_channels, np.inf), np.full(
            info.n_channels, -np.inf
        )
        for start, n_frames in spans:
            samples = _read(file, start, n_frames, seek=by_blocks)
            check_finite(samples, offset_s=start / info.sample_rate, sample_rate=info.sample_rate)
            lowest = np.minimum(lowest, samples.min(axis=1))
            highest = np.maximum(highest, samples.max(axis=1))
            samples += 0.0  # -0.0 and 0.0 are one sound
            digest.update(np.ascontiguousarray(samples.T))
        peak = float(max(-lowest.min(), highest.max()))
    if (highest == lowest).all() and (not by_blocks or _is_silent(path)):
        raise AudioError("silent", f"every sample of every channel is {highest[0]:g}")
    return Inspection(info, digest.hexdigest(), "blocks" if by_blocks else "samples", peak)


def check_finite(samples: Samples, *, offset_s: float, sample_rate: int) -> None:
    """Raise AudioError ``not finite`` if any sample [shape=(n_channels, n)] is NaN or infinite."""
    # One pass without a temporary: a sum is finite exactly when no term is NaN or infinite, and
    # float32 samples cannot overflow a float64 sum.
    if np.isfinite(samples.sum(dtype=np.float64)):
        return
    bad = ~np.isfinite(samples).all(axis=0)
    first_s = offset_s + int(np.argmax(bad)) / sample_rate
    raise AudioError("not finite", f"{int(bad.sum())} bad samples, the first at {first_s:.3f} s")


def _open(path: str | os.PathLike[str]) -> sf.SoundFile:
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        raise AudioError("cannot be opened", error.strerror or str(error)) from error
    if size == 0:
        raise AudioError("empty file", "0 bytes")
    try:
        return sf.SoundFile(path)
    except sf.LibsndfileError as error:
        try:
            with Path(path).open("rb") as raw:
                raw.read(1)
        except OSError as cause:
            raise AudioError("cannot be opened", cause.strerror or str(cause)) from cause
        raise AudioError("not audio", str(error.error_string).strip()) from error


def _info(file: sf.SoundFile) -> AudioInfo:
    info = AudioInfo(
        format=f"{file.format}/{file.subtype}",
        sample_rate=int(file.samplerate),
        n_channels=int(file.channels),
        n_frames=int(file.frames),
        n_missing_frames=_missing_frames(file),
    )
    if not MIN_SAMPLE_RATE <= info.sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            "impossible header",
            f"sample rate {info.sample_rate} Hz, expected {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}",
        )
    if not 1 <= info.n_channels <= MAX_CHANNELS:
        raise AudioError(
            "impossible header", f"{info.n_channels} channels, expected 1 to {MAX_CHANNELS}"
        )
    if info.n_frames > 1 << 48:
        raise AudioError("impossible header", "the header does not say how long the recording is")
    return info


def _missing_frames(file: sf.SoundFile) -> int:
    # libsndfile shortens a truncated WAV silently; only its log tells ("data : 400 (should be 88)").
    for line in str(file.extra_info).splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "data" and "(should be" in rest:
            numbers = [int(word) for word in rest.replace("(", " ").replace(")", " ").split()
                       if word.isdigit()]
            if len(numbers) == 2 and numbers[0] > numbers[1]:
                bits = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
                frame_bytes = bits.get(str(file.subtype), 8) // 8 * int(file.channels)
                return (numbers[0] - numbers[1]) // frame_bytes
    return 0


def _read(file: sf.SoundFile, start_frame: int, n_frames: int, *, seek: bool = True) -> Samples:
    try:
        if seek:
            file.seek(start_frame)
        samples = file.read(n_frames, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, RuntimeError) as error:
        raise AudioError("damaged", f"cannot be decoded from sample {start_frame} on") from error
    if len(samples) < n_frames:
        raise AudioError(
            "damaged",
            f"breaks off at sample {start_frame + len(samples)}, "
            f"the header promises {start_frame + n_frames}",
        )
    return np.asarray(samples.T)


def _is_silent(path: str | os.PathLike[str]) -> bool:
    first: Samples | None = None
    for block in read_blocks(path):
        if first is None:
            first = block[:, :1].copy()
        if (block != first).any():
            return False
    return True

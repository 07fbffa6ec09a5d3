"""Read audio files: the header, a stretch of samples, and a check of the whole file.

In: every format that libsndfile opens (WAV with its variants, FLAC, AIFF, OGG, MP3, ...). Out: float32
samples in [-1, 1] that were never wrapped, clipped or resampled. Files are read in pieces, so a day
of audio needs no more memory than a minute. Files at a URL are downloaded in pieces, too.
"""

import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Self

import numpy as np
import soundfile as sf
import xxhash
from numpy.typing import NDArray

from pseudorca.errors import AudioError
from pseudorca.recordings import places
from pseudorca.recordings.places import Place
from pseudorca.values import plural

Samples = NDArray[np.float32]
_Opened = places.RemoteFile | BufferedReader
_Source = Place | _Opened

SUFFIXES = frozenset(
    ".wav .wave .rf64 .bwf .w64 .flac .aif .aiff .aifc .ogg .oga .opus .mp3 .caf .au .snd".split()
)
"""File name endings that are read as audio, in any case."""

UNSUPPORTED_SUFFIXES = frozenset(".m4a .mp4 .aac .wma .wv .ape .amr .dff .dsf .sud .wac".split())
"""Endings of audio that libsndfile cannot decode. These files become problems."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 50, 1_000_000  # Hz
MAX_CHANNELS = 64
MIN_FRAMES = 256
"""The spectrogram frame of the study, in samples. No front end can use a shorter recording."""

LONG_RECORDING_S = 600.0
"""Longer recordings are hashed by evenly spaced blocks, unless ``full_hash`` is set."""

_BLOCK_SAMPLES = 1 << 19  # of all channels together
_N_HASHED_BLOCKS = 64
_HASHED_BLOCK_FRAMES = 1 << 15

_LONGEST_NAME = 1_000
"""Most bytes of a path for libsndfile (limit 1,023). Files with longer paths are opened here."""

# Where libsndfile's log gives the size that a header promises, by container.
_SIZE_LINES = {
    "WAV": "data", "WAVEX": "data", "AIFF": "SSND", "W64": "riff", "RF64": "Riff size",
    "AU": "Data Size",
}  # fmt: skip
_SHORTENED = re.compile(r"\s*(?P<name>.+?)\s*: (?P<promised>\d+) \(should be (?P<found>\d+)\)")
_SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}

# A seek in these formats finds the wrong samples (issue 885 of libsndfile; mpg123 seeks "fuzzily" by
# the table of an MP3), so the files are only read forwards.
_FORWARD_ONLY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"})


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
        if self._file.subtype in _FORWARD_ONLY:
            return self._read_forwards(start_frame, n_frames)
        try:
            if self._file.tell() != start_frame:
                self._file.seek(start_frame)
        except (sf.LibsndfileError, RuntimeError) as error:
            self._file.check()
            raise _damaged(start_frame) from error
        return self._decode(start_frame, n_frames)

    def _read_forwards(self, start_frame: int, n_frames: int) -> Samples:
        if start_frame < self._held_from:
            self._file.close()
            self._file = _open(self._path)
            self._held_from, self._held = 0, self._held[:, :0]
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
            raise _damaged(start_frame) from error
        self._file.check()
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
    with Reader(path) as reader:
        info = reader.info
        if info.n_frames < MIN_FRAMES:
            reason = "no samples" if info.n_frames == 0 else "shorter than one spectrogram frame"
            raise AudioError(
                reason, f"{plural(info.n_frames, 'sample')}, need at least {MIN_FRAMES}"
            )
        by_blocks = info.duration_s > LONG_RECORDING_S and not full_hash
        digest = xxhash.xxh3_128(f"{info.sample_rate}:{info.n_channels}".encode())
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
        lowest = np.full(info.n_channels, np.inf)
        highest = np.full(info.n_channels, -np.inf)
        for start, n_frames in spans:
            samples = reader.read(start, n_frames)
            check_finite(samples, offset_s=start / info.sample_rate, sample_rate=info.sample_rate)
            lowest = np.minimum(lowest, samples.min(axis=1))
            highest = np.maximum(highest, samples.max(axis=1))
            samples += 0.0  # -0.0 and 0.0 are the same sound
            digest.update(np.ascontiguousarray(samples.T).data)
    if fingerprint(path) != reader.fingerprint:
        raise AudioError("changed while it was read", "scan again when it is finished")
    if (highest == lowest).all():
        if by_blocks:  # silent blocks say nothing about the samples between them
            return inspect(path, full_hash=True)
        raise AudioError("silent", f"every sample of every channel is {highest[0]:g}")
    peak = float(max(-lowest.min(), highest.max()))
    hash_kind = "blocks" if by_blocks else "samples"
    return Inspection(info, digest.hexdigest(), hash_kind, peak, reader.fingerprint)


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


class _File(sf.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file of soundfile, without the seek that soundfile does after every read."""

    def __init__(self, place: Place, source: _Source, n_bytes: int, fingerprint: str) -> None:
        self.place = place
        self.source = source
        self.n_bytes = n_bytes
        self.fingerprint = fingerprint
        super().__init__(source)

    def seekable(self) -> bool:
        return self.subtype not in _FORWARD_ONLY and bool(super().seekable())

    def close(self) -> None:
        super().close()
        if isinstance(self.source, _Opened):
            self.source.close()

    def check(self) -> None:
        """Raise AudioError if the network failed: for libsndfile, the file then seems to end."""
        if isinstance(self.source, places.RemoteFile) and self.source.failure:
            raise AudioError("cannot be read", self.source.failure)


def _open(path: Place) -> _File:
    source, n_bytes, version = _find(path)
    try:
        if n_bytes == 0:
            raise AudioError("empty file", "0 bytes")
        file = _sound_file(path, source, n_bytes, version)
        file.check()
    except AudioError:
        if isinstance(source, _Opened):
            source.close()
        raise
    return file


def _find(path: Place) -> tuple[_Source, int, str]:
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


def _sound_file(place: Place, source: _Source, n_bytes: int, version: str) -> _File:
    try:
        return _File(place, source, n_bytes, version)
    except TypeError as error:  # soundfile needs the format of a .raw file
        raise AudioError("not audio", "samples without a header") from error
    except sf.LibsndfileError as error:
        if not isinstance(source, _Opened):
            try:
                with Path(source).open("rb") as raw:
                    raw.read(1)
            except OSError as cause:
                raise AudioError("cannot be opened", places.why(cause)) from cause
        if isinstance(source, places.RemoteFile) and source.failure:
            raise AudioError("cannot be read", source.failure) from error
        raise AudioError("not audio", str(error.error_string).strip()) from error


def _info(file: _File) -> AudioInfo:
    n_frames, n_missing_frames = int(file.frames), _missing_frames(file)
    if file.format == "MP3":  # the header of an MP3 may be an estimate
        n_promised, n_frames = n_frames, _count_frames(str(file.place), file.fingerprint)
        n_missing_frames = max(0, n_promised - n_frames)
    info = AudioInfo(
        format=f"{file.format}/{file.subtype}",
        sample_rate=int(file.samplerate),
        n_channels=int(file.channels),
        n_frames=n_frames,
        n_missing_frames=n_missing_frames,
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
    if info.n_frames > 1 << 48:
        raise AudioError("impossible header", "the header does not say how long the recording is")
    return info


def _missing_frames(file: _File) -> int:
    # libsndfile shortens a truncated file silently; only the log says "data : 400 (should be 88)".
    for line in str(file.extra_info).splitlines():
        match = _SHORTENED.match(line)
        if match and match["name"] == _SIZE_LINES.get(str(file.format)):
            frame_bytes = _SAMPLE_BYTES.get(str(file.subtype), 1) * int(file.channels)
            return max(0, int(match["promised"]) - int(match["found"])) // frame_bytes
    return 0


@lru_cache(maxsize=4096)
def _count_frames(path: str, fingerprint: str) -> int:
    """Count the samples per channel of this version of a file."""
    n_frames = 0
    with _open(path) as file:
        while n_read := len(file.read(_BLOCK_SAMPLES // file.channels, dtype="float32")):
            n_frames += n_read
        file.check()
    return n_frames


def _damaged(frame: int) -> AudioError:
    return AudioError("damaged", f"cannot be decoded from sample {frame} on")

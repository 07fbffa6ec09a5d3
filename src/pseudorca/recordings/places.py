"""The places of recordings: folders of this computer, or any URL that fsspec can reach.

In: a path, or a URL (``s3://``, ``gs://``, ``https://``, ``sftp://``, ``memory://``, ...). Out: lists
of files, and open files. Only the needed parts of a remote file are downloaded. Local files never pass
through fsspec. fsspec finds the credentials: in the places of the tools of each protocol (``~/.aws``,
``AWS_*``, ``~/.ssh``), and in the ``FSSPEC_*`` variables.
"""

import io
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from pseudorca.errors import ManifestError, MissingExtraError

Place = str | os.PathLike[str]
"""A path, or a URL as str."""

MAX_VISITS = 16
"""Most visits of one folder through different links. Links inside links multiply the visits."""

MAX_LEFT_BEHIND = 200
"""Most folders of systems that are listed to count their files: snapshots hold a disk many times."""

_LEFT_FOLDERS = frozenset(
    "$recycle.bin recycler recycled $extend $sysreset $winreagent $windows.~bt $windows.~ws "
    "config.msi msocache lost.dir lost+found __macosx #recycle #snapshot @recycle @eadir @tmp "
    "@sharebin @sharesnap @appstore @database @recently-snapshot @__thumb ~snapshot recycle.bin "
    "resource.frk thevolumesettingsfolder thefindbycontentfolder".split()
) | {"system volume information", "network trash folder", "temporary items"}
_LEFT_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_LEFT_PATTERN = re.compile(r"found\.\d{3}|\.|@gmt-\d{4}\.")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # C:\ is not a URL
_WEB = ("http://", "https://")
_IN_EXTRA = frozenset({"s3fs", "aiohttp"})

_FIRST_BYTES, _MOST_BYTES = 1 << 18, 1 << 21
_N_SPANS = 3
_WAITS_S = (0.5, 2.0)
_SILENCE_S = 60.0
"""A connection to a web server that is silent for so long is given up."""
# The keys that identify the version of a remote file, by the names of the protocols.
_VERSION_KEYS = (
    "size", "ETag", "etag", "md5Hash", "generation", "Content-MD5", "Last-Modified", "LastModified",
    "mtime", "created",
)  # fmt: skip

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError)
"""Errors for which a second try is useless."""
_BUSY = (408, 429)
"""Statuses of a web server that wants a later request."""

_T = TypeVar("_T")


class Writable(Protocol):
    def __len__(self) -> int: ...
    def __setitem__(self, where: slice, what: bytes) -> None: ...


@dataclass(frozen=True)
class Folder:
    """One folder below the root of a walk.

    Examples
    --------
    >>> Folder("Insular/day1", ["a.wav", "notes.txt"], is_empty=False).files
    ['a.wav', 'notes.txt']
    """

    path: str
    """Relative to the root, with forward slashes; empty for the root."""
    files: list[str]
    """Names, sorted."""
    is_empty: bool
    is_left_behind: bool = False
    """Whether a system left it, or a folder above: see :func:`is_left_behind`."""


def is_remote(place: Place) -> bool:
    """Return whether a place is a URL.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    bool

    Examples
    --------
    >>> is_remote("s3://whales/a.wav"), is_remote("whales/a.wav")
    (True, False)
    """
    return isinstance(place, str) and _URL.match(place) is not None


def absolute(place: Place) -> str:
    """Make a place independent of the working folder.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    str, an absolute path, or a URL without a slash at the end

    Examples
    --------
    >>> absolute("S3://whales/")
    's3://whales'
    """
    if not is_remote(place):
        return Path(place).resolve().as_posix()
    scheme, rest = str(place).split("://", 1)
    return f"{scheme.lower()}://{rest.rstrip('/')}"


def join(root: Place, path: str) -> Path | str:
    """Return the place of a file below a root.

    The path below a web address is quoted, unless the path has a query.

    Parameters
    ----------
    root : path or URL
    path : str, relative to the root, with forward slashes

    Returns
    -------
    Path, or str for a URL

    Examples
    --------
    >>> join("https://example.org/sea", "a b.wav")
    'https://example.org/sea/a%20b.wav'
    """
    if not is_remote(root):
        return Path(root, path)
    if str(root).startswith(_WEB) and "?" not in path:
        path = quote(path, safe="/&=+:;,@~!$'()*")
    return f"{root}/{path}"


def split(file: Place) -> tuple[str, str]:
    """Split the place of a file into folder and name. :func:`join` is the inverse function.

    Parameters
    ----------
    file : path or URL

    Returns
    -------
    folder : str, absolute
    name : str

    Examples
    --------
    >>> split("https://example.org/sea/a%20b.wav")
    ('https://example.org/sea', 'a b.wav')
    """
    if not is_remote(file):
        return Path(file).parent.resolve().as_posix(), Path(file).name
    address, mark, query = absolute(file).partition("?")
    root, name = address.rsplit("/", 1)
    if root.startswith(_WEB) and not mark:
        name = unquote(name)
    return root, name + mark + query


def name_of(place: Place) -> str:
    """Return the last part of a place.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    str

    Examples
    --------
    >>> name_of("s3://whales/a%20b.wav")
    'a b.wav'
    """
    return unquote(str(place).rsplit("/", 1)[-1]) if is_remote(place) else Path(place).name


def is_folder(place: Place) -> bool:
    """Return whether a place is a folder. A place that cannot be reached gives False.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    bool

    Examples
    --------
    >>> is_folder("."), is_folder("no such folder")
    (True, False)
    """
    if not is_remote(place):
        return os.path.isdir(place)  # noqa: PTH112  (Path's raises where access is denied)
    system, path = _connect(str(place))
    try:
        return bool(_patiently(lambda: system.isdir(path)))
    except OSError:
        return False


def fingerprint(place: Place) -> str:
    """Identify the version of a file without reading the file.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    str
        Size and time of the last change, or the values that the server of a remote file gives instead
        (an entity tag, a time). Equal fingerprints mean an unchanged file, as far as the server knows.

    Raises
    ------
    OSError
        If the file does not exist or cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.wav"
    ...     _ = path.write_bytes(b"RIFF")
    ...     fingerprint(path) == f"4:{path.stat().st_mtime_ns}"
    True
    """
    if not is_remote(place):
        return version(Path(place).stat())
    return _remote_version(_file_info(*_connect(str(place))))


def version(status: os.stat_result) -> str:
    """Return the fingerprint of a local file from its status.

    Parameters
    ----------
    status : os.stat_result

    Returns
    -------
    str

    Examples
    --------
    >>> version(os.stat(".")) == fingerprint(".")
    True
    """
    return f"{status.st_size}:{status.st_mtime_ns}"


def _remote_version(info: dict[str, Any]) -> str:
    return ":".join(str(info[key]) for key in _VERSION_KEYS if info.get(key) is not None)


def _file_info(system: Any, path: str) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        system.invalidate_cache()
        return dict(system.info(path))

    return _patiently(ask)


def read_bytes(place: Place) -> bytes:
    """Read a small file.

    Parameters
    ----------
    place : path or URL

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_bytes(b"path")
    ...     read_bytes(path)
    b'path'
    """
    if not is_remote(place):
        return Path(place).read_bytes()
    system, path = _connect(str(place))
    return bytes(_patiently(lambda: system.cat_file(path)))


def is_left_behind(name: str) -> bool:
    """Return whether a system left a folder or a file: bins, snapshots, thumbnails, what a dot hides.

    Parameters
    ----------
    name : str, of a folder or of a file

    Returns
    -------
    bool

    Examples
    --------
    >>> is_left_behind("$RECYCLE.BIN"), is_left_behind("._x.wav"), is_left_behind("Insular")
    (True, True, False)
    """
    lower = name.lower()
    return lower in _LEFT_FOLDERS or lower in _LEFT_FILES or _LEFT_PATTERN.match(lower) is not None


def walk(root: Place, refuse: Callable[[str, str], None]) -> Iterator[Folder]:
    """List the root and all folders below. At most ``MAX_LEFT_BEHIND`` of systems are among them.

    Links are followed, except into a folder that holds the link. A folder is visited through at most
    ``MAX_VISITS`` links.

    Parameters
    ----------
    root : path or URL
    refuse : callable (path relative to the root, reason), called for each folder that cannot be listed

    Yields
    ------
    Folder

    Raises
    ------
    OSError
        If a URL cannot be listed at all.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     Path(root, "Insular").mkdir()
    ...     [folder.path for folder in walk(root, print)]
    ['', 'Insular']
    """
    return _walk_remote(str(root), refuse) if is_remote(root) else _walk_local(root, refuse)


def _walk_local(root: Place, refuse: Callable[[str, str], None]) -> Iterator[Folder]:
    # A list instead of recursion: os.walk calls itself, and folders can be 2,000 levels deep.
    waiting: list[tuple[str, frozenset[tuple[int, int]], bool]] = [("", frozenset(), False)]
    n_visits: Counter[tuple[int, int]] = Counter()
    n_left = 0
    while waiting:
        here, above, is_left = waiting.pop()
        n_left += is_left
        if is_left and n_left > MAX_LEFT_BEHIND:
            continue
        names: list[str] = []
        below: list[str] = []
        place = os.path.join(root, here)  # noqa: PTH118  (a Path costs 10 times as much)
        try:
            status = Path(place).stat()
            identity = (status.st_dev, status.st_ino)
            n_visits[identity] += not is_left
            if identity in above or n_visits[identity] > MAX_VISITS + 1:
                continue
            if n_visits[identity] > MAX_VISITS:
                refuse(here or ".", f"entered through {MAX_VISITS} other links already")
                continue
            with os.scandir(place) as entries:
                for entry in entries:
                    (below if _leads_into_a_folder(entry) else names).append(entry.name)
        except OSError as error:
            if not is_left:
                refuse(here or ".", error.strerror or str(error))
            continue
        yield Folder(here, sorted(names), not (names or below), is_left)
        above |= {identity}
        waiting += [
            (f"{here}/{name}" if here else name, above, is_left or is_left_behind(name))
            for name in sorted(below, reverse=True)
        ]


def _leads_into_a_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link, or a folder without permission
        return False


def _walk_remote(root: str, refuse: Callable[[str, str], None]) -> Iterator[Folder]:
    system, top = _connect(root)
    system.invalidate_cache()
    top = top.rstrip("/")
    is_web = root.startswith(_WEB)
    waiting, known = [(top, False)], {top}
    n_left = 0
    while waiting:
        here, is_left = waiting.pop()
        n_left += is_left
        if is_left and n_left > MAX_LEFT_BEHIND:
            continue
        relative = here.removeprefix(top).lstrip("/")
        if is_web:
            relative = unquote(relative)
        try:
            entries = _patiently(lambda: system.ls(here + "/" * is_web, detail=True))  # noqa: B023
        except OSError as error:
            if here == top:
                raise
            if not is_left:
                refuse(relative, why(error))
            continue
        names: list[str] = []
        below: list[str] = []
        for entry in entries:
            place = str(entry["name"]).rstrip("/")
            name = place.removeprefix(f"{here}/")
            # A web page has other links: to itself in another order, and to the folder above.
            if not place.startswith(f"{here}/") or "/" in name or (is_web and "?" in name):
                continue
            if entry["type"] == "directory":
                below.append(place)
            else:
                names.append(unquote(name) if is_web else name)
        yield Folder(relative, sorted(names), not (names or below), is_left)
        waiting += [
            (
                place,
                is_left or is_left_behind(name_of(place) if is_web else place.rsplit("/", 1)[-1]),
            )
            for place in sorted(set(below) - known, reverse=True)
        ]
        known.update(below)


class RemoteFile:
    """A remote file that is read in parts. A part at a new position is short; later parts are longer.

    Later errors cannot pass through libsndfile, which reads the file: the file then seems to end, and
    ``failure`` gives the reason. At most 6 MiB are kept in memory.

    Parameters
    ----------
    url : str

    Raises
    ------
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe_file("/whales/a.wav", b"RIFF....")
    >>> remote, buffer = RemoteFile("memory://whales/a.wav"), bytearray(4)
    >>> remote.seek(2), remote.readinto(buffer), bytes(buffer)
    (2, 4, b'FF..')
    >>> remote.close()
    """

    def __init__(self, url: str) -> None:
        system, path = _connect(url)
        self.name = url
        self.failure = ""
        self._position = 0
        self._spans: deque[tuple[int, bytes]] = deque(maxlen=_N_SPANS)

        info = _file_info(system, path)
        if info.get("size") is None or info.get("partial") is False:
            raise OSError("its server does not give parts of files")
        self.size = int(info["size"])
        self.fingerprint = _remote_version(info)
        self._file = _patiently(
            lambda: system.open(
                path, "rb", size=self.size, block_size=_FIRST_BYTES, cache_type="none"
            )
        )
        if isinstance(self._file, io.BytesIO):  # all readers of memory:// share one position
            self._file = io.BytesIO(self._file.getvalue())
        # The header is read now: soundfile opens one file at a time, so other files would wait.
        if self.size and not self._fetch()[1]:
            self.close()
            raise OSError(self.failure)

    def close(self) -> None:
        """Close the connection."""
        self._file.close()

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in bytes, without a download."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Writable) -> int:
        """Fill a buffer of bytes up to the end of the file -> the number of bytes."""
        n_read = 0
        while n_read < len(buffer) and self._position < self.size and not self.failure:
            start, span = self._held() or self._fetch()
            begin = self._position - start
            part = span[begin : begin + len(buffer) - n_read]
            buffer[n_read : n_read + len(part)] = part
            n_read += len(part)
            self._position += len(part)
        return n_read

    def _held(self) -> tuple[int, bytes] | None:
        for start, span in self._spans:
            if start <= self._position < start + len(span):
                return start, span
        return None

    def _fetch(self) -> tuple[int, bytes]:
        start = self._position
        ahead = [len(span) for before, span in self._spans if before + len(span) == start]
        n_bytes = min(2 * ahead[0], _MOST_BYTES) if ahead else _FIRST_BYTES

        def get() -> bytes:
            self._file.seek(start)
            content = bytes(self._file.read(min(n_bytes, self.size - start)))
            if not content:
                raise OSError(f"no more bytes after {start} of {self.size}")
            return content

        try:
            self._spans.append((start, _patiently(get)))
        except OSError as error:
            self.failure = why(error)
            return start, b""
        return self._spans[-1]


def _connect(url: str) -> tuple[Any, str]:
    """Find the file system of a URL, and the path in this file system."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url, **(_web_options() if url.startswith(_WEB) else {}))
    except ImportError as error:
        package = str(getattr(error.__cause__, "name", None) or "its package").split(".")[0]
        if package in _IN_EXTRA:
            raise MissingExtraError(package, "remote") from error
        raise ManifestError(
            f"{url}: {package} is not installed. Install it with: pip install {package}"
        ) from error
    except ValueError as error:
        raise ManifestError(
            f"{url}: {error}. Expected a path, or a URL such as s3://bucket/folder, gs://, "
            "https:// or sftp://."
        ) from error
    return system, str(path)


def _web_options() -> dict[str, Any]:
    """Timeouts for web servers, together with the user's fsspec configuration."""
    from fsspec.config import conf

    try:
        from aiohttp import ClientTimeout
    except ImportError as error:
        raise MissingExtraError("aiohttp", "remote") from error
    patience = ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
    set_up = [conf.get(protocol, {}).get("client_kwargs", {}) for protocol in ("http", "https")]
    return {"client_kwargs": {"timeout": patience} | set_up[0] | set_up[1]}


def _patiently(do: Callable[[], _T]) -> _T:
    """Call a function that may fail for a moment. After the last try the error is an OSError."""
    for wait_s in (*_WAITS_S, None):
        try:
            return do()
        except Exception as error:  # each protocol has its own errors
            cause = _cause(error)
            if isinstance(error, OSError) and isinstance(cause, _FINAL):
                raise
            status = int(getattr(cause, "status", None) or 0)
            is_refused = 400 <= status < 500 and status not in _BUSY
            if wait_s is None or is_refused or isinstance(cause, _FINAL):
                raise OSError(why(cause)) from error
            time.sleep(wait_s)
    raise AssertionError  # the last round returns or raises


def _cause(error: BaseException) -> BaseException:
    """The cause of an error. fsspec reports every error of a web server as a missing file."""
    cause = error.__cause__
    is_web = isinstance(cause, TimeoutError) or type(cause).__module__.startswith("aiohttp")
    if isinstance(error, FileNotFoundError) and cause is not None and is_web:
        return error if getattr(cause, "status", None) == 404 else cause
    return error


def why(error: BaseException) -> str:
    """Return the reason of an error in the words of the system or the server.

    Parameters
    ----------
    error : exception

    Returns
    -------
    str

    Examples
    --------
    >>> why(PermissionError(13, "Permission denied"))
    'Permission denied'
    """
    if isinstance(error, FileNotFoundError):
        return "No such file or directory"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

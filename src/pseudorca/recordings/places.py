"""Where recordings lie: in folders of this machine, or at any URL that fsspec can reach.

In: a path, or a URL (``s3://``, ``gs://``, ``https://``, ``sftp://``, ``memory://``, ...). Out: the
files below it, and files of which only the parts that are read travel. Local files never pass
through fsspec. Credentials are fsspec's business: it takes them from where each protocol's own
tools look for them (``~/.aws``, ``AWS_*``, ``~/.ssh``) and from its ``FSSPEC_*`` variables.
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
"""Times that one folder is entered through different links: links in links multiply."""

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # C:\ is none
_WEB = ("http://", "https://")
_IN_EXTRA = frozenset({"s3fs", "aiohttp"})

_FIRST_BYTES, _MOST_BYTES = 1 << 18, 1 << 21
_N_SPANS = 3
_WAITS_S = (0.5, 2.0)
_SILENCE_S = 60.0
"""A web server that says nothing for so long has hung up."""
# What tells one version of a remote file from the next, as the protocols call it.
_VERSION_KEYS = (
    "size", "ETag", "etag", "md5Hash", "generation", "Content-MD5", "Last-Modified", "LastModified",
    "mtime", "created",
)  # fmt: skip

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError)
"""Errors that waiting does not mend."""
_BUSY = (408, 429)
"""What a web server answers that would like to be asked again later."""

_T = TypeVar("_T")


class _Writable(Protocol):
    def __len__(self) -> int: ...
    def __setitem__(self, where: slice, what: bytes) -> None: ...


@dataclass(frozen=True)
class Folder:
    """One folder below the root of a walk."""

    path: str
    """Relative to the root, with forward slashes; empty for the root."""
    files: list[str]
    """Names, sorted."""
    is_empty: bool


def is_remote(place: Place) -> bool:
    """Whether this is a URL."""
    return isinstance(place, str) and _URL.match(place) is not None


def absolute(place: Place) -> str:
    """The place as it can be found from anywhere: a URL without closing slash, or an absolute path."""
    if not is_remote(place):
        return Path(place).resolve().as_posix()
    scheme, rest = str(place).split("://", 1)
    return f"{scheme.lower()}://{rest.rstrip('/')}"


def join(root: Place, path: str) -> Path | str:
    """The place of a file below a root; below a web address it is quoted, unless it has a query."""
    if not is_remote(root):
        return Path(root, path)
    if str(root).startswith(_WEB) and "?" not in path:
        path = quote(path, safe="/&=+:;,@~!$'()*")
    return f"{root}/{path}"


def split(file: Place) -> tuple[str, str]:
    """The folder of a file, absolute, and the file's name in it, such that :func:`join` undoes it."""
    if not is_remote(file):
        return Path(file).parent.resolve().as_posix(), Path(file).name
    address, mark, query = absolute(file).partition("?")
    root, name = address.rsplit("/", 1)
    if root.startswith(_WEB) and not mark:
        name = unquote(name)
    return root, name + mark + query


def name_of(place: Place) -> str:
    """The last part of a place."""
    return unquote(str(place).rsplit("/", 1)[-1]) if is_remote(place) else Path(place).name


def is_folder(place: Place) -> bool:
    """Whether there is a folder; False where that cannot be found out."""
    if not is_remote(place):
        return os.path.isdir(place)  # noqa: PTH112  (Path's raises where access is denied)
    system, path = _connect(str(place))
    try:
        return bool(_patiently(lambda: system.isdir(path)))
    except OSError:
        return False


def fingerprint(place: Place) -> str:
    """Tell one version of a file from the next without reading it.

    Returns
    -------
    str
        Size and time of the last change; of a remote file what its server says instead (an entity
        tag, a time). Equal fingerprints mean an unchanged file, as far as its server can tell.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be reached.
    """
    if not is_remote(place):
        return version(Path(place).stat())
    return _remote_version(_about(*_connect(str(place))))


def version(status: os.stat_result) -> str:
    """The fingerprint of a local file from its status."""
    return f"{status.st_size}:{status.st_mtime_ns}"


def _remote_version(about: dict[str, Any]) -> str:
    return ":".join(str(about[key]) for key in _VERSION_KEYS if about.get(key) is not None)


def _about(system: Any, path: str) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        system.invalidate_cache()
        return dict(system.info(path))

    return _patiently(ask)


def read_bytes(place: Place) -> bytes:
    """Read all of a small file; OSError if that cannot be done."""
    if not is_remote(place):
        return Path(place).read_bytes()
    system, path = _connect(str(place))
    return bytes(_patiently(lambda: system.cat_file(path)))


def walk(root: Place, refuse: Callable[[str, str], None]) -> Iterator[Folder]:
    """List the folders below a root, itself the first; folders called ``.something`` are passed over.

    Links are followed, except back into a folder that they stand in, and into one folder at most
    ``MAX_VISITS`` times.

    Parameters
    ----------
    root : path or URL
    refuse : callable (path relative to the root, reason), called for each folder that cannot be listed

    Raises
    ------
    OSError
        If a URL cannot be listed at all.
    """
    return _walk_remote(str(root), refuse) if is_remote(root) else _walk_local(root, refuse)


def _walk_local(root: Place, refuse: Callable[[str, str], None]) -> Iterator[Folder]:
    # By a list of what is left to do: os.walk calls itself, and folders can lie 2,000 deep.
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    n_visits: Counter[tuple[int, int]] = Counter()
    while waiting:
        here, above = waiting.pop()
        names: list[str] = []
        below: list[str] = []
        place = os.path.join(root, here)  # noqa: PTH118  (a Path costs 10 times as much)
        try:
            status = Path(place).stat()
            identity = (status.st_dev, status.st_ino)
            n_visits[identity] += 1
            if identity in above or n_visits[identity] > MAX_VISITS + 1:
                continue
            if n_visits[identity] > MAX_VISITS:
                refuse(here or ".", f"entered through {MAX_VISITS} other links already")
                continue
            with os.scandir(place) as entries:
                for entry in entries:
                    (below if _leads_into_a_folder(entry) else names).append(entry.name)
        except OSError as error:
            refuse(here or ".", error.strerror or str(error))
            continue
        yield Folder(here, sorted(names), not (names or below))
        above |= {identity}
        waiting += [
            (f"{here}/{name}" if here else name, above)
            for name in sorted(below, reverse=True)
            if not name.startswith(".")
        ]


def _leads_into_a_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or one that leads where we may not go
        return False


def _walk_remote(root: str, refuse: Callable[[str, str], None]) -> Iterator[Folder]:
    system, top = _connect(root)
    system.invalidate_cache()
    top = top.rstrip("/")
    is_web = root.startswith(_WEB)
    waiting, known = [top], {top}
    while waiting:
        here = waiting.pop()
        relative = here.removeprefix(top).lstrip("/")
        if is_web:
            relative = unquote(relative)
        try:
            entries = _patiently(lambda: system.ls(here + "/" * is_web, detail=True))  # noqa: B023
        except OSError as error:
            if here == top:
                raise
            refuse(relative, why(error))
            continue
        names: list[str] = []
        below: list[str] = []
        for entry in entries:
            place = str(entry["name"]).rstrip("/")
            name = place.removeprefix(f"{here}/")
            # A web page links to much: to itself in another order, to the folder above.
            if not place.startswith(f"{here}/") or "/" in name or (is_web and "?" in name):
                continue
            if entry["type"] == "directory":
                below.append(place)
            else:
                names.append(unquote(name) if is_web else name)
        yield Folder(relative, sorted(names), not (names or below))
        new = [place for place in below if not place.rsplit("/", 1)[-1].startswith(".")]
        waiting += sorted(set(new) - known, reverse=True)
        known.update(new)


class RemoteFile:
    """A remote file, read by parts: a short one at a new place, longer ones where reading goes on.

    Raises OSError if it cannot be opened. Later errors cannot pass through libsndfile, which reads
    it: the file then seems to end, and ``failure`` says why. At most 6 MiB are held.

    Parameters
    ----------
    url : str
    """

    def __init__(self, url: str) -> None:
        system, path = _connect(url)
        self.name = url
        self.failure = ""
        self._position = 0
        self._spans: deque[tuple[int, bytes]] = deque(maxlen=_N_SPANS)

        about = _about(system, path)
        if about.get("size") is None or about.get("partial") is False:
            raise OSError("its server does not give parts of files")
        self.size = int(about["size"])
        self.fingerprint = _remote_version(about)
        self._file = _patiently(
            lambda: system.open(
                path, "rb", size=self.size, block_size=_FIRST_BYTES, cache_type="none"
            )
        )
        if isinstance(self._file, io.BytesIO):  # memory:// gives all readers one file, one position
            self._file = io.BytesIO(self._file.getvalue())
        # Now, since soundfile opens files one at a time: all others would wait for this one's header.
        if self.size and not self._fetch()[1]:
            self.close()
            raise OSError(self.failure)

    def close(self) -> None:
        """Let go of the connection."""
        self._file.close()

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in bytes; nothing travels yet."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: _Writable) -> int:
        """Fill a buffer of bytes as far as the file goes; returns how many bytes that are."""
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
            found = bytes(self._file.read(min(n_bytes, self.size - start)))
            if not found:
                raise OSError(f"no more bytes after {start} of {self.size}")
            return found

        try:
            self._spans.append((start, _patiently(get)))
        except OSError as error:
            self.failure = why(error)
            return start, b""
        return self._spans[-1]


def _connect(url: str) -> tuple[Any, str]:
    """The file system that a URL names, and the path in it."""
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
    """Patience with web servers, beside what the user's fsspec configuration says of them."""
    from fsspec.config import conf

    try:
        from aiohttp import ClientTimeout
    except ImportError as error:
        raise MissingExtraError("aiohttp", "remote") from error
    patience = ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
    set_up = [conf.get(protocol, {}).get("client_kwargs", {}) for protocol in ("http", "https")]
    return {"client_kwargs": {"timeout": patience} | set_up[0] | set_up[1]}


def _patiently(do: Callable[[], _T]) -> _T:
    """Do what a network may refuse for a moment; OSError if it goes on refusing."""
    for wait_s in (*_WAITS_S, None):
        try:
            return do()
        except Exception as error:  # each protocol has errors of its own
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
    """The error itself, save that fsspec calls any fault of a web server a missing file."""
    cause = error.__cause__
    is_web = isinstance(cause, TimeoutError) or type(cause).__module__.startswith("aiohttp")
    if isinstance(error, FileNotFoundError) and cause is not None and is_web:
        return error if getattr(cause, "status", None) == 404 else cause
    return error


def why(error: BaseException) -> str:
    """What went wrong, in the words of whoever refused."""
    if isinstance(error, FileNotFoundError):
        return "No such file or directory"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

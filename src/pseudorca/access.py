"""Access to a project folder: one writer at a time, and no folder left behind by a failure.

In: the folder of a project. Out: the store of the project, locked for as long as the work takes. A
lock belongs to a thread. The same thread can take the lock again. Other threads and processes wait.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pseudorca.errors import StoreError
from pseudorca.store import LOCK_FILE, SETTINGS_FILE, Store


def is_read_only(folder: Path) -> bool:
    """Return whether the files of a project can be read but not written.

    Parameters
    ----------
    folder : path of the project folder

    Returns
    -------
    bool

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     is_read_only(Path(folder))
    False
    """
    return not os.access(folder, os.W_OK)


@contextmanager
def locked(store: Store) -> Iterator[Store]:
    """Lock a project against other processes and threads; wait while another one holds the lock.

    One line on stderr says that the program waits.

    Parameters
    ----------
    store : Store

    Yields
    ------
    Store, the same

    Raises
    ------
    StoreError
        If the folder cannot be written to, or was removed while this process waited for it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with locked(Store(f"{folder}/whales", create=True)) as store:
    ...         store.keep_setting("other", ["Noise"])
    ...     store.setting("other")
    ['Noise']
    """

    from filelock import FileLock, Timeout

    lock = FileLock(store.folder / LOCK_FILE, is_singleton=True)
    removed = f"{store.folder} was removed by the program that worked on it. Run the command again."
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            sys.stderr.write(
                f"Another pseudorca works on {store.folder}: waiting until it is done "
                "(Ctrl-C to stop).\n"
            )
            lock.acquire()
    except FileNotFoundError as error:
        raise StoreError(removed) from error
    except OSError as error:
        raise StoreError(
            f"{store.folder} cannot be locked: {error.strerror or error}. Copy the project to where "
            "you may write."
        ) from error
    try:
        if not (store.folder / SETTINGS_FILE).exists():
            raise StoreError(removed)
        yield store
    finally:
        lock.release()


@contextmanager
def created(folder: str | os.PathLike[str]) -> Iterator[Store]:
    """Open a project, create the project if the folder is new, and lock the project.

    A new project is removed if the work fails. A new project with embeddings stays: the next run
    continues from these embeddings. What another process did while this one waited stays, too.

    Parameters
    ----------
    folder : path of the project folder

    Yields
    ------
    Store

    Raises
    ------
    StoreError
        If the folder holds other files, or cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with created(f"{folder}/whales") as store:
    ...         store.version("recordings")
    0
    """
    folder = Path(folder)
    was_empty = not folder.is_dir() or not any(folder.iterdir())
    parents = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with locked(Store(folder, create=True)) as store:
            is_new = was_empty and store.is_untouched()
            try:
                yield store
            except BaseException:
                if is_new and not any(folder.glob("*/embeddings_*")):
                    _empty(folder)
                raise
    except BaseException:
        for path in parents:
            with suppress(
                OSError
            ):  # not empty: something stays, or another program put a file there
                path.rmdir()
        raise


def _empty(folder: Path) -> None:
    """Remove everything in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # Windows keeps the lock that is held
                path.unlink(missing_ok=True)

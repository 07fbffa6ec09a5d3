"""Who may work on a project folder: one writer at a time, and no folder left behind by a failure.

In: the folder of a project. Out: its store, locked for as long as the work takes. A lock is held per
thread: it is given again to the thread that has it, and other threads and processes wait.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pseudorca.store import Store


def is_read_only(folder: Path) -> bool:
    """Whether a project can be read and not written to.

    Parameters
    ----------
    folder : path of the project folder

    Returns
    -------
    bool
    """
    return not os.access(folder, os.W_OK)


@contextmanager
def locked(store: Store) -> Iterator[Store]:
    """Keep other processes and threads out of a project; one that is there is waited for.

    Waiting is announced by one line on stderr.

    Parameters
    ----------
    store : Store

    Yields
    ------
    Store, the same

    Raises
    ------
    StoreError
        If the folder cannot be written to.
    """

    def announce() -> None:
        sys.stderr.write(
            f"Another pseudorca works on {store.folder}: waiting until it is done (Ctrl-C to stop).\n"
        )

    with store.lock(announce):
        yield store


@contextmanager
def created(folder: str | os.PathLike[str]) -> Iterator[Store]:
    """Open a project, made if it is not there, and lock it.

    A project that is new vanishes again if the work on it fails, unless embeddings were kept, from
    which the next run can go on.

    Parameters
    ----------
    folder : path of the project folder

    Yields
    ------
    Store

    Raises
    ------
    StoreError
        If the folder holds something else, or cannot be made.
    """
    folder = Path(folder)
    is_new = not folder.is_dir() or not any(folder.iterdir())
    parents = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with locked(Store(folder, create=True)) as store:
            yield store
    except BaseException:
        if is_new and not any(folder.glob("*/embeddings_*")):
            _empty(folder)
            for path in parents:
                with suppress(OSError):  # something else was put there
                    path.rmdir()
        raise


def _empty(folder: Path) -> None:
    """Remove everything in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

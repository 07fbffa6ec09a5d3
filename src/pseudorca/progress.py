"""How far a long step is: the callable that stages take, and the bar that a terminal or notebook shows.

A stage takes a :data:`Progress`, or None to tell nobody. The front door takes a
:data:`ProgressChoice`, and shows a bar by itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Progress = Callable[[int, int], None]
"""Takes how much is done and how much there is in all."""

ProgressChoice = Progress | Literal[False] | None
"""None: a bar in a terminal or a notebook; False: nothing; a callable: it gets the numbers."""


@contextmanager
def shown_progress(progress: ProgressChoice, text: str) -> Iterator[Progress]:
    """Follow a step as a caller chose.

    Parameters
    ----------
    progress : None, False or callable (done, total)
    text : str, what the bar says

    Yields
    ------
    callable (done, total)

    Examples
    --------
    >>> with shown_progress(lambda done, total: print(done, "of", total), "Counting") as update:
    ...     update(1, 2)
    1 of 2
    """
    if progress is None:
        with progress_bar(text) as update:
            yield update
    else:
        yield progress or _nobody


@contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Show a bar on stderr (in a notebook, below the cell) until the step is done.

    Where stderr is neither a terminal nor a notebook, nothing is shown.

    Parameters
    ----------
    text : str, what the bar says

    Yields
    ------
    callable (done, total) that moves the bar
    """
    import rich.progress
    from rich.console import Console

    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    is_hidden = not (console.is_terminal or console.is_jupyter)
    with rich.progress.Progress(
        *columns, console=console, transient=True, disable=is_hidden
    ) as bars:
        task = bars.add_task(text, total=None)

        def update(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield update


def _nobody(done: int, total: int) -> None:
    """Take the numbers and tell nobody."""

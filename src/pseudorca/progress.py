"""The progress of a long step: the callable that stages take, and the bar in a terminal or notebook.

A stage takes a :data:`Progress` or None; None reports no progress. The front door takes a
:data:`ProgressChoice`. The front door shows a bar by default.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

Progress = Callable[[int, int], None]
"""Called with the number of items that are done and the number of all items."""

ProgressChoice = Progress | Literal[False] | None
"""None: a bar in a terminal or a notebook; False: nothing; a callable is called with the numbers."""


@contextmanager
def shown_progress(progress: ProgressChoice, text: str) -> Iterator[Progress]:
    """Report the progress of a step in the way that the caller chose.

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
        yield progress or (lambda done, total: None)


@contextmanager
def shown_stages(
    progress: ProgressChoice, text: str, stage: Callable[[str], object]
) -> Iterator[tuple[Progress, Callable[[str], None]]]:
    """Report the progress of a job of several stages, in the way that the caller chose.

    Parameters
    ----------
    progress : None, False or callable (done, total)
    text : str, what the bar says before the first stage
    stage : callable, takes a sentence on what is done now

    Yields
    ------
    update : callable (done, total), of the stage that is going on
    begin : callable, begins a stage: it takes the sentence for ``stage`` and for the bar

    Examples
    --------
    >>> with shown_stages(lambda done, total: print(done, "of", total), "", print) as (update, begin):
    ...     begin("Counting")
    ...     update(1, 2)
    Counting
    1 of 2
    """
    with ExitStack() as stack:
        current = stack.enter_context(shown_progress(progress, text))

        def begin(text: str) -> None:
            nonlocal current
            stack.close()
            stage(text)
            current = stack.enter_context(shown_progress(progress, text))

        yield lambda done, total: current(done, total), begin


@contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Show a bar on stderr (in a notebook, below the cell) until the step is done.

    Nothing is shown if stderr is neither a terminal nor a notebook.

    Parameters
    ----------
    text : str, what the bar says

    Yields
    ------
    callable (done, total) that moves the bar

    Examples
    --------
    >>> with progress_bar("Counting") as update:
    ...     update(1, 2)
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
        yield lambda done, total: bars.update(task, completed=done, total=total)

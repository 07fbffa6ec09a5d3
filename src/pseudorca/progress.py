"""How far a long step is: the callable that stages take, and the bar that a terminal shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress
from rich.console import Console

Progress = Callable[[int, int], None]
"""Takes how much is done and how much there is in all."""


@contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Show a bar on stderr until the step is done; yields the callable that moves it."""
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(text, total=None)

        def update(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield update

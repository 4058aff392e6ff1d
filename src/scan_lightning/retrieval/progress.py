"""A progress bar for long rankings: how far, how fast, how long still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Units done a second, with a thousands prefix."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        if not task.completed or not task.elapsed:
            return Text("")
        speed = task.finished_speed or task.speed or task.completed / task.elapsed
        for prefix in ("", "k", "M"):
            if speed < 1000:
                return Text(f"{speed:.3g} {prefix} {self.unit}/s".replace("  ", " "))
            speed /= 1000
        return Text(f"{speed:.3g} G {self.unit}/s")


@contextmanager
def pair_progress(what: str, total: int, shown: bool, unit: str = "pairs") -> Iterator[Callable[[int], None]]:
    """Show a bar on the standard error while the block runs, and hand it the function that moves it.

    Args:
        what: the word before the bar.
        total: when the bar is full.
        shown: False: draw nothing.
        unit: what is counted, for the rate.
    """
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), _Rate(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)

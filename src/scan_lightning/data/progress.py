"""Progress of a long job: a bar with rate and time left, or plain lines when stderr is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scan_lightning.data.units import size_text
from scan_lightning.quiet import quiet

Advance = Callable[[int], None]
PLAIN_EVERY = 5.0  # seconds between two plain lines


@contextmanager
def progress(title: str, total: int, unit: str = "images", shown: bool = True) -> Iterator[Advance]:
    """Show how far a job is, on stderr.

    Args:
        title: What is being done, as the user would say it.
        total: Number of units in all.
        unit: What is counted; `"bytes"` is shown in the unit that fits.
        shown: False shows nothing, as does the command's `--quiet`.

    Yields:
        A function to call with the number of units just done.
    """
    if not shown or quiet():
        yield lambda count: None
    elif sys.stderr.isatty():
        with _bar(title, total, unit) as advance:
            yield advance
    else:
        yield _PlainLines(title, total, unit).advance


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f} {unit}/s", style="dim")

    amount = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(), Rate())
    columns = (TextColumn(title), BarColumn(), *amount, TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)


class _PlainLines:
    """One line every few seconds, for logs: done, rate, seconds left."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.start = self.last = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last < PLAIN_EVERY and self.done < self.total:
            return
        self.last = now
        rate = self.done / max(now - self.start, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        if self.unit == "bytes":
            amount = f"{size_text(self.done)} of {size_text(self.total)}, {size_text(rate)}/s"
        else:
            amount = f"{self.done:,} of {self.total:,} {self.unit}, {rate:,.0f} {self.unit}/s"
        print(f"{self.title}: {amount}, {left:,.0f} s left", file=sys.stderr, flush=True)

"""Progress of a long job: a bar with rate and time left, or plain lines when stderr is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scan_lightning.quiet import quiet
from scan_lightning.units import size_text

Advance = Callable[[int], None]
PLAIN_EVERY = 5.0  # seconds between two plain lines


@contextmanager
def progress(title: str, total: int, unit: str = "images", shown: bool = True) -> Iterator[Advance]:
    """Show how far a job is, on stderr.

    Args:
        title: what is being done.
        total: number of units in all.
        unit: what is counted; `"bytes"` is shown in the unit that fits.
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


def rate_text(rate: float, unit: str) -> str:
    """Units a second, or a minute where it is below one a second.

    >>> rate_text(1234, "images"), rate_text(0.05, "pictures"), rate_text(3e6, "bytes")
    ('1,234 images/s', '3.0 pictures/min', '3.00 MB/s')
    """
    if unit == "bytes":
        return f"{size_text(rate)}/s"
    if rate < 1:
        return f"{60 * rate:.1f} {unit}/min"
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s"


def _amount(done: float, total: float, unit: str) -> str:
    if unit == "bytes":
        return f"{size_text(done)} of {size_text(total)}"
    return f"{done:,.0f} of {total:,.0f} {unit}"


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Status(ProgressColumn):
        def render(self, task: Task) -> Text:
            rate = rate_text(task.finished_speed or task.speed or 0, unit)
            return Text(f"{_amount(task.completed, task.total or 0, unit)}, {rate}", style="dim")

    columns = (TextColumn(title), BarColumn(), Status(), TextColumn("left"), TimeRemainingColumn())
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
        amount = _amount(self.done, self.total, self.unit)
        rate_now = rate_text(rate, self.unit)
        print(f"{self.title}: {amount}, {rate_now}, {left:,.0f} s left", file=sys.stderr, flush=True)

"""The state of one file: a fault is what `data build` stops at, and the doctor lists beside all others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scan_lightning.errors import ScanError

Opened = TypeVar("Opened")


class FileError(ScanError):
    """A user's fault that lies in one file.

    Args:
        path: The file.
        state: In a word or two, as the doctor shows it: missing, truncated, wrong shape, ...
        detail: What was found, what was expected and what to do.
    """

    def __init__(self, path: Path, state: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path, self.state, self.detail = path, state, detail


@dataclass(frozen=True)
class Finding:
    """The state of one file, or one thing that is wrong with it."""

    path: Path
    state: str  # found, missing, truncated, wrong shape, ...
    detail: str
    fault: bool = True


def collect(faults: list[FileError], opening: Callable[[], Opened]) -> Opened | None:
    """What `opening` returns; None when it raises a fault, which is appended."""
    try:
        return opening()
    except FileError as fault:
        faults.append(fault)
        return None


def unreadable(path: Path, error: OSError) -> FileError:
    """The fault of a file that the system does not let us read."""
    advice = "Ask for permission, or copy it to a place of your own." if error.errno == errno.EACCES else ""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return FileError(path, "unreadable", f"cannot be read: {reason}. {advice}".rstrip())


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """Turn what the system refuses, such as a folder one may not look into, into the user's message.

    Raises:
        ScanError: an OSError came out of the block.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(Path(error.filename or root), error) from error

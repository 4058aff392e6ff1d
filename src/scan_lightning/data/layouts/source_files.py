"""The files of a foreign layout: found by name, read line by line, with an error that names the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scan_lightning.errors import ScanError

Opened = TypeVar("Opened")


class FileError(ScanError):
    """What is wrong with one file: its state in a word or two (missing, truncated, ...), and the details."""

    def __init__(self, path: Path, state: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path, self.state, self.detail = path, state, detail


def collect(errors: list[FileError], opening: Callable[[], Opened]) -> Opened | None:
    """What `opening` returns; None when it raises a FileError, which is appended."""
    try:
        return opening()
    except FileError as error:
        errors.append(error)
        return None


def unreadable(path: Path, error: OSError) -> FileError:
    """The error of a file that the system does not let us read."""
    advice = "Ask for permission, or copy it to a place of your own." if error.errno == errno.EACCES else ""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return FileError(path, "unreadable", f"cannot be read: {reason}. {advice}".rstrip())


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """Turn an OSError of the block, such as a folder without permission, into a `FileError`."""
    try:
        yield
    except OSError as error:
        raise unreadable(Path(error.filename or root), error) from error


def find_files(root: Path, patterns: Sequence[str]) -> list[Path]:
    """The files in a folder that fit one of the patterns of `Path.glob`, sorted; a file `root` itself.

    Raises:
        ScanError: no such folder, or no such file in it.
    """
    if root.is_file():
        return [root]
    names = " or ".join(pattern.removeprefix("**/") for pattern in patterns)
    if not root.is_dir():
        raise ScanError(f"{root}: there is no such folder. Give the one with {names} as --root.")
    with os.scandir(root):  # a folder that may not be listed would look like an empty one
        pass
    deep = any(pattern.startswith("**/") for pattern in patterns)
    folders = _folders(root, set()) if deep else [root]
    flat = [pattern.removeprefix("**/") for pattern in patterns]
    files = sorted({path for folder in folders for pattern in flat for path in folder.glob(pattern)})
    if not files:
        raise ScanError(f"{root}: holds no {names}. Give the folder with them as --root.")
    pipes = [path for path in files if path.exists() and not (path.is_file() or path.is_dir())]
    if pipes:
        raise ScanError(f"{pipes[0]}: is a pipe, socket or device; expected a file.")
    return files


def _folders(root: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """A folder and those below it, links followed, each once."""
    status = root.stat()
    if (status.st_dev, status.st_ino) not in seen:
        seen.add((status.st_dev, status.st_ino))
        yield root
        for path in sorted(root.iterdir()):
            if path.is_dir():
                yield from _folders(path, seen)


@dataclass(frozen=True)
class LineCount:
    """How many lines a text file has, and the numbers of the empty ones, from 1."""

    count: int
    empty: tuple[int, ...]


def iter_lines(path: Path) -> Iterator[str]:
    r"""Lines without surrounding whitespace. Only `\n` ends a line, no other Unicode break."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield _decode(path, number, raw)
    except FileNotFoundError as error:
        raise FileError(path, "missing", "there is no such file.") from error
    except OSError as error:
        raise unreadable(path, error) from error


def count_lines(path: Path) -> LineCount:
    """Count lines and find the empty ones."""
    count, empty = 0, []
    for count, line in enumerate(iter_lines(path), start=1):
        if not line:
            empty.append(count)
    return LineCount(count, tuple(empty))


def read_text(path: Path) -> str:
    """A text file in UTF-8, with a byte-order mark or without.

    Raises:
        FileError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, "damaged", f"is not UTF-8 (byte {error.start:,}). Convert it.") from error
    except OSError as error:
        raise unreadable(path, error) from error


def some(names: Sequence[str], shown: int = 5) -> str:
    """A few names for a message, and how many there are.

    >>> some(["a", "b", "c"], shown=2)
    'a, b, ... (3)'
    """
    text = ", ".join(names[:shown])
    return text if len(names) <= shown else f"{text}, ... ({len(names):,})"


def some_numbers(numbers: Sequence[int], shown: int = 5) -> str:
    """A few numbers for a message.

    >>> some_numbers((1, 2, 3), shown=2)
    '1, 2, ...'
    """
    return ", ".join(map(str, numbers[:shown])) + (", ..." if len(numbers) > shown else "")


def _decode(path: Path, number: int, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = (
            f"line {number} is not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start}). "
            f"Convert the file, for example: iconv -f latin1 -t utf-8 {path.name}"
        )
        raise FileError(path, "damaged", detail) from error
    if "\0" in text:
        detail = f"line {number} holds a zero byte. Is this a text file, and copied completely?"
        raise FileError(path, "damaged", detail)
    return text.removeprefix("\ufeff").strip() if number == 1 else text.strip()

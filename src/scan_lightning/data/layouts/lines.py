"""Text files with one item a line, read as bytes so that a line is a line and a wrong byte has a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scan_lightning.data.layouts.fault import FileError, unreadable


@dataclass(frozen=True)
class LineCount:
    """What one pass over a text file found; line numbers count from 1."""

    count: int
    empty: tuple[int, ...]


def iter_lines(path: Path) -> Iterator[str]:
    r"""Lines without surrounding whitespace. Only `\n` ends a line: captions may hold other Unicode breaks.

    Raises:
        FileError: the file is missing, unreadable, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield _decode(path, number, raw)
    except FileNotFoundError as error:
        raise FileError(path, "missing", "there is no such file.") from error
    except OSError as error:
        raise unreadable(path, error) from error


def count_lines(path: Path) -> LineCount:
    """Count lines and remember the empty ones.

    Raises:
        FileError: as `iter_lines`.
    """
    count, empty = 0, []
    for number, line in enumerate(iter_lines(path), start=1):
        count = number
        if not line:
            empty.append(number)
    return LineCount(count, tuple(empty))


def some_numbers(numbers: tuple[int, ...], shown: int = 5) -> str:
    """A few numbers for a message.

    >>> some_numbers((1, 2, 3), shown=2)
    '1, 2, ...'
    """
    return ", ".join(f"{number}" for number in numbers[:shown]) + (", ..." if len(numbers) > shown else "")


def _decode(path: Path, number: int, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(
            path,
            "damaged",
            f"line {number} is not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start}). "
            f"Convert the file, for example: iconv -f latin1 -t utf-8 {path.name}",
        ) from error
    if "\0" in text:
        raise FileError(
            path, "damaged", f"line {number} holds a zero byte. Is this a text file, and copied whole?"
        )
    return text.removeprefix("\ufeff").strip() if number == 1 else text.strip()

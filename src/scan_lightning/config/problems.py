"""What is wrong with a configuration, all of it in one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scan_lightning.config.nearest import nearest_key
from scan_lightning.errors import ScanError


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the configuration: where, what was found, what to do."""

    key: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.found}; {self.remedy}"


def report(problems: Sequence[Problem]) -> ScanError:
    """One error that lists all problems, each once."""
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    if len(lines) == 1:
        return ScanError(lines[0])
    return ScanError(
        f"the configuration has {len(lines)} errors\n" + "\n".join(f"  {line}" for line in lines)
    )


def unknown_key(key: str, known: Sequence[str], value: str | None = None) -> Problem:
    """The problem of a key that does not exist, with the nearest one that does."""
    found = "there is no such key" if value is None else f"there is no such key (given {value})"
    return Problem(key, found, nearest_key(key, known))

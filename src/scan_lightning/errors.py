"""What the package raises and warns when the user, not the program, has to act."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class ScanError(Exception):
    """A user's fault. The message names the file or key, what was found, what was expected and what to do.

    The console command prints it without a traceback and ends with status 2.
    """


class ScanWarning(UserWarning):
    """A setting without effect, or data that works but is probably not what was meant."""


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print a `ScanWarning` as one line, without the place in our code that raised it.

    Lightning replaces the format of all warnings when it is imported, so this is entered again after that.
    """
    original = warnings.formatwarning

    def formatwarning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, ScanWarning):
            return f"warning: {message}\n"
        return original(message, category, filename, lineno, line)

    warnings.formatwarning = formatwarning
    try:
        yield
    finally:
        warnings.formatwarning = original

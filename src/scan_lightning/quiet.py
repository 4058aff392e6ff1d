"""`--quiet`: no progress on the standard error; results, warnings and errors stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# In the environment, because the jobs of a sweep and the processes of a run start in processes of their own.
VARIABLE = "SCAN_LIGHTNING_QUIET"


def quiet() -> bool:
    """Whether progress is unwanted."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


@contextmanager
def quietened(asked: bool) -> Iterator[None]:
    """Want no progress inside the block, when `asked`."""
    before = os.environ.get(VARIABLE)
    if asked:
        os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before

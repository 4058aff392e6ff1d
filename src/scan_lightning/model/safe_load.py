"""Reads files that torch wrote without ever running code in them, and says plainly why one is refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def load_plain(path: Path, allowed: Sequence[type] = ()) -> Any:
    """Return what is in a file of tensors and plain values, on the CPU.

    Args:
        path: the file.
        allowed: classes besides those that may be in it; they must be harmless to build.

    Raises:
        Exception: whatever the damage hits; a forbidden class is a `pickle.UnpicklingError`.
    """
    with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(path, map_location="cpu", weights_only=True)


def forbidden(error: Exception) -> str | None:
    """Return what else the file holds, such as `posix.system`; None when that was not the fault."""
    found = re.search(r"unsupported (?:global|class)[: ]+(?:global )?([\w.]+)", str(error), re.IGNORECASE)
    return found and found[1]


def reason(error: Exception) -> str:
    """Return one line about a file that was not read; torch's own advises to switch the safety off."""
    name = forbidden(error)
    if name is not None:
        return f"it names {name}"
    line = next(iter(str(error).splitlines()), "")
    return line if line and not line.startswith("Weights only load failed") else "its pickle is not plain"

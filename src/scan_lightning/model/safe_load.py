"""Reads files that torch wrote without ever running code in them, and says plainly why one is refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import torch

from scan_lightning.errors import ScanError

WRITTEN_BY_TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9c")  # how such a file starts: now, and before 1.6


def load_plain(path: Path, *, expected: str, allowed: Sequence[type] = (), lazily: bool = False) -> Any:
    """Return what is in a file of tensors and plain values, on the CPU.

    Args:
        path: the file.
        expected: what it should be, for messages.
        allowed: classes besides those that may be in it; they must be harmless to build.
        lazily: read a tensor from the disk when it is used; for files that torch writes now.

    Raises:
        ScanError: there is no such file, or it is something else, damaged, or holds more than that.
    """
    if not path.exists():
        raise ScanError(f"{path}: there is no such file; expected {expected}")
    if path.is_dir():
        raise ScanError(f"{path}: is a folder; expected {expected}")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except PermissionError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError, KeyError: what the damage hits
        raise ScanError(f"{path}: {_wrong(path, error)}; expected {expected}") from error


def _wrong(path: Path, error: Exception) -> str:
    """Say what is wrong with a file; what torch says of it names its own insides, or is unsafe advice."""
    name = re.search(r"unsupported (?:global|class)[: ]+(?:global )?([\w.]+)", str(error), re.IGNORECASE)
    if name is not None:
        return (
            f"holds more than tensors and plain values ({name[1]}), which could run code, so it is not loaded"
        )
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        return "is empty"
    if start.startswith(WRITTEN_BY_TORCH):
        return "is damaged or cut short, so it has to be copied or made again"
    return "is an HDF5 file, as a store is" if h5py.is_hdf5(path) else "is no checkpoint"

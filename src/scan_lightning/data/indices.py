"""Refuse a store whose index arrays lead outside, before anything is read by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scan_lightning.errors import ScanError


def checked_offsets(path: Path, name: str, offsets: np.ndarray, total: int) -> np.ndarray:
    """Offsets (n + 1,) that ascend from 0 to `total`; a ScanError when they do not."""
    if len(offsets) and offsets[0] == 0 and offsets[-1] == total and (np.diff(offsets) >= 0).all():
        return offsets
    raise damaged(path, name, f"offsets do not ascend from 0 to {total:,}")


def checked_indices(path: Path, name: str, indices: np.ndarray, stop: int) -> np.ndarray:
    """Indices (n,) between 0 and `stop` - 1; a ScanError when one is not."""
    outside = np.flatnonzero((indices < 0) | (indices >= stop))
    if not len(outside):
        return indices
    row = int(outside[0])
    raise damaged(path, name, f"row {row:,} is {int(indices[row]):,}; expected 0 to {stop - 1:,}")


def damaged(path: Path, name: str, what: str) -> ScanError:
    """The error of a dataset that is not what was written."""
    return ScanError(
        f"{path}: /{name} is damaged ({what}). "
        "`scan-lightning data check` lists all problems; build or copy the store again."
    )

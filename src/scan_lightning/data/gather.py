"""Regions of some images out of one array of all regions: the copy loop that every read ends in."""

from __future__ import annotations

import numpy as np

from scan_lightning.data.buffers import Memory


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 offsets of items of so many rows that lie one after the other."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def equal_count(offsets: np.ndarray) -> int:
    """The number of regions when it is the same for all images, else 0.

    Args:
        offsets: (N + 1,) int64: image i owns rows offsets[i] : offsets[i + 1].
    """
    counts = np.diff(offsets)
    return int(counts[0]) if len(counts) and (counts == counts[0]).all() else 0


def gather(
    table: np.ndarray, offsets: np.ndarray, each: int, rows: np.ndarray, memory: Memory
) -> tuple[np.ndarray, np.ndarray]:
    """Copy images into one padded array.

    Args:
        table: (R, D) the regions of all images.
        offsets: (N + 1,) int64: image i owns rows offsets[i] : offsets[i + 1].
        each: what `equal_count` says of the offsets.
        rows: (n,) int64 images, each from 0 to N - 1.
        memory: where that of the result comes from.

    Returns:
        regions (n, k_max, D), zero past each count; counts (n,) int64.
    """
    width = table.shape[1]
    if each and len(rows):
        out = memory.empty((len(rows), each, width), table.dtype)
        # One copy loop in C; no row is outside, and a mode that checks them would copy twice.
        np.take(table.reshape(-1, each, width), rows, axis=0, out=out, mode="clip")
        return out, np.full(len(rows), each)
    starts = offsets[rows]
    counts = offsets[rows + 1] - starts
    longest = int(counts.max(initial=0))
    out = memory.empty((len(rows), longest, width), table.dtype)
    for index, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
        out[index, :count] = table[start : start + count]
        if count < longest:
            out[index, count:] = 0
    return out, counts

"""Many items of different length in one array: item i owns rows offsets[i] : offsets[i + 1]."""

from __future__ import annotations

import numpy as np


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """Offsets (n + 1,) int64 of items of `counts` rows each."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def equal_count(offsets: np.ndarray) -> int:
    """The number of rows of an item when all have the same, else 0."""
    counts = np.diff(offsets)
    return int(counts[0]) if len(counts) and (counts == counts[0]).all() else 0


def padded_index(offsets: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, k_max) int64 of items, -1 past each count, and the counts (n,) int64; k_max is at least 1.

    >>> padded_index(np.array([0, 2, 3]), np.array([1, 0]))[0].tolist()
    [[2, -1], [0, 1]]
    """
    starts = offsets[items]
    counts = offsets[items + 1] - starts
    steps = np.arange(counts.max(initial=1))
    return np.where(steps < counts[:, None], starts[:, None] + steps, -1), counts


def padded_rows(
    table: np.ndarray, offsets: np.ndarray, each: int, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Copy some items into one padded array.

    Args:
        table: (R, D) rows of all items.
        offsets: (N + 1,) int64.
        each: `equal_count(offsets)`.
        items: (n,) int64, each from 0 to N - 1.

    Returns:
        rows (n, k_max, D), zero past each count; counts (n,) int64. k_max is at least 1.
    """
    width = table.shape[1]
    if each and len(items):
        return np.take(table.reshape(-1, each, width), items, axis=0), np.full(len(items), each)
    starts = offsets[items]
    counts = offsets[items + 1] - starts
    longest = int(counts.max(initial=1))
    out = np.empty((len(items), longest, width), table.dtype)
    for index, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
        out[index, :count] = table[start : start + count]
        out[index, count:] = 0
    return out, counts

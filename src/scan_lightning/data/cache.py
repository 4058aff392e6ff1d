"""`data.cache`: hold the regions of a split in memory, once for all workers, or on the device of the model.

| data.cache | where regions are              | what a batch costs                            |
|------------|--------------------------------|-----------------------------------------------|
| none       | in the store, streamed         | a copy from the page cache, or from the disk  |
| memory     | in memory that workers share   | a copy; the disk is never touched again       |
| device     | in the memory of the device    | a gather there; nothing crosses the bus       |
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scan_lightning.choices import Cache
from scan_lightning.data.buffers import Memory
from scan_lightning.data.gather import equal_count, gather, offsets_of
from scan_lightning.data.progress import progress
from scan_lightning.data.store import Store
from scan_lightning.data.units import size_text
from scan_lightning.errors import ScanError

BLOCK = 256  # images read at a time while a split is loaded


class MemoryRegions:
    """The regions of a split in anonymous memory that forked workers share.

    Args:
        store: where they come from.
        split: its name, for messages.
        shown: whether to show progress.

    Raises:
        ScanError: they would not fit into the memory that is available.
    """

    def __init__(self, store: Store, split: str, *, shown: bool = True) -> None:
        rows, self.offsets = store.image_rows(split), _offsets(store, split)
        require_room(Cache.memory, store, [split])
        size = _bytes(store, self.offsets)
        flat = np.frombuffer(mmap.mmap(-1, size), dtype=store.feature_dtype)  # shared when forked
        self.table = flat.reshape(-1, store.feature_dim)
        self._each = equal_count(self.offsets)
        _load(store, rows, self.offsets, self.table, split, shown)

    def read(self, positions: np.ndarray, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """Regions (n, k_max, D) of images of the split by position, zero past each count, and the counts."""
        return gather(self.table, self.offsets, self._each, positions, memory)


class DeviceRegions:
    """The regions of a split in the memory of a device.

    Args:
        store: where they come from.
        split: its name, for messages.
        device: that of the model.
        shown: whether to show progress.

    Raises:
        ScanError: they would not fit.
    """

    def __init__(self, store: Store, split: str, device: torch.device, *, shown: bool = True) -> None:
        rows, self.offsets = store.image_rows(split), _offsets(store, split)
        require_room(Cache.device, store, [split], device=device)
        dtype = torch.from_numpy(np.empty(0, store.feature_dtype)).dtype
        shape = (int(self.offsets[-1]), store.feature_dim)
        self.table = torch.empty(shape, dtype=dtype, device=device)
        _load(store, rows, self.offsets, self.table, split, shown)

    def read(self, index: Tensor) -> Tensor:
        """Gather regions on the device.

        Args:
            index: (n, k) int64 rows of the table, -1 for padding.

        Returns:
            (n, k, D) in the store's type, zero where the index is -1.
        """
        index = index.to(self.table.device, non_blocking=True)
        regions = self.table[index.clamp(min=0)]
        return regions.masked_fill_((index < 0).unsqueeze(-1), 0)


def require_room(
    cache: Cache,
    store: Store,
    splits: Sequence[str],
    *,
    device: torch.device | None = None,
    processes: int = 1,
) -> None:
    """Refuse splits that would not fit where `data.cache` wants them, before any of them is read.

    Args:
        cache: which policy; `none` holds nothing and always fits.
        store: where they come from.
        splits: all that will be held at once.
        device: that of the model, for `device`.
        processes: how many on this machine are about to hold a copy each (the ranks of a run, not their
            workers), for `memory`.

    Raises:
        ScanError: they would not fit.
    """
    if cache is Cache.none:
        return
    sizes = {split: _bytes(store, _offsets(store, split)) for split in splits}
    needed, copies = sum(sizes.values()), processes if cache is Cache.memory else 1
    free = available_on(device) if cache is Cache.device and device is not None else available_memory()
    if needed * copies <= free:
        return
    each = " + ".join(f"{split} {size_text(size)}" for split, size in sizes.items())
    times = f" in each of {copies} processes" if copies > 1 else ""
    smaller = "data.cache=memory or none" if cache is Cache.device else "data.cache=none, which streams"
    convert = ", or convert the store to float16" if store.feature_dtype == np.float32 else ""
    raise ScanError(
        f"data.cache={cache}: the regions of {store.path} need {size_text(needed)} ({each}){times}, and "
        f"{size_text(free)} are free; give {smaller}{convert}"
    )


def region_index(offsets: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where images' regions are: what `DeviceRegions.read` takes.

    Args:
        offsets: (N + 1,) int64: image i owns rows offsets[i] : offsets[i + 1].
        positions: (n,) int64 images.

    Returns:
        (n, k_max) int64 rows, -1 past each count; counts (n,) int64.
    """
    starts = offsets[positions]
    counts = offsets[positions + 1] - starts
    steps = np.arange(counts.max(initial=1))
    return np.where(steps < counts[:, None], starts[:, None] + steps, -1), counts


def available_memory() -> int:
    """Bytes this process could still take: of the machine, or of its control group when that is less."""
    free = [
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:  # no control group, or an older kind
        return min(free)
    if limit != "max":
        free.append(int(limit) - int(used) + int(stat["file"]) - int(stat.get("shmem", 0)))
    return max(min(free), 0)


def available_on(device: torch.device) -> int:
    """Bytes free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def _offsets(store: Store, split: str) -> np.ndarray:
    """(n + 1,) int64 offsets of the split's own images."""
    rows = store.image_rows(split)
    counts = store.region_offsets[rows + 1] - store.region_offsets[rows]
    return offsets_of(counts)


def _bytes(store: Store, offsets: np.ndarray) -> int:
    return int(offsets[-1]) * store.feature_dim * store.feature_dtype.itemsize


def _load(store: Store, rows: np.ndarray, offsets: np.ndarray, table: Any, split: str, shown: bool) -> None:
    """Copy a split into a table, some images at a time."""
    with progress(f"loading {split} (data.cache)", len(rows), shown=shown) as advance:
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            padded, counts = store.read_regions(part)
            packed = padded[np.arange(padded.shape[1]) < counts[:, None]]
            place = slice(int(offsets[start]), int(offsets[start + len(part)]))
            table[place] = torch.from_numpy(packed) if isinstance(table, Tensor) else packed
            advance(len(part))

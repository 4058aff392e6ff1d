"""`data.cache=device`: the regions of a split in the memory of the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scan_lightning.data.ragged import offsets_of
from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError
from scan_lightning.progress import progress
from scan_lightning.units import size_text

BLOCK = 256  # images read at a time while a split is loaded


class DeviceRegions:
    """The regions of a split in the memory of a device; a ScanError when they do not fit."""

    def __init__(self, store: Store, split: str, device: torch.device, *, shown: bool = True) -> None:
        require_room(store, [split], device)
        rows, offsets = store.image_rows(split), _offsets(store, split)
        dtype = torch.from_numpy(np.empty(0, store.feature_dtype)).dtype
        self.table = torch.empty(int(offsets[-1]), store.feature_dim, dtype=dtype, device=device)
        with progress(f"loading {split} (data.cache)", len(rows), shown=shown) as advance:
            for start in range(0, len(rows), BLOCK):
                part = rows[start : start + BLOCK]
                padded, counts = store.read_regions(part)
                packed = padded[np.arange(padded.shape[1]) < counts[:, None]]
                self.table[offsets[start] : offsets[start + len(part)]] = torch.from_numpy(packed)
                advance(len(part))

    def read(self, index: Tensor) -> Tensor:
        """Regions (n, k, D) in the store's type, zero where the index is -1.

        Args:
            index: (n, k) int64 rows of the table, -1 for padding.
        """
        index = index.to(self.table.device, non_blocking=True)
        regions = self.table[index.clamp(min=0)]
        return regions.masked_fill_((index < 0).unsqueeze(-1), 0)


def require_room(store: Store, splits: Sequence[str], device: torch.device) -> None:
    """Check, before anything is read, that splits fit on a device together.

    Raises:
        ScanError: they do not.
    """
    row_bytes = store.feature_dim * store.feature_dtype.itemsize
    sizes = {split: int(_offsets(store, split)[-1]) * row_bytes for split in splits}
    needed, free = sum(sizes.values()), available_on(device)
    if needed <= free:
        return
    each = " + ".join(f"{split} {size_text(size)}" for split, size in sizes.items())
    convert = ", or convert the store to float16" if store.feature_dtype == np.float32 else ""
    raise ScanError(
        f"data.cache=device: the regions of {store.path} need {size_text(needed)} ({each}), and "
        f"{size_text(free)} are free; give data.cache=none, which streams them{convert}"
    )


def available_on(device: torch.device) -> int:
    """Bytes free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return free[0] if free else 1 << 62  # unified memory of a Mac: the system swaps


def _offsets(store: Store, split: str) -> np.ndarray:
    """Offsets (n + 1,) int64 of the split's own images."""
    return offsets_of(np.diff(store.region_offsets)[store.image_rows(split)])

"""A split's embeddings, filled block by block, by one process or several.

Blocks are cut by index and processes take them in turn, so no item is encoded twice and the embeddings are
the same bits for any number of processes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from scan_lightning.data.loading import BlockLoader
from scan_lightning.retrieval.embeddings import Embeddings


class SplitEmbeddings:
    """The images or the captions of a split.

    Args:
        loader: its blocks; every process has the same dataset and its own share of the blocks.
        dim: D.
        device: where they are computed.
        folder: where a file is made for embeddings that would not fit into memory.
    """

    def __init__(self, loader: BlockLoader[Any], dim: int, device: torch.device, folder: Path) -> None:
        self._loader, self._device = loader, device
        counts = torch.from_numpy(loader.dataset.counts)  # type: ignore[attr-defined]
        size = int(counts.sum()) * dim * 4
        place, file_folder = _place(size * loader.world, device, folder)
        self.embeddings = Embeddings.allocate(counts, dim, device=place, folder=file_folder)

    def put(self, block: int, padded: Tensor) -> None:
        """Fill in this process's block number `block`, (items, max_rows, D)."""
        items = self._loader.mine[block]
        self.embeddings.put(torch.arange(items.start, items.stop), padded)

    def exchange(self) -> Embeddings:
        """Return the whole split: every process sends its blocks to all others."""
        if self._loader.world > 1:
            offsets = self.embeddings.offsets
            for block, items in enumerate(self._loader.blocks):
                rows = self.embeddings.packed[int(offsets[items.start]) : int(offsets[items.stop])]
                sent = rows.to(self._device)  # on GPUs only what lies there can be sent
                dist.broadcast(sent, src=block % self._loader.world)
                rows.copy_(sent)
        return self.embeddings


def image_positions(loaders: Any) -> Tensor:
    """Return the position of each caption's image within the split, (captions,), of its two loaders."""
    images, captions = loaders[0].dataset, loaders[1].dataset
    return torch.from_numpy(np.searchsorted(images.rows, captions.image_rows))


def _place(size: int, device: torch.device, folder: Path) -> tuple[torch.device, Path | None]:
    """Return where embeddings go: the GPU when they leave it most of its memory, memory, or a file.

    Args:
        size: bytes of one side of the split, in all processes, which may share a machine; the other side is
            about as large.
        device: where they are computed.
        folder: of the file.
    """
    if device.type == "cuda" and size <= torch.cuda.get_device_properties(device).total_memory // 4:
        return device, None
    return torch.device("cpu"), folder if size > _physical_memory() // 4 else None


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

"""The embeddings of a split that a `BlockLoader` reads, on one process or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scan_lightning.data.loading import BlockLoader
from scan_lightning.retrieval.embedding_store import EmbeddingStore
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
        self._loader = loader
        self._store = EmbeddingStore(dim, folder, device=device)

    def put(self, block: int, padded: Tensor) -> None:
        """Fill in this process's block number `block`, (items, max_rows, D)."""
        items = self._loader.mine[block]
        counts = torch.from_numpy(self._loader.dataset.counts[items.start : items.stop])
        self._store.add(torch.arange(items.start, items.stop), padded, counts)

    def exchange(self) -> Embeddings:
        """Return the whole split: every process sends its blocks to all others."""
        self._store.exchange()
        return self._store.finish()[1]

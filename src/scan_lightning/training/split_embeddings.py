"""The embeddings of an evaluation, collected from batches in any order, on one process or several."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import Tensor

from scan_lightning.data.batches import CaptionBatch, ImageBatch
from scan_lightning.errors import ScanError
from scan_lightning.retrieval.embedding_store import EmbeddingStore
from scan_lightning.retrieval.embeddings import Embeddings
from scan_lightning.training.gather import gather_rows


class SplitEmbeddings:
    """Images and captions by the rows they stand for; a row that comes twice is kept once.

    Args:
        dim: D.
        folder: of a temporary file, for embeddings that would not fit into memory.
        device: where they are computed.
    """

    def __init__(self, dim: int, folder: Path, device: torch.device) -> None:
        self._images = EmbeddingStore(dim, folder, device=device)
        self._captions = EmbeddingStore(dim, folder, device=device)
        self._owners: list[Tensor] = []  # (n, 2) caption row and row of its image

    def add(self, batch: ImageBatch | CaptionBatch, embedded: Tensor, counts: Tensor) -> None:
        """Add a block.

        Args:
            batch: what was encoded.
            embedded: (n, m, D).
            counts: (n,) rows of each item.
        """
        if isinstance(batch, ImageBatch):
            self._images.add(batch.image_rows, embedded, counts)
            return
        self._captions.add(batch.caption_rows, embedded, counts)
        self._owners.append(torch.stack([batch.caption_rows, batch.image_rows], 1).cpu())

    def finish(self, trainer: pl.Trainer) -> tuple[Embeddings, Embeddings, Tensor]:
        """Return what all processes have collected.

        Returns:
            images and captions, each in the order of their rows, and (captions,) int64: the position of each
            caption's image, -1 where that was not encoded.

        Raises:
            ScanError: no image or no caption was encoded.
        """
        owners = torch.cat([torch.zeros(0, 2, dtype=torch.int64), *self._owners])
        if trainer.world_size > 1:
            for store in (self._images, self._captions):
                store.exchange()
            owners = _gather_pairs(owners, trainer.strategy.root_device)
        for name, store in (("images", self._images), ("captions", self._captions)):
            if not len(store):
                raise ScanError(
                    f"evaluation: no {name} were encoded; expected the two loaders of ScanDataModule, or "
                    "some that yield ImageBatch and CaptionBatch"
                )
        image_rows, images = self._images.finish()
        caption_rows, captions = self._captions.finish()
        owner_of = torch.empty_like(caption_rows)
        owner_of[torch.searchsorted(caption_rows, owners[:, 0].contiguous())] = owners[:, 1]
        position = torch.searchsorted(image_rows, owner_of).clamp(max=len(image_rows) - 1)
        position[image_rows[position] != owner_of] = -1
        return images, captions, position


def _gather_pairs(rows: Tensor, device: torch.device) -> Tensor:
    """Return the rows (n, 2) of all processes; their numbers may differ."""
    sizes = gather_rows(torch.tensor(len(rows), device=device)).tolist()
    padded = torch.zeros(max(sizes), 2, dtype=torch.int64, device=device)
    padded[: len(rows)] = rows.to(device)
    parts = zip(gather_rows(padded), sizes, strict=True)
    return torch.cat([part[:size] for part, size in parts]).cpu()

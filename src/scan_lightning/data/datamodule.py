"""The DataModule: a store, a vocabulary, and the loaders of each split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from scan_lightning.choices import Cache
from scan_lightning.data.batches import CaptionBatch, ImageBatch
from scan_lightning.data.cache import DeviceRegions, MemoryRegions, require_room
from scan_lightning.data.captions import caption_tokens
from scan_lightning.data.loading import BlockLoader, Captions, Images, Pairs, TrainLoader
from scan_lightning.data.order import BatchOrder
from scan_lightning.data.store import Store
from scan_lightning.data.text import Vocabulary
from scan_lightning.errors import ScanError

# Constants, because which items share a block decides the last bit of an embedding.
IMAGE_BLOCK = 128
CAPTION_BLOCK = 512


class PairData(pl.LightningDataModule):
    """Streams a store.

    Args:
        path: the store's file.
        batch_size: pairs of a global batch in training, split over ranks.
        workers: reading processes.
        seed: of the order of training pairs.
        word_threshold: a word of the store counted this often enters the vocabulary.
        vocabulary: a trained model's; None: made from the store, by the threshold.
        tokenizer: name of a trained model's tokeniser; the store's when None.
        validation: the split that `val_dataloader` gives.
        cache: where regions are held; a split is loaded when its loader is asked for.

    Raises:
        ScanError: the store is missing or unusable.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        batch_size: int = 128,
        workers: int = 0,
        seed: int = 0,
        word_threshold: int = 4,
        vocabulary: Vocabulary | None = None,
        tokenizer: str | None = None,
        validation: str = "val",
        cache: Cache = Cache.none,
    ) -> None:
        super().__init__()
        # More processes than blocks: some rank has none, and says so by an empty loader.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.store = Store(path)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.vocabulary = vocabulary or Vocabulary.from_counts(*self.store.lexicon, word_threshold)
        self.tokenizer = tokenizer or self.store.tokenizer
        self.validation, self.cache = validation, cache
        self._in_memory: dict[str, MemoryRegions] = {}
        self._on_device: dict[str, DeviceRegions] = {}

    @property
    def feature_dim(self) -> int:
        """Width of the region features."""
        return self.store.feature_dim

    @property
    def steps_per_epoch(self) -> int:
        """Global batches of an epoch.

        Raises:
            ScanError: the store has no train split.
        """
        return -(-len(self.store.caption_rows("train")) // self.batch_size)

    def sizes(self, split: str) -> tuple[int, int]:
        """Return how many images and captions a split has.

        Raises:
            ScanError: the store has no such split.
        """
        return len(self.store.image_rows(split)), len(self.store.caption_rows(split))

    def setup(self, stage: str) -> None:
        """Refuse a `data.cache` that cannot be, before anything is read.

        Args:
            stage: Lightning's: `fit` needs the train split beside that of validation.

        Raises:
            ScanError: there is no device but the CPU, or the splits would not fit.
        """
        trainer = self.trainer
        assert trainer is not None  # Lightning calls this
        device: torch.device = trainer.strategy.root_device
        if self.cache is Cache.device and device.type == "cpu":
            raise ScanError(
                "data.cache=device: holds the regions on a GPU, but this run computes on the CPU; give "
                "data.cache=memory or none, or run it where there is a GPU"
            )
        splits = dict.fromkeys([*(["train"] if stage == "fit" else []), self.validation])
        require_room(self.cache, self.store, list(splits), device=device, processes=trainer.num_devices)

    def train_dataloader(self) -> TrainLoader:
        """Return the shuffled pairs of the train split, this rank's share of them."""
        rank, world, pin = self._place()
        pairs = Pairs(*self._split("train"))
        order = BatchOrder(len(pairs), self.batch_size, self.seed, rank=rank, world=world)
        return TrainLoader(pairs, order, workers=self.workers, pin=pin)

    def val_dataloader(self) -> list[BlockLoader[ImageBatch] | BlockLoader[CaptionBatch]]:
        """Return two loaders of the validation split in its own order: each image once, each caption once.

        Raises:
            ScanError: the store has no such split.
        """
        rank, world, pin = self._place()
        images, captions = self._split(self.validation)
        workers = self.workers
        return [
            BlockLoader(images, IMAGE_BLOCK, workers=workers, pin=pin, rank=rank, world=world),
            BlockLoader(captions, CAPTION_BLOCK, pin=pin, rank=rank, world=world),
        ]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Copy a batch to where the model is, without waiting when it lies in page-locked memory."""
        batch = batch.to(device, non_blocking=True)
        if self.cache is not Cache.device or isinstance(batch, CaptionBatch):
            return batch
        table = self._on_device[
            "train" if self.trainer is not None and self.trainer.training else self.validation
        ]
        images = batch if isinstance(batch, ImageBatch) else batch.images
        images = replace(images, regions=table.read(images.regions))
        return images if isinstance(batch, ImageBatch) else replace(batch, images=images)

    def _split(self, split: str) -> tuple[Images, Captions]:
        image_rows, caption_rows = self.store.image_rows(split), self.store.caption_rows(split)
        if not len(caption_rows):
            raise ScanError(
                f"{self.store.path}: split {split} has {len(image_rows)} images without a single caption; "
                "expected at least one pair. Build the store again from the complete data."
            )
        tokens = caption_tokens(self.store, caption_rows, self.vocabulary, self.tokenizer)
        images = np.searchsorted(image_rows, self.store.caption_image[caption_rows]).astype(np.int64)
        held, placed = self._hold(split), self.cache is Cache.device
        return Images(self.store, image_rows, held=held, placed=placed), Captions(tokens, images)

    def _hold(self, split: str) -> MemoryRegions | None:
        """Load a split to where `data.cache` wants it, once.

        Raises:
            ScanError: it would not fit.
        """
        trainer = self.trainer
        shown = trainer is None or trainer.global_rank == 0
        if self.cache is Cache.memory and split not in self._in_memory:
            self._in_memory[split] = MemoryRegions(self.store, split, shown=shown)
        if self.cache is Cache.device and split not in self._on_device:
            device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
            self._on_device[split] = DeviceRegions(self.store, split, device, shown=shown)
        return self._in_memory.get(split)

    def _place(self) -> tuple[int, int, bool]:
        """Return this process's rank, how many there are, and whether batches go to a GPU."""
        if self.trainer is None:
            return 0, 1, False
        root: torch.device = self.trainer.strategy.root_device
        return self.trainer.global_rank, self.trainer.world_size, root.type == "cuda"

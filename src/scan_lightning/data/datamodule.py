"""The DataModule: a store, a vocabulary, and the loaders of each split."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning.pytorch as pl
import torch

from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch
from scan_lightning.data.cache import DeviceRegions, require_room
from scan_lightning.data.captions import Tokenizes, caption_tokens
from scan_lightning.data.items import Captions, Images, Pairs
from scan_lightning.data.loading import BlockLoader, TrainLoader
from scan_lightning.data.order import BatchOrder
from scan_lightning.data.store import Store
from scan_lightning.data.text import Vocabulary
from scan_lightning.errors import ScanError
from scan_lightning.options import Range, check_arguments

# Constants, because which items share a block decides the last bit of an embedding.
IMAGE_BLOCK = 128
CAPTION_BLOCK = 512

SplitLoaders = list[BlockLoader[ImageBatch] | BlockLoader[CaptionBatch]]


class ScanDataModule(pl.LightningDataModule):
    """Region features and captions of a store.

    Captions become ids by `tokenize(sentences)` of the module's `model.text_encoder` where it has that
    method, else of `vocabulary`.

    Args:
        path: the store, made by `scan-lightning data build`
        batch_size: pairs of a batch, of all processes together; the last, smaller batch of an epoch is kept
        workers: processes that read ahead, for each process of the run; 0: it reads by itself
        cache: where region features are held: streamed from the store (none) or on the GPU (device)
        word_threshold: a word enters the vocabulary when train (and val) captions hold it this often
        seed: of the order of training pairs
        test_split: the split that testing and prediction read
        vocabulary: words by id; null: made from the store by word_threshold

    Raises:
        ScanError: the store is missing or unusable.
        ValueError: an argument of another type or out of its range.

    Attributes:
        store: the opened store.
        vocabulary: of the captions.
        text_encoder: makes ids of captions in place of the module's, when set.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: Annotated[int, Range(at_least=1)] = 128,
        workers: Annotated[int, Range(at_least=0)] = 0,
        cache: Literal["none", "device"] = "none",
        word_threshold: Annotated[int, Range(at_least=1)] = 4,
        seed: Annotated[int, Range(at_least=0)] = 0,
        test_split: Literal["train", "val", "test"] = "test",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.workers, self.cache, self.seed = batch_size, workers, cache, seed
        self.word_threshold, self.test_split = word_threshold, test_split
        names = ("batch_size", "workers", "cache", "word_threshold", "seed", "test_split")
        check_arguments(ScanDataModule, {"path": path, **{name: getattr(self, name) for name in names}})
        # With more processes than blocks some rank has none, and an empty loader.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.store = Store(path)
        self.vocabulary = vocabulary or Vocabulary.from_counts(
            *self.store.lexicon, word_threshold, self.store.tokenizer
        )
        self.text_encoder: Any = None
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
        """How many images and captions a split has.

        Raises:
            ScanError: the store has no such split.
        """
        return len(self.store.image_rows(split)), len(self.store.caption_rows(split))

    def on_split(self, split: Literal["train", "val", "test"]) -> ScanDataModule:
        """The same store with another `test_split`."""
        other = copy.copy(self)
        other.test_split = split
        return other

    def setup(self, stage: str) -> None:
        """Refuse a `data.cache` that cannot be, before anything is read.

        Raises:
            ScanError: there is no device but the CPU, or the splits would not fit.
        """
        if self.cache == "none":
            return
        assert self.trainer is not None  # Lightning calls this
        device: torch.device = self.trainer.strategy.root_device
        if device.type == "cpu":
            raise ScanError(
                "data.cache=device: holds the regions on a GPU, but this run computes on the CPU; give "
                "data.cache=none, or run it where there is a GPU"
            )
        splits = {"fit": ["train", "val"], "validate": ["val"]}.get(stage, [self.test_split])
        require_room(self.store, splits, device)

    def train_dataloader(self) -> TrainLoader:
        """The shuffled pairs of the train split, this rank's share of each batch.

        Raises:
            ScanError: the store has no train split, or it has no caption.
        """
        rank, world, pin = self._place()
        pairs = Pairs(self._images("train"), self._captions("train"))
        order = BatchOrder(len(pairs), self.batch_size, self.seed, rank=rank, world=world)
        repeat = getattr(self.trainer, "overfit_batches", 0) > 0
        return TrainLoader(
            pairs, order, workers=self.workers, pin=pin, repeat=repeat, position=self._position
        )

    def val_dataloader(self) -> SplitLoaders:
        """Two loaders of the val split in the store's order: each image once, each caption once.

        Raises:
            ScanError: the store has no val split, or it has no caption.
        """
        return self._split_loaders("val")

    def test_dataloader(self) -> SplitLoaders:
        """Two loaders of `test_split`, as `val_dataloader`.

        Raises:
            ScanError: the store has no such split, or it has no caption.
        """
        return self._split_loaders(self.test_split)

    def predict_dataloader(self) -> SplitLoaders:
        """Two loaders of `test_split`, as `val_dataloader`; it may lack captions.

        Raises:
            ScanError: the store has no such split.
        """
        return self._split_loaders(self.test_split, require_captions=False)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Copy a batch to the device, without waiting when it lies in page-locked memory."""
        if isinstance(batch, PairBatch):
            images = self.transfer_batch_to_device(batch.images, device, dataloader_idx)
            return PairBatch(images, batch.captions.to(device, non_blocking=True))
        if isinstance(batch, ImageBatch) and self.cache == "device":
            batch = replace(batch, regions=self._regions(batch, device))
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _regions(self, batch: ImageBatch, device: torch.device) -> torch.Tensor:
        """The regions of a batch of places; their split is copied to the device on first use."""
        split = self.store.split_of(int(batch.image_rows[0])) if len(batch) else next(iter(self.store.splits))
        if split not in self._on_device:
            shown = self.trainer is None or self.trainer.global_rank == 0
            self._on_device[split] = DeviceRegions(self.store, split, device, shown=shown)
        return self._on_device[split].read(batch.regions)

    def _split_loaders(self, split: str, *, require_captions: bool = True) -> SplitLoaders:
        rank, world, pin = self._place()
        images, captions = self._images(split), self._captions(split, require=require_captions)
        workers = self.workers
        return [
            BlockLoader(images, IMAGE_BLOCK, workers=workers, pin=pin, rank=rank, world=world),
            BlockLoader(captions, CAPTION_BLOCK, pin=pin, rank=rank, world=world),
        ]

    def _images(self, split: str) -> Images:
        return Images(self.store, self.store.image_rows(split), placed=self.cache == "device")

    def _captions(self, split: str, *, require: bool = True) -> Captions:
        store, rows = self.store, self.store.caption_rows(split)
        if require and not len(rows):
            raise ScanError(
                f"{store.path}: split {split} has {store.splits[split]:,} images without a caption; training "
                "and evaluation need captions. Build the store with them, or give a split that has some."
            )
        return Captions(caption_tokens(store, rows, self._tokenizes()), rows, store.caption_image[rows])

    def _tokenizes(self) -> Tokenizes:
        """The text encoder: the one set here, else that of the trainer's module, else the vocabulary."""
        module = getattr(self.trainer, "lightning_module", None)
        encoder: Any = self.text_encoder or getattr(getattr(module, "model", None), "text_encoder", None)
        return encoder if hasattr(encoder, "tokenize") else self.vocabulary

    def _position(self) -> tuple[int, int] | None:
        """The epoch and the batches of it that the trainer has done, in `fit`."""
        if self.trainer is None or self.trainer.state.fn != "fit":
            return None
        loop = self.trainer.fit_loop
        return self.trainer.current_epoch, loop.epoch_loop.batch_progress.current.ready

    def _place(self) -> tuple[int, int, bool]:
        """This process's rank, how many there are, and whether batches go to a GPU."""
        if self.trainer is None:
            return 0, 1, False
        root: torch.device = self.trainer.strategy.root_device
        return self.trainer.global_rank, self.trainer.world_size, root.type == "cuda"

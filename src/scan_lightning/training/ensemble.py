"""An ensemble: several checkpoints and a store to the recalls of a split, by their averaged similarities.

Each member reads the captions with its own tokeniser and vocabulary; images are read once for all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import yaml
from torch import Tensor, nn

from scan_lightning.config import EnsembleConfig, plain
from scan_lightning.data.batches import CaptionBatch, ImageBatch
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.files import write_text
from scan_lightning.model.checkpoint import load
from scan_lightning.model.trained import TrainedModel
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.score import Member, rank_members
from scan_lightning.retrieval.tiles import Share
from scan_lightning.training.embedding import SplitEmbeddings, image_positions
from scan_lightning.training.encoding_progress import EncodingProgress
from scan_lightning.training.outcome import OutcomeWriter, check_split, depth, print_outcome
from scan_lightning.training.record import RunRecord
from scan_lightning.training.trainer import build_trainer, is_main_process, lightning_run


def evaluate_ensemble(config: EnsembleConfig, run_dir: Path) -> dict[str, Any]:
    """Evaluate several checkpoints together on a split of a store.

    Args:
        config: checked.
        run_dir: where results.json, results.csv, ranks.npz, config.yaml and run.json go.

    Returns:
        The content of results.json.

    Raises:
        ScanError: an unusable checkpoint or store, some that do not fit each other, or as many weights as
            checkpoints were not given.
        KeyboardInterrupt: stopped; nothing is written.
    """
    if not config.checkpoints:
        raise ScanError("checkpoints: the list is empty; give checkpoints=[A.ckpt,B.ckpt]")
    weights = config.weights or [1.0] * len(config.checkpoints)
    if len(weights) != len(config.checkpoints):
        raise ScanError(
            f"weights: {len(weights)} given for {len(config.checkpoints)} checkpoints; give one each, or none"
        )
    members = [load(path) for path in config.checkpoints]
    data = EnsembleData(config, members)
    check_split(data.store, str(config.split), config.folds)
    top_k = depth(data.store, str(config.split), config.folds)
    module = EnsembleModule(members, weights, config.folds, top_k)
    record = RunRecord("ensemble", config, run_dir)
    with lightning_run():
        writer = OutcomeWriter(run_dir, data.store, str(config.split))
        trainer = build_trainer(config.trainer, run_dir, callbacks=[writer, EncodingProgress()])
        trainer.validate(module, datamodule=data, verbose=False)
    results: dict[str, Any] = json.loads((run_dir / "results.json").read_text(encoding="utf-8"))
    if is_main_process():
        write_text(run_dir / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False))
        record.end("done", checkpoints=list(config.checkpoints), data=str(data.store.path))
        print_outcome(results, run_dir)
    return results


class EnsembleData(pl.LightningDataModule):
    """A split of a store for several models: its images once, its captions once for each of them.

    Args:
        config: the store and the split.
        members: the models.

    Raises:
        ScanError: the store is unusable, or its features do not fit a model.
    """

    def __init__(self, config: EnsembleConfig, members: Sequence[TrainedModel]) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # more processes than blocks
        self.parts = [
            ScanDataModule(
                config.data.path,
                workers=config.data.workers,
                vocabulary=member.vocabulary,
                test_split=config.split.value,
            )
            for member in members
        ]
        self.store = self.parts[0].store
        for path, member in zip(config.checkpoints, members, strict=True):
            if member.feature_dim != self.store.feature_dim:
                raise ScanError(
                    f"{self.store.path}: its features are {self.store.feature_dim} wide, but {path} takes "
                    f"{member.feature_dim}; give a store with the features that all members were trained on"
                )

    def val_dataloader(self) -> list[Any]:
        """Return the loader of the images, then one of the captions for each member."""
        loaders = []
        for part in self.parts:
            part.trainer = self.trainer
            loaders.append(part.test_dataloader())
        return [loaders[0][0], *(captions for _, captions in loaders)]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Copy a batch without waiting, where it lies in page-locked memory."""
        return batch.to(device, non_blocking=True)


class EnsembleModule(pl.LightningModule):
    """Embeds a split with every member and ranks it by their averaged similarities.

    Args:
        members: the models.
        weights: of each in the average.
        folds: how many folds to rank within.
        top_k: how many of the best items of each query to keep.

    Attributes:
        ranks: of the validation.
    """

    def __init__(
        self, members: Sequence[TrainedModel], weights: Sequence[float], folds: int, top_k: int
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(member.network for member in members)
        self.rules = [member.rule for member in members]
        self.dims = [member.config.model.embed_size for member in members]
        self.weights, self.folds, self.top_k = list(weights), folds, top_k
        self.ranks: Ranks | None = None
        self._images: list[SplitEmbeddings] = []
        self._captions: list[SplitEmbeddings] = []

    def on_validation_epoch_start(self) -> None:
        """Make room for the embeddings of all members."""
        images, *captions = self.trainer.val_dataloaders  # type: ignore[misc]
        folder = Path(self.trainer.default_root_dir)
        self._images = [SplitEmbeddings(images, dim, self.device, folder) for dim in self.dims]
        self._captions = [
            SplitEmbeddings(loader, dim, self.device, folder)
            for loader, dim in zip(captions, self.dims, strict=True)
        ]

    def validation_step(
        self, batch: ImageBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Encode a block of images with every member, or one of captions with the member it was read for."""
        if isinstance(batch, ImageBatch):
            for network, images in zip(self.networks, self._images, strict=True):
                images.put(batch_idx, network.encode_images(batch.regions, batch.counts))  # type: ignore[operator]
            return
        member = dataloader_idx - 1
        encode = self.networks[member].encode_captions
        self._captions[member].put(batch_idx, encode(batch.tokens, batch.counts))  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        """Rank the split."""
        members = [
            Member(images.exchange(), captions.exchange(), rule, weight)
            for images, captions, rule, weight in zip(
                self._images, self._captions, self.rules, self.weights, strict=True
            )
        ]
        self._images, self._captions = [], []
        gold = image_positions(self.trainer.val_dataloaders)
        self.ranks = rank_members(
            members,
            gold,
            folds=self.folds,
            progress=self.global_rank == 0,
            top_k=self.top_k,
            device=self.device,
            share=Share(self.global_rank, self.trainer.world_size, self._sum_over_ranks),
        )

    def _sum_over_ranks(self, tensor: Tensor) -> Tensor:
        summed: Tensor = self.trainer.strategy.reduce(tensor, reduce_op="sum")
        return summed

"""An ensemble: several checkpoints and a store to the recalls of a split, by their averaged similarities.

Each member reads the captions with its own text encoder; images are read once for all.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import yaml
from torch import nn

from scan_lightning.config.schema import EnsembleConfig, plain
from scan_lightning.data.batches import CaptionBatch, ImageBatch
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.files import write_text
from scan_lightning.model.checkpoint import load
from scan_lightning.model.trained import TrainedModel
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.score import Member, rank_members
from scan_lightning.retrieval.tiles import Share
from scan_lightning.training.evaluate import check_width
from scan_lightning.training.evaluation import evaluate_split
from scan_lightning.training.results import print_results
from scan_lightning.training.run_record import RunRecord
from scan_lightning.training.split_embeddings import SplitEmbeddings
from scan_lightning.training.trainer import is_main_process


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
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    members = [load(path, config.trust) for path in config.checkpoints]
    data = EnsembleData(config, members)
    record = RunRecord("ensemble", plain(config), run_dir)
    module = EnsembleModule(members, weights)
    results = evaluate_split(module, data=data, trainer=config.trainer, run_dir=run_dir, folds=config.folds)
    if is_main_process():
        write_text(
            run_dir / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
        )
        record.end("done", checkpoints=list(config.checkpoints), data=str(data.store.path))
        print_results(results, run_dir)
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
        self.parts = []
        for path, member in zip(config.checkpoints, members, strict=True):
            part = ScanDataModule(config.data.path, workers=config.data.workers, test_split=config.split)
            part.text_encoder = member.network.text_encoder
            check_width(part, member.feature_dim, path)
            self.parts.append(part)
        self.store, self.test_split = self.parts[0].store, config.split

    def test_dataloader(self) -> list[Any]:
        """Return the loader of the images, then one of the captions for each member."""
        loaders = []
        for part in self.parts:
            part.trainer = self.trainer
            loaders.append(part.test_dataloader())
        return [loaders[0][0], *(captions for _, captions in loaders)]


class EnsembleModule(pl.LightningModule):
    """Embeds a split with every member and ranks it by their averaged similarities.

    Args:
        members: the models.
        weights: of each in the average.

    Attributes:
        ranks: of the last evaluation, with its `top_k` best items of each query.
        folds: how many folds to rank within.
        top_k: how many of the best items of each query to keep.
        progress: whether ranking shows its progress.
    """

    def __init__(self, members: Sequence[TrainedModel], weights: Sequence[float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(member.network for member in members)
        self.similarities = nn.ModuleList(member.rule for member in members)
        self.weights = list(weights)
        self.folds, self.top_k, self.progress = 1, 0, False
        self.ranks: Ranks | None = None
        self._evaluated: list[SplitEmbeddings] = []

    def on_test_epoch_start(self) -> None:
        """Begin to collect the embeddings of all members."""
        folder = Path(self.trainer.default_root_dir)
        self._evaluated = [
            SplitEmbeddings(int(network.embed_size), folder, self.device)  # type: ignore[arg-type]
            for network in self.networks
        ]

    def test_step(self, batch: ImageBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Encode a block of images with every member, or one of captions with the member it was read for."""
        if isinstance(batch, ImageBatch):
            for network, evaluated in zip(self.networks, self._evaluated, strict=True):
                regions = network.encode_images(batch.regions, batch.counts)  # type: ignore[operator]
                evaluated.add(batch, regions, batch.counts)
            return
        member = dataloader_idx - 1
        words, counts = self.networks[member].encode_captions(batch.tokens, batch.counts)  # type: ignore[operator]
        self._evaluated[member].add(batch, words, counts)

    def on_test_epoch_end(self) -> None:
        """Rank the split."""
        found = [evaluated.finish(self.trainer) for evaluated in self._evaluated]
        self._evaluated = []
        members = [
            Member(images, captions, similarity, weight)  # type: ignore[arg-type]
            for (images, captions, _), similarity, weight in zip(
                found, self.similarities, self.weights, strict=True
            )
        ]
        all_reduce = functools.partial(self.trainer.strategy.reduce, reduce_op="sum")
        self.ranks = rank_members(
            members,
            found[0][2],
            folds=self.folds,
            progress=self.progress and self.global_rank == 0,
            top_k=self.top_k,
            device=self.device,
            share=Share(self.global_rank, self.trainer.world_size, all_reduce),
        )

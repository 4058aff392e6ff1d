"""The LightningModule: what is computed in a step, and what of it is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from scan_lightning.choices import Negatives, NegativesScope
from scan_lightning.config import TrainConfig
from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch
from scan_lightning.data.text import Vocabulary
from scan_lightning.model.checkpoint import KEY, payload
from scan_lightning.model.scan import ScanModel, build_rule
from scan_lightning.retrieval.queries import TOP_K
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.score import rank_split
from scan_lightning.similarity import triplet_loss
from scan_lightning.training.embedding import SplitEmbeddings, image_positions
from scan_lightning.training.encode import encode_pairs
from scan_lightning.training.global_loss import loss_share


class ScanModule(pl.LightningModule):
    """Trains and evaluates a `ScanModel`.

    Args:
        config: of the run.
        network: what is trained.
        vocabulary: its words; saved with every checkpoint, as is the next.
        tokenizer: name of the tokeniser that makes the words.

    Attributes:
        metrics: of the last validation.
        ranks: of the last validation; by `evaluate`, with the best items of each query.
        folds: how many folds the next validation ranks within.
        top_k: how many of the best items of each query are kept, when they are kept.
        keep_top: whether the next validation of a training run keeps the best items of each query too.
        step_values: learning rate and gradient norm of the last step.
    """

    def __init__(
        self, config: TrainConfig, network: ScanModel, vocabulary: Vocabulary, tokenizer: str
    ) -> None:
        super().__init__()
        self.config, self.vocabulary, self.tokenizer = config, vocabulary, tokenizer
        self.model = network
        self.rule = build_rule(config.attention)
        self.metrics: RetrievalMetrics | None = None
        self.ranks: Ranks | None = None
        self.folds = 1
        self.top_k = TOP_K
        self.keep_top = False
        self.step_values: dict[str, float | Tensor] = {}
        self._split: list[SplitEmbeddings] = []

    def training_step(self, batch: PairBatch, batch_idx: int) -> dict[str, Tensor]:
        """Return the triplet loss of a batch, the sum over the pairs of all processes, and how many they are.

        What is differentiated in a process is its share of that sum, times the number of processes: DDP
        averages the gradients of processes, and the gradient of the sum is the sum of theirs.
        """
        loss = self.config.loss
        own = encode_pairs(self.model, batch, self._part)
        world = self.trainer.world_size
        if world > 1 and loss.negatives_scope is NegativesScope.whole_batch:
            share = loss_share(own, self.rule, margin=loss.margin, negatives=self._negatives())
        elif len(own):
            share = triplet_loss(
                own.regions,
                own.words,
                self.rule,
                margin=loss.margin,
                negatives=str(self._negatives()),
                region_counts=own.region_counts,
                word_counts=own.word_counts,
            )
        else:
            share = own.regions.sum() + own.words.sum()  # zero
        total = torch.stack([share.detach(), share.new_full((), len(own))])
        if world > 1:
            dist.all_reduce(total)  # Lightning's own reduction waits for all processes first
        return {"loss": share * world, "train/loss": total[0], "train/pairs": total[1]}

    def on_validation_epoch_start(self) -> None:
        """Make room for the embeddings of the split about to be encoded."""
        loaders = self.trainer.val_dataloaders
        assert isinstance(loaders, list)
        dim, folder = self.config.model.embed_size, Path(self.trainer.default_root_dir)
        self._split = [SplitEmbeddings(loader, dim, self.device, folder) for loader in loaders]

    def validation_step(
        self, batch: ImageBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Encode a block of images or captions, in fp32 whatever training uses."""
        with torch.autocast(self.device.type, enabled=False):
            if isinstance(batch, ImageBatch):
                padded = self.model.encode_images(batch.regions, batch.counts)
            else:
                padded = self.model.encode_captions(batch.tokens, batch.counts)
        self._split[dataloader_idx].put(batch_idx, padded)

    def on_validation_epoch_end(self) -> None:
        """Rank the split and log its recalls."""
        images, captions = (part.exchange() for part in self._split)
        self._split = []
        gold = image_positions(self.trainer.val_dataloaders)
        evaluating = self.trainer.state.fn == "validate"
        self.ranks = rank_split(
            images,
            captions,
            gold,
            self.rule,
            folds=self.folds,
            progress=evaluating and self.global_rank == 0,
            top_k=self.top_k if evaluating or self.keep_top else 0,
            device=self.device,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
            all_reduce=self._sum_over_ranks,
        )
        self.metrics = RetrievalMetrics.from_ranks(self.ranks)
        self.log_dict(flat_metrics(self.metrics), logger=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, its rate multiplied by `decay_factor` once, at `decay_epoch`."""
        settings = self.config.optimizer
        optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.lr)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(
            optimizer, [settings.decay_epoch], gamma=settings.decay_factor
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient's norm, and keep the norm it had."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.clip_norm)
        self.step_values = {"train/lr": optimizer.param_groups[0]["lr"], "train/grad_norm": norm.detach()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `evaluate` and `load` need besides the weights."""
        checkpoint[KEY] = payload(self.config, self.vocabulary, self.tokenizer, self.model.feature_dim)

    def _negatives(self) -> Negatives:
        """Return which negatives count now: all of them in the warm-up."""
        if self.global_step < self.config.loss.warmup_steps:
            return Negatives.all
        return self.config.loss.negatives

    @property
    def _part(self) -> int | None:
        """How many pairs this process encodes at a time, when several batches are accumulated."""
        if self.config.trainer.accumulate_grad_batches == 1:
            return None
        return -(-self.config.data.batch_size // self.trainer.world_size)

    def _sum_over_ranks(self, tensor: Tensor) -> Tensor:
        summed: Tensor = self.trainer.strategy.reduce(tensor, reduce_op="sum")
        return summed


def flat_metrics(metrics: RetrievalMetrics) -> dict[str, float]:
    """Return the figures under the names of metrics.csv and of the loggers."""
    values = metrics.as_dict()
    flat = {f"val/{side}/{name}": values[side][name] for side in ("i2t", "t2i") for name in values[side]}
    return {**flat, "val/rsum": values["rsum"]}

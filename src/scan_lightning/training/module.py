"""The LightningModule: the steps of training and evaluation, and what they log.

It needs nothing of this project's commands: any Trainer runs it, on `ScanDataModule` or on any DataModule
that yields `PairBatch` for training and `ImageBatch` and `CaptionBatch` for evaluation.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch
from scan_lightning.errors import ScanWarning
from scan_lightning.model.checkpoint import VERSION, build_parts, check_state, read_checkpoint
from scan_lightning.model.compiled import keep_names_when_compiled
from scan_lightning.model.scan import ScanModel, encode_pairs
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.score import rank_split
from scan_lightning.similarity import Attention, Similarity
from scan_lightning.specification import specification
from scan_lightning.training.loss import TripletLoss, batch_loss
from scan_lightning.training.optimizers import build_optimizer, build_scheduler
from scan_lightning.training.split_embeddings import SplitEmbeddings


class ScanModule(pl.LightningModule):
    """Trains and evaluates a model with a similarity.

    Args:
        model: the encoders.
        similarity: of an image's regions and a caption's words.
        optimizer: a `functools.partial` of an optimizer; its `groups` maps prefixes of parameter names to
            arguments of their own. None: Adam, 2e-4.
        scheduler: a `functools.partial` of a learning-rate schedule, stepped once an epoch; its `interval`,
            `frequency` and `monitor` are Lightning's. None: a constant rate.
        loss: of a batch; None: `TripletLoss()`.

    Attributes:
        ranks: of the last evaluation, with its `top_k` best items of each query.
        metrics: of the last evaluation.
        folds: how many folds the next evaluation ranks within.
        top_k: how many of the best items of each query the next evaluation keeps.
        progress: whether ranking shows its progress.

    Raises:
        ScanError: an argument that a checkpoint could not describe, such as a lambda.
    """

    def __init__(
        self,
        model: ScanModel,
        similarity: Similarity | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        loss: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.similarity = similarity if similarity is not None else Attention()
        self.loss = loss if loss is not None else TripletLoss()
        self.optimizer = optimizer if optimizer is not None else functools.partial(torch.optim.Adam, lr=2e-4)
        self.scheduler = scheduler
        self.ranks: Ranks | None = None
        self.metrics: RetrievalMetrics | None = None
        self.folds, self.top_k, self.progress = 1, 0, False
        self._evaluated: SplitEmbeddings | None = None
        self.save_hyperparameters(self._specification())
        keep_names_when_compiled(self)

    def _specification(self) -> dict[str, Any]:
        parts = ("model", "similarity", "optimizer", "scheduler", "loss")
        found = {name: specification(getattr(self, name), name) for name in parts}
        return {"version": VERSION, **found}

    @property
    def hparams_initial(self) -> Any:
        """What loggers show: the hyperparameters without the vocabulary's words."""
        shown = super().hparams_initial
        model = {name: value for name, value in shown.get("model", {}).items() if name != "vocabulary"}
        shown["model"] = model
        return shown

    @property
    def lr(self) -> float:
        """The optimizer's learning rate, which `Tuner.lr_find` sets."""
        assert isinstance(self.optimizer, functools.partial)
        return float(self.optimizer.keywords["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        assert isinstance(self.optimizer, functools.partial)
        self.optimizer = functools.partial(self.optimizer, lr=float(value))
        self.hparams["optimizer"] = specification(self.optimizer, "optimizer")

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str | None = None,
        *,
        trust: Sequence[str] = (),
        **_: Any,
    ) -> Self:
        """Build the module that a checkpoint describes and load its weights.

        Args:
            checkpoint_path: the file.
            map_location: where the weights go; None: the CPU.
            trust: packages besides this one whose classes it may name.

        Raises:
            ScanError: no checkpoint, a damaged one, or one that names a class that is not trusted.
        """
        content = read_checkpoint(checkpoint_path)
        module = cls(**build_parts(checkpoint_path, content, trust))
        check_state(checkpoint_path, module, content["state_dict"])
        module.load_state_dict(content["state_dict"])
        return module.to(map_location or "cpu")

    # -- training

    def training_step(self, batch: PairBatch, batch_idx: int) -> dict[str, Tensor]:
        """Return the loss of this process's share of the batch, and log the sum over all processes."""
        own = encode_pairs(self.model, batch, int(getattr(self.loss, "micro_batches", 1)))
        loss, total, pairs = batch_loss(self.loss, own, self.similarity, self.global_step, self._world_size)
        self.log("train/loss", total, prog_bar=True, on_epoch=False)
        self.log("train/pairs", pairs, on_epoch=False)
        self.log("train/lr", self._rate(), on_epoch=False)
        # The step that the row belongs to; Lightning's own count is one behind, or two after some resumes.
        self.log("step", float(self.global_step + 1), on_epoch=False)
        self.log("epoch", float(self.current_epoch), on_epoch=False)
        return {"loss": loss, "train/loss": total, "train/pairs": pairs}

    def on_fit_start(self) -> None:
        """Warn of an accumulation that is not one batch."""
        hardest = getattr(self.loss, "negatives", None) == "hardest"
        if hardest and self.trainer.accumulate_grad_batches > 1:
            warnings.warn(
                f"trainer.accumulate_grad_batches={self.trainer.accumulate_grad_batches}: each batch has its "
                "hardest negatives among its own pairs only. For one loss over a large batch in less memory "
                "give a larger data.batch_size and loss.micro_batches",
                ScanWarning,
                stacklevel=2,
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its schedule."""
        optimizer = build_optimizer(self.optimizer, self)
        if self.scheduler is None:
            return optimizer
        schedule: Any = build_scheduler(self.scheduler, optimizer, self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the Trainer is told, and log the norm that the gradient had."""
        if gradient_clip_val is None or gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        norm = nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        self.log("train/grad_norm", norm.detach(), on_epoch=False)

    def _rate(self) -> float:
        optimizers = self.trainer.optimizers
        return float(optimizers[0].param_groups[0]["lr"]) if optimizers else float("nan")

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self._trainer is not None else 1

    # -- evaluation

    def on_validation_epoch_start(self) -> None:
        """Begin to collect embeddings."""
        self._evaluated = SplitEmbeddings(
            self.model.embed_size, Path(self.trainer.default_root_dir), self.device
        )

    def validation_step(
        self, batch: ImageBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Encode a block of images or captions, in fp32 whatever training uses."""
        assert self._evaluated is not None
        embedded, counts = self._encode(batch)
        self._evaluated.add(batch, embedded, counts)

    def on_validation_epoch_end(self) -> None:
        """Rank what was encoded and log its recalls, unless it was Lightning's sanity check."""
        self._rank("val")

    def on_test_epoch_start(self) -> None:
        """Begin to collect embeddings."""
        self.on_validation_epoch_start()

    def test_step(self, batch: ImageBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Encode a block of images or captions."""
        self.validation_step(batch, batch_idx, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Rank what was encoded and log its recalls."""
        self._rank("test")

    def predict_step(
        self, batch: ImageBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return a block's `rows` (n,), `embeddings` (n, k, D), zero past a count, and `counts` (n,)."""
        embedded, counts = self._encode(batch)
        rows = batch.image_rows if isinstance(batch, ImageBatch) else batch.caption_rows
        return {"rows": rows.cpu(), "embeddings": embedded.cpu(), "counts": counts.cpu()}

    def _encode(self, batch: ImageBatch | CaptionBatch) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            if isinstance(batch, ImageBatch):
                return self.model.encode_images(batch.regions, batch.counts), batch.counts
            return self.model.encode_captions(batch.tokens, batch.counts)

    def _rank(self, stage: str) -> None:
        assert self._evaluated is not None
        evaluated, self._evaluated = self._evaluated, None
        if self.trainer.sanity_checking:
            return
        images, captions, caption_image = evaluated.finish(self.trainer)
        self.ranks = rank_split(
            images,
            captions,
            caption_image,
            self.similarity,
            folds=self.folds,
            progress=self.progress and self.global_rank == 0,
            top_k=self.top_k,
            device=self.device,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
            all_reduce=functools.partial(self.trainer.strategy.reduce, reduce_op="sum"),
        )
        self.metrics = RetrievalMetrics.from_ranks(self.ranks)
        # Equal on every process: a maximum changes nothing, and Lightning does not warn.
        values = self.metrics.flat(stage)
        if self.trainer.state.fn == "fit":
            values |= {"step": float(self.global_step), "epoch": float(self.current_epoch)}
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        figures = {
            name: torch.tensor(value, dtype=dtype, device=self.device) for name, value in values.items()
        }
        for name, value in figures.items():
            self.log(
                name,
                value,
                prog_bar=name.endswith("rsum"),
                sync_dist=self.trainer.world_size > 1,
                reduce_fx="max",
                add_dataloader_idx=False,
            )

"""How far the encoding of a split is, when a split is all there is to do."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl

from scan_lightning.progress import Advance, progress


class EncodingProgress(pl.Callback):
    """Shows items a second and the time left, on the first process; ranking follows with its own."""

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._advance: Advance = lambda count: None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin."""
        loaders: Any = trainer.val_dataloaders
        own = sum(len(block) for loader in loaders for block in loader.mine)
        title = progress("encoding", own, unit="items", shown=trainer.is_global_zero)
        self._advance = self._shown.enter_context(title)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a block."""
        self._advance(len(batch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End; this comes before the module's own hook, which ranks."""
        self._shown.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._shown.close()

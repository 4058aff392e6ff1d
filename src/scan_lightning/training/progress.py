"""How far a run is: a bar on a terminal, plain lines elsewhere, and one line an epoch that stays."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from scan_lightning.choices import NegativesScope
from scan_lightning.config import TrainConfig
from scan_lightning.training.module import ScanModule

PLAIN_EVERY = 15.0  # seconds between two plain lines
BAR_EVERY = 0.5  # seconds between two looks at the loss: on a GPU each look waits for it


class ProgressLines(pl.Callback):
    """Shows steps a second, the loss and the last recall sum, on stderr."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._rsum: float | None = None
        self._start = self._shown = 0.0
        self._first_batch = 0
        self._loss_sum: torch.Tensor | float = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what a step takes, and begin, within an epoch when the run is resumed there."""
        assert isinstance(pl_module, ScanModule)
        if trainer.is_global_zero:
            effective = _effective_batch(pl_module.config, trainer.world_size)
            if effective:
                self.console.print(effective)
            self._begin(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin an epoch."""
        if batch_idx == 0 and trainer.is_global_zero:
            self._begin(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show a step, when the last one shown is some time ago."""
        self._loss_sum = self._loss_sum + outputs["train/loss"].detach()
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._shown < (BAR_EVERY if self._bar else PLAIN_EVERY):
            return
        self._shown = now
        rate = (batch_idx + 1 - self._first_batch) / (now - self._start)
        status = f"{rate:.3g} steps/s, loss {float(outputs['train/loss']):.2f}"
        if self._rsum is not None:
            status += f", last rsum {self._rsum:.1f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=batch_idx + 1, status=status)
        else:
            total = int(trainer.num_training_batches)
            left = (total - batch_idx - 1) / rate
            steps = f"step {batch_idx + 1} of {total}"
            self.console.print(f"{_epoch(trainer)}: {steps}, {status}, {left:.0f} s left in the epoch")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that the pause is the validation."""
        if self._bar is not None:
            self._bar.update(self._task, status="validating")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave one line about the epoch."""
        assert isinstance(pl_module, ScanModule)
        if not trainer.is_global_zero or trainer.state.fn != "fit" or pl_module.metrics is None:
            return
        self._stop()
        metrics = pl_module.metrics
        self._rsum = metrics.rsum
        steps = trainer.fit_loop.epoch_loop.batch_progress.current.completed - self._first_batch
        loss = float(self._loss_sum) / max(steps, 1)
        recall = f"R@1 {metrics.i2t.r1:.1f} and {metrics.t2i.r1:.1f}"
        self.console.print(
            f"{_epoch(trainer)}: mean loss {loss:.2f}, rsum {metrics.rsum:.1f} on val ({recall}), "
            f"{time.monotonic() - self._start:.0f} s"
        )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._stop()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the terminal back."""
        self._stop()

    def _begin(self, trainer: pl.Trainer) -> None:
        self._start = self._shown = time.monotonic()
        self._loss_sum = 0.0
        self._first_batch = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        self._stop()
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[status]}"),
            )
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.start()
            total = int(trainer.num_training_batches)
            self._task = self._bar.add_task(
                _epoch(trainer), total=total, completed=self._first_batch, status=""
            )

    def _stop(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()


def _effective_batch(config: TrainConfig, processes: int) -> str:
    """What a step takes, when it is not simply `data.batch_size` pairs at once."""
    parts = []
    if processes > 1:
        everywhere = config.loss.negatives_scope is NegativesScope.whole_batch
        scope = "among all of them" if everywhere else "in each share"
        parts.append(f"shared by {processes} processes, negatives {scope}")
    if config.trainer.accumulate_grad_batches > 1:
        parts.append(f"encoded {config.data.batch_size} at a time")
    return ", ".join([f"{config.effective_batch} pairs a step", *parts]) if parts else ""


def _epoch(trainer: pl.Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"

"""Progress of a training (Lightning's rich bar on a terminal, plain lines elsewhere) and of an evaluation."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.progress_bar import ProgressBar

from scan_lightning.progress import progress

PLAIN_EVERY = 15.0  # seconds between two plain lines


def progress_bar(job: str = "") -> ProgressBar:
    """Return the bar that fits the standard error.

    Args:
        job: name of a job whose lines stand between those of others; such a job draws no bar.
    """
    if sys.stderr.isatty() and not job:
        return RichProgressBar(console_kwargs={"stderr": True, "highlight": False})
    return PlainProgress(f"{job}: " if job else "")


class PlainProgress(ProgressBar):
    """A line every quarter of a minute and one an epoch, on the standard error.

    Args:
        prefix: of each line.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix
        self._enabled = True
        self._start = self._shown = 0.0
        self._first_batch = -1

    def disable(self) -> None:
        """Print nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Print again."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = self._shown = time.monotonic()
        self._first_batch = -1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock anew with each epoch, or within it when the run is resumed there."""
        if self._first_batch < 0:
            self._start = self._shown = time.monotonic()
            self._first_batch = batch_idx

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show a step, when the last one shown is some time ago."""
        now = time.monotonic()
        if now - self._shown < PLAIN_EVERY:
            return
        self._shown = now
        total = int(trainer.num_training_batches)
        rate = (batch_idx + 1 - self._first_batch) / (now - self._start)
        speed = f"{rate:.3g} steps/s" if rate >= 1 else f"{60 * rate:.3g} steps/min"
        loss = float(trainer.callback_metrics.get("train/loss", float("nan")))
        left = (total - batch_idx - 1) / rate
        self._print(
            trainer,
            f"step {batch_idx + 1} of {total}, {speed}, loss {loss:.2f}, {left:.0f} s left in the epoch",
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the epoch."""
        self._first_batch = -1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave one line about the epoch."""
        figures = trainer.callback_metrics
        if trainer.state.fn != "fit" or trainer.sanity_checking or "val/rsum" not in figures:
            return
        recall = f"R@1 {figures['val/i2t/r1']:.1f} and {figures['val/t2i/r1']:.1f}"
        seconds = time.monotonic() - self._start
        self._print(trainer, f"rsum {figures['val/rsum']:.1f} on val ({recall}), {seconds:.0f} s")

    def _print(self, trainer: pl.Trainer, text: str) -> None:
        if self._enabled and trainer.is_global_zero:
            of = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
            line = f"{self._prefix}epoch {trainer.current_epoch + 1}{of}: {text}"
            print(line, file=sys.stderr, flush=True)


class EncodingProgress(pl.Callback):
    """Shows how much of an evaluation is encoded."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin."""
        blocks = int(sum(trainer.num_test_batches))
        self._advance = self._stack.enter_context(
            progress("encoding", blocks, unit="blocks", shown=trainer.is_global_zero)
        )

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Show a block."""
        self._advance(1)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End, before the ranking shows its own."""
        self._stack.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """End."""
        self._stack.close()

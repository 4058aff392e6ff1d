"""What a resumed run needs to be the run that was never stopped, and Lightning does not keep."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch


class StepSeed(pl.Callback):
    """Seeds torch before each step by (seed, step, rank): dropout is the same after a resume.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the step."""
        words = (self.seed, trainer.fit_loop.total_batch_idx + 1, trainer.global_rank)
        torch.manual_seed(hash(words) & 0xFFFFFFFF)


class ResumeState(pl.Callback):
    """Keeps the last logged metrics, which EarlyStopping and ReduceLROnPlateau read, and a plateau's step.

    In the epoch in which a run is resumed, Lightning leaves out the step of schedules that follow a metric.
    """

    def __init__(self) -> None:
        self._metrics: dict[str, torch.Tensor] = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the metrics."""
        metrics = {name: value.detach().cpu() for name, value in trainer.callback_metrics.items()}
        checkpoint["callbacks"][self.state_key] = {"metrics": metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume."""
        self._metrics = state_dict["metrics"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the metrics back; Lightning has reset them by now."""
        trainer._logger_connector._callback_metrics.update(self._metrics)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step schedules that follow a metric, where Lightning does not."""
        epoch_loop = trainer.fit_loop.epoch_loop
        if trainer.fit_loop.restarting and epoch_loop._num_ready_batches_reached():
            epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)

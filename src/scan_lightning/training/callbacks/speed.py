"""Pairs a second and memory, logged with every step.

Lightning's ThroughputMonitor numbers the rows of validations by a count of its own and asks for FLOPs.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import lightning.pytorch as pl
import torch

GIB = 2**30


class SpeedMonitor(pl.Callback):
    """Logs `train/pairs_per_second`, loading included, and `train/memory_gib`, the most used so far."""

    def __init__(self) -> None:
        self._last: float | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock after a validation or a save."""
        if self._last is None:
            self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step since the last one."""
        now = time.monotonic()
        seconds = max(now - (self._last or now), 1e-9)
        self._last = now
        figures = {
            "train/pairs_per_second": round(len(batch) * trainer.world_size / seconds, 1),
            "train/memory_gib": round(peak_memory(pl_module.device) / GIB, 3),
        }
        pl_module.log_dict(figures, on_step=True, on_epoch=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the validation out of the training's speed."""
        self._last = None


def peak_memory(device: torch.device) -> int:
    """Bytes that torch allocated on a GPU at most, or the largest resident size of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

"""The callback that writes metrics.csv and hands the same rows to the loggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from scan_lightning.training.module import ScanModule, flat_metrics
from scan_lightning.training.series import Series
from scan_lightning.training.speed_log import SpeedLog

GPU_ROWS = 50  # steps between two looks at the GPU's results: each look waits for it


class Recorder(pl.Callback):
    """Writes a row every optimizer step and every validation.

    On a GPU the figures of a step stay there until some steps have come together.

    Args:
        run_dir: the run's folder.
        source: the metrics.csv that a resumed run goes on from.
    """

    def __init__(self, run_dir: Path, source: Path | None = None) -> None:
        self.series = Series(run_dir / "metrics.csv")
        self._source = source
        self._resume_rows: int | None = None
        self._waiting: list[dict[str, float | Tensor]] = []
        self._speed = SpeedLog()

    def begin(self) -> None:
        """Open the file, cut back to what the checkpoint knows of.

        Raises:
            ScanError: the file to go on with has been shortened or is not a metrics.csv.
        """
        if self._source is None or self._resume_rows is None:
            self.series.start()
        else:
            self.series.resume(self._resume_rows, self._source)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Go on measuring."""
        self._speed.begin_step()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note a step."""
        assert isinstance(pl_module, ScanModule)
        row = {"step": trainer.global_step, "epoch": trainer.current_epoch}
        figures = {name: outputs[name] for name in ("train/loss", "train/pairs")}
        self._waiting.append({**row, **figures, **pl_module.step_values})
        if len(self._waiting) >= (GPU_ROWS if pl_module.device.type == "cuda" else 1):
            self.write(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the validation out of the training's speed."""
        self.write(trainer)
        self._speed.pause()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note a validation."""
        assert isinstance(pl_module, ScanModule)
        if trainer.state.fn != "fit" or pl_module.metrics is None:
            return
        row = {"step": trainer.global_step, "epoch": trainer.current_epoch}
        self._waiting.append({**row, **flat_metrics(pl_module.metrics)})
        self.write(trainer)

    def write(self, trainer: pl.Trainer) -> None:
        """Write what is waiting."""
        rows, self._waiting = self._waiting, []
        plain = [
            {name: value.item() if isinstance(value, Tensor) else value for name, value in row.items()}
            for row in rows
        ]
        trained = [row for row in plain if "train/loss" in row]
        if trained:
            for row in trained:
                row["train/pairs"] = int(row["train/pairs"])
            pairs = sum(int(row["train/pairs"]) for row in trained)
            speed = self._speed.take(pairs, trainer.strategy.root_device)
            for row in trained:
                row.update(speed)
        for row in plain:
            if trainer.is_global_zero:
                self.series.append(row)
            step = int(row.pop("step"))
            for logger in trainer.loggers:
                logger.log_metrics(row, step=step)
        if trainer.is_global_zero:
            self.series.flush()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put every row so far on the disk before the checkpoint that counts them."""
        self.write(trainer)
        self._speed.pause()
        self.series.flush(durable=True)
        checkpoint["callbacks"][self.state_key] = {"rows": self.series.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember where the checkpoint left the file."""
        self._resume_rows = state_dict["rows"]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the file."""
        self.close(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Keep what is known of a run that fails."""
        self.close(trainer)

    def close(self, trainer: pl.Trainer) -> None:
        """Write what is waiting and close the file."""
        if self._waiting:
            self.write(trainer)
        self.series.close()

"""The callback that begins a run's folder: after everything that may be refused, before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch.loggers import Logger

from scan_lightning.files import link_file, write_text
from scan_lightning.training.loggers.metrics_csv import MetricsCSV
from scan_lightning.training.run_record import RunRecord

CONFIG = "scan_lightning"  # the key of a checkpoint under which a run's configuration lies


class RunFolder(pl.Callback):
    """Opens the loggers and writes config.yaml and run.json when the run begins.

    By then Lightning has read the checkpoint and loaded the data: what is refused before leaves no file.

    Args:
        config: of the run, plain values; kept in its checkpoints too.
        run_dir: its folder.
        record: becomes run.json.
        loggers: become the trainer's. Given to it at once, Lightning would open them before all else.
        best: the best.ckpt of another folder that the run resumes from.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        run_dir: Path,
        *,
        record: RunRecord,
        loggers: Sequence[Logger],
        best: Path | None = None,
    ) -> None:
        self._config, self._run_dir, self._loggers = dict(config), run_dir, list(loggers)
        self._record, self._best = record, best

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Bring the best checkpoint of another folder, before its score is read."""
        target = self._run_dir / "checkpoints" / "best.ckpt"
        if self._best is not None and trainer.is_global_zero and not target.exists():
            link_file(self._best, target)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what begins a folder, in the process that writes."""
        trainer.loggers = self._loggers
        for logger in trainer.loggers:  # opened now, so that what one refuses comes before a file of ours
            if isinstance(logger, MetricsCSV):
                if trainer.is_global_zero:
                    logger.begin()
            else:
                _ = getattr(logger, "experiment", None)
        if trainer.is_global_zero:
            text = yaml.safe_dump(self._config, sort_keys=False, allow_unicode=True)
            write_text(self._run_dir / "config.yaml", text)
            self._record.begin()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the configuration and the time that led to the state."""
        checkpoint[CONFIG] = {"config": self._config, "seconds": self._record.seconds()}

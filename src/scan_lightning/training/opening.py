"""The callback that begins a run's folder: after everything that may be refused, before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import yaml
from lightning.pytorch.loggers import Logger

from scan_lightning.config import TrainConfig, plain
from scan_lightning.files import write_text
from scan_lightning.training.record import RunRecord
from scan_lightning.training.recorder import Recorder
from scan_lightning.training.saving import Saving


class Opening(pl.Callback):
    """Opens the loggers and writes metrics.csv, config.yaml and run.json when the run begins.

    By then Lightning has read the checkpoint and loaded the data: what is refused before leaves no file.

    Args:
        config: of the run.
        run_dir: its folder.
        record: becomes run.json.
        recorder: writes metrics.csv from then on.
        saving: knows the best checkpoint so far.
        loggers: become the trainer's. Given to it at once, Lightning would open them before all else.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        *,
        record: RunRecord,
        recorder: Recorder,
        saving: Saving,
        loggers: Sequence[Logger],
    ) -> None:
        self._config, self._run_dir, self._loggers = config, run_dir, list(loggers)
        self._record, self._recorder, self._saving = record, recorder, saving

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what begins a folder, in the process that writes."""
        trainer.loggers = self._loggers
        for logger in trainer.loggers:  # opened now, so that what it refuses comes before a file of ours
            _ = logger.experiment  # type: ignore[attr-defined]  # both kinds have it
        if not trainer.is_global_zero:
            return
        self._recorder.begin()
        self._saving.bring_best()
        write_text(self._run_dir / "config.yaml", yaml.safe_dump(plain(self._config), sort_keys=False))
        self._record.begin()

"""best.ckpt and last.ckpt: Lightning's ModelCheckpoint, with complete files and a state that can be moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from scan_lightning.files import link_file, write_file
from scan_lightning.training.loggers.metrics_csv import MetricsCSV


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name first; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save, completely or not at all."""
        write_file(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, loc: storage, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load without running any code the file may hold."""
        return super().load_checkpoint(path, map_location, weights_only=True)


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the state of the best validation.

    Args:
        folder: of best.ckpt.
        monitor: what is compared, the larger the better.
    """

    def __init__(self, folder: str | Path, monitor: str = "val/rsum") -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=False,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.best_step = -1

    @property
    def state_key(self) -> str:
        """Of its own, so that a user's ModelCheckpoint of the same metric may stand beside it."""
        return type(self).__qualname__

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        self.best_step = trainer.global_step
        super()._save_checkpoint(trainer, filepath)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"score": self.best_model_score, "step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume; without the best.ckpt of that very step the next validation is the best so far."""
        best = Path(str(self.dirpath)) / "best.ckpt"
        score, self.best_step = state_dict["score"], state_dict["step"]
        if score is None or not best.exists():
            return
        if (
            torch.load(best, map_location="cpu", weights_only=True, mmap=True)["global_step"]
            != self.best_step
        ):
            return
        self.best_model_path = self.kth_best_model_path = str(best)
        self.best_model_score = self.kth_value = score
        self.best_k_models = {str(best): score}


class LastCheckpoint(ModelCheckpoint):
    """last.ckpt: the state to resume from, saved after each validation, every so many steps, and on SIGTERM.

    Args:
        folder: of last.ckpt.
        every_steps: also save every so many optimizer steps; 0: not.
        keep: how many of the latest saves stay as step-N.ckpt beside last.ckpt; 1: last.ckpt alone.

    Attributes:
        saved_step: the optimizer step of the last save, or that a run resumed from; -1 before the first.
        validated_step: the optimizer step of the last validation; -1 before the first.
    """

    def __init__(self, folder: str | Path, every_steps: int = 0, keep: int = 1) -> None:
        super().__init__(folder, "last", save_on_train_epoch_end=False, enable_version_counter=False)
        self.every_steps, self.keep = every_steps, keep
        self.saved_step = self.validated_step = -1

    @property
    def state_key(self) -> str:
        """The same for every `every_steps`."""
        return type(self).__qualname__

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time; the last step of an epoch is saved with its validation."""
        last_of_epoch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        due = self.every_steps > 0 and trainer.global_step % self.every_steps == 0
        stepped = not trainer.fit_loop._should_accumulate()
        # An epoch that was not validated is saved after the first step of the next: Lightning does not resume
        # exactly from an epoch that has ended.
        due = due or (
            batch_idx == 0 and trainer.current_epoch > 0 and self.saved_step < trainer.global_step - 1
        )
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # this way Lightning validates before it stops within an epoch
        if due and stepped and not (trainer.should_stop or last_of_epoch or dry(trainer)):
            # Lightning logs a step after this hook: the rows that a checkpoint counts must be written before.
            # Lightning logs it again; metrics.csv alone knows a step that it has.
            loggers = trainer.loggers
            trainer.loggers = [logger for logger in loggers if isinstance(logger, MetricsCSV)]
            trainer._logger_connector.update_train_step_metrics()
            trainer.loggers = loggers
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the state that was validated."""
        if trainer.state.fn == "fit" and not (trainer.sanity_checking or dry(trainer)):
            self.validated_step = trainer.global_step
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the state at the end of fit, where no validation came last."""
        if self.saved_step != trainer.global_step and not dry(trainer):
            self._save(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save when the run is asked to stop: that comes between two steps, so the state is complete."""
        stopped = isinstance(exception, SIGTERMException) and trainer.state.fn == "fit"
        if stopped and self.saved_step != trainer.global_step:
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a validation that was stopped begin again when the run is resumed."""
        if trainer.validating and self.validated_step != trainer.global_step:
            _restart_validation(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note from which step the run resumes."""
        self.saved_step = checkpoint["global_step"]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"validated_step": self.validated_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume."""
        self.validated_step = state_dict["validated_step"]

    def _save(self, trainer: pl.Trainer) -> None:
        last = Path(str(self.dirpath)) / "last.ckpt"
        self._save_checkpoint(trainer, str(last))
        self.saved_step, self.last_model_path = trainer.global_step, str(last)
        if self.keep > 1 and trainer.is_global_zero:
            link_file(last, last.with_name(f"step-{trainer.global_step:08d}.ckpt"))
            for old in self._numbered(trainer.global_step)[: -self.keep]:
                old.unlink()
        trainer.strategy.barrier("saved")

    def _numbered(self, step: int) -> list[Path]:
        """Return the numbered saves, oldest first; those past `step` belong to an end that was given up."""
        files = sorted(Path(str(self.dirpath)).glob("step-*.ckpt"))
        return sorted(files, key=lambda file: (int(file.stem.removeprefix("step-")) <= step, file.name))


def dry(trainer: pl.Trainer) -> bool:
    """Whether this is a `fast_dev_run`, of which nothing is kept."""
    return bool(getattr(trainer, "fast_dev_run", False))


def _restart_validation(fit_loop: dict[str, Any]) -> None:
    """Make Lightning's counters say: the step is done, its validation has begun and no block of it is done.

    Left as they are they say how many blocks were done, and the others alone would be validated.
    """
    progress = fit_loop["epoch_loop.val_loop.batch_progress"]
    for counters in (progress["total"], progress["current"]):
        counters.update(ready=0, started=0, processed=0, completed=0)
    progress["total"].update(ready=1, started=1)
    progress["is_last_batch"] = False

"""The callback that saves checkpoints: last.ckpt for going on, best.ckpt for use, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from scan_lightning.files import link_file, write_file
from scan_lightning.training.module import ScanModule


class WholeFileIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name first; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save, whole or not at all."""
        write_file(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, loc: storage, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load without running any code the file may hold."""
        return super().load_checkpoint(path, map_location, weights_only=True)


class Saving(Checkpoint):
    """Saves at the end of each epoch, every so many steps, when the run is stopped, and at its end.

    Every save is one file with up to three names: `last.ckpt`; `best.ckpt` when the validation just made is
    the best so far; `step-N.ckpt` when more than one is kept.

    Args:
        folder: the run's `checkpoints/`.
        every_steps: also save every so many optimizer steps; 0: not.
        keep: how many of the latest saves stay; the latest itself is `last.ckpt`.
        source: the folder of the checkpoint that the run goes on from; None: it starts from nothing.
        seconds: returns how long the run has taken so far, before it was resumed too.

    Attributes:
        best: what results.json says of the best validation, with its step; empty before the first.
        validated_step: the step of the last validation, -1 before the first.
        saved_step: the step of the last save of this process, or that it goes on from; -1 before the first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every_steps: int = 0,
        keep: int = 1,
        source: Path | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.every_steps, self.keep, self.seconds = folder, every_steps, keep, seconds
        self._best_before = None if source is None else source / "best.ckpt"
        self.best: dict[str, Any] = {}
        self.validated_step = self.saved_step = -1
        # Loggers ask under these names, and Lightning sets the best one after processes that it forked.
        self.best_model_path, self.last_model_path = str(folder / "best.ckpt"), str(folder / "last.ckpt")

    @property
    def best_model_score(self) -> float | None:
        """The best validation's recall sum."""
        return float(self.best["rsum"]) if self.best else None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time; the last step of an epoch is saved with its validation."""
        last_of_epoch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        due = self.every_steps > 0 and trainer.global_step % self.every_steps == 0
        if due and not (trainer.should_stop or last_of_epoch):
            self._save(trainer, ["last.ckpt"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the state that was validated."""
        assert isinstance(pl_module, ScanModule)
        if trainer.state.fn != "fit" or pl_module.metrics is None:
            return
        self.validated_step = trainer.global_step
        figures = pl_module.metrics.as_dict()
        better = not self.best or figures["rsum"] > self.best["rsum"]
        if better:
            self.best = {**figures, "step": trainer.global_step, "epoch": trainer.current_epoch}
        # The best first: stopped in between, the run goes on from the older last.ckpt and comes here again.
        self._save(trainer, ["best.ckpt", "last.ckpt"] if better else ["last.ckpt"])

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save when the system asks the run to stop: that comes between two steps, so the state is whole."""
        stopped = isinstance(exception, SIGTERMException) and trainer.state.fn == "fit"
        if stopped and self.validated_step != trainer.global_step:  # else it has just been saved
            self._save(trainer, ["last.ckpt"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a validation that was stopped begin again when the run goes on."""
        if trainer.validating and self.validated_step != trainer.global_step:
            _restart_validation(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note from which step the run goes on."""
        self.saved_step = checkpoint["global_step"]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"best": self.best, "validated_step": self.validated_step, "seconds": self.seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what a checkpoint knew."""
        self.validated_step = state_dict["validated_step"]
        # A checkpoint moved out of its folder leaves its best.ckpt behind: the next validation makes one.
        there = self._best_before is not None and self._best_before.exists()
        self.best = state_dict["best"] if there else {}

    def bring_best(self) -> None:
        """Give the best checkpoint so far its name in this folder, when the run goes on in another one."""
        if self.best and self._best_before is not None and self._best_before.parent != self.folder:
            link_file(self._best_before, self.folder / "best.ckpt")

    def _save(self, trainer: pl.Trainer, names: list[str]) -> None:
        if self.keep > 1:
            names = [f"step-{trainer.global_step:08d}.ckpt", *names]
        first, *others = (self.folder / name for name in names)
        trainer.save_checkpoint(first)
        self.saved_step = trainer.global_step
        if trainer.is_global_zero:
            for other in others:
                link_file(first, other)
            for old in self._numbered(trainer.global_step)[: -self.keep]:
                old.unlink()
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)  # type: ignore[arg-type]  # has what they ask for
        trainer.strategy.barrier("saved")

    def _numbered(self, step: int) -> list[Path]:
        """Return the numbered saves, oldest first; those past `step` belong to an end that was given up."""
        files = sorted(self.folder.glob("step-*.ckpt"))
        return sorted(files, key=lambda file: (int(file.stem.removeprefix("step-")) <= step, file.name))


def _restart_validation(fit_loop: dict[str, Any]) -> None:
    """Make Lightning's counters say: the step is done, its validation has begun and no block of it is done.

    Left as they are they say how many blocks were done, and the others alone would be validated.
    """
    progress = fit_loop["epoch_loop.val_loop.batch_progress"]
    for counters in (progress["total"], progress["current"]):
        counters.update(ready=0, started=0, processed=0, completed=0)
    progress["total"].update(ready=1, started=1)
    progress["is_last_batch"] = False

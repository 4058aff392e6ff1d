"""Ends a run between two steps when it is asked to stop, so that its state is complete and can be saved.

| signal                 | what happens                                                                      |
|------------------------|-----------------------------------------------------------------------------------|
| SIGTERM                | the step is finished, the state saved, the command ends with status 130           |
| SIGINT (Ctrl-C)        | the same; a second one stops at once, and the last checkpoint on the disk stands  |
| SIGUSR1 in a Slurm job | the same, then the job is put back into the queue                                 |

Lightning's own handlers are put aside: with several processes they communicate inside the handler, where it
may come between the messages of a step, and for Slurm they save in the middle of a step.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl

SLURM_JOB = "SLURM_JOB_ID"
HINT = b"stopping after this step; once more to stop at once\n"


class GracefulShutdown(pl.Callback):
    """Tells Lightning to end a run that was asked to stop, at the same step in every process.

    Lightning then raises `SIGTERMException` between two steps, or two blocks of a validation; the callback
    that saves sees it in `on_exception`. Lightning gives the signals back when it ends.

    Attributes:
        asked: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._trainer: pl.Trainer | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals."""
        self._trainer = trainer
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may, and it is not ours
        signal.signal(signal.SIGTERM, self._handle)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else ignored, or someone else's
            signal.signal(signal.SIGINT, self._handle)
        if SLURM_JOB in os.environ:
            signal.signal(signal.SIGUSR1, self._handle)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Agree with the other processes whether to stop."""
        if trainer.should_stop:  # the run ends with this step's validation anyway
            _tell(trainer, False)
        # Processes must go through a validation together; they agree again after it.
        elif trainer.world_size > 1 and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._agree(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree with the other processes."""
        if trainer.world_size > 1 and trainer.state.fn == "fit" and not trainer.should_stop:
            self._agree(trainer)

    def requeue(self) -> None:
        """Put the Slurm job back into the queue, when it was Slurm that asked."""
        if self.asked != signal.SIGUSR1:
            return
        job = os.environ[SLURM_JOB]
        if "SLURM_ARRAY_JOB_ID" in os.environ:
            job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        try:
            subprocess.run(["scontrol", "requeue", job], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"the job could not be requeued ({error}); start it again by hand", file=sys.stderr)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        assert self._trainer is not None
        if number == signal.SIGINT and self._trainer.is_global_zero:
            os.write(2, HINT)  # not print: the handler may come while something else prints
        if self._trainer.world_size == 1 and not self._trainer.should_stop:
            _tell(self._trainer, True)

    def _agree(self, trainer: pl.Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(self.asked is not None, all=False):
            _tell(trainer, True)


def _tell(trainer: pl.Trainer, stop: bool) -> None:
    trainer._signal_connector.received_sigterm = stop

"""Lightning's Trainer as this project uses it, and the noise it makes otherwise."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from scan_lightning.choices import Precision
from scan_lightning.errors import ScanError
from scan_lightning.settings import TrainerConfig
from scan_lightning.training.saving import WholeFileIO

# Said by Lightning of every run, and nothing that a user or this program could answer.
NOT_FOR_USERS = (
    "The `srun` command is available",  # on a login node, or one machine with Slurm, that is no mistake
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # Lightning's own use of torch
)


def is_main_process() -> bool:
    """Whether this process has rank 0, so that it writes and prints."""
    rank: int = getattr(rank_zero_only, "rank", 0)
    return rank == 0


def build_trainer(
    config: TrainerConfig,
    run_dir: Path,
    *,
    callbacks: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """Return a Trainer that writes below `run_dir` only and prints nothing of its own.

    Args:
        config: devices, precision, length.
        run_dir: the run's folder.
        callbacks: all of them; without one that saves, nothing is saved.
    """
    return pl.Trainer(
        accelerator=str(config.accelerator),
        strategy=str(config.strategy),
        devices=config.devices,
        num_nodes=config.nodes,
        precision="bf16-mixed" if config.precision is Precision.bf16 else "32-true",
        max_epochs=config.max_epochs,
        max_steps=config.max_steps,
        # The module clips by itself, so that the norm it finds can be logged; this only switches it on.
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks),
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=False,  # `Opening` brings them when the run begins
        log_every_n_steps=1,  # Lightning warns of epochs shorter than this
        callbacks=list(callbacks),
        plugins=[WholeFileIO()],
        default_root_dir=run_dir,
    )


@contextmanager
def lightning_run() -> Iterator[None]:
    """Run Lightning without its announcements, and let Ctrl-C come out as what it is.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the system's request to stop; Lightning makes a SystemExit of both.
        ScanError: a process that reads data was killed.
    """
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels, handler = [logger.level for logger in loggers], signal.getsignal(signal.SIGINT)
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in NOT_FOR_USERS:
                warnings.filterwarnings("ignore", message)
            yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ScanError(
            f"data.workers: {str(error).splitlines()[0].rstrip('. ')}. It was ended from outside, often "
            "because memory was full. What was saved before is whole: go on with resume=auto and fewer "
            "workers (data.workers=0 reads in the training process)"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        _restore(handler)


def _restore(handler: signal._HANDLER) -> None:
    try:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored after Ctrl-C
    except ValueError:  # not the main thread, where no handler can be set
        return

"""Lightning's Trainer as the commands use it, without what it prints otherwise."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only

from scan_lightning.config.nodes import partial
from scan_lightning.errors import ScanError
from scan_lightning.training.callbacks.checkpoints import AtomicCheckpointIO

DEVICES = ("accelerator", "strategy", "devices", "num_nodes")  # what evaluation takes of a trainer's node
# Said by Lightning of every run, and nothing that a user or this program could answer.
NOT_FOR_USERS = (
    "The `srun` command is available",  # on a login node, or one machine with Slurm, that is no mistake
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # Lightning's own use of torch
    "Checkpoint directory .* exists and is not empty",  # a run that is resumed
    "The dirpath has changed",
    "The '.*_dataloader' does not have many workers",
    "Starting from v1.9.0",
    "You're using the WeightAveraging callback, but",
    "You are using `torch.load`",
    "`training_step` returned",
    "The number of training batches",
    "Detected KeyboardInterrupt",
    "GPU available but not used",
    "MPS available but not used",
)


def is_main_process() -> bool:
    """Whether this process has rank 0, so that it writes and prints."""
    rank: int = getattr(rank_zero_only, "rank", 0)
    return rank == 0


def build_trainer(
    node: Mapping[str, Any], run_dir: Path, *, callbacks: Sequence[pl.Callback], **arguments: Any
) -> pl.Trainer:
    """Return the Trainer of a configuration's node, with what the commands always need.

    Args:
        node: `trainer` of the configuration.
        run_dir: the run's folder, the only one that is written to.
        callbacks: all of them.
        arguments: other defaults, which the node may override.

    Raises:
        ScanError: Lightning refuses what the node says.
    """
    defaults = {
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "enable_model_summary": False,
        "logger": False,  # opened when the run begins
        "log_every_n_steps": 1,
        "enable_checkpointing": any(isinstance(item, pl.callbacks.Checkpoint) for item in callbacks),
        "enable_progress_bar": any(isinstance(item, pl.callbacks.ProgressBar) for item in callbacks),
        **arguments,
    }
    build = partial(node, "trainer")
    settings = {**defaults, **build.keywords, "default_root_dir": str(run_dir)}
    plugins = settings.pop("plugins", None) or []
    plugins = [AtomicCheckpointIO(), *(plugins if isinstance(plugins, list) else [plugins])]
    try:
        trainer: pl.Trainer = build.func(**settings, callbacks=list(callbacks), plugins=plugins)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ScanError(f"trainer: {str(error).splitlines()[0]}; see `trainer` in `train --help`") from error
    return trainer


@contextmanager
def lightning_run() -> Iterator[None]:
    """Run Lightning without its announcements, and let Ctrl-C come out as what it is.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the system's request to stop; Lightning makes a SystemExit of both.
        ScanError: a process that reads data was killed, or Lightning refuses the settings.
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
    except MisconfigurationException as error:
        raise ScanError(f"trainer: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ScanError(
            f"data.workers: {str(error).splitlines()[0].rstrip('. ')}. It was ended from outside, often "
            "because memory was full. What was saved before is complete: resume with resume=auto and fewer "
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

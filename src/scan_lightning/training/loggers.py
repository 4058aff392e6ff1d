"""Where the series of a run go besides metrics.csv: nothing more, TensorBoard, or Weights & Biases.

All three carry the names of metrics.csv, so a plot moves from one to the other without a change.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from scan_lightning.choices import LoggerKind
from scan_lightning.config import TrainConfig, plain
from scan_lightning.errors import ScanError
from scan_lightning.training.wandb_log import WandbLog

TENSORBOARD_FOLDER = "tensorboard"


def build_loggers(config: TrainConfig, run_dir: Path, *, resumed: bool = False) -> list[Logger]:
    """Return the loggers that `config.logger` asks for; metrics.csv is written without any.

    Nothing is opened here: a logger opens on its first use, in the process with rank 0 only.

    Args:
        config: of the run, resolved.
        run_dir: the run's folder; everything is written below it.
        resumed: whether the run goes on from a checkpoint of this folder, and so into the same wandb run.

    Raises:
        ScanError: TensorBoard is asked for and not installed.
    """
    if config.logger.kind is LoggerKind.wandb:
        return [
            WandbLog(
                run_dir,
                project=config.logger.project,
                entity=config.logger.entity,
                name=config.logger.name or run_dir.name,
                group=config.logger.group or sweep_name(),
                tags=config.logger.tags,
                config=plain(config),
                resumed=resumed,
                log_checkpoints=config.logger.log_checkpoints,
            )
        ]
    if config.logger.kind is LoggerKind.tensorboard:
        if find_spec("tensorboard") is None:
            raise ScanError(
                "logger=tensorboard: TensorBoard is not installed; "
                "install it with: pip install 'scan-lightning[tensorboard]'"
            )
        # `name` and `version` would add two more folders; `hp_metric` is a series nobody asked for.
        return [TensorBoardLogger(run_dir, TENSORBOARD_FOLDER, version="", default_hp_metric=False)]
    return []


def sweep_name() -> str | None:
    """Return the name of this job's sweep, that of its parent folder, or None for a single run."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        return Path(HydraConfig.get().sweep.dir).name
    return None

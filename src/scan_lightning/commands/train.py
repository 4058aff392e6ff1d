"""`scan-lightning train`: one run, or a sweep with `-m`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scan_lightning.config.schema import TrainConfig

if TYPE_CHECKING:
    from scan_lightning.config.command import Command

HELP = "train a model, or a sweep of models with -m"


def run(overrides: list[str]) -> int:
    """Train what the overrides say; returns the status."""
    from scan_lightning.config.launch import launch

    return launch(command(), overrides)


def command() -> Command:
    """What the launcher has to know."""
    from scan_lightning.config.command import Command

    return Command("train", "config", TrainConfig, execute, continues=True)


def execute(config: TrainConfig, run_dir: Path) -> dict[str, Any]:
    """One run, in the process that Hydra or its launcher gave it."""
    from scan_lightning.training.train import train

    return train(config, run_dir)

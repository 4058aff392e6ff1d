"""`scan-lightning ensemble`: recall of several models on a split, their similarities averaged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scan_lightning.config.schema import EnsembleConfig

if TYPE_CHECKING:
    from scan_lightning.config.command import Command

HELP = "recall of several models, their similarities averaged"


def run(overrides: list[str]) -> int:
    """Evaluate what the overrides say; returns the status."""
    from scan_lightning.config.launch import launch

    return launch(command(), overrides)


def command() -> Command:
    """What the launcher has to know."""
    from scan_lightning.config.command import Command

    return Command("ensemble", "ensemble", EnsembleConfig, execute, continues=False)


def execute(config: EnsembleConfig, run_dir: Path) -> dict[str, Any]:
    """One evaluation, in the process that Hydra or its launcher gave it."""
    from scan_lightning.training.ensemble import evaluate_ensemble

    return evaluate_ensemble(config, run_dir)

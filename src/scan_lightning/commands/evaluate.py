"""`scan-lightning evaluate`: recall of a trained model on a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scan_lightning.config.schema import EvaluateConfig

if TYPE_CHECKING:
    from scan_lightning.config.command import Command

HELP = "recall of a trained model on a split of a store"


def run(overrides: list[str]) -> int:
    """Evaluate what the overrides say; returns the status."""
    from scan_lightning.config.launch import launch

    return launch(command(), overrides)


def command() -> Command:
    """What the launcher has to know."""
    from scan_lightning.config.command import Command

    return Command("evaluate", "evaluate", EvaluateConfig, execute, continues=False)


def execute(config: EvaluateConfig, run_dir: Path) -> dict[str, Any]:
    """One evaluation, in the process that Hydra or its launcher gave it."""
    from scan_lightning.training.evaluate import evaluate

    return evaluate(config, run_dir)

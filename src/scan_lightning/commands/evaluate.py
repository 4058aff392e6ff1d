"""`scan-lightning evaluate`: recall of a trained model on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scan_lightning.config import EvaluateConfig

HELP = "recall of a trained model on a split of a store"


def run(overrides: list[str]) -> int:
    """Evaluate what the overrides say; returns the status."""
    from scan_lightning.launch.app import launch
    from scan_lightning.launch.command import Command

    return launch(Command("evaluate", "evaluate", EvaluateConfig, execute, continues=False), overrides)


def execute(config: EvaluateConfig, run_dir: Path) -> dict[str, Any]:
    """One evaluation, in the process that Hydra or its launcher gave it."""
    from scan_lightning.training.evaluate import evaluate

    return evaluate(config, run_dir)

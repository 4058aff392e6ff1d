"""An evaluation: a checkpoint and a store to the recalls of a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from scan_lightning.config.schema import EvaluateConfig, plain
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.files import write_text
from scan_lightning.model.checkpoint import load
from scan_lightning.training.evaluation import evaluate_split
from scan_lightning.training.module import ScanModule
from scan_lightning.training.results import print_results
from scan_lightning.training.run_record import RunRecord
from scan_lightning.training.trainer import is_main_process


def evaluate(config: EvaluateConfig, run_dir: Path) -> dict[str, Any]:
    """Evaluate a checkpoint on a split of a store.

    Words become ids by the checkpoint's own text encoder, never the store's.

    Args:
        config: checked.
        run_dir: where results.json, results.csv, ranks.npz, config.yaml and run.json go.

    Returns:
        The content of results.json.

    Raises:
        ScanError: an unusable checkpoint or store, or two that do not fit each other.
        KeyboardInterrupt: stopped; nothing is written.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    trained = load(config.checkpoint, config.trust)
    data = ScanDataModule(config.data.path, workers=config.data.workers, test_split=config.split)
    check_width(data, trained.feature_dim, config.checkpoint)
    record = RunRecord("evaluate", plain(config), run_dir)
    module = ScanModule(trained.network, trained.rule)
    results = evaluate_split(module, data=data, trainer=config.trainer, run_dir=run_dir, folds=config.folds)
    if is_main_process():
        write_text(
            run_dir / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
        )
        record.end("done", checkpoint=config.checkpoint, data=str(data.store.path))
        print_results(results, run_dir)
    return results


def check_width(data: ScanDataModule, feature_dim: int, checkpoint: str) -> None:
    """Refuse features that a model does not take.

    Raises:
        ScanError: their width is another.
    """
    if data.feature_dim != feature_dim:
        raise ScanError(
            f"{data.store.path}: its features are {data.feature_dim} wide, but {checkpoint} takes "
            f"{feature_dim}; give the store it was trained on, or one with the same features"
        )

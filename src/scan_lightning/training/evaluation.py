"""Evaluates a module on a split of a store, on one process or several, and writes the results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from scan_lightning.training.callbacks.training_progress import EncodingProgress
from scan_lightning.training.results import ResultWriter, check_split, depth
from scan_lightning.training.trainer import DEVICES, build_trainer, lightning_run


def evaluate_split(
    module: Any,
    *,
    data: Any,
    trainer: Mapping[str, Any],
    run_dir: Path,
    folds: int = 1,
    ranks: bool = True,
) -> dict[str, Any]:
    """Return the content of the results.json that the evaluation wrote.

    Args:
        module: `ScanModule`, or another with its attributes `ranks`, `folds`, `top_k` and `progress`.
        data: a DataModule with a `store`, and a `test_split` that its test loaders give.
        trainer: the configuration's node; devices are taken from it.
        run_dir: where results.json, results.csv and ranks.npz go.
        folds: consecutive equal parts of the images, ranked apart.
        ranks: write ranks.npz and intervals too, and show progress.

    Raises:
        ScanError: the split cannot be ranked.
        KeyboardInterrupt: stopped; nothing is written.
    """
    store, split = data.store, data.test_split
    check_split(store, split, folds)
    module.folds, module.progress = folds, ranks
    module.top_k = depth(store, split, folds) if ranks else 0
    node = {name: value for name, value in trainer.items() if name in (*DEVICES, "_target_")}
    with lightning_run():
        callbacks: list[pl.Callback] = [ResultWriter(run_dir, store, split, ranks=ranks)]
        callbacks += [EncodingProgress()] if ranks else []
        build_trainer(node, run_dir, callbacks=callbacks, barebones=False).test(
            module, datamodule=data, verbose=False
        )
    results: dict[str, Any] = json.loads((run_dir / "results.json").read_text(encoding="utf-8"))
    return results

"""An evaluation: a checkpoint and a store to the recalls of a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from scan_lightning.config import EvaluateConfig, plain
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.files import write_text
from scan_lightning.model.checkpoint import load
from scan_lightning.training.encoding_progress import EncodingProgress
from scan_lightning.training.module import ScanModule
from scan_lightning.training.outcome import OutcomeWriter, check_split, depth, print_outcome
from scan_lightning.training.record import RunRecord
from scan_lightning.training.trainer import build_trainer, is_main_process, lightning_run


def evaluate(config: EvaluateConfig, run_dir: Path) -> dict[str, Any]:
    """Evaluate a checkpoint on a split of a store.

    Words become ids by the checkpoint's own tokeniser and vocabulary, never the store's.

    Args:
        config: checked.
        run_dir: where results.json, results.csv, ranks.npz, config.yaml and run.json go.

    Returns:
        The content of results.json.

    Raises:
        ScanError: an unusable checkpoint or store, or two that do not fit each other.
        KeyboardInterrupt: stopped; nothing is written.
    """
    trained = load(config.checkpoint)
    split = config.split.value
    data = ScanDataModule(
        config.data.path,
        workers=config.data.workers,
        vocabulary=trained.vocabulary,
        test_split=split,  # type: ignore[arg-type]
    )
    data.val_dataloader = data.test_dataloader  # type: ignore[method-assign]
    if data.feature_dim != trained.feature_dim:
        raise ScanError(
            f"{data.store.path}: its features are {data.feature_dim} wide, but {config.checkpoint} takes "
            f"{trained.feature_dim}; give the store it was trained on, or one with the same features"
        )
    check_split(data.store, split, config.folds)
    module = ScanModule(trained.config, trained.network, trained.vocabulary, trained.tokenizer_name)
    module.folds = config.folds
    module.top_k = depth(data.store, split, config.folds)
    record = RunRecord("evaluate", config, run_dir)
    with lightning_run():
        writer = OutcomeWriter(run_dir, data.store, split)
        trainer = build_trainer(config.trainer, run_dir, callbacks=[writer, EncodingProgress()])
        trainer.validate(module, datamodule=data, verbose=False)
    results: dict[str, Any] = json.loads((run_dir / "results.json").read_text(encoding="utf-8"))
    if is_main_process():
        write_text(run_dir / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False))
        record.end("done", checkpoint=config.checkpoint, data=str(data.store.path))
        print_outcome(results, run_dir)
    return results

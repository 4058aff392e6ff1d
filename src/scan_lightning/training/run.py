"""A training run: from a configuration to a folder with checkpoints, series, record and results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from scan_lightning.choices import Cache, LoggerKind
from scan_lightning.config import TrainConfig
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.model.scan import ScanModel
from scan_lightning.quiet import quiet
from scan_lightning.report.tables import recall_table
from scan_lightning.training.loggers import build_loggers
from scan_lightning.training.module import ScanModule
from scan_lightning.training.opening import Opening
from scan_lightning.training.panels import Panels
from scan_lightning.training.progress import ProgressLines
from scan_lightning.training.record import RunRecord
from scan_lightning.training.recorder import Recorder
from scan_lightning.training.results import results_of, write_results
from scan_lightning.training.resume import ResumePoint, check_data, read_point, resume_point
from scan_lightning.training.saving import Saving
from scan_lightning.training.stopping import Stopping
from scan_lightning.training.trainer import build_trainer, is_main_process, lightning_run
from scan_lightning.training.watching import Watch


def train(config: TrainConfig, run_dir: Path) -> dict[str, Any]:
    """Train, or go on with, the run that `config` describes.

    Args:
        config: checked.
        run_dir: its folder: config.yaml, run.json, metrics.csv, results.json, results.csv and checkpoints/.

    Returns:
        The content of results.json: the recalls of best.ckpt on val.

    Raises:
        ScanError: a user's fault, in the data, the checkpoint to resume from, or the folder.
        KeyboardInterrupt: the run was stopped; its last checkpoint is whole.
    """
    point = resume_point(config, run_dir)
    data = ScanDataModule(
        config.data.path,
        batch_size=config.effective_batch,
        workers=config.data.workers,
        seed=config.seed,
        word_threshold=config.data.word_threshold,
        cache="device" if config.data.cache is Cache.device else "none",
    )
    steps = _steps(config, data)
    if point is not None:
        check_data(point, data)
        if point.validated and point.step >= steps:
            print(f"{run_dir}: finished already, after {point.step} steps", file=sys.stderr)
            return _finish(run_dir, data, point)
        if point.step >= steps:
            raise ScanError(
                f"{point.path}: is at step {point.step} already, within an epoch and not validated, and the "
                f"run ends at step {steps}; raise trainer.max_steps or trainer.max_epochs"
            )
    _fit(config, run_dir, data, point)
    return _finish(run_dir, data, read_point(run_dir / "checkpoints" / "last.ckpt"))


def _fit(config: TrainConfig, run_dir: Path, data: ScanDataModule, point: ResumePoint | None) -> None:
    torch.manual_seed(config.seed)
    network = ScanModel(data.feature_dim, len(data.vocabulary), config.model)
    module = ScanModule(config, network, data.vocabulary, data.vocabulary.tokenizer)
    with lightning_run():
        record = RunRecord(
            "train",
            config,
            run_dir,
            earlier_seconds=point.seconds if point else 0.0,
            data={"path": str(data.store.path), "source": data.store.source, **data.store.splits},
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            resumed_from=str(point.path) if point else None,
            effective_batch=config.effective_batch,
        )
        recorder = Recorder(run_dir, point.series if point else None)
        saving = Saving(
            run_dir / "checkpoints",
            every_steps=config.checkpointing.every_steps,
            keep=config.checkpointing.keep,
            source=point.path.parent if point else None,
            seconds=record.seconds,
        )
        loggers = build_loggers(config, run_dir, resumed=point is not None)
        opening = Opening(config, run_dir, record=record, recorder=recorder, saving=saving, loggers=loggers)
        stopping = Stopping()
        progress = [] if quiet() else [ProgressLines()]
        watching = [Watch(config, saving), *progress, *_panels(config, data), stopping]
        trainer = build_trainer(
            config.trainer,
            run_dir,
            callbacks=[opening, recorder, *watching, saving],
        )
        record.values["processes"] = trainer.world_size
        status = "failed"
        try:
            trainer.fit(module, datamodule=data, ckpt_path=point.path if point else None)
            status = "done"
        except SystemExit:
            status = "interrupted"
            raise
        finally:
            if is_main_process() and record.has_begun():
                record.end(status, steps=trainer.global_step)
                if status == "interrupted":
                    _say_how_to_go_on(trainer.global_step, saving.saved_step, run_dir)
                    stopping.requeue()


def _panels(config: TrainConfig, data: ScanDataModule) -> list[Panels]:
    every = config.logger.panel_every_epochs
    return [Panels(data, every)] if every and config.logger.kind is not LoggerKind.csv else []


def _say_how_to_go_on(step: int, saved: int, run_dir: Path) -> None:
    there = f"saved at step {saved}" if saved >= 0 else "before anything was saved"
    print(
        f"stopped at step {step}, {there}; the same command with run_dir={run_dir} resume=auto goes on",
        file=sys.stderr,
    )


def _steps(config: TrainConfig, data: ScanDataModule) -> int:
    """Return how many optimizer steps the whole run has."""
    steps = config.trainer.max_epochs * data.steps_per_epoch
    return steps if config.trainer.max_steps == -1 else min(steps, config.trainer.max_steps)


def _finish(run_dir: Path, data: ScanDataModule, point: ResumePoint) -> dict[str, Any]:
    images, captions = data.sizes("val")
    results = results_of(point.best, split="val", images=images, captions=captions)
    if is_main_process():
        write_results(run_dir, results)
        console = Console(highlight=False, soft_wrap=True)
        console.print(recall_table(results))
        console.print(f"best of {point.step} steps at step {point.best['step']}; everything is in {run_dir}")
    return results

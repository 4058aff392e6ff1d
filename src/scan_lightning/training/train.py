"""A training run: from a configuration to a folder with checkpoints, series, record and results."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from rich.console import Console

from scan_lightning.config.devices import shares_terminal
from scan_lightning.config.nodes import instantiate, partial
from scan_lightning.config.schema import TrainConfig, plain
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.files import link_file
from scan_lightning.model.checkpoint import check_state, read_checkpoint
from scan_lightning.quiet import quiet
from scan_lightning.report.tables import recall_table
from scan_lightning.training.callbacks.checkpoints import BestCheckpoint, LastCheckpoint, dry
from scan_lightning.training.callbacks.graceful_shutdown import GracefulShutdown
from scan_lightning.training.callbacks.nan_monitor import NaNMonitor
from scan_lightning.training.callbacks.resume_state import ResumeState, StepSeed
from scan_lightning.training.callbacks.run_folder import RunFolder
from scan_lightning.training.callbacks.speed import SpeedMonitor
from scan_lightning.training.callbacks.training_progress import progress_bar
from scan_lightning.training.evaluation import evaluate_split
from scan_lightning.training.init_from import init_weights
from scan_lightning.training.loggers.metrics_csv import MetricsCSV
from scan_lightning.training.loggers.wandb_run import WandbRun, sweep_name
from scan_lightning.training.module import ScanModule
from scan_lightning.training.optimizers import build_optimizer
from scan_lightning.training.results import print_results
from scan_lightning.training.resume import ResumePoint, check_data, finished, resume_point
from scan_lightning.training.run_record import RunRecord
from scan_lightning.training.trainer import build_trainer, is_main_process, lightning_run


def train(config: TrainConfig, run_dir: Path) -> dict[str, Any]:
    """Train, or resume, the run that `config` describes.

    Args:
        config: checked.
        run_dir: its folder: config.yaml, run.json, metrics.csv, results.json, results.csv and checkpoints/.

    Returns:
        The content of results.json: the recalls of best.ckpt on val; nothing after a `fast_dev_run`.

    Raises:
        ScanError: a user's error, in the data, the checkpoint to resume from, or the folder.
        KeyboardInterrupt: the run was stopped; its last checkpoint is complete.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    point = resume_point(config, run_dir)
    data: ScanDataModule = instantiate(config.data, "data")
    if point is not None:
        check_data(point, data)
    torch.manual_seed(config.seed)
    module = build_module(config, data)
    build_optimizer(module.optimizer, module)  # refused before the run's folder is made
    _check_interval(config.trainer, data)
    if config.init_from is not None:
        init_weights(module, config.init_from, config.trust)
    if point is not None:
        check_state(point.path, module, read_checkpoint(point.path, lazily=True)["state_dict"])
    if point is not None and finished(config, run_dir):
        print(f"{run_dir}: finished already, after {point.step} steps", file=sys.stderr)
    else:
        trainer = _fit(config, run_dir, data, module, point)
        if dry(trainer):
            print("fast_dev_run: the loops ran; nothing is kept", file=sys.stderr)
            return {}
    return _finish(config, run_dir, data, module)


def build_module(config: TrainConfig, data: ScanDataModule) -> ScanModule:
    """Return the module that a configuration describes, with fresh weights."""
    model = partial(config.model, "model")
    return ScanModule(
        model(feature_dim=data.feature_dim, vocabulary=data.vocabulary),
        instantiate(config.attention, "attention"),
        optimizer=partial(config.optimizer, "optimizer"),
        scheduler=partial(config.scheduler, "scheduler") if config.scheduler else None,
        loss=instantiate(config.loss, "loss"),
    )


def _check_interval(trainer: Mapping[str, Any], data: ScanDataModule) -> None:
    """Refuse to validate less often than once an epoch by `val_check_interval`.

    Raises:
        ScanError: it is longer than an epoch.
    """
    interval, limit = trainer.get("val_check_interval"), trainer.get("limit_train_batches")
    steps = data.steps_per_epoch
    if limit is not None:
        steps = min(steps, limit) if isinstance(limit, int) else int(steps * limit)
    if trainer.get("check_val_every_n_epoch", 1) and isinstance(interval, int) and interval > steps:
        raise ScanError(
            f"trainer.val_check_interval: found {interval}, an epoch has {steps} batches; give fewer, or "
            "trainer.check_val_every_n_epoch=null to count over epochs"
        )


def _fit(
    config: TrainConfig, run_dir: Path, data: ScanDataModule, module: ScanModule, point: ResumePoint | None
) -> pl.Trainer:
    with lightning_run():
        record = RunRecord(
            "train",
            plain(config),
            run_dir,
            earlier_seconds=point.seconds if point else 0.0,
            data={"path": str(data.store.path), "source": data.store.source, **data.store.splits},
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            resumed_from=str(point.path) if point else None,
            batch_size=data.batch_size,
        )
        folder = run_dir / "checkpoints"
        last = LastCheckpoint(
            folder, every_steps=config.checkpointing.every_steps, keep=config.checkpointing.keep
        )
        elsewhere = point is not None and point.best is not None and point.best.parent != folder
        shutdown = GracefulShutdown()
        callbacks: list[pl.Callback] = [
            RunFolder(
                plain(config),
                run_dir,
                record=record,
                loggers=_loggers(config, run_dir, point),
                best=point.best if point is not None and elsewhere else None,
            ),
            StepSeed(config.seed),
            SpeedMonitor(),
            NaNMonitor(),
            *([] if quiet() else [progress_bar(run_dir.name if shares_terminal() else "")]),
            *(instantiate(node, f"callbacks.{name}") for name, node in config.callbacks.items() if node),
            ResumeState(),
            shutdown,
            BestCheckpoint(folder),
            last,
        ]
        trainer = build_trainer(config.trainer, run_dir, callbacks=callbacks)
        record.values["processes"] = trainer.world_size
        status = "failed"
        try:
            trainer.fit(module, datamodule=data, ckpt_path=point.path if point else None, weights_only=True)
            status = "done"
        except SystemExit:
            status = "interrupted"
            raise
        finally:
            if is_main_process() and record.has_begun():
                record.end(status, steps=trainer.global_step)
                if status == "interrupted":
                    _print_resume(trainer.global_step, last.saved_step, run_dir)
                    shutdown.requeue()
    return trainer


def _loggers(config: TrainConfig, run_dir: Path, point: ResumePoint | None) -> list[Logger]:
    every = config.trainer.get("log_every_n_steps") or 1
    series = MetricsCSV(run_dir, point.step if point else None, point.series if point else None, every)
    loggers: list[Logger] = [series]
    for name, node in config.logger.items():
        if node is None:
            continue
        logger = instantiate(node, f"logger.{name}")
        if isinstance(logger, WandbRun):
            logger.config, logger.resumed = plain(config), point is not None
            logger.group = logger.group or sweep_name()
        loggers.append(logger)
    return loggers


def _print_resume(step: int, saved: int, run_dir: Path) -> None:
    there = f"saved at step {saved}" if saved >= 0 else "before anything was saved"
    print(
        f"stopped at step {step}, {there}; the same command with run_dir={run_dir} resume=auto resumes it",
        file=sys.stderr,
    )


def _finish(config: TrainConfig, run_dir: Path, data: ScanDataModule, module: ScanModule) -> dict[str, Any]:
    """Evaluate best.ckpt on the complete val split, and on test when asked to."""
    best, last = (run_dir / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    evaluate = functools.partial(evaluate_split, module, trainer=config.trainer)
    val = data.on_split("val")
    ending = read_checkpoint(last, lazily=True)
    ends_best = False
    if ending["callbacks"][LastCheckpoint.__qualname__]["validated_step"] != ending["global_step"]:
        # Asked before the evaluation, where processes meet: each must see what was there before the link.
        score = ending["callbacks"][BestCheckpoint.__qualname__]["score"] if best.exists() else None
        _load_weights(module, last, ending)
        rsum = evaluate(data=val, run_dir=run_dir, ranks=False)["rsum"]
        ends_best = score is None or rsum > score
        if ends_best and is_main_process():
            link_file(last, best)
    content = ending if ends_best else read_checkpoint(best)
    _load_weights(module, best, content)
    results = evaluate(data=val, run_dir=run_dir, ranks=False)
    if is_main_process():
        console = Console(highlight=False, soft_wrap=True)
        console.print(recall_table(results))
        step = content["global_step"]
        console.print(f"best.ckpt is of step {step}; everything is in {run_dir}", markup=False)
    if config.test_after:
        test = evaluate(data=data.on_split("test"), run_dir=run_dir / "test")
        if is_main_process():
            print_results(test, run_dir / "test")
    return results


def _load_weights(module: ScanModule, path: Path, content: dict[str, Any]) -> None:
    check_state(path, module, content["state_dict"])
    module.load_state_dict(content["state_dict"])

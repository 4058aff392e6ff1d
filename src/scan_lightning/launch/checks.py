"""What the schema alone cannot tell: settings without effect, files that are missing, faults of launching."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from scan_lightning.choices import (
    Accelerator,
    Aggregation,
    Cache,
    LoggerKind,
    Negatives,
    NegativesScope,
    Rule,
    Strategy,
)
from scan_lightning.config import EnsembleConfig, EvaluateConfig, TrainConfig
from scan_lightning.places import folder_fault
from scan_lightning.settings import MISSING
from scan_lightning.validate import Fault, leaf_keys

FILES = {
    "data.path": "a store made by `scan-lightning data build`",
    "checkpoint": "a run's checkpoints/best.ckpt",
    "checkpoints": "a run's checkpoints/best.ckpt",
    "resume": "a run's checkpoints/last.ckpt, or auto",
}


def without_effect(
    config: TrainConfig | EvaluateConfig | EnsembleConfig, given: Collection[str]
) -> Iterator[str]:
    """Warnings about settings that change nothing beside the others.

    Args:
        config: a checked config.
        given: the keys that the user set on the command line.
    """
    if isinstance(config, EvaluateConfig | EnsembleConfig):
        names = ("max_epochs", "max_steps", "precision", "accumulate_grad_batches")
        for key in ("data.word_threshold", "data.cache", *(f"trainer.{name}" for name in names)):
            if key in given:
                yield f"{key} has no effect on evaluation (the checkpoint's vocabulary, one pass in fp32)"
        return
    default = TrainConfig()
    attention = config.attention
    if attention.rule is Rule.summax:
        for name in ("smoothing", "raw_norm", "aggregation", "lse_scale"):
            value = getattr(attention, name)
            if f"attention.{name}" in given or value != getattr(default.attention, name):
                yield f"attention.{name}={value} has no effect with attention.rule=summax (no attention)"
    elif attention.aggregation is not Aggregation.lse and (
        "attention.lse_scale" in given or attention.lse_scale != default.attention.lse_scale
    ):
        yield (
            f"attention.lse_scale={attention.lse_scale:g} has no effect with "
            f"attention.aggregation={attention.aggregation} (only lse uses it)"
        )
    if config.loss.warmup_steps and config.loss.negatives is Negatives.all:
        yield (
            f"loss.warmup_steps={config.loss.warmup_steps} has no effect with loss.negatives=all "
            "(the warm-up is the steps with all negatives)"
        )
    trainer = config.trainer
    if config.loss.large_batch and trainer.accumulate_grad_batches == 1:
        yield (
            "loss.large_batch=true has no effect with trainer.accumulate_grad_batches=1 (it makes one "
            "batch of those that are accumulated)"
        )
    if config.loss.negatives_scope is NegativesScope.own_share and trainer.devices == trainer.nodes == 1:
        yield "loss.negatives_scope=local has no effect on one device (its share is the whole batch)"
    if "optimizer.decay_epoch" in given and config.optimizer.decay_epoch >= config.trainer.max_epochs:
        yield (
            f"optimizer.decay_epoch={config.optimizer.decay_epoch} has no effect with "
            f"trainer.max_epochs={config.trainer.max_epochs} (the run ends before)"
        )
    if config.logger.kind is LoggerKind.csv:
        for key in leaf_keys(TrainConfig):
            if key.startswith("logger.") and key != "logger.kind" and key in given:
                yield f"{key} has no effect with logger=csv (metrics.csv goes into the run's folder)"


def contradictions(config: TrainConfig | EvaluateConfig | EnsembleConfig) -> Iterator[Fault]:
    """Faults of settings that exclude each other."""
    if not isinstance(config, TrainConfig):
        return
    if config.data.cache is Cache.device and config.trainer.accelerator is Accelerator.cpu:
        yield Fault(
            "data.cache",
            "device, a GPU, with trainer.accelerator=cpu",
            "give data.cache=none, or a trainer with a GPU",
        )
    if config.loss.large_batch:
        return
    count = config.trainer.accumulate_grad_batches
    if count > 1:
        yield Fault(
            "trainer.accumulate_grad_batches",
            f"{count} batches a step, each with negatives among its own {config.data.batch_size} pairs only, "
            "which is not the loss of one large batch",
            "add loss.large_batch=true, which encodes the batches one after the other and takes one loss "
            f"over all {config.effective_batch} pairs, or give trainer.accumulate_grad_batches=1",
        )


def missing_files(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of paths that must exist, and of packages that an option needs.

    Args:
        values: a config's plain values, which may have other faults.
    """
    for key, expected in FILES.items():
        value: Any = values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and path not in (MISSING, "") and (key, path) != ("resume", "auto"):
                yield from _not_a_file(key, path, expected)
    logger = values.get("logger")
    kind = logger.get("kind") if isinstance(logger, Mapping) else None
    if kind == LoggerKind.tensorboard and find_spec("tensorboard") is None:
        yield Fault("logger", "tensorboard is not installed", "pip install 'scan-lightning[tensorboard]'")


def unwritable(folder: Path) -> Iterator[Fault]:
    """The fault of a run's folder that could not be made or written to; nothing is created."""
    fault = folder_fault(folder)
    if fault is not None:
        yield Fault("run_dir", fault, "choose another run_dir, or change its permissions")


def launching(
    config: TrainConfig | EvaluateConfig | EnsembleConfig,
    launcher: DictConfig,
    given: Collection[str],
    *,
    multirun: bool,
) -> Iterator[Fault]:
    """Faults of how processes would be started.

    Under `-m` each job of a `ddp` run starts the command again for its other devices, and each of those would
    run the whole sweep.
    """
    outside = started_from_outside()
    trainer = config.trainer
    several = trainer.devices * trainer.nodes != 1
    if multirun and several and trainer.strategy in (Strategy.auto, Strategy.ddp) and not outside:
        tasks = launcher.get("tasks_per_node", 1)
        if tasks == 1:
            count = "all" if trainer.devices == -1 else trainer.devices
            yield Fault(
                "trainer.devices",
                f"{count} devices a job (strategy {trainer.strategy}) under -m, where every process of a job "
                "would run the whole sweep again",
                "either one device a job and the jobs in parallel (trainer.devices=1 with "
                "hydra/launcher=joblib, or with hydra/launcher=submitit_slurm on Slurm), or no -m and one "
                "process tree for a run on several devices (torchrun --nproc-per-node=N -m scan_lightning "
                "train trainer=ddp trainer.devices=N run_dir=DIR ...)",
            )
    if outside and "run_dir" not in given:
        yield Fault(
            "run_dir",
            "the default, a time of day, may differ between the processes of torchrun or srun",
            "give run_dir=DIR",
        )


def started_from_outside() -> bool:
    """Whether torchrun or srun started this process beside others, one a device."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1") if "SLURM_STEP_ID" in os.environ else "1"
    return "TORCHELASTIC_RUN_ID" in os.environ or tasks != "1"


def _not_a_file(key: str, path: str, expected: str) -> Iterator[Fault]:
    try:
        is_folder, there = Path(path).is_dir(), Path(path).exists()
    except PermissionError:
        yield Fault(
            key, f"{path} is where you may not look", "ask for permission, or copy it to your own place"
        )
        return
    if is_folder:
        yield Fault(key, f"{path} is a folder", f"expected a file: {expected}")
    elif not there:
        where = "" if Path(path).is_absolute() else f" (looked for {Path(path).absolute()})"
        yield Fault(key, f"there is no file {path}{where}", f"expected {expected}")

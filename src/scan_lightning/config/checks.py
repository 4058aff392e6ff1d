"""What signatures cannot tell: settings without effect, files that are missing, errors of launching."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from scan_lightning.config.nodes import MISSING
from scan_lightning.config.problems import Problem
from scan_lightning.config.schema import EnsembleConfig, EvaluateConfig, TrainConfig
from scan_lightning.options import Range, options_of
from scan_lightning.places import folder_fault
from scan_lightning.similarity import Attention

FILES = {
    "data.path": "a store made by `scan-lightning data build`",
    "checkpoint": "a run's checkpoints/best.ckpt",
    "checkpoints": "a run's checkpoints/best.ckpt",
    "resume": "a run's checkpoints/last.ckpt, or auto",
    "init_from": "a run's checkpoints/best.ckpt",
}
EVALUATION_TRAINER = ("accelerator", "strategy", "devices", "num_nodes")
RELEASED_ENCODERS = {"words": ("word_size", "bidirectional"), "regions": ("weight_norm",)}

DEVICES = Range(at_least=1, special=-1, special_meaning="all there are")
ONE = Range(at_least=1)
LENGTH = Range(at_least=1, special=-1, special_meaning="no limit")

Config = TrainConfig | EvaluateConfig | EnsembleConfig


def without_effect(config: Config, given: Collection[str]) -> Iterator[str]:
    """Warnings about settings that change nothing beside the others.

    Args:
        config: a checked config.
        given: the keys that the user set on the command line.
    """
    if not isinstance(config, TrainConfig):
        for key in sorted(given):
            section, _, name = key.partition(".")
            if section == "trainer" and name and name not in EVALUATION_TRAINER:
                yield f"{key} has no effect on evaluation (one pass in fp32)"
        return
    yield from _attention(config.attention, given)
    loss = config.loss
    if loss.get("warmup_steps") and loss.get("negatives") == "all":
        yield (
            f"loss.warmup_steps={loss['warmup_steps']} has no effect with loss.negatives=all "
            "(the warm-up is the steps with all negatives)"
        )
    trainer = config.trainer
    if (
        loss.get("negatives_scope") == "local"
        and trainer.get("devices", 1) == trainer.get("num_nodes", 1) == 1
    ):
        yield "loss.negatives_scope=local has no effect on one device (its share is the whole batch)"
    decay, epochs = (config.scheduler or {}).get("decay_epoch"), trainer.get("max_epochs")
    if "scheduler.decay_epoch" in given and decay and epochs and epochs > 0 and decay >= epochs:
        yield (
            f"scheduler.decay_epoch={decay} has no effect with trainer.max_epochs={epochs} "
            "(the run ends before)"
        )
    for encoder, names in RELEASED_ENCODERS.items():
        for name in names:
            if config.model.get(encoder) and f"model.{name}" in given:
                yield f"model.{name} has no effect with model.{encoder} (it is of the released encoder)"


def _attention(node: Mapping[str, Any], given: Collection[str]) -> Iterator[str]:
    default = options_of(Attention)["lse_scale"].default
    scale, aggregation = node.get("lse_scale"), node.get("aggregation")
    if scale is None or aggregation in (None, "lse"):
        return
    if "attention.lse_scale" in given or (str(node["_target_"]).endswith("Attention") and scale != default):
        yield (
            f"attention.lse_scale={scale:g} has no effect with attention.aggregation={aggregation} "
            "(only lse uses it)"
        )


def contradictions(schema: type[Any], values: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of numbers with which nothing runs, and of settings that exclude each other."""
    limits = {"devices": DEVICES, "num_nodes": ONE}
    trainer, data = _node(values, "trainer"), _node(values, "data")
    if schema is TrainConfig:
        limits |= {"max_epochs": LENGTH, "max_steps": LENGTH, "accumulate_grad_batches": ONE}
    for name, limit in limits.items():
        value = trainer.get(name)
        if isinstance(value, int) and not limit.allows(value):
            yield Problem(f"trainer.{name}", f"found {value}", f"expected an integer, {limit}")
    if data.get("cache") == "device" and trainer.get("accelerator") == "cpu":
        yield Problem(
            "data.cache",
            "device, a GPU, with trainer.accelerator=cpu",
            "give data.cache=none, or a trainer with a GPU",
        )


def missing_files(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of paths that must exist.

    Args:
        values: a config's plain values, which may have other problems.
    """
    for key, expected in FILES.items():
        value: Any = values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and path not in (MISSING, "") and (key, path) != ("resume", "auto"):
                yield from _not_a_file(key, path, expected)


def unwritable(folder: Path) -> Iterator[Problem]:
    """The problem of a run's folder that could not be made or written to; nothing is created."""
    fault = folder_fault(folder)
    if fault is not None:
        yield Problem("run_dir", fault, "choose another run_dir, or change its permissions")


def launching(
    values: Mapping[str, Any], launcher: DictConfig, given: Collection[str], *, multirun: bool
) -> Iterator[Problem]:
    """Problems of how processes would be started.

    Under `-m` each job of a `ddp` run starts the command again for its other devices, and each of those would
    run the whole sweep.
    """
    outside = started_from_outside()
    trainer = _node(values, "trainer")
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    strategy = trainer.get("strategy", "auto")
    several = devices != 1 or nodes != 1
    if multirun and several and strategy in ("auto", "ddp") and not outside:
        tasks = launcher.get("tasks_per_node", 1)
        if tasks == 1:
            count = "all" if devices in (-1, "auto") else devices
            yield Problem(
                "trainer.devices",
                f"{count} devices a job (strategy {strategy}) under -m, where every process of a job "
                "would run the whole sweep again",
                "either one device a job and the jobs in parallel (trainer.devices=1 with "
                "hydra/launcher=joblib, or with hydra/launcher=submitit_slurm on Slurm), or no -m and one "
                "process tree for a run on several devices (torchrun --nproc-per-node=N -m scan_lightning "
                "train trainer=ddp trainer.devices=N run_dir=DIR ...)",
            )
    if outside and "run_dir" not in given:
        yield Problem(
            "run_dir",
            "the default, a time of day, may differ between the processes of torchrun or srun",
            "give run_dir=DIR",
        )


def _node(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def started_from_outside() -> bool:
    """Whether torchrun or srun started this process beside others, one a device."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1") if "SLURM_STEP_ID" in os.environ else "1"
    return "TORCHELASTIC_RUN_ID" in os.environ or tasks != "1"


def _not_a_file(key: str, path: str, expected: str) -> Iterator[Problem]:
    place = Path(path).expanduser()
    try:
        is_folder, there = place.is_dir(), place.exists()
    except PermissionError:
        yield Problem(key, f"{path} cannot be looked up: permission denied", "ask for permission, or copy it")
        return
    if is_folder:
        yield Problem(key, f"{path} is a folder", f"expected a file: {expected}")
    elif not there:
        where = "" if place.is_absolute() else f" (looked for {place.absolute()})"
        yield Problem(key, f"there is no file {path}{where}", f"expected {expected}")

"""From partials to the optimizer and the learning-rate schedule of a module."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from scan_lightning.errors import ScanError
from scan_lightning.training.schedules import StepSchedule

OPTIMIZER_EXTRAS = ("groups",)  # arguments of a node that are not the optimizer's own
SCHEDULER_EXTRAS = ("interval", "frequency", "monitor")  # Lightning's


def split_partial(
    partial: Callable[..., Any], extras: tuple[str, ...]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return a partial without those keywords, and the keywords."""
    if not isinstance(partial, functools.partial):
        return partial, {}
    keywords = dict(partial.keywords)
    taken = {name: keywords.pop(name) for name in extras if name in keywords}
    return functools.partial(partial.func, *partial.args, **keywords), taken


def build_optimizer(partial: Callable[..., Optimizer], module: pl.LightningModule) -> Optimizer:
    """Return the optimizer of a module's parameters.

    Args:
        partial: of an optimizer; `groups` in it maps prefixes of parameter names (`text_encoder`,
            `similarity`) to arguments of their own, such as `{"lr": 1e-5}`.
        module: whose parameters are trained.

    Raises:
        ScanError: a prefix that no parameter has.
    """
    build, extras = split_partial(partial, OPTIMIZER_EXTRAS)
    groups: Mapping[str, Mapping[str, Any]] = extras.get("groups") or {}
    named = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    left = dict(named)
    parts: list[dict[str, Any]] = []
    for prefix, arguments in groups.items():
        members = [name for name in left if name.startswith((prefix, f"model.{prefix}"))]
        if not members:
            heads = sorted({".".join(name.removeprefix("model.").split(".")[:2]) for name in named})
            raise ScanError(
                f"optimizer.groups.{prefix}: no parameter's name begins so; there are {', '.join(heads)}"
            )
        parts.append({"params": [left.pop(name) for name in members], **arguments})
    optimizer: Optimizer = build([{"params": list(left.values())}, *parts] if left else parts)
    return optimizer


def build_scheduler(partial: Callable[..., Any], optimizer: Optimizer, trainer: pl.Trainer) -> dict[str, Any]:
    """Return Lightning's description of a schedule.

    Args:
        partial: of a schedule; `interval`, `frequency` and `monitor` in it are Lightning's. Schedules of this
            project are stepped every optimizer step and learn how many there are.
        optimizer: whose rate it sets.
        trainer: knows the length of the run.
    """
    build, extras = split_partial(partial, SCHEDULER_EXTRAS)
    cls = build.func if isinstance(build, functools.partial) else build
    if inspect.isclass(cls) and issubclass(cls, StepSchedule):
        total = trainer.estimated_stepping_batches  # also counts the batches of an epoch
        batches = int(trainer.num_training_batches)
        epoch_steps = -(-batches // trainer.accumulate_grad_batches)
        build = functools.partial(
            build, total_steps=int(total) if total < 2**62 else 0, epoch_steps=epoch_steps
        )
        extras.setdefault("interval", "step")
    if inspect.isclass(cls) and issubclass(cls, ReduceLROnPlateau):
        extras.setdefault("monitor", "val/rsum")
    return {"scheduler": build(optimizer), **extras}

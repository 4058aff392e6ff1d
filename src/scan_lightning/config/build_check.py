"""What a node's class has to be, and what it refuses itself, found by building it where that is cheap."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hydra

from scan_lightning.config.nodes import (
    EXTRAS,
    HYDRA_KEYS,
    NAMED,
    PARTIAL,
    first_line,
    head,
    instantiate,
    partial,
)
from scan_lightning.config.problems import Problem
from scan_lightning.errors import ScanError
from scan_lightning.options import NODE
from scan_lightning.specification import specification

KINDS = {  # what a node's class has to be
    "data": ("scan_lightning.ScanDataModule",),
    "attention": ("scan_lightning.Similarity",),
    "model": ("scan_lightning.ScanModel",),
    "loss": ("torch.nn.Module",),
    "optimizer": ("torch.optim.Optimizer",),
    "scheduler": ("torch.optim.lr_scheduler.LRScheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau"),
    "trainer": ("lightning.pytorch.Trainer",),
    "callbacks": ("lightning.pytorch.Callback",),
    "logger": ("lightning.pytorch.loggers.Logger",),
}
# A Trainer's other values are checked by building one; these depend on the machine of the job, or set it up.
MACHINE = (
    *("accelerator", "strategy", "devices", "num_nodes", "precision"),
    *("profiler", "deterministic", "benchmark", "detect_anomaly"),
)


def _kind_names(key: str) -> tuple[str, ...]:
    section = head(key)
    if key == section or (section in NAMED and key.count(".") == 1):
        return KINDS[section]
    return ("torch.nn.Module",) if section == "model" else ("builtins.object",)


def kinds(key: str) -> tuple[type, ...]:
    """The classes of which a node's class has to be one."""
    return tuple(hydra.utils.get_class(name) for name in _kind_names(key))


def expected_kind(key: str) -> str:
    """The same in words."""
    return f"expected a class derived from {' or '.join(_kind_names(key))}"


_BUILT: dict[str, list[Problem]] = {}  # of the jobs of a sweep many have the same node


def build_problems(key: str, node: Mapping[str, Any], target: Callable[..., Any]) -> list[Problem]:
    """What the class itself refuses, where building it costs nothing and touches nothing."""
    identity = json.dumps([key, node], sort_keys=True, default=str)
    if identity not in _BUILT:
        found = ""
        try:
            _build(key, node, target)
        except ScanError as error:
            found = str(error).removeprefix(f"{key}: ")
        except Exception as error:
            found = f"{node[NODE]} cannot be built ({first_line(error)})"
        named = [name for name in node if key == "trainer" and re.search(rf"\b{name}\b", found)]
        where = f"{key}.{named[0]}" if len(named) == 1 else key
        _BUILT[identity] = [Problem(where, found, "give arguments that it takes")] if found else []
    return _BUILT[identity]


def _build(key: str, node: Mapping[str, Any], target: Callable[..., Any]) -> None:
    if key in ("attention", "loss") or head(key) == "callbacks":
        built = instantiate(node, key)
        if isinstance(built, kinds(key)):
            specification(built, key) if key in ("attention", "loss") else None
        elif not node.get(PARTIAL):
            raise ScanError(f"{node[NODE]} gives a {type(built).__name__}; {expected_kind(key)}")
    elif key in ("optimizer", "scheduler"):
        import torch

        build = partial({name: value for name, value in node.items() if name not in EXTRAS[key]}, key)
        weights = [torch.nn.Parameter(torch.zeros(1))]
        build(weights if key == "optimizer" else torch.optim.SGD(weights, lr=1.0))
    elif key == "trainer":
        from lightning.fabric.plugins.environments.lightning import LightningEnvironment

        values = {
            name: value
            for name, value in node.items()
            if isinstance(value, int | float | str) and name not in (*MACHINE, *HYDRA_KEYS)
        }
        with _without_announcements():
            target(
                **{**values, **dict.fromkeys(("enable_progress_bar", "enable_model_summary"), False)},
                accelerator="cpu",
                plugins=[LightningEnvironment()],
                logger=False,
                enable_checkpointing=False,
            )


@contextmanager
def _without_announcements() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)

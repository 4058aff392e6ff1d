"""Runs a function in several processes that share a gloo group, and brings back what each returned."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

SECONDS = 60  # a collective that some process never comes to


def in_processes(world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return `function(*arguments)` of each of `world` processes, forked from this one, by rank."""
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _run, (world, folder, function, arguments), nprocs=world, start_method="fork", join=True
        )
        return [torch.load(Path(folder) / f"{rank}", weights_only=False) for rank in range(world)]


def _run(
    rank: int, world: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    from datetime import timedelta

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=SECONDS),
    )
    torch.save(function(*arguments), Path(folder) / f"{rank}")
    dist.barrier()
    dist.destroy_process_group()

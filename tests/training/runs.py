"""What the tests of training do with runs: start them, stop them, compare what they left."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from scan_lightning.config.schema import TrainConfig
from scan_lightning.training.module import ScanModule
from scan_lightning.training.train import train

MEASURED = ("train/pairs_per_second", "train/memory_gib")  # differ between two runs of the same thing


def start(config: TrainConfig) -> dict[str, Any]:
    return train(config, Path(config.run_dir))


def folder(config: TrainConfig) -> Path:
    return Path(config.run_dir)


def rows(config: TrainConfig) -> list[dict[str, str]]:
    with (folder(config) / "metrics.csv").open() as file:
        return [
            {name: value for name, value in row.items() if name not in MEASURED}
            for row in csv.DictReader(file)
        ]


def checkpoint(config: TrainConfig, name: str = "last.ckpt") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder(config) / "checkpoints" / name, weights_only=True)
    return content


def same_tensors(one: Any, other: Any) -> bool:
    """Whether two nested states hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_tensors(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_tensors, one, other))
    return bool(one == other)


@contextmanager
def breaking(step: int, error: BaseException) -> Iterator[None]:
    """Raise an error in place of optimizer step `step` (1 is the first)."""
    original = ScanModule.training_step

    def training_step(self: ScanModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step + 1 == step:
            raise error
        return original(self, batch, batch_idx)

    with patch.object(ScanModule, "training_step", training_step):
        yield

"""Runs of one or several processes on the small store of tests/training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scan_lightning.config.schema import TrainConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from small import make_config, write_small

# 120 pairs in batches of 59: three processes share the last two pairs of an epoch, so that one has none.
SETTINGS: dict[str, Any] = {
    "data": {"batch_size": 59, "word_threshold": 1},
    "model": {"embed_size": 16, "word_size": 12},
    "optimizer": {"lr": 0.002},
    "scheduler": {"decay_epoch": 1},  # ten times that, and one ULP becomes a per cent
    "trainer": {"accelerator": "cpu", "max_epochs": 2},
}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training images of three captions; 300 validation images, so that blocks do not divide either."""
    sizes = {"train": 40, "val": 300, "test": 12}
    return write_small(tmp_path_factory.mktemp("store") / "small.h5", sizes=sizes)


@pytest.fixture(scope="session")
def configure(store: Path) -> Callable[..., TrainConfig]:
    """Return a function that makes a config of two epochs of three steps for some number of processes."""

    def make(run_dir: Path, devices: int = 1, **changes: Any) -> TrainConfig:
        values: dict[str, Any] = {**SETTINGS, "run_dir": str(run_dir)}
        for section, change in changes.items():
            old = values.get(section, {})
            values[section] = {**old, **change} if isinstance(change, dict) else change
        values["data"] = {**values["data"], "path": str(store)}
        strategy = "ddp_fork" if devices > 1 else "auto"
        values["trainer"] = {**values["trainer"], "devices": devices, "strategy": strategy}
        return make_config(values)

    return make

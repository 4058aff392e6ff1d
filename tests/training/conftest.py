"""A small store, and configurations of runs on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small import Configure, make_config, write_small

from scan_lightning.config.schema import TrainConfig


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("store") / "small.h5")


@pytest.fixture
def configure(small_store: Path, tmp_path: Path) -> Configure:
    """Return a function that makes a config of two epochs of five steps, the last of them partial."""

    def make(run_dir: Path | None = None, **changes: dict[str, Any] | Any) -> TrainConfig:
        values: dict[str, Any] = {
            "data": {"path": str(small_store), "batch_size": 28, "word_threshold": 1},
            "model": {"embed_size": 16, "word_size": 12},
            "optimizer": {"lr": 0.01},
            "scheduler": {"decay_epoch": 1},
            "trainer": {"accelerator": "cpu", "max_epochs": 2},
            "run_dir": str(run_dir or tmp_path / "run"),
        }
        for section, change in changes.items():
            if isinstance(change, dict):
                values[section] = {**values.get(section, {}), **change}
            else:
                values[section] = change
        return make_config(values)

    return make

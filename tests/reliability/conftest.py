"""The store and the run that is broken again and again, and the same run unbroken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import start
from small import Configure, make_config, write_small

from scan_lightning.config.schema import TrainConfig


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAN_LIGHTNING_QUIET", "1")


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("store") / "small.h5")


def _configure(store: Path, run_dir: Path, **sections: dict[str, Any]) -> TrainConfig:
    values: dict[str, Any] = {
        "data": {"path": str(store), "batch_size": 28, "word_threshold": 1},
        "model": {"embed_size": 16, "word_size": 12},
        "optimizer": {"lr": 0.01},
        "scheduler": {"decay_epoch": 1},
        "trainer": {"accelerator": "cpu", "max_epochs": 2},
        "run_dir": str(run_dir),
        "resume": "auto",
    }
    for section, change in sections.items():
        values[section] = {**values.get(section, {}), **change}
    return make_config(values)


@pytest.fixture
def configure(small_store: Path) -> Configure:
    """Return a function that makes a config of two epochs of five steps, the last of them partial."""

    def make(run_dir: Path, **sections: dict[str, Any]) -> TrainConfig:
        return _configure(small_store, run_dir, **sections)

    return make


@pytest.fixture(scope="session")
def unbroken(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The run that nothing disturbed; how often it saves changes nothing."""
    config = _configure(small_store, tmp_path_factory.mktemp("runs") / "unbroken")
    start(config)
    return config

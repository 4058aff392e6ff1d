"""A small store that can be learnt in seconds, and runs on it without the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scan_lightning.config import TrainConfig
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.validate import build

WORDS = [first + last for first in "bcdfgklm" for last in ("ado", "eni", "iru", "ovo")]
SIZES = {"train": 40, "val": 12, "test": 12}
DIM = 16

Configure = Callable[..., TrainConfig]


def small_records(seed: int = 0, sizes: dict[str, int] | None = None) -> list[ImageRecord]:
    """Each picture has three of 32 things: a region direction each, and a word each."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(WORDS), DIM))
    records = []
    for split, count in (sizes or SIZES).items():
        for row in range(count):
            things = rng.choice(len(WORDS), 3, replace=False)
            regions = directions[things[np.arange(int(rng.integers(3, 7))) % 3]]
            captions = [
                " ".join(WORDS[thing] for thing in rng.permutation(things)[: 2 + index % 2])
                for index in range(3)
            ]
            records.append(
                ImageRecord(
                    id=f"{split}-{row}",
                    split=split,  # type: ignore[arg-type]
                    width=0,
                    height=0,
                    features=(regions + 0.1 * rng.normal(size=regions.shape)).astype(np.float32),
                    boxes=None,
                    captions=captions,
                )
            )
    return records


def write_small(path: Path, **options: Any) -> Path:
    records = small_records(**options)
    regions = sum(len(record.features) for record in records)
    write_store(
        path, records, source="small", feature_dim=DIM, images=len(records), regions=regions, progress=False
    )
    return path


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
            "optimizer": {"lr": 0.01, "decay_epoch": 1},
            "trainer": {"accelerator": "cpu", "max_epochs": 2},
            "run_dir": str(run_dir or tmp_path / "run"),
        }
        for section, change in changes.items():
            if isinstance(change, dict):
                values[section] = {**values.get(section, {}), **change}
            else:
                values[section] = change
        return build(TrainConfig, values)

    return make

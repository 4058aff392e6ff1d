"""A small data set that can be learnt in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scan_lightning.config.compose import compose_config
from scan_lightning.config.schema import EvaluateConfig, TrainConfig
from scan_lightning.data.writer import ImageRecord, write_store

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


def make_config(values: dict[str, Any]) -> TrainConfig:
    """The configuration that `train` composes for nested values."""
    config: TrainConfig = compose_config(TrainConfig, "config", overrides_of(values))
    return config


def make_evaluation(values: dict[str, Any]) -> EvaluateConfig:
    """The configuration that `evaluate` composes for nested values."""
    config: EvaluateConfig = compose_config(EvaluateConfig, "evaluate", overrides_of(values))
    return config


def overrides_of(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Nested values as the words of a command line."""
    words = []
    for name, value in values.items():
        if isinstance(value, dict):
            words += overrides_of(value, f"{prefix}{name}.")
        else:
            shown = f"'{value}'" if isinstance(value, str) else json.dumps(value)
            words.append(f"{prefix}{name}={shown}")
    return words

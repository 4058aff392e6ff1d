from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scan_lightning.choices import Aggregation, Direction

from scan_lightning.config import TrainConfig
from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.model.checkpoint import KEY, payload
from scan_lightning.model.scan import ScanModel

WORDS = [*SPECIALS, "a", "dog", "runs", "red", "ball", "."]
FEATURES = 6


def small_config() -> TrainConfig:
    config = TrainConfig(run_dir="outputs/small")
    config.data.path = "small.h5"
    config.model.embed_size, config.model.word_size = 8, 5
    config.attention.direction, config.attention.aggregation = Direction.i2t, Aggregation.lse
    config.attention.smoothing, config.attention.lse_scale = 4.0, 5.0
    return config


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint; `change` edits its content before."""

    def write(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        torch.manual_seed(0)
        config = small_config()
        network = ScanModel(FEATURES, len(WORDS), config.model)
        content = {
            "state_dict": {f"model.{name}": tensor for name, tensor in network.state_dict().items()},
            "epoch": 3,
            KEY: payload(config, Vocabulary(WORDS), "spacy-en-lower", FEATURES),
        }
        change(content)
        path = tmp_path / "best.ckpt"
        torch.save(content, path)
        return path

    return write

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.model.checkpoint import VERSION
from scan_lightning.model.scan import ScanModel
from scan_lightning.similarity import Attention
from scan_lightning.specification import specification

WORDS = [*SPECIALS, "a", "dog", "runs", "red", "ball", "."]
FEATURES = 6


def small_model() -> ScanModel:
    torch.manual_seed(0)
    return ScanModel(FEATURES, Vocabulary(WORDS), embed_size=8, word_size=5)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint; `change` edits its content before."""

    def write(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        model = small_model()
        similarity = Attention("i2t", smoothing=4.0, aggregation="lse", lse_scale=5.0)
        content = {
            "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
            "epoch": 3,
            "hyper_parameters": {
                "version": VERSION,
                "model": specification(model),
                "similarity": specification(similarity),
            },
        }
        change(content)
        path = tmp_path / "best.ckpt"
        torch.save(content, path)
        return path

    return write

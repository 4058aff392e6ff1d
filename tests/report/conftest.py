"""A few scenes and untrained models that look at them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from scan_lightning.data.scenes.build import build_scenes
from scan_lightning.data.store import Store
from scan_lightning.data.text import Vocabulary
from scan_lightning.model.checkpoint import load
from scan_lightning.model.scan import ScanModel
from scan_lightning.model.trained import TrainedModel
from scan_lightning.similarity import Attention, SumMax
from scan_lightning.training.module import ScanModule


@dataclass(frozen=True)
class Scenes:
    path: Path
    images: Path
    store: Store


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("report-scenes")
    build_scenes(
        folder / "scenes.h5", images_dir=folder / "images", train=16, val=4, test=14, seed=1, progress=False
    )
    return Scenes(folder / "scenes.h5", folder / "images", Store(folder / "scenes.h5"))


@pytest.fixture(scope="session")
def checkpoint(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an untrained checkpoint for the scenes, looking in a direction."""
    made: dict[tuple[Any, ...], Path] = {}

    def write(direction: str = "t2i", rule: str = "attention", feature_dim: int = 0) -> Path:
        key = (direction, rule, feature_dim)
        if key not in made:
            torch.manual_seed(0)
            vocabulary = Vocabulary.from_counts(*scenes.store.lexicon, 1, scenes.store.tokenizer)
            width = feature_dim or scenes.store.feature_dim
            network = ScanModel(width, vocabulary, embed_size=16, word_size=8)
            similarity = SumMax(direction) if rule == "summax" else Attention(direction, aggregation="mean")
            module = ScanModule(network, similarity)
            content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
            made[key] = tmp_path_factory.mktemp("checkpoint") / "best.ckpt"
            torch.save(content, made[key])
        return made[key]

    return write


@pytest.fixture
def model(checkpoint: Callable[..., Path]) -> TrainedModel:
    return load(checkpoint())
